use std::{fs, sync::Arc, thread, time::Duration};

use tempfile::TempDir;

use super::*;
use crate::{
    Token,
    engine::tests::{at, create, flaw, now, save, unlock},
    error::FileFlaw,
    file::{Access, Os, StoreFile},
    format::Slot,
    index::Index,
    kdf::{KdfParams, count},
    method::UnlockMethod,
    seal,
    unlock::RecoveryKey,
};

fn recovery_key() -> Unlock {
    RecoveryKey::generate().unwrap().into()
}

fn open(folder: &TempDir, unlock: &Unlock) -> Result<Engine> {
    let file = StoreFile::existing(&at(folder), Access::Checked, 1 << 20, Arc::new(Os)).unwrap();
    Engine::open(file, unlock, Duration::from_secs(5))
}

/// The file with other slots in its header, a check that fits, and a body of a length that fits.
fn with_slots(bytes: &[u8], slots: impl FnOnce(&mut Vec<Slot>)) -> Vec<u8> {
    let mut bytes = bytes.to_vec();
    let (mut header, _, body) = Header::parse(&mut bytes).unwrap();
    slots(&mut header.slots);
    let mut body = body.to_vec();
    body.resize((header.len() + body.len()).next_multiple_of(4096) - header.len(), 0);
    header.body_len = body.len().try_into().unwrap();
    [header.encode(), body].concat()
}

#[test]
fn after_a_rekeying_no_slot_of_an_older_copy_opens_the_file() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, key) = (create(&folder), recovery_key());
    engine.add_slot(&key).unwrap();
    save(&engine, "ada").unwrap();
    let mut old = fs::read(at(&folder)).unwrap();
    let (old, ..) = Header::parse(&mut old).unwrap();
    engine.rekey(&[&unlock(), &key]).unwrap();
    let new = fs::read(at(&folder)).unwrap();

    assert_eq!(open(&folder, &key).unwrap().read(Index::tokens).unwrap().len(), 1);
    for (place, slot) in old.slots.iter().enumerate() {
        // In the place of the slot that it was, then beside it.
        fs::write(at(&folder), with_slots(&new, |slots| slots[place] = slot.clone())).unwrap();
        for (other, unlock) in [&unlock(), &key].into_iter().enumerate() {
            let refused = open(&folder, unlock);
            if other == place {
                // A slot is bound to the store key that it holds.
                assert!(matches!(refused, Err(Error::WrongPassphrase { .. } | Error::WrongRecoveryKey { .. })));
            } else {
                assert_eq!(flaw(&folder, refused), FileFlaw::Tampered, "{place}");
            }
        }
        fs::write(at(&folder), with_slots(&new, |slots| slots.insert(0, slot.clone()))).unwrap();
        for unlock in [&unlock(), &key] {
            assert_eq!(flaw(&folder, open(&folder, unlock)), FileFlaw::Tampered, "{place}");
        }
    }
    fs::write(at(&folder), with_slots(&new, |slots| slots.clone_from(&old.slots))).unwrap();
    assert!(matches!(open(&folder, &key), Err(Error::WrongRecoveryKey { .. })));
}

#[test]
fn a_slot_that_was_removed_opens_nothing_when_it_is_put_back() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, key) = (create(&folder), recovery_key());
    let added = engine.add_slot(&key).unwrap();
    let mut old = fs::read(at(&folder)).unwrap();
    let slot = Header::parse(&mut old).unwrap().0.slots[1].clone();
    engine.remove_slot(added).unwrap();
    let new = fs::read(at(&folder)).unwrap();
    assert!(matches!(open(&folder, &key), Err(Error::NoSlotFor { method: UnlockMethod::RecoveryKey, .. })));
    assert!(matches!(engine.remove_slot(added), Err(Error::NoSuchSlot { id }) if id == added));

    fs::write(at(&folder), with_slots(&new, |slots| slots.push(slot))).unwrap();
    assert_eq!(flaw(&folder, open(&folder, &key)), FileFlaw::Tampered);
}

