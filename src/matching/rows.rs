//! What the rules ask of a store: rows, by one field.

use std::fmt;

use crate::{
    error::Result,
    id::{Origin, TokenId},
    secret::Secret,
    token::Token,
};

/// What the rules ask about the stored rows. The trait is object safe.
pub trait Rows {
    /// Where a row stands. A row that was first saved earlier compares less.
    type Place: Ord;

    /// The store that the rows are in, as its tokens carry it ([`TokenBuilder::stored`](crate::TokenBuilder::stored)).
    fn origin(&self) -> Origin;

    /// All rows that the criterion [matches](Criterion::matches), each with its place, the earliest first. There is
    /// rarely more than one.
    ///
    /// # Errors
    ///
    /// The store's own errors.
    fn rows(&mut self, criterion: Criterion<'_>) -> Result<Vec<(Self::Place, Token)>>;

    /// The row of that user name and client id, where a missing client id counts as a value. At most one.
    ///
    /// A store with a unique index of both finds it there. Others need not implement it.
    ///
    /// # Errors
    ///
    /// Those of [`rows`](Self::rows).
    fn row_of_user_and_client(&mut self, name: &str, client: Option<&str>) -> Result<Option<(Self::Place, Token)>> {
        // Held by `rule_2_lets_a_row_without_client_adopt_one`: `|_| true` instead of `|(_, row)| row.client_id() ==
        // client`.
        Ok(self.rows(Criterion::UserName(name))?.into_iter().find(|(_, row)| row.client_id() == client))
    }
}

/// One field with one value, by which rows are looked up. In a database each field is a column with an index. A store
/// has to answer each of them.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Criterion<'a> {
    /// The row of that id. At most one.
    Id(&'a TokenId),
    /// The rows of that user name: one for each client.
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

/// The field. The value is a secret, a user name, or not worth showing without the rest.
impl fmt::Debug for Criterion<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Id(_) => "Id(***)",
            Self::UserName(_) => "UserName(***)",
            Self::AccessToken(_) => "AccessToken(***)",
            Self::GrantToken(_) => "GrantToken(***)",
            Self::RefreshToken(_) => "RefreshToken(***)",
        })
    }
}
