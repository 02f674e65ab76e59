//! A writer of the format, written from `docs/format.md` and sharing no code with the library. It writes what it is
//! told to, sound or not, and the same bytes each time: what should be random is made of what it is for. Its steps are
//! those of the document, by their headings.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use argon2::{Algorithm, Argon2, Params, Version};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest::{SHA256, digest},
    hmac,
};

use serde_json::{Value, json};

use crate::reader::{hex, hkdf};

/// A file that is yet to be sealed. Where a field is `None`, the file has what it should have there.
pub(crate) struct Draft {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u16,
    pub(crate) slot_count: Option<u16>,
    pub(crate) header_len: Option<u32>,
    pub(crate) body_len: Option<u64>,
    pub(crate) required_features: u32,
    pub(crate) reserved: [u8; 4],
    pub(crate) store_id: [u8; 16],
    /// The payload has an ancestor for each generation before it, up to 64.
    pub(crate) generation: u64,
    pub(crate) body_commitment: Option<[u8; 32]>,
    pub(crate) key_id: Option<[u8; 8]>,
    pub(crate) slots: Vec<Slot>,
    /// What the slots hold.
    pub(crate) store_key: [u8; 32],
    /// What the body is sealed with, if not with that.
    pub(crate) body_store_key: Option<[u8; 32]>,
    pub(crate) payload: Payload,
    /// Has the padded plaintext before it is sealed.
    pub(crate) alter_plaintext: Alter,
}

pub(crate) type Alter = Box<dyn Fn(&mut Vec<u8>)>;

#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) kind: u8,
    pub(crate) argon2_version: u8,
    pub(crate) reserved: [u8; 2],
    pub(crate) m_kib: u32,
    pub(crate) t: u32,
    pub(crate) p: u32,
    pub(crate) slot_id: [u8; 16],
    pub(crate) secret: SlotSecret,
    /// The store that it is bound to, if not to the one that it is in.
    pub(crate) store_id: Option<[u8; 16]>,
    /// The store key that it is bound to by its id, if not to the one that it holds.
    pub(crate) key_id: Option<[u8; 8]>,
    /// What it holds, if not what the others hold.
    pub(crate) store_key: Option<[u8; 32]>,
    /// Whether the tag of what it holds is wrong, and all before it right.
    pub(crate) has_a_wrong_tag: bool,
    /// Whether a passphrase is derived at a higher cost than the least. The bad files ask for absurd costs.
    pub(crate) derives_at_any_cost: bool,
}

#[derive(Clone)]
pub(crate) enum SlotSecret {
    Passphrase(String),
    Key([u8; 32]),
}

/// What a slot is sealed with on the way.
struct SlotValues {
    k: [u8; 32],
    wrapping_key: Vec<u8>,
    commitment: Vec<u8>,
}

/// The least that is allowed.
const LEAST_COST: [u32; 3] = [7168, 5, 1];

impl Slot {
    pub(crate) fn passphrase(slot_id: u8, passphrase: impl Into<String>) -> Self {
        let [m_kib, t, p] = LEAST_COST;
        let secret = SlotSecret::Passphrase(passphrase.into());
        Self { kind: 1, argon2_version: 0x13, m_kib, t, p, ..Self::of_key(1, slot_id, secret) }
    }

    pub(crate) fn keychain(slot_id: u8, key: [u8; 32]) -> Self {
        Self::of_key(2, slot_id, SlotSecret::Key(key))
    }

    pub(crate) fn recovery_key(slot_id: u8, key: [u8; 32]) -> Self {
        Self::of_key(3, slot_id, SlotSecret::Key(key))
    }

    fn of_key(kind: u8, slot_id: u8, secret: SlotSecret) -> Self {
        Self {
            kind,
            argon2_version: 0,
            reserved: [0; 2],
            m_kib: 0,
            t: 0,
            p: 0,
            slot_id: [slot_id; 16],
            secret,
            store_id: None,
            key_id: None,
            store_key: None,
            has_a_wrong_tag: false,
            derives_at_any_cost: false,
        }
    }

    fn cost(&self) -> [u32; 3] {
        [self.m_kib, self.t, self.p]
    }

