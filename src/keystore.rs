//! The store that applications open.

use std::{fmt, path::Path, sync::Arc, time::Duration};

use crate::{
    engine::{self, Engine},
    error::{Error, Result},
    file::{Access, Os, StoreFile},
    id::{SlotId, TokenId},
    index::Index,
    matching,
    snapshot::Snapshot,
    status::{FileStatus, KeySlot, Status},
    store::TokenStore,
    token::Token,
    unlock::Unlock,
};

/// Tokens in one encrypted file. A cheap handle: clones share the open store, threads share clones or references.
///
/// Its operations are those of [`TokenStore`], and [`replace_token`](Self::replace_token). Any number of processes may
/// have one file open: each operation sees what was committed before it, by whomever.
///
/// # What it costs
///
/// Every call blocks; none belongs on a GUI thread, and async code wraps it in `spawn_blocking`.
///
/// - Creating a store and opening it with a passphrase derive a key: by default some 0.1 s and 64 MiB of memory for each
///   passphrase that the file has ([`KdfParams`](crate::KdfParams)). With a keychain they ask that, which may ask a person.
/// - Whatever makes or checks ways to unlock it does the same for each of them, before it waits for anybody; what
///   changes them then waits and writes like a save.
/// - A find asks the system once whether the file is the one in memory, and reads and decrypts the whole file if another
///   process has replaced it (on Windows it opens the file, and reads its start). It waits for no writer of another process, and for none of this one but while that puts a new
///   file in place.
/// - A save or delete writes the whole file and waits until the disk has it, which takes a few milliseconds on most
///   disks; it waits for other writers at most as long as
///   [`KeystoreOptions::lock_timeout`] says. When it returns `Ok` the change survives a power cut. Threads that save at the same
///   time with one handle and its clones share one replacement of the file: many cost little more than one. A save of
///   256 KiB or more, some six hundred tokens, starts two threads that end by themselves: one hashes what it encodes, the
///   other closes the file before, whose bytes the system then frees.
///
/// # Errors
///
/// Any operation can fail as opening can, for the file may have been replaced by anything since; then nothing is
/// written, and what is in memory stays. On top of that:
///
/// - [`Replaced`](Error::Replaced), [`Rekeyed`](Error::Rekeyed), [`RolledBack`](Error::RolledBack): what is at the path
///   is no later state of what was opened;
/// - [`Forked`](Error::Forked): in a child that was forked, which has to open the store itself;
/// - [`Busy`](Error::Busy): others held the lock for too long;
/// - [`ChangedMeanwhile`](Error::ChangedMeanwhile): a program that takes no lock changed the file during a save;
/// - [`DurabilityUnknown`](Error::DurabilityUnknown): the change was made and is visible, but a power cut may undo it;
/// - [`TooLarge`](Error::TooLarge), [`Unstorable`](Error::Unstorable): nothing was changed.
///
/// # Ways to unlock it
///
/// A store is made with one way to unlock it and has up to eight, of which each opens it alone: see
/// [`add_slot`](Self::add_slot), [`change_passphrase`](Self::change_passphrase), [`remove_slot`](Self::remove_slot) and
/// [`rekey`](Self::rekey). Each of these is one replacement of the file, like a save. Others that have the store open
/// work on as before, but for a rekeying, which they are told of ([`Rekeyed`](Error::Rekeyed)).
///
/// Nobody is asked again for a passphrase: whoever has the store open has its key.
///
/// **Removal is not revocation.** Removing or changing a way does not change the store's key. Whoever has an older copy of
/// the file and the secret that was removed gets the key from that copy, and with it can read every later file. So can
/// who has read the key from the memory of a process. Only [`rekey`](Self::rekey) ends that.
///
/// # Examples
///
/// ```
/// use tokenkeep::{Keystore, Token, TokenStore, Unlock};
///
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("tokens.keep");
/// # let passphrase = || Unlock::passphrase("correct horse battery staple").kdf(tokenkeep::KdfParams::MIN);
/// let store = Keystore::open_or_create(&path, passphrase())?;
/// store.save_token(&Token::builder().user_name("ada").refresh_token("r1").build())?;
/// drop(store);
///
/// let store = Keystore::open(&path, passphrase())?;
/// let ada = store.find_stored(&Token::builder().user_name("ada").build())?.unwrap();
/// assert_eq!(ada.refresh_token().unwrap().expose_secret(), "r1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Keystore(Arc<Engine>);

