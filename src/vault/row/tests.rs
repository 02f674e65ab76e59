use std::{
    fs,
    path::Path,
    time::{Duration, SystemTime},
};

use data_encoding::HEXLOWER;
use serde_json::Value;

use super::*;
use crate::{
    error::Part,
    secret::Key,
    vault::tests::{paper, vault},
};

const TABLE: RowTable<'static> = RowTable { id: [7; 16], namespace: "n" };

fn at(millis: u64) -> SystemTime {
    SystemTime::UNIX_EPOCH + Duration::from_millis(millis)
}

fn token(vault: &Vault, id: &str) -> Token {
    let token = Token::builder().id(id).user_name("ada").client_id("app").refresh_token("secret").access_token("a");
    token.stored(vault.row_origin(TABLE), at(1), at(2), 3).build()
}

#[track_caller]
fn assert_flaw(opened: Result<Token>, expected: RowFlaw) {
    match opened {
        Err(Error::BadRow { name, place, flaw }) => {
            assert_eq!((name.to_str(), place, flaw), (Some("accounts"), 5, expected));
        }
        other => panic!("expected {expected:?}, got {other:?}"),
    }
}

#[test]
fn row_opens_as_the_token_that_was_sealed() {
    let vault = vault();
    let token = token(&vault, "1");
    let row = vault.seal_row(TABLE, 5, &token).unwrap();
    assert_eq!((row.place, row.revision), (5, 3));
    let opened = vault.open_row(TABLE, &row).unwrap();
    assert_eq!(opened, token);
    assert_eq!(opened.revision(), Some(3));
    assert!(row.columns.grant_token.is_none() && row.columns.access_token.is_some());
}

#[test]
fn same_token_is_sealed_differently_each_time() {
    let vault = vault();
    let (one, other) = (
        vault.seal_row(TABLE, 5, &token(&vault, "1")).unwrap(),
        vault.seal_row(TABLE, 5, &token(&vault, "1")).unwrap(),
    );
    assert_eq!(one.columns, other.columns);
    assert_ne!(one.bytes, other.bytes);
}

#[test]
fn row_that_was_moved_or_edited_is_tampered() {
    let vault = vault();
    let row = vault.seal_row(TABLE, 5, &token(&vault, "1")).unwrap();
    let other = vault.seal_row(TABLE, 6, &token(&vault, "2")).unwrap();
    let newer = RowTable { id: [8; 16], ..TABLE };
    assert_flaw(vault.open_row(newer, &row), RowFlaw::Tampered);
    assert_flaw(vault.open_row(RowTable { namespace: "", ..TABLE }, &row), RowFlaw::Tampered);
    assert_flaw(vault.open_row(TABLE, &SealedRow { place: 5, ..other.clone() }), RowFlaw::Tampered);
    assert_flaw(vault.open_row(TABLE, &SealedRow { revision: 2, ..row.clone() }), RowFlaw::Tampered);
    assert_flaw(vault.open_row(TABLE, &SealedRow { columns: other.columns, ..row.clone() }), RowFlaw::Tampered);
    assert_flaw(vault.open_row(TABLE, &SealedRow { bytes: other.bytes, ..row.clone() }), RowFlaw::Tampered);
    let mut columns = row.columns;
    columns.refresh_token = None;
    assert_flaw(vault.open_row(TABLE, &SealedRow { columns, ..row }), RowFlaw::Tampered);
}

#[test]
fn row_of_another_store_key_is_no_changed_row() {
    let first = vault();
    let row = first.seal_row(TABLE, 5, &token(&first, "1")).unwrap();
    let (rekeyed, _) = first.rekey([&paper(1)]).unwrap().written();
    for other in [rekeyed, vault()] {
        assert_flaw(other.open_row(TABLE, &row), RowFlaw::OtherKey);
    }
}

#[test]
fn bytes_that_are_no_row_are_malformed() {
    let vault = vault();
    let row = vault.seal_row(TABLE, 5, &token(&vault, "1")).unwrap();
    let opened = |bytes: &[u8]| vault.open_row(TABLE, &SealedRow { bytes: bytes.to_vec(), ..row.clone() });
    let mut version = row.bytes.clone();
    version[0] = 2;
    for bytes in [&[][..], &row.bytes[..89], &version, b"{}"] {
        let refused = opened(bytes);
        assert!(matches!(refused, Err(Error::BadRow { flaw: RowFlaw::Malformed(_), .. })), "{refused:?}");
    }
    for len in 90..row.bytes.len() {
        assert_flaw(opened(&row.bytes[..len]), RowFlaw::Tampered);
    }
}

