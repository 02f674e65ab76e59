//! Errors sorted by what a caller does next.

use std::io;

use super::{Error, ExternalFailure, FileFlaw, ImportFlaw, KeychainFailure, RowFlaw};

/// What a caller does next about an [`Error`]: its [`kind`](Error::kind).
///
/// - `NotFound`: create it, or look again. Variants: `NotFound`, `MissingDirectory`, `NoSuchToken`, `NoSuchSlot`,
///   `NotAnOrphan`, `Import` (no file).
/// - `AlreadyExists`: open it, or choose another path. Variant: `AlreadyExists`.
/// - `Damaged`: restore the file or the database from a backup. Variants: `BadFile` (other than a newer format),
///   `BadRow` (other than another store key).
/// - `Unsupported`: update the application, or use another store. Variants: `BadFile` (newer format), `Unsupported`.
/// - `WrongSecret`: ask again. Variants: `WrongPassphrase`, `EmptyPassphrase`, `WrongRecoveryKey`,
///   `MistypedRecoveryKey`, `NoneOpened`.
/// - `Keychain`: unlock the keychain, or use another unlock method. Variants: `Keychain` (other than a bad service
///   name), `NoneOpened`.
/// - `External`: connect the device, or use another unlock method. Variants: `External` (other than a bad name or too
///   much data), `NoneOpened`.
/// - `NoKeySlot`: use another unlock method. Variants: `NoSlotFor`, `NoneOpened`.
/// - `Permission`: change the permissions. Variants: `UnsafePermissions`, `Io` (permission denied, read-only file
///   system).
/// - `Busy`: try again. Variants: `Busy`, `ChangedMeanwhile`, `Refreshing`, `BackedOff`, `Store` (of this kind).
/// - `Conflict`: read the token again, then decide. Variants: `Conflict`, `ClaimEnded`.
/// - `Reopen`: open the keystore again. Variants: `Replaced`, `PathChanged`, `Rekeyed`, `RolledBack`, `Diverged`,
///   `Forked`, `BadRow` (another store key).
/// - `Invalid`: change what the application asks for. Variants: `Keychain` (bad service name), `External` (bad name,
///   too much data), `EmptyPath`, `NotAFile`, `ReservedName`, `MountedFile`, `FileTooLarge`, `KdfLimit`, `LastSlot`,
///   `TooManySlots`, `OtherClient`, `Ambiguous`, `TooLarge`, `Unstorable`, `Import` (the rest), `NoGenerationLeft`,
///   `InTransaction`.
/// - `Incomplete`: the change was made, or may have been; something that follows it failed. Variants:
///   `DurabilityUnknown`, `KeyLeft`, `ImportIncomplete`.
/// - `System`: free space or memory, look at the disk. Variants: `Io` (the rest), `KdfMemory`, `Random`.
/// - `Internal`: report the bug. Variant: `Internal`.
/// - `Other`: the store's own error says. Variant: `Other`.
///
/// `NoneOpened` has the kind of one of its failures: `WrongSecret` if any of them has that kind, because asking again
/// may help; else that of the first failure with another kind than `NoKeySlot`; else `NoKeySlot`.
///
/// `Store` is an error of an application's own store, and has the kind that the store gives it: any of these.
///
/// ```
/// use tokenkeep::{ErrorKind, MemoryStore, Token, TokenStore};
///
/// let store = MemoryStore::new();
/// let error = store.save_token(&Token::builder().user_name("ada").build()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::Invalid);
/// assert!(!error.is_retryable());
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum ErrorKind {
    /// There is no such file, directory, token or key slot.
    NotFound,
    /// There is already something at the path.
    AlreadyExists,
    /// The file is damaged, or is not a keystore.
    Damaged,
    /// This version of the library, or this store, cannot do it.
    Unsupported,
    /// The secret does not open the keystore.
    WrongSecret,
    /// The operating system's keychain did not give or take the key, or this build does not support it.
    Keychain,
    /// An external provider did not give or take the key.
    External,
    /// The keystore has no key slot for the unlock method.
    NoKeySlot,
    /// The permissions of a file or directory are in the way.
    Permission,
    /// Another thread or process is at work, or a server asked to wait: the same call may succeed later.
    Busy,
    /// The stored token may be another than the one that the caller has read.
    Conflict,
    /// This handle cannot be used any more, and the keystore has to be opened again.
    Reopen,
    /// The call asks for something that a store never does.
    Invalid,
    /// The change was made, or may have been, and something that follows it failed.
    Incomplete,
    /// The operating system refused: no space, no memory, a failing disk.
    System,
    /// A bug in this crate.
    Internal,
    /// An error of an application's own store.
    Other,
}

