//! A file that is open, and stays open while its contents are in memory, so that its inode is not given to another
//! file.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
};

use super::{FileStamp, access, failed};
use crate::{
    error::{Error, FileFlaw, FileOperation, Result},
    format::length,
    secret::SecretBytes,
};

/// A file that was opened to be read.
#[derive(Debug)]
pub(crate) struct OpenFile {
    pub(super) file: File,
    stamp: Option<FileStamp>,
    len: u64,
    path: PathBuf,
}

/// A file whose contents are in memory. It stays open: the number of an open inode is not given to another file, so a
/// path that leads to that number leads to this file. `None` where files have no stamp: there an open file would
/// only be in the way of its own replacement.
#[derive(Debug)]
pub(crate) struct PinnedFile(Option<OpenFile>);

impl OpenFile {
    pub(super) fn new(file: File, metadata: &Metadata, path: &Path) -> Self {
        Self { file, stamp: access::stamp_of(metadata), len: metadata.len(), path: path.to_owned() }
    }

    /// The first bytes, at most that many.
    pub(crate) fn read_start(&self, len: usize) -> Result<Vec<u8>> {
        self.read(length(len).min(self.len))
    }

    /// All bytes. They are wiped with the buffer: it is where they are decrypted.
    pub(crate) fn read_all(&self) -> Result<SecretBytes> {
        self.read(self.len).map(SecretBytes::new)
    }

    fn read(&self, len: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let reserved = usize::try_from(len)
            .map_err(io::Error::other)
            .and_then(|len| bytes.try_reserve_exact(len).map_err(io::Error::other));
        let mut file = &self.file;
        reserved
            .and_then(|()| file.rewind())
            .and_then(|()| file.take(len).read_to_end(&mut bytes))
            .map_err(failed(FileOperation::Read, &self.path))?;
        Ok(bytes)
    }

    pub(crate) fn stamp(&self) -> Option<&FileStamp> {
        self.stamp.as_ref()
    }

    /// The error for a file that cannot be used as it is.
    pub(crate) fn bad(&self, flaw: FileFlaw) -> Error {
        Error::BadFile { path: self.path.clone(), flaw }
    }

    /// Keeps the file, for as long as what was read of it is used.
    pub(crate) fn pin(self) -> PinnedFile {
        PinnedFile::new(Some(self))
    }

    /// The file's permission bits, where it has them.
    pub(crate) fn mode(&self) -> Option<u32> {
        self.file.metadata().ok().as_ref().and_then(access::mode)
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl PinnedFile {
    pub(super) fn new(opened: Option<OpenFile>) -> Self {
        Self(opened.filter(|opened| opened.stamp.is_some()))
    }

    pub(crate) fn stamp(&self) -> Option<&FileStamp> {
        self.0.as_ref().and_then(OpenFile::stamp)
    }

    /// Whether these still are the first bytes of the file, if it is held.
    pub(crate) fn starts_with(&self, bytes: &[u8]) -> Result<bool> {
        self.0.as_ref().map_or(Ok(false), |opened| Ok(opened.read_start(bytes.len())? == bytes))
    }

    /// The same file with another handle. A lock that is taken through either handle is held by both.
    pub(crate) fn duplicate(&self) -> Result<Self> {
        let duplicate = |opened: &OpenFile| {
            let file = opened.file.try_clone().map_err(failed(FileOperation::Open, &opened.path))?;
            Ok(OpenFile { file, stamp: opened.stamp.clone(), len: opened.len, path: opened.path.clone() })
        };
        self.0.as_ref().map(duplicate).transpose().map(Self)
    }

    /// The open file, if it is held.
    pub(super) fn file(&self) -> Option<&File> {
        self.0.as_ref().map(|opened| &opened.file)
    }

    /// How many bytes it keeps on the disk.
    pub(crate) fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, OpenFile::len)
    }
}
