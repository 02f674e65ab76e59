//! One file and what is in memory of it: loaded, kept fresh, changed and committed.

mod claim;
mod commit;
mod group;
mod inspect;
mod next_state;
mod slots;
mod state;
mod transaction;
mod version;

use std::{
    iter, mem,
    path::Path,
    process,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use parking_lot::{Condvar, Mutex, RwLock, RwLockReadGuard};

use crate::{
    codec::{Encoding, Prelude},
    error::{Error, Result},
    file::{Durability, Opened, Replacement, StoreFile, Wait},
    format::{BODY_HEADER_LEN, BodyHeader, KeyTable, Parts},
    index::Index,
    namespaces::Namespaces,
    owner::Owner,
    secret::SecretBytes,
    unlock::{self, Unlock, Unlocked},
    vault::{Vault, VaultChange},
};
use group::Writers;
pub(crate) use inspect::{set_aside, verify_file};
#[cfg(any(test, feature = "__fuzzing"))]
pub(crate) use state::unseal;
use state::{Lineage, Loaded, State, origin_of, sealed};

/// An open store.
#[derive(Debug)]
pub(crate) struct Engine {
    file: StoreFile,
    lock_timeout: Duration,
    /// The process that opened it. A forked child has a copy of the locks below, taken or not as they happened to be.
    process: u32,
    /// Whose turn it is to write, while that thread waits for other processes too.
    writers: Writers,
    /// Held by the thread that may change `state`: a writer at work, or a reader that loads a newer file. Held for no
    /// longer than that takes, never while waiting for a lock, and never while a key is derived.
    gate: Mutex<()>,
    state: RwLock<State>,
    /// The thread that is in a transaction.
    transaction: Owner,
    /// How many commits this handle has made, and who waits for the next.
    commits: Mutex<u64>,
    committed: Condvar,
    /// Whether a thread is closing a large file that was replaced.
    is_closing: Arc<AtomicBool>,
}

impl Engine {
    /// Makes a new store. May derive a key, before the lock is taken.
    pub(crate) fn create(file: StoreFile, unlock: &Unlock, lock_timeout: Duration) -> Result<Self> {
        // Before a key is put into a keychain for nothing. Only under the lock is it certain.
        file.check_absent()?;
        let created = Vault::create(file.path(), unlock)?;
        match Self::create_with(file, &created, lock_timeout) {
            Ok((engine, durability)) => durability.confirm(None).map(|()| engine),
            Err(error) => {
                // There is no store that the key could open, and nothing would ever list it.
                created.discard();
                Err(error)
            }
        }
    }

    /// Makes the file. After an error there is no store.
    fn create_with(file: StoreFile, created: &VaultChange, lock_timeout: Duration) -> Result<(Self, Durability)> {
        let vault = created.vault();
        let mut header = BodyHeader::new(1, vault.bytes().len());
        let rows = Namespaces::empty(origin_of(vault));
        let prelude = Prelude { next_id: rows.next_id(), ancestors: &[] };
        let encoding = Encoding::new(header.header_len(), prelude, iter::empty(), 0)?;
        file.check_len(header.file_len(encoding.len()))?;
        let sealed = sealed(vault, &mut header, &encoding)?;

        let lock = file.lock(&Wait::at_most(lock_timeout, file.path()))?;
        let made = file.make(Some(&lock), &sealed.parts(vault.bytes()));
        if made.is_err() {
            file.leave_nothing(&lock);
        }
        let Replacement { held, durability } = made?;
        drop(lock);

        let lineage = Lineage { mark: header.mark(&sealed.tag), ancestors: Vec::new() };
        let state = State {
            held,
            prologue: sealed.body_header,
            header,
            vault: Arc::new(vault.clone()),
            rows,
            lineage,
            refused: None,
            is_synced: durability.is_synced(),
        };
        Ok((Self::new(file, lock_timeout, state), durability))
    }

    /// Opens a store. May derive keys, and takes no lock.
    pub(crate) fn open(file: StoreFile, unlock: &Unlock, lock_timeout: Duration) -> Result<Self> {
        Self::open_with(file, &[unlock], lock_timeout, |table, path| unlock.open_slot(table, path))
    }

    /// Opens a store with the first unlock method that opens it.
    pub(crate) fn open_any(file: StoreFile, unlocks: &[&Unlock], lock_timeout: Duration) -> Result<Self> {
        Self::open_with(file, unlocks, lock_timeout, |table, path| unlock::open_first(unlocks, table, path))
    }

    fn open_with(
        file: StoreFile,
        unlocks: &[&Unlock],
        lock_timeout: Duration,
        unlock: impl FnOnce(&KeyTable, &Path) -> Result<Unlocked>,
    ) -> Result<Self> {
        let opened = file.open()?;
        let mut bytes = read_all(&opened)?;
        let parts = Parts::parse(&mut bytes).map_err(|flaw| opened.bad(flaw))?;
        let Parts { body_header, table, table_bytes, header, body } = parts;
        let vault = Vault::unlock(file.path(), table, table_bytes, |table| unlock(table, file.path()))?;
        unlocks.iter().for_each(|unlock| vault.meet(unlock));
        let state = State::load(Arc::new(vault), opened, body_header, header, body)?;
        Ok(Self::new(file, lock_timeout, state))
    }

    fn new(file: StoreFile, lock_timeout: Duration, state: State) -> Self {
        Self {
            file,
            lock_timeout,
            process: process::id(),
            writers: Writers::default(),
            gate: Mutex::new(()),
            state: RwLock::new(state),
            transaction: Owner::default(),
            commits: Mutex::default(),
            committed: Condvar::new(),
            is_closing: Arc::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Looks at the rows of a namespace as any process committed them last. One call to the system shows whether they
    /// are those in memory; if not, the newer file is loaded. Takes no lock that blocks other processes.
    pub(crate) fn read<R>(&self, namespace: &str, look: impl FnOnce(&Index) -> R) -> Result<R> {
        self.read_state(|state| look(&state.rows.index(namespace)))
    }

    /// The names of the namespaces that have rows, but for the default one.
    pub(crate) fn namespaces(&self) -> Result<Vec<String>> {
        self.read_state(|state| state.rows.listed_names())
    }

    fn read_state<R>(&self, look: impl FnOnce(&State) -> R) -> Result<R> {
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

    /// Whether this handle may be used: by the process that opened it, and outside of its own transaction.
    fn check_caller(&self) -> Result<()> {
        if self.process != process::id() {
            return Err(Error::Forked { path: self.path().to_owned() });
        }
        if self.transaction.is_this_thread() { Err(Error::InTransaction) } else { Ok(()) }
    }

    /// What is in memory, if the file is known to be that without a look into it.
    fn fresh_state(&self) -> Result<Option<RwLockReadGuard<'_, State>>> {
        let identity = self.file.identity()?;
        let state = self.state.read();
        let is_fresh = identity.is_some() && identity.as_ref() == state.held.identity() && state.refused.is_none();
        Ok(is_fresh.then_some(state))
    }

    /// Looks at the newest state, behind the gate.
    fn refreshed<R>(&self, look: impl FnOnce(&State) -> R) -> Result<R> {
        let _gate = self.gate.lock();
        self.refresh()?;
        Ok(look(&self.state.read()))
    }

    /// A wait for other writers that begins now.
    fn wait(&self) -> Wait {
        Wait::at_most(self.lock_timeout, self.path())
    }

    /// Reloads the file if it is not the one in memory. To be called behind the gate.
    fn refresh(&self) -> Result<()> {
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
    fn load(&self, loaded: &Loaded, opened: Opened, bytes: &mut [u8]) -> Result<State> {
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
fn read_all(opened: &Opened) -> Result<SecretBytes> {
    BodyHeader::parse(&opened.read_start(BODY_HEADER_LEN)?).map_err(|flaw| opened.bad(flaw))?;
    opened.read_all()
}

#[cfg(test)]
mod damage;
#[cfg(all(test, unix))]
mod power_cut;
#[cfg(test)]
mod tests;
