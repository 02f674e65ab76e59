//! The values that no sample shows.

mod key_tables;
mod rows;

use serde_json::{Value, json};

use super::store_key;
use crate::{
    catalogue::{RECOVERY_KEY, key_from},
    reader::{self, hex},
    writer::{
        BODY_SALT, JOURNAL_SALT, NOTES_SALT, ROW_SALT, SLOT_SALT, blind_index, in_place_of_random_bytes, padme, salt,
    },
};

/// `values.json`.
pub(crate) fn values() -> Value {
    json!({
        "padme": padme_pairs(),
        "salts": salts(),
        "recovery_keys": recovery_keys(),
        "blind_indexes": blind_indexes(),
        "rows": rows::rows(),
        "journal_records": super::journals::values(),
        "key_tables": key_tables::key_tables(),
    })
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
        // Not a number that a 64-bit float has.
        with(BODY_SALT, &store_key[0], &random[0], (1 << 53) + 1, &plaintext_hash),
        with(SLOT_SALT, &store_key[0], &random[0], 1, &slot_id),
        with(SLOT_SALT, &store_key[1], &random[1], u64::MAX, &slot_id),
        with(NOTES_SALT, &store_key[0], &random[0], 1, &plaintext_hash),
        with(ROW_SALT, &store_key[0], &random[0], 1, &plaintext_hash),
        with(JOURNAL_SALT, &store_key[0], &random[0], 1, &plaintext_hash),
        with(JOURNAL_SALT, &store_key[0], &random[0], 2, &plaintext_hash),
    ]
}

/// Of texts, clients and namespaces that a careless program takes for one.
fn blind_indexes() -> Vec<Value> {
    let store_key = store_key("values");
    let mut all = Vec::new();
    let mut add = |kind: u8, namespace: &str, value: &str, client_id: Option<&str>| {
        let index = blind_index(&store_key, kind, namespace, value, client_id);
        assert_eq!(index[..], reader::blind_index(&store_key, kind, namespace, value, client_id));
        let mut known = json!({
            "kind": kind, "namespace": namespace, "value": value, "store_key": hex(&store_key), "index": hex(&index),
        });
        if kind == 3 {
            known["client_id"] = json!(client_id);
        }
        all.push(known);
    };
    for namespace in ["", "n", "1"] {
        add(7, namespace, "", None);
    }
    for kind in 1..=6 {
        add(kind, "", "ada", None);
        add(kind, "google", "ada", None);
    }
    for client_id in ["client", "Client", "\0"] {
        add(3, "", "ada", Some(client_id));
    }
    // The ends of the texts lie elsewhere.
    add(3, "", "ab", Some("c"));
    add(3, "", "a", Some("bc"));
    add(2, "a", "bc", None);
    add(2, "ab", "c", None);
    for value in ["Ada", " ada", "ada\0", "caf\u{E9}", "cafe\u{301}", "\u{10000}"] {
        add(2, "", value, None);
    }
    add(1, &"\u{E4}".repeat(128), "1", None);
    add(6, "", &"x".repeat(1_000), None);
    add(4, "", &"x".repeat(65_536), None);
    for kind in 1..=3 {
        add(kind, "Cafe\u{301}\0x", "u", Some("Ce\u{301}\0x"));
        add(kind, "Cafe\u{301}\0y", "u", Some("Ce\u{301}\0y"));
    }
    all
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
            // U is no symbol, and stands for no other.
            ("P70X", "P70U"),
            ("P70X", "p70u"),
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
            // The key without its first zeros.
            ("000G", "00G"),
            ("-000G", "\u{2016}000G"),
            ("-000G", "\u{2017}000G"),
            ("-000G", "\u{2027}000G"),
            ("-000G", "\u{AB}000G"),
            ("-000G", "\u{B4}000G"),
            ("-000G", "\u{203A}000G"),
            ("-000G", "\u{2061}000G"),
            ("-000G", "\u{206A}000G"),
            ("-000G", "\u{1C}000G"),
            ("-000G", "\u{80}000G"),
            ("-000G", "\u{FE0F}000G"),
            ("-000G", "*000G"),
            ("-000G", ",000G"),
            ("-000G", "/000G"),
            ("-000G", ":000G"),
            // A checksum that is wrong in its first byte alone.
            ("P70X-3RFP", "P70X-3RFN"),
        ]
        .into_iter()
        .filter(|(from, _)| sound.contains(from))
        .map(|(from, to)| mistyped(sound.replacen(from, to, 1))),
    );
    all.extend([mistyped(String::new()), mistyped(ignored), mistyped("TKR1".to_owned()), mistyped(sound.repeat(2))]);
    all.push(mistyped(format!("{sound}\0x")));
    // U stands for no other, not even in a key that is right with V.
    let with_v = "TKR1-NGWK-DQ71-EVHP-SX1N-JMGJ-TB2Y-RRH0-885Q-R8HY-PFQN-ABJ7-Q8W2-MQKH-BEWK";
    all.push(json!({"text": with_v, "key": hex(&reader::recovery_key(with_v).unwrap())}));
    all.push(mistyped(with_v.replace('V', "U")));
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
