//! The contract of the six operations.

use crate::{error::Result, id::TokenId, token::Token};

/// Where an application keeps its tokens: the six operations of the Zoho CRM SDK's `TokenStore`, made whole.
///
/// [`matching`](crate::matching) has the rules of which stored token is meant, and is how an application's own store
/// keeps them; `testing::conformance` (feature `testing`) checks that it does. The trait is object safe: libraries take
/// an `Arc<dyn TokenStore>`.
///
/// Every operation blocks: on the disk, on a lock, on whatever a store of your own waits for. Every operation is all or
/// nothing; the errors are the store's, for [`Keystore`](crate::Keystore) those of its methods of the same names.
///
/// ```
/// use std::sync::Arc;
/// use tokenkeep::{MemoryStore, Result, Token, TokenStore};
///
/// fn sign_out(store: &dyn TokenStore, user: &str) -> Result<bool> {
///     let query = Token::builder().user_name(user).build();
///     match store.find_stored(&query)? {
///         Some(token) => store.delete_token(token.id().expect("a stored token has an id")),
///         None => Ok(false),
///     }
/// }
///
/// let store: Arc<dyn TokenStore> = Arc::new(MemoryStore::new());
/// store.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
/// assert!(sign_out(&*store, "ada")?);
/// assert!(store.get_tokens()?.is_empty());
/// # Ok::<(), tokenkeep::Error>(())
/// ```
pub trait TokenStore: Send + Sync {
    /// Merges the token into the stored one it means, or adds it; returns the id of the row. What the token leaves
    /// unset stays as stored: the refresh token that a refresh response leaves out, but also the expiry of the access
    /// token before, so set both together.
    ///
    /// # Errors
    ///
    /// [`Unstorable`](crate::Error::Unstorable) for a new token with neither grant, refresh nor access token, and for a
    /// user name that another row has; [`TooLarge`](crate::Error::TooLarge) over the limits of a token.
    fn save_token(&self, token: &Token) -> Result<TokenId>;

    /// The stored token that the query means, with the query's own set fields laid over it, or `None`.
    ///
    /// The vendor's SDK relies on the laying over. Code of your own most likely wants
    /// [`find_stored`](Self::find_stored).
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn find_token(&self, query: &Token) -> Result<Option<Token>>;

    /// The stored token of that id, or `None`.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>>;

    /// All stored tokens, in the order first saved.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn get_tokens(&self) -> Result<Vec<Token>>;

    /// Deletes the stored token of that id; `false` if there was none.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn delete_token(&self, id: &TokenId) -> Result<bool>;

    /// Deletes all tokens; returns how many there were.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn delete_tokens(&self) -> Result<usize>;

    /// The stored token that the query means, as it is stored, or `None`.
    ///
    /// This one asks twice, for the token and for its row; a store that can answer at once does.
    ///
    /// # Errors
    ///
    /// Those of the store.
    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        match self.find_token(query)?.as_ref().and_then(Token::id) {
            Some(id) => self.find_token_by_id(id),
            None => Ok(None),
        }
    }
}
