//! Moving in from the plain-text token files and tables of the Zoho CRM SDKs (feature `import`).
//!
//! The SDKs' file stores keep tokens in a CSV file, unencrypted. [`import_zoho_csv`] reads such a file and saves its
//! tokens into a [`TokenStore`]. Stop the application that writes the file first: the SDKs truncate it in place, so a
//! file that is read during a save may have lost its last rows. [`ZohoTable`] takes the rows of a table in a database.
//!
//! ```
//! use tokenkeep::{MemoryStore, TokenStore, import::{ImportOptions, import_zoho_csv}};
//!
//! # let directory = tempfile::tempdir()?;
//! # let path = directory.path().join("tokens.csv");
//! std::fs::write(
//!     &path,
//!     "id,user_mail,client_id,client_secret,refresh_token,access_token,grant_token,expiry_time,redirect_url\r\n\
//!      1,ada@example.com,1000.A,secret,1000.refresh,1000.access,,1795000000000,https://app.example.com/cb?a=1,2\r\n",
//! )?;
//!
//! let store = MemoryStore::new(); // or a Keystore
//! let report = import_zoho_csv(&store, &path, &ImportOptions::new())?;
//! assert_eq!((report.added.len(), report.kept.len()), (1, 0));
//! let token = store.find_token_by_id(&report.added[0].id)?.unwrap();
//! assert_eq!(token.redirect_url(), Some("https://app.example.com/cb?a=1,2"));
//!
//! // A second import finds the token in the store and leaves it as it is there.
//! let report = import_zoho_csv(&store, &path, &ImportOptions::new())?;
//! assert_eq!((report.added.len(), report.kept.len()), (0, 1));
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! # Which files are read
//!
//! Files that the Python SDKs 2.1 and 8.0 and the Node SDK 2.1 wrote are tested. A file is UTF-8, with or without a
//! byte order mark. Lines end in LF, CR LF or CR CR LF, and blank lines are skipped.
//!
//! - The first line names the columns, in any order: `id`, `user_name` or `user_mail`, `client_id`, `client_secret`,
//!   `refresh_token`, `access_token`, `grant_token`, `expiry_time`, `redirect_url` or `redirect_uri`, `api_domain`. A
//!   missing column leaves the field unset. An unknown column is refused, because its contents would be lost.
//! - A row without an id gets one that the store chooses, after all rows with an id.
//! - The Node SDK writes commas of the redirect URL without quotes. If a row has more fields than the header, the
//!   surplus fields belong to the redirect URL, provided that the result starts as a URL.
//! - The expiry is a number of milliseconds since 1970: an integer, or a number with a decimal point or an exponent.
//!   Fractions of a millisecond are cut off. An empty field, `None` and `null` mean that it is unknown.
//! - A file has at most 16 MiB, unless [`ImportOptions::max_file_len`] says otherwise, and at most 100,000 rows. At
//!   most 100 rows have the same user name, or the same refresh, access or grant token.
//!
//! Ids are kept, so that the application finds its tokens by them. The Node SDK makes an id of the user's name and the
//! end of a token: do not log these ids. Nothing of this crate shows them but a token's own `Debug` and
//! [`Error::OtherClient`].
//!
//! # Which stored tokens change
//!
//! The file does not say when its rows were written, so the stored token always counts as the newer one. A row means
//! the stored token that a save of it would be merged into, by the rules of [`matching`](crate::matching). By default
//! that token is left as it is, and the report has the row under `kept`. With [`StoredTokens::Overwrite`] the row is
//! merged into it: what the row leaves unset stays.
//!
//! A row that has only a refresh token, and no id, user name or client id, means no stored token: a second import adds
//! it again.
//!
//! A row whose id is that of a stored token with another user name or client is refused. Two rows that mean one token
//! are refused too.
//!
//! # What a failed import leaves behind
//!
//! Nothing is saved before the whole file has been read and each row has been checked. A
//! [`Keystore`](crate::Keystore) and a [`MemoryStore`] save all rows as one change: other threads and
//! processes see all of them or none, and so does the next start after a crash.
//!
//! In any other store the rows are saved one by one. If the store fails in between, the rows that were saved are taken
//! back: a new token is deleted, and an overwritten one is replaced by what was stored before. If the store refuses
//! that too, the error is [`Error::ImportIncomplete`], which has the lines of the rows that may still be there. Not
//! promised: that other writers see nothing of it, that their changes to an overwritten token survive, and anything
//! after a crash.
//!
//! The file itself is only read. Delete it after the import.

