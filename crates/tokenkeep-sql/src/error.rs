//! What can be wrong with a database, and what to do about it.

use std::fmt;

use tokenkeep::{Error, ErrorKind};

use crate::engine::{Failure, FailureKind};

/// An error about the database itself: the cause in [`tokenkeep::Error::Store`]. It names the database, without a
/// password, and never holds a value of a statement.
///
/// ```
/// # #[cfg(feature = "sqlite")] {
/// use tokenkeep::{Error, ErrorKind, RecoveryKey};
/// use tokenkeep_sql::{DatabaseError, Problem, SqlStore};
///
/// let error = SqlStore::open("sqlite:///no/such/file.db", &RecoveryKey::generate().unwrap().into()).unwrap_err();
/// assert_eq!(error.kind(), ErrorKind::NotFound);
/// let Error::Store { cause, .. } = &error else { panic!("{error:?}") };
/// assert_eq!(cause.downcast_ref::<DatabaseError>().unwrap().problem(), &Problem::NoDatabase);
/// # }
/// ```
#[derive(Debug)]
pub struct DatabaseError {
    database: String,
    problem: Problem,
    /// The driver's words.
    cause: Option<String>,
}

/// What is wrong: see [`DatabaseError::problem`].
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub enum Problem {
    /// The URL is not one of a database that this build supports.
    BadUrl,
    /// The name of a table is not made of 1 to 40 lower-case letters, digits and underscores, or does not start with a
    /// letter.
    BadTableName,
    /// There is no such database.
    NoDatabase,
    /// The database has no store in these tables.
    NoStore,
    /// The tables already hold a store.
    StoreExists,
    /// The tables belong to another version of this crate, or to another program.
    OtherSchema {
        /// The schema version in the table, if it has one.
        found: Option<i64>,
    },
    /// The file is not a database of this kind.
    NotADatabase,
    /// The database itself reports that it is damaged.
    Damaged,
    /// A value in the tables is not one that a store writes.
    Malformed(&'static str),
    /// A row was sealed under another store key than the one that the store has.
    RowOfOtherKey {
        /// The row's place.
        place: u64,
    },
    /// Other transactions were in the way, or other threads used all connections of this handle, until the timeout.
    Busy,
    /// A statement took longer than it may.
    TimedOut,
    /// The server was not reached, or did not answer in time, or the connection ended. Nothing was changed.
    NoConnection,
    /// The connection ended before the server acknowledged a change, which was made or not made: read again. A save
    /// that carries a revision, and the end of a refresh, can be made again without harm.
    UnknownOutcome,
    /// The server cannot encrypt, or its certificate is not one that is trusted for its name.
    Untrusted,
    /// The database, or this user, may only read.
    ReadOnly,
    /// The database refuses this user.
    NoPermission,
    /// The disk is full.
    Full,
    /// An earlier error of the database in the same transaction undid it.
    Undone,
    /// No number is left for the next id, the next place or the next state of the store.
    NoNumberLeft,
    /// The process was forked after the store was opened.
    Forked,
    /// Another error of the database.
    Failed,
}

impl DatabaseError {
    pub(crate) fn new(database: &str, problem: Problem) -> Self {
        Self { database: database.to_owned(), problem, cause: None }
    }

    pub(crate) fn failed(database: &str, failure: Failure) -> Self {
        let problem = match failure.kind {
            FailureKind::Contention => Problem::Busy,
            FailureKind::TimedOut => Problem::TimedOut,
            FailureKind::Lost => Problem::NoConnection,
            FailureKind::UnknownOutcome => Problem::UnknownOutcome,
            FailureKind::Untrusted => Problem::Untrusted,
            FailureKind::NoDatabase => Problem::NoDatabase,
            FailureKind::NoTable => Problem::NoStore,
            FailureKind::OtherColumns => Problem::OtherSchema { found: None },
            FailureKind::NotADatabase => Problem::NotADatabase,
            FailureKind::Damaged => Problem::Damaged,
            FailureKind::ReadOnly => Problem::ReadOnly,
            FailureKind::Permission => Problem::NoPermission,
            FailureKind::Full => Problem::Full,
            FailureKind::Undone => Problem::Undone,
            FailureKind::Forked => Problem::Forked,
            FailureKind::NotUnique => Problem::Malformed("an id or a place is in use that should be free"),
            FailureKind::TooLong => Problem::Malformed("a value is longer than any of a store"),
            FailureKind::Other => Problem::Failed,
        };
        Self { database: database.to_owned(), problem, cause: Some(failure.message) }
    }

    /// What is wrong.
    #[must_use]
    pub fn problem(&self) -> &Problem {
        &self.problem
    }

    /// The database and the tables, without a password.
    #[must_use]
    pub fn database(&self) -> &str {
        &self.database
    }

    fn kind(&self) -> ErrorKind {
        match &self.problem {
            Problem::NoDatabase | Problem::NoStore => ErrorKind::NotFound,
            Problem::StoreExists => ErrorKind::AlreadyExists,
            Problem::OtherSchema { .. } => ErrorKind::Unsupported,
            Problem::NotADatabase | Problem::Damaged | Problem::Malformed(_) => ErrorKind::Damaged,
            Problem::RowOfOtherKey { .. } | Problem::Forked => ErrorKind::Reopen,
            Problem::Busy | Problem::TimedOut | Problem::NoConnection => ErrorKind::Busy,
            Problem::UnknownOutcome => ErrorKind::Incomplete,
            Problem::ReadOnly | Problem::NoPermission | Problem::Untrusted => ErrorKind::Permission,
            Problem::BadUrl | Problem::BadTableName | Problem::NoNumberLeft => ErrorKind::Invalid,
            Problem::Full | Problem::Undone | Problem::Failed => ErrorKind::System,
        }
    }
}

/// Whether another transaction was in the way, and this one was undone: it may succeed from its beginning.
pub(crate) fn is_contention(error: &Error) -> bool {
    let Error::Store { cause, .. } = error else { return false };
    cause.downcast_ref::<DatabaseError>().is_some_and(|error| matches!(error.problem, Problem::Busy))
}

impl fmt::Display for DatabaseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { database, problem, cause } = self;
        match problem {
            Problem::BadUrl => {
                write!(f, "{database} is not a database URL that this build supports: see tokenkeep_sql::Database")
            }
            Problem::BadTableName => write!(
                f,
                "{database}: the tables need a prefix of 1 to 40 lower-case letters, digits and underscores that starts \
                 with a letter"
            ),
            Problem::NoDatabase => {
                write!(f, "there is no database {database}: create the store first, or check the URL")
            }
            Problem::NoStore => {
                write!(f, "{database} holds no store: create it first, or check the names of the tables")
            }
            Problem::StoreExists => write!(f, "{database} already holds a store: open it, or choose other tables"),
            Problem::OtherSchema { found: Some(found) } => {
                write!(f, "{database} has schema version {found}, and this application knows 1 only: update it")
            }
            Problem::OtherSchema { found: None } => {
                write!(f, "{database} has tables of another program: choose other names for the tables")
            }
            Problem::NotADatabase => write!(f, "{database} is not an SQLite database: check the path"),
            Problem::Damaged => write!(f, "{database} is damaged: restore it from a backup"),
            Problem::Malformed(what) => {
                write!(f, "{database} was changed by something else ({what}): restore it from a backup")
            }
            Problem::RowOfOtherKey { place } => {
                write!(f, "row {place} of {database} has another store key: open the store again, or restore a backup")
            }
            Problem::Busy => write!(
                f,
                "{database} is busy: other writers, or threads that use all connections of this handle, were in the \
                 way; try again"
            ),
            Problem::TimedOut => write!(f, "{database} took too long for a statement: try again, or allow more time"),
            Problem::NoConnection => {
                write!(f, "{database} cannot be reached: look whether the server runs, and try again")
            }
            Problem::UnknownOutcome => {
                write!(
                    f,
                    "the connection to {database} ended before it acknowledged a change: read again what is stored"
                )
            }
            Problem::Untrusted => write!(
                f,
                "{database} has no certificate that is trusted for its name: name the certificate authority, or ask for \
                 connections without encryption"
            ),
            Problem::ReadOnly => write!(f, "{database} can only be read: change its permissions, or open the primary"),
            Problem::NoPermission => write!(f, "{database} refuses this user: change the permissions"),
            Problem::Full => write!(f, "{database} has no room left: free some space, and try again"),
            Problem::Undone => write!(f, "{database} undid the transaction after an error in it: make it again"),
            Problem::NoNumberLeft => {
                write!(f, "{database} has no number left: give the token an id, or start a new store")
            }
            Problem::Forked => {
                write!(f, "{database} was opened before this process was forked: open it in this process too")
            }
            Problem::Failed => write!(f, "{database} failed: see the cause, and try again"),
        }?;
        match cause {
            Some(cause) => write!(f, " ({cause})"),
            None => Ok(()),
        }
    }
}

impl std::error::Error for DatabaseError {}

impl From<DatabaseError> for Error {
    fn from(error: DatabaseError) -> Self {
        Self::of_store(error.kind(), error)
    }
}
