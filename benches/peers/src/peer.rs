//! What a contender has to do.

use std::path::Path;

use crate::rows::Row;

/// What a row is found by.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum By {
    Id,
    User,
    RefreshToken,
}

impl By {
    /// The value that the row has there.
    pub fn value(self, row: &Row) -> &str {
        match self {
            Self::Id => &row.id,
            Self::User => &row.user_name,
            Self::RefreshToken => &row.refresh_token,
        }
    }
}

/// A contender's open store, as an application would have it: each call on its own, from any thread.
pub trait Peer: Sized + Send + Sync {
    /// What is asked for, made ready before the clock runs.
    type Query;

    /// Makes a store of these rows in the directory, in the fastest way.
    fn fill(directory: &Path, rows: Vec<Row>);

    /// Opens the store in the directory. Without deriving a key from a passphrase where the contender can do without.
    fn open(directory: &Path) -> Self;

    /// To find the row by one of its values.
    fn query(&self, by: By, row: &Row) -> Self::Query;

    /// Looks a row up and reads all of its columns; whether it was there.
    fn find(&self, query: &Self::Query) -> bool;

    /// Saves a row that is there already, by its user name, with another access token and expiry; durable when it
    /// returns, as far as the contender goes.
    fn save(&self, row: &Row);

    /// Takes a row away, by its id; durable like a save.
    fn delete(&self, row: &Row);

    /// Puts a row back that was deleted. Not measured.
    fn restore(&self, row: &Row) {
        self.save(row);
    }

    /// Reads all columns of all rows; how many there are.
    fn list(&self) -> usize;
}
