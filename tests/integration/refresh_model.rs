//! Random refreshes of one token, with a clock that jumps, on a store and on a model of the rules.

use std::{
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
    time::{Duration, SystemTime},
};

use proptest::{collection::vec, option, prelude::*, sample::select};
use tokenkeep::{
    Claim, Error, MemoryStore, Need, Refresh, RefreshError, Refreshed, StaleReason, Token, TokenStore, TokenStoreExt,
};

/// Times are in seconds since 1970.
type Seconds = u64;

const HOUR: Seconds = 3600;
const START: Seconds = 1_800_000_000;

#[derive(Debug, Clone)]
enum Step {
    SignIn { lifetime: Option<Seconds>, has_refresh: bool, refresh_lifetime: Option<Seconds> },
    Delete,
    Forward(Seconds),
    Back(Seconds),
    Begin(What),
    Complete { lifetime: Option<Seconds>, rotates: bool },
    SignInAgain,
    RetryLater(Option<Seconds>),
    GiveUp,
}

#[derive(Debug, Clone, Copy, PartialEq)]
enum What {
    Remaining(Seconds),
    /// An API has rejected the access token of that number.
    Rejected(u32),
    Now,
}

fn step() -> impl Strategy<Value = Step> {
    let lifetime = || option::weighted(0.8, select(vec![0, 1, 10, 100, HOUR, 10 * 365 * 24 * HOUR]));
    let what = prop_oneof![
        6 => select(vec![0, 5, 60, HOUR]).prop_map(What::Remaining),
        4 => (0..6_u32).prop_map(What::Rejected),
        1 => Just(What::Now),
    ];
    prop_oneof![
        2 => (lifetime(), prop::bool::weighted(0.8), option::weighted(0.2, select(vec![0, 100, 2 * HOUR])))
            .prop_map(|(lifetime, has_refresh, refresh_lifetime)| Step::SignIn {
                lifetime,
                has_refresh,
                refresh_lifetime
            }),
        1 => Just(Step::Delete),
        6 => select(vec![1, 2, 4, 6, 30, 59, 61, 600, HOUR, 24 * HOUR]).prop_map(Step::Forward),
        1 => select(vec![1, 60, HOUR, 365 * 24 * HOUR]).prop_map(Step::Back),
        12 => what.prop_map(Step::Begin),
        4 => (lifetime(), any::<bool>()).prop_map(|(lifetime, rotates)| Step::Complete { lifetime, rotates }),
        2 => Just(Step::SignInAgain),
        2 => option::of(select(vec![0, 5, 120, 5 * HOUR])).prop_map(Step::RetryLater),
        2 => Just(Step::GiveUp),
    ]
}

/// The stored token, as far as it matters.
#[derive(Debug, Clone, PartialEq)]
struct Row {
    /// The number of the sign-in that added it: after a deletion the next sign-in adds another row.
    added: u32,
    access: u32,
    refresh: Option<u32>,
    expires: Option<Seconds>,
    received: Seconds,
    refresh_expires: Option<Seconds>,
    is_rejected: bool,
    retry: Option<Seconds>,
    failures: u32,
}

#[derive(Debug, PartialEq)]
enum Expected {
    NoSuchToken,
    Fresh,
    JustRefreshed,
    SignInAgain,
    BackedOff {
        is_valid: bool,
        until: Seconds,
    },
    /// Another caller has the claim.
    Others {
        is_valid: bool,
    },
    Claim,
}

impl Row {
    fn is_valid(&self, what: What, now: Seconds) -> bool {
        self.expires.is_none_or(|expires| expires > now) && what != What::Rejected(self.access)
    }

    fn lifetime(&self) -> Option<Seconds> {
        self.expires.map(|expires| expires.saturating_sub(self.received))
    }

