//! What a process leaves behind that has closed its store and then dies: its core file.

use std::{
    env, fs,
    fs::File,
    io::{Read, Write},
    mem,
    os::unix::process::ExitStatusExt,
    path::Path,
    process::{Stdio, abort},
    time::Duration,
};

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};
use tokenkeep::{Error, KdfParams, Keystore, KeystoreOptions, Passphrase, RecoveryKey, TokenStore, Unlock};
use zeroize::{Zeroize, Zeroizing};

use crate::{
    canaries::{Canaries, text, texts},
    common::{PAPER, this_program_with, unlock_with_paper},
    reader::{Secret, recovery_key},
    stage::{canary, filled, passphrase},
};

/// The names of what the process gets, one to a line.
const NAMES: [&str; 10] = [
    "client secret",
    "refresh token",
    "access token",
    "grant token",
    "id token",
    "attribute",
    "long attribute",
    "passphrase",
    "wrong passphrase",
    "new passphrase",
];

const STORE: &str = "tokens.keep";

/// The names of the secrets that are in a core file.
struct Found {
    registers: Vec<String>,
    memory: Vec<String>,
}

/// What the process does before it closes its store and dies. One thing each, so that no other overwrites what that has
/// left on the stack; and all of it.
const WORK: [&str; 13] = [
    "read a recovery key",
    "create",
    "open with a passphrase",
    "open with a recovery key",
    "open with a wrong passphrase",
    "try a recovery key",
    "save",
    "save much",
    "reload",
    "change the passphrase",
    "add a passphrase in vain",
    "add a recovery key in vain",
    "all",
];

pub(crate) fn closed() {
    let left = WORK.map(|work| {
        let Some(Found { registers, memory }) = found_after(work) else { return String::new() };
        let registers = registers.iter().map(|name| format!("{name}, in a register"));
        let left: Vec<_> = memory.iter().cloned().chain(registers).collect();
        if left.is_empty() { String::new() } else { format!("\n{work}: {}", left.join(", ")) }
    });
    assert!(left.concat().is_empty(), "secrets are in core files:{}", left.concat());
}

/// The control.
pub(crate) fn open() {
    let Some(Found { memory, .. }) = found_after("all, and leave it open") else { return };
    for name in texts().filter(|(name, token, _)| *token == 0 && NAMES[..7].contains(name)) {
        let name = format!("{} 0", name.0);
        assert!(memory.contains(&name), "no {name} in {memory:?}");
    }
    assert!(memory.contains(&"the store key".to_owned()), "no store key in {memory:?}");
}

/// What is in the core file; `None` where there is no such file to be had.
fn found_after(job: &str) -> Option<Found> {
    let limit = getrlimit(Resource::Core).maximum;
    let pattern = fs::read_to_string("/proc/sys/kernel/core_pattern").unwrap_or_default();
    if limit.is_some_and(|limit| limit < 1 << 30) || !pattern.starts_with("core") {
        assert!(env::var_os("CI").is_none(), "CI makes no core files: {limit:?} {pattern}");
        eprintln!("SKIPPED: no core files are made here, which this test needs");
        return None;
    }

    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join(STORE);
    let store = Keystore::create(&path, &passphrase("passphrase")).unwrap();
    store.add_slot(&unlock_with_paper(PAPER)).unwrap();
    store.save_token(&canary(1).build()).unwrap();
    fs::copy(path, directory.path().join("0.keep")).unwrap();

    let mut command = this_program_with(&["core file", job]);
    let command = command.current_dir(&directory).stdin(Stdio::piped());
    // What it says at its end is of no interest, unless it ends in another way.
    let mut process = command.stdout(Stdio::null()).spawn().unwrap();
    let secrets = NAMES.map(|name| text(name, 0)).join("\n") + "\n" + PAPER;
    process.stdin.take().unwrap().write_all(secrets.as_bytes()).unwrap();
    assert_eq!(process.wait().unwrap().signal(), Some(6));

    let names = crate::common::names_in(directory.path());
    let name = names.iter().find(|name| name.starts_with("core")).expect("a core file");
    let core = fs::read(directory.path().join(name)).unwrap();
    let files = names.iter().filter(|name| name.ends_with(".keep"));
    let files: Vec<_> = files.map(|name| fs::read(directory.path().join(name)).unwrap()).collect();

    let mut canaries = Canaries::new();
    canaries.add("a recovery key", PAPER.as_bytes());
    canaries.add("a recovery key as it is typed", PAPER.replace('-', "").as_bytes());
    canaries.add("a recovery key's bytes", &recovery_key(PAPER).unwrap());
    let passphrases = texts().filter(|(name, ..)| name.ends_with("passphrase"));
    let mut secrets: Vec<_> = passphrases.map(|(.., text)| Secret::Passphrase(text)).collect();
    secrets.push(Secret::RecoveryKey(PAPER));
    canaries.add_keys(&files, &secrets);
    let find = |part| canaries.find(part).into_keys().map(str::to_owned).collect();
    let (registers, memory) = core.split_at(start_of_memory(&core));
    Some(Found { registers: find(registers), memory: find(memory) })
}

