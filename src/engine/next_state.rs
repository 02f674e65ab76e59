//! The state that a commit makes, before it is sealed as a record or as a new file.

use std::{path::Path, sync::Arc};

use super::{Journal, Lineage, State};
use crate::{
    changes::ChangeSet,
    codec::{Encoding, Prelude, plaintext_len},
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
    /// The lineage of the state in memory.
    lineage: &'a Lineage,
    /// The journal of the state in memory.
    journal: &'a Journal,
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
            lineage: &state.lineage,
            journal: &state.journal,
            vault: state.vault.clone(),
            must_replace: state.journal.is_torn(),
        })
    }

    /// Takes over changes that were made on the state with that mark.
    pub(super) fn adopt(&mut self, changes: ChangeSet, mark: Mark, path: &Path) -> Result<()> {
        // Held by `transaction_on_a_state_that_was_replaced_is_refused`.
        if self.lineage.mark != mark {
            return Err(Error::ChangedMeanwhile { path: path.to_owned() });
        }
        self.rows.adopt(changes);
        Ok(())
    }

    /// The last states of the files before the new one, the oldest first. The state in memory is the last of them.
    pub(super) fn ancestors(&self) -> Vec<Mark> {
        self.lineage.next_ancestors()
    }

    /// The starts of the tags of the last records of the file that the new one replaces.
    pub(super) fn record_tags(&self) -> &'a [[u8; 8]] {
        self.journal.last_tags()
    }

    /// The plaintext of the new file's body.
    pub(super) fn encoding(&self) -> Result<Encoding<'_>> {
        let (next_id, ancestors, record_tags) = (self.rows.next_id(), &self.ancestors(), self.record_tags());
        let prelude = Prelude { next_id, ancestors, record_tags };
        Encoding::new(self.header_len(), prelude, self.rows.iter(), self.rows.records_len())
    }

    fn header_len(&self) -> usize {
        header_len(self.vault.bytes().len())
    }

    /// The length of the new file, if the commit replaces the file.
    pub(super) fn file_len(&self) -> u64 {
        let (ancestor_count, record_tag_count) = (self.lineage.next_ancestor_count(), self.record_tags().len());
        let body = plaintext_len(self.header_len(), ancestor_count, record_tag_count, self.rows.records_len());
        file_len(self.vault.bytes().len(), body)
    }

    /// Whether there is nothing to commit.
    pub(super) fn changes_nothing(&self, state: &State) -> bool {
        !self.must_replace && self.rows.is_empty() && Arc::ptr_eq(&self.vault, &state.vault)
    }
}
