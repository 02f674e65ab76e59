//! A keychain that fails, hangs, panics or takes the process with it, once at each of the questions that an operation
//! asks.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Stdio,
    str::FromStr,
    sync::Arc,
    time::{Duration, Instant},
};

use keyring_core::{CredentialStore, Error as KeyringError, mock};
use tempfile::TempDir;
use tokenkeep::{
    Error, Keychain, KeychainFailure, Keystore, KeystoreOptions, SlotId, SlotKind, TokenStore, Unlock, UnlockMethod,
};

use crate::{
    SERVICE,
    common::{PAPER, token, unlock, unlock_with_paper},
    credentials::{Directory, Fault, STOPPED},
    this_program_with,
};

fn keychain_in(store: Arc<CredentialStore>) -> Keychain {
    Keychain::new(SERVICE).credential_store(store).deadline(Duration::from_millis(400))
}

/// What is on the disk: the store, and the keychain's entries.
struct Place(TempDir);

impl Place {
    /// A store as the operation starts from, made without faults.
    fn for_operation(operation: &str) -> Self {
        let place = Self(tempfile::tempdir().unwrap());
        fs::create_dir(place.entries()).unwrap();
        if operation != "create" {
            let store = Keystore::create(place.path(), &unlock_with_paper(PAPER)).unwrap();
            store.save_token(&token().user_name("ada").access_token("a").build()).unwrap();
            if operation != "add" {
                store.add_slot(&place.unlock()).unwrap();
            }
        }
        place
    }

    fn path(&self) -> PathBuf {
        self.0.path().join("tokens.keep")
    }

    fn entries(&self) -> PathBuf {
        self.0.path().join("entries")
    }

    /// Without faults.
    fn keychain(&self) -> Keychain {
        keychain_in(Directory::new(self.entries()).store())
    }

    fn unlock(&self) -> Unlock {
        self.keychain().into()
    }

    fn bytes(&self) -> Option<Vec<u8>> {
        fs::read(self.path()).ok()
    }

    /// That the store opens in every way that its file has, to what was in it.
    fn assert_opens(&self, at: &str) -> Vec<SlotKind> {
        if self.bytes().is_none() {
            return Vec::new();
        }
        let paper = Keystore::open(self.path(), &unlock_with_paper(PAPER));
        let keychain = Keystore::open(self.path(), &self.unlock());
        let store = paper.as_ref().or(keychain.as_ref()).unwrap_or_else(|error| panic!("{at}: {error}"));
        store.verify().unwrap();
        let kinds: Vec<_> = store.slots().unwrap().iter().map(|slot| slot.kind).collect();
        assert_eq!(paper.is_ok(), kinds.contains(&SlotKind::RecoveryKey), "{at}: {paper:?}");
        assert_eq!(keychain.is_ok(), kinds.contains(&SlotKind::Keychain), "{at}: {keychain:?}");
        let tokens: Vec<_> = [paper, keychain].into_iter().flatten().map(|store| store.get_tokens().unwrap()).collect();
        assert!(tokens.iter().all(|found| *found == tokens[0]), "{at}");
        kinds
    }
}

const OPERATIONS: [&str; 5] = ["create", "add", "remove", "replace", "rekey"];

fn perform(operation: &str, path: &Path, keychain: &Unlock) -> tokenkeep::Result<()> {
    if operation == "create" {
        return Keystore::create(path, keychain).map(|_| ());
    }
    // With the recovery key: the keychain fails as asked.
    let store = Keystore::open(path, &unlock_with_paper(PAPER))?;
    let slot = |store: &Keystore| -> tokenkeep::Result<SlotId> {
        Ok(store.slots()?.into_iter().find(|slot| slot.kind == SlotKind::Keychain).unwrap().id)
    };
    match operation {
        "add" => store.add_slot(keychain).map(|_| ()),
        "remove" => {
            store.try_unlock(keychain)?;
            store.remove_slot(slot(&store)?)
        }
        "replace" => store.replace_slot(slot(&store)?, keychain).map(|_| ()),
        "rekey" => store.rekey([keychain, &unlock_with_paper(PAPER)]),
        _ => panic!("no such operation: {operation}"),
    }
}

