//! One writer at a time: a lock file beside the store, and a queue of those who wait for it.
//!
//! The lock is the kernel's (`flock` on Unix, `LockFileEx` on Windows): it ends with the process that holds it. The
//! kernel keeps those who wait for a lock in order, but a newcomer may take the lock at the moment it is given up. So
//! there are two lock files. A writer that has to wait locks the queue first, and gives up the queue when it has the
//! lock. A writer that finds the queue locked joins it. So a writer that takes one turn after the other is behind all
//! who waited before.
//!
//! A process that is stopped (SIGSTOP) may hold the queue while no process holds the lock. So a writer that waits tries
//! the lock itself every 100 ms, and may then overtake others.

use std::{
    fs::{self, File, Metadata, TryLockError},
    io, mem,
    path::{Path, PathBuf},
    process,
    sync::Arc,
    thread,
    time::Duration,
};

use parking_lot::{Condvar, Mutex};

use super::{
    Deadline, FileStamp, StoreFile, access, check_regular, failed,
    names::{LOCK, QUEUE, sibling},
};
use crate::{
    error::{FileOperation, Result},
    per_process::PerProcess,
};

/// The lock, until it is dropped. A process that dies gives it up too.
#[derive(Debug)]
pub(crate) struct Lock {
    pub(super) file: File,
    stamp: Option<FileStamp>,
    path: PathBuf,
    /// The process that opened it.
    process: u32,
}

/// The request of one handle for the lock, while it waits. It keeps its place in the queue if its caller gives up, so
/// that the handle's next caller goes on from there. A handle has one caller at a time: the thread that leads its
/// writers.
#[derive(Debug, Default)]
pub(super) struct PendingRequest(Mutex<Option<Arc<Request>>>);

/// The requests of handles that were dropped while they waited. The next handle of the same store goes on from there,
/// so that a program which opens a handle for each operation does not start a thread for each.
static ABANDONED: PerProcess<Mutex<Vec<Arc<Request>>>> = PerProcess::new();

/// A thread that waits for the lock, because the system has no lock with a deadline. If the lock is never given up the
/// thread stays until the process ends.
#[derive(Debug)]
struct Request {
    progress: Mutex<Progress>,
    moved: Condvar,
    /// Of the lock file that is waited for.
    stamp: Option<FileStamp>,
    path: PathBuf,
    /// The process that has the thread.
    process: u32,
}

#[derive(Debug)]
enum Progress {
    Waiting {
        is_wanted: bool,
    },
    First(Result<Lock>),
    /// The lock was handed over, or given up because nobody wanted it.
    Done,
}

/// How long a writer that gets no thread waits before it looks at the lock again.
const WITHOUT_THREAD: Duration = Duration::from_millis(1);

/// How long a caller waits for its turn before it looks whether the lock is free all the same.
const BETWEEN_LOOKS: Duration = Duration::from_millis(100);

impl StoreFile {
    /// Waits until this is the only writer.
    ///
    /// Once there is a store the library never renames or removes its lock file. A tool may do so, after which others
    /// lock another file than ours: the lock counts only while the path leads to the file that was locked.
    pub(crate) fn lock(&self, deadline: &Deadline) -> Result<Lock> {
        loop {
            let lock = match self.try_lock()? {
                None if !deadline.left().is_zero() => self.wait_in_queue(deadline)?,
                lock => lock,
            };
            // Held by `a_lock_file_that_a_tool_deleted_does_not_let_two_in`: without `.filter`.
            if let Some(lock) = lock.filter(Lock::is_at_its_path) {
                return Ok(lock);
            }
            if deadline.left().is_zero() {
                return Err(deadline.busy());
            }
        }
    }

    /// That nobody else can hold a lock file for ever. Checks the lock files that exist.
    pub(super) fn check_lock_files(&self) -> Result<()> {
        [LOCK, QUEUE].iter().map(|suffix| sibling(&self.path, suffix)).try_for_each(|path| {
            match fs::symlink_metadata(&path) {
                Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
                found => self.check_lock(&path, &found.map_err(failed(FileOperation::ReadMetadata, &path))?),
            }
        })
    }

    /// Removes the lock files of a store that was not made, so that nothing is left behind. Those who wait for them see
    /// that the path leads elsewhere.
    pub(crate) fn leave_nothing(&self, lock: &Lock) {
        if self.check_absent().is_ok() && lock.is_at_its_path() {
            let _ = self.disk.remove(&sibling(&self.path, QUEUE));
            let _ = self.disk.remove(&lock.path);
        }
    }

    /// The lock, if it is free and nobody waits for it.
    fn try_lock(&self) -> Result<Option<Lock>> {
        let lock = self.open_lock(&sibling(&self.path, LOCK))?;
        // Held by `writers_take_turns`.
        if !self.is_queue_empty()? {
            return Ok(None);
        }
        try_lock(|| lock.file.try_lock(), &lock.path).map(|locked| locked.then_some(lock))
    }

