//! Files that are changed field by field, by somebody who has everything but the keys.

use std::{collections::BTreeMap, num::NonZeroU8, path::Path, sync::OnceLock};

use arbitrary::Arbitrary;

use super::{header_len, recheck};
use crate::{
    Error, FileFlaw, Origin, RecoveryKey, Token, Unlock,
    codec::{Contents, Encoding, SlotNote},
    engine,
    format::{Header, Mark, PROLOGUE_LEN, SLOT_LEN, StoreId},
    id::TokenId,
    seal,
    secret::Key,
    time::Millis,
};

#[derive(Debug, Arbitrary)]
pub(super) struct Change {
    of: Original,
    mutations: Vec<Mutation>,
    /// Whether the lengths in the header are made to fit what became of it.
    fits: bool,
    by_the_second_key: bool,
}

/// The files that there are.
#[derive(Debug, Clone, Copy, Arbitrary)]
enum Original {
    First,
    /// The same store a generation later.
    Later,
    /// Another state of that generation.
    Fork,
    /// Another store of the same store key.
    Kin,
    /// Another store that the same ways open.
    Stranger,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Mutation {
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
    Header {
        of: Original,
    },
    Body {
        of: Original,
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
    Cut {
        len: u16,
    },
    Append {
        byte: u8,
        count: u8,
    },
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Number {
    Version,
    SlotCount,
    HeaderLen,
    BodyLen,
    Features,
    Zero,
    Generation,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum NumberOfSlot {
    Kind,
    Argon2Version,
    Zero,
    Memory,
    Passes,
    Lanes,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum Field {
    StoreId,
    Generation,
    BodySalt,
    BodyCommitment,
    KeyId,
}

#[derive(Debug, Clone, Copy, Arbitrary)]
enum FieldOfSlot {
    Id,
    Salt,
    Commitment,
    WrappedKey,
    /// The start, which the wrapping key is bound to.
    Bound,
    All,
}

/// An original and what it holds.
struct Sample {
    file: Vec<u8>,
    contents: Contents,
}

impl Original {
    const ALL: [Self; 5] = [Self::First, Self::Later, Self::Fork, Self::Kin, Self::Stranger];

    fn sample(self) -> &'static Sample {
        static SAMPLES: OnceLock<[Sample; 5]> = OnceLock::new();
        let samples = SAMPLES.get_or_init(|| Self::ALL.map(|original| original.make().expect("an original")));
        let [first, later, fork, kin, stranger] = samples;
        match self {
            Self::First => first,
            Self::Later => later,
            Self::Fork => fork,
            Self::Kin => kin,
            Self::Stranger => stranger,
        }
    }

    fn make(self) -> crate::Result<Sample> {
        let (store_id, generation, store_key): (StoreId, u64, u8) = match self {
            Self::First => ([1; 16], 1, 5),
            Self::Later | Self::Fork => ([1; 16], 2, 5),
            Self::Kin => ([2; 16], 1, 5),
            Self::Stranger => ([3; 16], 1, 6),
        };
        let mut key = Key::zeroed();
        key.bytes_mut().fill(store_key);
        let (body_salt, body_commitment, key_id) = ([0; 32], [0; 32], seal::key_id(&key)?);
        let mut header =
            Header { store_id, generation, body_len: 0, body_salt, body_commitment, key_id, slots: Vec::new() };
        let time = Millis::new(1).expect("a time");
        let mut notes = Vec::new();
        for number in [1, 2, 1] {
            let slot = unlock(number).new_slot(&header, &key, None)?.seal(&store_id, &key)?;
            notes.push(SlotNote { slot_id: slot.id, label: String::from("paper"), created_at: time });
            header.slots.push(slot);
        }
        let token = Token::builder().user_name(format!("{self:?}")).refresh_token("secret");
        let token = token.id(TokenId::from("1")).stored(Origin::of("mutated"), time.time(), time.time(), 1).build();
        let ancestors = vec![Mark { salt: [7; 8], tag: [8; 8] }; header.ancestor_count()];
        let tokens = BTreeMap::from([(Box::from(""), vec![token])]);
        let contents = Contents { next_id: 2, notes, ancestors, tokens };
        let encoding = Encoding::of(header.len(), &contents)?;
        let sealed = seal::seal(&key, &mut header, encoding.len(), &|zeros, finished| encoding.write(zeros, finished))?;
        Ok(Sample { file: sealed.parts().concat(), contents })
    }
}

fn unlock(number: u8) -> Unlock {
    RecoveryKey::of_bytes(&[number; 32]).expect("any bytes are a key").into()
}

impl Change {
    fn file(&self) -> Vec<u8> {
        let mut file = self.of.sample().file.clone();
        for mutation in &self.mutations {
            mutation.apply(&mut file);
        }
        if self.fits {
            fit(&mut file);
        }
        recheck(&mut file);
        file
    }
}

pub(super) fn check(change: &Change) {
    let mut file = change.file();
    let changed = file.clone();
    match open(&mut file, &unlock(if change.by_the_second_key { 2 } else { 1 })) {
        // Every byte of a file is authenticated, and only whole files have been.
        Ok(contents) => {
            let original = Original::ALL.into_iter().find(|original| original.sample().file == changed);
            let original = original.unwrap_or_else(|| panic!("opened though none was written so: {change:?}"));
            assert_eq!(contents, original.sample().contents);
        }
        Err(Error::BadFile { .. } | Error::NoSlotFor { .. } | Error::WrongRecoveryKey { .. }) => {
            assert!(Original::ALL.iter().all(|original| original.sample().file != changed), "refused: {change:?}");
        }
        Err(other) => panic!("{change:?}: {other:?}"),
    }
}

/// As opening a store does it.
fn open(file: &mut [u8], unlock: &Unlock) -> crate::Result<Contents> {
    let path = Path::new("mutated");
    let bad = |flaw: FileFlaw| Error::BadFile { path: path.to_owned(), flaw };
    let (header, bytes, body) = Header::parse(file).map_err(bad)?;
    let unlocked = unlock.open_slot(&header, path)?;
    engine::unseal(&unlocked.store_key, &header, bytes, body)?.map_err(bad)
}

/// The counts and lengths that the number of whole slots before the original's body asks for.
fn fit(file: &mut Vec<u8>) {
    let body_len = Original::First.sample().file.len() - header_len(&Original::First.sample().file).expect("a header");
    let Some(len) = file.len().checked_sub(body_len).filter(|len| *len >= PROLOGUE_LEN) else { return };
    let slots = u16::try_from((len - PROLOGUE_LEN) / SLOT_LEN).expect("few slots");
    file[10..12].copy_from_slice(&slots.to_le_bytes());
    file[12..16].copy_from_slice(&u32::try_from(len).expect("a short file").to_le_bytes());
    // A file ends with a block.
    file.resize(file.len().next_multiple_of(4096), 0);
    let body_len = u64::try_from(file.len() - len).expect("a short file");
    file[16..24].copy_from_slice(&body_len.to_le_bytes());
}

impl Mutation {
    /// Changes the file where it has what is to be changed.
    fn apply(&self, file: &mut Vec<u8>) {
        match *self {
            Self::Byte { at, xor } => {
                if let Some(byte) = file.get_mut(usize::from(at)) {
                    *byte ^= xor.get();
                }
            }
            Self::Number { field, value } => {
                let (at, len) = match field {
                    Number::Version => (8, 2),
                    Number::SlotCount => (10, 2),
                    Number::HeaderLen => (12, 4),
                    Number::BodyLen => (16, 8),
                    Number::Features => (24, 4),
                    Number::Zero => (28, 4),
                    Number::Generation => (48, 8),
                };
                write(file, at, &value.to_le_bytes()[..len]);
            }
            Self::NumberOfSlot { field, slot, value } => {
                let (at, len) = match field {
                    NumberOfSlot::Kind => (0, 1),
                    NumberOfSlot::Argon2Version => (1, 1),
                    NumberOfSlot::Zero => (2, 2),
                    NumberOfSlot::Memory => (4, 4),
                    NumberOfSlot::Passes => (8, 4),
                    NumberOfSlot::Lanes => (12, 4),
                };
                write(file, slot_at(slot) + at, &value.to_le_bytes()[..len]);
            }
            Self::Field { field, of } => {
                let range = match field {
                    Field::StoreId => 32..48,
                    Field::Generation => 48..56,
                    Field::BodySalt => 56..88,
                    Field::BodyCommitment => 88..120,
                    Field::KeyId => 120..128,
                };
                write(file, range.start, &of.sample().file[range]);
            }
            Self::FieldOfSlot { field, slot, of, from } => {
                let range = match field {
                    FieldOfSlot::Id => 16..32,
                    FieldOfSlot::Salt => 32..64,
                    FieldOfSlot::Commitment => 64..96,
                    FieldOfSlot::WrappedKey => 96..144,
                    FieldOfSlot::Bound => 0..64,
                    FieldOfSlot::All => 0..144,
                };
                write(file, slot_at(slot) + range.start, &of.slot(from)[range]);
            }
            Self::Header { of } => {
                let header = &of.sample().file[..header_len(&of.sample().file).expect("a header")];
                write(file, 0, header);
            }
            Self::Body { of } => {
                let original = &of.sample().file;
                let body = &original[header_len(original).expect("a header")..];
                if let Some(at) = file.len().checked_sub(body.len()) {
                    write(file, at, body);
                }
            }
            Self::SwapSlots { one, other } => {
                let (one, other) = (slot_at(one), slot_at(other));
                if file.len() >= one.max(other) + SLOT_LEN {
                    (0..SLOT_LEN).for_each(|byte| file.swap(one + byte, other + byte));
                }
            }
            Self::InsertSlot { at, of, from } => {
                let at = slot_at(at);
                if at <= file.len() {
                    file.splice(at..at, of.slot(from).iter().copied());
                }
            }
            Self::RemoveSlot { at } => {
                let at = slot_at(at);
                if at + SLOT_LEN <= file.len() {
                    file.drain(at..at + SLOT_LEN);
                }
            }
            Self::Cut { len } => file.truncate(len.into()),
            Self::Append { byte, count } => file.resize(file.len() + usize::from(count), byte),
        }
    }
}

impl Original {
    fn slot(self, number: u8) -> &'static [u8] {
        let at = PROLOGUE_LEN + usize::from(number % 3) * SLOT_LEN;
        &self.sample().file[at..at + SLOT_LEN]
    }
}

fn slot_at(number: u8) -> usize {
    PROLOGUE_LEN + usize::from(number % 9) * SLOT_LEN
}

fn write(file: &mut [u8], at: usize, bytes: &[u8]) {
    if let Some(place) = file.get_mut(at..).and_then(|rest| rest.get_mut(..bytes.len())) {
        place.copy_from_slice(bytes);
    }
}

#[cfg(test)]
mod tests;
