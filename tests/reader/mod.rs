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
    let store_id = &file[32..48];

    let slots: Vec<&[u8]> = slots(file).collect();
    let store_key = slots.iter().find_map(|slot| unlock(slot, store_id, secret))?;
    assert_eq!(hkdf(b"", &store_key, b"tokenkeep v1 key id\0", 8), file[120..128]);
    let mut payload = Payload(open_body(header, body, &store_key));

    assert_eq!(payload.u32(), 1, "schema");
    let next_id = payload.u64();
    let notes = payload.list(Payload::note);
    let tokens = payload.list(Payload::record);
    assert!(payload.0.is_empty());
    let mut users = HashSet::new();
    for token in tokens.iter().filter(|token| token["user_name"].is_string()) {
        assert!(users.insert((token["user_name"].as_str(), token["client_id"].as_str())), "user name and client id");
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
        "generation": u64_at(file, 48),
        "key_id": hex(&file[120..128]),
        "next_id": next_id,
        "slots": slots.collect::<Vec<_>>(),
        "tokens": tokens,
    }))
}

/// A key, and what it is called.
pub type Named = (&'static str, Vec<u8>);

/// Every key that a secret gives for a slot of its kind, whether it opens the slot or not, and everything that gives
/// one of them. The last is the store key, if the secret opens the slot.
pub fn slot_keys(file: &[u8], slot: &[u8], secret: &Secret<'_>) -> Vec<Named> {
    let Some(k) = slot_key(slot, secret) else { return Vec::new() };
    let derived = slot_hkdf(slot, &file[32..48], &k);
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

/// The file's next generation with another payload, sealed as it should be whatever the payload is.
pub fn with_payload(file: &[u8], secret: &Secret<'_>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (header, body) = split(file);
    let store_key = slots(file).find_map(|slot| unlock(slot, &file[32..48], secret)).unwrap();
    let mut payload = open_body(header, body, &store_key);
    change(&mut payload);
    let mut plaintext = [&u32::try_from(payload.len()).unwrap().to_le_bytes()[..], &payload].concat();
    plaintext.resize(padded_len(plaintext.len()), 0);

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

/// Header and body.
fn split(file: &[u8]) -> (&[u8], &[u8]) {
    file.split_at(160 + 144 * usize::from(u16_at(file, 10)))
}

pub fn slots(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let (header, _) = split(file);
    header[128..header.len() - 32].chunks(144)
}

/// *Unlocking.*
fn unlock(slot: &[u8], store_id: &[u8], secret: &Secret<'_>) -> Option<Vec<u8>> {
    open_slot(slot, &slot_hkdf(slot, store_id, &slot_key(slot, secret)?))
}

fn open_slot(slot: &[u8], derived: &[u8]) -> Option<Vec<u8>> {
    (derived[32..] == slot[64..96]).then(|| unseal(&derived[..32], b"", &slot[96..]))
}

fn slot_hkdf(slot: &[u8], store_id: &[u8], k: &[u8]) -> Vec<u8> {
    hkdf(&slot[32..64], k, &[b"tokenkeep v1 slot\0", store_id, &slot[..64]].concat(), 64)
}

/// K; `None` if the slot is for a secret of another kind.
fn slot_key(slot: &[u8], secret: &Secret<'_>) -> Option<Vec<u8>> {
    match (slot[0], secret) {
        (1, Secret::Passphrase(passphrase)) => Some(argon2id(slot, passphrase).0),
        (2, Secret::Keychain(key)) => {
            Some((0..32).map(|n| u8::from_str_radix(&key[2 * n..2 * n + 2], 16).unwrap()).collect())
        }
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
    let symbols: String = text.to_uppercase().chars().filter(|c| !c.is_whitespace() && *c != '-').collect();
    let symbols = symbols.replace('O', "0").replace(['I', 'L'], "1");
    let symbols = symbols.strip_prefix("TKR1").filter(|symbols| symbols.len() == 56)?;
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

/// *Body*, to the payload in it.
fn open_body(header: &[u8], body: &[u8], store_key: &[u8]) -> Vec<u8> {
    let derived = body_hkdf(header, store_key);
    assert_eq!(derived[32..], header[88..120]);
    let plaintext = unseal(&derived[..32], header, body);

    let length = usize::try_from(u32_at(&plaintext, 0)).unwrap();
    let l = 4 + length;
    assert_eq!(plaintext.len(), padded_len(l));
    assert!(plaintext[l..].iter().all(|byte| *byte == 0));
    plaintext[4..l].to_vec()
}

fn body_hkdf(header: &[u8], store_key: &[u8]) -> Vec<u8> {
    let mut content = header[..header.len() - 32].to_vec();
    content[88..120].fill(0);
    let h = digest(&SHA256, &content);
    hkdf(&header[56..88], store_key, &[b"tokenkeep v1 body\0", h.as_ref()].concat(), 64)
}

fn padded_len(l: usize) -> usize {
    let e = l.ilog2();
    let step = 1 << (e - (e.ilog2() + 1));
    l.next_multiple_of(step).next_multiple_of(4096)
}

fn unseal(key: &[u8], aad: &[u8], sealed: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut sealed = sealed.to_vec();
    key.open_in_place(Nonce::assume_unique_for_key([0; 12]), Aad::from(aad), &mut sealed).unwrap().to_vec()
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

    fn record(&mut self) -> Value {
        let mut record = Map::new();
        assert_eq!(self.text(), "", "namespace");
        record.insert("id".into(), self.text().into());
        let mut set = |name: &str, value: Option<Value>| value.map(|value| record.insert(name.into(), value));
        let secrets = ["client_secret", "refresh_token", "access_token", "grant_token", "id_token"];
        for name in ["user_name", "client_id"].into_iter().chain(secrets) {
            set(name, self.option(Self::text).map(Value::from));
        }
        set("expires_at", self.option(Self::u64).map(Value::from));
        for name in ["redirect_url", "api_domain", "token_type"] {
            set(name, self.option(Self::text).map(Value::from));
        }
        set("scopes", Some(self.list(Self::text).into()));
        let attributes: Map<_, _> = self.list(|payload| (payload.text(), payload.text().into())).into_iter().collect();
        set("attributes", Some(attributes.into()));
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

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut text, byte| {
        write!(text, "{byte:02x}").unwrap();
        text
    })
}
