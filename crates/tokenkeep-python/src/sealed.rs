//! What the stores with key slots can do: the base class of `Keystore` and `SqlStore`.

use pyo3::{prelude::*, types::PyTuple};
use tokenkeep::{Error, Result, SlotId, Unlock};

use crate::{
    errors::{OrRaise, raise},
    handle::{Backing, Handle},
    seconds::Seconds,
    status::{AnyVersion, KeySlot, Version},
    store::TokenStore,
    unlock::{Passphrase, unlock_of},
    waiting::wait,
};

/// A store that is sealed under a key of its own, which unlock methods open: a `Keystore` or an `SqlStore`.
///
/// `with` closes it at the end of the block. A store that was opened before a fork raises ReopenError in the child.
#[pyclass(frozen, subclass, extends = TokenStore, module = "tokenkeep")]
pub(crate) struct SealedStore;

/// Does the same with a keystore and with a database store.
macro_rules! sealed {
    ($backing:expr, $store:ident => $work:expr) => {
        match $backing {
            Backing::File($store) => $work,
            Backing::Sql($store) => $work,
            Backing::Memory(_) => Err(Error::other("a store in memory is not sealed")),
        }
    };
}

impl SealedStore {
    pub(crate) fn over(backing: Backing) -> PyClassInitializer<Self> {
        PyClassInitializer::from(TokenStore::new(Handle::new(backing))).add_subclass(Self)
    }

    /// Does something that may wait with the open store.
    fn with<R: Send + 'static>(
        this: &PyRef<'_, Self>,
        work: impl FnOnce(Backing) -> Result<R> + Send + 'static,
    ) -> PyResult<R> {
        let py = this.py();
        let backing = this.as_super().handle.get(py)?;
        wait(py, move || work(backing))?.or_raise(py)
    }

    /// Does something that takes as long as a find.
    fn look<R: Send + 'static>(
        this: &PyRef<'_, Self>,
        look: impl FnOnce(Backing) -> Result<R> + Send + 'static,
    ) -> PyResult<R> {
        let py = this.py();
        this.as_super().handle.get(py)?.look(py, look)?.or_raise(py)
    }
}

pub(crate) fn slot_id(py: Python<'_>, id: &str) -> PyResult<SlotId> {
    id.parse().map_err(|error: tokenkeep::ParseSlotIdError| raise(py, "InvalidError", &error.to_string()))
}

fn version(backing: &Backing) -> Result<AnyVersion> {
    sealed!(backing, store => store.version().map(Into::into))
}

#[pymethods]
impl SealedStore {
    /// The key slots.
    fn slots(this: PyRef<'_, Self>) -> PyResult<Vec<KeySlot>> {
        Ok(Self::look(&this, |backing| sealed!(backing, store => store.slots()))?.into_iter().map(Into::into).collect())
    }

    /// The key slot that opened this handle; None once it was removed or replaced.
    fn opened_by(this: PyRef<'_, Self>) -> PyResult<Option<KeySlot>> {
        Ok(Self::look(&this, |backing| sealed!(backing, store => store.opened_by()))?.map(Into::into))
    }

    /// The key slot that the unlock method opens now. Changes nothing.
    fn try_unlock(this: PyRef<'_, Self>, unlock: &Bound<'_, PyAny>) -> PyResult<KeySlot> {
        let unlock = unlock_of(unlock)?;
        Self::with(&this, move |backing| sealed!(backing, store => store.try_unlock(&unlock))).map(Into::into)
    }

    /// Adds a key slot that the unlock method opens; returns its id.
    fn add_slot(this: PyRef<'_, Self>, unlock: &Bound<'_, PyAny>) -> PyResult<String> {
        let unlock = unlock_of(unlock)?;
        Self::with(&this, move |backing| sealed!(backing, store => store.add_slot(&unlock))).map(|id| id.to_string())
    }

    /// Removes a key slot. Removal is not revocation: see rekey.
    fn remove_slot(this: PyRef<'_, Self>, id: &str) -> PyResult<()> {
        let id = slot_id(this.py(), id)?;
        Self::with(&this, move |backing| sealed!(backing, store => store.remove_slot(id)))
    }

    /// Replaces a key slot with one that the unlock method opens; returns its id.
    fn replace_slot(this: PyRef<'_, Self>, id: &str, unlock: &Bound<'_, PyAny>) -> PyResult<String> {
        let (id, unlock) = (slot_id(this.py(), id)?, unlock_of(unlock)?);
        Self::with(&this, move |backing| sealed!(backing, store => store.replace_slot(id, &unlock)))
            .map(|id| id.to_string())
    }

    /// Changes the passphrase `current` to `new`; returns the id of the new slot.
    fn change_passphrase(this: PyRef<'_, Self>, current: &Passphrase, new: &Passphrase) -> PyResult<String> {
        let (current, new) = (current.get(), new.get());
        Self::with(&this, move |backing| sealed!(backing, store => store.change_passphrase(&current, &new)))
            .map(|id| id.to_string())
    }

    /// Gives the store a new key, and keeps only the key slots of the given unlock methods.
    #[pyo3(signature = (*kept))]
    fn rekey(this: PyRef<'_, Self>, kept: &Bound<'_, PyTuple>) -> PyResult<()> {
        let kept = kept.iter().map(|unlock| unlock_of(&unlock)).collect::<PyResult<Vec<Unlock>>>()?;
        Self::with(&this, move |backing| sealed!(backing, store => store.rekey(&kept)))
    }

    /// The state of the store, to be compared with another one. As cheap as a find.
    fn version(this: PyRef<'_, Self>) -> PyResult<Version> {
        Self::look(&this, |backing| version(&backing)).map(Version)
    }

    /// The new version once any handle or process has committed a change; None after the timeout in seconds.
    fn wait_for_change(this: PyRef<'_, Self>, version: Version, timeout: Seconds) -> PyResult<Option<Version>> {
        let wait = move |backing| match (backing, version.0) {
            (Backing::File(store), AnyVersion::File(version)) => {
                Ok(store.wait_for_change(&version, timeout.0)?.map(Into::into))
            }
            (Backing::Sql(store), AnyVersion::Sql(version)) => {
                Ok(store.wait_for_change(&version, timeout.0)?.map(Into::into))
            }
            (backing, _) => self::version(&backing).map(Some),
        };
        Ok(Self::with(&this, wait)?.map(Version))
    }

    /// Closes the store and its namespaces. Its key and its tokens are wiped once nothing in here uses them any more:
    /// a claim, or a call that has not ended. Closing twice is no error.
    fn close(this: PyRef<'_, Self>) {
        this.as_super().handle.close();
    }

    #[getter]
    fn closed(this: PyRef<'_, Self>) -> bool {
        this.as_super().handle.is_closed()
    }

    fn __enter__(this: PyRef<'_, Self>) -> PyResult<PyRef<'_, Self>> {
        this.as_super().handle.get(this.py())?;
        Ok(this)
    }

    #[pyo3(signature = (*_raised))]
    fn __exit__(this: PyRef<'_, Self>, _raised: &Bound<'_, PyTuple>) {
        this.as_super().handle.close();
    }
}
