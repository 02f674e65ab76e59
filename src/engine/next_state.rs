//! What a commit will write, before it is sealed.

use std::{iter, path::Path, sync::Arc};

use super::State;
use crate::{
    changes::ChangeSet,
    codec::{Encoding, Prelude},
    error::{Error, Result},
    format::{Mark, file_len, header_len},
    overlay::Overlay,
    vault::Vault,
};

/// What a commit is to put in place of the state in memory.
#[derive(Debug)]
pub(super) struct NextState<'a> {
    pub(super) generation: u64,
    pub(super) rows: Overlay<'a>,
    /// The states that are replaced, the oldest first.
    pub(super) ancestors: Vec<Mark>,
    /// The starts of the tags of the last records of the state.
    pub(super) record_tags: Vec<[u8; 8]>,
    /// That of the state, unless key slots were changed.
    pub(super) vault: Arc<Vault>,
    /// Whether only a new file will do.
    pub(super) must_replace: bool,
}

impl<'a> NextState<'a> {
    /// One generation after the state, and otherwise the same.
    pub(super) fn of(state: &'a State, path: &Path) -> Result<Self> {
        Ok(Self {
            generation: state.next_generation(path)?,
            rows: Overlay::new(&state.rows),
            ancestors: state.lineage.next_ancestors(),
            record_tags: state.journal.last_tags(),
            vault: state.vault.clone(),
            must_replace: state.journal.is_torn(),
        })
    }

    /// Takes over changes that were made on the state with that mark.
    pub(super) fn adopt(&mut self, changes: ChangeSet, mark: Mark, path: &Path) -> Result<()> {
        // Held by `transaction_on_a_state_that_was_replaced_is_refused`.
        if self.ancestors.last() != Some(&mark) {
            return Err(Error::ChangedMeanwhile { path: path.to_owned() });
        }
        self.rows.adopt(changes);
        Ok(())
    }

    /// The plaintext that a commit would write.
    pub(super) fn encoding(&self) -> Result<Encoding<'_>> {
        Encoding::new(self.header_len(), self.prelude(), self.rows.iter(), self.rows.records_len())
    }

    fn header_len(&self) -> usize {
        header_len(self.vault.bytes().len())
    }

    fn prelude(&self) -> Prelude<'_> {
        Prelude { next_id: self.rows.next_id(), ancestors: &self.ancestors, record_tags: &self.record_tags }
    }

    /// The length of the file that a commit would write.
    pub(super) fn file_len(&self) -> Result<u64> {
        let without_records = Encoding::new(self.header_len(), self.prelude(), iter::empty(), self.rows.records_len())?;
        Ok(file_len(self.vault.bytes().len(), without_records.len()))
    }

    /// Whether there is nothing to commit.
    pub(super) fn changes_nothing(&self, state: &State) -> bool {
        !self.must_replace && self.rows.is_empty() && Arc::ptr_eq(&self.vault, &state.vault)
    }
}
