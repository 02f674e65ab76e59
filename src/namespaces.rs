//! The rows of a store, by namespace.

use std::{
    collections::{BTreeMap, HashSet},
    sync::Arc,
};

use crate::{
    codec::{ChangedRows, MAX_NAMESPACE_LEN},
    error::{Error, FileFlaw, Part, Result},
    format::length,
    id::{Origin, TokenId},
    index::Index,
    matching::Criterion,
    token::Token,
};

/// The rows of a store. A namespace without rows is one that there is not.
#[derive(Debug, Clone)]
pub(crate) struct Namespaces {
    store: Origin,
    /// Shared with the snapshots that were taken of them, and copied if they have to change while there are any.
    indexes: BTreeMap<Box<str>, Arc<Index>>,
    /// The number of the next id that the store chooses.
    next_id: u64,
}

impl Namespaces {
    pub(crate) fn new(store: Origin, next_id: u64, tokens: BTreeMap<Box<str>, Vec<Token>>) -> Self {
        let index = |(name, tokens): (Box<str>, _)| (name.clone(), Arc::new(Index::new(store, &name, tokens)));
        Self { store, indexes: tokens.into_iter().map(index).collect(), next_id }
    }

    pub(crate) fn empty(store: Origin) -> Self {
        Self { store, indexes: BTreeMap::new(), next_id: TokenId::FIRST }
    }

    /// The rows of a namespace.
    pub(crate) fn index(&self, namespace: &str) -> Arc<Index> {
        self.indexes.get(namespace).cloned().unwrap_or_else(|| Arc::new(Index::new(self.store, namespace, [])))
    }

    pub(crate) fn get(&self, namespace: &str) -> Option<&Index> {
        self.indexes.get(namespace).map(|index| &**index)
    }

    /// The names of the namespaces that have rows, in the order of their bytes.
    pub(crate) fn names(&self) -> impl Iterator<Item = &str> {
        self.indexes.keys().map(|name| &**name)
    }

    /// The names that are listed to callers: all but that of the default namespace, which is empty.
    pub(crate) fn listed_names(&self) -> Vec<String> {
        self.names().filter(|name| !name.is_empty()).map(str::to_owned).collect()
    }

    /// Each namespace that has rows.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Index)> {
        self.indexes.iter().map(|(name, index)| (&**name, &**index))
    }

    pub(crate) fn next_id(&self) -> u64 {
        self.next_id
    }

    pub(crate) fn set_next_id(&mut self, next_id: u64) {
        self.next_id = next_id;
    }

    /// Takes all rows of a namespace away.
    pub(crate) fn clear(&mut self, namespace: &str) {
        self.indexes.remove(namespace);
    }

    /// Puts the rows of a record of the journal. A record that breaks a rule of rows beside each other is refused, and
    /// changes nothing.
    pub(crate) fn put_all(&mut self, changed: ChangedRows) -> Result<(), FileFlaw> {
        let ChangedRows { next_id, rows } = changed;
        if !(self.next_id..=TokenId::LAST.saturating_add(1)).contains(&next_id) {
            return Err(FileFlaw::malformed("a record of its journal sets the next id back"));
        }
        for (name, tokens) in &rows {
            check_puts(&self.index(name), tokens, next_id)?;
        }
        self.next_id = next_id;
        for (name, tokens) in rows {
            self.change(name, |index| {
                for token in tokens {
                    let place = token.id().and_then(|id| index.places(Criterion::Id(id)).next());
                    index.put(place.unwrap_or_else(|| index.next_place()), token);
                }
            });
        }
        Ok(())
    }

    /// Changes the rows of a namespace.
    pub(crate) fn change(&mut self, namespace: Box<str>, change: impl FnOnce(&mut Index)) {
        let empty = || Arc::new(Index::new(self.store, &namespace, []));
        let index = self.indexes.entry(namespace.clone()).or_insert_with(empty);
        change(Arc::make_mut(index));
        // Held by `namespaces_never_meet`, `namespaces_are_listed_while_they_have_tokens`.
        if index.is_empty() {
            self.indexes.remove(&namespace);
        }
    }
}

/// What rows must be that are put beside the rows of a namespace.
fn check_puts(index: &Index, tokens: &[Token], next_id: u64) -> Result<(), FileFlaw> {
    let (mut ids, mut users) = (HashSet::with_capacity(tokens.len()), HashSet::with_capacity(tokens.len()));
    for token in tokens {
        let Some(id) = token.id().filter(|id| ids.insert(*id)) else {
            return Err(FileFlaw::malformed("a record of its journal has an id twice"));
        };
        if id.number().is_some_and(|number| number >= next_id) {
            return Err(FileFlaw::malformed("a token has an id that is yet to be chosen"));
        }
        if token.user_name().is_some_and(|name| !users.insert((name, token.client_id()))) {
            return Err(FileFlaw::malformed("two tokens have one user name and client id"));
        }
        let is_later = |before: &Token| before.revision() < token.revision() || token.revision() == Some(u64::MAX);
        let before = index.places(Criterion::Id(id)).next().and_then(|place| index.get(place));
        if before.is_some_and(|before| !is_later(before)) {
            return Err(FileFlaw::malformed("a record of its journal sets a revision back"));
        }
    }
    // A row that is put too may have given its user name up.
    let is_taken = |token: &&Token| {
        let of_user = token.user_name().into_iter().flat_map(|name| index.places(Criterion::UserName(name)));
        let mut others = of_user.filter_map(|place| index.get(place));
        others.any(|row| row.client_id() == token.client_id() && row.id().is_some_and(|id| !ids.contains(id)))
    };
    match tokens.iter().find(is_taken) {
        Some(_) => Err(FileFlaw::malformed("two tokens have one user name and client id")),
        None => Ok(()),
    }
}

/// Whether a namespace may have that name.
pub(crate) fn check_name(namespace: &str) -> Result<()> {
    let (size, limit) = (length(namespace.len()), length(MAX_NAMESPACE_LEN));
    // Held by `name_of_a_namespace_has_at_most_256_bytes`, `only_stored_tokens_within_the_limits_are_sealed`.
    if size > limit { Err(Error::TooLarge { part: Part::Namespace, size, limit }) } else { Ok(()) }
}
