// Tests that are for Unix only need what other systems lack: files with a stamp, directories that can be synced, lock
// files that can be deleted while they are open, names that differ by case.

#[cfg(unix)]
mod append;

use std::{
    sync::atomic::{AtomicUsize, Ordering},
    time::Duration,
};

use super::{names::sibling, replacement::Replacement, *};
use crate::{error::UnsafePermissions, format::length};

/// A disk whose nth call fails, and a count of the calls.
fn failing_at(at: usize) -> (Arc<dyn Disk>, Arc<AtomicUsize>) {
    let calls = Arc::new(AtomicUsize::new(0));
    let counted = calls.clone();
    let disk = Watched(move |call| {
        let failing = call != Call::Remove && counted.fetch_add(1, Ordering::SeqCst) == at;
        if failing { Err(io::Error::from(io::ErrorKind::StorageFull)) } else { Ok(()) }
    });
    (Arc::new(disk), calls)
}

fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> =
        fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
    names.sort();
    names
}

fn existing(path: &Path, disk: Arc<dyn Disk>) -> StoreFile {
    StoreFile::existing(path, Access::Checked, 1 << 20, disk).unwrap()
}

fn lock(file: &StoreFile) -> Lock {
    file.lock(&now()).unwrap()
}

fn after(most: Duration) -> Deadline {
    Deadline::after(most, Path::new("store"))
}

/// No wait at all.
fn now() -> Deadline {
    after(Duration::ZERO)
}

/// Replaces the file as it is now.
fn replace(file: &StoreFile, parts: &[&[u8]]) -> Result<Replacement> {
    let opened = file.open()?.pin();
    let lock = lock(file);
    file.prepare(Some(&lock), parts)?.replace(&lock, &opened)
}

fn private_file(directory: &Path, bytes: &[u8]) -> PathBuf {
    let path = directory.join("store");
    let file = Os.create_new(&path).unwrap();
    Os.write_all(&file, &[bytes]).unwrap();
    path
}

#[test]
fn replacement_has_all_parts_and_leaves_nothing_beside_it() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"old");
    let file = existing(&path, Arc::new(Os));
    let replacement = replace(&file, &[b"new ", b"bytes"]).unwrap();
    assert!(replacement.durability.is_synced());
    assert_eq!(fs::read(&path).unwrap(), b"new bytes");
    assert_eq!(file.stamp().unwrap().as_ref(), replacement.pinned.stamp());
    let opened = file.open().unwrap();
    assert_eq!((&**opened.read_all().unwrap(), &*opened.read_start(3).unwrap()), (&b"new bytes"[..], &b"new"[..]));
    assert_eq!(names(directory.path()), ["store", "store.lock"]);
}

#[test]
fn a_part_without_a_byte_is_written_as_any_other() {
    let directory = tempfile::tempdir().unwrap();
    let parts: [&[&[u8]]; 4] = [&[], &[b""], &[b"", b"", b"bytes"], &[b"by", b"", b"tes", b""]];
    for (n, parts) in parts.into_iter().enumerate() {
        let path = directory.path().join(n.to_string());
        Os.write_all(&Os.create_new(&path).unwrap(), parts).unwrap();
        assert_eq!(fs::read(&path).unwrap(), parts.concat());
    }
}

#[test]
fn failure_before_the_rename_leaves_the_old_file_only() {
    // Opening the directory, creating, writing, syncing, renaming. (A failure to reserve blocks is none.)
    for at in [0, 1, 2, 4, 5] {
        let directory = tempfile::tempdir().unwrap();
        let path = private_file(directory.path(), b"old");
        let failed = replace(&existing(&path, failing_at(at).0), &[b"new ", b"bytes"]);
        assert!(matches!(failed, Err(Error::Io { .. })), "call {at}: {failed:?}");
        assert_eq!(fs::read(&path).unwrap(), b"old", "call {at}");
        assert_eq!(names(directory.path()), ["store", "store.lock"], "call {at}");
    }
}

