//! What is in memory of a file: read from its bytes, and sealed to be the next one.

use std::{path::Path, sync::Arc};

use crate::{
    codec::{self, Contents, Encoding, SlotNote},
    error::{Error, FileFlaw, Result},
    file::{Held, Opened},
    format::{Header, PROLOGUE_LEN},
    id::Origin,
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
    /// A power cut may undo this state: this handle has not synced the file and its directory since. The writer may
    /// have been killed before it could, so this is so of every state that was loaded.
    pub(super) is_unsynced: bool,
}

/// The state that a reloaded file is compared with.
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
        let unsealed = unseal(&unlocked.store_key, &header, header_bytes, body)?;
        let contents = unsealed.map_err(|flaw| opened.bad(flaw))?;
        let prologue = header_bytes.get(..PROLOGUE_LEN).unwrap_or_default().to_vec();
        let index = Arc::new(Index::new(origin_of(&header), contents.next_id, contents.tokens));
        Ok(Self {
            held: opened.hold(),
            unlocked,
            prologue,
            header,
            notes: contents.notes,
            index,
            rolled_back: false,
            is_unsynced: true,
        })
    }

    /// The header of the next file, before it is sealed: one generation later, and otherwise the same.
    pub(super) fn next_header(&self, path: &Path) -> Result<Header> {
        let generation = self.header.generation.checked_add(1);
        let generation = generation.ok_or_else(|| Error::NoGenerationLeft { path: path.to_owned() })?;
        Ok(Header { generation, ..self.header.clone() })
    }

    pub(super) fn loaded(&self) -> Loaded {
        Loaded { unlocked: self.unlocked.clone(), header: self.header.clone() }
    }
}

/// What the file holds, from its body, which is decrypted in place; or what is wrong with the file.
pub(crate) fn unseal(
    store_key: &Key,
    header: &Header,
    header_bytes: &[u8],
    body: &mut [u8],
) -> Result<Result<Contents, FileFlaw>> {
    let Some(plaintext) = seal::open(store_key, header, header_bytes, body)? else {
        return Ok(Err(FileFlaw::Tampered));
    };
    let key_id = seal::key_id(store_key)?;
    let is_of_header = |contents: &Contents| {
        if header.key_id != key_id {
            return Err(FileFlaw::malformed("its key id does not match its key"));
        }
        if !contents.notes.iter().map(|note| note.slot_id).eq(header.slots.iter().map(|slot| slot.id)) {
            return Err(FileFlaw::malformed("its slots and the notes on them differ"));
        }
        Ok(())
    };
    let contents = codec::decode(plaintext, origin_of(header));
    Ok(contents.and_then(|contents| is_of_header(&contents).map(|()| contents)))
}

/// The store that the revisions in a file count in.
pub(super) fn origin_of(header: &Header) -> Origin {
    Origin::of(("file", header.store_id))
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
