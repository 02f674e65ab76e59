//! Everything that an application does with its tokens, on a store in a temporary folder.
//!
//!     cargo run --example quickstart

use std::{
    error::Error,
    fs,
    time::{Duration, SystemTime},
};

use tokenkeep::{Keystore, Secret, Token, TokenStore, Unlock};

fn main() -> Result<(), Box<dyn Error>> {
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("tokens.keep");
    // An application asks the user. The passphrase is wiped from memory once nobody has it any more.
    let passphrase = Secret::from("correct horse battery staple");

    let store = Keystore::create(&path, Unlock::passphrase(passphrase.clone()))?;
    println!("created   {}", path.display());

    for (user, region) in [("ada@example.com", "eu"), ("grace@example.com", "us")] {
        let id = store.save_token(&signed_in(user, region))?;
        println!("saved     {user} as token {id}");
    }

    // Before an API call: the token of the user whose call it is.
    let ada = Token::builder().user_name("ada@example.com").build();
    let token = store.find_stored(&ada)?.ok_or("ada has not signed in")?;
    println!("found     {} with a refresh token: {}", show(&token), token.refresh_token().is_some());

    // An hour later. The response to a refresh seldom has a refresh token: the one we have stays.
    let refreshed = Token::builder()
        .user_name("ada@example.com")
        .access_token("1000.a-fresh-access-token")
        .expires_at(SystemTime::now() + Duration::from_secs(3600))
        .build();
    store.save_token(&refreshed)?;
    let token = store.find_stored(&ada)?.ok_or("ada has not signed in")?;
    println!("refreshed {} with a refresh token: {}", show(&token), token.refresh_token().is_some());

    let tokens = store.get_tokens()?;
    println!("listed    {}", tokens.iter().map(show).collect::<Vec<_>>().join(", "));

    let grace = store.find_stored(&Token::builder().user_name("grace@example.com").build())?.ok_or("grace is gone")?;
    let deleted = store.delete_token(grace.id().ok_or("a stored token has an id")?)?;
    println!("deleted   {}: {deleted}", show(&grace));
    drop(store);

    let store = Keystore::open(&path, Unlock::passphrase(passphrase))?;
    println!("reopened  {}", store.get_tokens()?.iter().map(show).collect::<Vec<_>>().join(", "));
    println!("the file has {} bytes", fs::metadata(&path)?.len());

    match Keystore::open(&path, Unlock::passphrase("a guess")) {
        Err(error) => println!("a guess   {error}"),
        Ok(_) => return Err("a guess opened the store".into()),
    }
    Ok(())
}

/// What the authorization server answers when a user has signed in.
fn signed_in(user: &str, region: &str) -> Token {
    Token::builder()
        .user_name(user)
        .client_id("1000.EXAMPLE")
        .client_secret("an-example-of-a-client-secret")
        .refresh_token(format!("1000.refresh-token-of-{user}"))
        .access_token(format!("1000.access-token-of-{user}"))
        .expires_at(SystemTime::now() + Duration::from_secs(3600))
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
