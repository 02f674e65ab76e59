//! The lock on one token of a store.

use super::Engine;
use crate::{error::Result, format::lock_name, id::TokenId, token_lock::LockAttempt};

impl Engine {
    /// Locks the token of that id against all other threads and processes, if the lock is free.
    pub(crate) fn lock_token(&self, namespace: &str, id: &TokenId) -> Result<LockAttempt> {
        self.check_caller()?;
        let store_id = self.state.read().vault.store_id();
        self.file.try_lock_token(&lock_name(&store_id, namespace, id.as_str()))
    }
}
