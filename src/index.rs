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
    error::Result,
    id::TokenId,
    matching::{Criterion, Rows},
    token::Token,
};

/// Where a row stands among the others: rows first saved earlier have lower places.
pub(crate) type Place = u64;

/// The rows, found by place and by each criterion.
#[derive(Debug, Clone)]
pub(crate) struct Index {
    rows: BTreeMap<Place, Token>,
    hasher: RandomState,
    tables: Tables,
    next_id: u64,
}

/// The rows that have one value in one column. Most often it is one row, which costs no allocation.
#[derive(Debug, Clone)]
struct Group {
    first: Place,
    rest: BTreeSet<Place>,
}

/// One for each column.
type Tables = [HashTable<Group>; COLUMNS];

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
    /// An index of these tokens, in this order.
    pub(crate) fn new(next_id: u64, tokens: impl IntoIterator<Item = Token>) -> Self {
        let rows: BTreeMap<_, _> = (0..).zip(tokens).collect();
        let mut tables = Tables::default();
        for (position, table) in tables.iter_mut().enumerate() {
            // A table that grows looks at all its rows anew.
            let has_value = |token: &&Token| criteria(token).any(|criterion| column(criterion).0 == position);
            table.reserve(rows.values().filter(has_value).count(), |_| 0);
        }
        let mut index = Self { rows, hasher: RandomState::new(), tables, next_id };
        let Self { rows, hasher, tables, .. } = &mut index;
        rows.iter().for_each(|(place, token)| enter(rows, hasher, tables, *place, token));
        index
    }

    /// An index of no tokens.
    pub(crate) fn empty() -> Self {
        Self::new(TokenId::FIRST, [])
    }

    /// The number of the next id that the store chooses.
    pub(crate) fn next_id(&self) -> u64 {
        self.next_id
    }

    pub(crate) fn set_next_id(&mut self, next_id: u64) {
        self.next_id = next_id;
    }

    pub(crate) fn get(&self, place: Place) -> Option<&Token> {
        self.rows.get(&place)
    }

    /// The row of that id.
    pub(crate) fn by_id(&self, id: &TokenId) -> Option<Token> {
        self.get(self.earliest_of(Criterion::Id(id), |_| true)?).cloned()
    }

    /// The rows in the order first saved.
    pub(crate) fn tokens(&self) -> Vec<Token> {
        self.rows.values().cloned().collect()
    }

    /// The rows and their places, in the order first saved.
    pub(crate) fn iter(&self) -> impl Iterator<Item = (Place, &Token)> {
        self.rows.iter().map(|(place, token)| (*place, token))
    }

    /// The place of a row after all others.
    pub(crate) fn next_place(&self) -> Place {
        self.rows.last_key_value().map_or(0, |(last, _)| last.saturating_add(1))
    }

    /// The earliest row that the criterion matches among those that are wanted.
    pub(crate) fn earliest_of(&self, criterion: Criterion<'_>, wanted: impl Fn(Place) -> bool) -> Option<Place> {
        let (column, value) = column(criterion);
        let group =
            self.tables.get(column)?.find(self.hasher.hash_one(value), |group| has(&self.rows, group, criterion));
        group?.places().find(|place| wanted(*place))
    }

    /// Puts a row at a place, over the one that may be there.
    pub(crate) fn put(&mut self, place: Place, token: Token) {
        self.remove(place);
        let Self { rows, hasher, tables, .. } = self;
        enter(rows, hasher, tables, place, &token);
        rows.insert(place, token);
    }

    /// Takes the row at a place away, if there is one.
    pub(crate) fn remove(&mut self, place: Place) {
        let Self { rows, hasher, tables, .. } = self;
        let Some(token) = rows.get(&place) else { return };
        for criterion in criteria(token) {
            let (position, value) = column(criterion);
            let Some(table) = tables.get_mut(position) else { continue };
            let group = table.find_entry(hasher.hash_one(value), |group| has(rows, group, criterion));
            if let Ok(mut group) = group
                && !group.get_mut().remove(place)
            {
                group.remove();
            }
        }
        rows.remove(&place);
    }
}

/// Puts the place of a row into the tables.
fn enter(rows: &BTreeMap<Place, Token>, hasher: &RandomState, tables: &mut Tables, place: Place, token: &Token) {
    for criterion in criteria(token) {
        let (position, value) = column(criterion);
        let hash_of = |group: &Group| hasher.hash_one(value_of(rows, group, position));
        let Some(table) = tables.get_mut(position) else { continue };
        match table.entry(hasher.hash_one(value), |group| has(rows, group, criterion), hash_of) {
            Entry::Occupied(mut group) => group.get_mut().insert(place),
            Entry::Vacant(group) => {
                group.insert(Group { first: place, rest: BTreeSet::new() });
            }
        }
    }
}

/// The value that the rows of a group have in the column of that position.
fn value_of<'a>(rows: &'a BTreeMap<Place, Token>, group: &Group, position: usize) -> &'a str {
    let columns = rows.get(&group.first).into_iter().flat_map(criteria).map(column);
    columns.filter(|(column, _)| *column == position).map(|(_, value)| value).next().unwrap_or_default()
}

/// Whether the rows of a group are those that the criterion matches: they all have the value that the first one has.
fn has(rows: &BTreeMap<Place, Token>, group: &Group, criterion: Criterion<'_>) -> bool {
    rows.get(&group.first).is_some_and(|row| criterion.matches(row))
}

impl Group {
    fn places(&self) -> impl Iterator<Item = Place> {
        std::iter::once(self.first).chain(self.rest.iter().copied())
    }

    fn insert(&mut self, place: Place) {
        self.rest.insert(self.first.max(place));
        self.first = self.first.min(place);
    }

    /// `false` if no place is left.
    fn remove(&mut self, place: Place) -> bool {
        if self.first != place {
            self.rest.remove(&place);
            return true;
        }
        let next = self.rest.pop_first();
        self.first = next.unwrap_or(place);
        next.is_some()
    }
}

impl Rows for Index {
    type Place = Place;

    fn earliest(&self, criterion: Criterion<'_>) -> Result<Option<(Place, Token)>> {
        let place = self.earliest_of(criterion, |_| true);
        Ok(place.and_then(|place| Some((place, self.get(place)?.clone()))))
    }
}
