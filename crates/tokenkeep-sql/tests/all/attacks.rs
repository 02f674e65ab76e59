//! An attacker who can write to the database: refused with the right error, or listed in `docs/database.md`.

use tokenkeep::{Error, ErrorKind, RowFlaw, Token, TokenStore};
use tokenkeep_sql::{Problem, SqlOptions, SqlStore};

use crate::{
    common::{Fixture, Value, other_bytes, paper, passphrase, problem, token},
    database::SCHEME,
};

/// Two users with all kinds of values, in places 0 and 1.
pub(crate) fn fixture() -> Fixture {
    let fixture = Fixture::new();
    for (user, other) in [("ada", "x"), ("grace", "y")] {
        let token = token().user_name(user).client_id("c").client_secret(format!("secret {other}"));
        let token = token.access_token(format!("access {other}")).refresh_token(format!("refresh {other}"));
        fixture.store.save_token(&token.grant_token(format!("grant {other}")).build()).unwrap();
    }
    fixture
}

fn ada() -> Token {
    token().user_name("ada").client_id("c").build()
}

#[track_caller]
fn assert_flaw<T: std::fmt::Debug>(answer: Result<T, Error>, expected: RowFlaw) {
    match answer {
        Err(Error::BadRow { flaw, ref name, .. }) => {
            assert_eq!(flaw, expected);
            assert!(name.display().to_string().starts_with(SCHEME), "{answer:?}");
        }
        other => panic!("expected {expected:?}, got {other:?}"),
    }
}

/// After the change no operation returns, changes or deletes the row, and the row is still there.
#[track_caller]
fn assert_refused(fixture: &Fixture, statement: &str, flaw: RowFlaw) {
    let before = fixture.store.find_stored(&ada()).unwrap().unwrap();
    fixture.execute(statement);
    let dump = dump(fixture);
    for store in [fixture.store.clone(), fixture.open()] {
        assert_flaw(store.find_stored(&ada()), flaw);
        assert_flaw(store.find_token_by_id(before.id().unwrap()), flaw);
        assert_flaw(store.get_tokens(), flaw);
        assert_flaw(store.save_token(&ada().to_builder().access_token("new").build()), flaw);
        assert_flaw(store.save_token(&before), flaw);
        assert_flaw(store.replace_token(&before), flaw);
        assert_flaw(store.delete_token(before.id().unwrap()), flaw);
        assert_flaw(store.delete_token_if(before.id().unwrap(), 1), flaw);
        assert_flaw(store.rekey([&paper()]), flaw);
    }
    assert_eq!(self::dump(fixture), dump, "a refused row stays as it is");
}

#[test]
fn bad_row_of_a_user_leaves_those_of_other_clients() {
    let fixture = fixture();
    let second = ada().to_builder().client_id("second").build();
    fixture.store.save_token(&second.to_builder().refresh_token("r").build()).unwrap();
    fixture.execute(&edit(&fixture, "tokenkeep_tokens", "sealed", "place = 0", 200));
    for query in [ada(), token().user_name("ada").build()] {
        assert_flaw(fixture.store.find_stored(&query), RowFlaw::Tampered);
    }
    let found = fixture.store.find_stored(&second).unwrap().unwrap();
    assert_eq!(found.refresh_token(), Some(&"r".into()));
}

/// The table of tokens.
pub(crate) fn dump(fixture: &Fixture) -> Vec<Vec<Value>> {
    fixture.place.admin().rows("SELECT * FROM tokenkeep_tokens ORDER BY place")
}

/// A change of eight bytes in the middle of a value.
fn edit(fixture: &Fixture, table: &str, column: &str, key: &str, at: usize) -> String {
    let mut bytes = fixture.bytes(&format!("SELECT {column} FROM {table} WHERE {key}"));
    bytes[at..at + 8].iter_mut().for_each(|byte| *byte ^= 0xA5);
    format!("UPDATE {table} SET {column} = {} WHERE {key}", crate::database::literal(&bytes))
}

