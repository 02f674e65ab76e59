//! What is wrong with the journal of a file whose body is sound.

use super::{
    GENERATION, LEN, Malformed, NOT_BINCODE, ONE_USER, Refusal::Tampered, Row, STORE_ID, earlier, of_generation, sound,
    sound_slots, unlocked,
};
use crate::writer::{Alter, Ancestor, JournalRecord, Payload, Record, with_heads};

pub(super) fn rows() -> Vec<Row> {
    let parts = [heads(), places(), contexts(), bytes(), paddings(), shapes(), rules(), record_tags()];
    parts.into_iter().flatten().collect()
}

/// The journal records: three, of a block each.
const PLACES: [usize; 4] = [LEN, LEN + BLOCK, LEN + 2 * BLOCK, LEN + 3 * BLOCK];
const BLOCK: usize = 4096;

const ADA: [(&str, &str); 3] = [("user_name", "ada"), ("client_id", "client"), ("refresh_token", "canary of a save")];
const GRACE: [(&str, &str); 2] = [("user_name", "grace"), ("refresh_token", "canary of a later save")];

fn ada() -> Record<'static> {
    Record { revision: 3, ..Record::new("1", &ADA) }
}

fn lin() -> Record<'static> {
    Record::new("8", &[("user_name", "lin"), ("access_token", "canary of lin")])
}

fn grace() -> Record<'static> {
    Record { revision: 2, ..Record::new("7", &GRACE) }
}

/// Ada's token, then two new ones, then Grace's.
fn journal() -> Vec<JournalRecord> {
    let in_n = Record { namespace: "n", ..Record::new("1", &ADA) };
    let payloads = [(8, vec![ada()]), (9, vec![lin(), in_n]), (9, vec![grace()])];
    payloads.into_iter().map(|(next_id, records)| JournalRecord::new(Payload::of_journal(next_id, &records))).collect()
}

fn sealed(alter: impl FnOnce(&mut Vec<JournalRecord>)) -> Vec<u8> {
    let mut draft = sound();
    draft.journal = journal();
    alter(&mut draft.journal);
    draft.seal()
}

/// The sound file with its journal.
pub(crate) fn with_journal() -> Vec<u8> {
    let file = sealed(|_| ());
    assert_eq!(file.len(), PLACES[3]);
    file
}

fn damaged(alter: impl FnOnce(&mut Vec<u8>)) -> Vec<u8> {
    let mut file = with_journal();
    alter(&mut file);
    file
}

/// With these of its journal records, by their numbers, under the heads that they need.
fn rearranged(numbers: &[usize]) -> Vec<u8> {
    let file = with_journal();
    let records: Vec<_> = numbers.iter().map(|number| &file[PLACES[number - 1]..PLACES[*number]]).collect();
    [&file[..LEN], &with_heads(LEN, &records)].concat()
}

/// Noticed without a key.
fn seen(name: &str, file: Vec<u8>) -> Row {
    Row { verify: Some(Tampered), ..unlocked(format!("journal-{name}"), Tampered, file) }
}

/// Noticed with the key alone.
fn tampered(name: &str, file: Vec<u8>) -> Row {
    unlocked(format!("journal-{name}"), Tampered, file)
}

fn malformed(name: &str, what: &'static str, file: Vec<u8>) -> Row {
    unlocked(format!("journal-{name}"), Malformed(what), file)
}

fn put<const N: usize>(at: usize, bytes: [u8; N]) -> impl FnOnce(&mut Vec<u8>) {
    move |file| file[at..at + N].copy_from_slice(&bytes)
}

