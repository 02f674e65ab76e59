//! Files that are changed field by field, by somebody who has everything but the keys.

mod draft;

use std::{collections::BTreeMap, num::NonZeroU8, path::Path, sync::OnceLock};

use arbitrary::Arbitrary;

use draft::{Draft, DraftRecord, Field, FieldOfSlot, Number, PartOfRecord};
use ring::digest::{SHA256, digest};

use super::{
    recheck, table_of,
    tables::{SLOT_LEN, new_slot, sealed},
    unlock,
};
use crate::{
    Error, External, ExternalError, ExternalKey, ExternalSlot, FileFlaw, Origin, Token, Unlock,
    codec::{self, Contents, Encoding},
    engine::{self, Replayed},
    format::{BLOCK, BodyHeader, Mark, Parts, length},
    namespaces::Namespaces,
    seal::{self, RecordContext},
    time::Millis,
    vault::Vault,
};

#[derive(Debug, Arbitrary)]
pub(super) struct Change {
    of: Original,
    mutations: Vec<Mutation>,
    /// Whether counts and lengths are made to fit what became of it.
    fits: bool,
    way: Way,
}

/// What it is opened with.
#[derive(Debug, Clone, Copy, PartialEq, Arbitrary)]
enum Way {
    /// The key of the first slot and of the third.
    First,
    Second,
    /// The provider of the last slot.
    External,
}

