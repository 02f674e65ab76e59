//! How a change of key slots is prepared without a lock, and applied under the lock to the vault of that moment.

use std::{mem, path::Path};

use super::{Vault, VaultChange, change::forget_new};
use crate::{
    error::{Error, Part, Result},
    format::{KeyId, KeyTable, MAX_LABEL_LEN, Slot, SlotNote, StoreId, encode_notes, length},
    id::SlotId,
    seal::{self, IndexKey},
    secret::Key,
    slot::SlotKind,
    time::Millis,
    unlock::{Keeper, NewSlot, Passphrase, Unlock, Unlocked},
};

/// A change for which everything slow is done: keys are derived, and the keychain and the providers have made theirs.
/// If it is dropped before it is applied, they forget these keys.
///
/// A slot's key seals one store key only. So the change is for one store key, and is refused under another. Otherwise
/// a machine that was cloned in between could seal two store keys with it.
#[derive(Debug)]
pub(crate) struct PreparedChange {
    key_id: KeyId,
    edit: Option<Edit>,
    new_keys: NewKeys,
}

#[derive(Debug)]
enum Edit {
    Add(Addition),
    Remove(SlotId),
    Replace(SlotId, Addition),
    Rekey(Key, Vec<(SlotId, Addition)>),
}

/// A slot that is yet to be sealed, and its label.
#[derive(Debug)]
struct Addition {
    slot: NewSlot,
    label: String,
}

impl PreparedChange {
    fn new(vault: &Vault, edit: Edit, new_keys: NewKeys) -> Self {
        Self { key_id: vault.table.key_id, edit: Some(edit), new_keys }
    }

    /// Whether it was prepared for the store key of that vault.
    pub(crate) fn is_for(&self, vault: &Vault) -> bool {
        self.key_id == vault.table.key_id
    }
}

impl Vault {
    /// A new vault of that store key, with a slot for the unlock method.
    pub(super) fn create_of(name: &Path, store_id: StoreId, store_key: Key, unlock: &Unlock) -> Result<VaultChange> {
        let table = KeyTable {
            store_id,
            key_id: seal::key_id(&store_key)?,
            revision: 0,
            slots: Vec::new(),
            notes_salt: [0; 32],
            sealed_notes: Vec::new(),
            mac: [0; 32],
        };
        let mut new_keys = NewKeys::none(store_id);
        let addition = new_keys.make(unlock, 1, &store_key, None)?;
        let index_key = IndexKey::of(&store_key)?;
        let unlocked = Unlocked { store_key, by: addition.slot.id() };
        let nothing = Self {
            index_key,
            name: name.to_owned(),
            table,
            bytes: Vec::new(),
            notes: Vec::new(),
            unlocked,
            keepers: Default::default(),
        };
        nothing.remember_keeper_of(unlock);
        nothing.apply(&mut PreparedChange::new(&nothing, Edit::Add(addition), new_keys))
    }

    pub(crate) fn prepare_add(&self, unlock: &Unlock) -> Result<PreparedChange> {
        // Before a key is made for nothing.
        self.table.check_room(unlock.slot_kind(None))?;
        let mut new_keys = NewKeys::none(self.table.store_id);
        let new = self.make_slot(unlock, self.store_key(), None, &mut new_keys)?;
        Ok(PreparedChange::new(self, Edit::Add(new), new_keys))
    }

    pub(crate) fn prepare_remove(&self, id: SlotId) -> PreparedChange {
        PreparedChange::new(self, Edit::Remove(id), NewKeys::none(self.table.store_id))
    }

    pub(crate) fn prepare_replace(&self, id: SlotId, unlock: &Unlock) -> Result<PreparedChange> {
        check_label(unlock)?;
        let replaced = self.table.slot(id)?.kind;
        let mut new_keys = NewKeys::none(self.table.store_id);
        let new = self.make_slot(unlock, self.store_key(), Some(replaced), &mut new_keys)?;
        Ok(PreparedChange::new(self, Edit::Replace(id, new), new_keys))
    }

