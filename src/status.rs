//! The state of a store, without what it holds.

use std::{fmt, path::PathBuf};

use crate::{
    error::{Error, ErrorKind},
    slot::KeySlot,
};

/// The state of a store, from [`Keystore::status`](crate::Keystore::status). Its `Display` is fit for a support page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The path of the file, with symbolic links resolved.
    pub path: PathBuf,
    /// The version of the file's format.
    pub format_version: u16,
    /// 1 for a new store, and one more for each replacement of the file.
    pub generation: u64,
    /// How many tokens are stored.
    pub tokens: usize,
    /// The key slot that opened this handle, unless another handle has removed or replaced it since.
    pub opened_by: Option<KeySlot>,
    /// The file's length in bytes.
    pub file_len: u64,
    /// The records that were appended to the file since it was replaced.
    pub journal: JournalStatus,
    /// How many bytes are reserved on the disk beyond the end of the file. Saves into these bytes succeed on a full
    /// disk, if the file system writes in place.
    pub reserved: u64,
    /// The file's permission bits, where it has them.
    pub mode: Option<u32>,
    /// What the file system does not offer to make a change durable.
    pub not_offered: Vec<NotOffered>,
    /// Why a save would fail now, if it would: see [`Keystore::check_writable`](crate::Keystore::check_writable).
    pub not_writable: Option<NotWritable>,
}

/// Why a save would fail: part of a [`Status`]. Its `Display` is the message of the error.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct NotWritable {
    /// The kind of the error.
    pub kind: ErrorKind,
    /// The message of the error.
    pub message: String,
}

impl NotWritable {
    pub(crate) fn of(error: &Error) -> Self {
        Self { kind: error.kind(), message: error.to_string() }
    }
}

impl fmt::Display for NotWritable {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

/// What [`Keystore::verify_file`](crate::Keystore::verify_file) reads from a file without a key. None of it is
/// authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileStatus {
    /// The version of the file's format.
    pub format_version: u16,
    /// According to the file: 1 for a new store, and one more for each replacement.
    pub generation: u64,
    /// The file's length in bytes.
    pub file_len: u64,
    /// The records that were appended to the file since it was replaced.
    pub journal: JournalStatus,
}

/// The records that follow the body of a file: part of a [`Status`] and of a [`FileStatus`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct JournalStatus {
    /// How many whole records the journal has. A record holds one save, or the saves of a group or a transaction.
    pub records: u32,
    /// The length of these records in bytes.
    pub len: u64,
    /// Whether a torn record follows: one that its writer did not finish, or the mark of a sync that failed. Readers
    /// ignore it, and the next save replaces the file.
    pub is_torn: bool,
}

/// What the file system does not offer to make a change durable. Its `Display` says what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOffered {
    /// Syncing a directory: a power cut may undo a change, but never leaves a part of it.
    DirectorySync,
    /// `F_FULLFSYNC` (macOS): the disk may keep a change in its own cache for a while.
    FullSync,
    /// Appending to a file reliably, as on network file systems: each save replaces the file.
    ReliableAppend,
}

impl fmt::Display for NotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DirectorySync => "syncing a directory: a power cut may undo a change, but never leaves a part of it",
            Self::FullSync => "F_FULLFSYNC: the disk may keep a change in its own cache for a while",
            Self::ReliableAppend => "appending to a file reliably: each save replaces the file",
        })
    }
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "keystore:    {}", self.path.display())?;
        writeln!(f, "format:      {}", self.format_version)?;
        writeln!(f, "generation:  {}", self.generation)?;
        writeln!(f, "tokens:      {}", self.tokens)?;
        if let Some(slot) = &self.opened_by {
            writeln!(f, "opened by:   {} {:?}", slot.kind, slot.label)?;
        }
        writeln!(f, "length:      {} bytes", self.file_len)?;
        let JournalStatus { records, len, is_torn } = self.journal;
        let torn = if is_torn { ", and one that was not finished" } else { "" };
        let plural = if records == 1 { "" } else { "s" };
        writeln!(f, "journal:     {records} record{plural}, {len} bytes{torn}")?;
        write!(f, "reserved:    {} bytes", self.reserved)?;
        if let Some(mode) = self.mode {
            write!(f, "\nmode:        {mode:04o}")?;
        }
        for missing in &self.not_offered {
            write!(f, "\nnot offered: {missing}")?;
        }
        if let Some(why) = &self.not_writable {
            write!(f, "\ncannot save: {why}")?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{id::SlotId, kdf::KdfParams, slot::SlotKind, time::Millis};

    fn status() -> Status {
        Status {
            path: PathBuf::from("/home/ada/tokens.keep"),
            format_version: 1,
            generation: 7,
            tokens: 2,
            opened_by: Some(KeySlot {
                id: SlotId([0xAB; 16]),
                kind: SlotKind::Passphrase(KdfParams::default()),
                label: String::from("laptop"),
                created_at: Millis::new(1_795_000_000_123).unwrap().time(),
                provider: None,
            }),
            file_len: 4096,
            journal: JournalStatus { records: 3, len: 12288, is_torn: true },
            reserved: 262_144,
            mode: Some(0o600),
            not_offered: vec![NotOffered::DirectorySync, NotOffered::FullSync, NotOffered::ReliableAppend],
            not_writable: Some(NotWritable::of(&Error::MountedFile { path: PathBuf::from("/home/ada/tokens.keep") })),
        }
    }

    #[test]
    fn debug_of_a_status_has_public_names_and_readable_times() {
        let slot = "KeySlot { id: SlotId(abababababababababababababababab), kind: Passphrase(KdfParams { \
                    memory_kib: 65536, passes: 3, lanes: 4 }), label: \"laptop\", \
                    created_at: 2026-11-18T11:06:40.123Z }";
        let expected = format!(
            "Status {{ path: \"/home/ada/tokens.keep\", format_version: 1, generation: 7, tokens: 2, \
             opened_by: Some({slot}), file_len: 4096, \
             journal: JournalStatus {{ records: 3, len: 12288, is_torn: true }}, reserved: 262144, \
             mode: Some(384), not_offered: [DirectorySync, FullSync, ReliableAppend], \
             not_writable: Some(NotWritable {{ kind: Invalid, message: \"/home/ada/tokens.keep is mounted by \
             itself and cannot be replaced: mount its directory instead\" }}) }}"
        );
        assert_eq!(format!("{:?}", status()), expected);
    }

    #[test]
    fn status_is_shown_for_a_support_page() {
        let expected = "\
keystore:    /home/ada/tokens.keep
format:      1
generation:  7
tokens:      2
opened by:   passphrase \"laptop\"
length:      4096 bytes
journal:     3 records, 12288 bytes, and one that was not finished
reserved:    262144 bytes
mode:        0600
not offered: syncing a directory: a power cut may undo a change, but never leaves a part of it
not offered: F_FULLFSYNC: the disk may keep a change in its own cache for a while
not offered: appending to a file reliably: each save replaces the file
cannot save: /home/ada/tokens.keep is mounted by itself and cannot be replaced: mount its directory instead";
        assert_eq!(status().to_string(), expected);
        let least = Status { opened_by: None, mode: None, not_offered: vec![], not_writable: None, ..status() };
        assert_eq!(least.to_string().lines().count(), 7);
        let journal = JournalStatus { records: 1, is_torn: false, ..least.journal };
        assert!(Status { journal, ..least }.to_string().contains("\njournal:     1 record, 12288 bytes\n"));
    }
}
