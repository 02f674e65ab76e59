//! The sample files (`tests/vectors/`), all of them made by the writer, and what is written beside them.

use std::{collections::BTreeMap, fs};

use ring::digest::{SHA256, digest};
use serde_json::{Map, Value, json};

use crate::{
    catalogue::{self, KEYCHAIN_KEY, PASSPHRASE, PASSPHRASE_OF_TWO_CLIENTS, RECOVERY_KEY, key_from, notes_on},
    reader::{self, Secret, hex, unhex},
    vectors,
    writer::{
        Ancestor, BODY_SALT, Draft, Note, Payload, Record, SLOT_SALT, Slot, TEXTS_AFTER_TIMES, TEXTS_BEFORE_TIMES,
        TIMES, in_place_of_random_bytes, padme, salt,
    },
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
        sample("ids", ids().seal(), &json!({"passphrases": ["ids"], "recovery_keys": paper})),
        sample("passphrases", with_passphrases("passphrases", &PASSPHRASES).seal(), &passphrases(&PASSPHRASES)),
        sample(
            "long-passphrases",
            with_passphrases("long-passphrases", &LONG_PASSPHRASES).seal(),
            &passphrases(&LONG_PASSPHRASES),
        ),
    ];
    samples.extend(OF_CONTENTS.map(of_contents));
    samples
}

/// What opens all bad files, as it is written beside them.
pub(crate) fn secrets() -> Value {
    json!({"passphrases": [PASSPHRASE], "keychain_keys": [KEYCHAIN_KEY], "recovery_keys": [RECOVERY_KEY]})
}

fn sample(name: &str, file: Vec<u8>, secrets: &Value) -> Sample {
    let texts = |kind: &str| secrets[kind].as_array().cloned().unwrap_or_default();
    let text = |value: &Value| value.as_str().unwrap().to_owned();
    let mut beside = None;
    for (number, kind) in (1..).zip(KINDS) {
        let slots: Vec<_> = reader::slots(&file).filter(|slot| slot[0] == number).collect();
        assert_eq!(slots.len(), texts(kind).len(), "{name}: {kind}");
        for (slot, secret) in slots.into_iter().zip(texts(kind).iter().map(text)) {
            let secret = match number {
                1 => Secret::Passphrase(&secret),
                2 => Secret::Keychain(&secret),
                _ => Secret::RecoveryKey(&secret),
            };
            let keys = reader::slot_keys(&file, slot, &secret);
            assert_eq!(keys.last().unwrap().0 == reader::STORE_KEY, slot[16..32] != BROKEN_SLOT_ID, "{name}: {kind}");
            // The contents do not depend on the secret.
            beside = beside.or_else(|| reader::read(&file, &secret));
        }
    }
    let mut beside = beside.unwrap();
    let secrets = secrets.as_object().unwrap().clone();
    let has_some = |secrets: &Value| secrets.as_array().is_some_and(|secrets| !secrets.is_empty());
    beside.as_object_mut().unwrap().extend(secrets.into_iter().filter(|(_, secrets)| has_some(secrets)));
    Sample { name: name.to_owned(), file, beside }
}

/// In the order of the numbers of slots' kinds, from 1.
const KINDS: [&str; 3] = ["passphrases", "keychain_keys", "recovery_keys"];

fn store_id(name: &str) -> [u8; 16] {
    digest(&SHA256, format!("the store of {name}").as_bytes()).as_ref()[..16].try_into().unwrap()
}

fn store_key(name: &str) -> [u8; 32] {
    digest(&SHA256, format!("the store key of {name}").as_bytes()).as_ref().try_into().unwrap()
}

