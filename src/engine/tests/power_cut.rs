//! What a power cut may leave, enumerated.
//!
//! A disk behind the seam records every operation. A model then says what may be found after a cut at any moment: of a
//! file that was not synced any part of its bytes, in any order, its new length without them, or them without the new
//! length; of a directory that was not synced any of its pending changes of names, without regard to what became of the
//! files' bytes. Each such state has to open, to what was before the operation or to what was after it, and to that
//! once the operation has returned.
//!
//! Two writers: the first one is killed after any call, or one of its syncs fails; then the second one saves; then the
//! power goes. The bytes that a failed sync was to bring to the disk may be missing there for ever, while the second
//! writer still finds them in the file.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File, Metadata},
    io,
    ops::Range,
    os::unix::fs::MetadataExt,
    sync::LazyLock,
};

use tempfile::TempDir;

use super::*;
use crate::{
    Token,
    file::{Access, Disk, Os},
    kdf::KdfParams,
    unlock::{Passphrase, RecoveryKey},
};

type Inode = u64;

/// What the disk was asked to do.
#[derive(Debug, Clone)]
enum Asked {
    Create(Inode, String),
    Write(Inode, Vec<u8>),
    Sync(Inode),
    /// The system may have dropped what was not on the disk.
    FailedSync(Inode),
    Rename(String, String),
    SyncDirectory,
    Remove(String),
}

/// Notes each call, and stops or fails where its trouble says.
#[derive(Debug, Default)]
struct Recording {
    log: Mutex<Vec<Asked>>,
    trouble: Mutex<Option<Trouble>>,
}

/// What happens to a writer.
#[derive(Debug, Clone, Copy)]
enum Trouble {
    /// It is killed when it has asked for so much.
    KilledAfter(usize),
    /// What it asks for after so much fails, if that is a sync. Then it is killed when it has asked for so much more.
    SyncFails { after: usize, killed_after: usize },
}

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl Recording {
    fn in_trouble(trouble: Trouble) -> Arc<Self> {
        Arc::new(Self { log: Mutex::default(), trouble: Mutex::new(Some(trouble)) })
    }

    /// A killed process does nothing more.
    fn check_alive(&self) -> io::Result<()> {
        let most = match *self.trouble.lock() {
            Some(Trouble::KilledAfter(most)) => most,
            Some(Trouble::SyncFails { after, killed_after }) => after.saturating_add(1).saturating_add(killed_after),
            None => return Ok(()),
        };
        if self.log.lock().len() < most { Ok(()) } else { Err(io::Error::other("killed")) }
    }

    fn note<T>(&self, asked: impl FnOnce() -> io::Result<(T, Asked)>) -> io::Result<T> {
        self.check_alive()?;
        let (done, asked) = asked()?;
        self.log.lock().push(asked);
        Ok(done)
    }

    fn sync_with(&self, file: &File, sync: impl FnOnce() -> io::Result<()>) -> io::Result<()> {
        self.check_alive()?;
        let inode = file.metadata()?.ino();
        let mut log = self.log.lock();
        if matches!(*self.trouble.lock(), Some(Trouble::SyncFails { after, .. }) if after == log.len()) {
            log.push(Asked::FailedSync(inode));
            return Err(io::Error::other("on fire"));
        }
        log.push(Asked::Sync(inode));
        sync()
    }

    fn take(&self) -> Vec<Asked> {
        std::mem::take(&mut *self.log.lock())
    }
}

