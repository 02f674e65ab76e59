//! A file taken apart, and its fields.

use arbitrary::Arbitrary;

use crate::{
    format::{BLOCK, BODY_HEADER_LEN, RecordHead, TAG_LEN, length},
    fuzzing::{
        table_of,
        tables::{self, NOTE_LEN, SLOT_LEN, START_LEN},
    },
};

#[derive(Debug, Clone, Copy, Arbitrary)]
pub(super) enum Number {
    Version,
    Zero,
    TableLen,
    BodyLen,
    Features,
    OtherZero,
    Generation,
    TableVersion,
    SlotCount,
    ZeroOfTable,
    Revision,
}

#[derive(Debug, Clone, Copy, PartialEq, Arbitrary)]
pub(super) enum Field {
    Generation,
    BodySalt,
    BodyCommitment,
    StoreId,
    KeyId,
    Revision,
    NotesSalt,
    Notes,
    Mac,
    BodyHeader,
    KeyTable,
    Body,
    Journal,
}

#[derive(Debug, Clone, Copy, PartialEq, Arbitrary)]
pub(super) enum FieldOfSlot {
    Id,
    Salt,
    Data,
    Commitment,
    WrappedKey,
    /// The start, which the wrapping key is bound to.
    Head,
    All,
}

/// A file, taken apart.
#[derive(Clone)]
pub(super) struct Draft {
    pub(super) header: Vec<u8>,
    /// Of the key table, up to its slots.
    pub(super) start: Vec<u8>,
    pub(super) slots: Vec<Vec<u8>>,
    pub(super) notes_salt: Vec<u8>,
    pub(super) notes: Vec<u8>,
    pub(super) mac: Vec<u8>,
    pub(super) check: Vec<u8>,
    pub(super) body: Vec<u8>,
    pub(super) journal: Vec<DraftRecord>,
}

/// A journal's record.
#[derive(Clone)]
pub(super) struct DraftRecord {
    /// The length that its head is to state, if not that of the bytes.
    pub(super) stated_len: Option<u32>,
    pub(super) bytes: Vec<u8>,
}

#[derive(Debug, Clone, Copy, PartialEq, Arbitrary)]
pub(super) enum PartOfRecord {
    Head,
    Salt,
    Sealed,
    Tag,
}

impl PartOfRecord {
    /// Where it is in a record of that length.
    pub(super) fn range(self, len: usize) -> std::ops::Range<usize> {
        match self {
            Self::Head => 0..8,
            Self::Salt => 8..40,
            Self::Sealed => 40..len,
            Self::Tag => len - TAG_LEN..len,
        }
    }
}

/// Where the body of a sound file ends.
pub(super) fn body_end(file: &[u8]) -> usize {
    let body_len = u64::from_le_bytes(*file[16..24].first_chunk().expect("8 bytes"));
    table_of(file).expect("a key table").end + usize::try_from(body_len).expect("a short body")
}

/// The records of a sound file.
fn records(file: &[u8]) -> Vec<DraftRecord> {
    let (mut rest, mut records) = (&file[body_end(file)..], Vec::new());
    while let Some(len) = rest.first_chunk() {
        let (record, after) = rest.split_at(usize::try_from(u32::from_le_bytes(*len)).expect("a short record"));
        records.push(DraftRecord { stated_len: None, bytes: record.to_vec() });
        rest = after;
    }
    records
}

impl Draft {
    pub(super) fn of(file: &[u8]) -> Self {
        let range = table_of(file).expect("a key table");
        let table = &file[range.clone()];
        let slots = tables::slots(table).expect("key slots");
        let mut rest = &table[slots.last().map_or(START_LEN, |slot| slot.end)..];
        let mut take = |len| {
            let (part, after) = rest.split_at(len);
            rest = after;
            part.to_vec()
        };
        Self {
            header: file[..BODY_HEADER_LEN].to_vec(),
            start: table[..START_LEN].to_vec(),
            notes_salt: take(32),
            notes: take(slots.len() * NOTE_LEN + TAG_LEN),
            mac: take(32),
            check: take(32),
            slots: slots.into_iter().map(|slot| table[slot].to_vec()).collect(),
            body: file[range.end..body_end(file)].to_vec(),
            journal: records(file),
        }
    }

