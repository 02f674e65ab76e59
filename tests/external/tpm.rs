//! A TPM of its own for each test: a simulator whose state survives its restart. Each store is used in another process,
//! which gets the TPM's address by its environment.

use std::{
    fs,
    net::{Ipv4Addr, TcpListener},
    path::{Path, PathBuf},
    process::{Child, Command, Output, Stdio},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;
use tokenkeep::{External, ExternalError, ExternalKey, ExternalSlot, Keystore, SlotKind, TokenStore};

use crate::{
    common::{PAPER, names_in, this_program_with, token, unlock_with_paper},
    has, hex,
};

#[path = "../../examples/tpm/provider.rs"]
mod provider;

/// What the provider says of a key that the TPM did not seal.
const UNKNOWN: &str = "the external key provider tpm2-tools failed: the TPM does not know this key: it was sealed to \
                       another TPM, or the TPM was reset or the slot changed since; use another unlock method \
                       (code 479, 0x1df)";
const MALFORMED: &str = "the external key provider tpm2-tools failed: the slot's data is no sealed object";

/// The provider of the example, which shows key and data of each slot that it makes, and may be given other data.
struct Watched {
    data: Option<Vec<u8>>,
}

impl ExternalKey for Watched {
    fn provider(&self) -> &str {
        provider::Tpm.provider()
    }

    fn create(&self, slot: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
        let data = provider::Tpm.create(slot, key)?;
        println!("key {}\ndata {}", hex(key), hex(&data));
        Ok(data)
    }

    fn open(&self, slot: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
        provider::Tpm.open(slot, self.data.as_deref().unwrap_or(data), key)
    }

    fn forget(&self, slot: &ExternalSlot, data: &[u8]) -> Result<(), ExternalError> {
        provider::Tpm.forget(slot, data)
    }
}

/// The other process.
pub(crate) fn work(words: &[&str]) {
    let external = |data| External::new(Watched { data });
    let tell = |opened: tokenkeep::Result<Keystore>| match opened {
        Ok(store) => println!("opened, {} tokens", store.get_tokens().unwrap().len()),
        Err(error) => println!("{error}"),
    };
    match *words {
        ["create", path] => {
            let store = Keystore::create(path, &external(None).into()).unwrap_or_else(|error| panic!("{error}"));
            store.save_token(&token().user_name("ada").access_token("a").build()).unwrap();
        }
        // As another computer does, with the recovery key.
        ["add", path, paper] => {
            let store = Keystore::open(path, &unlock_with_paper(paper)).unwrap_or_else(|error| panic!("{error}"));
            store.add_slot(&external(None).into()).unwrap_or_else(|error| panic!("{error}"));
        }
        // The provider is known to the store, which asks it to forget. The TPM is not there any more.
        ["remove", path, tpm] => {
            let store = Keystore::open(path, &external(None).into()).unwrap_or_else(|error| panic!("{error}"));
            signal("KILL", tpm);
            for slot in store.slots().unwrap().iter().filter(|slot| slot.kind == SlotKind::External) {
                store.remove_slot(slot.id).unwrap_or_else(|error| panic!("{error}"));
            }
        }
        ["open", path] => tell(Keystore::open(path, &external(None).into())),
        ["open within", millis, path] => {
            let deadline = Duration::from_millis(millis.parse().unwrap());
            tell(Keystore::open(path, &external(None).deadline(deadline).into()));
        }
        ["open with", path, ref data @ ..] => {
            for data in data {
                tell(Keystore::open(path, &external(Some(unhex(data))).into()));
            }
        }
        ["row", directory] => {
            for number in 0..4 {
                let path = Path::new(directory).join(format!("{number}.keep"));
                Keystore::create(&path, &external(None).into()).unwrap_or_else(|error| panic!("{error}"));
                tell(Keystore::open(&path, &external(None).into()));
            }
        }
        _ => panic!("no such job: {words:?}"),
    }
}

fn unhex(digits: &str) -> Vec<u8> {
    digits.as_bytes().chunks(2).map(|pair| u8::from_str_radix(str::from_utf8(pair).unwrap(), 16).unwrap()).collect()
}

fn signal(signal: &str, process: &str) {
    let sent = Command::new("sh").args(["-c", &format!("kill -{signal} {process}")]).status().unwrap();
    assert!(sent.success());
}

fn is_possible() -> bool {
    has(&["swtpm", "tpm2_createprimary", "tpm2_create", "tpm2_load", "tpm2_unseal", "tpm2_flushcontext"])
}

/// A TPM with its state, and directories for a store and for temporary files.
struct Simulator {
    directory: TempDir,
    process: Child,
    port: u16,
}

impl Simulator {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        for name in ["state", "temporary"] {
            fs::create_dir(directory.path().join(name)).unwrap();
        }
        let (process, port) = Self::start(&directory.path().join("state"));
        Self { directory, process, port }
    }

    /// On two ports that are free. Another process may take one of them first, so it is tried again.
    fn start(state: &Path) -> (Child, u16) {
        for _ in 0..20 {
            let listen = |port| TcpListener::bind((Ipv4Addr::LOCALHOST, port));
            let first = listen(0).unwrap();
            let port = first.local_addr().unwrap().port();
            // The tools expect the control channel at the next port.
            let Some(control) = port.checked_add(1).filter(|port| listen(*port).is_ok()) else { continue };
            drop(first);
            let mut swtpm = Command::new("swtpm");
            swtpm.args(["socket", "--tpm2", "--flags", "not-need-init,startup-clear"]);
            swtpm.arg("--tpmstate").arg(format!("dir={}", state.display()));
            swtpm.arg("--server").arg(format!("type=tcp,port={port}"));
            swtpm.arg("--ctrl").arg(format!("type=tcp,port={control}"));
            let mut process = swtpm.stdin(Stdio::null()).stderr(Stdio::null()).spawn().unwrap();
            let started = Instant::now();
            while process.try_wait().unwrap().is_none() {
                let answers = tpm2(port, "tpm2_flushcontext", &["-t"]).status.success();
                if answers && process.try_wait().unwrap().is_none() {
                    return (process, port);
                }
                assert!(started.elapsed() < Duration::from_secs(30), "swtpm does not answer");
                thread::sleep(Duration::from_millis(10));
            }
        }
        panic!("swtpm does not start");
    }

    /// As after a power cut: only what is on the disk is left.
    fn restart(&mut self) {
        self.end();
        (self.process, self.port) = Self::start(&self.directory.path().join("state"));
    }

    fn end(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }

    fn tpm2(&self, tool: &str, arguments: &[&str]) -> String {
        let done = tpm2(self.port, tool, arguments);
        assert!(done.status.success(), "{tool}: {}", String::from_utf8_lossy(&done.stderr));
        String::from_utf8(done.stdout).unwrap()
    }

    fn path(&self) -> PathBuf {
        self.directory.path().join("tokens.keep")
    }

    fn temporary(&self) -> PathBuf {
        self.directory.path().join("temporary")
    }

    /// This program as another process that uses this TPM, run by the words before it.
    fn command(&self, runner: &[&str], job: &[&str]) -> Command {
        let program = this_program_with(&[&["tpm"], job].concat());
        let mut words = runner.iter().map(AsRef::as_ref).chain([program.get_program()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).envs(program.get_envs().filter_map(|(name, value)| Some((name, value?))));
        command.env("TPM2TOOLS_TCTI", tcti(self.port)).env("TMPDIR", self.temporary()).stdin(Stdio::null());
        command
    }

    /// What the job prints. It leaves nothing in the directory for temporary files.
    #[track_caller]
    fn run(&self, job: &[&str]) -> String {
        self.printed(self.command(&[], job))
    }

    #[track_caller]
    fn printed(&self, mut command: Command) -> String {
        let done = command.output().unwrap();
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        assert!(names_in(&self.temporary()).is_empty(), "{:?}", names_in(&self.temporary()));
        String::from_utf8(done.stdout).unwrap()
    }

    /// Makes a store in another process; returns key and data of its slot.
    #[track_caller]
    fn create(&self) -> (Vec<u8>, Vec<u8>) {
        let printed = self.run(&["create", self.path().to_str().unwrap()]);
        (field(&printed, "key "), field(&printed, "data "))
    }

    #[track_caller]
    fn open(&self) -> String {
        self.run(&["open", self.path().to_str().unwrap()])
    }
}

impl Drop for Simulator {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}

fn tcti(port: u16) -> String {
    format!("swtpm:host=127.0.0.1,port={port}")
}

fn tpm2(port: u16, tool: &str, arguments: &[&str]) -> Output {
    Command::new(tool).args(arguments).env("TPM2TOOLS_TCTI", tcti(port)).stdin(Stdio::null()).output().unwrap()
}

fn field(printed: &str, name: &str) -> Vec<u8> {
    unhex(printed.lines().find_map(|line| line.strip_prefix(name)).unwrap())
}

pub(crate) fn restarted() {
    if !is_possible() {
        return;
    }
    let mut tpm = Simulator::new();
    tpm.create();
    tpm.restart();
    assert_eq!(tpm.open(), "opened, 1 tokens\n");
    assert_eq!(tpm.open(), "opened, 1 tokens\n");
}

pub(crate) fn unknown_keys() {
    if !is_possible() {
        return;
    }
    let (mut tpm, other) = (Simulator::new(), Simulator::new());
    tpm.create();
    let bytes = fs::read(tpm.path()).unwrap();
    let path = tpm.path();
    assert_eq!(other.run(&["open", path.to_str().unwrap()]).trim_end(), UNKNOWN);
    // What a refused command leaves would fill the TPM.
    for _ in 0..4 {
        assert_eq!(other.run(&["open", path.to_str().unwrap()]).trim_end(), UNKNOWN);
    }
    assert_eq!(tpm.open(), "opened, 1 tokens\n");
    // As the firmware's setup does it.
    tpm.tpm2("tpm2_clear", &[]);
    assert_eq!(tpm.open().trim_end(), UNKNOWN);
    tpm.end();
    let said = tpm.open();
    assert!(said.contains("no TPM can be reached"), "{said}");
    assert!(fs::read(tpm.path()).unwrap() == bytes);
}

/// One file on two computers.
pub(crate) fn two_tpms() {
    if !is_possible() {
        return;
    }
    let (tpm, other, third) = (Simulator::new(), Simulator::new(), Simulator::new());
    let path = tpm.path();
    let path = path.to_str().unwrap();
    Keystore::create(path, &unlock_with_paper(PAPER)).unwrap();
    tpm.run(&["add", path, PAPER]);
    other.run(&["add", path, PAPER]);
    assert_eq!(tpm.open(), "opened, 0 tokens\n");
    // The first slot that it is asked for is the other TPM's.
    assert_eq!(other.run(&["open", path]), "opened, 0 tokens\n");
    assert_eq!(third.run(&["open", path]).trim_end(), UNKNOWN);
    tpm.run(&["remove", path, &tpm.process.id().to_string()]);
    let said = other.run(&["open", path]);
    assert!(said.contains("no key slot"), "{said}");
}

pub(crate) fn stores_in_a_row() {
    if !is_possible() {
        return;
    }
    let tpm = Simulator::new();
    let printed = tpm.run(&["row", tpm.directory.path().to_str().unwrap()]);
    assert_eq!(printed.matches("opened, 0 tokens").count(), 4, "{printed}");
    assert_eq!(tpm.tpm2("tpm2_getcap", &["handles-transient"]), "");
    assert_eq!(tpm.tpm2("tpm2_getcap", &["handles-persistent"]), "");
}

/// Each is refused with a PATH that has no tools, so none was asked.
pub(crate) fn malformed_data() {
    if !is_possible() {
        return;
    }
    let tpm = Simulator::new();
    let (_, data) = tpm.create();
    let public_len = 2 + usize::from(u16::from_be_bytes([data[0], data[1]]));
    let (public, private) = data.split_at(public_len);
    let long = |len: u16| [&len.to_be_bytes()[..], &vec![7; len.into()]].concat();
    let mut another_type = data.clone();
    another_type[3] = 0x01; // an RSA key
    let mut another_hash = data.clone();
    another_hash[5] = 0x04; // SHA-1
    let hostile = [
        Vec::new(),
        vec![0],
        vec![0; 4],
        vec![0xFF; 1024],
        public.to_vec(),
        private.to_vec(),
        [private, public].concat(),
        data[..data.len() - 1].to_vec(),
        [&data[..], &[0]].concat(),
        [public, &[0, 0]].concat(),
        [public, &long(511)].concat(),
        another_type,
        another_hash,
    ];
    let path = tpm.path();
    let digits: Vec<_> = hostile.iter().map(|data| hex(data)).collect();
    let job: Vec<_> = ["open with", path.to_str().unwrap()].into_iter().chain(digits.iter().map(|d| &**d)).collect();
    let mut without_tools = tpm.command(&[], &job);
    without_tools.env("PATH", "/nonexistent");
    let printed = tpm.printed(without_tools);
    assert_eq!(printed.lines().collect::<Vec<_>>(), vec![MALFORMED; hostile.len()]);
    // The control: sound data does get to the tools, which are not there.
    let mut without_tools = tpm.command(&[], &["open with", path.to_str().unwrap(), &hex(&data)]);
    without_tools.env("PATH", "/nonexistent");
    assert!(tpm.printed(without_tools).contains("tpm2-tools are not installed"));
}

/// Data of the right form, with something else in it: the TPM refuses it, or gives a key that opens nothing.
pub(crate) fn data_of_others() {
    if !is_possible() {
        return;
    }
    let tpm = Simulator::new();
    let (_, other) = tpm.create();
    fs::remove_file(tpm.path()).unwrap();
    let (_, data) = tpm.create();
    let public_len = 2 + usize::from(u16::from_be_bytes([data[0], data[1]]));
    let mut hostile = vec![other.clone(), [&data[..public_len], &other[public_len..]].concat()];
    for at in [6, 10, public_len - 1, public_len + 2, public_len + 40, data.len() - 1] {
        let mut flipped = data.clone();
        flipped[at] ^= 1;
        hostile.push(flipped);
    }
    let path = tpm.path();
    let digits: Vec<_> = hostile.iter().map(|data| hex(data)).collect();
    let job: Vec<_> = ["open with", path.to_str().unwrap()].into_iter().chain(digits.iter().map(|d| &**d)).collect();
    let printed = tpm.run(&job);
    let lines: Vec<_> = printed.lines().collect();
    println!("{printed}");
    assert_eq!(lines.len(), hostile.len(), "{printed}");
    assert!(lines[0].contains("gave a key that does not open the keystore"), "{}", lines[0]);
    assert!(
        lines[1..].iter().all(|line| line.starts_with("the external key provider tpm2-tools failed: ")),
        "{printed}"
    );
    assert_eq!(tpm.open(), "opened, 1 tokens\n");
}

/// Every byte that the process and the commands write, and every argument and variable that a program is started with.
pub(crate) fn traced() {
    if !is_possible() || !has(&["strace"]) {
        return;
    }
    let tpm = Simulator::new();
    let (path, trace) = (tpm.path(), tpm.directory.path().join("trace"));
    // The bytes of a text as numbers, so that a key is found with any contents.
    let strace = ["strace", "-f", "-yy", "-xx", "-v", "-s", "1000000", "-o", trace.to_str().unwrap()];
    let calls = ["-e", "trace=execve,write,writev,pwrite64,pwritev,sendto,sendmsg,sendfile,splice"];
    let runner = [&strace[..], &calls].concat();
    let printed = tpm.printed(tpm.command(&runner, &["create", path.to_str().unwrap()]));
    let key = field(&printed, "key ");
    let created = fs::read_to_string(&trace).unwrap();
    assert_eq!(tpm.printed(tpm.command(&runner, &["open", path.to_str().unwrap()])), "opened, 1 tokens\n");
    let opened = fs::read_to_string(&trace).unwrap();

    let as_strace_shows = |bytes: &[u8]| bytes.iter().map(|byte| format!("\\x{byte:02x}")).collect::<String>();
    let digits = as_strace_shows(hex(&key).as_bytes());
    let key = as_strace_shows(&key);
    for (trace, what) in [(created, "create"), (opened, "open")] {
        assert!(trace.contains("execve("), "{what}");
        let lines: Vec<_> = trace.lines().filter(|line| line.contains(&key)).collect();
        let goes_to = |kind: &str| lines.iter().filter(|line| line.split(", ").next().unwrap().contains(kind)).count();
        // strace shows the name of a pipe as numbers too.
        let (pipes, sockets) = (goes_to(&as_strace_shows(b"pipe:[")), goes_to("<TCP:["));
        println!("{what}: the key is in {} calls, {pipes} to pipes and {sockets} to the TPM", lines.len());
        assert_eq!(lines.len(), pipes + sockets, "{what}: {lines:#?}");
        // It was found where it has to be.
        assert!(pipes > 0 && (sockets > 0 || what == "open"), "{what}: {lines:#?}");
        // As text only where the test prints it itself.
        let shown: Vec<_> = trace.lines().filter(|line| line.contains(&digits)).collect();
        assert_eq!(shown.len(), usize::from(what == "create"), "{what}: {shown:#?}");
        assert!(shown.iter().all(|line| line.contains("write(1<")), "{what}: {shown:#?}");
    }
}

pub(crate) fn hanging() {
    if !is_possible() {
        return;
    }
    let tpm = Simulator::new();
    tpm.create();
    signal("STOP", &tpm.process.id().to_string());
    let started = Instant::now();
    let path = tpm.path();
    let said = tpm.run(&["open within", "1000", path.to_str().unwrap()]);
    let took = started.elapsed();
    let left = processes_with(&format!("TPM2TOOLS_TCTI={}", tcti(tpm.port)));
    signal("CONT", &tpm.process.id().to_string());
    println!("after {took:.1?}: {said}");
    assert!(said.contains("the TPM was not done in time") || said.contains("did not answer within 1000 ms"), "{said}");
    assert!(took < Duration::from_secs(10), "{took:?}");
    assert!(left.is_empty(), "{left:?} are left");
    assert_eq!(tpm.open(), "opened, 1 tokens\n");
}

/// The processes that were started with a variable.
fn processes_with(variable: &str) -> Vec<String> {
    let entries = fs::read_dir("/proc").unwrap().map(|entry| entry.unwrap().path());
    let has = |path: &PathBuf| {
        let environment = fs::read(path.join("environ")).unwrap_or_default();
        environment.split(|byte| *byte == 0).any(|entry| entry == variable.as_bytes())
    };
    entries.filter(has).map(|path| path.display().to_string()).collect()
}
