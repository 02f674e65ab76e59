use super::*;
use crate::error::{KdfCost, KdfLimit};

fn slot(id: u8) -> Slot {
    let kind = match id % 3 {
        0 => SlotKind::Passphrase(KdfParams::default()),
        1 => SlotKind::Keychain,
        _ => SlotKind::RecoveryKey,
    };
    Slot { kind, id: SlotId([id; 16]), salt: [id; 32], commitment: [id + 1; 32], wrapped_key: [id + 2; 48] }
}

/// With a body that fills two blocks together with the header.
fn header(slots: u8) -> Header {
    fitted(Header {
        store_id: [0x11; 16],
        generation: 0x0807_0605_0403_0201,
        body_len: 0,
        body_salt: [0x22; 32],
        body_commitment: [0x33; 32],
        key_id: [0x44; 8],
        slots: (0..slots).map(slot).collect(),
    })
}

fn fitted(header: Header) -> Header {
    Header { body_len: 8192 - length(header.len()), ..header }
}

fn file(header: &Header) -> Vec<u8> {
    let mut file = header.encode();
    file.resize(file.len() + usize::try_from(header.body_len).unwrap(), 0x55);
    file
}

fn parse(file: &[u8]) -> Result<Header> {
    Header::parse(&mut file.to_vec()).map(|(header, ..)| header)
}

