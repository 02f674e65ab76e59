//! *Key table*: the slots and the notes on them.

use std::{
    collections::HashMap,
    sync::{LazyLock, Mutex},
};

use argon2::{Algorithm, Argon2, Params, Version};

use super::{
    Alter, NOTES_SALT, SHA256, SLOT_SALT, Value, digest, hex, hkdf, in_place_of_random_bytes, json, mac, salt, seal,
    sha256, unaltered,
};

/// A key table that is yet to be sealed. Where a field is `None`, it has what it should have there.
pub(crate) struct Table {
    pub(crate) magic: [u8; 8],
    pub(crate) version: u16,
    pub(crate) slot_count: Option<u16>,
    pub(crate) reserved: [u8; 4],
    pub(crate) store_id: [u8; 16],
    pub(crate) key_id: Option<[u8; 8]>,
    pub(crate) revision: u64,
    pub(crate) slots: Vec<Slot>,
    /// One for each slot.
    pub(crate) notes: Vec<Note>,
    /// What the slots hold.
    pub(crate) store_key: [u8; 32],
    /// What the notes are sealed with, if not with that.
    pub(crate) notes_store_key: Option<[u8; 32]>,
    pub(crate) notes_salt: Option<[u8; 32]>,
    /// What the mac is made with, if not with that.
    pub(crate) mac_store_key: Option<[u8; 32]>,
    /// Has all before the notes' salt, to which the notes are bound then.
    pub(crate) alter_slots: Alter,
    /// Has the notes, sealed.
    pub(crate) alter_sealed_notes: Alter,
    /// Has all before the mac, which is right for what it makes of that.
    pub(crate) alter: Alter,
    /// Has the mac, over which the check is right.
    pub(crate) alter_mac: Alter,
    pub(crate) check: Option<[u8; 32]>,
}

impl Table {
    /// In its first revision. All notes are the same.
    pub(crate) fn new(store_id: [u8; 16], store_key: [u8; 32], slots: Vec<Slot>) -> Self {
        Self {
            magic: *b"\x89TKV\r\n\x1a\n",
            version: 1,
            slot_count: None,
            reserved: [0; 4],
            store_id,
            key_id: None,
            revision: 1,
            notes: vec![Note::new("a label", 1_800_000_000_000); slots.len()],
            slots,
            store_key,
            notes_store_key: None,
            notes_salt: None,
            mac_store_key: None,
            alter_slots: unaltered(),
            alter_sealed_notes: unaltered(),
            alter: unaltered(),
            alter_mac: unaltered(),
            check: None,
        }
    }

    /// With the values that `sound.json` has of it.
    pub(crate) fn seal(&self) -> (Vec<u8>, Value) {
        let key_id = || hkdf(b"", &self.store_key, b"tokenkeep v1 key id\0", 8).try_into().unwrap();
        let key_id: [u8; 8] = self.key_id.unwrap_or_else(key_id);
        let mut table = self.magic.to_vec();
        table.extend(self.version.to_le_bytes());
        table.extend(self.slot_count.unwrap_or(self.slots.len().try_into().unwrap()).to_le_bytes());
        table.extend(self.reserved);
        table.extend(self.store_id);
        table.extend(key_id);
        table.extend(self.revision.to_le_bytes());
        let mut slots = Vec::new();
        for slot in &self.slots {
            let (bytes, values) = slot.seal(&self.store_id, &key_id, &self.store_key);
            table.extend(bytes);
            slots.push(values);
        }

        (self.alter_slots)(&mut table);
        let notes: Vec<_> = self.notes.iter().flat_map(Note::bytes).collect();
        let (notes_key, notes_salt) = self.notes_key(&table, &notes);
        let mut sealed_notes = seal(&notes_key, b"", &notes);
        (self.alter_sealed_notes)(&mut sealed_notes);
        table.extend(notes_salt);
        table.extend(sealed_notes);
        (self.alter)(&mut table);

        let mac_key = hkdf(b"", &self.mac_store_key.unwrap_or(self.store_key), b"tokenkeep v1 key table\0", 32);
        let mut mac = mac(&mac_key, &table).to_vec();
        (self.alter_mac)(&mut mac);
        table.extend(&mac);
        table.extend(self.check.unwrap_or_else(|| sha256(&table)));
        let of_slots = |value: fn(&SlotValues) -> &[u8]| -> Vec<_> { slots.iter().map(value).map(hex).collect() };
        let values = json!({
            "k": of_slots(|slot| &slot.k),
            "wrapping_key": of_slots(|slot| &slot.wrapping_key),
            "slot_commitment": of_slots(|slot| &slot.commitment),
            "store_key": hex(&self.store_key),
            "mac_key": hex(&mac_key),
            "mac": hex(&mac),
            "notes_key": hex(&notes_key),
        });
        (table, values)
    }

