//! The lock on one token of a store.

use data_encoding::HEXLOWER;
use ring::digest;

use super::Engine;
use crate::{error::Result, id::TokenId, token_lock::LockAttempt};

impl Engine {
    /// Locks the token of that id against all other threads and processes, if the lock is free.
    pub(crate) fn lock_token(&self, namespace: &str, id: &TokenId) -> Result<LockAttempt> {
        self.check_caller()?;
        let store_id = self.state.read().vault.store_id();
        self.file.try_claim(&lock_name(&store_id, namespace, id))
    }
}

/// The name of a token's lock file: it shows neither namespace nor id, and fits each file system. `docs/format.md` has
/// the rule.
fn lock_name(store_id: &[u8], namespace: &str, id: &TokenId) -> String {
    let mut hash = digest::Context::new(&digest::SHA256);
    let len = u32::try_from(namespace.len()).unwrap_or(u32::MAX);
    for part in [store_id, &len.to_le_bytes(), namespace.as_bytes(), id.as_str().as_bytes()] {
        hash.update(part);
    }
    HEXLOWER.encode(hash.finish().as_ref())
}
