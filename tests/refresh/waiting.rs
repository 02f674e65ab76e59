//! What waiting for a claim costs, and how soon those who wait go on.

use std::{
    thread,
    time::{Duration, Instant, SystemTime},
};

use rustix::time::{ClockId, clock_gettime};
use tokenkeep::{Keystore, Need, Refreshed, TokenStoreExt};
use tokio::runtime::Builder;

use crate::{
    client::Client,
    endpoint::Event,
    process::{Process, received, say},
    stage::{Stage, ada, claim, join},
};

/// For how long a process waits whose processor time is measured.
const WAIT: Duration = Duration::from_secs(5);
/// What it may use, in thousandths of a processor.
const MOST_THOUSANDTHS: f64 = 1.0;
const WAITERS: usize = 32;
const PROCESSES: usize = 8;
const ROUNDS: usize = 10;

/// The processor time of this process, of all its threads.
fn processor_time() -> Duration {
    let time = clock_gettime(ClockId::ProcessCPUTime);
    Duration::new(time.tv_sec.try_into().unwrap(), time.tv_nsec.try_into().unwrap())
}

/// The job of a process that waits for a claim, and prints what that has cost.
pub(crate) fn wait(how: &str, directory: &str, address: &str) {
    let (store, _) = join(directory, address);
    let need = Need::default().timeout(WAIT);
    let runtime = Builder::new_multi_thread().worker_threads(1).enable_time().build().unwrap();
    let (started, used) = (Instant::now(), processor_time());
    let waited = match how {
        "thread" => store.begin_refresh(&ada(), need).map(drop).map_err(|error| error.kind()),
        _ => runtime
            .block_on(store.refresh_with_async(&ada(), need, |_| async { panic!("another has the claim") }))
            .map(drop)
            .map_err(|error| error.cause().kind()),
    };
    let used = processor_time() - used;
    assert_eq!(waited, Err(tokenkeep::ErrorKind::Busy));
    assert!(started.elapsed() >= WAIT);
    say(&used.as_micros().to_string());
}

pub(crate) fn processor() {
    let stage = Stage::new();
    stage.sign_in("ada");
    let held = claim(&stage.store, &ada(), Need::default());
    let [directory, address] = stage.words();
    let waiting = ["thread", "task"].map(|how| (how, Process::start(&["wait", how, &directory, &address])));
    for (how, process) in waiting {
        let used = Duration::from_micros(process.hear().parse().unwrap());
        let thousandths = used.as_secs_f64() / WAIT.as_secs_f64() * 1000.0;
        println!("a {how} that waits uses {used:.2?} of a processor in {WAIT:?}: {thousandths:.2} thousandths");
        assert!(thousandths < MOST_THOUSANDTHS, "{how}: {thousandths}");
    }
    drop(held);
}

/// The job of a process that holds a claim until it is received to complete it.
pub(crate) fn hold(directory: &str, address: &str) {
    let (store, client) = join(directory, address);
    let claim = claim(&store, &ada(), Need::default());
    let token = claim.token().unwrap();
    say("claimed");
    received();
    let answer = client.refresh(token);
    let finished = claim.finish(answer).map(drop);
    say(&since_1970().as_micros().to_string());
    finished.unwrap();
    received();
}

/// By a clock that two processes share.
fn since_1970() -> Duration {
    SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap()
}

/// Threads that wait for the token; each returns when it had it.
fn waiters(store: &Keystore, client: Client) -> Vec<thread::JoinHandle<Duration>> {
    let waiting = (0..WAITERS).map(|_| {
        let store = store.clone();
        thread::spawn(move || {
            let refreshed = store.refresh_with(&ada(), Need::default(), |_| panic!("another has the claim"));
            let ended = since_1970();
            assert!(matches!(refreshed.unwrap(), Refreshed::Fresh(token) if client.is_accepted(&token)));
            ended
        })
    });
    let waiting = waiting.collect();
    thread::sleep(Duration::from_millis(200));
    waiting
}

#[track_caller]
fn assert_soon(whose: &str, waiting: Vec<thread::JoinHandle<Duration>>, committed: Duration) {
    let last = waiting.into_iter().map(|waiting| waiting.join().unwrap()).max().unwrap();
    let after = last.saturating_sub(committed);
    println!("the last of {WAITERS} threads that waited for a claim of {whose} went on {after:.1?} after the commit");
    assert!(after < Duration::from_secs(2));
}

pub(crate) fn going_on() {
    let stage = Stage::new();
    stage.sign_in("ada");
    let held = claim(&stage.store, &ada(), Need::default());
    let waiting = waiters(&stage.store, stage.client);
    let answer = stage.client.refresh(held.token().unwrap());
    assert!(matches!(held.finish(answer).unwrap(), Refreshed::Fresh(_)));
    assert_soon("the same process", waiting, since_1970());

    stage.sign_in("ada");
    let [directory, address] = stage.words();
    let mut process = Process::start(&["hold", &directory, &address]);
    process.expect("claimed");
    let waiting = waiters(&stage.store, stage.client);
    process.tell("go");
    let committed = process.hear().parse().unwrap();
    assert_soon("another process", waiting, Duration::from_micros(committed));
}

/// The job of one of many processes that wait for a token with several threads, again and again.
pub(crate) fn get(directory: &str, address: &str) {
    let (store, client) = join(directory, address);
    say("ready");
    while received().is_some() {
        thread::scope(|scope| {
            for _ in 0..WAITERS / PROCESSES {
                scope.spawn(|| {
                    let refreshed = store.refresh_with(&ada(), Need::default(), |token| client.refresh(token));
                    assert!(matches!(refreshed.unwrap(), Refreshed::Fresh(token) if client.is_accepted(&token)));
                });
            }
        });
        say(&since_1970().as_micros().to_string());
    }
}

/// The lock file of a holder that is killed stays, and all who have waited for its lock want it at once.
pub(crate) fn crowd() {
    let stage = Stage::new();
    let [directory, address] = stage.words();
    let mut processes = [(); PROCESSES].map(|()| Process::start(&["get", &directory, &address]));
    processes.iter().for_each(|process| process.expect("ready"));
    let longest = (0..ROUNDS).map(|_| {
        stage.sign_in("ada");
        let mut holder = Process::start(&["hold", &directory, &address]);
        holder.expect("claimed");
        processes.iter_mut().for_each(|process| process.tell("go"));
        thread::sleep(Duration::from_millis(200));
        let killed = since_1970();
        holder.kill();
        let ended = processes.iter().map(|process| Duration::from_micros(process.hear().parse().unwrap()));
        ended.max().unwrap().saturating_sub(killed)
    });
    let longest = longest.max().unwrap();
    println!("the last of {WAITERS} threads in {PROCESSES} processes had the token {longest:.1?} after a kill at most");
    assert!(longest < Duration::from_secs(2));
    stage.endpoint.assert_well_treated();
    assert_eq!(stage.endpoint.count(Event::Arrived), ROUNDS);
}
