//! The threads of one handle that want to write: one of them leads, and commits the changes of all who wait as one.
//!
//! So that many threads cost one replacement and not one each (group commit). No thread returns before the replacement
//! with its change is on the disk, or has failed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, mem,
};

use parking_lot::{Condvar, Mutex};

use crate::{
    changes::ChangeSet,
    error::{Error, Result},
    file::{Unsynced, Wait},
};

/// A change that waits for its commit. It keeps its own result. It may be made more than once.
pub(super) type Change = Box<dyn FnMut(&mut ChangeSet<'_>) + Send>;

/// The outcome of the replacement that a change was in: if the replacement is visible, why a power cut may undo it.
pub(super) type Committed = Result<Option<Unsynced>>;

/// The outcome of a group of changes that was committed.
#[derive(Debug, Default)]
pub(super) struct Group {
    /// The places of changes that were left out, and why.
    pub(super) refused: Vec<(usize, Error)>,
    /// Of all other changes.
    pub(super) unsynced: Option<Unsynced>,
}

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

/// A place in the queue: the lowest leads next, and earlier changes are made first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Ticket(u64);

#[derive(Default)]
struct Queue {
    is_led: bool,
    last_ticket: u64,
    /// Changes that any leader may commit.
    waiting: BTreeMap<Ticket, Change>,
    /// Threads that wait to commit something by themselves.
    waiting_alone: BTreeSet<Ticket>,
    committed: BTreeMap<Ticket, Committed>,
}

impl Queue {
    fn ticket(&mut self) -> Ticket {
        self.last_ticket = self.last_ticket.saturating_add(1);
        Ticket(self.last_ticket)
    }

    /// Whether no other ticket is before this one.
    fn is_first(&self, ticket: Ticket) -> bool {
        let first = self.waiting.first_key_value().map(|(first, _)| first);
        first.into_iter().chain(self.waiting_alone.first()).all(|first| ticket <= *first)
    }
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
    own: Ticket,
    /// Changes of others that are being committed.
    taken: Vec<Ticket>,
}

impl Writers {
    pub(super) fn enqueue(&self, change: Change) -> Ticket {
        let mut queue = self.queue.lock();
        let ticket = queue.ticket();
        queue.waiting.insert(ticket, change);
        ticket
    }

    /// Waits for the turn to write, or until the change of that ticket has been committed by whoever had it. If neither
    /// comes in time, that change is never made.
    pub(super) fn turn(&self, own: Ticket, wait: &Wait) -> Result<Turn<'_>> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(committed) = queue.committed.remove(&own) {
                return Ok(Turn::Past(committed));
            }
            if !queue.waiting.contains_key(&own) && !queue.waiting_alone.contains(&own) {
                // It is being committed, and cannot be called off.
                self.moved.wait(&mut queue);
            } else if !queue.is_led && queue.is_first(own) {
                queue.is_led = true;
                queue.waiting_alone.remove(&own);
                return Ok(Turn::Ours(Lead { writers: self, own, taken: Vec::new() }));
            } else if wait.left().is_zero() {
                queue.waiting.remove(&own);
                queue.waiting_alone.remove(&own);
                // Another may be first now.
                self.moved.notify_all();
                return Err(wait.busy());
            } else {
                self.moved.wait_for(&mut queue, wait.left());
            }
        }
    }

    /// Waits for the turn to write something that is not in the queue.
    pub(super) fn lead(&self, wait: &Wait) -> Result<Lead<'_>> {
        let own = {
            let mut queue = self.queue.lock();
            let own = queue.ticket();
            queue.waiting_alone.insert(own);
            own
        };
        match self.turn(own, wait)? {
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
    /// Commits all changes that wait, and says what became of one's own. An error of the commit is an error of each
    /// change: nothing is tried a second time, so that a full or failing disk costs all of them one attempt together.
    pub(super) fn commit_all(&mut self, commit: impl FnOnce(&mut [Change]) -> Result<Group>) -> Committed {
        let waiting = mem::take(&mut self.writers.queue.lock().waiting);
        let (tickets, mut changes): (Vec<_>, Vec<_>) = waiting.into_iter().unzip();
        self.taken = tickets.iter().copied().filter(|ticket| *ticket != self.own).collect();
        let committed: BTreeMap<Ticket, Committed> = match commit(&mut changes) {
            Ok(Group { refused, unsynced }) => {
                let refused = refused.into_iter().filter_map(|(n, error)| Some((*tickets.get(n)?, Err(error))));
                let all = tickets.iter().map(|ticket| (*ticket, Ok(unsynced.as_ref().map(Unsynced::again))));
                all.chain(refused).collect()
            }
            Err(error) => tickets.iter().map(|ticket| (*ticket, Err(error.again()))).collect(),
        };
        let mut queue = self.writers.queue.lock();
        self.taken.clear();
        queue.committed.extend(committed);
        queue.committed.remove(&self.own).unwrap_or_else(|| Err(abandoned()))
    }
}

impl Drop for Lead<'_> {
    fn drop(&mut self) {
        let mut queue = self.writers.queue.lock();
        queue.is_led = false;
        // One that was never taken, for want of the lock.
        queue.waiting.remove(&self.own);
        // After a panic.
        queue.committed.extend(self.taken.drain(..).map(|ticket| (ticket, Err(abandoned()))));
        drop(queue);
        self.writers.moved.notify_all();
    }
}

fn abandoned() -> Error {
    Error::internal("a thread that was committing a group of changes panicked")
}

#[cfg(test)]
mod tests;
