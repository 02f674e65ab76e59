//! The names of stored tokens and of key slots.

use std::fmt;

use data_encoding::HEXLOWER;

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

    /// The number for which the store would choose this id.
    pub(crate) fn number(&self) -> Option<u64> {
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

/// The id of a key slot, one of the ways to unlock a store: random, never used again, and no secret. A slot whose secret or
/// cost is changed becomes another slot. [`Keystore::slots`](crate::Keystore::slots) tells what there are.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SlotId(pub(crate) [u8; 16]);

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
}
