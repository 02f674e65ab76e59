//! What is wrong with a key table that somebody with the store key made: everything computed after it is right.

use tokenkeep::KdfCost;

use super::{
    AFTER_9999, BODY, DATA_LEN, LEN, NOTE, NOTES_SALT, PROVIDER, PUBLIC_DATA,
    Refusal::{self, KdfLimit, Malformed, Rekeyed, Tampered},
    Row, SLOT, SLOTS, TABLE, forged, key_from, long_in_bytes_alone, passphrases, put, recovery_keys, sealed, sound,
    sound_with, unlocked, unread,
};
use crate::{
    reader::hkdf,
    writer::{Draft, Note, Slot, Table, external_data},
};

pub(super) fn rows() -> Vec<Row> {
    let parts = [starts(), shapes(), slots(), unused_fields(), external_slots(), costs(), notes(), macs()];
    parts.into_iter().flatten().collect()
}

/// The key table is longer or shorter than its slots ask.
const SHAPE: Refusal = Malformed("key table is not as long");
/// Which rule is reported depends on what the reader looks at first.
const ANY: Refusal = Malformed("");
const RESERVED: Refusal = Malformed("reserved bytes");
const DATA: Refusal = Malformed("data of a key slot");

/// With another table, which is sealed as it should be.
fn table(name: impl Into<String>, refusal: Refusal, alter: impl FnOnce(&mut Table)) -> Row {
    unread(name, refusal, sealed(|draft| alter(&mut draft.table)))
}

fn starts() -> Vec<Row> {
    let magic = Malformed("key table does not start");
    let count = Malformed("number of its key slots");
    let mut rows = vec![
        table("table-magic-of-the-file", magic, |table| table.magic = *b"\x89TKP\r\n\x1a\n"),
        table("table-revision-0", Malformed("revision of its key table"), |table| table.revision = 0),
        table("slot-count-0", count, |table| table.slot_count = Some(0)),
        unread("slot-count-9", count, sealed(|draft| *draft = sound_with(recovery_keys(9)))),
        // In 8 bits as many as there are.
        table("slot-count-260", count, |table| table.slot_count = Some(260)),
        table("slot-count-65535", count, |table| table.slot_count = Some(65_535)),
        // A count alone.
        table("slot-count-one-too-small", ANY, |table| table.slot_count = Some(3)),
        table("slot-count-one-too-large", ANY, |table| table.slot_count = Some(5)),
        table("slot-count-largest", ANY, |table| table.slot_count = Some(8)),
    ];
    rows.extend((0..8).map(|at| table(format!("table-magic-byte-{at}"), magic, |table| table.magic[at] ^= 0x20)));
    rows.extend([0, 2, 0x100, 0x101, 65_535].map(|version| {
        let refusal = Malformed("version of its key table");
        table(format!("table-version-{version}"), refusal, |table| table.version = version)
    }));
    rows.extend(
        (0..4).map(|at| table(format!("table-reserved-byte-{at}"), RESERVED, |table| table.reserved[at] = 0x80)),
    );
    rows
}

/// Bytes too many and too few, with lengths, mac and check that are right for them.
fn shapes() -> Vec<Row> {
    let table = |name: &str, alter: fn(&mut Vec<u8>)| table(name, SHAPE, |table| table.alter = Box::new(alter));
    let after_the_slots = |name: &str, alter: fn(&mut Vec<u8>)| {
        unread(name, SHAPE, sealed(|draft| draft.table.alter_slots = Box::new(alter)))
    };
    // The body's first bytes belong to it, and end in a check over all of it.
    let into_the_body = forged(|file| {
        for (at, len) in [(12, BODY + 64 - TABLE), (16, LEN - BODY - 64)] {
            put(at, u32::try_from(len).unwrap().to_le_bytes())(file);
        }
    });
    vec![
        unread("table-reaches-into-the-body", SHAPE, into_the_body),
        table("table-with-a-byte-before-its-mac", |table| table.push(0)),
        table("table-with-a-block-before-its-mac", |table| table.resize(table.len() + 4096, 0)),
        table("table-without-the-last-byte-of-the-notes", |table| table.truncate(table.len() - 1)),
        table("table-without-the-tag-of-the-notes", |table| table.truncate(table.len() - 16)),
        table("table-without-notes", |table| table.truncate(NOTES_SALT - TABLE)),
        table("table-with-a-note-too-many", |table| table.resize(table.len() + NOTE, 0)),
        table("table-with-a-note-too-few", |table| table.truncate(table.len() - NOTE)),
        after_the_slots("table-with-a-byte-after-the-slots", |table| table.push(0)),
        after_the_slots("table-with-a-slot-after-the-slots", |table| table.extend_from_within(48..48 + SLOT)),
        table("table-without-the-last-byte-of-the-slots", |table| {
            drop(table.drain(NOTES_SALT - TABLE - 1..NOTES_SALT - TABLE));
        }),
        table("table-twice", |table| table.extend_from_within(..)),
        // Where a mac and a check would be, if the table ended before its own.
        table("table-longer-by-mac-and-check", |table| table.resize(table.len() + 64, 0)),
    ]
}

