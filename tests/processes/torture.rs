//! Processes with threads that save, find and delete their own tokens and shared ones, while some are killed and
//! started again. Each thread writes down what was acknowledged; nothing of that may be missing.

use std::{
    collections::BTreeMap,
    env,
    fs::{self, File},
    io::Write,
    path::Path,
    process::{Child, Stdio},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant},
};

use tokenkeep::{Error, Keystore, KeystoreOptions, Token, TokenStore};

use crate::{
    common::{names_in, set_mode, token, unlock},
    this_program_with,
};

const WORKERS: usize = 8;
const THREADS: usize = 2;

/// What a tool does to the lock files meanwhile.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(crate) enum LockFiles {
    Left,
    /// Deleted, or replaced by another file, every few milliseconds.
    Deleted,
}

impl LockFiles {
    fn job(self) -> &'static str {
        match self {
            Self::Left => "torture",
            Self::Deleted => "torture without locks",
        }
    }

    /// The result of an operation, once no tool has got between it and the lock.
    fn patiently<T>(self, mut operation: impl FnMut() -> tokenkeep::Result<T>) -> T {
        loop {
            match operation() {
                Err(Error::ChangedMeanwhile { .. }) if self == Self::Deleted => {}
                done => return done.unwrap(),
            }
        }
    }
}

/// For how long the processes are tortured.
pub(crate) fn seconds() -> Duration {
    Duration::from_secs(env::var("TOKENKEEP_TORTURE_SECONDS").map_or(20, |seconds| seconds.parse().unwrap()))
}

pub(crate) fn own(name: &str) -> Token {
    token().user_name(name).build()
}

fn shared() -> Token {
    token().user_name("shared").build()
}

pub(crate) fn number(text: Option<&tokenkeep::Secret>) -> u64 {
    text.map_or(0, |text| text.expose_secret().parse().unwrap())
}

/// One process: threads that work until they are killed.
pub(crate) fn work(worker: usize, directory: &Path, locks: LockFiles) {
    let options = KeystoreOptions::new().lock_timeout(Duration::from_secs(60));
    let store = options.open(directory.join("tokens.keep"), &unlock()).unwrap();
    thread::scope(|scope| {
        for thread in 0..THREADS {
            let (store, name) = (store.clone(), format!("{worker}-{thread}"));
            let log = directory.join(format!("log-{name}"));
            scope.spawn(move || {
                // Other threads do not learn what went wrong from a thread that panics while its process works on.
                let worked =
                    std::panic::catch_unwind(std::panic::AssertUnwindSafe(|| work_as(&store, &name, &log, locks)));
                if worked.is_err() {
                    std::process::exit(3);
                }
            });
        }
    });
}

/// Lines of a log: what was acknowledged, as `own N`, `shared N`, and the commits that took in all as the number of
/// lines.
fn work_as(store: &Keystore, name: &str, log: &Path, locks: LockFiles) {
    let acknowledged = Acknowledged::read(log);
    let mut log = File::options().append(true).create(true).open(log).unwrap();
    let mut acknowledge = |what: &str, count: u64| log.write_all(format!("{what} {count}\n").as_bytes()).unwrap();

    let mut seen = Seen::default();
    let (mut mine, mut of_shared) = acknowledged.found_in(store, name);
    // What this process starts from, or being killed once more before the next line would look like two lost ones.
    acknowledge("found-own", mine);
    acknowledge("found-shared", of_shared);
    loop {
        mine += 1;
        locks.patiently(|| store.save_token(&own(name).to_builder().access_token(mine.to_string()).build()));
        acknowledge("own", mine);
        let found = store.find_stored(&own(name)).unwrap().unwrap();
        assert_eq!(number(found.access_token()), mine, "a thread finds what it saved");

        of_shared += 1;
        let more = shared().to_builder().access_token("0").attribute(name, of_shared.to_string()).build();
        locks.patiently(|| store.save_token(&more));
        acknowledge("shared", of_shared);
        seen.look_at(store);

        let passing = token().id(format!("passing {name}")).access_token(format!("of {name}")).build();
        let passing = locks.patiently(|| store.save_token(&passing));
        acknowledge("passing", 0);
        assert!(locks.patiently(|| store.delete_token(&passing)));
        acknowledge("deleted", 0);
        assert_eq!(store.find_token_by_id(&passing).unwrap(), None);
    }
}

/// What a thread's log says that cannot be lost.
#[derive(Debug, Default)]
struct Acknowledged {
    own: u64,
    shared: u64,
    commits: u64,
}

impl Acknowledged {
    fn read(log: &Path) -> Self {
        let mut acknowledged = Self::default();
        let text = fs::read_to_string(log).unwrap_or_default();
        // A line that was cut by a kill was written after its acknowledgement, but says nothing.
        for line in text.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let (what, count) = line.trim_end().split_once(' ').unwrap();
            let count = count.parse().unwrap();
            acknowledged.commits += u64::from(!what.starts_with("found"));
            match what {
                "own" | "found-own" => acknowledged.own = count,
                "shared" | "found-shared" => acknowledged.shared = count,
                _ => {}
            }
        }
        acknowledged
    }

    /// The numbers that the store has: those acknowledged, or one more, of the save in which the process was killed.
    fn found_in(&self, store: &Keystore, name: &str) -> (u64, u64) {
        let own = number(store.find_stored(&own(name)).unwrap().as_ref().and_then(Token::access_token));
        let shared = number(store.find_stored(&shared()).unwrap().as_ref().and_then(|row| row.attribute(name)));
        assert!(own == self.own || own == self.own + 1, "own {own}, acknowledged {self:?}");
        assert!(shared == self.shared || shared == self.shared + 1, "shared {shared}, acknowledged {self:?}");
        (own, shared)
    }
}

