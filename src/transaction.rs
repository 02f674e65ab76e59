//! Several operations that are committed as one.

use std::fmt;

use crate::{
    error::Result,
    id::TokenId,
    matching::{self, Prune},
    namespaces::check_name,
    overlay::{NamespaceOverlay, Overlay},
    token::Token,
};

/// Several operations that are committed as one: what the function that is given to
/// [`Keystore::transaction`](crate::Keystore::transaction) works with.
///
/// Each operation sees the changes of those before it, follows the rules of
/// [`TokenStore`](crate::TokenStore), and has its errors. An operation that ends in an error changes nothing; the
/// function may go on after it. If the function itself returns an error, or panics, nothing is committed.
///
/// Do not use a token that was read in a transaction outside of it. If the transaction is not committed, a later save
/// may give the stored token the same revision. The store then cannot detect a conflict.
pub struct Transaction<'t, 's> {
    overlay: &'t mut Overlay<'s>,
    namespace: Box<str>,
}

impl<'t, 's> Transaction<'t, 's> {
    pub(crate) fn new(overlay: &'t mut Overlay<'s>) -> Self {
        Self { overlay, namespace: Box::default() }
    }

    /// Opens a namespace in the same transaction. `name` is a full name: it is not relative to the namespace of this
    /// value.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](crate::Error::TooLarge) for a name of more than 256 bytes.
    pub fn namespace(&mut self, name: &str) -> Result<Transaction<'_, 's>> {
        check_name(name)?;
        Ok(Transaction { overlay: self.overlay, namespace: name.into() })
    }

    /// The names of the namespaces that have tokens, other than the default one, in the order of their bytes.
    #[must_use]
    pub fn namespaces(&self) -> Vec<String> {
        self.overlay.names().into_iter().filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    fn rows(&mut self) -> NamespaceOverlay<'_> {
        self.overlay.namespace(&self.namespace)
    }

    /// See [`TokenStore::save_token`](crate::TokenStore::save_token).
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::Error::Conflict), [`NoSuchToken`](crate::Error::NoSuchToken),
    /// [`OtherClient`](crate::Error::OtherClient), [`Ambiguous`](crate::Error::Ambiguous),
    /// [`Unstorable`](crate::Error::Unstorable), [`TooLarge`](crate::Error::TooLarge).
    pub fn save_token(&mut self, token: &Token) -> Result<TokenId> {
        self.rows().save(token)
    }

    /// See [`TokenStore::find_token`](crate::TokenStore::find_token).
    ///
    /// # Errors
    ///
    /// [`OtherClient`](crate::Error::OtherClient), [`Ambiguous`](crate::Error::Ambiguous).
    pub fn find_token(&mut self, query: &Token) -> Result<Option<Token>> {
        matching::find(&mut self.rows(), query)
    }

    /// See [`TokenStore::find_stored`](crate::TokenStore::find_stored).
    ///
    /// # Errors
    ///
    /// [`OtherClient`](crate::Error::OtherClient), [`Ambiguous`](crate::Error::Ambiguous).
    pub fn find_stored(&mut self, query: &Token) -> Result<Option<Token>> {
        matching::find_stored(&mut self.rows(), query)
    }

    /// See [`TokenStore::find_token_by_id`](crate::TokenStore::find_token_by_id).
    #[must_use]
    pub fn find_token_by_id(&mut self, id: &TokenId) -> Option<Token> {
        self.rows().by_id(id)
    }

    /// See [`TokenStore::get_tokens`](crate::TokenStore::get_tokens).
    #[must_use]
    pub fn get_tokens(&mut self) -> Vec<Token> {
        self.rows().iter().cloned().collect()
    }

    /// See [`TokenStore::delete_token`](crate::TokenStore::delete_token).
    pub fn delete_token(&mut self, id: &TokenId) -> bool {
        self.rows().delete(id)
    }

    /// See [`TokenStore::delete_tokens`](crate::TokenStore::delete_tokens).
    pub fn delete_tokens(&mut self) -> usize {
        self.rows().delete_all()
    }

    /// See [`Namespace::prune`](crate::Namespace::prune).
    pub fn prune(&mut self, which: Prune) -> usize {
        self.rows().prune(which)
    }

    /// See [`TokenStore::replace_token`](crate::TokenStore::replace_token).
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::Error::Conflict), [`NoSuchToken`](crate::Error::NoSuchToken),
    /// [`Unstorable`](crate::Error::Unstorable), [`TooLarge`](crate::Error::TooLarge).
    pub fn replace_token(&mut self, token: &Token) -> Result<Token> {
        self.rows().replace(token)
    }

    /// See [`TokenStore::delete_token_if`](crate::TokenStore::delete_token_if).
    ///
    /// # Errors
    ///
    /// [`Conflict`](crate::Error::Conflict).
    pub fn delete_token_if(&mut self, id: &TokenId, revision: u64) -> Result<bool> {
        self.rows().delete_if(id, revision)
    }
}

impl fmt::Debug for Transaction<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Transaction").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
