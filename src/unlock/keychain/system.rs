//! The system's keychain, through the keyring project's crates.
//!
//! Keychains hang, ask people, and are restarted. So each call makes a connection of its own, on a plain thread without
//! a runtime, and is given up at the deadline of its operation. The process-wide store of `keyring-core` is the
//! application's, and stays as it is.

#[cfg_attr(all(unix, not(target_vendor = "apple"), not(target_os = "android")), path = "system/secret_service.rs")]
#[cfg_attr(target_os = "macos", path = "system/macos.rs")]
#[cfg_attr(windows, path = "system/windows.rs")]
#[cfg_attr(
    not(any(target_os = "macos", windows, all(unix, not(target_vendor = "apple"), not(target_os = "android")))),
    path = "system/unknown.rs"
)]
mod native;

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, Instant},
};

use keyring_core::{CredentialStore, Entry, Error as KeyringError};
use zeroize::Zeroize;

use super::Entries;
use crate::{
    error::{Error, KeychainFailure, Result},
    secret::SecretBytes,
    unlock::deadline::{Deadline, NoAnswer, answer_by},
};

#[derive(Clone, Default)]
pub(in crate::unlock) struct System {
    /// The application's own store, in place of the system's.
    given: Option<Arc<CredentialStore>>,
}

impl System {
    pub(in crate::unlock) fn given(store: Arc<CredentialStore>) -> Self {
        Self { given: Some(store) }
    }

    pub(super) fn is_same(&self, other: &Self) -> bool {
        match (&self.given, &other.given) {
            (Some(one), Some(other)) => Arc::ptr_eq(one, other),
            (one, other) => one.is_none() && other.is_none(),
        }
    }

    pub(super) fn write(&self, service: &str, user: &str, text: SecretBytes, deadline: Deadline) -> Result<()> {
        let (given, service, user) = (self.given.clone(), service.to_owned(), user.to_owned());
        within(deadline, move || match &given {
            Some(store) => store.build(&service, &user, None)?.set_secret(&text),
            None => native::entry(&service, &user)?.set_secret(&text),
        })
    }

    /// The secrets of the entries of that name; none if there are none.
    pub(super) fn read(
        &self,
        service: &str,
        user: &str,
        entries: Entries,
        deadline: Deadline,
    ) -> Result<Vec<SecretBytes>> {
        let (given, service, user) = (self.given.clone(), service.to_owned(), user.to_owned());
        within(deadline, move || match &given {
            Some(store) => secrets_of(&store.build(&service, &user, None)?, entries),
            None => native::secrets(&service, &user, entries),
        })
    }

    /// Deletes all entries of that name.
    pub(super) fn delete(&self, service: &str, user: &str, deadline: Deadline) -> Result<()> {
        let (given, service, user) = (self.given.clone(), service.to_owned(), user.to_owned());
        within(deadline, move || {
            let entry = match &given {
                Some(store) => store.build(&service, &user, None)?,
                None => native::entry(&service, &user)?,
            };
            match entry.delete_credential() {
                Err(KeyringError::Ambiguous(copies)) => copies.iter().try_for_each(Entry::delete_credential),
                deleted => deleted,
            }
        })
    }

    /// The users of all entries of a service.
    pub(super) fn users(&self, service: &str, deadline: Deadline) -> Result<Vec<String>> {
        let (given, service) = (self.given.clone(), service.to_owned());
        within(deadline, move || {
            let entries = match &given {
                Some(store) => store.search(&HashMap::from([("service", service.as_str())]))?,
                None => native::store()?.search(&native::all_of(&service))?,
            };
            Ok(entries.iter().filter_map(|entry| user_of(entry.get_specifiers()?, &service)).collect())
        })
    }
}

/// The secrets of an entry, and of its copies where a keychain has several of one name.
fn secrets_of(entry: &Entry, entries: Entries) -> keyring_core::Result<Vec<SecretBytes>> {
    if matches!(entries, Entries::Locked(_)) {
        // The keychain unlocks what it has to when it is read.
        return Ok(Vec::new());
    }
    match entry.get_secret() {
        Ok(secret) => Ok(vec![SecretBytes::new(secret)]),
        Err(KeyringError::NoEntry) => Ok(Vec::new()),
        Err(KeyringError::Ambiguous(copies)) if !copies.is_empty() => {
            copies.iter().map(|copy| copy.get_secret().map(SecretBytes::new)).collect()
        }
        Err(error) => Err(error),
    }
}

/// The user of an entry, if it is the service's. Windows has one name for both, which it takes apart at the last dot:
/// put together again, it ends in the service.
fn user_of((found, user): (String, String), service: &str) -> Option<String> {
    let name = format!("{user}.{found}");
    name.strip_suffix(service)?.strip_suffix('.').map(str::to_owned)
}

/// The answer of a call to a keychain, if it comes in time.
fn within<R: Send + 'static>(
    deadline: Deadline,
    call: impl Fn() -> keyring_core::Result<R> + Send + 'static,
) -> Result<R> {
    let asking = move || loop {
        let asked = Instant::now();
        match call().map_err(|error| failure(error, asked.elapsed())) {
            // The bus gives up sooner than the caller.
            Err(None) if !deadline.left().is_zero() => {}
            Err(None) => break Err(missed(deadline)),
            Err(Some(why)) => break Err(why.error()),
            Ok(answer) => break Ok(answer),
        }
    };
    answer_by(deadline, asking, drop).unwrap_or_else(|none| match none {
        NoAnswer::TimedOut => Err(missed(deadline)),
        NoAnswer::Panicked => Err(KeychainFailure::Broken.error()),
        NoAnswer::NoThread => Err(KeychainFailure::Unavailable.error()),
    })
}

fn missed(deadline: Deadline) -> Error {
    KeychainFailure::TimedOut { after: deadline.most }.error()
}

/// What a call says that failed after that time; `None` if the bus has waited for an answer for as long as it does, and
/// the same call may be answered later. Errors of the keyring crates may hold the secret: nothing of them is passed on,
/// and what they hold is wiped.
fn failure(error: KeyringError, after: Duration) -> Option<KeychainFailure> {
    Some(match error {
        KeyringError::PlatformFailure(error) => return native::failure(&*error, after),
        KeyringError::NoDefaultStore => KeychainFailure::Unavailable,
        KeyringError::NoStorageAccess(_) => KeychainFailure::Locked,
        KeyringError::NoEntry => KeychainFailure::Missing,
        KeyringError::BadEncoding(mut bytes) | KeyringError::BadDataFormat(mut bytes, _) => {
            // Held by `a_keychain_that_fails_leaves_nothing`.
            bytes.zeroize();
            KeychainFailure::Broken
        }
        _ => KeychainFailure::Broken,
    })
}

type PlatformError = dyn std::error::Error + Send + Sync;

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows takes every name apart at its last dot, which may be one of another service's name.
    #[test]
    fn entry_belongs_to_one_service_by_its_whole_name() {
        let user = |found: &str, user: &str| user_of((found.to_owned(), user.to_owned()), "com.example.app");
        assert_eq!(user("com.example.app", "1-2"), Some("1-2".to_owned()));
        assert_eq!(user("app", "1-2.com.example"), Some("1-2".to_owned()));
        for (found, name) in
            [("app", "1-2.com.other"), ("example.app", "1-2"), ("com.example.app.beta", "1-2"), ("", "")]
        {
            assert_eq!(user(found, name), None, "{found} {name}");
        }
        assert_eq!(user("xcom.example.app", "1-2"), None);
    }
}
