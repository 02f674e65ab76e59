//! The notes on key slots: what a key table keeps of a slot encrypted.

use super::{Fields, Result, is_zero};
use crate::{error::FileFlaw, secret::SecretBytes, time::Millis};

/// A label may have this many bytes.
pub(crate) const MAX_LABEL_LEN: usize = 256;
/// Creation time, length of the label, label.
pub(super) const NOTE_LEN: usize = 8 + 2 + MAX_LABEL_LEN;

/// The note on one slot.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct SlotNote {
    pub(crate) label: String,
    pub(crate) created_at: Millis,
}

/// The notes on all slots, before they are sealed. A label that is too long is cut: callers check its length.
pub(crate) fn encode_notes(notes: &[SlotNote]) -> SecretBytes {
    // As long from the start as they get, because reallocating would leave labels behind.
    let mut out = SecretBytes::new(vec![0; notes.len().saturating_mul(NOTE_LEN)]);
    for (note, SlotNote { label, created_at }) in out.chunks_mut(NOTE_LEN).zip(notes) {
        let label = label.as_bytes().get(..MAX_LABEL_LEN).unwrap_or(label.as_bytes());
        let len = u16::try_from(label.len()).unwrap_or_default().to_le_bytes();
        let fields = created_at.get().to_le_bytes().into_iter().chain(len).chain(label.iter().copied());
        note.iter_mut().zip(fields).for_each(|(byte, value)| *byte = value);
    }
    out
}

/// The notes on so many slots.
pub(crate) fn decode_notes(notes: &[u8]) -> Result<Vec<SlotNote>> {
    notes.chunks(NOTE_LEN).map(decode_note).collect()
}

fn decode_note(note: &[u8]) -> Result<SlotNote> {
    let malformed = FileFlaw::malformed;
    let fields = &mut Fields(note);
    let created_at = Millis::new(fields.u64()?).ok_or(malformed("a time is after the year 9999"))?;
    // Held by `each_rule_of_notes_is_checked`: `fields.short_bytes().unwrap_or_default()`.
    let label = fields.short_bytes().map_err(|_| malformed("a slot's label is longer than 256 bytes"))?;
    // Held by `each_rule_of_notes_is_checked`.
    if !is_zero(fields.0) {
        return Err(malformed("there are bytes after a slot's label"));
    }
    let label = str::from_utf8(label).map_err(|_| malformed("a slot's label is not UTF-8"))?;
    Ok(SlotNote { label: label.to_owned(), created_at })
}
