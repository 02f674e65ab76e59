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

use crate::reader::hkdf;

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
}

#[derive(Clone)]
pub(crate) enum SlotSecret {
    Passphrase(&'static str),
    Key([u8; 32]),
}

/// The least that is allowed.
const LEAST_COST: [u32; 3] = [7168, 5, 1];

impl Slot {
    pub(crate) fn passphrase(slot_id: u8, passphrase: &'static str) -> Self {
        let [m_kib, t, p] = LEAST_COST;
        let secret = SlotSecret::Passphrase(passphrase);
        Self { kind: 1, argon2_version: 0x13, m_kib, t, p, ..Self::of_key(1, slot_id, secret) }
    }

    pub(crate) fn keychain(slot_id: u8, key: [u8; 32]) -> Self {
        Self::of_key(2, slot_id, SlotSecret::Key(key))
    }

    pub(crate) fn recovery_key(slot_id: u8, key: [u8; 32]) -> Self {
        Self::of_key(3, slot_id, SlotSecret::Key(key))
    }

    fn of_key(kind: u8, slot_id: u8, secret: SlotSecret) -> Self {
        let (reserved, slot_id) = ([0; 2], [slot_id; 16]);
        Self { kind, argon2_version: 0, reserved, m_kib: 0, t: 0, p: 0, slot_id, secret, store_id: None }
    }

    fn cost(&self) -> [u32; 3] {
        [self.m_kib, self.t, self.p]
    }

    /// *Unlocking*, the other way round.
    fn seal(&self, store_id: &[u8; 16], store_key: &[u8; 32]) -> Vec<u8> {
        // As for a slot of the first generation, so that it is the same in all others.
        let salt = salt(store_key, b"tokenkeep v1 slot salt\0", &self.slot_id, 1, &self.slot_id);
        let mut slot = vec![self.kind, self.argon2_version];
        slot.extend(self.reserved);
        slot.extend(self.cost().map(u32::to_le_bytes).concat());
        slot.extend(self.slot_id);
        slot.extend(salt);
        let store_id = &self.store_id.unwrap_or(*store_id);
        let derived = hkdf(&salt, &self.k(&salt), &[b"tokenkeep v1 slot\0", &store_id[..], &slot].concat(), 64);
        slot.extend(&derived[32..]);
        slot.extend(seal(&derived[..32], b"", store_key));
        slot
    }

    fn k(&self, salt: &[u8; 32]) -> [u8; 32] {
        /// Deriving is slow, and most files have one and the same slot.
        static DERIVED: LazyLock<Mutex<HashMap<[u8; 32], [u8; 32]>>> = LazyLock::new(Mutex::default);
        match self.secret {
            SlotSecret::Key(key) => key,
            // Who writes another cost does not mean it to be derived.
            SlotSecret::Passphrase(_) if self.cost() != LEAST_COST => [0; 32],
            SlotSecret::Passphrase(text) => *DERIVED.lock().unwrap().entry(*salt).or_insert_with(|| {
                let [m_kib, t, p] = LEAST_COST;
                let argon2 =
                    Argon2::new(Algorithm::Argon2id, Version::V0x13, Params::new(m_kib, t, p, Some(32)).unwrap());
                let mut k = [0; 32];
                let salt = [b"tokenkeep v1 argon2id\0", &salt[..]].concat();
                argon2.hash_password_into(text.as_bytes(), &salt, &mut k).unwrap();
                k
            }),
        }
    }
}

impl Draft {
    /// *Salts*: the order of writing a file.
    pub(crate) fn seal(&self) -> Vec<u8> {
        let plaintext = self.plaintext();
        let body_key = self.body_store_key.unwrap_or(self.store_key);
        let purpose = digest(&SHA256, &plaintext);
        let salt = salt(&body_key, b"tokenkeep v1 body salt\0", b"body", self.generation, purpose.as_ref());

        let mut header = self.prologue(length(plaintext.len() + 16), &salt);
        for slot in &self.slots {
            header.extend(slot.seal(&self.store_id, &self.store_key));
        }
        let h = digest(&SHA256, &header);
        let derived = hkdf(&salt, &body_key, &[b"tokenkeep v1 body\0", h.as_ref()].concat(), 64);
        let commitment = self.body_commitment.unwrap_or(derived[32..].try_into().unwrap());
        header[88..120].copy_from_slice(&commitment);
        header.extend(digest(&SHA256, &header).as_ref());
        let body = seal(&derived[..32], &header, &plaintext);
        [header, body].concat()
    }

