//! What tests of applications and of their own stores need (feature `testing`).
#![expect(clippy::expect_used, clippy::arithmetic_side_effects, reason = "it is a test, and fails by panicking")]

use std::{
    thread,
    time::{Duration, SystemTime},
};

use crate::{Error, Secret, Token, TokenBuilder, TokenId, TokenStore, Unstorable};

/// How many keys the current thread has derived from passphrases since it started: to see that a refused file, or an
/// operation on an open store, cost none.
///
/// ```
/// use tokenkeep::{KdfParams, Keystore, Unlock, testing::derivations};
///
/// # let dir = tempfile::tempdir()?;
/// let before = derivations();
/// let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
/// Keystore::create(dir.path().join("tokens.keep"), unlock)?;
/// assert_eq!(derivations() - before, 1);
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[must_use]
pub fn derivations() -> u64 {
    crate::kdf::count::get()
}

/// Saves many tokens as one change, so that a benchmark has a large store soon. Up to the first that is refused, if one is.
#[doc(hidden)]
pub fn fill(store: &crate::Keystore, tokens: Vec<Token>) -> crate::Result<()> {
    store.save_all(tokens)
}

/// Holds a store to the contract of [`TokenStore`]: the rules of [`matching`](crate::matching), order, ids, what the
/// store sets, limits, threads. For the tests of an application's own store, which has to be empty and is left empty.
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
    for rule in RULES {
        rule(store);
        let count = stored(store).len();
        assert_eq!(store.delete_tokens().expect("delete_tokens"), count, "delete_tokens returns how many there were");
        assert_eq!(stored(store), [], "delete_tokens leaves nothing");
    }
}

const RULES: [fn(&dyn TokenStore); 15] = [
    a_token_reads_back_as_saved,
    the_store_sets_age_and_revision,
    an_id_that_is_stored_decides,
    a_user_name_decides_alone,
    an_access_token_decides_without_client_credentials,
    client_credentials_decide_with_a_grant_or_refresh_token,
    nothing_else_finds_a_row,
    a_save_keeps_what_the_token_leaves_unset,
    a_find_lays_the_query_over_the_row,
    a_token_without_tokens_is_not_added,
    limits_are_kept,
    a_user_name_is_taken_once,
    an_id_is_never_chosen_twice,
    rows_keep_their_places,
    threads_share_the_store,
];

fn token() -> TokenBuilder {
    Token::builder()
}

fn stored(store: &dyn TokenStore) -> Vec<Token> {
    store.get_tokens().expect("get_tokens")
}

fn save(store: &dyn TokenStore, token: TokenBuilder) -> TokenId {
    store.save_token(&token.build()).expect("a token that can be stored is saved")
}

fn find(store: &dyn TokenStore, query: TokenBuilder) -> Option<Token> {
    store.find_token(&query.build()).expect("find_token")
}

fn by_id(store: &dyn TokenStore, id: &TokenId) -> Option<Token> {
    store.find_token_by_id(id).expect("find_token_by_id")
}

fn id_of(token: Option<Token>) -> Option<TokenId> {
    token.and_then(|token| token.id().cloned())
}

fn refused(store: &dyn TokenStore, token: TokenBuilder) -> Error {
    let before = stored(store);
    let error = store.save_token(&token.build()).expect_err("a token that cannot be stored is refused");
    assert_eq!(stored(store), before, "a refused save changes nothing");
    error
}

/// A token with every field set.
fn full() -> TokenBuilder {
    token()
        .user_name("o'brien, \"z\"\n@example.com")
        .client_id("client")
        .client_secret("secret")
        .refresh_token("refresh")
        .access_token("access")
        .grant_token("grant")
        .id_token("id token")
        .expires_at(SystemTime::UNIX_EPOCH + Duration::from_millis(1_795_000_000_123))
        .redirect_url("https://app.example/cb?a=1,2&b=山")
        .api_domain("https://api.example")
        .token_type("Bearer")
        .scopes(["z.read", "a.write"])
        .attribute("region", "eu")
        .attribute("=org", "'; DROP TABLE tokens; --")
}

