//! Which callers get the token, and which one a claim.

use super::*;

#[test]
fn token_is_refreshed_in_its_last_minute() {
    let clock = Clock::default();
    let store = store(&clock, Some(3600));
    let begin = || store.begin_refresh(&ada(), clock.need(Need::default()));
    assert_eq!(access(&fresh(begin())), "a0");
    clock.advance(3600 - 61);
    fresh(begin());
    clock.advance(61 - 47); // the margin is between 48 and 60 seconds
    let claim = claimed(begin());
    assert_eq!(claim.token().unwrap().refresh_token().unwrap().expose_secret(), "r0");
    assert_eq!(stale(begin()), StaleReason::Refreshing);
    let saved = claim.complete(clock.response("a1", "r1", Some(3600))).unwrap();
    assert_eq!((access(&saved), saved.refresh_token().unwrap().expose_secret()), ("a1", "r1"));
    assert_eq!(access(&fresh(begin())), "a1");
}

#[test]
fn margin_is_at_most_half_the_lifetime() {
    let clock = Clock::default();
    let store = store(&clock, Some(60));
    for need in [Need::default(), Need::remaining(Duration::from_secs(300))] {
        fresh(store.begin_refresh(&ada(), clock.need(need)));
    }
    clock.advance(28);
    fresh(store.begin_refresh(&ada(), clock.need(Need::remaining(Duration::from_secs(300)))));
    clock.advance(3);
    drop(claimed(store.begin_refresh(&ada(), clock.need(Need::remaining(Duration::from_secs(300))))));
    fresh(store.begin_refresh(&ada(), clock.need(Need::remaining(Duration::from_secs(5)))));
    // A sign-in may leave out when it received the token.
    store.save_token(&ada().to_builder().access_token("a1").expires_in(Duration::from_secs(60)).build()).unwrap();
    clock.advance(-31);
    fresh(store.begin_refresh(&ada(), clock.need(Need::default())));
}

#[test]
fn expired_token_is_waited_for() {
    let clock = Clock::default();
    let store = store(&clock, Some(3600));
    clock.advance(4000);
    let claim = claimed(store.begin_refresh(&ada(), clock.need(Need::default())));
    let error = store.begin_refresh(&ada(), clock.need(Need::default())).unwrap_err();
    assert!(matches!(error, Error::Refreshing { waited } if waited >= Duration::from_millis(300)), "{error}");
    let waiting = {
        let (store, need) = (store.clone(), clock.need(Need::default()).timeout(Duration::from_secs(30)));
        std::thread::spawn(move || fresh(store.begin_refresh(&ada(), need)))
    };
    std::thread::sleep(Duration::from_millis(50));
    claim.complete(clock.response("a1", "r1", Some(3600))).unwrap();
    assert_eq!(access(&waiting.join().unwrap()), "a1");
}

#[test]
fn dropped_claim_goes_to_the_next_caller() {
    let clock = Clock::default();
    let store = store(&clock, Some(3600));
    clock.advance(4000);
    let begin = || claimed(store.begin_refresh(&ada(), clock.need(Need::default())));
    drop(begin());
    let claim = begin();
    assert!(!claim.was_left_unfinished());
    claim.token().unwrap();
    drop(claim);
    let claim = begin();
    assert!(claim.was_left_unfinished(), "a request may have been sent");
    drop(claim);
    let claim = begin();
    assert!(claim.was_left_unfinished(), "nobody has finished it since");
    claim.complete(clock.response("a1", "r1", Some(60))).unwrap();
    clock.advance(100);
    assert!(!begin().was_left_unfinished());
}

#[test]
fn rejected_access_token_is_refreshed_once() {
    let clock = Clock::default();
    let store = store(&clock, None);
    let read = store.find_stored(&ada()).unwrap().unwrap();
    let begin = || store.begin_refresh(&ada(), clock.need(Need::rejected(&read)));
    assert_eq!(stale(begin()), StaleReason::JustRefreshed);
    clock.advance(6);
    claimed(begin()).complete(clock.response("a1", "r1", None)).unwrap();
    // A later caller with the same 401 gets the new one.
    assert_eq!(access(&fresh(begin())), "a1");
}

#[test]
fn need_now_is_met_by_a_refresh_of_another_caller() {
    let clock = Clock::default();
    let store = store(&clock, Some(3600));
    clock.advance(10);
    let claim = claimed(store.begin_refresh(&ada(), clock.need(Need::now())));
    let waiting = {
        let (store, need) = (store.clone(), clock.need(Need::now()).timeout(Duration::from_secs(30)));
        std::thread::spawn(move || store.begin_refresh(&ada(), need))
    };
    std::thread::sleep(Duration::from_millis(50));
    claim.complete(clock.response("a1", "r1", Some(3600))).unwrap();
    assert_eq!(access(&fresh(waiting.join().unwrap())), "a1");
}

#[test]
fn token_without_a_usable_refresh_token_needs_a_sign_in() {
    let clock = Clock::default();
    let store = MemoryStore::new();
    let begin = || store.begin_refresh(&ada(), clock.need(Need::default()));
    assert!(matches!(begin(), Err(Error::NoSuchToken)));
    let access_only = ada().to_builder().access_token("a").expires_at(clock.now());
    store.save_token(&access_only.build()).unwrap();
    signed_out(begin());
    let expired = ada().to_builder().refresh_token("r").refresh_expires_at(clock.now());
    store.save_token(&expired.build()).unwrap();
    signed_out(begin());
}

