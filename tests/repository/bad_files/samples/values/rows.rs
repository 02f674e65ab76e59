//! *Sealed rows*: those that open, and those that are refused.

use serde_json::{Value, json};

use super::super::store_key;
use crate::{
    reader::{self, RowContext, hex},
    writer::{Record, RowDraft, TIMES},
};

pub(super) fn rows() -> Vec<Value> {
    let mut rows: Vec<_> = sound().iter().map(opened).collect();
    rows.extend(unread());
    rows.extend(tampered());
    rows.extend(malformed());
    rows
}

/// A row as it is found, with what stands beside it.
struct Found {
    store_key: [u8; 32],
    draft: RowDraft,
    row: Vec<u8>,
}

impl Found {
    fn of(draft: RowDraft) -> Self {
        let row = draft.seal();
        Self { store_key: draft.store_key, draft, row }
    }

    fn open(&self) -> reader::Result<Value> {
        let columns = self.draft.columns.map(|column| column.map(Vec::from));
        let context = RowContext {
            store_id: &self.draft.store_id,
            table_id: &self.draft.table_id,
            place: self.draft.place,
            revision: self.draft.revision,
            namespace: &self.draft.namespace,
            columns: &columns,
        };
        reader::open_row(&self.store_key, &context, &self.row)
    }

    fn in_json(&self) -> Value {
        json!({
            "place": self.draft.place,
            "revision": self.draft.revision,
            "namespace": self.draft.namespace,
            "columns": self.draft.columns.map(|column| column.map(|index| hex(&index))),
            "store_key": hex(&self.store_key),
            "store_id": hex(&self.draft.store_id),
            "table_id": hex(&self.draft.table_id),
            "row": hex(&self.row),
        })
    }
}

fn opened(found: &Found) -> Value {
    let mut in_json = found.in_json();
    in_json["token"] = found.open().unwrap();
    in_json
}

fn refused(class: reader::Class, found: &Found) -> Value {
    assert_eq!(found.open(), Err(class));
    let mut in_json = found.in_json();
    in_json["refused"] = class.into();
    in_json
}

fn draft(place: u64, record: &Record<'_>) -> RowDraft {
    RowDraft::new(store_key("rows"), place, record)
}

const TEXTS: [(&str, &str); 10] = [
    ("user_name", "ada"),
    ("client_id", "client"),
    ("client_secret", "a client secret"),
    ("refresh_token", "a refresh token"),
    ("access_token", "an access token"),
    ("grant_token", "a grant token"),
    ("id_token", "an id token"),
    ("redirect_url", "https://app.example/cb"),
    ("api_domain", "https://api.example"),
    ("token_type", "Bearer"),
];

fn full() -> RowDraft {
    let times = TIMES.map(|name| (name, 1_800_000_000_123));
    let record = Record {
        times: &times,
        failures: 3,
        scopes: &["z.read", "a.write"],
        attributes: &[("account", "of ada"), ("region", "eu")],
        revision: 7,
        ..Record::new("12", &TEXTS)
    };
    draft(2, &record)
}

fn sound() -> Vec<Found> {
    let user = [("user_name", "ada"), ("client_id", "client"), ("refresh_token", "r")];
    let without_a_client = [("user_name", "ada"), ("access_token", "a")];
    let without_a_user = [("client_id", "client"), ("grant_token", "g")];
    let long = "x".repeat(8_300);
    let long = [("user_name", "ada"), ("id_token", &long[..]), ("refresh_token", "r")];
    let of_client = [("user_name", "U"), ("client_id", "Ce\u{301}\0x"), ("refresh_token", "r")];
    let longer = "x".repeat(33_000);
    let longer = [("id_token", &longer[..]), ("refresh_token", &longer[..])];
    let longest_namespace = "\u{E4}".repeat(128);
    let drafts = [
        // The minimal one.
        draft(0, &Record::new("1", &[("access_token", "a")])),
        full(),
        draft(3, &Record { namespace: "google", ..Record::new("12", &user) }),
        draft(4, &Record { revision: u64::MAX, ..Record::new("007", &without_a_client) }),
        draft(u64::MAX, &Record { namespace: &longest_namespace, ..Record::new("\0", &without_a_user) }),
        draft((1 << 53) + 1, &Record::new("1", &[("access_token", "a")])),
        // Which a program could normalize, or take for shorter ones.
        draft(6, &Record { namespace: "Cafe\u{301}\0x", ..Record::new("12", &of_client) }),
        // Longer than 16 bits tell.
        draft(7, &Record::new("longer", &longer)),
        draft(5, &Record::new("long", &long)),
    ];
    let found: Vec<_> = drafts.into_iter().map(Found::of).collect();
    let [.., long] = &found[..] else { unreachable!() };
    // Padmé asks for more than the next 256 bytes.
    assert!(long.row.len() - 90 > (4 + long.draft.record.len()).next_multiple_of(256));
    found
}

fn altered_row(alter: impl FnOnce(&mut Vec<u8>)) -> Found {
    let mut found = Found::of(full());
    alter(&mut found.row);
    found
}

fn unread() -> Vec<Value> {
    let mut all = Vec::new();
    for len in [0, 1, 10, 89] {
        all.push(refused("malformed", &altered_row(|row| row.truncate(len))));
    }
    for version in [0, 2, 0x101] {
        all.push(refused("malformed", &Found::of(RowDraft { version, ..full() })));
    }
    let another = Found { store_key: store_key("other rows"), ..Found::of(full()) };
    all.push(refused("another store key", &another));
    for at in [2, 9] {
        all.push(refused("another store key", &altered_row(|row| row[at] ^= 1)));
    }
    all
}