fn a_token_reads_back_as_saved(store: &dyn TokenStore) {
    let id = save(store, full().id("an id"));
    assert_eq!(id.as_str(), "an id", "a supplied id that is not stored is kept");
    let row = by_id(store, &id).expect("a saved token is found by the id that save_token returned");
    let (created, updated) = (row.created_at(), row.updated_at());
    let (created, updated) = created.zip(updated).expect("the store sets when the row was created and updated");
    assert_eq!(row, full().id("an id").stored(created, updated, 1).build(), "a token reads back as saved");
    assert_eq!(stored(store), [row], "get_tokens and find_token_by_id agree");
}

fn the_store_sets_age_and_revision(store: &dyn TokenStore) {
    // The cut to milliseconds may put a time before the one it was taken after.
    let before = SystemTime::now() - Duration::from_millis(1);
    let long_ago = SystemTime::UNIX_EPOCH;
    let id = save(store, full().stored(long_ago, long_ago, 77));
    let first = by_id(store, &id).expect("saved");
    assert_eq!(first.revision(), Some(1), "a first save is revision 1, whatever the token says");
    assert!(first.created_at() > Some(before), "the store sets the time of creation, whatever the token says");
    assert_eq!(first.created_at(), first.updated_at(), "a first save is when the row was created and updated");

    save(store, token().id(id.clone()).access_token("next"));
    let second = by_id(store, &id).expect("saved");
    assert_eq!(second.revision(), Some(2), "each save is the next revision");
    assert_eq!(second.created_at(), first.created_at(), "a row keeps the time of its creation");
    assert!(second.updated_at() >= first.updated_at(), "a save sets the time of the update");
}

fn an_id_that_is_stored_decides(store: &dyn TokenStore) {
    let one = save(store, token().user_name("one").access_token("a1"));
    let two = save(store, token().user_name("two").access_token("a2"));
    assert_ne!(one, two, "another user name is another row");
    assert_eq!(
        id_of(find(store, token().id(two.clone()).user_name("one"))).as_ref(),
        Some(&two),
        "an id decides first"
    );
    assert_eq!(save(store, token().id(one.clone()).access_token("a2")), one, "a save by id updates that row");
    let unknown = save(store, token().id("unknown").user_name("two").access_token("a3"));
    assert_eq!(unknown, two, "an id that is not stored does not decide, and the row keeps its own");
    assert_eq!(by_id(store, &TokenId::from("unknown")), None, "nothing is found under an id that is not stored");
    assert_eq!(stored(store).len(), 2, "updates add no row");
}

fn a_user_name_decides_alone(store: &dyn TokenStore) {
    let ada =
        save(store, token().user_name("ada").access_token("a").client_id("c").client_secret("s").refresh_token("r"));
    assert_eq!(id_of(find(store, token().user_name("ada"))).as_ref(), Some(&ada), "a user name finds its row");
    let other = token().user_name("grace").access_token("a").client_id("c").client_secret("s").refresh_token("r");
    assert_eq!(find(store, other.clone()), None, "where a user name finds nothing, no other rule is tried");
    assert_ne!(save(store, other), ada, "where a user name finds nothing, a save adds a row");
}

fn an_access_token_decides_without_client_credentials(store: &dyn TokenStore) {
    let first = save(store, token().user_name("one").access_token("same"));
    save(store, token().user_name("two").access_token("same"));
    let found = |query| id_of(find(store, query));
    assert_eq!(found(token().access_token("same")).as_ref(), Some(&first), "an access token finds the earliest row");
    assert_eq!(found(token().access_token("same").client_id("c")), None, "a client id rules the access token out");
    assert_eq!(found(token().access_token("same").client_secret("s")), None, "so does a client secret");
    assert_eq!(found(token().access_token("other")), None, "another access token finds nothing");
}

fn client_credentials_decide_with_a_grant_or_refresh_token(store: &dyn TokenStore) {
    let granted = save(store, token().user_name("one").grant_token("g1"));
    let refreshed = save(store, token().user_name("two").refresh_token("r2"));
    save(store, token().user_name("three").grant_token("g1").refresh_token("r2"));
    let found = |query: TokenBuilder| id_of(find(store, query.client_id("c").client_secret("s")));
    assert_eq!(found(token().grant_token("g1")).as_ref(), Some(&granted), "a grant token finds the earliest row");
    assert_eq!(found(token().refresh_token("r2")).as_ref(), Some(&refreshed), "so does a refresh token");
    let both = found(token().grant_token("g1").refresh_token("r2"));
    assert_eq!(both.as_ref(), Some(&granted), "of the rows with either, the earliest is found");
    let both = found(token().grant_token("none").refresh_token("r2"));
    assert_eq!(both.as_ref(), Some(&refreshed), "either is enough");
    assert_eq!(found(token().refresh_token("g1")), None, "a grant token is no refresh token");
}

