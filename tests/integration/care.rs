//! What an operator asks of a store: is it sound, a copy of it, how it is, and a view that holds still.

use std::fs;

use crate::{
    common::{Fixture, PASSPHRASE, names_in, token, unlock},
    reader::{self, Secret},
};
use tokenkeep::{Error, FileFlaw, Keystore, TokenStore, testing::derivations};

fn save(store: &Keystore, user: &str) {
    store.save_token(&token().user_name(user).access_token("a").build()).unwrap();
}

#[test]
fn damage_that_needs_no_key_to_be_seen_is_seen_without_one() {
    let fixture = Fixture::new();
    save(&fixture.store, "ada");
    let count = derivations();
    let found = Keystore::verify_file(&fixture.path).unwrap();
    assert_eq!((found.generation, found.file_len, found.journal.records, found.journal.len), (1, 8192, 1, 4096));
    fixture.store.compact().unwrap();
    let sound = fixture.bytes();
    let found = Keystore::verify_file(&fixture.path).unwrap();
    assert_eq!((found.format_version, found.generation, found.file_len), (1, 2, 4096));

    let verified = |bytes: &[u8]| {
        fs::write(&fixture.path, bytes).unwrap();
        Keystore::verify_file(&fixture.path).map(|_| ())
    };
    let flipped = |at: usize| {
        let mut bytes = sound.clone();
        bytes[at] ^= 1;
        bytes
    };
    assert!(matches!(verified(&flipped(0)), Err(Error::BadFile { flaw: FileFlaw::NotAKeystore, .. })));
    assert!(matches!(verified(&flipped(8)), Err(Error::BadFile { flaw: FileFlaw::UnsupportedVersion { .. }, .. })));
    assert!(matches!(verified(&flipped(200)), Err(Error::BadFile { flaw: FileFlaw::DamagedHeader, .. })));
    assert!(matches!(verified(&sound[..4000]), Err(Error::BadFile { flaw: FileFlaw::Truncated { .. }, .. })));
    assert!(verified(&flipped(4000)).is_ok(), "what is in the body needs the key");
    assert_eq!(derivations(), count);
    assert_eq!(fs::read(&fixture.path).unwrap(), flipped(4000));
}

#[test]
fn open_store_verifies_every_byte_of_its_file() {
    let fixture = Fixture::new();
    save(&fixture.store, "ada");
    fixture.store.verify().unwrap();
    let mut bytes = fixture.bytes();
    *bytes.last_mut().unwrap() ^= 1;
    fs::write(&fixture.path, &bytes).unwrap();
    let count = derivations();
    assert!(matches!(fixture.store.verify(), Err(Error::BadFile { flaw: FileFlaw::Tampered, .. })));
    assert_eq!((derivations(), fixture.bytes()), (count, bytes));
}

/// Whether a text is in what the file holds, decrypted by the reader that shares no code with the library.
fn holds(fixture: &Fixture, text: &str) -> bool {
    let payloads = reader::payloads(&fixture.bytes(), &Secret::Passphrase(PASSPHRASE));
    payloads.iter().any(|payload| payload.windows(text.len()).any(|bytes| bytes == text.as_bytes()))
}

#[test]
fn compact_and_delete_leave_no_old_version_in_the_file() {
    let fixture = Fixture::new();
    let ada = token().user_name("ada");
    let id = fixture.store.save_token(&ada.clone().refresh_token("revoked secret").build()).unwrap();
    fixture.store.save_token(&ada.refresh_token("new secret").build()).unwrap();
    assert!(holds(&fixture, "revoked secret") && holds(&fixture, "new secret"));
    fixture.store.compact().unwrap();
    assert!(!holds(&fixture, "revoked secret") && holds(&fixture, "new secret"));
    save(&fixture.store, "grace");
    fixture.store.delete_token(&id).unwrap();
    assert!(!holds(&fixture, "new secret") && holds(&fixture, "grace"));
}

#[test]
fn a_backup_opens_and_stays_as_it_was_taken() {
    let fixture = Fixture::new();
    save(&fixture.store, "ada");
    let backup = fixture.directory.path().join("backup.keep");
    fixture.store.backup_to(&backup).unwrap();
    save(&fixture.store, "grace");
    assert_eq!(Keystore::open(&backup, &unlock()).unwrap().get_tokens().unwrap().len(), 1);
    assert_eq!(names_in(fixture.directory.path()), ["backup.keep", "tokens.keep", "tokens.keep.lock"]);
}

#[test]
fn a_backup_never_takes_the_place_of_a_file() {
    let fixture = Fixture::new();
    let taken = fixture.directory.path().join("taken");
    fs::write(&taken, b"mine").unwrap();
    for path in [&taken, &fixture.path] {
        let before = fs::read(path).unwrap();
        assert!(matches!(fixture.store.backup_to(path), Err(Error::AlreadyExists { .. })));
        assert_eq!(fs::read(path).unwrap(), before);
    }
    let missing = fixture.directory.path().join("missing").join("backup.keep");
    assert!(matches!(fixture.store.backup_to(missing), Err(Error::MissingDirectory { .. })));
}

