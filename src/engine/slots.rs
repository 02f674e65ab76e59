//! The ways to unlock a store: listed, added, removed, replaced, and all given a new key.
//!
//! Keys are derived before anything is locked that another process would wait for. Whether the slots are still as they
//! were then is seen under the lock.

use parking_lot::MutexGuard;

use super::{Engine, State, Wait, Written, draft::NewSlot};
use crate::{
    error::{Error, Result},
    format::Header,
    id::SlotId,
    secret::Key,
    status::KeySlot,
    unlock::Unlock,
};

impl State {
    fn slots(&self) -> Vec<KeySlot> {
        let slots = self.header.slots.iter().zip(&self.notes);
        let told = slots.map(|(slot, note)| {
            let (label, created_at) = (note.label.clone(), note.created_at.time());
            KeySlot { id: slot.id, kind: slot.kind, label, created_at }
        });
        told.collect()
    }
}

impl Engine {
    /// The slots as they were committed last.
    pub(crate) fn slots(&self) -> Result<Vec<KeySlot>> {
        self.read_state(State::slots)
    }

    /// The slot that opened this handle, if there still is one.
    pub(crate) fn opened_by(&self) -> Result<Option<KeySlot>> {
        self.read_state(|state| state.slots().into_iter().find(|slot| slot.id == state.unlocked.by))
    }

    pub(crate) fn add_slot(&self, unlock: &Unlock) -> Result<Written<SlotId>> {
        let (_turn, header, store_key) = self.unlocking()?;
        // Before a key is derived for nothing.
        header.check_room(unlock.slot_kind())?;
        let new = NewSlot::make(unlock, &header, &store_key)?;
        self.commit(|draft| draft.add_slot(new))
    }

    pub(crate) fn remove_slot(&self, id: SlotId) -> Result<Written<bool>> {
        self.commit(|draft| draft.remove_slot(id))
    }

    pub(crate) fn replace_slot(&self, id: SlotId, unlock: &Unlock) -> Result<Written<SlotId>> {
        self.replace_slot_if(unlock, |header| match header.slots.iter().any(|slot| slot.id == id) {
            true => Ok(id),
            false => Err(Error::SlotGone),
        })
    }

    /// Replaces the slot that `current` opens.
    pub(crate) fn change_slot(&self, current: &Unlock, unlock: &Unlock) -> Result<Written<SlotId>> {
        self.replace_slot_if(unlock, |header| current.open_slot(header).map(|opened| opened.by))
    }

    fn replace_slot_if(
        &self,
        unlock: &Unlock,
        find: impl FnOnce(&Header) -> Result<SlotId>,
    ) -> Result<Written<SlotId>> {
        let (_turn, header, store_key) = self.unlocking()?;
        let id = find(&header)?;
        let new = NewSlot::make(unlock, &header, &store_key)?;
        self.commit(|draft| draft.replace_slot(id, new))
    }

    /// Exchanges the store key, and keeps the slots that are opened by what is given.
    pub(crate) fn rekey(&self, unlocks: &[Unlock]) -> Result<Written<()>> {
        let (_turn, header, _) = self.unlocking()?;
        let store_key = Key::random()?;
        let mut kept: Vec<(SlotId, NewSlot)> = Vec::new();
        for unlock in unlocks {
            let id = unlock.open_slot(&header)?.by;
            if kept.iter().all(|(other, _)| *other != id) {
                kept.push((id, NewSlot::make(unlock, &header, &store_key)?));
            }
        }
        if kept.is_empty() {
            return Err(Error::LastSlot);
        }
        self.commit(|draft| draft.rekey(store_key, kept))
    }

    /// The turn to change ways to unlock the store, with what a new slot is made for: the header of the next file, as it
    /// would be now, and the store key.
    fn unlocking(&self) -> Result<(MutexGuard<'_, ()>, Header, Key)> {
        self.check_process()?;
        let wait = Wait::at_most(self.lock_timeout);
        let turn = self.unlocking.try_lock_for(wait.left()).ok_or_else(|| wait.busy())?;
        let (header, store_key) = self.read_state(|state| (state.next_header(), state.unlocked.store_key.clone()))?;
        Ok((turn, header?, store_key))
    }
}

#[cfg(test)]
mod tests;
