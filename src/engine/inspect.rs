//! Verifying, copying, describing and setting aside a file.

use std::{
    path::{Path, PathBuf},
    time::Duration,
};

use super::{Engine, read_all, state::Baseline};
use crate::{
    error::{Error, Result},
    file::{Deadline, StoreFile},
    format::{self, Parts},
    secret::SecretBytes,
    status::{FileStatus, NotWritable, Status},
};

impl Engine {
    /// Reads the whole file again and verifies it.
    pub(crate) fn verify(&self) -> Result<()> {
        self.read_verified(|_| ())
    }

    /// Writes a verified copy of the file.
    pub(crate) fn backup_to(&self, path: &Path) -> Result<()> {
        let copy = self.file.copy_at(path)?;
        let bytes = self.read_verified(SecretBytes::clone)?;
        copy.make(None, &[&bytes])?.durability.confirm(None)
    }

    /// What the caller keeps of the bytes of the file, once they are verified to the last token. Verifying decrypts
    /// them in place.
    fn read_verified<T>(&self, keep: impl Fn(&SecretBytes) -> T) -> Result<T> {
        self.check_caller()?;
        loop {
            let state = self.state.read();
            if let Some(refused) = state.refused {
                return Err(refused.error(self.path()));
            }
            let baseline = state.baseline();
            drop(state);
            let opened = self.file.open()?;
            let mut bytes = read_all(&opened)?;
            let kept = keep(&bytes);
            match self.load(&baseline, opened, &mut bytes) {
                // Perhaps by this very handle, which changes what is in memory after the file.
                Err(Error::Rekeyed { .. }) if self.is_rekeyed_since(&baseline) => {}
                loaded => return loaded.map(|_| kept),
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
        self.file.check_replaceable(0, 0)
    }

    /// The state of the store, without what it holds.
    pub(crate) fn status(&self) -> Result<Status> {
        let (generation, tokens, opened_by) = self.read_state(|state| {
            (
                state.header.generation,
                state.rows.iter().map(|(_, index)| index.iter().count()).sum(),
                state.vault.opened_by(),
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
    let opened = file.open()?;
    let mut bytes = read_all(&opened)?;
    let generation = Parts::parse(&mut bytes).map_err(|flaw| opened.bad(flaw))?.body_header.generation;
    Ok(FileStatus { format_version: format::VERSION, generation, file_len: opened.len() })
}
