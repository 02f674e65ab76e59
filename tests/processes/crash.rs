//! One operation at a time, killed at every call to the system that has to do with files, and failed at every one.

use std::{
    collections::BTreeMap,
    fs, io,
    path::Path,
    process::{Command, Stdio},
    sync::{
        Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
};

use tempfile::TempDir;
use tokenkeep::{Error, Keystore, Passphrase, SlotKind, Token, TokenStore, Unlock};

use crate::{
    common::{OTHER_PAPER, PAPER, cheap, names_in, passphrase, token, unlock, unlock_with_paper},
    this_program_with, works,
};

const OPERATIONS: [&str; 11] = [
    "create",
    "save",
    "update",
    "delete",
    "delete all",
    "transaction",
    "add slot",
    "remove slot",
    "replace slot",
    "change passphrase",
    "rekey",
];
/// Everything between these two looks at files that are not there is the operation.
const BEGIN: &str = "/tokenkeep-test-begin";
const END: &str = "/tokenkeep-test-end";
const CALLS: &str = "openat,close,read,pread64,write,writev,lseek,fsync,fdatasync,ftruncate,rename,renameat,renameat2,\
    unlink,unlinkat,flock,fcntl,stat,lstat,fstat,statx,newfstatat,getdents64,chmod,fchmod,fchmodat,readlink,mkdir";

/// The operation, in a process of its own. It acknowledges by ending well.
pub(crate) fn work(operation: &str, path: &Path) {
    let store = (operation != "create").then(|| open(path));
    let _ = fs::metadata(BEGIN);
    let done = perform(operation, store.as_ref(), path);
    let _ = fs::metadata(END);
    if let Err(error) = done {
        println!("{error}");
        std::process::exit(1);
    }
}

/// In the way that no operation takes away.
fn open(path: &Path) -> Keystore {
    Keystore::open(path, &unlock_with_paper(PAPER)).unwrap()
}

fn another_passphrase() -> Passphrase {
    cheap("another")
}

fn perform(operation: &str, store: Option<&Keystore>, path: &Path) -> tokenkeep::Result<()> {
    let save = |user: &str, access: &str| token().user_name(user).access_token(access).build();
    match (operation, store) {
        ("find", Some(store)) => (0..FINDS).try_for_each(|_| store.find_stored(&save("ada", "")).map(|_| ())),
        ("find in a snapshot", Some(store)) => {
            let snapshot = store.snapshot()?;
            let _ = fs::metadata(BEGIN);
            (0..FINDS).for_each(|_| assert!(snapshot.find_stored(&save("ada", "")).unwrap().is_some()));
            Ok(())
        }
        ("create", _) => Keystore::create(path, &unlock()).map(|_| ()),
        ("save", Some(store)) => store.save_token(&save("grace", "g")).map(|_| ()),
        ("update", Some(store)) => store.save_token(&save("ada", "a2")).map(|_| ()),
        ("delete", Some(store)) => store.delete_token(&"1".into()).map(|_| ()),
        ("delete all", Some(store)) => store.delete_tokens().map(|_| ()),
        ("transaction", Some(store)) => store.transaction(|transaction| {
            transaction.save_token(&save("grace", "g"))?;
            transaction.delete_token(&"1".into());
            transaction.namespace("google")?.save_token(&save("ada", "a3")).map(drop)
        }),
        ("add slot", Some(store)) => store.add_slot(&unlock_with_paper(OTHER_PAPER)).map(|_| ()),
        ("remove slot", Some(store)) => store.remove_slot(passphrase_slot(store)?).map(|_| ()),
        ("replace slot", Some(store)) => {
            store.replace_slot(passphrase_slot(store)?, &unlock_with_paper(OTHER_PAPER)).map(|_| ())
        }
        ("change passphrase", Some(store)) => store.change_passphrase(&passphrase(), &another_passphrase()).map(|_| ()),
        ("rekey", Some(store)) => store.rekey([&unlock_with_paper(PAPER)]),
        other => panic!("no such operation: {other:?}"),
    }
}

fn passphrase_slot(store: &Keystore) -> tokenkeep::Result<tokenkeep::SlotId> {
    let mut slots = store.slots()?.into_iter();
    Ok(slots.find(|slot| matches!(slot.kind, SlotKind::Passphrase(_))).unwrap().id)
}

/// The ways that open the store, and the tokens without the times at which they were saved; `None` where there is no
/// store.
type State = Option<(Vec<&'static str>, Vec<(String, String)>)>;

fn state_of(path: &Path) -> State {
    let file = match fs::read(path) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return None,
        file => file.unwrap(),
    };
    let ways = ways_into(path, key_table(&file));
    // The last way derives no key, if the store has that one.
    let store = Keystore::open(path, &unlock_by(ways.last().unwrap())).unwrap();
    store.verify().unwrap();
    let shown = |(namespace, token): (String, Token)| {
        let user = token.user_name().unwrap();
        (format!("{namespace}/{user}"), token.access_token().unwrap().expose_secret().to_owned())
    };
    Some((ways, all_tokens(&store).into_iter().map(shown).collect()))
}

const WAYS: [&str; 4] = ["passphrase", "another passphrase", "other paper", "paper"];

fn unlock_by(way: &str) -> Unlock {
    match way {
        "passphrase" => unlock(),
        "another passphrase" => another_passphrase().into(),
        "paper" => unlock_with_paper(PAPER),
        _ => unlock_with_paper(OTHER_PAPER),
    }
}

/// The ways that open the store. The key table decides which do, so each key table is tried once: a try derives keys.
fn ways_into(path: &Path, key_table: &[u8]) -> Vec<&'static str> {
    static TRIED: Mutex<BTreeMap<Vec<u8>, Vec<&str>>> = Mutex::new(BTreeMap::new());
    if let Some(ways) = TRIED.lock().unwrap().get(key_table) {
        return ways.clone();
    }
    let (mut ways, mut found) = (Vec::new(), Vec::new());
    for way in WAYS {
        match Keystore::open(path, &unlock_by(way)) {
            Err(Error::WrongPassphrase { .. } | Error::WrongRecoveryKey { .. } | Error::NoSlotFor { .. }) => {}
            Err(error) => panic!("it does not open: {error:?}"),
            Ok(store) => {
                store.verify().unwrap();
                ways.push(way);
                found.push(all_tokens(&store));
            }
        }
    }
    assert!(found.iter().all(|tokens| *tokens == found[0]));
    TRIED.lock().unwrap().insert(key_table.to_owned(), ways.clone());
    ways
}

