//! Errors made, and one failed write reported to each caller whose change was in it.

use std::io;

use super::{Detail, Error, ErrorKind};

impl Error {
    /// Wraps an error of an application's own [`TokenStore`](crate::TokenStore). The caller makes sure that it holds no
    /// secret.
    ///
    /// ```
    /// let error = tokenkeep::Error::other("the cloud vault did not answer");
    /// assert_eq!(error.to_string(), "the cloud vault did not answer");
    /// ```
    pub fn other(error: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Other(error.into())
    }

    /// Wraps an error of an application's own [`TokenStore`](crate::TokenStore) and says its [kind](Self::kind). One of
    /// the kind [`Busy`](ErrorKind::Busy) is [retryable](Self::is_retryable). The caller makes sure that it holds no
    /// secret.
    ///
    /// ```
    /// use tokenkeep::{Error, ErrorKind};
    ///
    /// let error = Error::of_store(ErrorKind::Busy, "the database was locked for 10 s: try again");
    /// assert_eq!(error.kind(), ErrorKind::Busy);
    /// assert!(error.is_retryable());
    /// ```
    pub fn of_store(kind: ErrorKind, cause: impl Into<Box<dyn std::error::Error + Send + Sync>>) -> Self {
        Self::Store { kind, cause: cause.into() }
    }

    pub(crate) fn internal(detail: &'static str) -> Self {
        Self::Internal(Detail::new(detail))
    }

    /// The same error, for another caller whose change was in the same write.
    pub(crate) fn again(&self) -> Self {
        match self {
            Self::NotFound { path } => Self::NotFound { path: path.clone() },
            Self::MissingDirectory { path } => Self::MissingDirectory { path: path.clone() },
            Self::NotAFile { path, found } => Self::NotAFile { path: path.clone(), found: *found },
            Self::MountedFile { path } => Self::MountedFile { path: path.clone() },
            Self::BadFile { path, flaw } => Self::BadFile { path: path.clone(), flaw: *flaw },
            Self::FileTooLarge { path, size, limit } => {
                Self::FileTooLarge { path: path.clone(), size: *size, limit: *limit }
            }
            Self::Replaced { path } => Self::Replaced { path: path.clone() },
            Self::PathChanged { path, opened } => Self::PathChanged { path: path.clone(), opened: opened.clone() },
            Self::Rekeyed { path } => Self::Rekeyed { path: path.clone() },
            Self::Diverged { path } => Self::Diverged { path: path.clone() },
            Self::RolledBack { path } => Self::RolledBack { path: path.clone() },
            Self::ChangedMeanwhile { path } => Self::ChangedMeanwhile { path: path.clone() },
            Self::UnsafePermissions { path, what } => Self::UnsafePermissions { path: path.clone(), what: *what },
            Self::Random => Self::Random,
            Self::NoGenerationLeft { path } => Self::NoGenerationLeft { path: path.clone() },
            Self::Io { operation, path, cause } => {
                Self::Io { operation: *operation, path: path.clone(), cause: same_cause(cause) }
            }
            Self::Internal(detail) => Self::Internal(*detail),
            _ => Self::internal("a write failed in an unexpected way"),
        }
    }
}

/// The same error of the system.
pub(crate) fn same_cause(cause: &io::Error) -> io::Error {
    cause.raw_os_error().map_or_else(|| io::Error::new(cause.kind(), cause.to_string()), io::Error::from_raw_os_error)
}