impl Disk for Recording {
    fn create_new(&self, path: &Path) -> io::Result<File> {
        self.note(|| {
            let file = Os.create_new(path)?;
            let inode = file.metadata()?.ino();
            Ok((file, Asked::Create(inode, name(path))))
        })
    }
    fn open_to_append(&self, path: &Path) -> io::Result<File> {
        self.check_alive().and_then(|()| Os.open_to_append(path))
    }
    fn reserve(&self, file: &File, offset: u64, len: u64) -> io::Result<()> {
        self.check_alive().and_then(|()| Os.reserve(file, offset, len))
    }
    fn append(&self, file: &File, offset: u64, parts: &[&[u8]]) -> io::Result<()> {
        assert_eq!(file.metadata()?.len(), offset, "at the end of the file and nowhere else");
        self.note(|| Ok((Os.append(file, offset, parts)?, Asked::Write(file.metadata()?.ino(), parts.concat()))))
    }
    fn sync_data(&self, file: &File) -> io::Result<()> {
        self.sync_with(file, || Os.sync_data(file))
    }
    fn write_all(&self, file: &File, parts: &[&[u8]]) -> io::Result<()> {
        let inode = file.metadata()?.ino();
        // One after the other, as they may reach the disk.
        let write = |part: &&[u8]| Ok((Os.write_all(file, &[part])?, Asked::Write(inode, part.to_vec())));
        parts.iter().try_for_each(|part| self.note(|| write(part)))
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        self.sync_with(file, || Os.sync(file))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(|| Ok((Os.rename(from, to)?, Asked::Rename(name(from), name(to)))))
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(|| Ok((Os.rename_new(from, to)?, Asked::Rename(name(from), name(to)))))
    }
    fn open_directory(&self, directory: &Path) -> io::Result<Option<File>> {
        self.check_alive().and_then(|()| Os.open_directory(directory))
    }
    fn sync_directory(&self, directory: &File) -> io::Result<()> {
        self.note(|| Ok((Os.sync_directory(directory)?, Asked::SyncDirectory)))
    }
    fn look(&self, path: &Path) -> io::Result<Metadata> {
        self.check_alive().and_then(|()| Os.look(path))
    }
    fn metadata(&self, file: &File) -> io::Result<Metadata> {
        self.check_alive().and_then(|()| Os.metadata(file))
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.note(|| Ok((Os.remove(path)?, Asked::Remove(name(path)))))
    }
}

/// The disk as far as the operations before a moment determine it.
#[derive(Debug, Clone, Default)]
struct Model {
    /// Names as they are on the disk for certain.
    names: BTreeMap<String, Inode>,
    /// Changes of names that may or may not be there, in the order they were asked for.
    pending: Vec<Change>,
    files: BTreeMap<Inode, Bytes>,
}

/// What a file holds as long as the power is on.
#[derive(Debug, Clone, Default)]
struct Bytes {
    written: Vec<u8>,
    /// So long it is on the disk.
    synced_len: usize,
    /// The sectors that a failed sync may have dropped.
    dropped: BTreeSet<usize>,
}

#[derive(Debug, Clone)]
enum Change {
    Name(String, Inode),
    Unname(String),
}

/// The bytes of the store, if it is there.
type Found = Option<Vec<u8>>;

impl Model {
    /// One file, which is on the disk.
    fn holding(path: &Path) -> Self {
        let (inode, written) = (fs::metadata(path).unwrap().ino(), fs::read(path).unwrap());
        let mut model = Self::default();
        model.names.insert(name(path), inode);
        model.files.insert(inode, Bytes { synced_len: written.len(), written, dropped: BTreeSet::new() });
        model
    }

    /// The inode that a running program finds under a name.
    fn visible(&self, name: &str) -> Inode {
        let changed = self.pending.iter().rev().find_map(|change| match change {
            Change::Name(changed, inode) if changed == name => Some(*inode),
            _ => None,
        });
        changed.unwrap_or_else(|| self.names[name])
    }

