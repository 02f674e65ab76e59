//! Sealed rows of an application's own store, and blind indexes to find them by.

use super::Vault;
use crate::{
    codec,
    error::{Error, FileFlaw, Result, RowFlaw, Unstorable},
    id::{Origin, TokenId},
    matching::Criterion,
    namespaces::check_name,
    seal::{self, Indexer, RowContext},
    secret::{Secret, leaving_no_trace},
    token::Token,
};

/// The table that rows are in, and the namespace of its tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct RowTable<'a> {
    /// The id of the table: 16 random bytes, drawn when the table is created and stored with it. It tells two tables
    /// under one store key apart, but not a copy of a table from the table.
    pub id: [u8; 16],
    /// The namespace, at most 256 bytes; empty for the default one.
    pub namespace: &'a str,
}

/// A sealed row, as a database keeps it: every field in a column of its own.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SealedRow {
    /// Where the row stands among the others: rows first saved earlier have lower places. The application chooses it.
    pub place: u64,
    /// The revision of the token.
    pub revision: u64,
    /// The values that the row is found by.
    pub columns: BlindIndexes,
    /// The sealed token.
    pub bytes: Vec<u8>,
}

/// A value by which a database finds rows without seeing what they hold: HMAC-SHA-256 under a key of its own.
///
/// Equal values have equal blind indexes, which anybody who reads the database sees. Store all 32 bytes.
pub type BlindIndex = [u8; 32];

/// The blind indexes of a token. Those of values that the token lacks are `None`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlindIndexes {
    /// The namespace: every row of a namespace has the same.
    pub namespace: BlindIndex,
    /// The id.
    pub id: BlindIndex,
    /// The user name. Several tokens may have it.
    pub user_name: Option<BlindIndex>,
    /// User name and client id together, also where the client id is missing: a unique column.
    pub user_and_client: Option<BlindIndex>,
    /// The access token.
    pub access_token: Option<BlindIndex>,
    /// The grant token.
    pub grant_token: Option<BlindIndex>,
    /// The refresh token.
    pub refresh_token: Option<BlindIndex>,
}

