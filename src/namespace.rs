//! The tokens of one namespace of a store: where the operations of `Keystore` and `MemoryStore` are made.

use std::{fmt, sync::Arc, time::SystemTime};

#[cfg(feature = "import")]
use crate::batch::{Batch, Saved};
use crate::{
    changes::{ChangeSet, Changes},
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

    /// Deletes tokens that are of no use any more, and returns how many. See [`Keystore::prune`](crate::Keystore::prune).
    ///
    /// # Errors
    ///
    /// Those of a delete in the store.
    pub fn prune(&self, which: Prune) -> Result<usize> {
        let prune = move |changes: &mut Changes<'_>| {
            let now = SystemTime::now();
            let pruned = changes.iter().filter(|token| which.takes(token, now));
            let pruned: Vec<_> = pruned.filter_map(|token| token.id().cloned()).collect();
            Ok(pruned.iter().filter(|id| changes.delete(id)).count())
        };
        self.write(prune, |_| None)
    }

    fn read<R>(&self, look: impl FnOnce(&Index) -> R) -> Result<R> {
        match &self.store {
            Backing::File(engine) => engine.read(self.name(), look),
            Backing::Memory(rows) => rows.read(|rows| look(&rows.index(self.name()))),
        }
    }

    /// Makes a change, perhaps twice, and commits it. `saved` tells the id of a saved token.
    fn write<R: Send + 'static>(
        &self,
        mut change: impl FnMut(&mut Changes<'_>) -> Result<R> + Send + 'static,
        saved: impl FnOnce(&R) -> Option<TokenId>,
    ) -> Result<R> {
        match &self.store {
            Backing::File(engine) => {
                let name = self.name.clone();
                let write =
                    move |set: &mut ChangeSet<'_>| change(&mut set.namespace(name.as_deref().unwrap_or_default()));
                engine.write(write)?.confirmed(saved)
            }
            Backing::Memory(rows) => rows.write(|set| change(&mut set.namespace(self.name()))),
        }
    }
}

impl TokenStore for Namespace {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        let token = token.clone();
        self.write(move |changes| changes.save(&token), |id| Some(id.clone()))
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
        let id = id.clone();
        self.write(move |changes| Ok(changes.delete(&id)), |_| None)
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.write(|changes| Ok(changes.delete_all()), |_| None)
    }

    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        self.read(|mut index| matching::find_stored(&mut index, query))?
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        let token = token.clone();
        self.write(move |changes| changes.replace(&token), |row| row.id().cloned())
    }

    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        let id = id.clone();
        self.write(move |changes| changes.delete_if(&id, revision), |_| None)
    }

    fn lock_token(&self, id: &TokenId) -> Result<LockAttempt> {
        match &self.store {
            Backing::File(engine) => engine.lock_token(self.name(), id),
            Backing::Memory(rows) => rows.lock_token(self.name(), id),
        }
    }

    #[cfg(feature = "import")]
    fn save_batch(&self, batch: &Batch) -> Option<Result<Vec<Saved>>> {
        let batch = batch.clone();
        let save = move |changes: &mut Changes<'_>| changes.all_or_nothing(|changes| batch.save_into(changes));
        Some(self.write(save, |_| None))
    }
}

impl fmt::Debug for Namespace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Namespace").field("name", &self.name()).finish_non_exhaustive()
    }
}
