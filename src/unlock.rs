//! Unlock methods: each puts a store's key into a key slot, and gets it out again.
//!
//! # When a slot is refused
//!
//! [`Unlock::open_slot`] goes through the slots of a key table in their order. A slot of another kind, or of another
//! provider, is passed over. Each other slot yields a key or an error. The key opens the slot if it leads to the
//! commitment that the slot has, and the wrapped store key then authenticates (`seal::unwrap`). The first slot that
//! opens ends the search. A key that does not open its slot, and an error that `concerns_one_slot`, leave the search to
//! the next slot; any other error ends it. If no slot opens, the caller gets the first error that says more than "there
//! is no such slot" or "wrong secret" (`says_least`). [`open_first`] goes through several unlock methods in the same
//! way.
//!
//! One slot whose layout or cost is not allowed refuses the whole key table, before any slot is tried
//! (`format/key_table.rs`). After a slot has opened, the store key authenticates all of the key table
//! (`seal/table.rs`).

mod deadline;
mod external;
mod keychain;
mod passphrase;
mod recovery_key;

use std::{fmt, path::Path};

use deadline::Deadline;
pub use external::{External, ExternalKey, ExternalSlot};
pub use keychain::Keychain;
pub use passphrase::Passphrase;
pub use recovery_key::RecoveryKey;

use crate::{
    error::{Error, ExternalFailure, KeychainFailure, Result, UnlockFailure},
    format::{KeyId, KeyTable, Slot, StoreId},
    id::SlotId,
    seal,
    secret::{Key, random},
    slot::SlotKind,
    unlock_method::UnlockMethod,
};

/// How a store is unlocked: a [`Passphrase`], a [`Keychain`], a [`RecoveryKey`] or an [`External`] key, with a label. A
/// store has up to eight key slots, each made with one unlock method, and each opens the store alone.
///
/// Cloning it copies no secret.
///
/// ```
/// use tokenkeep::{KdfParams, Keystore, Passphrase, Unlock};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("tokens.keep");
/// // Creating a store makes the passphrase as costly to guess as the parameters say …
/// let passphrase = Passphrase::new("correct horse battery staple").kdf(KdfParams::new(128 * 1024, 3, 4)?);
/// # let passphrase = passphrase.kdf(KdfParams::MIN);
/// Keystore::create(&path, &Unlock::from(passphrase).label("Ada"))?;
/// // … and opening it takes the cost from the file.
/// Keystore::open(&path, &Passphrase::new("correct horse battery staple").into())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Unlock {
    method: Method,
    label: String,
}

#[derive(Clone)]
enum Method {
    Passphrase(Passphrase),
    Keychain(Keychain),
    RecoveryKey(RecoveryKey),
    External(External),
}

impl From<Passphrase> for Unlock {
    fn from(passphrase: Passphrase) -> Self {
        Self::new(Method::Passphrase(passphrase))
    }
}

impl From<Keychain> for Unlock {
    fn from(keychain: Keychain) -> Self {
        Self::new(Method::Keychain(keychain))
    }
}

impl From<RecoveryKey> for Unlock {
    fn from(key: RecoveryKey) -> Self {
        Self::new(Method::RecoveryKey(key))
    }
}

impl From<External> for Unlock {
    fn from(external: External) -> Self {
        Self::new(Method::External(external))
    }
}

impl fmt::Debug for Unlock {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let method: &dyn fmt::Debug = match &self.method {
            Method::Passphrase(passphrase) => passphrase,
            Method::Keychain(keychain) => keychain,
            Method::RecoveryKey(key) => key,
            Method::External(external) => external,
        };
        f.debug_struct("Unlock").field("method", method).field("label", &self.label).finish()
    }
}

/// What unlocking a store gives.
#[derive(Debug, Clone)]
pub(crate) struct Unlocked {
    pub(crate) store_key: Key,
    /// The slot that the key came from.
    pub(crate) by: SlotId,
}

/// A slot before it is sealed, with the key to seal it with.
#[derive(Debug)]
#[cfg_attr(test, derive(Clone))]
pub(crate) struct NewSlot {
    slot: Slot,
    slot_key: Key,
    /// Which store key the slot was prepared for.
    key_id: KeyId,
}

impl NewSlot {
    pub(crate) fn id(&self) -> SlotId {
        self.slot.id
    }

    pub(crate) fn kind(&self) -> SlotKind {
        self.slot.kind
    }

    /// The slot as far as it is known without the store key.
    pub(crate) fn unsealed(&self) -> &Slot {
        &self.slot
    }

