//! A find and a save beside the same work in plain SQL, with the same driver, interleaved in one run:
//! `cargo bench -p tokenkeep-sql`. Sizes are arguments: `cargo bench -p tokenkeep-sql -- 1000000`.

use std::{
    env,
    hint::black_box,
    path::Path,
    time::{Duration, Instant},
};

use rusqlite::{Connection, OptionalExtension, params};
use tempfile::TempDir;
use tokenkeep::{RecoveryKey, Token, TokenStore};
use tokenkeep_sql::SqlStore;

const SIZES: [usize; 2] = [100, 10_000];
/// How often each operation is measured, and how many of them one measurement of a find has.
const ROUNDS: usize = 301;
const FINDS: usize = 50;

fn main() {
    let arguments: Vec<_> = env::args().skip(1).collect();
    // `cargo test` runs each benchmark once.
    let is_test = !arguments.iter().any(|argument| argument == "--bench");
    let mut sizes: Vec<usize> = arguments.iter().filter_map(|argument| argument.parse().ok()).collect();
    if sizes.is_empty() {
        sizes = SIZES.to_vec();
    }
    if is_test {
        sizes = vec![10];
    }
    println!("| tokens | operation | plain SQL, µs | sealed, µs | ratio |\n|---|---|---|---|---|");
    for size in sizes {
        // On the disk that the project is on: other temporary directories may be in memory.
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let (plain, sealed) = (Plain::new(directory.path(), size), sealed(directory.path(), size));
        let rounds = if is_test { 1 } else { ROUNDS };
        let find = compare(
            rounds,
            FINDS,
            |round| assert!(black_box(plain.find(number(round, size))).is_some()),
            |round| assert!(black_box(sealed.find_stored(&query(number(round, size))).unwrap()).is_some()),
        );
        show(size, "find by user and client", find);
        let by_id = compare(
            rounds,
            FINDS,
            |round| assert!(black_box(plain.find_by_id(number(round, size))).is_some()),
            |round| {
                let id = number(round, size).to_string().as_str().into();
                assert!(black_box(sealed.find_token_by_id(&id).unwrap()).is_some());
            },
        );
        show(size, "find by id", by_id);
        let save = compare(
            rounds,
            1,
            |round| plain.save(&token(number(round, size), round)),
            |round| drop(sealed.save_token(&token(number(round, size), round)).unwrap()),
        );
        show(size, "save", save);
    }
}

/// Another row each round, all over the table.
fn number(round: usize, size: usize) -> usize {
    1 + round.wrapping_mul(7_919) % size
}

fn query(number: usize) -> Token {
    Token::builder().user_name(format!("user{number}@example.com")).client_id("1000.CLIENT").build()
}

/// Some 440 bytes, as the vendor's columns have them.
fn token(number: usize, round: usize) -> Token {
    let secret = |what: &str| format!("1000.{what}{number:0>32}{round:0>32}");
    query(number)
        .to_builder()
        .client_secret("0123456789abcdef0123456789abcdef0123456789")
        .refresh_token(secret("r"))
        .access_token(secret("a"))
        .expires_in(Duration::from_secs(3600))
        .redirect_url("https://www.example.com/oauth/callback")
        .api_domain("https://www.example.com")
        .build()
}

fn sealed(directory: &Path, size: usize) -> SqlStore {
    let url = format!("sqlite://{}", directory.join("sealed.db").display());
    let store = SqlStore::create(&url, &RecoveryKey::generate().unwrap().into()).unwrap();
    let save = |numbers: std::ops::Range<usize>| {
        store.transaction(|tx| numbers.into_iter().try_for_each(|number| tx.save_token(&token(number, 0)).map(drop)))
    };
    (1..=size).step_by(10_000).for_each(|first| save(first..(first + 10_000).min(size + 1)).unwrap());
    store
}

/// The same table, not sealed: as an application would write it.
struct Plain(Connection);

