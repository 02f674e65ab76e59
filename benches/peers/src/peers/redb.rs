//! redb: a page store that is durable with each transaction, in plain text. Rows are JSON; each lookup column has a
//! table.

use std::{hint::black_box, path::Path};

use redb::{Database, ReadableDatabase, ReadableTable, TableDefinition, WriteTransaction};

use crate::{
    peer::{By, Peer},
    rows::Row,
};

const ROWS: TableDefinition<u64, &[u8]> = TableDefinition::new("rows");
const USERS: TableDefinition<&str, u64> = TableDefinition::new("users");
const REFRESH_TOKENS: TableDefinition<&str, u64> = TableDefinition::new("refresh tokens");
const ACCESS_TOKENS: TableDefinition<&str, u64> = TableDefinition::new("access tokens");

pub struct Redb(Database);

pub struct Query {
    by: By,
    value: String,
}

fn put(transaction: &WriteTransaction, row: &Row) {
    let id: u64 = row.id.parse().unwrap();
    transaction.open_table(USERS).unwrap().insert(&*row.user_name, id).unwrap();
    transaction.open_table(REFRESH_TOKENS).unwrap().insert(&*row.refresh_token, id).unwrap();
    transaction.open_table(ACCESS_TOKENS).unwrap().insert(&*row.access_token, id).unwrap();
    transaction.open_table(ROWS).unwrap().insert(id, serde_json::to_vec(row).unwrap().as_slice()).unwrap();
}

fn take(transaction: &WriteTransaction, id: u64) {
    let old = transaction.open_table(ROWS).unwrap().remove(id).unwrap().map(|row| row_of(row.value())).unwrap();
    transaction.open_table(USERS).unwrap().remove(&*old.user_name).unwrap();
    transaction.open_table(REFRESH_TOKENS).unwrap().remove(&*old.refresh_token).unwrap();
    transaction.open_table(ACCESS_TOKENS).unwrap().remove(&*old.access_token).unwrap();
}

fn row_of(bytes: &[u8]) -> Row {
    serde_json::from_slice(bytes).unwrap()
}

impl Peer for Redb {
    type Query = Query;

    fn fill(directory: &Path, rows: Vec<Row>) {
        let database = Database::create(directory.join("tokens.redb")).unwrap();
        let transaction = database.begin_write().unwrap();
        rows.iter().for_each(|row| put(&transaction, row));
        transaction.commit().unwrap();
    }

    fn open(directory: &Path) -> Self {
        Self(Database::open(directory.join("tokens.redb")).unwrap())
    }

    fn query(&self, by: By, row: &Row) -> Query {
        Query { by, value: by.value(row).to_owned() }
    }

    fn find(&self, query: &Query) -> bool {
        let transaction = self.0.begin_read().unwrap();
        let by = |table| transaction.open_table(table).unwrap().get(&*query.value).unwrap().map(|id| id.value());
        let id = match query.by {
            By::Id => query.value.parse().ok(),
            By::User => by(USERS),
            By::RefreshToken => by(REFRESH_TOKENS),
        };
        let rows = transaction.open_table(ROWS).unwrap();
        black_box(id.and_then(|id| rows.get(id).unwrap()).map(|row| row_of(row.value()))).is_some()
    }

    fn save(&self, row: &Row) {
        let transaction = self.0.begin_write().unwrap();
        let id = transaction.open_table(USERS).unwrap().get(&*row.user_name).unwrap().map(|id| id.value()).unwrap();
        let old = transaction.open_table(ROWS).unwrap().get(id).unwrap().map(|row| row_of(row.value())).unwrap();
        transaction.open_table(ACCESS_TOKENS).unwrap().remove(&*old.access_token).unwrap();
        transaction.open_table(ACCESS_TOKENS).unwrap().insert(&*row.access_token, id).unwrap();
        let changed = Row { access_token: row.access_token.clone(), expires_at_ms: row.expires_at_ms, ..old };
        transaction.open_table(ROWS).unwrap().insert(id, serde_json::to_vec(&changed).unwrap().as_slice()).unwrap();
        transaction.commit().unwrap();
    }

    fn delete(&self, row: &Row) {
        let transaction = self.0.begin_write().unwrap();
        take(&transaction, row.id.parse().unwrap());
        transaction.commit().unwrap();
    }

    fn restore(&self, row: &Row) {
        let transaction = self.0.begin_write().unwrap();
        put(&transaction, row);
        transaction.commit().unwrap();
    }

    fn list(&self) -> usize {
        let rows = self.0.begin_read().unwrap().open_table(ROWS).unwrap();
        black_box(rows.iter().unwrap().map(|entry| row_of(entry.unwrap().1.value())).collect::<Vec<_>>()).len()
    }
}
