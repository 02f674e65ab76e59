//! Several operations as one.

use super::Engine;
use crate::{error::Result, overlay::Overlay};

impl Engine {
    /// Makes changes, once, that are committed by themselves. They are made under the lock of the file, and under no
    /// other lock: other threads read meanwhile.
    pub(crate) fn transaction<R>(&self, make: impl FnOnce(&mut Overlay<'_>) -> Result<R>) -> Result<R> {
        self.check_caller()?;
        let deadline = self.deadline();
        // Dropped after the locks, also if the commit fails: the value may use the store when it is dropped.
        let made;
        let _leader = self.writers.lead(&deadline)?;
        let lock = self.lock(&deadline)?;
        let (rows, mark) = self.look_at_newest(|state| (state.rows.clone(), state.lineage.mark))?;
        let changes = {
            // Held by `store_is_refused_at_once_inside_its_own_transaction`.
            let _guard = self.transaction.enter();
            let mut overlay = Overlay::new(&rows);
            made = make(&mut overlay)?;
            overlay.into_changes()
        };
        // Else applying the changes would copy the rows.
        drop(rows);
        // The time that the changes took counts for no wait.
        let ((), durability) =
            self.commit_under(&lock, &self.deadline(), |next| next.adopt(changes, mark, self.path()))?;
        durability.confirm(None)?;
        Ok(made)
    }
}
