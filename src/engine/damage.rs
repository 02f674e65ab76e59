//! Every bit of every sample file flipped, every length cut, bytes added: as it is, and by an attacker who computes the
//! check again.
//!
//! The key of each slot is derived once, and the slot is tried with it even if its salt or cost was changed: as if a
//! derivation could not tell them apart, which is more than can happen.

use std::{fs, path::Path};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::*;
use crate::{
    error::FileFlaw,
    format::SLOT_LEN,
    slot::SlotKind,
    unlock::{Passphrase, RecoveryKey},
};

/// A sample file with the keys of its slots, in their order.
struct Sample {
    name: String,
    file: Vec<u8>,
    header_len: usize,
    slots: Vec<(SlotKind, Key)>,
}

fn samples() -> Vec<Sample> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let samples = entries.filter(|path| path.extension().is_some_and(|end| end == "keep"));
    // These are built as the others are, and take long: one is large, one costs much to unlock.
    let samples = samples.filter(|path| !path.ends_with("boundaries.keep") && !path.ends_with("costs.keep"));
    let samples: Vec<_> = samples.map(|path| sample(&path)).collect();
    assert_eq!(samples.len(), 15);
    samples
}

fn sample(path: &Path) -> Sample {
    let file = fs::read(path).unwrap();
    let beside: Value = serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
    let texts = |name: &str| -> Vec<String> {
        let texts = beside[name].as_array().into_iter().flatten();
        texts.map(|text| text.as_str().unwrap().to_owned()).collect()
    };
    let mut copy = file.clone();
    let (header, bytes, _) = Header::parse(&mut copy).unwrap();
    let header_len = bytes.len();
    let passphrases = texts("passphrases").into_iter().map(|text| Unlock::from(Passphrase::new(text)));
    let recovery_keys =
        texts("recovery_keys").into_iter().map(|text| Unlock::from(text.parse::<RecoveryKey>().unwrap()));
    let unlocks: Vec<_> = passphrases.chain(recovery_keys).collect();
    let of_keychain: Vec<_> = texts("keychain_keys").iter().map(|text| key_of(text)).collect();
    let opens = |slot: &format::Slot, key: &Key| seal::unwrap(slot, &header, key).unwrap().is_some();
    let slots = header.slots.iter().map(|slot| {
        let mut keys = unlocks.iter().filter_map(|unlock| unlock.slot_key(slot)).map(Result::unwrap);
        let key = keys.find(|key| opens(slot, key));
        let key = key.or_else(|| of_keychain.iter().find(|key| opens(slot, key)).cloned());
        (slot.kind, key.expect("a secret for each slot is beside the file"))
    });
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    Sample { name, header_len, slots: slots.collect(), file }
}

fn key_of(hexadecimal: &str) -> Key {
    let mut key = Key::zeroed();
    assert_eq!(HEXLOWER.decode_mut(hexadecimal.as_bytes(), key.bytes_mut()), Ok(Key::LEN));
    key
}

/// Why a file does not open.
#[derive(Debug)]
enum Refusal {
    /// The slot's key opens no slot of its kind.
    WrongKey,
    Bad(FileFlaw),
}

use Refusal::{Bad, WrongKey};

/// Why a file does not open with a slot's key, in each slot of that kind.
fn refusal(file: &mut [u8], kind: SlotKind, key: &Key) -> Refusal {
    let (header, bytes, body) = match Header::parse(file) {
        Ok(parsed) => parsed,
        Err(flaw) => return Bad(flaw),
    };
    let mut slots = header.slots.iter().filter(|slot| slot.kind.method() == kind.method());
    match slots.find_map(|slot| seal::unwrap(slot, &header, key).unwrap()) {
        Some(store_key) => Bad(unseal(&store_key, &header, bytes, body).unwrap().map(|_| ()).expect_err("it opened")),
        None => WrongKey,
    }
}

fn recheck(header: &mut [u8]) {
    let (content, check) = header.split_last_chunk_mut::<32>().unwrap();
    check.copy_from_slice(digest(&SHA256, content).as_ref());
}

/// Whether a flipped bit of that byte, with the check computed again, is reported so when that slot is used.
fn is_expected(at: usize, used: usize, kind_at: Option<SlotKind>, error: &Refusal) -> bool {
    let Some(at) = at.checked_sub(PROLOGUE_LEN) else {
        return match at {
            0..8 => matches!(error, Bad(FileFlaw::NotAKeystore)),
            8..10 => matches!(error, Bad(FileFlaw::UnsupportedVersion { .. })),
            // For more slots the file is too short, or the length does not fit them.
            10..16 => matches!(error, Bad(FileFlaw::DamagedHeader | FileFlaw::Truncated { .. })),
            16..24 => matches!(error, Bad(FileFlaw::Truncated { .. } | FileFlaw::Malformed(_))),
            24..28 => matches!(error, Bad(FileFlaw::UnsupportedFeature { .. })),
            28..32 => matches!(error, Bad(FileFlaw::Malformed(_))),
            // The ids of the store and of its key, which every slot is bound to.
            32..48 | 120..128 => matches!(error, WrongKey),
            // The generation: zero is none.
            48..56 => matches!(error, Bad(FileFlaw::Tampered | FileFlaw::Malformed(_))),
            _ => matches!(error, Bad(FileFlaw::Tampered)),
        };
    };
    let changed =
        if at / SLOT_LEN == used { matches!(error, WrongKey) } else { matches!(error, Bad(FileFlaw::Tampered)) };
    match (at % SLOT_LEN, kind_at) {
        // Of a keychain's slot one bit makes one for a recovery key, and the other way round.
        (0, Some(SlotKind::Keychain | SlotKind::RecoveryKey)) => {
            changed || matches!(error, Bad(FileFlaw::Tampered | FileFlaw::Malformed(_)))
        }
        (0..4, _) => matches!(error, Bad(FileFlaw::Malformed(_))),
        (4..16, Some(SlotKind::Passphrase(_))) => changed || matches!(error, Bad(FileFlaw::KdfLimit(_))),
        (4..16, _) => matches!(error, Bad(FileFlaw::Malformed(_))),
        _ => changed,
    }
}