    /// What a caller gets, if nobody refreshes the token since the caller came.
    fn expected(&self, what: What, now: Seconds, is_claimed: bool) -> Expected {
        let is_valid = self.is_valid(what, now);
        let is_good = match (what, self.expires) {
            (What::Now, _) => false,
            (What::Rejected(_), _) | (_, None) => true,
            // In halves of a second.
            (What::Remaining(margin), Some(expires)) => {
                2 * expires.saturating_sub(now) > (2 * margin).min(self.lifetime().unwrap())
            }
        };
        if is_valid && is_good {
            return Expected::Fresh;
        }
        let pause = match (what, self.lifetime()) {
            (What::Now, _) => 2,
            (_, None) => 10,
            (_, Some(lifetime)) => lifetime.clamp(2, 10),
        };
        if self.received <= now && 2 * (now - self.received) < pause {
            return Expected::JustRefreshed;
        }
        if self.refresh.is_none() || self.is_rejected || self.refresh_expires.is_some_and(|expires| expires <= now) {
            return Expected::SignInAgain;
        }
        let goes_on = is_valid && what != What::Now;
        match self.retry {
            Some(until) if until > now && until - now <= HOUR => Expected::BackedOff { is_valid, until },
            _ if is_claimed => Expected::Others { is_valid: goes_on },
            _ => Expected::Claim,
        }
    }
}

struct World {
    store: MemoryStore,
    now: Arc<AtomicU64>,
    /// How many access tokens and refresh tokens there have been.
    issued: u32,
    row: Option<Row>,
    /// The claim, what it is for, and the row that it was given for.
    claim: Option<(Claim, What, Row)>,
}

fn time(seconds: Seconds) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)
}

fn ada() -> Token {
    Token::builder().user_name("ada").client_id("c").build()
}

impl World {
    fn new() -> Self {
        let now = Arc::new(AtomicU64::new(START));
        Self { store: MemoryStore::new(), now, issued: 0, row: None, claim: None }
    }

    fn now(&self) -> Seconds {
        self.now.load(Ordering::SeqCst)
    }

    fn need(&self, what: What) -> Need {
        let need = match what {
            What::Remaining(margin) => Need::remaining(Duration::from_secs(margin)),
            What::Rejected(access) => Need::rejected(&Token::builder().access_token(format!("a{access}")).build()),
            What::Now => Need::now(),
        };
        let now = self.now.clone();
        need.timeout(Duration::ZERO).clock(move || time(now.load(Ordering::SeqCst)))
    }

    fn make(&mut self, step: &Step) {
        // Each step has a time of its own: a token of the same time is taken for one that was not received again.
        self.now.fetch_add(1, Ordering::SeqCst);
        let now = self.now();
        match *step {
            Step::SignIn { lifetime, has_refresh, refresh_lifetime } => {
                self.issued += 1;
                let number = self.issued;
                let refresh_expires = refresh_lifetime.filter(|_| has_refresh).map(|lifetime| now + lifetime);
                let mut signed_in = ada()
                    .to_builder()
                    .access_token(format!("a{number}"))
                    .maybe_expires_at(lifetime.map(|lifetime| time(now + lifetime)))
                    .received_at(time(now))
                    .maybe_refresh_expires_at(refresh_expires.map(time));
                if has_refresh {
                    signed_in = signed_in.refresh_token(format!("r{number}"));
                }
                self.store.save_token(&signed_in.build()).unwrap();
                let before = self.row.take();
                let added = before.as_ref().map_or(number, |row| row.added);
                let kept = before.filter(|_| !has_refresh);
                self.row = Some(Row {
                    added,
                    access: number,
                    refresh: if has_refresh { Some(number) } else { kept.as_ref().and_then(|row| row.refresh) },
                    expires: lifetime.map(|lifetime| now + lifetime),
                    received: now,
                    refresh_expires: refresh_expires.or(kept.and_then(|row| row.refresh_expires)),
                    is_rejected: false,
                    retry: None,
                    failures: 0,
                });
            }
            Step::Delete => {
                self.store.delete_tokens().unwrap();
                self.row = None;
            }
            Step::Forward(seconds) => _ = self.now.fetch_add(seconds, Ordering::SeqCst),
            Step::Back(seconds) => _ = self.now.fetch_sub(seconds, Ordering::SeqCst),
            Step::Begin(what) => self.begin(what),
            Step::Complete { lifetime, rotates } => self.complete(lifetime, rotates),
            Step::SignInAgain => self.sign_in_again(),
            Step::RetryLater(after) => self.retry_later(after),
            Step::GiveUp => self.claim = None,
        }
        self.check_row();
    }

