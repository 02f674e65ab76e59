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

// The data's way, and the same way back:
//
//     Token ── matching, index ──▶ codec ──▶ seal (◀── unlock) ──▶ format ──▶ file
//     what     which one is it     bytes     AES-256-GCM  key      layout     lock, atomic replacement
//
// The floors, from the top down. A file imports from its own floor or from below; tests/layers.rs holds that.

// Floor 5: what applications open.
mod keystore;
mod memory;
mod snapshot;

// Floor 4: one mechanism for every operation.
mod engine;

// Floor 3: the decrypted tokens and changes to them.
mod changes;
mod index;

// Floor 2: which token is meant; records, keys, ways to unlock; the file. Each knows nothing of the others' business.
mod codec;
mod file;
pub mod matching;
mod seal;
mod store;
mod unlock;

// Floor 1: what a token is, what a key costs, what the file looks like, what can be told of a store.
mod format;
mod kdf;
mod status;
mod token;

// Floor 0: what all of them speak of.
mod error;
#[cfg(unix)]
mod hardening;
mod id;
mod secret;

// Beside the house: what holds others to the contract.
#[cfg(feature = "__fuzzing")]
#[doc(hidden)]
pub mod fuzzing;
#[cfg(feature = "testing")]
pub mod testing;

pub use error::{Error, KeychainFailure, RecoveryKeyTypo, Result, UnsafePermissions, Unstorable};
pub use format::SlotKind;
#[cfg(unix)]
pub use hardening::harden_process;
pub use id::{SlotId, TokenId};
pub use kdf::KdfParams;
pub use keystore::{Keystore, KeystoreOptions};
pub use memory::MemoryStore;
pub use secret::Secret;
pub use snapshot::Snapshot;
pub use status::{FileStatus, KeySlot, Status};
pub use store::TokenStore;
pub use token::{Token, TokenBuilder};
pub use unlock::{RecoveryKey, Unlock};
