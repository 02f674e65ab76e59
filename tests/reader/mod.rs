//! A reader of the format, written from `docs/format.md` and sharing no code with the library: what it reads, a
//! stranger's program can read. It trusts its input, which are files of ours; the library's own reader does not.
//! Its steps are those of the document, by their headings.
#![allow(dead_code, reason = "each test uses a part of it")]

use std::{collections::HashSet, fmt::Write};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest::{SHA256, digest},
    hmac,
};
use serde_json::{Map, Value, json};

/// What opens a slot of one kind.
pub enum Secret<'a> {
    Passphrase(&'a str),
    /// The 32 bytes, in hexadecimal.
    Keychain(&'a str),
    /// As a person keeps it.
    RecoveryKey(&'a str),
}

/// All that the file holds, in the shape of the JSON files beside the sample files; `None` if the secret opens no slot.
pub fn read(file: &[u8], secret: &Secret<'_>) -> Option<Value> {
    let (header, body) = split(file);
    let (content, check) = header.split_at(header.len() - 32);
    assert_eq!(file[..8], [0x89, 0x54, 0x4B, 0x50, 0x0D, 0x0A, 0x1A, 0x0A]);
    assert_eq!(u16_at(file, 8), 1);
    assert_eq!(usize::try_from(u32_at(file, 12)).unwrap(), header.len());
    assert_eq!(u64_at(file, 16), u64::try_from(body.len()).unwrap());
    assert_eq!(digest(&SHA256, content).as_ref(), check);
    assert_eq!(file.len() % 4096, 0);
    let (store_id, generation) = (&file[32..48], u64_at(file, 48));

    let slots: Vec<&[u8]> = slots(file).collect();
    let store_key = slots.iter().find_map(|slot| unlock(slot, file, secret))?;
    assert_eq!(hkdf(b"", &store_key, b"tokenkeep v1 key id\0", 8), file[120..128]);
    let mut payload = Payload(open_body(header, body, &store_key));

    assert_eq!(payload.u32(), 1, "schema");
    let next_id = payload.u64();
    let notes = payload.list(Payload::note);
    let ancestors = payload.list(Payload::ancestor);
    assert_eq!(u64::try_from(ancestors.len()).unwrap(), (generation - 1).min(64), "ancestors");
    assert_eq!(payload.len(), 0, "tags of records");
    let tokens = payload.list(Payload::record);
    assert!(payload.0.is_empty());
    let namespace = |token: &Value| token["namespace"].as_str().unwrap_or_default().to_owned();
    assert!(tokens.is_sorted_by_key(namespace), "the order of namespaces");
    let (mut ids, mut users) = (HashSet::new(), HashSet::new());
    for token in &tokens {
        let id = token["id"].as_str().unwrap();
        assert!(ids.insert((namespace(token), id)), "id");
        assert!(chosen_id(id).is_none_or(|number| number < next_id), "an id yet to be chosen");
        if let Some(user_name) = token["user_name"].as_str() {
            let user = (namespace(token), user_name, token["client_id"].as_str());
            assert!(users.insert(user), "user name and client id");
        }
    }
    let slots = slots.iter().zip(notes).map(|(slot, (slot_id, label, created_at))| {
        assert_eq!(slot[16..32], slot_id);
        json!({
            "kind": match slot[0] { 1 => "passphrase", 2 => "keychain", _ => "recovery" },
            "m_kib": u32_at(slot, 4), "t": u32_at(slot, 8), "p": u32_at(slot, 12),
            "slot_id": hex(&slot_id), "label": label, "created_at": created_at,
        })
    });
    Some(json!({
        "store_id": hex(store_id),
        "generation": generation,
        "key_id": hex(&file[120..128]),
        "next_id": next_id,
        "slots": slots.collect::<Vec<_>>(),
        "ancestors": ancestors,
        "tokens": tokens,
    }))
}

/// The number of an id that the store may have chosen.
fn chosen_id(id: &str) -> Option<u64> {
    let number = id.parse().ok().filter(|number: &u64| (1..1 << 63).contains(number))?;
    (number.to_string() == id).then_some(number)
}

/// *Lineage*: what later generations list for this file.
pub fn mark(file: &[u8]) -> [u8; 20] {
    let tag = file.len() - 16;
    [&file[56..64], &[0; 4], &file[tag..tag + 8]].concat().try_into().unwrap()
}

/// A key, and what it is called.
pub type Named = (&'static str, Vec<u8>);

/// Every key that a secret gives for a slot of its kind, whether it opens the slot or not, and everything that gives
/// one of them. The last is the store key, if the secret opens the slot.
pub fn slot_keys(file: &[u8], slot: &[u8], secret: &Secret<'_>) -> Vec<Named> {
    let Some(k) = slot_key(slot, secret) else { return Vec::new() };
    let derived = slot_hkdf(slot, file, &k);
    let mut keys = vec![
        ("a slot's PRK", hmac(&slot[32..64], &k)),
        ("a slot's K", k),
        ("a slot's wrapping key", derived[..32].to_vec()),
    ];
    if let Secret::Passphrase(passphrase) = secret {
        keys.push(("the end of Argon2's memory", argon2id(slot, passphrase).1));
    }
    keys.extend(open_slot(slot, &derived).map(|key| (STORE_KEY, key)));
    keys
}

pub const STORE_KEY: &str = "the store key";

/// Every key that the store key gives for a file.
pub fn body_keys(file: &[u8], store_key: &[u8]) -> [Named; 5] {
    let (header, _) = split(file);
    [
        ("the body's PRK", hmac(&header[56..88], store_key)),
        ("the body key", body_hkdf(header, store_key)[..32].to_vec()),
        ("the PRK of salt keys and key id", hmac(b"", store_key)),
        ("the salt key of bodies", hkdf(b"", store_key, b"tokenkeep v1 body salt\0", 32)),
        ("the salt key of slots", hkdf(b"", store_key, b"tokenkeep v1 slot salt\0", 32)),
    ]
}

/// The file's next generation with another payload, sealed as it should be whatever the payload is. The closure has the
/// payload with the mark of the file among the ancestors.
pub fn with_payload(file: &[u8], secret: &Secret<'_>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (header, body) = split(file);
    let store_key = slots(file).find_map(|slot| unlock(slot, file, secret)).unwrap();
    let mut payload = open_body(header, body, &store_key);
    append_ancestor(&mut payload, &mark(file));
    change(&mut payload);
    let mut plaintext = [&u32::try_from(payload.len()).unwrap().to_le_bytes()[..], &payload].concat();
    plaintext.resize(padded_len(header.len(), plaintext.len()), 0);

    let mut header = header[..header.len() - 32].to_vec();
    header[16..24].copy_from_slice(&u64::try_from(plaintext.len() + 16).unwrap().to_le_bytes());
    let generation = u64_at(&header, 48) + 1;
    header[48..56].copy_from_slice(&generation.to_le_bytes());
    // The check is not part of what the key is bound to.
    let derived = body_hkdf(&[&header, &[0; 32][..]].concat(), &store_key);
    header[88..120].copy_from_slice(&derived[32..]);
    let check = digest(&SHA256, &header);
    header.extend_from_slice(check.as_ref());

    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &derived[..32]).unwrap());
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    key.seal_in_place_append_tag(nonce, Aad::from(&header), &mut plaintext).unwrap();
    [header, plaintext].concat()
}

/// At most 64 stay, of which it is the last.
fn append_ancestor(payload: &mut Vec<u8>, mark: &[u8; 20]) {
    let mut rest = Payload(payload.clone());
    rest.u32();
    rest.u64();
    rest.list(Payload::note);
    let start = payload.len() - rest.0.len();
    let count = rest.len();
    let marks = start + 8;
    let end = marks + 20 * count;
    payload.splice(end..end, *mark);
    let dropped = (count + 1).saturating_sub(64);
    payload.drain(marks..marks + 20 * dropped);
    payload[start..marks].copy_from_slice(&u64::try_from(count + 1 - dropped).unwrap().to_le_bytes());
}

/// Header and body.
fn split(file: &[u8]) -> (&[u8], &[u8]) {
    file.split_at(160 + 144 * usize::from(u16_at(file, 10)))
}

pub fn slots(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (header, _) = split(file);
    header[128..header.len() - 32].chunks(144)
}

/// *Unlocking.*
fn unlock(slot: &[u8], file: &[u8], secret: &Secret<'_>) -> Option<Vec<u8>> {
    open_slot(slot, &slot_hkdf(slot, file, &slot_key(slot, secret)?))
}

fn open_slot(slot: &[u8], derived: &[u8]) -> Option<Vec<u8>> {
    if derived[32..] == slot[64..96] { try_unseal(&derived[..32], b"", &slot[96..]) } else { None }
}

fn slot_hkdf(slot: &[u8], file: &[u8], k: &[u8]) -> Vec<u8> {
    let (store_id, key_id) = (&file[32..48], &file[120..128]);
    hkdf(&slot[32..64], k, &[b"tokenkeep v1 slot\0", store_id, key_id, &slot[..64]].concat(), 64)
}

/// K; `None` if the slot is for a secret of another kind.
fn slot_key(slot: &[u8], secret: &Secret<'_>) -> Option<Vec<u8>> {
    match (slot[0], secret) {
        (1, Secret::Passphrase(passphrase)) => Some(argon2id(slot, passphrase).0),
        (2, Secret::Keychain(key)) => Some(unhex(key)),
        (3, Secret::RecoveryKey(text)) => recovery_key(text),
        _ => None,
    }
}

/// K, and the last block of its memory, which K is a hash of if there is one lane.
fn argon2id(slot: &[u8], passphrase: &str) -> (Vec<u8>, Vec<u8>) {
    let params = Params::new(u32_at(slot, 4), u32_at(slot, 8), u32_at(slot, 12), Some(32)).unwrap();
    let salt = [b"tokenkeep v1 argon2id\0", &slot[32..64]].concat();
    let (mut k, mut memory) = (vec![0; 32], vec![Block::new(); params.block_count()]);
    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
    argon2.hash_password_into_with_memory(passphrase.as_bytes(), &salt, &mut k, &mut memory).unwrap();
    let last: &[u64] = memory.last().unwrap().as_ref();
    (k, last.iter().flat_map(|word| word.to_le_bytes()).collect())
}

/// *Recovery key as text*, forgiving as it should be; `None` if it is mistyped.
pub fn recovery_key(text: &str) -> Option<Vec<u8>> {
    let symbols: String = text.chars().filter(|c| !is_ignored(*c)).collect();
    let symbols = symbols.to_ascii_uppercase();
    let symbols = symbols.strip_prefix("TKR")?.replace('O', "0").replace(['I', 'L'], "1");
    let symbols = symbols.strip_prefix('1').filter(|symbols| symbols.len() == 56)?;
    let values = symbols.bytes().map(|symbol| b"0123456789ABCDEFGHJKMNPQRSTVWXYZ".iter().position(|s| *s == symbol));
    let bits =
        values.collect::<Option<Vec<_>>>()?.into_iter().flat_map(|value| (0..5).rev().map(move |n| value >> n & 1));
    let bits: Vec<_> = bits.collect();
    let byte = |bits: &[usize]| bits.iter().fold(0, |byte, bit| byte << 1 | bit);
    let bytes: Vec<_> = bits.chunks(8).map(|bits| u8::try_from(byte(bits)).unwrap()).collect();
    let (k, checksum) = bytes.split_at(32);
    let hash = digest(&SHA256, &[b"tokenkeep v1 recovery key\0", k].concat());
    (hash.as_ref()[..3] == *checksum).then(|| k.to_vec())
}

fn is_ignored(c: char) -> bool {
    let white_space = matches!(
        c,
        '\u{9}'..='\u{D}' | ' ' | '\u{85}' | '\u{A0}' | '\u{1680}' | '\u{2000}'..='\u{200A}' | '\u{2028}' | '\u{2029}'
            | '\u{202F}' | '\u{205F}' | '\u{3000}'
    );
    let hyphen = matches!(
        c,
        '-' | '\u{AD}' | '\u{2010}'..='\u{2015}' | '\u{2043}' | '\u{2212}' | '\u{FE58}' | '\u{FE63}' | '\u{FF0D}'
    );
    let without_a_width = matches!(
        c,
        '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}' | '\u{2066}'..='\u{2069}' | '\u{FEFF}'
    );
    white_space || hyphen || without_a_width || matches!(c, '\u{B7}' | '\u{2018}'..='\u{201F}' | '\u{2022}')
}

/// *Body*, to the payload in it.
fn open_body(header: &[u8], body: &[u8], store_key: &[u8]) -> Vec<u8> {
    let derived = body_hkdf(header, store_key);
    assert_eq!(derived[32..], header[88..120]);
    let plaintext = unseal(&derived[..32], header, body);

    let length = usize::try_from(u32_at(&plaintext, 0)).unwrap();
    let l = 4 + length;
    assert_eq!(plaintext.len(), padded_len(header.len(), l));
    assert!(plaintext[l..].iter().all(|byte| *byte == 0));
    plaintext[4..l].to_vec()
}

fn body_hkdf(header: &[u8], store_key: &[u8]) -> Vec<u8> {
    let mut content = header[..header.len() - 32].to_vec();
    content[88..120].fill(0);
    let h = digest(&SHA256, &content);
    hkdf(&header[56..88], store_key, &[b"tokenkeep v1 body\0", h.as_ref()].concat(), 64)
}

/// Of the plaintext, whose tag has 16 bytes.
fn padded_len(header_len: usize, l: usize) -> usize {
    let around = header_len + 16;
    (around + padme(l)).next_multiple_of(4096) - around
}

pub fn padme(l: usize) -> usize {
    let e = l.ilog2();
    let s = e.ilog2() + 1;
    l.next_multiple_of(1 << (e - s))
}

/// *Salts.*
pub fn salt(store_key: &[u8], label: &str, random: &[u8], count: u64, purpose: &[u8]) -> Vec<u8> {
    let salt_key = hkdf(b"", store_key, label.as_bytes(), 32);
    hmac(&salt_key, &[random, &count.to_le_bytes(), purpose].concat())
}

fn unseal(key: &[u8], aad: &[u8], sealed: &[u8]) -> Vec<u8> {
    try_unseal(key, aad, sealed).unwrap()
}

/// `None` if the tag is wrong.
fn try_unseal(key: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut sealed = sealed.to_vec();
    let opened = key.open_in_place(Nonce::assume_unique_for_key([0; 12]), Aad::from(aad), &mut sealed);
    opened.ok().map(|plaintext| plaintext.to_vec())
}

/// RFC 5869, from HMAC.
pub fn hkdf(salt: &[u8], secret: &[u8], info: &[u8], n: usize) -> Vec<u8> {
    let prk = hmac(salt, secret);
    let (mut out, mut block) = (Vec::new(), Vec::new());
    for counter in 1.. {
        if out.len() >= n {
            break;
        }
        block = hmac(&prk, &[&block, info, &[counter]].concat());
        out.extend_from_slice(&block);
    }
    out.truncate(n);
    out
}

fn hmac(key: &[u8], data: &[u8]) -> Vec<u8> {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), data).as_ref().to_vec()
}

