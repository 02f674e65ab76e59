//! Other processes of a test: this program again, with a job, and received and telling what happens line by line.

use std::{
    io::{BufRead, BufReader, Write},
    process::{Child, ChildStdin, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use rustix::process::{Pid, Signal, kill_process};

use crate::common::this_program_with;

/// How long another process may take for anything.
const LONGEST: Duration = Duration::from_secs(60);

/// A process, which is killed when this is dropped.
pub(crate) struct Process {
    child: Child,
    stdin: ChildStdin,
    lines: Receiver<String>,
}

impl Process {
    pub(crate) fn start(job: &[&str]) -> Self {
        let mut command = this_program_with(job);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let (stdin, stdout) = (child.stdin.take().unwrap(), child.stdout.take().unwrap());
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            BufReader::new(stdout).lines().map_while(Result::ok).try_for_each(|line| sender.send(line))
        });
        Self { child, stdin, lines }
    }

    pub(crate) fn tell(&mut self, line: &str) {
        writeln!(self.stdin, "{line}").unwrap();
    }

    /// The next line that it prints.
    #[track_caller]
    pub(crate) fn hear(&self) -> String {
        self.lines.recv_timeout(LONGEST).expect("the process prints a line")
    }

    /// What else it has printed until it ended.
    pub(crate) fn rest(&self) -> impl Iterator<Item = String> {
        self.lines.iter()
    }

    #[track_caller]
    pub(crate) fn expect(&self, line: &str) {
        assert_eq!(self.hear(), line);
    }

    pub(crate) fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).unwrap();
    }

    /// Waits until it has ended without having found anything wrong.
    #[track_caller]
    pub(crate) fn end(&mut self) {
        let until = Instant::now() + LONGEST;
        while self.child.try_wait().unwrap().is_none() {
            assert!(Instant::now() < until, "the process hangs");
            thread::sleep(Duration::from_millis(5));
        }
        assert!(self.child.wait().unwrap().success(), "the process has found something wrong");
    }

    #[track_caller]
    pub(crate) fn assert_running(&mut self) {
        assert_eq!(self.child.try_wait().unwrap(), None, "the process has found something wrong");
    }

    /// Kills it, and waits until it is dead.
    pub(crate) fn kill(&mut self) {
        self.child.kill().unwrap();
        self.child.wait().unwrap();
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill();
    }
}

/// Prints a line for the process that has started this one.
pub(crate) fn say(line: &str) {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{line}").unwrap();
    stdout.flush().unwrap();
}

/// Waits until the process that has started this one tells a line; `None` if it has ended.
pub(crate) fn received() -> Option<String> {
    let mut line = String::new();
    let length = std::io::stdin().read_line(&mut line).unwrap();
    (length > 0).then(|| line.trim_end().to_owned())
}
