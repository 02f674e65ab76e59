//! What only a file can show, or only SQLite can have.

use std::{
    fs,
    time::{Duration, Instant},
};

use tokenkeep::{ErrorKind, RecoveryKey, TokenStore, Unlock};
use tokenkeep_sql::{Problem, SqlOptions, SqlStore};

use crate::{
    attacks::{dump, fixture},
    common::{Fixture, Value, paper, problem, token},
    database::url,
};

#[test]
fn file_shows_no_value() {
    let fixture = Fixture::new();
    fixture.store.save_token(&token().user_name("canary-user").refresh_token("canary-refresh").build()).unwrap();
    for end in ["", "-wal", "-shm"] {
        let bytes = fs::read(format!("{}{end}", fixture.place.path.display())).unwrap();
        assert!(!bytes.windows(6).any(|window| window == b"canary"), "tokens.db{end}");
    }
}

#[test]
fn removed_slot_opens_nothing_and_rekeying_ends_it_all() {
    let fixture = fixture();
    let other = Unlock::from(RecoveryKey::generate().unwrap());
    fixture.store.add_slot(&other).unwrap();
    let old: Vec<_> = dump(&fixture).into_iter().map(|mut row| row.pop().unwrap()).collect();
    let is_stored = |value: &Value| {
        let Value::Bytes(sealed) = value else { panic!("{value:?}") };
        ["", "-wal"].iter().any(|end| {
            let file = fs::read(format!("{}{end}", fixture.place.path.display())).unwrap();
            file.windows(32).any(|window| window == &sealed[10..42])
        })
    };
    assert!(old.len() == 2 && old.iter().all(is_stored));
    fixture.store.rekey([&paper()]).unwrap();
    assert!(SqlStore::open(&fixture.url, &other).is_err());
    assert_eq!(fixture.open().get_tokens().unwrap().len(), 2);
    for row in &old {
        assert!(!is_stored(row), "a row of before the rekeying");
    }
}

/// What a database may hold in a column of any type.
#[test]
fn values_of_other_types_and_sizes_are_refused() {
    for (table, change) in [
        ("tokens", "sealed = NULL"),
        ("tokens", "sealed = 'text'"),
        ("tokens", "sealed = x''"),
        ("tokens", "sealed = zeroblob(600000)"),
        ("tokens", "revision = -1"),
        ("tokens", "revision = 1.5"),
        ("tokens", "revision = 9223372036854775807"),
        ("tokens", "key_id = x'00'"),
        ("tokens", "namespace_index = zeroblob(31)"),
        ("tokens", "access_token_index = 5"),
        ("tokens", "access_token_index = NULL"),
        ("store", "key_id = 'text'"),
        ("store", "key_table_revision = 'x'"),
    ] {
        let fixture = fixture();
        let allow = format!(
            "PRAGMA writable_schema = ON; UPDATE sqlite_schema SET sql = replace(sql, ' NOT NULL', '') \
             WHERE name = 'tokenkeep_{table}'"
        );
        fixture.execute(&allow);
        let changed = fixture.place.admin().try_execute(&format!("UPDATE tokenkeep_{table} SET {change}"));
        changed.unwrap_or_else(|error| panic!("{change}: {error}"));
        let id = "1".into();
        for store in [Some(fixture.store.clone()), SqlStore::open(&fixture.url, &paper()).ok()].into_iter().flatten() {
            let error = store.find_token_by_id(&id).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{change}: {error}");
            assert!(store.save_token(&token().user_name("ada").client_id("c").build()).is_err(), "{change}");
        }
    }
}

/// SQLite itself reads no value over 1 MiB.
#[test]
fn value_of_two_megabytes_is_not_read() {
    let fixture = fixture();
    fixture.execute("UPDATE tokenkeep_tokens SET sealed = zeroblob(2000000) WHERE place = 0");
    let error = fixture.store.find_token_by_id(&"1".into()).unwrap_err();
    assert!(error.kind() == ErrorKind::Damaged && error.to_string().contains("string or blob too big"), "{error}");
}

/// A view that answers each time with another value of a column: the row is sound, and not the one that was asked for.
#[test]
fn query_that_finds_other_rows_is_refused() {
    let fixture = fixture();
    fixture.execute(
        "ALTER TABLE tokenkeep_tokens RENAME TO hidden; CREATE VIEW tokenkeep_tokens AS \
         SELECT place, revision, key_id, namespace_index, \
         CASE random() % 2 WHEN 0 THEN id_index ELSE (SELECT id_index FROM hidden WHERE place = 0) END AS id_index, \
         user_name_index, user_and_client_index, access_token_index, grant_token_index, refresh_token_index, \
         lease_holder, lease_until, lease_started, sealed FROM hidden WHERE place = 1",
    );
    let mut refused = 0;
    for _ in 0..200 {
        match fixture.store.find_token_by_id(&"1".into()) {
            Ok(None) | Err(tokenkeep::Error::BadRow { .. }) => {}
            Ok(Some(other)) => panic!("{other:?}"),
            refusal => {
                assert!(matches!(problem(refusal), Problem::Malformed(_)));
                refused += 1;
            }
        }
    }
    assert!(refused > 0, "the view gives the other row");
}

/// A view may repeat a sound row for ever.
#[test]
fn row_that_a_view_repeats_ends_the_query() {
    let fixture = fixture();
    fixture.execute(
        "ALTER TABLE tokenkeep_tokens RENAME TO hidden; CREATE VIEW tokenkeep_tokens AS SELECT hidden.* FROM \
         (WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n LIMIT 100000) SELECT i FROM n), hidden",
    );
    for refused in [fixture.store.get_tokens(), fixture.open().find_token_by_id(&"1".into()).map(|_| Vec::new())] {
        assert!(matches!(problem(refused), Problem::Malformed(_)));
    }
}

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
fn creation_in_a_locked_database_ends_in_busy_at_the_deadline() {
    let fixture = Fixture::new();
    let mut other = fixture.place.admin();
    other.try_execute("BEGIN IMMEDIATE").unwrap();
    let options = SqlOptions::new().tables("other").timeout(Duration::from_millis(300));
    let started = Instant::now();
    assert_eq!(options.create(&fixture.url, &paper()).unwrap_err().kind(), ErrorKind::Busy);
    assert!(started.elapsed() < Duration::from_secs(3), "{:?}", started.elapsed());
    other.try_execute("COMMIT").unwrap();
    assert!(options.create(&fixture.url, &paper()).is_ok());
}

#[cfg(unix)]
#[test]
fn new_database_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let fixture = Fixture::new();
    fixture.store.save_token(&token().refresh_token("r").build()).unwrap();
    for end in ["", "-wal", "-shm"] {
        let mode = fs::metadata(format!("{}{end}", fixture.place.path.display())).unwrap().permissions().mode();
        assert_eq!(mode & 0o777, 0o600, "tokens.db{end}");
    }
}
