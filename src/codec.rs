//! What is stored, as bytes and back: the only module that names bincode.
//!
//! A record borrows its texts, from the tokens when it is written and from the plaintext when it is read: no secret is
//! copied into a buffer that would have to be found and wiped. Reading checks every rule that writing keeps.

mod change;
mod encoding;

use std::collections::{BTreeMap, HashSet};

use bincode::Options;
pub(crate) use change::{ChangedRows, decode_change, encode_change, record_plaintext_len};
pub(crate) use encoding::{Encoding, Prelude, plaintext_len, records_len};
use serde::{Deserialize, Serialize};

use crate::{
    error::FileFlaw,
    format::{BLOCK, BodyHeader, MAX_RECORD_TAGS, Mark, TAG_LEN, is_zero, length},
    id::{Origin, TokenId},
    secret::{Secret, SecretBytes},
    time::Millis,
    token::{Fields, Stored, Token},
};

/// A reason not to use the file or the row. The caller knows the path.
type Result<T> = std::result::Result<T, FileFlaw>;

const SCHEMA: u32 = 1;
/// The plaintext starts with the payload's length.
const LENGTH_LEN: usize = 4;
/// The plaintext of a row is padded to a multiple of this.
const ROW_BLOCK: u64 = 256;
/// The name of a namespace may have this many bytes.
pub(crate) const MAX_NAMESPACE_LEN: usize = 256;

/// Everything the body holds.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Contents {
    /// The number that the next id chosen by the store will be.
    pub(crate) next_id: u64,
    /// The states that the file replaced, the oldest first.
    pub(crate) ancestors: Vec<Mark>,
    /// The starts of the tags of the last records of the state that the file replaced.
    pub(crate) record_tags: Vec<[u8; 8]>,
    /// The tokens of each namespace, in the order first saved. The default namespace has an empty name.
    pub(crate) tokens: BTreeMap<Box<str>, Vec<Token>>,
}

/// All of it as it is read; [`Encoding`] writes the same one part after the other.
#[derive(Deserialize)]
#[cfg_attr(test, derive(Serialize))]
struct Payload<'a> {
    schema: u32,
    next_id: u64,
    ancestors: Vec<Ancestor>,
    record_tags: Vec<[u8; 8]>,
    #[serde(borrow)]
    records: Vec<Record<'a>>,
}

#[derive(Serialize, Deserialize)]
struct Ancestor {
    salt: [u8; 8],
    record_count: u32,
    tag: [u8; 8],
}

#[derive(Serialize, Deserialize)]
struct Record<'a> {
    /// Empty for the default namespace.
    namespace: &'a str,
    id: &'a str,
    user_name: Option<&'a str>,
    client_id: Option<&'a str>,
    client_secret: Option<&'a str>,
    refresh_token: Option<&'a str>,
    access_token: Option<&'a str>,
    grant_token: Option<&'a str>,
    id_token: Option<&'a str>,
    expires_at: Option<u64>,
    received_at: Option<u64>,
    refresh_expires_at: Option<u64>,
    rejected_at: Option<u64>,
    retry_at: Option<u64>,
    failures: u32,
    redirect_url: Option<&'a str>,
    api_domain: Option<&'a str>,
    token_type: Option<&'a str>,
    #[serde(borrow)]
    scopes: Vec<&'a str>,
    #[serde(borrow)]
    attributes: Vec<Attribute<'a>>,
    created_at: u64,
    updated_at: u64,
    revision: u64,
}

#[derive(Serialize, Deserialize)]
struct Attribute<'a> {
    name: &'a str,
    value: &'a str,
}

fn options(limit: u64) -> impl Options {
    // Held by `bytes_after_the_payload_are_refused`: `allow_trailing_bytes` instead of `reject_trailing_bytes`.
    bincode::DefaultOptions::new().with_fixint_encoding().reject_trailing_bytes().with_limit(limit)
}

/// The contents of a plaintext whose tag has been verified, in a file with that header. The tokens carry revisions of
/// their namespaces in that store.
pub(crate) fn decode(plaintext: &[u8], header: &BodyHeader, store: Origin) -> Result<Contents> {
    let payload = unpad(plaintext, |len| padded_len(header.header_len(), len))?;
    let payload: Payload<'_> = options(length(payload.len()))
        .deserialize(payload)
        .map_err(|_| malformed("its payload is not what bincode writes"))?;
    // Held by `every_rule_of_the_domain_is_held`.
    if payload.schema != SCHEMA {
        return Err(malformed("its payload has an unknown schema"));
    }
    // Held by `ancestors_fit_the_generation`.
    if payload.ancestors.len() != header.ancestor_count() {
        return Err(malformed("its ancestors do not fit its generation"));
    }
    let ancestors: Vec<Mark> = payload.ancestors.iter().map(mark_of).collect();
    check_record_tags(&payload.record_tags, ancestors.last())?;
    let contents = Contents {
        next_id: payload.next_id,
        ancestors,
        record_tags: payload.record_tags,
        tokens: by_namespace(payload.records, store)?,
    };
    // Held by `every_rule_of_the_domain_is_held`.
    check_together(&contents)?;
    Ok(contents)
}

