//! *Journal*: the journal records after the body.

use super::{
    Alter, JOURNAL_SALT, Payload, SHA256, Value, digest, hex, hkdf, in_place_of_random_bytes, json, length, padded,
    salt, seal, unaltered,
};

/// A journal record that is yet to be sealed. Where a field is `None`, it has what it should have there.
pub(crate) struct JournalRecord {
    pub(crate) payload: Payload,
    /// What the head says; the check is right for it.
    pub(crate) record_len: Option<u32>,
    /// The place that the head's check is for.
    pub(crate) offset: Option<u64>,
    pub(crate) store_key: Option<[u8; 32]>,
    pub(crate) body_commitment: Option<[u8; 32]>,
    pub(crate) tag_before: Option<[u8; 16]>,
    pub(crate) label: &'static str,
    /// Has the associated data.
    pub(crate) alter_head: Alter,
    /// Has the padded plaintext before it is sealed.
    pub(crate) alter_plaintext: Alter,
}

impl JournalRecord {
    pub(crate) fn new(payload: Payload) -> Self {
        Self {
            payload,
            record_len: None,
            offset: None,
            store_key: None,
            body_commitment: None,
            tag_before: None,
            label: "tokenkeep v1 journal record\0",
            alter_head: unaltered(),
            alter_plaintext: unaltered(),
        }
    }

    /// To be appended to the file, as the journal record with that number.
    pub(super) fn seal(
        &self,
        store_key: &[u8; 32],
        commitment: &[u8; 32],
        file: &[u8],
        number: u64,
    ) -> (Vec<u8>, Value) {
        let mut plaintext = padded(&self.payload, 40);
        (self.alter_plaintext)(&mut plaintext);
        let offset = length(file.len());
        let record_len = self.record_len.unwrap_or((40 + plaintext.len() + 16).try_into().unwrap());
        let head = head(record_len, self.offset.unwrap_or(offset));
        let store_key = self.store_key.as_ref().unwrap_or(store_key);
        let random = in_place_of_random_bytes(&[&b"journal record"[..], &number.to_le_bytes()].concat());
        let plaintext_hash = digest(&SHA256, &plaintext);
        let salt = salt(store_key, JOURNAL_SALT, &random, number, plaintext_hash.as_ref());
        let tag_before = self.tag_before.unwrap_or(*file.last_chunk().unwrap());
        let commitment = self.body_commitment.as_ref().unwrap_or(commitment);
        let key = hkdf(&salt, store_key, &[self.label.as_bytes(), commitment, &tag_before].concat(), 32);
        let mut aad = head.to_vec();
        (self.alter_head)(&mut aad);
        let sealed = seal(&key, &aad, &plaintext);
        let values = json!({
            "number": number, "offset": offset, "record_len": record_len, "head": hex(&head), "random": hex(&random),
            "salt": hex(&salt), "tag_before": hex(&tag_before), "record_key": hex(&key),
            "plaintext_hash": hex(plaintext_hash.as_ref()), "payload": hex(&self.payload.bytes()),
            "tag": hex(&sealed[sealed.len() - 16..]),
        });
        ([&head[..], &salt, &sealed].concat(), values)
    }
}

fn head(record_len: u32, offset: u64) -> [u8; 8] {
    let len = record_len.to_le_bytes();
    let check = digest(&SHA256, &[&len[..], &offset.to_le_bytes()].concat());
    [&len, &check.as_ref()[..4]].concat().try_into().unwrap()
}

/// Journal records one after the other from that place on, with the heads that they have to have there.
pub(crate) fn with_heads(mut offset: usize, records: &[&[u8]]) -> Vec<u8> {
    let mut journal = Vec::new();
    for record in records {
        journal.extend(head(record.len().try_into().unwrap(), length(offset)));
        journal.extend(&record[8..]);
        offset += record.len();
    }
    journal
}
