//! Which stored token a save or a find means, and what becomes of it.
//!
//! The vendor's document identifies a stored token by "user and client combination". The rules follow it. The first
//! rule whose condition the token meets decides, also when it finds no row:
//!
//! 1. The token names an `id` that is stored: that row. If the token has a `client_id`, the row must have the same one,
//!    or neither a client id nor a client secret. Otherwise the result is [`OtherClient`](Error::OtherClient). An id
//!    that is not stored does not decide; it becomes the id of the new row if no other rule finds one.
//! 2. The token has a `user_name`. With a `client_id`: the row with that user name and client id; else the row with
//!    that user name that has neither client id nor client secret, which adopts the client. Without a `client_id`: the
//!    only row with that user name; if there are several, the answer is [`Ambiguous`](Error::Ambiguous).
//! 3. The token has an `access_token`, and neither `client_id` nor `client_secret`: the earliest row with that access
//!    token.
//! 4. The token has a `client_id`, and a `grant_token` or a `refresh_token`: the earliest row with that grant token or
//!    that refresh token and the same client id. The client secret is no criterion, because public clients have none
//!    and other clients rotate it.
//! 5. Otherwise none: a save adds a row.
//!
//! Among the rows that have a user name, user name and client id together are unique. A missing client id counts as a
//! value. A save that would break this ends in [`Unstorable`](Error::Unstorable). No rule mixes two named clients in
//! one row.
//!
//! A token without a user name and an id is found by the refresh token that it carries. After a rotation that is a new
//! refresh token, which is not stored yet, so the save would add a row. Give such a token an `id`, and save by that.
//!
//! A token that was read from the store carries its [revision](Token::revision), and is saved over that revision of its
//! row only. A token that was read from *another* store is matched as a whole row. It means the row of its id by rule
//! 1; else the row with the same user name and client id, where a missing client id counts as a value; else none. So a
//! plain loop copies a store into an empty one, row by row.
//!
//! A save and a find lay the token over the row that it means: what the token sets wins, what it leaves unset stays. So
//! an unset expiry keeps the row's, even under another access token; an unknown expiry clears it. Scopes are one field,
//! and attributes are laid over name by name. A replacement clears what the token leaves unset.
//!
//! Some fields belong to one access token or to one refresh token. In a save, a find and a replacement:
//!
//! - If the access token changes, the row takes `received_at` from the given token. If the given token has none, the
//!   time is cleared. It is also cleared if the given token was read from a store and still has the row's time.
//! - If the refresh token changes, the same holds for `refresh_expires_at`.
//! - If the given token brings another access token or another refresh token, `rejected_at`, `retry_at` and
//!   `failed_refreshes` are cleared.
//! - In a save and a find, a `failed_refreshes` of 0 counts as unset.
//!
//! To repeat a stored access token or refresh token is no change of it. A new row is stored as given.
//!
//! Every store of this crate uses this module, and a store of your own can: it implements [`Rows`], and [`find`],
//! [`save`], [`replace`] and [`delete_if`] decide. In this example the rows are a `Vec`, and a place is a position in
//! it:
//!
//! ```
//! use std::time::SystemTime;
//! use tokenkeep::{Origin, Result, Token, TokenId, matching};
//!
//! struct Shelf(Vec<Token>);
//!
//! impl matching::Rows for Shelf {
//!     type Place = usize;
//!
//!     fn origin(&self) -> Origin {
//!         Origin::of("a shelf")
//!     }
//!
//!     fn rows(&mut self, criterion: matching::Criterion<'_>) -> Result<Vec<(usize, Token)>> {
//!         Ok(self.0.iter().cloned().enumerate().filter(|(_, row)| criterion.matches(row)).collect())
//!     }
//! }
//!
//! let mut shelf = Shelf(vec![]);
//! let token = Token::builder().user_name("ada").client_id("c").access_token("a1").build();
//! let saved = matching::save(&mut shelf, &token, SystemTime::now(), || Ok(TokenId::from("1")))?;
//! assert_eq!(saved.place, None); // a new row
//! shelf.0.push(saved.token);
//!
//! let refreshed = Token::builder().user_name("ada").client_id("c").access_token("a2").build();
//! let saved = matching::save(&mut shelf, &refreshed, SystemTime::now(), || Ok(TokenId::from("2")))?;
//! assert_eq!(saved.place, Some(0)); // the same row, which keeps its id
//! assert_eq!(saved.token.id(), Some(&TokenId::from("1")));
//!
//! let query = Token::builder().user_name("grace").build();
//! assert!(matching::find(&mut shelf, &query)?.is_none());
//! # Ok::<(), tokenkeep::Error>(())
//! ```

