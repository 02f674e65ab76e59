use std::{
    fs::{File, Permissions},
    os::unix::fs::{PermissionsExt, chown, symlink},
    sync::{
        Arc,
        atomic::{AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use super::*;
use crate::{
    error::UnsafePermissions,
    file::{Access, Disk, Os},
};

const NAME: &str = "0123";

fn store_in(directory: &Path) -> StoreFile {
    store_of(directory, 1 << 20)
}

fn store_of(directory: &Path, max_len: u64) -> StoreFile {
    let path = directory.join("store");
    if !path.exists() {
        Os.create_new(&path).unwrap();
    }
    StoreFile::existing(&path, Access::Checked, max_len, Arc::new(Os)).unwrap()
}

fn lock_file(directory: &Path) -> PathBuf {
    directory.join("store.claims").join(NAME)
}

fn mode(path: &Path) -> u32 {
    fs::symlink_metadata(path).unwrap().permissions().mode() & 0o7777
}

fn claim(file: &StoreFile) -> Box<ClaimLock> {
    Box::new(file.lock_or_wait(NAME, next_save()).unwrap().expect("the lock is free"))
}

/// As a process does that dies: nothing of ours runs.
fn die(lock: ClaimLock) {
    let mut lock = std::mem::ManuallyDrop::new(lock);
    drop(lock.lock.take());
    HELD.get().lock().remove(&lock.entry.path);
}

#[test]
fn lock_file_is_private_and_removed_after_use() {
    let directory = tempfile::tempdir().unwrap();
    let file = store_in(directory.path());
    let lock = claim(&file);
    assert!(lock.is_held() && !lock.was_left_unfinished());
    let path = lock_file(directory.path());
    assert_eq!((mode(&path), mode(path.parent().unwrap())), (0o600, 0o700));
    assert!(file.lock_or_wait(NAME, next_save()).unwrap().is_err());
    assert!(file.lock_or_wait("4567", next_save()).unwrap().is_ok(), "another token");
    lock.start().unwrap();
    lock.start().unwrap();
    assert_eq!(fs::metadata(&path).unwrap().len(), 1);
    // Where the file cannot be removed, as it has another name here.
    let other_name = directory.path().join("other name");
    fs::hard_link(&path, &other_name).unwrap();
    lock.finish();
    assert!(!path.exists());
    assert_eq!(fs::metadata(&other_name).unwrap().len(), 0, "no request is under way");
    drop(claim(&file));
    assert!(!path.exists(), "nothing was sent");
}

/// Handles of other processes do not look at this process's table.
#[test]
fn lock_is_the_kernels() {
    let directory = tempfile::tempdir().unwrap();
    let file = store_in(directory.path());
    let lock = claim(&file);
    HELD.get().lock().remove(&lock.entry.path);
    assert!(file.lock_or_wait(NAME, next_save()).unwrap().is_err());
    lock.finish();
    assert!(file.lock_or_wait(NAME, next_save()).unwrap().is_ok());
}

#[test]
fn next_holder_knows_of_an_unfinished_request() {
    let directory = tempfile::tempdir().unwrap();
    let file = store_in(directory.path());
    die(*claim(&file));
    let lock = claim(&file);
    assert!(!lock.was_left_unfinished(), "it had sent nothing");
    lock.start().unwrap();
    die(*lock);
    for _ in 0..2 {
        let lock = claim(&file);
        assert!(lock.was_left_unfinished());
        drop(lock);
    }
    claim(&file).finish();
    assert!(!claim(&file).was_left_unfinished());
}

/// Threads of several handles: no two hold the lock at a time, although its file is removed again and again.
#[test]
fn one_holds_the_lock_at_a_time() {
    let directory = tempfile::tempdir().unwrap();
    let (inside, turns) = (AtomicUsize::new(0), AtomicUsize::new(0));
    thread::scope(|scope| {
        for number in 0..4 {
            let file = store_in(directory.path());
            let (inside, turns) = (&inside, &turns);
            scope.spawn(move || {
                while turns.load(Ordering::SeqCst) < 500 {
                    let Ok(lock) = file.lock_or_wait(NAME, next_save()).unwrap() else { continue };
                    // So that the kernel's lock alone keeps the others out.
                    HELD.get().lock().remove(&lock.entry.path);
                    assert_eq!(inside.fetch_add(1, Ordering::SeqCst), 0);
                    assert!(lock.is_held());
                    turns.fetch_add(1, Ordering::SeqCst);
                    inside.fetch_sub(1, Ordering::SeqCst);
                    if number % 2 == 0 {
                        Box::new(lock).finish();
                    }
                }
            });
        }
    });
}

#[test]
fn removed_lock_file_ends_the_lock() {
    let directory = tempfile::tempdir().unwrap();
    let file = store_in(directory.path());
    let lock = claim(&file);
    fs::remove_dir_all(directory.path().join("store.claims")).unwrap();
    assert!(!lock.is_held());
    HELD.get().lock().remove(&lock.entry.path);
    let newcomer = claim(&file);
    assert!(newcomer.is_held());
    lock.finish();
    assert!(newcomer.is_held(), "the lock file of the newcomer stays");
}

/// A file of that length, which a save may append to.
fn next_save() -> NextSave {
    NextSave { compacted_len: 0, may_append: true, journal_end: 0 }
}

#[test]
fn anything_but_a_private_directory_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = store_in(directory.path());
    let claims = directory.path().join("store.claims");
    File::create(&claims).unwrap();
    let error = file.try_lock_token(NAME, next_save()).unwrap_err();
    assert!(error.to_string().contains("store.claims: not a directory"), "{error}");
    fs::remove_file(&claims).unwrap();
    let elsewhere = tempfile::tempdir().unwrap();
    symlink(elsewhere.path(), &claims).unwrap();
    assert!(file.try_lock_token(NAME, next_save()).is_err());
    assert_eq!(fs::read_dir(elsewhere.path()).unwrap().count(), 0);
    fs::remove_file(&claims).unwrap();

    fs::create_dir(&claims).unwrap();
    for mode in [0o770, 0o707, 0o1777] {
        fs::set_permissions(&claims, Permissions::from_mode(mode)).unwrap();
        let error = file.try_lock_token(NAME, next_save()).unwrap_err();
        let expected = UnsafePermissions::DirectoryMode { mode };
        assert!(matches!(&error, Error::UnsafePermissions { path, what } if *path == claims && *what == expected));
    }
    fs::set_permissions(&claims, Permissions::from_mode(0o755)).unwrap();
    drop(claim(&file));
    if rustix::process::geteuid().is_root() {
        chown(&claims, Some(1000), None).unwrap();
        let error = file.try_lock_token(NAME, next_save()).unwrap_err();
        assert!(matches!(error, Error::UnsafePermissions { what: UnsafePermissions::ForeignLock { owner: 1000 }, .. }));
    }
}

#[test]
fn anything_but_a_private_lock_file_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = store_in(directory.path());
    drop(claim(&file));
    let path = lock_file(directory.path());
    let refused = |what: &str| {
        let error = file.try_lock_token(NAME, next_save()).unwrap_err();
        assert!(error.to_string().contains(NAME), "{what}: {error}");
        error
    };

    fs::create_dir(&path).unwrap();
    refused("a directory");
    fs::remove_dir(&path).unwrap();
    let target = directory.path().join("target");
    symlink(&target, &path).unwrap();
    refused("a link");
    assert!(!target.exists());
    fs::remove_file(&path).unwrap();
    let fifo = std::process::Command::new("mkfifo").arg("-m600").arg(&path).status().unwrap();
    assert!(fifo.success());
    assert!(matches!(refused("a pipe"), Error::NotAFile { .. }));
    fs::remove_file(&path).unwrap();
    Os.create_new(&path).unwrap();
    fs::set_permissions(&path, Permissions::from_mode(0o666)).unwrap();
    assert!(matches!(refused("others may open it"), Error::UnsafePermissions { .. }));
    fs::set_permissions(&path, Permissions::from_mode(0o600)).unwrap();
    if rustix::process::geteuid().is_root() {
        chown(&path, Some(1000), None).unwrap();
        assert!(matches!(refused("another user's"), Error::UnsafePermissions { .. }));
        chown(&path, Some(0), None).unwrap();
    }
    claim(&file).finish();
}

/// Else a refresh token would be spent whose successor cannot be saved.
#[test]
fn lock_is_not_given_if_the_next_save_would_fail() {
    let directory = tempfile::tempdir().unwrap();
    let refused = store_of(directory.path(), GROWTH - 1).try_lock_token(NAME, next_save());
    assert!(matches!(refused, Err(Error::FileTooLarge { .. })));
    drop(claim(&store_of(directory.path(), GROWTH)));
    let file = store_in(directory.path());
    fs::set_permissions(directory.path().join("store"), Permissions::from_mode(0o600)).unwrap();
    fs::hard_link(directory.path().join("store"), directory.path().join("other name")).unwrap();
    assert!(matches!(file.try_lock_token(NAME, next_save()), Err(Error::UnsafePermissions { .. })));
    assert!(!lock_file(directory.path()).exists());
}

/// The kernel wakes the thread that waits, so the callers need not look again and again.
#[test]
fn end_of_another_process_lock_wakes_those_who_wait() {
    let directory = tempfile::tempdir().unwrap();
    let file = store_in(directory.path());
    drop(claim(&file));
    let path = lock_file(directory.path());
    let held = Os.create_new(&path).unwrap();
    held.lock().unwrap();
    let moment = lock_waiters::now();
    for _ in 0..3 {
        assert_eq!(file.lock_or_wait(NAME, next_save()).unwrap().err(), Some(WITH_WAKING));
    }
    let is_watched = || WATCHED.get().lock().contains(&path);
    assert!(is_watched());
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let started = std::time::Instant::now();
            while is_watched() {
                lock_waiters::wait(moment, Duration::from_secs(60));
            }
            started.elapsed()
        });
        thread::sleep(Duration::from_millis(100));
        drop(held);
        assert!(waiting.join().unwrap() < Duration::from_secs(30));
    });
    claim(&file).finish();
}

#[test]
fn copy_in_a_forked_child_leaves_the_childs_own_entry() {
    let path = Path::new("/of/a/test");
    let _own = Entry::make(path).unwrap();
    drop(Entry { path: path.to_owned(), process: process::id().wrapping_add(1) });
    assert!(Entry::make(path).is_none());
}
