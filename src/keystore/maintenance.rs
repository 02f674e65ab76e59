//! Looking after a store: verifying, copying, setting aside, and describing it.

use std::path::{Path, PathBuf};

use super::{Keystore, KeystoreOptions};
use crate::{
    error::Result,
    status::{FileStatus, Status},
    unlock::Unlock,
};

impl Keystore {
    /// Reads the whole file again and verifies every byte of it, up to the last record of the journal. A torn record
    /// at the end is no error: [`status`](Self::status) reports it. Derives no key and takes no lock. Allocates as much
    /// memory as [`open`](Self::open), in addition to the tokens that are in memory already.
    ///
    /// # Errors
    ///
    /// The [common errors](#errors). The tokens in memory stay.
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tokens.keep");
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// let store = Keystore::create(&path, &unlock)?;
    /// store.verify()?;
    ///
    /// // Without a key: the file is a keystore, complete, and its header is undamaged.
    /// let found = Keystore::verify_file(&path)?;
    /// assert_eq!((found.format_version, found.generation), (1, 1));
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn verify(&self) -> Result<()> {
        self.0.verify()
    }

    /// Checks a file without a key: it is a keystore, its header is undamaged, its body is complete, and valid heads of
    /// records follow the body. It does not check what the body and the records hold, and an attacker who can write the
    /// file can pass this check. [`verify`](Self::verify) checks all of that.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) for which no key was derived.
    pub fn verify_file(path: impl AsRef<Path>) -> Result<FileStatus> {
        KeystoreOptions::new().verify_file(path)
    }

    /// Renames a file to an unused name, and returns that name. Use it for a file that cannot be opened, or whose
    /// secrets are lost: `tokens.keep` becomes `tokens.keep.aside-1`. Then you can create a new store at the path, and
    /// may repair the old file later. Handles that have the file open get [`NotFound`](crate::Error::NotFound) from
    /// then on. Waits for other writers like a save.
    ///
    /// # Errors
    ///
    /// [`NotFound`](crate::Error::NotFound), [`NotAFile`](crate::Error::NotAFile),
    /// [`EmptyPath`](crate::Error::EmptyPath), [`ReservedName`](crate::Error::ReservedName),
    /// [`UnsafePermissions`](crate::Error::UnsafePermissions), [`Busy`](crate::Error::Busy),
    /// [`ChangedMeanwhile`](crate::Error::ChangedMeanwhile), [`AlreadyExists`](crate::Error::AlreadyExists) if 1,000
    /// files were set aside already, [`Io`](crate::Error::Io) if the directory cannot be written. After
    /// [`DurabilityUnknown`](crate::Error::DurabilityUnknown) the file is renamed, but a power cut may undo the rename.
    ///
    /// ```
    /// # use tokenkeep::{ErrorKind, KdfParams, Keystore, Passphrase, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tokens.keep");
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # Keystore::create(&path, &unlock)?;
    /// std::fs::write(&path, "{}")?; // some other program
    /// let store = match Keystore::open_or_create(&path, &unlock) {
    ///     // Ask the user first: a backup may be at hand.
    ///     Err(error) if error.kind() == ErrorKind::Damaged => {
    ///         println!("{error}; the old file is {}", Keystore::set_aside(&path)?.display());
    ///         Keystore::create(&path, &unlock)?
    ///     }
    ///     opened => opened?,
    /// };
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn set_aside(path: impl AsRef<Path>) -> Result<PathBuf> {
        KeystoreOptions::new().set_aside(path)
    }

