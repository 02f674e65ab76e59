//! The contract of the six operations, and of those that a store may add.

use std::sync::Arc;

#[cfg(feature = "import")]
use crate::batch::{Batch, Saved};
use crate::{
    error::{Error, Result, StoreOperation},
    id::TokenId,
    token::Token,
    token_lock::LockAttempt,
};

/// Where an application keeps its tokens: the six operations of the Zoho CRM SDK's `TokenStore`, with complete rules,
/// and four more that have a default.
///
/// [`matching`](crate::matching) has the rules of which stored token is meant, and an application's own store can build
/// on them; `testing::conformance` (feature `testing`) checks a store against them. The trait is object safe: libraries
/// take an `Arc<dyn TokenStore>`.
///
/// Every operation may block: on the disk, on a lock, on a network. Every operation is all or nothing. For the errors
/// and the waiting times of [`Keystore`](crate::Keystore) see its own documentation.
///
/// ```
/// use std::sync::Arc;
/// use tokenkeep::{MemoryStore, Result, Token, TokenStore};
///
/// fn sign_out(store: &dyn TokenStore, user: &str, client: &str) -> Result<bool> {
///     let query = Token::builder().user_name(user).client_id(client).build();
///     match store.find_stored(&query)? {
///         Some(token) => store.delete_token(token.id().expect("a stored token has an id")),
///         None => Ok(false),
///     }
/// }
///
/// let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::new());
/// store.save_token(&Token::builder().user_name("ada").client_id("c").refresh_token("r").build())?;
/// assert!(sign_out(&*store, "ada", "c")?);
/// assert!(store.get_tokens()?.is_empty());
/// # Ok::<(), tokenkeep::Error>(())
/// ```
pub trait TokenStore: Send + Sync {
    /// Merges the token into the stored one that it means, or adds it; returns the id of the stored token.
    ///
    /// A field that the token leaves unset stays as it is stored: the refresh token that a refresh response leaves out,
    /// but also the expiry of the access token before. So set an expiry with every access token, or say
    /// [`expiry_unknown`](crate::TokenBuilder::expiry_unknown).
    ///
    /// A token that was read from this store carries a [revision](Token::revision), and is saved over that revision
    /// only.
    ///
    /// # Errors
    ///
    /// - [`Conflict`](Error::Conflict): the token carries a revision, and the stored token has another one by now;
    /// - [`NoSuchToken`](Error::NoSuchToken): the token carries a revision, and the stored token was deleted;
    /// - [`OtherClient`](Error::OtherClient), [`Ambiguous`](Error::Ambiguous): see [`matching`](crate::matching);
    /// - [`Unstorable`](Error::Unstorable): a new token has no grant token, no refresh token and no access token; or
    ///   another stored token has the same user name and client id;
    /// - [`TooLarge`](Error::TooLarge): a field or the whole token exceeds its limit;
    /// - the store's own errors.
    fn save_token(&self, token: &Token) -> Result<TokenId>;

    /// Finds the stored token that the query means, and returns a copy in which the fields that the query sets replace
    /// the stored ones. Returns `None` if no token matches.
    ///
    /// The vendor's SDK needs this copy. Your own code most likely wants [`find_stored`](Self::find_stored): the copy
    /// carries a revision only if the query changed no field.
    ///
    /// # Errors
    ///
    /// [`OtherClient`](Error::OtherClient), [`Ambiguous`](Error::Ambiguous), and the store's own errors.
    fn find_token(&self, query: &Token) -> Result<Option<Token>>;

    /// The stored token of that id, or `None`.
    ///
    /// # Errors
    ///
    /// The store's own errors.
    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>>;

    /// All stored tokens, in the order first saved.
    ///
    /// # Errors
    ///
    /// The store's own errors.
    fn get_tokens(&self) -> Result<Vec<Token>>;

    /// Deletes the stored token of that id; `false` if there was none.
    ///
    /// # Errors
    ///
    /// The store's own errors.
    fn delete_token(&self, id: &TokenId) -> Result<bool>;

