//! Everything that an application does with its tokens.
//!
//!     cargo run --example quickstart
//!     cargo run --example quickstart -- /path/to/tokens.keep
//!
//! Without a path it works in a temporary directory. With a path it keeps the store, and works on it again at the next
//! start.

use std::{
    env,
    error::Error,
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tokenkeep::{Answer, Keystore, Need, Passphrase, Refreshed, Token, TokenStore, TokenStoreExt, Unlock};

const CLIENT: &str = "1000.EXAMPLE";
const HOUR: Duration = Duration::from_secs(3600);

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = env::args_os().nth(1).map_or_else(|| directory.path().join("tokens.keep"), PathBuf::from);
    // An application asks the user. The passphrase is wiped from memory when its last clone is dropped.
    let unlock = Unlock::from(Passphrase::new("correct horse battery staple"));

    let store = Keystore::open_or_create(&path, &unlock)?;
    println!("opened    {}", path.display());

    let now = SystemTime::now();
    let two_hours_ago = now.checked_sub(2 * HOUR).ok_or("the clock is wrong")?;
    for (user, region, at) in [("ada@example.com", "eu", two_hours_ago), ("grace@example.com", "us", now)] {
        let id = store.save_token(&signed_in(user, region, at))?;
        println!("saved     {user} as token {id}");
    }

    // The token of a user and client, as it is stored.
    let ada = Token::builder().user_name("ada@example.com").client_id(CLIENT).build();
    let token = store.find_stored(&ada)?.ok_or("ada has not signed in")?;
    println!("found     {}, expired: {}", show(&token), token.is_expired(now));

    // Before an API call: a token that is valid. It is refreshed if it has to be, and only once, even if several
    // threads and processes ask for it at the same time.
    match store.refresh_with(&ada, Need::default(), request)? {
        Refreshed::Fresh(token) | Refreshed::Stale(token, _) => {
            println!("refreshed {}, expired: {}", show(&token), token.is_expired(SystemTime::now()));
        }
        Refreshed::SignInAgain(_) => return Err("ada has to sign in again".into()),
    }

    let tokens = store.get_tokens()?;
    println!("listed    {}", tokens.iter().map(show).collect::<Vec<_>>().join(", "));

    let grace = Token::builder().user_name("grace@example.com").client_id(CLIENT).build();
    let grace = store.find_stored(&grace)?.ok_or("grace has not signed in")?;
    let deleted = store.delete_token(grace.id().ok_or("a stored token has an id")?)?;
    println!("deleted   {}: {deleted}", show(&grace));
    drop(store);

    let store = Keystore::open(&path, &unlock)?;
    println!("reopened  {}", store.get_tokens()?.iter().map(show).collect::<Vec<_>>().join(", "));
    println!("the file has {} bytes", fs::metadata(&path)?.len());

    match Keystore::open(&path, &Passphrase::new("a guess").into()) {
        Err(error) => println!("a guess   {error}"),
        Ok(_) => return Err("a guess opened the store".into()),
    }
    Ok(())
}

/// What the authorization server answered when the user signed in. An application calls this right then, so it says
/// `.received_at(SystemTime::now()).expires_in(HOUR)`.
fn signed_in(user: &str, region: &str, at: SystemTime) -> Token {
    Token::builder()
        .user_name(user)
        .client_id(CLIENT)
        .client_secret("an-example-of-a-client-secret")
        .refresh_token(format!("1000.refresh-token-of-{user}"))
        .access_token(format!("1000.access-token-of-{user}"))
        .received_at(at)
        .maybe_expires_at(at.checked_add(HOUR))
        .scopes(["crm.read", "crm.write"])
        .attribute("region", region)
        .build()
}

/// Sends the stored refresh token to the authorization server. This is the answer of a server that sends no new refresh
/// token: the stored one stays. `examples/daemon_and_cli` has a request over HTTP.
fn request(_stored: &Token) -> Answer {
    let (access_token, refresh_token, expires_in) = ("1000.a-fresh-access-token", None::<&str>, Some(HOUR));
    let response = Token::builder().access_token(access_token).maybe_refresh_token(refresh_token);
    response.maybe_expires_in(expires_in).build().into() // without a lifetime the expiry is unknown
}

/// A token without its secrets.
fn show(token: &Token) -> String {
    let user = token.user_name().unwrap_or("nobody");
    let revision = token.revision().unwrap_or_default();
    format!("{user} (revision {revision})")
}
