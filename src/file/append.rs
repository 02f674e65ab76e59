//! Appending to the file: at its exact end, and nowhere else. Nothing that is in the file is ever overwritten or cut.

use std::{
    fs::{self, File, Metadata, TryLockError},
    io,
    sync::Arc,
};

use super::{FileStamp, Lock, OpenFile, PinnedFile, StoreFile, access, failed, lock::InodeLock};
use crate::{
    error::{Error, FileOperation, Result},
    format::length,
};

/// How many bytes are reserved on the disk beyond the end of the file, so that appending needs no new blocks.
pub(super) const RESERVE: u64 = 256 * 1024;

/// The end of the file as the caller has loaded it. Only there may something be appended.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LoadedEnd<'a> {
    /// The first bytes of the file.
    pub(crate) start: &'a [u8],
    pub(crate) len: u64,
    /// The last bytes of the file.
    pub(crate) last: &'a [u8],
}

impl LoadedEnd<'_> {
    /// Whether the file starts and ends as it was loaded.
    pub(super) fn is_in(self, file: &File) -> io::Result<bool> {
        let last_start = self.len.saturating_sub(length(self.last.len()));
        Ok(has_at(file, 0, self.start)? && has_at(file, last_start, self.last)?)
    }
}

/// How an append ended.
#[derive(Debug)]
pub(crate) enum Appended {
    /// The bytes are on the disk. Holds the file as it is after the append.
    Synced(PinnedFile),
    /// The whole record is in the file, so other processes may read it. But it is not known to be on the disk: the
    /// write, the sync, or the look at the path after it reported an error. Never sync the file again: the system may
    /// have dropped the bytes, and would report the second sync as a success.
    Unsynced { file: PinnedFile, cause: io::Error },
    /// The whole record is not in the file, so no reader counts it.
    Failed,
}

impl StoreFile {
    /// Appends the parts, one after the other, and syncs them. The error
    /// [`ChangedMeanwhile`](crate::Error::ChangedMeanwhile) means that the path does not lead to the file that was
    /// loaded, or that the file does not end where it ended. The same call may succeed later. The error
    /// [`PathChanged`](crate::Error::PathChanged) means that a directory or a link in the path was exchanged.
    pub(crate) fn append(
        &self,
        lock: &Lock,
        pinned: &PinnedFile,
        end: LoadedEnd<'_>,
        parts: &[&[u8]],
    ) -> Result<Appended> {
        let file = match self.disk.open_to_append(&self.path) {
            Ok(file) => Arc::new(file),
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Err(self.why_not_as_loaded()),
            Err(_) => return Ok(Appended::Failed),
        };
        // If a tool deletes the lock file, another writer may be as far as this one.
        let _inode_lock = match InodeLock::try_new(&file) {
            // Held by `two_with_different_lock_files_do_not_append_to_one_file`: `None`.
            Err(TryLockError::WouldBlock) => return Err(self.changed_meanwhile()),
            // Some file systems have no such lock. The lock file is what keeps writers apart.
            inode_lock => inode_lock.ok(),
        };
        let loaded = file.metadata().map_err(failed(FileOperation::ReadMetadata, &self.path))?;
        // Held by `nothing_is_appended_to_a_file_that_is_not_as_it_was_loaded`.
        // Held by `nothing_is_appended_to_a_file_that_is_not_as_it_was_loaded`: `false` instead of
        // `!lock.is_at_its_path()`.
        // Held by `link_that_is_exchanged_during_a_save_is_noticed`: `false` instead of `!self.leads_to(&loaded)?`.
        if !lock.is_at_its_path() || !self.leads_to(&loaded)? || !self.is_as_loaded(&file, &loaded, pinned, end)? {
            return Err(self.why_not_as_loaded());
        }
        let added = parts.iter().fold(0_u64, |sum, part| sum.saturating_add(length(part.len())));
        let new_len = end.len.saturating_add(added);
        // Held by `record_without_blocks_on_a_full_disk_is_not_begun`.
        if !self.has_blocks_for(&file, &loaded, added) {
            return Ok(Appended::Failed);
        }
        if let Err(cause) = self.disk.append(&file, end.len, parts) {
            let is_whole = file.metadata().map_or(true, |metadata| metadata.len() >= new_len);
            return if is_whole { self.unsynced(&file, new_len, cause) } else { Ok(Appended::Failed) };
        }
        if let Err(cause) = self.disk.sync_data(&file) {
            return self.unsynced(&file, new_len, cause);
        }
        let metadata = match self.disk.look(&self.path) {
            Ok(metadata) => metadata,
            // Held by `file_replaced_during_an_append_is_no_success`: `io::ErrorKind::Other` instead of
            // `io::ErrorKind::NotFound`.
            Err(gone) if gone.kind() == io::ErrorKind::NotFound => return Err(self.changed_meanwhile()),
            Err(cause) => return self.unsynced(&file, new_len, cause),
        };
        // Held by `file_replaced_during_an_append_is_no_success`.
        if metadata.len() != new_len || !is_same(access::stamp_of(&loaded).as_ref(), &metadata) {
            return Err(self.changed_meanwhile());
        }
        Ok(Appended::Synced(OpenFile::new(file.clone(), &metadata, &self.path).pin()))
    }

