//! A disk that fails at any call of a save that appends or compacts, with readers attached.

use std::{
    fs, io,
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicUsize, Ordering},
    },
    thread,
    time::Duration,
};

use tempfile::TempDir;

use super::{super::*, at, create, create_with, delete, open, open_with, save, save_token, unlock, users};
use crate::{
    Token,
    file::{Access, Call, Disk, Os, Watched},
    status::NotOffered,
    token_lock::LockAttempt,
};

/// How a call fails. (An append that fails leaves half of its record in the file.)
const CAUSES: [io::ErrorKind; 4] =
    [io::ErrorKind::Other, io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded, io::ErrorKind::Interrupted];

/// Which calls fail, of those that are counted from now on.
#[derive(Debug, Clone, Copy)]
enum Failing {
    One(usize),
    /// That one and all after it.
    From(usize),
}

/// A disk whose calls fail from `start` to `stop`.
struct Faulty {
    failing: parking_lot::Mutex<Option<(Failing, io::ErrorKind)>>,
    calls: AtomicUsize,
}

impl Faulty {
    fn new() -> (Arc<Self>, Arc<dyn Disk>) {
        let faulty = Arc::new(Self { failing: parking_lot::Mutex::new(None), calls: AtomicUsize::new(0) });
        let watching = faulty.clone();
        (faulty, Arc::new(Watched(move |call| watching.ask(call))))
    }

    fn ask(&self, call: Call) -> io::Result<()> {
        let Some((failing, kind)) = *self.failing.lock() else { return Ok(()) };
        // That is no call of the disk, and is asked once.
        if call == Call::AppendsReliably {
            return Ok(());
        }
        let number = self.calls.fetch_add(1, Ordering::SeqCst);
        let fails = match failing {
            Failing::One(failing) => number == failing,
            Failing::From(first) => number >= first,
        };
        if fails { Err(kind.into()) } else { Ok(()) }
    }

    fn start(&self, failing: Failing, kind: io::ErrorKind) {
        self.calls.store(0, Ordering::SeqCst);
        *self.failing.lock() = Some((failing, kind));
    }

    /// How many calls there were.
    fn stop(&self) -> usize {
        *self.failing.lock() = None;
        self.calls.load(Ordering::SeqCst)
    }
}

/// A commit, and what the users are after it.
#[derive(Clone, Copy)]
struct Commit {
    name: &'static str,
    make: fn(&Arc<Engine>) -> Vec<Result<()>>,
    after: &'static [&'static str],
}

fn group(engine: &Arc<Engine>) -> Vec<Result<()>> {
    let leader = engine.writers.lead(&Deadline::after(Duration::from_secs(5), engine.path())).unwrap();
    let threads: Vec<_> = ["grace", "edsger", "barbara"]
        .into_iter()
        .enumerate()
        .map(|(waiting, name)| {
            let thread = {
                let engine = engine.clone();
                thread::spawn(move || save(&engine, name).map(drop))
            };
            while engine.writers.waiting() == waiting {
                thread::yield_now();
            }
            thread
        })
        .collect();
    drop(leader);
    threads.into_iter().map(|thread| thread.join().unwrap()).collect()
}

const COMMITS: [Commit; 5] = [
    Commit { name: "save", make: |engine| vec![save(engine, "grace").map(drop)], after: &["ada", "alan", "grace"] },
    Commit { name: "group", make: group, after: &["ada", "alan", "grace", "edsger", "barbara"] },
    Commit { name: "compact", make: |engine| vec![engine.compact()], after: &["ada", "alan"] },
    Commit { name: "delete", make: |engine| vec![delete(engine, "1").map(drop)], after: &["alan"] },
    Commit {
        name: "save that is due to compact",
        make: |engine| {
            engine.state.write().journal.fill();
            vec![save(engine, "grace").map(drop)]
        },
        after: &["ada", "alan", "grace"],
    },
];