/// In a process of its own, which the fault may end.
pub(crate) fn work(operation: &str, at: usize, directory: &Path) {
    let keychain = Directory::with(directory.join("entries"), Some((at, Fault::Stop)));
    let done = perform(operation, &directory.join("tokens.keep"), &keychain_in(keychain.store()).into());
    std::process::exit(i32::from(done.is_err()));
}

pub(crate) fn every_fault_at_every_question() {
    // The threads that panic would otherwise say so.
    std::panic::set_hook(Box::new(|panic| {
        if std::thread::current().name() != Some("tokenkeep unlock") {
            eprintln!("{panic}");
        }
    }));
    let mut points = 0;
    for operation in OPERATIONS {
        let place = Place::for_operation(operation);
        let healthy = Directory::new(place.entries());
        perform(operation, &place.path(), &keychain_in(healthy.store()).into()).unwrap();
        let calls = healthy.plan.calls();
        let after = place.assert_opens(operation);
        assert!(calls >= 4, "{operation}: {calls}");
        assert_eq!(healthy.entries().len(), usize::from(operation != "remove"), "{operation}");
        for at in 0..calls {
            for fault in [Fault::Fail, Fault::Hang, Fault::Panic, Fault::Stop] {
                one_fault(operation, at, fault, &after);
                points += 1;
            }
        }
    }
    let _ = std::panic::take_hook();
    println!("{points} points");
}

fn one_fault(operation: &str, at: usize, fault: Fault, after: &[SlotKind]) {
    let place = Place::for_operation(operation);
    let (bytes, kinds) = (place.bytes(), place.assert_opens(operation));
    let context = format!("{operation}, {fault:?} at {at}");
    if fault == Fault::Stop {
        let job = ["fault", operation, &at.to_string(), place.0.path().to_str().unwrap()];
        let stopped = this_program_with(&job).stdin(Stdio::null()).status().unwrap();
        assert_eq!(stopped.code(), Some(STOPPED), "{context}");
        let found = place.assert_opens(&context);
        assert!(found == kinds || found == after, "{context}: {found:?}");
    } else {
        let keychain = Directory::with(place.entries(), Some((at, fault)));
        let error = perform(operation, &place.path(), &keychain_in(keychain.store()).into()).unwrap_err();
        let (why, is_done) = match error {
            Error::Keychain { why, .. } => (why, false),
            Error::KeyLeft { cause, .. } => match *cause {
                Error::Keychain { why, .. } => (why, true),
                other => panic!("{context}: {other}"),
            },
            other => panic!("{context}: {other}"),
        };
        let expected = match fault {
            Fault::Fail => matches!(why, KeychainFailure::Unavailable),
            Fault::Hang => matches!(why, KeychainFailure::TimedOut { .. }),
            _ => matches!(why, KeychainFailure::Broken),
        };
        assert!(expected, "{context}: {why:?}");
        assert_eq!(place.bytes() == bytes, !is_done, "{context}");
        assert_eq!(place.assert_opens(&context), if is_done { after } else { &kinds }, "{context}");
    }

    // What is left over can be listed and taken away, and only that.
    if place.bytes().is_some() && operation != "create" {
        let store = Keystore::open(place.path(), &unlock_with_paper(PAPER)).unwrap();
        // A deletion that outlasted its deadline may come before or after the orphans are listed.
        let count = || Directory::new(place.entries()).entries().len();
        let before = count();
        let orphans = store.keychain_orphans(&place.keychain()).unwrap();
        let after = count();
        let slots = store.slots().unwrap();
        let in_use = slots.iter().filter(|slot| slot.kind == SlotKind::Keychain).count();
        assert!((after..=before).contains(&(orphans.len() + in_use)), "{context}: {orphans:?}, {after} to {before}");
        for orphan in orphans {
            // The late deletion may have come before.
            let removed = store.remove_keychain_orphan(&place.keychain(), orphan);
            assert!(matches!(removed, Ok(()) | Err(Error::NotAnOrphan { .. })), "{context}: {removed:?}");
            let again = store.remove_keychain_orphan(&place.keychain(), orphan);
            assert!(matches!(again, Err(Error::NotAnOrphan { id, .. }) if id == orphan), "{context}: {again:?}");
        }
        assert_eq!(count(), in_use, "{context}");
        for slot in slots {
            let refused = store.remove_keychain_orphan(&place.keychain(), slot.id);
            assert!(matches!(refused, Err(Error::NotAnOrphan { .. })), "{context}: it is in use: {refused:?}");
        }
        assert_eq!(store.keychain_orphans(&place.keychain()).unwrap(), []);
        place.assert_opens(&context);
    }
}

