//! Changes that are yet to be committed, over rows that stay as they are until then.

use std::{
    collections::{BTreeMap, BTreeSet},
    sync::Arc,
    time::SystemTime,
};

#[cfg(feature = "import")]
use crate::batch::{Batch, Row, Saved, Target};
use crate::{
    error::{Error, Result, Unstorable},
    id::{Origin, TokenId},
    index::{Index, Place},
    matching::{self, Criterion, Prune, RowWrite, Rows},
    namespaces::Namespaces,
    token::Token,
};

/// A change of the rows of one namespace, as a value: it can wait for its commit, and can be made again.
pub(crate) struct Change {
    pub(crate) namespace: Arc<str>,
    pub(crate) operation: Operation,
}

/// What a change does.
pub(crate) enum Operation {
    Save(Token),
    Replace(Token),
    Delete(TokenId),
    DeleteIf {
        id: TokenId,
        revision: u64,
    },
    DeleteAll,
    Prune(Prune),
    /// All rows of the batch or none.
    #[cfg(feature = "import")]
    Import(Batch),
}

/// What a change did.
pub(crate) enum Effect {
    Saved(TokenId),
    /// With the row as it is stored now.
    Replaced(Token),
    /// With the number of rows.
    Deleted(usize),
    #[cfg(feature = "import")]
    Imported(Vec<Saved>),
}

/// Changes of a store's rows. One change or many: each sees those before it.
#[derive(Debug)]
pub(crate) struct ChangeSet<'a> {
    base: &'a Namespaces,
    /// The namespaces that a change has looked at.
    changed: BTreeMap<Box<str>, Overlay>,
    next_id: u64,
}

/// The rows of a namespace with changes laid over them.
#[derive(Debug)]
struct Overlay {
    base: Arc<Index>,
    delta: Delta,
}

/// What the changes of a namespace come to, apart from the rows that they are made on.
#[derive(Debug, Clone)]
struct Delta {
    /// All of the rows are gone.
    cleared: bool,
    /// The places of all rows that are gone, are put over others, or are new.
    gone: BTreeSet<Place>,
    /// New rows, and rows put over others.
    put: Index,
}

/// What there is to commit.
#[derive(Debug)]
pub(crate) struct Committable {
    deltas: Vec<(Box<str>, Delta)>,
    next_id: u64,
}

/// The changes of one namespace.
#[derive(Debug)]
pub(crate) struct Changes<'c> {
    overlay: &'c mut Overlay,
    next_id: &'c mut u64,
}

impl Effect {
    /// The id of the token that was saved, for the error of a commit that could not be synced.
    pub(crate) fn saved_id(&self) -> Option<&TokenId> {
        match self {
            Self::Saved(id) => Some(id),
            Self::Replaced(row) => row.id(),
            Self::Deleted(_) => None,
            #[cfg(feature = "import")]
            Self::Imported(_) => None,
        }
    }

    pub(crate) fn saved(self) -> Result<TokenId> {
        match self {
            Self::Saved(id) => Ok(id),
            _ => Err(other_effect()),
        }
    }

    pub(crate) fn replaced(self) -> Result<Token> {
        match self {
            Self::Replaced(row) => Ok(row),
            _ => Err(other_effect()),
        }
    }

    pub(crate) fn deleted(self) -> Result<usize> {
        match self {
            Self::Deleted(count) => Ok(count),
            _ => Err(other_effect()),
        }
    }

    #[cfg(feature = "import")]
    pub(crate) fn imported(self) -> Result<Vec<Saved>> {
        match self {
            Self::Imported(rows) => Ok(rows),
            _ => Err(other_effect()),
        }
    }
}

fn other_effect() -> Error {
    Error::internal("a change had the effect of another operation")
}

impl<'a> ChangeSet<'a> {
    pub(crate) fn new(base: &'a Namespaces) -> Self {
        Self { base, changed: BTreeMap::new(), next_id: base.next_id() }
    }

    /// The rows without the changes.
    pub(crate) fn undone(&self) -> Self {
        Self::new(self.base)
    }

