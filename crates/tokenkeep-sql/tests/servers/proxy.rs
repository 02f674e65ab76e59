//! What stands between the store and the server, and may stop forwarding.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::Arc,
    thread,
};

use parking_lot::Mutex;

use crate::server::Server;

/// A port that forwards to a server, for as long as the process lasts.
pub(crate) struct Proxy {
    port: u16,
    /// Where new connections go.
    pub(crate) server_port: Arc<Mutex<u16>>,
    way: Arc<Mutex<Way>>,
}

/// What becomes of the client's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Way {
    Open,
    /// They go nowhere, and the connection stays open.
    Silent,
    /// The server gets them, also the commit, and the client loses the connection before the answer to that.
    CutAtCommit,
    /// The server gets them, also the commit, and nothing comes back from then on.
    SilentAtCommit,
}

impl Proxy {
    pub(crate) fn to(server: &Server) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let proxy = Self { port, server_port: Arc::new(Mutex::new(server.port)), way: Arc::new(Mutex::new(Way::Open)) };
        let (server_port, way) = (proxy.server_port.clone(), proxy.way.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                // A server that is away takes no connection.
                let port = *server_port.lock();
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let way = way.clone();
                thread::spawn(move || forward(client.unwrap(), server, &way));
            }
        });
        proxy
    }

    pub(crate) fn set(&self, way: Way) {
        *self.way.lock() = way;
    }

    /// The URL of the server, through this port.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(&format!(":{}/", self.server_port.lock()), &format!(":{}/", self.port))
    }
}

fn forward(mut client: TcpStream, mut server: TcpStream, way: &Mutex<Way>) {
    let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let is_silent = Arc::new(Mutex::new(false));
    thread::spawn({
        let is_silent = is_silent.clone();
        move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = answers.read(&mut bytes) {
                if !*is_silent.lock() && to_client.write_all(&bytes[..length]).is_err() {
                    break;
                }
            }
            let _ = to_client.shutdown(Shutdown::Both);
        }
    });
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = client.read(&mut bytes) {
        let sent = &bytes[..length];
        match *way.lock() {
            Way::Silent => *is_silent.lock() = true,
            Way::CutAtCommit if is_commit(sent) => drop(client.shutdown(Shutdown::Both)),
            Way::SilentAtCommit if is_commit(sent) => *is_silent.lock() = true,
            _ => {}
        }
        if *way.lock() != Way::Silent && server.write_all(sent).is_err() {
            break;
        }
    }
    let _ = server.shutdown(Shutdown::Both);
}

/// What a text ends with is its statement, with a zero after it in the protocol of PostgreSQL.
fn is_commit(sent: &[u8]) -> bool {
    sent.strip_suffix(b"\0").unwrap_or(sent).ends_with(b"COMMIT")
}
