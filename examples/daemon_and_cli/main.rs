//! A daemon that keeps tokens fresh, and a command line that uses them: two programs over one store, with two
//! providers.
//!
//!     cargo run --example daemon_and_cli
//!     cargo run --example daemon_and_cli -- /path/to/tokens.keep
//!
//! Without a path it works in a temporary directory. With a path it keeps the store, and works on it again at the next
//! start.
//!
//! This file is what an application copies. `demo.rs` starts the daemon and the command line, and checks what they do.
//! `server.rs` plays the two providers. `http.rs` stands in for an HTTP client.

mod demo;
mod http;
#[path = "../../crates/tokenkeep-sql/examples/key_file/mod.rs"]
mod key_file;
mod server;

use std::{
    env,
    error::Error,
    fs,
    net::SocketAddr,
    path::Path,
    process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::{Duration, SystemTime},
};

use tokenkeep::{
    Answer, ErrorKind, Keystore, Need, RecoveryKey, RefreshError, RefreshStep, Refreshed, StaleReason, Token,
    TokenStore, TokenStoreExt, Unlock,
};

type BoxError = Box<dyn Error + Send + Sync>;

/// The daemon refreshes a token this long before it expires, or after half its lifetime if that is sooner. It is longer
/// than what the command line asks for, so that the command line seldom has to refresh a token itself.
const AHEAD: Duration = Duration::from_secs(300);
/// The daemon looks at its tokens this often. That is cheap, and right after the computer has slept or its clock was
/// set.
const LOOK_EVERY: Duration = Duration::from_secs(1);

const USER: &str = "ada@example.com";

fn main() {
    if let Err(error) = run() {
        eprintln!("{error}");
        process::exit(1);
    }
}

fn run() -> Result<(), BoxError> {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (path, server, command) = match &arguments[..] {
        [] => return demo::run(&tempfile::tempdir()?.path().join("tokens.keep")),
        [path] => return demo::run(Path::new(path)),
        [path, server, command @ ..] => (Path::new(path), server.parse()?, command),
    };
    let providers = ["alpha", "beta"].map(|name| Provider { name, server });
    let provider = |wanted: &str| providers.iter().find(|provider| provider.name == wanted).ok_or("no such provider");

    match &command.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["daemon"] => daemon(path, &providers),
        ["status"] => status(&open(path)?, &providers),
        ["sign-in", name] => sign_in(&open(path)?, provider(name)?),
        ["call", name] => call(&open(path)?, provider(name)?),
        ["sign-out", name] => sign_out(&open(path)?, provider(name)?),
        _ => Err("the commands are: daemon, status, sign-in NAME, call NAME, sign-out NAME".into()),
    }
}

/// Opens the store, and creates it at the first start.
///
/// A key beside the store protects nothing. It is there so that this example runs everywhere: see `desktop.rs` for the
/// keychain, and `headless.rs` for a service.
fn open(path: &Path) -> Result<Keystore, BoxError> {
    let key: RecoveryKey = fs::read_to_string(path.with_extension("key"))?.trim().parse()?;
    Ok(Keystore::open_or_create(path, &Unlock::from(key))?)
}

// ---- What the daemon and the command line have in common

/// Where the user signs in.
struct Provider {
    name: &'static str,
    server: SocketAddr,
}

impl Provider {
    fn client_id(&self) -> String {
        format!("client-of-{}", self.name)
    }

    /// Finds the user's token. The client id tells it from the same user's token at another provider.
    fn account(&self) -> Token {
        Token::builder().user_name(USER).client_id(self.client_id()).build()
    }

    /// Asks for a new token (RFC 6749, 6).
    fn request(&self, token: &Token) -> Answer {
        let Some(refresh_token) = token.refresh_token() else { return Answer::SignInAgain };
        self.token("refresh_token", ("refresh_token", refresh_token.expose_secret()))
    }

    /// Asks the token endpoint. A client with a secret adds that.
    fn token(&self, grant_type: &str, grant: (&str, &str)) -> Answer {
        let form = [("grant_type", grant_type), grant, ("client_id", &*self.client_id())];
        match http::post(self.server, &format!("/{}/token", self.name), &form) {
            Ok(response) => answer(&response),
            Err(error) => Answer::failed(error),
        }
    }

    /// Calls the API.
    fn get(&self, what: &str, token: &Token) -> Result<http::Response, BoxError> {
        let access_token = token.access_token().ok_or("there is no access token")?.expose_secret();
        Ok(http::get(self.server, &format!("/{}/{what}", self.name), access_token)?)
    }

    /// Ends the sign-in at the provider (RFC 7009). An unknown or revoked token gets status 200 too.
    fn revoke(&self, token: &Token) -> Result<(), BoxError> {
        let Some(refresh_token) = token.refresh_token() else { return Ok(()) };
        let form = [
            ("token", refresh_token.expose_secret()),
            ("token_type_hint", "refresh_token"),
            ("client_id", &*self.client_id()),
        ];
        match http::post(self.server, &format!("/{}/revoke", self.name), &form)?.status {
            200 => Ok(()),
            status => Err(format!("the server has not revoked the token: status {status}").into()),
        }
    }
}

