//! Two authorization servers with their APIs, in this process. Like many real ones they rotate refresh tokens: each is
//! valid once, and using an old one revokes the whole sign-in.

use std::{
    fmt, io,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    thread,
    time::{Duration, Instant, SystemTime},
};

use serde_json::{Value, json};

use crate::http::{self, Deadline, Message};

/// How long a server takes to answer, so that the requests of two processes meet.
const THINKING: Duration = Duration::from_millis(50);

pub(crate) struct Server {
    pub(crate) address: SocketAddr,
    state: Arc<Mutex<State>>,
}

/// What the servers have seen.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Seen {
    pub(crate) refreshes_at_alpha: usize,
    pub(crate) refreshes_at_beta: usize,
    pub(crate) calls: usize,
    pub(crate) calls_with_bad_tokens: usize,
    pub(crate) revocations: usize,
    /// Refreshes that were put off, because alpha was busy.
    pub(crate) put_off: usize,
    /// Refresh tokens that were sent a second time. Never, if all goes well.
    pub(crate) used_tokens: usize,
}

struct State {
    /// Tells the tokens of this server from those of one that ran before.
    run: u128,
    sign_ins: Vec<SignIn>,
    seen: Seen,
}

struct SignIn {
    provider: String,
    /// When each access token expires. There are as many refresh tokens, and only the last one is valid.
    access_tokens: Vec<Instant>,
    is_revoked: bool,
}

/// Status and body of an answer.
type Answer = (u16, Value);

impl Server {
    pub(crate) fn start() -> io::Result<Self> {
        let listener = TcpListener::bind("127.0.0.1:0")?;
        let address = listener.local_addr()?;
        let run = SystemTime::UNIX_EPOCH.elapsed().map_err(io::Error::other)?.as_nanos();
        let state = Arc::new(Mutex::new(State { run, sign_ins: Vec::new(), seen: Seen::default() }));
        let server = Self { address, state: state.clone() };
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let state = state.clone();
                thread::spawn(move || {
                    if let Err(error) = answer(&stream, &state) {
                        eprintln!("server: {error}");
                    }
                });
            }
        });
        Ok(server)
    }

    pub(crate) fn seen(&self) -> Seen {
        lock(&self.state).seen
    }

    /// From now on the API rejects the access tokens that this provider has issued, though they have not expired.
    pub(crate) fn reject_access_tokens(&self, provider: &str) {
        for sign_in in &mut lock(&self.state).sign_ins {
            if sign_in.provider == provider {
                sign_in.access_tokens.fill(Instant::now());
            }
        }
    }
}

/// A thread that has panicked left nothing half done.
fn lock(state: &Mutex<State>) -> MutexGuard<'_, State> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn answer(stream: &TcpStream, state: &Mutex<State>) -> io::Result<()> {
    let deadline = Deadline::new();
    let request = http::read(stream, &deadline)?;
    let path = request.first_line.split(' ').nth(1).unwrap_or_default();
    let (status, body) = match path.split('/').collect::<Vec<_>>()[..] {
        ["", provider, "token"] => {
            thread::sleep(THINKING);
            lock(state).token(provider, &request.body)
        }
        ["", provider, "revoke"] => lock(state).revoke(provider, &request.body),
        ["", provider, "me"] => lock(state).call(provider, &request),
        _ => (404, Value::Null),
    };
    let body = body.to_string();
    let retry_after = if status == 503 { "Retry-After: 1\r\n" } else { "" };
    let head = format!("HTTP/1.1 {status} -\r\nContent-Type: application/json\r\nConnection: close\r\n{retry_after}");
    http::write(stream, &deadline, format!("{head}Content-Length: {}\r\n\r\n{body}", body.len()).as_bytes())
}

