//! What a row becomes at the end of a refresh.

use std::{
    hash::{BuildHasher, RandomState},
    time::Duration,
};

use super::need::less_thousandths;
use crate::token::{Fields, Token};

/// The first and the longest back-off where the server has not named one.
pub(super) const BACK_OFFS: (Duration, Duration) = (Duration::from_secs(1), Duration::from_secs(60));

/// The row with the token response laid over it.
pub(super) fn refreshed(row: &Token, response: &Token) -> Token {
    let (row, over) = (row.fields().clone(), response.fields().clone());
    let keeps_refresh_token = over.refresh_token.is_none() || over.refresh_token == row.refresh_token;
    let mut attributes = row.attributes;
    attributes.extend(over.attributes);
    Fields {
        access_token: over.access_token,
        refresh_token: over.refresh_token.or(row.refresh_token),
        id_token: over.id_token.or(row.id_token),
        expires_at: over.expires_at,
        received_at: over.received_at,
        refresh_expires_at: over.refresh_expires_at.or(row.refresh_expires_at.filter(|_| keeps_refresh_token)),
        rejected_at: None,
        retry_at: None,
        failed_refreshes: 0,
        api_domain: over.api_domain.or(row.api_domain),
        token_type: over.token_type.or(row.token_type),
        scopes: if over.scopes.is_empty() { row.scopes } else { over.scopes },
        attributes,
        id: row.id,
        user_name: row.user_name,
        client_id: row.client_id,
        client_secret: row.client_secret,
        grant_token: row.grant_token,
        redirect_url: row.redirect_url,
        stored: row.stored,
    }
    .into()
}

/// One second, two, four, up to a minute, each less up to a half.
pub(super) fn own_back_off(failures: u32) -> Duration {
    let doublings = failures.saturating_sub(1).min(6);
    let whole = BACK_OFFS.0.saturating_mul(1 << doublings).min(BACK_OFFS.1);
    less_thousandths(whole, RandomState::new().hash_one(failures) % 500)
}
