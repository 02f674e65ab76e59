//! A model of the six operations, written down as plainly as their rules are stated. It shares nothing with the library but
//! the tokens that it is compared by.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{Error, Result, Token, TokenId, TokenStore, Unstorable};

/// A row, or what is to be saved: the text fields by name, and the rest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub texts: BTreeMap<&'static str, String>,
    /// Milliseconds since 1970.
    pub expires_at: Option<u64>,
    pub scopes: Vec<String>,
    pub attributes: BTreeMap<String, String>,
    pub revision: u64,
}

impl Row {
    fn get(&self, name: &str) -> Option<&String> {
        self.texts.get(name)
    }

    fn has_same(&self, name: &str, other: &Self) -> bool {
        self.get(name).is_some() && self.get(name) == other.get(name)
    }

    fn lay_over(&mut self, over: &Self) {
        let id = self.texts.remove("id");
        self.texts.extend(over.texts.clone());
        self.texts.remove("id");
        self.texts.extend(id.map(|id| ("id", id)));
        self.expires_at = over.expires_at.or(self.expires_at);
        if !over.scopes.is_empty() {
            self.scopes.clone_from(&over.scopes);
        }
        self.attributes.extend(over.attributes.clone());
    }

    fn is_storable(&self) -> bool {
        ["grant_token", "refresh_token", "access_token"].iter().any(|name| self.get(name).is_some())
    }

    fn token(&self) -> Token {
        let text = |name| self.get(name).cloned().unwrap_or_default();
        let mut built = Token::builder()
            .id(text("id"))
            .user_name(text("user_name"))
            .client_id(text("client_id"))
            .client_secret(text("client_secret"))
            .refresh_token(text("refresh_token"))
            .access_token(text("access_token"))
            .grant_token(text("grant_token"))
            .id_token(text("id_token"))
            .api_domain(text("api_domain"))
            .scopes(self.scopes.clone());
        for (name, value) in &self.attributes {
            built = built.attribute(name.clone(), value.clone());
        }
        match self.expires_at {
            Some(millis) => built.expires_at(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)).build(),
            None => built.build(),
        }
    }

    #[track_caller]
    fn assert_is(&self, token: &Token) {
        let same = match (token.created_at(), token.updated_at()) {
            (Some(created), Some(updated)) => self.token().to_builder().stored(created, updated, self.revision).build(),
            _ => panic!("a row without its age"),
        };
        assert_eq!(*token, same);
    }
}

/// One of the operations.
#[derive(Debug, Clone)]
pub enum Operation {
    Save(Row),
    Find(Row),
    Delete(String),
    DeleteAll,
}

#[derive(Debug, PartialEq)]
enum Refusal {
    NothingToStore,
    UserNameTaken,
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    rows: Vec<Row>,
    next: u64,
}

impl Model {
    /// Does the same on the store and on the model, and compares what they answer. An error that the rules do not ask
    /// for is returned; the model follows a change whose durability alone is not known, and no other.
    pub fn check(&mut self, operation: &Operation, store: &dyn TokenStore) -> Result<()> {
        let mut next = self.clone();
        let done = match operation {
            Operation::Save(row) => {
                let expected = next.save(row);
                match store.save_token(&row.token()) {
                    Ok(id) => assert_eq!(Ok(id.to_string()), expected, "{row:?}"),
                    Err(Error::Unstorable { why: Unstorable::NothingToStore, .. }) => {
                        assert_eq!(Err(Refusal::NothingToStore), expected, "{row:?}");
                    }
                    Err(Error::Unstorable { why: Unstorable::UserNameTaken, .. }) => {
                        assert_eq!(Err(Refusal::UserNameTaken), expected, "{row:?}");
                    }
                    Err(error) => {
                        if let Error::DurabilityUnknown { id: Some(id), .. } = &error {
                            assert_eq!(Ok(id.to_string()), expected, "{row:?}");
                            *self = next;
                        }
                        return Err(error);
                    }
                }
                Ok(())
            }
            Operation::Find(query) => {
                let found = store.find_token(&query.token())?;
                let stored = store.find_stored(&query.token())?;
                match next.find(query) {
                    Some((laid_over, row)) => {
                        laid_over.assert_is(&found.expect("the query laid over a row"));
                        row.assert_is(&stored.expect("a row"));
                    }
                    None => assert_eq!((found, stored), (None, None)),
                }
                Ok(())
            }
            Operation::Delete(id) => {
                let expected = next.delete(id);
                store.delete_token(&TokenId::from(id.as_str())).map(|deleted| assert_eq!(deleted, expected))
            }
            Operation::DeleteAll => {
                let expected = std::mem::take(&mut next.rows).len();
                store.delete_tokens().map(|deleted| assert_eq!(deleted, expected))
            }
        };
        if matches!(done, Ok(()) | Err(Error::DurabilityUnknown { .. })) {
            *self = next;
        }
        done
    }

    /// Sees that the store holds what the model holds, and nothing else.
    pub fn assert_is_in(&self, store: &dyn TokenStore) -> Result<()> {
        let stored = store.get_tokens()?;
        assert_eq!(stored.len(), self.rows.len());
        for (token, row) in stored.iter().zip(&self.rows) {
            row.assert_is(token);
            let id = token.id().expect("a stored token has an id");
            row.assert_is(&store.find_token_by_id(id)?.expect("a token is found by its id"));
        }
        Ok(())
    }

    fn selected(&self, query: &Row) -> Option<usize> {
        let by = |names: &[&str]| self.rows.iter().position(|row| names.iter().any(|name| row.has_same(name, query)));
        if let Some(found) = by(&["id"]) {
            return Some(found);
        }
        let has = |name| query.get(name).is_some();
        if has("user_name") {
            by(&["user_name"])
        } else if has("access_token") && !has("client_id") && !has("client_secret") {
            by(&["access_token"])
        } else if has("client_id") && has("client_secret") && (has("grant_token") || has("refresh_token")) {
            by(&["grant_token", "refresh_token"])
        } else {
            None
        }
    }

    fn is_taken(&self, name: Option<&String>, except: usize) -> bool {
        let named = self.rows.iter().position(|row| name.is_some() && row.get("user_name") == name);
        named.is_some_and(|place| place != except)
    }

    fn save(&mut self, token: &Row) -> Result<String, Refusal> {
        let Some(place) = self.selected(token) else {
            if !token.is_storable() {
                return Err(Refusal::NothingToStore);
            }
            let mut row = token.clone();
            let id = row.texts.entry("id").or_insert((self.next + 1).to_string()).clone();
            let number = id.parse().ok().filter(|number: &u64| number.to_string() == id);
            self.next = self.next.max(number.unwrap_or(0));
            row.revision = 1;
            self.rows.push(row);
            return Ok(id);
        };
        let mut row = self.rows[place].clone();
        row.lay_over(token);
        row.revision += 1;
        if self.is_taken(row.get("user_name"), place) {
            return Err(Refusal::UserNameTaken);
        }
        self.rows[place] = row;
        Ok(self.rows[place].get("id").expect("a row has an id").clone())
    }

    fn find(&self, query: &Row) -> Option<(Row, Row)> {
        let row = self.rows[self.selected(query)?].clone();
        let mut laid_over = row.clone();
        laid_over.lay_over(query);
        Some((laid_over, row))
    }

    fn delete(&mut self, id: &str) -> bool {
        let before = self.rows.len();
        self.rows.retain(|row| row.get("id").expect("a row has an id") != id);
        before != self.rows.len()
    }
}
