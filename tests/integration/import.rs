//! Moving in from the token files of the Zoho CRM SDKs: which files are read, which are refused, and what is left
//! behind.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::atomic::{AtomicUsize, Ordering},
    time::{Duration, Instant},
};

use crate::common::{Fixture, at_millis, names_in, token};
use tokenkeep::{
    Error, ErrorKind, FileKind, ImportColumn, ImportFlaw, Keystore, MemoryStore, Result, Secret, Token, TokenId,
    TokenStore, Unstorable,
    import::{BadRows, ImportOptions, ImportReport, StoredTokens, import_zoho_csv},
};

const HEADER: &str =
    "id,user_name,client_id,client_secret,refresh_token,access_token,grant_token,expiry_time,redirect_uri,api_domain";

fn vendor_file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/vendor_files").join(name)
}

/// A file in a directory of its own.
struct Source {
    _directory: tempfile::TempDir,
    path: PathBuf,
}

fn file(contents: impl AsRef<[u8]>) -> Source {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.csv");
    fs::write(&path, contents).unwrap();
    Source { _directory: directory, path }
}

fn import(store: &dyn TokenStore, contents: impl AsRef<[u8]>, options: &ImportOptions) -> Result<ImportReport> {
    import_zoho_csv(store, file(contents).path, options)
}

/// The tokens of a file in an empty store, in the order of their ids.
fn tokens(contents: impl AsRef<[u8]>) -> Vec<Token> {
    let store = MemoryStore::new();
    import(&store, contents, &ImportOptions::new()).unwrap();
    stored(&store)
}

fn stored(store: &dyn TokenStore) -> Vec<Token> {
    store.get_tokens().unwrap().iter().map(Token::without_revision).collect()
}

type Flaw = (Option<u64>, Option<ImportColumn>, ImportFlaw);

fn flaw_of(imported: Result<ImportReport>) -> Flaw {
    match imported {
        Err(Error::Import { line, column, why, .. }) => (line, column, why),
        other => panic!("expected a refusal, got {other:?}"),
    }
}

/// Why a file is refused. Nothing is stored.
#[track_caller]
fn refused(contents: impl AsRef<[u8]>) -> Flaw {
    let store = MemoryStore::new();
    let flaw = flaw_of(import(&store, contents, &ImportOptions::new()));
    assert_eq!(stored(&store), []);
    flaw
}

/// With the reason as text: `SameId { line: 2 }` and the like can be built in the crate only.
fn shown(flaw: Flaw) -> (Option<u64>, Option<ImportColumn>, String) {
    (flaw.0, flaw.1, format!("{:?}", flaw.2))
}

fn ada() -> Token {
    token()
        .id("1")
        .user_name("ada@example.com")
        .client_id("1000.A")
        .client_secret("cs")
        .refresh_token("1000.r1")
        .access_token("1000.a1")
        .expires_at(at_millis(1_795_000_000_000))
        .build()
}

