//! Programs that keep a key: the real age, and shell scripts that do everything wrong.

use std::{
    ffi::OsString,
    fs,
    path::{Path, PathBuf},
    process::{Command, Stdio},
    sync::Mutex,
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokenkeep::{
    Error, External, ExternalError, ExternalFailure, ExternalKey, ExternalSlot, Keystore, TokenStore, Unlock,
};

use crate::{
    common::{PAPER, this_program_with, token, unlock_with_paper},
    has,
};

#[path = "../../examples/external_program/provider.rs"]
mod provider;

use provider::Program;

/// The script of the example.
const AGE_KEY: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../../examples/external_program/age-key");
/// Keeps the key in the clear.
const SOUND: &str = "cat";

/// The other process.
pub(crate) fn work(words: &[&str]) {
    let [path, identity] = *words else { panic!("no such job: {words:?}") };
    match Keystore::open(path, &age_with(Path::new(identity))) {
        Ok(store) => println!("opened, {} tokens", store.get_tokens().unwrap().len()),
        Err(error) => println!("{error}"),
    }
}

fn age_with(identity: &Path) -> Unlock {
    External::new(Program { program: AGE_KEY.into(), arguments: vec![identity.into()] }).into()
}

fn make_identity(path: &Path) {
    let made = Command::new("age-keygen").arg("-o").arg(path).stderr(Stdio::null()).status().unwrap();
    assert!(made.success());
}

pub(crate) fn age() {
    if !has(&["age", "age-keygen"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [path, identity, other] = ["tokens.keep", "identity", "other"].map(|name| directory.path().join(name));
    make_identity(&identity);
    make_identity(&other);
    let store = Keystore::create(&path, &age_with(&identity)).unwrap();
    store.save_token(&token().user_name("ada").access_token("a").build()).unwrap();
    let in_another_process = |identity: &Path| {
        let done =
            this_program_with(&["program", path.to_str().unwrap(), identity.to_str().unwrap()]).output().unwrap();
        (String::from_utf8(done.stdout).unwrap(), String::from_utf8(done.stderr).unwrap())
    };
    assert_eq!(in_another_process(&identity), ("opened, 1 tokens\n".to_owned(), String::new()));
    // A person sees what age says.
    let (said, printed) = in_another_process(&other);
    assert!(said.contains("the program reported an error, which it has printed (code 1, 0x1)"), "{said}");
    assert!(printed.contains("no identity matched"), "{printed}");
}

/// One file on two computers, each with an identity of its own.
pub(crate) fn two_identities() {
    if !has(&["age", "age-keygen"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [path, first, second] = ["tokens.keep", "first", "second"].map(|name| directory.path().join(name));
    make_identity(&first);
    make_identity(&second);
    let store = Keystore::create(&path, &age_with(&first)).unwrap();
    let added = store.add_slot(&age_with(&second)).unwrap();
    // With the second, age refuses the slot of the first, and is asked for the next one.
    for (identity, is_added) in [(&first, false), (&second, true)] {
        let opened = Keystore::open(&path, &age_with(identity)).unwrap();
        assert_eq!(opened.opened_by().unwrap().unwrap().id == added, is_added);
    }
    store.remove_slot(added).unwrap();
    assert!(Keystore::open(&path, &age_with(&second)).is_err());
    Keystore::open(&path, &age_with(&first)).unwrap();
}

/// An attacker who knows to whom age encrypts, and has no identity.
struct Attacker {
    recipient: String,
    key: Mutex<[u8; 32]>,
}

impl ExternalKey for Attacker {
    fn provider(&self) -> &str {
        "external program"
    }

    fn create(&self, slot: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
        *self.key.lock().unwrap() = *key;
        let script = format!("age -r {}", self.recipient);
        Program { program: "sh".into(), arguments: vec!["-c".into(), script.into()] }.create(slot, key)
    }

    fn open(&self, _: &ExternalSlot, _: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
        *key = *self.key.lock().unwrap();
        Ok(())
    }

    fn forget(&self, _: &ExternalSlot, _: &[u8]) -> Result<(), ExternalError> {
        Ok(())
    }
}

/// Why `age-key` says that the recipient is nobody's business, and SECURITY.md what encryption to a public key does not
/// promise.
pub(crate) fn recipients() {
    if !has(&["age", "age-keygen"]) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let [path, identity] = ["tokens.keep", "identity"].map(|name| directory.path().join(name));
    make_identity(&identity);
    Keystore::create(&path, &age_with(&identity)).unwrap();
    let shown = Command::new("age-keygen").arg("-y").arg(&identity).output().unwrap().stdout;
    let recipient = String::from_utf8(shown).unwrap().trim().to_owned();
    // The file does not tell it.
    let bytes = fs::read(&path).unwrap();
    assert!(!bytes.windows(recipient.len()).any(|window| window == recipient.as_bytes()));

    fs::remove_file(&path).unwrap();
    let attacker = External::new(Attacker { recipient, key: Mutex::new([0; 32]) });
    let planted = Keystore::create(&path, &attacker.into()).unwrap();
    planted.save_token(&token().user_name("eve").access_token("e").build()).unwrap();
    let opened = Keystore::open(&path, &age_with(&identity)).unwrap();
    assert_eq!(opened.get_tokens().unwrap()[0].user_name(), Some("eve"));
}

/// A store whose program is one script for `create` and another for `open`, which can be exchanged.
struct Scripted {
    directory: TempDir,
}

impl Scripted {
    fn new() -> Self {
        let scripted = Self { directory: tempfile::tempdir().unwrap() };
        scripted.put("create", SOUND);
        scripted.put("open", SOUND);
        scripted
    }

    fn file(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn put(&self, name: &str, script: &str) {
        fs::write(self.file(name), script).unwrap();
    }

    /// The shell reads the script that is named like the question. `$d` is the directory.
    fn unlock(&self, deadline: Duration) -> Unlock {
        let arguments: Vec<OsString> = vec!["-c".into(), r#"d=$0; . "$d/$1""#.into(), self.directory.path().into()];
        External::new(Program { program: "sh".into(), arguments }).deadline(deadline).into()
    }

    fn create(&self) -> tokenkeep::Result<Keystore> {
        Keystore::create(self.file("tokens.keep"), &self.unlock(Duration::from_secs(20)))
    }

    fn open(&self) -> tokenkeep::Result<Keystore> {
        Keystore::open(self.file("tokens.keep"), &self.unlock(Duration::from_secs(20)))
    }

    fn number_in(&self, name: &str) -> String {
        fs::read_to_string(self.file(name)).unwrap().trim().to_owned()
    }
}

#[track_caller]
fn why(result: tokenkeep::Result<Keystore>) -> String {
    match result {
        Err(error @ Error::External { .. }) => error.to_string(),
        other => panic!("expected a provider's failure, got {other:?}"),
    }
}

pub(crate) fn hanging() {
    let scripted = Scripted::new();
    scripted.create().unwrap();
    let scripts = [
        ("waits", r#"echo $$ >"$d/parent"; sleep 60 & echo $! >"$d/child"; wait"#),
        ("closes its output and waits", r#"exec >&-; echo $$ >"$d/parent"; sleep 60 & echo $! >"$d/child"; wait"#),
        ("has answered and waits", r#"cat; echo $$ >"$d/parent"; sleep 60 & echo $! >"$d/child"; wait"#),
        ("leaves a process with its output", r#"cat; echo $$ >"$d/parent"; sleep 60 & echo $! >"$d/child""#),
        ("ignores signals", r#"trap '' TERM INT; echo $$ >"$d/parent"; sleep 60 & echo $! >"$d/child"; wait"#),
    ];
    for (what, script) in scripts {
        scripted.put("open", script);
        let started = Instant::now();
        let opened = Keystore::open(scripted.file("tokens.keep"), &scripted.unlock(Duration::from_millis(700)));
        let took = started.elapsed();
        let said = why(opened);
        println!("{what}, after {took:.1?}: {said}");
        assert!(
            said.contains("was not done in time") || said.contains("did not answer within 700 ms"),
            "{what}: {said}"
        );
        assert!(took < Duration::from_secs(10), "{what}: {took:?}");
        // The program was reaped. Its child's new parent may take a moment, and some systems have none that does.
        for name in ["parent", "child"] {
            let number = scripted.number_in(name);
            while is_running(&number) {
                assert!(started.elapsed() < Duration::from_secs(20), "{what}: the {name} {number} is left");
                thread::sleep(Duration::from_millis(10));
            }
        }
        let parent = PathBuf::from("/proc").join(scripted.number_in("parent"));
        assert!(!parent.exists(), "{what}: not reaped");
    }
    scripted.put("open", SOUND);
    scripted.open().unwrap();
}

/// A process that has ended and was not reaped by its parent does not run.
fn is_running(number: &str) -> bool {
    let stat = fs::read_to_string(format!("/proc/{number}/stat")).unwrap_or_default();
    stat.rsplit_once(") ").is_some_and(|(_, state)| !state.starts_with('Z'))
}

pub(crate) fn failures() {
    let scripted = Scripted::new();
    scripted.create().unwrap();
    let bytes = fs::read(scripted.file("tokens.keep")).unwrap();
    let failed = |what: &str| format!("the external key provider external program failed: {what}");
    let opens = [
        ("cat; printf x", failed("the program wrote more than the 32 bytes of a key")),
        ("cat /dev/zero", failed("the program wrote more than the 32 bytes of a key")),
        ("head -c 31", failed("the program wrote fewer than the 32 bytes of a key")),
        ("exec >&-", failed("the program wrote fewer than the 32 bytes of a key")),
        ("exec <&-", failed("the program wrote fewer than the 32 bytes of a key")),
        ("exit 3", failed("the program reported an error, which it has printed (code 3, 0x3)")),
        ("cat; exit 3", failed("the program reported an error, which it has printed (code 3, 0x3)")),
        ("kill -KILL $$", failed("the program was killed")),
    ];
    for (script, expected) in opens {
        scripted.put("open", script);
        assert_eq!(why(scripted.open()), expected, "{script}");
    }
    // 32 bytes, and not those of the key.
    scripted.put("open", "head -c 32 /dev/zero");
    let other_key = scripted.open().unwrap_err();
    assert!(matches!(other_key, Error::External { why: ExternalFailure::WrongKey, .. }), "{other_key}");

    // A program that does not work makes no store.
    fs::rename(scripted.file("tokens.keep"), scripted.file("kept")).unwrap();
    let creates = [
        ("head -c 1025 /dev/zero", SOUND, failed("the program wrote more than 1,024 bytes of public data")),
        ("exit 4", SOUND, failed("the program reported an error, which it has printed (code 4, 0x4)")),
        ("cat", "exit 5", failed("the program reported an error, which it has printed (code 5, 0x5)")),
        (
            "cat",
            "head -c 32 /dev/urandom",
            "the external key provider external program does not give the key again that it made: use another unlock \
             method"
                .to_owned(),
        ),
    ];
    for (create, open, expected) in creates {
        scripted.put("create", create);
        scripted.put("open", open);
        assert_eq!(why(scripted.create()), expected, "{create} {open}");
        assert!(!scripted.file("tokens.keep").exists());
    }
    fs::rename(scripted.file("kept"), scripted.file("tokens.keep")).unwrap();

    let missing = |program: PathBuf| External::new(Program { program: program.into(), arguments: Vec::new() });
    let open = |program| why(Keystore::open(scripted.file("tokens.keep"), &missing(program).into()));
    assert_eq!(open(scripted.file("nothing")), failed("the program was not found"));
    assert_eq!(open(scripted.file("open")), failed("permission denied (code 13, 0xd)"));

    scripted.put("open", SOUND);
    let store = scripted.open().unwrap();
    assert!(fs::read(scripted.file("tokens.keep")).unwrap() == bytes);

    // A slot can be removed although its program fails: there is nothing to forget.
    let slot = store.opened_by().unwrap().unwrap().id;
    store.add_slot(&unlock_with_paper(PAPER)).unwrap();
    fs::remove_file(scripted.file("open")).unwrap();
    fs::remove_file(scripted.file("create")).unwrap();
    store.remove_slot(slot).unwrap();
}

pub(crate) fn reading_late() {
    let scripted = Scripted::new();
    // As much public data as there may be, of which the first 32 bytes are the key.
    scripted.put("create", r#"cat >"$d/key"; cat "$d/key"; head -c 992 /dev/zero"#);
    scripted.put("open", r#"head -c 32 "$d/key"; cat >"$d/read""#);
    scripted.create().unwrap();
    assert_eq!(fs::metadata(scripted.file("read")).unwrap().len(), 1024);
    // And one that never reads.
    scripted.put("open", r#"exec <&-; cat "$d/key""#);
    scripted.open().unwrap();
    scripted.put("open", r#"cat "$d/key""#);
    scripted.open().unwrap();
}

pub(crate) fn names() {
    let scripted = Scripted::new();
    let note = |name: &str| format!(r#"cat; echo "$TOKENKEEP_STORE $TOKENKEEP_SLOT $*" >"$d/{name}""#);
    scripted.put("create", &note("created"));
    scripted.put("open", &note("opened"));
    scripted.create().unwrap();
    let store = scripted.open().unwrap();
    let (created, opened) = (scripted.number_in("created"), scripted.number_in("opened"));
    let slot = store.opened_by().unwrap().unwrap().id.to_string();
    let names = created.strip_suffix(" create").unwrap();
    assert_eq!(opened.strip_suffix(" open"), Some(names));
    let (store_id, slot_id) = names.split_once(' ').unwrap();
    assert_eq!(slot_id, slot);
    assert!(store_id.len() == 32 && store_id.chars().all(|character| character.is_ascii_hexdigit()), "{store_id}");
    assert_ne!(store_id, slot_id);
}
