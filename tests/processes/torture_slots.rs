//! Processes that change ways to unlock one store, and its key, while they save tokens and are killed. Each writes down
//! which way it is about to set and which one was acknowledged: one of the two has to open the store, in every case.

use std::{
    collections::BTreeSet,
    fs::{self, File},
    io::Write,
    path::{Path, PathBuf},
    process::{Child, Stdio},
    thread,
    time::{Duration, Instant},
};

use tokenkeep::{Error, Keystore, KeystoreOptions, RecoveryKey, TokenStore, Unlock};

use crate::{
    common::{PAPER, cheap, unlock_with_paper},
    this_program_with,
    torture::{number, own, seconds},
};

/// The first one rekeys, the second one's way is a passphrase, the third one adds and removes ways that stay for a
/// moment.
const WORKERS: usize = 4;
const PASSING: &str = "passing";
const ROUNDS_A_WAY: u64 = 16;

fn label(worker: usize) -> String {
    format!("worker {worker}")
}

fn log_of(directory: &Path, worker: usize) -> PathBuf {
    directory.join(format!("log-{worker}"))
}

/// A way as it stands in a log.
fn way(text: &str) -> Unlock {
    match text.parse::<RecoveryKey>() {
        Ok(key) => key.into(),
        Err(_) => cheap(text).into(),
    }
}

fn new_way(worker: usize, count: u64) -> String {
    match worker {
        1 => format!("passphrase {count}"),
        _ => RecoveryKey::generate().unwrap().expose_secret().to_owned(),
    }
}

/// What a worker's log says.
#[derive(Debug, Default)]
struct Report {
    /// The way that was acknowledged last, or found to be the one.
    way: String,
    /// One that may have been set since.
    trying: Option<String>,
    token: u64,
    commits: u64,
    rekeyed: u64,
}

impl Report {
    fn by(directory: &Path, worker: usize) -> Self {
        let mut report = Self::default();
        let log = fs::read_to_string(log_of(directory, worker)).unwrap();
        // A line that was cut by a kill says nothing.
        for line in log.split_inclusive('\n').filter(|line| line.ends_with('\n')) {
            let (what, value) = line.trim_end().split_once(' ').unwrap();
            report.commits += u64::from(!matches!(what, "trying" | "found-way" | "found-token"));
            match what {
                "trying" => report.trying = Some(value.to_owned()),
                "way" | "found-way" => (report.way, report.trying) = (value.to_owned(), None),
                "token" | "found-token" => report.token = value.parse().unwrap(),
                "rekeyed" => report.rekeyed += 1,
                _ => {}
            }
        }
        report
    }

    /// The way that opens the store now, and the store. `None` only if it is changed while this looks.
    fn open(&self, directory: &Path) -> Option<(String, Keystore)> {
        let texts = [Some(&self.way), self.trying.as_ref()].into_iter().flatten();
        let mut opened = texts.filter_map(|text| match store_in(directory, &way(text)) {
            Ok(store) => Some((text.clone(), store)),
            Err(Error::WrongPassphrase { .. } | Error::WrongRecoveryKey { .. } | Error::NoSlotFor { .. }) => None,
            Err(error) => panic!("{error:?}"),
        });
        opened.next()
    }

    /// The number that the store has: the one acknowledged, or one more, of the save in which the process was killed.
    fn token_in(&self, store: &Keystore, worker: usize) -> tokenkeep::Result<u64> {
        let found = store.find_stored(&own(&label(worker)))?;
        let count = number(found.as_ref().and_then(tokenkeep::Token::access_token));
        assert!(count == self.token || count == self.token + 1, "{count}, acknowledged {}", self.token);
        Ok(count)
    }
}

/// One process, until it is killed.
pub(crate) fn work(number: usize, directory: &Path) {
    let mut worker = Worker::start(number, directory);
    loop {
        match worker.round() {
            Ok(()) => {}
            Err(Error::Rekeyed { .. }) => worker.open(),
            Err(error) => panic!("worker {number}: {error:?}"),
        }
        thread::sleep(Duration::from_millis(10));
    }
}

