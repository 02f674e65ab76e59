//! The bad files: for each its name, which says the one thing that is wrong with it, how it is made of the sound one,
//! and what it is refused as. And the sound files that are made in the same way.

use std::sync::LazyLock;

use tokenkeep::{Error, FileFlaw, KdfCost, KeychainFailure};

use crate::writer::{
    Ancestor, Draft, Note, Payload, Record, Slot, TEXTS_AFTER_TIMES, TEXTS_BEFORE_TIMES, TIMES, recompute_check,
};

pub(crate) const PASSPHRASE: &str = "canary passphrase";
/// 00 01 … 1F, as `docs/format.md` spells it.
pub(crate) const RECOVERY_KEY: &str = "TKR1-000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFP-27FX";
pub(crate) const KEYCHAIN_KEY: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";
pub(crate) const STORE_ID: [u8; 16] = *b"of the bad files";
/// In the slot that the keychain opens.
pub(crate) const KEYCHAIN_SLOT_ID: [u8; 16] = [0x22; 16];

/// The newest time that there can be, and one more.
const AFTER_9999: u64 = 253_402_300_800_000;

/// Sound, with a slot of each kind and two tokens, one of which has everything that a token can have.
pub(crate) fn sound() -> Draft {
    sound_with(sound_slots())
}

fn sound_slots() -> Vec<Slot> {
    vec![
        Slot::passphrase(0x11, PASSPHRASE),
        Slot::keychain(KEYCHAIN_SLOT_ID[0], key_from(0x20)),
        Slot::recovery_key(0x33, key_from(0)),
    ]
}

pub(crate) fn notes_on(slots: &[Slot]) -> Vec<Note<'static>> {
    let note = |slot: &Slot| Note { slot_id: slot.slot_id, label: "a label", created_at: 1_800_000_000_000 };
    slots.iter().map(note).collect()
}

fn sound_with(slots: Vec<Slot>) -> Draft {
    /// The file before it is the earlier one.
    static ANCESTORS: LazyLock<Vec<Ancestor>> = LazyLock::new(|| {
        let before = Ancestor::made_up(&STORE_ID, GENERATION - 1);
        before.into_iter().chain([Ancestor::of(&earlier().seal())]).collect()
    });
    of_generation(GENERATION, &ANCESTORS, slots)
}

fn of_generation(generation: u64, ancestors: &[Ancestor], slots: Vec<Slot>) -> Draft {
    let notes = notes_on(&slots);
    let full = Record {
        texts: &[
            ("user_name", "ada"),
            ("client_id", "client"),
            ("client_secret", "canary client secret"),
            ("refresh_token", "canary refresh token"),
            ("access_token", "canary access token"),
            ("grant_token", "canary grant token"),
            ("id_token", "canary id token"),
            ("redirect_url", "https://app.example/cb"),
            ("api_domain", "https://api.example"),
            ("token_type", "Bearer"),
        ],
        times: &[
            ("expires_at", 1_900_000_000_123),
            ("received_at", 1_800_000_000_000),
            ("refresh_expires_at", 1_950_000_000_456),
            ("rejected_at", 1_800_000_050_000),
            ("retry_at", 1_800_000_060_000),
        ],
        failures: 3,
        scopes: &["z.read", "a.write"],
        attributes: &[("account", "canary account"), ("region", "canary region")],
        updated_at: 1_800_000_000_002,
        revision: 2,
        ..Record::new("1", &[])
    };
    let second = Record {
        created_at: 1_800_000_000_003,
        updated_at: 1_800_000_000_003,
        ..Record::new("7", &[("user_name", "grace"), ("refresh_token", "canary of grace")])
    };
    Draft {
        magic: [0x89, 0x54, 0x4B, 0x50, 0x0D, 0x0A, 0x1A, 0x0A],
        version: 1,
        slot_count: None,
        header_len: None,
        body_len: None,
        required_features: 0,
        reserved: [0; 4],
        store_id: STORE_ID,
        generation,
        body_commitment: None,
        key_id: None,
        slots,
        store_key: STORE_KEY,
        body_store_key: None,
        payload: Payload::new(8, &notes, ancestors, &[full, second]),
        alter_plaintext: Box::new(|_| ()),
    }
}

/// What all of them have but an earlier one.
const GENERATION: u64 = 7;
const STORE_KEY: [u8; 32] = [0xA5; 32];

/// A sound state of the same store from before the bad files.
pub(crate) fn earlier() -> Draft {
    let generation = GENERATION - 1;
    of_generation(generation, &Ancestor::made_up(&STORE_ID, generation), sound_slots())
}

/// Sound ones that are one text away from the bad files with one user name and client id.
pub(crate) fn near_one_user_and_client() -> [Draft; 3] {
    let altered = |alter: fn(&mut Payload)| {
        let mut draft = sound();
        alter(&mut draft.payload);
        draft
    };
    [
        altered(|payload| {
            payload.set_text("record 1 user_name", "ada");
            payload.fill_text("record 1 client_id", "Client");
        }),
        altered(|payload| payload.set_text("record 1 user_name", "ada")),
        altered(|payload| {
            payload.clear_text("record 0 user_name");
            payload.clear_text("record 1 user_name");
            payload.fill_text("record 1 client_id", "client");
        }),
    ]
}

pub(crate) const PASSPHRASE_OF_TWO_CLIENTS: &str = "one user, two clients";

/// Sound, and of another store: one user name under two client ids, and once without; and one client id twice without a
/// user name.
pub(crate) fn two_clients() -> Draft {
    let slots = vec![Slot::passphrase(0x44, PASSPHRASE_OF_TWO_CLIENTS), Slot::recovery_key(0x55, key_from(0))];
    let record = Record::new;
    let records = [
        Record {
            times: &[("expires_at", 1_900_000_000_123)],
            updated_at: 1_800_000_000_002,
            revision: 2,
            ..record(
                "1",
                &[
                    ("user_name", "ada"),
                    ("client_id", "confidential"),
                    ("client_secret", "secret of the first client"),
                    ("refresh_token", "refresh token of the first client"),
                    ("access_token", "access token of the first client"),
                ],
            )
        },
        record(
            "2",
            &[
                ("user_name", "ada"),
                ("client_id", "public"),
                ("refresh_token", "refresh token of the second client"),
                ("access_token", "access token of the second client"),
            ],
        ),
        record("3", &[("user_name", "ada"), ("refresh_token", "refresh token without a client")]),
        record("5", &[("client_id", "public"), ("refresh_token", "refresh token without a user")]),
        record("6", &[("client_id", "public"), ("refresh_token", "another one without a user")]),
    ];
    let (store_id, generation) = (*b"of two clients..", 6);
    Draft {
        store_id,
        generation,
        store_key: [0xB6; 32],
        payload: Payload::new(7, &notes_on(&slots), &Ancestor::made_up(&store_id, generation), &records),
        slots,
        ..sound()
    }
}

