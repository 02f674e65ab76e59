//! A recovery key as an unlock method: a person keeps it on paper.

use std::{fmt, str::FromStr, sync::Arc};

use data_encoding::{Encoding, Specification};
use ring::digest::{SHA256, digest};
use zeroize::Zeroizing;

use crate::{
    error::{Error, RecoveryKeyTypo, Result},
    secret::{Key, Secret, leaving_no_trace},
};

/// Crockford's base 32: no I, L, O and U.
const SYMBOLS: &str = "0123456789ABCDEFGHJKMNPQRSTVWXYZ";
/// The first group, but for the version that ends it.
const START: &str = "TKR";
const VERSION: char = '1';
const CHECKSUM: &[u8; 26] = b"tokenkeep v1 recovery key\0";
const CHECKSUM_LEN: usize = 3;
/// Eight symbols for five bytes, without a remainder.
const BYTES_LEN: usize = Key::LEN + CHECKSUM_LEN;
const SYMBOLS_LEN: usize = BYTES_LEN / 5 * 8;
const GROUP_LEN: usize = 4;
/// The first group, and a hyphen before each of the others.
const TEXT_LEN: usize = GROUP_LEN + SYMBOLS_LEN / GROUP_LEN * (GROUP_LEN + 1);

/// Of what was typed: as many characters as there should be, each of at most four bytes.
const TYPED_LEN: usize = (GROUP_LEN + SYMBOLS_LEN) * 4;

/// 256 random bits as an [unlock method](crate::Unlock), in a form to be kept on paper: for the day when the passphrase
/// is forgotten or the keychain is gone, or for an unattended service. It needs no key derivation, because it cannot be
/// guessed.
///
/// The application shows it to a person once, when it is made: 15 groups of four letters and digits. The first group is
/// always `TKR1`, and the last five or so symbols are a checksum.
///
/// ```text
/// TKR1-7B2E-N0KD-…
/// ```
///
/// Reading what a person types is forgiving: upper and lower case, spaces, line ends, hyphens and dashes do not matter,
/// `O` is read as `0`, `I` and `L` as `1`. A typing error is reported before anything is tried with the key
/// ([`Error::MistypedRecoveryKey`]). One typing error in 16 million goes unnoticed, and is then a wrong key
/// ([`Error::WrongRecoveryKey`]).
///
/// The key is as secret as a token: it is wiped from memory when its last clone is dropped, its `Debug` hides it, and
/// [`expose_secret`](Self::expose_secret) is the only way to read it. Cloning it copies no secret.
///
/// ```
/// use tokenkeep::{KdfParams, Keystore, Passphrase, RecoveryKey, Unlock};
///
/// # let directory = tempfile::tempdir()?;
/// # let path = directory.path().join("tokens.keep");
/// # let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
/// let store = Keystore::create(&path, &unlock)?;
/// let key = RecoveryKey::generate()?;
/// let on_paper = key.expose_secret().to_owned(); // the application shows it, and the person keeps it
/// store.add_slot(&Unlock::from(key).label("paper"))?;
///
/// // Years later:
/// let typed: RecoveryKey = on_paper.to_lowercase().replace('-', " ").parse()?;
/// Keystore::open(&path, &typed.into())?;
/// # Ok::<(), Box<dyn std::error::Error>>(())
/// ```
#[derive(Clone)]
pub struct RecoveryKey(Arc<Inner>);

struct Inner {
    key: Key,
    text: Secret,
}

impl RecoveryKey {
    /// A new key, from the operating system's generator.
    ///
    /// # Errors
    ///
    /// [`Random`](Error::Random).
    pub fn generate() -> Result<Self> {
        Self::new(Key::random()?)
    }

    /// The key of those bytes.
    #[cfg(any(test, feature = "__fuzzing"))]
    pub(crate) fn of_bytes(bytes: &[u8; Key::LEN]) -> Result<Self> {
        let mut key = Key::zeroed();
        key.bytes_mut().copy_from_slice(bytes);
        Self::new(key)
    }

    fn new(key: Key) -> Result<Self> {
        // Held by `values_that_are_built_changed_and_compared_leave_nothing`: `Box` instead of `Zeroizing`.
        let mut bytes = Zeroizing::new([0; BYTES_LEN]);
        let (start, rest) = bytes.split_at_mut(Key::LEN);
        start.copy_from_slice(key.bytes());
        rest.copy_from_slice(&checksum(&key));
        // Held by `values_that_are_built_changed_and_compared_leave_nothing`: `Box` instead of `Zeroizing`.
        let mut symbols = Zeroizing::new([0; SYMBOLS_LEN]);
        encoding()?.encode_mut(&*bytes, &mut *symbols);

        let mut text = String::with_capacity(TEXT_LEN);
        text.push_str(START);
        text.push(VERSION);
        for group in symbols.chunks(GROUP_LEN) {
            text.push('-');
            text.extend(group.iter().copied().map(char::from));
        }
        Ok(Self(Arc::new(Inner { key, text: Secret::from(text) })))
    }