/// The values of a column in places 0 and 1, exchanged.
fn exchange(fixture: &Fixture, column: &str) -> String {
    let values =
        [0, 1].map(|place| fixture.literal(&format!("SELECT {column} FROM tokenkeep_tokens WHERE place = {place}")));
    let set =
        |place: usize| format!("UPDATE tokenkeep_tokens SET {column} = {} WHERE place = {place}", values[1 - place]);
    format!("{}; {}", set(0), set(1))
}

#[test]
fn edited_row_is_refused_by_every_operation() {
    let fixture = fixture();
    let edit = edit(&fixture, "tokenkeep_tokens", "sealed", "place = 0", 100);
    assert_refused(&fixture, &edit, RowFlaw::Tampered);
}

#[test]
fn revision_that_was_set_back_is_refused() {
    let fixture = fixture();
    fixture.store.save_token(&ada().to_builder().access_token("second").build()).unwrap();
    assert_refused(&fixture, "UPDATE tokenkeep_tokens SET revision = 1 WHERE place = 0", RowFlaw::Tampered);
}

#[test]
fn exchanged_sealed_records_are_refused() {
    let fixture = fixture();
    let swap = exchange(&fixture, "sealed");
    assert_refused(&fixture, &swap, RowFlaw::Tampered);
}

#[test]
fn exchanged_blind_indexes_are_refused() {
    for column in ["access_token_index", "grant_token_index", "refresh_token_index", "user_name_index"] {
        let fixture = fixture();
        let id = fixture.store.find_stored(&ada()).unwrap().unwrap().id().unwrap().clone();
        fixture.execute(&exchange(&fixture, column));
        assert_flaw(fixture.store.find_token_by_id(&id), RowFlaw::Tampered);
        // The index of ada's user name is now beside the row of grace.
        if column == "user_name_index" {
            assert_flaw(fixture.store.find_stored(&ada()), RowFlaw::Tampered);
        }
    }
}

#[test]
fn row_that_was_moved_to_another_place_is_refused() {
    let fixture = fixture();
    fixture.execute("UPDATE tokenkeep_tokens SET place = 7 WHERE place = 0");
    assert_flaw(fixture.store.find_stored(&ada()), RowFlaw::Tampered);
}

#[test]
fn copied_row_is_refused() {
    let fixture = fixture();
    let other = other_bytes(32);
    fixture.execute(&format!(
        "INSERT INTO tokenkeep_tokens SELECT 9, revision, key_id, namespace_index, {other}, user_name_index, {other}, \
         access_token_index, grant_token_index, refresh_token_index, NULL, NULL, 0, sealed \
         FROM tokenkeep_tokens WHERE place = 0"
    ));
    assert_flaw(fixture.store.get_tokens(), RowFlaw::Tampered);
    let by_refresh_token = token().client_id("c").refresh_token("refresh x").build();
    assert_flaw(fixture.store.find_stored(&by_refresh_token), RowFlaw::Tampered);
}

#[test]
fn row_of_another_namespace_is_refused() {
    let fixture = fixture();
    let google = fixture.store.namespace("google").unwrap();
    google.save_token(&token().user_name("joan").refresh_token("r").build()).unwrap();
    let index = fixture.literal("SELECT namespace_index FROM tokenkeep_tokens WHERE place = 2");
    fixture.execute(&format!("UPDATE tokenkeep_tokens SET namespace_index = {index}"));
    assert_flaw(google.get_tokens(), RowFlaw::Tampered);
    assert_flaw(fixture.store.find_stored(&ada()), RowFlaw::Tampered);
}

/// Of a store with the same key: the tables were copied and went on separately, and one was given another table id.
#[test]
fn row_of_another_table_is_refused() {
    let fixture = fixture();
    fixture.execute(&format!("UPDATE tokenkeep_store SET table_id = {}", other_bytes(16)));
    assert_flaw(fixture.open().find_stored(&ada()), RowFlaw::Tampered);
}

