use std::{fs, path::PathBuf, sync::Arc, time::UNIX_EPOCH};

use parking_lot::Mutex;
use serde_json::{Value, json};

use super::*;
use crate::{
    error::{ExternalError, ExternalFailure},
    kdf::{KdfParams, count},
    unlock::{External, ExternalKey, ExternalSlot, Passphrase, RecoveryKey},
};

pub(super) fn paper(byte: u8) -> Unlock {
    RecoveryKey::of_bytes(&[byte; 32]).unwrap().into()
}

pub(super) fn vault() -> Vault {
    Vault::create("accounts", &paper(1)).unwrap().written().0
}

/// Public data and keys of the slots that a provider has made and not forgotten.
#[derive(Clone, Default)]
pub(super) struct Provider {
    pub(super) keys: Arc<Mutex<Vec<[u8; 32]>>>,
    pub(super) fails_to_forget: Arc<Mutex<bool>>,
    /// How often it was asked to forget.
    pub(super) forgotten: Arc<Mutex<u32>>,
}

/// A provider that answers until it is asked to forget.
#[derive(Default)]
pub(super) struct Silent(pub(super) Provider);

impl ExternalKey for Silent {
    fn provider(&self) -> &str {
        "silent"
    }

    fn create(&self, slot: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
        self.0.create(slot, key)
    }

    fn open(&self, slot: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
        self.0.open(slot, data, key)
    }

    fn forget(&self, _: &ExternalSlot, _: &[u8]) -> Result<(), ExternalError> {
        *self.0.forgotten.lock() += 1;
        std::thread::sleep(std::time::Duration::from_secs(2));
        Ok(())
    }
}

impl ExternalKey for Provider {
    fn provider(&self) -> &str {
        "test"
    }

    fn create(&self, _: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
        self.keys.lock().push(*key);
        Ok(key.to_vec())
    }

    fn open(&self, _: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
        let found = self.keys.lock().iter().find(|known| *known == data).copied();
        *key = found.ok_or(ExternalError::new("no such key"))?;
        Ok(())
    }

    fn forget(&self, _: &ExternalSlot, data: &[u8]) -> Result<(), ExternalError> {
        *self.forgotten.lock() += 1;
        if *self.fails_to_forget.lock() {
            return Err(ExternalError::new("it is not there"));
        }
        self.keys.lock().retain(|known| known != data);
        Ok(())
    }
}

#[track_caller]
fn assert_flaw(opened: Result<Vault>, expected: &FileFlaw) {
    match opened {
        Err(Error::BadFile { path, flaw }) => assert_eq!((path, &flaw), (PathBuf::from("accounts"), expected)),
        other => panic!("expected {expected:?}, got {other:?}"),
    }
}

#[test]
fn vault_opens_from_its_bytes() {
    let created = Vault::create("accounts", &paper(1).label("paper")).unwrap();
    assert_eq!((created.replaced_revision(), created.vault().revision()), (None, 1));
    let bytes = created.bytes().to_vec();
    let (vault, forgotten) = created.written();
    forgotten.unwrap();
    let opened = Vault::open("accounts", &bytes, &paper(1)).unwrap();
    assert_eq!(opened.bytes(), vault.bytes());
    assert_eq!((opened.store_id(), opened.key_id()), (vault.store_id(), vault.key_id()));
    assert_eq!(opened.store_key(), vault.store_key());
    assert_eq!(opened.slots()[0].label, "paper");
    assert_eq!(opened.opened_by(), Some(opened.slots().remove(0)));
}

#[test]
fn wrong_secret_and_missing_slot_are_reported_by_name() {
    let bytes = vault().bytes().to_vec();
    let refused = Vault::open("accounts", &bytes, &paper(2)).unwrap_err();
    assert!(matches!(&refused, Error::WrongRecoveryKey { path } if path == Path::new("accounts")), "{refused}");
    let (refused, derived) = derivations_of(|| Vault::open("accounts", &bytes, &Passphrase::new("x").into()));
    assert!(matches!(refused, Err(Error::NoSlotFor { .. })) && derived == 0);
    let opened = Vault::open_any("accounts", &bytes, [&paper(2), &paper(1)]).unwrap();
    assert_eq!(opened.bytes(), bytes);
    let refused = Vault::open_any("accounts", &bytes, []);
    assert!(matches!(refused, Err(Error::NoneOpened { failures, .. }) if failures.is_empty()));
}

