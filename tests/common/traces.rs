//! The answers of the vendor's own file store, recorded (`tests/data/traces.jsonl`), and stores that are asked the
//! same.

use std::{
    collections::HashMap,
    sync::Arc,
    time::{Duration, SystemTime},
};

use serde_json::Value;
use tokenkeep::{Result, Token, TokenId, TokenStore};

/// How many operations are recorded.
pub const RECORDED: usize = 3660;

pub fn traces() -> Vec<Vec<Value>> {
    let lines = include_str!("../data/traces.jsonl").lines();
    lines.map(|line| serde_json::from_str::<Value>(line).unwrap()["ops"].as_array().unwrap().clone()).collect()
}

/// What the vendor's names for rows are in our store.
#[derive(Default)]
struct Names(HashMap<String, TokenId>);

impl Names {
    fn ours(&self, theirs: &str) -> TokenId {
        self.0.get(theirs).cloned().unwrap_or_else(|| TokenId::from(theirs))
    }

    /// A recorded token in our terms.
    fn token(&self, recorded: &Value) -> Token {
        let mut built = Token::builder();
        for (field, value) in recorded.as_object().unwrap() {
            let text = value.as_str().unwrap_or_default();
            built = match field.as_str() {
                "id" => built.id(self.ours(text)),
                "user_name" => built.user_name(text),
                "client_id" => built.client_id(text),
                "client_secret" => built.client_secret(text),
                "refresh_token" => built.refresh_token(text),
                "access_token" => built.access_token(text),
                "grant_token" => built.grant_token(text),
                "redirect_url" => built.redirect_url(text),
                "api_domain" => built.api_domain(text),
                "expires_at_ms" => {
                    built.expires_at(SystemTime::UNIX_EPOCH + Duration::from_millis(value.as_u64().unwrap()))
                }
                other => panic!("unknown field {other}"),
            };
        }
        built.build()
    }
}

/// A token without what the store sets, which no recording has.
fn plain(token: &Token) -> Token {
    let plain = Token::builder();
    let text = |text: Option<&str>| text.unwrap_or_default().to_owned();
    let secret = |secret: Option<&tokenkeep::Secret>| text(secret.map(tokenkeep::Secret::expose_secret));
    let plain = plain
        .id(token.id().unwrap().clone())
        .user_name(text(token.user_name()))
        .client_id(text(token.client_id()))
        .client_secret(secret(token.client_secret()))
        .refresh_token(secret(token.refresh_token()))
        .access_token(secret(token.access_token()))
        .grant_token(secret(token.grant_token()))
        .redirect_url(text(token.redirect_url()))
        .api_domain(text(token.api_domain()));
    assert!(token.token_type().is_none() && token.id_token().is_none() && token.scopes().is_empty());
    match token.expires_at() {
        Some(time) => plain.expires_at(time).build(),
        None => plain.build(),
    }
}

/// Where the recorded operations are made.
pub trait Operations {
    fn save(&mut self, token: &Token) -> Result<TokenId>;
    fn find(&mut self, query: &Token) -> Option<Token>;
    fn find_by_id(&mut self, id: &TokenId) -> Option<Token>;
    fn get_tokens(&mut self) -> Vec<Token>;
    fn delete(&mut self, id: &TokenId) -> bool;
    fn delete_all(&mut self);
}

/// A store, which the function may exchange before each operation; it gets the number of the operation.
pub struct Stores<F>(pub F, pub usize);

impl<F: FnMut(usize) -> Arc<dyn TokenStore>> Stores<F> {
    fn next(&mut self) -> Arc<dyn TokenStore> {
        self.1 += 1;
        (self.0)(self.1 - 1)
    }
}

impl<F: FnMut(usize) -> Arc<dyn TokenStore>> Operations for Stores<F> {
    fn save(&mut self, token: &Token) -> Result<TokenId> {
        self.next().save_token(token)
    }

    fn find(&mut self, query: &Token) -> Option<Token> {
        self.next().find_token(query).unwrap()
    }

    fn find_by_id(&mut self, id: &TokenId) -> Option<Token> {
        self.next().find_token_by_id(id).unwrap()
    }

    fn get_tokens(&mut self) -> Vec<Token> {
        self.next().get_tokens().unwrap()
    }

    fn delete(&mut self, id: &TokenId) -> bool {
        self.next().delete_token(id).unwrap()
    }

    fn delete_all(&mut self) {
        self.next().delete_tokens().unwrap();
    }
}

/// Replays every trace against a store, which `next` may exchange before each operation. Returns how many operations
/// there were.
pub fn replay(next: impl FnMut(usize) -> Arc<dyn TokenStore>) -> usize {
    let mut stores = Stores(next, 0);
    traces().iter().enumerate().map(|(number, trace)| replay_one(number, trace, &mut stores)).sum()
}

/// Replays a trace on no tokens.
pub fn replay_one(number: usize, trace: &[Value], store: &mut impl Operations) -> usize {
    store.delete_all();
    let mut names = Names::default();
    for (step, operation) in trace.iter().enumerate() {
        let at = format!("trace {number}, step {step}: {operation}");
        let expect = &operation["expect"];
        let id = || names.ours(operation["id"].as_str().unwrap());
        let expected = || (!expect.is_null()).then(|| names.token(expect));
        match operation["op"].as_str().unwrap() {
            "save" => match (store.save(&names.token(&operation["token"])), expect["id"].as_str()) {
                (Ok(ours), Some(theirs)) => {
                    names.0.insert(theirs.to_owned(), ours);
                }
                (Err(_), None) => assert_eq!(expect["error"], true, "{at}"),
                (ours, _) => panic!("{at}: {ours:?}"),
            },
            "find" => {
                let found = store.find(&names.token(&operation["token"]));
                assert_eq!(found.as_ref().map(plain), expected(), "{at}");
            }
            "find_by_id" => assert_eq!(store.find_by_id(&id()).as_ref().map(plain), expected(), "{at}"),
            "delete" => assert_eq!(store.delete(&id()), expect.as_bool().unwrap(), "{at}"),
            "get_tokens" => {
                let ours: Vec<_> = store.get_tokens().iter().map(plain).collect();
                let theirs: Vec<_> = expect.as_array().unwrap().iter().map(|token| names.token(token)).collect();
                assert_eq!(ours, theirs, "{at}");
            }
            "delete_tokens" => store.delete_all(),
            other => panic!("unknown operation {other}"),
        }
    }
    trace.len()
}