impl Plain {
    fn new(directory: &Path, size: usize) -> Self {
        let mut database = Connection::open(directory.join("plain.db")).unwrap();
        database
            .execute_batch(
                "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; \
                 CREATE TABLE tokens (id INTEGER PRIMARY KEY, user_name TEXT, client_id TEXT, client_secret TEXT, \
                 refresh_token TEXT, access_token TEXT, expiry_time INTEGER, redirect_url TEXT, api_domain TEXT, \
                 UNIQUE (user_name, client_id)); CREATE INDEX by_access ON tokens (access_token); \
                 CREATE INDEX by_refresh ON tokens (refresh_token)",
            )
            .unwrap();
        let transaction = database.transaction().unwrap();
        for number in 1..=size {
            insert(&transaction, number);
        }
        transaction.commit().unwrap();
        Self(database)
    }

    fn find(&self, number: usize) -> Option<Token> {
        let mut statement =
            self.0.prepare_cached("SELECT * FROM tokens WHERE user_name = ? AND client_id = ?").unwrap();
        statement.query_row(params![format!("user{number}@example.com"), "1000.CLIENT"], read).optional().unwrap()
    }

    fn find_by_id(&self, number: usize) -> Option<Token> {
        let mut statement = self.0.prepare_cached("SELECT * FROM tokens WHERE id = ?").unwrap();
        statement.query_row([number as i64], read).optional().unwrap()
    }

    /// Reads the row, and writes it with the new tokens, in one transaction.
    fn save(&self, token: &Token) {
        let execute = |sql: &str| self.0.prepare_cached(sql).unwrap().execute([]).unwrap();
        execute("BEGIN IMMEDIATE");
        let mut find = self.0.prepare_cached("SELECT * FROM tokens WHERE user_name = ? AND client_id = ?").unwrap();
        let row = find.query_row([token.user_name(), token.client_id()], read).unwrap();
        let mut update = self
            .0
            .prepare_cached("UPDATE tokens SET refresh_token = ?, access_token = ?, expiry_time = ? WHERE id = ?")
            .unwrap();
        let id: i64 = row.id().unwrap().as_str().parse().unwrap();
        let text = |secret: Option<&tokenkeep::Secret>| secret.unwrap().expose_secret().to_owned();
        let changed = update.execute(params![text(token.refresh_token()), text(token.access_token()), id, id]).unwrap();
        assert_eq!(changed, 1);
        execute("COMMIT");
    }
}

fn insert(database: &Connection, number: usize) {
    let token = token(number, 0);
    let text = |secret: Option<&tokenkeep::Secret>| secret.unwrap().expose_secret().to_owned();
    let mut statement = database.prepare_cached("INSERT INTO tokens VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)").unwrap();
    let values = params![
        number as i64,
        token.user_name(),
        token.client_id(),
        text(token.client_secret()),
        text(token.refresh_token()),
        text(token.access_token()),
        1_795_000_000_000_i64,
        token.redirect_url(),
        token.api_domain(),
    ];
    statement.execute(values).unwrap();
}

fn read(row: &rusqlite::Row<'_>) -> rusqlite::Result<Token> {
    let text = |column: usize| row.get::<_, String>(column);
    let token = Token::builder().id(row.get::<_, i64>(0)?.to_string()).user_name(text(1)?).client_id(text(2)?);
    let token = token.client_secret(text(3)?).refresh_token(text(4)?).access_token(text(5)?);
    let expiry = std::time::SystemTime::UNIX_EPOCH + Duration::from_millis(row.get::<_, i64>(6)? as u64);
    Ok(token.expires_at(expiry).redirect_url(text(7)?).api_domain(text(8)?).build())
}

/// The medians of both, one after the other in each round.
fn compare(rounds: usize, count: usize, plain: impl Fn(usize), sealed: impl Fn(usize)) -> [Duration; 2] {
    let mut times = [Vec::new(), Vec::new()];
    for round in 0..rounds {
        for (times, run) in times.iter_mut().zip([&plain as &dyn Fn(usize), &sealed]) {
            let started = Instant::now();
            (0..count).for_each(|number| run(round * count + number));
            times.push(started.elapsed() / count as u32);
        }
    }
    times.map(|mut times| {
        times.sort_unstable();
        times[times.len() / 2]
    })
}

fn show(size: usize, operation: &str, [plain, sealed]: [Duration; 2]) {
    let micros = |time: Duration| time.as_secs_f64() * 1e6;
    let (plain, sealed) = (micros(plain), micros(sealed));
    println!("| {size} | {operation} | {plain:.1} | {sealed:.1} | {:.2} |", sealed / plain);
}
