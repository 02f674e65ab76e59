//! A claim: given, used, and ended with the server's answer.

use std::{
    fmt,
    sync::Arc,
    thread,
    time::{Duration, Instant, SystemTime},
};

use super::{
    Answer, Need, Refresh, RefreshError, RefreshStep, Refreshed, StaleReason,
    back_off::back_off,
    error::Unsaved,
    held::Held,
    need::Verdict,
    retrying::{may_pass, try_until},
};
use crate::{
    error::{Error, Result, Unstorable},
    id::TokenId,
    matching::refreshed,
    store::TokenStore,
    token::{Expiry, Fields, Token},
    token_lock::TokenLock,
};

/// How often the row is read while an earlier holder's request may still succeed.
const BETWEEN_READS: Duration = Duration::from_millis(500);

/// The right to refresh one token: no other thread or process has it at the same time.
///
/// [`TokenStoreExt::begin_refresh`](crate::TokenStoreExt::begin_refresh) gives it. Read the token with
/// [`token`](Self::token), ask the server, and end the claim with [`complete`](Self::complete),
/// [`sign_in_again`](Self::sign_in_again), [`retry_later`](Self::retry_later) or [`finish`](Self::finish). Dropping it
/// gives it up. It also ends with its process. It can be sent to another thread, and may be held for minutes, for
/// example while a person consents.
///
/// A child process that was forked while its parent held a claim cannot use it, and keeps it taken until it ends or
/// starts another program. So fork before you claim.
///
/// ```
/// # use tokenkeep::{MemoryStore, Need, Refresh, Token, TokenStore, TokenStoreExt};
/// # let store = MemoryStore::new();
/// # let query = Token::builder().user_name("ada").build();
/// # store.save_token(&query.to_builder().refresh_token("r").build())?;
/// if let Refresh::Claimed(claim) = store.begin_refresh(&query, Need::default())? {
///     println!("until {:?}", claim.trusted_until());
///     let refresh_token = claim.token()?.refresh_token().unwrap().expose_secret();
///     // … ask the server …
///     let response = Token::builder().access_token("new").expiry_unknown().build();
///     let saved = claim.complete(response)?;
///     assert_eq!(saved.refresh_token().unwrap().expose_secret(), "r");
/// }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use = "dropping a claim gives it up"]
pub struct Claim {
    store: Arc<dyn TokenStore>,
    need: Need,
    id: TokenId,
    token: Token,
    lock: Held,
    /// When the claim was given or renewed, by both clocks: one may be set, the other one may stand while the computer
    /// sleeps.
    since: (Instant, SystemTime),
}

impl Claim {
    pub(super) fn new(store: Arc<dyn TokenStore>, need: Need, id: TokenId, token: Token, lock: Held) -> Self {
        let since = (Instant::now(), need.time());
        Self { store, need, id, token, lock, since }
    }

    /// Returns the stored token, for a request that you send now. This call also records that a request may be under
    /// way: if this claim ends without an answer, the next holder sees
    /// [`was_left_unfinished`](Self::was_left_unfinished).
    ///
    /// # Errors
    ///
    /// [`ClaimEnded`](Error::ClaimEnded) if the claim is no longer trusted: it is older than [`Need::trusted_for`] or
    /// than its lease (time in which the computer sleeps counts); its lock file was removed; or this process is a
    /// forked child. And the store's own errors. After an error send no request.
    pub fn token(&self) -> Result<&Token> {
        if self.is_trusted()? {
            self.lock.get()?.start()?;
            return Ok(&self.token);
        }
        Err(Error::ClaimEnded)
    }

    /// Until when the claim is trusted.
    #[must_use]
    pub fn trusted_until(&self) -> SystemTime {
        let (_, since) = self.since;
        since.checked_add(self.trusted_for()).unwrap_or(since)
    }

    /// Whether an earlier holder may have sent a request whose answer was never saved, because its process was killed
    /// or it was dropped. The server may then refuse the refresh token, which has been used.
    #[must_use]
    pub fn was_left_unfinished(&self) -> bool {
        self.lock.get().is_ok_and(TokenLock::was_left_unfinished)
    }

