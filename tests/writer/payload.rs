//! What is inside: payload, ancestors, records.

use ring::digest::{SHA256, digest};

use super::length;

/// *Payload*, in pieces that have names, so that each can be made wrong: `record 0 user_name` is that text's bytes,
/// with `record 0 user_name length` before them and `record 0 user_name option` before that.
pub(crate) struct Payload(Vec<(String, Vec<u8>)>);

#[derive(Clone, Copy)]
pub(crate) struct Ancestor {
    pub(crate) salt: [u8; 8],
    pub(crate) record_count: u32,
    pub(crate) tag: [u8; 8],
}

impl Ancestor {
    /// *Lineage*: the mark of a file.
    pub(crate) fn of(file: &[u8]) -> Self {
        let tag = file.len() - 16;
        let bytes = |at: usize| file[at..at + 8].try_into().unwrap();
        Self { salt: bytes(40), record_count: 0, tag: bytes(tag) }
    }

    /// The marks of files that nobody has, for the ancestors of this generation of a store.
    pub(crate) fn made_up(store_id: &[u8; 16], generation: u64) -> Vec<Self> {
        let made_up = |generation: u64| {
            let bytes = digest(&SHA256, &[&store_id[..], &generation.to_le_bytes()].concat());
            let (salt, rest) = bytes.as_ref().split_at(8);
            Self { salt: salt.try_into().unwrap(), record_count: 0, tag: rest[..8].try_into().unwrap() }
        };
        (generation.saturating_sub(64).max(1)..generation).map(made_up).collect()
    }
}

#[derive(Clone, Copy)]
pub(crate) struct Record<'a> {
    pub(crate) namespace: &'a str,
    pub(crate) id: &'a str,
    /// Those of the optional texts that it has.
    pub(crate) texts: &'a [(&'a str, &'a str)],
    /// Those of the optional times that it has.
    pub(crate) times: &'a [(&'a str, u64)],
    pub(crate) failures: u32,
    pub(crate) scopes: &'a [&'a str],
    pub(crate) attributes: &'a [(&'a str, &'a str)],
    pub(crate) created_at: u64,
    pub(crate) updated_at: u64,
    pub(crate) revision: u64,
}

impl<'a> Record<'a> {
    /// One of the default namespace that was saved once.
    pub(crate) fn new(id: &'a str, texts: &'a [(&'a str, &'a str)]) -> Self {
        Self {
            namespace: "",
            id,
            texts,
            times: &[],
            failures: 0,
            scopes: &[],
            attributes: &[],
            created_at: 1_800_000_000_001,
            updated_at: 1_800_000_000_001,
            revision: 1,
        }
    }
}

pub(crate) const TEXTS_BEFORE_TIMES: [&str; 7] =
    ["user_name", "client_id", "client_secret", "refresh_token", "access_token", "grant_token", "id_token"];
pub(crate) const TIMES: [&str; 5] = ["expires_at", "received_at", "refresh_expires_at", "rejected_at", "retry_at"];
pub(crate) const TEXTS_AFTER_TIMES: [&str; 3] = ["redirect_url", "api_domain", "token_type"];

