//! A new file: written under a temporary name, synced, and then renamed to the name of the store.
//!
//! The lock file keeps writers apart. Because a tool may delete the lock file, a writer also locks the file that it has
//! loaded, and looks once more whether that file is still at the path, right before the rename.

use std::{
    fs::{File, TryLockError},
    io,
    path::PathBuf,
    sync::Arc,
};

use super::{
    Durability, Lock, OpenFile, PinnedFile, StoreFile, access,
    append::RESERVE,
    failed,
    lock::InodeLock,
    names::{sibling, temporary_suffix},
    resolve_new,
};
use crate::{
    error::{Error, FileOperation, Result},
    format::length,
};

/// A file that is complete and synced under a temporary name. It is removed unless it is renamed.
#[derive(Debug)]
pub(crate) struct Prepared<'a> {
    store: &'a StoreFile,
    temporary: PathBuf,
    /// `None` once the file has its name.
    file: Option<File>,
    /// Opened before anything is visible: without a handle the rename could not be synced.
    directory: Option<File>,
}

/// A replacement that is visible.
#[derive(Debug)]
pub(crate) struct Replacement {
    /// The new file.
    pub(crate) pinned: PinnedFile,
    pub(crate) durability: Durability,
}

impl StoreFile {
    /// Makes the file out of these parts, one after the other: all or nothing, and never over another file.
    ///
    /// With the lock, others who would make it wait; without, as for a backup, they may be first.
    pub(crate) fn make(&self, lock: Option<&Lock>, parts: &[&[u8]]) -> Result<Replacement> {
        let mut prepared = self.prepare(lock, parts)?;
        check_lock(self, lock)?;
        // Held by `new_store_is_not_put_where_the_path_no_longer_leads`.
        self.check_resolved(resolve_new(&self.given)?)?;
        self.check_absent()?;
        self.disk.rename_new(&prepared.temporary, &self.path).map_err(|error| match error.kind() {
            io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: self.path.clone() },
            io::ErrorKind::NotFound => self.changed_meanwhile(),
            _ => failed(FileOperation::Create, &self.path)(error),
        })?;
        Ok(prepared.renamed())
    }

    /// Writes a temporary file of these parts, one after the other, and syncs it. Errors name the path of the store:
    /// the temporary file has a random name and is removed.
    pub(crate) fn prepare(&self, lock: Option<&Lock>, parts: &[&[u8]]) -> Result<Prepared<'_>> {
        if lock.is_some() {
            self.sweep();
        }
        let path = &self.path;
        let directory =
            self.disk.open_directory(&self.directory).map_err(failed(FileOperation::Open, &self.directory))?;
        let temporary = sibling(path, &temporary_suffix()?);
        // Held by `failed_write_names_the_store_and_the_systems_words`: `&temporary` instead of `path`.
        let file = self.disk.create_new(&temporary).map_err(failed(FileOperation::Write, path))?;
        let prepared = Prepared { store: self, temporary, file: Some(file), directory };
        if let Some(file) = &prepared.file {
            // Held by `whatever_the_umask_files_are_for_their_owner_alone`,
            // `default_access_control_list_opens_no_file`.
            access::make_private(file, self.access).map_err(failed(FileOperation::Write, path))?;
            self.disk.write_all(file, parts).map_err(failed(FileOperation::Write, path))?;
            if lock.is_some() {
                // For the saves to come. A failure costs nothing but time.
                let len = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(length(part.len())));
                let _ = self.disk.reserve(file, len, RESERVE);
            }
            // A file system that gives every file a mode of its own may have given it one that is refused later.
            let metadata = file.metadata().map_err(failed(FileOperation::ReadMetadata, path))?;
            // Held by `what_is_made_is_what_opening_accepts_or_is_not_made`.
            self.access.check_readable(path, &metadata)?;
            // Held by `file_is_synced_before_the_rename_and_directory_after`,
            // `power_cut_at_any_moment_leaves_before_or_after`.
            self.disk.sync(file).map_err(failed(FileOperation::Sync, path))?;
        }
        Ok(prepared)
    }
}

