//! Files with one thing wrong in each (`tests/vectors/bad/`, named for it): refused for that, by every function that a
//! file can get to, for no more than it costs to see the fault, and left alone.
//!
//! They run one after the other, because the memory of the whole process is measured. With `TOKENKEEP_WRITE_BAD_FILES`
//! in its environment the program writes the files instead, as the format has them now.

mod catalogue;
#[path = "../../common/mod.rs"]
mod common;
mod directory;
#[path = "../../common/external.rs"]
#[allow(unreachable_pub, reason = "what tests share")]
mod external;
#[path = "../../reader/mod.rs"]
#[allow(unreachable_pub, reason = "a test's module, that uses a part of it")]
mod reader;
mod refusal;
mod samples;
#[path = "../../common/trial.rs"]
mod trial;
#[path = "../../writer/mod.rs"]
mod writer;

use std::{
    collections::BTreeMap,
    env, fs,
    path::{Path, PathBuf},
    sync::Arc,
};

use libtest_mimic::Arguments;
use peak_alloc::PeakAlloc;
use tempfile::TempDir;
use tokenkeep::{
    Error, KdfParams, Keychain, Keystore, Passphrase, Result, SlotId, TokenId, TokenStore, Unlock, testing::derivations,
};

use catalogue::{KEYCHAIN_KEY, PASSPHRASE, PROVIDER, RECOVERY_KEY, Refusal, Row, WAYS, key_from};
use common::{names_in, token};
use trial::trial;

#[global_allocator]
static MEMORY: PeakAlloc = PeakAlloc;

fn main() {
    let rows = catalogue::catalogue();
    if env::var_os("TOKENKEEP_WRITE_BAD_FILES").is_some() {
        return directory::write(&rows);
    }
    let mut trials = vec![
        trial("directory_has_exactly_the_files_that_are_made_now", directory::directory_is_the_catalogue),
        trial("no_two_files_have_one_name_or_one_content", directory::no_two_are_the_same),
        trial("sound_file_opens_in_every_way_and_replaces_an_earlier_one", the_sound_file_is_sound),
        trial("one_user_name_under_other_client_ids_is_accepted", near_one_user_and_client),
        trial("sound_journal_of_another_writer_opens", the_sound_journal_is_sound),
        trial("torn_end_of_a_journal_is_an_older_state", torn_ends),
        trial("passphrases_at_the_highest_cost_cost_other_methods_nothing", costly_but_sound),
    ];
    trials.extend(
        rows.into_iter().map(|row| trial(&format!("refused_{}", row.name.replace('-', "_")), move || is_refused(&row))),
    );
    let mut arguments = Arguments::from_args();
    arguments.test_threads = Some(1);
    libtest_mimic::run(&arguments, trials).exit();
}

/// A directory with a store in it, and a keychain with the key to that.
struct Place {
    directory: TempDir,
    path: PathBuf,
    keychain: Arc<keyring_core::mock::Store>,
}

/// What a bad file must not change: everything in the directory except the lock file, which writers leave there for
/// good, and everything in the keychain.
type Found = (BTreeMap<String, Vec<u8>>, Vec<(String, Vec<u8>)>);

impl Place {
    fn with(file: &[u8]) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.keep");
        let place = Self { directory, path, keychain: keyring_core::mock::Store::new().unwrap() };
        place.entry().set_secret(KEYCHAIN_KEY.as_bytes()).unwrap();
        place.put(file);
        place
    }

    /// As another process would: a new file takes the name.
    fn put(&self, file: &[u8]) {
        let new = self.directory.path().join("new");
        fs::write(&new, file).unwrap();
        common::set_mode(&new, 0o600);
        fs::rename(new, &self.path).unwrap();
    }

    fn entry(&self) -> keyring_core::Entry {
        use keyring_core::api::CredentialStoreApi;
        let hex = |id: [u8; 16]| id.map(|byte| format!("{byte:02x}")).concat();
        let user = format!("{}-{}", hex(catalogue::STORE_ID), hex(catalogue::KEYCHAIN_SLOT_ID));
        self.keychain.build(SERVICE, &user, None).unwrap()
    }

    /// In the order of `WAYS`; without the feature there is no keychain.
    fn ways(&self) -> Vec<(usize, Unlock)> {
        vec![
            (0, Unlock::from(Passphrase::new(PASSPHRASE).kdf(KdfParams::MIN))),
            (1, Unlock::from(Keychain::new(SERVICE).credential_store(self.keychain.clone()))),
            (2, recovery_key()),
            (3, external::unlock_with_key(PROVIDER, key_from(0x60))),
        ]
    }

    fn found(&self) -> Found {
        let names = names_in(self.directory.path()).into_iter().filter(|name| !name.ends_with(".lock"));
        let files = names.map(|name| (name.clone(), fs::read(self.directory.path().join(name)).unwrap())).collect();
        (files, self.keys())
    }

    fn keys(&self) -> Vec<(String, Vec<u8>)> {
        let entries = self.keychain.inner.lock().unwrap();
        let entries = entries.borrow();
        let key = |entry: &Arc<keyring_core::mock::Cred>| {
            let secret = entry.inner.lock().unwrap().borrow().secret.clone();
            Some((entry.specifiers.1.clone(), secret?))
        };
        entries.iter().filter_map(key).collect()
    }
}

