use std::{
    fs, io,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    sync::atomic::{AtomicBool, AtomicUsize, Ordering},
    thread,
    time::SystemTime,
};

use tempfile::TempDir;

use super::{super::*, at, create, delete, open, open_with, save, save_token, unlock};
use crate::{
    engine::sealing::THREAD_THRESHOLD,
    file::{Access, Call, Disk, Os, StoreFile, Watched},
    format::length,
};

fn open_at(path: &Path, disk: Arc<dyn Disk>) -> Engine {
    let file = StoreFile::existing(path, Access::Checked, 64 << 20, disk).unwrap();
    Engine::open(file, &unlock(), Duration::from_secs(5)).unwrap()
}

fn watched(watch: impl Fn(Call) -> io::Result<()> + Send + Sync + 'static) -> Arc<dyn Disk> {
    Arc::new(Watched(watch))
}

fn users(engine: &Engine) -> Result<usize> {
    engine.read("", |index| index.iter().count())
}

/// A store in `41`, a copy of it in `42`, and a link `current` to `41`.
fn releases() -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    for release in ["41", "42"] {
        fs::create_dir(directory.path().join(release)).unwrap();
    }
    drop(create(&directory));
    fs::copy(at(&directory), directory.path().join("42/s.keep")).unwrap();
    fs::rename(at(&directory), directory.path().join("41/s.keep")).unwrap();
    symlink("41", directory.path().join("current")).unwrap();
    let path = directory.path().join("current/s.keep");
    (directory, path)
}

fn switch(directory: &Path) {
    fs::remove_file(directory.join("current")).unwrap();
    symlink("42", directory.join("current")).unwrap();
}

/// The bytes of all files below the directory, with their paths.
fn contents(directory: &Path) -> Vec<(PathBuf, Vec<u8>)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(directory).unwrap() {
        let entry = entry.unwrap();
        match entry.file_type().unwrap() {
            kind if kind.is_dir() => found.extend(contents(&entry.path())),
            kind if kind.is_file() => found.push((entry.path(), fs::read(entry.path()).unwrap())),
            _ => {}
        }
    }
    found.sort();
    found
}

#[test]
fn save_where_a_directory_link_was_exchanged_is_refused() {
    let (directory, path) = releases();
    let engine = open_at(&path, Arc::new(Os));
    save(&engine, "ada").unwrap();
    switch(directory.path());
    let before = contents(directory.path());
    let refused: [Result<()>; 3] =
        [save(&engine, "grace").map(drop), delete(&engine, "7").map(drop), users(&engine).map(drop)];
    for refused in refused {
        match refused {
            Err(Error::PathChanged { path: given, opened }) => {
                assert_eq!(given, path);
                assert!(opened.ends_with("41/s.keep"), "{opened:?}");
            }
            other => panic!("expected PathChanged, got {other:?}"),
        }
    }
    assert_eq!(contents(directory.path()), before);
    assert_eq!(users(&open_at(&path, Arc::new(Os))).unwrap(), 0);

    // A save to the file that is no longer at the path makes that file longer.
    save(&open_at(&directory.path().join("41/s.keep"), Arc::new(Os)), "grace").unwrap();
    assert!(matches!(users(&engine), Err(Error::PathChanged { .. })));
}

/// The link is exchanged after the lock was taken and before the append or the rename.
#[test]
fn link_that_is_exchanged_during_a_save_is_noticed() {
    let appended = |engine: &Engine| save(engine, "ada").map(drop);
    let replaced = |engine: &Engine| engine.compact();
    for write in [appended, replaced] as [fn(&Engine) -> Result<()>; 2] {
        let (directory, path) = releases();
        let root = directory.path().to_owned();
        let once = AtomicBool::new(false);
        let disk = watched(move |call| {
            if call == Call::Sync && !once.swap(true, Ordering::SeqCst) {
                switch(&root);
            }
            Ok(())
        });
        let engine = open_at(&path, disk);
        let files = || ["41/s.keep", "42/s.keep"].map(|file| fs::read(directory.path().join(file)).unwrap());
        let before = files();
        assert!(matches!(write(&engine), Err(Error::PathChanged { .. })));
        assert_eq!(files(), before);
    }
}

