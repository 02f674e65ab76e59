//! SQLite, through rusqlite.

use std::{
    io,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use rusqlite::{
    Connection as Database, Error, ErrorCode, OpenFlags, ToSql,
    config::DbConfig,
    limits::Limit,
    types::{ToSqlOutput, ValueRef},
};
use tempfile::NamedTempFile;

use super::{Cell, ColumnType, Connection, Dialect, EachRow, Engine, Failure, FailureKind, Indexes, Parameter, Row};

/// A file that SQLite keeps.
pub(crate) struct Sqlite {
    path: PathBuf,
}

impl Sqlite {
    pub(crate) fn new(path: &Path) -> Self {
        Self { path: path.to_owned() }
    }
}

/// More than the longest value of ours, which is a sealed row of about 300 KiB: a hostile file cannot make SQLite
/// allocate more for one value.
const MAX_VALUE_LEN: i32 = 1024 * 1024;
/// The shortest and the longest pause of a writer that waits for another process.
const PAUSES: (Duration, Duration) = (Duration::from_micros(250), Duration::from_millis(4));
/// How long emptying the log waits for readers.
const CHECKPOINT_TIMEOUT: Duration = Duration::from_secs(10);
/// The pages that a connection keeps at most, in KiB. A sealed row is about twice as long as a plain one and is found
/// through an index, so a find looks at more pages than SQLite's default of 2 MiB has of 10,000 tokens.
const CACHE_KIB: usize = 16 * 1024;
/// As many as there are statements.
const CACHED_STATEMENTS: usize = 64;

static DIALECT: Dialect = Dialect {
    now: "CAST(unixepoch('subsec') * 1000 AS INTEGER)",
    placeholder: |_| "?".to_owned(),
    column_type: |of_type| match of_type {
        ColumnType::Number => "INTEGER".to_owned(),
        ColumnType::Fixed(_) | ColumnType::KeyTable | ColumnType::Sealed => "BLOB".to_owned(),
        ColumnType::Text => "TEXT".to_owned(),
    },
    indexes: Indexes::Apart,
    table_options: "",
    after_creation: None,
    columns_of_table: "SELECT name FROM pragma_table_info(?)",
};

impl Engine for Sqlite {
    fn connect(&self, timeout: Duration) -> Result<Box<dyn Connection>, Failure> {
        // Not a URI: what a path has in it is a part of its name.
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.open(flags, timeout, |database| {
            // The file may be hostile: its views and triggers may call nothing that has effects, no value is too long,
            // and its pages are checked.
            database.set_db_config(DbConfig::SQLITE_DBCONFIG_DEFENSIVE, true)?;
            // Else SQLite compiles a statement again whenever its parameters have other values.
            database.set_db_config(DbConfig::SQLITE_DBCONFIG_ENABLE_QPSG, true)?;
            database.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
            let _ = database.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_LEN);
            database.execute_batch("PRAGMA cell_size_check = ON; PRAGMA secure_delete = ON")?;
            let wal = database.query_row("PRAGMA journal_mode = WAL", [], |_| Ok(()));
            match wal {
                // A user that may only read goes on in the mode that the file has.
                Err(Error::SqliteFailure(error, _)) if error.code == ErrorCode::ReadOnly => {}
                other => other?,
            }
            database.execute_batch(&format!("PRAGMA synchronous = FULL; PRAGMA cache_size = -{CACHE_KIB}"))?;
            database.set_prepared_statement_cache_capacity(CACHED_STATEMENTS);
            Ok(())
        })
    }

    fn connect_to_read(&self, timeout: Duration) -> Result<Box<dyn Connection>, Failure> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        self.open(flags, timeout, |database| {
            database.set_db_config(DbConfig::SQLITE_DBCONFIG_TRUSTED_SCHEMA, false)?;
            let _ = database.set_limit(Limit::SQLITE_LIMIT_LENGTH, MAX_VALUE_LEN);
            Ok(())
        })
    }

    /// For the owner alone. SQLite gives its other files the mode of this one.
    ///
    /// The file is closed before it has its name. Another thread may open and lock it from then on, and closing it
    /// would end that lock.
    fn create_database(&self) -> Result<(), Failure> {
        let directory = self.path.parent().filter(|it| !it.as_os_str().is_empty()).unwrap_or(Path::new("."));
        let named =
            || NamedTempFile::new_in(directory)?.into_temp_path().persist_noclobber(&self.path).map_err(Into::into);
        let created: io::Result<()> = if self.path.exists() { Ok(()) } else { named() };
        match created {
            Err(error) if error.kind() != io::ErrorKind::AlreadyExists => {
                let kind = of_path(error.kind()).unwrap_or(FailureKind::Other);
                Err(Failure { kind, message: error.to_string() })
            }
            _ => Ok(()),
        }
    }

    fn dialect(&self) -> &'static Dialect {
        &DIALECT
    }

    /// A writer that waits looks again and again, and each commit is on the disk before the next one.
    fn writers(&self, _: usize) -> usize {
        1
    }
}