    /// The lock, if it is free.
    fn try_lock_past_queue(&self) -> Result<Option<Lock>> {
        let lock = self.open_lock(&sibling(&self.path, LOCK))?;
        try_lock(|| lock.file.try_lock(), &lock.path).map(|locked| locked.then_some(lock))
    }

    fn is_queue_empty(&self) -> Result<bool> {
        let Some(queue) = self.open_existing_lock(&sibling(&self.path, QUEUE))? else { return Ok(true) };
        // Shared, so that two who look see no queue in each other.
        try_lock(|| queue.file.try_lock_shared(), &queue.path)
    }

    /// The lock, after those who came before; `None` if it was given up meanwhile.
    fn wait_in_queue(&self, deadline: &Deadline) -> Result<Option<Lock>> {
        let request = {
            let mut waiting = self.pending.0.lock();
            if waiting.is_none() {
                // Held by `handles_that_wait_in_vain_share_one_thread`.
                *waiting = self.abandoned();
            }
            // Held by `handle_that_waits_again_needs_no_second_thread`: `true`.
            if !waiting.as_ref().is_some_and(|request| request.is_waiting()) {
                *waiting = self.request()?;
            }
            waiting.clone()
        };
        match request {
            Some(request) => request.lock(deadline, || self.try_lock_past_queue()),
            None => {
                thread::sleep(WITHOUT_THREAD.min(deadline.left()));
                self.try_lock_past_queue()
            }
        }
    }

    /// A request for the lock of this store that a dropped handle has left.
    fn abandoned(&self) -> Option<Arc<Request>> {
        let path = sibling(&self.path, LOCK);
        let mut abandoned = ABANDONED.get().lock();
        abandoned.retain(|request| request.is_waiting());
        let place = abandoned.iter().position(|request| request.path == path)?;
        Some(abandoned.swap_remove(place))
    }

    /// A request; `None` if the system has no thread for it.
    fn request(&self) -> Result<Option<Arc<Request>>> {
        let [queue, lock] = [QUEUE, LOCK].map(|suffix| self.open_lock(&sibling(&self.path, suffix)));
        let (queue, lock) = (queue?, lock?);
        let request = Arc::new(Request {
            progress: Mutex::new(Progress::Waiting { is_wanted: true }),
            moved: Condvar::new(),
            stamp: lock.stamp.clone(),
            path: lock.path.clone(),
            process: process::id(),
        });
        let waiting = request.clone();
        let wait = move || {
            let queued = wait_for(&queue);
            let locked = queued.and_then(|()| wait_for(&lock)).map(|()| lock);
            drop(queue);
            waiting.arrive(locked);
        };
        let started = thread::Builder::new().name("tokenkeep-lock".to_owned()).spawn(wait);
        Ok(started.is_ok().then_some(request))
    }

    /// A lock file before it is locked, and made if there is none.
    pub(super) fn open_lock(&self, path: &Path) -> Result<Lock> {
        for _ in 0..10 {
            if let Some(lock) = self.open_existing_lock(path)? {
                return Ok(lock);
            }
            if let Some(lock) = self.create_lock(path)? {
                return Ok(lock);
            }
        }
        // On Windows it may be a link that leads nowhere.
        Err(failed(FileOperation::Create, path)(io::ErrorKind::AlreadyExists.into()))
    }

    /// A new lock file before it is locked; `None` if another process has just created it.
    fn create_lock(&self, path: &Path) -> Result<Option<Lock>> {
        let mut options = access::lock_options();
        options.read(true).write(true).create_new(true);
        match access::patiently(|| options.open(path)) {
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(None),
            opened => {
                let file = opened.map_err(failed(FileOperation::Create, path))?;
                access::make_private(&file, self.access).map_err(failed(FileOperation::Create, path))?;
                self.checked_lock(file, path).map(Some)
            }
        }
    }

    /// A lock file before it is locked; `None` if there is none.
    pub(super) fn open_existing_lock(&self, path: &Path) -> Result<Option<Lock>> {
        let mut options = access::lock_options();
        options.read(true).write(true);
        match access::patiently(|| options.open(path)) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
            opened => {
                let file = opened.map_err(|error| access::not_opened(path, error))?;
                self.checked_lock(file, path).map(Some)
            }
        }
    }

    fn check_lock(&self, path: &Path, metadata: &Metadata) -> Result<()> {
        check_regular(path, metadata)?;
        self.access.check_lock(path, metadata)
    }

    /// That no other user can open the lock file, and so hold the lock for ever.
    fn checked_lock(&self, file: File, path: &Path) -> Result<Lock> {
        let metadata = file.metadata().map_err(failed(FileOperation::ReadMetadata, path))?;
        self.check_lock(path, &metadata)?;
        Ok(Lock { file, stamp: access::stamp_of(&metadata), path: path.to_owned(), process: process::id() })
    }
}

