//! The rules that are the same for every row: what a store keeps, sets, refuses and chooses.

use std::time::{Duration, SystemTime};

use super::{Check, by_id, find, in_threads, refused, row, save, stored, token};
use crate::{Error, Origin, Secret, Token, TokenBuilder, TokenId, TokenStore, Unstorable};

pub(super) const CHECKS: [Check; 11] = [
    a_token_reads_back_as_saved,
    the_store_sets_age_and_revision,
    a_save_keeps_what_the_token_leaves_unset,
    a_find_lays_the_query_over_the_row,
    an_expiry_is_kept_set_or_cleared,
    times_and_failures_follow_the_tokens,
    a_token_without_tokens_is_not_added,
    limits_are_kept,
    an_id_is_never_chosen_twice,
    rows_keep_their_places,
    threads_share_the_store,
];

const USER: &str = "o'brien, \"z\"\n@example.com";

/// A token with every field set.
fn full() -> TokenBuilder {
    token()
        .user_name(USER)
        .client_id("client")
        .client_secret("secret")
        .refresh_token("refresh")
        .access_token("access")
        .grant_token("grant")
        .id_token("id token")
        .expires_at(at(1_795_000_000_123))
        .received_at(at(1_794_000_000_001))
        .refresh_expires_at(at(1_796_000_000_002))
        .rejected_at(at(1_794_000_000_003))
        .retry_at(at(1_794_000_000_004))
        .failed_refreshes(5)
        .redirect_url("https://app.example/cb?a=1,2&b=山")
        .api_domain("https://api.example")
        .token_type("Bearer")
        .scopes(["z.read", "a.write"])
        .attribute("region", "eu")
        .attribute("=org", "'; DROP TABLE tokens; --")
}

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

/// The token as the store has to return it: with the times that it set.
fn as_stored(token: TokenBuilder, row: &Token, revision: u64) -> Token {
    let times = row.created_at().zip(row.updated_at());
    let (created, updated) = times.expect("the store sets when the row was created and updated");
    token.stored(Origin::of("any"), created, updated, revision).build()
}

fn a_token_reads_back_as_saved(store: &dyn TokenStore) {
    let id = save(store, full().id("an id"));
    assert_eq!(id.as_str(), "an id", "a supplied id that is not stored is kept");
    let row = row(store, &id);
    assert_eq!(row, as_stored(full().id("an id"), &row, 1), "a token reads back as saved");
    assert_eq!(stored(store), [row], "get_tokens and find_token_by_id agree");
}

fn the_store_sets_age_and_revision(store: &dyn TokenStore) {
    // The cut to milliseconds may put a time before the one it was taken after.
    let before = SystemTime::now() - Duration::from_millis(1);
    let id = save(store, full().stored(Origin::of("another store"), at(0), at(0), 77));
    let first = row(store, &id);
    assert_eq!(first.revision(), Some(1), "a first save is revision 1, not what the token says");
    assert!(first.created_at() > Some(before), "the store sets the time of creation, not the token");
    assert_eq!(first.created_at(), first.updated_at(), "a first save is when the row was created and updated");

    save(store, token().id(id.clone()).id_token("next"));
    let second = row(store, &id);
    assert_eq!(second.revision(), Some(2), "each save is the next revision");
    assert_eq!(second.created_at(), first.created_at(), "a row keeps the time of its creation");
    assert!(second.updated_at() >= first.updated_at(), "a save sets the time of the update");
}

fn a_save_keeps_what_the_token_leaves_unset(store: &dyn TokenStore) {
    let id = save(store, full());
    let before = row(store, &id);
    let change =
        |row: TokenBuilder| row.id_token("fresh").scopes(["only"]).attribute("region", "us").attribute("k", "v");
    save(store, change(token().id(id.clone())));
    let after = row(store, &id);
    assert_eq!(before.created_at(), after.created_at(), "a row keeps the time of its creation");
    assert_eq!(
        after,
        as_stored(change(before.to_builder()), &after, 2),
        "what a save sets wins, what it leaves unset stays; scopes as a whole, attributes by name"
    );
}

fn an_expiry_is_kept_set_or_cleared(store: &dyn TokenStore) {
    let id = save(store, token().access_token("a").expires_at(at(1_000)));
    let saved = |change: TokenBuilder| {
        save(store, change.id(id.clone()));
        row(store, &id).expires_at()
    };
    assert_eq!(saved(token().access_token("b")), Some(at(1_000)), "a save that leaves the expiry unset keeps it");
    assert_eq!(saved(token().expires_at(at(2_000))), Some(at(2_000)), "a save that sets an expiry replaces it");
    assert_eq!(saved(token().access_token("c").expiry_unknown()), None, "a save with an unknown expiry clears it");
    assert_eq!(saved(token().access_token("d")), None, "an expiry that is unknown stays unknown");

    saved(token().expires_at(at(3_000)));
    let laid_over = find(store, token().id(id.clone()).expiry_unknown()).expect("found by its id");
    assert_eq!(laid_over.expires_at(), None, "a find lays an unknown expiry over the row");
    assert_eq!(laid_over.revision(), None, "an unknown expiry that is laid over an expiry is a change");
    let unchanged = find(store, token().id(id.clone())).expect("found by its id");
    assert_eq!(unchanged.expires_at(), Some(at(3_000)), "a find that leaves the expiry unset returns the row's");
    save(store, unchanged.to_builder().expiry_unknown());
    assert_eq!(row(store, &id).expires_at(), None, "so does a save over a revision");
}

