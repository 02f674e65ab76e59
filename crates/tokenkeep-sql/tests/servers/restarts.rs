//! A server that is killed and started again, and connections that end.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokenkeep::{ErrorKind, TokenStore};
use tokenkeep_sql::{Database, Problem, SqlOptions, SqlStore};

use crate::{
    common::{Fixture, paper, problem, token},
    database::{self, Place},
    forked::in_child,
    processes,
    server::Server,
    servers::proxy::{Proxy, Way},
};

/// A server of the test's own, for as long as the process lasts.
pub(crate) fn own_server() -> &'static Server {
    Box::leak(Box::new(database::start(&[])))
}

/// A connection that the child closed would be replaced without an error, so the server is asked which there are.
#[test]
fn store_that_a_forked_child_drops_keeps_its_connections_in_the_parent() {
    let fixture = Fixture::new();
    let store = SqlStore::open(&fixture.url, &paper()).unwrap();
    store.get_tokens().unwrap();
    let connections = || fixture.place.admin().rows(database::CONNECTIONS);
    let mut before = connections();
    assert!(before.len() >= 2, "one of each handle: {before:?}");
    let mut store = Some(store);
    in_child(|| drop(store.take()));
    assert!(store.as_ref().unwrap().get_tokens().unwrap().is_empty());
    // Connections of the administrator end a moment after they are closed.
    before.retain(|connection| connections().contains(connection));
    assert!(before.len() >= 2, "{before:?}");
}

/// 8 processes with 4 threads each save, delete, count, refresh and rekey, while processes and the server are killed.
#[test]
fn killed_server_loses_no_acknowledged_save() {
    let server = own_server();
    let fixture = Fixture::in_place(Place::on(server), &SqlOptions::new());
    processes::torture(&fixture, &[], |round| {
        if round % 8 != 4 {
            return 0;
        }
        server.kill();
        thread::sleep(Duration::from_millis(200));
        server.start_again();
        drop(server.wait_for(|| database::connect(server, &fixture.place.database)));
        1
    });
}

#[test]
fn connections_of_before_a_restart_are_replaced() {
    let server = own_server();
    let fixture = Fixture::in_place(Place::on(server), &SqlOptions::new());
    let store = &fixture.store;
    let query = token().user_name("ada").client_id("c").build();
    store.save_token(&query.to_builder().refresh_token("r").build()).unwrap();
    // Several connections are idle.
    thread::scope(|scope| {
        (0..4).for_each(|_| drop(scope.spawn(|| assert!(store.find_stored(&query).unwrap().is_some()))));
    });
    let restart = || {
        server.kill();
        assert_eq!(problem(store.find_stored(&query)), Problem::NoConnection);
        let refused = store.save_token(&query).unwrap_err();
        assert!(refused.is_retryable() && refused.kind() == ErrorKind::Busy, "{refused}");
        assert!(!refused.to_string().contains("hunter2"), "{refused}");
        server.start_again();
        drop(server.wait_for(|| database::connect(server, &fixture.place.database)));
    };
    restart();
    // The first operation after it succeeds, of any kind.
    assert!(store.find_stored(&query).unwrap().is_some());
    restart();
    store.save_token(&query.to_builder().access_token("a").build()).unwrap();
    restart();
    store.version().unwrap();
    restart();
    let id = store.find_stored(&query).unwrap().unwrap().id().unwrap().clone();
    restart();
    assert!(store.lock_token(&id).unwrap().lock().is_some());
    restart();
    store.transaction(|transaction| transaction.delete_token(&id)).unwrap();
}

#[test]
fn connection_lost_at_a_commit_is_an_unknown_outcome() {
    let fixture = Fixture::new();
    let proxy = Proxy::to(fixture.place.server);
    let store = SqlOptions::new().open(&proxy.url(&fixture.url), &paper()).unwrap();
    store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    proxy.set(Way::CutAtCommit);
    let save = token().user_name("grace").refresh_token("r").build();
    let error = store.save_token(&save).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete, "{error}");
    assert_eq!(problem::<()>(Err(error)), Problem::UnknownOutcome);
    proxy.set(Way::Open);
    thread::sleep(Duration::from_millis(300));
    // It was made, this time; saying it again does no harm.
    assert!(store.find_stored(&save).unwrap().is_some());
    store.save_token(&save).unwrap();
    assert_eq!(store.get_tokens().unwrap().len(), 2);
}

/// As a server that was stopped, or a firewall that forgot the connection.
#[test]
fn connection_that_hangs_ends_at_the_deadline() {
    let fixture = Fixture::new();
    let proxy = Proxy::to(fixture.place.server);
    let limit = Duration::from_secs(1);
    let database = Database::url(&proxy.url(&fixture.url)).connect_timeout(limit).statement_timeout(limit);
    let store = SqlOptions::new().timeout(limit).open(&database, &paper()).unwrap();
    let ada = token().user_name("ada").client_id("c").refresh_token("r").build();
    store.save_token(&ada).unwrap();
    for (way, expected) in [(Way::Silent, Problem::NoConnection), (Way::SilentAtCommit, Problem::UnknownOutcome)] {
        proxy.set(way);
        let started = Instant::now();
        let refused = store.save_token(&ada.to_builder().access_token("a").build()).unwrap_err();
        assert!(started.elapsed() < Duration::from_secs(20), "{way:?}: {:?}", started.elapsed());
        assert_eq!(problem::<()>(Err(refused)), expected, "{way:?}");
        if way == Way::Silent {
            assert_eq!(problem(store.find_stored(&ada)), Problem::NoConnection);
        }
        proxy.set(Way::Open);
        // No answer of before is taken for a later one.
        let found = store.find_stored(&ada).unwrap().unwrap();
        assert_eq!(found.refresh_token().unwrap().expose_secret(), "r", "{way:?}");
        store.save_token(&ada).unwrap();
    }
}