#[test]
fn empty_path_is_refused_as_such() {
    for path in ["", "/", ".."] {
        let path = Path::new(path);
        let existing = StoreFile::existing(path, Access::Unchecked, 1 << 20, Arc::new(Os)).and_then(|file| file.open());
        let made = StoreFile::new(path, Access::Unchecked, 1 << 20, Arc::new(Os));
        for refused in [existing.map(|_| ()), made.map(|_| ())] {
            let is_empty = path.as_os_str().is_empty();
            let is_told = match &refused {
                Err(error @ Error::EmptyPath) => {
                    is_empty && error.to_string().starts_with("the path of the keystore is empty")
                }
                Err(Error::NotAFile { found: FileKind::Directory, .. }) => !is_empty,
                _ => false,
            };
            assert!(is_told, "{path:?}: {refused:?}");
        }
    }
}

/// Not the temporary file's, which has a random name and is gone.
#[cfg(target_os = "linux")]
#[test]
fn failed_write_names_the_store_and_the_systems_words() {
    const NO_SPACE: i32 = 28;
    let expected = [
        (Call::OpenDirectory, "could not open {directory}: "),
        (Call::Create, "could not write {store}: "),
        (Call::Write, "could not write {store}: "),
        (Call::Sync, "could not sync {store}: "),
        (Call::Rename, "could not replace {store}: "),
    ];
    for (failing, message) in expected {
        let directory = tempfile::tempdir().unwrap();
        let path = private_file(directory.path(), b"old");
        let full = io::Error::from_raw_os_error(NO_SPACE).to_string();
        let disk =
            Watched(move |call| if call == failing { Err(io::Error::from_raw_os_error(NO_SPACE)) } else { Ok(()) });
        let error = replace(&existing(&path, Arc::new(disk)), &[b"new"]).map(|_| ()).unwrap_err();
        let directory = fs::canonicalize(directory.path()).unwrap().display().to_string();
        let message = message.replace("{store}", "{directory}/store").replace("{directory}", &directory);
        assert_eq!(error.to_string(), message + &full);
        assert!(full.contains("No space left on device"), "{full}");
        assert!(matches!(error, Error::Io { cause, .. } if cause.raw_os_error() == Some(NO_SPACE)));
    }
}

#[cfg(unix)]
#[test]
fn failed_new_file_names_the_store() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    for failing in [Call::Create, Call::Write, Call::Sync, Call::Rename] {
        let disk = Watched(move |call| if call == failing { Err(io::ErrorKind::StorageFull.into()) } else { Ok(()) });
        let file = StoreFile::new(&path, Access::Checked, 1 << 20, Arc::new(disk)).unwrap();
        let error = file.make(Some(&lock(&file)), &[b"new"]).map(|_| ()).unwrap_err();
        assert!(error.to_string().contains(&format!("{}: ", file.path().display())), "{failing:?}: {error}");
        assert!(!error.to_string().contains("store."), "{failing:?}: {error}");
    }
}

/// A length in a payload has 32 bits.
#[test]
fn no_limit_is_above_four_gib() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"old");
    let file = StoreFile::existing(&path, Access::Checked, u64::MAX, Arc::new(Os)).unwrap();
    file.check_len(u32::MAX.into()).unwrap();
    let over = u64::from(u32::MAX) + 1;
    match file.check_len(over) {
        Err(Error::FileTooLarge { path, size, limit }) => {
            assert_eq!((path.as_path(), size, limit), (file.path(), over, over - 1));
        }
        other => panic!("expected FileTooLarge, got {other:?}"),
    }
}

#[cfg(unix)]
#[test]
fn failure_after_the_rename_is_reported_as_such() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"old");
    let replacement = replace(&existing(&path, failing_at(6).0), &[b"new ", b"bytes"]).unwrap();
    let Durability::Unsynced { path: unsynced, cause: error } = replacement.durability else { panic!("it was synced") };
    assert_eq!((unsynced, error.kind()), (fs::canonicalize(directory.path()).unwrap(), io::ErrorKind::StorageFull));
    assert_eq!(fs::read(&path).unwrap(), b"new bytes");
    assert_eq!(names(directory.path()), ["store", "store.lock"]);

    let (disk, calls) = failing_at(usize::MAX);
    replace(&existing(&path, disk), &[b"new ", b"bytes"]).unwrap();
    assert_eq!(calls.load(Ordering::SeqCst), 8, "the calls counted above are all there are");
}

