//! Moving in from the table that the vendor's MySQL store has filled.

use mysql::prelude::Queryable;
use tokenkeep::{
    Error, ImportColumn, ImportFlaw, TokenStore,
    import::{BadRows, ImportOptions},
};
use tokenkeep_sql::Problem;

use crate::{
    common::{Fixture, problem, token},
    database::Place,
};

/// The vendor's database.
fn vendor() -> Place {
    let place = Place::new();
    let mut admin = place.admin();
    admin.0.query_drop("SET SESSION sql_mode = ''").unwrap();
    let dump = include_str!("../data/oauthtoken_mysql.sql");
    let statements = dump.lines().filter(|line| !line.starts_with("--")).collect::<Vec<_>>().join("\n");
    for statement in statements.split(";\n").map(|statement| statement.trim_end_matches(';')) {
        admin.0.query_drop(statement).unwrap();
    }
    place
}

#[test]
fn vendors_mysql_table_moves_in_and_stays_as_it_was() {
    let (fixture, vendor) = (Fixture::new(), vendor());
    let rows = |place: &Place| place.admin().rows("SELECT * FROM oauthtoken ORDER BY id");
    let before = rows(&vendor);
    assert_eq!(before.len(), 4);
    let report = fixture.store.import_zoho_table(&vendor.url(), &ImportOptions::new()).unwrap();
    assert_eq!((report.added.len(), report.kept.len(), report.skipped.len()), (4, 0, 0));
    assert_eq!(rows(&vendor), before);
    let ada = fixture.store.find_stored(&token().user_name("ada@example.com").client_id("1000.A").build()).unwrap();
    let ada = ada.unwrap();
    assert_eq!(ada.refresh_token().unwrap().expose_secret(), "1000.r1");
    assert!(ada.expires_at().is_some() && ada.grant_token().is_none());
    let hostile = fixture.store.find_token_by_id(&"3".into()).unwrap().unwrap();
    assert_eq!(hostile.refresh_token().unwrap().expose_secret(), "1000.r'; DROP TABLE oauthtoken; --");
    // A user that may only read is enough.
    let again = fixture.store.import_zoho_table(&vendor.reader(), &ImportOptions::new()).unwrap();
    assert_eq!((again.added.len(), again.kept.len()), (0, 4));
}

#[test]
fn bad_row_of_a_mysql_table_stores_nothing() {
    let (fixture, vendor) = (Fixture::new(), vendor());
    let bad =
        "INSERT INTO oauthtoken (id, user_name, refresh_token, expiry_time) VALUES ('5', 'joan', 'r', 'tomorrow')";
    vendor.admin().try_execute(bad).unwrap();
    let refused = fixture.store.import_zoho_table(&vendor.url(), &ImportOptions::new());
    let is_bad_expiry = matches!(
        refused,
        Err(Error::Import { line: Some(5), column: Some(ImportColumn::ExpiryTime), why: ImportFlaw::BadExpiry, .. })
    );
    assert!(is_bad_expiry, "{refused:?}");
    assert!(!refused.unwrap_err().to_string().contains("hunter2"));
    assert!(fixture.store.get_tokens().unwrap().is_empty());
    let skip = ImportOptions::new().bad_rows(BadRows::Skip);
    assert_eq!(fixture.store.import_zoho_table(&vendor.url(), &skip).unwrap().added.len(), 4);
    let none = Place::new();
    assert_eq!(problem(fixture.store.import_zoho_table(&none.url(), &ImportOptions::new())), Problem::NoStore);
}
