//! `docs/database.md`: its vectors open, its tests exist, and its tables are those that are created.

use std::{fs, path::Path};

use data_encoding::HEXLOWER;
use rusqlite::types::Value;
use tokenkeep::TokenStore;

use crate::common::Fixture;

fn page() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/database.md")).unwrap()
}

fn section(title: &str) -> String {
    let page = page();
    let start = page.find(&format!("\n## {title}\n")).unwrap_or_else(|| panic!("no section {title}"));
    page[start..].split("\n## ").nth(1).unwrap().to_owned()
}

/// The cells of the rows of the tables in a section.
fn cells(section: &str) -> Vec<Vec<String>> {
    let rows = section.lines().filter(|line| line.starts_with("| "));
    rows.map(|row| row.trim_matches('|').split('|').map(|cell| cell.trim().to_owned()).collect()).collect()
}

#[test]
fn tables_have_the_columns_of_the_document() {
    let described: Vec<_> = cells(&section("The two tables")).into_iter().map(|row| row[0].clone()).collect();
    let fixture = Fixture::new();
    let database = fixture.database();
    let mut found = Vec::new();
    for table in ["tokenkeep_store", "tokenkeep_tokens"] {
        found.push("column".to_owned());
        let mut statement = database.prepare(&format!("SELECT name FROM pragma_table_info('{table}')")).unwrap();
        found.extend(statement.query_map([], |row| row.get::<_, String>(0)).unwrap().map(Result::unwrap));
    }
    assert_eq!(described, found);
}

#[test]
fn tests_that_the_document_names_exist() {
    let tests = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/all");
    let code: String =
        fs::read_dir(tests).unwrap().map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
    let page = page();
    let names = page.split('`').skip(1).step_by(2).filter(|quoted| quoted.matches('_').count() >= 3);
    let mut count = 0;
    for name in names
        .filter(|name| !name.ends_with("_index") && name.bytes().all(|byte| byte == b'_' || byte.is_ascii_lowercase()))
    {
        assert!(code.contains(&format!("fn {name}(")), "{name}");
        count += 1;
    }
    assert!(count > 20, "{count}");
}

/// Read as a stranger would: by the page and by a reader of `docs/format.md` that shares no code with the library.
#[test]
fn vectors_of_the_document_open() {
    let text = section("Vectors");
    let vectors = cells(&text);
    // In the order of the page: two store keys, a store id and a table id.
    let hexadecimal = text.split('`').skip(1).step_by(2).filter(|quoted| matches!(quoted.len(), 32 | 64));
    let is_key = |quoted: &&str| !text.contains(&format!("| `{quoted}` |"));
    let keys: Vec<_> = hexadecimal.filter(is_key).map(|key| HEXLOWER.decode(key.as_bytes()).unwrap()).collect();
    let [index_key, store_key, store_id, table_id] = &keys[..] else { panic!("{} keys", keys.len()) };
    let (mut indexes, mut rows) = (0, 0);
    let quoted = |cell: &str| cell.trim_matches('`').to_owned();
    for row in vectors {
        let row: Vec<_> = row.iter().map(|cell| quoted(cell)).collect();
        match &row[..] {
            [kind, namespace, value, client, index] if index.len() == 64 => {
                let client = (!client.is_empty()).then_some(client.as_str());
                let computed = crate::reader::blind_index(index_key, kind.parse().unwrap(), namespace, value, client);
                assert_eq!(HEXLOWER.encode(&computed), *index, "{row:?}");
                indexes += 1;
            }
            [place, revision, namespace, token, sealed] if sealed.len() > 180 => {
                let expected: serde_json::Value = serde_json::from_str(token).unwrap();
                let columns = crate::reader::columns_of(store_key, &expected);
                let context = crate::reader::RowContext {
                    store_id,
                    table_id,
                    place: place.parse().unwrap(),
                    revision: revision.parse().unwrap(),
                    namespace,
                    columns: &columns,
                };
                let sealed = HEXLOWER.decode(sealed.as_bytes()).unwrap();
                assert_eq!(crate::reader::open_row(store_key, &context, &sealed).unwrap(), expected);
                rows += 1;
            }
            _ => {}
        }
    }
    assert!(indexes >= 8 && rows >= 2, "{indexes} and {rows}");
}

/// A real table is as the page says: the reader opens it with the store key, which only the library has. So it is read
/// as far as a reader without the key gets.
#[test]
fn stored_rows_have_the_shape_of_the_document() {
    let fixture = Fixture::new();
    let saved = crate::common::token().user_name("ada").refresh_token("r").build();
    fixture.store.save_token(&saved).unwrap();
    let row = &crate::attacks::dump(&fixture)[0];
    let lengths = row.iter().map(|value| match value {
        Value::Null => 0,
        Value::Integer(_) => 8,
        Value::Blob(bytes) => bytes.len(),
        other => panic!("{other:?}"),
    });
    // A record of up to 252 bytes has 256 with its padding, and the sealed row 90 more.
    assert_eq!(lengths.collect::<Vec<_>>(), [8, 8, 8, 32, 32, 32, 32, 0, 0, 32, 0, 0, 8, 346]);
}
