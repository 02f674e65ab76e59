//! What the tests share.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use rusqlite::Connection;
use tempfile::TempDir;
use tokenkeep::{Error, KdfParams, Passphrase, RecoveryKey, Token, TokenBuilder, Unlock};
use tokenkeep_sql::{DatabaseError, Problem, SqlOptions, SqlStore};

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

/// A store in a database of its own, which is deleted when this is dropped.
pub(crate) struct Fixture {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
    pub(crate) url: String,
    pub(crate) store: SqlStore,
}

impl Fixture {
    pub(crate) fn new() -> Self {
        Self::with(&SqlOptions::new())
    }

    pub(crate) fn with(options: &SqlOptions) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.db");
        let url = url(&path);
        let store = options.create(&url, &paper()).unwrap();
        Self { directory, path, url, store }
    }

    /// Another handle, as another process would have.
    pub(crate) fn open(&self) -> SqlStore {
        SqlStore::open(&self.url, &paper()).unwrap()
    }

    pub(crate) fn open_with(&self, options: &SqlOptions) -> SqlStore {
        options.open(&self.url, &paper()).unwrap()
    }

    /// The database as somebody has it who can write to it, without the keys.
    pub(crate) fn database(&self) -> Connection {
        let database = Connection::open(&self.path).unwrap();
        database.busy_timeout(std::time::Duration::from_secs(10)).unwrap();
        database
    }

    pub(crate) fn execute(&self, statement: &str) {
        self.database().execute_batch(statement).unwrap();
    }
}

pub(crate) fn url(path: &Path) -> String {
    format!("sqlite://{}", path.display())
}

/// What is wrong with the database.
#[track_caller]
pub(crate) fn problem<T: std::fmt::Debug>(answer: Result<T, Error>) -> Problem {
    match answer {
        Err(Error::Store { cause, .. }) => cause.downcast_ref::<DatabaseError>().unwrap().problem().clone(),
        other => panic!("expected an error of the database, got {other:?}"),
    }
}

/// This program, as another process, doing a job: the test `processes::job` does it.
pub(crate) fn this_program_with(job: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.args(["--exact", "processes::job", "--nocapture"]).env(JOB, job.join("\n"));
    command
}

/// How many random cases a test tries: so many, times the number in the environment variable (`.ci/campaign models`).
pub(crate) fn cases(usual: u32) -> u32 {
    let factor = env::var("TOKENKEEP_CASES").map_or(1, |factor| factor.parse().expect("TOKENKEEP_CASES is a number"));
    usual * factor
}