impl Sqlite {
    fn open(
        &self,
        flags: OpenFlags,
        timeout: Duration,
        set_up: impl Fn(&Database) -> rusqlite::Result<()>,
    ) -> Result<Box<dyn Connection>, Failure> {
        let open = || {
            let database = Database::open_with_flags(&self.path, flags)?;
            database.busy_timeout(timeout)?;
            set_up(&database)?;
            Ok(database)
        };
        let opened = match open() {
            // Another process may have made the file after SQLite had looked for it.
            // Held by `file_that_is_made_meanwhile_is_opened`: `&& false`.
            Err(error) if is_unopened(&error) && self.access().is_ok() => open(),
            opened => opened,
        };
        match opened {
            Ok(database) => Ok(Box::new(SqliteConnection { database, timeout })),
            Err(error) => Err(self.opening(error)),
        }
    }

    /// SQLite says "unable to open database file" for each reason.
    fn opening(&self, error: Error) -> Failure {
        let reason = is_unopened(&error).then(|| self.access().err()).flatten();
        let failure = failure(error);
        Failure { kind: reason.and_then(|reason| of_path(reason.kind())).unwrap_or(failure.kind), ..failure }
    }

    /// Whether this process may read and write the file. The file stays closed: to close it would end the locks that
    /// this process has on it.
    #[cfg(unix)]
    fn access(&self) -> io::Result<()> {
        use rustix::fs::Access;
        Ok(rustix::fs::access(&self.path, Access::READ_OK | Access::WRITE_OK)?)
    }

    #[cfg(not(unix))]
    fn access(&self) -> io::Result<()> {
        std::fs::metadata(&self.path).map(drop)
    }
}

fn is_unopened(error: &Error) -> bool {
    error.sqlite_error_code() == Some(ErrorCode::CannotOpen)
}

/// What it means that the file cannot be opened.
fn of_path(kind: io::ErrorKind) -> Option<FailureKind> {
    match kind {
        io::ErrorKind::NotFound => Some(FailureKind::NoDatabase),
        io::ErrorKind::PermissionDenied => Some(FailureKind::Permission),
        // Held by `read_only_disk_is_read_or_refused_with_the_reason`.
        io::ErrorKind::ReadOnlyFilesystem => Some(FailureKind::ReadOnly),
        io::ErrorKind::StorageFull => Some(FailureKind::Full),
        _ => None,
    }
}

struct SqliteConnection {
    database: Database,
    timeout: Duration,
}