/// How a store is opened and used, where the defaults do not fit.
///
/// ```
/// use std::time::Duration;
/// use tokenkeep::{KdfParams, KeystoreOptions, Unlock};
///
/// # let dir = tempfile::tempdir()?;
/// let options = KeystoreOptions::new().lock_timeout(Duration::from_secs(2)).max_file_len(4 * 1024 * 1024);
/// let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
/// let store = options.open_or_create(dir.path().join("tokens.keep"), unlock.clone())?;
///
/// // The same file where it is mounted from a file system that has no modes:
/// let store = options.without_permission_checks().open(dir.path().join("tokens.keep"), unlock)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Debug, Clone)]
#[must_use = "options do nothing until a store is opened with them"]
pub struct KeystoreOptions {
    lock_timeout: Duration,
    max_file_len: u64,
    access: Access,
}

impl Keystore {
    pub(crate) fn over(engine: Engine) -> Self {
        Self(Arc::new(engine))
    }

    #[cfg(feature = "testing")]
    pub(crate) fn save_all(&self, tokens: Vec<Token>) -> Result<()> {
        let saved = self.0.write(move |changes| tokens.iter().try_for_each(|token| changes.save(token).map(drop)));
        saved?.confirmed(|()| None)
    }

    /// Makes a new store, with a new key, that `unlock` opens. Blocks for a key derivation, if that is a passphrase, and for the
    /// disk.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](Error::AlreadyExists) if anything is at the path, [`MissingFolder`](Error::MissingFolder) if
    /// its folder is not there, [`UnsafePermissions`](Error::UnsafePermissions) if everybody may write to that,
    /// [`NotAFile`](Error::NotAFile) if the path names no file, [`TooLarge`](Error::TooLarge) for the label,
    /// [`EmptyPassphrase`](Error::EmptyPassphrase), [`KdfMemory`](Error::KdfMemory), [`Keychain`](Error::Keychain),
    /// [`Busy`](Error::Busy), [`Random`](Error::Random), [`Io`](Error::Io). After
    /// [`DurabilityUnknown`](Error::DurabilityUnknown) the new store is there to be opened, but a power cut may undo
    /// it. After any other error nothing is at the path that was not there before.
    pub fn create(path: impl AsRef<Path>, unlock: Unlock) -> Result<Self> {
        KeystoreOptions::new().create(path, unlock)
    }

    /// Opens a store that exists. Writes nothing, and takes no lock. Blocks, with a passphrase, for one key derivation for each
    /// passphrase slot up to the one that opens.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](Error::NotFound), [`MissingFolder`](Error::MissingFolder), [`NotAFile`](Error::NotAFile),
    ///   [`UnsafePermissions`](Error::UnsafePermissions), [`TooLarge`](Error::TooLarge), [`Io`](Error::Io): the file
    ///   was not read;
    /// - [`EmptyFile`](Error::EmptyFile), [`NotAKeystore`](Error::NotAKeystore),
    ///   [`UnsupportedVersion`](Error::UnsupportedVersion), [`UnsupportedFeature`](Error::UnsupportedFeature),
    ///   [`Truncated`](Error::Truncated), [`DamagedHeader`](Error::DamagedHeader), [`KdfLimit`](Error::KdfLimit),
    ///   [`Malformed`](Error::Malformed): no key was derived;
    /// - [`WrongPassphrase`](Error::WrongPassphrase), [`EmptyPassphrase`](Error::EmptyPassphrase),
    ///   [`WrongRecoveryKey`](Error::WrongRecoveryKey), [`Keychain`](Error::Keychain), [`NoSuchSlot`](Error::NoSuchSlot),
    ///   [`KdfMemory`](Error::KdfMemory): there is no key to the contents;
    /// - [`Tampered`](Error::Tampered), [`Malformed`](Error::Malformed): the key was right, the contents were not.
    pub fn open(path: impl AsRef<Path>, unlock: Unlock) -> Result<Self> {
        KeystoreOptions::new().open(path, unlock)
    }

