//! Rows that are in memory only.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::{Mutex, RwLock};

use crate::{
    changes::ChangeSet,
    error::{Error, Result},
    id::Origin,
    namespaces::Namespaces,
    owner::Owner,
};

#[derive(Debug)]
pub(crate) struct MemoryRows {
    rows: RwLock<Namespaces>,
    /// Held by a writer while it makes its changes. Readers go on meanwhile.
    writer: Mutex<()>,
    /// The thread that is in a transaction.
    transaction: Owner,
}

impl MemoryRows {
    pub(crate) fn new() -> Self {
        static STORES: AtomicU64 = AtomicU64::new(0);
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        Self {
            rows: RwLock::new(Namespaces::empty(Origin::of(("memory", number)))),
            writer: Mutex::default(),
            transaction: Owner::default(),
        }
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&Namespaces) -> R) -> Result<R> {
        self.check_outside_transaction()?;
        Ok(look(&self.rows.read()))
    }

    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut ChangeSet<'_>) -> Result<R>) -> Result<R> {
        self.check_outside_transaction()?;
        let _writer = self.writer.lock();
        let _own = self.transaction.own();
        let before = self.rows.read().clone();
        let mut changes = ChangeSet::new(&before);
        let result = change(&mut changes)?;
        let changes = changes.finish();
        // Else applying the changes would copy the rows.
        drop(before);
        changes.apply(&mut self.rows.write());
        Ok(result)
    }

    fn check_outside_transaction(&self) -> Result<()> {
        if self.transaction.is_this_thread() { Err(Error::InTransaction) } else { Ok(()) }
    }
}
