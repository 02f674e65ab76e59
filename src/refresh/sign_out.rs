//! Deleting a token that may be in a refresh.

use std::time::{Duration, Instant};

use super::held::Held;
use crate::{
    error::{Error, Result},
    id::TokenId,
    lock_waiters,
    store::TokenStore,
    token::Token,
    token_lock::LockAttempt,
};

/// How long a sign-out waits for a refresh.
const BEFORE_SIGN_OUT: Duration = Duration::from_secs(5);

/// Waits a moment for a refresh of the token, and deletes it.
pub(super) fn sign_out(store: &dyn TokenStore, id: &TokenId) -> Result<bool> {
    let mut lock = lock_before_sign_out(store, id);
    let was_deleted = store.delete_token(id)?;
    lock.iter_mut().for_each(Held::finish);
    Ok(was_deleted)
}

/// Waits a moment for a refresh of the token, asks the function to revoke it, and deletes what was revoked.
pub(super) fn revoke_and_sign_out(
    store: &dyn TokenStore,
    id: &TokenId,
    revoke: impl FnOnce(&Token) -> Result<()>,
) -> Result<bool> {
    let mut lock = lock_before_sign_out(store, id);
    let was_deleted = match store.find_token_by_id(id)? {
        Some(token) => {
            revoke(&token)?;
            delete_revoked(store, id, &token)?
        }
        None => false,
    };
    lock.iter_mut().for_each(Held::finish);
    Ok(was_deleted)
}

/// Deletes the row if it still has the tokens that were revoked. Marks on the row are no reason to keep it.
fn delete_revoked(store: &dyn TokenStore, id: &TokenId, revoked: &Token) -> Result<bool> {
    let mut row = revoked.clone();
    loop {
        match store.delete_token_if(id, row.revision().unwrap_or_default()) {
            Err(Error::Unsupported { .. }) => return store.delete_token(id),
            Err(Error::Conflict { current }) => {
                let Some(now) = store.find_token_by_id(id)? else { return Ok(true) };
                // The user has signed in again, or the token was refreshed: that was not revoked.
                // Held by `sign_out_waits_for_a_refresh_and_wins`.
                if now.refresh_token() != revoked.refresh_token() || now.access_token() != revoked.access_token() {
                    return Err(Error::Conflict { current });
                }
                row = now;
            }
            deleted => return deleted,
        }
    }
}

/// The token's lock, if it is free in time. Signing out goes on without it: a refresh that is under way does not bring
/// the row back.
fn lock_before_sign_out(store: &dyn TokenStore, id: &TokenId) -> Option<Held> {
    let started = Instant::now();
    loop {
        let moment = lock_waiters::now();
        let left = BEFORE_SIGN_OUT.saturating_sub(started.elapsed());
        match store.lock_token(id) {
            Ok(LockAttempt::Locked(lock)) => return Some(Held::new(lock)),
            Ok(LockAttempt::Held { look_again }) if !left.is_zero() => lock_waiters::wait(moment, left.min(look_again)),
            Ok(LockAttempt::Held { .. }) | Err(_) => return None,
        }
    }
}
