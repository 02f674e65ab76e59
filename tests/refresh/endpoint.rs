//! A token endpoint over HTTP/1.1 that rotates refresh tokens, and a resource that wants the newest access token.
//!
//! Each sign-in is a family with one valid refresh token. A refresh token that was used before revokes its family.

use std::{
    io::Write,
    net::{SocketAddr, TcpListener, TcpStream},
    sync::{
        Arc, Condvar, Mutex, MutexGuard,
        atomic::{AtomicBool, Ordering},
    },
    thread,
    time::{Duration, Instant, SystemTime},
};

use crate::{
    clock::Clock,
    request::{Request, response},
};

/// What the endpoint has seen and done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Event {
    /// A refresh request has come.
    Arrived,
    /// The refresh token is used up, and another one is valid.
    Moved,
    /// A client has gone before its request was handled, and nothing was done.
    Gone,
    /// A refresh token came again that was used up. Its family is revoked.
    Used,
    /// A refresh token of a family that was revoked before.
    Refused,
    /// A request was received to come later.
    Busy,
    /// A request came before the time was over that the endpoint, or the test, had named.
    TooSoon,
    /// A refresh while the access token was still good.
    Needless,
    /// A family was revoked on request, with its valid refresh token.
    Revoked,
    /// A family was revoked on request, with a refresh token that was used up.
    RevokedLate,
    /// The resource has accepted an access token.
    Accepted,
    /// The resource has answered 401.
    Rejected,
}

/// What becomes of one refresh request.
pub(crate) struct Plan {
    /// How long nothing happens first.
    pub(crate) before: Duration,
    pub(crate) handling: Handling,
    /// What happens once the endpoint has moved on, before it answers.
    pub(crate) meanwhile: Box<dyn FnOnce() + Send>,
    /// How long it waits then.
    pub(crate) after: Duration,
    /// For how long, by the clock, no other request may come once the endpoint has moved on.
    pub(crate) quiet: Duration,
}

pub(crate) enum Handling {
    /// The answer is new tokens.
    Tokens,
    /// The answer is new tokens, unless the client has gone.
    TokensIfThere,
    /// The answer is 503, with that number of seconds in `Retry-After`.
    Busy(u64),
}

impl Default for Plan {
    fn default() -> Self {
        let [before, after, quiet] = [Duration::ZERO; 3];
        Self { before, handling: Handling::Tokens, meanwhile: Box::new(|| {}), after, quiet }
    }
}

pub(crate) struct Endpoint {
    pub(crate) address: SocketAddr,
    shared: Arc<Shared>,
}

struct Shared {
    clock: Clock,
    /// The `expires_in` of its answers.
    lifetime: Option<Duration>,
    state: Mutex<State>,
    changed: Condvar,
    is_over: AtomicBool,
}

struct State {
    families: Vec<Family>,
    log: Vec<(SystemTime, Event, String)>,
    /// What becomes of the next refresh requests; each has a number.
    plan: Box<dyn FnMut(usize) -> Plan + Send>,
    requests: usize,
    /// Refresh requests that are being handled.
    open: usize,
    /// No request before this time.
    quiet_until: Option<SystemTime>,
}

struct Family {
    /// The number of the valid refresh token and of the newest access token.
    newest: u64,
    issued_at: SystemTime,
    is_rejected: bool,
    is_revoked: bool,
}

impl Family {
    /// Whether the access token is good for at least half its lifetime more.
    fn is_good(&self, shared: &Shared) -> bool {
        let age = shared.clock.now().duration_since(self.issued_at).unwrap_or_default();
        !self.is_rejected && shared.lifetime.is_none_or(|lifetime| age < lifetime / 2)
    }

    fn accepts(&self, number: u64, shared: &Shared) -> bool {
        let age = shared.clock.now().duration_since(self.issued_at).unwrap_or_default();
        let is_over = shared.lifetime.is_some_and(|lifetime| age >= lifetime);
        number == self.newest && !self.is_rejected && !self.is_revoked && !is_over
    }
}

impl Endpoint {
    pub(crate) fn start(clock: Clock, lifetime: Option<Duration>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap();
        let state = State {
            families: Vec::new(),
            log: Vec::new(),
            plan: Box::new(|_| Plan::default()),
            requests: 0,
            open: 0,
            quiet_until: None,
        };
        let (changed, is_over) = (Condvar::new(), AtomicBool::new(false));
        let shared = Arc::new(Shared { clock, lifetime, state: Mutex::new(state), changed, is_over });
        let serving = shared.clone();
        thread::spawn(move || {
            for stream in listener.incoming() {
                if serving.is_over.load(Ordering::SeqCst) {
                    return;
                }
                let (serving, stream) = (serving.clone(), stream.unwrap());
                thread::spawn(move || serving.serve(stream));
            }
        });
        Self { address, shared }
    }