pub(crate) fn key_from(first: u8) -> [u8; 32] {
    std::array::from_fn(|n| first + u8::try_from(n).unwrap())
}

/// What a file is refused as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Refusal {
    Empty,
    NotAKeystore,
    Truncated {
        expected: u64,
    },
    UnsupportedVersion(u16),
    DamagedHeader,
    UnsupportedFeature(u32),
    /// With a piece of the message.
    Malformed(&'static str),
    /// With the cost, and the value that is asked for.
    KdfLimit(KdfCost, u64),
    /// The secret opens no slot.
    Wrong,
    /// The keychain has no entry for the slot.
    NoEntry,
    NoSuchSlot,
    Tampered,
    /// By an open store alone.
    Replaced,
    Rekeyed,
    /// By `create`, whatever it is.
    AlreadyThere,
}

impl Refusal {
    pub(crate) fn is(self, error: &Error) -> bool {
        use KeychainFailure::{Missing, WrongKey};
        match (self, error) {
            (Self::Empty, Error::BadFile { flaw: FileFlaw::Empty, .. })
            | (Self::NotAKeystore, Error::BadFile { flaw: FileFlaw::NotAKeystore, .. })
            | (Self::DamagedHeader, Error::BadFile { flaw: FileFlaw::DamagedHeader, .. })
            | (Self::Wrong, Error::WrongPassphrase { .. } | Error::WrongRecoveryKey { .. })
            | (Self::NoSuchSlot, Error::NoSlotFor { .. })
            | (Self::Tampered, Error::BadFile { flaw: FileFlaw::Tampered, .. })
            | (Self::Replaced, Error::Replaced { .. })
            | (Self::Rekeyed, Error::Rekeyed { .. })
            | (Self::AlreadyThere, Error::AlreadyExists { .. }) => true,
            (Self::Wrong, Error::Keychain { why, .. }) => *why == WrongKey,
            (Self::NoEntry, Error::Keychain { why, .. }) => *why == Missing,
            (Self::Truncated { expected }, Error::BadFile { flaw: FileFlaw::Truncated { expected: told, .. }, .. }) => {
                expected == *told
            }
            (
                Self::UnsupportedVersion(version),
                Error::BadFile { flaw: FileFlaw::UnsupportedVersion { found, .. }, .. },
            ) => version == *found,
            (
                Self::UnsupportedFeature(expected),
                Error::BadFile { flaw: FileFlaw::UnsupportedFeature { bits, .. }, .. },
            ) => expected == *bits,
            (Self::Malformed(piece), Error::BadFile { flaw: FileFlaw::Malformed(rule), .. }) => {
                rule.to_string().contains(piece)
            }
            (Self::KdfLimit(expected, asked), Error::BadFile { flaw: FileFlaw::KdfLimit(limit), .. }) => {
                (expected, asked) == (limit.cost, limit.asked)
            }
            _ => false,
        }
    }

    /// What the document calls it, for other readers of the bad files.
    pub(crate) fn words(self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::NotAKeystore => "no keystore",
            Self::Truncated { .. } => "truncated",
            Self::UnsupportedVersion(_) => "unsupported version",
            Self::DamagedHeader => "damaged",
            Self::UnsupportedFeature(_) => "unsupported feature",
            Self::Malformed(_) => "malformed",
            Self::KdfLimit(..) => "cost out of bounds",
            Self::Wrong | Self::NoEntry | Self::NoSuchSlot => "wrong secret",
            Self::Tampered => "tampered",
            Self::Replaced | Self::Rekeyed | Self::AlreadyThere => unreachable!("not what a reader tells"),
        }
    }
}

/// The ways to unlock, in which `Row::open` is ordered.
pub(crate) const WAYS: [&str; 3] = ["passphrase", "keychain", "recovery key"];

pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) file: Vec<u8>,
    /// What opening it ends in, in each way.
    pub(crate) open: [Refusal; 3],
    /// How many keys opening it with the passphrase derives.
    pub(crate) derived: u64,
    /// What all operations of a store end in, that was open when the file took its place.
    pub(crate) in_place: Refusal,
    /// What can be told without a key, if anything.
    pub(crate) verify: Option<Refusal>,
    /// Whether it is among the files of `tests/vectors/bad`; else it is large, or there are others of its kind.
    pub(crate) is_frozen: bool,
}

/// One that is refused for its header, at no cost.
fn unread(name: impl Into<String>, refusal: Refusal, file: Vec<u8>) -> Row {
    let verify = Some(refusal);
    Row { name: name.into(), file, open: [refusal; 3], derived: 0, in_place: refusal, verify, is_frozen: true }
}

/// One that is refused for its body, by who has the key.
fn unlocked(name: impl Into<String>, refusal: Refusal, file: Vec<u8>) -> Row {
    Row { derived: 1, verify: None, ..unread(name, refusal, file) }
}

/// One that was changed by somebody without the key: where the change was in what opens the store, that is told.
fn tampered(name: impl Into<String>, open: [Refusal; 3], file: Vec<u8>) -> Row {
    Row { open, ..unlocked(name, Tampered, file) }
}

/// Wrong in its payload, which is sealed as it should be.
fn payload(name: impl Into<String>, what: &'static str, alter: impl FnOnce(&mut Payload)) -> Row {
    unlocked(name, Malformed(what), sealed(|draft| alter(&mut draft.payload)))
}

fn plaintext(name: impl Into<String>, alter: impl Fn(&mut Vec<u8>) + 'static) -> Row {
    unlocked(name, Malformed("not padded"), sealed(|draft| draft.alter_plaintext = Box::new(alter)))
}

impl Row {
    fn in_place(self, in_place: Refusal) -> Self {
        Self { in_place, ..self }
    }

    fn frozen_if(self, is_frozen: bool) -> Self {
        Self { is_frozen, ..self }
    }
}

/// Altered before it is sealed: nothing else is wrong with it.
fn sealed(alter: impl FnOnce(&mut Draft)) -> Vec<u8> {
    let mut draft = sound();
    alter(&mut draft);
    draft.seal()
}

/// Altered after it was sealed, as damage does.
fn damaged(alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut file = sound().seal();
    alter(&mut file);
    file
}

