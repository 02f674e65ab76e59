//! Refreshing a stored token once, whichever threads and processes need it.

mod answer;
mod attempt;
mod claim;
mod error;
mod finishing;
mod held;
mod need;
mod row;
mod sign_out;

use std::{error::Error as StdError, future::Future, ops::ControlFlow, sync::Arc, time::SystemTime};

pub use answer::Answer;
use attempt::Attempt;
pub use claim::Claim;
pub use error::{RefreshError, RefreshStep};
pub use need::Need;
use need::Verdict;

use crate::{
    error::{Error, Result},
    id::TokenId,
    store::TokenStore,
    token::Token,
};

/// The stored token, or the right to refresh it: the answer of [`TokenStoreExt::begin_refresh`].
#[derive(Debug)]
#[must_use]
pub enum Refresh {
    /// The stored token is what was needed. Another thread or process may just have refreshed it.
    Fresh(Token),
    /// The stored token was not refreshed now, and is the best that there is.
    Stale(Token, StaleReason),
    /// The stored token cannot be refreshed: it has no refresh token, or an expired one, or the server has refused it.
    /// The user has to sign in again; then save the new tokens.
    SignInAgain(Token),
    /// This caller refreshes the token.
    Claimed(Claim),
}

/// The stored token after a refresh: the answer of [`TokenStoreExt::refresh_with`] and [`Claim::finish`].
#[derive(Debug)]
#[must_use]
pub enum Refreshed {
    /// The token is what was needed.
    Fresh(Token),
    /// The token was not refreshed now, and is the best that there is.
    Stale(Token, StaleReason),
    /// The token cannot be refreshed. The user has to sign in again; then save the new tokens.
    SignInAgain(Token),
}

/// Why a token was not refreshed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum StaleReason {
    /// Another thread or process is refreshing it. It is still valid.
    Refreshing,
    /// The last refresh failed, and none is tried before this time. The token is still valid.
    BackedOff {
        /// When the next refresh may be tried.
        until: SystemTime,
    },
    /// The store cannot be written now, because the disk is full, for example: a new token could not be saved. The
    /// stored one is still valid.
    NotWritable,
    /// It was received a moment ago, and a new one would be no better. It may have expired, or have been rejected.
    JustRefreshed,
}

