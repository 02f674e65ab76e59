//! A passphrase as the way to a store's key.

use crate::{
    error::{Error, Result},
    format::Salt,
    kdf::KdfParams,
    secret::{Key, Secret},
};

const ARGON2ID: &[u8; 22] = b"tokenkeep v1 argon2id\0";

#[derive(Debug, Clone)]
pub(super) struct Passphrase {
    text: Secret,
    kdf: KdfParams,
}

impl Passphrase {
    pub(super) fn new(text: Secret) -> Self {
        Self { text, kdf: KdfParams::default() }
    }

    /// The cost of a new slot for it.
    pub(super) fn kdf(&self) -> KdfParams {
        self.kdf
    }

    pub(super) fn set_kdf(&mut self, kdf: KdfParams) {
        self.kdf = kdf;
    }

    /// The key that it gives for a slot of that cost and salt.
    pub(super) fn slot_key(&self, kdf: KdfParams, salt: &Salt) -> Result<Key> {
        if self.text.is_empty() {
            return Err(Error::EmptyPassphrase);
        }
        kdf.derive(self.text.expose_secret().as_bytes(), &[ARGON2ID.as_slice(), salt].concat())
    }
}