/// Altered after it was sealed, as who does not have the key would: with the check over it.
fn forged(alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    damaged(|file| {
        alter(file);
        recompute_check(file);
    })
}

fn flipped(at: usize) -> impl FnOnce(&mut Vec<u8>) {
    move |file| file[at] ^= 1
}

fn put<const N: usize>(at: usize, bytes: [u8; N]) -> impl FnOnce(&mut Vec<u8>) {
    move |file| file[at..at + N].copy_from_slice(&bytes)
}

use Refusal::{
    DamagedHeader, KdfLimit, Malformed, NoEntry, NoSuchSlot, NotAKeystore, Rekeyed, Replaced, Tampered, Truncated,
    UnsupportedFeature, UnsupportedVersion, Wrong,
};

/// Where the sound file has what.
const SLOT: usize = 144;
const SLOTS: [(&str, usize); 3] = [("passphrase", 128), ("keychain", 128 + SLOT), ("recovery-key", 128 + 2 * SLOT)];
const CHECK: usize = 128 + 3 * SLOT;
const BODY: usize = CHECK + 32;
const LEN: usize = 4096;
/// And how long its plaintext is.
const PLAINTEXT: usize = LEN - BODY - 16;

pub(crate) fn catalogue() -> Vec<Row> {
    let parts = [
        magic_and_version(),
        lengths(),
        check(),
        features_and_reserved_bytes(),
        slots(),
        costs(),
        changed_slots(),
        changed_bodies(),
        padding(),
        shapes_of_the_payload(),
        ends_of_texts_and_lists(),
        namespaces_and_lineage(),
        rules_of_the_store(),
        rules_of_a_record(),
    ];
    parts.into_iter().flatten().collect()
}

fn magic_and_version() -> Vec<Row> {
    let mut rows = vec![
        unread("empty", Refusal::Empty, Vec::new()),
        unread("magic-cut", Truncated { expected: 128 }, damaged(|file| file.truncate(5))),
        unread("magic-alone", Truncated { expected: 128 }, damaged(|file| file.truncate(8))),
        unread("magic-cut-and-wrong", NotAKeystore, b"\x89TKX".to_vec()),
        unread("text-mode-to-unix", NotAKeystore, damaged(|file| *file = without_carriage_returns(file))),
        unread("text-mode-to-windows", NotAKeystore, damaged(|file| *file = with_carriage_returns(file))),
        unread("version-cut", Truncated { expected: 128 }, damaged(|file| file.truncate(9))),
        unread("version-2-and-no-more", UnsupportedVersion(2), b"\x89TKP\r\n\x1a\n\x02\x00".to_vec()),
    ];
    for at in 0..8 {
        rows.push(unread(format!("magic-byte-{at}"), NotAKeystore, sealed(|draft| draft.magic[at] ^= 0x20)));
    }
    for version in [0, 2, 0x100, 0x101, 65_535] {
        let file = sealed(|draft| draft.version = version);
        rows.push(unread(format!("version-{version}"), UnsupportedVersion(version), file));
    }
    rows
}

fn without_carriage_returns(file: &[u8]) -> Vec<u8> {
    let is_line_end = |at: usize| file[at] == b'\r' && file.get(at + 1) == Some(&b'\n');
    (0..file.len()).filter(|at| !is_line_end(*at)).map(|at| file[at]).collect()
}

fn with_carriage_returns(file: &[u8]) -> Vec<u8> {
    file.iter()
        .flat_map(|byte| if *byte == b'\n' { &b"\r\n"[..] } else { std::slice::from_ref(byte) })
        .copied()
        .collect()
}

fn lengths() -> Vec<Row> {
    let no_padding = Malformed("no padding gives");
    let len = u64::try_from(LEN).unwrap();
    let body_len = len - u64::try_from(BODY).unwrap();
    let cut = |len: usize| damaged(|file| file.truncate(len));
    let mut rows = vec![
        // A count and a header to match.
        unread("slot-count-0", DamagedHeader, sealed(|draft| *draft = sound_with(Vec::new()))),
        unread("slot-count-9", DamagedHeader, sealed(|draft| *draft = sound_with(recovery_keys(9)))),
        unread(
            "slot-count-65535",
            DamagedHeader,
            sealed(|draft| (draft.slot_count, draft.header_len) = (Some(65_535), Some(160 + 144 * 65_535))),
        ),
        // A count alone.
        unread("slot-count-one-too-small", DamagedHeader, sealed(|draft| draft.slot_count = Some(2))),
        unread("slot-count-one-too-large", DamagedHeader, sealed(|draft| draft.slot_count = Some(4))),
        unread("cut-in-prologue", Truncated { expected: 128 }, cut(100)),
        unread("cut-after-prologue", Truncated { expected: 592 }, cut(128)),
        unread("cut-in-slot", Truncated { expected: 592 }, cut(300)),
        unread("cut-before-check", Truncated { expected: 592 }, cut(CHECK)),
        unread("cut-in-check", Truncated { expected: 592 }, cut(BODY - 1)),
        unread("cut-after-check", Truncated { expected: len }, cut(BODY)),
        unread("cut-in-body", Truncated { expected: len }, cut(2000)),
        unread("cut-before-tag", Truncated { expected: len }, cut(LEN - 16)),
        unread("cut-by-one-byte", Truncated { expected: len }, cut(LEN - 1)),
        unread("one-byte-after-the-end", Malformed("after its end"), damaged(|file| file.push(0))),
        unread("a-block-after-the-end", Malformed("after its end"), damaged(|file| file.resize(LEN + 4096, 0))),
    ];
    for (name, header_len) in [
        ("zero", 0),
        ("one-too-small", 591),
        ("one-too-large", 593),
        ("a-slot-too-large", 736),
        ("the-file", 4096),
        ("huge", u32::MAX),
    ] {
        let file = sealed(|draft| draft.header_len = Some(header_len));
        rows.push(unread(format!("header-len-{name}"), DamagedHeader, file));
    }
    for (name, told, refusal) in [
        ("zero", 0, no_padding),
        ("a-tag-alone", 16, no_padding),
        ("one-too-small", body_len - 1, no_padding),
        ("one-too-large", body_len + 1, no_padding),
        ("without-the-tag", body_len - 16, no_padding),
        ("largest", u64::MAX, no_padding),
        ("largest-with-padding", u64::MAX - 4095 - 592, Truncated { expected: u64::MAX - 4095 }),
        // With the header it is 2^64.
        ("with-header-overflows-64-bits", u64::MAX - 591, Truncated { expected: u64::MAX }),
        ("4-gib", (1 << 32) - 592, Truncated { expected: 1 << 32 }),
        // In 32 bits as long as it is.
        ("4-gib-and-the-file", (1 << 32) + body_len, Truncated { expected: (1 << 32) + len }),
        ("a-block-too-large", body_len + 4096, Truncated { expected: len + 4096 }),
    ] {
        rows.push(unread(format!("body-len-{name}"), refusal, sealed(|draft| draft.body_len = Some(told))));
    }
    let two_blocks = move |draft: &mut Draft| {
        draft.alter_plaintext = Box::new(|plaintext| plaintext.resize(PLAINTEXT + 4096, 0));
        draft.body_len = Some(body_len);
    };
    rows.push(unread("body-len-a-block-too-small", Malformed("after its end"), sealed(two_blocks)));
    rows
}

