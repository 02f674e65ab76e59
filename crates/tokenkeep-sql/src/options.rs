//! How a store is created and opened.

use std::{
    ops::ControlFlow,
    process,
    time::{Duration, Instant},
};

use tokenkeep::{ErrorKind, Result, Unlock, vault::Vault};

use crate::{
    SqlStore, cells,
    engine::{Connection, Engine, Failure, FailureKind, LONGEST_TIMEOUT, Parameter},
    error::{DatabaseError, Problem},
    lease,
    location::Database,
    pool::Pool,
    schema::{self, Statements},
    shared::{Settings, Shared, check_key_columns, read_store_row},
    tables::Tables,
};

/// How a store is created, opened and used, where the defaults do not fit.
///
/// ```
/// # #[cfg(feature = "sqlite")] {
/// use std::time::Duration;
/// use tokenkeep::RecoveryKey;
/// use tokenkeep_sql::SqlOptions;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}", directory.path().join("tokens.db").display());
/// let options = SqlOptions::new().tables("billing_tokens").timeout(Duration::from_secs(2));
/// let store = options.open_or_create(&url, &RecoveryKey::generate()?.into())?;
/// # drop(store); Ok(()) }
/// # main().unwrap();
/// # }
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until a store is opened with them"]
pub struct SqlOptions {
    tables: String,
    connections: usize,
    timeout: Duration,
    lease: Duration,
    holder: String,
}

impl SqlOptions {
    /// The defaults: tables `tokenkeep_store` and `tokenkeep_tokens`, 4 connections, a timeout of 10 seconds, a lease
    /// of 60 seconds.
    pub fn new() -> Self {
        Self {
            tables: "tokenkeep".to_owned(),
            connections: 4,
            timeout: Duration::from_secs(10),
            lease: Duration::from_secs(60),
            holder: format!("process {}", process::id()),
        }
    }

    /// The store's two tables are `PREFIX_store` and `PREFIX_tokens`. The prefix is 1 to 40 lower-case letters, digits
    /// and underscores, and starts with a letter. Stores with different prefixes share a database and nothing else.
    pub fn tables(mut self, prefix: &str) -> Self {
        prefix.clone_into(&mut self.tables);
        self
    }

    /// How many connections the handle and its clones open at most, at least one. Threads that find no free connection
    /// wait for one.
    pub fn connections(mut self, at_most: usize) -> Self {
        self.connections = at_most.max(1);
        self
    }

    /// How long an operation waits for other writers, and for a free connection, before it ends in
    /// [`Problem::Busy`]; at most 20 days. MariaDB and MySQL count whole seconds, at least one. The timeout does
    /// not limit the time that the disk takes. A [`Database`] on a server has deadlines for connecting and for each
    /// statement.
    pub fn timeout(mut self, at_most: Duration) -> Self {
        // Held by `endless_timeouts_are_accepted`: `at_most` instead of `at_most.min(LONGEST_TIMEOUT)`.
        self.timeout = at_most.min(LONGEST_TIMEOUT);
        self
    }

    /// For how long a [`Claim`](tokenkeep::Claim) lasts unless it is renewed: from 1 second to 10 minutes. If its
    /// holder dies, others wait until it is over. Give the refresh request a timeout that is shorter.
    pub fn lease(mut self, duration: Duration) -> Self {
        self.lease = duration.clamp(Duration::from_secs(1), lease::LONGEST);
        self
    }

    /// The name that stands in the database beside a lease, such as the name of the host: for administrators, at most
    /// 64 characters. It is not encrypted. The default is `process` and the process id.
    pub fn holder(mut self, name: &str) -> Self {
        self.holder = name.chars().filter(|character| !character.is_control()).take(64).collect();
        self
    }

