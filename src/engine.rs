//! One file and what is in memory of it: loaded, kept fresh, changed and committed.

mod draft;
mod inspect;
mod slots;
mod state;
mod writers;

use std::{
    io, iter, mem,
    path::{Path, PathBuf},
    process,
    sync::Arc,
    thread::{self, JoinHandle},
    time::Duration,
};

use parking_lot::{Mutex, RwLock, RwLockReadGuard};

use crate::{
    changes::Changes,
    codec::Encoding,
    error::{Error, Result},
    file::{Held, Lock, Opened, Replacement, StoreFile, Wait},
    format::{self, Header, PROLOGUE_LEN, length},
    id::TokenId,
    index::Index,
    seal::{self, WORTH_A_THREAD},
    secret::{Key, SecretBytes, random},
    unlock::{self, Keychain, Unlock, Unlocked},
};
use draft::{Addition, Draft};
pub(crate) use inspect::verify_file;
#[cfg(any(test, feature = "__fuzzing"))]
pub(crate) use state::unseal;
use state::{Loaded, State, origin_of, prologue_of, sealed};
use writers::{Change, Committed, Lead, Turn, Writers};

/// An open store.
#[derive(Debug)]
pub(crate) struct Engine {
    file: StoreFile,
    lock_timeout: Duration,
    /// The process that opened it. A forked child has a copy of the locks below, taken or not as they happened to be.
    process: u32,
    /// Where the keys of its keychain slots may be: every keychain that this handle was given.
    keychains: Mutex<Vec<Keychain>>,
    /// Whose turn it is to write, while that thread waits for other processes too.
    writers: Writers,
    /// Held by whoever may change `state`: a writer at work, or a reader that loads a newer file. Held for no longer than
    /// that takes, never while waiting for a lock, and never while a key is derived.
    gate: Mutex<()>,
    state: RwLock<State>,
    /// What closes the file that was replaced last, if that was a large one.
    closing: Mutex<Option<JoinHandle<()>>>,
}

/// The outcome of a write that is visible to all.
#[derive(Debug)]
#[must_use]
pub(crate) struct Written<R> {
    value: R,
    /// What stands in the way of calling it durable: the folder, and why it could not be synced.
    unconfirmed: Option<(PathBuf, io::Error)>,
}

impl<R> Written<R> {
    /// The value, if the write is durable; else the error for that, with the id of the saved token that the value tells.
    pub(crate) fn confirmed(self, saved: impl FnOnce(&R) -> Option<TokenId>) -> Result<R> {
        match self.unconfirmed {
            None => Ok(self.value),
            Some((path, cause)) => Err(Error::DurabilityUnknown { id: saved(&self.value), path, cause }),
        }
    }
}

impl Engine {
    /// Makes a new store. May derive a key, before the lock is taken.
    pub(crate) fn create(file: StoreFile, unlock: &Unlock, lock_timeout: Duration) -> Result<Self> {
        // Before a key is put into a keychain for nothing. Only under the lock is it certain.
        file.check_absent()?;
        let store_key = Key::random()?;
        let mut header = Header {
            store_id: random()?,
            generation: 1,
            body_len: 0,
            body_salt: [0; 32],
            body_commitment: [0; 32],
            key_id: seal::key_id(&store_key)?,
            slots: Vec::new(),
        };
        let (slot, note) = Addition::make(unlock, &header, &store_key, None)?.seal(&header.store_id, &store_key)?;
        let unlocked = Unlocked { store_key, by: slot.id };
        header.slots.push(slot);
        let notes = vec![note];
        let index = Index::empty(origin_of(&header));
        let encoding = Encoding::new(index.next_id(), &notes, iter::empty(), 0)?;
        file.check_len(header.file_len(encoding.len()))?;
        let sealed = sealed(&unlocked.store_key, &mut header, &encoding)?;

        let lock =
            file.lock(&Wait::at_most(lock_timeout, file.path())).and_then(|lock| file.check_absent().map(|()| lock));
        if let (Err(_), Some(keychain)) = (&lock, unlock.as_keychain()) {
            // Its store was never made, so nobody can need the key: else it would be there for good.
            let _ = keychain.forget(&header.store_id, unlocked.by);
        }
        let lock = lock?;
        let replacement = file.make(Some(&lock), &sealed.parts())?;
        drop(lock);

        let held = Written { value: replacement.held, unconfirmed: replacement.unconfirmed }.confirmed(|_| None)?;
        let (prologue, index) = (prologue_of(sealed), Arc::new(index));
        let state = State { held, unlocked, prologue, header, notes, index, rolled_back: false, unconfirmed: false };
        Ok(Self::new(file, &[unlock], lock_timeout, state))
    }

    /// Opens a store. May derive keys, and takes no lock.
    pub(crate) fn open(file: StoreFile, unlock: &Unlock, lock_timeout: Duration) -> Result<Self> {
        Self::open_with(file, &[unlock], lock_timeout, |header, path| unlock.open_slot(header, path))
    }

