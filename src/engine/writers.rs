//! The threads of one handle that want to write: one of them leads, and commits the changes of all who wait as one.
//!
//! So that many threads cost one replacement and not one each (group commit). Nobody returns before the replacement that his own
//! change is in is on the disk, or has failed for that change alone.

use std::{collections::BTreeMap, fmt, io, mem, path::PathBuf, time::Instant};

use parking_lot::{Condvar, Mutex};

use crate::{
    changes::Changes,
    error::{Error, Result},
    file::{Turns, Wait},
};

/// A change that waits for its commit. It keeps its own result. It is made once more if the group that it was in fails.
pub(super) type Change = Box<dyn FnMut(&mut Changes<'_>) + Send>;

/// What became of the replacement that a change was in: if it is visible, what stands in the way of calling it durable.
pub(super) type Committed = Result<Option<(PathBuf, io::Error)>>;

#[derive(Default)]
pub(super) struct Writers {
    queue: Mutex<Queue>,
    moved: Condvar,
}

impl fmt::Debug for Writers {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Writers").finish_non_exhaustive()
    }
}

/// A change's place in the queue: earlier ones are made first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

#[derive(Default)]
struct Queue {
    is_led: bool,
    turns: Turns,
    last_ticket: u64,
    waiting: BTreeMap<Ticket, Change>,
    committed: BTreeMap<Ticket, Committed>,
}

/// Whose turn it is.
pub(super) enum Turn<'a> {
    Ours(Lead<'a>),
    /// It was another's, who has committed our change too.
    Past(Committed),
}

/// The turn to write, until it is dropped.
pub(super) struct Lead<'a> {
    writers: &'a Writers,
    turns: Turns,
    own: Option<Ticket>,
    /// Changes of others that are being committed.
    taken: Vec<Ticket>,
}

impl Writers {
    pub(super) fn enqueue(&self, change: Change) -> Ticket {
        let mut queue = self.queue.lock();
        queue.last_ticket = queue.last_ticket.saturating_add(1);
        let ticket = Ticket(queue.last_ticket);
        queue.waiting.insert(ticket, change);
        ticket
    }

    /// Waits for the turn to write, or until the change of that ticket has been committed by whoever had it. If neither comes in
    /// time, that change is never made.
    pub(super) fn turn(&self, own: Option<Ticket>, wait: &Wait) -> Result<Turn<'_>> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(committed) = own.and_then(|own| queue.committed.remove(&own)) {
                return Ok(Turn::Past(committed));
            }
            if own.is_some_and(|own| !queue.waiting.contains_key(&own)) {
                // It is being committed, and cannot be called off.
                self.moved.wait(&mut queue);
            } else if !queue.is_led {
                queue.is_led = true;
                let turns = mem::take(&mut queue.turns);
                return Ok(Turn::Ours(Lead { writers: self, turns, own, taken: Vec::new() }));
            } else if wait.left().is_zero() {
                own.and_then(|own| queue.waiting.remove(&own));
                return Err(wait.busy());
            } else {
                self.moved.wait_for(&mut queue, wait.left());
            }
        }
    }

    /// Waits for the turn to write something that is not in the queue.
    pub(super) fn lead(&self, wait: &Wait) -> Result<Lead<'_>> {
        match self.turn(None, wait)? {
            Turn::Ours(lead) => Ok(lead),
            Turn::Past(_) => Err(abandoned()),
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().waiting.len()
    }
}

impl Lead<'_> {
    /// To be called before the lock of the file is taken.
    pub(super) fn begin(&mut self, wait: &Wait) {
        self.turns.begin(wait, Instant::now());
    }

    /// To be called after the lock of the file was given up.
    pub(super) fn end(&mut self) {
        self.turns.end();
    }

    /// Commits all changes that wait, and says what became of one's own. A group that fails is taken apart: each change gets the
    /// error that is its own, and what can be done is done.
    pub(super) fn commit_all(&mut self, mut commit: impl FnMut(&mut [Change]) -> Committed) -> Committed {
        let waiting = mem::take(&mut self.writers.queue.lock().waiting);
        let (tickets, mut changes): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        self.taken = tickets.iter().copied().filter(|ticket| Some(*ticket) != self.own).collect();
        let committed: Vec<Committed> = match commit(&mut changes) {
            Ok(unconfirmed) => tickets.iter().map(|_| Ok(unconfirmed.as_ref().map(again))).collect(),
            Err(error) if tickets.len() == 1 => vec![Err(error)],
            Err(_) => changes.chunks_mut(1).map(commit).collect(),
        };
        let mut queue = self.writers.queue.lock();
        self.taken.clear();
        queue.committed.extend(tickets.into_iter().zip(committed));
        self.own.and_then(|own| queue.committed.remove(&own)).unwrap_or_else(|| Err(abandoned()))
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut queue = self.writers.queue.lock();
        queue.is_led = false;
        queue.turns = mem::take(&mut self.turns);
        // One that was never taken, for want of the lock.
        self.own.and_then(|own| queue.waiting.remove(&own));
        // After a panic.
        queue.committed.extend(self.taken.drain(..).map(|ticket| (ticket, Err(abandoned()))));
        drop(queue);
        self.writers.moved.notify_all();
    }
}

/// The same failure, for another who was in it.
fn again((path, error): &(PathBuf, io::Error)) -> (PathBuf, io::Error) {
    let error = error
        .raw_os_error()
        .map_or_else(|| io::Error::new(error.kind(), error.to_string()), io::Error::from_raw_os_error);
    (path.clone(), error)
}

fn abandoned() -> Error {
    Error::internal("a thread that was committing a group of changes panicked")
}

#[cfg(test)]
mod tests;