fn derivations_of<R>(run: impl FnOnce() -> R) -> (R, u64) {
    let before = count::get();
    (run(), count::get() - before)
}

#[test]
fn bytes_that_are_no_vault_are_refused_before_a_key_is_derived() {
    let unlock = Unlock::from(Passphrase::new("correct horse").kdf(KdfParams::MIN));
    let bytes = Vault::create("accounts", &unlock).unwrap().written().0.bytes().to_vec();
    for at in [0, 8, 20, 100, 500, bytes.len() - 1] {
        let mut bytes = bytes.clone();
        bytes[at] ^= 1;
        let (refused, derived) = derivations_of(|| Vault::open("accounts", &bytes, &unlock));
        assert!(matches!(refused, Err(Error::BadFile { .. })) && derived == 0, "byte {at}");
    }
    assert_flaw(Vault::open("accounts", &[], &unlock), &FileFlaw::Empty);
    assert_flaw(Vault::open("accounts", b"{}", &unlock), &FileFlaw::NotAKeystore);
    assert_flaw(Vault::open("accounts", &bytes[..bytes.len() - 1], &unlock), &FileFlaw::DamagedHeader);
}

/// With the check computed again: by an attacker who has no key.
#[test]
fn table_that_was_edited_is_refused() {
    let vault = vault();
    let with = |change: fn(&mut KeyTable)| {
        let mut table = vault.table.clone();
        change(&mut table);
        Vault::open("accounts", &table.encode(), &paper(1))
    };
    assert_flaw(with(|table| table.revision += 1), &FileFlaw::Tampered);
    assert_flaw(with(|table| table.sealed_notes[3] ^= 1), &FileFlaw::Tampered);
    assert_flaw(with(|table| table.notes_salt[3] ^= 1), &FileFlaw::Tampered);
    assert_flaw(with(|table| table.mac[3] ^= 1), &FileFlaw::Tampered);
    for refused in [with(|table| table.store_id[0] ^= 1), with(|table| table.key_id[0] ^= 1)] {
        assert!(matches!(refused, Err(Error::WrongRecoveryKey { .. })), "slots are bound to both");
    }
}

/// A slot that was removed is put back, in its own place, beside the others.
#[test]
fn single_slot_that_is_put_back_is_refused() {
    let vault = vault();
    let added = vault.add_slot(&paper(2)).unwrap();
    let id = added.new_slot().unwrap();
    let (with_two, _) = added.written();
    let (without, _) = with_two.remove_slot(id).unwrap().written();
    let mut table = without.table.clone();
    table.slots.push(with_two.table.slots[1].clone());
    table.sealed_notes.resize(2 * 266 + 16, 0);
    for unlock in [paper(1), paper(2)] {
        assert_flaw(Vault::open("accounts", &table.encode(), &unlock), &FileFlaw::Tampered);
    }
    // With the notes of then.
    table.notes_salt = with_two.table.notes_salt;
    table.sealed_notes.clone_from(&with_two.table.sealed_notes);
    assert_flaw(Vault::open("accounts", &table.encode(), &paper(2)), &FileFlaw::Tampered);
}

#[test]
fn reload_adopts_later_tables_of_the_same_key_only() {
    let vault = vault();
    let (later, _) = vault.add_slot(&paper(2)).unwrap().written();
    let other_branch = vault.add_slot(&paper(3)).unwrap();
    let (rekeyed, _) = later.rekey([&paper(1)]).unwrap().written();
    assert_eq!(vault.reload(vault.bytes()).unwrap().bytes(), vault.bytes());
    assert_eq!(vault.reload(later.bytes()).unwrap().slots(), later.slots());
    assert!(matches!(later.reload(vault.bytes()), Err(Error::RolledBack { .. })));
    assert!(matches!(later.reload(other_branch.bytes()), Err(Error::Diverged { .. })));
    assert!(matches!(later.reload(rekeyed.bytes()), Err(Error::Rekeyed { .. })));
    assert!(matches!(later.reload(super::tests::vault().bytes()), Err(Error::Replaced { .. })));
    assert_flaw(later.reload(&later.bytes()[1..]), &FileFlaw::NotAKeystore);
}

