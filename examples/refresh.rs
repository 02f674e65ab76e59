//! Two processes refresh one token, and the server sees one refresh for each expiry.
//!
//!     cargo run --example refresh
//!
//! The server is part of this program. Like many real ones it rotates refresh tokens: each is valid once, and using an
//! old one revokes the whole sign-in. `valid_token` is the code of the README.

use std::{
    env,
    error::Error,
    fmt,
    fs::File,
    io::{BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use tokenkeep::{ErrorKind, KdfParams, Keystore, Passphrase, Secret, Token, TokenStore, Unlock};

const PROCESSES: usize = 2;
const CALLS: usize = 5;
/// How often the access token expires.
const EXPIRIES: usize = 3;

fn main() -> Result<(), BoxError> {
    let mut arguments = env::args().skip(1);
    if let (Some(directory), Some(server)) = (arguments.next(), arguments.next()) {
        return use_token(Path::new(&directory), &server);
    }

    let directory = tempfile::tempdir()?;
    let store = open(directory.path())?;
    let signed_in = query().to_builder().refresh_token("refresh-0").access_token("access-0").expires_in(Duration::ZERO);
    store.save_token(&signed_in.build())?;

    let listener = TcpListener::bind("127.0.0.1:0")?;
    let address = listener.local_addr()?.to_string();
    let server = thread::spawn(move || serve(&listener));
    let mut processes = Vec::new();
    for _ in 0..PROCESSES {
        processes.push(Command::new(env::current_exe()?).arg(directory.path()).arg(&address).spawn()?);
    }
    for mut process in processes {
        if !process.wait()?.success() {
            return Err("a process lost its sign-in".into());
        }
    }
    writeln!(TcpStream::connect(&address)?, "stop")?;
    let refreshes = server.join().map_err(|_| "the server panicked")??;
    println!("{PROCESSES} processes made {CALLS} calls each, and the server saw {refreshes} refreshes");
    if refreshes != EXPIRIES {
        return Err(format!("the token has expired {EXPIRIES} times").into());
    }
    Ok(())
}

/// An application asks for the passphrase, and leaves the cost at its default.
fn open(directory: &Path) -> Result<Keystore, BoxError> {
    let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    Ok(Keystore::open_or_create(directory.join("tokens.keep"), &unlock)?)
}

fn query() -> Token {
    Token::builder().user_name("ada@example.com").client_id("public-client").build()
}

/// One of the processes: some API calls, each with a token that is valid.
fn use_token(directory: &Path, server: &str) -> Result<(), BoxError> {
    let store = open(directory)?;
    for _ in 0..CALLS {
        let lock_file = directory.join("refresh.lock");
        let token = match valid_token(&store, &query(), None, &lock_file, |token| request(server, token)) {
            // The token is good for the call to the API. An application saves it before it refreshes again.
            Err(error) => error.downcast::<Unsaved>()?.token,
            Ok(token) => token,
        };
        println!("process {}: revision {}", std::process::id(), token.revision().unwrap_or_default());
        thread::sleep(Duration::from_millis(20));
    }
    Ok(())
}

/// An error that can be passed to another thread, as `spawn_blocking` does.
type BoxError = Box<dyn Error + Send + Sync>;

/// What the token endpoint answers (RFC 6749, 5.1).
struct Response {
    access_token: String,
    refresh_token: Option<String>,
    expires_in: Option<u64>,
}

/// The server has answered, and the answer could not be saved. The stored refresh token may be cancelled, so no other
/// refresh starts while this value exists.
#[derive(Debug)]
struct Unsaved {
    token: Token,
    error: tokenkeep::Error,
    _lock: File,
}

/// Returns the stored token, or refreshes it if it expires within a minute. `rejected` is the access token that an API
/// has just answered with 401, if any.
fn valid_token(
    store: &Keystore,
    query: &Token,
    rejected: Option<&Secret>,
    lock_file: &Path,
    request: impl FnOnce(&Token) -> Result<Response, BoxError>,
) -> Result<Token, BoxError> {
    // One refresh at a time, in all threads and processes. The lock ends when `lock` is dropped, or the process dies.
    let lock = File::options().read(true).append(true).create(true).open(lock_file)?;
    lock.lock()?;

    // Read after the lock was taken: another process may just have refreshed the token.
    let token = store.find_stored(query)?.ok_or("sign in first")?;
    let lasts = token.remaining(SystemTime::now()).is_none_or(|left| left > Duration::from_secs(60));
    if lasts && token.access_token().is_some_and(|access| Some(access) != rejected) {
        return Ok(token);
    }
    token.refresh_token().ok_or("sign in again: there is no refresh token")?;
    // Most disks that cannot take the answer are noticed before the refresh token is spent. (A quota is not.)
    store.check_writable()?;
    let response = request(&token)?;

    let lifetime = response.expires_in.map(Duration::from_secs);
    let expires_at = lifetime.and_then(|lifetime| SystemTime::now().checked_add(lifetime));
    let fresh = |token: &Token| {
        let builder = token.to_builder().access_token(response.access_token.as_str()).maybe_expires_at(expires_at);
        builder.maybe_refresh_token(response.refresh_token.as_deref()).build()
    };
    match save(store, query, &token, fresh) {
        Ok(saved) => saved.ok_or_else(|| "the user has signed out".into()),
        Err(error) => Err(Unsaved { token: fresh(query), error, _lock: lock }.into()),
    }
}

/// Saves what `fresh` makes of the stored token, unless the user has signed out, or in again, since `old` was read. Tries
/// again while other changes come first.
fn save(
    store: &Keystore,
    query: &Token,
    old: &Token,
    fresh: impl Fn(&Token) -> Token,
) -> tokenkeep::Result<Option<Token>> {
    let mut attempts = 0;
    loop {
        let Some(stored) = store.find_stored(query)? else { return Ok(None) };
        if stored.refresh_token() != old.refresh_token() {
            return Ok(Some(stored));
        }
        attempts += 1;
        match store.save_token(&fresh(&stored)) {
            Err(tokenkeep::Error::Conflict { .. } | tokenkeep::Error::NoSuchToken) if attempts < 5 => {}
            Err(error) if error.is_retryable() && attempts < 5 => thread::sleep(Duration::from_millis(50)),
            // The token was saved, even if the disk has not confirmed it (`Incomplete`).
            Err(error) if error.kind() != ErrorKind::Incomplete => return Err(error),
            _ => return store.find_stored(query),
        }
    }
}

impl fmt::Display for Unsaved {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "the refreshed token was not saved: {}", self.error)
    }
}