impl Payload {
    pub(crate) fn new(next_id: u64, ancestors: &[Ancestor], records: &[Record<'_>]) -> Self {
        Self::with_tags(next_id, ancestors, &[], records)
    }

    /// With the tags of the last journal records of the last ancestor.
    pub(crate) fn with_tags(
        next_id: u64,
        ancestors: &[Ancestor],
        record_tags: &[[u8; 8]],
        records: &[Record<'_>],
    ) -> Self {
        let mut payload = Self(Vec::new());
        payload.push("schema", 1_u32.to_le_bytes());
        payload.number("next_id", next_id);
        payload.number("ancestors", length(ancestors.len()));
        for (n, ancestor) in ancestors.iter().enumerate() {
            payload.push(format!("ancestor {n} salt"), ancestor.salt);
            payload.push(format!("ancestor {n} record_count"), ancestor.record_count.to_le_bytes());
            payload.push(format!("ancestor {n} tag"), ancestor.tag);
        }
        payload.number("record_tags", length(record_tags.len()));
        for (n, tag) in record_tags.iter().enumerate() {
            payload.push(format!("record_tag {n}"), tag);
        }
        payload.records(records);
        payload
    }

    /// The payload of a journal record.
    pub(crate) fn of_journal(next_id: u64, records: &[Record<'_>]) -> Self {
        let mut payload = Self(Vec::new());
        payload.number("next_id", next_id);
        payload.records(records);
        payload
    }

    fn records(&mut self, records: &[Record<'_>]) {
        self.number("records", length(records.len()));
        for (n, record) in records.iter().enumerate() {
            self.record(&format!("record {n}"), record);
        }
    }

    /// The record of a row, whose pieces have the names of a payload's first record.
    pub(crate) fn of_row(record: &Record<'_>) -> Self {
        let mut payload = Self(Vec::new());
        payload.record("record 0", record);
        payload
    }

    fn record(&mut self, name: &str, record: &Record<'_>) {
        self.text(&format!("{name} namespace"), record.namespace);
        self.text(&format!("{name} id"), record.id);
        let text = |field: &str| record.texts.iter().find(|(name, _)| *name == field).map(|(_, text)| *text);
        for field in TEXTS_BEFORE_TIMES {
            self.option(&format!("{name} {field}"), text(field), Self::text);
        }
        for field in TIMES {
            let time = record.times.iter().find(|(name, _)| *name == field).map(|(_, time)| *time);
            self.option(&format!("{name} {field}"), time, |payload, name, time| payload.number(name, time));
        }
        self.push(format!("{name} failures"), record.failures.to_le_bytes());
        for field in TEXTS_AFTER_TIMES {
            self.option(&format!("{name} {field}"), text(field), Self::text);
        }
        self.number(format!("{name} scopes"), length(record.scopes.len()));
        for (n, scope) in record.scopes.iter().enumerate() {
            self.text(&format!("{name} scope {n}"), scope);
        }
        self.number(format!("{name} attributes"), length(record.attributes.len()));
        for (n, (attribute, value)) in record.attributes.iter().enumerate() {
            self.text(&format!("{name} attribute {n} name"), attribute);
            self.text(&format!("{name} attribute {n} value"), value);
        }
        self.number(format!("{name} created_at"), record.created_at);
        self.number(format!("{name} updated_at"), record.updated_at);
        self.number(format!("{name} revision"), record.revision);
    }

    fn option<T>(&mut self, name: &str, value: Option<T>, write: impl FnOnce(&mut Self, &str, T)) {
        self.push(format!("{name} option"), [u8::from(value.is_some())]);
        if let Some(value) = value {
            write(self, name, value);
        }
    }

    fn text(&mut self, name: &str, text: &str) {
        self.number(format!("{name} length"), length(text.len()));
        self.push(name, text);
    }

    fn number(&mut self, name: impl Into<String>, number: u64) {
        self.push(name, number.to_le_bytes());
    }

    fn push(&mut self, name: impl Into<String>, bytes: impl AsRef<[u8]>) {
        self.0.push((name.into(), bytes.as_ref().to_vec()));
    }

    pub(super) fn bytes(&self) -> Vec<u8> {
        self.0.iter().flat_map(|(_, bytes)| bytes).copied().collect()
    }

    #[track_caller]
    fn place(&self, name: &str) -> usize {
        self.0.iter().position(|(piece, _)| piece == name).unwrap_or_else(|| panic!("no piece is called {name}"))
    }

    /// How long it is.
    pub(crate) fn len(&self) -> usize {
        self.bytes().len()
    }

    /// How many bytes the texts of a record have that count for the limit of all of them.
    pub(crate) fn len_of_texts(&self, record: &str) -> usize {
        let is_text = |name: &str| self.0.iter().any(|(piece, _)| *piece == format!("{name} length"));
        let counts = |name: &str| name.starts_with(record) && !name.ends_with(" namespace") && is_text(name);
        self.0.iter().filter(|(name, _)| counts(name)).map(|(_, bytes)| bytes.len()).sum()
    }

    /// A number as it stands there.
    #[track_caller]
    pub(crate) fn get(&self, name: &str) -> u64 {
        u64::from_le_bytes(self.0[self.place(name)].1[..].try_into().unwrap())
    }

    /// Other bytes in the place of a piece, of any length.
    #[track_caller]
    pub(crate) fn set(&mut self, name: &str, bytes: impl AsRef<[u8]>) {
        let place = self.place(name);
        self.0[place].1 = bytes.as_ref().to_vec();
    }

    #[track_caller]
    pub(crate) fn set_number(&mut self, name: &str, number: u64) {
        self.set(name, number.to_le_bytes());
    }

    /// Another text, with its length.
    #[track_caller]
    pub(crate) fn set_text(&mut self, name: &str, text: impl AsRef<[u8]>) {
        self.set_number(&format!("{name} length"), length(text.as_ref().len()));
        self.set(name, text);
    }

    /// Makes an optional text that is absent present.
    #[track_caller]
    pub(crate) fn fill_text(&mut self, name: &str, text: &str) {
        let option = format!("{name} option");
        assert_eq!(self.0[self.place(&option)].1, [0], "{name} is there");
        self.set(&option, [&[1], &length(text.len()).to_le_bytes()[..], text.as_bytes()].concat());
    }

    /// Makes an optional text that is present absent.
    #[track_caller]
    pub(crate) fn clear_text(&mut self, name: &str) {
        self.set(&format!("{name} option"), [0]);
        self.set(&format!("{name} length"), []);
        self.set(name, []);
    }

    /// Takes out all pieces whose name starts so.
    pub(crate) fn remove(&mut self, start: &str) {
        self.0.retain(|(name, _)| !name.starts_with(start));
    }

    /// Repeats all pieces whose name starts so, after the last of them.
    pub(crate) fn repeat(&mut self, start: &str) {
        let last = self.0.iter().rposition(|(name, _)| name.starts_with(start)).unwrap();
        let repeated: Vec<_> = self.0.iter().filter(|(name, _)| name.starts_with(start)).cloned().collect();
        self.0.splice(last + 1..last + 1, repeated);
    }

    /// Ends before a piece.
    #[track_caller]
    pub(crate) fn end_before(&mut self, name: &str) {
        self.0.truncate(self.place(name));
    }

    pub(crate) fn append(&mut self, bytes: &[u8]) {
        self.push("the end", bytes);
    }
}
