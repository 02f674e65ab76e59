//! Everything that can go wrong, told apart.

use std::{io, path::PathBuf, time::Duration};

use crate::id::TokenId;

/// The result of every operation that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, and, in its message, what to do about it.
///
/// No message, `Debug` or source of it holds a secret. None says which key slot failed or how near a passphrase
/// was. Where the file on disk was refused, it was left as it was.
///
/// ```
/// use tokenkeep::{Error, Keystore, Unlock};
///
/// let dir = tempfile::tempdir()?;
/// match Keystore::open(dir.path().join("tokens.keep"), Unlock::passphrase("correct horse")) {
///     Err(Error::NotFound { path, .. }) => println!("nobody has signed in yet: no {}", path.display()),
///     Err(Error::WrongPassphrase) => println!("try again"),
///     other => panic!("expected no store, got {other:?}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// `open`, or an operation on a store deleted since: there is no file.
    #[error("no keystore at {}", path.display())]
    #[non_exhaustive]
    NotFound {
        /// Where it was looked for.
        path: PathBuf,
    },
    /// The folder that the file should be in does not exist; it is not made for you.
    #[error("the folder {} does not exist: create it first", path.display())]
    #[non_exhaustive]
    MissingFolder {
        /// The folder.
        path: PathBuf,
    },
    /// `create`: something is there already, and it was left untouched.
    #[error("{} exists already: open it, or choose another path", path.display())]
    #[non_exhaustive]
    AlreadyExists {
        /// Where.
        path: PathBuf,
    },
    /// The path names something that is not a regular file.
    #[error("{} is a {kind}, not a file", path.display())]
    #[non_exhaustive]
    NotAFile {
        /// Where.
        path: PathBuf,
        /// What is there instead, such as `"folder"`.
        kind: &'static str,
    },

    /// The file has no bytes at all.
    #[error("the file is empty: restore it from a backup, or delete it to create a new keystore")]
    EmptyFile,
    /// The file does not start as a keystore does.
    #[error("the file is not a tokenkeep keystore")]
    NotAKeystore,
    /// The file was written in a version of the format that this library does not know.
    #[error("the keystore has format version {found}, this library reads version 1: update the application")]
    #[non_exhaustive]
    UnsupportedVersion {
        /// The file's version.
        found: u16,
    },
    /// The file needs a feature that this library does not know.
    #[error("the keystore needs features this library does not have (bits {bits:#010x}): update the application")]
    #[non_exhaustive]
    UnsupportedFeature {
        /// The unknown bits among the required ones.
        bits: u32,
    },
    /// A cost of the key derivation is outside what is accepted. Nothing was derived.
    #[error("the key derivation asks for {what} of {asked}, and the nearest accepted is {limit}")]
    #[non_exhaustive]
    KdfLimit {
        /// Which cost, with its unit, such as `"a memory in KiB"`.
        what: &'static str,
        /// What the file or the caller asks for.
        asked: u64,
        /// The nearest accepted value.
        limit: u64,
    },
    /// The memory for the key derivation could not be had. (A system that promises more memory than it has may kill the process
    /// instead.)
    #[error("the {kib} KiB of memory for the key derivation could not be reserved")]
    #[non_exhaustive]
    KdfMemory {
        /// KiB asked of the allocator.
        kib: u32,
    },
    /// The header's own checksum does not match: a disk or a transfer damaged the file.
    #[error("the keystore's header is damaged: restore the file from a backup")]
    DamagedHeader,
    /// The file ends early.
    #[error("the keystore is cut short, {found} of {expected} bytes: restore the file from a backup")]
    #[non_exhaustive]
    Truncated {
        /// Bytes the file should have, as far as it tells.
        expected: u64,
        /// Bytes it has.
        found: u64,
    },
    /// No slot opens with the passphrase. A slot that was changed cannot be told from a wrong passphrase.
    #[error("wrong passphrase, or the part of the keystore that it opens was changed")]
    WrongPassphrase,
    /// A passphrase without a single character protects nothing.
    #[error("the passphrase is empty")]
    EmptyPassphrase,
    /// No slot opens with the recovery key. A slot that was changed cannot be told from a wrong key.
    #[error("wrong recovery key, or the part of the keystore that it opens was changed")]
    WrongRecoveryKey,
    /// The text is not what a recovery key looks like. Nothing was tried with it.
    #[error("the recovery key is mistyped: {why}")]
    #[non_exhaustive]
    MistypedRecoveryKey {
        /// What is wrong with it.
        why: RecoveryKeyTypo,
    },
    /// The operating system's keychain did not do what was asked of it. Nothing was changed.
    #[error("the keychain {why}")]
    #[non_exhaustive]
    Keychain {
        /// What is the matter with it.
        why: KeychainFailure,
    },
    /// The change was made, but the keychain still has the key of a way to unlock the store that is gone.
    #[error(
        "the change was made, but the key that is not needed any more could not be taken out of the keychain: it {why}"
    )]
    #[non_exhaustive]
    KeyLeft {
        /// What is the matter with the keychain.
        why: KeychainFailure,
    },
    /// The file cannot be opened in this way at all, whatever the secret.
    #[error("the keystore has no {kind} to open it with")]
    #[non_exhaustive]
    NoSuchSlot {
        /// The way that was tried, such as `"passphrase"`.
        kind: &'static str,
    },
    /// The key was right, yet header and contents are not what was sealed with it.
    #[error("the keystore was changed or damaged after it was sealed: restore the file from a backup")]
    Tampered,
    /// The file breaks a rule of the format: it was written by a faulty program, or something was appended to it.
    #[error("the keystore breaks the format: {what}")]
    #[non_exhaustive]
    Malformed {
        /// The rule.
        what: &'static str,
    },

    /// There is no way to unlock the store of that id, any more: it was removed or changed. Nothing was changed.
    #[error("that way to unlock the keystore was removed or changed meanwhile: look again at what there is")]
    SlotGone,
    /// A store that nothing unlocks is lost. Nothing was changed.
    #[error("at least one way to unlock the keystore has to stay")]
    LastSlot,
    /// `change_passphrase` changes a passphrase into a passphrase; `replace_slot` is for the rest. Nothing was changed.
    #[error("a passphrase can only be changed into a passphrase")]
    NotAPassphrase,
    /// A store has at most 8 ways to unlock it, 4 of them passphrases, each of which costs a key derivation to try.
    /// Nothing was changed.
    #[error("the keystore has all the {what} that it can have, {limit}: remove one first")]
    #[non_exhaustive]
    TooManySlots {
        /// Of what there are too many.
        what: &'static str,
        /// How many there can be.
        limit: usize,
    },

    /// The lock was held by others until the deadline.
    #[error("the keystore was busy for {} ms", waited.as_millis())]
    #[non_exhaustive]
    Busy {
        /// How long this call waited.
        waited: Duration,
    },
    /// `replace_token`: the row was changed since the given token was read.
    #[error("the token was changed meanwhile, it is at revision {current} now: read it again")]
    #[non_exhaustive]
    Conflict {
        /// The revision of the row as stored.
        current: u64,
    },
    /// `replace_token`: no row has the token's id.
    #[error("no token is stored under that id")]
    NoSuchToken,
    /// The path holds another keystore than the one that was opened.
    #[error("another keystore took the place of the one that was opened: open it again")]
    Replaced,
    /// The store was given a new key since it was opened.
    #[error("the keystore was given a new key since it was opened: open it again")]
    Rekeyed,
    /// The path holds an older state of the store, or another history of it, than this handle has seen.
    #[error("an older or diverging copy of the keystore was put in its place: open it again to accept that")]
    RolledBack,
    /// A program that does not take the lock changed the file, or the lock, while a change was being written. Nothing was
    /// replaced.
    #[error("the keystore was changed by another program while it was being written: try again")]
    ChangedMeanwhile,
    /// The process was forked after the store was opened; the child has to open it itself.
    #[error("the keystore was opened by another process: open it again in this one")]
    Forked,

    /// Something is larger than the store takes.
    #[error("{what} of {size} bytes is too large: at most {limit}")]
    #[non_exhaustive]
    TooLarge {
        /// What is too large.
        what: &'static str,
        /// Its size in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
    /// The token cannot be stored as it is. Nothing was changed.
    #[error("the token cannot be stored: {why}")]
    #[non_exhaustive]
    Unstorable {
        /// The reason.
        why: Unstorable,
    },
    /// The file system's permissions defeat the encryption or would lock somebody out.
    #[error("{}: {what}", path.display())]
    #[non_exhaustive]
    UnsafePermissions {
        /// The file or its folder.
        path: PathBuf,
        /// What is unsafe, and what to do.
        what: UnsafePermissions,
    },
    /// The change is made and visible, but the disk did not confirm it: a power cut may still undo it.
    #[error("the change was made, but writing the folder {} to the disk failed: it may not survive a power cut", path.display())]
    #[non_exhaustive]
    DurabilityUnknown {
        /// The id of the saved token, where one was saved.
        id: Option<TokenId>,
        /// The folder.
        path: PathBuf,
        /// Why.
        source: io::Error,
    },
    /// What cannot happen has happened: a bug in this crate. Please report it.
    #[error("a bug in tokenkeep: {what}")]
    #[non_exhaustive]
    Internal {
        /// What.
        what: &'static str,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes")]
    Random,
    /// The operating system refused.
    #[error("could not {doing} {}", path.display())]
    #[non_exhaustive]
    Io {
        /// What was being done.
        doing: &'static str,
        /// To which file or folder.
        path: PathBuf,
        /// Why it failed.
        source: io::Error,
    },
    /// An error of an application's own [`TokenStore`](crate::TokenStore); made with [`Error::other`].
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

impl Error {
    /// Carries the error of an application's own [`TokenStore`](crate::TokenStore). The caller answers for it
    /// holding no secret.
    ///
    /// ```
    /// let error = tokenkeep::Error::other("the cloud vault did not answer");
    /// assert_eq!(error.to_string(), "the cloud vault did not answer");
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }
}

/// Why a token cannot be stored: the reason in [`Error::Unstorable`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unstorable {
    /// A row of its own needs at least one of the three.
    #[error("it has no grant, refresh or access token")]
    NothingToStore,
    /// At most one row has a given user name.
    #[error("its user name is taken by another token")]
    UserNameTaken,
    /// An attribute is found by its name, so it needs one.
    #[error("one of its attributes has no name")]
    UnnamedAttribute,
    /// An id was saved that leaves no number for the ids the store chooses.
    #[error("the store has no number left to choose an id from: give the token an id")]
    NoIdLeft,
}

