//! Several handles, transactions, key slots and claims.

use std::{
    panic::{AssertUnwindSafe, catch_unwind},
    thread,
    time::{Duration, Instant},
};

use tokenkeep::{Answer, Error, Need, Prune, RecoveryKey, Refresh, Refreshed, TokenStore, TokenStoreExt, Unlock};
use tokenkeep_sql::{Problem, SqlOptions, SqlStore};

use crate::common::{Fixture, Value, paper, passphrase, problem, token};

#[test]
fn transaction_undoes_all_on_an_error_and_on_a_panic() {
    let fixture = Fixture::new();
    let (store, save) = (&fixture.store, |text: &str| token().user_name(text).refresh_token("r").build());
    store.save_token(&save("ada")).unwrap();
    let before = (store.get_tokens().unwrap(), store.version().unwrap());
    let failed: Result<(), _> = store.transaction(|tx| {
        tx.save_token(&save("grace"))?;
        tx.namespace("n")?.save_token(&save("grace"))?;
        tx.delete_tokens()?;
        Err(Error::other("given up"))
    });
    assert!(matches!(failed, Err(Error::Other(_))));
    let panicked = catch_unwind(AssertUnwindSafe(|| {
        store.transaction(|tx| -> tokenkeep::Result<()> {
            tx.save_token(&save("grace"))?;
            panic!("in the middle")
        })
    }));
    assert!(panicked.is_err());
    assert_eq!((store.get_tokens().unwrap(), store.version().unwrap()), before);
    assert!(store.namespaces().unwrap().is_empty());
    store.save_token(&save("grace")).unwrap();
}

#[test]
fn refused_operation_in_a_transaction_changes_nothing() {
    let fixture = Fixture::new();
    let id = fixture
        .store
        .transaction(|tx| {
            let id = tx.save_token(&token().user_name("ada").client_id("c").refresh_token("r").build())?;
            let refused = tx.save_token(&token().id(id.clone()).client_id("other").refresh_token("s").build());
            assert!(matches!(refused, Err(Error::OtherClient { .. })));
            assert!(tx.save_token(&token().user_name("nothing to store").build()).is_err());
            Ok(id)
        })
        .unwrap();
    let stored = fixture.store.get_tokens().unwrap();
    assert_eq!((stored.len(), stored[0].id(), stored[0].revision()), (1, Some(&id), Some(1)));
}

/// Some databases have undone the whole transaction then, and would take what follows for one statement each.
#[test]
fn error_in_a_transaction_undoes_all_of_it() {
    let fixture = Fixture::new();
    let ada = token().user_name("ada").refresh_token("first");
    fixture.store.save_token(&ada.clone().build()).unwrap();
    fixture.execute("UPDATE tokenkeep_store SET next_place = 0");
    let committed = fixture.store.transaction(|transaction| {
        transaction.save_token(&ada.clone().refresh_token("second").build())?;
        // Its place is in use.
        assert!(transaction.save_token(&token().user_name("grace").refresh_token("r").build()).is_err());
        let after = transaction.save_token(&ada.clone().refresh_token("third").build());
        assert_eq!(problem(after), Problem::Undone);
        assert_eq!(problem(transaction.get_tokens()), Problem::Undone);
        Ok(())
    });
    assert_eq!(problem(committed), Problem::Undone);
    let stored = fixture.store.get_tokens().unwrap();
    assert_eq!((stored.len(), stored[0].refresh_token().unwrap().expose_secret()), (1, "first"));
}

#[test]
fn numbers_of_ids_are_never_used_again() {
    let fixture = Fixture::new();
    let save = |store: &dyn TokenStore| store.save_token(&token().refresh_token("r").build()).unwrap();
    let namespace = fixture.store.namespace("n").unwrap();
    assert_eq!((save(&fixture.store).as_str(), save(&namespace).as_str()), ("1", "2"));
    fixture.store.save_token(&token().id("9").refresh_token("r").build()).unwrap();
    fixture.store.delete_tokens().unwrap();
    assert_eq!(save(&fixture.open()).as_str(), "10");
    fixture.store.save_token(&token().id("9223372036854775806").refresh_token("r").build()).unwrap();
    let refused = fixture.store.save_token(&token().refresh_token("r").build());
    assert_eq!(problem(refused), Problem::NoNumberLeft);
    fixture.store.save_token(&token().id("own").refresh_token("r").build()).unwrap();
}

