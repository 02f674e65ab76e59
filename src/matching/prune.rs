//! Which stored tokens are of no use any more.

use std::time::SystemTime;

use crate::token::Token;

/// Which tokens [`Keystore::prune`](crate::Keystore::prune) deletes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum Prune {
    /// Those that have an access token, which has expired, and no refresh token or an expired one. A grant token of
    /// such a row goes with it.
    Expired,
    /// Those, and the ones whose refresh token the server has refused ([`Token::rejected_at`]), also while their access
    /// token lasts.
    ExpiredOrRejected,
}

impl Prune {
    /// Whether a stored token is one of them at that time.
    ///
    /// ```
    /// use std::time::{Duration, SystemTime};
    /// use tokenkeep::{Prune, Token};
    ///
    /// let now = SystemTime::now();
    /// let expired = Token::builder().access_token("a").expires_at(now - Duration::from_secs(1));
    /// assert!(Prune::Expired.takes(&expired.clone().build(), now));
    /// assert!(!Prune::Expired.takes(&expired.refresh_token("r").build(), now));
    /// ```
    #[must_use]
    pub fn takes(self, token: &Token, now: SystemTime) -> bool {
        let access_has_expired = token.access_token().is_some() && token.is_expired(now);
        let refresh_has_expired = token.refresh_expires_at().is_some_and(|expiry| expiry <= now);
        let cannot_be_refreshed = token.refresh_token().is_none() || refresh_has_expired;
        let is_rejected = self == Self::ExpiredOrRejected && token.rejected_at().is_some();
        (access_has_expired && cannot_be_refreshed) || is_rejected
    }
}
