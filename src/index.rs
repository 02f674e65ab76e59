//! The decrypted tokens in memory, and the tables that find them.
//!
//! A table holds places, not values: it hashes with a key of its own and compares with the row itself, so that no
//! secret stands in memory a second time and nobody can choose values that collide.

use std::{
    collections::{BTreeMap, BTreeSet, hash_map::RandomState},
    hash::BuildHasher,
};

use hashbrown::{HashTable, hash_table::Entry};

use crate::{
    codec,
    error::Result,
    id::{Origin, TokenId},
    matching::{self, Criterion},
    token::Token,
};

/// Where a row stands among the others: rows first saved earlier have lower places.
pub(crate) type Place = u64;

/// The rows, found by place and by each criterion.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    /// Of the rows. The default namespace has an empty name.
    namespace: Box<str>,
    origin: Origin,
    rows: Rows,
    tables: Tables,
    /// What the rows take in a payload, in bytes.
    records_len: u64,
}

/// The rows in the order of their places, of which most follow each other: the position of a row can nearly be
/// computed.
#[derive(Debug, Clone)]
struct Rows(Vec<(Place, Token)>);

/// The places of rows by what they hold. The rows themselves are given with each call.
#[derive(Debug, Clone)]
struct Tables {
    hasher: RandomState,
    /// For each column, the earliest row of each value. Most often it is the only one.
    earliest: [HashTable<Place>; COLUMNS],
    /// The rows that have the value of an earlier one, by the column and that earliest row.
    later: BTreeMap<(usize, Place), BTreeSet<Place>>,
}

/// The columns that have a table: those that a [`Criterion`] can name.
const COLUMNS: usize = 5;

/// The position of the criterion's table, and the value that is hashed for it.
fn column(criterion: Criterion<'_>) -> (usize, &str) {
    match criterion {
        Criterion::Id(id) => (0, id.as_str()),
        Criterion::UserName(name) => (1, name),
        Criterion::AccessToken(token) => (2, token.expose_secret()),
        Criterion::GrantToken(token) => (3, token.expose_secret()),
        Criterion::RefreshToken(token) => (4, token.expose_secret()),
    }
}

/// Everything that a token can be found by.
fn criteria(token: &Token) -> impl Iterator<Item = Criterion<'_>> {
    let criteria: [_; COLUMNS] = [
        token.id().map(Criterion::Id),
        token.user_name().map(Criterion::UserName),
        token.access_token().map(Criterion::AccessToken),
        token.grant_token().map(Criterion::GrantToken),
        token.refresh_token().map(Criterion::RefreshToken),
    ];
    criteria.into_iter().flatten()
}

impl Index {
    /// An index of these tokens of a namespace of a store, in this order.
    pub(crate) fn new(store: Origin, namespace: &str, tokens: impl IntoIterator<Item = Token>) -> Self {
        Self::of(store.within(namespace), namespace, tokens)
    }

    fn of(origin: Origin, namespace: &str, tokens: impl IntoIterator<Item = Token>) -> Self {
        let rows = Rows((0..).zip(tokens).collect());
        let tables = Tables::of(&rows);
        let records_len = codec::records_len(namespace, rows.tokens());
        Self { namespace: namespace.into(), origin, rows, tables, records_len }
    }

    /// An index of no tokens, of the same namespace.
    pub(crate) fn emptied(&self) -> Self {
        Self::of(self.origin, &self.namespace, [])
    }

    /// What tokens of the namespace take in a payload, in bytes.
    pub(crate) fn len_of<'a>(&self, tokens: impl IntoIterator<Item = &'a Token>) -> u64 {
        codec::records_len(&self.namespace, tokens)
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.rows.0.is_empty()
    }

    /// The namespace of the store that the rows are in.
    pub(crate) fn origin(&self) -> Origin {
        self.origin
    }

    /// What the rows take in a payload, in bytes.
    pub(crate) fn records_len(&self) -> u64 {
        self.records_len
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Token> {
        self.rows.get(place)
    }

    /// The row of that id.
    pub(crate) fn by_id(&self, id: &TokenId) -> Option<Token> {
        self.get(self.places(Criterion::Id(id)).next()?).cloned()
    }

    /// The rows in the order first saved.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        self.rows.tokens().cloned().collect()
    }

    /// The rows and their places, in the order first saved.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Place, &Token)> {
        self.rows.0.iter().map(|(place, token)| (*place, token))
    }

    /// The place of a row after all others.
    pub(crate) fn next_place(&self) -> Place {
        self.rows.0.last().map_or(0, |(last, _)| last.saturating_add(1))
    }

    /// The places of the rows that the criterion matches, the earliest first.
    pub(crate) fn places(&self, criterion: Criterion<'_>) -> impl Iterator<Item = Place> {
        self.tables.places(&self.rows, criterion)
    }

    /// Puts a row at a place, over the one that may be there.
    pub(crate) fn put(&mut self, place: Place, token: Token) {
        self.strike(place);
        self.tables.enter(&self.rows, place, &token);
        self.records_len = self.records_len.saturating_add(codec::records_len(&self.namespace, [&token]));
        self.rows.put(place, token);
    }

    /// Takes the rows at these places away, as far as there are any.
    pub(crate) fn remove_all(&mut self, places: &BTreeSet<Place>) {
        // Each single removal moves the rows after it.
        const FEW: usize = 16;
        if places.len() <= FEW {
            places.iter().for_each(|place| self.remove(*place));
            return;
        }
        places.iter().for_each(|place| self.strike(*place));
        self.rows.0.retain(|(place, _)| !places.contains(place));
    }

    /// Takes the row at a place away, if there is one.
    pub(crate) fn remove(&mut self, place: Place) {
        self.strike(place);
        self.rows.remove(place);
    }

    /// Takes the row at a place out of the tables and the count, if there is one.
    fn strike(&mut self, place: Place) {
        let Some(token) = self.rows.get(place) else { return };
        self.tables.strike(&self.rows, place, token);
        self.records_len = self.records_len.saturating_sub(codec::records_len(&self.namespace, [token]));
    }
}

