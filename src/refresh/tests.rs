//! Refreshing on a store in memory, with a clock that the test sets.

mod beginning;
mod ending;

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
