//! A file that is open: what it holds, and how it is told from the file that may take its place.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek},
    path::{Path, PathBuf},
};

use super::{access, failed};
use crate::{
    error::{Error, FileFlaw, FileOperation, Result},
    format::length,
    secret::SecretBytes,
};

/// A file that was opened to be read.
#[derive(Debug)]
pub(crate) struct Opened {
    pub(super) file: File,
    identity: Option<Identity>,
    len: u64,
    path: PathBuf,
}

/// A file whose contents are in memory. It stays open: the number of an open inode is not given to another file, so a
/// path that leads to that number leads to this file. `None` where files have no identity: there an open file would
/// only be in the way of its own replacement.
#[derive(Debug)]
pub(crate) struct Held(Option<Opened>);

/// What changes when a file is replaced or written to. Where a platform has no such thing, nobody can tell from
/// outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Identity {
    device: u64,
    inode: u64,
    len: u64,
    modified: (i64, i64),
    changed: (i64, i64),
}

impl Identity {
    /// Whether both are of one file, be it in different states.
    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        (self.device, self.inode) == (other.device, other.inode)
    }

    /// Whether both are of one file with the same bytes. Who writes to a file changes the time of its last
    /// modification; who changes its mode, its owner or the time of its last access changes only `changed`.
    pub(super) fn has_same_bytes(&self, other: &Self) -> bool {
        let Self { device, inode, len, modified, changed: _ } = self;
        (device, inode, len, modified) == (&other.device, &other.inode, &other.len, &other.modified)
    }
}

impl Opened {
    pub(super) fn new(file: File, metadata: &Metadata, path: &Path) -> Self {
        Self { file, identity: identity(metadata), len: metadata.len(), path: path.to_owned() }
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

    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.identity.as_ref()
    }

    /// The error for a file that cannot be used as it is.
    pub(crate) fn bad(&self, flaw: FileFlaw) -> Error {
        Error::BadFile { path: self.path.clone(), flaw }
    }

    /// Keeps the file, for as long as what was read of it is used.
    pub(crate) fn hold(self) -> Held {
        Held::new(Some(self))
    }

    /// The file's permission bits, where it has them.
    pub(crate) fn mode(&self) -> Option<u32> {
        self.file.metadata().ok().as_ref().and_then(access::mode)
    }

    pub(crate) fn len(&self) -> u64 {
        self.len
    }
}

impl Held {
    pub(super) fn new(opened: Option<Opened>) -> Self {
        Self(opened.filter(|opened| opened.identity.is_some()))
    }

    pub(crate) fn identity(&self) -> Option<&Identity> {
        self.0.as_ref().and_then(Opened::identity)
    }

    /// Whether these still are the first bytes of the file, if it is held.
    pub(crate) fn starts_with(&self, bytes: &[u8]) -> Result<bool> {
        self.0.as_ref().map_or(Ok(false), |opened| Ok(opened.read_start(bytes.len())? == bytes))
    }

    /// The same file with another handle. A lock that is taken through either handle is held by both.
    pub(crate) fn duplicate(&self) -> Result<Self> {
        let duplicate = |opened: &Opened| {
            let file = opened.file.try_clone().map_err(failed(FileOperation::Open, &opened.path))?;
            Ok(Opened { file, identity: opened.identity.clone(), len: opened.len, path: opened.path.clone() })
        };
        self.0.as_ref().map(duplicate).transpose().map(Self)
    }

    /// The open file, if it is held.
    pub(super) fn file(&self) -> Option<&File> {
        self.0.as_ref().map(|opened| &opened.file)
    }

    /// How many bytes it keeps on the disk.
    pub(crate) fn len(&self) -> u64 {
        self.0.as_ref().map_or(0, Opened::len)
    }
}

#[cfg(unix)]
#[expect(clippy::unnecessary_wraps, reason = "other platforms have none")]
pub(super) fn identity(metadata: &Metadata) -> Option<Identity> {
    use std::os::unix::fs::MetadataExt;
    Some(Identity {
        device: metadata.dev(),
        inode: metadata.ino(),
        len: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
}

#[cfg(not(unix))]
pub(super) fn identity(_: &Metadata) -> Option<Identity> {
    None
}
