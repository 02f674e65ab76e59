//! Several operations that are committed as one.

use std::fmt;

use tokenkeep::{Prune, Result, Token, TokenId, matching, vault::IndexedValue};

use crate::{
    inside,
    shared::Shared,
    writer::{Subject, Writer},
};

/// Several operations that are committed as one: what the function that is given to
/// [`SqlStore::transaction`](crate::SqlStore::transaction) works with.
///
/// Each operation sees the changes of those before it, and follows the rules of [`TokenStore`](tokenkeep::TokenStore).
/// An operation that the rules refuse changes nothing, and the function may go on after it. After an error of the
/// database the transaction cannot be committed any more.
///
/// Do not use a token that was read in a transaction outside of it. If the transaction is not committed, a later save
/// may give the stored token the same revision.
pub struct SqlTransaction<'t, 's> {
    writer: &'t mut Writer<'s>,
    namespace: Box<str>,
}

impl Shared {
    pub(crate) fn transaction<R>(
        &self,
        operations: impl FnOnce(&mut SqlTransaction<'_, '_>) -> Result<R>,
    ) -> Result<R> {
        // Dropped after the locks, also if the commit fails: the value may use the store when it is dropped.
        let made;
        let deadline = self.deadline();
        let (_turn, mut writer) = self.begin(Subject::Tokens, deadline)?;
        {
            let _inside = inside::enter(self);
            made = operations(&mut SqlTransaction { writer: &mut writer, namespace: Box::default() })?;
        }
        writer.commit()?;
        Ok(made)
    }
}

impl<'s> SqlTransaction<'_, 's> {
    /// Opens a namespace in the same transaction. `name` is a full name: it is not relative to the namespace of this
    /// value.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](tokenkeep::Error::TooLarge) for a name of more than 256 bytes.
    pub fn namespace(&mut self, name: &str) -> Result<SqlTransaction<'_, 's>> {
        self.writer.vault.blind_index(name, IndexedValue::Namespace)?;
        Ok(SqlTransaction { writer: self.writer, namespace: name.into() })
    }

    /// The names of the namespaces that have tokens, other than the default one, in the order of their bytes.
    ///
    /// # Errors
    ///
    /// The [common errors](crate::SqlStore#errors).
    pub fn namespaces(&mut self) -> Result<Vec<String>> {
        self.writer.rows("").namespaces()
    }

    /// See [`TokenStore::save_token`](tokenkeep::TokenStore::save_token).
    ///
    /// # Errors
    ///
    /// The errors of that operation.
    pub fn save_token(&mut self, token: &Token) -> Result<TokenId> {
        self.writer.save(&self.namespace, token)
    }

    /// See [`TokenStore::find_token`](tokenkeep::TokenStore::find_token).
    ///
    /// # Errors
    ///
    /// The errors of that operation.
    pub fn find_token(&mut self, query: &Token) -> Result<Option<Token>> {
        matching::find(&mut self.writer.rows(&self.namespace), query)
    }

    /// See [`TokenStore::find_stored`](tokenkeep::TokenStore::find_stored).
    ///
    /// # Errors
    ///
    /// The errors of that operation.
    pub fn find_stored(&mut self, query: &Token) -> Result<Option<Token>> {
        matching::find_stored(&mut self.writer.rows(&self.namespace), query)
    }

    /// See [`TokenStore::find_token_by_id`](tokenkeep::TokenStore::find_token_by_id).
    ///
    /// # Errors
    ///
    /// The errors of that operation.
    pub fn find_token_by_id(&mut self, id: &TokenId) -> Result<Option<Token>> {
        Ok(self.writer.rows(&self.namespace).by_id(id)?.map(|(_, token)| token))
    }

    /// See [`TokenStore::get_tokens`](tokenkeep::TokenStore::get_tokens).
    ///
    /// # Errors
    ///
    /// The errors of that operation.
    pub fn get_tokens(&mut self) -> Result<Vec<Token>> {
        Ok(self.writer.rows(&self.namespace).all()?.into_iter().map(|(_, token)| token).collect())
    }

    /// See [`TokenStore::delete_token`](tokenkeep::TokenStore::delete_token).
    ///
    /// # Errors
    ///
    /// The errors of that operation.
    pub fn delete_token(&mut self, id: &TokenId) -> Result<bool> {
        self.writer.delete(&self.namespace, id)
    }

    /// See [`TokenStore::delete_tokens`](tokenkeep::TokenStore::delete_tokens).
    ///
    /// # Errors
    ///
    /// The errors of that operation.
    pub fn delete_tokens(&mut self) -> Result<usize> {
        self.writer.delete_all(&self.namespace)
    }

    /// See [`SqlNamespace::prune`](crate::SqlNamespace::prune).
    ///
    /// # Errors
    ///
    /// The errors of that operation.
    pub fn prune(&mut self, which: Prune) -> Result<usize> {
        self.writer.prune(&self.namespace, which)
    }

    /// See [`TokenStore::replace_token`](tokenkeep::TokenStore::replace_token).
    ///
    /// # Errors
    ///
    /// The errors of that operation.
    pub fn replace_token(&mut self, token: &Token) -> Result<Token> {
        self.writer.replace(&self.namespace, token)
    }

    /// See [`TokenStore::delete_token_if`](tokenkeep::TokenStore::delete_token_if).
    ///
    /// # Errors
    ///
    /// The errors of that operation.
    pub fn delete_token_if(&mut self, id: &TokenId, revision: u64) -> Result<bool> {
        self.writer.delete_if(&self.namespace, id, revision)
    }
}

impl fmt::Debug for SqlTransaction<'_, '_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlTransaction").field("namespace", &self.namespace).finish_non_exhaustive()
    }
}
