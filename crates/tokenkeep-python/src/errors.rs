//! The library's errors as exceptions: the classes are in `tokenkeep/_errors.py`.

use std::{io, path::Path};

use pyo3::{exceptions::PyOSError, prelude::*, types::PyList};
use tokenkeep::{Error, ErrorKind, RefreshError, RefreshStep, Result, UnlockFailure};

use crate::claim::UnsavedToken;

/// The result, or the exception for the error.
pub(crate) trait OrRaise<R> {
    fn or_raise(self, py: Python<'_>) -> PyResult<R>;
}

impl<R> OrRaise<R> for Result<R> {
    fn or_raise(self, py: Python<'_>) -> PyResult<R> {
        self.map_err(|error| exception(py, &error))
    }
}

impl<R> OrRaise<R> for Result<R, RefreshError> {
    fn or_raise(self, py: Python<'_>) -> PyResult<R> {
        self.map_err(|error| refresh_exception(py, error).unwrap_or_else(|failed| failed))
    }
}

/// An exception with a message of this binding.
pub(crate) fn raise(py: Python<'_>, class: &str, message: &str) -> PyErr {
    make(py, class, message).map_or_else(|failed| failed, PyErr::from_value)
}

/// The exception for an error of the operating system that has no file.
#[cfg(unix)]
pub(crate) fn from_io(py: Python<'_>, error: &io::Error) -> PyErr {
    let raised = raise(py, "OperatingSystemError", &error.to_string());
    raised.set_cause(py, Some(os_error(error)));
    raised
}

/// The exception for an error, with its cause.
fn exception(py: Python<'_>, error: &Error) -> PyErr {
    of_error(py, error).unwrap_or_else(|failed| failed)
}

fn of_error(py: Python<'_>, error: &Error) -> PyResult<PyErr> {
    let made = make(py, class_of(error), &error.to_string())?;
    made.setattr("retryable", error.is_retryable())?;
    if let Some(path) = path_of(error) {
        made.setattr("path", path)?;
    }
    match error {
        Error::BackedOff { until, .. } => made.setattr("until", *until)?,
        Error::Io { cause, .. } => {
            if let (Some(code), true) = (cause.raw_os_error(), made.is_instance_of::<PyOSError>()) {
                made.setattr("errno", code)?;
            }
        }
        Error::DurabilityUnknown { id: Some(id), .. } => made.setattr("id", id.as_str())?,
        _ => {}
    }
    let cause = match error {
        Error::Io { cause, .. } | Error::DurabilityUnknown { cause, .. } => Some(os_error(cause)),
        Error::KeyLeft { cause, .. } | Error::ImportIncomplete { cause, .. } => Some(exception(py, cause)),
        Error::NoneOpened { failures, .. } => {
            let list = PyList::empty(py);
            for UnlockFailure { method, error, .. } in failures {
                list.append((method.to_string(), exception(py, error).into_value(py)))?;
            }
            made.setattr("failures", list)?;
            None
        }
        _ => own_exception(py, error),
    };
    let raised = PyErr::from_value(made);
    raised.set_cause(py, cause);
    Ok(raised)
}

fn refresh_exception(py: Python<'_>, error: RefreshError) -> PyResult<PyErr> {
    let made = make(py, "RefreshError", &error.to_string())?;
    made.setattr("step", step_name(error.step()))?;
    made.setattr("kind", class(py, class_of(error.cause()))?.getattr("kind")?)?;
    made.setattr("retryable", error.is_retryable())?;
    let cause = own_exception(py, error.cause()).unwrap_or_else(|| exception(py, error.cause()));
    if error.token().is_some() {
        made.setattr("_unsaved", Py::new(py, UnsavedToken::new(error))?)?;
    }
    let raised = PyErr::from_value(made);
    raised.set_cause(py, Some(cause));
    Ok(raised)
}

/// The exception that the application's own function has raised.
fn own_exception(py: Python<'_>, error: &Error) -> Option<PyErr> {
    match error {
        Error::Other(cause) => cause.downcast_ref::<PyErr>().map(|own| own.clone_ref(py)),
        _ => None,
    }
}

/// Python's own exception for an error of the operating system: it chooses the class by the number.
fn os_error(error: &io::Error) -> PyErr {
    let text = error.to_string();
    match error.raw_os_error() {
        Some(code) => {
            let suffix = format!(" (os error {code})");
            PyOSError::new_err((code, text.strip_suffix(&suffix).unwrap_or(&text).to_owned()))
        }
        None => PyOSError::new_err(text),
    }
}

fn make<'py>(py: Python<'py>, class: &str, message: &str) -> PyResult<Bound<'py, PyAny>> {
    self::class(py, class)?.call1((message,))
}

fn class<'py>(py: Python<'py>, name: &str) -> PyResult<Bound<'py, PyAny>> {
    py.import("tokenkeep._errors")?.getattr(name)
}

/// The exception class for the error's kind. `NotFound` has three: for files, for tokens and key slots, and for
/// databases.
fn class_of(error: &Error) -> &'static str {
    match error.kind() {
        ErrorKind::NotFound => match error {
            Error::NoSuchToken | Error::NoSuchSlot { .. } | Error::NotAnOrphan { .. } => "NoSuchItemError",
            Error::Store { .. } => "NotFoundError",
            _ => "NoSuchFileError",
        },
        ErrorKind::AlreadyExists => "AlreadyExistsError",
        ErrorKind::Damaged => "DamagedError",
        ErrorKind::Unsupported => "UnsupportedError",
        ErrorKind::WrongSecret => "WrongSecretError",
        ErrorKind::Keychain => "KeychainError",
        ErrorKind::External => "ExternalKeyError",
        ErrorKind::NoKeySlot => "NoKeySlotError",
        ErrorKind::Permission => "PermissionsError",
        ErrorKind::Busy => "BusyError",
        ErrorKind::Conflict => "ConflictError",
        ErrorKind::Reopen => "ReopenError",
        ErrorKind::Invalid => "InvalidError",
        ErrorKind::Incomplete => "IncompleteError",
        ErrorKind::System => "OperatingSystemError",
        ErrorKind::Internal => "InternalError",
        ErrorKind::Other => "OtherError",
        _ => "TokenkeepError",
    }
}

fn step_name(step: RefreshStep) -> &'static str {
    match step {
        RefreshStep::Claim => "claim",
        RefreshStep::Request => "request",
        RefreshStep::Save => "save",
        _ => "other",
    }
}

fn path_of(error: &Error) -> Option<&Path> {
    match error {
        Error::NotFound { path, .. }
        | Error::MissingDirectory { path, .. }
        | Error::AlreadyExists { path, .. }
        | Error::NotAFile { path, .. }
        | Error::ReservedName { path, .. }
        | Error::MountedFile { path, .. }
        | Error::BadFile { path, .. }
        | Error::FileTooLarge { path, .. }
        | Error::WrongPassphrase { path, .. }
        | Error::WrongRecoveryKey { path, .. }
        | Error::NoSlotFor { path, .. }
        | Error::NoneOpened { path, .. }
        | Error::Busy { path, .. }
        | Error::Replaced { path, .. }
        | Error::PathChanged { path, .. }
        | Error::Rekeyed { path, .. }
        | Error::RolledBack { path, .. }
        | Error::Diverged { path, .. }
        | Error::ChangedMeanwhile { path, .. }
        | Error::Forked { path, .. }
        | Error::UnsafePermissions { path, .. }
        | Error::DurabilityUnknown { path, .. }
        | Error::Import { path, .. }
        | Error::ImportIncomplete { path, .. }
        | Error::Io { path, .. } => Some(path),
        _ => None,
    }
}
