//! Unlock methods.

use pyo3::{
    exceptions::{PyTypeError, PyUnicodeDecodeError},
    prelude::*,
    types::{PyByteArray, PyBytes, PyList, PyString, PyTuple},
};
use tokenkeep::{Secret, Unlock};
use zeroize::Zeroizing;

use crate::{
    errors::OrRaise,
    external::External,
    seconds::Seconds,
    token::{no_copy, text},
    waiting::wait,
};

/// The cost of a passphrase: the memory in KiB, the passes over it and the lanes of Argon2id.
#[pyclass(frozen, eq, module = "tokenkeep", from_py_object)]
#[derive(Clone, Copy, PartialEq)]
pub(crate) struct KdfParams(pub(crate) tokenkeep::KdfParams);

#[pymethods]
impl KdfParams {
    #[new]
    #[pyo3(signature = (memory_kib = 65536, passes = 3, lanes = 4))]
    fn new(py: Python<'_>, memory_kib: u32, passes: u32, lanes: u32) -> PyResult<Self> {
        tokenkeep::KdfParams::new(memory_kib, passes, lanes).or_raise(py).map(Self)
    }

    /// The least that is accepted: for tests, and for machines that are short of memory.
    #[classattr]
    const MIN: Self = Self(tokenkeep::KdfParams::MIN);

    /// The cost that takes about as many seconds on this machine, and never less than the default.
    #[staticmethod]
    #[pyo3(signature = (target = Seconds(tokenkeep::KdfParams::DEFAULT_TARGET)), text_signature = "(target=0.75)")]
    fn calibrate(py: Python<'_>, target: Seconds) -> PyResult<Self> {
        wait(py, move || tokenkeep::KdfParams::calibrate(target.0))?.or_raise(py).map(Self)
    }

    #[getter]
    fn memory_kib(&self) -> u32 {
        self.0.memory_kib()
    }

    #[getter]
    fn passes(&self) -> u32 {
        self.0.passes()
    }

    #[getter]
    fn lanes(&self) -> u32 {
        self.0.lanes()
    }

    fn __repr__(&self) -> String {
        let Self(kdf) = self;
        format!("KdfParams(memory_kib={}, passes={}, lanes={})", kdf.memory_kib(), kdf.passes(), kdf.lanes())
    }
}

/// A passphrase as an unlock method. It is used byte for byte, as UTF-8.
///
/// Give it as a bytearray, and wipe that afterwards: a str or bytes object stays in memory until Python reuses the
/// memory. The copy in here is wiped when the object goes.
#[pyclass(frozen, module = "tokenkeep")]
pub(crate) struct Passphrase {
    passphrase: tokenkeep::Passphrase,
    label: String,
}

#[pymethods]
impl Passphrase {
    #[new]
    #[pyo3(
        signature = (passphrase, *, kdf = None, label = String::new()),
        text_signature = "(passphrase, *, kdf=None, label='')"
    )]
    fn new(passphrase: Text, kdf: Option<KdfParams>, label: String) -> Self {
        let passphrase = tokenkeep::Passphrase::new(passphrase.0);
        let passphrase = match kdf {
            Some(KdfParams(kdf)) => passphrase.kdf(kdf),
            None => passphrase,
        };
        Self { passphrase, label }
    }

    fn __repr__(&self) -> &'static str {
        "Passphrase(***)"
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy("Passphrase"))
    }
}

impl Passphrase {
    pub(crate) fn get(&self) -> tokenkeep::Passphrase {
        self.passphrase.clone()
    }
}

/// Text from a str, bytes or bytearray, copied once, into a buffer that is wiped.
pub(crate) struct Text(pub(crate) Secret);

impl FromPyObject<'_, '_> for Text {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if let Ok(given) = given.cast::<PyString>() {
            return text(&given).map(|text| Self(text.into()));
        }
        let bytes = if let Ok(bytes) = given.cast::<PyByteArray>() {
            bytes.to_vec()
        } else if let Ok(bytes) = given.cast::<PyBytes>() {
            bytes.as_bytes().to_vec()
        } else {
            return Err(PyTypeError::new_err("expected a bytearray, a str or bytes"));
        };
        String::from_utf8(bytes).map(|text| Self(text.into())).map_err(|error| {
            let (at, _) = (error.utf8_error().valid_up_to(), Zeroizing::new(error.into_bytes()));
            // Without the bytes themselves.
            PyUnicodeDecodeError::new_err(("utf-8", &b""[..], 0, 0, format!("byte {at} is not UTF-8")))
        })
    }
}