/// The old directory is left as it is, or is gone.
#[test]
fn no_lock_file_is_put_where_the_path_no_longer_leads() {
    let (directory, path) = releases();
    let engine = open_at(&path, Arc::new(Os));
    let old = directory.path().join("41");
    switch(directory.path());
    assert!(matches!(save(&engine, "ada"), Err(Error::PathChanged { .. })));
    assert!(!old.join("s.keep.lock").exists());
    fs::remove_dir_all(&old).unwrap();
    assert!(matches!(save(&engine, "ada"), Err(Error::PathChanged { .. })));
    assert!(matches!(users(&engine), Err(Error::PathChanged { .. })));
}

#[test]
fn save_where_a_link_became_a_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let link = directory.path().join("link.keep");
    symlink(at(&directory), &link).unwrap();
    let engine = open_at(&link, Arc::new(Os));
    save(&engine, "ada").unwrap();
    fs::remove_file(&link).unwrap();
    fs::copy(at(&directory), &link).unwrap();
    assert!(matches!(save(&engine, "grace"), Err(Error::PathChanged { .. })));
    assert_eq!(users(&open(&directory)).unwrap(), 1);
    assert_eq!(users(&open_at(&link, Arc::new(Os))).unwrap(), 1);
}

#[test]
fn file_that_became_a_link_to_itself_is_not_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let moved = directory.path().join("moved.keep");
    fs::rename(at(&directory), &moved).unwrap();
    symlink(&moved, at(&directory)).unwrap();
    assert!(matches!(save(&engine, "ada"), Err(Error::PathChanged { .. } | Error::NotAFile { .. })));
    assert!(at(&directory).is_symlink());
}

/// The file is the same, and the path leads to it by another way: nothing may be called done there.
#[test]
fn directory_that_became_a_link_to_itself_is_noticed() {
    let (directory, _) = releases();
    let engine = open_at(&directory.path().join("41/s.keep"), Arc::new(Os));
    fs::rename(directory.path().join("41"), directory.path().join("43")).unwrap();
    symlink("43", directory.path().join("41")).unwrap();
    assert!(matches!(delete(&engine, "7"), Err(Error::PathChanged { .. })));
}

#[test]
fn new_store_is_not_put_where_the_path_no_longer_leads() {
    let (directory, _) = releases();
    let path = directory.path().join("current/new.keep");
    let root = directory.path().to_owned();
    let disk = watched(move |call| {
        if call == Call::Sync {
            switch(&root);
        }
        Ok(())
    });
    let file = StoreFile::new(&path, Access::Checked, 1 << 20, disk).unwrap();
    let refused = Engine::create(file, &unlock(), Duration::from_secs(5));
    assert!(matches!(refused, Err(Error::PathChanged { .. })), "{refused:?}");
    assert!(!path.exists() && !directory.path().join("41/new.keep").exists());
}

/// Counts the syncs of files and of directories.
fn counting() -> (Arc<dyn Disk>, Arc<[AtomicUsize; 2]>) {
    let counts: Arc<[AtomicUsize; 2]> = Arc::default();
    let counted = counts.clone();
    let disk = watched(move |call| {
        match call {
            Call::Sync | Call::SyncData => counted[0].fetch_add(1, Ordering::SeqCst),
            Call::SyncDirectory => counted[1].fetch_add(1, Ordering::SeqCst),
            _ => 0,
        };
        Ok(())
    });
    (disk, counts)
}

fn take(counts: &[AtomicUsize; 2]) -> [usize; 2] {
    [0, 1].map(|which| counts[which].swap(0, Ordering::SeqCst))
}

