//! `Token`: frozen, made with keyword arguments.

use std::time::SystemTime;

use pyo3::{
    exceptions::{PyTypeError, PyValueError},
    prelude::*,
    types::{PyDict, PyMapping, PyString, PyTuple},
};
use tokenkeep::{Secret, TokenBuilder};

use crate::seconds::Seconds;

/// What one sign-in gave: an access token, a refresh token, whose they are and how long they last.
///
/// Frozen. Its repr shows neither secrets nor the user name, and it cannot be pickled or copied. Its keyword arguments
/// are its fields, and expires_in and refresh_expires_in: seconds from now. A field that is left out, or None, is
/// unset. expires_at=None and expires_in=None say that nobody knows when the access token expires: a save then clears
/// the stored expiry, which it would otherwise keep.
#[pyclass(frozen, eq, module = "tokenkeep", from_py_object)]
#[derive(Clone, PartialEq)]
pub(crate) struct Token(pub(crate) tokenkeep::Token);

#[pymethods]
impl Token {
    #[new]
    #[pyo3(signature = (**fields))]
    fn new(fields: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        set(tokenkeep::Token::builder(), fields)
    }

    /// A copy with other fields, and with the same revision. None and an empty text clear a text, except for times and
    /// attributes, which stay. Attributes are added to the ones that the token has.
    #[pyo3(signature = (**fields))]
    fn replace(&self, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Self> {
        set(self.0.to_builder(), fields)
    }

    /// The same token without its revision: it is saved over any revision.
    fn without_revision(&self) -> Self {
        Self(self.0.without_revision())
    }

    #[getter]
    fn id(&self) -> Option<&str> {
        self.0.id().map(tokenkeep::TokenId::as_str)
    }

    #[getter]
    fn user_name(&self) -> Option<&str> {
        self.0.user_name()
    }

    #[getter]
    fn client_id(&self) -> Option<&str> {
        self.0.client_id()
    }

    #[getter]
    fn client_secret(&self) -> Option<&str> {
        self.0.client_secret().map(Secret::expose_secret)
    }

    #[getter]
    fn refresh_token(&self) -> Option<&str> {
        self.0.refresh_token().map(Secret::expose_secret)
    }

    #[getter]
    fn access_token(&self) -> Option<&str> {
        self.0.access_token().map(Secret::expose_secret)
    }

    #[getter]
    fn grant_token(&self) -> Option<&str> {
        self.0.grant_token().map(Secret::expose_secret)
    }

    #[getter]
    fn id_token(&self) -> Option<&str> {
        self.0.id_token().map(Secret::expose_secret)
    }

    #[getter]
    fn expires_at(&self) -> Option<SystemTime> {
        self.0.expires_at()
    }

    #[getter]
    fn received_at(&self) -> Option<SystemTime> {
        self.0.received_at()
    }

    #[getter]
    fn refresh_expires_at(&self) -> Option<SystemTime> {
        self.0.refresh_expires_at()
    }

    #[getter]
    fn rejected_at(&self) -> Option<SystemTime> {
        self.0.rejected_at()
    }

    #[getter]
    fn retry_at(&self) -> Option<SystemTime> {
        self.0.retry_at()
    }

    #[getter]
    fn failed_refreshes(&self) -> u32 {
        self.0.failed_refreshes()
    }

    #[getter]
    fn redirect_url(&self) -> Option<&str> {
        self.0.redirect_url()
    }

    #[getter]
    fn api_domain(&self) -> Option<&str> {
        self.0.api_domain()
    }

    #[getter]
    fn token_type(&self) -> Option<&str> {
        self.0.token_type()
    }

    #[getter]
    fn scopes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyTuple>> {
        PyTuple::new(py, self.0.scopes())
    }

    /// A new dict: changing it does not change the token.
    #[getter]
    fn attributes<'py>(&self, py: Python<'py>) -> PyResult<Bound<'py, PyDict>> {
        let attributes = PyDict::new(py);
        for (name, value) in self.0.attributes() {
            attributes.set_item(name, value.expose_secret())?;
        }
        Ok(attributes)
    }

    #[getter]
    fn created_at(&self) -> Option<SystemTime> {
        self.0.created_at()
    }

    #[getter]
    fn updated_at(&self) -> Option<SystemTime> {
        self.0.updated_at()
    }

    #[getter]
    fn revision(&self) -> Option<u64> {
        self.0.revision()
    }

    /// Whether the access token has expired. False if its expiry is unknown.
    #[pyo3(signature = (now = None))]
    fn is_expired(&self, now: Option<SystemTime>) -> bool {
        self.0.is_expired(now.unwrap_or_else(SystemTime::now))
    }

    /// How many seconds the access token lasts: 0 once it has expired, None if its expiry is unknown.
    #[pyo3(signature = (now = None))]
    fn remaining(&self, now: Option<SystemTime>) -> Option<f64> {
        self.0.remaining(now.unwrap_or_else(SystemTime::now)).map(|left| left.as_secs_f64())
    }

    fn __repr__(&self) -> String {
        format!("{:?}", self.0)
    }

    fn __reduce_ex__(&self, _protocol: &Bound<'_, PyAny>) -> PyResult<()> {
        Err(no_copy("Token"))
    }
}

