//! The store that applications open.

mod maintenance;
mod namespace;
mod options;
mod slots;
mod transaction;
mod version;

use std::{fmt, path::Path, sync::Arc};

pub use options::KeystoreOptions;

use crate::{
    engine::Engine, error::Result, namespace::Namespace, snapshot::Snapshot, store::delegate_token_store,
    unlock::Unlock,
};

/// Tokens in one encrypted file. A cheap handle: clones share the open store, and threads share clones or references.
///
/// Its operations are those of [`TokenStore`](crate::TokenStore). Any number of processes may have one file open: each
/// operation sees what was committed before it, by any process.
///
/// # What blocks
///
/// Do not call a method of this type on a GUI thread. In async code call finds, and methods that cost what a find
/// costs, directly. Wrap every other method in `spawn_blocking`.
///
/// - **A find** asks the system once whether the state in memory is still current, which takes some microseconds. (On
///   Windows a find opens the file and reads its first 136 bytes and its last tag.) If another process has saved, the
///   next find reads and decrypts the records that were appended. If another process has replaced the file, the next
///   find reads and decrypts the whole file: some milliseconds for a thousand tokens. A find waits for no lock of
///   another process. If the file is newer than what is in memory, a find waits for a thread of this process that is
///   loading the file or is in the middle of its own save. (On Windows a find always waits for such a thread.)
/// - **A save** appends one record to the file, 4 KiB or a few, and waits until the record is on the disk: less than a
///   millisecond on a fast disk. A save that would make the journal longer than 1 MiB and longer than the body writes
///   the whole file instead.
/// - **A delete, and [`compact`](Self::compact),** write the whole file and wait until it is on the disk, which takes a
///   few milliseconds on most disks.
/// - **Every change** waits for other writers at most for [`KeystoreOptions::lock_timeout`]. When it returns `Ok`, it
///   survives a power cut. Saves and deletes that threads make at the same time with one handle and its clones share
///   one record or one replacement of the file, so many cost little more than one. A transaction and a change of key
///   slots are written alone. If a change writes a whole file of 256 KiB or more, which is some six hundred tokens, it
///   starts two threads that end by themselves: one hashes the encoded tokens, the other closes the old file. Writers
///   of several processes are served in the order in which they came. While a change waits for another process, a
///   thread of its handle waits in the kernel's queue.
/// - **Creating a store, and opening it with a passphrase,** derive a key: by default about 0.1 s and 64 MiB of memory
///   for each passphrase of the file ([`KdfParams`](crate::KdfParams)). With a keychain they ask the keychain, which
///   may ask a person.
/// - **Every operation on key slots** derives keys or asks the keychain or the provider in the same way, before it
///   takes the lock. Then it waits and writes like a delete.
///
/// Opening a store allocates two times the length of its file if the tokens are large, and four times if a token has
/// some 300 bytes. While [`verify`](Self::verify) or [`backup_to`](Self::backup_to) runs, it allocates up to the same
/// amount again. `backup_to` allocates the length of the file on top of that.
///
/// # Forked processes
///
/// A forked child process has to open the store itself: every operation on its parent's handle ends in
/// [`Forked`](crate::Error::Forked). The library cannot help in two cases:
///
/// - The child is the first process of a new PID namespace, and may have the same process id as its parent. The library
///   then does not recognise the parent's handle. Do not use that handle in the child.
/// - The child inherits the locks that the parent holds. If the parent is killed during a save, the saves of other
///   processes end in [`Busy`](crate::Error::Busy) until the child ends or calls `exec`. The same holds for a
///   [`Claim`](crate::Claim).
///
/// # Errors
///
/// Any operation can fail as [`open`](Self::open) can, because another process may have replaced the file with
/// anything; then nothing is written, and the tokens in memory stay. In addition, any operation can end in:
///
/// - [`Replaced`](crate::Error::Replaced), [`Rekeyed`](crate::Error::Rekeyed),
///   [`RolledBack`](crate::Error::RolledBack), [`Diverged`](crate::Error::Diverged): the file at the path does not
///   continue the state that this handle has seen (`docs/durability.md` lists the histories that a handle cannot
///   notice);
/// - [`PathChanged`](crate::Error::PathChanged): a directory or a link on the way to the file was exchanged;
/// - [`Forked`](crate::Error::Forked): the process was forked, and the child has to open the store itself;
/// - [`Busy`](crate::Error::Busy): other writers held the lock for too long;
/// - [`ChangedMeanwhile`](crate::Error::ChangedMeanwhile): a program that takes no lock changed the file during a save;
/// - [`DurabilityUnknown`](crate::Error::DurabilityUnknown): the change was made and is visible, but a power cut may
///   undo it;
/// - [`FileTooLarge`](crate::Error::FileTooLarge), [`TooLarge`](crate::Error::TooLarge),
///   [`Unstorable`](crate::Error::Unstorable): nothing was changed.
///
/// # Key slots
///
/// A store is created with one key slot and has up to eight, each of which opens it alone: see
/// [`add_slot`](Self::add_slot), [`change_passphrase`](Self::change_passphrase), [`remove_slot`](Self::remove_slot) and
/// [`rekey`](Self::rekey). Each of these replaces the file once, like a delete. Other handles go on as before, except
/// after a rekey, which they report as [`Rekeyed`](crate::Error::Rekeyed).
///
/// An open store has its key. So no operation on an open store asks for a passphrase again.
///
/// **Removal is not revocation.** Removing or changing a key slot does not change the store's key. An attacker with an
/// older copy of the file and the removed secret gets the key from that copy, and can read every later file with it. So
/// can an attacker who has read the key from the memory of a process. Only [`rekey`](Self::rekey) ends that.
///
/// # Examples
///
/// ```
/// use tokenkeep::{Keystore, Passphrase, Token, TokenStore, Unlock};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("tokens.keep");
/// let unlock = Unlock::from(Passphrase::new("correct horse battery staple"));
/// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(tokenkeep::KdfParams::MIN));
/// let store = Keystore::open_or_create(&path, &unlock)?;
/// store.save_token(&Token::builder().user_name("ada").client_id("1000.ABC").refresh_token("r1").build())?;
/// drop(store);
///
/// let store = Keystore::open(&path, &unlock)?;
/// let query = Token::builder().user_name("ada").client_id("1000.ABC").build();
/// let ada = store.find_stored(&query)?.unwrap();
/// assert_eq!(ada.refresh_token().unwrap().expose_secret(), "r1");
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct Keystore(Arc<Engine>);

