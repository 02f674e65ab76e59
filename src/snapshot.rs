//! The tokens at one moment.

use std::{fmt, sync::Arc};

use crate::{error::Result, id::TokenId, index::Index, matching, token::Token};

/// The tokens of a store as they were when [`Keystore::snapshot`](crate::Keystore::snapshot) was called. Reading them
/// calls neither the system nor a lock.
#[derive(Clone)]
pub struct Snapshot(Arc<Index>);

impl Snapshot {
    pub(crate) fn new(index: Arc<Index>) -> Self {
        Self(index)
    }

    /// See [`TokenStore::find_stored`](crate::TokenStore::find_stored).
    ///
    /// # Errors
    ///
    /// [`OtherClient`](crate::Error::OtherClient), [`Ambiguous`](crate::Error::Ambiguous).
    pub fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        matching::find_stored(&mut &*self.0, query)
    }

    /// See [`TokenStore::find_token_by_id`](crate::TokenStore::find_token_by_id).
    #[must_use]
    pub fn find_token_by_id(&self, id: &TokenId) -> Option<Token> {
        self.0.by_id(id)
    }

    /// The tokens, in the order first saved.
    pub fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.0.iter().map(|(_, token)| token)
    }
}

impl fmt::Debug for Snapshot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Snapshot").field("tokens", &self.tokens().count()).finish_non_exhaustive()
    }
}
