//! What is wrong with the body header and the lengths of the parts.

use super::{
    BODY, CHECK, LEN, MAC, NOTE, NOTES, NOTES_SALT, PASSPHRASE_SLOT, PLAINTEXT, PROVIDER, PUBLIC_DATA,
    Refusal::{
        self, DamagedHeader, Malformed, NotAKeystore, Tampered, Truncated, UnsupportedFeature, UnsupportedVersion,
    },
    Row, SLOT, SLOTS, STORE_ID, TABLE, damaged, flipped, forged, key_from, of_generation, put, sealed, sound,
    sound_slots, sound_with, unlocked, unread,
};
use crate::writer::{Ancestor, Draft, Slot, external_data, padme};

const HEADER: u64 = BODY as u64;
const TABLE_LEN: &str = "length of its key table";

pub(super) fn rows() -> Vec<Row> {
    let parts = [magic_and_version(), lengths(), check(), features_and_reserved_bytes(), generations()];
    parts.into_iter().flatten().collect()
}

fn magic_and_version() -> Vec<Row> {
    let mut rows = vec![
        unread("empty", Refusal::Empty, Vec::new()),
        unread("magic-cut", Truncated { expected: 136 }, damaged(|file| file.truncate(5))),
        unread("magic-alone", Truncated { expected: 136 }, damaged(|file| file.truncate(8))),
        unread("magic-cut-and-wrong", NotAKeystore, b"\x89TKX".to_vec()),
        unread("magic-of-the-key-table", NotAKeystore, sealed(|draft| draft.magic = *b"\x89TKV\r\n\x1a\n")),
        unread("key-table-alone", NotAKeystore, sound().seal()[TABLE..BODY].to_vec()),
        unread("key-table-first", NotAKeystore, damaged(|file| file[..BODY].rotate_left(TABLE))),
        unread("text-mode-to-unix", NotAKeystore, damaged(|file| *file = without_carriage_returns(file))),
        unread("text-mode-to-windows", NotAKeystore, damaged(|file| *file = with_carriage_returns(file))),
        unread("version-cut", Truncated { expected: 136 }, damaged(|file| file.truncate(9))),
        unread("version-2-and-no-more", UnsupportedVersion(2), b"\x89TKP\r\n\x1a\n\x02\x00".to_vec()),
    ];
    let with_a_wrong_check = |draft: &mut Draft| (draft.version, draft.check) = (2, Some([0; 32]));
    rows.push(unread("version-2-with-a-wrong-check", UnsupportedVersion(2), sealed(with_a_wrong_check)));
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
    let body_len = len - HEADER;
    let table_len = u32::try_from(BODY - 136).unwrap();
    let cut = |len: usize| damaged(|file| file.truncate(len));
    let mut rows = vec![
        unread("cut-in-body-header", Truncated { expected: 136 }, cut(100)),
        unread("cut-after-body-header", Truncated { expected: HEADER }, cut(136)),
        unread("cut-in-slot", Truncated { expected: HEADER }, cut(400)),
        unread("cut-in-notes", Truncated { expected: HEADER }, cut(NOTES + 300)),
        unread("cut-before-mac", Truncated { expected: HEADER }, cut(MAC)),
        unread("cut-before-check", Truncated { expected: HEADER }, cut(CHECK)),
        unread("cut-in-check", Truncated { expected: HEADER }, cut(BODY - 1)),
        unread("cut-after-check", Truncated { expected: len }, cut(BODY)),
        unread("cut-in-body", Truncated { expected: len }, cut(2500)),
        unread("cut-before-tag", Truncated { expected: len }, cut(LEN - 16)),
        unread("cut-by-one-byte", Truncated { expected: len }, cut(LEN - 1)),
    ];
    // With the body as long as it is in the file after that.
    for (name, stated, refusal) in [
        ("zero", 0, Malformed(TABLE_LEN)),
        ("just-too-small", 569, Malformed(TABLE_LEN)),
        ("just-too-large", 12_177, Malformed(TABLE_LEN)),
        ("huge", u32::MAX, Malformed(TABLE_LEN)),
        // In 16 bits and in 24 bits as long as it is.
        ("64-kib-too-large", table_len + (1 << 16), Malformed(TABLE_LEN)),
        ("16-mib-too-large", table_len + (1 << 24), Malformed(TABLE_LEN)),
        ("smallest", 570, DamagedHeader),
        ("one-too-small", table_len - 1, DamagedHeader),
        ("one-too-large", table_len + 1, DamagedHeader),
        ("a-slot-too-large", table_len + 144, DamagedHeader),
        // All of the file but the least of a body.
        ("the-file", 4096 - 136 - 17, DamagedHeader),
        ("largest", 12_176, Truncated { expected: 136 + 12_176 }),
    ] {
        let header_len = 136 + u64::from(stated);
        let file = sealed(|draft| {
            draft.table_len = Some(stated);
            draft.body_len = Some((header_len + 17).next_multiple_of(4096) - header_len);
        });
        rows.push(unread(format!("table-len-{name}"), refusal, file));
    }
    for (name, stated, refusal) in [
        ("zero", 0, no_padding),
        ("a-tag-alone", 16, no_padding),
        ("one-too-small", body_len - 1, no_padding),
        ("one-too-large", body_len + 1, no_padding),
        ("without-the-tag", body_len - 16, no_padding),
        ("largest", u64::MAX, no_padding),
        ("largest-with-padding", u64::MAX - 4095 - HEADER, Truncated { expected: u64::MAX - 4095 }),
        // With the header it is 2^64.
        ("with-header-overflows-64-bits", u64::MAX - HEADER + 1, Truncated { expected: u64::MAX }),
        ("4-gib", (1 << 32) - HEADER, Truncated { expected: 1 << 32 }),
        // In 32 bits as long as it is.
        ("4-gib-and-the-file", (1 << 32) + body_len, Truncated { expected: (1 << 32) + len }),
        ("a-block-too-large", body_len + 4096, Truncated { expected: len + 4096 }),
    ] {
        rows.push(unread(format!("body-len-{name}"), refusal, sealed(|draft| draft.body_len = Some(stated))));
    }
    // The rest of the body is where a journal would begin.
    let two_blocks = move |draft: &mut Draft| {
        draft.alter_plaintext = Box::new(|plaintext| plaintext.resize(PLAINTEXT + 4096, 0));
        draft.body_len = Some(body_len);
    };
    let row = unlocked("body-len-a-block-too-small", Tampered, sealed(two_blocks));
    rows.push(Row { verify: Some(Tampered), ..row });
    let without_blocks = |draft: &mut Draft| {
        let len = padme(4 + draft.payload.len());
        draft.alter_plaintext = Box::new(move |plaintext| plaintext.truncate(len));
    };
    rows.push(unread("body-without-whole-blocks", no_padding, sealed(without_blocks)));
    // The body is a tag alone, in a file of whole blocks.
    rows.push(unread("body-len-16", no_padding, with_plaintext(0)));
    rows.push(unread("body-len-0-after-a-header-of-a-block", no_padding, header_of_a_block()));
    let longer = forged(|file| {
        file.resize(LEN + 512, 0);
        put(16, (body_len + 512).to_le_bytes())(file);
    });
    rows.push(unread("body-longer-by-512-bytes", no_padding, longer));
    for len in 1..4 {
        // Too short for the length of the payload.
        rows.push(unlocked(format!("plaintext-of-{len}"), Malformed("not padded"), with_plaintext(len)));
    }
    rows
}

