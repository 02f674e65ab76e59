//! An application's own store with locks: checked against the contract, and with leases in place of locks that end with
//! their process, as a database has them.

use std::{
    collections::HashMap,
    panic::{AssertUnwindSafe, catch_unwind},
    sync::{Arc, Mutex, mpsc},
    thread,
    time::{Duration, Instant},
};

use crate::conformance::Plain;
use tokenkeep::{
    Answer, Error, LockAttempt, MemoryStore, Need, Refresh, Refreshed, Result, Token, TokenId, TokenLock, TokenStore,
    TokenStoreExt, testing::conformance,
};

/// A store whose locks come from a function.
#[derive(Clone)]
struct Locked<F> {
    store: MemoryStore,
    lock: F,
}

type LockResult = Result<LockAttempt>;

impl<F: Fn(&MemoryStore, &TokenId) -> LockResult + Send + Sync> TokenStore for Locked<F> {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.store.save_token(token)
    }
    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        self.store.find_token(query)
    }
    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        self.store.find_token_by_id(id)
    }
    fn get_tokens(&self) -> Result<Vec<Token>> {
        self.store.get_tokens()
    }
    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        self.store.delete_token(id)
    }
    fn delete_tokens(&self) -> Result<usize> {
        self.store.delete_tokens()
    }
    fn replace_token(&self, token: &Token) -> Result<Token> {
        self.store.replace_token(token)
    }
    fn lock_token(&self, id: &TokenId) -> LockResult {
        (self.lock)(&self.store, id)
    }
}

/// The message that the check of a store with faulty locks ends with.
#[track_caller]
fn complaint(lock: impl Fn(&MemoryStore, &TokenId) -> LockResult + Send + Sync) -> String {
    let store = Locked { store: MemoryStore::new(), lock };
    let panic = catch_unwind(AssertUnwindSafe(|| conformance(&store))).expect_err("the fault went unnoticed");
    let text = panic.downcast::<String>().map(|text| *text);
    text.unwrap_or_else(|panic| (*panic.downcast::<&str>().unwrap()).to_owned())
}

/// A lock without some of its parts.
struct Partial {
    inner: Option<Box<dyn TokenLock>>,
    forgets_start: bool,
}

impl TokenLock for Partial {
    fn is_held(&self) -> bool {
        true
    }
    fn start(&self) -> Result<()> {
        match &self.inner {
            Some(inner) if !self.forgets_start => inner.start(),
            _ => Ok(()),
        }
    }
    fn was_left_unfinished(&self) -> bool {
        self.inner.as_ref().is_some_and(|inner| inner.was_left_unfinished())
    }
    fn finish(self: Box<Self>) {
        if let Some(inner) = self.inner {
            inner.finish();
        }
    }
}

fn partial(inner: Option<Box<dyn TokenLock>>, forgets_start: bool) -> LockAttempt {
    LockAttempt::Locked(Box::new(Partial { inner, forgets_start }))
}

#[test]
fn faulty_locks_are_noticed() {
    let given_twice = |_: &MemoryStore, _: &TokenId| Ok(partial(None, false));
    assert!(complaint(given_twice).contains("a lock is given once"));
    let never_given_back = |store: &MemoryStore, id: &TokenId| {
        Ok(match store.lock_token(id)? {
            LockAttempt::Locked(lock) => {
                std::mem::forget(lock);
                partial(None, false)
            }
            held => held,
        })
    };
    assert!(complaint(never_given_back).contains("a dropped lock is free"));
    let one_for_all = |store: &MemoryStore, _: &TokenId| store.lock_token(&TokenId::from("1"));
    assert!(complaint(one_for_all).contains("the lock of another token is free"));
    let forgetful = |store: &MemoryStore, id: &TokenId| {
        Ok(match store.lock_token(id)? {
            LockAttempt::Locked(lock) => partial(Some(lock), true),
            held => held,
        })
    };
    assert!(complaint(forgetful).contains("the holder before may have sent a request"));
}

#[test]
fn store_without_locks_refreshes_nothing() {
    let store = Arc::new(Plain(Arc::new(MemoryStore::new())));
    let id = store.save_token(&ada().to_builder().refresh_token("r0").build()).unwrap();
    assert!(matches!(store.begin_refresh(&ada(), Need::default()), Err(Error::Unsupported { .. })));
    assert!(store.sign_out(&id).unwrap(), "signing out needs no lock");
}

const LEASE: Duration = Duration::from_millis(800);