/// Where the first segment of memory starts in a core file (ELF, 64 bits). Before it are notes, with the registers.
fn start_of_memory(core: &[u8]) -> usize {
    const LOAD: u64 = 1;
    assert_eq!(core[..6], *b"\x7FELF\x02\x01");
    let number =
        |at: usize, len: usize| core[at..at + len].iter().rev().fold(0, |number, byte| number << 8 | u64::from(*byte));
    let headers = usize::try_from(number(32, 8)).unwrap();
    let segments = (0..usize::try_from(number(56, 2)).unwrap()).map(|segment| headers + 56 * segment);
    let memory = segments.filter(|header| number(*header, 4) == LOAD).map(|header| number(header + 8, 8));
    usize::try_from(memory.min().unwrap()).unwrap()
}

/// The process. It wipes what it holds itself, so that what is found is the library's.
pub(crate) fn work(job: &str) {
    let maximum = getrlimit(Resource::Core).maximum;
    setrlimit(Resource::Core, Rlimit { current: maximum, maximum }).unwrap();

    let mut secrets = Zeroizing::new(vec![0; 100_000]);
    let mut input = File::open("/dev/stdin").unwrap();
    let mut len = 0;
    loop {
        match input.read(&mut secrets[len..]).unwrap() {
            0 => break,
            read => len += read,
        }
    }
    let lines: Vec<_> = str::from_utf8(&secrets[..len]).unwrap().split('\n').collect();
    do_it(job, |name| lines[NAMES.iter().position(|known| *known == name).unwrap()], lines[NAMES.len()]);
    drop(lines);
    secrets.zeroize();
    abort();
}

fn do_it<'a>(job: &str, text: impl Fn(&str) -> &'a str, paper: &str) {
    let path = Path::new(STORE);
    let cheap = |name| Passphrase::new(text(name)).kdf(KdfParams::MIN);
    let passphrase = |name| Unlock::from(cheap(name));
    let options = KeystoreOptions::new().lock_timeout(Duration::ZERO);
    let open = || options.open(path, &unlock_with_paper(paper)).unwrap();
    let token = || filled(0, &text).build();
    match job {
        "read a recovery key" => drop(paper.parse::<RecoveryKey>().unwrap()),
        "create" => drop(Keystore::create("new.keep", &passphrase("passphrase")).unwrap()),
        "open with a passphrase" => drop(Keystore::open(path, &passphrase("passphrase")).unwrap()),
        "open with a recovery key" => drop(open()),
        "open with a wrong passphrase" => drop(Keystore::open(path, &passphrase("wrong passphrase")).unwrap_err()),
        "try a recovery key" => drop(open().try_unlock(&unlock_with_paper(paper)).unwrap()),
        "save" => drop(open().save_token(&token()).unwrap()),
        // So much that it is hashed on another thread's stack.
        "save much" => {
            let store = open();
            for number in 0..10 {
                store.save_token(&token().to_builder().user_name(format!("user {number}")).build()).unwrap();
            }
        }
        "reload" => {
            let (store, other) = (open(), open());
            other.save_token(&token()).unwrap();
            drop(other);
            assert_eq!(store.get_tokens().unwrap().len(), 2);
        }
        "change the passphrase" => {
            open().change_passphrase(&cheap("passphrase"), &cheap("new passphrase")).unwrap();
        }
        "add a passphrase in vain" => add_in_vain(&open(), passphrase("new passphrase")),
        "add a recovery key in vain" => add_in_vain(&open(), unlock_with_paper(paper)),
        _ => {
            let (store, other) = (open(), open());
            store.save_token(&token()).unwrap();
            fs::copy(path, "1.keep").unwrap();
            assert!(matches!(store.try_unlock(&passphrase("wrong passphrase")), Err(Error::WrongPassphrase { .. })));
            other.save_token(&filled(2, &text).build()).unwrap();
            fs::copy(path, "2.keep").unwrap();
            store.change_passphrase(&cheap("passphrase"), &cheap("new passphrase")).unwrap();
            fs::copy(path, "3.keep").unwrap();
            store.rekey([&unlock_with_paper(paper)]).unwrap();
            assert!(matches!(other.find_stored(&token()), Err(Error::Rekeyed { .. })));
            assert!(store.find_stored(&token()).unwrap().is_some());
            store.verify().unwrap();
            if job != "all" {
                mem::forget(store);
            }
        }
    }
}

/// Its key is derived, and then others have the lock.
fn add_in_vain(store: &Keystore, unlock: Unlock) {
    let others = File::open(format!("{STORE}.lock")).unwrap();
    others.lock().unwrap();
    assert!(matches!(store.add_slot(&unlock), Err(Error::Busy { .. })));
}