/// What an answer of the token endpoint means (RFC 6749, 5). Some servers send an error with status 200, so the error
/// is looked at first. If there is neither an error nor a token, as in the page of a proxy, the status decides.
fn answer(response: &http::Response) -> Answer {
    let text = |name: &str| response.body[name].as_str().filter(|text| !text.is_empty());
    let access_token = text("access_token").filter(|_| response.status == 200);
    let expires_in = &response.body["expires_in"]; // a number, but some servers send it as a text
    let expires_in = expires_in.as_u64().or_else(|| expires_in.as_str()?.parse().ok());
    match (text("error"), access_token) {
        (Some(error), _) => Answer::refused(error, response.retry_after.as_deref()),
        (None, None) => Answer::refused(&response.status.to_string(), response.retry_after.as_deref()),
        (None, Some(access_token)) => Token::builder()
            .access_token(access_token)
            .maybe_refresh_token(text("refresh_token"))
            .maybe_token_type(text("token_type"))
            .maybe_scopes(text("scope").map(str::split_whitespace))
            .received_at(SystemTime::now())
            .maybe_expires_in(expires_in.map(Duration::from_secs))
            .build()
            .into(),
    }
}

/// Gets a token that is good enough, and refreshes it if need be. Threads and processes may call it at the same time.
fn refresh(store: &Keystore, provider: &Provider, query: &Token, need: Need) -> Result<Refreshed, RefreshError> {
    let mut refreshed = store.refresh_with(query, need, |token| provider.request(token));
    loop {
        let error = match refreshed {
            Err(error) if error.step() == RefreshStep::Save => error,
            refreshed => return refreshed,
        };
        // The server has sent a new token, which is in the error. The stored one is used up.
        refreshed = match error.cause().kind() {
            _ if error.is_retryable() => {
                eprintln!("{error}; trying again: do not end this program");
                error.retry().map(Refreshed::Fresh)
            }
            // The store was replaced, for example by a backup.
            ErrorKind::Reopen => match open(store.path()) {
                Ok(reopened) => return error.retry_in(&reopened).map(Refreshed::Fresh),
                Err(_) => return Err(error),
            },
            // The user has signed out meanwhile, so nobody is to use the new token.
            ErrorKind::NotFound => {
                if let Some(Err(another)) = error.token().map(|token| provider.revoke(&token)) {
                    eprintln!("{another}");
                }
                return Err(error);
            }
            _ => return Err(error),
        };
    }
}

// ---- The daemon

/// Set when the daemon is to end. A service sets it when it gets SIGTERM, so that a refresh that is under way is saved.
static STOP: AtomicBool = AtomicBool::new(false);

/// Keeps the tokens of all providers fresh, each on a thread of its own: a slow server delays no other one.
fn daemon(path: &Path, providers: &[Provider]) -> Result<(), BoxError> {
    demo::stop_at_end_of_input();
    thread::scope(|scope| {
        let keep = |provider| {
            let result = keep_fresh_and_reopen(path, provider);
            STOP.store(true, Ordering::Relaxed);
            result
        };
        let threads = providers.iter().map(|provider| scope.spawn(move || keep(provider))).collect::<Vec<_>>();
        threads.into_iter().try_for_each(|thread| thread.join().map_err(|_| "a thread panicked")?)
    })
}

/// Opens the store again after it was replaced, for example by a backup.
fn keep_fresh_and_reopen(path: &Path, provider: &Provider) -> Result<(), BoxError> {
    loop {
        match keep_fresh(&open(path)?, provider) {
            Err(error) if error.kind() == ErrorKind::Reopen => {}
            result => return Ok(result?),
        }
    }
}

fn keep_fresh(store: &Keystore, provider: &Provider) -> tokenkeep::Result<()> {
    let mut said = Vec::new();
    while !STOP.load(Ordering::Relaxed) {
        // Read before the tokens, so that no later change is missed.
        let version = store.version()?;
        let mut lines = Vec::new();
        for token in store.get_tokens()? {
            if token.client_id() == Some(&*provider.client_id()) {
                lines.push(match refresh(store, provider, &token, Need::remaining(AHEAD)) {
                    Ok(Refreshed::Stale(_, StaleReason::BackedOff { .. })) => {
                        "the server is busy, the token is still valid".to_owned()
                    }
                    Ok(Refreshed::Fresh(token) | Refreshed::Stale(token, _)) => {
                        format!("has a token, revision {}", token.revision().unwrap_or_default())
                    }
                    Ok(Refreshed::SignInAgain(_)) => "the user has to sign in again".to_owned(),
                    // The library remembers when the server may be asked again.
                    Err(error) => error.to_string(),
                });
            }
        }
        if lines.is_empty() {
            lines.push("nobody is signed in".to_owned());
        }
        if lines != said {
            println!("daemon: {}: {}", provider.name, lines.join(", "));
            said = lines;
        }
        store.wait_for_change(&version, LOOK_EVERY)?;
    }
    Ok(())
}

