//! Rows with changes laid over them that are yet to be committed. The rows stay as they are until then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

#[cfg(feature = "import")]
use crate::batch::{Row, Target};
use crate::{
    changes::{Change, ChangeSet, Delta, Effect, Operation},
    error::{Error, Result, Unstorable},
    id::{Origin, TokenId},
    index::{Index, Place},
    matching::{self, Criterion, Prune, RowWrite, Rows},
    namespaces::Namespaces,
    token::Token,
};

/// The rows of a store with changes laid over them. One change or many: each sees those before it.
#[derive(Debug)]
pub(crate) struct Overlay<'a> {
    base: &'a Namespaces,
    /// The namespaces that a change has looked at.
    changed: BTreeMap<Box<str>, IndexOverlay>,
    next_id: u64,
}

/// The rows of one namespace with changes laid over them.
#[derive(Debug)]
pub(crate) struct NamespaceOverlay<'c> {
    overlay: &'c mut IndexOverlay,
    next_id: &'c mut u64,
}

/// The same without what namespaces share.
#[derive(Debug)]
struct IndexOverlay {
    base: Arc<Index>,
    delta: Delta,
}

impl<'a> Overlay<'a> {
    pub(crate) fn new(base: &'a Namespaces) -> Self {
        Self { base, changed: BTreeMap::new(), next_id: base.next_id() }
    }

    /// The rows without the changes.
    pub(crate) fn undone(&self) -> Self {
        Self::new(self.base)
    }

    /// The changes of a namespace.
    pub(crate) fn namespace(&mut self, name: &str) -> NamespaceOverlay<'_> {
        let overlay = self.changed.entry(name.into()).or_insert_with(|| IndexOverlay::new(self.base.index(name)));
        NamespaceOverlay { overlay, next_id: &mut self.next_id }
    }

    /// Makes a change. After an error it has changed nothing.
    pub(crate) fn make(&mut self, change: &Change) -> Result<Effect> {
        let Change { namespace, operation } = change;
        let mut rows = self.namespace(namespace);
        Ok(match operation {
            Operation::Save(token) => Effect::Saved(rows.save(token)?),
            Operation::Replace(token) => Effect::Replaced(rows.replace(token)?),
            Operation::Delete(id) => Effect::Deleted(rows.delete(id).into()),
            Operation::DeleteIf { id, revision } => Effect::Deleted(rows.delete_if(id, *revision)?.into()),
            Operation::DeleteAll => Effect::Deleted(rows.delete_all()),
            Operation::Prune(which) => Effect::Deleted(rows.prune(*which)),
            #[cfg(feature = "import")]
            Operation::Import(batch) => Effect::Imported(rows.all_or_nothing(|rows| batch.save_into(rows))?),
        })
    }

    /// The number of the next id that the store chooses.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id
    }

    /// The names of the namespaces that have rows with the changes, in the order of their bytes.
    pub(crate) fn names(&self) -> Vec<&str> {
        let has_rows = |name: &&str| self.changed.get(*name).is_none_or(|overlay| overlay.iter().next().is_some());
        self.known_names().into_iter().filter(has_rows).collect()
    }

    /// The names of all namespaces that have rows, with the changes or without.
    fn known_names(&self) -> BTreeSet<&str> {
        self.base.names().chain(self.changed.keys().map(|name| &**name)).collect()
    }

    /// The rows with the changes, each with the name of its namespace, in the order of the names.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.known_names().into_iter().flat_map(move |name| self.rows_of(name).map(move |token| (name, token)))
    }

    fn rows_of(&self, name: &str) -> Box<dyn Iterator<Item = &Token> + '_> {
        match (self.changed.get(name), self.base.get(name)) {
            (Some(overlay), _) => Box::new(overlay.iter()),
            (None, Some(index)) => Box::new(index.iter().map(|(_, token)| token)),
            (None, None) => Box::new(std::iter::empty()),
        }
    }

    /// What the rows with the changes take in a payload, in bytes.
    pub(crate) fn records_len(&self) -> u64 {
        let kept = self.base.iter().filter(|(name, _)| !self.changed.contains_key(*name));
        let kept = kept.map(|(_, index)| index.records_len());
        kept.chain(self.changed.values().map(IndexOverlay::records_len)).fold(0, u64::saturating_add)
    }

    /// The rows that were put, each with the name of its namespace, in the order of the names and of their places.
    /// `None` if a row is gone, too.
    pub(crate) fn puts(&self) -> Option<Vec<(&str, &Token)>> {
        let mut puts = Vec::new();
        for (name, IndexOverlay { base: _, delta }) in &self.changed {
            if !delta.only_puts() {
                return None;
            }
            puts.extend(delta.put.iter().map(|(_, token)| (&**name, token)));
        }
        Some(puts)
    }

    /// What the rows that were put take in a payload, in bytes.
    pub(crate) fn puts_len(&self) -> u64 {
        self.changed.values().map(|overlay| overlay.delta.put.records_len()).fold(0, u64::saturating_add)
    }

    /// Whether there is nothing to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.values().all(IndexOverlay::is_unchanged)
    }

    /// Takes over changes that were made on the same rows, in place of its own.
    pub(crate) fn adopt(&mut self, changes: ChangeSet) {
        let ChangeSet { deltas, next_id } = changes;
        let overlay =
            |(name, delta): (Box<str>, _)| (name.clone(), IndexOverlay { base: self.base.index(&name), delta });
        self.changed = deltas.into_iter().map(overlay).collect();
        self.next_id = next_id;
    }

    pub(crate) fn into_changes(self) -> ChangeSet {
        let changed = self.changed.into_iter().filter(|(_, overlay)| !overlay.is_unchanged());
        ChangeSet { deltas: changed.map(|(name, overlay)| (name, overlay.delta)).collect(), next_id: self.next_id }
    }
}

