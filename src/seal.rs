//! Keys, and what they seal. Only here is anything encrypted that is kept: `secret.rs` encrypts zeros, to overwrite
//! registers.
//!
//! Every key that encrypts is derived for one plaintext and used once, which is why its nonce can be zero. AES-GCM does
//! not commit to its key: one ciphertext may open under two keys. So the key of a slot, of a body and of a row comes
//! with a commitment, which is compared first. The notes of a key table are bound by the table's mac.

mod record;
mod row;
mod table;

use std::mem;

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest::{Context, SHA256},
    hkdf::{HKDF_SHA256, KeyType},
    hmac,
};
use subtle::ConstantTimeEq;
use zeroize::Zeroizing;

use crate::{
    error::{Error, Result},
    format::{BODY_HEADER_LEN, BodyHeader, Commitment, KeyId, KeyTable, Salt, Slot, StoreId, TAG_LEN, length},
    id::SlotId,
    secret::{Key, SecretBytes, leaving_no_trace, random},
};

pub(crate) use record::{RecordContext, SealedRecord, open_record, record_len, seal_record};
pub(crate) use row::{IndexKey, Indexer, RowContext, open_row, row_key_id, seal_row};
pub(crate) use table::{open_table, seal_table};

const SLOT: &[u8] = b"tokenkeep v1 slot\0";
const SLOT_SALT: &[u8] = b"tokenkeep v1 slot salt\0";
const BODY: &[u8] = b"tokenkeep v1 body\0";
const BODY_SALT: &[u8] = b"tokenkeep v1 body salt\0";
const KEY_ID: &[u8] = b"tokenkeep v1 key id\0";
/// A key that is used once needs no other nonce (RFC 5116, 3.1, asks for one that is distinct for each use of a key).
const NONCE: [u8; 12] = [0; 12];

/// The name of a store key: tells a new key from a new state under the same one.
pub(crate) fn key_id(store_key: &Key) -> Result<KeyId> {
    let mut id = KeyId::default();
    hkdf(&[], store_key.bytes(), &[KEY_ID], &mut id)?;
    Ok(id)
}

/// A salt for a new slot of the key table with that revision.
pub(crate) fn slot_salt(store_key: &Key, revision: u64, slot_id: &SlotId) -> Result<Salt> {
    // Held by `two_slots_of_one_passphrase_have_nothing_in_common`:
    // `hedged_salt(store_key, SLOT_SALT, &[0; 32], revision, &[])`.
    hedged_salt(store_key, SLOT_SALT, &random()?, revision, &slot_id.0)
}

/// A salt that differs for each purpose and count, even where the random bytes repeat.
fn hedged_salt(store_key: &Key, label: &[u8], random: &[u8; 32], count: u64, purpose: &[u8]) -> Result<Salt> {
    // Held by `repeating_generator_repeats_no_salt_for_another_purpose`: `&random` instead of
    // `random, &count.to_le_bytes()`.
    keyed_hash(store_key, label, &[random, &count.to_le_bytes()[..], purpose])
}

/// HMAC-SHA-256 (RFC 2104) under a key that is derived from the store key for this one use.
fn keyed_hash(store_key: &Key, label: &[u8], parts: &[&[u8]]) -> Result<[u8; 32]> {
    let mut key = Key::zeroed();
    hkdf(&[], store_key.bytes(), &[label], key.bytes_mut())?;
    Ok(leaving_no_trace(|| {
        let mut mac = hmac::Context::with_key(&hmac::Key::new(hmac::HMAC_SHA256, key.bytes()));
        parts.iter().for_each(|part| mac.update(part));
        let mut hash = [0; 32];
        hash.copy_from_slice(mac.sign().as_ref());
        hash
    }))
}

/// Puts the store key into a slot, under the key that the slot's own way of unlocking gives.
pub(crate) fn wrap(slot: &mut Slot, store_id: &StoreId, slot_key: &Key, store_key: &Key) -> Result<()> {
    let (key, commitment) = wrapping_key(slot, store_id, &key_id(store_key)?, slot_key)?;
    let (wrapped, tag) = slot.wrapped_key.split_at_mut(Key::LEN);
    wrapped.copy_from_slice(store_key.bytes());
    tag.copy_from_slice(&aead_seal(key.bytes(), NONCE, &[], wrapped)?);
    slot.commitment = commitment;
    Ok(())
}

