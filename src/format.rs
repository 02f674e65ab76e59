//! The layout of the file: prologue, key slots, check. `docs/format.md` is its specification.
//!
//! Everything here works on bytes that nobody has authenticated: every size and cost is held to its limit before
//! anything is allocated, derived or decrypted for it.

use ring::digest::{SHA256, digest};

use crate::{
    error::{Error, FileFlaw, SlotLimit},
    id::SlotId,
    kdf::KdfParams,
    slot::SlotKind,
};

/// A reason not to use the file. The caller knows the path.
type Result<T> = std::result::Result<T, FileFlaw>;

/// PNG's way: not text, and damaged visibly by a transfer that rewrites line ends.
const MAGIC: [u8; 8] = *b"\x89TKP\r\n\x1a\n";
pub(crate) const VERSION: u16 = 1;
pub(crate) const PROLOGUE_LEN: usize = 128;
pub(crate) const SLOT_LEN: usize = 144;
/// The part of a slot that its commitment and wrapping key are bound to.
pub(crate) const SLOT_BOUND_LEN: usize = 64;
const CHECK_LEN: usize = 32;
const MAX_SLOTS: usize = 8;
const MAX_PASSPHRASE_SLOTS: usize = 4;
const ARGON2_VERSION: u8 = 0x13;
pub(crate) const TAG_LEN: usize = 16;
/// A file is padded to a multiple of this.
pub(crate) const BLOCK: usize = 4096;
/// The longest list of ancestors.
pub(crate) const MAX_ANCESTORS: usize = 64;
const BODY_COMMITMENT: std::ops::Range<usize> = 88..120;

pub(crate) type StoreId = [u8; 16];
pub(crate) type Salt = [u8; 32];
pub(crate) type Commitment = [u8; 32];
pub(crate) type KeyId = [u8; 8];

/// The header: all of the file but the body. What it encodes to, it was parsed from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Header {
    pub(crate) store_id: StoreId,
    pub(crate) generation: u64,
    pub(crate) body_len: u64,
    pub(crate) body_salt: Salt,
    pub(crate) body_commitment: Commitment,
    pub(crate) key_id: KeyId,
    pub(crate) slots: Vec<Slot>,
}

/// What tells one state of a store from any other: the starts of its body's salt and of the tag of its body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Mark {
    pub(crate) salt: [u8; 8],
    pub(crate) tag: [u8; 8],
}

/// One way to the store key.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Slot {
    pub(crate) kind: SlotKind,
    pub(crate) id: SlotId,
    pub(crate) salt: Salt,
    pub(crate) commitment: Commitment,
    pub(crate) wrapped_key: [u8; 48],
}

/// How long the header is, as the first [`PROLOGUE_LEN`] bytes of a file tell it (fewer, if it has no more): enough to
/// refuse, before it is read, a file that is none of ours.
pub(crate) fn header_len(start: &[u8]) -> Result<usize> {
    if start.is_empty() {
        return Err(FileFlaw::Empty);
    }
    let magic = start.get(..MAGIC.len()).unwrap_or(start);
    if !MAGIC.starts_with(magic) {
        return Err(FileFlaw::NotAKeystore);
    }
    let mut fields = Fields(start.get(MAGIC.len()..).unwrap_or_default());
    let version = fields.u16().map_err(|_| truncated(PROLOGUE_LEN, start.len()))?;
    if version != VERSION {
        return Err(FileFlaw::UnsupportedVersion { found: version });
    }
    if start.len() < PROLOGUE_LEN {
        return Err(truncated(PROLOGUE_LEN, start.len()));
    }
    let slots = usize::from(fields.u16()?);
    let told = fields.u32()?;
    let computed = expected_len(slots);
    // A count or a length that is wrong is damage: whoever writes a header on purpose gets both right.
    if !(1..=MAX_SLOTS).contains(&slots) || u64::from(told) != length(computed) {
        return Err(FileFlaw::DamagedHeader);
    }
    Ok(computed)
}

#[expect(clippy::arithmetic_side_effects, reason = "the count of slots is a u16")]
fn expected_len(slots: usize) -> usize {
    PROLOGUE_LEN + slots * SLOT_LEN + CHECK_LEN
}

fn truncated(expected: usize, found: usize) -> FileFlaw {
    FileFlaw::Truncated { expected: length(expected), found: length(found) }
}

