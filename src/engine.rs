//! One file and what is in memory of it: loaded, kept fresh, changed and committed.
//!
//! # Who waits for whom
//!
//! A thread takes what it needs in this order, and never the other way round, so no two threads wait for each other:
//!
//! 1. **Its turn** among the writers of this handle (`writers`, in `group.rs`). The thread whose turn it is leads: it
//!    commits the changes of all who wait. A follower waits for its leader, and takes none of the locks below.
//! 2. **The lock file** ([`StoreFile::lock`]), which keeps other processes and other handles out. Processes wait for it
//!    until a deadline, in a queue.
//! 3. **The gate** (`gate`): the thread behind it may replace the state in memory. A writer is behind it from its
//!    reload to the end of its commit; a reader, while it loads a newer file. A writer waits behind the gate only while
//!    another program changes the file without a lock, and at most until its deadline.
//! 4. **The state** (`state`): readers share it. The thread behind the gate exchanges it in microseconds. If another
//!    handle has appended records, the thread decrypts and adds them under this lock, which may take milliseconds.
//!
//! A find waits at the gate only if the file's stamp is not the one that was loaded; where files have no stamp
//! (Windows), each find does. Slot keys are derived, and keychains are asked, before any of these is taken or after all
//! are given up. The lock on one token (`file/token_lock.rs`) is not in this order: a caller that waits for it holds
//! none of the four meanwhile.

mod append;
mod commit;
mod freshness;
mod group;
mod inspect;
mod journal;
mod next_state;
#[cfg(feature = "__fuzzing")]
mod replayed;
mod sealing;
mod slots;
mod state;
mod token_lock;
mod transaction;
mod version;

use std::{
    cell::RefCell,
    iter,
    path::Path,
    process,
    sync::{Arc, atomic::AtomicBool},
    time::Duration,
};

use parking_lot::{Condvar, Mutex, RwLock};

use crate::{
    codec::{Encoding, Prelude},
    error::{Error, FileFlaw, Result},
    file::{Deadline, Durability, OpenFile, Replacement, StoreFile},
    format::{KeyTable, Parts, file_len, header_len},
    namespaces::Namespaces,
    secret::SecretBytes,
    transaction_thread::TransactionThread,
    unlock::{self, Unlock, Unlocked},
    vault::{Vault, VaultChange},
};
use freshness::read_once;
use group::Writers;
pub(crate) use inspect::{recover_before_damage, set_aside, verify_file};
use journal::{AtDamage, Journal};
#[cfg(feature = "__fuzzing")]
pub(crate) use replayed::{Replayed, replay};
#[cfg(feature = "__fuzzing")]
pub(crate) use sealing::sealed as seal;
use sealing::sealed;
#[cfg(any(test, feature = "__fuzzing"))]
pub(crate) use state::unseal;
use state::{Lineage, State, origin_of};