impl State {
    /// The token endpoint (RFC 6749, 4.1.3 and 6).
    fn token(&mut self, provider: &str, form: &[u8]) -> Answer {
        if http::field(form, "client_id") != Some(format!("client-of-{provider}")) {
            return (401, json!({ "error": "invalid_client" }));
        }
        let invalid_grant = (400, json!({ "error": "invalid_grant" }));
        match http::field(form, "grant_type").as_deref() {
            Some("authorization_code") => {
                if http::field(form, "code").as_deref() != Some("the-user-has-consented") {
                    return invalid_grant;
                }
                let provider = provider.to_owned();
                self.sign_ins.push(SignIn { provider, access_tokens: Vec::new(), is_revoked: false });
                self.issue(self.sign_ins.len() - 1)
            }
            Some("refresh_token") => {
                let token = http::field(form, "refresh_token").unwrap_or_default();
                let Some((number, count)) = self.find("refresh", provider, &token) else { return invalid_grant };
                let sign_in = &mut self.sign_ins[number];
                if count + 1 != sign_in.access_tokens.len() {
                    sign_in.is_revoked = true;
                    self.seen.used_tokens += 1;
                }
                if sign_in.is_revoked {
                    return invalid_grant;
                }
                if provider == "alpha" && self.seen.put_off == 0 {
                    self.seen.put_off += 1;
                    return (503, json!({ "error": "temporarily_unavailable" }));
                }
                match provider {
                    "alpha" => self.seen.refreshes_at_alpha += 1,
                    _ => self.seen.refreshes_at_beta += 1,
                }
                self.issue(number)
            }
            _ => (400, json!({ "error": "unsupported_grant_type" })),
        }
    }

    /// Sends a new access token and a new refresh token.
    fn issue(&mut self, number: usize) -> Answer {
        let sign_in = &mut self.sign_ins[number];
        let lifetime = if sign_in.provider == "alpha" { 8 } else { 3600 };
        sign_in.access_tokens.push(Instant::now() + Duration::from_secs(lifetime));
        let count = sign_in.access_tokens.len() - 1;
        let token = |kind| format!("{kind}-{number}-{count}-{}", self.run);
        let (access_token, refresh_token) = (token("access"), token("refresh"));
        let body = json!({ "access_token": access_token, "refresh_token": refresh_token, "token_type": "Bearer",
            "expires_in": lifetime });
        (200, body)
    }

    /// The sign-in that a token belongs to, and how many tokens came before.
    fn find(&self, kind: &str, provider: &str, token: &str) -> Option<(usize, usize)> {
        let [found_kind, number, count, run] = token.split('-').collect::<Vec<_>>()[..] else { return None };
        let (number, count): (usize, usize) = (number.parse().ok()?, count.parse().ok()?);
        let sign_in = self.sign_ins.get(number)?;
        let is_ours = found_kind == kind && run == self.run.to_string() && sign_in.provider == provider;
        (is_ours && count < sign_in.access_tokens.len()).then_some((number, count))
    }

    /// Revocation (RFC 7009). An unknown token gets status 200 too.
    fn revoke(&mut self, provider: &str, form: &[u8]) -> Answer {
        let token = http::field(form, "token").unwrap_or_default();
        if let Some((number, _)) = self.find("refresh", provider, &token) {
            self.sign_ins[number].is_revoked = true;
            self.seen.revocations += 1;
        }
        (200, Value::Null)
    }

    /// The API (RFC 6750).
    fn call(&mut self, provider: &str, request: &Message) -> Answer {
        self.seen.calls += 1;
        let token = request.header("authorization").and_then(|header| header.strip_prefix("Bearer "));
        let found = token.and_then(|token| self.find("access", provider, token));
        let is_valid = |(number, count): (usize, usize)| {
            let sign_in = &self.sign_ins[number];
            !sign_in.is_revoked && sign_in.access_tokens[count] > Instant::now()
        };
        if found.is_some_and(is_valid) {
            return (200, json!({ "name": "Ada" }));
        }
        self.seen.calls_with_bad_tokens += 1;
        (401, json!({ "error": "invalid_token" }))
    }
}

impl fmt::Display for Seen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            refreshes_at_alpha,
            refreshes_at_beta,
            calls,
            calls_with_bad_tokens,
            revocations,
            put_off,
            used_tokens,
        } = self;
        write!(f, "{calls} API calls, {calls_with_bad_tokens} of them with a rejected access token; ")?;
        write!(f, "refreshes: {refreshes_at_alpha} at alpha and {put_off} put off, {refreshes_at_beta} at beta; ")?;
        write!(f, "revocations: {revocations}; used refresh tokens: {used_tokens}")
    }
}
