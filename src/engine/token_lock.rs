//! The lock on one token of a store.

use std::sync::atomic::Ordering;

use super::{Engine, next_state::NextState};
use crate::{error::Result, file::NextSave, format::lock_name, id::TokenId, token_lock::LockAttempt};

impl Engine {
    /// Locks the token of that id against all other threads and processes, if the lock is free.
    pub(crate) fn lock_token(&self, namespace: &str, id: &TokenId) -> Result<LockAttempt> {
        self.check_caller()?;
        let store_id = self.state.read().vault.store_id();
        self.file.try_lock_token(&lock_name(&store_id, namespace, id.as_str()), self.next_save()?)
    }

    /// What the next save writes, as far as this handle knows.
    pub(super) fn next_save(&self) -> Result<NextSave> {
        let state = self.state.read();
        let next = NextState::of(&state, self.path())?;
        let may_append = !next.must_replace && !self.sync_failed.load(Ordering::SeqCst);
        Ok(NextSave { compacted_len: next.file_len(), may_append, journal_end: state.journal.end() })
    }
}