    /// A new sign-in: its refresh token and its access token.
    pub(crate) fn sign_in(&self) -> (String, String) {
        let mut state = self.shared.state();
        let issued_at = self.shared.clock.now();
        state.families.push(Family { newest: 0, issued_at, is_rejected: false, is_revoked: false });
        tokens(state.families.len() - 1, 0)
    }

    /// From now on the resource rejects the newest access token of the newest family. `false`: it does already.
    pub(crate) fn reject_access(&self) -> bool {
        let mut state = self.shared.state();
        let family = state.families.last_mut().unwrap();
        !std::mem::replace(&mut family.is_rejected, true)
    }

    /// What becomes of the refresh requests from now on.
    pub(crate) fn plan(&self, plan: impl FnMut(usize) -> Plan + Send + 'static) {
        self.shared.state().plan = Box::new(plan);
    }

    /// The valid refresh token of the newest family.
    pub(crate) fn valid_refresh_token(&self) -> String {
        let state = self.shared.state();
        let family = state.families.len() - 1;
        tokens(family, state.families[family].newest).0
    }

    pub(crate) fn count(&self, event: Event) -> usize {
        self.shared.state().count(event)
    }

    pub(crate) fn revoked_families(&self) -> usize {
        self.shared.state().families.iter().filter(|family| family.is_revoked).count()
    }

    /// Waits until the event has happened so often.
    #[track_caller]
    pub(crate) fn wait_for(&self, event: Event, count: usize) {
        self.wait(|state| state.count(event) >= count);
    }

    /// Waits until no refresh request is being handled.
    #[track_caller]
    pub(crate) fn wait_until_idle(&self) {
        self.wait(|state| state.open == 0);
    }

    #[track_caller]
    fn wait(&self, is_done: impl Fn(&State) -> bool) {
        let until = Instant::now() + Duration::from_secs(60);
        let mut state = self.shared.state();
        while !is_done(&state) {
            let left = until.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "waited too long; {}", self.log(&state));
            state = self.shared.changed.wait_timeout(state, left).unwrap().0;
        }
    }

    /// That nobody has done what would lose a sign-in at a real server, or bother it.
    #[track_caller]
    pub(crate) fn assert_well_treated(&self) {
        for event in [Event::Used, Event::Refused, Event::TooSoon, Event::Needless, Event::RevokedLate] {
            let state = self.shared.state();
            assert_eq!(state.count(event), 0, "{event:?}; {}", self.log(&state));
        }
    }

    /// The end of the log, for messages.
    fn log(&self, state: &State) -> String {
        let refreshes: Vec<_> =
            state.log.iter().filter(|(_, event, _)| !matches!(event, Event::Accepted | Event::Rejected)).collect();
        let first = state.log.first().map_or(SystemTime::UNIX_EPOCH, |(time, ..)| *time);
        let last = refreshes.len().saturating_sub(40);
        let lines = refreshes[last..].iter().map(|(time, event, token)| {
            format!("\n  {:>9.3} s {event:?} {token}", time.duration_since(first).unwrap_or_default().as_secs_f64())
        });
        format!("the endpoint's log ends with{}", lines.collect::<String>())
    }
}

impl Drop for Endpoint {
    fn drop(&mut self) {
        self.shared.is_over.store(true, Ordering::SeqCst);
        let _ = TcpStream::connect(self.address);
    }
}

impl State {
    fn count(&self, event: Event) -> usize {
        self.log.iter().filter(|(_, logged, _)| *logged == event).count()
    }
}

fn tokens(family: usize, number: u64) -> (String, String) {
    (format!("refresh-{family}-{number}"), format!("access-{family}-{number}"))
}

/// The family and the number of a token.
fn parse(token: &str) -> Option<(usize, u64)> {
    let (rest, number) = token.rsplit_once('-')?;
    Some((rest.rsplit_once('-')?.1.parse().ok()?, number.parse().ok()?))
}