mod merge;
mod prune;
mod rows;

use std::time::SystemTime;

pub(crate) use merge::refreshed;
use merge::{merge, settle};
pub use prune::Prune;
pub use rows::{Criterion, Rows};

use crate::{
    error::{Error, Result, Unstorable},
    id::TokenId,
    token::{Fields, Stored, Token},
};

/// A row to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RowWrite<P> {
    /// The place of the row that it replaces; `None`: it is a new row, after all others.
    pub place: Option<P>,
    /// The row, with its id and all that a store sets.
    pub token: Token,
}

/// A row and its place, if there is such a row.
type Found<P> = Option<(P, Token)>;

/// The stored row that the query means, if any, and its place.
///
/// # Errors
///
/// [`Error::OtherClient`], [`Error::Ambiguous`], and the errors of [`Rows::rows`].
pub fn select<R: Rows + ?Sized>(rows: &mut R, query: &Token) -> Result<Option<(R::Place, Token)>> {
    if let Some(id) = query.id()
        && let Some((place, row)) = by_id(rows, id)?
    {
        // Held by `rule_1_refuses_another_client`.
        check_client(query, &row)?;
        return Ok(Some((place, row)));
    }
    // A user name's answer is final.
    // Held by `rule_2_takes_the_row_of_user_and_client`: `&& !rows.rows(Criterion::UserName(name))?.is_empty()`.
    if let Some(name) = query.user_name() {
        return match query.client_id() {
            // A token of another store finds its user by the client too.
            // Held by `copying_keeps_rows_that_rules_would_merge`: `if false &&` instead of `if`.
            client if query.is_of_other_store(rows.origin()) => rows.row_of_user_and_client(name, client),
            Some(client) => of_user_and_client(rows, name, client),
            None => only(rows.rows(Criterion::UserName(name))?),
        };
    }
    // A token of another store is found by nothing else.
    // Held by `copying_keeps_rows_that_rules_would_merge`.
    if query.is_of_other_store(rows.origin()) {
        return Ok(None);
    }
    match (query.access_token(), query.client_id(), query.client_secret()) {
        // Held by `rule_3_takes_the_earliest_row_of_an_access_token`, `rule_4_takes_the_earliest_row_of_that_client`:
        // `..` instead of `None, None`.
        (Some(access_token), None, None) => Ok(rows.rows(Criterion::AccessToken(access_token))?.into_iter().next()),
        (_, Some(client), _) => {
            let mut of_client = |criterion: Option<Criterion<'_>>| -> Result<Found<R::Place>> {
                let Some(criterion) = criterion else { return Ok(None) };
                // Held by `rule_4_takes_the_earliest_row_of_that_client`: `.next()` instead of `.find`.
                Ok(rows.rows(criterion)?.into_iter().find(|(_, row)| row.client_id() == Some(client)))
            };
            let by_grant = of_client(query.grant_token().map(Criterion::GrantToken))?;
            let by_refresh = of_client(query.refresh_token().map(Criterion::RefreshToken))?;
            // Held by `rule_4_takes_the_earliest_row_of_that_client`: `.next()` instead of `.min_by`.
            Ok([by_grant, by_refresh].into_iter().flatten().min_by(|(one, _), (other, _)| one.cmp(other)))
        }
        _ => Ok(None),
    }
}

fn by_id<R: Rows + ?Sized>(rows: &mut R, id: &TokenId) -> Result<Option<(R::Place, Token)>> {
    Ok(rows.rows(Criterion::Id(id))?.into_iter().next())
}