#[test]
fn version_changes_with_each_commit_and_no_other() {
    let fixture = Fixture::new();
    let other = fixture.open();
    let seen = fixture.store.version().unwrap();
    let id = other.namespace("n").unwrap().save_token(&token().refresh_token("r").build()).unwrap();
    let next = fixture.store.wait_for_change(&seen, Duration::from_secs(5)).unwrap().unwrap();
    assert!(next != seen);
    drop(other.namespace("n").unwrap().lock_token(&id).unwrap());
    assert!(!other.delete_token(&"none".into()).unwrap());
    assert_eq!(other.version().unwrap(), next, "claims and refusals are no changes");
    let waiting = thread::spawn({
        let (store, next) = (fixture.store.clone(), next.clone());
        move || store.wait_for_change(&next, Duration::from_secs(10)).unwrap()
    });
    thread::sleep(Duration::from_millis(50));
    other.add_slot(&passphrase("p")).unwrap();
    assert!(waiting.join().unwrap().is_some());
    assert!(other.wait_for_change(&other.version().unwrap(), Duration::from_millis(30)).unwrap().is_none());
}

#[test]
fn prune_deletes_what_a_keystore_would() {
    let fixture = Fixture::new();
    let expired = token().access_token("a").expires_in(Duration::ZERO);
    fixture.store.save_token(&expired.clone().user_name("gone").build()).unwrap();
    fixture.store.save_token(&expired.clone().user_name("kept").refresh_token("r").build()).unwrap();
    fixture.store.namespace("n").unwrap().save_token(&expired.build()).unwrap();
    assert_eq!(fixture.store.prune(Prune::Expired).unwrap(), 1);
    assert_eq!(fixture.store.get_tokens().unwrap()[0].user_name(), Some("kept"));
    assert_eq!(fixture.store.transaction(|tx| tx.namespace("n")?.prune(Prune::Expired)).unwrap(), 1);
}

#[test]
fn handles_follow_changed_slots_and_report_a_rekey() {
    let fixture = Fixture::new();
    let (store, other) = (&fixture.store, fixture.open());
    store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    let namespace = store.namespace("google").unwrap();
    namespace.save_token(&token().user_name("ada").refresh_token("g").build()).unwrap();

    let slot = other.add_slot(&passphrase("first").label("typed")).unwrap();
    assert_eq!(store.slots().unwrap().len(), 2);
    assert_eq!(store.opened_by().unwrap().unwrap().id, other.slots().unwrap()[0].id);
    let slot = store.replace_slot(slot, &passphrase("second")).unwrap();
    assert!(matches!(other.try_unlock(&passphrase("first")), Err(Error::WrongPassphrase { .. })));
    assert_eq!(other.try_unlock(&passphrase("second")).unwrap().label, "typed");
    other.remove_slot(slot).unwrap();
    assert!(matches!(store.remove_slot(store.slots().unwrap()[0].id), Err(Error::LastSlot)));

    let lock = other.lock_token(&"1".into()).unwrap().lock().unwrap();
    store.rekey([&paper()]).unwrap();
    for refused in [
        other.get_tokens().map(drop),
        other.save_token(&token().refresh_token("x").build()).map(drop),
        other.find_stored(&token().user_name("ada").build()).map(drop),
        other.add_slot(&passphrase("p")).map(drop),
        lock.start(),
    ] {
        assert!(matches!(refused, Err(Error::Rekeyed { .. })), "{refused:?}");
    }
    drop(lock);
    for store in [store.clone(), fixture.open()] {
        let found = store.find_stored(&token().user_name("ada").build()).unwrap().unwrap();
        assert_eq!((found.refresh_token().unwrap().expose_secret(), found.revision()), ("r", Some(1)));
        assert_eq!(store.namespaces().unwrap(), ["google"]);
    }
    assert_eq!(namespace.get_tokens().unwrap().len(), 1);
}

#[test]
fn rekey_that_fails_leaves_the_store_as_it_was() {
    let fixture = Fixture::new();
    fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    let other = Unlock::from(RecoveryKey::generate().unwrap());
    assert!(matches!(fixture.store.rekey([&other]), Err(Error::WrongRecoveryKey { .. })));
    assert!(matches!(fixture.store.rekey([]), Err(Error::LastSlot)));
    fixture.execute("UPDATE tokenkeep_tokens SET revision = 5");
    assert!(matches!(fixture.store.rekey([&paper()]), Err(Error::BadRow { .. })));
    fixture.execute("UPDATE tokenkeep_tokens SET revision = 1");
    assert_eq!(fixture.open().get_tokens().unwrap().len(), 1);
    assert_eq!(fixture.store.get_tokens().unwrap().len(), 1);
}

