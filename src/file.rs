//! The file on disk: found, read within bounds, locked, and replaced as a whole. It knows bytes only.

mod access;
mod disk;
mod lock;
mod opened;

use std::{
    ffi::OsStr,
    fs::{self, File, Metadata},
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

pub(crate) use access::Access;
#[cfg(test)]
pub(crate) use disk::Call;
#[cfg(any(test, feature = "__fuzzing"))]
pub(crate) use disk::Watched;
pub(crate) use disk::{Disk, Os};
pub(crate) use lock::{Lock, Turns, Wait};
use opened::identity;
pub(crate) use opened::{Held, Identity, Opened};

use crate::{
    error::{Error, FileKind, FileOperation, Result},
    secret::random,
    status::NotOffered,
};

/// Where a store's file is, and on what terms it is used.
#[derive(Debug)]
pub(crate) struct StoreFile {
    /// With every symbolic link resolved, so that a replacement replaces the file and never a link.
    path: PathBuf,
    folder: PathBuf,
    access: Access,
    max_len: u64,
    disk: Arc<dyn Disk>,
}

/// A replacement that is visible.
#[derive(Debug)]
pub(crate) struct Replacement {
    /// The new file.
    pub(crate) held: Held,
    /// If the disk did not confirm it, so that it may not survive a power cut: the folder, and why.
    pub(crate) unconfirmed: Option<(PathBuf, io::Error)>,
}

impl StoreFile {
    /// A file that exists.
    pub(crate) fn existing(path: &Path, access: Access, max_len: u64, disk: Arc<dyn Disk>) -> Result<Self> {
        check_not_empty(path)?;
        let path: PathBuf = path.components().collect(); // without a slash at its end
        let path = path.as_path();
        let resolved = fs::canonicalize(path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(path),
            _ => failed(FileOperation::Resolve, path)(error),
        })?;
        Self::at(resolved, access, max_len, disk)
    }

    /// A file that is to be made, in a folder that exists.
    pub(crate) fn new(path: &Path, access: Access, max_len: u64, disk: Arc<dyn Disk>) -> Result<Self> {
        check_not_empty(path)?;
        let name = path.file_name().ok_or_else(|| not_a_file(path, FileKind::Directory))?;
        let folder = fs::canonicalize(folder_of(path)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(path),
            _ => failed(FileOperation::Resolve, folder_of(path))(error),
        })?;
        let file = Self::at(folder.join(name), access, max_len, disk)?;
        file.check_absent()?;
        Ok(file)
    }

    fn at(path: PathBuf, access: Access, max_len: u64, disk: Arc<dyn Disk>) -> Result<Self> {
        let folder = folder_of(&path).to_owned();
        // A payload says its length in 32 bits.
        let max_len = max_len.min(u32::MAX.into());
        let file = Self { path, folder, access, max_len, disk };
        file.check_folder()?;
        Ok(file)
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Another file on the same terms, which is to be made.
    pub(crate) fn beside(&self, path: &Path) -> Result<Self> {
        Self::new(path, self.access, self.max_len, self.disk.clone())
    }

    /// What the file system does not offer of what makes a change last: found out by trying it.
    pub(crate) fn not_offered(&self) -> Result<Vec<NotOffered>> {
        let mut missing = Vec::new();
        if !self.open_and_sync_folder().map_err(failed(FileOperation::Sync, &self.folder))? {
            missing.push(NotOffered::DirectorySync);
        }
        if !access::offers_full_sync(&self.open()?.file).map_err(failed(FileOperation::Sync, &self.path))? {
            missing.push(NotOffered::FullSync);
        }
        Ok(missing)
    }

    /// That a file of that length in bytes is allowed.
    pub(crate) fn check_len(&self, len: u64) -> Result<()> {
        if len > self.max_len {
            return Err(Error::FileTooLarge { path: self.path.clone(), size: len, limit: self.max_len });
        }
        Ok(())
    }

    /// That nothing is there, not even a link that leads nowhere.
    pub(crate) fn check_absent(&self) -> Result<()> {
        match fs::symlink_metadata(&self.path) {
            Ok(_) => Err(Error::AlreadyExists { path: self.path.clone() }),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
            Err(error) => Err(failed(FileOperation::ReadMetadata, &self.path)(error)),
        }
    }

    /// That replacing the file harms nobody.
    pub(crate) fn check_writable(&self) -> Result<()> {
        let metadata = self.metadata()?;
        check_regular(&self.path, &metadata)?;
        self.access.check_writable(&self.path, &metadata)?;
        self.check_folder()
    }

    fn check_folder(&self) -> Result<()> {
        let metadata = fs::metadata(&self.folder).map_err(failed(FileOperation::ReadMetadata, &self.folder))?;
        self.access.check_folder(&self.folder, &metadata)
    }

    /// The identity of the file at the path now, in one call to the system.
    pub(crate) fn identity(&self) -> Result<Option<Identity>> {
        self.metadata().map(|metadata| identity(&metadata))
    }

    fn metadata(&self) -> Result<Metadata> {
        fs::symlink_metadata(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(&self.path),
            _ => failed(FileOperation::ReadMetadata, &self.path)(error),
        })
    }

    /// Opens the file to read it.
    pub(crate) fn open(&self) -> Result<Opened> {
        // Before it is opened: opening a pipe or a device may wait, or do something.
        check_regular(&self.path, &self.metadata()?)?;
        let file =
            access::patiently(|| access::open_options().read(true).open(&self.path)).map_err(|error| {
                match error.kind() {
                    io::ErrorKind::NotFound => missing(&self.path),
                    _ => failed(FileOperation::Open, &self.path)(error),
                }
            })?;
        let metadata = file.metadata().map_err(failed(FileOperation::ReadMetadata, &self.path))?;
        check_regular(&self.path, &metadata)?;
        self.access.check_readable(&self.path, &metadata)?;
        self.check_len(metadata.len())?;
        Ok(Opened::new(file, &metadata, &self.path))
    }

    /// Makes the file out of these parts, one after the other: all or nothing, and never over another file.
    ///
    /// With the lock, others who would make it wait; without, as for a backup, they may be first.
    pub(crate) fn make(&self, lock: Option<&Lock>, parts: &[&[u8]]) -> Result<Replacement> {
        self.put(lock, parts, |temporary| {
            self.check_absent()?;
            self.disk.rename_new(temporary, &self.path).map_err(|error| match error.kind() {
                io::ErrorKind::AlreadyExists => Error::AlreadyExists { path: self.path.clone() },
                _ => failed(FileOperation::Create, &self.path)(error),
            })
        })
    }

    /// Replaces the file by these parts, one after the other: all or nothing, and only the file that was opened last.
    pub(crate) fn replace(&self, lock: &Lock, opened: Option<&Identity>, parts: &[&[u8]]) -> Result<Replacement> {
        self.put(Some(lock), parts, |temporary| {
            // Whoever takes the lock cannot have changed it. Who does not take it deserves no better than this look, for
            // no system renames over one particular file only.
            if self.identity()?.as_ref() != opened {
                return Err(self.changed_meanwhile());
            }
            self.disk.rename(temporary, &self.path).map_err(|error| match error.kind() {
                // What Linux answers for a file that is a mount point, as containers make them.
                io::ErrorKind::ResourceBusy => Error::MountedFile { path: self.path.clone() },
                _ => failed(FileOperation::Replace, &self.path)(error),
            })
        })
    }

    /// Writes a temporary file, and lets it take the file's name.
    fn put(
        &self,
        lock: Option<&Lock>,
        parts: &[&[u8]],
        rename: impl FnOnce(&Path) -> Result<()>,
    ) -> Result<Replacement> {
        if lock.is_some() {
            self.remove_strays();
        }
        // First, so that having no handle to sync it with is found out before anything is visible.
        let folder = self.disk.open_folder(&self.folder).map_err(failed(FileOperation::Open, &self.folder))?;
        let temporary = self.sibling(&temporary_suffix()?);
        let created = self.disk.create_new(&temporary);
        let mut file = created.map_err(failed(FileOperation::Write, &self.path))?;
        let renamed =
            self.fill(&mut file, parts).and_then(|()| self.check_lock(lock)).and_then(|()| rename(&temporary));
        if let Err(error) = renamed {
            // The error to tell is the first one.
            let _ = self.disk.remove(&temporary);
            return Err(error);
        }
        // At once: what another program does to the file from now on has to show.
        let metadata = file.metadata().ok();
        let held = Held::new(metadata.map(|metadata| Opened::new(file, &metadata, &self.path)));
        let unsynced = folder.and_then(|folder| self.sync_folder(&folder).err());
        let unconfirmed = unsynced.map(|error| (self.folder.clone(), error));
        Ok(Replacement { held, unconfirmed })
    }

    /// Tries to make a replacement last that was not confirmed. With another handle of the folder: on one that has failed
    /// the system may call anything a success.
    pub(crate) fn confirm(&self) -> Option<(PathBuf, io::Error)> {
        self.open_and_sync_folder().err().map(|error| (self.folder.clone(), error))
    }

    fn open_and_sync_folder(&self) -> io::Result<bool> {
        self.disk.open_folder(&self.folder)?.map_or(Ok(false), |folder| self.sync_folder(&folder))
    }

    /// `false` where the file system cannot sync a folder: there is nothing more to be had from it then.
    fn sync_folder(&self, folder: &File) -> io::Result<bool> {
        match self.disk.sync_folder(folder) {
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => Ok(false),
            synced => synced.map(|()| true),
        }
    }

    /// Errors name the store's path: the temporary file has a random name, and is removed.
    fn fill(&self, file: &mut File, parts: &[&[u8]]) -> Result<()> {
        let path = &self.path;
        self.disk.write_all(file, parts).map_err(failed(FileOperation::Write, path))?;
        // What we make we have to accept: some file systems give every file a mode of their own.
        self.access.check_readable(path, &file.metadata().map_err(failed(FileOperation::ReadMetadata, path))?)?;
        self.disk.sync(file).map_err(failed(FileOperation::Sync, path))
    }

    /// That the lock still keeps other writers out.
    fn check_lock(&self, lock: Option<&Lock>) -> Result<()> {
        if lock.is_none_or(Lock::is_at_its_path) { Ok(()) } else { Err(self.changed_meanwhile()) }
    }

    fn changed_meanwhile(&self) -> Error {
        Error::ChangedMeanwhile { path: self.path.clone() }
    }

    /// Removes what writers left that were killed. Under the lock no other writer is at work, and nothing but a writer of
    /// ours gives a file such a name. If it fails there is always the next time.
    fn remove_strays(&self) {
        let Some(own) = self.path.file_name() else { return };
        for name in access::names(&self.folder).into_iter().flatten().filter(|name| is_temporary(own, name)) {
            let stray = self.folder.join(name);
            if fs::symlink_metadata(&stray).is_ok_and(|metadata| metadata.is_file()) {
                let _ = self.disk.remove(&stray);
            }
        }
    }

    /// The path of a file beside this one, with a longer name.
    fn sibling(&self, suffix: &str) -> PathBuf {
        let mut path = self.path.clone().into_os_string();
        path.push(suffix);
        path.into()
    }
}

