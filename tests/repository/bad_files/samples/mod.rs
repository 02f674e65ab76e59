//! The sample files (`tests/vectors/`), all of them made by the writer, and what is written beside them.

mod contents;
mod journals;
mod values;

use std::sync::LazyLock;

use ring::digest::{SHA256, digest};
use serde_json::{Value, json};

use crate::{
    catalogue::{self, EXTERNAL_KEY, KEYCHAIN_KEY, PASSPHRASE, PASSPHRASE_OF_TWO_CLIENTS, RECOVERY_KEY, key_from},
    reader::{self, Secret, hex},
    writer::{Ancestor, Draft, Note, Payload, Record, Slot, TIMES, Table, external_data},
};

pub(crate) use self::{
    journals::{torn, torn_and_whole},
    values::values,
};

/// A sample with what is beside it.
pub(crate) struct Sample {
    pub(crate) name: String,
    pub(crate) file: Vec<u8>,
    pub(crate) beside: Value,
}

/// Those that are made of the contents beside them.
const OF_CONTENTS: [&str; 8] =
    ["another-writer", "eight-slots", "empty", "keychain", "padded", "recovery-key", "tokens", "two-passphrases"];

/// Each of them seen to be read by an independent reader with each of its secrets, as what is beside it.
pub(crate) fn samples() -> Vec<Sample> {
    let paper = json!([RECOVERY_KEY]);
    let (sound, values) = catalogue::sound().seal_with_values();
    let mut of_sound = sample("sound", sound, &secrets());
    of_sound.beside["values"] = values;
    let mut samples = vec![
        of_sound,
        sample(
            "two-clients",
            catalogue::two_clients().seal(),
            &json!({"passphrases": [PASSPHRASE_OF_TWO_CLIENTS], "recovery_keys": paper}),
        ),
        sample(
            "two-namespaces",
            two_namespaces().seal(),
            &json!({"passphrases": ["two namespaces"], "recovery_keys": paper}),
        ),
        sample("boundaries", boundaries().seal(), &json!({"passphrases": ["boundaries"], "recovery_keys": paper})),
        costs(),
        sample(
            "two-slots-of-one-secret",
            two_slots_of_one_secret().seal(),
            &json!({"passphrases": [ONE_SECRET, ONE_SECRET]}),
        ),
        sample("external", external().seal(), &external_secrets(4)),
        sample("largest-table", largest_table().seal(), &external_secrets(8)),
        sample("many-records", many_records().seal(), &json!({"recovery_keys": paper})),
        sample("last-generation", last_generation().seal(), &json!({"recovery_keys": paper})),
        sample("ids", ids().seal(), &json!({"passphrases": ["ids"], "recovery_keys": paper})),
        sample("passphrases", with_passphrases("passphrases", &PASSPHRASES).seal(), &passphrases(&PASSPHRASES)),
        sample(
            "long-passphrases",
            with_passphrases("long-passphrases", &LONG_PASSPHRASES).seal(),
            &passphrases(&LONG_PASSPHRASES),
        ),
        sample(
            "more-passphrases",
            with_passphrases("more-passphrases", &more_passphrases()).seal(),
            &passphrases(&more_passphrases()),
        ),
        sample("namespaces", namespaces().seal(), &json!({"recovery_keys": paper})),
        sample("texts", texts().seal(), &json!({"recovery_keys": paper, "keychain_keys": [KEYCHAIN_KEY]})),
        sample("zeros", zeros().seal(), &json!({"recovery_keys": paper, "keychain_keys": [KEYCHAIN_KEY]})),
        sample(
            "wrong-tags",
            wrong_tags().seal(),
            &json!({
                "passphrases": ["wrong tags"],
                "keychain_keys": [KEYCHAIN_KEY],
                "external_keys": [EXTERNAL_KEY],
            }),
        ),
    ];
    samples.extend(journals::samples());
    samples.extend(OF_CONTENTS.map(contents::of_contents));
    samples
}

