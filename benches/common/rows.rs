//! The table that every contender keeps: the columns of the Zoho CRM SDK's stores, some 440 bytes a row.

use std::time::{Duration, SystemTime};

use ring::digest::{SHA256, digest};
use serde::{Deserialize, Serialize};
use tokenkeep::Token;

#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Row {
    pub(crate) id: String,
    pub(crate) user_name: String,
    pub(crate) client_id: String,
    pub(crate) client_secret: String,
    pub(crate) refresh_token: String,
    pub(crate) access_token: String,
    pub(crate) expires_at_ms: u64,
    pub(crate) redirect_url: String,
    pub(crate) api_domain: String,
}

impl Row {
    /// The row of that number, counted from 1, which is its id too.
    pub(crate) fn new(number: usize) -> Self {
        let secret = |what: &str, len: usize| {
            let hash = digest(&SHA256, format!("{what} {number}").as_bytes());
            hash.as_ref().iter().cycle().take(len / 2).map(|byte| format!("{byte:02x}")).collect::<String>()
        };
        Self {
            id: number.to_string(),
            user_name: format!("user{number}@example.com"),
            client_id: format!("1000.{}", secret("client", 30)),
            client_secret: secret("client secret", 42),
            refresh_token: format!("1000.{}", secret("refresh", 64)),
            access_token: format!("1000.{}", secret("access", 64)),
            expires_at_ms: 1_795_000_000_000 + number as u64,
            redirect_url: "https://www.example.com/oauth/callback".to_owned(),
            api_domain: "https://www.example.com".to_owned(),
        }
    }

    /// The rows from 1 to that number.
    pub(crate) fn table(size: usize) -> Vec<Self> {
        (1..=size).map(Self::new).collect()
    }

    /// The same as a token to save: without an id, which the store chooses, and then chooses the same.
    pub(crate) fn token(&self) -> Token {
        let expires_at = SystemTime::UNIX_EPOCH + Duration::from_millis(self.expires_at_ms);
        Token::builder()
            .user_name(&*self.user_name)
            .client_id(&*self.client_id)
            .client_secret(&*self.client_secret)
            .refresh_token(&*self.refresh_token)
            .access_token(&*self.access_token)
            .expires_at(expires_at)
            .redirect_url(&*self.redirect_url)
            .api_domain(&*self.api_domain)
            .build()
    }

    /// The row after an hour: with another access token, which the round makes different each time.
    pub(crate) fn refreshed(&self, round: u64) -> Self {
        Self { access_token: format!("1000.{round:0>64}"), expires_at_ms: self.expires_at_ms + round, ..self.clone() }
    }
}
