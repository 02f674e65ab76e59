//! A passphrase as the way to a store's key.

use crate::{
    error::{Error, Result},
    format::{Salt, SlotKind},
    kdf::KdfParams,
    secret::{Key, Secret},
};

const ARGON2ID: &[u8; 22] = b"tokenkeep v1 argon2id\0";

#[derive(Debug, Clone)]
pub(super) struct Passphrase {
    text: Secret,
    kdf: Option<KdfParams>,
}

impl Passphrase {
    pub(super) fn new(text: Secret) -> Self {
        Self { text, kdf: None }
    }

    /// The cost of a new slot for it: as it was set, or as it was in that place, but by itself no less than the default.
    pub(super) fn new_kdf(&self, replaced: Option<SlotKind>) -> KdfParams {
        let default = KdfParams::default();
        match (self.kdf, replaced) {
            (Some(kdf), _) => kdf,
            (None, Some(SlotKind::Passphrase(kdf))) if !kdf.is_less_than(default) => kdf,
            _ => default,
        }
    }

    pub(super) fn set_kdf(&mut self, kdf: KdfParams) {
        self.kdf = Some(kdf);
    }

    /// The key that it gives for a slot of that cost and salt.
    pub(super) fn slot_key(&self, kdf: KdfParams, salt: &Salt) -> Result<Key> {
        if self.text.is_empty() {
            return Err(Error::EmptyPassphrase);
        }
        kdf.derive(self.text.expose_secret().as_bytes(), &[ARGON2ID.as_slice(), salt].concat())
    }
}
