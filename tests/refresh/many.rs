//! Eight processes with four threads each that ask for one token, while some are killed and started again: the endpoint
//! sees one refresh for each expiry, and nobody ends without a token.

use std::{
    env, fmt, fs,
    fs::File,
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
    process::Command,
    thread,
    time::{Duration, Instant},
};

use tokenkeep::{Keystore, Need, Refreshed, TokenStore, TokenStoreExt};

use crate::{
    asking::{self, Seen},
    client::Client,
    clock::Clock,
    common::{names_in, this_program_with},
    endpoint::{Endpoint, Event, Handling, Plan},
    process::Process,
    stage::{ada, create, random, secret},
};

const PROCESSES: usize = 8;
/// How much faster the clock of these tests is: an access token lasts for 0.6 s.
const FASTER: u32 = 100;
const LIFETIME: Duration = Duration::from_secs(60);

/// What goes wrong, or goes on, beside the kills.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Trouble {
    /// Nothing: the tokens expire.
    None,
    /// The tokens have no expiry, and the resource rejects them.
    Rejected,
    /// The disk is full for a second now and then, as soon as the endpoint has moved on.
    FullDisk,
    /// The endpoint answers 503 now and then, with a `Retry-After`.
    Busy,
    /// The user signs out and in again now and then.
    SignOuts,
}

impl Trouble {
    const ALL: [Self; 5] = [Self::None, Self::Rejected, Self::FullDisk, Self::Busy, Self::SignOuts];

    fn name(self) -> String {
        format!("{self:?}")
    }

    pub(crate) fn parse(name: &str) -> Self {
        Self::ALL.into_iter().find(|trouble| trouble.name() == name).unwrap()
    }

    fn lifetime(self) -> Option<Duration> {
        (self != Self::Rejected).then_some(LIFETIME)
    }

    /// What becomes of the refresh requests. Some take so long that the token expires meanwhile.
    fn plan(self, directory: &Path) -> impl FnMut(usize) -> Plan + Send + 'static {
        let filler = directory.join("filler");
        move |number| {
            let milliseconds = |below| Duration::from_millis(random(below));
            let slow = if number % 4 == 3 { 400 } else { 40 };
            let mut plan = Plan { before: milliseconds(slow), after: milliseconds(40), ..Plan::default() };
            if self == Self::Busy && number % 3 == 2 {
                plan.handling = Handling::Busy([1, 20, 40][number / 3 % 3]);
            }
            if self == Self::FullDisk && number % 5 == 4 {
                let filler = filler.clone();
                plan.meanwhile = Box::new(|| fill(filler, Duration::from_secs(1)));
                // Nobody asks again before the new token is saved.
                plan.quiet = Duration::from_millis(900) * FASTER;
            }
            plan
        }
    }
}

/// Fills the disk to the last byte, and frees it on another thread. Waits if it is full already.
fn fill(filler: PathBuf, during: Duration) {
    let mut file = loop {
        match File::create_new(&filler) {
            Ok(file) => break file,
            Err(_) => thread::sleep(Duration::from_millis(5)),
        }
    };
    let full = file.write_all(&vec![1; 1 << 20]).unwrap_err();
    assert_eq!(full.kind(), ErrorKind::StorageFull);
    thread::spawn(move || {
        thread::sleep(during);
        fs::remove_file(filler).unwrap();
    });
}

/// How often the token expires. The usual number takes ten seconds; `.ci/campaign refresh` sets another one.
pub(crate) fn expiries() -> usize {
    env::var("TOKENKEEP_REFRESH_EXPIRIES").map_or(20, |expiries| expiries.parse().unwrap())
}

pub(crate) fn expiring() {
    run(Trouble::None, tempfile::tempdir().unwrap().path());
}

pub(crate) fn rejected() {
    run(Trouble::Rejected, tempfile::tempdir().unwrap().path());
}

pub(crate) fn busy() {
    run(Trouble::Busy, tempfile::tempdir().unwrap().path());
}

pub(crate) fn sign_outs() {
    run(Trouble::SignOuts, tempfile::tempdir().unwrap().path());
}