    /// Creates a store in the database: a URL, or a [`Database`] with the settings of a server. SQLite's file is made
    /// for its owner alone, if it does not exist; its directory has to exist. On a server the database has to exist. A
    /// database of yours may hold the store's tables beside its own.
    ///
    /// Blocks for a key derivation, if the unlock method is a passphrase, and for the disk.
    ///
    /// # Errors
    ///
    /// The errors of [`SqlStore::create`].
    pub fn create(&self, database: impl Into<Database>, unlock: &Unlock) -> Result<SqlStore> {
        let (engine, statements, tables, name) = self.prepare(&database.into())?;
        let failed = |failure| tokenkeep::Error::from(DatabaseError::failed(&name, failure));
        engine.create_database().map_err(failed)?;
        let mut connection = engine.connect(self.timeout).map_err(failed)?;
        // Before the version: another process may create a store meanwhile, and save a token.
        let first = first_row(&mut *connection, &statements);
        match schema_version(&mut *connection, &statements) {
            Ok(Some(_)) => return Err(DatabaseError::new(&name, Problem::StoreExists).into()),
            Ok(None) | Err(Failure { kind: FailureKind::NoTable, .. }) => {}
            Err(failure) => return Err(failed(failure)),
        }
        // The other table may be one of another program, or have the tokens of a store whose own row is gone.
        // Held by `tables_of_another_program_are_left_alone`, `tokens_without_the_row_of_their_store_are_left_alone`.
        match first {
            Ok(None) | Err(Failure { kind: FailureKind::NoTable, .. }) => {}
            Ok(Some(_)) => {
                let problem = Problem::Malformed("it has tokens without the row of their store");
                return Err(DatabaseError::new(&name, problem).into());
            }
            Err(failure) => return Err(failed(failure)),
        }
        let mut table_id = [0; 16];
        getrandom::fill(&mut table_id).map_err(|_| tokenkeep::Error::Random)?;
        let change = Vault::create(&name, unlock)?;
        let started = Instant::now();
        let created = loop {
            let left = self.timeout.saturating_sub(started.elapsed());
            match create_tables(&*engine, &mut *connection, left, &tables, &statements, &table_id, change.vault()) {
                // Others create the same tables, or use them already.
                Err(Failure { kind: FailureKind::Contention, .. }) if !left.is_zero() => {}
                created => break created,
            }
        };
        match created {
            Ok(()) => {}
            Err(Failure { kind: FailureKind::NotUnique, .. }) => {
                change.discard();
                return Err(DatabaseError::new(&name, Problem::StoreExists).into());
            }
            Err(failure) => {
                // Unless the commit failed, nothing was created. An unused key is the lesser evil.
                return Err(failed(failure));
            }
        }
        let (vault, keys_forgotten) = change.written();
        keys_forgotten?;
        Ok(self.store(name, table_id, statements, engine, connection, vault))
    }

    /// Opens a store that exists. Writes nothing to the tables.
    ///
    /// # Errors
    ///
    /// The errors of [`SqlStore::open`].
    pub fn open(&self, database: impl Into<Database>, unlock: &Unlock) -> Result<SqlStore> {
        self.open_with(&database.into(), |name, key_table| Vault::open(name, key_table, unlock))
    }

    /// Opens a store with the first unlock method that opens it.
    ///
    /// # Errors
    ///
    /// [`NoneOpened`](tokenkeep::Error::NoneOpened) with the failure of each, and the errors of [`SqlStore::open`].
    pub fn open_any<'a>(
        &self,
        database: impl Into<Database>,
        unlocks: impl IntoIterator<Item = &'a Unlock>,
    ) -> Result<SqlStore> {
        let unlocks: Vec<_> = unlocks.into_iter().collect();
        self.open_with(&database.into(), |name, key_table| Vault::open_any(name, key_table, unlocks.iter().copied()))
    }

    /// Opens the store, or creates it if there is none. If another process creates it at the same time, opens that one.
    ///
    /// # Errors
    ///
    /// The errors of [`SqlStore::open`] and [`SqlStore::create`].
    pub fn open_or_create(&self, database: impl Into<Database>, unlock: &Unlock) -> Result<SqlStore> {
        let is = |opened: &Result<SqlStore>, kind| opened.as_ref().is_err_and(|error| error.kind() == kind);
        let database = &database.into();
        let opened = self.open(database, unlock);
        if !is(&opened, ErrorKind::NotFound) {
            return opened;
        }
        let created = self.create(database, unlock);
        if is(&created, ErrorKind::AlreadyExists) { self.open(database, unlock) } else { created }
    }

    fn open_with(&self, database: &Database, open: impl Fn(&str, &[u8]) -> Result<Vault>) -> Result<SqlStore> {
        let (engine, statements, _, name) = self.prepare(database)?;
        let failed = |failure| tokenkeep::Error::from(DatabaseError::failed(&name, failure));
        let mut connection = engine.connect(self.timeout).map_err(failed)?;
        match schema_version(&mut *connection, &statements).map_err(failed)? {
            Some(Some(schema::VERSION)) => {}
            Some(found) => return Err(DatabaseError::new(&name, Problem::OtherSchema { found }).into()),
            None => return Err(DatabaseError::new(&name, Problem::NoStore).into()),
        }
        loop {
            let stored = read_store_row(&name, &mut *connection, &statements)?;
            let vault = open(&name, &stored.key_table)?;
            check_key_columns(&name, &stored, &vault)?;
            match check_first_row(&name, &mut *connection, &statements, &vault) {
                Ok(()) => return Ok(self.store(name, stored.table_id, statements, engine, connection, vault)),
                // Another process may have given the store a new key between the two queries.
                Err(refused) => {
                    let now = read_store_row(&name, &mut *connection, &statements)?;
                    if now.key_table == stored.key_table {
                        return Err(refused);
                    }
                }
            }
        }
    }

    fn prepare(&self, database: &Database) -> Result<(Box<dyn Engine>, Statements, Tables, String)> {
        let location = database.location()?;
        let engine = location.engine();
        let database = location.name();
        let tables = Tables::with_prefix(&database, &self.tables)?;
        let statements = Statements::new(&tables, engine.dialect());
        let name = format!("{database} (tables {} and {})", tables.store, tables.tokens);
        Ok((engine, statements, tables, name))
    }

    fn store(
        &self,
        name: String,
        table_id: [u8; 16],
        statements: Statements,
        engine: Box<dyn Engine>,
        connection: Box<dyn Connection>,
        vault: Vault,
    ) -> SqlStore {
        let Self { tables: _, connections, timeout, lease, holder } = self.clone();
        let pool = Pool::new(engine, connection, timeout, connections);
        let settings = Settings { timeout, lease, holder };
        SqlStore::over(Shared::new(name, table_id, statements, settings, pool, vault))
    }
}

