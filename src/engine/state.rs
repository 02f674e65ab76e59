//! The state of a file in memory, and which states an open handle refuses.
//!
//! # Which state is refused
//!
//! A file lists the last states of the 64 files before it, and the tags of the last 256 records of the file before it.
//! [`Baseline::refuses`] compares these lists with the state of the handle:
//!
//! - A file with a lower generation, or with the same body and fewer records, is older: `RolledBack`.
//! - If the list has another body for the handle's own generation, or fewer or other records than the handle has, the
//!   file descends from an earlier state, and lacks changes that the handle has seen: `Diverged`.
//! - If the lists do not reach back to the handle's generation or record, the file is adopted.
//!
//! `freshness.rs` states which checks come before.

use std::{path::Path, sync::Arc};

use super::journal::{AtDamage, Journal};
use crate::{
    codec::{self, Contents},
    error::{Error, FileFlaw, Result},
    file::{LoadedEnd, OpenFile, PinnedFile},
    format::{BODY_HEADER_LEN, BodyHeader, MAX_ANCESTORS, Mark, Parts, Tag},
    id::Origin,
    namespaces::Namespaces,
    seal,
    vault::Vault,
};

/// The state of a file in memory.
#[derive(Debug)]
pub(super) struct State {
    pub(super) pinned: PinnedFile,
    /// The bytes of the file's body header. Each replacement changes them, and each append changes the last tag. So the
    /// two tell one state from the next even if the stamp does not.
    pub(super) body_header: Vec<u8>,
    pub(super) header: BodyHeader,
    /// The store key with its key slots.
    pub(super) vault: Arc<Vault>,
    pub(super) rows: Namespaces,
    pub(super) journal: Journal,
    pub(super) lineage: Lineage,
    /// Set once this handle has seen a state at the path that it must not adopt. Every later operation reports it.
    pub(super) refused: Option<Refused>,
    /// Whether this handle has synced the file and its directory, so that no power cut undoes this state. It is `false`
    /// for a state that was loaded: the writer may have been killed before its sync.
    pub(super) is_synced: bool,
}

/// The mark of a state, and the marks and tags that its file lists.
#[derive(Debug, Clone)]
pub(super) struct Lineage {
    pub(super) mark: Mark,
    /// The last state of each file that was replaced, the oldest first.
    pub(super) ancestors: Vec<Mark>,
    /// The starts of the tags of the last records of the file that was replaced last.
    pub(super) record_tags: Vec<[u8; 8]>,
}

impl Lineage {
    /// The ancestors of the state that replaces this one.
    pub(super) fn next_ancestors(&self) -> Vec<Mark> {
        let all = self.ancestors.iter().chain([&self.mark]).copied();
        // Held by `list_of_ancestors_ends_with_the_replaced_state`: `.take(MAX_ANCESTORS)` instead of `.skip`.
        all.skip(self.ancestors.len().saturating_add(1).saturating_sub(MAX_ANCESTORS)).collect()
    }

    /// The number of ancestors of the state that replaces this one.
    pub(super) fn next_ancestor_count(&self) -> usize {
        self.ancestors.len().saturating_add(1).min(MAX_ANCESTORS)
    }

    /// The mark of the state that is that many generations older; `None` if the list does not reach back to it.
    pub(super) fn ancestor(&self, generations: u64) -> Option<Mark> {
        let Some(back) = generations.checked_sub(1) else { return Some(self.mark) };
        self.ancestors.iter().rev().nth(usize::try_from(back).ok()?).copied()
    }

