use std::{
    io, panic,
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::super::*;
use crate::{
    Token,
    engine::{Engine, tests},
    file::{Call, Disk, Watched},
    id::TokenId,
};

/// No wait at all.
fn now() -> Deadline {
    Deadline::after(Duration::ZERO, Path::new("store"))
}

/// Each of them waits to write when this returns, in the order of their names.
fn start<R: Send + 'static>(
    engine: &Arc<Engine>,
    names: &[&'static str],
    run: fn(&Engine, &str) -> R,
) -> Vec<thread::JoinHandle<R>> {
    let start = |(before, name): (usize, &&'static str)| {
        let (engine, name) = (engine.clone(), *name);
        let waiting = engine.writers.waiting();
        assert_eq!(waiting, before);
        let thread = {
            let engine = engine.clone();
            thread::spawn(move || run(&engine, name))
        };
        while engine.writers.waiting() == waiting {
            thread::yield_now();
        }
        thread
    };
    names.iter().enumerate().map(start).collect()
}

fn records(engine: &Engine) -> u32 {
    engine.read_state(|state| state.journal.record_count()).unwrap()
}

fn users(engine: &Engine) -> Vec<String> {
    let tokens = engine.read("", crate::index::Index::tokens).unwrap();
    tokens.iter().map(|token| token.user_name().unwrap().to_owned()).collect()
}

#[test]
fn changes_that_wait_are_one_record_in_their_order() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Arc::new(tests::create(&directory));
    let leader = engine.writers.lead(&now()).unwrap();
    let threads = start(&engine, &["ada", "grace", "alan", "edsger"], tests::save);
    drop(leader);
    let ids = threads.into_iter().map(|thread| thread.join().unwrap().unwrap());
    assert_eq!(ids.collect::<Vec<_>>(), ["1", "2", "3", "4"].map(TokenId::from));
    assert_eq!(
        (records(&engine), users(&engine)),
        (1, vec!["ada".into(), "grace".into(), "alan".into(), "edsger".into()])
    );
    assert!(engine.writers.queue.lock().finished.is_empty());
}

#[test]
fn one_that_is_refused_takes_no_other_with_it() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Arc::new(tests::create(&directory));
    let leader = engine.writers.lead(&now()).unwrap();
    let threads = start(&engine, &["ada", "", "grace"], |engine, name| {
        let token = Token::builder().user_name(name);
        let token = if name.is_empty() { token.build() } else { token.access_token("a").build() };
        tests::save_token(engine, &token)
    });
    drop(leader);
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(matches!(&results[..], [Ok(_), Err(Error::Unstorable { .. }), Ok(_)]), "{results:?}");
    assert_eq!((records(&engine), users(&engine)), (1, vec!["ada".into(), "grace".into()]));
}

/// Counts the writes.
fn counting(fails: bool) -> (Arc<dyn Disk>, Arc<AtomicUsize>) {
    let count = Arc::new(AtomicUsize::new(0));
    let counted = count.clone();
    let disk = Watched(move |call| {
        let is_write = matches!(call, Call::Write | Call::Append);
        if is_write {
            counted.fetch_add(1, Ordering::SeqCst);
        }
        if is_write && fails { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) }
    });
    (Arc::new(disk), count)
}

/// Together they are too large, alone they are not.
#[test]
fn changes_that_do_not_fit_are_refused_without_writing() {
    let directory = tempfile::tempdir().unwrap();
    drop(tests::create(&directory));
    let (disk, written) = counting(false);
    let engine = Arc::new(tests::open_with(&directory, disk));
    let leader = engine.writers.lead(&now()).unwrap();
    let threads = start(&engine, &["1", "2", "3", "4", "5", "6"], |engine, name| {
        let field = "x".repeat(Token::MAX_FIELD_LEN);
        let large = ["a", "b", "c"].iter().fold(Token::builder(), |token, name| token.attribute(*name, &*field));
        let token = large.user_name(name).access_token("a").build();
        tests::save_token(engine, &token)
    });
    drop(leader);
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    let saved = results.iter().filter(|result| result.is_ok()).count();
    assert!(results[saved..].iter().all(|result| matches!(result, Err(Error::FileTooLarge { .. }))), "{results:?}");
    assert!((1..6).contains(&saved), "{results:?}");
    assert_eq!(users(&engine), ["1", "2", "3", "4", "5", "6"][..saved]);
    assert_eq!(written.load(Ordering::SeqCst), 1);
}

