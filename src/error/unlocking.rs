//! The reasons inside errors about unlocking: keys, key slots and the keychain.

use std::{fmt, path::Path, time::Duration};

use super::Error;
use crate::unlock_method::UnlockMethod;

/// A cost of a key derivation that is out of bounds, and the nearest value that is accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct KdfLimit {
    /// Which cost.
    pub cost: KdfCost,
    /// The value that was asked for.
    pub asked: u64,
    /// The nearest accepted value.
    pub limit: u64,
}

impl fmt::Display for KdfLimit {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { cost, asked, limit } = self;
        let which = if asked < limit { "minimum" } else { "maximum" };
        write!(f, "{asked} {cost}, the {which} is {limit}")
    }
}

/// One of the costs of a key derivation, with its unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KdfCost {
    /// Memory, in KiB.
    #[error("KiB of memory")]
    MemoryKib,
    /// Passes over the memory.
    #[error("passes")]
    Passes,
    /// Lanes.
    #[error("lanes")]
    Lanes,
    /// Memory in KiB times passes.
    #[error("KiB of memory times passes")]
    MemoryKibTimesPasses,
}

/// Which limit on key slots was reached: the reason in [`Error::TooManySlots`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum SlotLimit {
    /// All key slots together.
    #[error("key slots")]
    KeySlots,
    /// Key slots for passphrases, each of which costs a key derivation to try.
    #[error("key slots for passphrases")]
    Passphrases,
}

/// Why one unlock method did not open a keystore: an entry of [`Error::NoneOpened`].
#[derive(Debug)]
#[non_exhaustive]
pub struct UnlockFailure {
    /// The unlock method.
    pub method: UnlockMethod,
    /// Its error.
    pub error: Error,
}

impl fmt::Display for UnlockFailure {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.method, self.error)
    }
}

/// The message of [`Error::NoneOpened`].
pub(super) fn none_opened(path: &Path, failures: &[UnlockFailure]) -> impl fmt::Display {
    let path = path.display();
    if failures.is_empty() {
        return format!("no unlock method was given for {path}: give at least one");
    }
    let failures: Vec<_> = failures.iter().map(ToString::to_string).collect();
    format!("no unlock method opens {path}: {}", failures.join("; "))
}

/// How the operating system's keychain failed: the reason in [`Error::Keychain`]. It never includes what the keychain
/// itself said, because that may hold the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeychainFailure {
    /// There is no keychain, or it does not work. On macOS also: a person refused.
    #[error("is not available: start it, or use another unlock method")]
    Unavailable,
    /// The keychain is locked and nobody unlocked it, or it has no default collection yet.
    #[error("is locked, or has no default collection: unlock it, and try again")]
    Locked,
    /// The keychain did not answer. It may be waiting for a person, and may still do what was asked of it.
    #[error("did not answer within {} ms: try again, with a longer deadline if it asks a person", after.as_millis())]
    #[non_exhaustive]
    TimedOut {
        /// How long the call waited.
        after: Duration,
    },
    /// The keychain says that it has no key for the keystore. A locked or a newly made keychain may say the same.
    #[error("has no key for the keystore, or is locked: unlock it, or use another unlock method")]
    Missing,
    /// The keychain has a key that opens no key slot, or the key slot was changed in the file.
    #[error("has a key that does not open the keystore: use another unlock method")]
    WrongKey,
    /// The service name is empty or contains a NUL character, which some keychains cannot store.
    #[error("cannot store a service name that is empty or contains NUL: choose another service name")]
    BadService,
    /// The keychain accepted a key and did not return it.
    #[error("accepts a key and does not return it: use another unlock method")]
    Forgetful,
    /// The keychain did something that no keychain should do.
    #[error("failed: look at its entries, or use another unlock method")]
    Broken,
    /// The application was built without the feature `keychain`.
    #[error("is not supported by this build of the application: use another unlock method")]
    NotCompiledIn,
}

impl KeychainFailure {
    pub(crate) fn error(self) -> Error {
        Error::Keychain { why: self }
    }
}

/// What is wrong with a recovery key as typed: the reason in [`Error::MistypedRecoveryKey`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RecoveryKeyTypo {
    /// The text is not a recovery key.
    #[error("it does not start with TKR1")]
    Start,
    /// The text starts as a key of a later version would.
    #[error("its first group is not TKR1; a later version may have made it")]
    Version,
    /// Characters are missing, or there are too many.
    #[error("it has {found} letters and digits, and a recovery key has {expected}")]
    #[non_exhaustive]
    Length {
        /// How many it has, without spaces and hyphens.
        found: usize,
        /// How many a recovery key has.
        expected: usize,
    },
    /// A character never stands in a recovery key.
    #[error("group {group} has a character that no recovery key has")]
    #[non_exhaustive]
    Character {
        /// Which group of four, counted from 1.
        group: usize,
    },
    /// Every character is allowed, but they do not belong together.
    #[error("its checksum does not match; a character is wrong, or two are exchanged")]
    Checksum,
}