fn slots() -> Vec<Row> {
    let mut rows = vec![
        unread(
            "two-slots-with-one-id",
            Malformed("one id"),
            sealed(|draft| *draft = sound_with([recovery_keys(1), recovery_keys(3)].concat())),
        ),
        table("two-slots-of-other-kinds-with-one-id", Malformed("one id"), |table| {
            table.slots[3].slot_id = table.slots[0].slot_id;
        }),
        unread("five-passphrases", Malformed("more than four"), sealed(|draft| *draft = passphrases(5, [7168, 5, 1]))),
        unread(
            "eight-passphrases-at-the-highest-cost",
            Malformed("more than four"),
            sealed(|draft| *draft = passphrases(8, [1 << 20, 2, 16])),
        ),
    ];
    for kind in [0, 5, 255] {
        rows.push(table(format!("slot-kind-{kind}"), Malformed("unknown kind"), |table| table.slots[2].kind = kind));
    }
    for version in [0, 0x10, 0x14] {
        rows.push(table(format!("argon2-version-{version:#04x}"), Malformed("version of argon2"), |table| {
            table.slots[0].argon2_version = version;
        }));
    }
    rows
}

/// Of the kinds of slots that have no use for them.
fn unused_fields() -> Vec<Row> {
    let mut rows = Vec::new();
    for (slot, (name, _)) in SLOTS.iter().enumerate().take(3) {
        // With the data, and without.
        for len in [1, 256, DATA_LEN] {
            rows.push(table(format!("{name}-slot-with-{len}-bytes-of-data"), DATA, |table| {
                table.slots[slot].data = external_data(PROVIDER, PUBLIC_DATA);
                table.slots[slot].data.resize(len, 0);
            }));
        }
        for len in [1, 0x8000] {
            rows.push(table(format!("{name}-slot-data-len-{len}"), DATA, |table| {
                table.slots[slot].data_len = Some(len);
            }));
        }
    }
    for (slot, (name, _)) in SLOTS.iter().enumerate().skip(1) {
        for (field, alter) in [
            ("argon2-version", (|slot| slot.argon2_version = 0x13) as fn(&mut Slot)),
            ("memory", |slot| slot.m_kib = 7168),
            ("passes", |slot| slot.t = 5),
            ("lanes", |slot| slot.p = 1),
        ] {
            let refusal = RESERVED;
            rows.push(table(format!("{name}-slot-with-{field}"), refusal, |table| alter(&mut table.slots[slot])));
        }
    }
    rows
}

