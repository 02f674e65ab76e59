//! What applications do without a claim: find, request, save. Two processes that do it at once lose sign-ins.

use tokenkeep::{Answer, Keystore, Need, Refreshed, Token, TokenStore, TokenStoreExt};

use crate::{
    client::Client,
    endpoint::{Event, Plan},
    many::expiries,
    process::{Process, received, say},
    stage::{Stage, ada, join, random},
};

/// The job of one of the two: gets a token once in each round.
pub(crate) fn work(way: &str, directory: &str, address: &str) {
    let (store, client) = join(directory, address);
    while received().is_some() {
        let token = match way {
            "old" => without_claim(&store, client),
            _ => match store.refresh_with(&ada(), Need::default(), |token| client.refresh(token)).unwrap() {
                Refreshed::Fresh(token) => Some(token),
                other => panic!("expected a fresh token, got {other:?}"),
            },
        };
        let is_accepted = token.is_some_and(|token| client.is_accepted(&token));
        say(if is_accepted { "accepted" } else { "lost" });
    }
}

fn without_claim(store: &Keystore, client: Client) -> Option<Token> {
    let token = store.find_stored(&ada()).unwrap().unwrap();
    if !token.is_expired(client.clock.now()) {
        return Some(token);
    }
    match client.refresh(&token) {
        Answer::Token(response) => {
            let token = response.to_builder().user_name("ada").client_id("c").build();
            let id = store.save_token(&token).unwrap();
            store.find_token_by_id(&id).unwrap()
        }
        _ => None,
    }
}

/// How many families were revoked, and how often a process ended without a token that is accepted.
fn race(way: &str) -> (usize, usize) {
    let stage = Stage::new();
    // As long as a request takes on a network.
    stage.endpoint.plan(|_| Plan { before: std::time::Duration::from_millis(10 + random(20)), ..Plan::default() });
    let [directory, address] = stage.words();
    let mut processes = [(); 2].map(|()| Process::start(&["race", way, &directory, &address]));
    let mut without = 0;
    for _ in 0..expiries() {
        stage.sign_in("ada");
        processes.iter_mut().for_each(|process| process.tell("go"));
        without += processes.iter().filter(|process| process.hear() == "lost").count();
    }
    if way != "old" {
        stage.endpoint.assert_well_treated();
        assert_eq!(stage.endpoint.count(Event::Arrived), expiries());
    }
    (stage.endpoint.revoked_families(), without)
}

pub(crate) fn races() {
    let rounds = expiries();
    let (revoked, without) = race("old");
    println!("find, request, save: {revoked} of {rounds} sign-ins revoked, {without} of {} calls lost", 2 * rounds);
    assert!(revoked > 0, "the endpoint notices no used refresh token");
    let (revoked, without) = race("claim");
    println!("with claims: {revoked} of {rounds} sign-ins revoked, {without} of {} calls lost", 2 * rounds);
    assert_eq!((revoked, without), (0, 0));
}
