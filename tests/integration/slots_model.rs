//! Random changes of the ways to unlock a store, by two handles, on the store and on a model that is a list.

use std::{collections::BTreeSet, sync::LazyLock};

use crate::common::token;
use proptest::{collection::vec, prelude::*, sample::Index};
use tokenkeep::{Error, KdfParams, Keystore, Passphrase, RecoveryKey, SlotId, SlotKind, TokenStore, Unlock};

/// Few, so that one is often met again; more than a store takes.
const PASSPHRASES: usize = 5;
const RECOVERY_KEYS: usize = 6;
static KEYS: LazyLock<Vec<RecoveryKey>> =
    LazyLock::new(|| (0..RECOVERY_KEYS).map(|_| RecoveryKey::generate().unwrap()).collect());

/// The first are passphrases, the others recovery keys.
type Way = usize;

fn is_passphrase(way: Way) -> bool {
    way < PASSPHRASES
}

fn unlock(way: Way) -> Unlock {
    if is_passphrase(way) { passphrase(way).into() } else { Unlock::from(KEYS[way - PASSPHRASES].clone()) }
}

fn passphrase(way: Way) -> Passphrase {
    Passphrase::new(format!("passphrase {way}")).kdf(KdfParams::MIN)
}

#[derive(Debug, Clone)]
struct Slot {
    way: Way,
    label: String,
    /// What the store calls it.
    id: SlotId,
}

#[derive(Debug, PartialEq)]
enum Refusal {
    Wrong,
    None,
    Full,
    Last,
    Gone,
}

fn refusal(error: Error) -> Refusal {
    match error {
        Error::WrongPassphrase { .. } | Error::WrongRecoveryKey { .. } => Refusal::Wrong,
        Error::NoSlotFor { .. } => Refusal::None,
        Error::TooManySlots { .. } => Refusal::Full,
        Error::LastSlot => Refusal::Last,
        Error::NoSuchSlot { .. } => Refusal::Gone,
        other => panic!("{other}"),
    }
}

#[derive(Default)]
struct Model {
    slots: Vec<Slot>,
    /// Ids that were given once and are no longer.
    gone: Vec<SlotId>,
    users: BTreeSet<u8>,
}

impl Model {
    fn opened_by(&self, way: Way) -> Result<usize, Refusal> {
        match self.slots.iter().position(|slot| slot.way == way) {
            Some(place) => Ok(place),
            None if self.slots.iter().any(|slot| is_passphrase(slot.way) == is_passphrase(way)) => Err(Refusal::Wrong),
            None => Err(Refusal::None),
        }
    }

    fn has_room(&self, way: Way, without: Option<usize>) -> Result<(), Refusal> {
        let others = || self.slots.iter().enumerate().filter(|(place, _)| Some(*place) != without);
        let passphrases = others().filter(|(_, slot)| is_passphrase(slot.way)).count();
        if others().count() == 8 || (is_passphrase(way) && passphrases == 4) { Err(Refusal::Full) } else { Ok(()) }
    }

    fn replace(&mut self, place: usize, way: Way, id: SlotId) {
        self.gone.push(self.slots[place].id);
        (self.slots[place].way, self.slots[place].id) = (way, id);
    }

    fn any_id(&self, choice: Index) -> Option<SlotId> {
        let ids: Vec<_> = self.slots.iter().map(|slot| slot.id).chain(self.gone.iter().copied()).collect();
        (!ids.is_empty()).then(|| *choice.get(&ids))
    }
}

#[derive(Debug, Clone)]
enum Operation {
    Add(Way, String),
    Remove(Index),
    Replace(Index, Way),
    Change(Way, Way),
    Rekey(Vec<Way>),
    Reopen(Way),
    Save(u8),
}

fn operation() -> impl Strategy<Value = (usize, Operation)> {
    let way = || 0..PASSPHRASES + RECOVERY_KEYS;
    let operation = prop_oneof![
        6 => (way(), "[a-c]{0,2}").prop_map(|(way, label)| Operation::Add(way, label)),
        3 => any::<Index>().prop_map(Operation::Remove),
        2 => (any::<Index>(), way()).prop_map(|(slot, way)| Operation::Replace(slot, way)),
        3 => (0..PASSPHRASES, 0..PASSPHRASES).prop_map(|(current, new)| Operation::Change(current, new)),
        2 => vec(way(), 0..4).prop_map(Operation::Rekey),
        3 => way().prop_map(Operation::Reopen),
        2 => any::<u8>().prop_map(Operation::Save),
    ];
    (0..2_usize, operation)
}