pub(crate) fn kinds_of_failure() {
    type Answer = fn() -> KeyringError;
    let answers: [(Answer, KeychainFailure); 6] = [
        (|| KeyringError::PlatformFailure("canary".into()), KeychainFailure::Unavailable),
        (|| KeyringError::NoStorageAccess("canary".into()), KeychainFailure::Locked),
        (|| KeyringError::BadEncoding(b"canary".to_vec()), KeychainFailure::Broken),
        (|| KeyringError::BadDataFormat(b"canary".to_vec(), "canary".into()), KeychainFailure::Broken),
        (|| KeyringError::Ambiguous(Vec::new()), KeychainFailure::Broken),
        (|| KeyringError::NoEntry, KeychainFailure::Missing),
    ];
    for (answer, expected) in answers {
        let place = Place::for_operation("add");
        let credentials = mock::Store::new().unwrap();
        let store = Keystore::open(place.path(), &unlock_with_paper(PAPER)).unwrap();
        let slot = store.add_slot(&keychain_in(credentials.clone()).into()).unwrap();
        let user = format!("{}-{slot}", crate::store_id_of(&place.path()));
        let entry = keyring_core::api::CredentialStoreApi::build(&*credentials, SERVICE, &user, None).unwrap();
        entry.as_any().downcast_ref::<mock::Cred>().unwrap().set_error(answer());
        let error = Keystore::open(place.path(), &keychain_in(credentials.clone()).into()).unwrap_err();
        assert!(matches!(error, Error::Keychain { why, .. } if why == expected), "{error:?}");
        // The errors of the keyring crates hold what was read.
        let source = std::error::Error::source(&error).map(ToString::to_string);
        assert!(!format!("{error} {error:?} {source:?}").contains("canary"));
        assert!(Keystore::open(place.path(), &keychain_in(credentials).into()).is_ok(), "once it answers again");
    }
}

pub(crate) fn wrong_keys() {
    let place = Place::for_operation("remove");
    let entry = place.entries().join(&Directory::new(place.entries()).entries()[0]);
    let key = fs::read(&entry).unwrap();
    assert_eq!(key.len(), 64, "nothing but the key");
    assert!(key.iter().all(|byte| b"0123456789abcdef".contains(byte)), "as text that every keychain keeps");
    let shouted = key.to_ascii_uppercase();
    for wrong in [vec![b'0'; 64], key[..63].to_vec(), [&key[..], b"0"].concat(), shouted, vec![0; 32], Vec::new()] {
        fs::write(&entry, wrong).unwrap();
        let refused = Keystore::open(place.path(), &place.unlock()).unwrap_err();
        assert!(matches!(refused, Error::Keychain { why: KeychainFailure::WrongKey, .. }), "{refused:?}");
    }
    fs::write(&entry, &key).unwrap();
    Keystore::open(place.path(), &place.unlock()).unwrap();
    // Another application's keychain, or another user's.
    let other =
        Unlock::from(Keychain::new("com.example.other").credential_store(Directory::new(place.entries()).store()));
    let missing = Keystore::open(place.path(), &other).unwrap_err();
    assert!(matches!(missing, Error::Keychain { why: KeychainFailure::Missing, .. }), "{missing:?}");
    let bytes = place.bytes();
    assert!(Keystore::open_or_create(place.path(), &other).is_err());
    assert_eq!(
        (place.bytes(), Directory::new(place.entries()).entries().len()),
        (bytes, 1),
        "no key is made for a file that exists"
    );
    let no_slot = Keystore::open(place.path(), &unlock()).unwrap_err();
    assert!(matches!(no_slot, Error::NoSlotFor { method: UnlockMethod::Passphrase, .. }));
}