impl Rows {
    fn get(&self, place: Place) -> Option<&Token> {
        self.0.get(self.position(place).ok()?).map(|(_, token)| token)
    }

    fn tokens(&self) -> impl Iterator<Item = &Token> {
        self.0.iter().map(|(_, token)| token)
    }

    /// Puts a row at a place. A row that is there is exchanged where it stands, so no other row moves.
    fn put(&mut self, place: Place, token: Token) {
        match self.position(place) {
            Ok(position) => {
                if let Some(row) = self.0.get_mut(position) {
                    row.1 = token;
                }
            }
            Err(position) => self.0.insert(position, (place, token)),
        }
    }

    fn remove(&mut self, place: Place) {
        if let Ok(position) = self.position(place) {
            self.0.remove(position);
        }
    }

    /// The position of the row of that place, or else the one where it would be.
    fn position(&self, place: Place) -> std::result::Result<usize, usize> {
        let (Some((first, _)), Some((last, _))) = (self.0.first(), self.0.last()) else { return Err(0) };
        let from_first = |place: Place| usize::try_from(place.saturating_sub(*first)).unwrap_or(usize::MAX);
        let gone = from_first(*last).saturating_sub(self.0.len().saturating_sub(1));
        // As far from the first row as its place is, less the rows between that are gone: of them all, any number.
        let end = from_first(place).saturating_add(1).min(self.0.len());
        let start = from_first(place).saturating_sub(gone).min(end);
        let near = self.0.get(start..end).unwrap_or_default();
        let found = near.binary_search_by_key(&place, |(place, _)| *place);
        found.map(|n| start.saturating_add(n)).map_err(|n| start.saturating_add(n))
    }
}

impl Tables {
    fn of(rows: &Rows) -> Self {
        let mut tables = Self { hasher: RandomState::new(), earliest: Default::default(), later: BTreeMap::new() };
        for (position, table) in tables.earliest.iter_mut().enumerate() {
            // A table that grows looks at all its rows again.
            let has_value = |token: &&Token| criteria(token).any(|criterion| column(criterion).0 == position);
            table.reserve(rows.tokens().filter(has_value).count(), |_| 0);
        }
        rows.0.iter().for_each(|(place, token)| tables.enter(rows, *place, token));
        tables
    }

    /// The places of the rows that the criterion matches, the earliest first.
    fn places(&self, rows: &Rows, criterion: Criterion<'_>) -> impl Iterator<Item = Place> {
        let (column, value) = column(criterion);
        let table = self.earliest.get(column);
        let first = table.and_then(|table| table.find(self.hasher.hash_one(value), is_at(rows, criterion))).copied();
        let later = first.and_then(|first| self.later.get(&(column, first)));
        first.into_iter().chain(later.into_iter().flatten().copied())
    }

    /// Puts the place of a row into the tables, before the row is among the others.
    fn enter(&mut self, rows: &Rows, place: Place, token: &Token) {
        for criterion in criteria(token) {
            let (column, value) = column(criterion);
            let hash_of = |first: &Place| self.hasher.hash_one(value_of(rows, *first, column));
            let Some(table) = self.earliest.get_mut(column) else { continue };
            match table.entry(self.hasher.hash_one(value), is_at(rows, criterion), hash_of) {
                Entry::Occupied(mut earliest) => {
                    let first = earliest.get_mut();
                    let mut later = self.later.remove(&(column, *first)).unwrap_or_default();
                    later.insert(place.max(*first));
                    *first = place.min(*first);
                    self.later.insert((column, *first), later);
                }
                Entry::Vacant(earliest) => {
                    earliest.insert(place);
                }
            }
        }
    }

    /// Takes the place of a row out of the tables, while the row is among the others still.
    fn strike(&mut self, rows: &Rows, place: Place, token: &Token) {
        for criterion in criteria(token) {
            let (column, value) = column(criterion);
            let Some(table) = self.earliest.get_mut(column) else { continue };
            let Ok(mut earliest) = table.find_entry(self.hasher.hash_one(value), is_at(rows, criterion)) else {
                continue;
            };
            let first = earliest.get_mut();
            let mut later = self.later.remove(&(column, *first)).unwrap_or_default();
            later.insert(*first);
            later.remove(&place);
            let Some(next) = later.pop_first() else {
                earliest.remove();
                continue;
            };
            *first = next;
            if !later.is_empty() {
                self.later.insert((column, next), later);
            }
        }
    }
}

/// Whether the rows that share a value are those that the criterion matches. The earliest of them decides.
fn is_at<'a>(rows: &'a Rows, criterion: Criterion<'a>) -> impl Fn(&Place) -> bool + 'a {
    move |first| rows.get(*first).is_some_and(|row| criterion.matches(row))
}

/// The value that a row has in the column of that position.
fn value_of(rows: &Rows, place: Place, position: usize) -> &str {
    let columns = rows.get(place).into_iter().flat_map(criteria).map(column);
    columns.filter(|(column, _)| *column == position).map(|(_, value)| value).next().unwrap_or_default()
}

impl matching::Rows for &Index {
    type Place = Place;

    fn origin(&self) -> Origin {
        self.origin
    }

    fn rows(&mut self, criterion: Criterion<'_>) -> Result<Vec<(Place, Token)>> {
        let places = self.places(criterion);
        Ok(places.filter_map(|place| Some((place, self.get(place)?.clone()))).collect())
    }
}

#[cfg(test)]
mod tests;
