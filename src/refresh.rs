//! Refreshing a stored token once, however many threads and processes need it.

mod answer;
mod attempt;
mod back_off;
mod claim;
mod error;
mod finishing;
mod held;
mod need;
mod retrying;
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
    /// The store cannot save a new token now, because the disk is full, for example. The stored token is still valid.
    NotWritable,
    /// The server issued the stored token a moment ago, so no refresh was made. The stored token may have expired, or
    /// an API may have rejected it.
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
/// Shortly before a token expires, one caller refreshes it, and the other callers use the stored token. After the token
/// has expired, the other callers wait, up to [`Need::timeout`]. They also wait for [`Need::now`], and for
/// [`Need::rejected`] while the rejected token is stored. A claim ends with its process. If the process dies between
/// the server's answer and the save, the new refresh token is lost, and the user may have to sign in again.
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
    /// Finds the token that the query means. Returns the token if it meets the need, and otherwise a claim to refresh
    /// it.
    ///
    /// Blocks as a find does if the token meets the need. If another caller is refreshing the token, this call waits up
    /// to [`Need::timeout`] (30 seconds by default), unless the stored token can be used in the meantime. In async code
    /// use [`refresh_with_async`](Self::refresh_with_async).
    ///
    /// Before this method gives a claim, it checks that the store can save a new token: permissions, room on the disk,
    /// the maximum length of the file. It cannot check quotas or a failing disk.
    ///
    /// # Errors
    ///
    /// - [`NoSuchToken`](Error::NoSuchToken): no token is stored for the query;
    /// - [`Refreshing`](Error::Refreshing): another caller was still refreshing the token at the end of the wait, and
    ///   the stored token cannot be used: it has expired or was [rejected](Need::rejected), or the need is
    ///   [`Need::now`];
    /// - [`BackedOff`](Error::BackedOff): the last refresh failed, and the stored token has expired or was rejected;
    /// - the errors of [`find_stored`](TokenStore::find_stored) and [`lock_token`](TokenStore::lock_token), and the
    ///   error that a save would have.
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

    /// The same as [`begin_refresh`](Self::begin_refresh), for a caller that cannot wait. If another caller is
    /// refreshing a token that cannot be used in the meantime, this method fails with
    /// [`Refreshing`](Error::Refreshing) at once: try again later. It blocks as a find does, or for making a small lock
    /// file.
    ///
    /// # Errors
    ///
    /// Those of [`begin_refresh`](Self::begin_refresh).
    ///
    /// ```
    /// use tokenkeep::{Error, MemoryStore, Need, Refresh, Token, TokenStore, TokenStoreExt};
    ///
    /// let store = MemoryStore::new();
    /// let query = Token::builder().user_name("ada").build();
    /// store.save_token(&query.to_builder().refresh_token("r").build())?;
    /// let claimed = store.try_begin_refresh(&query, Need::default())?;
    /// assert!(matches!(claimed, Refresh::Claimed(_)));
    /// let second = store.try_begin_refresh(&query, Need::default());
    /// assert!(matches!(second, Err(Error::Refreshing { .. })));
    /// # Ok::<(), Error>(())
    /// ```
    fn try_begin_refresh(&self, query: &Token, need: Need) -> Result<Refresh> {
        match begin(self, query, need)? {
            Begun::Settled(answer) => Ok(answer),
            Begun::Attempt(attempt) => attempt.once(),
        }
    }

    /// Finds the token that the query means. Calls the function if the token has to be refreshed and no other caller is
    /// refreshing it. The function sends the refresh request and returns the outcome as an [`Answer`]. Give the request
    /// a timeout. After [`Need::rejected`] this method may return the rejected token, as
    /// [`JustRefreshed`](StaleReason::JustRefreshed).
    ///
    /// Blocks as [`begin_refresh`](Self::begin_refresh) does, then while the function runs, then as [`Claim::finish`]
    /// does.
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
    /// If you drop the future before the function's future is ready, the claim ends. The server may still have handled
    /// the request, and then the user has to sign in again. So spawn a task that the caller does not cancel:
    /// `spawn(async move { store.refresh_with_async(&query, need, request).await })`. Once the function's future is
    /// ready, the library saves the result even if you drop the future, unless the process ends.
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
    /// # let Refreshed::Fresh(token) = refreshed else { panic!("it was refreshed") };
    /// # assert_eq!(token.access_token().unwrap().expose_secret(), "new");
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

    /// Calls the function to revoke the token at the server (RFC 7009), and then deletes the token. Returns `false`,
    /// without a call of the function, if no token has the id. The function also gets a token that the server has
    /// rejected. This method waits up to 5 seconds for a refresh that is under way, and then passes the stored token,
    /// even if the refresh has not ended. If the function fails, the token stays stored, so that you can try again.
    ///
    /// Blocks for those 5 seconds, while the function runs, and as a delete does.
    ///
    /// # Errors
    ///
    /// - [`Conflict`](Error::Conflict): another caller saved other tokens meanwhile. They were not revoked, and stay;
    /// - [`Error::Other`]: the function failed;
    /// - those of a delete.
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
