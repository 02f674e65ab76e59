//! Which stored token is meant: the rules of [`matching`](crate::matching), one after the other.

use super::{Check, found, refused, row, save, stored, token};
use crate::{Error, Token, TokenBuilder, TokenId, TokenStore, Unstorable};

pub(super) const CHECKS: [Check; 12] = [
    an_id_that_is_stored_decides,
    an_id_of_another_client_is_refused,
    a_user_name_decides_alone,
    user_name_and_client_decide_together,
    a_row_without_a_client_adopts_one,
    a_user_name_of_several_clients_is_ambiguous,
    an_access_token_decides_without_client_credentials,
    a_client_decides_with_a_grant_or_refresh_token,
    a_client_secret_is_no_criterion,
    nothing_else_finds_a_row,
    user_and_client_are_taken_once,
    two_clients_of_one_user_never_mix,
];

/// The error of a query that every operation refuses.
#[track_caller]
fn refused_everywhere(store: &dyn TokenStore, query: &TokenBuilder) -> [Error; 3] {
    let token = query.clone().build();
    [
        store.find_token(&token).expect_err("what a save refuses, a find refuses"),
        store.find_stored(&token).expect_err("what a find refuses, find_stored refuses"),
        refused(store, query.clone().access_token("new")),
    ]
}

/// Refuses a save because another row has its user name and client.
#[track_caller]
fn assert_taken(store: &dyn TokenStore, token: TokenBuilder, rule: &str) {
    let error = refused(store, token);
    let taken = matches!(error, Error::Unstorable { why: Unstorable::UserAndClientTaken });
    assert!(taken, "{rule}, and the error says so: {error:?}");
}

fn an_id_that_is_stored_decides(store: &dyn TokenStore) {
    let one = save(store, token().user_name("one").access_token("a1"));
    let two = save(store, token().user_name("two").access_token("a2"));
    assert_ne!(one, two, "another user name is another row");
    assert_eq!(
        found(store, token().id(two.clone()).user_name("one")).as_ref(),
        Some(&two),
        "an id decides first, before a user name"
    );
    assert_eq!(save(store, token().id(one.clone()).access_token("a2")), one, "a save by id updates that row");
    let unknown = save(store, token().id("unknown").user_name("two").access_token("a3"));
    assert_eq!(unknown, two, "an id that is not stored does not decide, and the row keeps its own");
    let missing = store.find_token_by_id(&TokenId::from("unknown")).expect("find_token_by_id");
    assert_eq!(missing, None, "nothing is found under an id that is not stored");
    assert_eq!(stored(store).len(), 2, "updates add no row");
}

fn an_id_of_another_client_is_refused(store: &dyn TokenStore) {
    let of_client = save(store, token().client_id("c").client_secret("s").access_token("a"));
    let of_secret = save(store, token().client_secret("s").access_token("b"));
    let of_nobody = save(store, token().access_token("d"));
    for (id, client) in [(&of_client, "other"), (&of_secret, "c")] {
        for error in refused_everywhere(store, &token().id(id.clone()).client_id(client)) {
            let other = matches!(&error, Error::OtherClient { id: named, .. } if named == id);
            assert!(other, "an id of a row of another client is refused, and the error names the row: {error:?}");
        }
    }
    let same = token().id(of_client.clone()).client_id("c").client_secret("rotated");
    assert_eq!(save(store, same), of_client, "an id with the row's own client is not refused");
    let without = token().id(of_secret.clone()).client_secret("rotated");
    assert_eq!(save(store, without), of_secret, "an id without a client id is not refused");
    assert_eq!(save(store, token().id(of_nobody.clone()).client_id("c")), of_nobody, "a row of no client adopts one");
    assert_eq!(row(store, &of_nobody).client_id(), Some("c"), "a row of no client adopts one");
}

fn a_user_name_decides_alone(store: &dyn TokenStore) {
    let ada =
        save(store, token().user_name("ada").access_token("a").client_id("c").client_secret("s").refresh_token("r"));
    assert_eq!(found(store, token().user_name("ada")).as_ref(), Some(&ada), "a user name finds its only row");
    let other = token().user_name("grace").access_token("a").client_id("c").client_secret("s").refresh_token("r");
    assert_eq!(found(store, other.clone()), None, "where a user name finds nothing, no other rule is tried");
    assert_ne!(save(store, other), ada, "where a user name finds nothing, a save adds a row");
    let other = token().user_name("ada").client_id("d").refresh_token("r");
    assert_eq!(found(store, other), None, "where user name and client find nothing, no other rule is tried");
}

fn user_name_and_client_decide_together(store: &dyn TokenStore) {
    let [c, d] = ["c", "d"].map(|client| save(store, token().user_name("ada").client_id(client).refresh_token("r")));
    assert_ne!(c, d, "another client of the same user is another row");
    for (client, id) in [("c", &c), ("d", &d)] {
        let query = token().user_name("ada").client_id(client);
        assert_eq!(found(store, query.clone()).as_ref(), Some(id), "user name and client find their row");
        assert_eq!(&save(store, query.access_token("a")), id, "a save by user name and client updates their row");
    }
    assert_eq!(found(store, token().user_name("ada").client_id("e")), None, "a third client finds neither row");
    assert_eq!(stored(store).len(), 2, "updates add no row");
}

