//! Which server, as whom, and how it is reached.

use std::{net::IpAddr, path::PathBuf, time::Duration};

use tokenkeep::Secret;
use zeroize::Zeroizing;

/// A database on a server, and how it is reached.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Server {
    /// A name, an address, or the path of a socket: what begins with a slash.
    pub(crate) host: String,
    pub(crate) port: u16,
    pub(crate) database: String,
    pub(crate) user: String,
    pub(crate) password: Option<Secret>,
    pub(crate) connect_timeout: Duration,
    pub(crate) statement_timeout: Duration,
    pub(crate) is_unencrypted: bool,
    /// A file with certificates that are trusted beside the public ones.
    pub(crate) authority: Option<PathBuf>,
}

/// A transaction whose client says nothing for so long is undone by the server: all writers of the store wait for it.
pub(crate) const IDLE_IN_TRANSACTION: Duration = Duration::from_secs(60);
/// How much longer than the server this side waits for a statement, so that the server's own answer comes first.
const GRACE: Duration = Duration::from_secs(1);

/// More than the longest row of an answer: a hostile server or table cannot make this side allocate more for one.
pub(crate) const MAX_ROW_LEN: usize = 4 * 1024 * 1024;

impl Server {
    pub(crate) fn new(host: &str, port: u16, database: &str) -> Self {
        Self {
            host: host.to_owned(),
            port,
            database: database.to_owned(),
            user: String::new(),
            password: None,
            connect_timeout: Duration::from_secs(10),
            statement_timeout: Duration::from_secs(30),
            is_unencrypted: false,
            authority: None,
        }
    }

    /// From what follows the scheme in a URL: `//user:password@host:port/database`. `None`: it is not one.
    pub(crate) fn parse(rest: &str, default_port: u16) -> Option<Self> {
        let rest = rest.strip_prefix("//")?;
        // A password may have slashes in clear; a database has none.
        let (address, database) = rest.rsplit_once('/')?;
        let (login, host) = address.rsplit_once('@').unwrap_or(("", address));
        let (user, password) = match login.split_once(':') {
            Some((user, password)) => (user, Some(password)),
            None => (login, None),
        };
        let (host, port) = match host.strip_prefix('[') {
            Some(bracketed) => bracketed.split_once(']')?,
            None => host.split_at(host.find(':').unwrap_or(host.len())),
        };
        let port = match port.strip_prefix(':') {
            Some(port) => port.parse().ok()?,
            None if port.is_empty() => default_port,
            None => return None,
        };
        // A parameter that is not understood could be one that asks for encryption.
        if host.is_empty() || database.is_empty() || database.contains(['?', '#']) {
            return None;
        }
        let mut server = Self::new(&decode(host)?, port, &decode(database)?);
        server.user.clone_from(&*decode(user)?);
        server.password = match password {
            Some(password) => Some(Secret::from(decode(password)?.as_str())),
            None => None,
        };
        Some(server)
    }

    /// Without the password.
    pub(crate) fn name(&self, scheme: &str) -> String {
        let Self { host, port, database, user, .. } = self;
        let at = if user.is_empty() { "" } else { "@" };
        let host = if host.contains(':') { format!("[{host}]") } else { host.clone() };
        format!("{scheme}://{user}{at}{host}:{port}/{database}")
    }

    pub(crate) fn is_socket(&self) -> bool {
        self.host.starts_with('/')
    }

    /// Whether connections are encrypted, and the server's certificate verified: unless the server is local, or the
    /// caller has asked for plain connections.
    pub(crate) fn is_encrypted(&self) -> bool {
        // Held by `only_local_servers_and_explicit_calls_are_unencrypted`: `false`.
        !self.is_socket() && !self.is_unencrypted && (self.authority.is_some() || !is_local(&self.host))
    }

    /// How long this side waits for an answer to a statement.
    pub(crate) fn answer_timeout(&self) -> Duration {
        self.statement_timeout.saturating_add(GRACE)
    }
}

/// Whether the host is this machine by what it is called: another name might be resolved to anything tomorrow.
fn is_local(host: &str) -> bool {
    host == "localhost" || host.parse::<IpAddr>().is_ok_and(|address| address.is_loopback())
}

/// Decodes `%` and two hexadecimal digits.
fn decode(text: &str) -> Option<Zeroizing<String>> {
    // It never grows: that would leave a password behind.
    let mut decoded = Zeroizing::new(Vec::with_capacity(text.len()));
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(if byte == b'%' { hex(bytes.next()?)? << 4 | hex(bytes.next()?)? } else { byte });
    }
    let text = std::str::from_utf8(&decoded).ok()?;
    Some(Zeroizing::new(text.to_owned()))
}

fn hex(digit: u8) -> Option<u8> {
    char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok())
}

/// Chooses ring for the whole process, if the application has chosen no provider yet. The MySQL driver takes the
/// process's provider, and panics where the program links two and has chosen none.
pub(crate) fn use_ring() {
    if rustls::crypto::CryptoProvider::get_default().is_none() {
        // Another thread may have chosen one meanwhile, and any does.
        let _ = rustls::crypto::ring::default_provider().install_default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn url_of_a_server_is_taken_apart() {
        let server = Server::parse("//ada%40x:p%2F%3a:@db.example:77/zoho", 1).unwrap();
        assert_eq!((&*server.user, &*server.host, server.port, &*server.database), ("ada@x", "db.example", 77, "zoho"));
        assert_eq!(server.password.as_ref().unwrap().expose_secret(), "p/::");
        assert_eq!(server.name("mysql"), "mysql://ada@x@db.example:77/zoho");
        assert!(!format!("{server:?}").contains("p/::"));
        let server = Server::parse("//[::1]/d", 5432).unwrap();
        assert_eq!((&*server.host, server.port, server.password), ("::1", 5432, None));
        assert_eq!(Server::parse("//%2Frun%2Fdb/d", 1).unwrap().host, "/run/db");
        let slash = Server::parse("//u:a/b@h/d", 1).unwrap();
        assert_eq!((slash.password.unwrap().expose_secret(), &*slash.host), ("a/b", "h"));
        for bad in ["", "//", "//h", "//h/", "///d", "//h:x/d", "//h:99999/d", "//%zz/d", "//[::1/d", "//h/d?ssl=true"]
        {
            assert!(Server::parse(bad, 1).is_none(), "{bad}");
        }
    }

    #[test]
    fn only_local_servers_and_explicit_calls_are_unencrypted() {
        let server = |host: &str| Server::new(host, 1, "d");
        for local in ["localhost", "127.0.0.1", "127.8.8.8", "::1", "/run/socket"] {
            assert!(!server(local).is_encrypted(), "{local}");
        }
        for remote in ["db", "10.0.0.1", "localhost.example", "128.0.0.1", "::2", "::ffff:10.0.0.1"] {
            assert!(server(remote).is_encrypted(), "{remote}");
            assert!(!Server { is_unencrypted: true, ..server(remote) }.is_encrypted(), "{remote}");
        }
        assert!(Server { authority: Some("ca.pem".into()), ..server("localhost") }.is_encrypted());
    }
}
