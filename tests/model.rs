//! Random operations on our stores and on a model of the rules.

mod common;

use common::Fixture;
use proptest::{collection::vec, prelude::*, sample::select};
use tokenkeep::{
    MemoryStore, TokenStore,
    fuzzing::model::{Model, Operation, Row},
};

const IDS: [&str; 7] = ["1", "2", "3", "5", "8", "id", "07"];

/// Values so few that rows meet.
fn row() -> impl Strategy<Value = Row> {
    let text = |name: &'static str, probability: f64| {
        let values = if name == "id" {
            IDS.map(str::to_owned).to_vec()
        } else {
            ["a", "b", "c"].map(|end| format!("{name} {end}")).into()
        };
        prop::option::weighted(probability, select(values)).prop_map(move |value| value.map(|value| (name, value)))
    };
    let texts = [
        text("id", 0.2),
        text("user_name", 0.3),
        text("client_id", 0.4),
        text("client_secret", 0.4),
        text("refresh_token", 0.5),
        text("access_token", 0.5),
        text("grant_token", 0.3),
        text("id_token", 0.1),
        text("api_domain", 0.1),
    ];
    let texts = texts.to_vec().prop_map(|texts| texts.into_iter().flatten().collect());
    let words = || select(vec!["x".to_owned(), "y".to_owned(), "z".to_owned()]);
    let scopes = vec(words(), 0..3).prop_map(|mut scopes| {
        scopes.dedup();
        scopes
    });
    let attributes = prop::collection::btree_map(words(), words(), 0..2);
    (texts, prop::option::of(0..5_000_u64), scopes, attributes)
        .prop_map(|(texts, expires_at, scopes, attributes)| Row { texts, expires_at, scopes, attributes, revision: 0 })
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        12 => row().prop_map(Operation::Save),
        6 => row().prop_map(Operation::Find),
        3 => select(IDS.to_vec()).prop_map(|id| Operation::Delete(id.to_owned())),
        1 => Just(Operation::DeleteAll),
    ]
}

fn check(operation: &Operation, store: &dyn TokenStore, model: &mut Model) {
    model.check(operation, store).unwrap();
    model.assert_is_in(store).unwrap();
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_memory_store_does_what_the_model_does(operations in vec(operation(), 1..60)) {
        let (store, mut model) = (MemoryStore::new(), Model::default());
        operations.iter().for_each(|operation| check(operation, &store, &mut model));
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_keystore_does_what_the_model_does_across_reopenings(parts in vec(vec(operation(), 1..40), 1..3)) {
        let (fixture, mut model) = (Fixture::new(), Model::default());
        for operations in parts {
            let store = fixture.open();
            model.assert_is_in(&store).unwrap();
            operations.iter().for_each(|operation| check(operation, &store, &mut model));
        }
        model.assert_is_in(&fixture.open()).unwrap();
    }
}
