//! `docs/database.md`: its vectors open, its tests exist, and its tables are those that are created.

use std::{fs, path::Path};

use data_encoding::HEXLOWER;

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
fn tests_that_the_document_names_exist() {
    let directories = ["all", "mysql", "postgres", "servers"].map(|name| format!("tests/{name}"));
    let tests = directories.map(|tests| Path::new(env!("CARGO_MANIFEST_DIR")).join(tests));
    let files = tests.iter().flat_map(|tests| fs::read_dir(tests).unwrap());
    let code: String = files.map(|file| fs::read_to_string(file.unwrap().path()).unwrap()).collect();
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