/// The schema version of the store's row, if there is a row; an inner `None` is a value that is no number.
fn schema_version(connection: &mut dyn Connection, statements: &Statements) -> Result<Option<Option<i64>>, Failure> {
    let mut version = None;
    connection.query(&statements.schema_version, &[], &mut |row| {
        version = Some(cells::integer(row, 0));
        ControlFlow::Break(())
    })?;
    Ok(version)
}

/// The key id and the place of the first row, if the table has one.
fn first_row(connection: &mut dyn Connection, statements: &Statements) -> Result<Option<FirstRow>, Failure> {
    let mut first = None;
    connection.query(&statements.first_row, &[], &mut |row| {
        first = Some(cells::bytes(row, 2).and_then(|key_id| Ok((key_id, cells::number(row, 0)?))));
        ControlFlow::Break(())
    })?;
    Ok(first)
}

type FirstRow = Result<([u8; 8], u64), cells::Flaw>;

/// Refuses a key table that is not the one of the rows. Its blind indexes would find none of them, and the store would
/// look empty.
fn check_first_row(name: &str, connection: &mut dyn Connection, statements: &Statements, vault: &Vault) -> Result<()> {
    let first = first_row(connection, statements);
    let problem = match first.map_err(|failure| DatabaseError::failed(name, failure))? {
        None => return Ok(()),
        Some(Ok((key_id, _))) if key_id == vault.key_id() => return Ok(()),
        Some(Ok((_, place))) => Problem::RowOfOtherKey { place },
        Some(Err(flaw)) => Problem::Malformed(flaw),
    };
    Err(DatabaseError::new(name, problem).into())
}

fn create_tables(
    engine: &dyn Engine,
    connection: &mut dyn Connection,
    timeout: Duration,
    tables: &Tables,
    statements: &Statements,
    table_id: &[u8; 16],
    vault: &Vault,
) -> Result<(), Failure> {
    let key_id = vault.key_id();
    let revision = i64::try_from(vault.revision()).unwrap_or(i64::MAX);
    let values = [
        Parameter::Bytes(table_id),
        Parameter::Bytes(&key_id),
        Parameter::Integer(revision),
        Parameter::Bytes(vault.bytes()),
    ];
    connection.begin(timeout)?;
    let mut create = || {
        for statement in schema::create_tables(tables, engine.dialect()) {
            connection.execute(&statement, &[])?;
        }
        connection.execute(&statements.insert_store, &values)?;
        connection.commit()
    };
    // Some databases commit at each of these statements.
    let created = create().map_err(Failure::at_commit);
    if created.is_err() {
        let _ = connection.roll_back();
    }
    created
}

impl Default for SqlOptions {
    fn default() -> Self {
        Self::new()
    }
}
