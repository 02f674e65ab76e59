//! A commit that is appended to the file as one record.
//!
//! # When a commit is appended
//!
//! A commit is appended if it only adds or changes rows, and all of these hold: the file system syncs an append
//! reliably; no torn record is at the end of the file; the file would stay within its limit; the records of other
//! handles could be synced. The journal may be 1 MiB long, or as long as the body if the body is longer. A commit that
//! would make it longer replaces the file, unless the disk has no room for a new file.
//!
//! # When appending fails
//!
//! If the whole record is not in the file, the file is replaced. If the whole record is in the file, but is not known
//! to be on the disk, other processes may have read it. So the record counts, and the file is replaced at once.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
};

use super::{
    Engine,
    next_state::NextState,
    state::{Baseline, State},
};
use crate::{
    changes::ChangeSet,
    codec::{encode_change, record_plaintext_len},
    error::{Error, Result},
    file::{Appended, Deadline, Durability, Lock, PinnedFile},
    format::{Mark, length},
    seal::{SealedRecord, record_len, seal_record},
};

impl Engine {
    /// The record of a commit, if the rule at the head of this file allows it. The caller checks the length of the
    /// journal.
    pub(super) fn seal_record(&self, state: &State, next: &NextState<'_>) -> Result<Option<SealedRecord>> {
        let State { journal, header, vault, .. } = state;
        let puts = match next.rows.puts() {
            Some(puts) if !next.must_replace && Arc::ptr_eq(&next.vault, vault) && !puts.is_empty() => puts,
            _ => return Ok(None),
        };
        // One byte more, because a record that cannot be synced gets one (`file/append.rs`).
        // Held by `file_at_its_limit_is_replaced_and_not_appended_to`.
        // Held by `record_at_the_limit_that_cannot_be_synced_leaves_a_file_that_opens`: `0` instead of `1`.
        if self.file.check_len(journal.end().saturating_add(record_len_of(next)).saturating_add(1)).is_err() {
            return Ok(None);
        }
        // Held by `where_appending_is_not_reliable_each_save_replaces_the_file`.
        if !self.file.appends_reliably() {
            return Ok(None);
        }
        // Held by `loaded_state_is_synced_before_anything_is_appended`.
        if !(state.is_synced || self.sync_loaded(state)) {
            return Ok(None);
        }
        // Held by `directory_that_cannot_be_written_is_read`.
        self.file.check_may_replace()?;
        let plaintext = encode_change(next.rows.next_id(), puts.into_iter(), next.rows.puts_len())?;
        let context = journal.context(header);
        seal_record(vault.store_key(), context, journal.next_number(), journal.end(), plaintext).map(Some)
    }

    /// Syncs the file and its directory after another handle has written them. Without this, a power cut could leave
    /// the file without its name, or a record without the record before it.
    fn sync_loaded(&self, state: &State) -> bool {
        self.sync_contents(state) && self.file.sync_name().is_synced()
    }

    /// Syncs the bytes of the loaded file, unless that has failed before.
    pub(super) fn sync_contents(&self, state: &State) -> bool {
        // Held by `failed_sync_of_a_file_that_cannot_be_marked_is_remembered`: without
        // `!self.sync_failed.load(Ordering::SeqCst) &&`.
        let is_synced = !self.sync_failed.load(Ordering::SeqCst) && self.file.sync_contents(&state.pinned).is_ok();
        // The mark tells other handles. If it cannot be written, at least this handle remembers the failure.
        if !is_synced && !self.sync_failed.swap(true, Ordering::SeqCst) {
            let _ = self.file.mark_unsynced(&state.pinned, state.loaded_end());
        }
        is_synced
    }

    /// Appends a record to the file, and then puts its rows into memory. If appending fails, the file is replaced.
    pub(super) fn append(
        &self,
        record: &SealedRecord,
        changes: ChangeSet,
        pinned: &PinnedFile,
        baseline: &Baseline,
        lock: &Lock,
        deadline: &Deadline,
    ) -> Result<Durability> {
        let end = baseline.loaded_end();
        match self.file.append(lock, pinned, end, &record.parts())? {
            Appended::Synced(appended) => {
                self.adopt_record(record, changes, appended, true);
                Ok(Durability::Synced)
            }
            Appended::Unsynced { file, cause } => {
                // Other processes may have read the record, so it counts.
                self.adopt_record(record, changes, file, false);
                let replaced = self.replace_with(None, lock, deadline);
                Ok(replaced.unwrap_or(Durability::Unsynced { path: self.path().to_owned(), cause }))
            }
            Appended::Failed => self.replace_with(Some((changes, baseline.mark)), lock, deadline),
        }
    }

    /// Appends changes because the disk has no room for a new file. The journal grows into its reserved blocks, beyond
    /// its usual length.
    pub(super) fn append_instead(
        &self,
        no_room: Error,
        changes: ChangeSet,
        pinned: &PinnedFile,
        baseline: &Baseline,
        lock: &Lock,
        deadline: &Deadline,
    ) -> Result<Durability> {
        let state = self.state.read();
        let mut next = NextState::of(&state, self.path())?;
        next.adopt(changes, baseline.mark, self.path())?;
        let record = self.seal_record(&state, &next)?.ok_or(no_room)?;
        let changes = next.rows.into_changes();
        drop(state);
        self.append(&record, changes, pinned, baseline, lock, deadline)
    }

    /// Puts the rows of a record into memory, once the record is in the file.
    fn adopt_record(&self, record: &SealedRecord, changes: ChangeSet, appended: PinnedFile, is_synced: bool) {
        let mut state = self.state.write();
        changes.apply(&mut state.rows);
        state.push_record(length(record.len()), record.tag);
        state.is_synced = is_synced;
        // Held by `nobody_appends_after_a_record_that_could_not_be_synced`.
        self.sync_failed.store(!is_synced, Ordering::SeqCst);
        let before = mem::replace(&mut state.pinned, appended);
        drop((state, before));
        self.notify_of_commit();
    }

    /// Replaces the file, with the changes if there are any. They were made on the state with that mark.
    fn replace_with(&self, changes: Option<(ChangeSet, Mark)>, lock: &Lock, deadline: &Deadline) -> Result<Durability> {
        let state = self.state.read();
        let mut next = NextState::of(&state, self.path())?;
        if let Some((changes, mark)) = changes {
            next.adopt(changes, mark, self.path())?;
        }
        let (file, changes) = self.seal_file(next)?;
        let (pinned, baseline) = (state.pinned.clone(), state.baseline());
        drop(state);
        let prepared = self.file.prepare(Some(lock), &file.parts())?;
        self.replace((prepared, file), changes, pinned, &baseline, lock, deadline)
    }
}

/// The length of the record of a commit that only puts rows.
pub(super) fn record_len_of(next: &NextState<'_>) -> u64 {
    record_plaintext_len(next.rows.puts_len()).map_or(u64::MAX, |len| length(record_len(len)))
}