fn nothing_else_finds_a_row(store: &dyn TokenStore) {
    save(store, full());
    let queries = [
        token(),
        token().client_id("client").client_secret("secret"),
        token().client_id("client").refresh_token("refresh"),
        token().client_secret("secret").grant_token("grant"),
        token().refresh_token("refresh"),
        token().grant_token("grant"),
        token().id_token("id token").api_domain("https://api.example"),
    ];
    for query in queries {
        assert_eq!(find(store, query.clone()), None, "a query that no rule is for finds nothing: {query:?}");
    }
    let added = save(store, token().client_id("client").refresh_token("refresh"));
    assert!(by_id(store, &added).is_some(), "a save that no rule is for adds a row");
    assert_eq!(stored(store).len(), 2, "a save that no rule is for adds a row");
}

fn a_save_keeps_what_the_token_leaves_unset(store: &dyn TokenStore) {
    let id = save(store, full());
    let before = by_id(store, &id).expect("saved");
    let change =
        token().id(id.clone()).access_token("fresh").scopes(["only"]).attribute("region", "us").attribute("k", "v");
    save(store, change);
    let after = by_id(store, &id).expect("saved");
    let (created, updated) = (before.created_at(), after.updated_at());
    let (created, updated) = created.zip(updated).expect("the store sets when the row was created and updated");
    let merged =
        before.to_builder().access_token("fresh").scopes(["only"]).attribute("region", "us").attribute("k", "v");
    assert_eq!(
        after,
        merged.stored(created, updated, 2).build(),
        "what a save sets wins, what it leaves unset stays; scopes as a whole, attributes by name"
    );
}

fn a_find_lays_the_query_over_the_row(store: &dyn TokenStore) {
    let id = save(store, full());
    let row = by_id(store, &id).expect("saved");
    let query = token().id(id.clone()).stored(SystemTime::UNIX_EPOCH, SystemTime::UNIX_EPOCH, 9).access_token("mine");
    let found = find(store, query.clone().scopes(["s"]).attribute("k", "v"));
    let laid_over = row.to_builder().access_token("mine").scopes(["s"]).attribute("k", "v").build();
    assert_eq!(found, Some(laid_over), "a find lays the query's own fields over the row, but not what the store sets");
    let found = find(store, token().id("unknown").user_name("o'brien, \"z\"\n@example.com"));
    assert_eq!(id_of(found), Some(id.clone()), "the id of what is found is the row's");
    assert_eq!(
        store.find_stored(&query.build()).expect("find_stored"),
        Some(row.clone()),
        "find_stored lays nothing over"
    );
    assert_eq!(
        store.find_stored(&token().build()).expect("find_stored"),
        None,
        "find_stored finds nothing for nothing"
    );
    assert_eq!(by_id(store, &id), Some(row), "a find changes nothing");
}

fn a_token_without_tokens_is_not_added(store: &dyn TokenStore) {
    for bare in [token(), token().user_name("ada").client_id("c").client_secret("s").id_token("i"), token().id("7")] {
        let error = refused(store, bare);
        let nothing_to_store = matches!(error, Error::Unstorable { why: Unstorable::NothingToStore });
        assert!(nothing_to_store, "a new row needs a grant, refresh or access token, and the error says so: {error:?}");
    }
    let id = save(store, token().user_name("ada").access_token("a"));
    assert_eq!(save(store, token().user_name("ada").client_id("c")), id, "an update needs none");
}

fn limits_are_kept(store: &dyn TokenStore) {
    let largest = || Secret::from("x".repeat(Token::MAX_FIELD_LEN));
    let id = save(store, token().id("1").access_token(largest()).attribute("a", largest()));
    let over = "x".repeat(Token::MAX_FIELD_LEN + 1);
    for too_large in [token().access_token(over), token().id("1").attribute("b", largest()).attribute("c", largest())] {
        let error = refused(store, too_large);
        assert!(matches!(error, Error::TooLarge { .. }), "the error says that it is too large: {error:?}");
    }
    assert_eq!(
        by_id(store, &id).and_then(|row| row.access_token().cloned()),
        Some(largest()),
        "the largest reads back"
    );
    let error = refused(store, token().access_token("a").attribute("", "v"));
    let unnamed = matches!(error, Error::Unstorable { why: Unstorable::UnnamedAttribute });
    assert!(unnamed, "an attribute without a name is refused: {error:?}");
}