// ---- The command line

fn sign_in(store: &Keystore, provider: &Provider) -> Result<(), BoxError> {
    // An application opens the browser here, and gets the code at its redirect URL (RFC 8252, with PKCE).
    let token = match provider.token("authorization_code", ("code", "the-user-has-consented")) {
        Answer::Token(token) => token,
        Answer::Failed(error) => return Err(error),
        _ => return Err(format!("{}: the server did not accept the sign-in: try again", provider.name).into()),
    };
    // A refresh that is under way does not overwrite it.
    store.save_token(&token.to_builder().user_name(USER).client_id(provider.client_id()).build())?;
    println!("{}: signed in", provider.name);
    Ok(())
}

/// Calls the API with a token that is valid, and once more if the API rejects that one.
fn call(store: &Keystore, provider: &Provider) -> Result<(), BoxError> {
    let mut token = valid_token(store, provider, Need::default())?;
    let mut response = provider.get("me", &token)?;
    if response.status == 401 {
        // The access token was revoked, or a clock is wrong.
        token = valid_token(store, provider, Need::rejected(&token))?;
        response = provider.get("me", &token)?;
    }
    if response.status != 200 {
        return Err(format!("{}: the API answered {}", provider.name, response.status).into());
    }
    println!("{}: hello {}", provider.name, response.body["name"].as_str().unwrap_or_default());
    Ok(())
}

fn valid_token(store: &Keystore, provider: &Provider, need: Need) -> Result<Token, BoxError> {
    match refresh(store, provider, &provider.account(), need) {
        Ok(Refreshed::Fresh(token) | Refreshed::Stale(token, _)) => Ok(token),
        Ok(Refreshed::SignInAgain(_)) => Err(format!("{}: sign in again", provider.name).into()),
        Err(error) if error.cause().kind() == ErrorKind::NotFound => {
            Err(format!("{}: sign in first", provider.name).into())
        }
        Err(error) => Err(format!("{}: {error}", provider.name).into()),
    }
}

fn status(store: &Keystore, providers: &[Provider]) -> Result<(), BoxError> {
    for provider in providers {
        let state = match store.find_stored(&provider.account())? {
            None => "not signed in".to_owned(),
            Some(token) if token.rejected_at().is_some() => "sign in again".to_owned(),
            Some(token) => match token.remaining(SystemTime::now()) {
                Some(left) => format!("signed in, the access token lasts for {} s", left.as_secs()),
                None => "signed in".to_owned(),
            },
        };
        println!("{}: {state}", provider.name);
    }
    Ok(())
}

/// If the server does not answer, the token stays, so that it can be revoked later. `store.sign_out` only deletes it.
fn sign_out(store: &Keystore, provider: &Provider) -> Result<(), BoxError> {
    let token =
        store.find_stored(&provider.account())?.ok_or_else(|| format!("{}: nobody is signed in", provider.name))?;
    let id = token.id().ok_or("a stored token has an id")?;
    store.sign_out_with(id, |token| provider.revoke(token))?;
    println!("{}: signed out", provider.name);
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answer_to(status: u16, retry_after: Option<&str>, body: &str) -> Answer {
        let body = serde_json::from_str(body).unwrap_or_default();
        answer(&http::Response { status, retry_after: retry_after.map(str::to_owned), body })
    }

    #[test]
    fn only_a_response_with_an_access_token_is_a_token() {
        let Answer::Token(token) = answer_to(200, None, r#"{"access_token":"a","expires_in":60,"scope":"x y"}"#) else {
            panic!("it is a token");
        };
        assert!(token.expires_at().is_some() && token.refresh_token().is_none() && token.scopes() == ["x", "y"]);
        for (status, body) in [
            (200, r#"{"access_token":""}"#),
            (200, "<html>"),
            (400, "<html>"),
            (302, r#"{"access_token":"a"}"#),
            (401, r#"{"error":"invalid_client"}"#),
        ] {
            assert!(matches!(answer_to(status, None, body), Answer::Failed(_)), "{status} {body}");
        }
    }

    #[test]
    fn refusal_is_told_from_a_busy_server() {
        for status in [200, 400] {
            assert!(matches!(answer_to(status, None, r#"{"error":"invalid_grant"}"#), Answer::SignInAgain));
        }
        assert!(matches!(answer_to(503, None, "<html>"), Answer::RetryLater(None)));
        let later = answer_to(429, Some("7"), "");
        assert!(matches!(later, Answer::RetryLater(Some(after)) if after == Duration::from_secs(7)));
    }
}
