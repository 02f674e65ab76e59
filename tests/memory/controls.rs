//! That the search finds what it is for.

use std::{fs, thread};

use tokenkeep::{RecoveryKey, Unlock};

use crate::{
    allocator,
    canaries::{Canaries, text},
    reader::{self, Secret},
    stage::{Stage, find},
};

/// The names of what is found after some work, with the lengths of the blocks.
fn found(work: impl FnOnce()) -> Vec<String> {
    let ((), recorded) = allocator::record(work);
    find(&recorded, &Canaries::new())
}

pub(crate) fn freed() {
    assert_eq!(found(|| drop(text("refresh token", 0).to_owned())), ["refresh token 0 at 0 of 71 bytes"]);
    assert!(found(|| drop(vec![0; 100_000])).is_empty());
}

pub(crate) fn grown() {
    let mut text_that_stays = Vec::new();
    let found = found(|| {
        text_that_stays = Vec::with_capacity(100);
        text_that_stays.extend_from_slice(text("refresh token", 1).as_bytes());
        text_that_stays.reserve_exact(1_000);
    });
    assert_eq!(found, ["refresh token 1 at 0 of 100 bytes"]);
    drop(text_that_stays);
}

pub(crate) fn parts() {
    let long = text("id token", 0).as_bytes();
    assert_eq!(found(|| drop([b"...", &long[5_000..5_031]].concat())), ["id token 0 at 11 of 34 bytes"]);
    assert_eq!(found(|| drop(long[long.len() - 16..].to_vec())), ["id token 0 at 0 of 16 bytes"]);
    // Across the chunks that it is searched in.
    for before in 4_070..4_100 {
        let mut buffer = Vec::new();
        let found = found(|| {
            buffer = vec![0; before];
            buffer.extend_from_slice(&text("grant token", 0).as_bytes()[..16]);
            drop(buffer.clone());
        });
        assert!(found.contains(&format!("grant token 0 at {before} of {} bytes", before + 16)), "{found:?}");
    }
}

pub(crate) fn another_thread() {
    let found = found(|| thread::spawn(|| drop(text("access token", 2).to_owned())).join().unwrap());
    assert_eq!(found, ["access token 2 at 0 of 5000 bytes"]);
}

/// The reader of the format gives back what it computes as it is.
pub(crate) fn computed_keys() {
    let found = Stage::new().play(|stage| {
        let store = stage.create();
        let key = RecoveryKey::generate().unwrap();
        let paper = stage.keep_paper(&key);
        store.add_slot(&Unlock::from(key)).unwrap();
        stage.keep_file();
        let file = fs::read(&stage.path).unwrap();
        for secret in [Secret::Passphrase(text("passphrase", 0)), Secret::RecoveryKey(paper)] {
            for key in reader::slots(&file).flat_map(|slot| reader::slot_keys(&file, slot, &secret)) {
                reader::body_keys(&file, &key.1);
            }
        }
    });
    for name in [
        "the end of Argon2's memory at 7339008 of 7340032 bytes",
        "a slot's K",
        "a slot's PRK",
        "a slot's wrapping key",
        "the store key",
        "the body's PRK",
        "the body key",
        "the notes' PRK",
        "the notes key",
        "the PRK of keys without a salt",
        "the mac key",
        "the salt key of bodies",
        "the salt key of slots",
        "the salt key of notes",
        "the salt key of rows",
        "the key of blind indexes",
        "a recovery key as it is typed",
    ] {
        assert!(found.iter().any(|found| found.starts_with(name)), "no {name} in {found:#?}");
    }
}
