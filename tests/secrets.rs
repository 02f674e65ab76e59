//! No secret shows anywhere: every secret field holds a canary, and everything that can be printed or lands on the disk
//! is searched for it.

mod common;

use std::{error::Error as _, fmt::Debug, fs};

use common::{Fixture, names_in, token};
use tokenkeep::{
    Error, KdfParams, Keystore, KeystoreOptions, MemoryStore, Secret, TokenBuilder, TokenStore, Unlock, Unstorable,
};

const CANARY: &str = "canary-5up3r";

/// A token whose every secret is a canary.
fn canaries() -> TokenBuilder {
    let secret = |name: &str| format!("{CANARY}-{name}");
    token()
        .user_name("ada.lovelace@example.com")
        .client_id("client.example.com")
        .client_secret(secret("client secret"))
        .refresh_token(secret("refresh token"))
        .access_token(secret("access token"))
        .grant_token(secret("grant token"))
        .id_token(secret("id token"))
        .attribute("attribute", secret("attribute"))
}

fn passphrase() -> Unlock {
    Unlock::passphrase(format!("{CANARY}-passphrase")).kdf(KdfParams::MIN)
}

/// In any of the ways that one format string can ask for.
#[track_caller]
fn assert_hidden(value: &impl Debug) {
    for shown in [format!("{value:?}"), format!("{value:#?}")] {
        assert!(!shown.contains(CANARY), "{shown}");
    }
}

#[track_caller]
fn assert_hides(error: &Error) {
    assert_hidden(error);
    assert!(!error.to_string().contains(CANARY), "{error}");
    let mut source = error.source();
    while let Some(cause) = source {
        assert!(!format!("{cause} {cause:?}").contains(CANARY), "{cause:?}");
        source = cause.source();
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn nothing_that_can_be_printed_shows_a_secret() {
    assert!(
        format!("{:?}", canaries().build().refresh_token().unwrap().expose_secret()).contains(CANARY),
        "or this finds nothing"
    );

    let fixture = Fixture::new();
    let path = fixture.folder.path().join("canaries.keep");
    let store = Keystore::create(&path, passphrase()).unwrap();
    let memory = MemoryStore::new();
    store.save_token(&canaries().build()).unwrap();
    memory.save_token(&canaries().build()).unwrap();

    assert_hidden(&canaries());
    assert_hidden(&canaries().build());
    assert_hidden(&Secret::from(CANARY));
    assert_hidden(&passphrase());
    assert_hidden(&KeystoreOptions::new());
    assert_hidden(&store);
    assert_hidden(&memory);
    assert_hidden(&store.find_token(&canaries().build()));
    assert_hidden(&store.get_tokens());
    assert_hidden(&tokenkeep::matching::Criterion::RefreshToken(&Secret::from(CANARY)));
}

#[test]
fn no_error_shows_a_secret() {
    let fixture = Fixture::new();
    let path = fixture.folder.path().join("canaries.keep");
    let store = Keystore::create(&path, passphrase()).unwrap();
    let id = store.save_token(&canaries().build()).unwrap();
    let saved = store.find_token_by_id(&id).unwrap().unwrap();
    store.save_token(&canaries().build()).unwrap();
    store.save_token(&token().user_name("grace").access_token("a").build()).unwrap();

    let long = CANARY.repeat(10_000);
    let mut errors = vec![
        store.save_token(&canaries().access_token(long.as_str()).build()).unwrap_err(),
        store.save_token(&canaries().attribute(CANARY, long).build()).unwrap_err(),
        store.save_token(&canaries().attribute("", CANARY).build()).unwrap_err(),
        store.save_token(&canaries().id(id).user_name("grace").build()).unwrap_err(),
        store.replace_token(&saved).unwrap_err(),
        store.replace_token(&canaries().build()).unwrap_err(),
        Keystore::open(&path, Unlock::passphrase(format!("{CANARY}-wrong"))).unwrap_err(),
        Keystore::create(&path, passphrase()).unwrap_err(),
    ];
    assert!(matches!(errors[3], Error::Unstorable { why: Unstorable::UserNameTaken, .. }));
    assert!(matches!(errors[4], Error::Conflict { .. }));
    let sound = fs::read(&path).unwrap();
    for at in [0, 8, 20, 140, 200, 300, 1000, sound.len() - 1] {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        errors.extend([store.get_tokens().err(), Keystore::open(&path, passphrase()).err()].into_iter().flatten());
    }
    assert!(errors.len() > 16, "{}", errors.len());
    errors.iter().for_each(assert_hides);
}

#[test]
fn no_file_holds_a_secret_or_whose_it_is() {
    let fixture = Fixture::new();
    let store = Keystore::create(fixture.folder.path().join("canaries.keep"), passphrase()).unwrap();
    for round in 0..3 {
        store.save_token(&canaries().attribute("round", format!("{round}")).build()).unwrap();
        for name in names_in(fixture.folder.path()) {
            let bytes = fs::read(fixture.folder.path().join(&name)).unwrap();
            for text in [CANARY, "ada.lovelace", "example.com", "attribute"] {
                assert!(!contains(&bytes, text), "{name} holds {text}");
            }
        }
    }
    assert!(contains(b"a canary-5up3r", CANARY), "or this finds nothing");
}
