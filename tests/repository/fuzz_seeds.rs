//! Every input that is kept for the fuzzer, through its target once more: what was found does not come back.

use std::{
    fs,
    path::{Path, PathBuf},
};

use tokenkeep::fuzzing;

fn seeds() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/seeds")
}

#[track_caller]
fn run(target: &str, at_least: usize, run: impl Fn(&[u8])) {
    let mut count = 0;
    for entry in fs::read_dir(seeds().join(target)).unwrap() {
        let path = entry.unwrap().path();
        println!("{}", path.display());
        run(&fs::read(path).unwrap());
        count += 1;
    }
    assert!(count >= at_least, "{count} inputs for {target}");
}

#[test]
fn headers() {
    run("header", 11, fuzzing::header);
}

#[test]
fn key_tables() {
    run("key_table", 13, fuzzing::key_table);
}

#[test]
fn records() {
    run("record", 16, fuzzing::record);
}

#[test]
fn records_of_journals() {
    run("journal_record", 10, fuzzing::journal_record);
}

#[test]
fn payloads() {
    run("payload", 10, fuzzing::payload);
}

#[test]
fn mutated_files() {
    run("open_mutated", 50, fuzzing::open_mutated);
}

#[test]
fn changed_rows() {
    run("open_row", 50, fuzzing::open_row);
}

#[test]
fn operations() {
    let directory = tempfile::tempdir().unwrap();
    run("operations", 50, |bytes| fuzzing::operations(directory.path(), bytes));
}

#[test]
fn recovery_keys() {
    run("recovery_key", 20, fuzzing::recovery_key);
}

#[test]
fn each_target_has_seeds_and_is_run_here() {
    let names = |directory: PathBuf| -> Vec<String> {
        let entries = fs::read_dir(directory).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().path().file_stem().unwrap().to_str().unwrap().to_owned()).collect();
        names.sort();
        names
    };
    let targets = [
        "header",
        "journal_record",
        "key_table",
        "open_mutated",
        "open_row",
        "operations",
        "payload",
        "record",
        "recovery_key",
    ];
    assert_eq!(names(seeds()), targets);
    assert_eq!(names(seeds().join("../fuzz_targets")), targets);
}
