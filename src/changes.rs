//! Changes that are yet to be committed, over rows that stay as they are until then.

use std::{collections::BTreeSet, time::SystemTime};

#[cfg(feature = "import")]
use crate::batch::{Row, Target};
use crate::{
    codec,
    error::{Error, Result, Unstorable},
    id::{Origin, TokenId},
    index::{Index, Place},
    matching::{self, Criterion, RowWrite, Rows},
    token::Token,
};

/// A view of the rows with changes laid over them. One change or many: each sees those before it.
#[derive(Debug)]
pub(crate) struct Changes<'a> {
    base: &'a Index,
    delta: Delta,
}

/// What the changes come to, apart from the rows that they are made on.
#[derive(Debug, Clone)]
pub(crate) struct Delta {
    /// All of the rows are gone.
    cleared: bool,
    /// The places of all rows that are gone, are put over others, or are new.
    gone: BTreeSet<Place>,
    /// New rows, and rows put over others.
    put: Index,
}

impl<'a> Changes<'a> {
    pub(crate) fn new(base: &'a Index) -> Self {
        let delta = Delta { cleared: false, gone: BTreeSet::new(), put: Index::new(base.origin(), base.next_id(), []) };
        Self { base, delta }
    }

    /// The view without the changes.
    pub(crate) fn undone(&self) -> Self {
        Self::new(self.base)
    }

    /// Makes several changes; after an error none of them is made.
    #[cfg(feature = "import")]
    pub(crate) fn all_or_nothing<R>(&mut self, make: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        let before = self.delta.clone();
        let made = make(self);
        if made.is_err() {
            self.delta = before;
        }
        made
    }

    /// Merges the token into the row it means, or adds it.
    pub(crate) fn save(&mut self, token: &Token) -> Result<TokenId> {
        let next_id = self.next_id();
        let choose = || match next_id {
            ..=TokenId::LAST => Ok(TokenId::chosen(next_id)),
            _ => Err(Error::Unstorable { why: Unstorable::NoIdLeft }),
        };
        let save = matching::save(self, token, SystemTime::now(), choose)?;
        let id = save.token.id().cloned().ok_or(Error::internal("a saved token has no id"))?;
        if let Some(number) = id.number() {
            self.delta.put.set_next_id(next_id.max(number.saturating_add(1)));
        }
        self.put(save);
        Ok(id)
    }

    /// Puts the token over the row of its id.
    pub(crate) fn replace(&mut self, token: &Token) -> Result<Token> {
        let save = matching::replace(self, token, SystemTime::now())?;
        let row = save.token.clone();
        self.put(save);
        Ok(row)
    }

    /// Takes the row of that id away; `false` if there is none.
    pub(crate) fn delete(&mut self, id: &TokenId) -> bool {
        let place = self.places(Criterion::Id(id)).first().copied();
        place.inspect(|place| self.remove(*place)).is_some()
    }

    /// Takes the row of that id away if it has that revision; `false` if there is none of that id.
    pub(crate) fn delete_if(&mut self, id: &TokenId, revision: u64) -> Result<bool> {
        let place = matching::delete_if(self, id, revision)?;
        Ok(place.inspect(|place| self.remove(*place)).is_some())
    }

    /// Takes all rows away; returns how many there were.
    pub(crate) fn delete_all(&mut self) -> usize {
        let count = self.iter().count();
        if count > 0 {
            self.delta.cleared = true;
            self.delta.put = Index::new(self.base.origin(), self.next_id(), []);
        }
        count
    }

    /// The number of the next id that the store chooses.
    pub(crate) fn next_id(&self) -> u64 {
        self.delta.put.next_id()
    }

    /// The rows with the changes, in the order first saved.
    pub(crate) fn iter(&self) -> impl Iterator<Item = &Token> {
        let mut kept = self.base.iter().filter(|(place, _)| self.keeps(*place)).peekable();
        let mut put = self.delta.put.iter().peekable();
        std::iter::from_fn(move || match (kept.peek(), put.peek()) {
            (Some((kept_place, _)), Some((put_place, _))) if put_place < kept_place => put.next(),
            (None, _) => put.next(),
            _ => kept.next(),
        })
        .map(|(_, token)| token)
    }

    /// What the rows with the changes take in a payload, in bytes.
    pub(crate) fn records_len(&self) -> u64 {
        let Delta { cleared, gone, put } = &self.delta;
        let gone_len = codec::records_len("", gone.iter().filter_map(|place| self.base.get(*place)));
        let kept = if *cleared { 0 } else { self.base.records_len().saturating_sub(gone_len) };
        kept.saturating_add(put.records_len())
    }

    /// Whether there is nothing to commit.
    pub(crate) fn is_empty(&self) -> bool {
        !self.delta.cleared && self.delta.gone.is_empty()
    }

    /// What there is to commit.
    pub(crate) fn finish(self) -> Delta {
        self.delta
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
        self.base.origin()
    }

    fn rows(&mut self, criterion: Criterion<'_>) -> Result<Vec<(Place, Token)>> {
        let row = |place| self.delta.put.get(place).or_else(|| self.base.get(place));
        let places = self.places(criterion).into_iter();
        Ok(places.filter_map(|place| Some((place, row(place)?.clone()))).collect())
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
    /// Makes the changes on the rows.
    pub(crate) fn apply(self, rows: &mut Index) {
        rows.set_next_id(self.put.next_id());
        if self.cleared {
            *rows = Index::new(self.put.origin(), self.put.next_id(), []);
        }
        for place in self.gone {
            rows.remove(place);
        }
        for (place, token) in self.put.iter() {
            rows.put(place, token.clone());
        }
    }
}

#[cfg(test)]
mod tests;