/// The files that there are.
#[derive(Debug, Clone, Copy, PartialEq, Arbitrary)]
enum Original {
    First,
    /// The same store a generation later.
    Later,
    /// Another state of that generation.
    Fork,
    /// The same store a generation later, with another second slot.
    Slotted,
    /// The same store a generation later, with another store key.
    Rekeyed,
    /// Another store of the same store key.
    Kin,
    /// Another store that the same ways open.
    Stranger,
    /// The first one with a journal.
    Long,
    /// The same body with another journal, which begins as that does.
    LongFork,
    /// The later one with a journal.
    LaterLong,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Mutation {
    /// Once all else is done.
    Byte {
        at: u16,
        xor: NonZeroU8,
    },
    Number {
        field: Number,
        value: u64,
    },
    NumberOfSlot {
        field: NumberOfSlot,
        slot: u8,
        value: u32,
    },
    /// A field as it is in another file.
    Field {
        field: Field,
        of: Original,
    },
    FieldOfSlot {
        field: FieldOfSlot,
        slot: u8,
        of: Original,
        from: u8,
    },
    SwapSlots {
        one: u8,
        other: u8,
    },
    InsertSlot {
        at: u8,
        of: Original,
        from: u8,
    },
    RemoveSlot {
        at: u8,
    },
    /// One byte more, or one less, of a slot's data.
    ByteOfData {
        slot: u8,
        at: u8,
        inserted: Option<u8>,
    },
    /// A body of another length.
    Body {
        len: u16,
    },
    /// Once all else is done.
    Cut {
        len: u16,
    },
    /// Once all else is done.
    Append {
        byte: u8,
        count: u8,
    },
    /// A journal's record as it is in another file.
    Record {
        at: u8,
        of: Original,
        from: u8,
    },
    PartOfRecord {
        part: PartOfRecord,
        at: u8,
        of: Original,
        from: u8,
    },
    SwapRecords {
        one: u8,
        other: u8,
    },
    InsertRecord {
        at: u8,
        of: Original,
        from: u8,
    },
    RemoveRecord {
        at: u8,
    },
    LenOfRecord {
        at: u8,
        len: u32,
    },
    BlocksOfRecord {
        at: u8,
        len: u32,
    },
    /// Once all else is done, from the end of the file.
    ZeroSectors {
        from_end: u8,
        count: u8,
    },
    /// Once all else is done.
    AppendZeros {
        blocks: u8,
    },
    /// Once all else is done.
    CutFromEnd {
        len: u16,
    },
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum NumberOfSlot {
    Kind,
    Argon2Version,
    DataLen,
    Memory,
    Passes,
    Lanes,
    ProviderLen,
}

/// An original and what it holds.
struct Sample {
    draft: Draft,
    file: Vec<u8>,
    vault: Vault,
    /// What the body holds, and then what there is after each record of the journal, with the place where that is.
    states: Vec<(usize, Contents)>,
}

impl Original {
    const ALL: [Self; 10] = [
        Self::First,
        Self::Later,
        Self::Fork,
        Self::Slotted,
        Self::Rekeyed,
        Self::Kin,
        Self::Stranger,
        Self::Long,
        Self::LongFork,
        Self::LaterLong,
    ];

    fn sample(self) -> &'static Sample {
        static SAMPLES: OnceLock<[Sample; 10]> = OnceLock::new();
        let samples = SAMPLES.get_or_init(|| {
            let vaults = Vaults::new();
            Self::ALL.map(|original| original.make(&vaults).expect("an original"))
        });
        let place = Self::ALL.iter().position(|original| *original == self).expect("one of all");
        &samples[place]
    }

    fn make(self, vaults: &Vaults) -> crate::Result<Sample> {
        match self {
            Self::First | Self::Later => self.sealed_once(vaults),
            Self::Long | Self::LongFork => Self::First.with_journal(vaults, self),
            Self::LaterLong => Self::Later.with_journal(vaults, self),
            _ => self.seal(vaults),
        }
    }

    /// Without a journal.
    fn seal(self, vaults: &Vaults) -> crate::Result<Sample> {
        let (vault, generation) = match self {
            Self::First => (&vaults.first, 1),
            Self::Later | Self::Fork => (&vaults.first, 2),
            Self::Slotted => (&vaults.slotted, 2),
            Self::Rekeyed => (&vaults.rekeyed, 2),
            Self::Kin => (&vaults.kin, 1),
            Self::Stranger => (&vaults.stranger, 1),
            Self::Long | Self::LongFork | Self::LaterLong => panic!("{self:?} has a journal"),
        };
        let header = BodyHeader::without_body(generation, vault.bytes().len());
        let time = Millis::new(1).expect("a time");
        let token = Token::builder().user_name(format!("{self:?}")).refresh_token("secret");
        let token = token.id("1").stored(Origin::of("mutated"), time.time(), time.time(), 1).build();
        let ancestors = vec![Mark { salt: [7; 8], record_count: 0, tag: [8; 8] }; header.ancestor_count()];
        let tokens = BTreeMap::from([(Box::from(""), vec![token])]);
        let contents = Contents { next_id: 2, ancestors, record_tags: Vec::new(), tokens };
        let encoding = Encoding::of(header.header_len(), &contents)?;
        let sealed = engine::seal(vault, generation, &encoding)?;
        let file = sealed.parts(vault.bytes()).concat();
        let states = vec![(file.len(), contents)];
        Ok(Sample { draft: Draft::of(&file), file, vault: vault.clone(), states })
    }

    /// With three records, of which the second has two blocks.
    fn with_journal(self, vaults: &Vaults, name: Self) -> crate::Result<Sample> {
        let Sample { mut file, vault, mut states, .. } = self.sealed_once(vaults)?;
        let time = Millis::new(1).expect("a time").time();
        for number in 1..=3_u32 {
            let secret = match (number, name) {
                (2, Self::LongFork) => "another secret ".repeat(300),
                (2, _) => "a secret ".repeat(500),
                _ => format!("the secret {number}"),
            };
            let (id, revision) = if number == 3 { ("2", 1) } else { ("1", u64::from(number) + 1) };
            let token = Token::builder().id(id).user_name(id).refresh_token(secret);
            let token = token.stored(Origin::of("mutated"), time, time, revision).build();
            let next_id = u64::from(number.max(2));
            let header = BodyHeader::parse(&file[..136]).expect("a body header");
            let tag_before = file.last_chunk().expect("a tag");
            let context = RecordContext { body_commitment: &header.body_commitment, tag_before };
            let plaintext =
                codec::encode_change(next_id, [("", &token)].into_iter(), codec::records_len("", [&token]))?;
            let sealed = seal::seal_record(vault.store_key(), context, number, length(file.len()), plaintext)?;
            file.extend(sealed.parts().concat());
            let mut after = states.last().expect("the body's").1.clone();
            let known = after.tokens.get_mut("").expect("the rows");
            match known.iter_mut().find(|known| known.id() == token.id()) {
                Some(known) => *known = token,
                None => known.push(token),
            }
            after.next_id = next_id;
            states.push((file.len(), after));
        }
        Ok(Sample { draft: Draft::of(&file), file, vault, states })
    }

    /// The very file that others have been made of, for each body is sealed with a salt of its own.
    fn sealed_once(self, vaults: &Vaults) -> crate::Result<Sample> {
        static SEALED: OnceLock<[Sample; 2]> = OnceLock::new();
        let sealed = SEALED
            .get_or_init(|| [Self::First, Self::Later].map(|original| original.seal(vaults).expect("an original")));
        let Sample { draft, file, vault, states } = &sealed[usize::from(self == Self::Later)];
        Ok(Sample { draft: draft.clone(), file: file.clone(), vault: vault.clone(), states: states.clone() })
    }

    fn record(self, number: u8) -> Option<&'static DraftRecord> {
        let records = &self.sample().draft.journal;
        records.get(usize::from(number) % records.len().max(1))
    }