fn heads() -> Vec<Row> {
    let len = |number: usize, len: u32| {
        sealed(|journal| {
            journal[number - 1].record_len = Some(len);
        })
    };
    let for_place = |offset: usize| sealed(|journal| journal[2].offset = Some(u64::try_from(offset).unwrap()));
    vec![
        seen("head-length-changed", damaged(|file| file[PLACES[0] + 1] ^= 0x20)),
        seen("head-check-changed", damaged(|file| file[PLACES[1] + 7] ^= 1)),
        seen("last-head-length-changed", damaged(|file| file[PLACES[2] + 1] ^= 0x20)),
        seen("last-head-check-changed", damaged(|file| file[PLACES[2] + 4] ^= 0x80)),
        seen("last-head-check-zero", damaged(put(PLACES[2] + 4, [0; 4]))),
        seen("last-head-without-its-check-before-zeros", damaged(|file| file[PLACES[2] + 4..].fill(0))),
        // Torn, if no head followed.
        seen("head-zero-before-another-record", damaged(put(PLACES[1], [0; 8]))),
        seen("record-zero-before-another-record", damaged(|file| file[PLACES[1]..PLACES[2]].fill(0))),
        seen("length-0", len(3, 0)),
        seen("length-1", len(3, 1)),
        seen("length-of-a-sector", len(3, 512)),
        seen("length-one-too-small", len(3, 4095)),
        seen("length-one-too-large", len(3, 4097)),
        seen("length-largest", len(3, u32::MAX)),
        // It ends where the next one does.
        tampered("length-a-block-too-large-before-another-record", len(2, 8192)),
        seen("length-huge-before-another-record", len(1, 1 << 31)),
        seen("length-beyond-the-file-before-another-record", len(2, 3 * 4096)),
        seen("head-for-offset-0", for_place(0)),
        seen("head-for-the-place-before", for_place(PLACES[1])),
        seen("head-for-the-place-after", for_place(PLACES[3])),
        // In 32 bits the right place.
        seen("head-for-4-gib-later", for_place(PLACES[2] + (1 << 32))),
    ]
}

fn places() -> Vec<Row> {
    let moved = |from: usize, to: usize| {
        damaged(|file| {
            let record = file[from..from + BLOCK].to_vec();
            file[to..to + BLOCK].copy_from_slice(&record);
        })
    };
    vec![
        seen("records-exchanged", damaged(|file| file[PLACES[1]..].rotate_left(BLOCK))),
        tampered("records-exchanged-with-their-heads", rearranged(&[1, 3, 2])),
        tampered("all-records-rotated", rearranged(&[2, 3, 1])),
        seen("record-over-the-one-before", moved(PLACES[2], PLACES[1])),
        seen("record-over-the-one-after", moved(PLACES[1], PLACES[2])),
        tampered("record-twice-in-place-of-another", rearranged(&[1, 1, 3])),
        tampered("record-twice", rearranged(&[1, 2, 2, 3])),
        tampered("last-record-twice", rearranged(&[1, 2, 3, 3])),
        tampered("first-record-again-at-the-end", rearranged(&[1, 2, 3, 1])),
        seen("first-record-left-out", damaged(|file| drop(file.drain(PLACES[0]..PLACES[1])))),
        tampered("first-record-left-out-with-heads", rearranged(&[2, 3])),
        seen("middle-record-left-out", damaged(|file| drop(file.drain(PLACES[1]..PLACES[2])))),
        tampered("middle-record-left-out-with-heads", rearranged(&[1, 3])),
        seen("half-a-record-left-out", damaged(|file| drop(file.drain(PLACES[1]..PLACES[1] + 2048)))),
        seen("a-byte-put-in", damaged(|file| file.insert(PLACES[1], 0x20))),
        seen("a-zero-put-in-a-record", damaged(|file| file.insert(PLACES[0] + 100, 0))),
        seen("8-bytes-after-it", damaged(|file| file.extend(b"canary 8"))),
        seen("a-block-after-it", damaged(|file| file.extend([0xAA; BLOCK]))),
        seen("the-file-again-after-it", damaged(|file| file.extend_from_within(..))),
        seen("a-line-end-after-it", damaged(|file| file.extend(b"\r\n\r\n\r\n\r\n"))),
        seen("block-of-zeros-before-a-record", {
            let file = with_journal();
            let moved = with_heads(PLACES[1] + BLOCK, &[&file[PLACES[1]..PLACES[2]], &file[PLACES[2]..]]);
            [&file[..PLACES[1]], &[0; BLOCK], &moved].concat()
        }),
        // Without a journal: what is no head and not zero.
        seen("8-bytes-alone", [&sound().seal()[..], &[1, 0, 0, 0, 0, 0, 0, 0]].concat()),
        seen("a-block-alone", [&sound().seal()[..], &[0xAA; BLOCK]].concat()),
        seen("body-again", damaged(|file| file.copy_within(..LEN, PLACES[0]))),
    ]
}

