//! Which thread is in a transaction.

use std::thread::{self, ThreadId};

use parking_lot::Mutex;

/// The thread that is in a transaction of a store, if there is one.
#[derive(Debug, Default)]
pub(crate) struct Owner(Mutex<Option<ThreadId>>);

/// Gives the transaction up when it is dropped, also by a panic.
#[derive(Debug)]
pub(crate) struct Owned<'a>(&'a Owner);

impl Owner {
    /// Makes this thread the owner. The caller holds the lock that keeps other threads out.
    pub(crate) fn own(&self) -> Owned<'_> {
        *self.0.lock() = Some(thread::current().id());
        Owned(self)
    }

    /// Whether this thread is the owner.
    pub(crate) fn is_this_thread(&self) -> bool {
        *self.0.lock() == Some(thread::current().id())
    }
}

impl Drop for Owned<'_> {
    fn drop(&mut self) {
        *self.0.0.lock() = None;
    }
}
