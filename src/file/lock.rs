//! One writer at a time: a lock file beside the store, which outlives every writer.

use std::{
    fs::{self, File, TryLockError},
    path::Path,
    thread,
    time::{Duration, Instant},
};

use super::{StoreFile, access, check_regular, failed, identity};
use crate::error::{Error, Result};

/// How long an operation waits for others, all its waits together.
#[derive(Debug)]
pub(crate) struct Wait {
    started: Instant,
    most: Duration,
}

impl Wait {
    pub(crate) fn at_most(most: Duration) -> Self {
        Self { started: Instant::now(), most }
    }

    /// What is left of it.
    pub(crate) fn left(&self) -> Duration {
        self.most.saturating_sub(self.started.elapsed())
    }

    /// The error when nothing is left.
    pub(crate) fn busy(&self) -> Error {
        Error::Busy { waited: self.started.elapsed() }
    }
}

/// The lock, until it is dropped. A process that dies gives it up too.
#[derive(Debug)]
pub(crate) struct Lock(File);

impl StoreFile {
    /// Waits until this is the only writer.
    ///
    /// The lock file is never renamed or removed by us. A tool may do so, after which others lock another file than
    /// ours: the lock counts only while the path leads to what we locked.
    pub(crate) fn lock(&self, wait: &Wait) -> Result<Lock> {
        let path = self.sibling(".lock");
        loop {
            let file = open_lock(&path)?;
            wait_for(&file, &path, wait)?;
            let lock = Lock(file);
            if lock.is_at(&path) {
                return Ok(lock);
            }
        }
    }
}

fn open_lock(path: &Path) -> Result<File> {
    let mut options = access::open_options();
    let file = options.read(true).write(true).create(true).truncate(false).open(path).map_err(failed("open", path))?;
    check_regular(path, &file.metadata().map_err(failed("look at", path))?)?;
    Ok(file)
}

/// The system has no lock with a deadline, so this looks again and again, less and less often.
fn wait_for(file: &File, path: &Path, wait: &Wait) -> Result<()> {
    let mut pause = Duration::from_micros(200);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) => return Err(failed("lock", path)(error)),
            Err(TryLockError::WouldBlock) if wait.left().is_zero() => return Err(wait.busy()),
            Err(TryLockError::WouldBlock) => thread::sleep(pause.min(wait.left())),
        }
        pause = pause.saturating_mul(2).min(Duration::from_millis(10));
    }
}

impl Lock {
    fn is_at(&self, path: &Path) -> bool {
        let locked = self.0.metadata().ok().as_ref().and_then(identity);
        let at_path = fs::symlink_metadata(path).ok().as_ref().and_then(identity);
        match (locked, at_path) {
            (Some(locked), Some(at_path)) => locked.is_same_file(&at_path),
            // Where files have no identity they cannot be removed while they are open either.
            (locked, _) => locked.is_none(),
        }
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Explicitly: a child that was forked shares the descriptor, and closing ours would leave the lock to it.
        let _ = self.0.unlock();
    }
}
