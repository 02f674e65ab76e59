use super::*;
use crate::{
    kdf::{KdfParams, count},
    seal,
};

fn unlock(passphrase: &str) -> Unlock {
    Passphrase::new(passphrase).kdf(KdfParams::MIN).into()
}

fn path() -> &'static Path {
    Path::new("/home/ada/tokens.keep")
}

fn store_key() -> Key {
    let mut key = Key::zeroed();
    key.bytes_mut().fill(5);
    key
}

fn table(slots: Vec<Slot>) -> KeyTable {
    let key_id = seal::key_id(&store_key()).unwrap();
    let (notes_salt, sealed_notes, mac) = ([0; 32], Vec::new(), [0; 32]);
    KeyTable { store_id: [3; 16], key_id, revision: 1, slots, notes_salt, sealed_notes, mac }
}

fn slot(passphrase: &str) -> Slot {
    sealed(&unlock(passphrase))
}

fn sealed(unlock: &Unlock) -> Slot {
    unlock.new_slot(&[3; 16], 1, &store_key(), None).unwrap().seal(&[3; 16], &store_key()).unwrap()
}

fn derivations_of<R>(run: impl FnOnce() -> R) -> (R, u64) {
    let before = count::get();
    (run(), count::get() - before)
}

#[test]
fn wrong_passphrase_costs_one_derivation_for_each_slot() {
    let table = table(vec![slot("one"), Slot { kind: SlotKind::Keychain, ..slot("none") }, slot("two"), slot("three")]);
    for (passphrase, cost) in [("one", 1), ("two", 2), ("three", 3)] {
        let (key, derivations) = derivations_of(|| unlock(passphrase).open_slot(&table, path()));
        assert_eq!((*key.unwrap().store_key.bytes(), derivations), ([5; 32], cost));
    }
    let (refused, derivations) = derivations_of(|| unlock("four").open_slot(&table, path()));
    assert!(matches!(refused, Err(Error::WrongPassphrase { .. })) && derivations == 3);
}

#[test]
fn missing_slot_kind_is_reported_without_a_derivation() {
    let table = table(vec![Slot { kind: SlotKind::RecoveryKey, ..slot("one") }]);
    let (refused, derivations) = derivations_of(|| unlock("one").open_slot(&table, path()));
    assert!(matches!(refused, Err(Error::NoSlotFor { method: UnlockMethod::Passphrase, .. })) && derivations == 0);
    let paper = Unlock::from(RecoveryKey::of_bytes(&[3; 32]).unwrap());
    let refused = paper.open_slot(&KeyTable { slots: vec![slot("one")], ..table }, path());
    assert!(matches!(refused, Err(Error::NoSlotFor { method: UnlockMethod::RecoveryKey, .. })));
}

#[test]
fn an_empty_passphrase_is_refused_without_a_derivation() {
    let (refused, derivations) = derivations_of(|| unlock("").new_slot(&[3; 16], 1, &store_key(), None));
    assert!(matches!(refused, Err(Error::EmptyPassphrase)) && derivations == 0);
    let table = table(vec![slot("one")]);
    let (refused, derivations) = derivations_of(|| unlock("").open_slot(&table, path()));
    assert!(matches!(refused, Err(Error::EmptyPassphrase)) && derivations == 0);
}

#[test]
fn the_cost_comes_from_the_slot_when_opening() {
    let costly = KdfParams::new(8192, 5, 2).unwrap();
    let slot = sealed(&Passphrase::new("one").kdf(costly).into());
    assert_eq!(slot.kind, SlotKind::Passphrase(costly));
    assert!(unlock("one").open_slot(&table(vec![slot.clone()]), path()).is_ok());
    // A slot whose cost was changed is another slot.
    let cheaper = Slot { kind: SlotKind::Passphrase(KdfParams::MIN), ..slot };
    assert!(matches!(unlock("one").open_slot(&table(vec![cheaper]), path()), Err(Error::WrongPassphrase { .. })));
}

