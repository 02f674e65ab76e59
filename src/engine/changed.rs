//! Several operations as one, and waiting for what others commit.

use std::time::{Duration, Instant};

use super::Engine;
use crate::{
    changes::ChangeSet,
    error::{Error, Result},
    version::Version,
};

/// How often the file is looked at while a caller waits for a change.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

impl Engine {
    /// Makes changes, once, that are committed by themselves. They are made under the lock of the file, and under no
    /// other lock: other threads read meanwhile.
    pub(crate) fn transaction<R>(&self, make: impl FnOnce(&mut ChangeSet<'_>) -> Result<R>) -> Result<R> {
        self.check_caller()?;
        let wait = self.wait();
        let lead = self.writers.lead(&wait)?;
        // Dropped after the locks, whatever the commit ends in: the value may use the store when it is dropped.
        let mut made = None;
        let committed = self.locked(lead, &wait, |_, lock| {
            let (rows, mark) = self.refreshed(|state| (state.rows.clone(), state.lineage.mark))?;
            let changes = {
                let _own = self.transaction.own();
                let mut changes = ChangeSet::new(&rows);
                made = Some(make(&mut changes)?);
                changes.finish()
            };
            // Else applying the changes would copy the rows.
            drop(rows);
            // The time that the changes took counts for no wait.
            self.commit_under(lock, &self.wait(), |draft| draft.adopt(changes, mark, self.path()))
        });
        committed?.confirmed(|()| None)?;
        made.ok_or_else(|| Error::internal("a transaction was never made"))
    }

    pub(crate) fn version(&self) -> Result<Version> {
        self.read_state(|state| Version::new(state.lineage.mark))
    }

    /// The version, once it is another one; `None` after the time-out.
    pub(crate) fn wait_for_change(&self, version: &Version, timeout: Duration) -> Result<Option<Version>> {
        // Before a lock, which a forked child may find taken for ever.
        self.check_caller()?;
        let started = Instant::now();
        loop {
            // Before the look, so that no commit after it is missed.
            let mut commits = self.commits.lock();
            let before = *commits;
            drop(commits);
            let now = self.version()?;
            if now != *version {
                return Ok(Some(now));
            }
            let left = timeout.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            commits = self.commits.lock();
            if *commits == before {
                self.committed.wait_for(&mut commits, left.min(BETWEEN_LOOKS));
            }
        }
    }

    /// Wakes those that wait for a change.
    pub(super) fn notify_of_commit(&self) {
        let mut commits = self.commits.lock();
        *commits = commits.wrapping_add(1);
        self.committed.notify_all();
    }
}
