//! No memory that is given back holds a secret: every block that this crate and the drivers free is searched for
//! tokens, passphrases and keys. SQLite's own memory is not searched; it has what its file has, which is sealed.

use std::{env, process::Stdio, time::Duration};

use tokenkeep::{Answer, Error, Need, RecoveryKey, Refreshed, TokenStore, TokenStoreExt, Unlock};
use tokenkeep_sql::SqlStore;

use crate::{
    allocator,
    canaries::{self, text},
    common::{JOB, Value, this_program_with_test, token},
    database::Place,
    stage::{Stage, canary, cheap, passphrase},
};

/// Plays the scenario in a process of its own, because what is recorded is recorded of all threads.
pub(crate) fn leaves_nothing(test: &str, prepare: impl FnOnce(&Place), scenario: impl FnOnce(&Stage, &Place)) {
    const JOB_OF_MEMORY: &str = "memory";
    if env::var(JOB).is_ok_and(|job| job == JOB_OF_MEMORY) {
        allocator::use_it();
        canaries::prepare();
        let place = Place::new();
        prepare(&place);
        let stage = Stage::new();
        assert!(!stage.play(|_| drop(text("refresh token", 0).to_owned())).is_empty(), "the search finds something");
        return stage.leaves_nothing(|stage| scenario(stage, &place));
    }
    let ran = this_program_with_test(test, &[JOB_OF_MEMORY]).stdout(Stdio::null()).status().unwrap();
    assert!(ran.success());
}

/// Keeps the key table, after the header of a file that says how long it is: for the keys of its slots.
fn keep_key_table(stage: &Stage, place: &Place) {
    let rows = place.admin().rows("SELECT key_table FROM tokenkeep_store");
    let [[Value::Bytes(key_table)]] = &rows.iter().map(Vec::as_slice).collect::<Vec<_>>()[..] else { panic!() };
    let mut file = vec![0; 136];
    file[12..16].copy_from_slice(&u32::try_from(key_table.len()).unwrap().to_le_bytes());
    file.extend_from_slice(key_table);
    stage.keep_bytes(file);
}

#[test]
fn operations_leave_no_secret_in_freed_memory() {
    leaves_nothing(
        "suite::memory::operations_leave_no_secret_in_freed_memory",
        |_| {},
        |stage, place| {
            let url = place.url();
            let store = SqlStore::create(&url, &passphrase("passphrase")).unwrap();
            keep_key_table(stage, place);
            operate(&store);
            operate(&store.namespace("n").unwrap());
            let id = store.save_token(&canary(0).build()).unwrap();
            let refused = store.transaction(|transaction| {
                transaction.save_token(&canary(0).access_token(text("access token", 1)).build())?;
                transaction.namespace("n")?.save_token(&canary(2).build())?;
                assert_eq!(transaction.get_tokens()?.len(), 1);
                Err::<(), _>(Error::other("never mind"))
            });
            assert!(refused.is_err());

            let other = SqlStore::open(&url, &passphrase("passphrase")).unwrap();
            assert!(matches!(
                SqlStore::open(&url, &passphrase("wrong passphrase")),
                Err(Error::WrongPassphrase { .. })
            ));
            let key = RecoveryKey::generate().unwrap();
            stage.keep_paper(&key);
            let paper = Unlock::from(key);
            store.add_slot(&paper).unwrap();
            keep_key_table(stage, place);
            store.change_passphrase(&cheap("passphrase"), &cheap("new passphrase")).unwrap();
            keep_key_table(stage, place);
            assert!(other.find_token_by_id(&id).unwrap().is_some());
            store.rekey([&paper]).unwrap();
            keep_key_table(stage, place);
            assert!(matches!(other.find_token_by_id(&id), Err(Error::Rekeyed { .. })));
            drop((store, other));
            assert_eq!(SqlStore::open(&url, &paper).unwrap().get_tokens().unwrap().len(), 1);
        },
    );
}

/// What an application does with tokens. Leaves none.
fn operate(store: &(impl TokenStore + Clone + 'static)) {
    let id = store.save_token(&canary(0).build()).unwrap();
    store.save_token(&canary(1).build()).unwrap();
    for query in [
        canary(0).access_token(text("access token", 3)),
        token().access_token(text("access token", 0)),
        token().client_id("a client").grant_token(text("grant token", 0)).refresh_token(text("refresh token", 0)),
    ] {
        assert_eq!(store.find_token(&query.build()).unwrap().unwrap().id(), Some(&id));
    }
    let read = store.find_token_by_id(&id).unwrap().unwrap();
    let replaced = read.to_builder().refresh_token(text("refresh token", 2)).build();
    store.replace_token(&replaced).unwrap();
    assert!(matches!(store.save_token(&read), Err(Error::Conflict { .. })));
    let refreshed = store.refresh_with(&canary(1).build(), Need::now(), |_| {
        Answer::from(token().access_token(text("access token", 4)).expires_in(Duration::from_secs(60)).build())
    });
    assert!(matches!(refreshed.unwrap(), Refreshed::Fresh(_)));
    assert_eq!(store.get_tokens().unwrap().len(), 2);
    assert!(store.delete_token(&id).unwrap());
    assert_eq!(store.delete_tokens().unwrap(), 1);
}
