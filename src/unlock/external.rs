//! A key that something outside of the library keeps: a TPM, a hardware token, another program.

use std::{fmt, sync::Arc, time::Duration};

use super::deadline::{Deadline, NoAnswer, answer_by};
use crate::{
    error::{Error, ExternalError, ExternalFailure, Result},
    format::{ExternalData, StoreId},
    id::SlotId,
    secret::Key,
};

const DEADLINE: Duration = Duration::from_secs(30);

/// A provider of keys for key slots: what an application implements to unlock its store with a TPM, a hardware token,
/// or another program. [`External`] makes an unlock method of it.
///
/// A slot keeps the provider's [name](Self::provider) and some public data, such as the blob in which a TPM has sealed
/// the key. The key itself is never in the file. `examples/tpm` and `examples/external_program` are providers for real
/// components.
///
/// The library calls each method on a new thread and stops waiting at the deadline. The library cannot stop the thread.
/// So a provider that starts a program or asks a person has to end that within [`ExternalSlot::remaining`]. If a
/// provider panics, the error does not contain the panic message (where panics unwind). The application's panic hook
/// still prints the message.
///
/// A provider that keeps something for a slot, such as an object in a device, names it by store id *and* slot id: other
/// slots of the store have keys too, and [`forget`](Self::forget) means one slot only.
///
/// ```
/// use tokenkeep::{External, ExternalError, ExternalKey, ExternalSlot, Keystore};
///
/// /// Seals nothing: a provider for tests.
/// struct InTheClear;
///
/// impl ExternalKey for InTheClear {
///     fn provider(&self) -> &str {
///         "in the clear"
///     }
///
///     fn create(&self, _: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
///         Ok(key.to_vec())
///     }
///
///     fn open(&self, _: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
///         *key = data.try_into().map_err(|_| ExternalError::new("the data is no key"))?;
///         Ok(())
///     }
///
///     fn forget(&self, _: &ExternalSlot, _: &[u8]) -> Result<(), ExternalError> {
///         Ok(())
///     }
/// }
///
/// # let directory = tempfile::tempdir()?;
/// let path = directory.path().join("tokens.keep");
/// Keystore::create(&path, &External::new(InTheClear).into())?;
/// Keystore::open(&path, &External::new(InTheClear).into())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
pub trait ExternalKey: Send + Sync {
    /// The name of the provider, 1 to 64 bytes, always the same. A slot remembers it, and is opened by a provider of
    /// the same name only.
    fn provider(&self) -> &str;

    /// Makes what a new slot is opened with, and returns the slot's public data, at most 1,024 bytes.
    ///
    /// The key comes filled with random bytes. A provider either seals these, or overwrites them with a key of its own.
    /// The library then calls [`open`](Self::open) with the data, before it uses the key for a slot.
    ///
    /// # Errors
    ///
    /// The provider cannot make a key. It leaves nothing behind then.
    fn create(&self, slot: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError>;

    /// Writes the key of a slot over `key`.
    ///
    /// **The data is hostile.** Nothing has authenticated it, and an attacker who can write the file can put other data
    /// there: check its length and form before anything else sees it.
    ///
    /// # Errors
    ///
    /// The provider cannot give the key: the device is absent, a person refuses, the data is for another device.
    /// If the device that the data is for is not there, say so at once: all slots share the time, and the next one may
    /// be for a device that is there.
    fn open(&self, slot: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError>;

    /// Deletes what [`create`](Self::create) keeps outside of the file for a slot that was never committed, or that was
    /// removed. Returns `Ok` if there is nothing to delete.
    ///
    /// # Errors
    ///
    /// The provider cannot forget the key.
    fn forget(&self, slot: &ExternalSlot, data: &[u8]) -> Result<(), ExternalError>;
}

/// The slot that a provider is asked about, and how much time there is.
#[derive(Clone, Copy)]
pub struct ExternalSlot {
    store_id: StoreId,
    slot_id: SlotId,
    deadline: Deadline,
}

impl ExternalSlot {
    /// The random id of the store. Backups and copies of the store have the same.
    #[must_use]
    pub fn store_id(&self) -> [u8; 16] {
        self.store_id
    }

    /// The random id of the slot.
    #[must_use]
    pub fn slot_id(&self) -> SlotId {
        self.slot_id
    }

    /// The time until the operation is given up.
    #[must_use]
    pub fn remaining(&self) -> Duration {
        self.deadline.left()
    }
}

impl fmt::Debug for ExternalSlot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("ExternalSlot")
            .field("slot_id", &self.slot_id)
            .field("remaining", &self.remaining())
            .finish_non_exhaustive()
    }
}

/// A key that a provider keeps, as an [unlock method](crate::Unlock). Cloning it clones no key.
///
/// Opening a store asks for the key of each slot of a provider of that name, up to the one that opens: all of them have
/// one [deadline](Self::deadline). Making a slot asks the provider to [create](ExternalKey::create) and to
/// [open](ExternalKey::open), with a deadline for each slot. If the slot is not committed, or a slot is removed, the
/// provider is asked to [forget](ExternalKey::forget), again with a deadline for each slot.
///
/// If a provider fails, the operation ends in [`Error::External`]. A store that is opened with a device needs a second
/// unlock method for the day when the device is lost: add a [`RecoveryKey`](crate::RecoveryKey).
#[derive(Clone)]
pub struct External {
    provider: Arc<dyn ExternalKey>,
    name: Arc<str>,
    deadline: Duration,
}

