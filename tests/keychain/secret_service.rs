//! A real Secret Service: GNOME Keyring on a session bus of its own (`tests/keychain/session`), and what else may be
//! found in its place.

use std::{
    fs,
    io::Write,
    os::unix::net::UnixListener,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    thread,
    time::Duration,
};

use tempfile::TempDir;
use tokenkeep::{Error, Keychain, KeychainFailure, Keystore, TokenStore, Unlock};

use crate::{
    SERVICE,
    common::{PAPER, token, unlock_with_paper},
    store_id_of, this_program_with,
};

fn keychain() -> Keychain {
    Keychain::new(SERVICE).deadline(Duration::from_secs(5))
}

fn unlock() -> Unlock {
    keychain().into()
}

/// Runs a job of this program in a session of its own.
fn in_a_session(job: &[&str]) {
    let needed = ["dbus-run-session", "gnome-keyring-daemon", "secret-tool"];
    let has = |name: &&&str| {
        Command::new("sh").args(["-c", &format!("command -v {name}")]).output().unwrap().status.success()
    };
    let missing: Vec<_> = needed.iter().filter(|name| !has(name)).collect();
    if !missing.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "{missing:?} missing");
        eprintln!("SKIPPED: {missing:?} missing, no Secret Service was tried");
        return;
    }
    let program = this_program_with(job);
    let session = Path::new(env!("CARGO_MANIFEST_DIR")).join("session");
    // Whatever a test may leave hanging, it ends.
    let mut command = Command::new("timeout");
    command
        .arg("60")
        .arg(session)
        .arg(program.get_program())
        .envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let done = command.stdin(Stdio::null()).output().unwrap();
    let (out, err) = (String::from_utf8_lossy(&done.stdout), String::from_utf8_lossy(&done.stderr));
    assert!(done.status.success(), "{job:?}:\n{out}\n{err}");
    assert!(!err.contains("warn") && !err.contains("panic"), "{job:?}: {err}");
}

fn run(program: &str, arguments: &[&str]) -> String {
    let done = Command::new(program).args(arguments).stdin(Stdio::null()).output().unwrap();
    assert!(done.status.success(), "{program} {arguments:?}: {}", String::from_utf8_lossy(&done.stderr));
    String::from_utf8_lossy(&done.stdout).into_owned()
}

/// A store whose key is in the keychain, in a directory of its own.
struct Kept {
    directory: TempDir,
    store: Keystore,
}

impl Kept {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let store = Keystore::create(directory.path().join("tokens.keep"), &unlock().label("this machine")).unwrap();
        store.save_token(&token().user_name("ada").access_token("a").build()).unwrap();
        Self { directory, store }
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("tokens.keep")
    }

    /// The name of its entry, beside the service.
    fn user(&self) -> String {
        format!("{}-{}", store_id_of(&self.path()), self.store.opened_by().unwrap().unwrap().id)
    }

    /// What opening it ends in, which changes neither the file nor the keychain, however it is opened.
    #[track_caller]
    fn refused(&self) -> KeychainFailure {
        let bytes = fs::read(self.path()).unwrap();
        let why = |opened: tokenkeep::Result<Keystore>| match opened {
            Err(Error::Keychain { why, .. }) => why,
            other => panic!("expected a keychain's failure, got {other:?}"),
        };
        let first = why(Keystore::open(self.path(), &unlock()));
        assert_eq!(why(Keystore::open_or_create(self.path(), &unlock())), first);
        // Not even where no file is: what cannot keep the key is not given a store to keep.
        let new = self.directory.path().join("new.keep");
        if first != KeychainFailure::Missing {
            assert_eq!(why(Keystore::create(&new, &unlock())), first);
            assert_eq!(why(self.store.try_unlock(&unlock()).map(|_| self.store.clone())), first);
            assert!(self.store.add_slot(&unlock()).is_err());
        }
        assert!(!new.exists());
        assert!(fs::read(self.path()).unwrap() == bytes);
        first
    }
}

