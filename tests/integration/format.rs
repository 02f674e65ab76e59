//! The frozen files (`tests/vectors/`), as a reader finds them that was written from `docs/format.md` alone: the
//! samples, the bad files, and the values that no sample shows. Nothing here uses the library.

use std::{
    fs,
    path::{Path, PathBuf},
};

use crate::reader::{RowContext, Secret};
use serde_json::{Value, json};

fn vectors() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors")
}

fn json_of(path: &Path) -> Value {
    serde_json::from_slice(&fs::read(path).unwrap()).unwrap()
}

const KINDS: [&str; 4] = ["passphrases", "keychain_keys", "recovery_keys", "external_keys"];

/// Those that are written beside a file, each with the word for its kind.
fn secrets(beside: &Value) -> Vec<(&'static str, Secret<'_>)> {
    let secret = |kind: &str, text| match kind {
        "passphrases" => ("passphrase", Secret::Passphrase(text)),
        "keychain_keys" => ("keychain", Secret::Keychain(text)),
        "recovery_keys" => ("recovery key", Secret::RecoveryKey(text)),
        _ => ("external", Secret::External(text)),
    };
    let of_kind = |kind| beside[kind].as_array().into_iter().flatten().map(move |text| (kind, text.as_str().unwrap()));
    KINDS.into_iter().flat_map(of_kind).map(|(kind, text)| secret(kind, text)).collect()
}

#[test]
fn the_samples_hold_what_is_written_beside_them() {
    let entries = fs::read_dir(vectors()).unwrap().map(|entry| entry.unwrap().path());
    let (mut samples, mut opened) = (0, 0);
    for path in entries.filter(|path| path.extension().is_some_and(|extension| extension == "keep")) {
        let (file, beside) = (fs::read(&path).unwrap(), json_of(&path.with_extension("json")));
        let mut contents = beside.clone();
        contents.as_object_mut().unwrap().retain(|name, _| name != "values" && !KINDS.contains(&name.as_str()));
        for (_, secret) in secrets(&beside) {
            assert!(crate::reader::read(&file, &secret).unwrap() == contents, "{}", path.display());
            opened += 1;
        }
        let another_key = "TKR1-NGWK-DQ71-EVHP-SX1N-JMGJ-TB2Y-RRH0-885Q-R8HY-PFQN-ABJ7-Q8W2-MQKH-BEWK";
        let wrong = [
            Secret::Passphrase("wrong"),
            Secret::Passphrase(""),
            Secret::Keychain(&"0".repeat(64)),
            Secret::RecoveryKey(another_key),
            Secret::RecoveryKey("mistyped"),
            Secret::External(&"0".repeat(64)),
        ];
        assert!(wrong.iter().all(|secret| crate::reader::read(&file, secret).is_none()));
        samples += 1;
    }
    assert_eq!((samples, opened), (43, 86));
}

#[test]
fn each_bad_file_is_refused_as_it_says_with_each_secret() {
    let all = json_of(&vectors().join("bad.json"));
    let refused = all["refused"].as_object().unwrap();
    assert_eq!(fs::read_dir(vectors().join("bad")).unwrap().count(), refused.len());
    for (name, class) in refused {
        let file = fs::read(vectors().join("bad").join(format!("{name}.keep"))).unwrap();
        for (kind, secret) in secrets(&all) {
            let class = class.as_str().unwrap_or_else(|| class[kind].as_str().unwrap());
            assert_eq!(crate::reader::try_read(&file, &secret).err(), Some(class), "{name} with a {kind}");
        }
        if let Some(passphrase) = all["other_passphrases"][name].as_str() {
            let class = class.as_str().unwrap_or_else(|| class["passphrase"].as_str().unwrap());
            assert_eq!(crate::reader::try_read(&file, &Secret::Passphrase(passphrase)).err(), Some(class), "{name}");
        }
    }
}

#[test]
fn the_values_that_no_sample_shows() {
    let values = json_of(&vectors().join("values.json"));
    let list = |name: &str| values[name].as_array().unwrap();
    for pair in list("padme") {
        let [l, padded] = [0, 1].map(|n| usize::try_from(pair[n].as_u64().unwrap()).unwrap());
        assert_eq!(crate::reader::padme(l), padded, "{l}");
    }
    for salt in list("salts") {
        let text = |name: &str| salt[name].as_str().unwrap();
        let [store_key, random, purpose] =
            ["store_key", "random", "purpose"].map(|name| crate::reader::unhex(text(name)));
        let count = salt["count"].as_u64().unwrap();
        let made = crate::reader::salt(&store_key, text("label"), &random, count, &purpose);
        assert_eq!(crate::reader::hex(&made), text("salt"));
    }
    for known in list("recovery_keys") {
        let read = crate::reader::recovery_key(known["text"].as_str().unwrap()).map(|key| crate::reader::hex(&key));
        assert_eq!(read.as_deref(), known["key"].as_str(), "{known}");
    }
    for known in list("blind_indexes") {
        let text = |name: &str| known[name].as_str().unwrap();
        let kind = u8::try_from(known["kind"].as_u64().unwrap()).unwrap();
        let store_key = crate::reader::unhex(text("store_key"));
        let client_id = known["client_id"].as_str();
        let index = crate::reader::blind_index(&store_key, kind, text("namespace"), text("value"), client_id);
        assert_eq!(crate::reader::hex(&index), text("index"), "{known}");
    }
}

#[test]
fn each_row_opens_or_is_refused_as_it_says() {
    for known in json_of(&vectors().join("values.json"))["rows"].as_array().unwrap() {
        let bytes = |name: &str| crate::reader::unhex(known[name].as_str().unwrap());
        let columns =
            known["columns"].as_array().unwrap().iter().map(|column| column.as_str().map(crate::reader::unhex));
        let columns: Vec<_> = columns.collect();
        let context = RowContext {
            store_id: &bytes("store_id"),
            table_id: &bytes("table_id"),
            place: known["place"].as_u64().unwrap(),
            revision: known["revision"].as_u64().unwrap(),
            namespace: known["namespace"].as_str().unwrap(),
            columns: &columns,
        };
        match crate::reader::open_row(&bytes("store_key"), &context, &bytes("row")) {
            Ok(token) => assert_eq!(Some(&token), known.get("token")),
            Err(class) => assert_eq!(Some(&json!(class)), known.get("refused")),
        }
    }
}

#[test]
fn each_key_table_opens_or_is_refused_as_it_says() {
    for mut known in json_of(&vectors().join("values.json"))["key_tables"].as_array().unwrap().clone() {
        let known = known.as_object_mut().unwrap();
        let [table, recovery_key] = ["table", "recovery_key"].map(|name| known.remove(name).unwrap());
        let secret = Secret::RecoveryKey(recovery_key.as_str().unwrap());
        match crate::reader::try_read_table(&crate::reader::unhex(table.as_str().unwrap()), &secret) {
            Ok(read) => assert_eq!(read.as_object(), Some(&*known)),
            Err(class) => assert_eq!(Some(&json!(class)), known.get("refused")),
        }
    }
}
