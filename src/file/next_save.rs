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
    pub(crate) journal_end: u64,
}

impl StoreFile {
    /// Checks that the next save would succeed, as far as the system says so beforehand. The save makes the tokens
    /// longer by at most `growth` bytes. The disk needs room for the file without a journal and `room` bytes more, or
    /// `room` reserved bytes if the save is appended. Changes nothing.
    pub(crate) fn check_savable(&self, next_save: NextSave, growth: u64, room: u64) -> Result<()> {
        self.check_writable()?;
        self.check_lock_files()?;
        // Held by `journal_at_the_limit_stops_no_claim`: `self.metadata()?.len()` instead of `next_save.compacted_len`.
        self.check_len(next_save.compacted_len.saturating_add(growth))?;
        self.check_not_mounted()?;
        match access::check_room(&self.directory, next_save.compacted_len.saturating_add(room)) {
            // Held by `full_and_read_only_disks_lose_nothing`.
            Err(error) if is_full(&error) && self.can_append(next_save, room)? => Ok(()),
            checked => checked.map_err(failed(FileOperation::Write, &self.path)),
        }
    }

    /// Whether a save of `room` bytes, and at least one block, fits the blocks that are reserved for the file. A file
    /// system that copies on write may need other blocks, for example after a snapshot of btrfs, so there it never
    /// fits.
    fn can_append(&self, next_save: NextSave, room: u64) -> Result<bool> {
        let room = room.max(length(BLOCK));
        // Held by `reserve_is_of_use_only_where_the_next_save_is_appended`: `next_save.may_append`.
        let fits = next_save.may_append && self.check_len(next_save.journal_end.saturating_add(room)).is_ok();
        Ok(fits && self.appends_reliably() && access::writes_in_place(&self.directory) && self.reserved()? >= room)
    }

    /// Checks that a later save may replace the file. Otherwise saves would succeed until the journal is full, and then
    /// fail.
    pub(crate) fn check_may_replace(&self) -> Result<()> {
        self.check_not_mounted()?;
        access::check_writable_directory(&self.directory).map_err(failed(FileOperation::Write, &self.path))
    }
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use std::{fs, os::unix::fs::PermissionsExt, sync::Arc};

    use super::*;
    use crate::file::{Access, Os};

    #[test]
    fn reserve_is_of_use_only_where_the_next_save_is_appended() {
        const LIMIT: u64 = 1 << 20;
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("store");
        fs::write(&path, [0; BLOCK]).unwrap();
        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        let file = StoreFile::existing(&path, Access::Checked, LIMIT, Arc::new(Os)).unwrap();
        let next = NextSave { compacted_len: 0, may_append: true, journal_end: length(BLOCK) };
        assert!(!file.can_append(next, 1 << 16).unwrap(), "nothing is reserved");
        let opened = fs::OpenOptions::new().append(true).open(&path).unwrap();
        if access::reserve(&opened, length(BLOCK), 1 << 18).is_err() || !access::writes_in_place(directory.path()) {
            return;
        }
        assert!(file.can_append(next, 1 << 16).unwrap());
        assert!(!file.can_append(NextSave { may_append: false, ..next }, 1 << 16).unwrap());
        assert!(!file.can_append(NextSave { journal_end: LIMIT - length(BLOCK), ..next }, 1 << 16).unwrap());
    }
}
