//! What an application does with tokens and a store.

use std::{
    fs,
    sync::Arc,
    thread,
    time::{Duration, SystemTime},
};

use tokenkeep::{
    Answer, Error, Keychain, Keystore, MemoryStore, Need, Passphrase, RecoveryKey, Refresh, Secret, Token, TokenStore,
    TokenStoreExt, Unlock,
};

use crate::{
    canaries::{TOKENS, text},
    stage::{canary, cheap, leaves_nothing, passphrase},
};

pub(crate) fn values() {
    leaves_nothing(|stage| {
        let token = canary(0).build();
        let edited = token.to_builder().refresh_token(text("refresh token", 1)).attribute("long", "");
        let edited = edited.attribute("short", text("attribute", 1)).id_token("").build();
        assert!(token != edited && token.clone() == token);
        assert!(!format!("{token:?} {edited:#?}").is_empty());
        drop(canary(2).access_token(text("access token", 3)).clone());
        drop(Arc::new(canary(4)));

        let secret = Secret::from(text("access token", 0));
        assert!(secret == secret.clone() && secret != Secret::from(text("access token", 1)));
        // With room for more, and with more in it before.
        let mut with_room = String::with_capacity(20_000);
        with_room.push_str(text("id token", 0));
        with_room.push_str(text("id token", 1));
        with_room.truncate(100);
        assert!(!Secret::from(with_room).is_empty());

        let key = RecoveryKey::generate().unwrap();
        let paper = stage.keep_paper(&key);
        let typed = Vec::from(paper).leak();
        typed.make_ascii_lowercase();
        for hyphen in typed.iter_mut().filter(|symbol| **symbol == b'-') {
            *hyphen = b' ';
        }
        let typed = str::from_utf8(typed).unwrap();
        assert_eq!(typed.parse::<RecoveryKey>().unwrap().expose_secret(), paper);
        for unlock in [passphrase("long passphrase"), Unlock::from(key.clone()), Unlock::from(Keychain::new("service"))]
        {
            assert!(!format!("{:?}", unlock.clone().label("a label")).is_empty());
        }
        let _ = (key.clone(), Unlock::from(Passphrase::new(Secret::from(text("new passphrase", 0)))));
    });
}

/// One user under two clients, and a token that was read before it was changed.
fn two_clients(store: &dyn TokenStore) {
    store.save_token(&canary(0).build()).unwrap();
    let second = canary(0).client_id("another client").refresh_token(text("refresh token", 1));
    let id = store.save_token(&second.build()).unwrap();
    let read = store.find_token_by_id(&id).unwrap().unwrap();
    store.save_token(&read.to_builder().access_token(text("access token", 2)).build()).unwrap();
    assert!(matches!(store.save_token(&read), Err(Error::Conflict { .. })));
    store.save_token(&read.without_revision()).unwrap();
    let other_client = canary(1).id(id.clone()).build();
    let ambiguous = Token::builder().user_name("user 0").access_token(text("access token", 3)).build();
    for refused in [store.save_token(&other_client).map(drop), store.find_token(&other_client).map(drop)] {
        assert!(matches!(refused, Err(Error::OtherClient { .. })));
    }
    for refused in [store.save_token(&ambiguous).map(drop), store.find_stored(&ambiguous).map(drop)] {
        assert!(matches!(refused, Err(Error::Ambiguous { .. })));
    }
    assert!(matches!(store.delete_token_if(&id, 1), Err(Error::Conflict { .. })));
    assert!(store.delete_token_if(&id, 3).unwrap());
    assert!(matches!(store.save_token(&read), Err(Error::NoSuchToken)));
    assert_eq!(store.delete_tokens().unwrap(), 1);
}

/// Every operation, on any store.
fn operate(store: &dyn TokenStore) {
    two_clients(store);
    let ids: Vec<_> = (0..TOKENS).map(|number| store.save_token(&canary(number).build()).unwrap()).collect();
    // Merged into a row, found and saved again.
    let refreshed = Token::builder().user_name("user 1").access_token(text("access token", 0)).build();
    store.save_token(&refreshed).unwrap();
    let query = canary(0).build();
    for found in [
        store.find_token(&query),
        store.find_stored(&query),
        store.find_token(&refreshed),
        store.find_stored(&Token::builder().access_token(text("access token", 2)).build()),
        store.find_token_by_id(&ids[3]),
    ] {
        assert!(found.unwrap().unwrap().refresh_token().is_some());
    }
    assert_eq!(store.get_tokens().unwrap().len(), TOKENS);
    unstorable(store);
    assert!(store.delete_token(&ids[0]).unwrap());
    assert_eq!(store.delete_tokens().unwrap(), TOKENS - 1);
    store.save_token(&canary(4).build()).unwrap();
}

