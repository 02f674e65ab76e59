//! The tables are as `docs/database.md` describes them.

use std::{fs, path::Path};

use tokenkeep::TokenStore;

use crate::{
    attacks::dump,
    common::{Fixture, Value, token},
    database::columns,
};

#[test]
fn tables_have_the_columns_of_the_document() {
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../../docs/database.md")).unwrap();
    let section = page.split("\n## ").find(|section| section.starts_with("The two tables\n")).unwrap();
    let rows = section.lines().filter_map(|line| line.strip_prefix("| "));
    let described: Vec<_> = rows.map(|row| row.split('|').next().unwrap().trim().to_owned()).collect();
    let fixture = Fixture::new();
    let mut found = Vec::new();
    for table in ["tokenkeep_store", "tokenkeep_tokens"] {
        found.push("column".to_owned());
        found.extend(fixture.place.admin().rows(&columns(table)).into_iter().map(|row| match &row[0] {
            Value::Text(name) => name.clone(),
            other => panic!("{other:?}"),
        }));
    }
    assert_eq!(described, found);
}

/// A real table is as the page says: the reader opens it with the store key, which only the library has. So it is read
/// as far as a reader without the key gets.
#[test]
fn stored_rows_have_the_shape_of_the_document() {
    let fixture = Fixture::new();
    let saved = token().user_name("ada").refresh_token("r").build();
    fixture.store.save_token(&saved).unwrap();
    let row = &dump(&fixture)[0];
    let lengths = row.iter().map(|value| match value {
        Value::Null => 0,
        Value::Integer(_) => 8,
        Value::Bytes(bytes) => bytes.len(),
        other => panic!("{other:?}"),
    });
    // A record of up to 252 bytes has 256 with its padding, and the sealed row 90 more.
    assert_eq!(lengths.collect::<Vec<_>>(), [8, 8, 8, 32, 32, 32, 32, 0, 0, 32, 0, 0, 8, 346]);
}
