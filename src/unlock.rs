//! Ways to a store's key: a way puts the key into a slot of the file, and gets it out again.

mod keychain;
mod passphrase;
mod recovery;

use std::time::Duration;

use crate::{
    error::{Error, KeychainFailure, Result},
    format::{Header, Slot, SlotKind, StoreId},
    id::SlotId,
    kdf::KdfParams,
    seal,
    secret::{Key, Secret, random},
};
pub(crate) use keychain::Keychain;
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
    Keychain(Keychain),
    RecoveryKey(RecoveryKey),
}

/// What unlocking a store gives.
#[derive(Debug, Clone)]
pub(crate) struct Unlocked {
    pub(crate) store_key: Key,
    /// The slot that it came from.
    pub(crate) by: SlotId,
}

/// A slot that is yet to be sealed, with the key to seal it with.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct NewSlot {
    slot: Slot,
    slot_key: Key,
}

impl NewSlot {
    pub(crate) fn id(&self) -> SlotId {
        self.slot.id
    }

    pub(crate) fn kind(&self) -> SlotKind {
        self.slot.kind
    }

    /// The slot, with the store key in it.
    pub(crate) fn seal(mut self, store_id: &StoreId, store_key: &Key) -> Result<Slot> {
        seal::wrap(&mut self.slot, store_id, &self.slot_key, store_key)?;
        Ok(self.slot)
    }
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

    /// With a key in the operating system's keychain, where the application is known as `service` (such as
    /// `"com.example.app"`): nobody has to type anything once the user has signed in to the system. That is the Secret Service
    /// on Linux (GNOME Keyring, KWallet, KeePassXC), the login keychain on macOS, the Credential Manager on Windows.
    /// `docs/keychain.md` tells what each of them protects from, and when it asks the user.
    ///
    /// Each question to the keychain has a [deadline](Self::deadline). Opening asks for one key for each slot of the kind up to the
    /// one that opens; so does everything else that takes an `Unlock`. What makes a slot writes a key and reads it back.
    /// A key is only ever made for a new slot, and deleted only after the slot is gone.
    ///
    /// # Errors
    ///
    /// What uses it ends in [`Error::Keychain`] if the keychain does not play its part; without the feature
    /// `keychain` always.
    ///
    /// ```no_run
    /// use tokenkeep::{Error, Keystore, KeychainFailure, Unlock};
    ///
    /// let keychain = || Unlock::keychain("com.example.app");
    /// let store = match Keystore::open_or_create("tokens.keep", keychain()) {
    ///     Err(Error::Keychain { why: KeychainFailure::Unavailable, .. }) => {
    ///         let passphrase = ask_the_user();
    ///         Keystore::open_or_create("tokens.keep", Unlock::passphrase(passphrase))?
    ///     }
    ///     opened => opened?,
    /// };
    /// # fn ask_the_user() -> String { String::from("correct horse battery staple") }
    /// # Ok::<(), Error>(())
    /// ```
    #[must_use]
    pub fn keychain(service: impl Into<String>) -> Self {
        Self::new(Way::Keychain(Keychain::new(service.into())))
    }

