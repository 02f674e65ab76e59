//! A program that is asked over pipes and ended at a deadline: what the examples `tpm` and `external_program` share.

use std::{
    io::{self, Read, Write},
    process::{Child, Command, ExitStatus, Stdio},
    sync::mpsc::{self, Receiver},
    thread,
    time::{Duration, Instant},
};

use zeroize::Zeroizing;

/// A pipe takes this much at once, so writing it never waits for a program that does not read.
const MOST_INPUT: usize = 1024;
const MOST_ERRORS: usize = 64 * 1024;
/// A program is killed this much before the library gives up, so that none is left if the application exits then.
const MARGIN: Duration = Duration::from_millis(250);

/// How a program that has ended in time answered.
pub(crate) struct Answer {
    pub(crate) status: ExitStatus,
    /// Wiped when dropped: it may be a key.
    pub(crate) output: Zeroizing<Vec<u8>>,
    /// Empty if the errors of the program go elsewhere.
    #[allow(dead_code, reason = "one of the two examples reads it")]
    pub(crate) errors: Zeroizing<Vec<u8>>,
}

pub(crate) enum Failure {
    NotStarted(io::Error),
    /// It was killed at the deadline.
    TimedOut,
    /// It was killed because its output was longer than the limit.
    TooLong,
    Io(io::Error),
}

impl From<io::Error> for Failure {
    fn from(error: io::Error) -> Self {
        Self::Io(error)
    }
}

/// Runs a program: gives it the input, and reads its output up to the limit. A little before the time is over, the
/// program is killed with everything that it has started.
pub(crate) fn run(command: &mut Command, input: &[u8], limit: usize, time: Duration) -> Result<Answer, Failure> {
    let started = Instant::now();
    // Held by `a_tpm_that_hangs_is_given_up_and_no_command_is_left`: without `.saturating_sub(MARGIN)`.
    let left = || time.saturating_sub(started.elapsed()).saturating_sub(MARGIN);
    if input.len() > MOST_INPUT {
        return Err(io::Error::from(io::ErrorKind::InvalidInput).into());
    }
    put_into_a_group(command);
    let child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().map_err(Failure::NotStarted)?;
    let mut running = Running { child, reaped: false };
    // One byte more than the limit tells an output that is too long.
    let output = running.child.stdout.take().map(|pipe| read_aside(pipe, limit + 1)).transpose()?;
    let errors = running.child.stderr.take().map(|pipe| read_aside(pipe, MOST_ERRORS)).transpose()?;
    if let Some(mut pipe) = running.child.stdin.take() {
        match pipe.write_all(input) {
            // A program need not read. Its status says whether that was an error.
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error.into()),
            _ => {}
        }
    }
    let wait = |receiver: Option<Receiver<_>>| match receiver {
        Some(receiver) => receiver.recv_timeout(left()).map_err(|_| Failure::TimedOut),
        None => Ok(Zeroizing::default()),
    };
    let output = wait(output)?;
    // Held by `faults_of_a_program_are_distinguished`.
    if output.len() > limit {
        return Err(Failure::TooLong);
    }
    let errors = wait(errors)?;
    // A program may close its output and run on.
    loop {
        if let Some(status) = running.ended()? {
            return Ok(Answer { status, output, errors });
        }
        // A program that closes its output is waited for.
        // Held by `a_program_that_hangs_is_killed_with_what_it_started`.
        if left().is_zero() {
            return Err(Failure::TimedOut);
        }
        thread::sleep(Duration::from_millis(1));
    }
}

/// Reads a pipe on a thread of its own, which ends when the pipe is closed. The buffer does not grow, because that
/// would leave copies of a key behind.
fn read_aside(mut pipe: impl Read + Send + 'static, most: usize) -> io::Result<Receiver<Zeroizing<Vec<u8>>>> {
    let (sender, receiver) = mpsc::channel();
    thread::Builder::new().spawn(move || {
        let mut buffer = Zeroizing::new(vec![0; most]);
        let mut len = 0;
        while len < most {
            match pipe.read(&mut buffer[len..]) {
                Ok(0) => break,
                Ok(count) => len += count,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(_) => break,
            }
        }
        buffer.truncate(len);
        let _ = sender.send(buffer);
    })?;
    Ok(receiver)
}

/// A program that is killed and reaped when this is dropped, unless it has ended.
struct Running {
    child: Child,
    reaped: bool,
}

impl Running {
    fn ended(&mut self) -> io::Result<Option<ExitStatus>> {
        let status = self.child.try_wait()?;
        self.reaped = status.is_some();
        Ok(status)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // The number of a process that was reaped may be another's by now.
        if !self.reaped {
            kill(&mut self.child);
            // Held by `a_program_that_hangs_is_killed_with_what_it_started`.
            let _ = self.child.wait();
        }
    }
}

/// A group of its own, so that what the program starts is killed with it. It can therefore not ask at the terminal: a
/// program that asks for a PIN needs a window.
#[cfg(unix)]
fn put_into_a_group(command: &mut Command) {
    // Held by `a_program_that_hangs_is_killed_with_what_it_started`.
    std::os::unix::process::CommandExt::process_group(command, 0);
}

#[cfg(unix)]
fn kill(child: &mut Child) {
    let _ = rustix::process::kill_process_group(rustix::process::Pid::from_child(child), rustix::process::Signal::KILL);
}

#[cfg(not(unix))]
fn put_into_a_group(_: &mut Command) {}

#[cfg(not(unix))]
fn kill(child: &mut Child) {
    let _ = child.kill();
}
