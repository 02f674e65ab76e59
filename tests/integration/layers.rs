//! The order of the layers: who may import whom, and which file may name which external crate.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

/// Each module with its layer and what it may import of ours. Nothing may be imported from above, or in a circle.
const LAYERS: [(&str, u8, &[&str]); 40] = [
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

/// Each external crate, or the part of it that is to stay in one place, with the modules that may name it.
const EXTERNAL: [(&str, &[&str]); 19] = [
    ("arbitrary::", &["fuzzing"]),
    ("argon2::", &["kdf"]),
    ("bincode::", &["codec"]),
    ("csv_core::", &["import"]),
    ("serde::", &["codec"]),
    ("data_encoding::", &["format", "id", "unlock", "vault"]),
    ("httpdate::", &["refresh"]),
    ("keyring_core::", &["unlock"]),
    ("ring::aead", &["seal"]),
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

/// The library's modules with their code, and the files that it is in.
fn sources() -> Vec<(String, String, PathBuf)> {
    fn collect(directory: &Path, files: &mut Vec<PathBuf>) {
        for entry in fs::read_dir(directory).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() && !path.ends_with("tests") {
                collect(&path, files);
            } else if path.extension().is_some_and(|extension| extension == "rs") && !path.ends_with("tests.rs") {
                files.push(path);
            }
        }
    }
    let src = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let mut files = Vec::new();
    collect(&src, &mut files);
    files.sort();
    let module = |path: &Path| {
        let first = path.strip_prefix(&src).unwrap().iter().next().unwrap().to_str().unwrap();
        first.trim_end_matches(".rs").to_owned()
    };
    let source = |path: PathBuf| (module(&path), code(&fs::read_to_string(&path).unwrap()), path);
    files.into_iter().map(source).collect()
}

/// The code without comments (and the examples in them), and without the unit tests at its end.
fn code(text: &str) -> String {
    let code = text.split("#[cfg(test)]\nmod tests").next().unwrap();
    let lines = code.lines().map(|line| line.split("//").next().unwrap());
    lines.collect::<Vec<_>>().join("\n")
}

/// The modules that a `use crate::…;` or a path `crate::…` names.
fn imports(code: &str) -> BTreeSet<String> {
    let mut imports = BTreeSet::new();
    for (at, _) in code.match_indices("crate::") {
        let rest = &code[at + "crate::".len()..];
        if let Some(group) = rest.strip_prefix('{') {
            // The first word of each item at the group's own depth.
            let (mut depth, mut start) = (0, true);
            let mut word = String::new();
            for character in group.chars() {
                match character {
                    '{' => depth += 1,
                    '}' if depth == 0 => break,
                    '}' => depth -= 1,
                    ',' if depth == 0 => {
                        imports.insert(std::mem::take(&mut word));
                        start = true;
                    }
                    _ if depth == 0 && start && (character.is_alphanumeric() || character == '_') => {
                        word.push(character);
                    }
                    _ if !word.is_empty() => start = false,
                    _ => {}
                }
            }
            imports.insert(word);
        } else {
            imports.insert(
                rest.chars().take_while(|character| character.is_alphanumeric() || *character == '_').collect(),
            );
        }
    }
    imports.remove("");
    // A name that starts in upper case is one that lib.rs shows.
    imports.into_iter().map(|name| if name.starts_with(char::is_uppercase) { "lib".to_owned() } else { name }).collect()
}

#[test]
fn modules_import_only_what_the_table_names() {
    let layers: BTreeMap<_, _> = LAYERS.iter().map(|(module, layer, _)| (*module, *layer)).collect();
    let mut used: BTreeMap<_, BTreeSet<_>> = BTreeMap::new();
    for (module, code, path) in sources() {
        let (_, layer, allowed) = LAYERS
            .iter()
            .find(|(name, ..)| *name == module)
            .unwrap_or_else(|| panic!("{} has no layer", path.display()));
        for import in imports(&code) {
            if import == module || module == "lib" {
                continue;
            }
            assert!(allowed.contains(&import.as_str()), "{} imports {import}", path.display());
            assert!(import == "lib" || layers[import.as_str()] <= *layer, "{import} is above {module}");
            used.entry(module.clone()).or_default().insert(import);
        }
    }
    for (module, _, allowed) in LAYERS {
        let used = used.remove(module).unwrap_or_default();
        assert!(
            allowed.iter().all(|name| used.contains(*name)),
            "{module} may import {allowed:?}, and imports {used:?}"
        );
    }
}

#[test]
fn modules_do_not_import_in_circles() {
    let allowed: BTreeMap<_, _> = LAYERS.iter().map(|(module, _, allowed)| (*module, *allowed)).collect();
    for start in allowed.keys() {
        let mut reached = BTreeSet::new();
        let mut next: Vec<_> = allowed[start].to_vec();
        while let Some(module) = next.pop() {
            assert_ne!(module, *start, "{start} imports itself");
            if reached.insert(module) {
                next.extend(allowed[module]);
            }
        }
    }
}

#[test]
fn external_crates_are_named_where_they_belong() {
    for (module, code, path) in sources() {
        // `use ring::{aead::…, hkdf::…}` names `ring::aead` too.
        let flat = flatten(&code);
        for (name, allowed) in EXTERNAL {
            assert!(!flat.contains(name) || allowed.contains(&module.as_str()), "{} names {name}", path.display());
        }
    }
    let all: String = sources().iter().map(|(_, code, _)| flatten(code)).collect();
    for (name, _) in EXTERNAL {
        assert!(all.contains(name), "{name} is named nowhere");
    }
}

/// The code, followed by `ring::` and each first word of a group that ring is imported by.
fn flatten(code: &str) -> String {
    let mut flat = code.to_owned();
    for part in code.split("use ring::{").skip(1) {
        let group = part.split("};").next().unwrap();
        for item in group.split('\n').map(str::trim).filter(|item| !item.is_empty()) {
            flat.push_str(&format!("\nring::{item}"));
        }
    }
    flat
}

#[test]
fn imports_are_found_in_groups_and_paths() {
    let code_of_one =
        "use crate::{alpha::One, beta::{Two, Three}, gamma, Four}; fn f() { crate::delta::g(crate::Five) }";
    let expected = ["alpha", "beta", "gamma", "delta", "lib"].map(str::to_owned);
    assert_eq!(imports(code_of_one), BTreeSet::from(expected));
    assert!(flatten("use ring::{\n    aead::Aad,\n};").contains("ring::aead::Aad"));
    assert_eq!(code("a(); // crate::b\n#[cfg(test)]\nmod tests { crate::c }").trim_end(), "a();");
}

/// A forked child may find any other lock taken for ever.
#[test]
fn lock_of_a_whole_process_is_of_that_process_only() {
    let is_static = |line: &&str| line.trim_start().trim_start_matches("pub(crate) ").starts_with("static ");
    let mut found = 0;
    for (_, code, path) in sources() {
        for line in code.lines().filter(is_static).filter(|line| line.contains("Mutex") || line.contains("PerProcess"))
        {
            found += 1;
            assert!(line.contains(": PerProcess<"), "{}: {line}", path.display());
        }
    }
    assert_eq!(found, 4);
}