fn recovery_keys(count: u8) -> Vec<Slot> {
    (0..count).map(|n| Slot::recovery_key(n, key_from(0))).collect()
}

/// One bit, in each area that the check is over, and in itself.
fn check() -> Vec<Row> {
    let areas = [
        ("body-len", 17),
        ("required-features", 24),
        ("reserved", 28),
        ("store-id", 40),
        ("generation", 48),
        ("body-salt", 60),
        ("body-commitment", 119),
        ("key-id", 127),
        ("slot-kind", 128),
        ("slot-argon2-version", 129),
        ("slot-reserved", 131),
        ("slot-memory", 134),
        ("slot-passes", 136),
        ("slot-lanes", 143),
        ("slot-id", 150),
        ("slot-salt", 175),
        ("slot-commitment", 200),
        ("slot-wrapped-key", 240),
        ("last-byte-of-the-slots", CHECK - 1),
        ("first-byte-of-the-check", CHECK),
        ("last-byte-of-the-check", BODY - 1),
    ];
    areas.map(|(area, at)| unread(format!("check-{area}"), DamagedHeader, damaged(flipped(at)))).into()
}

fn features_and_reserved_bytes() -> Vec<Row> {
    let reserved = Malformed("reserved bytes");
    let mut rows = Vec::new();
    for (name, bits) in [("lowest-bit", 1), ("bit-15", 1 << 15), ("highest-bit", 1 << 31), ("all", u32::MAX)] {
        let file = sealed(|draft| draft.required_features = bits);
        rows.push(unread(format!("features-{name}"), UnsupportedFeature(bits), file));
    }
    for at in 0..4 {
        rows.push(unread(format!("reserved-byte-{at}"), reserved, sealed(|draft| draft.reserved[at] = 1)));
    }
    for ((name, _), slot) in SLOTS.iter().zip(0..) {
        for at in 0..2 {
            let file = sealed(|draft| draft.slots[slot].reserved[at] = 0x80);
            rows.push(unread(format!("{name}-slot-reserved-byte-{at}"), reserved, file));
        }
    }
    for (name, slot) in [("keychain", 1), ("recovery-key", 2)] {
        for (field, alter) in [
            ("argon2-version", (|slot| slot.argon2_version = 0x13) as fn(&mut Slot)),
            ("memory", |slot| slot.m_kib = 7168),
            ("passes", |slot| slot.t = 5),
            ("lanes", |slot| slot.p = 1),
        ] {
            let file = sealed(|draft| alter(&mut draft.slots[slot]));
            rows.push(unread(format!("{name}-slot-with-{field}"), reserved, file));
        }
    }
    rows
}

fn slots() -> Vec<Row> {
    let mut rows = vec![
        unread("generation-0", Malformed("generation is zero"), sealed(|draft| draft.generation = 0)),
        unread(
            "generation-0-without-ancestors",
            Malformed("generation is zero"),
            of_generation(0, &[], sound_slots()).seal(),
        ),
        unread(
            "two-slots-with-one-id",
            Malformed("one id"),
            sealed(|draft| *draft = sound_with([recovery_keys(1), recovery_keys(3)].concat())),
        ),
        unread("five-passphrases", Malformed("more than four"), sealed(|draft| *draft = passphrases(5, [7168, 5, 1]))),
        unread(
            "eight-passphrases-at-the-highest-cost",
            Malformed("more than four"),
            sealed(|draft| *draft = passphrases(8, [1 << 20, 2, 16])),
        ),
    ];
    for kind in [0, 4, 255] {
        let file = sealed(|draft| draft.slots[2].kind = kind);
        rows.push(unread(format!("slot-kind-{kind}"), Malformed("unknown kind"), file));
    }
    for version in [0, 0x10, 0x14] {
        let file = sealed(|draft| draft.slots[0].argon2_version = version);
        rows.push(unread(format!("argon2-version-{version:#04x}"), Malformed("version of argon2"), file));
    }
    rows
}

/// Passphrases at a cost, and a recovery key while there is room for it.
pub(crate) fn passphrases(count: u8, [m_kib, t, p]: [u32; 3]) -> Draft {
    let slot = |n| Slot { m_kib, t, p, ..Slot::passphrase(n, PASSPHRASE) };
    sound_with((1..=count).map(slot).chain((count < 8).then(|| Slot::recovery_key(0x33, key_from(0)))).collect())
}

fn costs() -> Vec<Row> {
    let max = u32::MAX;
    [
        ("memory-0", [0, 5, 1], KdfCost::MemoryKib, 0),
        ("memory-one-too-small", [7167, 6, 1], KdfCost::MemoryKib, 7167),
        ("memory-one-too-large", [(1 << 20) + 1, 1, 1], KdfCost::MemoryKib, (1 << 20) + 1),
        // In bytes more than 32 bits hold.
        ("memory-4-gib", [1 << 22, 1, 1], KdfCost::MemoryKib, 1 << 22),
        ("memory-largest", [max, 1, 1], KdfCost::MemoryKib, max.into()),
        ("passes-0", [1 << 20, 0, 1], KdfCost::Passes, 0),
        ("passes-one-too-large", [7168, 17, 1], KdfCost::Passes, 17),
        ("passes-largest", [7168, max, 1], KdfCost::Passes, max.into()),
        ("lanes-0", [7168, 5, 0], KdfCost::Lanes, 0),
        ("lanes-one-too-large", [7168, 5, 17], KdfCost::Lanes, 17),
        ("lanes-largest", [7168, 5, max], KdfCost::Lanes, max.into()),
        ("product-one-too-small", [35_839, 1, 1], KdfCost::MemoryKibTimesPasses, 35_839),
        ("product-too-small", [7168, 4, 1], KdfCost::MemoryKibTimesPasses, 28_672),
        ("product-one-step-too-large", [(1 << 17) + 1, 16, 1], KdfCost::MemoryKibTimesPasses, (1 << 21) + 16),
        ("product-largest-of-both", [1 << 20, 16, 16], KdfCost::MemoryKibTimesPasses, 1 << 24),
        // Both become nothing in 32 bits, the last in 64 bits too.
        ("product-overflows-32-bits", [1 << 16, 1 << 16, 1], KdfCost::Passes, 1 << 16),
        ("product-with-lanes-overflows-32-bits", [1 << 20, 1, 1 << 12], KdfCost::Lanes, 1 << 12),
        ("product-of-all-overflows-64-bits", [1 << 31, 1 << 31, 1 << 31], KdfCost::MemoryKib, 1 << 31),
        ("all-largest", [max, max, max], KdfCost::MemoryKib, max.into()),
    ]
    .map(|(name, [m_kib, t, p], what, asked)| {
        let alter = |draft: &mut Draft| draft.slots[0] = Slot { m_kib, t, p, ..draft.slots[0].clone() };
        unread(format!("cost-{name}"), KdfLimit(what, asked), sealed(alter))
    })
    .into()
}

