//! One writer at a time: a lock file beside the store, which outlives every writer.

use std::{
    fs::{self, File, TryLockError},
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use super::{Identity, StoreFile, access, check_regular, failed, identity};
use crate::error::{Error, FileOperation, Result};

/// How long an operation on a file waits for others, all its waits together.
#[derive(Debug)]
pub(crate) struct Wait {
    path: PathBuf,
    started: Instant,
    most: Duration,
}

impl Wait {
    pub(crate) fn at_most(most: Duration, path: &Path) -> Self {
        Self { path: path.to_owned(), started: Instant::now(), most }
    }

    /// What is left of it.
    pub(crate) fn left(&self) -> Duration {
        self.most.saturating_sub(self.started.elapsed())
    }

    /// The error when nothing is left.
    pub(crate) fn busy(&self) -> Error {
        Error::Busy { path: self.path.clone(), waited: self.started.elapsed() }
    }
}

/// The lock, until it is dropped. A process that dies gives it up too.
#[derive(Debug)]
pub(crate) struct Lock {
    file: File,
    identity: Option<Identity>,
    path: PathBuf,
}

/// How one handle's turns as a writer follow each other.
///
/// Waiting is done by looking again and again, so a writer that takes the lock right after it gave it up is ahead of
/// all who wait. One that has had it for a while therefore stays away for longer than anybody pauses.
#[derive(Debug, Default)]
pub(crate) struct Turns {
    /// When the present run of turns began, each right after the one before, and when the last of them ended.
    pub(super) run: Option<(Instant, Instant)>,
}

const LONGEST_PAUSE: Duration = Duration::from_millis(1);
const RIGHT_AFTER: Duration = Duration::from_millis(5);
const LONGEST_RUN: Duration = Duration::from_millis(100);

impl Turns {
    /// To be called before the lock is taken again.
    pub(crate) fn begin(&mut self, wait: &Wait, now: Instant) {
        match self.run {
            Some((_, end)) if now.duration_since(end) > RIGHT_AFTER => self.run = None,
            Some((start, _)) if now.duration_since(start) > LONGEST_RUN => {
                thread::sleep(LONGEST_PAUSE.saturating_mul(3).min(wait.left()));
                self.run = None;
            }
            _ => {}
        }
    }

    /// To be called after the lock was given up.
    pub(crate) fn end(&mut self) {
        let now = Instant::now();
        let start = self.run.map_or(now, |(start, _)| start);
        self.run = Some((start, now));
    }
}

impl StoreFile {
    /// Waits until this is the only writer.
    ///
    /// The lock file is never renamed or removed by us. A tool may do so, after which others lock another file than
    /// ours: the lock counts only while the path leads to what we locked.
    pub(crate) fn lock(&self, wait: &Wait) -> Result<Lock> {
        let path = self.sibling(".lock");
        loop {
            let lock = self.open_lock(&path)?;
            wait_for(&lock.file, &path, wait)?;
            if lock.is_at_its_path() {
                return Ok(lock);
            }
            if wait.left().is_zero() {
                return Err(wait.busy());
            }
        }
    }

    /// The lock before it is taken.
    fn open_lock(&self, path: &Path) -> Result<Lock> {
        let mut options = access::lock_options();
        options.read(true).write(true).create(true).truncate(false);
        let file = access::patiently(|| options.open(path)).map_err(failed(FileOperation::Open, path))?;
        let metadata = file.metadata().map_err(failed(FileOperation::ReadMetadata, path))?;
        check_regular(path, &metadata)?;
        // Whoever can open it can hold it for ever.
        self.access.check_readable(path, &metadata)?;
        Ok(Lock { file, identity: identity(&metadata), path: path.to_owned() })
    }
}

/// The system has no lock with a deadline, so this looks again and again.
fn wait_for(file: &File, path: &Path, wait: &Wait) -> Result<()> {
    let mut pause = Duration::from_micros(100);
    loop {
        match file.try_lock() {
            Ok(()) => return Ok(()),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(failed(FileOperation::Lock, path)(error)),
            Err(TryLockError::WouldBlock) if wait.left().is_zero() => return Err(wait.busy()),
            Err(TryLockError::WouldBlock) => thread::sleep(pause.min(wait.left())),
        }
        pause = pause.saturating_mul(2).min(LONGEST_PAUSE);
    }
}

impl Lock {
    /// Whether it still keeps others out.
    pub(super) fn is_at_its_path(&self) -> bool {
        // Where files have no identity a lock file cannot be removed while it is open (`access::lock_options`).
        let Some(locked) = &self.identity else { return true };
        let at_path = fs::symlink_metadata(&self.path).ok().as_ref().and_then(identity);
        at_path.is_some_and(|at_path| locked.is_same_file(&at_path))
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Explicitly: a child that was forked shares the descriptor, and closing ours would leave the lock to it.
        let _ = self.file.unlock();
    }
}