/// Makes the commit on a disk that fails. Returns how many calls there were.
fn assert_before_or_after(commit: Commit, is_loaded: bool, failing: Failing, kind: io::ErrorKind) -> usize {
    let Commit { name, make, after } = commit;
    let context = format!("{name}, {failing:?}, {kind:?}, loaded: {is_loaded}");
    let directory = tempfile::tempdir().unwrap();
    let (faulty, disk) = Faulty::new();
    let own = create(&directory);
    save(&own, "ada").unwrap();
    let writer = Arc::new(open_with(&directory, disk));
    save(if is_loaded { &own } else { &writer }, "alan").unwrap();
    let reader = open(&directory);
    let stop = AtomicBool::new(false);
    let before = ["ada", "alan"];
    let (results, calls) = thread::scope(|scope| {
        let reading = scope.spawn(|| {
            while !stop.load(Ordering::SeqCst) {
                let found = users(&reader).unwrap();
                assert!(found == before || found == after, "{context}: {found:?}");
            }
        });
        faulty.start(failing, kind);
        let results = make(&writer);
        let calls = faulty.stop();
        stop.store(true, Ordering::SeqCst);
        reading.join().unwrap();
        (results, calls)
    });
    assert_eq!(results.iter().map(Result::is_ok).collect::<Vec<_>>(), vec![results[0].is_ok(); results.len()]);
    let is_visible = match &results[0] {
        Ok(()) => Some(true),
        Err(Error::DurabilityUnknown { .. }) => Some(true),
        Err(_) => None,
    };
    let found = [users(&writer), users(&reader), users(&open(&directory))].map(|found| found.unwrap());
    assert_eq!([&found[1], &found[2]], [&found[0]; 2], "{context}");
    let expected: &[&str] = if is_visible == Some(true) { after } else { &before };
    assert!(found[0] == expected || (is_visible.is_none() && found[0] == after), "{context}: {found:?}, {results:?}");
    assert_goes_on(&directory, &writer, &reader, &found[0]);
    calls
}

/// After trouble the store is used as before, by each handle.
fn assert_goes_on(directory: &TempDir, writer: &Engine, other: &Engine, before: &[String]) {
    for engine in [writer, other] {
        save(engine, "tony").unwrap();
    }
    let expected: Vec<_> = before.iter().cloned().chain(["tony".to_owned()]).collect();
    for engine in [writer, other, &open(directory)] {
        assert_eq!(users(engine).unwrap(), expected);
        assert!(!engine.status().unwrap().journal.is_torn);
        engine.verify().unwrap();
    }
}

/// With each so many-th fault.
fn assert_faults_leave_before_or_after(step: usize, commits: &[Commit], causes: &[io::ErrorKind]) {
    let mut number = 0;
    for commit in commits {
        for is_loaded in [false, true] {
            let calls = assert_before_or_after(*commit, is_loaded, Failing::One(usize::MAX), causes[0]);
            assert!(calls >= 3, "{}: {calls}", commit.name);
            let faults = (0..calls).flat_map(|call| [Failing::One(call), Failing::From(call)]);
            for (kind, failing) in causes.iter().flat_map(|kind| faults.clone().map(|failing| (*kind, failing))) {
                if number % step == 0 {
                    assert_before_or_after(*commit, is_loaded, failing, kind);
                }
                number += 1;
            }
        }
    }
}

#[test]
fn fault_at_any_call_of_a_save_leaves_before_or_after() {
    assert_faults_leave_before_or_after(3, &COMMITS[..1], &CAUSES);
}

#[test]
fn fault_at_any_call_of_a_group_leaves_before_or_after() {
    assert_faults_leave_before_or_after(3, &COMMITS[1..2], &CAUSES[..2]);
}

#[test]
fn fault_at_any_call_of_a_compaction_leaves_before_or_after() {
    assert_faults_leave_before_or_after(7, &COMMITS[2..], &CAUSES);
}

#[test]
#[ignore = "takes minutes: `.ci/campaign damage`"]
fn every_fault_of_every_commit_leaves_before_or_after() {
    assert_faults_leave_before_or_after(1, &COMMITS, &CAUSES);
}

/// A disk on which these calls fail.
fn failing(calls: &'static [Call], kind: io::ErrorKind) -> (Arc<AtomicBool>, Arc<dyn Disk>) {
    let is_on = Arc::new(AtomicBool::new(false));
    let watched = is_on.clone();
    let disk = Watched(move |call| match watched.load(Ordering::SeqCst) && calls.contains(&call) {
        true => Err(kind.into()),
        false => Ok(()),
    });
    (is_on, Arc::new(disk))
}

fn generation_and_records(engine: &Engine) -> (u64, u32) {
    engine.read_state(|state| (state.header.generation, state.journal.record_count())).unwrap()
}

/// The system may have dropped the record, and would call a second sync a success.
#[test]
fn record_that_could_not_be_synced_is_in_a_new_file_at_once() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let (is_on, disk) = failing(&[Call::SyncData], io::ErrorKind::Other);
    let engine = open_with(&directory, disk);
    save(&engine, "ada").unwrap();
    is_on.store(true, Ordering::SeqCst);
    save(&engine, "grace").unwrap();
    assert_eq!(generation_and_records(&engine), (2, 0));
    assert_eq!(users(&open(&directory)).unwrap(), ["ada", "grace"]);
}

