use super::*;
use crate::{kdf::count, seal};

fn unlock(passphrase: &str) -> Unlock {
    Unlock::passphrase(passphrase).kdf(KdfParams::MIN)
}

fn store_key() -> Key {
    let mut key = Key::zeroed();
    key.bytes_mut().fill(5);
    key
}

fn header(slots: Vec<Slot>) -> Header {
    let (body_salt, body_commitment) = ([0; 32], [0; 32]);
    let key_id = seal::key_id(&store_key()).unwrap();
    Header { store_id: [3; 16], generation: 1, body_len: 4112, body_salt, body_commitment, key_id, slots }
}

fn slot(passphrase: &str) -> Slot {
    sealed(&unlock(passphrase))
}

fn sealed(unlock: &Unlock) -> Slot {
    unlock.new_slot(&header(Vec::new()), &store_key(), None).unwrap().seal(&[3; 16], &store_key()).unwrap()
}

fn derivations_of<R>(run: impl FnOnce() -> R) -> (R, u64) {
    let before = count::get();
    (run(), count::get() - before)
}

#[test]
fn any_of_several_passphrases_opens_and_a_wrong_one_costs_one_derivation_for_each() {
    let header =
        header(vec![slot("one"), Slot { kind: SlotKind::Keychain, ..slot("none") }, slot("two"), slot("three")]);
    for (passphrase, cost) in [("one", 1), ("two", 2), ("three", 3)] {
        let (key, derivations) = derivations_of(|| unlock(passphrase).open_slot(&header));
        assert_eq!((*key.unwrap().store_key.bytes(), derivations), ([5; 32], cost));
    }
    let (refused, derivations) = derivations_of(|| unlock("four").open_slot(&header));
    assert!(matches!(refused, Err(Error::WrongPassphrase)) && derivations == 3);
}

#[test]
fn a_store_without_a_slot_of_the_kind_is_told_without_a_derivation() {
    let header = header(vec![Slot { kind: SlotKind::RecoveryKey, ..slot("one") }]);
    let (refused, derivations) = derivations_of(|| unlock("one").open_slot(&header));
    assert!(matches!(refused, Err(Error::NoSuchSlot { kind: "passphrase" })) && derivations == 0);
    let paper = Unlock::recovery_key(RecoveryKey::of_bytes(&[3; 32]).unwrap());
    let refused = paper.open_slot(&Header { slots: vec![slot("one")], ..header });
    assert!(matches!(refused, Err(Error::NoSuchSlot { kind: "recovery key" })));
}

#[test]
fn an_empty_passphrase_is_refused_without_a_derivation() {
    let (refused, derivations) = derivations_of(|| unlock("").new_slot(&header(Vec::new()), &store_key(), None));
    assert!(matches!(refused, Err(Error::EmptyPassphrase)) && derivations == 0);
    let header = header(vec![slot("one")]);
    let (refused, derivations) = derivations_of(|| unlock("").open_slot(&header));
    assert!(matches!(refused, Err(Error::EmptyPassphrase)) && derivations == 0);
}

#[test]
fn the_cost_comes_from_the_slot_when_opening() {
    let costly = KdfParams::new(8192, 5, 2).unwrap();
    let slot = sealed(&unlock("one").kdf(costly));
    assert_eq!(slot.kind, SlotKind::Passphrase(costly));
    assert!(unlock("one").open_slot(&header(vec![slot.clone()])).is_ok());
    // A slot whose cost was changed is another slot.
    let cheaper = Slot { kind: SlotKind::Passphrase(KdfParams::MIN), ..slot };
    assert!(matches!(unlock("one").open_slot(&header(vec![cheaper])), Err(Error::WrongPassphrase)));
}

#[test]
fn a_cost_that_is_not_set_is_that_of_the_place_or_the_default_if_that_is_more() {
    let cost = |unlock: &Unlock, replaced| match unlock.slot_kind(replaced) {
        SlotKind::Passphrase(kdf) => kdf,
        other => panic!("a passphrase in {other:?}"),
    };
    let (unset, costly) = (Unlock::passphrase("one"), KdfParams::new(128 * 1024, 6, 4).unwrap());
    for (replaced, expected) in [
        (None, KdfParams::default()),
        (Some(SlotKind::RecoveryKey), KdfParams::default()),
        (Some(SlotKind::Passphrase(KdfParams::MIN)), KdfParams::default()),
        (Some(SlotKind::Passphrase(costly)), costly),
    ] {
        assert_eq!(cost(&unset, replaced), expected);
        assert_eq!(cost(&unlock("one"), replaced), KdfParams::MIN, "what is set, is meant");
    }
}

#[test]
fn two_slots_of_one_passphrase_have_nothing_in_common() {
    let (one, other) = (slot("one"), slot("one"));
    assert!(one.id != other.id && one.salt != other.salt);
    assert!(one.commitment != other.commitment && one.wrapped_key != other.wrapped_key);
}

#[test]
fn debug_shows_no_passphrase() {
    assert!(!format!("{:?}", unlock("canary")).contains("canary"));
}
