//! The operating system's keychain as the way to a store's key.
//!
//! An entry holds the 32 bytes that one slot is opened with, in hexadecimal, and nothing else. It is in the keychain
//! before a file refers to it. The operation that removes the slot deletes the entry afterwards.

#[cfg_attr(feature = "keychain", path = "keychain/system.rs")]
#[cfg_attr(not(feature = "keychain"), path = "keychain/absent.rs")]
mod system;

use std::{fmt, time::Duration};

use data_encoding::HEXLOWER;

use super::deadline::Deadline;
use crate::{
    error::{Error, KeychainFailure, Result},
    format::StoreId,
    id::SlotId,
    secret::{Key, SecretBytes},
};
use system::System;

/// Some calls wait for a person who is asked to unlock the keychain.
const DEADLINE: Duration = Duration::from_secs(30);

/// Which entries of one name are asked for. A copy of a keyring makes a second one.
#[allow(dead_code, reason = "only the Secret Service has locked entries of its own")]
#[derive(Debug, Clone, Copy)]
enum Entries {
    /// All that can be read without asking a person.
    Unlocked,
    /// The one at this place among those that a person has to unlock.
    Locked(usize),
}

/// A key is kept as hexadecimal text: some keychains change bytes that are none (KWallet replaces what is not UTF-8,
/// and a line end in a secret makes a GNOME keyring without a password unreadable).
const TEXT_LEN: usize = 2 * Key::LEN;

/// A key in the operating system's keychain as an [unlock method](crate::Unlock): nobody types anything once the user
/// has signed in to the system. That is the Secret Service on Linux (GNOME Keyring, KWallet, KeePassXC), the login
/// keychain on macOS, the Credential Manager on Windows. `docs/keychain.md` says what each of them protects from, and
/// when it asks the user.
///
/// All questions of one operation to the keychain have one [deadline](Self::deadline). Opening a store asks for one key
/// for each key slot of a keychain, up to the one that opens. Making a key slot writes a key and reads it back. A key
/// is only ever made for a new slot, and deleted only after the slot is gone, or if the slot was not committed.
///
/// If the keychain fails, the operation ends in [`Error::Keychain`]; without the feature `keychain` it always does.
///
/// This function works on every start, with a keychain and without one. For the day when the keychain is lost the store
/// needs a second unlock method, as in the README's program.
///
/// ```
/// use std::path::Path;
/// use tokenkeep::{
///     Error, Keychain, KeychainFailure::{NotCompiledIn, Unavailable}, Keystore, Passphrase, Secret, Unlock,
/// };
///
/// fn open(path: &Path, ask: impl FnOnce() -> Secret) -> tokenkeep::Result<Keystore> {
///     let keychain = Unlock::from(Keychain::new("com.example.app")).label("this computer");
///     match Keystore::open_or_create(path, &keychain) {
///         // There is no keychain, or the store was created where there was none.
///         Err(Error::Keychain { why: Unavailable | NotCompiledIn, .. } | Error::NoSlotFor { .. }) => {
///             Keystore::open_or_create(path, &Passphrase::new(ask()).into())
///         }
///         opened => opened,
///     }
/// }
///
/// # if std::env::var_os("DBUS_SESSION_BUS_ADDRESS").is_none() {
/// # let directory = tempfile::tempdir()?;
/// let path = directory.path().join("tokens.keep");
/// for start in 1..=2 {
///     open(&path, || Secret::from("correct horse battery staple"))?;
/// }
/// # }
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Keychain {
    system: System,
    service: String,
    deadline: Duration,
}

impl Keychain {
    /// The keychain that knows the application as `service`, such as `"com.example.app"`.
    #[must_use]
    pub fn new(service: impl Into<String>) -> Self {
        Self { system: System::default(), service: service.into(), deadline: DEADLINE }
    }

    /// How long one operation may wait for the keychain, 30 s if not set: the keychain may ask a person to unlock it.
    #[must_use]
    pub fn deadline(mut self, deadline: Duration) -> Self {
        self.deadline = deadline;
        self
    }

    /// Uses the application's own keychain in place of the system's: any store of the `keyring-core` family, which this
    /// crate re-exports. For [`Keystore::keychain_orphans`](crate::Keystore::keychain_orphans) it has to find entries
    /// by their `service`.
    ///
    /// ```
    /// # use tokenkeep::{Keychain, Keystore, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tokens.keep");
    /// let credentials = tokenkeep::keyring_core::mock::Store::new()?;
    /// let unlock = Unlock::from(Keychain::new("com.example.app").credential_store(credentials));
    /// Keystore::create(&path, &unlock)?;
    /// Keystore::open(&path, &unlock)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    #[cfg(feature = "keychain")]
    #[must_use]
    pub fn credential_store(mut self, store: std::sync::Arc<keyring_core::CredentialStore>) -> Self {
        self.system = System::given(store);
        self
    }

