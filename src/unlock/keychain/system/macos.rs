//! The login keychain of macOS.

use super::*;

/// The login keychain.
pub(super) fn store() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(apple_native_keyring_store::keychain::Store::new()?)
}

pub(super) fn entry(service: &str, user: &str) -> keyring_core::Result<Entry> {
    store()?.build(service, user, None)
}

pub(super) fn secrets(service: &str, user: &str, entries: Entries) -> keyring_core::Result<Vec<SecretBytes>> {
    secrets_of(&entry(service, user)?, entries)
}

pub(super) fn all_of(service: &str) -> HashMap<&str, &str> {
    HashMap::from([("service", service)])
}

/// It does not tell a person who refuses from a keychain that does not work.
pub(super) fn failure(_: &PlatformError, _: Duration) -> Option<KeychainFailure> {
    Some(KeychainFailure::Unavailable)
}