    fn begin(&mut self, what: What) {
        let begun = self.store.begin_refresh(&ada(), self.need(what));
        let is_claimed = self.claim.as_ref().is_some_and(|(.., given)| self.row_of(given).is_some());
        let expected =
            self.row.as_ref().map_or(Expected::NoSuchToken, |row| row.expected(what, self.now(), is_claimed));
        match (begun, &expected) {
            (Err(Error::NoSuchToken), Expected::NoSuchToken)
            | (Ok(Refresh::Fresh(_)), Expected::Fresh)
            | (Ok(Refresh::Stale(_, StaleReason::JustRefreshed)), Expected::JustRefreshed)
            | (Ok(Refresh::SignInAgain(_)), Expected::SignInAgain)
            | (Ok(Refresh::Stale(_, StaleReason::Refreshing)), Expected::Others { is_valid: true })
            | (Err(Error::Refreshing { .. }), Expected::Others { is_valid: false }) => {}
            (Ok(Refresh::Stale(_, StaleReason::BackedOff { until })), Expected::BackedOff { is_valid: true, .. })
            | (Err(Error::BackedOff { until, .. }), Expected::BackedOff { is_valid: false, .. }) => {
                assert!(matches!(expected, Expected::BackedOff { until: expected, .. } if time(expected) == until));
            }
            (Ok(Refresh::Claimed(claim)), Expected::Claim) => {
                claim.token().unwrap();
                self.claim = Some((claim, what, self.row.clone().unwrap()));
            }
            (begun, expected) => panic!("expected {expected:?} of {:?}, got {begun:?}", self.row),
        }
    }

    fn complete(&mut self, lifetime: Option<Seconds>, rotates: bool) {
        let Some((claim, _, given)) = self.claim.take() else { return };
        self.issued += 1;
        let (number, now) = (self.issued, self.now());
        let expires = lifetime.map(|lifetime| now + lifetime);
        let mut response = Token::builder().access_token(format!("a{number}")).maybe_expires_at(expires.map(time));
        if rotates {
            response = response.refresh_token(format!("r{number}"));
        }
        let saved = claim.complete(response.build());
        match self.row.as_mut().filter(|row| row.added == given.added) {
            None => assert!(matches!(saved.unwrap_err().cause(), Error::NoSuchToken)),
            // The user has signed in again.
            Some(row) if row.refresh != given.refresh => drop(saved.unwrap()),
            Some(row) => {
                assert!(saved.is_ok());
                *row = Row {
                    added: row.added,
                    access: number,
                    refresh: if rotates { Some(number) } else { row.refresh },
                    // The expiry of the token before is taken for one that the response took over.
                    expires: expires.filter(|expires| Some(*expires) != given.expires),
                    received: now,
                    refresh_expires: row.refresh_expires.filter(|_| !rotates),
                    is_rejected: false,
                    retry: None,
                    failures: 0,
                };
            }
        }
    }

    /// The row as it is now, unless it was deleted.
    fn row_of(&self, given: &Row) -> Option<&Row> {
        self.row.as_ref().filter(|row| row.added == given.added)
    }

    /// Whether the row has the tokens that the claim was given for.
    fn is_unchanged(&self, given: &Row) -> bool {
        self.row_of(given).is_some_and(|row| (row.access, row.refresh) == (given.access, given.refresh))
    }

    fn sign_in_again(&mut self) {
        let Some((claim, what, given)) = self.claim.take() else { return };
        let answer = claim.sign_in_again();
        if self.is_unchanged(&given) {
            assert!(
                matches!(answer, Ok(Refreshed::SignInAgain(token)) if token.rejected_at() == Some(time(self.now())))
            );
            let row = self.row.as_mut().unwrap();
            (row.is_rejected, row.retry, row.failures) = (true, None, 0);
            return;
        }
        self.check_others(&given, answer, what);
    }