impl Shared {
    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap()
    }

    fn log(&self, state: &mut State, event: Event, token: &str) {
        state.log.push((self.clock.now(), event, token.to_owned()));
        self.changed.notify_all();
    }

    /// Answers one request.
    fn serve(&self, mut stream: TcpStream) {
        let Some(request) = Request::read(&stream) else { return };
        let answer = match request.target.as_str() {
            "POST /token" => self.refresh(&request, &stream),
            "POST /revoke" => Some(self.revoke(request.field("token"))),
            "GET /api" => Some(self.resource(&request.bearer)),
            _ => Some(response("404 Not Found", "", "")),
        };
        // A client that was killed reads no answer.
        let _ = answer.map(|answer| stream.write_all(answer.as_bytes()));
    }

    fn refresh(&self, request: &Request, stream: &TcpStream) -> Option<String> {
        let token = request.field("refresh_token");
        let plan = {
            let mut state = self.state();
            state.open += 1;
            self.log(&mut state, Event::Arrived, token);
            if state.quiet_until.is_some_and(|until| self.clock.now() < until) {
                self.log(&mut state, Event::TooSoon, token);
            }
            let number = state.requests;
            state.requests += 1;
            (state.plan)(number)
        };
        thread::sleep(plan.before);
        let answer = self.handle(token, &plan.handling, stream);
        if !plan.quiet.is_zero() {
            self.state().quiet_until = Some(self.clock.now() + plan.quiet);
        }
        (plan.meanwhile)();
        thread::sleep(plan.after);
        self.state().open -= 1;
        self.changed.notify_all();
        answer
    }

    fn handle(&self, token: &str, handling: &Handling, stream: &TcpStream) -> Option<String> {
        let refused = || Some(response("400 Bad Request", "", r#"{"error":"invalid_grant"}"#));
        let mut state = self.state();
        match handling {
            Handling::TokensIfThere if has_gone(stream) => {
                self.log(&mut state, Event::Gone, token);
                return None;
            }
            Handling::Busy(seconds) => {
                self.log(&mut state, Event::Busy, token);
                state.quiet_until = Some(self.clock.now() + Duration::from_secs(*seconds));
                return Some(response("503 Service Unavailable", &format!("Retry-After: {seconds}\r\n"), ""));
            }
            Handling::Tokens | Handling::TokensIfThere => {}
        }
        let Some((family, number)) = parse(token).filter(|(family, _)| *family < state.families.len()) else {
            return refused();
        };
        let known = &mut state.families[family];
        if known.is_revoked || number != known.newest {
            let event = if known.is_revoked { Event::Refused } else { Event::Used };
            known.is_revoked = true;
            self.log(&mut state, event, token);
            return refused();
        }
        let is_needless = known.is_good(self);
        *known = Family { newest: number + 1, issued_at: self.clock.now(), is_rejected: false, is_revoked: false };
        if is_needless {
            self.log(&mut state, Event::Needless, token);
        }
        self.log(&mut state, Event::Moved, token);
        let (refresh, access) = tokens(family, number + 1);
        let lifetime =
            self.lifetime.map_or(String::new(), |lifetime| format!(r#","expires_in":{}"#, lifetime.as_secs()));
        let body =
            format!(r#"{{"token_type":"Bearer","access_token":"{access}","refresh_token":"{refresh}"{lifetime}}}"#);
        Some(response("200 OK", "", &body))
    }

    /// RFC 7009.
    fn revoke(&self, token: &str) -> String {
        let mut state = self.state();
        if let Some((family, number)) = parse(token) {
            let known = &mut state.families[family];
            known.is_revoked = true;
            let event = if number == known.newest { Event::Revoked } else { Event::RevokedLate };
            self.log(&mut state, event, token);
        }
        response("200 OK", "", "")
    }

    fn resource(&self, bearer: &str) -> String {
        let mut state = self.state();
        let is_accepted = parse(bearer).is_some_and(|(family, number)| state.families[family].accepts(number, self));
        self.log(&mut state, if is_accepted { Event::Accepted } else { Event::Rejected }, bearer);
        response(if is_accepted { "200 OK" } else { "401 Unauthorized" }, "", "")
    }
}

/// Whether the client has closed the connection, or is dead.
fn has_gone(stream: &TcpStream) -> bool {
    stream.set_nonblocking(true).unwrap();
    let is_open = matches!(stream.peek(&mut [0]), Err(error) if error.kind() == std::io::ErrorKind::WouldBlock);
    stream.set_nonblocking(false).unwrap();
    !is_open
}
