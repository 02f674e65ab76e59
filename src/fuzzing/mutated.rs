//! Files that are changed field by field, by somebody who has everything but the keys.

mod draft;

use std::{collections::BTreeMap, num::NonZeroU8, path::Path, sync::OnceLock};

use arbitrary::Arbitrary;

use draft::{Draft, Field, FieldOfSlot, Number};

use super::{
    recheck, table_of,
    tables::{SLOT_LEN, new_slot, sealed},
    unlock,
};
use crate::{
    Error, External, ExternalError, ExternalKey, ExternalSlot, FileFlaw, Origin, Token, Unlock,
    codec::{Contents, Encoding},
    engine,
    format::{BodyHeader, Mark, Parts},
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
    contents: Contents,
}

impl Original {
    const ALL: [Self; 7] =
        [Self::First, Self::Later, Self::Fork, Self::Slotted, Self::Rekeyed, Self::Kin, Self::Stranger];

    fn sample(self) -> &'static Sample {
        static SAMPLES: OnceLock<[Sample; 7]> = OnceLock::new();
        let samples = SAMPLES.get_or_init(|| {
            let vaults = Vaults::new();
            Self::ALL.map(|original| original.make(&vaults).expect("an original"))
        });
        let place = Self::ALL.iter().position(|original| *original == self).expect("one of all");
        &samples[place]
    }

    fn make(self, vaults: &Vaults) -> crate::Result<Sample> {
        let (vault, generation) = match self {
            Self::First => (&vaults.first, 1),
            Self::Later | Self::Fork => (&vaults.first, 2),
            Self::Slotted => (&vaults.slotted, 2),
            Self::Rekeyed => (&vaults.rekeyed, 2),
            Self::Kin => (&vaults.kin, 1),
            Self::Stranger => (&vaults.stranger, 1),
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
        Ok(Sample { draft: Draft::of(&file), file, vault: vault.clone(), contents })
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
    let original = Original::ALL.into_iter().find(|original| original.sample().file == changed);
    match open(&mut changed.clone(), &unlock) {
        // Every byte of a file is authenticated, and only whole files have been.
        Ok((vault, contents)) => {
            let original = original.unwrap_or_else(|| panic!("opened though none was written so: {change:?}"));
            assert_eq!(contents, original.sample().contents);
            assert_eq!(vault.slots(), original.sample().vault.slots());
        }
        Err(error) => {
            assert!(is_refusal(&error) && original.is_none(), "{change:?}: {error:?}");
            // Who has no key writes nothing that gets past its tag.
            let is_parsed = Parts::parse(&mut changed.clone()).is_ok();
            assert!(!is_parsed || !is_flaw(&error, |flaw| flaw != FileFlaw::Tampered), "{change:?}: {error:?}");
        }
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

/// As opening a store does it.
fn open(file: &mut [u8], unlock: &Unlock) -> crate::Result<(Vault, Contents)> {
    let path = Path::new("mutated");
    let bad = |flaw: FileFlaw| Error::BadFile { path: path.to_owned(), flaw };
    let Parts { body_header, table, table_bytes, header, body, journal: _ } = Parts::parse(file).map_err(bad)?;
    let vault = Vault::unlock(path, table, table_bytes, |table| unlock.open_slot(table, path))?;
    let contents = engine::unseal(&vault, &body_header, header, body)?.map_err(bad)?;
    Ok((vault, contents))
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
            Self::Byte { .. } | Self::Cut { .. } | Self::Append { .. } => {}
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
            _ => {}
        }
    }
}

fn slot_of(draft: &mut Draft, number: u8) -> Option<&mut Vec<u8>> {
    draft.slots.get_mut(usize::from(number))
}

#[cfg(test)]
mod tests;
