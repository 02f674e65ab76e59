//! A change committed: made on the newest state under the lock, written, and put into memory.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use super::{
    Engine,
    draft::Draft,
    read_all,
    state::{Lineage, Loaded, sealed},
    writers::{Change, Committed, Group, Lead, Turn},
};
use crate::{
    changes::ChangeSet,
    error::{Error, Result},
    file::{Held, Lock, Unsynced, Wait},
    format::length,
    id::TokenId,
    seal::WORTH_A_THREAD,
};

/// How long a writer waits before it reads a file again that another program has changed or locked.
const BETWEEN_ATTEMPTS: Duration = Duration::from_millis(1);

/// The outcome of a write that is visible to all.
#[derive(Debug)]
#[must_use]
pub(crate) struct Written<R> {
    pub(super) value: R,
    /// Why a power cut may undo it, if it may.
    pub(super) unsynced: Option<Unsynced>,
}

impl<R> Written<R> {
    /// The value, if the write is durable; else the error for that, with the id of the saved token.
    pub(crate) fn confirmed(self, saved: impl FnOnce(&R) -> Option<TokenId>) -> Result<R> {
        match self.unsynced {
            None => Ok(self.value),
            Some(Unsynced { path, cause }) => Err(Error::DurabilityUnknown { id: saved(&self.value), path, cause }),
        }
    }
}

