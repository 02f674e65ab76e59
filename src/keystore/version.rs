//! The state of an open store, to notice the changes of others by.

use std::time::Duration;

use super::Keystore;
use crate::{error::Result, version::Version};

/// # Versions
impl Keystore {
    /// The state of the store, to be compared with a later one. Costs what a find costs.
    ///
    /// # Errors
    ///
    /// The [common errors](#errors).
    pub fn version(&self) -> Result<Version> {
        self.0.version()
    }

    /// Blocks until the store has another version than `version`, or until `timeout` has passed. Returns the new
    /// version, or `None` after the timeout. This call sees a commit through the same handle or a clone at once. It
    /// sees a commit by any other handle or process within 80 ms, plus the time that a find needs to load the file. It
    /// uses less than a thousandth of one processor.
    ///
    /// # Errors
    ///
    /// The [common errors](#errors).
    ///
    /// ```
    /// # use std::time::Duration;
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, Token, TokenStore, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(directory.path().join("tokens.keep"), &unlock)?;
    /// let version = store.version()?;
    /// assert_eq!(store.wait_for_change(&version, Duration::from_millis(10))?, None);
    /// store.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
    /// assert!(store.wait_for_change(&version, Duration::from_secs(10))?.is_some());
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn wait_for_change(&self, version: &Version, timeout: Duration) -> Result<Option<Version>> {
        self.0.wait_for_change(version, timeout)
    }
}
