//! Which database a URL names.

use std::path::PathBuf;

use tokenkeep::Result;

use crate::{
    engine::Engine,
    error::{DatabaseError, Problem},
};

/// A database, by what its URL says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
}

impl Location {
    /// An error shows no URL that was not understood, because it may hold a password.
    pub(crate) fn parse(url: &str) -> Result<Self> {
        let (scheme, rest) = url.split_once(':').unwrap_or(("", url));
        match scheme {
            #[cfg(feature = "sqlite")]
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                // SQLite would make a database for each connection of these.
                if path.is_empty() || path == ":memory:" {
                    return Err(DatabaseError::new("sqlite:", Problem::BadUrl).into());
                }
                Ok(Self::Sqlite(PathBuf::from(path)))
            }
            _ => {
                let _ = rest;
                Err(DatabaseError::new("the text", Problem::BadUrl).into())
            }
        }
    }

    pub(crate) fn engine(&self) -> Box<dyn Engine> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => Box::new(crate::engine::sqlite::Sqlite::new(path)),
            #[cfg(not(feature = "sqlite"))]
            _ => unreachable!("this build has no database"),
        }
    }

    /// The URL, without a password.
    pub(crate) fn name(&self) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            #[cfg(not(feature = "sqlite"))]
            _ => String::new(),
        }
    }
}

#[cfg(all(test, feature = "sqlite"))]
mod tests {
    use super::*;

    #[test]
    fn url_of_sqlite_is_a_path_after_the_scheme() {
        for (url, path) in [
            ("sqlite:///data/a.db", "/data/a.db"),
            ("sqlite://a.db", "a.db"),
            ("sqlite:a.db", "a.db"),
            ("sqlite:/data/a?b=c%20#.db", "/data/a?b=c%20#.db"),
        ] {
            assert_eq!(Location::parse(url).unwrap(), Location::Sqlite(path.into()), "{url}");
        }
    }

    #[test]
    fn other_urls_are_refused_and_not_shown() {
        for url in ["", "/data/a.db", "sqlite:", "sqlite://", "sqlite::memory:", "oracle://ada:hunter2@db/x"] {
            let error = Location::parse(url).unwrap_err();
            assert_eq!(error.kind(), tokenkeep::ErrorKind::Invalid, "{url}");
            assert!(!format!("{error} {error:?}").contains("hunter2"), "{url}");
        }
    }
}