/// Does it to both, and sees that the store says what the model says.
fn perform(operation: Operation, store: &Keystore, model: &mut Model) {
    match operation {
        Operation::Add(way, label) => {
            let added = store.add_slot(&unlock(way).label(&label)).map_err(refusal);
            assert_eq!(added.as_ref().err(), model.has_room(way, None).as_ref().err());
            model.slots.extend(added.ok().map(|id| Slot { way, label, id }));
        }
        Operation::Remove(choice) => {
            let Some(id) = model.any_id(choice) else { return };
            let place = model.slots.iter().position(|slot| slot.id == id);
            let expected = match place {
                Some(_) if model.slots.len() == 1 => Err(Refusal::Last),
                Some(_) => Ok(()),
                None => Err(Refusal::Gone),
            };
            assert_eq!(store.remove_slot(id).map_err(refusal), expected);
            if let (Ok(()), Some(place)) = (expected, place) {
                model.gone.push(model.slots.remove(place).id);
            }
        }
        Operation::Replace(choice, way) => {
            let Some(id) = model.any_id(choice) else { return };
            let place = model.slots.iter().position(|slot| slot.id == id).ok_or(Refusal::Gone);
            let expected = place.and_then(|place| model.has_room(way, Some(place)).map(|()| place));
            let replaced = store.replace_slot(id, &unlock(way)).map_err(refusal);
            assert_eq!(replaced.as_ref().err(), expected.as_ref().err());
            if let (Ok(place), Ok(new)) = (expected, replaced) {
                model.replace(place, way, new);
            }
        }
        Operation::Change(current, way) => {
            let expected = model.opened_by(current).and_then(|place| model.has_room(way, Some(place)).map(|()| place));
            let changed = store.change_passphrase(&passphrase(current), &passphrase(way)).map_err(refusal);
            assert_eq!(changed.as_ref().err(), expected.as_ref().err());
            if let (Ok(place), Ok(new)) = (expected, changed) {
                model.replace(place, way, new);
            }
        }
        Operation::Rekey(ways) => {
            let places: Result<BTreeSet<_>, _> = ways.iter().map(|way| model.opened_by(*way)).collect();
            let expected = places.and_then(|places| if places.is_empty() { Err(Refusal::Last) } else { Ok(places) });
            let rekeyed = store.rekey(&ways.into_iter().map(unlock).collect::<Vec<_>>()).map_err(refusal);
            assert_eq!(rekeyed.as_ref().err(), expected.as_ref().err());
            if let Ok(places) = expected {
                let old = std::mem::take(&mut model.slots);
                model.gone.extend(old.iter().map(|slot| slot.id));
                let kept = old.into_iter().enumerate().filter(|(place, _)| places.contains(place));
                let listed = store.slots().unwrap();
                model.slots = kept.zip(listed).map(|((_, slot), listed)| Slot { id: listed.id, ..slot }).collect();
                assert!(model.slots.iter().all(|slot| !model.gone.contains(&slot.id)), "ids are new");
            }
        }
        Operation::Save(user) => {
            store.save_token(&token().user_name(user.to_string()).access_token("a").build()).unwrap();
            model.users.insert(user);
        }
        Operation::Reopen(_) => {}
    }
    let shown = store.slots().unwrap();
    let shown: Vec<_> =
        shown.iter().map(|slot| (slot.id, slot.label.as_str(), matches!(slot.kind, SlotKind::Passphrase(_)))).collect();
    let expected: Vec<_> =
        model.slots.iter().map(|slot| (slot.id, slot.label.as_str(), is_passphrase(slot.way))).collect();
    assert_eq!(shown, expected);
    let users: BTreeSet<u8> =
        store.get_tokens().unwrap().iter().map(|token| token.user_name().unwrap().parse().unwrap()).collect();
    assert_eq!(users, model.users);
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::common::cases(12), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn any_sequence_of_changed_ways_does_what_the_model_does(
        first in 0..PASSPHRASES + RECOVERY_KEYS,
        operations in vec(operation(), 1..40),
    ) {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.keep");
        let store = Keystore::create(&path, &unlock(first)).unwrap();
        let mut stores = [store, Keystore::open(&path, &unlock(first)).unwrap()];
        let id = stores[0].slots().unwrap()[0].id;
        let mut model = Model { slots: vec![Slot { way: first, label: String::new(), id }], ..Model::default() };
        for (handle, operation) in operations {
            if let Operation::Reopen(way) = operation {
                match (Keystore::open(&path, &unlock(way)).map_err(refusal), model.opened_by(way)) {
                    (Ok(store), Ok(place)) => {
                        prop_assert_eq!(store.opened_by().unwrap().unwrap().id, model.slots[place].id);
                        stores[handle] = store;
                    }
                    (opened, expected) => prop_assert_eq!(opened.err(), expected.err()),
                }
            }
            let rekeys = matches!(operation, Operation::Rekey(_));
            let gone_before = model.gone.len();
            perform(operation, &stores[handle], &mut model);
            if rekeys && model.gone.len() > gone_before {
                let other = &mut stores[1 - handle];
                let is_rekeyed = matches!(other.get_tokens(), Err(Error::Rekeyed { .. }));
                prop_assert!(is_rekeyed);
                *other = Keystore::open(&path, &unlock(model.slots[0].way)).unwrap();
            }
        }
        for way in 0..PASSPHRASES + RECOVERY_KEYS {
            let opened = Keystore::open(&path, &unlock(way));
            prop_assert_eq!(opened.map_err(refusal).err(), model.opened_by(way).err());
        }
    }
}
