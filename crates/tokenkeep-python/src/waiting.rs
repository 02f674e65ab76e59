//! Waiting without the interpreter lock, so that Ctrl-C gets through: every call that may wait goes through here.
//!
//! Python runs signal handlers in the main thread only. So in any other thread the work is done in place. In the main
//! thread a worker thread does it, while the main thread looks for signals. If a handler raises, the wait ends; the
//! work goes on, and may still take effect. A worker thread never touches Python, so the interpreter may end first.
//! (The thread of an `External` does call Python, and gets an error once the interpreter has ended.)

use std::{
    sync::{
        Arc, Mutex, PoisonError,
        mpsc::{Receiver, RecvTimeoutError, sync_channel},
    },
    thread,
    time::Duration,
};

use pyo3::{prelude::*, sync::PyOnceLock};

use crate::errors;

/// How often the main thread looks for signals.
const BETWEEN_LOOKS: Duration = Duration::from_millis(40);

/// The result of the work, which may take long.
pub(crate) fn wait<R: Send + 'static>(py: Python<'_>, work: impl FnOnce() -> R + Send + 'static) -> PyResult<R> {
    if !is_main_thread(py)? {
        return Ok(py.detach(work));
    }
    let (sender, receiver) = sync_channel(1);
    // Shared, so that it can still be done here if the system has no thread.
    let work = Arc::new(Mutex::new(Some(work)));
    let take = {
        let work = work.clone();
        move || work.lock().unwrap_or_else(PoisonError::into_inner).take()
    };
    let taken = take.clone();
    let run = move || {
        if let Some(work) = taken() {
            let _ = sender.send(work());
        }
    };
    match thread::Builder::new().name("tokenkeep-call".to_owned()).spawn(run) {
        Ok(_) => receive(py, receiver).map(|(result, _)| result),
        Err(_) => take().map(|work| py.detach(work)).ok_or_else(|| errors::raise(py, "InternalError", "no work")),
    }
}

/// What a worker thread sends, and the receiver for what it sends next. Ends with the exception of a signal handler.
pub(crate) fn receive<R: Send>(py: Python<'_>, mut receiver: Receiver<R>) -> PyResult<(R, Receiver<R>)> {
    loop {
        let (received, same) = py.detach(move || (receiver.recv_timeout(BETWEEN_LOOKS), receiver));
        receiver = same;
        match received {
            Ok(result) => return Ok((result, receiver)),
            Err(RecvTimeoutError::Timeout) => py.check_signals()?,
            Err(RecvTimeoutError::Disconnected) => {
                return Err(errors::raise(py, "InternalError", "a worker thread of tokenkeep panicked"));
            }
        }
    }
}

/// Drops a value whose end may wait, such as a claim in a database, without the interpreter lock.
pub(crate) fn drop_detached<T: Send>(value: T) {
    // At the end of the interpreter there is nobody to wait for the lock, and the closure drops the value.
    Python::try_attach(|py| py.detach(|| drop(value)));
}

fn is_main_thread(py: Python<'_>) -> PyResult<bool> {
    static THREADING: PyOnceLock<[Py<PyAny>; 2]> = PyOnceLock::new();
    let [main_thread, get_ident] = THREADING.get_or_try_init(py, || {
        let threading = py.import("threading")?;
        Ok::<_, PyErr>([threading.getattr("main_thread")?.unbind(), threading.getattr("get_ident")?.unbind()])
    })?;
    get_ident.bind(py).call0()?.eq(main_thread.bind(py).call0()?.getattr("ident")?)
}
