//! When a token needs a refresh: how good the caller wants it, and how good the stored one is.

use std::{
    fmt,
    hash::{BuildHasher, RandomState},
    sync::{Arc, LazyLock},
    time::{Duration, SystemTime},
};

use super::{Refresh, StaleReason, back_off::backed_off_until};
use crate::{
    error::{Error, Result},
    secret::Secret,
    token::Token,
};

/// The longest time for which a token is good before it expires, by default.
const MARGIN: Duration = Duration::from_secs(60);
/// How long a caller waits for another one's refresh, by default.
const TIMEOUT: Duration = Duration::from_secs(30);
/// How long a claim is trusted, by default, and at most.
const TRUSTED: Duration = Duration::from_secs(5 * 60);
const LONGEST_TRUSTED: Duration = Duration::from_secs(60 * 60);
/// An access token that was received less than this ago is not refreshed again, as far as its own lifetime allows.
const JUST_REFRESHED: Duration = Duration::from_secs(5);
const LEAST_BETWEEN_REFRESHES: Duration = Duration::from_secs(1);

/// How good a token has to be, how long to wait for it, and how long to trust a claim:
/// [`TokenStoreExt::begin_refresh`](crate::TokenStoreExt::begin_refresh) takes it.
///
/// ```
/// use std::time::Duration;
/// use tokenkeep::Need;
///
/// let need = Need::remaining(Duration::from_secs(300)).timeout(Duration::from_secs(10));
/// # let _ = need;
/// ```
#[derive(Clone)]
#[must_use]
pub struct Need {
    what: What,
    limits: Limits,
    clock: Option<Arc<dyn Fn() -> SystemTime + Send + Sync>>,
}

#[derive(Clone)]
enum What {
    Margin,
    Remaining(Duration),
    OtherThan(Option<Secret>),
    Now,
}

/// What a stored token comes to.
pub(super) enum Verdict {
    Settled(Refresh),
    /// It has to be refreshed. `is_enough`: a caller that does not refresh it goes on with it.
    Refresh {
        is_enough: bool,
    },
}

/// The times of a need.
#[derive(Debug, Clone, Copy)]
pub(super) struct Limits {
    pub(super) timeout: Duration,
    pub(super) trusted_for: Duration,
}

impl Default for Need {
    /// A token that lasts a while: 60 seconds, or half its lifetime if that is less, minus up to 20 % that differ from
    /// process to process and from token to token, so that not all refresh at the same moment.
    fn default() -> Self {
        Self::new(What::Margin)
    }
}

impl Need {
    fn new(what: What) -> Self {
        let limits = Limits { timeout: TIMEOUT, trusted_for: TRUSTED };
        Self { what, limits, clock: None }
    }

    /// A token that lasts for longer than that, or than half its lifetime if that is less. A token whose expiry is
    /// unknown is good.
    pub fn remaining(duration: Duration) -> Self {
        Self::new(What::Remaining(duration))
    }

    /// Needs another access token than the one of `token`, which an API has rejected (status 401).
    ///
    /// If the stored access token arrived a moment ago, no refresh is made, and the call returns it as
    /// [`JustRefreshed`](StaleReason::JustRefreshed). A moment is 5 seconds, or half the token's lifetime if that is
    /// shorter, but at least one second. A token that does not meet another need is treated in the same way; for
    /// [`Need::now`] a moment is one second.
    pub fn rejected(token: &Token) -> Self {
        Self::new(What::OtherThan(token.access_token().cloned()))
    }

    /// Needs a new access token even if the stored one is valid, for example because the user has consented to more
    /// scopes. A refresh by another caller counts if it ends while this call waits. An access token that arrived less
    /// than a second ago is not refreshed: the call returns it as [`JustRefreshed`](StaleReason::JustRefreshed).
    pub fn now() -> Self {
        Self::new(What::Now)
    }

    /// Sets two times, each 30 seconds by default: how long a call waits for another caller's refresh, and how long a
    /// [`Claim`](crate::Claim) tries again to save. A call waits only if the stored token cannot be used in the
    /// meantime: the token has expired or was rejected, or the need is [`Need::now`].
    pub fn timeout(mut self, timeout: Duration) -> Self {
        self.limits.timeout = timeout;
        self
    }

    /// How long the claim is trusted: no request may begin later. 5 minutes unless it is set, at most an hour. A lease
    /// of a store ends earlier.
    pub fn trusted_for(mut self, duration: Duration) -> Self {
        self.limits.trusted_for = duration.min(LONGEST_TRUSTED);
        self
    }

    /// A clock in place of the system's, for tests. [`TokenBuilder::expires_in`](crate::TokenBuilder::expires_in) does
    /// not know it: set an `expires_at` with the same clock.
    pub fn clock(mut self, clock: impl Fn() -> SystemTime + Send + Sync + 'static) -> Self {
        self.clock = Some(Arc::new(clock));
        self
    }

