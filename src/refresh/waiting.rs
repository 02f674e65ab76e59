//! Threads and tasks of this process that wait for a claim.
//!
//! The end of a claim of this process wakes all of them. For the claims of other processes they look again now and then.

use std::{
    future::Future,
    mem,
    pin::Pin,
    process,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex};

/// How long a caller waits before it looks at the store again.
const BETWEEN_LOOKS: Duration = Duration::from_millis(25);
/// How long a task waits before it looks when all tasks are woken: less, because its wait begins between two of them.
const BEFORE_LOOK: Duration = Duration::from_millis(12);

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { ended: 0, tasks: Vec::new(), waking_process: 0 });
static ENDED: Condvar = Condvar::new();

struct Waiting {
    /// How many claims have ended.
    ended: u64,
    tasks: Vec<Waker>,
    /// The process whose thread wakes the tasks now and then; 0: none. A forked child has a copy of this value, and no
    /// such thread.
    waking_process: u32,
}

/// A moment, as far as claims have ended before it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment(u64);

pub(super) fn now() -> Moment {
    Moment(WAITING.lock().ended)
}

/// Wakes all who wait: a claim has ended.
pub(super) fn wake_all() {
    let mut waiting = WAITING.lock();
    waiting.ended = waiting.ended.wrapping_add(1);
    let tasks = mem::take(&mut waiting.tasks);
    drop(waiting);
    ENDED.notify_all();
    tasks.into_iter().for_each(Waker::wake);
}

/// Blocks until a claim has ended since that moment, or it is time to look again.
pub(super) fn wait(since: Moment, most: Duration) {
    let mut waiting = WAITING.lock();
    if waiting.ended == since.0 {
        ENDED.wait_for(&mut waiting, most.min(BETWEEN_LOOKS));
    }
}

/// The same for a task. A thread wakes all tasks at the same time, so a task may have to wait for the next time.
pub(super) fn changed(since: Moment, most: Duration) -> Changed {
    Changed { since, until: Instant::now().checked_add(most.min(BEFORE_LOOK)) }
}

#[derive(Debug)]
pub(super) struct Changed {
    since: Moment,
    until: Option<Instant>,
}

impl Future for Changed {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let mut waiting = WAITING.lock();
        if waiting.ended != self.since.0 || self.until.is_none_or(|until| Instant::now() >= until) {
            return Poll::Ready(());
        }
        if !waiting.tasks.iter().any(|task| task.will_wake(context.waker())) {
            waiting.tasks.push(context.waker().clone());
        }
        if waiting.waking_process != process::id() {
            let thread = thread::Builder::new().name("tokenkeep-wait".to_owned()).spawn(wake_now_and_then);
            match thread {
                Ok(_) => waiting.waking_process = process::id(),
                // The system has no thread for it, so the task comes back at once.
                Err(_) => context.waker().wake_by_ref(),
            }
        }
        Poll::Pending
    }
}

/// Wakes the tasks that wait, for as long as there are any.
fn wake_now_and_then() {
    loop {
        thread::sleep(BETWEEN_LOOKS);
        let mut waiting = WAITING.lock();
        let tasks = mem::take(&mut waiting.tasks);
        if tasks.is_empty() {
            waiting.waking_process = 0;
            return;
        }
        drop(waiting);
        tasks.into_iter().for_each(Waker::wake);
    }
}