/// Why removal is no revocation, and rekeying is: what the documents warn of is so, and ends.
#[test]
fn an_older_copy_and_its_secret_give_the_key_to_later_files_until_it_is_exchanged() {
    let folder = tempfile::tempdir().unwrap();
    let (engine, removed) = (create(&folder), recovery_key());
    let added = engine.add_slot(&removed).unwrap();
    let mut old = fs::read(at(&folder)).unwrap();
    let kept = removed.open_slot(&Header::parse(&mut old).unwrap().0, engine.path()).unwrap();
    let opens_now = || {
        let mut bytes = fs::read(at(&folder)).unwrap();
        let (header, header_bytes, body) = Header::parse(&mut bytes).unwrap();
        seal::open(&kept.store_key, &header, header_bytes, body).unwrap().is_some()
    };
    engine.remove_slot(added).unwrap();
    save(&engine, "ada").unwrap();
    assert!(opens_now());
    engine.rekey(&[&unlock()]).unwrap();
    assert!(!opens_now());
}

#[test]
fn a_rekeying_makes_another_key_and_changes_nothing_else() {
    let folder = tempfile::tempdir().unwrap();
    let engine = create(&folder);
    save(&engine, "ada").unwrap();
    let state = |engine: &Engine| {
        let state = engine.state.read();
        (*state.unlocked.store_key.bytes(), state.header.clone())
    };
    let (old_key, old) = state(&engine);
    engine.rekey(&[&unlock()]).unwrap();
    let (new_key, new) = state(&engine);
    assert!(new_key != old_key && new.key_id != old.key_id);
    assert_eq!((new.store_id, new.generation), (old.store_id, old.generation + 1));
    let (slot, before) = (&new.slots[0], &old.slots[0]);
    assert!(slot.id != before.id && slot.salt != before.salt && slot.wrapped_key != before.wrapped_key);
    assert_eq!(state(&open(&folder, &unlock()).unwrap()), (new_key, new));
    assert_eq!(save(&engine, "grace").unwrap().as_str(), "2");
}

/// A file that is verified while this very handle gives it another key.
#[test]
fn a_handle_is_not_told_of_its_own_rekeying() {
    let folder = tempfile::tempdir().unwrap();
    let engine = create(&folder);
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

fn made(engine: &Engine, unlock: &Unlock) -> Addition {
    let (header, store_key) = engine.next().unwrap();
    Addition::make(unlock, &header, &store_key, None).unwrap()
}

#[test]
fn a_slot_id_that_repeats_is_not_put_into_a_file() {
    let folder = tempfile::tempdir().unwrap();
    let engine = create(&folder);
    let new = made(&engine, &recovery_key());
    let _ = engine.commit_slots(|draft| draft.add_slot(new.clone())).unwrap();
    let bytes = fs::read(at(&folder)).unwrap();
    assert!(matches!(engine.commit_slots(|draft| draft.add_slot(new)), Err(Error::Internal(_))));
    assert_eq!(fs::read(at(&folder)).unwrap(), bytes);
}

/// Another thread gives the store another key while this one derives. `prepare_and_change` then starts again.
#[test]
fn slot_prepared_for_another_store_key_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    let engine = create(&folder);
    let new = made(&engine, &recovery_key());
    engine.rekey(&[&unlock()]).unwrap();
    let before = fs::read(at(&folder)).unwrap();
    assert!(matches!(engine.commit_slots(|draft| draft.add_slot(new)), Err(Error::Internal(_))));
    assert_eq!(fs::read(at(&folder)).unwrap(), before);
}

#[test]
fn a_slot_that_went_while_its_successor_was_made_is_not_replaced_nor_another_one() {
    let folder = tempfile::tempdir().unwrap();
    let engine = create(&folder);
    let gone = engine.add_slot(&recovery_key()).unwrap();
    let new = made(&engine, &recovery_key());
    open(&folder, &unlock()).unwrap().remove_slot(gone).unwrap();
    let bytes = fs::read(at(&folder)).unwrap();
    let refused = engine.commit_slots(|draft| draft.replace_slot(gone, new));
    assert!(matches!(refused, Err(Error::NoSuchSlot { id }) if id == gone));
    assert_eq!(fs::read(at(&folder)).unwrap(), bytes);
}

#[test]
fn replacing_another_slot_is_not_replacing_the_one_that_opened() {
    let folder = tempfile::tempdir().unwrap();
    let engine = create(&folder);
    let (opened_by, added) = (engine.opened_by().unwrap(), engine.add_slot(&recovery_key()).unwrap());
    engine.replace_slot(added, &recovery_key()).unwrap();
    assert_eq!(engine.opened_by().unwrap(), opened_by);
}

