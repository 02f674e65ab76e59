// The targets of links in rustdoc. They come before README.md, which defines the same links for GitHub: rustdoc takes
// the first definition. The picture is in `docs/links.md` as base64 of `docs/data-flow.svg`.
#![cfg_attr(all(doc, not(doctest)), doc = include_str!("../docs/links.md"))]
#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
// A panic where an error belongs takes the application down with it, and a library has nothing to print. Tests may.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::unwrap_used
    )
)]

// The data flow, and the same way back:
//
//     Token ── matching, index ──▶ codec ──▶ seal (◀── vault ◀── unlock) ──▶ format ──▶ file
//     what     which row is meant  bytes     AES-256-GCM  store key  key of  layout     lock, atomic replacement
//                                                         and slots  a slot
//
// A find goes from keystore or namespace to the engine, which makes sure that the state in memory is fresh. A save
// waits there for its turn (group), locks the file, reloads it if it has changed (freshness), makes its changes over
// the rows (overlay), and appends them as a record or replaces the file (commit).
//
// Where each rule is stated, and kept:
//
//     which stored token a save or a find means       matching
//     how a save merges into the stored token         matching; in code: matching/merge
//     what a token may hold                           token/limits
//     who may refresh a token, and when               refresh/attempt, refresh/need
//     who waits for whom                              engine; between processes: file/lock
//     when the tokens in memory are up to date        engine/freshness
//     which state of the file an open store refuses   engine/state
//     when a change counts, and is durable            engine/commit, file/durability
//     when and how a record is appended               engine/append, file/append
//     how the file is replaced                        file/replacement
//     what a file has to look like, cut or damaged    format; its decrypted records: codec
//     when a key slot is refused                      unlock
//     when a secret is wiped                          secret
//
// The layers, from the top down. A file imports from its own layer or from a lower one; tests/integration/layers.rs
// checks that.

// Layer 6: what moves tokens in from elsewhere.
#[cfg(feature = "import")]
pub mod import;

// Layer 5: what applications open.
mod keystore;
mod memory;
mod namespace;
mod refresh;
mod snapshot;

// Layer 4: one mechanism for every operation.
mod engine;

// Layer 3: the decrypted tokens and changes to them; the store key with its key slots.
mod changes;
mod index;
mod memory_rows;
mod namespaces;
mod overlay;
mod transaction;
pub mod vault;

// Layer 2: which token is meant; records, keys, unlock methods; the file.
#[cfg(feature = "import")]
mod batch;
mod codec;
mod file;
pub mod matching;
mod seal;
mod store;
mod token_lock;
mod unlock;

// Layer 1: what a token is, what a key costs, what the file looks like, what a store reports of itself.
mod format;
mod kdf;
mod slot;
mod status;
mod token;
mod version;

// Layer 0: what all of them use.
mod error;
#[cfg(unix)]
mod hardening;
mod id;
mod lock_waiters;
mod per_process;
mod secret;
mod time;
mod transaction_thread;
mod unlock_method;

// Beside the layers: what checks stores against the contract.
#[cfg(feature = "__fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "testing")]
pub mod testing;

/// The long documents, as pages of this documentation. This module does not exist in builds.
// Not in doc tests either: the code in these pages is part of programs, and is tested there.
#[cfg(all(doc, not(doctest)))]
pub mod _documentation {
    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/database.md")]
    pub mod database {}

    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/durability.md")]
    pub mod durability {}

    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/format.md")]
    pub mod format {}

    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/headless.md")]
    #[allow(rustdoc::invalid_rust_codeblocks)] // one block is a part of a function
    pub mod headless {}

    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../docs/keychain.md")]
    pub mod keychain {}

    #[doc = include_str!("../docs/links.md")]
    #[doc = include_str!("../SECURITY.md")]
    pub mod security {}
}

pub use error::{
    Detail, Error, ErrorKind, ExternalError, ExternalFailure, FileFlaw, FileKind, FileOperation, ImportColumn,
    ImportFlaw, KdfCost, KdfLimit, KeychainFailure, Part, RecoveryKeyTypo, Result, RowFlaw, SlotLimit, StoreOperation,
    UnlockFailure, UnsafePermissions, Unstorable,
};
#[cfg(unix)]
pub use hardening::harden_process;
pub use id::{Origin, ParseSlotIdError, SlotId, TokenId};
pub use kdf::KdfParams;
#[cfg(feature = "keychain")]
pub use keyring_core;
pub use keystore::{Keystore, KeystoreOptions};
pub use matching::Prune;
pub use memory::MemoryStore;
pub use namespace::Namespace;
pub use refresh::{Answer, Claim, Need, Refresh, RefreshError, RefreshStep, Refreshed, StaleReason, TokenStoreExt};
pub use secret::Secret;
pub use slot::{KeySlot, SlotKind};
pub use snapshot::Snapshot;
pub use status::{FileStatus, JournalStatus, NotOffered, NotWritable, Status};
pub use store::TokenStore;
pub use token::{Token, TokenBuilder};
pub use token_lock::{LockAttempt, TokenLock};
pub use transaction::Transaction;
pub use unlock::{External, ExternalKey, ExternalSlot, Keychain, Passphrase, RecoveryKey, Unlock};
pub use unlock_method::UnlockMethod;
pub use version::Version;
