//! Versions of a store, and waiting for another one.

use std::time::{Duration, Instant};

use super::Engine;
use crate::{error::Result, version::Version};

/// How often the file is looked at while a caller waits for a change.
pub(super) const BETWEEN_LOOKS: Duration = Duration::from_millis(80);

impl Engine {
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
        // Held by `commit_wakes_those_that_wait`.
        *commits = commits.wrapping_add(1);
        self.committed.notify_all();
    }
}