mod csv;
mod fields;
mod one_by_one;
mod table;

use std::{collections::HashMap, fmt, path::Path, sync::Arc};

pub use table::ZohoTable;

pub use crate::batch::{BadRows, StoredTokens};
use crate::{
    batch::{Batch, Outcome, Refusal, Row, Saved},
    error::{self, Error, ImportColumn, ImportFlaw, Result},
    file::{Access, Os, StoreFile},
    id::TokenId,
    memory::MemoryStore,
    secret::{Secret, SecretBytes},
    store::TokenStore,
    token::Token,
};

/// How a file is imported, where the defaults do not fit.
///
/// ```
/// use tokenkeep::import::{BadRows, ImportOptions, StoredTokens};
///
/// let options = ImportOptions::new().bad_rows(BadRows::Skip).stored_tokens(StoredTokens::Overwrite);
/// # let _ = options;
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until a file is imported with them"]
pub struct ImportOptions {
    bad_rows: BadRows,
    stored_tokens: StoredTokens,
    max_file_len: u64,
}

impl ImportOptions {
    /// The defaults: a bad row fails the import, stored tokens stay as they are, a file has at most 16 MiB.
    pub fn new() -> Self {
        Self { bad_rows: BadRows::Refuse, stored_tokens: StoredTokens::Keep, max_file_len: 16 * 1024 * 1024 }
    }

    /// What becomes of rows that cannot be stored. A file that is not UTF-8, has a bad header or broken quotes is
    /// refused in any case.
    pub fn bad_rows(mut self, bad_rows: BadRows) -> Self {
        self.bad_rows = bad_rows;
        self
    }

    /// What becomes of rows whose token is stored already.
    pub fn stored_tokens(mut self, stored_tokens: StoredTokens) -> Self {
        self.stored_tokens = stored_tokens;
        self
    }

    /// How many bytes a file may have. A longer file is refused as [`Error::FileTooLarge`] and not read. An import
    /// takes about three times the length of the file in memory.
    pub fn max_file_len(mut self, bytes: u64) -> Self {
        self.max_file_len = bytes;
        self
    }
}

impl Default for ImportOptions {
    fn default() -> Self {
        Self::new()
    }
}

/// What became of the rows of a file: each row is in one of the lists, in the order of the file.
#[derive(Debug, Default)]
#[non_exhaustive]
pub struct ImportReport {
    /// Rows that are new tokens of the store.
    pub added: Vec<ImportedRow>,
    /// Rows that were merged into a stored token ([`StoredTokens::Overwrite`]).
    pub overwritten: Vec<ImportedRow>,
    /// Rows whose token was stored already, and was left as it is ([`StoredTokens::Keep`]).
    pub kept: Vec<ImportedRow>,
    /// Rows that were left out because they cannot be stored ([`BadRows::Skip`]).
    pub skipped: Vec<SkippedRow>,
}

/// A row and its stored token: an entry of an [`ImportReport`]. `Debug` hides the id, because the Node SDK puts the
/// user name into it.
#[non_exhaustive]
pub struct ImportedRow {
    /// The line that the row starts in; the header is line 1.
    pub line: u64,
    /// The id of the stored token.
    pub id: TokenId,
}

impl fmt::Debug for ImportedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, id: _ } = self;
        f.debug_struct("ImportedRow").field("line", line).field("id", &format_args!("***")).finish()
    }
}

/// A row that was left out: an entry of an [`ImportReport`]. `Display` says where and why, and shows nothing of the
/// row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct SkippedRow {
    /// The line that the row starts in; the header is line 1.
    pub line: u64,
    /// The column, if the flaw is in one.
    pub column: Option<ImportColumn>,
    /// Why the row cannot be stored.
    pub why: ImportFlaw,
}