#[test]
fn nobody_appends_after_a_record_that_could_not_be_synced() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let (is_on, disk) = failing(&[Call::SyncData, Call::Create], io::ErrorKind::Other);
    let (engine, other) = (open_with(&directory, disk), open(&directory));
    save(&engine, "ada").unwrap();
    assert_eq!(users(&other).unwrap(), ["ada"]);
    is_on.store(true, Ordering::SeqCst);
    assert!(matches!(save(&engine, "grace"), Err(Error::DurabilityUnknown { id: Some(_), .. })));
    assert_eq!(users(&engine).unwrap(), ["ada", "grace"]);
    assert!(delete(&engine, "7").is_err(), "nothing to do, but not known to be on the disk");
    let before = fs::read(at(&directory)).unwrap();
    assert!(save(&engine, "alan").is_err());
    assert_eq!(fs::read(at(&directory)).unwrap(), before);
    for handle in [&other, &open(&directory)] {
        assert_eq!(users(handle).unwrap(), ["ada", "grace"]);
        assert!(handle.status().unwrap().journal.is_torn);
    }
    assert!(!delete(&other, "7").unwrap());
    assert_eq!(generation_and_records(&other), (2, 0), "nothing to do but to write it once more");
    is_on.store(false, Ordering::SeqCst);
    save(&engine, "alan").unwrap();
    assert_eq!(users(&other).unwrap(), ["ada", "grace", "alan"]);
}

#[test]
fn where_appending_is_not_reliable_each_save_replaces_the_file() {
    let directory = tempfile::tempdir().unwrap();
    let (is_on, disk) = failing(&[Call::AppendsReliably], io::ErrorKind::Unsupported);
    is_on.store(true, Ordering::SeqCst);
    let engine = create_with(&directory, disk);
    save(&engine, "ada").unwrap();
    save(&engine, "grace").unwrap();
    assert_eq!(generation_and_records(&engine), (3, 0));
    assert_eq!(engine.status().unwrap().not_offered, [NotOffered::ReliableAppend]);
}

/// A save that is due to compact goes on in the journal, and the first one after it compacts.
#[test]
fn journal_grows_on_while_the_disk_has_no_room_for_a_new_file() {
    for kind in [io::ErrorKind::StorageFull, io::ErrorKind::QuotaExceeded] {
        let directory = tempfile::tempdir().unwrap();
        drop(create(&directory));
        let (is_on, disk) = failing(&[Call::Write], kind);
        let engine = open_with(&directory, disk);
        save(&engine, "ada").unwrap();
        engine.state.write().journal.fill();
        is_on.store(true, Ordering::SeqCst);
        save(&engine, "grace").unwrap();
        assert_eq!(generation_and_records(&engine), (1, 2));
        assert!(delete(&engine, "1").is_err());
        is_on.store(false, Ordering::SeqCst);
        save(&engine, "alan").unwrap();
        assert_eq!(generation_and_records(&engine), (2, 0));
    }
}

#[test]
fn full_disk_waits_until_the_replaced_file_is_closed() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let (is_on, disk) = failing(&[Call::Write], io::ErrorKind::StorageFull);
    let engine = open_with(&directory, disk);
    save(&engine, "ada").unwrap();
    is_on.store(true, Ordering::SeqCst);
    engine.is_closing.store(true, Ordering::SeqCst);
    thread::scope(|scope| {
        scope.spawn(|| {
            thread::sleep(Duration::from_millis(50));
            is_on.store(false, Ordering::SeqCst);
            engine.is_closing.store(false, Ordering::SeqCst);
        });
        engine.compact().unwrap();
    });
    assert_eq!(generation_and_records(&engine), (2, 0));
}

/// A part of a record would be in the way of shorter ones.
#[test]
fn record_without_blocks_on_a_full_disk_is_not_begun() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let (is_on, disk) = failing(&[Call::Reserve, Call::Create], io::ErrorKind::StorageFull);
    let engine = open_with(&directory, disk);
    save(&engine, "ada").unwrap();
    is_on.store(true, Ordering::SeqCst);
    let before = fs::read(at(&directory)).unwrap();
    // Nearly as much as a token may have, and more than is reserved.
    let attributes = (0..4).map(|n| (n.to_string(), "x".repeat(Token::MAX_FIELD_LEN - 10)));
    let large =
        attributes.fold(Token::builder().access_token("a"), |token, (name, value)| token.attribute(name, value));
    let refused = save_token(&engine, &large.build());
    assert!(matches!(refused, Err(Error::Io { .. })), "{refused:?}");
    assert_eq!(fs::read(at(&directory)).unwrap(), before);
    save(&engine, "grace").unwrap();
    assert_eq!(generation_and_records(&engine), (1, 2));
}