    /// Begins the time again for which the claim is trusted. For a holder that waits for a person.
    ///
    /// # Errors
    ///
    /// [`ClaimEnded`](Error::ClaimEnded) if it is not trusted any more, and the store's own errors.
    pub fn renew(&mut self) -> Result<()> {
        if !self.is_trusted()? {
            return Err(Error::ClaimEnded);
        }
        self.lock.get()?.renew()?;
        self.since = (Instant::now(), self.need.time());
        Ok(())
    }

    fn trusted_for(&self) -> Duration {
        let lease = self.lock.get().ok().and_then(TokenLock::lease);
        let trusted_for = self.need.limits().trusted_for;
        lease.map_or(trusted_for, |lease| lease.min(trusted_for))
    }

    fn is_trusted(&self) -> Result<bool> {
        let (instant, time) = self.since;
        let age = self.need.time().duration_since(time).unwrap_or_default().max(instant.elapsed());
        // Held by `claim_is_trusted_for_a_while_only`: without `age < self.trusted_for() &&`.
        // Held by `claim_without_its_lock_file_gives_no_token`: without `&& self.lock.get()?.is_held()`.
        Ok(self.lock.is_ours() && age < self.trusted_for() && self.lock.get()?.is_held())
    }

    /// Ends the claim with the server's answer.
    ///
    /// # Errors
    ///
    /// Those of [`complete`](Self::complete), [`sign_in_again`](Self::sign_in_again) and
    /// [`retry_later`](Self::retry_later). For [`Answer::Failed`] its error, at the step
    /// [`Request`](RefreshStep::Request), unless the stored token is still valid and is returned as
    /// [`Stale`](Refreshed::Stale).
    pub fn finish(self, answer: Answer) -> Result<Refreshed, RefreshError> {
        match answer {
            Answer::Token(response) => self.complete(response).map(Refreshed::Fresh),
            Answer::SignInAgain => self.sign_in_again(),
            Answer::RetryLater(after) => self.retry_later(after),
            Answer::Failed(cause) => self.fail(Error::Other(cause)),
        }
    }

    /// Saves a token response (RFC 6749, 6), and returns the stored token.
    ///
    /// The response needs an access token. Its expiry replaces the stored one; without an expiry it is unknown. A
    /// missing refresh token, and missing scopes, keep the stored ones. The token type, the API domain, the ID token
    /// and attributes are taken from the response if it has them. Id, user name, client and redirect URL stay. The
    /// response may be built from nothing or from [`token`](Self::token): the expiry of that token is not taken over.
    ///
    /// If the stored token has another refresh token by now, because the user has signed in again, this method saves
    /// nothing and returns the stored token. It does not add a token that was deleted meanwhile.
    ///
    /// Blocks as a save does. If the save fails, the library tries the save again for up to [`Need::timeout`].
    ///
    /// # Errors
    ///
    /// - At the step [`Save`](RefreshStep::Save) the error of the save, with the new token: among them
    ///   [`NoSuchToken`](Error::NoSuchToken) if the user has signed out, and those of the kind
    ///   [`Reopen`](crate::ErrorKind::Reopen), after which the store has to be opened again.
    /// - At the step [`Request`](RefreshStep::Request) [`Unstorable`](Error::Unstorable): the response has no access
    ///   token. Nobody asks the server again for a while.
    pub fn complete(mut self, response: Token) -> Result<Token, RefreshError> {
        if response.access_token().is_none() {
            let _ = self.back_off(None);
            let cause = Error::Unstorable { why: Unstorable::NoAccessToken };
            return Err(RefreshError::new(RefreshStep::Request, cause));
        }
        let response = self.settled(&response);
        match try_until(self.need.limits().timeout, || self.save(&response)) {
            Ok(token) => {
                self.lock.finish();
                Ok(token)
            }
            Err(error) => {
                // There is no refresh token any more that another caller could send.
                if matches!(error, Error::NoSuchToken) {
                    self.lock.finish();
                }
                Err(RefreshError::unsaved(error, Unsaved { claim: self, response }))
            }
        }
    }

