//! A reader of the format, written from `docs/format.md` and sharing no code with the library: what it reads, a
//! stranger's program can read. It refuses what the document refuses, in the document's words. Its steps are those of
//! the document, by their headings.
#![allow(dead_code, reason = "each test uses a part of it")]

mod journal;
mod payload;

use std::{collections::HashSet, fmt::Write};

use argon2::{Algorithm, Argon2, Block, Params, Version};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest::{SHA256, digest},
    hmac,
};
use serde_json::{Value, json};

use payload::{Contents, LAST_TIME, Payload};

/// What opens a slot of one kind.
pub enum Secret<'a> {
    Passphrase(&'a str),
    /// The 32 bytes, in hexadecimal.
    Keychain(&'a str),
    /// As a person keeps it.
    RecoveryKey(&'a str),
    /// What the provider returns, in hexadecimal.
    External(&'a str),
}

/// A class of refusal, as the document words it.
pub type Class = &'static str;

pub type Result<T> = std::result::Result<T, Class>;

const MALFORMED: Class = "malformed";
const TAMPERED: Class = "tampered";
const WRONG_SECRET: Class = "wrong secret";

fn ensure(is_right: bool, class: Class) -> Result<()> {
    if is_right { Ok(()) } else { Err(class) }
}

/// All that the file holds, in the shape of the JSON files beside the sample files; `None` if the secret opens no slot.
pub fn read(file: &[u8], secret: &Secret<'_>) -> Option<Value> {
    match try_read(file, secret) {
        Ok(contents) => Some(contents),
        Err(WRONG_SECRET) => None,
        Err(class) => panic!("the file is {class}"),
    }
}

/// *Reading*, with the class of the refusal.
pub fn try_read(file: &[u8], secret: &Secret<'_>) -> Result<Value> {
    check_layout(file)?;
    let (header, body, _) = split(file);
    let table = table_of(file);
    ensure(!matches!(secret, Secret::Passphrase("")), WRONG_SECRET)?;
    let store_key = slots(file).find_map(|slot| unlock(slot, file, secret)).ok_or(WRONG_SECRET)?;
    let notes = open_notes(table, &store_key)?;
    let payload = open_body(header, body, &store_key)?;
    let mut contents = Payload::of(&payload).contents(u64_at(file, 32)).ok_or(MALFORMED)?;
    let journal = journal::apply(file, &store_key, &mut contents)?;
    let mut contents = contents.describe();

    contents["journal"] = journal;
    contents["slots"] = describe_slots(file, notes);
    contents["generation"] = u64_at(file, 32).into();
    contents["store_id"] = hex(&table[16..32]).into();
    contents["key_id"] = hex(&table[32..40]).into();
    contents["table_revision"] = u64_at(table, 40).into();
    Ok(contents)
}

/// A key table without a file, with the class of the refusal.
pub fn try_read_table(table: &[u8], secret: &Secret<'_>) -> Result<Value> {
    ensure(!table.is_empty(), "empty")?;
    ensure(b"\x89TKV\r\n\x1a\n".starts_with(&table[..table.len().min(8)]), "no keystore")?;
    ensure(table.len() >= 10, "truncated")?;
    ensure(u16_at(table, 8) == 1, "unsupported version")?;
    ensure(table.len() <= 12_176, MALFORMED)?;
    let (content, check) = table.split_last_chunk::<32>().ok_or("damaged")?;
    ensure(digest(&SHA256, content).as_ref() == check, "damaged")?;
    ensure(table.len() >= 570, MALFORMED)?;
    check_table(table)?;
    // As if there were a body header, of which its length alone is looked at.
    let mut file = vec![0; BODY_HEADER];
    file[12..16].copy_from_slice(&u32::try_from(table.len()).unwrap().to_le_bytes());
    file.extend(table);
    ensure(!matches!(secret, Secret::Passphrase("")), WRONG_SECRET)?;
    let store_key = slots(&file).find_map(|slot| unlock(slot, &file, secret)).ok_or(WRONG_SECRET)?;
    let notes = open_notes(table, &store_key)?;
    Ok(json!({
        "store_id": hex(&table[16..32]),
        "key_id": hex(&table[32..40]),
        "table_revision": u64_at(table, 40),
        "slots": describe_slots(&file, notes),
    }))
}

fn describe_slots(file: &[u8], notes: Vec<(String, u64)>) -> Value {
    let slots = slots(file).zip(notes).map(|(slot, (label, created_at))| {
        let mut described = json!({
            "kind": KINDS[usize::from(slot[0]) - 1],
            "m_kib": u32_at(slot, 4), "t": u32_at(slot, 8), "p": u32_at(slot, 12),
            "slot_id": hex(&slot[16..32]), "label": label, "created_at": created_at,
        });
        if slot[0] == 4 {
            let (provider, public_data) = slot_data(slot).unwrap();
            described["provider"] = provider.into();
            described["public_data"] = hex(public_data).into();
        }
        described
    });
    slots.collect()
}

const KINDS: [&str; 4] = ["passphrase", "keychain", "recovery", "external"];

/// *Reading*, steps 1 to 8.
fn check_layout(file: &[u8]) -> Result<()> {
    ensure(file.len() <= 64 << 20, "too large")?;
    ensure(!file.is_empty(), "empty")?;
    ensure(b"\x89TKP\r\n\x1a\n".starts_with(&file[..file.len().min(8)]), "no keystore")?;
    ensure(file.len() >= 10, "truncated")?;
    ensure(u16_at(file, 8) == 1, "unsupported version")?;
    ensure(file.len() >= BODY_HEADER, "truncated")?;
    ensure(digest(&SHA256, &file[..104]).as_ref() == &file[104..136], "damaged")?;
    ensure(u32_at(file, 24) == 0, "unsupported feature")?;
    let (table_len, body_len) = (u32_at(file, 12), u64_at(file, 16));
    let len = 136 + u128::from(table_len) + u128::from(body_len);
    ensure(file[10..12] == [0; 2] && file[28..32] == [0; 4], MALFORMED)?;
    ensure(u64_at(file, 32) > 0 && (570..=12_176).contains(&table_len), MALFORMED)?;
    ensure(body_len >= 17 && len % 4096 == 0, MALFORMED)?;
    let header_len = BODY_HEADER + usize::try_from(table_len).unwrap();
    ensure(file.len() >= header_len, "truncated")?;
    let (content, check) = file[BODY_HEADER..header_len].split_last_chunk::<32>().unwrap();
    ensure(digest(&SHA256, content).as_ref() == check, "damaged")?;
    check_table(table_of(file))?;
    ensure(u128::try_from(file.len()).unwrap() >= len, "truncated")
}

const BODY_HEADER: usize = 136;

/// *Key table* and *Key slot*, but for what takes the store key.
fn check_table(table: &[u8]) -> Result<()> {
    let slot_count = usize::from(u16_at(table, 10));
    ensure(&table[..8] == b"\x89TKV\r\n\x1a\n" && u16_at(table, 8) == 1, MALFORMED)?;
    ensure((1..=8).contains(&slot_count) && table[12..16] == [0; 4] && u64_at(table, 40) > 0, MALFORMED)?;
    let (mut at, mut ids, mut passphrases, mut costs_are_right) = (48, HashSet::new(), 0, true);
    for _ in 0..slot_count {
        let head = table.get(at..at + 64).ok_or(MALFORMED)?;
        let len = slot_len(head);
        let slot = table.get(at..at + len).ok_or(MALFORMED)?;
        let cost = [4, 8, 12].map(|offset| u64::from(u32_at(slot, offset)));
        let [m_kib, t, p] = cost;
        match slot[0] {
            1 => {
                ensure(slot[1] == 0x13 && len == 144, MALFORMED)?;
                passphrases += 1;
                costs_are_right &= (7168..=1 << 20).contains(&m_kib) && (1..=16).contains(&t);
                costs_are_right &= (1..=16).contains(&p) && (35_840..=1 << 21).contains(&(m_kib * t));
            }
            2 | 3 => ensure(slot[1] == 0 && cost == [0; 3] && len == 144, MALFORMED)?,
            4 => {
                ensure(slot[1] == 0 && cost == [0; 3], MALFORMED)?;
                let (provider, public_data) = slot_data(slot).ok_or(MALFORMED)?;
                ensure((1..=64).contains(&provider.len()) && public_data.len() <= 1024, MALFORMED)?;
            }
            _ => return Err(MALFORMED),
        }
        ensure(ids.insert(&slot[16..32]), MALFORMED)?;
        at += len;
    }
    ensure(passphrases <= 4 && table.len() - at == 32 + NOTE * slot_count + 16 + 64, MALFORMED)?;
    ensure(costs_are_right, "cost out of bounds")
}

fn slot_len(slot: &[u8]) -> usize {
    144 + usize::from(u16_at(slot, 2))
}

/// Provider and public data of a slot of kind 4; `None` if they are not exactly its data.
fn slot_data(slot: &[u8]) -> Option<(&str, &[u8])> {
    let data = &slot[64..slot.len() - 80];
    let (provider, rest) = field(data)?;
    let (public_data, rest) = field(rest)?;
    rest.is_empty().then_some((std::str::from_utf8(provider).ok()?, public_data))
}

/// One with its length before it, and what follows.
fn field(bytes: &[u8]) -> Option<(&[u8], &[u8])> {
    let (len, rest) = bytes.split_first_chunk()?;
    rest.split_at_checked(u16::from_le_bytes(*len).into())
}

/// *Lineage*: what later generations list for this file, which has no torn end.
pub fn mark(file: &[u8]) -> [u8; 20] {
    let tag = file.len() - 16;
    let count = u32::try_from(journal::records(file).len()).unwrap();
    [&file[40..48], &count.to_le_bytes(), &file[tag..tag + 8]].concat().try_into().unwrap()
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
pub fn body_keys(file: &[u8], store_key: &[u8]) -> Vec<Named> {
    let (header, ..) = split(file);
    let (_, notes_salt, _) = split_table(table_of(file));
    let labelled = |name, label: &str| (name, hkdf(b"", store_key, label.as_bytes(), 32));
    let mut keys = vec![
        ("the body's PRK", hmac(&header[40..72], store_key)),
        ("the body key", body_hkdf(header, store_key)[..32].to_vec()),
        ("the notes' PRK", hmac(notes_salt, store_key)),
        ("the notes key", notes_key(table_of(file), store_key)),
        ("the PRK of keys without a salt", hmac(b"", store_key)),
        labelled("the mac key", MAC_KEY),
        labelled("the salt key of bodies", "tokenkeep v1 body salt\0"),
        labelled("the salt key of slots", "tokenkeep v1 slot salt\0"),
        labelled("the salt key of notes", "tokenkeep v1 notes salt\0"),
        labelled("the salt key of journal records", "tokenkeep v1 journal record salt\0"),
        labelled("the salt key of rows", "tokenkeep v1 row salt\0"),
        labelled("the key of blind indexes", BLIND_INDEX_KEY),
    ];
    for record in journal::records(file) {
        keys.push(("a journal record's PRK", hmac(record.salt, store_key)));
        keys.push(("a journal record's key", record.key(store_key)));
    }
    keys
}

const MAC_KEY: &str = "tokenkeep v1 key table\0";
const BLIND_INDEX_KEY: &str = "tokenkeep v1 blind index\0";

/// All that the file holds, decrypted: the payload of the body, and that of each journal record.
pub fn payloads(file: &[u8], secret: &Secret<'_>) -> Vec<Vec<u8>> {
    let (header, body, _) = split(file);
    let store_key = slots(file).find_map(|slot| unlock(slot, file, secret)).unwrap();
    let records = journal::records(file);
    let in_records = records.iter().map(|record| record.payload(&store_key).unwrap());
    [open_body(header, body, &store_key).unwrap()].into_iter().chain(in_records).collect()
}

/// The file's next generation with another payload, sealed as it should be, with any payload. The closure has the
/// payload of the body, with the mark of the file among the ancestors.
pub fn with_payload(file: &[u8], secret: &Secret<'_>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let (header, body, _) = split(file);
    let store_key = slots(file).find_map(|slot| unlock(slot, file, secret)).unwrap();
    let mut payload = open_body(header, body, &store_key).unwrap();
    append_ancestor(&mut payload, &mark(file), &journal::record_tags(file));
    change(&mut payload);
    let mut plaintext = [&u32::try_from(payload.len()).unwrap().to_le_bytes()[..], &payload].concat();
    plaintext.resize(padded_len(header.len(), plaintext.len()), 0);

    let mut header = header.to_vec();
    header[16..24].copy_from_slice(&u64::try_from(plaintext.len() + 16).unwrap().to_le_bytes());
    let generation = u64_at(&header, 32) + 1;
    header[32..40].copy_from_slice(&generation.to_le_bytes());
    let derived = body_hkdf(&header, &store_key);
    header[72..104].copy_from_slice(&derived[32..]);
    let check = digest(&SHA256, &header[..104]);
    header[104..136].copy_from_slice(check.as_ref());

    seal(&derived[..32], &header, &mut plaintext);
    [header, plaintext].concat()
}

fn seal(key: &[u8], associated: &[u8], plaintext: &mut Vec<u8>) {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let nonce = Nonce::assume_unique_for_key([0; 12]);
    key.seal_in_place_append_tag(nonce, Aad::from(associated), plaintext).unwrap();
}

/// The file with another payload in its last journal record, of any content and at most as long, sealed as it should
/// be.
pub fn with_last_record(file: &[u8], secret: &Secret<'_>, change: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let store_key = slots(file).find_map(|slot| unlock(slot, file, secret)).unwrap();
    journal::with_last_record(file, &store_key, change)
}

/// At most 64 stay, of which it is the last, with these tags of its journal records.
fn append_ancestor(payload: &mut Vec<u8>, mark: &[u8; 20], record_tags: &[[u8; 8]]) {
    // After the schema and the next id.
    const COUNT: usize = 12;
    const MARKS: usize = COUNT + 8;
    let count = usize::try_from(u64_at(payload, COUNT)).unwrap();
    let end = MARKS + 20 * count;
    let tags_end = end + 8 + 8 * usize::try_from(u64_at(payload, end)).unwrap();
    let count_of_tags = u64::try_from(record_tags.len()).unwrap().to_le_bytes();
    payload.splice(end..tags_end, [&mark[..], &count_of_tags, &record_tags.concat()].concat());
    let dropped = (count + 1).saturating_sub(64);
    payload.drain(MARKS..MARKS + 20 * dropped);
    payload[COUNT..MARKS].copy_from_slice(&u64::try_from(count + 1 - dropped).unwrap().to_le_bytes());
}

/// Header, body and journal.
fn split(file: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let (header, rest) = file.split_at(BODY_HEADER + usize::try_from(u32_at(file, 12)).unwrap());
    let (body, journal) = rest.split_at(usize::try_from(u64_at(file, 16)).unwrap());
    (header, body, journal)
}

fn table_of(file: &[u8]) -> &[u8] {
    &file[BODY_HEADER..BODY_HEADER + usize::try_from(u32_at(file, 12)).unwrap()]
}

/// What is before the notes' salt, that, and the sealed notes.
fn split_table(table: &[u8]) -> (&[u8], &[u8], &[u8]) {
    let notes_len = NOTE * usize::from(u16_at(table, 10)) + 16;
    let (content, _) = table.split_at(table.len() - 64);
    let (rest, notes) = content.split_at(content.len() - notes_len);
    let (before, salt) = rest.split_at(rest.len() - 32);
    (before, salt, notes)
}

pub fn slots(file: &[u8]) -> impl Iterator<Item = &[u8]> {
    let table = table_of(file);
    let mut rest = &table[48..];
    (0..u16_at(table, 10)).map(move |_| {
        let (slot, after) = rest.split_at(slot_len(rest));
        rest = after;
        slot
    })
}

/// *Unlocking.*
fn unlock(slot: &[u8], file: &[u8], secret: &Secret<'_>) -> Option<Vec<u8>> {
    open_slot(slot, &slot_hkdf(slot, file, &slot_key(slot, secret)?))
}

fn open_slot(slot: &[u8], derived: &[u8]) -> Option<Vec<u8>> {
    let (commitment, wrapped_key) = slot[slot.len() - 80..].split_at(32);
    if derived[32..] == *commitment { unseal(&derived[..32], b"", wrapped_key) } else { None }
}

fn slot_hkdf(slot: &[u8], file: &[u8], k: &[u8]) -> Vec<u8> {
    let table = table_of(file);
    let (store_id, key_id, head) = (&table[16..32], &table[32..40], &slot[..slot.len() - 80]);
    hkdf(&slot[32..64], k, &[b"tokenkeep v1 slot\0", store_id, key_id, head].concat(), 64)
}

/// K; `None` if the slot is for a secret of another kind.
fn slot_key(slot: &[u8], secret: &Secret<'_>) -> Option<Vec<u8>> {
    match (slot[0], secret) {
        (1, Secret::Passphrase(passphrase)) => Some(argon2id(slot, passphrase).0),
        (2, Secret::Keychain(key)) | (4, Secret::External(key)) => Some(unhex(key)),
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

/// *Notes*, with the mac before them: the label and the time of each slot.
fn open_notes(table: &[u8], store_key: &[u8]) -> Result<Vec<(String, u64)>> {
    let (content, mac) = table[..table.len() - 32].split_last_chunk::<32>().unwrap();
    ensure(table_mac(content, store_key) == mac, TAMPERED)?;
    ensure(hkdf(b"", store_key, b"tokenkeep v1 key id\0", 8) == table[32..40], MALFORMED)?;
    let (_, _, sealed) = split_table(table);
    let notes = unseal(&notes_key(table, store_key), b"", sealed).ok_or(MALFORMED)?;
    notes.chunks(NOTE).map(|note| open_note(note).ok_or(MALFORMED)).collect()
}

const NOTE: usize = 266;

fn open_note(note: &[u8]) -> Option<(String, u64)> {
    let (label, zeros) = note[10..].split_at_checked(u16_at(note, 8).into())?;
    let label = std::str::from_utf8(label).ok()?;
    let created_at = u64_at(note, 0);
    (created_at <= LAST_TIME && zeros.iter().all(|byte| *byte == 0)).then(|| (label.to_owned(), created_at))
}

fn notes_key(table: &[u8], store_key: &[u8]) -> Vec<u8> {
    let (before, salt, _) = split_table(table);
    hkdf(salt, store_key, &[b"tokenkeep v1 notes\0", digest(&SHA256, before).as_ref()].concat(), 32)
}

fn table_mac(content: &[u8], store_key: &[u8]) -> Vec<u8> {
    hmac(&hkdf(b"", store_key, MAC_KEY.as_bytes(), 32), content)
}

/// *Body*, to the payload in it.
fn open_body(header: &[u8], body: &[u8], store_key: &[u8]) -> Result<Vec<u8>> {
    let derived = body_hkdf(header, store_key);
    ensure(derived[32..] == header[72..104], TAMPERED)?;
    let plaintext = unseal(&derived[..32], header, body).ok_or(TAMPERED)?;
    unpad(&plaintext, |l| padded_len(header.len(), l)).ok_or(MALFORMED)
}

/// What has its length before it and zeros after it.
fn unpad(plaintext: &[u8], padded: impl FnOnce(usize) -> usize) -> Option<Vec<u8>> {
    let (length, _) = plaintext.split_first_chunk()?;
    let l = 4 + usize::try_from(u32::from_le_bytes(*length)).unwrap();
    let (content, zeros) = plaintext.split_at_checked(l)?;
    (plaintext.len() == padded(l) && zeros.iter().all(|byte| *byte == 0)).then(|| content[4..].to_vec())
}

fn body_hkdf(header: &[u8], store_key: &[u8]) -> Vec<u8> {
    let h = digest(&SHA256, &[&header[..72], &[0; 32], &header[BODY_HEADER..]].concat());
    hkdf(&header[40..72], store_key, &[b"tokenkeep v1 body\0", h.as_ref()].concat(), 64)
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

/// *Sealed rows*: what a program knows of a row that it reads.
pub struct RowContext<'a> {
    pub store_id: &'a [u8],
    pub table_id: &'a [u8],
    pub place: u64,
    pub revision: u64,
    pub namespace: &'a str,
    /// In the order of the kinds.
    pub columns: &'a [Option<Vec<u8>>],
}

/// *Sealed rows*: the record, in the shape of the tokens in the JSON files.
pub fn open_row(store_key: &[u8], context: &RowContext<'_>, row: &[u8]) -> Result<Value> {
    ensure(row.len() >= 90 && u16_at(row, 0) == 1, MALFORMED)?;
    ensure(hkdf(b"", store_key, b"tokenkeep v1 key id\0", 8) == row[2..10], "another store key")?;
    let mut bytes = [context.store_id, context.table_id].concat();
    bytes.extend([context.place, context.revision].map(u64::to_le_bytes).concat());
    bytes.extend(blind_index(store_key, 7, context.namespace, "", None));
    for column in context.columns {
        bytes.extend(column.as_ref().map_or(vec![0], |index| [&[1], &index[..]].concat()));
    }
    let info = [b"tokenkeep v1 row\0", digest(&SHA256, &bytes).as_ref()].concat();
    let derived = hkdf(&row[10..42], store_key, &info, 64);
    ensure(derived[32..] == row[42..74], TAMPERED)?;
    let plaintext = unseal(&derived[..32], &bytes, &row[74..]).ok_or(TAMPERED)?;
    let record = unpad(&plaintext, |l| padme(l).next_multiple_of(256)).ok_or(MALFORMED)?;
    let record = Payload::of(&record).only_record().ok_or(MALFORMED)?;
    ensure(record["namespace"].as_str().unwrap_or_default() == context.namespace, MALFORMED)?;
    ensure(record["revision"] == context.revision, MALFORMED)?;
    ensure(columns_of(store_key, &record) == context.columns, MALFORMED)?;
    Ok(record)
}

/// The blind indexes of a record, in the order of the kinds.
pub fn columns_of(store_key: &[u8], record: &Value) -> Vec<Option<Vec<u8>>> {
    let namespace = record["namespace"].as_str().unwrap_or_default();
    let column = |(kind, field): (u8, &str)| {
        Some(blind_index(store_key, kind, namespace, record[field].as_str()?, record["client_id"].as_str()))
    };
    let fields = ["id", "user_name", "user_name", "access_token", "grant_token", "refresh_token"];
    (1..).zip(fields).map(column).collect()
}

/// The client id counts for kind 3 alone.
pub fn blind_index(store_key: &[u8], kind: u8, namespace: &str, value: &str, client_id: Option<&str>) -> Vec<u8> {
    let client = match (kind, client_id) {
        (3, Some(client_id)) => [&[1], &text(client_id)[..]].concat(),
        (3, None) => vec![0],
        _ => Vec::new(),
    };
    let key = hkdf(b"", store_key, BLIND_INDEX_KEY.as_bytes(), 32);
    hmac(&key, &[&[kind], &text(namespace)[..], &text(value), &client].concat())
}

/// With its length before it.
fn text(text: &str) -> Vec<u8> {
    [&u64::try_from(text.len()).unwrap().to_le_bytes(), text.as_bytes()].concat()
}

/// `None` if the tag is wrong.
fn unseal(key: &[u8], aad: &[u8], sealed: &[u8]) -> Option<Vec<u8>> {
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
