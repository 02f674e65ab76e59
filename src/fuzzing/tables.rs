//! Key tables: where their parts are, what they must be, and how they are made.

use std::{collections::HashSet, ops::Range, path::Path, sync::OnceLock};

use super::{recheck_part, unlock};
use crate::{
    Error, FileFlaw, SlotKind, Unlock,
    format::{KeyTable, Slot, SlotNote, StoreId, decode_notes, encode_notes},
    seal,
    secret::{Key, SecretBytes},
    time::Millis,
    unlock::Unlocked,
    vault::Vault,
};

pub(super) const START_LEN: usize = 48;
/// A slot without data.
pub(super) const SLOT_LEN: usize = 144;
pub(super) const NOTE_LEN: usize = 266;

/// Where the slots of a key table are, as their number and their data ask for it. No more of them are looked at than
/// are one too many.
pub(super) fn slots(table: &[u8]) -> Option<Vec<Range<usize>>> {
    let count = u16::from_le_bytes(*table.get(10..12)?.first_chunk()?);
    let mut at = START_LEN;
    let slots = (0..count.min(9)).map(|_| {
        let data_len = table.get(at + 2..).and_then(<[u8]>::first_chunk).map_or(0, |len| u16::from_le_bytes(*len));
        let start = at;
        at += SLOT_LEN + usize::from(data_len);
        start..at
    });
    Some(slots.collect())
}

/// The length that a key table of these slots has, unless it is much too long for one.
pub(super) fn len(table: &[u8]) -> Option<usize> {
    let slots = slots(table)?;
    let end = slots.last().map_or(START_LEN, |slot| slot.end);
    Some(end + 32 + slots.len() * NOTE_LEN + 16 + 32 + 32).filter(|len| *len < 1 << 17)
}

/// Holds a key table, which was parsed from these bytes, to every limit.
pub(super) fn assert_reads_back(table: &KeyTable, bytes: &[u8]) {
    assert_eq!(table.encode(), bytes);
    assert!((570..=12_176).contains(&bytes.len()));
    assert!(table.revision >= 1);
    assert!((1..=8).contains(&table.slots.len()));
    assert_eq!(table.sealed_notes.len(), table.slots.len() * NOTE_LEN + 16);
    let ids: HashSet<_> = table.slots.iter().map(|slot| slot.id).collect();
    assert_eq!(ids.len(), table.slots.len());
    let mut passphrases = 0;
    for slot in &table.slots {
        assert_eq!(slot.external.is_some(), slot.kind == SlotKind::External);
        if let SlotKind::Passphrase(kdf) = slot.kind {
            passphrases += 1;
            let (m_kib, t, p) = (u64::from(kdf.memory_kib()), u64::from(kdf.passes()), kdf.lanes());
            assert!((7168..=1 << 20).contains(&m_kib) && (35_840..=1 << 21).contains(&(m_kib * t)));
            assert!((1..=16).contains(&t) && (1..=16).contains(&p));
        }
        if let Some(data) = &slot.external {
            assert!((1..=64).contains(&data.provider.len()) && data.public.len() <= 1024);
        }
    }
    assert!(passphrases <= 4);
}

pub(super) fn check(bytes: &[u8]) {
    assert_stands_alone(bytes);
    // No fuzzer would hit upon the check, nor upon the length.
    let mut table = bytes.to_vec();
    recheck_part(&mut table);
    assert_stands_alone(&table);
    if let Some(len) = len(&table) {
        table.resize(len, 0);
        recheck_part(&mut table);
        assert_stands_alone(&table);
        if let Ok(table) = KeyTable::parse_alone(&table) {
            assert_is_read_as_sealed(table);
        }
    }
}

