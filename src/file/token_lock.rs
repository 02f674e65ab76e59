//! Locks on single tokens: one lock file for each, in a directory beside the store.
//!
//! The holder removes its lock file when it has finished, and when it gives up before it has sent a request. A file
//! with a byte in it whose lock is free was left by a holder that may have sent one, and died or gave up.

use std::{
    collections::BTreeSet,
    fs, io,
    path::{Path, PathBuf},
    process, thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    Lock, NextSave, StoreFile, access, failed,
    lock::try_lock,
    names::{CLAIMS, sibling},
};
use crate::{
    error::{Error, FileOperation, Result},
    lock_waiters,
    per_process::PerProcess,
    token_lock::{LockAttempt, TokenLock},
};

/// How many bytes the next save may need beyond the file of today: of the length that is allowed, and on the disk.
const GROWTH: u64 = 4096;
const ROOM: u64 = 64 * 1024;

/// How often a lock file that others make and remove meanwhile is tried.
const MOST_ATTEMPTS: u32 = 100;

/// When a caller looks at the lock again: one that is woken when the lock ends, and one that could get no thread to
/// wake it.
const WITH_WAKING: Duration = Duration::from_secs(1);
const WITHOUT_WAKING: Duration = Duration::from_millis(40);

/// The lock files that this process holds, so that its threads need not ask the system.
static HELD: PerProcess<Mutex<BTreeSet<PathBuf>>> = PerProcess::new();

/// The lock files of other processes for which a thread of this process waits.
static WATCHED: PerProcess<Mutex<BTreeSet<PathBuf>>> = PerProcess::new();

/// The lock on one token, until it is dropped.
#[derive(Debug)]
pub(crate) struct ClaimLock {
    /// `None` once it is given up.
    lock: Option<Lock>,
    entry: Entry,
    was_left_unfinished: bool,
}

/// An entry of [`HELD`].
#[derive(Debug)]
struct Entry {
    path: PathBuf,
    process: u32,
}

impl Entry {
    fn make(path: &Path) -> Option<Self> {
        let is_free = HELD.get().lock().insert(path.to_owned());
        is_free.then(|| Self { path: path.to_owned(), process: process::id() })
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        // A forked child has a copy, and may have an entry of its own with this path.
        // Held by `copy_in_a_forked_child_leaves_the_childs_own_entry`: `true`.
        if self.process == process::id() {
            HELD.get().lock().remove(&self.path);
        }
    }
}

impl StoreFile {
    /// The lock of that name, if it is free.
    pub(crate) fn try_lock_token(&self, name: &str, next_save: NextSave) -> Result<LockAttempt> {
        Ok(match self.lock_or_wait(name, next_save)? {
            Ok(lock) => LockAttempt::Locked(Box::new(lock)),
            Err(look_again) => LockAttempt::Held { look_again },
        })
    }

    /// The lock of that name; if another holds it, when the caller looks again.
    fn lock_or_wait(&self, name: &str, next_save: NextSave) -> Result<Result<ClaimLock, Duration>> {
        let directory = sibling(&self.path, CLAIMS);
        let path = directory.join(name);
        let Some(entry) = Entry::make(&path) else { return Ok(Err(WITH_WAKING)) };
        let has_directory = self.check_claims_directory(&directory)?;
        // A caller that waits needs no room on the disk.
        let mut locked = match self.open_existing_lock(&path)? {
            Some(held) if !try_lock(|| held.file.try_lock(), &path)? => return Ok(Err(watch(held, path))),
            locked => locked,
        };
        self.check_savable(next_save, GROWTH, ROOM)?;
        if !has_directory {
            self.make_claims_directory(&directory)?;
        }
        for _ in 0..MOST_ATTEMPTS {
            let lock = match locked.take() {
                Some(lock) => lock,
                None => {
                    let lock = self.open_lock(&path)?;
                    if !try_lock(|| lock.file.try_lock(), &path)? {
                        return Ok(Err(watch(lock, path)));
                    }
                    lock
                }
            };
            // Else its holder has removed it meanwhile.
            // Held by `one_holds_the_lock_at_a_time`: `true`.
            if lock.is_at_its_path() {
                let was_left_unfinished = has_started(&lock, &path)?;
                return Ok(Ok(ClaimLock { lock: Some(lock), entry, was_left_unfinished }));
            }
        }
        Ok(Err(WITHOUT_WAKING))
    }

