//! Everything that an application does with its tokens.
//!
//!     cargo run --example quickstart
//!     cargo run --example quickstart -- /path/to/tokens.keep
//!
//! Without a path it works in a temporary directory. With a path it keeps the store, and works on it again at the next start.

use std::{
    env,
    error::Error,
    fs,
    path::PathBuf,
    time::{Duration, SystemTime},
};

use tokenkeep::{Keystore, Passphrase, Token, TokenStore, Unlock};

const CLIENT: &str = "1000.EXAMPLE";

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = env::args_os().nth(1).map_or_else(|| directory.path().join("tokens.keep"), PathBuf::from);
    // An application asks the user. The passphrase is wiped from memory when its last clone is dropped.
    let unlock = Unlock::from(Passphrase::new("correct horse battery staple"));

    let store = Keystore::open_or_create(&path, &unlock)?;
    println!("opened    {}", path.display());

    for (user, region) in [("ada@example.com", "eu"), ("grace@example.com", "us")] {
        let id = store.save_token(&signed_in(user, region))?;
        println!("saved     {user} as token {id}");
    }

    // Before an API call: the token of the user and client that call.
    let ada = Token::builder().user_name("ada@example.com").client_id(CLIENT).build();
    let token = store.find_stored(&ada)?.ok_or("ada has not signed in")?;
    println!("found     {}, expired: {}", show(&token), token.is_expired(SystemTime::now()));

    // An hour later. A response to a refresh seldom has a refresh token: the stored one stays. A response without a lifetime
    // makes the expiry unknown. (The README shows the lock that a refresh needs.)
    let (refresh_token, expires_in): (Option<&str>, Option<u64>) = (None, Some(3600));
    let refreshed = token
        .to_builder()
        .access_token("1000.a-fresh-access-token")
        .maybe_refresh_token(refresh_token)
        .maybe_expires_in(expires_in.map(Duration::from_secs))
        .build();
    store.save_token(&refreshed)?;
    let token = store.find_stored(&ada)?.ok_or("ada has not signed in")?;
    println!("refreshed {}, with a refresh token: {}", show(&token), token.refresh_token().is_some());

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

/// What the authorization server answers when a user has signed in.
fn signed_in(user: &str, region: &str) -> Token {
    Token::builder()
        .user_name(user)
        .client_id(CLIENT)
        .client_secret("an-example-of-a-client-secret")
        .refresh_token(format!("1000.refresh-token-of-{user}"))
        .access_token(format!("1000.access-token-of-{user}"))
        .expires_in(Duration::from_secs(3600))
        .scopes(["crm.read", "crm.write"])
        .attribute("region", region)
        .build()
}

/// A token without its secrets.
fn show(token: &Token) -> String {
    let user = token.user_name().unwrap_or("nobody");
    let revision = token.revision().unwrap_or_default();
    format!("{user} (revision {revision})")
}
