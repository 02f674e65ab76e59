//! The Credential Manager of Windows.

use super::*;

/// The Credential Manager.
pub(super) fn store() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(windows_native_keyring_store::Store::new()?)
}

pub(super) fn entry(service: &str, user: &str) -> keyring_core::Result<Entry> {
    // The default would follow the user to other machines of the domain, where the file is not.
    store()?.build(service, user, Some(&HashMap::from([("persistence", "Local")])))
}

pub(super) fn secrets(service: &str, user: &str, entries: Entries) -> keyring_core::Result<Vec<SecretBytes>> {
    secrets_of(&entry(service, user)?, entries)
}

/// It searches by a pattern of names, not by service.
pub(super) fn all_of(_: &str) -> HashMap<&str, &str> {
    HashMap::new()
}

pub(super) fn failure(_: &PlatformError, _: Duration) -> Option<KeychainFailure> {
    Some(KeychainFailure::Unavailable)
}
