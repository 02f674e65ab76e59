//! The frozen sample files (`tests/vectors/`): the library finds in them what is written beside them, and a reader
//! written from `docs/format.md` alone reads what the library writes today. What that reader finds in the sample files
//! is in `format.rs`.

#[allow(unreachable_pub, reason = "a test's module")]
use std::{
    fs,
    path::{Path, PathBuf},
    time::{SystemTime, UNIX_EPOCH},
};

use crate::common::{Fixture, PASSPHRASE, at_millis, token};
use crate::reader::Secret;
use serde_json::{Value, json};
use tokenkeep::{
    Error, KeySlot, Keystore, Origin, Passphrase, RecoveryKey, Token, TokenBuilder, TokenStore, Unlock, Unstorable,
};

/// The sample files, each with what is beside it.
fn samples() -> Vec<(PathBuf, Value)> {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors");
    let entries = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let files = entries.filter(|path| path.extension().is_some_and(|extension| extension == "keep"));
    let beside = |path: &Path| serde_json::from_slice(&fs::read(path.with_extension("json")).unwrap()).unwrap();
    let samples: Vec<_> = files.map(|path| (path.clone(), beside(&path))).collect();
    assert_eq!(samples.len(), 43);
    samples
}

/// The secrets of a kind that are written beside a sample file.
fn secrets<'a>(expected: &'a Value, kind: &str) -> Vec<&'a str> {
    expected[kind].as_array().into_iter().flatten().map(|text| text.as_str().unwrap()).collect()
}

/// The keys of the external slots, each with its provider.
fn external_keys(expected: &Value) -> impl Iterator<Item = Unlock> {
    let slots = expected["slots"].as_array().unwrap().iter();
    let providers = slots.filter_map(|slot| slot["provider"].as_str());
    let keys = secrets(expected, "external_keys").into_iter().map(|key| crate::reader::unhex(key).try_into().unwrap());
    providers.zip(keys).map(|(provider, key)| crate::external::unlock_with_key(provider, key))
}

fn token_of(expected: &Value) -> Token {
    let text = |name: &str| expected[name].as_str().unwrap_or_default();
    let time = |name: &str| expected[name].as_u64().map(at_millis);
    let mut token = token()
        .id(text("id"))
        .user_name(text("user_name"))
        .client_id(text("client_id"))
        .client_secret(text("client_secret"))
        .refresh_token(text("refresh_token"))
        .access_token(text("access_token"))
        .grant_token(text("grant_token"))
        .id_token(text("id_token"))
        .redirect_url(text("redirect_url"))
        .api_domain(text("api_domain"))
        .token_type(text("token_type"))
        .scopes(expected["scopes"].as_array().unwrap().iter().map(|scope| scope.as_str().unwrap()));
    type Set = fn(TokenBuilder, SystemTime) -> TokenBuilder;
    let times: [(&str, Set); 5] = [
        ("expires_at", |token, time| token.expires_at(time)),
        ("received_at", |token, time| token.received_at(time)),
        ("refresh_expires_at", |token, time| token.refresh_expires_at(time)),
        ("rejected_at", |token, time| token.rejected_at(time)),
        ("retry_at", |token, time| token.retry_at(time)),
    ];
    for (name, set) in times {
        if let Some(time) = time(name) {
            token = set(token, time);
        }
    }
    if let Some(failures) = expected["failures"].as_u64() {
        token = token.failed_refreshes(failures.try_into().unwrap());
    }
    for (name, value) in expected["attributes"].as_object().unwrap() {
        token = token.attribute(name.as_str(), value.as_str().unwrap());
    }
    let revision = expected["revision"].as_u64().unwrap();
    token.stored(Origin::of("a sample"), time("created_at").unwrap(), time("updated_at").unwrap(), revision).build()
}

#[test]
fn sample_files_hold_what_their_json_says() {
    for (sample, expected) in samples() {
        // A copy, for git checks files out with a mode that is refused.
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("copy.keep");
        fs::copy(&sample, &path).unwrap();
        crate::common::set_mode(&path, 0o600);
        let passphrases = secrets(&expected, "passphrases").into_iter().map(|text| Unlock::from(Passphrase::new(text)));
        let recovery_keys = secrets(&expected, "recovery_keys").into_iter().map(crate::common::unlock_with_paper);
        // The other namespaces have stores of their own.
        let tokens = expected["tokens"].as_array().unwrap().iter().filter(|token| token["namespace"].is_null());
        let tokens: Vec<_> = tokens.map(token_of).collect();
        let mut store = None;
        for unlock in passphrases.chain(recovery_keys).chain(external_keys(&expected)) {
            let opened = Keystore::open(&path, &unlock).unwrap();
            assert_eq!(opened.get_tokens().unwrap(), tokens, "{}", sample.display());
            let slots = opened.slots().unwrap();
            let described = |slot: &KeySlot| (slot.id.to_string(), slot.label.clone(), slot.provider.clone());
            let described: Vec<_> = slots.iter().map(described).collect();
            let text = |slot: &Value, name: &str| slot[name].as_str().map(str::to_owned);
            let of_json = |slot| (text(slot, "slot_id").unwrap(), text(slot, "label").unwrap(), text(slot, "provider"));
            let expected = expected["slots"].as_array().unwrap().iter();
            assert_eq!(described, expected.map(of_json).collect::<Vec<_>>());
            store = Some(opened);
        }
        let Some(store) = store else {
            // One that only a keychain opens.
            assert!(matches!(Keystore::open(&path, &crate::common::unlock()), Err(Error::NoSlotFor { .. })));
            continue;
        };
        let next = store.save_token(&token().user_name("one more").access_token("a").build());
        if expected["generation"] == json!(u64::MAX) {
            assert!(matches!(next, Err(Error::NoGenerationLeft { .. })), "{next:?}");
            continue;
        }
        if expected["next_id"] == json!(1_u64 << 63) {
            assert!(matches!(next, Err(Error::Unstorable { why: Unstorable::NoIdLeft, .. })), "{next:?}");
            continue;
        }
        let next = next.unwrap();
        assert_eq!(next.as_str(), expected["next_id"].to_string(), "{}", sample.display());
    }
}

