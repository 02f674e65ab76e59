//! As much of HTTP/1.1 as this example needs: one request for each connection, with a time-out for the whole of it. An
//! application uses its HTTP client instead.

use std::{
    fmt::Write as _,
    io::{self, Read, Write},
    net::{SocketAddr, TcpStream},
    str,
    time::{Duration, Instant},
};

use serde_json::Value;

/// For the whole request, from the connection to the end of the answer.
const TIME: Duration = Duration::from_secs(10);
/// The longest message, in bytes.
const LIMIT: usize = 64 * 1024;

/// The answer to a request.
pub(crate) struct Response {
    pub(crate) status: u16,
    pub(crate) retry_after: Option<String>,
    /// `Null` if the body is no JSON, such as the error page of a proxy.
    pub(crate) body: Value,
}

/// Sends a form.
pub(crate) fn post(server: SocketAddr, path: &str, form: &[(&str, &str)]) -> io::Result<Response> {
    let fields = form.iter().map(|(name, value)| format!("{name}={}", percent_encoded(value)));
    let body = fields.collect::<Vec<_>>().join("&");
    send(
        server,
        &format!(
            "POST {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nAccept: application/json\r\n\
             Content-Type: application/x-www-form-urlencoded\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        ),
    )
}

/// Gets what an access token allows to see.
pub(crate) fn get(server: SocketAddr, path: &str, access_token: &str) -> io::Result<Response> {
    // A line end in it would add headers to the request.
    if !access_token.bytes().all(|byte| byte.is_ascii_graphic()) {
        return Err(io::Error::new(io::ErrorKind::InvalidInput, "the access token cannot be sent in a header"));
    }
    send(
        server,
        &format!(
            "GET {path} HTTP/1.1\r\nHost: {server}\r\nConnection: close\r\nAuthorization: Bearer {access_token}\r\n\r\n"
        ),
    )
}

fn send(server: SocketAddr, request: &str) -> io::Result<Response> {
    let deadline = Deadline::new();
    let stream = TcpStream::connect_timeout(&server, deadline.left()?)?;
    write(&stream, &deadline, request.as_bytes())?;
    let message = read(&stream, &deadline)?;
    let status = message.first_line.strip_prefix("HTTP/1.1 ").and_then(|line| line.get(..3)?.parse().ok());
    Ok(Response {
        status: status.ok_or_else(|| invalid("an answer without a status"))?,
        retry_after: message.header("retry-after").map(str::to_owned),
        body: serde_json::from_slice(&message.body).unwrap_or_default(),
    })
}

/// A request or a response.
pub(crate) struct Message {
    pub(crate) first_line: String,
    /// The names are in small letters.
    headers: Vec<(String, String)>,
    pub(crate) body: Vec<u8>,
}

impl Message {
    pub(crate) fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|header| header.0 == name).map(|header| header.1.as_str())
    }
}

/// When a request has to be over.
pub(crate) struct Deadline(Instant);

impl Deadline {
    pub(crate) fn new() -> Self {
        Self(Instant::now())
    }

    fn left(&self) -> io::Result<Duration> {
        let left = TIME.saturating_sub(self.0.elapsed());
        if left.is_zero() { Err(io::ErrorKind::TimedOut.into()) } else { Ok(left) }
    }
}

pub(crate) fn write(mut stream: &TcpStream, deadline: &Deadline, mut bytes: &[u8]) -> io::Result<()> {
    while !bytes.is_empty() {
        stream.set_write_timeout(Some(deadline.left()?))?;
        match stream.write(bytes) {
            Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
            Ok(count) => bytes = &bytes[count..],
            Err(error) if is_interruption(&error) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

pub(crate) fn read(mut stream: &TcpStream, deadline: &Deadline) -> io::Result<Message> {
    let mut bytes = Vec::new();
    let mut chunk = [0; 4096];
    loop {
        if let Some(message) = parse(&bytes)? {
            return Ok(message);
        }
        if bytes.len() > LIMIT {
            return Err(invalid("a message that is too long"));
        }
        stream.set_read_timeout(Some(deadline.left()?))?;
        match stream.read(&mut chunk) {
            Ok(0) => return Err(io::ErrorKind::UnexpectedEof.into()),
            Ok(count) => bytes.extend_from_slice(&chunk[..count]),
            Err(error) if is_interruption(&error) => {}
            Err(error) => return Err(error),
        }
    }
}

/// The message, if all of it is there.
fn parse(bytes: &[u8]) -> io::Result<Option<Message>> {
    let Some(end) = bytes.windows(4).position(|bytes| bytes == b"\r\n\r\n") else { return Ok(None) };
    let head = str::from_utf8(&bytes[..end]).map_err(|_| invalid("a head that is no text"))?;
    let mut lines = head.split("\r\n");
    let first_line = lines.next().unwrap_or_default().to_owned();
    let headers = lines.filter_map(|line| line.split_once(':'));
    let headers = headers.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
    let mut message = Message { first_line, headers, body: Vec::new() };
    let length = match message.header("content-length") {
        Some(length) => length.parse().ok().filter(|length| *length <= LIMIT),
        None if message.header("transfer-encoding").is_some() => None,
        None => Some(0),
    };
    let length = length.ok_or_else(|| invalid("a length that is not understood, or too long"))?;
    let Some(body) = bytes[end + 4..].get(..length) else { return Ok(None) };
    message.body = body.to_vec();
    Ok(Some(message))
}

/// The deadline decides, not the time-out of one call.
fn is_interruption(error: &io::Error) -> bool {
    matches!(error.kind(), io::ErrorKind::Interrupted | io::ErrorKind::WouldBlock | io::ErrorKind::TimedOut)
}

fn invalid(what: &str) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, what)
}

fn percent_encoded(text: &str) -> String {
    let mut encoded = String::new();
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~".contains(&byte) {
            encoded.push(byte.into());
        } else {
            let _ = write!(encoded, "%{byte:02X}");
        }
    }
    encoded
}

/// The value of a field of a form.
pub(crate) fn field(form: &[u8], name: &str) -> Option<String> {
    let form = str::from_utf8(form).ok()?;
    let (_, value) = form.split('&').filter_map(|field| field.split_once('=')).find(|field| field.0 == name)?;
    let mut decoded = Vec::new();
    let mut bytes = value.bytes();
    while let Some(byte) = bytes.next() {
        decoded.push(match byte {
            b'+' => b' ',
            b'%' => {
                let digits = [bytes.next()?, bytes.next()?];
                u8::from_str_radix(str::from_utf8(&digits).ok()?, 16).ok()?
            }
            byte => byte,
        });
    }
    String::from_utf8(decoded).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn forms_are_read_as_they_were_written() {
        let value = "a+b &=%\u{e9}";
        let form = format!("x=1&y={}", percent_encoded(value));
        assert_eq!(field(form.as_bytes(), "y").as_deref(), Some(value));
        assert_eq!(field(b"y=%4", "y"), None);
    }

    #[test]
    fn a_message_is_read_once_all_of_it_is_there() {
        let text = "HTTP/1.1 200 OK\r\nContent-LENGTH: 2\r\nRetry-After: 5\r\n\r\n{}";
        for end in 0..text.len() {
            assert!(parse(&text.as_bytes()[..end]).unwrap().is_none(), "{end}");
        }
        let message = parse(text.as_bytes()).unwrap().unwrap();
        assert_eq!((message.header("retry-after"), &*message.body), (Some("5"), &b"{}"[..]));
        assert!(parse(b"HTTP/1.1 200 OK\r\nContent-Length: 99999999\r\n\r\n").is_err());
        assert!(parse(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n").is_err());
    }
}
