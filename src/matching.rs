//! What save and find mean: which stored token is the one, and what becomes of it.
//!
//! The rules are those of the Zoho CRM SDK's `TokenStore`, made whole. The first of these that applies decides alone:
//!
//! 1. the token names an `id` that is stored: that row (an id that is not stored: go on);
//! 2. it has a `user_name`: the row with that user name;
//! 3. it has an `access_token` and neither `client_id` nor `client_secret`: the earliest row with that access token;
//! 4. it has a `client_id`, a `client_secret`, and a `grant_token` or a `refresh_token`: the earliest row that has that
//!    grant token or that refresh token;
//! 5. otherwise none.
//!
//! So a public client, which has no secret, needs a `user_name` or an `id`, or each of its saves adds a row.
//!
//! Every store of this crate stands on this module, and a store of your own can: it says what [`Rows`] asks, and
//! [`find`], [`save`] and [`replace`] decide. In this one the rows are a `Vec`, and a place is a position in it:
//!
//! ```
//! use std::time::SystemTime;
//! use tokenkeep::{Result, Token, TokenId, matching};
//!
//! struct Shelf(Vec<Token>);
//!
//! impl matching::Rows for Shelf {
//!     type Place = usize;
//!
//!     fn earliest(&self, criterion: matching::Criterion<'_>) -> Result<Option<(usize, Token)>> {
//!         Ok(self.0.iter().cloned().enumerate().find(|(_, row)| criterion.matches(row)))
//!     }
//! }
//!
//! let mut shelf = Shelf(vec![]);
//! let token = Token::builder().user_name("ada").access_token("a1").build();
//! let saved = matching::save(&shelf, &token, SystemTime::now(), || Ok(TokenId::from("1")))?;
//! assert_eq!(saved.place, None); // a new row
//! shelf.0.push(saved.token);
//!
//! let refreshed = Token::builder().user_name("ada").access_token("a2").build();
//! let saved = matching::save(&shelf, &refreshed, SystemTime::now(), || Ok(TokenId::from("2")))?;
//! assert_eq!(saved.place, Some(0)); // the same row, which keeps its id
//! assert_eq!(saved.token.id(), Some(&TokenId::from("1")));
//!
//! let query = Token::builder().user_name("grace").build();
//! assert!(matching::find(&shelf, &query)?.is_none());
//! # Ok::<(), tokenkeep::Error>(())
//! ```

use std::time::SystemTime;

use crate::{
    error::{Error, Result, Unstorable},
    id::TokenId,
    secret::Secret,
    token::{Fields, Stored, Token},
};

/// What the rules ask of the stored rows.
pub trait Rows {
    /// Where a row stands. A row that was first saved earlier compares less.
    type Place: Ord;

    /// The earliest row that the criterion [matches](Criterion::matches), and its place.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn earliest(&self, criterion: Criterion<'_>) -> Result<Option<(Self::Place, Token)>>;
}