/// The order that makes a power cut harmless: the bytes are on the disk before their name is, and the name is before
/// the caller gets an answer.
#[cfg(unix)]
#[test]
fn file_is_synced_before_the_rename_and_directory_after() {
    let directory = tempfile::tempdir().unwrap();
    let calls = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let recorded = calls.clone();
    let disk = Watched(move |call| {
        recorded.lock().push(call);
        Ok(())
    });
    replace(&existing(&private_file(directory.path(), b"old"), Arc::new(disk)), &[b"new"]).unwrap();
    let expected = [
        Call::OpenDirectory,
        Call::Create,
        Call::Write,
        Call::Reserve,
        Call::Sync,
        Call::Rename,
        Call::SyncDirectory,
        Call::Look,
    ];
    assert_eq!(*calls.lock(), expected);
}

#[cfg(unix)]
#[test]
fn a_file_that_is_written_to_or_replaced_has_another_identity() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"old");
    let file = existing(&path, Arc::new(Os));
    let before = file.stamp().unwrap();
    assert_eq!(file.stamp().unwrap(), before);
    fs::write(&path, b"new").unwrap();
    let written = file.stamp().unwrap();
    assert_ne!(written, before);
    replace(&file, &[b"new"]).unwrap();
    assert_ne!(file.stamp().unwrap(), written);
}

#[test]
fn one_writer_has_the_lock_and_others_wait_in_time() {
    let directory = tempfile::tempdir().unwrap();
    let file = existing(&private_file(directory.path(), b"old"), Arc::new(Os));
    let most = Duration::from_millis(50);
    let held = file.lock(&after(most)).unwrap();
    match file.lock(&after(most)) {
        Err(Error::Busy { path, waited }) => assert!(waited >= most && path == Path::new("store"), "{waited:?}"),
        other => panic!("expected Busy, got {other:?}"),
    }
    drop(held);
    file.lock(&after(most)).unwrap();
}

#[cfg(unix)]
#[test]
fn a_lock_file_that_a_tool_deleted_does_not_let_two_in() {
    let directory = tempfile::tempdir().unwrap();
    let file = existing(&private_file(directory.path(), b"old"), Arc::new(Os));
    let lock_path = sibling(file.path(), ".lock");
    let held = file.lock(&now()).unwrap();
    std::thread::scope(|scope| {
        // Waits on the file that is there now, gets it when `held` is given up, and has to see that it is nobody's.
        let waiting = scope.spawn(|| file.lock(&after(Duration::from_secs(10))).unwrap());
        std::thread::sleep(Duration::from_millis(30));
        fs::remove_file(&lock_path).unwrap();
        drop(held);
        let lock = waiting.join().unwrap();
        assert!(lock_path.exists(), "it locked a file that others lock too");
        assert!(matches!(file.lock(&now()), Err(Error::Busy { .. })));
        drop(lock);
    });
}

#[cfg(unix)]
#[test]
fn a_lock_file_that_is_a_link_or_a_pipe_is_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = existing(&private_file(directory.path(), b"old"), Arc::new(Os));
    let (lock, elsewhere) = (sibling(file.path(), ".lock"), directory.path().join("elsewhere"));
    std::os::unix::fs::symlink(&elsewhere, &lock).unwrap();
    assert!(matches!(file.lock(&now()), Err(Error::Io { .. })));
    assert!(!elsewhere.exists());
    drop(Os.create_new(&elsewhere).unwrap());
    assert!(matches!(file.lock(&now()), Err(Error::Io { .. })), "a lock file of ours, but elsewhere");
    fs::remove_file(&lock).unwrap();
    assert!(std::process::Command::new("mkfifo").arg(&lock).status().unwrap().success());
    let refused = file.lock(&now());
    assert!(matches!(refused, Err(Error::NotAFile { found: FileKind::Pipe, .. })), "{refused:?}");
}

/// As a backup program restores it. A change of the modification time may be one of the bytes.
#[cfg(unix)]
#[test]
fn changed_access_time_is_no_other_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"old");
    let file = existing(&path, Arc::new(Os));
    let lock = lock(&file);
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    let touched = |times: fs::FileTimes| {
        let opened = file.open().unwrap().pin();
        let mut prepared = file.prepare(Some(&lock), &[b"new"]).unwrap();
        fs::File::options().append(true).open(&path).unwrap().set_times(times).unwrap();
        prepared.replace(&lock, &opened).map(|_| ())
    };
    let refused = touched(fs::FileTimes::new().set_modified(long_ago));
    assert!(matches!(refused, Err(Error::ChangedMeanwhile { .. })), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), b"old");
    touched(fs::FileTimes::new().set_accessed(long_ago)).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"new");
}

