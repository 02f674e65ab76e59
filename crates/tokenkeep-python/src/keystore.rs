//! `Keystore`: an encrypted file.

use std::path::PathBuf;

use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyDict, PyString, PyType},
};
use tokenkeep::KeystoreOptions;

use crate::{
    errors::{OrRaise, raise},
    handle::Backing,
    options::with_option,
    sealed::{SealedStore, slot_id},
    seconds::Seconds,
    status::{FileStatus, Status},
    unlock::{Keychain, unlock_of, unlocks_of},
    waiting::wait,
};

/// Tokens in one encrypted file. Any number of threads and processes may have one file open.
///
/// unlock is a Passphrase, a Keychain, a RecoveryKey or an External. `open` also takes a list of them, and opens the
/// store with the first one that fits.
///
/// `create`, `open`, `open_or_create` and `recover_before_damage` have these options: lock_timeout, for how many
/// seconds a change waits for other threads and processes; max_file_len, in bytes; permission_checks=False, for a file
/// that others may read, and any_owner=True, to create a store in a directory of another user, both of which are on the
/// application's own risk.
#[pyclass(frozen, extends = SealedStore, module = "tokenkeep")]
pub(crate) struct Keystore {
    path: PathBuf,
}

type Made = PyResult<Py<Keystore>>;

impl Keystore {
    /// The store that the function makes, without the interpreter lock.
    fn made(
        py: Python<'_>,
        options: Option<&Bound<'_, PyDict>>,
        make: impl FnOnce(&KeystoreOptions) -> tokenkeep::Result<tokenkeep::Keystore> + Send + 'static,
    ) -> Made {
        let options = options_of(options)?;
        let store = wait(py, move || make(&options))?.or_raise(py)?;
        let path = store.path().to_owned();
        Py::new(py, SealedStore::over(Backing::File(store)).add_subclass(Self { path }))
    }

    /// Does something that may wait with the open store.
    fn with<R: Send + 'static>(
        this: &PyRef<'_, Self>,
        work: impl FnOnce(tokenkeep::Keystore) -> tokenkeep::Result<R> + Send + 'static,
    ) -> PyResult<R> {
        let py = this.py();
        let Backing::File(store) = this.as_super().as_super().handle.get(py)? else {
            return Err(raise(py, "InternalError", "the store is no keystore"));
        };
        wait(py, move || work(store))?.or_raise(py)
    }
}

/// The keyword arguments of the functions that open a store.
fn options_of(given: Option<&Bound<'_, PyDict>>) -> PyResult<KeystoreOptions> {
    let mut options = KeystoreOptions::new();
    for (name, value) in given.into_iter().flatten() {
        options = match name.cast::<PyString>()?.to_str()? {
            "lock_timeout" => with_option(options, &value, |options, Seconds(at_most)| options.lock_timeout(at_most))?,
            "max_file_len" => with_option(options, &value, KeystoreOptions::max_file_len)?,
            "permission_checks" if value.extract()? => options,
            "permission_checks" => options.without_permission_checks(),
            "any_owner" if value.extract()? => options.in_directory_of_another_user(),
            "any_owner" => options,
            other => return Err(PyTypeError::new_err(format!("a keystore has no option {other:?}"))),
        };
    }
    Ok(options)
}

