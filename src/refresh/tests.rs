//! Refreshing on a store in memory, with a clock that the test sets.

use std::{
    sync::atomic::{AtomicI64, Ordering},
    time::Duration,
};

use super::*;
use crate::MemoryStore;

/// A clock that starts at the system's time.
#[derive(Clone, Default)]
struct Clock(Arc<AtomicI64>);

impl Clock {
    fn now(&self) -> SystemTime {
        let offset = self.0.load(Ordering::SeqCst);
        let now = SystemTime::now();
        let by = Duration::from_millis(offset.unsigned_abs());
        if offset < 0 { now - by } else { now + by }
    }

    fn advance(&self, seconds: i64) {
        self.0.fetch_add(seconds * 1000, Ordering::SeqCst);
    }

    fn need(&self, need: Need) -> Need {
        let clock = self.clone();
        need.clock(move || clock.now()).timeout(Duration::from_millis(300))
    }

    /// A token response of that lifetime in seconds.
    fn response(&self, access: &str, refresh: &str, lifetime: Option<u64>) -> Token {
        let expires_at = lifetime.map(|seconds| self.now() + Duration::from_secs(seconds));
        Token::builder().access_token(access).refresh_token(refresh).maybe_expires_at(expires_at).build()
    }
}

fn ada() -> Token {
    Token::builder().user_name("ada").client_id("c").build()
}

/// A store with one token that was refreshed just now.
fn store(clock: &Clock, lifetime: Option<u64>) -> MemoryStore {
    let store = MemoryStore::new();
    let response = clock.response("a0", "r0", lifetime).to_builder().received_at(clock.now());
    store.save_token(&response.user_name("ada").client_id("c").build()).unwrap();
    store
}

fn access(token: &Token) -> &str {
    token.access_token().map_or("", crate::Secret::expose_secret)
}

#[track_caller]
fn fresh(refresh: Result<Refresh>) -> Token {
    match refresh.unwrap() {
        Refresh::Fresh(token) => token,
        other => panic!("expected a fresh token, got {other:?}"),
    }
}

#[track_caller]
fn stale(refresh: Result<Refresh>) -> StaleReason {
    match refresh.unwrap() {
        Refresh::Stale(_, why) => why,
        other => panic!("expected a stale token, got {other:?}"),
    }
}

#[track_caller]
fn claimed(refresh: Result<Refresh>) -> Claim {
    match refresh.unwrap() {
        Refresh::Claimed(claim) => claim,
        other => panic!("expected a claim, got {other:?}"),
    }
}

#[track_caller]
fn signed_out(refresh: Result<Refresh>) {
    assert!(matches!(refresh.unwrap(), Refresh::SignInAgain(_)));
}

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
fn response_keeps_what_it_leaves_out_but_not_the_expiry() {
    let clock = Clock::default();
    let store = store(&clock, Some(3600));
    let id = store.find_stored(&ada()).unwrap().unwrap().id().unwrap().clone();
    let more = Token::builder().id(id).scopes(["read", "write"]).attribute("region", "eu").build();
    store.save_token(&more).unwrap();
    clock.advance(4000);
    let begin = || claimed(store.begin_refresh(&ada(), clock.need(Need::default())));
    let response = Token::builder().user_name("grace").client_id("other").access_token("a1").build();
    let saved = begin().complete(response).unwrap();
    assert_eq!((saved.user_name(), saved.client_id()), (Some("ada"), Some("c")));
    assert_eq!((saved.refresh_token().unwrap().expose_secret(), saved.scopes().len()), ("r0", 2));
    assert_eq!(saved.attribute("region").unwrap().expose_secret(), "eu");
    assert_eq!(saved.expires_at(), None, "the response names no lifetime");
    assert!(saved.received_at().is_some());

    let saved = store.save_token(&saved.to_builder().expires_at(clock.now()).build());
    assert!(saved.is_ok());
    clock.advance(10);
    // Built from the token of the claim: its expiry and its time are those of the old access token.
    let claim = begin();
    let response = claim.token().unwrap().to_builder().access_token("a2").build();
    let saved = claim.complete(response).unwrap();
    assert_eq!(saved.expires_at(), None);
    let age = clock.now().duration_since(saved.received_at().unwrap()).unwrap_or_default();
    assert!(age < Duration::from_secs(5), "{age:?}");
}

