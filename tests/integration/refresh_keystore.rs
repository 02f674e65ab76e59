//! Refreshing a token of a keystore: what a file store has beyond the rules that all stores share.

use std::{
    fs,
    path::PathBuf,
    time::{Duration, Instant},
};

use crate::common::Fixture;
use tokenkeep::{Claim, Error, ErrorKind, Keystore, Need, Refresh, RefreshStep, Token, TokenStore, TokenStoreExt};

fn ada() -> Token {
    Token::builder().user_name("ada").client_id("c").build()
}

fn response() -> Token {
    Token::builder().access_token("a1").refresh_token("r1").expires_in(Duration::from_secs(3600)).build()
}

#[track_caller]
fn claimed(store: &Keystore) -> Claim {
    match store.begin_refresh(&ada(), Need::default()).unwrap() {
        Refresh::Claimed(claim) => claim,
        other => panic!("expected a claim, got {other:?}"),
    }
}

fn fixture() -> Fixture {
    let fixture = Fixture::new();
    fixture.store.save_token(&ada().to_builder().refresh_token("r0").build()).unwrap();
    fixture
}

/// The directory of the lock files.
fn claims_of(fixture: &Fixture) -> PathBuf {
    let path = fixture.store.path();
    path.with_file_name(format!("{}.claims", path.file_name().unwrap().to_str().unwrap()))
}

#[test]
fn handles_and_their_namespaces_share_a_claim() {
    let fixture = fixture();
    let other = fixture.open();
    let claim = claimed(&fixture.store);
    let short = || Need::default().timeout(Duration::from_millis(50));
    assert!(matches!(other.begin_refresh(&ada(), short()), Err(Error::Refreshing { .. })));
    let google = fixture.store.namespace("google").unwrap();
    google.save_token(&ada().to_builder().refresh_token("g0").build()).unwrap();
    assert!(matches!(google.begin_refresh(&ada(), short()), Ok(Refresh::Claimed(_))), "another token");
    claim.complete(response()).unwrap();
    assert!(matches!(other.begin_refresh(&ada(), short()), Ok(Refresh::Fresh(_))));
}

#[test]
fn caller_that_cannot_wait_is_told_at_once() {
    let fixture = fixture();
    let other = fixture.open();
    let began = Instant::now();
    let Ok(Refresh::Claimed(claim)) = fixture.store.try_begin_refresh(&ada(), Need::default()) else {
        panic!("expected a claim");
    };
    for store in [&fixture.store, &other] {
        let refused = store.try_begin_refresh(&ada(), Need::default());
        assert!(matches!(refused, Err(Error::Refreshing { .. })), "{refused:?}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "it has waited");
    claim.complete(response()).unwrap();
    assert!(matches!(other.try_begin_refresh(&ada(), Need::default()), Ok(Refresh::Fresh(_))));
    let absent = Token::builder().user_name("grace").build();
    assert!(matches!(other.try_begin_refresh(&absent, Need::default()), Err(Error::NoSuchToken)));
}

#[test]
fn claim_without_its_lock_file_gives_no_token() {
    let fixture = fixture();
    let claim = claimed(&fixture.store);
    fs::remove_dir_all(claims_of(&fixture)).unwrap();
    assert!(matches!(claim.token(), Err(Error::ClaimEnded)));
}

#[test]
fn deleted_token_leaves_no_lock_file() {
    let fixture = fixture();
    let claim = claimed(&fixture.store);
    claim.token().unwrap();
    fixture.store.delete_tokens().unwrap();
    let error = claim.complete(response()).unwrap_err();
    assert!(matches!(error.cause(), Error::NoSuchToken));
    assert_eq!(fs::read_dir(claims_of(&fixture)).unwrap().count(), 0);
    assert!(error.token().is_some());
}

#[test]
fn token_is_not_lost_if_the_store_is_rekeyed_meanwhile() {
    let fixture = fixture();
    let claim = claimed(&fixture.store);
    claim.token().unwrap();
    fixture.open().rekey([&crate::common::unlock()]).unwrap();
    let error = claim.complete(response()).unwrap_err();
    assert_eq!((error.step(), error.cause().kind()), (RefreshStep::Save, ErrorKind::Reopen));
    assert!(!error.is_retryable());
    assert_eq!(error.token().unwrap().refresh_token().unwrap().expose_secret(), "r1");
    let reopened = fixture.open();
    let saved = error.retry_in(&reopened).unwrap();
    assert_eq!(reopened.find_stored(&ada()).unwrap(), Some(saved));
}

#[test]
fn no_claim_inside_of_a_transaction() {
    let fixture = fixture();
    let claim = claimed(&fixture.store);
    let error = fixture.store.transaction(|_| {
        let begun = fixture.store.begin_refresh(&ada(), Need::default());
        assert!(matches!(begun, Err(Error::InTransaction)));
        Ok(claim.complete(response()).unwrap_err())
    });
    let error = error.unwrap();
    assert!(matches!(error.cause(), Error::InTransaction));
    assert_eq!(error.retry().unwrap().access_token().unwrap().expose_secret(), "a1");
}

#[test]
fn valid_token_stays_in_use_if_the_store_cannot_be_written() {
    let fixture = fixture();
    let soon = ada().to_builder().access_token("a0").expires_in(Duration::from_secs(30));
    fixture.store.save_token(&soon.received_at(std::time::SystemTime::UNIX_EPOCH).build()).unwrap();
    let path = fixture.store.path().to_owned();
    fs::hard_link(&path, path.with_extension("link")).unwrap();
    match fixture.store.begin_refresh(&ada(), Need::default()).unwrap() {
        Refresh::Stale(token, tokenkeep::StaleReason::NotWritable) => {
            assert_eq!(token.access_token().unwrap().expose_secret(), "a0");
        }
        other => panic!("expected the valid token, got {other:?}"),
    }
    let expired = Need::now().timeout(Duration::from_millis(50));
    assert!(matches!(fixture.store.begin_refresh(&ada(), expired), Err(Error::UnsafePermissions { .. })));
    fs::remove_file(path.with_extension("link")).unwrap();
    claimed(&fixture.store).complete(response()).unwrap();
}

#[test]
fn lock_files_show_neither_ids_nor_namespaces() {
    let fixture = fixture();
    let secret_name = fixture.store.namespace("the namespace").unwrap();
    let id = tokenkeep::TokenId::from("the id");
    let lock = secret_name.lock_token(&id).unwrap().lock().unwrap();
    let claims = claims_of(&fixture);
    let names: Vec<_> = fs::read_dir(&claims).unwrap().map(|entry| entry.unwrap().file_name()).collect();
    let name = names[0].to_str().unwrap();
    assert!(names.len() == 1 && name.len() == 64 && name.bytes().all(|byte| byte.is_ascii_hexdigit()), "{names:?}");
    drop(lock);
    assert_eq!(fs::read_dir(&claims).unwrap().count(), 0);
    assert!(Keystore::open(claims, &crate::common::unlock()).is_err());
}