/// *Payload*, read off the front.
struct Payload(Vec<u8>);

impl Payload {
    fn take(&mut self, n: usize) -> Vec<u8> {
        self.0.drain(..n).collect()
    }

    fn u32(&mut self) -> u32 {
        u32_at(&self.take(4), 0)
    }

    fn u64(&mut self) -> u64 {
        u64_at(&self.take(8), 0)
    }

    fn len(&mut self) -> usize {
        usize::try_from(self.u64()).unwrap()
    }

    fn text(&mut self) -> String {
        let len = self.len();
        String::from_utf8(self.take(len)).unwrap()
    }

    fn option<T>(&mut self, read: fn(&mut Self) -> T) -> Option<T> {
        match self.take(1)[0] {
            0 => None,
            1 => Some(read(self)),
            other => panic!("an option of {other}"),
        }
    }

    fn list<T>(&mut self, read: fn(&mut Self) -> T) -> Vec<T> {
        (0..self.len()).map(|_| read(self)).collect()
    }

    fn note(&mut self) -> (Vec<u8>, String, u64) {
        (self.take(16), self.text(), self.u64())
    }

    fn ancestor(&mut self) -> Value {
        let (salt, record_count, tag) = (self.take(8), self.u32(), self.take(8));
        assert_eq!(record_count, 0, "records of a journal");
        json!({"salt": hex(&salt), "record_count": record_count, "tag": hex(&tag)})
    }