/// Another user who may write to the parent directory exchanges the directory while a save is at work.
#[cfg(unix)]
#[test]
fn directory_that_became_a_pipe_blocks_no_save() {
    let parent = tempfile::tempdir().unwrap();
    let directory = parent.path().join("app");
    fs::create_dir(&directory).unwrap();
    let path = private_file(&directory, b"old");
    let (from, to) = (directory.clone(), parent.path().join("moved"));
    let disk = Watched(move |call| {
        if call == Call::OpenDirectory {
            fs::rename(&from, &to)?;
            assert!(std::process::Command::new("mkfifo").arg(&from).status()?.success());
        }
        Ok(())
    });
    let file = existing(&path, Arc::new(disk));
    let (send, receive) = std::sync::mpsc::channel();
    std::thread::spawn(move || send.send(replace(&file, &[b"new"]).map(|_| ())));
    let refused = receive.recv_timeout(Duration::from_secs(20)).expect("the save hangs");
    assert!(matches!(refused, Err(Error::Io { operation: FileOperation::Open, .. })), "{refused:?}");
    // Neither a listing nor a sync of the directory waits.
    assert!(access::names(&directory).is_err());
    assert!(access::open_directory(&directory).is_err());
}

/// A tool deletes the lock file; the next writer takes the temporary file for that of a killed writer, and removes it.
#[cfg(unix)]
#[test]
fn temporary_file_removed_by_another_writer_is_reported() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"old");
    let removed_in = directory.path().to_owned();
    let disk = Watched(move |call| {
        for name in names(&removed_in).iter().filter(|name| call == Call::Rename && name.ends_with(".tmp")) {
            fs::remove_file(removed_in.join(name))?;
        }
        Ok(())
    });
    let disk = Arc::new(disk);
    let replaced = replace(&existing(&path, disk.clone()), &[b"new"]);
    assert!(matches!(replaced, Err(Error::ChangedMeanwhile { .. })), "{replaced:?}");
    let file = StoreFile::new(&directory.path().join("another"), Access::Checked, 1 << 20, disk).unwrap();
    let made = file.make(Some(&lock(&file)), &[b"new"]);
    assert!(matches!(made, Err(Error::ChangedMeanwhile { .. })), "{made:?}");
}

/// A tool deletes the lock file, and two writers are as far as the rename. Only one of them replaces the file.
#[cfg(unix)]
#[test]
fn writers_with_different_lock_files_do_not_replace_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"old");
    let first = existing(&path, Arc::new(Os));
    let opened = first.open().unwrap().pin();
    let lock_path = sibling(first.path(), ".lock");
    let other_path = path.clone();
    let once = std::sync::atomic::AtomicBool::new(true);
    let disk = Watched(move |call| {
        // The first writer has looked at everything, and is about to rename.
        if call == Call::Rename && once.swap(false, Ordering::SeqCst) {
            fs::remove_file(&lock_path)?;
            let second = existing(&other_path, Arc::new(Os));
            // Or it would take the first one's temporary file for a stray.
            second.until_sweep.store(9, Ordering::SeqCst);
            let replaced = replace(&second, &[b"second"]);
            assert!(matches!(replaced, Err(Error::ChangedMeanwhile { .. })), "{replaced:?}");
        }
        Ok(())
    });
    let file = existing(&path, Arc::new(disk));
    let lock = lock(&file);
    let _ = file.prepare(None, &[b"first"]).unwrap().replace(&lock, &opened).unwrap();
    assert_eq!(fs::read(&path).unwrap(), b"first");
    replace(&existing(&path, Arc::new(Os)), &[b"third"]).unwrap();
}

#[cfg(unix)]
#[test]
fn what_is_made_is_for_its_owner_alone() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"old");
    let file = existing(&path, Arc::new(Os));
    replace(&file, &[b"new"]).unwrap();
    for path in [&path, &sibling(file.path(), ".lock")] {
        assert_eq!(fs::metadata(path).unwrap().permissions().mode() & 0o7777, 0o600, "{}", path.display());
    }
}

#[cfg(unix)]
#[test]
fn file_open_to_others_is_refused_unless_checks_are_off() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"old");
    for mode in [0o640, 0o620, 0o604, 0o602, 0o666] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        match existing(&path, Arc::new(Os)).open() {
            Err(Error::UnsafePermissions { what, .. }) => assert_eq!(what, UnsafePermissions::FileMode { mode }),
            other => panic!("{mode:o}: {other:?}"),
        }
        StoreFile::existing(&path, Access::Unchecked, 1 << 20, Arc::new(Os)).unwrap().open().unwrap();
    }
    for mode in [0o600, 0o400, 0o700] {
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
        existing(&path, Arc::new(Os)).open().unwrap();
    }
}

