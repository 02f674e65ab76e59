//! The rows of a namespace, read and opened.

use std::{cmp::Ordering, collections::BTreeSet, ops::ControlFlow};

use tokenkeep::{
    Origin, Result, Token, TokenId,
    matching::{self, Criterion},
    vault::{BlindIndex, BlindIndexes, IndexedValue, RowTable, Vault},
};

use crate::{
    cells::{self, KeyColumns},
    engine::{Connection, Parameter, Row},
    error::Problem,
    shared::{Shared, key_columns},
};

/// The rows of a namespace, through one connection.
pub(crate) struct Rows<'a> {
    pub(crate) store: &'a Shared,
    pub(crate) connection: &'a mut dyn Connection,
    pub(crate) vault: &'a Vault,
    pub(crate) namespace: &'a str,
    has_other_key: bool,
    /// How many statements were sent.
    statements: usize,
    /// What was found by which index: a save asks twice for the row of its user and client. Nothing is written while
    /// these rows are in use.
    found: Vec<(BlindIndex, Vec<(Place, Token)>)>,
}

/// Where a row stands, and its blind indexes as they are stored.
#[derive(Clone, Copy)]
pub(crate) struct Place {
    pub(crate) number: u64,
    pub(crate) columns: BlindIndexes,
}

impl PartialEq for Place {
    fn eq(&self, other: &Self) -> bool {
        self.number == other.number
    }
}

impl Eq for Place {}

impl PartialOrd for Place {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Place {
    fn cmp(&self, other: &Self) -> Ordering {
        self.number.cmp(&other.number)
    }
}

/// A row that was opened.
pub(crate) struct Opened {
    pub(crate) place: Place,
    pub(crate) namespace: Box<str>,
    pub(crate) token: Token,
}

/// How often an operation begins again because the key table was changed under it.
const MOST_EXCHANGES: usize = 16;

impl Shared {
    /// Reads rows of a namespace. The function may be called again, if the key table was changed under it.
    pub(crate) fn read<R>(&self, namespace: &str, look: impl Fn(&mut Rows<'_>) -> Result<R>) -> Result<R> {
        self.check_caller()?;
        for _ in 0..MOST_EXCHANGES {
            let vault = self.vault();
            let looked = self.look(|connection| {
                let mut rows = Rows::new(self, connection, &vault, namespace);
                let looked = look(&mut rows);
                if rows.has_other_key() { Ok(None) } else { looked.map(Some) }
            })?;
            match looked {
                Some(looked) => return Ok(looked),
                None => self.follow(&vault)?,
            }
        }
        Err(self.malformed("its key table changes all the time"))
    }
}

impl<'a> Rows<'a> {
    pub(crate) fn new(
        store: &'a Shared,
        connection: &'a mut dyn Connection,
        vault: &'a Vault,
        namespace: &'a str,
    ) -> Self {
        Self { store, connection, vault, namespace, has_other_key: false, statements: 0, found: Vec::new() }
    }

    /// Whether an answer came with another key table than the vault's: then it counts for nothing.
    pub(crate) fn has_other_key(&self) -> bool {
        self.has_other_key
    }

    pub(crate) fn table(&self) -> RowTable<'a> {
        RowTable { id: self.store.table_id, namespace: self.namespace }
    }

    pub(crate) fn index(&self, value: IndexedValue<'_>) -> Result<BlindIndex> {
        self.vault.blind_index(self.namespace, value)
    }

    /// Finds a token outside of a transaction. If two statements found nothing, they are sent once more: a save between
    /// them may have given the client id to the row that the second one asks for.
    pub(crate) fn find(&mut self, find: impl Fn(&mut Self) -> Result<Option<Token>>) -> Result<Option<Token>> {
        let found = find(self)?;
        // Held by `find_misses_no_row_that_gets_its_client_meanwhile`: `true` instead of `self.statements < 2`.
        if found.is_some() || self.statements < 2 {
            return Ok(found);
        }
        self.found.clear();
        find(self)
    }

    pub(crate) fn by_id(&mut self, id: &TokenId) -> Result<Option<(Place, Token)>> {
        Ok(matching::Rows::rows(self, Criterion::Id(id))?.into_iter().next())
    }

    /// All rows of the namespace, in the order first saved.
    pub(crate) fn all(&mut self) -> Result<Vec<(Place, Token)>> {
        let index = self.index(IndexedValue::Namespace)?;
        let statement = &self.store.statements.of_namespace;
        let opened = self.open_each(statement, &[Parameter::Bytes(&index)], |columns| columns.namespace == index)?;
        Ok(opened.into_iter().map(|row| (row.place, row.token)).collect())
    }

