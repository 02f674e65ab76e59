//! The bad files: for each its name, which says the one thing that is wrong with it, how it is made of the sound one,
//! and what it is refused as. And the sound files that are made in the same way.

mod header;
mod journal;
mod payload;
mod table;
mod tampered;

use std::sync::LazyLock;

use tokenkeep::KdfCost;

pub(crate) use self::journal::with_journal;
use crate::writer::{Ancestor, Draft, Payload, Record, Slot, Table, external_data, recompute_checks};

pub(crate) const PASSPHRASE: &str = "canary passphrase";
/// 00 01 … 1F, as `docs/format.md` spells it.
pub(crate) const RECOVERY_KEY: &str = "TKR1-000G-40R4-0M30-E209-185G-R38E-1W81-24GK-2GAH-C5RR-34D1-P70X-3RFP-27FX";
pub(crate) const KEYCHAIN_KEY: &str = "202122232425262728292a2b2c2d2e2f303132333435363738393a3b3c3d3e3f";
pub(crate) const STORE_ID: [u8; 16] = *b"of the bad files";
/// In the slot that the keychain opens.
pub(crate) const KEYCHAIN_SLOT_ID: [u8; 16] = [0x22; 16];

pub(crate) const EXTERNAL_KEY: &str = "606162636465666768696a6b6c6d6e6f707172737475767778797a7b7c7d7e7f";
pub(crate) const PROVIDER: &str = "a provider";
const PUBLIC_DATA: &[u8] = b"what the provider wrote";

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
        Slot::external(0x44, key_from(0x60), external_data(PROVIDER, PUBLIC_DATA)),
    ]
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
    let table = Table { revision: 3, ..Table::new(STORE_ID, STORE_KEY, slots) };
    Draft::new(generation, table, Payload::new(8, ancestors, &[full, second]))
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
    let payload = Payload::new(7, &Ancestor::made_up(&store_id, generation), &records);
    Draft::new(generation, Table::new(store_id, [0xB6; 32], slots), payload)
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
    /// By `create`, with any contents.
    AlreadyThere,
}

impl Refusal {
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
pub(crate) const WAYS: [&str; 4] = ["passphrase", "keychain", "recovery key", "external"];

pub(crate) struct Row {
    pub(crate) name: String,
    pub(crate) file: Vec<u8>,
    /// What opening it ends in, in each way.
    pub(crate) open: [Refusal; 4],
    /// How many keys opening it with the passphrase derives.
    pub(crate) derived: u64,
    /// What all operations of a store end in, that was open when the file took its place.
    pub(crate) in_place: Refusal,
    /// What is reported without a key, if anything.
    pub(crate) verify: Option<Refusal>,
    /// One more passphrase, that opens nothing either.
    pub(crate) other_passphrase: Option<&'static str>,
    /// Whether it is among the files of `tests/vectors/bad`; else it is large, or there are others of its kind.
    pub(crate) is_frozen: bool,
}

/// One that is refused for its header, at no cost.
fn unread(name: impl Into<String>, refusal: Refusal, file: Vec<u8>) -> Row {
    let verify = Some(refusal);
    Row {
        name: name.into(),
        file,
        open: [refusal; 4],
        derived: 0,
        in_place: refusal,
        verify,
        other_passphrase: None,
        is_frozen: true,
    }
}

/// One that is refused for its body, by who has the key.
fn unlocked(name: impl Into<String>, refusal: Refusal, file: Vec<u8>) -> Row {
    Row { derived: 1, verify: None, ..unread(name, refusal, file) }
}

/// One that was changed by somebody without the key: a change in what opens the store is reported.
fn changed(name: impl Into<String>, open: [Refusal; 4], file: Vec<u8>) -> Row {
    Row { open, ..unlocked(name, Tampered, file) }
}

/// Wrong in its payload, which is sealed as it should be.
fn in_payload(name: impl Into<String>, what: &'static str, alter: impl FnOnce(&mut Payload)) -> Row {
    unlocked(name, Malformed(what), sealed(|draft| alter(&mut draft.payload)))
}

fn in_plaintext(name: impl Into<String>, alter: impl Fn(&mut Vec<u8>) + 'static) -> Row {
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

/// Altered after it was sealed, as who does not have the key would: with the checks over it.
fn forged(alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    damaged(|file| {
        alter(file);
        recompute_checks(file);
    })
}

fn flipped(at: usize) -> impl FnOnce(&mut Vec<u8>) {
    move |file| file[at] ^= 1
}

fn put<const N: usize>(at: usize, bytes: [u8; N]) -> impl FnOnce(&mut Vec<u8>) {
    move |file| file[at..at + N].copy_from_slice(&bytes)
}

use Refusal::{Malformed, Tampered};

/// Where the sound file has what.
const TABLE: usize = 136;
const SLOT: usize = 144;
const PASSPHRASE_SLOT: usize = TABLE + 48;
const SLOTS: [(&str, usize); 4] = [
    ("passphrase", PASSPHRASE_SLOT),
    ("keychain", PASSPHRASE_SLOT + SLOT),
    ("recovery-key", PASSPHRASE_SLOT + 2 * SLOT),
    ("external", PASSPHRASE_SLOT + 3 * SLOT),
];
const EXTERNAL_DATA: usize = PASSPHRASE_SLOT + 3 * SLOT + 64;
const DATA_LEN: usize = 4 + PROVIDER.len() + PUBLIC_DATA.len();
const NOTES_SALT: usize = PASSPHRASE_SLOT + 4 * SLOT + DATA_LEN;
const NOTES: usize = NOTES_SALT + 32;
const NOTE: usize = 266;
const MAC: usize = NOTES + 4 * NOTE + 16;
const CHECK: usize = MAC + 32;
const BODY: usize = CHECK + 32;
const LEN: usize = 4096;
/// And how long its plaintext is.
const PLAINTEXT: usize = LEN - BODY - 16;

pub(crate) fn catalogue() -> Vec<Row> {
    [header::rows(), table::rows(), tampered::rows(), payload::rows(), journal::rows()].into_iter().flatten().collect()
}

const NOT_BINCODE: &str = "not what bincode writes";
const ONE_USER: &str = "two tokens have one user name and client id";

fn recovery_keys(count: u8) -> Vec<Slot> {
    (0..count).map(|n| Slot::recovery_key(n, key_from(0))).collect()
}

/// Passphrases at a cost, and a recovery key while there is room for it.
pub(crate) fn passphrases(count: u8, [m_kib, t, p]: [u32; 3]) -> Draft {
    let slot = |n| Slot { m_kib, t, p, ..Slot::passphrase(n, PASSPHRASE) };
    sound_with((1..=count).map(slot).chain((count < 8).then(|| Slot::recovery_key(0x33, key_from(0)))).collect())
}

/// Of an odd number of bytes, and about half as many characters.
fn long_in_bytes_alone(bytes: usize) -> String {
    "é".repeat(bytes / 2) + "x"
}

fn dashed(name: &str) -> String {
    name.replace(['_', ' '], "-")
}
