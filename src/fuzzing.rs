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

mod journal;
pub mod model;
mod mutated;
mod operations;
mod rows;
mod tables;
mod typed;

use std::ops::Range;

use arbitrary::{Arbitrary, Unstructured};
use ring::digest::{SHA256, digest};

use crate::{
    FileFlaw, Origin, RecoveryKey, Unlock, codec,
    format::{BLOCK, BODY_HEADER_LEN, BodyHeader, KeyTable, Parts, length},
};

/// What a target is made of.
fn input<'a, T: Arbitrary<'a>>(bytes: &'a [u8]) -> Option<T> {
    T::arbitrary_take_rest(Unstructured::new(bytes)).ok()
}

/// The unlock method with the recovery key of that number.
fn unlock(number: u8) -> Unlock {
    RecoveryKey::of_bytes(&[number; 32]).expect("any bytes are a key").into()
}

/// A header, of body header and key table: what is parsed is written as the same bytes again, and keeps every limit.
pub fn header(bytes: &[u8]) {
    let mut file = bytes.to_vec();
    assert_reads_back(&mut file);
    // No fuzzer would hit upon the checks, nor upon lengths that fit.
    recheck(&mut file);
    assert_reads_back(&mut file);
    if fit(&mut file) {
        assert_reads_back(&mut file);
    }
}

fn assert_reads_back(file: &mut [u8]) {
    let file_len = length(file.len());
    let Ok(Parts { body_header, table, header, body, journal, table_bytes: _ }) = Parts::parse(file) else { return };
    let (start, table_bytes) = header.split_at(BODY_HEADER_LEN);
    assert_eq!(body_header.encode(), start);
    tables::assert_reads_back(&table, table_bytes);
    assert_eq!(body_header.table_len, table_bytes.len());
    assert_eq!(body_header.body_len, length(body.len()));
    assert!(body.len() > 16 && body_header.body_end().is_multiple_of(4096));
    assert_eq!(body_header.body_end() + length(journal.len()), file_len);
    assert!(body_header.generation >= 1);
}

/// Where the key table of a file ends, as its body header tells it.
fn table_of(file: &[u8]) -> Option<Range<usize>> {
    let len = u32::from_le_bytes(*file.get(12..16)?.first_chunk()?);
    let end = BODY_HEADER_LEN.checked_add(usize::try_from(len).ok()?)?;
    (end <= file.len()).then_some(BODY_HEADER_LEN..end)
}

/// Computes the checks again, where the file has any.
fn recheck(file: &mut [u8]) {
    if let Some(header) = file.get_mut(..BODY_HEADER_LEN) {
        recheck_part(header);
    }
    if let Some(table) = table_of(file) {
        recheck_part(&mut file[table]);
    }
}

/// Computes the check again that ends these bytes.
fn recheck_part(part: &mut [u8]) {
    if let Some((content, check)) = part.split_last_chunk_mut::<32>() {
        check.copy_from_slice(digest(&SHA256, content).as_ref());
    }
}

/// Makes the lengths what the key slots ask for, and the file as long, if it starts like a file.
fn fit(file: &mut Vec<u8>) -> bool {
    let Some(table_len) = file.get(BODY_HEADER_LEN..).and_then(tables::len) else { return false };
    let header_len = BODY_HEADER_LEN + table_len;
    let file_len = file.len().max(header_len + 17).next_multiple_of(BLOCK);
    file.resize(file_len, 0);
    file[12..16].copy_from_slice(&u32::try_from(table_len).expect("a short table").to_le_bytes());
    file[16..24].copy_from_slice(&length(file_len - header_len).to_le_bytes());
    recheck(file);
    true
}

/// A key table without a file: what is parsed is written as the same bytes again, and keeps every limit. Nothing opens
/// that was not sealed, and a holder of the store key can write nothing that is read otherwise than it was meant.
pub fn key_table(bytes: &[u8]) {
    tables::check(bytes);
}

/// A payload, with and without its padding, in a file of the first generation and of a later one: what is decoded is
/// encoded as the same bytes again.
pub fn payload(bytes: &[u8]) {
    for generation in [1, 3] {
        let header = BodyHeader::without_body(generation, *KeyTable::LENGTHS.start());
        assert_encodes_back(bytes, &header);
        let len = u32::try_from(bytes.len()).expect("less than 4 GiB");
        let padded_len = codec::padded_len(header.header_len(), len.into()).expect("less than 4 GiB");
        assert_encodes_back(&padded(bytes, padded_len), &header);
    }
}

/// The length, the bytes, and zeros.
fn padded(bytes: &[u8], len: usize) -> Vec<u8> {
    let mut plaintext = u32::try_from(bytes.len()).expect("less than 4 GiB").to_le_bytes().to_vec();
    plaintext.extend_from_slice(bytes);
    plaintext.resize(len, 0);
    plaintext
}

fn assert_encodes_back(plaintext: &[u8], header: &BodyHeader) {
    match codec::decode(plaintext, header, Origin::of("fuzzing")) {
        Ok(contents) => {
            let encoded = codec::Encoding::of(header.header_len(), &contents);
            let encoded = encoded.and_then(|encoding| encoding.plaintext());
            assert_eq!(encoded.expect("what was decoded can be encoded"), plaintext);
        }
        Err(FileFlaw::Malformed(_)) => {}
        Err(other) => panic!("{other:?}"),
    }
}

/// The rows of a journal's record, with and without their padding: what is decoded is encoded as the same bytes again,
/// and is put beside other rows or refused.
pub fn journal_record(bytes: &[u8]) {
    journal::check(bytes);
}

/// The record of a sealed row, with and without its padding: what is decoded is encoded as the same bytes again, and
/// comes back out of a row that it is sealed into.
pub fn record(bytes: &[u8]) {
    rows::check_record(bytes);
}

/// A sealed row that is changed, or what stands beside it: it opens only as one that was sealed so.
pub fn open_row(bytes: &[u8]) {
    if let Some(change) = input(bytes) {
        rows::check(&change);
    }
}

/// A file that is changed field by field, with its checks computed again: it opens only as one that was written so, or
/// as what one was before records that the change has torn.
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