fn a_row_without_a_client_adopts_one(store: &dyn TokenStore) {
    let ada = || token().user_name("ada");
    let bare = save(store, ada().access_token("a"));
    let adopter = ada().client_id("c").client_secret("s").refresh_token("r");
    assert_eq!(found(store, adopter.clone()).as_ref(), Some(&bare), "a row of no client is found for any client");
    assert_eq!(save(store, adopter), bare, "a row of no client adopts the client of a save");
    let row = row(store, &bare);
    assert_eq!((row.client_id(), row.revision()), (Some("c"), Some(2)), "a row of no client adopts the client");
    assert_ne!(save(store, ada().client_id("d").access_token("a")), bare, "a row adopts a client once");

    let grace = || token().user_name("grace");
    let secret = save(store, grace().client_secret("s").access_token("a"));
    assert_eq!(found(store, grace().client_id("c")), None, "a row with a client secret adopts no client");
    assert_ne!(save(store, grace().client_id("c").access_token("a")), secret, "a row with a client secret adopts none");

    let bare = save(store, token().access_token("earlier"));
    let exact = save(store, token().user_name("alan").client_id("c").access_token("a"));
    save(store, token().id(bare).user_name("alan"));
    let query = token().user_name("alan").client_id("c");
    assert_eq!(found(store, query), Some(exact), "the row of the client comes before a row that could adopt it");
}

fn a_user_name_of_several_clients_is_ambiguous(store: &dyn TokenStore) {
    let ada = || token().user_name("ada");
    let c = save(store, ada().client_id("c").access_token("a"));
    let d = save(store, ada().client_id("d").access_token("b"));
    for query in [ada(), ada().client_secret("s"), ada().access_token("b"), ada().id("unknown")] {
        for error in refused_everywhere(store, &query) {
            let ambiguous = matches!(error, Error::Ambiguous { count: 2, .. });
            assert!(ambiguous, "a user name of several rows is ambiguous, and the error says so: {error:?}");
        }
    }
    assert_eq!(found(store, ada().id(d.clone())).as_ref(), Some(&d), "an id says which of them is meant");
    let bare = save(store, token().access_token("none"));
    assert!(store.delete_token(&d).expect("delete_token"), "it was there");
    assert_eq!(found(store, ada()), Some(c), "a user name whose other rows are gone is not ambiguous");
    save(store, token().id(bare).user_name("ada"));
    for error in refused_everywhere(store, &ada()) {
        let ambiguous = matches!(error, Error::Ambiguous { count: 2, .. });
        assert!(ambiguous, "a row of no client makes a user name ambiguous, too: {error:?}");
    }
}

fn an_access_token_decides_without_client_credentials(store: &dyn TokenStore) {
    let first = save(store, token().user_name("one").client_id("c").client_secret("s").access_token("same"));
    save(store, token().user_name("two").access_token("same").refresh_token("r"));
    let found = |query| found(store, query);
    assert_eq!(found(token().access_token("same")).as_ref(), Some(&first), "an access token finds the earliest row");
    assert_eq!(found(token().access_token("same").client_id("c")), None, "a client id rules the access token out");
    assert_eq!(found(token().access_token("same").client_secret("s")), None, "so does a client secret");
    assert_eq!(found(token().access_token("other")), None, "another access token finds nothing");
    let other = token().access_token("other").refresh_token("r").grant_token("g");
    assert_eq!(found(other), None, "where an access token finds nothing, no other rule is tried");
}

fn a_client_decides_with_a_grant_or_refresh_token(store: &dyn TokenStore) {
    save(store, token().user_name("zero").client_id("other").grant_token("g1").refresh_token("r2"));
    save(store, token().user_name("none").grant_token("g1").refresh_token("r2"));
    let granted = save(store, token().user_name("one").client_id("c").grant_token("g1"));
    let refreshed = save(store, token().user_name("two").client_id("c").refresh_token("r2"));
    save(store, token().user_name("three").client_id("c").grant_token("g1").refresh_token("r2"));
    save(store, token().user_name("four").client_id("c").grant_token("g3"));
    let found = |query: TokenBuilder| found(store, query.client_id("c"));
    let by_grant = found(token().grant_token("g1"));
    assert_eq!(by_grant.as_ref(), Some(&granted), "a client's grant token finds the earliest row of that client");
    assert_eq!(found(token().refresh_token("r2")).as_ref(), Some(&refreshed), "so does a refresh token");
    let both = found(token().grant_token("g1").refresh_token("r2"));
    assert_eq!(both.as_ref(), Some(&granted), "of the rows with either, the earliest is found");
    let both = found(token().grant_token("g3").refresh_token("r2"));
    assert_eq!(both.as_ref(), Some(&refreshed), "of the rows with either, the earliest is found");
    let both = found(token().grant_token("none").refresh_token("r2"));
    assert_eq!(both.as_ref(), Some(&refreshed), "either is enough");
    let with_access = found(token().access_token("new").refresh_token("r2"));
    assert_eq!(with_access.as_ref(), Some(&refreshed), "an access token does not matter beside a client id");
    assert_eq!(found(token().refresh_token("g1")), None, "a grant token is no refresh token");
    let saved = save(store, token().client_id("c").refresh_token("r2").access_token("new"));
    assert_eq!(saved, refreshed, "a save by a client's refresh token updates that row");
}