    fn ask(&mut self, asked: &Asked) {
        match asked {
            Asked::Create(inode, name) => {
                self.files.insert(*inode, Bytes::default());
                self.pending.push(Change::Name(name.clone(), *inode));
            }
            Asked::Write(inode, bytes) => self.files.get_mut(inode).unwrap().written.extend_from_slice(bytes),
            Asked::Sync(inode) => {
                let file = self.files.get_mut(inode).unwrap();
                file.synced_len = file.written.len();
            }
            Asked::FailedSync(inode) => {
                let file = self.files.get_mut(inode).unwrap();
                let sectors = file.unsynced_sectors();
                file.dropped.extend(sectors);
                file.synced_len = file.written.len();
            }
            Asked::Rename(from, to) => {
                let inode = self.visible(from);
                self.pending.push(Change::Name(to.clone(), inode));
                self.pending.push(Change::Unname(from.clone()));
            }
            Asked::Remove(name) => self.pending.push(Change::Unname(name.clone())),
            Asked::SyncDirectory => {
                let pending = std::mem::take(&mut self.pending);
                self.names = Self::named(&self.names, pending.iter());
            }
        }
    }

    fn named<'a>(
        names: &BTreeMap<String, Inode>,
        changes: impl Iterator<Item = &'a Change>,
    ) -> BTreeMap<String, Inode> {
        let mut names = names.clone();
        for change in changes {
            match change {
                Change::Name(name, inode) => names.insert(name.clone(), *inode),
                Change::Unname(name) => names.remove(name),
            };
        }
        names
    }

    /// Everything that the store may be after a cut now. What became of temporary files does not matter.
    fn after_a_cut(&self) -> BTreeSet<Found> {
        let mut all = BTreeSet::new();
        for subset in 0..1_usize << self.pending.len() {
            let changes =
                self.pending.iter().enumerate().filter(|(n, _)| subset >> n & 1 == 1).map(|(_, change)| change);
            match Self::named(&self.names, changes).get("store") {
                Some(inode) => all.extend(self.files[inode].after_a_cut().into_iter().map(Some)),
                None => drop(all.insert(None)),
            }
        }
        all
    }
}

/// What a disk writes as a whole.
const SECTOR: usize = 512;

impl Bytes {
    fn unsynced_sectors(&self) -> Range<usize> {
        self.synced_len / SECTOR..self.written.len().div_ceil(SECTOR)
    }

    /// Cut anywhere in what was not synced, and with any of the sectors still zero that were not synced or were
    /// dropped.
    fn after_a_cut(&self) -> BTreeSet<Vec<u8>> {
        let Self { written, synced_len, dropped } = self;
        let cuts = (*synced_len..written.len()).step_by(256);
        let cuts = cuts
            .chain((*synced_len < written.len()).then(|| [synced_len + 1, written.len() - 1]).into_iter().flatten());
        let mut found: BTreeSet<_> = cuts.map(|len| written[..len].to_vec()).collect();
        let doubtful: BTreeSet<_> = dropped.iter().copied().chain(self.unsynced_sectors()).collect();
        let doubtful: Vec<_> = doubtful.into_iter().collect();
        for missing in subsets(doubtful.len()) {
            let mut bytes = written.clone();
            for sector in doubtful.iter().enumerate().filter(|(n, _)| missing.contains(n)).map(|(_, sector)| sector) {
                bytes.chunks_mut(SECTOR).nth(*sector).unwrap().fill(0);
            }
            found.insert(bytes);
        }
        found
    }
}

/// All subsets of so many; of many, those of neighbours, those that lack neighbours, and some others.
fn subsets(count: usize) -> Vec<BTreeSet<usize>> {
    const FEW: usize = 9;
    if count <= FEW {
        return (0..1_usize << count).map(|set| (0..count).filter(|n| set >> n & 1 == 1).collect()).collect();
    }
    let ranges = (0..count).flat_map(|start| (start..=count).map(move |end| start..end));
    let inside = ranges.clone().map(Iterator::collect);
    let outside = ranges.map(|range| (0..count).filter(|n| !range.contains(n)).collect());
    let others = (1..200_u64).map(|seed| {
        let bits = seed.wrapping_mul(0x9E37_79B9_7F4A_7C15);
        (0..count).filter(|n| bits.rotate_left(u32::try_from(*n).unwrap()) & 1 == 1).collect()
    });
    inside.chain(outside).chain(others).collect()
}