impl Request {
    /// Whether the lock at the path is still waited for.
    fn is_waiting(&self) -> bool {
        // A forked child may find `progress` locked for ever.
        // Held by `request_of_the_parent_does_not_block_a_forked_child`.
        if self.process != process::id() {
            return false;
        }
        // Held by `handle_that_waits_again_waits_for_the_file_at_the_path`: without
        // `&& leads_to(&self.path, self.stamp.as_ref())`.
        matches!(*self.progress.lock(), Progress::Waiting { .. }) && leads_to(&self.path, self.stamp.as_ref())
    }

    /// The lock, once it is ours; `None` if it was given up before this call. `look` takes the lock if it is free, past
    /// a process that is stopped at the head of the queue.
    fn lock(&self, deadline: &Deadline, look: impl Fn() -> Result<Option<Lock>>) -> Result<Option<Lock>> {
        let mut progress = self.progress.lock();
        loop {
            match mem::replace(&mut *progress, Progress::Done) {
                Progress::First(locked) => return locked.map(Some),
                Progress::Done => return Ok(None),
                Progress::Waiting { .. } => *progress = Progress::Waiting { is_wanted: true },
            }
            let slice = BETWEEN_LOOKS.min(deadline.left());
            let has_waited = self.moved.wait_for(&mut progress, slice).timed_out();
            if has_waited && matches!(*progress, Progress::Waiting { .. }) {
                // Held by `stopped_process_in_the_queue_blocks_nobody`: `Ok(None)`.
                let found = look();
                if !matches!(found, Ok(None)) || deadline.left().is_zero() {
                    *progress = Progress::Waiting { is_wanted: false };
                    return found?.map_or_else(|| Err(deadline.busy()), |lock| Ok(Some(lock)));
                }
            }
        }
    }

    /// Hands over the lock, or gives it up.
    fn arrive(&self, locked: Result<Lock>) {
        let mut progress = self.progress.lock();
        *progress = match *progress {
            // Held by `caller_that_gave_up_blocks_nobody`: `..` instead of `is_wanted: true`.
            Progress::Waiting { is_wanted: true } => Progress::First(locked),
            _ => Progress::Done,
        };
        self.moved.notify_all();
    }
}

fn wait_for(lock: &Lock) -> Result<()> {
    loop {
        match lock.file.lock() {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            locked => return locked.map_err(failed(FileOperation::Lock, &lock.path)),
        }
    }
}

/// `false` if others hold the lock.
pub(super) fn try_lock(lock: impl Fn() -> Result<(), TryLockError>, path: &Path) -> Result<bool> {
    loop {
        match lock() {
            Ok(()) => return Ok(true),
            Err(TryLockError::WouldBlock) => return Ok(false),
            Err(TryLockError::Error(error)) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(TryLockError::Error(error)) => return Err(failed(FileOperation::Lock, path)(error)),
        }
    }
}

impl Lock {
    /// Whether it still keeps others out.
    pub(crate) fn is_at_its_path(&self) -> bool {
        leads_to(&self.path, self.stamp.as_ref())
    }

    /// Whether this process has opened it. A child that was forked has a copy, which it must leave alone.
    pub(super) fn is_ours(&self) -> bool {
        self.process == process::id()
    }
}

/// The lock on the store file itself, beside the lock file: a tool may delete the lock file, but nobody else can lock
/// this file then. On Windows a locked file cannot be read, and an open lock file cannot be deleted: there this locks
/// nothing.
pub(super) struct InodeLock<'a>(&'a File);

impl<'a> InodeLock<'a> {
    pub(super) fn try_new(file: &'a File) -> Result<Self, TryLockError> {
        if cfg!(unix) {
            file.try_lock()?;
        }
        Ok(Self(file))
    }
}

impl Drop for InodeLock<'_> {
    fn drop(&mut self) {
        // Explicitly: other handles of the same open file share the lock.
        if cfg!(unix) {
            let _ = self.0.unlock();
        }
    }
}

/// Whether the path of a lock file leads to the file that was opened.
fn leads_to(path: &Path, opened: Option<&FileStamp>) -> bool {
    // Where files have no stamp a lock file cannot be removed while it is open (`access::lock_options`).
    let Some(opened) = opened else { return true };
    let at_path = fs::symlink_metadata(path).ok().as_ref().and_then(access::stamp_of);
    at_path.is_some_and(|at_path| opened.is_same_file(&at_path))
}

impl Drop for PendingRequest {
    fn drop(&mut self) {
        ABANDONED.get().lock().extend(self.0.get_mut().take().filter(|request| request.is_waiting()));
    }
}

impl Drop for Lock {
    fn drop(&mut self) {
        // Explicitly: a child that was forked shares the descriptor, and closing ours would leave the lock to it. Such
        // a child closes its copy only: unlocking it would take the lock from its parent.
        if self.is_ours() {
            let _ = self.file.unlock();
        }
    }
}

#[cfg(all(test, unix))]
mod tests;