fn a_client_secret_is_no_criterion(store: &dyn TokenStore) {
    let client = |refresh: &str| token().client_id("c").refresh_token(refresh);
    let confidential = save(store, client("r1").client_secret("old"));
    let public = save(store, client("r2"));
    for query in [client("r1"), client("r1").client_secret("rotated"), client("r1").client_secret("old")] {
        let found = found(store, query);
        assert_eq!(found.as_ref(), Some(&confidential), "a client secret is no criterion: it may be left out or new");
    }
    assert_eq!(found(store, client("r2")).as_ref(), Some(&public), "a public client has no secret, and finds its row");
    assert_eq!(save(store, client("r2").access_token("a")), public, "a public client has no secret, and saves");
    assert_eq!(stored(store).len(), 2, "updates add no row");
}

fn nothing_else_finds_a_row(store: &dyn TokenStore) {
    let full = token().user_name("ada").client_id("client").client_secret("secret").refresh_token("refresh");
    save(
        store,
        full.access_token("access").grant_token("grant").id_token("id token").api_domain("https://api.example"),
    );
    let queries = [
        token(),
        token().client_id("client").client_secret("secret"),
        token().client_id("client").access_token("access"),
        token().client_id("other").client_secret("secret").refresh_token("refresh"),
        token().client_secret("secret").grant_token("grant"),
        token().client_secret("secret").refresh_token("refresh"),
        token().refresh_token("refresh"),
        token().grant_token("grant"),
        token().id_token("id token").api_domain("https://api.example"),
    ];
    for query in queries {
        assert_eq!(found(store, query.clone()), None, "a query that no rule is for finds nothing: {query:?}");
    }
    let added = save(store, token().client_secret("secret").refresh_token("refresh"));
    let rows: Vec<Token> = stored(store);
    let is_last = rows.len() == 2 && rows.last().and_then(Token::id) == Some(&added);
    assert!(is_last, "a save that no rule is for adds a row: {rows:?}");
}

fn user_and_client_are_taken_once(store: &dyn TokenStore) {
    let ada = save(store, token().user_name("ada").client_id("c").access_token("a"));
    let grace = save(store, token().user_name("grace").client_id("c").access_token("b"));
    let first = save(store, token().access_token("d"));
    let second = save(store, token().access_token("e"));
    let by = |id: &TokenId| token().id(id.clone());

    assert_taken(store, by(&grace).user_name("ada"), "a user name is taken once for each client");
    assert_eq!(
        save(store, by(&first).user_name("ada")),
        first,
        "a user name without a client is another than with one"
    );
    assert_taken(store, by(&second).user_name("ada"), "a user name without a client is taken once");
    assert_taken(store, by(&first).client_id("c"), "a client that is adopted makes a user name taken");
    assert_eq!(save(store, by(&ada).user_name("ada")), ada, "a row may keep its own user name");
    assert_eq!(save(store, by(&ada).user_name("countess")), ada, "a row may have a new user name");
    assert_eq!(save(store, by(&grace).user_name("ada")), grace, "a user name that was given up is free");

    let client = |refresh: &str| token().client_id("c").refresh_token(refresh);
    assert_ne!(save(store, client("r1")), save(store, client("r2")), "rows without a user name may share a client");
}

fn two_clients_of_one_user_never_mix(store: &dyn TokenStore) {
    let ada = |client: &str| token().user_name("ada").client_id(client);
    let confidential = save(store, ada("c").client_secret("secret of c").refresh_token("r0 of c"));
    let public = save(store, ada("d").refresh_token("r0 of d"));
    for round in 1..=5 {
        let refreshed = ada("d").refresh_token(format!("r{round} of d")).access_token(format!("a{round} of d"));
        let refreshed = if round % 2 == 0 { refreshed.id(public.clone()) } else { refreshed };
        assert_eq!(save(store, refreshed), public, "a public client that refreshes stays one row");
        let refreshed = ada("c").access_token(format!("a{round} of c"));
        assert_eq!(save(store, refreshed), confidential, "two clients of one user stay two rows");
    }
    let [c, d] = [&confidential, &public].map(|id| row(store, id));
    assert_eq!(d.client_secret(), None, "a row never has the secret of another client");
    for (row, end) in [(c, " of c"), (d, " of d")] {
        for secret in [row.client_secret(), row.refresh_token(), row.access_token()].into_iter().flatten() {
            assert!(secret.expose_secret().ends_with(end), "two clients of one user are never mixed in one row");
        }
    }
    assert_eq!(stored(store).len(), 2, "two clients of one user stay two rows");
}