    /// With its salt.
    fn notes_key(&self, before: &[u8], notes: &[u8]) -> (Vec<u8>, [u8; 32]) {
        let store_key = self.notes_store_key.unwrap_or(self.store_key);
        let random = in_place_of_random_bytes(b"notes");
        let salt = || salt(&store_key, NOTES_SALT, &random, self.revision, digest(&SHA256, notes).as_ref());
        let salt = self.notes_salt.unwrap_or_else(salt);
        let info = [b"tokenkeep v1 notes\0", digest(&SHA256, before).as_ref()].concat();
        (hkdf(&salt, &store_key, &info, 32), salt)
    }
}

#[derive(Clone)]
pub(crate) struct Note {
    pub(crate) created_at: u64,
    pub(crate) label_len: u16,
    pub(crate) label: [u8; 256],
}

impl Note {
    pub(crate) fn new(label: &str, created_at: u64) -> Self {
        let mut note = Self { created_at, label_len: 0, label: [0; 256] };
        note.set_label(label.as_bytes());
        note
    }

    pub(crate) fn set_label(&mut self, label: &[u8]) {
        self.label_len = label.len().try_into().unwrap();
        self.label.fill(0);
        self.label[..label.len()].copy_from_slice(label);
    }

    fn bytes(&self) -> Vec<u8> {
        [&self.created_at.to_le_bytes()[..], &self.label_len.to_le_bytes(), &self.label].concat()
    }
}

#[derive(Clone)]
pub(crate) struct Slot {
    pub(crate) kind: u8,
    pub(crate) argon2_version: u8,
    pub(crate) data_len: Option<u16>,
    pub(crate) m_kib: u32,
    pub(crate) t: u32,
    pub(crate) p: u32,
    pub(crate) slot_id: [u8; 16],
    pub(crate) salt: Option<[u8; 32]>,
    pub(crate) data: Vec<u8>,
    pub(crate) secret: SlotSecret,
    /// The store that it is bound to, if not to the one that it is in.
    pub(crate) store_id: Option<[u8; 16]>,
    /// The store key that it is bound to by its id, if not to the one that it holds.
    pub(crate) key_id: Option<[u8; 8]>,
    /// What it holds, if not what the others hold.
    pub(crate) store_key: Option<[u8; 32]>,
    /// Whether the tag of what it holds is wrong, and all before it right.
    pub(crate) has_a_wrong_tag: bool,
    /// Whether a passphrase is derived at a higher cost than the least. The bad files ask for absurd costs.
    pub(crate) derives_at_any_cost: bool,
}

#[derive(Clone)]
pub(crate) enum SlotSecret {
    Passphrase(String),
    Key([u8; 32]),
}

/// What a slot is sealed with on the way.
struct SlotValues {
    k: [u8; 32],
    wrapping_key: Vec<u8>,
    commitment: Vec<u8>,
}

/// The least that is allowed.
const LEAST_COST: [u32; 3] = [7168, 5, 1];

/// The data of a slot of kind 4.
pub(crate) fn external_data(provider: impl AsRef<[u8]>, public_data: &[u8]) -> Vec<u8> {
    let with_length = |bytes: &[u8]| [&u16::try_from(bytes.len()).unwrap().to_le_bytes(), bytes].concat();
    [with_length(provider.as_ref()), with_length(public_data)].concat()
}

