//! The reasons inside errors.

use std::fmt;

use super::KdfLimit;

/// A detail for a person to read. A program cannot match on it.
#[derive(Clone, Copy, PartialEq, Eq)]
pub struct Detail(&'static str);

impl Detail {
    pub(crate) const fn new(text: &'static str) -> Self {
        Self(text)
    }
}

impl fmt::Display for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.0)
    }
}

impl fmt::Debug for Detail {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.0, f)
    }
}

/// What is wrong with a file: the reason in [`Error::BadFile`](crate::Error::BadFile). `docs/format.md`, *Reading*, has
/// the same classes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileFlaw {
    /// The file has no bytes at all.
    #[error(
        "is an empty file: restore it from a backup, or set it aside (Keystore::set_aside) and create a new keystore"
    )]
    Empty,
    /// The file does not start as a keystore does.
    #[error(
        "is not a tokenkeep keystore: choose another path, restore the keystore from a backup, or set the file aside \
             (Keystore::set_aside)"
    )]
    NotAKeystore,
    /// The file was written in a version of the format that this library does not know.
    #[error("has format version {found}, and this application reads version 1 only: update the application")]
    #[non_exhaustive]
    UnsupportedVersion {
        /// The file's version.
        found: u16,
    },
    /// The file needs a feature that this library does not know.
    #[error(
        "was written by a newer version of the application (unknown features {bits:#010x}): update the application"
    )]
    #[non_exhaustive]
    UnsupportedFeature {
        /// The unknown bits among the required features.
        bits: u32,
    },
    /// The file asks for a key derivation whose cost is out of bounds. No key was derived.
    #[error(
        "is damaged, its key derivation cost is out of bounds ({0}): restore the keystore from a backup, or set the \
             file aside (Keystore::set_aside)"
    )]
    KdfLimit(KdfLimit),
    /// The header's own checksum does not match: a disk or a transfer damaged the file.
    #[error("has a damaged header: restore the keystore from a backup, or set the file aside (Keystore::set_aside)")]
    DamagedHeader,
    /// The file ends early.
    #[error(
        "is cut short to {found} of {expected} bytes: restore the keystore from a backup, or set the file aside \
             (Keystore::set_aside)"
    )]
    #[non_exhaustive]
    Truncated {
        /// How many bytes the file should have, as far as it says.
        expected: u64,
        /// How many bytes it has.
        found: u64,
    },
    /// The key is right, but header and contents are not what was sealed with it.
    #[error(
        "was changed or damaged after it was sealed: restore the keystore from a backup, or set the file aside \
             (Keystore::set_aside)"
    )]
    Tampered,
    /// The file breaks a rule of the format: a faulty program wrote it, or something was appended to it.
    #[error(
        "is damaged or was written by a faulty program ({0}): restore the keystore from a backup, or set the file \
             aside (Keystore::set_aside)"
    )]
    Malformed(Detail),
}

/// What is wrong with a sealed row: the reason in [`Error::BadRow`](crate::Error::BadRow).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum RowFlaw {
    /// The row was sealed under another store key, or belongs to another key table.
    #[error("was sealed under another store key: open the vault again, or restore the database from a backup")]
    OtherKey,
    /// The row, its place, its revision, its columns or its table are not what was sealed.
    #[error("was changed, moved or mixed with another row after it was sealed: restore the database from a backup")]
    Tampered,
    /// The row breaks a rule of the format: a faulty program wrote it.
    #[error("is damaged or was written by a faulty program ({0}): restore the database from a backup")]
    Malformed(Detail),
}

impl FileFlaw {
    pub(crate) const fn malformed(rule: &'static str) -> Self {
        Self::Malformed(Detail::new(rule))
    }
}

/// What a path leads to that is not a regular file: the reason in [`Error::NotAFile`](crate::Error::NotAFile).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileKind {
    /// A directory.
    #[error("a directory")]
    Directory,
    /// A symbolic link whose target does not exist, or one that replaced the file of an open store.
    #[error("a symbolic link without a target")]
    SymbolicLink,
    /// A named pipe (FIFO).
    #[error("a pipe")]
    Pipe,
    /// A socket.
    #[error("a socket")]
    Socket,
    /// A device.
    #[error("a device")]
    Device,
}

/// What was being done to a file or directory: part of [`Error::Io`](crate::Error::Io).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FileOperation {
    /// Following the symbolic links of a path.
    #[error("resolve the path")]
    Resolve,
    /// Reading owner, mode and length.
    #[error("read the metadata of")]
    ReadMetadata,
    /// Opening.
    #[error("open")]
    Open,
    /// Reading.
    #[error("read")]
    Read,
    /// Creating a new file.
    #[error("create")]
    Create,
    /// Writing the next state to a temporary file.
    #[error("write")]
    Write,
    /// Bringing bytes or names to the disk.
    #[error("sync")]
    Sync,
    /// Renaming the temporary file over the old one.
    #[error("replace")]
    Replace,
    /// Taking the lock.
    #[error("lock")]
    Lock,
}

