//! What a refresh costs beside what it is made of: `cargo bench --bench refresh`. Each line compares two works that are
//! done in turn, in one run. With `--test`, as `cargo test` runs it, each work is done once.

use std::{
    env,
    fs::{self, File},
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant, SystemTime},
};

use tempfile::TempDir;
use tokenkeep::{Claim, Keystore, Need, RecoveryKey, Refresh, Token, TokenStore, TokenStoreExt, Unlock, testing};

const TOKENS: usize = 100;
const ROUNDS: usize = 15;
const WAITERS: usize = 32;
const PROCESSES: usize = 8;
/// The environment variable with the directory of the store, for a process that waits.
const WAIT_IN: &str = "TOKENKEEP_WAIT_IN";

fn main() {
    if let Ok(directory) = env::var(WAIT_IN) {
        return wait_in_a_process(Path::new(&directory));
    }
    let is_test = env::args().any(|argument| argument == "--test");
    let (rounds, times) = if is_test { (1, 1) } else { (ROUNDS, 2_000) };
    let fixture = Fixture::new();
    let find = || assert!(fixture.store.find_stored(&user(1)).unwrap().is_some());

    let good = || assert!(matches!(fixture.store.begin_refresh(&user(1), Need::default()), Ok(Refresh::Fresh(_))));
    compare("begin_refresh of a good token: a find", 1.3, rounds, times, &find, &good);
    let lock_file = || {
        fixture.lock_file();
        find();
    };
    let claim = || drop(fixture.claim());
    compare("a claim that is given up: a lock file and a find", 3.0, rounds, times, &lock_file, &claim);

    let rounds = rounds.min(5);
    show_slowest("32 threads go on after the commit", 5, rounds, || fixture.wake_threads());
    show_slowest("32 threads in 8 processes go on after the commit", 50, rounds, || fixture.wake_processes());
    let seconds = if is_test { 1 } else { 10 };
    let time = Duration::from_secs(seconds);
    let used = fixture.processor_time_of_a_waiter(time);
    println!("a caller that waits for a refresh uses {used:.5} of a processor; at most 0.001");
    let version = fixture.store.version().unwrap();
    let used = processor_time_of(|| assert!(fixture.store.wait_for_change(&version, time).unwrap().is_none()));
    println!("a caller that waits for a change uses {used:.5} of a processor; at most 0.001");
}

/// What part of a processor the work uses while it runs.
fn processor_time_of(work: impl FnOnce()) -> f64 {
    let (before, started) = (processor_time(), Instant::now());
    work();
    processor_time().saturating_sub(before).as_secs_f64() / started.elapsed().as_secs_f64()
}

/// Prints how often the first work fits into the second: the median of rounds in which both are done in turn.
fn compare(what: &str, target: f64, rounds: usize, times: u32, first: &dyn Fn(), second: &dyn Fn()) {
    let time = |work: &dyn Fn()| {
        let started = Instant::now();
        (0..times).for_each(|_| work());
        started.elapsed()
    };
    let mut ratios: Vec<_> = (0..rounds)
        .map(|round| {
            let (first, second) = if round % 2 == 0 {
                let before = time(first);
                (before, time(second))
            } else {
                let before = time(second);
                (time(first), before)
            };
            (second.as_secs_f64() / first.as_secs_f64(), first / times, second / times)
        })
        .collect();
    ratios.sort_by(|one, other| one.0.total_cmp(&other.0));
    let (ratio, first, second) = ratios[rounds / 2];
    println!("{what}: {ratio:.2} ({second:?}: {first:?}); at most {target}");
}

/// Prints the longest of some times.
fn show_slowest(what: &str, target_ms: u64, rounds: usize, work: impl Fn() -> Duration) {
    let mut times: Vec<_> = (0..rounds).map(|_| work()).collect();
    times.sort();
    println!("{what}: at the median {:?}, at worst {:?}; at most {target_ms} ms", times[rounds / 2], times[rounds - 1]);
}

fn user(number: usize) -> Token {
    Token::builder().user_name(format!("user {number}")).client_id("client").build()
}

fn response() -> Token {
    Token::builder().access_token("new").refresh_token("new").expires_in(Duration::from_secs(3600)).build()
}

/// A store with one token that is good for a day, and one that has expired.
struct Fixture {
    directory: TempDir,
    key: RecoveryKey,
    store: Keystore,
}

impl Fixture {
    fn new() -> Self {
        // On the disk that the project is on: other temporary directories may be in memory.
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let key = RecoveryKey::generate().unwrap();
        let store = Keystore::create(directory.path().join("tokens.keep"), &Unlock::from(key.clone())).unwrap();
        let good = |number| {
            let token = user(number).to_builder().refresh_token("old").access_token("old");
            token.expires_in(Duration::from_secs(86_400)).build()
        };
        testing::fill(&store, (1..=TOKENS).map(good).collect()).unwrap();
        let fixture = Self { directory, key, store };
        fixture.expire();
        fixture
    }

