//! The layout of the journal: the sealed records that follow the body of a file.
//!
//! A record begins at a multiple of [`BLOCK`] and fills whole blocks, so no record shares a block with another one. Its
//! head says how long it is, and is bound to its place in the file.
//!
//! # Torn or damaged
//!
//! A power cut or a kill may leave the last record torn: a part of it was never written. A torn record is ignored.
//! Bytes that do not verify are torn if no valid head stands at a later multiple of [`BLOCK`], and one of these holds:
//! the file ends before the record does; the head is all zero; one of the record's sectors of 512 bytes is all zero. (A
//! disk writes a sector as a whole, and ciphertext is never 512 zeros.) All other bytes that do not verify are damaged,
//! and the file is refused. So accidental damage drops an acknowledged record in two cases only: the end of the file is
//! lost, or a sector of the last record reads as zeros. An attacker can drop the last records, which is the same as
//! putting an older file back.

use ring::digest::{SHA256, digest};

use super::{BLOCK, Salt, TAG_LEN, is_zero, length};

/// The length of a record's head.
const HEAD_LEN: usize = 8;
const SALT_LEN: usize = 32;
/// What a record has before its ciphertext.
pub(crate) const RECORD_START_LEN: usize = HEAD_LEN + SALT_LEN;
/// What a disk writes as a whole.
const SECTOR: usize = 512;
/// A file lists the tags of at most this many records of the file that it replaced.
pub(crate) const MAX_RECORD_TAGS: usize = 256;

pub(crate) type Tag = [u8; TAG_LEN];

/// The head of a record: how long the record is, and a checksum of that and of the record's place in the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHead([u8; HEAD_LEN]);

impl RecordHead {
    /// The head of a record of that many bytes, at that place.
    pub(crate) fn new(len: u32, offset: u64) -> Self {
        let mut head = [0; HEAD_LEN];
        let (len_bytes, check) = head.split_at_mut(4);
        len_bytes.copy_from_slice(&len.to_le_bytes());
        check.copy_from_slice(&checksum(len, offset));
        Self(head)
    }

    pub(crate) fn bytes(&self) -> &[u8; HEAD_LEN] {
        &self.0
    }

    /// The length of the record whose head the bytes start with, if that is a valid head at that place.
    fn parse(bytes: &[u8], offset: u64) -> Option<(Self, usize)> {
        let head = Self(*bytes.first_chunk()?);
        let (len, check) = head.0.split_first_chunk()?;
        let len = u32::from_le_bytes(*len);
        let bytes = usize::try_from(len).ok().filter(|len| *len > 0 && len.is_multiple_of(BLOCK))?;
        (check == checksum(len, offset)).then_some((head, bytes))
    }
}

fn checksum(len: u32, offset: u64) -> [u8; 4] {
    let hash = digest(&SHA256, &[&len.to_le_bytes()[..], &offset.to_le_bytes()].concat());
    hash.as_ref().first_chunk().copied().unwrap_or_default()
}

/// A record as it stands in a file.
#[derive(Debug)]
pub(crate) struct Record<'a> {
    pub(crate) head: RecordHead,
    pub(crate) salt: Salt,
    /// Ciphertext and tag.
    pub(crate) sealed: &'a mut [u8],
}

/// What stands where the next record would begin.
#[derive(Debug)]
pub(crate) enum NextRecord<'a> {
    /// The file ends here.
    End,
    Record {
        record: Record<'a>,
        len: u64,
        rest: &'a mut [u8],
        /// Whether the record is torn or damaged, if it does not verify.
        otherwise: Unverified,
    },
    /// No record begins here.
    None(Unverified),
}

/// Why bytes are no record that counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Unverified {
    /// A writer did not finish the record.
    Torn,
    Damaged,
}

impl<'a> NextRecord<'a> {
    /// Looks at the bytes from that place in the file to its end.
    pub(crate) fn parse(bytes: &'a mut [u8], offset: u64) -> Self {
        if bytes.is_empty() {
            return Self::End;
        }
        let Some((head, len)) = RecordHead::parse(bytes, offset) else {
            let is_unwritten = bytes.get(..HEAD_LEN).is_none_or(is_zero);
            return Self::None(unverified(is_unwritten, bytes, offset));
        };
        if bytes.len() < len {
            return Self::None(unverified(true, bytes, offset));
        }
        let is_unwritten = bytes.get(..len).is_some_and(|record| record.chunks(SECTOR).any(is_zero));
        let otherwise = unverified(is_unwritten, bytes, offset);
        let (record, rest) = bytes.split_at_mut(len);
        let (start, sealed) = record.split_at_mut(RECORD_START_LEN);
        let salt = start.last_chunk().copied().unwrap_or_default();
        Self::Record { record: Record { head, salt, sealed }, len: length(len), rest, otherwise }
    }
}

fn unverified(is_unwritten: bool, bytes: &[u8], offset: u64) -> Unverified {
    // Held by `only_zeros_may_follow_the_last_record`, `zeroed_sector_is_torn_in_the_last_record_only`: `is_unwritten`.
    // Held by `flipped_bit_of_a_journal_is_refused`: `!has_later_head(bytes, offset)`.
    if is_unwritten && !has_later_head(bytes, offset) { Unverified::Torn } else { Unverified::Damaged }
}

/// Whether a valid head stands in a later block.
fn has_later_head(bytes: &[u8], offset: u64) -> bool {
    let mut blocks = bytes.chunks(BLOCK).zip((offset..).step_by(BLOCK)).skip(1);
    blocks.any(|(block, offset)| RecordHead::parse(block, offset).is_some())
}

/// Reads the layout of the journal that starts at `offset`, as far as it can be checked without a key.
pub(crate) fn check_without_key(mut bytes: &mut [u8], mut offset: u64) -> super::Result<JournalLayout> {
    let mut layout = JournalLayout { records: 0, len: 0, is_torn: false };
    loop {
        match NextRecord::parse(bytes, offset) {
            NextRecord::End => return Ok(layout),
            // A record with a sector of zeros would not verify.
            // Held by `file_without_a_key_shows_what_is_torn`.
            NextRecord::Record { otherwise: Unverified::Torn, .. } => {
                return Ok(JournalLayout { is_torn: true, ..layout });
            }
            NextRecord::Record { len, rest, .. } => {
                layout.records = layout.records.saturating_add(1);
                layout.len = layout.len.saturating_add(len);
                offset = offset.saturating_add(len);
                bytes = rest;
            }
            NextRecord::None(Unverified::Torn) => return Ok(JournalLayout { is_torn: true, ..layout }),
            NextRecord::None(Unverified::Damaged) => return Err(crate::error::FileFlaw::Tampered),
        }
    }
}

/// What a journal looks like without a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JournalLayout {
    pub(crate) records: u32,
    pub(crate) len: u64,
    pub(crate) is_torn: bool,
}
