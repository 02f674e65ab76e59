//! The threads of one handle that want to write: one of them leads, and commits the changes of all who wait as one.
//!
//! This is a group commit: the changes of many threads cost one record or one replacement. A thread whose change was
//! taken into a group returns when that commit has ended. A thread whose change was not taken before its deadline gets
//! `Busy`, and the change is never made. A transaction, and a change of key slots, is committed alone (`lead`).

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt, mem,
};

use parking_lot::{Condvar, Mutex};

use crate::{
    changes::{Change, Effect},
    error::{Error, Result},
    file::Deadline,
};

#[derive(Default)]
pub(super) struct Writers {
    pub(super) queue: Mutex<Queue>,
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
pub(super) struct Queue {
    is_led: bool,
    last_ticket: u64,
    /// Changes that any leader may commit.
    waiting: BTreeMap<Ticket, Change>,
    /// Threads that wait to commit something by themselves.
    pub(super) waiting_alone: BTreeSet<Ticket>,
    /// The results of changes that a leader has committed for others.
    pub(super) finished: BTreeMap<Ticket, Result<Effect>>,
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

/// What has become of a thread that waited to write.
pub(super) enum Role<'a> {
    Leader(Leader<'a>),
    /// Another thread led, and has committed this one's change too.
    Follower(Result<Effect>),
}

/// The thread whose turn it is to write, until this is dropped.
pub(super) struct Leader<'a> {
    writers: &'a Writers,
    own: Ticket,
    /// The changes that are being committed, in the order of their tickets.
    group: Vec<Ticket>,
}

impl Writers {
    pub(super) fn enqueue(&self, change: Change) -> Ticket {
        let mut queue = self.queue.lock();
        let ticket = queue.ticket();
        queue.waiting.insert(ticket, change);
        ticket
    }

    /// Waits for the turn to write, or until a leader has committed the change of that ticket. If neither comes in
    /// time, that change is never made.
    pub(super) fn wait_for_turn(&self, own: Ticket, deadline: &Deadline) -> Result<Role<'_>> {
        let mut queue = self.queue.lock();
        loop {
            if let Some(result) = queue.finished.remove(&own) {
                return Ok(Role::Follower(result));
            }
            if !queue.waiting.contains_key(&own) && !queue.waiting_alone.contains(&own) {
                // It is being committed, and cannot be called off.
                self.moved.wait(&mut queue);
            // Held by `threads_lead_in_the_order_they_came`: `!queue.is_led && !queue.waiting_alone.contains(&own)`.
            } else if !queue.is_led && queue.is_first(own) {
                queue.is_led = true;
                queue.waiting_alone.remove(&own);
                return Ok(Role::Leader(Leader { writers: self, own, group: Vec::new() }));
            } else if deadline.left().is_zero() {
                // Held by `one_that_has_waited_too_long_is_never_made`.
                queue.waiting.remove(&own);
                queue.waiting_alone.remove(&own);
                // Another may be first now.
                self.moved.notify_all();
                return Err(deadline.busy());
            } else {
                self.moved.wait_for(&mut queue, deadline.left());
            }
        }
    }

    /// Waits for the turn to write something that is not in the queue.
    pub(super) fn lead(&self, deadline: &Deadline) -> Result<Leader<'_>> {
        let own = {
            let mut queue = self.queue.lock();
            let own = queue.ticket();
            queue.waiting_alone.insert(own);
            own
        };
        match self.wait_for_turn(own, deadline)? {
            Role::Leader(leader) => Ok(leader),
            Role::Follower(_) => Err(abandoned()),
        }
    }

    #[cfg(test)]
    pub(super) fn waiting(&self) -> usize {
        self.queue.lock().waiting.len()
    }
}

impl Leader<'_> {
    /// All changes that wait, in their order. Theirs is the next commit.
    pub(super) fn take_group(&mut self) -> Vec<Change> {
        let mut queue = self.writers.queue.lock();
        let (tickets, changes) = mem::take(&mut queue.waiting).into_iter().unzip();
        self.group = tickets;
        changes
    }

    /// Hands out the results of the group, one for each change, and returns that of the leader's own change. An error
    /// of the commit is an error of each change. The changes are not tried one by one after it, so that a full or
    /// failing disk costs the group no more than one change.
    pub(super) fn hand_out(&mut self, committed: Result<Vec<Result<Effect>>>) -> Result<Effect> {
        let results = committed.unwrap_or_else(|error| self.group.iter().map(|_| Err(error.again())).collect());
        let mut queue = self.writers.queue.lock();
        let handed_out = results.len().min(self.group.len());
        queue.finished.extend(self.group.drain(..handed_out).zip(results));
        queue.finished.remove(&self.own).unwrap_or_else(|| Err(abandoned()))
    }
}

impl Drop for Leader<'_> {
    fn drop(&mut self) {
        let mut queue = self.writers.queue.lock();
        queue.is_led = false;
        // One that was never taken, for want of the lock.
        // Held by `leader_that_fails_leaves_nothing_behind`.
        queue.waiting.remove(&self.own);
        // After a panic.
        let followers = self.group.drain(..).filter(|ticket| *ticket != self.own);
        queue.finished.extend(followers.map(|ticket| (ticket, Err(abandoned()))));
        drop(queue);
        self.writers.moved.notify_all();
    }
}

fn abandoned() -> Error {
    Error::internal("a thread that was committing a group of changes panicked")
}