/// What is expected of a file: its tokens, or where it is refused and why.
type Expected = std::result::Result<Vec<Token>, (Option<u64>, Option<ImportColumn>, &'static str)>;

/// Each file of `tests/data/vendor_files`, with what is expected of it.
fn vendor_files() -> Vec<(&'static str, Expected)> {
    let node = |name: &str, number: usize| {
        token()
            .id(format!("node_{name}@example.com_1000.r{number}"))
            .user_name(format!("{name}@example.com"))
            .client_id("1000.A")
            .client_secret("cs")
            .refresh_token(format!("1000.r{number}"))
            .access_token(format!("1000.a{number}"))
    };
    let at = at_millis(1_795_000_000_000);
    let bob = ada().to_builder().id("python_bob_2").user_name("bob@example.com");
    vec![
        ("blank_lines.csv", Ok(vec![ada()])),
        ("bom_crlf.csv", Ok(vec![ada()])),
        ("exp_float.csv", Ok(vec![ada()])),
        ("exp_negative.csv", Err((Some(2), Some(ImportColumn::ExpiryTime), "BadExpiry"))),
        ("latin1.csv", Err((None, None, "NotUtf8 { offset: 115 }"))),
        (
            "node2.1.csv",
            Ok(vec![
                node("ada", 1).expires_at(at).redirect_url("https://app.example.com/cb").build(),
                node("bob", 2).expires_at(at).redirect_url("https://app.example.com/cb?a=1,2").build(),
                node("eve", 3).expiry_unknown().build(),
            ]),
        ),
        (
            "py21.csv",
            Ok(vec![
                ada()
                    .to_builder()
                    .id("python_ada_1")
                    .grant_token("1000.g1")
                    .redirect_url("https://app.example.com/cb?a=1,2")
                    .build(),
                bob.refresh_token("1000.r2").access_token("1000.a2").build(),
            ]),
        ),
        (
            "py80.csv",
            Ok(vec![
                ada(),
                token().id("3").access_token("1000.only-access").expiry_unknown().build(),
                ada()
                    .to_builder()
                    .id("4")
                    .user_name("Bob \"the\" B, Jr.\nx")
                    .refresh_token("1000.r4")
                    .access_token("1000.a4")
                    .build(),
            ]),
        ),
        ("same_id_twice.csv", Err((Some(3), Some(ImportColumn::Id), "SameId { line: 2 }"))),
    ]
}

/// Into a keystore, so that a refused file is seen to leave its bytes as they are.
#[test]
fn vendor_files_are_imported_or_refused_as_listed() {
    let files = vendor_files();
    let names: Vec<_> = files.iter().map(|(name, _)| *name).collect();
    assert_eq!(names_in(&vendor_file("")), names);
    let fixture = Fixture::new();
    for (name, expected) in files {
        fixture.store.delete_tokens().unwrap();
        let before = fixture.bytes();
        let imported = import_zoho_csv(&fixture.store, vendor_file(name), &ImportOptions::new());
        match expected {
            Ok(expected) => {
                assert_eq!(imported.unwrap().added.len(), expected.len(), "{name}");
                assert_eq!(stored(&fixture.open()), expected, "{name}");
            }
            Err((line, column, why)) => {
                assert_eq!(shown(flaw_of(imported)), (line, column, why.to_owned()), "{name}");
                assert!(fixture.bytes() == before, "{name}");
            }
        }
    }
}

#[test]
fn sample_of_the_sdk_is_imported() {
    let sample = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/data/zoho_sdk_token_file.csv");
    let store = MemoryStore::new();
    let report = import_zoho_csv(&store, &sample, &ImportOptions::new()).unwrap();
    let ids: Vec<_> = report.added.iter().map(|row| row.id.as_str()).collect();
    assert_eq!(ids, ["1", "2", "3", "5", "6", "7", "8", "9", "10", "11"]);
    let quoted = store.find_token_by_id(&"7".into()).unwrap().unwrap();
    assert_eq!(quoted.user_name(), Some("\"quoted, name\"@example.com"));
}

#[test]
fn columns_are_found_by_either_name_in_any_order() {
    let expected =
        [token().id("x").user_name("ada").redirect_url("https://a").access_token("a").expiry_unknown().build()];
    for header in ["access_token,redirect_uri,user_mail,id", "access_token,redirect_url,user_name,id"] {
        assert_eq!(tokens(format!("{header}\na,https://a,ada,x\n")), expected, "{header}");
    }
}

#[test]
fn missing_columns_are_unset() {
    let [row] = &tokens("refresh_token\nr\n")[..] else { panic!("expected one token") };
    assert_eq!(*row, token().id("1").refresh_token("r").build().to_builder().expiry_unknown().build());
    assert_eq!((row.user_name(), row.client_id(), row.access_token(), row.expires_at()), (None, None, None, None));
}

#[test]
fn unknown_column_is_refused_by_its_number() {
    let unknown = |number| (Some(1), None, format!("UnknownColumn {{ number: {number} }}"));
    assert_eq!(shown(refused("id,canary,access_token\n1,x,a\n")), unknown(2));
    // A file without a header: its first row is never shown.
    assert_eq!(shown(refused("1,canary@example.com,1000.A,canary-secret\n")), unknown(1));
}

#[test]
fn column_under_two_names_is_refused() {
    let flaw = refused("user_name,user_mail,access_token\nada,ada,a\n");
    assert_eq!(flaw, (Some(1), Some(ImportColumn::UserName), ImportFlaw::RepeatedColumn));
}

#[test]
fn file_without_header_line_is_refused() {
    for contents in ["", "\n\r\n", "\u{FEFF}"] {
        assert_eq!(refused(contents), (None, None, ImportFlaw::Empty), "{contents:?}");
    }
    assert_eq!(tokens(format!("{HEADER}\r\n")), []);
}

#[test]
fn store_chooses_ids_that_no_row_has() {
    for no_id in ["id,user_name,access_token\n,ada,a\n1,bob,b\n", "user_name,access_token,id\nada,a,\nbob,b,1\n"] {
        let store = MemoryStore::new();
        let report = import(&store, no_id, &ImportOptions::new()).unwrap();
        let added: Vec<_> = report.added.iter().map(|row| (row.line, row.id.as_str())).collect();
        assert_eq!(added, [(2, "2"), (3, "1")]);
        assert_eq!(store.find_token_by_id(&"2".into()).unwrap().unwrap().user_name(), Some("ada"));
    }
    assert_eq!(tokens("access_token\na\nb\n").len(), 2);
}

#[test]
fn surplus_fields_belong_to_the_redirect_url() {
    for (header, row, url) in [
        ("user_name,access_token,redirect_url", "ada,a,https://a/?b=1,2,,3", "https://a/?b=1,2,,3"),
        ("user_name,redirect_uri,access_token", "ada,com.example.app:/cb,1,2,a", "com.example.app:/cb,1,2"),
        ("redirect_uri,user_name,access_token", "https://a/,,ada,a", "https://a/,"),
        ("user_name,access_token,redirect_url", "ada,a,\"https://a/?b=1,2\"", "https://a/?b=1,2"),
    ] {
        let [row] = &tokens(format!("{header}\n{row}\n"))[..] else { panic!("expected one token") };
        assert_eq!((row.redirect_url(), row.user_name()), (Some(url), Some("ada")));
        assert_eq!(row.access_token(), Some(&Secret::from("a")));
    }
}

/// Otherwise each field would come to stand in the next column: the client secret as the client id, and so on.
#[test]
fn comma_in_another_column_is_refused() {
    let too_many = (Some(2), None, "TooManyFields { found: 11, expected: 10 }".to_owned());
    let row = "1,ada, the first,1000.A,cs,1000.r1,1000.a1,,1795000000000,https://a/,";
    assert_eq!(shown(refused(format!("{HEADER}\n{row}\n"))), too_many);
    let row = "1,ada, the first,1000.A,cs,1000.r1,1000.a1,1000.g1,1795000000000,https://a/,";
    let bad_expiry = (Some(2), Some(ImportColumn::ExpiryTime), ImportFlaw::BadExpiry);
    assert_eq!(refused(format!("{HEADER}\n{row}\n")), bad_expiry);
    assert_eq!(
        shown(refused("user_name,access_token\nada, the first,a\n")),
        (Some(2), None, "TooManyFields { found: 3, expected: 2 }".to_owned())
    );
}

#[test]
fn row_with_a_thousand_commas_is_refused() {
    let row = format!("a,https://{}", ",".repeat(1024));
    let flaw = refused(format!("access_token,redirect_url\n{row}\n"));
    assert_eq!(shown(flaw), (Some(2), None, "TooManyFields { found: 1024, expected: 2 }".to_owned()));
}

#[test]
fn short_row_is_refused() {
    let flaw = refused(format!("{HEADER}\n1,ada@example.com,1000.A,cs,1000.r\n"));
    assert_eq!(shown(flaw), (Some(2), None, "TooFewFields { found: 5, expected: 10 }".to_owned()));
}

#[test]
fn expiry_is_a_number_or_unknown_or_refused() {
    let row = |expiry| format!("expiry_time,access_token\n{expiry},a\n");
    let at = Some(at_millis(1_795_000_000_000));
    for (expiry, expected) in [
        ("1795000000000", at),
        ("1795000000000.0", at),
        ("1.795e12", at),
        ("1.795E+12", at),
        ("", None),
        ("None", None),
        ("null", None),
    ] {
        assert_eq!(tokens(row(expiry))[0].expires_at(), expected, "{expiry:?}");
    }
    for expiry in ["-1", "-1.0", "tomorrow", "NaN", "inf", "1e99", "0x1", " 1", "1795000000000000000"] {
        let flaw = refused(row(expiry));
        assert_eq!(flaw, (Some(2), Some(ImportColumn::ExpiryTime), ImportFlaw::BadExpiry), "{expiry:?}");
    }
}

#[test]
fn unknown_expiry_clears_the_stored_one() {
    let store = MemoryStore::new();
    store.save_token(&ada()).unwrap();
    let overwrite = ImportOptions::new().stored_tokens(StoredTokens::Overwrite);
    import(&store, "id,user_name,access_token\n1,ada@example.com,new\n", &overwrite).unwrap();
    let [row] = &stored(&store)[..] else { panic!("expected one token") };
    assert_eq!((row.access_token(), row.expires_at()), (Some(&Secret::from("new")), None));
    assert_eq!(row.refresh_token(), Some(&Secret::from("1000.r1")));
}

#[test]
fn byte_order_mark_and_any_line_break_are_read() {
    let expected = [ada(), ada().to_builder().id("2").user_name("bob").build()];
    let rows = "1,ada@example.com,1000.A,cs,1000.r1,1000.a1,,1795000000000,,\n2,bob,1000.A,cs,1000.r1,1000.a1,,1795000000000,,";
    let text = format!("{HEADER}\n{rows}");
    for mark in ["", "\u{FEFF}"] {
        for line_break in ["\n", "\r\n", "\r\r\n", "\n\n\n", "\r\n\r\n", "\r"] {
            for end in ["", line_break] {
                let contents = format!("{mark}{}{end}", text.replace('\n', line_break));
                assert_eq!(tokens(&contents), expected, "{mark:?} {line_break:?} {end:?}");
            }
        }
    }
}

#[test]
fn lines_are_those_that_an_editor_counts() {
    for (contents, line) in [
        ("expiry_time,access_token\r\n\r\n,a\r\nx,b\r\n", 4),
        ("expiry_time,access_token\r\r\n,a\r\r\nx,b\r\r\n", 3),
        ("\n\nexpiry_time,access_token\n,\"a\n\nb\"\nx,b", 7),
    ] {
        assert_eq!(refused(contents).0, Some(line), "{contents:?}");
    }
}

#[test]
fn first_byte_that_is_not_utf8_is_named() {
    for (contents, offset) in [
        (&b"id,access_token\n1,a\xE9b\n"[..], 19),
        (b"\xEF\xBB\xBFid,access_token\n1,\xFF", 21),
        (b"\xFF\xFEi\0d\0", 0),
        (b"id,access_token\n1,\xE2\x82", 18),
    ] {
        assert_eq!(shown(refused(contents)), (None, None, format!("NotUtf8 {{ offset: {offset} }}")));
    }
}

#[test]
fn one_id_twice_names_both_rows() {
    let flaw = refused("id,user_name,access_token\nx,ada,a\ny,bob,b\n\nx,eve,c\n");
    assert_eq!(shown(flaw), (Some(5), Some(ImportColumn::Id), "SameId { line: 2 }".to_owned()));
}

#[test]
fn one_token_twice_names_both_rows() {
    let same = |line, other| (Some(line), None, format!("SameToken {{ line: {other} }}"));
    let header = "id,user_name,client_id,access_token";
    // The same user and client; a row without a client, which the other adopts; the same access token and nothing else.
    assert_eq!(shown(refused(format!("{header}\nx,ada,c,a\ny,ada,c,b\n"))), same(3, 2));
    assert_eq!(shown(refused(format!("{header}\nx,ada,,a\ny,ada,c,b\n"))), same(3, 2));
    assert_eq!(shown(refused(format!("{header}\n,ada,c,a\ny,ada,c,b\n"))), same(2, 3));
    assert_eq!(shown(refused(format!("{header}\nx,,,a\ny,,,a\n"))), same(3, 2));
    let flaw = refused(format!("{header}\nx,ada,c,a\ny,ada,d,b\nz,ada,,c\n"));
    assert_eq!(shown(flaw), (Some(4), Some(ImportColumn::ClientId), "Ambiguous { count: 2 }".to_owned()));
    assert_eq!(tokens(format!("{header}\nx,ada,c,a\ny,ada,d,a\n")).len(), 2);
}

#[test]
fn broken_quotes_are_refused_even_if_bad_rows_are_skipped() {
    let skip = ImportOptions::new().bad_rows(BadRows::Skip);
    for contents in [
        "user_name,access_token\neve,e\n\"ada\"@example.com,a\n\"bob\"@example.com,b\n",
        "user_name,access_token\neve,e\n\"ada,a\nbob,b\n",
        "user_name,access_token\neve,e\n\"ada,a\n\"bob,b\n",
    ] {
        let store = MemoryStore::new();
        assert_eq!(flaw_of(import(&store, contents, &skip)), (Some(3), None, ImportFlaw::BrokenQuotes), "{contents}");
        assert_eq!(stored(&store), []);
    }
    assert_eq!(tokens("user_name,access_token\no\"brien,a\n")[0].user_name(), Some("o\"brien"));
}

#[test]
fn row_that_no_store_takes_is_refused() {
    assert_eq!(
        refused("user_name,access_token\nada,\n"),
        (Some(2), None, ImportFlaw::Unstorable(Unstorable::NothingToStore))
    );
    let long = "x".repeat(Token::MAX_FIELD_LEN + 1);
    let flaw = refused(format!("user_name,access_token\nada,a\nbob,{long}\n"));
    assert_eq!(
        shown(flaw),
        (Some(3), Some(ImportColumn::AccessToken), "TooLarge { size: 65537, limit: 65536 }".to_owned())
    );
}

#[test]
fn skipped_rows_are_reported_in_order() {
    let store = MemoryStore::new();
    let contents = "id,user_name,access_token,expiry_time\n\
                    x,ada,a,\n\
                    ,bob,b,soon\n\
                    x,eve,c,\n\
                    ,gil,,\n\
                    ,hal,d\n\
                    y,ian,e,1e12\n";
    let report = import(&store, contents, &ImportOptions::new().bad_rows(BadRows::Skip)).unwrap();
    let skipped: Vec<_> = report.skipped.iter().map(ToString::to_string).collect();
    let expected = [
        "line 3, column expiry_time: it is not a number of milliseconds",
        "line 4, column id: the row in line 2 has the same id",
        "line 5: the row cannot be stored: it needs",
        "line 6: the row has 3 fields, and the header has 4",
    ];
    assert_eq!(skipped.len(), expected.len());
    for (skipped, expected) in skipped.iter().zip(expected) {
        assert!(skipped.starts_with(expected), "{skipped}");
    }
    assert_eq!(report.added.iter().map(|row| row.line).collect::<Vec<_>>(), [2, 7]);
    assert_eq!(stored(&store).len(), 2);
}

/// One bad row at the end of many good ones: the file is not written at all.
#[test]
fn failed_import_leaves_the_keystore_untouched() {
    let fixture = Fixture::new();
    fixture.store.save_token(&ada()).unwrap();
    let before = fixture.bytes();
    let good: String = (10..200).map(|number| format!("{number},user {number},a{number},\n")).collect();
    let header = "id,user_name,access_token,expiry_time";
    let overwrite = ImportOptions::new().stored_tokens(StoredTokens::Overwrite);
    for bad in [",eve,e,-1", "1,eve,e,", ",eve,,", ",eve,e", "10,eve,e,", "\"e", "\"e\"e,eve,e,"] {
        let contents = format!("{header}\n1,ada@example.com,new,\n{good}{bad}\n");
        let (line, ..) = flaw_of(import(&fixture.store, contents, &overwrite));
        assert_eq!(line, Some(193), "{bad}");
        assert!(fixture.bytes() == before, "{bad}");
        assert_eq!(stored(&fixture.store), [ada()]);
    }
    assert_eq!(names_in(fixture.directory.path()).len(), 2, "the store and its lock");
}

/// The last row is refused when the others are saved already: in memory and on the disk they are gone again.
#[test]
fn rows_are_undone_if_a_later_save_is_refused() {
    let overwrite = ImportOptions::new().stored_tokens(StoredTokens::Overwrite);
    let skip = overwrite.clone().bad_rows(BadRows::Skip);
    // With the client it would be the second token of that user and client.
    let contents = "id,user_name,client_id,access_token\nx,bob,c,b\n2,ada,c,new\n";
    let taken = (Some(3), None, ImportFlaw::Unstorable(Unstorable::UserAndClientTaken));
    let fixture = Fixture::new();
    for store in [&fixture.store as &dyn TokenStore, &MemoryStore::new(), &Plain::new(usize::MAX)] {
        store.save_token(&token().user_name("ada").client_id("c").access_token("a").build()).unwrap();
        let second = token().id("2").user_name("ada").client_id("d").access_token("b").build();
        store.save_token(&second).unwrap();
        store.replace_token(&token().id("2").user_name("ada").access_token("b").build()).unwrap();
        let (before, bytes) = (store.get_tokens().unwrap(), fixture.bytes());
        assert_eq!(flaw_of(import(store, contents, &overwrite)), taken);
        assert_eq!(store.get_tokens().unwrap(), before);
        assert!(fixture.bytes() == bytes);

        let report = import(store, contents, &skip).unwrap();
        assert_eq!((report.added.len(), report.skipped[0].why), (1, taken.2));
        assert_eq!(store.get_tokens().unwrap()[..2], before);
    }
}

#[test]
fn rows_are_one_commit_that_fits_or_is_left_out() {
    let fixture = Fixture::new();
    import_zoho_csv(&fixture.store, vendor_file("py80.csv"), &ImportOptions::new()).unwrap();
    assert_eq!(fixture.store.status().unwrap().journal.records, 1);
    fixture.store.compact().unwrap();

    // Too long for the keystore, but only with the last row.
    let bytes = fixture.bytes();
    let options = tokenkeep::KeystoreOptions::new().max_file_len(bytes.len() as u64 + 4096);
    let small = options.open(&fixture.path, &crate::common::unlock()).unwrap();
    let contents = format!("user_name,access_token\npam,p\nquin,{}\n", "x".repeat(8192));
    let failed = import(&small, contents, &ImportOptions::new());
    assert!(matches!(failed, Err(Error::FileTooLarge { .. })), "{failed:?}");
    assert!(fixture.bytes() == bytes);
    assert_eq!(stored(&small).len(), 3);
}

#[test]
fn stored_token_is_kept_unless_overwriting_is_chosen() {
    let contents = format!("{HEADER}\nother-id,ada@example.com,1000.A,,old,old,,1,https://new,\n2,bob,,,r,,,,,\n");
    for overwrites in [false, true] {
        let fixture = Fixture::new();
        fixture.store.save_token(&ada()).unwrap();
        let before = fixture.store.get_tokens().unwrap();
        let options =
            if overwrites { ImportOptions::new().stored_tokens(StoredTokens::Overwrite) } else { ImportOptions::new() };
        let report = import(&fixture.store, &contents, &options).unwrap();
        let lines = |rows: &[tokenkeep::import::ImportedRow]| -> Vec<_> {
            rows.iter().map(|row| (row.line, row.id.as_str().to_owned())).collect()
        };
        assert_eq!(lines(&report.added), [(3, "2".to_owned())]);
        let (kept, overwritten) = (lines(&report.kept), lines(&report.overwritten));
        let row = fixture.store.find_token_by_id(&"1".into()).unwrap().unwrap();
        if overwrites {
            assert_eq!((kept, overwritten), (vec![], vec![(2, "1".to_owned())]));
            let old = ada().to_builder().refresh_token("old").access_token("old").expires_at(at_millis(1));
            assert_eq!(row.without_revision(), old.redirect_url("https://new").build());
        } else {
            assert_eq!((kept, overwritten), (vec![(2, "1".to_owned())], vec![]));
            assert_eq!(row, before[0], "with its revision and its times");
        }
    }
}

#[test]
fn second_import_changes_nothing() {
    let fixture = Fixture::new();
    for name in ["node2.1.csv", "py21.csv", "py80.csv"] {
        fixture.store.delete_tokens().unwrap();
        import_zoho_csv(&fixture.store, vendor_file(name), &ImportOptions::new()).unwrap();
        let before = fixture.bytes();
        let report = import_zoho_csv(&fixture.store, vendor_file(name), &ImportOptions::new()).unwrap();
        assert_eq!((report.added.len(), report.kept.len()), (0, stored(&fixture.store).len()));
        assert!(fixture.bytes() == before, "{name}");
    }
}

/// The store and the file both count from 1.
#[test]
fn id_of_another_stored_token_is_refused() {
    let overwrite = ImportOptions::new().stored_tokens(StoredTokens::Overwrite);
    for options in [ImportOptions::new(), overwrite] {
        for row in ["1,bob,1000.A,b", "1,ada@example.com,1000.B,b", "1,,,b", "1,,1000.A,b"] {
            let store = MemoryStore::new();
            store.save_token(&ada()).unwrap();
            let contents = format!("id,user_name,client_id,access_token\n{row}\n");
            let flaw = flaw_of(import(&store, &contents, &options));
            assert_eq!(flaw, (Some(2), Some(ImportColumn::Id), ImportFlaw::IdTaken), "{row}");
            let report = import(&store, &contents, &options.clone().bad_rows(BadRows::Skip)).unwrap();
            assert_eq!((report.skipped.len(), report.added.len()), (1, 0));
            assert_eq!(stored(&store), [ada()]);
        }
    }
}

#[test]
fn two_rows_for_one_stored_token_are_refused() {
    let store = MemoryStore::new();
    store.save_token(&token().user_name("ada").access_token("a").build()).unwrap();
    let contents = "user_name,client_id,access_token\nada,c,b\nada,d,c\n";
    let flaw = flaw_of(import(&store, contents, &ImportOptions::new()));
    assert_eq!(shown(flaw), (Some(3), None, "SameToken { line: 2 }".to_owned()));
}

#[test]
fn no_error_or_report_shows_a_secret_or_a_user_name() {
    let canaries = ["canary-name", "canary-id", "canary-secret", "canary-token"];
    let header = "id,user_name,client_secret,access_token,expiry_time,redirect_url";
    let good = "canary-id,canary-name,canary-secret,canary-token,,";
    let skip = ImportOptions::new().bad_rows(BadRows::Skip);
    let mut texts = Vec::new();
    for bad in [
        "canary-id,canary-name-2,,canary-token,,",
        "canary-id-2,canary-name,,canary-token,,",
        ",canary-name-2,,canary-token,canary-token,",
        ",canary-name-2,canary-secret,,,",
        ",canary-name-2,canary-secret",
        ",canary-name-2,canary, secret,canary-token,,",
        "\"canary-id\"canary-name",
        "\"canary-id",
    ] {
        let contents = format!("{header}\n{good}\n{bad}\n");
        for options in [&ImportOptions::new(), &skip] {
            match import(&MemoryStore::new(), &contents, options) {
                Ok(report) => texts.extend([format!("{report:?}"), report.skipped[0].to_string()]),
                Err(error) => texts.extend([format!("{error:?}"), error.to_string()]),
            }
        }
    }
    for contents in [format!("{good}\n").as_bytes(), format!("{header},canary-name\n").as_bytes(), b"canary-name\xFF"] {
        let error = import(&MemoryStore::new(), contents, &skip).unwrap_err();
        texts.extend([format!("{error:?}"), error.to_string()]);
    }
    let store = MemoryStore::new();
    store.save_token(&token().id("canary-id").user_name("canary-other").access_token("a").build()).unwrap();
    let error = import(&store, format!("{header}\n{good}\n"), &ImportOptions::new()).unwrap_err();
    texts.extend([format!("{error:?}"), error.to_string()]);
    assert!(texts.len() > 30);
    for text in texts {
        assert!(canaries.iter().all(|canary| !text.contains(canary)), "{text}");
        assert!(!text.contains("canary"), "{text}");
    }
}

#[test]
fn file_over_the_limit_is_refused() {
    let contents = format!("{HEADER}\n");
    let len = contents.len() as u64;
    let source = file(&contents);
    let import = |limit| import_zoho_csv(&MemoryStore::new(), &source.path, &ImportOptions::new().max_file_len(limit));
    import(len).unwrap();
    match import(len - 1) {
        Err(Error::FileTooLarge { size, limit, .. }) => assert_eq!((size, limit), (len, len - 1)),
        other => panic!("expected FileTooLarge, got {other:?}"),
    }
}

#[test]
fn what_is_no_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let import = |path: &Path| import_zoho_csv(&MemoryStore::new(), path, &ImportOptions::new());
    for path in [directory.path().join("none.csv"), directory.path().join("none/none.csv"), PathBuf::new()] {
        let error = import(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::NotFound);
        assert_eq!(flaw_of(Err(error)), (None, None, ImportFlaw::NoFile));
    }
    let refused = import(directory.path());
    assert!(matches!(refused, Err(Error::NotAFile { found: FileKind::Directory, .. })), "{refused:?}");
    #[cfg(unix)]
    {
        let pipe = directory.path().join("pipe");
        assert!(std::process::Command::new("mkfifo").arg(&pipe).status().unwrap().success());
        let refused = import(&pipe);
        assert!(matches!(refused, Err(Error::NotAFile { found: FileKind::Pipe, .. })), "{refused:?}");
    }
}

