//! No secret shows anywhere: every secret field holds a canary, and everything that can be printed or lands on the disk
//! is searched for it. User names are hidden in the same way, and so is how the crate is built inside.

use std::{error::Error as _, fmt::Debug, fs, time::SystemTime};

use crate::common::{Fixture, cheap, names_in, token};
use tokenkeep::{
    Error, Keychain, Keystore, KeystoreOptions, MemoryStore, Origin, Passphrase, RecoveryKey, Secret, Token,
    TokenBuilder, TokenId, TokenStore, Unlock, UnlockMethod, Unstorable, matching, vault::Vault,
};

const CANARY: &str = "canary-5up3r";
const USER: &str = "ada.lovelace";

/// A token whose every secret is a canary.
fn canaries() -> TokenBuilder {
    let secret = |name: &str| format!("{CANARY}-{name}");
    token()
        .user_name(format!("{USER}@example.com"))
        .client_id("client.example.com")
        .client_secret(secret("client secret"))
        .refresh_token(secret("refresh token"))
        .access_token(secret("access token"))
        .grant_token(secret("grant token"))
        .id_token(secret("id token"))
        .attribute("attribute", secret("attribute"))
}

fn passphrase() -> Passphrase {
    cheap(&format!("{CANARY}-passphrase"))
}

fn unlock() -> Unlock {
    passphrase().into()
}

/// Names that nobody outside the crate knows: of types, fields and wrappers.
const PRIVATE: [&str; 24] = [
    "Arc",
    "Box",
    "Engine",
    "Expiry",
    "Fields",
    "Index",
    "Inner",
    "Key",
    "Method",
    "Millis",
    "Mutex",
    "Options",
    "RwLock",
    "Some",
    "Stored",
    "System",
    "SystemTime",
    "Zeroizing",
    "inner",
    "m_kib",
    "stored",
    "text",
    "tv_sec",
    "wrapped_key",
];

/// That neither the canary nor the user name is in a text.
#[track_caller]
fn assert_no_canary(shown: &str) {
    assert!(!shown.contains(CANARY) && !shown.contains(USER), "{shown}");
}

/// In both forms that a format string can ask for. Returns the shorter one.
#[track_caller]
fn assert_hidden(value: &impl Debug) -> String {
    let shown = format!("{value:?}");
    for shown in [&shown, &format!("{value:#?}")] {
        assert_no_canary(shown);
    }
    shown
}

/// That the value hides secrets and user names, and names nothing that is private to the crate.
#[track_caller]
fn assert_for_readers(value: &impl Debug) -> String {
    let shown = assert_hidden(value);
    let words = |character: char| !(character.is_alphanumeric() || character == '_');
    for word in shown.split(words) {
        assert!(!PRIVATE.contains(&word), "{word} in {shown}");
    }
    shown
}

#[track_caller]
fn assert_hides(error: &Error) {
    assert_for_readers(error);
    assert_no_canary(&error.to_string());
    let mut source = error.source();
    while let Some(cause) = source {
        assert_no_canary(&format!("{cause} {cause:?}"));
        source = cause.source();
    }
}

fn contains(bytes: &[u8], text: &str) -> bool {
    bytes.windows(text.len()).any(|window| window == text.as_bytes())
}

#[test]
fn nothing_that_can_be_printed_shows_a_secret() {
    let exposed = format!("{:?}", canaries().build().refresh_token().unwrap().expose_secret());
    assert!(exposed.contains(CANARY), "or this finds nothing");
    assert!(format!("{:?}", canaries().build().user_name()).contains(USER), "or this finds nothing");

    let fixture = Fixture::new();
    let path = fixture.directory.path().join("canaries.keep");
    let store = Keystore::create(&path, &unlock()).unwrap();
    let memory = MemoryStore::new();
    store.save_token(&canaries().build()).unwrap();
    memory.save_token(&canaries().build()).unwrap();

    assert_for_readers(&canaries());
    assert_for_readers(&canaries().build());
    assert_for_readers(&store.get_tokens().unwrap()[0]);
    assert_for_readers(&store.get_tokens().unwrap()[0].to_builder());
    assert_for_readers(&Secret::from(CANARY));
    assert_for_readers(&passphrase());
    assert_for_readers(&unlock().label("a label"));
    assert_for_readers(&KeystoreOptions::new());
    assert_for_readers(&store);
    assert_for_readers(&memory);
    assert_for_readers(&store.snapshot().unwrap());
    assert_for_readers(&store.namespace("google").unwrap());
    assert_for_readers(&store.version().unwrap());
    store.transaction(|transaction| Ok(assert_for_readers(transaction))).unwrap();
    let change = Vault::create("accounts", &unlock()).unwrap();
    assert_for_readers(&change);
    assert_for_readers(&change.written().0);
    assert_for_readers(&store.slots().unwrap()[0]);
    assert_for_readers(&Keystore::verify_file(&path).unwrap());
    let status = store.status().unwrap();
    assert_no_canary(&status.to_string());
    // The slot that opened the store stands in an option.
    let hidden = assert_hidden(&status);
    assert!(hidden.contains(&assert_for_readers(&store.slots().unwrap()[0])), "{hidden}");

    assert_hidden(&store.find_token(&canaries().build()));
    assert_hidden(&store.find_stored(&canaries().build()));
    assert_hidden(&store.get_tokens());
}

#[test]
fn unlock_methods_hide_their_secrets() {
    let key = RecoveryKey::generate().unwrap();
    let keychain = || Keychain::new("com.example.app");
    for shown in [
        assert_for_readers(&key),
        assert_for_readers(&Unlock::from(key.clone()).label("paper")),
        assert_for_readers(&keychain()),
        assert_for_readers(&Unlock::from(keychain()).label("this computer")),
    ] {
        for group in key.expose_secret().split('-').skip(1) {
            assert!(!shown.contains(group), "{shown}");
        }
    }
    assert!(assert_for_readers(&unlock().label("a label")).contains("a label"));
}

