//! The records of a journal: each record is sealed under a key that depends on the body and on all records before it.

use super::{NONCE, PlaintextHash, aead_open, aead_seal, hedged_salt, hkdf};
use crate::{
    error::{Error, Result},
    format::{Commitment, RECORD_START_LEN, Record, RecordHead, Salt, TAG_LEN, Tag},
    secret::{Key, SecretBytes, leaving_no_trace, random},
};

pub(super) const RECORD: &[u8] = b"tokenkeep v1 journal record\0";
pub(super) const RECORD_SALT: &[u8] = b"tokenkeep v1 journal record salt\0";

/// The body and the record before a record, from which its key is derived. So a record does not open if it is moved or
/// exchanged, or if a record before it is missing.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RecordContext<'a> {
    pub(crate) body_commitment: &'a Commitment,
    /// The tag of the record before it, or of the body.
    pub(crate) tag_before: &'a Tag,
}

/// A record, ready to be written.
pub(crate) struct SealedRecord {
    head: RecordHead,
    salt: Salt,
    ciphertext: SecretBytes,
    pub(crate) tag: Tag,
}

impl SealedRecord {
    /// The record, part by part.
    pub(crate) fn parts(&self) -> [&[u8]; 4] {
        [self.head.bytes(), &self.salt, &self.ciphertext, &self.tag]
    }

    /// How many bytes it has.
    pub(crate) fn len(&self) -> usize {
        record_len(self.ciphertext.len())
    }
}

/// The length of a record, by the length of its plaintext.
pub(crate) fn record_len(plaintext_len: usize) -> usize {
    plaintext_len.saturating_add(RECORD_START_LEN).saturating_add(TAG_LEN)
}

/// Seals the padded plaintext of the record with that number (1 for the first), which goes to that place in the file.
pub(crate) fn seal_record(
    store_key: &Key,
    context: RecordContext<'_>,
    number: u32,
    offset: u64,
    plaintext: SecretBytes,
) -> Result<SealedRecord> {
    let random = random()?;
    leaving_no_trace(|| seal_record_with(store_key, context, number, offset, plaintext, &random))
}

pub(super) fn seal_record_with(
    store_key: &Key,
    context: RecordContext<'_>,
    number: u32,
    offset: u64,
    plaintext: SecretBytes,
    random: &[u8; 32],
) -> Result<SealedRecord> {
    let hash = PlaintextHash::of([&plaintext[..]]);
    let salt = hedged_salt(store_key, RECORD_SALT, random, number.into(), &hash.0)?;
    let len = u32::try_from(record_len(plaintext.len()));
    let len = len.map_err(|_| Error::internal("a record is too long for its head"))?;
    let head = RecordHead::new(len, offset);
    let mut ciphertext = plaintext;
    let tag = aead_seal(record_key(store_key, context, &salt)?.bytes(), NONCE, head.bytes(), &mut ciphertext)?;
    Ok(SealedRecord { head, salt, ciphertext, tag })
}

/// Decrypts a record in place; `None` if the record was not sealed with that key in that context.
pub(crate) fn open_record<'a>(
    store_key: &Key,
    context: RecordContext<'_>,
    record: Record<'a>,
) -> Result<Option<&'a [u8]>> {
    // The stack is overwritten once for each record, and not after each step: a full journal has hundreds of records.
    leaving_no_trace(|| {
        let key = record_key(store_key, context, &record.salt)?;
        aead_open(key.bytes(), NONCE, record.head.bytes(), record.sealed)
    })
}

fn record_key(store_key: &Key, context: RecordContext<'_>, salt: &Salt) -> Result<Key> {
    let mut key = Key::zeroed();
    hkdf(salt, store_key.bytes(), &[RECORD, context.body_commitment, context.tag_before], key.bytes_mut())?;
    Ok(key)
}
