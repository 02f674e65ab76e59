//! Finds and saves on MariaDB and PostgreSQL beside the same work in plain SQL with the same driver, interleaved in one
//! run: `bash .ci/with-servers cargo bench -p tokenkeep-sql --bench servers`. Sizes are arguments: `-- 100000`.
//! `postgres` stands for tokio-postgres, which needs a runtime otherwise.
//!
//! With several processors, an answer takes up to three times as long if the system runs client and server on different
//! ones. Put `taskset -c 0` before the command to compare the work of one connection.

use std::{
    env,
    sync::atomic::{AtomicUsize, Ordering},
    thread,
    time::{Duration, Instant},
};

use mysql::prelude::Queryable;
use tokenkeep::{RecoveryKey, Token, TokenStore, Unlock};
use tokenkeep_sql::{SqlOptions, SqlStore};

// Each benchmark uses a part of it.
#[allow(dead_code)]
mod common;

use common::{CLIENT, EXPIRY, Pairs, Plan, Report, Target, number, query, read, texts, token, user};

const CONNECTIONS: usize = 16;
/// How often a throughput is measured.
const PERIODS: usize = 9;
/// How many finds one measurement has.
const FINDS: usize = 50;
/// After so many rounds each side gets new connections, which the system may put on other processors.
const ROUNDS_OF_A_CONNECTION: usize = 20;

const TABLE: &str = "CREATE TABLE plain (id VARCHAR(255) PRIMARY KEY, expiry_time BIGINT, user_name VARCHAR(255), \
                     client_id VARCHAR(255), client_secret VARCHAR(255), refresh_token VARCHAR(255), \
                     access_token VARCHAR(255), redirect_url VARCHAR(255), api_domain VARCHAR(255), \
                     UNIQUE (user_name, client_id))";
/// A save counts in a row of its own first, so that two of them exclude each other.
const COUNTER: &str = "CREATE TABLE counter (id BIGINT PRIMARY KEY, n BIGINT)";
const FIRST: &str = "INSERT INTO counter VALUES (1, 0)";
const INDEXES: [&str; 2] =
    ["CREATE INDEX by_access ON plain (access_token)", "CREATE INDEX by_refresh ON plain (refresh_token)"];
const INSERT: &str = "INSERT INTO plain VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9)";
const FIND: &str = "SELECT * FROM plain WHERE user_name = $1 AND client_id = $2";
const COUNT: &str = "UPDATE counter SET n = n + 1 WHERE id = 1";
const SAVE: &str = "UPDATE plain SET refresh_token = $1, access_token = $2, expiry_time = $3 WHERE id = $4";

fn main() {
    let plan = Plan::of_command_line(&[100, 10_000]);
    let [Ok(mysql), Ok(postgres)] = [env::var("MYSQL_URL"), env::var("POSTGRES_URL")] else {
        println!("NOT MEASURED: MYSQL_URL and POSTGRES_URL are not set, see .ci/with-servers");
        return;
    };
    let mut report = Report::begin("µs or rounds a second");
    measure(&mut report, &plan, "MariaDB", &mysql, || Box::new(Mysql::new(&mysql)));
    measure(&mut report, &plan, "PostgreSQL", &postgres, || Box::new(Postgres::new(&postgres)));
    report.end();
}

