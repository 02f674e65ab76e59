//! The file on disk: found, read within bounds, locked, replaced as a whole, and appended to. It knows bytes only.

mod access;
mod append;
mod deadline;
mod disk;
mod durability;
mod lock;
mod names;
mod next_save;
mod pinned;
mod replacement;
mod stamp;
mod token_lock;

use std::{
    fs::{self, File, Metadata},
    io,
    path::{self, Path, PathBuf},
    sync::{
        Arc, OnceLock,
        atomic::{AtomicU32, Ordering},
    },
};

pub(crate) use access::Access;
pub(crate) use append::{Appended, LoadedEnd, is_full};
pub(crate) use deadline::Deadline;
#[cfg(test)]
pub(crate) use disk::Call;
#[cfg(any(test, feature = "__fuzzing"))]
pub(crate) use disk::Watched;
pub(crate) use disk::{Disk, Os};
pub(crate) use durability::Durability;
pub(crate) use lock::Lock;
use lock::PendingRequest;
pub(crate) use next_save::NextSave;
pub(crate) use pinned::{OpenFile, PinnedFile};
pub(crate) use replacement::{Prepared, Replacement};
pub(crate) use stamp::FileStamp;

use crate::{
    error::{Error, FileKind, FileOperation, Result},
    status::NotOffered,
};

/// Where a store's file is, and on what terms it is used.
#[derive(Debug)]
pub(crate) struct StoreFile {
    /// The path that the caller gave, made absolute. A directory or a link on the way may be exchanged while the store
    /// is open, so each reload and each save looks where the path leads.
    given: PathBuf,
    /// Where `given` led when the file was opened, with every symbolic link resolved: a replacement replaces the file
    /// and never a link.
    path: PathBuf,
    directory: PathBuf,
    access: Access,
    max_len: u64,
    disk: Arc<dyn Disk>,
    /// This handle's place in the queue for the lock.
    pending: PendingRequest,
    /// How many replacements to go before strays are looked for.
    until_sweep: AtomicU32,
    /// Asked once.
    appends_reliably: OnceLock<bool>,
}

/// A handle looks for the temporary files of killed writers with its first replacement, and then with each of this
/// number: listing a large directory takes longer than a save.
const REPLACEMENTS_PER_SWEEP: u32 = 1000;

/// How many files of one store may be set aside.
const MOST_SET_ASIDE: u32 = 1000;

impl StoreFile {
    /// A file that exists.
    pub(crate) fn existing(path: &Path, access: Access, max_len: u64, disk: Arc<dyn Disk>) -> Result<Self> {
        let given = absolute(path)?;
        let resolved = resolve(&given)?;
        Self::at(given, resolved, access, max_len, disk)
    }

    /// A file that is to be made, in a directory that exists.
    pub(crate) fn new(path: &Path, access: Access, max_len: u64, disk: Arc<dyn Disk>) -> Result<Self> {
        let given = absolute(path)?;
        let resolved = resolve_new(&given)?;
        let file = Self::at(given, resolved, access, max_len, disk)?;
        file.check_absent()?;
        access.check_may_create(&file.directory, &file.directory_metadata()?)?;
        Ok(file)
    }

    fn at(given: PathBuf, path: PathBuf, access: Access, max_len: u64, disk: Arc<dyn Disk>) -> Result<Self> {
        // Held by `names_of_files_beside_a_store_are_refused`.
        if path.file_name().is_some_and(names::is_reserved) {
            return Err(Error::ReservedName { path });
        }
        let directory = directory_of(&path).to_owned();
        // A payload says its length in 32 bits.
        // Held by `no_limit_is_above_four_gib`.
        let max_len = max_len.min(u32::MAX.into());
        let (pending, until_sweep) = (PendingRequest::default(), AtomicU32::new(0));
        let appends_reliably = OnceLock::new();
        let file = Self { given, path, directory, access, max_len, disk, pending, until_sweep, appends_reliably };
        file.check_directory()?;
        Ok(file)
    }

    /// That the path which the caller gave still leads to this file.
    pub(crate) fn check_path(&self) -> Result<()> {
        // Resolving a path takes a call to the system for each directory. This is one call for the whole path.
        // Held by `directory_that_became_a_link_to_itself_is_noticed`: `self.given == self.path`.
        if self.given == self.path && access::leads_through_no_link(&self.path) {
            return Ok(());
        }
        self.check_resolved(resolve(&self.given)?)
    }

