//! Changes of a store's rows, as values: before they are made, and before they are committed.

use std::{collections::BTreeSet, sync::Arc};

#[cfg(feature = "import")]
use crate::batch::{Batch, Saved};
use crate::{
    error::{Error, Result},
    id::TokenId,
    index::{Index, Place},
    matching::Prune,
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

/// The changes of a store's rows that there are to commit, apart from the rows that they were made on.
#[derive(Debug)]
pub(crate) struct ChangeSet {
    pub(crate) deltas: Vec<(Box<str>, Delta)>,
    pub(crate) next_id: u64,
}

/// What the changes of a namespace come to, apart from the rows that they are made on.
#[derive(Debug, Clone)]
pub(crate) struct Delta {
    /// All of the rows are gone.
    pub(crate) cleared: bool,
    /// The places of all rows that are gone, are put over others, or are new.
    pub(crate) touched: BTreeSet<Place>,
    /// New rows, and rows put over others.
    pub(crate) put: Index,
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

impl ChangeSet {
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

impl Delta {
    /// Whether no row is gone: each place that is touched has a row.
    pub(crate) fn only_puts(&self) -> bool {
        !self.cleared && self.touched.iter().all(|place| self.put.get(*place).is_some())
    }

    fn apply(self, rows: &mut Index) {
        let gone = self.touched.iter().copied().filter(|place| self.put.get(*place).is_none()).collect();
        rows.remove_all(&gone);
        for (place, token) in self.put.iter() {
            rows.put(place, token.clone());
        }
    }
}