    fn record(&mut self) -> Value {
        let mut record = Map::new();
        let namespace = self.text();
        if !namespace.is_empty() {
            record.insert("namespace".into(), namespace.into());
        }
        record.insert("id".into(), self.text().into());
        let mut set = |name: &str, value: Option<Value>| value.map(|value| record.insert(name.into(), value));
        let secrets = ["client_secret", "refresh_token", "access_token", "grant_token", "id_token"];
        for name in ["user_name", "client_id"].into_iter().chain(secrets) {
            set(name, self.option(Self::text).map(Value::from));
        }
        for name in ["expires_at", "received_at", "refresh_expires_at", "rejected_at", "retry_at"] {
            set(name, self.option(Self::u64).map(Value::from));
        }
        set("failures", Some(self.u32()).filter(|failures| *failures > 0).map(Value::from));
        for name in ["redirect_url", "api_domain", "token_type"] {
            set(name, self.option(Self::text).map(Value::from));
        }
        set("scopes", Some(self.list(Self::text).into()));
        let attributes = self.list(|payload| (payload.text(), Value::from(payload.text())));
        assert!(attributes.is_sorted_by(|one, next| one.0 < next.0), "the order of attributes");
        set("attributes", Some(attributes.into_iter().collect::<Map<_, _>>().into()));
        for name in ["created_at", "updated_at", "revision"] {
            set(name, Some(self.u64().into()));
        }
        record.into()
    }
}

fn u16_at(bytes: &[u8], at: usize) -> u16 {
    u16::from_le_bytes(bytes[at..at + 2].try_into().unwrap())
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap())
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap())
}

pub fn unhex(text: &str) -> Vec<u8> {
    (0..text.len() / 2).map(|n| u8::from_str_radix(&text[2 * n..2 * n + 2], 16).unwrap()).collect()
}

pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
