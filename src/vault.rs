//! A store key and its key slots, without a place to keep them.
//!
//! A [`Vault`] is what a keystore is without a file. It is a small blob, the key table, that an application keeps
//! wherever it likes: in a database, in a secret manager, in a file of its own. It is unlocked like a file, with the
//! same unlock methods, and has key slots like a file. With it an application seals the rows of its own
//! [`TokenStore`](crate::TokenStore): [`seal_row`](Vault::seal_row), [`open_row`](Vault::open_row) and
//! [`blind_index`](Vault::blind_index). `examples/custom_store.rs` is a store that does.
//!
//! **Replace the blob with compare-and-swap**: only if the stored blob is still the one that the change
//! [replaces](VaultChange::replaced). Otherwise one of two processes that change key slots at the same time would undo
//! the other's change.
//!
//! **Compare the blob in each transaction on rows**: if the stored one is not [the vault's](Vault::bytes), call
//! [`reload`](Vault::reload), or open the vault again after a rekeying. A process that goes on with an old store key
//! finds no row by its blind indexes, reports no error, and adds a second row for the same token.
//!
//! **Limits.** An attacker who can write the blob can put back a whole older blob, as with a file. Only
//! [`rekey`](Vault::rekey) makes the secret of a removed key slot worthless. The vault refuses a blob in which one slot
//! was put back. It detects a sealed row that was swapped, copied or edited. An attacker who can write the database can
//! still delete a row, put back any earlier version of a row, bring back a deleted row, and see sizes and times. The
//! vault does not authenticate what an application stores beside the rows, such as its next id.
//!
//! A dropped change may leave a key in the keychain that no slot needs. Its entry has the [store id](Vault::store_id)
//! and a slot id that [`slots`](Vault::slots) does not list: see `docs/keychain.md`.
//!
//! ```
//! use tokenkeep::{Passphrase, Unlock, vault::Vault};
//!
//! # use tokenkeep::KdfParams;
//! # let passphrase = || Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN);
//! let unlock = Unlock::from(passphrase());
//! let change = Vault::create("accounts", &unlock)?;
//! let stored = change.bytes().to_vec(); // put it where there is none yet …
//! let (vault, keys_forgotten) = change.written(); // … and then say so
//! keys_forgotten?;
//!
//! let vault = Vault::open("accounts", &stored, &unlock)?;
//! assert_eq!(vault.slots().len(), 1);
//! # Ok::<(), tokenkeep::Error>(())
//! ```

mod change;
mod prepare;
mod row;

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
};

use data_encoding::HEXLOWER;
use parking_lot::Mutex;

pub use change::VaultChange;
pub(crate) use prepare::PreparedChange;
pub use row::{BlindIndex, BlindIndexes, IndexedValue, RowTable, SealedRow};

use crate::{
    error::{Error, FileFlaw, Result},
    format::{KeyTable, SlotNote, decode_notes},
    id::SlotId,
    seal::{self, IndexKey},
    secret::Key,
    slot::KeySlot,
    unlock::{self, Keeper, Unlock, Unlocked},
};

/// An unlocked store key with its key table. See the [module](self).
#[derive(Clone)]
pub struct Vault {
    /// What errors call it.
    name: PathBuf,
    table: KeyTable,
    /// The table as it is stored.
    bytes: Vec<u8>,
    /// One for each slot, in their order.
    notes: Vec<SlotNote>,
    unlocked: Unlocked,
    index_key: IndexKey,
    /// Every keychain and provider that this vault was given: the keys of its slots may be there.
    keepers: Arc<Mutex<Vec<Keeper>>>,
}

