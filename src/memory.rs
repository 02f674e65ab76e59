//! The same contract with nothing on disk.

use parking_lot::RwLock;

use crate::{changes::Changes, error::Result, id::TokenId, index::Index, matching, store::TokenStore, token::Token};

/// A [`TokenStore`] that keeps its tokens in memory only: for tests, and in place of the vendor's in-memory and list
/// stores. Its rules are those of [`Keystore`](crate::Keystore); it never waits for a disk.
///
/// ```
/// use tokenkeep::{MemoryStore, Token, TokenStore};
///
/// let store = MemoryStore::new();
/// let id = store.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
/// store.save_token(&Token::builder().user_name("ada").access_token("a").build())?;
/// let token = store.find_token_by_id(&id)?.unwrap();
/// assert_eq!(token.refresh_token().unwrap().expose_secret(), "r");
/// assert_eq!(token.access_token().unwrap().expose_secret(), "a");
/// # Ok::<(), tokenkeep::Error>(())
/// ```
#[derive(Debug)]
pub struct MemoryStore(RwLock<Index>);

impl MemoryStore {
    /// A store with no tokens.
    #[must_use]
    pub fn new() -> Self {
        Self(RwLock::new(Index::empty()))
    }

    /// See [`Keystore::replace_token`](crate::Keystore::replace_token).
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::Error::Conflict), [`NoSuchToken`](crate::Error::NoSuchToken),
    /// [`Unstorable`](crate::Error::Unstorable), [`TooLarge`](crate::Error::TooLarge).
    ///
    /// ```
    /// # use tokenkeep::{Error, MemoryStore, Token, TokenStore};
    /// # let store = MemoryStore::new();
    /// let id = store.save_token(&Token::builder().access_token("a").build())?;
    /// let read = store.find_token_by_id(&id)?.unwrap();
    /// store.save_token(&Token::builder().id(id).access_token("b").build())?;
    /// match store.replace_token(&read) {
    ///     Err(Error::Conflict { current, .. }) => assert_eq!(current, 2), // changed since it was read: read it again
    ///     other => panic!("expected a conflict, got {other:?}"),
    /// }
    /// # Ok::<(), Error>(())
    /// ```
    pub fn replace_token(&self, token: &Token) -> Result<Token> {
        self.write(|changes| changes.replace(token))
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

impl TokenStore for MemoryStore {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.write(|changes| changes.save(token))
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        matching::find(&*self.0.read(), query)
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
        matching::find_stored(&*self.0.read(), query)
    }
}
