//! What every store can do: the base class of all stores and of `Namespace`.

use std::sync::Arc;

use pyo3::{prelude::*, types::PyString};
use tokenkeep::{Error, Prune, Result, TokenId, TokenStoreExt};

use crate::{
    claim::Claim,
    errors::OrRaise,
    handle::{Backing, Handle, on_each},
    refresh::{Need, begun},
    token::{Token, no_copy},
    transaction::Transaction,
    waiting::wait,
};

/// The operations that every store has. A find takes some microseconds, except in a database. Everything else may wait:
/// then other Python threads run, and Ctrl-C ends the wait, but not the work, which may still take effect.
#[pyclass(frozen, subclass, module = "tokenkeep")]
pub(crate) struct TokenStore {
    pub(crate) handle: Arc<Handle>,
    namespace: Option<Arc<str>>,
}

/// The tokens of one namespace of a store. Made by `store.namespace(name)`, and closed with its store.
#[pyclass(frozen, extends = TokenStore, module = "tokenkeep")]
pub(crate) struct Namespace(Arc<str>);

impl TokenStore {
    pub(crate) fn new(handle: Arc<Handle>) -> Self {
        Self { handle, namespace: None }
    }

    /// The tokens, for a call of this thread.
    pub(crate) fn tokens(&self, py: Python<'_>) -> PyResult<Arc<dyn tokenkeep::TokenStore>> {
        self.handle.get(py)?.tokens(self.namespace.as_deref()).or_raise(py)
    }

    /// Looks something up in the tokens.
    fn look<R: Send + 'static>(
        &self,
        py: Python<'_>,
        look: impl FnOnce(&Arc<dyn tokenkeep::TokenStore>) -> Result<R> + Send + 'static,
    ) -> PyResult<Result<R>> {
        let name = self.namespace.clone();
        self.handle.get(py)?.look(py, move |backing| look(&backing.tokens(name.as_deref())?))
    }
}

#[pymethods]
impl TokenStore {
    /// Merges the token into the stored one that it means, or adds it; returns the id of the stored token.
    fn save_token(&self, py: Python<'_>, token: Token) -> PyResult<String> {
        let tokens = self.tokens(py)?;
        let id = wait(py, move || tokens.save_token(&token.0))?.or_raise(py)?;
        Ok(id.as_str().to_owned())
    }

    /// Finds the stored token that the query means, with the fields that the query sets in place of the stored ones.
    fn find_token(&self, py: Python<'_>, query: Token) -> PyResult<Option<Token>> {
        Ok(self.look(py, move |tokens| tokens.find_token(&query.0))?.or_raise(py)?.map(Token))
    }

    /// The stored token that the query means, as it is stored.
    fn find_stored(&self, py: Python<'_>, query: Token) -> PyResult<Option<Token>> {
        Ok(self.look(py, move |tokens| tokens.find_stored(&query.0))?.or_raise(py)?.map(Token))
    }

    /// The stored token of that id.
    fn find_token_by_id(&self, py: Python<'_>, id: &Bound<'_, PyString>) -> PyResult<Option<Token>> {
        let id = TokenId::from(id.to_str()?);
        Ok(self.look(py, move |tokens| tokens.find_token_by_id(&id))?.or_raise(py)?.map(Token))
    }

    /// All stored tokens, in the order first saved.
    fn get_tokens(&self, py: Python<'_>) -> PyResult<Vec<Token>> {
        let tokens = self.look(py, |tokens| tokens.get_tokens())?.or_raise(py)?;
        Ok(tokens.into_iter().map(Token).collect())
    }

    /// Deletes the stored token of that id; False if there was none.
    fn delete_token(&self, py: Python<'_>, id: String) -> PyResult<bool> {
        let tokens = self.tokens(py)?;
        wait(py, move || tokens.delete_token(&id.into()))?.or_raise(py)
    }

    /// Deletes all tokens; returns how many there were.
    fn delete_tokens(&self, py: Python<'_>) -> PyResult<usize> {
        let tokens = self.tokens(py)?;
        wait(py, move || tokens.delete_tokens())?.or_raise(py)
    }

    /// Replaces the stored token of the given token's id, and returns it as stored. What is unset is cleared.
    fn replace_token(&self, py: Python<'_>, token: Token) -> PyResult<Token> {
        let tokens = self.tokens(py)?;
        wait(py, move || tokens.replace_token(&token.0))?.or_raise(py).map(Token)
    }

    /// Deletes the stored token of that id if it still has that revision; False if there was none.
    fn delete_token_if(&self, py: Python<'_>, id: String, revision: u64) -> PyResult<bool> {
        let tokens = self.tokens(py)?;
        wait(py, move || tokens.delete_token_if(&id.into(), revision))?.or_raise(py)
    }