#[test]
fn readable_by_all_as_sdks_write_it_is_imported() {
    let source = file("access_token\na\n");
    crate::common::set_mode(&source.path, 0o666);
    import_zoho_csv(&MemoryStore::new(), &source.path, &ImportOptions::new()).unwrap();
}

/// Rows that are compared with each other, and inputs that cost a careless reader much: each ends soon.
#[test]
fn hostile_files_end_soon() {
    let megabyte = 1 << 20;
    let start = Instant::now();
    let rows: String = (0..=100_000).map(|number| format!("{number}\n")).collect();
    let too_many = (None, None, "TooManyRows { limit: 100000 }".to_owned());
    assert_eq!(shown(refused("access_token\n".to_owned() + &rows)), too_many);
    for (name, column) in [
        ("user_name", ImportColumn::UserName),
        ("refresh_token", ImportColumn::RefreshToken),
        ("grant_token", ImportColumn::GrantToken),
        ("access_token", ImportColumn::AccessToken),
    ] {
        let alike = |count: usize| -> String {
            let other = if name == "access_token" { "grant_token" } else { "access_token" };
            let rows = (0..count).map(|number| format!("{number},c{number},same,t{number}\n"));
            format!("id,client_id,{name},{other}\n{}", rows.collect::<String>())
        };
        assert_eq!(tokens(alike(100)).len(), 100, "{name}");
        let too_many = (Some(102), Some(column), "TooManyAlike { limit: 100 }".to_owned());
        assert_eq!(shown(refused(alike(20_000))), too_many);
    }
    for contents in [
        ",".repeat(megabyte),
        "\"".repeat(megabyte),
        "\n".repeat(megabyte),
        "\0".repeat(megabyte),
        format!("access_token,redirect_url\na,https://{}\n", ",".repeat(megabyte)),
        format!("access_token\n{}", "\"\n".repeat(megabyte)),
        format!("access_token,expiry_time\na,{}\n", "9".repeat(megabyte)),
        format!("{HEADER}\n{}", ",,,,,,,,,\n".repeat(megabyte / 10)),
    ] {
        refused(contents);
    }
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}

