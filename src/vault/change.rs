//! Changes of a vault's key slots, as callers make and store them.

use std::{fmt, path::Path};

use super::Vault;
use crate::{
    error::{Error, ExternalFailure, KeychainFailure, Result},
    format::{Slot, StoreId},
    id::SlotId,
    secret::{Key, random},
    unlock::{Keeper, Passphrase, Unlock},
};

/// # Changes of key slots
///
/// Each returns a [`VaultChange`], whose bytes the caller stores in the place of the vault's own.
impl Vault {
    /// Makes a new vault with one key slot. Store its bytes only if no bytes are stored yet. Blocks for a key
    /// derivation, or for the keychain or the provider.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](Error::TooLarge) for the label, [`EmptyPassphrase`](Error::EmptyPassphrase),
    /// [`KdfMemory`](Error::KdfMemory), [`Keychain`](Error::Keychain), [`External`](Error::External),
    /// [`Random`](Error::Random).
    pub fn create(name: impl AsRef<Path>, unlock: &Unlock) -> Result<VaultChange> {
        Self::create_of(name.as_ref(), random()?, Key::random()?, unlock)
    }

    /// Adds a key slot that the unlock method opens. Blocks for a key derivation, or for the keychain or the provider.
    ///
    /// # Errors
    ///
    /// [`TooManySlots`](Error::TooManySlots), [`TooLarge`](Error::TooLarge) for the label,
    /// [`EmptyPassphrase`](Error::EmptyPassphrase), [`KdfMemory`](Error::KdfMemory), [`Keychain`](Error::Keychain),
    /// [`External`](Error::External), [`Random`](Error::Random).
    pub fn add_slot(&self, unlock: &Unlock) -> Result<VaultChange> {
        self.apply(&mut self.prepare_add(unlock)?)
    }

    /// Removes a key slot.
    ///
    /// # Errors
    ///
    /// [`NoSuchSlot`](Error::NoSuchSlot), [`LastSlot`](Error::LastSlot).
    pub fn remove_slot(&self, id: SlotId) -> Result<VaultChange> {
        self.apply(&mut self.prepare_remove(id))
    }

    /// Replaces a key slot with one that the unlock method opens. The new slot has a new id, and the old one's label
    /// unless the unlock method has its own. Blocks as [`add_slot`](Self::add_slot) does.
    ///
    /// # Errors
    ///
    /// [`NoSuchSlot`](Error::NoSuchSlot), and those of [`add_slot`](Self::add_slot).
    pub fn replace_slot(&self, id: SlotId, unlock: &Unlock) -> Result<VaultChange> {
        self.apply(&mut self.prepare_replace(id, unlock)?)
    }

    /// Replaces the key slot that the current passphrase opens. Blocks for one key derivation for each passphrase slot
    /// up to that one, and for one of the new passphrase.
    ///
    /// # Errors
    ///
    /// [`WrongPassphrase`](Error::WrongPassphrase), [`NoSlotFor`](Error::NoSlotFor) if the vault has no passphrase
    /// slot, and those of [`add_slot`](Self::add_slot).
    pub fn change_passphrase(&self, current: &Passphrase, new: &Passphrase) -> Result<VaultChange> {
        self.apply(&mut self.prepare_change_passphrase(current, new)?)
    }

    /// Exchanges the store key. The slots that the unlock methods open are made again, and all others go.
    ///
    /// Every sealed row has to be sealed again, in the same transaction as the bytes are stored: open it with this
    /// vault and seal it with [`VaultChange::vault`].
    ///
    /// # Errors
    ///
    /// [`LastSlot`](Error::LastSlot) without an unlock method, and those of [`open`](Self::open) and
    /// [`add_slot`](Self::add_slot).
    pub fn rekey<'a>(&self, unlocks: impl IntoIterator<Item = &'a Unlock>) -> Result<VaultChange> {
        let unlocks: Vec<_> = unlocks.into_iter().collect();
        self.apply(&mut self.prepare_rekey(&unlocks)?)
    }
}