fn assert_stands_alone(bytes: &[u8]) {
    if let Ok(table) = KeyTable::parse_alone(bytes) {
        assert_reads_back(&table, bytes);
    }
    match Vault::open("fuzzing", bytes, &unlock(1)) {
        // One of the seeds was sealed for this key.
        Ok(vault) => assert!(vault.bytes() == bytes && vault.revision() == 1 && vault.slots()[0].label == "paper"),
        Err(Error::BadFile { .. } | Error::NoSlotFor { .. } | Error::WrongRecoveryKey { .. }) => {}
        Err(other) => panic!("{other:?}"),
    }
}

/// Makes it a table of a vault that is open, with the bytes for notes that it has in their place, and has that vault
/// read it.
fn assert_is_read_as_sealed(mut table: KeyTable) {
    let vault = vault();
    (table.store_id, table.key_id) = (vault.store_id(), vault.key_id());
    let plaintext = table.sealed_notes[..table.slots.len() * NOTE_LEN].to_vec();
    seal::seal_table(vault.store_key(), &mut table, SecretBytes::new(plaintext.clone())).expect("a sealed table");
    let bytes = table.encode();
    let reloaded = match (decode_notes(&plaintext), vault.reload(&bytes)) {
        (Ok(notes), Ok(reloaded)) => {
            assert_eq!(encode_notes(&notes)[..], plaintext);
            let listed = reloaded.slots().into_iter().map(|slot| (slot.label, slot.created_at));
            assert!(listed.eq(notes.into_iter().map(|note| (note.label, note.created_at.time()))));
            assert_eq!(reloaded.bytes(), bytes);
            reloaded
        }
        // The vault's own revision.
        (Ok(_), Err(Error::Diverged { .. })) if table.revision == 1 => return,
        (Err(FileFlaw::Malformed(_)), Err(Error::BadFile { flaw: FileFlaw::Malformed(_), .. })) => return,
        other => panic!("{other:?}"),
    };
    // What is read can be changed, and the change can be read.
    match reloaded.remove_slot(table.slots[0].id) {
        Ok(change) => {
            let changed = reloaded.reload(change.bytes()).expect("the changed table");
            assert_eq!(changed.slots(), reloaded.slots()[1..]);
        }
        Err(Error::LastSlot) => assert_eq!(table.slots.len(), 1),
        Err(Error::NoGenerationLeft { .. }) => assert_eq!(table.revision, u64::MAX),
        Err(other) => panic!("{other:?}"),
    }
}

fn vault() -> &'static Vault {
    static VAULT: OnceLock<Vault> = OnceLock::new();
    VAULT.get_or_init(|| sealed([1; 16], 5, 1, vec![new_slot([1; 16], 5, 1, &unlock(1))]))
}

pub(super) fn store_key(number: u8) -> Key {
    let mut key = Key::zeroed();
    key.bytes_mut().fill(number);
    key
}

/// A slot for the key table with that revision, under the store key of that number.
pub(super) fn new_slot(store_id: StoreId, key: u8, revision: u64, unlock: &Unlock) -> Slot {
    let key = store_key(key);
    let slot = unlock.new_slot(&store_id, revision, &key, None).and_then(|slot| slot.seal(&store_id, &key));
    slot.expect("a key slot")
}

/// A vault with these slots, under the store key of that number.
pub(super) fn sealed(store_id: StoreId, key: u8, revision: u64, slots: Vec<Slot>) -> Vault {
    let store_key = store_key(key);
    let key_id = seal::key_id(&store_key).expect("a key id");
    let by = slots[0].id;
    let note = SlotNote { label: String::from("paper"), created_at: Millis::new(1).expect("a time") };
    let notes = vec![note; slots.len()];
    let (notes_salt, sealed_notes, mac) = ([0; 32], Vec::new(), [0; 32]);
    let mut table = KeyTable { store_id, key_id, revision, slots, notes_salt, sealed_notes, mac };
    seal::seal_table(&store_key, &mut table, encode_notes(&notes)).expect("a sealed table");
    let bytes = table.encode();
    let vault = Vault::unlock(Path::new("fuzzing"), table, &bytes, |_| Ok(Unlocked { store_key, by }));
    vault.expect("a vault")
}
