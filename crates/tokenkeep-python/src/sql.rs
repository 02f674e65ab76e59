//! `SqlStore`: an SQL database.

use pyo3::{
    exceptions::PyTypeError,
    prelude::*,
    types::{PyDict, PyString, PyTuple, PyType},
};
use tokenkeep_sql::{Database, SqlOptions};

use crate::{
    errors::OrRaise,
    handle::Backing,
    options::with_option,
    sealed::SealedStore,
    seconds::Seconds,
    unlock::{unlock_of, unlocks_of},
    waiting::wait,
};

/// Tokens in two tables of an SQL database, each row sealed by itself. Any number of threads, processes and hosts may
/// have one store open. A find takes as long as the database takes.
///
/// The URL is `sqlite:///path`, `mysql://user@host/database` or `postgres://user@host/database`. `DATABASES` has the
/// ones that this build of tokenkeep supports; any other raises InvalidError. unlock takes the same unlock methods as a
/// Keystore.
///
/// `create`, `open` and `open_or_create` have these options: tables, the prefix of the names of the two tables
/// ("tokenkeep"); connections, how many are opened at most (4); timeout, for how many seconds a call waits for other
/// writers or for a connection (10); lease, for how many seconds a claim lasts if its holder dies (60); holder, a name
/// beside a lease, for administrators. For a server also: password, of which the copy in here is wiped;
/// connect_timeout (10) and statement_timeout (30), in seconds; certificate_authority, a file in PEM format;
/// unencrypted=True, for connections that anybody in between can read.
#[pyclass(frozen, extends = SealedStore, module = "tokenkeep")]
pub(crate) struct SqlStore {
    name: String,
}

type Made = PyResult<Py<SqlStore>>;

impl SqlStore {
    /// The store that the function makes, without the interpreter lock.
    fn made(
        py: Python<'_>,
        url: &str,
        options: Option<&Bound<'_, PyDict>>,
        make: impl FnOnce(&SqlOptions, &Database) -> tokenkeep::Result<tokenkeep_sql::SqlStore> + Send + 'static,
    ) -> Made {
        let (options, database) = options_of(url, options)?;
        let store = wait(py, move || make(&options, &database))?.or_raise(py)?;
        let name = store.name().to_owned();
        Py::new(py, SealedStore::over(Backing::Sql(store)).add_subclass(Self { name }))
    }
}

/// The keyword arguments of `create`, `open` and `open_or_create`.
fn options_of(url: &str, given: Option<&Bound<'_, PyDict>>) -> PyResult<(SqlOptions, Database)> {
    let (mut sql, mut database) = (SqlOptions::new(), Database::url(url));
    for (name, value) in given.into_iter().flatten() {
        let name = name.cast::<PyString>()?.to_str()?;
        sql = match name {
            "tables" => with_option(sql, &value, |sql, prefix: String| sql.tables(&prefix))?,
            "connections" => with_option(sql, &value, SqlOptions::connections)?,
            "timeout" => with_option(sql, &value, |sql, Seconds(at_most)| sql.timeout(at_most))?,
            "lease" => with_option(sql, &value, |sql, Seconds(duration)| sql.lease(duration))?,
            "holder" => with_option(sql, &value, |sql, name: String| sql.holder(&name))?,
            _ => {
                database = with_server_option(database, name, &value)?;
                sql
            }
        };
    }
    Ok((sql, database))
}

#[cfg(any(feature = "mysql", feature = "postgres"))]
fn with_server_option(database: Database, name: &str, value: &Bound<'_, PyAny>) -> PyResult<Database> {
    match name {
        "password" => {
            with_option(database, value, |database, crate::unlock::Text(password)| database.password(password))
        }
        "connect_timeout" => {
            with_option(database, value, |database, Seconds(at_most)| database.connect_timeout(at_most))
        }
        "statement_timeout" => {
            with_option(database, value, |database, Seconds(at_most)| database.statement_timeout(at_most))
        }
        "certificate_authority" => {
            with_option(database, value, |database, file: std::path::PathBuf| database.certificate_authority(file))
        }
        "unencrypted" => {
            with_option(database, value, |database, is| if is { database.unencrypted() } else { database })
        }
        other => Err(no_option(other)),
    }
}

#[cfg(not(any(feature = "mysql", feature = "postgres")))]
fn with_server_option(_: Database, name: &str, _: &Bound<'_, PyAny>) -> PyResult<Database> {
    Err(no_option(name))
}

fn no_option(name: &str) -> PyErr {
    PyTypeError::new_err(format!("a database store of this build has no option {name:?}"))
}

#[pymethods]
impl SqlStore {
    /// The databases that this build supports: "sqlite", "mysql" and "postgres", or some of them, or none.
    #[classattr]
    #[pyo3(name = "DATABASES")]
    fn databases(py: Python<'_>) -> PyResult<Bound<'_, PyTuple>> {
        let databases: &[&str] = &[
            #[cfg(feature = "sqlite")]
            "sqlite",
            #[cfg(feature = "mysql")]
            "mysql",
            #[cfg(feature = "postgres")]
            "postgres",
        ];
        PyTuple::new(py, databases)
    }

    /// Creates the two tables, and a new key, which the unlock method opens.
    #[classmethod]
    #[pyo3(signature = (url, unlock, **options))]
    fn create(
        kind: &Bound<'_, PyType>,
        url: &str,
        unlock: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Made {
        let unlock = unlock_of(unlock)?;
        Self::made(kind.py(), url, options, move |options, database| options.create(database, &unlock))
    }

    /// Opens a store that exists.
    #[classmethod]
    #[pyo3(signature = (url, unlock, **options))]
    fn open(
        kind: &Bound<'_, PyType>,
        url: &str,
        unlock: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Made {
        if let Some(unlocks) = unlocks_of(unlock)? {
            return Self::made(kind.py(), url, options, move |options, database| options.open_any(database, &unlocks));
        }
        let unlock = unlock_of(unlock)?;
        Self::made(kind.py(), url, options, move |options, database| options.open(database, &unlock))
    }

    /// Opens the store, or creates it if there is none.
    #[classmethod]
    #[pyo3(signature = (url, unlock, **options))]
    fn open_or_create(
        kind: &Bound<'_, PyType>,
        url: &str,
        unlock: &Bound<'_, PyAny>,
        options: Option<&Bound<'_, PyDict>>,
    ) -> Made {
        let unlock = unlock_of(unlock)?;
        Self::made(kind.py(), url, options, move |options, database| options.open_or_create(database, &unlock))
    }

    /// The database and the tables, without a password.
    #[getter]
    fn name(&self) -> &str {
        &self.name
    }

    fn __repr__(&self) -> String {
        format!("SqlStore({:?})", self.name)
    }
}