    pub(crate) fn prepare_change_passphrase(&self, current: &Passphrase, new: &Passphrase) -> Result<PreparedChange> {
        let id = self.slot_of(&current.clone().into())?;
        self.prepare_replace(id, &new.clone().into())
    }

    pub(crate) fn prepare_rekey(&self, unlocks: &[&Unlock]) -> Result<PreparedChange> {
        unlocks.iter().try_for_each(|unlock| check_label(unlock))?;
        let mut kept: Vec<(SlotId, &Unlock)> = Vec::new();
        for &unlock in unlocks {
            let id = self.slot_of(unlock)?;
            if kept.iter().all(|(other, _)| *other != id) {
                kept.push((id, unlock));
            }
        }
        if kept.is_empty() {
            return Err(Error::LastSlot);
        }
        // All of them are seen to be right before one key is made.
        let (store_key, mut new_keys) = (Key::random()?, NewKeys::none(self.table.store_id));
        let kept = kept.into_iter().map(|(id, unlock)| {
            let replaced = self.table.slot(id)?.kind;
            Ok((id, self.make_slot(unlock, &store_key, Some(replaced), &mut new_keys)?))
        });
        let kept = kept.collect::<Result<_>>()?;
        Ok(PreparedChange::new(self, Edit::Rekey(store_key, kept), new_keys))
    }

    fn make_slot(
        &self,
        unlock: &Unlock,
        store_key: &Key,
        replaced: Option<SlotKind>,
        new_keys: &mut NewKeys,
    ) -> Result<Addition> {
        let addition = new_keys.make(unlock, self.next_revision()?, store_key, replaced)?;
        self.remember_keeper_of(unlock);
        Ok(addition)
    }

    fn next_revision(&self) -> Result<u64> {
        let next = self.table.revision.checked_add(1);
        next.ok_or_else(|| Error::NoGenerationLeft { path: self.name.clone() })
    }

    /// The vault with a prepared change. Derives no key and asks nobody. The change is borrowed, so that it is dropped
    /// by the caller: dropping it may ask a keychain, which must not happen under a lock.
    pub(crate) fn apply(&self, prepared: &mut PreparedChange) -> Result<VaultChange> {
        // Held by `change_that_was_prepared_for_another_store_key_is_refused`.
        if !prepared.is_for(self) {
            return Err(Error::Rekeyed { path: self.name.clone() });
        }
        let mut draft = TableDraft {
            table: KeyTable { revision: self.next_revision()?, ..self.table.clone() },
            notes: self.notes.clone(),
            unlocked: self.unlocked.clone(),
            gone: Vec::new(),
        };
        let new_slot = match prepared.edit.take() {
            Some(Edit::Add(new)) => Some(draft.add(new)?),
            Some(Edit::Remove(id)) => draft.remove(id).map(|()| None)?,
            Some(Edit::Replace(id, new)) => Some(draft.replace(id, new)?),
            Some(Edit::Rekey(store_key, kept)) => draft.rekey(store_key, kept).map(|()| None)?,
            None => return Err(Error::internal("a change of key slots was applied twice")),
        };
        let TableDraft { mut table, notes, unlocked, gone } = draft;
        seal::seal_table(&unlocked.store_key, &mut table, encode_notes(&notes))?;
        let bytes = table.encode();
        let index_key = IndexKey::of(&unlocked.store_key)?;
        let (name, keepers) = (self.name.clone(), self.keepers.clone());
        let vault = Self { name, table, bytes, notes, unlocked, index_key, keepers };
        let replaced_revision = Some(self.table.revision).filter(|revision| *revision > 0);
        let (replaced, new_keys) = (self.bytes.clone(), mem::take(&mut prepared.new_keys.made));
        Ok(VaultChange { vault, replaced, replaced_revision, new_slot, new_keys, gone })
    }
}

/// Whether a new slot may have the label.
fn check_label(unlock: &Unlock) -> Result<()> {
    let (size, limit) = (length(unlock.slot_label().len()), length(MAX_LABEL_LEN));
    // Held by `a_label_may_have_256_bytes`.
    if size > limit { Err(Error::TooLarge { part: Part::Label, size, limit }) } else { Ok(()) }
}

