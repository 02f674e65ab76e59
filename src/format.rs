//! The layout of the file: body header, key table, body, journal. `docs/format.md` is its specification.
//!
//! Everything here works on bytes that nobody has authenticated: every size and cost is held to its limit before
//! anything is allocated, derived or decrypted for it.
//!
//! # When a file is cut or damaged
//!
//! [`Parts::parse`] needs no key. It refuses a file that does not start as a keystore does (`Empty`, `NotAKeystore`,
//! `UnsupportedVersion`), a file whose body header or key table does not have its checksum (`DamagedHeader`), a file
//! that is shorter than its body header says (`Truncated`), and a layout that the rules do not allow. What follows the
//! body is the journal (`journal.rs`). The body has no checksum. With the key, the key table (`seal/table.rs`), the
//! header and the body (`seal.rs`) are authenticated: a change of any of them is `Tampered`, by accident or not. A
//! changed slot may also show as a wrong secret. Then the records are checked against their rules (`Malformed`,
//! `codec.rs`). Each of these is the flaw of an [`Error::BadFile`](crate::Error::BadFile).

mod journal;
mod key_table;
mod lock_name;
mod note;

use std::ops::Range;

use ring::digest::{Context, SHA256, digest};

use crate::error::FileFlaw;
pub(crate) use journal::{
    JournalLayout, MAX_RECORD_TAGS, NextRecord, RECORD_START_LEN, Record, RecordHead, Tag, Unverified,
    check_without_key,
};
pub(crate) use key_table::{ExternalData, KeyTable, Slot};
pub(crate) use lock_name::lock_name;
pub(crate) use note::{MAX_LABEL_LEN, SlotNote, decode_notes, encode_notes};

/// A reason not to use the file. The caller knows the path.
type Result<T> = std::result::Result<T, FileFlaw>;

/// PNG's way: not text, and damaged visibly by a transfer that rewrites line ends.
const MAGIC: [u8; 8] = *b"\x89TKP\r\n\x1a\n";
pub(crate) const VERSION: u16 = 1;
/// The body header is what a file starts with.
pub(crate) const BODY_HEADER_LEN: usize = 136;
const BODY_COMMITMENT: Range<usize> = 72..104;
const CHECK_LEN: usize = 32;
pub(crate) const TAG_LEN: usize = 16;
/// A file is padded to a multiple of this.
pub(crate) const BLOCK: usize = 4096;
/// The longest list of ancestors.
pub(crate) const MAX_ANCESTORS: usize = 64;

pub(crate) type StoreId = [u8; 16];
pub(crate) type Salt = [u8; 32];
pub(crate) type Commitment = [u8; 32];
pub(crate) type KeyId = [u8; 8];
pub(crate) type Mac = [u8; 32];

/// What belongs to one state of a file: how its body is sealed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct BodyHeader {
    /// The length of the key table that follows.
    pub(crate) table_len: usize,
    pub(crate) body_len: u64,
    pub(crate) generation: u64,
    pub(crate) body_salt: Salt,
    pub(crate) body_commitment: Commitment,
}

/// What tells one state of a store from any other.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct Mark {
    /// The start of the salt of its body.
    pub(crate) salt: [u8; 8],
    /// How many records of a journal follow the body.
    pub(crate) record_count: u32,
    /// The start of the tag of the last record, or of the body if there is no record.
    pub(crate) tag: [u8; 8],
}

/// A whole file, taken apart.
#[derive(Debug)]
pub(crate) struct Parts<'a> {
    pub(crate) body_header: BodyHeader,
    pub(crate) table: KeyTable,
    /// The key table as it stands in the file.
    pub(crate) table_bytes: &'a [u8],
    /// Body header and key table as they stand in the file.
    pub(crate) header: &'a [u8],
    pub(crate) body: &'a mut [u8],
    /// What follows the body.
    pub(crate) journal: &'a mut [u8],
}