/// A key in the operating system's keychain as an unlock method, under the name of the application's service.
#[pyclass(frozen, module = "tokenkeep")]
pub(crate) struct Keychain {
    keychain: tokenkeep::Keychain,
    service: String,
    label: String,
}

#[pymethods]
impl Keychain {
    #[new]
    #[pyo3(
        signature = (service, *, deadline = None, label = String::new()),
        text_signature = "(service, *, deadline=None, label='')"
    )]
    fn new(service: String, deadline: Option<Seconds>, label: String) -> Self {
        let keychain = tokenkeep::Keychain::new(service.clone());
        let keychain = match deadline {
            Some(Seconds(deadline)) => keychain.deadline(deadline),
            None => keychain,
        };
        Self { keychain, service, label }
    }

    fn __repr__(&self) -> String {
        format!("Keychain({:?})", self.service)
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy("Keychain"))
    }
}

impl Keychain {
    pub(crate) fn get(&self) -> tokenkeep::Keychain {
        self.keychain.clone()
    }
}

/// 256 random bits as an unlock method, in a form to be kept on paper. Typing errors raise WrongSecretError at once.
#[pyclass(frozen, module = "tokenkeep")]
pub(crate) struct RecoveryKey {
    key: tokenkeep::RecoveryKey,
    label: String,
}

#[pymethods]
impl RecoveryKey {
    #[new]
    #[pyo3(signature = (typed, *, label = String::new()), text_signature = "(typed, *, label='')")]
    fn new(py: Python<'_>, typed: Text, label: String) -> PyResult<Self> {
        let key = typed.0.expose_secret().parse::<tokenkeep::RecoveryKey>().or_raise(py)?;
        Ok(Self { key, label })
    }

    /// A new key. Show it to a person once: `expose_secret()`.
    #[staticmethod]
    #[pyo3(signature = (*, label = String::new()), text_signature = "(*, label='')")]
    fn generate(py: Python<'_>, label: String) -> PyResult<Self> {
        Ok(Self { key: tokenkeep::RecoveryKey::generate().or_raise(py)?, label })
    }

    /// The key as a person keeps it. This copy is not wiped.
    fn expose_secret(&self) -> &str {
        self.key.expose_secret()
    }

    fn __repr__(&self) -> &'static str {
        "RecoveryKey(***)"
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy("RecoveryKey"))
    }
}

/// The unlock method that an argument is.
pub(crate) fn unlock_of(given: &Bound<'_, PyAny>) -> PyResult<Unlock> {
    if let Ok(given) = given.cast::<Passphrase>() {
        let Passphrase { passphrase, label } = given.get();
        return Ok(Unlock::from(passphrase.clone()).label(label));
    }
    if let Ok(given) = given.cast::<Keychain>() {
        let Keychain { keychain, label, .. } = given.get();
        return Ok(Unlock::from(keychain.clone()).label(label));
    }
    if let Ok(given) = given.cast::<RecoveryKey>() {
        let RecoveryKey { key, label } = given.get();
        return Ok(Unlock::from(key.clone()).label(label));
    }
    if let Ok(given) = given.cast::<External>() {
        return Ok(given.get().unlock());
    }
    Err(PyTypeError::new_err("expected a Passphrase, a Keychain, a RecoveryKey or an External"))
}

/// The unlock methods of a list or tuple; `None` for a single method.
pub(crate) fn unlocks_of(given: &Bound<'_, PyAny>) -> PyResult<Option<Vec<Unlock>>> {
    let is_sequence = given.is_instance_of::<PyList>() || given.is_instance_of::<PyTuple>();
    is_sequence.then(|| given.try_iter()?.map(|unlock| unlock_of(&unlock?)).collect()).transpose()
}
