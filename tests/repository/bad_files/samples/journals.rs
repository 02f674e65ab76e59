//! Samples with journals: sound ones, and ones that end in a torn place.

use serde_json::{Value, json};

use super::{Sample, of_store, sample};
use crate::{
    catalogue::{RECOVERY_KEY, key_from},
    writer::{Ancestor, Draft, JournalRecord, Payload, Record, Slot, with_heads},
};

pub(super) fn samples() -> Vec<Sample> {
    let paper = json!({"recovery_keys": [RECOVERY_KEY]});
    let sample = |(name, file): (&str, Vec<u8>)| sample(name, file, &paper);
    let sound = [
        ("journal-1", one().seal()),
        ("journal-3", three().seal()),
        ("journal-many", many().seal()),
        ("after-journal", after_journal().seal()),
    ];
    sound.into_iter().chain(torn()).map(sample).collect()
}

/// The `journal_records` of `values.json`.
pub(super) fn values() -> Value {
    three().seal_with_values().1["journal_records"].take()
}

fn record(next_id: u64, records: &[Record<'_>]) -> JournalRecord {
    JournalRecord::new(Payload::of_journal(next_id, records))
}

const ADA: [(&str, &str); 3] = [("user_name", "ada"), ("client_id", "client"), ("refresh_token", "first")];
const GRACE: [(&str, &str); 2] = [("user_name", "grace"), ("refresh_token", "first of grace")];

/// Ada, and Grace in a namespace.
fn store(name: &str, generation: u64) -> Draft {
    let records = [Record::new("1", &ADA), Record { namespace: "n", ..Record::new("2", &GRACE) }];
    of_store(name, generation, 3, vec![Slot::recovery_key(0xE1, key_from(0))], &records)
}

/// In the first generation: a new refresh token for one row.
fn one() -> Draft {
    let mut draft = store("journal-1", 1);
    let texts = [("user_name", "ada"), ("client_id", "client"), ("refresh_token", "second")];
    draft.journal =
        vec![record(3, &[Record { revision: 2, updated_at: 1_800_000_000_009, ..Record::new("1", &texts) }])];
    draft
}

/// New rows and changed ones in three namespaces, one of them new; user names that change their rows; a journal record
/// of more than one block; revisions that skip some, and the last one twice; ids used up without a row.
fn three() -> Draft {
    let mut draft = store("journal-3", 5);
    let long = "é".repeat(4_000);
    let [renamed, taken] =
        ["lin", "ada"].map(|user| [("user_name", user), ("client_id", "client"), ("access_token", "a")]);
    let long_texts = [("user_name", "grace"), ("access_token", &long[..])];
    let in_m = [("access_token", "of a new namespace")];
    let last = |texts| Record { namespace: "n", revision: u64::MAX, updated_at: 0, ..Record::new("2", texts) };
    draft.journal = vec![
        // Ada is another row now, and the rows of n have a new one between old and new namespaces.
        record(
            5,
            &[
                Record { revision: 2, created_at: 7, ..Record::new("1", &renamed) },
                Record::new("4", &taken),
                Record { namespace: "m", revision: 9, ..Record::new("4", &in_m) },
                Record { namespace: "n", ..Record::new("ada@example.org", &in_m) },
            ],
        ),
        record(9, &[last(&long_texts)]),
        record(
            9,
            &[
                Record {
                    revision: 40,
                    times: &[("expires_at", 1_900_000_000_123), ("retry_at", 0)],
                    failures: 2,
                    scopes: &["z", "a"],
                    attributes: &[("region", "eu")],
                    ..Record::new("1", &renamed)
                },
                last(&GRACE),
            ],
        ),
    ];
    draft
}

const MANY: u64 = 260;

/// More than a body lists of its predecessor's.
fn many() -> Draft {
    let mut draft = store("journal-many", 70);
    let row = |number| Record { revision: number + 1, updated_at: number, ..Record::new("1", &ADA) };
    draft.journal = (1..=MANY).map(|number| record(3, &[row(number)])).collect();
    draft
}

/// Of a file that replaced one with 300 journal records. Of the generations before, some have had journals too.
fn after_journal() -> Draft {
    let generation = 6;
    let mut draft = store("after-journal", generation);
    let mut ancestors = Ancestor::made_up(&draft.table.store_id, generation);
    for (ancestor, record_count) in ancestors.iter_mut().zip([1, 0, 256, u32::MAX, 300]) {
        ancestor.record_count = record_count;
    }
    let mut tags: Vec<_> = (45..=300_u64).map(|number| (number << 32 | 7).to_le_bytes()).collect();
    *tags.last_mut().unwrap() = ancestors[4].tag;
    assert_eq!(tags.len(), 256);
    draft.payload = Payload::with_tags(3, &ancestors, &tags, &[Record::new("1", &ADA)]);
    draft
}

const BLOCK: usize = 4096;

/// What an append can leave that was not finished: each opens as if the last journal record, of three blocks, were not
/// there.
pub(crate) fn torn() -> Vec<(&'static str, Vec<u8>)> {
    let (before, whole) = torn_and_whole();
    let end = before.len();
    assert_eq!(whole.len(), end + 3 * BLOCK);
    let cut = |len: usize| whole[..end + len].to_vec();
    let with_zeros = |at: usize, len: usize| {
        let mut file = whole.clone();
        file[end + at..end + at + len].fill(0);
        file
    };
    let body_alone = store("torn", 4).seal();
    let huge = with_heads(end, &[&vec![0x77; 64 * BLOCK]])[..8].to_vec();
    vec![
        ("torn-bytes", [&before[..], b"7 bytes"].concat()),
        ("torn-cut-after-head", cut(8)),
        ("torn-cut", cut(BLOCK + 100)),
        ("torn-cut-by-one-byte", cut(3 * BLOCK - 1)),
        ("torn-head", with_zeros(0, 8)),
        ("torn-zeros", with_zeros(0, 3 * BLOCK)),
        ("torn-one-zero", [&before[..], &[0]].concat()),
        ("torn-second-sector", with_zeros(512, 512)),
        ("torn-middle-sector", with_zeros(BLOCK + 1024, 512)),
        ("torn-last-sector", with_zeros(3 * BLOCK - 512, 512)),
        ("torn-last-blocks", with_zeros(BLOCK, 2 * BLOCK)),
        ("torn-huge", [&before[..], &huge, &whole[end + 8..]].concat()),
        ("torn-alone", [&body_alone[..], &[0; 2 * BLOCK]].concat()),
    ]
}

/// The file of those samples without its last journal record, and with it.
pub(crate) fn torn_and_whole() -> (Vec<u8>, Vec<u8>) {
    let mut draft = store("torn", 4);
    let long = "x".repeat(9_000);
    let texts = [("user_name", "ada"), ("client_id", "client"), ("access_token", &long[..])];
    draft.journal = vec![
        record(4, &[Record::new("3", &[("user_name", "lin"), ("access_token", "a")])]),
        record(4, &[Record { revision: 2, ..Record::new("1", &texts) }]),
    ];
    let whole = draft.seal();
    draft.journal.pop();
    (draft.seal(), whole)
}
