//! A model of the store's operations, written down as plainly as their rules are stated. It shares nothing with the
//! library but the tokens that it is compared by.

use std::{
    collections::BTreeMap,
    fmt,
    time::{Duration, SystemTime},
};

use crate::{Error, Origin, Result, Token, TokenBuilder, TokenId, TokenStore, Unstorable};

/// A row, or what is to be saved: the text fields by name, and the rest.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Row {
    pub texts: BTreeMap<&'static str, String>,
    pub expiry: Expiry,
    /// The other times by name, in milliseconds since 1970.
    pub times: BTreeMap<&'static str, u64>,
    pub failed_refreshes: u32,
    pub scopes: Vec<String>,
    pub attributes: BTreeMap<String, String>,
    /// Of a row: how often it was saved. Of what is to be saved: the revision that it carries; 0 if it carries none.
    pub revision: u64,
    /// Whether it was read from another store: then it is a whole row.
    pub is_of_other_store: bool,
}

/// When the access token expires. A row has no `Unset` expiry.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub enum Expiry {
    #[default]
    Unset,
    Unknown,
    /// Milliseconds since 1970.
    At(u64),
}

impl Row {
    fn get(&self, name: &str) -> Option<&String> {
        self.texts.get(name)
    }

    fn has(&self, name: &str) -> bool {
        self.texts.contains_key(name)
    }

    fn has_same(&self, name: &str, other: &Self) -> bool {
        self.has(name) && self.get(name) == other.get(name)
    }

    /// Lays over what the other sets, apart from the id.
    fn lay_over(&mut self, over: &Self) {
        let id = self.texts.remove("id");
        self.texts.extend(over.texts.clone());
        self.texts.remove("id");
        self.texts.extend(id.map(|id| ("id", id)));
        if over.expiry != Expiry::Unset {
            self.expiry = over.expiry;
        }
        self.times.extend(over.times.clone());
        if over.failed_refreshes > 0 {
            self.failed_refreshes = over.failed_refreshes;
        }
        if !over.scopes.is_empty() {
            self.scopes.clone_from(&over.scopes);
        }
        self.attributes.extend(over.attributes.clone());
    }

    /// What becomes of times and failures where this row follows another, because the given token was saved.
    fn follow_tokens(&mut self, before: &Self, given: &Self) {
        let was_read = given.revision > 0 || given.is_of_other_store;
        for (token, time) in [("access_token", "received_at"), ("refresh_token", "refresh_expires_at")] {
            if self.get(token) == before.get(token) {
                continue;
            }
            let inherited = was_read && given.times.get(time) == before.times.get(time);
            if inherited || !given.times.contains_key(time) {
                self.times.remove(time);
            }
        }
        let is_new = |token| self.has(token) && !self.has_same(token, before);
        if is_new("access_token") || is_new("refresh_token") {
            self.times.remove("rejected_at");
            self.times.remove("retry_at");
            self.failed_refreshes = 0;
        }
    }

    /// A row knows that it has no expiry.
    fn settle_expiry(&mut self) {
        if self.expiry == Expiry::Unset {
            self.expiry = Expiry::Unknown;
        }
    }

    fn is_storable(&self) -> bool {
        ["grant_token", "refresh_token", "access_token"].iter().any(|name| self.has(name))
    }

    /// Sets on the builder what this row sets.
    fn set_on(&self, mut builder: TokenBuilder) -> TokenBuilder {
        let text = |name| self.get(name).cloned();
        let time = |name| self.times.get(name).map(|millis| SystemTime::UNIX_EPOCH + Duration::from_millis(*millis));
        builder = builder
            .maybe_id(text("id"))
            .maybe_user_name(text("user_name"))
            .maybe_client_id(text("client_id"))
            .maybe_client_secret(text("client_secret"))
            .maybe_refresh_token(text("refresh_token"))
            .maybe_access_token(text("access_token"))
            .maybe_grant_token(text("grant_token"))
            .maybe_id_token(text("id_token"))
            .maybe_redirect_url(text("redirect_url"))
            .maybe_api_domain(text("api_domain"))
            .maybe_token_type(text("token_type"))
            .maybe_received_at(time("received_at"))
            .maybe_refresh_expires_at(time("refresh_expires_at"))
            .maybe_rejected_at(time("rejected_at"))
            .maybe_retry_at(time("retry_at"));
        if self.failed_refreshes > 0 {
            builder = builder.failed_refreshes(self.failed_refreshes);
        }
        for (name, value) in &self.attributes {
            builder = builder.attribute(name.clone(), value.clone());
        }
        if !self.scopes.is_empty() {
            builder = builder.scopes(self.scopes.clone());
        }
        match self.expiry {
            Expiry::Unset => builder,
            Expiry::Unknown => builder.expiry_unknown(),
            Expiry::At(millis) => builder.expires_at(SystemTime::UNIX_EPOCH + Duration::from_millis(millis)),
        }
    }

