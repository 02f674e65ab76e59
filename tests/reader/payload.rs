//! *Payload*, and the rules for it.

use std::collections::HashSet;

use serde_json::{Map, Value, json};

use super::hex;

/// The end of the year 9999.
pub(super) const LAST_TIME: u64 = 253_402_300_799_999;

/// What a body holds, and then the journal changes.
pub(super) struct Contents {
    next_id: u64,
    ancestors: Vec<Value>,
    record_tags: Vec<String>,
    tokens: Vec<Value>,
}

fn namespace(token: &Value) -> &str {
    token["namespace"].as_str().unwrap_or_default()
}

fn is_by_namespace(tokens: &[Value]) -> bool {
    tokens.is_sorted_by_key(namespace)
}

impl Contents {
    /// The rules for records beside each other.
    fn is_right(&self) -> bool {
        let (mut ids, mut users) = (HashSet::new(), HashSet::new());
        for token in &self.tokens {
            let id = token["id"].as_str().unwrap();
            let is_new = ids.insert((namespace(token), id));
            let user = |user_name| (namespace(token), user_name, token["client_id"].as_str());
            let is_new_user = token["user_name"].as_str().is_none_or(|user_name| users.insert(user(user_name)));
            if !is_new || !is_new_user || chosen_id(id).is_some_and(|number| number >= self.next_id) {
                return false;
            }
        }
        (1..=1 << 63).contains(&self.next_id) && is_by_namespace(&self.tokens)
    }

    /// *Contents of a journal record*; `None` if it breaks a rule.
    pub(super) fn put(&mut self, next_id: u64, records: Vec<Value>) -> Option<()> {
        let ids: HashSet<_> = records.iter().map(|record| (namespace(record), record["id"].as_str())).collect();
        if next_id < self.next_id || ids.len() < records.len() || !is_by_namespace(&records) {
            return None;
        }
        self.next_id = next_id;
        for record in records {
            let is_it = |token: &&mut Value| namespace(token) == namespace(&record) && token["id"] == record["id"];
            match self.tokens.iter_mut().find(is_it) {
                Some(token) => {
                    let [before, after] = [&*token, &record].map(|record| record["revision"].as_u64().unwrap());
                    if after <= before && after < u64::MAX {
                        return None;
                    }
                    *token = record;
                }
                None => {
                    let end = self.tokens.partition_point(|token| namespace(token) <= namespace(&record));
                    self.tokens.insert(end, record);
                }
            }
        }
        self.is_right().then_some(())
    }

    /// As the JSON files have it.
    pub(super) fn describe(self) -> Value {
        let Self { next_id, ancestors, record_tags, tokens } = self;
        json!({"next_id": next_id, "ancestors": ancestors, "record_tags": record_tags, "tokens": tokens})
    }
}

/// Read off the front. Each function gives `None` for what breaks a rule.
pub(super) struct Payload<'a> {
    rest: &'a [u8],
    /// How long the texts of the record are together that is being read.
    texts_len: usize,
}

impl<'a> Payload<'a> {
    pub(super) fn of(bytes: &'a [u8]) -> Self {
        Self { rest: bytes, texts_len: 0 }
    }

    /// The payload of a body.
    pub(super) fn contents(mut self, generation: u64) -> Option<Contents> {
        let (schema, next_id) = (self.u32()?, self.u64()?);
        let ancestors = self.list(Self::ancestor)?;
        let record_tags = self.list(|payload| Some(hex(payload.take(8)?)))?;
        let tokens = self.list(Self::record)?;
        let count = u64::try_from(ancestors.len()).unwrap();
        if schema != 1 || !self.rest.is_empty() || count != (generation - 1).min(64) {
            return None;
        }
        let last = ancestors.last();
        let count = last.map_or(0, |ancestor| ancestor["record_count"].as_u64().unwrap()).min(256);
        let tags_are_right = u64::try_from(record_tags.len()).unwrap() == count
            && record_tags.last().is_none_or(|tag| last.is_some_and(|ancestor| ancestor["tag"] == tag[..]));
        let contents = Contents { next_id, ancestors, record_tags, tokens };
        (tags_are_right && contents.is_right()).then_some(contents)
    }

    /// The payload of a journal record: next_id and the records.
    pub(super) fn changed(mut self) -> Option<(u64, Vec<Value>)> {
        let (next_id, records) = (self.u64()?, self.list(Self::record)?);
        (self.rest.is_empty() && !records.is_empty()).then_some((next_id, records))
    }

