//! A process whose threads ask for one token again and again, until it is killed or asked to end.
//!
//! Two threads block, two run a runtime. A thread asks for permission before it sends a request, so that no process is
//! killed between the request and the save.

use std::{
    fs::File,
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use tokenkeep::{
    Answer, Error, Keystore, Need, RefreshError, RefreshStep, Refreshed, StaleReason, Token, TokenStoreExt,
};
use tokio::runtime::{Builder, Runtime};

use crate::{
    client::Client,
    clock::Clock,
    many::Trouble,
    process::say,
    stage::{ada, open, random, secret},
};

/// A thread without a token for so long has found something wrong.
const LONGEST: Duration = Duration::from_secs(60);

/// The file whose lock a thread shares while no process may be killed.
pub(crate) fn window(directory: &Path, number: usize) -> PathBuf {
    directory.join(format!("window-{number}"))
}

/// The file that tells the processes to end.
pub(crate) fn end(directory: &Path) -> PathBuf {
    directory.join("end")
}

/// The permission to send a request, until it is dropped.
struct Permission(#[expect(dead_code, reason = "it is open, and locked")] File);

impl Permission {
    fn ask(window: &Path) -> Self {
        // Others may kill the process here: it has the claim, and has sent nothing.
        thread::sleep(Duration::from_millis(random(8)));
        let file = File::open(window).unwrap();
        file.lock_shared().unwrap();
        Self(file)
    }
}

/// What the threads have seen, by number.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Seen {
    Call,
    /// This caller has sent a request.
    Request,
    /// Another caller refreshes the token, which is still valid.
    Refreshing,
    BackedOff,
    FailedSave,
    /// No claim was given, because the disk is full.
    NoRoom,
    NotSignedIn,
}

pub(crate) const KINDS: usize = 7;

/// Counts of what was seen. A process prints them now and then, because it may be killed.
#[derive(Default)]
struct Counts([AtomicUsize; KINDS]);

impl Counts {
    fn add(&self, seen: Seen) {
        let count = self.0[seen as usize].fetch_add(1, Ordering::SeqCst);
        if count >= 20 || !matches!(seen, Seen::Call | Seen::Refreshing | Seen::BackedOff) {
            self.print();
        }
    }

    fn print(&self) {
        let counts = self.0.each_ref().map(|count| count.swap(0, Ordering::SeqCst).to_string());
        say(&counts.join(" "));
    }
}

#[derive(Clone)]
struct Asking {
    store: Keystore,
    client: Client,
    trouble: Trouble,
    window: PathBuf,
    timeout: Duration,
    counts: Arc<Counts>,
}

/// The job of one process.
pub(crate) fn work(trouble: &str, number: &str, directory: &str, address: &str, clock: &str) {
    let directory = Path::new(directory);
    let clock = Clock::parse(clock);
    let client = Client { address: address.parse().unwrap(), clock };
    let window = window(directory, number.parse().unwrap());
    let (store, trouble, counts) = (open(directory), Trouble::parse(trouble), Arc::new(Counts::default()));
    let asking = Asking { store, client, trouble, window, timeout: Duration::from_secs(30), counts: counts.clone() };
    let timeout = if trouble == Trouble::FullDisk { Duration::from_millis(300) } else { asking.timeout };
    let impatient = Asking { timeout, ..asking.clone() };
    let runtimes = [Builder::new_current_thread(), Builder::new_multi_thread()]
        .map(|mut builder| builder.enable_time().worker_threads(2).build().unwrap());
    let end = &end(directory);
    thread::scope(|scope| {
        for (asking, runtime) in [&asking, &impatient].into_iter().zip(&runtimes) {
            scope.spawn(|| or_exit(|| asking.ask_until(end, |need| asking.blocking(need))));
            scope.spawn(|| or_exit(|| asking.ask_until(end, |need| asking.in_runtime(runtime, need))));
        }
    });
    counts.print();
}

/// Other threads do not learn what went wrong from a thread that panics while its process works on.
fn or_exit(work: impl FnOnce()) {
    if catch_unwind(AssertUnwindSafe(work)).is_err() {
        std::process::exit(3);
    }
}

impl Asking {
    /// Asks until the file is there, and then until it has a token once more.
    fn ask_until(&self, end: &Path, ask: impl Fn(Need) -> (SystemTime, Result<Refreshed, RefreshError>)) {
        let mut rejected: Option<Token> = None;
        let mut last_success = Instant::now();
        loop {
            let is_last = end.exists();
            let need = rejected.as_ref().map_or_else(Need::default, Need::rejected);
            let need = need.timeout(self.timeout).trusted_for(Duration::from_secs(3600));
            let (before, result) = ask(self.client.clock.need(need));
            self.counts.add(Seen::Call);
            let token = self.judge(before, result).filter(|token| {
                let is_accepted = self.trouble != Trouble::Rejected || self.client.is_accepted(token);
                rejected = (!is_accepted).then(|| token.clone());
                is_accepted
            });
            match token {
                Some(_) if is_last => return,
                Some(_) => last_success = Instant::now(),
                None => assert!(last_success.elapsed() < LONGEST, "there was no token for too long"),
            }
            thread::sleep(Duration::from_millis(1 + random(5)));
        }
    }

    fn blocking(&self, need: Need) -> (SystemTime, Result<Refreshed, RefreshError>) {
        let mut permission = None;
        let before = self.client.clock.now();
        let refreshed = self.store.refresh_with(&ada(), need, |token| {
            permission = Some(Permission::ask(&self.window));
            self.request(token)
        });
        (before, self.saved(refreshed))
    }

    fn in_runtime(&self, runtime: &Runtime, need: Need) -> (SystemTime, Result<Refreshed, RefreshError>) {
        let asking = self.clone();
        // On a task of its own, as the library's documentation says.
        let task = async move {
            let permission = Arc::new(Mutex::new(None));
            let before = asking.client.clock.now();
            let request = |token: Token| {
                let (asking, permission) = (asking.clone(), permission.clone());
                let request = tokio::task::spawn_blocking(move || {
                    *permission.lock().unwrap() = Some(Permission::ask(&asking.window));
                    asking.request(&token)
                });
                async { request.await.unwrap() }
            };
            let refreshed = asking.store.refresh_with_async(&ada(), need, request).await;
            let saved = tokio::task::spawn_blocking(move || asking.saved(refreshed)).await.unwrap();
            drop(permission);
            (before, saved)
        };
        runtime.block_on(runtime.spawn(task)).unwrap()
    }

    fn request(&self, token: &Token) -> Answer {
        self.counts.add(Seen::Request);
        self.client.refresh(token)
    }

    /// What has come of it once the new token is saved, if there is one.
    fn saved(&self, mut refreshed: Result<Refreshed, RefreshError>) -> Result<Refreshed, RefreshError> {
        loop {
            match refreshed {
                Err(error) if self.trouble == Trouble::FullDisk && error.step() == RefreshStep::Save => {
                    self.counts.add(Seen::FailedSave);
                    assert!(is_full(error.cause()), "{error}");
                    let token = error.token().unwrap();
                    assert!(!secret(token.refresh_token()).is_empty());
                    thread::sleep(Duration::from_millis(20));
                    refreshed = error.retry().map(Refreshed::Fresh);
                }
                settled => return settled,
            }
        }
    }

    /// The token, if it is as good as the call has promised; `None` if there cannot be one now.
    fn judge(&self, before: SystemTime, result: Result<Refreshed, RefreshError>) -> Option<Token> {
        let token = match result {
            Ok(Refreshed::Fresh(token)) => token,
            Ok(Refreshed::Stale(token, why)) => {
                match why {
                    StaleReason::Refreshing => self.counts.add(Seen::Refreshing),
                    StaleReason::BackedOff { .. } => self.counts.add(Seen::BackedOff),
                    StaleReason::NotWritable if self.trouble == Trouble::FullDisk => self.counts.add(Seen::NoRoom),
                    StaleReason::NotWritable => panic!("the disk has room"),
                    _ => {}
                }
                token
            }
            Ok(Refreshed::SignInAgain(token)) => panic!("the sign-in is lost: {token:?}"),
            Err(error) => {
                let is_expected = match (self.trouble, error.step(), error.cause()) {
                    (Trouble::Busy, RefreshStep::Claim | RefreshStep::Request, Error::BackedOff { .. }) => {
                        self.counts.add(Seen::BackedOff);
                        true
                    }
                    // By the caller that has a new token that cannot be saved.
                    (Trouble::FullDisk, RefreshStep::Claim, Error::Refreshing { waited, .. }) => {
                        *waited >= self.timeout
                    }
                    (Trouble::FullDisk, RefreshStep::Claim, cause @ Error::Io { path, .. }) => {
                        // Else the disk was full a moment after the look at it, when the claim was about to be used.
                        if path.ends_with("tokens.keep") {
                            self.counts.add(Seen::NoRoom);
                        }
                        is_full(cause)
                    }
                    (Trouble::SignOuts, RefreshStep::Claim | RefreshStep::Save, Error::NoSuchToken) => {
                        self.counts.add(Seen::NotSignedIn);
                        true
                    }
                    _ => false,
                };
                assert!(is_expected, "{error:?}");
                return None;
            }
        };
        assert!(!token.is_expired(before), "it had expired before the call: {token:?}");
        Some(token)
    }
}

fn is_full(cause: &Error) -> bool {
    matches!(cause, Error::Io { cause, .. } if cause.kind() == std::io::ErrorKind::StorageFull)
}