/// Sealed for another place, or with another key: the heads are right.
fn contexts() -> Vec<Row> {
    let with = |alter: fn(&mut JournalRecord)| sealed(|journal| alter(&mut journal[1]));
    let of = |draft: crate::writer::Draft, count: usize| {
        let mut draft = draft;
        draft.journal = journal();
        draft.journal.truncate(count);
        let other = draft.seal();
        let ours = with_journal();
        [&ours[..LEN], &other[LEN..]].concat()
    };
    let of_another_store = {
        let mut draft = sound();
        draft.table.store_id = *b"of another store";
        draft
    };
    let fork = sealed(|journal| journal[0].payload.set_text("record 0 refresh_token", "canary of a fork"));
    vec![
        tampered("of-the-generation-before", of(earlier(), 3)),
        tampered("of-another-store-of-the-same-key", of(of_another_store, 3)),
        tampered("of-another-body-of-the-generation", {
            let mut draft = sound();
            draft.payload.set_text("record 1 refresh_token", "canary of another body");
            of(draft, 3)
        }),
        tampered("first-record-of-the-generation-before", {
            [&of(earlier(), 1)[..PLACES[1]], &with_journal()[PLACES[1]..]].concat()
        }),
        tampered("first-record-of-a-fork", [&fork[..PLACES[1]], &with_journal()[PLACES[1]..]].concat()),
        tampered("last-records-of-a-fork", [&with_journal()[..PLACES[1]], &fork[PLACES[1]..]].concat()),
        tampered("last-record-of-a-fork", [&with_journal()[..PLACES[2]], &fork[PLACES[2]..]].concat()),
        tampered("sealed-with-another-store-key", with(|record| record.store_key = Some([0x5A; 32]))),
        tampered("sealed-for-another-body", with(|record| record.body_commitment = Some([0; 32]))),
        tampered("sealed-after-another-tag", with(|record| record.tag_before = Some([0; 16]))),
        tampered("sealed-as-the-first", {
            let body_tag = *sound().seal().last_chunk().unwrap();
            sealed(|journal| journal[1].tag_before = Some(body_tag))
        }),
        tampered("sealed-under-the-label-of-a-body", with(|record| record.label = "tokenkeep v1 body\0")),
        tampered("sealed-under-a-label-without-nul", with(|record| record.label = "tokenkeep v1 journal record")),
        tampered("sealed-without-its-head", with(|record| record.alter_head = Box::new(Vec::clear))),
        tampered("sealed-with-another-head", with(|record| record.alter_head = Box::new(|head| head[0] ^= 1))),
        tampered("sealed-with-the-length-alone", with(|record| record.alter_head = Box::new(|head| head.truncate(4)))),
    ]
}

fn bytes() -> Vec<Row> {
    let mut rows = Vec::new();
    for (which, number) in [("first", 1), ("last", 3)] {
        let (start, end) = (PLACES[number - 1], PLACES[number]);
        for (what, at) in [
            ("salt", start + 8),
            ("end-of-salt", start + 39),
            ("ciphertext", start + 40),
            ("middle", start + 2048),
            ("end-of-ciphertext", end - 17),
            ("tag", end - 16),
            ("end-of-tag", end - 1),
        ] {
            rows.push(tampered(&format!("{which}-record-{what}-changed"), damaged(|file| file[at] ^= 1)));
        }
    }
    // A sector of zeros is torn at the end of the file alone.
    for sector in [1, 7] {
        let start = PLACES[1] + 512 * sector;
        let file = damaged(|file| file[start..start + 512].fill(0));
        rows.push(tampered(&format!("sector-{sector}-zero-before-another-record"), file));
    }
    rows.extend([
        tampered("511-zeros-in-the-last-record", damaged(|file| file[PLACES[2] + 512..PLACES[2] + 1023].fill(0))),
        // They lie in two sectors.
        tampered("512-zeros-across-two-sectors", damaged(|file| file[PLACES[2] + 600..PLACES[2] + 1112].fill(0))),
        seen("last-record-but-its-head-cut-out", damaged(|file| drop(file.drain(PLACES[2]..PLACES[2] + 8)))),
        // Torn, if the last block had not a head of its own.
        tampered("sector-zero-before-a-head-alone", {
            let whole = with_journal();
            let head = with_heads(PLACES[3], &[&whole[PLACES[0]..PLACES[1]]])[..8].to_vec();
            damaged(|file| {
                file[PLACES[2] + 512..PLACES[2] + 1024].fill(0);
                file.extend(head);
            })
        }),
        seen("cut-before-a-head-inside-it", {
            let whole = with_journal();
            let long = with_heads(PLACES[2], &[&[0x77; 3 * BLOCK]]);
            let inside = with_heads(PLACES[3], &[&[0x77; BLOCK]]);
            [&whole[..PLACES[2]], &long[..BLOCK], &inside].concat()
        }),
    ]);
    rows
}