/// The padded plaintext of a row with that token.
pub(crate) fn encode_row(namespace: &str, token: &Token) -> crate::error::Result<SecretBytes> {
    encoding::row(namespace, token)
}

/// The token of a row whose tag has been verified, and its namespace.
pub(crate) fn decode_row(plaintext: &[u8], origin: impl FnOnce(&str) -> Origin) -> Result<(Box<str>, Token)> {
    let record = unpad(plaintext, padded_row_len)?;
    let record: Record<'_> = options(length(record.len()))
        .deserialize(record)
        .map_err(|_| malformed("its record is not what bincode writes"))?;
    let (namespace, rows) = (record.namespace.into(), origin(record.namespace));
    Ok((namespace, token_of(record, rows)?))
}

/// The length of the plaintext of a row with a record of that length: Padmé, rounded up to a multiple of 256.
pub(crate) fn padded_row_len(record_len: u64) -> Option<usize> {
    usize::try_from(padme(record_len)?.checked_next_multiple_of(ROW_BLOCK)?).ok()
}

/// The length of a plaintext with a payload of that length, after a header of that length: Padmé, and then as much as
/// rounds the file up to whole blocks. So a file's size says little about its contents.
pub(crate) fn padded_len(header_len: usize, payload_len: u64) -> Option<usize> {
    let around = length(header_len).checked_add(length(TAG_LEN))?;
    let file_len = padme(payload_len)?.checked_add(around)?.checked_next_multiple_of(length(BLOCK))?;
    usize::try_from(file_len.checked_sub(around)?).ok()
}

/// Padmé (Nikitin et al., PETS 2019) of a payload of that length and its prefix.
fn padme(payload_len: u64) -> Option<u64> {
    let len = payload_len.checked_add(length(LENGTH_LEN))?;
    // Below its leading bit, 2^exponent, the length keeps as many bits as it takes to write the exponent.
    let exponent = len.checked_ilog2()?;
    let kept = exponent.checked_ilog2()?.checked_add(1)?;
    let step = 1_u64.checked_shl(exponent.checked_sub(kept)?)?;
    len.checked_next_multiple_of(step)
}

/// The payload of a plaintext that has the length which `padded_len` gives for it.
fn unpad(plaintext: &[u8], padded_len: impl Fn(u64) -> Option<usize>) -> Result<&[u8]> {
    let wrong = || malformed("its plaintext is not padded as its length asks");
    let (len, rest) = plaintext.split_first_chunk::<LENGTH_LEN>().ok_or_else(wrong)?;
    let len = u32::from_le_bytes(*len);
    // Held by `a_plaintext_has_exactly_its_padding`.
    if padded_len(len.into()) != Some(plaintext.len()) {
        return Err(wrong());
    }
    let (payload, padding) = usize::try_from(len).ok().and_then(|len| rest.split_at_checked(len)).ok_or_else(wrong)?;
    // Held by `a_plaintext_has_exactly_its_padding`.
    if !is_zero(padding) {
        return Err(wrong());
    }
    Ok(payload)
}

fn mark_of(ancestor: &Ancestor) -> Mark {
    let Ancestor { salt, record_count, tag } = *ancestor;
    Mark { salt, record_count, tag }
}

/// That the tags are those of the last records of the state that was replaced.
fn check_record_tags(tags: &[[u8; 8]], replaced: Option<&Mark>) -> Result<()> {
    let count = replaced.map_or(0, |mark| usize::try_from(mark.record_count).unwrap_or(usize::MAX));
    let is_last = match (tags.last(), replaced) {
        (Some(last), Some(mark)) => *last == mark.tag,
        _ => true,
    };
    // Held by `tags_of_records_fit_the_replaced_state`: `is_last`; without `&& is_last`.
    if tags.len() == count.min(MAX_RECORD_TAGS) && is_last {
        return Ok(());
    }
    Err(malformed("its tags of records do not fit the state that it replaced"))
}

fn by_namespace(records: Vec<Record<'_>>, store: Origin) -> Result<BTreeMap<Box<str>, Vec<Token>>> {
    // Held by `namespaces_are_kept_apart_and_in_order`.
    if !records.is_sorted_by_key(|record| record.namespace) {
        return Err(malformed("its records are not in the order of their namespaces"));
    }
    let mut tokens = BTreeMap::new();
    let mut records = records.into_iter().peekable();
    while let Some(first) = records.next() {
        let name = first.namespace;
        let origin = store.within(name);
        // Held by `namespaces_are_kept_apart_and_in_order`.
        if name.len() > MAX_NAMESPACE_LEN {
            return Err(malformed("a token's namespace is longer than 256 bytes"));
        }
        let mut of_namespace = vec![token_of(first, origin)?];
        while let Some(record) = records.next_if(|record| record.namespace == name) {
            of_namespace.push(token_of(record, origin)?);
        }
        tokens.insert(Box::from(name), of_namespace);
    }
    Ok(tokens)
}