impl NamespaceOverlay<'_> {
    /// Makes several changes; after an error none of them is made.
    #[cfg(feature = "import")]
    pub(crate) fn all_or_nothing<R>(&mut self, make: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let before = (self.overlay.delta.clone(), *self.next_id);
        let made = make(self);
        if made.is_err() {
            // Held by `rows_are_undone_if_a_later_save_is_refused`.
            (self.overlay.delta, *self.next_id) = before;
        }
        made
    }

    /// Merges the token into the row it means, or adds it.
    pub(crate) fn save(&mut self, token: &Token) -> Result<TokenId> {
        let next_id = *self.next_id;
        let choose = || match next_id {
            ..=TokenId::LAST => Ok(TokenId::chosen(next_id)),
            _ => Err(Error::Unstorable { why: Unstorable::NoIdLeft }),
        };
        let save = matching::save(self, token, SystemTime::now(), choose)?;
        let id = save.token.id().cloned().ok_or(Error::internal("a saved token has no id"))?;
        if let Some(number) = id.number() {
            *self.next_id = next_id.max(number.saturating_add(1));
        }
        self.overlay.put(save);
        Ok(id)
    }

    /// Puts the token over the row of its id.
    pub(crate) fn replace(&mut self, token: &Token) -> Result<Token> {
        let save = matching::replace(self, token, SystemTime::now())?;
        let row = save.token.clone();
        self.overlay.put(save);
        Ok(row)
    }

    /// Takes the row of that id away; `false` if there is none.
    pub(crate) fn delete(&mut self, id: &TokenId) -> bool {
        let place = self.overlay.places(Criterion::Id(id)).first().copied();
        place.inspect(|place| self.overlay.remove(*place)).is_some()
    }

    /// Takes the row of that id away if it has that revision; `false` if there is none of that id.
    pub(crate) fn delete_if(&mut self, id: &TokenId, revision: u64) -> Result<bool> {
        let place = matching::delete_if(self, id, revision)?;
        Ok(place.inspect(|place| self.overlay.remove(*place)).is_some())
    }

    /// Takes all rows away; returns how many there were.
    pub(crate) fn delete_all(&mut self) -> usize {
        let count = self.overlay.iter().count();
        if count > 0 {
            self.overlay.delta.cleared = true;
            self.overlay.delta.put = self.overlay.base.emptied();
        }
        count
    }

    /// Takes the rows away that are of no use any more; returns how many.
    pub(crate) fn prune(&mut self, which: Prune) -> usize {
        let now = SystemTime::now();
        let pruned = self.iter().filter(|token| which.takes(token, now));
        let pruned: Vec<_> = pruned.filter_map(|token| token.id().cloned()).collect();
        pruned.iter().filter(|id| self.delete(id)).count()
    }

    /// The row of that id.
    pub(crate) fn by_id(&self, id: &TokenId) -> Option<Token> {
        let place = self.overlay.places(Criterion::Id(id)).first().copied()?;
        self.overlay.row(place).cloned()
    }

    /// The rows with the changes, in the order first saved.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Token> {
        self.overlay.iter()
    }
}