    /// Reserves blocks for later appends, if the file has few beyond its end. `metadata` is that of the file. This
    /// happens before the append, because it changes the times of the file. Returns `false` if the disk is full and has
    /// no blocks for these bytes: a part of a record at the end of the file would keep shorter records from being
    /// appended.
    fn has_blocks_for(&self, file: &File, metadata: &Metadata, added: u64) -> bool {
        let end = metadata.len();
        let reserved = access::reserved(metadata, end);
        if reserved >= added.saturating_add(RESERVE / 2) {
            return true;
        }
        let is_full_for = |len| self.disk.reserve(file, end, len).is_err_and(|error| is_full(&error));
        // A failure of another kind costs nothing but time.
        !is_full_for(added.saturating_add(RESERVE)) || reserved >= added || !is_full_for(added)
    }

    /// Marks a file that was loaded and then could not be synced, unless another writer has changed it meanwhile.
    pub(crate) fn mark_unsynced(&self, pinned: &PinnedFile, end: LoadedEnd<'_>) -> Result<()> {
        let file = self.disk.open_to_append(&self.path).map_err(failed(FileOperation::Open, &self.path))?;
        let inode_lock = InodeLock::try_new(&file);
        let is_in_use = matches!(inode_lock, Err(TryLockError::WouldBlock));
        let metadata = file.metadata().map_err(failed(FileOperation::ReadMetadata, &self.path))?;
        if !is_in_use && self.is_as_loaded(&file, &metadata, pinned, end)? {
            self.mark(&file, end.len);
        }
        Ok(())
    }

    /// Appends a zero byte to a file whose bytes could not be synced. Without it another handle could sync the file
    /// without an error, although bytes may be missing on the disk, and append a record after them. The byte is no
    /// record, so the file counts as torn, and the next writer replaces it.
    fn mark(&self, file: &File, len: u64) {
        // Held by `nobody_appends_after_a_record_that_could_not_be_synced`,
        // `second_writer_after_a_killed_one_survives_a_power_cut`,
        // `file_that_could_not_be_synced_is_never_synced_again`.
        let _ = self.disk.append(file, len, &[&[0]]);
    }

    /// Marks the file, which ends in a record that could not be synced.
    fn unsynced(&self, file: &Arc<File>, len: u64, cause: io::Error) -> Result<Appended> {
        self.mark(file, len);
        let metadata = self.disk.metadata(file);
        // Held by `metadata_error_after_an_append_means_unsynced`: `Some(metadata.unwrap())` instead of
        // `metadata.ok()`.
        let opened = metadata.ok().map(|metadata| OpenFile::new(file.clone(), &metadata, &self.path));
        Ok(Appended::Unsynced { file: PinnedFile::new(opened), cause })
    }

    /// Whether the path that the caller gave leads to the open file with that metadata.
    fn leads_to(&self, opened: &Metadata) -> Result<bool> {
        let Some(stamp) = access::stamp_of(opened) else { return self.check_path().map(|()| true) };
        Ok(fs::metadata(&self.given).is_ok_and(|at_path| is_same(Some(&stamp), &at_path)))
    }

    /// Whether the open file with that metadata is the one that was loaded, and ends where it ended.
    fn is_as_loaded(&self, file: &File, metadata: &Metadata, pinned: &PinnedFile, end: LoadedEnd<'_>) -> Result<bool> {
        let is_loaded = metadata.len() == end.len && is_same(pinned.stamp(), metadata);
        Ok(is_loaded && end.is_in(file).map_err(failed(FileOperation::Read, &self.path))?)
    }

    /// The error for a file that is not as it was loaded, or that the path does not lead to any more.
    fn why_not_as_loaded(&self) -> Error {
        match self.check_path() {
            // Held by `link_that_is_exchanged_during_a_save_is_noticed`: `=> self.changed_meanwhile()` instead
            // of `=> changed`.
            Err(changed @ Error::PathChanged { .. }) => changed,
            _ => self.changed_meanwhile(),
        }
    }

    /// How many bytes are reserved on the disk beyond the end of the file, for later appends.
    pub(crate) fn reserved(&self) -> Result<u64> {
        let metadata = self.metadata()?;
        Ok(access::reserved(&metadata, metadata.len()))
    }

    /// Whether an append to a file of this file system is on the disk, and visible to every process that has the file
    /// open, once its sync has succeeded. Network file systems do not promise that.
    pub(crate) fn appends_reliably(&self) -> bool {
        *self.appends_reliably.get_or_init(|| self.disk.appends_reliably(&self.directory))
    }
}

/// Whether the disk has no block left, or none for this user.
pub(crate) fn is_full(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded)
}

/// Whether both are of one file, where files have a stamp.
fn is_same(one: Option<&FileStamp>, other: &Metadata) -> bool {
    match (one, access::stamp_of(other)) {
        (Some(one), Some(other)) => one.is_same_file(&other),
        (None, None) => true,
        _ => false,
    }
}

/// Whether these bytes stand at that place of a file.
fn has_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; bytes.len()];
    match access::read_exact_at(file, &mut found, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| found == bytes),
    }
}
