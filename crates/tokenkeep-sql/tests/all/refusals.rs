//! What is wrong with the database, the URL or the caller, and what the error says.

use std::{
    sync::Barrier,
    time::{Duration, Instant},
};

use tokenkeep::{Error, ErrorKind, Need, RecoveryKey, TokenStore, TokenStoreExt, Unlock};
use tokenkeep_sql::{Problem, SqlOptions, SqlStore};

use crate::{
    common::{Fixture, paper, passphrase, problem, token},
    database::{Place, SCHEME, columns},
};

#[test]
fn store_is_created_once_and_others_beside_it() {
    let fixture = Fixture::new();
    assert_eq!(problem(SqlStore::create(&fixture.url, &paper())), Problem::StoreExists);
    let other = SqlOptions::new().tables("other").create(&fixture.url, &passphrase("other")).unwrap();
    other.save_token(&token().refresh_token("r").build()).unwrap();
    assert!(fixture.store.get_tokens().unwrap().is_empty());
    assert!(matches!(SqlStore::open(&fixture.url, &passphrase("other")), Err(Error::NoSlotFor { .. })));
    for bad in ["", "A", "a b", "a;b", "1", "x\"y", &"a".repeat(41)] {
        let refused = SqlOptions::new().tables(bad).open(&fixture.url, &paper());
        assert_eq!(problem(refused), Problem::BadTableName, "{bad}");
    }
}

#[test]
fn creators_at_the_same_time_get_the_same_store() {
    let place = Place::new();
    let (url, barrier) = (place.url(), Barrier::new(6));
    for round in 0..8 {
        let options = SqlOptions::new().tables(&format!("round_{round}"));
        let create = |number: usize| {
            barrier.wait();
            let store = options.open_or_create(&url, &paper()).unwrap();
            // At once, while others look whether there is a store.
            store.save_token(&token().user_name(number.to_string()).refresh_token("r").build()).unwrap();
            store
        };
        let stores: Vec<_> = std::thread::scope(|scope| {
            let create = &create;
            let threads: Vec<_> = (0..6).map(|number| scope.spawn(move || create(number))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).collect()
        });
        assert!(stores.iter().all(|store| store.get_tokens().unwrap().len() == 6), "round {round}");
    }
}

#[test]
fn wrong_secrets_are_told_from_damage() {
    let fixture = Fixture::with(&SqlOptions::new());
    fixture.store.add_slot(&passphrase("right")).unwrap();
    let wrong = SqlStore::open(&fixture.url, &passphrase("wrong")).unwrap_err();
    assert!(matches!(wrong, Error::WrongPassphrase { .. }));
    assert!(wrong.to_string().contains(SCHEME), "{wrong}");
    let other = Unlock::from(RecoveryKey::generate().unwrap());
    assert!(matches!(SqlStore::open(&fixture.url, &other), Err(Error::WrongRecoveryKey { .. })));
    assert!(SqlStore::open_any(&fixture.url, [&other, &passphrase("right")]).is_ok());
}

#[test]
fn other_schema_version_is_not_read() {
    let fixture = Fixture::new();
    fixture.execute("UPDATE tokenkeep_store SET schema_version = 2");
    let refused = SqlStore::open(&fixture.url, &paper());
    assert_eq!(problem(refused), Problem::OtherSchema { found: Some(2) });
    let error = SqlStore::open_or_create(&fixture.url, &paper()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Unsupported);
}

/// Each of the two names may be taken.
#[test]
fn tables_of_another_program_are_left_alone() {
    for (table, column) in [("store", "a"), ("tokens", "a"), ("tokens", "place"), ("tokens", "key_id")] {
        let fixture = Fixture::with(&SqlOptions::new().tables("other"));
        let table = format!("tokenkeep_{table}");
        fixture.execute(&format!("CREATE TABLE {table} ({column} BIGINT); INSERT INTO {table} VALUES (1)"));
        let created = SqlStore::create(&fixture.url, &paper());
        assert_eq!(problem(created), Problem::OtherSchema { found: None }, "{table} ({column})");
        assert_eq!(fixture.number(&format!("SELECT {column} FROM {table}")), 1);
        let other = if table.ends_with("store") { "tokenkeep_tokens" } else { "tokenkeep_store" };
        let found = fixture.place.admin().rows(&columns(other));
        assert!(found.is_empty(), "{table} ({column}) alone makes no store: {found:?}");
        let opened = problem(SqlStore::open(&fixture.url, &paper()));
        assert!(matches!(opened, Problem::OtherSchema { found: None } | Problem::NoStore), "{table}: {opened:?}");
        fixture.store.save_token(&token().refresh_token("r").build()).unwrap();
    }
}

/// A new store in these tables would look empty, and its first save would collide with the stored rows.
#[test]
fn tokens_without_the_row_of_their_store_are_left_alone() {
    let fixture = Fixture::new();
    fixture.store.save_token(&token().refresh_token("r").build()).unwrap();
    fixture.execute("DELETE FROM tokenkeep_store");
    assert_eq!(problem(SqlStore::open(&fixture.url, &paper())), Problem::NoStore);
    for created in [SqlStore::create(&fixture.url, &paper()), SqlStore::open_or_create(&fixture.url, &paper())] {
        assert!(matches!(problem(created), Problem::Malformed(_)));
    }
    assert_eq!(fixture.number("SELECT COUNT(*) FROM tokenkeep_tokens"), 1);
    assert_eq!(fixture.number("SELECT COUNT(*) FROM tokenkeep_store"), 0);
}

