//! Threads and tasks of this process that wait for the lock of a token.
//!
//! The end of a lock wakes all of them, whichever token it was of. Each looks again by itself after a time too.

use std::{
    collections::BTreeMap,
    future::Future,
    mem,
    pin::Pin,
    process,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

static WAITING: Mutex<Waiting> = Mutex::new(Waiting { ended: 0, tasks: BTreeMap::new(), last_task: 0, timer: 0 });
/// For threads that wait.
static ENDED: Condvar = Condvar::new();
/// For the thread that wakes tasks.
static ADDED: Condvar = Condvar::new();

struct Waiting {
    /// How many locks have ended.
    ended: u64,
    /// The tasks that wait, each by the time at which it looks again and by a number of its own.
    tasks: BTreeMap<(Instant, u64), Waker>,
    last_task: u64,
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
    tasks.into_values().for_each(Waker::wake);
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
    let until = now.checked_add(most).unwrap_or(now);
    let mut waiting = WAITING.lock();
    waiting.last_task = waiting.last_task.wrapping_add(1);
    Changed { since, key: (until, waiting.last_task) }
}

#[derive(Debug)]
pub(crate) struct Changed {
    since: Moment,
    /// Of its entry while it waits.
    key: (Instant, u64),
}

impl Future for Changed {
    type Output = ();

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<()> {
        let (until, _) = self.key;
        let task = context.waker().clone();
        let mut waiting = WAITING.lock();
        if waiting.ended != self.since.0 || Instant::now() >= until {
            return Poll::Ready(());
        }
        let before = waiting.tasks.insert(self.key, task);
        if waiting.timer != process::id() {
            let timer = thread::Builder::new().name("tokenkeep-timer".to_owned()).spawn(|| Timer.run());
            match timer {
                Ok(_) => waiting.timer = process::id(),
                // The system has no thread: the task comes back at once.
                Err(_) => {
                    drop(waiting);
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        drop(waiting);
        ADDED.notify_one();
        drop(before);
        Poll::Pending
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let waker = WAITING.lock().tasks.remove(&self.key);
        drop(waker);
    }
}

/// The thread that wakes tasks when it is time for them to look again.
struct Timer;

impl Timer {
    fn run(&self) {
        let mut waiting = WAITING.lock();
        while let Some((&(first, _), _)) = waiting.tasks.first_key_value() {
            let left = first.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                ADDED.wait_for(&mut waiting, left);
                continue;
            }
            let due = waiting.tasks.pop_first();
            // A waker may run code of its own, which may wait for a lock too.
            MutexGuard::unlocked(&mut waiting, || {
                if let Some((_, task)) = due {
                    task.wake();
                }
            });
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