impl Engine {
    /// Makes changes to the rows as they were committed last, and commits them: on disk first, in memory after. Changes
    /// of other threads that wait are committed with them. An error of the change itself leaves no trace. The change
    /// may be made twice.
    pub(crate) fn write<R: Send + 'static>(
        &self,
        mut change: impl FnMut(&mut ChangeSet<'_>) -> Result<R> + Send + 'static,
    ) -> Result<Written<R>> {
        self.check_caller()?;
        let wait = self.wait();
        let made = Arc::new(Mutex::new(None));
        let result = made.clone();
        let ticket = self.writers.enqueue(Box::new(move |changes| *result.lock() = Some(change(changes))));
        let committed = match self.writers.turn(ticket, &wait)? {
            Turn::Past(committed) => committed,
            Turn::Ours(lead) => self.commit_waiting(lead, &wait),
        };
        let made = made.lock().take();
        match (made, committed) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(unsynced)) => Ok(Written { value, unsynced }),
            (None, Ok(_)) => Err(Error::internal("a change was never made")),
        }
    }

    fn commit_waiting(&self, lead: Lead<'_>, wait: &Wait) -> Committed {
        let commit = |lock: &Lock, changes: &mut [Change]| {
            let written = self.commit_under(lock, wait, |draft| self.make_all(changes, draft))?;
            Ok(Group { refused: written.value, unsynced: written.unsynced })
        };
        self.locked(lead, wait, |lead, lock| lead.commit_all(|changes| commit(lock, changes)))
    }

    /// Makes the changes of a group, one after the other. If the file would be too long, those changes are refused that
    /// each make it so. Returns the errors of the refused changes with their places.
    fn make_all(&self, changes: &mut [Change], draft: &mut Draft<'_>) -> Result<Vec<(usize, Error)>> {
        changes.iter_mut().for_each(|change| change(&mut draft.tokens));
        if self.file.check_len(draft.file_len()?).is_ok() {
            return Ok(Vec::new());
        }
        let mut refused: Vec<(usize, Error)> = Vec::new();
        draft.tokens = draft.tokens.undone();
        for place in 0..changes.len() {
            let Some(change) = changes.get_mut(place) else { break };
            change(&mut draft.tokens);
            let Err(too_large) = self.file.check_len(draft.file_len()?) else { continue };
            refused.push((place, too_large));
            // A change cannot be taken back, so the earlier ones are made again.
            draft.tokens = draft.tokens.undone();
            let earlier = changes.iter_mut().take(place).enumerate();
            let kept = earlier.filter(|(earlier, _)| refused.iter().all(|(refused, _)| refused != earlier));
            kept.for_each(|(_, change)| change(&mut draft.tokens));
        }
        Ok(refused)
    }

    /// Makes a change that is committed by itself.
    pub(super) fn commit<R>(&self, change: impl FnOnce(&mut Draft<'_>) -> Result<R>) -> Result<Written<R>> {
        self.check_caller()?;
        let wait = self.wait();
        let lead = self.writers.lead(&wait)?;
        self.locked(lead, &wait, |_, lock| self.commit_under(lock, &wait, change))
    }

    pub(super) fn locked<R>(
        &self,
        mut lead: Lead<'_>,
        wait: &Wait,
        commit: impl FnOnce(&mut Lead<'_>, &Lock) -> Result<R>,
    ) -> Result<R> {
        // Before a lock file of ours is put where the path no longer leads, or where another user's would be expected.
        self.file.check_path()?;
        self.file.check_writable()?;
        let lock = self.file.lock(wait)?;
        commit(&mut lead, &lock)
    }

    pub(super) fn commit_under<R>(
        &self,
        lock: &Lock,
        wait: &Wait,
        change: impl FnOnce(&mut Draft<'_>) -> Result<R>,
    ) -> Result<Written<R>> {
        let _gate = self.gate.lock();
        self.refresh()?;

        let state = self.state.read();
        let mut draft = Draft::of(&state, self.path())?;
        let value = change(&mut draft)?;
        if draft.is_empty(&state) {
            self.file.check_path()?;
            if !state.is_unsynced {
                return Ok(Written { value, unsynced: None });
            }
            // A file whose bytes cannot be synced is written again below.
            if self.file.sync_contents(&state.held).is_ok() {
                let unsynced = self.file.sync_name();
                drop(state);
                self.state.write().is_unsynced = unsynced.is_some();
                return Ok(Written { value, unsynced });
            }
        }
        let encoding = draft.encoding()?;
        let mut header = draft.header();
        self.file.check_len(header.file_len(encoding.len()))?;
        let vault = draft.vault.clone();
        let sealed = sealed(&vault, &mut header, &encoding)?;
        drop(encoding);
        let Draft { tokens, ancestors, .. } = draft;
        let changes = tokens.finish();
        let mut opened = state.held.duplicate()?;
        let loaded = state.loaded();
        drop(state);

        let mut prepared = self.file.prepare(Some(lock), &sealed.parts())?;
        let mut may_repeat = true;
        let replacement = loop {
            match prepared.replace(lock, &opened) {
                // A program may have changed the times of the file and nothing else.
                Err(changed @ Error::ChangedMeanwhile { .. })
                    if may_repeat && lock.is_at_its_path() && prepared.is_there() =>
                {
                    thread::sleep(BETWEEN_ATTEMPTS.min(wait.left()));
                    opened = self.reopen(&loaded)?.ok_or(changed)?;
                    may_repeat = !wait.left().is_zero();
                }
                replacement => break replacement?,
            }
        };
        let lineage = Lineage { mark: header.mark(&sealed.tag), ancestors };
        let prologue = sealed.body_header;
        let mut state = self.state.write();
        changes.apply(&mut state.rows);
        (state.prologue, state.is_unsynced) = (prologue, replacement.unsynced.is_some());
        (state.header, state.vault, state.lineage) = (header, vault, lineage);
        let replaced = mem::replace(&mut state.held, replacement.held);
        drop((state, opened));
        self.notify_of_commit();
        self.close(replaced);
        Ok(Written { value, unsynced: replacement.unsynced })
    }

    /// The file as it is now, if it holds the loaded state. The rows in memory stay as they are: changes refer to their
    /// places.
    fn reopen(&self, loaded: &Loaded) -> Result<Option<Held>> {
        let opened = self.file.open()?;
        let mut bytes = read_all(&opened)?;
        let found = self.load(loaded, opened, &mut bytes)?;
        Ok((found.header == loaded.header).then_some(found.held))
    }

    /// Closes a file that was replaced. With the last handle of a file the system frees its bytes, which may take as
    /// long as writing them did. So a thread closes a large file, unless one is still at it: then this thread does. (A
    /// forked child has no such thread, so nothing here waits for one.)
    fn close(&self, replaced: Held) {
        if replaced.len() < length(WORTH_A_THREAD) || self.is_closing.swap(true, Ordering::SeqCst) {
            return;
        }
        let is_closing = self.is_closing.clone();
        let close = move || {
            drop(replaced);
            is_closing.store(false, Ordering::SeqCst);
        };
        if thread::Builder::new().spawn(close).is_err() {
            self.is_closing.store(false, Ordering::SeqCst);
        }
    }
}

#[cfg(all(test, unix))]
mod tests;