/// Unlock methods of a store. The first is the one that it is made with, the second one is never removed.
static WAYS: LazyLock<[Unlock; 4]> = LazyLock::new(|| {
    let recovery_key = || Unlock::from(RecoveryKey::generate().unwrap());
    [unlock(), recovery_key(), recovery_key(), another().into()]
});

fn another() -> Passphrase {
    Passphrase::new("another").kdf(KdfParams::MIN)
}

/// Which of the ways open a store, and what it holds; `None` where there is none.
type Stored = Option<(Vec<usize>, Vec<Token>)>;

/// Which of the ways open a key table, and the vault of it. They are tried once for each, because each try derives
/// keys.
#[derive(Default)]
struct KeyTables(BTreeMap<Vec<u8>, (Vec<usize>, Arc<Vault>)>);

impl KeyTables {
    fn stored_at(&mut self, directory: &TempDir) -> Stored {
        self.stored_in(&Some(fs::read(at(directory)).unwrap())).unwrap()
    }

    fn stored_in(&mut self, found: &Found) -> std::result::Result<Stored, String> {
        let Some(bytes) = found else { return Ok(None) };
        let table = Parts::parse(&mut bytes.clone()).map(|parts| parts.table_bytes.to_vec());
        let table = table.map_err(|flaw| format!("{flaw:?}"))?;
        if !self.0.contains_key(&table) {
            let opened = Self::open(bytes).map_err(|error| error.to_string())?;
            self.0.insert(table.clone(), opened);
        }
        let (ways, vault) = &self.0[&table];
        let tokens = tokens_in(vault, bytes.clone()).map_err(|flaw| format!("{flaw:?}"))?;
        Ok(Some((ways.clone(), tokens)))
    }

    /// Which of the ways open a file.
    fn open(bytes: &[u8]) -> Result<(Vec<usize>, Arc<Vault>)> {
        let directory = tempfile::tempdir().unwrap();
        let file = Os.create_new(&at(&directory)).unwrap();
        Os.write_all(&file, &[bytes]).unwrap();
        let (mut ways, mut vault) = (Vec::new(), Err(Error::LastSlot));
        for (n, way) in WAYS.iter().enumerate() {
            let file = StoreFile::existing(&at(&directory), Access::Checked, 1 << 20, Arc::new(Os))?;
            match Engine::open(file, way, Duration::ZERO) {
                Err(Error::WrongPassphrase { .. } | Error::WrongRecoveryKey { .. } | Error::NoSlotFor { .. }) => {}
                opened => {
                    vault = Ok(opened?.state.read().vault.clone());
                    ways.push(n);
                }
            }
        }
        Ok((ways, vault?))
    }
}

/// Plays what was recorded, with a cut after each step and before the first. Returns how many states were found, or the
/// first one that is neither before nor after, or that is not after although the operation had returned.
fn cut_everywhere(
    tables: &mut KeyTables,
    start: &Model,
    log: &[Asked],
    (before, after): (&Stored, &Stored),
) -> std::result::Result<usize, String> {
    let mut model = start.clone();
    let mut states = 0;
    // Many steps leave the same states.
    let mut opened = BTreeMap::new();
    for step in 0..=log.len() {
        for found in model.after_a_cut() {
            states += 1;
            let stored = opened.entry(found);
            let stored = stored.or_insert_with_key(|found| tables.stored_in(found));
            let returned = step == log.len();
            match stored {
                Ok(stored) if stored == after || (stored == before && !returned) => {}
                other => return Err(format!("cut after {step} of {} steps: {other:?}", log.len())),
            }
        }
        if let Some(asked) = log.get(step) {
            model.ask(asked);
        }
    }
    Ok(states)
}

struct Recorded {
    operation: &'static str,
    start: Model,
    log: Vec<Asked>,
    before: Stored,
    after: Stored,
}

