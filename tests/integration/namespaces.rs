//! Namespaces of a store: stores of their own within it, which never meet.

use crate::common::{Fixture, token, unlock};
use tokenkeep::{Error, Keystore, MemoryStore, Namespace, Prune, TokenStore, testing::conformance};

fn users(store: &dyn TokenStore) -> Vec<String> {
    store.get_tokens().unwrap().iter().map(|token| token.user_name().unwrap().to_owned()).collect()
}

fn save(store: &dyn TokenStore, user: &str) -> tokenkeep::TokenId {
    store.save_token(&token().user_name(user).access_token("a").build()).unwrap()
}

/// What a test does with a store and two of its namespaces.
type Test = fn(&dyn TokenStore, &dyn Fn(&str) -> Namespace);

fn on_both_stores(test: Test) {
    let fixture = Fixture::new();
    test(&fixture.store, &|name| fixture.store.namespace(name).unwrap());
    let store = MemoryStore::new();
    test(&store, &|name| store.namespace(name).unwrap());
}

#[test]
fn namespace_keeps_the_contract_of_a_store() {
    let fixture = Fixture::new();
    save(&fixture.store, "ada");
    conformance(&fixture.store.namespace("google").unwrap());
    conformance(&MemoryStore::new().namespace("google").unwrap());
    assert_eq!(users(&fixture.store), ["ada"]);
}

#[test]
fn one_user_in_two_namespaces_is_two_tokens() {
    on_both_stores(|store, namespace| {
        let (google, zoho) = (namespace("google"), namespace("zoho"));
        let ids = [save(store, "ada"), save(&google, "ada"), save(&zoho, "ada")];
        assert_eq!(ids.each_ref().map(tokenkeep::TokenId::as_str), ["1", "2", "3"], "unique in the store");
        for (place, other) in [(store, 1), (&google as &dyn TokenStore, 2), (&zoho, 0)] {
            assert_eq!(place.get_tokens().unwrap().len(), 1);
            assert_eq!(place.find_token_by_id(&ids[other]).unwrap(), None);
            assert!(!place.delete_token(&ids[other]).unwrap());
        }
        assert_eq!(save(&google, "ada"), ids[1], "merged into its own row");
        assert_eq!(zoho.delete_tokens().unwrap(), 1);
        assert_eq!((users(store), users(&google), users(&zoho)), (vec!["ada".into()], vec!["ada".into()], vec![]));
        assert_eq!(store.delete_tokens().unwrap(), 1, "those of the default namespace only");
        assert_eq!(users(&google), ["ada"]);
    });
}

#[test]
fn own_ids_are_unique_within_a_namespace() {
    on_both_stores(|store, namespace| {
        let google = namespace("google");
        for place in [store, &google] {
            place.save_token(&token().id("mine").user_name("ada").access_token("a").build()).unwrap();
        }
        assert_eq!(google.get_tokens().unwrap()[0].id().unwrap().as_str(), "mine");
        // A number that is an id in any namespace is chosen in none.
        google.save_token(&token().id("7").user_name("grace").access_token("a").build()).unwrap();
        assert_eq!(save(store, "grace").as_str(), "8");
    });
}

#[test]
fn revision_counts_in_its_own_namespace() {
    on_both_stores(|store, namespace| {
        save(store, "ada");
        let read = store.get_tokens().unwrap().remove(0);
        let google = namespace("google");
        google.save_token(&read).unwrap();
        save(&google, "ada");
        google.save_token(&read).unwrap();
        let stale = google.get_tokens().unwrap().remove(0);
        save(&google, "ada");
        assert!(matches!(google.save_token(&stale), Err(Error::Conflict { .. })));
    });
}

#[test]
fn namespaces_are_listed_while_they_have_tokens() {
    let fixture = Fixture::new();
    assert!(fixture.store.namespaces().unwrap().is_empty());
    save(&fixture.store, "ada");
    let names = ["zoho", "google", "ключ", "G"];
    for name in names {
        save(&fixture.store.namespace(name).unwrap(), "ada");
    }
    let expected = ["G", "google", "zoho", "ключ"];
    assert_eq!(fixture.store.namespaces().unwrap(), expected);
    assert_eq!(fixture.open().namespaces().unwrap(), expected);
    fixture.store.namespace("zoho").unwrap().delete_tokens().unwrap();
    assert_eq!(fixture.open().namespaces().unwrap(), ["G", "google", "ключ"]);
}

