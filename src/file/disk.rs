//! The seam that every change of a store file and its directory passes, so that a test can watch it or stop it
//! anywhere. Lock files do not pass it.

use std::{
    fmt,
    fs::{self, File, Metadata},
    io::{self, IoSlice, Seek, SeekFrom, Write},
    path::Path,
};

use super::access;

/// The calls that change the disk, and those that make changes last.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// A new file that only its owner may read and write.
    fn create_new(&self, path: &Path) -> io::Result<File>;
    /// The file at the path, to append to it. Never makes one, and follows no link.
    fn open_to_append(&self, path: &Path) -> io::Result<File>;
    /// Reserves that many bytes on the disk from that place on, without changing the length of the file.
    fn reserve(&self, file: &File, offset: u64, len: u64) -> io::Result<()>;
    /// Writes the parts one after the other to that place, in one call if the system takes them all.
    fn append(&self, file: &File, offset: u64, parts: &[&[u8]]) -> io::Result<()>;
    /// Brings a file's bytes and its length to the disk. As with [`sync`](Self::sync) there is no second try.
    fn sync_data(&self, file: &File) -> io::Result<()>;
    /// Writes the parts one after the other, in one call if the system takes them all.
    fn write_all(&self, file: &File, parts: &[&[u8]]) -> io::Result<()>;
    /// Brings a file's bytes to the disk. If it fails the kernel may have dropped them, and a second try would succeed
    /// without them: there is none.
    fn sync(&self, file: &File) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Renames a file to a name that no file has, where the system can tell in one step; else the caller's look is all.
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// A handle to sync a directory with; `None` where the platform has none.
    fn open_directory(&self, directory: &Path) -> io::Result<Option<File>>;
    /// Brings a directory's names to the disk.
    fn sync_directory(&self, directory: &File) -> io::Result<()>;
    /// Asks for the metadata of the file at a path, without following a link. After a sync it tells more than that: XFS
    /// calls a sync a success after it has shut down, and then this fails.
    fn look(&self, path: &Path) -> io::Result<Metadata>;
    /// Asks for the metadata of an open file.
    fn metadata(&self, file: &File) -> io::Result<Metadata>;
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Whether the file system of that directory brings an append to the disk when it says so.
    fn appends_reliably(&self, directory: &Path) -> bool {
        access::appends_reliably(directory)
    }
}

/// The operating system's disk.
#[derive(Debug)]
pub(crate) struct Os;

impl Disk for Os {
    fn create_new(&self, path: &Path) -> io::Result<File> {
        access::open_options().read(true).write(true).create_new(true).open(path)
    }

    fn open_to_append(&self, path: &Path) -> io::Result<File> {
        access::patiently(|| access::open_file(path, true))
    }

    fn reserve(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        access::reserve(file, offset, len)
    }

    fn append(&self, mut file: &File, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        file.seek(SeekFrom::Start(offset))?;
        self.write_all(file, parts)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        access::sync_data(file)
    }

    fn write_all(&self, mut file: &File, parts: &[&[u8]]) -> io::Result<()> {
        let mut parts: Vec<_> = parts.iter().map(|part| IoSlice::new(part)).collect();
        let mut rest = parts.as_mut_slice();
        // Past parts without a byte: a write of none would say that the disk takes none.
        IoSlice::advance_slices(&mut rest, 0);
        // Held by `full_and_read_only_disks_lose_nothing`: `if` instead of `while`.
        while !rest.is_empty() {
            match file.write_vectored(rest) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut rest, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        access::sync(file)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        access::patiently(|| fs::rename(from, to))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        access::patiently(|| access::rename_new(from, to))
    }

    fn open_directory(&self, directory: &Path) -> io::Result<Option<File>> {
        if cfg!(unix) { access::open_directory(directory).map(Some) } else { Ok(None) }
    }

    fn sync_directory(&self, directory: &File) -> io::Result<()> {
        access::sync(directory)
    }

    fn look(&self, path: &Path) -> io::Result<Metadata> {
        fs::symlink_metadata(path)
    }

    fn metadata(&self, file: &File) -> io::Result<Metadata> {
        file.metadata()
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}

/// The operating system's disk, with a watcher that is asked before each call and may let it fail.
#[cfg(any(test, feature = "__fuzzing"))]
pub(crate) struct Watched<F>(pub(crate) F);

#[cfg(any(test, feature = "__fuzzing"))]
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Call {
    OpenDirectory,
    Create,
    OpenToAppend,
    Reserve,
    Append,
    SyncData,
    Write,
    Sync,
    Rename,
    SyncDirectory,
    Look,
    Metadata,
    Remove,
    /// The question whether appending is reliable; an error means that it is not.
    AppendsReliably,
}

#[cfg(any(test, feature = "__fuzzing"))]
impl<F> fmt::Debug for Watched<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Watched")
    }
}

#[cfg(any(test, feature = "__fuzzing"))]
impl<F: Fn(Call) -> io::Result<()> + Send + Sync> Disk for Watched<F> {
    fn create_new(&self, path: &Path) -> io::Result<File> {
        (self.0)(Call::Create).and_then(|()| Os.create_new(path))
    }

    fn open_to_append(&self, path: &Path) -> io::Result<File> {
        (self.0)(Call::OpenToAppend).and_then(|()| Os.open_to_append(path))
    }

    fn reserve(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        (self.0)(Call::Reserve).and_then(|()| Os.reserve(file, offset, len))
    }

    fn append(&self, file: &File, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        if let Err(error) = (self.0)(Call::Append) {
            // In part, as a full disk does.
            let bytes = parts.concat();
            Os.append(file, offset, &[bytes.get(..bytes.len() / 2).unwrap_or_default()])?;
            return Err(error);
        }
        Os.append(file, offset, parts)
    }

    fn sync_data(&self, file: &File) -> io::Result<()> {
        (self.0)(Call::SyncData).and_then(|()| Os.sync_data(file))
    }

    fn write_all(&self, file: &File, parts: &[&[u8]]) -> io::Result<()> {
        if let Err(error) = (self.0)(Call::Write) {
            // In part, as a full disk does.
            let bytes = parts.concat();
            Os.write_all(file, &[bytes.get(..bytes.len() / 2).unwrap_or_default()])?;
            return Err(error);
        }
        Os.write_all(file, parts)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        (self.0)(Call::Sync).and_then(|()| Os.sync(file))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.0)(Call::Rename).and_then(|()| Os.rename(from, to))
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        (self.0)(Call::Rename).and_then(|()| Os.rename_new(from, to))
    }

    fn open_directory(&self, directory: &Path) -> io::Result<Option<File>> {
        (self.0)(Call::OpenDirectory).and_then(|()| Os.open_directory(directory))
    }

    fn sync_directory(&self, directory: &File) -> io::Result<()> {
        (self.0)(Call::SyncDirectory).and_then(|()| Os.sync_directory(directory))
    }

    fn look(&self, path: &Path) -> io::Result<Metadata> {
        (self.0)(Call::Look).and_then(|()| Os.look(path))
    }

    fn metadata(&self, file: &File) -> io::Result<Metadata> {
        (self.0)(Call::Metadata).and_then(|()| Os.metadata(file))
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        (self.0)(Call::Remove).and_then(|()| Os.remove(path))
    }

    fn appends_reliably(&self, directory: &Path) -> bool {
        (self.0)(Call::AppendsReliably).is_ok() && Os.appends_reliably(directory)
    }
}