    /// *Layout*, with the body's commitment zero.
    fn prologue(&self, body_len: u64, body_salt: &[u8; 32]) -> Vec<u8> {
        let slots = self.slots.len();
        let key_id = hkdf(b"", &self.store_key, b"tokenkeep v1 key id\0", 8);
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
        prologue.extend(self.key_id.map_or(key_id, |key_id| key_id.to_vec()));
        prologue
    }

    /// *Body*: the length, the payload, the padding.
    fn plaintext(&self) -> Vec<u8> {
        let payload = self.payload.bytes();
        let mut plaintext = u32::try_from(payload.len()).unwrap().to_le_bytes().to_vec();
        plaintext.extend(&payload);
        let l = plaintext.len();
        let e = l.ilog2();
        let step = 1 << (e - (e.ilog2() + 1));
        plaintext.resize(l.next_multiple_of(step).next_multiple_of(4096), 0);
        (self.alter_plaintext)(&mut plaintext);
        plaintext
    }
}

/// Writes a header's check anew, over whatever stands there.
pub(crate) fn recompute_check(file: &mut [u8]) {
    let slots = usize::from(u16::from_le_bytes([file[10], file[11]]));
    let (content, rest) = file.split_at_mut(128 + 144 * slots);
    rest[..32].copy_from_slice(digest(&SHA256, content).as_ref());
}

fn salt(store_key: &[u8], label: &[u8], for_what: &[u8], generation: u64, purpose: &[u8]) -> [u8; 32] {
    let salt_key = hmac::Key::new(hmac::HMAC_SHA256, &hkdf(b"", store_key, label, 32));
    let in_place_of_random_bytes = digest(&SHA256, for_what);
    let parts = [in_place_of_random_bytes.as_ref(), &generation.to_le_bytes()[..], purpose];
    let salt = hmac::sign(&salt_key, &parts.concat());
    salt.as_ref().try_into().unwrap()
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

pub(crate) struct Record<'a> {
    pub(crate) id: &'a str,
    /// Those of the optional texts that it has.
    pub(crate) texts: &'a [(&'a str, &'a str)],
    pub(crate) expires_at: Option<u64>,
    pub(crate) scopes: &'a [&'a str],
    pub(crate) attributes: &'a [(&'a str, &'a str)],
    pub(crate) created_at: u64,
    pub(crate) updated_at: u64,
    pub(crate) revision: u64,
}

pub(crate) const TEXTS_BEFORE_EXPIRY: [&str; 7] =
    ["user_name", "client_id", "client_secret", "refresh_token", "access_token", "grant_token", "id_token"];
pub(crate) const TEXTS_AFTER_EXPIRY: [&str; 3] = ["redirect_url", "api_domain", "token_type"];

impl Payload {
    pub(crate) fn new(next_id: u64, notes: &[Note<'_>], records: &[Record<'_>]) -> Self {
        let mut payload = Self(Vec::new());
        payload.push("schema", 1_u32.to_le_bytes());
        payload.number("next_id", next_id);
        payload.number("notes", length(notes.len()));
        for (n, note) in notes.iter().enumerate() {
            payload.note(&format!("note {n}"), note);
        }
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
        self.text(&format!("{name} namespace"), "");
        self.text(&format!("{name} id"), record.id);
        let text = |field: &str| record.texts.iter().find(|(name, _)| *name == field).map(|(_, text)| *text);
        for field in TEXTS_BEFORE_EXPIRY {
            self.option(&format!("{name} {field}"), text(field), Self::text);
        }
        self.option(&format!("{name} expires_at"), record.expires_at, |payload, name, time| payload.number(name, time));
        for field in TEXTS_AFTER_EXPIRY {
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
