//! Transactions, as context managers.
//!
//! A worker thread is in the library's transaction, and does what the `with` block sends it. So the block runs in its
//! own thread, and an exception or Ctrl-C ends it like any other block. If the sender goes without a commit, the
//! transaction is undone.

use std::{
    process,
    sync::{
        Arc, Mutex,
        mpsc::{Receiver, Sender, SyncSender, channel, sync_channel},
    },
    thread,
};

use pyo3::prelude::*;
use tokenkeep::{Error, Result};

use crate::{
    errors::{OrRaise, raise},
    handle::{Backing, Handle, lock},
    token::{Token, no_copy},
    waiting::receive,
};

/// A transaction of the library, in one namespace.
enum Inner<'t, 's> {
    Rows(tokenkeep::Transaction<'t, 's>),
    Sql(tokenkeep_sql::SqlTransaction<'t, 's>),
}

/// Does the same in a transaction of either kind: their operations have the same names.
macro_rules! on_either {
    ($inner:expr, $transaction:ident => $work:expr) => {
        match $inner {
            Inner::Rows($transaction) => $work,
            Inner::Sql($transaction) => $work,
        }
    };
}

type Operation = Box<dyn FnOnce(Result<Inner<'_, '_>>) + Send>;

enum Message {
    /// What to do in which namespace.
    Do(Arc<str>, Operation),
    Commit,
}

enum Event {
    Begun,
    Ended(Result<()>),
}

/// A transaction that has begun.
struct Running {
    messages: Sender<Message>,
    events: Receiver<Event>,
    process: u32,
    inside: Inside,
}

/// This thread is in a transaction of the store, until this is dropped.
struct Inside(Arc<Handle>);

impl Inside {
    fn new(handle: &Arc<Handle>) -> Self {
        handle.set_in_transaction(Some(thread::current().id()));
        Self(handle.clone())
    }
}

impl Drop for Inside {
    fn drop(&mut self) {
        self.0.set_in_transaction(None);
    }
}

/// Several operations that are committed as one, at the end of the `with` block. An exception in the block undoes all.
///
/// Keep it short, and ask no server in it: it holds the store's lock. Use it in the thread that has begun it, and not
/// the store itself. Do not keep a token that was read in a transaction which is undone: another change may
/// give the stored token the same revision.
#[pyclass(frozen, module = "tokenkeep")]
pub(crate) struct Transaction {
    handle: Arc<Handle>,
    /// Empty for the default one.
    namespace: Arc<str>,
    /// Shared with the namespaces of the transaction.
    running: Arc<Mutex<Option<Running>>>,
}

impl Transaction {
    pub(crate) fn new(handle: Arc<Handle>, namespace: Option<&str>) -> Self {
        Self { handle, namespace: namespace.unwrap_or_default().into(), running: Arc::default() }
    }

    /// What the worker returns for an operation.
    fn call<R: Send + 'static>(
        &self,
        py: Python<'_>,
        operation: impl FnOnce(&mut Inner<'_, '_>) -> Result<R> + Send + 'static,
    ) -> PyResult<R> {
        let (reply, replied) = sync_channel(1);
        let command = move |transaction: Result<Inner<'_, '_>>| {
            let _ = reply.send(transaction.and_then(|mut transaction| operation(&mut transaction)));
        };
        let message = Message::Do(self.namespace.clone(), Box::new(command));
        let is_sent = match &*lock(&self.running) {
            Some(running) => running.process == process::id() && running.messages.send(message).is_ok(),
            None => false,
        };
        // Raised without the lock: see `Handle`.
        if !is_sent {
            return Err(raise(py, "InvalidError", "the transaction is not open: use it in its `with` block"));
        }
        receive(py, replied)?.0.or_raise(py)
    }
}

/// The worker. It gives no result if the sender goes first.
fn run(backing: Backing, messages: &Receiver<Message>, events: &SyncSender<Event>) -> Result<()> {
    match backing {
        Backing::File(store) => {
            store.transaction(|all| serve(messages, events, |name, work| work(all.namespace(name).map(Inner::Rows))))
        }
        Backing::Memory(store) => {
            store.transaction(|all| serve(messages, events, |name, work| work(all.namespace(name).map(Inner::Rows))))
        }
        Backing::Sql(store) => {
            store.transaction(|all| serve(messages, events, |name, work| work(all.namespace(name).map(Inner::Sql))))
        }
    }
}

/// Does everything that is sent until a commit.
fn serve(
    messages: &Receiver<Message>,
    events: &SyncSender<Event>,
    mut work: impl FnMut(&str, Operation),
) -> Result<()> {
    if events.send(Event::Begun).is_ok() {
        for message in messages {
            match message {
                Message::Do(namespace, operation) => work(&namespace, operation),
                Message::Commit => return Ok(()),
            }
        }
    }
    Err(Error::other("undone"))
}

