//! Writes contents as one plaintext, without a second copy of it.

use std::{
    io::{self, Write},
    mem,
    sync::mpsc::Sender,
};

use bincode::Options;
use serde::Serialize;

#[cfg(any(test, feature = "__fuzzing"))]
use super::Contents;
use super::{Ancestor, Attribute, LENGTH_LEN, Record, SCHEMA, options, padded_len, padded_row_len};
use crate::{
    error::{Error, Result},
    format::{Mark, length},
    secret::{Secret, SecretBytes},
    time::Millis,
    token::{Fields, Stored, Token},
};

/// A padded plaintext that is yet to be written: the payload's length, the payload, zeros.
pub(crate) struct Encoding<'a> {
    /// The payload up to its first record.
    start: Vec<u8>,
    /// Each with the name of its namespace.
    tokens: Vec<(&'a str, &'a Token)>,
    payload_len: u64,
    padded_len: usize,
}

/// What a payload has before its records.
#[derive(Clone, Copy)]
pub(crate) struct Prelude<'a> {
    pub(crate) next_id: u64,
    pub(crate) ancestors: &'a [Mark],
    pub(crate) record_tags: &'a [[u8; 8]],
}

/// The length in bytes of the start of a payload without the items of its lists: the schema, the next id, and the
/// lengths of three lists.
const START_LEN: u64 = 36;
/// The length of an ancestor in a payload.
const ANCESTOR_LEN: u64 = 20;
/// The length of a listed start of a tag.
const LISTED_TAG_LEN: u64 = 8;

/// The length of a payload with that many ancestors and tags, and with records of that total length.
fn payload_len(ancestor_count: usize, record_tag_count: usize, records_len: u64) -> u64 {
    let ancestors = length(ancestor_count).saturating_mul(ANCESTOR_LEN);
    let record_tags = length(record_tag_count).saturating_mul(LISTED_TAG_LEN);
    [ancestors, record_tags, records_len].into_iter().fold(START_LEN, u64::saturating_add)
}

/// The length of the padded plaintext of such a payload after a header of that length. It is `usize::MAX` if the
/// plaintext is too long to be counted.
pub(crate) fn plaintext_len(
    header_len: usize,
    ancestor_count: usize,
    record_tag_count: usize,
    records_len: u64,
) -> usize {
    let payload_len = payload_len(ancestor_count, record_tag_count, records_len);
    // Held by `the_length_of_a_plaintext_is_known_before_it_is_made`: `0` instead of `usize::MAX`.
    padded_len(header_len, payload_len).unwrap_or(usize::MAX)
}

impl<'a> Encoding<'a> {
    /// The plaintext after a header of that length. The tokens come with the names of their namespaces, in the order of
    /// the names. The caller keeps the [`records_len`] of the tokens, so that nobody has to look at each of them.
    pub(crate) fn new(
        header_len: usize,
        prelude: Prelude<'_>,
        tokens: impl Iterator<Item = (&'a str, &'a Token)>,
        records_len: u64,
    ) -> Result<Self> {
        let Prelude { next_id, ancestors, record_tags } = prelude;
        let tokens: Vec<_> = tokens.collect();
        let ancestors: Vec<_> = ancestors.iter().map(ancestor_of).collect();
        // A list is its length and then its items.
        let start = (SCHEMA, next_id, &ancestors, record_tags, length(tokens.len()));
        let start = options(u64::MAX).serialize(&start);
        let start = start.map_err(|_| unencodable())?;
        let payload_len = payload_len(ancestors.len(), record_tags.len(), records_len);
        let padded_len = plaintext_len(header_len, ancestors.len(), record_tags.len(), records_len);
        Ok(Self { start, tokens, payload_len, padded_len })
    }

    /// How long the plaintext will be: the largest number if it is too long to be counted.
    pub(crate) fn len(&self) -> usize {
        self.padded_len
    }

    /// Writes the plaintext over as many zeros. Sends its parts, in order, as they are finished, and hangs up.
    pub(crate) fn write<'b>(&self, zeros: &'b mut [u8], finished: Option<Sender<&'b [u8]>>) -> Result<()> {
        let all = zeros.len();
        let mut room = Room { zeros, written: 0, finished };
        let prefix =
            u32::try_from(self.payload_len).map_err(|_| Error::internal("a payload of more than 4 GiB"))?.to_le_bytes();
        [&prefix[..], &self.start].into_iter().try_for_each(|part| room.write_all(part)).map_err(|_| unencodable())?;
        // Records are made one at a time, and never are all in memory.
        for (namespace, token) in &self.tokens {
            options(u64::MAX).serialize_into(&mut room, &record_of(namespace, token)?).map_err(|_| unencodable())?;
        }
        let written = all.saturating_sub(room.zeros.len()).saturating_add(room.written);
        // Held by `record_of_a_wrong_length_is_not_encoded`.
        if length(written) != self.payload_len.saturating_add(length(LENGTH_LEN)) {
            return Err(Error::internal("a payload of another length than was computed for it"));
        }
        // Held by `parts_are_handed_out_in_order_and_are_all_of_the_plaintext`.
        room.send(room.zeros.len());
        Ok(())
    }
}