#[test]
fn new_sign_in_during_a_refresh_stays() {
    let clock = Clock::default();
    let store = store(&clock, Some(3600));
    clock.advance(4000);
    let begin = || claimed(store.begin_refresh(&ada(), clock.need(Need::default())));
    let sign_in = |refresh: &str| {
        let signed_in = ada().to_builder().access_token(format!("of {refresh}")).refresh_token(refresh);
        store.save_token(&signed_in.expires_at(clock.now() + Duration::from_secs(600)).build()).unwrap();
    };
    let claim = begin();
    sign_in("r9");
    let kept = claim.complete(clock.response("a1", "r1", Some(3600))).unwrap();
    assert_eq!((access(&kept), kept.refresh_token().unwrap().expose_secret()), ("of r9", "r9"));

    clock.advance(1000);
    let claim = begin();
    sign_in("r10");
    assert!(matches!(claim.sign_in_again().unwrap(), Refreshed::Fresh(token) if access(&token) == "of r10"));
    assert!(store.find_stored(&ada()).unwrap().unwrap().rejected_at().is_none());

    clock.advance(1000);
    let claim = begin();
    sign_in("r11");
    assert!(matches!(claim.retry_later(None).unwrap(), Refreshed::Fresh(_)));
    assert!(store.find_stored(&ada()).unwrap().unwrap().retry_at().is_none());
}

#[test]
fn deleted_token_is_not_added_again_and_not_lost() {
    let clock = Clock::default();
    let store = store(&clock, Some(3600));
    clock.advance(4000);
    let claim = claimed(store.begin_refresh(&ada(), clock.need(Need::default())));
    store.delete_tokens().unwrap();
    let error = claim.complete(clock.response("a1", "r1", Some(3600))).unwrap_err();
    assert_eq!(error.step(), RefreshStep::Save);
    assert!(matches!(error.cause(), Error::NoSuchToken));
    let token = error.token().unwrap();
    assert_eq!((access(&token), token.user_name()), ("a1", Some("ada")));
    for shown in [format!("{error}"), format!("{error:?}")] {
        assert!(!shown.contains("a1") && !shown.contains("r1"), "{shown}");
    }
    assert!(store.get_tokens().unwrap().is_empty());
    assert!(matches!(error.retry().unwrap_err().cause(), Error::NoSuchToken));
}

