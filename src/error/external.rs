//! The reasons inside errors about external providers of keys.

use std::{fmt, io, time::Duration};

/// How an external provider failed: the reason in [`Error::External`](crate::Error::External).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ExternalFailure {
    /// The provider reported an error.
    #[error("failed: {0}")]
    Failed(ExternalError),
    /// The provider did not answer. It may be waiting for a person, and may still do what was asked of it.
    #[error("did not answer within {} ms: try again, with a longer deadline if it asks a person", after.as_millis())]
    #[non_exhaustive]
    TimedOut {
        /// How long the call waited.
        after: Duration,
    },
    /// The provider gave a key that opens no key slot, or the key slot was changed in the file.
    #[error("gave a key that does not open the keystore: use another unlock method")]
    WrongKey,
    /// The provider made a key and then gave another one for the same data.
    #[error("does not give the key again that it made: use another unlock method")]
    Forgetful,
    /// The provider returned more public data than a key slot holds.
    #[error("returned {len} bytes of public data, the maximum is {limit}: report this to its author")]
    #[non_exhaustive]
    TooMuchData {
        /// How many bytes it returned.
        len: usize,
        /// How many are allowed.
        limit: usize,
    },
    /// The provider's name is empty or too long.
    #[error("has a name that is empty or longer than {limit} bytes: report this to its author")]
    #[non_exhaustive]
    BadName {
        /// How many bytes a name may have.
        limit: usize,
    },
    /// The provider panicked.
    #[error("panicked: report this to its author")]
    Panicked,
    /// The operating system had no thread for the call.
    #[error("could not be called, because the operating system had no thread for it: try again")]
    NoThread,
}

/// Why a provider could not do what it was asked. Its text is fixed when the application is compiled, so that no secret
/// can get into it.
///
/// ```
/// use tokenkeep::ExternalError;
///
/// let error = ExternalError::new("the TPM refused the key").code(0x1DF);
/// assert_eq!(error.to_string(), "the TPM refused the key (code 479, 0x1df)");
/// let error = ExternalError::from(std::io::Error::from(std::io::ErrorKind::NotFound));
/// assert_eq!(error.to_string(), "entity not found");
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ExternalError {
    reason: Reason,
    code: Option<i32>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reason {
    Text(&'static str),
    Io(io::ErrorKind),
}

impl ExternalError {
    /// An error with that text, which is to say what happened and what to do about it.
    #[must_use]
    pub const fn new(text: &'static str) -> Self {
        Self { reason: Reason::Text(text), code: None }
    }

    /// Adds the number that a device or a program gave as the reason.
    #[must_use]
    pub const fn code(mut self, code: i32) -> Self {
        self.code = Some(code);
        self
    }
}

/// Keeps the kind of the error and the system's number. A text that the error holds is dropped.
impl From<io::Error> for ExternalError {
    fn from(error: io::Error) -> Self {
        Self { reason: Reason::Io(error.kind()), code: error.raw_os_error() }
    }
}

impl fmt::Display for ExternalError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.reason {
            Reason::Text(text) => f.write_str(text)?,
            Reason::Io(kind) => kind.fmt(f)?,
        }
        self.code.map_or(Ok(()), |code| write!(f, " (code {code}, {code:#x})"))
    }
}

impl std::error::Error for ExternalError {}
