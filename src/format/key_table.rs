//! The layout of a key table: the key slots that hold a store key. The bytes are the same in a file and in a vault.

use std::ops::RangeInclusive;

use ring::digest::{SHA256, digest};

use super::{
    CHECK_LEN, Commitment, Fields, KeyId, Mac, OUT_OF_BOUNDS, RESERVED, Result, Salt, StoreId, TAG_LEN, VERSION,
    WRONG_SHAPE, after_version, check_digest, note::NOTE_LEN,
};
use crate::{
    error::{Error, FileFlaw, SlotLimit},
    id::SlotId,
    kdf::KdfParams,
    slot::SlotKind,
};

/// The magic of a file, with another letter.
const MAGIC: [u8; 8] = *b"\x89TKV\r\n\x1a\n";
/// Everything before the first slot.
const START_LEN: usize = 48;
const MAX_SLOTS: usize = 8;
const MAX_PASSPHRASE_SLOTS: usize = 4;
const ARGON2_VERSION: u8 = 0x13;
/// The part of a slot before its data.
const SLOT_START_LEN: usize = 64;
/// A slot without data.
const SLOT_LEN: usize = SLOT_START_LEN + 32 + 48;
/// A table without slots.
const FRAME_LEN: usize = START_LEN + 32 + TAG_LEN + 32 + CHECK_LEN;

/// A key table as it was parsed, or is to be encoded. Only its mac tells whether it is authentic.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct KeyTable {
    pub(crate) store_id: StoreId,
    pub(crate) key_id: KeyId,
    pub(crate) revision: u64,
    pub(crate) slots: Vec<Slot>,
    pub(crate) notes_salt: Salt,
    /// Ciphertext and tag.
    pub(crate) sealed_notes: Vec<u8>,
    pub(crate) mac: Mac,
}

/// A key slot: it holds the store key, sealed with a key that an unlock method gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) kind: SlotKind,
    pub(crate) id: SlotId,
    pub(crate) salt: Salt,
    /// An external slot has it, and no other.
    pub(crate) external: Option<ExternalData>,
    pub(crate) commitment: Commitment,
    pub(crate) wrapped_key: [u8; 48],
}

/// What an external slot tells about its key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct ExternalData {
    pub(crate) provider: Box<str>,
    pub(crate) public: Box<[u8]>,
}

impl ExternalData {
    /// The name of a provider has at most this many bytes.
    pub(crate) const MAX_PROVIDER_LEN: usize = 64;
    /// The public data of a slot has at most this many bytes.
    pub(crate) const MAX_PUBLIC_LEN: usize = 1024;
    /// How many bytes both have with their lengths.
    const LENGTHS: RangeInclusive<usize> = 2 + 1 + 2..=2 + Self::MAX_PROVIDER_LEN + 2 + Self::MAX_PUBLIC_LEN;
}

impl KeyTable {
    /// How many bytes a key table may have.
    pub(crate) const LENGTHS: RangeInclusive<usize> =
        FRAME_LEN + SLOT_LEN + NOTE_LEN..=FRAME_LEN + MAX_SLOTS * (SLOT_LEN + *ExternalData::LENGTHS.end() + NOTE_LEN);

    /// Parses the bytes of a key table that stands by itself.
    pub(crate) fn parse_alone(bytes: &[u8]) -> Result<Self> {
        after_version(bytes, MAGIC, *Self::LENGTHS.start())?;
        if bytes.len() > *Self::LENGTHS.end() {
            return Err(OUT_OF_BOUNDS);
        }
        Self::parse(bytes)
    }

