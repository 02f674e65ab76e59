//! What a server answers to a refresh.

use std::{
    error::Error as StdError,
    fmt,
    time::{Duration, SystemTime},
};

use crate::token::Token;

/// What came of the request for a new token: the function that is given to
/// [`TokenStoreExt::refresh_with`](crate::TokenStoreExt::refresh_with) returns it.
///
/// ```
/// use std::time::Duration;
/// use tokenkeep::{Answer, Token};
///
/// /// What an HTTP client and a JSON parser make of the server's answer.
/// enum Http {
///     Tokens { access_token: String, refresh_token: Option<String>, expires_in: Option<u64> },
///     Refused { error: String, retry_after: Option<String> },
///     NoConnection(std::io::Error),
/// }
///
/// fn answer(http: Http) -> Answer {
///     match http {
///         Http::Tokens { access_token, refresh_token, expires_in } => Token::builder()
///             .access_token(access_token)
///             .maybe_refresh_token(refresh_token)
///             .maybe_expires_in(expires_in.map(Duration::from_secs))
///             .build()
///             .into(),
///         Http::Refused { error, retry_after } => Answer::refused(&error, retry_after.as_deref()),
///         Http::NoConnection(error) => Answer::failed(error),
///     }
/// }
/// # let refused = Http::Refused { error: "invalid_grant".into(), retry_after: None };
/// # assert!(matches!(answer(refused), Answer::SignInAgain));
/// # assert!(matches!(answer(Http::NoConnection(std::io::Error::other("no route"))), Answer::Failed(_)));
/// ```
#[non_exhaustive]
pub enum Answer {
    /// A token response (RFC 6749, 5.1 and 6): the new access token, its expiry, and what else came with it. A refresh
    /// token or scopes that did not come stay as they are stored.
    Token(Token),
    /// The server has refused the refresh token (`invalid_grant`): the user has to sign in again.
    SignInAgain,
    /// The server is overloaded or down. No caller sends another request before this time has passed. With `None` the
    /// pause is one second, then two, four, up to a minute.
    RetryLater(Option<Duration>),
    /// The request failed: there was no connection, or the server did not understand the request. No caller sends
    /// another request for a while, as after `RetryLater(None)`. The caller gets this error, unless the stored token
    /// can still be used.
    Failed(Box<dyn StdError + Send + Sync>),
}

impl Answer {
    /// What an error response means (RFC 6749, 5.2): its `error`, or the HTTP status as a text if there is none, and
    /// the value of its `Retry-After` header, which is a number of seconds or an HTTP date (RFC 9110, 10.2.3). Some
    /// servers, such as Zoho's, send an `error` with the status 200, so look for it first.
    ///
    /// - `invalid_grant`, and Zoho's `invalid_code`: [`SignInAgain`](Self::SignInAgain);
    /// - `temporarily_unavailable`, `server_error`, `slow_down` (RFC 8628), a status of 429 or from 500 on, and
    ///   each response with a `Retry-After`: [`RetryLater`](Self::RetryLater);
    /// - any other, such as `invalid_client`: [`Failed`](Self::Failed), because signing in again does not help.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokenkeep::Answer;
    ///
    /// assert!(matches!(Answer::refused("invalid_grant", None), Answer::SignInAgain));
    /// let answer = Answer::refused("temporarily_unavailable", Some("120"));
    /// assert!(matches!(answer, Answer::RetryLater(Some(after)) if after == Duration::from_secs(120)));
    /// assert!(matches!(Answer::refused("503 Service Unavailable", None), Answer::RetryLater(None)));
    /// assert!(matches!(Answer::refused("invalid_client", None), Answer::Failed(_)));
    /// ```
    #[must_use]
    pub fn refused(error: &str, retry_after: Option<&str>) -> Self {
        let after = retry_after.and_then(|text| parse_retry_after(text, SystemTime::now()));
        let is_busy = match error {
            "invalid_grant" | "invalid_code" => return Self::SignInAgain,
            "temporarily_unavailable" | "server_error" | "slow_down" => true,
            status => status_of(status).is_some_and(|status| status == 429 || status >= 500),
        };
        if is_busy || after.is_some() {
            return Self::RetryLater(after);
        }
        Self::Failed(format!("the server refused the request: {}", shown(error)).into())
    }

    /// No usable answer came: there was no connection, or the time was over.
    pub fn failed(error: impl Into<Box<dyn StdError + Send + Sync>>) -> Self {
        Self::Failed(error.into())
    }
}

/// The HTTP status that a text begins with, such as `503 Service Unavailable`.
fn status_of(text: &str) -> Option<u16> {
    text.split_whitespace().next()?.parse().ok()
}

/// A text of a server, as far as RFC 6749, 5.2 allows it in an error code: it may be hostile, and goes into logs.
fn shown(error: &str) -> String {
    error.chars().filter(|letter| matches!(letter, ' '..='~')).take(80).collect()
}

/// The time that a `Retry-After` header names, from then on.
fn parse_retry_after(text: &str, now: SystemTime) -> Option<Duration> {
    let text = text.trim();
    if let Ok(seconds) = text.parse() {
        return Some(Duration::from_secs(seconds));
    }
    Some(httpdate::parse_http_date(text).ok()?.duration_since(now).unwrap_or_default())
}

impl From<Token> for Answer {
    fn from(token: Token) -> Self {
        Self::Token(token)
    }
}

impl fmt::Debug for Answer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(token) => f.debug_tuple("Token").field(token).finish(),
            Self::SignInAgain => f.write_str("SignInAgain"),
            Self::RetryLater(after) => f.debug_tuple("RetryLater").field(after).finish(),
            Self::Failed(error) => f.debug_tuple("Failed").field(error).finish(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn retry_after_is_seconds_or_a_date() {
        let now = SystemTime::UNIX_EPOCH + Duration::from_secs(784_111_777); // Sun, 06 Nov 1994 08:49:37 GMT
        for (text, seconds) in [
            ("0", Some(0)),
            (" 120 ", Some(120)),
            ("Sun, 06 Nov 1994 08:50:37 GMT", Some(60)),
            ("Sun, 06 Nov 1994 08:00:00 GMT", Some(0)),
            ("-1", None),
            ("soon", None),
            ("", None),
            ("99999999999999999999", None),
        ] {
            assert_eq!(parse_retry_after(text, now), seconds.map(Duration::from_secs), "{text:?}");
        }
    }

    #[test]
    fn refusals_of_a_server_have_three_meanings() {
        for error in ["invalid_grant", "invalid_code"] {
            assert!(matches!(Answer::refused(error, Some("60")), Answer::SignInAgain), "{error}");
        }
        for error in ["temporarily_unavailable", "server_error", "slow_down", "429", "500", "503 Service Unavailable"] {
            assert!(matches!(Answer::refused(error, None), Answer::RetryLater(None)), "{error}");
        }
        for error in ["invalid_client", "unauthorized_client", "400", "401 Unauthorized", "", "Access Denied"] {
            assert!(matches!(Answer::refused(error, None), Answer::Failed(_)), "{error}");
            let later = Answer::refused(error, Some("60"));
            assert!(matches!(later, Answer::RetryLater(Some(after)) if after.as_secs() == 60), "{error}");
        }
    }

    #[test]
    fn texts_of_a_server_are_cut_and_cleaned() {
        let Answer::Failed(error) = Answer::refused(&format!("\u{1b}[31m\n{}", "x".repeat(10_000)), None) else {
            panic!("expected a failure");
        };
        let message = error.to_string();
        assert!(message.len() < 150 && !message.contains(['\n', '\u{1b}']), "{message}");
    }
}
