//! Claims, and new tokens that were not saved. A forked child closes its copies, so that the parent's end frees the
//! lock.

use std::{
    process,
    sync::{Arc, Mutex, Weak},
    time::SystemTime,
};

use pyo3::{
    exceptions::{PyException, PyTypeError},
    prelude::*,
    types::PyTuple,
};
use tokenkeep::{Error, RefreshError, Refreshed};

use crate::{
    errors::{OrRaise, raise},
    handle::{Handle, lock},
    refresh::{Answer, refreshed},
    seconds::Seconds,
    store::TokenStore,
    token::{Token, no_copy},
    waiting::{drop_detached, wait},
};

/// What holds a claim, until it is used up or closed.
///
/// A method may ask a database while it has the lock. So nobody waits for the lock with the interpreter lock held, and
/// no Python code runs while the lock is held: each of them could wait for the other. A forked child, which may find
/// the lock taken, leaves it alone.
struct Held<T: Send + 'static> {
    value: Arc<Mutex<Option<T>>>,
    process: u32,
}

/// Every value that holds a claim.
static LIVE: Mutex<Vec<Weak<dyn Close>>> = Mutex::new(Vec::new());

trait Close: Send + Sync {
    fn close(&self);
}

impl<T: Send> Close for Mutex<Option<T>> {
    /// In a forked child. If the lock is taken there, it is by a thread that exists in the parent only.
    fn close(&self) {
        let taken = self.try_lock().ok().and_then(|mut held| held.take());
        drop(taken); // an exception in it may run Python code
    }
}

/// Closes all claims of this process. The package calls it in a forked child.
#[pyfunction(name = "_close_claims")]
pub(crate) fn close_claims() {
    let live = std::mem::take(&mut *lock(&LIVE));
    for held in live.iter().filter_map(Weak::upgrade) {
        held.close();
    }
}

impl<T: Send + 'static> Held<T> {
    fn new(value: T) -> Self {
        let value = Arc::new(Mutex::new(Some(value)));
        let as_close: Arc<dyn Close> = value.clone();
        let mut live = lock(&LIVE);
        live.retain(|held| held.strong_count() > 0);
        live.push(Arc::downgrade(&as_close));
        Self { value, process: process::id() }
    }

    fn is_ours(&self) -> bool {
        self.process == process::id()
    }

    /// Looks at the value, which asks nobody.
    fn look<R: Send>(&self, py: Python<'_>, look: impl FnOnce(Option<&T>) -> R + Send) -> R {
        if self.is_ours() { py.detach(|| look(lock(&self.value).as_ref())) } else { look(None) }
    }

    /// Does something with the value that may wait.
    fn with<R: Send + 'static>(
        &self,
        py: Python<'_>,
        work: impl FnOnce(Option<&mut T>) -> R + Send + 'static,
    ) -> PyResult<R> {
        if !self.is_ours() {
            return Ok(work(None));
        }
        let value = self.value.clone();
        wait(py, move || work(lock(&value).as_mut()))
    }

    fn take(&self, py: Python<'_>) -> Option<T> {
        if self.is_ours() { py.detach(|| lock(&self.value).take()) } else { None }
    }

    /// Gives the value up, which may wait.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        match self.take(py) {
            Some(value) => wait(py, move || drop(value)),
            None => Ok(()),
        }
    }
}

impl<T: Send + 'static> Drop for Held<T> {
    fn drop(&mut self) {
        if let Some(value) = self.value.try_lock().ok().and_then(|mut held| held.take()) {
            drop_detached(value);
        }
    }
}

/// The right to refresh one token: no other thread or process has it at the same time.
///
/// Read the token with token(), ask the server, and end the claim with finish(), complete(), sign_in_again() or
/// retry_later(). Closing it, also by `with`, gives it up. It ends with its process.
#[pyclass(frozen, weakref, module = "tokenkeep")]
pub(crate) struct Claim {
    held: Held<tokenkeep::Claim>,
    /// The store that the claim was made in. The claim does not keep the store open.
    store: Weak<Handle>,
}

impl Claim {
    pub(crate) fn new(claim: tokenkeep::Claim, store: &Arc<Handle>) -> Self {
        Self { held: Held::new(claim), store: Arc::downgrade(store) }
    }

    fn check_caller(&self, py: Python<'_>) -> PyResult<()> {
        self.store.upgrade().map_or(Ok(()), |store| store.check_caller(py))
    }

    fn take(&self, py: Python<'_>) -> PyResult<tokenkeep::Claim> {
        self.check_caller(py)?;
        self.held.take(py).ok_or(Error::ClaimEnded).or_raise(py)
    }

    fn end<'py>(
        &self,
        py: Python<'py>,
        end: impl FnOnce(tokenkeep::Claim) -> Result<Refreshed, RefreshError> + Send + 'static,
    ) -> PyResult<Bound<'py, PyAny>> {
        let claim = self.take(py)?;
        refreshed(py, wait(py, move || end(claim))?.or_raise(py)?)
    }

    /// Asks the server with a function, and ends the claim with what it returns or raises.
    pub(crate) fn finish_with<'py>(&self, py: Python<'py>, request: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let token = self.token(py)?;
        let answer = match request.call1((token,)) {
            Ok(answer) => answer_of(py, &answer),
            Err(raised) if raised.is_instance_of::<PyException>(py) => Ok(tokenkeep::Answer::failed(raised)),
            Err(raised) => Err(raised),
        };
        match answer {
            Ok(answer) => self.end(py, move |claim| claim.finish(answer)),
            Err(raised) => {
                self.close(py)?;
                Err(raised)
            }
        }
    }
}