#[pymethods]
impl Keystore {
    /// Creates a store with a new key, which the unlock method opens.
    #[classmethod]
    #[pyo3(signature = (path, unlock, **options))]
    fn create(
        kind: &Bound<'_, PyType>,
        path: PathBuf,
        unlock: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Made {
        let unlock = unlock_of(unlock)?;
        Self::made(kind.py(), options, move |options| options.create(path, &unlock))
    }

    /// Opens a store that exists.
    #[classmethod]
    #[pyo3(signature = (path, unlock, **options))]
    fn open(
        kind: &Bound<'_, PyType>,
        path: PathBuf,
        unlock: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Made {
        if let Some(unlocks) = unlocks_of(unlock)? {
            return Self::made(kind.py(), options, move |options| options.open_any(path, &unlocks));
        }
        let unlock = unlock_of(unlock)?;
        Self::made(kind.py(), options, move |options| options.open(path, &unlock))
    }

    /// Opens the store, or creates it if nothing is at the path.
    #[classmethod]
    #[pyo3(signature = (path, unlock, **options))]
    fn open_or_create(
        kind: &Bound<'_, PyType>,
        path: PathBuf,
        unlock: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Made {
        let unlock = unlock_of(unlock)?;
        Self::made(kind.py(), options, move |options| options.open_or_create(path, &unlock))
    }

    /// Checks the file at the path as far as is possible without a key.
    #[staticmethod]
    fn verify_file(py: Python<'_>, path: PathBuf) -> PyResult<FileStatus> {
        Ok(wait(py, move || tokenkeep::Keystore::verify_file(path))?.or_raise(py)?.into())
    }

    /// Renames a file that cannot be used, so that a new one can be created; returns where it is.
    #[staticmethod]
    fn set_aside(py: Python<'_>, path: PathBuf) -> PyResult<PathBuf> {
        wait(py, move || tokenkeep::Keystore::set_aside(path))?.or_raise(py)
    }

    /// Writes what a file holds before damage in its journal to a new store, and opens that. Look for a backup first:
    /// the new store lacks every save after the damage. Changes nothing of the damaged file.
    #[classmethod]
    #[pyo3(signature = (path, unlock, new_path, **options))]
    fn recover_before_damage(
        kind: &Bound<'_, PyType>,
        path: PathBuf,
        unlock: &Bound<'_, PyAny>,
        new_path: PathBuf,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Made {
        let unlock = unlock_of(unlock)?;
        Self::made(kind.py(), options, move |options| options.recover_before_damage(path, &unlock, new_path))
    }

    /// The path of the file, with symbolic links resolved.
    #[getter]
    fn path(&self) -> PathBuf {
        self.path.clone()
    }

    /// The ids of keys in the keychain that belong to this store and to none of its key slots.
    fn keychain_orphans(this: PyRef<'_, Self>, keychain: &Keychain) -> PyResult<Vec<String>> {
        let keychain = keychain.get();
        let ids = Self::with(&this, move |store| store.keychain_orphans(&keychain))?;
        Ok(ids.iter().map(ToString::to_string).collect())
    }

    /// Deletes one of the orphans from the keychain.
    fn remove_keychain_orphan(this: PyRef<'_, Self>, keychain: &Keychain, id: &str) -> PyResult<()> {
        let (keychain, id) = (keychain.get(), slot_id(this.py(), id)?);
        Self::with(&this, move |store| store.remove_keychain_orphan(&keychain, id))
    }

    /// Reads the whole file again and checks every byte.
    fn verify(this: PyRef<'_, Self>) -> PyResult<()> {
        Self::with(&this, |store| store.verify())
    }

    /// Raises what a save would raise now.
    fn check_writable(this: PyRef<'_, Self>) -> PyResult<()> {
        Self::with(&this, |store| store.check_writable())
    }

    /// Writes a verified copy to a path where nothing is yet.
    fn backup_to(this: PyRef<'_, Self>, path: PathBuf) -> PyResult<()> {
        Self::with(&this, move |store| store.backup_to(path))
    }

    /// Replaces the file by one without a journal, which has no old versions of tokens. Saves do that by themselves
    /// when the journal is long.
    fn compact(this: PyRef<'_, Self>) -> PyResult<()> {
        Self::with(&this, |store| store.compact())
    }

    /// What a support page would show.
    fn status(this: PyRef<'_, Self>) -> PyResult<Status> {
        Self::with(&this, |store| store.status()).map(Into::into)
    }

    fn __repr__(&self) -> String {
        format!("Keystore({:?})", self.path)
    }
}
