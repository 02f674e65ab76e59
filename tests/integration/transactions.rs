//! Several operations that are committed as one, and waiting for what others commit.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use crate::common::{Fixture, at_millis, token};
use tokenkeep::{Error, KeystoreOptions, MemoryStore, Prune, Token, TokenStore};

fn user(name: &str) -> Token {
    token().user_name(name).access_token("a").build()
}

fn users(store: &dyn TokenStore) -> Vec<String> {
    store.get_tokens().unwrap().iter().map(|token| token.user_name().unwrap().to_owned()).collect()
}

#[test]
fn operations_see_those_before_and_are_one_commit() {
    let fixture = Fixture::new();
    fixture.store.save_token(&user("ada")).unwrap();
    let before = fixture.store.status().unwrap().generation;
    let counts = fixture.store.transaction(|transaction| {
        let id = transaction.save_token(&user("grace"))?;
        assert_eq!(transaction.find_token_by_id(&id).unwrap().user_name(), Some("grace"));
        assert!(transaction.find_token(&user("grace"))?.is_some());
        let read = transaction.find_stored(&user("ada"))?.unwrap();
        let changed = transaction.replace_token(&read.to_builder().access_token("b").build())?;
        assert_eq!(changed.revision(), Some(2));
        assert!(matches!(transaction.replace_token(&read), Err(Error::Conflict { .. })));
        assert!(transaction.delete_token(&id));
        let mut google = transaction.namespace("google")?;
        google.save_token(&user("ada"))?;
        google.save_token(&user("edsger"))?;
        let row = google.get_tokens().remove(0);
        assert!(google.delete_token_if(row.id().unwrap(), 1)?);
        assert_eq!(transaction.namespaces(), ["google"]);
        let zoho = transaction.namespace("zoho")?.delete_tokens();
        Ok((transaction.get_tokens().len(), zoho))
    });
    assert_eq!(counts.unwrap(), (1, 0));
    for store in [&fixture.store, &fixture.open()] {
        assert_eq!(users(store), ["ada"]);
        assert_eq!(users(&store.namespace("google").unwrap()), ["edsger"]);
        assert_eq!(store.status().unwrap().generation, before + 1);
    }
}

#[test]
fn error_of_the_function_undoes_all() {
    let fixture = Fixture::new();
    fixture.store.save_token(&user("ada")).unwrap();
    let bytes = fixture.bytes();
    let failed = fixture.store.transaction(|transaction| {
        transaction.save_token(&user("grace"))?;
        transaction.namespace("google")?.save_token(&user("grace"))?;
        transaction.delete_tokens();
        Err::<(), _>(Error::other("the application changed its mind"))
    });
    assert_eq!(failed.unwrap_err().to_string(), "the application changed its mind");
    assert_eq!(fixture.bytes(), bytes);
    assert_eq!(users(&fixture.store), ["ada"]);

    let store = MemoryStore::new();
    let failed = store.transaction(|transaction| {
        transaction.save_token(&user("grace"))?;
        Err::<(), _>(Error::other("no"))
    });
    assert!(failed.is_err() && users(&store).is_empty());
}

#[test]
fn panic_of_the_function_undoes_all_and_blocks_nobody() {
    let fixture = Fixture::new();
    let bytes = fixture.bytes();
    let store = MemoryStore::new();
    let panics = || -> tokenkeep::Result<()> { panic!("as the test asks") };
    let on_file = catch_unwind(AssertUnwindSafe(|| {
        fixture.store.transaction(|transaction| transaction.save_token(&user("ada")).and_then(|_| panics()))
    }));
    let in_memory = catch_unwind(AssertUnwindSafe(|| {
        store.transaction(|transaction| transaction.save_token(&user("ada")).and_then(|_| panics()))
    }));
    assert!(on_file.is_err() && in_memory.is_err());
    assert_eq!(fixture.bytes(), bytes);
    for store in [&fixture.store as &dyn TokenStore, &fixture.open(), &store] {
        store.save_token(&user("grace")).unwrap();
    }
    assert_eq!((users(&fixture.store), users(&store)), (vec!["grace".to_owned()], vec!["grace".to_owned()]));
}

