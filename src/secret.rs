//! Text and keys that are wiped when dropped and never printed.
//!
//! # When a secret is wiped
//!
//! When the value that owns it is dropped. The owners are [`Secret`] for tokens, client secrets and passphrases,
//! [`Key`] for a key, [`SecretBytes`] for plaintext and for buffers that are decrypted in place, and `Zeroizing` arrays
//! for what a computation needs for a moment. They are allocated at full length: a buffer that grew would leave its old
//! bytes in freed memory. [`leaving_no_trace`] overwrites what ring and argon2 leave on the stack and in the registers
//! of the processor; `kdf.rs` wipes the memory of argon2. The store key goes with the last handle of its store. User
//! names, ids and URLs are no secrets here, and are not wiped. `tests/memory/` looks for what is left.

use std::{cell::Cell, fmt};

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    rand::{SecureRandom, SystemRandom},
};
use subtle::ConstantTimeEq;
use zeroize::{Zeroize, Zeroizing};

use crate::error::{Error, Result};

/// Text that must not be seen: a token, a client secret, a passphrase.
///
/// It is wiped from memory when dropped (best effort: what the processor or the operating system copied
/// elsewhere is out of reach, see `SECURITY.md`), its `Debug` shows nothing of it, and it compares in constant
/// time for texts of one length. [`expose_secret`](Secret::expose_secret) is the only way to read it.
///
/// ```
/// use tokenkeep::Secret;
///
/// let secret = Secret::from(String::from("1000.8cb9…")); // takes the String over, without a copy
/// assert_eq!(secret.expose_secret(), "1000.8cb9…");
/// assert_eq!(format!("{secret:?}"), "Secret(***)");
/// ```
// Held by `values_that_are_built_changed_and_compared_leave_nothing`, `the_operations_leave_nothing`,
// `a_body_that_is_refused_leaves_nothing`: `Box` instead of `Zeroizing`.
#[derive(Clone)]
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The text itself. A copy of it is not wiped.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        &self.0
    }

    /// Whether there is no text at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl From<String> for Secret {
    fn from(text: String) -> Self {
        // Together with `values_that_are_built_changed_and_compared_leave_nothing`: `Box` instead of `Zeroizing`.
        Self(Zeroizing::new(text))
    }
}

impl From<&str> for Secret {
    fn from(text: &str) -> Self {
        Self::from(text.to_owned())
    }
}

impl PartialEq for Secret {
    fn eq(&self, other: &Self) -> bool {
        let (one, other) = (self.0.as_bytes(), other.0.as_bytes());
        // Held by `secrets_are_equal_when_their_texts_are`.
        if one.len() != other.len() {
            return false;
        }
        // Word by word: what keeps the compiler from stopping at a difference takes its time for each step.
        let ((words, rest), (other_words, other_rest)) = (one.as_chunks(), other.as_chunks());
        let word = |bytes: &[u8; 8]| u64::from_ne_bytes(*bytes);
        let pairs = words.iter().zip(other_words);
        pairs.fold(rest.ct_eq(other_rest), |equal, (one, other)| equal & word(one).ct_eq(&word(other))).into()
    }
}

impl Eq for Secret {}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(***)")
    }
}

/// Bytes that are wiped when dropped: plaintext, and what becomes plaintext where it is. As long from the start as it
/// gets, for one that grows leaves copies behind.
// Held by `creating_and_opening_leave_nothing`, `a_reload_leaves_nothing`, `a_keychain_leaves_nothing`: `Box` instead
// of `Zeroizing`.
pub(crate) type SecretBytes = Zeroizing<Vec<u8>>;

/// 32 bytes of key. They live on the heap, so that moving the key leaves no copy on the stack.
#[derive(Clone)]
pub(crate) struct Key(Box<[u8; Self::LEN]>);

impl Key {
    pub(crate) const LEN: usize = 32;

    /// A key of zeros, to be filled in place through [`bytes_mut`](Self::bytes_mut).
    pub(crate) fn zeroed() -> Self {
        Self(Box::new([0; Self::LEN]))
    }

    /// A new key from the operating system's generator.
    pub(crate) fn random() -> Result<Self> {
        let mut key = Self::zeroed();
        fill_random(key.bytes_mut())?;
        Ok(key)
    }

