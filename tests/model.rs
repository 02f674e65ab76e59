//! Random operations on our stores and on a model of the rules, written down as plainly as they are stated and sharing
//! nothing with the library.

mod common;

use std::collections::BTreeMap;

use common::{Fixture, at_millis, token};
use proptest::{collection::vec, prelude::*, sample::select};
use tokenkeep::{Error, MemoryStore, Token, TokenId, TokenStore, Unstorable};

/// A row, or what is to be saved: the text fields by name, and the rest.
#[derive(Debug, Clone, Default, PartialEq)]
struct Row {
    texts: BTreeMap<&'static str, String>,
    expires_at: Option<u64>,
    scopes: Vec<String>,
    attributes: BTreeMap<String, String>,
    revision: u64,
}

impl Row {
    fn get(&self, name: &str) -> Option<&String> {
        self.texts.get(name)
    }

    fn has_same(&self, name: &str, other: &Self) -> bool {
        self.get(name).is_some() && self.get(name) == other.get(name)
    }

    fn lay_over(&mut self, over: &Self) {
        let id = self.texts.remove("id");
        self.texts.extend(over.texts.clone());
        self.texts.remove("id");
        self.texts.extend(id.map(|id| ("id", id)));
        self.expires_at = over.expires_at.or(self.expires_at);
        if !over.scopes.is_empty() {
            self.scopes.clone_from(&over.scopes);
        }
        self.attributes.extend(over.attributes.clone());
    }

    fn is_storable(&self) -> bool {
        ["grant_token", "refresh_token", "access_token"].iter().any(|name| self.get(name).is_some())
    }

    fn token(&self) -> Token {
        let text = |name| self.get(name).cloned().unwrap_or_default();
        let mut built = token()
            .id(text("id"))
            .user_name(text("user_name"))
            .client_id(text("client_id"))
            .client_secret(text("client_secret"))
            .refresh_token(text("refresh_token"))
            .access_token(text("access_token"))
            .grant_token(text("grant_token"))
            .id_token(text("id_token"))
            .api_domain(text("api_domain"))
            .scopes(self.scopes.clone());
        for (name, value) in &self.attributes {
            built = built.attribute(name.clone(), value.clone());
        }
        match self.expires_at {
            Some(millis) => built.expires_at(at_millis(millis)).build(),
            None => built.build(),
        }
    }

    #[track_caller]
    fn assert_is(&self, token: &Token) {
        let same = match (token.created_at(), token.updated_at()) {
            (Some(created), Some(updated)) => self.token().to_builder().stored(created, updated, self.revision).build(),
            _ => panic!("a row without its age"),
        };
        assert_eq!(*token, same);
    }
}

#[derive(Debug, PartialEq)]
enum Refusal {
    NothingToStore,
    UserNameTaken,
}

#[derive(Default)]
struct Model {
    rows: Vec<Row>,
    next: u64,
}

impl Model {
    fn selected(&self, query: &Row) -> Option<usize> {
        let by = |names: &[&str]| self.rows.iter().position(|row| names.iter().any(|name| row.has_same(name, query)));
        if let Some(found) = by(&["id"]) {
            return Some(found);
        }
        let has = |name| query.get(name).is_some();
        if has("user_name") {
            by(&["user_name"])
        } else if has("access_token") && !has("client_id") && !has("client_secret") {
            by(&["access_token"])
        } else if has("client_id") && has("client_secret") && (has("grant_token") || has("refresh_token")) {
            by(&["grant_token", "refresh_token"])
        } else {
            None
        }
    }

    fn is_taken(&self, name: Option<&String>, except: usize) -> bool {
        let named = self.rows.iter().position(|row| name.is_some() && row.get("user_name") == name);
        named.is_some_and(|place| place != except)
    }

    fn save(&mut self, token: &Row) -> Result<String, Refusal> {
        let Some(place) = self.selected(token) else {
            if !token.is_storable() {
                return Err(Refusal::NothingToStore);
            }
            let mut row = token.clone();
            let id = row.texts.entry("id").or_insert((self.next + 1).to_string()).clone();
            let number = id.parse().ok().filter(|number: &u64| number.to_string() == id);
            self.next = self.next.max(number.unwrap_or(0));
            row.revision = 1;
            self.rows.push(row);
            return Ok(id);
        };
        let mut row = self.rows[place].clone();
        row.lay_over(token);
        row.revision += 1;
        if self.is_taken(row.get("user_name"), place) {
            return Err(Refusal::UserNameTaken);
        }
        self.rows[place] = row;
        Ok(self.rows[place].get("id").unwrap().clone())
    }

    fn find(&self, query: &Row) -> Option<(Row, Row)> {
        let row = self.rows[self.selected(query)?].clone();
        let mut laid_over = row.clone();
        laid_over.lay_over(query);
        Some((laid_over, row))
    }

    fn delete(&mut self, id: &str) -> bool {
        let before = self.rows.len();
        self.rows.retain(|row| row.get("id").unwrap() != id);
        before != self.rows.len()
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Save(Row),
    Find(Row),
    Delete(String),
    DeleteAll,
    Reopen,
}

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
        1 => Just(Operation::Reopen),
    ]
}

fn check(operations: Vec<Operation>, store: &dyn TokenStore, model: &mut Model) {
    for operation in operations {
        match operation {
            Operation::Save(row) => {
                let saved = store.save_token(&row.token()).map(|id| id.to_string()).map_err(|error| match error {
                    Error::Unstorable { why: Unstorable::NothingToStore, .. } => Refusal::NothingToStore,
                    Error::Unstorable { why: Unstorable::UserNameTaken, .. } => Refusal::UserNameTaken,
                    other => panic!("{other}"),
                });
                assert_eq!(saved, model.save(&row), "{row:?}");
            }
            Operation::Find(query) => {
                let found = store.find_token(&query.token()).unwrap();
                let stored = store.find_stored(&query.token()).unwrap();
                match model.find(&query) {
                    Some((laid_over, row)) => {
                        laid_over.assert_is(&found.unwrap());
                        row.assert_is(&stored.unwrap());
                    }
                    None => assert_eq!((found, stored), (None, None)),
                }
            }
            Operation::Delete(id) => {
                assert_eq!(store.delete_token(&TokenId::from(id.as_str())).unwrap(), model.delete(&id));
            }
            Operation::DeleteAll => assert_eq!(store.delete_tokens().unwrap(), std::mem::take(&mut model.rows).len()),
            Operation::Reopen => {}
        }
        let stored = store.get_tokens().unwrap();
        assert_eq!(stored.len(), model.rows.len());
        for (token, row) in stored.iter().zip(&model.rows) {
            row.assert_is(token);
            row.assert_is(&store.find_token_by_id(token.id().unwrap()).unwrap().unwrap());
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 512, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_memory_store_does_what_the_model_does(operations in vec(operation(), 1..60)) {
        check(operations, &MemoryStore::new(), &mut Model::default());
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn the_keystore_does_what_the_model_does_across_reopenings(operations in vec(operation(), 1..60)) {
        let fixture = Fixture::new();
        let (mut store, mut model) = (fixture.store.clone(), Model::default());
        for part in operations.split_inclusive(|operation| matches!(operation, Operation::Reopen)) {
            check(part.to_vec(), &store, &mut model);
            store = fixture.open();
        }
        check(vec![], &store, &mut model);
    }
}
