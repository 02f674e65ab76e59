//! A file that is open, and stays open while its contents are in memory, so that its inode is not given to another
//! file.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{FileStamp, LoadedEnd, access, failed};
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
    pub(super) fn new(file: Arc<File>, metadata: &Metadata, path: &Path) -> Self {
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

    /// The bytes from that place on to the end that the file had at the last look; `None` if the file is shorter now.
    pub(crate) fn read_from(&self, offset: u64) -> Result<Option<SecretBytes>> {
        let len = self.len.saturating_sub(offset);
        let read = room_for(len).and_then(|(mut bytes, len)| {
            bytes.resize(len, 0);
            access::read_exact_at(&self.file, &mut bytes, offset).map(|()| bytes)
        });
        match read {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Ok(None),
            read => read.map(|bytes| Some(SecretBytes::new(bytes))).map_err(failed(FileOperation::Read, &self.path)),
        }
    }

    /// The first bytes, fewer if the file is shorter now. This moves the position of the open file, so it is not for a
    /// file that others may read through the same handle.
    fn read(&self, len: u64) -> Result<Vec<u8>> {
        let mut file = &*self.file;
        let read = room_for(len).and_then(|(mut bytes, _)| {
            file.rewind()?;
            file.take(len).read_to_end(&mut bytes).map(|_| bytes)
        });
        read.map_err(failed(FileOperation::Read, &self.path))
    }

    /// Whether the file still starts and ends as it was loaded.
    pub(crate) fn holds(&self, end: LoadedEnd<'_>) -> Result<bool> {
        end.is_in(&self.file).map_err(failed(FileOperation::Read, &self.path))
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

    /// Whether the file is held, and still starts and ends as it was loaded.
    pub(crate) fn holds(&self, end: LoadedEnd<'_>) -> Result<bool> {
        self.0.as_ref().map_or(Ok(false), |opened| opened.holds(end))
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

    /// The length of the file at the last look.
    pub(crate) fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, OpenFile::len)
    }
}

/// An empty buffer that has room for that many bytes, and their number.
fn room_for(len: u64) -> io::Result<(Vec<u8>, usize)> {
    let len = usize::try_from(len).map_err(io::Error::other)?;
    let mut bytes = Vec::new();
    bytes.try_reserve_exact(len).map_err(io::Error::other)?;
    Ok((bytes, len))
}
