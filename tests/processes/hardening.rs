//! Who can look into the memory of a process that asked for hardening.

use std::{
    fs,
    io::{self, Read},
    os::unix::process::ExitStatusExt,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use crate::{
    common::{set_mode, this_program_with},
    places::NOBODY,
    works,
};

pub(crate) fn work(is_hardened: bool) {
    if is_hardened {
        tokenkeep::harden_process().unwrap();
        let limit = Command::new("sh").args(["-c", "ulimit -c"]).output().unwrap();
        assert_eq!(limit.stdout, b"0\n", "nor does a process that this one starts leave a core file");
    }
    println!("ready");
    // Until the watcher has seen enough.
    io::stdin().read_to_end(&mut Vec::new()).unwrap();
    std::process::abort();
}

/// This program where every user may run it.
fn program_in(directory: &Path) -> PathBuf {
    set_mode(directory, 0o755);
    let program = directory.join("program");
    fs::copy(std::env::current_exe().unwrap(), &program).unwrap();
    program
}

/// Starts the job behind a command, and waits until it is done with what it does.
fn start(command: &[&str], program: &Path, job: &str) -> Child {
    let mut child = Command::new(command[0])
        .args(&command[1..])
        .arg(program)
        .envs(this_program_with(&["hardening", job]).get_envs().filter_map(|(name, value)| Some((name, value?))))
        .current_dir(program.parent().unwrap())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut ready = [0; 6];
    child.stdout.as_mut().unwrap().read_exact(&mut ready).unwrap();
    child
}

pub(crate) fn core_file() {
    let directory = tempfile::tempdir().unwrap();
    let program = program_in(directory.path());
    let dumps_core = |job| {
        let mut child = start(&["sh", "-c", "ulimit -c unlimited; exec \"$0\""], &program, job);
        drop(child.stdin.take());
        let status = child.wait().unwrap();
        assert!(status.signal().is_some(), "it aborted");
        status.core_dumped()
    };
    if !dumps_core("as it is") {
        assert!(std::env::var_os("CI").is_none(), "CI makes no core files, so nothing shows that we made none");
        eprintln!("SKIPPED: this system makes no core files");
        return;
    }
    assert!(!dumps_core("hardened"));
}

pub(crate) fn peer() {
    let id = NOBODY.to_string();
    let as_nobody = ["setpriv", "--reuid", &id, "--regid", &id, "--clear-groups"];
    if !works(&as_nobody) {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let program = program_in(directory.path());
    let is_readable = |job, what| {
        let mut child = start(&as_nobody, &program, job);
        let path = format!("/proc/{}/{what}", child.id());
        let mut peer = Command::new(as_nobody[0]);
        let read = peer.args(&as_nobody[1..]).args(["head", "-c", "1", &path]).output().unwrap();
        drop(child.stdin.take());
        child.wait().unwrap();
        read.status.success()
    };
    for what in ["environ", "maps"] {
        assert!(is_readable("as it is", what), "or nothing shows that it was made unreadable");
        assert!(!is_readable("hardened", what));
    }
}