/// One field with one value: what rows are looked up by. In a database each is a column with an index.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum Criterion<'a> {
    /// The row of that id. At most one.
    Id(&'a TokenId),
    /// The row of that user name. At most one.
    UserName(&'a str),
    /// Rows with that access token.
    AccessToken(&'a Secret),
    /// Rows with that grant token.
    GrantToken(&'a Secret),
    /// Rows with that refresh token.
    RefreshToken(&'a Secret),
}

impl Criterion<'_> {
    /// Whether the row has that value in that field.
    #[must_use]
    pub fn matches(self, row: &Token) -> bool {
        match self {
            Self::Id(id) => row.id() == Some(id),
            Self::UserName(name) => row.user_name() == Some(name),
            Self::AccessToken(token) => row.access_token() == Some(token),
            Self::GrantToken(token) => row.grant_token() == Some(token),
            Self::RefreshToken(token) => row.refresh_token() == Some(token),
        }
    }
}

/// A row as it is to be written.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Write<P> {
    /// The row that it takes the place of; `None`: a new row, after all others.
    pub place: Option<P>,
    /// The row, with its id and all that a store sets.
    pub token: Token,
}

/// The stored row that the query means, if any, and its place.
///
/// # Errors
///
/// Those of [`Rows::earliest`].
pub fn select<R: Rows>(rows: &R, query: &Token) -> Result<Option<(R::Place, Token)>> {
    let earliest = |criterion: Option<_>| criterion.map_or(Ok(None), |criterion| rows.earliest(criterion));

    let by_id = earliest(query.id().map(Criterion::Id))?;
    if by_id.is_some() {
        return Ok(by_id);
    }
    if let Some(name) = query.user_name() {
        return rows.earliest(Criterion::UserName(name));
    }
    match (query.access_token(), query.client_id(), query.client_secret()) {
        (Some(access_token), None, None) => rows.earliest(Criterion::AccessToken(access_token)),
        (_, Some(_), Some(_)) => {
            let by_grant = earliest(query.grant_token().map(Criterion::GrantToken))?;
            let by_refresh = earliest(query.refresh_token().map(Criterion::RefreshToken))?;
            Ok([by_grant, by_refresh].into_iter().flatten().min_by(|(one, _), (other, _)| one.cmp(other)))
        }
        _ => Ok(None),
    }
}

/// The answer of `find_token`: the row that the query means, with the query's own set fields laid over it.
///
/// # Errors
///
/// Those of [`Rows::earliest`].
pub fn find<R: Rows>(rows: &R, query: &Token) -> Result<Option<Token>> {
    Ok(select(rows, query)?.map(|(_, row)| overlay(&row, query)))
}

/// The answer of `find_stored`: the row that the query means, as it is stored.
///
/// # Errors
///
/// Those of [`Rows::earliest`].
pub fn find_stored<R: Rows>(rows: &R, query: &Token) -> Result<Option<Token>> {
    Ok(select(rows, query)?.map(|(_, row)| row))
}

/// What `save_token` writes: the token merged into the row that it means, or a new row. `new_id` is asked for the id of
/// a new row whose token has none; it must give one that was never in the store before.
///
/// # Errors
///
/// [`Error::Unstorable`] or [`Error::TooLarge`] if the outcome cannot be stored, and those of [`Rows::earliest`] and
/// `new_id`.
pub fn save<R: Rows>(
    rows: &R,
    token: &Token,
    now: SystemTime,
    new_id: impl FnOnce() -> Result<TokenId>,
) -> Result<Write<R::Place>> {
    match select(rows, token)? {
        Some((place, row)) => {
            let merged = overlay(&row, token);
            write(rows, Some(place), &merged, row.fields(), now)
        }
        None => {
            // Before an id is used up for it.
            token.check_storable()?;
            let id = token.id().map_or_else(new_id, |id| Ok(id.clone()))?;
            write(rows, None, token, &Fields { id: Some(id), ..Fields::default() }, now)
        }
    }
}

/// What `replace_token` writes: the token in place of the row of its id; what it leaves unset is cleared.
///
/// A token that was read from the store carries its revision, and replaces that revision only.
///
/// # Errors
///
/// [`Error::NoSuchToken`] if no row has its id, [`Error::Conflict`] if the row was changed since the token was read,
/// [`Error::Unstorable`] or [`Error::TooLarge`] if it cannot be stored, and those of [`Rows::earliest`].
pub fn replace<R: Rows>(rows: &R, token: &Token, now: SystemTime) -> Result<Write<R::Place>> {
    let id = token.id().ok_or(Error::NoSuchToken)?;
    let (place, row) = rows.earliest(Criterion::Id(id))?.ok_or(Error::NoSuchToken)?;
    let current = row.revision().unwrap_or_default();
    if token.revision().is_some_and(|read| read != current) {
        return Err(Error::Conflict { current });
    }
    write(rows, Some(place), token, row.fields(), now)
}

/// The row with the set fields of another token laid over it. Scopes are one field; attributes are laid over name by
/// name; the id and what a store sets are always the row's.
fn overlay(row: &Token, over: &Token) -> Token {
    let (mut fields, over) = (row.fields().clone(), over.fields());
    macro_rules! lay_over {
        ($($field:ident)+) => {$(
            if over.$field.is_some() {
                fields.$field.clone_from(&over.$field);
            }
        )+};
    }
    lay_over!(user_name client_id client_secret refresh_token access_token grant_token id_token);
    lay_over!(expires_at redirect_url api_domain token_type);
    if !over.scopes.is_empty() {
        fields.scopes.clone_from(&over.scopes);
    }
    fields.attributes.extend(over.attributes.iter().map(|(name, value)| (name.clone(), value.clone())));
    fields.into()
}

/// The row to write: the token's own fields, with the id, the age and the next revision of the row it follows.
fn write<R: Rows>(
    rows: &R,
    place: Option<R::Place>,
    token: &Token,
    before: &Fields,
    now: SystemTime,
) -> Result<Write<R::Place>> {
    let now = now.into();
    let stored = before.stored.map_or(Stored { created_at: now, updated_at: now, revision: 1 }, |stored| Stored {
        created_at: stored.created_at,
        updated_at: now,
        revision: stored.revision.saturating_add(1),
    });
    let token: Token = Fields { id: before.id.clone(), stored: Some(stored), ..token.fields().clone() }.into();

    token.check_storable()?;
    if let Some(name) = token.user_name()
        && let Some((named, _)) = rows.earliest(Criterion::UserName(name))?
        && place.as_ref() != Some(&named)
    {
        return Err(Error::Unstorable { why: Unstorable::UserNameTaken });
    }
    Ok(Write { place, token })
}

#[cfg(test)]
mod tests;
