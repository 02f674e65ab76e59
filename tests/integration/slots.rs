//! Several ways to unlock one store: listing, adding, removing, replacing, rekeying.

use std::time::{Duration, SystemTime};

use crate::common::{Fixture, cheap, names_in, token, unlock};
use tokenkeep::{
    Error, KdfParams, KeySlot, Keystore, Part, Passphrase, RecoveryKey, SlotKind, SlotLimit, TokenStore, Unlock,
    UnlockMethod, testing::derivations,
};

fn passphrase(text: &str) -> Unlock {
    cheap(text).into()
}

fn recovery_key() -> Unlock {
    Unlock::from(RecoveryKey::generate().unwrap())
}

fn with_a_token() -> Fixture {
    let fixture = Fixture::new();
    fixture.store.save_token(&token().user_name("ada").access_token("a").build()).unwrap();
    fixture
}

impl Fixture {
    fn try_open(&self, unlock: &Unlock) -> tokenkeep::Result<Keystore> {
        Keystore::open(&self.path, unlock)
    }

    #[track_caller]
    fn opens(&self, unlock: &Unlock) {
        let store = self.try_open(unlock).unwrap();
        store.verify().unwrap();
        assert_eq!(store.get_tokens().unwrap(), self.store.get_tokens().unwrap());
    }

    /// What is refused, and leaves all as it was.
    #[track_caller]
    fn refused<T: std::fmt::Debug>(&self, operation: impl FnOnce(&Keystore) -> tokenkeep::Result<T>) -> Error {
        let before = self.bytes();
        let refusal = operation(&self.store).unwrap_err();
        assert!(self.bytes() == before, "the file was changed");
        assert_eq!(names_in(self.directory.path()).iter().filter(|name| name.ends_with(".tmp")).count(), 0);
        refusal
    }

    fn labels(&self) -> Vec<String> {
        self.store.slots().unwrap().into_iter().map(|slot| slot.label).collect()
    }
}

fn derivations_of<R>(run: impl FnOnce() -> R) -> (R, u64) {
    let before = derivations();
    (run(), derivations() - before)
}

#[test]
fn every_way_opens_the_same_store_in_any_order() {
    let fixture = with_a_token();
    let ways = [unlock(), recovery_key(), passphrase("another"), recovery_key()];
    for way in &ways[1..] {
        fixture.store.add_slot(way).unwrap();
    }
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 3, 0, 2]] {
        for n in order {
            let store = fixture.try_open(&ways[n]).unwrap();
            let place =
                store.slots().unwrap().iter().position(|slot| Some(slot) == store.opened_by().unwrap().as_ref());
            assert_eq!(place, Some(n));
            store.save_token(&token().user_name(format!("by {n}")).access_token("a").build()).unwrap();
        }
        ways.iter().for_each(|way| fixture.opens(way));
    }
    assert_eq!(fixture.store.get_tokens().unwrap().len(), 5);
}

#[test]
fn a_store_can_be_made_with_a_recovery_key_alone() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    let (way, other) = (recovery_key(), recovery_key());
    let (created, cost) = derivations_of(|| Keystore::open_or_create(&path, &way.clone().label("the only one")));
    assert_eq!((created.unwrap().slots().unwrap()[0].label.as_str(), cost), ("the only one", 0));
    let (opened, cost) = derivations_of(|| Keystore::open_or_create(&path, &way));
    assert_eq!((opened.unwrap().slots().unwrap()[0].kind, cost), (SlotKind::RecoveryKey, 0));
    assert!(matches!(Keystore::open(&path, &other), Err(Error::WrongRecoveryKey { .. })));
    assert!(matches!(Keystore::open(&path, &unlock()), Err(Error::NoSlotFor { method: UnlockMethod::Passphrase, .. })));
}