/// A faulty writer with the key: it sealed columns, or a revision, that are not the token's.
#[test]
fn columns_that_are_not_those_of_the_token_are_malformed() {
    let vault = vault();
    let sealed = |revision: u64, columns: BlindIndexes| {
        let plaintext = codec::encode_row(TABLE.namespace, &token(&vault, "1")).unwrap();
        let context = vault.context(&TABLE.id, 5, revision, columns);
        let bytes = seal::seal_row(vault.store_key(), &context, plaintext).unwrap();
        vault.open_row(TABLE, &SealedRow { place: 5, revision, columns, bytes })
    };
    let columns = vault.seal_row(TABLE, 5, &token(&vault, "1")).unwrap().columns;
    assert!(sealed(3, columns).is_ok());
    let other = vault.seal_row(TABLE, 5, &token(&vault, "2")).unwrap().columns;
    for (refused, why) in [(sealed(3, other), "columns"), (sealed(4, columns), "revision")] {
        match refused {
            Err(Error::BadRow { flaw: RowFlaw::Malformed(rule), .. }) => {
                assert!(rule.to_string().contains(why), "{rule}");
            }
            other => panic!("expected Malformed, got {other:?}"),
        }
    }
}

#[test]
fn only_stored_tokens_within_the_limits_are_sealed() {
    let vault = vault();
    let never = Token::builder().user_name("ada").access_token("a");
    let refused = |token: &Token| vault.seal_row(TABLE, 5, token).unwrap_err();
    assert!(matches!(refused(&never.clone().build()), Error::Unstorable { why: Unstorable::NeverStored }));
    assert!(matches!(refused(&never.clone().id("1").build()), Error::Unstorable { why: Unstorable::NeverStored }));
    let zero = never.clone().id("1").stored(vault.row_origin(TABLE), at(1), at(1), 0).build();
    assert!(matches!(refused(&zero), Error::Unstorable { why: Unstorable::NeverStored }));
    let large = never.id("1").redirect_url("x".repeat(65_537)).stored(vault.row_origin(TABLE), at(1), at(1), 1);
    assert!(matches!(refused(&large.build()), Error::TooLarge { part: Part::RedirectUrl, .. }));
    let namespace = "x".repeat(257);
    let table = RowTable { namespace: &namespace, ..TABLE };
    let refused = vault.seal_row(table, 5, &token(&vault, "1"));
    assert!(matches!(refused, Err(Error::TooLarge { part: Part::Namespace, .. })));
    let row = vault.seal_row(TABLE, 5, &token(&vault, "1")).unwrap();
    assert!(matches!(vault.open_row(table, &row), Err(Error::TooLarge { part: Part::Namespace, .. })));
    assert!(vault.seal_row(RowTable { namespace: &namespace[1..], ..TABLE }, 5, &token(&vault, "1")).is_ok());
}

#[test]
fn row_opens_without_its_namespace_and_names_it() {
    let vault = vault();
    let (token, other) = (token(&vault, "1"), RowTable { namespace: "other", ..TABLE });
    let row = vault.seal_row(TABLE, 5, &token).unwrap();
    let (namespace, opened) = vault.open_row_of_any_namespace(TABLE.id, &row).unwrap();
    assert_eq!((&*namespace, &opened), ("n", &token));
    assert_eq!(row.columns.namespace, vault.blind_index("n", IndexedValue::Namespace).unwrap());
    assert_flaw(vault.open_row(other, &row), RowFlaw::Tampered);
    let of_other = vault.blind_index("other", IndexedValue::Namespace).unwrap();
    let moved = SealedRow { columns: BlindIndexes { namespace: of_other, ..row.columns }, ..row };
    for table in [TABLE, other] {
        assert_flaw(vault.open_row(table, &moved), RowFlaw::Tampered);
    }
}

#[test]
fn criteria_of_matching_find_the_columns() {
    let vault = vault();
    let token = token(&vault, "1");
    let columns = vault.seal_row(TABLE, 5, &token).unwrap().columns;
    let index = |criterion: Criterion<'_>| vault.blind_index("n", criterion.into()).unwrap();
    assert_eq!(index(Criterion::Id(&"1".into())), columns.id);
    for criterion in [
        Criterion::Id(&"1".into()),
        Criterion::UserName("ada"),
        Criterion::AccessToken(&"a".into()),
        Criterion::RefreshToken(&"secret".into()),
    ] {
        assert_eq!(columns.get(criterion), Some(index(criterion)));
    }
    assert_eq!(columns.get(Criterion::GrantToken(&"secret".into())), None);
    assert_eq!(Some(index(Criterion::UserName("ada"))), columns.user_name);
    assert_eq!(Some(index(Criterion::AccessToken(&"a".into()))), columns.access_token);
    assert_eq!(Some(index(Criterion::RefreshToken(&"secret".into()))), columns.refresh_token);
    let grant = vault.blind_index("n", IndexedValue::GrantToken(&"secret".into())).unwrap();
    assert_ne!(Some(grant), columns.refresh_token, "each column has a kind of its own");
    let with_client = vault.blind_index("n", IndexedValue::UserAndClient("ada", Some("app"))).unwrap();
    assert_eq!(Some(with_client), columns.user_and_client);
    let without = vault.blind_index("n", IndexedValue::UserAndClient("ada", None)).unwrap();
    assert_ne!(with_client, without);
}

