//! Whether a change that others see is on the disk too.

use std::{io, path::PathBuf};

use crate::{
    error::{Error, Result, same_cause},
    id::TokenId,
};

/// Whether a power cut may undo a change that others see already.
#[derive(Debug)]
#[must_use]
pub(crate) enum Durability {
    /// It does not, as far as the system keeps its word.
    Synced,
    /// It may: this path could not be synced.
    Unsynced { path: PathBuf, cause: io::Error },
}

impl Durability {
    pub(crate) fn is_synced(&self) -> bool {
        matches!(self, Self::Synced)
    }

    /// The error for a change that a power cut may undo, with the id of the token that the change saved. A group of
    /// changes asks once for each of them.
    pub(crate) fn confirm(&self, saved: Option<&TokenId>) -> Result<()> {
        match self {
            Self::Synced => Ok(()),
            Self::Unsynced { path, cause } => {
                Err(Error::DurabilityUnknown { id: saved.cloned(), path: path.clone(), cause: same_cause(cause) })
            }
        }
    }
}
