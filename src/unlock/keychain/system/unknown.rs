//! A platform without a keychain that this crate knows.

use super::*;

/// None that we know.
pub(super) fn store() -> keyring_core::Result<Arc<CredentialStore>> {
    Err(KeyringError::NoDefaultStore)
}

pub(super) fn entry(_: &str, _: &str) -> keyring_core::Result<Entry> {
    Err(KeyringError::NoDefaultStore)
}

pub(super) fn secrets(service: &str, user: &str, entries: Entries) -> keyring_core::Result<Vec<SecretBytes>> {
    secrets_of(&entry(service, user)?, entries)
}

pub(super) fn all_of(_: &str) -> HashMap<&str, &str> {
    HashMap::new()
}

pub(super) fn failure(_: &PlatformError, _: Duration) -> Option<KeychainFailure> {
    Some(KeychainFailure::Unavailable)
}
