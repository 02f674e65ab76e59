//! What can be told of a store without telling what it holds.

use std::{fmt, path::PathBuf, time::SystemTime};

use crate::{format::SlotKind, id::SlotId, kdf::KdfParams};

/// A store as [`Keystore::status`](crate::Keystore::status) finds it. Its `Display` is what a support page would show.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Where the file is, with symbolic links resolved.
    pub path: PathBuf,
    /// The version of the file's format.
    pub format_version: u16,
    /// 1 for a new store, and one more for each replacement.
    pub generation: u64,
    /// How many tokens there are.
    pub tokens: usize,
    /// The way that opened this handle, unless it has been removed or replaced since by another one.
    pub opened_by: Option<KeySlot>,
    /// The file's length in bytes.
    pub file_len: u64,
    /// The file's permission bits, where it has them.
    pub mode: Option<u32>,
    /// What the file system does not offer of what makes a change last, in words.
    pub not_offered: Vec<&'static str>,
}

/// A file as [`Keystore::verify_file`](crate::Keystore::verify_file) finds it without a key. Nothing of it is authenticated.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct FileStatus {
    /// The version of the file's format.
    pub format_version: u16,
    /// As the file says: 1 for a new store, and one more for each replacement.
    pub generation: u64,
    /// The file's length in bytes.
    pub file_len: u64,
}

/// A way to unlock a store, as [`Keystore::slots`](crate::Keystore::slots) lists it: everything about it but its secret.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct KeySlot {
    /// Its id, by which it can be removed or replaced.
    pub id: SlotId,
    /// What opens it, and at what cost.
    pub kind: SlotKind,
    /// What it was called when it was made, see [`Unlock::label`](crate::Unlock::label).
    pub label: String,
    /// When it was made, or last replaced.
    pub created_at: SystemTime,
}

impl KeySlot {
    /// Whether it is a passphrase that costs a guesser less than the [default](KdfParams::default), in memory or in memory times
    /// passes: because the default has risen, or because less was chosen. Just after opening the store the application
    /// has the passphrase, and can [change](crate::Keystore::change_passphrase) it into itself at the new cost.
    #[must_use]
    pub fn needs_upgrade(&self) -> bool {
        matches!(self.kind, SlotKind::Passphrase(kdf) if kdf.is_less_than(KdfParams::default()))
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