/// A change that is too large for the rest is left out, and a smaller one after it is made.
#[test]
fn change_after_one_that_does_not_fit_is_made() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Arc::new(tests::create(&directory));
    let leader = engine.writers.lead(&now()).unwrap();
    let threads = start(&engine, &["1", "2", "3", "4", "5", "6", "small"], |engine, name| {
        let field = "x".repeat(if name == "small" { 1 } else { Token::MAX_FIELD_LEN });
        let token = ["a", "b", "c"].iter().fold(Token::builder(), |token, name| token.attribute(*name, &*field));
        let token = token.user_name(name).access_token("a").build();
        tests::save_token(engine, &token)
    });
    drop(leader);
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert!(matches!(results[..], [.., Err(Error::FileTooLarge { .. }), Ok(_)]), "{results:?}");
    let saved = results.iter().filter(|result| result.is_ok()).count();
    assert_eq!((users(&engine).len(), users(&engine).last().unwrap().as_str()), (saved, "small"));
}

#[test]
fn failing_disk_is_tried_once_for_a_group() {
    let directory = tempfile::tempdir().unwrap();
    drop(tests::create(&directory));
    let (disk, written) = counting(true);
    let engine = Arc::new(tests::open_with(&directory, disk));
    let leader = engine.writers.lead(&now()).unwrap();
    let threads = start(&engine, &["ada", "grace", "alan", "edsger"], tests::save);
    drop(leader);
    for thread in threads {
        match thread.join().unwrap() {
            Err(Error::Io { path, cause, .. }) => {
                assert_eq!((path.as_path(), cause.kind()), (engine.path(), io::ErrorKind::StorageFull));
            }
            other => panic!("expected Io, got {other:?}"),
        }
    }
    assert_eq!(written.load(Ordering::SeqCst), 2, "an append, and then a replacement");
    assert!(users(&engine).is_empty());
}

/// A thread that wants to write by itself, as a change of slots does, comes before changes that wait for less long.
#[test]
fn threads_lead_in_the_order_they_came() {
    let directory = tempfile::tempdir().unwrap();
    let engine = Arc::new(tests::create(&directory));
    let leader = engine.writers.lead(&now()).unwrap();
    let alone = {
        let engine = engine.clone();
        thread::spawn(move || {
            let leader = engine.writers.lead(&Deadline::after(Duration::from_secs(60), Path::new("store"))).unwrap();
            assert!(users(&engine).is_empty(), "the save has to wait for the one who came first");
            drop(leader);
        })
    };
    while engine.writers.queue.lock().waiting_alone.is_empty() {
        thread::yield_now();
    }
    let saving = {
        let engine = engine.clone();
        thread::spawn(move || tests::save(&engine, "ada").unwrap())
    };
    while engine.writers.waiting() == 0 {
        thread::yield_now();
    }
    drop(leader);
    alone.join().unwrap();
    saving.join().unwrap();
    assert_eq!(users(&engine), ["ada"]);
}