fn times_and_failures_follow_the_tokens(store: &dyn TokenStore) {
    let marks = |row: &Token| (row.rejected_at(), row.retry_at(), row.failed_refreshes());
    let times = |row: &Token| (row.received_at(), row.refresh_expires_at());
    let id = save(store, token().access_token("a").refresh_token("r").received_at(at(1)).refresh_expires_at(at(2)));
    let saved = |change: TokenBuilder| {
        save(store, change.id(id.clone()));
        row(store, &id)
    };
    let marked = |token: TokenBuilder| token.rejected_at(at(3)).retry_at(at(4)).failed_refreshes(5);
    let (all, none) = ((Some(at(3)), Some(at(4)), 5), (None, None, 0));

    assert_eq!(marks(&saved(marked(token()))), all, "a save that changes no token sets what it says of refreshing");
    let same = saved(token().access_token("a").refresh_token("r").attribute("k", "v"));
    assert_eq!(marks(&same), all, "a save that repeats the stored tokens keeps what is known of refreshing");
    assert_eq!(times(&same), (Some(at(1)), Some(at(2))), "a save that repeats the stored tokens keeps their times");
    let same = saved(same.to_builder().attribute("k", "w"));
    assert_eq!(marks(&same), all, "so does a save over a revision");

    let query = token().id(id.clone()).access_token("b").build();
    let laid_over = store.find_token(&query).expect("find_token").expect("found by its id");
    assert_eq!(times(&laid_over), (None, Some(at(2))), "a find lays another access token over the row like a save");

    let refreshed = saved(token().access_token("b"));
    assert_eq!(marks(&refreshed), none, "a save of another access token clears what was known of refreshing");
    assert_eq!(times(&refreshed), (None, Some(at(2))), "another access token does not inherit the time of receipt");
    let refreshed = saved(token().access_token("c").received_at(at(6)));
    assert_eq!(times(&refreshed), (Some(at(6)), Some(at(2))), "another access token brings its time of receipt");

    saved(marked(token()));
    let rotated = saved(token().refresh_token("s"));
    assert_eq!(marks(&rotated), none, "a save of another refresh token clears what was known of refreshing");
    assert_eq!(times(&rotated), (Some(at(6)), None), "another refresh token does not inherit the expiry");
    let rotated = saved(token().refresh_token("t").refresh_expires_at(at(7)));
    assert_eq!(times(&rotated), (Some(at(6)), Some(at(7))), "another refresh token brings its expiry");
}

fn a_find_lays_the_query_over_the_row(store: &dyn TokenStore) {
    let id = save(store, full());
    let before = row(store, &id);
    // What was read from a store has an expiry that is known to be unknown, unless it sets one.
    let expiry = before.expires_at().expect("a token reads back as saved");
    let elsewhere = || token().id(id.clone()).expires_at(expiry).stored(Origin::of("another store"), at(0), at(0), 9);
    let change = |row: TokenBuilder| row.id_token("mine").scopes(["s"]).attribute("k", "v");
    let laid_over = change(before.to_builder()).build().without_revision();
    assert_eq!(
        find(store, change(elsewhere())),
        Some(laid_over),
        "a find lays the query's own fields over the row, and what it returns is no revision of it"
    );
    for same in [elsewhere(), elsewhere().access_token("access").attribute("region", "eu"), before.to_builder()] {
        assert_eq!(find(store, same), Some(before.clone()), "a query that changes nothing returns the row, as stored");
    }
    let found = find(store, token().id("unknown").user_name(USER));
    assert_eq!(found, Some(before.clone()), "the id of what is found is the row's");

    let find_stored = |query: TokenBuilder| store.find_stored(&query.build()).expect("find_stored");
    assert_eq!(find_stored(change(elsewhere())), Some(before.clone()), "find_stored lays nothing over");
    assert_eq!(find_stored(token()), None, "find_stored finds nothing for nothing");
    assert_eq!(by_id(store, &id), Some(before), "a find changes nothing");
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
    assert_eq!(row(store, &id).access_token(), Some(&largest()), "the largest reads back");
    let error = refused(store, token().access_token("a").attribute("", "v"));
    let unnamed = matches!(error, Error::Unstorable { why: Unstorable::UnnamedAttribute });
    assert!(unnamed, "an attribute without a name is refused: {error:?}");
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
    assert_eq!(order, expected, "tokens come in the order first saved, also after updates and deletions");
}

fn threads_share_the_store(store: &dyn TokenStore) {
    in_threads(|worker| {
        for round in 0..4 {
            let mine = token().user_name(format!("user {worker}"));
            save(store, mine.clone().access_token(format!("access {round}")));
            let row = store.find_stored(&mine.build()).expect("find_stored").expect("a thread finds what it saved");
            assert_eq!(row.revision(), Some(round + 1), "no save of a thread is lost");
            save(store, token().id("shared").attribute(format!("{worker} {round}"), "x").access_token("a"));
        }
    });
    let shared = row(store, &TokenId::from("shared"));
    assert_eq!(shared.attributes().count(), 16, "no save of another thread is lost");
    assert_eq!(stored(store).len(), 5, "one row for each thread, and the shared one");
}