/// What opens all bad files, as it is written beside them.
pub(crate) fn secrets() -> Value {
    json!({
        "passphrases": [PASSPHRASE],
        "keychain_keys": [KEYCHAIN_KEY],
        "recovery_keys": [RECOVERY_KEY],
        "external_keys": [EXTERNAL_KEY],
    })
}

fn sample(name: &str, file: Vec<u8>, secrets: &Value) -> Sample {
    let texts = |kind: &str| secrets[kind].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut beside = None;
    for (number, kind) in (1..).zip(KINDS) {
        let slots = reader::slots(&file).filter(|slot| slot[0] == number && !BROKEN_SLOTS.contains(&slot[16]));
        let slots: Vec<_> = slots.collect();
        assert_eq!(slots.len(), texts(kind).len(), "{name}: {kind}");
        for (slot, secret) in slots.into_iter().zip(texts(kind).iter().map(text)) {
            let secret = match number {
                1 => Secret::Passphrase(&secret),
                2 => Secret::Keychain(&secret),
                3 => Secret::RecoveryKey(&secret),
                _ => Secret::External(&secret),
            };
            let keys = reader::slot_keys(&file, slot, &secret);
            assert_eq!(keys.last().unwrap().0, reader::STORE_KEY, "{name}: {kind}");
            // The contents do not depend on the secret.
            beside = beside.or_else(|| reader::read(&file, &secret));
        }
    }
    let mut beside = beside.unwrap();
    let number = |member: &str| beside[member].as_u64().unwrap();
    assert!(number("table_revision") <= number("generation"), "{name}");
    let secrets = secrets.as_object().unwrap().clone();
    let has_some = |secrets: &Value| secrets.as_array().is_some_and(|secrets| !secrets.is_empty());
    beside.as_object_mut().unwrap().extend(secrets.into_iter().filter(|(_, secrets)| has_some(secrets)));
    Sample { name: name.to_owned(), file, beside }
}

/// In the order of the numbers of slots' kinds, from 1.
const KINDS: [&str; 4] = ["passphrases", "keychain_keys", "recovery_keys", "external_keys"];

fn store_id(name: &str) -> [u8; 16] {
    digest(&SHA256, format!("the store of {name}").as_bytes()).as_ref()[..16].try_into().unwrap()
}

fn store_key(name: &str) -> [u8; 32] {
    digest(&SHA256, format!("the store key of {name}").as_bytes()).as_ref().try_into().unwrap()
}

/// The same ids and the same users in several namespaces. It has more than 64 generations behind it.
fn two_namespaces() -> Draft {
    let slots = vec![Slot::passphrase(0x61, "two namespaces"), Slot::recovery_key(0x62, key_from(0))];
    let ada = |refresh_token| [("user_name", "ada"), ("client_id", "client"), ("refresh_token", refresh_token)];
    let [default, google, microsoft] = ["of the default namespace", "of google", "of microsoft"].map(ada);
    let in_google = |record| Record { namespace: "google", ..record };
    let in_microsoft = |record| Record { namespace: "microsoft", ..record };
    let records = [
        Record::new("3", &default),
        Record::new("ada@example.org", &[("user_name", "grace"), ("access_token", "a")]),
        // Saved before those of the default namespace.
        in_google(Record::new("1", &google)),
        in_google(Record { revision: 2, ..Record::new("ada@example.org", &[("refresh_token", "no user, no client")]) }),
        in_google(Record::new("8", &[("user_name", "ada"), ("refresh_token", "no client")])),
        in_microsoft(Record::new("ada@example.org", &microsoft)),
        in_microsoft(Record {
            times: &[("received_at", 1_800_000_000_000), ("retry_at", 1_800_000_060_000)],
            failures: 1,
            ..Record::new("007", &[("user_name", "grace"), ("refresh_token", "r")])
        }),
    ];
    of_store("two-namespaces", 200, 9, slots, &records)
}

/// The end of the year 9999.
const LAST_TIME: u64 = 253_402_300_799_999;