const SERVICE: &str = "com.example.tokenkeep-test";

fn recovery_key() -> Unlock {
    common::unlock_with_paper(RECOVERY_KEY)
}

/// Runs what is to be refused, and sees that it is, for no more than it may cost.
#[track_caller]
fn assert_refused<R>(row: &Row, entry: &str, refusal: Refusal, derived: u64, run: impl FnOnce() -> Result<R>) {
    let derivations_before = derivations();
    MEMORY.reset_peak_usage();
    let memory_before = MEMORY.current_usage();
    let refused = run().map(|_| ());
    let memory = MEMORY.peak_usage().saturating_sub(memory_before);

    let error = refused.expect_err(&format!("{} {entry}: nothing is wrong with it", row.name));
    assert!(refusal.is(&error), "{} {entry}: {error:?} is not {refusal:?}", row.name);
    assert_eq!(derivations() - derivations_before, derived, "{} {entry}: derivations", row.name);
    for shown in [format!("{error:?}"), error.to_string()] {
        assert!(!shown.contains("canary"), "{} {entry}: {shown}", row.name);
    }
    // With a key, serde sets aside 1 MiB for each of two lists in each other whose counts nobody has seen to be right.
    let lists = if row.verify.is_some() { 0 } else { 2 * 1024 * 1024 };
    let derivation = if derived > 0 { 7168 * 1024 } else { 0 };
    let limit = 4 * row.file.len() + 16 * 1024 + lists + derivation;
    assert!(memory < limit, "{} {entry}: {memory} bytes", row.name);
}

fn is_refused(row: &Row) {
    is_refused_by_who_opens(row);
    is_refused_in_the_place_of_an_open_store(row);
}

fn is_refused_by_who_opens(row: &Row) {
    let place = Place::with(&row.file);
    let before = place.found();
    for (way, unlock) in place.ways() {
        let refusal = row.open[way];
        let derived = if way == 0 && refusal != Refusal::NoSuchSlot { row.derived } else { 0 };
        let entry = |name: &str| format!("{name} with a {}", WAYS[way]);
        // A derivation takes longer than all the rest, and each kind of fault has a frozen file.
        if derived == 0 || row.is_frozen {
            assert_refused(row, &entry("open"), refusal, derived, || Keystore::open(&place.path, &unlock));
        }
        if derived == 0 {
            let open_or_create = || Keystore::open_or_create(&place.path, &unlock);
            assert_refused(row, &entry("open_or_create"), refusal, 0, open_or_create);
        }
        let created = || Keystore::create(&place.path, &unlock);
        assert_refused(row, &entry("create"), Refusal::AlreadyThere, 0, created);
    }
    if let Some(other) = row.other_passphrase {
        let unlock = Unlock::from(Passphrase::new(other).kdf(KdfParams::MIN));
        let before = derivations();
        let refused = Keystore::open(&place.path, &unlock).unwrap_err();
        assert!(matches!(refused, Error::EmptyPassphrase), "{}: {refused:?}", row.name);
        assert_eq!(derivations(), before);
    }
    match row.verify {
        Some(refusal) => assert_refused(row, "verify_file", refusal, 0, || Keystore::verify_file(&place.path)),
        None => drop(Keystore::verify_file(&place.path).unwrap()),
    }
    assert_eq!(place.found(), before, "{}: something was changed", row.name);
    assert_eq!(names_in(place.directory.path()), ["tokens.keep"], "{}: not even a lock", row.name);
}

/// What an open store is asked.
struct Asked<'a> {
    store: &'a Keystore,
    slot: SlotId,
    directory: &'a Path,
    new: Unlock,
}