#[test]
fn debug_shows_no_key() {
    let shown = format!("{:?}", vault());
    assert!(shown.starts_with("Vault { name: \"accounts\", store_id: \"") && !shown.contains("store_key"), "{shown}");
}

#[test]
fn external_slot_lists_its_provider() {
    let external = Unlock::from(External::new(Provider::default()));
    let (vault, _) = vault().add_slot(&external).unwrap().written();
    assert_eq!(vault.slots()[1].provider.as_deref(), Some("test"));
    assert_eq!(vault.slots()[0].provider, None);
    let opened = Vault::open("accounts", vault.bytes(), &external).unwrap();
    assert_eq!(opened.opened_by().unwrap().id, vault.slots()[1].id);
}

/// The provider knows the data no more, or gives another key for it.
#[test]
fn provider_that_fails_is_reported() {
    let provider = Provider::default();
    let external = Unlock::from(External::new(provider.clone()));
    let bytes = Vault::create("accounts", &external).unwrap().written().0.bytes().to_vec();
    let failure = |opened: Result<Vault>| match opened {
        Err(Error::External { provider, why }) => (provider, why),
        other => panic!("expected External, got {other:?}"),
    };
    let no_such_key = ExternalFailure::Failed(ExternalError::new("no such key"));
    let keys = std::mem::take(&mut *provider.keys.lock());
    assert_eq!(failure(Vault::open("accounts", &bytes, &external)), ("test".to_owned(), no_such_key));
    *provider.keys.lock() = keys;
    Vault::open("accounts", &bytes, &external).unwrap();
}

/// `tests/vectors/values.json`: made by a writer that shares no code with this crate.
#[test]
fn key_tables_of_another_writer_open_or_are_refused() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/values.json");
    let values: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let (mut opened, mut refused) = (0, 0);
    for (number, known) in values["key_tables"].as_array().unwrap().iter().enumerate() {
        let text = |name: &str| known[name].as_str();
        let bytes = HEXLOWER.decode(text("table").unwrap().as_bytes()).unwrap();
        let unlock = Unlock::from(text("recovery_key").unwrap().parse::<RecoveryKey>().unwrap());
        let class = match Vault::open("accounts", &bytes, &unlock) {
            Ok(vault) => {
                assert_eq!(Some(&*HEXLOWER.encode(&vault.store_id())), text("store_id"));
                assert_eq!(Some(&*HEXLOWER.encode(&vault.key_id())), text("key_id"));
                assert_eq!(Some(vault.revision()), known["table_revision"].as_u64());
                let slots: Vec<_> = vault.slots().iter().map(in_json).collect();
                let parts = ["slot_id", "label", "provider", "created_at"];
                let expected = known["slots"].as_array().unwrap().iter();
                let expected: Vec<_> = expected.map(|slot| json!(parts.map(|part| &slot[part]))).collect();
                assert_eq!(slots, expected);
                opened += 1;
                continue;
            }
            Err(Error::WrongRecoveryKey { .. }) => "wrong secret",
            Err(Error::BadFile { flaw, .. }) => match flaw {
                FileFlaw::Empty => "empty",
                FileFlaw::NotAKeystore => "no keystore",
                FileFlaw::Truncated { .. } => "truncated",
                FileFlaw::UnsupportedVersion { .. } => "unsupported version",
                FileFlaw::DamagedHeader => "damaged",
                FileFlaw::KdfLimit(_) => "cost out of bounds",
                FileFlaw::Tampered => "tampered",
                FileFlaw::Malformed(_) => "malformed",
                other => panic!("table {number}: {other:?}"),
            },
            Err(other) => panic!("table {number}: {other:?}"),
        };
        assert_eq!(Some(class), text("refused"), "table {number}");
        refused += 1;
    }
    assert!(opened >= 2 && refused >= 20, "{opened} and {refused}");
}

fn in_json(slot: &KeySlot) -> Value {
    let created_at = slot.created_at.duration_since(UNIX_EPOCH).unwrap().as_millis();
    json!([slot.id.to_string(), slot.label, slot.provider, u64::try_from(created_at).unwrap()])
}