/// Three saves wait at that call, and then go on or fail, as one.
#[cfg(unix)]
fn assert_waits_for(stopped: Call) {
    let directory = tempfile::tempdir().unwrap();
    drop(tests::create(&directory));
    let (hold, fail) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let (held, failing) = (hold.clone(), fail.clone());
    let disk: Arc<dyn Disk> = Arc::new(Watched(move |call| {
        while call == stopped && held.load(Ordering::SeqCst) {
            thread::yield_now();
        }
        // Nor is there a file in place of one that could not be synced.
        let is_failing = call == stopped || (call == Call::Create && stopped == Call::SyncData);
        let is_reliable = call != Call::AppendsReliably || stopped == Call::SyncData;
        if !is_reliable || (is_failing && failing.load(Ordering::SeqCst)) {
            return Err(io::Error::other("on fire"));
        }
        Ok(())
    }));
    let engine = Arc::new(tests::open_with(&directory, disk));
    tests::save(&engine, "first").unwrap();
    for (round, is_failing) in [false, true].into_iter().enumerate() {
        hold.store(true, Ordering::SeqCst);
        fail.store(is_failing, Ordering::SeqCst);
        let leader = engine.writers.lead(&now()).unwrap();
        let names = [["ada", "grace", "alan"], ["edsger", "barbara", "tony"]][round];
        let threads = start(&engine, &names, tests::save);
        drop(leader);
        // The change is there for all to see, and not yet known to be durable.
        let other = tests::open_with(&directory, Arc::new(crate::file::Os));
        while !users(&other).contains(&names[2].to_owned()) {
            thread::yield_now();
        }
        thread::sleep(Duration::from_millis(20));
        assert!(threads.iter().all(|thread| !thread.is_finished()));
        hold.store(false, Ordering::SeqCst);
        for (number, thread) in (2..).zip(threads) {
            let saved = TokenId::from((3 * round + number).to_string());
            match thread.join().unwrap() {
                Ok(id) => assert!(!is_failing && id == saved),
                Err(Error::DurabilityUnknown { id, cause, .. }) => {
                    assert!(is_failing && id == Some(saved) && cause.to_string() == "on fire");
                }
                other => panic!("{other:?}"),
            }
        }
    }
}

#[cfg(unix)]
#[test]
fn no_save_returns_before_its_record_is_synced() {
    assert_waits_for(Call::SyncData);
}

/// Where appending is not reliable, each save replaces the file.
#[cfg(unix)]
#[test]
fn no_save_returns_before_the_directory_is_synced() {
    assert_waits_for(Call::SyncDirectory);
}

#[test]
fn one_that_has_waited_too_long_is_never_made() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = tests::create(&directory);
    engine.lock_timeout = Duration::from_millis(50);
    let engine = Arc::new(engine);
    let leader = engine.writers.lead(&now()).unwrap();
    let threads = start(&engine, &["ada"], tests::save);
    for thread in threads {
        assert!(matches!(thread.join().unwrap(), Err(Error::Busy { .. })));
    }
    assert!(engine.writers.lead(&now()).is_err());
    drop(leader);
    tests::save(&engine, "grace").unwrap();
    assert_eq!(users(&engine), ["grace"]);
}

/// Another process has the lock: who leads waits for it in vain, and the next one after that.
#[test]
fn leader_that_fails_leaves_nothing_behind() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = tests::create(&directory);
    engine.lock_timeout = Duration::from_millis(50);
    let engine = Arc::new(engine);
    let lock = engine.file.lock(&now()).unwrap();
    assert!(matches!(tests::save(&engine, "ada"), Err(Error::Busy { .. })));
    assert_eq!(engine.writers.waiting(), 0);
    drop(lock);
    tests::save(&engine, "grace").unwrap();
    assert_eq!(users(&engine), ["grace"]);
}

#[test]
fn panic_of_the_leader_is_an_error_of_its_group_only() {
    let directory = tempfile::tempdir().unwrap();
    drop(tests::create(&directory));
    let panics = Arc::new(AtomicBool::new(true));
    let watched = panics.clone();
    let disk: Arc<dyn Disk> = Arc::new(Watched(move |call| {
        assert!(!(call == Call::Append && watched.swap(false, Ordering::SeqCst)), "a panic that the test wants");
        Ok(())
    }));
    let engine = Arc::new(tests::open_with(&directory, disk));
    let leader = engine.writers.lead(&now()).unwrap();
    let threads = start(&engine, &["ada", "grace", "alan"], |engine, name| {
        panic::catch_unwind(panic::AssertUnwindSafe(|| tests::save(engine, name)))
    });
    drop(leader);
    let results: Vec<_> = threads.into_iter().map(|thread| thread.join().unwrap()).collect();
    assert_eq!(results.iter().filter(|result| result.is_err()).count(), 1, "{results:?}");
    let is_internal = |result: &&thread::Result<Result<TokenId>>| matches!(result, Ok(Err(Error::Internal(_))));
    assert_eq!(results.iter().filter(is_internal).count(), 2, "{results:?}");
    assert!(users(&engine).is_empty());
    tests::save(&engine, "edsger").unwrap();
    assert!(engine.writers.queue.lock().finished.is_empty());
}