struct Worker<'a> {
    number: usize,
    directory: &'a Path,
    log: File,
    mine: String,
    store: Keystore,
    count: u64,
}

impl<'a> Worker<'a> {
    fn start(worker: usize, directory: &'a Path) -> Self {
        let log = File::options().append(true).open(log_of(directory, worker)).unwrap();
        let (mine, store, count) = found(worker, directory);
        let mut worker = Self { number: worker, directory, log, mine, store, count };
        worker.write_found();
        worker
    }

    /// After a rekeying, which keeps the ways of all workers.
    fn open(&mut self) {
        (self.mine, self.store, self.count) = found(self.number, self.directory);
        self.write_found();
    }

    /// What it starts from, or being killed once more before the next line would look like two lost ones.
    fn write_found(&mut self) {
        self.write("found-way", &self.mine.clone());
        self.write("found-token", &self.count.to_string());
    }

    fn write(&mut self, what: &str, value: &str) {
        self.log.write_all(format!("{what} {value}\n").as_bytes()).unwrap();
    }

    fn round(&mut self) -> tokenkeep::Result<()> {
        let next = (self.count + 1).to_string();
        self.store.save_token(&own(&label(self.number)).to_builder().access_token(next.as_str()).build())?;
        self.count += 1;
        self.write("token", &next);

        // Not in every round, or there would never be a moment to rekey.
        if self.count.is_multiple_of(ROUNDS_A_WAY) {
            self.change_way()?;
        }
        match self.number {
            0 => self.rekey(),
            2 => self.add_and_remove(),
            _ => Ok(()),
        }
    }

    fn change_way(&mut self) -> tokenkeep::Result<()> {
        let set = new_way(self.number, self.count);
        self.write("trying", &set);
        if self.number == 1 {
            self.store.change_passphrase(&cheap(&self.mine), &cheap(&set))?;
        } else {
            let slots = self.store.slots()?;
            let slot = slots.iter().find(|slot| slot.label == label(self.number)).unwrap();
            self.store.replace_slot(slot.id, &way(&set))?;
        }
        self.write("way", &set);
        let before = std::mem::replace(&mut self.mine, set);
        assert!(!opens(self.directory, &way(&before)), "a way that was replaced opens the store");
        Ok(())
    }

    /// With everybody's way, as far as nobody changes theirs meanwhile.
    fn rekey(&mut self) -> tokenkeep::Result<()> {
        let ways = (0..WORKERS).map(|worker| Report::by(self.directory, worker).open(self.directory));
        let Some(ways) = ways.collect::<Option<Vec<_>>>() else { return Ok(()) };
        let ways: Vec<_> = ways.iter().map(|(text, _)| way(text)).chain([unlock_with_paper(PAPER)]).collect();
        match self.store.rekey(&ways) {
            Ok(()) => self.write("rekeyed", "all"),
            Err(Error::NoSuchSlot { .. } | Error::WrongPassphrase { .. } | Error::WrongRecoveryKey { .. }) => {}
            Err(error) => return Err(error),
        }
        Ok(())
    }

    fn add_and_remove(&mut self) -> tokenkeep::Result<()> {
        let passing = Unlock::from(RecoveryKey::generate()?);
        self.store.add_slot(&passing.clone().label(PASSING))?;
        self.write("added", PASSING);
        // Those too that a killed process has left.
        for slot in self.store.slots()?.into_iter().filter(|slot| slot.label == PASSING) {
            self.store.remove_slot(slot.id)?;
            self.write("removed", PASSING);
        }
        assert!(!opens(self.directory, &passing), "a way that was removed opens the store");
        Ok(())
    }
}

/// The way that a worker has, the store that it opens, and the number of its token.
fn found(worker: usize, directory: &Path) -> (String, Keystore, u64) {
    let report = Report::by(directory, worker);
    loop {
        let (mine, store) = report.open(directory).expect("a way that was acknowledged opens the store");
        match report.token_in(&store, worker) {
            Ok(count) => return (mine, store, count),
            Err(Error::Rekeyed { .. }) => {}
            Err(error) => panic!("{error:?}"),
        }
    }
}

