//! What is wrong with the plaintext of an authentic body.

use super::{
    AFTER_9999, Malformed, NOT_BINCODE, ONE_USER, PLAINTEXT, Row, STORE_ID, dashed, in_payload, in_plaintext,
    long_in_bytes_alone, of_generation, sealed, sound_slots, unlocked,
};
use crate::writer::{Ancestor, Payload, TEXTS_AFTER_TIMES, TEXTS_BEFORE_TIMES, TIMES};

pub(super) fn rows() -> Vec<Row> {
    let parts = [
        padding(),
        shapes_of_the_payload(),
        ends_of_texts_and_lists(),
        namespaces_and_lineage(),
        rules_of_the_store(),
        rules_of_a_record(),
    ];
    parts.into_iter().flatten().collect()
}

/// The plaintext's length and zeros, in an authentic body.
fn padding() -> Vec<Row> {
    vec![
        in_plaintext("padding-first-byte", |plaintext| {
            let end = 4 + usize::try_from(length_of_payload(plaintext)).unwrap();
            plaintext[end] = 1;
        }),
        in_plaintext("padding-middle-byte", |plaintext| {
            let end = 4 + usize::try_from(length_of_payload(plaintext)).unwrap();
            plaintext[end.midpoint(PLAINTEXT)] = 1;
        }),
        // Padmé asks for 33 whole blocks.
        unlocked("padding-byte-after-a-block-of-zeros", Malformed("not padded"), {
            sealed(|draft| {
                for secret in ["client_secret", "refresh_token"] {
                    draft.payload.set_text(&format!("record 0 {secret}"), "x".repeat(64_000));
                }
                let to_grow = (1 << 17) + 1 - 4 - draft.payload.len();
                grow(&mut draft.payload, "record 1 refresh_token", to_grow);
                draft.alter_plaintext = Box::new(|plaintext| {
                    let at = (1 << 17) + 1 + 4500;
                    assert!(at < plaintext.len() - 500);
                    plaintext[at] = 1;
                });
            })
        }),
        in_plaintext("padding-last-byte", |plaintext| plaintext[PLAINTEXT - 1] = 0x80),
        in_plaintext("padding-a-block-too-long", |plaintext| plaintext.resize(PLAINTEXT + 4096, 0)),
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
        // In 24 bits as long as it is.
        in_plaintext("payload-length-16-mib-too-large", |plaintext| {
            let len = length_of_payload(plaintext);
            put_length(plaintext, len + (1 << 24));
        }),
        in_plaintext("payload-length-0", |plaintext| put_length(plaintext, 0)),
        in_plaintext("payload-length-one-more-than-there-is-room", |plaintext| {
            put_length(plaintext, u32::try_from(PLAINTEXT - 3).unwrap());
        }),
        in_plaintext("payload-length-with-prefix-overflows-32-bits", |plaintext| put_length(plaintext, u32::MAX - 3)),
        in_plaintext("payload-length-largest", |plaintext| put_length(plaintext, u32::MAX)),
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

fn shapes_of_the_payload() -> Vec<Row> {
    let mut rows = vec![
        in_payload("payload-empty", NOT_BINCODE, |payload| payload.end_before("schema")),
        in_payload("payload-cut-after-schema", NOT_BINCODE, |payload| payload.end_before("next_id")),
        in_payload("payload-cut-after-next-id", NOT_BINCODE, |payload| payload.end_before("ancestors")),
        in_payload("payload-cut-after-ancestors", NOT_BINCODE, |payload| payload.end_before("record_tags")),
        in_payload("payload-cut-after-record-tags", NOT_BINCODE, |payload| payload.end_before("records")),
        in_payload("payload-cut-in-an-ancestor", NOT_BINCODE, |payload| payload.end_before("ancestor 5 tag")),
        in_payload("payload-cut-in-a-record", NOT_BINCODE, |payload| payload.end_before("record 1 expires_at option")),
        in_payload("payload-cut-in-a-text", NOT_BINCODE, |payload| {
            payload.end_before("record 1 refresh_token");
            payload.append(b"canary");
        }),
        in_payload("payload-cut-by-one-byte", NOT_BINCODE, |payload| {
            payload.set("record 1 revision", [1, 0, 0, 0, 0, 0, 0]);
        }),
        in_payload("payload-with-a-byte-after-it", NOT_BINCODE, |payload| payload.append(&[0])),
        in_payload("payload-with-a-record-after-it", NOT_BINCODE, |payload| payload.repeat("record 1 ")),
    ];
    for field in texts_and_times() {
        for option in [2, 255] {
            let row = in_payload(format!("option-{option}-{}", dashed(field)), NOT_BINCODE, |payload| {
                payload.set(&format!("record 0 {field} option"), [option]);
            });
            rows.push(row.frozen_if(option == 2 || field == "access_token"));
        }
    }
    rows.push(in_payload("option-2-without-a-value", NOT_BINCODE, |payload| {
        payload.set("record 1 client_id option", [2]);
    }));
    for (fault, text) in [
        ("after-the-last-character", &b"\xF4\x90\x80\x80"[..]),
        ("in-five-bytes", b"\xF8\x88\x80\x80\x80"),
        ("overlong-in-three-bytes", b"\xE0\x80\xAF"),
        ("overlong-in-four-bytes", b"\xF0\x80\x80\xAF"),
        ("surrogate-pair", b"\xED\xA0\x80\xED\xB0\x80"),
    ] {
        rows.push(in_payload(format!("text-access-token-{fault}"), NOT_BINCODE, |payload| {
            payload.set_text("record 0 access_token", text);
        }));
    }
    for (name, piece) in texts() {
        for (fault, text) in [
            ("not-utf-8", &b"canary \xFF"[..]),
            ("cut-in-a-character", b"canary \xE5\xB1"),
            ("half-a-surrogate-pair", b"\xED\xA0\x80"),
            ("overlong", b"\xC0\x80"),
        ] {
            let row = in_payload(format!("text-{name}-{fault}"), NOT_BINCODE, |payload| payload.set_text(&piece, text));
            let is_frozen = if fault == "not-utf-8" { is_example(&name) } else { name == "access-token" };
            rows.push(row.frozen_if(is_frozen));
        }
    }
    rows
}

/// Lengths and counts that are not those of what follows.
fn ends_of_texts_and_lists() -> Vec<Row> {
    let counts = ["ancestors", "record_tags", "records", "record 0 scopes", "record 0 attributes"];
    let counts = counts.map(|piece| (dashed(piece.trim_start_matches("record 0 ")), piece.to_owned()));
    let lengths = texts().into_iter().map(|(name, piece)| (name, format!("{piece} length")));
    let mut rows = Vec::new();
    for (name, piece) in counts.iter().cloned().chain(lengths) {
        for (size, stated) in [
            ("largest", Some(u64::MAX)),
            ("half-of-the-largest", Some(1 << 63)),
            ("2-to-40", Some(1 << 40)),
            ("2-to-32", Some(1 << 32)),
            ("one-too-many", None),
        ] {
            let row = in_payload(format!("length-{name}-{size}"), NOT_BINCODE, |payload| {
                let stated = stated.unwrap_or(payload.get(&piece) + 1);
                payload.set_number(&piece, stated);
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
    // In 32 bits as long as it is.
    rows.push(in_payload("length-access-token-4-gib-too-large", NOT_BINCODE, |payload| {
        let piece = "record 0 access_token length";
        payload.set_number(piece, payload.get(piece) + (1 << 32));
    }));
    // None is less than none.
    let filled = counts.into_iter().filter(|(_, piece)| piece != "record_tags");
    rows.extend(filled.map(|(name, piece)| {
        in_payload(format!("length-{name}-one-too-few"), NOT_BINCODE, |payload| {
            let stated = payload.get(&piece) - 1;
            payload.set_number(&piece, stated);
        })
    }));
    // One inside the other: what is set aside for either is there at the same time.
    rows.push(in_payload("length-records-and-attributes-largest", NOT_BINCODE, |payload| {
        payload.set_number("records", u64::MAX);
        payload.set_number("record 0 attributes", u64::MAX);
    }));
    rows
}

fn namespaces_and_lineage() -> Vec<Row> {
    let out_of_order = "its records are not in the order of their namespaces";
    let wrong_number = "its ancestors do not fit its generation";
    let too_long = "a token's namespace is longer than 256 bytes";
    let namespaces = |payload: &mut Payload, first: &str, second: &str| {
        payload.set_text("record 0 namespace", first);
        payload.set_text("record 1 namespace", second);
    };
    vec![
        in_payload("namespace-too-long", too_long, |payload| payload.set_text("record 1 namespace", "n".repeat(257))),
        in_payload("namespace-too-long-in-bytes-alone", too_long, |payload| {
            payload.set_text("record 1 namespace", long_in_bytes_alone(257));
        }),
        in_payload("namespaces-out-of-order", out_of_order, |payload| namespaces(payload, "b", "a")),
        in_payload("namespaces-default-not-first", out_of_order, |payload| namespaces(payload, "a", "")),
        // As UTF-16 orders them.
        in_payload("namespaces-in-another-order-of-characters", out_of_order, |payload| {
            namespaces(payload, "\u{10000}", "\u{FFFD}");
        }),
        in_payload("namespaces-out-of-order-after-a-nul", out_of_order, |payload| namespaces(payload, "x\0b", "x\0a")),
        in_payload("namespace-in-two-groups", out_of_order, |payload| {
            namespaces(payload, "a", "a");
            payload.set_number("records", 3);
            payload.repeat("record 1 ");
            // The first of the two that have this name now.
            payload.set_text("record 1 namespace", "b");
        }),
        in_payload("ancestors-none", wrong_number, |payload| {
            payload.set_number("ancestors", 0);
            payload.remove("ancestor ");
        }),
        in_payload("ancestors-one-too-few", wrong_number, |payload| {
            payload.set_number("ancestors", 5);
            payload.remove("ancestor 0 ");
        }),
        in_payload("ancestors-one-too-many", wrong_number, |payload| {
            payload.set_number("ancestors", 7);
            payload.repeat("ancestor 0 ");
        }),
        unlocked("ancestors-63-of-64", Malformed(wrong_number), {
            of_generation(65, &Ancestor::made_up(&STORE_ID, 65)[1..], sound_slots()).seal()
        }),
        unlocked("ancestors-65", Malformed(wrong_number), {
            let all = [Ancestor::made_up(&STORE_ID, 2), Ancestor::made_up(&STORE_ID, 66)].concat();
            of_generation(66, &all, sound_slots()).seal()
        }),
        unlocked("ancestors-of-the-first-generation", Malformed(wrong_number), {
            of_generation(1, &Ancestor::made_up(&STORE_ID, 2), sound_slots()).seal()
        }),
    ]
}

fn rules_of_the_store() -> Vec<Row> {
    let mut rows = vec![
        in_payload("schema-0", "unknown schema", |payload| payload.set("schema", 0_u32.to_le_bytes())),
        in_payload("schema-2", "unknown schema", |payload| payload.set("schema", 2_u32.to_le_bytes())),
        // 1 in 16 bits.
        in_payload("schema-65537", "unknown schema", |payload| payload.set("schema", 65_537_u32.to_le_bytes())),
        in_payload("next-id-0", "next id", |payload| {
            payload.set_number("next_id", 0);
            payload.set_number("records", 0);
            payload.remove("record ");
        }),
        in_payload("next-id-one-too-large", "next id", |payload| payload.set_number("next_id", (1 << 63) + 1)),
        in_payload("next-id-largest", "next id", |payload| payload.set_number("next_id", u64::MAX)),
        in_payload("next-id-taken", "yet to be chosen", |payload| payload.set_number("next_id", 7)),
        in_payload("next-id-before-one-that-is-taken", "yet to be chosen", |payload| payload.set_number("next_id", 2)),
        in_payload("next-id-taken-by-the-first", "yet to be chosen", |payload| payload.set_text("record 0 id", "8")),
        in_payload("next-id-taken-in-another-namespace", "yet to be chosen", |payload| {
            payload.set_text("record 1 namespace", "n");
            payload.set_text("record 1 id", "8");
        }),
        in_payload("id-largest-that-is-chosen", "yet to be chosen", |payload| {
            payload.set_text("record 1 id", "9223372036854775807");
        }),
        in_payload("two-tokens-with-one-id", "two tokens have one id", |payload| payload.set_text("record 1 id", "1")),
        in_payload("two-tokens-with-one-id-and-another-between-them", "two tokens have one id", |payload| {
            with_three_records(payload);
            payload.set_text("record 0 id", "7");
        }),
        in_payload("two-tokens-with-one-user-name-and-another-between-them", ONE_USER, |payload| {
            with_three_records(payload);
            payload.set_text("record 0 user_name", "grace");
            payload.clear_text("record 0 client_id");
        }),
        in_payload("two-tokens-of-a-namespace-with-one-id", "two tokens have one id", |payload| {
            payload.set_text("record 0 namespace", "n");
            payload.set_text("record 1 namespace", "n");
            payload.set_text("record 1 id", "1");
        }),
        in_payload("two-tokens-of-a-namespace-with-one-id-of-the-application", "two tokens have one id", |payload| {
            for piece in ["record 0 namespace", "record 1 namespace", "record 0 id", "record 1 id"] {
                payload.set_text(piece, "007");
            }
        }),
        in_payload("two-tokens-of-a-namespace-with-one-user-name-and-client-id", ONE_USER, |payload| {
            payload.set_text("record 0 namespace", "n");
            payload.set_text("record 1 namespace", "n");
            payload.set_text("record 1 user_name", "ada");
            payload.fill_text("record 1 client_id", "client");
        }),
        in_payload("two-tokens-with-one-user-name-and-client-id", ONE_USER, |payload| {
            payload.set_text("record 1 user_name", "ada");
            payload.fill_text("record 1 client_id", "client");
        }),
        in_payload("two-tokens-with-one-user-name-and-no-client-id", ONE_USER, |payload| {
            payload.set_text("record 1 user_name", "ada");
            payload.clear_text("record 0 client_id");
        }),
    ];
    for (name, piece) in [
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
            rows.push(in_payload(format!("time-{name}-{size}"), "year 9999", alter));
        }
    }
    rows
}

/// The last has the id 7 and the user name "grace".
fn with_three_records(payload: &mut Payload) {
    payload.set_number("records", 3);
    payload.repeat("record 1 ");
    // The first of the two that have these names now.
    payload.set_text("record 1 id", "5");
    payload.set_text("record 1 user_name", "lin");
}

fn rules_of_a_record() -> Vec<Row> {
    let unsavable = "could not have been saved";
    let mut rows = vec![
        in_payload("revision-0", "revision is zero", |payload| payload.set_number("record 1 revision", 0)),
        in_payload("nothing-to-store", unsavable, |payload| payload.clear_text("record 1 refresh_token")),
        in_payload("id-token-alone", unsavable, |payload| {
            payload.clear_text("record 1 refresh_token");
            payload.fill_text("record 1 id_token", "canary id token");
        }),
        in_payload("scope-twice", "scope twice", |payload| payload.set_text("record 0 scope 1", "z.read")),
        in_payload("scope-twice-with-another-between-them", "scope twice", |payload| {
            payload.set_number("record 0 scopes", 3);
            payload.repeat("record 0 scope 0");
            payload.set_text("record 0 scope 0", "a.write");
        }),
        in_payload("attributes-out-of-order", "out of order", |payload| {
            payload.set_text("record 0 attribute 0 name", "zone");
        }),
        in_payload("attribute-twice", "out of order", |payload| {
            payload.set_text("record 0 attribute 1 name", "account");
        }),
        in_payload("token-of-more-than-256-kib", unsavable, |payload| {
            more_than_256_kib(payload, |len| "x".repeat(len));
        })
        .frozen_if(false),
        in_payload("token-of-more-than-256-kib-in-bytes-alone", unsavable, |payload| {
            more_than_256_kib(payload, |len| "é".repeat(len / 2) + &"x".repeat(len % 2));
        }),
    ];
    let empty = "an empty text";
    for (name, piece) in texts().into_iter().filter(|(name, _)| name != "namespace") {
        let row = in_payload(format!("text-{name}-empty"), empty, |payload| payload.set_text(&piece, ""));
        rows.push(row);
        let too_long = in_payload(format!("text-{name}-too-long"), unsavable, |payload| {
            payload.set_text(&piece, "a".repeat(65_537));
        });
        rows.push(too_long.frozen_if(name != "id-token"));
    }
    rows.push(in_payload("text-access-token-too-long-in-bytes-alone", unsavable, |payload| {
        payload.set_text("record 0 access_token", long_in_bytes_alone(65_537));
    }));
    rows
}

/// By one byte, in texts that are each as long as they may be. The closure makes a text of so many bytes.
fn more_than_256_kib(payload: &mut Payload, text: impl Fn(usize) -> String) {
    let secrets = ["client_secret", "refresh_token", "access_token", "grant_token"];
    let pieces = secrets.map(|secret| format!("record 0 {secret}"));
    pieces.iter().for_each(|piece| payload.set_text(piece, ""));
    let rest = (1 << 18) + 1 - 3 * 65_536 - payload.len_of_texts("record 0 ");
    for (piece, len) in pieces.iter().zip([65_536, 65_536, 65_536, rest]) {
        payload.set_text(piece, text(len));
    }
}

/// Each text that a payload has, and the piece that it is.
fn texts() -> Vec<(String, String)> {
    let optional =
        TEXTS_BEFORE_TIMES.iter().chain(&TEXTS_AFTER_TIMES).map(|field| (*field, format!("record 0 {field}")));
    let others = [
        ("namespace", "record 1 namespace"),
        ("id", "record 1 id"),
        ("scope", "record 0 scope 1"),
        ("attribute_name", "record 0 attribute 0 name"),
        ("attribute_value", "record 0 attribute 1 value"),
    ];
    let others = others.map(|(name, piece)| (name, piece.to_owned()));
    others.into_iter().chain(optional).map(|(name, piece)| (dashed(name), piece)).collect()
}

/// Whether the files about that text are frozen, for all of its kind: the others are made again in each run.
fn is_example(text: &str) -> bool {
    ["id", "user-name", "access-token", "scope", "attribute-name", "attribute-value"].contains(&text)
}

fn texts_and_times() -> impl Iterator<Item = &'static str> {
    TEXTS_BEFORE_TIMES.into_iter().chain(TIMES).chain(TEXTS_AFTER_TIMES)
}