/// The leases of all tokens, each with its holder's number, its end, and whether a request was begun.
type Leases = Arc<Mutex<HashMap<TokenId, Row>>>;

#[derive(Clone, Copy)]
struct Row {
    holder: u64,
    until: Option<Instant>,
    has_started: bool,
}

struct Lease {
    leases: Leases,
    id: TokenId,
    holder: u64,
    was_left_unfinished: bool,
}

impl Lease {
    /// Takes the lease if it is free or over.
    fn take(leases: &Leases, id: &TokenId) -> LockAttempt {
        let mut table = leases.lock().unwrap();
        let before = table.get(id).copied();
        if before.and_then(|row| row.until).is_some_and(|until| until > Instant::now()) {
            return LockAttempt::Held { look_again: Duration::from_millis(20) };
        }
        let was_left_unfinished = before.is_some_and(|row| row.has_started);
        let holder = before.map_or(1, |row| row.holder + 1);
        let row = Row { holder, until: Some(Instant::now() + LEASE), has_started: was_left_unfinished };
        table.insert(id.clone(), row);
        let (leases, id) = (leases.clone(), id.clone());
        LockAttempt::Locked(Box::new(Self { leases, id, holder, was_left_unfinished }))
    }

    /// Changes the row of the lease, if it is still this one's.
    fn change(&self, change: impl FnOnce(&mut Row)) -> bool {
        let mut table = self.leases.lock().unwrap();
        match table.get_mut(&self.id) {
            Some(row) if row.holder == self.holder && row.until.is_some_and(|until| until > Instant::now()) => {
                change(row);
                true
            }
            _ => false,
        }
    }
}

impl TokenLock for Lease {
    fn is_held(&self) -> bool {
        self.change(|_| {})
    }
    fn start(&self) -> Result<()> {
        if self.change(|row| row.has_started = true) { Ok(()) } else { Err(Error::ClaimEnded) }
    }
    fn was_left_unfinished(&self) -> bool {
        self.was_left_unfinished
    }
    fn finish(self: Box<Self>) {
        self.change(|row| row.has_started = false);
    }
    fn lease(&self) -> Option<Duration> {
        Some(LEASE)
    }
    fn renew(&self) -> Result<()> {
        let is_held = self.change(|row| row.until = Some(Instant::now() + LEASE));
        if is_held { Ok(()) } else { Err(Error::ClaimEnded) }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.change(|row| row.until = None);
    }
}

fn ada() -> Token {
    Token::builder().user_name("ada").build()
}

/// A store with leases and one token that has expired.
fn store_with_leases() -> impl TokenStoreExt {
    let (store, leases) = (MemoryStore::new(), Leases::default());
    store.save_token(&ada().to_builder().refresh_token("r0").build()).unwrap();
    let lock = move |_: &MemoryStore, id: &TokenId| Ok(Lease::take(&leases, id));
    Arc::new(Locked { store, lock })
}

#[track_caller]
fn claimed(store: &impl TokenStoreExt) -> tokenkeep::Claim {
    match store.begin_refresh(&ada(), Need::default()).unwrap() {
        Refresh::Claimed(claim) => claim,
        other => panic!("expected a claim, got {other:?}"),
    }
}

fn response(number: u32) -> Token {
    let response = Token::builder().access_token(format!("a{number}")).refresh_token(format!("r{number}"));
    response.expires_in(Duration::from_secs(3600)).build()
}

#[test]
fn store_with_leases_keeps_the_contract() {
    let leases = Leases::default();
    let lock = move |_: &MemoryStore, id: &TokenId| Ok(Lease::take(&leases, id));
    conformance(&Locked { store: MemoryStore::new(), lock });
}

#[test]
fn claim_ends_with_its_lease_unless_it_is_renewed() {
    let store = store_with_leases();
    let mut claim = claimed(&store);
    for _ in 0..3 {
        thread::sleep(LEASE / 2);
        claim.token().unwrap();
        claim.renew().unwrap();
    }
    thread::sleep(LEASE);
    assert!(matches!(claim.token(), Err(Error::ClaimEnded)));
    assert!(matches!(claim.renew(), Err(Error::ClaimEnded)));
}

