//! Finds and saves in SQLite beside the same work in plain SQL with the same driver, interleaved in one run:
//! `cargo bench -p tokenkeep-sql --bench sql`. Sizes are arguments: `-- 100000`.

use std::{hint::black_box, path::Path, time::SystemTime};

use rusqlite::{Connection, OptionalExtension, Row, params_from_iter, types::Value};
use tempfile::TempDir;
use tokenkeep::{
    RecoveryKey, Token, TokenStore, Unlock,
    vault::{IndexedValue, RowTable, SealedRow, Vault},
};
use tokenkeep_sql::SqlStore;

// Each benchmark uses a part of it.
#[allow(dead_code)]
mod common;

use common::{CLIENT, EXPIRY, Pairs, Plan, Report, Target, number, query, read, texts, token, user};

/// How many finds one measurement has.
const FINDS: usize = 50;
/// How many rows are kept beside the database, for what cryptography takes alone.
const KEPT: usize = 100;

fn main() {
    let Plan { sizes, rounds, .. } = Plan::of_command_line(&[100, 10_000, 100_000, 1_000_000]);
    let mut report = Report::begin("µs");
    for size in sizes {
        // On the disk that the project is on: other temporary directories may be in memory.
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (plain, sealed) = (Plain::new(directory.path(), size), Sealed::new(directory.path(), size));
        let place = format!("{size} tokens");
        let find = Pairs::of_times(
            rounds,
            FINDS,
            |round| assert!(black_box(plain.find(number(round, size))).is_some()),
            |round| assert!(black_box(sealed.store.find_stored(&query(number(round, size))).unwrap()).is_some()),
        );
        report.row(&place, "find by user and client", &find, Target::AtMost(2.0));
        let by_id = Pairs::of_times(
            rounds,
            FINDS,
            |round| assert!(black_box(plain.find_by_id(number(round, size))).is_some()),
            |round| {
                let id = number(round, size).to_string().as_str().into();
                assert!(black_box(sealed.store.find_token_by_id(&id).unwrap()).is_some());
            },
        );
        report.row(&place, "find by id", &by_id, Target::AtMost(2.0));
        let opening = Pairs::of_times(rounds, FINDS, |_| (), |round| sealed.open(round));
        report.part(&place, "of which opening the row, and its blind index", &opening);
        let save = Pairs::of_times(
            rounds,
            1,
            |round| plain.save(&token(number(round, size), round + 1)),
            |round| drop(sealed.store.save_token(&token(number(round, size), round + 1)).unwrap()),
        );
        report.row(&place, "save", &save, Target::AtMost(1.3));
    }
    report.end();
}

/// A sealed store, and some of its rows for what can be done without a database.
struct Sealed {
    store: SqlStore,
    vault: Vault,
    table_id: [u8; 16],
    kept: Vec<SealedRow>,
}

impl Sealed {
    /// Fills the tables as docs/database.md describes them: the store itself would look at the rows before each save.
    fn new(directory: &Path, size: usize) -> Self {
        let path = directory.join("sealed.db");
        let unlock = Unlock::from(RecoveryKey::generate().unwrap());
        let store = SqlStore::create(&format!("sqlite://{}", path.display()), &unlock).unwrap();
        let database = Connection::open(path).unwrap();
        let ids = "SELECT table_id, key_table FROM tokenkeep_store";
        let (table_id, key_table): ([u8; 16], Vec<u8>) =
            database.query_row(ids, [], |row| Ok((row.get(0)?, row.get(1)?))).unwrap();
        let vault = Vault::open("bench", &key_table, &unlock).unwrap();
        let (table, now) = (RowTable { id: table_id, namespace: "" }, SystemTime::now());
        let seal = |number: usize| {
            let token = token(number, 0).to_builder().id(number.to_string());
            let token = token.stored(vault.row_origin(table), now, now, 1).build();
            vault.seal_row(table, number as u64 - 1, &token).unwrap()
        };

        let indexes = "SELECT name, sql FROM sqlite_schema WHERE tbl_name = 'tokenkeep_tokens' AND type = 'index' \
                       AND sql IS NOT NULL";
        let indexes: Vec<(String, String)> = database
            .prepare(indexes)
            .and_then(|mut statement| statement.query_map([], |row| Ok((row.get(0)?, row.get(1)?)))?.collect())
            .unwrap();
        let drop: String = indexes.iter().map(|(name, _)| format!("DROP INDEX {name};")).collect();
        let create: String = indexes.iter().map(|(_, statement)| format!("{statement};")).collect();
        let insert = "INSERT INTO tokenkeep_tokens (place, revision, key_id, namespace_index, id_index, \
                      user_name_index, user_and_client_index, access_token_index, grant_token_index, \
                      refresh_token_index, sealed) VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)";
        database.execute_batch(&format!("PRAGMA synchronous = OFF; {drop}")).unwrap();
        fill(&database, insert, size, |number| {
            let SealedRow { place, revision, columns, bytes } = seal(number);
            let blob = |index: Option<[u8; 32]>| index.map_or(Value::Null, |index| Value::Blob(index.to_vec()));
            let indexes = [Some(columns.namespace), Some(columns.id), columns.user_name, columns.user_and_client];
            let tokens = [columns.access_token, columns.grant_token, columns.refresh_token];
            let numbers = [place, revision].map(|number| Value::Integer(number as i64)).into_iter();
            let key_id = Value::Blob(vault.key_id().to_vec());
            let indexes = indexes.into_iter().chain(tokens).map(blob);
            numbers.chain([key_id]).chain(indexes).chain([Value::Blob(bytes)]).collect()
        });
        let next = format!("UPDATE tokenkeep_store SET next_id = {}, next_place = {size};", size + 1);
        database.execute_batch(&format!("{create} {next} PRAGMA wal_checkpoint(TRUNCATE)")).unwrap();
        let kept = (1..=KEPT).map(seal).collect();
        Self { store, vault, table_id, kept }
    }

