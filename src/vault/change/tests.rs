use super::*;
use crate::{
    unlock::External,
    vault::tests::{Provider, Silent, paper, vault},
};

fn external(provider: &Provider) -> Unlock {
    External::new(provider.clone()).into()
}

#[test]
fn each_change_raises_the_revision() {
    let vault = vault();
    let added = vault.add_slot(&paper(2)).unwrap();
    assert_eq!((added.replaced_revision(), added.vault().revision()), (Some(1), 2));
    assert_eq!(added.replaced(), vault.bytes());
    assert!(format!("{added:?}").starts_with("VaultChange { vault: Vault {"), "{added:?}");
    let id = added.new_slot().unwrap();
    let (vault, _) = added.written();
    let replaced = vault.replace_slot(id, &paper(3)).unwrap();
    let new = replaced.new_slot().unwrap();
    assert_ne!(new, id);
    let (vault, _) = replaced.written();
    let removed = vault.remove_slot(new).unwrap();
    assert_eq!((removed.replaced_revision(), removed.new_slot()), (Some(3), None));
    let (vault, _) = removed.written();
    assert_eq!((vault.revision(), vault.slots().len()), (4, 1));
    assert!(matches!(vault.remove_slot(vault.slots()[0].id), Err(Error::LastSlot)));
    assert!(matches!(vault.remove_slot(new), Err(Error::NoSuchSlot { id }) if id == new));
    assert!(matches!(vault.rekey([]), Err(Error::LastSlot)));
}

#[test]
fn rekeying_keeps_the_slots_that_are_opened() {
    let (vault, _) = vault().add_slot(&paper(2).label("kept")).unwrap().written();
    let (vault, _) = vault.add_slot(&paper(3)).unwrap().written();
    let (rekeyed, _) = vault.rekey([&paper(2), &paper(2)]).unwrap().written();
    assert_ne!(rekeyed.key_id(), vault.key_id());
    assert_eq!(rekeyed.store_id(), vault.store_id());
    assert_eq!(rekeyed.slots().iter().map(|slot| &*slot.label).collect::<Vec<_>>(), ["kept"]);
    assert!(Vault::open("accounts", rekeyed.bytes(), &paper(2)).is_ok());
    for gone in [paper(1), paper(3)] {
        assert!(matches!(Vault::open("accounts", rekeyed.bytes(), &gone), Err(Error::WrongRecoveryKey { .. })));
    }
}

/// The caller could not store the bytes.
#[test]
fn discarded_change_has_its_new_keys_forgotten() {
    let (vault, provider) = (vault(), Provider::default());
    let change = vault.add_slot(&external(&provider)).unwrap();
    assert_eq!(provider.keys.lock().len(), 1);
    change.discard();
    assert!(provider.keys.lock().is_empty());
    Vault::create("accounts", &external(&provider)).unwrap().discard();
    assert!(provider.keys.lock().is_empty());
}

/// A connection broke while the bytes were sent, and `?` dropped the change: the bytes may be stored.
#[test]
fn dropped_change_keeps_all_keys() {
    let (vault, provider) = (vault(), Provider::default());
    let (with_slot, _) = vault.add_slot(&external(&provider)).unwrap().written();
    let slot = with_slot.slots()[1].id;
    drop(with_slot.replace_slot(slot, &external(&provider)).unwrap());
    assert_eq!(provider.keys.lock().len(), 2);
    with_slot.try_unlock(&external(&provider)).unwrap();
}

#[test]
fn key_of_a_removed_slot_is_forgotten_after_the_write() {
    let (vault, provider) = (vault(), Provider::default());
    let (with_slot, _) = vault.add_slot(&external(&provider)).unwrap().written();
    let change = with_slot.remove_slot(with_slot.slots()[1].id).unwrap();
    assert_eq!(provider.keys.lock().len(), 1);
    change.written().1.unwrap();
    assert!(provider.keys.lock().is_empty());
}

/// Each use of a provider makes an unlock method of its own.
#[test]
fn provider_that_was_given_twice_is_asked_once() {
    let (vault, provider) = (vault(), Provider::default());
    let (with_slot, _) = vault.add_slot(&external(&provider)).unwrap().written();
    with_slot.try_unlock(&external(&provider)).unwrap();
    with_slot.remove_slot(with_slot.slots()[1].id).unwrap().written().1.unwrap();
    assert_eq!(*provider.forgotten.lock(), 1);
}

