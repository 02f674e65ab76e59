//! What is stored, as bytes and back: the only file that names bincode.
//!
//! A record borrows its texts, from the tokens when it is written and from the plaintext when it is read: no secret is
//! copied into a buffer that would have to be found and wiped. What was read is held to every rule that what we
//! write keeps.

use std::{
    collections::HashSet,
    io::{self, Write},
    mem,
};

use bincode::Options;
use serde::{Deserialize, Serialize};

use crate::{
    error::{Error, Result},
    format::{BLOCK, length},
    id::{SlotId, TokenId},
    secret::Secret,
    token::{Fields, Millis, Stored, Token},
};

const SCHEMA: u32 = 1;
/// A label of a slot may hold this many bytes.
pub(crate) const MAX_LABEL_LEN: usize = 256;
/// The plaintext starts with the payload's length.
const LENGTH_LEN: usize = 4;

/// Everything the body holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contents {
    /// The number that the next id chosen by the store will be.
    pub(crate) next_id: u64,
    /// One for each slot of the header, in its order.
    pub(crate) notes: Vec<SlotNote>,
    /// In the order first saved.
    pub(crate) tokens: Vec<Token>,
}

/// What is known of a slot that the header does not show.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotNote {
    pub(crate) slot_id: SlotId,
    pub(crate) label: String,
    pub(crate) created_at: Millis,
}

/// All of it as it is read; [`Encoding`] writes the same one part after the other.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct Payload<'a> {
    schema: u32,
    next_id: u64,
    #[serde(borrow)]
    notes: Vec<Note<'a>>,
    #[serde(borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Note<'a> {
    slot_id: [u8; 16],
    label: &'a str,
    created_at: u64,
}

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    /// Empty in this version.
    namespace: &'a str,
    id: &'a str,
    user_name: Option<&'a str>,
    client_id: Option<&'a str>,
    client_secret: Option<&'a str>,
    refresh_token: Option<&'a str>,
    access_token: Option<&'a str>,
    grant_token: Option<&'a str>,
    id_token: Option<&'a str>,
    expires_at: Option<u64>,
    redirect_url: Option<&'a str>,
    api_domain: Option<&'a str>,
    token_type: Option<&'a str>,
    #[serde(borrow)]
    scopes: Vec<&'a str>,
    #[serde(borrow)]
    attributes: Vec<Attribute<'a>>,
    created_at: u64,
    updated_at: u64,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct Attribute<'a> {
    name: &'a str,
    value: &'a str,
}

fn options(limit: u64) -> impl Options {
    bincode::DefaultOptions::new().with_fixint_encoding().reject_trailing_bytes().with_limit(limit)
}

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

/// The contents of a plaintext whose tag has been verified.
pub(crate) fn decode(plaintext: &[u8]) -> Result<Contents> {
    let payload = unpad(plaintext)?;
    let payload: Payload<'_> = options(length(payload.len()))
        .deserialize(payload)
        .map_err(|_| malformed("its payload is not what bincode writes"))?;
    if payload.schema != SCHEMA {
        return Err(malformed("its payload has an unknown schema"));
    }
    let contents = Contents {
        next_id: payload.next_id,
        notes: payload.notes.iter().map(slot_note_of).collect::<Result<_>>()?,
        tokens: payload.records.into_iter().map(token_of).collect::<Result<_>>()?,
    };
    check_together(&contents)?;
    Ok(contents)
}

/// Padmé (Nikitin et al., PETS 2019) of the length and its prefix, rounded up to whole blocks: what a file's size tells
/// of its contents is little.
pub(crate) fn padded_len(payload_len: u64) -> Option<usize> {
    let len = payload_len.checked_add(length(LENGTH_LEN))?;
    // Below its leading bit, 2^exponent, the length keeps as many bits as it takes to write the exponent.
    let exponent = len.checked_ilog2()?;
    let kept = exponent.checked_ilog2()?.checked_add(1)?;
    let step = 1_u64.checked_shl(exponent.checked_sub(kept)?)?;
    let padme = len.checked_next_multiple_of(step)?;
    usize::try_from(padme.checked_next_multiple_of(length(BLOCK))?).ok()
}

