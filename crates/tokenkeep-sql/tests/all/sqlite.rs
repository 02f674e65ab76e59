//! The database of this test program: SQLite.

use std::{path::PathBuf, time::Duration};

use rusqlite::{Connection, types};
use tempfile::TempDir;

use crate::common::{Value, hex};

/// What the names of databases begin with.
pub(crate) const SCHEME: &str = "sqlite:///";

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

/// The database as somebody has it who can write to it, without the keys.
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
