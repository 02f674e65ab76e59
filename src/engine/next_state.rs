//! The state that a commit makes, before it is sealed as a record or as a new file.

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

/// The state that a commit makes of the state in memory.
#[derive(Debug)]
pub(super) struct NextState<'a> {
    /// The generation of the new file, if the commit replaces the file.
    pub(super) generation: u64,
    pub(super) rows: Overlay<'a>,
    /// The last states of the files before the new one, the oldest first. The state in memory is the last of them.
    pub(super) ancestors: Vec<Mark>,
    /// The starts of the tags of the last records of the file that the new one replaces.
    pub(super) record_tags: Vec<[u8; 8]>,
    /// The vault of the state in memory, unless the commit changes key slots.
    pub(super) vault: Arc<Vault>,
    /// Whether the commit has to replace the file: `compact`, or a torn record at the end of the file.
    pub(super) must_replace: bool,
}

impl<'a> NextState<'a> {
    /// The state without a change, one generation later.
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

    /// The plaintext of the new file's body.
    pub(super) fn encoding(&self) -> Result<Encoding<'_>> {
        Encoding::new(self.header_len(), self.prelude(), self.rows.iter(), self.rows.records_len())
    }

    fn header_len(&self) -> usize {
        header_len(self.vault.bytes().len())
    }

    fn prelude(&self) -> Prelude<'_> {
        Prelude { next_id: self.rows.next_id(), ancestors: &self.ancestors, record_tags: &self.record_tags }
    }

    /// The length of the new file, if the commit replaces the file.
    pub(super) fn file_len(&self) -> Result<u64> {
        let without_records = Encoding::new(self.header_len(), self.prelude(), iter::empty(), self.rows.records_len())?;
        Ok(file_len(self.vault.bytes().len(), without_records.len()))
    }

    /// Whether there is nothing to commit.
    pub(super) fn changes_nothing(&self, state: &State) -> bool {
        !self.must_replace && self.rows.is_empty() && Arc::ptr_eq(&self.vault, &state.vault)
    }
}
