//! Encodes, hashes and seals a payload in one buffer.

use std::{sync::mpsc, thread};

use crate::{
    codec::Encoding,
    error::Result,
    seal::{self, PlaintextHash, Sealed},
    secret::SecretBytes,
    vault::Vault,
};

/// So much work is worth the start of a thread, in bytes that are hashed or freed.
pub(crate) const THREAD_THRESHOLD: usize = 256 * 1024;

pub(crate) fn sealed(vault: &Vault, generation: u64, encoding: &Encoding<'_>) -> Result<Sealed> {
    let mut plaintext = SecretBytes::new(vec![0; encoding.len()]);
    let hash = write_and_hash(encoding, &mut plaintext)?;
    seal::seal(vault.store_key(), generation, vault.bytes(), plaintext, &hash)
}

/// Writes the plaintext over as many zeros. If it is much, another thread hashes what is finished in the meantime.
pub(super) fn write_and_hash(encoding: &Encoding<'_>, plaintext: &mut [u8]) -> Result<PlaintextHash> {
    if plaintext.len() < THREAD_THRESHOLD {
        encoding.write(plaintext, None)?;
        return Ok(PlaintextHash::of([&*plaintext]));
    }
    let hash = thread::scope(|scope| {
        let (finished, parts) = mpsc::channel::<&[u8]>();
        // Held by `hash_is_that_of_the_whole_plaintext`: `parts.iter().skip(1)` instead of `parts`.
        let hashing = thread::Builder::new().spawn_scoped(scope, || PlaintextHash::of(parts));
        encoding.write(&mut *plaintext, Some(finished))?;
        Ok(hashing.ok().and_then(|hashing| hashing.join().ok()))
    })?;
    // If the system had no thread for it.
    // Held by `where_the_system_has_no_thread_much_is_saved_without`:
    // `hash.ok_or(crate::error::Error::internal("no thread"))`.
    Ok(hash.unwrap_or_else(|| PlaintextHash::of([&*plaintext])))
}