    /// Deletes all tokens; returns how many there were.
    ///
    /// # Errors
    ///
    /// The store's own errors.
    fn delete_tokens(&self) -> Result<usize>;

    /// The stored token that the query means, as it is stored, or `None`.
    ///
    /// The default asks twice, for the token and then for its row. A store that can answer at once overrides it.
    ///
    /// # Errors
    ///
    /// [`OtherClient`](Error::OtherClient), [`Ambiguous`](Error::Ambiguous), and the store's own errors.
    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        match self.find_token(query)?.as_ref().and_then(Token::id) {
            Some(id) => self.find_token_by_id(id),
            None => Ok(None),
        }
    }

    /// Replaces the stored token of the given token's id, and returns it as stored. A field that the token leaves unset
    /// is cleared, where [`save_token`](Self::save_token) would keep it. It can also change the client.
    ///
    /// A token that was read from this store carries a [revision](Token::revision) and replaces that revision only, so
    /// that no change made in the meantime is lost. A token that was built from nothing replaces any revision.
    ///
    /// The default returns [`Unsupported`](Error::Unsupported), because it needs to be atomic.
    ///
    /// # Errors
    ///
    /// - [`Conflict`](Error::Conflict): the token carries a revision, and the stored token has another one by now;
    /// - [`NoSuchToken`](Error::NoSuchToken): no token of that id is stored;
    /// - [`Unstorable`](Error::Unstorable), [`TooLarge`](Error::TooLarge): as for a save;
    /// - [`Unsupported`](Error::Unsupported): this store does not have the operation;
    /// - the store's own errors.
    ///
    /// ```
    /// use tokenkeep::{Error, MemoryStore, Token, TokenStore};
    ///
    /// let store = MemoryStore::new();
    /// let id = store.save_token(&Token::builder().user_name("ada").access_token("a").grant_token("g").build())?;
    /// let read = store.find_token_by_id(&id)?.unwrap();
    /// let used = store.replace_token(&read.to_builder().grant_token("").build())?;
    /// assert_eq!((used.grant_token(), used.revision()), (None, Some(2)));
    /// assert!(matches!(store.replace_token(&read), Err(Error::Conflict { current: 2, .. })));
    /// # Ok::<(), Error>(())
    /// ```
    fn replace_token(&self, token: &Token) -> Result<Token> {
        let _ = token;
        Err(Error::Unsupported { operation: StoreOperation::ReplaceToken })
    }

    /// Deletes the stored token of that id if it still has that [revision](Token::revision); `false` if there was none.
    ///
    /// The default returns [`Unsupported`](Error::Unsupported), because it needs to be atomic.
    ///
    /// # Errors
    ///
    /// - [`Conflict`](Error::Conflict): the stored token has another revision. The stored token stays;
    /// - [`Unsupported`](Error::Unsupported): this store does not have the operation;
    /// - the store's own errors.
    ///
    /// ```
    /// use tokenkeep::{Error, MemoryStore, Token, TokenStore};
    ///
    /// let store = MemoryStore::new();
    /// let id = store.save_token(&Token::builder().user_name("ada").refresh_token("old").build())?;
    /// store.save_token(&Token::builder().user_name("ada").refresh_token("new").build())?;
    /// assert!(matches!(store.delete_token_if(&id, 1), Err(Error::Conflict { current: 2, .. })));
    /// assert!(store.delete_token_if(&id, 2)?);
    /// # Ok::<(), Error>(())
    /// ```
    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        let _ = (id, revision);
        Err(Error::Unsupported { operation: StoreOperation::DeleteTokenIf })
    }

    /// Locks the given id against all other threads and processes that call this method, if the lock is free. Never
    /// waits. The id does not have to be that of a stored token. Finds, saves and deletes ignore the lock.
    ///
    /// Before the store gives the lock, it checks that a save would succeed. So no holder spends a refresh token whose
    /// successor cannot be saved.
    ///
    /// The default returns [`Unsupported`](Error::Unsupported). With this operation and with
    /// [`replace_token`](Self::replace_token) a store has all of [`TokenStoreExt`](crate::TokenStoreExt).
    ///
    /// # Errors
    ///
    /// - [`Unsupported`](Error::Unsupported): this store does not have the operation;
    /// - the error that a save would have, as far as the store can tell beforehand.
    ///
    /// ```
    /// use tokenkeep::{MemoryStore, TokenId, TokenStore};
    ///
    /// let store = MemoryStore::new();
    /// let id = TokenId::from("1");
    /// let lock = store.lock_token(&id)?.lock().expect("nobody else holds it");
    /// assert!(store.lock_token(&id)?.lock().is_none());
    /// drop(lock);
    /// assert!(store.lock_token(&id)?.lock().is_some());
    /// # Ok::<(), tokenkeep::Error>(())
    /// ```
    fn lock_token(&self, id: &TokenId) -> Result<LockAttempt> {
        let _ = id;
        Err(Error::Unsupported { operation: StoreOperation::LockToken })
    }

    /// Saves a batch as one change. `None`: this store has no such operation, and the import saves row by row.
    ///
    /// For the stores of this crate only: nobody else can make a batch or name its type.
    #[cfg(feature = "import")]
    #[doc(hidden)]
    fn save_batch(&self, batch: &Batch) -> Option<Result<Vec<Saved>>> {
        let _ = batch;
        None
    }
}

