//! The ways to unlock a store: listed, added, removed, replaced, and all given a new key.
//!
//! Keys are derived before anything is locked that another process would wait for. Whether the slots are still as they
//! were then is seen under the lock.

use std::mem;

use parking_lot::MutexGuard;

use super::{
    Engine, State, Wait,
    draft::{Draft, NewSlot},
};
use crate::{
    error::{Error, Result},
    format::{Header, SlotKind},
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

    pub(super) fn opened_by(&self) -> Option<KeySlot> {
        self.slots().into_iter().find(|slot| slot.id == self.unlocked.by)
    }
}

impl Engine {
    /// The slots as they were committed last.
    pub(crate) fn slots(&self) -> Result<Vec<KeySlot>> {
        self.read_state(State::slots)
    }

    /// The slot that opened this handle, if there still is one.
    pub(crate) fn opened_by(&self) -> Result<Option<KeySlot>> {
        self.read_state(State::opened_by)
    }

    /// The slot that a way opens now.
    pub(crate) fn try_unlock(&self, unlock: &Unlock) -> Result<KeySlot> {
        let (header, slots) = self.read_state(|state| (state.header.clone(), state.slots()))?;
        let by = self.slot_of(unlock, &header)?;
        slots.into_iter().find(|slot| slot.id == by).ok_or(Error::SlotGone)
    }

    pub(crate) fn add_slot(&self, unlock: &Unlock) -> Result<SlotId> {
        let (_turn, header, store_key) = self.unlocking()?;
        // Before a key is made for nothing.
        header.check_room(unlock.slot_kind())?;
        let new = self.new_slot(unlock, &header, &store_key)?;
        self.change_slots(|draft| draft.add_slot(new))
    }

    pub(crate) fn remove_slot(&self, id: SlotId) -> Result<bool> {
        self.change_slots(|draft| draft.remove_slot(id))
    }

    pub(crate) fn replace_slot(&self, id: SlotId, unlock: &Unlock) -> Result<SlotId> {
        self.replace_slot_if(unlock, |header| match header.slots.iter().any(|slot| slot.id == id) {
            true => Ok(id),
            false => Err(Error::SlotGone),
        })
    }

    /// Replaces the slot that `current` opens.
    pub(crate) fn change_passphrase(&self, current: &Unlock, unlock: &Unlock) -> Result<SlotId> {
        let is_passphrase = |unlock: &Unlock| matches!(unlock.slot_kind(), SlotKind::Passphrase(_));
        if !is_passphrase(current) || !is_passphrase(unlock) {
            return Err(Error::NotAPassphrase);
        }
        self.replace_slot_if(unlock, |header| self.slot_of(current, header))
    }

    fn replace_slot_if(&self, unlock: &Unlock, find: impl FnOnce(&Header) -> Result<SlotId>) -> Result<SlotId> {
        let (_turn, header, store_key) = self.unlocking()?;
        let id = find(&header)?;
        let new = self.new_slot(unlock, &header, &store_key)?;
        self.change_slots(|draft| draft.replace_slot(id, new))
    }

    /// Exchanges the store key, and keeps the slots that are opened by what is given.
    pub(crate) fn rekey(&self, unlocks: &[Unlock]) -> Result<()> {
        let (_turn, header, _) = self.unlocking()?;
        let store_key = Key::random()?;
        let mut kept: Vec<(SlotId, &Unlock)> = Vec::new();
        for unlock in unlocks {
            let id = self.slot_of(unlock, &header)?;
            if kept.iter().all(|(other, _)| *other != id) {
                kept.push((id, unlock));
            }
        }
        if kept.is_empty() {
            return Err(Error::LastSlot);
        }
        // All of them are seen to be right before one key is made.
        let kept = kept.into_iter().map(|(id, unlock)| Ok((id, self.new_slot(unlock, &header, &store_key)?)));
        let kept = kept.collect::<Result<Vec<_>>>()?;
        self.change_slots(|draft| draft.rekey(store_key, kept))
    }

    /// The slots that the keychain has keys for, although the file has no such slots.
    pub(crate) fn keychain_orphans(&self, unlock: &Unlock) -> Result<Vec<SlotId>> {
        let Some(keychain) = unlock.of_keychain() else { return Ok(Vec::new()) };
        let store_id = self.read_state(|state| state.header.store_id)?;
        let mut found = keychain.slots(&store_id)?;
        // Looked at last: a slot's key is there before the slot is.
        let slots = self.slots()?;
        found.retain(|id| slots.iter().all(|slot| slot.id != *id));
        Ok(found)
    }

    /// Takes such a key out of the keychain; `false` if there is none, or if it is none such.
    pub(crate) fn remove_keychain_orphan(&self, unlock: &Unlock, id: SlotId) -> Result<bool> {
        let Some(keychain) = unlock.of_keychain() else { return Ok(false) };
        let (store_id, slots) = self.read_state(|state| (state.header.store_id, state.slots()))?;
        if slots.iter().any(|slot| slot.id == id) { Ok(false) } else { keychain.forget(&store_id, id) }
    }

    fn slot_of(&self, unlock: &Unlock, header: &Header) -> Result<SlotId> {
        let opened = unlock.open_slot(header)?;
        self.meet(unlock);
        Ok(opened.by)
    }

    fn new_slot(&self, unlock: &Unlock, header: &Header, store_key: &Key) -> Result<NewSlot> {
        let new = NewSlot::make(unlock, header, store_key)?;
        self.meet(unlock);
        Ok(new)
    }

    fn meet(&self, unlock: &Unlock) {
        if let Some(keychain) = unlock.of_keychain() {
            *self.keychain.lock() = Some(keychain.clone());
        }
    }

    /// Changes slots. The keys of those that are gone are taken out of the keychain once nothing, not even a power cut, brings
    /// the slots back.
    fn change_slots<R>(&self, change: impl FnOnce(&mut Draft<'_>) -> Result<R>) -> Result<R> {
        let written = self.commit(|draft| {
            let value = change(draft)?;
            Ok((value, draft.header.store_id, mem::take(&mut draft.gone_of_keychain)))
        });
        let (value, store_id, gone) = written?.confirmed(|_| None)?;
        let keychain = self.keychain.lock().clone();
        let forgotten =
            gone.into_iter().zip(keychain.iter().cycle()).map(|(id, keychain)| keychain.forget(&store_id, id));
        let left = forgotten.fold(Ok(()), |before, forgotten| before.and(forgotten.map(|_| ())));
        match left {
            Err(Error::Keychain { why }) => Err(Error::KeyLeft { why }),
            left => left.map(|()| value),
        }
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
