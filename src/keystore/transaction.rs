//! Several operations on an open store as one.

use super::Keystore;
use crate::{error::Result, transaction::Transaction};

/// # Transactions
impl Keystore {
    /// Makes several operations as one: all of them are committed, or none. Other threads and processes see the store
    /// before it or after it, never in between. A transaction that deletes nothing appends one record to the file, like
    /// a save. A transaction with a delete replaces the file.
    ///
    /// The function runs while this call holds the store's lock, so other writers wait. Keep the function short: no
    /// network request and no question to a person. Readers do not wait. Use only the [`Transaction`] in the function.
    /// An operation on the store itself, on the same thread, ends in [`InTransaction`](crate::Error::InTransaction). A
    /// write through another handle of the same file waits for the lock timeout and ends in
    /// [`Busy`](crate::Error::Busy).
    ///
    /// Each transaction is written by itself. Threads do not share its record or its replacement of the file, as they
    /// do with single saves.
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
}