impl Keystore {
    pub(crate) fn over(engine: Engine) -> Self {
        Self(Arc::new(engine))
    }

    fn tokens(&self) -> Namespace {
        Namespace::of_file(&self.0, None)
    }

    #[cfg(feature = "testing")]
    pub(crate) fn save_all(&self, tokens: Vec<crate::token::Token>) -> Result<()> {
        self.0.transaction(|set| tokens.iter().try_for_each(|token| set.namespace("").save(token).map(drop)))
    }

    /// Creates a store with a new key, which the unlock method opens. Blocks for a key derivation, if that is a
    /// passphrase, and for the disk.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](crate::Error::AlreadyExists), [`MissingDirectory`](crate::Error::MissingDirectory),
    /// [`UnsafePermissions`](crate::Error::UnsafePermissions) if every user may write to the directory,
    /// [`NotAFile`](crate::Error::NotAFile), [`EmptyPath`](crate::Error::EmptyPath),
    /// [`ReservedName`](crate::Error::ReservedName), [`FileTooLarge`](crate::Error::FileTooLarge),
    /// [`TooLarge`](crate::Error::TooLarge) for the label, [`EmptyPassphrase`](crate::Error::EmptyPassphrase),
    /// [`KdfMemory`](crate::Error::KdfMemory),
    /// [`Keychain`](crate::Error::Keychain), [`External`](crate::Error::External), [`Busy`](crate::Error::Busy),
    /// [`Random`](crate::Error::Random), [`Io`](crate::Error::Io). After
    /// [`DurabilityUnknown`](crate::Error::DurabilityUnknown) the new store can be opened, but a power cut may undo it.
    /// After any other error nothing is at the path that was not there before.
    pub fn create(path: impl AsRef<Path>, unlock: &Unlock) -> Result<Self> {
        KeystoreOptions::new().create(path, unlock)
    }

