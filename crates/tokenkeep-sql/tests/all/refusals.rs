//! What is wrong with the database, the URL or the caller, and what the error says.

use std::{
    fs,
    time::{Duration, Instant},
};

use tokenkeep::{Error, ErrorKind, Need, RecoveryKey, Refresh, TokenStore, TokenStoreExt, Unlock};
use tokenkeep_sql::{Problem, SqlOptions, SqlStore};

use crate::common::{Fixture, paper, passphrase, problem, token, url};

#[test]
fn missing_database_directory_and_tables_are_not_found() {
    let directory = tempfile::tempdir().unwrap();
    let missing = url(&directory.path().join("none.db"));
    assert_eq!(problem(SqlStore::open(&missing, &paper())), Problem::NoDatabase);
    assert!(!directory.path().join("none.db").exists(), "opening creates nothing");
    let nowhere = url(&directory.path().join("no/such/directory/none.db"));
    assert_eq!(problem(SqlStore::create(&nowhere, &paper())), Problem::NoDatabase);
    fs::write(directory.path().join("empty.db"), "").unwrap();
    let empty = url(&directory.path().join("empty.db"));
    let error = SqlStore::open(&empty, &paper()).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::NotFound);
    assert!(error.to_string().contains("empty.db (tables tokenkeep_store and tokenkeep_tokens) holds no store"));
    assert!(SqlStore::open_or_create(&empty, &paper()).is_ok());
}

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
fn wrong_secrets_are_told_from_damage() {
    let fixture = Fixture::with(&SqlOptions::new());
    fixture.store.add_slot(&passphrase("right")).unwrap();
    let wrong = SqlStore::open(&fixture.url, &passphrase("wrong")).unwrap_err();
    assert!(matches!(wrong, Error::WrongPassphrase { .. }));
    assert!(wrong.to_string().contains("sqlite:///"), "{wrong}");
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

#[test]
fn tables_of_another_program_are_left_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("app.db");
    let database = rusqlite::Connection::open(&path).unwrap();
    database.execute_batch("CREATE TABLE tokenkeep_store (a); INSERT INTO tokenkeep_store VALUES (1)").unwrap();
    for refused in [SqlStore::open(&url(&path), &paper()), SqlStore::create(&url(&path), &paper())] {
        assert_eq!(problem(refused), Problem::OtherSchema { found: None });
    }
    let kept: i64 = database.query_row("SELECT a FROM tokenkeep_store", [], |row| row.get(0)).unwrap();
    assert_eq!(kept, 1);
}

#[test]
fn file_that_is_no_database_is_refused_and_kept() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("notes.txt");
    fs::write(&path, "not a database, but more than sixteen bytes of text".repeat(100)).unwrap();
    let before = fs::read(&path).unwrap();
    for refused in [SqlStore::open(&url(&path), &paper()), SqlStore::create(&url(&path), &paper())] {
        assert_eq!(problem(refused), Problem::NotADatabase);
    }
    assert_eq!(fs::read(&path).unwrap(), before);
    assert!(SqlStore::open(&url(directory.path()), &paper()).is_err());
}

#[test]
fn locked_database_ends_in_busy_at_the_deadline() {
    let options = SqlOptions::new().timeout(Duration::from_millis(300));
    let fixture = Fixture::with(&options);
    let id = fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    let other = fixture.database();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    let started = Instant::now();
    let error = fixture.store.delete_token(&id).unwrap_err();
    let waited = started.elapsed();
    assert!(waited >= Duration::from_millis(250) && waited < Duration::from_secs(3), "{waited:?}");
    assert!(error.is_retryable() && error.kind() == ErrorKind::Busy, "{error}");
    assert!(error.to_string().contains("tokens.db"), "{error}");
    assert!(fixture.store.find_token_by_id(&id).unwrap().is_some(), "a find waits for no writer");
    // A refresh token that cannot be saved is not spent.
    assert!(fixture.store.begin_refresh(&token().user_name("ada").build(), Need::now()).is_err());
    other.execute_batch("COMMIT").unwrap();
    assert!(fixture.store.delete_token(&id).unwrap());
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

#[cfg(unix)]
#[test]
fn database_that_may_only_be_read_is_read() {
    use std::os::unix::fs::PermissionsExt;
    // Root may write everywhere.
    if fs::metadata("/proc/self").is_ok_and(|own| std::os::unix::fs::MetadataExt::uid(&own) == 0) {
        return read_only_as_root();
    }
    let fixture = Fixture::new();
    fs::set_permissions(&fixture.path, fs::Permissions::from_mode(0o400)).unwrap();
    let refused = fixture.open().save_token(&token().refresh_token("r").build());
    assert_eq!(refused.unwrap_err().kind(), ErrorKind::Permission);
}

#[cfg(unix)]
fn read_only_as_root() {
    let fixture = Fixture::new();
    let id = fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    // SQLite's own way to refuse writes, as a read-only replica does.
    fixture.execute("CREATE TRIGGER no BEFORE UPDATE ON tokenkeep_store BEGIN SELECT RAISE(ABORT, 'read only'); END");
    assert!(fixture.open().delete_token(&id).is_err());
    assert!(fixture.open().find_token_by_id(&id).unwrap().is_some());
    let begun = fixture.store.begin_refresh(&token().user_name("ada").build(), Need::now());
    assert!(!matches!(begun, Ok(Refresh::Claimed(_))), "no claim without a save: {begun:?}");
}

#[cfg(unix)]
#[test]
fn new_database_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    fixture.store.save_token(&token().refresh_token("r").build()).unwrap();
    for end in ["", "-wal", "-shm"] {
        let mode = fs::metadata(format!("{}{end}", fixture.path.display())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "tokens.db{end}");
    }
}

#[test]
fn debug_shows_neither_secret_nor_user() {
    let fixture = Fixture::new();
    fixture.store.save_token(&token().user_name("ada").refresh_token("canary").build()).unwrap();
    let namespace = fixture.store.namespace("google").unwrap();
    let shown = format!("{:?} {namespace:?} {:?}", fixture.store, fixture.store.version().unwrap());
    assert!(shown.contains("tokens.db") && shown.contains("google"), "{shown}");
    assert!(!shown.contains("canary") && !shown.contains("ada"), "{shown}");
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