    #[track_caller]
    fn assert_is(&self, token: &Token) {
        let (Some(created), Some(updated)) = (token.created_at(), token.updated_at()) else {
            panic!("a row without its age: {token:?}");
        };
        // Where it was read from makes no difference between tokens.
        let row = self.set_on(Token::builder()).stored(Origin::of("any"), created, updated, self.revision);
        assert_eq!(*token, row.build());
    }
}

/// Where the token that an operation is given comes from.
#[derive(Debug, Clone, Copy, PartialEq, arbitrary::Arbitrary)]
pub enum Source {
    /// It was built from nothing.
    New,
    /// It was read some time ago, and carries the revision of then. Built from nothing, if none was read.
    Read,
    /// The same, without its revision.
    WithoutRevision,
    /// It was read from another store, and carries a revision of that one.
    OtherStore,
}

/// One of the operations. The row of a token that was read is what is changed in it.
#[derive(Debug, Clone)]
pub enum Operation {
    Save(Source, Row),
    Find(Source, Row),
    Replace(Source, Row),
    Delete(String),
    DeleteIf(String, u64),
    DeleteAll,
    /// Reads the token of that id for later.
    Read(String),
}

/// The errors that the rules ask for.
#[derive(Debug, PartialEq)]
enum Refusal {
    NothingToStore,
    UserAndClientTaken,
    OtherClient(String),
    Ambiguous(usize),
    Conflict(u64),
    NoSuchToken,
}

fn refusal(error: &Error) -> Option<Refusal> {
    Some(match error {
        Error::Unstorable { why: Unstorable::NothingToStore } => Refusal::NothingToStore,
        Error::Unstorable { why: Unstorable::UserAndClientTaken } => Refusal::UserAndClientTaken,
        Error::OtherClient { id } => Refusal::OtherClient(id.to_string()),
        Error::Ambiguous { count } => Refusal::Ambiguous(*count),
        Error::Conflict { current } => Refusal::Conflict(*current),
        Error::NoSuchToken => Refusal::NoSuchToken,
        _ => return None,
    })
}

#[derive(Debug, Clone, Default)]
pub struct Model {
    rows: Vec<Row>,
    next: u64,
    /// The token that was read last, as the store gave it and as it was then.
    read: Option<(Token, Row)>,
}

impl Model {
    /// Does the same on the store and on the model, and compares what they answer. An error that the rules do not ask
    /// for is returned; the model follows a change whose durability alone is not known, and no other.
    pub fn check(&mut self, operation: &Operation, store: &dyn TokenStore) -> Result<()> {
        let mut next = self.clone();
        match operation {
            Operation::Save(source, row) => {
                let (token, row) = self.given(*source, row);
                let expected = next.save(&row);
                let answer = store.save_token(&token).map(|id| id.to_string());
                if let (Err(Error::DurabilityUnknown { id, .. }), Ok(expected)) = (&answer, &expected) {
                    assert_eq!(id.as_ref().map(TokenId::as_str), Some(expected.as_str()), "{operation:?}");
                }
                self.follow(next, answer, expected, operation)
            }
            Operation::Find(source, query) => {
                let (token, query) = self.given(*source, query);
                let expected = self.selected(&query).map(|place| place.map(|place| self.rows[place].clone()));
                let found = store.find_token(&token).map(|found| {
                    if let (Ok(Some(row)), Some(found)) = (&expected, &found) {
                        assert_is_laid_over(row, &query, found);
                    }
                    found.is_some()
                });
                let is_found = |expected: &Result<Option<Row>, Refusal>| match expected {
                    Ok(row) => Ok(row.is_some()),
                    Err(Refusal::OtherClient(id)) => Err(Refusal::OtherClient(id.clone())),
                    Err(Refusal::Ambiguous(count)) => Err(Refusal::Ambiguous(*count)),
                    Err(other) => panic!("a find is not refused so: {other:?}"),
                };
                self.follow(next.clone(), found, is_found(&expected), operation)?;
                let stored = store.find_stored(&token).map(|stored| {
                    if let (Ok(Some(row)), Some(stored)) = (&expected, &stored) {
                        row.assert_is(stored);
                    }
                    stored.is_some()
                });
                self.follow(next, stored, is_found(&expected), operation)
            }
            Operation::Replace(source, row) => {
                let (token, row) = self.given(*source, row);
                let expected = next.replace(&row);
                let answer = store.replace_token(&token).map(|replaced| {
                    if let Ok(row) = &expected {
                        row.assert_is(&replaced);
                    }
                });
                self.follow(next, answer, expected.map(drop), operation)
            }
            Operation::Delete(id) => {
                let expected = next.delete(id);
                self.follow(next, store.delete_token(&TokenId::from(id.as_str())), Ok(expected), operation)
            }
            Operation::DeleteIf(id, revision) => {
                let expected = next.delete_if(id, *revision);
                let answer = store.delete_token_if(&TokenId::from(id.as_str()), *revision);
                self.follow(next, answer, expected, operation)
            }
            Operation::DeleteAll => {
                let expected = std::mem::take(&mut next.rows).len();
                self.follow(next, store.delete_tokens(), Ok(expected), operation)
            }
            Operation::Read(id) => {
                let token = store.find_token_by_id(&TokenId::from(id.as_str()))?;
                let row = self.rows.iter().find(|row| row.get("id") == Some(id)).cloned();
                assert_eq!(token.is_some(), row.is_some(), "{operation:?}");
                if let Some((token, row)) = token.zip(row) {
                    row.assert_is(&token);
                    self.read = Some((token, row));
                }
                Ok(())
            }
        }
    }