/// Keys outside of the store, made for slots of a change that is not yet applied. If they are dropped, they are
/// forgotten.
#[derive(Debug)]
struct NewKeys {
    store_id: StoreId,
    made: Vec<(Keeper, Slot)>,
}

impl NewKeys {
    fn none(store_id: StoreId) -> Self {
        Self { store_id, made: Vec::new() }
    }

    fn make(&mut self, unlock: &Unlock, revision: u64, key: &Key, replaced: Option<SlotKind>) -> Result<Addition> {
        check_label(unlock)?;
        let slot = unlock.new_slot(&self.store_id, revision, key, replaced)?;
        self.made.extend(unlock.keeper().map(|keeper| (keeper, slot.unsealed().clone())));
        Ok(Addition { slot, label: unlock.slot_label().to_owned() })
    }
}

impl Drop for NewKeys {
    fn drop(&mut self) {
        // Held by `change_that_was_prepared_for_another_store_key_is_refused`.
        forget_new(&self.store_id, &self.made);
    }
}

/// The next key table, before its notes are sealed.
struct TableDraft {
    table: KeyTable,
    /// One for each slot, in their order.
    notes: Vec<SlotNote>,
    unlocked: Unlocked,
    gone: Vec<Slot>,
}

impl TableDraft {
    /// Adds a slot after the others.
    fn add(&mut self, new: Addition) -> Result<SlotId> {
        self.insert(self.table.slots.len(), new)
    }

    fn remove(&mut self, id: SlotId) -> Result<()> {
        let place = self.place(id).ok_or(Error::NoSuchSlot { id })?;
        // Held by `a_way_that_was_removed_opens_nothing_and_the_last_one_stays`.
        if self.table.slots.len() == 1 {
            return Err(Error::LastSlot);
        }
        self.take(place);
        Ok(())
    }

    /// Puts a slot in the place of another, whose label it takes over unless it has one of its own.
    fn replace(&mut self, id: SlotId, mut new: Addition) -> Result<SlotId> {
        let place = self.place(id).ok_or(Error::NoSuchSlot { id })?;
        let replaced = self.take(place);
        if new.label.is_empty() {
            new.label = replaced.label;
        }
        if self.unlocked.by == id {
            self.unlocked.by = new.slot.id();
        }
        self.insert(place, new)
    }

    /// Exchanges the store key. New slots take the places of those that they are given with; all others go.
    fn rekey(&mut self, store_key: Key, kept: Vec<(SlotId, Addition)>) -> Result<()> {
        self.table.key_id = seal::key_id(&store_key)?;
        // Held by `after_a_rekeying_no_slot_of_an_older_copy_opens_the_file`.
        self.unlocked.store_key = store_key;
        let kept: Vec<_> = kept.into_iter().map(|(id, new)| self.replace(id, new)).collect::<Result<_>>()?;
        while let Some(place) = self.table.slots.iter().position(|slot| !kept.contains(&slot.id)) {
            self.take(place);
        }
        Ok(())
    }

    fn place(&self, id: SlotId) -> Option<usize> {
        self.table.slots.iter().position(|slot| slot.id == id)
    }

    fn take(&mut self, place: usize) -> SlotNote {
        self.gone.push(self.table.slots.remove(place));
        self.notes.remove(place)
    }

    /// Seals a slot, which was prepared for the key that the store has now.
    fn insert(&mut self, place: usize, new: Addition) -> Result<SlotId> {
        self.table.check_room(new.slot.kind())?;
        let id = new.slot.id();
        // Held by `slot_id_that_repeats_is_refused`.
        if self.place(id).is_some() {
            return Err(Error::internal("a random id was used before"));
        }
        let note = SlotNote { label: new.label, created_at: Millis::now() };
        self.table.slots.insert(place, new.slot.seal(&self.table.store_id, &self.unlocked.store_key)?);
        self.notes.insert(place, note);
        Ok(id)
    }
}

#[cfg(test)]
mod tests;
