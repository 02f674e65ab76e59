//! The lock on a token, as its holder has it.

use std::process;

use crate::{
    error::{Error, Result},
    lock_waiters,
    token_lock::TokenLock,
};

/// A lock of this process, whose end wakes the others that wait.
pub(super) struct Held {
    lock: Option<Box<dyn TokenLock>>,
    process: u32,
}

impl Held {
    pub(super) fn new(lock: Box<dyn TokenLock>) -> Self {
        Self { lock: Some(lock), process: process::id() }
    }

    pub(super) fn get(&self) -> Result<&dyn TokenLock> {
        self.lock.as_deref().ok_or(Error::ClaimEnded)
    }

    /// Whether this process was given the lock. A forked child has a copy only.
    pub(super) fn is_ours(&self) -> bool {
        self.process == process::id()
    }

    /// Ends the lock of a holder that knows what came of its request.
    pub(super) fn finish(&mut self) {
        self.end(TokenLock::finish);
    }

    fn end(&mut self, end: impl FnOnce(Box<dyn TokenLock>)) {
        let Some(lock) = self.lock.take() else { return };
        end(lock);
        lock_waiters::wake_all();
    }
}

impl Drop for Held {
    fn drop(&mut self) {
        self.end(drop);
    }
}
