//! A passphrase as an unlock method.

use std::{fmt, sync::Arc};

use crate::{
    error::{Error, Result},
    format::Salt,
    kdf::KdfParams,
    secret::{Key, Secret},
    slot::SlotKind,
};

const ARGON2ID: &[u8; 22] = b"tokenkeep v1 argon2id\0";

/// A passphrase as an [unlock method](crate::Unlock). It is wiped from memory when its last clone is dropped; cloning
/// it copies no secret, and its `Debug` hides it.
///
/// The passphrase is used byte for byte as given: a byte order mark at its start and a line end after it count, so
/// remove them from a passphrase that is read from a file. Normalize text that is typed on several systems first (NFKC,
/// as NIST SP 800-63B-4, 3.1.1.2, advises). Creating and opening a store derive a key from it with Argon2id (RFC 9106),
/// at the time and memory of the slot's [`KdfParams`]. An empty passphrase is refused.
///
/// ```
/// use tokenkeep::{KdfParams, Passphrase, Unlock};
///
/// let passphrase = Passphrase::new(String::from("correct horse battery staple")).kdf(KdfParams::MIN);
/// assert_eq!(format!("{passphrase:?}"), "Passphrase(***)");
/// let unlock = Unlock::from(passphrase).label("Ada");
/// ```
#[derive(Clone)]
pub struct Passphrase {
    text: Arc<Secret>,
    kdf: Option<KdfParams>,
}

impl Passphrase {
    /// The passphrase of that text. A `String` is taken over without a copy.
    #[must_use]
    pub fn new(passphrase: impl Into<Secret>) -> Self {
        Self { text: Arc::new(passphrase.into()), kdf: None }
    }

    /// The cost of a key slot that is made with the passphrase. Without it the cost is the
    /// [default](KdfParams::default), or that of the passphrase it replaces, if that is higher. Opening takes the cost
    /// from the file.
    #[must_use]
    pub fn kdf(mut self, kdf: KdfParams) -> Self {
        self.kdf = Some(kdf);
        self
    }

    /// The cost of a new slot: as it was set, or as it was in that place, but by itself no less than the default.
    pub(super) fn new_kdf(&self, replaced: Option<SlotKind>) -> KdfParams {
        let default = KdfParams::default();
        match (self.kdf, replaced) {
            (Some(kdf), _) => kdf,
            (None, Some(SlotKind::Passphrase(kdf))) if !kdf.is_less_than(default) => kdf,
            _ => default,
        }
    }

    /// The key that it gives for a slot of that cost and salt.
    pub(super) fn slot_key(&self, kdf: KdfParams, salt: &Salt) -> Result<Key> {
        // Held by `an_empty_passphrase_is_refused_without_a_derivation`.
        if self.text.is_empty() {
            return Err(Error::EmptyPassphrase);
        }
        kdf.derive(self.text.expose_secret().as_bytes(), &[ARGON2ID.as_slice(), salt].concat())
    }
}

impl fmt::Debug for Passphrase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Passphrase(***)")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    impl Passphrase {
        /// Where the secret is in memory.
        pub(in crate::unlock) fn address(&self) -> *const u8 {
            self.text.expose_secret().as_ptr()
        }
    }

    #[test]
    fn text_is_taken_over_without_a_copy() {
        let text = String::from("correct horse battery staple");
        let address = text.as_ptr();
        assert_eq!(Passphrase::new(text).address(), address);
    }
}