    fn check_resolved(&self, resolved: PathBuf) -> Result<()> {
        // Held by `save_where_a_directory_link_was_exchanged_is_refused`, `save_where_a_link_became_a_file_is_refused`,
        // `new_store_is_not_put_where_the_path_no_longer_leads`: `true`.
        if resolved == self.path {
            return Ok(());
        }
        Err(Error::PathChanged { path: self.given.clone(), opened: self.path.clone() })
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    /// Another file on the same terms, which is to be made.
    pub(crate) fn copy_at(&self, path: &Path) -> Result<Self> {
        Self::new(path, self.access, self.max_len, self.disk.clone())
    }

    /// What the file system does not offer of what makes a change last: found out by trying it.
    pub(crate) fn not_offered(&self) -> Result<Vec<NotOffered>> {
        let mut missing = Vec::new();
        if !self.open_and_sync_directory().map_err(failed(FileOperation::Sync, &self.directory))? {
            missing.push(NotOffered::DirectorySync);
        }
        if !access::offers_full_sync(&self.open()?.file).map_err(failed(FileOperation::Sync, &self.path))? {
            missing.push(NotOffered::FullSync);
        }
        if !self.appends_reliably() {
            missing.push(NotOffered::ReliableAppend);
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
        // Held by `a_file_of_another_user_is_read_and_not_written`, `a_file_with_two_names_is_read_and_not_written`.
        self.access.check_writable(&self.path, &metadata)?;
        self.check_directory()
    }

    fn check_directory(&self) -> Result<()> {
        // Held by `directory_that_everybody_may_write_to`: `Ok(())`.
        self.access.check_directory(&self.directory, &self.directory_metadata()?)
    }

    fn directory_metadata(&self) -> Result<Metadata> {
        fs::metadata(&self.directory).map_err(failed(FileOperation::ReadMetadata, &self.directory))
    }

    /// That the file is not mounted by itself, as containers do: such a file cannot be replaced.
    pub(crate) fn check_not_mounted(&self) -> Result<()> {
        if access::is_mount_point(&self.path) {
            return Err(Error::MountedFile { path: self.path.clone() });
        }
        Ok(())
    }

    /// Renames the file to a name that no file has, and returns that name.
    pub(crate) fn set_aside(&self, lock: &Lock) -> Result<(PathBuf, Durability)> {
        self.check_path()?;
        check_regular(&self.path, &self.metadata()?)?;
        for number in 1..=MOST_SET_ASIDE {
            let aside = names::sibling(&self.path, &format!(".aside-{number}"));
            if fs::symlink_metadata(&aside).is_ok() {
                continue;
            }
            if !lock.is_at_its_path() {
                return Err(self.changed_meanwhile());
            }
            match self.disk.rename_new(&self.path, &aside) {
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                renamed => {
                    renamed.map_err(failed(FileOperation::Replace, &self.path))?;
                    return Ok((aside, self.sync_name()));
                }
            }
        }
        Err(Error::AlreadyExists { path: self.path.clone() })
    }

    /// The stamp of the file that the given path leads to now, in one call to the system.
    pub(crate) fn stamp(&self) -> Result<Option<FileStamp>> {
        let metadata = fs::metadata(&self.given).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(&self.given),
            _ => failed(FileOperation::ReadMetadata, &self.given)(error),
        })?;
        Ok(access::stamp_of(&metadata))
    }

