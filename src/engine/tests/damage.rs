//! Every bit of every sample file flipped, every length cut, bytes added: as it is, and by an attacker who computes the
//! checks again.
//!
//! The key of each slot is derived once, and the slot is tried with it even if its salt, its cost or its data was
//! changed: as if nothing that gives a key could tell them apart, which is more than can happen.

use std::{fs, path::Path};

use data_encoding::HEXLOWER;
use ring::digest::{SHA256, digest};
use serde_json::Value;

use super::{super::*, load};
use crate::{
    error::FileFlaw,
    format::{BODY_HEADER_LEN, Slot, length},
    seal,
    secret::Key,
    slot::SlotKind,
    unlock::{Passphrase, RecoveryKey},
    unlock_method::UnlockMethod,
};

/// A sample file with what opens it.
struct Sample {
    name: String,
    file: Vec<u8>,
    table: KeyTable,
    header_len: usize,
    /// In the slots' order.
    ways: Vec<Way>,
}

/// What opens one slot.
struct Way {
    method: UnlockMethod,
    /// Of an external slot: a provider is not asked about slots of another one.
    provider: Option<Box<str>>,
    key: Key,
    /// All slots that it opens.
    opens: Vec<usize>,
}

fn samples() -> Vec<Sample> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let samples = entries.filter(|path| path.extension().is_some_and(|end| end == "keep"));
    // These are built as the others are, and take long: they are large, cost much to unlock, or have slots of no use.
    let left_out = ["boundaries", "costs", "many-records", "more-passphrases", "wrong-tags"];
    let samples = samples.filter(|path| !left_out.iter().any(|name| path.ends_with(format!("{name}.keep"))));
    // What may follow the body is the subject of `journal_damage`.
    let samples: Vec<_> = samples.map(|path| sample(&path)).filter(Sample::has_no_journal).collect();
    assert_eq!(samples.len(), 22);
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
    let Parts { table, header, .. } = Parts::parse(&mut copy).unwrap();
    let header_len = header.len();
    let passphrases = texts("passphrases").into_iter().map(|text| Unlock::from(Passphrase::new(text)));
    let recovery_keys =
        texts("recovery_keys").into_iter().map(|text| Unlock::from(text.parse::<RecoveryKey>().unwrap()));
    let unlocks: Vec<_> = passphrases.chain(recovery_keys).collect();
    let kept: Vec<_> =
        ["keychain_keys", "external_keys"].into_iter().flat_map(texts).map(|text| key_of(&text)).collect();
    let opens = |slot: &Slot, key: &Key| seal::unwrap(slot, &table, key).unwrap().is_some();
    let ways = table.slots.iter().map(|slot| {
        let mut keys = unlocks.iter().filter_map(|unlock| unlock.slot_key(slot)).map(Result::unwrap);
        let key = keys.find(|key| opens(slot, key));
        let key = key.or_else(|| kept.iter().find(|key| opens(slot, key)).cloned());
        let key = key.expect("a secret for each slot is beside the file");
        let all = table.slots.iter().enumerate().filter(|(_, slot)| opens(slot, &key));
        Way {
            method: slot.kind.method(),
            provider: slot.external.as_ref().map(|data| data.provider.clone()),
            opens: all.map(|(number, _)| number).collect(),
            key,
        }
    });
    let ways = ways.collect();
    let name = path.file_name().unwrap().to_str().unwrap().to_owned();
    Sample { name, table, header_len, ways, file }
}

fn key_of(hexadecimal: &str) -> Key {
    let mut key = Key::zeroed();
    assert_eq!(HEXLOWER.decode_mut(hexadecimal.as_bytes(), key.bytes_mut()), Ok(Key::LEN));
    key
}

/// Why a file does not open.
#[derive(Debug)]
enum Refusal {
    /// The key opens no slot that it is tried with.
    WrongKey,
    Bad(FileFlaw),
}

use Refusal::{Bad, WrongKey};

/// Why a file does not open with that key, in each slot that it is for.
fn refusal(file: &mut [u8], way: &Way) -> Refusal {
    look(file, way).map(drop).expect_err("it opened")
}

/// The journal of a file, if it opens with that key in any slot that it is for.
fn look(file: &mut [u8], way: &Way) -> std::result::Result<Journal, Refusal> {
    let Parts { table, table_bytes, .. } = Parts::parse(file).map_err(Bad)?;
    let provider = |slot: &Slot| slot.external.as_ref().map(|data| data.provider.clone());
    let is_for = |slot: &&Slot| slot.kind.method() == way.method && provider(slot) == way.provider;
    let mut slots = table.slots.iter().filter(is_for);
    let open = |slot: &Slot| Some(Unlocked { store_key: seal::unwrap(slot, &table, &way.key).unwrap()?, by: slot.id });
    let unlocked = slots.find_map(open).ok_or(WrongKey)?;
    let vault = match Vault::unlock(Path::new("damaged"), table, table_bytes, |_| Ok(unlocked)) {
        Ok(vault) => vault,
        Err(Error::BadFile { flaw, .. }) => return Err(Bad(flaw)),
        Err(other) => panic!("{other:?}"),
    };
    load(&vault, file).map(|(journal, _)| journal).map_err(Bad)
}

