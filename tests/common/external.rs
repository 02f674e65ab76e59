//! A provider of keys for external slots.

use std::time::Duration;

use tokenkeep::{External, ExternalError, ExternalKey, ExternalSlot, Unlock};

/// Has one key for every slot, and ignores its public data.
pub struct Holder {
    pub provider: String,
    pub key: [u8; 32],
}

impl ExternalKey for Holder {
    fn provider(&self) -> &str {
        &self.provider
    }

    fn create(&self, _: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
        *key = self.key;
        Ok(b"public data".to_vec())
    }

    fn open(&self, _: &ExternalSlot, _: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
        *key = self.key;
        Ok(())
    }

    fn forget(&self, _: &ExternalSlot, _: &[u8]) -> Result<(), ExternalError> {
        Ok(())
    }
}

pub fn unlock_with_key(provider: &str, key: [u8; 32]) -> Unlock {
    External::new(Holder { provider: provider.to_owned(), key }).deadline(Duration::from_secs(10)).into()
}