/// The numbers of all threads, which never go back.
#[derive(Default)]
struct Seen(BTreeMap<String, u64>);

impl Seen {
    fn look_at(&mut self, store: &Keystore) {
        for row in store.get_tokens().unwrap() {
            let name = row.user_name().unwrap_or_default().to_owned();
            let numbers = row.attributes().map(|(name, count)| (format!("shared {name}"), number(Some(count))));
            for (name, count) in numbers.chain(row.user_name().map(|_| (name, number(row.access_token())))) {
                let before = self.0.insert(name.clone(), count).unwrap_or(0);
                assert!(before <= count, "{name} went from {before} back to {count}");
            }
        }
    }
}

pub(crate) fn torture() {
    torture_with(LockFiles::Left);
}

pub(crate) fn torture_without_locks() {
    torture_with(LockFiles::Deleted);
}

/// Deletes the lock files or replaces them, every few milliseconds, until it is asked to stop.
fn delete_locks(directory: &Path, stop: &AtomicBool) -> u64 {
    let mut count = 0;
    while !stop.load(Ordering::SeqCst) {
        for name in ["tokens.keep.lock", "tokens.keep.queue"] {
            let path = directory.join(name);
            let other = directory.join("other.lock");
            if count % 2 == 0 {
                let _ = fs::remove_file(path);
            } else if fs::write(&other, "").is_ok() {
                set_mode(&other, 0o600);
                fs::rename(other, path).unwrap();
            }
        }
        count += 1;
        thread::sleep(Duration::from_millis(3));
    }
    count
}

fn torture_with(locks: LockFiles) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    drop(Keystore::create(&path, &unlock()).unwrap());
    let spawn = |worker: usize| {
        let mut job = this_program_with(&[locks.job(), &worker.to_string(), directory.path().to_str().unwrap()]);
        job.stdin(Stdio::null()).spawn().unwrap()
    };
    let mut workers: Vec<Child> = (0..WORKERS).map(spawn).collect();
    let store = Keystore::open(&path, &unlock()).unwrap();
    let (mut seen, mut kills, mut last_generation) = (Seen::default(), 0, 0);
    let stop = Arc::new(AtomicBool::new(locks == LockFiles::Left));
    let deleting = {
        let (directory, stop) = (directory.path().to_owned(), stop.clone());
        thread::spawn(move || delete_locks(&directory, &stop))
    };
    let start = Instant::now();
    while start.elapsed() < seconds() {
        // Killed at moments that the scheduler chooses, which is random enough.
        thread::sleep(Duration::from_micros(u64::from(start.elapsed().subsec_nanos()) % 150_000));
        let worker = kills % WORKERS;
        assert_eq!(workers[worker].try_wait().unwrap(), None, "worker {worker} found something wrong");
        workers[worker].kill().unwrap();
        workers[worker].wait().unwrap();
        workers[worker] = spawn(worker);
        kills += 1;
        seen.look_at(&store);
        let generation = store.status().unwrap().generation;
        assert!(generation >= last_generation);
        last_generation = generation;
    }
    for (number, worker) in workers.iter_mut().enumerate() {
        assert_eq!(worker.try_wait().unwrap(), None, "worker {number} found something wrong");
        worker.kill().unwrap();
        worker.wait().unwrap();
    }

    stop.store(true, Ordering::SeqCst);
    let deletions = deleting.join().unwrap();

    let mut commits = 0;
    for (worker, thread) in (0..WORKERS).flat_map(|worker| (0..THREADS).map(move |thread| (worker, thread))) {
        let name = format!("{worker}-{thread}");
        let acknowledged = Acknowledged::read(&directory.path().join(format!("log-{name}")));
        acknowledged.found_in(&store, &name);
        commits += acknowledged.commits;
    }
    store.verify().unwrap();
    assert_eq!(store.get_tokens().unwrap(), Keystore::open(&path, &unlock()).unwrap().get_tokens().unwrap());

    // A save is a record; a generation is a delete, or a save that replaces the file. At most one commit for each
    // thread that was killed is not acknowledged.
    let made = store.status().unwrap().generation - 1;
    let unacknowledged = u64::try_from((kills + WORKERS) * THREADS).unwrap();
    assert!((1..=commits + unacknowledged).contains(&made), "{made} generations, {commits} acknowledged commits");
    store.compact().unwrap();
    let strays: Vec<_> = names_in(directory.path()).into_iter().filter(|name| name.ends_with(".tmp")).collect();
    assert_eq!(strays, Vec::<String>::new());
    println!(
        "{:?}, {kills} kills, {commits} acknowledged commits, {made} generations, lock files {locks:?} {deletions} times",
        seconds()
    );
}
