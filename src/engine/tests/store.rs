use std::{fs, io, sync::Arc, thread, time::Instant};

use super::{super::*, at, create, create_with, delete, flaw, now, open, open_with, save, save_token, unlock, users};
use crate::{
    Keystore, Token,
    engine::sealing::THREAD_THRESHOLD,
    error::FileFlaw,
    file::{Access, Call, Disk, Os, Watched},
    format::{BODY_HEADER_LEN, length},
    status::NotOffered,
};

fn generation(engine: &Engine) -> u64 {
    engine.state.read().header.generation
}

fn records(engine: &Engine) -> u32 {
    engine.state.read().journal.record_count()
}

#[test]
fn every_function_of_a_path_refuses_an_empty_one() {
    let unlock = unlock();
    for refused in [
        Keystore::open("", &unlock).map(|_| ()),
        Keystore::create("", &unlock).map(|_| ()),
        Keystore::open_or_create("", &unlock).map(|_| ()),
        Keystore::open_any("", [&unlock]).map(|_| ()),
        Keystore::verify_file("").map(|_| ()),
    ] {
        assert!(matches!(refused, Err(Error::EmptyPath)), "{refused:?}");
    }
}

#[test]
fn generation_counts_replacements_and_nothing_else() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    assert_eq!(generation(&engine), 1);
    save(&engine, "ada").unwrap();
    save(&engine, "grace").unwrap();
    assert_eq!((generation(&engine), records(&engine)), (1, 2));
    engine.compact().unwrap();
    assert!(delete(&engine, "1").unwrap());
    assert_eq!((generation(&engine), records(&engine)), (3, 0));
    let bytes = fs::read(at(&directory)).unwrap();
    assert!(!delete(&engine, "none").unwrap());
    assert!(save_token(&engine, &Token::builder().build()).is_err());
    assert_eq!((generation(&engine), fs::read(at(&directory)).unwrap()), (3, bytes));
}

#[test]
fn several_changes_are_one_record() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let both = engine.transaction(|changes| {
        let one = changes.namespace("").save(&Token::builder().user_name("ada").access_token("a").build())?;
        let other = changes.namespace("").save(&Token::builder().user_name("grace").access_token("a").build())?;
        Ok([one, other])
    });
    assert_eq!(both.unwrap(), ["1".into(), "2".into()]);
    assert_eq!((generation(&engine), records(&engine)), (1, 1));
    assert_eq!(users(&open(&directory)).unwrap(), ["ada", "grace"]);
    engine.transaction(|changes| Ok(changes.namespace("").delete(&"1".into()))).unwrap();
    assert_eq!((generation(&engine), records(&engine)), (2, 0));
}

#[test]
fn store_without_other_writers_is_not_read_again() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    save(&engine, "ada").unwrap();
    let address = |engine: &Engine| {
        engine.read("", |index| index.get(0).map(|token| std::ptr::from_ref(token.fields()))).unwrap()
    };
    let loaded = address(&engine);
    assert_eq!(address(&engine), loaded);
    save(&engine, "alan").unwrap();
    assert_eq!(address(&engine), loaded, "nor to write to it");
    // Written by another.
    let other = open(&directory);
    save(&other, "grace").unwrap();
    assert_eq!(users(&engine).unwrap(), ["ada", "alan", "grace"]);
    assert_eq!(address(&engine), loaded, "only what was appended is read");
    other.compact().unwrap();
    assert_eq!(users(&engine).unwrap(), ["ada", "alan", "grace"]);
    assert_ne!(address(&engine), loaded);
}

#[cfg(unix)]
#[test]
fn a_read_waits_for_no_writer() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let other = open(&directory);
    let _lead = engine.writers.lead(&now()).unwrap();
    save(&other, "ada").unwrap();
    let _lock = other.file.lock(&now()).unwrap();
    assert_eq!(users(&engine).unwrap(), ["ada"]);
    let _gate = engine.gate.lock();
    assert_eq!(users(&engine).unwrap(), ["ada"], "what is in memory needs no gate");
}