    /// Checks that a save would succeed now, as far as the system says so beforehand: the path still leads to the file,
    /// the file and its directory may be written to, no lock file of another user is in the way, and the disk has room
    /// for a new file with all tokens, or has blocks reserved that the next save fits in. Changes nothing, and takes
    /// some microseconds. Call it before you send a refresh token that the server accepts only once.
    ///
    /// It does not see quotas, a failing disk, or what happens after it.
    ///
    /// # Errors
    ///
    /// The error that the save would have, and the [common errors](#errors).
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// let store = Keystore::create(directory.path().join("tokens.keep"), &unlock)?;
    /// store.check_writable()?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn check_writable(&self) -> Result<()> {
        self.0.check_writable()
    }

    /// Replaces the file by one without a journal. Saves do that by themselves when the journal is long; call this
    /// method to make the file short, or to remove the old versions of tokens that the journal still has, sealed. Waits
    /// and writes like a delete.
    ///
    /// # Errors
    ///
    /// The [common errors](#errors).
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, Token, TokenStore, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// let store = Keystore::create(directory.path().join("tokens.keep"), &unlock)?;
    /// store.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
    /// store.compact()?;
    /// assert_eq!(store.status()?.journal.records, 0);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn compact(&self) -> Result<()> {
        self.0.compact()
    }

    /// Writes what a damaged file holds before the damage as a new store at `new_path`, and opens that. The damage has
    /// to be in the journal: a file whose header or body is damaged cannot be recovered. Changes nothing of the damaged
    /// file. The same unlock methods open the new store. Blocks like [`open`](Self::open) and
    /// [`backup_to`](Self::backup_to).
    ///
    /// The new store lacks every change after the damage, which may be new refresh tokens: look for a backup first.
    ///
    /// # Errors
    ///
    /// Those of [`open`](Self::open) for the damaged file, and those of [`backup_to`](Self::backup_to) for the new one.
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, Token, TokenStore, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let path = directory.path().join("tokens.keep");
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(&path, &unlock)?;
    /// # store.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
    /// # store.save_token(&Token::builder().user_name("grace").refresh_token("r").build())?;
    /// // A disk that fails has changed a byte of the last save.
    /// let mut bytes = std::fs::read(&path)?;
    /// *bytes.last_mut().unwrap() ^= 1;
    /// std::fs::write(&path, bytes)?;
    /// assert!(Keystore::open(&path, &unlock).is_err());
    /// let recovered = Keystore::recover_before_damage(&path, &unlock, directory.path().join("recovered.keep"))?;
    /// assert_eq!(recovered.get_tokens()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn recover_before_damage(path: impl AsRef<Path>, unlock: &Unlock, new_path: impl AsRef<Path>) -> Result<Self> {
        KeystoreOptions::new().recover_before_damage(path, unlock, new_path)
    }

    /// Writes a verified copy of the store, without a journal. The same unlock methods open the copy. Reads the whole
    /// file, writes the whole copy, takes no lock, and returns when the copy is on the disk. The copy is consistent
    /// even if other threads or processes save meanwhile.
    ///
    /// This method does not overwrite an existing file. (Where the system cannot guarantee that for a rename, as on
    /// Windows, it can overwrite a file that another program creates at the last moment.) It refuses the names of files
    /// beside a store, such as `tokens.keep.lock`. If the process is killed during the call, a `.tmp` file may stay
    /// beside the copy. You can delete it.
    ///
    /// # Errors
    ///
    /// [`AlreadyExists`](crate::Error::AlreadyExists), [`MissingDirectory`](crate::Error::MissingDirectory),
    /// [`ReservedName`](crate::Error::ReservedName), and the [common errors](#errors).
    ///
    /// ```
    /// # use tokenkeep::{Error, KdfParams, Keystore, Passphrase, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(directory.path().join("tokens.keep"), &unlock)?;
    /// let backup = directory.path().join("backup.keep");
    /// store.backup_to(&backup)?;
    /// assert!(matches!(store.backup_to(&backup), Err(Error::AlreadyExists { .. })));
    /// Keystore::open(&backup, &unlock)?;
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn backup_to(&self, path: impl AsRef<Path>) -> Result<()> {
        self.0.backup_to(path.as_ref())
    }

    /// The state of the store for a support page: no secret, and of the tokens only their number. Syncs the directory
    /// once to see whether the file system can.
    ///
    /// # Errors
    ///
    /// The [common errors](#errors).
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(directory.path().join("tokens.keep"), &unlock)?;
    /// let status = store.status()?;
    /// assert_eq!((status.tokens, status.generation), (0, 1));
    /// println!("{status}");
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn status(&self) -> Result<Status> {
        self.0.status()
    }
}
