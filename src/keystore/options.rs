//! How a store is opened and used, where the defaults do not fit.

use std::{
    fmt,
    path::{Path, PathBuf},
    sync::Arc,
    time::Duration,
};

use super::Keystore;
use crate::{
    engine::{self, Engine},
    error::{Error, Result},
    file::{Access, Os, StoreFile},
    status::FileStatus,
    unlock::Unlock,
};

/// How a store is opened and used, where the defaults do not fit.
///
/// ```
/// use std::time::Duration;
/// use tokenkeep::{KdfParams, KeystoreOptions, Passphrase, Unlock};
///
/// # let directory = tempfile::tempdir()?;
/// let options = KeystoreOptions::new().lock_timeout(Duration::from_secs(2)).max_file_len(4 * 1024 * 1024);
/// let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
/// let store = options.open_or_create(directory.path().join("tokens.keep"), &unlock)?;
///
/// // The same file, mounted from a file system that has no modes:
/// let store = options.without_permission_checks().open(directory.path().join("tokens.keep"), &unlock)?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
#[must_use = "options do nothing until a store is opened with them"]
pub struct KeystoreOptions {
    lock_timeout: Duration,
    max_file_len: u64,
    access: Access,
}

impl KeystoreOptions {
    /// The defaults: an operation waits at most 10 s for other writers, a file has at most 64 MiB, permissions are
    /// checked.
    pub fn new() -> Self {
        Self { lock_timeout: Duration::from_secs(10), max_file_len: 64 * 1024 * 1024, access: Access::Checked }
    }

    /// How long an operation waits for other writers, threads and processes together, before it ends in
    /// [`Error::Busy`].
    pub fn lock_timeout(mut self, at_most: Duration) -> Self {
        self.lock_timeout = at_most;
        self
    }

    /// How many bytes a file may have, at most 4 GiB. A longer file is neither read nor written, but refused as
    /// [`Error::FileTooLarge`]. Opening a store takes two to four times the length of its file in memory. A file that
    /// was written under a higher limit needs that limit again to be opened.
    pub fn max_file_len(mut self, bytes: u64) -> Self {
        self.max_file_len = bytes;
        self
    }

    /// Turns off the checks of owners and modes. Use it on file systems without real owners and modes, such as FAT and
    /// some network shares: they report the same owner and mode for every file. You then have to keep other users from
    /// the file by other means. The encryption does not change.
    pub fn without_permission_checks(mut self) -> Self {
        self.access = Access::Unchecked;
        self
    }

    /// Creates stores in directories of other users too: for an installer that gives the file to that user, and for a
    /// container that runs as root on a directory of the host's user. Without this, creating a store as root in another
    /// user's directory is refused, because the user could open neither the file nor the lock file.
    pub fn in_directory_of_another_user(mut self) -> Self {
        if self.access == Access::Checked {
            self.access = Access::CheckedAnywhere;
        }
        self
    }

    /// See [`Keystore::create`].
    ///
    /// # Errors
    ///
    /// Those of [`Keystore::create`].
    pub fn create(&self, path: impl AsRef<Path>, unlock: &Unlock) -> Result<Keystore> {
        let file = StoreFile::new(path.as_ref(), self.access, self.max_file_len, Arc::new(Os))?;
        Engine::create(file, unlock, self.lock_timeout).map(Keystore::over)
    }

    /// See [`Keystore::open`].
    ///
    /// # Errors
    ///
    /// Those of [`Keystore::open`].
    pub fn open(&self, path: impl AsRef<Path>, unlock: &Unlock) -> Result<Keystore> {
        Engine::open(self.existing(path.as_ref())?, unlock, self.lock_timeout).map(Keystore::over)
    }

    /// See [`Keystore::open_any`].
    ///
    /// # Errors
    ///
    /// Those of [`Keystore::open_any`].
    pub fn open_any<'a>(
        &self,
        path: impl AsRef<Path>,
        unlocks: impl IntoIterator<Item = &'a Unlock>,
    ) -> Result<Keystore> {
        let unlocks: Vec<_> = unlocks.into_iter().collect();
        Engine::open_any(self.existing(path.as_ref())?, &unlocks, self.lock_timeout).map(Keystore::over)
    }

    /// See [`Keystore::open_or_create`].
    ///
    /// # Errors
    ///
    /// Those of [`Keystore::open_or_create`].
    pub fn open_or_create(&self, path: impl AsRef<Path>, unlock: &Unlock) -> Result<Keystore> {
        let path = path.as_ref();
        match self.open(path, unlock) {
            Err(Error::NotFound { .. }) => match self.create(path, unlock) {
                Err(Error::AlreadyExists { .. }) => self.open(path, unlock),
                created => created,
            },
            opened => opened,
        }
    }

    /// See [`Keystore::set_aside`].
    ///
    /// # Errors
    ///
    /// Those of [`Keystore::set_aside`].
    pub fn set_aside(&self, path: impl AsRef<Path>) -> Result<PathBuf> {
        engine::set_aside(&self.existing(path.as_ref())?, self.lock_timeout)
    }

    /// See [`Keystore::recover_before_damage`].
    ///
    /// # Errors
    ///
    /// Those of [`Keystore::recover_before_damage`].
    pub fn recover_before_damage(
        &self,
        path: impl AsRef<Path>,
        unlock: &Unlock,
        new_path: impl AsRef<Path>,
    ) -> Result<Keystore> {
        let new_path = new_path.as_ref();
        engine::recover_before_damage(&self.existing(path.as_ref())?, unlock, new_path)?;
        self.open(new_path, unlock)
    }

    /// See [`Keystore::verify_file`].
    ///
    /// # Errors
    ///
    /// Those of [`Keystore::verify_file`].
    pub fn verify_file(&self, path: impl AsRef<Path>) -> Result<FileStatus> {
        engine::verify_file(&self.existing(path.as_ref())?)
    }

    fn existing(&self, path: &Path) -> Result<StoreFile> {
        StoreFile::existing(path, self.access, self.max_file_len, Arc::new(Os))
    }
}

impl Default for KeystoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl fmt::Debug for KeystoreOptions {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { lock_timeout, max_file_len, access } = self;
        f.debug_struct("KeystoreOptions")
            .field("lock_timeout", lock_timeout)
            .field("max_file_len", max_file_len)
            .field("permission_checks", &access.is_checked())
            .finish()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_of_options_names_the_settings() {
        let options = KeystoreOptions::new().lock_timeout(Duration::from_secs(2)).max_file_len(4096);
        let shown = format!("{options:?}");
        assert_eq!(shown, "KeystoreOptions { lock_timeout: 2s, max_file_len: 4096, permission_checks: true }");
        let shown = format!("{:?}", options.without_permission_checks());
        assert_eq!(shown, "KeystoreOptions { lock_timeout: 2s, max_file_len: 4096, permission_checks: false }");
    }
}
