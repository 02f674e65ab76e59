//! A change committed: made on the newest state under the lock, written, and put into memory.
//!
//! # When a change counts
//!
//! A commit that only adds or changes rows appends a record to the file and syncs it (`append.rs`). Any other commit
//! writes a temporary file and syncs it, renames it to the name of the store, and syncs the directory
//! (`file/replacement.rs`). After the append or the rename other handles see the change; then it is put into memory.
//! Until then nothing has changed, and any error leaves the file as it was. If an appended record cannot be synced, the
//! change counts, and the file is replaced at once. If the replacement or the sync of the directory fails after the
//! append or the rename, each caller gets [`DurabilityUnknown`](crate::Error::DurabilityUnknown)
//! (`file/durability.rs`), and the next commit syncs the directory again, or replaces the file. `Ok` means that a power
//! cut does not undo the change, except where the file system cannot sync a directory. A commit with nothing to change
//! writes nothing, but syncs what another process may have left unsynced.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use super::{
    Engine,
    append::record_len_of,
    group::{Leader, Role},
    journal::Journal,
    next_state::NextState,
    sealing::{THREAD_THRESHOLD, sealed},
    state::{Baseline, Lineage, State},
};
use crate::{
    changes::{Change, ChangeSet, Effect},
    error::{Error, Result},
    file::{Deadline, Durability, Lock, PinnedFile, Prepared, Replacement, is_full},
    format::{Mark, file_len, length},
    seal::{Sealed, SealedRecord},
    vault::Vault,
};

/// How long a writer waits before it reads a file again that another program has changed or locked.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(1);

/// A commit that is sealed: what is left is to bring it to the disk, and then to put it into memory.
struct SealedCommit {
    changes: ChangeSet,
    /// What the commit follows: the open file, and what that holds.
    follows: (PinnedFile, Baseline),
    written: Written,
}

/// What is to be written.
enum Written {
    Record(SealedRecord),
    File(SealedFile),
}

/// A new file in place of the old one.
pub(super) struct SealedFile {
    sealed: Sealed,
    vault: Arc<Vault>,
    ancestors: Vec<Mark>,
    record_tags: Vec<[u8; 8]>,
}

impl SealedFile {
    pub(super) fn parts(&self) -> [&[u8]; 4] {
        self.sealed.parts(self.vault.bytes())
    }
}

impl Engine {
    /// Makes a change to the rows as they were committed last, and commits it: on disk first, in memory after. Changes
    /// of other threads that wait are committed with it. An error of the change itself leaves no trace. The change may
    /// be made twice.
    pub(crate) fn commit(&self, change: Change) -> Result<Effect> {
        self.check_caller()?;
        let deadline = self.deadline();
        let ticket = self.writers.enqueue(change);
        match self.writers.wait_for_turn(ticket, &deadline)? {
            Role::Leader(leader) => self.commit_waiting(leader, &deadline),
            Role::Follower(result) => result,
        }
    }

    /// Commits all changes that wait, and returns the result of the leader's own.
    fn commit_waiting(&self, mut leader: Leader<'_>, deadline: &Deadline) -> Result<Effect> {
        let lock = self.lock(deadline)?;
        let changes = leader.take_group();
        let committed = self.commit_group(&changes, &lock, deadline);
        leader.hand_out(committed)
    }

    /// Makes the changes of a group, one after the other, and commits them as one. Returns the result of each.
    fn commit_group(&self, changes: &[Change], lock: &Lock, deadline: &Deadline) -> Result<Vec<Result<Effect>>> {
        let _gate = self.gate.lock();
        self.reload_if_changed()?;
        let state = self.state.read();
        let mut next = NextState::of(&state, self.path())?;
        let made = self.make_group(changes, &mut next)?;
        let sealed = self.seal(&state, next);
        drop(state);
        let committed = sealed.and_then(|sealed| self.put_in_place(sealed, lock, deadline));
        let confirmed = |effect: Effect| match &committed {
            // Held by `no_save_returns_before_the_directory_is_synced`, `no_save_returns_before_its_record_is_synced`:
            // `Ok(effect)`.
            Ok(durability) => durability.confirm(effect.saved_id()).map(|()| effect),
            Err(error) => Err(error.again()),
        };
        Ok(made.into_iter().map(|made| made.and_then(confirmed)).collect())
    }