    fn slot(self, number: u8) -> &'static [u8] {
        let slots = &self.sample().draft.slots;
        &slots[usize::from(number) % slots.len()]
    }
}

struct Vaults {
    first: Vault,
    slotted: Vault,
    rekeyed: Vault,
    kin: Vault,
    stranger: Vault,
}

impl Vaults {
    fn new() -> Self {
        let ways = [Way::First, Way::Second, Way::First, Way::External].map(Way::unlock);
        let slots = |store, key| ways.iter().map(|way| new_slot([store; 16], key, 1, way)).collect::<Vec<_>>();
        let of_first = slots(1, 5);
        let mut of_slotted = of_first.clone();
        of_slotted[1] = new_slot([1; 16], 5, 2, &ways[1]);
        Self {
            first: sealed([1; 16], 5, 1, of_first),
            slotted: sealed([1; 16], 5, 2, of_slotted),
            rekeyed: sealed([1; 16], 6, 2, slots(1, 6)),
            kin: sealed([2; 16], 5, 1, slots(2, 5)),
            stranger: sealed([3; 16], 7, 1, slots(3, 7)),
        }
    }
}

impl Way {
    fn unlock(self) -> Unlock {
        match self {
            Self::First => unlock(1),
            Self::Second => unlock(2),
            Self::External => External::new(InTheClear).into(),
        }
    }
}

/// A provider whose keys are in the file.
struct InTheClear;

impl ExternalKey for InTheClear {
    fn provider(&self) -> &'static str {
        "in the clear"
    }

    fn create(&self, _: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
        Ok(key.to_vec())
    }

    fn open(&self, _: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
        *key = data.try_into().map_err(|_| ExternalError::new("the data is no key"))?;
        Ok(())
    }

    fn forget(&self, _: &ExternalSlot, _: &[u8]) -> Result<(), ExternalError> {
        Ok(())
    }
}

impl Change {
    fn file(&self) -> Vec<u8> {
        let mut draft = self.of.sample().draft.clone();
        self.mutations.iter().for_each(|mutation| mutation.apply(&mut draft));
        if self.fits {
            draft.fit();
        }
        let mut file = draft.file();
        self.mutations.iter().for_each(|mutation| mutation.apply_last(&mut file));
        recheck(&mut file);
        file
    }
}

pub(super) fn check(change: &Change) {
    let changed = change.file();
    let unlock = change.way.unlock();
    if let Some(table) = table_of(&changed) {
        check_table(change, &changed[table], &unlock);
    }
    let expected = expected(&changed);
    match open(&mut changed.clone(), &unlock) {
        // Every byte of a file is authenticated, and only whole files and records have been.
        Ok(Opened { vault, contents, records, is_torn }) => {
            let (sample, count, has_more) =
                expected.unwrap_or_else(|| panic!("opened though none was written so: {change:?}"));
            assert_eq!((records, is_torn), (count, has_more), "{change:?}");
            assert_eq!(contents, sample.states[count].1);
            assert_eq!(vault.slots(), sample.vault.slots());
        }
        Err(error) => {
            assert!(is_refusal(&error) && expected.is_none(), "{change:?}: {error:?}");
            // Who has no key writes nothing that gets past its tag.
            let is_parsed = Parts::parse(&mut changed.clone()).is_ok();
            assert!(!is_parsed || !is_flaw(&error, |flaw| flaw != FileFlaw::Tampered), "{change:?}: {error:?}");
        }
    }
}

/// What the file is, if it has to open: how many records of which original, and whether a torn one follows.
fn expected(file: &[u8]) -> Option<(&'static Sample, usize, bool)> {
    let whole = Original::ALL.into_iter().map(Original::sample).filter_map(|sample| {
        let is_there = |(end, _): &&(usize, Contents)| file.get(..*end) == sample.file.get(..*end);
        Some((sample, sample.states.iter().rposition(|state| is_there(&state))?))
    });
    let (sample, count) = whole.max_by_key(|(_, count)| *count)?;
    let end = sample.states[count].0;
    let is_torn = file.len() > end;
    (!is_torn || is_torn_at(file, end)).then_some((sample, count, is_torn))
}

