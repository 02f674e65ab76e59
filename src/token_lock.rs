//! A lock on one stored token.

use std::time::Duration;

use crate::error::Result;

/// A lock on one stored token, which keeps all other threads and processes out:
/// [`TokenStore::lock_token`](crate::TokenStore::lock_token) returns it. [`TokenStoreExt`](crate::TokenStoreExt) builds
/// refreshing on it. Applications rarely use it themselves.
///
/// The lock ends when it is dropped, and when its process dies. A store that cannot see its holders die gives a lock
/// with a [`lease`](Self::lease), which ends by itself unless it is renewed.
pub trait TokenLock: Send + Sync {
    /// Whether the lock still keeps others out. `false` once a lease is over, and after a program has removed the lock
    /// from under its holder.
    fn is_held(&self) -> bool;

    /// Notes that a request is about to be sent with the token. If the lock ends without [`finish`](Self::finish) after
    /// that, [`was_left_unfinished`](Self::was_left_unfinished) is true for the next holder. Has no effect the second
    /// time.
    ///
    /// # Errors
    ///
    /// The store's own errors. The request is not sent then.
    fn start(&self) -> Result<()>;

    /// Whether the lock of an earlier holder ended between [`start`](Self::start) and [`finish`](Self::finish): its
    /// holder may have sent a request whose answer was never saved.
    fn was_left_unfinished(&self) -> bool;

    /// Ends the lock of a holder whose work is done, or was never begun.
    fn finish(self: Box<Self>);

    /// For how long the lock lasts unless it is renewed. `None`, the default: until it is dropped.
    fn lease(&self) -> Option<Duration> {
        None
    }

    /// Begins the lease again. The default does nothing.
    ///
    /// # Errors
    ///
    /// [`ClaimEnded`](crate::Error::ClaimEnded) if the lease was over, and the store's own errors.
    fn renew(&self) -> Result<()> {
        Ok(())
    }
}
