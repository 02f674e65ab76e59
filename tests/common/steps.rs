//! Random operations on stores, for the model of the rules.

use proptest::{collection::vec, prelude::*, sample::select};
use tokenkeep::fuzzing::model::{Expiry, NAMESPACES, Operation, Row, Source, Step};

const IDS: [&str; 7] = ["1", "2", "3", "5", "8", "id", "07"];

/// Values so few that rows meet. Boxed, because the strategy is large and stands on the stack many times.
fn row() -> BoxedStrategy<Row> {
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
        text("redirect_url", 0.1),
        text("api_domain", 0.1),
        text("token_type", 0.1),
    ];
    let texts = texts.to_vec().prop_map(|texts| texts.into_iter().flatten().collect());
    let words = || select(vec!["x".to_owned(), "y".to_owned(), "z".to_owned()]);
    let scopes = vec(words(), 0..3).prop_map(|mut scopes| {
        scopes.dedup();
        scopes
    });
    let attributes = prop::collection::btree_map(words(), words(), 0..2);
    let expiry = prop_oneof![
        2 => Just(Expiry::Unset),
        1 => Just(Expiry::Unknown),
        3 => (0..5_000_u64).prop_map(Expiry::At),
    ];
    let time = |name: &'static str| {
        prop::option::weighted(0.3, 0..3_u64).prop_map(move |millis| millis.map(|millis| (name, millis)))
    };
    let times = [time("received_at"), time("refresh_expires_at"), time("rejected_at"), time("retry_at")];
    let times = times.to_vec().prop_map(|times| times.into_iter().flatten().collect());
    let failed = prop_oneof![3 => Just(0), 1 => 1..3_u32];
    let row = (texts, expiry, times, failed, scopes, attributes);
    row.prop_map(|(texts, expiry, times, failed_refreshes, scopes, attributes)| Row {
        texts,
        expiry,
        times,
        failed_refreshes,
        scopes,
        attributes,
        revision: 0,
        is_of_other_store: false,
    })
    .boxed()
}

/// Few changes, so that most often it stays the row that was read.
fn change() -> impl Strategy<Value = Row> {
    let few = |row: Row| {
        let texts = row.texts.into_iter().filter(|(name, _)| !matches!(*name, "id" | "user_name" | "client_id"));
        Row { texts: texts.collect(), ..row }
    };
    prop_oneof![2 => Just(Row::default()), 3 => row().prop_map(few), 1 => row()]
}

fn given() -> impl Strategy<Value = (Source, Row)> {
    prop_oneof![
        5 => row().prop_map(|row| (Source::New, row)),
        4 => change().prop_map(|row| (Source::Read, row)),
        1 => change().prop_map(|row| (Source::WithoutRevision, row)),
        1 => row().prop_map(|row| (Source::OtherStore, row)),
    ]
}

fn id() -> impl Strategy<Value = String> {
    select(IDS.to_vec()).prop_map(str::to_owned)
}

fn operation() -> impl Strategy<Value = Operation> {
    prop_oneof![
        12 => given().prop_map(|(source, row)| Operation::Save(source, row)),
        6 => given().prop_map(|(source, row)| Operation::Find(source, row)),
        4 => given().prop_map(|(source, row)| Operation::Replace(source, row)),
        5 => id().prop_map(Operation::Read),
        2 => id().prop_map(Operation::Delete),
        2 => (id(), 0..5_u64).prop_map(|(id, revision)| Operation::DeleteIf(id, revision)),
        1 => Just(Operation::DeleteAll),
    ]
}

/// An operation, or several in a transaction.
pub fn step() -> impl Strategy<Value = Step> {
    // Most often the default one, so that rows and revisions meet there.
    let namespace = || prop_oneof![1 => Just(NAMESPACES[0]), 1 => select(NAMESPACES.to_vec())];
    let in_namespace = || (namespace(), operation());
    let transaction = (vec(in_namespace(), 0..12), any::<bool>());
    prop_oneof![
        6 => in_namespace().prop_map(|(namespace, operation)| Step::Single(namespace, operation)),
        1 => transaction.prop_map(|(operations, is_given_up)| Step::Transaction { operations, is_given_up }),
    ]
}
