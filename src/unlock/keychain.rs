//! The operating system's keychain as the way to a store's key.
//!
//! An entry holds the 32 bytes that one slot is opened with, and nothing else. It is in the keychain before a file refers
//! to it, and is taken out by what removed its slot, after that.

#[cfg_attr(feature = "keychain", path = "keychain/system.rs")]
#[cfg_attr(not(feature = "keychain"), path = "keychain/absent.rs")]
mod system;

use std::{fmt, time::Duration};

use data_encoding::HEXLOWER;

use crate::{
    error::{KeychainFailure, Result},
    format::StoreId,
    id::SlotId,
    secret::Key,
};
use system::System;

/// Some calls wait for a person who is asked to unlock the keychain.
const DEADLINE: Duration = Duration::from_secs(30);

/// The entries of one application.
#[derive(Clone)]
pub(crate) struct Keychain {
    system: System,
    service: String,
    deadline: Duration,
}

impl Keychain {
    pub(super) fn new(service: String) -> Self {
        Self { system: System::default(), service, deadline: DEADLINE }
    }

    #[cfg(feature = "keychain")]
    pub(super) fn set_credential_store(&mut self, store: std::sync::Arc<keyring_core::CredentialStore>) {
        self.system = System::given(store);
    }

    pub(super) fn set_deadline(&mut self, deadline: Duration) {
        self.deadline = deadline;
    }

    /// Makes a key for a new slot, and sees that the keychain has it.
    pub(super) fn make_key(&self, store_id: &StoreId, slot: SlotId) -> Result<Key> {
        let key = Key::random()?;
        self.system.write(&self.service, &user(store_id, slot), key.clone(), self.deadline)?;
        match self.key(store_id, slot)? {
            Some(read) if read == key => Ok(key),
            _ => Err(KeychainFailure::Forgetful.error()),
        }
    }

    /// The key for a slot; `None` if the keychain says that it has none.
    pub(super) fn key(&self, store_id: &StoreId, slot: SlotId) -> Result<Option<Key>> {
        let Some(bytes) = self.system.read(&self.service, &user(store_id, slot), self.deadline)? else {
            return Ok(None);
        };
        let mut key = Key::zeroed();
        if bytes.len() != Key::LEN {
            return Err(KeychainFailure::WrongKey.error());
        }
        key.bytes_mut().copy_from_slice(&bytes);
        Ok(Some(key))
    }

    /// Takes a slot's entry out; `false` if there is none.
    pub(crate) fn forget(&self, store_id: &StoreId, slot: SlotId) -> Result<bool> {
        self.system.delete(&self.service, &user(store_id, slot), self.deadline)
    }

    /// The slots that there are entries for, of whatever state of the store.
    pub(crate) fn slots(&self, store_id: &StoreId) -> Result<Vec<SlotId>> {
        let users = self.system.users(&self.service, self.deadline)?;
        let store = format!("{}-", HEXLOWER.encode(store_id));
        let slot = |user: &String| HEXLOWER.decode(user.strip_prefix(&store)?.as_bytes()).ok()?.try_into().ok();
        Ok(users.iter().filter_map(slot).map(SlotId).collect())
    }
}

impl fmt::Debug for Keychain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keychain")
            .field("service", &self.service)
            .field("deadline", &self.deadline)
            .finish_non_exhaustive()
    }
}

/// What an entry is called beside its service.
fn user(store_id: &StoreId, slot: SlotId) -> String {
    format!("{}-{slot}", HEXLOWER.encode(store_id))
}
