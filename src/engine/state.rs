//! What is in memory of a file: read from its bytes, and sealed to be the next one.

use std::sync::Arc;

use crate::{
    codec::{self, Contents, Encoding, SlotNote},
    error::{Error, Result},
    file::{Held, Opened},
    format::{Header, PROLOGUE_LEN},
    index::Index,
    seal::{self, Sealed},
    secret::Key,
    unlock::Unlocked,
};

/// What is in memory of the file.
#[derive(Debug)]
pub(super) struct State {
    pub(super) held: Held,
    pub(super) unlocked: Unlocked,
    /// The file's first bytes: as long as they are the same, so is the state.
    pub(super) prologue: Vec<u8>,
    pub(super) header: Header,
    pub(super) notes: Vec<SlotNote>,
    /// Shared with the snapshots that were taken of it, and copied if it has to change while there are any.
    pub(super) index: Arc<Index>,
    /// An older or diverging state was seen at the path. This handle goes no further.
    pub(super) rolled_back: bool,
    /// The folder could not be synced after the last change. Nothing is called durable until it has been.
    pub(super) unconfirmed: bool,
}

/// What a file that is read anew is held against.
pub(super) struct Loaded {
    pub(super) unlocked: Unlocked,
    pub(super) header: Header,
}

impl State {
    pub(super) fn load(
        unlocked: Unlocked,
        opened: Opened,
        header: Header,
        header_bytes: &[u8],
        body: &mut [u8],
    ) -> Result<Self> {
        let contents = unseal(&unlocked.store_key, &header, header_bytes, body)?;
        let prologue = header_bytes.get(..PROLOGUE_LEN).unwrap_or_default().to_vec();
        let index = Arc::new(Index::new(contents.next_id, contents.tokens));
        Ok(Self {
            held: opened.hold(),
            unlocked,
            prologue,
            header,
            notes: contents.notes,
            index,
            rolled_back: false,
            unconfirmed: false,
        })
    }

    /// The header of the next file, before it is sealed: one generation later, and otherwise the same.
    pub(super) fn next_header(&self) -> Result<Header> {
        let generation = self.header.generation.checked_add(1);
        let generation = generation.ok_or(Error::Internal { what: "no generation is left" })?;
        Ok(Header { generation, ..self.header.clone() })
    }

    pub(super) fn loaded(&self) -> Loaded {
        Loaded { unlocked: self.unlocked.clone(), header: self.header.clone() }
    }
}

/// What the file holds, out of its body, which is decrypted in place.
pub(crate) fn unseal(store_key: &Key, header: &Header, header_bytes: &[u8], body: &mut [u8]) -> Result<Contents> {
    let contents = codec::decode(seal::open(store_key, header, header_bytes, body)?)?;
    if header.key_id != seal::key_id(store_key)? {
        return Err(Error::Malformed { what: "its key id does not match its key" });
    }
    if !contents.notes.iter().map(|note| note.slot_id).eq(header.slots.iter().map(|slot| slot.id)) {
        return Err(Error::Malformed { what: "its slots and the notes on them differ" });
    }
    Ok(contents)
}

pub(super) fn sealed(store_key: &Key, header: &mut Header, encoding: &Encoding<'_>) -> Result<Sealed> {
    seal::seal(store_key, header, encoding.len(), &|zeros, finished| encoding.write(zeros, finished))
}

/// The first bytes of a file that is on the disk.
pub(super) fn prologue_of(sealed: Sealed) -> Vec<u8> {
    let mut prologue = sealed.header;
    prologue.truncate(PROLOGUE_LEN);
    prologue
}