/// A change of a vault's key slots that the caller is yet to store.
///
/// Store [`bytes`](Self::bytes) if the stored bytes are still [those that the change replaces](Self::replaced), and
/// then call [`written`](Self::written). If the bytes were certainly not stored, call [`discard`](Self::discard). A
/// change that is dropped leaves all keys where they are, because its bytes may have been stored although an error was
/// reported: a connection broke, a directory could not be synced. Then open the vault from what is stored.
#[must_use = "nothing is changed until the bytes are stored"]
pub struct VaultChange {
    pub(super) vault: Vault,
    pub(super) replaced: Vec<u8>,
    pub(super) replaced_revision: Option<u64>,
    pub(super) new_slot: Option<SlotId>,
    /// Keys outside of the store that were made for new slots.
    pub(super) new_keys: Vec<(Keeper, Slot)>,
    /// Slots that the change takes away.
    pub(super) gone: Vec<Slot>,
}

impl VaultChange {
    /// The bytes to store.
    #[must_use]
    pub fn bytes(&self) -> &[u8] {
        self.vault.bytes()
    }

    /// The bytes that the change replaces; empty if there must be none yet. Compare all of them with what is stored:
    /// two histories may have the same revision after a backup was restored.
    #[must_use]
    pub fn replaced(&self) -> &[u8] {
        &self.replaced
    }

    /// The revision of the bytes that the change replaces, for a database that keeps it in a column; `None` if there
    /// must be none yet.
    #[must_use]
    pub fn replaced_revision(&self) -> Option<u64> {
        self.replaced_revision
    }

    /// The vault as it will be.
    #[must_use]
    pub fn vault(&self) -> &Vault {
        &self.vault
    }

    /// The slot that was added, or that replaces another; `None` for a removal and for a rekeying.
    #[must_use]
    pub fn new_slot(&self) -> Option<SlotId> {
        self.new_slot
    }

    /// To be called once the bytes are stored and durable. Returns the vault as it is now, and whether the keychain and
    /// the providers have forgotten the keys of slots that are gone. If they have not, the error is
    /// [`KeyLeft`](Error::KeyLeft): the change was made, and an unneeded key is left. Blocks while they are asked, at
    /// most for their deadline for each slot.
    pub fn written(self) -> (Vault, Result<()>) {
        let keepers = self.vault.keepers.lock().clone();
        let forgotten = forget_gone(&keepers, &self.vault.table.store_id, &self.gone);
        (self.vault, forgotten)
    }

    /// To be called if the bytes were certainly not stored: the keychain and the providers forget the keys of new
    /// slots. Blocks while they are asked. If the bytes were stored all the same, the new slots open nothing any more.
    pub fn discard(self) {
        // Held by `discarded_change_has_its_new_keys_forgotten`, `failed_change_of_slots_leaves_no_key`.
        forget_new(&self.vault.table.store_id, &self.new_keys);
    }
}

impl fmt::Debug for VaultChange {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("VaultChange").field("vault", &self.vault).finish_non_exhaustive()
    }
}

/// Has the keys of slots forgotten, each by the keeper that has it.
fn forget_gone(keepers: &[Keeper], store_id: &StoreId, gone: &[Slot]) -> Result<()> {
    let mut left = None;
    for keeper in keepers {
        for slot in gone.iter().filter(|slot| keeper.may_keep(slot)) {
            if let Err(error) = keeper.forget(store_id, slot) {
                let is_silent = is_silence(&error);
                left = left.or(Some(error));
                // It would be the same with its other keys.
                if is_silent {
                    break;
                }
            }
        }
    }
    left.map_or(Ok(()), |cause| Err(Error::KeyLeft { cause: Box::new(cause) }))
}

/// Has new keys forgotten that no slot will need. If that fails, the key is left: `keychain_orphans` lists one that is
/// in a keychain.
pub(super) fn forget_new(store_id: &StoreId, new_keys: &[(Keeper, Slot)]) {
    for (keeper, slot) in new_keys {
        if keeper.forget(store_id, slot).is_err_and(|error| is_silence(&error)) {
            return;
        }
    }
}

/// Whether the keychain or the provider did not answer.
fn is_silence(error: &Error) -> bool {
    matches!(
        error,
        Error::Keychain { why: KeychainFailure::TimedOut { .. } }
            | Error::External { why: ExternalFailure::TimedOut { .. }, .. }
    )
}

#[cfg(test)]
mod tests;
