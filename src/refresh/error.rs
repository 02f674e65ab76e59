//! The error of a refresh, which may carry a new token that could not be saved.

use std::{fmt, sync::Arc};

use super::{claim::Claim, retrying::may_pass};
use crate::{error::Error, store::TokenStore, token::Token};

/// Why a token was not refreshed: the [step](Self::step) that failed, the [cause](Self::cause), and the
/// [new token](Self::token) if the server has sent one.
///
/// Neither `Debug` nor `Display` show the token. While an error with a new token exists, it holds the claim, so that no
/// other thread or process sends the refresh token that was used up. [`retry`](Self::retry) saves the token again.
///
/// ```no_run
/// use tokenkeep::{Answer, Need, RefreshStep, Token, TokenStoreExt};
///
/// # fn request(_: &Token) -> Answer { Answer::SignInAgain }
/// # fn refresh(store: &tokenkeep::Keystore, query: &Token) -> Result<(), Box<dyn std::error::Error>> {
/// match store.refresh_with(query, Need::default(), request) {
///     Err(error) if error.step() == RefreshStep::Save => {
///         println!("{error}");                    // such as: no space left on device
///         let saved = error.retry()?;             // once the user has made space
///     }
///     refreshed => drop(refreshed?),
/// }
/// # Ok(())
/// # }
/// ```
pub struct RefreshError {
    step: RefreshStep,
    cause: Error,
    unsaved: Option<Box<Unsaved>>,
}

/// A token that the server has sent, and its claim.
pub(super) struct Unsaved {
    pub(super) claim: Claim,
    pub(super) response: Token,
}

/// The step of a refresh that failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
pub enum RefreshStep {
    /// The token was not found, or the claim was not given. Nothing was asked of the server.
    Claim,
    /// The server was asked, and sent no token.
    Request,
    /// The server has sent a new token, which was not saved.
    Save,
}

impl RefreshError {
    pub(super) fn new(step: RefreshStep, cause: Error) -> Self {
        Self { step, cause, unsaved: None }
    }

    pub(super) fn unsaved(cause: Error, unsaved: Unsaved) -> Self {
        Self { step: RefreshStep::Save, cause, unsaved: Some(Box::new(unsaved)) }
    }

    /// The step that failed.
    #[must_use]
    pub fn step(&self) -> RefreshStep {
        self.step
    }

    /// Why it failed. An error of the function that asked the server is [`Error::Other`].
    #[must_use]
    pub fn cause(&self) -> &Error {
        &self.cause
    }

    /// The token that the server has sent and that was not saved, with the fields of the stored one that the server
    /// left out. Its access token is good for use. Its refresh token may be the only one that the server still accepts:
    /// if the user has signed out meanwhile ([`NoSuchToken`](Error::NoSuchToken)), have the server revoke it.
    #[must_use]
    pub fn token(&self) -> Option<Token> {
        self.unsaved.as_ref().map(|unsaved| unsaved.claim.unsaved_token(&unsaved.response))
    }

    /// Whether [`retry`](Self::retry) may save the token although the application changes nothing: the disk was full,
    /// or another writer at work. `false` if there is no token to save, if the user has signed out, or if the store has
    /// to be opened again.
    #[must_use]
    pub fn is_retryable(&self) -> bool {
        self.unsaved.is_some() && may_pass(&self.cause)
    }

    /// Tries again to save the token that the server has sent. Blocks as [`Claim::complete`] does. Without such a token
    /// it returns the same error.
    ///
    /// # Errors
    ///
    /// Those of [`Claim::complete`].
    pub fn retry(self) -> Result<Token, Self> {
        match self.unsaved {
            Some(unsaved) => unsaved.claim.complete(unsaved.response),
            None => Err(self),
        }
    }

    /// Saves the token in `store`, which the application has opened again after an error of the kind
    /// [`Reopen`](crate::ErrorKind::Reopen). Blocks as [`Claim::complete`] does. Saves nothing if the user has signed
    /// in again (the stored token has another refresh token) or has signed out (the token was deleted).
    ///
    /// # Errors
    ///
    /// Those of [`Claim::complete`].
    pub fn retry_in<S: TokenStore + Clone + 'static>(mut self, store: &S) -> Result<Token, Self> {
        if let Some(unsaved) = &mut self.unsaved {
            unsaved.claim.move_to(Arc::new(store.clone()));
        }
        self.retry()
    }
}

/// An error of the first step.
impl From<Error> for RefreshError {
    fn from(cause: Error) -> Self {
        Self::new(RefreshStep::Claim, cause)
    }
}

impl fmt::Display for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, cause, unsaved: _ } = self;
        match step {
            RefreshStep::Claim => write!(f, "the token was not refreshed: {cause}"),
            RefreshStep::Request => write!(f, "the request for a new token failed: {cause}"),
            RefreshStep::Save => write!(f, "the new token was not saved: {cause}"),
        }
    }
}

impl fmt::Debug for RefreshError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { step, cause, unsaved } = self;
        let mut shown = f.debug_struct("RefreshError");
        shown.field("step", step).field("cause", cause);
        if unsaved.is_some() {
            shown.field("token", &format_args!("***"));
        }
        shown.finish()
    }
}

impl std::error::Error for RefreshError {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        Some(&self.cause)
    }
}