fn store_in(directory: &Path, unlock: &Unlock) -> tokenkeep::Result<Keystore> {
    let options = KeystoreOptions::new().lock_timeout(Duration::from_secs(60));
    options.open(directory.join("tokens.keep"), unlock)
}

fn opens(directory: &Path, unlock: &Unlock) -> bool {
    match store_in(directory, unlock) {
        Ok(_) => true,
        Err(Error::WrongPassphrase { .. } | Error::WrongRecoveryKey { .. } | Error::NoSlotFor { .. }) => false,
        Err(error) => panic!("{error:?}"),
    }
}

pub(crate) fn torture() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    let mut store = Keystore::create(&path, &unlock_with_paper(PAPER).label("base")).unwrap();
    for worker in 0..WORKERS {
        let set = new_way(worker, 0);
        store.add_slot(&way(&set).label(label(worker))).unwrap();
        fs::write(log_of(directory.path(), worker), format!("found-way {set}\n")).unwrap();
    }
    let first_generation = store.status().unwrap().generation;

    let spawn = |worker: usize| -> Child {
        let mut job = this_program_with(&["torture slots", &worker.to_string(), directory.path().to_str().unwrap()]);
        job.stdin(Stdio::null()).spawn().unwrap()
    };
    let mut workers: Vec<Child> = (0..WORKERS).map(spawn).collect();
    let (start, mut kills) = (Instant::now(), 0);
    while start.elapsed() < seconds() {
        thread::sleep(Duration::from_micros(u64::from(start.elapsed().subsec_nanos()) % 150_000));
        // The one that rekeys needs longer for what it does, so it is killed less often.
        let worker = if kills % 16 == 0 { 0 } else { 1 + kills % (WORKERS - 1) };
        assert_eq!(workers[worker].try_wait().unwrap(), None, "worker {worker} found something wrong");
        workers[worker].kill().unwrap();
        workers[worker].wait().unwrap();
        workers[worker] = spawn(worker);
        kills += 1;
        match store.slots() {
            Ok(slots) => {
                let labels: BTreeSet<_> = slots.into_iter().map(|slot| slot.label).collect();
                assert!((0..WORKERS).all(|worker| labels.contains(&label(worker))), "{labels:?}");
            }
            Err(Error::Rekeyed { .. }) => store = Keystore::open(&path, &unlock_with_paper(PAPER)).unwrap(),
            Err(error) => panic!("{error:?}"),
        }
    }
    for (number, worker) in workers.iter_mut().enumerate() {
        assert_eq!(worker.try_wait().unwrap(), None, "worker {number} found something wrong");
        worker.kill().unwrap();
        worker.wait().unwrap();
    }

    let store = Keystore::open(&path, &unlock_with_paper(PAPER)).unwrap();
    store.verify().unwrap();
    let report: Vec<_> = (0..WORKERS).map(|worker| Report::by(directory.path(), worker)).collect();
    for (worker, report) in report.iter().enumerate() {
        let (_, opened) =
            report.open(directory.path()).unwrap_or_else(|| panic!("worker {worker} is locked out: {report:?}"));
        assert_eq!(opened.opened_by().unwrap().unwrap().label, label(worker));
        report.token_in(&opened, worker).unwrap();
    }
    let (commits, rekeyed) = report.iter().fold((0, 0), |sum, report| (sum.0 + report.commits, sum.1 + report.rekeyed));
    let made = store.status().unwrap().generation - first_generation;
    let unacknowledged = u64::try_from(kills + WORKERS).unwrap();
    // A save of a token is a record; a change of slots is a generation.
    assert!((1..=commits + unacknowledged).contains(&made), "{made} generations, {commits} acknowledged commits");
    assert!(rekeyed > 0, "nothing was rekeyed");
    println!("{:?}, {kills} kills, {commits} acknowledged commits, {rekeyed} rekeyings, {made} generations", seconds());
}