impl fmt::Display for SkippedRow {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { line, column, why } = self;
        error::located(Some(*line), *column, why).fmt(f)
    }
}

/// Saves the tokens of a file that a file store of a Zoho CRM SDK wrote. The [module](self) says which files are read,
/// which stored tokens change, and what a failed import leaves behind.
///
/// Blocks on reading the file and on the store: on a [`Keystore`](crate::Keystore) as long as one save of that many
/// tokens.
///
/// # Errors
///
/// Nothing was stored, unless it says so here:
///
/// - [`Import`](Error::Import): the file, or a row of it, is not as it has to be; names the line and the column;
/// - [`FileTooLarge`](Error::FileTooLarge): the file is longer than [`ImportOptions::max_file_len`], or the keystore
///   would be longer than its own limit;
/// - [`NotAFile`](Error::NotAFile), [`Io`](Error::Io): the file cannot be read;
/// - [`ImportIncomplete`](Error::ImportIncomplete): rows may be left in a store that is not of this crate;
/// - [`DurabilityUnknown`](Error::DurabilityUnknown): a keystore has all the rows, and a power cut may undo that;
/// - the other errors of the store.
///
/// ```
/// use tokenkeep::{Error, ImportColumn, KdfParams, Keystore, Passphrase, Unlock};
/// use tokenkeep::import::{BadRows, ImportOptions, import_zoho_csv};
///
/// # let directory = tempfile::tempdir()?;
/// let path = directory.path().join("tokens.csv");
/// std::fs::write(&path, "user_name,access_token,expiry_time\nada,a,1795000000000\ngrace,b,tomorrow\n")?;
/// let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
/// let store = Keystore::create(directory.path().join("tokens.keep"), &unlock)?;
///
/// match import_zoho_csv(&store, &path, &ImportOptions::new()) {
///     Err(Error::Import { line, column, .. }) => {
///         assert_eq!((line, column), (Some(3), Some(ImportColumn::ExpiryTime)));
///     }
///     other => panic!("expected a bad row, got {other:?}"),
/// }
/// let report = import_zoho_csv(&store, &path, &ImportOptions::new().bad_rows(BadRows::Skip))?;
/// assert_eq!((report.added.len(), report.skipped.len()), (1, 1));
/// println!("left out: {}", report.skipped[0]);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub fn import_zoho_csv(
    store: &dyn TokenStore,
    path: impl AsRef<Path>,
    options: &ImportOptions,
) -> Result<ImportReport> {
    let path = path.as_ref();
    let rows = {
        let bytes = read(path, options.max_file_len)?;
        csv::rows(&bytes, path)?
    };
    save_rows(store, path, rows, options)
}

/// Saves rows, each with the line that it starts in.
fn save_rows(
    store: &dyn TokenStore,
    path: &Path,
    rows: Vec<(u64, Result<Token, Refusal>)>,
    options: &ImportOptions,
) -> Result<ImportReport> {
    let ImportOptions { bad_rows, stored_tokens, max_file_len: _ } = *options;
    let (rows, mut skipped) = distinct(rows);
    if let (BadRows::Refuse, Some(SkippedRow { line, column, why })) = (bad_rows, skipped.first().copied()) {
        return Err(Refusal { column, why }.error(path, Some(line)));
    }
    let batch = Batch { path: Arc::from(path), rows: rows.into(), bad_rows, stored_tokens };
    let saved = store.save_batch(&batch).unwrap_or_else(|| one_by_one::save(store, &batch))?;

    let mut report = ImportReport::default();
    for Saved { line, outcome } in saved {
        match outcome {
            Outcome::Added(id) => report.added.push(ImportedRow { line, id }),
            Outcome::Overwritten(id) => report.overwritten.push(ImportedRow { line, id }),
            Outcome::Kept(id) => report.kept.push(ImportedRow { line, id }),
            Outcome::Skipped(Refusal { column, why }) => skipped.push(SkippedRow { line, column, why }),
        }
    }
    let ImportReport { added, overwritten, kept, skipped: _ } = &mut report;
    for rows in [added, overwritten, kept] {
        rows.sort_by_key(|row| row.line);
    }
    skipped.sort_by_key(|row| row.line);
    report.skipped = skipped;
    Ok(report)
}