    /// How long one question to the keychain may take, 30 s unless told otherwise: a person may be asked to unlock it. Nothing
    /// else has a deadline.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        if let Way::Keychain(keychain) = &mut self.way {
            keychain.set_deadline(deadline);
        }
        self
    }

    /// A keychain of the application's own, in place of the system's: any store of the `keyring-core` family. It has to find
    /// entries by their `service` for [`Keystore::keychain_orphans`](crate::Keystore::keychain_orphans).
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("tokens.keep");
    /// let credentials = keyring_core::mock::Store::new()?;
    /// let unlock = Unlock::keychain("com.example.app").credential_store(credentials);
    /// Keystore::create(&path, unlock.clone())?;
    /// Keystore::open(&path, unlock)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "keychain")]
    #[must_use]
    pub fn credential_store(mut self, store: std::sync::Arc<keyring_core::CredentialStore>) -> Self {
        if let Way::Keychain(keychain) = &mut self.way {
            keychain.set_credential_store(store);
        }
        self
    }

    fn new(way: Way) -> Self {
        Self { way, label: String::new() }
    }

    /// The cost of a new passphrase: unless told otherwise the [default](KdfParams::default), or that of the passphrase in whose place
    /// it is put, if that is higher. Opening takes the cost from the file instead. No other way has one.
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

    /// What a new slot in this way is, in the place of one of that kind or in none.
    pub(crate) fn slot_kind(&self, replaced: Option<SlotKind>) -> SlotKind {
        match &self.way {
            Way::Passphrase(passphrase) => SlotKind::Passphrase(passphrase.new_kdf(replaced)),
            Way::Keychain(_) => SlotKind::Keychain,
            Way::RecoveryKey(_) => SlotKind::RecoveryKey,
        }
    }

    /// The keychain, if that is the way.
    pub(crate) fn of_keychain(&self) -> Option<&Keychain> {
        match &self.way {
            Way::Keychain(keychain) => Some(keychain),
            _ => None,
        }
    }

    /// A new slot that this way opens, in the place of one of that kind or in none. May derive a key or ask the keychain: slow,
    /// and never to be done under a lock.
    pub(crate) fn new_slot(&self, header: &Header, store_key: &Key, replaced: Option<SlotKind>) -> Result<NewSlot> {
        let kind = self.slot_kind(replaced);
        let id = SlotId(random()?);
        let salt = seal::slot_salt(store_key, header.generation, &id)?;
        let slot_key = match (&self.way, kind) {
            (Way::Passphrase(passphrase), SlotKind::Passphrase(kdf)) => passphrase.slot_key(kdf, &salt)?,
            (Way::Keychain(keychain), _) => keychain.make_key(&header.store_id, id)?,
            (Way::RecoveryKey(key), _) => key.slot_key(),
            (Way::Passphrase(_), _) => return Err(Error::Internal { what: "a passphrase in another kind of slot" }),
        };
        let slot = Slot { kind, id, salt, commitment: [0; 32], wrapped_key: [0; 48] };
        Ok(NewSlot { slot, slot_key })
    }

    /// The store key, out of the first slot that this way opens. Derives a key, or asks the keychain, for each slot that it
    /// tries.
    pub(crate) fn open_slot(&self, header: &Header) -> Result<Unlocked> {
        let mut refusal = Error::NoSuchSlot { kind: self.slot_kind(None).name() };
        for slot in &header.slots {
            let Some(slot_key) = self.slot_key(&header.store_id, slot) else { continue };
            let refused = match slot_key {
                Ok(slot_key) => match seal::unwrap(slot, &header.store_id, &slot_key)? {
                    Some(store_key) => return Ok(Unlocked { store_key, by: slot.id }),
                    None => self.wrong(),
                },
                Err(error) if concerns_one_slot(&error) => error,
                Err(error) => return Err(error),
            };
            if says_least(&refusal) {
                refusal = refused;
            }
        }
        Err(refusal)
    }

    /// The key that this way gives for a slot; `None` if the slot is for another way.
    pub(crate) fn slot_key(&self, store_id: &StoreId, slot: &Slot) -> Option<Result<Key>> {
        match (&self.way, slot.kind) {
            (Way::Passphrase(passphrase), SlotKind::Passphrase(kdf)) => Some(passphrase.slot_key(kdf, &slot.salt)),
            (Way::Keychain(keychain), SlotKind::Keychain) => Some(keychain.key(store_id, slot.id)),
            (Way::RecoveryKey(key), SlotKind::RecoveryKey) => Some(Ok(key.slot_key())),
            _ => None,
        }
    }

    /// The error for a key that does not open its slot.
    fn wrong(&self) -> Error {
        match self.way {
            Way::Passphrase(_) => Error::WrongPassphrase,
            Way::Keychain(_) => KeychainFailure::WrongKey.error(),
            Way::RecoveryKey(_) => Error::WrongRecoveryKey,
        }
    }
}

/// What does not keep the next slot from opening: it may cost less memory, or be this machine's, or have a sound entry.
fn concerns_one_slot(error: &Error) -> bool {
    use KeychainFailure::{Broken, Missing, Unavailable, WrongKey};
    matches!(error, Error::KdfMemory { .. } | Error::Keychain { why: Missing | WrongKey | Broken | Unavailable })
}

/// What is told only if no other slot has more to tell.
fn says_least(refusal: &Error) -> bool {
    let missing = KeychainFailure::Missing;
    matches!(refusal, Error::NoSuchSlot { .. } | Error::WrongPassphrase)
        || matches!(refusal, Error::Keychain { why } if *why == missing)
}

#[cfg(test)]
mod tests;