/// Values at their limits, and texts that a careless reader changes or rejects.
fn boundaries() -> Draft {
    let slots = vec![Slot::passphrase(0x71, "boundaries"), Slot::recovery_key(0x72, key_from(0))];
    let longest_label = "é".repeat(128);
    let notes = vec![Note::new(&longest_label, 0), Note::new("\0", LAST_TIME)];
    let all_times = |time| TIMES.map(|name| (name, time));
    let (first_times, last_times) = (all_times(0), all_times(LAST_TIME));
    // With the id 262,144 bytes together, and with the namespace more.
    let [one, two, four] = ["x".repeat(65_536), "é".repeat(32_768), "🔑".repeat(16_384)];
    let rest = "x".repeat(65_532);
    let longest = [
        ("client_secret", &one[..]),
        ("refresh_token", &two[..]),
        ("access_token", &four[..]),
        ("id_token", &rest[..]),
    ];
    let user = |user_name| [("user_name", user_name), ("refresh_token", "r")];
    // Equal with letters folded, and with accents composed.
    let users = ["straße", "STRASSE", "strasse", "caf\u{E9}", "cafe\u{301}", "ada\0", "ada", " ada "].map(user);
    let longest_namespace = "ä".repeat(128);
    let mut records = vec![
        Record { revision: 1 << 63, ..Record::new("9223372036854775807", &[("access_token", "the last id")]) },
        Record { revision: u64::MAX, ..Record::new("9223372036854775808", &[("access_token", "not chosen")]) },
        Record::new("007", &[("access_token", "not chosen either")]),
        Record::new("+5", &[("access_token", "nor this")]),
        Record {
            times: &first_times,
            created_at: 0,
            updated_at: 0,
            ..Record::new("first times", &[("grant_token", "a\0b"), ("token_type", "\0")])
        },
        Record {
            times: &last_times,
            failures: u32::MAX,
            created_at: LAST_TIME,
            // Times have no order.
            updated_at: 0,
            ..Record::new("last times", &[("refresh_token", "\u{FEFF}r\r\n"), ("redirect_url", "\u{FFFF}\u{202E}")])
        },
        Record {
            scopes: &["z", "a", "Z", "é", "e\u{301}", "a b"],
            // By their bytes; by the units of UTF-16 the last two are the other way round.
            attributes: &[("Z", "1"), ("a", "1"), ("a\0", "2"), ("é", "3"), ("\u{FFFD}", "4"), ("\u{10000}", "5")],
            ..Record::new("\0", &[("refresh_token", "r")])
        },
    ];
    let ids = ["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7"];
    records.extend(ids.into_iter().zip(&users).map(|(id, texts)| Record::new(id, texts)));
    records.extend([
        Record { namespace: "\0", ..Record::new("007", &[("access_token", "a")]) },
        Record { namespace: &longest_namespace, ..Record::new("9223372036854775807", &[("access_token", "a")]) },
        Record { namespace: &longest_namespace, ..Record::new("full", &longest) },
        // After each other by their bytes.
        Record { namespace: "\u{FFFD}", ..Record::new("007", &[("access_token", "a")]) },
        Record { namespace: "\u{10000}", ..Record::new("007", &[("access_token", "a")]) },
    ]);
    let mut draft = of_store("boundaries", 65, 1 << 63, slots, &records);
    draft.table.notes = notes;
    assert_eq!(draft.payload.len_of_texts("record 17 "), 262_144);
    draft
}

