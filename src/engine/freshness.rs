//! The state in memory kept that of the file, which any process may replace.

use std::{mem, sync::Arc};

use parking_lot::RwLockReadGuard;

use super::{
    Engine,
    state::{Loaded, State},
};
use crate::{
    error::Result,
    file::Opened,
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
                self.refresh()?;
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
        let identity = self.file.identity()?;
        let state = self.state.read();
        let is_fresh = identity.is_some() && identity.as_ref() == state.held.identity() && state.refused.is_none();
        Ok(is_fresh.then_some(state))
    }

    /// Looks at the newest state, behind the gate.
    pub(super) fn refreshed<R>(&self, look: impl FnOnce(&State) -> R) -> Result<R> {
        let _gate = self.gate.lock();
        self.refresh()?;
        Ok(look(&self.state.read()))
    }

    /// Reloads the file if it is not the one in memory. To be called behind the gate.
    pub(super) fn refresh(&self) -> Result<()> {
        if let Some(refused) = self.state.read().refused {
            return Err(refused.error(self.path()));
        }
        // The times of files are coarse, so the prologue is compared even where they say that nothing has changed.
        // Where they do say so, what follows the prologue may have been changed by a tool, and all of it is looked at.
        if let Some(state) = self.fresh_state()?
            && state.held.starts_with(&state.prologue)?
        {
            return Ok(());
        }
        self.file.check_path()?;
        let opened = self.file.open()?;
        let state = self.state.read();
        // A file without an identity is told by its prologue alone.
        if opened.identity().is_none() && opened.read_start(BODY_HEADER_LEN)? == state.prologue {
            return Ok(());
        }
        let loaded = state.loaded();
        drop(state);
        let mut bytes = read_all(&opened)?;
        let newest = self.load(&loaded, opened, &mut bytes)?;
        let before = mem::replace(&mut *self.state.write(), newest);
        // Once nobody waits for the newest state: all tokens are wiped.
        drop(before);
        Ok(())
    }

    /// What the bytes of the file hold, once they are seen to be the loaded state or a later one of the same store.
    /// They are decrypted in place. A caller that is not behind the gate takes `loaded` before it opens the file.
    pub(super) fn load(&self, loaded: &Loaded, opened: Opened, bytes: &mut [u8]) -> Result<State> {
        let parts = Parts::parse(bytes).map_err(|flaw| opened.bad(flaw))?;
        let Parts { body_header, table, table_bytes, header, body } = parts;
        let vault = if loaded.vault.bytes() == table_bytes {
            loaded.vault.clone()
        } else {
            Arc::new(loaded.vault.with_table(table, table_bytes)?)
        };
        let newest = State::load(vault, opened, body_header, header, body)?;
        if let Some(refused) = loaded.refuses(&newest) {
            self.state.write().refused = Some(refused);
            return Err(refused.error(self.path()));
        }
        Ok(newest)
    }
}

/// All of a file, unless its first bytes are none of a keystore's: then no more is read.
pub(super) fn read_all(opened: &Opened) -> Result<SecretBytes> {
    BodyHeader::parse(&opened.read_start(BODY_HEADER_LEN)?).map_err(|flaw| opened.bad(flaw))?;
    opened.read_all()
}