#[cfg(any(test, feature = "__fuzzing"))]
impl<'a> Encoding<'a> {
    pub(crate) fn of(header_len: usize, contents: &'a Contents) -> Result<Self> {
        let Contents { next_id, ancestors, record_tags, tokens } = contents;
        let len = tokens.iter().map(|(name, tokens)| records_len(name, tokens)).sum();
        let tokens = tokens.iter().flat_map(|(name, tokens)| tokens.iter().map(move |token| (&**name, token)));
        Self::new(header_len, Prelude { next_id: *next_id, ancestors, record_tags }, tokens, len)
    }

    pub(crate) fn plaintext(&self) -> Result<Vec<u8>> {
        let mut plaintext = vec![0; self.len()];
        self.write(&mut plaintext, None).map(|()| plaintext)
    }
}

/// What the tokens of a namespace take in a payload, in bytes.
pub(crate) fn records_len<'a>(namespace: &str, tokens: impl IntoIterator<Item = &'a Token>) -> u64 {
    // One that cannot be encoded is refused when it is to be.
    let len = |token| record_of(namespace, token).and_then(|record| size(&record)).unwrap_or_default();
    let lens = tokens.into_iter().map(len);
    lens.fold(0, u64::saturating_add)
}

/// The padded plaintext of a row.
pub(super) fn row(namespace: &str, token: &Token) -> Result<SecretBytes> {
    let record = record_of(namespace, token)?;
    let len = size(&record)?;
    let prefix = u32::try_from(len).map_err(|_| unencodable())?.to_le_bytes();
    // As long from the start as it gets, because reallocating would leave secrets behind.
    let mut plaintext = SecretBytes::new(vec![0; padded_row_len(len).ok_or_else(unencodable)?]);
    let mut room = &mut plaintext[..];
    room.write_all(&prefix).map_err(|_| unencodable())?;
    options(u64::MAX).serialize_into(room, &record).map_err(|_| unencodable())?;
    Ok(plaintext)
}

fn size(part: &impl Serialize) -> Result<u64> {
    options(u64::MAX).serialized_size(part).map_err(|_| unencodable())
}

/// Zeros that are filled from the front. Their number never grows, because moving them would leave a copy of the
/// plaintext behind.
struct Room<'b> {
    zeros: &'b mut [u8],
    written: usize,
    /// Who wants to have the parts.
    finished: Option<Sender<&'b [u8]>>,
}

/// What is sent at once. Whole blocks of SHA-256, which would keep the rest of one in a buffer of its own.
const PART: usize = 64 * 1024;

impl Room<'_> {
    fn send(&mut self, len: usize) {
        let (part, rest) = mem::take(&mut self.zeros).split_at_mut(len);
        (self.zeros, self.written) = (rest, self.written.saturating_sub(len));
        if let Some(finished) = &self.finished {
            // Nobody may be there, for want of a thread.
            let _ = finished.send(part);
        }
    }
}

impl io::Write for Room<'_> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.written.saturating_add(bytes.len());
        self.zeros.get_mut(self.written..end).ok_or(io::ErrorKind::WriteZero)?.copy_from_slice(bytes);
        self.written = end;
        while self.written >= PART {
            self.send(PART);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

pub(super) fn unencodable() -> Error {
    Error::internal("a payload that bincode refuses")
}

fn ancestor_of(mark: &Mark) -> Ancestor {
    let Mark { salt, record_count, tag } = *mark;
    Ancestor { salt, record_count, tag }
}

pub(super) fn record_of<'a>(namespace: &'a str, token: &'a Token) -> Result<Record<'a>> {
    fn secret(secret: &Option<Secret>) -> Option<&str> {
        secret.as_ref().map(Secret::expose_secret)
    }
    let Fields {
        id,
        user_name,
        client_id,
        client_secret,
        refresh_token,
        access_token,
        grant_token,
        id_token,
        expires_at,
        received_at,
        refresh_expires_at,
        rejected_at,
        retry_at,
        failed_refreshes,
        redirect_url,
        api_domain,
        token_type,
        scopes,
        attributes,
        stored,
    } = token.fields();
    let (Some(id), Some(Stored { origin: _, created_at, updated_at, revision })) = (id, stored) else {
        return Err(Error::internal("a token has no id or no revision"));
    };
    Ok(Record {
        namespace,
        id: id.as_str(),
        user_name: user_name.as_deref(),
        client_id: client_id.as_deref(),
        client_secret: secret(client_secret),
        refresh_token: secret(refresh_token),
        access_token: secret(access_token),
        grant_token: secret(grant_token),
        id_token: secret(id_token),
        expires_at: expires_at.at().map(Millis::get),
        received_at: received_at.map(Millis::get),
        refresh_expires_at: refresh_expires_at.map(Millis::get),
        rejected_at: rejected_at.map(Millis::get),
        retry_at: retry_at.map(Millis::get),
        failures: *failed_refreshes,
        redirect_url: redirect_url.as_deref(),
        api_domain: api_domain.as_deref(),
        token_type: token_type.as_deref(),
        scopes: scopes.iter().map(String::as_str).collect(),
        attributes: attributes.iter().map(|(name, value)| Attribute { name, value: value.expose_secret() }).collect(),
        created_at: created_at.get(),
        updated_at: updated_at.get(),
        revision: *revision,
    })
}

#[cfg(test)]
mod tests;
