//! A blocking socket that asynchronous code reads and writes through, without a runtime.
//!
//! A write blocks. A read takes what [`Wire::receive`] has received and is pending otherwise, and [`Wire::run`]
//! receives when nothing else is left to do. So each wait of a connection is a read with a time-out on the caller's own
//! thread: no other thread, nothing to start inside of somebody's runtime, and a server that says nothing ends at the
//! deadline.

use std::{
    future::Future,
    io::{self, Read, Write},
    net::{TcpStream, ToSocketAddrs},
    ops::Range,
    pin::{Pin, pin},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, Wake, Waker},
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use crate::server::{MAX_ROW_LEN, Server};

/// One end for the protocol, and one for [`run`](Wire::run).
#[derive(Clone)]
pub(crate) struct Wire(Arc<Mutex<Inner>>);

struct Inner {
    socket: Socket,
    buffer: Box<[u8]>,
    /// What was received last, and not taken yet: a part of the buffer.
    received: Range<usize>,
    is_ended: bool,
    /// How much was received since the last row.
    since_row: usize,
    /// The time-outs that the socket has, for reads and writes.
    timeouts: Option<[Duration; 2]>,
}

pub(crate) enum Socket {
    Tcp(TcpStream),
    #[cfg(unix)]
    Unix(std::os::unix::net::UnixStream),
}

/// As much is received at once.
const LENGTH: usize = 16 * 1024;

impl Socket {
    fn set_timeouts(&self, read: Duration, write: Duration) -> io::Result<()> {
        let [read, write] = [read, write].map(|timeout| Some(timeout.max(Duration::from_millis(1))));
        match self {
            Self::Tcp(socket) => socket.set_read_timeout(read).and_then(|()| socket.set_write_timeout(write)),
            #[cfg(unix)]
            Self::Unix(socket) => socket.set_read_timeout(read).and_then(|()| socket.set_write_timeout(write)),
        }
    }

    fn read(&mut self, bytes: &mut [u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.read(bytes),
            #[cfg(unix)]
            Self::Unix(socket) => socket.read(bytes),
        }
    }

    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Self::Tcp(socket) => socket.write(bytes),
            #[cfg(unix)]
            Self::Unix(socket) => socket.write(bytes),
        }
    }
}

impl Wire {
    pub(crate) fn new(socket: Socket) -> Self {
        let buffer = vec![0; LENGTH].into();
        let inner = Inner { socket, buffer, received: 0..0, is_ended: false, since_row: 0, timeouts: None };
        Self(Arc::new(Mutex::new(inner)))
    }

    /// Runs a future that waits for nothing but this socket, at most for the timeout.
    pub(crate) fn run<F: Future>(&self, timeout: Duration, future: F) -> io::Result<F::Output> {
        let started = Instant::now();
        let woken = Arc::new(Woken::default());
        let waker = Waker::from(woken.clone());
        let mut context = Context::from_waker(&waker);
        let mut future = pin!(future);
        self.0.lock().set_timeouts(timeout, timeout)?;
        self.has_row();
        loop {
            if let Poll::Ready(output) = future.as_mut().poll(&mut context) {
                return Ok(output);
            }
            if woken.0.swap(false, Ordering::Relaxed) {
                continue;
            }
            // Held by `server_that_never_answers_ends_at_the_deadline`.
            if started.elapsed() >= timeout {
                return Err(io::ErrorKind::TimedOut.into());
            }
            self.0.lock().receive(timeout.saturating_sub(started.elapsed()), timeout)?;
        }
    }

    /// Says that an answer goes on: a row of it was taken, or it has just begun.
    pub(crate) fn has_row(&self) {
        self.0.lock().since_row = 0;
    }
}

impl Inner {
    fn set_timeouts(&mut self, read: Duration, write: Duration) -> io::Result<()> {
        if self.timeouts != Some([read, write]) {
            self.socket.set_timeouts(read, write)?;
            self.timeouts = Some([read, write]);
        }
        Ok(())
    }

    fn receive(&mut self, left: Duration, timeout: Duration) -> io::Result<()> {
        if self.is_ended {
            // The protocol has seen the end, and still waits.
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        // The first wait has nearly the right length already, and most answers come within it.
        if left < timeout.mul_f32(0.9) {
            self.set_timeouts(left, timeout)?;
        }
        let length = loop {
            match self.socket.read(&mut self.buffer) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                read => break read,
            }
        };
        let length = length.map_err(|error| match error.kind() {
            io::ErrorKind::WouldBlock => io::ErrorKind::TimedOut.into(),
            _ => error,
        });
        let length = length?;
        self.received = 0..length;
        self.is_ended = length == 0;
        self.since_row = self.since_row.saturating_add(length);
        // The driver keeps a message until it has all of it.
        // Held by `value_of_many_megabytes_is_not_read`.
        if self.since_row > MAX_ROW_LEN {
            return Err(io::Error::new(io::ErrorKind::FileTooLarge, "an answer of more than 4 MiB"));
        }
        Ok(())
    }
}

#[derive(Default)]
struct Woken(AtomicBool);

impl Wake for Woken {
    fn wake(self: Arc<Self>) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl AsyncRead for Wire {
    fn poll_read(self: Pin<&mut Self>, _: &mut Context<'_>, buffer: &mut ReadBuf<'_>) -> Poll<io::Result<()>> {
        let mut inner = self.0.lock();
        let rest = inner.buffer.get(inner.received.clone()).unwrap_or_default();
        let rest = rest.get(..buffer.remaining()).unwrap_or(rest);
        if rest.is_empty() {
            return if inner.is_ended { Poll::Ready(Ok(())) } else { Poll::Pending };
        }
        buffer.put_slice(rest);
        let length = rest.len();
        inner.received.start = inner.received.start.saturating_add(length);
        Poll::Ready(Ok(()))
    }
}

impl AsyncWrite for Wire {
    fn poll_write(self: Pin<&mut Self>, _: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        let mut inner = self.0.lock();
        loop {
            match inner.socket.write(bytes) {
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => {
                    return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
                }
                written => return Poll::Ready(written),
            }
        }
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        // It is closed when it is dropped.
        Poll::Ready(Ok(()))
    }
}

/// Connects to the first address of the server's host that answers.
pub(crate) fn connect(server: &Server) -> io::Result<TcpStream> {
    let started = Instant::now();
    let mut last = None;
    for address in (server.host.as_str(), server.port).to_socket_addrs()? {
        let left = server.connect_timeout.saturating_sub(started.elapsed()).max(Duration::from_millis(1));
        match TcpStream::connect_timeout(&address, left) {
            Ok(stream) => return Ok(stream),
            Err(error) => last = Some(error),
        }
    }
    Err(last.unwrap_or_else(|| io::Error::new(io::ErrorKind::NotFound, "the host has no address")))
}
