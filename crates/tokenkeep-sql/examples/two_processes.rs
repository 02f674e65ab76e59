//! Two processes and two providers: one process refreshes each token, and the other one gets what it has saved. Start
//! it twice with the same directory, and the second start finds the tokens of the first.
//!
//!     cargo run -p tokenkeep-sql --features sqlite --example two_processes [DIRECTORY]

mod key_file;

use std::{env, error::Error, fs, path::Path, process::Command, thread, time::Duration};

use tokenkeep::{Answer, Need, RecoveryKey, Refreshed, Token, TokenStore, TokenStoreExt, Unlock};
use tokenkeep_sql::SqlStore;

const CLIENTS: [&str; 2] = ["google-client-id", "zoho-client-id"];

fn main() -> Result<(), Box<dyn Error>> {
    let arguments: Vec<_> = env::args().skip(1).collect();
    match &arguments[..] {
        [directory, worker] => work(Path::new(directory), worker),
        [directory] => start(Path::new(directory)),
        _ => start(tempfile::tempdir()?.path()),
    }
}

/// Opens the store, signs in where that is needed, and starts two processes.
fn start(directory: &Path) -> Result<(), Box<dyn Error>> {
    fs::create_dir_all(directory)?;
    let store = open(directory)?;
    for client in CLIENTS {
        let query = query(client);
        if store.find_stored(&query)?.is_none() {
            println!("signing in at {client}");
            // An access token that has expired already, so that there is something to refresh.
            let signed_in = query.to_builder().refresh_token("refresh 0").access_token("access 0");
            store.save_token(&signed_in.expires_in(Duration::ZERO).build())?;
        }
    }
    let children: Result<Vec<_>, _> = ["one", "two"]
        .into_iter()
        .map(|worker| Command::new(env::current_exe()?).arg(directory).arg(worker).spawn())
        .collect();
    for mut child in children? {
        if !child.wait()?.success() {
            return Err("a process failed".into());
        }
    }
    println!("the store holds {} tokens", store.get_tokens()?.len());
    Ok(())
}

fn work(directory: &Path, worker: &str) -> Result<(), Box<dyn Error>> {
    let store = open(directory)?;
    for client in CLIENTS {
        let refreshed = store.refresh_with(&query(client), Need::default(), |token| {
            println!("process {worker} refreshes the token of {client}");
            request(token)
        })?;
        match refreshed {
            Refreshed::Fresh(_) => println!("process {worker} has a fresh token of {client}"),
            Refreshed::Stale(_, why) => println!("process {worker} goes on with what it has of {client}: {why:?}"),
            Refreshed::SignInAgain(_) => return Err("please sign in again".into()),
        }
    }
    Ok(())
}

/// The key is in a file that only this user can read: see docs/headless.md for better places.
fn open(directory: &Path) -> Result<SqlStore, Box<dyn Error>> {
    let path = &directory.join("key");
    key_file::create_if_missing(path)?;
    let unlock = Unlock::from(fs::read_to_string(path)?.parse::<RecoveryKey>()?);
    Ok(SqlStore::open_or_create(&format!("sqlite://{}", directory.join("tokens.db").display()), &unlock)?)
}

fn query(client: &str) -> Token {
    Token::builder().user_name("ada@example.com").client_id(client).build()
}

/// Stands for the request to the server, which takes a while and gives each refresh token once.
fn request(token: &Token) -> Answer {
    thread::sleep(Duration::from_millis(100));
    let number = token.refresh_token().and_then(|token| token.expose_secret().rsplit(' ').next()?.parse().ok());
    let next = number.unwrap_or(0_u64) + 1;
    let response = Token::builder().access_token(format!("access {next}")).refresh_token(format!("refresh {next}"));
    response.expires_in(Duration::from_secs(3600)).build().into()
}