/// Computes the check again that ends these bytes.
fn recheck(part: &mut [u8]) {
    let (content, check) = part.split_last_chunk_mut::<32>().unwrap();
    check.copy_from_slice(digest(&SHA256, content).as_ref());
}

fn recheck_header(file: &mut [u8], header_len: usize) {
    recheck(&mut file[..BODY_HEADER_LEN]);
    recheck(&mut file[BODY_HEADER_LEN..header_len]);
}

/// Where a byte of a header is.
#[derive(Debug, Clone, Copy)]
enum Place {
    OfBodyHeader(usize),
    /// Of the key table, before its slots.
    OfStart(usize),
    OfSlot(usize, OfSlot),
    /// After the slots and before the check: salt, notes, mac.
    Sealed,
    /// One of the two checks.
    Check,
}

/// Where a byte of a slot is.
#[derive(Debug, Clone, Copy)]
enum OfSlot {
    Kind,
    /// The version of argon2 and the length of the data.
    Fixed,
    Cost,
    /// A length in the data.
    LenInData,
    Provider,
    /// Id, salt, public data, commitment, wrapped key: any bytes will do.
    AnyBytes,
}

impl Sample {
    fn has_no_journal(&self) -> bool {
        let (header, _) = self.file.split_at(BODY_HEADER_LEN);
        let body_len = u64::from_le_bytes(*header[16..].first_chunk().unwrap());
        length(self.file.len()) == length(self.header_len) + body_len
    }

    fn place(&self, at: usize) -> Place {
        let Some(mut at) = at.checked_sub(BODY_HEADER_LEN) else {
            return if at < BODY_HEADER_LEN - 32 { Place::OfBodyHeader(at) } else { Place::Check };
        };
        if at >= self.header_len - BODY_HEADER_LEN - 32 {
            return Place::Check;
        }
        if at < 48 {
            return Place::OfStart(at);
        }
        at -= 48;
        for (number, slot) in self.table.slots.iter().enumerate() {
            let len = slot.head().len() + 32 + 48;
            if at < len {
                return Place::OfSlot(number, of_slot(slot, at));
            }
            at -= len;
        }
        Place::Sealed
    }
}

fn of_slot(slot: &Slot, at: usize) -> OfSlot {
    let provider_len = slot.external.as_ref().map(|data| data.provider.len());
    let provider_end = provider_len.map(|len| 66 + len);
    match (at, provider_end) {
        (0, _) => OfSlot::Kind,
        (1..4, _) => OfSlot::Fixed,
        (4..16, _) => OfSlot::Cost,
        (64..66, Some(_)) => OfSlot::LenInData,
        (66.., Some(end)) if at < end => OfSlot::Provider,
        (66.., Some(end)) if at < end + 2 => OfSlot::LenInData,
        _ => OfSlot::AnyBytes,
    }
}

/// Whether a flipped bit there is reported so, as it is.
fn is_damage(at: usize, error: &Refusal) -> bool {
    match at {
        0..8 => matches!(error, Bad(FileFlaw::NotAKeystore)),
        8..10 => matches!(error, Bad(FileFlaw::UnsupportedVersion { .. })),
        _ => matches!(error, Bad(FileFlaw::DamagedHeader)),
    }
}