/// Ids, users, namespaces and lengths that a reader could take for others, or not allow. No chosen id is just below
/// the next one.
fn ids() -> Draft {
    let slots = vec![Slot::passphrase(0xA1, "ids"), Slot::recovery_key(0xA2, key_from(0))];
    let token = [("access_token", "a")];
    let ids = [
        "007",
        "0012",
        "+15",
        " 9",
        "9 ",
        "9\0",
        "9.0",
        "0",
        "-1",
        "\u{669}",
        "\u{FF19}",
        // 1 and 9 in 64 bits.
        "18446744073709551617",
        "18446744073709551625",
        "0x10",
        "2",
        "1",
        "a",
        "A",
        "caf\u{E9}",
        "cafe\u{301}",
        "x\0a",
        "x\0b",
        "7",
    ];
    let mut records: Vec<_> = ids.into_iter().map(|id| Record::new(id, &token)).collect();
    let user = |user_name, client_id| [("user_name", user_name), ("client_id", client_id), ("refresh_token", "r")];
    let users = [
        ("ada", "X"),
        ("ada", "x"),
        ("ab", "c"),
        ("a", "bc"),
        ("ab\0", "c"),
        ("ab", "\0c"),
        ("u", "\u{E9}"),
        ("u", "e\u{301}"),
        ("u", "c\0a"),
        ("u", "c\0b"),
        ("a:b", "c"),
        ("a", "b:c"),
        ("a/b", "c"),
        ("a", "b/c"),
    ];
    let users = users.map(|(user_name, client_id)| user(user_name, client_id));
    let ids_of_users = ["u0", "u1", "u2", "u3", "u4", "u5", "u6", "u7", "u8", "u9", "u10", "u11", "u12", "u13"];
    records.extend(ids_of_users.into_iter().zip(&users).map(|(id, texts)| Record::new(id, texts)));
    let [id, scope, name] = ["i", "s", "n"].map(|letter| letter.repeat(300));
    let (long_scopes, long_attributes) = ([&scope[..]], [(&name[..], "v")]);
    records.push(Record { scopes: &long_scopes, attributes: &long_attributes, ..Record::new(&id, &token) });
    let scopes: Vec<_> = (0..101).map(|n| format!("scope {n}")).collect();
    let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
    records.push(Record { scopes: &scopes, ..Record::new("101 scopes", &token) });
    // By their bytes, not by their numbers or lengths.
    let mut attributes: Vec<_> = (0..150).map(|n| (format!("name {n}"), format!("value {n}"))).collect();
    attributes.sort();
    let attributes: Vec<_> = attributes.iter().map(|(name, value)| (&name[..], &value[..])).collect();
    records.push(Record { attributes: &attributes, ..Record::new("150 attributes", &token) });
    records.extend([
        // After each other by their bytes.
        Record { namespace: "Z", ..Record::new("7", &token) },
        Record { namespace: "a", ..Record::new("7", &token) },
    ]);
    of_store("ids", 3, 9, slots, &records)
}

const ONE_SECRET: &str = "one secret";

/// Each of them opens with it.
fn two_slots_of_one_secret() -> Draft {
    let (name, slots) = ("two-slots-of-one-secret", [0xB1, 0xB2].map(|n| Slot::passphrase(n, ONE_SECRET)));
    with_slots(name, slots.into())
}

/// The first bytes of the ids of slots that do not open: their tags are wrong.
const BROKEN_SLOTS: [u8; 4] = [0x8E, 0x8B, 0x8C, 0x8D];

/// Its recovery key fits two slots, but the first has a tag that does not verify: the second opens all the same.
fn costs() -> Sample {
    let mut slots = slots_with_passphrases(&COSTS);
    slots.push(Slot { has_a_wrong_tag: true, ..Slot::recovery_key(BROKEN_SLOTS[0], key_from(0)) });
    slots.push(Slot::recovery_key(0x8F, key_from(0)));
    let mut secrets = passphrases(&COSTS);
    secrets["recovery_keys"] = json!([RECOVERY_KEY]);
    sample("costs", with_slots("costs", slots).seal(), &secrets)
}

