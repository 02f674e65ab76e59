//! Moving in from a table that the vendor's code has filled.

use std::{fs, path::PathBuf};

use rusqlite::Connection;
use tokenkeep::{
    Error, ErrorKind, ImportColumn, ImportFlaw, TokenStore,
    import::{BadRows, ImportOptions, StoredTokens},
};
use tokenkeep_sql::{Problem, SqlStore};

use crate::{
    canaries::text,
    common::{Fixture, paper, problem, token},
    database::{Place, url},
    memory,
};

/// The vendor's database, perhaps with more rows.
fn vendor(fixture: &Fixture, more: &str) -> (PathBuf, String) {
    let path = fixture.place.directory.path().join("zohooauth.db");
    let database = Connection::open(&path).unwrap();
    database.execute_batch(include_str!("../data/oauthtoken.sql")).unwrap();
    database.execute_batch(more).unwrap();
    (path.clone(), url(&path))
}

#[test]
fn vendors_table_moves_in_and_stays_as_it_was() {
    let fixture = Fixture::new();
    let (path, source) = vendor(&fixture, "");
    let before = fs::read(&path).unwrap();
    let report = fixture.store.import_zoho_table(&source, &ImportOptions::new()).unwrap();
    assert_eq!((report.added.len(), report.kept.len(), report.skipped.len()), (4, 0, 0));
    assert_eq!(fs::read(&path).unwrap(), before);

    let ids: Vec<_> = fixture.store.get_tokens().unwrap().iter().map(|token| token.id().unwrap().to_string()).collect();
    assert_eq!(ids, ["1", "2", "3", "4"]);
    let ada = fixture.store.find_stored(&token().user_name("ada@example.com").client_id("1000.A").build()).unwrap();
    let ada = ada.unwrap();
    assert_eq!(ada.refresh_token().unwrap().expose_secret(), "1000.r1");
    assert_eq!(
        (ada.redirect_url(), ada.api_domain()),
        (Some("https://app.example.com/cb?a=1,2"), Some("https://www.zohoapis.com"))
    );
    assert!(ada.expires_at().is_some() && ada.grant_token().is_none());
    let hostile = fixture.store.find_token_by_id(&"3".into()).unwrap().unwrap();
    assert_eq!(hostile.refresh_token().unwrap().expose_secret(), "1000.r'; DROP TABLE oauthtoken; --");

    let again = fixture.store.import_zoho_table(&source, &ImportOptions::new()).unwrap();
    assert_eq!((again.added.len(), again.kept.len()), (0, 4));
    let over = ImportOptions::new().stored_tokens(StoredTokens::Overwrite);
    assert_eq!(fixture.store.import_zoho_table(&source, &over).unwrap().overwritten.len(), 4);
}

#[test]
fn bad_row_stores_nothing_unless_it_is_left_out() {
    let fixture = Fixture::new();
    let more =
        "INSERT INTO oauthtoken (id, user_name, refresh_token, expiry_time) VALUES ('5', 'joan', 'r', 'tomorrow')";
    let (_, source) = vendor(&fixture, more);
    let refused = fixture.store.import_zoho_table(&source, &ImportOptions::new());
    match &refused {
        Err(Error::Import {
            line: Some(5),
            column: Some(ImportColumn::ExpiryTime),
            why: ImportFlaw::BadExpiry,
            path,
            ..
        }) => {
            assert!(path.display().to_string().ends_with("zohooauth.db (table oauthtoken)"));
        }
        other => panic!("{other:?}"),
    }
    assert!(!refused.unwrap_err().to_string().contains("tomorrow"));
    assert!(fixture.store.get_tokens().unwrap().is_empty());
    let skip = ImportOptions::new().bad_rows(BadRows::Skip);
    let report = fixture.store.import_zoho_table(&source, &skip).unwrap();
    assert_eq!((report.added.len(), report.skipped[0].line), (4, 5));
}

/// The last row cannot be stored: the rows before it go, too.
#[test]
fn failure_in_the_middle_undoes_the_whole_import() {
    let fixture = Fixture::new();
    let (_, source) = vendor(&fixture, "");
    fixture.execute(
        "CREATE TRIGGER no BEFORE INSERT ON tokenkeep_tokens WHEN NEW.place = 3 BEGIN SELECT RAISE(ABORT, 'no'); END",
    );
    assert!(fixture.store.import_zoho_table(&source, &ImportOptions::new()).is_err());
    assert!(fixture.store.get_tokens().unwrap().is_empty());
}

#[test]
fn tables_that_are_not_the_vendors_are_refused() {
    let fixture = Fixture::new();
    let missing = url(&fixture.place.directory.path().join("none.db"));
    assert_eq!(problem(fixture.store.import_zoho_table(&missing, &ImportOptions::new())), Problem::NoDatabase);
    assert_eq!(problem(fixture.store.import_zoho_table(&fixture.url, &ImportOptions::new())), Problem::NoStore);
    for column in ["secrets TEXT", "\"id; DROP\" TEXT"] {
        let other = Fixture::new();
        let (_, source) = vendor(&other, &format!("ALTER TABLE oauthtoken ADD COLUMN {column}"));
        let refused = fixture.store.import_zoho_table(&source, &ImportOptions::new());
        let is_unknown =
            matches!(refused, Err(Error::Import { why: ImportFlaw::UnknownColumn { number: 11, .. }, .. }));
        assert!(is_unknown, "{refused:?}");
    }
    let other = Fixture::new();
    let (_, source) = vendor(&other, "UPDATE oauthtoken SET refresh_token = x'FF' WHERE id = '1'");
    let refused = fixture.store.import_zoho_table(&source, &ImportOptions::new()).unwrap_err();
    assert_eq!(refused.kind(), ErrorKind::Damaged);
}

/// SQLite itself does not wipe what it reads from the vendor's table: see README.md.
#[test]
fn import_leaves_no_secret_in_freed_memory() {
    let source = |place: &Place| place.directory.path().join("zohooauth.db");
    let values = || ["client secret", "refresh token", "access token", "grant token"].map(|name| text(name, 0));
    memory::leaves_nothing(
        "import::import_leaves_no_secret_in_freed_memory",
        |place| {
            let [client_secret, refresh, access, grant] = values();
            let database = Connection::open(source(place)).unwrap();
            let rows = format!(
                "CREATE TABLE oauthtoken (id TEXT PRIMARY KEY, user_name TEXT, client_id TEXT, client_secret TEXT, \
                 refresh_token TEXT, access_token TEXT, grant_token TEXT, expiry_time TEXT, redirect_url TEXT, \
                 api_domain TEXT); INSERT INTO oauthtoken VALUES ('1', 'ada', 'c', '{client_secret}', '{refresh}', \
                 '{access}', '{grant}', '', '', '')"
            );
            database.execute_batch(&rows).unwrap();
        },
        |_, place| {
            let store = SqlStore::create(&place.url(), &paper()).unwrap();
            let report = store.import_zoho_table(&url(&source(place)), &ImportOptions::new()).unwrap();
            assert_eq!(report.added.len(), 1);
            assert_eq!(store.get_tokens().unwrap()[0].refresh_token().unwrap().expose_secret(), values()[1]);
        },
    );
}
