//! Rows that are in memory only.

use std::sync::atomic::{AtomicU64, Ordering};

use parking_lot::RwLock;

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
    /// The thread that is in a transaction.
    transaction: Owner,
}

impl MemoryRows {
    pub(crate) fn new() -> Self {
        static STORES: AtomicU64 = AtomicU64::new(0);
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        Self { rows: RwLock::new(Namespaces::empty(Origin::of(("memory", number)))), transaction: Owner::default() }
    }

    pub(crate) fn read<R>(&self, look: impl FnOnce(&Namespaces) -> R) -> Result<R> {
        self.check_outside_transaction()?;
        Ok(look(&self.rows.read()))
    }

    pub(crate) fn write<R>(&self, change: impl FnOnce(&mut ChangeSet<'_>) -> Result<R>) -> Result<R> {
        self.check_outside_transaction()?;
        let mut rows = self.rows.write();
        let _own = self.transaction.own();
        let mut changes = ChangeSet::new(&rows);
        let result = change(&mut changes)?;
        changes.finish().apply(&mut rows);
        Ok(result)
    }

    fn check_outside_transaction(&self) -> Result<()> {
        if self.transaction.is_this_thread() { Err(Error::InTransaction) } else { Ok(()) }
    }
}
