//! The notes and the mac of a key table.

use ring::digest::{SHA256, digest};

use super::{NONCE, aead_open, aead_seal, hedged_salt, hkdf, is_equal, key_id, keyed_hash};
use crate::{
    error::{FileFlaw, Result},
    format::{KeyTable, Mac, Salt, TAG_LEN},
    secret::{Key, SecretBytes, leaving_no_trace, random},
};

pub(super) const NOTES: &[u8] = b"tokenkeep v1 notes\0";
pub(super) const NOTES_SALT: &[u8] = b"tokenkeep v1 notes salt\0";
pub(super) const TABLE: &[u8] = b"tokenkeep v1 key table\0";

/// Seals the notes on the slots of a key table into it, and finishes it.
pub(crate) fn seal_table(store_key: &Key, table: &mut KeyTable, notes: SecretBytes) -> Result<()> {
    seal_table_with(store_key, table, notes, &random()?)
}

pub(super) fn seal_table_with(
    store_key: &Key,
    table: &mut KeyTable,
    mut notes: SecretBytes,
    random: &[u8; 32],
) -> Result<()> {
    let hash = leaving_no_trace(|| digest(&SHA256, &notes));
    // Held by `repeating_generator_gives_other_notes_other_salts`: `&[]` instead of `hash.as_ref()`.
    table.notes_salt = hedged_salt(store_key, NOTES_SALT, random, table.revision, hash.as_ref())?;
    let key = notes_key(store_key, &table.notes_salt, &table.bytes_before_notes())?;
    let tag = aead_seal(key.bytes(), NONCE, &[], &mut notes)?;
    table.sealed_notes = [&notes[..], &tag].concat();
    table.mac = mac(store_key, table)?;
    Ok(())
}

/// The notes in a key table, once the table is seen to be authentic under that store key.
pub(crate) fn open_table(store_key: &Key, table: &KeyTable) -> Result<Result<SecretBytes, FileFlaw>> {
    // Held by `every_field_of_a_key_table_is_authenticated`, `key_table_opens_with_its_own_store_key_only`.
    if !is_equal(&mac(store_key, table)?, &table.mac) {
        return Ok(Err(FileFlaw::Tampered));
    }
    // Held by `notes_that_do_not_open_and_a_wrong_key_id_are_malformed`.
    if table.key_id != key_id(store_key)? {
        return Ok(Err(FileFlaw::malformed("its key id does not match its key")));
    }
    let key = notes_key(store_key, &table.notes_salt, &table.bytes_before_notes())?;
    let mut notes = SecretBytes::new(table.sealed_notes.clone());
    if aead_open(key.bytes(), NONCE, &[], &mut notes)?.is_none() {
        return Ok(Err(FileFlaw::malformed("the notes on its key slots do not open")));
    }
    notes.truncate(table.sealed_notes.len().saturating_sub(TAG_LEN));
    Ok(Ok(notes))
}

fn notes_key(store_key: &Key, salt: &Salt, bytes_before: &[u8]) -> Result<Key> {
    let mut key = Key::zeroed();
    // Held by `notes_that_do_not_open_and_a_wrong_key_id_are_malformed`: without
    // `, digest(&SHA256, bytes_before).as_ref()`.
    hkdf(salt, store_key.bytes(), &[NOTES, digest(&SHA256, bytes_before).as_ref()], key.bytes_mut())?;
    Ok(key)
}

pub(super) fn mac(store_key: &Key, table: &KeyTable) -> Result<Mac> {
    keyed_hash(store_key, TABLE, &[&table.bytes_before_mac()])
}
