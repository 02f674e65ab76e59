//! The order of the layers: who may import whom, and which file may name which driver.

use std::path::PathBuf;

#[path = "../../../../tests/common/imports.rs"]
mod imports;

use imports::{External, Layer, check_circles, check_external, check_imports};

const LAYERS: [Layer; 21] = [
    ("server", 0, &[]),
    ("engine", 0, &["server"]),
    ("error", 0, &["engine"]),
    ("location", 0, &["engine", "error", "server"]),
    ("tables", 1, &["error"]),
    ("cells", 1, &["engine"]),
    ("pool", 1, &["engine"]),
    ("schema", 1, &["engine", "tables"]),
    ("inside", 1, &[]),
    ("shared", 2, &["cells", "engine", "error", "inside", "pool", "schema"]),
    ("rows", 3, &["cells", "engine", "error", "shared"]),
    ("writer", 3, &["cells", "engine", "error", "pool", "rows", "schema", "shared"]),
    ("lease", 3, &["cells", "engine", "inside", "shared", "writer"]),
    ("namespace", 4, &["lease", "shared", "writer"]),
    ("transaction", 4, &["inside", "shared", "writer"]),
    ("options", 4, &["cells", "engine", "error", "lease", "lib", "location", "pool", "schema", "shared", "tables"]),
    ("slots", 4, &["engine", "error", "lib", "shared", "writer"]),
    ("store", 4, &["lib", "rows", "shared"]),
    ("version", 4, &["cells", "engine", "error", "lib"]),
    ("import", 4, &["engine", "error", "lib", "location", "schema", "tables"]),
    ("lib", 5, &[]),
];

const EXTERNAL: [External; 12] = [
    ("rusqlite::", &["engine/sqlite"]),
    ("mysql::{", &["engine/mysql"]),
    ("tokio_postgres::", &["engine/postgres"]),
    ("tokio_postgres_rustls::", &["engine/postgres"]),
    ("webpki_roots::", &["engine/postgres"]),
    ("tokio::", &["engine/wire"]),
    ("bytes::{", &["engine/postgres"]),
    ("futures_util::", &["engine/postgres"]),
    ("rustls::", &["engine/mysql", "engine/postgres", "server"]),
    ("getrandom::", &["lease", "options"]),
    ("parking_lot::", &["engine/wire", "lease", "pool", "shared", "writer"]),
    ("zeroize::", &["import", "server"]),
];

fn src() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("src")
}

#[test]
fn modules_import_only_what_the_table_names() {
    check_imports(&src(), &LAYERS);
}

#[test]
fn modules_do_not_import_in_circles() {
    check_circles(&LAYERS);
}

#[test]
fn drivers_are_named_in_their_own_files_only() {
    check_external(&src(), &EXTERNAL);
}
