//! Appending at the exact end of the file that was loaded, and nowhere else.

use super::*;
use crate::file::{Appended, LoadedEnd};

const OLD: &[u8] = b"start and end";

/// Appends to the file as it is when it is opened.
fn append(file: &StoreFile, between: impl FnOnce()) -> Result<Appended> {
    let lock = lock(file);
    let pinned = file.open().unwrap().pin();
    between();
    let end = LoadedEnd { start: b"start", len: length(OLD.len()), last: b"end" };
    file.append(&lock, &pinned, end, &[b" and ", b"more"])
}

#[test]
fn parts_are_appended_and_synced_once() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), OLD);
    let calls = Arc::new(parking_lot::Mutex::new(Vec::new()));
    let noted = calls.clone();
    let disk = Watched(move |call| {
        noted.lock().push(call);
        Ok(())
    });
    let file = existing(&path, Arc::new(disk));
    let Appended::Synced(pinned) = append(&file, || ()).unwrap() else { panic!("it was not synced") };
    assert_eq!(fs::read(&path).unwrap(), [OLD, b" and more"].concat());
    assert_eq!(*calls.lock(), [Call::OpenToAppend, Call::Reserve, Call::Append, Call::SyncData, Call::Look]);
    assert_eq!(file.stamp().unwrap().as_ref(), pinned.stamp());
    assert_eq!(names(directory.path()), ["store", "store.lock"]);
}

#[test]
fn nothing_is_appended_to_a_file_that_is_not_as_it_was_loaded() {
    let changes: [fn(&Path); 7] = [
        |path| fs::write(path, b"start and end and more").unwrap(),
        |path| fs::write(path, b"start and e").unwrap(),
        |path| fs::write(path, b"start and END").unwrap(),
        |path| fs::write(path, b"START and end").unwrap(),
        |path| {
            let other = private_file(&path.with_file_name("other"), OLD);
            fs::rename(other, path).unwrap();
        },
        |path| fs::remove_file(path).unwrap(),
        |path| fs::remove_file(sibling(path, ".lock")).unwrap(),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("other")).unwrap();
        let path = private_file(directory.path(), OLD);
        let file = existing(&path, Arc::new(Os));
        let mut changed = Vec::new();
        let refused = append(&file, || {
            change(&path);
            changed = fs::read(&path).unwrap_or_default();
        });
        assert!(matches!(refused, Err(Error::ChangedMeanwhile { .. } | Error::NotFound { .. })), "{n}: {refused:?}");
        assert_eq!(fs::read(&path).unwrap_or_default(), changed, "{n}");
    }
}

/// Nobody else would find the record.
#[test]
fn file_replaced_during_an_append_is_no_success() {
    let changes: [fn(&Path); 3] = [
        |path| {
            let other = private_file(&path.with_file_name("other"), b"start and end and more");
            fs::rename(other, path).unwrap();
        },
        |path| fs::remove_file(path).unwrap(),
        |path| fs::write(path, b"start and end and more, and more").unwrap(),
    ];
    for (n, change) in changes.into_iter().enumerate() {
        let directory = tempfile::tempdir().unwrap();
        fs::create_dir(directory.path().join("other")).unwrap();
        let path = private_file(directory.path(), OLD);
        let at = path.clone();
        let disk = Watched(move |call| {
            if call == Call::SyncData {
                change(&at);
            }
            Ok(())
        });
        let appended = append(&existing(&path, Arc::new(disk)), || ());
        assert!(matches!(appended, Err(Error::ChangedMeanwhile { .. } | Error::NotFound { .. })), "{n}: {appended:?}");
    }
}

/// XFS may report a sync as a success after it has shut down. No question for metadata is answered then. The record is
/// in the file, so it counts for readers.
#[test]
fn metadata_error_after_an_append_means_unsynced() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), OLD);
    let disk = Watched(|call| match call {
        Call::Look | Call::Metadata => Err(io::Error::other("shut down")),
        _ => Ok(()),
    });
    let appended = append(&existing(&path, Arc::new(disk)), || ());
    let Ok(Appended::Unsynced { cause, .. }) = appended else { panic!("{appended:?}") };
    assert_eq!(cause.to_string(), "shut down");
    // With the byte that keeps every writer from appending after the record.
    assert_eq!(fs::read(&path).unwrap(), [OLD, b" and more\0"].concat());
}

/// A tool has deleted the lock file, and the second writer has made another one.
#[test]
fn two_with_different_lock_files_do_not_append_to_one_file() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), OLD);
    let at = path.clone();
    let disk = Watched(move |call| {
        if call == Call::Append {
            fs::remove_file(sibling(&at, ".lock"))?;
            let second = existing(&at, Arc::new(Os));
            let appended = append(&second, || ());
            assert!(matches!(appended, Err(Error::ChangedMeanwhile { .. })), "{appended:?}");
            let replaced = replace(&second, &[b"second"]);
            assert!(matches!(replaced, Err(Error::ChangedMeanwhile { .. })), "{replaced:?}");
        }
        Ok(())
    });
    let appended = append(&existing(&path, Arc::new(disk)), || ());
    assert!(matches!(appended, Ok(Appended::Synced(_))), "{appended:?}");
    assert_eq!(fs::read(&path).unwrap(), [OLD, b" and more"].concat());
}

/// The blocks beyond the end are there before they are needed, and the length does not show them.
#[cfg(target_os = "linux")]
#[test]
fn blocks_are_reserved_beyond_the_end() {
    let directory = tempfile::tempdir().unwrap();
    let path = private_file(directory.path(), OLD);
    let file = existing(&path, Arc::new(Os));
    if file.reserved().unwrap() > 4096 || append(&file, || ()).is_err() {
        return;
    }
    assert!(file.reserved().unwrap() >= 128 * 1024, "{}", file.reserved().unwrap());
    replace(&file, &[b"new"]).unwrap();
    assert!(file.reserved().unwrap() >= 128 * 1024, "{}", file.reserved().unwrap());
    assert_eq!(fs::metadata(&path).unwrap().len(), 3);
}