    /// Makes the changes. If the file would be too long, those changes are refused that each make it so.
    fn make_group(&self, changes: &[Change], next: &mut NextState<'_>) -> Result<Vec<Result<Effect>>> {
        let made = changes.iter().map(|change| next.rows.make(change)).collect();
        // Held by `changes_that_do_not_fit_are_refused_without_writing`, `change_after_one_that_does_not_fit_is_made`:
        // `true`.
        if self.file.check_len(next.file_len()).is_ok() {
            return Ok(made);
        }
        next.rows = next.rows.undone();
        let (mut made, mut kept): (Vec<Result<Effect>>, Vec<usize>) = (Vec::new(), Vec::new());
        for (place, change) in changes.iter().enumerate() {
            let effect = next.rows.make(change);
            let Err(too_large) = self.file.check_len(next.file_len()) else {
                made.push(effect);
                kept.push(place);
                continue;
            };
            made.push(effect.and(Err(too_large)));
            // A change cannot be taken back, so the earlier ones are made again.
            next.rows = next.rows.undone();
            for (place, made) in made.iter_mut().enumerate().filter(|(place, _)| kept.contains(place)) {
                if let Some(change) = changes.get(place) {
                    *made = next.rows.make(change);
                }
            }
        }
        Ok(made)
    }

