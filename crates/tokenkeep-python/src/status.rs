//! What a store reports of itself.

use std::time::SystemTime;

use pyo3::prelude::*;
use tokenkeep::SlotKind;

use crate::unlock::KdfParams;

/// A key slot, without its secret.
#[pyclass(frozen, eq, get_all, module = "tokenkeep")]
#[derive(Clone, PartialEq)]
pub(crate) struct KeySlot {
    /// 32 hexadecimal digits.
    id: String,
    /// "passphrase", "keychain", "recovery_key" or "external".
    kind: &'static str,
    label: String,
    created_at: SystemTime,
    /// The cost of a passphrase.
    kdf: Option<KdfParams>,
    /// The name of an external key's provider.
    provider: Option<String>,
    /// Whether it is a passphrase that costs less to guess than the default.
    needs_upgrade: bool,
}

impl From<tokenkeep::KeySlot> for KeySlot {
    fn from(slot: tokenkeep::KeySlot) -> Self {
        let (kind, kdf) = match slot.kind {
            SlotKind::Passphrase(kdf) => ("passphrase", Some(KdfParams(kdf))),
            SlotKind::Keychain => ("keychain", None),
            SlotKind::RecoveryKey => ("recovery_key", None),
            _ => ("external", None),
        };
        let needs_upgrade = slot.needs_upgrade();
        let tokenkeep::KeySlot { id, label, created_at, provider, .. } = slot;
        Self { id: id.to_string(), kind, label, created_at, kdf, provider, needs_upgrade }
    }
}

#[pymethods]
impl KeySlot {
    fn __repr__(&self) -> String {
        format!("KeySlot(id={:?}, kind={:?}, label={:?})", self.id, self.kind, self.label)
    }
}

/// The saves that were appended to a file since it was replaced.
#[pyclass(frozen, eq, get_all, module = "tokenkeep")]
#[derive(Clone, PartialEq)]
pub(crate) struct JournalStatus {
    records: u32,
    /// In bytes.
    len: u64,
    /// Whether a save follows that was not finished. It is ignored, and the next save replaces the file.
    is_torn: bool,
}

impl From<tokenkeep::JournalStatus> for JournalStatus {
    fn from(status: tokenkeep::JournalStatus) -> Self {
        let tokenkeep::JournalStatus { records, len, is_torn, .. } = status;
        Self { records, len, is_torn }
    }
}

#[pymethods]
impl JournalStatus {
    fn __repr__(&self) -> String {
        let Self { records, len, is_torn } = self;
        format!("JournalStatus(records={records}, len={len}, is_torn={})", if *is_torn { "True" } else { "False" })
    }
}

/// The state of a store. str() is fit for a support page.
#[pyclass(frozen, get_all, module = "tokenkeep")]
pub(crate) struct Status {
    path: String,
    format_version: u16,
    generation: u64,
    tokens: usize,
    opened_by: Option<KeySlot>,
    file_len: u64,
    journal: JournalStatus,
    /// How many bytes the file has on the disk beyond its end.
    reserved: u64,
    mode: Option<u32>,
    /// What the file system does not offer to make a change durable.
    not_offered: Vec<String>,
    /// Why a save would fail now.
    not_writable: Option<String>,
    text: String,
}

impl From<tokenkeep::Status> for Status {
    fn from(status: tokenkeep::Status) -> Self {
        let text = status.to_string();
        let tokenkeep::Status {
            path,
            format_version,
            generation,
            tokens,
            opened_by,
            file_len,
            journal,
            reserved,
            mode,
            not_offered,
            not_writable,
            ..
        } = status;
        Self {
            path: path.display().to_string(),
            format_version,
            generation,
            tokens,
            opened_by: opened_by.map(Into::into),
            file_len,
            journal: journal.into(),
            reserved,
            mode,
            not_offered: not_offered.iter().map(ToString::to_string).collect(),
            not_writable: not_writable.map(|why| why.message),
            text,
        }
    }
}

#[pymethods]
impl Status {
    fn __str__(&self) -> &str {
        &self.text
    }

    fn __repr__(&self) -> String {
        let Self { path, generation, tokens, .. } = self;
        format!("Status(path={path:?}, generation={generation}, tokens={tokens})")
    }
}

/// What can be read from a file without a key. None of it is authenticated.
#[pyclass(frozen, get_all, module = "tokenkeep")]
pub(crate) struct FileStatus {
    format_version: u16,
    generation: u64,
    file_len: u64,
    journal: JournalStatus,
}

impl From<tokenkeep::FileStatus> for FileStatus {
    fn from(status: tokenkeep::FileStatus) -> Self {
        let tokenkeep::FileStatus { format_version, generation, file_len, journal, .. } = status;
        Self { format_version, generation, file_len, journal: journal.into() }
    }
}

#[pymethods]
impl FileStatus {
    fn __repr__(&self) -> String {
        let Self { format_version, generation, file_len, .. } = self;
        format!("FileStatus(format_version={format_version}, generation={generation}, file_len={file_len})")
    }
}

/// A state of a store. Two are equal if nothing was committed between them.
#[pyclass(frozen, eq, hash, module = "tokenkeep", from_py_object)]
#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) struct Version(pub(crate) AnyVersion);

#[derive(Clone, PartialEq, Eq, Hash)]
pub(crate) enum AnyVersion {
    File(tokenkeep::Version),
    Sql(tokenkeep_sql::Version),
}

impl From<tokenkeep::Version> for AnyVersion {
    fn from(version: tokenkeep::Version) -> Self {
        Self::File(version)
    }
}

impl From<tokenkeep_sql::Version> for AnyVersion {
    fn from(version: tokenkeep_sql::Version) -> Self {
        Self::Sql(version)
    }
}

#[pymethods]
impl Version {
    fn __repr__(&self) -> String {
        match &self.0 {
            AnyVersion::File(version) => format!("{version:?}"),
            AnyVersion::Sql(version) => format!("{version:?}"),
        }
    }
}