/// The key table of a file, as docs/format.md places it.
fn key_table(file: &[u8]) -> &[u8] {
    let len = u32::from_le_bytes(*file[12..].first_chunk().unwrap());
    &file[136..][..usize::try_from(len).unwrap()]
}

/// The tokens of every namespace, each with its name.
fn all_tokens(store: &Keystore) -> Vec<(String, Token)> {
    let named = |name: &str, tokens: Vec<Token>| tokens.into_iter().map(|token| (name.to_owned(), token)).collect();
    let mut all: Vec<_> = named("", store.get_tokens().unwrap());
    for name in store.namespaces().unwrap() {
        all.extend::<Vec<_>>(named(&name, store.namespace(&name).unwrap().get_tokens().unwrap()));
    }
    all
}

/// A directory with the store that an operation starts from, if it starts from one.
fn directory_for(operation: &str, start: &[u8]) -> TempDir {
    let directory = tempfile::tempdir().unwrap();
    put(operation, start, &directory.path().join("tokens.keep"));
    directory
}

fn put(operation: &str, start: &[u8], path: &Path) {
    if operation != "create" {
        fs::write(path, start).unwrap();
        crate::common::set_mode(path, 0o600);
    }
}

pub(crate) fn prepare(operation: &str, path: &Path) {
    put(operation, &start(), path);
}

/// That the operation is done.
pub(crate) fn check(operation: &str, path: &Path) {
    assert_eq!(state_of(path), done_from(operation, &start()), "{operation}");
}

/// What the operation makes of the start if nothing happens.
fn done_from(operation: &str, start: &[u8]) -> State {
    let directory = directory_for(operation, start);
    let path = directory.path().join("tokens.keep");
    let store = (operation != "create").then(|| open(&path));
    perform(operation, store.as_ref(), &path).unwrap();
    state_of(&path)
}

fn strace(directory: &Path, operation: &str, options: &[&str]) -> Command {
    let path = directory.join("tokens.keep");
    let job = this_program_with(&["crash", operation, path.to_str().unwrap()]);
    let mut command = Command::new("strace");
    command.args(["-qq", "-e", &format!("trace={CALLS}"), "-e", "signal=none"]).args(options);
    command.arg(job.get_program()).envs(job.get_envs().filter_map(|(name, value)| Some((name, value?))));
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}