/// What another program finds under the name.
fn looked_up(user: &str) -> Vec<u8> {
    Command::new("secret-tool").args(["lookup", "service", SERVICE, "username", user]).output().unwrap().stdout
}

fn entries() -> usize {
    // Secrets go to the output, the rest to the errors, of some versions.
    let done = Command::new("secret-tool").args(["search", "--all", "service", SERVICE]).output().unwrap();
    let all = [done.stdout, done.stderr].concat();
    String::from_utf8_lossy(&all).matches("attribute.username").count()
}

fn lock_the_collection() {
    let object = "/org/freedesktop/secrets";
    let array = format!("array:objpath:{object}/collection/login");
    let call = ["--session", "--print-reply", "--dest=org.freedesktop.secrets", object];
    run("dbus-send", &[&call[..], &["org.freedesktop.Secret.Service.Lock", &array]].concat());
}

/// A job, inside the session.
pub(crate) fn work(job: &str, arguments: &[&str]) {
    match (job, arguments) {
        ("entry", _) => the_entry(),
        ("reopen", [path]) => {
            let store = Keystore::open(path, &unlock()).unwrap();
            assert_eq!(store.get_tokens().unwrap()[0].user_name(), Some("ada"));
            store.save_token(&token().user_name("grace").access_token("a").build()).unwrap();
        }
        ("failures", _) => failures(),
        ("copies", _) => copies(),
        ("deaths", _) => deaths(),
        ("restart", _) => restart(),
        ("runtimes", _) => runtimes(),
        other => panic!("no such job: {other:?}"),
    }
}

pub(crate) fn entry_is_as_documented() {
    in_a_session(&["secret service", "entry"]);
}

fn the_entry() {
    let kept = Kept::new();
    let user = kept.user();
    // Another process, without any passphrase.
    let path = kept.path();
    let reopened = this_program_with(&["secret service", "reopen", path.to_str().unwrap()]).status().unwrap();
    assert!(reopened.success());
    assert_eq!(kept.store.get_tokens().unwrap().len(), 2);

    // Other programs find the entry where the document says, and nothing in it but the key.
    let key = looked_up(&user);
    assert_eq!(key.len(), 64);
    let by_keyring = keyring::v1::Entry::new(SERVICE, &user).unwrap().get_secret().unwrap();
    assert_eq!(by_keyring, key);
    let search = Command::new("secret-tool").args(["search", "--all", "service", SERVICE]).output().unwrap();
    let shown = String::from_utf8_lossy(&[search.stdout, search.stderr].concat()).into_owned();
    assert!(shown.contains(&format!("label = {SERVICE}: key of a token store")), "{shown}");
    assert!(shown.contains(&format!("attribute.username = {user}")), "{shown}");
    assert_eq!(entries(), 1);
    assert!(shown.lines().filter(|line| line.starts_with("attribute.")).count() <= 3, "{shown}");

    // And it goes with its slot.
    kept.store.add_slot(&unlock_with_paper(PAPER)).unwrap();
    let added = kept.store.add_slot(&unlock()).unwrap();
    assert_eq!(entries(), 2);
    kept.store.rekey([&unlock(), &unlock_with_paper(PAPER)]).unwrap();
    assert_eq!((entries(), kept.store.keychain_orphans(&keychain()).unwrap()), (1, Vec::new()));
    assert!(matches!(kept.store.remove_slot(added), Err(Error::NoSuchSlot { .. })));
    let slot = kept.store.opened_by().unwrap().unwrap().id;
    kept.store.remove_slot(slot).unwrap();
    assert_eq!(entries(), 0);
    Keystore::open(&path, &unlock_with_paper(PAPER)).unwrap();

    // What nobody refers to is found, and taken out when that is said.
    let orphan = format!("{}-{}", store_id_of(&path), "00".repeat(16));
    let mut stored = Command::new("secret-tool")
        .args(["store", "--label=test", "service", SERVICE, "username", &orphan])
        .stdin(Stdio::piped())
        .spawn()
        .unwrap();
    stored.stdin.take().unwrap().write_all(b"0").unwrap();
    assert!(stored.wait().unwrap().success());
    let orphans = kept.store.keychain_orphans(&keychain()).unwrap();
    assert_eq!(orphans.iter().map(ToString::to_string).collect::<Vec<_>>(), ["00".repeat(16)]);
    kept.store.remove_keychain_orphan(&keychain(), orphans[0]).unwrap();
    let again = kept.store.remove_keychain_orphan(&keychain(), orphans[0]);
    assert!(matches!(again, Err(Error::NotAnOrphan { .. })), "{again:?}");
    assert_eq!(entries(), 0);
}

