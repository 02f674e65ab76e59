//! What can be told of a store without telling what it holds.

use std::{fmt, path::PathBuf};

/// A store as [`Keystore::status`](crate::Keystore::status) finds it. Its `Display` is what a support page would show.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Status {
    /// Where the file is, with symbolic links resolved.
    pub path: PathBuf,
    /// The version of the file's format.
    pub format_version: u16,
    /// How often the file was replaced, and one.
    pub generation: u64,
    /// How many tokens there are.
    pub tokens: usize,
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
    /// How often the file says that it was replaced, and one.
    pub generation: u64,
    /// The file's length in bytes.
    pub file_len: u64,
}

impl fmt::Display for Status {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        writeln!(f, "keystore:    {}", self.path.display())?;
        writeln!(f, "format:      {}", self.format_version)?;
        writeln!(f, "generation:  {}", self.generation)?;
        writeln!(f, "tokens:      {}", self.tokens)?;
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