impl Error for Unsaved {}

/// The refresh request: a line with the refresh token, answered by a line with the new tokens and the lifetime.
fn request(server: &str, token: &Token) -> Result<Response, BoxError> {
    let refresh_token = token.refresh_token().ok_or("no refresh token")?.expose_secret();
    let mut stream = TcpStream::connect(server)?;
    writeln!(stream, "{refresh_token}")?;
    let mut answer = String::new();
    BufReader::new(stream).read_line(&mut answer)?;
    match answer.split_whitespace().collect::<Vec<_>>()[..] {
        [access, refresh, lifetime] => Ok(Response {
            access_token: access.to_owned(),
            refresh_token: Some(refresh.to_owned()),
            expires_in: Some(lifetime.parse()?),
        }),
        _ => Err("the server has revoked the sign-in".into()),
    }
}

/// Answers until it is stopped; returns how many refreshes there were. Each access token has expired at once, but for
/// the last one.
fn serve(listener: &TcpListener) -> std::io::Result<usize> {
    let (mut refreshes, mut is_revoked) = (0, false);
    for stream in listener.incoming() {
        let mut stream = stream?;
        let mut line = String::new();
        BufReader::new(&stream).read_line(&mut line)?;
        if line.trim() == "stop" {
            break;
        }
        is_revoked |= line.trim() != format!("refresh-{refreshes}");
        if is_revoked {
            writeln!(stream, "invalid_grant")?;
            continue;
        }
        refreshes += 1;
        thread::sleep(Duration::from_millis(50));
        let lifetime = if refreshes < EXPIRIES { 0 } else { 3600 };
        writeln!(stream, "access-{refreshes} refresh-{refreshes} {lifetime}")?;
    }
    Ok(refreshes)
}