    /// Makes a key for a new slot, and sees that the keychain has it.
    pub(super) fn make_key(&self, store_id: &StoreId, slot: SlotId) -> Result<Key> {
        self.check_service()?;
        let key = Key::random()?;
        // On the heap: it is moved to the thread that asks, and a text that moves leaves copies behind.
        let mut text = SecretBytes::new(vec![0; TEXT_LEN]);
        HEXLOWER.encode_mut(key.bytes(), &mut text);
        let deadline = self.start();
        self.system.write(&self.service, &user(store_id, slot), text, deadline)?;
        // Held by `forgetful_keychain_is_noticed_before_a_file_needs_it`: `Some(drop(read))` instead of
        // `(*read == key).then_some(())`.
        let is_kept = self.find_key(store_id, slot, deadline, |read| Ok((*read == key).then_some(())));
        let kept = match is_kept {
            Ok(Some(())) => return Ok(key),
            Ok(None) | Err(Error::Keychain { why: KeychainFailure::Missing }) => KeychainFailure::Forgetful.error(),
            Err(error) => error,
        };
        // No slot will refer to it.
        let _ = self.forget_by(store_id, slot, deadline);
        Err(kept)
    }

    /// The deadline of an operation that begins now.
    pub(crate) fn start(&self) -> Deadline {
        Deadline::after(self.deadline)
    }

    /// What `open` makes of the first key for a slot that opens it; `None` if there are entries and none opens it. A
    /// copy of a keyring makes a second entry of the same name: those that are unlocked are tried first, and a person
    /// is asked to unlock others only if none of them opens the slot.
    pub(crate) fn find_key<T>(
        &self,
        store_id: &StoreId,
        slot: SlotId,
        deadline: Deadline,
        mut open: impl FnMut(&Key) -> Result<Option<T>>,
    ) -> Result<Option<T>> {
        self.check_service()?;
        let user = user(store_id, slot);
        let mut is_missing = true;
        for entries in std::iter::once(Entries::Unlocked).chain((0..).map(Entries::Locked)) {
            let texts = self.system.read(&self.service, &user, entries, deadline)?;
            if texts.is_empty() && matches!(entries, Entries::Locked(_)) {
                break;
            }
            is_missing &= texts.is_empty();
            for text in texts {
                let mut key = Key::zeroed();
                // Held by `keychain_entry_with_a_wrong_key_is_not_replaced`: `!text.is_empty()` instead of
                // `text.len() == TEXT_LEN`.
                if text.len() == TEXT_LEN
                    && HEXLOWER.decode_mut(&text, key.bytes_mut()).is_ok()
                    && let Some(found) = open(&key)?
                {
                    return Ok(Some(found));
                }
            }
        }
        if is_missing { Err(KeychainFailure::Missing.error()) } else { Ok(None) }
    }

    /// Takes a slot's entry out; `false` if there is none.
    pub(crate) fn forget(&self, store_id: &StoreId, slot: SlotId) -> Result<bool> {
        self.forget_by(store_id, slot, self.start())
    }

    fn forget_by(&self, store_id: &StoreId, slot: SlotId, deadline: Deadline) -> Result<bool> {
        self.check_service()?;
        match self.system.delete(&self.service, &user(store_id, slot), deadline) {
            Err(Error::Keychain { why: KeychainFailure::Missing }) => Ok(false),
            deleted => deleted.map(|()| true),
        }
    }

    /// The slots that there are entries for, of any state of the store.
    pub(crate) fn slots(&self, store_id: &StoreId) -> Result<Vec<SlotId>> {
        self.check_service()?;
        let users = self.system.users(&self.service, self.start())?;
        let store = format!("{}-", HEXLOWER.encode(store_id));
        let slot = |user: &String| HEXLOWER.decode(user.strip_prefix(&store)?.as_bytes()).ok()?.try_into().ok();
        Ok(users.iter().filter_map(slot).map(SlotId).collect())
    }
}

impl Keychain {
    /// Whether it has the same entries.
    pub(crate) fn is_same(&self, other: &Self) -> bool {
        self.service == other.service && self.system.is_same(&other.system)
    }

    /// What some systems would cut, or take for any service.
    fn check_service(&self) -> Result<()> {
        let is_usable = !self.service.is_empty() && !self.service.contains('\0');
        if is_usable { Ok(()) } else { Err(KeychainFailure::BadService.error()) }
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
