//! What an application has of HTTP and JSON, as far as the endpoint here needs it.

use std::{
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    time::Duration,
};

use tokenkeep::{Answer, Token};

use crate::{clock::Clock, stage::secret};

/// A client of the endpoint.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Client {
    pub(crate) address: SocketAddr,
    pub(crate) clock: Clock,
}

impl Client {
    /// Refreshes the token.
    pub(crate) fn refresh(self, token: &Token) -> Answer {
        let form = format!("grant_type=refresh_token&refresh_token={}&client_id=c", secret(token.refresh_token()));
        match self.send("POST /token", "Content-Type: application/x-www-form-urlencoded\r\n", &form) {
            Ok(response) => self.answer(&response),
            Err(error) => Answer::failed(error),
        }
    }

    fn answer(self, response: &str) -> Answer {
        if status(response) != "200" {
            let error = field(response, "error").unwrap_or(status(response));
            return Answer::refused(error, header(response, "Retry-After"));
        }
        let lifetime = field(response, "expires_in").map(|seconds| Duration::from_secs(seconds.parse().unwrap()));
        let token = Token::builder()
            .access_token(field(response, "access_token").unwrap())
            .maybe_refresh_token(field(response, "refresh_token"))
            .maybe_expires_at(lifetime.map(|lifetime| self.clock.now() + lifetime));
        token.build().into()
    }

    /// Has the server revoke the sign-in (RFC 7009).
    pub(crate) fn revoke(self, token: &Token) -> io::Result<()> {
        let response = self.send("POST /revoke", "", &format!("token={}", secret(token.refresh_token())))?;
        if status(&response) == "200" { Ok(()) } else { Err(io::Error::other(response)) }
    }

    /// Whether the resource accepts the access token.
    pub(crate) fn is_accepted(self, token: &Token) -> bool {
        let header = format!("Authorization: Bearer {}\r\n", secret(token.access_token()));
        let response = self.send("GET /api", &header, "").unwrap();
        match status(&response) {
            "200" => true,
            "401" => false,
            _ => panic!("{response}"),
        }
    }

    fn send(self, target: &str, headers: &str, body: &str) -> io::Result<String> {
        let mut stream = TcpStream::connect(self.address)?;
        stream.set_read_timeout(Some(Duration::from_secs(30)))?;
        let length = body.len();
        let request =
            format!("{target} HTTP/1.1\r\nHost: localhost\r\n{headers}Content-Length: {length}\r\n\r\n{body}");
        stream.write_all(request.as_bytes())?;
        let mut response = String::new();
        stream.read_to_string(&mut response)?;
        if response.is_empty() { Err(io::ErrorKind::UnexpectedEof.into()) } else { Ok(response) }
    }
}

fn status(response: &str) -> &str {
    response.split(' ').nth(1).unwrap_or_default()
}

fn header<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    response.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(": "))
}

/// The value of a field of a JSON object without nested ones and without escapes.
fn field<'a>(response: &'a str, name: &str) -> Option<&'a str> {
    let value = response.split_once(&format!(r#""{name}":"#))?.1;
    value.split([',', '}']).next().map(|value| value.trim_matches('"'))
}
