//! What a claim ends with, and signing out.

use super::*;
use crate::{id::TokenId, token_lock::LockAttempt};

/// A store whose replacements are made, but cannot be synced.
#[derive(Clone)]
struct Unsynced(MemoryStore);

impl TokenStore for Unsynced {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.0.save_token(token)
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        self.0.find_token(query)
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        self.0.find_token_by_id(id)
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        self.0.get_tokens()
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        self.0.delete_token(id)
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.0.delete_tokens()
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        let row = self.0.replace_token(token)?;
        let cause = std::io::ErrorKind::StorageFull.into();
        Err(Error::DurabilityUnknown { id: row.id().cloned(), path: "/of/a/test".into(), cause })
    }

    fn lock_token(&self, id: &TokenId) -> Result<LockAttempt> {
        self.0.lock_token(id)
    }
}

#[test]
fn refresh_that_failed_once_counts_once() {
    let clock = Clock::default();
    let store = Unsynced(store(&clock, Some(60)));
    clock.advance(30);
    let claim = claimed(store.begin_refresh(&ada(), clock.need(Need::remaining(Duration::from_secs(60)))));
    // Tried again until the timeout of 300 ms.
    let _ = claim.retry_later(None);
    assert_eq!(store.find_stored(&ada()).unwrap().unwrap().failed_refreshes(), 1);
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

/// Some servers answer with the tokens that the client has already.
#[test]
fn same_tokens_again_end_a_back_off() {
    let clock = Clock::default();
    let store = store(&clock, Some(0));
    clock.advance(2);
    let begin = || store.begin_refresh(&ada(), clock.need(Need::default()));
    assert!(claimed(begin()).retry_later(None).is_err());
    clock.advance(3);
    let saved = claimed(begin()).complete(clock.response("a0", "r0", Some(3600))).unwrap();
    assert_eq!((saved.failed_refreshes(), saved.retry_at(), saved.rejected_at()), (0, None, None));
    assert_eq!(access(&fresh(begin())), "a0");
}
