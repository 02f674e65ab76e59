//! The names of a store's two tables.

use tokenkeep::Result;

use crate::error::{DatabaseError, Problem};

/// The names of the tables. They are a part of statements, so only names that need no quotes are taken.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tables {
    pub(crate) store: String,
    pub(crate) tokens: String,
}

/// PostgreSQL cuts names after 63 bytes, and an index has a longer name than its table.
const MAX_LEN: usize = 40;

impl Tables {
    /// The tables `PREFIX_store` and `PREFIX_tokens`.
    pub(crate) fn with_prefix(database: &str, prefix: &str) -> Result<Self> {
        if !is_name(prefix) {
            return Err(DatabaseError::new(database, Problem::BadTableName).into());
        }
        Ok(Self { store: format!("{prefix}_store"), tokens: format!("{prefix}_tokens") })
    }
}

/// Whether it is a name that every database takes without quotes, and none changes.
pub(crate) fn is_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    (1..=MAX_LEN).contains(&name.len())
        && bytes.next().is_some_and(|first| first.is_ascii_lowercase())
        && bytes.all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_plain_names_become_a_part_of_statements() {
        for name in ["tokenkeep", "a", "a_1", &"a".repeat(40)] {
            assert!(is_name(name), "{name}");
        }
        for name in ["", "1a", "_a", "A", "a b", "a;", "a\"", "a'", "a-b", "a.b", "\u{E4}", &"a".repeat(41)] {
            assert!(!is_name(name), "{name}");
        }
    }
}