/// What is the matter with the operating system's keychain: the reason in [`Error::Keychain`]. Not what it said itself, for
/// that may hold the secret.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum KeychainFailure {
    /// There is none, or whatever should be one does not do its work; on macOS also a person who refused.
    #[error("is not there, does not work, or was refused: start it, or unlock the keystore in another way")]
    Unavailable,
    /// It is locked and nobody unlocked it, or it has no place yet where keys are kept by default.
    #[error("is locked, or has nowhere to keep keys: unlock it and try again")]
    Locked,
    /// It did not answer. It may be waiting for a person, and may still do what was asked of it.
    #[error("did not answer within {} ms", after.as_millis())]
    #[non_exhaustive]
    TimedOut {
        /// How long it was waited for.
        after: Duration,
    },
    /// It says that it has no key for the keystore. One that is locked, or was made anew, can say the same.
    #[error("has no key for the keystore, or is locked: unlock it, or unlock the keystore in another way")]
    Missing,
    /// It has a key, which opens no slot; or the slot was changed, which cannot be told from it.
    #[error("has a key that does not open the keystore, or the part of the keystore that it opens was changed")]
    WrongKey,
    /// The service is empty or has a NUL character, which not every keychain can do with.
    #[error("cannot be asked for a service without a name, or with a NUL in it")]
    BadService,
    /// It took a key and did not give it back.
    #[error("does not keep what it is given")]
    Forgetful,
    /// It did something that no keychain should do.
    #[error("failed")]
    Broken,
    /// The application was built without the feature `keychain`.
    #[error("is not supported by this build of the application")]
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
    /// It is something else than a recovery key.
    #[error("it does not start with TKR1")]
    Start,
    /// It starts as a key of a later version would.
    #[error("its first group is not TKR1: it is mistyped, or made by a later version")]
    Version,
    /// Something is missing, or too much.
    #[error("it has {found} letters and digits, and should have {expected}")]
    #[non_exhaustive]
    Length {
        /// How many it has, without spaces and hyphens.
        found: usize,
        /// How many it should have.
        expected: usize,
    },
    /// A character is none of those that recovery keys are made of.
    #[error("group {group} has a character that no recovery key has")]
    #[non_exhaustive]
    Character {
        /// Which group of four, counted from 1.
        group: usize,
    },
    /// Every character could be right, but not all of them are.
    #[error("its checksum does not match: a character is wrong, or two are exchanged")]
    Checksum,
}

/// What is unsafe about a file or folder: the reason in [`Error::UnsafePermissions`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsafePermissions {
    /// The file can be read or written by other users.
    #[error("other users may read or write the file (mode {mode:04o}): make it 0600")]
    #[non_exhaustive]
    FileMode {
        /// The permission bits.
        mode: u32,
    },
    /// Every user can replace files in the folder.
    #[error("every user may write in the folder (mode {mode:04o}): make it 0700")]
    #[non_exhaustive]
    FolderMode {
        /// The permission bits.
        mode: u32,
    },
    /// Writing would take the file away from its owner.
    #[error("the file belongs to user {owner}: only that user may write it, or its owner would be locked out")]
    #[non_exhaustive]
    ForeignOwner {
        /// The owner's user id.
        owner: u32,
    },
    /// Writing would leave the file's other names at the old contents.
    #[error("the file has {links} names (hard links): a change would reach only one of them, so remove the others")]
    #[non_exhaustive]
    HardLinked {
        /// How many names.
        links: u64,
    },
}