#[test]
fn other_handles_see_what_a_namespace_has() {
    let fixture = Fixture::new();
    let (mine, other) = (fixture.store.namespace("google").unwrap(), fixture.open().namespace("google").unwrap());
    save(&mine, "ada");
    assert_eq!(users(&other), ["ada"]);
    save(&other, "grace");
    assert_eq!(users(&mine), ["ada", "grace"]);
    let snapshot = mine.snapshot().unwrap();
    mine.delete_tokens().unwrap();
    assert_eq!((snapshot.tokens().count(), users(&other).len()), (2, 0));
}

#[test]
fn name_of_a_namespace_has_at_most_256_bytes() {
    let fixture = Fixture::new();
    let longest = "ä".repeat(128);
    let namespace = fixture.store.namespace(&longest).unwrap();
    save(&namespace, "ada");
    assert_eq!(Keystore::open(&fixture.path, &unlock()).unwrap().namespaces().unwrap(), [longest.as_str()]);
    assert_eq!(namespace.name(), longest);
    let long = "x".repeat(257);
    assert!(matches!(fixture.store.namespace(&long), Err(Error::TooLarge { .. })));
    assert!(matches!(MemoryStore::new().namespace(&long), Err(Error::TooLarge { .. })));
    let in_transaction = fixture.store.transaction(|transaction| transaction.namespace(&long).map(drop));
    assert!(matches!(in_transaction, Err(Error::TooLarge { .. })));
}

#[test]
fn empty_name_is_the_default_namespace() {
    on_both_stores(|store, namespace| {
        save(&namespace(""), "ada");
        assert_eq!(users(store), ["ada"]);
        assert_eq!(namespace("").name(), "");
    });
}

#[test]
fn prune_deletes_what_is_of_no_use_any_more() {
    let (past, future) =
        (crate::common::at_millis(1), std::time::SystemTime::now() + std::time::Duration::from_secs(3600));
    let store = MemoryStore::new();
    let rows = [
        token().user_name("expired, no refresh token").access_token("a").expires_at(past),
        token()
            .user_name("both expired")
            .access_token("a")
            .expires_at(past)
            .refresh_token("r")
            .refresh_expires_at(past),
        token().user_name("rejected").access_token("a").expires_at(past).refresh_token("r").rejected_at(past),
        token().user_name("expired").access_token("a").expires_at(past).refresh_token("r"),
        token()
            .user_name("refresh expires later")
            .access_token("a")
            .expires_at(past)
            .refresh_token("r")
            .refresh_expires_at(future),
        token().user_name("good").access_token("a").expires_at(future),
        token().user_name("expiry unknown").access_token("a").expiry_unknown(),
        token().user_name("to be exchanged").grant_token("g"),
        token().user_name("to be exchanged soon").grant_token("g").expires_at(past),
        token().user_name("refresh only").refresh_token("r"),
    ];
    let google = store.namespace("google").unwrap();
    for row in rows {
        store.save_token(&row.clone().build()).unwrap();
        google.save_token(&row.build()).unwrap();
    }
    assert_eq!(store.prune(Prune::Expired).unwrap(), 2);
    let kept = [
        "rejected",
        "expired",
        "refresh expires later",
        "good",
        "expiry unknown",
        "to be exchanged",
        "to be exchanged soon",
        "refresh only",
    ];
    assert_eq!(users(&store), kept);
    assert_eq!(users(&google).len(), 10, "in its own namespace only");
    assert_eq!(google.prune(Prune::ExpiredOrRejected).unwrap(), 3);
    assert_eq!(users(&google), kept[1..]);
    assert_eq!(store.prune(Prune::Expired).unwrap(), 0);
}

#[test]
fn prune_is_one_commit_and_none_without_a_need() {
    let fixture = Fixture::new();
    let past = crate::common::at_millis(1);
    for user in ["ada", "grace"] {
        let expired = token().user_name(user).access_token("a").expires_at(past);
        fixture.store.save_token(&expired.build()).unwrap();
    }
    let generation = || fixture.store.status().unwrap().generation;
    let before = generation();
    assert_eq!(fixture.store.prune(Prune::Expired).unwrap(), 2);
    assert_eq!(generation(), before + 1);
    assert_eq!(fixture.store.prune(Prune::Expired).unwrap(), 0);
    assert_eq!(generation(), before + 1);
}
