//! Starts the daemon and the command line as processes of their own, and checks what they do.

use std::{
    env,
    io::{self, BufRead, BufReader, Read},
    net::SocketAddr,
    path::Path,
    process::{Child, Command, ExitStatus, Stdio},
    sync::{
        atomic::Ordering,
        mpsc::{self, Receiver},
    },
    thread,
    time::{Duration, Instant},
};

use crate::{BoxError, STOP, key_file, server::Server};

/// Long enough that alpha's token has to be refreshed meanwhile. And longer than 5 seconds: a token that is younger is
/// not refreshed, even if an API rejects it.
const CALLS_FOR: Duration = Duration::from_millis(6500);
const BETWEEN_CALLS: Duration = Duration::from_millis(300);

pub(crate) fn run(path: &Path) -> Result<(), BoxError> {
    key_file::create_if_missing(&path.with_extension("key"))?;
    let server = Server::start()?;
    let program = Program { path, server: server.address };
    let mut daemon = Daemon::start(&program)?;
    daemon.says(&["alpha: ", "beta: "])?;

    program.succeed(&["sign-in", "alpha"])?;
    program.succeed(&["sign-in", "beta"])?;
    daemon.says(&["alpha: has a token", "beta: has a token"])?;
    program.succeed(&["status"])?;

    let (started, mut calls) = (Instant::now(), 0);
    while started.elapsed() < CALLS_FOR {
        calls += program.run_at_once(&[&["call", "alpha"], &["call", "alpha"], &["call", "beta"]])?;
        thread::sleep(BETWEEN_CALLS);
    }
    daemon.says(&["alpha: the server is busy", "alpha: has a token"])?;
    println!("{calls} more processes have called the APIs");

    println!("beta's API rejects the access token before it expires");
    server.reject_access_tokens("beta");
    program.run_at_once(&[&["call", "beta"], &["call", "beta"], &["call", "beta"]])?;
    daemon.says(&["beta: has a token"])?;

    program.succeed(&["sign-out", "beta"])?;
    daemon.says(&["beta: nobody is signed in"])?;
    if program.run(&["call", "beta"])?.success() {
        return Err("beta was called after the sign-out".into());
    }
    program.succeed(&["status"])?;
    daemon.stop()?;

    let seen = server.seen();
    println!("the servers have seen: {seen}");
    // Each of the three calls of beta may have been rejected once, and no other call.
    let calls_are_good = seen.calls - seen.calls_with_bad_tokens == calls + 3 && seen.calls_with_bad_tokens <= 3;
    let refreshes_are_good = seen.refreshes_at_alpha >= 1 && seen.refreshes_at_beta == 1 && seen.put_off == 1;
    if !calls_are_good || !refreshes_are_good || seen.revocations != 1 || seen.used_tokens != 0 {
        return Err("that is not what was to happen".into());
    }
    Ok(())
}

/// Ends the daemon with the process that has started it.
pub(crate) fn stop_at_end_of_input() {
    thread::spawn(|| {
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        STOP.store(true, Ordering::Relaxed);
    });
}

/// This program, as it is started again.
struct Program<'a> {
    path: &'a Path,
    server: SocketAddr,
}

impl Program<'_> {
    fn command(&self, arguments: &[&str]) -> io::Result<Command> {
        let mut command = Command::new(env::current_exe()?);
        command.arg(self.path).arg(self.server.to_string()).args(arguments).stdin(Stdio::null());
        Ok(command)
    }

    fn run(&self, arguments: &[&str]) -> Result<ExitStatus, BoxError> {
        println!("> {}", arguments.join(" "));
        Ok(self.command(arguments)?.status()?)
    }

    fn succeed(&self, arguments: &[&str]) -> Result<(), BoxError> {
        check(self.run(arguments)?, arguments)
    }

    /// Returns how many there were. Their output is not shown.
    fn run_at_once(&self, all: &[&[&str]]) -> Result<usize, BoxError> {
        let mut children = Vec::new();
        for arguments in all {
            children.push((self.command(arguments)?.stdout(Stdio::null()).spawn()?, arguments));
        }
        // All of them are waited for before one is found to have failed.
        let ended = children.into_iter().map(|(mut child, arguments)| (child.wait(), arguments)).collect::<Vec<_>>();
        ended.into_iter().try_for_each(|(status, arguments)| check(status?, arguments))?;
        Ok(all.len())
    }
}

fn check(status: ExitStatus, arguments: &[&str]) -> Result<(), BoxError> {
    if status.success() { Ok(()) } else { Err(format!("{}: {status}", arguments.join(" ")).into()) }
}

/// The daemon. It ends when its input ends.
struct Daemon {
    child: Child,
    lines: Receiver<String>,
}

impl Daemon {
    fn start(program: &Program<'_>) -> Result<Self, BoxError> {
        let mut command = program.command(&["daemon"])?;
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
        let output = child.stdout.take().ok_or("the daemon has no output")?;
        let (sender, lines) = mpsc::channel();
        thread::spawn(move || {
            for line in BufReader::new(output.take(1 << 20)).lines().map_while(Result::ok) {
                println!("{line}");
                let _ = sender.send(line);
            }
        });
        Ok(Self { child, lines })
    }

    /// Waits until it has said all of that since the last time.
    fn says(&mut self, texts: &[&str]) -> Result<(), BoxError> {
        let mut missing = texts.to_vec();
        while let Some(text) = missing.first() {
            let line = self.lines.recv_timeout(Duration::from_secs(10));
            let line = line.map_err(|_| format!("the daemon did not say: {text}"))?;
            missing.retain(|text| !line.contains(text));
        }
        Ok(())
    }

    fn stop(&mut self) -> Result<(), BoxError> {
        drop(self.child.stdin.take());
        check(self.child.wait()?, &["daemon"])
    }
}

/// It is not left behind after an error.
impl Drop for Daemon {
    fn drop(&mut self) {
        let _ = self.stop();
    }
}
