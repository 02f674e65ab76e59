//! Namespaces of an open store, and pruning.

use super::Keystore;
use crate::{error::Result, matching::Prune, namespace::Namespace, namespaces::check_name};

/// # Namespaces
impl Keystore {
    /// A namespace of the store: a [`TokenStore`](crate::TokenStore) of its own within the file. The empty name is the
    /// default namespace, in which the operations of `Keystore` itself work. Costs nothing, and makes nothing: a
    /// namespace exists while it has tokens.
    ///
    /// # Errors
    ///
    /// [`TooLarge`](crate::Error::TooLarge) for a name of more than 256 bytes.
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, Token, TokenStore, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(directory.path().join("tokens.keep"), &unlock)?;
    /// let google = store.namespace("google")?;
    /// google.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
    /// assert_eq!(store.delete_tokens()?, 0);
    /// assert_eq!(google.get_tokens()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn namespace(&self, name: &str) -> Result<Namespace> {
        check_name(name)?;
        Ok(Namespace::of_file(&self.0, Some(name.into())))
    }

    /// The names of the namespaces that have tokens, other than the default one, in the order of their bytes. Costs
    /// what a find costs.
    ///
    /// # Errors
    ///
    /// The [common errors](#errors).
    pub fn namespaces(&self) -> Result<Vec<String>> {
        self.0.namespaces()
    }

    /// Deletes the tokens of the default namespace that are of no use any more, as one change, and returns how many.
    /// The library never does so by itself. Blocks as a delete does.
    ///
    /// # Errors
    ///
    /// The [common errors](#errors).
    ///
    /// ```
    /// # use std::time::SystemTime;
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, Prune, Token, TokenStore, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(directory.path().join("tokens.keep"), &unlock)?;
    /// let expired = Token::builder().access_token("a").expires_at(SystemTime::UNIX_EPOCH);
    /// store.save_token(&expired.build())?;
    /// assert_eq!(store.prune(Prune::Expired)?, 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn prune(&self, which: Prune) -> Result<usize> {
        self.tokens().prune(which)
    }
}
