//! The state of a store, without what it holds.

use std::{fmt, path::PathBuf};

use crate::slot::KeySlot;

/// The state of a store, from [`Keystore::status`](crate::Keystore::status). Its `Display` is fit for a support page.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// The path of the file, with symbolic links resolved.
    pub path: PathBuf,
    /// The version of the file's format.
    pub format_version: u16,
    /// 1 for a new store, and one more for each replacement.
    pub generation: u64,
    /// How many tokens are stored.
    pub tokens: usize,
    /// The key slot that opened this handle, unless another handle has removed or replaced it since.
    pub opened_by: Option<KeySlot>,
    /// The file's length in bytes.
    pub file_len: u64,
    /// The file's permission bits, where it has them.
    pub mode: Option<u32>,
    /// What the file system does not offer to make a change durable.
    pub not_offered: Vec<NotOffered>,
}

/// What [`Keystore::verify_file`](crate::Keystore::verify_file) reads from a file without a key. None of it is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileStatus {
    /// The version of the file's format.
    pub format_version: u16,
    /// According to the file: 1 for a new store, and one more for each replacement.
    pub generation: u64,
    /// The file's length in bytes.
    pub file_len: u64,
}

/// What the file system does not offer to make a change durable. Its `Display` says what follows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum NotOffered {
    /// Syncing a directory: a power cut may undo a change, but never leaves a part of it.
    DirectorySync,
    /// `F_FULLFSYNC` (macOS): the disk may keep a change in its own cache for a while.
    FullSync,
}

impl fmt::Display for NotOffered {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::DirectorySync => "syncing a directory: a power cut may undo a change, but never leaves a part of it",
            Self::FullSync => "F_FULLFSYNC: the disk may keep a change in its own cache for a while",
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
        write!(f, "length:      {} bytes", self.file_len)?;
        if let Some(mode) = self.mode {
            write!(f, "\nmode:        {mode:04o}")?;
        }
        for missing in &self.not_offered {
            write!(f, "\nnot offered: {missing}")?;
        }
        Ok(())
    }
}