    /// Parses the bytes of the key table of a file.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let (content, check) = bytes.split_last_chunk().ok_or(FileFlaw::DamagedHeader)?;
        check_digest(content, check)?;
        let fields = &mut Fields(content);
        // Held by `magic_and_version_inside_of_a_file_are_checked`: `&& false`.
        if fields.array()? != MAGIC {
            return Err(FileFlaw::malformed("its key table does not start as one"));
        }
        // Held by `magic_and_version_inside_of_a_file_are_checked`: `&& false`.
        if fields.u16()? != VERSION {
            return Err(FileFlaw::malformed("the version of its key table is unknown"));
        }
        let slot_count = usize::from(fields.u16()?);
        // Held by `table_has_one_to_eight_slots`.
        if !(1..=MAX_SLOTS).contains(&slot_count) {
            return Err(FileFlaw::malformed("the number of its key slots is not 1 to 8"));
        }
        // Held by `reserved_bytes_are_zero`: `&& false`.
        if fields.u32()? != 0 {
            return Err(RESERVED);
        }
        let (store_id, key_id, revision) = (fields.array()?, fields.array()?, fields.u64()?);
        let slots = (0..slot_count).map(|_| Slot::read(fields)).collect::<Result<_>>()?;
        let (notes_salt, sealed_notes) = (fields.array()?, fields.take(sealed_notes_len(slot_count))?.to_vec());
        let table = Self { store_id, key_id, revision, slots, notes_salt, sealed_notes, mac: fields.array()? };
        // Held by `every_cut_of_a_table_is_noticed`.
        if !fields.0.is_empty() {
            return Err(WRONG_SHAPE);
        }
        table.check_rules()?;
        Ok(table)
    }

    /// What the fields must be together.
    fn check_rules(&self) -> Result<()> {
        // Held by `revision_is_not_zero`.
        if self.revision == 0 {
            return Err(FileFlaw::malformed("the revision of its key table is zero"));
        }
        // Held by `four_slots_may_be_for_passphrases_and_no_more`.
        if self.passphrase_slots() > MAX_PASSPHRASE_SLOTS {
            return Err(FileFlaw::malformed("it has more than four passphrase slots"));
        }
        let mut ids: Vec<_> = self.slots.iter().map(|slot| slot.id).collect();
        ids.sort_unstable();
        ids.dedup();
        // Held by `slot_ids_are_unique`.
        if ids.len() != self.slots.len() {
            return Err(FileFlaw::malformed("two of its key slots have one id"));
        }
        Ok(())
    }

    /// Whether a slot of that kind may be added.
    pub(crate) fn check_room(&self, kind: SlotKind) -> crate::error::Result<()> {
        // Held by `ninth_slot_and_fifth_passphrase_cost_no_derivation`.
        if self.slots.len() >= MAX_SLOTS {
            return Err(Error::TooManySlots { what: SlotLimit::KeySlots, limit: MAX_SLOTS });
        }
        // Held by `ninth_slot_and_fifth_passphrase_cost_no_derivation`: `&& false`.
        if matches!(kind, SlotKind::Passphrase(_)) && self.passphrase_slots() >= MAX_PASSPHRASE_SLOTS {
            return Err(Error::TooManySlots { what: SlotLimit::Passphrases, limit: MAX_PASSPHRASE_SLOTS });
        }
        Ok(())
    }

    fn passphrase_slots(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot.kind, SlotKind::Passphrase(_))).count()
    }

    /// The slot with that id.
    pub(crate) fn slot(&self, id: SlotId) -> crate::error::Result<&Slot> {
        self.slots.iter().find(|slot| slot.id == id).ok_or(Error::NoSuchSlot { id })
    }

    /// The bytes before `notes_salt`, to which the notes are bound.
    pub(crate) fn bytes_before_notes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(*Self::LENGTHS.start());
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        // At most MAX_SLOTS slots, so the number is not cut.
        out.extend_from_slice(&u16::try_from(self.slots.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(&[0; 4]); // reserved
        out.extend_from_slice(&self.store_id);
        out.extend_from_slice(&self.key_id);
        out.extend_from_slice(&self.revision.to_le_bytes());
        for slot in &self.slots {
            out.extend_from_slice(&slot.head());
            out.extend_from_slice(&slot.commitment);
            out.extend_from_slice(&slot.wrapped_key);
        }
        out
    }

    /// The bytes before the mac, over which it is computed.
    pub(crate) fn bytes_before_mac(&self) -> Vec<u8> {
        let mut out = self.bytes_before_notes();
        out.extend_from_slice(&self.notes_salt);
        out.extend_from_slice(&self.sealed_notes);
        out
    }

    /// All bytes, with their check.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut out = self.bytes_before_mac();
        out.extend_from_slice(&self.mac);
        let check = digest(&SHA256, &out);
        out.extend_from_slice(check.as_ref());
        out
    }
}

/// The length of the sealed notes on so many slots.
fn sealed_notes_len(slots: usize) -> usize {
    slots.saturating_mul(NOTE_LEN).saturating_add(TAG_LEN)
}

