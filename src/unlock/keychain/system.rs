//! The system's keychain, through the keyring project's crates: the only file that names them.
//!
//! Keychains hang, ask people, and are restarted. So each call makes a connection of its own, on a plain thread without a
//! runtime, and is given up after its deadline. The process-wide store of `keyring-core` is the application's, and stays
//! as it is.

use std::{
    collections::HashMap,
    sync::{
        Arc,
        mpsc::{self, RecvTimeoutError},
    },
    thread,
    time::{Duration, Instant},
};

use keyring_core::{CredentialStore, Entry, Error as KeyringError};
use zeroize::Zeroize;

use crate::{
    error::{KeychainFailure, Result},
    secret::SecretBytes,
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

    pub(super) fn write(&self, service: &str, user: &str, text: SecretBytes, deadline: Duration) -> Result<()> {
        self.ask(service, user, deadline, move |entry| entry.set_secret(&text))
    }

    pub(super) fn read(&self, service: &str, user: &str, deadline: Duration) -> Result<SecretBytes> {
        // Wiped even if it comes when nobody waits for it any more.
        self.ask(service, user, deadline, |entry| entry.get_secret().map(SecretBytes::new))
    }

    pub(super) fn delete(&self, service: &str, user: &str, deadline: Duration) -> Result<()> {
        self.ask(service, user, deadline, Entry::delete_credential)
    }

    /// The users of all entries of a service.
    pub(super) fn users(&self, service: &str, deadline: Duration) -> Result<Vec<String>> {
        let (given, service) = (self.given.clone(), service.to_owned());
        within(deadline, move || {
            let entries = match given {
                Some(store) => store.search(&HashMap::from([("service", service.as_str())]))?,
                None => native::store()?.search(&native::all_of(&service))?,
            };
            Ok(entries.iter().filter_map(|entry| user_of(entry.get_specifiers()?, &service)).collect())
        })
    }

    /// Asks something of one entry.
    fn ask<R: Send + 'static>(
        &self,
        service: &str,
        user: &str,
        deadline: Duration,
        question: impl FnOnce(&Entry) -> keyring_core::Result<R> + Send + 'static,
    ) -> Result<R> {
        let (given, service, user) = (self.given.clone(), service.to_owned(), user.to_owned());
        within(deadline, move || match given {
            Some(store) => question(&store.build(&service, &user, None)?),
            None => question(&native::entry(&service, &user)?),
        })
    }
}

/// The user of an entry, if it is the service's. Windows has one name for both, which it takes apart at the last dot: put together
/// again, it ends in the service.
fn user_of((found, user): (String, String), service: &str) -> Option<String> {
    let name = format!("{user}.{found}");
    name.strip_suffix(service)?.strip_suffix('.').map(str::to_owned)
}

/// The answer, if it comes in time. A call that hangs goes on hanging, on a thread that nobody waits for.
fn within<R: Send + 'static>(
    deadline: Duration,
    call: impl FnOnce() -> keyring_core::Result<R> + Send + 'static,
) -> Result<R> {
    let (tell, told) = mpsc::sync_channel(1);
    let asking = move || {
        let started = Instant::now();
        // Nobody listens after the deadline.
        let _ = tell.send(call().map_err(|error| failure(error, started.elapsed()).error()));
    };
    let thread = thread::Builder::new().name("keychain".to_owned()).spawn(asking);
    let thread = thread.map_err(|_| KeychainFailure::Unavailable.error())?;
    let answer = told.recv_timeout(deadline);
    if matches!(answer, Err(RecvTimeoutError::Timeout)) {
        return Err(KeychainFailure::TimedOut { after: deadline }.error());
    }
    // It has answered or panicked, and leaves nothing behind.
    let _ = thread.join();
    answer.unwrap_or(Err(KeychainFailure::Broken.error()))
}

/// Errors of the keyring crates may hold the secret: nothing of them is passed on, and what they hold is wiped.
fn failure(error: KeyringError, after: Duration) -> KeychainFailure {
    match error {
        KeyringError::PlatformFailure(error) => native::failure(&*error, after),
        KeyringError::NoDefaultStore => KeychainFailure::Unavailable,
        KeyringError::NoStorageAccess(_) => KeychainFailure::Locked,
        KeyringError::NoEntry => KeychainFailure::Missing,
        KeyringError::BadEncoding(mut bytes) | KeyringError::BadDataFormat(mut bytes, _) => {
            bytes.zeroize();
            KeychainFailure::Broken
        }
        _ => KeychainFailure::Broken,
    }
}