type Operation = fn(&Asked<'_>) -> Result<()>;

const ADD_SLOT: Operation = |asked| asked.store.add_slot(&asked.new).map(drop);

const OPERATIONS: [(&str, Operation); 26] = [
    ("find_token", |asked| asked.store.find_token(&token().user_name("ada").build()).map(drop)),
    ("find_stored", |asked| asked.store.find_stored(&token().user_name("ada").build()).map(drop)),
    ("find_token_by_id", |asked| asked.store.find_token_by_id(&TokenId::from("1")).map(drop)),
    ("get_tokens", |asked| asked.store.get_tokens().map(drop)),
    ("save_token", |asked| asked.store.save_token(&token().user_name("lin").access_token("a").build()).map(drop)),
    ("save_token of what there is", |asked| asked.store.save_token(&token().user_name("ada").build()).map(drop)),
    ("replace_token", |asked| asked.store.replace_token(&token().id("1").access_token("a").build()).map(drop)),
    ("delete_token", |asked| asked.store.delete_token(&TokenId::from("1")).map(drop)),
    ("delete_token_if", |asked| asked.store.delete_token_if(&TokenId::from("1"), 2).map(drop)),
    ("delete_token of none", |asked| asked.store.delete_token(&TokenId::from("none")).map(drop)),
    ("delete_tokens", |asked| asked.store.delete_tokens().map(drop)),
    ("verify", |asked| asked.store.verify()),
    ("snapshot", |asked| asked.store.snapshot().map(drop)),
    ("status", |asked| asked.store.status().map(drop)),
    ("slots", |asked| asked.store.slots().map(drop)),
    ("opened_by", |asked| asked.store.opened_by().map(drop)),
    ("backup_to", |asked| asked.store.backup_to(asked.directory.join("backup.keep"))),
    ("try_unlock", |asked| asked.store.try_unlock(&Unlock::from(Passphrase::new(PASSPHRASE))).map(drop)),
    ("try_unlock with what opened it", |asked| asked.store.try_unlock(&recovery_key()).map(drop)),
    ("add_slot", ADD_SLOT),
    ("replace_slot", |asked| asked.store.replace_slot(asked.slot, &asked.new).map(drop)),
    ("remove_slot", |asked| asked.store.remove_slot(asked.slot).map(drop)),
    ("change_passphrase", |asked| {
        asked.store.change_passphrase(&Passphrase::new(PASSPHRASE), &Passphrase::new("another")).map(drop)
    }),
    ("rekey", |asked| asked.store.rekey([&recovery_key(), &Unlock::from(Passphrase::new(PASSPHRASE))])),
    ("keychain_orphans", |asked| match asked.store.keychain_orphans(&Keychain::new("")) {
        // It is asked after the store, and for no service.
        Err(Error::Keychain { .. }) => Ok(()),
        asked => asked.map(drop),
    }),
    ("remove_keychain_orphan", |asked| match asked.store.remove_keychain_orphan(&Keychain::new(""), asked.slot) {
        // The slot is there, so its key is no orphan.
        Err(Error::NotAnOrphan { .. }) => Ok(()),
        asked => asked,
    }),
];

fn is_refused_in_the_place_of_an_open_store(row: &Row) {
    let place = Place::with(&catalogue::earlier().seal());
    let store = Keystore::open(&place.path, &recovery_key()).unwrap();
    let tokens = store.get_tokens().unwrap();
    let slot = store.slots().unwrap()[1].id;
    place.put(&row.file);
    let before = place.found();
    let asked = |new| Asked { store: &store, slot, directory: place.directory.path(), new };
    let refused = |name: &str, asked: &Asked<'_>, operation: Operation| {
        assert_refused(row, &format!("{name} of an open store"), row.in_place, 0, || operation(asked));
    };
    for (name, operation) in OPERATIONS {
        refused(name, &asked(recovery_key()), operation);
    }
    // Before a key is derived, or put into a keychain.
    for (way, new) in place.ways() {
        refused(&format!("add_slot with a {}", WAYS[way]), &asked(new), ADD_SLOT);
    }
    assert_eq!(place.found(), before, "{}: something was changed", row.name);
    // Nothing of it has stayed in the open store either.
    place.put(&catalogue::sound().seal());
    assert_eq!(store.get_tokens().unwrap(), tokens, "{}", row.name);
    store.verify().unwrap();
}