    /// A record, and nothing after it.
    pub(super) fn only_record(mut self) -> Option<Value> {
        let record = self.record()?;
        self.rest.is_empty().then_some(record)
    }

    fn take(&mut self, n: usize) -> Option<&'a [u8]> {
        let (taken, rest) = self.rest.split_at_checked(n)?;
        self.rest = rest;
        Some(taken)
    }

    fn u32(&mut self) -> Option<u32> {
        Some(u32::from_le_bytes(self.take(4)?.try_into().unwrap()))
    }

    fn u64(&mut self) -> Option<u64> {
        Some(u64::from_le_bytes(self.take(8)?.try_into().unwrap()))
    }

    fn text(&mut self) -> Option<&'a str> {
        let len = self.u64()?.try_into().ok()?;
        std::str::from_utf8(self.take(len)?).ok()
    }

    /// One that counts for the limits of a record.
    fn text_of_record(&mut self) -> Option<&'a str> {
        let text = self.text()?;
        self.texts_len += text.len();
        (1..=65_536).contains(&text.len()).then_some(text)
    }

    fn time(&mut self) -> Option<u64> {
        self.u64().filter(|time| *time <= LAST_TIME)
    }

    /// The outer one is for a broken rule.
    fn option<T>(&mut self, read: fn(&mut Self) -> Option<T>) -> Option<Option<T>> {
        match self.take(1)? {
            [0] => Some(None),
            [1] => Some(Some(read(self)?)),
            _ => None,
        }
    }

    fn list<T>(&mut self, read: fn(&mut Self) -> Option<T>) -> Option<Vec<T>> {
        (0..self.u64()?).map(|_| read(self)).collect()
    }

    fn ancestor(&mut self) -> Option<Value> {
        let (salt, record_count, tag) = (self.take(8)?, self.u32()?, self.take(8)?);
        Some(json!({"salt": hex(salt), "record_count": record_count, "tag": hex(tag)}))
    }

    fn record(&mut self) -> Option<Value> {
        let mut record = Map::new();
        let mut set = |name: &str, value: Value| record.insert(name.into(), value);
        self.texts_len = 0;
        let namespace = self.text().filter(|namespace| namespace.len() <= 256)?;
        if !namespace.is_empty() {
            set("namespace", namespace.into());
        }
        set("id", self.text_of_record()?.into());
        let secrets = ["client_secret", "refresh_token", "access_token", "grant_token", "id_token"];
        for name in ["user_name", "client_id"].into_iter().chain(secrets) {
            self.option(Self::text_of_record)?.map(|text| set(name, text.into()));
        }
        for name in ["expires_at", "received_at", "refresh_expires_at", "rejected_at", "retry_at"] {
            self.option(Self::time)?.map(|time| set(name, time.into()));
        }
        Some(self.u32()?).filter(|failures| *failures > 0).map(|failures| set("failures", failures.into()));
        for name in ["redirect_url", "api_domain", "token_type"] {
            self.option(Self::text_of_record)?.map(|text| set(name, text.into()));
        }
        let scopes = self.list(Self::text_of_record)?;
        let scopes_differ = scopes.iter().collect::<HashSet<_>>().len() == scopes.len();
        set("scopes", scopes.into());
        let attributes = self.list(|payload| Some((payload.text_of_record()?, payload.text_of_record()?)))?;
        let in_order = attributes.is_sorted_by(|one, next| one.0 < next.0);
        let attributes = attributes.into_iter().map(|(name, value)| (name.to_owned(), Value::from(value)));
        set("attributes", attributes.collect::<Map<_, _>>().into());
        set("created_at", self.time()?.into());
        set("updated_at", self.time()?.into());
        let revision = self.u64()?;
        set("revision", revision.into());
        let has_a_token =
            ["refresh_token", "access_token", "grant_token"].iter().any(|name| record.contains_key(*name));
        let is_right = scopes_differ && in_order && revision > 0 && has_a_token && self.texts_len <= 262_144;
        is_right.then(|| record.into())
    }
}

/// The number of an id that the store may have chosen.
fn chosen_id(id: &str) -> Option<u64> {
    let number = id.parse().ok().filter(|number: &u64| (1..1 << 63).contains(number))?;
    (number.to_string() == id).then_some(number)
}
