//! Keeps the state in memory equal to the file, which any process may append to or replace.
//!
//! The state is fresh for a find if one look at the path finds the stamp of the file that was loaded: device, inode,
//! length and times ([`FileStamp`](crate::file::FileStamp)). If the file has only become longer, the records after the
//! loaded end are read. If they do not verify, or if the stamp differs otherwise, the whole file is loaded. Times are
//! coarse, so a writer that finds the stamp unchanged compares the body header and the last tag too: a replacement
//! changes the body header, and an append changes the length and the last tag. Where files have no stamp, body header,
//! length and last tag decide.
//!
//! A file that was loaded is adopted if it has the same store id and the same store key (`Vault::with_table`), and if
//! [`Baseline::refuses`] finds no fault in its history. If it does, each later operation on the tokens reports that.

use std::{
    mem,
    sync::{Arc, atomic::Ordering},
};

use parking_lot::RwLockReadGuard;

use super::{
    Engine,
    journal::AtDamage,
    state::{Baseline, State},
};
use crate::{
    error::{Error, FileFlaw, Result},
    file::{FileStamp, OpenFile, StoreFile},
    format::{BODY_HEADER_LEN, BodyHeader, Parts},
    index::Index,
    secret::SecretBytes,
};

impl Engine {
    /// Looks at the rows of a namespace as any process committed them last. One call to the system shows whether they
    /// are those in memory; if not, the newer file is loaded. Takes no lock that blocks other processes.
    pub(crate) fn read<R>(&self, namespace: &str, look: impl FnOnce(&Index) -> R) -> Result<R> {
        self.read_state(|state| look(&state.rows.index(namespace)))
    }

    /// The names of the namespaces that have rows, but for the default one.
    pub(crate) fn namespaces(&self) -> Result<Vec<String>> {
        self.read_state(|state| state.rows.listed_names())
    }

    pub(super) fn read_state<R>(&self, look: impl FnOnce(&State) -> R) -> Result<R> {
        self.check_caller()?;
        let at_path = self.file.stamp()?;
        let state = match self.fresh_state(at_path.as_ref()) {
            Some(state) => state,
            None => {
                let _gate = self.gate.lock();
                self.reload_if_changed()?;
                self.state.read()
            }
        };
        Ok(look(&state))
    }

    /// The rows of a namespace as they were committed last. Later commits leave them as they are.
    pub(crate) fn snapshot(&self, namespace: &str) -> Result<Arc<Index>> {
        self.read_state(|state| state.rows.index(namespace))
    }