#[test]
fn a_slot_is_listed_with_everything_but_its_secret() {
    let before = SystemTime::now() - Duration::from_millis(1);
    let fixture = Fixture::new();
    let cost = KdfParams::new(8192, 5, 2).unwrap();
    let added = fixture.store.add_slot(&Unlock::from(Passphrase::new("another").kdf(cost)).label("Grace")).unwrap();
    let paper = fixture.store.add_slot(&recovery_key().label("päper")).unwrap();
    let slots = fixture.open().slots().unwrap();
    assert_eq!(slots, fixture.store.slots().unwrap());
    let listed = |slot: &KeySlot| (slot.kind, slot.label.clone());
    assert_eq!(listed(&slots[0]), (SlotKind::Passphrase(KdfParams::MIN), String::new()));
    assert_eq!(listed(&slots[1]), (SlotKind::Passphrase(cost), "Grace".to_owned()));
    assert_eq!(listed(&slots[2]), (SlotKind::RecoveryKey, "päper".to_owned()));
    assert_eq!([slots[1].id, slots[2].id], [added, paper]);
    assert!(slots.iter().all(|slot| (before..=SystemTime::now()).contains(&slot.created_at)));
    assert!(slots[0].id != added && added != paper);
    // Labels are nobody's business who has only the file.
    let bytes = fixture.bytes();
    assert!(!bytes.windows(5).any(|bytes| bytes == b"Grace"));
}

#[test]
fn a_way_that_was_removed_opens_nothing_and_the_last_one_stays() {
    let fixture = with_a_token();
    let way = recovery_key();
    let added = fixture.store.add_slot(&way).unwrap();
    let first = fixture.store.slots().unwrap()[0].id;
    fixture.opens(&way);

    fixture.open().remove_slot(added).unwrap();
    assert!(matches!(fixture.try_open(&way), Err(Error::NoSlotFor { method: UnlockMethod::RecoveryKey, .. })));
    let bytes = fixture.bytes();
    assert!(matches!(fixture.store.remove_slot(added), Err(Error::NoSuchSlot { id, .. }) if id == added));
    assert_eq!(fixture.bytes(), bytes);
    assert!(matches!(fixture.refused(|store| store.remove_slot(first)), Error::LastSlot));

    fixture.store.add_slot(&way).unwrap();
    fixture.store.remove_slot(first).unwrap(); // the slot that opened this handle
    assert_eq!(fixture.store.opened_by().unwrap(), None);
    assert!(matches!(fixture.try_open(&unlock()), Err(Error::NoSlotFor { method: UnlockMethod::Passphrase, .. })));
    fixture.opens(&way);
    fixture.store.save_token(&token().user_name("grace").access_token("a").build()).unwrap();
    fixture.opens(&way);
}

#[test]
fn changed_passphrase_keeps_tokens_place_and_label() {
    let fixture = with_a_token();
    let (old, new, other) = (cheap("old"), cheap("new"), recovery_key());
    let replaced = fixture.store.add_slot(&Unlock::from(old.clone()).label("Ada")).unwrap();
    fixture.store.add_slot(&other).unwrap();
    let (changed, cost) = derivations_of(|| fixture.store.change_passphrase(&old, &new));
    assert_ne!(changed.unwrap(), replaced);
    assert_eq!(cost, 3, "the first slot's, the second one's, and the new one's");
    assert_eq!(fixture.labels(), ["", "Ada", ""]);
    for unlock in [&unlock(), &new.clone().into(), &other] {
        fixture.opens(unlock);
    }
    assert!(matches!(fixture.try_open(&old.clone().into()), Err(Error::WrongPassphrase { .. })));

    fixture.store.change_passphrase(&new, &old).unwrap();
    assert_eq!(fixture.labels(), ["", "Ada", ""]);
    assert!(matches!(fixture.try_open(&new.into()), Err(Error::WrongPassphrase { .. })));
}