    fn metadata(&self) -> Result<Metadata> {
        fs::symlink_metadata(&self.path).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(&self.path),
            _ => failed(FileOperation::ReadMetadata, &self.path)(error),
        })
    }

    /// Opens the file to read it.
    pub(crate) fn open(&self) -> Result<OpenFile> {
        // Before it is opened: opening a pipe or a device may wait, or do something.
        check_regular(&self.path, &self.metadata()?)?;
        let file = access::patiently(|| access::open_file(&self.path, false)).map_err(|error| match error.kind() {
            io::ErrorKind::NotFound => missing(&self.path),
            _ => access::not_opened(&self.path, error),
        })?;
        self.checked(Arc::new(file))
    }

    /// Looks at the loaded file again, if it is held. Otherwise opens the file at the path.
    pub(crate) fn look_again(&self, pinned: &PinnedFile) -> Result<OpenFile> {
        pinned.file().map_or_else(|| self.open(), |file| self.checked(file.clone()))
    }

    /// Checks that an open file may be read.
    fn checked(&self, file: Arc<File>) -> Result<OpenFile> {
        let metadata = file.metadata().map_err(failed(FileOperation::ReadMetadata, &self.path))?;
        check_regular(&self.path, &metadata)?;
        // Held by `a_file_that_others_may_read`.
        self.access.check_readable(&self.path, &metadata)?;
        // Held by `a_file_over_the_limit_is_not_read`.
        self.check_len(metadata.len())?;
        Ok(OpenFile::new(file, &metadata, &self.path))
    }

    /// Looks for strays with the next replacement.
    pub(crate) fn sweep_next(&self) {
        self.until_sweep.store(0, Ordering::Relaxed);
    }

    /// Removes the temporary files that killed writers left, if it is time to. To be called under the lock: no other
    /// writer is at work then, and only a writer gives a file such a name. A failure is left to the next time.
    fn sweep(&self) {
        let left = self.until_sweep.load(Ordering::Relaxed);
        let next = left.checked_sub(1).unwrap_or(REPLACEMENTS_PER_SWEEP);
        self.until_sweep.store(next, Ordering::Relaxed);
        // Not every save lists the directory.
        // Held by `strays_are_looked_for_at_first_and_with_changed_slots`: `_` instead of `0`.
        let (0, Some(own)) = (left, self.path.file_name()) else { return };
        let names = access::names(&self.directory).into_iter().flatten();
        // Held by `next_write_removes_what_killed_writers_left`: without `.filter`.
        for stray in names.filter(|name| names::is_temporary_of(own, name)).map(|name| self.directory.join(name)) {
            // Held by `next_write_removes_what_killed_writers_left`: `.is_ok()` instead of `.is_ok_and`.
            if fs::symlink_metadata(&stray).is_ok_and(|metadata| metadata.is_file()) {
                let _ = self.disk.remove(&stray);
            }
        }
    }

    /// Syncs the bytes of a file that was loaded. After a failure the system may have dropped some of them, and would
    /// call a second try a success: only a new file helps.
    pub(crate) fn sync_contents(&self, pinned: &PinnedFile) -> Result<()> {
        let synced = match pinned.file() {
            Some(file) => self.disk.sync(file),
            // Windows syncs only what it may write.
            None => access::open_file(&self.path, true).and_then(|file| self.disk.sync(&file)),
        };
        synced.map_err(failed(FileOperation::Sync, &self.path))
    }

    /// Syncs the name of the file. With a new handle of the directory: the system may call anything a success on a
    /// handle that has failed before.
    pub(crate) fn sync_name(&self) -> Durability {
        self.durability(self.open_and_sync_directory())
    }

    /// Of a name, once its directory was synced.
    fn durability(&self, synced: io::Result<bool>) -> Durability {
        match synced {
            Ok(_) => Durability::Synced,
            Err(cause) => Durability::Unsynced { path: self.directory.clone(), cause },
        }
    }

    fn open_and_sync_directory(&self) -> io::Result<bool> {
        self.disk.open_directory(&self.directory)?.map_or(Ok(false), |directory| self.sync_directory(&directory))
    }

    /// `false` where the file system cannot sync a directory: then it offers nothing else.
    fn sync_directory(&self, directory: &File) -> io::Result<bool> {
        let synced = match self.disk.sync_directory(directory) {
            Err(error) if matches!(error.kind(), io::ErrorKind::InvalidInput | io::ErrorKind::Unsupported) => false,
            synced => synced.map(|()| true)?,
        };
        match self.disk.look(&self.path) {
            // Held by `metadata_error_after_a_sync_means_unknown_durability`.
            Err(error) if error.kind() != io::ErrorKind::NotFound => Err(error),
            _ => Ok(synced),
        }
    }

    fn changed_meanwhile(&self) -> Error {
        Error::ChangedMeanwhile { path: self.path.clone() }
    }
}

/// The path, absolute and without a slash at its end, so that the working directory may change.
fn absolute(path: &Path) -> Result<PathBuf> {
    // Held by `empty_path_is_refused_as_such`, `every_function_of_a_path_refuses_an_empty_one`.
    if path.as_os_str().is_empty() {
        return Err(Error::EmptyPath);
    }
    let absolute = path::absolute(path).map_err(failed(FileOperation::Resolve, path))?;
    Ok(absolute.components().collect())
}

/// Where the path of a file leads, without a symbolic link.
fn resolve(path: &Path) -> Result<PathBuf> {
    fs::canonicalize(path).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(path),
        _ => failed(FileOperation::Resolve, path)(error),
    })
}

/// Where the path of a file leads that is to be made.
fn resolve_new(path: &Path) -> Result<PathBuf> {
    let name = path.file_name().ok_or_else(|| not_a_file(path, FileKind::Directory))?;
    let directory = fs::canonicalize(directory_of(path)).map_err(|error| match error.kind() {
        io::ErrorKind::NotFound => missing(path),
        _ => failed(FileOperation::Resolve, directory_of(path))(error),
    })?;
    Ok(directory.join(name))
}

fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    }
}

/// The error for a path that leads to nothing: it may be a link, or its directory may be missing.
fn missing(path: &Path) -> Error {
    let directory = directory_of(path);
    if path.is_symlink() {
        not_a_file(path, FileKind::SymbolicLink)
    } else if directory.is_dir() {
        Error::NotFound { path: path.to_owned() }
    } else {
        Error::MissingDirectory { path: directory.to_owned() }
    }
}

fn check_regular(path: &Path, metadata: &Metadata) -> Result<()> {
    if metadata.is_file() { Ok(()) } else { Err(not_a_file(path, access::kind(metadata))) }
}

fn not_a_file(path: &Path, found: FileKind) -> Error {
    Error::NotAFile { path: path.to_owned(), found }
}

fn failed(operation: FileOperation, path: &Path) -> impl FnOnce(io::Error) -> Error {
    move |cause| Error::Io { operation, path: path.to_owned(), cause }
}

#[cfg(test)]
mod tests;
