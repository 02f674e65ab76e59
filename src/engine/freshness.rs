//! Keeps the state in memory that of the file, which any process may replace.
//!
//! The state is fresh for a find if one look at the path finds the stamp of the file that was loaded: device, inode,
//! length and times ([`FileStamp`](crate::file::FileStamp)). If the stamp differs, the whole file is loaded. Times are
//! coarse, so a writer that finds the stamp unchanged compares the body header too, which each commit changes. Where
//! files have no stamp, the body header alone decides.
//!
//! A file that was loaded is adopted if it has the same store id and the same store key (`Vault::with_table`), and if
//! [`Baseline::refuses`] finds no fault in its history. If it does, each later operation on the tokens reports that.

use std::{mem, sync::Arc};

use parking_lot::RwLockReadGuard;

use super::{
    Engine,
    state::{Baseline, State},
};
use crate::{
    error::Result,
    file::OpenFile,
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
        let state = match self.fresh_state()? {
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

    /// What is in memory, if the file is known to be that without a look into it.
    fn fresh_state(&self) -> Result<Option<RwLockReadGuard<'_, State>>> {
        let stamp = self.file.stamp()?;
        let state = self.state.read();
        // Held by `file_damaged_in_place_is_neither_read_nor_overwritten`:
        // `stamp.is_some() && state.refused.is_none()`.
        let is_fresh = stamp.is_some() && stamp.as_ref() == state.pinned.stamp() && state.refused.is_none();
        Ok(is_fresh.then_some(state))
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
        // The times of files are coarse, so the body header is compared even where they say that nothing has changed.
        // Where they do say so, what follows the body header may have been changed by a tool, and all of it is looked
        // at.
        if let Some(state) = self.fresh_state()?
            // Held by `change_in_place_with_old_times_is_seen_by_the_next_save`.
            && state.pinned.starts_with(&state.body_header)?
        {
            return Ok(());
        }
        self.file.check_path()?;
        let opened = self.file.open()?;
        let state = self.state.read();
        // Without a stamp, the body header alone tells one state from the next.
        if opened.stamp().is_none() && opened.read_start(BODY_HEADER_LEN)? == state.body_header {
            return Ok(());
        }
        let baseline = state.baseline();
        drop(state);
        let mut bytes = read_all(&opened)?;
        let newest = self.load(&baseline, opened, &mut bytes)?;
        let before = mem::replace(&mut *self.state.write(), newest);
        // Once nobody waits for the newest state: all tokens are wiped.
        drop(before);
        Ok(())
    }

    /// What the bytes of the file hold, once they are seen to be the loaded state or a later one of the same store.
    /// They are decrypted in place. A caller that is not behind the gate takes `baseline` before it opens the file.
    pub(super) fn load(&self, baseline: &Baseline, opened: OpenFile, bytes: &mut [u8]) -> Result<State> {
        let parts = Parts::parse(bytes).map_err(|flaw| opened.bad(flaw))?;
        let Parts { body_header, table, table_bytes, header, body } = parts;
        let vault = if baseline.vault.bytes() == table_bytes {
            baseline.vault.clone()
        } else {
            Arc::new(baseline.vault.with_table(table, table_bytes)?)
        };
        let newest = State::load(vault, opened, body_header, header, body)?;
        if let Some(refused) = baseline.refuses(&newest) {
            self.state.write().refused = Some(refused);
            return Err(refused.error(self.path()));
        }
        Ok(newest)
    }
}

/// All of a file, unless its first bytes are none of a keystore's: then no more is read.
pub(super) fn read_all(opened: &OpenFile) -> Result<SecretBytes> {
    // Held by `a_huge_file_that_is_no_keystore_is_not_read`.
    BodyHeader::parse(&opened.read_start(BODY_HEADER_LEN)?).map_err(|flaw| opened.bad(flaw))?;
    opened.read_all()
}
