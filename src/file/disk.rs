//! The seam that every change of the disk passes, so that a test can watch it or stop it anywhere.

use std::{
    fmt,
    fs::{self, File},
    io::{self, Write},
    path::Path,
};

use super::access;

/// The calls that change the disk, and those that make changes last.
pub(crate) trait Disk: fmt::Debug + Send + Sync {
    /// A new file that only its owner may read and write.
    fn create_new(&self, path: &Path) -> io::Result<File>;
    fn write_all(&self, file: &mut File, bytes: &[u8]) -> io::Result<()>;
    /// Brings a file's bytes to the disk. If it fails the kernel may have dropped them, and a second try would succeed
    /// without them: there is none.
    fn sync(&self, file: &File) -> io::Result<()>;
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// A handle to sync a folder with; `None` where the platform has none.
    fn open_folder(&self, folder: &Path) -> io::Result<Option<File>>;
    /// Brings a folder's names to the disk, where the file system can do that apart from the rest.
    fn sync_folder(&self, folder: &File) -> io::Result<()>;
    fn remove(&self, path: &Path) -> io::Result<()>;
}

/// The operating system's disk.
#[derive(Debug)]
pub(crate) struct Os;

impl Disk for Os {
    fn create_new(&self, path: &Path) -> io::Result<File> {
        access::open_options().read(true).write(true).create_new(true).open(path)
    }

    fn write_all(&self, file: &mut File, bytes: &[u8]) -> io::Result<()> {
        file.write_all(bytes)
    }

    fn sync(&self, file: &File) -> io::Result<()> {
        file.sync_all()
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn open_folder(&self, folder: &Path) -> io::Result<Option<File>> {
        if cfg!(unix) { File::open(folder).map(Some) } else { Ok(None) }
    }

    fn sync_folder(&self, folder: &File) -> io::Result<()> {
        folder.sync_all().or_else(|error| match error.kind() {
            // What file systems answer that cannot sync a folder: there is nothing more to be had from them.
            io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported => Ok(()),
            _ => Err(error),
        })
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }
}