/// What a temporary file's name has after that of the file it is for.
fn temporary_suffix() -> Result<String> {
    Ok(format!(".{:016x}.tmp", u64::from_le_bytes(random()?)))
}

/// Whether the name is that of a temporary file for a file of this name.
fn is_temporary(name: &OsStr, other: &OsStr) -> bool {
    let Some(suffix) = other.as_encoded_bytes().strip_prefix(name.as_encoded_bytes()) else { return false };
    let digits = suffix.strip_prefix(b".").and_then(|suffix| suffix.strip_suffix(b".tmp"));
    digits.is_some_and(|digits| {
        digits.len() == 16 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

fn folder_of(path: &Path) -> &Path {
    match path.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    }
}

/// The error for a path that leads to nothing: it may be a link, or its folder may be what is missing.
fn missing(path: &Path) -> Error {
    let folder = folder_of(path);
    if path.is_symlink() {
        not_a_file(path, FileKind::SymbolicLink)
    } else if folder.is_dir() {
        Error::NotFound { path: path.to_owned() }
    } else {
        Error::MissingDirectory { path: folder.to_owned() }
    }
}

fn check_regular(path: &Path, metadata: &Metadata) -> Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(not_a_file(path, access::kind(metadata))) }
}

fn not_a_file(path: &Path, found: FileKind) -> Error {
    Error::NotAFile { path: path.to_owned(), found }
}

fn check_not_empty(path: &Path) -> Result<()> {
    if path.as_os_str().is_empty() { Err(Error::EmptyPath) } else { Ok(()) }
}

fn failed(operation: FileOperation, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |cause| Error::Io { operation, path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests;
