//! A transaction that writes, and the changes that are made in it.

use std::{
    ops::ControlFlow,
    sync::Arc,
    time::{Instant, SystemTime},
};

use tokenkeep::{
    Error, Prune, Result, Token, TokenId,
    matching::{self, RowWrite},
    vault::{BlindIndex, BlindIndexes, IndexedValue, RowTable, SealedRow, Vault},
};

use crate::{
    cells::StoreRow,
    engine::{Connection, FailureKind, First, Parameter},
    error::{DatabaseError, Problem},
    pool::{Pooled, Turn},
    rows::{Place, Rows},
    schema::Changed,
    shared::{Shared, checked_store_row},
};

/// The last number that a database has. As the next id it means that none is left.
const NO_ID_LEFT: u64 = u64::MAX >> 1;

/// What a transaction changes. Both kinds write to the store's row first, so that every two of them exclude each other
/// on every database.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Subject {
    /// Tokens or key slots: a change that `version` shows.
    Tokens,
    Leases,
}

/// A transaction that writes. It is undone unless it is committed.
pub(crate) struct Writer<'s> {
    pub(crate) store: &'s Shared,
    pub(crate) connection: Pooled<'s>,
    pub(crate) vault: Arc<Vault>,
    next_id: u64,
    next_place: u64,
    is_next_stored: bool,
    is_changed: bool,
}

impl Shared {
    /// Makes changes as one transaction. The function is called again if other transactions are in the way.
    pub(crate) fn write<R>(&self, subject: Subject, mut change: impl FnMut(&mut Writer<'_>) -> Result<R>) -> Result<R> {
        let deadline = self.deadline();
        loop {
            let (_turn, mut writer) = self.begin(subject, deadline)?;
            let changed = change(&mut writer).and_then(|changed| writer.commit().map(|()| changed));
            match changed {
                Err(Error::Store { kind: tokenkeep::ErrorKind::Busy, .. })
                    if Instant::now() < deadline || writer.connection.was_stale() => {}
                changed => return changed,
            }
        }
    }

    /// Begins a transaction that writes. Waits at most until the deadline: for the other writers of this process, then
    /// for the writers of other processes.
    pub(crate) fn begin(&self, subject: Subject, deadline: Instant) -> Result<(Turn<'_>, Writer<'_>)> {
        self.check_caller()?;
        let busy = || self.problem(Problem::Busy);
        loop {
            let turn = self.pool.turn(deadline).ok_or_else(busy)?;
            let vault = self.vault();
            let mut connection = self.connection(deadline)?;
            let count = match subject {
                Subject::Tokens => &self.statements.count,
                Subject::Leases => &self.statements.count_lease,
            };
            let first = First { statement: count, query: &self.statements.store };
            let mut stored = None;
            let left = deadline.saturating_duration_since(Instant::now());
            let begun = connection.begin_with(left, &first, &mut |row| {
                stored = Some(StoreRow::read(row));
                ControlFlow::Break(())
            });
            match begun {
                Ok(1) => {}
                Ok(_) => return Err(self.problem(Problem::NoStore)),
                Err(failure) if failure.kind == FailureKind::Contention => {
                    if Instant::now() < deadline {
                        continue;
                    }
                    return Err(self.failed(failure));
                }
                Err(_) if connection.was_stale() => continue,
                Err(failure) => return Err(self.failed(failure)),
            }
            let stored = checked_store_row(&self.name, stored)?;
            if stored.key_table == vault.bytes() {
                self.check_key_columns(&stored, &vault)?;
                let writer = Writer {
                    store: self,
                    connection,
                    vault,
                    next_id: stored.next_id,
                    next_place: stored.next_place,
                    is_next_stored: true,
                    is_changed: false,
                };
                return Ok((turn, writer));
            }
            // A thread that exchanges the key table may need the connection and the turn.
            drop(connection);
            drop(turn);
            self.follow(&vault)?;
        }
    }
}

impl<'s> Writer<'s> {
    pub(crate) fn rows<'w>(&'w mut self, namespace: &'w str) -> Rows<'w> {
        Rows::new(self.store, &mut self.connection, &self.vault, namespace)
    }

