//! A real server on a port and a socket of its own, which ends with this process.

use std::{
    env,
    io::{BufRead, BufReader, Write},
    net::TcpListener,
    path::PathBuf,
    process::{Child, ChildStdin, Command, Stdio},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use parking_lot::Mutex;

use crate::database;

/// A server that runs as another user, and is started, killed and started again by a script. When this process ends,
/// the script's input ends, and it kills the server and deletes its directory.
pub(crate) struct Server {
    pub(crate) directory: PathBuf,
    pub(crate) port: u16,
    script: Mutex<(Child, ChildStdin)>,
}

/// A database of its own on a server, without tables.
pub(crate) struct Place {
    pub(crate) server: &'static Server,
    pub(crate) database: String,
}

impl Place {
    pub(crate) fn new() -> Self {
        Self::on(&database::SHARED)
    }

    pub(crate) fn on(server: &'static Server) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let database = format!("d{}", COUNT.fetch_add(1, Ordering::Relaxed));
        database::create(server, &database);
        Self { server, database }
    }

    pub(crate) fn url(&self) -> String {
        format!("{}app:hunter2@127.0.0.1:{}/{}", database::SCHEME, self.server.port, self.database)
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        database::delete(self.server, &self.database);
    }
}

/// `$SERVER` starts the server in the foreground.
const SUPERVISE: &str = r#"
# One that was killed may keep its memory and its locks for a moment, and the next one gives up then.
start() {
    (for ((try = 0; try < 100; try++)); do
        $SERVER "${flags[@]}" >> "$dir/log" 2>&1
        [ $? -eq 1 ] || exit
        sleep 0.1
    done) & pid=$!
}
# The processes of the server too, as a machine that loses its power.
stop() { kill -9 $(pgrep -P $pid | while read -r child; do echo "$child"; pgrep -P "$child"; done) $pid; wait $pid; } 2> /dev/null
start
echo "$dir"
while read -r command; do
    case $command in
        kill) stop ;;
        start) start ;;
    esac
    echo done
done
stop
rm -rf "$dir"
"#;

impl Server {
    /// Makes a new server with a script that sets `$dir`, `$SERVER` and the flags, given a port. The flags of the call
    /// are added.
    pub(crate) fn start(prepare: &str, flags: &[&str]) -> Self {
        let port = TcpListener::bind(("127.0.0.1", 0)).unwrap().local_addr().unwrap().port();
        let script = format!("set -e\nport=$1; shift\n{prepare}\nset +e\nflags+=(\"$@\")\n{SUPERVISE}");
        let mut command = Command::new("bash");
        command.args(["-c", &script, "server", &port.to_string()]).args(flags);
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().unwrap();
        let input = child.stdin.take().unwrap();
        let mut output = BufReader::new(child.stdout.take().unwrap());
        let mut directory = String::new();
        output.read_line(&mut directory).unwrap();
        assert!(!directory.trim().is_empty(), "the server was not made");
        child.stdout = Some(output.into_inner());
        Self { directory: directory.trim().into(), port, script: Mutex::new((child, input)) }
    }

    /// As `kill -9`, with all its processes.
    pub(crate) fn kill(&self) {
        self.tell("kill");
    }

    pub(crate) fn start_again(&self) {
        self.tell("start");
    }

    fn tell(&self, what: &str) {
        let (child, input) = &mut *self.script.lock();
        writeln!(input, "{what}").unwrap();
        let mut line = String::new();
        BufReader::with_capacity(1, child.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
        assert_eq!(line, "done\n");
    }

    /// Until the server answers.
    pub(crate) fn wait_for<T>(&self, mut connect: impl FnMut() -> Result<T, String>) -> T {
        let started = Instant::now();
        loop {
            match connect() {
                Ok(connection) => return connection,
                Err(error) => {
                    let log = || std::fs::read_to_string(self.directory.join("log")).unwrap_or_default();
                    assert!(started.elapsed() < Duration::from_secs(60), "{error}\n{}", log());
                    std::thread::sleep(Duration::from_millis(50));
                }
            }
        }
    }
}

/// Ends this test program if the server is not installed, and says so; in CI that is a failure.
pub(crate) fn require(program: &str, package: &str) {
    let find = format!("PATH=$PATH:/usr/sbin:/usr/lib/postgresql/15/bin; command -v {program} > /dev/null");
    if Command::new("bash").args(["-c", &find]).status().is_ok_and(|status| status.success()) {
        return;
    }
    assert!(env::var_os("CI").is_none(), "{package} is not installed");
    // Past the harness, which shows what a test prints only if it fails.
    let _ = writeln!(std::io::stderr(), "NOT TESTED: the Debian package {package} is not installed");
    std::process::exit(0);
}
