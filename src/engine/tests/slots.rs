#[cfg(feature = "keychain")]
use std::cell::RefCell;
use std::{fs, sync::Arc, thread, time::Duration};

use tempfile::TempDir;

use super::{super::*, at, create, flaw, now, save, save_token, unlock};
#[cfg(feature = "keychain")]
use crate::unlock::Keychain;
use crate::{
    Token,
    error::{FileFlaw, KeychainFailure},
    file::{Access, Os, StoreFile},
    format::{BODY_HEADER_LEN, KeyTable, Parts, Slot},
    index::Index,
    kdf::{KdfParams, count},
    seal,
    unlock::{Passphrase, RecoveryKey},
    unlock_method::UnlockMethod,
};

fn recovery_key() -> Unlock {
    RecoveryKey::generate().unwrap().into()
}

fn open(directory: &TempDir, unlock: &Unlock) -> Result<Engine> {
    let file = StoreFile::existing(&at(directory), Access::Checked, 1 << 20, Arc::new(Os)).unwrap();
    Engine::open(file, unlock, Duration::from_secs(5))
}

/// The key table of a file.
fn table_of(bytes: &[u8]) -> KeyTable {
    Parts::parse(&mut bytes.to_vec()).unwrap().table
}

/// The file with other slots in its key table, as somebody without a key can write it: notes of the right length,
/// checks that fit, a body of a length that fits.
fn with_slots(bytes: &[u8], slots: impl FnOnce(&mut Vec<Slot>)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let Parts { mut body_header, mut table, body, .. } = Parts::parse(&mut bytes).unwrap();
    slots(&mut table.slots);
    table.sealed_notes.resize(266 * table.slots.len() + 16, 0);
    let table = table.encode();
    body_header.table_len = table.len();
    let header_len = BODY_HEADER_LEN + table.len();
    let mut body = body.to_vec();
    body.resize((header_len + body.len()).next_multiple_of(4096) - header_len, 0);
    body_header.body_len = body.len().try_into().unwrap();
    [body_header.encode(), table, body].concat()
}

#[test]
fn after_a_rekeying_no_slot_of_an_older_copy_opens_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, key) = (create(&directory), recovery_key());
    engine.add_slot(&key).unwrap();
    save(&engine, "ada").unwrap();
    let old = table_of(&fs::read(at(&directory)).unwrap());
    engine.rekey(&[&unlock(), &key]).unwrap();
    let new = fs::read(at(&directory)).unwrap();

    assert_eq!(open(&directory, &key).unwrap().read("", Index::tokens).unwrap().len(), 1);
    for (place, slot) in old.slots.iter().enumerate() {
        // In the place of the slot that it was, then beside it.
        fs::write(at(&directory), with_slots(&new, |slots| slots[place] = slot.clone())).unwrap();
        for (other, unlock) in [&unlock(), &key].into_iter().enumerate() {
            let refused = open(&directory, unlock);
            if other == place {
                // A slot is bound to the store key that it holds.
                assert!(matches!(refused, Err(Error::WrongPassphrase { .. } | Error::WrongRecoveryKey { .. })));
            } else {
                assert_eq!(flaw(&directory, refused), FileFlaw::Tampered, "{place}");
            }
        }
        fs::write(at(&directory), with_slots(&new, |slots| slots.insert(0, slot.clone()))).unwrap();
        for unlock in [&unlock(), &key] {
            assert_eq!(flaw(&directory, open(&directory, unlock)), FileFlaw::Tampered, "{place}");
        }
    }
    fs::write(at(&directory), with_slots(&new, |slots| slots.clone_from(&old.slots))).unwrap();
    assert!(matches!(open(&directory, &key), Err(Error::WrongRecoveryKey { .. })));
}

