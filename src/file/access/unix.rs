//! Unix: owners, modes, and links.

use std::{
    ffi::OsString,
    fs::{DirBuilder, File, Metadata, OpenOptions, Permissions},
    io,
    os::unix::{
        ffi::OsStringExt,
        fs::{DirBuilderExt, FileExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt},
    },
    path::Path,
};

use rustix::fs::{Dir, Mode, OFlags};

use super::Access;
use crate::{
    error::{Error, FileKind, FileOperation, Result, UnsafePermissions},
    file::FileStamp,
};

/// Opens a file or a directory so that reading leaves its access time. The system allows that only to the owner. The
/// first read after each save would set the access time, and a later save would wait until that is on the disk.
#[cfg(any(target_os = "linux", target_os = "android"))]
const UNNOTED: OFlags = OFlags::NOATIME;
#[cfg(not(any(target_os = "linux", target_os = "android")))]
const UNNOTED: OFlags = OFlags::empty();

const READ_OR_WRITE_BY_OTHERS: u32 = 0o066;
const WRITE_BY_OTHERS: u32 = 0o022;
const WRITE_BY_ALL: u32 = 0o002;
const STICKY: u32 = 0o1000;
// Held by `what_is_made_is_for_its_owner_alone`: `0o644`.
const PRIVATE: u32 = 0o600;
const PRIVATE_DIRECTORY: u32 = 0o700;
const ROOT: u32 = 0;

impl Access {
    /// That a file of ours is for us alone. What a file of another user allows is for that user to decide.
    pub(crate) fn check_readable(self, path: &Path, file: &Metadata) -> Result<()> {
        let ours = file.uid() == rustix::process::geteuid().as_raw();
        let mode = file.mode() & 0o7777;
        // Held by `a_file_that_others_may_read`: `&& false`.
        if self.is_checked() && ours && mode & READ_OR_WRITE_BY_OTHERS != 0 {
            return Err(refuse(path, UnsafePermissions::FileMode { mode }));
        }
        Ok(())
    }

    /// That replacing the file neither takes it from its owner nor parts it from its other names.
    pub(crate) fn check_writable(self, path: &Path, file: &Metadata) -> Result<()> {
        // Held by `a_file_of_another_user_is_read_and_not_written`.
        if self.is_checked() && file.uid() != rustix::process::geteuid().as_raw() {
            return Err(refuse(path, UnsafePermissions::ForeignOwner { owner: file.uid() }));
        }
        // Held by `a_file_with_two_names_is_read_and_not_written`.
        if file.nlink() > 1 {
            return Err(refuse(path, UnsafePermissions::HardLinked { links: file.nlink() }));
        }
        Ok(())
    }

    /// That a lock file is ours, and that only we can open it.
    pub(crate) fn check_lock(self, path: &Path, file: &Metadata) -> Result<()> {
        self.check_owner_of_locks(path, file)?;
        let mode = file.mode() & 0o7777;
        // Held by `lock_files_of_other_users_are_refused`, `a_lock_that_others_could_hold_for_ever_is_refused`:
        // `&& false`.
        if self.is_checked() && mode & READ_OR_WRITE_BY_OTHERS != 0 {
            return Err(refuse(path, UnsafePermissions::FileMode { mode }));
        }
        Ok(())
    }

    /// That the directory belongs to this user or to root. A file that root creates in a user's directory, as under
    /// `sudo`, locks that user out.
    pub(crate) fn check_may_create(self, path: &Path, directory: &Metadata) -> Result<()> {
        let owner = directory.uid();
        // Held by `root_creates_no_store_in_a_directory_of_a_user_unasked`.
        if self == Self::Checked && owner != rustix::process::geteuid().as_raw() && owner != ROOT {
            return Err(refuse(path, UnsafePermissions::ForeignDirectory { owner }));
        }
        Ok(())
    }

