//! A store whose key is kept by a program of the user's choice, such as `age`, beside a recovery key.
//!
//!     cargo run --example external_program -- STORE PROGRAM [ARGUMENT…]
//!
//! `provider.rs` says what the program is asked. `age-key` in this directory is such a program. With an identity of age
//! that is made for this store only:
//!
//!     apt install age && age-keygen -o ~/tokens.identity
//!     cargo run --example external_program -- ~/tokens.keep examples/external_program/age-key ~/tokens.identity
//!
//! Start it twice: the first start creates the store.

#[path = "../child.rs"]
mod child;
#[path = "../paper.rs"]
mod paper;
mod provider;

use std::{env, error::Error, path::Path};

use provider::Program;
use tokenkeep::{External, Keystore, Token, TokenStore, Unlock};

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args_os().skip(1);
    let usage = "usage: external_program STORE PROGRAM [ARGUMENT…]";
    let (path, program) = arguments.next().zip(arguments.next()).ok_or(usage)?;
    let path = Path::new(&path);
    let external = External::new(Program { program, arguments: arguments.collect() });
    // A program that asks a person may need `External::deadline` with more than the usual 30 seconds.
    let unlock = Unlock::from(external).label("my program");

    let store = match Keystore::open(path, &unlock) {
        Err(tokenkeep::Error::NotFound { .. }) => {
            let store = Keystore::create(path, &unlock)?;
            println!("created {}; the program keeps its key", path.display());
            store
        }
        opened => {
            let store = opened?;
            println!("opened {} with the key that the program gave", path.display());
            store
        }
    };
    // For the day when the program, or what it needs, is lost. `examples/tpm` shows how that day goes.
    paper::ensure(&store, |key| {
        println!("If the program cannot give the key, this key opens your sign-ins. It is not shown again.");
        // An application waits until somebody says that it is on paper.
        println!("    {}", key.expose_secret());
    })?;

    let signed_in = Token::builder().user_name("ada@example.com").client_id("1000.CLIENT");
    store.save_token(&signed_in.refresh_token("1000.refresh").expiry_unknown().build())?;
    println!("saved a token; the store has {}", store.get_tokens()?.len());
    println!("{}", store.status()?);
    Ok(())
}