    /// The response with the times that it has, and none that it took over from the old token.
    fn settled(&self, response: &Token) -> Token {
        let old = self.token.fields();
        let mut fields = response.fields().clone();
        // Held by `response_keeps_what_it_leaves_out_but_not_the_expiry`: `fields.expires_at == Expiry::Unset`.
        if fields.expires_at == Expiry::Unset || fields.expires_at == old.expires_at {
            fields.expires_at = Expiry::Unknown;
        }
        let own = fields.received_at.filter(|received| Some(*received) != old.received_at);
        fields.received_at = Some(own.unwrap_or_else(|| self.need.time().into()));
        fields.stored = None;
        fields.into()
    }

    /// Saves the response over the row, if that has the refresh token that was sent.
    fn save(&self, response: &Token) -> Result<Token> {
        let row = self.row()?;
        // After a save that could not be synced: it is made again.
        let is_response = row.access_token() == response.access_token()
            && response.refresh_token().is_none_or(|token| row.refresh_token() == Some(token));
        // Held by `new_sign_in_during_a_refresh_stays`.
        if row.refresh_token() != self.token.refresh_token() && !is_response {
            return Ok(row);
        }
        self.store.replace_token(&refreshed(&row, response))
    }

    /// Goes on with a store that was opened again.
    pub(super) fn move_to(&mut self, store: Arc<dyn TokenStore>) {
        self.store = store;
    }

    /// The new token where it was not saved.
    pub(super) fn unsaved_token(&self, response: &Token) -> Token {
        refreshed(&self.token, response).without_revision()
    }

    /// Ends the claim after the server has refused the refresh token (`invalid_grant`). Marks the stored token as
    /// rejected, so that no caller sends its refresh token again, and returns [`SignInAgain`](Refreshed::SignInAgain).
    /// The token stays stored. The next sign-in that is saved removes the mark.
    ///
    /// If another caller has changed the stored tokens in the meantime, this method marks nothing and returns the
    /// stored token: most often as [`Fresh`](Refreshed::Fresh), else as [`SignInAgain`](Refreshed::SignInAgain), or as
    /// [`Stale`](Refreshed::Stale) with [`JustRefreshed`](StaleReason::JustRefreshed).
    ///
    /// Blocks as a save does. If the save fails, the library tries the save again for up to [`Need::timeout`]. If the
    /// store cannot save the mark in that time, the next caller sends the refresh token again. In a store with leases,
    /// if an earlier holder [left its refresh unfinished](Self::was_left_unfinished), this method first waits up to one
    /// lease for the tokens of that holder.
    ///
    /// # Errors
    ///
    /// All errors have the step [`Request`](RefreshStep::Request): [`NoSuchToken`](Error::NoSuchToken) if the token was
    /// deleted, the errors of a find, and those of a save that another try cannot remedy.
    pub fn sign_in_again(mut self) -> Result<Refreshed, RefreshError> {
        let changed = match self.wait_for_earlier_holder() {
            Ok(None) => {
                let now = self.need.time();
                self.change(|fields| {
                    fields.rejected_at = Some(now.into());
                    fields.retry_at = None;
                    fields.failed_refreshes = 0;
                })
            }
            found => found.map(|row| row.map_or(Row::Ours(self.token.clone()), Row::Others)),
        };
        let row = changed.map_err(|cause| RefreshError::new(RefreshStep::Request, cause))?;
        let refreshed = match row {
            Row::Others(row) => self.others(row),
            Row::Ours(row) => Refreshed::SignInAgain(row),
        };
        self.lock.finish();
        Ok(refreshed)
    }

    /// What an earlier holder, who may still be at work, saves within one lease.
    fn wait_for_earlier_holder(&self) -> Result<Option<Token>> {
        let lock = self.lock.get()?;
        let lease = lock.lease().filter(|_| lock.was_left_unfinished()).unwrap_or_default();
        let started = Instant::now();
        let between_renewals = lease.checked_div(3).unwrap_or_default();
        let mut renewed = started;
        loop {
            let row = self.row()?;
            if !self.is_ours(&row) {
                return Ok(Some(row));
            }
            let left = lease.saturating_sub(started.elapsed());
            if left.is_zero() {
                return Ok(None);
            }
            if renewed.elapsed() >= between_renewals {
                lock.renew()?;
                renewed = Instant::now();
            }
            thread::sleep(left.min(BETWEEN_READS).min(between_renewals));
        }
    }