#[test]
fn a_slot_that_was_removed_opens_nothing_when_it_is_put_back() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, key) = (create(&directory), recovery_key());
    let added = engine.add_slot(&key).unwrap();
    let slot = table_of(&fs::read(at(&directory)).unwrap()).slots[1].clone();
    engine.remove_slot(added).unwrap();
    let new = fs::read(at(&directory)).unwrap();
    assert!(matches!(open(&directory, &key), Err(Error::NoSlotFor { method: UnlockMethod::RecoveryKey, .. })));
    assert!(matches!(engine.remove_slot(added), Err(Error::NoSuchSlot { id }) if id == added));

    fs::write(at(&directory), with_slots(&new, |slots| slots.push(slot))).unwrap();
    assert_eq!(flaw(&directory, open(&directory, &key)), FileFlaw::Tampered);
}

/// Why removal is no revocation, and rekeying is: what the documents warn of is so, and ends.
#[test]
fn older_copy_with_its_secret_opens_later_files_until_a_rekey() {
    let directory = tempfile::tempdir().unwrap();
    let (engine, removed) = (create(&directory), recovery_key());
    let added = engine.add_slot(&removed).unwrap();
    let kept = removed.open_slot(&table_of(&fs::read(at(&directory)).unwrap()), engine.path()).unwrap();
    let opens_now = || {
        let mut bytes = fs::read(at(&directory)).unwrap();
        let Parts { body_header, header, body, .. } = Parts::parse(&mut bytes).unwrap();
        seal::open(&kept.store_key, &body_header, header, body).unwrap().is_some()
    };
    engine.remove_slot(added).unwrap();
    save(&engine, "ada").unwrap();
    assert!(opens_now());
    engine.rekey(&[&unlock()]).unwrap();
    assert!(!opens_now());
}

#[test]
fn a_rekeying_makes_another_key_and_changes_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    save(&engine, "ada").unwrap();
    let state = |engine: &Engine| {
        let state = engine.state.read();
        (*state.vault.store_key().bytes(), table_of(&fs::read(at(&directory)).unwrap()), state.header.generation)
    };
    let (old_key, old, old_generation) = state(&engine);
    engine.rekey(&[&unlock()]).unwrap();
    let (new_key, new, generation) = state(&engine);
    assert!(new_key != old_key && new.key_id != old.key_id);
    assert_eq!((new.store_id, new.revision, generation), (old.store_id, old.revision + 1, old_generation + 1));
    let (slot, before) = (&new.slots[0], &old.slots[0]);
    assert!(slot.id != before.id && slot.salt != before.salt && slot.wrapped_key != before.wrapped_key);
    assert_eq!(state(&open(&directory, &unlock()).unwrap()), (new_key, new, generation));
    assert_eq!(save(&engine, "grace").unwrap().as_str(), "2");
}

/// A file that is verified while this very handle gives it another key.
#[test]
fn handle_reports_no_rekey_of_its_own() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let key = recovery_key();
    engine.add_slot(&key).unwrap();
    thread::scope(|scope| {
        let verifying = scope.spawn(|| (0..300).try_for_each(|_| engine.verify()));
        for _ in 0..30 {
            engine.rekey(&[&key]).unwrap();
        }
        verifying.join().unwrap().unwrap();
    });
}

/// A save keeps the key table byte for byte.
#[test]
fn save_keeps_the_key_table() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let table = || table_of(&fs::read(at(&directory)).unwrap());
    let before = table();
    save(&engine, "ada").unwrap();
    assert_eq!(table(), before);
    engine.add_slot(&recovery_key()).unwrap();
    assert_eq!(table().revision, before.revision + 1);
}

/// The thread that reads adopts the slots that another handle has added.
#[test]
fn slots_of_another_handle_are_listed_with_their_labels() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    open(&directory, &unlock()).unwrap().add_slot(&recovery_key().label("paper")).unwrap();
    let labels: Vec<_> = engine.slots().unwrap().into_iter().map(|slot| slot.label).collect();
    assert_eq!(labels, ["", "paper"]);
    assert!(engine.opened_by().unwrap().is_some());
}