    /// Opens a store with the first unlock method that opens it.
    pub(crate) fn open_any(file: StoreFile, unlocks: &[&Unlock], lock_timeout: Duration) -> Result<Self> {
        Self::open_with(file, unlocks, lock_timeout, |header, path| unlock::open_first(unlocks, header, path))
    }

    fn open_with(
        file: StoreFile,
        unlocks: &[&Unlock],
        lock_timeout: Duration,
        unlock: impl FnOnce(&Header, &Path) -> Result<Unlocked>,
    ) -> Result<Self> {
        let opened = file.open()?;
        let mut bytes = read_all(&opened)?;
        let (header, header_bytes, body) = Header::parse(&mut bytes).map_err(|flaw| opened.bad(flaw))?;
        let unlocked = unlock(&header, file.path())?;
        let state = State::load(unlocked, opened, header, header_bytes, body)?;
        Ok(Self::new(file, unlocks, lock_timeout, state))
    }

    fn new(file: StoreFile, unlocks: &[&Unlock], lock_timeout: Duration, state: State) -> Self {
        let keychains = unlocks.iter().filter_map(|unlock| unlock.as_keychain()).cloned().collect();
        let (writers, gate, state) = (Writers::default(), Mutex::new(()), RwLock::new(state));
        Self {
            file,
            lock_timeout,
            process: process::id(),
            keychains: Mutex::new(keychains),
            writers,
            gate,
            state,
            closing: Mutex::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Looks at the rows as they were committed last, by whatever process. One call to the system tells that they are
    /// those in memory; else the newer file is loaded. Takes no lock that other processes know of.
    pub(crate) fn read<R>(&self, look: impl FnOnce(&Index) -> R) -> Result<R> {
        self.read_state(|state| look(&state.index))
    }

    fn read_state<R>(&self, look: impl FnOnce(&State) -> R) -> Result<R> {
        self.check_process()?;
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

    /// Makes changes to the rows as they were committed last, and commits them: on disk first, in memory after. What other
    /// threads have waiting is committed with them. An error of the change itself leaves no trace; it may be made more than once.
    pub(crate) fn write<R: Send + 'static>(
        &self,
        mut change: impl FnMut(&mut Changes<'_>) -> Result<R> + Send + 'static,
    ) -> Result<Written<R>> {
        self.check_process()?;
        let wait = Wait::at_most(self.lock_timeout, self.path());
        let made = Arc::new(Mutex::new(None));
        let result = made.clone();
        let ticket = self.writers.enqueue(Box::new(move |changes| *result.lock() = Some(change(changes))));
        let committed = match self.writers.turn(Some(ticket), &wait)? {
            Turn::Past(committed) => committed,
            Turn::Ours(lead) => self.commit_waiting(lead, &wait),
        };
        let made = made.lock().take();
        match (made, committed) {
            (Some(Err(error)), _) | (_, Err(error)) => Err(error),
            (Some(Ok(value)), Ok(unconfirmed)) => Ok(Written { value, unconfirmed }),
            (None, Ok(_)) => Err(Error::internal("a change was never made")),
        }
    }

    fn commit_waiting(&self, lead: Lead<'_>, wait: &Wait) -> Committed {
        let commit = |lock: &Lock, changes: &mut [Change]| {
            let make = |draft: &mut Draft<'_>| {
                changes.iter_mut().for_each(|change| change(&mut draft.tokens));
                Ok(())
            };
            self.commit_under(lock, make).map(|written| written.unconfirmed)
        };
        self.locked(lead, wait, |lead, lock| lead.commit_all(|changes| commit(lock, changes)))
    }

    /// Makes a change that is committed by itself.
    fn commit<R>(&self, change: impl FnOnce(&mut Draft<'_>) -> Result<R>) -> Result<Written<R>> {
        self.check_process()?;
        let wait = Wait::at_most(self.lock_timeout, self.path());
        let lead = self.writers.lead(&wait)?;
        self.locked(lead, &wait, |_, lock| self.commit_under(lock, change))
    }

    fn locked<R>(
        &self,
        mut lead: Lead<'_>,
        wait: &Wait,
        commit: impl FnOnce(&mut Lead<'_>, &Lock) -> Result<R>,
    ) -> Result<R> {
        // Before a lock file of ours is put where another user's would be expected.
        self.file.check_writable()?;
        lead.begin(wait);
        let lock = self.file.lock(wait)?;
        let committed = commit(&mut lead, &lock);
        drop(lock);
        lead.end();
        committed
    }

    fn commit_under<R>(&self, lock: &Lock, change: impl FnOnce(&mut Draft<'_>) -> Result<R>) -> Result<Written<R>> {
        let _gate = self.gate.lock();
        self.refresh()?;

        let state = self.state.read();
        let mut draft = Draft::of(&state)?;
        let value = change(&mut draft)?;
        if draft.is_empty(&state) {
            let unconfirmed = if state.unconfirmed { self.file.confirm() } else { None };
            drop(state);
            self.state.write().unconfirmed = unconfirmed.is_some();
            return Ok(Written { value, unconfirmed });
        }
        let Draft { tokens, mut header, notes, unlocked, .. } = draft;
        let encoding = Encoding::new(tokens.next_id(), &notes, tokens.iter(), tokens.records_len())?;
        self.file.check_len(header.file_len(encoding.len()))?;
        let sealed = sealed(&unlocked.store_key, &mut header, &encoding)?;
        let delta = tokens.finish();
        let identity = state.held.identity().cloned();
        drop(state);

        let Replacement { held, unconfirmed } = self.file.replace(lock, identity.as_ref(), &sealed.parts())?;
        let prologue = prologue_of(sealed);
        let mut state = self.state.write();
        delta.apply(Arc::make_mut(&mut state.index));
        (state.prologue, state.unconfirmed) = (prologue, unconfirmed.is_some());
        (state.header, state.notes, state.unlocked) = (header, notes, unlocked);
        let replaced = mem::replace(&mut state.held, held);
        drop(state);
        self.close(replaced);
        Ok(Written { value, unconfirmed })
    }

    /// Closes a file that was replaced. With its last handle the system frees its bytes, which may take it as long as writing
    /// them did: nobody is to wait for that if there are many, until the next file is closed.
    fn close(&self, replaced: Held) {
        if replaced.len() < length(WORTH_A_THREAD) {
            return;
        }
        let mut closing = self.closing.lock();
        if let Some(before) = closing.take() {
            let _ = before.join();
        }
        // If the system has no thread for it, it is closed here.
        *closing = thread::Builder::new().spawn(move || drop(replaced)).ok();
    }

    /// The rows as they were committed last, as they are now whatever becomes of them.
    pub(crate) fn snapshot(&self) -> Result<Arc<Index>> {
        self.read_state(|state| state.index.clone())
    }

    fn rolled_back(&self) -> Error {
        Error::RolledBack { path: self.path().to_owned() }
    }

    fn check_process(&self) -> Result<()> {
        if self.process == process::id() { Ok(()) } else { Err(Error::Forked { path: self.path().to_owned() }) }
    }

    /// What is in memory, if the file is known to be that without a look into it.
    fn fresh_state(&self) -> Result<Option<RwLockReadGuard<'_, State>>> {
        let identity = self.file.identity()?;
        let state = self.state.read();
        let is_fresh = identity.is_some() && identity.as_ref() == state.held.identity() && !state.rolled_back;
        Ok(is_fresh.then_some(state))
    }

    /// Makes what is in memory what is in the file. To be called behind the gate.
    fn refresh(&self) -> Result<()> {
        if self.state.read().rolled_back {
            return Err(self.rolled_back());
        }
        // The times of files are coarse, so the prologue is compared even where they say that nothing has changed. Where
        // they do say so, what follows the prologue may have been changed by a tool, and all of it is looked at.
        if let Some(state) = self.fresh_state()?
            && state.held.starts_with(&state.prologue)?
        {
            return Ok(());
        }
        let opened = self.file.open()?;
        let state = self.state.read();
        // A file without an identity is told by its prologue alone.
        if opened.identity().is_none() && opened.read_start(PROLOGUE_LEN)? == state.prologue {
            return Ok(());
        }
        let (loaded, unconfirmed) = (state.loaded(), state.unconfirmed);
        drop(state);
        let mut bytes = read_all(&opened)?;
        let mut newest = self.load(&loaded, opened, &mut bytes)?;
        newest.unconfirmed = unconfirmed && newest.header.generation == loaded.header.generation;
        let before = mem::replace(&mut *self.state.write(), newest);
        // Once nobody waits for the newest state: all tokens are wiped.
        drop(before);
        Ok(())
    }

    /// What the bytes of the file hold, once they are seen to be the loaded state or a later one of the same store. They are
    /// decrypted in place. Whoever is not behind the gate took `loaded` before the file was opened.
    fn load(&self, loaded: &Loaded, opened: Opened, bytes: &mut [u8]) -> Result<State> {
        let (header, header_bytes, body) = Header::parse(bytes).map_err(|flaw| opened.bad(flaw))?;
        let Loaded { unlocked, header: loaded } = loaded;
        if header.store_id != loaded.store_id {
            return Err(Error::Replaced { path: self.path().to_owned() });
        }
        if header.key_id != loaded.key_id {
            return Err(Error::Rekeyed { path: self.path().to_owned() });
        }
        let newest = State::load(unlocked.clone(), opened, header, header_bytes, body)?;
        // Only now is the generation known to be one that we wrote.
        if newest.header.generation < loaded.generation
            || (newest.header.generation == loaded.generation && newest.header.body_salt != loaded.body_salt)
        {
            self.state.write().rolled_back = true;
            return Err(self.rolled_back());
        }
        Ok(newest)
    }
}

/// All of a file, unless its first bytes are none of a keystore's: then no more is read.
fn read_all(opened: &Opened) -> Result<SecretBytes> {
    format::header_len(&opened.read_start(PROLOGUE_LEN)?).map_err(|flaw| opened.bad(flaw))?;
    opened.read_all()
}

#[cfg(test)]
mod damage;
#[cfg(all(test, unix))]
mod power_cut;
#[cfg(test)]
mod tests;