/// *Reading the journal*, of `docs/format.md`.
fn is_torn_at(file: &[u8], at: usize) -> bool {
    let head_len = |at: usize| {
        let (len, check) = file.get(at..at + 8)?.split_first_chunk::<4>()?;
        let hash = digest(&SHA256, &[&len[..], &length(at).to_le_bytes()].concat());
        let len = usize::try_from(u32::from_le_bytes(*len)).ok()?;
        (hash.as_ref().starts_with(check) && len > 0 && len % BLOCK == 0).then_some(len)
    };
    if (at + BLOCK..file.len()).step_by(BLOCK).any(|later| head_len(later).is_some()) {
        return false;
    }
    let is_zero = |bytes: &[u8]| bytes.iter().all(|byte| *byte == 0);
    match (file.get(at..at + 8), head_len(at)) {
        (None, _) => true,
        (Some(head), None) => is_zero(head),
        (Some(_), Some(len)) => file.get(at..at + len).is_none_or(|record| record.chunks(512).any(is_zero)),
    }
}

/// The key table by itself: all of it is authenticated too.
fn check_table(change: &Change, table: &[u8], unlock: &Unlock) {
    let original = Original::ALL.into_iter().find(|original| original.sample().vault.bytes() == table);
    match Vault::open("mutated", table, unlock) {
        Ok(vault) => {
            let original = original.unwrap_or_else(|| panic!("opened though none was written so: {change:?}"));
            assert_eq!(vault.slots(), original.sample().vault.slots());
        }
        Err(error) => assert!(is_refusal(&error) && original.is_none(), "{change:?}: {error:?}"),
    }
}

fn is_refusal(error: &Error) -> bool {
    matches!(
        error,
        Error::BadFile { .. } | Error::NoSlotFor { .. } | Error::WrongRecoveryKey { .. } | Error::External { .. }
    )
}

fn is_flaw(error: &Error, is_meant: impl Fn(FileFlaw) -> bool) -> bool {
    matches!(error, Error::BadFile { flaw, .. } if is_meant(*flaw))
}

struct Opened {
    vault: Vault,
    contents: Contents,
    records: usize,
    is_torn: bool,
}

/// As opening a store does it.
fn open(file: &mut [u8], unlock: &Unlock) -> crate::Result<Opened> {
    let path = Path::new("mutated");
    let bad = |flaw: FileFlaw| Error::BadFile { path: path.to_owned(), flaw };
    let Parts { body_header, table, table_bytes, header, body, journal } = Parts::parse(file).map_err(bad)?;
    let vault = Vault::unlock(path, table, table_bytes, |table| unlock.open_slot(table, path))?;
    let body_tag = *body.last_chunk().expect("a tag");
    let contents = engine::unseal(&vault, &body_header, header, body)?.map_err(bad)?;
    let (ancestors, record_tags) = (contents.ancestors.clone(), contents.record_tags.clone());
    let replayed = engine::replay(&vault, &body_header, body_tag, contents, journal)?.map_err(bad)?;
    let Replayed { rows, records, is_torn } = replayed;
    let contents = Contents { next_id: rows.next_id(), ancestors, record_tags, tokens: tokens_of(&rows) };
    Ok(Opened { vault, contents, records: usize::try_from(records).expect("few records"), is_torn })
}

fn tokens_of(rows: &Namespaces) -> BTreeMap<Box<str>, Vec<Token>> {
    let tokens = rows.iter().map(|(name, index)| (name, index.iter().map(|(_, token)| token.clone()).collect()));
    tokens.map(|(name, tokens)| (Box::from(name), tokens)).collect()
}

