//! A store in memory: the contract of `TokenStore` with nothing on disk.

use std::{fmt, sync::Arc};

use crate::{
    error::Result,
    matching::Prune,
    memory_rows::MemoryRows,
    namespace::Namespace,
    namespaces::{Namespaces, check_name},
    store::delegate_token_store,
    transaction::Transaction,
};

/// A [`TokenStore`](crate::TokenStore) that keeps its tokens in memory only: for tests, and in place of the vendor's
/// in-memory and list stores. It follows the same rules as [`Keystore`](crate::Keystore), has every operation of the
/// trait, and never waits for a disk. Clones share the tokens.
///
/// ```
/// use tokenkeep::{MemoryStore, Token, TokenStore};
///
/// let store = MemoryStore::new();
/// let id = store.save_token(&Token::builder().user_name("ada").client_id("c").refresh_token("r").build())?;
/// store.save_token(&Token::builder().user_name("ada").client_id("c").access_token("a").expiry_unknown().build())?;
/// let token = store.find_token_by_id(&id)?.unwrap();
/// assert_eq!(token.refresh_token().unwrap().expose_secret(), "r");
/// assert_eq!(token.access_token().unwrap().expose_secret(), "a");
/// # Ok::<(), tokenkeep::Error>(())
/// ```
#[derive(Clone)]
pub struct MemoryStore(Arc<MemoryRows>);

impl MemoryStore {
    /// A store with no tokens.
    #[must_use]
    pub fn new() -> Self {
        Self(Arc::new(MemoryRows::new()))
    }

    /// A namespace of the store. See [`Keystore::namespace`](crate::Keystore::namespace).
    ///
    /// # Errors
    ///
    /// [`TooLarge`](crate::Error::TooLarge) for a name of more than 256 bytes.
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        check_name(name)?;
        Ok(Namespace::of_memory(&self.0, Some(name.into())))
    }

    /// The names of the namespaces that have tokens, other than the default one, in the order of their bytes.
    ///
    /// # Errors
    ///
    /// [`InTransaction`](crate::Error::InTransaction).
    pub fn namespaces(&self) -> Result<Vec<String>> {
        self.0.read(Namespaces::listed_names)
    }

    /// Makes several operations as one. See [`Keystore::transaction`](crate::Keystore::transaction). Other writers wait
    /// without a limit: two threads that are each in a transaction of one store, and write to the other's, wait for
    /// ever.
    ///
    /// # Errors
    ///
    /// That of the function; [`InTransaction`](crate::Error::InTransaction).
    pub fn transaction<R>(&self, operations: impl FnOnce(&mut Transaction<'_, '_>) -> Result<R>) -> Result<R> {
        self.0.write(|changes| operations(&mut Transaction::new(changes)))
    }

    /// Deletes tokens of the default namespace that are of no use any more. See
    /// [`Keystore::prune`](crate::Keystore::prune).
    ///
    /// # Errors
    ///
    /// [`InTransaction`](crate::Error::InTransaction).
    pub fn prune(&self, which: Prune) -> Result<usize> {
        self.tokens().prune(which)
    }

    fn tokens(&self) -> Namespace {
        Namespace::of_memory(&self.0, None)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = f.debug_struct("MemoryStore");
        // Inside of its own transaction the store is not read.
        if let Ok(count) = self.0.read(|rows| rows.index("").iter().count()) {
            shown.field("tokens", &count);
        }
        shown.finish()
    }
}

delegate_token_store!(impl for MemoryStore: |store| store.tokens());