/// One journal record with that plaintext, which is sealed as it should be.
fn plaintext(name: &str, alter: impl Fn(&mut Vec<u8>) + 'static) -> Row {
    let alter: Alter = Box::new(alter);
    let file = sealed(|journal| {
        journal.truncate(1);
        journal[0].alter_plaintext = alter;
    });
    malformed(name, "not padded", file)
}

const PLAINTEXT: usize = BLOCK - 40 - 16;

fn paddings() -> Vec<Row> {
    let len_of = |plaintext: &[u8]| u32::from_le_bytes(*plaintext.first_chunk().unwrap());
    let put_len = |plaintext: &mut [u8], len: u32| plaintext[..4].copy_from_slice(&len.to_le_bytes());
    vec![
        plaintext("padding-first-byte", move |plaintext| {
            let end = 4 + usize::try_from(len_of(plaintext)).unwrap();
            plaintext[end] = 1;
        }),
        plaintext("padding-middle-byte", |plaintext| plaintext[PLAINTEXT / 2] = 1),
        plaintext("padding-last-byte", |plaintext| plaintext[PLAINTEXT - 1] = 0x80),
        plaintext("padding-a-block-too-long", |plaintext| plaintext.resize(PLAINTEXT + BLOCK, 0)),
        plaintext("payload-length-0", move |plaintext| put_len(plaintext, 0)),
        plaintext("payload-length-one-more-than-there-is-room", move |plaintext| {
            put_len(plaintext, u32::try_from(PLAINTEXT).unwrap() - 3);
        }),
        plaintext("payload-length-largest", move |plaintext| put_len(plaintext, u32::MAX)),
        plaintext("payload-length-16-mib-too-large", move |plaintext| {
            let len = len_of(plaintext);
            put_len(plaintext, len + (1 << 24));
        }),
        // It has room for the payload, but Padmé asks for more.
        malformed("padding-a-block-too-short", "not padded", {
            sealed(|journal| {
                journal.truncate(1);
                let record = &mut journal[0];
                let to_grow = PLAINTEXT - 4 - record.payload.len();
                let len = usize::try_from(record.payload.get("record 0 refresh_token length")).unwrap();
                record.payload.set_text("record 0 refresh_token", "x".repeat(len + to_grow));
                record.alter_plaintext = Box::new(|plaintext| plaintext.truncate(PLAINTEXT));
            })
        }),
    ]
}

/// Wrong in the payload of the second of two journal records, which puts Lin and Ada of another namespace.
fn payload(name: &str, what: &'static str, alter: impl FnOnce(&mut Payload)) -> Row {
    let file = sealed(|journal| {
        journal.truncate(2);
        alter(&mut journal[1].payload);
    });
    malformed(name, what, file)
}

fn shapes() -> Vec<Row> {
    let mut rows = vec![
        payload("payload-empty", NOT_BINCODE, |payload| payload.end_before("next_id")),
        payload("payload-cut-after-next-id", NOT_BINCODE, |payload| payload.end_before("records")),
        payload("payload-cut-in-a-record", NOT_BINCODE, |payload| payload.end_before("record 1 failures")),
        payload("payload-cut-by-one-byte", NOT_BINCODE, |payload| payload.set("record 1 revision", [1; 7])),
        payload("payload-with-a-byte-after-it", NOT_BINCODE, |payload| payload.append(&[0])),
        payload("payload-with-a-record-after-it", NOT_BINCODE, |payload| payload.repeat("record 1 ")),
        // With the schema before it, as a body has it.
        payload("payload-of-a-body", NOT_BINCODE, |payload| {
            *payload = Payload::new(9, &[], &[lin()]);
        }),
        payload("no-rows", "has no rows", |payload| *payload = Payload::of_journal(9, &[])),
        payload("text-not-utf-8", NOT_BINCODE, |payload| payload.set_text("record 0 access_token", b"canary \xFF")),
        payload("option-2", NOT_BINCODE, |payload| payload.set("record 0 user_name option", [2])),
    ];
    for (size, count) in [("largest", u64::MAX), ("2-to-40", 1 << 40), ("one-too-many", 3), ("one-too-few", 1)] {
        rows.push(payload(&format!("count-of-rows-{size}"), NOT_BINCODE, |payload| {
            payload.set_number("records", count);
        }));
    }
    rows
}

