//! HTTP/1.1 as a server sees it, as far as the endpoint needs it.

use std::{
    io::{BufRead, BufReader, Read},
    net::TcpStream,
};

/// An HTTP response.
pub(crate) fn response(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\nConnection: close\r\n\r\n{body}", body.len())
}

/// An HTTP request.
pub(crate) struct Request {
    /// Method and path.
    pub(crate) target: String,
    pub(crate) bearer: String,
    form: String,
}

impl Request {
    /// `None` if the client has gone.
    pub(crate) fn read(stream: &TcpStream) -> Option<Self> {
        let mut lines = BufReader::new(stream);
        let (mut target, mut bearer, mut length) = (String::new(), String::new(), 0);
        loop {
            let mut line = String::new();
            lines.read_line(&mut line).ok().filter(|length| *length > 0)?;
            let line = line.trim_end();
            if line.is_empty() {
                break;
            } else if target.is_empty() {
                target = line.strip_suffix(" HTTP/1.1")?.to_owned();
            } else if let Some(token) = line.strip_prefix("Authorization: Bearer ") {
                bearer = token.to_owned();
            } else if let Some(bytes) = line.strip_prefix("Content-Length: ") {
                length = bytes.parse().ok()?;
            }
        }
        let mut form = vec![0; length];
        lines.read_exact(&mut form).ok()?;
        Some(Self { target, bearer, form: String::from_utf8(form).ok()? })
    }

    pub(crate) fn field(&self, name: &str) -> &str {
        let fields = self.form.split('&').filter_map(|field| field.split_once('='));
        fields.filter(|(found, _)| *found == name).map(|(_, value)| value).next().unwrap_or_default()
    }
}