fn external_slots() -> Vec<Row> {
    let with_data =
        |name: &str, data: Vec<u8>| table(format!("external-slot-{name}"), DATA, |table| table.slots[3].data = data);
    let sound = external_data(PROVIDER, PUBLIC_DATA);
    // With another number in the place of a length.
    let stated_len = |at: usize, len: usize| {
        let mut data = sound.clone();
        data[at..at + 2].copy_from_slice(&u16::try_from(len).unwrap().to_le_bytes());
        data
    };
    let public_at = 2 + PROVIDER.len();
    let mut rows = vec![
        with_data("without-data", Vec::new()),
        with_data("data-of-1-byte", vec![1]),
        with_data("data-of-4-bytes", external_data("", &[])),
        with_data("without-public-data-and-its-length", sound[..public_at].to_vec()),
        with_data("cut-in-the-length-of-the-public-data", sound[..public_at + 1].to_vec()),
        with_data("cut-in-the-public-data", sound[..DATA_LEN - 1].to_vec()),
        with_data("with-a-byte-left-over", [&sound[..], &[0]].concat()),
        with_data("with-the-data-twice", [&sound[..], &sound].concat()),
        with_data("provider-empty", external_data("", PUBLIC_DATA)),
        with_data("provider-of-65-bytes", external_data("p".repeat(65), PUBLIC_DATA)),
        with_data("provider-of-65-bytes-in-bytes-alone", external_data(long_in_bytes_alone(65), PUBLIC_DATA)),
        with_data("provider-not-utf-8", external_data(b"a provider\xFF", PUBLIC_DATA)),
        with_data("provider-cut-in-a-character", external_data(b"a provider\xE5\xB1", PUBLIC_DATA)),
        with_data("provider-half-a-surrogate-pair", external_data(b"\xED\xA0\x80", PUBLIC_DATA)),
        with_data("provider-overlong", external_data(b"\xC0\x80", PUBLIC_DATA)),
        with_data("public-data-of-1025-bytes", external_data(PROVIDER, &[7; 1025])),
        with_data("most-data-and-a-byte-left-over", {
            [&external_data("p".repeat(64), &[7; 1024])[..], &[0]].concat()
        }),
        with_data("provider-length-0", stated_len(0, 0)),
        with_data("provider-length-one-too-small", stated_len(0, PROVIDER.len() - 1)),
        with_data("provider-length-one-too-large", stated_len(0, PROVIDER.len() + 1)),
        with_data("provider-length-all-of-the-data", stated_len(0, DATA_LEN - 2)),
        with_data("provider-length-largest", stated_len(0, 65_535)),
        // In 8 bits as long as it is.
        with_data("provider-length-256-too-large", stated_len(0, PROVIDER.len() + 256)),
        with_data("provider-length-256-too-large-with-room-for-it", {
            let mut data = external_data(PROVIDER, &[7; 300]);
            data[1] = 1;
            data
        }),
        with_data("public-data-length-0", stated_len(public_at, 0)),
        with_data("public-data-length-one-too-small", stated_len(public_at, PUBLIC_DATA.len() - 1)),
        with_data("public-data-length-one-too-large", stated_len(public_at, PUBLIC_DATA.len() + 1)),
        with_data("public-data-length-largest", stated_len(public_at, 65_535)),
    ];
    for (name, data_len) in [("0", 0), ("1093", 1093), ("largest", 65_535)] {
        rows.push(table(format!("external-slot-data-len-{name}"), ANY, |table| {
            table.slots[3].data_len = Some(data_len);
        }));
    }
    for (name, by) in [("one-too-small", -1), ("one-too-large", 1)] {
        rows.push(table(format!("external-slot-data-len-{name}"), ANY, |table| {
            table.slots[3].data_len = Some(u16::try_from(DATA_LEN).unwrap().checked_add_signed(by).unwrap());
        }));
    }
    // The slot itself is right, but ends after the table.
    rows.push(table("external-slot-reaches-out-of-the-table", ANY, |table| {
        table.slots = vec![Slot::external(0x44, key_from(0x60), external_data(PROVIDER, &[7; 1024]))];
        table.notes.truncate(1);
        table.alter = Box::new(|table| table.truncate(700));
    }));
    rows
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
        // In 16 bits within their limits.
        ("passes-65541", [7168, 65_541, 1], KdfCost::Passes, 65_541),
        ("lanes-65537", [7168, 5, 65_537], KdfCost::Lanes, 65_537),
        ("passes-largest", [7168, max, 1], KdfCost::Passes, max.into()),
        ("lanes-0", [7168, 5, 0], KdfCost::Lanes, 0),
        ("lanes-one-too-large", [7168, 5, 17], KdfCost::Lanes, 17),
        ("lanes-largest", [7168, 5, max], KdfCost::Lanes, max.into()),
        ("product-one-too-small", [35_839, 1, 1], KdfCost::MemoryKibTimesPasses, 35_839),
        ("product-too-small", [7168, 4, 1], KdfCost::MemoryKibTimesPasses, 28_672),
        // With the lanes it would be large enough.
        ("product-without-lanes-too-small", [7168, 1, 5], KdfCost::MemoryKibTimesPasses, 7168),
        ("product-one-too-large", [699_051, 3, 1], KdfCost::MemoryKibTimesPasses, (1 << 21) + 1),
        ("product-one-step-too-large", [(1 << 17) + 1, 16, 1], KdfCost::MemoryKibTimesPasses, (1 << 21) + 16),
        ("product-largest-of-both", [1 << 20, 16, 16], KdfCost::MemoryKibTimesPasses, 1 << 24),
        // Both become nothing in 32 bits, the last in 64 bits too.
        ("product-overflows-32-bits", [1 << 16, 1 << 16, 1], KdfCost::Passes, 1 << 16),
        ("product-with-lanes-overflows-32-bits", [1 << 20, 1, 1 << 12], KdfCost::Lanes, 1 << 12),
        ("product-of-all-overflows-64-bits", [1 << 31, 1 << 31, 1 << 31], KdfCost::MemoryKib, 1 << 31),
        ("all-largest", [max, max, max], KdfCost::MemoryKib, max.into()),
    ]
    .map(|(name, [m_kib, t, p], what, asked)| {
        let alter = |draft: &mut Draft| draft.table.slots[0] = Slot { m_kib, t, p, ..draft.table.slots[0].clone() };
        unread(format!("cost-{name}"), KdfLimit(what, asked), sealed(alter))
    })
    .into()
}

