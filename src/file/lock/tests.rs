use std::{os::unix::fs::PermissionsExt, sync::atomic::AtomicUsize, time::Duration};

use super::*;
use crate::{
    error::{Error, UnsafePermissions},
    file::{Access, Disk, Os},
};

fn store_in(directory: &Path) -> StoreFile {
    let path = directory.join("store");
    if !path.exists() {
        Os.create_new(&path).unwrap();
    }
    StoreFile::existing(&path, Access::Checked, 1 << 20, Arc::new(Os)).unwrap()
}

fn after(most: Duration) -> Deadline {
    Deadline::after(most, Path::new("store"))
}

const LONG: Duration = Duration::from_secs(60);
const SHORT: Duration = Duration::from_millis(50);

/// Each of several handles, as processes have them, takes one turn after the other. While a handle waits, no other
/// handle has more than a few turns: more than one, because a busy machine may be slow to start the thread that waits.
#[test]
fn writers_take_turns() {
    const HANDLES: usize = 8;
    const TURNS: usize = 25;
    const FEW: usize = 10;
    let directory = tempfile::tempdir().unwrap();
    drop(store_in(directory.path()));
    // Who had the lock, in order; and for each turn how many turns there had been when its handle began to wait.
    let turns = Mutex::new(Vec::new());
    let ready = std::sync::Barrier::new(HANDLES);
    thread::scope(|scope| {
        for handle in 0..HANDLES {
            let (turns, ready) = (&turns, &ready);
            let file = store_in(directory.path());
            scope.spawn(move || {
                ready.wait();
                for _ in 0..TURNS {
                    let before = turns.lock().len();
                    let lock = file.lock(&after(LONG)).unwrap();
                    turns.lock().push((handle, before));
                    thread::sleep(Duration::from_millis(5));
                    drop(lock);
                }
            });
        }
    });
    let turns = turns.into_inner();
    assert_eq!(turns.len(), HANDLES * TURNS);
    for (now, (handle, before)) in turns.iter().enumerate() {
        for other in (0..HANDLES).filter(|other| other != handle) {
            let meanwhile = turns[*before..now].iter().filter(|(handle, _)| *handle == other).count();
            assert!(meanwhile <= FEW, "{other} had {meanwhile} turns while {handle} waited for turn {now}: {turns:?}");
        }
    }
}

#[test]
fn caller_that_gave_up_blocks_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let (holder, impatient, patient) =
        (store_in(directory.path()), store_in(directory.path()), store_in(directory.path()));
    let held = holder.lock(&after(SHORT)).unwrap();
    assert!(matches!(impatient.lock(&after(SHORT)), Err(Error::Busy { .. })));
    assert!(matches!(impatient.lock(&after(SHORT)), Err(Error::Busy { .. })));
    drop(held);
    drop(patient.lock(&after(LONG)).unwrap());
    drop(impatient.lock(&after(LONG)).unwrap());
}

/// The thread that waits for the lock is used again by the next caller of the handle.
#[test]
fn handle_that_waits_again_needs_no_second_thread() {
    let directory = tempfile::tempdir().unwrap();
    let (holder, impatient) = (store_in(directory.path()), store_in(directory.path()));
    let held = holder.lock(&after(SHORT)).unwrap();
    let requests: Vec<_> = (0..3)
        .map(|_| {
            assert!(matches!(impatient.lock(&after(SHORT)), Err(Error::Busy { .. })));
            impatient.pending.0.lock().clone().unwrap()
        })
        .collect();
    assert!(requests.iter().all(|request| Arc::ptr_eq(request, &requests[0])));
    drop(held);
    drop(impatient.lock(&after(LONG)).unwrap());
}

/// A process that is stopped while it waits holds the queue and no lock.
#[test]
fn stopped_process_in_the_queue_blocks_nobody() {
    let directory = tempfile::tempdir().unwrap();
    let (stopped, other) = (store_in(directory.path()), store_in(directory.path()));
    let queue = stopped.open_lock(&sibling(&stopped.path, QUEUE)).unwrap();
    queue.file.lock().unwrap();
    drop(other.lock(&after(LONG)).unwrap());
    drop(other.lock(&after(LONG)).unwrap());
    assert!(matches!(other.lock(&after(Duration::ZERO)), Err(Error::Busy { .. })));
}

/// A program opens a handle for each operation while another process holds the lock.
#[test]
fn handles_that_wait_in_vain_share_one_thread() {
    let directory = tempfile::tempdir().unwrap();
    let holder = store_in(directory.path());
    let held = holder.lock(&after(SHORT)).unwrap();
    let waiting = || {
        let path = sibling(holder.path(), LOCK);
        ABANDONED.get().lock().iter().filter(|request| request.path == path).count()
    };
    for _ in 0..5 {
        let handle = store_in(directory.path());
        assert!(matches!(handle.lock(&after(SHORT)), Err(Error::Busy { .. })));
        drop(handle);
        assert_eq!(waiting(), 1);
    }
    drop(held);
    drop(store_in(directory.path()).lock(&after(LONG)).unwrap());
}