fn the_sound_file_is_sound() {
    let sound = catalogue::sound().seal();
    let place = Place::with(&sound);
    for (way, unlock) in place.ways() {
        let before = derivations();
        let store = Keystore::open(&place.path, &unlock).unwrap();
        let tokens = store.get_tokens().unwrap();
        assert_eq!(tokens.iter().map(|token| token.user_name().unwrap()).collect::<Vec<_>>(), ["ada", "grace"]);
        assert_eq!(tokens[0].attribute("region").unwrap().expose_secret(), "canary region");
        assert_eq!(derivations() - before, u64::from(way == 0));
        assert_eq!(store.try_unlock(&unlock).unwrap().label, "a label");
        store.verify().unwrap();
        Keystore::open_or_create(&place.path, &unlock).unwrap();
    }
    assert_eq!(Keystore::verify_file(&place.path).unwrap().generation, 7);
    assert_eq!(fs::read(&place.path).unwrap(), sound);

    place.put(&catalogue::earlier().seal());
    let store = Keystore::open(&place.path, &recovery_key()).unwrap();
    place.put(&sound);
    assert_eq!(store.get_tokens().unwrap().len(), 2);
    // None of what is refused with a bad file fails with this one.
    for (name, operation) in OPERATIONS {
        place.put(&sound);
        let store = Keystore::open(&place.path, &recovery_key()).unwrap();
        let slot = store.slots().unwrap()[1].id;
        let new = common::unlock_with_paper(common::PAPER);
        let asked = Asked { store: &store, slot, directory: place.directory.path(), new };
        operation(&asked).unwrap_or_else(|error| panic!("{name}: {error}"));
    }
}

fn near_one_user_and_client() {
    for draft in catalogue::near_one_user_and_client() {
        let place = Place::with(&draft.seal());
        let store = Keystore::open(&place.path, &recovery_key()).unwrap();
        assert_eq!(store.get_tokens().unwrap().len(), 2);
        store.verify().unwrap();
        reader::read(&fs::read(&place.path).unwrap(), &reader::Secret::RecoveryKey(RECOVERY_KEY)).unwrap();
    }
}

/// A torn end opens to what is before it. A store that has seen more says so.
fn torn_ends() {
    let (before, whole) = samples::torn_and_whole();
    let place = Place::with(&before);
    let tokens_before = Keystore::open(&place.path, &recovery_key()).unwrap().get_tokens().unwrap();
    for (name, file) in samples::torn() {
        place.put(&whole);
        let open = Keystore::open(&place.path, &recovery_key()).unwrap();
        assert_ne!(open.get_tokens().unwrap(), tokens_before);
        place.put(&file);
        assert!(matches!(open.get_tokens(), Err(Error::RolledBack { .. })), "{name}");
        let is_alone = name == "torn-alone";
        let store = Keystore::open(&place.path, &recovery_key()).unwrap();
        assert_eq!(store.get_tokens().unwrap().len(), if is_alone { 1 } else { 2 }, "{name}");
        assert_eq!(store.get_tokens().unwrap() == tokens_before, !is_alone, "{name}");
        let journal = store.status().unwrap().journal;
        assert_eq!((journal.records, journal.is_torn), (u32::from(!is_alone), true), "{name}");
        store.verify().unwrap();
        assert_eq!(fs::read(&place.path).unwrap(), file, "{name} was changed by a reader");
        // A writer does not append to it.
        let saved = store.save_token(&token().user_name("one more").access_token("a").build()).unwrap();
        assert_eq!(saved.as_str(), if is_alone { "3" } else { "4" }, "{name}");
        assert_eq!(Keystore::verify_file(&place.path).unwrap().generation, 5, "{name}");
        assert_eq!(store.status().unwrap().journal.records, 0, "{name}");
    }
}

/// The journal that the bad files have is sound.
fn the_sound_journal_is_sound() {
    let file = catalogue::with_journal();
    let place = Place::with(&file);
    let store = Keystore::open(&place.path, &recovery_key()).unwrap();
    let users: Vec<_> = store.get_tokens().unwrap();
    let users: Vec<_> = users.iter().map(|token| token.user_name().unwrap()).collect();
    assert_eq!(users, ["ada", "grace", "lin"]);
    assert_eq!(store.namespace("n").unwrap().get_tokens().unwrap().len(), 1);
    assert_eq!(store.status().unwrap().journal.records, 3);
    assert_eq!(Keystore::verify_file(&place.path).unwrap().journal.records, 3);
    reader::read(&file, &reader::Secret::RecoveryKey(RECOVERY_KEY)).unwrap();
}

/// Who has another way in is not made to pay for the passphrases of others.
fn costly_but_sound() {
    let place = Place::with(&catalogue::passphrases(4, [1 << 20, 2, 16]).seal());
    let before = derivations();
    MEMORY.reset_peak_usage();
    let memory_before = MEMORY.current_usage();
    let store = Keystore::open(&place.path, &recovery_key()).unwrap();
    assert_eq!(store.get_tokens().unwrap().len(), 2);
    store.verify().unwrap();
    store.save_token(&token().user_name("lin").access_token("a").build()).unwrap();
    assert_eq!(Keystore::verify_file(&place.path).unwrap().journal.records, 1);
    assert!(MEMORY.peak_usage() - memory_before < 1024 * 1024);
    assert_eq!(derivations(), before);
}
