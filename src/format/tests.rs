use super::*;
use crate::{id::SlotId, slot::SlotKind, time::Millis};

fn table() -> KeyTable {
    let slot = Slot {
        kind: SlotKind::RecoveryKey,
        id: SlotId([1; 16]),
        salt: [2; 32],
        external: None,
        commitment: [3; 32],
        wrapped_key: [4; 48],
    };
    KeyTable {
        store_id: [5; 16],
        key_id: [6; 8],
        revision: 7,
        slots: vec![slot],
        notes_salt: [8; 32],
        sealed_notes: vec![9; 266 + 16],
        mac: [10; 32],
    }
}

/// With a body that fills two blocks together with the header.
fn header() -> BodyHeader {
    let table_len = table().encode().len();
    BodyHeader {
        table_len,
        body_len: length(8192 - BODY_HEADER_LEN - table_len),
        generation: 0x0807_0605_0403_0201,
        body_salt: [0x22; 32],
        body_commitment: [0x33; 32],
    }
}

fn file_of(header: &BodyHeader) -> Vec<u8> {
    let mut file = [header.encode(), table().encode()].concat();
    file.resize(file.len() + usize::try_from(header.body_len).unwrap(), 0x55);
    file
}

fn file() -> Vec<u8> {
    file_of(&header())
}

fn parse(file: &[u8]) -> Result<(BodyHeader, KeyTable)> {
    Parts::parse(&mut file.to_vec()).map(|Parts { body_header, table, .. }| (body_header, table))
}

/// The file with one byte of its body header changed, and the check over that.
fn with(at: usize, byte: u8) -> Vec<u8> {
    let mut file = file();
    file[at] = byte;
    let end = BODY_HEADER_LEN - CHECK_LEN;
    let check = digest(&SHA256, &file[..end]);
    file[end..BODY_HEADER_LEN].copy_from_slice(check.as_ref());
    file
}

#[track_caller]
fn assert_malformed(file: &[u8], why: &str) {
    match parse(file) {
        Err(FileFlaw::Malformed(rule)) => assert!(rule.to_string().contains(why), "{rule}"),
        other => panic!("expected Malformed, got {other:?}"),
    }
}

#[test]
fn file_is_taken_apart_byte_for_byte() {
    let mut file = file();
    let parts = Parts::parse(&mut file).unwrap();
    let Parts { body_header, table: parsed, table_bytes, header: bytes, body, journal: _ } = parts;
    assert_eq!(table_bytes, table().encode());
    assert_eq!((&body_header, parsed), (&header(), table()));
    assert_eq!(bytes, [header().encode(), table().encode()].concat());
    assert_eq!(body, vec![0x55; 8192 - 136 - 570]);
    assert_eq!(body_header.header_len(), bytes.len());
}

#[test]
fn every_field_of_the_body_header_has_its_place() {
    let bytes = header().encode();
    assert_eq!(bytes.len(), 136);
    assert_eq!(bytes[..8], *b"\x89TKP\r\n\x1a\n");
    assert_eq!(bytes[8..12], [1, 0, 0, 0]);
    assert_eq!(bytes[12..16], 570_u32.to_le_bytes());
    assert_eq!(bytes[16..24], 7486_u64.to_le_bytes());
    assert_eq!(bytes[24..32], [0; 8]);
    assert_eq!(bytes[32..40], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(bytes[40..72], [0x22; 32]);
    assert_eq!(bytes[72..104], [0x33; 32]);
}

#[test]
fn hash_leaves_out_the_commitment_only() {
    let (one, table) = (header(), table().encode());
    let hash = |header: &BodyHeader| header.hash_without_commitment(&table);
    assert_eq!(hash(&one), hash(&BodyHeader { body_commitment: [9; 32], ..one.clone() }));
    let others = [
        BodyHeader { table_len: 571, ..one.clone() },
        BodyHeader { generation: 9, ..one.clone() },
        BodyHeader { body_len: 8208, ..one.clone() },
        BodyHeader { body_salt: [9; 32], ..one.clone() },
    ];
    for other in others {
        assert_ne!(hash(&one), hash(&other));
    }
    let mut other_table = table.clone();
    for byte in 0..table.len() {
        other_table[byte] ^= 1;
        assert_ne!(hash(&one), one.hash_without_commitment(&other_table), "byte {byte}");
        other_table[byte] ^= 1;
    }
}

#[test]
fn every_flipped_bit_of_a_header_is_noticed_without_a_key() {
    let file = file();
    for bit in 0..(BODY_HEADER_LEN + 570) * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match (bit / 8, parse(&flipped)) {
            (0..8, Err(FileFlaw::NotAKeystore)) | (8..10, Err(FileFlaw::UnsupportedVersion { .. })) => {}
            (10.., Err(FileFlaw::DamagedHeader)) => {}
            (_, other) => panic!("bit {bit}: {other:?}"),
        }
    }
}