    /// That only we can put files into a directory of ours.
    pub(crate) fn check_private_directory(self, path: &Path, directory: &Metadata) -> Result<()> {
        self.check_owner_of_locks(path, directory)?;
        let mode = directory.mode() & 0o7777;
        if self.is_checked() && mode & WRITE_BY_OTHERS != 0 {
            return Err(refuse(path, UnsafePermissions::DirectoryMode { mode }));
        }
        Ok(())
    }

    fn check_owner_of_locks(self, path: &Path, metadata: &Metadata) -> Result<()> {
        let owner = metadata.uid();
        // Held by `lock_files_of_other_users_are_refused`.
        if self.is_checked() && owner != rustix::process::geteuid().as_raw() {
            return Err(refuse(path, UnsafePermissions::ForeignLock { owner }));
        }
        Ok(())
    }

    /// That not everybody can put another file in place of ours.
    pub(crate) fn check_directory(self, path: &Path, directory: &Metadata) -> Result<()> {
        let mode = directory.mode() & 0o7777;
        // Held by `directory_that_everybody_may_write_to`: `&& false`.
        if self.is_checked() && mode & WRITE_BY_ALL != 0 && mode & STICKY == 0 {
            return Err(refuse(path, UnsafePermissions::DirectoryMode { mode }));
        }
        Ok(())
    }
}

/// The error for a file that could not be opened: it names the owner, if that is another user who keeps us out.
pub(crate) fn not_opened(path: &Path, cause: io::Error) -> Error {
    let owner = std::fs::symlink_metadata(path).ok().map(|file| file.uid());
    let other = owner.filter(|owner| *owner != rustix::process::geteuid().as_raw());
    match (cause.kind(), other) {
        // Held by `message_about_a_file_of_root_names_the_owner`.
        (io::ErrorKind::PermissionDenied, Some(owner)) => refuse(path, UnsafePermissions::NotOurs { owner }),
        _ => Error::Io { operation: FileOperation::Open, path: path.to_owned(), cause },
    }
}

/// That this user may put files into the directory.
pub(crate) fn check_writable_directory(directory: &Path) -> io::Result<()> {
    use rustix::fs::{AtFlags, CWD, accessat};
    let access = rustix::fs::Access::WRITE_OK | rustix::fs::Access::EXEC_OK;
    Ok(accessat(CWD, directory, access, AtFlags::EACCESS)?)
}

/// That a new file can be put into the directory, as far as the system says so beforehand: it may be written to,
/// and has room for a file of that length in bytes. Quotas and failing disks are not seen.
pub(crate) fn check_room(directory: &Path, len: u64) -> io::Result<()> {
    use rustix::{fs::statvfs, io::Errno};
    check_writable_directory(directory)?;
    let disk = statvfs(directory)?;
    let blocks = if rustix::process::geteuid().is_root() { disk.f_bfree } else { disk.f_bavail };
    // File systems without a limit on the number of files say that there are none.
    let has_file = disk.f_files == 0 || disk.f_ffree > 0;
    // Held by `full_and_read_only_disks_lose_nothing`.
    if !has_file || blocks.saturating_mul(disk.f_frsize) < len {
        return Err(Errno::NOSPC.into());
    }
    Ok(())
}