/// Each operation that replaces the file, as the disk saw it.
fn recordings(tables: &mut KeyTables) -> Vec<Recorded> {
    type Run = fn(&Engine);
    let operations: [(&'static str, Run); 13] = [
        ("save", |engine| {
            save(engine, "grace").unwrap();
        }),
        ("save of two blocks", |engine| {
            let token = Token::builder().user_name("grace").access_token("a".repeat(5000)).build();
            save_token(engine, &token).unwrap();
        }),
        ("transaction of saves", |engine| {
            let user = |name: &str| Token::builder().user_name(name).access_token("a").build();
            let make = |overlay: &mut crate::overlay::Overlay<'_>| {
                overlay.namespace("").save(&user("grace"))?;
                overlay.namespace("google").save(&user("ada")).map(drop)
            };
            engine.transaction(make).unwrap();
        }),
        ("save that replaces the file", |engine| {
            engine.sync_failed.store(true, std::sync::atomic::Ordering::SeqCst);
            save(engine, "grace").unwrap();
        }),
        ("update", |engine| {
            let token = Token::builder().user_name("ada").refresh_token("r").build();
            save_token(engine, &token).unwrap();
        }),
        ("delete", |engine| {
            delete(engine, "1").unwrap();
        }),
        ("delete all", |engine| {
            commit(engine, crate::changes::Operation::DeleteAll).unwrap();
        }),
        ("transaction", |engine| {
            let user = |name: &str| Token::builder().user_name(name).access_token("a").build();
            let make = |overlay: &mut crate::overlay::Overlay<'_>| {
                overlay.namespace("").delete(&"1".into());
                overlay.namespace("").save(&user("grace"))?;
                overlay.namespace("google").save(&user("ada")).map(drop)
            };
            engine.transaction(make).unwrap();
        }),
        ("add slot", |engine| {
            engine.add_slot(&WAYS[2]).unwrap();
        }),
        ("remove slot", |engine| {
            engine.remove_slot(engine.slots().unwrap()[0].id).unwrap();
        }),
        ("replace slot", |engine| {
            engine.replace_slot(engine.slots().unwrap()[0].id, &WAYS[2]).unwrap();
        }),
        ("change passphrase", |engine| {
            engine.change_passphrase(&passphrase(), &another()).unwrap();
        }),
        ("rekey", |engine| {
            engine.rekey(&[&WAYS[1]]).unwrap();
        }),
    ];
    let mut recorded = vec![recorded_create(tables)];
    for (operation, run) in operations {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(Recording::default());
        let engine = create(&directory);
        save(&engine, "ada").unwrap();
        engine.add_slot(&WAYS[1]).unwrap();
        save(&engine, "alan").unwrap();
        let start = Model::holding(&at(&directory));
        let before = tables.stored_at(&directory);
        run(&open_with(&directory, disk.clone()));
        let (log, after) = (disk.take(), tables.stored_at(&directory));
        assert_ne!(before, after, "{operation}");
        recorded.push(Recorded { operation, start, log, before, after });
    }
    recorded
}

fn recorded_create(tables: &mut KeyTables) -> Recorded {
    let directory: TempDir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Recording::default());
    create_with(&directory, disk.clone());
    let after = tables.stored_at(&directory);
    let log = disk.take();
    Recorded { operation: "create", start: Model::default(), log, before: None, after }
}

impl Recorded {
    /// Whether the file was appended to, and not replaced.
    fn is_append(&self) -> bool {
        !self.log.iter().any(|asked| matches!(asked, Asked::Rename(..)))
    }
}