    /// Deletes the tokens that have expired and cannot be refreshed; with rejected=True also those that the server has
    /// refused. Returns how many.
    #[pyo3(signature = (*, rejected = false))]
    fn prune(&self, py: Python<'_>, rejected: bool) -> PyResult<usize> {
        let which = if rejected { Prune::ExpiredOrRejected } else { Prune::Expired };
        let (backing, name) = (self.handle.get(py)?, self.namespace.clone());
        let prune = move || {
            on_each!(backing, store => match name {
                None => store.prune(which),
                Some(name) => store.namespace(&name)?.prune(which),
            })
        };
        wait(py, prune)?.or_raise(py)
    }

    /// A token that meets the need (Fresh), the best that there is (Stale), SignInAgain, or the right to refresh it
    /// (Claim). With wait=False it raises BusyError at once where it would wait for another caller's refresh.
    #[pyo3(signature = (query, need = None, *, wait = true))]
    fn begin_refresh<'py>(
        &self,
        py: Python<'py>,
        query: Token,
        need: Option<Need>,
        wait: bool,
    ) -> PyResult<Bound<'py, PyAny>> {
        let need = need.map(|need| need.0).unwrap_or_default();
        let (looked_for, needed) = (query.clone(), need.clone());
        // Most tokens are good, and then no thread is needed.
        let mut answer = self.look(py, move |tokens| tokens.try_begin_refresh(&looked_for.0, needed))?;
        if wait && matches!(answer, Err(Error::Refreshing { .. })) {
            let tokens = self.tokens(py)?;
            answer = crate::waiting::wait(py, move || tokens.begin_refresh(&query.0, need))?;
        }
        begun(py, answer.or_raise(py)?, &self.handle)
    }

    /// Finds the token that the query means. If it has to be refreshed, and no other caller does, calls request(token),
    /// which asks the server and returns an Answer, or the response as a Token. Returns Fresh, Stale or SignInAgain.
    ///
    /// An Exception in the function is a failed request: no caller asks the server for a moment, and the exception is
    /// the cause of the RefreshError, unless the stored token can still be used. Any other BaseException gives the
    /// claim up, and is raised.
    #[pyo3(signature = (query, request, need = None))]
    fn refresh_with<'py>(
        &self,
        py: Python<'py>,
        query: Token,
        request: &Bound<'py, PyAny>,
        need: Option<Need>,
    ) -> PyResult<Bound<'py, PyAny>> {
        let begun = self.begin_refresh(py, query, need, true)?;
        match begun.cast::<Claim>() {
            Ok(claim) => claim.get().finish_with(py, request),
            Err(_) => Ok(begun),
        }
    }

    /// Deletes the stored token of that id, and waits at most 5 seconds for a refresh that is under way, which does not
    /// bring the token back. False if there was none.
    fn sign_out(&self, py: Python<'_>, id: String) -> PyResult<bool> {
        let tokens = self.tokens(py)?;
        wait(py, move || tokens.sign_out(&id.into()))?.or_raise(py)
    }

    /// A namespace: a store of its own within this one. Its name is a full name.
    fn namespace(&self, py: Python<'_>, name: &str) -> PyResult<Py<Namespace>> {
        self.handle.get(py)?.tokens(Some(name)).or_raise(py)?; // a name that is too long is refused here
        let name = Arc::<str>::from(name);
        let base = Self { handle: self.handle.clone(), namespace: Some(name.clone()) };
        Py::new(py, PyClassInitializer::from(base).add_subclass(Namespace(name)))
    }

    /// The names of the namespaces that have tokens.
    fn namespaces(&self, py: Python<'_>) -> PyResult<Vec<String>> {
        let look = |backing| on_each!(backing, store => store.namespaces());
        self.handle.get(py)?.look(py, look)?.or_raise(py)
    }

    /// Several operations as one: `with store.transaction() as transaction`. An exception in the block undoes all.
    fn transaction(&self) -> Transaction {
        Transaction::new(self.handle.clone(), self.namespace.as_deref())
    }

    /// Whether a find asks a database, and so may wait.
    #[getter(_asks_database)]
    fn asks_database(&self, py: Python<'_>) -> PyResult<bool> {
        Ok(matches!(self.handle.get(py)?, Backing::Sql(_)))
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy("store"))
    }
}

#[pymethods]
impl Namespace {
    #[getter]
    fn name(&self) -> &str {
        &self.0
    }

    fn __repr__(&self) -> String {
        format!("Namespace({:?})", self.0)
    }
}