/// Refuses a row that belongs to another client than the one that the token names.
fn check_client(token: &Token, row: &Token) -> Result<()> {
    let is_other = match (token.client_id(), row.client_id()) {
        // A token without a client id names no other client.
        // Held by `rule_1_refuses_another_client`: `row.client_id().is_some()`.
        (None, _) => false,
        // Held by `rule_1_refuses_another_client`: `false`.
        (Some(client), Some(row_client)) => client != row_client,
        // A client secret without a client id is another client.
        // Held by `rule_1_refuses_another_client`: `false`.
        (Some(_), None) => row.client_secret().is_some(),
    };
    match row.id() {
        Some(id) if is_other => Err(Error::OtherClient { id: id.clone() }),
        _ => Ok(()),
    }
}

/// The row of that user and client; else the user's row without a client, which adopts it.
fn of_user_and_client<R: Rows + ?Sized>(rows: &mut R, name: &str, client: &str) -> Result<Found<R::Place>> {
    // The client's own row comes before one that adopts it.
    // Held by `rule_2_takes_the_row_of_user_and_client`, `rule_2_lets_a_row_without_client_adopt_one`: `None`.
    let own = rows.row_of_user_and_client(name, Some(client))?;
    if own.is_some() {
        return Ok(own);
    }
    let without_client = rows.row_of_user_and_client(name, None)?;
    // A row with a client secret adopts no client.
    // Held by `rule_2_lets_a_row_without_client_adopt_one`: `Ok(without_client)`.
    Ok(without_client.filter(|(_, row)| row.client_secret().is_none()))
}

/// The only row of a user.
fn only<P>(of_user: Vec<(P, Token)>) -> Result<Found<P>> {
    match of_user.len() {
        0 | 1 => Ok(of_user.into_iter().next()),
        // Held by `rule_2_without_client_takes_the_only_row`: `Ok(of_user.into_iter().next())`.
        count => Err(Error::Ambiguous { count }),
    }
}

/// The answer of `find_token`: the row that the query means, with the fields that the query sets laid over it. It
/// carries the row's revision only if that changed nothing.
///
/// # Errors
///
/// Those of [`select`].
pub fn find<R: Rows + ?Sized>(rows: &mut R, query: &Token) -> Result<Option<Token>> {
    let Some((_, row)) = select(rows, query)? else { return Ok(None) };
    let merged = merge(&row, query);
    // Held by `a_find_that_changes_something_carries_no_revision`: `Ok(Some(merged))`.
    Ok(Some(if merged == row { row } else { merged.without_revision() }))
}

/// The answer of `find_stored`: the row that the query means, as it is stored.
///
/// # Errors
///
/// Those of [`select`].
pub fn find_stored<R: Rows + ?Sized>(rows: &mut R, query: &Token) -> Result<Option<Token>> {
    Ok(select(rows, query)?.map(|(_, row)| row))
}

/// What `save_token` writes: the token merged into the row that it means, or a new row. `new_id` is called for the id
/// of a new row whose token has none; it must return an id that was never in the store before.
///
/// # Errors
///
/// [`Error::Conflict`] if the token carries a revision of this store and the row has another one by now,
/// [`Error::NoSuchToken`] if that row is gone, [`Error::Unstorable`] or [`Error::TooLarge`] if the result cannot be
/// stored, and the errors of [`select`] and `new_id`.
pub fn save<R: Rows + ?Sized>(
    rows: &mut R,
    token: &Token,
    now: SystemTime,
    new_id: impl FnOnce() -> Result<TokenId>,
) -> Result<RowWrite<R::Place>> {
    let found = match token.revision_in(rows.origin()) {
        // Held by `a_save_over_a_revision_brings_no_row_back`:
        // `if by_id(rows, token.id().unwrap_or(&"".into()))?.is_some() =>` instead of `=>`.
        Some(revision) => {
            let (place, row) = of_revision(rows, token.id(), revision)?;
            // Held by `a_save_over_a_revision_cannot_change_the_client`.
            check_client(token, &row)?;
            Some((place, row))
        }
        // Together with `a_save_over_a_revision_brings_no_row_back`: `_` instead of `None`.
        None => select(rows, token)?,
    };
    match found {
        Some((place, row)) => {
            let merged = merge(&row, token);
            row_write(rows, Some(place), &merged, row.fields(), now)
        }
        None => {
            // Before an id is used up for it.
            // Held by `a_save_that_is_refused_asks_for_no_id`.
            token.check_storable()?;
            let id = token.id().map_or_else(new_id, |id| Ok(id.clone()))?;
            row_write(rows, None, token, &Fields { id: Some(id), ..Fields::default() }, now)
        }
    }
}