/// While other threads of the handle read and write, none of them sees the key change.
#[test]
fn own_threads_do_not_notice_a_rekey() {
    let fixture = Fixture::new();
    let store = &fixture.store;
    for number in 0..300 {
        store.save_token(&token().user_name(number.to_string()).refresh_token("r").build()).unwrap();
    }
    let stop = std::sync::atomic::AtomicBool::new(false);
    thread::scope(|scope| {
        let workers: Vec<_> = (0..4)
            .map(|worker| {
                let stop = &stop;
                scope.spawn(move || {
                    let mut count = 0;
                    while !stop.load(std::sync::atomic::Ordering::Relaxed) {
                        let query = token().user_name((count % 300).to_string()).build();
                        if worker % 2 == 0 {
                            assert!(store.find_stored(&query).unwrap().is_some());
                        } else {
                            store.save_token(&query.to_builder().access_token("a").build()).unwrap();
                        }
                        count += 1;
                    }
                })
            })
            .collect();
        for _ in 0..3 {
            store.rekey([&paper()]).unwrap();
        }
        stop.store(true, std::sync::atomic::Ordering::Relaxed);
        workers.into_iter().for_each(|worker| worker.join().unwrap());
    });
    assert_eq!(fixture.open().get_tokens().unwrap().len(), 300);
}

#[test]
fn lease_of_a_dead_holder_ends_and_the_next_one_knows() {
    let options = SqlOptions::new().lease(Duration::from_secs(1)).holder("web-1");
    let fixture = Fixture::with(&options);
    let id = fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    let lock = fixture.store.lock_token(&id).unwrap().lock().unwrap();
    lock.start().unwrap();
    let name = match fixture.value("SELECT lease_holder FROM tokenkeep_tokens") {
        Value::Text(name) => name,
        Value::Bytes(name) => String::from_utf8(name).unwrap(),
        other => panic!("{other:?}"),
    };
    assert!(name.starts_with("web-1 "), "{name}");
    let other = options.open(&fixture.url, &paper()).unwrap();
    let tokenkeep::LockAttempt::Held { look_again } = other.lock_token(&id).unwrap() else { panic!("it is held") };
    assert!(look_again <= Duration::from_millis(250));
    lock.renew().unwrap();
    thread::sleep(Duration::from_millis(1_050));
    assert!(!lock.is_held());
    assert!(matches!(lock.renew(), Err(Error::ClaimEnded)));
    let next = other.lock_token(&id).unwrap().lock().expect("the lease is over");
    assert!(next.was_left_unfinished());
    assert!(matches!(lock.start(), Err(Error::ClaimEnded)), "a lease that is over starts nothing");
    drop(lock);
    assert!(next.is_held() && fixture.store.lock_token(&id).unwrap().lock().is_none(), "the new lease stays");
    next.finish();
    assert!(!fixture.store.lock_token(&id).unwrap().lock().unwrap().was_left_unfinished());
}

/// The answer of a holder whose lease is over is fenced by the refresh token that it was given.
#[test]
fn late_answer_does_not_overwrite_a_newer_refresh_token() {
    let options = SqlOptions::new().lease(Duration::from_secs(1));
    let fixture = Fixture::with(&options);
    let query = token().user_name("ada").client_id("c").build();
    fixture.store.save_token(&query.to_builder().refresh_token("r0").build()).unwrap();
    let Refresh::Claimed(late) = fixture.store.begin_refresh(&query, Need::now()).unwrap() else { panic!("claimed") };
    late.token().unwrap();
    thread::sleep(Duration::from_millis(1_050));
    let other = options.open(&fixture.url, &paper()).unwrap();
    let answer = |text: &str| token().access_token(text).refresh_token(format!("r {text}")).expiry_unknown().build();
    let Refreshed::Fresh(_) = other.refresh_with(&query, Need::now(), |_| answer("new").into()).unwrap() else {
        panic!("the lease is over")
    };
    assert!(matches!(late.token(), Err(Error::ClaimEnded)));
    let kept = late.complete(answer("late")).unwrap();
    assert_eq!(kept.refresh_token().unwrap().expose_secret(), "r new");
    let stored = fixture.store.find_stored(&query).unwrap().unwrap();
    assert_eq!(stored.refresh_token().unwrap().expose_secret(), "r new");
}