#[test]
fn a_file_over_the_limit_is_not_read() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"12345");
    let open = |max| StoreFile::existing(&path, Access::Checked, max, Arc::new(Os)).unwrap().open();
    assert!(open(5).is_ok());
    assert!(matches!(open(4), Err(Error::FileTooLarge { size: 5, limit: 4, .. })));
}

#[cfg(unix)]
#[test]
fn file_that_appears_during_a_create_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("store");
    // As late as can be: between the look and the rename.
    let appearing = path.clone();
    let disk = Watched(move |call| match call {
        Call::Rename => fs::write(&appearing, b"a backup that somebody restores"),
        _ => Ok(()),
    });
    let file = StoreFile::new(&path, Access::Checked, 1 << 20, Arc::new(disk)).unwrap();
    let made = file.make(Some(&lock(&file)), &[b"new"]);
    assert!(matches!(made, Err(Error::AlreadyExists { .. })), "{made:?}");
    assert_eq!(fs::read(&path).unwrap(), b"a backup that somebody restores");
    assert_eq!(names(directory.path()), ["store", "store.lock"]);
}

#[cfg(unix)]
#[test]
fn file_changed_during_a_save_is_not_overwritten() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"old");
    let changing = path.clone();
    let disk = Watched(move |call| match call {
        Call::Sync => fs::write(&changing, b"restored"),
        _ => Ok(()),
    });
    let refused = replace(&existing(&path, Arc::new(disk)), &[b"new"]);
    assert!(matches!(refused, Err(Error::ChangedMeanwhile { .. })), "{refused:?}");
    assert_eq!(fs::read(&path).unwrap(), b"restored");
    assert_eq!(names(directory.path()), ["store", "store.lock"]);
}

#[cfg(unix)]
#[test]
fn deleted_lock_file_stops_the_replacement() {
    let remove = |lock: &Path| fs::remove_file(lock);
    // As another writer would at once.
    let make_anew = |lock: &Path| fs::remove_file(lock).and_then(|()| Os.create_new(lock)).map(|_| ());
    let tamperings: [fn(&Path) -> io::Result<()>; 2] = [remove, make_anew];
    for tamper in tamperings {
        let directory = tempfile::tempdir().unwrap();
        let path = private_file(directory.path(), b"old");
        let lock_path = directory.path().join("store.lock");
        let disk = Watched(move |call| match call {
            Call::Sync => tamper(&lock_path),
            _ => Ok(()),
        });
        let refused = replace(&existing(&path, Arc::new(disk)), &[b"new"]);
        assert!(matches!(refused, Err(Error::ChangedMeanwhile { .. })), "{refused:?}");
        assert_eq!(fs::read(&path).unwrap(), b"old");
    }
}

#[cfg(unix)]
#[test]
fn next_write_removes_what_killed_writers_left() {
    let directory = tempfile::tempdir().unwrap();
    let file = existing(&private_file(directory.path(), b"old"), Arc::new(Os));
    let strays = ["store.0123456789abcdef.tmp", "store.ffffffffffffffff.tmp"];
    let others = [
        "other.0123456789abcdef.tmp",
        "store.0123456789ABCDEF.tmp",
        "store.0123456789abcde.tmp",
        "store.0123456789abcdef.tmp.keep",
        "store.0123456789abcdefg.tmp",
        "store0123456789abcdef.tmp",
    ];
    for name in strays.iter().chain(&others) {
        fs::write(directory.path().join(name), b"").unwrap();
    }
    // No writer makes these two.
    fs::create_dir(directory.path().join("store.0000000000000000.tmp")).unwrap();
    std::os::unix::fs::symlink("store", directory.path().join("store.1111111111111111.tmp")).unwrap();
    replace(&file, &[b"new"]).unwrap();
    let left = names(directory.path());
    assert!(others.iter().all(|name| left.contains(&(*name).to_owned())), "{left:?}");
    assert!(strays.iter().all(|name| !left.contains(&(*name).to_owned())), "{left:?}");
    assert_eq!(left.len(), others.len() + 4, "{left:?}");
}

