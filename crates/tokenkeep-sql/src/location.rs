//! Which database is meant: what a URL names, or what an application sets part by part.

#[cfg(feature = "sqlite")]
use std::path::PathBuf;
#[cfg(feature = "__server")]
use std::time::Duration;
use std::{fmt, path::Path};

use tokenkeep::Result;
#[cfg(feature = "__server")]
use tokenkeep::Secret;

#[cfg(feature = "__server")]
use crate::server::Server;
use crate::{
    engine::Engine,
    error::{DatabaseError, Problem},
};

/// Which database, as whom, and how it is reached. A URL converts into one, so most applications never name this type.
///
/// | database | URL | feature |
/// |---|---|---|
/// | SQLite | `sqlite:///var/lib/app/tokens.db`: a path, in which nothing is decoded | `sqlite` |
/// | MySQL, MariaDB | `mysql://user:password@host:port/database`, port 3306 by default | `mysql` |
/// | PostgreSQL | `postgres://user:password@host:port/database`, port 5432 by default | `postgres` |
///
/// In the URL of a server, `%` and two hexadecimal digits stand for a byte; a host that begins with `%2F` is the path
/// of a socket (of its directory, on PostgreSQL). A URL has no parameters: the methods of this type are the settings.
/// No error, name or `Debug` output shows the password.
///
/// # Encryption
///
/// A connection to a server is encrypted, and the server's certificate is verified for its name, unless the host is a
/// socket, `localhost` or a loopback address. There is no silent fall-back: a server that cannot encrypt is refused.
///
/// ```
/// # #[cfg(feature = "mysql")] {
/// use std::time::Duration;
/// use tokenkeep_sql::Database;
///
/// let database = Database::mysql("db.example", "zoho")
///     .user("app")
///     .password("hunter2")
///     .certificate_authority("/etc/app/ca.pem")
///     .statement_timeout(Duration::from_secs(5));
/// assert!(!format!("{database:?}").contains("hunter2"));
/// # }
/// ```
#[derive(Clone)]
#[must_use = "a description does nothing until a store is opened with it"]
pub struct Database(Option<Location>);

/// A database that this build supports.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Location {
    #[cfg(feature = "sqlite")]
    Sqlite(PathBuf),
    #[cfg(feature = "mysql")]
    Mysql(Server),
    #[cfg(feature = "postgres")]
    Postgres(Server),
}

impl Database {
    /// The database that a URL names: see the table above. A text that is no such URL is reported when the store is
    /// opened.
    pub fn url(url: &str) -> Self {
        Self(Location::parse(url))
    }

    /// An SQLite database in a file.
    #[cfg(feature = "sqlite")]
    pub fn sqlite(path: impl AsRef<Path>) -> Self {
        Self(Some(Location::Sqlite(path.as_ref().to_owned())))
    }

    /// A database on a MySQL or MariaDB server. The host is a name, an address, or the path of the server's socket.
    #[cfg(feature = "mysql")]
    pub fn mysql(host: &str, database: &str) -> Self {
        Self(Some(Location::Mysql(Server::new(host, MYSQL_PORT, database))))
    }

    /// A database on a PostgreSQL server. The host is a name, an address, or the directory of the server's socket.
    #[cfg(feature = "postgres")]
    pub fn postgres(host: &str, database: &str) -> Self {
        Self(Some(Location::Postgres(Server::new(host, POSTGRES_PORT, database))))
    }

    pub(crate) fn location(&self) -> Result<&Location> {
        let Self(location) = self;
        // An error shows no URL that was not understood, because it may hold a password.
        location.as_ref().ok_or_else(|| DatabaseError::new("the text", Problem::BadUrl).into())
    }
}

/// # Settings of a server
///
/// They change nothing for SQLite, which has no server.
#[cfg(feature = "__server")]
impl Database {
    /// The port, if it is not the usual one of the server.
    pub fn port(self, port: u16) -> Self {
        self.with(|server| server.port = port)
    }

    /// The name of the database's user.
    pub fn user(self, name: &str) -> Self {
        self.with(|server| name.clone_into(&mut server.user))
    }

    /// The password of the database's user. This crate wipes its copy; the drivers keep their own while a
    /// connection is made, and MySQL's driver for as long as the store is open.
    pub fn password(self, password: impl Into<Secret>) -> Self {
        let password = password.into();
        self.with(|server| server.password = Some(password))
    }

    /// How long it may take to connect, with encryption and login; by default 10 seconds, at most 20 days. It does not
    /// limit the time of the DNS lookup.
    pub fn connect_timeout(self, at_most: Duration) -> Self {
        let at_most = at_most.clamp(Duration::from_millis(1), crate::engine::LONGEST_TIMEOUT);
        self.with(|server| server.connect_timeout = at_most)
    }