/// The process that wrote the state may have been killed between the rename and the sync of the directory.
#[test]
fn loaded_state_is_synced_by_an_operation_with_nothing_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let writer = create(&directory);
    let (disk, counts) = counting();
    let reader = open_with(&directory, disk);
    assert_eq!(users(&reader).unwrap(), 0);
    assert_eq!(take(&counts), [0, 0], "a find syncs nothing");
    assert!(!delete(&reader, "1").unwrap());
    assert_eq!(take(&counts), [1, 1]);
    assert!(!delete(&reader, "1").unwrap());
    assert_eq!(take(&counts), [0, 0], "it is synced already");
    save(&writer, "ada").unwrap();
    assert!(!delete(&reader, "7").unwrap());
    assert_eq!(take(&counts), [1, 1], "another handle has written");
    save(&reader, "grace").unwrap();
    assert_eq!(take(&counts), [1, 0], "a record");
    assert!(!delete(&reader, "7").unwrap());
    assert_eq!(take(&counts), [0, 0]);
    reader.compact().unwrap();
    assert_eq!(take(&counts), [1, 1], "a new file");
    assert!(!delete(&reader, "7").unwrap());
    assert_eq!(take(&counts), [0, 0]);
}

/// Else a power cut might leave the file without its name, or a record after one that is missing.
#[test]
fn loaded_state_is_synced_before_anything_is_appended() {
    let directory = tempfile::tempdir().unwrap();
    let writer = create(&directory);
    let calls = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let noted = calls.clone();
    let disk = watched(move |call| {
        noted.lock().push(call);
        Ok(())
    });
    let other = open_with(&directory, disk);
    let taken = || {
        let order = [Call::Sync, Call::SyncDirectory, Call::Append, Call::SyncData];
        std::mem::take(&mut *calls.lock()).into_iter().filter(|call| order.contains(call)).collect::<Vec<_>>()
    };
    let (own, loaded) = ([Call::Append, Call::SyncData], [Call::Sync, Call::SyncDirectory]);
    save(&other, "ada").unwrap();
    assert_eq!(taken(), [loaded, own].concat());
    save(&other, "grace").unwrap();
    assert_eq!(taken(), own, "its own record is synced already");
    save(&writer, "alan").unwrap();
    assert_eq!(users(&other).unwrap(), 3);
    save(&other, "edsger").unwrap();
    assert_eq!(taken(), [loaded, own].concat());
    writer.compact().unwrap();
    save(&other, "barbara").unwrap();
    assert_eq!(taken(), [loaded, own].concat());
}

/// After a failed sync of the loaded file the system may have dropped some of its bytes, and calls the next one a
/// success.
#[test]
fn file_that_could_not_be_synced_is_never_synced_again() {
    let directory = tempfile::tempdir().unwrap();
    save(&create(&directory), "ada").unwrap();
    let failing = Arc::new(AtomicUsize::new(2));
    let syncs = failing.clone();
    let disk = watched(move |call| match call {
        Call::Sync if syncs.load(Ordering::SeqCst) == 2 => {
            syncs.store(1, Ordering::SeqCst);
            Err(io::Error::other("on fire"))
        }
        Call::Create if syncs.load(Ordering::SeqCst) == 1 => Err(io::Error::other("on fire")),
        _ => Ok(()),
    });
    let engine = open_with(&directory, disk);
    let before = fs::read(at(&directory)).unwrap();
    assert!(save(&engine, "grace").is_err());
    assert!(save(&engine, "grace").is_err());
    assert!(delete(&engine, "7").is_err(), "nothing to do, but not known to be on the disk");
    assert_eq!(fs::read(at(&directory)).unwrap(), [&before[..], &[0]].concat());
    // The sync of another handle would not fail.
    let other = open(&directory);
    assert!(other.status().unwrap().journal.is_torn);
    failing.store(0, Ordering::SeqCst);
    save(&other, "grace").unwrap();
    save(&engine, "alan").unwrap();
    assert_ne!(fs::read(at(&directory)).unwrap()[..4096], before[..4096]);
    let (generation, records) =
        engine.read_state(|state| (state.header.generation, state.journal.record_count())).unwrap();
    assert_eq!((generation, records), (2, 1));
}