type PlatformError = dyn std::error::Error + Send + Sync;

#[cfg(all(unix, not(target_vendor = "apple"), not(target_os = "android")))]
mod native {
    use super::*;

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

    /// The bus waits 2 s for an answer, and may only then learn of a lock.
    pub(super) fn failure(error: &PlatformError, after: Duration) -> KeychainFailure {
        use dbus_secret_service::Error as ServiceError;

        match error.downcast_ref::<ServiceError>() {
            Some(ServiceError::Locked | ServiceError::Prompt) => KeychainFailure::Locked,
            Some(ServiceError::Dbus(error)) => match error.name() {
                Some("org.freedesktop.DBus.Error.NoReply") => KeychainFailure::TimedOut { after },
                Some("org.freedesktop.Secret.Error.IsLocked") => KeychainFailure::Locked,
                _ => KeychainFailure::Unavailable,
            },
            _ => KeychainFailure::Unavailable,
        }
    }
}

#[cfg(target_os = "macos")]
mod native {
    use super::*;

    /// The login keychain.
    pub(super) fn store() -> keyring_core::Result<Arc<CredentialStore>> {
        Ok(apple_native_keyring_store::keychain::Store::new()?)
    }

    pub(super) fn entry(service: &str, user: &str) -> keyring_core::Result<Entry> {
        store()?.build(service, user, None)
    }

    pub(super) fn all_of(service: &str) -> HashMap<&str, &str> {
        HashMap::from([("service", service)])
    }

    /// It does not tell a person who refuses from a keychain that does not work.
    pub(super) fn failure(_: &PlatformError, _: Duration) -> KeychainFailure {
        KeychainFailure::Unavailable
    }
}

#[cfg(windows)]
mod native {
    use super::*;

    /// The Credential Manager.
    pub(super) fn store() -> keyring_core::Result<Arc<CredentialStore>> {
        Ok(windows_native_keyring_store::Store::new()?)
    }

    pub(super) fn entry(service: &str, user: &str) -> keyring_core::Result<Entry> {
        // The default would follow the user to other machines of the domain, where the file is not.
        store()?.build(service, user, Some(&HashMap::from([("persistence", "Local")])))
    }

    /// It searches by a pattern of names, not by service.
    pub(super) fn all_of(_: &str) -> HashMap<&str, &str> {
        HashMap::new()
    }

    pub(super) fn failure(_: &PlatformError, _: Duration) -> KeychainFailure {
        KeychainFailure::Unavailable
    }
}

#[cfg(not(any(target_os = "macos", windows, all(unix, not(target_vendor = "apple"), not(target_os = "android")))))]
mod native {
    use super::*;

    /// None that we know.
    pub(super) fn store() -> keyring_core::Result<Arc<CredentialStore>> {
        Err(KeyringError::NoDefaultStore)
    }

    pub(super) fn entry(_: &str, _: &str) -> keyring_core::Result<Entry> {
        Err(KeyringError::NoDefaultStore)
    }

    pub(super) fn all_of(_: &str) -> HashMap<&str, &str> {
        HashMap::new()
    }

    pub(super) fn failure(_: &PlatformError, _: Duration) -> KeychainFailure {
        KeychainFailure::Unavailable
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Windows takes a name apart at the last dot, whichever service it was made for.
    #[test]
    fn an_entry_belongs_to_a_service_however_its_name_was_taken_apart() {
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

    #[test]
    fn a_thread_that_has_answered_is_gone() {
        let (tell, told) = mpsc::channel();
        let answer = within(Duration::from_secs(10), move || {
            let on_exit = OnExit(tell);
            thread_local!(static AT_THE_END: std::cell::RefCell<Option<OnExit>> = const { std::cell::RefCell::new(None) });
            AT_THE_END.set(Some(on_exit));
            Ok(())
        });
        // The thread's own last act came before the answer was passed on.
        assert!(told.try_recv().is_ok() && answer.is_ok());
    }

    struct OnExit(mpsc::Sender<()>);

    impl Drop for OnExit {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(50));
            let _ = self.0.send(());
        }
    }
}