/// An operation of a [`TokenStore`](crate::TokenStore) that not every store has: the reason in
/// [`Error::Unsupported`](crate::Error::Unsupported).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreOperation {
    /// [`replace_token`](crate::TokenStore::replace_token).
    #[error("replace a token atomically")]
    ReplaceToken,
    /// [`delete_token_if`](crate::TokenStore::delete_token_if).
    #[error("delete a token of a given revision atomically")]
    DeleteTokenIf,
    /// [`lock_token`](crate::TokenStore::lock_token).
    #[error("lock a token against other threads and processes")]
    LockToken,
}

/// What is too large: the reason in [`Error::TooLarge`](crate::Error::TooLarge).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Part {
    /// A token with all its fields.
    #[error("a token")]
    Token,
    /// The name of a namespace.
    #[error("the name of a namespace")]
    Namespace,
    /// An id.
    #[error("an id")]
    Id,
    /// A user name.
    #[error("a user name")]
    UserName,
    /// A client id.
    #[error("a client id")]
    ClientId,
    /// A client secret.
    #[error("a client secret")]
    ClientSecret,
    /// A refresh token.
    #[error("a refresh token")]
    RefreshToken,
    /// An access token.
    #[error("an access token")]
    AccessToken,
    /// A grant token.
    #[error("a grant token")]
    GrantToken,
    /// An ID token.
    #[error("an ID token")]
    IdToken,
    /// A redirect URL.
    #[error("a redirect URL")]
    RedirectUrl,
    /// An API domain.
    #[error("an API domain")]
    ApiDomain,
    /// A token type.
    #[error("a token type")]
    TokenType,
    /// A scope.
    #[error("a scope")]
    Scope,
    /// The name of an attribute.
    #[error("an attribute name")]
    AttributeName,
    /// The value of an attribute.
    #[error("an attribute value")]
    AttributeValue,
    /// The label of a key slot.
    #[error("a label")]
    Label,
}

/// Why a token cannot be stored: the reason in [`Error::Unstorable`](crate::Error::Unstorable).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum Unstorable {
    /// A stored token needs at least one of the three.
    #[error("it needs a grant, refresh or access token")]
    NothingToStore,
    /// Among the stored tokens that have a user name, user name and client id together are unique. A missing client id
    /// counts as a value.
    #[error("another token is stored for the same user name and client id; change or delete that one first")]
    UserAndClientTaken,
    /// An attribute is found by its name, so it needs one.
    #[error("one of its attributes needs a name")]
    UnnamedAttribute,
    /// An id was saved that leaves no number for the ids that the store chooses.
    #[error("the store has no number left to choose an id from; give the token an id")]
    NoIdLeft,
    /// The answer to a refresh needs an access token (RFC 6749, 5.1).
    #[error("the answer to a refresh has no access token; pass the server's error on instead")]
    NoAccessToken,
    /// Only a token that a store keeps can be sealed as a row.
    #[error("it has no id or no revision: seal what a store is about to write")]
    NeverStored,
}

/// What is unsafe about a file or directory: the reason in
/// [`Error::UnsafePermissions`](crate::Error::UnsafePermissions).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum UnsafePermissions {
    /// Other users can read or write the file.
    #[error("can be read or written by other users (mode {mode:04o}): set its mode to 0600")]
    #[non_exhaustive]
    FileMode {
        /// The permission bits.
        mode: u32,
    },
    /// Other users can replace files in the directory.
    #[error("is a directory in which other users can replace files (mode {mode:04o}): set its mode to 0700")]
    #[non_exhaustive]
    DirectoryMode {
        /// The permission bits.
        mode: u32,
    },
    /// The system does not let this process open the file, which belongs to another user.
    #[error("belongs to user {owner}, who alone may open it: run as that user, or change its owner")]
    #[non_exhaustive]
    NotOurs {
        /// The owner's user id.
        owner: u32,
    },
    /// A store that is created in another user's directory would lock that user out: see
    /// [`KeystoreOptions::in_directory_of_another_user`](crate::KeystoreOptions::in_directory_of_another_user).
    #[error("is a directory of user {owner}, whom a new store would lock out: run as that user")]
    #[non_exhaustive]
    ForeignDirectory {
        /// The owner's user id.
        owner: u32,
    },
    /// A save would take the file away from its owner.
    #[error("belongs to user {owner}, whom a save would lock out: run as that user")]
    #[non_exhaustive]
    ForeignOwner {
        /// The owner's user id.
        owner: u32,
    },
    /// The lock file, or the directory of lock files, belongs to another user, who could hold a lock for ever.
    #[error("belongs to user {owner}, who could hold its lock for ever: delete it")]
    #[non_exhaustive]
    ForeignLock {
        /// The owner's user id.
        owner: u32,
    },
    /// A save would leave the file's other names at the old contents.
    #[error("has {links} names (hard links), and a save would change only one of them: remove the other names")]
    #[non_exhaustive]
    HardLinked {
        /// How many names.
        links: u64,
    },
}