    /// Opens a store that exists. Writes nothing, and takes no lock. With a passphrase it blocks for one key derivation
    /// for each passphrase slot up to the one that opens.
    ///
    /// # Errors
    ///
    /// - [`NotFound`](crate::Error::NotFound), [`MissingDirectory`](crate::Error::MissingDirectory),
    ///   [`EmptyPath`](crate::Error::EmptyPath), [`ReservedName`](crate::Error::ReservedName),
    ///   [`NotAFile`](crate::Error::NotAFile), [`UnsafePermissions`](crate::Error::UnsafePermissions),
    ///   [`FileTooLarge`](crate::Error::FileTooLarge), [`Io`](crate::Error::Io): the file was not read;
    /// - [`BadFile`](crate::Error::BadFile): the file is damaged, or is not a keystore of this version. Unless its flaw
    ///   is
    ///   [`Tampered`](crate::FileFlaw::Tampered) or [`Malformed`](crate::FileFlaw::Malformed), no key was derived;
    /// - [`WrongPassphrase`](crate::Error::WrongPassphrase), [`EmptyPassphrase`](crate::Error::EmptyPassphrase),
    ///   [`WrongRecoveryKey`](crate::Error::WrongRecoveryKey), [`Keychain`](crate::Error::Keychain),
    ///   [`External`](crate::Error::External),
    ///   [`NoSlotFor`](crate::Error::NoSlotFor), [`KdfMemory`](crate::Error::KdfMemory): the unlock method gave no key.
    pub fn open(path: impl AsRef<Path>, unlock: &Unlock) -> Result<Self> {
        KeystoreOptions::new().open(path, unlock)
    }

    /// Opens a store with the first of several unlock methods that opens it, in the order given. Blocks as
    /// [`open`](Self::open) does, once for each method up to that one.
    ///
    /// # Errors
    ///
    /// [`NoneOpened`](crate::Error::NoneOpened) if no method opens the store, with the error of each; and the errors of
    /// [`open`](Self::open) that concern the file.
    ///
    /// ```
    /// use tokenkeep::{Error, KdfParams, Keychain, Keystore, Passphrase, RecoveryKey, Unlock, UnlockMethod};
    ///
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tokens.keep");
    /// let paper = Unlock::from(RecoveryKey::generate()?);
    /// let passphrase = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// Keystore::create(&path, &passphrase)?;
    /// let keychain = Unlock::from(Keychain::new("com.example.app"));
    ///
    /// match Keystore::open_any(&path, [&keychain, &paper]) {
    ///     Err(Error::NoneOpened { failures, .. }) => {
    ///         let methods: Vec<_> = failures.iter().map(|failure| failure.method).collect();
    ///         assert_eq!(methods, [UnlockMethod::Keychain, UnlockMethod::RecoveryKey]);
    ///     }
    ///     other => panic!("expected no method to open it, got {other:?}"),
    /// }
    /// Keystore::open_any(&path, [&keychain, &passphrase])?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn open_any<'a>(path: impl AsRef<Path>, unlocks: impl IntoIterator<Item = &'a Unlock>) -> Result<Self> {
        KeystoreOptions::new().open_any(path, unlocks)
    }

    /// Opens the store, or creates it if nothing is at the path. If another process creates it at the same time, opens
    /// that one. Blocks as [`open`](Self::open) and [`create`](Self::create) do.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) and of [`create`](Self::create). A file that cannot be opened is left as it is.
    pub fn open_or_create(path: impl AsRef<Path>, unlock: &Unlock) -> Result<Self> {
        KeystoreOptions::new().open_or_create(path, unlock)
    }

    /// The tokens as they are now, for a tight loop: reading them asks neither the system nor a lock, and shows nothing
    /// that is saved later. Taking a snapshot costs what a find costs. The first save after it copies the lookup tables
    /// while the snapshot is alive.
    ///
    /// # Errors
    ///
    /// The [common errors](#errors).
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, Token, TokenStore, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(directory.path().join("tokens.keep"), &unlock)?;
    /// store.save_token(&Token::builder().user_name("ada").access_token("a").build())?;
    /// let snapshot = store.snapshot()?;
    /// store.delete_tokens()?;
    /// let ada = snapshot.find_stored(&Token::builder().user_name("ada").build())?;
    /// assert_eq!(ada.unwrap().access_token().unwrap().expose_secret(), "a");
    /// assert_eq!(store.snapshot()?.tokens().count(), 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn snapshot(&self) -> Result<Snapshot> {
        self.tokens().snapshot()
    }

    /// The path of the file, with symbolic links resolved.
    #[must_use]
    pub fn path(&self) -> &Path {
        self.0.path()
    }
}

delegate_token_store!(impl for Keystore: |store| store.tokens());

impl fmt::Debug for Keystore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Keystore").field("path", &self.path()).finish_non_exhaustive()
    }
}
