//! Handles, threads and processes that share one store.

use std::{fs::File, thread, time::Duration};

use crate::common::{Fixture, names_in, token, unlock};
use tokenkeep::{Error, Keystore, KeystoreOptions, MemoryStore, TokenStore, testing::derivations};

fn save(store: &Keystore, user: &str) -> tokenkeep::Result<tokenkeep::TokenId> {
    store.save_token(&token().user_name(user).access_token("a").build())
}

#[test]
fn handles_are_shared_between_threads() {
    fn shared<T: Send + Sync + 'static>() {}
    shared::<Keystore>();
    shared::<KeystoreOptions>();
    shared::<MemoryStore>();
    shared::<tokenkeep::Token>();
    shared::<tokenkeep::Unlock>();
    shared::<tokenkeep::Passphrase>();
    shared::<tokenkeep::RecoveryKey>();
    shared::<tokenkeep::Keychain>();
    shared::<Error>();
}

#[test]
fn a_handle_sees_what_another_has_committed_and_adds_to_it() {
    let fixture = Fixture::new();
    let other = fixture.open();
    assert_eq!(save(&fixture.store, "ada").unwrap().as_str(), "1");
    assert_eq!(other.get_tokens().unwrap().len(), 1);
    assert_eq!(save(&other, "grace").unwrap().as_str(), "2");
    assert_eq!(fixture.store.get_tokens().unwrap().len(), 2);
    assert_eq!(fixture.open().get_tokens().unwrap(), fixture.store.get_tokens().unwrap());
}

#[test]
fn no_save_of_many_handles_and_threads_is_lost() {
    let fixture = Fixture::new();
    thread::scope(|scope| {
        for handle in 0..4 {
            let store = fixture.open();
            for worker in 0..2 {
                let store = store.clone();
                scope.spawn(move || {
                    for round in 0..10 {
                        save(&store, &format!("{handle} {worker} {round}")).unwrap();
                    }
                });
            }
        }
    });
    assert_eq!(fixture.store.get_tokens().unwrap().len(), 80);
    // Threads of one handle that wait for each other share one; different handles never do.
    let records = fixture.store.status().unwrap().journal.records;
    assert!((40..=80).contains(&records), "{records}");
    // The queue is there once a handle has waited for another.
    let names = names_in(fixture.directory.path()).into_iter().filter(|name| name != "tokens.keep.queue");
    assert_eq!(names.collect::<Vec<_>>(), ["tokens.keep", "tokens.keep.lock"]);
}

#[test]
fn waiting_for_a_writer_ends_in_busy_and_readers_do_not_wait() {
    let fixture = Fixture::new();
    save(&fixture.store, "ada").unwrap();
    let lock = File::open(fixture.directory.path().join("tokens.keep.lock")).unwrap();
    lock.lock().unwrap();
    let impatient =
        KeystoreOptions::new().lock_timeout(Duration::from_millis(50)).open(&fixture.path, &unlock()).unwrap();
    match save(&impatient, "grace") {
        Err(Error::Busy { waited, .. }) => assert!(waited >= Duration::from_millis(50), "{waited:?}"),
        other => panic!("expected Busy, got {other:?}"),
    }
    assert_eq!(impatient.get_tokens().unwrap().len(), 1);
    lock.unlock().unwrap();
    save(&impatient, "grace").unwrap();
}

/// Or everybody would wait for it.
#[test]
fn keys_are_derived_before_the_lock_and_never_after_opening() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    let lock = File::create(directory.path().join("tokens.keep.lock")).unwrap();
    crate::common::set_mode(&directory.path().join("tokens.keep.lock"), 0o600);
    lock.lock().unwrap();
    let (impatient, count) = (KeystoreOptions::new().lock_timeout(Duration::ZERO), derivations());
    assert!(matches!(impatient.create(&path, &unlock()), Err(Error::Busy { .. })));
    assert_eq!(derivations() - count, 1);

    lock.unlock().unwrap();
    let store = Keystore::create(&path, &unlock()).unwrap();
    let (other, count) = (Keystore::open(&path, &unlock()).unwrap(), derivations());
    save(&other, "ada").unwrap();
    save(&store, "grace").unwrap();
    assert_eq!((other.get_tokens().unwrap().len(), derivations()), (2, count));
}

#[test]
fn of_many_that_create_one_store_one_does_and_all_open_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    thread::scope(|scope| {
        for user in 0..6 {
            let path = &path;
            scope.spawn(move || {
                save(&Keystore::open_or_create(path, &unlock()).unwrap(), &format!("user {user}")).unwrap()
            });
        }
    });
    assert_eq!(Keystore::open(&path, &unlock()).unwrap().get_tokens().unwrap().len(), 6);
    assert!(matches!(Keystore::create(&path, &unlock()), Err(Error::AlreadyExists { .. })));
}

#[test]
fn a_slash_at_the_end_of_a_path_means_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep/");
    save(&Keystore::open_or_create(&path, &unlock()).unwrap(), "ada").unwrap();
    assert_eq!(Keystore::open_or_create(&path, &unlock()).unwrap().get_tokens().unwrap().len(), 1);
}

#[cfg(unix)]
#[test]
fn a_link_is_followed_once_and_stays() {
    let fixture = Fixture::new();
    let link = fixture.directory.path().join("link");
    std::os::unix::fs::symlink(&fixture.path, &link).unwrap();
    let store = Keystore::open(&link, &unlock()).unwrap();
    save(&store, "ada").unwrap();
    assert!(link.is_symlink());
    assert_eq!(store.path(), fixture.path.canonicalize().unwrap());
    assert_eq!(fixture.store.get_tokens().unwrap().len(), 1);
}

/// With the cost that applications get if they choose none.
#[test]
fn a_store_of_the_default_cost_opens() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    let unlock = tokenkeep::Unlock::from(tokenkeep::Passphrase::new(crate::common::PASSPHRASE));
    save(&Keystore::create(&path, &unlock).unwrap(), "ada").unwrap();
    assert_eq!(Keystore::open(&path, &unlock).unwrap().get_tokens().unwrap().len(), 1);
    // Where the document says it is: 64 MiB, 3 passes, 4 lanes.
    let file = std::fs::read(path).unwrap();
    assert_eq!(file[188..200], [65_536_u32, 3, 4].map(u32::to_le_bytes).concat());
}
