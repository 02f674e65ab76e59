//! An open store, which several Python objects share, until it is closed.

use std::{
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread::{self, ThreadId},
};

use pyo3::prelude::*;
use tokenkeep::{Error, Result, TokenStore};

use crate::{
    errors::{OrRaise, raise},
    waiting::{drop_detached, wait},
};

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
    Sql(tokenkeep_sql::SqlStore),
    Memory(tokenkeep::MemoryStore),
}

/// Does the same with a store of any kind: their operations have the same names.
macro_rules! on_each {
    ($backing:expr, $store:ident => $work:expr) => {
        match $backing {
            $crate::handle::Backing::File($store) => $work,
            $crate::handle::Backing::Sql($store) => $work,
            $crate::handle::Backing::Memory($store) => $work,
        }
    };
}
pub(crate) use on_each;

impl Backing {
    /// The tokens of a namespace; without a name those of the store itself.
    pub(crate) fn tokens(self, namespace: Option<&str>) -> Result<Arc<dyn TokenStore>> {
        Ok(on_each!(self, store => match namespace {
            None => Arc::new(store),
            Some(name) => Arc::new(store.namespace(name)?),
        }))
    }

    /// Does something that takes some microseconds, and in a database as long as that takes.
    pub(crate) fn look<R: Send + 'static>(
        self,
        py: Python<'_>,
        look: impl FnOnce(Self) -> R + Send + 'static,
    ) -> PyResult<R> {
        match self {
            Self::Sql(_) => wait(py, move || look(self)),
            Self::File(_) | Self::Memory(_) => Ok(py.detach(|| look(self))),
        }
    }
}

impl Handle {
    pub(crate) fn new(backing: Backing) -> Arc<Self> {
        Arc::new(Self { backing: Mutex::new(Some(backing)), transaction_of: Mutex::default() })
    }

    /// Refuses a call that this thread makes inside of its own transaction of the store. The library does not see that:
    /// the call may be made by a worker thread.
    pub(crate) fn check_caller(&self, py: Python<'_>) -> PyResult<()> {
        let is_in_transaction = *lock(&self.transaction_of) == Some(thread::current().id());
        if is_in_transaction { Err(Error::InTransaction).or_raise(py) } else { Ok(()) }
    }

    /// The store, for a call that is not made inside of the store's own transaction by the same thread.
    pub(crate) fn get(&self, py: Python<'_>) -> PyResult<Backing> {
        self.check_caller(py)?;
        let backing = lock(&self.backing).clone();
        backing.ok_or_else(|| raise(py, "ReopenError", "the store was closed: open it again"))
    }

    pub(crate) fn close(&self) {
        let closed = lock(&self.backing).take();
        drop_detached(closed);
    }

    pub(crate) fn is_closed(&self) -> bool {
        lock(&self.backing).is_none()
    }

    /// Notes that this thread is in a transaction, or that none is.
    pub(crate) fn set_in_transaction(&self, is_in: Option<ThreadId>) {
        *lock(&self.transaction_of) = is_in;
    }
}

impl Drop for Handle {
    fn drop(&mut self) {
        self.close();
    }
}

/// The guard of a lock. A panic of another holder leaves the value whole.
pub(crate) fn lock<T: ?Sized>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
