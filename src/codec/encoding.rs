//! Contents on their way to be a plaintext: never twice in memory.

use std::{
    io::{self, Write},
    mem,
};

use bincode::Options;
use serde::Serialize;

#[cfg(any(test, feature = "__fuzzing"))]
use super::Contents;
use super::{Attribute, LENGTH_LEN, Note, Record, SCHEMA, SlotNote, internal, options, padded_len};
use crate::{
    error::{Error, Result},
    format::length,
    secret::Secret,
    token::{Millis, Token},
};

/// A padded plaintext that is yet to be written: the payload's length, the payload, zeros.
pub(crate) struct Encoding<'a> {
    /// The payload up to its first record.
    start: Vec<u8>,
    tokens: Vec<&'a Token>,
    payload_len: u64,
    padded_len: usize,
}

impl<'a> Encoding<'a> {
    /// Whoever keeps the tokens knows their [`records_len`] without a look at each of them. `max_len` bounds the plaintext.
    pub(crate) fn new(
        next_id: u64,
        notes: &[SlotNote],
        tokens: impl Iterator<Item = &'a Token>,
        records_len: u64,
        max_len: u64,
    ) -> Result<Self> {
        let tokens: Vec<_> = tokens.collect();
        let notes: Vec<_> = notes.iter().map(note_of).collect();
        // A list is its length and then its items.
        let start = options(u64::MAX).serialize(&(SCHEMA, next_id, notes, length(tokens.len())));
        let start = start.map_err(|_| unencodable())?;
        let payload_len = length(start.len()).saturating_add(records_len);
        // The length has 32 bits.
        let limit = max_len.min(u32::MAX.into());
        let padded_len = padded_len(payload_len).unwrap_or(usize::MAX);
        if length(padded_len) > limit {
            return Err(Error::TooLarge { what: "the keystore's contents", size: length(padded_len), limit });
        }
        Ok(Self { start, tokens, payload_len, padded_len })
    }

    /// How long the plaintext will be.
    pub(crate) fn len(&self) -> usize {
        self.padded_len
    }

    /// Writes the plaintext over as many zeros, and hands its parts out one after the other, as they are finished.
    pub(crate) fn write<'b>(&self, zeros: &'b mut [u8], finished: impl FnMut(&'b [u8])) -> Result<()> {
        let all = zeros.len();
        let mut room = Room { zeros, written: 0, finished };
        let prefix =
            u32::try_from(self.payload_len).map_err(|_| internal("a payload of more than 4 GiB"))?.to_le_bytes();
        [&prefix[..], &self.start].into_iter().try_for_each(|part| room.write_all(part)).map_err(|_| unencodable())?;
        // Records are made one at a time, and never are all in memory.
        for token in &self.tokens {
            options(u64::MAX).serialize_into(&mut room, &record_of(token)?).map_err(|_| unencodable())?;
        }
        let written = all.saturating_sub(room.zeros.len()).saturating_add(room.written);
        if length(written) != self.payload_len.saturating_add(length(LENGTH_LEN)) {
            return Err(internal("records of another length than they were said to have"));
        }
        room.hand_out(room.zeros.len());
        Ok(())
    }
}

#[cfg(any(test, feature = "__fuzzing"))]
impl<'a> Encoding<'a> {
    pub(crate) fn of(contents: &'a Contents) -> Result<Self> {
        let Contents { next_id, notes, tokens } = contents;
        Self::new(*next_id, notes, tokens.iter(), records_len(tokens), u64::MAX)
    }

    pub(crate) fn plaintext(&self) -> Result<Vec<u8>> {
        let mut plaintext = vec![0; self.len()];
        self.write(&mut plaintext, |_| {}).map(|()| plaintext)
    }
}

/// What the tokens take in a payload, in bytes.
pub(crate) fn records_len<'a>(tokens: impl IntoIterator<Item = &'a Token>) -> u64 {
    // One that cannot be encoded is refused when it is to be.
    let lens = tokens.into_iter().map(|token| record_of(token).and_then(|record| size(&record)).unwrap_or_default());
    lens.fold(0, u64::saturating_add)
}

fn size(part: &impl Serialize) -> Result<u64> {
    options(u64::MAX).serialized_size(part).map_err(|_| unencodable())
}

/// Zeros that are written over from the start on. There are no more of them than there are: bytes that had to be moved for want
/// of room would leave a copy.
struct Room<'b, F> {
    zeros: &'b mut [u8],
    written: usize,
    finished: F,
}

/// What is handed out at once. Whole blocks of SHA-256, which would keep the rest of one in a buffer of its own.
const PART: usize = 64 * 1024;

impl<'b, F: FnMut(&'b [u8])> Room<'b, F> {
    fn hand_out(&mut self, len: usize) {
        let (part, rest) = mem::take(&mut self.zeros).split_at_mut(len);
        (self.zeros, self.written) = (rest, self.written.saturating_sub(len));
        (self.finished)(part);
    }
}

impl<'b, F: FnMut(&'b [u8])> io::Write for Room<'b, F> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.write_all(bytes).map(|()| bytes.len())
    }

    fn write_all(&mut self, bytes: &[u8]) -> io::Result<()> {
        let end = self.written.saturating_add(bytes.len());
        self.zeros.get_mut(self.written..end).ok_or(io::ErrorKind::WriteZero)?.copy_from_slice(bytes);
        self.written = end;
        while self.written >= PART {
            self.hand_out(PART);
        }
        Ok(())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

fn unencodable() -> Error {
    internal("a payload that bincode refuses")
}

fn note_of(note: &SlotNote) -> Note<'_> {
    Note { slot_id: note.slot_id.0, label: &note.label, created_at: note.created_at.get() }
}

fn record_of(token: &Token) -> Result<Record<'_>> {
    fn secret(secret: &Option<Secret>) -> Option<&str> {
        secret.as_ref().map(Secret::expose_secret)
    }
    let fields = token.fields();
    let (Some(id), Some(stored)) = (&fields.id, &fields.stored) else {
        return Err(internal("a token without an id or a revision"));
    };
    Ok(Record {
        namespace: "",
        id: id.as_str(),
        user_name: fields.user_name.as_deref(),
        client_id: fields.client_id.as_deref(),
        client_secret: secret(&fields.client_secret),
        refresh_token: secret(&fields.refresh_token),
        access_token: secret(&fields.access_token),
        grant_token: secret(&fields.grant_token),
        id_token: secret(&fields.id_token),
        expires_at: fields.expires_at.map(Millis::get),
        redirect_url: fields.redirect_url.as_deref(),
        api_domain: fields.api_domain.as_deref(),
        token_type: fields.token_type.as_deref(),
        scopes: fields.scopes.iter().map(String::as_str).collect(),
        attributes: fields
            .attributes
            .iter()
            .map(|(name, value)| Attribute { name, value: value.expose_secret() })
            .collect(),
        created_at: stored.created_at.get(),
        updated_at: stored.updated_at.get(),
        revision: stored.revision,
    })
}

#[cfg(test)]
mod tests;
