//! What a refresh needs, what a server answers, and what becomes of it.

use std::{sync::Arc, time::SystemTime};

use pyo3::{IntoPyObjectExt, exceptions::PyTypeError, prelude::*, types::PyTuple};
use tokenkeep::{Refresh, Refreshed, StaleReason};

use crate::{claim::Claim, handle::Handle, seconds::Seconds, token::Token};

/// How good a token has to be. `Need()` is a token that lasts a minute or so.
///
/// timeout: for how many seconds a call waits for another caller's refresh, and a claim tries again to save (30).
/// trusted_for: for how many seconds a claim is trusted (300).
#[pyclass(frozen, module = "tokenkeep", from_py_object)]
#[derive(Clone)]
pub(crate) struct Need(pub(crate) tokenkeep::Need);

fn with_times(mut need: tokenkeep::Need, timeout: Option<Seconds>, trusted_for: Option<Seconds>) -> Need {
    if let Some(Seconds(timeout)) = timeout {
        need = need.timeout(timeout);
    }
    if let Some(Seconds(trusted_for)) = trusted_for {
        need = need.trusted_for(trusted_for);
    }
    Need(need)
}

#[pymethods]
impl Need {
    #[new]
    #[pyo3(signature = (*, timeout = None, trusted_for = None))]
    fn new(timeout: Option<Seconds>, trusted_for: Option<Seconds>) -> Self {
        with_times(tokenkeep::Need::default(), timeout, trusted_for)
    }

    /// A token that lasts for more than that many seconds, or than half its lifetime if that is less.
    #[staticmethod]
    #[pyo3(signature = (seconds, *, timeout = None, trusted_for = None))]
    fn remaining(seconds: Seconds, timeout: Option<Seconds>, trusted_for: Option<Seconds>) -> Self {
        with_times(tokenkeep::Need::remaining(seconds.0), timeout, trusted_for)
    }

    /// Another access token than the one of this token, which an API has rejected with the status 401.
    #[staticmethod]
    #[pyo3(signature = (token, *, timeout = None, trusted_for = None))]
    fn rejected(token: &Token, timeout: Option<Seconds>, trusted_for: Option<Seconds>) -> Self {
        with_times(tokenkeep::Need::rejected(&token.0), timeout, trusted_for)
    }

    /// A new access token even if the stored one is valid.
    #[staticmethod]
    #[pyo3(signature = (*, timeout = None, trusted_for = None))]
    fn now(timeout: Option<Seconds>, trusted_for: Option<Seconds>) -> Self {
        with_times(tokenkeep::Need::now(), timeout, trusted_for)
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }
}

/// What came of the request for a new token.
#[pyclass(frozen, module = "tokenkeep")]
pub(crate) struct Answer(Kind);

enum Kind {
    Token(tokenkeep::Token),
    SignInAgain,
    RetryLater(Option<Seconds>),
    Failed(Py<PyAny>),
    Refused { error: String, retry_after: Option<String> },
}

impl Answer {
    pub(crate) fn get(&self, py: Python<'_>) -> tokenkeep::Answer {
        match &self.0 {
            Kind::Token(token) => token.clone().into(),
            Kind::SignInAgain => tokenkeep::Answer::SignInAgain,
            Kind::RetryLater(after) => tokenkeep::Answer::RetryLater(after.map(|after| after.0)),
            Kind::Failed(raised) => tokenkeep::Answer::failed(PyErr::from_value(raised.bind(py).clone())),
            Kind::Refused { error, retry_after } => tokenkeep::Answer::refused(error, retry_after.as_deref()),
        }
    }
}

#[pymethods]
impl Answer {
    /// The response's tokens. A refresh token or scopes that did not come stay as they are stored.
    #[staticmethod]
    fn token(token: Token) -> Self {
        Self(Kind::Token(token.0))
    }

    /// The server has refused the refresh token.
    #[staticmethod]
    fn sign_in_again() -> Self {
        Self(Kind::SignInAgain)
    }

    /// The server cannot answer now. No caller asks it before that many seconds have passed.
    #[staticmethod]
    #[pyo3(signature = (after = None))]
    fn retry_later(after: Option<Seconds>) -> Self {
        Self(Kind::RetryLater(after))
    }