impl Mutation {
    /// Changes what there is to be changed.
    fn apply(&self, draft: &mut Draft) {
        match *self {
            Self::Number { field, value } => field.set(value, draft),
            Self::NumberOfSlot { field, slot, value } => {
                let (at, len) = match field {
                    NumberOfSlot::Kind => (0, 1),
                    NumberOfSlot::Argon2Version => (1, 1),
                    NumberOfSlot::DataLen => (2, 2),
                    NumberOfSlot::Memory => (4, 4),
                    NumberOfSlot::Passes => (8, 4),
                    NumberOfSlot::Lanes => (12, 4),
                    NumberOfSlot::ProviderLen => (64, 2),
                };
                if let Some(slot) = slot_of(draft, slot) {
                    slot[at..at + len].copy_from_slice(&value.to_le_bytes()[..len]);
                }
            }
            Self::Field { field, of } => field.apply(&of.sample().draft, draft),
            Self::FieldOfSlot { field, slot, of, from } => {
                if let Some(slot) = slot_of(draft, slot) {
                    let from = of.slot(from);
                    slot.splice(field.range(slot.len()), from[field.range(from.len())].iter().copied());
                }
            }
            Self::SwapSlots { one, other } => {
                let (one, other) = (usize::from(one), usize::from(other));
                if one.max(other) < draft.slots.len() {
                    draft.slots.swap(one, other);
                }
            }
            Self::InsertSlot { at, of, from } => {
                let at = usize::from(at) % (draft.slots.len() + 1);
                if draft.slots.len() < 9 {
                    draft.slots.insert(at, of.slot(from).to_vec());
                }
            }
            Self::RemoveSlot { at } => {
                if usize::from(at) < draft.slots.len() {
                    draft.slots.remove(at.into());
                }
            }
            Self::ByteOfData { slot, at, inserted } => {
                if let Some(slot) = slot_of(draft, slot) {
                    let data_len = slot.len() - SLOT_LEN;
                    match inserted {
                        Some(byte) => slot.insert(64 + usize::from(at) % (data_len + 1), byte),
                        None if data_len > 0 => drop(slot.remove(64 + usize::from(at) % data_len)),
                        None => {}
                    }
                }
            }
            Self::Body { len } => draft.body.resize(len.into(), 0),
            Self::Record { at, of, from } => {
                if let (Some(record), Some(from)) = (record_of(draft, at), of.record(from)) {
                    record.clone_from(from);
                }
            }
            Self::PartOfRecord { part, at, of, from } => {
                if let (Some(record), Some(from)) = (record_of(draft, at), of.record(from)) {
                    let range = part.range(record.bytes.len());
                    record.bytes.splice(range, from.bytes[part.range(from.bytes.len())].iter().copied());
                }
            }
            Self::SwapRecords { one, other } => {
                let (one, other) = (usize::from(one), usize::from(other));
                if one.max(other) < draft.journal.len() {
                    draft.journal.swap(one, other);
                }
            }
            Self::InsertRecord { at, of, from } => {
                if let Some(from) = of.record(from).filter(|_| draft.journal.len() < 9) {
                    draft.journal.insert(usize::from(at) % (draft.journal.len() + 1), from.clone());
                }
            }
            Self::RemoveRecord { at } => {
                if usize::from(at) < draft.journal.len() {
                    draft.journal.remove(at.into());
                }
            }
            Self::LenOfRecord { at, len } => {
                if let Some(record) = record_of(draft, at) {
                    record.stated_len = Some(len);
                }
            }
            Self::BlocksOfRecord { at, len } => {
                if let Some(record) = record_of(draft, at) {
                    record.stated_len = Some(len.saturating_mul(4096));
                }
            }
            Self::Byte { .. }
            | Self::Cut { .. }
            | Self::Append { .. }
            | Self::ZeroSectors { .. }
            | Self::AppendZeros { .. }
            | Self::CutFromEnd { .. } => {}
        }
    }

    /// Changes any bytes.
    fn apply_last(&self, file: &mut Vec<u8>) {
        match *self {
            Self::Byte { at, xor } => {
                if let Some(byte) = file.get_mut(usize::from(at)) {
                    *byte ^= xor.get();
                }
            }
            Self::Cut { len } => file.truncate(len.into()),
            Self::Append { byte, count } => file.resize(file.len() + usize::from(count), byte),
            Self::ZeroSectors { from_end, count } => {
                let sectors = file.len() / 512;
                let start = sectors.saturating_sub(usize::from(from_end) + 1);
                file[start * 512..(start + usize::from(count)).min(sectors) * 512].fill(0);
            }
            Self::AppendZeros { blocks } => file.resize(file.len() + BLOCK * usize::from(blocks % 8), 0),
            Self::CutFromEnd { len } => file.truncate(file.len().saturating_sub(len.into())),
            _ => {}
        }
    }
}

fn record_of(draft: &mut Draft, number: u8) -> Option<&mut DraftRecord> {
    draft.journal.get_mut(usize::from(number))
}

fn slot_of(draft: &mut Draft, number: u8) -> Option<&mut Vec<u8>> {
    draft.slots.get_mut(usize::from(number))
}

#[cfg(test)]
mod tests;