fn measure(report: &mut Report, plan: &Plan, name: &str, url: &str, connect: impl Fn() -> Box<dyn Plain>) {
    for &size in &plan.sizes {
        let place = format!("{name}, {size} tokens");
        let tables = format!("bench_{}_{size}", std::process::id());
        let options = SqlOptions::new().tables(&tables).connections(CONNECTIONS);
        let unlock = Unlock::from(RecoveryKey::generate().unwrap());
        let sealed = options.create(url, &unlock).unwrap();
        let fill = |first| {
            let numbers = first..=size.min(first + 999);
            sealed
                .transaction(|tx| numbers.into_iter().try_for_each(|number| tx.save_token(&token(number, 0)).map(drop)))
        };
        (1..=size).step_by(1_000).for_each(|first| fill(first).unwrap());
        connect().fill(size);

        let [mut finds, mut statements, mut saves] = [(); 3].map(|()| Pairs::default());
        for first in (0..plan.rounds).step_by(ROUNDS_OF_A_CONNECTION) {
            let rounds = ROUNDS_OF_A_CONNECTION.min(plan.rounds - first);
            let mut plain = connect();
            let sealed = options.open(url, &unlock).unwrap();
            let number = |round: usize| number(first + round, size);
            let token = |round| token(number(round), first + round + 1);
            finds.add(Pairs::of_times(
                rounds,
                FINDS,
                |round| plain.find(number(round)),
                |round| find(&sealed, number(round)),
            ));
            let mut statement = plain.sealed_find(&tables);
            statements.add(Pairs::of_times(rounds, FINDS, |_| (), |_| statement()));
            drop(statement);
            saves.add(Pairs::of_times(
                rounds,
                1,
                |round| plain.save(&token(round)),
                |round| save(&sealed, &token(round)),
            ));
        }
        report.row(&place, "find by user and client", &finds, Target::AtMost(1.2));
        report.part(&place, "of which its statement, and nothing opened", &statements);
        report.row(&place, "save", &saves, Target::AtMost(1.5));

        let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
        // No two saves are of the same access token.
        let turns = AtomicUsize::new(plan.rounds);
        let together = Pairs::new(
            PERIODS.min(plan.rounds),
            [
                &mut |_| {
                    let worker = |plain: &mut Box<dyn Plain>, turn| {
                        (0..3).for_each(|more| plain.find(number(turn + more, size)));
                        plain.save(&token(number(turn, size), turn));
                    };
                    rate(plan.period, &turns, connections.iter_mut().map(|plain| move |turn| worker(plain, turn)))
                },
                &mut |_| {
                    let worker = |turn| {
                        (0..3).for_each(|more| self::find(&sealed, number(turn + more, size)));
                        self::save(&sealed, &token(number(turn, size), turn));
                    };
                    rate(plan.period, &turns, (0..CONNECTIONS).map(|_| worker))
                },
            ],
        );
        report.row(&place, "16 connections: rounds of 3 finds and 1 save", &together, Target::AtLeast(0.8));
    }
}

/// The statement of a find by user and client in a sealed store.
fn of_sealed_find(tables: &str) -> String {
    format!(
        "SELECT s.key_id, s.key_table_revision, t.place, t.revision, t.key_id, t.namespace_index, t.id_index, \
         t.user_name_index, t.user_and_client_index, t.access_token_index, t.grant_token_index, \
         t.refresh_token_index, t.sealed FROM {tables}_store s LEFT JOIN {tables}_tokens t \
         ON t.user_and_client_index = $1 WHERE s.singleton = 1"
    )
}

/// What the first row of a sealed store is found by.
fn of_first_index(tables: &str) -> String {
    format!("SELECT user_and_client_index FROM {tables}_tokens WHERE place = 0")
}

fn find(store: &SqlStore, number: usize) {
    assert!(store.find_stored(&query(number)).unwrap().is_some());
}

fn save(store: &SqlStore, token: &Token) {
    store.save_token(token).unwrap();
}

/// How many rounds a second all workers make, each on a thread of its own. Each round has a number.
fn rate<W: FnMut(usize) + Send>(period: Duration, turns: &AtomicUsize, workers: impl Iterator<Item = W>) -> f64 {
    let (started, before) = (Instant::now(), turns.load(Ordering::Relaxed));
    thread::scope(|scope| {
        for mut work in workers {
            scope.spawn(move || {
                while started.elapsed() < period {
                    work(turns.fetch_add(1, Ordering::Relaxed));
                }
            });
        }
    });
    (turns.load(Ordering::Relaxed) - before) as f64 / started.elapsed().as_secs_f64()
}

/// The same work without sealing, through one connection. A save counts, reads the row, and writes it, in one
/// transaction.
trait Plain: Send {
    fn fill(&mut self, size: usize);
    fn find(&mut self, number: usize);
    fn save(&mut self, token: &Token);
    /// The statement of a find in a sealed store, which always finds the first row.
    fn sealed_find<'c>(&'c mut self, tables: &str) -> Box<dyn FnMut() + 'c>;
}

struct Mysql(mysql::Conn);

impl Mysql {
    fn new(url: &str) -> Self {
        let options = mysql::OptsBuilder::from_opts(mysql::Opts::from_url(url).unwrap());
        // Otherwise the driver switches to the server's Unix socket, which is faster than the TCP connection that the
        // sealed store uses.
        Self(mysql::Conn::new(options.prefer_socket(false)).unwrap())
    }

    fn find_token(&mut self, user_name: &str) -> Token {
        let row: mysql::Row = self.0.exec_first(question_marks(FIND), (user_name, CLIENT)).unwrap().unwrap();
        let text = |column: usize| row.get::<String, _>(column).unwrap();
        read(&text(0), row.get(1).unwrap(), [2, 3, 4, 5, 6, 7, 8].map(text))
    }
}