impl<'a> Parts<'a> {
    pub(crate) fn parse(file: &'a mut [u8]) -> Result<Self> {
        let body_header = BodyHeader::parse(file.get(..BODY_HEADER_LEN).unwrap_or(file))?;
        let (file_len, header_len) = (file.len(), body_header.header_len());
        let (header, body) = file.split_at_mut_checked(header_len).ok_or_else(|| truncated(header_len, file_len))?;
        let header: &[u8] = header;
        let table_bytes = header.get(BODY_HEADER_LEN..).unwrap_or_default();
        let table = KeyTable::parse(table_bytes)?;
        let expected = body_header.body_end();
        // Held by `every_cut_is_noticed`, `every_length_but_its_own_is_refused`.
        if length(file_len) < expected {
            return Err(FileFlaw::Truncated { expected, found: length(file_len) });
        }
        let body_len = usize::try_from(body_header.body_len).unwrap_or(usize::MAX).min(body.len());
        let (body, journal) = body.split_at_mut(body_len);
        Ok(Self { body_header, table, table_bytes, header, body, journal })
    }
}

impl BodyHeader {
    /// A body header with the numbers that a payload depends on, and nothing of a body.
    #[cfg(any(test, feature = "__fuzzing"))]
    pub(crate) fn without_body(generation: u64, table_len: usize) -> Self {
        Self { table_len, body_len: 0, generation, body_salt: [0; 32], body_commitment: [0; 32] }
    }

    /// Parses the first [`BODY_HEADER_LEN`] bytes of a file (fewer, if it has no more): enough to refuse, before it is
    /// read, a file that is no keystore.
    pub(crate) fn parse(start: &[u8]) -> Result<Self> {
        let mut fields = after_version(start, MAGIC, BODY_HEADER_LEN)?;
        // Held by `every_cut_is_noticed`: without `.filter`.
        let Some((content, check)) = start.split_last_chunk().filter(|_| start.len() == BODY_HEADER_LEN) else {
            return Err(truncated(BODY_HEADER_LEN, start.len()));
        };
        check_digest(content, check)?;
        let reserved = fields.u16()?;
        let table_len = fields.u32()?;
        let body_len = fields.u64()?;
        let features = fields.u32()?;
        // Held by `unknown_features_are_reported`.
        if features != 0 {
            return Err(FileFlaw::UnsupportedFeature { bits: features });
        }
        // Held by `reserved_bytes_of_the_body_header_are_zero`: `&& false`.
        if fields.u32()? != 0 || reserved != 0 {
            return Err(RESERVED);
        }
        // Held by `length_that_no_key_table_has_is_malformed`: without `.filter`.
        let table_len = usize::try_from(table_len).ok().filter(|len| KeyTable::LENGTHS.contains(len));
        let table_len = table_len.ok_or(OUT_OF_BOUNDS)?;
        let (generation, body_salt, body_commitment) = (fields.u64()?, fields.array()?, fields.array()?);
        let header = Self { table_len, body_len, generation, body_salt, body_commitment };
        // The sum may wrap: 2^64 is a multiple of a block. Such a file is then refused as truncated.
        let file_len = body_len.wrapping_add(length(header.header_len()));
        // Held by `body_has_a_length_that_padding_gives`.
        if body_len <= length(TAG_LEN) || !file_len.is_multiple_of(length(BLOCK)) {
            return Err(FileFlaw::malformed("its body has a length that no padding gives"));
        }
        // Held by `no_generation_is_zero`.
        if generation == 0 {
            return Err(FileFlaw::malformed("its generation is zero"));
        }
        Ok(header)
    }

    /// The length of body header and key table.
    pub(crate) fn header_len(&self) -> usize {
        header_len(self.table_len)
    }

    /// The length of the list of ancestors in a file of this generation.
    pub(crate) fn ancestor_count(&self) -> usize {
        usize::try_from(self.generation.saturating_sub(1)).unwrap_or(usize::MAX).min(MAX_ANCESTORS)
    }

    /// Where the body ends and the journal begins.
    pub(crate) fn body_end(&self) -> u64 {
        length(self.header_len()).saturating_add(self.body_len)
    }

    /// The mark of the state with this body header and so many records, the last of which (or else the body) has that
    /// tag.
    pub(crate) fn mark(&self, record_count: u32, tag: &Tag) -> Mark {
        Mark { salt: start_of(&self.body_salt), record_count, tag: start_of(tag) }
    }