impl External {
    /// The unlock method that asks that provider.
    #[must_use]
    pub fn new(provider: impl ExternalKey + 'static) -> Self {
        let name = provider.provider().into();
        Self { provider: Arc::new(provider), name, deadline: DEADLINE }
    }

    /// How long opening a store, making a slot, and forgetting a key may each wait for the provider: 30 s if not set.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// The deadline of an operation that begins now.
    pub(super) fn start(&self) -> Deadline {
        Deadline::after(self.deadline)
    }

    /// Whether a slot with that data is for this provider.
    pub(super) fn is_for(&self, data: &ExternalData) -> bool {
        // Held by `slot_of_another_provider_is_not_asked_for`: `true`.
        *data.provider == *self.name
    }

    /// Whether it is a provider of the same name.
    pub(super) fn is_same(&self, other: &Self) -> bool {
        self.name == other.name
    }

    /// Makes a key for a new slot, and sees that the provider gives the same key again.
    pub(super) fn make_key(&self, store_id: &StoreId, slot_id: SlotId) -> Result<(ExternalData, Key)> {
        // Held by `name_of_a_provider_keeps_its_limits`.
        if !(1..=ExternalData::MAX_PROVIDER_LEN).contains(&self.name.len()) {
            return Err(self.error(ExternalFailure::BadName { limit: ExternalData::MAX_PROVIDER_LEN }));
        }
        let slot = ExternalSlot { store_id: *store_id, slot_id, deadline: self.start() };
        let mut key = Key::random()?;
        let (provider, late) = (self.provider.clone(), self.clone());
        let create = move || provider.create(&slot, key.bytes_mut()).map(|data| (data, key));
        let forget_late = move |made: Result<(Vec<u8>, Key), _>| {
            if let Ok((data, _)) = made {
                // Held by `provider_that_answers_too_late_is_asked_to_forget`.
                let _ = late.provider.forget(&ExternalSlot { deadline: late.start(), ..slot }, &data);
            }
        };
        let (public, key) = self.answer(slot.deadline, create, forget_late)?;
        let checked = match public.len() {
            // Held by `failed_provider_leaves_no_key_behind`: `> usize::MAX - 1` instead of
            // `> ExternalData::MAX_PUBLIC_LEN`.
            len if len > ExternalData::MAX_PUBLIC_LEN => {
                Err(self.error(ExternalFailure::TooMuchData { len, limit: ExternalData::MAX_PUBLIC_LEN }))
            }
            _ => self
                .ask(slot, &public)
                // Held by `failed_provider_leaves_no_key_behind`: `true` instead of `again == key`.
                .and_then(|again| if again == key { Ok(()) } else { Err(self.error(ExternalFailure::Forgetful)) }),
        };
        if let Err(error) = checked {
            // No slot will refer to it.
            // Held by `failed_provider_leaves_no_key_behind`.
            let _ = self.forget_data(ExternalSlot { deadline: self.start(), ..slot }, public);
            return Err(error);
        }
        Ok((ExternalData { provider: (&*self.name).into(), public: public.into() }, key))
    }

    /// The key that the provider gives for a slot.
    pub(super) fn find_key(
        &self,
        store_id: &StoreId,
        slot_id: SlotId,
        data: &ExternalData,
        deadline: Deadline,
    ) -> Result<Key> {
        self.ask(ExternalSlot { store_id: *store_id, slot_id, deadline }, &data.public)
    }

    /// Has the provider forget what it made for a slot.
    pub(super) fn forget(&self, store_id: &StoreId, slot_id: SlotId, data: &ExternalData) -> Result<()> {
        self.forget_data(ExternalSlot { store_id: *store_id, slot_id, deadline: self.start() }, data.public.to_vec())
    }

    fn ask(&self, slot: ExternalSlot, public: &[u8]) -> Result<Key> {
        // Random, so that a provider that writes nothing gives no key that anybody knows.
        let (provider, public, mut key) = (self.provider.clone(), public.to_owned(), Key::random()?);
        let open = move || provider.open(&slot, &public, key.bytes_mut()).map(|()| key);
        self.answer(slot.deadline, open, drop)
    }

    fn forget_data(&self, slot: ExternalSlot, public: Vec<u8>) -> Result<()> {
        let provider = self.provider.clone();
        self.answer(slot.deadline, move || provider.forget(&slot, &public), drop)
    }

    fn answer<R: Send + 'static>(
        &self,
        deadline: Deadline,
        call: impl FnOnce() -> Result<R, ExternalError> + Send + 'static,
        late: impl FnOnce(Result<R, ExternalError>) + Send + 'static,
    ) -> Result<R> {
        if deadline.left().is_zero() {
            return Err(self.error(ExternalFailure::TimedOut { after: self.deadline }));
        }
        let why = match answer_by(deadline, call, late) {
            Ok(Ok(answer)) => return Ok(answer),
            Ok(Err(error)) => ExternalFailure::Failed(error),
            Err(NoAnswer::TimedOut) => ExternalFailure::TimedOut { after: self.deadline },
            Err(NoAnswer::Panicked) => ExternalFailure::Panicked,
            Err(NoAnswer::NoThread) => ExternalFailure::NoThread,
        };
        Err(self.error(why))
    }

    /// The error for a provider that failed so.
    pub(super) fn error(&self, why: ExternalFailure) -> Error {
        Error::External { provider: self.name.as_ref().to_owned(), why }
    }
}

impl fmt::Debug for External {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("External")
            .field("provider", &self.name)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
