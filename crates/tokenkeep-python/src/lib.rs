//! The native module of the Python package `tokenkeep`: `tokenkeep._native`.
//!
//! Every rule is the library's. What is here turns Python objects into the library's and back ([`token`], [`unlock`],
//! [`status`], [`seconds`]), its errors into exceptions ([`errors`]), and waits so that Ctrl-C gets through
//! ([`waiting`]).

#![deny(unsafe_code)] // what the binding generator emits has its own

mod claim;
mod errors;
mod external;
mod handle;
mod import;
mod keystore;
mod memory;
mod options;
mod refresh;
mod sealed;
mod seconds;
mod sql;
mod status;
mod store;
mod token;
mod transaction;
mod unlock;
mod waiting;

use pyo3::prelude::*;

/// OAuth tokens encrypted in one file. Import `tokenkeep`, not this module.
#[pymodule(gil_used = true)]
mod _native {
    #[pymodule_export]
    use super::{
        claim::{Claim, UnsavedToken, close_claims},
        external::{External, ExternalSlot},
        harden_process,
        import::{ImportReport, ImportedRow, SkippedRow, import_zoho_csv, import_zoho_rows},
        keystore::Keystore,
        memory::MemoryStore,
        refresh::{Answer, Fresh, Need, SignInAgain, Stale},
        sealed::SealedStore,
        sql::SqlStore,
        status::{FileStatus, JournalStatus, KeySlot, Status, Version},
        store::{Namespace, TokenStore},
        token::Token,
        transaction::Transaction,
        unlock::{KdfParams, Keychain, Passphrase, RecoveryKey},
    };
}

/// Turns core files off and, on Linux, keeps other processes of the same user out of this process's memory.
///
/// Call it first in the program. It cannot be undone. On Windows it raises UnsupportedError.
#[pyfunction]
fn harden_process(py: Python<'_>) -> PyResult<()> {
    #[cfg(unix)]
    return tokenkeep::harden_process().map_err(|error| errors::from_io(py, &error));
    #[cfg(not(unix))]
    Err(errors::raise(py, "UnsupportedError", "harden_process exists on Unix only"))
}