type WithCost = (&'static str, [u32; 3]);

/// At the limits that are cheap enough; the last has the largest product.
const COSTS: [WithCost; 4] = [
    ("most passes", [7168, 16, 1]),
    ("fewest passes, least product", [35_840, 1, 1]),
    ("most lanes", [1 << 17, 1, 16]),
    ("most memory, largest product", [1 << 20, 2, 1]),
];

const LEAST: [u32; 3] = [7168, 5, 1];

/// Whoever normalizes, trims or cuts one of them finds that it opens nothing.
const PASSPHRASES: [WithCost; 4] = [
    ("\u{FB01}anc\u{E9} \u{FF11}", LEAST),
    ("fiance\u{301}", LEAST),
    (" spaces around\u{A0}\n", LEAST),
    ("before\0after", LEAST),
];

/// So it is with these, of more than 72 bytes and more than 128, and with a NUL at the end; one has a byte order mark,
/// and letters that are others in another case.
const LONG_PASSPHRASES: [WithCost; 4] = [
    ("123456789012345678901234567890123456789012345678901234567890123456789012 and A", LEAST),
    (
        "More than 128 bytes. More than 128 bytes. More than 128 bytes. More than 128 bytes. More than 128 bytes. \
         More than 128 bytes. More than 128 bytes.",
        LEAST,
    ),
    ("NUL at the end\0", LEAST),
    ("\u{FEFF}Stra\u{DF}e \u{130}", LEAST),
];

/// Of more than 65,536 bytes; with characters that a terminal or an editor changes; and at odd costs.
fn more_passphrases() -> [WithCost; 4] {
    static LONGEST: LazyLock<String> = LazyLock::new(|| "0123456789".repeat(7000));
    [
        (&LONGEST, LEAST),
        ("two  spaces\ttab\r\nline\u{200B}\u{FFFF}", LEAST),
        ("three lanes", [7169, 7, 3]),
        ("sixteen lanes", [(1 << 17) + 1, 1, 16]),
    ]
}

fn passphrases(of: &[WithCost]) -> Value {
    json!({"passphrases": of.iter().map(|(passphrase, _)| passphrase).collect::<Vec<_>>()})
}

fn with_passphrases(name: &str, passphrases: &[WithCost]) -> Draft {
    with_slots(name, slots_with_passphrases(passphrases))
}

fn slots_with_passphrases(passphrases: &[WithCost]) -> Vec<Slot> {
    let slot = |(n, (passphrase, [m_kib, t, p])): (u8, &WithCost)| Slot {
        m_kib: *m_kib,
        t: *t,
        p: *p,
        derives_at_any_cost: true,
        ..Slot::passphrase(n, *passphrase)
    };
    (0x81..).zip(passphrases).map(slot).collect()
}

/// With one token.
fn with_slots(name: &str, slots: Vec<Slot>) -> Draft {
    of_store(name, 4, 2, slots, &[Record::new("1", &[("user_name", "ada"), ("refresh_token", "r")])])
}

fn of_store(name: &str, generation: u64, next_id: u64, slots: Vec<Slot>, records: &[Record<'_>]) -> Draft {
    let table = Table::new(store_id(name), store_key(name), slots);
    let ancestors = Ancestor::made_up(&table.store_id, generation);
    Draft::new(generation, table, Payload::new(next_id, &ancestors, records))
}

/// Each slot has another key, which its provider returns.
fn external_key(slot: u8) -> [u8; 32] {
    key_from(0xC0 + slot)
}

fn external_secrets(count: u8) -> Value {
    json!({"external_keys": (0..count).map(|slot| hex(&external_key(slot))).collect::<Vec<_>>()})
}

fn external_slots<T: AsRef<[u8]>>(of: &[(T, Vec<u8>)]) -> Vec<Slot> {
    let slot = |(n, (provider, public_data)): (u8, &(T, Vec<u8>))| {
        Slot::external(0xC1 + n, external_key(n), external_data(provider, public_data))
    };
    (0..).zip(of).map(slot).collect()
}

/// Providers' names and public data of all lengths; two slots are of one provider, and only the second of them opens
/// with its key.
fn external() -> Draft {
    let longest = "\u{E9}".repeat(32);
    let of = [
        ("t", Vec::new()),
        (&longest[..], (0..1024_u16).map(|n| n.to_le_bytes()[0]).collect()),
        ("a token", b"the first".to_vec()),
        ("a token", vec![0]),
    ];
    let mut draft = with_slots("external", external_slots(&of));
    draft.table.revision = 3;
    draft
}

/// Every slot is as long as a slot can be, and so is every label.
fn largest_table() -> Draft {
    let names = [
        "p".repeat(64),
        "P".repeat(64),
        "\0".repeat(64),
        "\u{E9}".repeat(32),
        "e\u{301}".repeat(21) + "e",
        "\u{10000}".repeat(16),
        " ".repeat(64),
        "\u{FF21}".repeat(21) + "A",
    ];
    let of: Vec<_> = (0..).zip(names).map(|(n, name)| (name, vec![n; 1024])).collect();
    let mut draft = with_slots("largest-table", external_slots(&of));
    draft.table.notes = (0..8_u64).map(|n| Note::new(&"l".repeat(256), n)).collect();
    assert_eq!(draft.table.seal().0.len(), 12_176);
    draft
}

/// Thousands of records, of scopes and of attributes, ids and a name as long as they may be, in a payload for which
/// Padmé asks for more blocks than there would be without it: with its length it has one byte more than 2^20.
fn many_records() -> Draft {
    let ids: Vec<_> = (1..=5000).map(|n: u32| n.to_string()).collect();
    let numbers: Vec<_> = (0..5000).map(|n| format!("{n:04}")).collect();
    let scopes: Vec<_> = numbers.iter().map(String::as_str).collect();
    let attributes: Vec<_> = scopes.iter().map(|number| (*number, "v")).collect();
    // They differ in the last byte alone.
    let longest = ["a", "b"].map(|last| "i".repeat(65_535) + last);
    let longest_name = [(&longest[0][..], "v")];
    let filler = "x".repeat(65_536);
    let draft = |filler_len: usize| {
        let filler = [("access_token", &filler[..filler_len])];
        let token = [("access_token", "a")];
        let longest = longest.each_ref().map(|id| Record::new(id, &token));
        let attributes_of_each = [("a", "1"), ("b", "12")];
        let record = |id| Record { created_at: 0, updated_at: 0, ..Record::new(id, &token) };
        let mut records: Vec<_> =
            ids.iter().map(|id| Record { attributes: &attributes_of_each, ..record(id) }).collect();
        records.extend([
            Record::new("filler", &filler),
            Record { scopes: &scopes, ..Record::new("5000 scopes", &token) },
            Record { attributes: &attributes, ..Record::new("5000 attributes", &token) },
            Record { attributes: &longest_name, ..Record::new("the longest name", &token) },
        ]);
        records.extend(longest);
        of_store("many-records", 66, 5001, vec![Slot::recovery_key(0xD1, key_from(0))], &records)
    };
    let around = 4 + draft(1).payload.len() - 1;
    let draft = draft((1 << 20) + 1 - around);
    assert_eq!(4 + draft.payload.len(), (1 << 20) + 1);
    assert!(draft.is_longer_for_padme());
    draft
}

/// Namespaces, and pairs of a namespace and an id or a user name, that a reader could take for others; and two hundred
/// more. It has more than 2^32 generations behind it, and the mark of the last of them is zeros.
fn namespaces() -> Draft {
    let name = "namespaces";
    let [bc, c, slash, nul] = ["bc", "c", "b/c", "b\0c"].map(|name| [("user_name", name), ("access_token", "a")]);
    let token = [("access_token", "a")];
    let numbers: Vec<_> = (0..200).map(|n| format!("{n:03}")).collect();
    let record = |namespace, id, texts| Record { namespace, ..Record::new(id, texts) };
    let mut records: Vec<_> = [" a", "A", "a", "e\u{301}", "z", "\u{E9}"].map(|name| record(name, "7", &token)).into();
    records.extend(numbers.iter().map(|name| record(name, "7", &token)));
    records.extend([
        record("a", "bc", &bc),
        record("ab", "c", &c),
        record("a", "b/c", &slash),
        record("a/b", "c", &c),
        record("a", "b\0c", &nul),
        record("a\0b", "c", &c),
    ]);
    records.sort_by_key(|record| record.namespace);
    let generation = (1 << 32) + 1;
    let mut draft = of_store(name, generation, 9, vec![Slot::recovery_key(0xF1, key_from(0))], &records);
    let mut ancestors = Ancestor::made_up(&draft.table.store_id, generation);
    ancestors[63] = Ancestor { salt: [0; 8], record_count: 0, tag: [0; 8] };
    draft.payload = Payload::new(9, &ancestors, &records);
    draft
}

/// Texts that a reader could change, reject, or hold for the same; and failures without what usually goes with them.
fn texts() -> Draft {
    let not_ascii = [
        ("client_secret", "\u{E9}"),
        ("access_token", "\u{7F}\u{85}"),
        ("id_token", "\u{E9}"),
        ("api_domain", "d\u{E9}"),
        ("token_type", "\u{E9}"),
    ];
    let capitals = [("access_token", "a"), ("api_domain", "https://API.Example")];
    let records = [
        Record {
            failures: 3,
            scopes: &["a", "a "],
            attributes: &[("e\u{301}", "\u{E9}"), ("z", "1"), ("\u{E9}", "v")],
            ..Record::new("1", &not_ascii)
        },
        Record { failures: 1, ..Record::new("2", &capitals) },
    ];
    let slots = vec![Slot::recovery_key(0xF2, key_from(0)), Slot::keychain(0xF3, key_from(0x20))];
    let mut draft = of_store("texts", 4, 3, slots, &records);
    draft.table.notes = [" e\u{301} \n", "\u{FEFF}x"].map(|label| Note::new(label, 1_800_000_000_000)).into();
    draft
}

/// What is random has zeros, or begins with the same bytes; and all tokens were deleted.
fn zeros() -> Draft {
    let mut last_byte = [0; 16];
    last_byte[15] = 1;
    let slots = vec![
        Slot { salt: Some([0; 32]), ..Slot::recovery_key(0, key_from(0)) },
        Slot { salt: Some([0; 32]), slot_id: last_byte, ..Slot::keychain(0, key_from(0x20)) },
    ];
    let table = Table { notes_salt: Some([0; 32]), ..Table::new([0; 16], store_key("zeros"), slots) };
    let ancestor = Ancestor { salt: [0; 8], record_count: 0, tag: [0; 8] };
    let mut draft = Draft::new(2, table, Payload::new(5, &[ancestor], &[]));
    draft.body_salt = Some([0; 32]);
    draft
}

/// Of each kind two slots of one secret, the first of which has the right commitment and a wrong tag.
fn wrong_tags() -> Draft {
    let broken = |slot: Slot| Slot { has_a_wrong_tag: true, ..slot };
    let [passphrase, keychain, external] = [
        |n| Slot::passphrase(n, "wrong tags"),
        |n| Slot::keychain(n, key_from(0x20)),
        |n| Slot::external(n, key_from(0x60), external_data("a provider", b"public data")),
    ] as [fn(u8) -> Slot; 3];
    let slots = vec![
        broken(passphrase(BROKEN_SLOTS[1])),
        passphrase(0x51),
        broken(keychain(BROKEN_SLOTS[2])),
        keychain(0x52),
        broken(external(BROKEN_SLOTS[3])),
        external(0x53),
    ];
    with_slots("wrong-tags", slots)
}

/// No generation and no revision can come after it. Two of its ancestors have one mark.
fn last_generation() -> Draft {
    let name = "last-generation";
    let mut draft = with_slots(name, vec![Slot::recovery_key(0xE1, key_from(0))]);
    let mut ancestors = Ancestor::made_up(&draft.table.store_id, u64::MAX);
    ancestors[63] = ancestors[62];
    let records = [Record { revision: u64::MAX, ..Record::new("1", &[("refresh_token", "r")]) }];
    draft.payload = Payload::new(2, &ancestors, &records);
    draft.generation = u64::MAX;
    draft.table.revision = u64::MAX;
    draft
}