impl Error {
    /// What a caller does next about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. }
            | Self::MissingDirectory { .. }
            | Self::NoSuchToken
            | Self::NoSuchSlot { .. }
            | Self::NotAnOrphan { .. }
            | Self::Import { why: ImportFlaw::NoFile, .. } => ErrorKind::NotFound,
            Self::AlreadyExists { .. } => ErrorKind::AlreadyExists,
            Self::BadFile {
                flaw: FileFlaw::UnsupportedVersion { .. } | FileFlaw::UnsupportedFeature { .. }, ..
            }
            | Self::Unsupported { .. } => ErrorKind::Unsupported,
            Self::BadFile { .. } => ErrorKind::Damaged,
            Self::BadRow { flaw: RowFlaw::OtherKey, .. } => ErrorKind::Reopen,
            Self::BadRow { .. } => ErrorKind::Damaged,
            Self::WrongPassphrase { .. }
            | Self::EmptyPassphrase
            | Self::WrongRecoveryKey { .. }
            | Self::MistypedRecoveryKey { .. } => ErrorKind::WrongSecret,
            Self::NoSlotFor { .. } => ErrorKind::NoKeySlot,
            Self::NoneOpened { failures, .. } => {
                let mut kinds = failures.iter().map(|failure| failure.error.kind());
                if kinds.clone().any(|kind| kind == ErrorKind::WrongSecret) {
                    return ErrorKind::WrongSecret;
                }
                kinds.find(|kind| *kind != ErrorKind::NoKeySlot).unwrap_or(ErrorKind::NoKeySlot)
            }
            Self::Keychain { why: KeychainFailure::BadService } => ErrorKind::Invalid,
            Self::Keychain { .. } => ErrorKind::Keychain,
            Self::External { why: ExternalFailure::BadName { .. } | ExternalFailure::TooMuchData { .. }, .. } => {
                ErrorKind::Invalid
            }
            Self::External { .. } => ErrorKind::External,
            Self::UnsafePermissions { .. } => ErrorKind::Permission,
            Self::Busy { .. } | Self::ChangedMeanwhile { .. } | Self::Refreshing { .. } | Self::BackedOff { .. } => {
                ErrorKind::Busy
            }
            Self::Conflict { .. } | Self::ClaimEnded => ErrorKind::Conflict,
            Self::Replaced { .. }
            | Self::PathChanged { .. }
            | Self::Rekeyed { .. }
            | Self::RolledBack { .. }
            | Self::Diverged { .. }
            | Self::Forked { .. } => ErrorKind::Reopen,
            Self::EmptyPath
            | Self::NotAFile { .. }
            | Self::ReservedName { .. }
            | Self::MountedFile { .. }
            | Self::FileTooLarge { .. }
            | Self::KdfLimit(_)
            | Self::LastSlot
            | Self::TooManySlots { .. }
            | Self::OtherClient { .. }
            | Self::Ambiguous { .. }
            | Self::TooLarge { .. }
            | Self::Unstorable { .. }
            | Self::Import { .. }
            | Self::NoGenerationLeft { .. }
            | Self::InTransaction => ErrorKind::Invalid,
            Self::DurabilityUnknown { .. } | Self::KeyLeft { .. } | Self::ImportIncomplete { .. } => {
                ErrorKind::Incomplete
            }
            Self::Io { cause, .. } => match cause.kind() {
                io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => ErrorKind::Permission,
                _ => ErrorKind::System,
            },
            Self::KdfMemory { .. } | Self::Random => ErrorKind::System,
            Self::Internal(_) => ErrorKind::Internal,
            Self::Store { kind, .. } => *kind,
            Self::Other(_) => ErrorKind::Other,
        }
    }

    /// Whether the same call may succeed later, although neither the application nor a person changes anything: another
    /// writer is at work, a server asked to wait, memory is short, or the keychain or an external provider did not
    /// answer in time. Wait before trying again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        match self {
            Self::Busy { .. }
            | Self::ChangedMeanwhile { .. }
            | Self::Refreshing { .. }
            | Self::BackedOff { .. }
            | Self::KdfMemory { .. }
            | Self::Random => true,
            Self::Store { kind, .. } => *kind == ErrorKind::Busy,
            Self::Keychain { why } => matches!(why, KeychainFailure::TimedOut { .. }),
            Self::External { why, .. } => {
                matches!(why, ExternalFailure::TimedOut { .. } | ExternalFailure::NoThread)
            }
            _ => false,
        }
    }
}
