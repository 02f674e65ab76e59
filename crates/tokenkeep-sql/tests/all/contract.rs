//! The store keeps the contract of `TokenStore`, and answers as the vendor's store and the naive model do.

use std::sync::{Arc, Mutex};

use proptest::{collection::vec, prelude::*};
use tokenkeep::{
    Result, Token, TokenId, TokenStore,
    fuzzing::model::{MakeChanges, Model, OpenTransaction, Store},
    testing::conformance,
};
use tokenkeep_sql::{SqlOptions, SqlStore, SqlTransaction};

use crate::{
    common::{Fixture, cases},
    recorded, steps,
};

#[test]
fn store_and_namespace_keep_the_contract() {
    let fixture = Fixture::new();
    conformance(&fixture.store);
    conformance(&fixture.store.namespace("google").unwrap());
    assert!(fixture.store.namespaces().unwrap().is_empty());
}

#[test]
fn one_connection_is_enough_for_the_contract() {
    conformance(&Fixture::with(&SqlOptions::new().connections(1)).store);
}

#[test]
fn answers_are_those_of_the_vendors_recorded_store() {
    let fixture = Fixture::new();
    let handles = [Arc::new(fixture.store.clone()), Arc::new(fixture.open())];
    assert_eq!(recorded::replay(|count| handles[count % 2].clone()), recorded::RECORDED);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: cases(12), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn store_does_what_the_model_does_across_reopenings(parts in vec(vec(steps::step(), 1..40), 1..3)) {
        let (fixture, mut model) = (Fixture::new(), Model::default());
        for steps in parts {
            let store = Compared(fixture.open());
            model.assert_is_in(&store).unwrap();
            for step in steps {
                model.check(&step, &store).unwrap();
                model.assert_is_in(&store).unwrap();
            }
        }
        model.assert_is_in(&Compared(fixture.open())).unwrap();
    }
}

/// What is compared with the model.
struct Compared(SqlStore);

impl Store for Compared {
    fn tokens(&self, namespace: &str) -> Result<Box<dyn TokenStore>> {
        let store = &self.0;
        Ok(if namespace.is_empty() { Box::new(store.clone()) } else { Box::new(store.namespace(namespace)?) })
    }

    fn namespaces(&self) -> Result<Vec<String>> {
        self.0.namespaces()
    }

    fn transaction(&self, make: MakeChanges<'_>) -> Result<()> {
        self.0.transaction(|transaction| make(&mut Open(transaction)))
    }
}

struct Open<'o, 't, 's>(&'o mut SqlTransaction<'t, 's>);

impl OpenTransaction for Open<'_, '_, '_> {
    fn namespaces(&mut self) -> Result<Vec<String>> {
        self.0.namespaces()
    }

    fn within(&mut self, namespace: &str, make: &mut dyn FnMut(&dyn TokenStore) -> Result<()>) -> Result<()> {
        let mut transaction = self.0.namespace("another")?;
        make(&Inside(Mutex::new(transaction.namespace(namespace)?)))
    }
}

/// A transaction in one of its namespaces, with the operations of a store.
struct Inside<'t, 's>(Mutex<SqlTransaction<'t, 's>>);

impl TokenStore for Inside<'_, '_> {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.0.lock().unwrap().save_token(token)
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        self.0.lock().unwrap().find_token(query)
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        self.0.lock().unwrap().find_token_by_id(id)
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        self.0.lock().unwrap().get_tokens()
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        self.0.lock().unwrap().delete_token(id)
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.0.lock().unwrap().delete_tokens()
    }

    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        self.0.lock().unwrap().find_stored(query)
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        self.0.lock().unwrap().replace_token(token)
    }

    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        self.0.lock().unwrap().delete_token_if(id, revision)
    }
}
