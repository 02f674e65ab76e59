//! Several operations as one, and waiting for what others commit.

use std::time::{Duration, Instant};

use super::Engine;
use crate::{changes::ChangeSet, error::Result, version::Version};

/// How often the file is looked at while a caller waits for a change.
const BETWEEN_LOOKS: Duration = Duration::from_millis(50);

impl Engine {
    /// Makes changes, once, that are committed by themselves.
    pub(crate) fn transaction<R>(&self, make: impl FnOnce(&mut ChangeSet<'_>) -> Result<R>) -> Result<R> {
        let committed = self.commit(|draft| {
            let _own = self.transaction.own();
            make(&mut draft.tokens)
        });
        committed?.confirmed(|_| None)
    }

    pub(crate) fn version(&self) -> Result<Version> {
        self.read_state(|state| Version::new(state.lineage.mark))
    }

    /// The version, once it is another one; `None` after the time-out.
    pub(crate) fn wait_for_change(&self, version: &Version, timeout: Duration) -> Result<Option<Version>> {
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