/// What `replace_token` writes: the token in place of the row of its id. What the token leaves unset is cleared.
///
/// # Errors
///
/// [`Error::NoSuchToken`] if no row has its id, [`Error::Conflict`] if the token carries a revision of this store and
/// the row has another one by now, [`Error::Unstorable`] or [`Error::TooLarge`] if it cannot be stored, and the errors
/// of [`Rows::rows`].
pub fn replace<R: Rows + ?Sized>(rows: &mut R, token: &Token, now: SystemTime) -> Result<RowWrite<R::Place>> {
    let (place, row) = match token.revision_in(rows.origin()) {
        Some(revision) => of_revision(rows, token.id(), revision)?,
        None => token.id().map(|id| by_id(rows, id)).transpose()?.flatten().ok_or(Error::NoSuchToken)?,
    };
    // A replacement follows its tokens, too.
    // Held by `another_access_token_has_its_own_time_of_receipt`, `another_refresh_token_has_its_own_expiry`:
    // `token.clone()`.
    let settled = settle(row.fields(), token.fields(), token.fields().clone()).into();
    row_write(rows, Some(place), &settled, row.fields(), now)
}

/// The place of the row that `delete_token_if` deletes; `None` if no row has that id.
///
/// # Errors
///
/// [`Error::Conflict`] if the row has another revision, and the errors of [`Rows::rows`].
pub fn delete_if<R: Rows + ?Sized>(rows: &mut R, id: &TokenId, revision: u64) -> Result<Option<R::Place>> {
    match of_revision(rows, Some(id), revision) {
        Ok((place, _)) => Ok(Some(place)),
        Err(Error::NoSuchToken) => Ok(None),
        Err(error) => Err(error),
    }
}

fn of_revision<R: Rows + ?Sized>(rows: &mut R, id: Option<&TokenId>, revision: u64) -> Result<(R::Place, Token)> {
    let found = id.map(|id| by_id(rows, id)).transpose()?.flatten();
    let (place, row) = found.ok_or(Error::NoSuchToken)?;
    let current = row.revision().unwrap_or_default();
    // Held by `a_save_over_a_revision_means_that_revision_only`, `a_replacement_of_another_revision_is_a_conflict`,
    // `a_delete_of_another_revision_is_a_conflict`: `true`.
    if current == revision { Ok((place, row)) } else { Err(Error::Conflict { current }) }
}

/// The row to write: the token's own fields, with the id, the age and the next revision of the row it follows.
fn row_write<R: Rows + ?Sized>(
    rows: &mut R,
    place: Option<R::Place>,
    token: &Token,
    before: &Fields,
    now: SystemTime,
) -> Result<RowWrite<R::Place>> {
    let (origin, now) = (rows.origin(), now.into());
    let (created_at, revision) = before.stored.map_or((now, 0), |stored| (stored.created_at, stored.revision));
    let stored = Stored { origin, created_at, updated_at: now, revision: revision.saturating_add(1) };
    let token: Token = Fields { id: before.id.clone(), stored: Some(stored), ..token.fields().clone() }.into();

    token.check_storable()?;
    if let Some(name) = token.user_name() {
        // A user may have several clients.
        let taken = rows.row_of_user_and_client(name, token.client_id())?;
        // A row is not in its own way.
        // Held by `user_and_client_are_unique`.
        // Held by `user_and_client_are_unique`: `taken.is_some()`.
        if taken.is_some_and(|(other, _)| place.as_ref() != Some(&other)) {
            return Err(Error::Unstorable { why: Unstorable::UserAndClientTaken });
        }
    }
    Ok(RowWrite { place, token })
}

#[cfg(test)]
mod tests;
