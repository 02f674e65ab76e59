//! In place of a keychain, where the library is built without the feature.

use super::{Deadline, Entries};
use crate::{
    error::{KeychainFailure, Result},
    secret::SecretBytes,
};

#[derive(Clone, Default)]
pub(in crate::unlock) struct System(());

impl System {
    pub(super) fn is_same(&self, _: &Self) -> bool {
        true
    }

    pub(super) fn write(&self, _: &str, _: &str, _: SecretBytes, _: Deadline) -> Result<()> {
        Err(KeychainFailure::NotCompiledIn.error())
    }

    pub(super) fn read(&self, _: &str, _: &str, _: Entries, _: Deadline) -> Result<Vec<SecretBytes>> {
        Err(KeychainFailure::NotCompiledIn.error())
    }

    pub(super) fn delete(&self, _: &str, _: &str, _: Deadline) -> Result<()> {
        Err(KeychainFailure::NotCompiledIn.error())
    }

    pub(super) fn users(&self, _: &str, _: Deadline) -> Result<Vec<String>> {
        Err(KeychainFailure::NotCompiledIn.error())
    }
}
