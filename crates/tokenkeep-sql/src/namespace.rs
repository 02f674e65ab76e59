//! The tokens of one namespace: where the operations of a store are made.

use std::{fmt, sync::Arc};

use tokenkeep::{LockAttempt, Prune, Result, Token, TokenId, TokenStore, matching};

use crate::{shared::Shared, writer::Subject};

/// The tokens of one namespace of an [`SqlStore`](crate::SqlStore): a [`TokenStore`] of its own within the store, as
/// [`tokenkeep::Namespace`] is for a keystore.
///
/// ```
/// # #[cfg(feature = "sqlite")] {
/// use tokenkeep::{RecoveryKey, Token, TokenStore};
/// use tokenkeep_sql::SqlStore;
///
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let directory = tempfile::tempdir()?;
/// # let url = format!("sqlite://{}", directory.path().join("tokens.db").display());
/// let store = SqlStore::create(&url, &RecoveryKey::generate()?.into())?;
/// let google = store.namespace("google")?;
/// google.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
/// assert_eq!((google.get_tokens()?.len(), store.get_tokens()?.len()), (1, 0));
/// assert_eq!(store.namespaces()?, ["google"]);
/// # Ok(()) }
/// # main().unwrap();
/// # }
/// ```
#[derive(Clone)]
pub struct SqlNamespace {
    store: Arc<Shared>,
    name: Arc<str>,
}

impl SqlNamespace {
    pub(crate) fn new(store: Arc<Shared>, name: Arc<str>) -> Self {
        Self { store, name }
    }

    /// The name; empty for the default namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Deletes tokens that are of no use any more, and returns how many. See
    /// [`Keystore::prune`](tokenkeep::Keystore::prune). Reads all tokens of the namespace.
    ///
    /// # Errors
    ///
    /// The [common errors](crate::SqlStore#errors).
    pub fn prune(&self, which: Prune) -> Result<usize> {
        self.store.write(Subject::Tokens, |writer| writer.prune(&self.name, which))
    }
}

impl TokenStore for SqlNamespace {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.store.write(Subject::Tokens, |writer| writer.save(&self.name, token))
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        self.store.read(&self.name, |rows| rows.find(|rows| matching::find(rows, query)))
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        self.store.read(&self.name, |rows| Ok(rows.by_id(id)?.map(|(_, token)| token)))
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        self.store.read(&self.name, |rows| Ok(rows.all()?.into_iter().map(|(_, token)| token).collect()))
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        self.store.write(Subject::Tokens, |writer| writer.delete(&self.name, id))
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.store.write(Subject::Tokens, |writer| writer.delete_all(&self.name))
    }

    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        self.store.read(&self.name, |rows| rows.find(|rows| matching::find_stored(rows, query)))
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        self.store.write(Subject::Tokens, |writer| writer.replace(&self.name, token))
    }

    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        self.store.write(Subject::Tokens, |writer| writer.delete_if(&self.name, id, revision))
    }

    fn lock_token(&self, id: &TokenId) -> Result<LockAttempt> {
        crate::lease::lock_token(&self.store, &self.name, id)
    }
}

impl fmt::Debug for SqlNamespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("SqlNamespace").field("database", &self.store.name).field("name", &self.name()).finish()
    }
}