/// A row that was changed, or what stands beside it.
fn tampered() -> Vec<Value> {
    let mut all = Vec::new();
    // Salt, commitment, what is sealed, and its tag.
    let end = full().seal().len();
    for at in [10, 41, 42, 73, 74, end - 17, end - 16, end - 1] {
        all.push(refused("tampered", &altered_row(|row| row[at] ^= 1)));
    }
    all.push(refused("tampered", &altered_row(|row| row.truncate(90))));
    all.push(refused("tampered", &altered_row(|row| row.truncate(end - 1))));
    all.push(refused("tampered", &altered_row(|row| row.push(0))));
    let beside: [fn(&mut RowDraft); 12] = [
        |draft| draft.place = 3,
        |draft| draft.place = 2 << 32,
        |draft| draft.revision = 6,
        |draft| draft.revision = 8,
        |draft| draft.namespace = "google".to_owned(),
        |draft| draft.store_id[15] ^= 1,
        |draft| draft.table_id[0] ^= 1,
        |draft| std::mem::swap(&mut draft.store_id, &mut draft.table_id),
        |draft| draft.columns[0].as_mut().unwrap()[0] ^= 1,
        |draft| draft.columns[5].as_mut().unwrap()[31] ^= 1,
        |draft| draft.columns[1] = None,
        |draft| draft.columns.swap(3, 4),
    ];
    for change in beside {
        let mut found = Found::of(full());
        change(&mut found.draft);
        all.push(refused("tampered", &found));
    }
    all
}

/// Where the zeros start.
fn end_of_the_record(plaintext: &[u8]) -> usize {
    4 + usize::try_from(u32::from_le_bytes(plaintext[..4].try_into().unwrap())).unwrap()
}

/// Sealed as it should be, by a program that makes mistakes.
fn malformed() -> Vec<Value> {
    let mut all = Vec::new();
    let paddings: [fn(&mut Vec<u8>); 11] = [
        Vec::clear,
        |plaintext| plaintext.truncate(3),
        |plaintext| plaintext.resize(plaintext.len() + 256, 0),
        |plaintext| plaintext.resize(plaintext.len() + 1, 0),
        |plaintext| plaintext.truncate(plaintext.len() - 1),
        |plaintext| *plaintext.last_mut().unwrap() = 1,
        |plaintext| {
            let first = end_of_the_record(plaintext);
            plaintext[first] = 1;
        },
        |plaintext| {
            let first = end_of_the_record(plaintext);
            let middle = first.midpoint(plaintext.len());
            plaintext[middle] = 1;
        },
        // As if the first of the zeros belonged to the record.
        |plaintext| plaintext[0] += 1,
        |plaintext| plaintext[..4].fill(0),
        |plaintext| plaintext[..4].fill(0xFF),
    ];
    for alter in paddings {
        let draft = RowDraft { alter_plaintext: Box::new(alter), ..full() };
        all.push(refused("malformed", &Found::of(draft)));
    }
    let records: [fn(&mut RowDraft); 20] = [
        |draft| draft.record.append(&[0]),
        |draft| draft.record.repeat("record 0 "),
        |draft| draft.record.end_before("record 0 revision"),
        |draft| draft.record.set("record 0 user_name option", [2]),
        |draft| draft.record.set_text("record 0 id_token", b"\xFF"),
        |draft| draft.record.set_text("record 0 id_token", ""),
        |draft| draft.record.set_text("record 0 id_token", "x".repeat(65_537)),
        |draft| draft.record.set_text("record 0 scope 1", "z.read"),
        |draft| draft.record.set_text("record 0 attribute 0 name", "zone"),
        |draft| draft.record.set_number("record 0 expires_at", 253_402_300_800_000),
        |draft| draft.record.set_number("record 0 created_at", u64::MAX),
        // The record is another than what stands beside the row says.
        |draft| draft.record.set_number("record 0 revision", 8),
        |draft| draft.revision = 8,
        |draft| {
            draft.record.set_number("record 0 revision", 0);
            draft.revision = 0;
        },
        |draft| draft.record.set_text("record 0 namespace", "google"),
        |draft| draft.namespace = "google".to_owned(),
        |draft| draft.record.set_text("record 0 id", "13"),
        |draft| draft.record.set_text("record 0 client_id", "Client"),
        |draft| draft.record.clear_text("record 0 access_token"),
        |draft| draft.columns[4] = None,
    ];
    for change in records {
        let mut draft = full();
        change(&mut draft);
        all.push(refused("malformed", &Found::of(draft)));
    }
    for at in 0..6 {
        let mut draft = full();
        draft.columns[at].as_mut().unwrap()[7] ^= 1;
        all.push(refused("malformed", &Found::of(draft)));
    }
    // An index of a value that the record lacks.
    let mut draft = draft(0, &Record::new("1", &[("access_token", "a")]));
    draft.columns[5] = Some([0; 32]);
    all.push(refused("malformed", &Found::of(draft)));
    // Nothing to store.
    let id_token = [("id_token", "an id token")];
    all.push(refused("malformed", &Found::of(self::draft(0, &Record::new("1", &id_token)))));
    all
}