/// `tests/vectors/values.json`: made by a writer that shares no code with this crate.
fn values(list: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/values.json");
    let values: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    values[list].as_array().unwrap().clone()
}

fn bytes<const N: usize>(value: &Value) -> [u8; N] {
    HEXLOWER.decode(value.as_str().unwrap().as_bytes()).unwrap().try_into().unwrap()
}

fn vault_of(store_key: &Value, store_id: [u8; 16]) -> Vault {
    let mut key = Key::zeroed();
    key.bytes_mut().copy_from_slice(&bytes::<32>(store_key));
    Vault::create_of(Path::new("accounts"), store_id, key, &paper(1)).unwrap().written().0
}

#[test]
fn rows_of_another_writer_open_or_are_refused_as_they_should() {
    let (mut opened, mut refused) = (0, 0);
    for (number, known) in values("rows").iter().enumerate() {
        let vault = vault_of(&known["store_key"], bytes(&known["store_id"]));
        let column = |at: usize| Some(&known["columns"][at]).filter(|value| !value.is_null()).map(bytes);
        let Some(id) = column(0) else {
            // The type of the columns rules it out.
            assert_eq!(known["refused"], "tampered", "row {number}");
            continue;
        };
        let namespace = known["namespace"].as_str().unwrap();
        let columns = BlindIndexes {
            namespace: vault.blind_index(namespace, IndexedValue::Namespace).unwrap(),
            id,
            user_name: column(1),
            user_and_client: column(2),
            access_token: column(3),
            grant_token: column(4),
            refresh_token: column(5),
        };
        let table = RowTable { id: bytes(&known["table_id"]), namespace };
        let row = SealedRow {
            place: known["place"].as_u64().unwrap(),
            revision: known["revision"].as_u64().unwrap(),
            columns,
            bytes: HEXLOWER.decode(known["row"].as_str().unwrap().as_bytes()).unwrap(),
        };
        let class = match vault.open_row(table, &row) {
            Ok(token) => {
                let expected = &known["token"];
                assert_eq!(token.id().map(TokenId::as_str), expected["id"].as_str(), "row {number}");
                assert_eq!(token.user_name(), expected["user_name"].as_str(), "row {number}");
                let refresh_token = token.refresh_token().map(Secret::expose_secret);
                assert_eq!(refresh_token, expected["refresh_token"].as_str(), "row {number}");
                opened += 1;
                continue;
            }
            Err(Error::BadRow { flaw, .. }) => match flaw {
                RowFlaw::OtherKey => "another store key",
                RowFlaw::Tampered => "tampered",
                RowFlaw::Malformed(_) => "malformed",
            },
            Err(Error::TooLarge { part: Part::Namespace, .. }) => "malformed",
            Err(other) => panic!("row {number}: {other:?}"),
        };
        assert_eq!(Some(class), known["refused"].as_str(), "row {number}");
        refused += 1;
    }
    assert!(opened >= 6 && refused >= 60, "{opened} and {refused}");
}

#[test]
fn blind_indexes_are_those_of_another_writer() {
    let all = values("blind_indexes");
    assert!(all.len() > 20);
    for known in all {
        let vault = vault_of(&known["store_key"], [0; 16]);
        let value = known["value"].as_str().unwrap();
        let (id, secret) = (TokenId::from(value), Secret::from(value));
        let value = match known["kind"].as_u64().unwrap() {
            1 => IndexedValue::Id(&id),
            2 => IndexedValue::UserName(value),
            3 => IndexedValue::UserAndClient(value, known["client_id"].as_str()),
            4 => IndexedValue::AccessToken(&secret),
            5 => IndexedValue::GrantToken(&secret),
            6 => IndexedValue::RefreshToken(&secret),
            _ => IndexedValue::Namespace,
        };
        let index = vault.blind_index(known["namespace"].as_str().unwrap(), value).unwrap();
        assert_eq!(index, bytes(&known["index"]), "{known}");
    }
}