/// The store key out of a slot of that key table, or `None` if this is not the slot's key.
pub(crate) fn unwrap(slot: &Slot, table: &KeyTable, slot_key: &Key) -> Result<Option<Key>> {
    let (key, commitment) = wrapping_key(slot, &table.store_id, &table.key_id, slot_key)?;
    // Held by `slot_for_two_aes_gcm_keys_opens_with_the_committed_one`.
    if !is_equal(&commitment, &slot.commitment) {
        return Ok(None);
    }
    // Held by `creating_and_opening_leave_nothing`: `Box` instead of `Zeroizing`.
    let mut wrapped = Zeroizing::new(slot.wrapped_key);
    let Some(opened) = aead_open(key.bytes(), NONCE, &[], &mut *wrapped)? else { return Ok(None) };
    let mut store_key = Key::zeroed();
    store_key.bytes_mut().copy_from_slice(opened);
    Ok(Some(store_key))
}

/// Bound to the store key by its id: a slot's key never wraps two store keys under one wrapping key.
fn wrapping_key(slot: &Slot, store_id: &StoreId, key_id: &KeyId, slot_key: &Key) -> Result<(Key, Commitment)> {
    // Held by `slot_opens_with_its_own_key_in_its_own_store_only`, `sample_files_hold_what_their_json_says`: without
    // `store_id,`; without `, &slot.head()`; without `key_id,`.
    derive(&slot.salt, slot_key, &[SLOT, store_id, key_id, &slot.head()])
}

/// A sealed body with its header.
pub(crate) struct Sealed {
    pub(crate) header: BodyHeader,
    /// The header's bytes.
    pub(crate) body_header: Vec<u8>,
    ciphertext: Vec<u8>,
    pub(crate) tag: [u8; TAG_LEN],
}

impl Sealed {
    /// The file, part by part, with the key table that the body was sealed with.
    pub(crate) fn parts<'p>(&'p self, table: &'p [u8]) -> [&'p [u8]; 4] {
        [&self.body_header, table, &self.ciphertext, &self.tag]
    }
}

/// SHA-256 of a plaintext: where random bytes repeat, it keeps the salts of two plaintexts apart.
#[derive(Debug, PartialEq)]
pub(crate) struct PlaintextHash([u8; 32]);

impl PlaintextHash {
    /// Of the parts of a plaintext, one after the other.
    pub(crate) fn of<'p>(parts: impl IntoIterator<Item = &'p [u8]>) -> Self {
        let hash = || {
            let mut hash = Context::new(&SHA256);
            parts.into_iter().for_each(|part| hash.update(part));
            let mut bytes = [0; 32];
            bytes.copy_from_slice(hash.finish().as_ref());
            bytes
        };
        Self(leaving_no_trace(hash))
    }
}

/// Seals a padded plaintext that has that hash.
pub(crate) fn seal(
    store_key: &Key,
    generation: u64,
    table: &[u8],
    plaintext: SecretBytes,
    hash: &PlaintextHash,
) -> Result<Sealed> {
    seal_with(store_key, generation, table, plaintext, hash, &random()?)
}

fn seal_with(
    store_key: &Key,
    generation: u64,
    table: &[u8],
    mut plaintext: SecretBytes,
    hash: &PlaintextHash,
    random: &[u8; 32],
) -> Result<Sealed> {
    let mut header = BodyHeader {
        table_len: table.len(),
        body_len: length(plaintext.len()).saturating_add(length(TAG_LEN)),
        generation,
        // Held by `repeating_generator_seals_other_plaintexts_with_other_keys`: `[]` instead of `hash.0`.
        body_salt: hedged_salt(store_key, BODY_SALT, random, generation, &hash.0)?,
        body_commitment: Commitment::default(),
    };
    let (key, commitment) = body_key(store_key, &header, table)?;
    header.body_commitment = commitment;
    let body_header = header.encode();
    let tag = aead_seal(key.bytes(), NONCE, &[&body_header, table].concat(), &mut plaintext)?;
    // It is ciphertext now, which need not be wiped: that takes as long as to encrypt it.
    Ok(Sealed { header, body_header, ciphertext: mem::take(&mut *plaintext), tag })
}