/// The same contents as before, as the format is now: all but the key id and the ancestors.
fn of_contents(name: &str) -> Sample {
    let path = vectors().join(format!("{name}.json"));
    let contents: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    let number = |value: &Value| value.as_u64().unwrap();
    let store_id: [u8; 16] = unhex(contents["store_id"].as_str().unwrap()).try_into().unwrap();
    let generation = number(&contents["generation"]);

    let mut secrets = KINDS.map(|kind| contents[kind].as_array().into_iter().flatten());
    let mut next_secret = |kind: usize| secrets[kind].next().unwrap().as_str().unwrap();
    let in_json = contents["slots"].as_array().unwrap();
    let slots = in_json.iter().map(|slot| {
        let made = match slot["kind"].as_str().unwrap() {
            "passphrase" => Slot::passphrase(0, next_secret(0)),
            "keychain" => Slot::keychain(0, unhex(next_secret(1)).try_into().unwrap()),
            _ => Slot::recovery_key(0, reader::recovery_key(next_secret(2)).unwrap().try_into().unwrap()),
        };
        let [m_kib, t, p] = ["m_kib", "t", "p"].map(|cost| number(&slot[cost]).try_into().unwrap());
        let slot_id = unhex(slot["slot_id"].as_str().unwrap()).try_into().unwrap();
        Slot { m_kib, t, p, slot_id, derives_at_any_cost: true, ..made }
    });
    let slots: Vec<_> = slots.collect();
    let notes = slots.iter().zip(in_json).map(|(slot, in_json)| {
        let (label, created_at) = (in_json["label"].as_str().unwrap(), number(&in_json["created_at"]));
        Note { slot_id: slot.slot_id, label, created_at }
    });
    let notes: Vec<_> = notes.collect();
    let tokens = contents["tokens"].as_array().unwrap();
    let parts: Vec<_> = tokens.iter().map(Parts::of).collect();
    let records: Vec<_> = tokens.iter().zip(&parts).map(|(token, parts)| parts.record(token)).collect();
    let ancestors = Ancestor::made_up(&store_id, generation);
    let draft = Draft {
        store_id,
        generation,
        store_key: store_key(name),
        payload: Payload::new(number(&contents["next_id"]), &notes, &ancestors, &records),
        slots,
        ..catalogue::sound()
    };
    let sample = sample(name, draft.seal(), &contents_of_kinds(&contents));
    for member in ["store_id", "generation", "next_id", "slots", "tokens"] {
        assert!(sample.beside[member] == contents[member], "{name}: {member}");
    }
    sample
}

fn contents_of_kinds(contents: &Value) -> Value {
    KINDS.iter().map(|kind| ((*kind).to_owned(), contents[kind].clone())).collect::<Map<_, _>>().into()
}

/// What a record borrows.
struct Parts<'a> {
    texts: Vec<(&'a str, &'a str)>,
    times: Vec<(&'a str, u64)>,
    scopes: Vec<&'a str>,
    attributes: Vec<(&'a str, &'a str)>,
}

impl<'a> Parts<'a> {
    fn of(token: &'a Value) -> Self {
        let text = |value: &'a Value| value.as_str().unwrap();
        let texts = TEXTS_BEFORE_TIMES.into_iter().chain(TEXTS_AFTER_TIMES);
        let attributes: BTreeMap<_, _> = token["attributes"].as_object().unwrap().iter().collect();
        Self {
            texts: texts.filter_map(|name| Some((name, token[name].as_str()?))).collect(),
            times: TIMES.into_iter().filter_map(|name| Some((name, token[name].as_u64()?))).collect(),
            scopes: token["scopes"].as_array().unwrap().iter().map(text).collect(),
            attributes: attributes.into_iter().map(|(name, value)| (name.as_str(), text(value))).collect(),
        }
    }

    fn record(&'a self, token: &'a Value) -> Record<'a> {
        let number = |name: &str| token[name].as_u64().unwrap();
        Record {
            namespace: token["namespace"].as_str().unwrap_or_default(),
            times: &self.times,
            failures: token["failures"].as_u64().unwrap_or_default().try_into().unwrap(),
            scopes: &self.scopes,
            attributes: &self.attributes,
            created_at: number("created_at"),
            updated_at: number("updated_at"),
            revision: number("revision"),
            ..Record::new(token["id"].as_str().unwrap(), &self.texts)
        }
    }
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
    let (store_id, generation) = (store_id("two-namespaces"), 200);
    Draft {
        store_id,
        generation,
        store_key: store_key("two-namespaces"),
        payload: Payload::new(9, &notes_on(&slots), &Ancestor::made_up(&store_id, generation), &records),
        slots,
        ..catalogue::sound()
    }
}