    /// What a find by user does beside its query.
    fn open(&self, round: usize) {
        let row = &self.kept[round % KEPT];
        black_box(self.vault.blind_index("", IndexedValue::UserName(&user(round % KEPT))).unwrap());
        black_box(self.vault.open_row_of_any_namespace(self.table_id, row).unwrap());
    }
}

const FIND: &str = "SELECT * FROM tokens WHERE user_name = ? AND client_id = ?";

/// The same table, not sealed, as an application would write it. Its ids are texts, as in the vendor's table.
struct Plain(Connection);

impl Plain {
    fn new(directory: &Path, size: usize) -> Self {
        let database = Connection::open(directory.join("plain.db")).unwrap();
        database
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = OFF; \
                 CREATE TABLE tokens (id TEXT PRIMARY KEY, expiry_time INTEGER, user_name TEXT, client_id TEXT, \
                 client_secret TEXT, refresh_token TEXT, access_token TEXT, redirect_url TEXT, api_domain TEXT, \
                 UNIQUE (user_name, client_id)); CREATE INDEX by_access ON tokens (access_token); \
                 CREATE INDEX by_refresh ON tokens (refresh_token)",
            )
            .unwrap();
        fill(&database, "INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)", size, |number| {
            let start = [Value::Text(number.to_string()), Value::Integer(EXPIRY)].into_iter();
            start.chain(texts(&token(number, 0)).map(Value::Text)).collect()
        });
        database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); PRAGMA synchronous = FULL").unwrap();
        Self(database)
    }

    fn find(&self, number: usize) -> Option<Token> {
        self.query(FIND, [Value::Text(user(number)), Value::Text(CLIENT.into())])
    }

    fn find_by_id(&self, number: usize) -> Option<Token> {
        self.query("SELECT * FROM tokens WHERE id = ?", [Value::Text(number.to_string())])
    }

    fn query<const N: usize>(&self, statement: &str, values: [Value; N]) -> Option<Token> {
        let mut statement = self.0.prepare_cached(statement).unwrap();
        statement.query_row(params_from_iter(values), token_of).optional().unwrap()
    }

    /// Reads the row, and writes it with the new tokens, in one transaction.
    fn save(&self, token: &Token) {
        let execute = |statement: &str, values: &[Value]| {
            self.0.prepare_cached(statement).unwrap().execute(params_from_iter(values)).unwrap()
        };
        let [user_name, client_id, _, refresh_token, access_token, ..] = texts(token).map(Value::Text);
        execute("BEGIN IMMEDIATE", &[]);
        let row = self.query(FIND, [user_name, client_id]).unwrap();
        let id = Value::Text(row.id().unwrap().to_string());
        let save = "UPDATE tokens SET refresh_token = ?, access_token = ?, expiry_time = ? WHERE id = ?";
        assert_eq!(execute(save, &[refresh_token, access_token, Value::Integer(EXPIRY), id]), 1);
        execute("COMMIT", &[]);
    }
}

/// Inserts that many rows, some at a time.
fn fill(database: &Connection, insert: &str, size: usize, values: impl Fn(usize) -> Vec<Value>) {
    let mut insert = database.prepare(insert).unwrap();
    for first in (1..=size).step_by(10_000) {
        database.execute_batch("BEGIN").unwrap();
        for number in first..=size.min(first + 9_999) {
            insert.execute(params_from_iter(values(number))).unwrap();
        }
        database.execute_batch("COMMIT").unwrap();
    }
}

fn token_of(row: &Row<'_>) -> rusqlite::Result<Token> {
    let text = |column: usize| row.get::<_, String>(column);
    let texts = [text(2)?, text(3)?, text(4)?, text(5)?, text(6)?, text(7)?, text(8)?];
    Ok(read(&row.get::<_, String>(0)?, row.get(1)?, texts))
}