fn a_user_name_is_taken_once(store: &dyn TokenStore) {
    let ada = save(store, token().user_name("ada").access_token("a"));
    let grace = save(store, token().user_name("grace").access_token("g"));
    let error = refused(store, token().id(grace.clone()).user_name("ada"));
    let taken = matches!(error, Error::Unstorable { why: Unstorable::UserNameTaken });
    assert!(taken, "a save by id cannot take the user name of another row: {error:?}");
    assert_eq!(save(store, token().id(ada.clone()).user_name("ada")), ada, "a row may keep its own");
    assert_eq!(save(store, token().id(ada.clone()).user_name("countess")), ada, "a row may have a new one");
    assert_eq!(save(store, token().id(grace.clone()).user_name("ada")), grace, "which leaves the old one to others");
}

fn an_id_is_never_chosen_twice(store: &dyn TokenStore) {
    let mut seen = Vec::new();
    let mut choose = |user: &str| {
        let id = save(store, token().user_name(user).access_token("a"));
        assert!(id.as_str().parse::<u64>().is_ok(), "a chosen id is a decimal number, not {id}");
        assert!(!seen.contains(&id), "the id {id} was in the store before");
        seen.push(id.clone());
        id
    };
    let first = choose("one");
    let supplied = choose("two").as_str().parse::<u64>().unwrap_or_default().saturating_add(2);
    save(store, token().id(supplied.to_string()).access_token("b"));
    let deleted = store.delete_token(&first).expect("delete_token");
    assert!(
        deleted && store.delete_token(&TokenId::from(supplied.to_string())).expect("delete_token"),
        "both were there"
    );
    let chosen = [choose("three"), choose("four"), choose("five")];
    assert!(!chosen.contains(&TokenId::from(supplied.to_string())), "a supplied id {supplied} was chosen once more");
    store.delete_tokens().expect("delete_tokens");
    choose("six");
}

fn rows_keep_their_places(store: &dyn TokenStore) {
    let [z, y, x, w] = ["z", "y", "x", "w"].map(|user| save(store, token().user_name(user).access_token("a")));
    save(store, token().user_name("z").access_token("b"));
    assert!(store.delete_token(&y).expect("delete_token"), "delete_token is true where there was one");
    assert!(!store.delete_token(&y).expect("delete_token"), "delete_token is false where there was none");
    assert_eq!(by_id(store, &y), None, "a deleted row is not found by its id");
    assert_eq!(find(store, token().user_name("y")), None, "a deleted row is not found");
    let last = save(store, token().user_name("a").access_token("a"));
    let order: Vec<_> = stored(store).into_iter().filter_map(|row| row.id().cloned()).collect();
    let expected = [z, x, w, last];
    assert_eq!(order, expected, "tokens come in the order first saved, whatever was updated or deleted since");
}

fn threads_share_the_store(store: &dyn TokenStore) {
    let work = |worker: usize| {
        for round in 0..4 {
            let mine = token().user_name(format!("user {worker}"));
            save(store, mine.clone().access_token(format!("access {round}")));
            let row = store.find_stored(&mine.build()).expect("find_stored").expect("a thread finds what it saved");
            assert_eq!(row.revision(), Some(round + 1), "no save of a thread is lost");
            save(store, token().id("shared").attribute(format!("{worker} {round}"), "x").access_token("a"));
        }
    };
    let results: Vec<_> = thread::scope(|scope| {
        let workers: Vec<_> = (0..4).map(|worker| scope.spawn(move || work(worker))).collect();
        workers.into_iter().map(thread::ScopedJoinHandle::join).collect()
    });
    // With the message of the thread that broke a rule, in place of one about a thread.
    for result in results {
        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
    }
    let shared = by_id(store, &TokenId::from("shared")).expect("saved");
    assert_eq!(shared.attributes().count(), 16, "no save of another thread is lost");
    assert_eq!(stored(store).len(), 5, "one row for each thread, and the shared one");
}