#[test]
fn power_cut_at_any_moment_leaves_before_or_after() {
    let mut tables = KeyTables::default();
    let recordings = recordings(&mut tables);
    assert_eq!(recordings.iter().filter(|recorded| recorded.is_append()).count(), 4);
    for recorded in recordings {
        let is_append = recorded.is_append();
        let Recorded { operation, start, log, before, after } = recorded;
        assert!(matches!(log.last(), Some(Asked::SyncDirectory)) != is_append, "{operation}");
        let states = cut_everywhere(&mut tables, &start, &log, (&before, &after))
            .unwrap_or_else(|bad| panic!("{operation}: {bad}"));
        assert!(states > log.len(), "{operation}: only {states} states were looked at");
        println!("{operation}: {states} states");
    }
}

/// The model notices what it is there to notice.
#[test]
fn without_either_sync_a_power_cut_does_harm() {
    let mut tables = KeyTables::default();
    for recorded in recordings(&mut tables) {
        let is_append = recorded.is_append();
        let Recorded { operation, start, log, before, after } = recorded;
        let mut without = |dropped: fn(&Asked) -> bool| {
            let log: Vec<_> = log.iter().filter(|asked| !dropped(asked)).cloned().collect();
            cut_everywhere(&mut tables, &start, &log, (&before, &after))
        };
        let torn = without(|asked| matches!(asked, Asked::Sync(_)));
        assert!(torn.is_err(), "{operation} does not need the file to be synced: {torn:?}");
        if is_append {
            continue;
        }
        let lost = without(|asked| matches!(asked, Asked::SyncDirectory)).unwrap_err();
        let renamed = log.iter().rposition(|asked| matches!(asked, Asked::Rename(..))).unwrap();
        let syncs = log[..renamed].iter().filter(|asked| matches!(asked, Asked::SyncDirectory)).count();
        assert!(lost.starts_with(&format!("cut after {0} of {0}", log.len() - 1 - syncs)), "{operation}: {lost}");
    }
}

/// Two writers of one store, of which the first got into trouble.
struct TwoWriters {
    start: Model,
    first: Vec<Asked>,
    second: Vec<Asked>,
    vault: Arc<Vault>,
    /// What was there before, and after each of them.
    stored: [Vec<Token>; 3],
    is_first_acknowledged: bool,
}

fn tokens_in(vault: &Vault, mut file: Vec<u8>) -> std::result::Result<Vec<Token>, FileFlaw> {
    let (_, rows) = load(vault, &mut file)?;
    Ok(rows.iter().flat_map(|(_, index)| index.tokens()).collect())
}

/// When the second writer has opened the store.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Opened {
    Before,
    After,
}

impl TwoWriters {
    fn run(write: fn(&Engine) -> Result<()>, trouble: Trouble, opened: Opened) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let engine = create(&directory);
        save(&engine, "ada").unwrap();
        save(&engine, "alan").unwrap();
        let start = Model::holding(&at(&directory));
        let vault = engine.state.read().vault.clone();
        let stored_now = || tokens_in(&vault, fs::read(at(&directory)).unwrap()).unwrap();
        let before = stored_now();
        let (one, other) = (Recording::in_trouble(trouble), Arc::new(Recording::default()));
        let first = open_with(&directory, one.clone());
        let second = (opened == Opened::Before).then(|| open_with(&directory, other.clone()));
        let is_first_acknowledged = write(&first).is_ok();
        let between = stored_now();
        let second = second.unwrap_or_else(|| open_with(&directory, other.clone()));
        save(&second, "barbara").unwrap();
        let stored = [before, between, stored_now()];
        Self { start, vault, first: one.take(), second: other.take(), stored, is_first_acknowledged }
    }

    /// Cuts the power after each step of the second writer.
    fn check(&self) -> std::result::Result<usize, String> {
        let mut model = self.start.clone();
        self.first.iter().for_each(|asked| model.ask(asked));
        let [before, between, after] = &self.stored;
        let (mut states, mut opened) = (0, BTreeMap::new());
        for step in 0..=self.second.len() {
            for found in model.after_a_cut() {
                states += 1;
                let stored = opened.entry(found.unwrap_or_default());
                let stored = stored.or_insert_with_key(|bytes| tokens_in(&self.vault, bytes.clone()));
                let is_last = step == self.second.len();
                match stored {
                    Ok(stored) if stored == after => {}
                    Ok(stored) if stored == between && !is_last => {}
                    Ok(stored) if stored == before && !is_last && !self.is_first_acknowledged => {}
                    other => return Err(format!("cut after {step} of {} steps: {other:?}", self.second.len())),
                }
            }
            if let Some(asked) = self.second.get(step) {
                model.ask(asked);
            }
        }
        Ok(states)
    }
}

