//! Ways to a store's key: a way puts the key into a slot of the file, and gets it out again.

mod passphrase;
mod recovery;

use crate::{
    error::{Error, Result},
    format::{Header, Slot, SlotKind, StoreId},
    id::SlotId,
    kdf::KdfParams,
    seal,
    secret::{Key, Secret, random},
};
use passphrase::Passphrase;
pub use recovery::RecoveryKey;

/// How a store is unlocked. One store has up to eight such ways, each of which opens it alone.
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
/// Keystore::create(&path, unlock.label("Ada"))?;
/// // … and opening it takes the cost from the file.
/// Keystore::open(&path, Unlock::passphrase(passphrase))?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
pub struct Unlock {
    way: Way,
    label: String,
}

#[derive(Debug, Clone)]
enum Way {
    Passphrase(Passphrase),
    RecoveryKey(RecoveryKey),
}

/// What unlocking a store gives.
#[derive(Debug, Clone)]
pub(crate) struct Unlocked {
    pub(crate) store_key: Key,
    /// The slot that it came from.
    pub(crate) by: SlotId,
}

impl Unlock {
    /// With a passphrase, byte for byte as given: text that is typed on several systems is best normalized first
    /// (NFKC, as NIST SP 800-63B-4, 3.1.1.2, advises). Creating and opening derive a key from it with Argon2id
    /// (RFC 9106), which takes the time and memory of the slot's [`KdfParams`]; an empty one is refused.
    #[must_use]
    pub fn passphrase(passphrase: impl Into<Secret>) -> Self {
        Self::new(Way::Passphrase(Passphrase::new(passphrase.into())))
    }

    /// With a key that is kept on paper, or by whatever starts a program that nobody sits at. Derives no key: it is random,
    /// and costs a guesser more than any derivation would add.
    #[must_use]
    pub fn recovery_key(key: RecoveryKey) -> Self {
        Self::new(Way::RecoveryKey(key))
    }

    fn new(way: Way) -> Self {
        Self { way, label: String::new() }
    }

    /// What a slot that is made for a passphrase costs to open. Opening one takes the cost from the file instead, and
    /// nothing else has a cost.
    #[must_use]
    pub fn kdf(mut self, kdf: KdfParams) -> Self {
        if let Way::Passphrase(passphrase) = &mut self.way {
            passphrase.set_kdf(kdf);
        }
        self
    }

    /// What a slot that is made in this way is called in [`Keystore::slots`](crate::Keystore::slots): at most 256 bytes,
    /// encrypted in the file. Opening a store takes no notice of it.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// What a new slot in this way is called.
    pub(crate) fn slot_label(&self) -> &str {
        &self.label
    }

    /// What a new slot in this way is.
    pub(crate) fn slot_kind(&self) -> SlotKind {
        match &self.way {
            Way::Passphrase(passphrase) => SlotKind::Passphrase(passphrase.kdf()),
            Way::RecoveryKey(_) => SlotKind::RecoveryKey,
        }
    }

    /// A new slot that this way opens. May derive a key: slow, and never to be done under a lock.
    pub(crate) fn new_slot(&self, store_id: &StoreId, store_key: &Key, generation: u64) -> Result<Slot> {
        let kind = self.slot_kind();
        let id = SlotId(random()?);
        let salt = seal::slot_salt(store_key, generation, &id)?;
        let mut slot = Slot { kind, id, salt, commitment: [0; 32], wrapped_key: [0; 48] };
        let slot_key = self.slot_key(&slot)?.ok_or(Error::NoSuchSlot { kind: kind.name() })?;
        seal::wrap(&mut slot, store_id, &slot_key, store_key)?;
        Ok(slot)
    }

    /// The store key, out of the first slot that this way opens. Derives a key for each passphrase slot that it tries.
    pub(crate) fn open_slot(&self, header: &Header) -> Result<Unlocked> {
        let mut refusal = Error::NoSuchSlot { kind: self.slot_kind().name() };
        for slot in &header.slots {
            let Some(slot_key) = self.slot_key(slot)? else { continue };
            if let Some(store_key) = seal::unwrap(slot, &header.store_id, &slot_key)? {
                return Ok(Unlocked { store_key, by: slot.id });
            }
            refusal = match self.way {
                Way::Passphrase(_) => Error::WrongPassphrase,
                Way::RecoveryKey(_) => Error::WrongRecoveryKey,
            };
        }
        Err(refusal)
    }

    /// The key for a slot, or `None` if the slot is for another way.
    fn slot_key(&self, slot: &Slot) -> Result<Option<Key>> {
        match (&self.way, slot.kind) {
            (Way::Passphrase(passphrase), SlotKind::Passphrase(kdf)) => passphrase.slot_key(kdf, &slot.salt).map(Some),
            (Way::RecoveryKey(key), SlotKind::RecoveryKey) => Ok(Some(key.slot_key())),
            _ => Ok(None),
        }
    }
}

#[cfg(test)]
mod tests;