/// The next sync would be a success, also for bytes that the system has dropped.
#[test]
fn failed_sync_of_a_file_that_cannot_be_marked_is_remembered() {
    let directory = tempfile::tempdir().unwrap();
    save(&create(&directory), "ada").unwrap();
    let syncs = Arc::new(AtomicUsize::new(0));
    let disk = watched(move |call| match call {
        Call::Sync if syncs.fetch_add(1, Ordering::SeqCst) == 0 => Err(io::Error::other("on fire")),
        Call::Create | Call::OpenToAppend => Err(io::Error::other("on fire")),
        _ => Ok(()),
    });
    let engine = open_with(&directory, disk);
    let before = fs::read(at(&directory)).unwrap();
    for _ in 0..2 {
        assert!(delete(&engine, "7").is_err(), "nothing to do, but not known to be on the disk");
    }
    assert_eq!(fs::read(at(&directory)).unwrap(), before);
}

#[test]
fn unsynced_delete_is_not_forgotten_when_another_handle_saves() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let failing = Arc::new(AtomicBool::new(false));
    let disk = || {
        let failing = failing.clone();
        watched(move |call| match call {
            Call::SyncDirectory if failing.load(Ordering::SeqCst) => Err(io::Error::other("on fire")),
            _ => Ok(()),
        })
    };
    let (a, b) = (open_with(&directory, disk()), open_with(&directory, disk()));
    save(&a, "ada").unwrap();
    failing.store(true, Ordering::SeqCst);
    assert!(matches!(delete(&a, "1"), Err(Error::DurabilityUnknown { .. })));
    assert!(matches!(save(&b, "grace"), Err(Error::DurabilityUnknown { .. })));
    assert!(matches!(delete(&a, "1"), Err(Error::DurabilityUnknown { .. })));
    failing.store(false, Ordering::SeqCst);
    assert!(!delete(&a, "1").unwrap());
}

/// After a failed sync of a file the system may have dropped some of its bytes.
#[test]
fn file_that_cannot_be_synced_is_written_again() {
    let directory = tempfile::tempdir().unwrap();
    save(&create(&directory), "ada").unwrap();
    let once = AtomicBool::new(true);
    let disk = watched(move |call| match call {
        Call::Sync if once.swap(false, Ordering::SeqCst) => Err(io::Error::other("on fire")),
        _ => Ok(()),
    });
    let engine = open_with(&directory, disk);
    let before = fs::read(at(&directory)).unwrap();
    assert!(!delete(&engine, "7").unwrap());
    assert_ne!(fs::read(at(&directory)).unwrap()[..4096], before[..4096], "not only marked");
    assert_eq!(users(&open(&directory)).unwrap(), 1);
}

/// After a shutdown XFS calls the sync of a directory a success, and a question for metadata ends in EIO.
#[test]
fn metadata_error_after_a_sync_means_unknown_durability() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let disk = watched(|call| match call {
        Call::Look => Err(io::Error::other("input/output error")),
        _ => Ok(()),
    });
    let engine = open_with(&directory, disk);
    assert!(matches!(save(&engine, "ada"), Err(Error::DurabilityUnknown { id: Some(_), .. })));
    assert!(matches!(delete(&engine, "7"), Err(Error::DurabilityUnknown { .. })));
}

fn set_modified(path: &Path, seconds: u64) {
    let file = fs::File::options().append(true).open(path).unwrap();
    file.set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(seconds)).unwrap();
}

