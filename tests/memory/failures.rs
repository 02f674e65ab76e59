//! What goes wrong with a store.

use std::{fs, fs::File, time::Duration};

use tokenkeep::{Error, FileFlaw, Keystore, KeystoreOptions, RecoveryKey, Token, TokenStore, Unlock};

use crate::{
    canaries::{TOKENS, text},
    common::set_mode,
    reader,
    stage::{Stage, canary, leaves_nothing, passphrase},
};

pub(crate) fn wrong_secrets() {
    leaves_nothing(|stage| {
        let store = stage.create();
        store.save_token(&canary(0).build()).unwrap();
        let (key, other) = (RecoveryKey::generate().unwrap(), RecoveryKey::generate().unwrap());
        let (paper, _) = (stage.keep_paper(&key), stage.keep_paper(&other));
        let refused = |unlock: Unlock| Keystore::open(&stage.path, &unlock).unwrap_err();
        assert!(matches!(refused(Unlock::from(key.clone())), Error::NoSlotFor { .. }));
        store.add_slot(&Unlock::from(key)).unwrap();
        stage.keep_file();
        assert!(matches!(refused(passphrase("wrong passphrase")), Error::WrongPassphrase { .. }));
        assert!(matches!(refused(passphrase("long passphrase")), Error::WrongPassphrase { .. }));
        assert!(matches!(refused(Unlock::from(other.clone())), Error::WrongRecoveryKey { .. }));
        assert!(matches!(store.try_unlock(&Unlock::from(other)), Err(Error::WrongRecoveryKey { .. })));
        assert!(matches!(store.try_unlock(&passphrase("wrong passphrase")), Err(Error::WrongPassphrase { .. })));
        let several = [passphrase("wrong passphrase"), Unlock::from(RecoveryKey::generate().unwrap())];
        assert!(matches!(Keystore::open_any(&stage.path, &several), Err(Error::NoneOpened { .. })));
        // Another letter at each place, one too many, one too few.
        for at in 0..paper.len() {
            for other in ['U', 'A', '7', '\u{e9}'] {
                let mistyped = [&paper[..at], &other.to_string(), &paper[at + 1..]].concat().leak();
                assert!(mistyped == paper || mistyped.parse::<RecoveryKey>().is_err());
            }
        }
        assert!(paper[1..].parse::<RecoveryKey>().is_err() && paper[..70].parse::<RecoveryKey>().is_err());
        assert!([paper, paper].concat().leak().parse::<RecoveryKey>().is_err());
    });
}

/// Bodies of a writer that has the key and makes mistakes, and one of a writer that has none.
pub(crate) fn refused_bodies() {
    // The reader, which makes them, wipes nothing.
    let stage = Stage::new();
    let store = stage.create();
    for number in 0..TOKENS {
        store.save_token(&canary(number).build()).unwrap();
    }
    store.compact().unwrap();
    stage.keep_file();
    let sound = fs::read(&stage.path).unwrap();
    let after = |change: fn(&mut Vec<u8>)| {
        let file = reader::with_payload(&sound, &reader::Secret::Passphrase(text("passphrase", 0)), change);
        stage.keep_bytes(file.clone());
        file
    };
    store.save_token(&canary(0).build()).unwrap();
    let with_record = fs::read(&stage.path).unwrap();
    let of_record = |change: fn(&mut Vec<u8>)| {
        let file = reader::with_last_record(&with_record, &reader::Secret::Passphrase(text("passphrase", 0)), change);
        stage.keep_bytes(file.clone());
        file
    };
    let mut tampered = sound.clone();
    *tampered.last_mut().unwrap() ^= 1;
    let refused = [
        // All but the last record are good, and it ends with the attributes, two times and the revision.
        after(|payload| {
            let last_of_attribute = payload.len() - 25;
            payload[last_of_attribute] = 0xFF;
        }),
        after(|payload| {
            let updated_at = payload.len() - 16;
            payload[updated_at..].fill(0xFF);
        }),
        after(|payload| {
            let revision = payload.len() - 8;
            payload[revision..].fill(0);
        }),
        after(|payload| payload.push(0)),
        after(|payload| payload.truncate(payload.len() - 1)),
        // The next id is one of theirs.
        after(|payload| payload[4] = 1),
        of_record(|payload| payload.truncate(payload.len() - 1)),
        of_record(|payload| {
            let revision = payload.len() - 8;
            payload[revision..].fill(0);
        }),
    ];

    stage.leaves_nothing(|stage| {
        for file in refused.iter().chain([&tampered]) {
            fs::write(&stage.path, file).unwrap();
            for refused in [
                Keystore::open(&stage.path, &passphrase("passphrase")).map(drop),
                store.get_tokens().map(drop),
                store.verify(),
                store.save_token(&canary(0).build()).map(drop),
            ] {
                let is_as_it_should_be = match refused {
                    Err(Error::BadFile { flaw: FileFlaw::Malformed(_), .. }) => *file != tampered,
                    Err(Error::BadFile { flaw: FileFlaw::Tampered, .. }) => *file == tampered,
                    _ => false,
                };
                assert!(is_as_it_should_be, "{refused:?}");
            }
        }
    });
}

pub(crate) fn failing_saves() {
    leaves_nothing(|stage| {
        drop(stage.create());
        let options = KeystoreOptions::new().lock_timeout(Duration::from_millis(20));
        let store = options.open(&stage.path, &passphrase("passphrase")).unwrap();
        store.save_token(&canary(0).build()).unwrap();
        stage.keep_file();
        let lock = File::open(stage.directory.path().join("tokens.keep.lock")).unwrap();
        lock.lock().unwrap();
        assert!(matches!(store.save_token(&canary(1).build()), Err(Error::Busy { .. })));
        let added = store.add_slot(&passphrase("new passphrase"));
        assert!(matches!(added, Err(Error::Busy { .. })));
        lock.unlock().unwrap();
        drop(lock);
        drop(store);

        // No name is left for the temporary file, which is found out when all has been encoded and sealed.
        let long = stage.directory.path().join("x".repeat(240));
        fs::rename(&stage.path, &long).unwrap();
        let store = Keystore::open(&long, &passphrase("passphrase")).unwrap();
        assert!(matches!(store.compact(), Err(Error::Io { .. })));
        assert!(matches!(store.rekey([&passphrase("passphrase")]), Err(Error::Io { .. })));
        let created = Keystore::create(stage.directory.path().join("y".repeat(240)), &passphrase("new passphrase"));
        assert!(matches!(created, Err(Error::Io { .. })));
        drop(store);
        fs::rename(&long, &stage.path).unwrap();

        Keystore::open(&stage.path, &passphrase("passphrase")).unwrap().compact().unwrap();
        stage.keep_file();
        let small = KeystoreOptions::new().max_file_len(fs::metadata(&stage.path).unwrap().len());
        let store = small.open(&stage.path, &passphrase("passphrase")).unwrap();
        assert!(matches!(store.save_token(&canary(1).build()), Err(Error::FileTooLarge { .. })));

        // The file goes, is another's, is an older one.
        let older = fs::read(&stage.path).unwrap();
        store.save_token(&Token::builder().user_name("user 0").access_token(text("access token", 1)).build()).unwrap();
        stage.keep_file();
        fs::remove_file(&stage.path).unwrap();
        assert!(matches!(store.save_token(&canary(0).build()), Err(Error::NotFound { .. })));
        fs::write(&stage.path, older).unwrap();
        set_mode(&stage.path, 0o600);
        assert!(matches!(store.save_token(&canary(0).build()), Err(Error::RolledBack { .. })));
        drop(store);
    });
}