#[test]
fn slot_that_went_meanwhile_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let gone = engine.add_slot(&recovery_key()).unwrap();
    let refused = engine.change_slots(|vault| {
        let prepared = vault.prepare_replace(gone, &recovery_key());
        open(&directory, &unlock()).unwrap().remove_slot(gone).unwrap();
        prepared
    });
    assert!(matches!(refused, Err(Error::NoSuchSlot { id }) if id == gone), "{refused:?}");
    assert_eq!(engine.slots().unwrap().len(), 1);
}

#[test]
fn replacing_another_slot_is_not_replacing_the_one_that_opened() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let (opened_by, added) = (engine.opened_by().unwrap(), engine.add_slot(&recovery_key()).unwrap());
    engine.replace_slot(added, &recovery_key()).unwrap();
    assert_eq!(engine.opened_by().unwrap(), opened_by);
}

#[test]
fn a_slot_that_would_make_the_file_too_long_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    // As much as leaves no room for another slot in the file's one block.
    let token = Token::builder().access_token("x".repeat(3000)).build();
    let engine = create(&directory);
    save_token(&engine, &token).unwrap();
    engine.compact().unwrap();
    let len = fs::metadata(at(&directory)).unwrap().len();
    assert_eq!(len, 4096);
    let file = StoreFile::existing(&at(&directory), Access::Checked, len, Arc::new(Os)).unwrap();
    let engine = Engine::open(file, &unlock(), Duration::from_secs(5)).unwrap();
    assert!(matches!(engine.add_slot(&recovery_key()), Err(Error::FileTooLarge { .. })));
    assert_eq!(engine.slots().unwrap().len(), 1);
}

/// While others would wait for it, no key is derived.
#[test]
fn keys_are_derived_before_the_lock_is_taken() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let file = StoreFile::existing(&at(&directory), Access::Checked, 1 << 20, Arc::new(Os)).unwrap();
    let engine = Engine::open(file, &unlock(), Duration::from_millis(50)).unwrap();
    let other_passphrase = Passphrase::new("other").kdf(KdfParams::MIN);
    let (own, other) = (unlock(), Unlock::from(other_passphrase.clone()));

    type Operation<'a> = &'a dyn Fn() -> Result<()>;
    let operations: [(Operation<'_>, u64); 5] = [
        (&|| engine.add_slot(&other).map(|_| ()), 1),
        (&|| engine.change_passphrase(&other_passphrase, &other_passphrase).map(|_| ()), 2 + 1),
        // One of them twice: it has to be opened, but needs no second slot.
        (&|| engine.rekey(&[&own, &other, &own]), (1 + 1) + (2 + 1) + 1),
        (&|| engine.replace_slot(engine.slots()?[1].id, &other).map(|_| ()), 1),
        (&|| engine.remove_slot(engine.slots()?[0].id), 0),
    ];
    for (n, (operation, derivations)) in operations.into_iter().enumerate() {
        let derived = || {
            let before = count::get();
            (operation(), count::get() - before)
        };
        let lock = engine.file.lock(&now()).unwrap();
        let (busy, before_the_lock) = derived();
        assert!(matches!(busy, Err(Error::Busy { .. })), "{n}: {busy:?}");
        drop(lock);
        let (unlocked, in_all) = derived();
        unlocked.unwrap();
        assert_eq!((before_the_lock, in_all), (derivations, derivations), "{n}");
    }
}

