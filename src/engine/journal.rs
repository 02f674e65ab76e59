//! The journal of a file, as far as it was verified: where it ends, and what its next record is bound to.

use super::state::origin_of;
use crate::{
    codec,
    error::{FileFlaw, Result},
    file::LoadedEnd,
    format::{BodyHeader, MAX_RECORD_TAGS, Mark, NextRecord, Tag, Unverified, start_of},
    namespaces::Namespaces,
    seal::{self, RecordContext},
    vault::Vault,
};

/// The longest journal in bytes, unless the body is longer: then the journal may be as long as the body. A save that
/// would make it longer replaces the file.
const MAX_LEN: u64 = 1024 * 1024;

/// The verified records that follow the body of a file.
#[derive(Debug, Clone)]
pub(super) struct Journal {
    body_end: u64,
    /// The length in bytes that the records may reach.
    max_len: u64,
    /// Where the last record ends, or the body if there is none.
    end: u64,
    record_count: u32,
    /// The tag of the last record, or of the body.
    last_tag: Tag,
    /// The starts of the tags of all records.
    tags: Vec<[u8; 8]>,
    /// Whether a torn record follows.
    is_torn: bool,
}

/// What a reader does when it finds a damaged record.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AtDamage {
    Refuse,
    /// Ignore the damaged record and all that follow it.
    Stop,
}

impl Journal {
    /// The empty journal of a file with that body header, whose body ends in that tag.
    pub(super) fn new(header: &BodyHeader, body_tag: Tag) -> Self {
        let (end, max_len) = (header.body_end(), MAX_LEN.max(header.body_len));
        Self { body_end: end, max_len, end, record_count: 0, last_tag: body_tag, tags: Vec::new(), is_torn: false }
    }

    /// Reads the records that follow this journal, and puts their rows. The bytes are decrypted in place.
    pub(super) fn replay(
        &mut self,
        bytes: &mut [u8],
        vault: &Vault,
        header: &BodyHeader,
        rows: &mut Namespaces,
        at_damage: AtDamage,
    ) -> Result<Result<(), FileFlaw>> {
        let mut rest = bytes;
        let unverified = loop {
            match NextRecord::parse(rest, self.end) {
                NextRecord::End => {
                    self.is_torn = false;
                    return Ok(Ok(()));
                }
                NextRecord::None(unverified) => break unverified,
                NextRecord::Record { record, len, rest: after, otherwise } => {
                    let tag = record.sealed.last_chunk().copied().unwrap_or_default();
                    let Some(plaintext) = seal::open_record(vault.store_key(), self.context(header), record)? else {
                        break otherwise;
                    };
                    let changed = codec::decode_change(plaintext, origin_of(vault));
                    if let Err(flaw) = changed.and_then(|changed| rows.put_all(changed)) {
                        return Ok(Err(flaw));
                    }
                    self.push(len, tag);
                    rest = after;
                }
            }
        };
        // Held by `flipped_bit_of_a_journal_is_refused`, `record_at_another_place_is_refused`: `&& false`.
        // Held by `recovery_takes_the_records_before_the_damage`: `unverified == Unverified::Damaged`.
        if unverified == Unverified::Damaged && at_damage == AtDamage::Refuse {
            return Ok(Err(FileFlaw::Tampered));
        }
        // Held by `torn_record_is_reported_and_replaced_by_the_next_save`.
        self.is_torn = true;
        Ok(Ok(()))
    }

    /// Adds a record that was verified or written.
    pub(super) fn push(&mut self, len: u64, tag: Tag) {
        self.end = self.end.saturating_add(len);
        self.record_count = self.record_count.saturating_add(1);
        self.last_tag = tag;
        self.is_torn = false;
        self.tags.push(start_of(&tag));
    }

    /// What the next record is bound to.
    pub(super) fn context<'a>(&'a self, header: &'a BodyHeader) -> RecordContext<'a> {
        RecordContext { body_commitment: &header.body_commitment, tag_before: &self.last_tag }
    }

    pub(super) fn mark(&self, header: &BodyHeader) -> Mark {
        header.mark(self.record_count, &self.last_tag)
    }

    /// Whether the journal stays within its limit with a record of that length.
    pub(super) fn has_room(&self, len: u64) -> bool {
        // Held by `journal_that_would_be_too_long_is_replaced`: `true`.
        self.len().saturating_add(len) <= self.max_len
    }

    /// Lets the journal of a test count as full.
    #[cfg(test)]
    pub(super) fn fill(&mut self) {
        self.max_len = 0;
    }

    /// The end of the file that starts with these bytes, as far as it was loaded.
    pub(super) fn loaded_end<'a>(&'a self, start: &'a [u8]) -> LoadedEnd<'a> {
        LoadedEnd { start, len: self.end, last: &self.last_tag }
    }

    pub(super) fn end(&self) -> u64 {
        self.end
    }

    pub(super) fn last_tag(&self) -> &Tag {
        &self.last_tag
    }

    pub(super) fn record_count(&self) -> u32 {
        self.record_count
    }

    /// The number of the next record.
    pub(super) fn next_number(&self) -> u32 {
        self.record_count.saturating_add(1)
    }

    /// The length of the records.
    pub(super) fn len(&self) -> u64 {
        self.end.saturating_sub(self.body_end)
    }

    pub(super) fn is_torn(&self) -> bool {
        self.is_torn
    }

    /// The starts of the tags of the last records, the oldest first: as many as the next file lists.
    pub(super) fn last_tags(&self) -> &[[u8; 8]] {
        self.tags.get(self.tags.len().saturating_sub(MAX_RECORD_TAGS)..).unwrap_or_default()
    }

    /// The start of the tag of the record with that number. The first has number 1.
    pub(super) fn tag_of(&self, number: u32) -> Option<[u8; 8]> {
        self.tags.get(usize::try_from(number.checked_sub(1)?).ok()?).copied()
    }
}