/// Whether a flipped bit there, with the checks computed again, is reported so to who opens the file in that way.
fn is_expected(sample: &Sample, place: Place, way: &Way, error: &Refusal) -> bool {
    let is_malformed = matches!(error, Bad(FileFlaw::Malformed(_)));
    let is_tampered = matches!(error, Bad(FileFlaw::Tampered));
    // One bit of an id makes it that of another slot, where two ids differ in one bit.
    let id_twice = FileFlaw::malformed("two of its key slots have one id");
    let is_id_twice = matches!(error, Bad(flaw) if *flaw == id_twice);
    match place {
        Place::OfBodyHeader(at) => match at {
            0..8 => matches!(error, Bad(FileFlaw::NotAKeystore)),
            8..10 => matches!(error, Bad(FileFlaw::UnsupportedVersion { .. })),
            // A length that a key table may have ends it elsewhere: where the check is not, or the file is not as long.
            12..16 => is_malformed || matches!(error, Bad(FileFlaw::DamagedHeader | FileFlaw::Truncated { .. })),
            // Of a shorter body, the rest is taken for a journal.
            16..24 => is_malformed || is_tampered || matches!(error, Bad(FileFlaw::Truncated { .. })),
            24..28 => matches!(error, Bad(FileFlaw::UnsupportedFeature { .. })),
            10..12 | 28..32 => is_malformed,
            // The generation: zero is none.
            32..40 => is_tampered || is_malformed,
            _ => is_tampered,
        },
        Place::OfStart(at) => match at {
            // Of more slots than there are, some are made of the bytes that follow, with any costs.
            10..12 => is_malformed || matches!(error, Bad(FileFlaw::KdfLimit(_))),
            // The ids of the store and of its key, which every slot is bound to.
            16..40 => matches!(error, WrongKey),
            // The revision: zero is none.
            40..48 => is_tampered || is_malformed,
            _ => is_malformed,
        },
        Place::OfSlot(number, of_slot) => {
            // If no other slot opens, none does; else the table is not what that slot's store key vouches for.
            let is_changed = if way.opens == [number] { matches!(error, WrongKey) } else { is_tampered };
            match (of_slot, sample.table.slots[number].kind) {
                // Of a keychain's slot one bit makes one for a recovery key, and the other way round.
                (OfSlot::Kind, SlotKind::Keychain | SlotKind::RecoveryKey) => is_changed || is_malformed,
                (OfSlot::Cost, SlotKind::Passphrase(_)) => is_changed || matches!(error, Bad(FileFlaw::KdfLimit(_))),
                (OfSlot::Kind | OfSlot::Fixed | OfSlot::Cost | OfSlot::LenInData, _) => is_malformed,
                // It may be no UTF-8 any more.
                (OfSlot::Provider, _) => is_changed || is_malformed,
                (OfSlot::AnyBytes, _) => is_changed || is_id_twice,
            }
        }
        Place::Sealed => is_tampered,
        Place::Check => unreachable!("it is computed again"),
    }
}

/// How much is tried.
#[derive(Clone, Copy, PartialEq)]
enum Extent {
    /// Where any bytes will do, one bit of each third byte, or of each seventeenth in a long header. Some of the body.
    /// At most two ways to open the file.
    Some,
    All,
}

/// Flips the bits of the header, and opens the file in several ways: first in that of the slot that is changed.
fn assert_flipped_bits_of_the_header_are_told(sample: &Sample, extent: Extent) {
    let Sample { name, file, header_len, .. } = sample;
    let mut flipped = file.clone();
    for bit in 0..header_len * 8 {
        let (at, mask) = (bit / 8, 1 << (bit % 8));
        let place = sample.place(at);
        let is_any_byte = matches!(place, Place::OfSlot(_, OfSlot::AnyBytes) | Place::Sealed | Place::Check);
        let bytes = if *header_len > 4096 { 17 } else { 3 };
        if extent == Extent::Some && is_any_byte && (at % 8 != bit % 8 || at % bytes != 0) {
            continue;
        }
        flipped.copy_from_slice(file);
        flipped[at] ^= mask;
        let error = refusal(&mut flipped, &sample.ways[0]);
        assert!(is_damage(at, &error), "{name}, bit {bit}: {error:?}");
        let first = match place {
            Place::Check => continue,
            Place::OfSlot(number, _) => number,
            _ => at,
        };
        recheck_header(&mut flipped, *header_len);
        let count = if extent == Extent::Some { 2 } else { sample.ways.len() };
        for used in (first..first + sample.ways.len()).take(count).map(|used| used % sample.ways.len()) {
            let way = &sample.ways[used];
            let error = refusal(&mut flipped.clone(), way);
            assert!(is_expected(sample, place, way, &error), "{name}, bit {bit}, {place:?}, slot {used}: {error:?}");
        }
    }
}

/// Flips the bits of the body.
fn assert_flipped_bits_of_the_body_are_tampering(sample: &Sample, extent: Extent) {
    let Sample { name, file, header_len, ways, .. } = sample;
    let bits = header_len * 8..file.len() * 8;
    // Odd, so that it is another place in a byte each time.
    let step = if extent == Extent::Some { (bits.len() / 200) | 1 } else { 1 };
    let mut flipped = file.clone();
    for bit in bits.step_by(step) {
        flipped.copy_from_slice(file);
        flipped[bit / 8] ^= 1 << (bit % 8);
        let error = refusal(&mut flipped, &ways[bit % ways.len()]);
        assert!(matches!(error, Bad(FileFlaw::Tampered)), "{name}, bit {bit}: {error:?}");
    }
}