/// The store was never made: nothing could list its key, and a start on a full disk would leave one each time.
pub(crate) fn failed_create() {
    let place = Place::for_operation("create");
    let directory = place.0.path().join("stores");
    fs::create_dir(&directory).unwrap();
    let (path, too_long) = (directory.join("tokens.keep"), directory.join("n".repeat(245)));
    let small = KeystoreOptions::new().max_file_len(100);
    let taken = directory.join("tokens.keep.lock");
    let failures: [&dyn Fn() -> tokenkeep::Result<Keystore>; 3] = [
        &|| small.create(&path, &place.unlock()),
        // The temporary file has a longer name.
        &|| Keystore::create(&too_long, &place.unlock()),
        &|| {
            fs::create_dir(&taken).unwrap();
            let created = Keystore::create(&path, &place.unlock());
            fs::remove_dir(&taken).unwrap();
            created
        },
    ];
    for (n, create) in failures.into_iter().enumerate() {
        assert!(create().is_err(), "{n}");
        assert_eq!(Directory::new(place.entries()).entries().len(), 0, "{n}");
        assert_eq!(fs::read_dir(&directory).unwrap().count(), 0, "{n}");
    }
}

/// A slot that was not committed leaves no key.
pub(crate) fn failed_change_of_slots() {
    let place = Place::for_operation("add");
    // As much as leaves no room for another slot in the file's one block.
    let store = Keystore::open(place.path(), &unlock_with_paper(PAPER)).unwrap();
    store.save_token(&tokenkeep::Token::builder().access_token("x".repeat(2800)).build()).unwrap();
    store.compact().unwrap();
    assert_eq!(fs::metadata(place.path()).unwrap().len(), 4096);
    let small = KeystoreOptions::new().max_file_len(fs::metadata(place.path()).unwrap().len());
    let store = small.open(place.path(), &unlock_with_paper(PAPER)).unwrap();
    assert!(matches!(store.add_slot(&place.unlock()), Err(Error::FileTooLarge { .. })));
    assert_eq!(Directory::new(place.entries()).entries().len(), 0);
    let store = Keystore::open(place.path(), &unlock_with_paper(PAPER)).unwrap();
    let nothing = SlotId::from_str(&"00".repeat(16)).unwrap();
    assert!(matches!(store.replace_slot(nothing, &place.unlock()), Err(Error::NoSuchSlot { .. })));
    assert_eq!(Directory::new(place.entries()).entries().len(), 0);
    store.add_slot(&place.unlock()).unwrap();
    assert_eq!(Directory::new(place.entries()).entries().len(), 1);
}

/// Seven slots, each of whose entries takes a while to read.
pub(crate) fn one_deadline_for_all_slots() {
    let place = Place::for_operation("add");
    let store = Keystore::open(place.path(), &unlock_with_paper(PAPER)).unwrap();
    // Entries of another keychain, which this one has not: each slot is asked for.
    let elsewhere = place.0.path().join("elsewhere");
    fs::create_dir(&elsewhere).unwrap();
    for _ in 0..7 {
        store.add_slot(&keychain_in(Directory::new(elsewhere.clone()).store()).into()).unwrap();
    }
    let slow = Arc::new(crate::credentials::Slow(Directory::new(place.entries()), Duration::from_secs(1)));
    let started = Instant::now();
    let refused = Keystore::open(place.path(), &keychain_in(slow).into()).unwrap_err();
    let took = started.elapsed();
    assert!(matches!(refused, Error::Keychain { why: KeychainFailure::TimedOut { .. }, .. }), "{refused:?}");
    assert!(took < Duration::from_secs(4), "{took:?} for seven slots of a second, and the deadline is 400 ms");
}