/// Makes a type a `TokenStore` with the operations of another one.
macro_rules! delegate_token_store {
    (impl $([$($generics:tt)*])? for $store:ty: |$this:ident| $operations:expr) => {
        impl$(<$($generics)*>)? $crate::store::TokenStore for $store {
            fn save_token(&self, token: &$crate::token::Token) -> $crate::error::Result<$crate::id::TokenId> {
                let $this = self;
                $operations.save_token(token)
            }

            fn find_token(&self, query: &$crate::token::Token) -> $crate::error::Result<Option<$crate::token::Token>> {
                let $this = self;
                $operations.find_token(query)
            }

            fn find_token_by_id(
                &self,
                id: &$crate::id::TokenId,
            ) -> $crate::error::Result<Option<$crate::token::Token>> {
                let $this = self;
                $operations.find_token_by_id(id)
            }

            fn get_tokens(&self) -> $crate::error::Result<Vec<$crate::token::Token>> {
                let $this = self;
                $operations.get_tokens()
            }

            fn delete_token(&self, id: &$crate::id::TokenId) -> $crate::error::Result<bool> {
                let $this = self;
                $operations.delete_token(id)
            }

            fn delete_tokens(&self) -> $crate::error::Result<usize> {
                let $this = self;
                $operations.delete_tokens()
            }

            fn find_stored(&self, query: &$crate::token::Token) -> $crate::error::Result<Option<$crate::token::Token>> {
                let $this = self;
                $operations.find_stored(query)
            }

            fn replace_token(&self, token: &$crate::token::Token) -> $crate::error::Result<$crate::token::Token> {
                let $this = self;
                $operations.replace_token(token)
            }

            fn delete_token_if(&self, id: &$crate::id::TokenId, revision: u64) -> $crate::error::Result<bool> {
                let $this = self;
                $operations.delete_token_if(id, revision)
            }

            fn lock_token(
                &self,
                id: &$crate::id::TokenId,
            ) -> $crate::error::Result<$crate::token_lock::LockAttempt> {
                let $this = self;
                $operations.lock_token(id)
            }

            #[cfg(feature = "import")]
            fn save_batch(
                &self,
                batch: &$crate::batch::Batch,
            ) -> Option<$crate::error::Result<Vec<$crate::batch::Saved>>> {
                let $this = self;
                $operations.save_batch(batch)
            }
        }
    };
}
pub(crate) use delegate_token_store;

delegate_token_store!(impl [S: TokenStore + ?Sized] for Arc<S>: |store| (**store));