/// What a blind index is made of.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum IndexedValue<'a> {
    /// The namespace itself.
    Namespace,
    /// An id.
    Id(&'a TokenId),
    /// A user name.
    UserName(&'a str),
    /// A user name with a client id, or without one.
    UserAndClient(&'a str, Option<&'a str>),
    /// An access token.
    AccessToken(&'a Secret),
    /// A grant token.
    GrantToken(&'a Secret),
    /// A refresh token.
    RefreshToken(&'a Secret),
}

impl IndexedValue<'_> {
    fn index(self, indexer: &Indexer, namespace: &str) -> BlindIndex {
        let (kind, text, client) = match self {
            Self::Id(id) => (1, id.as_str(), None),
            Self::UserName(name) => (2, name, None),
            Self::UserAndClient(name, client) => (3, name, Some(client)),
            Self::AccessToken(token) => (4, token.expose_secret(), None),
            Self::GrantToken(token) => (5, token.expose_secret(), None),
            Self::RefreshToken(token) => (6, token.expose_secret(), None),
            Self::Namespace => (7, "", None),
        };
        indexer.index(kind, namespace, text, client)
    }
}

/// What a store is asked for by [`matching`](crate::matching).
impl<'a> From<Criterion<'a>> for IndexedValue<'a> {
    fn from(criterion: Criterion<'a>) -> Self {
        match criterion {
            Criterion::Id(id) => Self::Id(id),
            Criterion::UserName(name) => Self::UserName(name),
            Criterion::AccessToken(token) => Self::AccessToken(token),
            Criterion::GrantToken(token) => Self::GrantToken(token),
            Criterion::RefreshToken(token) => Self::RefreshToken(token),
        }
    }
}

impl BlindIndexes {
    /// The column that a row is found in by the criterion.
    #[must_use]
    pub fn get(&self, criterion: Criterion<'_>) -> Option<BlindIndex> {
        match criterion {
            Criterion::Id(_) => Some(self.id),
            Criterion::UserName(_) => self.user_name,
            Criterion::AccessToken(_) => self.access_token,
            Criterion::GrantToken(_) => self.grant_token,
            Criterion::RefreshToken(_) => self.refresh_token,
        }
    }

    /// Those of the token, in the order of their kinds.
    fn of_token(self) -> [Option<BlindIndex>; 6] {
        let Self { namespace: _, id, user_name, user_and_client, access_token, grant_token, refresh_token } = self;
        [Some(id), user_name, user_and_client, access_token, grant_token, refresh_token]
    }
}

/// # Sealed rows
///
/// ```
/// use tokenkeep::{Passphrase, Token, Unlock, matching, vault::{RowTable, Vault}};
/// # use std::time::SystemTime;
/// # let unlock = Unlock::from(Passphrase::new("correct horse").kdf(tokenkeep::KdfParams::MIN));
/// # let (vault, _) = Vault::create("accounts", &unlock)?.written();
/// let table = RowTable { id: *b"16 random bytes.", namespace: "" };
/// let token = Token::builder().id("1").user_name("ada").refresh_token("secret");
/// let token = token.stored(vault.row_origin(table), SystemTime::now(), SystemTime::now(), 1).build();
///
/// let row = vault.seal_row(table, 0, &token)?;
/// assert_eq!(vault.open_row(table, &row)?.refresh_token(), Some(&"secret".into()));
///
/// let moved = tokenkeep::vault::SealedRow { place: 1, ..row };
/// assert!(vault.open_row(table, &moved).is_err());
/// # Ok::<(), tokenkeep::Error>(())
/// ```
impl Vault {
    /// Seals a token, with its id and revision, under a key that is used for this one version of the row. The result
    /// is bound to the store, the table, the namespace, the place, the revision and the columns.
    ///
    /// # Errors
    ///
    /// [`Unstorable`](Error::Unstorable) for a token without an id or without a revision of at least 1;
    /// [`TooLarge`](Error::TooLarge) for a token that no store keeps or a namespace that is too long;
    /// [`Random`](Error::Random).
    pub fn seal_row(&self, table: RowTable<'_>, place: u64, token: &Token) -> Result<SealedRow> {
        leaving_no_trace(|| self.seal(table, place, token))
    }

    fn seal(&self, table: RowTable<'_>, place: u64, token: &Token) -> Result<SealedRow> {
        let (Some(id), Some(revision @ 1..)) = (token.id(), token.revision()) else {
            return Err(Error::Unstorable { why: Unstorable::NeverStored });
        };
        // Held by `only_stored_tokens_within_the_limits_are_sealed`.
        token.check_storable()?;
        let columns = self.blind_indexes(table.namespace, id, token)?;
        let plaintext = codec::encode_row(table.namespace, token)?;
        let context = self.context(&table.id, place, revision, columns);
        Ok(SealedRow { place, revision, columns, bytes: seal::seal_row(self.store_key(), &context, plaintext)? })
    }

    /// The token of a row, once the row is seen to be what was sealed for that place of that table.
    ///
    /// # Errors
    ///
    /// [`BadRow`](Error::BadRow) with the reason: [`OtherKey`](RowFlaw::OtherKey) also after a rekeying.
    /// [`TooLarge`](Error::TooLarge) for a namespace that is too long.
    pub fn open_row(&self, table: RowTable<'_>, row: &SealedRow) -> Result<Token> {
        check_name(table.namespace)?;
        let (namespace, token) = self.open_row_of_any_namespace(table.id, row)?;
        // Held by `row_opens_without_its_namespace_and_names_it`.
        if *namespace != *table.namespace {
            return Err(Error::BadRow { name: self.name.clone(), place: row.place, flaw: RowFlaw::Tampered });
        }
        Ok(token)
    }

    /// The token of a row and its namespace, for a caller that reads the rows of all namespaces: to seal them again
    /// after a [`rekey`](Self::rekey), or to list the namespaces.
    ///
    /// # Errors
    ///
    /// [`BadRow`](Error::BadRow), as for [`open_row`](Self::open_row).
    pub fn open_row_of_any_namespace(&self, table_id: [u8; 16], row: &SealedRow) -> Result<(Box<str>, Token)> {
        leaving_no_trace(|| self.open_sealed(table_id, row))
    }

    fn open_sealed(&self, table_id: [u8; 16], row: &SealedRow) -> Result<(Box<str>, Token)> {
        let bad = |flaw| Error::BadRow { name: self.name.clone(), place: row.place, flaw };
        let malformed = |flaw| match flaw {
            FileFlaw::Malformed(rule) => bad(RowFlaw::Malformed(rule)),
            _ => Error::internal("a row has the flaw of a file"),
        };
        let key_id = seal::row_key_id(&row.bytes);
        let key_id = key_id.ok_or_else(|| malformed(FileFlaw::malformed("it is no row of a known version")))?;
        // Held by `row_of_another_store_key_is_no_changed_row`.
        if key_id != self.table.key_id {
            return Err(bad(RowFlaw::OtherKey));
        }
        let context = self.context(&table_id, row.place, row.revision, row.columns);
        let plaintext = seal::open_row(self.store_key(), &context, &row.bytes)?;
        let plaintext = plaintext.ok_or_else(|| bad(RowFlaw::Tampered))?;
        let origin = |namespace: &str| self.row_origin(RowTable { id: table_id, namespace });
        let (namespace, token) = codec::decode_row(&plaintext, origin).map_err(malformed)?;
        let id = token.id().ok_or_else(|| Error::internal("a row without an id"))?;
        // Held by `columns_that_are_not_those_of_the_token_are_malformed`.
        if token.revision() != Some(row.revision) {
            return Err(malformed(FileFlaw::malformed("its revision is not that of its token")));
        }
        // Held by `columns_that_are_not_those_of_the_token_are_malformed`.
        if self.blind_indexes(&namespace, id, &token)? != row.columns {
            return Err(malformed(FileFlaw::malformed("its columns are not those of its token")));
        }
        Ok((namespace, token))
    }

    /// The blind index of a value in a namespace. After a rekeying by another process it finds nothing, and reports no
    /// error: see the [module](crate::vault).
    ///
    /// # Errors
    ///
    /// [`TooLarge`](Error::TooLarge) for a namespace that is too long.
    pub fn blind_index(&self, namespace: &str, value: IndexedValue<'_>) -> Result<BlindIndex> {
        check_name(namespace)?;
        // Held by `a_vault_leaves_nothing`: `Ok(value.index(&self.index_key.indexer(), namespace))`.
        Ok(leaving_no_trace(|| value.index(&self.index_key.indexer(), namespace)))
    }

    /// The store that revisions of a table's tokens count in, for [`matching::Rows`](crate::matching::Rows).
    #[must_use]
    pub fn row_origin(&self, table: RowTable<'_>) -> Origin {
        Origin::of(("rows", self.table.store_id, table))
    }

    fn blind_indexes(&self, namespace: &str, id: &TokenId, token: &Token) -> Result<BlindIndexes> {
        check_name(namespace)?;
        Ok(leaving_no_trace(|| {
            let indexer = self.index_key.indexer();
            let index = |value: IndexedValue<'_>| value.index(&indexer, namespace);
            let user_name = token.user_name();
            BlindIndexes {
                namespace: index(IndexedValue::Namespace),
                id: index(IndexedValue::Id(id)),
                user_name: user_name.map(IndexedValue::UserName).map(index),
                user_and_client: user_name.map(|name| index(IndexedValue::UserAndClient(name, token.client_id()))),
                access_token: token.access_token().map(IndexedValue::AccessToken).map(index),
                grant_token: token.grant_token().map(IndexedValue::GrantToken).map(index),
                refresh_token: token.refresh_token().map(IndexedValue::RefreshToken).map(index),
            }
        }))
    }

    fn context<'c>(
        &'c self,
        table_id: &'c [u8; 16],
        place: u64,
        revision: u64,
        columns: BlindIndexes,
    ) -> RowContext<'c> {
        let (store_id, namespace, columns) = (&self.table.store_id, columns.namespace, columns.of_token());
        RowContext { store_id, table_id, place, revision, namespace, columns }
    }
}

#[cfg(test)]
mod tests;