    /// Opens the store, or makes it if nothing is at the path. Blocks as those do. If another process makes it at the same time, opens that.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) and of [`create`](Self::create). A file that cannot be opened is left as it is.
    pub fn open_or_create(path: impl AsRef<Path>, unlock: Unlock) -> Result<Self> {
        KeystoreOptions::new().open_or_create(path, unlock)
    }

    /// The ways to unlock the store. Costs what a find costs.
    ///
    /// # Errors
    ///
    /// Those of the type.
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, SlotKind, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
    /// let store = Keystore::create(dir.path().join("tokens.keep"), unlock.label("Ada"))?;
    /// for slot in store.slots()? {
    ///     println!("{} {:?} ({}), since {:?}", slot.id, slot.label, slot.kind, slot.created_at);
    ///     if let SlotKind::Passphrase(cost) = slot.kind {
    ///         println!("a guess takes {} KiB of memory", cost.memory_kib());
    ///     }
    /// }
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn slots(&self) -> Result<Vec<KeySlot>> {
        self.0.slots()
    }

    /// The way that opened this handle, as it is now; `None` once it was removed, or replaced through another handle. Costs what
    /// a find costs.
    ///
    /// # Errors
    ///
    /// Those of the type.
    pub fn opened_by(&self) -> Result<Option<KeySlot>> {
        self.0.opened_by()
    }

