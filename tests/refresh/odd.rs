//! Callers that get in each other's way: by another refresh in the middle of one, or because they are stopped.

use std::{
    thread,
    time::{Duration, Instant},
};

use rustix::process::Signal;
use tokenkeep::{Answer, Error, Keystore, Need, RefreshStep, Refreshed, Token, TokenStoreExt};

use crate::{
    client::Client,
    endpoint::Event,
    process::{Process, received, say},
    stage::{Stage, ada, assert_taken, claim, join, user_query},
};

/// How long a claim is trusted that a stopped process holds.
const TRUSTED: Duration = Duration::from_millis(500);

#[track_caller]
fn refresh(store: &Keystore, client: Client, user: &str) -> Token {
    match store.refresh_with(&user_query(user), Need::default(), |token| client.refresh(token)).unwrap() {
        Refreshed::Fresh(token) => token,
        other => panic!("expected a fresh token, got {other:?}"),
    }
}

pub(crate) fn nested() {
    let stage = Stage::new();
    ["ada", "grace"].iter().for_each(|user| stage.sign_in(user));
    let Stage { store, client, .. } = &stage;
    let refreshed = store.refresh_with(&ada(), Need::default(), |token| {
        assert!(client.is_accepted(&refresh(store, *client, "grace")));
        client.refresh(token)
    });
    assert!(matches!(refreshed.unwrap(), Refreshed::Fresh(token) if client.is_accepted(&token)));
    stage.endpoint.assert_well_treated();
    assert_eq!(stage.endpoint.count(Event::Moved), 2);
}

pub(crate) fn nested_in_itself() {
    let stage = Stage::new();
    stage.sign_in("ada");
    let Stage { store, client, .. } = &stage;
    let refreshed = store.refresh_with(&ada(), Need::default(), |token| {
        let need = Need::default().timeout(Duration::from_millis(200));
        let inner = store.refresh_with(&ada(), need, |_| panic!("there is one claim"));
        let error = inner.unwrap_err();
        assert!(matches!(error.cause(), Error::Refreshing { .. }) && error.step() == RefreshStep::Claim, "{error}");
        client.refresh(token)
    });
    assert!(matches!(refreshed.unwrap(), Refreshed::Fresh(_)));
    assert_eq!(stage.endpoint.count(Event::Arrived), 1);
}

/// The job of a process that has one token's claim and wants another token.
pub(crate) fn want_both(own: &str, other: &str, timeout: &str, directory: &str, address: &str) {
    let (store, client) = join(directory, address);
    let held = claim(&store, &user_query(own), Need::default());
    say("claimed");
    received();
    let need = Need::default().timeout(Duration::from_millis(timeout.parse().unwrap()));
    let started = Instant::now();
    let wanted = store.refresh_with(&user_query(other), need, |token| client.refresh(token));
    let waited = started.elapsed().as_millis();
    let what = match wanted {
        Ok(Refreshed::Fresh(token)) if client.is_accepted(&token) => "token".to_owned(),
        Err(error) if matches!(error.cause(), Error::Refreshing { .. }) => "timeout".to_owned(),
        other => format!("{other:?}"),
    };
    let answer = client.refresh(held.token().unwrap());
    assert!(matches!(held.finish(answer).unwrap(), Refreshed::Fresh(_)));
    say(&format!("{what} after {waited}"));
    received();
    say(&format!("{}", client.is_accepted(&refresh(&store, client, other))));
}

/// Two processes that have one token's claim each, and want the other's.
pub(crate) fn crosswise() {
    for (timeouts, expected) in [
        ([400, 400], ["timeout", "timeout"]),
        // The patient one gets its token as soon as the other one has given up.
        ([400, 20_000], ["timeout", "token"]),
    ] {
        let stage = Stage::new();
        ["ada", "grace"].iter().for_each(|user| stage.sign_in(user));
        let [directory, address] = stage.words();
        let timeouts = timeouts.map(|timeout: u64| timeout.to_string());
        let mut processes = [("ada", "grace", &timeouts[0]), ("grace", "ada", &timeouts[1])]
            .map(|(own, other, timeout)| Process::start(&["want both", own, other, timeout, &directory, &address]));
        processes.iter().for_each(|process| process.expect("claimed"));
        processes.iter_mut().for_each(|process| process.tell("go"));
        let ended = processes.each_ref().map(Process::hear);
        println!("timeouts of {timeouts:?} ms: {ended:?} ms");
        for (ended, expected) in ended.iter().zip(expected) {
            let (what, waited) = ended.split_once(" after ").unwrap();
            assert_eq!(what, expected);
            assert!(waited.parse::<u64>().unwrap() < 5000, "{ended}");
        }
        processes.iter_mut().for_each(|process| process.tell("go"));
        processes.iter().for_each(|process| process.expect("true"));
        assert_eq!(stage.endpoint.count(Event::Moved), 2);
        stage.endpoint.assert_well_treated();
    }
}

/// The job of a process that is stopped while it holds a claim, before or after it has sent the request.
pub(crate) fn be_stopped(when: &str, directory: &str, address: &str) {
    let (store, client) = join(directory, address);
    let claim = claim(&store, &ada(), Need::default().trusted_for(TRUSTED));
    if when == "before" {
        say("ready");
        received();
        assert!(matches!(claim.token(), Err(Error::ClaimEnded)));
        say("claim ended");
        received();
        drop(claim);
    } else {
        let Answer::Token(response) = client.refresh(claim.token().unwrap()) else { panic!("expected a token") };
        say("ready");
        received();
        assert!(matches!(claim.token(), Err(Error::ClaimEnded)), "no request begins now");
        let saved = claim.complete(response).unwrap();
        assert!(client.is_accepted(&saved));
    }
    say("done");
    received();
}

/// Stops such a process for longer than its claim is trusted.
fn stopped(stage: &Stage, when: &str) -> Process {
    stage.sign_in("ada");
    let [directory, address] = stage.words();
    let mut process = Process::start(&["be stopped", when, &directory, &address]);
    process.expect("ready");
    process.signal(Signal::STOP);
    let stopped = Instant::now();
    process.tell("go");
    while stopped.elapsed() < 2 * TRUSTED {
        // A stopped process may have sent its request. Nobody sends it once more.
        assert_taken(&stage.store, &ada());
        thread::sleep(Duration::from_millis(20));
    }
    process.signal(Signal::CONT);
    process
}

pub(crate) fn stopped_before_request() {
    let stage = Stage::new();
    let mut process = stopped(&stage, "before");
    process.expect("claim ended");
    assert_eq!(stage.endpoint.count(Event::Arrived), 0);
    process.tell("go");
    process.expect("done");
    let claim = claim(&stage.store, &ada(), Need::default());
    assert!(!claim.was_left_unfinished(), "it has sent nothing");
    let answer = stage.client.refresh(claim.token().unwrap());
    assert!(matches!(claim.finish(answer).unwrap(), Refreshed::Fresh(_)));
    stage.endpoint.assert_well_treated();
}

pub(crate) fn stopped_after_request() {
    let stage = Stage::new();
    let process = stopped(&stage, "after");
    process.expect("done");
    assert!(stage.client.is_accepted(&refresh(&stage.store, stage.client, "ada")));
    assert_eq!(stage.refresh_token("ada"), stage.endpoint.valid_refresh_token());
    assert_eq!(stage.endpoint.count(Event::Arrived), 1);
    stage.endpoint.assert_well_treated();
}
