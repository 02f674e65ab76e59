//! What the library says about a refusal.

use tokenkeep::{Error, FileFlaw, KeychainFailure};

use crate::catalogue::Refusal;

impl Refusal {
    pub(crate) fn is(self, error: &Error) -> bool {
        use KeychainFailure::{Missing, WrongKey};
        match (self, error) {
            (Self::Empty, Error::BadFile { flaw: FileFlaw::Empty, .. })
            | (Self::NotAKeystore, Error::BadFile { flaw: FileFlaw::NotAKeystore, .. })
            | (Self::DamagedHeader, Error::BadFile { flaw: FileFlaw::DamagedHeader, .. })
            | (Self::Wrong, Error::WrongPassphrase { .. } | Error::WrongRecoveryKey { .. })
            | (Self::NoSuchSlot, Error::NoSlotFor { .. })
            | (Self::Tampered, Error::BadFile { flaw: FileFlaw::Tampered, .. })
            | (Self::Replaced, Error::Replaced { .. })
            | (Self::Rekeyed, Error::Rekeyed { .. })
            | (Self::AlreadyThere, Error::AlreadyExists { .. }) => true,
            (Self::Wrong, Error::Keychain { why, .. }) => *why == WrongKey,
            (Self::Wrong, Error::External { .. }) => true,
            (Self::NoEntry, Error::Keychain { why, .. }) => *why == Missing,
            (
                Self::Truncated { expected },
                Error::BadFile { flaw: FileFlaw::Truncated { expected: reported, .. }, .. },
            ) => expected == *reported,
            (
                Self::UnsupportedVersion(version),
                Error::BadFile { flaw: FileFlaw::UnsupportedVersion { found, .. }, .. },
            ) => version == *found,
            (
                Self::UnsupportedFeature(expected),
                Error::BadFile { flaw: FileFlaw::UnsupportedFeature { bits, .. }, .. },
            ) => expected == *bits,
            (Self::Malformed(piece), Error::BadFile { flaw: FileFlaw::Malformed(rule), .. }) => {
                rule.to_string().contains(piece)
            }
            (Self::KdfLimit(expected, asked), Error::BadFile { flaw: FileFlaw::KdfLimit(limit), .. }) => {
                (expected, asked) == (limit.cost, limit.asked)
            }
            _ => false,
        }
    }
}