    /// Whether a way opens the store as it is now, and which: to see that a recovery key on paper is the right one, that a
    /// passphrase is known, that the keychain answers. Blocks as opening does, and changes nothing.
    ///
    /// # Errors
    ///
    /// [`WrongPassphrase`](Error::WrongPassphrase), [`WrongRecoveryKey`](Error::WrongRecoveryKey),
    /// [`Keychain`](Error::Keychain), [`NoSuchSlot`](Error::NoSuchSlot), and those of the type.
    ///
    /// ```
    /// # use tokenkeep::{Error, KdfParams, Keystore, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
    /// # let store = Keystore::create(dir.path().join("tokens.keep"), unlock.label("Ada"))?;
    /// assert_eq!(store.try_unlock(Unlock::passphrase("correct horse battery staple"))?.label, "Ada");
    /// assert!(matches!(store.try_unlock(Unlock::passphrase("correct donkey")), Err(Error::WrongPassphrase)));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn try_unlock(&self, unlock: Unlock) -> Result<KeySlot> {
        self.0.try_unlock(&unlock)
    }

    /// Adds a way to unlock the store. Blocks for a key derivation, if it is a passphrase, and as a save does. The same secret can
    /// be added twice, and is then to be changed or removed twice.
    ///
    /// # Errors
    ///
    /// [`TooManySlots`](Error::TooManySlots), [`TooLarge`](Error::TooLarge) for the label,
    /// [`EmptyPassphrase`](Error::EmptyPassphrase), [`KdfMemory`](Error::KdfMemory), [`Keychain`](Error::Keychain),
    /// [`Random`](Error::Random), and those of the type. After [`DurabilityUnknown`](Error::DurabilityUnknown) the way is there,
    /// and [`slots`](Self::slots) tells its id; trying again would add a second one.
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, RecoveryKey, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("tokens.keep");
    /// # let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
    /// # let store = Keystore::create(&path, unlock)?;
    /// let key = RecoveryKey::generate()?;
    /// println!("Keep this on paper: {}", key.expose_secret());
    /// let added = store.add_slot(Unlock::recovery_key(key.clone()).label("paper"))?;
    /// Keystore::open(&path, Unlock::recovery_key(key.clone()))?;
    ///
    /// // The paper was lost:
    /// assert!(store.remove_slot(added)?);
    /// assert!(Keystore::open(&path, Unlock::recovery_key(key)).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn add_slot(&self, unlock: Unlock) -> Result<SlotId> {
        self.0.add_slot(&unlock)
    }

    /// Removes a way to unlock the store; `false` if there is none of that id (any more). Blocks as a save does. It opens no later
    /// state of the file, but [removal is not revocation](#ways-to-unlock-it).
    ///
    /// A keychain's key is then taken out of it, if this handle knows the service: it was opened with it, or one of its calls was
    /// given it since. One that stays is an [orphan](Self::keychain_orphans).
    ///
    /// # Errors
    ///
    /// [`LastSlot`](Error::LastSlot), and those of the type. [`KeyLeft`](Error::KeyLeft) if all was done but taking the key out
    /// of the keychain.
    pub fn remove_slot(&self, id: SlotId) -> Result<bool> {
        self.0.remove_slot(id)
    }

    /// Puts another way to unlock the store in the place of one: a new recovery key for one that was lost. It gets the label
    /// of the old one unless it has its own, and a new id. Blocks as [`add_slot`](Self::add_slot) does.
    ///
    /// # Errors
    ///
    /// [`SlotGone`](Error::SlotGone) if there is no slot of that id, [`KeyLeft`](Error::KeyLeft) as for
    /// [`remove_slot`](Self::remove_slot), and those of [`add_slot`](Self::add_slot).
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, RecoveryKey, SlotKind, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("tokens.keep");
    /// # let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
    /// # let store = Keystore::create(&path, unlock)?;
    /// # store.add_slot(Unlock::recovery_key(RecoveryKey::generate()?).label("paper"))?;
    /// let lost = store.slots()?.into_iter().find(|slot| slot.kind == SlotKind::RecoveryKey).unwrap();
    /// let key = RecoveryKey::generate()?;
    /// println!("Keep this on paper: {}", key.expose_secret());
    /// store.replace_slot(lost.id, Unlock::recovery_key(key))?;
    /// assert_eq!(store.slots()?[1].label, "paper");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace_slot(&self, id: SlotId, unlock: Unlock) -> Result<SlotId> {
        self.0.replace_slot(id, &unlock)
    }

    /// Puts another passphrase in the place of the one that `current` gives, which has to be right. No token is lost, and
    /// nothing but the one slot is changed. Blocks for one key derivation for each passphrase slot up to that one,
    /// for another of the new one, and as a save does.
    ///
    /// The passphrase may stay the same: that is how it is given a higher cost once the default has risen. It keeps the cost that
    /// it has, if that is more than the default and `new` says nothing else.
    ///
    /// # Errors
    ///
    /// [`WrongPassphrase`](Error::WrongPassphrase) if `current` opens no slot, [`SlotGone`](Error::SlotGone) if another handle
    /// removed or changed that meanwhile, [`NotAPassphrase`](Error::NotAPassphrase) if one of the two is something else,
    /// [`NoSuchSlot`](Error::NoSuchSlot) if the store has no passphrase, and those of [`add_slot`](Self::add_slot).
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("tokens.keep");
    /// # let passphrase = "correct horse battery staple";
    /// # Keystore::create(&path, Unlock::passphrase(passphrase).kdf(KdfParams::MIN))?;
    /// let unlock = Unlock::passphrase(passphrase);
    /// let store = Keystore::open(&path, unlock.clone())?;
    /// if store.opened_by()?.is_some_and(|slot| slot.needs_upgrade()) {
    ///     store.change_passphrase(unlock.clone(), unlock)?;
    /// }
    /// assert!(!store.opened_by()?.unwrap().needs_upgrade());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn change_passphrase(&self, current: Unlock, new: Unlock) -> Result<SlotId> {
        self.0.change_passphrase(&current, &new)
    }

    /// Gives the store a new key, seals everything anew, and keeps exactly the ways to unlock it that are presented again,
    /// each of which has to open it now. For when somebody had the key who should not have it any more: what they kept,
    /// be it the key or an old file with a secret for it, opens nothing that is written from now on. Do not present a secret that
    /// they may know: change it first. What they could read until now is not called back: let the server revoke the tokens
    /// as well.
    ///
    /// This handle and its clones work on. Every other handle ends in [`Rekeyed`](Error::Rekeyed) and has to open the store
    /// again. What is kept gets a new id, the label and the cost of its `Unlock`, or else those it had.
    /// Blocks for as many key derivations as opening with each of the passphrases and setting it takes, up to 14 for four, and as a save
    /// does.
    ///
    /// # Errors
    ///
    /// [`WrongPassphrase`](Error::WrongPassphrase), [`WrongRecoveryKey`](Error::WrongRecoveryKey),
    /// [`NoSuchSlot`](Error::NoSuchSlot) if one of the ways does not open the store, [`LastSlot`](Error::LastSlot) if none is
    /// presented, [`SlotGone`](Error::SlotGone) if another handle removed or changed one meanwhile, and those of
    /// [`add_slot`](Self::add_slot) and [`remove_slot`](Self::remove_slot). After [`DurabilityUnknown`](Error::DurabilityUnknown)
    /// and [`KeyLeft`](Error::KeyLeft) it is done, after any other nothing was changed.
    ///
    /// ```
    /// # use tokenkeep::{Error, KdfParams, Keystore, RecoveryKey, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("tokens.keep");
    /// # let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
    /// # let store = Keystore::create(&path, unlock.clone())?;
    /// # let stolen = RecoveryKey::generate()?;
    /// # store.add_slot(Unlock::recovery_key(stolen.clone()))?;
    /// let other = Keystore::open(&path, unlock.clone())?;
    /// store.rekey([unlock])?;
    /// assert!(matches!(other.slots(), Err(Error::Rekeyed)));
    /// assert!(Keystore::open(&path, Unlock::recovery_key(stolen)).is_err());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn rekey(&self, kept: impl IntoIterator<Item = Unlock>) -> Result<()> {
        self.0.rekey(&kept.into_iter().collect::<Vec<_>>())
    }

    /// The keys that the keychain has for ways to unlock this store that the file does not have: of a way whose adding failed or
    /// was killed half-way, or that was removed while the keychain did not answer. Blocks while the keychain is asked, and
    /// may unlock it.
    ///
    /// None is deleted by itself, for any of them may be the key to a backup of the store, or to a copy of it. And one that another
    /// handle is about to add looks the same at that moment. So show them, and delete what the person says.
    ///
    /// # Errors
    ///
    /// [`Keychain`](Error::Keychain), and those of the type.
    ///
    /// ```
    /// # use tokenkeep::{Keystore, Unlock};
    /// # fn example() -> tokenkeep::Result<()> {
    /// let unlock = Unlock::keychain("com.example.app");
    /// let store = Keystore::open("tokens.keep", unlock.clone())?;
    /// for orphan in store.keychain_orphans(unlock.clone())? {
    ///     println!("there are no backups that need {orphan}");
    ///     store.remove_keychain_orphan(unlock.clone(), orphan)?;
    /// }
    /// # Ok(()) }
    /// ```
    pub fn keychain_orphans(&self, keychain: Unlock) -> Result<Vec<SlotId>> {
        self.0.keychain_orphans(&keychain)
    }

    /// Deletes one of the [orphans](Self::keychain_orphans) from the keychain; `false` if there is no such key, or if the store
    /// has that way to unlock it. It syncs the folder first, so that no power cut brings the way back without its key. A way
    /// that another handle is about to add would lose its key.
    ///
    /// # Errors
    ///
    /// [`Keychain`](Error::Keychain), and those of the type.
    pub fn remove_keychain_orphan(&self, keychain: Unlock, id: SlotId) -> Result<bool> {
        self.0.remove_keychain_orphan(&keychain, id)
    }

    /// Puts a token in place of the stored one of its id, and returns it as stored. What it leaves unset is cleared: the
    /// way to remove a field, where [`save_token`](TokenStore::save_token) would keep it. Blocks as a save does.
    ///
    /// A token that was read from the store carries its [revision](Token::revision) and replaces that revision only, so
    /// that no change made meanwhile is lost; one that was built from nothing replaces whatever is stored.
    ///
    /// # Errors
    ///
    /// [`Conflict`](Error::Conflict) if the stored token was changed since the given one was read,
    /// [`NoSuchToken`](Error::NoSuchToken) if none has its id, and those of the type.
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Token, TokenStore, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
    /// # let store = Keystore::create(dir.path().join("tokens.keep"), unlock)?;
    /// let id = store.save_token(&Token::builder().user_name("ada").access_token("a").grant_token("g").build())?;
    ///
    /// let token = store.find_token_by_id(&id)?.unwrap();
    /// let used = store.replace_token(&token.to_builder().grant_token("").build())?;
    /// assert_eq!(used.grant_token(), None);
    /// assert_eq!(used.revision(), Some(2));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn replace_token(&self, token: &Token) -> Result<Token> {
        let token = token.clone();
        self.0.write(move |changes| changes.replace(&token))?.confirmed(|row| row.id().cloned())
    }

    /// The tokens as they are now, for a tight loop: looking at them asks neither the system nor a lock anything, and
    /// shows nothing that is saved later. Costs what a find costs; the first save after it copies the lookup tables while
    /// the snapshot is alive.
    ///
    /// # Errors
    ///
    /// Those of the type.
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Token, TokenStore, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
    /// # let store = Keystore::create(dir.path().join("tokens.keep"), unlock)?;
    /// store.save_token(&Token::builder().user_name("ada").access_token("a").build())?;
    /// let snapshot = store.snapshot()?;
    /// store.delete_tokens()?;
    /// let ada = snapshot.find_stored(&Token::builder().user_name("ada").build());
    /// assert_eq!(ada.unwrap().access_token().unwrap().expose_secret(), "a");
    /// assert_eq!(store.snapshot()?.tokens().count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.0.snapshot().map(Snapshot::new)
    }

    /// Reads all of the file anew, whatever is in memory, and sees that it is sound: every byte, to the last token. Derives
    /// no key and takes no lock. Takes some three times the file's length of memory.
    ///
    /// # Errors
    ///
    /// Those of the type. The tokens in memory stay.
    ///
    /// ```
    /// # use tokenkeep::{Error, KdfParams, Keystore, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let path = dir.path().join("tokens.keep");
    /// # let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
    /// let store = Keystore::create(&path, unlock)?;
    /// store.verify()?;
    ///
    /// // Without a key: that the file is a keystore, whole, and with a header that nothing has damaged.
    /// let found = Keystore::verify_file(&path)?;
    /// assert_eq!((found.format_version, found.generation), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(&self) -> Result<()> {
        self.0.verify()
    }

    /// Looks at a file as far as that goes without a key: that it is a keystore, as long as it says, with a sound header.
    /// Whoever can write the file can make that look sound; only [`verify`](Self::verify) sees what is in it.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) for which no key was derived.
    pub fn verify_file(path: impl AsRef<Path>) -> Result<FileStatus> {
        KeystoreOptions::new().verify_file(path)
    }

    /// Makes a copy of the file that can be opened in every way this one can. It is consistent while others write, was seen
    /// to be sound, is on the disk when this returns, and never takes the place of a file that exists (where the system has
    /// no rename that sees to it, as Windows: of a file that existed when the copy was about to get its name). Reads
    /// and writes the whole file; takes no lock. A process that is killed over it may leave a `.tmp` file beside the
    /// copy, which can be deleted.
    ///
    /// # Errors
    ///
    /// Those of the type, and [`AlreadyExists`](Error::AlreadyExists), [`MissingFolder`](Error::MissingFolder).
    ///
    /// ```
    /// # use tokenkeep::{Error, KdfParams, Keystore, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
    /// # let store = Keystore::create(dir.path().join("tokens.keep"), unlock.clone())?;
    /// let backup = dir.path().join("backup.keep");
    /// store.backup_to(&backup)?;
    /// assert!(matches!(store.backup_to(&backup), Err(Error::AlreadyExists { .. })));
    /// Keystore::open(&backup, unlock)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        self.0.backup_to(path.as_ref())
    }

    /// What a support page would show: no secret, and nothing of what is stored but how many tokens. Syncs the folder once
    /// to see whether that can be done.
    ///
    /// # Errors
    ///
    /// Those of the type.
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Unlock};
    /// # let dir = tempfile::tempdir()?;
    /// # let unlock = Unlock::passphrase("correct horse battery staple").kdf(KdfParams::MIN);
    /// # let store = Keystore::create(dir.path().join("tokens.keep"), unlock)?;
    /// let status = store.status()?;
    /// assert_eq!((status.tokens, status.generation), (0, 1));
    /// println!("{status}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn status(&self) -> Result<Status> {
        self.0.status()
    }

    /// Where the file is, with symbolic links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

