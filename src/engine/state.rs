//! What is in memory of a file, and which state an open handle adopts.
//!
//! # Which state is refused
//!
//! A file lists the marks of the last 64 states that it follows. [`Baseline::refuses`] compares that list with the
//! state of the handle. A lower generation is older: `RolledBack`. If the list has another mark for the handle's own
//! generation, the file descends from an earlier state, and lacks what the handle has seen: `Diverged`. If the handle
//! is more than 64 generations behind, the list does not reach back, and the file is adopted. `freshness.rs` says what
//! is checked before.

use std::{path::Path, sync::Arc};

use crate::{
    codec::{self, Contents},
    error::{Error, FileFlaw, Result},
    file::{OpenFile, PinnedFile},
    format::{BODY_HEADER_LEN, BodyHeader, MAX_ANCESTORS, Mark, TAG_LEN},
    id::Origin,
    namespaces::Namespaces,
    seal,
    vault::Vault,
};

/// What is in memory of the file.
#[derive(Debug)]
pub(super) struct State {
    pub(super) pinned: PinnedFile,
    /// The file's body header. Each commit changes it, so it tells one state from the next where the stamp does not.
    pub(super) body_header: Vec<u8>,
    pub(super) header: BodyHeader,
    /// The store key with its key slots.
    pub(super) vault: Arc<Vault>,
    pub(super) rows: Namespaces,
    pub(super) lineage: Lineage,
    /// A state that this handle must not adopt was seen at the path. This handle goes no further.
    pub(super) refused: Option<Refused>,
    /// Whether this handle knows that no power cut undoes this state, because it has synced the file and its directory.
    /// Of a state that was loaded it does not: the writer may have been killed before it could sync them.
    pub(super) is_synced: bool,
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
        // Held by `list_of_ancestors_ends_with_the_replaced_state`: `.take(MAX_ANCESTORS)` instead of `.skip`.
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
pub(super) struct Baseline {
    pub(super) vault: Arc<Vault>,
    pub(super) header: BodyHeader,
    mark: Mark,
}

impl Baseline {
    /// Whether a handle with this state must not adopt that one, which is of the same store and key. (Its generation is
    /// authenticated by now.)
    pub(super) fn refuses(&self, found: &State) -> Option<Refused> {
        let Some(generations) = found.header.generation.checked_sub(self.header.generation) else {
            // Held by `older_file_put_back_is_noticed_until_reopened`: `None`.
            return Some(Refused::RolledBack);
        };
        // Without an entry the handle is too far behind to tell.
        // Held by `another_history_of_any_length_is_noticed`: `false`.
        let is_other = found.lineage.ancestor(generations).is_some_and(|mark| mark != self.mark);
        is_other.then_some(Refused::Diverged)
    }
}

impl State {
    pub(super) fn load(
        vault: Arc<Vault>,
        opened: OpenFile,
        header: BodyHeader,
        header_bytes: &[u8],
        body: &mut [u8],
    ) -> Result<Self> {
        let mark = header.mark(body.last_chunk::<TAG_LEN>().map_or(&[], |tag| tag));
        let unsealed = unseal(&vault, &header, header_bytes, body)?;
        let Contents { next_id, ancestors, tokens } = unsealed.map_err(|flaw| opened.bad(flaw))?;
        let body_header = header_bytes.get(..BODY_HEADER_LEN).unwrap_or_default().to_vec();
        let rows = Namespaces::new(origin_of(&vault), next_id, tokens);
        Ok(Self {
            pinned: opened.pin(),
            body_header,
            header,
            vault,
            rows,
            lineage: Lineage { mark, ancestors },
            refused: None,
            // Held by `loaded_state_is_synced_by_an_operation_with_nothing_to_do`,
            // `unsynced_delete_is_not_forgotten_when_another_handle_saves`: `true`.
            is_synced: false,
        })
    }

    /// The generation of the next file.
    pub(super) fn next_generation(&self, path: &Path) -> Result<u64> {
        let next = self.header.generation.checked_add(1);
        next.ok_or_else(|| Error::NoGenerationLeft { path: path.to_owned() })
    }

    pub(super) fn baseline(&self) -> Baseline {
        Baseline { vault: self.vault.clone(), header: self.header.clone(), mark: self.lineage.mark }
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