fn unpad(plaintext: &[u8]) -> Result<&[u8]> {
    let wrong = || malformed("its plaintext is not padded as its length asks");
    let (len, rest) = plaintext.split_first_chunk::<LENGTH_LEN>().ok_or_else(wrong)?;
    let len = u32::from_le_bytes(*len);
    if padded_len(len.into()) != Some(plaintext.len()) {
        return Err(wrong());
    }
    let (payload, padding) = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len)).ok_or_else(wrong)?;
    if padding.iter().any(|byte| *byte != 0) {
        return Err(wrong());
    }
    Ok(payload)
}

fn note_of(note: &SlotNote) -> Note<'_> {
    Note { slot_id: note.slot_id.0, label: &note.label, created_at: note.created_at.get() }
}

fn slot_note_of(note: &Note<'_>) -> Result<SlotNote> {
    if note.label.len() > MAX_LABEL_LEN {
        return Err(malformed("a slot's label is longer than 256 bytes"));
    }
    Ok(SlotNote { slot_id: SlotId(note.slot_id), label: note.label.to_owned(), created_at: millis(note.created_at)? })
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

fn token_of(record: Record<'_>) -> Result<Token> {
    if !record.namespace.is_empty() {
        return Err(malformed("a token is in an unknown namespace"));
    }
    check_order(&record)?;
    if record.revision == 0 {
        return Err(malformed("a token's revision is zero"));
    }
    let token = Token::from(Fields {
        id: Some(TokenId::from(filled(record.id)?)),
        user_name: text(record.user_name)?,
        client_id: text(record.client_id)?,
        client_secret: text(record.client_secret)?,
        refresh_token: text(record.refresh_token)?,
        access_token: text(record.access_token)?,
        grant_token: text(record.grant_token)?,
        id_token: text(record.id_token)?,
        expires_at: record.expires_at.map(millis).transpose()?,
        redirect_url: text(record.redirect_url)?,
        api_domain: text(record.api_domain)?,
        token_type: text(record.token_type)?,
        scopes: record.scopes.iter().map(|scope| filled(scope).map(str::to_owned)).collect::<Result<_>>()?,
        attributes: record
            .attributes
            .iter()
            .map(|attribute| Ok((filled(attribute.name)?.to_owned(), Secret::from(filled(attribute.value)?))))
            .collect::<Result<_>>()?,
        stored: Some(Stored {
            created_at: millis(record.created_at)?,
            updated_at: millis(record.updated_at)?,
            revision: record.revision,
        }),
    });
    token.check_storable().map_err(|_| malformed("a token could not have been saved"))?;
    Ok(token)
}

fn check_order(record: &Record<'_>) -> Result<()> {
    let mut seen = HashSet::new();
    if !record.scopes.iter().all(|scope| seen.insert(scope)) {
        return Err(malformed("a token has a scope twice"));
    }
    if !record.attributes.is_sorted_by(|one, next| one.name < next.name) {
        return Err(malformed("a token's attributes are out of order"));
    }
    Ok(())
}

/// What tokens must be beside each other.
fn check_together(contents: &Contents) -> Result<()> {
    if !(TokenId::FIRST..=TokenId::LAST + 1).contains(&contents.next_id) {
        return Err(malformed("its next id is out of range"));
    }
    let count = contents.tokens.len();
    let (mut ids, mut user_names) = (HashSet::with_capacity(count), HashSet::with_capacity(count));
    for token in &contents.tokens {
        if !token.id().is_some_and(|id| ids.insert(id)) {
            return Err(malformed("two tokens have one id"));
        }
        if token.user_name().is_some_and(|name| !user_names.insert(name)) {
            return Err(malformed("two tokens have one user name"));
        }
        if token.id().and_then(TokenId::number).is_some_and(|number| number >= contents.next_id) {
            return Err(malformed("a token has an id that is yet to be chosen"));
        }
    }
    Ok(())
}

fn text<'a, T: From<&'a str>>(text: Option<&'a str>) -> Result<Option<T>> {
    text.map(|text| filled(text).map(T::from)).transpose()
}

fn filled(text: &str) -> Result<&str> {
    if text.is_empty() { Err(malformed("an empty text stands where none should")) } else { Ok(text) }
}

fn millis(millis: u64) -> Result<Millis> {
    Millis::new(millis).ok_or(malformed("a time is after the year 9999"))
}

fn internal(what: &'static str) -> Error {
    Error::Internal { what }
}

fn malformed(what: &'static str) -> Error {
    Error::Malformed { what }
}

#[cfg(test)]
mod tests;
