//! Who may read and write, and what kind of thing a path leads to: what differs from platform to platform.

use std::{
    fs::{Metadata, OpenOptions},
    io,
    path::Path,
};

use crate::error::Result;

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
    use std::os::unix::fs::{FileTypeExt, MetadataExt, OpenOptionsExt};

    use rustix::fs::OFlags;

    use super::{Access, Metadata, OpenOptions, Path, Result, io};
    use crate::error::{Error, UnsafePermissions};

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
                return Err(refuse(path, UnsafePermissions::FolderMode { mode }));
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

    /// What a path leads to that is no regular file.
    pub(crate) fn kind(metadata: &Metadata) -> &'static str {
        let kind = metadata.file_type();
        match () {
            () if kind.is_dir() => "folder",
            () if kind.is_symlink() => "symbolic link",
            () if kind.is_fifo() => "pipe",
            () if kind.is_socket() => "socket",
            () => "device",
        }
    }
}

#[cfg(not(unix))]
mod platform {
    use super::{Access, Metadata, OpenOptions, Path, Result};

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

    pub(crate) use std::fs::rename as rename_new;

    pub(crate) fn kind(metadata: &Metadata) -> &'static str {
        if metadata.is_dir() { "folder" } else { "symbolic link" }
    }
}

pub(crate) use platform::{kind, open_options, rename_new};
