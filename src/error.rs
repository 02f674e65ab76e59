//! Everything that can go wrong, as one enum with nested reasons.

use std::{
    io,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use crate::{
    id::{SlotId, TokenId},
    time::Millis,
    unlock_method::UnlockMethod,
};

mod external;
mod import;
mod kind;
mod reasons;
mod shared;
mod unlocking;

pub use external::{ExternalError, ExternalFailure};
#[cfg(feature = "import")]
pub(crate) use import::located;
pub use import::{ImportColumn, ImportFlaw};
pub use kind::ErrorKind;
pub use reasons::{
    Detail, FileFlaw, FileKind, FileOperation, Part, RowFlaw, StoreOperation, UnsafePermissions, Unstorable,
};
pub(crate) use shared::same_cause;
pub use unlocking::{KdfCost, KdfLimit, KeychainFailure, RecoveryKeyTypo, SlotLimit, UnlockFailure};

/// The result of every operation that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong. The message says what happened, where, and what to do about it.
///
/// [`kind`](Error::kind) sorts the variants by what a caller does next; [`ErrorKind`] has the list. Where the cause is
/// an error of the operating system, the message includes it, and the variant carries it as `cause`.
///
/// No message, `Debug` output or source of an error holds a secret or a user name. No error says which key slot failed,
/// or how close a passphrase was. A file that was refused is left as it was.
///
/// ```
/// use tokenkeep::{Error, Keystore, Passphrase, Unlock};
///
/// let directory = tempfile::tempdir()?;
/// let unlock = Unlock::from(Passphrase::new("correct horse"));
/// match Keystore::open(directory.path().join("tokens.keep"), &unlock) {
///     Err(Error::NotFound { path, .. }) => println!("first start: there is no {}", path.display()),
///     Err(Error::WrongPassphrase { .. }) => println!("ask again"),
///     other => panic!("expected no store, got {other:?}"),
/// }
/// # Ok::<(), std::io::Error>(())
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// There is no file at the path: it was never created, or it was deleted while it was open.
    #[error("there is no keystore at {}: create it first, or check the path", path.display())]
    #[non_exhaustive]
    NotFound {
        /// The path that was looked at.
        path: PathBuf,
    },
    /// The directory that should hold the file does not exist. The library does not create it.
    #[error("the directory {} does not exist: create it first", path.display())]
    #[non_exhaustive]
    MissingDirectory {
        /// The directory.
        path: PathBuf,
    },
    /// Something already exists at the path. It was left as it is.
    #[error("{} already exists: open it, or choose another path", path.display())]
    #[non_exhaustive]
    AlreadyExists {
        /// The path.
        path: PathBuf,
    },
    /// The path is an empty text.
    #[error("the path of the keystore is empty: give the path of a file")]
    EmptyPath,
    /// The path leads to something that is not a regular file.
    #[error("{} is {found}, not a file: choose another path", path.display())]
    #[non_exhaustive]
    NotAFile {
        /// The path.
        path: PathBuf,
        /// What the path leads to.
        found: FileKind,
    },
    /// The name is one that the library gives to files beside a store (`.lock`, `.queue`, `.claims`, and temporary
    /// files): another store could take the file for its own. Nothing was written.
    #[error("{} has a name that is reserved for files beside a keystore: choose another name", path.display())]
    #[non_exhaustive]
    ReservedName {
        /// The path.
        path: PathBuf,
    },
    /// The file is mounted by itself, as containers do it, so it cannot be replaced.
    #[error("{} is mounted by itself and cannot be replaced: mount its directory instead", path.display())]
    #[non_exhaustive]
    MountedFile {
        /// The file.
        path: PathBuf,
    },
    /// The file cannot be used as it is. It was left as it is.
    #[error("{} {flaw}", path.display())]
    #[non_exhaustive]
    BadFile {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        flaw: FileFlaw,
    },
    /// The file is longer than the limit, or a change would make it so. Nothing was changed.
    #[error(
        "{} needs {size} bytes, and at most {limit} are allowed: raise max_file_len, or delete tokens",
        path.display()
    )]
    #[non_exhaustive]
    FileTooLarge {
        /// The file.
        path: PathBuf,
        /// The length in bytes that the file has, or would have.
        size: u64,
        /// The limit in bytes: [`KeystoreOptions::max_file_len`](crate::KeystoreOptions::max_file_len), or that of an
        /// import's options.
        limit: u64,
    },

    /// The cost that was given for a key derivation is out of bounds. No key was derived.
    #[error("the key derivation cost is out of bounds: {0}; choose other KdfParams")]
    KdfLimit(KdfLimit),
    /// The memory for a key derivation could not be allocated. (A system that promises more memory than it has may kill
    /// the process instead.)
    #[error("could not allocate {kib} KiB of memory for the key derivation: close other programs, and try again")]
    #[non_exhaustive]
    KdfMemory {
        /// The size that was asked for, in KiB.
        kib: u32,
    },
    /// The passphrase opens no key slot. A key slot that was changed in the file looks like a wrong
    /// passphrase.
    #[error("wrong passphrase for {}: try again", path.display())]
    #[non_exhaustive]
    WrongPassphrase {
        /// The keystore.
        path: PathBuf,
    },
    /// An empty passphrase protects nothing.
    #[error("the passphrase is empty, which protects nothing: enter one that is hard to guess")]
    EmptyPassphrase,
    /// The recovery key opens no key slot. A key slot that was changed in the file looks like a wrong key.
    #[error("wrong recovery key for {}: check that it was made for this keystore", path.display())]
    #[non_exhaustive]
    WrongRecoveryKey {
        /// The keystore.
        path: PathBuf,
    },
    /// The text is not a recovery key. Nothing was tried with it.
    #[error("the recovery key is mistyped: {why}; compare it with the printed key")]
    #[non_exhaustive]
    MistypedRecoveryKey {
        /// What is wrong with the text.
        why: RecoveryKeyTypo,
    },
    /// The operating system's keychain failed. Nothing was changed.
    #[error("the keychain {why}")]
    #[non_exhaustive]
    Keychain {
        /// How it failed.
        why: KeychainFailure,
    },
    /// An external provider failed.
    #[error("the external key provider {provider} {why}")]
    #[non_exhaustive]
    External {
        /// The provider's name.
        provider: String,
        /// How it failed.
        why: ExternalFailure,
    },
    /// The change was made, but the key of a removed key slot is still in the keychain or with its external provider.
    /// [`Keystore::keychain_orphans`](crate::Keystore::keychain_orphans) lists a key in the keychain, and
    /// [`Keystore::remove_keychain_orphan`](crate::Keystore::remove_keychain_orphan) removes it.
    #[error(
        "the change was made, but an unneeded key was not deleted: delete it later (in a keychain with \
         remove_keychain_orphan); {cause}"
    )]
    #[non_exhaustive]
    KeyLeft {
        /// Why the key was not deleted: an error of the keychain or of the provider.
        cause: Box<Error>,
    },
    /// A sealed row of a database cannot be used. It was left as it is.
    #[error("row {place} of {} {flaw}", name.display())]
    #[non_exhaustive]
    BadRow {
        /// The name that the vault was opened with.
        name: PathBuf,
        /// The row's place.
        place: u64,
        /// The reason.
        flaw: RowFlaw,
    },
    /// The keystore has no key slot for this unlock method.
    #[error("{} has no key slot for this unlock method ({method}): use another unlock method", path.display())]
    #[non_exhaustive]
    NoSlotFor {
        /// The keystore.
        path: PathBuf,
        /// The unlock method that was tried.
        method: UnlockMethod,
    },
    /// [`Keystore::open_any`](crate::Keystore::open_any): each unlock method failed, or none was given.
    #[error("{}", unlocking::none_opened(path, failures))]
    #[non_exhaustive]
    NoneOpened {
        /// The keystore.
        path: PathBuf,
        /// One entry for each unlock method, in the order given.
        failures: Vec<UnlockFailure>,
    },

    /// The keystore has no key slot of that id: it was removed or replaced. Nothing was changed.
    #[error("the keystore has no key slot {id}: list its key slots again")]
    #[non_exhaustive]
    NoSuchSlot {
        /// The id.
        id: SlotId,
    },
    /// The keychain has no orphaned key of that id. Nothing was changed.
    #[error("the keychain has no orphaned key {id}: list the orphaned keys again")]
    #[non_exhaustive]
    NotAnOrphan {
        /// The id.
        id: SlotId,
    },
    /// The last key slot cannot be removed: nothing would open the keystore. Nothing was changed.
    #[error("cannot remove the last unlock method: add another one first")]
    LastSlot,
    /// A keystore has at most 8 key slots, of which 4 are for passphrases. Nothing was changed.
    #[error("the keystore has {limit} {what}, the most it can have: remove one first")]
    #[non_exhaustive]
    TooManySlots {
        /// Which limit was reached.
        what: SlotLimit,
        /// The limit.
        limit: usize,
    },

    /// Other threads or processes held the lock until the deadline.
    #[error(
        "{} was busy for {} ms: another thread or process writes to it; try again",
        path.display(),
        waited.as_millis()
    )]
    #[non_exhaustive]
    Busy {
        /// The keystore.
        path: PathBuf,
        /// How long this call waited.
        waited: Duration,
    },
    /// Another thread or process was refreshing the token until the deadline, and the stored token is not what was
    /// needed. Nothing was asked of the server.
    #[error("another thread or process is refreshing the token (waited {} ms): try again", waited.as_millis())]
    #[non_exhaustive]
    Refreshing {
        /// How long this call waited.
        waited: Duration,
    },
    /// The last refresh of the token failed, and the stored token is not what was needed. No refresh is tried before
    /// this time.
    #[error("the last refresh of the token failed: try again at {:?}", Millis::from(*until))]
    #[non_exhaustive]
    BackedOff {
        /// When the next refresh may be tried.
        until: SystemTime,
    },
    /// The claim is no longer trusted: it is too old, its lock file was removed, or the process was forked. This call
    /// sent nothing to the server.
    #[error("the claim on the token has ended: drop it, and call begin_refresh again")]
    ClaimEnded,
    /// The stored token was changed since the given revision was read. Nothing was changed.
    #[error("the token was changed in the meantime and is at revision {current} now: read it again")]
    #[non_exhaustive]
    Conflict {
        /// The revision of the stored token.
        current: u64,
    },
    /// No token is stored under the id, although the call needs one: it was deleted, or never saved. Nothing was
    /// changed.
    #[error("no token is stored under that id: it was deleted, or never saved")]
    NoSuchToken,
    /// The given token names the id of a stored token and another client. Nothing was changed.
    /// [`TokenStore::replace_token`](crate::TokenStore::replace_token) can change the client.
    #[error(
        "the stored token {id} belongs to another client: leave out the id, or change the client with replace_token"
    )]
    #[non_exhaustive]
    OtherClient {
        /// The id of the stored token.
        id: TokenId,
    },
    /// Several tokens are stored for the user name, and nothing else tells which one is meant. Nothing was changed.
    #[error("{count} tokens are stored for that user name: give the client_id or the id too")]
    #[non_exhaustive]
    Ambiguous {
        /// How many tokens are stored for the user name.
        count: usize,
    },
    /// The store does not have this operation.
    #[error("this store cannot {operation}: use a store that can, such as Keystore")]
    #[non_exhaustive]
    Unsupported {
        /// The operation.
        operation: StoreOperation,
    },
    /// The path leads to another keystore than the one that was opened.
    #[error("{} is another keystore than the one that was opened: check the path, and open it again", path.display())]
    #[non_exhaustive]
    Replaced {
        /// The path.
        path: PathBuf,
    },
    /// The path leads to another file than the one that was opened: a directory or a symbolic link on the way was
    /// exchanged. Nothing was written.
    #[error("{} leads to another file now than {}, which was opened: open it again", path.display(), opened.display())]
    #[non_exhaustive]
    PathChanged {
        /// The path that was given when the keystore was opened.
        path: PathBuf,
        /// Where the path led then.
        opened: PathBuf,
    },
    /// The keystore was given a new key after it was opened.
    #[error("{} was given a new key since it was opened: open it again", path.display())]
    #[non_exhaustive]
    Rekeyed {
        /// The keystore.
        path: PathBuf,
    },
    /// The path leads to an older state of the keystore than this handle has seen.
    #[error(
        "{} is an older copy now: restore the newer file, or open it again to accept this copy",
        path.display()
    )]
    #[non_exhaustive]
    RolledBack {
        /// The keystore.
        path: PathBuf,
    },
    /// The path leads to a newer state of the keystore that does not include the state that this handle has seen: two
    /// copies of the file were both saved to, and each has changes that the other lacks.
    #[error(
        "{} is a copy that was saved to separately, and lacks changes of this one: restore the right file, or open it \
         again to accept this copy",
        path.display()
    )]
    #[non_exhaustive]
    Diverged {
        /// The keystore.
        path: PathBuf,
    },
    /// A program that does not take the lock changed the file, or the lock file, during a save. Nothing was replaced.
    #[error("another program changed {} during a save, and nothing was written: try again", path.display())]
    #[non_exhaustive]
    ChangedMeanwhile {
        /// The keystore.
        path: PathBuf,
    },
    /// The process was forked after the keystore was opened. The child process has to open the keystore itself.
    #[error("{} was opened before this process was forked: open it in this process too", path.display())]
    #[non_exhaustive]
    Forked {
        /// The keystore.
        path: PathBuf,
    },

    /// A part of a token, or a label, is longer than a store accepts. Nothing was changed.
    #[error("{part} of {size} bytes is too large: at most {limit} bytes are allowed")]
    #[non_exhaustive]
    TooLarge {
        /// The part that is too large.
        part: Part,
        /// Its length in bytes.
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
    /// The permissions of the file or its directory defeat the encryption, or a save would lock out the file's owner.
    #[error("{} {what}", path.display())]
    #[non_exhaustive]
    UnsafePermissions {
        /// The file or its directory.
        path: PathBuf,
        /// What is unsafe, and what to do.
        what: UnsafePermissions,
    },
    /// The change was made and is visible, but the directory could not be synced: a power cut may undo the change.
    #[error(
        "the change was made, but a power cut may undo it: could not sync {}: {cause}; look at the disk, and save \
         again",
        path.display()
    )]
    #[non_exhaustive]
    DurabilityUnknown {
        /// The id of the saved token, if a token was saved.
        id: Option<TokenId>,
        /// The directory.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// A file cannot be imported as it is (feature `import`). Nothing was stored.
    #[error("cannot import {}: {}", path.display(), import::located(*line, *column, why))]
    #[non_exhaustive]
    Import {
        /// The file.
        path: PathBuf,
        /// The line that the row starts in; the header is line 1. `None`: the flaw is one of the whole file.
        line: Option<u64>,
        /// The column, if the flaw is in one.
        column: Option<ImportColumn>,
        /// What is wrong.
        why: ImportFlaw,
    },
    /// An import failed in the middle, and some of its rows could not be taken back. A [`Keystore`](crate::Keystore)
    /// and a [`MemoryStore`](crate::MemoryStore) never get there.
    #[error(
        "the import of {} failed, and its {} stay in the store: delete these tokens, or import again; {cause}",
        path.display(),
        import::lines(lines)
    )]
    #[non_exhaustive]
    ImportIncomplete {
        /// The file.
        path: PathBuf,
        /// The lines of the rows that may still be in the store.
        lines: Vec<u64>,
        /// Why the import failed.
        cause: Box<Error>,
    },
    /// The operating system gave no random bytes.
    #[error("the operating system gave no random bytes: try again")]
    Random,
    /// The operating system refused an operation on a file or a directory.
    #[error("could not {operation} {}: {cause}", path.display())]
    #[non_exhaustive]
    Io {
        /// The operation.
        operation: FileOperation,
        /// The file or the directory.
        path: PathBuf,
        /// The system's error.
        cause: io::Error,
    },
    /// The keystore was saved 2^64 - 1 times, which takes longer than a computer lasts: a faulty program counted
    /// wrongly.
    #[error("{} has no number left for its next save: copy its tokens into a new keystore", path.display())]
    #[non_exhaustive]
    NoGenerationLeft {
        /// The keystore.
        path: PathBuf,
    },
    /// The store was used inside of its own transaction, and not through it.
    #[error("the store is in a transaction of this thread: use the transaction itself, or end it first")]
    InTransaction,
    /// A bug in this crate. Please report it.
    #[error("a bug in tokenkeep, please report it: {0}")]
    Internal(Detail),
    /// An error of an application's own [`TokenStore`](crate::TokenStore) that says its [kind](Error::kind); made with
    /// [`Error::of_store`].
    #[error("{cause}")]
    #[non_exhaustive]
    Store {
        /// What a caller does next about it.
        kind: ErrorKind,
        /// The store's own error.
        cause: Box<dyn std::error::Error + Send + Sync>,
    },
    /// An error of an application's own [`TokenStore`](crate::TokenStore); made with [`Error::other`].
    #[error(transparent)]
    Other(Box<dyn std::error::Error + Send + Sync>),
}

#[cfg(test)]
mod tests;