impl Slot {
    pub(crate) fn passphrase(slot_id: u8, passphrase: impl Into<String>) -> Self {
        let [m_kib, t, p] = LEAST_COST;
        let secret = SlotSecret::Passphrase(passphrase.into());
        Self { kind: 1, argon2_version: 0x13, m_kib, t, p, ..Self::of_key(1, slot_id, secret) }
    }

    pub(crate) fn keychain(slot_id: u8, key: [u8; 32]) -> Self {
        Self::of_key(2, slot_id, SlotSecret::Key(key))
    }

    pub(crate) fn recovery_key(slot_id: u8, key: [u8; 32]) -> Self {
        Self::of_key(3, slot_id, SlotSecret::Key(key))
    }

    pub(crate) fn external(slot_id: u8, key: [u8; 32], data: Vec<u8>) -> Self {
        Self { data, ..Self::of_key(4, slot_id, SlotSecret::Key(key)) }
    }

    fn of_key(kind: u8, slot_id: u8, secret: SlotSecret) -> Self {
        Self {
            kind,
            argon2_version: 0,
            data_len: None,
            m_kib: 0,
            t: 0,
            p: 0,
            slot_id: [slot_id; 16],
            salt: None,
            data: Vec::new(),
            secret,
            store_id: None,
            key_id: None,
            store_key: None,
            has_a_wrong_tag: false,
            derives_at_any_cost: false,
        }
    }

    fn cost(&self) -> [u32; 3] {
        [self.m_kib, self.t, self.p]
    }

    /// *Unlocking*, the other way round.
    fn seal(&self, store_id: &[u8; 16], key_id: &[u8; 8], store_key: &[u8; 32]) -> (Vec<u8>, SlotValues) {
        // As for a slot of the first revision, so that it is the same in all others.
        let random = in_place_of_random_bytes(&self.slot_id);
        let salt = self.salt.unwrap_or_else(|| salt(store_key, SLOT_SALT, &random, 1, &self.slot_id));
        let mut slot = vec![self.kind, self.argon2_version];
        slot.extend(self.data_len.unwrap_or(self.data.len().try_into().unwrap()).to_le_bytes());
        slot.extend(self.cost().map(u32::to_le_bytes).concat());
        slot.extend(self.slot_id);
        slot.extend(salt);
        slot.extend(&self.data);
        let (store_id, key_id) = (self.store_id.unwrap_or(*store_id), self.key_id.unwrap_or(*key_id));
        let k = self.k(&salt);
        let derived = hkdf(&salt, &k, &[b"tokenkeep v1 slot\0", &store_id[..], &key_id, &slot].concat(), 64);
        let (wrapping_key, commitment) = derived.split_at(32);
        slot.extend(commitment);
        let mut wrapped_key = seal(wrapping_key, b"", &self.store_key.unwrap_or(*store_key));
        wrapped_key[47] ^= u8::from(self.has_a_wrong_tag);
        slot.extend(wrapped_key);
        (slot, SlotValues { k, wrapping_key: wrapping_key.to_vec(), commitment: commitment.to_vec() })
    }

    fn k(&self, salt: &[u8; 32]) -> [u8; 32] {
        /// Deriving is slow, and most files have one and the same slot.
        static DERIVED: LazyLock<Mutex<HashMap<Derived, [u8; 32]>>> = LazyLock::new(Mutex::default);
        match &self.secret {
            SlotSecret::Key(key) => *key,
            SlotSecret::Passphrase(_) if self.cost() != LEAST_COST && !self.derives_at_any_cost => [0; 32],
            SlotSecret::Passphrase(text) => {
                let derive = || {
                    let [m_kib, t, p] = self.cost();
                    let params = Params::new(m_kib, t, p, Some(32)).unwrap();
                    let salt = [b"tokenkeep v1 argon2id\0", &salt[..]].concat();
                    let mut k = [0; 32];
                    let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
                    argon2.hash_password_into(text.as_bytes(), &salt, &mut k).unwrap();
                    k
                };
                let of = (text.clone(), *salt, self.cost());
                *DERIVED.lock().unwrap().entry(of).or_insert_with(derive)
            }
        }
    }
}

/// A passphrase, a salt and a cost.
type Derived = (String, [u8; 32], [u32; 3]);
