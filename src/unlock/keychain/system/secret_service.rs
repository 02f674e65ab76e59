//! The Secret Service, over D-Bus: GNOME Keyring, KWallet, KeePassXC.

use dbus_secret_service::{EncryptionType, Error as ServiceError, Item, SecretService};

use super::*;

/// For how long the bus waits for an answer, a little less than it says (2 s).
const NO_REPLY_AFTER: Duration = Duration::from_millis(1900);

/// The Secret Service: GNOME Keyring, KWallet, KeePassXC.
pub(super) fn store() -> keyring_core::Result<Arc<CredentialStore>> {
    Ok(dbus_secret_service_keyring_store::Store::new()?)
}

pub(super) fn entry(service: &str, user: &str) -> keyring_core::Result<Entry> {
    // What people see in the list of their passwords.
    let label = format!("{service}: key of a token store");
    store()?.build(service, user, Some(&HashMap::from([("label", label.as_str())])))
}

pub(super) fn all_of(service: &str) -> HashMap<&str, &str> {
    HashMap::from([("service", service)])
}

/// The secrets of all unlocked items of that name, or of one locked item, for which a person may be asked.
pub(super) fn secrets(service: &str, user: &str, entries: Entries) -> keyring_core::Result<Vec<SecretBytes>> {
    let platform = |error: ServiceError| KeyringError::PlatformFailure(Box::new(error));
    let bus = SecretService::connect(EncryptionType::Dh).map_err(platform)?;
    let found = bus.search_items(HashMap::from([("service", service), ("username", user)])).map_err(platform)?;
    let items = match entries {
        // An item that needs no person is asked first.
        // Held by `copies_of_an_entry_lock_nobody_out`: `Vec::new()`.
        Entries::Unlocked => found.unlocked,
        Entries::Locked(place) => found.locked.into_iter().skip(place).take(1).collect(),
    };
    let secret = |item: &Item<'_>| {
        if matches!(entries, Entries::Locked(_)) {
            item.unlock()?;
        }
        item.get_secret().map(SecretBytes::new)
    };
    items.iter().map(secret).collect::<Result<_, _>>().map_err(platform)
}

pub(super) fn failure(error: &PlatformError, after: Duration) -> Option<KeychainFailure> {
    Some(match error.downcast_ref::<ServiceError>() {
        Some(ServiceError::Locked | ServiceError::Prompt) => KeychainFailure::Locked,
        Some(ServiceError::Dbus(error)) => match error.name() {
            // Sooner than the bus gives up waiting: the connection was refused or has dropped.
            // Held by `secret_service_that_dies_or_refuses_is_unavailable`: without `if after >= NO_REPLY_AFTER`.
            Some("org.freedesktop.DBus.Error.NoReply") if after >= NO_REPLY_AFTER => return None,
            Some("org.freedesktop.Secret.Error.IsLocked") => KeychainFailure::Locked,
            _ => KeychainFailure::Unavailable,
        },
        _ => KeychainFailure::Unavailable,
    })
}
