use super::*;
use crate::error::{KdfCost, KdfLimit};

fn slot(id: u8) -> Slot {
    let kind = match id % 4 {
        0 => SlotKind::Passphrase(KdfParams::default()),
        1 => SlotKind::Keychain,
        2 => SlotKind::RecoveryKey,
        _ => SlotKind::External,
    };
    let data = || ExternalData { provider: "a TPM".into(), public: vec![id; 5].into() };
    Slot {
        kind,
        id: SlotId([id; 16]),
        salt: [id; 32],
        external: (kind == SlotKind::External).then(data),
        commitment: [id + 1; 32],
        wrapped_key: [id + 2; 48],
    }
}

fn table_of(slots: Vec<Slot>) -> KeyTable {
    KeyTable {
        store_id: [0x11; 16],
        key_id: [0x44; 8],
        revision: 0x0807_0605_0403_0201,
        notes_salt: [0x66; 32],
        sealed_notes: vec![0x77; 266 * slots.len() + 16],
        slots,
        mac: [0x88; 32],
    }
}

fn table(slots: u8) -> KeyTable {
    table_of((0..slots).map(slot).collect())
}

fn external(provider: &str, public: &[u8]) -> KeyTable {
    let data = ExternalData { provider: provider.into(), public: public.into() };
    table_of(vec![Slot { external: Some(data), ..slot(3) }])
}

/// The table with one byte changed, and the check over that.
fn with(table: &KeyTable, at: usize, byte: u8) -> Vec<u8> {
    let mut bytes = table.encode();
    bytes[at] = byte;
    rechecked(bytes)
}

fn rechecked(mut bytes: Vec<u8>) -> Vec<u8> {
    let end = bytes.len() - CHECK_LEN;
    let check = digest(&SHA256, &bytes[..end]);
    bytes[end..].copy_from_slice(check.as_ref());
    bytes
}

#[track_caller]
fn assert_malformed(bytes: &[u8], why: &str) {
    match KeyTable::parse(bytes) {
        Err(FileFlaw::Malformed(rule)) => assert!(rule.to_string().contains(why), "{rule}"),
        other => panic!("expected Malformed, got {other:?}"),
    }
}

#[test]
fn table_of_any_number_of_slots_reads_back() {
    for slots in 1..=8 {
        let table = table(slots);
        let bytes = table.encode();
        assert_eq!(KeyTable::parse(&bytes).unwrap(), table);
        assert_eq!(KeyTable::parse_alone(&bytes).unwrap(), table);
        let external = slots / 4;
        assert_eq!(bytes.len(), 160 + 410 * usize::from(slots) + 14 * usize::from(external));
    }
    assert_eq!(KeyTable::LENGTHS, 570..=12_176);
}