    pub(super) fn time(&self) -> SystemTime {
        self.clock.as_ref().map_or_else(SystemTime::now, |clock| clock())
    }

    pub(super) fn limits(&self) -> Limits {
        self.limits
    }

    /// Whether an API would accept the stored token now, as far as this caller knows.
    fn can_use(&self, row: &Token) -> bool {
        let is_rejected = matches!(&self.what, What::OtherThan(rejected) if row.access_token() == rejected.as_ref());
        row.access_token().is_some() && !row.is_expired(self.time()) && !is_rejected
    }

    /// Whether a caller goes on with a stored token that it cannot refresh now.
    pub(super) fn is_enough(&self, row: &Token) -> bool {
        self.can_use(row) && !matches!(self.what, What::Now)
    }

    /// What the stored token comes to. `first` is the token as it was at the beginning of the call.
    pub(super) fn judge(&self, row: &Token, first: &Token) -> Result<Verdict> {
        let now = self.time();
        let is_valid = self.can_use(row);
        if is_valid && self.is_met(row, first, now) {
            return Ok(Verdict::Settled(Refresh::Fresh(row.clone())));
        }
        // Held by `clock_and_lifetime_cause_no_refresh_storm`.
        if row.access_token().is_some() && self.is_just_refreshed(row, now) {
            return Ok(Verdict::Settled(Refresh::Stale(row.clone(), StaleReason::JustRefreshed)));
        }
        let has_expired = row.refresh_expires_at().is_some_and(|expiry| expiry <= now);
        if row.refresh_token().is_none() || row.rejected_at().is_some() || has_expired {
            return Ok(Verdict::Settled(Refresh::SignInAgain(row.clone())));
        }
        match backed_off_until(row, now) {
            Some(until) if is_valid => {
                Ok(Verdict::Settled(Refresh::Stale(row.clone(), StaleReason::BackedOff { until })))
            }
            Some(until) => Err(Error::BackedOff { until }),
            None => Ok(Verdict::Refresh { is_enough: self.is_enough(row) }),
        }
    }

    /// Whether a valid token is what is needed.
    fn is_met(&self, row: &Token, first: &Token, now: SystemTime) -> bool {
        let margin = match self.what {
            What::Now => return row.access_token() != first.access_token(),
            What::OtherThan(_) => return true,
            What::Margin => less_jitter(lifetime(row).map_or(MARGIN, |lifetime| MARGIN.min(half(lifetime))), row),
            // Held by `margin_is_at_most_half_the_lifetime`: without `.min`.
            What::Remaining(duration) => lifetime(row).map_or(duration, |lifetime| duration.min(half(lifetime))),
        };
        row.remaining(now).is_none_or(|left| left > margin)
    }

    /// Whether another refresh would come too soon. A `received_at` in the future is of a clock that was wrong.
    fn is_just_refreshed(&self, row: &Token, now: SystemTime) -> bool {
        let age = row.received_at().and_then(|received| now.duration_since(received).ok());
        let between = match (&self.what, lifetime(row)) {
            (What::Now, _) => LEAST_BETWEEN_REFRESHES,
            (_, None) => JUST_REFRESHED,
            (_, Some(lifetime)) => JUST_REFRESHED.min(half(lifetime)).max(LEAST_BETWEEN_REFRESHES),
        };
        age.is_some_and(|age| age < between)
    }
}

/// How long the access token lasts from its issue to its expiry. A sign-in may leave out `received_at`, and is saved
/// soon after it.
fn lifetime(row: &Token) -> Option<Duration> {
    let issued = row.received_at().or(row.updated_at())?;
    Some(row.expires_at()?.duration_since(issued).unwrap_or_default())
}

fn half(duration: Duration) -> Duration {
    duration.checked_div(2).unwrap_or_default()
}

/// The margin less up to 20 %, which is the same for one process and one revision of a token.
fn less_jitter(margin: Duration, row: &Token) -> Duration {
    static PROCESS: LazyLock<RandomState> = LazyLock::new(RandomState::new);
    less_thousandths(margin, PROCESS.hash_one((row.id(), row.revision())) % 200)
}

/// A duration of at most an hour, less so many thousandths of it.
pub(super) fn less_thousandths(duration: Duration, thousandths: u64) -> Duration {
    let thousandths = u32::try_from(thousandths).unwrap_or_default();
    let less = duration.saturating_mul(thousandths).checked_div(1000).unwrap_or_default();
    duration.saturating_sub(less)
}

impl fmt::Debug for Need {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let what = match &self.what {
            What::Margin => "a while",
            What::Remaining(_) => "remaining",
            What::OtherThan(_) => "other than rejected",
            What::Now => "now",
        };
        let mut shown = f.debug_struct("Need");
        shown.field("what", &format_args!("{what}"));
        if let What::Remaining(duration) = self.what {
            shown.field("remaining", &duration);
        }
        let Limits { timeout, trusted_for } = self.limits;
        shown.field("timeout", &timeout).field("trusted_for", &trusted_for).finish_non_exhaustive()
    }
}
