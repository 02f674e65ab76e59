//! A row of the model.

use std::{
    collections::BTreeMap,
    time::{Duration, SystemTime},
};

use crate::{Origin, Token, TokenBuilder};

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
    pub(super) fn get(&self, name: &str) -> Option<&String> {
        self.texts.get(name)
    }

    pub(super) fn has(&self, name: &str) -> bool {
        self.texts.contains_key(name)
    }

    pub(super) fn has_same(&self, name: &str, other: &Self) -> bool {
        self.has(name) && self.get(name) == other.get(name)
    }

    /// Lays over what the other sets, apart from the id.
    pub(super) fn lay_over(&mut self, over: &Self) {
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
    pub(super) fn follow_tokens(&mut self, before: &Self, given: &Self) {
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
    pub(super) fn settle_expiry(&mut self) {
        if self.expiry == Expiry::Unset {
            self.expiry = Expiry::Unknown;
        }
    }

    pub(super) fn is_storable(&self) -> bool {
        ["grant_token", "refresh_token", "access_token"].iter().any(|name| self.has(name))
    }

    /// Sets on the builder what this row sets.
    pub(super) fn set_on(&self, mut builder: TokenBuilder) -> TokenBuilder {
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
    pub(super) fn assert_is(&self, token: &Token) {
        let (Some(created), Some(updated)) = (token.created_at(), token.updated_at()) else {
            panic!("a row without its age: {token:?}");
        };
        // Where it was read from makes no difference between tokens.
        let row = self.set_on(Token::builder()).stored(Origin::of("any"), created, updated, self.revision);
        assert_eq!(*token, row.build());
    }
}
