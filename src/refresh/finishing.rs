//! The end of a claim in async code: on a thread of its own, which goes on if the future is dropped.

use std::{
    future::Future,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll, Waker},
    thread,
};

use parking_lot::Mutex;

use super::{Answer, Claim, RefreshError, RefreshStep, Refreshed};
use crate::error::Error;

type Outcome = Result<Refreshed, RefreshError>;

/// What comes of a claim, once a thread has ended it.
pub(super) struct Finishing(Arc<Mutex<State>>);

/// What the thread and the future share.
struct State {
    /// Taken by the thread when it begins.
    job: Option<(Claim, Answer)>,
    outcome: Option<Outcome>,
    waker: Option<Waker>,
}

/// Ends the claim with the answer, also if what this returns is never polled.
pub(super) fn finish(claim: Claim, answer: Answer) -> Finishing {
    let state = Arc::new(Mutex::new(State { job: Some((claim, answer)), outcome: None, waker: None }));
    let shared = state.clone();
    let thread = thread::Builder::new().name("tokenkeep-save".to_owned()).spawn(move || run(&shared));
    if thread.is_err() {
        // The system has no thread for it. Blocking the task is better than losing the answer.
        run(&state);
    }
    Finishing(state)
}

fn run(state: &Mutex<State>) {
    let Some((claim, answer)) = state.lock().job.take() else { return };
    let mut ending = Ending { state, outcome: None };
    ending.outcome = Some(claim.finish(answer));
}

/// Hands the outcome over when it is dropped, also by a panic of the store.
struct Ending<'a> {
    state: &'a Mutex<State>,
    outcome: Option<Outcome>,
}

impl Drop for Ending<'_> {
    fn drop(&mut self) {
        let panicked = || Err(RefreshError::new(RefreshStep::Save, Error::internal("a store panicked during a save")));
        let mut state = self.state.lock();
        state.outcome = Some(self.outcome.take().unwrap_or_else(panicked));
        let waker = state.waker.take();
        drop(state);
        if let Some(waker) = waker {
            waker.wake();
        }
    }
}

impl Future for Finishing {
    type Output = Outcome;

    fn poll(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Outcome> {
        let mut state = self.0.lock();
        match state.outcome.take() {
            Some(outcome) => Poll::Ready(outcome),
            None => {
                state.waker = Some(context.waker().clone());
                Poll::Pending
            }
        }
    }
}
