//! The connections of a handle.

use std::{
    process,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

use crate::engine::{Connection, EachRow, Engine, Failure, FailureKind, First, Parameter};

/// Connections that are kept for the next operation, and no more of them at a time than the limit.
pub(crate) struct Pool {
    engine: Box<dyn Engine>,
    timeout: Duration,
    limit: usize,
    connections: Mutex<Connections>,
    returned: Condvar,
    /// How many writers may begin. The others wait here in turn, and not in the database with a connection each.
    turns: Mutex<usize>,
    turn_ended: Condvar,
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
    /// Whether a statement of the transaction has failed.
    has_failed: bool,
    /// Whether it was kept from an earlier operation, and the server may have ended it since.
    is_kept: bool,
}

/// The turn of a writer, until it is dropped.
pub(crate) struct Turn<'p>(&'p Pool);

impl Pool {
    pub(crate) fn new(engine: Box<dyn Engine>, first: Box<dyn Connection>, timeout: Duration, limit: usize) -> Self {
        let connections = Mutex::new(Connections { idle: vec![first], open: 1 });
        let turns = Mutex::new(engine.writers(limit));
        let (returned, turn_ended) = (Condvar::new(), Condvar::new());
        Self { engine, timeout, limit, connections, returned, turns, turn_ended, process: process::id() }
    }

    pub(crate) fn is_forked(&self) -> bool {
        self.process != process::id()
    }

    /// A connection that no other thread uses. Waits for one at most until the deadline.
    pub(crate) fn take(&self, deadline: Instant) -> Result<Pooled<'_>, Failure> {
        let mut connections = self.connections.lock();
        let connection = loop {
            if let Some(connection) = connections.idle.pop() {
                break (connection, true);
            }
            if connections.open < self.limit {
                connections.open = connections.open.saturating_add(1);
                drop(connections);
                match self.engine.connect(self.timeout) {
                    Ok(connection) => break (connection, false),
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
        let (connection, is_kept) = connection;
        Ok(Pooled { pool: self, connection: Some(connection), is_in_transaction: false, has_failed: false, is_kept })
    }

    /// A writer's turn. Waits for it at most until the deadline.
    pub(crate) fn turn(&self, deadline: Instant) -> Option<Turn<'_>> {
        let mut turns = self.turns.lock();
        while *turns == 0 {
            if self.turn_ended.wait_until(&mut turns, deadline).timed_out() {
                return None;
            }
        }
        *turns = turns.saturating_sub(1);
        Some(Turn(self))
    }

    /// Closes the idle connections: a server that ended one has ended them all.
    fn close_idle(&self) {
        let mut connections = self.connections.lock();
        let idle = std::mem::take(&mut connections.idle);
        connections.open = connections.open.saturating_sub(idle.len());
        drop(connections);
        self.returned.notify_all();
    }

    fn closed(&self) {
        let mut connections = self.connections.lock();
        connections.open = connections.open.saturating_sub(1);
        drop(connections);
        self.returned.notify_one();
    }
}

impl Pooled<'_> {
    /// Whether the server has ended this connection since an earlier operation returned it to the pool. If so, closes
    /// the idle connections, so that the next attempt gets a new one.
    pub(crate) fn was_stale(&self) -> bool {
        let is_stale = self.is_kept && self.is_lost();
        if is_stale {
            self.pool.close_idle();
        }
        is_stale
    }

    #[expect(clippy::expect_used, reason = "it has a connection until it is dropped")]
    fn checked<T>(&mut self, run: impl FnOnce(&mut dyn Connection) -> Result<T, Failure>) -> Result<T, Failure> {
        // Only in a transaction does code of the application run while a connection is in use.
        // Held by `forked_child_leaves_the_connections_to_its_parent`.
        if self.is_in_transaction && self.pool.is_forked() {
            let message = "the process was forked during the transaction".to_owned();
            return Err(Failure { kind: FailureKind::Forked, message });
        }
        // Held by `error_in_a_transaction_undoes_all_of_it`.
        if self.has_failed {
            let message = "an earlier statement of the transaction failed".to_owned();
            return Err(Failure { kind: FailureKind::Undone, message });
        }
        let ran = run(&mut **self.connection.as_mut().expect("a connection in use"));
        self.has_failed = self.is_in_transaction && ran.is_err();
        ran
    }
}

/// After an error inside a transaction, some databases have already rolled it back: they would run the next statement
/// outside of it, or acknowledge a commit that commits nothing. So only the rollback follows an error.
impl Connection for Pooled<'_> {
    fn execute(&mut self, statement: &str, parameters: &[Parameter<'_>]) -> Result<u64, Failure> {
        self.checked(|connection| connection.execute(statement, parameters))
    }

    fn query(&mut self, statement: &str, parameters: &[Parameter<'_>], each: EachRow<'_>) -> Result<(), Failure> {
        self.checked(|connection| connection.query(statement, parameters, each))
    }

    fn begin(&mut self, timeout: Duration) -> Result<(), Failure> {
        self.checked(|connection| connection.begin(timeout))?;
        self.is_in_transaction = true;
        Ok(())
    }

    fn begin_with(&mut self, timeout: Duration, first: &First<'_>, each: EachRow<'_>) -> Result<u64, Failure> {
        // Also if it fails: then some of it may have been done.
        self.is_in_transaction = true;
        self.checked(|connection| connection.begin_with(timeout, first, each))
    }

    fn commit(&mut self) -> Result<(), Failure> {
        self.checked(|connection| connection.commit()).map_err(Failure::at_commit)?;
        self.is_in_transaction = false;
        Ok(())
    }

    fn roll_back(&mut self) -> Result<(), Failure> {
        self.has_failed = false;
        self.checked(|connection| connection.roll_back())?;
        self.is_in_transaction = false;
        Ok(())
    }

    fn is_lost(&self) -> bool {
        self.connection.as_ref().is_none_or(|connection| connection.is_lost())
    }

    fn forget_old_rows(&mut self) {
        if let Some(connection) = &mut self.connection {
            connection.forget_old_rows();
        }
    }
}

/// Undoes a transaction that was not committed, also after a panic.
impl Drop for Pooled<'_> {
    fn drop(&mut self) {
        let Some(mut connection) = self.connection.take() else { return };
        // The parent's transaction would be undone.
        // Held by `forked_child_leaves_the_connections_to_its_parent`.
        if self.is_in_transaction && self.pool.is_forked() {
            std::mem::forget(connection);
            return;
        }
        let is_lost = connection.is_lost();
        if is_lost || self.is_in_transaction && connection.roll_back().is_err() {
            drop(connection);
            self.pool.closed();
            return;
        }
        self.pool.connections.lock().idle.push(connection);
        self.pool.returned.notify_one();
    }
}

impl Drop for Turn<'_> {
    fn drop(&mut self) {
        // In a forked child another thread of the parent may hold the lock for ever.
        if !self.0.is_forked() {
            let mut turns = self.0.turns.lock();
            *turns = turns.saturating_add(1);
            drop(turns);
            self.0.turn_ended.notify_one();
        }
    }
}

/// A forked child leaves the connections to its parent: closing one says goodbye in the parent's name.
impl Drop for Pool {
    fn drop(&mut self) {
        // Held by `store_that_a_forked_child_drops_keeps_its_connections_in_the_parent`.
        if self.is_forked() {
            std::mem::forget(std::mem::take(&mut self.connections.get_mut().idle));
        }
    }
}
