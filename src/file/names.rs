//! The names of lock files and temporary files beside a store, which no store may have.

use std::{
    ffi::OsStr,
    path::{Path, PathBuf},
};

use crate::{error::Result, secret::random};

/// The lock of the store: one writer at a time.
pub(super) const LOCK: &str = ".lock";
/// The queue of the processes that wait for the lock.
pub(super) const QUEUE: &str = ".queue";
/// The directory of the locks on single tokens.
pub(super) const CLAIMS: &str = ".claims";

/// The path of a file beside the store.
pub(super) fn sibling(store: &Path, suffix: &str) -> PathBuf {
    let mut path = store.to_owned().into_os_string();
    path.push(suffix);
    path.into()
}

/// What the name of a temporary file adds to the name of its store.
pub(super) fn temporary_suffix() -> Result<String> {
    Ok(format!(".{:016x}.tmp", u64::from_le_bytes(random()?)))
}

/// Whether this is the name of a temporary file of the store with that name.
pub(super) fn is_temporary_of(store: &OsStr, name: &OsStr) -> bool {
    let suffix = name.as_encoded_bytes().strip_prefix(store.as_encoded_bytes());
    suffix.is_some_and(is_temporary_suffix)
}

/// Whether a store of this name could be taken for a file beside another store. A store `a.lock` is the lock of a store
/// `a`, and a store that is named like a temporary file would be removed by its neighbour.
pub(super) fn is_reserved(name: &OsStr) -> bool {
    // Some file systems ignore case, and Windows ignores dots and spaces at the end.
    let mut name = name.as_encoded_bytes().to_ascii_lowercase();
    while cfg!(windows) && name.pop_if(|last| matches!(last, b'.' | b' ')).is_some() {}
    let suffix = name.len().checked_sub(TEMPORARY_LEN).and_then(|start| name.get(start..));
    // Held by `names_of_files_beside_a_store_are_reserved`, `names_of_files_beside_a_store_are_refused`: without
    // `, QUEUE, CLAIMS`.
    [LOCK, QUEUE, CLAIMS].iter().any(|suffix| name.ends_with(suffix.as_bytes()))
        || suffix.is_some_and(is_temporary_suffix)
}

/// The length of `.0123456789abcdef.tmp`.
const TEMPORARY_LEN: usize = 21;

fn is_temporary_suffix(suffix: &[u8]) -> bool {
    let digits = suffix.strip_prefix(b".").and_then(|suffix| suffix.strip_suffix(b".tmp"));
    digits.is_some_and(|digits| {
        digits.len() == 16 && digits.iter().all(|digit| matches!(digit, b'0'..=b'9' | b'a'..=b'f'))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn temporary_suffix_is_that_of_a_temporary_file() {
        let suffix = temporary_suffix().unwrap();
        assert_eq!(suffix.len(), TEMPORARY_LEN);
        assert!(is_temporary_of(OsStr::new("a"), OsStr::new(&format!("a{suffix}"))));
        assert!(!is_temporary_of(OsStr::new("b"), OsStr::new(&format!("a{suffix}"))));
        assert!(is_reserved(OsStr::new(&format!("a{suffix}"))));
    }

    #[test]
    fn names_of_files_beside_a_store_are_reserved() {
        let reserved = [
            "a.lock",
            "a.LOCK",
            ".lock",
            "a.queue",
            "a.claims",
            "a.keep.0123456789abcdef.tmp",
            "A.0123456789ABCDEF.TMP",
        ];
        for name in reserved {
            assert!(is_reserved(OsStr::new(name)), "{name}");
        }
        for name in ["a", "lock", "a.lock.keep", "a.tmp", "a.0123456789abcde.tmp", "a.0123456789abcdeg.tmp", "a.keep"] {
            assert!(!is_reserved(OsStr::new(name)), "{name}");
        }
    }
}
