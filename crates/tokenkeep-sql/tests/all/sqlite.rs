//! The database of this test program: SQLite.

use std::{
    collections::HashMap,
    ffi::{CStr, c_char, c_int, c_uint, c_void},
    path::PathBuf,
    sync::{LazyLock, Mutex, Once},
    time::Duration,
};

use rusqlite::{Connection, ffi, types};
use tempfile::TempDir;

use crate::common::{Fixture, Value, hex};

/// What the names of databases begin with.
pub(crate) const SCHEME: &str = "sqlite:///";
/// What it costs to begin a change: `BEGIN`, the count and the store's row.
pub(crate) const TO_BEGIN: usize = 3;

/// A database of its own, without tables. It is deleted when this is dropped.
pub(crate) struct Place {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
}

impl Place {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.db");
        Self { directory, path }
    }

    pub(crate) fn url(&self) -> String {
        url(&self.path)
    }

    /// Whether the database finds itself sound.
    pub(crate) fn check(&self) {
        assert_eq!(self.admin().rows("PRAGMA integrity_check"), [[Value::Text("ok".to_owned())]]);
    }

    pub(crate) fn admin(&self) -> Admin {
        let database = Connection::open(&self.path).unwrap();
        database.busy_timeout(Duration::from_secs(10)).unwrap();
        Admin(database)
    }
}

/// The database as an attacker has it: able to write, without the keys.
pub(crate) struct Admin(pub(crate) Connection);

impl Admin {
    pub(crate) fn try_execute(&mut self, statements: &str) -> Result<(), String> {
        self.0.execute_batch(statements).map_err(|error| error.to_string())
    }

    pub(crate) fn rows(&mut self, query: &str) -> Vec<Vec<Value>> {
        let mut statement = self.0.prepare(query).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([], |row| (0..columns).map(|column| row.get(column).map(value)).collect());
        rows.unwrap().collect::<Result<_, _>>().unwrap()
    }
}

fn value(value: types::Value) -> Value {
    match value {
        types::Value::Null => Value::Null,
        types::Value::Integer(number) => Value::Integer(number),
        types::Value::Real(number) => panic!("no column of ours: {number}"),
        types::Value::Text(text) => Value::Text(text),
        types::Value::Blob(bytes) => Value::Bytes(bytes),
    }
}

/// Counts the statements that this process executes on the database of a store.
pub(crate) struct Counter {
    path: String,
}

/// How many, on each database that was opened since the first counter was made.
static STATEMENTS: LazyLock<Mutex<HashMap<String, usize>>> = LazyLock::new(Mutex::default);

impl Counter {
    /// For handles that are opened from now on, with the URL.
    pub(crate) fn counting(fixture: &Fixture) -> (Self, String) {
        static ONCE: Once = Once::new();
        // SAFETY: the function does what SQLite expects of it, and opens no database.
        ONCE.call_once(|| unsafe { rusqlite::auto_extension::register_auto_extension(count_statements).unwrap() });
        let path = fixture.place.path.canonicalize().unwrap().to_str().unwrap().to_owned();
        (Self { path }, fixture.url.clone())
    }

    pub(crate) fn count(&self, work: impl FnOnce()) -> usize {
        let count = || STATEMENTS.lock().unwrap().get(&self.path).copied().unwrap_or_default();
        let before = count();
        work();
        count() - before
    }
}

/// SQLite calls this for each new connection.
unsafe extern "C" fn count_statements(
    database: *mut ffi::sqlite3,
    _: *mut *mut c_char,
    _: *const ffi::sqlite3_api_routines,
) -> c_int {
    unsafe extern "C" fn traced(_: c_uint, database: *mut c_void, _: *mut c_void, _: *mut c_void) -> c_int {
        // SAFETY: the connection exists while it executes a statement, and its path is a text that ends with a zero.
        let path = unsafe { CStr::from_ptr(ffi::sqlite3_db_filename(database.cast(), c"main".as_ptr())) };
        *STATEMENTS.lock().unwrap().entry(path.to_str().unwrap().to_owned()).or_default() += 1;
        0
    }
    // SAFETY: the connection is new, and is handed to the function only while it exists.
    unsafe { ffi::sqlite3_trace_v2(database, ffi::SQLITE_TRACE_STMT as c_uint, Some(traced), database.cast()) }
}

/// Bytes as a part of a statement.
pub(crate) fn literal(bytes: &[u8]) -> String {
    format!("x'{}'", hex(bytes))
}

/// The query for the columns of a table, in their order.
pub(crate) fn columns(table: &str) -> String {
    format!("SELECT name FROM pragma_table_info('{table}')")
}

pub(crate) fn url(path: &std::path::Path) -> String {
    format!("sqlite://{}", path.display())
}
