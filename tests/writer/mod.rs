//! A writer of the format, written from `docs/format.md` and sharing no code with the library. It writes what it is
//! asked to, sound or not, and the same bytes each time: what should be random is made of what it is for. Its steps are
//! those of the document, by their headings.

mod journal;
mod payload;
mod row;
mod table;

use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest::{SHA256, digest},
    hmac,
};
use serde_json::{Value, json};

use crate::reader::{hex, hkdf};

pub(crate) use self::{
    journal::{JournalRecord, with_heads},
    payload::{Ancestor, Payload, Record, TEXTS_AFTER_TIMES, TEXTS_BEFORE_TIMES, TIMES},
    row::{RowDraft, blind_index},
    table::{Note, Slot, Table, external_data},
};

/// A file that is yet to be sealed. Where a field is `None`, the file has what it should have there.
pub(crate) struct Draft {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u16,
    /// After the version.
    pub(crate) first_reserved: [u8; 2],
    pub(crate) table_len: Option<u32>,
    pub(crate) body_len: Option<u64>,
    pub(crate) required_features: u32,
    /// After the features.
    pub(crate) reserved: [u8; 4],
    /// The payload has an ancestor for each generation before it, up to 64.
    pub(crate) generation: u64,
    pub(crate) body_commitment: Option<[u8; 32]>,
    /// A byte of the commitment that is wrong; all that follows is right for it.
    pub(crate) wrong_byte_of_commitment: Option<usize>,
    pub(crate) body_salt: Option<[u8; 32]>,
    pub(crate) check: Option<[u8; 32]>,
    pub(crate) table: Table,
    /// What the body is sealed with, if not with the store key.
    pub(crate) body_store_key: Option<[u8; 32]>,
    pub(crate) payload: Payload,
    /// Has the padded plaintext before it is sealed.
    pub(crate) alter_plaintext: Alter,
    pub(crate) journal: Vec<JournalRecord>,
}

pub(crate) type Alter = Box<dyn Fn(&mut Vec<u8>)>;

/// Changes nothing.
pub(crate) fn unaltered() -> Alter {
    Box::new(|_| ())
}

const BODY_HEADER: usize = 136;

impl Draft {
    pub(crate) fn new(generation: u64, table: Table, payload: Payload) -> Self {
        Self {
            magic: *b"\x89TKP\r\n\x1a\n",
            version: 1,
            first_reserved: [0; 2],
            table_len: None,
            body_len: None,
            required_features: 0,
            reserved: [0; 4],
            generation,
            body_commitment: None,
            wrong_byte_of_commitment: None,
            body_salt: None,
            check: None,
            table,
            body_store_key: None,
            payload,
            alter_plaintext: unaltered(),
            journal: Vec::new(),
        }
    }

    pub(crate) fn seal(&self) -> Vec<u8> {
        self.seal_with_values().0
    }

    /// *Salts*: the order of writing a file. The values are the `values` of *Samples*, with the `journal_records` of a
    /// file that has some.
    pub(crate) fn seal_with_values(&self) -> (Vec<u8>, Value) {
        let (table, mut values) = self.table.seal();
        let plaintext = self.plaintext(table.len());
        let body_key = self.body_store_key.unwrap_or(self.table.store_key);
        let plaintext_hash = digest(&SHA256, &plaintext);
        let random = in_place_of_random_bytes(b"body");
        let salt = || salt(&body_key, BODY_SALT, &random, self.generation, plaintext_hash.as_ref());
        let salt = self.body_salt.unwrap_or_else(salt);

        let mut header = self.magic.to_vec();
        header.extend(self.version.to_le_bytes());
        header.extend(self.first_reserved);
        header.extend(self.table_len.unwrap_or(table.len().try_into().unwrap()).to_le_bytes());
        header.extend(self.body_len.unwrap_or(length(plaintext.len() + 16)).to_le_bytes());
        header.extend(self.required_features.to_le_bytes());
        header.extend(self.reserved);
        header.extend(self.generation.to_le_bytes());
        header.extend(salt);
        let h = digest(&SHA256, &[&header, &[0; 32][..], &table].concat());
        let derived = hkdf(&salt, &body_key, &[b"tokenkeep v1 body\0", h.as_ref()].concat(), 64);
        let mut commitment = self.body_commitment.unwrap_or(derived[32..].try_into().unwrap());
        if let Some(at) = self.wrong_byte_of_commitment {
            commitment[at] ^= 1;
        }
        header.extend(commitment);
        header.extend(self.check.unwrap_or_else(|| sha256(&header)));
        header.extend(table);
        let body = seal(&derived[..32], &header, &plaintext);
        values["h"] = hex(h.as_ref()).into();
        values["body_key"] = hex(&derived[..32]).into();
        values["body_commitment"] = hex(&commitment).into();
        values["plaintext_hash"] = hex(plaintext_hash.as_ref()).into();
        let mut file = [header, body].concat();
        let mut of_records = Vec::new();
        for (number, record) in (1..).zip(&self.journal) {
            let (bytes, values) = record.seal(&self.table.store_key, &commitment, &file, number);
            file.extend(bytes);
            of_records.push(values);
        }
        if !of_records.is_empty() {
            values["journal_records"] = of_records.into();
        }
        (file, values)
    }