    pub(super) fn table(&self) -> Vec<u8> {
        let slots = self.slots.concat();
        [&self.start[..], &slots, &self.notes_salt, &self.notes, &self.mac, &self.check].concat()
    }

    pub(super) fn file(&self) -> Vec<u8> {
        let journal: Vec<_> = self.journal.iter().flat_map(|record| &record.bytes).copied().collect();
        [&self.header[..], &self.table(), &self.body, &journal].concat()
    }

    /// The counts and lengths that the slots and the body ask for, and the heads of the journal's records.
    pub(super) fn fit(&mut self) {
        for slot in &mut self.slots {
            let data_len = u16::try_from(slot.len() - SLOT_LEN).expect("little data");
            slot[2..4].copy_from_slice(&data_len.to_le_bytes());
        }
        self.start[10..12].copy_from_slice(&u16::try_from(self.slots.len()).expect("few slots").to_le_bytes());
        self.notes.resize(self.slots.len() * NOTE_LEN + TAG_LEN, 0);
        let table_len = self.table().len();
        self.header[12..16].copy_from_slice(&u32::try_from(table_len).expect("a short table").to_le_bytes());
        // A file ends with a block.
        let header_len = BODY_HEADER_LEN + table_len;
        let file_len = (header_len + self.body.len()).next_multiple_of(BLOCK);
        self.body.resize(file_len - header_len, 0);
        self.header[16..24].copy_from_slice(&u64::try_from(self.body.len()).expect("a short file").to_le_bytes());
        let mut offset = length(file_len);
        for DraftRecord { stated_len, bytes } in &mut self.journal {
            let len = stated_len.unwrap_or_else(|| u32::try_from(bytes.len()).expect("a short record"));
            bytes[..8].copy_from_slice(RecordHead::new(len, offset).bytes());
            offset += length(bytes.len());
        }
    }
}

impl Number {
    pub(super) fn set(self, value: u64, draft: &mut Draft) {
        let (part, at, len) = match self {
            Self::Version => (&mut draft.header, 8, 2),
            Self::Zero => (&mut draft.header, 10, 2),
            Self::TableLen => (&mut draft.header, 12, 4),
            Self::BodyLen => (&mut draft.header, 16, 8),
            Self::Features => (&mut draft.header, 24, 4),
            Self::OtherZero => (&mut draft.header, 28, 4),
            Self::Generation => (&mut draft.header, 32, 8),
            Self::TableVersion => (&mut draft.start, 8, 2),
            Self::SlotCount => (&mut draft.start, 10, 2),
            Self::ZeroOfTable => (&mut draft.start, 12, 4),
            Self::Revision => (&mut draft.start, 40, 8),
        };
        part[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
    }
}

impl Field {
    pub(super) fn apply(self, from: &Draft, to: &mut Draft) {
        let (to, from, range) = match self {
            Self::Generation => (&mut to.header, &from.header, 32..40),
            Self::BodySalt => (&mut to.header, &from.header, 40..72),
            Self::BodyCommitment => (&mut to.header, &from.header, 72..104),
            Self::StoreId => (&mut to.start, &from.start, 16..32),
            Self::KeyId => (&mut to.start, &from.start, 32..40),
            Self::Revision => (&mut to.start, &from.start, 40..48),
            Self::NotesSalt => return to.notes_salt.clone_from(&from.notes_salt),
            Self::Notes => return to.notes.clone_from(&from.notes),
            Self::Mac => return to.mac.clone_from(&from.mac),
            Self::BodyHeader => return to.header.clone_from(&from.header),
            Self::KeyTable => {
                let (header, body, journal) = (to.header.clone(), to.body.clone(), to.journal.clone());
                *to = Draft { header, body, journal, ..from.clone() };
                return;
            }
            Self::Body => return to.body.clone_from(&from.body),
            Self::Journal => return to.journal.clone_from(&from.journal),
        };
        to[range.clone()].copy_from_slice(&from[range]);
    }
}

impl FieldOfSlot {
    /// Where it is in a slot of that length.
    pub(super) fn range(self, len: usize) -> std::ops::Range<usize> {
        let data_end = len - 80;
        match self {
            Self::Id => 16..32,
            Self::Salt => 32..64,
            Self::Data => 64..data_end,
            Self::Commitment => data_end..len - 48,
            Self::WrappedKey => len - 48..len,
            Self::Head => 0..data_end,
            Self::All => 0..len,
        }
    }
}