    fn expire(&self) {
        let expired = user(2).to_builder().refresh_token("old").access_token("old");
        self.store.save_token(&expired.expires_at(SystemTime::now()).build()).unwrap();
    }

    fn claim(&self) -> Claim {
        match self.store.begin_refresh(&user(2), Need::default()) {
            Ok(Refresh::Claimed(claim)) => claim,
            other => panic!("expected a claim, got {other:?}"),
        }
    }

    /// The least that a lock file takes.
    fn lock_file(&self) {
        let path = self.directory.path().join("a lock file");
        let file = File::options().write(true).create_new(true).open(&path).unwrap();
        file.try_lock().unwrap();
        file.unlock().unwrap();
        fs::remove_file(&path).unwrap();
    }

    /// How long after a commit the last of the threads goes on.
    fn wake_threads(&self) -> Duration {
        let claim = self.claim();
        let last = thread::scope(|scope| {
            let threads: Vec<_> = (0..WAITERS).map(|_| scope.spawn(|| wait(&self.store))).collect();
            thread::sleep(Duration::from_millis(200));
            claim.complete(response()).unwrap();
            let committed = SystemTime::now();
            let last = threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap();
            last.duration_since(committed).unwrap_or_default()
        });
        self.expire();
        last
    }

    /// The same with threads of several processes.
    fn wake_processes(&self) -> Duration {
        let claim = self.claim();
        let program = env::current_exe().unwrap();
        let mut waiting: Vec<_> = (0..PROCESSES)
            .map(|_| {
                let mut command = Command::new(&program);
                command.env(WAIT_IN, self.directory.path()).stdin(Stdio::piped()).stdout(Stdio::piped());
                let mut process = command.spawn().unwrap();
                writeln!(process.stdin.take().unwrap(), "{}", self.key.expose_secret()).unwrap();
                let mut lines = BufReader::new(process.stdout.take().unwrap()).lines();
                assert_eq!(lines.next().unwrap().unwrap(), "ready");
                (process, lines)
            })
            .collect();
        thread::sleep(Duration::from_millis(300));
        claim.complete(response()).unwrap();
        let committed = SystemTime::now();
        let ends = waiting.iter_mut().map(|(process, lines)| {
            let nanos: u64 = lines.next().unwrap().unwrap().parse().unwrap();
            assert!(process.wait().unwrap().success());
            SystemTime::UNIX_EPOCH + Duration::from_nanos(nanos)
        });
        let last = ends.max().unwrap().duration_since(committed).unwrap_or_default();
        self.expire();
        last
    }

    /// What part of a processor a caller uses while another process refreshes.
    fn processor_time_of_a_waiter(&self, time: Duration) -> f64 {
        let claim = self.claim();
        let claims = self.directory.path().join("tokens.keep.claims");
        let path = fs::read_dir(claims).unwrap().next().unwrap().unwrap().path();
        drop(claim);
        // As another process holds it.
        let mut options = File::options();
        #[cfg(unix)]
        std::os::unix::fs::OpenOptionsExt::mode(&mut options, 0o600);
        let held = options.write(true).create_new(true).open(&path).unwrap();
        held.try_lock().unwrap();
        let used = processor_time_of(|| {
            let waited = self.store.begin_refresh(&user(2), Need::default().timeout(time));
            assert!(matches!(waited, Err(tokenkeep::Error::Refreshing { .. })));
        });
        fs::remove_file(&path).unwrap();
        used
    }
}

/// The processor time of this thread, where the system tells.
fn processor_time() -> Duration {
    let schedstat = fs::read_to_string("/proc/thread-self/schedstat").unwrap_or_default();
    Duration::from_nanos(schedstat.split(' ').next().and_then(|nanos| nanos.parse().ok()).unwrap_or_default())
}

/// Waits for the token that another caller refreshes, and says when it came.
fn wait(store: &Keystore) -> SystemTime {
    let need = Need::default().timeout(Duration::from_secs(60));
    assert!(matches!(store.begin_refresh(&user(2), need), Ok(Refresh::Fresh(_))));
    SystemTime::now()
}

fn wait_in_a_process(directory: &Path) {
    let mut key = String::new();
    std::io::stdin().read_line(&mut key).unwrap();
    let unlock = Unlock::from(key.trim().parse::<RecoveryKey>().unwrap());
    let store = Keystore::open(directory.join("tokens.keep"), &unlock).unwrap();
    println!("ready");
    let last = thread::scope(|scope| {
        let threads: Vec<_> = (0..WAITERS / PROCESSES).map(|_| scope.spawn(|| wait(&store))).collect();
        threads.into_iter().map(|thread| thread.join().unwrap()).max().unwrap()
    });
    println!("{}", last.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_nanos());
}
