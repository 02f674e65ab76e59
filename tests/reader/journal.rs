//! *Journal*: the journal records after the body.

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use super::{
    Contents, MALFORMED, Payload, Result, TAMPERED, ensure, hkdf, padded_len, seal, split, u32_at, unpad, unseal,
};

const BLOCK: usize = 4096;
const SECTOR: usize = 512;
const HEAD: usize = 8;
const START: usize = 40;

/// *Layout of a journal record.*
pub(super) struct JournalRecord<'a> {
    head: &'a [u8],
    pub(super) salt: &'a [u8],
    sealed: &'a [u8],
    body_commitment: &'a [u8],
    tag_before: &'a [u8],
}

impl JournalRecord<'_> {
    pub(super) fn key(&self, store_key: &[u8]) -> Vec<u8> {
        let info = [b"tokenkeep v1 journal record\0", self.body_commitment, self.tag_before].concat();
        hkdf(self.salt, store_key, &info, 32)
    }

    fn tag(&self) -> &[u8] {
        &self.sealed[self.sealed.len() - 16..]
    }

    fn open(&self, store_key: &[u8]) -> Option<Vec<u8>> {
        unseal(&self.key(store_key), self.head, self.sealed)
    }

    pub(super) fn payload(&self, store_key: &[u8]) -> Option<Vec<u8>> {
        unpad(&self.open(store_key)?, |l| padded_len(START, l))
    }
}

/// The record_len of the head at that place, if that is valid.
fn record_len(file: &[u8], offset: usize) -> Option<usize> {
    let head = file.get(offset..offset + HEAD)?;
    let offset = u64::try_from(offset).unwrap().to_le_bytes();
    let is_right = digest(&SHA256, &[&head[..4], &offset].concat()).as_ref()[..4] == head[4..];
    let len = usize::try_from(u32_at(head, 0)).unwrap();
    (is_right && len > 0 && len.is_multiple_of(BLOCK)).then_some(len)
}

/// The journal record at that place, if there is a whole one. Nobody has opened it yet.
fn record_at<'a>(file: &'a [u8], offset: usize, tag_before: &'a [u8]) -> Option<JournalRecord<'a>> {
    let record = file.get(offset..offset + record_len(file, offset)?)?;
    let (start, sealed) = record.split_at(START);
    let (head, salt) = start.split_at(HEAD);
    Some(JournalRecord { head, salt, sealed, body_commitment: &file[72..104], tag_before })
}

/// All whole journal records, as their heads say.
pub(super) fn records(file: &[u8]) -> Vec<JournalRecord<'_>> {
    let (header, body, _) = split(file);
    // A key table without a body has none.
    let Some(mut tag_before) = body.last_chunk::<16>().map(|tag| &tag[..]) else { return Vec::new() };
    let (mut offset, mut records) = (header.len() + body.len(), Vec::new());
    while let Some(record) = record_at(file, offset, tag_before) {
        offset += START + record.sealed.len();
        tag_before = &file[offset - 16..offset];
        records.push(record);
    }
    records
}

/// The file with another payload in its last journal record.
pub(super) fn with_last_record(file: &[u8], store_key: &[u8], change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let records = records(file);
    let last = records.last().unwrap();
    let mut plaintext = last.open(store_key).unwrap();
    let padded_len = plaintext.len();
    let mut payload = unpad(&plaintext, |_| padded_len).unwrap();
    change(&mut payload);
    plaintext = [&u32::try_from(payload.len()).unwrap().to_le_bytes()[..], &payload].concat();
    assert!(plaintext.len() <= padded_len);
    plaintext.resize(padded_len, 0);
    seal(&last.key(store_key), last.head, &mut plaintext);
    [&file[..file.len() - last.sealed.len()], &plaintext].concat()
}

/// *Lineage*: the starts of the tags of the last journal records.
pub(super) fn record_tags(file: &[u8]) -> Vec<[u8; 8]> {
    let records = records(file);
    records.iter().skip(records.len().saturating_sub(256)).map(|record| *record.tag().first_chunk().unwrap()).collect()
}

/// *Reading the journal*: applies each journal record. What the JSON files have of the journal.
pub(super) fn apply(file: &[u8], store_key: &[u8], contents: &mut Contents) -> Result<Value> {
    let (header, body, _) = split(file);
    let body_end = header.len() + body.len();
    let (mut offset, mut tag_before, mut count) = (body_end, &body[body.len() - 16..], 0);
    while offset < file.len() {
        let record = record_at(file, offset, tag_before);
        let opened = record.as_ref().and_then(|record| record.open(store_key));
        let (Some(record), Some(plaintext)) = (record, opened) else {
            ensure(is_torn(file, offset), TAMPERED)?;
            break;
        };
        let payload = unpad(&plaintext, |l| padded_len(START, l)).ok_or(MALFORMED)?;
        let (next_id, records) = Payload::of(&payload).changed().ok_or(MALFORMED)?;
        contents.put(next_id, records).ok_or(MALFORMED)?;
        offset += START + record.sealed.len();
        tag_before = &file[offset - 16..offset];
        count += 1;
    }
    Ok(json!({"records": count, "length": offset - body_end, "torn": offset < file.len()}))
}

/// Of a place with no journal record.
fn is_torn(file: &[u8], offset: usize) -> bool {
    let has_later_head = (offset + BLOCK..file.len()).step_by(BLOCK).any(|at| record_len(file, at).is_some());
    let is_unwritten = match (file.get(offset..offset + HEAD), record_len(file, offset)) {
        (None, _) => true,
        (Some(head), None) => *head == [0; HEAD],
        (Some(_), Some(len)) => match file.get(offset..offset + len) {
            None => true,
            Some(record) => record.chunks(SECTOR).any(|sector| sector.iter().all(|byte| *byte == 0)),
        },
    };
    is_unwritten && !has_later_head
}
