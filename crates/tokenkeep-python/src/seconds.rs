//! Durations: a number of seconds, or a `timedelta`.

use std::time::Duration;

use pyo3::{exceptions::PyValueError, prelude::*, types::PyDelta};

/// More than the age of the universe: as endless as infinity.
const ENDLESS: f64 = 1e18;

/// An argument that is a duration.
#[derive(Clone, Copy)]
pub(crate) struct Seconds(pub(crate) Duration);

impl FromPyObject<'_, '_> for Seconds {
    type Error = PyErr;

    fn extract(given: Borrowed<'_, '_, PyAny>) -> PyResult<Self> {
        if given.is_instance_of::<PyDelta>() {
            return given.extract().map(Self);
        }
        let seconds: f64 = given.extract()?;
        let duration = if seconds > ENDLESS { Ok(Duration::MAX) } else { Duration::try_from_secs_f64(seconds) };
        duration.map(Self).map_err(|error| PyValueError::new_err(format!("not a duration in seconds: {error}")))
    }
}