    /// How long one statement may take: by default 30 seconds, at most 20 days. Then the server ends it. (MySQL ends
    /// queries only.) If the server sends no answer within one more second, the connection is given up.
    pub fn statement_timeout(self, at_most: Duration) -> Self {
        let at_most = at_most.clamp(Duration::from_millis(1), crate::engine::LONGEST_TIMEOUT);
        self.with(|server| server.statement_timeout = at_most)
    }

    /// A file in PEM format with the certificates of a private authority. They are trusted beside the public ones, and
    /// connections are encrypted even to a local server.
    pub fn certificate_authority(self, file: impl AsRef<Path>) -> Self {
        self.with(|server| server.authority = Some(file.as_ref().to_owned()))
    }

    /// Connects without encryption. An attacker on the network sees the statements, and on some servers the password;
    /// tokens stay sealed.
    pub fn unencrypted(self) -> Self {
        self.with(|server| server.is_unencrypted = true)
    }

    fn with(mut self, set: impl FnOnce(&mut Server)) -> Self {
        match &mut self.0 {
            #[cfg(feature = "mysql")]
            Some(Location::Mysql(server)) => set(server),
            #[cfg(feature = "postgres")]
            Some(Location::Postgres(server)) => set(server),
            _ => {}
        }
        self
    }
}

#[cfg(feature = "mysql")]
const MYSQL_PORT: u16 = 3306;
#[cfg(feature = "postgres")]
const POSTGRES_PORT: u16 = 5432;

impl Location {
    fn parse(url: &str) -> Option<Self> {
        let (scheme, rest) = url.split_once(':')?;
        match scheme {
            #[cfg(feature = "sqlite")]
            "sqlite" => {
                let path = rest.strip_prefix("//").unwrap_or(rest);
                // SQLite would make a database for each connection of these.
                (!path.is_empty() && path != ":memory:").then(|| Self::Sqlite(PathBuf::from(path)))
            }
            #[cfg(feature = "mysql")]
            "mysql" | "mariadb" => Server::parse(rest, MYSQL_PORT).map(Self::Mysql),
            #[cfg(feature = "postgres")]
            "postgres" | "postgresql" => Server::parse(rest, POSTGRES_PORT).map(Self::Postgres),
            _ => {
                let _ = rest;
                None
            }
        }
    }

    pub(crate) fn engine(&self) -> Box<dyn Engine> {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => Box::new(crate::engine::sqlite::Sqlite::new(path)),
            #[cfg(feature = "mysql")]
            Self::Mysql(server) => Box::new(crate::engine::mysql::Mysql::new(server)),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => Box::new(crate::engine::postgres::Postgres::new(server)),
            #[cfg(not(any(feature = "sqlite", feature = "__server")))]
            _ => unreachable!("this build has no database"),
        }
    }

    /// The URL, without a password.
    pub(crate) fn name(&self) -> String {
        match self {
            #[cfg(feature = "sqlite")]
            Self::Sqlite(path) => format!("sqlite://{}", path.display()),
            #[cfg(feature = "mysql")]
            Self::Mysql(server) => server.name("mysql"),
            #[cfg(feature = "postgres")]
            Self::Postgres(server) => server.name("postgres"),
            #[cfg(not(any(feature = "sqlite", feature = "__server")))]
            _ => String::new(),
        }
    }
}

impl From<&str> for Database {
    fn from(url: &str) -> Self {
        Self::url(url)
    }
}

impl From<&String> for Database {
    fn from(url: &String) -> Self {
        Self::url(url)
    }
}

impl From<&Database> for Database {
    fn from(database: &Database) -> Self {
        database.clone()
    }
}

impl fmt::Debug for Database {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = self.0.as_ref().map_or_else(|| "not a database of this build".to_owned(), Location::name);
        f.debug_tuple("Database").field(&name).finish()
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
        let urls = ["", "/data/a.db", "sqlite:", "sqlite://", "sqlite::memory:", "oracle://ada:hunter2@db/x"];
        for url in urls.into_iter().chain(["mysql://ada:hunter2@db", "postgres://ada:hunter2@db:x/d"]) {
            let error = Database::url(url).location().unwrap_err();
            assert_eq!(error.kind(), tokenkeep::ErrorKind::Invalid, "{url}");
            assert!(!format!("{error} {error:?} {:?}", Database::url(url)).contains("hunter2"), "{url}");
        }
    }
}