/// In a mount namespace of its own, with a disk that can be filled.
pub(crate) fn full_disk() {
    let unshare = ["unshare", "--mount", "--propagation", "private"];
    let works = Command::new(unshare[0]).args(&unshare[1..]).arg("true").status();
    if !works.is_ok_and(|status| status.success()) {
        assert!(env::var_os("CI").is_none(), "CI cannot run {unshare:?}");
        eprintln!("SKIPPED: cannot run {unshare:?}, which this test needs");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let job = this_program_with(&["full disk", directory.path().to_str().unwrap()]);
    let mut there = Command::new(unshare[0]);
    there.args(&unshare[1..]).arg(job.get_program());
    there.envs(job.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(there.status().unwrap().success());
}

/// The job of the process that may mount.
pub(crate) fn work_on_full_disk(directory: &str) {
    let tmpfs = ["-t", "tmpfs", "-o", "size=256k,mode=700", "tmpfs", directory];
    assert!(Command::new("mount").args(tmpfs).status().unwrap().success());
    run(Trouble::FullDisk, directory.as_ref());
}

fn run(trouble: Trouble, directory: &Path) {
    let clock = Clock::faster(FASTER);
    let endpoint = Endpoint::start(clock, trouble.lifetime());
    let client = Client { address: endpoint.address, clock };
    let run = Run { trouble, directory, endpoint, client, store: create(directory) };
    run.endpoint.plan(trouble.plan(directory));
    run.sign_in();
    let mut processes: Vec<_> = (0..PROCESSES).map(|number| run.start(number)).collect();
    let started = Instant::now();
    let (mut last, mut last_filled) = ((0, Instant::now()), started);
    let (mut seen, mut kills, mut rejections, mut sign_ins) = (Sum::default(), 0, 0, 1);
    loop {
        thread::sleep(Duration::from_millis(30 + random(120)));
        let refreshes = run.endpoint.count(Event::Moved);
        if refreshes > last.0 {
            last = (refreshes, Instant::now());
        }
        assert!(last.1.elapsed() < Duration::from_secs(30), "nobody refreshes the token any more");
        if refreshes >= expiries() {
            break;
        }
        kills += usize::from(run.kill_one(&mut processes, &mut seen));
        match trouble {
            // Not too soon after another: the library takes that for a fault of the resource.
            Trouble::Rejected
                if refreshes == rejections && last.1.elapsed() > clock.really(Duration::from_secs(15)) =>
            {
                rejections += usize::from(run.endpoint.reject_access());
            }
            Trouble::SignOuts if refreshes >= 3 * sign_ins => {
                run.sign_out(sign_ins);
                sign_ins += 1;
            }
            // Without a refresh under way, too: then nobody gets a claim.
            Trouble::FullDisk if last_filled.elapsed() > Duration::from_secs(2) => {
                fill(directory.join("filler"), Duration::from_millis(400));
                last_filled = Instant::now();
            }
            _ => {}
        }
    }
    let took = started.elapsed();
    // The disk may be full for a second more.
    while fs::write(asking::end(directory), "").is_err() {
        thread::sleep(Duration::from_millis(20));
    }
    for process in &mut processes {
        process.end();
        seen.add(process);
    }
    let refreshes = run.endpoint.count(Event::Moved);
    println!("{trouble:?}: {refreshes} refreshes in {took:.1?}; {kills} processes killed; {sign_ins} sign-ins; {seen}");
    // The trouble has happened.
    assert!(kills > 0 && seen.count(Seen::Call) > refreshes);
    match trouble {
        Trouble::None => assert!(seen.count(Seen::Refreshing) > 0),
        Trouble::Rejected => assert_eq!(refreshes, rejections),
        Trouble::FullDisk => assert!(seen.count(Seen::NoRoom) > 0),
        Trouble::Busy => assert!(run.endpoint.count(Event::Busy) > 0 && seen.count(Seen::BackedOff) > 0),
        Trouble::SignOuts => assert!(sign_ins > 3 && seen.count(Seen::NotSignedIn) > 0),
    }
    run.check_end();
}

/// What all processes have seen.
#[derive(Default)]
struct Sum([usize; asking::KINDS]);

impl Sum {
    /// Adds what a process has printed that has ended.
    fn add(&mut self, process: &Process) {
        for line in process.rest() {
            // A line that was cut by a kill is no number less.
            let counts = line.split(' ').filter_map(|count| count.parse::<usize>().ok());
            self.0.iter_mut().zip(counts).for_each(|(sum, count)| *sum += count);
        }
    }

    fn count(&self, seen: Seen) -> usize {
        self.0[seen as usize]
    }
}

impl fmt::Display for Sum {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let [calls, requests, refreshing, backed_off, failed_saves, no_room, not_signed_in] = self.0;
        write!(
            f,
            "{calls} calls, {requests} requests, {refreshing} times a valid token while another caller refreshed it, \
             {backed_off} times backed off, {failed_saves} failed saves, {no_room} times no claim without room, \
             {not_signed_in} times not signed in"
        )
    }
}

struct Run<'a> {
    trouble: Trouble,
    directory: &'a Path,
    endpoint: Endpoint,
    client: Client,
    store: Keystore,
}

