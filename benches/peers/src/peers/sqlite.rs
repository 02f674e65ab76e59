//! SQLite with an index on every lookup column, and SQLCipher with a raw key, so that no key is derived.

use std::{hint::black_box, marker::PhantomData, path::Path, sync::Mutex};

use rusqlite::{Connection, OptionalExtension, params};

use crate::{
    peer::{By, Peer},
    rows::Row,
};

/// How a transaction is made durable.
pub trait Journal: Send + Sync {
    const PRAGMAS: &str;
}

/// As SQLite comes: a journal that is deleted with each transaction, `synchronous=FULL`. The directory is not synced
/// after it is deleted, so that a power cut may bring it back, and with it what was before.
pub struct Delete;

impl Journal for Delete {
    const PRAGMAS: &str = "";
}

/// A write-ahead log, synced with each transaction too.
pub struct Wal;

impl Journal for Wal {
    const PRAGMAS: &str = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL;";
}

/// Whether the file is encrypted.
pub trait Cipher: Send + Sync {
    const PRAGMAS: &str;
}

pub struct Plain;

impl Cipher for Plain {
    const PRAGMAS: &str = "";
}

/// By SQLCipher.
pub struct Encrypted;

impl Cipher for Encrypted {
    const PRAGMAS: &str = "PRAGMA key = \"x'000102030405060708090a0b0c0d0e0f101112131415161718191a1b1c1d1e1f'\";";
}

pub struct Sqlite<C, J>(Mutex<Connection>, PhantomData<(C, J)>);

pub struct Query {
    sql: &'static str,
    value: String,
}

const TABLE: &str =
    "CREATE TABLE tokens (id INTEGER PRIMARY KEY, user_name TEXT UNIQUE, client_id TEXT, client_secret TEXT,
    refresh_token TEXT, access_token TEXT, expires_at_ms INTEGER, redirect_url TEXT, api_domain TEXT);
    CREATE INDEX refresh_tokens ON tokens (refresh_token);
    CREATE INDEX access_tokens ON tokens (access_token);";
const INSERT: &str = "INSERT INTO tokens VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9)";

fn connect<C: Cipher, J: Journal>(directory: &Path) -> Connection {
    let connection = Connection::open(directory.join("tokens.db")).unwrap();
    connection.execute_batch(C::PRAGMAS).unwrap();
    connection.execute_batch(J::PRAGMAS).unwrap();
    connection
}

fn insert(connection: &Connection, row: &Row) {
    let id: i64 = row.id.parse().unwrap();
    connection
        .prepare_cached(INSERT)
        .unwrap()
        .execute(params![
            id,
            row.user_name,
            row.client_id,
            row.client_secret,
            row.refresh_token,
            row.access_token,
            row.expires_at_ms as i64,
            row.redirect_url,
            row.api_domain,
        ])
        .unwrap();
}

fn row_of(row: &rusqlite::Row<'_>) -> rusqlite::Result<Row> {
    Ok(Row {
        id: row.get::<_, i64>(0)?.to_string(),
        user_name: row.get(1)?,
        client_id: row.get(2)?,
        client_secret: row.get(3)?,
        refresh_token: row.get(4)?,
        access_token: row.get(5)?,
        expires_at_ms: row.get::<_, i64>(6)? as u64,
        redirect_url: row.get(7)?,
        api_domain: row.get(8)?,
    })
}

impl<C: Cipher, J: Journal> Peer for Sqlite<C, J> {
    type Query = Query;

    fn fill(directory: &Path, rows: Vec<Row>) {
        let mut connection = connect::<C, J>(directory);
        let transaction = connection.transaction().unwrap();
        transaction.execute_batch(TABLE).unwrap();
        rows.iter().for_each(|row| insert(&transaction, row));
        transaction.commit().unwrap();
    }

    fn open(directory: &Path) -> Self {
        let connection = connect::<C, J>(directory);
        // Only now does it look at the file.
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0)).unwrap();
        Self(Mutex::new(connection), PhantomData)
    }

    fn query(&self, by: By, row: &Row) -> Query {
        let sql = match by {
            By::Id => "SELECT * FROM tokens WHERE id = ?1",
            By::User => "SELECT * FROM tokens WHERE user_name = ?1",
            By::RefreshToken => "SELECT * FROM tokens WHERE refresh_token = ?1 ORDER BY id LIMIT 1",
        };
        Query { sql, value: by.value(row).to_owned() }
    }

    fn find(&self, query: &Query) -> bool {
        let connection = self.0.lock().unwrap();
        let found = connection.prepare_cached(query.sql).unwrap().query_row([&query.value], row_of).optional();
        black_box(found.unwrap()).is_some()
    }

    fn save(&self, row: &Row) {
        let connection = self.0.lock().unwrap();
        let sql = "UPDATE tokens SET access_token = ?1, expires_at_ms = ?2 WHERE user_name = ?3";
        let changed = params![row.access_token, row.expires_at_ms as i64, row.user_name];
        assert_eq!(connection.prepare_cached(sql).unwrap().execute(changed).unwrap(), 1);
    }

    fn delete(&self, row: &Row) {
        let connection = self.0.lock().unwrap();
        let mut statement = connection.prepare_cached("DELETE FROM tokens WHERE id = ?1").unwrap();
        assert_eq!(statement.execute([&row.id]).unwrap(), 1);
    }

    fn restore(&self, row: &Row) {
        insert(&self.0.lock().unwrap(), row);
    }

    fn list(&self) -> usize {
        let connection = self.0.lock().unwrap();
        let mut statement = connection.prepare_cached("SELECT * FROM tokens ORDER BY id").unwrap();
        let rows = statement.query_map([], row_of).unwrap().collect::<rusqlite::Result<Vec<_>>>();
        black_box(rows.unwrap()).len()
    }
}