/// Tokens that no store takes.
fn unstorable(store: &dyn TokenStore) {
    let many: Vec<_> = (0..TOKENS).map(|number| text("long attribute", number)).collect();
    let mut field = String::with_capacity(100_000);
    while field.len() < Token::MAX_FIELD_LEN {
        field.push_str(many[0]);
    }
    let too_large = canary(0).access_token(field).build();
    let large = (0..20).fold(canary(0), |token, n| token.attribute(format!("{n}"), many[n % TOKENS])).build();
    for token in [too_large, large] {
        assert!(matches!(store.save_token(&token), Err(Error::TooLarge { .. })));
    }
    let of_another = Token::builder().id(store.get_tokens().unwrap()[1].id().unwrap().clone()).user_name("user 2");
    let nothing = Token::builder().client_secret(text("client secret", 0)).id_token(text("id token", 1));
    for token in [of_another, nothing, canary(0).attribute("", text("attribute", 0))] {
        assert!(matches!(store.save_token(&token.build()), Err(Error::Unstorable { .. })));
    }
}

pub(crate) fn in_memory() {
    leaves_nothing(|_| {
        let store = MemoryStore::new();
        operate(&store);
        let row = store.get_tokens().unwrap().remove(0);
        store.replace_token(&row.to_builder().access_token(text("access token", 1)).build()).unwrap();
        assert!(matches!(store.replace_token(&row), Err(Error::Conflict { .. })));
        assert!(!format!("{store:?}").is_empty());
    });
}

pub(crate) fn creating_and_opening() {
    leaves_nothing(|stage| {
        let store = stage.create();
        store.save_token(&canary(0).build()).unwrap();
        let key = RecoveryKey::generate().unwrap();
        let paper = stage.keep_paper(&key);
        store.add_slot(&Unlock::from(key.clone())).unwrap();
        stage.keep_file();
        drop(store);
        for unlock in [passphrase("passphrase"), Unlock::from(key), Unlock::from(paper.parse::<RecoveryKey>().unwrap())]
        {
            drop(Keystore::open(&stage.path, &unlock).unwrap());
            let store = Keystore::open_or_create(&stage.path, &unlock).unwrap();
            assert_eq!(store.get_tokens().unwrap().len(), 1);
            assert!(matches!(Keystore::create(&stage.path, &unlock), Err(Error::AlreadyExists { .. })));
        }
    });
}

pub(crate) fn operations() {
    leaves_nothing(|stage| {
        let store = stage.create();
        operate(&store);
        stage.keep_file();
        let row = store.get_tokens().unwrap().remove(0);
        store.replace_token(&row.to_builder().access_token(text("access token", 1)).build()).unwrap();
        stage.keep_file();
        assert!(matches!(store.replace_token(&row), Err(Error::Conflict { .. })));
        let snapshot = store.snapshot().unwrap();
        store.save_token(&canary(0).build()).unwrap();
        stage.keep_file();
        assert_eq!(snapshot.tokens().count(), 1);
        assert!(
            snapshot.find_stored(&row).unwrap().is_some() && snapshot.find_token_by_id(row.id().unwrap()).is_some()
        );
        drop(store);
        drop(snapshot);
    });
}

pub(crate) fn namespaces_and_transactions() {
    leaves_nothing(|stage| {
        let store = stage.create();
        operate(&store.namespace("google").unwrap());
        stage.keep_file();
        let moved = store.transaction(|transaction| {
            for token in transaction.namespace("google")?.get_tokens() {
                transaction.save_token(&token)?;
            }
            transaction.save_token(&canary(1).build())?;
            Ok(transaction.namespace("google")?.delete_tokens())
        });
        assert_eq!(moved.unwrap(), 1);
        stage.keep_file();
        let undone = store.transaction(|transaction| {
            transaction.save_token(&canary(2).build())?;
            Err::<(), _>(Error::other("no"))
        });
        assert!(undone.is_err());
        let store = MemoryStore::new();
        operate(&store.namespace("google").unwrap());
        store.transaction(|transaction| transaction.save_token(&canary(3).build())).unwrap();
    });
}