    /// The start of the tag of that record of the file that was replaced last, if it is listed.
    fn record_tag(&self, number: u32) -> Option<[u8; 8]> {
        let back = self.ancestors.last()?.record_count.checked_sub(number)?;
        self.record_tags.iter().rev().nth(usize::try_from(back).ok()?).copied()
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
pub(super) struct Baseline {
    pub(super) vault: Arc<Vault>,
    pub(super) header: BodyHeader,
    pub(super) mark: Mark,
    body_header: Vec<u8>,
    journal_end: u64,
    last_tag: Tag,
}

impl Baseline {
    /// Where the file ends, as far as it was loaded.
    pub(super) fn loaded_end(&self) -> LoadedEnd<'_> {
        LoadedEnd { start: &self.body_header, len: self.journal_end, last: &self.last_tag }
    }

    /// Why a handle with this state must not adopt a file that was found at the path, if it must not. The file is of
    /// the same store and key, and is authenticated. If its lists do not reach back far enough, the handle adopts it.
    pub(super) fn refuses(&self, found: &State) -> Option<Refused> {
        let Some(generations) = found.header.generation.checked_sub(self.header.generation) else {
            // Held by `older_file_put_back_is_noticed_until_reopened`: `None`.
            return Some(Refused::RolledBack);
        };
        // Without an entry the handle is too far behind to compare.
        let last = found.lineage.ancestor(generations)?;
        // Held by `ancestor_with_another_body_has_diverged`.
        if last.salt != self.mark.salt {
            return Some(Refused::Diverged);
        }
        // Both have the same body. The handle's own records have to be the first of the found ones.
        let own = self.mark.record_count;
        // Held by `older_journal_is_reported_by_an_open_handle`.
        if last.record_count < own {
            return Some(if generations == 0 { Refused::RolledBack } else { Refused::Diverged });
        }
        let tag = match generations {
            _ if last.record_count == own => Some(last.tag),
            0 => found.journal.tag_of(own),
            1 => found.lineage.record_tag(own),
            _ => None,
        };
        // Held by `copy_of_the_same_length_has_diverged`, `replaced_file_tells_whose_records_it_had`: `None`.
        tag.is_some_and(|tag| tag != self.mark.tag).then_some(Refused::Diverged)
    }
}

impl State {
    /// The state that a file holds, from its parts, which are decrypted in place.
    pub(super) fn load(vault: Arc<Vault>, opened: OpenFile, parts: Parts<'_>, at_damage: AtDamage) -> Result<Self> {
        let Parts { body_header: header, table: _, table_bytes: _, header: header_bytes, body, journal: bytes } = parts;
        let body_tag = body.last_chunk().copied().unwrap_or_default();
        let unsealed = unseal(&vault, &header, header_bytes, body)?;
        let Contents { next_id, ancestors, record_tags, tokens } = unsealed.map_err(|flaw| opened.bad(flaw))?;
        let mut rows = Namespaces::new(origin_of(&vault), next_id, tokens);
        let mut journal = Journal::new(&header, body_tag);
        journal.replay(bytes, &vault, &header, &mut rows, at_damage)?.map_err(|flaw| opened.bad(flaw))?;
        let lineage = Lineage { mark: journal.mark(&header), ancestors, record_tags };
        let body_header = header_bytes.get(..BODY_HEADER_LEN).unwrap_or_default().to_vec();
        let (pinned, refused, is_synced) = (opened.pin(), None, false);
        Ok(Self { pinned, body_header, header, vault, rows, journal, lineage, refused, is_synced })
    }

    /// The generation of the next file.
    pub(super) fn next_generation(&self, path: &Path) -> Result<u64> {
        let next = self.header.generation.checked_add(1);
        next.ok_or_else(|| Error::NoGenerationLeft { path: path.to_owned() })
    }

    /// Adds a record that was appended to the file. Its rows have been put.
    pub(super) fn push_record(&mut self, len: u64, tag: Tag) {
        self.journal.push(len, tag);
        self.lineage.mark = self.journal.mark(&self.header);
    }

    /// Where the file ends, as far as it was loaded.
    pub(super) fn loaded_end(&self) -> LoadedEnd<'_> {
        self.journal.loaded_end(&self.body_header)
    }

    pub(super) fn baseline(&self) -> Baseline {
        Baseline {
            vault: self.vault.clone(),
            header: self.header.clone(),
            mark: self.lineage.mark,
            body_header: self.body_header.clone(),
            journal_end: self.journal.end(),
            last_tag: *self.journal.last_tag(),
        }
    }
}

/// What the file holds, from its body, which is decrypted in place; or what is wrong with the file.
pub(crate) fn unseal(
    vault: &Vault,
    header: &BodyHeader,
    header_bytes: &[u8],
    body: &mut [u8],
) -> Result<Result<Contents, FileFlaw>> {
    let Some(plaintext) = seal::open(vault.store_key(), header, header_bytes, body)? else {
        return Ok(Err(FileFlaw::Tampered));
    };
    Ok(codec::decode(plaintext, header, origin_of(vault)))
}

/// The store that the revisions in a file count in.
pub(super) fn origin_of(vault: &Vault) -> Origin {
    Origin::of(("file", vault.store_id()))
}
