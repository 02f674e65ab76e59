//! Calls into code that may hang, given up at a deadline.

use std::{
    sync::mpsc::{self, RecvTimeoutError},
    thread,
    time::{Duration, Instant},
};

/// By when all questions of one operation have to be answered.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Deadline {
    pub(super) started: Instant,
    pub(super) most: Duration,
}

/// Why there is no answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NoAnswer {
    TimedOut,
    Panicked,
    /// The system had no thread for the call.
    NoThread,
}

impl Deadline {
    pub(super) fn after(most: Duration) -> Self {
        Self { started: Instant::now(), most }
    }

    pub(super) fn left(&self) -> Duration {
        self.most.saturating_sub(self.started.elapsed())
    }
}

/// The answer of a call, if it comes in time. The call has a thread of its own, without a runtime. A call that hangs
/// goes on hanging on that thread, which is left behind. An answer that comes too late goes to `late`.
pub(super) fn answer_by<R: Send + 'static>(
    deadline: Deadline,
    call: impl FnOnce() -> R + Send + 'static,
    late: impl FnOnce(R) + Send + 'static,
) -> Result<R, NoAnswer> {
    // Without a buffer: an answer is either handed over, or known to be late.
    // Held by `late_answer_is_cleaned_up`: `1` instead of `0`.
    let (sender, receiver) = mpsc::sync_channel(0);
    // A library that is called may leave something in its thread that takes long to end. So another thread waits for
    // the end, after which nothing is left behind, and this thread waits for that one until the deadline.
    let waiting = move || {
        let answer = match spawn(call).map(thread::JoinHandle::join) {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(_)) => Err(NoAnswer::Panicked),
            Err(_) => Err(NoAnswer::NoThread),
        };
        if let Err(mpsc::SendError(Ok(answer))) = sender.send(answer) {
            late(answer);
        }
    };
    let waiting = spawn(waiting).map_err(|_| NoAnswer::NoThread)?;
    // Held by `provider_that_answers_too_late_is_asked_to_forget`,
    // `faults_of_a_secret_service_are_distinguished_in_time`: `Duration::from_secs(600)` instead of `deadline.left()`.
    match receiver.recv_timeout(deadline.left()) {
        Err(RecvTimeoutError::Timeout) => Err(NoAnswer::TimedOut),
        answer => {
            let _ = waiting.join();
            answer.unwrap_or(Err(NoAnswer::Panicked))
        }
    }
}

fn spawn<R: Send + 'static>(call: impl FnOnce() -> R + Send + 'static) -> std::io::Result<thread::JoinHandle<R>> {
    thread::Builder::new().name("tokenkeep unlock".to_owned()).spawn(call)
}

#[cfg(test)]
mod tests {
    use std::cell::RefCell;

    use super::*;

    /// A library may leave something in a thread that takes its time to end.
    #[test]
    fn thread_that_does_not_end_does_not_extend_the_deadline() {
        let started = Instant::now();
        let call = || {
            thread_local!(static SLOW: Slow = const { Slow });
            SLOW.with(|_| ());
        };
        assert_eq!(answer_by(Deadline::after(Duration::from_millis(200)), call, |()| ()), Err(NoAnswer::TimedOut));
        assert!(started.elapsed() < Duration::from_secs(15), "{:?}", started.elapsed());
    }

    struct Slow;

    impl Drop for Slow {
        fn drop(&mut self) {
            thread::sleep(Duration::from_secs(30));
        }
    }

    #[test]
    fn thread_that_has_answered_is_gone() {
        let (sender, receiver) = mpsc::channel();
        let call = move || {
            thread_local!(static AT_THE_END: RefCell<Option<OnExit>> = const { RefCell::new(None) });
            AT_THE_END.set(Some(OnExit(sender)));
        };
        assert_eq!(answer_by(Deadline::after(Duration::from_secs(10)), call, |()| ()), Ok(()));
        // The thread's own last act came before the answer was passed on.
        assert!(receiver.try_recv().is_ok());
    }

    struct OnExit(mpsc::Sender<()>);

    impl Drop for OnExit {
        fn drop(&mut self) {
            thread::sleep(Duration::from_millis(50));
            let _ = self.0.send(());
        }
    }

    #[test]
    fn late_answer_is_cleaned_up() {
        let (sender, receiver) = mpsc::channel();
        let call = || {
            thread::sleep(Duration::from_millis(200));
            7
        };
        let late = move |answer| sender.send(answer).unwrap();
        assert_eq!(answer_by(Deadline::after(Duration::from_millis(10)), call, late), Err(NoAnswer::TimedOut));
        assert_eq!(receiver.recv_timeout(Duration::from_secs(15)), Ok(7));
    }

    #[test]
    fn panic_is_no_answer() {
        let answer = answer_by(Deadline::after(Duration::from_secs(10)), || panic!("as the test asks"), |()| ());
        assert_eq!(answer, Err(NoAnswer::Panicked));
    }
}
