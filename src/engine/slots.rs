//! The key slots of a store: changes of its vault, each committed as a new file.
//!
//! Slot keys are derived, and the keychain is asked, before anything is locked. Under the lock the change is applied to
//! the vault of that moment. After the commit the keychain or the provider forgets the keys of slots that are gone.

use std::sync::Arc;

use super::{Engine, State, next_state::NextState};
use crate::{
    error::{Error, Result},
    file::Durability,
    id::SlotId,
    slot::KeySlot,
    unlock::{Keychain, Passphrase, Unlock},
    vault::{PreparedChange, Vault, VaultChange},
};

impl Engine {
    /// The slots as they were committed last.
    pub(crate) fn slots(&self) -> Result<Vec<KeySlot>> {
        self.read_state(|state| state.vault.slots())
    }

    /// The slot that opened this handle, if there still is one.
    pub(crate) fn opened_by(&self) -> Result<Option<KeySlot>> {
        self.read_state(|state| state.vault.opened_by())
    }

    /// The slot that the unlock method opens now.
    pub(crate) fn try_unlock(&self, unlock: &Unlock) -> Result<KeySlot> {
        self.vault()?.try_unlock(unlock)
    }

    pub(crate) fn add_slot(&self, unlock: &Unlock) -> Result<SlotId> {
        new_slot(self.change_slots(|vault| vault.prepare_add(unlock))?)
    }

    pub(crate) fn remove_slot(&self, id: SlotId) -> Result<()> {
        self.change_slots(|vault| Ok(vault.prepare_remove(id))).map(drop)
    }

    pub(crate) fn replace_slot(&self, id: SlotId, unlock: &Unlock) -> Result<SlotId> {
        new_slot(self.change_slots(|vault| vault.prepare_replace(id, unlock))?)
    }

    /// Replaces the slot that `current` opens.
    pub(crate) fn change_passphrase(&self, current: &Passphrase, new: &Passphrase) -> Result<SlotId> {
        new_slot(self.change_slots(|vault| vault.prepare_change_passphrase(current, new))?)
    }

    /// Exchanges the store key, and keeps the slots that the unlock methods open.
    pub(crate) fn rekey(&self, unlocks: &[&Unlock]) -> Result<()> {
        self.change_slots(|vault| vault.prepare_rekey(unlocks)).map(drop)
    }

    /// The slots that the keychain has keys for, although the file has no such slots.
    pub(crate) fn keychain_orphans(&self, keychain: &Keychain) -> Result<Vec<SlotId>> {
        let store_id = self.vault()?.store_id();
        let mut found = keychain.slots(&store_id)?;
        // Looked at last: a slot's key is there before the slot is.
        let slots = self.slots()?;
        found.retain(|id| slots.iter().all(|slot| slot.id != *id));
        Ok(found)
    }

    /// Takes such a key out of the keychain.
    pub(crate) fn remove_keychain_orphan(&self, keychain: &Keychain, id: SlotId) -> Result<()> {
        let vault = self.vault()?;
        // Held by `a_key_stays_in_the_keychain_until_its_slot_is_gone_for_good`.
        if vault.slots().iter().any(|slot| slot.id == id) {
            return Err(Error::NotAnOrphan { id });
        }
        // No power cut brings the slot back after this, whichever process removed it.
        self.commit_and_sweep(|_| Ok(()))?.confirm(None)?;
        if keychain.forget(&vault.store_id(), id)? { Ok(()) } else { Err(Error::NotAnOrphan { id }) }
    }

    /// Commits a change, and deletes the files of killed writers: a key slot that is gone is to be gone from these too.
    fn commit_and_sweep(&self, change: impl FnOnce(&mut NextState<'_>) -> Result<()>) -> Result<Durability> {
        // Held by `strays_are_looked_for_at_first_and_with_changed_slots`.
        self.file.sweep_next();
        let ((), durability) = self.commit_alone(change)?;
        Ok(durability)
    }

    pub(super) fn vault(&self) -> Result<Arc<Vault>> {
        self.read_state(|state: &State| state.vault.clone())
    }

    /// Prepares a change of the slots, commits it, and has the keys forgotten of slots that are gone. If this handle
    /// has rekeyed the store since the change was prepared, it is prepared again. Returns the new slot, if there is
    /// one.
    pub(super) fn change_slots(&self, prepare: impl Fn(&Vault) -> Result<PreparedChange>) -> Result<Option<SlotId>> {
        loop {
            let mut prepared = prepare(&*self.vault()?)?;
            let mut applied: Option<VaultChange> = None;
            let mut is_rekeyed = false;
            let committed = self.commit_and_sweep(|next| {
                is_rekeyed = !prepared.is_for(&next.vault);
                let change = next.vault.apply(&mut prepared)?;
                next.vault = Arc::new(change.vault().clone());
                applied = Some(change);
                Ok(())
            });
            let durability = match committed {
                Ok(durability) => durability,
                Err(error) => {
                    // After an error nothing was committed.
                    // Held by `failed_change_of_slots_leaves_no_key`.
                    applied.into_iter().for_each(VaultChange::discard);
                    // Held by `slot_that_was_prepared_before_a_rekey_is_prepared_again`.
                    if is_rekeyed {
                        continue;
                    }
                    return Err(error);
                }
            };
            let Some(change) = applied else { return Err(Error::internal("a change of key slots was not applied")) };
            let new_slot = change.new_slot();
            // Until nothing, not even a power cut, brings the old slots back, their keys are needed.
            // Held by `a_key_stays_in_the_keychain_until_its_slot_is_gone_for_good`: without `?`.
            durability.confirm(None)?;
            change.written().1?;
            return Ok(new_slot);
        }
    }
}

fn new_slot(changed: Option<SlotId>) -> Result<SlotId> {
    changed.ok_or_else(|| Error::internal("a change that adds a key slot added none"))
}