/// A keychain that takes keys and gives others back, or none.
pub(crate) fn forgetful() {
    let place = Place::for_operation("add");
    let bytes = place.bytes();
    let forgetful = Arc::new(crate::credentials::Forgetful(Directory::new(place.entries())));
    let store = Keystore::open(place.path(), &unlock_with_paper(PAPER)).unwrap();
    let refused = store.add_slot(&keychain_in(forgetful.clone()).into()).unwrap_err();
    assert!(matches!(refused, Error::Keychain { why: KeychainFailure::Forgetful, .. }), "{refused:?}");
    assert_eq!(place.bytes(), bytes);
    let path = place.0.path().join("new.keep");
    assert!(Keystore::create(&path, &keychain_in(forgetful).into()).is_err() && !path.exists());
    assert_eq!(Directory::new(place.entries()).entries().len(), 0);
    let nowhere = Arc::new(crate::credentials::Nowhere);
    let refused = store.add_slot(&keychain_in(nowhere).into()).unwrap_err();
    assert!(matches!(refused, Error::Keychain { why: KeychainFailure::Forgetful, .. }), "{refused:?}");
    for service in ["", "a\0b"] {
        let unlock = Unlock::from(Keychain::new(service).credential_store(Directory::new(place.entries()).store()));
        let refused = Keystore::create(&path, &unlock).unwrap_err();
        assert!(matches!(refused, Error::Keychain { why: KeychainFailure::BadService, .. }), "{refused:?}");
    }
}

pub(crate) fn several_machines() {
    // The same file on two machines: each has its own slot and its own keychain.
    let place = Place::for_operation("remove");
    let elsewhere = tempfile::tempdir().unwrap();
    let keychain_there = keychain_in(Directory::new(elsewhere.path()).store());
    let there = Unlock::from(keychain_there.clone());
    let store = Keystore::open(place.path(), &unlock_with_paper(PAPER)).unwrap();
    let on_there = store.add_slot(&there).unwrap();
    assert_eq!(Keystore::open(place.path(), &there).unwrap().opened_by().unwrap().unwrap().id, on_there);
    Keystore::open(place.path(), &place.unlock()).unwrap();
    // Here that slot is removed without its entry, which is an orphan there.
    Keystore::open(place.path(), &place.unlock()).unwrap().remove_slot(on_there).unwrap();
    assert_eq!(store.keychain_orphans(&keychain_there).unwrap(), [on_there]);
    let missing = Keystore::open(place.path(), &there).unwrap_err();
    assert!(matches!(missing, Error::Keychain { why: KeychainFailure::Missing | KeychainFailure::WrongKey, .. }));
}

/// What is wrong with one entry keeps nobody from the next slot.
pub(crate) fn one_bad_entry() {
    let place = Place::for_operation("remove");
    let first = place.entries().join(&Directory::new(place.entries()).entries()[0]);
    let store = Keystore::open(place.path(), &unlock_with_paper(PAPER)).unwrap();
    let second = store.add_slot(&place.unlock()).unwrap();
    let opens =
        |unlock: Unlock| Keystore::open(place.path(), &unlock).map(|store| store.opened_by().unwrap().unwrap().id);
    assert_ne!(opens(place.unlock()).unwrap(), second);
    for bad in [&b"short"[..], &[b'0'; 64]] {
        fs::write(&first, bad).unwrap();
        assert_eq!(opens(place.unlock()).unwrap(), second);
    }
    // The first question to the first entry, then to the second one too.
    for at in 0..2 {
        assert_eq!(
            opens(keychain_in(Directory::with(place.entries(), Some((at, Fault::Fail))).store()).into()).unwrap(),
            second
        );
    }
    store.remove_slot(second).unwrap();
    store.try_unlock(&place.unlock()).unwrap_err();
    // A wrong key is reported, even if the next one is missing.
    let elsewhere = tempfile::tempdir().unwrap();
    store.add_slot(&keychain_in(Directory::new(elsewhere.path()).store()).into()).unwrap();
    let refused = opens(place.unlock()).unwrap_err();
    assert!(matches!(refused, Error::Keychain { why: KeychainFailure::WrongKey, .. }), "{refused:?}");
}

