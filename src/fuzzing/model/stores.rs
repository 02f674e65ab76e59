//! What is compared with the model.

use std::sync::{Mutex, MutexGuard};

use crate::{Keystore, MemoryStore, Result, Token, TokenId, TokenStore, Transaction};

/// A store with namespaces and transactions.
pub trait Store {
    /// The tokens of a namespace. Those of the default one are asked of the store itself.
    fn tokens(&self, namespace: &str) -> Result<Box<dyn TokenStore>>;
    fn namespaces(&self) -> Result<Vec<String>>;
    fn transaction(&self, make: MakeChanges<'_>) -> Result<()>;
}

/// The operations of a transaction.
pub type MakeChanges<'m> = &'m mut dyn FnMut(&mut dyn OpenTransaction) -> Result<()>;

/// A transaction that is not committed yet.
pub trait OpenTransaction {
    fn namespaces(&mut self) -> Result<Vec<String>>;
    /// Makes operations in one of its namespaces.
    fn within(&mut self, namespace: &str, make: &mut dyn FnMut(&dyn TokenStore) -> Result<()>) -> Result<()>;
}

impl OpenTransaction for Transaction<'_, '_> {
    fn namespaces(&mut self) -> Result<Vec<String>> {
        Ok(Transaction::namespaces(self))
    }

    fn within(&mut self, namespace: &str, make: &mut dyn FnMut(&dyn TokenStore) -> Result<()>) -> Result<()> {
        // Which namespace is asked for another makes no difference.
        let mut transaction = self.namespace("another")?;
        make(&InTransaction(Mutex::new(transaction.namespace(namespace)?)))
    }
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

            fn transaction(&self, make: MakeChanges<'_>) -> Result<()> {
                self.transaction(|transaction| make(transaction))
            }
        })+
    };
}
impl_store! { MemoryStore Keystore }

/// A transaction in one of its namespaces, with the operations of a store.
struct InTransaction<'t, 's>(Mutex<Transaction<'t, 's>>);

impl<'t, 's> InTransaction<'t, 's> {
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