    /// Commits a change by itself, which is made at once.
    pub(super) fn commit_alone<R>(
        &self,
        change: impl FnOnce(&mut NextState<'_>) -> Result<R>,
    ) -> Result<(R, Durability)> {
        self.check_caller()?;
        let deadline = self.deadline();
        let _leader = self.writers.lead(&deadline)?;
        let lock = self.lock(&deadline)?;
        self.commit_under(&lock, &deadline, change)
    }

    /// Commits a change by itself under the lock.
    pub(super) fn commit_under<R>(
        &self,
        lock: &Lock,
        deadline: &Deadline,
        change: impl FnOnce(&mut NextState<'_>) -> Result<R>,
    ) -> Result<(R, Durability)> {
        let _gate = self.gate.lock();
        self.reload_if_changed()?;
        let state = self.state.read();
        let mut next = NextState::of(&state, self.path())?;
        let value = change(&mut next)?;
        let sealed = self.seal(&state, next)?;
        drop(state);
        let durability = self.put_in_place(sealed, lock, deadline)?;
        Ok((value, durability))
    }

    /// Locks the file against other writers.
    pub(super) fn lock(&self, deadline: &Deadline) -> Result<Lock> {
        // Before a lock file of ours is put where the path no longer leads, or where another user's would be expected.
        // Held by `directory_that_became_a_link_to_itself_is_noticed`.
        self.file.check_path()?;
        self.file.check_writable()?;
        self.file.lock(deadline)
    }

    /// Seals the next state; `None` if there is nothing to write, because the file holds that state already and its
    /// bytes are on the disk.
    fn seal(&self, state: &State, next: NextState<'_>) -> Result<Option<SealedCommit>> {
        if next.changes_nothing(state) {
            // A state whose bytes cannot be synced has to be written again.
            // Held by `loaded_state_is_synced_by_an_operation_with_nothing_to_do`: `true` instead of `state.is_synced`.
            // Held by `file_that_cannot_be_synced_is_written_again`: `|| true`.
            if state.is_synced || self.sync_contents(state) {
                return Ok(None);
            }
        }
        let follows = (state.pinned.clone(), state.baseline());
        let is_short = state.journal.has_room(record_len_of(&next));
        let record = if is_short { self.seal_record(state, &next)? } else { None };
        let (written, changes) = match record {
            Some(record) => (Written::Record(record), next.rows.into_changes()),
            None => {
                let (file, changes) = self.seal_file(next)?;
                (Written::File(file), changes)
            }
        };
        Ok(Some(SealedCommit { changes, follows, written }))
    }

    pub(super) fn seal_file(&self, next: NextState<'_>) -> Result<(SealedFile, ChangeSet)> {
        let encoding = next.encoding()?;
        // Held by `a_slot_that_would_make_the_file_too_long_is_refused`.
        self.file.check_len(file_len(next.vault.bytes().len(), encoding.len()))?;
        let sealed = sealed(&next.vault, next.generation, &encoding)?;
        drop(encoding);
        let (ancestors, record_tags) = (next.ancestors(), next.record_tags().to_vec());
        Ok((SealedFile { sealed, vault: next.vault, ancestors, record_tags }, next.rows.into_changes()))
    }

    /// Writes a commit to the disk, and then puts it into memory. For `None` only the name of the file may have to be
    /// synced.
    fn put_in_place(&self, sealed: Option<SealedCommit>, lock: &Lock, deadline: &Deadline) -> Result<Durability> {
        let Some(SealedCommit { changes, follows: (pinned, baseline), written }) = sealed else {
            return Ok(self.sync_name());
        };
        let file = match written {
            Written::Record(record) => return self.append(&record, changes, &pinned, &baseline, lock, deadline),
            Written::File(file) => file,
        };
        let is_closing = self.is_closing.load(Ordering::SeqCst);
        let prepared = match self.file.prepare(Some(lock), &file.parts()) {
            // Held by `full_disk_waits_until_the_replaced_file_is_closed`: `false` instead of `is_closing`.
            Err(no_room) if is_closing && is_disk_full(&no_room) => {
                self.wait_until_closed(deadline);
                self.file.prepare(Some(lock), &file.parts())
            }
            prepared => prepared,
        };
        match prepared {
            // Held by `journal_grows_on_while_the_disk_has_no_room_for_a_new_file`.
            Err(no_room) if is_disk_full(&no_room) => {
                self.append_instead(no_room, changes, &pinned, &baseline, lock, deadline)
            }
            prepared => self.replace((prepared?, file), changes, pinned, &baseline, lock, deadline),
        }
    }

    /// Puts a new file in place of the old one, and then its state into memory.
    pub(super) fn replace(
        &self,
        (mut prepared, file): (Prepared<'_>, SealedFile),
        changes: ChangeSet,
        mut opened: PinnedFile,
        baseline: &Baseline,
        lock: &Lock,
        deadline: &Deadline,
    ) -> Result<Durability> {
        let SealedFile { sealed, vault, ancestors, record_tags } = file;
        let mut may_repeat = true;
        let Replacement { pinned, durability } = loop {
            match prepared.replace(lock, &opened) {
                // A program may have changed the times of the file and nothing else.
                Err(changed @ Error::ChangedMeanwhile { .. })
                    if may_repeat && lock.is_at_its_path() && prepared.is_there() =>
                {
                    thread::sleep(BETWEEN_ATTEMPTS.min(deadline.left()));
                    // Held by `touched_file_fails_no_save`: `return Err(changed)` instead of
                    // `opened = self.reopen(baseline)?.ok_or(changed)?`.
                    opened = self.reopen(baseline)?.ok_or(changed)?;
                    may_repeat = !deadline.left().is_zero();
                }
                replacement => break replacement?,
            }
        };
        let journal = Journal::new(&sealed.header, sealed.tag);
        let lineage = Lineage { mark: journal.mark(&sealed.header), ancestors, record_tags };
        let mut state = self.state.write();
        changes.apply(&mut state.rows);
        state.body_header = sealed.body_header;
        state.is_synced = durability.is_synced();
        self.sync_failed.store(false, Ordering::SeqCst);
        (state.header, state.vault, state.journal, state.lineage) = (sealed.header, vault, journal, lineage);
        let replaced = mem::replace(&mut state.pinned, pinned);
        drop((state, opened));
        self.notify_of_commit();
        self.close(replaced);
        Ok(durability)
    }

    /// Syncs the name of the file, unless that is done.
    fn sync_name(&self) -> Durability {
        // Held by `loaded_state_is_synced_by_an_operation_with_nothing_to_do`,
        // `unsynced_delete_is_not_forgotten_when_another_handle_saves`: `true`.
        if self.state.read().is_synced {
            return Durability::Synced;
        }
        let durability = self.file.sync_name();
        self.state.write().is_synced = durability.is_synced();
        durability
    }

    /// The file as it is now, if it holds the loaded state. The rows in memory stay as they are: changes refer to their
    /// places.
    fn reopen(&self, baseline: &Baseline) -> Result<Option<PinnedFile>> {
        let found = self.load_newest(baseline)?;
        Ok((found.lineage.mark == baseline.mark).then_some(found.pinned))
    }

    /// Closes a file that was replaced. With the last handle of a file the system frees its bytes, which may take as
    /// long as writing them did. So a thread closes a large file, unless one is still at it: then this thread does. (A
    /// forked child has no such thread, so nothing here waits for one.)
    fn close(&self, replaced: PinnedFile) {
        if replaced.len() < length(THREAD_THRESHOLD) || self.is_closing.swap(true, Ordering::SeqCst) {
            return;
        }
        let is_closing = self.is_closing.clone();
        let close = move || {
            // Held by `a_large_file_that_was_replaced_is_closed`: `mem::forget(replaced)`.
            drop(replaced);
            is_closing.store(false, Ordering::SeqCst);
        };
        if thread::Builder::new().spawn(close).is_err() {
            self.is_closing.store(false, Ordering::SeqCst);
        }
    }

    /// Waits until no thread is closing a file that was replaced, because the file keeps its blocks until then.
    fn wait_until_closed(&self, deadline: &Deadline) {
        while self.is_closing.load(Ordering::SeqCst) && !deadline.left().is_zero() {
            thread::sleep(BETWEEN_ATTEMPTS.min(deadline.left()));
        }
    }
}

fn is_disk_full(error: &Error) -> bool {
    matches!(error, Error::Io { cause, .. } if is_full(cause))
}
