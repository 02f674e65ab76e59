//! What a fuzzer calls: each target is one function of its input, and panics at what must not be. For `fuzz/` and our
//! own tests only: none of it is covered by any promise.
#![allow(missing_docs, clippy::missing_panics_doc, reason = "for nobody else, and made to panic")]
#![expect(
    clippy::arithmetic_side_effects,
    clippy::expect_used,
    clippy::indexing_slicing,
    clippy::panic,
    reason = "it is a test, and fails by panicking"
)]

pub mod model;
mod mutated;
mod operations;
mod typed;

use arbitrary::{Arbitrary, Unstructured};
use ring::digest::{SHA256, digest};

use crate::{
    FileFlaw, Origin, SlotKind, codec,
    format::{self, Header, PROLOGUE_LEN},
};

/// What a target is made of.
fn input<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

/// A header: what is parsed is written as the same bytes again, and keeps every limit.
pub fn header(bytes: &[u8]) {
    let mut file = bytes.to_vec();
    assert_reads_back(&mut file);
    // No fuzzer would hit upon the check, nor write a body of the length that the header tells.
    if recheck(&mut file) {
        let body_len = u64::from_le_bytes(file[16..24].try_into().expect("eight bytes"));
        let len = header_len(&file).and_then(|len| len.checked_add(usize::try_from(body_len).ok()?));
        if let Some(len) = len.filter(|len| *len < 1 << 17) {
            file.resize(len, 0);
        }
        assert_reads_back(&mut file);
    }
}

fn assert_reads_back(file: &mut [u8]) {
    let Ok((header, bytes, body)) = Header::parse(file) else { return };
    assert_eq!(header.encode(), bytes);
    assert_eq!(header.body_len, format::length(body.len()));
    assert!((1..=8).contains(&header.slots.len()));
    let costs = header.slots.iter().filter_map(|slot| match slot.kind {
        SlotKind::Passphrase(kdf) => Some((u64::from(kdf.memory_kib()), u64::from(kdf.passes()), kdf.lanes())),
        _ => None,
    });
    let mut passphrases = 0;
    for (m_kib, t, p) in costs {
        passphrases += 1;
        assert!((7168..=1 << 20).contains(&m_kib) && (35_840..=1 << 21).contains(&(m_kib * t)));
        assert!((1..=16).contains(&t) && (1..=16).contains(&p));
    }
    assert!(passphrases <= 4);
}

fn header_len(file: &[u8]) -> Option<usize> {
    let len = format::header_len(&file[..file.len().min(PROLOGUE_LEN)]).ok()?;
    (len <= file.len()).then_some(len)
}

/// Computes the check anew, if the file has a header of some length.
fn recheck(file: &mut [u8]) -> bool {
    let Some(len) = header_len(file) else { return false };
    let (content, check) = file[..len].split_at_mut(len - 32);
    check.copy_from_slice(digest(&SHA256, content).as_ref());
    true
}

/// A payload, with and without its padding, in a file of the first generation and of a later one: what is decoded is
/// encoded as the same bytes again.
pub fn payload(bytes: &[u8]) {
    for generation in [1, 3] {
        let header = header_of(generation);
        assert_encodes_back(bytes, &header);
        let len = u32::try_from(bytes.len()).expect("less than 4 GiB");
        let mut plaintext = vec![0; codec::padded_len(header.len(), len.into()).expect("less than 4 GiB")];
        plaintext[..4].copy_from_slice(&len.to_le_bytes());
        plaintext[4..4 + bytes.len()].copy_from_slice(bytes);
        assert_encodes_back(&plaintext, &header);
    }
}

fn header_of(generation: u64) -> Header {
    let (body_salt, body_commitment, slots) = ([0; 32], [0; 32], Vec::new());
    Header { store_id: [0; 16], generation, body_len: 0, body_salt, body_commitment, key_id: [0; 8], slots }
}

fn assert_encodes_back(plaintext: &[u8], header: &Header) {
    match codec::decode(plaintext, header, Origin::of("fuzzing")) {
        Ok(contents) => {
            let encoded = codec::Encoding::of(header.len(), &contents).and_then(|encoding| encoding.plaintext());
            assert_eq!(encoded.expect("what was decoded can be encoded"), plaintext);
        }
        Err(FileFlaw::Malformed(_)) => {}
        Err(other) => panic!("{other:?}"),
    }
}

/// A file that is changed field by field, with its check computed anew: it opens only as one that was written so.
pub fn open_mutated(bytes: &[u8]) {
    if let Some(change) = input(bytes) {
        mutated::check(&change);
    }
}

/// Random operations of two handles on one file in that directory, which is emptied first, while the disk fails now and
/// then.
pub fn operations(directory: &std::path::Path, bytes: &[u8]) {
    if let Some(steps) = input(bytes) {
        operations::check(directory, steps);
    }
}

/// A recovery key that is typed in various ways, or anything else: it is read as the key that was written, or refused.
pub fn recovery_key(bytes: &[u8]) {
    if let Some(typed) = input(bytes) {
        typed::check(&typed);
    }
}