/// Whether the path leads to something without a symbolic link on the way, where the system can tell at once.
#[cfg(target_os = "linux")]
pub(crate) fn leads_through_no_link(path: &Path) -> bool {
    use rustix::fs::{CWD, ResolveFlags, openat2};
    openat2(CWD, path, OFlags::PATH | OFlags::CLOEXEC, Mode::empty(), ResolveFlags::NO_SYMLINKS).is_ok()
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn leads_through_no_link(_: &Path) -> bool {
    false
}

/// Whether the file is mounted by itself, so that it cannot be replaced, where the system tells.
#[cfg(target_os = "linux")]
pub(crate) fn is_mount_point(path: &Path) -> bool {
    use rustix::fs::{AtFlags, CWD, StatxAttributes, StatxFlags, statx};
    let found = statx(CWD, path, AtFlags::SYMLINK_NOFOLLOW, StatxFlags::empty());
    found.is_ok_and(|found| found.stx_attributes.contains(StatxAttributes::MOUNT_ROOT))
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn is_mount_point(_: &Path) -> bool {
    false
}

fn refuse(path: &Path, what: UnsafePermissions) -> Error {
    Error::UnsafePermissions { path: path.to_owned(), what }
}

/// Options to open a file of ours with: no link is followed, nothing is waited for, and what is made is for us
/// alone.
pub(crate) fn open_options() -> OpenOptions {
    options(OFlags::empty())
}

fn options(more: OFlags) -> OpenOptions {
    let mut options = OpenOptions::new();
    // Held by `a_lock_file_that_is_a_link_or_a_pipe_is_refused`: `OFlags::NOCTTY`.
    let flags = OFlags::NOFOLLOW | OFlags::NONBLOCK | OFlags::NOCTTY;
    options.mode(PRIVATE).custom_flags((flags | more).bits().cast_signed());
    options
}

/// Opens a store's file to read it, and to write to it too if that is asked for.
pub(crate) fn open_file(path: &Path, is_writable: bool) -> io::Result<File> {
    let open = |more| options(more).read(true).write(is_writable).open(path);
    // Held by `reads_leave_the_access_time_of_the_file`: `open(OFlags::empty())`.
    match open(UNNOTED) {
        // Held by `store_of_root_that_others_may_read_is_read`: `Err(refused)` instead of `open(OFlags::empty())`.
        Err(refused) if refused.kind() != io::ErrorKind::NotFound => open(OFlags::empty()),
        opened => opened,
    }
}

/// Gives a new file of ours the mode 0600, if the umask or an access control list of the directory gave it another
/// one.
pub(crate) fn make_private(file: &File, access: Access) -> io::Result<()> {
    if file.metadata()?.mode() & 0o777 == PRIVATE {
        return Ok(());
    }
    match (file.set_permissions(Permissions::from_mode(PRIVATE)), access) {
        (Err(_), Access::Unchecked) => Ok(()),
        (set, _) => set,
    }
}

/// Makes a directory for us alone.
pub(crate) fn make_private_directory(path: &Path) -> io::Result<()> {
    DirBuilder::new().mode(PRIVATE_DIRECTORY).create(path)
}

/// Opens a directory to sync it. If something else has taken its place, such as a pipe, this neither waits for it
/// nor opens it.
pub(crate) fn open_directory(path: &Path) -> io::Result<File> {
    // Held by `directory_that_became_a_pipe_blocks_no_save`: `OFlags::NOCTTY`.
    let flags = OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::NOCTTY;
    OpenOptions::new().read(true).custom_flags(flags.bits().cast_signed()).open(path)
}

/// Fills the buffer with the bytes from that place on.
pub(crate) fn read_exact_at(file: &File, buffer: &mut [u8], offset: u64) -> io::Result<()> {
    file.read_exact_at(buffer, offset)
}

/// The names in a directory, as far as they can be read.
pub(crate) fn names(directory: &Path) -> io::Result<impl Iterator<Item = OsString>> {
    let flags = OFlags::RDONLY | OFlags::DIRECTORY | OFlags::NONBLOCK | OFlags::CLOEXEC;
    let open = |flags| rustix::fs::open(directory, flags, Mode::empty());
    // Held by `write_leaves_the_access_time_of_the_directory`: `Dir::new(open(flags)?)?`.
    // Held by `killed_writers_files_are_removed_in_other_users_directories`: without `.or_else`.
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

/// Brings the bytes and the length of a file to the disk, and not its times.
#[cfg(not(target_vendor = "apple"))]
pub(crate) fn sync_data(file: &File) -> io::Result<()> {
    file.sync_data()
}

#[cfg(target_vendor = "apple")]
pub(crate) use sync as sync_data;

/// Reserves blocks without changing the length of the file.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn reserve(file: &File, offset: u64, len: u64) -> io::Result<()> {
    Ok(rustix::fs::fallocate(file, rustix::fs::FallocateFlags::KEEP_SIZE, offset, len)?)
}

#[cfg(not(any(target_os = "linux", target_os = "android")))]
pub(crate) fn reserve(_: &File, _: u64, _: u64) -> io::Result<()> {
    Err(io::ErrorKind::Unsupported.into())
}

/// How many bytes the file has on the disk from that place on. (A block of `st_blocks` has 512 bytes.)
pub(crate) fn reserved(metadata: &Metadata, end: u64) -> u64 {
    metadata.blocks().saturating_mul(512).saturating_sub(end)
}

/// Whether an append is synced reliably in that directory: not on network file systems, whose clients keep copies of
/// their own of a file.
#[cfg(target_os = "linux")]
pub(crate) fn appends_reliably(directory: &Path) -> bool {
    // NFS, SMB, CIFS, SMB 2, 9P, two of AFS, Ceph, FUSE, Lustre and GPFS, and the shared directories of VirtualBox, as
    // statfs(2) and <linux/magic.h> name them; and FAT, which may show old bytes after a power cut.
    const UNRELIABLE: [i64; 13] = [
        0x6969,
        0x517B,
        0xFF53_4D42,
        0xFE53_4D42,
        0x0102_1997,
        0x5346_414F,
        0x6B41_4653,
        0x00C3_6400,
        0x6573_5546,
        0x0BD0_0BD0,
        0x4750_4653,
        0x786F_4256,
        0x4D44,
    ];
    is_of_none(directory, &UNRELIABLE)
}

#[cfg(not(target_os = "linux"))]
pub(crate) fn appends_reliably(_: &Path) -> bool {
    true
}

/// Whether reserved blocks of a file in that directory are written to where they are.
#[cfg(target_os = "linux")]
pub(crate) fn writes_in_place(directory: &Path) -> bool {
    // btrfs, bcachefs and ZFS.
    const COPY_ON_WRITE: [i64; 3] = [0x9123_683E, 0xCA45_1A4E, 0x2FC1_2FC1];
    is_of_none(directory, &COPY_ON_WRITE)
}

/// Whether the directory is known to be on a file system of another kind than these.
#[cfg(target_os = "linux")]
#[allow(clippy::useless_conversion, reason = "the type of the number is another one on other machines")]
fn is_of_none(directory: &Path, kinds: &[i64]) -> bool {
    rustix::fs::statfs(directory).is_ok_and(|found| !kinds.contains(&i64::from(found.f_type)))
}

/// Nothing is reserved there.
#[cfg(not(target_os = "linux"))]
pub(crate) fn writes_in_place(_: &Path) -> bool {
    false
}

#[cfg(not(target_vendor = "apple"))]
#[expect(clippy::unnecessary_wraps, reason = "on macOS it may fail")]
pub(crate) fn offers_full_sync(_: &File) -> io::Result<bool> {
    Ok(true)
}

/// Syncs with F_FULLFSYNC, which brings the disk's own cache to the disk too; `false` where the file system does
/// not have that. Any other failure is one of the sync, and not to be tried again.
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
pub(crate) fn stamp_of(metadata: &Metadata) -> Option<FileStamp> {
    Some(FileStamp {
        device: metadata.dev(),
        inode: metadata.ino(),
        len: metadata.size(),
        modified: (metadata.mtime(), metadata.mtime_nsec()),
        changed: (metadata.ctime(), metadata.ctime_nsec()),
    })
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
    // Held by `file_that_appears_during_a_create_is_not_overwritten`: `empty()` instead of `NOREPLACE`.
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        // What file systems and kernels answer that have no such call, and what containers answer that forbid it.
        // Held by `store_is_created_where_renameat2_is_refused`: without `| Errno::PERM`.
        Err(Errno::INVAL | Errno::NOSYS | Errno::NOTSUP | Errno::PERM) => std::fs::rename(from, to),
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
