//! A server that takes no changes, or has no room for them.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokenkeep::{ErrorKind, Need, Refresh, TokenId, TokenStore, TokenStoreExt};
use tokenkeep_sql::{Problem, SqlOptions, SqlStore};

use crate::{
    common::{Fixture, paper, passphrase, problem, token},
    database::{self, Place},
    servers::restarts::own_server,
};

#[test]
fn read_only_server_is_read_and_keeps_what_it_has() {
    let server = own_server();
    let fixture = Fixture::in_place(Place::on(server), &SqlOptions::new());
    let ada = token().user_name("ada").client_id("c").build();
    fixture.store.save_token(&ada.to_builder().refresh_token("r").build()).unwrap();
    // The setting is that of new connections, a moment later.
    let until = |is_done: &dyn Fn(tokenkeep::Result<TokenId>) -> bool| {
        let started = Instant::now();
        while !is_done(fixture.open().save_token(&ada)) {
            assert!(started.elapsed() < Duration::from_secs(20));
            thread::sleep(Duration::from_millis(20));
        }
    };
    for [read_only, writable] in database::READ_ONLY {
        fixture.execute(read_only);
        until(&|saved| saved.is_err());
        let store = fixture.open();
        let found = store.find_stored(&ada).unwrap().unwrap();
        for refused in [
            store.save_token(&ada).map(drop),
            store.delete_token(found.id().unwrap()).map(drop),
            store.rekey([&paper()]),
            store.add_slot(&passphrase("p")).map(drop),
            SqlOptions::new().tables("other").create(&fixture.url, &paper()).map(drop),
        ] {
            let error = refused.unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Permission, "{read_only}: {error}");
            assert_eq!(problem::<()>(Err(error)), Problem::ReadOnly);
        }
        let begun = store.begin_refresh(&ada, Need::now());
        assert!(!matches!(begun, Ok(Refresh::Claimed(_))), "no claim without a save: {begun:?}");
        fixture.execute(writable);
        until(&|saved| saved.is_ok());
    }
    assert_eq!(fixture.store.get_tokens().unwrap().len(), 1);
}

#[test]
fn full_server_refuses_saves_and_keeps_the_rest() {
    let server = Box::leak(Box::new(database::start_small()));
    let fixture = Fixture::in_place(Place::on(server), &SqlOptions::new());
    let long = "a".repeat(60_000);
    let row = |number: usize| token().user_name(number.to_string()).client_id("c").access_token(&*long).build();
    let mut saved = 0;
    let refused = loop {
        match fixture.store.save_token(&row(saved)) {
            Ok(_) => saved += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(problem::<()>(Err(refused)), Problem::Full);
    assert_eq!(problem(fixture.store.save_token(&row(saved))), Problem::Full);
    assert!(saved > 1);
    for store in [fixture.store.clone(), SqlStore::open(&fixture.url, &paper()).unwrap()] {
        assert_eq!(store.get_tokens().unwrap().len(), saved);
        assert_eq!(store.find_stored(&row(saved - 1)).unwrap().unwrap().access_token().unwrap().expose_secret(), long);
    }
    fixture.place.check();
}