    /// The slot, with the store key in it. A slot that was prepared for another store key is refused.
    pub(crate) fn seal(mut self, store_id: &StoreId, store_key: &Key) -> Result<Slot> {
        if self.key_id != seal::key_id(store_key)? {
            return Err(Error::internal("a key slot was prepared for another store key"));
        }
        seal::wrap(&mut self.slot, store_id, &self.slot_key, store_key)?;
        Ok(self.slot)
    }
}

impl Unlock {
    fn new(method: Method) -> Self {
        Self { method, label: String::new() }
    }

    /// The label of the key slot that is made with this unlock method, shown by
    /// [`Keystore::slots`](crate::Keystore::slots): at most 256 bytes, encrypted in the file. Opening a store ignores
    /// it.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// The kind of the unlock method.
    #[must_use]
    pub fn method(&self) -> UnlockMethod {
        match self.method {
            Method::Passphrase(_) => UnlockMethod::Passphrase,
            Method::Keychain(_) => UnlockMethod::Keychain,
            Method::RecoveryKey(_) => UnlockMethod::RecoveryKey,
            Method::External(_) => UnlockMethod::External,
        }
    }

    /// The label of a new slot.
    pub(crate) fn slot_label(&self) -> &str {
        &self.label
    }

    /// The kind of a new slot, in the place of a slot of that kind or of none.
    pub(crate) fn slot_kind(&self, replaced: Option<SlotKind>) -> SlotKind {
        match &self.method {
            Method::Passphrase(passphrase) => SlotKind::Passphrase(passphrase.new_kdf(replaced)),
            Method::Keychain(_) => SlotKind::Keychain,
            Method::RecoveryKey(_) => SlotKind::RecoveryKey,
            Method::External(_) => SlotKind::External,
        }
    }

    /// The keychain or the provider of this unlock method.
    pub(crate) fn keeper(&self) -> Option<Keeper> {
        match &self.method {
            Method::Keychain(keychain) => Some(Keeper::Keychain(keychain.clone())),
            Method::External(external) => Some(Keeper::External(external.clone())),
            Method::Passphrase(_) | Method::RecoveryKey(_) => None,
        }
    }

    /// A new slot that this unlock method opens, for the key table with that revision, in the place of a slot of that
    /// kind or of none. It may derive a key or ask the keychain, which is slow: never call it under a lock.
    pub(crate) fn new_slot(
        &self,
        store_id: &StoreId,
        revision: u64,
        store_key: &Key,
        replaced: Option<SlotKind>,
    ) -> Result<NewSlot> {
        let kind = self.slot_kind(replaced);
        let id = SlotId(random()?);
        let salt = seal::slot_salt(store_key, revision, &id)?;
        let (external, slot_key) = match (&self.method, kind) {
            (Method::Passphrase(passphrase), SlotKind::Passphrase(kdf)) => (None, passphrase.slot_key(kdf, &salt)?),
            (Method::Keychain(keychain), _) => (None, keychain.make_key(store_id, id)?),
            (Method::RecoveryKey(key), _) => (None, key.slot_key()),
            (Method::External(external), _) => {
                let (data, key) = external.make_key(store_id, id)?;
                (Some(data), key)
            }
            (Method::Passphrase(_), _) => {
                return Err(Error::internal("a passphrase was meant for another kind of slot"));
            }
        };
        let slot = Slot { kind, id, salt, external, commitment: [0; 32], wrapped_key: [0; 48] };
        Ok(NewSlot { slot, slot_key, key_id: seal::key_id(store_key)? })
    }

    /// The store key, from the first slot of the key table that this unlock method opens. The path is that of the file.
    /// Derives a key, or asks the keychain or the provider, for each slot that it tries.
    pub(crate) fn open_slot(&self, table: &KeyTable, path: &Path) -> Result<Unlocked> {
        let mut refusal = Error::NoSlotFor { path: path.to_owned(), method: self.method() };
        let deadline = self.start();
        for slot in &table.slots {
            let refused = match self.open_one(table, slot, deadline) {
                None => continue,
                Some(Ok(Some(store_key))) => return Ok(Unlocked { store_key, by: slot.id }),
                Some(Ok(None)) => self.wrong(path),
                Some(Err(error)) if concerns_one_slot(&error) => error,
                Some(Err(error)) => return Err(error),
            };
            if says_least(&refusal) {
                refusal = refused;
            }
        }
        Err(refusal)
    }

    /// The deadline of an operation that begins now.
    fn start(&self) -> Option<Deadline> {
        match &self.method {
            Method::Keychain(keychain) => Some(keychain.start()),
            Method::External(external) => Some(external.start()),
            Method::Passphrase(_) | Method::RecoveryKey(_) => None,
        }
    }

