//! Moving in from the plain-text table of the Zoho CRM SDKs.

use std::{
    ops::ControlFlow,
    sync::{Mutex, MutexGuard},
    time::Duration,
};

use tokenkeep::{
    Error, Result, Token, TokenId, TokenStore,
    import::{ImportOptions, ImportReport, ZohoTable},
};
use zeroize::Zeroizing;

use crate::{
    SqlStore, SqlTransaction,
    engine::{Cell, Parameter, Row},
    error::{DatabaseError, Problem},
    location::Database,
    schema::number_parameters,
    tables,
};

/// How long a read of the vendor's table waits for a writer.
const TIMEOUT: Duration = Duration::from_secs(10);
/// A value may not be longer; no field of a token is.
const MAX_LEN: usize = 64 * 1024;
/// The name that the SDKs give the table.
const TABLE: &str = "oauthtoken";

impl SqlStore {
    /// Saves the tokens of the plain-text table `oauthtoken` that a database store of a Zoho CRM SDK wrote. The table
    /// is only read. All rows are saved as one transaction, or none.
    ///
    /// [`tokenkeep::import`] says which columns and values are read, and which stored tokens change. Where a report or
    /// an error names a line, it is the number of the row in the order of its key.
    ///
    /// # Errors
    ///
    /// [`Import`](Error::Import) with the row, unless
    /// [`ImportOptions::bad_rows`] says to leave it out; a [`DatabaseError`] about the vendor's database; and the
    /// [common errors](Self#errors). Nothing was saved.
    ///
    /// ```no_run
    /// # #[cfg(feature = "sqlite")] {
    /// use tokenkeep::{RecoveryKey, import::ImportOptions};
    /// use tokenkeep_sql::SqlStore;
    ///
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// let store = SqlStore::create("sqlite:///var/lib/app/sealed.db", &RecoveryKey::generate()?.into())?;
    /// let report = store.import_zoho_table("sqlite:///var/lib/app/zohooauth.db", &ImportOptions::new())?;
    /// println!("{} tokens moved in", report.added.len());
    /// # Ok(()) }
    /// # }
    /// ```
    pub fn import_zoho_table(&self, source: impl Into<Database>, options: &ImportOptions) -> Result<ImportReport> {
        let table = read_zoho_table(&source.into())?;
        self.transaction(|transaction| table.save_into(&InTransaction(Mutex::new(transaction)), options))
    }
}

/// Reads the vendor's table into memory.
fn read_zoho_table(source: &Database) -> Result<ZohoTable> {
    let location = source.location()?;
    let name = format!("{} (table {TABLE})", location.name());
    let failed = |failure| Error::from(DatabaseError::failed(&name, failure));
    let malformed = |flaw| Error::from(DatabaseError::new(&name, Problem::Malformed(flaw)));
    let engine = location.engine();
    let mut connection = engine.connect_to_read(TIMEOUT).map_err(failed)?;
    let columns_of_table = number_parameters(engine.dialect().columns_of_table, engine.dialect().placeholder);
    let mut columns = Vec::new();
    let queried = connection.query(&columns_of_table, &[Parameter::Text(TABLE)], &mut |row| {
        columns.push(text(row, 0).map(|name| String::clone(&name)));
        ControlFlow::Continue(())
    });
    queried.map_err(failed)?;
    let columns: Vec<String> = columns.into_iter().collect::<Result<_, _>>().map_err(malformed)?;
    if columns.is_empty() {
        return Err(DatabaseError::new(&name, Problem::NoStore).into());
    }
    let names: Vec<_> = columns.iter().map(String::as_str).collect();
    let mut table = ZohoTable::new(&name, &names)?;
    // They are a part of the statement now. The table has refused all names that no SDK uses.
    if !names.iter().all(|name| tables::is_name(name)) {
        return Err(malformed("a column has a name of another program"));
    }
    let mut read = Ok(());
    let statement = format!("SELECT {} FROM {TABLE} ORDER BY id", names.join(", "));
    let queried = connection.query(&statement, &[], &mut |row| {
        let values: Result<Vec<_>, _> = (0..names.len()).map(|column| text(row, column)).collect();
        read = values.map_err(malformed).and_then(|values| {
            let values: Vec<_> = values.iter().map(|value| value.as_str()).collect();
            table.push(&values)
        });
        if read.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) }
    });
    queried.map_err(failed)?;
    read.map(|()| table)
}

/// A value as the SDK meant it: NULL is an empty text, and a number its digits.
fn text(row: &dyn Row, column: usize) -> Result<Zeroizing<String>, &'static str> {
    match row.cell(column) {
        Cell::Null => Ok(Zeroizing::default()),
        Cell::Integer(number) => Ok(Zeroizing::new(number.to_string())),
        Cell::Text(bytes) | Cell::Bytes(bytes) if bytes.len() > MAX_LEN => Err("a value is too long for a token"),
        Cell::Text(bytes) | Cell::Bytes(bytes) => {
            let text = str::from_utf8(bytes).map_err(|_| "a value is not UTF-8")?;
            Ok(Zeroizing::new(text.to_owned()))
        }
        Cell::Other => Err("a value is neither a text nor a whole number"),
    }
}

/// A transaction with the operations of a store, for the import.
struct InTransaction<'i, 't, 's>(Mutex<&'i mut SqlTransaction<'t, 's>>);

impl<'i, 't, 's> InTransaction<'i, 't, 's> {
    fn get(&self) -> MutexGuard<'_, &'i mut SqlTransaction<'t, 's>> {
        self.0.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

impl TokenStore for InTransaction<'_, '_, '_> {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.get().save_token(token)
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        self.get().find_token(query)
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        self.get().find_token_by_id(id)
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        self.get().get_tokens()
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        self.get().delete_token(id)
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.get().delete_tokens()
    }

    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        self.get().find_stored(query)
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        self.get().replace_token(token)
    }

    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        self.get().delete_token_if(id, revision)
    }
}
