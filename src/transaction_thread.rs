//! Which thread is in a transaction.

use std::thread::{self, ThreadId};

use parking_lot::Mutex;

/// The thread that is in a transaction of a store, if there is one.
#[derive(Debug, Default)]
pub(crate) struct TransactionThread(Mutex<Option<ThreadId>>);

/// Gives the transaction up when it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct TransactionGuard<'a>(&'a TransactionThread);

impl TransactionThread {
    /// Lets this thread into its transaction. The caller holds the lock that keeps other threads out.
    pub(crate) fn enter(&self) -> TransactionGuard<'_> {
        *self.0.lock() = Some(thread::current().id());
        TransactionGuard(self)
    }

    /// Whether this thread is in the transaction.
    pub(crate) fn is_this_thread(&self) -> bool {
        *self.0.lock() == Some(thread::current().id())
    }
}

impl Drop for TransactionGuard<'_> {
    fn drop(&mut self) {
        // Held by `panic_of_the_function_undoes_all_and_blocks_nobody`.
        *self.0.0.lock() = None;
    }
}