/// An open store.
#[derive(Debug)]
pub(crate) struct Engine {
    file: StoreFile,
    lock_timeout: Duration,
    /// The process that opened it. A forked child has a copy of the locks below, taken or not as they happened to be.
    process: u32,
    /// Whose turn it is to write, while that thread waits for other processes too.
    writers: Writers,
    /// Held by the thread that may exchange `state`: a writer at work, or a reader that loads a newer file.
    gate: Mutex<()>,
    state: RwLock<State>,
    /// The thread that is in a transaction.
    transaction: TransactionThread,
    /// How many commits this handle has made, and who waits for the next.
    commits: Mutex<u64>,
    committed: Condvar,
    /// Whether the loaded file could not be synced. The system may have dropped some of its bytes, and would call a
    /// second try a success: only a new file helps.
    sync_failed: AtomicBool,
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
                // Held by `failed_create_leaves_no_key_and_no_lock_file`.
                created.discard();
                Err(error)
            }
        }
    }

    /// Makes the file. After an error there is no store.
    fn create_with(file: StoreFile, created: &VaultChange, lock_timeout: Duration) -> Result<(Self, Durability)> {
        let vault = created.vault();
        let table_len = vault.bytes().len();
        let rows = Namespaces::empty(origin_of(vault));
        let prelude = Prelude { next_id: rows.next_id(), ancestors: &[], record_tags: &[] };
        let encoding = Encoding::new(header_len(table_len), prelude, iter::empty(), 0)?;
        // Held by `a_new_store_over_the_limit_is_not_made`.
        file.check_len(file_len(table_len, encoding.len()))?;
        let sealed = sealed(vault, 1, &encoding)?;

        let lock = file.lock(&Deadline::after(lock_timeout, file.path()))?;
        let made = file.make(Some(&lock), &sealed.parts(vault.bytes()));
        if made.is_err() {
            // Held by `failed_create_leaves_no_key_and_no_lock_file`.
            file.leave_nothing(&lock);
        }
        let Replacement { pinned, durability } = made?;
        drop(lock);

        let journal = Journal::new(&sealed.header, sealed.tag);
        let mark = journal.mark(&sealed.header);
        let state = State {
            pinned,
            body_header: sealed.body_header,
            header: sealed.header,
            vault: Arc::new(vault.clone()),
            rows,
            journal,
            lineage: Lineage { mark, ancestors: Vec::new(), record_tags: Vec::new() },
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
        unlock: impl Fn(&KeyTable, &Path) -> Result<Unlocked>,
    ) -> Result<Self> {
        let state = unlock_state(&file, unlocks, unlock, AtDamage::Refuse)?;
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
            transaction: TransactionThread::default(),
            commits: Mutex::default(),
            committed: Condvar::new(),
            sync_failed: AtomicBool::new(false),
            is_closing: Arc::default(),
        }
    }

    pub(crate) fn path(&self) -> &Path {
        self.file.path()
    }

    /// Whether this handle may be used: by the process that opened it, and outside of its own transaction.
    fn check_caller(&self) -> Result<()> {
        // Held by `a_forked_child_is_refused`.
        if self.process != process::id() {
            return Err(Error::Forked { path: self.path().to_owned() });
        }
        if self.transaction.is_this_thread() { Err(Error::InTransaction) } else { Ok(()) }
    }

    /// A wait for other writers that begins now.
    fn deadline(&self) -> Deadline {
        Deadline::after(self.lock_timeout, self.path())
    }
}

/// The state of a file that no handle has open.
fn unlock_state(
    file: &StoreFile,
    unlocks: &[&Unlock],
    unlock: impl Fn(&KeyTable, &Path) -> Result<Unlocked>,
    at_damage: AtDamage,
) -> Result<State> {
    let unlocked: RefCell<Option<Arc<Vault>>> = RefCell::default();
    let load = |opened: OpenFile, bytes: &mut SecretBytes| {
        let parts = Parts::parse(bytes).map_err(|flaw| opened.bad(flaw))?;
        let known = unlocked.borrow().clone().filter(|vault| vault.bytes() == parts.table_bytes);
        let vault = match known {
            Some(vault) => vault,
            None => {
                let table = parts.table.clone();
                let vault = Vault::unlock(file.path(), table, parts.table_bytes, |table| unlock(table, file.path()))?;
                unlocks.iter().for_each(|unlock| vault.remember_keeper_of(unlock));
                let vault = Arc::new(vault);
                *unlocked.borrow_mut() = Some(vault.clone());
                vault
            }
        };
        State::load(vault, opened, parts, at_damage)
    };
    match read_once(file, load) {
        // A second read, as `read_twice` makes it, but never a second derivation for a key table that is refused.
        Err(Error::BadFile { flaw: FileFlaw::Tampered, .. }) if unlocked.borrow().is_some() => read_once(file, load),
        loaded => loaded,
    }
}

#[cfg(test)]
mod tests;
