//! `External`: a key that the application keeps somewhere else.

use std::sync::{Arc, Mutex};

use pyo3::{
    exceptions::PyValueError,
    prelude::*,
    types::{PyByteArray, PyBytes},
};
use tokenkeep::{ExternalError, ExternalKey};
use zeroize::Zeroizing;

use crate::{handle::lock, seconds::Seconds, token::no_copy};

/// A key that functions of the application keep, as an unlock method: in a TPM, a hardware token, another program.
///
/// provider: the name, 1 to 64 bytes, always the same: a key slot is opened by a provider of the same name only.
///
/// create(slot, key): key is a bytearray of 32 random bytes. Seal these, or overwrite them with a key of your own, and
/// return what opens the slot again, at most 1,024 bytes, which are kept in the file.
///
/// open(slot, data, key): writes the key of the slot over the bytearray. The data is hostile: nobody has authenticated
/// it.
///
/// forget(slot, data): deletes what create keeps outside of the file for a slot that was not saved, or was removed.
///
/// The functions are called in other threads, which must not ask the same store. deadline: for how many seconds they
/// are waited for (30). If one raises an exception, or is too late, the call ends in ExternalKeyError, and `last_error`
/// has the exception. The bytearray is wiped after each call.
#[pyclass(frozen, module = "tokenkeep")]
pub(crate) struct External {
    external: tokenkeep::External,
    provider: String,
    label: String,
    last_error: Arc<Mutex<Option<PyErr>>>,
}

impl External {
    pub(crate) fn unlock(&self) -> tokenkeep::Unlock {
        tokenkeep::Unlock::from(self.external.clone()).label(&self.label)
    }
}

#[pymethods]
impl External {
    #[new]
    #[pyo3(
        signature = (provider, *, create, open, forget = None, deadline = None, label = String::new()),
        text_signature = "(provider, *, create, open, forget=None, deadline=None, label='')"
    )]
    fn new(
        provider: String,
        create: Py<PyAny>,
        open: Py<PyAny>,
        forget: Option<Py<PyAny>>,
        deadline: Option<Seconds>,
        label: String,
    ) -> Self {
        let last_error = Arc::default();
        let functions =
            Functions { provider: provider.clone(), create, open, forget, last_error: Arc::clone(&last_error) };
        let external = tokenkeep::External::new(functions);
        let external = match deadline {
            Some(Seconds(deadline)) => external.deadline(deadline),
            None => external,
        };
        Self { external, provider, label, last_error }
    }

    /// The exception of the last call of a function that failed.
    #[getter]
    fn last_error(&self, py: Python<'_>) -> Option<Py<PyAny>> {
        let error = lock(&self.last_error).as_ref().map(|error| error.clone_ref(py));
        error.map(|error| error.into_value(py).into_any())
    }

    fn __repr__(&self) -> String {
        format!("External({:?})", self.provider)
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy("External"))
    }
}

/// The key slot that a function of an `External` is asked about.
#[pyclass(frozen, module = "tokenkeep")]
pub(crate) struct ExternalSlot(tokenkeep::ExternalSlot);

#[pymethods]
impl ExternalSlot {
    /// The random id of the store, 16 bytes. Copies of the store have the same.
    #[getter]
    fn store_id<'py>(&self, py: Python<'py>) -> Bound<'py, PyBytes> {
        PyBytes::new(py, &self.0.store_id())
    }

    /// The random id of the slot: 32 hexadecimal digits.
    #[getter]
    fn slot_id(&self) -> String {
        self.0.slot_id().to_string()
    }

    /// For how many seconds the function is still waited for.
    #[getter]
    fn remaining(&self) -> f64 {
        self.0.remaining().as_secs_f64()
    }

    fn __repr__(&self) -> String {
        format!("ExternalSlot(slot_id={:?})", self.slot_id())
    }
}

/// The application's functions. They are called in threads of the library.
struct Functions {
    provider: String,
    create: Py<PyAny>,
    open: Py<PyAny>,
    forget: Option<Py<PyAny>>,
    last_error: Arc<Mutex<Option<PyErr>>>,
}

impl Functions {
    fn call<R>(
        &self,
        slot: &tokenkeep::ExternalSlot,
        function: impl FnOnce(Python<'_>, ExternalSlot) -> PyResult<R>,
    ) -> Result<R, ExternalError> {
        let called = Python::try_attach(|py| {
            function(py, ExternalSlot(*slot)).map_err(|error| {
                let earlier = lock(&self.last_error).replace(error);
                drop(earlier); // which may run Python code
            })
        });
        match called {
            Some(Ok(result)) => Ok(result),
            Some(Err(())) => Err(ExternalError::new("raised an exception: see External.last_error")),
            None => Err(ExternalError::new("cannot be asked, because the Python interpreter has ended")),
        }
    }
}

/// Calls a function with the key in a bytearray, takes over what it has written, and wipes the bytearray.
fn with_key<'py, R>(
    py: Python<'py>,
    key: &mut [u8; 32],
    function: impl FnOnce(&Bound<'py, PyByteArray>) -> PyResult<R>,
) -> PyResult<R> {
    let buffer = PyByteArray::new(py, &*key);
    let result = function(&buffer);
    let written = Zeroizing::new(buffer.to_vec());
    for at in 0..buffer.len() {
        buffer.set_item(at, 0)?;
    }
    let result = result?;
    match <&[u8; 32]>::try_from(written.as_slice()) {
        Ok(written) => *key = *written,
        Err(_) => return Err(PyValueError::new_err("a key has 32 bytes")),
    }
    Ok(result)
}

impl ExternalKey for Functions {
    fn provider(&self) -> &str {
        &self.provider
    }

    fn create(&self, slot: &tokenkeep::ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
        self.call(slot, |py, slot| {
            let data = with_key(py, key, |key| self.create.bind(py).call1((slot, key)))?;
            Ok(data.cast::<PyBytes>()?.as_bytes().to_vec())
        })
    }

    fn open(&self, slot: &tokenkeep::ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
        self.call(slot, |py, slot| {
            let data = PyBytes::new(py, data);
            with_key(py, key, |key| self.open.bind(py).call1((slot, data, key))).map(drop)
        })
    }

    fn forget(&self, slot: &tokenkeep::ExternalSlot, data: &[u8]) -> Result<(), ExternalError> {
        match &self.forget {
            None => Ok(()),
            Some(forget) => self.call(slot, |py, slot| forget.bind(py).call1((slot, PyBytes::new(py, data))).map(drop)),
        }
    }
}
