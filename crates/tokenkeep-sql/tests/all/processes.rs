//! Processes that share one database, and are killed in the middle.

use std::{
    collections::HashMap,
    env,
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    process::Child,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokenkeep::{Error, ErrorKind, Need, Refreshed, TokenStore, TokenStoreExt};
use tokenkeep_sql::{SqlOptions, SqlStore};

use crate::common::{Fixture, JOB, paper, this_program_with, token};

const PROCESSES: usize = 8;
const THREADS: usize = 4;

/// Not a test: what another process does. Without a job it does nothing.
#[test]
fn job() {
    let Ok(job) = env::var(JOB) else { return };
    match &job.lines().collect::<Vec<_>>()[..] {
        ["work", url, log, process, millis] => {
            work(url, Path::new(log), process.parse().unwrap(), Duration::from_millis(millis.parse().unwrap()));
        }
        ["claim", url] => {
            let store = options().open(*url, &paper()).unwrap();
            let lock = loop {
                match store.lock_token(&"1".into()).unwrap().lock() {
                    Some(lock) => break lock,
                    None => thread::sleep(Duration::from_millis(5)),
                }
            };
            lock.start().unwrap();
            thread::sleep(Duration::from_secs(60));
        }
        other => panic!("unknown job: {other:?}"),
    }
}

fn options() -> SqlOptions {
    SqlOptions::new().timeout(Duration::from_secs(60)).lease(Duration::from_secs(1))
}

/// Each thread has users of its own, counts in their access tokens, and writes down each save that was acknowledged;
/// and all threads of all processes count in one shared token, and refresh another.
fn work(url: &str, log: &Path, process: usize, duration: Duration) {
    let started = Instant::now();
    let is_over = || started.elapsed() > duration;
    let mut store = open(url);
    let stores: Vec<SqlStore> = (0..THREADS).map(|_| store.clone()).collect();
    let was_rekeyed = AtomicBool::new(false);
    thread::scope(|scope| {
        for (worker, store) in stores.iter().enumerate() {
            let (was_rekeyed, is_over) = (&was_rekeyed, &is_over);
            let log = log.join(format!("{process}-{worker}"));
            scope.spawn(move || {
                let mut store = store.clone();
                let mut log = OpenOptions::new().create(true).append(true).open(log).unwrap();
                let mut count = 0_u64;
                while !is_over() {
                    count += 1;
                    match step(&store, url, &mut log, process, worker, count) {
                        Ok(()) => {}
                        Err(Error::Rekeyed { .. }) => {
                            was_rekeyed.store(true, Ordering::Relaxed);
                            store = open(url);
                        }
                        // The server is down, or the outcome of its last commit is unknown.
                        Err(error) => pause_after(&error),
                    }
                }
            });
        }
        if process == 0 {
            while !is_over() {
                thread::sleep(Duration::from_millis(1_500));
                match store.rekey([&paper()]) {
                    Ok(()) => {}
                    Err(Error::Rekeyed { .. }) => store = open(url),
                    Err(error) => {
                        pause_after(&error);
                        store = open(url);
                    }
                }
            }
        }
    });
}

/// Also while another process gives the store a new key, and until the server is there again.
fn open(url: &str) -> SqlStore {
    loop {
        match options().open(url, &paper()) {
            Ok(store) => return store,
            Err(error) => pause_after(&error),
        }
    }
}

#[track_caller]
fn pause_after(error: &Error) {
    let is_of_server = matches!(error, Error::Store { kind: ErrorKind::Busy | ErrorKind::Incomplete, .. });
    // Deadlocks and lock time-outs are made again, and never reported.
    assert!(is_of_server && !error.to_string().contains("was busy for"), "{error}");
    thread::sleep(Duration::from_millis(20));
}

fn step(
    store: &SqlStore,
    url: &str,
    log: &mut fs::File,
    process: usize,
    worker: usize,
    count: u64,
) -> tokenkeep::Result<()> {
    let user = format!("user {process} {worker} {}", count % 3);
    let own = token().user_name(&user).client_id("c");
    match count % 7 {
        // Deletes and adds again.
        5 => {
            if let Some(row) = store.find_stored(&own.clone().build())? {
                writeln!(log, "deleting {user}").unwrap();
                store.delete_token(row.id().unwrap())?;
                writeln!(log, "deleted {user}").unwrap();
            }
        }
        // Counts in the token of all.
        6 => loop {
            let row = store.find_stored(&token().user_name("all").client_id("c").build())?.unwrap();
            let next: u64 = row.access_token().unwrap().expose_secret().parse::<u64>().unwrap() + 1;
            match store.save_token(&row.to_builder().access_token(next.to_string()).build()) {
                Ok(_) => {
                    writeln!(log, "counted {next}").unwrap();
                    break;
                }
                Err(Error::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        },
        // Refreshes the other one.
        1 | 3 => refresh(store, url, log)?,
        _ => {
            writeln!(log, "saving {user} {count}").unwrap();
            store.save_token(&own.access_token(count.to_string()).refresh_token("r").build())?;
            writeln!(log, "saved {user} {count}").unwrap();
        }
    }
    Ok(())
}

/// Each refresh token is the number after the one that was sent.
fn refresh(store: &SqlStore, url: &str, log: &mut fs::File) -> tokenkeep::Result<()> {
    let query = token().user_name("refreshed").client_id("c").build();
    let refreshed = store.refresh_with(&query, Need::now().timeout(Duration::from_millis(20)), |row| {
        let sent: u64 = row.refresh_token().unwrap().expose_secret().parse().unwrap();
        writeln!(log, "sent {sent}").unwrap();
        let next = (sent + 1).to_string();
        token().access_token(next.clone()).refresh_token(next).expiry_unknown().build().into()
    });
    match refreshed {
        Ok(Refreshed::Fresh(_) | Refreshed::Stale(..)) => Ok(()),
        Ok(Refreshed::SignInAgain(_)) => panic!("nobody has refused the token"),
        Err(error) => match error.cause() {
            Error::Refreshing { .. } | Error::ClaimEnded => Ok(()),
            Error::Rekeyed { .. } => error.retry_in(&open(url)).map(drop).or(Ok(())),
            _ => {
                // The answer is saved when the server is there again.
                pause_after(error.cause());
                error.retry_in(&open(url)).map(drop).or(Ok(()))
            }
        },
    }
}

/// What the threads have written down: the last acknowledged save of each user, and those that were under way later.
#[derive(Default)]
struct Acknowledged {
    counts: HashMap<String, Option<u64>>,
    open: HashMap<String, Vec<Option<u64>>>,
    counted: Vec<u64>,
    sent: Vec<u64>,
}

fn acknowledged(log: &Path) -> Acknowledged {
    let mut all = Acknowledged::default();
    for file in fs::read_dir(log).unwrap() {
        for line in fs::read_to_string(file.unwrap().path()).unwrap().lines() {
            let (what, rest) = line.split_once(' ').unwrap();
            let user_and_count = || {
                let (user, count) = rest.rsplit_once(' ').unwrap();
                (user.to_owned(), Some(count.parse().unwrap()))
            };
            match what {
                "saving" => all.open.entry(user_and_count().0).or_default().push(user_and_count().1),
                "saved" => {
                    let (user, count) = user_and_count();
                    all.open.remove(&user);
                    all.counts.insert(user, count);
                }
                "deleting" => all.open.entry(rest.to_owned()).or_default().push(None),
                "deleted" => {
                    all.open.remove(rest);
                    all.counts.insert(rest.to_owned(), None);
                }
                "counted" => all.counted.push(rest.parse().unwrap()),
                "sent" => all.sent.push(rest.parse().unwrap()),
                other => panic!("{other}"),
            }
        }
    }
    all
}

fn start(url: &str, log: &Path, process: usize, duration: Duration) -> Child {
    let (log, process) = (log.to_str().unwrap(), process.to_string());
    this_program_with(&["work", url, log, &process, &duration.as_millis().to_string()])
        .stdout(std::process::Stdio::null())
        .spawn()
        .unwrap()
}

#[test]
fn killed_processes_lose_no_acknowledged_save() {
    torture(&Fixture::new(), &[], |_| 0);
}

/// Kills processes all the time. The others may use other servers of the same database. The function may do more, and
/// returns how many servers it has killed.
pub(crate) fn torture(fixture: &Fixture, others: &[String], disturb: impl FnMut(usize) -> usize) {
    let urls: Vec<_> = [&fixture.url].into_iter().chain(others).map(String::as_str).collect();
    work_and_kill(&urls, disturb).check(fixture);
}

/// What the processes have written down, and how often something was killed.
pub(crate) struct Work {
    _directory: TempDir,
    log: PathBuf,
    killed: usize,
    servers_killed: usize,
}

/// Starts processes on the servers of one store, and kills one after the other.
pub(crate) fn work_and_kill(urls: &[&str], mut disturb: impl FnMut(usize) -> usize) -> Work {
    let seconds = env::var("TOKENKEEP_TORTURE_SECONDS").map_or(10, |seconds| seconds.parse().unwrap());
    let duration = Duration::from_secs(seconds);
    let directory = tempfile::tempdir().unwrap();
    let log = directory.path().join("log");
    fs::create_dir(&log).unwrap();
    let url_of = |process: usize| urls[process % urls.len()];
    let shared = |user: &str| token().user_name(user).client_id("c").access_token("0").refresh_token("0").build();
    let store = open(urls[0]);
    store.save_token(&shared("all")).unwrap();
    store.save_token(&shared("refreshed")).unwrap();

    let started = Instant::now();
    let mut children: Vec<_> = (0..PROCESSES).map(|process| start(url_of(process), &log, process, duration)).collect();
    let (mut killed, mut servers_killed) = (0, 0);
    while started.elapsed() + Duration::from_millis(500) < duration {
        thread::sleep(Duration::from_millis(300));
        let process = killed % PROCESSES;
        children[process].kill().unwrap();
        children[process].wait().unwrap();
        // Each writes on into its own files, which end in what it had begun.
        let left = duration.saturating_sub(started.elapsed());
        finish_open_lines(&log, process);
        children[process] = start(url_of(process), &log, process, left);
        killed += 1;
        servers_killed += disturb(killed);
    }
    for child in &mut children {
        assert!(child.wait().unwrap().success());
    }
    Work { _directory: directory, log, killed, servers_killed }
}

impl Work {
    /// What was acknowledged is stored, once, under one key.
    pub(crate) fn check(self, fixture: &Fixture) {
        let Self { log, killed, servers_killed, _directory } = self;
        let store = open(&fixture.url);
        let all = acknowledged(&log);
        let stored = store.get_tokens().unwrap();
        let mut users: Vec<_> = stored.iter().map(|token| (token.user_name(), token.client_id())).collect();
        users.sort_unstable();
        let count = users.len();
        users.dedup();
        assert_eq!(users.len(), count, "user name and client are unique");
        for (user, saved) in &all.counts {
            let row = store.find_stored(&token().user_name(user).client_id("c").build()).unwrap();
            let found = row.map(|row| row.access_token().unwrap().expose_secret().parse::<u64>().unwrap());
            let may_be_open = all.open.get(user).is_some_and(|open| open.contains(&found));
            assert!(found == *saved || may_be_open, "{user}: {found:?} is stored, and {saved:?} was acknowledged");
        }
        let of = |user: &str| store.find_stored(&token().user_name(user).client_id("c").build()).unwrap().unwrap();
        let mut counted = all.counted;
        counted.sort_unstable();
        let before = counted.len();
        counted.dedup();
        assert_eq!(counted.len(), before, "no update was lost");
        let total: u64 = of("all").access_token().unwrap().expose_secret().parse().unwrap();
        assert!(counted.last().is_none_or(|last| *last <= total));
        let refreshed = of("refreshed");
        let last: u64 = refreshed.refresh_token().unwrap().expose_secret().parse().unwrap();
        // A process that was killed after it had sent a token, and before the save, leaves the next one to send it
        // again.
        let mut sent = all.sent;
        sent.sort_unstable();
        let twice = sent.windows(2).filter(|pair| pair[0] == pair[1]).count();
        // A server that is away for longer than a lease lets each of the others send it once more.
        let most = killed + servers_killed * PROCESSES;
        assert!(twice <= most, "{twice} refresh tokens were sent twice, and {killed} processes were killed");
        assert!(sent.last().is_none_or(|sent| *sent <= last), "the newest refresh token is stored");
        let commits = fixture.number("SELECT counter FROM tokenkeep_store");
        println!(
            "{commits} commits, {before} counts, {} requests, {twice} sent twice, {last} refreshes, {killed} processes and \
             {servers_killed} servers killed",
            sent.len()
        );
        // A busy machine that also restarts a server gets little done.
        assert!(killed >= 3 && commits >= 20 && before + sent.len() >= 1, "{killed} kills, {commits} commits");
        let keys = "SELECT key_id FROM tokenkeep_tokens UNION SELECT key_id FROM tokenkeep_store";
        assert_eq!(fixture.place.admin().rows(keys).len(), 1, "no row is left under an old key");
        fixture.place.check();
    }
}

/// A killed process may have written half a line.
fn finish_open_lines(log: &Path, process: usize) {
    for worker in 0..THREADS {
        let path = log.join(format!("{process}-{worker}"));
        let Ok(text) = fs::read_to_string(&path) else { continue };
        if !text.is_empty() && !text.ends_with('\n') {
            let whole = text.rfind('\n').map_or(0, |end| end + 1);
            fs::write(&path, &text[..whole]).unwrap();
        }
    }
}

#[test]
fn claim_of_a_killed_process_ends_with_its_lease() {
    let fixture = Fixture::with(&options());
    let id = fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    let mut child = this_program_with(&["claim", &fixture.url]).stdout(std::process::Stdio::null()).spawn().unwrap();
    let started = Instant::now();
    while fixture.store.lock_token(&id).unwrap().lock().is_some_and(|lock| {
        drop(lock);
        true
    }) {
        assert!(started.elapsed() < Duration::from_secs(20), "the other process claims it");
        thread::sleep(Duration::from_millis(20));
    }
    thread::sleep(Duration::from_millis(200));
    child.kill().unwrap();
    child.wait().unwrap();
    let killed = Instant::now();
    let lock = loop {
        match fixture.store.lock_token(&id).unwrap().lock() {
            Some(lock) => break lock,
            None => thread::sleep(Duration::from_millis(20)),
        }
    };
    assert!(killed.elapsed() < Duration::from_millis(1_500), "{:?}", killed.elapsed());
    assert!(lock.was_left_unfinished());
}
