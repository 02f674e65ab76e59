//! The next state of a store, as far as a change decides it.

use std::{iter, path::Path, sync::Arc};

use super::{State, state::OtherNamespaces};
use crate::{
    changes::Changes,
    codec::{Encoding, Prelude},
    error::Result,
    format::{BodyHeader, Mark},
    vault::Vault,
};

#[derive(Debug)]
pub(super) struct Draft<'a> {
    generation: u64,
    pub(super) tokens: Changes<'a>,
    others: Arc<OtherNamespaces>,
    /// The states that are replaced, the oldest first.
    pub(super) ancestors: Vec<Mark>,
    /// That of the state, unless key slots were changed.
    pub(super) vault: Arc<Vault>,
}

impl<'a> Draft<'a> {
    /// One generation after the state, and otherwise the same.
    pub(super) fn of(state: &'a State, path: &Path) -> Result<Self> {
        Ok(Self {
            generation: state.next_generation(path)?,
            tokens: Changes::new(&state.index),
            others: state.others.clone(),
            ancestors: state.lineage.next_ancestors(),
            vault: state.vault.clone(),
        })
    }

    /// The body header of the next file, before the body is sealed.
    pub(super) fn header(&self) -> BodyHeader {
        BodyHeader::new(self.generation, self.vault.bytes().len())
    }

    /// The plaintext that a commit would write.
    pub(super) fn encoding(&self) -> Result<Encoding<'_>> {
        let tokens = self.tokens.iter().map(|token| ("", token)).chain(self.others.iter());
        Encoding::new(self.header().header_len(), self.prelude(), tokens, self.records_len())
    }

    fn prelude(&self) -> Prelude<'_> {
        Prelude { next_id: self.tokens.next_id(), ancestors: &self.ancestors }
    }

    fn records_len(&self) -> u64 {
        self.tokens.records_len().saturating_add(self.others.records_len)
    }

    /// The length of the file that a commit would write.
    pub(super) fn file_len(&self) -> Result<u64> {
        let without_records =
            Encoding::new(self.header().header_len(), self.prelude(), iter::empty(), self.records_len())?;
        Ok(self.header().file_len(without_records.len()))
    }

    /// Whether there is nothing to commit.
    pub(super) fn is_empty(&self, state: &State) -> bool {
        self.tokens.is_empty() && Arc::ptr_eq(&self.vault, &state.vault)
    }
}