impl TokenStore for Keystore {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        let token = token.clone();
        self.0.write(move |changes| changes.save(&token))?.confirmed(|id| Some(id.clone()))
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        self.0.read(|index| matching::find(index, query))?
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        self.0.read(|index| index.by_id(id))
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        self.0.read(Index::tokens)
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        let id = id.clone();
        self.0.write(move |changes| Ok(changes.delete(&id)))?.confirmed(|_| None)
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.0.write(|changes| Ok(changes.delete_all()))?.confirmed(|_| None)
    }

    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        self.0.read(|index| matching::find_stored(index, query))?
    }
}

impl fmt::Debug for Keystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystore").field("path", &self.path()).finish_non_exhaustive()
    }
}

impl KeystoreOptions {
    /// The defaults: others are waited for at most 10 s, a file has at most 64 MiB, permissions are checked.
    pub fn new() -> Self {
        Self { lock_timeout: Duration::from_secs(10), max_file_len: 64 * 1024 * 1024, access: Access::Checked }
    }

    /// How long an operation waits for others, threads and processes together, before it ends in
    /// [`Error::Busy`].
    pub fn lock_timeout(mut self, at_most: Duration) -> Self {
        self.lock_timeout = at_most;
        self
    }

    /// How many bytes a file may have: a longer one is neither read nor written, but refused as
    /// [`Error::TooLarge`]. An open store takes several times its file's length in memory. A file written under
    /// a higher limit needs that limit again to be opened.
    pub fn max_file_len(mut self, bytes: u64) -> Self {
        self.max_file_len = bytes;
        self
    }

