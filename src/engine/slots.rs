//! The key slots of a store: listed, added, removed, replaced, and all given a new key.
//!
//! Keys are derived, and the keychain is asked, before anything is locked. Under the lock the slots are looked at
//! again, and the new ones are sealed.

use std::mem;

use super::{
    Engine, State, Written,
    draft::{Addition, Draft, check_label},
};
use crate::{
    error::{Error, KeychainFailure, Result},
    format::{Header, StoreId},
    id::SlotId,
    secret::Key,
    slot::{KeySlot, SlotKind},
    unlock::{Keychain, Passphrase, Unlock},
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

    /// The slot that the unlock method opens now.
    pub(crate) fn try_unlock(&self, unlock: &Unlock) -> Result<KeySlot> {
        let (header, slots) = self.read_state(|state| (state.header.clone(), state.slots()))?;
        let by = self.slot_of(unlock, &header)?;
        slots.into_iter().find(|slot| slot.id == by).ok_or(Error::NoSuchSlot { id: by })
    }

    pub(crate) fn add_slot(&self, unlock: &Unlock) -> Result<SlotId> {
        self.prepare_and_change(|header, store_key, new_keys| {
            // Before a key is made for nothing.
            header.check_room(unlock.slot_kind(None))?;
            let new = new_keys.make(unlock, header, store_key, None)?;
            Ok(|draft: &mut Draft<'_>| draft.add_slot(new))
        })
    }

    pub(crate) fn remove_slot(&self, id: SlotId) -> Result<()> {
        self.forget_gone(self.commit_slots(|draft| draft.remove_slot(id))?)
    }

    pub(crate) fn replace_slot(&self, id: SlotId, unlock: &Unlock) -> Result<SlotId> {
        self.replace_slot_that(unlock, |_| Ok(id))
    }

    /// Replaces the slot that `current` opens.
    pub(crate) fn change_passphrase(&self, current: &Passphrase, new: &Passphrase) -> Result<SlotId> {
        let current = current.clone().into();
        self.replace_slot_that(&new.clone().into(), |header| self.slot_of(&current, header))
    }

    fn replace_slot_that(&self, unlock: &Unlock, find: impl Fn(&Header) -> Result<SlotId>) -> Result<SlotId> {
        check_label(unlock)?;
        self.prepare_and_change(|header, store_key, new_keys| {
            let id = find(header)?;
            let new = new_keys.make(unlock, header, store_key, Some(kind_of(header, id)?))?;
            Ok(move |draft: &mut Draft<'_>| draft.replace_slot(id, new))
        })
    }

    /// Exchanges the store key, and keeps the slots that are opened by what is given.
    pub(crate) fn rekey(&self, unlocks: &[&Unlock]) -> Result<()> {
        unlocks.iter().try_for_each(|unlock| check_label(unlock))?;
        self.prepare_and_change(|header, _, new_keys| {
            let store_key = Key::random()?;
            let mut kept: Vec<(SlotId, &Unlock)> = Vec::new();
            for &unlock in unlocks {
                let id = self.slot_of(unlock, header)?;
                if kept.iter().all(|(other, _)| *other != id) {
                    kept.push((id, unlock));
                }
            }
            if kept.is_empty() {
                return Err(Error::LastSlot);
            }
            // All of them are seen to be right before one key is made.
            let kept = kept
                .into_iter()
                .map(|(id, unlock)| Ok((id, new_keys.make(unlock, header, &store_key, Some(kind_of(header, id)?))?)));
            let kept = kept.collect::<Result<Vec<_>>>()?;
            Ok(|draft: &mut Draft<'_>| draft.rekey(store_key, kept))
        })
    }

    /// The slots that the keychain has keys for, although the file has no such slots.
    pub(crate) fn keychain_orphans(&self, keychain: &Keychain) -> Result<Vec<SlotId>> {
        let store_id = self.read_state(|state| state.header.store_id)?;
        let mut found = keychain.slots(&store_id)?;
        // Looked at last: a slot's key is there before the slot is.
        let slots = self.slots()?;
        found.retain(|id| slots.iter().all(|slot| slot.id != *id));
        Ok(found)
    }

    /// Takes such a key out of the keychain.
    pub(crate) fn remove_keychain_orphan(&self, keychain: &Keychain, id: SlotId) -> Result<()> {
        let (store_id, slots) = self.read_state(|state| (state.header.store_id, state.slots()))?;
        if slots.iter().any(|slot| slot.id == id) {
            return Err(Error::NotAnOrphan { id });
        }
        // No power cut brings the slot back after this, whichever process removed it.
        self.commit(|_| Ok(()))?.confirmed(|()| None)?;
        if keychain.forget(&store_id, id)? { Ok(()) } else { Err(Error::NotAnOrphan { id }) }
    }

    fn slot_of(&self, unlock: &Unlock, header: &Header) -> Result<SlotId> {
        let opened = unlock.open_slot(header, self.path())?;
        self.meet(unlock);
        Ok(opened.by)
    }

    /// Prepares new slots, and then changes the slots with them. If nothing is committed, the keys of the new slots are
    /// taken out of the keychain again.
    ///
    /// A slot's key seals one store key only: if this handle has rekeyed the store since a slot was prepared, the slot
    /// is given up and prepared again. Otherwise a machine that was cloned in between could seal two store keys with
    /// it.
    fn prepare_and_change<R, C>(
        &self,
        mut prepare: impl FnMut(&Header, &Key, &mut NewKeys<'_>) -> Result<C>,
    ) -> Result<R>
    where
        C: FnOnce(&mut Draft<'_>) -> Result<R>,
    {
        loop {
            let (header, store_key) = self.next()?;
            let mut new_keys = NewKeys { engine: self, store_id: header.store_id, made: Vec::new() };
            let mut is_rekeyed = false;
            let committed = prepare(&header, &store_key, &mut new_keys).and_then(|change| {
                self.commit_slots(|draft| {
                    is_rekeyed = draft.header.key_id != header.key_id;
                    if is_rekeyed {
                        return Err(Error::Rekeyed { path: self.path().to_owned() });
                    }
                    change(draft)
                })
            });
            match committed {
                Ok(committed) => return self.forget_gone(committed),
                Err(error) => {
                    new_keys.forget();
                    if !is_rekeyed {
                        return Err(error);
                    }
                }
            }
        }
    }

    fn meet(&self, unlock: &Unlock) {
        if let Some(keychain) = unlock.as_keychain() {
            let mut keychains = self.keychains.lock();
            if !keychains.iter().any(|known| known.is_same(keychain)) {
                keychains.push(keychain.clone());
            }
        }
    }

    /// Commits changed slots. After an error nothing was committed.
    fn commit_slots<R>(&self, change: impl FnOnce(&mut Draft<'_>) -> Result<R>) -> Result<Written<SlotChange<R>>> {
        self.commit(|draft| {
            let value = change(draft)?;
            let (store_id, gone) = (draft.header.store_id, mem::take(&mut draft.gone_of_keychain));
            Ok(SlotChange { value, store_id, gone })
        })
    }

    /// Takes the keys of slots that are gone out of the keychain, once nothing, not even a power cut, brings the slots
    /// back.
    fn forget_gone<R>(&self, committed: Written<SlotChange<R>>) -> Result<R> {
        let SlotChange { value, store_id, gone } = committed.confirmed(|_| None)?;
        let keychains = self.keychains.lock().clone();
        let mut left = None;
        for (keychain, id) in keychains.iter().flat_map(|keychain| gone.iter().map(move |id| (keychain, *id))) {
            match keychain.forget(&store_id, id) {
                Err(Error::Keychain { why }) => left = left.or(Some(why)),
                forgotten => drop(forgotten?),
            }
            // It would be the same with the others.
            if matches!(left, Some(KeychainFailure::TimedOut { .. })) {
                break;
            }
        }
        left.map_or(Ok(value), |why| Err(Error::KeyLeft { why }))
    }

    /// What a new slot is made ready with: the header of the next file, as it would be now, and the store key.
    fn next(&self) -> Result<(Header, Key)> {
        let (header, store_key) =
            self.read_state(|state| (state.next_header(self.path()), state.unlocked.store_key.clone()))?;
        Ok((header?, store_key))
    }
}

/// A change of slots that was committed.
struct SlotChange<R> {
    value: R,
    store_id: StoreId,
    /// Slots that are no longer, but whose keys are in a keychain.
    gone: Vec<SlotId>,
}

/// The keys of new slots in keychains.
struct NewKeys<'a> {
    engine: &'a Engine,
    store_id: StoreId,
    made: Vec<(Keychain, SlotId)>,
}

impl NewKeys<'_> {
    fn make(&mut self, unlock: &Unlock, header: &Header, key: &Key, replaced: Option<SlotKind>) -> Result<Addition> {
        let new = Addition::make(unlock, header, key, replaced)?;
        self.engine.meet(unlock);
        self.made.extend(unlock.as_keychain().map(|keychain| (keychain.clone(), new.id())));
        Ok(new)
    }

    /// Takes the keys out of the keychains again: no slot was committed that needs them. If a keychain fails,
    /// `keychain_orphans` lists the key.
    fn forget(self) {
        for (keychain, id) in self.made {
            let _ = keychain.forget(&self.store_id, id);
        }
    }
}

fn kind_of(header: &Header, id: SlotId) -> Result<SlotKind> {
    header.slots.iter().find(|slot| slot.id == id).map(|slot| slot.kind).ok_or(Error::NoSuchSlot { id })
}

#[cfg(test)]
mod tests;
