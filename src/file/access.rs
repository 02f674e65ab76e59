//! Who may read and write, and what kind of thing a path leads to: what differs from platform to platform.

#[cfg_attr(unix, path = "access/unix.rs")]
#[cfg_attr(not(unix), path = "access/other.rs")]
mod platform;

pub(crate) use platform::{
    appends_reliably, check_room, check_writable_directory, is_mount_point, kind, leads_through_no_link, lock_options,
    make_private, make_private_directory, mode, names, not_opened, offers_full_sync, open_directory, open_file,
    open_options, patiently, read_exact_at, rename_new, reserve, reserved, stamp_of, sync, sync_data, writes_in_place,
};

/// Whether permissions are looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Access {
    /// A file or directory that is open to others is refused, and no store is created in a directory of another user.
    Checked,
    /// As `Checked`, but a store may be created in a directory of another user.
    CheckedAnywhere,
    /// For file systems that have no owners and modes, and show the same ones for everything.
    Unchecked,
}

impl Access {
    pub(crate) fn is_checked(self) -> bool {
        self != Self::Unchecked
    }
}