#[pymethods]
impl Transaction {
    fn __enter__(this: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        let py = this.py();
        if lock(&this.running).is_some() {
            return Err(raise(py, "InvalidError", "the transaction has begun already"));
        }
        let backing = this.handle.get(py)?;
        let (messages, received) = channel();
        // Room for both events, so that the worker never waits for a caller that is gone.
        let (event, events) = sync_channel(2);
        let worker = move || {
            let ended = run(backing, &received, &event);
            let _ = event.send(Event::Ended(ended));
        };
        let started = thread::Builder::new().name("tokenkeep-transaction".to_owned()).spawn(worker);
        started.map_err(|error| raise(py, "OperatingSystemError", &error.to_string()))?;
        let events = match receive(py, events)? {
            (Event::Begun, events) => events,
            (Event::Ended(ended), _) => {
                ended.or_raise(py)?;
                return Err(raise(py, "InternalError", "a transaction has ended by itself"));
            }
        };
        let inside = Inside::new(&this.handle);
        *lock(&this.running) = Some(Running { messages, events, process: process::id(), inside });
        Ok(this)
    }

    #[pyo3(signature = (kind, error, traceback))]
    fn __exit__(
        &self,
        py: Python<'_>,
        kind: &Bound<'_, PyAny>,
        error: &Bound<'_, PyAny>,
        traceback: &Bound<'_, PyAny>,
    ) -> PyResult<()> {
        let _ = (error, traceback);
        let Some(Running { messages, events, process, inside }) = lock(&self.running).take() else { return Ok(()) };
        drop(inside);
        let is_committed = kind.is_none() && messages.send(Message::Commit).is_ok();
        drop(messages);
        if process != process::id() {
            return Err(raise(py, "ReopenError", "the process was forked in a transaction: the parent has it"));
        }
        match receive(py, events)?.0 {
            Event::Ended(ended) if is_committed => ended.or_raise(py),
            _ => Ok(()),
        }
    }

    /// See TokenStore.save_token.
    fn save_token(&self, py: Python<'_>, token: Token) -> PyResult<String> {
        Ok(self
            .call(py, move |transaction| on_either!(transaction, inner => inner.save_token(&token.0)))?
            .as_str()
            .to_owned())
    }

    /// See TokenStore.find_token.
    fn find_token(&self, py: Python<'_>, query: Token) -> PyResult<Option<Token>> {
        Ok(self.call(py, move |transaction| on_either!(transaction, inner => inner.find_token(&query.0)))?.map(Token))
    }

    /// See TokenStore.find_stored.
    fn find_stored(&self, py: Python<'_>, query: Token) -> PyResult<Option<Token>> {
        Ok(self.call(py, move |transaction| on_either!(transaction, inner => inner.find_stored(&query.0)))?.map(Token))
    }

    /// See TokenStore.find_token_by_id.
    fn find_token_by_id(&self, py: Python<'_>, id: String) -> PyResult<Option<Token>> {
        Ok(self
            .call(py, move |transaction| match transaction {
                Inner::Rows(rows) => Ok(rows.find_token_by_id(&id.into())),
                Inner::Sql(sql) => sql.find_token_by_id(&id.into()),
            })?
            .map(Token))
    }

    /// See TokenStore.get_tokens.
    fn get_tokens(&self, py: Python<'_>) -> PyResult<Vec<Token>> {
        Ok(self
            .call(py, |transaction| match transaction {
                Inner::Rows(rows) => Ok(rows.get_tokens()),
                Inner::Sql(sql) => sql.get_tokens(),
            })?
            .into_iter()
            .map(Token)
            .collect())
    }

    /// See TokenStore.delete_token.
    fn delete_token(&self, py: Python<'_>, id: String) -> PyResult<bool> {
        self.call(py, move |transaction| match transaction {
            Inner::Rows(rows) => Ok(rows.delete_token(&id.into())),
            Inner::Sql(sql) => sql.delete_token(&id.into()),
        })
    }

    /// See TokenStore.delete_tokens.
    fn delete_tokens(&self, py: Python<'_>) -> PyResult<usize> {
        self.call(py, |transaction| match transaction {
            Inner::Rows(rows) => Ok(rows.delete_tokens()),
            Inner::Sql(sql) => sql.delete_tokens(),
        })
    }

    /// See TokenStore.replace_token.
    fn replace_token(&self, py: Python<'_>, token: Token) -> PyResult<Token> {
        self.call(py, move |transaction| on_either!(transaction, inner => inner.replace_token(&token.0))).map(Token)
    }

    /// See TokenStore.delete_token_if.
    fn delete_token_if(&self, py: Python<'_>, id: String, revision: u64) -> PyResult<bool> {
        self.call(py, move |transaction| on_either!(transaction, inner => inner.delete_token_if(&id.into(), revision)))
    }

    /// A namespace in the same transaction. Its name is a full name.
    fn namespace(&self, name: &str) -> Self {
        Self { handle: self.handle.clone(), namespace: name.into(), running: self.running.clone() }
    }

    fn __repr__(&self) -> &'static str {
        "Transaction()"
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy("Transaction"))
    }
}