/// The end of the year 9999.
const LAST_TIME: u64 = 253_402_300_799_999;

/// Values at their limits, and texts that a careless reader changes or rejects.
fn boundaries() -> Draft {
    let slots = vec![Slot::passphrase(0x71, "boundaries"), Slot::recovery_key(0x72, key_from(0))];
    let longest_label = "é".repeat(128);
    let note = |slot: &Slot, label, created_at| Note { slot_id: slot.slot_id, label, created_at };
    let notes = [note(&slots[0], &longest_label[..], 0), note(&slots[1], "\0", LAST_TIME)];
    let all_times = |time| TIMES.map(|name| (name, time));
    let (first_times, last_times) = (all_times(0), all_times(LAST_TIME));
    // With the id 262,144 bytes together.
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
        Record::new("full", &longest),
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
        // After each other by their bytes.
        Record { namespace: "\u{FFFD}", ..Record::new("007", &[("access_token", "a")]) },
        Record { namespace: "\u{10000}", ..Record::new("007", &[("access_token", "a")]) },
    ]);
    let (store_id, generation) = (store_id("boundaries"), 65);
    let payload = Payload::new(1 << 63, &notes, &Ancestor::made_up(&store_id, generation), &records);
    assert_eq!(payload.len_of_texts("record 4 "), 262_144);
    Draft { store_id, generation, store_key: store_key("boundaries"), payload, slots, ..catalogue::sound() }
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
        // 1 in 64 bits.
        "18446744073709551617",
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
    let users = [("ada", "X"), ("ada", "x"), ("ab", "c"), ("a", "bc"), ("ab\0", "c"), ("ab", "\0c")];
    let users = users.map(|(user_name, client_id)| user(user_name, client_id));
    let ids_of_users = ["u0", "u1", "u2", "u3", "u4", "u5"];
    records.extend(ids_of_users.into_iter().zip(&users).map(|(id, texts)| Record::new(id, texts)));
    let [id, scope, name] = ["i", "s", "n"].map(|letter| letter.repeat(300));
    let (long_scopes, long_attributes) = ([&scope[..]], [(&name[..], "v")]);
    records.push(Record { scopes: &long_scopes, attributes: &long_attributes, ..Record::new(&id, &token) });
    let scopes: Vec<_> = (0..101).map(|n| format!("scope {n}")).collect();
    let scopes: Vec<_> = scopes.iter().map(String::as_str).collect();
    records.push(Record { scopes: &scopes, ..Record::new("101 scopes", &token) });
    records.extend([
        // After each other by their bytes.
        Record { namespace: "Z", ..Record::new("7", &token) },
        Record { namespace: "a", ..Record::new("7", &token) },
    ]);
    let (store_id, generation) = (store_id("ids"), 3);
    Draft {
        store_id,
        generation,
        store_key: store_key("ids"),
        payload: Payload::new(9, &notes_on(&slots), &Ancestor::made_up(&store_id, generation), &records),
        slots,
        ..catalogue::sound()
    }
}

const ONE_SECRET: &str = "one secret";

/// Each of them opens with it.
fn two_slots_of_one_secret() -> Draft {
    let (name, slots) = ("two-slots-of-one-secret", [0xB1, 0xB2].map(|n| Slot::passphrase(n, ONE_SECRET)));
    with_slots(name, slots.into())
}

const BROKEN_SLOT_ID: [u8; 16] = [0x8E; 16];

