//! Rows that a program has read from a database.

use std::path::{Path, PathBuf};

use super::{ImportOptions, ImportReport, fields, fields::Header, save_rows};
use crate::{
    batch::Refusal,
    error::{ImportFlaw, Result},
    store::TokenStore,
    token::Token,
};

/// The most rows of a table. It bounds the report, too.
const MAX_ROWS: usize = 100_000;

/// The rows of a plain-text token table of a Zoho CRM SDK, which the application has read from its database.
///
/// The columns and the values follow the rules of the SDK's [files](super). A value that is NULL is an empty text here.
/// Where a report or an error names a line, it is the number of the row: the first row that was pushed is line 1.
///
/// ```
/// use tokenkeep::{MemoryStore, TokenStore, import::{ImportOptions, ZohoTable}};
///
/// let mut table = ZohoTable::new("mysql://db.example/zohooauth", &["id", "user_name", "client_id", "refresh_token"])?;
/// table.push(&["1", "ada@example.com", "1000.A", "1000.refresh"])?;
///
/// let store = MemoryStore::new();
/// let report = table.save_into(&store, &ImportOptions::new())?;
/// assert_eq!(report.added.len(), 1);
/// # Ok::<(), tokenkeep::Error>(())
/// ```
pub struct ZohoTable {
    source: PathBuf,
    header: Header,
    rows: Vec<(u64, Result<Token, Refusal>)>,
}

impl ZohoTable {
    /// A table without rows yet. The source is what errors call it, such as a URL without a password.
    ///
    /// # Errors
    ///
    /// [`Import`](crate::Error::Import) for a column that no SDK has, or that is there twice.
    pub fn new(source: impl AsRef<Path>, columns: &[&str]) -> Result<Self> {
        let source = source.as_ref().to_owned();
        let header = Header::parse(columns).map_err(|refusal| refusal.error(&source, None))?;
        Ok(Self { source, header, rows: Vec::new() })
    }

    /// Adds a row, with a value for each column. A row that no store can take is reported when the table is saved.
    ///
    /// # Errors
    ///
    /// [`Import`](crate::Error::Import) after 100,000 rows.
    pub fn push(&mut self, values: &[&str]) -> Result<()> {
        if self.rows.len() == MAX_ROWS {
            let refusal = Refusal { column: None, why: ImportFlaw::TooManyRows { limit: MAX_ROWS } };
            return Err(refusal.error(&self.source, None));
        }
        let line = u64::try_from(self.rows.len()).unwrap_or(u64::MAX).saturating_add(1);
        self.rows.push((line, fields::token(&self.header, values)));
        Ok(())
    }

    /// Saves the rows. The [module](super) says which stored tokens change, and what a failed import leaves behind.
    ///
    /// # Errors
    ///
    /// Those of [`import_zoho_csv`](super::import_zoho_csv) that are not about a file.
    pub fn save_into(self, store: &dyn TokenStore, options: &ImportOptions) -> Result<ImportReport> {
        save_rows(store, &self.source, self.rows, options)
    }
}
