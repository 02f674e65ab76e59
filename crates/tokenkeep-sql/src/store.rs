//! The store that applications open.

use std::{fmt, sync::Arc};

use tokenkeep::{LockAttempt, Prune, Result, Token, TokenId, TokenStore, Unlock, vault::IndexedValue};

use crate::{Database, SqlNamespace, SqlOptions, SqlTransaction, rows::Rows, shared::Shared};

/// Tokens in two tables of an SQL database, each row sealed by itself. A cheap handle: clones share the open store, and
/// threads share clones or references.
///
/// It implements [`TokenStore`], and [`TokenStoreExt`](tokenkeep::TokenStoreExt) refreshes each of its tokens once,
/// however many threads, processes and hosts need it. Any number of processes may have one store open: each
/// operation sees what was committed before it, by any process.
///
/// # What blocks
///
/// - **A find** is one statement, and opens the rows that it finds. (Three kinds of query need a second statement: an
///   id that is not stored, with a user name; a user name and a client id that have no row, for the user's row without
///   a client; and a grant token with a refresh token. If both statements find nothing, they are sent once more.) On
///   SQLite a find waits for no writer.
/// - **A save or a delete** is one transaction. When it returns `Ok`, the change is on the disk as far as the database
///   promises that: on SQLite it is synced. The writers of a store wait for each other, at most for
///   [`SqlOptions::timeout`].
/// - **Creating and opening a store,** and every operation on key slots, derive keys or ask the keychain, as on a
///   [`Keystore`](tokenkeep::Keystore).
/// - **Dropping a claim** writes to the database once more, as a save does.
///
/// Call all of them in async code through `spawn_blocking`, or on a thread of your own. None of them panics in an async
/// task.
///
/// # Errors
///
/// Any operation can end in:
///
/// - [`Error::Store`](tokenkeep::Error::Store) with a [`DatabaseError`](crate::DatabaseError): the database failed, was
///   busy for too long, or its tables hold something that no store writes;
/// - [`BadRow`](tokenkeep::Error::BadRow): a row was changed, moved or mixed with another one;
/// - [`Rekeyed`](tokenkeep::Error::Rekeyed), [`Replaced`](tokenkeep::Error::Replaced),
///   [`RolledBack`](tokenkeep::Error::RolledBack), [`Diverged`](tokenkeep::Error::Diverged): the key table in the
///   database does not continue the one that this handle has seen;
/// - [`InTransaction`](tokenkeep::Error::InTransaction): this thread is in a transaction of the store.
///
/// After an error nothing was changed, with these exceptions:
///
/// - After [`UnknownOutcome`](crate::Problem::UnknownOutcome) the change was made or not made. Its kind is
///   [`Incomplete`](tokenkeep::ErrorKind::Incomplete).
/// - After [`KeyLeft`](tokenkeep::Error::KeyLeft) the change was made.
/// - A `create` that failed may leave empty tables, or an empty file of SQLite.
///
/// # Examples
///
/// ```
/// # #[cfg(feature = "sqlite")] {
/// use tokenkeep::{Passphrase, Token, TokenStore, Unlock};
/// use tokenkeep_sql::SqlStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}", directory.path().join("tokens.db").display());
/// let unlock = Unlock::from(Passphrase::new("correct horse battery staple"));
/// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(tokenkeep::KdfParams::MIN));
/// let store = SqlStore::open_or_create(&url, &unlock)?;
/// store.save_token(&Token::builder().user_name("ada").client_id("1000.ABC").refresh_token("r1").build())?;
/// drop(store);
///
/// let store = SqlStore::open(&url, &unlock)?;
/// let query = Token::builder().user_name("ada").client_id("1000.ABC").build();
/// assert_eq!(store.find_stored(&query)?.unwrap().refresh_token().unwrap().expose_secret(), "r1");
/// # Ok(()) }
/// # main().unwrap();
/// # }
/// ```
#[derive(Clone)]
pub struct SqlStore(pub(crate) Arc<Shared>);

impl SqlStore {
    pub(crate) fn over(shared: Shared) -> Self {
        Self(Arc::new(shared))
    }

    /// Creates a store in a database: see [`SqlOptions::create`].
    ///
    /// # Errors
    ///
    /// [`StoreExists`](crate::Problem::StoreExists), [`BadUrl`](crate::Problem::BadUrl), the errors of
    /// [`Vault::create`](tokenkeep::vault::Vault::create), and the [common errors](#errors).
    pub fn create(database: impl Into<Database>, unlock: &Unlock) -> Result<Self> {
        SqlOptions::new().create(database, unlock)
    }