#[cfg(unix)]
#[test]
fn a_file_that_was_touched_is_still_the_same() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    save(&engine, "ada").unwrap();
    let file = fs::File::options().append(true).open(at(&directory)).unwrap();
    file.set_modified(std::time::SystemTime::UNIX_EPOCH).unwrap();
    assert_eq!(users(&engine).unwrap(), ["ada"]);
    save(&engine, "grace").unwrap();
    // So is one that a tool has copied back.
    let bytes = fs::read(at(&directory)).unwrap();
    fs::write(at(&directory), bytes).unwrap();
    assert_eq!(users(&engine).unwrap(), ["ada", "grace"]);
}

/// The first bytes are as they were, but what follows them is not.
#[cfg(unix)]
#[test]
fn file_damaged_in_place_is_neither_read_nor_overwritten() {
    let damages: [fn(&mut Vec<u8>); 3] = [|file| file.truncate(200), |file| file[200] ^= 1, |file| file[400] ^= 1];
    for damage in damages {
        let directory = tempfile::tempdir().unwrap();
        let engine = create(&directory);
        save(&engine, "ada").unwrap();
        let mut bytes = fs::read(at(&directory)).unwrap();
        damage(&mut bytes);
        fs::write(at(&directory), &bytes).unwrap();
        for flaw in [flaw(&directory, users(&engine)), flaw(&directory, save(&engine, "grace"))] {
            let is_known = matches!(flaw, FileFlaw::Truncated { .. } | FileFlaw::DamagedHeader | FileFlaw::Tampered);
            assert!(is_known, "{flaw:?}");
        }
        assert_eq!(fs::read(at(&directory)).unwrap(), bytes);
    }
}

/// As where two changes are so close that the times of the file are the same.
#[cfg(unix)]
#[test]
fn change_in_place_with_old_times_is_seen_by_the_next_save() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    save(&engine, "ada").unwrap();
    let written = fs::read(at(&directory)).unwrap();
    let changes = [(BODY_HEADER_LEN - 1, FileFlaw::DamagedHeader), (written.len() - 1, FileFlaw::Tampered)];
    for (place, expected) in changes {
        let mut bytes = written.clone();
        bytes[place] ^= 1;
        fs::write(at(&directory), &bytes).unwrap();
        engine.state.write().pinned = engine.file.open().unwrap().pin();
        assert_eq!(flaw(&directory, save(&engine, "grace")), expected);
        assert_eq!(fs::read(at(&directory)).unwrap(), bytes);
    }
}

/// Else its bytes would stay on the disk until the store is closed.
#[cfg(target_os = "linux")]
#[test]
fn a_large_file_that_was_replaced_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    for user in ["ada", "grace", "edsger", "barbara", "donald", "tony", "niklaus"] {
        let token = Token::builder().user_name(user).access_token("a".repeat(Token::MAX_FIELD_LEN)).build();
        save_token(&engine, &token).unwrap();
        engine.compact().unwrap();
    }
    assert!(fs::metadata(at(&directory)).unwrap().len() > length(THREAD_THRESHOLD));
    let replaced = format!("{} (deleted)", directory.path().canonicalize().unwrap().join("store").display());
    let are_open = || {
        let handles =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|handle| fs::read_link(handle.unwrap().path()).ok());
        handles.filter(|file| file.as_os_str() == replaced.as_str()).count()
    };
    let started = Instant::now();
    while are_open() > 0 {
        assert!(started.elapsed() < Duration::from_secs(30), "{} are open still", are_open());
        thread::sleep(Duration::from_millis(1));
    }
}

/// How much this thread has read so far, where the system counts it.
fn bytes_read() -> u64 {
    let counts = fs::read_to_string("/proc/thread-self/io").unwrap_or_default();
    let read = counts.lines().find_map(|line| line.strip_prefix("rchar: "));
    read.map_or(0, |count| count.parse().unwrap())
}