/// Refreshing stored tokens once, on every [`TokenStore`] that can be cloned: a [`Keystore`](crate::Keystore), a
/// [`Namespace`](crate::Namespace), a [`MemoryStore`](crate::MemoryStore), an `Arc<dyn TokenStore>`, an `Arc` of an
/// application's own store.
///
/// Many servers accept a refresh token only once, and revoke the whole sign-in when a second request comes with the
/// same one. So one caller refreshes a token, under a claim, and all others get what it has saved: in all threads and
/// processes that use the store. Another token never waits for it. A call that finds a good token costs what a find
/// costs.
///
/// While a token is still valid, one caller refreshes it before it expires, and the others go on with it. Once it has
/// expired, the others wait, up to [`Need::timeout`]. A claim ends with its process. If the process dies between the
/// server's answer and the save, the new refresh token is lost, and the user may have to sign in again.
///
/// A clock that is set wrong may make a good token look expired, or an expired one good. Then an API answers 401, and
/// [`Need::rejected`] gets a new token.
///
/// ```
/// use std::time::Duration;
/// use tokenkeep::{Answer, MemoryStore, Need, Refreshed, Token, TokenStore, TokenStoreExt};
///
/// # fn request(token: &Token) -> Answer {
/// #     Token::builder().access_token("new").expires_in(Duration::from_secs(3600)).build().into()
/// # }
/// let store = MemoryStore::new();
/// let ada = Token::builder().user_name("ada").client_id("c").build();
/// store.save_token(&ada.to_builder().refresh_token("r").access_token("old").expires_in(Duration::ZERO).build())?;
///
/// match store.refresh_with(&ada, Need::default(), |token| request(token))? {
///     Refreshed::Fresh(token) | Refreshed::Stale(token, _) => {
///         assert_eq!(token.access_token().unwrap().expose_secret(), "new");
///     }
///     Refreshed::SignInAgain(_) => println!("please sign in again"),
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait TokenStoreExt: TokenStore + Clone + 'static {
    /// Finds the token that the query means, and says whether it is good, or claims it.
    ///
    /// Blocks as a find does, if the token is good. If the token has expired and another caller refreshes it, this
    /// waits up to [`Need::timeout`], 30 seconds unless it is set. In async code use
    /// [`refresh_with_async`](Self::refresh_with_async).
    ///
    /// Before it gives a claim it looks whether the answer could be saved: permissions, room on the disk, the limit of
    /// the file's length. It does not see a quota or a failing disk.
    ///
    /// # Errors
    ///
    /// - [`NoSuchToken`](Error::NoSuchToken): no token is stored for the query;
    /// - [`Refreshing`](Error::Refreshing): another caller was refreshing the token all the time, and it has expired;
    /// - [`BackedOff`](Error::BackedOff): the last refresh failed, and the token has expired;
    /// - those of [`find_stored`](TokenStore::find_stored) and [`lock_token`](TokenStore::lock_token), and the error
    ///   that a save would have.
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokenkeep::{MemoryStore, Need, Refresh, Token, TokenStore, TokenStoreExt};
    ///
    /// let store = MemoryStore::new();
    /// let ada = Token::builder().user_name("ada").build();
    /// let day = Duration::from_secs(86_400);
    /// store.save_token(&ada.to_builder().refresh_token("r").access_token("a").expires_in(day).build())?;
    ///
    /// let Refresh::Fresh(token) = store.begin_refresh(&ada, Need::default())? else { panic!("it is good for a day") };
    /// // An API has answered 401 all the same.
    /// let Refresh::Claimed(claim) = store.begin_refresh(&ada, Need::rejected(&token))? else { panic!("it is ours") };
    /// assert_eq!(claim.token()?.refresh_token().unwrap().expose_secret(), "r");
    /// # Ok::<(), tokenkeep::Error>(())
    /// ```
    fn begin_refresh(&self, query: &Token, need: Need) -> Result<Refresh> {
        match begin(self, query, need)? {
            Begun::Settled(answer) => Ok(answer),
            Begun::Attempt(attempt) => attempt.wait(),
        }
    }

    /// Finds the token that the query means, and refreshes it with the function if it has to be refreshed and no other
    /// caller does. After a [`Need::rejected`] the answer may be the rejected token, as
    /// [`JustRefreshed`](StaleReason::JustRefreshed). The function sends the refresh request, with a time-out for the
    /// whole request, and says what came of it.
    ///
    /// Blocks as [`begin_refresh`](Self::begin_refresh), the function, and [`Claim::finish`] do.
    ///
    /// # Errors
    ///
    /// Those of [`begin_refresh`](Self::begin_refresh), at the step [`Claim`](RefreshStep::Claim), and those of
    /// [`Claim::finish`]. An error with a new token holds the claim, so retry or drop it before the next call: see
    /// [`RefreshError`].
    fn refresh_with(
        &self,
        query: &Token,
        need: Need,
        request: impl FnOnce(&Token) -> Answer,
    ) -> Result<Refreshed, RefreshError> {
        match self.begin_refresh(query, need)?.claim() {
            ControlFlow::Break(refreshed) => Ok(refreshed),
            ControlFlow::Continue(claim) => {
                let answer = request(claim.token()?);
                claim.finish(answer)
            }
        }
    }

    /// The same as [`refresh_with`](Self::refresh_with) in async code, on any runtime. It blocks the task for a find
    /// and, if the token has to be refreshed, for making a small lock file: some tens of microseconds on most disks.
    /// The answer is saved on a thread of its own.
    ///
    /// If the future is dropped before the function's future has answered, the claim is given up. The server may have
    /// handled a request that was sent all the same, and then the user has to sign in again. So run the future on a
    /// task of its own, which is not dropped with the caller, as in `spawn(async move {
    /// store.refresh_with_async(&query, need, request).await })`. Once the function's future has answered, the answer
    /// is saved even if the future is dropped, unless the process ends.
    ///
    /// # Errors
    ///
    /// Those of [`refresh_with`](Self::refresh_with).
    ///
    /// ```
    /// use std::time::Duration;
    /// use tokenkeep::{Answer, MemoryStore, Need, Refreshed, Token, TokenStore, TokenStoreExt};
    ///
    /// async fn request(token: Token) -> Answer {
    ///     // … ask the server …
    ///     Token::builder().access_token("new").expires_in(Duration::from_secs(3600)).build().into()
    /// }
    ///
    /// let store = MemoryStore::new();
    /// let ada = Token::builder().user_name("ada").build();
    /// store.save_token(&ada.to_builder().refresh_token("r").build())?;
    ///
    /// let future = store.refresh_with_async(&ada, Need::default(), request);
    /// # let refreshed = pollster::block_on(future)?;
    /// # assert!(matches!(refreshed, Refreshed::Fresh(token) if token.access_token().unwrap().expose_secret() == "new"));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    fn refresh_with_async<F, A>(
        &self,
        query: &Token,
        need: Need,
        request: F,
    ) -> impl Future<Output = Result<Refreshed, RefreshError>> + Send
    where
        F: FnOnce(Token) -> A + Send,
        A: Future<Output = Answer> + Send,
    {
        async move {
            let begun = match begin(self, query, need)? {
                Begun::Settled(answer) => answer,
                Begun::Attempt(attempt) => attempt.wait_async().await?,
            };
            match begun.claim() {
                ControlFlow::Break(refreshed) => Ok(refreshed),
                ControlFlow::Continue(claim) => {
                    let answer = request(claim.token()?.clone()).await;
                    // Nothing is awaited before the thread has both, so that the answer is not lost with this future.
                    finishing::finish(claim, answer).await
                }
            }
        }
    }

    /// Deletes the stored token of that id; `false` if there was none. A refresh that is under way does not bring it
    /// back. Waits for such a refresh at most 5 seconds, and then as a delete does.
    ///
    /// # Errors
    ///
    /// Those of a delete.
    ///
    /// ```
    /// # use tokenkeep::{MemoryStore, Token, TokenStore, TokenStoreExt};
    /// # let store = MemoryStore::new();
    /// let id = store.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
    /// assert!(store.sign_out(&id)?);
    /// assert!(!store.sign_out(&id)?);
    /// # Ok::<(), tokenkeep::Error>(())
    /// ```
    fn sign_out(&self, id: &TokenId) -> Result<bool> {
        sign_out::sign_out(self, id)
    }

    /// The same as [`sign_out`](Self::sign_out), with a function that first has the server revoke the token (RFC 7009),
    /// also one that the server has refused. If a refresh takes longer than the 5 seconds, the function gets the token
    /// of before. If the function fails the token stays stored, so that it can be revoked later.
    ///
    /// # Errors
    ///
    /// [`Conflict`](Error::Conflict) if other tokens were saved meanwhile, which were not revoked and stay; those of a
    /// delete; an error of the function is [`Error::Other`].
    ///
    /// ```
    /// # use tokenkeep::{MemoryStore, Token, TokenStore, TokenStoreExt};
    /// # fn revoke(refresh_token: &str) -> std::io::Result<()> { Ok(()) }
    /// # let store = MemoryStore::new();
    /// let id = store.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
    /// store.sign_out_with(&id, |token| token.refresh_token().map_or(Ok(()), |token| revoke(token.expose_secret())))?;
    /// # assert!(store.get_tokens()?.is_empty());
    /// # Ok::<(), tokenkeep::Error>(())
    /// ```
    fn sign_out_with<E>(&self, id: &TokenId, revoke: impl FnOnce(&Token) -> Result<(), E>) -> Result<bool>
    where
        E: Into<Box<dyn StdError + Send + Sync>>,
    {
        sign_out::revoke_and_sign_out(self, id, |token| revoke(token).map_err(Error::other))
    }
}