#[test]
fn no_backup_is_made_of_what_is_not_sound() {
    let fixture = Fixture::new();
    save(&fixture.store, "ada");
    let mut bytes = fixture.bytes();
    bytes[1000] ^= 1;
    fs::write(&fixture.path, bytes).unwrap();
    let backup = fixture.directory.path().join("backup.keep");
    assert!(matches!(fixture.store.backup_to(&backup), Err(Error::BadFile { flaw: FileFlaw::Tampered, .. })));
    assert!(!backup.exists());
}

#[test]
fn backup_during_writes_is_one_of_the_written_states() {
    let fixture = Fixture::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let writer = fixture.open();
            (0..60).for_each(|round| save(&writer, &format!("{round}")));
            done.store(true, std::sync::atomic::Ordering::SeqCst);
        });
        let mut before = 0;
        for round in 0.. {
            let backup = fixture.directory.path().join(format!("backup {round}"));
            fixture.store.backup_to(&backup).unwrap();
            let users: Vec<_> = Keystore::open(&backup, &unlock()).unwrap().get_tokens().unwrap();
            let users: Vec<_> =
                users.iter().map(|token| token.user_name().unwrap().parse::<usize>().unwrap()).collect();
            assert_eq!(users, (0..users.len()).collect::<Vec<_>>());
            assert!(users.len() >= before);
            before = users.len();
            if done.load(std::sync::atomic::Ordering::SeqCst) {
                break;
            }
        }
    });
}

/// Looking at the file takes no lock, and must not take a state for older than one that was committed meanwhile.
#[test]
fn store_is_verified_and_backed_up_while_threads_write() {
    let fixture = Fixture::new();
    let done = std::sync::atomic::AtomicBool::new(false);
    std::thread::scope(|scope| {
        for thread in 0..2 {
            let (fixture, done) = (&fixture, &done);
            scope.spawn(move || {
                for round in 0.. {
                    fixture.store.verify().unwrap();
                    fixture.store.backup_to(fixture.directory.path().join(format!("backup {thread} {round}"))).unwrap();
                    if done.load(std::sync::atomic::Ordering::SeqCst) {
                        break;
                    }
                }
            });
        }
        (0..150).for_each(|round| save(&fixture.store, &format!("{round}")));
        done.store(true, std::sync::atomic::Ordering::SeqCst);
    });
    assert_eq!(fixture.store.get_tokens().unwrap().len(), 150);
}

#[test]
fn a_status_tells_how_the_store_is_and_not_what_it_holds() {
    let fixture = Fixture::new();
    save(&fixture.store, "ada.lovelace");
    save(&fixture.open(), "grace.hopper");
    let status = fixture.store.status().unwrap();
    assert_eq!(status.path, fixture.path.canonicalize().unwrap());
    assert_eq!((status.format_version, status.generation, status.tokens), (1, 1, 2));
    assert_eq!((status.journal.records, status.journal.len, status.journal.is_torn), (2, 8192, false));
    #[cfg(target_os = "linux")]
    assert!(status.reserved >= 128 * 1024, "{}", status.reserved);
    assert_eq!(status.file_len, u64::try_from(fixture.bytes().len()).unwrap());
    #[cfg(unix)]
    assert_eq!(status.mode, Some(0o600));
    #[cfg(target_os = "linux")]
    assert_eq!(status.not_offered, []);
    let shown = status.to_string();
    let mode = if cfg!(unix) { "mode:        0600" } else { "not offered: syncing a directory" };
    for line in ["generation:  1", "tokens:      2", "journal:     2 records, 8192 bytes", mode] {
        assert!(shown.contains(line), "{shown}");
    }
    assert!(!shown.contains("lovelace") && !shown.contains("hopper"));
}

#[test]
fn a_snapshot_holds_still_and_a_new_one_has_moved_on() {
    let fixture = Fixture::new();
    save(&fixture.store, "ada");
    let (snapshot, other) = (fixture.store.snapshot().unwrap(), fixture.open());
    let id = other.get_tokens().unwrap()[0].id().unwrap().clone();
    save(&fixture.store, "grace");
    other.delete_token(&id).unwrap();
    fs::remove_file(&fixture.path).unwrap();
    let users: Vec<_> = snapshot.tokens().map(|token| token.user_name().unwrap()).collect();
    assert_eq!(users, ["ada"]);
    assert!(snapshot.find_token_by_id(&id).is_some());
    assert!(snapshot.find_stored(&token().user_name("grace").build()).unwrap().is_none());
    assert!(matches!(fixture.store.snapshot(), Err(Error::NotFound { .. })));
}
