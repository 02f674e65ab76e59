//! Finds and saves on MariaDB and PostgreSQL beside the same work in plain SQL with the same driver, interleaved in one
//! run: `bash .ci/with-servers cargo bench -p tokenkeep-sql --bench servers`. `postgres` stands for tokio-postgres, which
//! needs a runtime otherwise.

use std::{
    env, thread,
    time::{Duration, Instant},
};

use mysql::prelude::Queryable;
use tokenkeep::{RecoveryKey, Token, TokenStore};
use tokenkeep_sql::{SqlOptions, SqlStore};

const TOKENS: usize = 1_000;
const ROUNDS: usize = 301;
const CONNECTIONS: usize = 16;

/// Six columns of text, as an application would write the table.
const TABLE: &str = "CREATE TABLE plain (id BIGINT PRIMARY KEY, user_name VARCHAR(255), client_id VARCHAR(255), \
                     refresh_token VARCHAR(255), access_token VARCHAR(255), client_secret VARCHAR(255), counter BIGINT, \
                     UNIQUE (user_name, client_id))";
const FIND: &str =
    "SELECT id, refresh_token, access_token, client_secret FROM plain WHERE user_name = $1 AND client_id = $2";
const COUNT: &str = "UPDATE counter SET n = n + 1 WHERE id = 1";
const SAVE: &str = "UPDATE plain SET refresh_token = $1, access_token = $2 WHERE id = $3";
const INSERT: &str = "INSERT INTO plain VALUES ($1, $2, $3, $4, $5, $6, 0)";
const CLIENT: &str = "1000.CLIENT";

fn main() {
    let is_test = !env::args().any(|argument| argument == "--bench");
    let urls = [env::var("MYSQL_URL"), env::var("POSTGRES_URL")];
    let [Ok(mysql), Ok(postgres)] = urls else {
        println!("NOT MEASURED: MYSQL_URL and POSTGRES_URL are not set, see .ci/with-servers");
        return;
    };
    println!("| server | operation | plain SQL | sealed | ratio |\n|---|---|---|---|---|");
    let rounds = if is_test { 3 } else { ROUNDS };
    measure("MariaDB", &mysql, rounds, || {
        Box::new(Mysql(mysql::Conn::new(mysql::Opts::from_url(&mysql).unwrap()).unwrap()))
    });
    measure("PostgreSQL", &postgres, rounds, || Box::new(Postgres::new(&postgres)));
}

fn measure(name: &str, url: &str, rounds: usize, connect: impl Fn() -> Box<dyn Plain>) {
    let tables = format!("bench_{}", std::process::id());
    let options = SqlOptions::new().tables(&tables).connections(CONNECTIONS);
    let sealed = options.create(url, &RecoveryKey::generate().unwrap().into()).unwrap();
    sealed.transaction(|tx| (1..=TOKENS).try_for_each(|number| tx.save_token(&token(number, 0)).map(drop))).unwrap();
    let mut plain = connect();
    plain.prepare();
    let show = |operation: &str, [plain, sealed]: [f64; 2], unit: &str, ratio: f64| {
        println!("| {name} | {operation} | {plain:.0} {unit} | {sealed:.0} {unit} | {ratio:.2} |");
    };
    let find = |store: &SqlStore, number| assert!(store.find_stored(&query(number)).unwrap().is_some());
    let save = |store: &SqlStore, number, round| drop(store.save_token(&token(number, round)).unwrap());
    let mut compare = |work: &mut dyn FnMut(&mut dyn Plain, usize), sealed: &dyn Fn(usize)| {
        let mut times = [Vec::new(), Vec::new()];
        for round in 0..rounds {
            let started = Instant::now();
            work(&mut *plain, round);
            times[0].push(started.elapsed());
            let started = Instant::now();
            sealed(round);
            times[1].push(started.elapsed());
        }
        times.map(|mut times| {
            times.sort_unstable();
            times[times.len() / 2].as_secs_f64() * 1e6
        })
    };
    let found = compare(&mut |plain, round| plain.find(number(round)), &|round| find(&sealed, number(round)));
    show("find by user and client", found, "µs", found[1] / found[0]);
    let saved =
        compare(&mut |plain, round| plain.save(number(round), round), &|round| save(&sealed, number(round), round + 1));
    show("save", saved, "µs", saved[1] / saved[0]);
    // Throughput: one save and three finds each, all at once.
    let total = Duration::from_millis(if rounds < 10 { 50 } else { 4_000 });
    let mut rates = [0.0; 2];
    for _ in 0..2 {
        let mut connections: Vec<_> = (0..CONNECTIONS).map(|_| connect()).collect();
        let plain = together(
            total,
            connections.iter_mut().map(|plain| {
                move |round| {
                    (0..3).for_each(|more| plain.find(number(round + more)));
                    plain.save(number(round), round);
                }
            }),
        );
        let sealed = together(
            total,
            (0..CONNECTIONS).map(|_| {
                |round| {
                    (0..3).for_each(|more| find(&sealed, number(round + more)));
                    save(&sealed, number(round), round + 7);
                }
            }),
        );
        rates = [rates[0] + plain, rates[1] + sealed];
    }
    show("16 connections, 3 finds and 1 save each", rates.map(|rate| rate / 2.0), "/s", rates[1] / rates[0]);
}

