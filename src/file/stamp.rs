//! The metadata by which a replaced or rewritten file is noticed.

/// What changes when a file is replaced or written to. Where a platform has no such thing, nobody can tell from
/// outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileStamp {
    pub(super) device: u64,
    pub(super) inode: u64,
    pub(super) len: u64,
    pub(super) modified: (i64, i64),
    pub(super) changed: (i64, i64),
}

impl FileStamp {
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