/// One bit, in each area that the check is over, and in itself.
fn check() -> Vec<Row> {
    let external = SLOTS[3].1;
    let areas = [
        ("first-reserved", 10),
        ("table-len", 12),
        ("body-len", 17),
        ("required-features", 24),
        ("reserved", 28),
        ("generation", 32),
        ("body-salt", 40),
        ("body-commitment", 103),
        ("first-byte-of-the-first-check", 104),
        ("last-byte-of-the-first-check", 135),
        ("table-magic", TABLE),
        ("table-version", TABLE + 8),
        ("slot-count", TABLE + 10),
        ("table-reserved", TABLE + 12),
        ("store-id", TABLE + 16),
        ("key-id", TABLE + 39),
        ("table-revision", TABLE + 40),
        ("slot-kind", PASSPHRASE_SLOT),
        ("slot-argon2-version", PASSPHRASE_SLOT + 1),
        ("slot-data-len", PASSPHRASE_SLOT + 2),
        ("slot-memory", PASSPHRASE_SLOT + 6),
        ("slot-passes", PASSPHRASE_SLOT + 8),
        ("slot-lanes", PASSPHRASE_SLOT + 15),
        ("slot-id", PASSPHRASE_SLOT + 20),
        ("slot-salt", PASSPHRASE_SLOT + 63),
        ("slot-commitment", PASSPHRASE_SLOT + 70),
        ("slot-wrapped-key", PASSPHRASE_SLOT + 143),
        ("slot-data-length", external + 2),
        ("slot-data", external + 64),
        ("last-byte-of-the-slots", NOTES_SALT - 1),
        ("notes-salt", NOTES_SALT),
        ("notes", NOTES),
        ("notes-tag", MAC - 1),
        ("mac", MAC),
        ("last-byte-of-the-mac", CHECK - 1),
        ("first-byte-of-the-check", CHECK),
        ("last-byte-of-the-check", BODY - 1),
    ];
    let mut rows = vec![
        // The rest is right for it.
        unread("first-check-zero", DamagedHeader, sealed(|draft| draft.check = Some([0; 32]))),
        unread("check-zero", DamagedHeader, sealed(|draft| draft.table.check = Some([0; 32]))),
    ];
    rows.extend(areas.map(|(area, at)| unread(format!("check-{area}"), DamagedHeader, damaged(flipped(at)))));
    rows
}