/// A machine that was cloned between the two could seal two store keys with the key of one slot.
#[cfg(feature = "keychain")]
#[test]
fn slot_that_was_prepared_before_a_rekey_is_prepared_again() {
    let directory = tempfile::tempdir().unwrap();
    let keychain = Keychain::new("service").credential_store(keyring_core::mock::Store::new().unwrap());
    let engine = create(&directory);
    let prepared_for = RefCell::new(Vec::new());
    let id = engine
        .change_slots(|vault| {
            let prepared = vault.prepare_add(&keychain.clone().into())?;
            // The mock keychain lists entries also after they are deleted.
            let mut entries = keychain.slots(&vault.store_id())?;
            entries.retain(|id| prepared_for.borrow().iter().all(|(_, known)| known != id));
            prepared_for.borrow_mut().push((vault.key_id(), entries[0]));
            if prepared_for.borrow().len() == 1 {
                engine.rekey(&[&unlock()])?;
            }
            Ok(prepared)
        })
        .unwrap();
    let prepared_for = prepared_for.into_inner();
    let [(before, given_up), (after, committed)] = &prepared_for[..] else { panic!("{prepared_for:?}") };
    assert_ne!(before, after);
    assert_eq!(Some(*committed), id);
    open(&directory, &keychain.clone().into()).unwrap();
    let store_id = engine.vault().unwrap().store_id();
    let gone = keychain.find_key(&store_id, *given_up, keychain.start(), |_| Ok(Some(())));
    assert!(matches!(gone, Err(Error::Keychain { why: KeychainFailure::Missing })), "{gone:?}");
}

/// The slot is in the file, so the key has to stay, although a power cut may undo the change.
#[cfg(all(unix, feature = "keychain"))]
#[test]
fn slot_whose_durability_is_unknown_keeps_its_key() {
    use crate::{
        engine::tests::open_with,
        file::{Call, Watched},
    };

    let directory = tempfile::tempdir().unwrap();
    let keychain = Keychain::new("service").credential_store(keyring_core::mock::Store::new().unwrap());
    let unlock = Unlock::from(keychain);
    drop(create(&directory));
    let disk = Watched(|call| match call {
        Call::SyncDirectory => Err(std::io::Error::other("on fire")),
        _ => Ok(()),
    });
    let engine = open_with(&directory, Arc::new(disk));
    assert!(matches!(engine.add_slot(&unlock), Err(Error::DurabilityUnknown { .. })));
    open(&directory, &unlock).unwrap();
}

/// A power cut may bring the old file back, which needs the key.
#[cfg(all(unix, feature = "keychain"))]
#[test]
fn a_key_stays_in_the_keychain_until_its_slot_is_gone_for_good() {
    use crate::{
        engine::tests::open_with,
        file::{Call, Watched},
    };
    use std::{
        io,
        sync::atomic::{AtomicBool, Ordering},
    };

    let directory = tempfile::tempdir().unwrap();
    let keychain = Keychain::new("service").credential_store(keyring_core::mock::Store::new().unwrap());
    let unlock = Unlock::from(keychain.clone());
    let engine = create(&directory);
    let slot = engine.add_slot(&unlock).unwrap();
    let before = fs::read(at(&directory)).unwrap();
    let failing = Arc::new(AtomicBool::new(true));
    let watched = failing.clone();
    let disk = Watched(move |call| match call {
        Call::SyncDirectory if watched.load(Ordering::SeqCst) => Err(io::Error::other("on fire")),
        _ => Ok(()),
    });
    let engine = open_with(&directory, Arc::new(disk));
    engine.try_unlock(&unlock).unwrap();
    assert!(matches!(engine.remove_slot(slot), Err(Error::DurabilityUnknown { .. })));
    assert_eq!(engine.keychain_orphans(&keychain).unwrap(), [slot]);
    // Nor by another handle, which knows nothing of that.
    assert!(matches!(engine.remove_keychain_orphan(&keychain, slot), Err(Error::DurabilityUnknown { .. })));
    fs::write(at(&directory), before).unwrap();
    open(&directory, &unlock).unwrap();

    failing.store(false, Ordering::SeqCst);
    let engine = open(&directory, &unlock).unwrap();
    let is_no_orphan =
        || matches!(engine.remove_keychain_orphan(&keychain, slot), Err(Error::NotAnOrphan { id }) if id == slot);
    assert!(is_no_orphan(), "it is in use");
    open(&directory, &unlock).unwrap();
    engine.remove_slot(slot).unwrap();
    assert!(is_no_orphan(), "the key went with the slot");
}