type Write = fn(&Engine) -> Result<()>;

const WRITES: [(&str, Write); 3] = [
    ("save", |engine| save(engine, "grace").map(drop)),
    ("delete", |engine| delete(engine, "1").map(drop)),
    ("compact", Engine::compact),
];

/// Each trouble that the write may get into. A writer that is killed right after a failed sync has no time to keep
/// others from appending: that disk has failed twice by then, once in silence.
fn troubles(write: Write) -> Vec<Trouble> {
    let directory = tempfile::tempdir().unwrap();
    save(&create(&directory), "ada").unwrap();
    save(&open(&directory), "alan").unwrap();
    let disk = Arc::new(Recording::default());
    write(&open_with(&directory, disk.clone())).unwrap();
    let log = disk.take();
    let kills = (0..=log.len()).map(Trouble::KilledAfter);
    let syncs = log.iter().enumerate().filter(|(_, asked)| matches!(asked, Asked::Sync(_)));
    let most = [1, 2, 7, 8, 100];
    let failures = syncs.flat_map(|(after, _)| most.map(|killed_after| Trouble::SyncFails { after, killed_after }));
    kills.chain(failures).collect()
}

/// With each so many-th trouble.
fn assert_second_writer_survives(step: usize) {
    let mut states = 0;
    for (name, write) in WRITES {
        for (n, trouble) in troubles(write).into_iter().enumerate() {
            for opened in [Opened::Before, Opened::After] {
                if (n + usize::from(opened == Opened::After)) % step == 0 {
                    let checked = TwoWriters::run(write, trouble, opened).check();
                    states += checked.unwrap_or_else(|bad| panic!("{name}, {trouble:?}, {opened:?}: {bad}"));
                }
            }
        }
    }
    assert!(states > 5_000, "only {states} states were looked at");
    println!("{states} states");
}

#[test]
fn second_writer_after_a_killed_one_survives_a_power_cut() {
    assert_second_writer_survives(5);
}

#[test]
#[ignore = "takes minutes: `.ci/campaign damage`"]
fn second_writer_survives_a_power_cut_after_any_trouble() {
    assert_second_writer_survives(1);
}

/// What the second writer must not leave out.
#[test]
fn second_writer_without_its_syncs_loses_a_store() {
    let without = |write: Write, trouble, dropped: fn(&Asked) -> bool| {
        let mut writers = TwoWriters::run(write, trouble, Opened::After);
        let place = writers.second.iter().position(dropped).unwrap();
        writers.second.remove(place);
        writers.check()
    };
    let (save, compact) = (WRITES[0].1, WRITES[2].1);
    // Killed after the append.
    let unsynced = without(save, Trouble::KilledAfter(3), |asked| matches!(asked, Asked::Sync(_)));
    assert!(unsynced.as_ref().is_err_and(|bad| bad.contains("Tampered")), "{unsynced:?}");
    // Killed after the rename, before the directory was synced.
    let rename = {
        let writers = TwoWriters::run(compact, Trouble::KilledAfter(100), Opened::After);
        writers.first.iter().position(|asked| matches!(asked, Asked::Rename(..))).unwrap()
    };
    let nameless = without(compact, Trouble::KilledAfter(rename + 1), |asked| matches!(asked, Asked::SyncDirectory));
    assert!(nameless.is_err(), "{nameless:?}");
}