impl Vault {
    /// Opens the vault with those bytes. The name is what errors call it, such as a URL. Derives a key, or asks the
    /// keychain or the provider, as opening a keystore does.
    ///
    /// # Errors
    ///
    /// [`BadFile`](Error::BadFile) for bytes that are no key table of this version, or that were changed;
    /// [`WrongPassphrase`](Error::WrongPassphrase), [`WrongRecoveryKey`](Error::WrongRecoveryKey),
    /// [`EmptyPassphrase`](Error::EmptyPassphrase), [`KdfMemory`](Error::KdfMemory), [`Keychain`](Error::Keychain),
    /// [`External`](Error::External), [`NoSlotFor`](Error::NoSlotFor).
    pub fn open(name: impl AsRef<Path>, bytes: &[u8], unlock: &Unlock) -> Result<Self> {
        Self::open_with(name.as_ref(), bytes, &[unlock], |table, name| unlock.open_slot(table, name))
    }

    /// Opens the vault with the first unlock method that opens it.
    ///
    /// # Errors
    ///
    /// [`NoneOpened`](Error::NoneOpened) with the failure of each, and [`BadFile`](Error::BadFile) as with
    /// [`open`](Self::open).
    pub fn open_any<'a>(
        name: impl AsRef<Path>,
        bytes: &[u8],
        unlocks: impl IntoIterator<Item = &'a Unlock>,
    ) -> Result<Self> {
        let unlocks: Vec<_> = unlocks.into_iter().collect();
        Self::open_with(name.as_ref(), bytes, &unlocks, |table, name| unlock::open_first(&unlocks, table, name))
    }

    fn open_with(
        name: &Path,
        bytes: &[u8],
        unlocks: &[&Unlock],
        unlock: impl FnOnce(&KeyTable, &Path) -> Result<Unlocked>,
    ) -> Result<Self> {
        let table = KeyTable::parse_alone(bytes).map_err(|flaw| bad(name, flaw))?;
        let vault = Self::unlock(name, table, bytes, |table| unlock(table, name))?;
        unlocks.iter().for_each(|unlock| vault.remember_keeper_of(unlock));
        Ok(vault)
    }

    /// Unlocks a key table that was parsed from those bytes.
    pub(crate) fn unlock(
        name: &Path,
        table: KeyTable,
        bytes: &[u8],
        unlock: impl FnOnce(&KeyTable) -> Result<Unlocked>,
    ) -> Result<Self> {
        let unlocked = unlock(&table)?;
        let notes = notes_of(&unlocked.store_key, &table)?.map_err(|flaw| bad(name, flaw))?;
        let index_key = IndexKey::of(&unlocked.store_key)?;
        let (name, bytes, keepers) = (name.to_owned(), bytes.to_vec(), Arc::default());
        Ok(Self { name, table, bytes, notes, unlocked, index_key, keepers })
    }

    /// The vault with other bytes of the same store key, which another process has written. Derives no key.
    ///
    /// # Errors
    ///
    /// [`BadFile`](Error::BadFile) as with [`open`](Self::open); [`Replaced`](Error::Replaced) by another store;
    /// [`Rekeyed`](Error::Rekeyed): open it again; [`RolledBack`](Error::RolledBack) to an older revision;
    /// [`Diverged`](Error::Diverged): the same revision with other bytes, so two processes wrote without
    /// compare-and-swap.
    pub fn reload(&self, bytes: &[u8]) -> Result<Self> {
        let table = KeyTable::parse_alone(bytes).map_err(|flaw| bad(&self.name, flaw))?;
        let reloaded = self.with_table(table, bytes)?;
        let path = || self.name.clone();
        // Held by `reload_adopts_later_tables_of_the_same_key_only`.
        if reloaded.table.revision < self.table.revision {
            return Err(Error::RolledBack { path: path() });
        }
        // Held by `reload_adopts_later_tables_of_the_same_key_only`.
        if reloaded.table.revision == self.table.revision && reloaded.bytes != self.bytes {
            return Err(Error::Diverged { path: path() });
        }
        Ok(reloaded)
    }

    /// The vault with another table of the same store and store key, parsed from those bytes.
    pub(crate) fn with_table(&self, table: KeyTable, bytes: &[u8]) -> Result<Self> {
        let path = || self.name.clone();
        // Held by `replaced_file_of_an_open_store_is_never_overwritten`.
        if table.store_id != self.table.store_id {
            return Err(Error::Replaced { path: path() });
        }
        // Held by `other_handles_follow_changed_slots_and_report_a_rekey`.
        if table.key_id != self.table.key_id {
            return Err(Error::Rekeyed { path: path() });
        }
        let notes = notes_of(&self.unlocked.store_key, &table)?.map_err(|flaw| bad(&self.name, flaw))?;
        let (name, bytes) = (path(), bytes.to_vec());
        let (unlocked, index_key, keepers) = (self.unlocked.clone(), self.index_key.clone(), self.keepers.clone());
        Ok(Self { name, table, bytes, notes, unlocked, index_key, keepers })
    }

    /// The key table, to be stored as it is: some hundred to some thousand bytes, of which nothing is secret.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        &self.bytes
    }

    /// The revision of the key table: 1 at first, one more with every change of its slots.
    #[must_use]
    pub fn revision(&self) -> u64 {
        self.table.revision
    }

    /// The random id of the store, which never changes.
    #[must_use]
    pub fn store_id(&self) -> [u8; 16] {
        self.table.store_id
    }

    /// The id of the store key: another one after [`rekey`](Self::rekey).
    #[must_use]
    pub fn key_id(&self) -> [u8; 8] {
        self.table.key_id
    }

    /// The key slots.
    #[must_use]
    pub fn slots(&self) -> Vec<KeySlot> {
        let slots = self.table.slots.iter().zip(&self.notes);
        let listed = slots.map(|(slot, note)| KeySlot {
            id: slot.id,
            kind: slot.kind,
            label: note.label.clone(),
            created_at: note.created_at.time(),
            provider: slot.external.as_ref().map(|data| data.provider.to_string()),
        });
        listed.collect()
    }

    /// The key slot that opened the vault; `None` once it was removed.
    #[must_use]
    pub fn opened_by(&self) -> Option<KeySlot> {
        self.slots().into_iter().find(|slot| slot.id == self.unlocked.by)
    }

    /// The key slot that the unlock method opens. Blocks as opening does, and changes nothing.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open), other than `BadFile`.
    pub fn try_unlock(&self, unlock: &Unlock) -> Result<KeySlot> {
        let id = self.slot_of(unlock)?;
        self.slots().into_iter().find(|slot| slot.id == id).ok_or(Error::NoSuchSlot { id })
    }

    fn slot_of(&self, unlock: &Unlock) -> Result<SlotId> {
        let opened = unlock.open_slot(&self.table, &self.name)?;
        self.remember_keeper_of(unlock);
        Ok(opened.by)
    }

    pub(crate) fn store_key(&self) -> &Key {
        &self.unlocked.store_key
    }

    /// Remembers where keys of slots may be.
    pub(crate) fn remember_keeper_of(&self, unlock: &Unlock) {
        if let Some(keeper) = unlock.keeper() {
            let mut keepers = self.keepers.lock();
            match keepers.iter_mut().find(|known| known.is_same(&keeper)) {
                Some(known) => *known = keeper,
                None => keepers.push(keeper),
            }
        }
    }
}

/// The notes on the slots of a table, once it is seen to be authentic.
fn notes_of(store_key: &Key, table: &KeyTable) -> Result<Result<Vec<SlotNote>, FileFlaw>> {
    Ok(seal::open_table(store_key, table)?.and_then(|notes| decode_notes(&notes)))
}

fn bad(name: &Path, flaw: FileFlaw) -> Error {
    Error::BadFile { path: name.to_owned(), flaw }
}

impl fmt::Debug for Vault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Vault")
            .field("name", &self.name)
            .field("store_id", &HEXLOWER.encode(&self.table.store_id))
            .field("revision", &self.table.revision)
            .field("slots", &self.slots())
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
