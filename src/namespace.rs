//! The tokens of one namespace of a store: where the operations of `Keystore` and `MemoryStore` are made.

use std::{fmt, sync::Arc};

#[cfg(feature = "import")]
use crate::batch::{Batch, Saved};
use crate::{
    changes::{Change, Effect, Operation},
    engine::Engine,
    error::Result,
    id::TokenId,
    index::Index,
    matching::{self, Prune},
    memory_rows::MemoryRows,
    snapshot::Snapshot,
    store::TokenStore,
    token::Token,
    token_lock::LockAttempt,
};

/// The tokens of one namespace of a store: a [`TokenStore`] of its own within the store.
///
/// [`Keystore::namespace`](crate::Keystore::namespace) and [`MemoryStore::namespace`](crate::MemoryStore::namespace)
/// make it. It owns a handle of the store, and is cheap to clone. Every operation applies inside of the namespace:
/// finding, listing, deleting all tokens. Two namespaces never meet; they share only the file, its key slots, and the
/// numbers from which the store chooses ids. A namespace exists while it has tokens.
///
/// Its operations block as those of the store do.
///
/// ```
/// use tokenkeep::{MemoryStore, Token, TokenStore};
///
/// let store = MemoryStore::new();
/// let google = store.namespace("google")?;
/// google.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
/// assert_eq!(google.get_tokens()?.len(), 1);
/// assert_eq!(store.get_tokens()?.len(), 0);
/// assert_eq!(store.namespaces()?, ["google"]);
/// # Ok::<(), tokenkeep::Error>(())
/// ```
#[derive(Clone)]
pub struct Namespace {
    store: Backing,
    /// A store has none for its own operations, which are those of the default namespace.
    name: Option<Arc<str>>,
}

#[derive(Clone)]
enum Backing {
    File(Arc<Engine>),
    Memory(Arc<MemoryRows>),
}

impl Namespace {
    pub(crate) fn of_file(engine: &Arc<Engine>, name: Option<Arc<str>>) -> Self {
        Self { store: Backing::File(engine.clone()), name }
    }

    pub(crate) fn of_memory(rows: &Arc<MemoryRows>, name: Option<Arc<str>>) -> Self {
        Self { store: Backing::Memory(rows.clone()), name }
    }

    /// The name; empty for the default namespace.
    #[must_use]
    pub fn name(&self) -> &str {
        self.name.as_deref().unwrap_or_default()
    }

    /// The tokens of the namespace at this moment. See [`Keystore::snapshot`](crate::Keystore::snapshot).
    ///
    /// # Errors
    ///
    /// Those of a find in the store.
    pub fn snapshot(&self) -> Result<Snapshot> {
        match &self.store {
            Backing::File(engine) => engine.snapshot(self.name()),
            Backing::Memory(rows) => rows.read(|rows| rows.index(self.name())),
        }
        .map(Snapshot::new)
    }

    /// Deletes tokens that are of no use any more, and returns how many. See
    /// [`Keystore::prune`](crate::Keystore::prune).
    ///
    /// # Errors
    ///
    /// Those of a delete in the store.
    pub fn prune(&self, which: Prune) -> Result<usize> {
        self.change(Operation::Prune(which))?.deleted()
    }

    fn read<R>(&self, look: impl FnOnce(&Index) -> R) -> Result<R> {
        match &self.store {
            Backing::File(engine) => engine.read(self.name(), look),
            Backing::Memory(rows) => rows.read(|rows| look(&rows.index(self.name()))),
        }
    }

    fn change(&self, operation: Operation) -> Result<Effect> {
        let change = Change { namespace: self.name.clone().unwrap_or_default(), operation };
        match &self.store {
            Backing::File(engine) => engine.commit(change),
            Backing::Memory(rows) => rows.write(|changes| changes.make(&change)),
        }
    }
}

impl TokenStore for Namespace {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.change(Operation::Save(token.clone()))?.saved()
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        self.read(|mut index| matching::find(&mut index, query))?
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        self.read(|index| index.by_id(id))
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        self.read(Index::tokens)
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        Ok(self.change(Operation::Delete(id.clone()))?.deleted()? > 0)
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.change(Operation::DeleteAll)?.deleted()
    }

    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        self.read(|mut index| matching::find_stored(&mut index, query))?
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        self.change(Operation::Replace(token.clone()))?.replaced()
    }

    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        Ok(self.change(Operation::DeleteIf { id: id.clone(), revision })?.deleted()? > 0)
    }

    fn lock_token(&self, id: &TokenId) -> Result<LockAttempt> {
        match &self.store {
            Backing::File(engine) => engine.lock_token(self.name(), id),
            Backing::Memory(rows) => rows.lock_token(self.name(), id),
        }
    }

    #[cfg(feature = "import")]
    fn save_batch(&self, batch: &Batch) -> Option<Result<Vec<Saved>>> {
        Some(self.change(Operation::Import(batch.clone())).and_then(Effect::imported))
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("name", &self.name()).finish_non_exhaustive()
    }
}