/// What can be done to the slots without the store key.
fn changed_slots() -> Vec<Row> {
    let mut rows = Vec::new();
    for ((name, at), way) in SLOTS.iter().zip(0..) {
        let mut open = [Tampered; 3];
        open[way] = Wrong;
        for (field, offset) in [
            ("salt", 32),
            ("commitment", 64),
            ("last-byte-of-commitment", 95),
            ("wrapped-key", 96),
            ("wrapped-key-tag", 143),
        ] {
            rows.push(tampered(format!("{name}-slot-{field}-changed"), open, forged(flipped(at + offset))));
        }
        // What the keychain has is found by the slot's id.
        open[way] = if way == 1 { NoEntry } else { Wrong };
        rows.push(tampered(format!("{name}-slot-id-changed"), open, forged(flipped(at + 16))));
        open[way] = Wrong;
        let of_another_store = |draft: &mut Draft| draft.slots[way].store_id = Some(*b"of another store");
        let other = sealed(of_another_store)[*at..*at + SLOT].to_vec();
        let file = forged(|file| file[*at..*at + SLOT].copy_from_slice(&other));
        rows.push(tampered(format!("{name}-slot-of-another-store"), open, file));
        let of_another_key = |draft: &mut Draft| draft.slots[way].key_id = Some(*b"another ");
        let other = sealed(of_another_key)[*at..*at + SLOT].to_vec();
        let file = forged(|file| file[*at..*at + SLOT].copy_from_slice(&other));
        rows.push(tampered(format!("{name}-slot-of-another-key-id"), open, file));
    }
    let [(_, passphrase), (_, keychain), (_, recovery_key)] = SLOTS;
    rows.push(tampered("slot-with-more-passes", [Wrong, Tampered, Tampered], forged(put(passphrase + 8, [6, 0]))));
    rows.push(tampered("slot-with-more-lanes", [Wrong, Tampered, Tampered], forged(put(passphrase + 12, [2, 0]))));
    let became_recovery_key = forged(put(keychain, [3]));
    rows.push(tampered("slot-of-the-keychain-as-recovery-key", [Tampered, NoSuchSlot, Tampered], became_recovery_key));
    let swapped = forged(|file| {
        let (one, other) = file.split_at_mut(recovery_key);
        one[keychain..].swap_with_slice(&mut other[..SLOT]);
    });
    rows.push(tampered("slots-exchanged", [Tampered; 3], swapped));
    let without_recovery_key = |file: &mut Vec<u8>| {
        drop(file.drain(recovery_key..recovery_key + SLOT));
        put(10, [2, 0, 0xC0, 0x01])(file); // two slots in 448 bytes
    };
    let no_padding = Malformed("no padding gives");
    rows.push(unread("slot-removed-and-the-file-shortened", no_padding, forged(without_recovery_key)));
    let removed = forged(|file| {
        without_recovery_key(file);
        fit_body(file, BODY - SLOT);
    });
    rows.push(tampered("slot-removed", [Tampered, Tampered, NoSuchSlot], removed));
    let mut slots = sound().slots;
    slots.push(Slot::recovery_key(0x44, key_from(0x40)));
    let added = Draft { slots, ..sound() }.seal()[CHECK..CHECK + SLOT].to_vec();
    let with_another = |file: &mut Vec<u8>| {
        drop(file.splice(CHECK..CHECK, added));
        put(10, [4, 0, 0xE0, 0x02])(file); // four slots in 736 bytes
    };
    rows.push(unread("slot-added-and-the-file-lengthened", no_padding, forged(with_another.clone())));
    let added = forged(|file| {
        with_another(file);
        fit_body(file, BODY + SLOT);
    });
    rows.push(tampered("slot-added", [Tampered; 3], added));
    rows
}

/// Makes the body as long as a file of one block has it after another header.
fn fit_body(file: &mut Vec<u8>, header_len: usize) {
    file.resize(LEN, 0);
    put(16, u64::try_from(LEN - header_len).unwrap().to_le_bytes())(file);
}