fn notes() -> Vec<Row> {
    let unopened = Malformed("notes on its key slots");
    let wrong_label = Malformed("label");
    let table = |name: &str, refusal: Refusal, alter: fn(&mut Table)| {
        let Refusal::Malformed(what) = refusal else { unreachable!() };
        unlocked(name, Malformed(what), sealed(|draft| alter(&mut draft.table)))
    };
    let sealed_notes = |name: &str, alter: fn(&mut Vec<u8>)| {
        unlocked(name, unopened, sealed(|draft| draft.table.alter_sealed_notes = Box::new(alter)))
    };
    let mut rows = vec![
        sealed_notes("notes-first-bit-flipped", |notes| notes[0] ^= 1),
        sealed_notes("notes-last-bit-of-the-tag-flipped", |notes| *notes.last_mut().unwrap() ^= 1),
        sealed_notes("notes-zero", |notes| notes.fill(0)),
        table("notes-of-another-key", unopened, |table| table.notes_store_key = Some([0x5A; 32])),
        table("notes-salt-of-others", unopened, |table| table.alter = Box::new(|table| table[NOTES_SALT - TABLE] ^= 1)),
        // Bound to other bytes before them, which are right.
        table("notes-of-an-earlier-revision", unopened, |table| table.alter = Box::new(|table| table[40] += 1)),
        table("label-len-257", wrong_label, |table| table.notes[0].label_len = 257),
        table("label-len-largest", wrong_label, |table| table.notes[3].label_len = 65_535),
        // Every byte of the label is one of a text.
        table("label-len-257-of-a-full-label", wrong_label, |table| {
            table.notes[1].set_label(&[b'x'; 256]);
            table.notes[1].label_len = 257;
        }),
        table("label-len-one-too-small", wrong_label, |table| table.notes[2].label_len -= 1),
        table("label-len-0-before-a-label", wrong_label, |table| table.notes[2].label_len = 0),
        table("label-with-a-byte-after-it", wrong_label, |table| table.notes[0].label[7] = 1),
        table("label-with-a-last-byte-after-it", wrong_label, |table| table.notes[3].label[255] = 0x80),
        table("label-with-spaces-after-it", wrong_label, |table| table.notes[1].label[7..].fill(b' ')),
    ];
    for (fault, label) in [
        ("not-utf-8", &b"canary \xFF"[..]),
        ("cut-in-a-character", b"canary \xE5\xB1"),
        ("half-a-surrogate-pair", b"\xED\xA0\x80"),
        ("overlong", b"\xC0\x80"),
    ] {
        let file = sealed(|draft| draft.table.notes[1].set_label(label));
        rows.push(unlocked(format!("label-{fault}"), wrong_label, file));
    }
    for (size, time) in [("after-9999", AFTER_9999), ("largest", u64::MAX)] {
        for at in [0, 3] {
            let file = sealed(|draft| draft.table.notes[at] = Note::new("a label", time));
            rows.push(unlocked(format!("time-note-{at}-{size}"), Malformed("year 9999"), file));
        }
    }
    rows
}

