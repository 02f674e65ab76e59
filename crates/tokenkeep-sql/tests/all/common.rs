//! What the tests share.

use std::{env, process::Command};

use tokenkeep::{Error, KdfParams, Passphrase, RecoveryKey, Token, TokenBuilder, Unlock};
use tokenkeep_sql::{DatabaseError, Problem, SqlOptions, SqlStore};

use crate::database::{Place, literal};

/// A recovery key, which costs nothing, for processes that need the same one.
pub(crate) const PAPER: &str = "TKR1-NGWK-DQ71-EVHP-SX1N-JMGJ-TB2Y-RRH0-885Q-R8HY-PFQN-ABJ7-Q8W2-MQKH-BEWK";
/// The environment variable in which a test program that starts itself again finds its job.
pub(crate) const JOB: &str = "TOKENKEEP_TEST_JOB";

pub(crate) fn paper() -> Unlock {
    Unlock::from(PAPER.parse::<RecoveryKey>().unwrap())
}

pub(crate) fn passphrase(text: &str) -> Unlock {
    Passphrase::new(text).kdf(KdfParams::MIN).into()
}

pub(crate) fn token() -> TokenBuilder {
    Token::builder()
}

/// A value of a row, on any database.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Value {
    Null,
    Integer(i64),
    Bytes(Vec<u8>),
    Text(String),
}

/// A store in a database of its own, which is deleted when this is dropped.
pub(crate) struct Fixture {
    pub(crate) place: Place,
    pub(crate) url: String,
    pub(crate) store: SqlStore,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(&SqlOptions::new())
    }

    pub(crate) fn with(options: &SqlOptions) -> Self {
        Self::in_place(Place::new(), options)
    }

    pub(crate) fn in_place(place: Place, options: &SqlOptions) -> Self {
        let url = place.url();
        let store = options.create(&url, &paper()).unwrap();
        Self { place, url, store }
    }

    /// Another handle, as another process would have.
    pub(crate) fn open(&self) -> SqlStore {
        SqlStore::open(&self.url, &paper()).unwrap()
    }

    pub(crate) fn open_with(&self, options: &SqlOptions) -> SqlStore {
        options.open(&self.url, &paper()).unwrap()
    }

    #[track_caller]
    pub(crate) fn execute(&self, statements: &str) {
        self.place.admin().try_execute(statements).unwrap_or_else(|error| panic!("{statements}: {error}"));
    }

    /// The only value that the query finds.
    pub(crate) fn value(&self, query: &str) -> Value {
        let mut rows = self.place.admin().rows(query);
        assert_eq!((rows.len(), rows[0].len()), (1, 1), "{query}");
        rows.remove(0).remove(0)
    }

    pub(crate) fn number(&self, query: &str) -> i64 {
        let Value::Integer(number) = self.value(query) else { panic!("{query}") };
        number
    }

    pub(crate) fn bytes(&self, query: &str) -> Vec<u8> {
        let Value::Bytes(bytes) = self.value(query) else { panic!("{query}") };
        bytes
    }

    /// The bytes that the query finds, as a part of a statement.
    pub(crate) fn literal(&self, query: &str) -> String {
        literal(&self.bytes(query))
    }
}

pub(crate) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// As many bytes that are not stored anywhere, as a part of a statement.
pub(crate) fn other_bytes(count: usize) -> String {
    literal(&(0..count).map(|number| number as u8 ^ 0x5A).collect::<Vec<_>>())
}

/// What is wrong with the database.
#[track_caller]
pub(crate) fn problem<T: std::fmt::Debug>(answer: Result<T, Error>) -> Problem {
    match answer {
        Err(Error::Store { cause, .. }) => cause.downcast_ref::<DatabaseError>().unwrap().problem().clone(),
        other => panic!("expected an error of the database, got {other:?}"),
    }
}

/// This program, as another process, doing a job: the test `job` does it.
pub(crate) fn this_program_with(job: &[&str]) -> Command {
    this_program_with_test("suite::processes::job", job)
}

/// This program, as another process, running one test that finds a job.
pub(crate) fn this_program_with_test(test: &str, job: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", test, "--nocapture"]).env(JOB, job.join("\n"));
    command
}

/// How many random cases a test tries: so many, times the number in the environment variable (`.ci/campaign models`).
pub(crate) fn cases(usual: u32) -> u32 {
    let factor = env::var("TOKENKEEP_CASES").map_or(1, |factor| factor.parse().expect("TOKENKEEP_CASES is a number"));
    usual * factor
}