/// A length in memory as the file counts it.
pub(crate) fn length(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

impl Header {
    /// Splits a whole file into its header, as parsed and as it stands there, and its body.
    pub(crate) fn parse(file: &mut [u8]) -> Result<(Self, &[u8], &mut [u8])> {
        let header_len = header_len(file.get(..PROLOGUE_LEN).unwrap_or(file))?;
        let file_len = file.len();
        let (header, body) = file.split_at_mut_checked(header_len).ok_or_else(|| truncated(header_len, file_len))?;
        let parsed = Self::parse_exact(header)?;
        let expected = parsed.body_len.saturating_add(length(header_len));
        if length(file_len) < expected {
            return Err(FileFlaw::Truncated { expected, found: length(file_len) });
        }
        if length(file_len) > expected {
            return Err(FileFlaw::malformed("there are bytes after its end"));
        }
        Ok((parsed, header, body))
    }

    /// Parses a header of the length that [`header_len`] tells.
    fn parse_exact(header: &[u8]) -> Result<Self> {
        let (content, check) = header.split_last_chunk::<CHECK_LEN>().ok_or(FileFlaw::DamagedHeader)?;
        if digest(&SHA256, content).as_ref() != check {
            return Err(FileFlaw::DamagedHeader);
        }
        let fields = &mut Fields(content);
        fields.array::<8>()?; // magic
        fields.u16()?; // version
        let slot_count = fields.u16()?;
        fields.u32()?; // header_len
        let body_len = fields.u64()?;
        let features = fields.u32()?;
        let zero = fields.u32()?;
        let mut header = Self {
            body_len,
            store_id: fields.array()?,
            generation: fields.u64()?,
            body_salt: fields.array()?,
            body_commitment: fields.array()?,
            key_id: fields.array()?,
            slots: Vec::with_capacity(slot_count.into()),
        };
        if features != 0 {
            return Err(FileFlaw::UnsupportedFeature { bits: features });
        }
        if zero != 0 {
            return Err(RESERVED);
        }
        for _ in 0..slot_count {
            header.slots.push(Slot::read(fields)?);
        }
        header.check_rules()?;
        Ok(header)
    }

    /// What the fields of a header must be together.
    fn check_rules(&self) -> Result<()> {
        // The sum may wrap: 2^64 is a multiple of a block. Such a file is then refused as truncated.
        let file_len = self.body_len.wrapping_add(length(self.len()));
        if self.body_len <= length(TAG_LEN) || !file_len.is_multiple_of(length(BLOCK)) {
            return Err(FileFlaw::malformed("its body has a length that no padding gives"));
        }
        if self.generation == 0 {
            return Err(FileFlaw::malformed("its generation is zero"));
        }
        if self.passphrase_slots() > MAX_PASSPHRASE_SLOTS {
            return Err(FileFlaw::malformed("it has more than four passphrase slots"));
        }
        let mut ids: Vec<_> = self.slots.iter().map(|slot| slot.id).collect();
        ids.sort_unstable();
        ids.dedup();
        if ids.len() != self.slots.len() {
            return Err(FileFlaw::malformed("two of its key slots have one id"));
        }
        Ok(())
    }

    /// Whether a slot of that kind may be added.
    pub(crate) fn check_room(&self, kind: SlotKind) -> crate::error::Result<()> {
        if self.slots.len() >= MAX_SLOTS {
            return Err(Error::TooManySlots { what: SlotLimit::KeySlots, limit: MAX_SLOTS });
        }
        if matches!(kind, SlotKind::Passphrase(_)) && self.passphrase_slots() >= MAX_PASSPHRASE_SLOTS {
            return Err(Error::TooManySlots { what: SlotLimit::Passphrases, limit: MAX_PASSPHRASE_SLOTS });
        }
        Ok(())
    }

    fn passphrase_slots(&self) -> usize {
        self.slots.iter().filter(|slot| matches!(slot.kind, SlotKind::Passphrase(_))).count()
    }

    /// The length of the header.
    pub(crate) fn len(&self) -> usize {
        expected_len(self.slots.len())
    }

    /// The length of a file with this header's slots and a plaintext of that length.
    pub(crate) fn file_len(&self, plaintext_len: usize) -> u64 {
        length(self.len().saturating_add(TAG_LEN).saturating_add(plaintext_len))
    }

    /// The length of the list of ancestors in a file of this generation.
    pub(crate) fn ancestor_count(&self) -> usize {
        usize::try_from(self.generation.saturating_sub(1)).unwrap_or(usize::MAX).min(MAX_ANCESTORS)
    }

    /// The mark of the state with this header and a body with that tag.
    pub(crate) fn mark(&self, tag: &[u8]) -> Mark {
        Mark { salt: start_of(&self.body_salt), tag: start_of(tag) }
    }

    /// The header's bytes, with its check.
    pub(crate) fn encode(&self) -> Vec<u8> {
        let mut header = self.encode_content();
        let check = digest(&SHA256, &header);
        header.extend_from_slice(check.as_ref());
        header
    }

    /// SHA-256 of the header up to the check, with the body's commitment zero: what the body's key is bound to.
    pub(crate) fn hash_without_commitment(&self) -> [u8; 32] {
        let mut content = self.encode_content();
        if let Some(commitment) = content.get_mut(BODY_COMMITMENT) {
            commitment.fill(0);
        }
        let mut hash = [0; 32];
        hash.copy_from_slice(digest(&SHA256, &content).as_ref());
        hash
    }

    fn encode_content(&self) -> Vec<u8> {
        let len = expected_len(self.slots.len());
        let mut out = Vec::with_capacity(len);
        out.extend_from_slice(&MAGIC);
        out.extend_from_slice(&VERSION.to_le_bytes());
        // At most MAX_SLOTS slots, so neither number is cut.
        out.extend_from_slice(&u16::try_from(self.slots.len()).unwrap_or(u16::MAX).to_le_bytes());
        out.extend_from_slice(&u32::try_from(len).unwrap_or(u32::MAX).to_le_bytes());
        out.extend_from_slice(&self.body_len.to_le_bytes());
        out.extend_from_slice(&[0; 8]); // required features, reserved
        out.extend_from_slice(&self.store_id);
        out.extend_from_slice(&self.generation.to_le_bytes());
        out.extend_from_slice(&self.body_salt);
        out.extend_from_slice(&self.body_commitment);
        out.extend_from_slice(&self.key_id);
        for slot in &self.slots {
            out.extend_from_slice(&slot.bound_bytes());
            out.extend_from_slice(&slot.commitment);
            out.extend_from_slice(&slot.wrapped_key);
        }
        out
    }
}

fn start_of(bytes: &[u8]) -> [u8; 8] {
    bytes.first_chunk().copied().unwrap_or_default()
}

const RESERVED: FileFlaw = FileFlaw::malformed("reserved bytes are not zero");

impl Slot {
    /// The first 64 bytes of the slot.
    pub(crate) fn bound_bytes(&self) -> [u8; SLOT_BOUND_LEN] {
        let (kind, version, [m_kib, t, p]) = match self.kind {
            SlotKind::Passphrase(kdf) => (1, ARGON2_VERSION, [kdf.memory_kib(), kdf.passes(), kdf.lanes()]),
            SlotKind::Keychain => (2, 0, [0; 3]),
            SlotKind::RecoveryKey => (3, 0, [0; 3]),
        };
        let mut bytes = [0; SLOT_BOUND_LEN];
        let cost = [m_kib.to_le_bytes(), t.to_le_bytes(), p.to_le_bytes()];
        let fields: [&[u8]; 4] = [&[kind, version, 0, 0], cost.as_flattened(), &self.id.0, &self.salt];
        for (byte, value) in bytes.iter_mut().zip(fields.into_iter().flatten()) {
            *byte = *value;
        }
        bytes
    }

    fn read(fields: &mut Fields<'_>) -> Result<Self> {
        let [kind, version] = fields.array()?;
        if fields.u16()? != 0 {
            return Err(RESERVED);
        }
        let kind = slot_kind(kind, version, fields.u32()?, fields.u32()?, fields.u32()?)?;
        Ok(Self {
            kind,
            id: SlotId(fields.array()?),
            salt: fields.array()?,
            commitment: fields.array()?,
            wrapped_key: fields.array()?,
        })
    }
}

fn slot_kind(kind: u8, version: u8, m_kib: u32, t: u32, p: u32) -> Result<SlotKind> {
    match (kind, version, m_kib, t, p) {
        (1, ARGON2_VERSION, ..) => {
            KdfParams::within_limits(m_kib, t, p).map(SlotKind::Passphrase).map_err(FileFlaw::KdfLimit)
        }
        (1, ..) => Err(FileFlaw::malformed("a key slot has an unknown version of argon2")),
        (2, 0, 0, 0, 0) => Ok(SlotKind::Keychain),
        (3, 0, 0, 0, 0) => Ok(SlotKind::RecoveryKey),
        (2 | 3, ..) => Err(RESERVED),
        _ => Err(FileFlaw::malformed("a key slot is of an unknown kind")),
    }
}

/// Takes little-endian fields off the front. The lengths were checked before, so none ends early in a sound file.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn array<const N: usize>(&mut self) -> Result<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk().ok_or(FileFlaw::DamagedHeader)?;
        self.0 = rest;
        Ok(*field)
    }

    fn u16(&mut self) -> Result<u16> {
        self.array().map(u16::from_le_bytes)
    }

    fn u32(&mut self) -> Result<u32> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64> {
        self.array().map(u64::from_le_bytes)
    }
}

#[cfg(test)]
mod tests;
