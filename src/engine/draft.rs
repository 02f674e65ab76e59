//! The next state of a store, as far as a change decides it.

use std::{iter, path::Path, sync::Arc};

use super::{State, state::OtherNamespaces};
use crate::{
    changes::Changes,
    codec::{Encoding, MAX_LABEL_LEN, Prelude, SlotNote},
    error::{Error, Part, Result},
    format::{Header, Mark, Slot, StoreId, length},
    id::SlotId,
    seal,
    secret::Key,
    slot::SlotKind,
    time::Millis,
    unlock::{NewSlot, Unlock, Unlocked},
};

#[derive(Debug)]
pub(super) struct Draft<'a> {
    pub(super) tokens: Changes<'a>,
    others: Arc<OtherNamespaces>,
    /// The states that are replaced, the oldest first.
    pub(super) ancestors: Vec<Mark>,
    pub(super) header: Header,
    /// One for each slot of the header, in its order.
    pub(super) notes: Vec<SlotNote>,
    pub(super) unlocked: Unlocked,
    /// Slots that are no longer, but whose keys are in a keychain.
    pub(super) gone_of_keychain: Vec<SlotId>,
}

/// What is put into a store: a slot that is yet to be sealed, and what it is called.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(super) struct Addition {
    slot: NewSlot,
    label: String,
}

impl Addition {
    /// For a store with that header and key, in the place of a slot of that kind or in none. May derive a key or ask
    /// the keychain.
    pub(super) fn make(unlock: &Unlock, header: &Header, store_key: &Key, replaced: Option<SlotKind>) -> Result<Self> {
        check_label(unlock)?;
        let slot = unlock.new_slot(header, store_key, replaced)?;
        Ok(Self { slot, label: unlock.slot_label().to_owned() })
    }

    /// The id of the slot.
    pub(super) fn id(&self) -> SlotId {
        self.slot.id()
    }

    pub(super) fn seal(self, store_id: &StoreId, store_key: &Key) -> Result<(Slot, SlotNote)> {
        let note = SlotNote { slot_id: self.slot.id(), label: self.label, created_at: Millis::now() };
        Ok((self.slot.seal(store_id, store_key)?, note))
    }
}

/// Whether a new slot may be called so.
pub(super) fn check_label(unlock: &Unlock) -> Result<()> {
    let (size, limit) = (length(unlock.slot_label().len()), length(MAX_LABEL_LEN));
    if size > limit { Err(Error::TooLarge { part: Part::Label, size, limit }) } else { Ok(()) }
}

impl<'a> Draft<'a> {
    /// One generation after the state, and otherwise the same.
    pub(super) fn of(state: &'a State, path: &Path) -> Result<Self> {
        let header = state.next_header(path)?;
        let tokens = Changes::new(&state.index);
        Ok(Self {
            tokens,
            others: state.others.clone(),
            ancestors: state.lineage.next_ancestors(),
            header,
            notes: state.notes.clone(),
            unlocked: state.unlocked.clone(),
            gone_of_keychain: Vec::new(),
        })
    }

    /// The plaintext that a commit would write.
    pub(super) fn encoding(&self) -> Result<Encoding<'_>> {
        let tokens = self.tokens.iter().map(|token| ("", token)).chain(self.others.iter());
        Encoding::new(self.header.len(), self.prelude(), tokens, self.records_len())
    }

    fn prelude(&self) -> Prelude<'_> {
        Prelude { next_id: self.tokens.next_id(), notes: &self.notes, ancestors: &self.ancestors }
    }

    fn records_len(&self) -> u64 {
        self.tokens.records_len().saturating_add(self.others.records_len)
    }

    /// The length of the file that a commit would write.
    pub(super) fn file_len(&self) -> Result<u64> {
        let without_records = Encoding::new(self.header.len(), self.prelude(), iter::empty(), self.records_len())?;
        Ok(self.header.file_len(without_records.len()))
    }

    /// Whether there is nothing to commit.
    pub(super) fn is_empty(&self, state: &State) -> bool {
        self.tokens.is_empty() && self.header.slots == state.header.slots
    }

    /// Adds a slot after the others.
    pub(super) fn add_slot(&mut self, new: Addition) -> Result<SlotId> {
        self.insert(self.header.slots.len(), new)
    }

    /// Takes a slot away.
    pub(super) fn remove_slot(&mut self, id: SlotId) -> Result<()> {
        let place = self.place(id).ok_or(Error::NoSuchSlot { id })?;
        if self.header.slots.len() == 1 {
            return Err(Error::LastSlot);
        }
        self.take(place);
        Ok(())
    }

    /// Puts a slot in the place of another, whose label it takes over unless it has one of its own.
    pub(super) fn replace_slot(&mut self, id: SlotId, mut new: Addition) -> Result<SlotId> {
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
    pub(super) fn rekey(&mut self, store_key: Key, kept: Vec<(SlotId, Addition)>) -> Result<()> {
        self.header.key_id = seal::key_id(&store_key)?;
        self.unlocked.store_key = store_key;
        let kept: Vec<_> = kept.into_iter().map(|(id, new)| self.replace_slot(id, new)).collect::<Result<_>>()?;
        while let Some(place) = self.header.slots.iter().position(|slot| !kept.contains(&slot.id)) {
            self.take(place);
        }
        Ok(())
    }

    fn place(&self, id: SlotId) -> Option<usize> {
        self.header.slots.iter().position(|slot| slot.id == id)
    }

    fn take(&mut self, place: usize) -> SlotNote {
        let slot = self.header.slots.remove(place);
        if slot.kind == SlotKind::Keychain {
            self.gone_of_keychain.push(slot.id);
        }
        self.notes.remove(place)
    }

    /// Seals a slot, which was prepared for the key that the store has now.
    fn insert(&mut self, place: usize, new: Addition) -> Result<SlotId> {
        self.header.check_room(new.slot.kind())?;
        let id = new.slot.id();
        if self.place(id).is_some() {
            return Err(Error::internal("a random id was used before"));
        }
        let (slot, note) = new.seal(&self.header.store_id, &self.unlocked.store_key)?;
        self.header.slots.insert(place, slot);
        self.notes.insert(place, note);
        Ok(id)
    }
}