    /// The names of the namespaces that have rows, other than the default one, in the order of their bytes.
    pub(crate) fn namespaces(&mut self) -> Result<Vec<String>> {
        let opened = self.open_each(&self.store.statements.first_of_namespaces, &[], |_| true)?;
        let names = opened.into_iter().map(|row| String::from(row.namespace)).filter(|name| !name.is_empty());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        Ok(names)
    }

    /// Some rows of any namespace whose places are higher, the lowest first.
    pub(crate) fn after(&mut self, place: Option<u64>) -> Result<Vec<Opened>> {
        let after = place.map_or(-1, |place| i64::try_from(place).unwrap_or(i64::MAX));
        self.open_each(&self.store.statements.after, &[Parameter::Integer(after)], |_| true)
    }

    /// The rows that have the value in that column.
    fn rows_by(
        &mut self,
        value: IndexedValue<'_>,
        statement: &str,
        column: impl Fn(&BlindIndexes) -> Option<BlindIndex>,
    ) -> Result<Vec<(Place, Token)>> {
        let index = self.index(value)?;
        if let Some((_, found)) = self.found.iter().find(|(known, _)| *known == index) {
            return Ok(found.clone());
        }
        let opened =
            self.open_each(statement, &[Parameter::Bytes(&index)], |columns| column(columns) == Some(index))?;
        let found: Vec<_> = opened.into_iter().map(|row| (row.place, row.token)).collect();
        self.found.push((index, found.clone()));
        Ok(found)
    }

    /// Opens each row as it comes, so that a bad one ends the query: a view in the place of the table may have no end.
    /// Returns them in the order of their places.
    fn open_each(
        &mut self,
        statement: &str,
        parameters: &[Parameter<'_>],
        is_asked_for: impl Fn(&BlindIndexes) -> bool,
    ) -> Result<Vec<Opened>> {
        self.statements = self.statements.saturating_add(1);
        let (store, vault) = (self.store, self.vault);
        let expected = key_columns(vault);
        let (mut opened, mut places, mut has_other_key) = (Vec::new(), BTreeSet::<u64>::new(), false);
        let mut open = |row: &dyn Row| -> Result<()> {
            let malformed = |flaw| store.malformed(flaw);
            // Held by `handles_follow_changed_slots_and_report_a_rekey`.
            if KeyColumns::read(row).map_err(malformed)? != expected {
                has_other_key = true;
                return Err(malformed("its key table was changed"));
            }
            let Some((key_id, sealed)) = cells::token_row(row).map_err(malformed)? else { return Ok(()) };
            // Held by `row_of_another_store_has_another_key`.
            if key_id != expected.key_id {
                return Err(store.problem(Problem::RowOfOtherKey { place: sealed.place }));
            }
            // Held by `query_that_finds_other_rows_is_refused`: `false` instead of `!is_asked_for(&sealed.columns)`.
            // Held by `row_that_a_view_repeats_ends_the_query`: `false` instead of `!places.insert(sealed.place)`.
            if !is_asked_for(&sealed.columns) || !places.insert(sealed.place) {
                return Err(malformed("a query returned a row that it did not ask for"));
            }
            let (namespace, token) = vault.open_row_of_any_namespace(store.table_id, &sealed)?;
            let place = Place { number: sealed.place, columns: sealed.columns };
            opened.push(Opened { place, namespace, token });
            Ok(())
        };
        let mut last = None;
        let queried = self.connection.query(statement, parameters, &mut |row| {
            let ended = open(row);
            let next = if ended.is_ok() { ControlFlow::Continue(()) } else { ControlFlow::Break(()) };
            last = Some(ended);
            next
        });
        queried.map_err(|failure| store.failed(failure))?;
        self.has_other_key |= has_other_key;
        // The store's own row comes with each answer.
        last.unwrap_or_else(|| Err(store.problem(Problem::NoStore)))?;
        opened.sort_unstable_by_key(|row| row.place.number);
        Ok(opened)
    }
}

impl matching::Rows for Rows<'_> {
    type Place = Place;

    fn origin(&self) -> Origin {
        self.vault.row_origin(self.table())
    }

    fn rows(&mut self, criterion: Criterion<'_>) -> Result<Vec<(Place, Token)>> {
        let statement = self.store.statements.by(criterion);
        self.rows_by(criterion.into(), statement, |columns| columns.get(criterion))
    }

    /// By the unique index: on a server that takes less than by the user name, and a user may have many clients.
    fn row_of_user_and_client(&mut self, name: &str, client: Option<&str>) -> Result<Option<(Place, Token)>> {
        let (value, statement) = (IndexedValue::UserAndClient(name, client), &self.store.statements.by_user_and_client);
        Ok(self.rows_by(value, statement, |columns| columns.user_and_client)?.into_iter().next())
    }
}
