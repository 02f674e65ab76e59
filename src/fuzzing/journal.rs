//! The contents of a journal's record.

use std::collections::BTreeMap;

use super::padded;
use crate::{
    FileFlaw, Origin, Token,
    codec::{self, ChangedRows, Contents, Encoding},
    format::{BodyHeader, KeyTable, RECORD_START_LEN, length},
    namespaces::Namespaces,
    time::Millis,
};

/// The names of the namespaces, with their rows.
type Rows = BTreeMap<Box<str>, Vec<Token>>;

pub(super) fn check(bytes: &[u8]) {
    assert_encodes_back(bytes);
    let padded_len = codec::padded_len(RECORD_START_LEN, length(bytes.len())).expect("less than 4 GiB");
    assert_encodes_back(&padded(bytes, padded_len));
}

fn assert_encodes_back(plaintext: &[u8]) {
    let store = Origin::of("fuzzing");
    let changed = match codec::decode_change(plaintext, store) {
        Ok(changed) => changed,
        Err(FileFlaw::Malformed(_)) => return,
        Err(other) => panic!("{other:?}"),
    };
    assert_eq!(encoded(changed.next_id, &changed.rows), plaintext);
    assert!(changed.rows.values().all(|rows| !rows.is_empty()) && !changed.rows.is_empty());
    let put = changed.rows.clone();
    for before in [Namespaces::empty(store), known(store)] {
        let mut after = before.clone();
        let changed = ChangedRows { next_id: changed.next_id, rows: put.clone() };
        match after.put_all(changed) {
            Ok(()) => assert_put(&before, &after, &put),
            // A record that is refused changes nothing.
            Err(FileFlaw::Malformed(_)) => assert_eq!(contents_of(&after), contents_of(&before)),
            Err(other) => panic!("{other:?}"),
        }
    }
}

fn encoded(next_id: u64, rows: &Rows) -> Vec<u8> {
    let len = rows.iter().map(|(name, rows)| codec::records_len(name, rows)).sum();
    let rows: Vec<_> = rows.iter().flat_map(|(name, rows)| rows.iter().map(move |row| (&**name, row))).collect();
    codec::encode_change(next_id, rows.into_iter(), len).expect("what was decoded can be encoded").to_vec()
}

/// Every row that was put is there, every other one is as it was, and all of them are what a body may hold.
fn assert_put(before: &Namespaces, after: &Namespaces, put: &Rows) {
    let contents = contents_of(after);
    let header = BodyHeader::without_body(1, *KeyTable::LENGTHS.start());
    let plaintext = Encoding::of(header.header_len(), &contents).and_then(|encoding| encoding.plaintext());
    let decoded = codec::decode(&plaintext.expect("rows that can be encoded"), &header, Origin::of("fuzzing"));
    assert_eq!(decoded.expect("rows that a body may hold"), contents);
    assert!(after.next_id() >= before.next_id());
    let before = contents_of(before).tokens;
    for (name, rows) in &contents.tokens {
        let [before, put] = [&before, put].map(|all| all.get(name).map(Vec::as_slice).unwrap_or_default());
        let of_id = |rows: &[Token], row: &Token| rows.iter().find(|other| other.id() == row.id()).cloned();
        for (place, row) in rows.iter().enumerate() {
            let known = before.get(place);
            assert!(known.is_none_or(|known| known.id() == row.id()), "a row has changed its place");
            let expected = of_id(put, row).or_else(|| known.cloned());
            assert_eq!(expected.as_ref(), Some(row));
            let is_later = |known: &Token| known.revision() < row.revision() || row.revision() == Some(u64::MAX);
            assert!(of_id(put, row).is_none() || known.is_none_or(is_later), "a revision was set back");
        }
        let new = put.iter().filter(|row| of_id(before, row).is_none()).count();
        assert_eq!(rows.len(), before.len() + new);
    }
    assert!(before.keys().chain(put.keys()).all(|name| contents.tokens.contains_key(name)));
}

fn contents_of(rows: &Namespaces) -> Contents {
    let tokens = rows.iter().map(|(name, index)| (Box::from(name), index.tokens())).collect();
    Contents { next_id: rows.next_id(), ancestors: Vec::new(), record_tags: Vec::new(), tokens }
}

/// Rows that those of a record meet.
fn known(store: Origin) -> Namespaces {
    let time = Millis::new(1).expect("a time").time();
    let row = |namespace: &str, id: &str, user: &str, client: &str| {
        let row = Token::builder().id(id).user_name(user).client_id(client).access_token("a");
        row.stored(store.within(namespace), time, time, 2).build()
    };
    let rows = BTreeMap::from([
        (Box::from(""), vec![row("", "1", "ada", "client"), row("", "3", "grace", ""), row("", "id", "", "")]),
        (Box::from("n"), vec![row("n", "1", "ada", "client")]),
    ]);
    Namespaces::new(store, 4, rows)
}

/// Inputs that are accepted, for the seeds.
#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rows_of_a_record_are_put_or_refused() {
        let store = Origin::of("fuzzing");
        let time = Millis::new(1).expect("a time").time();
        let row = |id: &str, user: &str, revision| {
            let row = Token::builder().id(id).user_name(user).access_token("a");
            row.stored(store.within(""), time, time, revision).build()
        };
        let put = |next_id, rows: Vec<Token>| {
            let rows = Rows::from([(Box::from(""), rows)]);
            check(&encoded(next_id, &rows));
            known(store).put_all(ChangedRows { next_id, rows })
        };
        assert!(put(4, vec![row("1", "lin", 3)]).is_ok());
        assert!(put(5, vec![row("4", "lin", 1), row("3", "ada", 3)]).is_ok());
        // The user name goes to another row.
        assert!(put(5, vec![row("3", "lin", 3), row("4", "grace", 1)]).is_ok());
        for (next_id, rows) in [
            (3, vec![row("1", "lin", 3)]),
            (4, vec![row("1", "lin", 2)]),
            (4, vec![row("4", "lin", 1)]),
            (4, vec![row("1", "lin", 3), row("1", "lin", 4)]),
            (5, vec![row("4", "grace", 1)]),
            (5, vec![row("1", "lin", 3), row("4", "lin", 1)]),
        ] {
            assert!(put(next_id, rows).is_err());
        }
    }
}