impl Plain for Mysql {
    fn fill(&mut self, size: usize) {
        for statement in ["DROP TABLE IF EXISTS plain, counter", TABLE, COUNTER, FIRST, INDEXES[0], INDEXES[1]] {
            self.0.query_drop(statement).unwrap();
        }
        self.0.query_drop("START TRANSACTION").unwrap();
        for number in 1..=size {
            let [a, b, c, d, e, f, g] = texts(&token(number, 0));
            self.0.exec_drop(question_marks(INSERT), (number.to_string(), EXPIRY, a, b, c, d, e, f, g)).unwrap();
        }
        self.0.query_drop("COMMIT").unwrap();
    }

    fn find(&mut self, number: usize) {
        self.find_token(&user(number));
    }

    fn save(&mut self, token: &Token) {
        self.0.query_drop("START TRANSACTION").unwrap();
        self.0.exec_drop(COUNT, ()).unwrap();
        let [user_name, _, _, refresh_token, access_token, ..] = texts(token);
        let row = self.find_token(&user_name);
        let values = (refresh_token, access_token, EXPIRY, row.id().unwrap().as_str());
        self.0.exec_drop(question_marks(SAVE), values).unwrap();
        self.0.query_drop("COMMIT").unwrap();
    }

    fn sealed_find<'c>(&'c mut self, tables: &str) -> Box<dyn FnMut() + 'c> {
        let index: Vec<u8> = self.0.query_first(of_first_index(tables)).unwrap().unwrap();
        let find = self.0.prep(question_marks(&of_sealed_find(tables))).unwrap();
        Box::new(move || {
            let row: Option<mysql::Row> = self.0.exec_first(&find, (&index,)).unwrap();
            assert!(row.is_some());
        })
    }
}

fn question_marks(statement: &str) -> String {
    (1..=9).fold(statement.to_owned(), |statement, number| statement.replace(&format!("${number}"), "?"))
}

struct Postgres {
    client: postgres::Client,
    statements: Option<[postgres::Statement; 3]>,
}

impl Postgres {
    fn new(url: &str) -> Self {
        Self { client: postgres::Client::connect(url, postgres::NoTls).unwrap(), statements: None }
    }

    fn statement(&mut self, which: usize) -> postgres::Statement {
        let client = &mut self.client;
        let prepare = || [FIND, COUNT, SAVE].map(|statement| client.prepare(statement).unwrap());
        self.statements.get_or_insert_with(prepare)[which].clone()
    }

    fn find_token(&mut self, user_name: &str) -> Token {
        let statement = self.statement(0);
        let row = self.client.query_one(&statement, &[&user_name, &CLIENT]).unwrap();
        read(row.get(0), row.get(1), [2, 3, 4, 5, 6, 7, 8].map(|column: usize| row.get(column)))
    }
}

impl Plain for Postgres {
    fn fill(&mut self, size: usize) {
        for statement in ["DROP TABLE IF EXISTS plain, counter", TABLE, COUNTER, FIRST, INDEXES[0], INDEXES[1]] {
            self.client.batch_execute(statement).unwrap();
        }
        let mut transaction = self.client.transaction().unwrap();
        let insert = transaction.prepare(INSERT).unwrap();
        for number in 1..=size {
            let [a, b, c, d, e, f, g] = texts(&token(number, 0));
            transaction.execute(&insert, &[&number.to_string(), &EXPIRY, &a, &b, &c, &d, &e, &f, &g]).unwrap();
        }
        transaction.commit().unwrap();
    }

    fn find(&mut self, number: usize) {
        self.find_token(&user(number));
    }

    fn save(&mut self, token: &Token) {
        let [count, save] = [1, 2].map(|which| self.statement(which));
        self.client.batch_execute("BEGIN").unwrap();
        self.client.execute(&count, &[]).unwrap();
        let [user_name, _, _, refresh_token, access_token, ..] = texts(token);
        let row = self.find_token(&user_name);
        let id = row.id().unwrap().as_str();
        self.client.execute(&save, &[&refresh_token, &access_token, &EXPIRY, &id]).unwrap();
        self.client.batch_execute("COMMIT").unwrap();
    }

    fn sealed_find<'c>(&'c mut self, tables: &str) -> Box<dyn FnMut() + 'c> {
        let index: Vec<u8> = self.client.query_one(&of_first_index(tables), &[]).unwrap().get(0);
        let find = self.client.prepare(&of_sealed_find(tables)).unwrap();
        Box::new(move || drop(self.client.query_one(&find, &[&index]).unwrap()))
    }
}
