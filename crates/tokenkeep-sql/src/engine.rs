//! What the rules need of a database, and nothing else: statements with parameters, transactions that write, and what
//! an error means. Each database has one file that implements it.

#[cfg(feature = "mysql")]
pub(crate) mod mysql;
#[cfg(feature = "postgres")]
pub(crate) mod postgres;
#[cfg(feature = "sqlite")]
pub(crate) mod sqlite;
#[cfg(feature = "postgres")]
mod wire;

use std::{ops::ControlFlow, time::Duration};

/// The longest timeout: SQLite and PostgreSQL count milliseconds in 31 bits.
pub(crate) const LONGEST_TIMEOUT: Duration = Duration::from_secs(20 * 24 * 60 * 60);

/// A database that connections can be opened to.
pub(crate) trait Engine: Send + Sync {
    /// Opens a connection. Its statements wait for locks at most for the timeout.
    fn connect(&self, timeout: Duration) -> Result<Box<dyn Connection>, Failure>;
    /// Opens a connection that cannot write.
    fn connect_to_read(&self, timeout: Duration) -> Result<Box<dyn Connection>, Failure>;
    /// Makes the database itself, if it does not exist and this engine can make it.
    fn create_database(&self) -> Result<(), Failure>;
    fn dialect(&self) -> &'static Dialect;
    /// How many writers of one process may wait for the database at a time, if it has so many connections. The next one
    /// goes on as soon as a commit lets it, without a message to this process and back.
    fn writers(&self, connections: usize) -> usize {
        connections.div_ceil(2)
    }
}

/// A connection, used by one thread at a time.
pub(crate) trait Connection: Send {
    /// Executes a statement, and returns how many rows it has changed.
    fn execute(&mut self, statement: &str, parameters: &[Parameter<'_>]) -> Result<u64, Failure>;
    /// Executes a query, and hands over each row until the function breaks.
    fn query(&mut self, statement: &str, parameters: &[Parameter<'_>], each: EachRow<'_>) -> Result<(), Failure>;
    /// Begins a transaction that writes. Waits for other writers at most for the timeout.
    fn begin(&mut self, timeout: Duration) -> Result<(), Failure>;
    /// Begins a transaction that writes, with a statement and a query that have no parameters. Returns how many rows
    /// the statement has changed. After a failure the transaction may have begun.
    ///
    /// A server that takes several statements at once saves round trips here.
    fn begin_with(&mut self, timeout: Duration, first: &First<'_>, each: EachRow<'_>) -> Result<u64, Failure> {
        self.begin(timeout)?;
        let changed = self.execute(first.statement, &[])?;
        self.query(first.query, &[], each)?;
        Ok(changed)
    }
    fn commit(&mut self) -> Result<(), Failure>;
    fn roll_back(&mut self) -> Result<(), Failure>;
    /// Whether the connection ended, and answers nothing any more.
    fn is_lost(&self) -> bool {
        false
    }
    /// Removes what the database still has of rows that were sealed again, as far as it can.
    fn forget_old_rows(&mut self);
}

/// How a transaction begins.
pub(crate) struct First<'s> {
    pub(crate) statement: &'s str,
    pub(crate) query: &'s str,
}

pub(crate) type EachRow<'f> = &'f mut dyn FnMut(&dyn Row) -> ControlFlow<()>;

/// A row of a result.
pub(crate) trait Row {
    fn cell(&self, column: usize) -> Cell<'_>;
}

/// A value in a row, as the database has it. It may be anything: the database is not trusted.
#[derive(Clone, Copy)]
pub(crate) enum Cell<'a> {
    Null,
    Integer(i64),
    Bytes(&'a [u8]),
    Text(&'a [u8]),
    /// A value of a type that no column of ours has.
    Other,
}

/// A value of a statement. Values never become a part of the statement's text.
#[derive(Clone, Copy)]
pub(crate) enum Parameter<'a> {
    Null,
    Integer(i64),
    Bytes(&'a [u8]),
    Text(&'a str),
}

impl<'a, T: AsRef<[u8]>> From<&'a Option<T>> for Parameter<'a> {
    fn from(bytes: &'a Option<T>) -> Self {
        bytes.as_ref().map_or(Self::Null, |bytes| Self::Bytes(bytes.as_ref()))
    }
}

/// What differs in the language of databases.
pub(crate) struct Dialect {
    /// The database's clock, as an expression: milliseconds since 1970.
    pub(crate) now: &'static str,
    /// The placeholder of the parameter with that number, from 1.
    pub(crate) placeholder: fn(usize) -> String,
    pub(crate) column_type: fn(ColumnType) -> String,
    pub(crate) indexes: Indexes,
    /// What follows the columns of a new table.
    pub(crate) table_options: &'static str,
    /// A statement that follows the creation of the tables, given the name of the table of tokens.
    pub(crate) after_creation: Option<fn(&str) -> String>,
    /// The query for the names of the columns of the table that is its parameter.
    pub(crate) columns_of_table: &'static str,
}

/// What a column holds: see *Types of columns* in docs/database.md.
#[derive(Debug, Clone, Copy)]
pub(crate) enum ColumnType {
    Number,
    /// So many bytes.
    Fixed(usize),
    KeyTable,
    Sealed,
    Text,
}

/// Where the indexes of a new table are named.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Indexes {
    InTheTable,
    Apart,
}

/// Why a database refused a statement.
#[derive(Debug)]
pub(crate) struct Failure {
    pub(crate) kind: FailureKind,
    /// The driver's words. They never hold a parameter.
    pub(crate) message: String,
}

impl Failure {
    /// What it means if it answers a commit.
    pub(crate) fn at_commit(self) -> Self {
        match self.kind {
            // Held by `connection_lost_at_a_commit_is_an_unknown_outcome`: `self`.
            FailureKind::Lost | FailureKind::TimedOut => Self { kind: FailureKind::UnknownOutcome, ..self },
            _ => self,
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FailureKind {
    /// Another transaction is in the way: a lock, a deadlock, a serialization failure. The same transaction may succeed
    /// later, from its beginning.
    Contention,
    /// A statement took longer than it may.
    TimedOut,
    /// The server was not reached, or the connection ended. What was under way was undone, unless it was a commit.
    Lost,
    /// The connection ended before the answer to a commit: the change was made or not made.
    UnknownOutcome,
    /// The server cannot encrypt, or its certificate is not one that is trusted.
    Untrusted,
    /// The database does not exist.
    NoDatabase,
    /// The table does not exist.
    NoTable,
    /// The table has other columns.
    OtherColumns,
    NotADatabase,
    Damaged,
    ReadOnly,
    Permission,
    Full,
    /// An earlier error has undone the transaction.
    Undone,
    /// The connection belongs to the parent process.
    Forked,
    /// A value that has to be unique is there already.
    NotUnique,
    /// A value is longer than any of ours.
    TooLong,
    Other,
}
