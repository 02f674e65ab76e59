//! What is wrong with a file that is to be imported.

use std::fmt;

use super::Unstorable;

/// A column of a token file: part of [`Error::Import`](super::Error::Import).
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportColumn {
    /// The id.
    #[error("id")]
    Id,
    /// The user name; `user_mail` in files of older SDKs.
    #[error("user_name")]
    UserName,
    /// The client id.
    #[error("client_id")]
    ClientId,
    /// The client secret.
    #[error("client_secret")]
    ClientSecret,
    /// The refresh token.
    #[error("refresh_token")]
    RefreshToken,
    /// The access token.
    #[error("access_token")]
    AccessToken,
    /// The grant token.
    #[error("grant_token")]
    GrantToken,
    /// When the access token expires.
    #[error("expiry_time")]
    ExpiryTime,
    /// The redirect URL; `redirect_uri` in files of some SDKs.
    #[error("redirect_url")]
    RedirectUrl,
    /// The API domain.
    #[error("api_domain")]
    ApiDomain,
}

/// Why a file, or a row of it, cannot be imported: the reason in [`Error::Import`](super::Error::Import). It never
/// holds a text of the file.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum ImportFlaw {
    /// Nothing is at the path.
    #[error("there is no such file: check the path")]
    NoFile,
    /// The file is not UTF-8.
    #[error("the byte at offset {offset} is not UTF-8: convert the file to UTF-8")]
    #[non_exhaustive]
    NotUtf8 {
        /// How many bytes of the file stand before the first byte that is not UTF-8.
        offset: u64,
    },
    /// The file has no header.
    #[error("it has no header line: check that it is the SDK's token file, and that it was not cut")]
    Empty,
    /// The header has a column that no SDK writes, or the file has no header.
    #[error("the header's column {number} is unknown: check that the first line has the SDK's column names")]
    #[non_exhaustive]
    UnknownColumn {
        /// Which column, counted from 1.
        number: usize,
    },
    /// The header has a column twice, perhaps by two names.
    #[error("the header has this column twice: remove one")]
    RepeatedColumn,
    /// A quoted field has no end, or text follows its closing quote. Nobody can tell where the next row starts.
    #[error("a quoted field is not closed, or text follows its closing quote: correct the quotes")]
    BrokenQuotes,
    /// The file has too many rows.
    #[error("it has more than {limit} rows: split it")]
    #[non_exhaustive]
    TooManyRows {
        /// The most rows that a file may have.
        limit: usize,
    },
    /// Too many earlier rows have the same value in this column.
    #[error("{limit} rows above have the same value here, the most that one file may have: split the file")]
    #[non_exhaustive]
    TooManyAlike {
        /// The most rows that may have one value.
        limit: usize,
    },
    /// The row is shorter than the header.
    #[error("the row has {found} fields, and the header has {expected}: see whether the file was cut")]
    #[non_exhaustive]
    TooFewFields {
        /// How many fields the row has.
        found: usize,
        /// How many columns the header has.
        expected: usize,
    },
    /// The row is longer than the header, and no commas of a redirect URL explain that.
    #[error("the row has {found} fields, and the header has {expected}: put each field with a comma into quotes")]
    #[non_exhaustive]
    TooManyFields {
        /// How many fields the row has; no more than 1,024 are counted.
        found: usize,
        /// How many columns the header has.
        expected: usize,
    },
    /// The expiry is neither unknown nor a time.
    #[error("it is not a number of milliseconds from 1970 up to the year 9999: correct it, or clear the field")]
    BadExpiry,
    /// Another row of the file has the same id.
    #[error("the row in line {line} has the same id: remove a row, or clear an id")]
    #[non_exhaustive]
    SameId {
        /// The line of the other row.
        line: u64,
    },
    /// Another row of the file means the same token by the rules of [`matching`](crate::matching).
    #[error("the row in line {line} means the same token: remove one of them")]
    #[non_exhaustive]
    SameToken {
        /// The line of the other row.
        line: u64,
    },
    /// The store has a token of another user or client under the row's id.
    #[error("the store has a token of another user or client under this id: clear the id, and the store chooses one")]
    IdTaken,
    /// Several tokens have the row's user name, and the row has no client id.
    #[error("{count} tokens have the row's user name: add the row's client id")]
    #[non_exhaustive]
    Ambiguous {
        /// How many tokens have the user name.
        count: usize,
    },
    /// The row cannot be stored as it is.
    #[error("the row cannot be stored: {0}")]
    Unstorable(Unstorable),
    /// A field, or the whole row, is longer than a store accepts.
    #[error("{size} bytes are too many: at most {limit} are allowed")]
    #[non_exhaustive]
    TooLarge {
        /// The length in bytes.
        size: u64,
        /// The limit in bytes.
        limit: u64,
    },
}

/// A flaw with the place that it is in.
pub(crate) fn located(line: Option<u64>, column: Option<ImportColumn>, why: &ImportFlaw) -> impl fmt::Display {
    let line = line.map(|line| format!("line {line}"));
    let column = column.map(|column| format!("column {column}"));
    let place = [line, column].into_iter().flatten().collect::<Vec<_>>().join(", ");
    if place.is_empty() { why.to_string() } else { format!("{place}: {why}") }
}

/// The lines that are left over, of which a long list is cut.
pub(super) fn lines(lines: &[u64]) -> impl fmt::Display {
    const SHOWN: usize = 10;
    let shown: Vec<_> = lines.iter().take(SHOWN).map(u64::to_string).collect();
    let rest = lines.len().saturating_sub(SHOWN);
    let rest = if rest > 0 { format!(" and {rest} more") } else { String::new() };
    format!("rows in lines {}{rest}", shown.join(", "))
}
