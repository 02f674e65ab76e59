//! What stands between the store and the server, and may stop forwarding.

use std::{
    io::{Read, Write},
    net::{Shutdown, TcpListener, TcpStream},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use parking_lot::Mutex;

use crate::{common::Fixture, server::Server};

/// A port that forwards to a server, for as long as the process lasts.
pub(crate) struct Proxy {
    port: u16,
    /// Where new connections go.
    pub(crate) server_port: Arc<Mutex<u16>>,
    way: Arc<Mutex<Way>>,
    requests: Arc<AtomicUsize>,
    /// Given what a client sends: what the server gets before it, without the client's knowing.
    pub(crate) inject: Arc<Mutex<Inject>>,
}

pub(crate) type Inject = fn(&[u8]) -> Option<&'static [u8]>;

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
        let (server_port, way) = (Arc::new(Mutex::new(server.port)), Arc::new(Mutex::new(Way::Open)));
        let proxy = Self {
            port,
            server_port,
            way: way.clone(),
            requests: Arc::default(),
            inject: Arc::new(Mutex::new(|_| None)),
        };
        let (server_port, requests, inject) = (proxy.server_port.clone(), proxy.requests.clone(), proxy.inject.clone());
        thread::spawn(move || {
            for client in listener.incoming() {
                // A server that is away takes no connection.
                let port = *server_port.lock();
                let Ok(server) = TcpStream::connect(("127.0.0.1", port)) else { continue };
                let (way, requests, inject) = (way.clone(), requests.clone(), inject.clone());
                thread::spawn(move || forward(client.unwrap(), server, &way, &requests, &inject));
            }
        });
        proxy
    }

    /// How often a client waits for the server in some work.
    pub(crate) fn count(&self, work: impl FnOnce()) -> usize {
        let before = self.requests.load(Ordering::SeqCst);
        work();
        self.requests.load(Ordering::SeqCst) - before
    }

    /// In front of the server of a test's store.
    pub(crate) fn counting(fixture: &Fixture) -> (Self, String) {
        let proxy = Self::to(fixture.place.server);
        let url = proxy.url(&fixture.url);
        (proxy, url)
    }

    pub(crate) fn set(&self, way: Way) {
        *self.way.lock() = way;
    }

    /// The URL of the server, through this port.
    pub(crate) fn url(&self, url: &str) -> String {
        url.replace(&format!(":{}/", self.server_port.lock()), &format!(":{}/", self.port))
    }
}

fn forward(
    mut client: TcpStream,
    mut server: TcpStream,
    way: &Mutex<Way>,
    requests: &AtomicUsize,
    inject: &Mutex<Inject>,
) {
    let (mut answers, mut to_client) = (server.try_clone().unwrap(), client.try_clone().unwrap());
    let (is_silent, is_answered) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(true)));
    thread::spawn({
        let (is_silent, is_answered) = (is_silent.clone(), is_answered.clone());
        move || {
            let mut bytes = [0; 4096];
            while let Ok(length @ 1..) = answers.read(&mut bytes) {
                let is_for_client = !is_silent.load(Ordering::SeqCst);
                is_answered.store(true, Ordering::SeqCst);
                if is_for_client && to_client.write_all(&bytes[..length]).is_err() {
                    break;
                }
            }
            let _ = to_client.shutdown(Shutdown::Both);
        }
    });
    let mut bytes = [0; 4096];
    while let Ok(length @ 1..) = client.read(&mut bytes) {
        let sent = &bytes[..length];
        if is_answered.swap(false, Ordering::SeqCst) {
            requests.fetch_add(1, Ordering::SeqCst);
        }
        if let Some(injected) = inject.lock()(sent) {
            let was_silent = is_silent.swap(true, Ordering::SeqCst);
            is_answered.store(false, Ordering::SeqCst);
            server.write_all(injected).unwrap();
            while !is_answered.swap(false, Ordering::SeqCst) {
                thread::sleep(Duration::from_millis(1));
            }
            is_silent.store(was_silent, Ordering::SeqCst);
        }
        match *way.lock() {
            Way::Silent => is_silent.store(true, Ordering::SeqCst),
            Way::CutAtCommit if is_commit(sent) => drop(client.shutdown(Shutdown::Both)),
            Way::SilentAtCommit if is_commit(sent) => is_silent.store(true, Ordering::SeqCst),
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
