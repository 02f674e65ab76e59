//! The same contract with nothing on disk.

use std::{
    fmt,
    sync::atomic::{AtomicU64, Ordering},
};

use parking_lot::RwLock;

#[cfg(feature = "import")]
use crate::batch::{Batch, Saved};
use crate::{
    changes::Changes,
    error::Result,
    id::{Origin, TokenId},
    index::Index,
    matching,
    store::TokenStore,
    token::Token,
};

/// A [`TokenStore`] that keeps its tokens in memory only: for tests, and in place of the vendor's in-memory and list
/// stores. It follows the same rules as [`Keystore`](crate::Keystore), has every operation of the trait, and never
/// waits for a disk.
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
pub struct MemoryStore(RwLock<Index>);

impl MemoryStore {
    /// A store with no tokens.
    #[must_use]
    pub fn new() -> Self {
        static STORES: AtomicU64 = AtomicU64::new(0);
        let number = STORES.fetch_add(1, Ordering::Relaxed);
        Self(RwLock::new(Index::empty(Origin::of(("memory", number)))))
    }

    fn write<R>(&self, change: impl FnOnce(&mut Changes<'_>) -> Result<R>) -> Result<R> {
        let mut index = self.0.write();
        let mut changes = Changes::new(&index);
        let result = change(&mut changes)?;
        changes.finish().apply(&mut index);
        Ok(result)
    }
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for MemoryStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("MemoryStore").field("tokens", &self.0.read().iter().count()).finish()
    }
}

impl TokenStore for MemoryStore {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.write(|changes| changes.save(token))
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        matching::find(&mut &*self.0.read(), query)
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        Ok(self.0.read().by_id(id))
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        Ok(self.0.read().tokens())
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        self.write(|changes| Ok(changes.delete(id)))
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.write(|changes| Ok(changes.delete_all()))
    }

    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        matching::find_stored(&mut &*self.0.read(), query)
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        self.write(|changes| changes.replace(token))
    }

    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        self.write(|changes| changes.delete_if(id, revision))
    }

    #[cfg(feature = "import")]
    fn save_batch(&self, batch: &Batch) -> Option<Result<Vec<Saved>>> {
        Some(self.write(|changes| changes.all_or_nothing(|changes| batch.save_into(changes))))
    }
}
