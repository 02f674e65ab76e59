//! A second server that repeats what the first one does, and takes its place.

use std::{process::Command, thread, time::Duration};

use tokenkeep::{Need, Refresh, TokenStore, TokenStoreExt};
use tokenkeep_sql::{Problem, SqlStore};

use crate::{
    common::{Fixture, paper, problem, token},
    database::{self, Place},
    processes,
    server::Server,
    servers::proxy::Proxy,
};

/// The primary acknowledges no commit that the standby does not have on its disk. Returns the standby.
fn synchronous_standby(primary: &Server) -> &'static Server {
    let standby = Box::leak(Box::new(database::start_standby(primary)));
    let mut admin = database::connect(primary, "postgres").unwrap();
    admin.batch_execute("ALTER SYSTEM SET synchronous_standby_names = '*'").unwrap();
    admin.batch_execute("SELECT pg_reload_conf()").unwrap();
    let state = "SELECT sync_state FROM pg_stat_replication WHERE state = 'streaming' AND sync_state = 'sync'";
    primary.wait_for(|| match admin.query(state, &[]).unwrap().len() {
        1 => Ok(()),
        other => Err(format!("{other} synchronous standbys")),
    });
    standby
}

/// Kills the primary, and lets the standby take its place, without what it did not get in the last moments.
fn fail_over(primary: &Server, standby: &Server) {
    let mut admin = database::connect(standby, "postgres").unwrap();
    let receiver: i32 = admin.query_one("SELECT pid FROM pg_stat_wal_receiver", &[]).unwrap().get(0);
    let signal = |signal: &str| {
        assert!(Command::new("kill").args([signal, &receiver.to_string()]).status().unwrap().success());
    };
    signal("-STOP");
    thread::sleep(Duration::from_millis(300));
    primary.kill();
    // Pending when it goes on, so that it reads nothing more.
    signal("-TERM");
    signal("-CONT");
    let promoted: bool = admin.query_one("SELECT pg_promote()", &[]).unwrap().get(0);
    assert!(promoted);
}

fn url_at(fixture: &Fixture, server: &Server) -> String {
    fixture.url.replace(&format!(":{}/", fixture.place.server.port), &format!(":{}/", server.port))
}

#[test]
fn hot_standby_is_read_until_it_is_promoted() {
    let primary = Box::leak(Box::new(database::start(&[])));
    let fixture = Fixture::in_place(Place::on(primary), &Default::default());
    let standby = synchronous_standby(primary);
    let ada = token().user_name("ada").client_id("c").refresh_token("r").build();
    fixture.store.save_token(&ada).unwrap();
    let store = standby.wait_for(|| {
        let store = SqlStore::open(&url_at(&fixture, standby), &paper()).unwrap();
        // The standby has the commit on its disk, and shows it a moment later.
        if store.find_stored(&ada).unwrap().is_some() { Ok(store) } else { Err("not there yet".to_owned()) }
    });
    assert_eq!(problem(store.save_token(&ada)), Problem::ReadOnly);
    assert_eq!(problem(store.rekey([&paper()])), Problem::ReadOnly);
    let begun = store.begin_refresh(&ada, Need::now());
    assert!(!matches!(begun, Ok(Refresh::Claimed(_))), "no claim without a save: {begun:?}");
    fail_over(primary, standby);
    store.save_token(&ada.to_builder().access_token("a").build()).unwrap();
    assert_eq!(store.get_tokens().unwrap().len(), 1);
}

/// The writers reach whichever server is the primary through one address, as behind a proxy or a name that moves.
#[test]
#[ignore = "a campaign: many servers"]
fn promoted_standby_has_every_acknowledged_save() {
    let mut primary: &'static Server = Box::leak(Box::new(database::start(&[])));
    let fixture = Fixture::in_place(Place::on(primary), &Default::default());
    let mut standby = synchronous_standby(primary);
    let proxy = Proxy::to(primary);
    let url = proxy.url(&fixture.url);
    let work = processes::work_and_kill(&[&url], |round| {
        if round % 24 != 12 {
            return 0;
        }
        fail_over(primary, standby);
        *proxy.server_port.lock() = standby.port;
        primary = standby;
        standby = synchronous_standby(primary);
        1
    });
    let place = Place { server: primary, database: fixture.place.database.clone() };
    let store = SqlStore::open(&place.url(), &paper()).unwrap();
    work.check(&Fixture { url: place.url(), place, store });
}