fn features_and_reserved_bytes() -> Vec<Row> {
    let reserved = Malformed("reserved bytes");
    let mut rows = Vec::new();
    for (name, bits) in [("lowest-bit", 1), ("bit-15", 1 << 15), ("highest-bit", 1 << 31), ("all", u32::MAX)] {
        let file = sealed(|draft| draft.required_features = bits);
        rows.push(unread(format!("features-{name}"), UnsupportedFeature(bits), file));
    }
    for at in 0..2 {
        rows.push(unread(format!("first-reserved-byte-{at}"), reserved, sealed(|draft| draft.first_reserved[at] = 1)));
    }
    for at in 0..4 {
        rows.push(unread(format!("reserved-byte-{at}"), reserved, sealed(|draft| draft.reserved[at] = 1)));
    }
    rows
}

fn generations() -> Vec<Row> {
    vec![
        unread("generation-0", Malformed("generation is zero"), sealed(|draft| draft.generation = 0)),
        unread(
            "generation-0-without-ancestors",
            Malformed("generation is zero"),
            of_generation(0, &[], sound_slots()).seal(),
        ),
        unread(
            "generation-0-with-64-ancestors",
            Malformed("generation is zero"),
            of_generation(0, &Ancestor::made_up(&STORE_ID, 65), sound_slots()).seal(),
        ),
    ]
}

/// A file of one block whose plaintext has so many bytes.
fn with_plaintext(len: usize) -> Vec<u8> {
    let mut draft = with_header(LEN - 16 - len);
    draft.alter_plaintext = Box::new(move |plaintext| plaintext.truncate(len));
    let file = draft.seal();
    assert_eq!(file.len(), LEN);
    file
}

/// And nothing after it.
fn header_of_a_block() -> Vec<u8> {
    let mut draft = with_header(LEN);
    draft.body_len = Some(0);
    let mut file = draft.seal();
    file.truncate(LEN);
    assert_eq!(u32::from_le_bytes(file[12..16].try_into().unwrap()), 4096 - 136);
    file
}

/// With a header so long, by the public data of two slots.
fn with_header(len: usize) -> Draft {
    let other = "other";
    let slots = |rest: usize| {
        let mut slots = sound_slots();
        slots[3].data = external_data(PROVIDER, &[7; 1024]);
        slots.push(Slot::external(0x55, key_from(0x60), external_data(other, &vec![8; rest])));
        slots
    };
    let header_len = BODY - PUBLIC_DATA.len() + 1024 + SLOT + NOTE + 4 + other.len();
    sound_with(slots(len - header_len))
}