/// Somebody has removed a column since.
#[test]
fn table_that_lacks_a_column_does_not_open() {
    for column in ["lease_until", "sealed"] {
        let fixture = Fixture::new();
        fixture.store.save_token(&token().refresh_token("r").build()).unwrap();
        fixture.execute(&format!("ALTER TABLE tokenkeep_tokens DROP COLUMN {column}"));
        assert_eq!(problem(SqlStore::open(&fixture.url, &paper())), Problem::OtherSchema { found: None }, "{column}");
    }
}

#[test]
fn locked_database_ends_in_busy_at_the_deadline() {
    let options = SqlOptions::new().timeout(Duration::from_millis(300));
    let fixture = Fixture::with(&options);
    let id = fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    let mut other = fixture.place.admin();
    other.try_execute("BEGIN; UPDATE tokenkeep_store SET lease_counter = lease_counter + 1").unwrap();
    let started = Instant::now();
    let error = fixture.store.delete_token(&id).unwrap_err();
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(250) && waited < Duration::from_secs(3), "{waited:?}");
    assert!(error.is_retryable() && error.kind() == ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains(SCHEME), "{error}");
    assert!(fixture.store.find_token_by_id(&id).unwrap().is_some(), "a find waits for no writer");
    // A refresh token that cannot be saved is not spent.
    assert!(fixture.store.begin_refresh(&token().user_name("ada").build(), Need::now()).is_err());
    other.try_execute("COMMIT").unwrap();
    assert!(fixture.store.delete_token(&id).unwrap());
}

#[test]
fn endless_timeouts_are_accepted() {
    let fixture = Fixture::with(&SqlOptions::new().timeout(Duration::MAX));
    let id = fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    let mut other = fixture.place.admin();
    other.try_execute("BEGIN; UPDATE tokenkeep_store SET lease_counter = lease_counter + 1").unwrap();
    std::thread::scope(|scope| {
        let deleting = scope.spawn(|| fixture.store.delete_token(&id));
        std::thread::sleep(Duration::from_millis(300));
        assert!(!deleting.is_finished(), "it waits");
        other.try_execute("COMMIT").unwrap();
        assert!(deleting.join().unwrap().unwrap());
    });
}

#[test]
fn all_connections_in_use_end_in_busy_too() {
    let fixture = Fixture::with(&SqlOptions::new().connections(1).timeout(Duration::from_millis(200)));
    fixture
        .store
        .transaction(|_| {
            std::thread::scope(|scope| {
                let found = scope.spawn(|| fixture.store.get_tokens()).join().unwrap();
                assert_eq!(found.unwrap_err().kind(), ErrorKind::Busy);
            });
            Ok(())
        })
        .unwrap();
}

#[test]
fn store_inside_of_its_own_transaction_is_refused_at_once() {
    let fixture = Fixture::new();
    let (store, other) = (&fixture.store, Fixture::new());
    let inside = |refused: Result<(), Error>| assert!(matches!(refused, Err(Error::InTransaction)), "{refused:?}");
    store
        .transaction(|_| {
            inside(store.get_tokens().map(drop));
            inside(store.save_token(&token().refresh_token("r").build()).map(drop));
            inside(store.lock_token(&"1".into()).map(drop));
            inside(store.transaction(|_| Ok(())));
            inside(store.version().map(drop));
            inside(store.add_slot(&passphrase("p")).map(drop));
            other.store.get_tokens().map(drop)
        })
        .unwrap();
    assert!(store.get_tokens().unwrap().is_empty());
}

#[test]
fn debug_shows_neither_secret_nor_user() {
    let fixture = Fixture::new();
    fixture.store.save_token(&token().user_name("ada").refresh_token("canary").build()).unwrap();
    let namespace = fixture.store.namespace("google").unwrap();
    let shown = format!("{:?} {namespace:?} {:?}", fixture.store, fixture.store.version().unwrap());
    assert!(shown.contains(SCHEME) && shown.contains("google"), "{shown}");
    assert!(!shown.contains("canary") && !shown.contains("ada") && !shown.contains("hunter2"), "{shown}");
}

#[test]
fn operations_in_an_async_task_do_not_panic() {
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
    runtime.block_on(async {
        let fixture = Fixture::new();
        let id = fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
        let query = token().user_name("ada").build();
        let request = |_| async { tokenkeep::Answer::from(token().access_token("a").expiry_unknown().build()) };
        let refreshed = fixture.store.refresh_with_async(&query, Need::now(), request).await.unwrap();
        assert!(matches!(refreshed, tokenkeep::Refreshed::Fresh(_)), "{refreshed:?}");
        fixture.store.transaction(|transaction| transaction.delete_token(&id)).unwrap();
    });
    let current = tokio::runtime::Builder::new_current_thread().build().unwrap();
    current.block_on(async { Fixture::new().store.get_tokens().map(drop) }).unwrap();
}