/// What can be done to the prologue and the body without the store key, and what with one that is not the slots'.
fn changed_bodies() -> Vec<Row> {
    let earlier = earlier().seal();
    vec![
        tampered("store-id-changed", [Wrong, NoEntry, Wrong], forged(flipped(32))).in_place(Replaced),
        tampered("generation-raised", [Tampered; 3], forged(put(48, [8]))),
        tampered("generation-largest", [Tampered; 3], forged(put(48, [0xFF; 8]))),
        tampered("generation-lowered", [Tampered; 3], forged(put(48, [6]))),
        tampered("body-salt-changed", [Tampered; 3], forged(flipped(56))),
        tampered("body-commitment-changed", [Tampered; 3], forged(flipped(88))),
        tampered("key-id-changed", [Wrong; 3], forged(flipped(120))).in_place(Rekeyed),
        tampered("body-first-bit-flipped", [Tampered; 3], damaged(flipped(BODY))),
        tampered("body-last-bit-flipped", [Tampered; 3], damaged(flipped(LEN - 17))),
        tampered("body-tag-changed", [Tampered; 3], damaged(flipped(LEN - 1))),
        tampered("body-zero", [Tampered; 3], damaged(|file| file[BODY..].fill(0))),
        tampered(
            "body-of-an-earlier-generation",
            [Tampered; 3],
            damaged(|file| file[BODY..].copy_from_slice(&earlier[BODY..])),
        ),
        tampered(
            "body-with-salt-and-commitment-of-an-earlier-generation",
            [Tampered; 3],
            forged(|file| {
                file[56..120].copy_from_slice(&earlier[56..120]);
                file[BODY..].copy_from_slice(&earlier[BODY..]);
            }),
        ),
        tampered("body-of-another-key", [Tampered; 3], sealed(|draft| draft.body_store_key = Some([0x5A; 32]))),
        // With the key: the tag is right.
        tampered(
            "body-does-not-match-its-commitment",
            [Tampered; 3],
            sealed(|draft| draft.body_commitment = Some([0; 32])),
        ),
        // Another slot of the same secret has the key: the first that opens decides.
        tampered(
            "slots-of-one-secret-and-two-keys",
            [Tampered; 3],
            sealed(|draft| {
                let good = [
                    Slot::passphrase(0x44, PASSPHRASE),
                    Slot::keychain(0x55, key_from(0x20)),
                    Slot::recovery_key(0x66, key_from(0)),
                ];
                let first = sound_slots().into_iter().map(|slot| Slot { store_key: Some(STORE_KEY), ..slot });
                *draft = Draft { store_key: [0x5A; 32], ..sound_with(first.chain(good).collect()) };
            }),
        )
        .in_place(Rekeyed),
        unlocked("key-id-of-another-key", Malformed("key id"), sealed(|draft| draft.key_id = Some(*b"another ")))
            .in_place(Rekeyed),
    ]
}

/// The plaintext's length and zeros, in an authentic body.
fn padding() -> Vec<Row> {
    vec![
        plaintext("padding-first-byte", |plaintext| {
            let end = 4 + usize::try_from(length_of_payload(plaintext)).unwrap();
            plaintext[end] = 1;
        }),
        plaintext("padding-last-byte", |plaintext| plaintext[PLAINTEXT - 1] = 0x80),
        plaintext("padding-a-block-too-long", |plaintext| plaintext.resize(PLAINTEXT + 4096, 0)),
        // It has room for the payload, but Padmé asks for more.
        unlocked("padding-a-block-too-short", Malformed("not padded"), {
            sealed(|draft| {
                let to_grow = PLAINTEXT - 4 - draft.payload.len();
                grow(&mut draft.payload, "record 0 access_token", to_grow);
                draft.alter_plaintext = Box::new(|plaintext| plaintext.truncate(PLAINTEXT));
            })
        }),
        // 65 whole blocks, where Padmé asks for 66.
        unlocked("padding-to-blocks-alone", Malformed("not padded"), {
            sealed(|draft| {
                for secret in ["client_secret", "refresh_token", "access_token", "grant_token"] {
                    draft.payload.set_text(&format!("record 0 {secret}"), "x".repeat(64_000));
                }
                let to_grow = (1 << 18) + 1 - 4 - draft.payload.len();
                grow(&mut draft.payload, "record 1 refresh_token", to_grow);
                draft.alter_plaintext = Box::new(|plaintext| plaintext.truncate(PLAINTEXT + (1 << 18)));
            })
        })
        .frozen_if(false),
        plaintext("payload-length-0", |plaintext| put_length(plaintext, 0)),
        plaintext("payload-length-one-more-than-there-is-room", |plaintext| {
            put_length(plaintext, u32::try_from(PLAINTEXT - 3).unwrap());
        }),
        plaintext("payload-length-with-prefix-overflows-32-bits", |plaintext| put_length(plaintext, u32::MAX - 3)),
        plaintext("payload-length-largest", |plaintext| put_length(plaintext, u32::MAX)),
    ]
}

/// Makes a text longer.
fn grow(payload: &mut Payload, piece: &str, by: usize) {
    let len = usize::try_from(payload.get(&format!("{piece} length"))).unwrap();
    payload.set_text(piece, "x".repeat(len + by));
}

fn length_of_payload(plaintext: &[u8]) -> u32 {
    u32::from_le_bytes(plaintext[..4].try_into().unwrap())
}

fn put_length(plaintext: &mut [u8], len: u32) {
    plaintext[..4].copy_from_slice(&len.to_le_bytes());
}

const NOT_BINCODE: &str = "not what bincode writes";

fn shapes_of_the_payload() -> Vec<Row> {
    let mut rows = vec![
        payload("payload-empty", NOT_BINCODE, |payload| payload.end_before("schema")),
        payload("payload-cut-after-schema", NOT_BINCODE, |payload| payload.end_before("next_id")),
        payload("payload-cut-after-notes", NOT_BINCODE, |payload| payload.end_before("ancestors")),
        payload("payload-cut-after-ancestors", NOT_BINCODE, |payload| payload.end_before("record_tags")),
        payload("payload-cut-after-record-tags", NOT_BINCODE, |payload| payload.end_before("records")),
        payload("payload-cut-in-an-ancestor", NOT_BINCODE, |payload| payload.end_before("ancestor 5 tag")),
        payload("payload-cut-in-a-record", NOT_BINCODE, |payload| payload.end_before("record 1 expires_at option")),
        payload("payload-cut-in-a-text", NOT_BINCODE, |payload| {
            payload.end_before("record 1 refresh_token");
            payload.append(b"canary");
        }),
        payload("payload-cut-by-one-byte", NOT_BINCODE, |payload| {
            payload.set("record 1 revision", [1, 0, 0, 0, 0, 0, 0]);
        }),
        payload("payload-with-a-byte-after-it", NOT_BINCODE, |payload| payload.append(&[0])),
        payload("payload-with-a-record-after-it", NOT_BINCODE, |payload| payload.repeat("record 1 ")),
    ];
    for field in texts_and_times() {
        for option in [2, 255] {
            let row = payload(format!("option-{option}-{}", dashed(field)), NOT_BINCODE, |payload| {
                payload.set(&format!("record 0 {field} option"), [option]);
            });
            rows.push(row.frozen_if(option == 2));
        }
    }
    for (name, piece) in texts() {
        for (fault, text) in [
            ("not-utf-8", &b"canary \xFF"[..]),
            ("cut-in-a-character", b"canary \xE5\xB1"),
            ("half-a-surrogate-pair", b"\xED\xA0\x80"),
            ("overlong", b"\xC0\x80"),
        ] {
            let row = payload(format!("text-{name}-{fault}"), NOT_BINCODE, |payload| payload.set_text(&piece, text));
            let is_frozen = if fault == "not-utf-8" { is_example(&name) } else { name == "access-token" };
            rows.push(row.frozen_if(is_frozen));
        }
    }
    rows
}

