//! The ids of tokens and key slots, and the store that a token was read from.

use std::{
    fmt,
    hash::{DefaultHasher, Hash, Hasher},
    str::FromStr,
};

use data_encoding::{HEXLOWER, HEXLOWER_PERMISSIVE};

/// The id of a stored token. One that the store chooses is a decimal number that was never in the store before;
/// one that the application supplies is kept as it is.
///
/// ```
/// use tokenkeep::TokenId;
///
/// let id = TokenId::from("42");
/// assert_eq!(id.as_str(), "42");
/// assert_eq!(id.to_string(), "42");
/// ```
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TokenId(Box<str>);

impl TokenId {
    /// The id as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

/// The numbers that the store chooses ids from. The upper half is left to applications, so that no id of theirs takes
/// the store's last number but that number itself.
impl TokenId {
    pub(crate) const FIRST: u64 = 1;
    pub(crate) const LAST: u64 = u64::MAX >> 1;

    /// The id that the store chooses for a number.
    pub(crate) fn chosen(number: u64) -> Self {
        Self(number.to_string().into())
    }

    /// The number that this id is, if a store could have chosen it: from 1 to 2^63 − 1, in decimal digits without a
    /// sign or a leading zero. An application's own [`TokenStore`](crate::TokenStore) chooses a number above all of
    /// them.
    ///
    /// ```
    /// use tokenkeep::TokenId;
    ///
    /// assert_eq!(TokenId::from("42").number(), Some(42));
    /// assert_eq!(TokenId::from("042").number(), None);
    /// ```
    #[must_use]
    pub fn number(&self) -> Option<u64> {
        let number = self.0.parse().ok()?;
        ((Self::FIRST..=Self::LAST).contains(&number) && Self::chosen(number) == *self).then_some(number)
    }
}

impl From<&str> for TokenId {
    fn from(id: &str) -> Self {
        Self(id.into())
    }
}

impl From<String> for TokenId {
    fn from(id: String) -> Self {
        Self(id.into())
    }
}

impl fmt::Display for TokenId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The id of a key slot: random, never used again, and not secret. A slot whose secret or cost is changed becomes
/// another slot. [`Keystore::slots`](crate::Keystore::slots) lists the ids.
///
/// Its text form is 32 hexadecimal digits.
///
/// ```
/// use tokenkeep::SlotId;
///
/// let id: SlotId = "ab000000000000000000000000000001".parse()?;
/// assert_eq!(id.to_string(), "ab000000000000000000000000000001");
/// assert!("ab".parse::<SlotId>().is_err());
/// # Ok::<(), tokenkeep::ParseSlotIdError>(())
/// ```
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub(crate) [u8; 16]);

/// The error for a text that is not the id of a key slot.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ParseSlotIdError(());

impl fmt::Display for ParseSlotIdError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the id of a key slot has 32 hexadecimal digits")
    }
}

impl std::error::Error for ParseSlotIdError {}

/// From 32 hexadecimal digits, in upper or lower case.
impl FromStr for SlotId {
    type Err = ParseSlotIdError;

    fn from_str(text: &str) -> Result<Self, ParseSlotIdError> {
        let bytes = HEXLOWER_PERMISSIVE.decode(text.as_bytes()).map_err(|_| ParseSlotIdError(()))?;
        bytes.try_into().map(Self).map_err(|_| ParseSlotIdError(()))
    }
}

/// In hexadecimal.
impl fmt::Display for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for SlotId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SlotId({self})")
    }
}

/// The store that a [revision](crate::Token::revision) was read from: a revision counts in no other store.
///
/// It is meant for an application's own [`TokenStore`](crate::TokenStore), which makes it from what identifies the
/// store. It tells stores apart within one process, and is never stored.
///
/// ```
/// use tokenkeep::Origin;
///
/// assert_eq!(Origin::of("vault://team-a"), Origin::of("vault://team-a"));
/// assert_ne!(Origin::of("vault://team-a"), Origin::of("vault://team-b"));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Origin(u64);

impl Origin {
    /// The origin of the tokens of the store that the value identifies: its path, its URL, its own id.
    #[must_use]
    pub fn of(store: impl Hash) -> Self {
        let mut hasher = DefaultHasher::new();
        store.hash(&mut hasher);
        Self(hasher.finish())
    }

    /// The origin of the tokens of one namespace of this store.
    pub(crate) fn within(self, namespace: &str) -> Self {
        Self::of((self, namespace))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_store_would_choose_is_a_number() {
        for number in [1, 42, TokenId::LAST] {
            assert_eq!(TokenId::chosen(number).number(), Some(number));
        }
        for other in ["", "0", "01", "+1", "-1", " 1", "1.0", "x", "9223372036854775808", "99999999999999999999"] {
            assert_eq!(TokenId::from(other).number(), None, "{other:?}");
        }
    }

    #[test]
    fn a_slot_id_is_shown_in_hexadecimal() {
        let mut id = SlotId([0; 16]);
        (id.0[0], id.0[15]) = (0xAB, 1);
        assert_eq!(id.to_string(), "ab000000000000000000000000000001");
        assert_eq!(format!("{id:?}"), format!("SlotId({id})"));
    }

    #[test]
    fn slot_id_parses_from_its_own_text_only() {
        let id = SlotId([0xAB; 16]);
        assert_eq!(id.to_string().parse(), Ok(id));
        assert_eq!(id.to_string().to_uppercase().parse(), Ok(id));
        for text in ["", "ab", &"a".repeat(31), &"a".repeat(33), &"g".repeat(32), &format!(" {}", "a".repeat(31))] {
            assert_eq!(text.parse::<SlotId>(), Err(ParseSlotIdError(())), "{text:?}");
        }
    }
}
