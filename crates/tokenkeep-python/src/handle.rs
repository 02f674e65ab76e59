//! An open store, which several Python objects share, until it is closed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
};

use pyo3::prelude::*;
use tokenkeep::{Error, TokenStore};

use crate::errors::{OrRaise, raise};

/// A store, or none once it is closed. The locks are only taken with the interpreter lock held, and no Python code runs
/// while they are held. So no thread waits for them with the interpreter lock, and a forked child finds them free.
pub(crate) struct Handle {
    backing: Mutex<Option<Backing>>,
    /// The thread that is in a transaction of this store.
    transaction_of: Mutex<Option<ThreadId>>,
}

#[derive(Clone)]
pub(crate) enum Backing {
    File(tokenkeep::Keystore),
    Memory(tokenkeep::MemoryStore),
}

impl Handle {
    pub(crate) fn new(backing: Backing) -> Arc<Self> {
        Arc::new(Self { backing: Mutex::new(Some(backing)), transaction_of: Mutex::default() })
    }

    /// The store, for a call that is not made inside of the store's own transaction by the same thread.
    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<Backing> {
        if *lock(&self.transaction_of) == Some(thread::current().id()) {
            return Err(Error::InTransaction).or_raise(py);
        }
        let backing = lock(&self.backing).clone();
        backing.ok_or_else(|| raise(py, "ReopenError", "the store was closed: open it again"))
    }

    /// The keystore. Only the class `Keystore` asks for it.
    pub(crate) fn keystore(&self, py: Python<'_>) -> PyResult<tokenkeep::Keystore> {
        match self.get(py)? {
            Backing::File(store) => Ok(store),
            Backing::Memory(_) => Err(raise(py, "InternalError", "a store in memory is no keystore")),
        }
    }

    /// The tokens of a namespace; without a name those of the store itself.
    pub(crate) fn tokens(&self, py: Python<'_>, namespace: Option<&str>) -> PyResult<Arc<dyn TokenStore>> {
        Ok(match (self.get(py)?, namespace) {
            (Backing::File(store), None) => Arc::new(store),
            (Backing::Memory(store), None) => Arc::new(store),
            (Backing::File(store), Some(name)) => Arc::new(store.namespace(name).or_raise(py)?),
            (Backing::Memory(store), Some(name)) => Arc::new(store.namespace(name).or_raise(py)?),
        })
    }

    pub(crate) fn close(&self) {
        let closed = lock(&self.backing).take();
        drop(closed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.backing).is_none()
    }

    /// Notes that this thread is in a transaction, or that none is.
    pub(crate) fn set_in_transaction(&self, is_in: Option<ThreadId>) {
        *lock(&self.transaction_of) = is_in;
    }
}

/// The guard of a lock. A panic of another holder leaves the value whole.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
