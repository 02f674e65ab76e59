//! Secrets to look for, piece by piece: a part of a copy is a leak too.

use std::{
    collections::{BTreeMap, HashMap, HashSet},
    sync::LazyLock,
};

use ring::digest::{SHA256, digest};

use crate::reader::{self, STORE_KEY, Secret};

/// Short enough for half of a key, long enough to be nowhere by chance.
const PIECE: usize = 16;

/// The texts that a token holds, and how long they are.
const FIELDS: [(&str, usize); 7] = [
    ("client secret", 40),
    ("refresh token", 71),
    ("access token", 5_000),
    ("grant token", 33),
    ("id token", 9_001),
    ("attribute", 16),
    ("long attribute", 20_000),
];
const PASSPHRASES: [(&str, usize); 4] =
    [("passphrase", 40), ("wrong passphrase", 32), ("new passphrase", 55), ("long passphrase", 3_000)];
/// Tokens with texts of their own.
pub(crate) const TOKENS: usize = 5;

/// What each text is called, which token it is of, and the text.
static TEXTS: LazyLock<Vec<(&str, usize, &str)>> = LazyLock::new(|| {
    let fields =
        (0..TOKENS).flat_map(|token| FIELDS.map(|(name, len)| (name, token, random_looking(name, token, len))));
    let passphrases = PASSPHRASES.map(|(name, len)| (name, 0, random_looking(name, 0, len)));
    fields.chain(passphrases).collect()
});

/// Makes all texts, which are never given back. To be done before a recording.
pub(crate) fn prepare() {
    LazyLock::force(&TEXTS);
}

/// A text of a token's, or a passphrase.
pub(crate) fn text(name: &str, token: usize) -> &'static str {
    TEXTS.iter().find(|text| (text.0, text.1) == (name, token)).unwrap().2
}

pub(crate) fn texts() -> impl Iterator<Item = (&'static str, usize, &'static str)> {
    TEXTS.iter().copied()
}

fn random_looking(name: &str, token: usize, len: usize) -> &'static str {
    const SYMBOLS: &[u8; 62] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789";
    let hashes = (0..).flat_map(|n| digest(&SHA256, format!("{name} {token} {n}").as_bytes()).as_ref().to_vec());
    let text: String = hashes.take(len).map(|byte| char::from(SYMBOLS[usize::from(byte % 62)])).collect();
    text.leak()
}

/// What is looked for.
pub(crate) struct Canaries {
    /// The name that each piece goes by.
    pieces: HashMap<[u8; PIECE], String>,
    /// Whether a piece starts with these two bytes: most of what is searched is passed over with a look at this.
    starts: Vec<bool>,
}

impl Canaries {
    /// All texts.
    pub(crate) fn new() -> Self {
        let mut canaries = Self { pieces: HashMap::new(), starts: vec![false; 1 << 16] };
        for (name, token, text) in texts() {
            canaries.add(&format!("{name} {token}"), text.as_bytes());
        }
        canaries
    }

    pub(crate) fn add(&mut self, name: &str, bytes: &[u8]) {
        let pieces = bytes.chunks_exact(PIECE).chain([&bytes[bytes.len() - PIECE..]]);
        for piece in pieces {
            let piece: [u8; PIECE] = piece.try_into().unwrap();
            self.starts[start(&piece)] = true;
            self.pieces.insert(piece, name.to_owned());
        }
    }

    /// All keys that the secrets give for the files.
    pub(crate) fn add_keys(&mut self, files: &[Vec<u8>], secrets: &[Secret<'_>]) {
        let mut store_keys = HashSet::new();
        // Most slots are the same in most files.
        let slots: BTreeMap<_, _> =
            files.iter().flat_map(|file| reader::slots(file).map(move |slot| (slot, file))).collect();
        for (slot, file) in slots {
            for (name, key) in secrets.iter().flat_map(|secret| reader::slot_keys(file, slot, secret)) {
                self.add(name, &key);
                if name == STORE_KEY {
                    store_keys.insert(key);
                }
            }
        }
        for (file, store_key) in files.iter().flat_map(|file| store_keys.iter().map(move |key| (file, key))) {
            for (name, key) in reader::body_keys(file, store_key) {
                self.add(name, &key);
            }
        }
    }

    /// The names of what is there, and where the first piece of each is.
    pub(crate) fn find(&self, memory: &[u8]) -> BTreeMap<&str, usize> {
        const CHUNK: usize = 4096;
        let mut found = BTreeMap::new();
        for from in (0..memory.len()).step_by(CHUNK) {
            // A piece may lie across the end of a chunk.
            let chunk = &memory[from..memory.len().min(from + CHUNK + PIECE - 1)];
            // Most of what was wiped: compared at once, for a test is slow to count.
            if chunk == &[0; CHUNK + PIECE - 1][..chunk.len()] {
                continue;
            }
            for at in 0..(chunk.len() + 1).saturating_sub(PIECE) {
                if self.starts[start(&chunk[at..])]
                    && let Some(name) = self.pieces.get(&chunk[at..at + PIECE])
                {
                    found.entry(name.as_str()).or_insert(from + at);
                }
            }
        }
        found
    }
}

fn start(bytes: &[u8]) -> usize {
    usize::from(bytes[0]) << 8 | usize::from(bytes[1])
}