/// A tool deletes the lock file while a handle waits: others lock a new one, and the handle has to join them.
#[test]
fn handle_that_waits_again_waits_for_the_file_at_the_path() {
    let directory = tempfile::tempdir().unwrap();
    let (holder, waiting) = (store_in(directory.path()), store_in(directory.path()));
    let held = holder.lock(&after(SHORT)).unwrap();
    assert!(matches!(waiting.lock(&after(SHORT)), Err(Error::Busy { .. })));
    fs::remove_file(sibling(holder.path(), LOCK)).unwrap();
    fs::remove_file(sibling(holder.path(), QUEUE)).unwrap();
    let newcomer = store_in(directory.path());
    let held_now = newcomer.lock(&after(SHORT)).unwrap();
    thread::scope(|scope| {
        let waited = scope.spawn(|| waiting.lock(&after(Duration::from_secs(10))).map(drop));
        thread::sleep(SHORT);
        drop(held_now);
        waited.join().unwrap().unwrap();
    });
    drop(held);
}

#[test]
fn lock_files_of_other_users_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let file = store_in(directory.path());
    drop(file.lock(&after(SHORT)).unwrap());
    let (lock, queue) = (sibling(file.path(), LOCK), sibling(file.path(), QUEUE));
    fs::write(&queue, "").unwrap();
    fs::set_permissions(&queue, fs::Permissions::from_mode(0o600)).unwrap();
    for path in [&lock, &queue] {
        fs::set_permissions(path, fs::Permissions::from_mode(0o666)).unwrap();
        match file.lock(&after(SHORT)) {
            Err(Error::UnsafePermissions { path: named, what: UnsafePermissions::FileMode { mode: 0o666 } }) => {
                assert_eq!(named, *path);
            }
            other => panic!("expected FileMode, got {other:?}"),
        }
        fs::set_permissions(path, fs::Permissions::from_mode(0o600)).unwrap();
        if let Err(error) = std::os::unix::fs::chown(path, Some(1234), None) {
            assert!(std::env::var_os("CI").is_none(), "CI runs as root: {error}");
            eprintln!("not tried, only root can: a lock file of another user");
            continue;
        }
        match file.lock(&after(SHORT)) {
            Err(Error::UnsafePermissions { path: named, what: UnsafePermissions::ForeignLock { owner: 1234 } }) => {
                assert_eq!(named, *path);
            }
            other => panic!("expected ForeignLock, got {other:?}"),
        }
        std::os::unix::fs::chown(path, Some(0), None).unwrap();
    }
    drop(file.lock(&after(SHORT)).unwrap());
}

/// The caller counts as waiting until it has the lock, so it gets the lock although others come later.
#[test]
fn first_in_line_is_served_before_newcomers() {
    let directory = tempfile::tempdir().unwrap();
    let (holder, first) = (store_in(directory.path()), store_in(directory.path()));
    let held = holder.lock(&after(SHORT)).unwrap();
    let served = AtomicUsize::new(0);
    thread::scope(|scope| {
        let waiting = scope.spawn(|| {
            let lock = first.lock(&after(LONG)).unwrap();
            served.fetch_add(1, std::sync::atomic::Ordering::SeqCst);
            drop(lock);
        });
        while first.pending.0.lock().is_none() {
            thread::yield_now();
        }
        // The thread behind the request has to reach the queue.
        thread::sleep(SHORT);
        drop(held);
        drop(holder.lock(&after(LONG)).unwrap());
        assert_eq!(
            served.load(std::sync::atomic::Ordering::SeqCst),
            1,
            "the holder was faster than the one who waited"
        );
        waiting.join().unwrap();
    });
}

/// The child has the handle's request, and no thread for it.
#[test]
fn request_of_the_parent_does_not_block_a_forked_child() {
    let request = Arc::new(Request {
        progress: Mutex::new(Progress::Waiting { is_wanted: true }),
        moved: Condvar::new(),
        stamp: None,
        path: "/of/a/test".into(),
        process: process::id().wrapping_add(1),
    });
    let _progress = request.progress.lock();
    let (sender, dropped) = std::sync::mpsc::channel();
    let of_handle = PendingRequest(Mutex::new(Some(request.clone())));
    thread::spawn(move || {
        drop(of_handle);
        let _ = sender.send(());
    });
    dropped.recv_timeout(Duration::from_secs(30)).unwrap();
}