#[test]
fn every_flipped_bit_of_every_sample_file_is_told_as_what_it_is() {
    for Sample { name, file, header_len, slots } in samples() {
        let content_len = header_len - 32;
        for bit in 0..header_len * 8 {
            let (at, mask) = (bit / 8, 1 << (bit % 8));
            let mut flipped = file[..].to_vec();
            flipped[at] ^= mask;
            let as_it_is = refusal(&mut flipped, slots[0].0, &slots[0].1);
            let is_damage = match at {
                0..8 => matches!(as_it_is, Bad(FileFlaw::NotAKeystore)),
                8..10 => matches!(as_it_is, Bad(FileFlaw::UnsupportedVersion { .. })),
                10..16 => matches!(as_it_is, Bad(FileFlaw::DamagedHeader | FileFlaw::Truncated { .. })),
                _ => matches!(as_it_is, Bad(FileFlaw::DamagedHeader)),
            };
            assert!(is_damage, "{name}, bit {bit}: {as_it_is:?}");
            if at >= content_len {
                continue;
            }
            recheck(&mut flipped[..header_len]);
            let kind_at = at.checked_sub(PROLOGUE_LEN).map(|at| slots[at / SLOT_LEN].0);
            for (used, (kind, key)) in slots.iter().enumerate() {
                let error = refusal(&mut flipped.clone(), *kind, key);
                assert!(is_expected(at, used, kind_at, &error), "{name}, bit {bit}, slot {used}: {error:?}");
            }
        }
    }
}

/// Each bit from there on, in steps.
fn assert_every_flipped_bit_of_the_body_is_tampering(sample: &Sample, step: usize) {
    let Sample { name, file, header_len, slots } = sample;
    let (kind, key) = &slots[0];
    let mut flipped = vec![0; file.len()];
    for bit in (header_len * 8..file.len() * 8).step_by(step) {
        flipped.copy_from_slice(file);
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = refusal(&mut flipped, *kind, key);
        assert!(matches!(error, Bad(FileFlaw::Tampered)), "{name}, bit {bit}: {error:?}");
    }
}

const SMALL: usize = 8192;

#[test]
fn every_flipped_bit_of_a_body_is_tampering() {
    for sample in samples() {
        // Of the large file every bit of another place in a byte; the next test takes all.
        let step = if sample.file.len() <= SMALL { 1 } else { 1021 };
        assert_every_flipped_bit_of_the_body_is_tampering(&sample, step);
    }
}

#[test]
#[ignore = "takes minutes: `.ci/campaign damage`"]
fn every_flipped_bit_of_a_large_body_is_tampering() {
    let large: Vec<_> = samples().into_iter().filter(|sample| sample.file.len() > SMALL).collect();
    assert_eq!(large.len(), 1);
    large.iter().for_each(|sample| assert_every_flipped_bit_of_the_body_is_tampering(sample, 1));
}

#[test]
fn every_length_but_its_own_is_refused() {
    for Sample { name, mut file, header_len, slots } in samples() {
        let (kind, key) = &slots[0];
        for len in 0..file.len() {
            let error = refusal(&mut file[..len], *kind, key);
            let is_cut = matches!(error, Bad(FileFlaw::Truncated { found, .. }) if found == format::length(len));
            assert!(is_cut || (len == 0 && matches!(error, Bad(FileFlaw::Empty))), "{name}, {len} bytes: {error:?}");
        }
        for added in [1, 2, 16, 4096] {
            let mut longer = file.clone();
            longer.resize(file.len() + added, 0);
            assert!(matches!(refusal(&mut longer, *kind, key), Bad(FileFlaw::Malformed(_))), "{name}, {added} more");
            // Nor if the header is made to say so.
            let body_len = format::length(longer.len() - header_len);
            longer[16..24].copy_from_slice(&body_len.to_le_bytes());
            recheck(&mut longer[..header_len]);
            let error = refusal(&mut longer, *kind, key);
            let is_told = if added == 4096 {
                matches!(error, Bad(FileFlaw::Tampered))
            } else {
                matches!(error, Bad(FileFlaw::Malformed(_)))
            };
            assert!(is_told, "{name}, {added} more: {error:?}");
        }
        // A block less, and the header made to say so.
        let mut shorter = file[..file.len() - 4096].to_vec();
        if shorter.len() > header_len + 4096 {
            let body_len = format::length(shorter.len() - header_len);
            shorter[16..24].copy_from_slice(&body_len.to_le_bytes());
            recheck(&mut shorter[..header_len]);
            assert!(matches!(refusal(&mut shorter, *kind, key), Bad(FileFlaw::Tampered)), "{name}");
        }
    }
}
