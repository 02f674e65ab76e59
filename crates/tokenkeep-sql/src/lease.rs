//! The lock on one token: a lease in its row, which ends by itself.

use std::{
    ops::ControlFlow,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    time::{Duration, Instant},
};

use parking_lot::Mutex;
use tokenkeep::{
    Error, LockAttempt, Result, TokenId, TokenLock,
    vault::{BlindIndex, IndexedValue},
};

use crate::{
    cells,
    engine::{Cell, Parameter, Row},
    inside,
    shared::Shared,
    writer::{Subject, Writer},
};

/// A lease that ends later than this counts as none: a clock was wrong, or somebody else wrote it.
pub(crate) const LONGEST: Duration = Duration::from_secs(600);
/// When a caller that waits looks again at the latest: another host cannot wake it.
const LOOK_AGAIN: Duration = Duration::from_millis(250);

/// The lease columns of a row, by the database's clock.
struct LeaseRow {
    /// For how long another holder has the lease.
    left: Option<Duration>,
    was_started: bool,
}

impl LeaseRow {
    fn read(row: &dyn Row) -> Result<Self, cells::Flaw> {
        let now = cells::integer(row, 3).ok_or("the database has no clock")?;
        let until = match (row.cell(0), cells::integer(row, 1)) {
            (Cell::Null, _) => None,
            (_, until) => until,
        };
        let left = until.and_then(|until| u64::try_from(until.saturating_sub(now)).ok()).map(Duration::from_millis);
        let left = left.filter(|left| !left.is_zero() && *left <= LONGEST);
        Ok(Self { left, was_started: cells::integer(row, 2) != Some(0) })
    }
}

/// Takes the lease on the token of that id, if it is free.
pub(crate) fn lock_token(store: &Arc<Shared>, namespace: &Arc<str>, id: &TokenId) -> Result<LockAttempt> {
    store.check_caller()?;
    // A look first, so that a caller that waits writes nothing.
    let looked = {
        let index = store.vault().blind_index(namespace, IndexedValue::Id(id))?;
        store.look(|connection| read(store, connection, &index))?
    };
    if let Some(left) = looked.and_then(|row| row.left) {
        return Ok(held(left));
    }
    let (holder, taken_at) = (new_holder(store)?, Instant::now());
    let taken = store.write(Subject::Leases, |writer| take(writer, namespace, id, &holder))?;
    Ok(match taken {
        Taken::Lease { was_started } => LockAttempt::Locked(Box::new(Lease {
            store: store.clone(),
            namespace: namespace.clone(),
            id: id.clone(),
            holder,
            since: Mutex::new(taken_at),
            was_left_unfinished: was_started,
            is_over: AtomicBool::new(false),
        })),
        Taken::NotStored => LockAttempt::Locked(Box::new(OfNothing)),
        Taken::Held(left) => held(left),
    })
}

fn held(left: Duration) -> LockAttempt {
    LockAttempt::Held { look_again: left.min(LOOK_AGAIN) }
}

enum Taken {
    Lease { was_started: bool },
    NotStored,
    Held(Duration),
}

fn take(writer: &mut Writer<'_>, namespace: &str, id: &TokenId, holder: &str) -> Result<Taken> {
    let store = writer.store;
    let index = writer.vault.blind_index(namespace, IndexedValue::Id(id))?;
    let Some(LeaseRow { left, was_started }) = read(store, &mut writer.connection, &index)? else {
        return Ok(Taken::NotStored);
    };
    if let Some(left) = left {
        return Ok(Taken::Held(left));
    }
    let parameters = [Parameter::Text(holder), millis(store.settings.lease), Parameter::Bytes(&index)];
    writer.execute(&store.statements.take_lease, &parameters)?;
    Ok(Taken::Lease { was_started })
}

fn read(
    store: &Shared,
    connection: &mut dyn crate::engine::Connection,
    index: &BlindIndex,
) -> Result<Option<LeaseRow>> {
    let mut read = None;
    let queried = connection.query(&store.statements.lease, &[Parameter::Bytes(index)], &mut |row| {
        read = Some(LeaseRow::read(row));
        ControlFlow::Break(())
    });
    queried.map_err(|failure| store.failed(failure))?;
    read.transpose().map_err(|flaw| store.malformed(flaw))
}

/// A name that no other lease has.
fn new_holder(store: &Shared) -> Result<String> {
    let mut random = [0; 16];
    getrandom::fill(&mut random).map_err(|_| Error::Random)?;
    Ok(format!("{} {:032x}", store.settings.holder, u128::from_be_bytes(random)))
}

fn millis(duration: Duration) -> Parameter<'static> {
    Parameter::Integer(i64::try_from(duration.as_millis()).unwrap_or(i64::MAX))
}

/// A lease that this process has taken.
struct Lease {
    store: Arc<Shared>,
    namespace: Arc<str>,
    id: TokenId,
    holder: String,
    /// From before the statement that took or renewed it, so that it ends here no later than in the database.
    since: Mutex<Instant>,
    was_left_unfinished: bool,
    is_over: AtomicBool,
}

impl Lease {
    /// Changes the lease, if it still is this one and is not over.
    fn change(&self, statement: &str, first: Option<Parameter<'_>>) -> Result<()> {
        let changed = self.store.write(Subject::Leases, |writer| {
            let index = writer.vault.blind_index(&self.namespace, IndexedValue::Id(&self.id))?;
            let of_lease = [Parameter::Bytes(&index), Parameter::Text(&self.holder)];
            let parameters: Vec<_> = first.into_iter().chain(of_lease).collect();
            writer.execute(statement, &parameters)
        })?;
        if changed == 1 {
            return Ok(());
        }
        self.is_over.store(true, Ordering::Relaxed);
        Err(Error::ClaimEnded)
    }

    /// Gives the lease up. One that cannot be given up ends by itself.
    fn end(&self, statement: &str) {
        if !self.is_over.swap(true, Ordering::Relaxed) && !inside::is_inside(&self.store) {
            let _ = self.change(statement, None);
        }
    }
}

impl TokenLock for Lease {
    fn is_held(&self) -> bool {
        !self.is_over.load(Ordering::Relaxed) && self.since.lock().elapsed() < self.store.settings.lease
    }

    fn start(&self) -> Result<()> {
        self.change(&self.store.statements.start_lease, None)
    }

    fn was_left_unfinished(&self) -> bool {
        self.was_left_unfinished
    }

    fn finish(self: Box<Self>) {
        self.end(&self.store.statements.finish_lease);
    }

    fn lease(&self) -> Option<Duration> {
        Some(self.store.settings.lease)
    }

    fn renew(&self) -> Result<()> {
        let renewed_at = Instant::now();
        self.change(&self.store.statements.renew_lease, Some(millis(self.store.settings.lease)))?;
        *self.since.lock() = renewed_at;
        Ok(())
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        self.end(&self.store.statements.drop_lease);
    }
}

/// The lock on an id that is not stored: there is no refresh token that two holders could send.
struct OfNothing;

impl TokenLock for OfNothing {
    fn is_held(&self) -> bool {
        true
    }

    fn start(&self) -> Result<()> {
        Err(Error::NoSuchToken)
    }

    fn was_left_unfinished(&self) -> bool {
        false
    }

    fn finish(self: Box<Self>) {}
}
