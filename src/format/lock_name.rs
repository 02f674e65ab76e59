//! The name of a token's lock file, as `docs/format.md` states it.

use data_encoding::HEXLOWER;
use ring::digest::{Context, SHA256};

use super::StoreId;

/// It shows neither namespace nor id, and fits each file system.
pub(crate) fn lock_name(store_id: &StoreId, namespace: &str, id: &str) -> String {
    let mut hash = Context::new(&SHA256);
    // No name of a namespace is longer than 256 bytes.
    let len = u32::try_from(namespace.len()).unwrap_or(u32::MAX);
    for part in [store_id.as_slice(), &len.to_le_bytes(), namespace.as_bytes(), id.as_bytes()] {
        hash.update(part);
    }
    HEXLOWER.encode(hash.finish().as_ref())
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed with another program: `printf … | sha256sum`.
    #[test]
    fn lock_name_is_the_documented_hash() {
        assert_eq!(
            lock_name(b"0123456789abcdef", "google", "42"),
            "669e4cbbcf61089eb0ed55ba15b7e64302d6b622ba0f448cb565a4e1616b7575"
        );
    }

    #[test]
    fn namespace_and_id_do_not_run_into_each_other() {
        let name = |namespace, id| lock_name(&[0; 16], namespace, id);
        assert_ne!(name("a", "b"), name("", "ab"));
        assert_ne!(name("a", "b"), name("ab", ""));
    }
}
