//! What the documents say is held by a test names a test that there is, and the code that they show is there.

use std::{
    env, fs,
    io::{self, Write},
    path::{Path, PathBuf},
    process::Command,
};

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../..")
}

fn files_below(directory: &Path, files: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files_below(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

/// The code of the library and of all tests.
fn code(root: &Path) -> String {
    let mut files = Vec::new();
    files_below(&root.join("src"), &mut files);
    files_below(&root.join("tests"), &mut files);
    files_below(&root.join("crates/tokenkeep-sql"), &mut files);
    files.iter().map(|path| fs::read_to_string(path).unwrap()).collect()
}

fn has_test(code: &str, name: &str) -> bool {
    code.contains(&format!("fn {name}(")) || code.contains(&format!("\"{name}\","))
}

#[test]
fn every_test_that_a_document_names_exists() {
    let root = &root();
    let code = code(root);
    let mut count = 0;
    for document in ["SECURITY.md", "docs/database.md", "docs/durability.md", "docs/keychain.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        // Between backticks, a sentence in words with underscores.
        for name in text.split('`').skip(1).step_by(2).filter(|quoted| quoted.matches('_').count() >= 3) {
            if name
                .chars()
                .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_')
            {
                assert!(has_test(&code, name), "{document} names {name}");
                count += 1;
            }
        }
    }
    assert!(count > 100, "only {count} tests are named");
}

/// The script fails for a comment that it does not understand, and for one that changes no single place.
#[test]
fn every_held_by_comment_names_tests_and_one_place() {
    let root = &root();
    let listed = match Command::new("python3").arg(root.join(".ci/checks.py")).arg("--list").output() {
        Ok(output) => output,
        Err(error) => {
            assert!(env::var_os("CI").is_none(), "CI needs python3: {error}");
            // Past the test runner, which shows nothing that a test prints if it passes.
            writeln!(io::stderr(), "SKIPPED: the `Held by` comments are unchecked without python3: {error}").unwrap();
            return;
        }
    };
    assert!(listed.status.success(), "{}", String::from_utf8_lossy(&listed.stderr));
    let code = code(root);
    let listed = String::from_utf8(listed.stdout).unwrap();
    for line in listed.lines() {
        let (place, tests) = line.split_once(' ').unwrap();
        for name in tests.split(' ') {
            assert!(has_test(&code, name), "{place} names {name}");
        }
    }
    let count = listed.lines().count();
    assert!(count > 250, "only {count} checks are there");
}

#[test]
fn the_code_for_hosts_without_a_desktop_is_that_of_the_example() {
    let root = &root();
    let page = fs::read_to_string(root.join("docs/headless.md")).unwrap();
    let example = fs::read_to_string(root.join("examples/headless.rs")).unwrap();
    let blocks: Vec<_> = page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 6);
    for block in blocks {
        assert!(example.contains(block), "not in the example:\n{block}");
    }
}