impl<S: TokenStore + Clone + 'static> TokenStoreExt for S {}

/// What the first look at the store comes to.
enum Begun {
    Settled(Refresh),
    Attempt(Attempt),
}

fn begin<S: TokenStore + Clone + 'static>(store: &S, query: &Token, need: Need) -> Result<Begun> {
    let first = store.find_stored(query)?.ok_or(Error::NoSuchToken)?;
    if let Verdict::Settled(answer) = need.judge(&first, &first)? {
        return Ok(Begun::Settled(answer));
    }
    let id = first.id().cloned().ok_or(Error::internal("a stored token has no id"))?;
    Ok(Begun::Attempt(Attempt::new(Arc::new(store.clone()), need, id, first)))
}

impl Refresh {
    /// The claim to go on with, or the token that ends the call.
    fn claim(self) -> ControlFlow<Refreshed, Claim> {
        match self {
            Self::Fresh(token) => ControlFlow::Break(Refreshed::Fresh(token)),
            Self::Stale(token, why) => ControlFlow::Break(Refreshed::Stale(token, why)),
            Self::SignInAgain(token) => ControlFlow::Break(Refreshed::SignInAgain(token)),
            Self::Claimed(claim) => ControlFlow::Continue(claim),
        }
    }
}

#[cfg(test)]
mod tests;