    /// *Unlocking*, the other way round.
    fn seal(&self, store_id: &[u8; 16], key_id: &[u8; 8], store_key: &[u8; 32]) -> (Vec<u8>, SlotValues) {
        // As for a slot of the first generation, so that it is the same in all others.
        let random = in_place_of_random_bytes(&self.slot_id);
        let salt = salt(store_key, SLOT_SALT, &random, 1, &self.slot_id);
        let mut slot = vec![self.kind, self.argon2_version];
        slot.extend(self.reserved);
        slot.extend(self.cost().map(u32::to_le_bytes).concat());
        slot.extend(self.slot_id);
        slot.extend(salt);
        let (store_id, key_id) = (self.store_id.unwrap_or(*store_id), self.key_id.unwrap_or(*key_id));
        let k = self.k(&salt);
        let derived = hkdf(&salt, &k, &[b"tokenkeep v1 slot\0", &store_id[..], &key_id, &slot].concat(), 64);
        let (wrapping_key, commitment) = derived.split_at(32);
        slot.extend(commitment);
        let mut wrapped_key = seal(wrapping_key, b"", &self.store_key.unwrap_or(*store_key));
        wrapped_key[47] ^= u8::from(self.has_a_wrong_tag);
        slot.extend(wrapped_key);
        (slot, SlotValues { k, wrapping_key: wrapping_key.to_vec(), commitment: commitment.to_vec() })
    }

    fn k(&self, salt: &[u8; 32]) -> [u8; 32] {
        /// Deriving is slow, and most files have one and the same slot.
        static DERIVED: LazyLock<Mutex<HashMap<Derived, [u8; 32]>>> = LazyLock::new(Mutex::default);
        match &self.secret {
            SlotSecret::Key(key) => *key,
            SlotSecret::Passphrase(_) if self.cost() != LEAST_COST && !self.derives_at_any_cost => [0; 32],
            SlotSecret::Passphrase(text) => {
                let derive = || {
                    let [m_kib, t, p] = self.cost();
                    let params = Params::new(m_kib, t, p, Some(32)).unwrap();
                    let salt = [b"tokenkeep v1 argon2id\0", &salt[..]].concat();
                    let mut k = [0; 32];
                    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                    argon2.hash_password_into(text.as_bytes(), &salt, &mut k).unwrap();
                    k
                };
                let of = (text.clone(), *salt, self.cost());
                *DERIVED.lock().unwrap().entry(of).or_insert_with(derive)
            }
        }
    }
}

/// A passphrase, a salt and a cost.
type Derived = (String, [u8; 32], [u32; 3]);

impl Draft {
    pub(crate) fn seal(&self) -> Vec<u8> {
        self.seal_with_values().0
    }

    /// *Salts*: the order of writing a file. The values are the `values` of *Samples*.
    pub(crate) fn seal_with_values(&self) -> (Vec<u8>, Value) {
        let plaintext = self.plaintext();
        let body_key = self.body_store_key.unwrap_or(self.store_key);
        let plaintext_hash = digest(&SHA256, &plaintext);
        let random = in_place_of_random_bytes(b"body");
        let salt = salt(&body_key, BODY_SALT, &random, self.generation, plaintext_hash.as_ref());

        let key_id = self.key_id();
        let mut header = self.prologue(length(plaintext.len() + 16), &salt);
        let mut slots = Vec::new();
        for slot in &self.slots {
            let (bytes, values) = slot.seal(&self.store_id, &key_id, &self.store_key);
            header.extend(bytes);
            slots.push(values);
        }
        let h = digest(&SHA256, &header);
        let derived = hkdf(&salt, &body_key, &[b"tokenkeep v1 body\0", h.as_ref()].concat(), 64);
        let commitment = self.body_commitment.unwrap_or(derived[32..].try_into().unwrap());
        header[88..120].copy_from_slice(&commitment);
        header.extend(digest(&SHA256, &header).as_ref());
        let body = seal(&derived[..32], &header, &plaintext);
        let of_slots = |value: fn(&SlotValues) -> &[u8]| -> Vec<_> { slots.iter().map(value).map(hex).collect() };
        let values = json!({
            "k": of_slots(|slot| &slot.k),
            "wrapping_key": of_slots(|slot| &slot.wrapping_key),
            "slot_commitment": of_slots(|slot| &slot.commitment),
            "store_key": hex(&self.store_key),
            "h": hex(h.as_ref()),
            "body_key": hex(&derived[..32]),
            "body_commitment": hex(&commitment),
            "plaintext_hash": hex(plaintext_hash.as_ref()),
        });
        ([header, body].concat(), values)
    }

    fn key_id(&self) -> [u8; 8] {
        let key_id = || hkdf(b"", &self.store_key, b"tokenkeep v1 key id\0", 8).try_into().unwrap();
        self.key_id.unwrap_or_else(key_id)
    }

    /// *Layout*, with the body's commitment zero.
    fn prologue(&self, body_len: u64, body_salt: &[u8; 32]) -> Vec<u8> {
        let slots = self.slots.len();
        let mut prologue = self.magic.to_vec();
        prologue.extend(self.version.to_le_bytes());
        prologue.extend(self.slot_count.unwrap_or(u16::try_from(slots).unwrap()).to_le_bytes());
        prologue.extend(self.header_len.unwrap_or(u32::try_from(160 + 144 * slots).unwrap()).to_le_bytes());
        prologue.extend(self.body_len.unwrap_or(body_len).to_le_bytes());
        prologue.extend(self.required_features.to_le_bytes());
        prologue.extend(self.reserved);
        prologue.extend(self.store_id);
        prologue.extend(self.generation.to_le_bytes());
        prologue.extend(body_salt);
        prologue.extend([0; 32]);
        prologue.extend(self.key_id());
        prologue
    }

