//! The beginning of a refresh: the token, or a claim, perhaps after a wait for another caller's claim.
//!
//! # Who refreshes
//!
//! The caller that gets the lock on the token, if the row, read again under that lock, still needs a refresh
//! (`Need::judge`). While the lock is held, another caller gets the old token if that is still valid (`Stale`), and
//! otherwise waits, until its timeout ends in [`Refreshing`](crate::Error::Refreshing).

use std::{
    sync::Arc,
    time::{Duration, Instant},
};

use super::{Claim, Need, Refresh, StaleReason, held::Held, need::Verdict};
use crate::{
    error::{Error, ErrorKind, Result},
    id::TokenId,
    lock_waiters,
    store::TokenStore,
    token::Token,
    token_lock::LockAttempt,
};

/// A call that begins a refresh.
pub(super) struct Attempt {
    store: Arc<dyn TokenStore>,
    need: Need,
    id: TokenId,
    /// The token as it was at the beginning of the call.
    first: Token,
    started: Instant,
}

/// What one look at the store comes to.
enum Look {
    Settled(Refresh),
    /// Another caller refreshes the token, and this one has to wait for it.
    Wait {
        look_again: Duration,
    },
}

impl Attempt {
    pub(super) fn new(store: Arc<dyn TokenStore>, need: Need, id: TokenId, first: Token) -> Self {
        Self { store, need, id, first, started: Instant::now() }
    }

    /// Waits for the answer, and blocks the thread.
    pub(super) fn wait(self) -> Result<Refresh> {
        let mut row = self.first.clone();
        loop {
            let moment = lock_waiters::now();
            match self.look(row)? {
                Look::Settled(answer) => return Ok(answer),
                Look::Wait { look_again } => lock_waiters::wait(moment, self.left()?.min(look_again)),
            }
            row = self.row()?;
        }
    }

    /// The answer of one look. Never waits.
    pub(super) fn once(self) -> Result<Refresh> {
        match self.look(self.first.clone())? {
            Look::Settled(answer) => Ok(answer),
            Look::Wait { .. } => Err(Error::Refreshing { waited: self.started.elapsed() }),
        }
    }

    /// Waits for the answer in a task.
    pub(super) async fn wait_async(self) -> Result<Refresh> {
        let mut row = self.first.clone();
        loop {
            let moment = lock_waiters::now();
            match self.look(row)? {
                Look::Settled(answer) => return Ok(answer),
                Look::Wait { look_again } => lock_waiters::changed(moment, self.left()?.min(look_again)).await,
            }
            row = self.row()?;
        }
    }

    fn look(&self, row: Token) -> Result<Look> {
        let is_enough = match self.need.judge(&row, &self.first)? {
            Verdict::Settled(answer) => return Ok(Look::Settled(answer)),
            Verdict::Refresh { is_enough } => is_enough,
        };
        let lock = match self.store.lock_token(&self.id) {
            Ok(LockAttempt::Locked(lock)) => Held::new(lock),
            Ok(LockAttempt::Held { .. }) if is_enough => {
                return Ok(Look::Settled(Refresh::Stale(row, StaleReason::Refreshing)));
            }
            Ok(LockAttempt::Held { look_again }) => return Ok(Look::Wait { look_again }),
            Err(error) if is_enough && is_of_the_disk(&error) => {
                return Ok(Look::Settled(Refresh::Stale(row, StaleReason::NotWritable)));
            }
            Err(error) => return Err(error),
        };
        // The holder before may just have refreshed it.
        let row = self.row()?;
        Ok(Look::Settled(match self.need.judge(&row, &self.first)? {
            Verdict::Settled(answer) => answer,
            Verdict::Refresh { .. } => {
                let (store, need, id) = (self.store.clone(), self.need.clone(), self.id.clone());
                Refresh::Claimed(Claim::new(store, need, id, row, lock))
            }
        }))
    }

    fn row(&self) -> Result<Token> {
        self.store.find_token_by_id(&self.id)?.ok_or(Error::NoSuchToken)
    }

    /// How long the caller still waits.
    fn left(&self) -> Result<Duration> {
        let waited = self.started.elapsed();
        let left = self.need.limits().timeout.saturating_sub(waited);
        if left.is_zero() { Err(Error::Refreshing { waited }) } else { Ok(left) }
    }
}

/// Whether a save would fail for now.
fn is_of_the_disk(error: &Error) -> bool {
    matches!(error.kind(), ErrorKind::System | ErrorKind::Permission | ErrorKind::Busy)
        || matches!(error, Error::FileTooLarge { .. } | Error::MountedFile { .. })
}
