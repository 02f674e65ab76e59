//! Schemas of one database, and the path on which the server looks for tables.

use tokenkeep::{Error, TokenStore};
use tokenkeep_sql::{Problem, SqlStore};

use crate::{
    common::{Fixture, Value, paper, problem, token},
    database::Place,
};

fn in_schemas(place: &Place, path: &str) {
    let database = &place.database;
    place.admin().try_execute(&format!("ALTER DATABASE {database} SET search_path = {path}")).unwrap();
}

#[test]
fn store_is_in_the_first_schema_of_the_path() {
    let place = Place::new();
    place.admin().try_execute("CREATE SCHEMA vault").unwrap();
    in_schemas(&place, "vault, public");
    let fixture = Fixture::in_place(place, &Default::default());
    fixture.store.save_token(&token().refresh_token("r").build()).unwrap();
    assert_eq!(fixture.open().get_tokens().unwrap().len(), 1);
    let schemas =
        "SELECT DISTINCT table_schema::text FROM information_schema.tables WHERE table_name LIKE 'tokenkeep%'";
    assert_eq!(fixture.place.admin().rows(schemas), [[Value::Text("vault".to_owned())]]);
}

/// The server would make the tables in the first schema, and finds the ones in the second schema until then.
#[test]
fn tables_of_another_schema_are_left_alone() {
    for table in ["tokenkeep_store", "tokenkeep_tokens"] {
        let place = Place::new();
        let other = format!("CREATE SCHEMA vault; CREATE TABLE {table} (a BIGINT); INSERT INTO {table} VALUES (1)");
        place.admin().try_execute(&other).unwrap();
        in_schemas(&place, "vault, public");
        let created = SqlStore::create(&place.url(), &paper());
        assert_eq!(problem(created), Problem::OtherSchema { found: None }, "{table}");
        let kept = "SELECT table_schema::text FROM information_schema.tables WHERE table_name LIKE 'tokenkeep%'";
        assert_eq!(place.admin().rows(kept), [[Value::Text("public".to_owned())]], "{table}");
    }
}

/// Another store in a schema that the server looks into first.
#[test]
fn store_that_another_schema_hides_is_replaced_and_kept() {
    let fixture = Fixture::new();
    let ada = token().user_name("ada").client_id("c").refresh_token("r").build();
    fixture.store.save_token(&ada).unwrap();
    fixture.execute("CREATE SCHEMA vault");
    in_schemas(&fixture.place, "vault");
    SqlStore::create(&fixture.url, &paper()).unwrap();
    in_schemas(&fixture.place, "vault, public");
    // The path is that of new connections.
    let end = "SELECT pg_terminate_backend(pid)::text FROM pg_stat_activity WHERE application_name = 'tokenkeep' AND \
               datname = current_database()";
    assert!(matches!(fixture.store.find_stored(&ada), Ok(Some(_))));
    fixture.execute(end);
    assert!(matches!(fixture.store.find_stored(&ada), Err(Error::Replaced { .. })));
    assert!(matches!(fixture.store.save_token(&ada), Err(Error::Replaced { .. })));
    in_schemas(&fixture.place, "public");
    assert_eq!(fixture.open().get_tokens().unwrap().len(), 1);
}