/// The first holder's request took longer than its lease. The server has moved on, and refuses what the second sends.
#[test]
fn next_holder_waits_for_the_answer_of_a_slow_one() {
    let store = store_with_leases();
    let slow = claimed(&store);
    slow.token().unwrap();
    thread::sleep(LEASE);
    let second = claimed(&store);
    assert!(second.was_left_unfinished());
    second.token().unwrap();
    let answer = thread::spawn(move || second.sign_in_again().unwrap());
    thread::sleep(LEASE / 2);
    slow.complete(response(1)).unwrap();
    match answer.join().unwrap() {
        Refreshed::Fresh(token) => assert_eq!(token.refresh_token().unwrap().expose_secret(), "r1"),
        other => panic!("expected what the slow one saved, got {other:?}"),
    }
}

#[test]
fn next_holder_marks_the_token_after_one_lease() {
    let store = store_with_leases();
    let dead = claimed(&store);
    dead.token().unwrap();
    drop(dead);
    let second = claimed(&store);
    second.token().unwrap();
    let started = Instant::now();
    assert!(matches!(second.sign_in_again().unwrap(), Refreshed::SignInAgain(_)));
    assert!(started.elapsed() >= LEASE);
    // Nobody was there before a finished claim.
    store.save_token(&ada().to_builder().refresh_token("r1").build()).unwrap();
    let third = claimed(&store);
    third.token().unwrap();
    let started = Instant::now();
    assert!(matches!(third.sign_in_again().unwrap(), Refreshed::SignInAgain(_)));
    assert!(started.elapsed() < LEASE);
}

/// Both requests succeeded, one after the other. What the server has sent last is what it accepts.
#[test]
fn late_answer_does_not_replace_the_newest_refresh_token() {
    let store = store_with_leases();
    let slow = claimed(&store);
    slow.token().unwrap();
    thread::sleep(LEASE);
    let second = claimed(&store);
    second.token().unwrap();
    second.complete(response(2)).unwrap();
    let kept = slow.complete(response(1)).unwrap();
    assert_eq!(kept.refresh_token().unwrap().expose_secret(), "r2");
}

/// The store says that it need not be asked again for an hour: only the end of the claim wakes the callers.
#[test]
fn end_of_a_claim_wakes_threads_and_tasks() {
    let lock = |store: &MemoryStore, id: &TokenId| {
        Ok(match store.lock_token(id)? {
            LockAttempt::Held { .. } => LockAttempt::Held { look_again: Duration::from_secs(3600) },
            locked => locked,
        })
    };
    let store = Arc::new(Locked { store: MemoryStore::new(), lock });
    store.save_token(&ada().to_builder().refresh_token("r0").build()).unwrap();
    let held = claimed(&store);
    let need = || Need::default().timeout(Duration::from_secs(3600));
    let (outcome, outcomes) = mpsc::channel();
    let next = || outcomes.recv_timeout(Duration::from_secs(30)).expect("the caller is woken");
    for number in 0..4 {
        let (store, outcome) = (store.clone(), outcome.clone());
        thread::spawn(move || {
            let nobody_asks = || Answer::failed("the holder of the claim has saved a token");
            let refreshed = if number % 2 == 0 {
                store.refresh_with(&ada(), need(), |_| nobody_asks())
            } else {
                pollster::block_on(store.refresh_with_async(&ada(), need(), |_| async move { nobody_asks() }))
            };
            outcome.send(matches!(refreshed, Ok(Refreshed::Fresh(_)))).unwrap();
        });
    }
    thread::sleep(Duration::from_millis(100));
    held.complete(response(1)).unwrap();
    assert!((0..4).all(|_| next()));

    store.delete_tokens().unwrap();
    store.save_token(&ada().to_builder().refresh_token("r2").build()).unwrap();
    let held = claimed(&store);
    thread::spawn({
        let store = store.clone();
        move || outcome.send(matches!(store.begin_refresh(&ada(), need()), Ok(Refresh::Claimed(_)))).unwrap()
    });
    thread::sleep(Duration::from_millis(100));
    drop(held);
    assert!(next(), "a claim that is given up goes to the next caller");
}

/// Another holder ends between a caller's first look at the token and its lock.
#[test]
fn token_is_read_again_under_the_lock() {
    let lock = |store: &MemoryStore, id: &TokenId| {
        let signed_in = response(1).to_builder().id(id.clone());
        store.save_token(&signed_in.build())?;
        store.lock_token(id)
    };
    let store = Arc::new(Locked { store: MemoryStore::new(), lock });
    store.save_token(&ada().to_builder().refresh_token("r0").build()).unwrap();
    match store.begin_refresh(&ada(), Need::default()).unwrap() {
        Refresh::Fresh(token) => assert_eq!(token.refresh_token().unwrap().expose_secret(), "r1"),
        other => panic!("expected what the other holder has saved, got {other:?}"),
    }
}