    fn retry_later(&mut self, after: Option<Seconds>) {
        let Some((claim, what, given)) = self.claim.take() else { return };
        let answer = claim.retry_later(after.map(Duration::from_secs));
        if !self.is_unchanged(&given) {
            return self.check_others(&given, answer, what);
        }
        let now = self.now();
        let row = self.row.as_mut().unwrap();
        row.failures += 1;
        let goes_on = row.is_valid(what, now) && what != What::Now;
        let until = match answer {
            Ok(Refreshed::Stale(_, StaleReason::BackedOff { until })) if goes_on => until,
            Err(error) if !goes_on => match error.cause() {
                Error::BackedOff { until, .. } => *until,
                other => panic!("expected a back-off, got {other:?}"),
            },
            other => panic!("expected a back-off of {row:?}, got {other:?}"),
        };
        let wait = until.duration_since(time(now)).unwrap();
        match after {
            Some(after) => assert_eq!(wait, Duration::from_secs(after.clamp(1, HOUR))),
            None => {
                let most = 2_f64.powi(row.failures as i32 - 1).min(60.0);
                assert!(wait.as_secs_f64() <= most && wait.as_secs_f64() >= (most / 2.0).max(1.0), "{wait:?}");
            }
        }
        // Up to whole seconds, in which this model counts.
        let until = now + wait.as_secs();
        row.retry = Some(until);
        let row = self.store.find_stored(&ada()).unwrap().unwrap();
        self.store.replace_token(&row.to_builder().retry_at(time(until)).build()).unwrap();
    }

    /// What a claim gives whose row has other tokens by now, or is gone.
    fn check_others(&self, given: &Row, answer: Result<Refreshed, RefreshError>, what: What) {
        let Some(row) = self.row_of(given) else {
            return assert!(matches!(answer.unwrap_err().cause(), Error::NoSuchToken));
        };
        match (answer.unwrap(), row.expected(what, self.now(), false)) {
            // A caller that needs any new token gets the one of the others, unless that has expired.
            (Refreshed::Fresh(_), Expected::Fresh) => {}
            (Refreshed::Fresh(_), _) if what == What::Now && row.is_valid(what, self.now()) => {}
            (Refreshed::SignInAgain(_), Expected::SignInAgain) => {}
            (Refreshed::Stale(_, StaleReason::JustRefreshed), expected) => {
                assert!(!matches!(expected, Expected::Fresh | Expected::SignInAgain), "{expected:?}");
            }
            (answer, expected) => panic!("expected {expected:?} of {row:?}, got {answer:?}"),
        }
    }

    /// That the store holds the row of this model.
    fn check_row(&self) {
        let found = self.store.find_stored(&ada()).unwrap().map(|token| {
            let number =
                |secret: Option<&tokenkeep::Secret>| secret.map(|secret| secret.expose_secret()[1..].parse().unwrap());
            let seconds = |time: SystemTime| time.duration_since(SystemTime::UNIX_EPOCH).unwrap().as_secs();
            Row {
                added: self.row.as_ref().map_or(0, |row| row.added),
                access: number(token.access_token()).unwrap(),
                refresh: number(token.refresh_token()),
                expires: token.expires_at().map(seconds),
                received: token.received_at().map(seconds).unwrap(),
                refresh_expires: token.refresh_expires_at().map(seconds),
                is_rejected: token.rejected_at().is_some(),
                retry: token.retry_at().map(seconds),
                failures: token.failed_refreshes(),
            }
        });
        assert_eq!(found, self.row);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: crate::common::cases(300), failure_persistence: None, ..ProptestConfig::default() })]
    #[test]
    fn refreshes_do_what_the_model_does(steps in vec(step(), 1..60)) {
        let mut world = World::new();
        steps.iter().for_each(|step| world.make(step));
    }
}