    /// Compares the answers, and takes the next state if the change was made.
    fn follow<T: PartialEq + fmt::Debug>(
        &mut self,
        next: Self,
        answer: Result<T>,
        expected: Result<T, Refusal>,
        operation: &Operation,
    ) -> Result<()> {
        let error = match answer {
            Ok(answer) => {
                assert_eq!(Ok(answer), expected, "{operation:?}");
                *self = next;
                return Ok(());
            }
            Err(error) => error,
        };
        match refusal(&error) {
            Some(refusal) => {
                assert_eq!(Err(refusal), expected, "{operation:?}");
                Ok(())
            }
            None => {
                if let Error::DurabilityUnknown { .. } = error {
                    assert!(expected.is_ok(), "{operation:?}: made, though {expected:?}");
                    *self = next;
                }
                Err(error)
            }
        }
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

    /// The token that an operation is given, and the same as a row.
    fn given(&self, source: Source, row: &Row) -> (Token, Row) {
        let built = || (row.set_on(Token::builder()).build(), Row { revision: 0, ..row.clone() });
        match (source, &self.read) {
            (Source::New, _) | (Source::Read | Source::WithoutRevision, None) => built(),
            (Source::OtherStore, _) => {
                let (_, mut row) = built();
                let then = SystemTime::UNIX_EPOCH;
                let token = row.set_on(Token::builder()).stored(Origin::of("another store"), then, then, 1).build();
                row.settle_expiry();
                row.is_of_other_store = true;
                (token, row)
            }
            (Source::Read | Source::WithoutRevision, Some((read, read_row))) => {
                let (mut token, mut given) = (read.clone(), read_row.clone());
                if source == Source::WithoutRevision {
                    token = token.without_revision();
                    given.revision = 0;
                }
                given.lay_over(row);
                if let Some(id) = row.get("id").filter(|id| Some(*id) != given.get("id")) {
                    // A revision counts for one row only.
                    given.texts.insert("id", id.clone());
                    given.revision = 0;
                }
                (row.set_on(token.to_builder()).build(), given)
            }
        }
    }

    /// Section 3 of the design, rule by rule.
    fn selected(&self, query: &Row) -> Result<Option<usize>, Refusal> {
        let first = |is_meant: &dyn Fn(&Row) -> bool| self.rows.iter().position(is_meant);

        // 1. An id that is stored.
        if let Some(place) = first(&|row| row.has_same("id", query)) {
            self.refuse_other_client(place, query)?;
            return Ok(Some(place));
        }
        // Another store's row: the same user name and client id, or nothing.
        if query.is_of_other_store {
            let same_client = |row: &Row| row.get("client_id") == query.get("client_id");
            return Ok(first(&|row| row.has_same("user_name", query) && same_client(row)));
        }
        // 2. A user name, with a client id or without one.
        if query.has("user_name") {
            let of_user = |row: &Row| row.has_same("user_name", query);
            if query.has("client_id") {
                let of_client = first(&|row| of_user(row) && row.has_same("client_id", query));
                let of_nobody = first(&|row| of_user(row) && !row.has("client_id") && !row.has("client_secret"));
                return Ok(of_client.or(of_nobody));
            }
            return match self.rows.iter().filter(|row| of_user(row)).count() {
                0 | 1 => Ok(first(&of_user)),
                count => Err(Refusal::Ambiguous(count)),
            };
        }
        // 3. An access token without client credentials.
        if query.has("access_token") && !query.has("client_id") && !query.has("client_secret") {
            return Ok(first(&|row| row.has_same("access_token", query)));
        }
        // 4. A client id with a grant token or a refresh token.
        if query.has("client_id") && (query.has("grant_token") || query.has("refresh_token")) {
            return Ok(first(&|row| {
                row.has_same("client_id", query)
                    && (row.has_same("grant_token", query) || row.has_same("refresh_token", query))
            }));
        }
        // 5. Nothing.
        Ok(None)
    }

    fn refuse_other_client(&self, place: usize, token: &Row) -> Result<(), Refusal> {
        let row = &self.rows[place];
        let is_same = row.has_same("client_id", token);
        let is_nobodys = !row.has("client_id") && !row.has("client_secret");
        if token.has("client_id") && !is_same && !is_nobodys {
            return Err(Refusal::OtherClient(row.get("id").expect("a row has an id").clone()));
        }
        Ok(())
    }

    /// The row of the token's id.
    fn of_id(&self, token: &Row) -> Result<usize, Refusal> {
        self.rows.iter().position(|row| row.has_same("id", token)).ok_or(Refusal::NoSuchToken)
    }

    /// The row of the token's id, if it still has the token's revision.
    fn of_revision(&self, token: &Row) -> Result<usize, Refusal> {
        let place = self.of_id(token)?;
        match self.rows[place].revision {
            current if current == token.revision => Ok(place),
            current => Err(Refusal::Conflict(current)),
        }
    }

    /// Puts a row in place of an earlier revision of it.
    fn put(&mut self, place: usize, mut row: Row) -> Result<(), Refusal> {
        let before = &self.rows[place];
        row.revision = before.revision + 1;
        row.is_of_other_store = false;
        row.texts.insert("id", before.get("id").expect("a row has an id").clone());
        row.settle_expiry();
        if !row.is_storable() {
            return Err(Refusal::NothingToStore);
        }
        let others = self.rows.iter().enumerate().filter(|(other, _)| *other != place);
        for (_, other) in others {
            if row.has_same("user_name", other) && row.get("client_id") == other.get("client_id") {
                return Err(Refusal::UserAndClientTaken);
            }
        }
        self.rows[place] = row;
        Ok(())
    }

    fn save(&mut self, token: &Row) -> Result<String, Refusal> {
        let place = if token.revision > 0 {
            let place = self.of_revision(token)?;
            self.refuse_other_client(place, token)?;
            Some(place)
        } else {
            self.selected(token)?
        };
        if let Some(place) = place {
            let mut row = self.rows[place].clone();
            row.lay_over(token);
            row.follow_tokens(&self.rows[place], token);
            self.put(place, row)?;
            return Ok(self.rows[place].get("id").expect("a row has an id").clone());
        }
        if !token.is_storable() {
            return Err(Refusal::NothingToStore);
        }
        let mut row = Row { revision: 1, is_of_other_store: false, ..token.clone() };
        row.settle_expiry();
        let id = row.texts.entry("id").or_insert((self.next + 1).to_string()).clone();
        let number = id.parse().ok().filter(|number: &u64| number.to_string() == id);
        self.next = self.next.max(number.unwrap_or(0));
        self.rows.push(row);
        Ok(id)
    }

    fn replace(&mut self, token: &Row) -> Result<Row, Refusal> {
        let place = if token.revision > 0 { self.of_revision(token)? } else { self.of_id(token)? };
        let mut row = token.clone();
        row.follow_tokens(&self.rows[place], token);
        self.put(place, row)?;
        Ok(self.rows[place].clone())
    }

    fn delete(&mut self, id: &str) -> bool {
        let before = self.rows.len();
        self.rows.retain(|row| row.get("id").expect("a row has an id") != id);
        before != self.rows.len()
    }

    fn delete_if(&mut self, id: &str, revision: u64) -> Result<bool, Refusal> {
        match self.rows.iter().find(|row| row.get("id").expect("a row has an id") == id) {
            Some(row) if row.revision != revision => Err(Refusal::Conflict(row.revision)),
            _ => Ok(self.delete(id)),
        }
    }
}

/// Sees that what a find returns is the row with the query laid over it, and the row itself if that changes nothing.
#[track_caller]
fn assert_is_laid_over(row: &Row, query: &Row, found: &Token) {
    let mut laid_over = row.clone();
    laid_over.lay_over(query);
    laid_over.follow_tokens(row, query);
    if laid_over == *row {
        row.assert_is(found);
    } else {
        assert_eq!(*found, laid_over.set_on(Token::builder()).build());
    }
}