    fn make_claims_directory(&self, directory: &Path) -> Result<()> {
        match access::make_private_directory(directory) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                self.check_claims_directory(directory).map(drop)
            }
            Err(error) => Err(failed(FileOperation::Create, directory)(error)),
        }
    }

    /// That no other user can put a lock file into the directory; `false` if there is none.
    fn check_claims_directory(&self, directory: &Path) -> Result<bool> {
        match fs::symlink_metadata(directory) {
            Ok(metadata) if metadata.is_dir() => {
                // Held by `anything_but_a_private_directory_is_refused`: `Ok::<_, Error>(true)`.
                let checked = self.access.check_private_directory(directory, &metadata).map(|()| true);
                // The directory of another user's store is that user's too. Then that is what is wrong.
                checked.or_else(|error| self.check_writable().and(Err(error)))
            }
            Ok(_) => Err(failed(FileOperation::Open, directory)(io::ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(failed(FileOperation::ReadMetadata, directory)(error)),
        }
    }
}

/// Wakes the callers that wait once the holder of the lock, another process, has given it up. Returns when they look
/// again by themselves.
fn watch(lock: Lock, path: PathBuf) -> Duration {
    if !WATCHED.get().lock().insert(path.clone()) {
        return WITH_WAKING;
    }
    let watched = path.clone();
    let wait = move || {
        // Shared, so that all processes that wait go on at the same time. A failure is left to the next look.
        let _ = lock.file.lock_shared();
        drop(lock);
        WATCHED.get().lock().remove(&watched);
        lock_waiters::wake_all();
    };
    if thread::Builder::new().name("tokenkeep-claim".to_owned()).spawn(wait).is_ok() {
        return WITH_WAKING;
    }
    WATCHED.get().lock().remove(&path);
    WITHOUT_WAKING
}

fn has_started(lock: &Lock, path: &Path) -> Result<bool> {
    Ok(lock.file.metadata().map_err(failed(FileOperation::ReadMetadata, path))?.len() > 0)
}

impl ClaimLock {
    /// Gives the lock up. Its file stays if a request may be under way.
    fn end(&mut self, is_finished: bool) {
        let Some(lock) = self.lock.take().filter(Lock::is_ours) else { return };
        if is_finished {
            // A file that cannot be removed says no longer that a request is under way.
            let _ = lock.file.set_len(0);
        }
        let is_removed = is_finished || matches!(has_started(&lock, &self.entry.path), Ok(false));
        if is_removed && cfg!(unix) && lock.is_at_its_path() {
            let _ = fs::remove_file(&self.entry.path);
        }
        drop(lock);
        // Windows removes no file that is open, and none that another process has opened since.
        if is_removed && !cfg!(unix) {
            let _ = fs::remove_file(&self.entry.path);
        }
    }
}

impl TokenLock for ClaimLock {
    fn is_held(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.is_ours() && lock.is_at_its_path())
    }

    fn start(&self) -> Result<()> {
        let Some(lock) = &self.lock else { return Err(Error::ClaimEnded) };
        if has_started(lock, &self.entry.path)? {
            return Ok(());
        }
        // Held by `next_holder_knows_of_an_unfinished_request`: `Ok(())`.
        // A length without a byte takes no room on the disk, so this works on a full disk too.
        lock.file.set_len(1).map_err(failed(FileOperation::Write, &self.entry.path))
    }

    fn was_left_unfinished(&self) -> bool {
        self.was_left_unfinished
    }

    fn finish(mut self: Box<Self>) {
        self.end(true);
    }
}

impl Drop for ClaimLock {
    fn drop(&mut self) {
        self.end(false);
    }
}

#[cfg(all(test, unix))]
mod tests;
