//! `MemoryStore`.

use pyo3::prelude::*;

use crate::{
    handle::{Backing, Handle},
    store::TokenStore,
};

/// A store that keeps its tokens in memory only, with the same rules.
#[pyclass(frozen, extends = TokenStore, module = "tokenkeep")]
pub(crate) struct MemoryStore;

#[pymethods]
impl MemoryStore {
    #[new]
    fn new() -> PyClassInitializer<Self> {
        let handle = Handle::new(Backing::Memory(tokenkeep::MemoryStore::new()));
        PyClassInitializer::from(TokenStore::new(handle)).add_subclass(Self)
    }

    fn __repr__(&self) -> &'static str {
        "MemoryStore()"
    }
}
