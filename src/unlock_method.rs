//! The kinds of unlock methods.

use std::fmt;

/// What opens a key slot: the kind of an [`Unlock`](crate::Unlock) and of a [`SlotKind`](crate::SlotKind).
///
/// ```
/// use tokenkeep::{Keychain, Unlock, UnlockMethod};
///
/// assert_eq!(Unlock::from(Keychain::new("com.example.app")).method(), UnlockMethod::Keychain);
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum UnlockMethod {
    /// A [`Passphrase`](crate::Passphrase).
    Passphrase,
    /// The operating system's [`Keychain`](crate::Keychain).
    Keychain,
    /// A [`RecoveryKey`](crate::RecoveryKey).
    RecoveryKey,
    /// A key that a provider outside of the library keeps: [`External`](crate::External).
    External,
}

impl fmt::Display for UnlockMethod {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Passphrase => "passphrase",
            Self::Keychain => "keychain",
            Self::RecoveryKey => "recovery key",
            Self::External => "external key",
        })
    }
}
