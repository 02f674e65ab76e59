//! Namespaces, transactions, versions and pruning of an open store.

use std::time::Duration;

use super::Keystore;
use crate::{
    error::Result, matching::Prune, namespace::Namespace, namespaces::check_name, transaction::Transaction,
    version::Version,
};

/// # Namespaces, transactions, changes
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

    /// Makes several operations as one: all of them are committed with one replacement of the file, or none. Others
    /// see the store before it or after it, never in between.
    ///
    /// The function runs while this call holds the store's lock, so other writers wait. Keep the function short: no
    /// network request and no question to a person. Readers do not wait. Use only the [`Transaction`] in the function.
    /// An operation on the store itself, on the same thread, ends in [`InTransaction`](crate::Error::InTransaction). A
    /// write through another handle of the same file waits for the lock timeout and ends in
    /// [`Busy`](crate::Error::Busy).
    ///
    /// Each transaction replaces the file by itself: threads do not share one replacement, as they do with single
    /// saves.
    ///
    /// # Errors
    ///
    /// That of the function, [`InTransaction`](crate::Error::InTransaction), and the [common errors](#errors). After
    /// [`DurabilityUnknown`](crate::Error::DurabilityUnknown) the changes are made, a power cut may undo them, and what
    /// the function returned is lost.
    ///
    /// ```
    /// # use tokenkeep::{KdfParams, Keystore, Passphrase, Token, TokenStore, Unlock};
    /// # let directory = tempfile::tempdir()?;
    /// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    /// # let store = Keystore::create(directory.path().join("tokens.keep"), &unlock)?;
    /// # store.save_token(&Token::builder().user_name("ada").refresh_token("r").build())?;
    /// // Moves all tokens into a namespace. They keep their ids, unless they are merged with tokens that are there.
    /// store.transaction(|transaction| {
    ///     for token in transaction.get_tokens() {
    ///         transaction.namespace("google")?.save_token(&token)?;
    ///     }
    ///     Ok(transaction.delete_tokens())
    /// })?;
    /// assert_eq!(store.namespace("google")?.get_tokens()?.len(), 1);
    /// # Ok::<(), Box<dyn std::error::Error>>(())
    /// ```
    pub fn transaction<R>(&self, operations: impl FnOnce(&mut Transaction<'_, '_>) -> Result<R>) -> Result<R> {
        self.0.transaction(|changes| operations(&mut Transaction::new(changes)))
    }

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