#[test]
fn a_change_is_refused_without_the_right_passphrase() {
    let fixture = with_a_token();
    let change =
        |current: &str, new: &str| fixture.refused(|store| store.change_passphrase(&cheap(current), &cheap(new)));
    assert!(matches!(change("wrong", "new"), Error::WrongPassphrase { .. }));
    assert!(matches!(change(crate::common::PASSPHRASE, ""), Error::EmptyPassphrase));
    assert!(matches!(change("", "new"), Error::EmptyPassphrase));
    fixture.opens(&unlock());
}

#[test]
fn a_passphrase_of_low_cost_is_found_and_raised() {
    let fixture = Fixture::new();
    let store = fixture.open();
    assert!(store.opened_by().unwrap().unwrap().needs_upgrade());
    store
        .change_passphrase(&crate::common::passphrase(), &crate::common::passphrase().kdf(KdfParams::default()))
        .unwrap();
    let slot = store.opened_by().unwrap().unwrap();
    assert!(!slot.needs_upgrade() && slot.kind == SlotKind::Passphrase(KdfParams::default()));
    fixture.opens(&unlock());
    let paper = store.add_slot(&recovery_key()).unwrap();
    assert!(!store.slots().unwrap().into_iter().find(|slot| slot.id == paper).unwrap().needs_upgrade());
}

#[test]
fn a_slot_is_replaced_by_another_of_any_kind() {
    let fixture = with_a_token();
    let (lost, found) = (recovery_key().label("paper"), recovery_key());
    let id = fixture.store.add_slot(&lost).unwrap();
    let replaced = fixture.store.replace_slot(id, &found).unwrap();
    assert!(matches!(fixture.try_open(&lost), Err(Error::WrongRecoveryKey { .. })));
    fixture.opens(&found);
    assert_eq!(fixture.labels(), ["", "paper"]);
    let (gone, cost) = derivations_of(|| fixture.refused(|store| store.replace_slot(id, &passphrase("new"))));
    assert!(matches!(gone, Error::NoSuchSlot { .. }) && cost == 0);

    fixture.store.replace_slot(replaced, &passphrase("new").label("typed")).unwrap();
    assert_eq!(fixture.labels(), ["", "typed"]);
    assert!(matches!(fixture.try_open(&found), Err(Error::NoSlotFor { .. })));
    fixture.opens(&passphrase("new"));
}

#[test]
fn wrong_secret_costs_one_derivation_for_each_passphrase() {
    let fixture = with_a_token();
    for way in [recovery_key(), passphrase("two"), recovery_key(), passphrase("three")] {
        fixture.store.add_slot(&way).unwrap();
    }
    let cost_of = |way: Unlock| derivations_of(|| fixture.try_open(&way).map(|_| ()));
    for (n, text) in [crate::common::PASSPHRASE, "two", "three"].into_iter().enumerate() {
        let (opened, cost) = cost_of(passphrase(text));
        assert!(opened.is_ok());
        assert_eq!(cost, u64::try_from(n).unwrap() + 1);
    }
    let (refused, cost) = cost_of(passphrase("wrong"));
    assert!(matches!(refused, Err(Error::WrongPassphrase { .. })));
    assert_eq!(cost, 3);
    let (refused, cost) = cost_of(recovery_key());
    assert!(matches!(refused, Err(Error::WrongRecoveryKey { .. })));
    assert_eq!(cost, 0);
}

