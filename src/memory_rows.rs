//! Rows that are in memory only.

use std::{
    collections::HashSet,
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::Duration,
};

use parking_lot::{Mutex, RwLock};

use crate::{
    error::{Error, Result},
    id::{Origin, TokenId},
    namespaces::Namespaces,
    overlay::Overlay,
    token_lock::{LockAttempt, TokenLock},
    transaction_thread::TransactionThread,
};

#[derive(Debug)]
pub(crate) struct MemoryRows {
    rows: RwLock<Namespaces>,
    /// Held by a writer while it makes its changes. Readers go on meanwhile.
    writer: Mutex<()>,
    /// The thread that is in a transaction.
    transaction: TransactionThread,
    locks: Arc<Mutex<Locks>>,
}

/// When a caller looks at a lock again, unless its end wakes the caller.
const LOOK_AGAIN: Duration = Duration::from_secs(1);

/// A token, by its namespace and its id.
type Key = (Box<str>, TokenId);

#[derive(Debug, Default)]
struct Locks {
    held: HashSet<Key>,
    /// The tokens with which a request may be under way.
    started: HashSet<Key>,
}

/// The lock on one token, until it is dropped.
struct MemoryLock {
    locks: Arc<Mutex<Locks>>,
    token: Key,
    was_left_unfinished: bool,
}

impl MemoryRows {
    pub(crate) fn new() -> Self {
        static STORES: AtomicU64 = AtomicU64::new(0);
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        Self {
            rows: RwLock::new(Namespaces::empty(Origin::of(("memory", number)))),
            writer: Mutex::default(),
            transaction: TransactionThread::default(),
            locks: Arc::default(),
        }
    }

    /// Locks the token of that id, if the lock is free.
    pub(crate) fn lock_token(&self, namespace: &str, id: &TokenId) -> Result<LockAttempt> {
        self.check_outside_transaction()?;
        let token: Key = (namespace.into(), id.clone());
        let mut locks = self.locks.lock();
        if !locks.held.insert(token.clone()) {
            return Ok(LockAttempt::Held { look_again: LOOK_AGAIN });
        }
        let was_left_unfinished = locks.started.contains(&token);
        Ok(LockAttempt::Locked(Box::new(MemoryLock { locks: self.locks.clone(), token, was_left_unfinished })))
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&Namespaces) -> R) -> Result<R> {
        self.check_outside_transaction()?;
        Ok(look(&self.rows.read()))
    }

    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut Overlay<'_>) -> Result<R>) -> Result<R> {
        self.check_outside_transaction()?;
        let _writer = self.writer.lock();
        let _guard = self.transaction.enter();
        let before = self.rows.read().clone();
        let mut overlay = Overlay::new(&before);
        let result = change(&mut overlay)?;
        let changes = overlay.into_changes();
        // Else applying the changes would copy the rows.
        drop(before);
        changes.apply(&mut self.rows.write());
        Ok(result)
    }

    fn check_outside_transaction(&self) -> Result<()> {
        if self.transaction.is_this_thread() { Err(Error::InTransaction) } else { Ok(()) }
    }
}

impl TokenLock for MemoryLock {
    fn is_held(&self) -> bool {
        true
    }

    fn start(&self) -> Result<()> {
        self.locks.lock().started.insert(self.token.clone());
        Ok(())
    }

    fn was_left_unfinished(&self) -> bool {
        self.was_left_unfinished
    }

    fn finish(self: Box<Self>) {
        self.locks.lock().started.remove(&self.token);
    }
}

impl Drop for MemoryLock {
    fn drop(&mut self) {
        self.locks.lock().held.remove(&self.token);
    }
}