#[test]
fn row_of_another_store_has_another_key() {
    let (fixture, other) = (fixture(), Fixture::with(&SqlOptions::new().tables("other")));
    other.store.save_token(&ada().to_builder().refresh_token("r").build()).unwrap();
    let [key_id, sealed] =
        ["key_id", "sealed"].map(|column| other.literal(&format!("SELECT {column} FROM other_tokens")));
    fixture.execute(&format!("UPDATE tokenkeep_tokens SET key_id = {key_id}, sealed = {sealed} WHERE place = 0"));
    assert_eq!(problem(fixture.store.find_stored(&ada())), Problem::RowOfOtherKey { place: 0 });
    assert_eq!(fixture.store.get_tokens().unwrap_err().kind(), ErrorKind::Reopen);
    // The key id is in the sealed record, too.
    let key_id = fixture.literal("SELECT key_id FROM tokenkeep_store");
    fixture.execute(&format!("UPDATE tokenkeep_tokens SET key_id = {key_id}"));
    assert_flaw(fixture.store.find_stored(&ada()), RowFlaw::OtherKey);
}

#[test]
fn key_table_of_another_store_is_refused() {
    let (fixture, other) = (fixture(), Fixture::new());
    let [key_id, key_table] =
        ["key_id", "key_table"].map(|column| other.literal(&format!("SELECT {column} FROM tokenkeep_store")));
    let revision = other.number("SELECT key_table_revision FROM tokenkeep_store");
    fixture.execute(&format!(
        "UPDATE tokenkeep_store SET key_id = {key_id}, key_table_revision = {revision}, key_table = {key_table}"
    ));
    assert!(matches!(fixture.store.find_stored(&ada()), Err(Error::Replaced { .. })));
    assert!(matches!(fixture.store.save_token(&ada()), Err(Error::Replaced { .. })));
    // A handle that is opened now has the other key, under which the store would look empty.
    assert_eq!(problem(SqlStore::open(&fixture.url, &paper())), Problem::RowOfOtherKey { place: 0 });
}

/// Without its columns: a find compares these only, and goes on with the right key; a save compares all of it.
#[test]
fn key_table_alone_is_noticed_by_saves_and_opening() {
    let (fixture, other) = (fixture(), Fixture::new());
    let key_table = other.literal("SELECT key_table FROM tokenkeep_store");
    fixture.execute(&format!("UPDATE tokenkeep_store SET key_table = {key_table}"));
    assert!(fixture.store.find_stored(&ada()).unwrap().is_some());
    assert!(matches!(fixture.store.save_token(&ada()), Err(Error::Replaced { .. })));
    assert!(matches!(problem(SqlStore::open(&fixture.url, &paper())), Problem::Malformed(_)));
}

#[test]
fn key_columns_alone_are_refused() {
    for change in [&format!("key_id = {}", other_bytes(8)), "key_table_revision = 77"] {
        let fixture = fixture();
        fixture.execute(&format!("UPDATE tokenkeep_store SET {change}"));
        assert!(matches!(problem(fixture.store.find_stored(&ada())), Problem::Malformed(_)), "{change}");
        assert!(matches!(problem(fixture.store.save_token(&ada())), Problem::Malformed(_)), "{change}");
        assert!(matches!(problem(SqlStore::open(&fixture.url, &paper())), Problem::Malformed(_)), "{change}");
    }
}

#[test]
fn older_key_table_put_back_is_noticed_by_open_handles() {
    let fixture = fixture();
    let key_table = "key_id, key_table_revision, key_table";
    fixture.execute(&format!("CREATE TABLE kept AS SELECT {key_table} FROM tokenkeep_store"));
    let added = fixture.store.add_slot(&passphrase("second")).unwrap();
    fixture.store.remove_slot(added).unwrap();
    let set = ["key_id", "key_table_revision", "key_table"]
        .map(|column| format!("{column} = (SELECT {column} FROM kept)"))
        .join(", ");
    fixture.execute(&format!("UPDATE tokenkeep_store SET {set}"));
    assert!(matches!(fixture.store.find_stored(&ada()), Err(Error::RolledBack { .. })));
    assert!(matches!(fixture.store.save_token(&ada()), Err(Error::RolledBack { .. })));
    // A handle that is opened afterwards cannot know: documented.
    assert!(fixture.open().find_stored(&ada()).unwrap().is_some());
}