/// The server has used the refresh token up for a holder that is late: its answer is saved, not lost.
#[test]
fn late_answer_is_saved_if_nobody_refreshed_since() {
    let fixture = Fixture::with(&SqlOptions::new().lease(Duration::from_secs(1)));
    let query = token().user_name("ada").client_id("c").build();
    fixture.store.save_token(&query.to_builder().refresh_token("r0").build()).unwrap();
    let Refresh::Claimed(late) = fixture.store.begin_refresh(&query, Need::now()).unwrap() else { panic!("claimed") };
    late.token().unwrap();
    thread::sleep(Duration::from_millis(1_050));
    // The next holder's request is refused, because the refresh token was used. It waits a lease for the late answer.
    let store = fixture.open_with(&SqlOptions::new().lease(Duration::from_secs(1)));
    let next = thread::spawn({
        let query = query.clone();
        move || store.refresh_with(&query, Need::now(), |_| Answer::SignInAgain)
    });
    thread::sleep(Duration::from_millis(300));
    late.complete(token().access_token("a").refresh_token("r1").expiry_unknown().build()).unwrap();
    let Refreshed::Fresh(token) = next.join().unwrap().unwrap() else { panic!("the late answer is good") };
    assert_eq!(token.refresh_token().unwrap().expose_secret(), "r1");
    assert!(token.rejected_at().is_none());
}

#[test]
fn one_of_many_threads_refreshes() {
    let fixture = Fixture::new();
    let query = token().user_name("ada").client_id("c").build();
    let expired = query.to_builder().access_token("old").expires_in(Duration::ZERO).refresh_token("r");
    fixture.store.save_token(&expired.build()).unwrap();
    let requests = std::sync::atomic::AtomicUsize::new(0);
    let handles = [fixture.store.clone(), fixture.open()];
    thread::scope(|scope| {
        for worker in 0..8 {
            let (store, query, requests) = (&handles[worker % 2], &query, &requests);
            scope.spawn(move || {
                let refreshed = store.refresh_with(query, Need::default(), |_| {
                    requests.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
                    thread::sleep(Duration::from_millis(100));
                    token().access_token("new").expires_in(Duration::from_secs(3600)).build().into()
                });
                let Refreshed::Fresh(token) = refreshed.unwrap() else { panic!("it is fresh") };
                assert_eq!(token.access_token().unwrap().expose_secret(), "new");
            });
        }
    });
    assert_eq!(requests.into_inner(), 1);
}

#[test]
fn sign_out_during_a_refresh_stays_signed_out() {
    let fixture = Fixture::new();
    let query = token().user_name("ada").client_id("c").build();
    let id = fixture.store.save_token(&query.to_builder().refresh_token("r").build()).unwrap();
    let Refresh::Claimed(claim) = fixture.store.begin_refresh(&query, Need::now()).unwrap() else { panic!("claimed") };
    assert!(fixture.store.delete_token(&id).unwrap());
    let unsaved = claim.complete(token().access_token("a").expiry_unknown().build()).unwrap_err();
    assert!(matches!(unsaved.cause(), Error::NoSuchToken), "{unsaved:?}");
    drop(unsaved);
    assert!(fixture.store.get_tokens().unwrap().is_empty());
    let id = fixture.store.save_token(&query.to_builder().refresh_token("r").build()).unwrap();
    let started = Instant::now();
    assert!(fixture.store.sign_out(&id).unwrap());
    assert!(started.elapsed() < Duration::from_secs(2));
}

#[test]
fn store_may_be_dropped_while_clones_go_on() {
    let fixture = Fixture::new();
    let store = SqlStore::open(&fixture.url, &paper()).unwrap();
    let (namespace, clone) = (store.namespace("n").unwrap(), store.clone());
    drop(store);
    namespace.save_token(&token().refresh_token("r").build()).unwrap();
    assert_eq!(clone.namespaces().unwrap(), ["n"]);
    drop(clone);
    assert_eq!(namespace.get_tokens().unwrap().len(), 1);
    assert!(fixture.store.get_tokens().unwrap().is_empty());
}

/// A find by user name and client id takes two statements while the row has no client id yet.
#[test]
fn find_misses_no_row_that_gets_its_client_meanwhile() {
    let fixture = Fixture::new();
    let finder = SqlStore::open(&fixture.url, &paper()).unwrap();
    for round in 0..200 {
        let user = || token().user_name(format!("user {round}"));
        let with_client = || user().client_id("c");
        let id = fixture.store.save_token(&user().refresh_token("r").build()).unwrap();
        std::thread::scope(|scope| {
            let saving = scope.spawn(|| fixture.store.save_token(&with_client().refresh_token("s").build()).unwrap());
            while !saving.is_finished() {
                assert!(finder.find_stored(&with_client().build()).unwrap().is_some(), "round {round}");
            }
            assert_eq!(saving.join().unwrap(), id);
        });
    }
}
