//! Saves that are tried again.

use std::{
    thread,
    time::{Duration, Instant},
};

use crate::error::{Error, ErrorKind, Result};

/// The first and the longest pause between two attempts.
const PAUSES: (Duration, Duration) = (Duration::from_millis(20), Duration::from_millis(500));
/// How often a change is tried again because another change came first.
const MOST_CONFLICTS: u32 = 100;

/// Tries to change a row until that succeeds, or fails for good, or the time is over.
pub(super) fn try_until<R>(timeout: Duration, change: impl Fn() -> Result<R>) -> Result<R> {
    let started = Instant::now();
    let (mut pause, mut conflicts) = (PAUSES.0, 0_u32);
    loop {
        let left = timeout.saturating_sub(started.elapsed());
        match change() {
            Err(Error::Conflict { .. }) if conflicts < MOST_CONFLICTS => conflicts = conflicts.saturating_add(1),
            Err(error) if may_pass(&error) && !left.is_zero() => {
                thread::sleep(pause.min(left));
                pause = pause.saturating_mul(2).min(PAUSES.1);
            }
            changed => return changed,
        }
    }
}

/// Whether a save may succeed a little later.
pub(super) fn may_pass(error: &Error) -> bool {
    let kinds = [ErrorKind::System, ErrorKind::Busy, ErrorKind::Permission, ErrorKind::Incomplete, ErrorKind::Other];
    error.is_retryable() || kinds.contains(&error.kind())
}
