//! A lock on one token, by its id.

use std::{fmt, time::Duration};

use crate::error::Result;

/// Whether the lock of a token was free: the answer of [`TokenStore::lock_token`](crate::TokenStore::lock_token).
pub enum LockAttempt {
    /// The lock is the caller's now.
    Locked(Box<dyn TokenLock>),
    /// Another thread or process holds the lock.
    Held {
        /// When a caller that waits tries again. Until then the store wakes it if it can: the stores of this crate wake
        /// all waiting callers when a lock ends.
        look_again: Duration,
    },
}

/// A lock on one stored token, which keeps all other threads and processes out:
/// [`TokenStore::lock_token`](crate::TokenStore::lock_token) gives it. [`TokenStoreExt`](crate::TokenStoreExt) builds
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

    /// Whether the lock of an earlier holder ended between [`start`](Self::start) and [`finish`](Self::finish), and
    /// nobody has finished since: a request may have been sent whose answer was never saved.
    fn was_left_unfinished(&self) -> bool;

    /// Ends the lock of a holder that knows what came of its request.
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

impl LockAttempt {
    /// The lock, if it was free.
    #[must_use]
    pub fn lock(self) -> Option<Box<dyn TokenLock>> {
        match self {
            Self::Locked(lock) => Some(lock),
            Self::Held { .. } => None,
        }
    }
}

impl fmt::Debug for LockAttempt {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Locked(_) => f.write_str("Locked"),
            Self::Held { look_again } => f.debug_struct("Held").field("look_again", look_again).finish(),
        }
    }
}