    /// *Body*: the length, the payload, the padding.
    fn plaintext(&self, table_len: usize) -> Vec<u8> {
        let mut plaintext = padded(&self.payload, BODY_HEADER + table_len);
        (self.alter_plaintext)(&mut plaintext);
        plaintext
    }

    /// Whether the file would be shorter without Padmé.
    pub(crate) fn is_longer_for_padme(&self) -> bool {
        let around = BODY_HEADER + self.table.seal().0.len() + 16;
        let blocks = |l: usize| (around + l).div_ceil(4096);
        let l = 4 + self.payload.len();
        blocks(padme(l)) > blocks(l)
    }
}

/// The length, the payload, the padding, after so many bytes and before a tag.
fn padded(payload: &Payload, before: usize) -> Vec<u8> {
    let mut plaintext = with_length(&payload.bytes());
    let mut n = padme(plaintext.len());
    while !(before + n + 16).is_multiple_of(4096) {
        n += 1;
    }
    plaintext.resize(n, 0);
    plaintext
}

/// The smallest multiple of 2^(E - S) that is not less than L.
pub(crate) fn padme(l: usize) -> usize {
    let e = l.ilog2();
    let s = e.ilog2() + 1;
    let step = 1 << (e - s);
    l.div_ceil(step) * step
}

/// Writes both checks of a file again, over the old ones.
pub(crate) fn recompute_checks(file: &mut [u8]) {
    let table_len = usize::try_from(u32::from_le_bytes(file[12..16].try_into().unwrap())).unwrap();
    let (header, rest) = file.split_at_mut(BODY_HEADER);
    for part in [header, &mut rest[..table_len]] {
        let (content, check) = part.split_last_chunk_mut::<32>().unwrap();
        check.copy_from_slice(digest(&SHA256, content).as_ref());
    }
}

pub(crate) const BODY_SALT: &str = "tokenkeep v1 body salt\0";
pub(crate) const JOURNAL_SALT: &str = "tokenkeep v1 journal record salt\0";
pub(crate) const SLOT_SALT: &str = "tokenkeep v1 slot salt\0";
pub(crate) const NOTES_SALT: &str = "tokenkeep v1 notes salt\0";
pub(crate) const ROW_SALT: &str = "tokenkeep v1 row salt\0";

pub(crate) fn salt(store_key: &[u8], label: &str, random: &[u8; 32], count: u64, purpose: &[u8]) -> [u8; 32] {
    let salt_key = hkdf(b"", store_key, label.as_bytes(), 32);
    mac(&salt_key, &[&random[..], &count.to_le_bytes(), purpose].concat())
}

fn mac(key: &[u8], message: &[u8]) -> [u8; 32] {
    hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, key), message).as_ref().try_into().unwrap()
}

/// The same each time.
pub(crate) fn in_place_of_random_bytes(for_what: &[u8]) -> [u8; 32] {
    sha256(for_what)
}

fn sha256(bytes: &[u8]) -> [u8; 32] {
    digest(&SHA256, bytes).as_ref().try_into().unwrap()
}

fn seal(key: &[u8], aad: &[u8], plaintext: &[u8]) -> Vec<u8> {
    let key = LessSafeKey::new(UnboundKey::new(&AES_256_GCM, key).unwrap());
    let mut sealed = plaintext.to_vec();
    key.seal_in_place_append_tag(Nonce::assume_unique_for_key([0; 12]), Aad::from(aad), &mut sealed).unwrap();
    sealed
}

fn with_length(bytes: &[u8]) -> Vec<u8> {
    [&u32::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat()
}

fn length(len: usize) -> u64 {
    u64::try_from(len).unwrap()
}
