//! A server that is killed and started again, and connections that end.

use std::{
    io::{Read, Write},
    net::{TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::Duration,
};

use tokenkeep::{ErrorKind, TokenStore};
use tokenkeep_sql::{Problem, SqlOptions};

use crate::{
    common::{Fixture, paper, problem, token},
    database::{self, Place},
    processes,
    server::Server,
};

/// A server of the test's own, for as long as the process lasts.
fn own_server() -> &'static Server {
    Box::leak(Box::new(database::start(&[])))
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

/// What a text ends with is its statement, with a zero after it in the protocol of PostgreSQL.
fn is_commit(sent: &[u8]) -> bool {
    sent.strip_suffix(b"\0").unwrap_or(sent).ends_with(b"COMMIT")
}

/// Between the store and the server: forwards, until it is told to lose the next answer to a commit.
#[test]
fn connection_lost_at_a_commit_is_an_unknown_outcome() {
    let fixture = Fixture::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let (own, port) = (listener.local_addr().unwrap().port(), fixture.place.server.port);
    let is_cutting = Arc::new(AtomicBool::new(false));
    thread::spawn({
        let is_cutting = is_cutting.clone();
        move || {
            for client in listener.incoming() {
                let (mut client, mut server) = (client.unwrap(), TcpStream::connect(("127.0.0.1", port)).unwrap());
                let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
                thread::spawn(move || std::io::copy(&mut answers, &mut to_client));
                let is_cutting = is_cutting.clone();
                thread::spawn(move || {
                    let mut bytes = [0; 4096];
                    while let Ok(length @ 1..) = client.read(&mut bytes) {
                        if is_cutting.load(Ordering::Relaxed) && is_commit(&bytes[..length]) {
                            // The server gets it; its answer goes nowhere.
                            let _ = client.shutdown(std::net::Shutdown::Both);
                        }
                        let _ = server.write_all(&bytes[..length]);
                    }
                });
            }
        }
    });
    let url = fixture.url.replace(&format!(":{port}/"), &format!(":{own}/"));
    let store = SqlOptions::new().open(&url, &paper()).unwrap();
    store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    is_cutting.store(true, Ordering::Relaxed);
    let save = token().user_name("grace").refresh_token("r").build();
    let error = store.save_token(&save).unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Incomplete, "{error}");
    assert_eq!(problem::<()>(Err(error)), Problem::UnknownOutcome);
    is_cutting.store(false, Ordering::Relaxed);
    thread::sleep(Duration::from_millis(300));
    // It was made, this time; saying it again does no harm.
    assert!(store.find_stored(&save).unwrap().is_some());
    store.save_token(&save).unwrap();
    assert_eq!(store.get_tokens().unwrap().len(), 2);
}
