//! Verifying, copying, describing and setting aside a file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{
    Engine,
    freshness::read_twice,
    journal::AtDamage,
    next_state::NextState,
    sealing::sealed,
    state::{Baseline, State},
    unlock_state,
};
use crate::{
    error::{Error, Result},
    file::{Deadline, StoreFile},
    format::{self, JournalLayout, KeyTable, Parts, check_without_key},
    secret::SecretBytes,
    status::{FileStatus, JournalStatus, NotWritable, Status},
    unlock::Unlock,
};

impl Engine {
    /// Reads the whole file again and verifies it.
    pub(crate) fn verify(&self) -> Result<()> {
        self.load_verified(|_| ()).map(drop)
    }

    /// Writes a verified copy of the file, without a journal.
    pub(crate) fn backup_to(&self, path: &Path) -> Result<()> {
        let copy = self.file.copy_at(path)?;
        let (bytes, state) = self.load_verified(SecretBytes::clone)?;
        if state.journal.len() == 0 && !state.journal.is_torn() {
            return copy.make(None, &[&bytes])?.durability.confirm(None);
        }
        drop(bytes);
        write_compacted(&copy, &state)
    }

    /// Replaces the file, without a journal.
    pub(crate) fn compact(&self) -> Result<()> {
        let ((), durability) = self.commit_alone(|next| {
            next.must_replace = true;
            Ok(())
        })?;
        durability.confirm(None)
    }

    /// What the file holds, verified to the last token, and what the caller keeps of its bytes. Verifying decrypts them
    /// in place.
    fn load_verified<T>(&self, keep: impl Fn(&SecretBytes) -> T) -> Result<(T, State)> {
        self.check_caller()?;
        loop {
            let state = self.state.read();
            if let Some(refused) = state.refused {
                return Err(refused.error(self.path()));
            }
            let baseline = state.baseline();
            drop(state);
            let loaded = read_twice(&self.file, |opened, bytes| {
                let kept = keep(bytes);
                self.load(&baseline, opened, bytes).map(|state| (kept, state))
            });
            match loaded {
                // Perhaps by this very handle, which changes what is in memory after the file.
                Err(Error::Rekeyed { .. }) if self.is_rekeyed_since(&baseline) => {}
                loaded => return loaded,
            }
        }
    }

    fn is_rekeyed_since(&self, baseline: &Baseline) -> bool {
        let _gate = self.gate.lock();
        self.state.read().vault.key_id() != baseline.vault.key_id()
    }

    /// That a save would succeed now, as far as the system says so beforehand.
    pub(crate) fn check_writable(&self) -> Result<()> {
        self.check_caller()?;
        self.file.check_path()?;
        self.file.check_savable(self.next_save()?, 0, 0)
    }

    /// The state of the store, without what it holds.
    pub(crate) fn status(&self) -> Result<Status> {
        let (generation, tokens, opened_by, journal) = self.read_state(|state| {
            (
                state.header.generation,
                state.rows.iter().map(|(_, index)| index.iter().count()).sum(),
                state.vault.opened_by(),
                JournalStatus {
                    records: state.journal.record_count(),
                    len: state.journal.len(),
                    is_torn: state.journal.is_torn(),
                },
            )
        })?;
        let opened = self.file.open()?;
        Ok(Status {
            path: self.path().to_owned(),
            format_version: format::VERSION,
            generation,
            tokens,
            opened_by,
            file_len: opened.len(),
            journal,
            reserved: self.file.reserved()?,
            mode: opened.mode(),
            not_offered: self.file.not_offered()?,
            not_writable: self.check_writable().err().map(|error| NotWritable::of(&error)),
        })
    }
}

/// Renames a file to a name that no file has.
pub(crate) fn set_aside(file: &StoreFile, lock_timeout: Duration) -> Result<PathBuf> {
    // Before a lock file of ours is put where another user's would be expected.
    file.check_writable()?;
    let lock = file.lock(&Deadline::after(lock_timeout, file.path()))?;
    let (aside, durability) = file.set_aside(&lock)?;
    durability.confirm(None)?;
    Ok(aside)
}

/// Checks a file as far as that is possible without a key.
pub(crate) fn verify_file(file: &StoreFile) -> Result<FileStatus> {
    read_twice(file, |opened, bytes| {
        let parts = Parts::parse(bytes).map_err(|flaw| opened.bad(flaw))?;
        let body_end = parts.body_header.body_end();
        let layout = check_without_key(parts.journal, body_end).map_err(|flaw| opened.bad(flaw))?;
        let JournalLayout { records, len, is_torn } = layout;
        Ok(FileStatus {
            format_version: format::VERSION,
            generation: parts.body_header.generation,
            file_len: opened.len(),
            journal: JournalStatus { records, len, is_torn },
        })
    })
}

/// Writes what a damaged file holds before the damage to another file.
pub(crate) fn recover_before_damage(file: &StoreFile, unlock: &Unlock, path: &Path) -> Result<()> {
    let copy = file.copy_at(path)?;
    let open_slot = |table: &KeyTable, path: &Path| unlock.open_slot(table, path);
    let state = unlock_state(file, &[unlock], open_slot, AtDamage::Stop)?;
    write_compacted(&copy, &state)
}

/// Writes a state as a new file, one generation later, without a journal.
fn write_compacted(copy: &StoreFile, state: &State) -> Result<()> {
    let next = NextState::of(state, copy.path())?;
    let sealed = sealed(&next.vault, next.generation, &next.encoding()?)?;
    copy.make(None, &sealed.parts(next.vault.bytes()))?.durability.confirm(None)
}