/// Its recovery key fits two slots, but the first has a tag that does not verify: the second opens all the same.
fn costs() -> Sample {
    let mut slots = slots_with_passphrases(&COSTS);
    slots.push(Slot { has_a_wrong_tag: true, ..Slot::recovery_key(BROKEN_SLOT_ID[0], key_from(0)) });
    slots.push(Slot::recovery_key(0x8F, key_from(0)));
    let mut secrets = passphrases(&COSTS);
    secrets["recovery_keys"] = json!([RECOVERY_KEY, RECOVERY_KEY]);
    sample("costs", with_slots("costs", slots).seal(), &secrets)
}

type WithCost = (&'static str, [u32; 3]);

/// At the limits that are cheap enough; the last has the largest product.
const COSTS: [WithCost; 4] = [
    ("most passes", [7168, 16, 1]),
    ("fewest passes, least product", [35_840, 1, 1]),
    ("most lanes", [1 << 17, 1, 16]),
    ("largest product", [1 << 17, 16, 1]),
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
    let (store_id, generation) = (store_id(name), 4);
    let records = [Record::new("1", &[("user_name", "ada"), ("refresh_token", "r")])];
    Draft {
        store_id,
        generation,
        store_key: store_key(name),
        payload: Payload::new(2, &notes_on(&slots), &Ancestor::made_up(&store_id, generation), &records),
        slots,
        ..catalogue::sound()
    }
}

/// `values.json`.
pub(crate) fn values() -> Value {
    json!({"padme": padme_pairs(), "salts": salts(), "recovery_keys": recovery_keys()})
}

fn padme_pairs() -> Vec<[usize; 2]> {
    let mut lengths = vec![4, 5, 6, 7, 8, 9, 10, 15, 16, 17, 18, 31, 33, 100, 255, 256, 257, 1000, 3484, 3488];
    for power in [12, 13, 16, 18, 20, 24, 25] {
        let power = 1 << power;
        lengths.extend([power - 1, power, power + 1]);
    }
    lengths.extend([5000, 66_000, 123_456, 270_337, 67_000_000]);
    lengths.sort_unstable();
    lengths.into_iter().map(|l| [l, padme(l)]).collect()
}

fn salts() -> Vec<Value> {
    let store_key = [store_key("values"), [0; 32]];
    let random = [in_place_of_random_bytes(b"values"), [0; 32]];
    let plaintext_hash = in_place_of_random_bytes(b"a plaintext").to_vec();
    let slot_id = vec![0x91; 16];
    let with = |label: &str, store_key: &[u8; 32], random: &[u8; 32], count: u64, purpose: &[u8]| {
        let made = salt(store_key, label, random, count, purpose);
        assert_eq!(made[..], reader::salt(store_key, label, random, count, purpose));
        json!({
            "label": label, "store_key": hex(store_key), "random": hex(random), "count": count,
            "purpose": hex(purpose), "salt": hex(&made),
        })
    };
    vec![
        with(BODY_SALT, &store_key[0], &random[0], 1, &plaintext_hash),
        // The same random bytes, for something else.
        with(BODY_SALT, &store_key[0], &random[0], 2, &plaintext_hash),
        with(BODY_SALT, &store_key[0], &random[0], 1, &random[1]),
        with(SLOT_SALT, &store_key[0], &random[0], 1, &slot_id),
        with(SLOT_SALT, &store_key[1], &random[1], u64::MAX, &slot_id),
    ]
}

/// As a person types it, with the key or as a typing error.
fn recovery_keys() -> Vec<Value> {
    let sound = RECOVERY_KEY;
    let symbols = sound.replace('-', "");
    // One of them between each two symbols, and the rest at the end.
    let ignored: String = ('\u{9}'..='\u{D}').chain(IGNORED.iter().flat_map(|(first, last)| *first..=*last)).collect();
    let spread = {
        let mut ignored = ignored.chars();
        let mut text: String = symbols.chars().flat_map(|symbol| [ignored.next(), Some(symbol)]).flatten().collect();
        text.extend(ignored);
        text
    };
    let typed = |text: String| {
        let key = Some(hex(&key_from(0)));
        json!({"text": text, "key": key})
    };
    let mistyped = |text: String| json!({"text": text, "key": null});
    let mut all = vec![
        typed(sound.to_owned()),
        typed(symbols.clone()),
        typed(sound.to_lowercase()),
        typed(sound.replace('0', "O").replace('1', "I")),
        typed(sound.replace('0', "o").replace('1', "l")),
        typed(sound.replace('1', "L").replace('0', "o")),
        typed(sound.replacen('1', "i", 1)),
        typed(spread),
        typed(ignored.clone() + sound + &ignored),
        typed(format!("\u{201C}{}\u{201D}\r\n", sound.replace('-', "\u{2013}"))),
    ];
    all.extend(
        [
            ("TKR1", "TKR2"),
            ("TKR1", "TKR0"),
            ("TKR1", "TKRO"),
            ("TKR1", "1KR1"),
            ("TKR1", "TK1"),
            ("TKR1", ""),
            ("TKR1", "TKR"),
            ("TKR1", "TKR1-TKR1"),
            ("R38E", "R38F"),
            ("27FX", "27F"),
            ("27FX", "27FXX"),
            ("27FX", "27FW"),
            ("27FX", "27FU"),
            ("R38E", "R38\u{C9}"),
            ("000G", "0\u{FF10}0G"),
            ("4 0", ""),
            ("1W81", "\u{131}W81"),
            ("1W81", "\u{17F}W81"),
            ("1W81", "W181"),
            ("-000G", "\u{180E}000G"),
            ("-000G", "_000G"),
            ("-000G", ".000G"),
            ("-000G", "\u{2065}000G"),
            ("-000G", "\u{2053}000G"),
            ("-000G", "'000G"),
            ("-000G", "\"000G"),
            ("-000G", "\u{0}000G"),
            ("-000G", "\u{1F}000G"),
            ("-000G", "\u{2E3A}000G"),
            ("TKR1", "\u{FF34}KR1"),
            ("TKR1", "T\u{212A}R1"),
        ]
        .into_iter()
        .filter(|(from, _)| sound.contains(from))
        .map(|(from, to)| mistyped(sound.replacen(from, to, 1))),
    );
    all.extend([mistyped(String::new()), mistyped(ignored), mistyped("TKR1".to_owned()), mistyped(sound.repeat(2))]);
    for known in &all {
        let read = reader::recovery_key(known["text"].as_str().unwrap()).map(|key| hex(&key));
        assert_eq!(read.as_deref(), known["key"].as_str(), "{known}");
    }
    all
}

/// The characters that are ignored, but for U+0009 to U+000D.
const IGNORED: [(char, char); 25] = [
    (' ', ' '),
    ('\u{85}', '\u{85}'),
    ('\u{A0}', '\u{A0}'),
    ('\u{1680}', '\u{1680}'),
    ('\u{2000}', '\u{200A}'),
    ('\u{2028}', '\u{2029}'),
    ('\u{202F}', '\u{202F}'),
    ('\u{205F}', '\u{205F}'),
    ('\u{3000}', '\u{3000}'),
    ('-', '-'),
    ('\u{AD}', '\u{AD}'),
    ('\u{2010}', '\u{2015}'),
    ('\u{2043}', '\u{2043}'),
    ('\u{2212}', '\u{2212}'),
    ('\u{FE58}', '\u{FE58}'),
    ('\u{FE63}', '\u{FE63}'),
    ('\u{FF0D}', '\u{FF0D}'),
    ('\u{200B}', '\u{200F}'),
    ('\u{202A}', '\u{202E}'),
    ('\u{2060}', '\u{2060}'),
    ('\u{2066}', '\u{2069}'),
    ('\u{FEFF}', '\u{FEFF}'),
    ('\u{2018}', '\u{201F}'),
    ('\u{B7}', '\u{B7}'),
    ('\u{2022}', '\u{2022}'),
];
