//! The clock of a test, which all its processes and its endpoint share.

use std::time::{Duration, SystemTime};

use tokenkeep::Need;

/// A clock that may run faster than the system's, so that tokens expire often and back-offs are short.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Clock {
    start: SystemTime,
    faster: u32,
}

impl Clock {
    /// A clock that runs so many times as fast as the system's from now on.
    pub(crate) fn faster(faster: u32) -> Self {
        Self::parse(&format!("{} {faster}", millis(SystemTime::now())))
    }

    /// The system's clock.
    pub(crate) fn real() -> Self {
        Self::faster(1)
    }

    /// The clock of another process, from its [`text`](Self::text).
    pub(crate) fn parse(text: &str) -> Self {
        let (start, faster) = text.split_once(' ').unwrap();
        let start = SystemTime::UNIX_EPOCH + Duration::from_millis(start.parse().unwrap());
        Self { start, faster: faster.parse().unwrap() }
    }

    pub(crate) fn text(self) -> String {
        format!("{} {}", millis(self.start), self.faster)
    }

    pub(crate) fn now(self) -> SystemTime {
        self.start + SystemTime::now().duration_since(self.start).unwrap_or_default() * self.faster
    }

    /// The need, by this clock.
    pub(crate) fn need(self, need: Need) -> Need {
        need.clock(move || self.now())
    }

    /// How long a duration of this clock takes.
    pub(crate) fn really(self, duration: Duration) -> Duration {
        duration / self.faster
    }
}

fn millis(time: SystemTime) -> u128 {
    time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_millis()
}
