//! Windows, and what else has no owners and modes that this crate looks at.

use std::{
    ffi::OsString,
    fs::{self, File, Metadata, OpenOptions},
    io::{self, Read, Seek, SeekFrom},
    path::Path,
    thread,
    time::Duration,
};

use super::Access;
use crate::{
    error::{Error, FileKind, FileOperation, Result},
    file::FileStamp,
};

pub(crate) fn names(directory: &Path) -> io::Result<impl Iterator<Item = OsString>> {
    Ok(fs::read_dir(directory)?.map_while(|entry| Some(entry.ok()?.file_name())))
}

/// Tries for about a second while another program, such as a virus scanner, has the file open in a way that
/// conflicts with ours: ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION.
pub(crate) fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
    for pause in [1, 2, 5, 10, 20, 50, 100, 200, 300, 300] {
        match attempt() {
            Err(error) if matches!(error.raw_os_error(), Some(5 | 32 | 33)) => {
                thread::sleep(Duration::from_millis(pause));
            }
            done => return done,
        }
    }
    attempt()
}

pub(crate) fn read_exact_at(mut file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.seek(SeekFrom::Start(offset))?;
    file.read_exact(buffer)
}

pub(crate) fn sync(file: &File) -> io::Result<()> {
    file.sync_all()
}

pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

pub(crate) fn reserve(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn reserved(_: &Metadata, _: u64) -> u64 {
    0
}

pub(crate) fn appends_reliably(_: &Path) -> bool {
    true
}

/// Nothing is reserved here.
pub(crate) fn writes_in_place(_: &Path) -> bool {
    false
}

pub(crate) fn offers_full_sync(_: &File) -> io::Result<bool> {
    Ok(true)
}

pub(crate) fn stamp_of(_: &Metadata) -> Option<FileStamp> {
    None
}

pub(crate) fn mode(_: &Metadata) -> Option<u32> {
    None
}

impl Access {
    pub(crate) fn check_readable(self, _: &Path, _: &Metadata) -> Result<()> {
        Ok(())
    }

    pub(crate) fn check_writable(self, _: &Path, _: &Metadata) -> Result<()> {
        Ok(())
    }

    pub(crate) fn check_lock(self, _: &Path, _: &Metadata) -> Result<()> {
        Ok(())
    }

    pub(crate) fn check_may_create(self, _: &Path, _: &Metadata) -> Result<()> {
        Ok(())
    }

    pub(crate) fn check_private_directory(self, _: &Path, _: &Metadata) -> Result<()> {
        Ok(())
    }

    pub(crate) fn check_directory(self, _: &Path, _: &Metadata) -> Result<()> {
        Ok(())
    }
}

pub(crate) fn not_opened(path: &Path, cause: io::Error) -> Error {
    Error::Io { operation: FileOperation::Open, path: path.to_owned(), cause }
}

/// Nobody can tell without an attempt.
#[expect(clippy::unnecessary_wraps, reason = "other platforms tell")]
pub(crate) fn check_writable_directory(_: &Path) -> io::Result<()> {
    Ok(())
}

/// Only whether there is such a directory.
pub(crate) fn check_room(directory: &Path, _: u64) -> io::Result<()> {
    fs::metadata(directory).map(drop)
}

pub(crate) fn leads_through_no_link(_: &Path) -> bool {
    false
}

pub(crate) fn is_mount_point(_: &Path) -> bool {
    false
}

pub(crate) fn make_private(_: &File, _: Access) -> io::Result<()> {
    Ok(())
}

pub(crate) use fs::create_dir as make_private_directory;

/// A directory cannot be opened to be synced.
pub(crate) fn open_directory(_: &Path) -> io::Result<File> {
    Err(io::ErrorKind::Unsupported.into())
}

pub(crate) fn open_options() -> OpenOptions {
    OpenOptions::new()
}

pub(crate) fn open_file(path: &Path, is_writable: bool) -> io::Result<File> {
    open_options().read(true).write(is_writable).open(path)
}

/// Options to open a lock file with: while it is open nobody can rename or delete it.
#[cfg(windows)]
pub(crate) fn lock_options() -> OpenOptions {
    use std::os::windows::fs::OpenOptionsExt;
    const FILE_SHARE_READ_AND_WRITE: u32 = 3;
    let mut options = open_options();
    options.share_mode(FILE_SHARE_READ_AND_WRITE);
    options
}

#[cfg(not(windows))]
pub(crate) use open_options as lock_options;

pub(crate) use std::fs::rename as rename_new;

pub(crate) fn kind(metadata: &Metadata) -> FileKind {
    if metadata.is_dir() { FileKind::Directory } else { FileKind::SymbolicLink }
}