#[test]
fn a_slot_that_would_make_the_file_too_long_is_refused() {
    let folder = tempfile::tempdir().unwrap();
    // As much as leaves no room for another slot in the file's one block.
    let token = Token::builder().access_token("x".repeat(3400)).build();
    let saved = create(&folder).write(move |changes| changes.save(&token)).unwrap();
    saved.confirmed(|_| None).unwrap();
    let len = fs::metadata(at(&folder)).unwrap().len();
    assert_eq!(len, 4096);
    let file = StoreFile::existing(&at(&folder), Access::Checked, len, Arc::new(Os)).unwrap();
    let engine = Engine::open(file, &unlock(), Duration::from_secs(5)).unwrap();
    assert!(matches!(engine.add_slot(&recovery_key()), Err(Error::FileTooLarge { .. })));
    assert_eq!(engine.slots().unwrap().len(), 1);
}

/// While others would wait for it, no key is derived.
#[test]
fn keys_are_derived_before_the_lock_is_taken() {
    let folder = tempfile::tempdir().unwrap();
    drop(create(&folder));
    let file = StoreFile::existing(&at(&folder), Access::Checked, 1 << 20, Arc::new(Os)).unwrap();
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
    let folder = tempfile::tempdir().unwrap();
    let keychain = Keychain::new("service").credential_store(keyring_core::mock::Store::new().unwrap());
    let engine = create(&folder);
    let mut prepared_for = Vec::new();
    let id = engine
        .prepare_and_change(|header, store_key, new_keys| {
            let new = new_keys.make(&keychain.clone().into(), header, store_key, None)?;
            prepared_for.push((header.key_id, new.id()));
            if prepared_for.len() == 1 {
                engine.rekey(&[&unlock()])?;
            }
            Ok(|draft: &mut Draft<'_>| draft.add_slot(new))
        })
        .unwrap();
    let [(before, given_up), (after, committed)] = prepared_for[..] else { panic!("{prepared_for:?}") };
    assert_ne!(before, after);
    assert_eq!(id, committed);
    open(&folder, &keychain.clone().into()).unwrap();
    let store_id = engine.read_state(|state| state.header.store_id).unwrap();
    let gone = keychain.find_key(&store_id, given_up, keychain.start(), |_| Ok(Some(())));
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

    let folder = tempfile::tempdir().unwrap();
    let keychain = Keychain::new("service").credential_store(keyring_core::mock::Store::new().unwrap());
    let unlock = Unlock::from(keychain);
    drop(create(&folder));
    let disk = Watched(|call| match call {
        Call::SyncDirectory => Err(std::io::Error::other("on fire")),
        _ => Ok(()),
    });
    let engine = open_with(&folder, Arc::new(disk));
    assert!(matches!(engine.add_slot(&unlock), Err(Error::DurabilityUnknown { .. })));
    open(&folder, &unlock).unwrap();
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

    let folder = tempfile::tempdir().unwrap();
    let keychain = Keychain::new("service").credential_store(keyring_core::mock::Store::new().unwrap());
    let unlock = Unlock::from(keychain.clone());
    let engine = create(&folder);
    let slot = engine.add_slot(&unlock).unwrap();
    let before = fs::read(at(&folder)).unwrap();
    let failing = Arc::new(AtomicBool::new(true));
    let watched = failing.clone();
    let disk = Watched(move |call| match call {
        Call::SyncDirectory if watched.load(Ordering::SeqCst) => Err(io::Error::other("on fire")),
        _ => Ok(()),
    });
    let engine = open_with(&folder, Arc::new(disk));
    engine.try_unlock(&unlock).unwrap();
    assert!(matches!(engine.remove_slot(slot), Err(Error::DurabilityUnknown { .. })));
    assert_eq!(engine.keychain_orphans(&keychain).unwrap(), [slot]);
    // Nor by another handle, which knows nothing of that.
    assert!(matches!(engine.remove_keychain_orphan(&keychain, slot), Err(Error::DurabilityUnknown { .. })));
    fs::write(at(&folder), before).unwrap();
    open(&folder, &unlock).unwrap();

    failing.store(false, Ordering::SeqCst);
    let engine = open(&folder, &unlock).unwrap();
    let is_no_orphan =
        || matches!(engine.remove_keychain_orphan(&keychain, slot), Err(Error::NotAnOrphan { id }) if id == slot);
    assert!(is_no_orphan(), "it is in use");
    open(&folder, &unlock).unwrap();
    engine.remove_slot(slot).unwrap();
    assert!(is_no_orphan(), "the key went with the slot");
}