/// A gibibyte of nothing.
#[test]
fn a_huge_file_that_is_no_keystore_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let patient = || StoreFile::existing(&at(&directory), Access::Checked, u64::MAX, Arc::new(Os)).unwrap();
    create(&directory);
    let engine = Engine::open(patient(), &unlock(), Duration::ZERO).unwrap();
    let file = fs::File::options().write(true).open(at(&directory)).unwrap();
    file.set_len(0).unwrap();
    file.set_len(1 << 30).unwrap();
    let before = bytes_read();
    assert_eq!(flaw(&directory, users(&engine)), FileFlaw::NotAKeystore);
    assert_eq!(flaw(&directory, Engine::open(patient(), &unlock(), Duration::ZERO)), FileFlaw::NotAKeystore);
    assert!(bytes_read() - before < 1 << 20, "{} bytes were read", bytes_read() - before);
}

#[test]
fn a_forked_child_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let mut engine = create(&directory);
    engine.process = engine.process.wrapping_add(1);
    assert!(matches!(users(&engine), Err(Error::Forked { .. })));
    assert!(matches!(save(&engine, "ada"), Err(Error::Forked { .. })));
}

/// A disk that cannot sync directories any more.
fn failing_folder_sync() -> Arc<dyn Disk> {
    Arc::new(Watched(|call| match call {
        Call::SyncDirectory => Err(io::Error::other("the disk is on fire")),
        _ => Ok(()),
    }))
}

#[cfg(unix)]
#[test]
fn unsynced_change_is_reported_with_its_id_and_adopted() {
    let directory = tempfile::tempdir().unwrap();
    create(&directory);
    let engine = open_with(&directory, failing_folder_sync());
    match save(&engine, "ada") {
        Err(Error::DurabilityUnknown { id: Some(id), .. }) => assert_eq!(id.as_str(), "1"),
        other => panic!("expected DurabilityUnknown, got {other:?}"),
    }
    assert_eq!(users(&engine).unwrap(), ["ada"]);
    assert_eq!(users(&open(&directory)).unwrap(), ["ada"]);
    assert_eq!(generation(&engine), 2);
}

#[cfg(unix)]
#[test]
fn creating_with_unknown_durability_leaves_a_store_that_opens() {
    let directory = tempfile::tempdir().unwrap();
    let file = StoreFile::new(&at(&directory), Access::Checked, 1 << 20, failing_folder_sync()).unwrap();
    let created = Engine::create(file, &unlock(), Duration::from_secs(5));
    assert!(matches!(created, Err(Error::DurabilityUnknown { id: None, .. })));
    assert_eq!(users(&open(&directory)).unwrap(), Vec::<String>::new());
}

#[test]
fn a_store_that_would_grow_over_the_limit_is_refused_and_stays() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let len = fs::metadata(at(&directory)).unwrap().len();
    let file = StoreFile::existing(&at(&directory), Access::Checked, len, Arc::new(Os)).unwrap();
    let engine = Engine::open(file, &unlock(), Duration::from_secs(5)).unwrap();
    save(&engine, "ada").unwrap();
    let large = Token::builder().user_name("grace").access_token("x".repeat(5000)).build();
    match save_token(&engine, &large) {
        Err(Error::FileTooLarge { path, size, limit }) => {
            assert_eq!((path.as_path(), size, limit), (engine.path(), len + 4096, len));
        }
        other => panic!("expected FileTooLarge, got {other:?}"),
    }
    assert_eq!(users(&open(&directory)).unwrap(), ["ada"]);
}

#[test]
fn a_new_store_over_the_limit_is_not_made() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let len = fs::metadata(at(&directory)).unwrap().len();
    fs::remove_file(at(&directory)).unwrap();
    let make = |max_len| {
        let file = StoreFile::new(&at(&directory), Access::Checked, max_len, Arc::new(Os)).unwrap();
        Engine::create(file, &unlock(), Duration::ZERO)
    };
    match make(len - 1) {
        Err(Error::FileTooLarge { size, limit, .. }) => assert_eq!((size, limit), (len, len - 1)),
        other => panic!("expected FileTooLarge, got {other:?}"),
    }
    assert!(!at(&directory).exists());
    make(len).unwrap();
}