/// Each end that a refresh can have.
pub(crate) fn refreshes() {
    leaves_nothing(|stage| {
        let store = stage.create();
        let query = canary(0).access_token(text("access token", 0)).expires_at(SystemTime::UNIX_EPOCH).build();
        let response = |number| {
            let response = Token::builder().access_token(text("access token", number));
            response.refresh_token(text("refresh token", number)).expires_at(SystemTime::UNIX_EPOCH).build()
        };
        let claim = || match store.begin_refresh(&query, Need::now()).unwrap() {
            Refresh::Claimed(claim) => claim,
            other => panic!("expected a claim, got {other:?}"),
        };
        store.save_token(&query).unwrap();
        stage.keep_file();
        let given = claim();
        given.token().unwrap();
        drop(given);
        let saved = claim().complete(response(1)).unwrap();
        stage.keep_file();
        // A sign-in, so that the token is not one that was refreshed a moment ago.
        store.replace_token(&saved.to_builder().received_at(SystemTime::UNIX_EPOCH).build()).unwrap();
        stage.keep_file();
        let other = Need::now().timeout(Duration::ZERO);
        let refreshed = pollster::block_on(store.refresh_with_async(&query, other, |token| async move {
            assert!(token.access_token().is_some());
            Answer::failed("no route to host")
        }));
        assert!(refreshed.is_err());
        stage.keep_file();
        let row = store.get_tokens().unwrap().remove(0);
        store.replace_token(&row.to_builder().retry_at(SystemTime::UNIX_EPOCH).build()).unwrap();
        stage.keep_file();
        let lost = claim();
        store.delete_tokens().unwrap();
        stage.keep_file();
        let error = lost.complete(response(2)).unwrap_err();
        assert!(error.token().is_some() && !format!("{error} {error:?}").is_empty());
        drop(error.retry().unwrap_err());
        store.save_token(&canary(3).build()).unwrap();
        stage.keep_file();
        let id = store.get_tokens().unwrap()[0].id().unwrap().clone();
        assert!(store.sign_out_with(&id, |token| token.refresh_token().map(drop).ok_or("no refresh token")).unwrap());
        stage.keep_file();
    });
}

/// So much that it is hashed on another thread.
pub(crate) fn much() {
    leaves_nothing(|stage| {
        let store = stage.create();
        for number in 0..10 {
            store.save_token(&canary(number % TOKENS).user_name(format!("user {number}")).build()).unwrap();
            stage.keep_file();
        }
        assert!(fs::metadata(&stage.path).unwrap().len() > 300_000);
    });
}

pub(crate) fn looking_at_the_file() {
    leaves_nothing(|stage| {
        let store = stage.create();
        store.save_token(&canary(0).build()).unwrap();
        stage.keep_file();
        store.verify().unwrap();
        store.backup_to(stage.directory.path().join("backup.keep")).unwrap();
        Keystore::verify_file(&stage.path).unwrap();
        assert_eq!(store.status().unwrap().tokens, 1);
        assert_eq!(store.slots().unwrap().len(), 1);
    });
}

pub(crate) fn reloading() {
    leaves_nothing(|stage| {
        let store = stage.create();
        let other = Keystore::open(&stage.path, &passphrase("passphrase")).unwrap();
        for number in 0..TOKENS {
            store.save_token(&canary(number).build()).unwrap();
            stage.keep_file();
            assert_eq!(other.get_tokens().unwrap().len(), number + 1);
        }
        other.save_token(&canary(0).access_token(text("access token", 4)).build()).unwrap();
        stage.keep_file();
        store.delete_tokens().unwrap();
        stage.keep_file();
        assert!(other.get_tokens().unwrap().is_empty());
    });
}

pub(crate) fn several_threads() {
    leaves_nothing(|stage| {
        let store = stage.create();
        thread::scope(|scope| {
            for number in 0..TOKENS {
                let store = store.clone();
                scope.spawn(move || {
                    store.save_token(&canary(number).build()).unwrap();
                    assert!(store.find_stored(&canary(number).build()).unwrap().is_some());
                });
            }
        });
        stage.keep_file();
    });
}

pub(crate) fn changing_ways() {
    leaves_nothing(|stage| {
        let store = stage.create();
        store.save_token(&canary(0).build()).unwrap();
        let other = Keystore::open(&stage.path, &passphrase("passphrase")).unwrap();
        let key = RecoveryKey::generate().unwrap();
        stage.keep_paper(&key);
        let added = store.add_slot(&Unlock::from(key.clone())).unwrap();
        stage.keep_file();
        let lost = store.replace_slot(added, &Unlock::from(key.clone())).unwrap();
        stage.keep_file();
        store.change_passphrase(&cheap("passphrase"), &cheap("new passphrase")).unwrap();
        stage.keep_file();
        let wrong = store.change_passphrase(&cheap("wrong passphrase"), &cheap("passphrase"));
        assert!(matches!(wrong, Err(Error::WrongPassphrase { .. })));
        store.add_slot(&passphrase("long passphrase")).unwrap();
        stage.keep_file();
        store.remove_slot(lost).unwrap();
        assert_eq!(store.slots().unwrap().len(), 2);
        stage.keep_file();
        let wrong = store.rekey([&passphrase("new passphrase"), &passphrase("wrong passphrase")]);
        assert!(matches!(wrong, Err(Error::WrongPassphrase { .. })));
        store.rekey([&passphrase("new passphrase"), &passphrase("long passphrase")]).unwrap();
        stage.keep_file();
        assert!(matches!(other.get_tokens(), Err(Error::Rekeyed { .. })));
        store.save_token(&canary(1).build()).unwrap();
        stage.keep_file();
    });
}
