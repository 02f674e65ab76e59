//! Where a scenario is played, and what is looked for after it.

use std::{fs, path::PathBuf, sync::Mutex};

use tempfile::TempDir;
use tokenkeep::{KdfParams, Keystore, Passphrase, RecoveryKey, Token, TokenBuilder, Unlock};

use crate::{
    allocator::{self, Recorded},
    canaries::{Canaries, text, texts},
    reader::{self, Secret},
};

pub(crate) struct Stage {
    pub(crate) directory: TempDir,
    pub(crate) path: PathBuf,
    kept: Mutex<Kept>,
}

/// What tells, when all is over, which keys there were.
#[derive(Default)]
struct Kept {
    files: Vec<Vec<u8>>,
    papers: Vec<&'static str>,
    keychain_keys: Vec<&'static str>,
    external_keys: Vec<&'static str>,
}

/// Plays a scenario on a new stage, where it leaves nothing.
pub(crate) fn leaves_nothing(scenario: impl FnOnce(&Stage)) {
    Stage::new().leaves_nothing(scenario);
}

/// What is found in which block.
pub(crate) fn find(recorded: &Recorded, canaries: &Canaries) -> Vec<String> {
    let described = |block: &[u8]| {
        let place = |(name, at)| format!("{name} at {at} of {} bytes", block.len());
        canaries.find(block).into_iter().map(place).collect::<Vec<_>>()
    };
    let mut found: Vec<_> = recorded.blocks().flat_map(described).collect();
    found.sort();
    found.dedup();
    found
}

impl Stage {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.keep");
        Self { directory, path, kept: Mutex::default() }
    }

    /// Plays a scenario, and tells which secrets are in which blocks that were given back in it. What the scenario
    /// itself holds of a secret has to be in memory that is never given back.
    pub(crate) fn play(&self, scenario: impl FnOnce(&Self)) -> Vec<String> {
        let ((), recorded) = allocator::record(|| scenario(self));
        find(&recorded, &self.canaries())
    }

    pub(crate) fn leaves_nothing(&self, scenario: impl FnOnce(&Self)) {
        let found = self.play(scenario);
        assert!(found.is_empty(), "secrets are in memory that was given back:\n{}", found.join("\n"));
    }

    /// Keeps the file as it is now, for the keys that it has.
    pub(crate) fn keep_file(&self) {
        self.keep_bytes(fs::read(&self.path).unwrap());
    }

    pub(crate) fn keep_bytes(&self, file: Vec<u8>) {
        self.kept.lock().unwrap().files.push(file);
    }

    /// The text of a key, in memory that is never given back. All of it is looked for.
    pub(crate) fn keep_paper(&self, key: &RecoveryKey) -> &'static str {
        let paper = String::from(key.expose_secret()).leak();
        self.kept.lock().unwrap().papers.push(paper);
        paper
    }

    #[cfg(feature = "keychain")]
    pub(crate) fn keep_keychain_key(&self, hex: &'static str) {
        self.kept.lock().unwrap().keychain_keys.push(hex);
    }

    pub(crate) fn keep_external_key(&self, hex: &'static str) {
        self.kept.lock().unwrap().external_keys.push(hex);
    }

    /// A store that the passphrase opens.
    pub(crate) fn create(&self) -> Keystore {
        let store = Keystore::create(&self.path, &passphrase("passphrase")).unwrap();
        self.keep_file();
        store
    }

    fn canaries(&self) -> Canaries {
        let mut canaries = Canaries::new();
        let Kept { files, papers, keychain_keys, external_keys } = &*self.kept.lock().unwrap();
        for paper in papers {
            canaries.add("a recovery key", paper.as_bytes());
            canaries.add("a recovery key as it is typed", paper.replace('-', "").as_bytes());
            canaries.add("a recovery key's bytes", &reader::recovery_key(paper).unwrap());
        }
        for hex in keychain_keys {
            canaries.add("a keychain's text", hex.as_bytes());
        }
        let passphrases = texts().filter(|(name, ..)| name.ends_with("passphrase"));
        let mut secrets: Vec<_> = passphrases.map(|(.., text)| Secret::Passphrase(text)).collect();
        secrets.extend(papers.iter().map(|paper| Secret::RecoveryKey(paper)));
        secrets.extend(keychain_keys.iter().map(|hex| Secret::Keychain(hex)));
        secrets.extend(external_keys.iter().map(|hex| Secret::External(hex)));
        canaries.add_keys(files, &secrets);
        canaries
    }
}

/// An unlock method that costs as little as is allowed.
pub(crate) fn passphrase(name: &str) -> Unlock {
    cheap(name).into()
}

/// A passphrase that costs as little as is allowed.
pub(crate) fn cheap(name: &str) -> Passphrase {
    Passphrase::new(text(name, 0)).kdf(KdfParams::MIN)
}

/// A token with a canary in every secret field.
pub(crate) fn canary(number: usize) -> TokenBuilder {
    filled(number, |name| text(name, number))
}

pub(crate) fn filled<'a>(number: usize, text: impl Fn(&str) -> &'a str) -> TokenBuilder {
    Token::builder()
        .user_name(format!("user {number}"))
        .client_id("a client")
        .client_secret(text("client secret"))
        .refresh_token(text("refresh token"))
        .access_token(text("access token"))
        .grant_token(text("grant token"))
        .id_token(text("id token"))
        .scopes(["one", "two"])
        .attribute("short", text("attribute"))
        .attribute("long", text("long attribute"))
}