impl Prepared<'_> {
    /// Replaces the file, if it still is the one that was opened. Else, and if the lock does not keep others out any
    /// more, the error is [`Error::ChangedMeanwhile`], nothing was replaced, and the same call may succeed later.
    pub(crate) fn replace(&mut self, lock: &Lock, opened: &PinnedFile) -> Result<Replacement> {
        let store = self.store;
        // If a tool deletes the lock file, another writer may be as far as this one. Only one of the two can lock the
        // file that is to be replaced; the other one then finds another file at the path.
        let _inode_lock = match opened.file().map(|file| InodeLock::try_new(file)) {
            // Held by `writers_with_different_lock_files_do_not_replace_one_file`: `None`.
            Some(Err(TryLockError::WouldBlock)) => return Err(store.changed_meanwhile()),
            // Some file systems lock no file that is open for reading only. The lock file is what keeps writers apart.
            inode_lock => inode_lock.and_then(std::result::Result::ok),
        };
        // Held by `deleted_lock_file_stops_the_replacement`.
        check_lock(store, Some(lock))?;
        // Held by `link_that_is_exchanged_during_a_save_is_noticed`.
        store.check_path()?;
        // A writer that takes the lock cannot have changed the file. For other programs this look has to do: no system
        // renames over one particular file only. A backup program that restores times may be at work all the while.
        let is_opened = match (access::stamp_of(&store.metadata()?), opened.stamp()) {
            // Held by `changed_access_time_is_no_other_file`: `found == *opened`.
            (Some(found), Some(opened)) => found.has_same_bytes(opened),
            (found, opened) => found.is_none() && opened.is_none(),
        };
        // Held by `file_changed_during_a_save_is_not_overwritten`.
        if !is_opened {
            return Err(store.changed_meanwhile());
        }
        store.disk.rename(&self.temporary, &store.path).map_err(|error| match error.kind() {
            // A writer that got another lock file took the temporary file for that of a killed writer.
            io::ErrorKind::NotFound => store.changed_meanwhile(),
            // What Linux answers for a file that is a mount point, as containers make them.
            io::ErrorKind::ResourceBusy => Error::MountedFile { path: store.path.clone() },
            _ => failed(FileOperation::Replace, &store.path)(error),
        })?;
        Ok(self.renamed())
    }

    /// Whether the temporary file is still there.
    pub(crate) fn is_there(&self) -> bool {
        self.store.disk.look(&self.temporary).is_ok()
    }

    /// Syncs the new name.
    fn renamed(&mut self) -> Replacement {
        let store = self.store;
        // At once: what another program does to the file from now on has to show.
        let opened = self.file.take().and_then(|file| {
            let metadata = file.metadata().ok()?;
            Some(OpenFile::new(Arc::new(file), &metadata, &store.path))
        });
        // Held by `file_is_synced_before_the_rename_and_directory_after`,
        // `power_cut_at_any_moment_leaves_before_or_after`:
        // `self.directory.take().map_or(Ok(false), |_| Ok::<_, io::Error>(false))`.
        let synced = self.directory.take().map_or(Ok(false), |directory| store.sync_directory(&directory));
        Replacement { pinned: PinnedFile::new(opened), durability: store.durability(synced) }
    }
}

impl Drop for Prepared<'_> {
    fn drop(&mut self) {
        if self.file.take().is_some() {
            // A failure is left to the next look for strays: the error to report is an earlier one.
            // Held by `failure_before_the_rename_leaves_the_old_file_only`.
            let _ = self.store.disk.remove(&self.temporary);
        }
    }
}

/// That the lock still keeps other writers out.
fn check_lock(store: &StoreFile, lock: Option<&Lock>) -> Result<()> {
    if lock.is_none_or(Lock::is_at_its_path) { Ok(()) } else { Err(store.changed_meanwhile()) }
}