#[cfg(unix)]
#[test]
fn file_system_without_directory_sync_is_used_and_reported() {
    let directory = tempfile::tempdir().unwrap();
    let cannot = Arc::new(Watched(|call| match call {
        Call::SyncDirectory => Err(io::ErrorKind::InvalidInput.into()),
        _ => Ok(()),
    }));
    let engine = create_with(&directory, cannot);
    save(&engine, "ada").unwrap();
    let status = engine.status().unwrap();
    assert_eq!(status.not_offered, [NotOffered::DirectorySync]);
    assert!(open(&directory).status().unwrap().not_offered.is_empty());
}

/// A retry that finds nothing left to do says that it is done, so it has to be.
#[cfg(unix)]
#[test]
fn retry_confirms_a_change_that_was_not_synced() {
    let directory = tempfile::tempdir().unwrap();
    create(&directory);
    let failing = Arc::new(std::sync::atomic::AtomicBool::new(true));
    let watched = failing.clone();
    let disk = Watched(move |call| match call {
        Call::SyncDirectory if watched.load(std::sync::atomic::Ordering::SeqCst) => Err(io::Error::other("on fire")),
        _ => Ok(()),
    });
    let engine = open_with(&directory, Arc::new(disk));
    assert!(save(&engine, "ada").is_err());
    let delete = || delete(&engine, "1");
    assert!(matches!(delete(), Err(Error::DurabilityUnknown { .. })));
    assert!(matches!(delete(), Err(Error::DurabilityUnknown { .. })), "nothing to do, but not known to be done");
    let touch = |seconds| {
        let file = fs::File::options().append(true).open(at(&directory)).unwrap();
        file.set_modified(std::time::SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
    };
    touch(0);
    assert!(matches!(delete(), Err(Error::DurabilityUnknown { .. })), "nor because the file was read again");
    failing.store(false, std::sync::atomic::Ordering::SeqCst);
    assert!(!delete().unwrap());
    failing.store(true, std::sync::atomic::Ordering::SeqCst);
    assert!(!delete().unwrap(), "what is confirmed stays so");
    touch(1);
    assert!(matches!(delete(), Err(Error::DurabilityUnknown { .. })), "another writer may have made this file");
}

/// Verifying and backing up look at the file while others write, through the same handle too.
#[test]
fn file_opened_before_a_commit_is_no_rollback() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let (baseline, opened) = (engine.state.read().baseline(), engine.file.open().unwrap());
    save(&engine, "ada").unwrap();
    let mut bytes = super::super::freshness::read_all(&opened).unwrap();
    assert_eq!(engine.load(&baseline, opened, &mut bytes).unwrap().header, baseline.header);
    assert_eq!(users(&engine).unwrap(), ["ada"]);
}

/// `wait_for_change` sees a commit of its own handle at once, and looks for those of others each 80 ms.
#[test]
fn commit_wakes_those_that_wait() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let commits = || *engine.commits.lock();
    let before = commits();
    save(&engine, "ada").unwrap();
    assert_eq!(commits(), before + 1);
    engine.transaction(|changes| changes.namespace("n").save(&Token::builder().access_token("a").build())).unwrap();
    assert_eq!(commits(), before + 2);
    users(&engine).unwrap();
    assert_eq!(commits(), before + 2);
    assert!(version::BETWEEN_LOOKS <= Duration::from_millis(80));
}

/// Another program writes without the lock while a transaction is made.
#[test]
fn transaction_on_a_state_that_was_replaced_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let bytes = fs::read(at(&directory)).unwrap();
    save(&open(&directory), "grace").unwrap();
    let newer = fs::read(at(&directory)).unwrap();
    fs::write(at(&directory), bytes).unwrap();
    let refused = open(&directory).transaction(|changes| {
        changes.namespace("").save(&Token::builder().user_name("ada").access_token("a").build())?;
        fs::write(at(&directory), &newer).unwrap();
        Ok(())
    });
    assert!(matches!(refused, Err(Error::ChangedMeanwhile { .. })), "{refused:?}");
    assert_eq!(fs::read(at(&directory)).unwrap(), newer);
}