/// Cut anywhere, or with any byte exchanged, a file is imported or refused; it never panics.
#[test]
fn damaged_files_never_panic() {
    for (name, _) in vendor_files() {
        let bytes = fs::read(vendor_file(name)).unwrap();
        let source = file("");
        let import = |bytes: &[u8]| {
            fs::write(&source.path, bytes).unwrap();
            for bad_rows in [BadRows::Refuse, BadRows::Skip] {
                let options = ImportOptions::new().bad_rows(bad_rows);
                let _ = import_zoho_csv(&MemoryStore::new(), &source.path, &options);
            }
        };
        // An odd step, so that each kind of field is hit somewhere.
        for place in (0..bytes.len()).step_by(7) {
            import(&bytes[..place]);
            for byte in *b"\",\n\r\0\xFF" {
                let mut bytes = bytes.clone();
                bytes[place] = byte;
                import(&bytes);
            }
        }
    }
}

/// A store of an application's own: nothing but the six operations, and a save that fails at some time.
struct Plain {
    rows: MemoryStore,
    saves_left: AtomicUsize,
    deletes: bool,
    replaces: bool,
}

impl Plain {
    fn new(saves: usize) -> Self {
        Self { rows: MemoryStore::new(), saves_left: AtomicUsize::new(saves), deletes: true, replaces: true }
    }
}

