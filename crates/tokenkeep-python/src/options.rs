//! Keyword arguments that are options.

use pyo3::{conversion::FromPyObjectOwned, prelude::*};

/// The settings with an option set to the value; as they are if it is None.
pub(crate) fn with_option<'py, S, T: FromPyObjectOwned<'py>>(
    settings: S,
    value: &Bound<'py, PyAny>,
    set: impl FnOnce(S, T) -> S,
) -> PyResult<S> {
    if value.is_none() {
        return Ok(settings);
    }
    Ok(set(settings, value.extract().map_err(Into::into)?))
}
