//! What tests of applications and of their own stores need (feature `testing`).
#![expect(clippy::expect_used, clippy::arithmetic_side_effects, reason = "it is a test, and fails by panicking")]

mod contract;
mod locks;
mod revisions;
mod rules;

use std::thread;

use crate::{Error, Result, Token, TokenBuilder, TokenId, TokenStore};

/// How many keys the current thread has derived from passphrases since it started: to see that a refused file, or an
/// operation on an open store, derived none.
///
/// ```
/// use tokenkeep::{KdfParams, Keystore, Passphrase, Unlock, testing::derivations};
///
/// # let directory = tempfile::tempdir()?;
/// let before = derivations();
/// let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
/// Keystore::create(directory.path().join("tokens.keep"), &unlock)?;
/// assert_eq!(derivations() - before, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn derivations() -> u64 {
    crate::kdf::count::get()
}

/// Saves many tokens as one change, so that a benchmark soon has a large store.
#[doc(hidden)]
pub fn fill(store: &crate::Keystore, tokens: Vec<Token>) -> crate::Result<()> {
    store.save_all(tokens)
}

/// Checks a store against the contract of [`TokenStore`]: the rules of [`matching`](crate::matching), revisions,
/// expiry, order, ids, what the store sets, limits, threads. For the tests of an application's own store, which has to
/// be empty and is left empty.
///
/// [`replace_token`](TokenStore::replace_token), [`delete_token_if`](TokenStore::delete_token_if) and
/// [`lock_token`](TokenStore::lock_token) are checked unless the store answers [`Unsupported`](Error::Unsupported).
///
/// ```
/// use tokenkeep::{MemoryStore, testing::conformance};
///
/// conformance(&MemoryStore::new());
/// ```
///
/// # Panics
///
/// At the first rule that the store breaks; the message says which.
pub fn conformance(store: &dyn TokenStore) {
    assert_eq!(stored(store), [], "the store has to be empty at the start");
    for check in contract::CHECKS.iter().chain(&rules::CHECKS).chain(&revisions::CHECKS).chain(&locks::CHECKS) {
        check(store);
        let count = stored(store).len();
        assert_eq!(store.delete_tokens().expect("delete_tokens"), count, "delete_tokens returns how many there were");
        assert_eq!(stored(store), [], "delete_tokens leaves nothing");
    }
}

/// Checks some of the rules on an empty store, and may leave tokens in it.
type Check = fn(&dyn TokenStore);

fn token() -> TokenBuilder {
    Token::builder()
}

fn stored(store: &dyn TokenStore) -> Vec<Token> {
    store.get_tokens().expect("get_tokens")
}

#[track_caller]
fn save(store: &dyn TokenStore, token: TokenBuilder) -> TokenId {
    store.save_token(&token.build()).expect("a token that can be stored is saved")
}

#[track_caller]
fn find(store: &dyn TokenStore, query: TokenBuilder) -> Option<Token> {
    store.find_token(&query.build()).expect("find_token")
}

/// The id of the row that the query means. Both ways to find it have to agree.
#[track_caller]
fn found(store: &dyn TokenStore, query: TokenBuilder) -> Option<TokenId> {
    let row = store.find_stored(&query.clone().build()).expect("find_stored");
    let found = find(store, query);
    let id = |token: Option<Token>| token.and_then(|token| token.id().cloned());
    let (row, found) = (id(row), id(found));
    assert_eq!(row, found, "find_token and find_stored find the same row");
    found
}

#[track_caller]
fn by_id(store: &dyn TokenStore, id: &TokenId) -> Option<Token> {
    store.find_token_by_id(id).expect("find_token_by_id")
}

/// The stored token of an id that is stored.
#[track_caller]
fn row(store: &dyn TokenStore, id: &TokenId) -> Token {
    by_id(store, id).expect("a saved token is found by the id that save_token returned")
}

/// The error of a save that has to be refused.
#[track_caller]
fn refused(store: &dyn TokenStore, token: TokenBuilder) -> Error {
    let before = stored(store);
    let error = store.save_token(&token.build()).expect_err("a token that cannot be stored is refused");
    assert_eq!(stored(store), before, "a refused save changes nothing");
    error
}

/// What the store answers, if it has that operation.
fn supported<T>(answer: Result<T>) -> Option<Result<T>> {
    match answer {
        Err(Error::Unsupported { .. }) => None,
        answer => Some(answer),
    }
}

/// Runs the work of four threads, and panics with the message of the thread that noticed a broken rule.
fn in_threads(work: impl Fn(usize) + Sync) {
    let work = &work;
    let results: Vec<_> = thread::scope(|scope| {
        let threads: Vec<_> = (0..4).map(|number| scope.spawn(move || work(number))).collect();
        threads.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    for result in results {
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
}