#[test]
fn every_field_has_its_place() {
    let bytes = table(1).encode();
    assert_eq!(bytes[..8], *b"\x89TKV\r\n\x1a\n");
    assert_eq!(bytes[8..16], [1, 0, 1, 0, 0, 0, 0, 0]);
    assert_eq!(bytes[16..32], [0x11; 16]);
    assert_eq!(bytes[32..40], [0x44; 8]);
    assert_eq!(bytes[40..48], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(bytes[48..52], [1, 0x13, 0, 0]);
    assert_eq!(bytes[52..56], 65_536_u32.to_le_bytes());
    assert_eq!(bytes[56..64], [3, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(bytes[64..80], [0; 16]);
    assert_eq!(bytes[80..112], [0; 32]);
    assert_eq!(bytes[112..144], [1; 32]);
    assert_eq!(bytes[144..192], [2; 48]);
    assert_eq!(bytes[192..224], [0x66; 32]);
    assert_eq!(bytes[224..506], [0x77; 282]);
    assert_eq!(bytes[506..538], [0x88; 32]);

    let bytes = external("a TPM", &[9; 3]).encode();
    assert_eq!(bytes[48..52], [4, 0, 12, 0]);
    assert_eq!(bytes[112..124], *b"\x05\0a TPM\x03\0\x09\x09\x09");
}

#[test]
fn every_flipped_bit_of_a_table_is_noticed_without_a_key() {
    let bytes = table(4).encode();
    for bit in 0..bytes.len() * 8 {
        let mut flipped = bytes.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match (bit / 8, KeyTable::parse_alone(&flipped)) {
            (0..8, Err(FileFlaw::NotAKeystore)) | (8..10, Err(FileFlaw::UnsupportedVersion { found: _ })) => {}
            (10.., Err(FileFlaw::DamagedHeader)) => {}
            (_, other) => panic!("bit {bit}: {other:?}"),
        }
    }
}

#[test]
fn every_cut_of_a_table_is_noticed() {
    let bytes = table(2).encode();
    for len in 0..bytes.len() {
        match (len, KeyTable::parse_alone(&bytes[..len])) {
            (0, Err(FileFlaw::Empty)) | (1..10, Err(FileFlaw::Truncated { .. })) => {}
            (10.., Err(FileFlaw::DamagedHeader)) => {}
            (_, other) => panic!("{len} bytes: {other:?}"),
        }
        if len >= CHECK_LEN {
            // An attacker computes the check again.
            match KeyTable::parse(&rechecked(bytes[..len].to_vec())) {
                Err(FileFlaw::Malformed(_)) => {}
                other => panic!("{len} bytes: {other:?}"),
            }
        }
    }
    let longer = [&bytes[..bytes.len() - CHECK_LEN], &[0; 1 + CHECK_LEN]].concat();
    assert_malformed(&rechecked(longer), "not as long");
}

/// Before anything of it is hashed.
#[test]
fn table_of_a_megabyte_is_refused() {
    let mut bytes = table(1).encode();
    bytes.resize(1 << 20, 0);
    match KeyTable::parse_alone(&bytes) {
        Err(FileFlaw::Malformed(rule)) => assert!(rule.to_string().contains("out of bounds"), "{rule}"),
        other => panic!("expected Malformed, got {other:?}"),
    }
}

#[test]
fn magic_and_version_inside_of_a_file_are_checked() {
    assert_malformed(&with(&table(1), 3, b'P'), "start");
    assert_malformed(&with(&table(1), 8, 2), "version");
}

#[test]
fn table_has_one_to_eight_slots() {
    for slots in [0, 9, 255] {
        assert_malformed(&with(&table(1), 10, slots), "number");
    }
}

#[test]
fn reserved_bytes_are_zero() {
    let table = table(3);
    // Of the table, of the keychain's slot, of the recovery key's.
    for at in [12, 13, 14, 15, 193, 196, 200, 204, 337, 340, 344, 348] {
        assert_malformed(&with(&table, at, 7), "reserved");
    }
}

#[test]
fn reserved_bytes_of_an_external_slot_are_zero() {
    for at in [49, 52, 56, 60] {
        assert_malformed(&with(&external("x", &[]), at, 7), "reserved");
    }
}

#[test]
fn revision_is_not_zero() {
    assert_malformed(&KeyTable { revision: 0, ..table(1) }.encode(), "revision");
}

#[test]
fn kinds_and_versions_of_slots_are_known() {
    for kind in [0, 5, 255] {
        assert_malformed(&with(&table(1), 48, kind), "unknown kind");
    }
    assert_malformed(&with(&table(1), 49, 0x10), "version of argon2");
    assert_malformed(&with(&table(1), 48, 2), "reserved");
}

#[test]
fn kinds_of_slots_have_names() {
    let kinds = [SlotKind::Passphrase(KdfParams::MIN), SlotKind::Keychain, SlotKind::RecoveryKey, SlotKind::External];
    assert_eq!(kinds.map(|kind| kind.to_string()), ["passphrase", "keychain", "recovery key", "external key"]);
}

#[test]
fn only_an_external_slot_has_data() {
    let mut bytes = table(1).encode();
    bytes[50] = 1;
    bytes.insert(112, 0);
    assert_malformed(&rechecked(bytes), "data");
}

#[test]
fn data_of_an_external_slot_keeps_its_limits() {
    let longest = "x".repeat(64);
    for (provider, public) in [("x", 0), (longest.as_str(), 1024), ("ключ", 1)] {
        let table = external(provider, &vec![7; public]);
        assert_eq!(KeyTable::parse(&table.encode()).unwrap(), table);
    }
    for (provider, public) in [("", 1), (&"x".repeat(65), 1), ("x", 1025)] {
        assert_malformed(&external(provider, &vec![7; public]).encode(), "data");
    }
    let table = external("x", &[]);
    assert_malformed(&with(&table, 114, 0xFF), "data");
    // A length of the provider, and then of the public data, that reaches beyond the data.
    assert_malformed(&with(&table, 112, 9), "data");
    assert_malformed(&with(&table, 115, 1), "data");
    // A byte that belongs to neither.
    let mut bytes = table.encode();
    bytes[50] = 6;
    bytes.insert(117, 0);
    assert_malformed(&rechecked(bytes), "data");
}

#[test]
fn slot_ids_are_unique() {
    let mut twice = table(3);
    twice.slots[2].id = twice.slots[0].id;
    assert_malformed(&twice.encode(), "one id");
}

#[test]
fn four_slots_may_be_for_passphrases_and_no_more() {
    let passphrase = |id| Slot { kind: SlotKind::Passphrase(KdfParams::MIN), external: None, ..slot(id) };
    assert_malformed(&table_of((0..5).map(passphrase).collect()).encode(), "four passphrase slots");
    let four = table_of((0..4).map(passphrase).collect());
    assert_eq!(KeyTable::parse(&four.encode()).unwrap(), four);
}

#[test]
fn every_cost_of_the_derivation_is_limited() {
    let table = table(1);
    // Memory of 64 MiB and more than 4 TiB; passes; lanes; each by its highest byte.
    for (at, expected) in [(55, KdfCost::MemoryKib), (59, KdfCost::Passes), (63, KdfCost::Lanes)] {
        match KeyTable::parse(&with(&table, at, 255)) {
            Err(FileFlaw::KdfLimit(KdfLimit { cost, asked, limit })) => {
                assert!(cost == expected && asked > limit, "{cost}");
            }
            other => panic!("expected KdfLimit, got {other:?}"),
        }
    }
    assert!(matches!(KeyTable::parse(&with(&table, 54, 0)), Err(FileFlaw::KdfLimit(KdfLimit { asked: 0, .. }))));
}