    pub(crate) fn bytes(&self) -> &[u8; Self::LEN] {
        &self.0
    }

    pub(crate) fn bytes_mut(&mut self) -> &mut [u8; Self::LEN] {
        &mut self.0
    }
}

impl PartialEq for Key {
    fn eq(&self, other: &Self) -> bool {
        self.0.ct_eq(&*other.0).into()
    }
}

impl Drop for Key {
    fn drop(&mut self) {
        // Held by `creating_and_opening_leave_nothing`, `a_keychain_leaves_nothing`.
        self.0.zeroize();
    }
}

impl fmt::Debug for Key {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Key(***)")
    }
}

/// Computes something, and overwrites what that left in registers and on the stack below: the crates that encrypt and
/// hash do not wipe the keys that they expand there, nor the blocks that they hash. Within another such call it only
/// computes: the outer one overwrites.
pub(crate) fn leaving_no_trace<R>(compute: impl FnOnce() -> R) -> R {
    /// Ends also by a panic.
    struct Outermost;
    impl Drop for Outermost {
        fn drop(&mut self) {
            WITHIN.set(false);
        }
    }
    thread_local! {
        static WITHIN: Cell<bool> = const { Cell::new(false) };
    }
    if WITHIN.replace(true) {
        return compute();
    }
    let _outermost = Outermost;
    // Not inlined, so that the one has its frames where the other has its own after it.
    #[inline(never)]
    fn below<R>(compute: impl FnOnce() -> R) -> R {
        compute()
    }
    #[inline(never)]
    fn overwrite() {
        // As a slice: an array is overwritten one number at a time.
        [0_u64; TRACE_LEN].as_mut_slice().zeroize();
    }
    let computed = below(compute);
    // Held by `core_file_of_a_closed_store_has_no_secrets`.
    overwrite_registers();
    // Held by `core_file_of_a_closed_store_has_no_secrets`.
    overwrite();
    computed
}

/// Encrypts zeros under a key of zeros, which overwrites the vector registers that AES-GCM uses. What is in a register
/// may get into memory at any time: the loader saves the registers when a function is called for the first time.
fn overwrite_registers() {
    let mut zeros = [0; 512];
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    let key = UnboundKey::new(&AES_256_GCM, &[0; 32]).map(LessSafeKey::new);
    let _ = key.map(|key| key.seal_in_place_separate_tag(nonce, Aad::empty(), &mut zeros));
}

/// 16 KiB: more than any of these computations takes.
const TRACE_LEN: usize = 2048;

/// Bytes from the operating system's generator, for what is no secret: salts, ids, names.
pub(crate) fn random<const N: usize>() -> Result<[u8; N]> {
    let mut bytes = [0; N];
    fill_random(&mut bytes)?;
    Ok(bytes)
}

fn fill_random(bytes: &mut [u8]) -> Result<()> {
    SystemRandom::new().fill(bytes).map_err(|_| Error::Random)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_secret_takes_a_string_over_without_reallocating_it() {
        let mut text = String::with_capacity(100);
        text.push_str("canary");
        let address = text.as_ptr();
        assert_eq!(Secret::from(text).expose_secret().as_ptr(), address);
    }

    #[test]
    fn secrets_are_equal_when_their_texts_are() {
        assert_eq!(Secret::from("one"), Secret::from("one"));
        assert_ne!(Secret::from("one"), Secret::from("two"));
        assert_ne!(Secret::from("one"), Secret::from("one more"));
        for len in [0, 1, 7, 8, 9, 16, 69] {
            let text = "a".repeat(len);
            let secret = Secret::from(text.as_str());
            assert_eq!(secret, Secret::from(text.as_str()));
            assert_ne!(secret, Secret::from(text.clone() + "a"));
            assert_ne!(secret, Secret::from(text.clone() + "aaaaaaaa"));
            for changed in 0..len {
                let mut other = text.clone();
                other.replace_range(changed..=changed, "b");
                assert_ne!(secret, Secret::from(other), "{changed} of {len}");
            }
        }
    }

    #[test]
    fn debug_shows_neither_text_nor_key() {
        assert_eq!(format!("{:?}", Secret::from("canary")), "Secret(***)");
        let mut key = Key::zeroed();
        key.bytes_mut().fill(7);
        assert_eq!(format!("{key:?}"), "Key(***)");
    }
}