    /// The changes of a namespace.
    pub(crate) fn namespace(&mut self, name: &str) -> Changes<'_> {
        let overlay = self.changed.entry(name.into()).or_insert_with(|| Overlay::new(self.base.index(name)));
        Changes { overlay, next_id: &mut self.next_id }
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
        kept.chain(self.changed.values().map(Overlay::records_len)).fold(0, u64::saturating_add)
    }

    /// Whether there is nothing to commit.
    pub(crate) fn is_empty(&self) -> bool {
        self.changed.values().all(Overlay::is_unchanged)
    }

    /// Takes over changes that were made on the same rows, in place of its own.
    pub(crate) fn adopt(&mut self, changes: Committable) {
        let Committable { deltas, next_id } = changes;
        let overlay = |(name, delta): (Box<str>, _)| (name.clone(), Overlay { base: self.base.index(&name), delta });
        self.changed = deltas.into_iter().map(overlay).collect();
        self.next_id = next_id;
    }

    pub(crate) fn finish(self) -> Committable {
        let changed = self.changed.into_iter().filter(|(_, overlay)| !overlay.is_unchanged());
        Committable { deltas: changed.map(|(name, overlay)| (name, overlay.delta)).collect(), next_id: self.next_id }
    }
}

impl Committable {
    /// Makes the changes on the rows.
    pub(crate) fn apply(self, rows: &mut Namespaces) {
        rows.set_next_id(self.next_id);
        for (name, delta) in self.deltas {
            if delta.cleared {
                rows.clear(&name);
            }
            rows.change(name, |index| delta.apply(index));
        }
    }
}

impl Changes<'_> {
    /// Makes several changes; after an error none of them is made.
    #[cfg(feature = "import")]
    pub(crate) fn all_or_nothing<R>(&mut self, make: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let before = (self.overlay.delta.clone(), *self.next_id);
        let made = make(self);
        if made.is_err() {
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
    fn prune(&mut self, which: Prune) -> usize {
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

impl Overlay {
    fn new(base: Arc<Index>) -> Self {
        let delta = Delta { cleared: false, gone: BTreeSet::new(), put: base.emptied() };
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
        let Delta { cleared, gone, put } = &self.delta;
        if *cleared {
            return put.records_len();
        }
        let gone_len = self.base.len_of(gone.iter().filter_map(|place| self.base.get(*place)));
        self.base.records_len().saturating_sub(gone_len).saturating_add(put.records_len())
    }

    fn is_unchanged(&self) -> bool {
        !self.delta.cleared && self.delta.gone.is_empty()
    }

    fn row(&self, place: Place) -> Option<&Token> {
        self.delta.put.get(place).or_else(|| self.base.get(place))
    }

    fn put(&mut self, save: RowWrite<Place>) {
        let place = save.place.unwrap_or_else(|| self.base.next_place().max(self.delta.put.next_place()));
        self.delta.gone.insert(place);
        self.delta.put.put(place, save.token);
    }

    fn remove(&mut self, place: Place) {
        self.delta.gone.insert(place);
        self.delta.put.remove(place);
    }

    fn keeps(&self, place: Place) -> bool {
        !self.delta.cleared && !self.delta.gone.contains(&place)
    }

    /// The places of the rows that the criterion matches, the earliest first.
    fn places(&self, criterion: Criterion<'_>) -> Vec<Place> {
        let kept = self.base.places(criterion).filter(|place| self.keeps(*place));
        let mut places: Vec<_> = kept.chain(self.delta.put.places(criterion)).collect();
        places.sort_unstable();
        places
    }
}

impl Rows for Changes<'_> {
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
impl Target for Changes<'_> {
    fn find_stored(&mut self, query: &Token) -> Result<Option<Token>> {
        matching::find_stored(self, query)
    }

    fn save(&mut self, row: &Row, _before: Option<&Token>) -> Result<TokenId> {
        Changes::save(self, &row.token)
    }
}

impl Delta {
    fn apply(self, rows: &mut Index) {
        rows.remove_all(&self.gone);
        for (place, token) in self.put.iter() {
            rows.put(place, token.clone());
        }
    }
}

#[cfg(test)]
mod tests;
