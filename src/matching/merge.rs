//! A token laid over the row that it means, as the documentation of [`matching`](super) states.

use crate::{
    time::Millis,
    token::{Expiry, Fields, Token},
};

/// The row with the fields that another token sets laid over it. Scopes are one field; attributes are laid over name by
/// name; the id and what a store sets stay the row's.
pub(super) fn merge(row: &Token, over: &Token) -> Token {
    fn text<T: Clone>(over: &Option<T>, row: &Option<T>) -> Option<T> {
        over.as_ref().or(row.as_ref()).cloned()
    }
    let (row, over) = (row.fields(), over.fields());
    let Fields {
        id: _,
        user_name,
        client_id,
        client_secret,
        refresh_token,
        access_token,
        grant_token,
        id_token,
        expires_at,
        received_at,
        refresh_expires_at,
        rejected_at,
        retry_at,
        failed_refreshes,
        redirect_url,
        api_domain,
        token_type,
        scopes,
        attributes,
        stored: _,
    } = over;
    let attributes = row.attributes.iter().chain(attributes);
    let merged = Fields {
        id: row.id.clone(),
        user_name: text(user_name, &row.user_name),
        client_id: text(client_id, &row.client_id),
        client_secret: text(client_secret, &row.client_secret),
        refresh_token: text(refresh_token, &row.refresh_token),
        access_token: text(access_token, &row.access_token),
        grant_token: text(grant_token, &row.grant_token),
        id_token: text(id_token, &row.id_token),
        // Held by `merge_keeps_sets_or_clears_the_expiry`: `*expires_at`.
        // An unknown expiry clears the row's.
        // Held by `merge_keeps_sets_or_clears_the_expiry`: `expires_at.at().is_none()` instead of
        // `*expires_at == Expiry::Unset`.
        expires_at: if *expires_at == Expiry::Unset { row.expires_at } else { *expires_at },
        // Held by `a_save_that_changes_no_token_lays_marks_over_and_keeps_them`: `*received_at`.
        received_at: received_at.or(row.received_at),
        // Held by `a_save_that_changes_no_token_lays_marks_over_and_keeps_them`: `*refresh_expires_at`.
        refresh_expires_at: refresh_expires_at.or(row.refresh_expires_at),
        // Held by `a_save_that_changes_no_token_lays_marks_over_and_keeps_them`: `*rejected_at`.
        rejected_at: rejected_at.or(row.rejected_at),
        // Held by `a_save_that_changes_no_token_lays_marks_over_and_keeps_them`: `*retry_at`.
        retry_at: retry_at.or(row.retry_at),
        // Held by `a_save_that_changes_no_token_lays_marks_over_and_keeps_them`: `*failed_refreshes`.
        failed_refreshes: if *failed_refreshes == 0 { row.failed_refreshes } else { *failed_refreshes },
        redirect_url: text(redirect_url, &row.redirect_url),
        api_domain: text(api_domain, &row.api_domain),
        token_type: text(token_type, &row.token_type),
        scopes: if scopes.is_empty() { row.scopes.clone() } else { scopes.clone() },
        attributes: attributes.map(|(name, value)| (name.clone(), value.clone())).collect(),
        stored: row.stored,
    };
    settle(row, over, merged).into()
}

/// The row with a token response laid over it (RFC 6749, 6). What a token endpoint does not send stays the row's. The
/// response says when its access token expires, or that this is unknown.
pub(crate) fn refreshed(row: &Token, response: &Token) -> Token {
    let Fields {
        id: _,
        user_name: _,
        client_id: _,
        client_secret: _,
        refresh_token,
        access_token,
        grant_token: _,
        id_token,
        expires_at,
        received_at,
        refresh_expires_at,
        rejected_at: _,
        retry_at: _,
        failed_refreshes: _,
        redirect_url: _,
        api_domain,
        token_type,
        scopes,
        attributes,
        stored: _,
    } = response.fields().clone();
    let sent = Fields {
        refresh_token,
        access_token,
        id_token,
        expires_at,
        received_at,
        refresh_expires_at,
        api_domain,
        token_type,
        scopes,
        attributes,
        ..Fields::default()
    };
    let merged = merge(row, &sent.into());
    // Also if the server has sent the same tokens again.
    Fields { rejected_at: None, retry_at: None, failed_refreshes: 0, ..merged.fields().clone() }.into()
}

/// The result of laying a token over a row, or of putting it in the row's place, without what belonged to an access
/// token or a refresh token that it no longer has.
pub(super) fn settle(row: &Fields, over: &Fields, mut result: Fields) -> Fields {
    // A token that was read may still have the row's time, which says nothing about its new access or refresh token.
    let own = |over_time: Option<Millis>, row_time: Option<Millis>| {
        // A time that was inherited says nothing of another token.
        // Held by `another_access_token_has_its_own_time_of_receipt`, `another_refresh_token_has_its_own_expiry`:
        // `over_time.filter(|time| true)`.
        // A time of its own may be the row's.
        // Held by `another_access_token_has_its_own_time_of_receipt`, `another_refresh_token_has_its_own_expiry`:
        // without `over.stored.is_none() ||`.
        over_time.filter(|time| over.stored.is_none() || Some(*time) != row_time)
    };
    let access_changed = result.access_token != row.access_token;
    let refresh_changed = result.refresh_token != row.refresh_token;
    // Held by `a_save_that_changes_no_token_lays_marks_over_and_keeps_them`: `true`.
    if access_changed {
        // Held by `another_access_token_has_its_own_time_of_receipt`.
        result.received_at = own(over.received_at, row.received_at);
    }
    // Held by `a_save_that_changes_no_token_lays_marks_over_and_keeps_them`: `true`.
    if refresh_changed {
        // Held by `another_refresh_token_has_its_own_expiry`.
        result.refresh_expires_at = own(over.refresh_expires_at, row.refresh_expires_at);
    }
    // An access token that is cleared clears no refusal.
    // Held by `another_access_token_has_its_own_time_of_receipt`: `access_changed`.
    let new_access = access_changed && result.access_token.is_some();
    // A refresh token that is cleared clears no refusal.
    // Held by `another_refresh_token_has_its_own_expiry`: `refresh_changed`.
    let new_refresh = refresh_changed && result.refresh_token.is_some();
    // Held by `another_token_clears_what_was_said_of_refreshing`: `new_refresh`; `new_access`.
    if new_access || new_refresh {
        // Held by `another_token_clears_what_was_said_of_refreshing`.
        result.rejected_at = None;
        // Held by `another_token_clears_what_was_said_of_refreshing`.
        result.retry_at = None;
        // Held by `another_token_clears_what_was_said_of_refreshing`.
        result.failed_refreshes = 0;
    }
    result
}