/// The file system would bring it to the disk while the next save waits.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn write_leaves_the_access_time_of_the_directory() {
    use std::{fs::FileTimes, time::SystemTime};

    let directory = tempfile::tempdir().unwrap();
    let file = existing(&private_file(directory.path(), b"old"), Arc::new(Os));
    let read = || fs::metadata(directory.path()).unwrap().accessed().unwrap();
    let long_ago = SystemTime::UNIX_EPOCH;
    File::open(directory.path()).unwrap().set_times(FileTimes::new().set_accessed(long_ago)).unwrap();
    replace(&file, &[b"new"]).unwrap();
    assert_eq!(read(), long_ago);
    names(directory.path());
    if read() == long_ago {
        eprintln!("SKIPPED: this file system never notes that a directory was read");
        assert!(std::env::var_os("CI").is_none(), "CI notes it nowhere, so nothing shows that we do not");
    }
}

/// Otherwise the first read after each save would set the access time.
#[cfg(any(target_os = "linux", target_os = "android"))]
#[test]
fn reads_leave_the_access_time_of_the_file() {
    use std::{fs::FileTimes, time::SystemTime};

    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"bytes");
    let accessed = || fs::metadata(&path).unwrap().accessed().unwrap();
    let long_ago = SystemTime::UNIX_EPOCH;
    File::open(&path).unwrap().set_times(FileTimes::new().set_accessed(long_ago)).unwrap();
    assert!(existing(&path, Arc::new(Os)).open().unwrap().read_all().unwrap().starts_with(b"bytes"));
    let mut buffer = [0; 5];
    access::read_exact_at(&Os.open_to_append(&path).unwrap(), &mut buffer, 0).unwrap();
    assert_eq!((&buffer, accessed()), (b"bytes", long_ago));
    fs::read(&path).unwrap();
    if accessed() == long_ago {
        eprintln!("SKIPPED: this file system never notes that a file was read");
        assert!(std::env::var_os("CI").is_none(), "CI notes it nowhere, so nothing shows that we do not");
    }
}

#[test]
fn mounted_file_is_reported_with_what_to_do() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), b"old");
    let disk = Watched(|call| match call {
        Call::Rename => Err(io::ErrorKind::ResourceBusy.into()),
        _ => Ok(()),
    });
    let refused = replace(&existing(&path, Arc::new(disk)), &[b"new"]).unwrap_err();
    assert!(matches!(&refused, Error::MountedFile { path: reported } if *reported == fs::canonicalize(&path).unwrap()));
    assert!(refused.to_string().contains("mount its directory instead"), "{refused}");
}

#[test]
fn directory_of_a_bare_name_is_the_current_one() {
    assert_eq!(directory_of(Path::new("tokens.keep")), Path::new("."));
    assert_eq!(directory_of(Path::new("a/tokens.keep")), Path::new("a"));
    assert_eq!(directory_of(Path::new("/tokens.keep")), Path::new("/"));
}

#[cfg(unix)]
#[test]
fn a_lock_that_others_could_hold_for_ever_is_refused() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let file = existing(&private_file(directory.path(), b"old"), Arc::new(Os));
    drop(lock(&file));
    fs::set_permissions(directory.path().join("store.lock"), fs::Permissions::from_mode(0o644)).unwrap();
    let refused = file.lock(&now());
    assert!(matches!(refused, Err(Error::UnsafePermissions { .. })), "{refused:?}");
}

/// As on a file system that gives every file a mode of its own: a store that could not be opened is not made.
#[cfg(unix)]
#[test]
fn what_is_made_is_what_opening_accepts_or_is_not_made() {
    use std::os::unix::fs::PermissionsExt;
    let directory = tempfile::tempdir().unwrap();
    let made_in = directory.path().to_owned();
    let disk = Watched(move |call| {
        for name in names(&made_in).iter().filter(|name| call == Call::Write && name.ends_with(".tmp")) {
            fs::set_permissions(made_in.join(name), fs::Permissions::from_mode(0o644))?;
        }
        Ok(())
    });
    let file = StoreFile::new(&directory.path().join("store"), Access::Checked, 1 << 20, Arc::new(disk)).unwrap();
    let made = file.make(Some(&lock(&file)), &[b"new"]);
    assert!(matches!(made, Err(Error::UnsafePermissions { .. })), "{made:?}");
    assert_eq!(names(directory.path()), ["store.lock"]);
}
