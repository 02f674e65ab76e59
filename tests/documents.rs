//! What the documents say is held by a test names a test that there is, and the code that they show is there.

use std::{
    fs,
    path::{Path, PathBuf},
};

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

#[test]
fn every_test_that_a_document_names_exists() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let mut files = Vec::new();
    files_below(&root.join("src"), &mut files);
    files_below(&root.join("tests"), &mut files);
    let code: String = files.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let mut count = 0;
    for document in ["SECURITY.md", "docs/checks.md", "docs/durability.md", "docs/keychain.md"] {
        let text = fs::read_to_string(root.join(document)).unwrap();
        // Between backticks, a sentence in words with underscores.
        for name in text.split('`').skip(1).step_by(2).filter(|quoted| quoted.matches('_').count() >= 3) {
            if name
                .chars()
                .all(|character| character.is_ascii_lowercase() || character.is_ascii_digit() || character == '_')
            {
                let exists = code.contains(&format!("fn {name}(")) || code.contains(&format!("\"{name}\","));
                assert!(exists, "{document} names {name}");
                count += 1;
            }
        }
    }
    assert!(count > 200, "only {count} tests are named");
}

#[test]
fn every_check_in_the_table_is_in_its_file_once() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/checks.md")).unwrap();
    let mut count = 0;
    for section in page.split("\n## `").skip(1) {
        let (file, rows) = section.split_once("`\n").unwrap();
        let code = fs::read_to_string(root.join(file)).unwrap();
        for row in rows.lines().filter(|row| row.contains('→')) {
            let row = row.replace("\\|", "|");
            for (before, _) in row.match_indices("` → ") {
                let taken_out = row[..before].rsplit('`').next().unwrap();
                assert_eq!(code.matches(taken_out).count(), 1, "{file}: {taken_out}");
                count += 1;
            }
        }
    }
    assert!(count > 100, "only {count} checks are there");
}

#[test]
fn the_code_for_hosts_without_a_desktop_is_that_of_the_example() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let page = fs::read_to_string(root.join("docs/headless.md")).unwrap();
    let example = fs::read_to_string(root.join("examples/headless.rs")).unwrap();
    let blocks: Vec<_> = page.split("```rust\n").skip(1).map(|rest| rest.split("```").next().unwrap()).collect();
    assert_eq!(blocks.len(), 6);
    for block in blocks {
        assert!(example.contains(block), "not in the example:\n{block}");
    }
}