#[test]
fn unset_cost_is_that_of_the_slot_or_the_default() {
    let cost = |unlock: &Unlock, replaced| match unlock.slot_kind(replaced) {
        SlotKind::Passphrase(kdf) => kdf,
        other => panic!("a passphrase in {other:?}"),
    };
    let (unset, costly) = (Unlock::from(Passphrase::new("one")), KdfParams::new(128 * 1024, 6, 4).unwrap());
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

fn paper(byte: u8) -> RecoveryKey {
    RecoveryKey::of_bytes(&[byte; 32]).unwrap()
}

fn methods_and_messages(refused: Result<Unlocked>) -> Vec<(UnlockMethod, String)> {
    match refused {
        Err(Error::NoneOpened { path: named, failures }) => {
            assert_eq!(named, path());
            failures.into_iter().map(|failure| (failure.method, failure.error.to_string())).collect()
        }
        other => panic!("expected NoneOpened, got {other:?}"),
    }
}

#[test]
fn unlock_methods_are_tried_in_order_until_one_opens() {
    let table = table(vec![slot("one"), sealed(&paper(3).into()), slot("two")]);
    let (one, two, key) = (unlock("one"), unlock("two"), Unlock::from(paper(3)));
    let opened_by = |unlocks: &[&Unlock]| {
        let (opened, derivations) = derivations_of(|| open_first(unlocks, &table, path()).unwrap());
        let place = table.slots.iter().position(|slot| slot.id == opened.by).unwrap();
        assert_eq!(*opened.store_key.bytes(), [5; 32]);
        (place, derivations)
    };
    assert_eq!(opened_by(&[&one, &two, &key]), (0, 1));
    assert_eq!(opened_by(&[&two, &one]), (2, 2));
    assert_eq!(opened_by(&[&key, &one]), (1, 0), "what comes after is not tried");
    assert_eq!(opened_by(&[&unlock("wrong"), &key]), (1, 2), "after each that failed");
}

#[test]
fn each_failed_unlock_method_is_reported_in_order() {
    let table = table(vec![slot("one"), sealed(&paper(3).into())]);
    let keychain = Unlock::from(Keychain::new("service"));
    let refused = open_first(&[&keychain, &unlock("wrong"), &unlock(""), &paper(4).into()], &table, path());
    let expected = [
        (
            UnlockMethod::Keychain,
            "/home/ada/tokens.keep has no key slot for this unlock method (keychain): use another unlock method",
        ),
        (UnlockMethod::Passphrase, "wrong passphrase for /home/ada/tokens.keep: try again"),
        (UnlockMethod::Passphrase, "the passphrase is empty, which protects nothing: enter one that is hard to guess"),
        (
            UnlockMethod::RecoveryKey,
            "wrong recovery key for /home/ada/tokens.keep: check that it was made for this keystore",
        ),
    ];
    assert_eq!(methods_and_messages(refused), expected.map(|(method, message)| (method, message.to_owned())));
    assert_eq!(methods_and_messages(open_first(&[], &table, path())), []);
}

/// One that is not for the keystore at all costs no key derivation.
#[test]
fn unlock_method_without_a_slot_hides_no_other() {
    let table = table(vec![sealed(&paper(3).into())]);
    let (opened, derivations) =
        derivations_of(|| open_first(&[&unlock("one"), &paper(3).into()], &table, path()).unwrap());
    assert_eq!((*opened.store_key.bytes(), derivations), ([5; 32], 0));
}

#[test]
fn clones_of_an_unlock_method_share_its_secret() {
    let (passphrase, key) = (Passphrase::new("correct horse"), paper(3));
    let address_in = |unlock: &Unlock| match &unlock.method {
        Method::Passphrase(passphrase) => passphrase.address(),
        Method::RecoveryKey(key) => key.expose_secret().as_ptr(),
        Method::Keychain(_) | Method::External(_) => panic!("it holds no secret"),
    };
    assert_eq!(passphrase.clone().kdf(KdfParams::MIN).address(), passphrase.address());
    assert_eq!(key.clone().expose_secret().as_ptr(), key.expose_secret().as_ptr());
    assert_eq!(address_in(&passphrase.clone().into()), passphrase.address());
    assert_eq!(address_in(&key.clone().into()), key.expose_secret().as_ptr());
    for unlock in [Unlock::from(passphrase), Unlock::from(key)] {
        assert_eq!(address_in(&unlock.clone().label("another label")), address_in(&unlock));
    }
}

#[test]
fn debug_of_an_unlock_method_names_what_it_is() {
    let passphrase = Unlock::from(Passphrase::new("canary").kdf(KdfParams::MIN)).label("Ada");
    assert_eq!(format!("{passphrase:?}"), r#"Unlock { method: Passphrase(***), label: "Ada" }"#);
    assert_eq!(format!("{:?}", Unlock::from(paper(3))), r#"Unlock { method: RecoveryKey(***), label: "" }"#);
    let keychain = format!("{:?}", Unlock::from(Keychain::new("com.example.app")));
    assert_eq!(keychain, r#"Unlock { method: Keychain { service: "com.example.app", deadline: 30s, .. }, label: "" }"#);
}