#[test]
fn a_save_keeps_the_records_of_other_namespaces() {
    let (sample, expected) = samples().into_iter().find(|(path, _)| path.ends_with("two-namespaces.keep")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy.keep");
    fs::copy(&sample, &path).unwrap();
    crate::common::set_mode(&path, 0o600);
    let paper = secrets(&expected, "recovery_keys")[0];
    let store = Keystore::open(&path, &crate::common::unlock_with_paper(paper)).unwrap();
    let id = store.save_token(&token().user_name("one more").access_token("a").build()).unwrap();

    let assert_kept = |ancestors: &[Value]| {
        let read = crate::reader::read(&fs::read(&path).unwrap(), &Secret::RecoveryKey(paper)).unwrap();
        let (mut tokens, all) = (read["tokens"].as_array().unwrap().clone(), expected["tokens"].as_array().unwrap());
        let new = all.iter().filter(|token| token["namespace"].is_null()).count();
        assert_eq!(tokens.remove(new)["id"], id.as_str());
        assert_eq!(&tokens, all);
        assert_eq!(read["ancestors"], json!(ancestors));
    };
    let ancestors = expected["ancestors"].as_array().unwrap();
    assert_kept(ancestors);
    let mark = crate::reader::mark(&fs::read(&path).unwrap());
    store.compact().unwrap();
    let last =
        json!({"salt": crate::reader::hex(&mark[..8]), "record_count": 1, "tag": crate::reader::hex(&mark[12..])});
    assert_kept(&[&ancestors[1..], &[last]].concat());
}

#[test]
fn recovery_keys_are_read_as_the_values_say() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/vectors/values.json");
    let values: Value = serde_json::from_slice(&fs::read(path).unwrap()).unwrap();
    for known in values["recovery_keys"].as_array().unwrap() {
        let (text, key) = (known["text"].as_str().unwrap(), known["key"].as_str());
        let parsed = text.parse::<RecoveryKey>().ok();
        let key_of = |parsed: RecoveryKey| {
            crate::reader::recovery_key(parsed.expose_secret()).map(|key| crate::reader::hex(&key))
        };
        assert_eq!(parsed.and_then(key_of).as_deref(), key, "{text:?}");
    }
}

#[test]
fn one_user_under_two_clients_is_found_by_each() {
    let (sample, expected) = samples().into_iter().find(|(path, _)| path.ends_with("two-clients.keep")).unwrap();
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("copy.keep");
    fs::copy(&sample, &path).unwrap();
    crate::common::set_mode(&path, 0o600);
    let unlock = crate::common::unlock_with_paper(secrets(&expected, "recovery_keys")[0]);
    let store = Keystore::open(&path, &unlock).unwrap();
    let ada = || token().user_name("ada");
    let id_of = |query: Token| store.find_stored(&query).unwrap().map(|token| token.id().unwrap().to_string());
    assert_eq!(id_of(ada().client_id("confidential").build()).as_deref(), Some("1"));
    assert_eq!(id_of(ada().client_id("public").build()).as_deref(), Some("2"));
    // The row without a client adopts another one.
    assert_eq!(id_of(ada().client_id("third").build()).as_deref(), Some("3"));
    assert!(matches!(store.find_stored(&ada().build()), Err(Error::Ambiguous { count: 3, .. })));
    let public = token().client_id("public").refresh_token("another one without a user").build();
    assert_eq!(id_of(public).as_deref(), Some("6"));
}

#[test]
fn that_reader_reads_what_is_written_today() {
    let fixture = Fixture::new();
    let full = token()
        .user_name("ada")
        .client_id("c")
        .client_secret("s")
        .refresh_token("r")
        .access_token("a".repeat(30_000))
        .grant_token("g")
        .id_token("i")
        .expires_at(at_millis(1_795_000_000_123))
        .redirect_url("u")
        .api_domain("d")
        .token_type("t")
        .scopes(["z", "a"])
        .attribute("k", "v");
    fixture.store.save_token(&token().id("7").access_token("a").build()).unwrap();
    fixture.store.save_token(&full.build()).unwrap();
    let paper = RecoveryKey::generate().unwrap();
    fixture.store.add_slot(&Unlock::from(paper.clone()).label("paper")).unwrap();

    let read = crate::reader::read(&fixture.bytes(), &Secret::Passphrase(PASSPHRASE)).unwrap();
    assert_eq!((&read["generation"], &read["next_id"]), (&json!(2), &json!(9)));
    assert_eq!(crate::reader::read(&fixture.bytes(), &Secret::RecoveryKey(paper.expose_secret())).unwrap(), read);
    assert_eq!(read["slots"][0]["m_kib"], 7168);
    assert_eq!((&read["slots"][1]["kind"], &read["slots"][1]["label"]), (&json!("recovery"), &json!("paper")));
    let tokens: Vec<_> = read["tokens"].as_array().unwrap().iter().map(token_of).collect();
    assert_eq!(tokens, fixture.store.get_tokens().unwrap());
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_millis();
    assert!(now.abs_diff(read["tokens"][1]["created_at"].as_u64().unwrap().into()) < 60_000);
}