#[test]
fn ninth_slot_and_fifth_passphrase_cost_no_derivation() {
    let fixture = with_a_token();
    for n in 2..=4 {
        fixture.store.add_slot(&passphrase(&n.to_string())).unwrap();
    }
    let add = |way| derivations_of(|| fixture.refused(|store| store.add_slot(&way)));
    let (refused, cost) = add(passphrase("5"));
    assert!(matches!(refused, Error::TooManySlots { what: SlotLimit::Passphrases, limit: 4, .. }), "{refused}");
    assert_eq!(cost, 0);
    let keys: Vec<_> = (5..=8).map(|_| recovery_key()).collect();
    for key in &keys {
        fixture.store.add_slot(key).unwrap();
    }
    for way in [recovery_key(), passphrase("9")] {
        let (refused, cost) = add(way);
        assert!(matches!(refused, Error::TooManySlots { what: SlotLimit::KeySlots, limit: 8, .. }), "{refused}");
        assert_eq!(cost, 0);
    }
    keys.iter().for_each(|key| fixture.opens(key));
    fixture.opens(&passphrase("4"));
    // A full store can still be changed: what is replaced makes room.
    fixture.store.change_passphrase(&cheap("4"), &cheap("other")).unwrap();
    let last = fixture.store.slots().unwrap()[7].id;
    let full = fixture.refused(|store| store.replace_slot(last, &passphrase("5")));
    assert!(matches!(full, Error::TooManySlots { what: SlotLimit::Passphrases, .. }));
    fixture.store.rekey(keys[..2].iter().chain([&passphrase("other")])).unwrap();
    assert_eq!(fixture.store.slots().unwrap().len(), 3);
}

#[test]
fn a_label_may_have_256_bytes() {
    let fixture = Fixture::new();
    let label = "é".repeat(128);
    fixture.store.add_slot(&recovery_key().label(&label)).unwrap();
    assert_eq!(fixture.labels(), ["", label.as_str()]);
    let refused = fixture.refused(|store| store.add_slot(&recovery_key().label(format!("{label}x"))));
    assert!(matches!(refused, Error::TooLarge { part: Part::Label, size: 257, limit: 256, .. }));
    let first = fixture.store.slots().unwrap()[0].id;
    let too_long = Unlock::from(cheap("new")).label("x".repeat(257));
    let refused = fixture.refused(|store| store.replace_slot(first, &too_long));
    assert!(matches!(refused, Error::TooLarge { part: Part::Label, .. }));
    let path = fixture.directory.path().join("other.keep");
    let refused = Keystore::create(&path, &recovery_key().label("x".repeat(257)));
    assert!(matches!(refused, Err(Error::TooLarge { .. })) && !path.exists());
}

#[test]
fn other_handles_follow_changed_slots_and_report_a_rekey() {
    let fixture = with_a_token();
    let other = fixture.open();
    let way = recovery_key();
    let added = fixture.store.add_slot(&way).unwrap();
    assert_eq!(other.slots().unwrap(), fixture.store.slots().unwrap());
    other.save_token(&token().user_name("grace").access_token("a").build()).unwrap();
    let changed = other.change_passphrase(&crate::common::passphrase(), &cheap("new")).unwrap();
    assert_eq!(fixture.store.opened_by().unwrap(), None, "another handle changed it");
    assert_eq!(other.opened_by().unwrap().unwrap().id, changed);
    fixture.store.remove_slot(added).unwrap();
    other.save_token(&token().user_name("alan").access_token("a").build()).unwrap();
    assert_eq!(other.get_tokens().unwrap().len(), 3);
    fixture.opens(&passphrase("new"));

    let clone = fixture.store.clone();
    fixture.store.rekey([&passphrase("new")]).unwrap();
    clone.save_token(&token().user_name("edsger").access_token("a").build()).unwrap();
    let bytes = fixture.bytes();
    for result in [
        other.get_tokens().map(|_| ()),
        other.slots().map(|_| ()),
        other.opened_by().map(|_| ()),
        other.verify(),
        other.backup_to(fixture.directory.path().join("backup")),
        other.save_token(&token().access_token("a").build()).map(|_| ()),
        other.add_slot(&recovery_key()).map(|_| ()),
        other.remove_slot(changed).map(|_| ()),
        other.change_passphrase(&cheap("new"), &cheap("newer")).map(|_| ()),
        other.rekey([&passphrase("new")]),
    ] {
        assert!(matches!(result, Err(Error::Rekeyed { .. })), "{result:?}");
    }
    assert_eq!(fixture.bytes(), bytes);
    assert_eq!(fixture.try_open(&passphrase("new")).unwrap().get_tokens().unwrap().len(), 4);
}