    /// Opens a store that exists: see [`SqlOptions::open`].
    ///
    /// # Errors
    ///
    /// [`NoDatabase`](crate::Problem::NoDatabase), [`NoStore`](crate::Problem::NoStore),
    /// [`OtherSchema`](crate::Problem::OtherSchema), [`BadUrl`](crate::Problem::BadUrl), the errors of
    /// [`Vault::open`](tokenkeep::vault::Vault::open), and the [common errors](#errors).
    pub fn open(database: impl Into<Database>, unlock: &Unlock) -> Result<Self> {
        SqlOptions::new().open(database, unlock)
    }

    /// Opens a store with the first unlock method that opens it.
    ///
    /// # Errors
    ///
    /// [`NoneOpened`](tokenkeep::Error::NoneOpened), and the errors of [`open`](Self::open).
    pub fn open_any<'a>(database: impl Into<Database>, unlocks: impl IntoIterator<Item = &'a Unlock>) -> Result<Self> {
        SqlOptions::new().open_any(database, unlocks)
    }

    /// Opens the store, or creates it if there is none.
    ///
    /// # Errors
    ///
    /// The errors of [`open`](Self::open) and [`create`](Self::create).
    pub fn open_or_create(database: impl Into<Database>, unlock: &Unlock) -> Result<Self> {
        SqlOptions::new().open_or_create(database, unlock)
    }

    /// The database and the tables, as errors name them, without a password.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.0.name
    }

    /// A namespace of the store: a store of its own in the same tables. Costs nothing; a namespace exists while it has
    /// tokens.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](tokenkeep::Error::TooLarge) for a name of more than 256 bytes.
    pub fn namespace(&self, name: &str) -> Result<SqlNamespace> {
        self.0.vault().blind_index(name, IndexedValue::Namespace)?;
        Ok(SqlNamespace::new(self.0.clone(), name.into()))
    }

    /// The names of the namespaces that have tokens, other than the default one, in the order of their bytes. Reads an
    /// index of all rows.
    ///
    /// # Errors
    ///
    /// The [common errors](#errors).
    pub fn namespaces(&self) -> Result<Vec<String>> {
        let names = |rows: &mut Rows<'_>| rows.namespaces();
        self.0.read("", names)
    }

    /// Makes several operations as one: all of them are committed, or none if the function returns an error or panics.
    /// The function is called once, in a transaction of the database, so keep it short: all writers of the store wait.
    ///
    /// # Errors
    ///
    /// The error of the function, and the [common errors](#errors).
    ///
    /// ```
    /// # #[cfg(feature = "sqlite")] {
    /// # use tokenkeep::{RecoveryKey, Token, TokenStore};
    /// # use tokenkeep_sql::SqlStore;
    /// # fn main() -> Result<(), Box<dyn std::error::Error>> {
    /// # let directory = tempfile::tempdir()?;
    /// # let url = format!("sqlite://{}", directory.path().join("tokens.db").display());
    /// let store = SqlStore::create(&url, &RecoveryKey::generate()?.into())?;
    /// let id = store.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
    /// store.transaction(|tx| {
    ///     let Some(token) = tx.find_token_by_id(&id)? else { return Ok(()) };
    ///     tx.delete_token(&id)?;
    ///     tx.namespace("archive")?.save_token(&token.without_revision()).map(drop)
    /// })?;
    /// assert_eq!((store.get_tokens()?.len(), store.namespaces()?), (0, vec!["archive".to_owned()]));
    /// # Ok(()) }
    /// # main().unwrap();
    /// # }
    /// ```
    pub fn transaction<R>(&self, operations: impl FnOnce(&mut SqlTransaction<'_, '_>) -> Result<R>) -> Result<R> {
        self.0.transaction(operations)
    }

    /// Deletes tokens of the default namespace that are of no use any more: see [`SqlNamespace::prune`].
    ///
    /// # Errors
    ///
    /// The [common errors](#errors).
    pub fn prune(&self, which: Prune) -> Result<usize> {
        self.tokens().prune(which)
    }

    fn tokens(&self) -> SqlNamespace {
        SqlNamespace::new(self.0.clone(), self.0.default_namespace.clone())
    }
}

impl TokenStore for SqlStore {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.tokens().save_token(token)
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        self.tokens().find_token(query)
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        self.tokens().find_token_by_id(id)
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        self.tokens().get_tokens()
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        self.tokens().delete_token(id)
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.tokens().delete_tokens()
    }

    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        self.tokens().find_stored(query)
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        self.tokens().replace_token(token)
    }

    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        self.tokens().delete_token_if(id, revision)
    }

    fn lock_token(&self, id: &TokenId) -> Result<LockAttempt> {
        self.tokens().lock_token(id)
    }
}

impl fmt::Debug for SqlStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlStore").field("database", &self.name()).finish_non_exhaustive()
    }
}
