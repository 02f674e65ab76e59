//! A look whether the next save would succeed, before a refresh token is spent that only a save can replace.

use super::{StoreFile, access, failed, is_full};
use crate::{
    error::{FileOperation, Result},
    format::{BLOCK, length},
};

/// What the next save writes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct NextSave {
    /// The length of the file without a journal.
    pub(crate) compacted_len: u64,
    pub(crate) may_append: bool,
}

impl StoreFile {
    /// That the next save of the file that is at the resolved path would succeed, as far as the system says so
    /// beforehand: one that makes the file longer by at most `growth` bytes, on a disk with `room` more bytes than that
    /// file has. Changes nothing.
    pub(crate) fn check_savable(&self, next_save: NextSave, growth: u64, room: u64) -> Result<()> {
        self.check_writable()?;
        self.check_lock_files()?;
        // Held by `journal_at_the_limit_stops_no_claim`: `self.metadata()?.len()` instead of `next_save.compacted_len`.
        self.check_len(next_save.compacted_len.saturating_add(growth))?;
        self.check_not_mounted()?;
        match access::check_room(&self.directory, next_save.compacted_len.saturating_add(room)) {
            // Held by `full_and_read_only_disks_lose_nothing`: `&& false`.
            Err(error) if is_full(&error) && next_save.may_append && self.has_reserve(room)? => Ok(()),
            checked => checked.map_err(failed(FileOperation::Write, &self.path)),
        }
    }

    /// Whether a save of that many bytes, or of a block, can be appended to blocks that the file has already.
    fn has_reserve(&self, room: u64) -> Result<bool> {
        Ok(self.appends_reliably() && self.reserved()? >= room.max(length(BLOCK)))
    }

    /// That a later save may replace the file. Else appending would go well until the journal is full.
    pub(crate) fn check_may_replace(&self) -> Result<()> {
        self.check_not_mounted()?;
        access::check_writable_directory(&self.directory).map_err(failed(FileOperation::Write, &self.path))
    }
}