    /// Does not look at owners and modes: for file systems that have none and show the same ones for everything (FAT,
    /// some network shares). What else keeps other users from the file is then up to you. The encryption is the same.
    pub fn without_permission_checks(mut self) -> Self {
        self.access = Access::Unchecked;
        self
    }

    /// See [`Keystore::create`].
    ///
    /// # Errors
    ///
    /// Those of [`Keystore::create`].
    pub fn create(&self, path: impl AsRef<Path>, unlock: Unlock) -> Result<Keystore> {
        let file = StoreFile::new(path.as_ref(), self.access, self.max_file_len, Arc::new(Os))?;
        Engine::create(file, &unlock, self.lock_timeout).map(Keystore::over)
    }

    /// See [`Keystore::open`].
    ///
    /// # Errors
    ///
    /// Those of [`Keystore::open`].
    pub fn open(&self, path: impl AsRef<Path>, unlock: Unlock) -> Result<Keystore> {
        let file = StoreFile::existing(path.as_ref(), self.access, self.max_file_len, Arc::new(Os))?;
        Engine::open(file, &unlock, self.lock_timeout).map(Keystore::over)
    }

    /// See [`Keystore::verify_file`].
    ///
    /// # Errors
    ///
    /// Those of [`Keystore::verify_file`].
    pub fn verify_file(&self, path: impl AsRef<Path>) -> Result<FileStatus> {
        engine::verify_file(&StoreFile::existing(path.as_ref(), self.access, self.max_file_len, Arc::new(Os))?)
    }

    /// See [`Keystore::open_or_create`].
    ///
    /// # Errors
    ///
    /// Those of [`Keystore::open_or_create`].
    pub fn open_or_create(&self, path: impl AsRef<Path>, unlock: Unlock) -> Result<Keystore> {
        let path = path.as_ref();
        match self.open(path, unlock.clone()) {
            Err(Error::NotFound { .. }) => match self.create(path, unlock.clone()) {
                Err(Error::AlreadyExists { .. }) => self.open(path, unlock),
                created => created,
            },
            opened => opened,
        }
    }
}

impl Default for KeystoreOptions {
    fn default() -> Self {
        Self::new()
    }
}
