//! Moving in from the token files of the Zoho CRM SDKs.

use std::path::PathBuf;

use pyo3::prelude::*;
use tokenkeep::{
    Secret,
    import::{BadRows, ImportOptions, StoredTokens, ZohoTable},
};

use crate::{errors::OrRaise, store::TokenStore, token::text, waiting::wait};

/// The rows of a file or table, by what an import did with them. Each row is in one of the lists.
#[pyclass(frozen, get_all, module = "tokenkeep")]
pub(crate) struct ImportReport {
    added: Vec<ImportedRow>,
    overwritten: Vec<ImportedRow>,
    kept: Vec<ImportedRow>,
    skipped: Vec<SkippedRow>,
}

/// A row of the file, by its line, and the id of its stored token. The repr hides the id, which may name the user.
#[pyclass(frozen, get_all, module = "tokenkeep")]
#[derive(Clone)]
pub(crate) struct ImportedRow {
    line: u64,
    id: String,
}

/// A row that was left out, by its line, and why.
#[pyclass(frozen, get_all, module = "tokenkeep")]
#[derive(Clone)]
pub(crate) struct SkippedRow {
    line: u64,
    why: String,
}

#[pymethods]
impl ImportReport {
    fn __repr__(&self) -> String {
        let Self { added, overwritten, kept, skipped } = self;
        let (added, overwritten, kept, skipped) = (added.len(), overwritten.len(), kept.len(), skipped.len());
        format!("ImportReport(added={added}, overwritten={overwritten}, kept={kept}, skipped={skipped})")
    }
}

#[pymethods]
impl ImportedRow {
    fn __repr__(&self) -> String {
        format!("ImportedRow(line={})", self.line)
    }
}

#[pymethods]
impl SkippedRow {
    fn __repr__(&self) -> String {
        format!("SkippedRow({:?})", self.why)
    }
}

fn imported(rows: Vec<tokenkeep::import::ImportedRow>) -> Vec<ImportedRow> {
    rows.into_iter().map(|row| ImportedRow { line: row.line, id: row.id.as_str().to_owned() }).collect()
}

/// Saves the tokens of a file that a file store of a Zoho CRM SDK wrote, as one change.
///
/// A bad row raises InvalidError and nothing is stored, unless skip_bad_rows=True. A token that is stored already stays
/// as it is, unless overwrite=True. Stop the application that writes the file first.
#[pyfunction]
#[pyo3(signature = (store, path, *, skip_bad_rows = false, overwrite = false))]
pub(crate) fn import_zoho_csv(
    py: Python<'_>,
    store: &TokenStore,
    path: PathBuf,
    skip_bad_rows: bool,
    overwrite: bool,
) -> PyResult<ImportReport> {
    let tokens = store.tokens(py)?;
    let options = options(skip_bad_rows, overwrite);
    let import = move || tokenkeep::import::import_zoho_csv(&*tokens, path, &options);
    wait(py, import)?.or_raise(py).map(report)
}

/// Saves the tokens of rows of a table of a Zoho CRM SDK, as one change, like import_zoho_csv.
///
/// columns has the names of the columns. A value is a text, a number or None. name stands for the table in errors.
#[pyfunction]
#[pyo3(
    signature = (store, columns, rows, *, name = "oauthtoken".into(), skip_bad_rows = false, overwrite = false),
    text_signature = "(store, columns, rows, *, name='oauthtoken', skip_bad_rows=False, overwrite=False)"
)]
pub(crate) fn import_zoho_rows(
    py: Python<'_>,
    store: &TokenStore,
    columns: Vec<String>,
    rows: &Bound<'_, PyAny>,
    name: PathBuf,
    skip_bad_rows: bool,
    overwrite: bool,
) -> PyResult<ImportReport> {
    let tokens = store.tokens(py)?;
    let options = options(skip_bad_rows, overwrite);
    let columns: Vec<&str> = columns.iter().map(String::as_str).collect();
    let mut table = ZohoTable::new(name, &columns).or_raise(py)?;
    let value = |value: Bound<'_, PyAny>| match value.is_none() {
        true => Ok(Secret::from("")),
        false => Ok::<_, PyErr>(Secret::from(text(&value.str()?)?)),
    };
    for row in rows.try_iter()? {
        let values = row?.try_iter()?.map(|field| value(field?)).collect::<PyResult<Vec<_>>>()?;
        table.push(&values.iter().map(Secret::expose_secret).collect::<Vec<_>>()).or_raise(py)?;
    }
    wait(py, move || table.save_into(&*tokens, &options))?.or_raise(py).map(report)
}

fn options(skip_bad_rows: bool, overwrite: bool) -> ImportOptions {
    ImportOptions::new()
        .bad_rows(if skip_bad_rows { BadRows::Skip } else { BadRows::Refuse })
        .stored_tokens(if overwrite { StoredTokens::Overwrite } else { StoredTokens::Keep })
}

fn report(report: tokenkeep::import::ImportReport) -> ImportReport {
    let skipped = report.skipped.iter().map(|row| SkippedRow { line: row.line, why: row.to_string() });
    ImportReport {
        skipped: skipped.collect(),
        added: imported(report.added),
        overwritten: imported(report.overwritten),
        kept: imported(report.kept),
    }
}