/// A row by itself, for the rules that an application's own store uses.
struct Row(Token);

impl matching::Rows for Row {
    type Place = u8;

    fn origin(&self) -> Origin {
        Origin::of("a row")
    }

    fn rows(&mut self, criterion: matching::Criterion<'_>) -> tokenkeep::Result<Vec<(u8, Token)>> {
        Ok([(0, self.0.clone())].into_iter().filter(|(_, row)| criterion.matches(row)).collect())
    }
}

#[test]
fn criteria_and_rows_to_write_hide_their_values() {
    let (id, secret) = (TokenId::from(CANARY), Secret::from(CANARY));
    for criterion in [
        matching::Criterion::Id(&id),
        matching::Criterion::UserName(USER),
        matching::Criterion::AccessToken(&secret),
        matching::Criterion::GrantToken(&secret),
        matching::Criterion::RefreshToken(&secret),
    ] {
        assert_for_readers(&criterion);
    }
    let now = SystemTime::now();
    let mut row = Row(canaries().id("1").stored(Origin::of("a row"), now, now, 1).build());
    let write = matching::save(&mut row, &canaries().build(), now, || panic!("no id is needed")).unwrap();
    assert_eq!(write.place, Some(0));
    let shown = assert_hidden(&write);
    assert!(shown.contains(&assert_for_readers(&write.token)), "{shown}");
}

#[test]
fn no_error_shows_a_secret() {
    let fixture = Fixture::new();
    let path = fixture.directory.path().join("canaries.keep");
    let store = Keystore::create(&path, &unlock()).unwrap();
    let id = store.save_token(&canaries().build()).unwrap();
    let saved = store.find_token_by_id(&id).unwrap().unwrap();
    store.save_token(&canaries().build()).unwrap();
    store.save_token(&canaries().user_name("grace").build()).unwrap();
    let second = store.save_token(&canaries().client_id("second.example.com").build()).unwrap();

    let long = CANARY.repeat(10_000);
    let wrong = Unlock::from(Passphrase::new(format!("{CANARY}-wrong")));
    let paper = Unlock::from(RecoveryKey::generate().unwrap());
    let mut errors = vec![
        store.save_token(&canaries().access_token(long.as_str()).build()).unwrap_err(),
        store.save_token(&canaries().user_name(format!("{USER}{long}")).build()).unwrap_err(),
        store.save_token(&canaries().attribute(CANARY, long).build()).unwrap_err(),
        store.save_token(&canaries().attribute("", CANARY).build()).unwrap_err(),
        store.save_token(&canaries().id(id).user_name("grace").build()).unwrap_err(),
        store.replace_token(&saved).unwrap_err(),
        store.save_token(&saved).unwrap_err(),
        store.replace_token(&canaries().build()).unwrap_err(),
        store.save_token(&canaries().id(second).build()).unwrap_err(),
        store.save_token(&canaries().client_id("").build()).unwrap_err(),
        store.find_token(&canaries().client_id("").build()).unwrap_err(),
        Keystore::open(&path, &wrong).unwrap_err(),
        Keystore::open_any(&path, [&wrong, &paper]).unwrap_err(),
        Keystore::create(&path, &unlock()).unwrap_err(),
        store.change_passphrase(&cheap("wrong"), &passphrase()).unwrap_err(),
        format!("TKR1{CANARY}").parse::<RecoveryKey>().unwrap_err(),
    ];
    assert!(matches!(errors[4], Error::Unstorable { why: Unstorable::UserAndClientTaken, .. }));
    assert!(matches!(errors[5..7], [Error::Conflict { .. }, Error::Conflict { .. }]));
    assert!(matches!(errors[8..11], [Error::OtherClient { .. }, Error::Ambiguous { .. }, Error::Ambiguous { .. }]));
    match &errors[12] {
        Error::NoneOpened { failures, .. } => {
            let methods: Vec<_> = failures.iter().map(|failure| failure.method).collect();
            assert_eq!(methods, [UnlockMethod::Passphrase, UnlockMethod::RecoveryKey]);
            failures.iter().for_each(|failure| assert_no_canary(&failure.to_string()));
        }
        other => panic!("expected NoneOpened, got {other:?}"),
    }
    let sound = fs::read(&path).unwrap();
    let before = errors.len();
    for at in [0, 8, 20, 140, 200, 300, 1000, sound.len() - 1] {
        let mut damaged = sound.clone();
        damaged[at] ^= 1;
        fs::write(&path, damaged).unwrap();
        errors.extend([store.get_tokens().err(), Keystore::open(&path, &unlock()).err()].into_iter().flatten());
    }
    assert!(errors.len() > before + 8, "{}", errors.len());
    errors.iter().for_each(assert_hides);
}

#[test]
fn no_file_holds_a_secret_or_whose_it_is() {
    let fixture = Fixture::new();
    let store = Keystore::create(fixture.directory.path().join("canaries.keep"), &unlock()).unwrap();
    for round in 0..3 {
        store.save_token(&canaries().attribute("round", format!("{round}")).build()).unwrap();
        for name in names_in(fixture.directory.path()) {
            let bytes = fs::read(fixture.directory.path().join(&name)).unwrap();
            for text in [CANARY, USER, "example.com", "attribute"] {
                assert!(!contains(&bytes, text), "{name} holds {text}");
            }
        }
    }
    assert!(contains(b"a canary-5up3r", CANARY), "or this finds nothing");
}
