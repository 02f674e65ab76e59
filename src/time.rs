//! Points in time as a store keeps them.

use std::{
    fmt,
    time::{Duration, SystemTime},
};

/// Whole milliseconds since 1970, up to the end of the year 9999, which every platform's `SystemTime` can express.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) struct Millis(u64);

impl Millis {
    pub(crate) const MAX: u64 = 253_402_300_799_999;

    pub(crate) fn now() -> Self {
        SystemTime::now().into()
    }

    /// The number of milliseconds, if it is in range.
    pub(crate) fn new(millis: u64) -> Option<Self> {
        (millis <= Self::MAX).then_some(Self(millis))
    }

    pub(crate) fn get(self) -> u64 {
        self.0
    }

    /// Later by a duration, at most at the end of the year 9999.
    pub(crate) fn after(self, duration: Duration) -> Self {
        let millis = u64::try_from(duration.as_millis()).unwrap_or(u64::MAX);
        Self(self.0.saturating_add(millis).min(Self::MAX))
    }

    #[expect(clippy::arithmetic_side_effects, reason = "up to the year 9999 no platform's clock overflows")]
    pub(crate) fn time(self) -> SystemTime {
        SystemTime::UNIX_EPOCH + Duration::from_millis(self.0)
    }
}

/// A time before 1970 or after 9999 is moved to the nearer end.
impl From<SystemTime> for Millis {
    fn from(time: SystemTime) -> Self {
        let since_1970 = time.duration_since(SystemTime::UNIX_EPOCH).unwrap_or(Duration::ZERO);
        Self(u64::try_from(since_1970.as_millis()).unwrap_or(Self::MAX).min(Self::MAX))
    }
}

/// As RFC 3339 writes it.
impl fmt::Debug for Millis {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(&humantime::format_rfc3339_millis(self.time()), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_shown_as_rfc_3339() {
        assert_eq!(format!("{:?}", Millis(1_795_000_000_123)), "2026-11-18T11:06:40.123Z");
        assert_eq!(format!("{:?}", Millis(0)), "1970-01-01T00:00:00.000Z");
        assert_eq!(format!("{:?}", Millis(Millis::MAX)), "9999-12-31T23:59:59.999Z");
    }

    #[test]
    fn later_times_end_at_the_year_9999() {
        assert_eq!(Millis(1).after(Duration::from_secs(1)), Millis(1001));
        assert_eq!(Millis(1).after(Duration::MAX), Millis(Millis::MAX));
    }
}