#[test]
fn store_is_refused_at_once_inside_its_own_transaction() {
    let fixture = Fixture::new();
    let started = Instant::now();
    fixture
        .store
        .transaction(|_| {
            let (store, clone) = (&fixture.store, fixture.store.clone());
            let google = store.namespace("google")?;
            assert!(matches!(store.save_token(&user("ada")), Err(Error::InTransaction)));
            assert!(matches!(clone.get_tokens(), Err(Error::InTransaction)));
            assert!(matches!(google.delete_tokens(), Err(Error::InTransaction)));
            assert!(matches!(store.version(), Err(Error::InTransaction)));
            assert!(matches!(store.transaction(|_| Ok(())), Err(Error::InTransaction)));
            assert!(matches!(store.rekey([&crate::common::unlock()]), Err(Error::InTransaction)));
            Ok(())
        })
        .unwrap();
    let store = MemoryStore::new();
    store
        .transaction(|_| {
            assert!(matches!(store.get_tokens(), Err(Error::InTransaction)));
            assert!(matches!(store.save_token(&user("ada")), Err(Error::InTransaction)));
            // Another store is another matter.
            MemoryStore::new().save_token(&user("ada")).map(drop)
        })
        .unwrap();
    assert!(started.elapsed() < Duration::from_secs(5));
    fixture.store.save_token(&user("ada")).unwrap();
}

/// Reads on another thread, and waits until that has read.
fn read_elsewhere(store: &impl TokenStore) -> Vec<String> {
    let is_read = AtomicBool::new(false);
    thread::scope(|scope| {
        let reader = scope.spawn(|| {
            let found = users(store);
            is_read.store(true, Ordering::SeqCst);
            found
        });
        let started = Instant::now();
        while !is_read.load(Ordering::SeqCst) {
            assert!(started.elapsed() < Duration::from_secs(15), "the reader is blocked");
            thread::sleep(Duration::from_millis(1));
        }
        reader.join().unwrap()
    })
}

/// Also if the times of the file say that it was changed.
#[test]
fn other_threads_read_while_a_transaction_is_made() {
    let fixture = Fixture::new();
    fixture.store.save_token(&user("ada")).unwrap();
    let delete = |transaction: &mut tokenkeep::Transaction<'_, '_>| {
        transaction.delete_tokens();
        std::fs::File::open(&fixture.path).unwrap().set_modified(crate::common::at_millis(1)).unwrap();
        assert_eq!(read_elsewhere(&fixture.store), ["ada"], "nothing is committed yet");
        Ok(())
    };
    fixture.store.transaction(delete).unwrap();
    assert!(users(&fixture.store).is_empty());

    let store = MemoryStore::new();
    store.save_token(&user("ada")).unwrap();
    let delete = |transaction: &mut tokenkeep::Transaction<'_, '_>| {
        transaction.delete_tokens();
        assert_eq!(read_elsewhere(&store), ["ada"], "nothing is committed yet");
        Ok(())
    };
    store.transaction(delete).unwrap();
    assert!(users(&store).is_empty());
}

/// The value uses the store when it is dropped, after a commit that failed.
#[test]
fn value_of_a_failed_transaction_may_use_the_store() {
    struct Saves(tokenkeep::Keystore);
    impl Drop for Saves {
        fn drop(&mut self) {
            self.0.save_token(&user("dropped")).unwrap();
        }
    }
    let fixture = Fixture::new();
    let len = fixture.bytes().len().try_into().unwrap();
    let small = KeystoreOptions::new().max_file_len(len).lock_timeout(Duration::from_secs(15));
    let small = small.open(&fixture.path, &crate::common::unlock()).unwrap();
    let started = Instant::now();
    let refused = small.transaction(|transaction| {
        (0..100).try_for_each(|n| transaction.save_token(&user(&n.to_string())).map(drop))?;
        Ok(Saves(small.clone()))
    });
    assert!(matches!(refused.map(drop), Err(Error::FileTooLarge { .. })));
    assert_eq!(users(&small), ["dropped"]);
    assert!(started.elapsed() < Duration::from_secs(10));
}