    /// Commits what was changed, if anything was.
    pub(crate) fn commit(&mut self) -> Result<()> {
        if !self.is_changed {
            return Ok(());
        }
        if !self.is_next_stored {
            let next = [self.next_id, self.next_place];
            let [id, place] =
                next.map(|next| i64::try_from(next).map_err(|_| self.store.problem(Problem::NoNumberLeft)));
            let store = self.store;
            self.execute(&store.statements.set_next, &[Parameter::Integer(id?), Parameter::Integer(place?)])?;
        }
        self.connection.commit().map_err(|failure| self.store.failed(failure))
    }

    /// Executes a statement that changes something.
    pub(crate) fn execute(&mut self, statement: &str, parameters: &[Parameter<'_>]) -> Result<u64> {
        self.is_changed = true;
        self.connection.execute(statement, parameters).map_err(|failure| self.store.failed(failure))
    }

    pub(crate) fn save(&mut self, namespace: &str, token: &Token) -> Result<TokenId> {
        let next_id = self.next_id;
        let name = self.store.name.clone();
        let new_id = || match next_id {
            1..NO_ID_LEFT => Ok(TokenId::from(next_id.to_string())),
            _ => Err(DatabaseError::new(&name, Problem::NoNumberLeft).into()),
        };
        let write = matching::save(&mut self.rows(namespace), token, SystemTime::now(), new_id)?;
        let id = write.token.id().cloned().ok_or_else(|| self.store.malformed("a row has no id"))?;
        self.put(namespace, &write)?;
        Ok(id)
    }

    pub(crate) fn replace(&mut self, namespace: &str, token: &Token) -> Result<Token> {
        let write = matching::replace(&mut self.rows(namespace), token, SystemTime::now())?;
        self.put(namespace, &write)?;
        Ok(write.token)
    }

    pub(crate) fn delete(&mut self, namespace: &str, id: &TokenId) -> Result<bool> {
        // Opened before it is deleted, so that a row that was changed by others is kept as evidence.
        let found = self.rows(namespace).by_id(id)?;
        self.delete_at(found.map(|(place, _)| place.number))
    }

    pub(crate) fn delete_if(&mut self, namespace: &str, id: &TokenId, revision: u64) -> Result<bool> {
        let place = matching::delete_if(&mut self.rows(namespace), id, revision)?;
        self.delete_at(place.map(|place| place.number))
    }

    fn delete_at(&mut self, place: Option<u64>) -> Result<bool> {
        let Some(place) = place else { return Ok(false) };
        let (store, place) = (self.store, integer(self.store, place)?);
        Ok(self.execute(&store.statements.delete, &[Parameter::Integer(place)])? > 0)
    }

    /// Also rows that cannot be opened: an application can always start again.
    pub(crate) fn delete_all(&mut self, namespace: &str) -> Result<usize> {
        let index = self.vault.blind_index(namespace, IndexedValue::Namespace)?;
        let (store, was_changed) = (self.store, self.is_changed);
        let count = self.execute(&store.statements.delete_namespace, &[Parameter::Bytes(&index)])?;
        self.is_changed = was_changed || count > 0;
        Ok(usize::try_from(count).unwrap_or(usize::MAX))
    }

    pub(crate) fn prune(&mut self, namespace: &str, which: Prune) -> Result<usize> {
        let now = SystemTime::now();
        let rows = self.rows(namespace).all()?;
        let mut pruned = 0_usize;
        for (place, _) in rows.into_iter().filter(|(_, token)| which.takes(token, now)) {
            self.delete_at(Some(place.number))?;
            pruned = pruned.saturating_add(1);
        }
        Ok(pruned)
    }

    fn put(&mut self, namespace: &str, write: &RowWrite<Place>) -> Result<()> {
        let table = RowTable { id: self.store.table_id, namespace };
        let store = self.store;
        let Some(place) = &write.place else {
            let place = self.next_place;
            let sealed = self.vault.seal_row(table, place, &write.token)?;
            let next = place.checked_add(1).filter(|next| i64::try_from(*next).is_ok());
            self.next_place = next.ok_or_else(|| store.problem(Problem::NoNumberLeft))?;
            self.next_id = self.next_id.max(id_after(&write.token));
            self.is_next_stored = false;
            let key_id = self.vault.key_id();
            let values = all_values(store, &key_id, &sealed)?;
            let place = Parameter::Integer(integer(store, place)?);
            let parameters: Vec<_> = [place].into_iter().chain(values).collect();
            return self.put_one(&store.statements.insert, &parameters);
        };
        let sealed = self.vault.seal_row(table, place.number, &write.token)?;
        let (before, after) = (changeable(&place.columns), changeable(&sealed.columns));
        let pairs = before.iter().zip(&after).enumerate();
        let bits = pairs.fold(0, |bits, (column, (before, after))| bits | u8::from(before != after) << column);
        let changed = Changed(bits);
        let mut parameters =
            vec![Parameter::Integer(integer(store, sealed.revision)?), Parameter::Bytes(&sealed.bytes)];
        let columns = after.iter().enumerate().filter(|(column, _)| changed.has(*column));
        parameters.extend(columns.map(|(_, index)| Parameter::from(*index)));
        parameters.push(Parameter::Integer(integer(store, place.number)?));
        self.put_one(store.statements.update(changed), &parameters)
    }

    /// Seals a row again under the key of another vault.
    pub(crate) fn seal_again(&mut self, next: &Vault, namespace: &str, place: u64, token: &Token) -> Result<()> {
        let (store, key_id) = (self.store, next.key_id());
        let sealed = next.seal_row(RowTable { id: store.table_id, namespace }, place, token)?;
        let place = Parameter::Integer(integer(store, place)?);
        let parameters: Vec<_> = all_values(store, &key_id, &sealed)?.into_iter().chain([place]).collect();
        self.put_one(&store.statements.seal_again, &parameters)
    }

    fn put_one(&mut self, statement: &str, parameters: &[Parameter<'_>]) -> Result<()> {
        match self.execute(statement, parameters)? {
            1 => Ok(()),
            _ => Err(self.store.malformed("a row is gone that was just read")),
        }
    }
}

/// The values of all columns but the place, in the order of the schema.
fn all_values<'v>(store: &Shared, key_id: &'v [u8; 8], sealed: &'v SealedRow) -> Result<[Parameter<'v>; 10]> {
    let SealedRow { place: _, revision, columns, bytes } = sealed;
    let BlindIndexes { namespace, id, user_name, user_and_client, access_token, grant_token, refresh_token } = columns;
    Ok([
        Parameter::Integer(integer(store, *revision)?),
        Parameter::Bytes(key_id),
        Parameter::Bytes(namespace),
        Parameter::Bytes(id),
        user_name.into(),
        user_and_client.into(),
        access_token.into(),
        grant_token.into(),
        refresh_token.into(),
        Parameter::Bytes(bytes),
    ])
}

/// The blind indexes that a save can change, in the order of [`Changed::COLUMNS`].
fn changeable(columns: &BlindIndexes) -> [&Option<BlindIndex>; 5] {
    let BlindIndexes { namespace: _, id: _, user_name, user_and_client, access_token, grant_token, refresh_token } =
        columns;
    [user_name, user_and_client, access_token, grant_token, refresh_token]
}

fn integer(store: &Shared, number: u64) -> Result<i64> {
    i64::try_from(number).map_err(|_| store.problem(Problem::NoNumberLeft))
}

/// The number after the token's id. A number that was an id is never chosen again, also if the application supplied
/// it.
fn id_after(token: &Token) -> u64 {
    let number = token.id().and_then(TokenId::number);
    number.map_or(0, |number| number.saturating_add(1).min(NO_ID_LEFT))
}
