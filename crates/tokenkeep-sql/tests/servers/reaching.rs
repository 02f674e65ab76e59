//! No server, a server that says nothing, and users that may not do everything.

use std::{
    net::TcpListener,
    time::{Duration, Instant},
};

use tokenkeep::{ErrorKind, Need, Refresh, TokenStore, TokenStoreExt};
use tokenkeep_sql::{Database, Problem, SqlOptions, SqlStore};

use crate::{
    common::{Fixture, paper, problem, token},
    database::{self, Place},
};

/// The URL with another part.
#[track_caller]
fn with(url: &str, part: &str, other: &str) -> String {
    assert!(url.contains(part), "{url}");
    url.replacen(part, other, 1)
}

#[test]
fn missing_server_database_tables_and_login_are_told_apart() {
    let place = Place::new();
    let url = place.url();
    assert_eq!(problem(SqlStore::open(&url, &paper())), Problem::NoStore);
    let nowhere = with(&url, &format!(":{}/", place.server.port), ":1/");
    assert_eq!(problem(SqlStore::open(&nowhere, &paper())), Problem::NoConnection);
    let no_name = with(&url, "127.0.0.1", "no-such-host.invalid");
    assert_eq!(problem(SqlStore::open(&no_name, &paper())), Problem::NoConnection);
    let missing = with(&url, &format!("/{}", place.database), "/no_such_database");
    let missing = if missing == url { format!("{url}x") } else { missing };
    for refused in [SqlStore::open(&missing, &paper()), SqlStore::create(&missing, &paper())] {
        assert_eq!(problem(refused), Problem::NoDatabase);
    }
    for wrong in [with(&url, "hunter2", "canary"), with(&url, ":hunter2", ""), with(&url, "app:", "nobody:")] {
        let error = SqlStore::open(&wrong, &paper()).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
        assert!(!format!("{error} {error:?}").contains("canary"), "{error:?}");
    }
    let store = SqlStore::open_or_create(&url, &paper()).unwrap();
    assert_eq!(store.name().find("hunter2"), None);
    assert!(store.get_tokens().unwrap().is_empty());
}

#[test]
fn server_that_never_answers_ends_at_the_deadline() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let url = with(&Place::new().url(), ":hunter2", "");
    let url = format!("{}:{port}/d", url.rsplit_once(':').unwrap().0);
    let database = Database::url(&url).connect_timeout(Duration::from_millis(300));
    let started = Instant::now();
    let refused = SqlStore::open(&database, &paper());
    let waited = started.elapsed();
    assert_eq!(problem(refused), Problem::NoConnection);
    assert!(waited >= Duration::from_millis(250) && waited < Duration::from_secs(2), "{waited:?}");
    drop(listener);
}

#[test]
fn statement_that_takes_too_long_is_ended() {
    let fixture = Fixture::new();
    let id = fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    let database = Database::url(&fixture.url).statement_timeout(Duration::from_millis(300));
    let options = SqlOptions::new().timeout(Duration::from_millis(900));
    let store = options.open(&database, &paper()).unwrap();
    let mut other = fixture.place.admin();
    let timed_out = |answer: tokenkeep::Result<()>, started: Instant| {
        assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
        let error = answer.unwrap_err();
        assert!(error.is_retryable(), "{error}");
        assert_eq!(problem::<()>(Err(error)), Problem::TimedOut);
    };
    other.try_execute("BEGIN; UPDATE tokenkeep_store SET lease_counter = lease_counter + 1").unwrap();
    timed_out(store.delete_token(&id).map(drop), Instant::now());
    other.try_execute("COMMIT").unwrap();
    other.try_execute(database::LOCK_TOKENS).unwrap();
    timed_out(store.find_token_by_id(&id).map(drop), Instant::now());
    other.try_execute(database::UNLOCK_TOKENS).unwrap();
    assert!(store.find_token_by_id(&id).unwrap().is_some());
    assert!(store.delete_token(&id).unwrap());
}

/// As on a replica.
#[test]
fn user_that_may_only_read_finds_and_claims_nothing() {
    let fixture = Fixture::new();
    let id = fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    let reader = fixture.place.reader();
    let store = SqlStore::open(&reader, &paper()).unwrap();
    assert!(store.find_token_by_id(&id).unwrap().is_some());
    let error = store.delete_token(&id).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Permission, "{error}");
    let begun = store.begin_refresh(&token().user_name("ada").build(), Need::now());
    assert!(!matches!(begun, Ok(Refresh::Claimed(_))), "no claim without a save: {begun:?}");
    let created = SqlOptions::new().tables("mine").create(&reader, &paper());
    assert_eq!(created.unwrap_err().kind(), ErrorKind::Permission);
    assert_eq!(fixture.store.get_tokens().unwrap().len(), 1);
}

/// As a proxy or an administrator may cut them.
#[test]
fn truncated_values_are_refused() {
    for change in database::TRUNCATIONS {
        let fixture = Fixture::new();
        let id = fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
        fixture.execute(change);
        for answer in [fixture.store.find_token_by_id(&id).map(drop), fixture.store.delete_token(&id).map(drop)] {
            let error = answer.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{change}: {error}");
        }
    }
}

#[test]
fn value_of_many_megabytes_is_not_read() {
    let fixture = Fixture::new();
    let id = fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    fixture.execute(database::LONG_VALUE);
    for answer in [fixture.store.find_token_by_id(&id).map(drop), fixture.store.delete_token(&id).map(drop)] {
        let error = answer.unwrap_err();
        assert!(error.to_string().contains("an answer of more than 4 MiB"), "{error}");
        assert_eq!(error.kind(), ErrorKind::Damaged);
    }
    // The rest of that answer is not taken for the next one.
    assert!(!fixture.store.delete_token(&"none".into()).unwrap());
}

#[test]
fn parts_and_a_socket_reach_the_same_store() {
    let fixture = Fixture::new();
    fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    let (server, database) = (fixture.place.server, &fixture.place.database);
    let by_parts = fixture.place.by_parts("127.0.0.1").port(server.port).user("app").password("hunter2");
    assert!(!format!("{by_parts:?}").contains("hunter2") && format!("{by_parts:?}").contains(database));
    assert_eq!(SqlStore::open(&by_parts, &paper()).unwrap().get_tokens().unwrap().len(), 1);
    let socket = fixture.place.by_parts(&fixture.place.socket()).port(server.port).user("app").password("hunter2");
    assert_eq!(SqlStore::open(&socket, &paper()).unwrap().get_tokens().unwrap().len(), 1);
}
