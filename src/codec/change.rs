//! The contents of a journal's record: the rows that a commit has put.

use std::{collections::BTreeMap, io::Write};

use bincode::Options;
use serde::Deserialize;

use super::{
    LENGTH_LEN, Record, Result, by_namespace,
    encoding::{record_of, unencodable},
    malformed, options, padded_len, unpad,
};
use crate::{
    format::{RECORD_START_LEN, length},
    id::Origin,
    secret::SecretBytes,
    token::Token,
};

/// The rows that a commit has put, and the number of the next id after it.
#[derive(Debug)]
pub(crate) struct ChangedRows {
    pub(crate) next_id: u64,
    /// By namespace. A row replaces the row of its id, or is new and comes after all others of its namespace.
    pub(crate) rows: BTreeMap<Box<str>, Vec<Token>>,
}

/// The payload of a record, as it is read. [`encode_change`] writes the same bytes part by part.
#[derive(Deserialize)]
struct Payload<'a> {
    next_id: u64,
    #[serde(borrow)]
    records: Vec<Record<'a>>,
}

/// What a payload has before its records: the next id, and the number of the records.
const START_LEN: u64 = 16;

/// The length of the padded plaintext of rows that take that many bytes; `None` if that is too long to be counted.
pub(crate) fn record_plaintext_len(records_len: u64) -> Option<usize> {
    padded_len(RECORD_START_LEN, records_len.checked_add(START_LEN)?)
}

/// The padded plaintext of rows, each with the name of its namespace, in the order of the names. `records_len` is the
/// number of bytes that the rows take in a payload.
pub(crate) fn encode_change<'a>(
    next_id: u64,
    rows: impl ExactSizeIterator<Item = (&'a str, &'a Token)>,
    records_len: u64,
) -> crate::error::Result<SecretBytes> {
    let payload_len = records_len.saturating_add(START_LEN);
    let prefix = u32::try_from(payload_len).map_err(|_| unencodable())?.to_le_bytes();
    let padded_len = record_plaintext_len(records_len).ok_or_else(unencodable)?;
    // The buffer has its full length from the start, because reallocating would leave secrets behind.
    let mut plaintext = SecretBytes::new(vec![0; padded_len]);
    let mut room = &mut plaintext[..];
    let start = options(u64::MAX).serialize(&(next_id, length(rows.len()))).map_err(|_| unencodable())?;
    [&prefix[..], &start].into_iter().try_for_each(|part| room.write_all(part)).map_err(|_| unencodable())?;
    for (namespace, token) in rows {
        options(u64::MAX).serialize_into(&mut room, &record_of(namespace, token)?).map_err(|_| unencodable())?;
    }
    let written = padded_len.saturating_sub(room.len());
    if length(written) != payload_len.saturating_add(length(LENGTH_LEN)) {
        return Err(crate::error::Error::internal("the rows do not have the length that was computed for them"));
    }
    Ok(plaintext)
}

/// The rows of a plaintext whose tag has been verified. The tokens carry revisions of their namespaces in that store.
pub(crate) fn decode_change(plaintext: &[u8], store: Origin) -> Result<ChangedRows> {
    let payload = unpad(plaintext, |len| padded_len(RECORD_START_LEN, len))?;
    let payload: Payload<'_> = options(length(payload.len()))
        .deserialize(payload)
        .map_err(|_| malformed("a record of its journal is not what bincode writes"))?;
    if payload.records.is_empty() {
        return Err(malformed("a record of its journal has no rows"));
    }
    Ok(ChangedRows { next_id: payload.next_id, rows: by_namespace(payload.records, store)? })
}
