//! What a journal makes of the rows of a file that no store has open, for the fuzzer.

use super::{
    journal::{AtDamage, Journal},
    state::origin_of,
};
use crate::{
    codec::Contents,
    error::{FileFlaw, Result},
    format::{BodyHeader, Tag},
    namespaces::Namespaces,
    vault::Vault,
};

/// The rows after the records of a journal.
pub(crate) struct Replayed {
    pub(crate) rows: Namespaces,
    pub(crate) records: u32,
    pub(crate) is_torn: bool,
}

/// As opening a store does it. The records are decrypted in place.
pub(crate) fn replay(
    vault: &Vault,
    header: &BodyHeader,
    body_tag: Tag,
    contents: Contents,
    bytes: &mut [u8],
) -> Result<Result<Replayed, FileFlaw>> {
    let mut rows = Namespaces::new(origin_of(vault), contents.next_id, contents.tokens);
    let mut journal = Journal::new(header, body_tag);
    let replayed = journal.replay(bytes, vault, header, &mut rows, AtDamage::Refuse)?;
    Ok(replayed.map(|()| Replayed { rows, records: journal.record_count(), is_torn: journal.is_torn() }))
}