    /// *Body*: the length, the payload, the padding.
    fn plaintext(&self) -> Vec<u8> {
        let payload = self.payload.bytes();
        let mut plaintext = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
        plaintext.extend(&payload);
        // The header before it and the tag after it.
        let around = 160 + 144 * self.slots.len() + 16;
        let mut n = padme(plaintext.len());
        while !(around + n).is_multiple_of(4096) {
            n += 1;
        }
        plaintext.resize(n, 0);
        (self.alter_plaintext)(&mut plaintext);
        plaintext
    }
}

/// The smallest multiple of 2^(E - S) that is not less than L.
pub(crate) fn padme(l: usize) -> usize {
    let e = l.ilog2();
    let s = e.ilog2() + 1;
    let step = 1 << (e - s);
    l.div_ceil(step) * step
}

/// Writes a header's check anew, over whatever stands there.
pub(crate) fn recompute_check(file: &mut [u8]) {
    let slots = usize::from(u16::from_le_bytes([file[10], file[11]]));
    let (content, rest) = file.split_at_mut(128 + 144 * slots);
    rest[..32].copy_from_slice(digest(&SHA256, content).as_ref());
}

pub(crate) const BODY_SALT: &str = "tokenkeep v1 body salt\0";
pub(crate) const SLOT_SALT: &str = "tokenkeep v1 slot salt\0";

pub(crate) fn salt(store_key: &[u8], label: &str, random: &[u8; 32], count: u64, purpose: &[u8]) -> [u8; 32] {
    let salt_key = hmac::Key::new(hmac::HMAC_SHA256, &hkdf(b"", store_key, label.as_bytes(), 32));
    let salt = hmac::sign(&salt_key, &[&random[..], &count.to_le_bytes(), purpose].concat());
    salt.as_ref().try_into().unwrap()
}

/// The same each time.
pub(crate) fn in_place_of_random_bytes(for_what: &[u8]) -> [u8; 32] {
    digest(&SHA256, for_what).as_ref().try_into().unwrap()
}

fn seal(key: &[u8], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut sealed = plaintext.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::from(aad), &mut sealed).unwrap();
    sealed
}

fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap()
}

/// *Payload*, in pieces that have names, so that each can be made wrong: `record 0 user_name` is that text's bytes, with
/// `record 0 user_name length` before them and `record 0 user_name option` before that.
pub(crate) struct Payload(Vec<(String, Vec<u8>)>);

pub(crate) struct Note<'a> {
    pub(crate) slot_id: [u8; 16],
    pub(crate) label: &'a str,
    pub(crate) created_at: u64,
}

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
        Self { salt: bytes(56), record_count: 0, tag: bytes(tag) }
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
    pub(crate) fn new(next_id: u64, notes: &[Note<'_>], ancestors: &[Ancestor], records: &[Record<'_>]) -> Self {
        let mut payload = Self(Vec::new());
        payload.push("schema", 1_u32.to_le_bytes());
        payload.number("next_id", next_id);
        payload.number("notes", length(notes.len()));
        for (n, note) in notes.iter().enumerate() {
            payload.note(&format!("note {n}"), note);
        }
        payload.number("ancestors", length(ancestors.len()));
        for (n, ancestor) in ancestors.iter().enumerate() {
            payload.push(format!("ancestor {n} salt"), ancestor.salt);
            payload.push(format!("ancestor {n} record_count"), ancestor.record_count.to_le_bytes());
            payload.push(format!("ancestor {n} tag"), ancestor.tag);
        }
        payload.number("record_tags", 0);
        payload.number("records", length(records.len()));
        for (n, record) in records.iter().enumerate() {
            payload.record(&format!("record {n}"), record);
        }
        payload
    }

    fn note(&mut self, name: &str, note: &Note<'_>) {
        self.push(format!("{name} slot_id"), note.slot_id);
        self.text(&format!("{name} label"), note.label);
        self.number(format!("{name} created_at"), note.created_at);
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

    fn bytes(&self) -> Vec<u8> {
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

    /// Other bytes in the place of a piece, of whatever length.
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

    /// Exchanges the contents of two pieces.
    pub(crate) fn swap(&mut self, one: &str, other: &str) {
        let (one, other) = (self.place(one), self.place(other));
        let bytes = std::mem::take(&mut self.0[one].1);
        self.0[one].1 = std::mem::replace(&mut self.0[other].1, bytes);
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