/// A program touches the file while its replacement is written.
#[test]
fn touched_file_fails_no_save() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let path = at(&directory);
    let times = AtomicUsize::new(0);
    let disk = watched(move |call| {
        if call == Call::Sync {
            set_modified(&path, times.fetch_add(1, Ordering::SeqCst) as u64);
        }
        Ok(())
    });
    let engine = open_with(&directory, disk);
    for user in 0..10 {
        save(&engine, &user.to_string()).unwrap();
        engine.compact().unwrap();
    }
    // The places of rows in memory have gaps now, which those of a reloaded file have not.
    for id in ["2", "3", "7"] {
        assert!(delete(&engine, id).unwrap());
    }
    for user in [9, 0, 5] {
        save(&engine, &user.to_string()).unwrap();
    }
    let tokens =
        |engine: &Engine| engine.read("", |index| index.iter().map(|(_, token)| token.clone()).collect::<Vec<_>>());
    assert_eq!(tokens(&engine).unwrap(), tokens(&open(&directory)).unwrap());
    assert_eq!(users(&engine).unwrap(), 7);
}

/// A backup program that restores the time of the last access, a thousand times a second.
#[test]
fn restored_access_times_fail_no_save() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let (path, stop) = (at(&directory), AtomicBool::new(false));
    thread::scope(|scope| {
        scope.spawn(|| {
            for seconds in 0.. {
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                // The file may just be replaced.
                let accessed = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
                let times = fs::FileTimes::new().set_accessed(accessed);
                let _ = fs::File::open(&path).and_then(|file| file.set_times(times));
                thread::sleep(Duration::from_millis(1));
            }
        });
        let saved: Vec<_> = (0..200).map(|user| save(&engine, &user.to_string())).collect();
        stop.store(true, Ordering::SeqCst);
        let failed: Vec<_> = saved.into_iter().filter_map(Result::err).collect();
        assert!(failed.is_empty(), "{failed:?}");
    });
    assert_eq!(users(&open(&directory)).unwrap(), 200);
}

/// A forked child has no thread that would ever finish closing.
#[test]
fn closing_thread_that_never_ends_stops_no_save() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    engine.is_closing.store(true, Ordering::SeqCst);
    for user in ["ada", "grace", "alan"] {
        let token =
            crate::Token::builder().user_name(user).access_token("a".repeat(crate::Token::MAX_FIELD_LEN)).build();
        let attributes = ["1", "2", "3"].map(|name| (name, "x".repeat(60 * 1024)));
        let token =
            attributes.iter().fold(token.to_builder(), |token, (name, value)| token.attribute(*name, value.as_str()));
        let token = token.build();
        save_token(&engine, &token).unwrap();
        engine.compact().unwrap();
    }
    assert!(fs::metadata(at(&directory)).unwrap().len() > length(THREAD_THRESHOLD));
    assert_eq!(users(&engine).unwrap(), 3);
}

#[test]
fn strays_are_looked_for_at_first_and_with_changed_slots() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let engine = open(&directory);
    let stray = |digit: char| {
        let name = format!("{}.{}.tmp", at(&directory).display(), digit.to_string().repeat(16));
        fs::write(&name, "").unwrap();
        PathBuf::from(name)
    };
    let first = stray('1');
    save(&engine, "ada").unwrap();
    assert!(first.exists(), "an append needs no look");
    engine.compact().unwrap();
    assert!(!first.exists());
    let second = stray('2');
    engine.compact().unwrap();
    assert!(second.exists(), "each replacement lists the directory");
    let id = engine.add_slot(&crate::unlock::RecoveryKey::generate().unwrap().into()).unwrap();
    assert!(!second.exists());
    let third = stray('3');
    engine.remove_slot(id).unwrap();
    assert!(!third.exists());
}

#[test]
fn last_generation_is_reported_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    engine.state.write().header.generation = u64::MAX;
    match save(&engine, "ada") {
        Err(Error::NoGenerationLeft { path }) => assert_eq!(path, engine.path()),
        other => panic!("expected NoGenerationLeft, got {other:?}"),
    }
    assert!(matches!(engine.remove_slot(crate::id::SlotId([0; 16])), Err(Error::NoGenerationLeft { .. })));
}