/// Decrypts a body in place; `None` if body and header are not what was sealed with that key.
pub(crate) fn open<'a>(
    store_key: &Key,
    header: &BodyHeader,
    bytes: &[u8],
    body: &'a mut [u8],
) -> Result<Option<&'a [u8]>> {
    let (key, commitment) = body_key(store_key, header, bytes.get(BODY_HEADER_LEN..).unwrap_or_default())?;
    // Held by `body_for_two_aes_gcm_keys_opens_with_the_committed_one`.
    if !is_equal(&commitment, &header.body_commitment) {
        return Ok(None);
    }
    // Held by `what_was_sealed_opens_with_its_key_and_header_only`:
    // `&[&header.encode(), bytes.get(BODY_HEADER_LEN..).unwrap_or_default()].concat(),` instead of `bytes,`.
    aead_open(key.bytes(), NONCE, bytes, body)
}

fn body_key(store_key: &Key, header: &BodyHeader, table: &[u8]) -> Result<(Key, Commitment)> {
    // Held by `sample_files_hold_what_their_json_says`: without `, &header.hash_without_commitment(table)`.
    derive(&header.body_salt, store_key, &[BODY, &header.hash_without_commitment(table)])
}

fn is_equal(one: &Commitment, other: &Commitment) -> bool {
    one.ct_eq(other).into()
}

/// A key to encrypt with, once, and what commits to it.
fn derive(salt: &Salt, secret: &Key, info: &[&[u8]]) -> Result<(Key, Commitment)> {
    // Held by `creating_and_opening_leave_nothing`: `Box::new([0; 64])`.
    let mut derived = Zeroizing::new([0; 64]);
    hkdf(salt, secret.bytes(), info, &mut *derived)?;
    let (mut key, mut commitment) = (Key::zeroed(), Commitment::default());
    let (first, second) = derived.split_at(Key::LEN);
    key.bytes_mut().copy_from_slice(first);
    commitment.copy_from_slice(second);
    Ok((key, commitment))
}

/// HKDF-SHA-256 (RFC 5869).
fn hkdf(salt: &[u8], secret: &[u8], info: &[&[u8]], out: &mut [u8]) -> Result<()> {
    struct Len(usize);
    impl KeyType for Len {
        fn len(&self) -> usize {
            self.0
        }
    }
    // Fails only for more than 255 hashes of output, and no caller asks for more than two.
    // Held by `core_file_of_a_closed_store_has_no_secrets`: `Ok(()).and_then(|()|` instead of `leaving_no_trace(||`.
    leaving_no_trace(|| {
        ring::hkdf::Salt::new(HKDF_SHA256, salt)
            .extract(secret)
            .expand(info, Len(out.len()))
            .and_then(|okm| okm.fill(out))
            .map_err(|_| Error::internal("HKDF was asked for too long an output"))
    })
}

/// AES-256-GCM (NIST SP 800-38D) in place; returns the tag.
fn aead_seal(key: &[u8], nonce: [u8; 12], aad: &[u8], in_out: &mut [u8]) -> Result<[u8; TAG_LEN]> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    // Held by `core_file_of_a_closed_store_has_no_secrets`: `Ok(()).and_then(|()|` instead of `leaving_no_trace(||`.
    let sealed = leaving_no_trace(|| {
        // SP 800-38D, 5.2.1.1, allows 2^39 - 256 bits under one key and nonce, and the length of a payload has 32 bits.
        let sealed = aead_key(key)?.seal_in_place_separate_tag(nonce, Aad::from(aad), in_out);
        sealed.map_err(|_| Error::internal("a plaintext is too long for AES-GCM"))
    })?;
    let mut tag = [0; TAG_LEN];
    tag.copy_from_slice(sealed.as_ref());
    Ok(tag)
}

/// The reverse of [`aead_seal`], over a ciphertext that its tag follows. `None` if the tag does not verify; nothing of
/// the plaintext is left then.
fn aead_open<'a>(key: &[u8], nonce: [u8; 12], aad: &[u8], in_out: &'a mut [u8]) -> Result<Option<&'a [u8]>> {
    let nonce = Nonce::assume_unique_for_key(nonce);
    // Held by `core_file_of_a_closed_store_has_no_secrets`: `Ok(()).and_then(|()|` instead of `leaving_no_trace(||`.
    let opened = leaving_no_trace(|| Ok(aead_key(key)?.open_in_place(nonce, Aad::from(aad), in_out).ok()))?;
    Ok(opened.map(|plaintext| &*plaintext))
}

fn aead_key(key: &[u8]) -> Result<LessSafeKey> {
    let key = UnboundKey::new(&AES_256_GCM, key);
    key.map(LessSafeKey::new).map_err(|_| Error::internal("a key does not have 32 bytes"))
}

#[cfg(test)]
mod tests;