#[pymethods]
impl Claim {
    /// The stored token, for a request that is sent now. Raises ConflictError if the claim has ended.
    fn token(&self, py: Python<'_>) -> PyResult<Token> {
        self.check_caller(py)?;
        let token = |claim: Option<&mut tokenkeep::Claim>| claim.ok_or(Error::ClaimEnded)?.token().cloned();
        self.held.with(py, token)?.or_raise(py).map(Token)
    }

    /// Until when the claim is trusted; None once it has ended.
    #[getter]
    fn trusted_until(&self, py: Python<'_>) -> Option<SystemTime> {
        self.held.look(py, |claim| claim.map(tokenkeep::Claim::trusted_until))
    }

    /// Whether an earlier holder may have sent a request whose answer was never saved.
    #[getter]
    fn was_left_unfinished(&self, py: Python<'_>) -> bool {
        self.held.look(py, |claim| claim.is_some_and(tokenkeep::Claim::was_left_unfinished))
    }

    /// Begins the time again for which the claim is trusted.
    fn renew(&self, py: Python<'_>) -> PyResult<()> {
        self.check_caller(py)?;
        self.held.with(py, |claim| claim.ok_or(Error::ClaimEnded)?.renew())?.or_raise(py)
    }

    /// Ends the claim with the server's answer: Fresh, Stale or SignInAgain.
    fn finish<'py>(&self, py: Python<'py>, answer: &Bound<'py, PyAny>) -> PyResult<Bound<'py, PyAny>> {
        let answer = answer_of(py, answer)?;
        self.end(py, move |claim| claim.finish(answer))
    }

    /// Saves a token response, and returns the stored token.
    fn complete(&self, py: Python<'_>, response: Token) -> PyResult<Token> {
        let claim = self.take(py)?;
        wait(py, move || claim.complete(response.0))?.or_raise(py).map(Token)
    }

    /// The server has refused the refresh token.
    fn sign_in_again<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyAny>> {
        self.end(py, tokenkeep::Claim::sign_in_again)
    }

    /// The server cannot answer now.
    #[pyo3(signature = (after = None))]
    fn retry_later<'py>(&self, py: Python<'py>, after: Option<Seconds>) -> PyResult<Bound<'py, PyAny>> {
        self.end(py, move |claim| claim.retry_later(after.map(|after| after.0)))
    }

    /// Gives the claim up. Closing twice is no error.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.held.close(py)
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyRef<'_, Self> {
        this
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(&self, py: Python<'_>, _raised: &Bound<'_, PyTuple>) -> PyResult<()> {
        self.close(py)
    }

    fn __repr__(&self, py: Python<'_>) -> &'static str {
        if self.held.look(py, |claim| claim.is_some()) { "Claim()" } else { "Claim(ended)" }
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy("Claim"))
    }
}

/// The answer that an argument is: an `Answer`, or the response as a `Token`.
fn answer_of(py: Python<'_>, given: &Bound<'_, PyAny>) -> PyResult<tokenkeep::Answer> {
    if let Ok(answer) = given.cast::<Answer>() {
        return Ok(answer.get().get(py));
    }
    match given.cast::<Token>() {
        Ok(token) => Ok(token.get().0.clone().into()),
        Err(_) => Err(PyTypeError::new_err("expected an Answer or a Token")),
    }
}

/// A token that the server has sent and that was not saved, in a RefreshError. It holds the claim.
#[pyclass(frozen, module = "tokenkeep")]
pub(crate) struct UnsavedToken(Held<RefreshError>);

impl UnsavedToken {
    pub(crate) fn new(error: RefreshError) -> Self {
        Self(Held::new(error))
    }

    fn take(&self, py: Python<'_>) -> PyResult<RefreshError> {
        self.0.take(py).ok_or_else(|| raise(py, "InvalidError", "the new token was saved, or given up, before"))
    }
}

#[pymethods]
impl UnsavedToken {
    /// The new token; None once it was saved or given up.
    #[getter]
    fn token(&self, py: Python<'_>) -> Option<Token> {
        self.0.look(py, |error| error.and_then(RefreshError::token)).map(Token)
    }

    /// Tries again to save the token: in the same store, or in one that was opened again.
    #[pyo3(signature = (store = None))]
    fn retry(&self, py: Python<'_>, store: Option<&TokenStore>) -> PyResult<Token> {
        let tokens = store.map(|store| store.tokens(py)).transpose()?;
        let error = self.take(py)?;
        let retry = move || match tokens {
            Some(tokens) => error.retry_in(&tokens),
            None => error.retry(),
        };
        wait(py, retry)?.or_raise(py).map(Token)
    }

    /// Gives the new token up, and the claim with it.
    fn close(&self, py: Python<'_>) -> PyResult<()> {
        self.0.close(py)
    }

    fn __repr__(&self) -> &'static str {
        "UnsavedToken(***)"
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy("token"))
    }
}