/// Two stores and two services in one keychain.
pub(crate) fn several_stores_and_services() {
    let (place, other) = (Place::for_operation("remove"), Place::for_operation("create"));
    let entries = || Directory::new(place.entries()).entries().len();
    let store = Keystore::open(place.path(), &unlock_with_paper(PAPER)).unwrap();
    let beside = Keystore::create(other.path(), &place.unlock()).unwrap();
    assert_eq!(entries(), 2);
    for store in [&store, &beside] {
        assert_eq!(store.keychain_orphans(&place.keychain()).unwrap(), [], "what is another store's is no orphan");
    }
    let other_service = Keychain::new("com.example.other").credential_store(Directory::new(place.entries()).store());
    let of_other_service = Unlock::from(other_service.clone());
    store.add_slot(&of_other_service).unwrap();
    assert_eq!(store.keychain_orphans(&other_service).unwrap(), []);
    assert_eq!(entries(), 3);
    // All of them are exchanged, and none of the old ones stays.
    store.rekey([&place.unlock(), &of_other_service, &unlock_with_paper(PAPER)]).unwrap();
    assert_eq!(entries(), 3);
    for slot in store.slots().unwrap().into_iter().filter(|slot| slot.kind == SlotKind::Keychain) {
        store.remove_slot(slot.id).unwrap();
    }
    assert_eq!(entries(), 1, "the other store's");
    Keystore::open(other.path(), &place.unlock()).unwrap();
}

/// A race to make a store leaves one store, and one key.
pub(crate) fn lost_races() {
    let place = Place::for_operation("create");
    let keychain = Unlock::from(keychain_in(Directory::new(place.entries()).store()).deadline(Duration::from_secs(20)));
    std::thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| drop(Keystore::open_or_create(place.path(), &keychain).unwrap()));
        }
    });
    assert_eq!(Directory::new(place.entries()).entries().len(), 1);
    let bytes = place.bytes();
    let refused = Keystore::create(place.path(), &keychain).unwrap_err();
    assert!(matches!(refused, Error::AlreadyExists { .. }));
    assert_eq!((place.bytes(), Directory::new(place.entries()).entries().len()), (bytes, 1));
}

/// From a passphrase to the keychain, and back.
pub(crate) fn there_and_back() {
    let place = Place::for_operation("create");
    let entries = || Directory::new(place.entries()).entries().len();
    let store = Keystore::create(place.path(), &unlock()).unwrap();
    let passphrase = store.slots().unwrap()[0].id;
    let added = store.add_slot(&place.unlock().label("this machine")).unwrap();
    store.remove_slot(passphrase).unwrap();
    assert!(Keystore::open(place.path(), &unlock()).is_err());
    let store = Keystore::open(place.path(), &place.unlock()).unwrap();
    assert_eq!(store.status().unwrap().opened_by.unwrap().label, "this machine");
    assert!(store.status().unwrap().to_string().contains("keychain \"this machine\""));
    assert_eq!(entries(), 1);
    store.add_slot(&unlock()).unwrap();
    store.remove_slot(added).unwrap();
    assert_eq!(entries(), 0, "the operation that removes the slot takes the key out");
    Keystore::open(place.path(), &unlock()).unwrap();
}

pub(crate) fn the_sample_file() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors/keychain.keep");
    let expected: serde_json::Value =
        serde_json::from_slice(&fs::read(sample.with_extension("json")).unwrap()).unwrap();
    let place = Place::for_operation("create");
    fs::copy(&sample, place.path()).unwrap();
    crate::common::set_mode(&place.path(), 0o600);
    let text = |value: &serde_json::Value| value.as_str().unwrap().to_owned();
    let hex = text(&expected["keychain_keys"][0]);
    let name = format!("{SERVICE} {}-{}", text(&expected["store_id"]), text(&expected["slots"][0]["slot_id"]));
    fs::write(place.entries().join(name), hex).unwrap();
    let store = Keystore::open(place.path(), &place.unlock()).unwrap();
    assert_eq!(store.get_tokens().unwrap()[0].user_name(), Some("ada"));
}
