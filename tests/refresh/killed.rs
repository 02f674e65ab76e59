//! Processes that are killed between the request and the save. If the server had moved on, the new refresh token is
//! lost with them, and the user has to sign in again; else the next caller refreshes.

use std::{
    thread,
    time::{Duration, Instant},
};

use tokenkeep::{Need, Refresh, Refreshed, TokenStore, TokenStoreExt};

use crate::{
    endpoint::{Endpoint, Event, Handling, Plan},
    many::expiries,
    process::{Process, received, say},
    stage::{Stage, ada, claim, join, random, secret},
};

/// The job of a process that refreshes once, and is killed. `when`: what it waits for in the middle.
pub(crate) fn work(when: &str, directory: &str, address: &str) {
    let (store, client) = join(directory, address);
    say("ready");
    received();
    let refreshed = store.refresh_with(&ada(), Need::default(), |token| {
        if when == "before the request" {
            say("here");
            received();
        }
        let answer = client.refresh(token);
        if when == "before the save" {
            say("here");
            received();
        }
        answer
    });
    assert!(matches!(refreshed.unwrap(), Refreshed::Fresh(_)));
    say("saved");
    received();
}

fn start(stage: &Stage, when: &str) -> Process {
    let [directory, address] = stage.words();
    let mut process = Process::start(&["be killed", when, &directory, &address]);
    process.expect("ready");
    process.tell("go");
    process
}

/// Finishes the refresh that was left unfinished; whether the token is good now.
#[track_caller]
fn finish_after_kill(stage: &Stage) -> bool {
    let started = Instant::now();
    let claim = claim(&stage.store, &ada(), Need::default());
    assert!(claim.was_left_unfinished());
    let answer = stage.client.refresh(claim.token().unwrap());
    let refreshed = claim.finish(answer).unwrap();
    assert!(started.elapsed() < Duration::from_secs(2), "a dead holder keeps nobody waiting");
    match refreshed {
        Refreshed::Fresh(token) => {
            assert!(stage.client.is_accepted(&token));
            assert_eq!(secret(token.refresh_token()), stage.endpoint.valid_refresh_token());
            true
        }
        Refreshed::SignInAgain(token) => {
            assert!(token.rejected_at().is_some());
            let arrived = stage.endpoint.count(Event::Arrived);
            let again = stage.store.begin_refresh(&ada(), Need::default());
            assert!(matches!(again, Ok(Refresh::SignInAgain(_))), "{again:?}");
            assert_eq!(stage.endpoint.count(Event::Arrived), arrived, "nobody sends it once more");
            false
        }
        other => panic!("expected a fresh token or none, got {other:?}"),
    }
}

pub(crate) fn before_request() {
    let stage = Stage::new();
    stage.sign_in("ada");
    let mut process = start(&stage, "before the request");
    process.expect("here");
    process.kill();
    assert!(finish_after_kill(&stage), "the server has seen one request");
    assert_eq!(stage.endpoint.count(Event::Arrived), 1);
    stage.endpoint.assert_well_treated();
}

pub(crate) fn before_save() {
    let stage = Stage::new();
    stage.sign_in("ada");
    let mut process = start(&stage, "before the save");
    process.expect("here");
    process.kill();
    assert!(!finish_after_kill(&stage), "the new refresh token is lost");
    assert_eq!(stage.endpoint.count(Event::Used), 1);
    // A new sign-in ends it.
    stage.sign_in("ada");
    let claim = claim(&stage.store, &ada(), Need::default());
    assert!(!claim.was_left_unfinished());
    let answer = stage.client.refresh(claim.token().unwrap());
    assert!(matches!(claim.finish(answer).unwrap(), Refreshed::Fresh(token) if stage.client.is_accepted(&token)));
}

/// A second caller waits while the first is killed.
pub(crate) fn while_another_waits() {
    let stage = Stage::new();
    stage.sign_in("ada");
    let mut process = start(&stage, "before the request");
    process.expect("here");
    let (store, client) = (stage.store.clone(), stage.client);
    let waiting = thread::spawn(move || {
        let refreshed = store.refresh_with(&ada(), Need::default(), |token| client.refresh(token)).unwrap();
        (Instant::now(), refreshed)
    });
    thread::sleep(Duration::from_millis(200));
    process.kill();
    let killed = Instant::now();
    let (ended, refreshed) = waiting.join().unwrap();
    println!("a caller that waited had a token {:.1?} after the kill", ended - killed);
    assert!(matches!(refreshed, Refreshed::Fresh(token) if stage.client.is_accepted(&token)));
    assert!(ended - killed < Duration::from_secs(2));
}

/// Where the process was killed, as far as the server and the store can tell.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Where {
    BeforeServer,
    BetweenServerAndSave,
    AfterSave,
}

impl Where {
    fn look(stage: &Stage, endpoint: &Endpoint, moved: usize) -> Self {
        let row = stage.store.find_stored(&ada()).unwrap().unwrap();
        match (endpoint.count(Event::Moved) > moved, secret(row.refresh_token()) == endpoint.valid_refresh_token()) {
            (true, true) => Self::AfterSave,
            (true, false) => Self::BetweenServerAndSave,
            (false, _) => Self::BeforeServer,
        }
    }
}

pub(crate) fn at_random() {
    let stage = Stage::new();
    let endpoint = &stage.endpoint;
    endpoint.plan(|_| {
        let [before, after] = [(); 2].map(|()| Duration::from_millis(random(10)));
        Plan { before, after, handling: Handling::TokensIfThere, ..Plan::default() }
    });
    let (mut seen, kills) = (Vec::new(), 3 * expiries());
    while seen.len() < kills {
        stage.sign_in("ada");
        let (moved, arrived) = (endpoint.count(Event::Moved), endpoint.count(Event::Arrived));
        let mut process = start(&stage, "at random");
        endpoint.wait_for(Event::Arrived, arrived + 1);
        thread::sleep(Duration::from_micros(random(24_000)));
        process.kill();
        endpoint.wait_until_idle();
        let place = Where::look(&stage, endpoint, moved);
        let used = endpoint.count(Event::Used);
        let is_good = match place {
            Where::AfterSave => {
                let begun = stage.store.begin_refresh(&ada(), Need::default());
                matches!(begun, Ok(Refresh::Fresh(token)) if stage.client.is_accepted(&token))
            }
            _ => finish_after_kill(&stage),
        };
        assert_eq!(is_good, place != Where::BetweenServerAndSave, "{place:?}");
        assert_eq!(endpoint.count(Event::Used) - used, usize::from(!is_good), "{place:?}");
        seen.push(place);
    }
    let count = |place| seen.iter().filter(|seen| **seen == place).count();
    let [before, between, after] = [Where::BeforeServer, Where::BetweenServerAndSave, Where::AfterSave].map(count);
    println!(
        "{kills} processes killed in a refresh: {before} before the server had moved on, then the next caller refreshed; \
         {between} before the save, then the user signs in again; {after} after the save"
    );
    assert!(before > 0 && between > 0 && after > 0);
}
