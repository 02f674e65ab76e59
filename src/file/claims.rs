//! Locks on single tokens: one lock file for each, in a directory beside the store.
//!
//! A lock file is removed when its holder has finished. One that is still there although nobody holds its lock was left
//! by a holder that died, or gave up. If it has a byte in it, that holder had sent a request.

use std::{
    collections::BTreeMap,
    fs, io,
    io::Write,
    path::{Path, PathBuf},
    process,
};

use parking_lot::Mutex;

use super::{
    Lock, StoreFile, access, failed,
    lock::try_lock,
    names::{CLAIMS, beside},
};
use crate::{
    error::{Error, FileOperation, Result},
    token_lock::TokenLock,
};

/// How many bytes the next save may need beyond the file of today. A lock is given only if there is room for them.
const GROWTH: u64 = 16 * 1024;

/// The lock files that this process holds, so that its threads need not ask the system. With the process: a forked
/// child has a copy of the table, and holds none of them.
static HELD: Mutex<BTreeMap<PathBuf, u32>> = Mutex::new(BTreeMap::new());

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
struct Entry(PathBuf);

impl Entry {
    fn make(path: &Path) -> Option<Self> {
        let process = process::id();
        let mut held = HELD.lock();
        if held.get(path) == Some(&process) {
            return None;
        }
        held.insert(path.to_owned(), process);
        Some(Self(path.to_owned()))
    }
}

impl Drop for Entry {
    fn drop(&mut self) {
        let mut held = HELD.lock();
        if held.get(&self.0) == Some(&process::id()) {
            held.remove(&self.0);
        }
    }
}

impl StoreFile {
    /// The lock of that name, if it is free.
    pub(crate) fn try_claim(&self, name: &str) -> Result<Option<ClaimLock>> {
        let directory = beside(&self.path, CLAIMS);
        let path = directory.join(name);
        let Some(entry) = Entry::make(&path) else { return Ok(None) };
        self.check_claims_directory(&directory)?;
        if let Some(held) = self.open_existing_lock(&path)?
            && !try_lock(|| held.file.try_lock(), &path)?
        {
            return Ok(None);
        }
        self.check_replaceable(GROWTH)?;
        loop {
            self.make_claims_directory(&directory)?;
            let lock = self.open_lock(&path)?;
            if !try_lock(|| lock.file.try_lock(), &path)? {
                return Ok(None);
            }
            // Else its holder has removed it meanwhile.
            if lock.is_at_its_path() {
                let len = lock.file.metadata().map_err(failed(FileOperation::ReadMetadata, &path))?.len();
                return Ok(Some(ClaimLock { lock: Some(lock), entry, was_left_unfinished: len > 0 }));
            }
        }
    }

    fn make_claims_directory(&self, directory: &Path) -> Result<()> {
        match access::make_private_directory(directory) {
            Ok(()) => Ok(()),
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => self.check_claims_directory(directory),
            Err(error) => Err(failed(FileOperation::Create, directory)(error)),
        }
    }

    /// That no other user can put a lock file into the directory, if there is one.
    fn check_claims_directory(&self, directory: &Path) -> Result<()> {
        match fs::symlink_metadata(directory) {
            Ok(metadata) if metadata.is_dir() => self.access.check_private_directory(directory, &metadata),
            Ok(_) => Err(failed(FileOperation::Open, directory)(io::ErrorKind::NotADirectory.into())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(FileOperation::ReadMetadata, directory)(error)),
        }
    }
}

impl ClaimLock {
    fn has_started(&self, lock: &Lock) -> Result<bool> {
        let metadata = lock.file.metadata().map_err(failed(FileOperation::ReadMetadata, &self.entry.0))?;
        Ok(metadata.len() > 0)
    }

    /// Gives the lock up. Its file stays if a request may be under way.
    fn end(&mut self, is_finished: bool) {
        let Some(lock) = self.lock.take() else { return };
        let is_removed = lock.is_ours() && (is_finished || matches!(self.has_started(&lock), Ok(false)));
        if is_removed && cfg!(unix) && lock.is_at_its_path() {
            let _ = fs::remove_file(&self.entry.0);
        }
        drop(lock);
        // Windows removes no file that is open. Whoever has opened it since keeps it.
        if is_removed && !cfg!(unix) {
            let _ = fs::remove_file(&self.entry.0);
        }
    }
}

impl TokenLock for ClaimLock {
    fn is_held(&self) -> bool {
        self.lock.as_ref().is_some_and(|lock| lock.is_ours() && lock.is_at_its_path())
    }

    fn start(&self) -> Result<()> {
        let Some(lock) = &self.lock else { return Err(Error::ClaimEnded) };
        if self.has_started(lock)? {
            return Ok(());
        }
        (&lock.file).write_all(b"1").map_err(failed(FileOperation::Write, &self.entry.0))
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