/// The exception of `pickle` and `copy`.
pub(crate) fn no_copy(class: &str) -> PyErr {
    PyTypeError::new_err(format!("cannot pickle or copy a {class}: it has secrets, or is bound to this process"))
}

/// The text of a `str`, which may be a secret: so the error is without it.
pub(crate) fn text(given: &Bound<'_, PyString>) -> PyResult<String> {
    let text = given.to_str().map(str::to_owned);
    text.map_err(|_| PyValueError::new_err("the text has half a character, a lone surrogate"))
}

/// A token with the given fields over those of the builder.
fn set(mut builder: TokenBuilder, fields: Option<&Bound<'_, PyDict>>) -> PyResult<Token> {
    let Some(fields) = fields else { return Ok(Token(builder.build())) };
    for (name, value) in fields.iter() {
        let name = name.cast::<PyString>()?.to_str()?;
        builder = set_field(builder, name, &value)?;
    }
    Ok(Token(builder.build()))
}

fn set_field(builder: TokenBuilder, name: &str, value: &Bound<'_, PyAny>) -> PyResult<TokenBuilder> {
    let text = || if value.is_none() { Ok(String::new()) } else { text(value.cast()?) };
    let time = || match value.extract::<Option<SystemTime>>() {
        Err(error) if !value.hasattr("tzinfo").unwrap_or(false) || value.getattr("tzinfo")?.is_truthy()? => Err(error),
        Err(_) => Err(PyTypeError::new_err(format!("{name} has to be an aware datetime, with a tzinfo"))),
        time => time,
    };
    let seconds = || Ok::<_, PyErr>(value.extract::<Option<Seconds>>()?.map(|seconds| seconds.0));
    Ok(match name {
        "id" => builder.id(text()?),
        "user_name" => builder.user_name(text()?),
        "client_id" => builder.client_id(text()?),
        "client_secret" => builder.client_secret(text()?),
        "refresh_token" => builder.refresh_token(text()?),
        "access_token" => builder.access_token(text()?),
        "grant_token" => builder.grant_token(text()?),
        "id_token" => builder.id_token(text()?),
        "expires_at" => builder.maybe_expires_at(time()?),
        "expires_in" => builder.maybe_expires_in(seconds()?),
        "received_at" => builder.maybe_received_at(time()?),
        "refresh_expires_at" => builder.maybe_refresh_expires_at(time()?),
        "refresh_expires_in" => builder.maybe_refresh_expires_in(seconds()?),
        "rejected_at" => builder.maybe_rejected_at(time()?),
        "retry_at" => builder.maybe_retry_at(time()?),
        "failed_refreshes" => builder.failed_refreshes(value.extract()?),
        "redirect_url" => builder.redirect_url(text()?),
        "api_domain" => builder.api_domain(text()?),
        "token_type" => builder.token_type(text()?),
        "scopes" => builder.scopes(scopes(value)?),
        "attributes" => attributes(builder, value)?,
        other => return Err(PyTypeError::new_err(format!("a token has no field {other:?}"))),
    })
}

/// The builder with the attributes of a mapping.
fn attributes(mut builder: TokenBuilder, value: &Bound<'_, PyAny>) -> PyResult<TokenBuilder> {
    if value.is_none() {
        return Ok(builder);
    }
    for item in value.cast::<PyMapping>()?.items()? {
        let (name, value): (Bound<'_, PyString>, Bound<'_, PyString>) = item.extract()?;
        builder = builder.attribute(text(&name)?, text(&value)?);
    }
    Ok(builder)
}

fn scopes(value: &Bound<'_, PyAny>) -> PyResult<Vec<String>> {
    if value.is_none() {
        return Ok(Vec::new());
    }
    if value.is_instance_of::<PyString>() {
        return Err(PyTypeError::new_err("scopes is a sequence of texts, not one text"));
    }
    value.try_iter()?.map(|scope| scope?.extract()).collect()
}