pub(crate) fn failures_are_distinguished() {
    in_a_session(&["secret service", "failures"]);
}

fn failures() {
    let kept = Kept::new();
    let user = kept.user();
    let key = looked_up(&user);

    lock_the_collection();
    assert_eq!(kept.refused(), KeychainFailure::Locked);
    // The store that is open needs no keychain.
    kept.store.save_token(&token().user_name("locked").access_token("a").build()).unwrap();
    kept.store.verify().unwrap();

    let other = tempfile::tempdir().unwrap();
    let bus = |address: &str| {
        // Each in a process of its own: the address is the process's.
        let mut job = this_program_with(&["secret service at", kept.path().to_str().unwrap()]);
        let output = job.env("DBUS_SESSION_BUS_ADDRESS", address).stdin(Stdio::null()).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(bus("unix:path=/nonexistent/bus"), "Unavailable");
    assert_eq!(bus(""), "Unavailable");
    assert_eq!(bus("rubbish"), "Unavailable");
    // A socket that takes connections, and never answers.
    let socket = other.path().join("silent");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || listener.incoming().map(|stream| std::mem::forget(stream.unwrap())).count());
    assert_eq!(bus(&format!("unix:path={}", socket.display())), "TimedOut { after: 1s }");
    // A bus on which nobody is the Secret Service, and nobody starts one.
    let config = other.path().join("bus.conf");
    let listen = format!("unix:path={}", other.path().join("bus").display());
    let all = "<allow send_destination=\"*\" eavesdrop=\"true\"/><allow eavesdrop=\"true\"/><allow own=\"*\"/>";
    let policy = format!("<policy context=\"default\">{all}</policy>");
    let text = format!("<busconfig><type>session</type><listen>{listen}</listen>{policy}</busconfig>");
    fs::write(&config, text).unwrap();
    let mut empty_bus = Command::new("dbus-daemon");
    empty_bus.arg("--nofork").arg("--config-file").arg(&config);
    let mut empty_bus = empty_bus.stdout(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
    while !other.path().join("bus").exists() {
        thread::sleep(Duration::from_millis(10));
    }
    let output = bus(&listen);
    empty_bus.kill().unwrap();
    empty_bus.wait().unwrap();
    assert_eq!(output, "Unavailable");

    // Unlocked again, as by a new login.
    unlocked_daemon(&user);
    Keystore::open(kept.path(), &unlock()).unwrap();
    assert_eq!((entries(), looked_up(&user)), (1, key));
    // One that is there, and says nothing: the bus gives it up before the deadline.
    let daemon = process_of_the_service();
    run("kill", &["-STOP", &daemon]);
    let silent = Keystore::open(kept.path(), &unlock()).unwrap_err();
    run("kill", &["-CONT", &daemon]);
    assert!(matches!(silent, Error::Keychain { why: KeychainFailure::TimedOut { .. }, .. }), "{silent:?}");
    run("secret-tool", &["clear", "service", SERVICE, "username", &user]);
    assert_eq!(kept.refused(), KeychainFailure::Missing);
    assert_eq!(entries(), 0, "no key was made");
}

/// In a process that has another bus, or none.
pub(crate) fn at_another_bus(path: &Path) {
    let bytes = fs::read(path).unwrap();
    let unlock = || Unlock::from(Keychain::new(SERVICE).deadline(Duration::from_secs(1)));
    let new = path.with_extension("new");
    let why = |opened: tokenkeep::Result<Keystore>| match opened {
        Err(Error::Keychain { why, .. }) => why,
        other => panic!("expected a keychain's failure, got {other:?}"),
    };
    let first = why(Keystore::open(path, &unlock()));
    assert_eq!(why(Keystore::open_or_create(path, &unlock())), first);
    assert_eq!(why(Keystore::create(&new, &unlock())), first);
    assert!(!new.exists() && fs::read(path).unwrap() == bytes);
    print!("{first:?}");
}

/// Starts the daemon again, unlocked, and waits until other programs find the entry.
fn unlocked_daemon(user: &str) {
    start_daemon();
    let found = (0..100).any(|_| {
        thread::sleep(Duration::from_millis(100));
        looked_up(user).len() == 64
    });
    assert!(found, "the daemon did not come back");
}

fn start_daemon() {
    let mut daemon = Command::new("gnome-keyring-daemon")
        .args(["--replace", "--unlock", "--components=secrets"])
        .stdin(Stdio::piped())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    daemon.stdin.take().unwrap().write_all(b"test-pw").unwrap();
    assert!(daemon.wait().unwrap().success());
}

/// The number of the daemon's process, as the bus knows it.
fn process_of_the_service() -> String {
    let call = ["--session", "--print-reply=literal", "--dest=org.freedesktop.DBus", "/org/freedesktop/DBus"];
    let asked = ["org.freedesktop.DBus.GetConnectionUnixProcessID", "string:org.freedesktop.secrets"];
    let output = run("dbus-send", &[&call[..], &asked].concat());
    output.split_whitespace().last().unwrap().to_owned()
}

pub(crate) fn copies_lock_nobody_out() {
    in_a_session(&["secret service", "copies"]);
}

/// What is left behind when somebody copies the file of a keyring, or restores one beside the other.
fn copies() {
    let kept = Kept::new();
    let user = kept.user();
    let store = |secret: &[u8], extra: &str| {
        let arguments =
            ["store", "--label=copy", "service", SERVICE, "username", &user, "copy", extra].map(str::to_owned);
        let mut tool = Command::new("secret-tool").args(arguments).stdin(Stdio::piped()).spawn().unwrap();
        tool.stdin.take().unwrap().write_all(secret).unwrap();
        assert!(tool.wait().unwrap().success());
    };
    // Two more items of that name, both unlocked: one with another key, one with something else.
    store("ab".repeat(32).as_bytes(), "1");
    store(b"something else", "2");
    assert_eq!(entries(), 3);
    assert_eq!(Keystore::open(kept.path(), &unlock()).unwrap().get_tokens().unwrap().len(), 1);
    kept.store.try_unlock(&unlock()).unwrap();

    // The file of the keyring is copied, and the daemon restarted: the copy is locked.
    let keyrings = PathBuf::from(std::env::var_os("XDG_DATA_HOME").unwrap()).join("keyrings");
    run("kill", &["-KILL", &process_of_the_service()]);
    fs::copy(keyrings.join("login.keyring"), keyrings.join("login_copy.keyring")).unwrap();
    start_daemon();
    let is_back = |store: &dyn Fn() -> tokenkeep::Result<Keystore>| {
        (0..100).find_map(|_| {
            thread::sleep(Duration::from_millis(100));
            store().ok()
        })
    };
    let opened = is_back(&|| Keystore::open(kept.path(), &unlock())).expect("the copy locks the user out");
    assert_eq!(opened.get_tokens().unwrap().len(), 1);
    let call = ["--session", "--print-reply", "--dest=org.freedesktop.secrets", "/org/freedesktop/secrets"];
    let search = ["org.freedesktop.Secret.Service.SearchItems", &format!("dict:string:string:username,{user}")];
    let found = run("dbus-send", &[&call[..], &search].concat());
    // The daemon may have been killed before it had written the last of the three items.
    let items = found.matches("object path").count();
    assert!(items == 6 || items == 4, "items and their copies: {found}");
}

pub(crate) fn deaths_are_no_timeouts() {
    in_a_session(&["secret service", "deaths"]);
}

/// The service is killed while it is asked, and a bus refuses the connection.
fn deaths() {
    let kept = Kept::new();
    let daemon = process_of_the_service();
    run("kill", &["-STOP", &daemon]);
    let killer = {
        let daemon = daemon.clone();
        thread::spawn(move || {
            thread::sleep(Duration::from_millis(500));
            run("kill", &["-KILL", &daemon]);
        })
    };
    let long = Unlock::from(Keychain::new(SERVICE).deadline(Duration::from_secs(20)));
    let killed = Keystore::open(kept.path(), &long).unwrap_err();
    killer.join().unwrap();
    assert!(matches!(killed, Error::Keychain { why: KeychainFailure::Unavailable, .. }), "{killed:?}");

    // A peer that hangs up as soon as it is spoken to.
    let socket = kept.directory.path().join("refusing");
    let listener = UnixListener::bind(&socket).unwrap();
    thread::spawn(move || listener.incoming().map(drop).count());
    let mut job = this_program_with(&["secret service at", kept.path().to_str().unwrap()]);
    let address = format!("unix:path={}", socket.display());
    let output = job.env("DBUS_SESSION_BUS_ADDRESS", address).stdin(Stdio::null()).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    assert_eq!(String::from_utf8(output.stdout).unwrap(), "Unavailable");
}

pub(crate) fn restarted_daemon_is_found() {
    in_a_session(&["secret service", "restart"]);
}

fn restart() {
    let kept = Kept::new();
    // Killed, and started again, while the store is open. Only the one on this bus, of course.
    run("kill", &["-KILL", &process_of_the_service()]);
    unlocked_daemon(&kept.user());
    kept.store.save_token(&token().user_name("after").access_token("a").build()).unwrap();
    let added = kept.store.add_slot(&unlock().label("after")).unwrap();
    assert_eq!(entries(), 2);
    for store in [Keystore::open(kept.path(), &unlock()).unwrap(), kept.store.clone()] {
        assert_eq!(store.get_tokens().unwrap().len(), 2);
    }
    kept.store.remove_slot(added).unwrap();
    assert_eq!(entries(), 1);
}

pub(crate) fn works_in_and_out_of_runtimes() {
    in_a_session(&["secret service", "runtimes"]);
}

/// As an application around tokio does it, rightly and less rightly.
fn runtimes() {
    let threads = || fs::read_dir("/proc/self/task").unwrap().count();
    let before = threads();
    let directory = tempfile::tempdir().unwrap();
    let work = |name: &str| {
        let path = directory.path().join(name);
        let store = Keystore::open_or_create(&path, &unlock()).unwrap();
        store.save_token(&token().user_name("ada").access_token("a").build()).unwrap();
        drop(store);
        assert_eq!(Keystore::open(&path, &unlock()).unwrap().get_tokens().unwrap().len(), 1);
    };
    work("without");
    let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build().unwrap();
    thread::scope(|scope| {
        scope.spawn(|| runtime.block_on(async { work("inside") }));
    });
    let path = directory.path().join("blocking");
    let saved = runtime.block_on(async {
        tokio::task::spawn_blocking(move || {
            let store = Keystore::open_or_create(path, &unlock()).unwrap();
            store.save_token(&token().access_token("a").build()).map(|_| ())
        })
        .await
    });
    saved.unwrap().unwrap();
    drop(runtime);
    tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap().block_on(async { work("current") });
    assert_eq!(entries(), 4);
    assert_eq!(threads(), before, "a thread was left behind");
}