    /// Ends the claim after the server said that it cannot answer now (`temporarily_unavailable`). Saves the time
    /// before which no caller sends another request: `after`, at least a second and at most an hour. Without `after`
    /// the pause is one second, then two, four, up to a minute. If the store cannot save the time, the next caller
    /// sends a request at once.
    ///
    /// Returns the stored token as [`Stale`](Refreshed::Stale) if the token meets the need well enough: the access
    /// token has not expired, [`Need::rejected`] did not name it, and the need is not [`Need::now`].
    ///
    /// Blocks as a save does. If the save fails, the library tries the save again for up to [`Need::timeout`].
    ///
    /// # Errors
    ///
    /// All errors have the step [`Request`](RefreshStep::Request):
    ///
    /// - [`BackedOff`](Error::BackedOff): the stored token does not meet the need;
    /// - [`NoSuchToken`](Error::NoSuchToken): the token was deleted, because the user has signed out, for example;
    /// - the errors of a find, and those of a save that another try cannot remedy.
    pub fn retry_later(mut self, after: Option<Duration>) -> Result<Refreshed, RefreshError> {
        let backed_off = self.back_off(after).and_then(|row| self.backed_off(row));
        self.lock.finish();
        backed_off.map_err(|cause| RefreshError::new(RefreshStep::Request, cause))
    }

    /// No usable answer came. The lock is not finished: the request may have arrived.
    fn fail(self, cause: Error) -> Result<Refreshed, RefreshError> {
        let backed_off = self.back_off(None).and_then(|row| self.backed_off(row));
        backed_off.map_err(|_| RefreshError::new(RefreshStep::Request, cause))
    }

    fn back_off(&self, after: Option<Duration>) -> Result<Row> {
        // Counted once, also if the row is saved several times.
        let failures = self.token.failed_refreshes().saturating_add(1);
        let wait = back_off(after, failures);
        self.change(|fields| {
            fields.failed_refreshes = failures;
            fields.retry_at = self.need.time().checked_add(wait).map(Into::into);
        })
    }

    /// The token that the caller goes on with after a refresh that failed.
    fn backed_off(&self, row: Row) -> Result<Refreshed> {
        match row {
            Row::Others(row) => Ok(self.others(row)),
            Row::Ours(row) => {
                let until = row.retry_at().unwrap_or_else(|| self.need.time());
                if self.need.is_enough(&row) {
                    return Ok(Refreshed::Stale(row, StaleReason::BackedOff { until }));
                }
                Err(Error::BackedOff { until })
            }
        }
    }

    /// What others have saved: most often it is good. Else another refresh would come too soon.
    fn others(&self, row: Token) -> Refreshed {
        match self.need.judge(&row, &self.token) {
            Ok(Verdict::Settled(Refresh::Fresh(row))) => Refreshed::Fresh(row),
            Ok(Verdict::Settled(Refresh::SignInAgain(row))) => Refreshed::SignInAgain(row),
            _ => Refreshed::Stale(row, StaleReason::JustRefreshed),
        }
    }

    /// Changes the row, unless others have saved other tokens in it. A change that cannot be saved in time is returned
    /// all the same.
    fn change(&self, change: impl Fn(&mut Fields)) -> Result<Row> {
        let changed = |row: &Token| {
            let mut fields = row.fields().clone();
            change(&mut fields);
            Token::from(fields)
        };
        let saved = try_until(self.need.limits().timeout, || {
            let row = self.row()?;
            if !self.is_ours(&row) {
                return Ok(Row::Others(row));
            }
            self.store.replace_token(&changed(&row)).map(Row::Ours)
        });
        match saved {
            Err(error) if may_pass(&error) => Ok(Row::Ours(changed(&self.token))),
            saved => saved,
        }
    }

    fn row(&self) -> Result<Token> {
        self.store.find_token_by_id(&self.id)?.ok_or(Error::NoSuchToken)
    }

    /// Whether the row has the tokens that the claim was given for.
    fn is_ours(&self, row: &Token) -> bool {
        row.access_token() == self.token.access_token() && row.refresh_token() == self.token.refresh_token()
    }
}

/// The row at the end of a claim.
enum Row {
    /// Others have saved other tokens in it.
    Others(Token),
    Ours(Token),
}

impl fmt::Debug for Claim {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Claim").field("token", &self.token).finish_non_exhaustive()
    }
}
