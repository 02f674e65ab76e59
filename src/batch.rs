//! The rows of an import. A store of this crate saves them as one change.

use std::{
    collections::{HashMap, hash_map::Entry},
    path::Path,
    sync::Arc,
};

use crate::{
    error::{Error, ImportColumn, ImportFlaw, Part, Result},
    id::TokenId,
    token::Token,
};

/// What becomes of a row of the file that cannot be stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum BadRows {
    /// The import fails, and stores nothing.
    #[default]
    Refuse,
    /// The row is left out and reported.
    Skip,
}

/// What becomes of a row of the file whose token is stored already.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub enum StoredTokens {
    /// The stored token stays as it is, and the row is reported.
    #[default]
    Keep,
    /// The row is merged into the stored token, as a save does it.
    Overwrite,
}

/// The rows of a file, and what becomes of those that cannot simply be added. Cheap to clone.
#[derive(Clone)]
pub struct Batch {
    pub(crate) path: Arc<Path>,
    pub(crate) rows: Arc<[Row]>,
    pub(crate) bad_rows: BadRows,
    pub(crate) stored_tokens: StoredTokens,
}

/// A row of the file.
pub(crate) struct Row {
    /// Where it starts.
    pub(crate) line: u64,
    pub(crate) token: Token,
}

/// A row, and what became of it.
pub struct Saved {
    pub(crate) line: u64,
    pub(crate) outcome: Outcome,
}

pub(crate) enum Outcome {
    Added(TokenId),
    Overwritten(TokenId),
    Kept(TokenId),
    Skipped(Refusal),
}

/// Why a row cannot be stored.
#[derive(Clone, Copy)]
pub(crate) struct Refusal {
    pub(crate) column: Option<ImportColumn>,
    pub(crate) why: ImportFlaw,
}

/// Where a batch is saved.
pub(crate) trait Target {
    /// See [`TokenStore::find_stored`](crate::TokenStore::find_stored).
    fn find_stored(&mut self, query: &Token) -> Result<Option<Token>>;
    /// Saves a row, which means the stored token that is given, or none.
    fn save(&mut self, row: &Row, before: Option<&Token>) -> Result<TokenId>;
}

/// What is to be done with a row.
enum Decision {
    Add,
    Overwrite(Token),
    Keep(TokenId),
    Skip(Refusal),
}

impl Batch {
    /// Saves the rows. Decides about each of them before the first is saved. After an error some may be saved.
    pub(crate) fn save_into(&self, target: &mut dyn Target) -> Result<Vec<Saved>> {
        let mut meant = HashMap::new();
        let decide = |row| Ok((row, self.decide(row, target, &mut meant)?));
        let decided: Vec<(&Row, Decision)> = self.rows.iter().map(decide).collect::<Result<_>>()?;

        let save = |(row, decision): (&Row, Decision)| {
            let saved = match decision {
                Decision::Add => target.save(row, None).map(Outcome::Added),
                Decision::Overwrite(before) => target.save(row, Some(&before)).map(Outcome::Overwritten),
                Decision::Keep(id) => Ok(Outcome::Kept(id)),
                Decision::Skip(refusal) => Ok(Outcome::Skipped(refusal)),
            };
            let outcome = saved.or_else(|error| self.skip(row, error).map(Outcome::Skipped))?;
            Ok(Saved { line: row.line, outcome })
        };
        decided.into_iter().map(save).collect()
    }

    /// What is to be done with a row. `meant` has the stored tokens that earlier rows mean, with the lines of these.
    fn decide(&self, row: &Row, target: &mut dyn Target, meant: &mut HashMap<TokenId, u64>) -> Result<Decision> {
        let stored = match target.find_stored(&row.token) {
            Ok(Some(stored)) => stored,
            Ok(None) => return Ok(Decision::Add),
            Err(error) => return self.skip(row, error).map(Decision::Skip),
        };
        let id = stored.id().cloned().ok_or(Error::internal("a stored token has no id"))?;
        // Small numbers are ids in both: by its id alone, a row would be mixed with a token of somebody else.
        if row.token.id() == Some(&id) && row.token.user_name() != stored.user_name() {
            return self.refuse(row, Refusal::ID_TAKEN).map(Decision::Skip);
        }
        match meant.entry(id) {
            Entry::Occupied(other) => {
                let why = ImportFlaw::SameToken { line: *other.get() };
                self.refuse(row, Refusal { column: None, why }).map(Decision::Skip)
            }
            Entry::Vacant(first) => {
                let id = first.key().clone();
                first.insert(row.line);
                Ok(match self.stored_tokens {
                    StoredTokens::Keep => Decision::Keep(id),
                    StoredTokens::Overwrite => Decision::Overwrite(stored),
                })
            }
        }
    }

    fn skip(&self, row: &Row, error: Error) -> Result<Refusal> {
        self.refuse(row, Refusal::of(error)?)
    }

    /// The reason to skip a row, if bad rows are skipped.
    fn refuse(&self, row: &Row, refusal: Refusal) -> Result<Refusal> {
        match self.bad_rows {
            BadRows::Skip => Ok(refusal),
            BadRows::Refuse => Err(refusal.error(&self.path, Some(row.line))),
        }
    }
}

impl Refusal {
    pub(crate) const ID_TAKEN: Self = Self { column: Some(ImportColumn::Id), why: ImportFlaw::IdTaken };

    pub(crate) fn error(self, path: &Path, line: Option<u64>) -> Error {
        Error::Import { path: path.to_owned(), line, column: self.column, why: self.why }
    }

    /// The refusal that an error of a store means, if it is about the one row and not about the store.
    pub(crate) fn of(error: Error) -> Result<Self> {
        let (column, why) = match error {
            // This error shows the id, in which the Node SDK puts the user's name.
            Error::OtherClient { .. } => return Ok(Self::ID_TAKEN),
            Error::Ambiguous { count } => (Some(ImportColumn::ClientId), ImportFlaw::Ambiguous { count }),
            Error::Unstorable { why } => (None, ImportFlaw::Unstorable(why)),
            Error::TooLarge { part, size, limit } => (column_of(part), ImportFlaw::TooLarge { size, limit }),
            other => return Err(other),
        };
        Ok(Self { column, why })
    }
}

fn column_of(part: Part) -> Option<ImportColumn> {
    match part {
        Part::Id => Some(ImportColumn::Id),
        Part::UserName => Some(ImportColumn::UserName),
        Part::ClientId => Some(ImportColumn::ClientId),
        Part::ClientSecret => Some(ImportColumn::ClientSecret),
        Part::RefreshToken => Some(ImportColumn::RefreshToken),
        Part::AccessToken => Some(ImportColumn::AccessToken),
        Part::GrantToken => Some(ImportColumn::GrantToken),
        Part::RedirectUrl => Some(ImportColumn::RedirectUrl),
        Part::ApiDomain => Some(ImportColumn::ApiDomain),
        Part::Token
        | Part::IdToken
        | Part::TokenType
        | Part::Scope
        | Part::AttributeName
        | Part::AttributeValue
        | Part::Label
        | Part::Namespace => None,
    }
}
