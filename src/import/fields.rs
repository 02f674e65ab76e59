//! What the fields of a row say.

use std::time::{Duration, SystemTime};

use crate::{
    batch::Refusal,
    error::{ImportColumn, ImportFlaw},
    token::Token,
};

/// The columns in the order of the file.
pub(super) struct Header(Vec<ImportColumn>);

impl Header {
    pub(super) fn parse(names: &[&str]) -> Result<Self, Refusal> {
        let mut columns = Vec::new();
        for (name, number) in names.iter().zip(1..) {
            // The name itself is not shown: in a file without a header it is a user name or a token.
            let unknown = Refusal { column: None, why: ImportFlaw::UnknownColumn { number } };
            let column = column(name).ok_or(unknown)?;
            // Held by `column_under_two_names_is_refused`.
            if columns.contains(&column) {
                return Err(Refusal { column: Some(column), why: ImportFlaw::RepeatedColumn });
            }
            columns.push(column);
        }
        Ok(Self(columns))
    }

    pub(super) fn len(&self) -> usize {
        self.0.len()
    }
}

fn column(name: &str) -> Option<ImportColumn> {
    Some(match name {
        "id" => ImportColumn::Id,
        "user_name" | "user_mail" => ImportColumn::UserName,
        "client_id" => ImportColumn::ClientId,
        "client_secret" => ImportColumn::ClientSecret,
        "refresh_token" => ImportColumn::RefreshToken,
        "access_token" => ImportColumn::AccessToken,
        "grant_token" => ImportColumn::GrantToken,
        "expiry_time" => ImportColumn::ExpiryTime,
        "redirect_url" | "redirect_uri" => ImportColumn::RedirectUrl,
        "api_domain" => ImportColumn::ApiDomain,
        _ => return None,
    })
}

/// The token of a row.
pub(super) fn token(Header(columns): &Header, values: &[&str]) -> Result<Token, Refusal> {
    let (found, expected) = (values.len(), columns.len());
    // Held by `short_row_is_refused`.
    if found < expected {
        return Err(Refusal { column: None, why: ImportFlaw::TooFewFields { found, expected } });
    }
    let surplus = found.saturating_sub(expected);
    let mut values = values.iter().copied();
    let mut token = Token::builder();
    let (mut expiry, mut has_access_token, mut has_url) = (None, false, false);
    for column in columns {
        let value = values.next().unwrap_or_default();
        token = match column {
            ImportColumn::Id => token.id(value),
            ImportColumn::UserName => token.user_name(value),
            ImportColumn::ClientId => token.client_id(value),
            ImportColumn::ClientSecret => token.client_secret(value),
            ImportColumn::RefreshToken => token.refresh_token(value),
            ImportColumn::AccessToken => {
                has_access_token = !value.is_empty();
                token.access_token(value)
            }
            ImportColumn::GrantToken => token.grant_token(value),
            ImportColumn::ExpiryTime => {
                let flaw = Refusal { column: Some(ImportColumn::ExpiryTime), why: ImportFlaw::BadExpiry };
                expiry = parse_expiry(value).ok_or(flaw)?;
                token
            }
            ImportColumn::RedirectUrl => {
                let mut url = value.to_owned();
                for piece in values.by_ref().take(surplus) {
                    url.push(',');
                    url.push_str(piece);
                }
                has_url = starts_as_url(&url);
                token.redirect_url(url)
            }
            ImportColumn::ApiDomain => token.api_domain(value),
        };
    }
    // A comma in another column moves all fields after it: a token would come to stand in a field that is not secret.
    // Held by `comma_in_another_column_is_refused`.
    if surplus > 0 && !has_url {
        return Err(Refusal { column: None, why: ImportFlaw::TooManyFields { found, expected } });
    }
    Ok(match expiry {
        Some(time) => token.expires_at(time),
        None if has_access_token => token.expiry_unknown(),
        None => token,
    }
    .build())
}

/// Whether the text starts with the scheme of a URL (RFC 3986, 3.1).
fn starts_as_url(text: &str) -> bool {
    text.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|first: char| first.is_ascii_alphabetic())
            && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-.".contains(&byte))
    })
}

/// The last millisecond of the year 9999, which is the last that a store keeps.
const MAX_MILLIS: u64 = 253_402_300_799_999;

/// When the access token expires; `Some(None)`: nobody knows. `None` if the text says neither.
fn parse_expiry(text: &str) -> Option<Option<SystemTime>> {
    if matches!(text, "" | "None" | "null") {
        return Some(None);
    }
    // What a float may be beyond a number, such as `inf`, starts with a letter or a sign.
    // Held by `other_expiries_are_refused`.
    if !text.starts_with(|first: char| first.is_ascii_digit()) {
        return None;
    }
    let millis = text.parse().ok().or_else(|| {
        let float: f64 = text.parse().ok().filter(|float: &f64| float.is_finite())?;
        format!("{:.0}", float.trunc()).parse().ok()
    })?;
    let time = SystemTime::UNIX_EPOCH.checked_add(Duration::from_millis(millis))?;
    (millis <= MAX_MILLIS).then_some(Some(time))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expiry_is_a_number_of_milliseconds() {
        let at = |millis| Some(Some(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)));
        for (text, millis) in [
            ("0", 0),
            ("1795000000000", 1_795_000_000_000),
            ("1795000000000.0", 1_795_000_000_000),
            ("1795000000000.9", 1_795_000_000_000),
            ("1.795e12", 1_795_000_000_000),
            ("1.795E+12", 1_795_000_000_000),
            ("1795e9", 1_795_000_000_000),
            ("253402300799999", MAX_MILLIS),
        ] {
            assert_eq!(parse_expiry(text), at(millis), "{text}");
        }
    }

    #[test]
    fn expiry_may_be_unknown() {
        for text in ["", "None", "null"] {
            assert_eq!(parse_expiry(text), Some(None), "{text}");
        }
    }

    #[test]
    fn other_expiries_are_refused() {
        for text in [
            "-1",
            "-0",
            "+1",
            "1,5",
            " 1",
            "1 ",
            "0x10",
            "inf",
            "NaN",
            "nan",
            "1e400",
            "253402300800000",
            "1e15",
            "tomorrow",
            "18446744073709551616",
            "NONE",
            "2026-11-18T11:06:40Z",
            "١",
            "1_000",
            "1.5.",
            "1e",
            "--1",
        ] {
            assert_eq!(parse_expiry(text), None, "{text}");
        }
        assert_eq!(parse_expiry(&"9".repeat(100_000)), None);
    }

    #[test]
    fn url_starts_with_its_scheme() {
        for url in ["https://app.example.com/cb?a=1,2", "com.example.app:/cb,1", "http://localhost,"] {
            assert!(starts_as_url(url), "{url}");
        }
        for text in ["", ",https://app", "1795000000000,https://app", "cb?a=1", "1000.a1,x:y", ":", "a b://c"] {
            assert!(!starts_as_url(text), "{text}");
        }
    }
}