impl TokenStore for Plain {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        let left = self.saves_left.load(Ordering::Relaxed).checked_sub(1);
        self.saves_left.store(left.ok_or_else(|| Error::other("the vault did not answer"))?, Ordering::Relaxed);
        self.rows.save_token(token)
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        self.rows.find_token(query)
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        self.rows.find_token_by_id(id)
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        self.rows.get_tokens()
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        if self.deletes { self.rows.delete_token(id) } else { Err(Error::other("the vault does not delete")) }
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.rows.delete_tokens()
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        if self.replaces { self.rows.replace_token(token) } else { Err(Error::other("the vault does not replace")) }
    }
}

#[test]
fn any_store_takes_the_vendor_files() {
    for (name, expected) in vendor_files() {
        let store = Plain::new(usize::MAX);
        let imported = import_zoho_csv(&store, vendor_file(name), &ImportOptions::new());
        assert_eq!(imported.is_ok(), expected.is_ok(), "{name}");
        assert_eq!(stored(&store), expected.unwrap_or_default(), "{name}");
    }
}

const THREE_ROWS: &str = "id,user_name,access_token\n1,ada@example.com,new\nx,bob,b\ny,eve,c\n";

#[test]
fn rows_are_taken_back_if_a_store_fails_in_the_middle() {
    let overwrite = ImportOptions::new().stored_tokens(StoredTokens::Overwrite);
    for saves in 0..3 {
        let store = Plain::new(saves + 1);
        store.save_token(&ada()).unwrap();
        let error = import(&store, THREE_ROWS, &overwrite).unwrap_err();
        assert!(matches!(error, Error::Other(_)), "{error:?}");
        assert_eq!(stored(&store), [ada()]);
    }
}