#[test]
fn refused_refresh_token_is_marked_until_the_next_sign_in() {
    let clock = Clock::default();
    let store = store(&clock, Some(3600));
    clock.advance(4000);
    let begin = || store.begin_refresh(&ada(), clock.need(Need::default()));
    let claim = claimed(begin());
    claim.token().unwrap();
    assert!(matches!(claim.sign_in_again().unwrap(), Refreshed::SignInAgain(token) if token.rejected_at().is_some()));
    signed_out(begin());
    store.save_token(&ada().to_builder().refresh_token("r1").build()).unwrap();
    assert!(!claimed(begin()).was_left_unfinished());
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
fn back_off_is_kept_by_all_callers() {
    let clock = Clock::default();
    let store = store(&clock, Some(3600));
    clock.advance(3580);
    let begin = || store.begin_refresh(&ada(), clock.need(Need::default()));
    let after = Duration::from_secs(15);
    let refreshed = claimed(begin()).retry_later(Some(after)).unwrap();
    let until = match refreshed {
        Refreshed::Stale(token, StaleReason::BackedOff { until }) => {
            assert_eq!(token.failed_refreshes(), 1);
            until
        }
        other => panic!("expected the valid token, got {other:?}"),
    };
    assert!(until.duration_since(clock.now()).unwrap() <= after);
    assert!(matches!(stale(begin()), StaleReason::BackedOff { .. }));
    clock.advance(16);
    let claim = claimed(begin());
    clock.advance(10); // it has expired meanwhile
    let error = claim.retry_later(None).unwrap_err();
    assert!(matches!(error.cause(), Error::BackedOff { .. }) && error.step() == RefreshStep::Request, "{error}");
    assert!(matches!(begin(), Err(Error::BackedOff { .. })));
    clock.advance(3);
    let saved = claimed(begin()).complete(clock.response("a1", "r1", Some(60))).unwrap();
    assert_eq!((saved.failed_refreshes(), saved.retry_at()), (0, None));
}

/// Some servers send an error with the status 200. Else the next caller would ask again at once.
#[test]
fn response_without_an_access_token_backs_off() {
    let clock = Clock::default();
    let store = store(&clock, Some(0));
    clock.advance(2);
    let claim = claimed(store.begin_refresh(&ada(), clock.need(Need::default())));
    let error = claim.complete(Token::builder().refresh_token("").build()).unwrap_err();
    assert!(matches!(error.cause(), Error::Unstorable { .. }) && error.step() == RefreshStep::Request, "{error}");
    assert!(error.token().is_none());
    let again = store.begin_refresh(&ada(), clock.need(Need::default()));
    assert!(matches!(again, Err(Error::BackedOff { .. })));
}

/// The last minute of a token is there so that a network that is down for a moment does no harm.
#[test]
fn failed_request_leaves_a_valid_token_in_use() {
    let clock = Clock::default();
    let store = store(&clock, Some(3600));
    clock.advance(3570);
    let refreshed = store.refresh_with(&ada(), clock.need(Need::default()), |_| Answer::failed("no route to host"));
    assert!(matches!(refreshed.unwrap(), Refreshed::Stale(_, StaleReason::BackedOff { .. })));
    // A caller that needs another token than the valid one gets the error.
    clock.advance(2);
    let error = store.refresh_with(&ada(), clock.need(Need::now()), |_| Answer::failed("no route to host"));
    assert_eq!(error.unwrap_err().to_string(), "the request for a new token failed: no route to host");
}

#[test]
fn token_deleted_during_the_request_is_an_error_of_that_step() {
    let clock = Clock::default();
    for answer in [Answer::SignInAgain, Answer::RetryLater(None), Answer::failed("no route to host")] {
        let store = store(&clock, Some(0));
        let begin = || store.begin_refresh(&ada(), clock.need(Need::default()));
        clock.advance(2);
        let claim = claimed(begin());
        store.delete_tokens().unwrap();
        let has_cause = matches!(answer, Answer::Failed(_));
        let error = claim.finish(answer).unwrap_err();
        assert_eq!(error.step(), RefreshStep::Request);
        assert_eq!(matches!(error.cause(), Error::NoSuchToken), !has_cause, "{error}");
        clock.advance(-2);
    }
}

#[test]
fn new_refresh_token_has_no_expiry_of_the_old_one() {
    let clock = Clock::default();
    let store = store(&clock, Some(0));
    let expiring = ada().to_builder().refresh_expires_in(Duration::from_secs(600)).build();
    store.save_token(&expiring).unwrap();
    clock.advance(2);
    let claim = claimed(store.begin_refresh(&ada(), clock.need(Need::default())));
    store.delete_tokens().unwrap();
    let error = claim.complete(clock.response("a1", "r1", None)).unwrap_err();
    assert_eq!(error.token().unwrap().refresh_expires_at(), None);
}

#[test]
fn claims_and_errors_pass_between_threads() {
    fn check<T: Send + Sync + 'static>() {}
    check::<Claim>();
    check::<RefreshError>();
    let error = RefreshError::from(Error::NoSuchToken);
    assert!(matches!(Answer::failed(error), Answer::Failed(_)), "a function that refreshes another token");
}

#[test]
fn own_back_off_doubles_up_to_a_minute() {
    let clock = Clock::default();
    let store = store(&clock, Some(0));
    clock.advance(2);
    for failures in 1..12 {
        let claim = claimed(store.begin_refresh(&ada(), clock.need(Need::default())));
        let error = claim.finish(Answer::failed("no route to host")).unwrap_err();
        assert_eq!(error.to_string(), "the request for a new token failed: no route to host");
        let row = store.find_stored(&ada()).unwrap().unwrap();
        let wait = row.retry_at().unwrap().duration_since(clock.now()).unwrap_or_default().as_secs_f64();
        let most = 2_f64.powi(failures - 1).min(60.0);
        assert!(wait <= most && wait > most / 2.0 - 0.1, "{failures}: {wait}");
        clock.advance(61);
    }
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
fn sign_out_waits_for_a_refresh_and_wins() {
    let clock = Clock::default();
    let store = store(&clock, Some(0));
    clock.advance(2);
    let id = store.find_stored(&ada()).unwrap().unwrap().id().unwrap().clone();
    let claim = claimed(store.begin_refresh(&ada(), clock.need(Need::default())));
    let leaving = {
        let (store, id) = (store.clone(), id.clone());
        std::thread::spawn(move || {
            let mut revoked = String::new();
            let revoke = |token: &Token| -> Result<(), std::io::Error> {
                revoked = token.refresh_token().unwrap().expose_secret().to_owned();
                Ok(())
            };
            (store.sign_out_with(&id, revoke).unwrap(), revoked)
        })
    };
    std::thread::sleep(Duration::from_millis(50));
    claim.complete(clock.response("a1", "r1", Some(3600))).unwrap();
    assert_eq!(leaving.join().unwrap(), (true, "r1".to_owned()), "the newest token is the one to revoke");
    assert!(store.get_tokens().unwrap().is_empty());

    let id = store.save_token(&ada().to_builder().refresh_token("r2").build()).unwrap();
    let failing = store.sign_out_with(&id, |_| Err("the server is down"));
    assert_eq!(failing.unwrap_err().to_string(), "the server is down");
    assert!(store.find_token_by_id(&id).unwrap().is_some(), "it can be revoked later");
    // The user signs in again while the server revokes the old token.
    let revoke_slowly =
        |_: &Token| -> Result<()> { store.save_token(&ada().to_builder().refresh_token("r3").build()).map(drop) };
    assert!(matches!(store.sign_out_with(&id, revoke_slowly), Err(Error::Conflict { .. })));
    assert!(store.find_token_by_id(&id).unwrap().is_some(), "it was not revoked");
    // A mark on the same tokens is no reason to keep them.
    let mark = |token: &Token| store.replace_token(&token.to_builder().failed_refreshes(1).build()).map(drop);
    assert!(store.sign_out_with(&id, mark).unwrap());
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