    /// The store key from one slot; nothing if the slot is for another method, and `None` if the key is wrong.
    fn open_one(&self, table: &KeyTable, slot: &Slot, deadline: Option<Deadline>) -> Option<Result<Option<Key>>> {
        let open = |slot_key: &Key| seal::unwrap(slot, table, slot_key);
        let store_id = &table.store_id;
        match (&self.method, slot.kind, deadline, &slot.external) {
            (Method::Keychain(keychain), SlotKind::Keychain, Some(deadline), _) => {
                Some(keychain.find_key(store_id, slot.id, deadline, open))
            }
            (Method::External(external), _, Some(deadline), Some(data)) if external.is_for(data) => {
                let found = external.find_key(store_id, slot.id, data, deadline);
                Some(found.and_then(|slot_key| open(&slot_key)))
            }
            _ => Some(self.slot_key(slot)?.and_then(|slot_key| open(&slot_key))),
        }
    }

    /// The key that a passphrase or a recovery key gives for a slot; `None` if the slot is for another method.
    pub(crate) fn slot_key(&self, slot: &Slot) -> Option<Result<Key>> {
        match (&self.method, slot.kind) {
            (Method::Passphrase(passphrase), SlotKind::Passphrase(kdf)) => Some(passphrase.slot_key(kdf, &slot.salt)),
            // Held by `missing_slot_kind_is_reported_without_a_derivation`: `_` instead of `SlotKind::RecoveryKey`.
            (Method::RecoveryKey(key), SlotKind::RecoveryKey) => Some(Ok(key.slot_key())),
            _ => None,
        }
    }

    /// The error for a key that does not open its slot.
    fn wrong(&self, path: &Path) -> Error {
        let path = path.to_owned();
        match &self.method {
            Method::Passphrase(_) => Error::WrongPassphrase { path },
            Method::Keychain(_) => KeychainFailure::WrongKey.error(),
            Method::RecoveryKey(_) => Error::WrongRecoveryKey { path },
            Method::External(external) => external.error(ExternalFailure::WrongKey),
        }
    }
}

/// A keychain or a provider, which keeps keys of slots outside of the store.
#[derive(Debug, Clone)]
pub(crate) enum Keeper {
    Keychain(Keychain),
    External(External),
}

impl Keeper {
    /// Whether the slot is of a kind whose key it may have.
    pub(crate) fn may_keep(&self, slot: &Slot) -> bool {
        match (self, slot.kind, &slot.external) {
            (Self::Keychain(_), SlotKind::Keychain, _) => true,
            (Self::External(external), _, Some(data)) => external.is_for(data),
            _ => false,
        }
    }

    /// Deletes the key of a slot. It is no error if there is none.
    pub(crate) fn forget(&self, store_id: &StoreId, slot: &Slot) -> Result<()> {
        match (self, &slot.external) {
            (Self::Keychain(keychain), _) => keychain.forget(store_id, slot.id).map(drop),
            (Self::External(external), Some(data)) => external.forget(store_id, slot.id, data),
            (Self::External(_), None) => Ok(()),
        }
    }

    /// Whether it keeps the same keys, as far as it says.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Keychain(one), Self::Keychain(other)) => one.is_same(other),
            (Self::External(one), Self::External(other)) => one.is_same(other),
            _ => false,
        }
    }
}

/// The store key, from the first unlock method that opens a slot.
pub(crate) fn open_first(unlocks: &[&Unlock], table: &KeyTable, path: &Path) -> Result<Unlocked> {
    let mut failures = Vec::new();
    for unlock in unlocks {
        match unlock.open_slot(table, path) {
            Ok(unlocked) => return Ok(unlocked),
            Err(error @ Error::Internal(_)) => return Err(error),
            // Held by `unlock_methods_are_tried_in_order_until_one_opens`,
            // `each_failed_unlock_method_is_reported_in_order`: `return Err(error)`.
            Err(error) => failures.push(UnlockFailure { method: unlock.method(), error }),
        }
    }
    Err(Error::NoneOpened { path: path.to_owned(), failures })
}

/// Whether the next slot may open all the same: it may cost less memory, belong to this machine, or have a sound entry.
fn concerns_one_slot(error: &Error) -> bool {
    use KeychainFailure::{Broken, Missing, Unavailable, WrongKey};
    match error {
        Error::KdfMemory { .. } | Error::Keychain { why: Missing | WrongKey | Broken | Unavailable } => true,
        Error::External { why, .. } => !matches!(why, ExternalFailure::TimedOut { .. }),
        _ => false,
    }
}

/// Whether the refusal of any other slot says more.
fn says_least(refusal: &Error) -> bool {
    let missing = KeychainFailure::Missing;
    matches!(refusal, Error::NoSlotFor { .. } | Error::WrongPassphrase { .. })
        || matches!(refusal, Error::Keychain { why } if *why == missing)
}

#[cfg(test)]
mod tests;