impl Connection for SqliteConnection {
    fn execute(&mut self, statement: &str, parameters: &[Parameter<'_>]) -> Result<u64, Failure> {
        let execute = || {
            let mut statement = self.database.prepare_cached(statement)?;
            for (parameter, number) in parameters.iter().zip(1..) {
                statement.raw_bind_parameter(number, parameter)?;
            }
            statement.raw_execute()
        };
        let changed = execute().map_err(failure)?;
        Ok(u64::try_from(changed).unwrap_or(u64::MAX))
    }

    fn query(&mut self, statement: &str, parameters: &[Parameter<'_>], each: EachRow<'_>) -> Result<(), Failure> {
        let mut query = || {
            let mut statement = self.database.prepare_cached(statement)?;
            for (parameter, number) in parameters.iter().zip(1..) {
                statement.raw_bind_parameter(number, parameter)?;
            }
            let mut rows = statement.raw_query();
            while let Some(row) = rows.next()? {
                if each(&SqliteRow(row)).is_break() {
                    break;
                }
            }
            Ok(())
        };
        query().map_err(failure)
    }

    /// SQLite's own wait sleeps up to 100 ms while the lock may be free, which makes several processes slow.
    fn begin(&mut self, timeout: Duration) -> Result<(), Failure> {
        let started = Instant::now();
        let mut pause = PAUSES.0;
        self.database.busy_timeout(Duration::ZERO).map_err(failure)?;
        let begun = loop {
            let left = timeout.saturating_sub(started.elapsed());
            match self.execute("BEGIN IMMEDIATE", &[]) {
                Err(failure) if failure.kind == FailureKind::Contention && !left.is_zero() => {
                    thread::sleep(pause.min(left));
                    pause = pause.saturating_mul(2).min(PAUSES.1);
                }
                begun => break begun.map(drop),
            }
        };
        self.database.busy_timeout(self.timeout).map_err(failure)?;
        begun
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.execute("COMMIT", &[]).map(drop)
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        // After some errors SQLite has already done so.
        if self.database.is_autocommit() { Ok(()) } else { self.execute("ROLLBACK", &[]).map(drop) }
    }

    fn forget_old_rows(&mut self) {
        // The log has the pages of before; readers may keep it. Writers wait meanwhile.
        let _ = self.database.busy_timeout(self.timeout.min(CHECKPOINT_TIMEOUT));
        let _ = self.database.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(()));
        let _ = self.database.busy_timeout(self.timeout);
    }
}

struct SqliteRow<'a>(&'a rusqlite::Row<'a>);

impl Row for SqliteRow<'_> {
    fn cell(&self, column: usize) -> Cell<'_> {
        match self.0.get_ref(column) {
            Ok(ValueRef::Null) => Cell::Null,
            Ok(ValueRef::Integer(number)) => Cell::Integer(number),
            Ok(ValueRef::Blob(bytes)) => Cell::Bytes(bytes),
            Ok(ValueRef::Text(text)) => Cell::Text(text),
            Ok(ValueRef::Real(_)) | Err(_) => Cell::Other,
        }
    }
}

impl ToSql for Parameter<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match *self {
            Self::Null => ValueRef::Null,
            Self::Integer(number) => ValueRef::Integer(number),
            Self::Bytes(bytes) => ValueRef::Blob(bytes),
            Self::Text(text) => ValueRef::Text(text.as_bytes()),
        }))
    }
}

fn failure(error: Error) -> Failure {
    let (code, message) = match error {
        // Without the statement.
        Error::SqlInputError { error, msg, .. } => (error, msg),
        Error::SqliteFailure(code, _) => (code, error.to_string()),
        other => return Failure { kind: FailureKind::Other, message: other.to_string() },
    };
    let kind = match code.code {
        ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => FailureKind::Contention,
        ErrorCode::ReadOnly => FailureKind::ReadOnly,
        ErrorCode::PermissionDenied | ErrorCode::AuthorizationForStatementDenied | ErrorCode::CannotOpen => {
            FailureKind::Permission
        }
        ErrorCode::NotADatabase => FailureKind::NotADatabase,
        ErrorCode::DatabaseCorrupt => FailureKind::Damaged,
        ErrorCode::DiskFull => FailureKind::Full,
        ErrorCode::ConstraintViolation => FailureKind::NotUnique,
        ErrorCode::TooBig => FailureKind::TooLong,
        // SQLite has one code for all errors in statements.
        _ if message.starts_with("no such table") => FailureKind::NoTable,
        _ if message.starts_with("no such column") || message.contains("has no column named") => {
            FailureKind::OtherColumns
        }
        _ => FailureKind::Other,
    };
    Failure { kind, message }
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

    use super::*;

    /// As if another process made the file between SQLite's look for it and the question why it cannot be opened.
    #[test]
    fn file_that_is_made_meanwhile_is_opened() {
        let directory = tempfile::tempdir().unwrap();
        let engine = Sqlite::new(&directory.path().join("tokens.db"));
        let attempts = Cell::new(0);
        let open = || {
            engine.open(OpenFlags::SQLITE_OPEN_READ_WRITE, Duration::ZERO, |_| {
                attempts.set(attempts.get() + 1);
                let unopened = rusqlite::ffi::Error::new(rusqlite::ffi::SQLITE_CANTOPEN);
                if attempts.get() == 1 { Err(Error::SqliteFailure(unopened, None)) } else { Ok(()) }
            })
        };
        assert_eq!(open().err().unwrap().kind, FailureKind::NoDatabase);
        engine.create_database().unwrap();
        engine.create_database().unwrap();
        assert_eq!(std::fs::read_dir(&directory).unwrap().count(), 1, "no other file is left");
        assert!(open().is_ok() && attempts.get() == 2);
    }
}
