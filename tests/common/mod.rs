//! What the tests share.
#![allow(dead_code, unreachable_pub, reason = "each test uses a part of it")]

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, SystemTime},
};

use tempfile::TempDir;
use tokenkeep::{KdfParams, Keystore, Passphrase, RecoveryKey, Token, TokenBuilder, Unlock};

pub const PASSPHRASE: &str = "correct horse battery staple";

/// An unlock method that costs as little as is allowed.
pub fn unlock() -> Unlock {
    passphrase().into()
}

/// The passphrase of [`unlock`].
pub fn passphrase() -> Passphrase {
    cheap(PASSPHRASE)
}

/// A passphrase that costs as little as is allowed.
pub fn cheap(passphrase: &str) -> Passphrase {
    Passphrase::new(passphrase).kdf(KdfParams::MIN)
}

/// Two recovery keys, for processes that need the same ones.
pub const PAPER: &str = "TKR1-NGWK-DQ71-EVHP-SX1N-JMGJ-TB2Y-RRH0-885Q-R8HY-PFQN-ABJ7-Q8W2-MQKH-BEWK";
pub const OTHER_PAPER: &str = "TKR1-KJBZ-VYV3-ZE6G-8SH4-JR9V-P68G-JS63-T185-E8G6-9ZAH-BCDT-N5GF-VEC6-BMG3";

/// An unlock method that costs nothing.
pub fn unlock_with_paper(key: &str) -> Unlock {
    Unlock::from(key.parse::<RecoveryKey>().unwrap())
}

/// The environment variable in which a test program that starts itself again finds its job.
pub const JOB: &str = "TOKENKEEP_TEST_JOB";

/// This program, as another process, doing a job.
pub fn this_program_with(job: &[&str]) -> Command {
    let mut command = Command::new(env::current_exe().unwrap());
    command.env(JOB, job.join("\n"));
    command
}

pub fn token() -> TokenBuilder {
    Token::builder()
}

pub fn at_millis(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

/// A keystore in a directory of its own, which is deleted when this is dropped.
pub struct Fixture {
    pub directory: TempDir,
    pub path: PathBuf,
    pub store: Keystore,
}

impl Fixture {
    pub fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.keep");
        let store = Keystore::create(&path, &unlock()).unwrap();
        Self { directory, path, store }
    }

    /// Another handle, as another process would have.
    pub fn open(&self) -> Keystore {
        Keystore::open(&self.path, &unlock()).unwrap()
    }

    pub fn bytes(&self) -> Vec<u8> {
        std::fs::read(&self.path).unwrap()
    }
}

/// How many random cases a test tries: so many, times the number in the environment variable (`.ci/campaign models`).
pub fn cases(usual: u32) -> u32 {
    let factor = env::var("TOKENKEEP_CASES").map_or(1, |factor| factor.parse().expect("TOKENKEEP_CASES is a number"));
    usual * factor
}

/// The names in a directory, sorted.
pub fn names_in(directory: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(directory).unwrap();
    let mut names: Vec<_> = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

/// Sets a file's permission bits, where it has any.
pub fn set_mode(path: &Path, mode: u32) {
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    }
    #[cfg(not(unix))]
    let _ = (path, mode);
}