#[test]
fn times_of_a_clock_that_was_wrong_are_ignored() {
    let clock = Clock::default();
    let store = store(&clock, Some(3600));
    clock.advance(3600 * 24 * 365);
    let begin = || store.begin_refresh(&ada(), clock.need(Need::default()));
    drop(claimed(begin()).retry_later(Some(Duration::from_secs(600))));
    assert!(matches!(begin(), Err(Error::BackedOff { .. })));
    // Back: the back-off is more than an hour away, and the token was received in the future.
    clock.advance(-3600 * 24 * 365);
    let row = fresh(begin());
    let saved = store.save_token(&row.to_builder().received_at(clock.now() + Duration::from_secs(9999)).build());
    assert!(saved.is_ok());
    drop(claimed(store.begin_refresh(&ada(), clock.need(Need::rejected(&row)))));
}

/// With each lifetime and each jump of the clock, the requests stay few and each call ends.
#[test]
fn clock_and_lifetime_cause_no_refresh_storm() {
    let jumps = [0, 1, -1, 3600, -7200, 86_400 * 365 * 30, -86_400 * 365 * 60, 5, 86_400 * 365 * 40];
    for lifetime in [Some(0), Some(1), Some(60), Some(86_400 * 3650), None] {
        let clock = Clock::default();
        let store = store(&clock, lifetime);
        let mut requests = 0;
        for jump in jumps {
            clock.advance(jump);
            for _ in 0..200 {
                clock.0.fetch_add(3, Ordering::SeqCst);
                let refreshed = store.refresh_with(&ada(), clock.need(Need::default()), |_| {
                    requests += 1;
                    clock.response(&format!("a{requests}"), &format!("r{requests}"), lifetime).into()
                });
                assert!(matches!(refreshed.unwrap(), Refreshed::Fresh(_) | Refreshed::Stale(..)));
            }
        }
        assert!(requests <= 2 * jumps.len(), "{lifetime:?}: {requests} requests");
    }
}

#[test]
fn claim_is_trusted_for_a_while_only() {
    let clock = Clock::default();
    let store = store(&clock, Some(0));
    clock.advance(2);
    let begin = |need: Need| claimed(store.begin_refresh(&ada(), clock.need(need)));
    let mut claim = begin(Need::default());
    clock.advance(299);
    claim.token().unwrap();
    claim.renew().unwrap();
    clock.advance(299);
    claim.token().unwrap();
    clock.advance(2);
    assert!(matches!(claim.token(), Err(Error::ClaimEnded)));
    assert!(matches!(claim.renew(), Err(Error::ClaimEnded)));
    drop(claim);
    let claim = begin(Need::default().trusted_for(Duration::from_secs(86_400)));
    clock.advance(3601);
    assert!(matches!(claim.token(), Err(Error::ClaimEnded)), "an hour at most");
    // A clock that is set back makes no claim last longer than the other clock says.
    drop(claim);
    let claim = begin(Need::default().trusted_for(Duration::from_millis(50)));
    clock.advance(-9999);
    std::thread::sleep(Duration::from_millis(60));
    assert!(matches!(claim.token(), Err(Error::ClaimEnded)));
}

#[test]
fn namespaces_claim_their_own_tokens() {
    let clock = Clock::default();
    let store = store(&clock, Some(0));
    let google = store.namespace("google").unwrap();
    let id = store.find_stored(&ada()).unwrap().unwrap().id().unwrap().clone();
    google.save_token(&ada().to_builder().id(id).refresh_token("g0").build()).unwrap();
    clock.advance(2);
    let ours = claimed(store.begin_refresh(&ada(), clock.need(Need::default())));
    let theirs = claimed(google.begin_refresh(&ada(), clock.need(Need::default())));
    assert_eq!(access(&theirs.complete(clock.response("a1", "g1", None)).unwrap()), "a1");
    ours.complete(clock.response("a2", "r2", None)).unwrap();
}

#[test]
fn closure_that_panics_gives_the_claim_up() {
    let clock = Clock::default();
    let store = store(&clock, Some(0));
    clock.advance(2);
    let panicking = std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| {
        drop(store.refresh_with(&ada(), clock.need(Need::default()), |_| panic!("as the test wants it")));
    }));
    assert!(panicking.is_err());
    assert!(claimed(store.begin_refresh(&ada(), clock.need(Need::default()))).was_left_unfinished());
}

#[test]
fn shared_and_dynamic_stores_refresh_too() {
    let clock = Clock::default();
    let dynamic: Arc<dyn TokenStore> = Arc::new(store(&clock, Some(0)));
    clock.advance(2);
    let refreshed = dynamic.refresh_with(&ada(), clock.need(Need::default()), |token| {
        assert_eq!(access(token), "a0");
        clock.response("a1", "r1", Some(60)).into()
    });
    assert!(matches!(refreshed.unwrap(), Refreshed::Fresh(token) if access(&token) == "a1"));
}