#[test]
fn a_way_is_tried_on_an_open_store() {
    let fixture = with_a_token();
    let paper = recovery_key();
    let added = fixture.store.add_slot(&paper.clone().label("paper")).unwrap();
    let other = fixture.open();
    assert_eq!(fixture.store.try_unlock(&paper).unwrap().id, added);
    assert_eq!(fixture.store.try_unlock(&unlock()).unwrap(), fixture.store.opened_by().unwrap().unwrap());
    assert!(matches!(fixture.refused(|store| store.try_unlock(&passphrase("wrong"))), Error::WrongPassphrase { .. }));
    assert!(matches!(fixture.refused(|store| store.try_unlock(&recovery_key())), Error::WrongRecoveryKey { .. }));
    other.remove_slot(added).unwrap();
    assert!(matches!(fixture.store.try_unlock(&paper), Err(Error::NoSlotFor { .. })), "as it is now");
}

#[test]
fn a_rekeying_keeps_exactly_what_is_presented_again() {
    let fixture = with_a_token();
    let (kept, dropped) = (recovery_key(), recovery_key());
    fixture.store.add_slot(&dropped.clone().label("dropped")).unwrap();
    fixture.store.add_slot(&kept.clone().label("kept")).unwrap();
    fixture.store.add_slot(&passphrase("also dropped")).unwrap();
    let before = fixture.store.slots().unwrap();
    // In any order, and twice for once.
    fixture.store.rekey([&kept, &unlock().label("named"), &kept]).unwrap();

    assert_eq!(fixture.labels(), ["named", "kept"]);
    assert!(fixture.store.slots().unwrap().iter().all(|slot| before.iter().all(|old| old.id != slot.id)));
    assert_eq!(fixture.store.opened_by().unwrap().unwrap().label, "named");
    for way in [&kept, &unlock()] {
        fixture.opens(way);
    }
    assert!(matches!(fixture.try_open(&dropped), Err(Error::WrongRecoveryKey { .. })));
    assert!(matches!(fixture.try_open(&passphrase("also dropped")), Err(Error::WrongPassphrase { .. })));
}

#[test]
fn rekey_needs_unlock_methods_that_open_the_store() {
    let fixture = with_a_token();
    let rekey = |ways: &[Unlock]| fixture.refused(|store| store.rekey(ways));
    assert!(matches!(rekey(&[]), Error::LastSlot));
    assert!(matches!(rekey(&[unlock(), passphrase("wrong")]), Error::WrongPassphrase { .. }));
    assert!(matches!(rekey(&[unlock(), recovery_key()]), Error::NoSlotFor { method: UnlockMethod::RecoveryKey, .. }));
    fixture.opens(&unlock());
}

#[test]
fn a_backup_opens_in_every_way_that_the_store_had() {
    let fixture = with_a_token();
    let way = recovery_key();
    let added = fixture.store.add_slot(&way).unwrap();
    let backup = fixture.directory.path().join("backup.keep");
    fixture.store.backup_to(&backup).unwrap();
    fixture.store.remove_slot(added).unwrap();
    // Which is why removal is no revocation.
    for way in [way, unlock()] {
        assert_eq!(Keystore::open(&backup, &way).unwrap().get_tokens().unwrap().len(), 1);
    }
}

#[test]
fn no_way_shows_its_secret() {
    let key = RecoveryKey::generate().unwrap();
    let shown = format!("{:?} {:?}", Unlock::from(key.clone()).label("paper"), key);
    for group in key.expose_secret().split('-').skip(1) {
        assert!(!shown.contains(group), "{shown}");
    }
    assert!(!format!("{:?}", passphrase("canary")).contains("canary"));
}