#[test]
fn every_cut_is_noticed() {
    let file = file();
    for len in 0..file.len() {
        match (len, parse(&file[..len])) {
            (0, Err(FileFlaw::Empty)) => {}
            (1.., Err(FileFlaw::Truncated { expected, found })) => {
                assert!(found == length(len) && expected > found, "{found} of {expected}");
            }
            (_, other) => panic!("{len} bytes: {other:?}"),
        }
    }
    let mut longer = [&file[..], &[1; 3]].concat();
    assert_eq!(Parts::parse(&mut longer).unwrap().journal, [1; 3], "what follows the body is the journal");
}

#[test]
fn file_without_the_magic_is_no_keystore_however_short() {
    for start in [&b"\x88"[..], b"id,user_name\n", b"\x89PNG\r\n\x1a\n", b"\x89TKP\n\x1a\n\0\0", b"\x89TKV", &[0; 5000]]
    {
        assert!(matches!(parse(start), Err(FileFlaw::NotAKeystore)), "{start:?}");
    }
}

#[test]
fn other_version_is_reported_before_anything_else() {
    for version in [0_u16, 2, 0x0101, u16::MAX] {
        let start = [&MAGIC[..], &version.to_le_bytes(), b"anything"].concat();
        match parse(&start) {
            Err(FileFlaw::UnsupportedVersion { found }) => assert_eq!(found, version),
            other => panic!("expected UnsupportedVersion, got {other:?}"),
        }
    }
}

#[test]
fn length_that_no_key_table_has_is_malformed() {
    for table_len in [0, 1, 569, 12_177, u32::MAX] {
        let mut file = file();
        file[12..16].copy_from_slice(&table_len.to_le_bytes());
        let end = BODY_HEADER_LEN - CHECK_LEN;
        let check = digest(&SHA256, &file[..end]);
        file[end..BODY_HEADER_LEN].copy_from_slice(check.as_ref());
        assert_malformed(&file, "length of its key table");
    }
}

#[test]
fn unknown_features_are_reported() {
    for (at, bits) in [(24, 1), (27, 0x0100_0000)] {
        match parse(&with(at, 1)) {
            Err(FileFlaw::UnsupportedFeature { bits: found }) => assert_eq!(found, bits),
            other => panic!("expected UnsupportedFeature, got {other:?}"),
        }
    }
}

#[test]
fn reserved_bytes_of_the_body_header_are_zero() {
    for at in [10, 11, 28, 29, 30, 31] {
        assert_malformed(&with(at, 7), "reserved");
    }
}

#[test]
fn body_has_a_length_that_padding_gives() {
    let fits = header().body_len;
    for body_len in [0, 1, 16, 17, 4096, 4096 + 16, fits - 1, fits + 1, fits - 4095] {
        assert_malformed(&file_of(&BodyHeader { body_len, ..header() }), "padding");
    }
    let endless = BodyHeader { body_len: u64::MAX - 705, ..header() };
    let file = [endless.encode(), table().encode(), vec![0; 64]].concat();
    assert!(matches!(parse(&file), Err(FileFlaw::Truncated { .. })), "{:?}", parse(&file));
}

#[test]
fn no_generation_is_zero() {
    assert_malformed(&file_of(&BodyHeader { generation: 0, ..header() }), "generation");
}

fn note(label: &str, created_at: u64) -> SlotNote {
    SlotNote { label: label.to_owned(), created_at: Millis::new(created_at).unwrap() }
}

#[test]
fn notes_read_back_and_have_their_place() {
    let notes = [note("Ada's laptop", 0x0102), note("", 0), note(&"x".repeat(256), 253_402_300_799_999)];
    let bytes = encode_notes(&notes);
    assert_eq!(bytes.len(), 3 * 266);
    assert_eq!(bytes[..10], [2, 1, 0, 0, 0, 0, 0, 0, 12, 0]);
    assert_eq!(bytes[10..22], *b"Ada's laptop");
    assert_eq!(bytes[22..266], [0; 244]);
    assert_eq!(decode_notes(&bytes).unwrap(), notes);
}

#[test]
fn each_rule_of_notes_is_checked() {
    let refused = |at: usize, byte: u8, why: &str| {
        let mut bytes = encode_notes(&[note("label", 1)]);
        bytes[at] = byte;
        match decode_notes(&bytes) {
            Err(FileFlaw::Malformed(rule)) => assert!(rule.to_string().contains(why), "{rule}"),
            other => panic!("expected Malformed, got {other:?}"),
        }
    };
    refused(7, 1, "9999");
    refused(9, 1, "256");
    refused(10, 0xFF, "UTF-8");
    refused(15, 1, "after");
    refused(265, 1, "after");
    refused(8, 4, "after");
}