#[test]
fn some_flipped_bits_of_every_sample_are_classified() {
    for sample in samples() {
        assert_flipped_bits_of_the_header_are_told(&sample, Extent::Some);
        assert_flipped_bits_of_the_body_are_tampering(&sample, Extent::Some);
    }
}

#[test]
#[ignore = "takes minutes: `.ci/campaign damage`"]
fn every_flipped_bit_of_every_sample_is_classified() {
    for sample in samples() {
        assert_flipped_bits_of_the_header_are_told(&sample, Extent::All);
        assert_flipped_bits_of_the_body_are_tampering(&sample, Extent::All);
    }
}

#[test]
fn every_length_but_its_own_is_refused() {
    for Sample { name, mut file, header_len, ways, .. } in samples() {
        let way = &ways[0];
        // Of a long file, not every length of the body.
        let step = if file.len() > 1 << 16 { 61 } else { 1 };
        for len in (0..header_len).chain((header_len..file.len()).step_by(step)) {
            let error = refusal(&mut file[..len], way);
            let is_cut = matches!(error, Bad(FileFlaw::Truncated { found, .. }) if found == length(len));
            assert!(is_cut || (len == 0 && matches!(error, Bad(FileFlaw::Empty))), "{name}, {len} bytes: {error:?}");
        }
        for added in [1, 2, 16, 4096] {
            // Zeros, and less than a head, are what a writer may leave that did not finish.
            for (byte, is_torn) in [(0, true), (1, added < 8)] {
                let mut longer = file.clone();
                longer.resize(file.len() + added, byte);
                match look(&mut longer, way) {
                    Ok(journal) => assert!(is_torn && journal.is_torn() && journal.record_count() == 0, "{name}"),
                    Err(error) => assert!(!is_torn && matches!(error, Bad(FileFlaw::Tampered)), "{name}: {error:?}"),
                }
            }
            // Nor if the header is made to say so.
            let mut longer = file.clone();
            longer.resize(file.len() + added, 0);
            let body_len = longer.len() - header_len;
            let error = refusal_with_body_len(&mut longer, header_len, body_len, way);
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
            let body_len = shorter.len() - header_len;
            let error = refusal_with_body_len(&mut shorter, header_len, body_len, way);
            assert!(matches!(error, Bad(FileFlaw::Tampered)), "{name}: {error:?}");
        }
    }
}

fn refusal_with_body_len(file: &mut [u8], header_len: usize, body_len: usize, way: &Way) -> Refusal {
    file[16..24].copy_from_slice(&length(body_len).to_le_bytes());
    recheck_header(file, header_len);
    refusal(file, way)
}

/// What a key table without a file says to those bytes.
fn refusal_alone(bytes: &[u8]) -> FileFlaw {
    KeyTable::parse_alone(bytes).map(|_| ()).expect_err("it was parsed")
}

#[test]
fn every_damage_to_a_key_table_is_classified() {
    for Sample { name, file, header_len, .. } in samples() {
        let table = &file[BODY_HEADER_LEN..header_len];
        for bit in 0..table.len() * 8 {
            let mut flipped = table.to_vec();
            flipped[bit / 8] ^= 1 << (bit % 8);
            let is_told = match (bit / 8, refusal_alone(&flipped)) {
                (0..8, flaw) => flaw == FileFlaw::NotAKeystore,
                (8..10, flaw) => matches!(flaw, FileFlaw::UnsupportedVersion { .. }),
                (_, flaw) => flaw == FileFlaw::DamagedHeader,
            };
            assert!(is_told, "{name}, bit {bit}");
        }
        for len in 0..table.len() {
            let is_told = match (len, refusal_alone(&table[..len])) {
                (0, flaw) => flaw == FileFlaw::Empty,
                (1..10, flaw) => matches!(flaw, FileFlaw::Truncated { found, .. } if found == length(len)),
                (_, flaw) => flaw == FileFlaw::DamagedHeader,
            };
            assert!(is_told, "{name}, {len} bytes");
            // Who computes the check again.
            if len > 32 + 10 {
                let mut cut = table[..len].to_vec();
                recheck(&mut cut);
                assert!(matches!(refusal_alone(&cut), FileFlaw::Malformed(_)), "{name}, {len} bytes");
            }
        }
        for added in [1, 266, 410] {
            let mut longer = table.to_vec();
            longer.resize(table.len() + added, 0);
            let is_told = match refusal_alone(&longer) {
                // Longer than any.
                FileFlaw::Malformed(_) => longer.len() > *KeyTable::LENGTHS.end(),
                flaw => flaw == FileFlaw::DamagedHeader,
            };
            assert!(is_told, "{name}, {added} more");
            recheck(&mut longer);
            assert!(matches!(refusal_alone(&longer), FileFlaw::Malformed(_)), "{name}, {added} more");
        }
    }
}