/// Each call of the operation: its name, and which of that name it is since the process began.
fn calls_of(operation: &str, start: &[u8]) -> Vec<(String, usize)> {
    let (directory, trace) = (directory_for(operation, start), tempfile::NamedTempFile::new().unwrap());
    let status = strace(directory.path(), operation, &["-o", trace.path().to_str().unwrap()]).status();
    assert!(status.unwrap().success(), "{operation} without a fault");
    let mut counts = BTreeMap::new();
    let mut calls = Vec::new();
    let mut within = false;
    for line in fs::read_to_string(trace.path()).unwrap().lines() {
        let Some((name, _)) = line.split_once('(') else { continue };
        let count: &mut usize = counts.entry(name.to_owned()).or_default();
        *count += 1;
        within &= !line.contains(END);
        if line.contains(BEGIN) {
            (within, calls) = (true, Vec::new());
        } else if within {
            calls.push((name.to_owned(), *count));
        }
    }
    calls
}

const FINDS: usize = 50;

pub(crate) fn finding() {
    if !works(&["strace", "-qq"]) {
        return;
    }
    let calls = calls_of("find", &start());
    assert_eq!(calls.len(), FINDS, "{calls:?}");
    assert!(calls.iter().all(|(name, _)| name.contains("stat")), "{calls:?}");
    assert_eq!(calls_of("find in a snapshot", &start()), []);
}

/// A store with one token and two ways to unlock it.
fn start() -> Vec<u8> {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    let store = Keystore::create(&path, &unlock()).unwrap();
    store.add_slot(&unlock_with_paper(PAPER)).unwrap();
    store.save_token(&token().user_name("ada").access_token("a").build()).unwrap();
    fs::read(path).unwrap()
}

pub(crate) fn killed() {
    at_every_call(&["signal=KILL"]);
}

pub(crate) fn failing() {
    at_every_call(&["error=EIO", "error=ENOSPC", "error=EDQUOT", "error=EINTR"]);
}

fn at_every_call(faults: &[&str]) {
    if !works(&["strace", "-qq"]) {
        return;
    }
    let start = start();
    for operation in OPERATIONS {
        let before = state_of(&directory_for(operation, &start).path().join("tokens.keep"));
        let after = done_from(operation, &start);
        assert_ne!(before, after, "{operation}");
        let mut points = Vec::new();
        let calls = calls_of(operation, &start);
        assert!(calls.iter().any(|(name, _)| name == "fsync") && calls.len() > 15, "{operation}: {calls:?}");
        for (name, count) in calls {
            points.extend(faults.iter().map(|fault| format!("inject={name}:{fault}:when={count}")));
        }
        let (next, acknowledged) = (AtomicUsize::new(0), AtomicUsize::new(0));
        thread::scope(|scope| {
            for _ in 0..2 {
                scope.spawn(|| {
                    while let Some(point) = points.get(next.fetch_add(1, Ordering::SeqCst)) {
                        if survives(operation, &start, point, &before, &after) {
                            acknowledged.fetch_add(1, Ordering::SeqCst);
                        }
                    }
                });
            }
        });
        println!("{operation}: {} points, {} acknowledged", points.len(), acknowledged.into_inner());
    }
}

/// Runs the operation into one fault, and looks at what is left. Returns whether it was acknowledged all the same.
fn survives(operation: &str, start: &[u8], point: &str, before: &State, after: &State) -> bool {
    let directory = directory_for(operation, start);
    let path = directory.path().join("tokens.keep");
    let acknowledged =
        strace(directory.path(), operation, &["-o", "/dev/null", "-e", point]).status().unwrap().success();

    let found = state_of(&path);
    assert!(found == *after || (found == *before && !acknowledged), "{operation}, {point}: {found:?}");
    // A retry succeeds, and with it goes what was left lying about.
    match operation {
        "create" => drop(Keystore::open_or_create(&path, &unlock()).unwrap()),
        // What is done to the slots is not there to be done twice.
        _ if found == *after && after.as_ref().unwrap().0 != before.as_ref().unwrap().0 => {}
        _ => perform(operation, Some(&open(&path)), &path).unwrap(),
    }
    assert_eq!(state_of(&path), *after, "{operation}, {point}: after a retry");
    let any_way = if operation == "create" { unlock() } else { unlock_with_paper(PAPER) };
    Keystore::open(&path, &any_way).unwrap().save_token(&token().id("next").access_token("n").build()).unwrap();
    assert_eq!(names_in(directory.path()), ["tokens.keep", "tokens.keep.lock"], "{operation}, {point}");
    acknowledged
}