    /// The key as a person keeps it. A copy of it is not wiped.
    #[must_use]
    pub fn expose_secret(&self) -> &str {
        self.0.text.expose_secret()
    }

    /// The key that it gives for any slot.
    pub(super) fn slot_key(&self) -> Key {
        self.0.key.clone()
    }
}

/// From text as a person has typed it, which is the caller's to wipe. Fails with [`Error::MistypedRecoveryKey`].
impl FromStr for RecoveryKey {
    type Err = Error;

    fn from_str(typed: &str) -> Result<Self> {
        let typed = || typed.chars().filter(|symbol| !is_separator(*symbol));
        let (found, expected) = (typed().count(), GROUP_LEN + SYMBOLS_LEN);
        // Held by `wrong_secrets_leave_nothing`: `Box` instead of `Zeroizing`.
        // What was typed is never moved as it grows.
        // Held by `wrong_secrets_leave_nothing`: `Zeroizing::new(String::new())`.
        let mut symbols = Zeroizing::new(String::with_capacity(TYPED_LEN));
        symbols.extend(typed().take(expected));
        symbols.make_ascii_uppercase();
        let rest = symbols.strip_prefix(START).ok_or(mistyped(RecoveryKeyTypo::Start))?;
        let rest = rest.strip_prefix([VERSION, 'I', 'L']).ok_or(mistyped(RecoveryKeyTypo::Version))?;
        // Held by `each_typing_error_is_reported`.
        if found != expected {
            return Err(mistyped(RecoveryKeyTypo::Length { found, expected }));
        }
        if let Some(place) = rest.chars().position(|symbol| !symbol.is_ascii_alphanumeric() || symbol == 'U') {
            // Counted from 1, and the first group is not in the rest.
            return Err(mistyped(RecoveryKeyTypo::Character { group: (place / GROUP_LEN).saturating_add(2) }));
        }

        // Held by `values_that_are_built_changed_and_compared_leave_nothing`: `Box` instead of `Zeroizing`.
        let mut decoded = Zeroizing::new([0; BYTES_LEN]);
        encoding()?.decode_mut(rest.as_bytes(), &mut *decoded).map_err(|_| undecodable())?;
        let mut key = Key::zeroed();
        let (start, rest) = decoded.split_at(Key::LEN);
        key.bytes_mut().copy_from_slice(start);
        // Held by `one_wrong_symbol_and_two_exchanged_are_noticed`.
        if checksum(&key) != rest {
            return Err(mistyped(RecoveryKeyTypo::Checksum));
        }
        Self::new(key)
    }
}

impl fmt::Debug for RecoveryKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("RecoveryKey(***)")
    }
}

/// What people and programs put between groups and around them. A closed list, as in `docs/format.md`: the tables of
/// Unicode change with its version, and a key must not.
fn is_separator(symbol: char) -> bool {
    let is_white_space = matches!(
        symbol,
        '\u{9}'..='\u{D}' | ' ' | '\u{85}' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{2028}' | '\u{2029}'
            | '\u{202F}' | '\u{205F}' | '\u{3000}'
    );
    let is_dash = matches!(
        symbol,
        '-' | '\u{AD}' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' | '\u{FF0D}'
    );
    let has_no_width = matches!(
        symbol,
        '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}'
    );
    let is_mark = matches!(symbol, '\u{B7}' | '\u{2018}'..='\u{201F}' | '\u{2022}');
    is_white_space || is_dash || has_no_width || is_mark
}

fn checksum(key: &Key) -> [u8; CHECKSUM_LEN] {
    // Held by `values_that_are_built_changed_and_compared_leave_nothing`: `Box` instead of `Zeroizing`.
    let mut labelled = Zeroizing::new([0; CHECKSUM.len() + Key::LEN]);
    let (label, rest) = labelled.split_at_mut(CHECKSUM.len());
    label.copy_from_slice(CHECKSUM);
    rest.copy_from_slice(key.bytes());
    let mut checksum = [0; CHECKSUM_LEN];
    // Held by `core_file_of_a_closed_store_has_no_secrets`: `digest(&SHA256, &*labelled)`.
    let hash = leaving_no_trace(|| digest(&SHA256, &*labelled));
    for (byte, hashed) in checksum.iter_mut().zip(hash.as_ref()) {
        *byte = *hashed;
    }
    checksum
}

fn encoding() -> Result<Encoding> {
    let mut specification = Specification::new();
    specification.symbols.push_str(SYMBOLS);
    specification.translate.from.push_str("OIL");
    specification.translate.to.push_str("011");
    specification.encoding().map_err(|_| undecodable())
}

fn undecodable() -> Error {
    Error::internal("base 32 refuses a recovery key")
}

fn mistyped(why: RecoveryKeyTypo) -> Error {
    Error::MistypedRecoveryKey { why }
}

#[cfg(test)]
mod tests;
