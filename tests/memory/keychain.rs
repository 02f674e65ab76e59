//! Keys in a keychain, which is a shelf here, and never gives anything back.

use std::{
    any::Any,
    collections::HashMap,
    sync::{Arc, Mutex},
    thread,
    time::Duration,
};

use keyring_core::{
    CredentialStore, Entry, Error as KeyringError, Result,
    api::{Credential, CredentialApi, CredentialStoreApi},
};
use tokenkeep::{Error, Keychain, KeychainFailure, Keystore, TokenStore, Unlock};

use crate::stage::{Stage, canary, leaves_nothing, passphrase};

/// What becomes of a question for a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Answer {
    Right,
    Missing,
    /// The last of the text is no hexadecimal digit.
    Misspelt,
    TooLong,
    OfAnotherSlot,
    BadEncoding,
    BadDataFormat,
    AfterTheDeadline,
    Panic,
}

#[derive(Debug, Clone)]
struct Shelf(Arc<Mutex<Held>>);

#[derive(Debug)]
struct Held {
    texts: HashMap<String, &'static str>,
    /// All that there ever were.
    all: Vec<&'static str>,
    answer: Answer,
}

impl Shelf {
    fn new() -> Self {
        let held = Held { texts: HashMap::new(), all: Vec::new(), answer: Answer::Right };
        Self(Arc::new(Mutex::new(held)))
    }

    fn keychain(&self) -> Keychain {
        let store: Arc<CredentialStore> = Arc::new(self.clone());
        Keychain::new("com.example.app").credential_store(store)
    }

    fn unlock(&self) -> Unlock {
        self.keychain().into()
    }

    fn answer(&self, answer: Answer) {
        self.0.lock().unwrap().answer = answer;
    }

    /// The texts that were ever there are looked for.
    fn keep_keys(&self, stage: &Stage) {
        self.0.lock().unwrap().all.iter().for_each(|text| stage.keep_keychain_key(text));
    }
}

impl CredentialStoreApi for Shelf {
    fn vendor(&self) -> String {
        "a shelf".to_owned()
    }

    fn id(&self) -> String {
        "a shelf".to_owned()
    }

    fn build(&self, service: &str, user: &str, _: Option<&HashMap<&str, &str>>) -> Result<Entry> {
        let place = Place { name: format!("{service} {user}"), shelf: self.clone() };
        Ok(Entry::new_with_credential(Arc::new(place)))
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[derive(Debug)]
struct Place {
    name: String,
    shelf: Shelf,
}

impl CredentialApi for Place {
    fn set_secret(&self, secret: &[u8]) -> Result<()> {
        let text = str::from_utf8(secret.to_vec().leak()).unwrap();
        let mut held = self.shelf.0.lock().unwrap();
        held.texts.insert(self.name.clone(), text);
        held.all.push(text);
        Ok(())
    }

    fn get_secret(&self) -> Result<Vec<u8>> {
        let (text, answer) = {
            let held = self.shelf.0.lock().unwrap();
            (*held.texts.get(&self.name).ok_or(KeyringError::NoEntry)?, held.answer)
        };
        let mut secret = text.as_bytes().to_vec();
        match answer {
            Answer::Missing => {
                secret.leak();
                return Err(KeyringError::NoEntry);
            }
            Answer::Right => {}
            Answer::Misspelt => secret[63] = b'x',
            Answer::TooLong => {
                secret.leak();
                secret = [text, text].concat().into_bytes();
            }
            Answer::OfAnotherSlot => secret.rotate_left(2),
            Answer::BadEncoding => return Err(KeyringError::BadEncoding(secret)),
            Answer::BadDataFormat => {
                return Err(KeyringError::BadDataFormat(secret, Box::new(std::io::Error::other("no"))));
            }
            Answer::AfterTheDeadline => thread::sleep(Duration::from_millis(100)),
            Answer::Panic => {
                secret.leak();
                panic!("it panics here");
            }
        }
        Ok(secret)
    }

    fn delete_credential(&self) -> Result<()> {
        self.shelf.0.lock().unwrap().texts.remove(&self.name).map(drop).ok_or(KeyringError::NoEntry)
    }

    fn get_credential(&self) -> Result<Option<Arc<Credential>>> {
        Ok(None)
    }

    fn get_specifiers(&self) -> Option<(String, String)> {
        None
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

pub(crate) fn working() {
    leaves_nothing(|stage| {
        let shelf = Shelf::new();
        let store = Keystore::create(&stage.path, &shelf.unlock()).unwrap();
        store.save_token(&canary(0).build()).unwrap();
        stage.keep_file();
        drop(store);
        let store = Keystore::open(&stage.path, &shelf.unlock()).unwrap();
        let added = store.add_slot(&passphrase("passphrase")).unwrap();
        stage.keep_file();
        store.replace_slot(added, &shelf.unlock()).unwrap();
        stage.keep_file();
        store.rekey([&shelf.unlock()]).unwrap();
        stage.keep_file();
        drop(store);
        shelf.keep_keys(stage);
    });
}

pub(crate) fn failing() {
    leaves_nothing(|stage| {
        let shelf = Shelf::new();
        let store = Keystore::create(&stage.path, &shelf.unlock()).unwrap();
        store.save_token(&canary(0).build()).unwrap();
        stage.keep_file();
        for answer in [
            Answer::Missing,
            Answer::Misspelt,
            Answer::TooLong,
            Answer::OfAnotherSlot,
            Answer::BadEncoding,
            Answer::BadDataFormat,
            Answer::AfterTheDeadline,
            Answer::Panic,
        ] {
            shelf.answer(answer);
            let unlock = Unlock::from(shelf.keychain().deadline(Duration::from_millis(20)));
            for refused in [Keystore::open(&stage.path, &unlock).map(drop), store.add_slot(&unlock).map(drop)] {
                assert!(matches!(refused, Err(Error::Keychain { .. })), "{answer:?} {refused:?}");
            }
        }
        // The answers that nobody waited for.
        thread::sleep(Duration::from_millis(200));
        shelf.answer(Answer::Right);
        let other = Shelf::new().unlock();
        assert!(matches!(
            Keystore::open(&stage.path, &other),
            Err(Error::Keychain { why: KeychainFailure::Missing, .. })
        ));
        shelf.keep_keys(stage);
    });
}
