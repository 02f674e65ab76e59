//! How many statements an operation costs: on a server, how often it waits for an answer.

use std::sync::atomic::{AtomicUsize, Ordering};

use tokenkeep::{Error, Result, TokenStore};
use tokenkeep_sql::{SqlOptions, SqlStore};

use crate::{
    common::{Fixture, paper, passphrase, token},
    database::{self, Counter},
};

/// A store with a token that has every value, and some others.
fn fixture() -> Fixture {
    let fixture = Fixture::new();
    let full = token().user_name("ada").client_id("c").access_token("a").grant_token("g").refresh_token("r");
    fixture.store.save_token(&full.build()).unwrap();
    for number in 0..20 {
        fixture.store.save_token(&token().user_name(number.to_string()).refresh_token("other").build()).unwrap();
    }
    fixture
}

/// A handle whose statements are counted.
struct Counted {
    store: SqlStore,
    counter: Counter,
}

impl Counted {
    fn handle_of(fixture: &Fixture) -> Self {
        let (counter, url) = Counter::counting(fixture);
        Self { store: SqlOptions::new().open(&url, &paper()).unwrap(), counter }
    }

    /// How many statements the operation costs, when they were prepared by the same operation before.
    fn count<R>(&self, operation: impl Fn(&SqlStore) -> Result<R>) -> usize {
        operation(&self.store).unwrap();
        self.counter.count(|| drop(operation(&self.store).unwrap()))
    }
}

#[test]
fn find_is_one_statement() {
    let fixture = fixture();
    let counted = Counted::handle_of(&fixture);
    let query = || token().client_id("c");
    for (by, query) in [
        ("id", query().id("1")),
        ("user name", query().user_name("ada")),
        ("access token", token().access_token("a")),
        ("grant token", query().grant_token("g")),
        ("refresh token", query().refresh_token("r")),
        ("user name before other values", query().user_name("ada").access_token("x").refresh_token("y")),
    ] {
        let query = query.build();
        let find = |store: &SqlStore| store.find_token(&query).map(|found| assert!(found.is_some(), "by {by}"));
        assert_eq!(counted.count(find), 1, "find_token by {by}");
        assert_eq!(counted.count(|store| store.find_stored(&query)), 1, "find_stored by {by}");
    }
    let all = |store: &SqlStore| store.get_tokens().map(|tokens| assert_eq!(tokens.len(), 21));
    assert_eq!(counted.count(all), 1);
    assert_eq!(counted.count(|store| store.find_token_by_id(&"1".into())), 1);
    assert_eq!(counted.count(|store| store.find_stored(&token().user_name("nobody").build())), 1);
    assert_eq!(counted.count(|store| store.namespace("google")?.find_token_by_id(&"1".into())), 1);
    assert_eq!(counted.count(SqlStore::namespaces), 1);
    assert_eq!(counted.count(SqlStore::slots), 1);
    assert_eq!(counted.count(SqlStore::version), 1);
    // Three kinds of find send two statements: by an id that is not stored, with a user name; by a user name and client
    // id that no row has; and by a grant token with a refresh token. If both find nothing, both are sent again.
    assert_eq!(counted.count(|store| store.find_stored(&query().user_name("nobody").build())), 4);
    for twice in [query().id("none").user_name("ada"), query().grant_token("g").refresh_token("r")] {
        let twice = twice.build();
        let find = |store: &SqlStore| store.find_stored(&twice).map(|found| assert!(found.is_some()));
        assert_eq!(counted.count(find), 2);
    }
}

/// The answer of the operation itself says it; only what was found out then is read.
#[test]
fn rekey_is_noticed_without_another_statement() {
    let fixture = fixture();
    let [finding, saving] = [(); 2].map(|()| Counted::handle_of(&fixture));
    let ada = token().user_name("ada").client_id("c").build();
    let find = |store: &SqlStore| store.find_stored(&ada);
    // Another value each time: what is written decides which statement it is.
    let saves = AtomicUsize::new(0);
    let save = |store: &SqlStore| {
        let number = saves.fetch_add(1, Ordering::Relaxed);
        store.save_token(&ada.to_builder().access_token(number.to_string()).build())
    };
    assert_eq!(finding.count(find), 1);
    // The beginning, the token's row, write, commit.
    assert_eq!(saving.count(save), database::TO_BEGIN + 3);

    // Another slot: the find, the key table, and the find once more; and then as before.
    fixture.store.add_slot(&passphrase("p")).unwrap();
    assert_eq!(finding.counter.count(|| drop(find(&finding.store).unwrap())), 3);
    assert_eq!(finding.count(find), 1);

    fixture.store.rekey([&paper()]).unwrap();
    let is_rekeyed = |refused: Result<()>| assert!(matches!(refused, Err(Error::Rekeyed { .. })), "{refused:?}");
    assert_eq!(finding.counter.count(|| is_rekeyed(find(&finding.store).map(drop))), 2);
    // The beginning; undone; the key table.
    let refused = saving.counter.count(|| is_rekeyed(save(&saving.store).map(drop)));
    assert_eq!(refused, database::TO_BEGIN + 2);
}
