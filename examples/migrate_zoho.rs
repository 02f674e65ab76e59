//! Moves the plain-text token file of the Zoho CRM SDK into a keystore.
//!
//!     cargo run --example migrate_zoho -- TOKEN_FILE.csv NEW_STORE.keep
//!
//! Without arguments it moves a copy of a file that the SDK wrote (`tests/data/zoho_sdk_token_file.csv`), in a temporary
//! directory. The passphrase comes from the environment variable `TOKENKEEP_PASSPHRASE`; a desktop application asks for it.

use std::{
    env,
    error::Error,
    fs, io,
    path::{Path, PathBuf},
    process::ExitCode,
    time::{Duration, SystemTime},
};

use tokenkeep::{Keystore, Passphrase, Token, TokenId, TokenStore, Unlock};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("{error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let mut arguments = env::args_os().skip(1).map(PathBuf::from);
    let (from, to, passphrase) = match (arguments.next(), arguments.next()) {
        (Some(from), Some(to)) => (from, to, Passphrase::new(env::var("TOKENKEEP_PASSPHRASE")?)),
        (None, _) => (
            sample(directory.path())?,
            directory.path().join("tokens.keep"),
            Passphrase::new("correct horse battery staple"),
        ),
        _ => return Err("give the SDK's token file and the path of the new store, or nothing".into()),
    };

    let tokens = read(&from)?;
    // A new store: nothing that exists is touched, and a migration that fails leaves nothing of its own.
    let unlock = Unlock::from(passphrase);
    let store = Keystore::create(&to, &unlock)?;
    let moved = move_into(store, &tokens, &unlock);
    if moved.is_err() {
        fs::remove_file(&to)?;
    }
    moved?;

    println!("moved {} tokens from {} to {}, and read each of them back", tokens.len(), from.display(), to.display());
    println!();
    println!("What is left to do:");
    println!("  1. Let the application open the new store, and see that it works.");
    println!("  2. Delete the old file: rm {}", from.display());
    println!("     Backups, and the disk's unused blocks, may hold its plain text for years. If anybody may have read");
    println!("     it, revoke its refresh tokens at the authorization server and let the users sign in again.");
    Ok(())
}

/// Saves the tokens, and sees that each of them reads back from the disk.
fn move_into(store: Keystore, tokens: &[Token], unlock: &Unlock) -> Result<(), Box<dyn Error>> {
    for token in tokens {
        store.save_token(token)?;
    }
    let path = store.path().to_owned();
    drop(store);

    let store = Keystore::open(path, unlock)?;
    if store.get_tokens()?.len() != tokens.len() {
        return Err(
            "two tokens of the file are for the same user and client, or have the same token: nothing was moved".into(),
        );
    }
    for token in tokens {
        let id = token.id().ok_or("a token of the file has no id")?;
        let stored = store.find_token_by_id(id)?.ok_or_else(|| format!("token {id} is missing"))?;
        if !is_same(&stored, token) {
            return Err(format!("token {id} does not read back as it was").into());
        }
    }
    Ok(())
}

fn sample(directory: &Path) -> io::Result<PathBuf> {
    let copy = directory.join("zoho_sdk_token_file.csv");
    fs::copy(Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/data/zoho_sdk_token_file.csv"), &copy)?;
    Ok(copy)
}

/// Whether the stored token is the given one, without what the store set.
fn is_same(stored: &Token, token: &Token) -> bool {
    stored.without_revision() == *token
}

/// The tokens of a file as the SDK writes it: comma-separated with a header line, the expiry in milliseconds since 1970.
fn read(from: &Path) -> Result<Vec<Token>, Box<dyn Error>> {
    let mut reader = csv::Reader::from_path(from)?;
    let names = reader.headers()?.clone();
    reader.records().map(|record| token(&names, &record?)).collect()
}

fn token(names: &csv::StringRecord, record: &csv::StringRecord) -> Result<Token, Box<dyn Error>> {
    let mut token = Token::builder();
    for (name, value) in names.iter().zip(record) {
        token = match name {
            "id" => token.id(TokenId::from(value)),
            "user_name" => token.user_name(value),
            "client_id" => token.client_id(value),
            "client_secret" => token.client_secret(value),
            "refresh_token" => token.refresh_token(value),
            "access_token" => token.access_token(value),
            "grant_token" => token.grant_token(value),
            "redirect_uri" | "redirect_url" => token.redirect_url(value),
            "api_domain" => token.api_domain(value),
            "expiry_time" if value.is_empty() => token.expiry_unknown(),
            "expiry_time" => token.expires_at(SystemTime::UNIX_EPOCH + Duration::from_millis(value.parse()?)),
            other => return Err(format!("the file has a column {other} that this program does not know").into()),
        };
    }
    Ok(token.build())
}
