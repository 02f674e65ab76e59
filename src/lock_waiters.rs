//! Threads and tasks of this process that wait for the lock of a token.
//!
//! The end of any token's lock wakes all of them. Each also looks again by itself after a time.

use std::{
    collections::BTreeMap,
    future::Future,
    pin::Pin,
    task::{Context, Poll, Waker},
    thread,
    time::{Duration, Instant},
};

use parking_lot::{Condvar, Mutex, MutexGuard};

use crate::per_process::PerProcess;

static WAITERS: PerProcess<Waiters> = PerProcess::new();

#[derive(Default)]
struct Waiters {
    waiting: Mutex<Waiting>,
    /// For threads that wait.
    ended: Condvar,
    /// For the thread that wakes tasks.
    added: Condvar,
}

#[derive(Default)]
struct Waiting {
    /// How many locks have ended.
    ended: u64,
    /// The tasks that wait, each by the time at which it looks again and by a number of its own.
    tasks: BTreeMap<(Instant, u64), Waker>,
    last_task: u64,
    /// Whether there is a thread that wakes the tasks in time.
    has_timer: bool,
}

/// A moment, as far as locks have ended before it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Moment(u64);

pub(crate) fn now() -> Moment {
    Moment(WAITERS.get().waiting.lock().ended)
}

/// Wakes all who wait: a lock has ended.
pub(crate) fn wake_all() {
    let waiters = WAITERS.get();
    let mut waiting = waiters.waiting.lock();
    waiting.ended = waiting.ended.wrapping_add(1);
    waiters.ended.notify_all();
    // One after the other: if a waker panics, the others keep their entries, and the timer wakes them. A task that
    // waits again meanwhile has a higher number.
    let last = waiting.last_task;
    while let Some(key) = waiting.tasks.keys().find(|(_, task)| *task <= last).copied() {
        if let Some(task) = waiting.tasks.remove(&key) {
            MutexGuard::unlocked(&mut waiting, || task.wake());
        }
    }
}

/// Blocks until a lock has ended since that moment, or the time is over.
pub(crate) fn wait(since: Moment, most: Duration) {
    let waiters = WAITERS.get();
    let mut waiting = waiters.waiting.lock();
    if waiting.ended == since.0 {
        waiters.ended.wait_for(&mut waiting, most);
    }
}

/// The same for a task.
pub(crate) fn changed(since: Moment, most: Duration) -> Changed {
    let now = Instant::now();
    let until = now.checked_add(most).unwrap_or(now);
    let mut waiting = WAITERS.get().waiting.lock();
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
        let waiters = WAITERS.get();
        let mut waiting = waiters.waiting.lock();
        if waiting.ended != self.since.0 || Instant::now() >= until {
            return Poll::Ready(());
        }
        let before = waiting.tasks.insert(self.key, task);
        if !waiting.has_timer {
            let timer = thread::Builder::new().name("tokenkeep-timer".to_owned()).spawn(|| Timer.run());
            match timer {
                Ok(_) => waiting.has_timer = true,
                // The system has no thread: the task comes back at once.
                Err(_) => {
                    drop(waiting);
                    context.waker().wake_by_ref();
                    return Poll::Pending;
                }
            }
        }
        drop(waiting);
        waiters.added.notify_one();
        drop(before);
        Poll::Pending
    }
}

impl Drop for Changed {
    fn drop(&mut self) {
        let waker = WAITERS.get().waiting.lock().tasks.remove(&self.key);
        drop(waker);
    }
}

/// The thread that wakes tasks when it is time for them to look again.
struct Timer;

impl Timer {
    fn run(&self) {
        let waiters = WAITERS.get();
        let mut waiting = waiters.waiting.lock();
        while let Some((&(first, _), _)) = waiting.tasks.first_key_value() {
            let left = first.saturating_duration_since(Instant::now());
            if !left.is_zero() {
                waiters.added.wait_for(&mut waiting, left);
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
        waiting.has_timer = false;
    }
}

/// Also if a waker panics: the next task that waits starts another thread.
impl Drop for Timer {
    fn drop(&mut self) {
        if thread::panicking() {
            WAITERS.get().waiting.lock().has_timer = false;
        }
    }
}

#[cfg(test)]
mod tests {
    use std::{
        sync::{
            Arc,
            atomic::{AtomicUsize, Ordering},
        },
        task::Wake,
    };

    use super::*;

    struct Woken(AtomicUsize);

    impl Wake for Woken {
        fn wake(self: Arc<Self>) {
            self.0.fetch_add(1, Ordering::SeqCst);
        }
    }

    struct Panics;

    impl Wake for Panics {
        fn wake(self: Arc<Self>) {
            panic!("as this test wants");
        }
    }

    #[test]
    fn waker_that_panics_strands_no_other_task() {
        let since = now();
        let woken = Arc::new(Woken(AtomicUsize::new(0)));
        let (mut first, mut second) =
            (changed(since, Duration::from_millis(200)), changed(since, Duration::from_millis(400)));
        let (panics, counts) = (Waker::from(Arc::new(Panics)), Waker::from(woken.clone()));
        let is_pending =
            |future: &mut Changed, waker| Pin::new(future).poll(&mut Context::from_waker(waker)).is_pending();
        // Another test may end a lock meanwhile: then there is nothing to see here.
        if is_pending(&mut first, &panics) && is_pending(&mut second, &counts) {
            let _ = std::panic::catch_unwind(wake_all);
            let started = Instant::now();
            while woken.0.load(Ordering::SeqCst) == 0 {
                assert!(started.elapsed() < Duration::from_secs(30), "the other task sleeps for ever");
                thread::sleep(Duration::from_millis(5));
            }
        }
    }
}