impl Run<'_> {
    fn start(&self, number: usize) -> Process {
        File::create(asking::window(self.directory, number)).unwrap();
        let (trouble, number) = (self.trouble.name(), number.to_string());
        let [address, clock] = [self.client.address.to_string(), self.client.clock.text()];
        Process::start(&["ask", &trouble, &number, self.directory.to_str().unwrap(), &address, &clock])
    }

    /// Kills a process and starts another one in its place, unless one of its threads has sent a request and not saved
    /// the answer.
    fn kill_one(&self, processes: &mut [Process], seen: &mut Sum) -> bool {
        let number = usize::try_from(random(PROCESSES as u64)).unwrap();
        processes.iter_mut().for_each(Process::assert_running);
        let window = File::open(asking::window(self.directory, number)).unwrap();
        if window.try_lock().is_err() {
            return false;
        }
        processes[number].kill();
        seen.add(&processes[number]);
        drop(window);
        processes[number] = self.start(number);
        true
    }

    fn sign_in(&self) {
        let (refresh, access) = self.endpoint.sign_in();
        let now = self.client.clock.now();
        let expires_at = self.trouble.lifetime().map(|lifetime| now + lifetime);
        let token = ada().to_builder().refresh_token(refresh).access_token(access).received_at(now);
        self.store.save_token(&token.maybe_expires_at(expires_at).build()).unwrap();
    }

    /// Signs out and in again, while the token is being refreshed.
    fn sign_out(&self, number: usize) {
        let id = self.store.find_stored(&ada()).unwrap().unwrap().id().unwrap().clone();
        let revoked = self.endpoint.count(Event::Revoked);
        self.endpoint.wait_for(Event::Arrived, self.endpoint.count(Event::Arrived) + 1);
        match number % 4 {
            0 => assert!(self.store.sign_out(&id).unwrap()),
            1 => {
                assert!(self.store.sign_out_with(&id, |token| self.client.revoke(token)).unwrap());
                assert_eq!(self.endpoint.count(Event::Revoked), revoked + 1);
            }
            2 => assert!(self.store.delete_token(&id).unwrap()),
            _ => return self.sign_in_over(),
        }
        // The refresh that was under way does not bring it back.
        self.endpoint.wait_until_idle();
        thread::sleep(Duration::from_millis(100));
        assert!(self.store.get_tokens().unwrap().is_empty());
        self.sign_in();
    }

    fn sign_in_over(&self) {
        self.sign_in();
        let newest = self.endpoint.valid_refresh_token();
        let (newest, _) = newest.rsplit_once('-').unwrap();
        self.endpoint.wait_until_idle();
        thread::sleep(Duration::from_millis(100));
        let row = self.store.find_stored(&ada()).unwrap().unwrap();
        let kept = secret(row.refresh_token());
        assert!(kept.starts_with(newest), "{kept} is of an older sign-in than {newest}");
    }

    fn check_end(&self) {
        self.endpoint.wait_until_idle();
        self.endpoint.plan(|_| Plan::default());
        self.endpoint.assert_well_treated();
        let need = || self.client.clock.need(Need::default());
        let mut refreshed = self.store.refresh_with(&ada(), need(), |token| self.client.refresh(token));
        while matches!(
            refreshed.as_ref().map_err(tokenkeep::RefreshError::cause),
            Err(tokenkeep::Error::BackedOff { .. })
        ) {
            thread::sleep(Duration::from_millis(10));
            refreshed = self.store.refresh_with(&ada(), need(), |token| self.client.refresh(token));
        }
        let token = match refreshed.unwrap() {
            Refreshed::Fresh(token) | Refreshed::Stale(token, _) => token,
            Refreshed::SignInAgain(token) => panic!("the sign-in is lost: {token:?}"),
        };
        assert_eq!(secret(token.refresh_token()), self.endpoint.valid_refresh_token());
        self.endpoint.assert_well_treated();
        self.store.verify().unwrap();
        // The lock file of a holder that was killed goes with the next refresh, unless the token was deleted.
        let claims = names_in(&self.directory.join("tokens.keep.claims"));
        assert!(self.trouble == Trouble::SignOuts || claims.len() <= 1, "{claims:?}");
    }
}
