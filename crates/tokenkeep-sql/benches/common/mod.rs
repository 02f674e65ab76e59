//! What the benchmarks share: the tokens, and pairs of times with a target for their ratio.

use std::{
    env,
    time::{Duration, Instant, SystemTime},
};

use tokenkeep::{Secret, Token};

pub(crate) const CLIENT: &str = "1000.CLIENT";
/// When the tokens expire, in milliseconds since 1970.
pub(crate) const EXPIRY: i64 = 1_795_000_000_000;

/// What the command line asks for.
pub(crate) struct Plan {
    pub(crate) sizes: Vec<usize>,
    pub(crate) rounds: usize,
    /// How long one measurement of a throughput takes.
    pub(crate) period: Duration,
}

impl Plan {
    /// `cargo test` runs each benchmark once, with few tokens. Numbers among the arguments are sizes.
    pub(crate) fn of_command_line(sizes: &[usize]) -> Self {
        if !env::args().any(|argument| argument == "--bench") {
            return Self { sizes: vec![10], rounds: 3, period: Duration::from_millis(20) };
        }
        let named: Vec<_> = env::args().filter_map(|argument| argument.parse().ok()).collect();
        let sizes = if named.is_empty() { sizes.to_vec() } else { named };
        Self { sizes, rounds: 301, period: Duration::from_secs(1) }
    }
}

/// Another row each round, all over the table.
pub(crate) fn number(round: usize, size: usize) -> usize {
    1 + round.wrapping_mul(7_919) % size
}

pub(crate) fn user(number: usize) -> String {
    format!("user{number}@example.com")
}

pub(crate) fn query(number: usize) -> Token {
    Token::builder().user_name(user(number)).client_id(CLIENT).build()
}

/// Some 440 bytes, as the vendor's columns have them.
pub(crate) fn token(number: usize, round: usize) -> Token {
    let secret = |what: &str| format!("1000.{what}{number:0>32}{round:0>32}");
    let token = query(number).to_builder().client_secret("0123456789abcdef0123456789abcdef0123456789");
    let token = token.refresh_token(secret("r")).access_token(secret("a")).expires_at(expiry(EXPIRY));
    token.redirect_url("https://www.example.com/oauth/callback").api_domain("https://www.example.com").build()
}

/// The texts of a token, in the order of the columns of a plain table: they follow its id and expiry.
pub(crate) fn texts(token: &Token) -> [String; 7] {
    let secret = |secret: Option<&Secret>| secret.unwrap().expose_secret().to_owned();
    let text = |text: Option<&str>| text.unwrap().to_owned();
    [
        text(token.user_name()),
        text(token.client_id()),
        secret(token.client_secret()),
        secret(token.refresh_token()),
        secret(token.access_token()),
        text(token.redirect_url()),
        text(token.api_domain()),
    ]
}

/// The token of a row of a plain table.
pub(crate) fn read(id: &str, expiry_time: i64, texts: [String; 7]) -> Token {
    let [user_name, client_id, client_secret, refresh_token, access_token, redirect_url, api_domain] = texts;
    let token = Token::builder().id(id).user_name(user_name).client_id(client_id);
    let token = token.client_secret(client_secret).refresh_token(refresh_token).access_token(access_token);
    token.expires_at(expiry(expiry_time)).redirect_url(redirect_url).api_domain(api_domain).build()
}

fn expiry(millis: i64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis.unsigned_abs())
}

/// What the same work took in plain SQL and sealed, in each round.
#[derive(Default)]
pub(crate) struct Pairs([Vec<f64>; 2]);

impl Pairs {
    /// Measures one after the other in each round, and the other one first in every second round.
    pub(crate) fn new(rounds: usize, measure: [&mut dyn FnMut(usize) -> f64; 2]) -> Self {
        let mut measured = [Vec::new(), Vec::new()];
        for round in 0..rounds {
            for turn in [round % 2, 1 - round % 2] {
                measured[turn].push(measure[turn](round));
            }
        }
        Self(measured)
    }

    /// Microseconds for an operation, of which each round has so many.
    pub(crate) fn of_times(
        rounds: usize,
        count: usize,
        mut plain: impl FnMut(usize),
        mut sealed: impl FnMut(usize),
    ) -> Self {
        let time = |round: usize, run: &mut dyn FnMut(usize)| {
            let started = Instant::now();
            (0..count).for_each(|number| run(round * count + number));
            started.elapsed().as_secs_f64() * 1e6 / count as f64
        };
        Self::new(rounds, [&mut |round| time(round, &mut plain), &mut |round| time(round, &mut sealed)])
    }

    pub(crate) fn add(&mut self, more: Self) {
        self.0.iter_mut().zip(more.0).for_each(|(values, more)| values.extend(more));
    }

    /// The lower quartile, the median and the upper quartile of the rounds' ratios.
    fn ratios(&self) -> [f64; 3] {
        let [plain, sealed] = &self.0;
        quartiles(plain.iter().zip(sealed).map(|(plain, sealed)| sealed / plain).collect())
    }
}

fn quartiles(mut values: Vec<f64>) -> [f64; 3] {
    values.sort_unstable_by(f64::total_cmp);
    [1, 2, 3].map(|quarter| values[(values.len() - 1) * quarter / 4])
}

/// A limit for the ratio of sealed to plain.
#[derive(Clone, Copy)]
pub(crate) enum Target {
    AtMost(f64),
    AtLeast(f64),
}

/// Prints the rows of the tables in `docs/performance.md`.
pub(crate) struct Report {
    missed: usize,
}

impl Report {
    pub(crate) fn begin(unit: &str) -> Self {
        println!("| | operation | plain SQL, {unit} | sealed, {unit} | ratio (quartiles) | target | met |");
        println!("|---|---|---|---|---|---|---|");
        Self { missed: 0 }
    }

    pub(crate) fn row(&mut self, place: &str, operation: &str, pairs: &Pairs, target: Target) {
        let [plain, sealed] = pairs.0.each_ref().map(|values| shown(quartiles(values.clone())[1]));
        let [low, ratio, high] = pairs.ratios();
        let (target, is_met) = match target {
            Target::AtMost(limit) => (format!("≤ {limit}"), ratio <= limit),
            Target::AtLeast(limit) => (format!("≥ {limit}"), ratio >= limit),
        };
        self.missed += usize::from(!is_met);
        let met = if is_met { "yes" } else { "**no**" };
        println!("| {place} | {operation} | {plain} | {sealed} | {ratio:.2} ({low:.2}–{high:.2}) | {target} | {met} |");
    }

    /// Prints the time of one part of the sealed work, which has no plain counterpart.
    pub(crate) fn part(&self, place: &str, what: &str, Pairs([_, times]): &Pairs) {
        println!("| {place} | {what} | – | {} | | | |", shown(quartiles(times.clone())[1]));
    }

    pub(crate) fn end(self) {
        println!("\n{} targets were missed.", self.missed);
    }
}

fn shown(value: f64) -> String {
    if value < 100.0 { format!("{value:.1}") } else { format!("{value:.0}") }
}
