//! Rows of a database, each sealed by itself, and the values by which a database finds them.

use ring::{
    digest::{SHA256, digest},
    hmac,
};

use super::{Commitment, NONCE, aead_open, aead_seal, derive, hedged_salt, hkdf, is_equal, key_id};
use crate::{
    error::Result,
    format::{KeyId, Salt, StoreId, TAG_LEN, length},
    secret::{Key, SecretBytes, leaving_no_trace, random},
};

pub(super) const ROW: &[u8] = b"tokenkeep v1 row\0";
pub(super) const ROW_SALT: &[u8] = b"tokenkeep v1 row salt\0";
pub(super) const BLIND_INDEX: &[u8] = b"tokenkeep v1 blind index\0";
const VERSION: u16 = 1;
const SALT_AT: usize = 10;
const COMMITMENT_AT: usize = 42;
/// What a row is bound to, if it has all columns.
const CONTEXT_LEN: usize = 278;
/// A row before its ciphertext.
const START_LEN: usize = 74;

/// A value by which a database finds rows without seeing what they hold.
pub(crate) type BlindIndex = [u8; 32];

/// What a row is bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RowContext<'a> {
    pub(crate) store_id: &'a StoreId,
    pub(crate) table_id: &'a [u8; 16],
    pub(crate) place: u64,
    pub(crate) revision: u64,
    /// The blind index of the namespace, so that a row opens before its namespace is known.
    pub(crate) namespace: BlindIndex,
    pub(crate) columns: [Option<BlindIndex>; 6],
}

impl RowContext<'_> {
    fn bytes(&self) -> Vec<u8> {
        let Self { store_id, table_id, place, revision, namespace, columns } = self;
        let mut bytes = Vec::with_capacity(CONTEXT_LEN);
        bytes.extend_from_slice(&store_id[..]);
        bytes.extend_from_slice(&table_id[..]);
        bytes.extend_from_slice(&place.to_le_bytes());
        bytes.extend_from_slice(&revision.to_le_bytes());
        bytes.extend_from_slice(namespace);
        for column in columns {
            bytes.push(column.is_some().into());
            bytes.extend_from_slice(column.as_ref().map_or(&[], |index| &index[..]));
        }
        bytes
    }
}

/// Seals the padded plaintext of a row.
pub(crate) fn seal_row(store_key: &Key, context: &RowContext<'_>, plaintext: SecretBytes) -> Result<Vec<u8>> {
    seal_row_with(store_key, context, plaintext, &random()?)
}

pub(super) fn seal_row_with(
    store_key: &Key,
    context: &RowContext<'_>,
    mut plaintext: SecretBytes,
    random: &[u8; 32],
) -> Result<Vec<u8>> {
    let hash = leaving_no_trace(|| digest(&SHA256, &plaintext));
    // Held by `repeating_generator_gives_other_rows_other_salts`: `&[]` instead of `hash.as_ref()`.
    let salt = hedged_salt(store_key, ROW_SALT, random, context.revision, hash.as_ref())?;
    let bound = context.bytes();
    let (key, commitment) = row_key(store_key, &salt, &bound)?;
    let tag = aead_seal(key.bytes(), NONCE, &bound, &mut plaintext)?;
    Ok([&VERSION.to_le_bytes()[..], &key_id(store_key)?, &salt, &commitment, &plaintext, &tag].concat())
}

/// The id of the store key that a row was sealed under; `None` if it is no row of a known version.
pub(crate) fn row_key_id(row: &[u8]) -> Option<KeyId> {
    let (version, rest) = row.split_first_chunk()?;
    // Held by `bytes_that_are_no_row_are_malformed`: `u16::from_le_bytes(*version) == VERSION`.
    let is_row = u16::from_le_bytes(*version) == VERSION && row.len() >= START_LEN.saturating_add(TAG_LEN);
    rest.first_chunk().filter(|_| is_row).copied()
}

/// The plaintext of a row; `None` if it was not sealed with that key for that context.
pub(crate) fn open_row(store_key: &Key, context: &RowContext<'_>, row: &[u8]) -> Result<Option<SecretBytes>> {
    let field = |at: usize| row.get(at..).and_then(<[u8]>::first_chunk::<32>);
    let (Some(salt), Some(commitment), Some(sealed)) = (field(SALT_AT), field(COMMITMENT_AT), row.get(START_LEN..))
    else {
        return Ok(None);
    };
    let bound = context.bytes();
    let (key, expected) = row_key(store_key, salt, &bound)?;
    // Held by `row_with_a_wrong_commitment_is_refused`.
    if !is_equal(&expected, commitment) {
        return Ok(None);
    }
    let mut plaintext = SecretBytes::new(sealed.to_vec());
    if aead_open(key.bytes(), NONCE, &bound, &mut plaintext)?.is_none() {
        return Ok(None);
    }
    plaintext.truncate(sealed.len().saturating_sub(TAG_LEN));
    Ok(Some(plaintext))
}

fn row_key(store_key: &Key, salt: &Salt, bound: &[u8]) -> Result<(Key, Commitment)> {
    // Held by `rows_of_another_writer_open_or_are_refused_as_they_should`: `derive(salt, store_key, &[ROW])`.
    derive(salt, store_key, &[ROW, digest(&SHA256, bound).as_ref()])
}

/// The key of a store's blind indexes.
#[derive(Clone)]
pub(crate) struct IndexKey(Key);

impl IndexKey {
    pub(crate) fn of(store_key: &Key) -> Result<Self> {
        let mut key = Key::zeroed();
        hkdf(&[], store_key.bytes(), &[BLIND_INDEX], key.bytes_mut())?;
        Ok(Self(key))
    }

    /// What makes the indexes of one row. It has a copy of the key: to be used in [`leaving_no_trace`] only.
    pub(crate) fn indexer(&self) -> Indexer {
        Indexer(hmac::Key::new(hmac::HMAC_SHA256, self.0.bytes()))
    }
}

pub(crate) struct Indexer(hmac::Key);

impl Indexer {
    /// The blind index of a value. The client is `None` where the kind has none.
    pub(crate) fn index(&self, kind: u8, namespace: &str, value: &str, client: Option<Option<&str>>) -> BlindIndex {
        let mut mac = hmac::Context::with_key(&self.0);
        mac.update(&[kind]);
        update_text(&mut mac, namespace);
        update_text(&mut mac, value);
        if let Some(client) = client {
            mac.update(&[client.is_some().into()]);
            client.into_iter().for_each(|id| update_text(&mut mac, id));
        }
        let mut index = BlindIndex::default();
        index.copy_from_slice(mac.sign().as_ref());
        index
    }
}

fn update_text(mac: &mut hmac::Context, text: &str) {
    mac.update(&length(text.len()).to_le_bytes());
    mac.update(text.as_bytes());
}