#[test]
fn changed_key_table_does_not_open() {
    let fixture = fixture();
    fixture.execute(&edit(&fixture, "tokenkeep_store", "key_table", "singleton = 1", 64));
    let refused = SqlStore::open(&fixture.url, &paper());
    assert!(matches!(refused, Err(Error::BadFile { .. })), "{refused:?}");
    assert!(matches!(fixture.store.save_token(&ada()), Err(Error::BadFile { .. })));
}

#[test]
fn numbers_of_the_store_row_are_checked() {
    for change in ["next_id = -1", "next_place = -1", "counter = -9"] {
        let fixture = fixture();
        fixture.execute(&format!("UPDATE tokenkeep_store SET {change}"));
        let error = problem(fixture.store.save_token(&token().refresh_token("r").build()));
        assert!(matches!(error, Problem::Malformed(_)), "{change}: {error:?}");
        assert!(fixture.store.find_stored(&ada()).unwrap().is_some(), "{change}");
    }
}

#[test]
fn ids_and_places_set_back_overwrite_nothing() {
    for change in ["next_id = 1", "next_place = 0"] {
        let fixture = fixture();
        fixture.execute(&format!("UPDATE tokenkeep_store SET {change}"));
        let before = dump(&fixture);
        let error = problem(fixture.store.save_token(&token().refresh_token("r").build()));
        assert!(matches!(error, Problem::Malformed(_)), "{change}: {error:?}");
        assert_eq!(dump(&fixture), before, "{change}");
    }
    for change in ["next_id = 9223372036854775807", "next_place = 9223372036854775807"] {
        let fixture = fixture();
        fixture.execute(&format!("UPDATE tokenkeep_store SET {change}"));
        assert_eq!(problem(fixture.store.save_token(&token().refresh_token("r").build())), Problem::NoNumberLeft);
    }
}

/// A lease for ever would keep everybody from refreshing.
#[test]
fn lease_without_an_end_counts_as_none() {
    let fixture = fixture();
    fixture.execute("UPDATE tokenkeep_tokens SET lease_holder = 'mallory', lease_until = 9223372036854775807");
    assert!(fixture.store.lock_token(&"1".into()).unwrap().lock().is_some());
}

#[test]
fn view_in_place_of_the_table_returns_no_other_row() {
    let fixture = fixture();
    fixture.execute(
        "ALTER TABLE tokenkeep_tokens RENAME TO hidden; CREATE TABLE turn AS \
         SELECT a.id_index AS id_index, b.id_index AS other FROM hidden a, hidden b WHERE a.place <> b.place; \
         CREATE VIEW tokenkeep_tokens AS SELECT h.place, h.revision, h.key_id, h.namespace_index, t.other AS id_index, \
         h.user_name_index, h.user_and_client_index, h.access_token_index, h.grant_token_index, \
         h.refresh_token_index, h.lease_holder, h.lease_until, h.lease_started, h.sealed \
         FROM hidden h JOIN turn t ON t.id_index = h.id_index",
    );
    assert_flaw(fixture.open().find_token_by_id(&"1".into()), RowFlaw::Tampered);
}

/// What is not noticed: see the table in `docs/database.md`.
#[test]
fn deleted_and_rolled_back_rows_are_not_noticed() {
    let fixture = fixture();
    fixture.execute("CREATE TABLE kept AS SELECT * FROM tokenkeep_tokens WHERE place = 0");
    fixture.store.save_token(&ada().to_builder().access_token("second").build()).unwrap();
    fixture.execute("DELETE FROM tokenkeep_tokens WHERE place = 0; INSERT INTO tokenkeep_tokens SELECT * FROM kept");
    let rolled_back = fixture.store.find_stored(&ada()).unwrap().unwrap();
    assert_eq!(rolled_back.access_token().unwrap().expose_secret(), "access x");
    fixture.execute("DELETE FROM tokenkeep_tokens WHERE place = 0");
    assert!(fixture.store.find_stored(&ada()).unwrap().is_none());
}