/// All bytes of the file. They are wiped with the buffer.
fn read(path: &Path, max_len: u64) -> Result<SecretBytes> {
    let read = || StoreFile::existing(path, Access::Unchecked, max_len, Arc::new(Os))?.open()?.read_all();
    read().map_err(|error| match error {
        Error::NotFound { .. } | Error::MissingDirectory { .. } | Error::EmptyPath => {
            Error::Import { path: path.to_owned(), line: None, column: None, why: ImportFlaw::NoFile }
        }
        other => other,
    })
}

/// The rows that a store can take with any contents, with their ids first: an id that the store chooses is none
/// that a later row has. And the rows that no store can take.
fn distinct(rows: Vec<(u64, Result<Token, Refusal>)>) -> (Vec<Row>, Vec<SkippedRow>) {
    let (mut kept, mut skipped) = (Vec::new(), Vec::new());
    let mut refuse = |line, Refusal { column, why }| skipped.push(SkippedRow { line, column, why });
    let mut tokens = Vec::new();
    for (line, token) in rows {
        match token {
            Ok(token) => tokens.push(Row { line, token }),
            Err(refusal) => refuse(line, refusal),
        }
    }
    tokens.sort_by_key(|row| row.token.id().is_none());

    // The rules of matching, among the rows alone.
    let scratch = MemoryStore::new();
    let mut lines = HashMap::new();
    let refusals = too_alike(&tokens);
    for (row, refusal) in tokens.into_iter().zip(refusals) {
        match refusal.map_or_else(|| add(&scratch, &mut lines, &row), Err) {
            Ok(()) => kept.push(row),
            Err(refusal) => refuse(row.line, refusal),
        }
    }
    skipped.sort_by_key(|row| row.line);
    (kept, skipped)
}

/// The most rows with one value in a column that matching looks rows up by: it compares all rows of one value, so a
/// hostile file could take time with the square of their number.
const MAX_ALIKE: usize = 100;

/// For each row, the refusal if too many rows before it have the same value in such a column.
fn too_alike(rows: &[Row]) -> Vec<Option<Refusal>> {
    let mut counts: [HashMap<&str, usize>; 4] = Default::default();
    let mut refusals = Vec::with_capacity(rows.len());
    for Row { line: _, token } in rows {
        let values = [
            (ImportColumn::UserName, token.user_name()),
            (ImportColumn::RefreshToken, token.refresh_token().map(Secret::expose_secret)),
            (ImportColumn::AccessToken, token.access_token().map(Secret::expose_secret)),
            (ImportColumn::GrantToken, token.grant_token().map(Secret::expose_secret)),
        ];
        let mut refusal = None;
        for ((column, value), counts) in values.into_iter().zip(&mut counts) {
            let Some(value) = value else { continue };
            let count = counts.entry(value).or_default();
            if *count == MAX_ALIKE {
                refusal = Some(Refusal { column: Some(column), why: ImportFlaw::TooManyAlike { limit: MAX_ALIKE } });
            } else {
                *count = count.saturating_add(1);
            }
        }
        refusals.push(refusal);
    }
    refusals
}

/// Adds a row to a store in which no other row means the same token. `lines` has the ids of the rows that are there.
fn add(scratch: &MemoryStore, lines: &mut HashMap<TokenId, u64>, row: &Row) -> Result<(), Refusal> {
    if let Some(id) = row.token.id()
        && let Some(&line) = lines.get(id)
    {
        return Err(Refusal { column: Some(ImportColumn::Id), why: ImportFlaw::SameId { line } });
    }
    let refused = |error| Refusal::of(error).unwrap_or(Refusal::ID_TAKEN);
    let stored = scratch.find_stored(&row.token).map_err(refused)?;
    if let Some(&line) = stored.as_ref().and_then(Token::id).and_then(|id| lines.get(id)) {
        return Err(Refusal { column: None, why: ImportFlaw::SameToken { line } });
    }
    let id = scratch.save_token(&row.token).map_err(refused)?;
    lines.insert(id, row.line);
    Ok(())
}
