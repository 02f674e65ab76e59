//! Ways to a store's key: a way puts the key into a slot of the file, and gets it out again.

mod passphrase;

use crate::{
    error::{Error, Result},
    format::{Header, Slot, SlotKind, StoreId},
    kdf::KdfParams,
    seal,
    secret::{Key, Secret, random},
};
use passphrase::Passphrase;

/// How a store is unlocked.
///
/// ```
/// use tokenkeep::{KdfParams, Keystore, Unlock};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("tokens.keep");
/// # let passphrase = String::from("correct horse battery staple");
/// // Creating a store makes the passphrase as costly to guess as the parameters say …
/// let unlock = Unlock::passphrase(passphrase.clone()).kdf(KdfParams::new(128 * 1024, 3, 4)?);
/// # let unlock = unlock.kdf(KdfParams::MIN);
/// Keystore::create(&path, unlock)?;
/// // … and opening it takes the cost from the file.
/// Keystore::open(&path, Unlock::passphrase(passphrase))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Unlock(Way);

#[derive(Debug, Clone)]
enum Way {
    Passphrase(Passphrase),
}

impl Unlock {
    /// With a passphrase, byte for byte as given: text that is typed on several systems is best normalized first
    /// (NFKC, as NIST SP 800-63B-4, 3.1.1.2, advises). Creating and opening derive a key from it with Argon2id
    /// (RFC 9106), which takes the time and memory of the slot's [`KdfParams`]; an empty one is refused.
    #[must_use]
    pub fn passphrase(passphrase: impl Into<Secret>) -> Self {
        Self(Way::Passphrase(Passphrase::new(passphrase.into())))
    }

    /// What a slot that is made in this way costs to open. Opening one takes the cost from the file instead.
    #[must_use]
    pub fn kdf(self, kdf: KdfParams) -> Self {
        match self.0 {
            Way::Passphrase(passphrase) => Self(Way::Passphrase(passphrase.kdf(kdf))),
        }
    }

    /// A new slot that this way opens. Derives a key: slow, and never to be done under a lock.
    pub(crate) fn new_slot(&self, store_id: &StoreId, store_key: &Key, generation: u64) -> Result<Slot> {
        let kind = match &self.0 {
            Way::Passphrase(passphrase) => passphrase.slot_kind(),
        };
        let id = random()?;
        let salt = seal::slot_salt(store_key, generation, &id)?;
        let mut slot = Slot { kind, id, salt, commitment: [0; 32], wrapped_key: [0; 48] };
        let slot_key = self.slot_key(&slot)?.ok_or(Error::NoSuchSlot { kind: self.name() })?;
        seal::wrap(&mut slot, store_id, &slot_key, store_key)?;
        Ok(slot)
    }

    /// The store key, out of the first slot that this way opens. Derives a key for each slot that it tries.
    pub(crate) fn open_slot(&self, header: &Header) -> Result<Key> {
        let mut refusal = Error::NoSuchSlot { kind: self.name() };
        for slot in &header.slots {
            let Some(slot_key) = self.slot_key(slot)? else { continue };
            if let Some(store_key) = seal::unwrap(slot, &header.store_id, &slot_key)? {
                return Ok(store_key);
            }
            refusal = Error::WrongPassphrase;
        }
        Err(refusal)
    }

    /// The key for a slot, or `None` if the slot is for another way.
    fn slot_key(&self, slot: &Slot) -> Result<Option<Key>> {
        match (&self.0, slot.kind) {
            (Way::Passphrase(passphrase), SlotKind::Passphrase(kdf)) => passphrase.slot_key(kdf, &slot.salt).map(Some),
            _ => Ok(None),
        }
    }

    fn name(&self) -> &'static str {
        match self.0 {
            Way::Passphrase(_) => "passphrase",
        }
    }
}

#[cfg(test)]
mod tests;