/// Lengths and counts that are not those of what follows.
fn ends_of_texts_and_lists() -> Vec<Row> {
    let counts = ["notes", "ancestors", "record_tags", "records", "record 0 scopes", "record 0 attributes"];
    let counts = counts.map(|piece| (dashed(piece.trim_start_matches("record 0 ")), piece.to_owned()));
    let lengths = texts().into_iter().map(|(name, piece)| (name, format!("{piece} length")));
    let mut rows = Vec::new();
    for (name, piece) in counts.iter().cloned().chain(lengths) {
        for (size, told) in [
            ("largest", Some(u64::MAX)),
            ("half-of-the-largest", Some(1 << 63)),
            ("2-to-40", Some(1 << 40)),
            ("2-to-32", Some(1 << 32)),
            ("one-too-many", None),
        ] {
            let row = payload(format!("length-{name}-{size}"), NOT_BINCODE, |payload| {
                let told = told.unwrap_or(payload.get(&piece) + 1);
                payload.set_number(&piece, told);
            });
            let is_list = !piece.ends_with("length");
            let is_frozen = match size {
                "half-of-the-largest" => false,
                "largest" => is_list || is_example(&name),
                _ => is_list || name == "access-token",
            };
            rows.push(row.frozen_if(is_frozen));
        }
    }
    // None is less than none.
    let filled = counts.into_iter().filter(|(_, piece)| piece != "record_tags");
    rows.extend(filled.map(|(name, piece)| {
        payload(format!("length-{name}-one-too-few"), NOT_BINCODE, |payload| {
            let told = payload.get(&piece) - 1;
            payload.set_number(&piece, told);
        })
    }));
    // One inside the other: what is set aside for either is there at the same time.
    rows.push(payload("length-records-and-attributes-largest", NOT_BINCODE, |payload| {
        payload.set_number("records", u64::MAX);
        payload.set_number("record 0 attributes", u64::MAX);
    }));
    rows
}

const ONE_USER: &str = "two tokens have one user name and client id";

fn namespaces_and_lineage() -> Vec<Row> {
    let out_of_order = "its records are not in the order of their namespaces";
    let wrong_number = "its ancestors do not fit its generation";
    let too_long = "a token's namespace is longer than 256 bytes";
    let of_a_journal = "an ancestor has records of a journal";
    let tags = "it has tags of a journal's records";
    let namespaces = |payload: &mut Payload, first: &str, second: &str| {
        payload.set_text("record 0 namespace", first);
        payload.set_text("record 1 namespace", second);
    };
    vec![
        payload("namespace-too-long", too_long, |payload| payload.set_text("record 1 namespace", "n".repeat(257))),
        payload("namespace-too-long-in-bytes-alone", too_long, |payload| {
            payload.set_text("record 1 namespace", long_in_bytes_alone(257));
        }),
        payload("namespaces-out-of-order", out_of_order, |payload| namespaces(payload, "b", "a")),
        payload("namespaces-default-not-first", out_of_order, |payload| namespaces(payload, "a", "")),
        // As UTF-16 orders them.
        payload("namespaces-in-another-order-of-characters", out_of_order, |payload| {
            namespaces(payload, "\u{10000}", "\u{FFFD}");
        }),
        payload("namespace-in-two-groups", out_of_order, |payload| {
            namespaces(payload, "a", "a");
            payload.set_number("records", 3);
            payload.repeat("record 1 ");
            // The first of the two that have this name now.
            payload.set_text("record 1 namespace", "b");
        }),
        payload("ancestors-none", wrong_number, |payload| {
            payload.set_number("ancestors", 0);
            payload.remove("ancestor ");
        }),
        payload("ancestors-one-too-few", wrong_number, |payload| {
            payload.set_number("ancestors", 5);
            payload.remove("ancestor 0 ");
        }),
        payload("ancestors-one-too-many", wrong_number, |payload| {
            payload.set_number("ancestors", 7);
            payload.repeat("ancestor 0 ");
        }),
        unlocked("ancestors-65", Malformed(wrong_number), {
            let all = [Ancestor::made_up(&STORE_ID, 2), Ancestor::made_up(&STORE_ID, 66)].concat();
            of_generation(66, &all, sound_slots()).seal()
        }),
        unlocked("ancestors-of-the-first-generation", Malformed(wrong_number), {
            of_generation(1, &Ancestor::made_up(&STORE_ID, 2), sound_slots()).seal()
        }),
        payload("ancestor-with-a-record", of_a_journal, |payload| {
            payload.set("ancestor 0 record_count", 1_u32.to_le_bytes());
        }),
        payload("last-ancestor-with-a-record", of_a_journal, |payload| {
            payload.set("ancestor 5 record_count", (1_u32 << 31).to_le_bytes());
        }),
        payload("record-tags-one", tags, |payload| {
            payload.set("record_tags", [&1_u64.to_le_bytes()[..], b"the tag."].concat());
        }),
    ]
}