    /// The bytes, with their check.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut bytes = self.content();
        let check = digest(&SHA256, &bytes);
        bytes.extend_from_slice(check.as_ref());
        bytes
    }

    /// SHA-256 of the body header up to the check, with the commitment zero, and of the key table: what the body's key
    /// is bound to.
    pub(crate) fn hash_without_commitment(&self, table: &[u8]) -> [u8; 32] {
        let mut content = self.content();
        if let Some(commitment) = content.get_mut(BODY_COMMITMENT) {
            // Held by `hash_leaves_out_the_commitment_only`.
            commitment.fill(0);
        }
        let mut context = Context::new(&SHA256);
        context.update(&content);
        // Held by `hash_leaves_out_the_commitment_only`.
        context.update(table);
        let mut hash = [0; 32];
        hash.copy_from_slice(context.finish().as_ref());
        hash
    }

    fn content(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(BODY_HEADER_LEN);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        out.extend_from_slice(&[0; 2]); // reserved
        // A key table has some thousand bytes at most, so the number is not cut.
        out.extend_from_slice(&u32::try_from(self.table_len).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&[0; 8]); // required features, reserved
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.body_salt);
        out.extend_from_slice(&self.body_commitment);
        out
    }
}

/// The fields after magic and version.
fn after_version(start: &[u8], magic: [u8; 8], expected_len: usize) -> Result<Fields<'_>> {
    if start.is_empty() {
        return Err(FileFlaw::Empty);
    }
    // Held by `file_without_the_magic_is_no_keystore_however_short`.
    if !magic.starts_with(start.get(..magic.len()).unwrap_or(start)) {
        return Err(FileFlaw::NotAKeystore);
    }
    let mut fields = Fields(start.get(magic.len()..).unwrap_or_default());
    let version = fields.u16().map_err(|_| truncated(expected_len, start.len()))?;
    // Held by `other_version_is_reported_before_anything_else`: `true`.
    if version == VERSION { Ok(fields) } else { Err(FileFlaw::UnsupportedVersion { found: version }) }
}

fn check_digest(content: &[u8], check: &[u8; CHECK_LEN]) -> Result<()> {
    // Held by `every_flipped_bit_of_a_header_is_noticed_without_a_key`,
    // `every_flipped_bit_of_a_table_is_noticed_without_a_key`: `true`.
    if digest(&SHA256, content).as_ref() == check { Ok(()) } else { Err(FileFlaw::DamagedHeader) }
}

fn truncated(expected: usize, found: usize) -> FileFlaw {
    FileFlaw::Truncated { expected: length(expected), found: length(found) }
}

/// The length of body header and key table, by the length of the key table.
pub(crate) fn header_len(table_len: usize) -> usize {
    BODY_HEADER_LEN.saturating_add(table_len)
}

/// The length of a file, by the lengths of its key table and its plaintext.
pub(crate) fn file_len(table_len: usize, plaintext_len: usize) -> u64 {
    length(header_len(table_len).saturating_add(TAG_LEN).saturating_add(plaintext_len))
}

/// A length in memory as the file counts it.
pub(crate) fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

/// Whether all bytes are zero. The processor compares the bytes of a chunk at once, because no byte ends the comparison.
pub(crate) fn is_zero(bytes: &[u8]) -> bool {
    bytes.chunks(64).all(|chunk| chunk.iter().fold(0, |seen, byte| seen | byte) == 0)
}

pub(crate) fn start_of(bytes: &[u8]) -> [u8; 8] {
    bytes.first_chunk().copied().unwrap_or_default()
}

const OUT_OF_BOUNDS: FileFlaw = FileFlaw::malformed("the length of its key table is out of bounds");
const RESERVED: FileFlaw = FileFlaw::malformed("reserved bytes are not zero");

/// Takes little-endian fields off the front.
struct Fields<'a>(&'a [u8]);

impl<'a> Fields<'a> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk().ok_or(WRONG_SHAPE)?;
        self.0 = rest;
        Ok(*field)
    }

    fn take(&mut self, len: usize) -> Result<&'a [u8]> {
        let (field, rest) = self.0.split_at_checked(len).ok_or(WRONG_SHAPE)?;
        self.0 = rest;
        Ok(field)
    }

    /// A length of two bytes, and as many bytes.
    fn short_bytes(&mut self) -> Result<&'a [u8]> {
        let len = self.u16()?;
        self.take(len.into())
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

const WRONG_SHAPE: FileFlaw = FileFlaw::malformed("its key table is not as long as its slots ask");

#[cfg(test)]
mod tests;
