//! The answers of the vendor's own file store are ours too.

use std::sync::Arc;

use crate::{
    common::{Fixture, PAPER, unlock_with_paper},
    recorded::{Operations, RECORDED, Stores, replay, replay_one, traces},
};
use tokenkeep::{Keystore, MemoryStore, Result, Token, TokenId, TokenStore, Transaction};

impl Operations for Transaction<'_, '_> {
    fn save(&mut self, token: &Token) -> Result<TokenId> {
        self.save_token(token)
    }

    fn find(&mut self, query: &Token) -> Option<Token> {
        self.find_token(query).unwrap()
    }

    fn find_by_id(&mut self, id: &TokenId) -> Option<Token> {
        self.find_token_by_id(id)
    }

    fn get_tokens(&mut self) -> Vec<Token> {
        Transaction::get_tokens(self)
    }

    fn delete(&mut self, id: &TokenId) -> bool {
        self.delete_token(id)
    }

    fn delete_all(&mut self) {
        self.delete_tokens();
    }
}

#[test]
fn the_memory_store_answers_as_the_vendors_store_did() {
    let store = Arc::new(MemoryStore::new());
    assert_eq!(replay(|_| store.clone()), RECORDED);
}

#[test]
fn keystore_answers_as_the_vendors_store_across_reopenings() {
    let directory = tempfile::tempdir().unwrap();
    let (path, unlock) = (directory.path().join("tokens.keep"), unlock_with_paper(PAPER));
    let mut store = Arc::new(Keystore::create(&path, &unlock).unwrap());
    let replayed = replay(|count| {
        if count % 10 == 0 {
            store = Arc::new(Keystore::open(&path, &unlock).unwrap());
        }
        store.clone()
    });
    assert_eq!(replayed, RECORDED);
}

/// Beside a namespace with tokens that would match.
#[test]
fn namespaces_answer_as_the_vendors_store_did() {
    let (fixture, memory) = (Fixture::new(), MemoryStore::new());
    let namespaces = [fixture.store.namespace("vendor").unwrap(), memory.namespace("vendor").unwrap()];
    let others = [fixture.store.namespace("other").unwrap(), memory.namespace("other").unwrap()];
    for (namespace, other) in namespaces.into_iter().zip(others) {
        let first = &traces()[0];
        replay_one(0, first, &mut Stores(|_| Arc::new(other.clone()) as Arc<dyn TokenStore>, 0));
        let tokens = other.get_tokens().unwrap();
        assert_eq!(replay(|_| Arc::new(namespace.clone())), RECORDED);
        assert_eq!(other.get_tokens().unwrap(), tokens);
    }
}

#[test]
fn transactions_answer_as_the_vendors_store_did() {
    let (fixture, memory) = (Fixture::new(), MemoryStore::new());
    let mut counts = [0, 0];
    for (number, trace) in traces().iter().enumerate() {
        counts[0] += memory.transaction(|transaction| Ok(replay_one(number, trace, transaction))).unwrap();
        counts[1] += fixture.store.transaction(|transaction| Ok(replay_one(number, trace, transaction))).unwrap();
        assert_eq!(memory.get_tokens().unwrap().len(), fixture.store.get_tokens().unwrap().len());
    }
    assert_eq!(counts, [RECORDED; 2]);
}