fn token_of(record: Record<'_>, origin: Origin) -> Result<Token> {
    // Held by `every_rule_of_the_domain_is_held`.
    check_order(&record)?;
    // Held by `every_rule_of_the_domain_is_held`.
    if record.revision == 0 {
        return Err(malformed("a token's revision is zero"));
    }
    let token = Token::from(Fields {
        id: Some(TokenId::from(filled(record.id)?)),
        user_name: text(record.user_name)?,
        client_id: text(record.client_id)?,
        client_secret: text(record.client_secret)?,
        refresh_token: text(record.refresh_token)?,
        access_token: text(record.access_token)?,
        grant_token: text(record.grant_token)?,
        id_token: text(record.id_token)?,
        expires_at: record.expires_at.map(millis).transpose()?.into(),
        received_at: record.received_at.map(millis).transpose()?,
        refresh_expires_at: record.refresh_expires_at.map(millis).transpose()?,
        rejected_at: record.rejected_at.map(millis).transpose()?,
        retry_at: record.retry_at.map(millis).transpose()?,
        failed_refreshes: record.failures,
        redirect_url: text(record.redirect_url)?,
        api_domain: text(record.api_domain)?,
        token_type: text(record.token_type)?,
        scopes: record.scopes.iter().map(|scope| filled(scope).map(str::to_owned)).collect::<Result<_>>()?,
        attributes: record
            .attributes
            .iter()
            .map(|attribute| Ok((filled(attribute.name)?.to_owned(), Secret::from(filled(attribute.value)?))))
            .collect::<Result<_>>()?,
        stored: Some(Stored {
            origin,
            created_at: millis(record.created_at)?,
            updated_at: millis(record.updated_at)?,
            revision: record.revision,
        }),
    });
    // Held by `every_rule_of_the_domain_is_held`, `sizes_are_those_that_can_be_saved`.
    token.check_storable().map_err(|_| malformed("a token could not have been saved"))?;
    Ok(token)
}

fn check_order(record: &Record<'_>) -> Result<()> {
    let mut seen = HashSet::new();
    // Held by `every_rule_of_the_domain_is_held`: `&& false`.
    if !record.scopes.iter().all(|scope| seen.insert(scope)) {
        return Err(malformed("a token has a scope twice"));
    }
    // Held by `every_rule_of_the_domain_is_held`: `<=` instead of `<`.
    if !record.attributes.is_sorted_by(|one, next| one.name < next.name) {
        return Err(malformed("a token's attributes are out of order"));
    }
    Ok(())
}

/// What tokens must be beside each other.
fn check_together(contents: &Contents) -> Result<()> {
    // Held by `every_rule_of_the_domain_is_held`.
    if !(TokenId::FIRST..=TokenId::LAST + 1).contains(&contents.next_id) {
        return Err(malformed("its next id is out of range"));
    }
    for tokens in contents.tokens.values() {
        let (mut ids, mut users) = (HashSet::with_capacity(tokens.len()), HashSet::with_capacity(tokens.len()));
        for token in tokens {
            // Held by `every_rule_of_the_domain_is_held`: `&& false`.
            if !token.id().is_some_and(|id| ids.insert(id)) {
                return Err(malformed("two tokens have one id"));
            }
            // Held by `every_rule_of_the_domain_is_held`, `one_user_name_may_have_several_clients_but_each_once`:
            // `&& false`.
            // A user may have several clients.
            // Held by `one_user_name_may_have_several_clients_but_each_once`: `Some("")` instead of
            // `token.client_id()`.
            if token.user_name().is_some_and(|name| !users.insert((name, token.client_id()))) {
                return Err(malformed("two tokens have one user name and client id"));
            }
            // Held by `every_rule_of_the_domain_is_held`: `> contents.next_id + 1` instead of `>= contents.next_id`.
            if token.id().and_then(TokenId::number).is_some_and(|number| number >= contents.next_id) {
                return Err(malformed("a token has an id that is yet to be chosen"));
            }
        }
    }
    Ok(())
}

fn text<'a, T: From<&'a str>>(text: Option<&'a str>) -> Result<Option<T>> {
    text.map(|text| filled(text).map(T::from)).transpose()
}

fn filled(text: &str) -> Result<&str> {
    // Held by `no_text_is_empty`.
    if text.is_empty() { Err(malformed("an empty text stands where none should")) } else { Ok(text) }
}

fn millis(millis: u64) -> Result<Millis> {
    // Held by `every_rule_of_the_domain_is_held`: `Ok(Millis::new(millis.min(1)).ok_or(malformed(""))?)`.
    Millis::new(millis).ok_or(malformed("a time is after the year 9999"))
}

fn malformed(rule: &'static str) -> FileFlaw {
    FileFlaw::malformed(rule)
}

#[cfg(test)]
mod tests;