impl IndexOverlay {
    fn new(base: Arc<Index>) -> Self {
        let delta = Delta { cleared: false, touched: BTreeSet::new(), put: base.emptied() };
        Self { base, delta }
    }

    fn iter(&self) -> impl Iterator<Item = &Token> {
        let mut kept = self.base.iter().filter(|(place, _)| self.keeps(*place)).peekable();
        let mut put = self.delta.put.iter().peekable();
        std::iter::from_fn(move || match (kept.peek(), put.peek()) {
            (Some((kept_place, _)), Some((put_place, _))) if put_place < kept_place => put.next(),
            (None, _) => put.next(),
            _ => kept.next(),
        })
        .map(|(_, token)| token)
    }

    fn records_len(&self) -> u64 {
        let Delta { cleared, touched, put } = &self.delta;
        if *cleared {
            return put.records_len();
        }
        let touched_len = self.base.len_of(touched.iter().filter_map(|place| self.base.get(*place)));
        self.base.records_len().saturating_sub(touched_len).saturating_add(put.records_len())
    }

    fn is_unchanged(&self) -> bool {
        !self.delta.cleared && self.delta.touched.is_empty()
    }

    fn row(&self, place: Place) -> Option<&Token> {
        self.delta.put.get(place).or_else(|| self.base.get(place))
    }

    fn put(&mut self, save: RowWrite<Place>) {
        let place = save.place.unwrap_or_else(|| self.base.next_place().max(self.delta.put.next_place()));
        self.delta.touched.insert(place);
        self.delta.put.put(place, save.token);
    }

    fn remove(&mut self, place: Place) {
        self.delta.touched.insert(place);
        self.delta.put.remove(place);
    }

    fn keeps(&self, place: Place) -> bool {
        !self.delta.cleared && !self.delta.touched.contains(&place)
    }

    /// The places of the rows that the criterion matches, the earliest first.
    fn places(&self, criterion: Criterion<'_>) -> Vec<Place> {
        let kept = self.base.places(criterion).filter(|place| self.keeps(*place));
        let mut places: Vec<_> = kept.chain(self.delta.put.places(criterion)).collect();
        places.sort_unstable();
        places
    }
}

impl Rows for NamespaceOverlay<'_> {
    type Place = Place;

    fn origin(&self) -> Origin {
        self.overlay.base.origin()
    }

    fn rows(&mut self, criterion: Criterion<'_>) -> Result<Vec<(Place, Token)>> {
        let places = self.overlay.places(criterion).into_iter();
        Ok(places.filter_map(|place| Some((place, self.overlay.row(place)?.clone()))).collect())
    }
}

#[cfg(feature = "import")]
impl Target for NamespaceOverlay<'_> {
    fn find_stored(&mut self, query: &Token) -> Result<Option<Token>> {
        matching::find_stored(self, query)
    }

    fn save(&mut self, row: &Row, _before: Option<&Token>) -> Result<TokenId> {
        NamespaceOverlay::save(self, &row.token)
    }
}

#[cfg(test)]
mod tests;
