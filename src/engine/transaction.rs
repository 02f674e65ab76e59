//! Several operations as one.

use super::Engine;
use crate::{changes::ChangeSet, error::Result};

impl Engine {
    /// Makes changes, once, that are committed by themselves. They are made under the lock of the file, and under no
    /// other lock: other threads read meanwhile.
    pub(crate) fn transaction<R>(&self, make: impl FnOnce(&mut ChangeSet<'_>) -> Result<R>) -> Result<R> {
        self.check_caller()?;
        let wait = self.wait();
        // Dropped after the locks, also if the commit fails: the value may use the store when it is dropped.
        let made;
        let _leader = self.writers.lead(&wait)?;
        let lock = self.lock(&wait)?;
        let (rows, mark) = self.refreshed(|state| (state.rows.clone(), state.lineage.mark))?;
        let changes = {
            let _own = self.transaction.own();
            let mut changes = ChangeSet::new(&rows);
            made = make(&mut changes)?;
            changes.finish()
        };
        // Else applying the changes would copy the rows.
        drop(rows);
        // The time that the changes took counts for no wait.
        let ((), durability) = self.commit_under(&lock, &self.wait(), |next| next.adopt(changes, mark, self.path()))?;
        durability.confirm(None)?;
        Ok(made)
    }
}
