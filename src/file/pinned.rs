//! A file that is open, and stays open while its contents are in memory, so that its inode is not given to another
//! file.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek, SeekFrom},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{FileStamp, access, failed};
use crate::{
    error::{Error, FileFlaw, FileOperation, Result},
    format::length,
    secret::SecretBytes,
};

/// A file that was opened to be read. Clones share the open file, and a lock that was taken through one of them is held
/// by all.
#[derive(Debug, Clone)]
pub(crate) struct OpenFile {
    pub(super) file: Arc<File>,
    stamp: Option<FileStamp>,
    len: u64,
    path: PathBuf,
}

/// A file whose contents are in memory. It stays open: the number of an open inode is not given to another file, so a
/// path that leads to that number leads to this file. `None` where files have no stamp: there an open file would
/// only be in the way of its own replacement.
#[derive(Debug, Clone)]
pub(crate) struct PinnedFile(Option<OpenFile>);

impl OpenFile {
    pub(super) fn new(file: impl Into<Arc<File>>, metadata: &Metadata, path: &Path) -> Self {
        let (stamp, len) = (access::stamp_of(metadata), metadata.len());
        Self { file: file.into(), stamp, len, path: path.to_owned() }
    }

    /// The first bytes, at most that many.
    pub(crate) fn read_start(&self, len: usize) -> Result<Vec<u8>> {
        self.read(length(len).min(self.len))
    }

    /// All bytes. They are wiped with the buffer: it is where they are decrypted.
    pub(crate) fn read_all(&self) -> Result<SecretBytes> {
        self.read(self.len).map(SecretBytes::new)
    }

    /// The bytes from that place on to the end that the file had when it was opened.
    pub(crate) fn read_from(&self, offset: u64) -> Result<SecretBytes> {
        self.read_at(offset, self.len.saturating_sub(offset)).map(SecretBytes::new)
    }

    /// Whether these bytes stand at that place.
    pub(crate) fn has_at(&self, offset: u64, bytes: &[u8]) -> Result<bool> {
        has_at(&self.file, offset, bytes).map_err(failed(FileOperation::Read, &self.path))
    }

    /// Whether these are the last bytes before that place.
    pub(crate) fn ends_with(&self, end: u64, bytes: &[u8]) -> Result<bool> {
        self.has_at(end.saturating_sub(length(bytes.len())), bytes)
    }

    fn read(&self, len: u64) -> Result<Vec<u8>> {
        self.read_at(0, len)
    }

    fn read_at(&self, offset: u64, len: u64) -> Result<Vec<u8>> {
        let mut bytes = Vec::new();
        let reserved = usize::try_from(len)
            .map_err(io::Error::other)
            .and_then(|len| bytes.try_reserve_exact(len).map_err(io::Error::other));
        let mut file = &*self.file;
        reserved
            .and_then(|()| file.seek(SeekFrom::Start(offset)))
            .map(drop)
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

    /// Whether these still are the first bytes of the file, and those the last before that place, if the file is held.
    pub(crate) fn holds(&self, start: &[u8], end: u64, last: &[u8]) -> Result<bool> {
        let holds = |opened: &OpenFile| Ok(opened.has_at(0, start)? && opened.ends_with(end, last)?);
        self.0.as_ref().map_or(Ok(false), holds)
    }

    /// Whether a stamp is of this file, perhaps with other bytes.
    pub(crate) fn is_file_of(&self, stamp: &FileStamp) -> bool {
        self.stamp().is_some_and(|own| own.is_same_file(stamp))
    }

    /// Whether that is the same file, perhaps with other bytes. Where files have no stamp, it may be.
    pub(crate) fn may_be_same_file(&self, other: &OpenFile) -> bool {
        match (self.stamp(), other.stamp()) {
            (Some(one), Some(other)) => one.is_same_file(other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    /// The open file, if it is held.
    pub(super) fn file(&self) -> Option<&Arc<File>> {
        self.0.as_ref().map(|opened| &opened.file)
    }

    /// How many bytes it keeps on the disk.
    pub(crate) fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, OpenFile::len)
    }
}

/// Whether these bytes stand at that place of a file.
pub(super) fn has_at(file: &File, offset: u64, bytes: &[u8]) -> io::Result<bool> {
    let mut found = vec![0; bytes.len()];
    match access::read_exact_at(file, &mut found, offset) {
        Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(false),
        read => read.map(|()| found == bytes),
    }
}