/// How many rounds a second all of them make.
fn together<W: FnMut(usize) + Send>(total: Duration, workers: impl Iterator<Item = W>) -> f64 {
    let started = Instant::now();
    let rounds: usize = thread::scope(|scope| {
        let workers: Vec<_> = workers
            .enumerate()
            .map(|(worker, mut work)| {
                scope.spawn(move || {
                    let mut count = 0;
                    while started.elapsed() < total {
                        work(worker * 61 + count * 17);
                        count += 1;
                    }
                    count
                })
            })
            .collect();
        workers.into_iter().map(|worker| worker.join().unwrap()).sum()
    });
    rounds as f64 / started.elapsed().as_secs_f64()
}

fn number(round: usize) -> usize {
    1 + round.wrapping_mul(7_919) % TOKENS
}

fn user(number: usize) -> String {
    format!("user{number}@example.com")
}

fn secret(what: &str, number: usize, round: usize) -> String {
    format!("1000.{what}{number:0>32}{round:0>32}")
}

fn query(number: usize) -> Token {
    Token::builder().user_name(user(number)).client_id(CLIENT).build()
}

fn token(number: usize, round: usize) -> Token {
    let token = query(number).to_builder().client_secret("0123456789abcdef0123456789abcdef0123456789");
    token.refresh_token(secret("r", number, round)).access_token(secret("a", number, round)).build()
}

/// The same work without sealing. A save counts in a row of its own first, so that two of them exclude each other, reads
/// the row, and writes it, in one transaction.
trait Plain: Send {
    fn prepare(&mut self);
    fn find(&mut self, number: usize);
    fn save(&mut self, number: usize, round: usize);
}

struct Mysql(mysql::Conn);

impl Plain for Mysql {
    fn prepare(&mut self) {
        self.0.query_drop("DROP TABLE IF EXISTS plain, counter").unwrap();
        self.0.query_drop(TABLE).unwrap();
        self.0.query_drop("CREATE TABLE counter (id BIGINT PRIMARY KEY, n BIGINT)").unwrap();
        self.0.query_drop("INSERT INTO counter VALUES (1, 0)").unwrap();
        self.0.query_drop("START TRANSACTION").unwrap();
        for number in 1..=TOKENS {
            let values =
                (number, user(number), CLIENT, secret("r", number, 0), secret("a", number, 0), "0123456789abcdef");
            self.0.exec_drop(question_marks(INSERT), values).unwrap();
        }
        self.0.query_drop("COMMIT").unwrap();
    }

    fn find(&mut self, number: usize) {
        let found: Option<(i64, String, String, String)> =
            self.0.exec_first(question_marks(FIND), (user(number), CLIENT)).unwrap();
        assert!(found.is_some());
    }

    fn save(&mut self, number: usize, round: usize) {
        self.0.query_drop("START TRANSACTION").unwrap();
        self.0.exec_drop(COUNT, ()).unwrap();
        self.find(number);
        let values = (secret("r", number, round), secret("a", number, round), number);
        self.0.exec_drop(question_marks(SAVE), values).unwrap();
        self.0.query_drop("COMMIT").unwrap();
    }
}

fn question_marks(statement: &str) -> String {
    (1..=6).rev().fold(statement.to_owned(), |statement, number| statement.replace(&format!("${number}"), "?"))
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
}

impl Plain for Postgres {
    fn prepare(&mut self) {
        self.client.batch_execute("DROP TABLE IF EXISTS plain, counter").unwrap();
        self.client.batch_execute(TABLE).unwrap();
        self.client
            .batch_execute("CREATE TABLE counter (id BIGINT PRIMARY KEY, n BIGINT); INSERT INTO counter VALUES (1, 0)")
            .unwrap();
        let mut transaction = self.client.transaction().unwrap();
        for number in 1..=TOKENS {
            let (refresh, access) = (secret("r", number, 0), secret("a", number, 0));
            let values: [&(dyn postgres::types::ToSql + Sync); 6] =
                [&(number as i64), &user(number), &CLIENT, &refresh, &access, &"0123456789abcdef"];
            transaction.execute(INSERT, &values).unwrap();
        }
        transaction.commit().unwrap();
    }

    fn find(&mut self, number: usize) {
        let statement = self.statement(0);
        let row = self.client.query_one(&statement, &[&user(number), &CLIENT]).unwrap();
        let _: (i64, String, String, String) = (row.get(0), row.get(1), row.get(2), row.get(3));
    }

    fn save(&mut self, number: usize, round: usize) {
        let [count, save] = [1, 2].map(|which| self.statement(which));
        self.client.batch_execute("BEGIN").unwrap();
        self.client.execute(&count, &[]).unwrap();
        self.find(number);
        let (refresh, access) = (secret("r", number, round), secret("a", number, round));
        self.client.execute(&save, &[&refresh, &access, &(number as i64)]).unwrap();
        self.client.batch_execute("COMMIT").unwrap();
    }
}
