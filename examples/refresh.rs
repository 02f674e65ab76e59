//! Two processes refresh one token, and the server sees one refresh for each expiry.
//!
//!     cargo run --example refresh
//!
//! The server is part of this program. Like many real ones it rotates refresh tokens: each is valid once, and using an
//! old one revokes the whole sign-in. `examples/daemon_and_cli` does the same over HTTP, and signs in and out.

use std::{
    env,
    error::Error,
    io::{self, BufRead, BufReader, Write},
    net::{TcpListener, TcpStream},
    path::Path,
    process::Command,
    thread,
    time::{Duration, SystemTime},
};

use tokenkeep::{Answer, KdfParams, Keystore, Need, Passphrase, Refreshed, Token, TokenStore, TokenStoreExt, Unlock};

const PROCESSES: usize = 2;
const CALLS: usize = 60;
const BETWEEN_CALLS: Duration = Duration::from_millis(50);
/// How long the access tokens last that the server sends, one after the other. Not less than a second: the library does
/// not refresh a token that it has received less than a second ago.
const LIFETIMES: [u64; 3] = [1, 1, 3600];

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    if let (Some(directory), Some(server)) = (arguments.next(), arguments.next()) {
        return use_token(Path::new(&directory), &server);
    }

    let directory = tempfile::tempdir()?;
    let store = open(directory.path())?;
    // The user signed in an hour ago, so the access token has just expired.
    let an_hour_ago = SystemTime::now().checked_sub(Duration::from_secs(3600)).ok_or("the clock is wrong")?;
    let signed_in = query().to_builder().refresh_token("refresh-0").access_token("access-0");
    store.save_token(&signed_in.received_at(an_hour_ago).expires_in(Duration::ZERO).build())?;

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
    if refreshes != LIFETIMES.len() {
        return Err(format!("the token has expired {} times", LIFETIMES.len()).into());
    }
    Ok(())
}

/// An application asks for the passphrase, and leaves the cost at its default.
fn open(directory: &Path) -> Result<Keystore, Box<dyn Error>> {
    let unlock = Unlock::from(Passphrase::new("correct horse battery staple").kdf(KdfParams::MIN));
    Ok(Keystore::open_or_create(directory.join("tokens.keep"), &unlock)?)
}

fn query() -> Token {
    Token::builder().user_name("ada@example.com").client_id("public-client").build()
}

/// One of the processes: some API calls, each with a token that is valid.
fn use_token(directory: &Path, server: &str) -> Result<(), Box<dyn Error>> {
    let store = open(directory)?;
    let mut revision = None;
    for _ in 0..CALLS {
        let token = match store.refresh_with(&query(), Need::default(), |token| request(server, token))? {
            Refreshed::Fresh(token) | Refreshed::Stale(token, _) => token,
            Refreshed::SignInAgain(_) => return Err("the server has revoked the sign-in".into()),
        };
        if token.revision() != revision {
            revision = token.revision();
            println!("process {}: revision {}", std::process::id(), revision.unwrap_or_default());
        }
        thread::sleep(BETWEEN_CALLS);
    }
    Ok(())
}

/// The refresh request, and what its answer means.
fn request(server: &str, token: &Token) -> Answer {
    let line = match ask(server, token) {
        Ok(line) => line,
        Err(error) => return Answer::failed(error),
    };
    match line.split_whitespace().collect::<Vec<_>>()[..] {
        [access, refresh, lifetime] => {
            let response = Token::builder().access_token(access).refresh_token(refresh);
            response.maybe_expires_in(lifetime.parse().ok().map(Duration::from_secs)).build().into()
        }
        [error] => Answer::refused(error, None),
        _ => Answer::failed("the server sent nothing that this program understands"),
    }
}

/// A line with the refresh token, answered by a line with the new tokens and the lifetime, or with an error.
fn ask(server: &str, token: &Token) -> io::Result<String> {
    let refresh_token = token.refresh_token().ok_or(io::ErrorKind::InvalidInput)?;
    let mut stream = TcpStream::connect(server)?;
    stream.set_read_timeout(Some(Duration::from_secs(10)))?;
    writeln!(stream, "{}", refresh_token.expose_secret())?;
    let mut line = String::new();
    BufReader::new(stream).read_line(&mut line)?;
    Ok(line)
}

/// Answers until it is stopped; returns how many refreshes there were.
fn serve(listener: &TcpListener) -> io::Result<usize> {
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
        let lifetime = LIFETIMES.get(refreshes).unwrap_or(&3600);
        refreshes += 1;
        thread::sleep(Duration::from_millis(50));
        writeln!(stream, "access-{refreshes} refresh-{refreshes} {lifetime}")?;
    }
    Ok(refreshes)
}
