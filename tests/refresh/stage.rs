//! A store, an endpoint and a client of it.

use std::{
    hash::{BuildHasher, RandomState},
    path::Path,
    time::Duration,
};

use tempfile::TempDir;
use tokenkeep::{Claim, Error, Keystore, KeystoreOptions, Need, Refresh, Secret, Token, TokenStore, TokenStoreExt};

use crate::{
    client::Client,
    clock::Clock,
    common::{PAPER, unlock_with_paper},
    endpoint::Endpoint,
};

/// A store whose tokens are refreshed by the system's clock.
pub(crate) struct Stage {
    pub(crate) directory: TempDir,
    pub(crate) endpoint: Endpoint,
    pub(crate) client: Client,
    pub(crate) store: Keystore,
}

impl Stage {
    pub(crate) fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let clock = Clock::real();
        let endpoint = Endpoint::start(clock, Some(Duration::from_secs(3600)));
        let client = Client { address: endpoint.address, clock };
        let store = create(directory.path());
        Self { directory, endpoint, client, store }
    }

    /// A new sign-in of that user, whose access token has expired.
    pub(crate) fn sign_in(&self, user: &str) {
        let (refresh, access) = self.endpoint.sign_in();
        self.endpoint.reject_access();
        let token = user_query(user).to_builder().refresh_token(refresh).access_token(access);
        self.store.save_token(&token.expires_in(Duration::ZERO).build()).unwrap();
    }

    /// What another process needs to join in: the directory and the address of the endpoint.
    pub(crate) fn words(&self) -> [String; 2] {
        [self.directory.path().to_str().unwrap().to_owned(), self.client.address.to_string()]
    }

    /// The refresh token that is stored for the user.
    pub(crate) fn refresh_token(&self, user: &str) -> String {
        let token = self.store.find_stored(&user_query(user)).unwrap().unwrap();
        secret(token.refresh_token()).to_owned()
    }
}

/// What another process makes of [`Stage::words`].
pub(crate) fn join(directory: &str, address: &str) -> (Keystore, Client) {
    let client = Client { address: address.parse().unwrap(), clock: Clock::real() };
    (open(directory.as_ref()), client)
}

pub(crate) fn user_query(user: &str) -> Token {
    Token::builder().user_name(user).client_id("c").build()
}

pub(crate) fn ada() -> Token {
    user_query("ada")
}

fn options() -> KeystoreOptions {
    KeystoreOptions::new().lock_timeout(Duration::from_secs(60))
}

pub(crate) fn create(directory: &Path) -> Keystore {
    options().create(directory.join("tokens.keep"), &unlock_with_paper(PAPER)).unwrap()
}

pub(crate) fn open(directory: &Path) -> Keystore {
    options().open(directory.join("tokens.keep"), &unlock_with_paper(PAPER)).unwrap()
}

pub(crate) fn secret(secret: Option<&Secret>) -> &str {
    secret.map_or("", Secret::expose_secret)
}

#[track_caller]
pub(crate) fn claim(store: &Keystore, query: &Token, need: Need) -> Claim {
    match store.begin_refresh(query, need).unwrap() {
        Refresh::Claimed(claim) => claim,
        other => panic!("expected a claim, got {other:?}"),
    }
}

/// That the token is expired, and another caller was refreshing it all the time.
#[track_caller]
pub(crate) fn assert_taken(store: &Keystore, query: &Token) {
    let need = Need::default().timeout(Duration::from_millis(200));
    let refused = store.begin_refresh(query, need);
    assert!(matches!(refused, Err(Error::Refreshing { .. })), "{refused:?}");
}

/// A random number below that one.
pub(crate) fn random(below: u64) -> u64 {
    RandomState::new().hash_one(()) % below
}
