//! A state of a store, to be compared with another.

use std::fmt;

use crate::format::Mark;

/// A state of a store: [`Keystore::version`](crate::Keystore::version). Two are equal if nothing was committed between
/// them. Nothing says which of two is later.
#[derive(Clone, PartialEq, Eq, Hash)]
pub struct Version(Mark);

impl Version {
    pub(crate) fn new(mark: Mark) -> Self {
        Self(mark)
    }
}

impl fmt::Debug for Version {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let salt = u64::from_le_bytes(self.0.salt);
        f.debug_tuple("Version").field(&format_args!("{salt:016x}")).finish()
    }
}
