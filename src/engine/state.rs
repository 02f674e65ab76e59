//! What is in memory of a file: read from its bytes, and sealed to be the next one.

use std::{collections::BTreeMap, path::Path, sync::Arc};

use crate::{
    codec::{self, Contents, Encoding, SlotNote},
    error::{Error, FileFlaw, Result},
    file::{Held, Opened},
    format::{Header, MAX_ANCESTORS, Mark, PROLOGUE_LEN, TAG_LEN},
    id::Origin,
    index::Index,
    seal::{self, Sealed},
    secret::Key,
    token::Token,
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
    /// A save writes them again as they were read.
    pub(super) others: Arc<OtherNamespaces>,
    pub(super) lineage: Lineage,
    /// A state that this handle must not adopt was seen at the path. This handle goes no further.
    pub(super) refused: Option<Refused>,
    /// A power cut may undo this state: this handle has not synced the file and its directory since. The writer may
    /// have been killed before it could, so this is so of every state that was loaded.
    pub(super) is_unsynced: bool,
}

/// The tokens of all namespaces but the default one.
#[derive(Debug, Default)]
pub(super) struct OtherNamespaces {
    tokens: BTreeMap<Box<str>, Vec<Token>>,
    /// What they take in a payload, in bytes.
    pub(super) records_len: u64,
}

impl OtherNamespaces {
    fn new(tokens: BTreeMap<Box<str>, Vec<Token>>) -> Self {
        let records_len = tokens.iter().map(|(name, tokens)| codec::records_len(name, tokens));
        Self { records_len: records_len.fold(0, u64::saturating_add), tokens }
    }

    /// The tokens, each with the name of its namespace, in the order of the names.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, &Token)> {
        self.tokens.iter().flat_map(|(name, tokens)| tokens.iter().map(move |token| (&**name, token)))
    }
}

/// A state, and those that it replaced.
#[derive(Debug, Clone)]
pub(super) struct Lineage {
    pub(super) mark: Mark,
    /// The oldest first.
    pub(super) ancestors: Vec<Mark>,
}

impl Lineage {
    /// The ancestors of the state that replaces this one.
    pub(super) fn next_ancestors(&self) -> Vec<Mark> {
        let all = self.ancestors.iter().chain([&self.mark]).copied();
        all.skip(self.ancestors.len().saturating_add(1).saturating_sub(MAX_ANCESTORS)).collect()
    }

    /// The mark of the state that is so many generations older; `None` if the list does not reach back to it.
    pub(super) fn ancestor(&self, generations: u64) -> Option<Mark> {
        let Some(back) = generations.checked_sub(1) else { return Some(self.mark) };
        self.ancestors.iter().rev().nth(usize::try_from(back).ok()?).copied()
    }
}

/// Why a handle does not adopt the state that is at its path.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refused {
    /// It is older than the handle's own.
    RolledBack,
    /// It does not descend from the handle's own.
    Diverged,
}

impl Refused {
    pub(super) fn error(self, path: &Path) -> Error {
        let path = path.to_owned();
        match self {
            Self::RolledBack => Error::RolledBack { path },
            Self::Diverged => Error::Diverged { path },
        }
    }
}

/// The state that a reloaded file is compared with.
pub(super) struct Loaded {
    pub(super) unlocked: Unlocked,
    pub(super) header: Header,
    mark: Mark,
}

impl Loaded {
    /// Whether a handle with this state must not adopt that one, which is of the same store and key. (Its generation is
    /// authenticated by now.)
    pub(super) fn refuses(&self, found: &State) -> Option<Refused> {
        let Some(generations) = found.header.generation.checked_sub(self.header.generation) else {
            return Some(Refused::RolledBack);
        };
        // Without an entry the handle is too far behind to tell.
        let is_other = found.lineage.ancestor(generations).is_some_and(|mark| mark != self.mark);
        is_other.then_some(Refused::Diverged)
    }
}

impl State {
    pub(super) fn load(
        unlocked: Unlocked,
        opened: Opened,
        header: Header,
        header_bytes: &[u8],
        body: &mut [u8],
    ) -> Result<Self> {
        let mark = header.mark(body.last_chunk::<TAG_LEN>().map_or(&[], |tag| tag));
        let unsealed = unseal(&unlocked.store_key, &header, header_bytes, body)?;
        let Contents { next_id, notes, ancestors, mut tokens } = unsealed.map_err(|flaw| opened.bad(flaw))?;
        let prologue = header_bytes.get(..PROLOGUE_LEN).unwrap_or_default().to_vec();
        let of_default = tokens.remove("").unwrap_or_default();
        let index = Arc::new(Index::new(origin_of(&header), next_id, of_default));
        Ok(Self {
            held: opened.hold(),
            unlocked,
            prologue,
            header,
            notes,
            index,
            others: Arc::new(OtherNamespaces::new(tokens)),
            lineage: Lineage { mark, ancestors },
            refused: None,
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
        Loaded { unlocked: self.unlocked.clone(), header: self.header.clone(), mark: self.lineage.mark }
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
    let contents = codec::decode(plaintext, header, origin_of(header));
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

#[cfg(test)]
mod tests;