#[test]
fn journal_that_would_be_too_long_is_replaced() {
    let directory = tempfile::tempdir().unwrap();
    let file = StoreFile::new(&at(&directory), Access::Checked, 8 << 20, Arc::new(Os));
    let engine = Engine::create(file.unwrap(), &unlock(), Duration::ZERO).unwrap();
    // Of 4 KiB each.
    for _ in 0..256 {
        save(&engine, "ada").unwrap();
    }
    assert_eq!(generation_and_records(&engine), (1, 256));
    save(&engine, "ada").unwrap();
    assert_eq!(generation_and_records(&engine), (2, 0));
    // Of a body of more than 1 MiB, the journal may become as long as the body.
    for user in 0..18 {
        let token = Token::builder().user_name(user.to_string()).access_token("a".repeat(65_536)).build();
        save_token(&engine, &token).unwrap();
    }
    engine.compact().unwrap();
    let body = engine.state.read().header.body_len;
    assert!(body > 1 << 20);
    let records = u32::try_from(body / 4096).unwrap();
    for _ in 0..records {
        save(&engine, "ada").unwrap();
    }
    assert_eq!(generation_and_records(&engine).1, records);
    save(&engine, "ada").unwrap();
    assert_eq!(generation_and_records(&engine).1, 0);
}

#[test]
fn file_at_its_limit_is_replaced_and_not_appended_to() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let file = StoreFile::existing(&at(&directory), Access::Checked, 3 * 4096 + 1, Arc::new(Os));
    let engine = Engine::open(file.unwrap(), &unlock(), Duration::ZERO).unwrap();
    for (saves, expected) in [(1, (1, 1)), (1, (1, 2)), (1, (2, 0)), (2, (2, 2)), (1, (3, 0))] {
        (0..saves).for_each(|_| drop(save(&engine, "ada").unwrap()));
        assert_eq!(generation_and_records(&engine), expected);
    }
}

/// Such a record gets one more byte, and a longer file would open nowhere.
#[test]
fn record_at_the_limit_that_cannot_be_synced_leaves_a_file_that_opens() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let (is_on, disk) = failing(&[Call::SyncData, Call::Create], io::ErrorKind::Other);
    let limited = |disk| StoreFile::existing(&at(&directory), Access::Checked, 3 * 4096, disk).unwrap();
    let engine = Engine::open(limited(disk), &unlock(), Duration::ZERO).unwrap();
    save(&engine, "ada").unwrap();
    is_on.store(true, Ordering::SeqCst);
    assert!(save(&engine, "grace").is_err());
    let opened = Engine::open(limited(Arc::new(Os)), &unlock(), Duration::ZERO).unwrap();
    assert_eq!(users(&opened).unwrap(), ["ada"]);
}

/// Its records do not count: a save would compact.
#[test]
fn journal_at_the_limit_stops_no_claim() {
    let directory = tempfile::tempdir().unwrap();
    drop(create(&directory));
    let file = StoreFile::existing(&at(&directory), Access::Checked, 3 * 4096 + 1, Arc::new(Os));
    let engine = Engine::open(file.unwrap(), &unlock(), Duration::ZERO).unwrap();
    save(&engine, "ada").unwrap();
    let id = save(&engine, "ada").unwrap();
    engine.check_writable().unwrap();
    assert!(matches!(engine.lock_token("", &id).unwrap(), LockAttempt::Locked(_)));
}

/// A backup is compacted, and of the state that was committed last.
#[test]
fn backup_has_no_journal_and_all_of_its_rows() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    (0..5).for_each(|n| drop(save(&engine, &n.to_string()).unwrap()));
    let path = directory.path().join("backup");
    engine.backup_to(&path).unwrap();
    let file = StoreFile::existing(&path, Access::Checked, 1 << 20, Arc::new(Os)).unwrap();
    let backup = Engine::open(file, &unlock(), Duration::ZERO).unwrap();
    assert_eq!((generation_and_records(&backup), users(&backup).unwrap().len()), ((2, 0), 5));
    save(&engine, "later").unwrap();
    fs::rename(&path, at(&directory)).unwrap();
    assert!(matches!(users(&engine), Err(Error::Diverged { .. })), "the backup lacks what this handle has seen");
}

/// A record is read by a handle that is open, without the rest of the file.
#[test]
fn snapshot_stays_while_records_are_read() {
    let directory = tempfile::tempdir().unwrap();
    let (writer, reader) = (create(&directory), open(&directory));
    save(&writer, "ada").unwrap();
    let (snapshot, version) = (reader.snapshot("").unwrap(), reader.version().unwrap());
    save(&writer, "grace").unwrap();
    assert_ne!(reader.version().unwrap(), version);
    assert_eq!((snapshot.tokens().len(), users(&reader).unwrap().len()), (1, 2));
}
