//! What is compared with the model.

use std::sync::{Mutex, MutexGuard};

use crate::{Keystore, MemoryStore, Result, Token, TokenId, TokenStore, Transaction};

/// A store with namespaces and transactions.
pub trait Store {
    /// The tokens of a namespace. Those of the default one are asked of the store itself.
    fn tokens(&self, namespace: &str) -> Result<Box<dyn TokenStore>>;
    fn namespaces(&self) -> Result<Vec<String>>;
    fn transaction(&self, make: &mut dyn FnMut(&mut Transaction<'_, '_>) -> Result<()>) -> Result<()>;
}

/// Both stores have the same operations, and no trait of the library has these.
macro_rules! impl_store {
    ($($store:ty)+) => {
        $(impl Store for $store {
            fn tokens(&self, namespace: &str) -> Result<Box<dyn TokenStore>> {
                Ok(if namespace.is_empty() { Box::new(self.clone()) } else { Box::new(self.namespace(namespace)?) })
            }

            fn namespaces(&self) -> Result<Vec<String>> {
                self.namespaces()
            }

            fn transaction(&self, make: &mut dyn FnMut(&mut Transaction<'_, '_>) -> Result<()>) -> Result<()> {
                self.transaction(make)
            }
        })+
    };
}
impl_store! { MemoryStore Keystore }

/// A transaction in one of its namespaces, with the operations of a store.
pub(super) struct InTransaction<'t, 's>(Mutex<Transaction<'t, 's>>);

impl<'t, 's> InTransaction<'t, 's> {
    pub(super) fn new(transaction: Transaction<'t, 's>) -> Self {
        Self(Mutex::new(transaction))
    }

    fn get(&self) -> MutexGuard<'_, Transaction<'t, 's>> {
        self.0.lock().expect("no operation has panicked")
    }
}

impl TokenStore for InTransaction<'_, '_> {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.get().save_token(token)
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        self.get().find_token(query)
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        Ok(self.get().find_token_by_id(id))
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        Ok(self.get().get_tokens())
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        Ok(self.get().delete_token(id))
    }

    fn delete_tokens(&self) -> Result<usize> {
        Ok(self.get().delete_tokens())
    }

    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        self.get().find_stored(query)
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        self.get().replace_token(token)
    }

    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        self.get().delete_token_if(id, revision)
    }
}