    /// No usable answer came.
    #[staticmethod]
    fn failed(error: Bound<'_, PyAny>) -> PyResult<Self> {
        if !error.is_instance_of::<pyo3::exceptions::PyBaseException>() {
            return Err(PyTypeError::new_err("expected an exception"));
        }
        Ok(Self(Kind::Failed(error.unbind())))
    }

    /// What an error response means: its `error`, or else the HTTP status as a text, and its header Retry-After.
    #[staticmethod]
    #[pyo3(signature = (error, retry_after = None))]
    fn refused(error: String, retry_after: Option<String>) -> Self {
        Self(Kind::Refused { error, retry_after })
    }

    fn __repr__(&self) -> &'static str {
        match &self.0 {
            Kind::Token(_) => "Answer.token(***)",
            Kind::SignInAgain => "Answer.sign_in_again()",
            Kind::RetryLater(_) => "Answer.retry_later(...)",
            Kind::Failed(_) => "Answer.failed(...)",
            Kind::Refused { .. } => "Answer.refused(...)",
        }
    }
}

/// The stored token is what was needed.
#[pyclass(frozen, get_all, module = "tokenkeep")]
pub(crate) struct Fresh {
    token: Token,
}

#[pymethods]
impl Fresh {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ["token"])
    }

    fn __repr__(&self) -> String {
        format!("Fresh({:?})", self.token.0)
    }
}

/// The stored token was not refreshed now, and is the best that there is.
///
/// reason: "refreshing", "backed_off" (until then), "not_writable" or "just_refreshed".
#[pyclass(frozen, get_all, module = "tokenkeep")]
pub(crate) struct Stale {
    token: Token,
    reason: &'static str,
    until: Option<SystemTime>,
}

#[pymethods]
impl Stale {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ["token", "reason"])
    }

    fn __repr__(&self) -> String {
        format!("Stale({:?}, {:?})", self.token.0, self.reason)
    }
}

/// The stored token cannot be refreshed: the user has to sign in again.
#[pyclass(frozen, get_all, module = "tokenkeep")]
pub(crate) struct SignInAgain {
    token: Token,
}

#[pymethods]
impl SignInAgain {
    #[classattr]
    fn __match_args__(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        PyTuple::new(py, ["token"])
    }

    fn __repr__(&self) -> String {
        format!("SignInAgain({:?})", self.token.0)
    }
}

fn stale(token: tokenkeep::Token, reason: StaleReason) -> Stale {
    let (reason, until) = match reason {
        StaleReason::Refreshing => ("refreshing", None),
        StaleReason::BackedOff { until } => ("backed_off", Some(until)),
        StaleReason::NotWritable => ("not_writable", None),
        StaleReason::JustRefreshed => ("just_refreshed", None),
        _ => ("other", None),
    };
    Stale { token: Token(token), reason, until }
}

/// The object for the beginning of a refresh in that store.
pub(crate) fn begun<'py>(py: Python<'py>, refresh: Refresh, store: &Arc<Handle>) -> PyResult<Bound<'py, PyAny>> {
    match refresh {
        Refresh::Fresh(token) => Fresh { token: Token(token) }.into_bound_py_any(py),
        Refresh::Stale(token, reason) => stale(token, reason).into_bound_py_any(py),
        Refresh::SignInAgain(token) => SignInAgain { token: Token(token) }.into_bound_py_any(py),
        Refresh::Claimed(claim) => Claim::new(claim, store).into_bound_py_any(py),
    }
}

/// The object for the end of a refresh.
pub(crate) fn refreshed(py: Python<'_>, refreshed: Refreshed) -> PyResult<Bound<'_, PyAny>> {
    match refreshed {
        Refreshed::Fresh(token) => Fresh { token: Token(token) }.into_bound_py_any(py),
        Refreshed::Stale(token, reason) => stale(token, reason).into_bound_py_any(py),
        Refreshed::SignInAgain(token) => SignInAgain { token: Token(token) }.into_bound_py_any(py),
    }
}
