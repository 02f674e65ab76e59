//! How long an operation on a file waits for others.

use std::{
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use crate::error::Error;

/// The point by which an operation on a file stops to wait for others: one for all its waits together.
#[derive(Debug)]
pub(crate) struct Deadline {
    path: PathBuf,
    started: Instant,
    timeout: Duration,
}

impl Deadline {
    pub(crate) fn after(timeout: Duration, path: &Path) -> Self {
        Self { path: path.to_owned(), started: Instant::now(), timeout }
    }

    /// The time that is left.
    pub(crate) fn left(&self) -> Duration {
        self.timeout.saturating_sub(self.started.elapsed())
    }

    /// The error when no time is left.
    pub(crate) fn busy(&self) -> Error {
        Error::Busy { path: self.path.clone(), waited: self.started.elapsed() }
    }
}
