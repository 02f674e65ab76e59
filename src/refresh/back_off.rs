//! For how long nobody refreshes a token after a refresh that failed.

use std::{
    hash::{BuildHasher, RandomState},
    time::{Duration, SystemTime},
};

use super::need::less_thousandths;
use crate::token::Token;

/// The shortest back-off, and the longest one where the server has named none.
const OWN: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));
/// The longest back-off.
const LONGEST: Duration = Duration::from_secs(60 * 60);

/// The back-off after that many failures in a row: the one that the server has asked for, or one second, two, four, up
/// to a minute, each less up to a half.
pub(super) fn back_off(asked: Option<Duration>, failures: u32) -> Duration {
    let own = || {
        let doublings = failures.saturating_sub(1).min(6);
        let whole = OWN.0.saturating_mul(1 << doublings).min(OWN.1);
        less_thousandths(whole, RandomState::new().hash_one(failures) % 500)
    };
    asked.unwrap_or_else(own).clamp(OWN.0, LONGEST)
}

/// Until when the row is not refreshed. A time further away than the longest back-off is of a clock that was wrong.
pub(super) fn backed_off_until(row: &Token, now: SystemTime) -> Option<SystemTime> {
    // Held by `times_of_a_clock_that_was_wrong_are_ignored`: without `&& left <= LONGEST`.
    row.retry_at().filter(|until| until.duration_since(now).is_ok_and(|left| !left.is_zero() && left <= LONGEST))
}
