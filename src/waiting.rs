//! Threads and tasks of this process that wait for the lock of a token.
//!
//! The end of a lock wakes all of them, whichever token it was of. Each looks again by itself after a time too.

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

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { ended: 0, tasks: Vec::new(), timer: 0 });
/// For threads that wait.
static ENDED: Condvar = Condvar::new();
/// For the thread that wakes tasks.
static ADDED: Condvar = Condvar::new();

struct Waiting {
    /// How many locks have ended.
    ended: u64,
    /// The tasks that wait, each with the time at which it looks again.
    tasks: Vec<(Instant, Waker)>,
    /// The process whose thread wakes the tasks in time; 0: none. A forked child has a copy of this value, and no such
    /// thread.
    timer: u32,
}

/// A moment, as far as locks have ended before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment(u64);

pub(crate) fn now() -> Moment {
    Moment(WAITING.lock().ended)
}

/// Wakes all who wait: a lock has ended.
pub(crate) fn wake_all() {
    let mut waiting = WAITING.lock();
    waiting.ended = waiting.ended.wrapping_add(1);
    let tasks = mem::take(&mut waiting.tasks);
    drop(waiting);
    ENDED.notify_all();
    tasks.into_iter().for_each(|(_, task)| task.wake());
}

/// Blocks until a lock has ended since that moment, or the time is over.
pub(crate) fn wait(since: Moment, most: Duration) {
    let mut waiting = WAITING.lock();
    if waiting.ended == since.0 {
        ENDED.wait_for(&mut waiting, most);
    }
}

/// The same for a task.
pub(crate) fn changed(since: Moment, most: Duration) -> Changed {
    let now = Instant::now();
    Changed { since, until: now.checked_add(most).unwrap_or(now) }
}

#[derive(Debug)]
pub(crate) struct Changed {
    since: Moment,
    until: Instant,
}

impl Future for Changed {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let task = context.waker().clone();
        let mut waiting = WAITING.lock();
        if waiting.ended != self.since.0 || Instant::now() >= self.until {
            return Poll::Ready(());
        }
        waiting.tasks.push((self.until, task));
        if waiting.timer == process::id() {
            ADDED.notify_one();
            return Poll::Pending;
        }
        let timer = thread::Builder::new().name("tokenkeep-timer".to_owned()).spawn(|| Timer.run());
        if timer.is_ok() {
            waiting.timer = process::id();
            return Poll::Pending;
        }
        drop(waiting);
        // The system has no thread: the task comes back at once.
        context.waker().wake_by_ref();
        Poll::Pending
    }
}

/// The thread that wakes tasks when it is time for them to look again.
struct Timer;

impl Timer {
    fn run(&self) {
        let mut waiting = WAITING.lock();
        while let Some(first) = waiting.tasks.iter().map(|(until, _)| *until).min() {
            let now = Instant::now();
            if first > now {
                ADDED.wait_for(&mut waiting, first.saturating_duration_since(now));
                continue;
            }
            let (due, later) = mem::take(&mut waiting.tasks).into_iter().partition(|(until, _)| *until <= now);
            waiting.tasks = later;
            drop(waiting);
            let due: Vec<(Instant, Waker)> = due;
            due.into_iter().for_each(|(_, task)| task.wake());
            waiting = WAITING.lock();
        }
        waiting.timer = 0;
    }
}

/// Also if a waker panics: the next task that waits starts another thread.
impl Drop for Timer {
    fn drop(&mut self) {
        if thread::panicking() {
            WAITING.lock().timer = 0;
        }
    }
}
