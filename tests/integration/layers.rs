//! The order of the layers: who may import whom, and which file may name which external crate.

use std::path::PathBuf;

#[path = "../common/imports.rs"]
mod imports;

use imports::{External, Layer, check_circles, check_external, check_imports, sources};

const LAYERS: [Layer; 40] = [
    ("hardening", 0, &[]),
    ("id", 0, &[]),
    ("unlock_method", 0, &[]),
    ("transaction_thread", 0, &[]),
    ("time", 0, &[]),
    ("per_process", 0, &[]),
    ("lock_waiters", 0, &["per_process"]),
    ("error", 0, &["id", "unlock_method", "time"]),
    ("secret", 0, &["error"]),
    ("token", 1, &["error", "id", "secret", "time"]),
    ("kdf", 1, &["error", "secret"]),
    ("slot", 1, &["id", "kdf", "unlock_method", "time"]),
    ("format", 1, &["error", "id", "kdf", "secret", "slot", "time"]),
    ("status", 1, &["error", "slot"]),
    ("version", 1, &["format"]),
    ("batch", 2, &["error", "id", "token"]),
    ("store", 2, &["batch", "error", "id", "token", "token_lock"]),
    ("token_lock", 2, &["error"]),
    ("matching", 2, &["error", "id", "secret", "time", "token"]),
    ("codec", 2, &["error", "format", "id", "secret", "time", "token"]),
    ("seal", 2, &["error", "format", "id", "secret"]),
    ("unlock", 2, &["error", "format", "id", "kdf", "unlock_method", "seal", "secret", "slot"]),
    ("file", 2, &["error", "format", "id", "secret", "status", "token_lock", "lock_waiters", "per_process"]),
    ("index", 3, &["codec", "error", "id", "matching", "token"]),
    ("namespaces", 3, &["codec", "error", "format", "id", "index", "matching", "token"]),
    ("changes", 3, &["batch", "error", "id", "index", "matching", "namespaces", "token"]),
    ("overlay", 3, &["batch", "changes", "error", "id", "index", "matching", "namespaces", "token"]),
    ("memory_rows", 3, &["error", "id", "namespaces", "overlay", "transaction_thread", "token_lock"]),
    ("transaction", 3, &["error", "id", "matching", "namespaces", "overlay", "token"]),
    (
        "vault",
        3,
        &[
            "codec",
            "error",
            "format",
            "id",
            "matching",
            "namespaces",
            "seal",
            "secret",
            "slot",
            "time",
            "token",
            "unlock",
        ],
    ),
    (
        "engine",
        4,
        &[
            "changes",
            "codec",
            "error",
            "file",
            "format",
            "id",
            "index",
            "namespaces",
            "overlay",
            "transaction_thread",
            "seal",
            "secret",
            "slot",
            "status",
            "token_lock",
            "unlock",
            "vault",
            "version",
        ],
    ),
    ("refresh", 5, &["error", "id", "matching", "secret", "store", "token", "token_lock", "lock_waiters"]),
    ("snapshot", 5, &["error", "id", "index", "matching", "token"]),
    (
        "namespace",
        5,
        &[
            "batch",
            "changes",
            "engine",
            "error",
            "id",
            "index",
            "matching",
            "memory_rows",
            "snapshot",
            "store",
            "token",
            "token_lock",
        ],
    ),
    (
        "keystore",
        5,
        &[
            "engine",
            "error",
            "file",
            "id",
            "matching",
            "namespace",
            "namespaces",
            "slot",
            "snapshot",
            "status",
            "store",
            "token",
            "transaction",
            "unlock",
            "version",
        ],
    ),
    ("memory", 5, &["error", "matching", "memory_rows", "namespace", "namespaces", "store", "transaction"]),
    ("import", 6, &["batch", "error", "file", "id", "memory", "secret", "store", "token"]),
    ("testing", 6, &["kdf", "lib"]),
    (
        "fuzzing",
        6,
        &["codec", "engine", "file", "format", "lib", "namespaces", "seal", "secret", "time", "unlock", "vault"],
    ),
    ("lib", 7, &[]),
];

const EXTERNAL: [External; 19] = [
    ("arbitrary::", &["fuzzing"]),
    ("argon2::", &["kdf"]),
    ("bincode::", &["codec"]),
    ("csv_core::", &["import"]),
    ("serde::", &["codec"]),
    ("data_encoding::", &["format", "id", "unlock", "vault"]),
    ("httpdate::", &["refresh"]),
    ("keyring_core::", &["unlock"]),
    ("ring::aead", &["seal", "secret"]),
    ("ring::hkdf", &["seal"]),
    ("ring::hmac", &["seal"]),
    ("ring::rand", &["secret"]),
    ("ring::digest", &["format", "fuzzing", "seal", "unlock"]),
    ("hashbrown::", &["index"]),
    ("humantime::", &["time"]),
    ("parking_lot::", &["engine", "file", "memory_rows", "transaction_thread", "refresh", "vault", "lock_waiters"]),
    ("rustix::", &["file", "hardening"]),
    ("subtle::", &["seal", "secret"]),
    ("thiserror::", &["error"]),
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
fn external_crates_are_named_where_they_belong() {
    check_external(&src(), &EXTERNAL);
}

/// A forked child may find any other lock taken for ever.
#[test]
fn lock_of_a_whole_process_is_of_that_process_only() {
    let is_static = |line: &&str| line.trim_start().trim_start_matches("pub(crate) ").starts_with("static ");
    let mut found = 0;
    for (_, code, path) in sources(&src()) {
        for line in code.lines().filter(is_static).filter(|line| line.contains("Mutex") || line.contains("PerProcess"))
        {
            found += 1;
            assert!(line.contains(": PerProcess<"), "{}: {line}", path.display());
        }
    }
    assert_eq!(found, 4);
}