/// The file with one byte of its header changed, and the check over that.
fn with(file: &[u8], at: usize, byte: u8) -> Vec<u8> {
    let mut file = file.to_vec();
    file[at] = byte;
    let end = PROLOGUE_LEN + usize::from(file[10]) * SLOT_LEN;
    let check = digest(&SHA256, &file[..end]);
    file[end..end + CHECK_LEN].copy_from_slice(check.as_ref());
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
fn a_header_of_any_number_of_slots_reads_back_byte_for_byte() {
    for slots in 1..=8 {
        let header = header(slots);
        let mut file = file(&header);
        let (parsed, bytes, body) = Header::parse(&mut file).unwrap();
        assert_eq!(parsed, header);
        assert_eq!(bytes, header.encode());
        assert_eq!(body, vec![0x55; 8192 - header.len()]);
        assert_eq!(bytes.len(), 160 + 144 * usize::from(slots));
    }
}

#[test]
fn every_field_stands_where_the_document_says() {
    let bytes = header(1).encode();
    assert_eq!(bytes[..8], *b"\x89TKP\r\n\x1a\n");
    assert_eq!(bytes[8..12], [1, 0, 1, 0]);
    assert_eq!(bytes[12..16], 304_u32.to_le_bytes());
    assert_eq!(bytes[16..24], 7888_u64.to_le_bytes());
    assert_eq!(bytes[24..32], [0; 8]);
    assert_eq!(bytes[32..48], [0x11; 16]);
    assert_eq!(bytes[48..56], [1, 2, 3, 4, 5, 6, 7, 8]);
    assert_eq!(bytes[56..88], [0x22; 32]);
    assert_eq!(bytes[88..120], [0x33; 32]);
    assert_eq!(bytes[120..128], [0x44; 8]);
    assert_eq!(bytes[128..132], [1, 0x13, 0, 0]);
    assert_eq!(bytes[132..136], 65_536_u32.to_le_bytes());
    assert_eq!(bytes[136..144], [3, 0, 0, 0, 4, 0, 0, 0]);
    assert_eq!(bytes[144..160], [0; 16]);
    assert_eq!(bytes[160..192], [0; 32]);
    assert_eq!(bytes[192..224], [1; 32]);
    assert_eq!(bytes[224..272], [2; 48]);
}

#[test]
fn the_hash_that_keys_are_bound_to_leaves_out_the_commitment_only() {
    let one = header(2);
    assert_eq!(
        one.hash_without_commitment(),
        Header { body_commitment: [9; 32], ..one.clone() }.hash_without_commitment()
    );
    let others = [
        Header { store_id: [9; 16], ..one.clone() },
        Header { generation: 9, ..one.clone() },
        Header { body_len: 8208, ..one.clone() },
        Header { body_salt: [9; 32], ..one.clone() },
        Header { key_id: [9; 8], ..one.clone() },
        header(3),
    ];
    for other in others {
        assert_ne!(one.hash_without_commitment(), other.hash_without_commitment());
    }
}

#[test]
fn every_flipped_bit_of_a_header_is_noticed_without_a_key() {
    let file = file(&header(2));
    let header_len = header_len(&file).unwrap();
    for bit in 0..header_len * 8 {
        let mut flipped = file.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        match (bit / 8, parse(&flipped)) {
            (0..8, Err(FileFlaw::NotAKeystore)) | (8..10, Err(FileFlaw::UnsupportedVersion { .. })) => {}
            // More slots than the file has room for.
            (10..16, Err(FileFlaw::DamagedHeader | FileFlaw::Truncated { .. })) => {}
            (16.., Err(FileFlaw::DamagedHeader)) => {}
            (_, other) => panic!("bit {bit}: {other:?}"),
        }
    }
}

#[test]
fn every_cut_is_noticed_and_so_is_every_addition() {
    let file = file(&header(1));
    for len in 0..file.len() {
        match (len, parse(&file[..len])) {
            (0, Err(FileFlaw::Empty)) => {}
            (1.., Err(FileFlaw::Truncated { expected, found })) => {
                assert!(found == length(len) && expected > found, "{found} of {expected}");
            }
            (_, other) => panic!("{len} bytes: {other:?}"),
        }
    }
    assert_malformed(&[&file[..], &[0]].concat(), "after its end");
}

#[test]
fn what_does_not_start_with_the_magic_is_no_keystore_however_short() {
    for start in [&b"\x88"[..], b"id,user_name\n", b"\x89PNG\r\n\x1a\n", b"\x89TKP\n\x1a\n\0\0", &[0; 5000]] {
        assert!(matches!(parse(start), Err(FileFlaw::NotAKeystore)), "{start:?}");
    }
}

#[test]
fn another_version_is_told_whatever_follows() {
    for version in [0_u16, 2, 0x0101, u16::MAX] {
        let start = [&MAGIC[..], &version.to_le_bytes(), b"anything"].concat();
        match parse(&start) {
            Err(FileFlaw::UnsupportedVersion { found }) => assert_eq!(found, version),
            other => panic!("expected UnsupportedVersion, got {other:?}"),
        }
    }
}

#[test]
fn counts_and_lengths_that_no_header_has_are_damage() {
    let file = file(&header(1));
    for slots in [0, 9, 255] {
        let mut file = file.clone();
        file[10] = slots;
        file[12..16].copy_from_slice(&u32::try_from(expected_len(slots.into())).unwrap().to_le_bytes());
        assert!(matches!(parse(&file), Err(FileFlaw::DamagedHeader)), "{slots} slots");
    }
    assert!(matches!(parse(&with(&file, 12, 0)), Err(FileFlaw::DamagedHeader)));
}

#[test]
fn unknown_features_are_told() {
    let file = file(&header(1));
    for (at, bits) in [(24, 1), (27, 0x0100_0000)] {
        match parse(&with(&file, at, 1)) {
            Err(FileFlaw::UnsupportedFeature { bits: found }) => assert_eq!(found, bits),
            other => panic!("expected UnsupportedFeature, got {other:?}"),
        }
    }
}

#[test]
fn reserved_bytes_are_zero() {
    let file = file(&header(3));
    let of_slots = [130, 131, 273, 274, 275, 276, 280, 284, 417, 420];
    for at in [28, 29, 30, 31].into_iter().chain(of_slots) {
        assert_malformed(&with(&file, at, 7), "reserved");
    }
}

#[test]
fn kinds_and_versions_of_slots_are_known() {
    let file = file(&header(1));
    for kind in [0, 4, 255] {
        assert_malformed(&with(&file, 128, kind), "unknown kind");
    }
    assert_malformed(&with(&file, 129, 0x10), "version of argon2");
    assert_malformed(&with(&file, 128, 2), "reserved");
}

#[test]
fn kinds_of_slots_have_names() {
    let kinds = [SlotKind::Passphrase(KdfParams::MIN), SlotKind::Keychain, SlotKind::RecoveryKey];
    assert_eq!(kinds.map(|kind| kind.to_string()), ["passphrase", "keychain", "recovery key"]);
}

#[test]
fn slot_ids_are_unique() {
    let mut twice = header(3);
    twice.slots[2].id = twice.slots[0].id;
    assert_malformed(&file(&twice), "one id");
}

#[test]
fn four_slots_may_be_for_passphrases_and_no_more() {
    let mut many = header(5);
    for slot in &mut many.slots {
        slot.kind = SlotKind::Passphrase(KdfParams::MIN);
    }
    assert_malformed(&file(&many), "four passphrase slots");
    many.slots.pop();
    let many = fitted(many);
    assert_eq!(parse(&file(&many)).unwrap(), many);
}

#[test]
fn every_cost_of_the_derivation_is_limited() {
    let file = file(&header(1));
    // Memory of 64 MiB and more than 4 TiB; passes; lanes; each by its highest byte.
    for (at, expected) in [(135, KdfCost::MemoryKib), (139, KdfCost::Passes), (143, KdfCost::Lanes)] {
        match parse(&with(&file, at, 255)) {
            Err(FileFlaw::KdfLimit(KdfLimit { cost, asked, limit })) => {
                assert!(cost == expected && asked > limit, "{cost}");
            }
            other => panic!("expected KdfLimit, got {other:?}"),
        }
    }
    assert!(matches!(parse(&with(&file, 134, 0)), Err(FileFlaw::KdfLimit(KdfLimit { asked: 0, .. }))));
}

#[test]
fn a_body_has_a_length_that_padding_gives() {
    let fits = header(1).body_len;
    for body_len in [0, 1, 16, 17, 4096, 4096 + 16, fits - 1, fits + 1, fits - 4095] {
        assert_malformed(&file(&Header { body_len, ..header(1) }), "padding");
    }
    let endless = Header { body_len: u64::MAX - 15, ..header(1) };
    assert!(matches!(
        parse(&[endless.encode(), vec![0; 64]].concat()),
        Err(FileFlaw::Truncated { .. } | FileFlaw::Malformed(_))
    ));
}

#[test]
fn no_generation_is_zero() {
    assert_malformed(&file(&Header { generation: 0, ..header(1) }), "generation");
}
