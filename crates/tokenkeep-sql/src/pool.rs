//! The connections of a handle.

use std::{
    ops::{Deref, DerefMut},
    process,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::engine::{Connection, Engine, Failure, FailureKind};

/// Connections that are kept for the next operation, and no more of them at a time than the limit.
pub(crate) struct Pool {
    engine: Box<dyn Engine>,
    timeout: Duration,
    limit: usize,
    connections: Mutex<Connections>,
    returned: Condvar,
    /// The process that has opened the connections. None of them works in a forked child.
    process: u32,
}

struct Connections {
    idle: Vec<Box<dyn Connection>>,
    open: usize,
}

/// A connection in use. It goes back to the pool if it is not in a transaction any more, and else is closed.
pub(crate) struct Pooled<'p> {
    pool: &'p Pool,
    connection: Option<Box<dyn Connection>>,
    is_in_transaction: bool,
}

impl Pool {
    pub(crate) fn new(engine: Box<dyn Engine>, first: Box<dyn Connection>, timeout: Duration, limit: usize) -> Self {
        let connections = Mutex::new(Connections { idle: vec![first], open: 1 });
        Self { engine, timeout, limit, connections, returned: Condvar::new(), process: process::id() }
    }

    pub(crate) fn is_forked(&self) -> bool {
        self.process != process::id()
    }

    /// A connection that no other thread uses. Waits for one at most until the deadline.
    pub(crate) fn take(&self, deadline: Instant) -> Result<Pooled<'_>, Failure> {
        let mut connections = self.connections.lock();
        let connection = loop {
            if let Some(connection) = connections.idle.pop() {
                break connection;
            }
            if connections.open < self.limit {
                connections.open = connections.open.saturating_add(1);
                drop(connections);
                match self.engine.connect(self.timeout) {
                    Ok(connection) => break connection,
                    Err(failure) => {
                        self.closed();
                        return Err(failure);
                    }
                }
            }
            if self.returned.wait_until(&mut connections, deadline).timed_out() {
                let message = "all connections of this handle are in use".to_owned();
                return Err(Failure { kind: FailureKind::Contention, message });
            }
        };
        Ok(Pooled { pool: self, connection: Some(connection), is_in_transaction: false })
    }

    fn closed(&self) {
        let mut connections = self.connections.lock();
        connections.open = connections.open.saturating_sub(1);
        drop(connections);
        self.returned.notify_one();
    }
}

impl Pooled<'_> {
    pub(crate) fn begin(&mut self, timeout: Duration) -> Result<(), Failure> {
        self.deref_mut().begin(timeout)?;
        self.is_in_transaction = true;
        Ok(())
    }

    pub(crate) fn commit(&mut self) -> Result<(), Failure> {
        self.deref_mut().commit()?;
        self.is_in_transaction = false;
        Ok(())
    }
}

impl Deref for Pooled<'_> {
    type Target = dyn Connection;

    #[expect(clippy::expect_used, reason = "it has a connection until it is dropped")]
    fn deref(&self) -> &Self::Target {
        &**self.connection.as_ref().expect("a connection in use")
    }
}

impl DerefMut for Pooled<'_> {
    #[expect(clippy::expect_used, reason = "it has a connection until it is dropped")]
    fn deref_mut(&mut self) -> &mut Self::Target {
        &mut **self.connection.as_mut().expect("a connection in use")
    }
}

/// Undoes a transaction that was not committed, also after a panic.
impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        if self.is_in_transaction && connection.roll_back().is_err() {
            drop(connection);
            self.pool.closed();
            return;
        }
        self.pool.connections.lock().idle.push(connection);
        self.pool.returned.notify_one();
    }
}
