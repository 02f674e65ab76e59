//! The directory `tests/vectors/`, and what belongs there.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
};

use serde_json::{Value, json};

use crate::{
    catalogue::{self, Refusal, Row, WAYS},
    samples::{self, Sample},
};

pub(crate) fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../vectors")
}

/// The bad files, the samples, what is beside them, and the values that no sample shows.
pub(crate) fn write(rows: &[Row]) {
    let directory = vectors().join("bad");
    fs::create_dir_all(&directory).unwrap();
    for name in names_in(&directory) {
        fs::remove_file(directory.join(name)).unwrap();
    }
    for row in rows.iter().filter(|row| row.is_frozen) {
        fs::write(directory.join(format!("{}.keep", row.name)), &row.file).unwrap();
    }
    fs::write(vectors().join("bad.json"), json_text(&beside(rows))).unwrap();
    fs::write(vectors().join("values.json"), json_text(&samples::values())).unwrap();
    for Sample { name, file, beside } in samples::samples() {
        fs::write(vectors().join(format!("{name}.json")), json_text(&beside)).unwrap();
        fs::write(vectors().join(format!("{name}.keep")), file).unwrap();
    }
}

/// In one line if it is large.
fn json_text(value: &Value) -> String {
    let pretty = serde_json::to_string_pretty(value).unwrap();
    if pretty.len() < 1 << 20 { pretty + "\n" } else { format!("{value}\n") }
}

fn names_in(directory: &Path) -> BTreeSet<String> {
    let entries = fs::read_dir(directory).unwrap();
    entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect()
}

/// What is written beside the bad files: of each what it is refused as, with each kind of secret where that differs.
fn beside(rows: &[Row]) -> Value {
    let mut beside = samples::secrets();
    for row in rows.iter().filter(|row| row.is_frozen) {
        let words = row.open.map(Refusal::words);
        beside["refused"][&row.name] = if words.iter().all(|word| *word == words[0]) {
            json!(words[0])
        } else {
            WAYS.into_iter().zip(words).collect::<BTreeMap<_, _>>().into_iter().collect()
        };
        if let Some(passphrase) = row.other_passphrase {
            beside["other_passphrases"][&row.name] = passphrase.into();
        }
    }
    beside
}

pub(crate) fn directory_is_the_catalogue() {
    let rows = catalogue::catalogue();
    let directory = vectors().join("bad");
    let names = rows.iter().filter(|row| row.is_frozen).map(|row| format!("{}.keep", row.name)).collect();
    assert_eq!(names_in(&directory), names);
    let mut size = 0;
    for row in rows.iter().filter(|row| row.is_frozen) {
        let frozen = fs::read(directory.join(format!("{}.keep", row.name))).unwrap();
        assert!(frozen == row.file, "{} is not what is made now", row.name);
        size += frozen.len();
    }
    assert!(size < 5_500_000, "{size} bytes are too many to carry along");
    let is_written = |name: &str, expected: &Value| {
        let text = fs::read_to_string(vectors().join(format!("{name}.json"))).unwrap();
        assert!(text == json_text(expected), "{name}.json is not what is made now");
    };
    for Sample { name, file, beside } in samples::samples() {
        assert!(fs::read(vectors().join(format!("{name}.keep"))).unwrap() == file, "{name} is not what is made now");
        is_written(&name, &beside);
    }
    is_written("bad", &beside(&rows));
    is_written("values", &samples::values());
}

pub(crate) fn no_two_are_the_same() {
    let rows = catalogue::catalogue();
    let (mut names, mut files) = (BTreeSet::new(), BTreeMap::from([(catalogue::sound().seal(), "sound")]));
    for row in &rows {
        assert!(names.insert(&row.name), "two are called {}", row.name);
        let other = files.insert(row.file.clone(), &row.name);
        assert_eq!(other, None, "{} is the same file", row.name);
    }
    assert!(rows.len() > 300, "only {} files", rows.len());
}