/// Of the rows that are put, beside each other and beside those that there are.
fn rules() -> Vec<Row> {
    let twice = "has an id twice";
    let back = "sets a revision back";
    let next_id = "sets the next id back";
    let chosen = "yet to be chosen";
    let order = "not in the order of their namespaces";
    let record = |number: u64, records: &[Record<'_>]| JournalRecord::new(Payload::of_journal(number, records));
    let records =
        |name: &str, what, records: Vec<JournalRecord>| malformed(name, what, sealed(|journal| *journal = records));
    let revision = |revision| Record { revision, ..ada() };
    let user = [("user_name", "ada"), ("client_id", "client"), ("access_token", "canary")];
    let user_without_client = [("user_name", "grace"), ("access_token", "canary")];
    let other_user = [("user_name", "other"), ("access_token", "canary")];
    vec![
        records("next-id-set-back-to-0", next_id, vec![record(0, &[ada()])]),
        records("next-id-set-back", next_id, vec![record(7, &[ada()])]),
        records("next-id-set-back-by-a-later-record", next_id, vec![record(20, &[ada()]), record(19, &[grace()])]),
        records("next-id-one-too-large", "next id", vec![record((1 << 63) + 1, &[ada()])]),
        records("next-id-largest", "next id", vec![record(u64::MAX, &[ada()])]),
        records("next-id-taken", chosen, vec![record(8, &[lin()])]),
        records("next-id-taken-in-another-namespace", chosen, vec![record(8, &[Record { namespace: "n", ..lin() }])]),
        records("id-largest-that-is-chosen", chosen, vec![record(9, &[Record::new("9223372036854775807", &GRACE)])]),
        records("revision-0", "revision is zero", vec![record(8, &[revision(0)])]),
        records("revision-of-a-new-row-0", "revision is zero", vec![record(9, &[Record { revision: 0, ..lin() }])]),
        records("revision-set-back", back, vec![record(8, &[revision(1)])]),
        records("revision-as-before", back, vec![record(8, &[revision(2)])]),
        records("revision-as-in-the-record-before", back, vec![record(8, &[ada()]), record(8, &[ada()])]),
        records("revision-set-back-by-a-later-record", back, vec![record(8, &[revision(9)]), record(8, &[ada()])]),
        records("revision-of-a-new-row-set-back", back, vec![record(9, &[lin()]), record(9, &[lin()])]),
        records(
            "revision-set-back-from-the-last",
            back,
            vec![record(8, &[revision(u64::MAX)]), record(8, &[revision(u64::MAX - 1)])],
        ),
        records("id-twice", twice, vec![record(8, &[revision(3), revision(4)])]),
        records("id-twice-and-another-between-them", twice, vec![record(8, &[revision(3), grace(), revision(4)])]),
        records("new-id-twice", twice, vec![record(9, &[lin(), Record { revision: 2, ..lin() }])]),
        records("id-twice-in-another-namespace", twice, {
            let in_n = |record| Record { namespace: "n", ..record };
            vec![record(9, &[in_n(lin()), in_n(Record { texts: &other_user, ..lin() })])]
        }),
        records("user-and-client-of-another-row", ONE_USER, vec![record(9, &[Record::new("8", &user)])]),
        records("user-without-client-of-another-row", ONE_USER, {
            vec![record(9, &[Record::new("8", &user_without_client)])]
        }),
        records("user-of-a-row-of-the-record-before", ONE_USER, {
            vec![record(9, &[lin()]), record(9, &[Record { texts: lin().texts, ..grace() }])]
        }),
        records("two-new-rows-of-one-user", ONE_USER, {
            vec![record(9, &[Record::new("8", &other_user), Record::new("x", &other_user)])]
        }),
        records("two-known-rows-become-one-user", ONE_USER, {
            vec![record(8, &[Record { texts: &other_user, ..ada() }, Record { texts: &other_user, ..grace() }])]
        }),
        records(
            "known-row-takes-the-user-of-another",
            ONE_USER,
            vec![record(8, &[Record { texts: &user, ..grace() }])],
        ),
        // The row that gives the user up comes a record later.
        records("user-given-up-too-late", ONE_USER, {
            vec![record(8, &[Record { texts: &user, ..grace() }]), record(8, &[Record { texts: &other_user, ..ada() }])]
        }),
        records("namespaces-out-of-order", order, {
            vec![record(9, &[Record { namespace: "n", ..Record::new("1", &ADA) }, lin()])]
        }),
        records("namespace-too-long", "longer than 256 bytes", {
            let long = "n".repeat(257);
            vec![record(9, &[Record { namespace: &long, ..lin() }])]
        }),
        records("row-without-a-token", "could not have been saved", {
            vec![record(9, &[Record { texts: &[("user_name", "lin")], ..lin() }])]
        }),
        records("row-of-an-empty-id", "an empty text", vec![record(9, &[Record { id: "", ..lin() }])]),
        records("row-of-after-9999", "after the year 9999", {
            vec![record(9, &[Record { updated_at: super::AFTER_9999, ..lin() }])]
        }),
        records("row-with-a-scope-twice", "a scope twice", vec![record(9, &[Record { scopes: &["a", "a"], ..lin() }])]),
        // After two that are right.
        records(
            "third-record-malformed",
            next_id,
            vec![record(8, &[ada()]), record(9, &[lin()]), record(8, &[grace()])],
        ),
    ]
}

/// The tags that a body lists for the records of the file that it replaced.
fn record_tags() -> Vec<Row> {
    let what = "its tags of records do not fit";
    let with = |name: &str, record_count: u32, tags: &[[u8; 8]], tag: [u8; 8]| {
        let mut ancestors = Ancestor::made_up(&STORE_ID, GENERATION);
        *ancestors.last_mut().unwrap() = Ancestor { salt: [1; 8], record_count, tag };
        let mut draft = of_generation(GENERATION, &ancestors, sound_slots());
        let records = [Record::new("1", &ADA)];
        draft.payload = Payload::with_tags(8, &ancestors, tags, &records);
        unlocked(format!("record-tags-{name}"), Malformed(what), draft.seal())
    };
    let tags: Vec<_> = (1..=300_u64).map(u64::to_le_bytes).collect();
    let last = |count: usize| tags[count - 1];
    vec![
        with("without-records", 0, &tags[..1], last(1)),
        with("none-for-a-record", 1, &[], last(1)),
        with("one-too-few", 3, &tags[1..3], last(3)),
        with("one-too-many", 3, &tags[..4], last(4)),
        with("255-for-256", 256, &tags[1..256], last(256)),
        with("256-for-255", 255, &tags[..256], last(256)),
        with("257-for-257", 257, &tags[..257], last(257)),
        with("none-for-the-most-records", u32::MAX, &[], last(1)),
        with("another-last-tag", 3, &tags[..3], last(4)),
        with("newest-first", 3, &[last(3), last(2), last(1)], last(3)),
        unlocked("record-tags-of-the-first-generation", Malformed(what), {
            let mut draft = of_generation(1, &[], sound_slots());
            draft.payload = Payload::with_tags(8, &[], &tags[..1], &[Record::new("1", &ADA)]);
            draft.seal()
        }),
        // They are those of the last ancestor alone.
        unlocked("record-tags-of-an-earlier-ancestor", Malformed(what), {
            let mut ancestors = Ancestor::made_up(&STORE_ID, GENERATION);
            ancestors[4] = Ancestor { record_count: 1, ..ancestors[4] };
            let mut draft = of_generation(GENERATION, &ancestors, sound_slots());
            draft.payload = Payload::with_tags(8, &ancestors, &[ancestors[4].tag], &[Record::new("1", &ADA)]);
            draft.seal()
        }),
        unlocked("ancestor-with-records-without-tags", Malformed(what), {
            let mut draft = sound();
            draft.payload.set("ancestor 5 record_count", (1_u32 << 31).to_le_bytes());
            draft.seal()
        }),
    ]
}
