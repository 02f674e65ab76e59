//! Who may read and write, and what kind of thing a path leads to: what differs from platform to platform.

use std::{
    ffi::OsString,
    fs::{File, Metadata, OpenOptions},
    io,
    path::Path,
};

use crate::error::{FileKind, Result};

/// Whether permissions are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// A file or folder that is open to others is refused.
    Checked,
    /// For file systems that have no owners and modes, and show the same ones for everything.
    Unchecked,
}

#[cfg(unix)]
mod platform {
    use std::os::unix::{
        ffi::OsStringExt,
        fs::{FileTypeExt, MetadataExt, OpenOptionsExt},
    };

    use rustix::fs::{Dir, Mode, OFlags};

    use super::{Access, File, FileKind, Metadata, OpenOptions, OsString, Path, Result, io};
    use crate::error::{Error, UnsafePermissions};

    /// Opens a folder without a note of when it was read; only its owner may. The file system would bring such a note to the
    /// disk with the next file that is synced in the folder, while a save waits.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    const UNNOTED: OFlags = OFlags::NOATIME;
    #[cfg(not(any(target_os = "linux", target_os = "android")))]
    const UNNOTED: OFlags = OFlags::empty();

    const READ_OR_WRITE_BY_OTHERS: u32 = 0o066;
    const WRITE_BY_ALL: u32 = 0o002;
    const STICKY: u32 = 0o1000;

    impl Access {
        /// That a file of ours is for us alone. What a file of another user allows is for that user to decide.
        pub(crate) fn check_readable(self, path: &Path, file: &Metadata) -> Result<()> {
            let ours = file.uid() == rustix::process::geteuid().as_raw();
            let mode = file.mode() & 0o7777;
            if self == Self::Checked && ours && mode & READ_OR_WRITE_BY_OTHERS != 0 {
                return Err(refuse(path, UnsafePermissions::FileMode { mode }));
            }
            Ok(())
        }

        /// That replacing the file neither takes it from its owner nor parts it from its other names.
        pub(crate) fn check_writable(self, path: &Path, file: &Metadata) -> Result<()> {
            if self == Self::Checked && file.uid() != rustix::process::geteuid().as_raw() {
                return Err(refuse(path, UnsafePermissions::ForeignOwner { owner: file.uid() }));
            }
            if file.nlink() > 1 {
                return Err(refuse(path, UnsafePermissions::HardLinked { links: file.nlink() }));
            }
            Ok(())
        }

        /// That not everybody can put another file in place of ours.
        pub(crate) fn check_folder(self, path: &Path, folder: &Metadata) -> Result<()> {
            let mode = folder.mode() & 0o7777;
            if self == Self::Checked && mode & WRITE_BY_ALL != 0 && mode & STICKY == 0 {
                return Err(refuse(path, UnsafePermissions::DirectoryMode { mode }));
            }
            Ok(())
        }
    }

    fn refuse(path: &Path, what: UnsafePermissions) -> Error {
        Error::UnsafePermissions { path: path.to_owned(), what }
    }

    /// Options to open a file of ours with: no link is followed, nothing is waited for, and what is made is for us alone.
    pub(crate) fn open_options() -> OpenOptions {
        let mut options = OpenOptions::new();
        let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
        options.mode(0o600).custom_flags(flags.bits().cast_signed());
        options
    }

    /// The names in a folder, as far as they can be read.
    pub(crate) fn names(folder: &Path) -> io::Result<impl Iterator<Item = OsString>> {
        let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC;
        let open = |flags| rustix::fs::open(folder, flags, Mode::empty());
        let entries = Dir::new(open(flags | UNNOTED).or_else(|_| open(flags))?)?;
        Ok(entries.map_while(|entry| Some(OsString::from_vec(entry.ok()?.file_name().to_bytes().to_vec()))))
    }

    /// Nobody's open file is in the way here.
    pub(crate) fn patiently<T>(mut attempt: impl FnMut() -> io::Result<T>) -> io::Result<T> {
        attempt()
    }

    #[cfg(not(target_vendor = "apple"))]
    pub(crate) fn sync(file: &File) -> io::Result<()> {
        file.sync_all()
    }

    #[cfg(target_vendor = "apple")]
    pub(crate) fn sync(file: &File) -> io::Result<()> {
        if offers_full_sync(file)? { Ok(()) } else { Ok(rustix::fs::fsync(file)?) }
    }

    #[cfg(not(target_vendor = "apple"))]
    #[expect(clippy::unnecessary_wraps, reason = "on macOS it may fail")]
    pub(crate) fn offers_full_sync(_: &File) -> io::Result<bool> {
        Ok(true)
    }

    /// Syncs with F_FULLFSYNC, which brings the disk's own cache to the disk too; `false` where the file system does not
    /// have that. Any other failure is one of the sync, and not to be tried again.
    #[cfg(target_vendor = "apple")]
    pub(crate) fn offers_full_sync(file: &File) -> io::Result<bool> {
        use rustix::{
            fs::fcntl_fullfsync,
            io::{Errno, retry_on_intr},
        };
        match retry_on_intr(|| fcntl_fullfsync(file)) {
            Err(Errno::NOTSUP | Errno::INVAL | Errno::NOTTY) => Ok(false),
            synced => Ok(synced.map(|()| true)?),
        }
    }

    #[expect(clippy::unnecessary_wraps, reason = "other platforms have none")]
    pub(crate) fn mode(metadata: &Metadata) -> Option<u32> {
        Some(metadata.mode() & 0o7777)
    }

    #[cfg(any(target_os = "linux", target_os = "android", target_vendor = "apple"))]
    pub(crate) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
        use rustix::{
            fs::{CWD, RenameFlags, renameat_with},
            io::Errno,
        };
        match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
            // What file systems and kernels answer that have no such thing.
            Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP) => std::fs::rename(from, to),
            renamed => Ok(renamed?),
        }
    }

    #[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
    pub(crate) use std::fs::rename as rename_new;

    pub(crate) use open_options as lock_options;

    /// What a path leads to that is no regular file.
    pub(crate) fn kind(metadata: &Metadata) -> FileKind {
        let kind = metadata.file_type();
        match () {
            () if kind.is_dir() => FileKind::Directory,
            () if kind.is_symlink() => FileKind::SymbolicLink,
            () if kind.is_fifo() => FileKind::Pipe,
            () if kind.is_socket() => FileKind::Socket,
            () => FileKind::Device,
        }
    }
}

#[cfg(not(unix))]
mod platform {
    use std::{fs, thread, time::Duration};

    use super::{Access, File, FileKind, Metadata, OpenOptions, OsString, Path, Result, io};

    pub(crate) fn names(folder: &Path) -> io::Result<impl Iterator<Item = OsString>> {
        Ok(fs::read_dir(folder)?.map_while(|entry| Some(entry.ok()?.file_name())))
    }

    /// Tries for about a second while another program, such as a virus scanner, has the file open in a way that is in
    /// ours: ERROR_ACCESS_DENIED, ERROR_SHARING_VIOLATION, ERROR_LOCK_VIOLATION.
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

    pub(crate) fn sync(file: &File) -> io::Result<()> {
        file.sync_all()
    }

    pub(crate) fn offers_full_sync(_: &File) -> io::Result<bool> {
        Ok(true)
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

        pub(crate) fn check_folder(self, _: &Path, _: &Metadata) -> Result<()> {
            Ok(())
        }
    }

    pub(crate) fn open_options() -> OpenOptions {
        OpenOptions::new()
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
}

pub(crate) use platform::{
    kind, lock_options, mode, names, offers_full_sync, open_options, patiently, rename_new, sync,
};