    /// The state in memory, if the stamp of the file at the path says that the file holds it.
    fn fresh_state(&self, at_path: Option<&FileStamp>) -> Option<RwLockReadGuard<'_, State>> {
        let state = self.state.read();
        // Held by `file_damaged_in_place_is_neither_read_nor_overwritten`:
        // `at_path.is_some() && state.refused.is_none()`.
        let is_fresh = at_path.is_some() && at_path == state.pinned.stamp() && state.refused.is_none();
        is_fresh.then_some(state)
    }

    /// Looks at the newest state, behind the gate.
    pub(super) fn look_at_newest<R>(&self, look: impl FnOnce(&State) -> R) -> Result<R> {
        let _gate = self.gate.lock();
        self.reload_if_changed()?;
        Ok(look(&self.state.read()))
    }

    /// Reloads the file if it is not the one in memory. To be called behind the gate.
    pub(super) fn reload_if_changed(&self) -> Result<()> {
        // Held by `older_file_put_back_is_noticed_until_reopened`: `&& false`.
        if let Some(refused) = self.state.read().refused {
            return Err(refused.error(self.path()));
        }
        // The times of files are coarse. So body header and last tag are compared even if the stamp is unchanged. If it
        // has changed, a tool may have changed any byte of the file, and the whole file is read.
        let at_path = self.file.stamp()?;
        if let Some(state) = self.fresh_state(at_path.as_ref()) {
            // Held by `change_in_place_with_old_times_is_seen_by_the_next_save`: `true`.
            if state.pinned.holds(state.loaded_end())? {
                return Ok(());
            }
        }
        if self.read_on(at_path.as_ref())? {
            return Ok(());
        }
        self.file.check_path()?;
        let baseline = self.state.read().baseline();
        let newest = self.load_newest(&baseline)?;
        let before = mem::replace(&mut *self.state.write(), newest);
        if before.body_header != self.state.read().body_header {
            // Another file, whose sync has not failed.
            // Held by `file_that_could_not_be_synced_is_never_synced_again`.
            self.sync_failed.store(false, Ordering::SeqCst);
        }
        // After the lock on the state is released, because wiping all tokens takes time.
        drop(before);
        Ok(())
    }

    /// Reads the records that other handles have appended to the loaded file. Returns `false` if the whole file has to
    /// be read: it is another file, it was changed without becoming longer, or the bytes after the loaded end do not
    /// verify.
    fn read_on(&self, at_path: Option<&FileStamp>) -> Result<bool> {
        let state = self.state.read();
        match at_path {
            // A path that leads to the loaded file needs no further check.
            // Held by `save_where_a_directory_link_was_exchanged_is_refused`: `false` instead of
            // `!state.pinned.is_file_of(at_path)`.
            Some(at_path) if !state.pinned.is_file_of(at_path) => return Ok(false),
            Some(_) => {}
            None => self.file.check_path()?,
        }
        // The caller checks the path, opens the file, and reports the error.
        let Ok(opened) = self.file.look_again(&state.pinned) else { return Ok(false) };
        let end = state.loaded_end();
        let has_stamp = opened.stamp().is_some();
        // A torn record makes a file longer than its records, so the length of the open file counts too.
        // Held by `torn_file_that_was_changed_in_place_is_read_as_a_whole`: `end.len`.
        let known_len = end.len.max(state.pinned.len());
        let is_longer = opened.len() > known_len && state.pinned.may_be_same_file(&opened);
        // Without a stamp, header and end alone tell one state from the next.
        let is_same = !has_stamp && opened.len() == end.len;
        if !(is_longer || is_same) || !opened.holds(end)? {
            return Ok(false);
        }
        let Some(mut appended) = opened.read_from(end.len)? else { return Ok(false) };
        drop(state);
        let mut state = self.state.write();
        let State { journal, rows, vault, header, lineage, is_synced, .. } = &mut *state;
        let before = journal.record_count();
        let replayed = journal.replay(&mut appended, vault, header, rows, AtDamage::Refuse)?;
        lineage.mark = journal.mark(header);
        *is_synced = *is_synced && journal.record_count() == before;
        if replayed.is_err() {
            return Ok(false);
        }
        let before = mem::replace(&mut state.pinned, opened.pin());
        drop((state, before));
        Ok(true)
    }

    /// What the file at the path holds.
    pub(super) fn load_newest(&self, baseline: &Baseline) -> Result<State> {
        read_twice(&self.file, |opened, bytes| self.load(baseline, opened, bytes))
    }

    /// What the bytes of the file hold, once they are seen to be the loaded state or a later one of the same store.
    /// They are decrypted in place. A caller that is not behind the gate takes `baseline` before it opens the file.
    pub(super) fn load(&self, baseline: &Baseline, opened: OpenFile, bytes: &mut [u8]) -> Result<State> {
        let parts = Parts::parse(bytes).map_err(|flaw| opened.bad(flaw))?;
        let vault = if baseline.vault.bytes() == parts.table_bytes {
            baseline.vault.clone()
        } else {
            Arc::new(baseline.vault.with_table(parts.table.clone(), parts.table_bytes)?)
        };
        let newest = State::load(vault, opened, parts, AtDamage::Refuse)?;
        if let Some(refused) = baseline.refuses(&newest) {
            self.state.write().refused = Some(refused);
            return Err(refused.error(self.path()));
        }
        Ok(newest)
    }
}

/// Reads a file and loads what it holds. A file that looks damaged is read once more: a writer may have been in the
/// middle of an append.
pub(super) fn read_twice<T>(file: &StoreFile, load: impl Fn(OpenFile, &mut SecretBytes) -> Result<T>) -> Result<T> {
    match read_once(file, &load) {
        Err(Error::BadFile { flaw: FileFlaw::Tampered, .. }) => read_once(file, &load),
        loaded => loaded,
    }
}

pub(super) fn read_once<T>(file: &StoreFile, load: impl Fn(OpenFile, &mut SecretBytes) -> Result<T>) -> Result<T> {
    let opened = file.open()?;
    let mut bytes = read_all(&opened)?;
    load(opened, &mut bytes)
}

/// All of a file, unless its first bytes are none of a keystore's: then no more is read.
pub(super) fn read_all(opened: &OpenFile) -> Result<SecretBytes> {
    // Held by `a_huge_file_that_is_no_keystore_is_not_read`.
    BodyHeader::parse(&opened.read_start(BODY_HEADER_LEN)?).map_err(|flaw| opened.bad(flaw))?;
    opened.read_all()
}