impl Slot {
    /// The bytes from the kind to the data, to which commitment and wrapping key are bound.
    pub(crate) fn head(&self) -> Vec<u8> {
        let (kind, version, [m_kib, t, p]) = match self.kind {
            SlotKind::Passphrase(kdf) => (1, ARGON2_VERSION, [kdf.memory_kib(), kdf.passes(), kdf.lanes()]),
            SlotKind::Keychain => (2, 0, [0; 3]),
            SlotKind::RecoveryKey => (3, 0, [0; 3]),
            SlotKind::External => (4, 0, [0; 3]),
        };
        let data = self.external.as_ref().map(ExternalData::encode).unwrap_or_default();
        let mut head = Vec::with_capacity(SLOT_START_LEN.saturating_add(data.len()));
        head.extend_from_slice(&[kind, version]);
        head.extend_from_slice(&short_len(&data));
        head.extend_from_slice([m_kib.to_le_bytes(), t.to_le_bytes(), p.to_le_bytes()].as_flattened());
        head.extend_from_slice(&self.id.0);
        head.extend_from_slice(&self.salt);
        head.extend_from_slice(&data);
        head
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self> {
        let [kind, version] = fields.array()?;
        let data_len = usize::from(fields.u16()?);
        let kind = slot_kind(kind, version, fields.u32()?, fields.u32()?, fields.u32()?)?;
        let lengths = if kind == SlotKind::External { ExternalData::LENGTHS } else { 0..=0 };
        // Held by `only_an_external_slot_has_data`.
        if !lengths.contains(&data_len) {
            return Err(BAD_DATA);
        }
        let (id, salt, data) = (SlotId(fields.array()?), fields.array()?, fields.take(data_len)?);
        let external = (kind == SlotKind::External).then(|| ExternalData::read(data).ok_or(BAD_DATA)).transpose()?;
        Ok(Self { kind, id, salt, external, commitment: fields.array()?, wrapped_key: fields.array()? })
    }
}

impl ExternalData {
    fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(*Self::LENGTHS.end());
        for part in [self.provider.as_bytes(), &self.public] {
            out.extend_from_slice(&short_len(part));
            out.extend_from_slice(part);
        }
        out
    }

    fn read(data: &[u8]) -> Option<Self> {
        let fields = &mut Fields(data);
        let (provider, public) = (fields.short_bytes().ok()?, fields.short_bytes().ok()?);
        // Held by `data_of_an_external_slot_keeps_its_limits`: `true` instead of
        // `(1..=Self::MAX_PROVIDER_LEN).contains(&provider.len())`.
        let is_within_limits = (1..=Self::MAX_PROVIDER_LEN).contains(&provider.len())
            // Held by `data_of_an_external_slot_keeps_its_limits`.
            && public.len() <= Self::MAX_PUBLIC_LEN
            // Held by `data_of_an_external_slot_keeps_its_limits`.
            && fields.0.is_empty();
        let provider = str::from_utf8(provider).ok().filter(|_| is_within_limits)?;
        Some(Self { provider: provider.into(), public: public.into() })
    }
}

const BAD_DATA: FileFlaw = FileFlaw::malformed("the data of a key slot is not what its kind has");

/// The number of bytes. Nothing here has more than can be counted so.
fn short_len(bytes: &[u8]) -> [u8; 2] {
    u16::try_from(bytes.len()).unwrap_or(u16::MAX).to_le_bytes()
}

fn slot_kind(kind: u8, version: u8, m_kib: u32, t: u32, p: u32) -> Result<SlotKind> {
    match (kind, version, m_kib, t, p) {
        // Held by `kinds_and_versions_of_slots_are_known`: without `ARGON2_VERSION,`.
        (1, ARGON2_VERSION, ..) => {
            KdfParams::within_limits(m_kib, t, p).map(SlotKind::Passphrase).map_err(FileFlaw::KdfLimit)
        }
        (1, ..) => Err(FileFlaw::malformed("a key slot has an unknown version of argon2")),
        // Held by `reserved_bytes_are_zero`: `..` instead of `0, 0, 0, 0`.
        (2, 0, 0, 0, 0) => Ok(SlotKind::Keychain),
        // Held by `reserved_bytes_are_zero`: `..` instead of `0, 0, 0, 0`.
        (3, 0, 0, 0, 0) => Ok(SlotKind::RecoveryKey),
        // Held by `reserved_bytes_of_an_external_slot_are_zero`: `..` instead of `0, 0, 0, 0`.
        (4, 0, 0, 0, 0) => Ok(SlotKind::External),
        (2..=4, ..) => Err(RESERVED),
        _ => Err(FileFlaw::malformed("a key slot is of an unknown kind")),
    }
}

#[cfg(test)]
mod tests;