/// The body is right for each of them.
fn macs() -> Vec<Row> {
    let mac = |name: &str, alter: fn(&mut Vec<u8>)| {
        unlocked(name, Tampered, sealed(|draft| draft.table.alter_mac = Box::new(alter)))
    };
    let after_the_mac = |name: &str, alter: fn(&mut Draft)| unlocked(name, Tampered, sealed(alter));
    vec![
        mac("mac-first-bit-flipped", |mac| mac[0] ^= 1),
        mac("mac-last-bit-flipped", |mac| mac[31] ^= 0x80),
        mac("mac-zero", |mac| mac.fill(0)),
        after_the_mac("mac-of-another-key", |draft| draft.table.mac_store_key = Some([0x5A; 32])),
        after_the_mac("mac-of-no-key", |draft| draft.table.mac_store_key = Some([0; 32])),
        // Another slot of the same secret has the key: the first that opens decides.
        unlocked(
            "slots-of-one-secret-and-two-keys",
            Tampered,
            sealed(|draft| {
                let first = sound().table.slots.into_iter();
                let first = first.map(|slot| Slot { store_key: Some(super::STORE_KEY), ..slot });
                let good = [
                    Slot::passphrase(0x55, super::PASSPHRASE),
                    Slot::keychain(0x66, key_from(0x20)),
                    Slot::recovery_key(0x77, key_from(0)),
                    Slot::external(0x88, key_from(0x60), external_data(PROVIDER, PUBLIC_DATA)),
                ];
                *draft = sound_with(first.chain(good).collect());
                draft.table.store_key = [0x5A; 32];
            }),
        )
        .in_place(Rekeyed),
        // Also if the first has the greater id and the higher cost.
        unlocked(
            "slots-of-one-secret-and-two-keys-in-another-order",
            Tampered,
            sealed(|draft| {
                let passphrase = |n| Slot::passphrase(n, super::PASSPHRASE);
                let external = |n| Slot::external(n, key_from(0x60), external_data(PROVIDER, PUBLIC_DATA));
                let first = [
                    Slot { m_kib: 8192, derives_at_any_cost: true, ..passphrase(0xE4) },
                    Slot::keychain(super::KEYCHAIN_SLOT_ID[0], key_from(0x20)),
                    Slot::recovery_key(0xE2, key_from(0)),
                    external(0xE1),
                ];
                let first = first.into_iter().map(|slot| Slot { store_key: Some(super::STORE_KEY), ..slot });
                let good =
                    [passphrase(4), Slot::keychain(3, key_from(0x20)), Slot::recovery_key(2, key_from(0)), external(1)];
                *draft = sound_with(first.chain(good).collect());
                draft.table.store_key = [0x5A; 32];
            }),
        )
        .in_place(Rekeyed),
        wrong_key_id("key-id-wrong-in-its-first-byte", 0),
        wrong_key_id("key-id-wrong-in-its-last-byte", 7),
        unlocked("key-id-of-another-key", Malformed("key id"), sealed(|draft| draft.table.key_id = Some(*b"another ")))
            .in_place(Rekeyed),
    ]
}

/// All is sealed with it.
fn wrong_key_id(name: &str, at: usize) -> Row {
    let mut key_id: [u8; 8] = hkdf(b"", &super::STORE_KEY, b"tokenkeep v1 key id\0", 8).try_into().unwrap();
    key_id[at] ^= 1;
    let file = sealed(|draft| draft.table.key_id = Some(key_id));
    unlocked(name, Malformed("key id"), file).in_place(Rekeyed)
}