#[test]
fn rows_that_cannot_be_taken_back_are_reported() {
    let overwrite = ImportOptions::new().stored_tokens(StoredTokens::Overwrite);
    for (deletes, replaces, expected) in [(false, true, &[3][..]), (true, false, &[2]), (false, false, &[2, 3])] {
        let store = Plain { deletes, replaces, ..Plain::new(3) };
        store.save_token(&ada()).unwrap();
        match import(&store, THREE_ROWS, &overwrite) {
            Err(Error::ImportIncomplete { lines, cause, .. }) => {
                assert_eq!(lines, expected);
                assert_eq!(cause.to_string(), "the vault did not answer");
            }
            other => panic!("expected ImportIncomplete, got {other:?}"),
        }
        assert_eq!(stored(&store).len(), if deletes { 1 } else { 2 });
    }
}

#[test]
fn other_handles_see_all_rows_or_none() {
    let fixture = Fixture::new();
    let other: Keystore = fixture.open();
    let contents: String = (0..500).map(|number| format!("user {number},a{number}\n")).collect();
    let contents = "user_name,access_token\n".to_owned() + &contents;
    std::thread::scope(|scope| {
        let import = scope.spawn(|| import(&fixture.store, &contents, &ImportOptions::new()).unwrap());
        loop {
            let done = import.is_finished();
            let count = other.get_tokens().unwrap().len();
            assert!(count == 0 || count == 500, "{count}");
            if done {
                assert_eq!(count, 500);
                break;
            }
        }
    });
}