/// One provider hangs; the other one is asked all the same.
#[test]
fn silent_provider_leaves_no_key_of_another() {
    let provider = Provider::default();
    let silent = Unlock::from(External::new(Silent::default()).deadline(std::time::Duration::from_millis(100)));
    let (vault, _) = vault().add_slot(&silent).unwrap().written();
    let (vault, _) = vault.add_slot(&external(&provider)).unwrap().written();
    let (_, forgotten) = vault.rekey([&paper(1)]).unwrap().written();
    assert!(matches!(forgotten, Err(Error::KeyLeft { .. })), "{forgotten:?}");
    assert!(provider.keys.lock().is_empty());
}

/// A provider that does not answer would not answer for its other keys either. One that fails may forget those.
#[test]
fn silent_provider_is_asked_once_and_failing_one_for_each_key() {
    let (silent, failing) = (Silent::default(), Provider::default());
    *failing.fails_to_forget.lock() = true;
    let asked = silent.0.forgotten.clone();
    let silent = Unlock::from(External::new(silent).deadline(std::time::Duration::from_millis(100)));
    let mut vault = vault();
    for unlock in [&silent, &silent, &external(&failing), &external(&failing)] {
        vault = vault.add_slot(unlock).unwrap().written().0;
    }
    let (_, forgotten) = vault.rekey([&paper(1)]).unwrap().written();
    assert!(matches!(forgotten, Err(Error::KeyLeft { .. })), "{forgotten:?}");
    assert_eq!((*asked.lock(), *failing.forgotten.lock()), (1, 2));
}

#[test]
fn label_of_256_bytes_is_the_longest() {
    let vault = vault();
    assert!(vault.add_slot(&paper(2).label("x".repeat(256))).is_ok());
    assert!(matches!(vault.add_slot(&paper(2).label("x".repeat(257))), Err(Error::TooLarge { size: 257, .. })));
}

#[test]
fn unlock_method_is_tried_on_its_own_slot() {
    let (vault, _) = vault().add_slot(&paper(2).label("second")).unwrap().written();
    assert_eq!(vault.try_unlock(&paper(2)).unwrap().label, "second");
    assert_eq!(vault.try_unlock(&paper(1)).unwrap().id, vault.slots()[0].id);
}

#[test]
fn key_that_is_not_forgotten_is_reported() {
    let (vault, provider) = (vault(), Provider::default());
    let (with_slot, _) = vault.add_slot(&external(&provider)).unwrap().written();
    *provider.fails_to_forget.lock() = true;
    let (after, forgotten) = with_slot.remove_slot(with_slot.slots()[1].id).unwrap().written();
    assert_eq!(after.slots().len(), 1);
    match forgotten {
        Err(Error::KeyLeft { cause }) => assert!(matches!(*cause, Error::External { .. }), "{cause}"),
        other => panic!("expected KeyLeft, got {other:?}"),
    }
}

/// The slot of a failed addition: the vault has no room for it, and the provider is not even asked.
#[test]
fn provider_is_not_asked_for_a_slot_without_room() {
    let (mut vault, provider) = (vault(), Provider::default());
    for byte in 2..=8 {
        vault = vault.add_slot(&paper(byte)).unwrap().written().0;
    }
    assert!(matches!(vault.add_slot(&external(&provider)), Err(Error::TooManySlots { .. })));
    assert!(matches!(vault.replace_slot(SlotId([0; 16]), &external(&provider)), Err(Error::NoSuchSlot { .. })));
    let long = external(&provider).label("x".repeat(257));
    assert!(matches!(vault.replace_slot(vault.slots()[1].id, &long), Err(Error::TooLarge { .. })));
    assert!(provider.keys.lock().is_empty());
}

#[test]
fn passphrase_is_changed_in_its_own_slot() {
    let passphrase = |text: &str| Passphrase::new(text).kdf(crate::kdf::KdfParams::MIN);
    let (vault, _) = vault().add_slot(&Unlock::from(passphrase("one")).label("Ada")).unwrap().written();
    let (changed, _) = vault.change_passphrase(&passphrase("one"), &passphrase("two")).unwrap().written();
    assert_eq!(changed.slots()[1].label, "Ada");
    assert!(changed.try_unlock(&passphrase("two").into()).is_ok());
    let refused = changed.change_passphrase(&passphrase("one"), &passphrase("three"));
    assert!(matches!(refused, Err(Error::WrongPassphrase { .. })), "{refused:?}");
}