#[test]
fn debug_of_a_transaction_shows_no_token() {
    let store = MemoryStore::new();
    store
        .transaction(|transaction| {
            transaction.save_token(&user("canary"))?;
            let shown = format!("{transaction:?}");
            assert_eq!(shown, r#"Transaction { namespace: "", .. }"#);
            Ok(())
        })
        .unwrap();
}

#[test]
fn no_change_of_other_handles_is_lost() {
    let fixture = Fixture::new();
    thread::scope(|scope| {
        for worker in 0..4 {
            let store = fixture.open();
            scope.spawn(move || {
                for round in 0..10 {
                    let add = |transaction: &mut tokenkeep::Transaction<'_, '_>| {
                        let count = transaction.get_tokens().len();
                        transaction.save_token(&user(&format!("{worker} {round}")))?;
                        transaction.namespace("n")?.save_token(&user(&format!("{worker} {round}")))?;
                        Ok(count)
                    };
                    store.transaction(add).unwrap();
                }
            });
        }
    });
    assert_eq!(users(&fixture.store).len(), 40);
    assert_eq!(users(&fixture.store.namespace("n").unwrap()).len(), 40);
}

#[test]
fn transaction_that_makes_the_file_too_long_is_refused() {
    let fixture = Fixture::new();
    let len = fixture.bytes().len().try_into().unwrap();
    let small = KeystoreOptions::new().max_file_len(len).open(&fixture.path, &crate::common::unlock()).unwrap();
    let refused = small
        .transaction(|transaction| (0..100).try_for_each(|n| transaction.save_token(&user(&n.to_string())).map(drop)));
    assert!(matches!(refused, Err(Error::FileTooLarge { .. })));
    assert!(users(&small).is_empty());
    small.save_token(&user("ada")).unwrap();
}

#[test]
fn transaction_without_a_change_writes_nothing() {
    let fixture = Fixture::new();
    let bytes = fixture.bytes();
    fixture.store.transaction(|transaction| Ok(transaction.get_tokens().len())).unwrap();
    assert_eq!(fixture.bytes(), bytes);
}

#[test]
fn rows_move_into_a_namespace_with_their_ids() {
    let fixture = Fixture::new();
    let ids = ["ada", "grace"].map(|name| fixture.store.save_token(&user(name)).unwrap());
    let moved = fixture.store.transaction(|transaction| {
        for token in transaction.get_tokens() {
            transaction.namespace("google")?.save_token(&token)?;
        }
        Ok(transaction.delete_tokens())
    });
    assert_eq!(moved.unwrap(), 2);
    let google = fixture.open().namespace("google").unwrap();
    assert_eq!(
        ids.map(|id| google.find_token_by_id(&id).unwrap().unwrap().user_name().unwrap().to_owned()),
        ["ada", "grace"]
    );
    assert!(users(&fixture.store).is_empty());
}

#[test]
fn version_changes_with_each_commit_and_with_nothing_else() {
    let fixture = Fixture::new();
    let other = fixture.open();
    let first = fixture.store.version().unwrap();
    assert_eq!(other.version().unwrap(), first);
    fixture.store.get_tokens().unwrap();
    fixture.store.verify().unwrap();
    assert_eq!(fixture.store.version().unwrap(), first);
    other.namespace("n").unwrap().save_token(&user("ada")).unwrap();
    let second = fixture.store.version().unwrap();
    assert_ne!(second, first);
    assert_eq!(other.version().unwrap(), second);
    other.namespace("n").unwrap().delete_tokens().unwrap();
    assert_ne!(fixture.store.version().unwrap(), first, "the same tokens, later");
}

#[test]
fn waiting_ends_with_a_commit_of_any_handle() {
    let fixture = Fixture::new();
    let (store, other) = (&fixture.store, fixture.open());
    for writer in [store.clone(), other] {
        let version = store.version().unwrap();
        thread::scope(|scope| {
            let waiting = scope.spawn(|| store.wait_for_change(&version, Duration::from_secs(60)).unwrap());
            thread::sleep(Duration::from_millis(120));
            assert!(!waiting.is_finished());
            writer.save_token(&user("ada")).unwrap();
            assert_eq!(waiting.join().unwrap(), Some(store.version().unwrap()));
        });
    }
}

#[test]
fn waiting_ends_at_the_timeout_and_at_once_if_there_is_a_change() {
    let fixture = Fixture::new();
    let version = fixture.store.version().unwrap();
    let started = Instant::now();
    assert_eq!(fixture.store.wait_for_change(&version, Duration::from_millis(120)).unwrap(), None);
    assert!(started.elapsed() >= Duration::from_millis(120));
    fixture.store.save_token(&user("ada")).unwrap();
    assert!(fixture.store.wait_for_change(&version, Duration::ZERO).unwrap().is_some());
}

#[test]
fn prune_inside_of_a_transaction_is_undone_with_it() {
    let store = MemoryStore::new();
    store.save_token(&token().access_token("a").expires_at(at_millis(0)).build()).unwrap();
    let undone = store.transaction(|transaction| {
        assert_eq!(transaction.prune(Prune::Expired), 1);
        assert!(transaction.get_tokens().is_empty());
        Err::<(), _>(Error::other("no"))
    });
    assert!(undone.is_err());
    assert_eq!(store.get_tokens().unwrap().len(), 1);
    assert_eq!(store.transaction(|transaction| Ok(transaction.prune(Prune::Expired))).unwrap(), 1);
    assert!(store.get_tokens().unwrap().is_empty());
}