fn rules_of_the_store() -> Vec<Row> {
    let notes_differ = "slots and the notes";
    let mut rows = vec![
        payload("schema-0", "unknown schema", |payload| payload.set("schema", 0_u32.to_le_bytes())),
        payload("schema-2", "unknown schema", |payload| payload.set("schema", 2_u32.to_le_bytes())),
        payload("next-id-0", "next id", |payload| {
            payload.set_number("next_id", 0);
            payload.set_number("records", 0);
            payload.remove("record ");
        }),
        payload("next-id-one-too-large", "next id", |payload| payload.set_number("next_id", (1 << 63) + 1)),
        payload("next-id-largest", "next id", |payload| payload.set_number("next_id", u64::MAX)),
        payload("next-id-taken", "yet to be chosen", |payload| payload.set_number("next_id", 7)),
        payload("next-id-before-one-that-is-taken", "yet to be chosen", |payload| payload.set_number("next_id", 2)),
        payload("next-id-taken-by-the-first", "yet to be chosen", |payload| payload.set_text("record 0 id", "8")),
        payload("next-id-taken-in-another-namespace", "yet to be chosen", |payload| {
            payload.set_text("record 1 namespace", "n");
            payload.set_text("record 1 id", "8");
        }),
        payload("id-largest-that-is-chosen", "yet to be chosen", |payload| {
            payload.set_text("record 1 id", "9223372036854775807");
        }),
        payload("notes-none", notes_differ, |payload| {
            payload.set_number("notes", 0);
            payload.remove("note ");
        }),
        payload("notes-one-too-few", notes_differ, |payload| {
            payload.set_number("notes", 2);
            payload.remove("note 2 ");
        }),
        payload("notes-one-too-many", notes_differ, |payload| {
            payload.set_number("notes", 4);
            payload.repeat("note 2 ");
        }),
        payload("notes-in-another-order", notes_differ, |payload| payload.swap("note 0 slot_id", "note 1 slot_id")),
        payload("note-of-another-slot", notes_differ, |payload| payload.set("note 1 slot_id", [0x44; 16])),
        payload("label-too-long", "longer than 256", |payload| payload.set_text("note 0 label", "x".repeat(257))),
        payload("label-too-long-in-bytes-alone", "longer than 256", |payload| {
            payload.set_text("note 0 label", long_in_bytes_alone(257));
        }),
        payload("two-tokens-with-one-id", "two tokens have one id", |payload| payload.set_text("record 1 id", "1")),
        payload("two-tokens-of-a-namespace-with-one-id", "two tokens have one id", |payload| {
            payload.set_text("record 0 namespace", "n");
            payload.set_text("record 1 namespace", "n");
            payload.set_text("record 1 id", "1");
        }),
        payload("two-tokens-of-a-namespace-with-one-id-of-the-application", "two tokens have one id", |payload| {
            for piece in ["record 0 namespace", "record 1 namespace", "record 0 id", "record 1 id"] {
                payload.set_text(piece, "007");
            }
        }),
        payload("two-tokens-of-a-namespace-with-one-user-name-and-client-id", ONE_USER, |payload| {
            payload.set_text("record 0 namespace", "n");
            payload.set_text("record 1 namespace", "n");
            payload.set_text("record 1 user_name", "ada");
            payload.fill_text("record 1 client_id", "client");
        }),
        payload("two-tokens-with-one-user-name-and-client-id", ONE_USER, |payload| {
            payload.set_text("record 1 user_name", "ada");
            payload.fill_text("record 1 client_id", "client");
        }),
        payload("two-tokens-with-one-user-name-and-no-client-id", ONE_USER, |payload| {
            payload.set_text("record 1 user_name", "ada");
            payload.clear_text("record 0 client_id");
        }),
    ];
    for (name, piece) in [
        ("note", "note 2 created_at"),
        ("expires-at", "record 0 expires_at"),
        ("received-at", "record 0 received_at"),
        ("refresh-expires-at", "record 0 refresh_expires_at"),
        ("rejected-at", "record 0 rejected_at"),
        ("retry-at", "record 0 retry_at"),
        ("created-at", "record 0 created_at"),
        ("updated-at", "record 1 updated_at"),
    ] {
        for (size, time) in [("after-9999", AFTER_9999), ("largest", u64::MAX)] {
            let alter = |payload: &mut Payload| payload.set_number(piece, time);
            rows.push(payload(format!("time-{name}-{size}"), "year 9999", alter));
        }
    }
    rows
}

fn rules_of_a_record() -> Vec<Row> {
    let unsavable = "could not have been saved";
    let mut rows = vec![
        payload("revision-0", "revision is zero", |payload| payload.set_number("record 1 revision", 0)),
        payload("nothing-to-store", unsavable, |payload| payload.clear_text("record 1 refresh_token")),
        payload("id-token-alone", unsavable, |payload| {
            payload.clear_text("record 1 refresh_token");
            payload.fill_text("record 1 id_token", "canary id token");
        }),
        payload("scope-twice", "scope twice", |payload| payload.set_text("record 0 scope 1", "z.read")),
        payload("attributes-out-of-order", "out of order", |payload| {
            payload.set_text("record 0 attribute 0 name", "zone");
        }),
        payload("attribute-twice", "out of order", |payload| payload.set_text("record 0 attribute 1 name", "account")),
        // By one byte, in texts that are each as long as they may be.
        payload("token-of-more-than-256-kib", unsavable, |payload| {
            let secrets = ["client_secret", "refresh_token", "access_token", "grant_token"];
            let pieces = secrets.map(|secret| format!("record 0 {secret}"));
            pieces.iter().for_each(|piece| payload.set_text(piece, ""));
            let rest = (1 << 18) + 1 - 3 * 65_536 - payload.len_of_texts("record 0 ");
            for (piece, len) in pieces.iter().zip([65_536, 65_536, 65_536, rest]) {
                payload.set_text(piece, "x".repeat(len));
            }
        }),
    ];
    let empty = "an empty text";
    for (name, piece) in texts().into_iter().filter(|(name, _)| !["label", "namespace"].contains(&name.as_str())) {
        let row = payload(format!("text-{name}-empty"), empty, |payload| payload.set_text(&piece, ""));
        rows.push(row);
        let too_long =
            payload(format!("text-{name}-too-long"), unsavable, |payload| payload.set_text(&piece, "a".repeat(65_537)));
        // They are large.
        let examples = ["access-token", "id", "scope", "attribute-name", "attribute-value"];
        rows.push(too_long.frozen_if(examples.contains(&name.as_str())));
    }
    rows.push(payload("text-access-token-too-long-in-bytes-alone", unsavable, |payload| {
        payload.set_text("record 0 access_token", long_in_bytes_alone(65_537));
    }));
    rows
}

/// Of an odd number of bytes, and about half as many characters.
fn long_in_bytes_alone(bytes: usize) -> String {
    "é".repeat(bytes / 2) + "x"
}

/// Each text that a payload has, and the piece that it is.
fn texts() -> Vec<(String, String)> {
    let optional =
        TEXTS_BEFORE_TIMES.iter().chain(&TEXTS_AFTER_TIMES).map(|field| (*field, format!("record 0 {field}")));
    let others = [
        ("label", "note 1 label"),
        ("namespace", "record 1 namespace"),
        ("id", "record 1 id"),
        ("scope", "record 0 scope 1"),
        ("attribute_name", "record 0 attribute 0 name"),
        ("attribute_value", "record 0 attribute 1 value"),
    ];
    let others = others.map(|(name, piece)| (name, piece.to_owned()));
    others.into_iter().chain(optional).map(|(name, piece)| (dashed(name), piece)).collect()
}

/// Whether the files about that text are frozen, for all of its kind: the others are made anew in each run.
fn is_example(text: &str) -> bool {
    ["label", "id", "user-name", "access-token", "scope", "attribute-name", "attribute-value"].contains(&text)
}

fn texts_and_times() -> impl Iterator<Item = &'static str> {
    TEXTS_BEFORE_TIMES.into_iter().chain(TIMES).chain(TEXTS_AFTER_TIMES)
}

fn dashed(name: &str) -> String {
    name.replace(['_', ' '], "-")
}
