//! Values of rows, checked: the database may hold anything.

use tokenkeep::vault::{BlindIndex, BlindIndexes, SealedRow};

use crate::engine::{Cell, Row};

/// What is wrong with a value.
pub(crate) type Flaw = &'static str;

/// More than the longest sealed row.
const MAX_SEALED_LEN: usize = 512 * 1024;
/// More than the longest key table.
const MAX_KEY_TABLE_LEN: usize = 16 * 1024;

pub(crate) fn bytes<const N: usize>(row: &dyn Row, column: usize) -> Result<[u8; N], Flaw> {
    match row.cell(column) {
        Cell::Bytes(bytes) => bytes.try_into().map_err(|_| "an id or an index has another length"),
        _ => Err("an id or an index is not made of bytes"),
    }
}

fn index(row: &dyn Row, column: usize) -> Result<Option<BlindIndex>, Flaw> {
    match row.cell(column) {
        Cell::Null => Ok(None),
        _ => bytes(row, column).map(Some),
    }
}

fn long_bytes(row: &dyn Row, column: usize, limit: usize) -> Result<Vec<u8>, Flaw> {
    match row.cell(column) {
        Cell::Bytes(bytes) if bytes.len() <= limit => Ok(bytes.to_vec()),
        Cell::Bytes(_) => Err("a value is longer than any of a store"),
        _ => Err("a sealed value is not made of bytes"),
    }
}

/// A number of 63 bits, as every database has them.
pub(crate) fn number(row: &dyn Row, column: usize) -> Result<u64, Flaw> {
    match row.cell(column) {
        Cell::Integer(number) => u64::try_from(number).map_err(|_| "a number is negative"),
        _ => Err("a number is not an integer"),
    }
}

pub(crate) fn integer(row: &dyn Row, column: usize) -> Option<i64> {
    match row.cell(column) {
        Cell::Integer(number) => Some(number),
        _ => None,
    }
}

/// The store's row.
pub(crate) struct StoreRow {
    pub(crate) table_id: [u8; 16],
    pub(crate) key: KeyColumns,
    pub(crate) key_table: Vec<u8>,
    pub(crate) next_id: u64,
    pub(crate) next_place: u64,
}

/// What says which key table a store has, without all of its bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct KeyColumns {
    pub(crate) key_id: [u8; 8],
    pub(crate) revision: u64,
}

impl StoreRow {
    /// From the query `store`.
    pub(crate) fn read(row: &dyn Row) -> Result<Self, Flaw> {
        number(row, 6)?;
        Ok(Self {
            table_id: bytes(row, 0)?,
            key: KeyColumns { key_id: bytes(row, 1)?, revision: number(row, 2)? },
            key_table: long_bytes(row, 3, MAX_KEY_TABLE_LEN)?,
            next_id: number(row, 4)?,
            next_place: number(row, 5)?,
        })
    }
}

impl KeyColumns {
    /// From a query for tokens.
    pub(crate) fn read(row: &dyn Row) -> Result<Self, Flaw> {
        Ok(Self { key_id: bytes(row, 0)?, revision: number(row, 1)? })
    }
}

/// A row of tokens: the id of the key that it says it has, and what is sealed. `None`: the query found no token.
pub(crate) fn token_row(row: &dyn Row) -> Result<Option<([u8; 8], SealedRow)>, Flaw> {
    if matches!(row.cell(2), Cell::Null) {
        return Ok(None);
    }
    let columns = BlindIndexes {
        namespace: bytes(row, 5)?,
        id: bytes(row, 6)?,
        user_name: index(row, 7)?,
        user_and_client: index(row, 8)?,
        access_token: index(row, 9)?,
        grant_token: index(row, 10)?,
        refresh_token: index(row, 11)?,
    };
    let (place, revision) = (number(row, 2)?, number(row, 3)?);
    let sealed = SealedRow { place, revision, columns, bytes: long_bytes(row, 12, MAX_SEALED_LEN)? };
    Ok(Some((bytes(row, 4)?, sealed)))
}
