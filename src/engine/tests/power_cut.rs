//! What a power cut may leave, enumerated.
//!
//! A disk behind the seam records every operation. A model then says what may be found after a cut at any moment: of a
//! file that was not synced any part of its bytes, in any order; of a directory that was not synced any of its pending
//! changes of names, without regard to what became of the files' bytes. Each such state has to open, to what was before
//! the operation or to what was after it, and to that once the operation has returned.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs::{self, File},
    io,
    os::unix::fs::MetadataExt,
    sync::LazyLock,
};

use tempfile::TempDir;

use super::*;
use crate::{
    Token,
    file::{Access, Disk, Os},
    index::Index,
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
    Rename(String, String),
    SyncDirectory,
    Remove(String),
}

#[derive(Debug, Default)]
struct Recording(Mutex<Vec<Asked>>);

fn name(path: &Path) -> String {
    path.file_name().unwrap().to_str().unwrap().to_owned()
}

impl Recording {
    fn note<T>(&self, done: io::Result<T>, asked: Asked) -> io::Result<T> {
        self.0.lock().push(asked);
        done
    }
}

impl Disk for Recording {
    fn create_new(&self, path: &Path) -> io::Result<File> {
        let file = Os.create_new(path)?;
        let inode = file.metadata()?.ino();
        self.note(Ok(file), Asked::Create(inode, name(path)))
    }
    fn write_all(&self, file: &mut File, parts: &[&[u8]]) -> io::Result<()> {
        let inode = file.metadata()?.ino();
        // One after the other, as they may reach the disk.
        parts.iter().try_for_each(|part| self.note(Os.write_all(file, &[part]), Asked::Write(inode, part.to_vec())))
    }
    fn sync(&self, file: &File) -> io::Result<()> {
        self.note(Os.sync(file), Asked::Sync(file.metadata()?.ino()))
    }
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(Os.rename(from, to), Asked::Rename(name(from), name(to)))
    }
    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.note(Os.rename_new(from, to), Asked::Rename(name(from), name(to)))
    }
    fn open_directory(&self, directory: &Path) -> io::Result<Option<File>> {
        Os.open_directory(directory)
    }
    fn sync_directory(&self, directory: &File) -> io::Result<()> {
        self.note(Os.sync_directory(directory), Asked::SyncDirectory)
    }
    fn look(&self, path: &Path) -> io::Result<()> {
        Os.look(path)
    }
    fn remove(&self, path: &Path) -> io::Result<()> {
        self.note(Os.remove(path), Asked::Remove(name(path)))
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

#[derive(Debug, Clone, Default)]
struct Bytes {
    synced: Vec<u8>,
    written: Vec<u8>,
}

#[derive(Debug, Clone)]
enum Change {
    Name(String, Inode),
    Unname(String),
}

/// Names and what is in their files, after a cut.
type Found = BTreeMap<String, Vec<u8>>;

impl Model {
    fn holding(name: &str, bytes: &[u8]) -> Self {
        let mut model = Self::default();
        model.names.insert(name.to_owned(), 0);
        model.files.insert(0, Bytes { synced: bytes.to_vec(), written: bytes.to_vec() });
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
                file.synced.clone_from(&file.written);
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

    /// Everything that may be found after a cut now.
    fn after_a_cut(&self) -> BTreeSet<Found> {
        let mut all = BTreeSet::new();
        for subset in 0..1_usize << self.pending.len() {
            let changes =
                self.pending.iter().enumerate().filter(|(n, _)| subset >> n & 1 == 1).map(|(_, change)| change);
            let mut found = BTreeSet::from([Found::new()]);
            for (name, inode) in Self::named(&self.names, changes) {
                let variants = self.files[&inode].after_a_cut();
                let with = |found: &Found, bytes: &Vec<u8>| {
                    let mut found = found.clone();
                    found.insert(name.clone(), bytes.clone());
                    found
                };
                found = found.iter().flat_map(|found| variants.iter().map(move |bytes| with(found, bytes))).collect();
            }
            all.extend(found);
        }
        all
    }
}

impl Bytes {
    /// Of a new file that was not synced: cut anywhere, and with any of its blocks of 1 KiB still zero.
    fn after_a_cut(&self) -> BTreeSet<Vec<u8>> {
        let mut found = BTreeSet::from([self.synced.clone(), self.written.clone()]);
        if self.synced == self.written {
            return found;
        }
        let cuts = (0..self.written.len()).step_by(256).chain([1, self.written.len() - 1]);
        found.extend(cuts.map(|len| self.written[..len].to_vec()));
        let blocks = self.written.len().div_ceil(1024);
        for subset in 0..1_usize << blocks {
            let mut bytes = self.written.clone();
            for (n, block) in bytes.chunks_mut(1024).enumerate() {
                if subset >> n & 1 == 0 {
                    block.fill(0);
                }
            }
            found.insert(bytes);
        }
        found
    }
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

fn stored_at(directory: &TempDir) -> Result<Stored> {
    let mut stored = (Vec::new(), Err(Error::LastSlot));
    for (n, way) in WAYS.iter().enumerate() {
        let file = StoreFile::existing(&at(directory), Access::Checked, 1 << 20, Arc::new(Os))?;
        match Engine::open(file, way, Duration::ZERO) {
            Err(Error::WrongPassphrase { .. } | Error::WrongRecoveryKey { .. } | Error::NoSlotFor { .. }) => {}
            opened => {
                let engine = opened?;
                let mut tokens = engine.read("", Index::tokens)?;
                for name in engine.namespaces()? {
                    tokens.extend(engine.read(&name, Index::tokens)?);
                }
                stored.1 = Ok(tokens);
                stored.0.push(n);
            }
        }
    }
    Ok(Some((stored.0, stored.1?)))
}

fn stored_in(found: &Found) -> Result<Stored> {
    let Some(bytes) = found.get("store") else { return Ok(None) };
    let directory = tempfile::tempdir().unwrap();
    let file = Os.create_new(&at(&directory)).unwrap();
    Os.write_all(&mut { file }, &[bytes]).unwrap();
    stored_at(&directory)
}

/// Plays what was recorded, with a cut after each step and before the first. Returns how many states were found, or the
/// first one that is neither before nor after, or that is not after although the operation had returned.
fn cut_everywhere(start: &Model, log: &[Asked], before: &Stored, after: &Stored) -> std::result::Result<usize, String> {
    let mut model = start.clone();
    let mut states = 0;
    // Many states differ only in a temporary file; what opens is the store.
    let mut opened = BTreeMap::new();
    for step in 0..=log.len() {
        for found in model.after_a_cut() {
            states += 1;
            let bytes = found.get("store").cloned();
            let stored = opened.entry(bytes).or_insert_with(|| stored_in(&found).map_err(|error| error.to_string()));
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
fn recordings() -> Vec<Recorded> {
    type Run = fn(&Engine);
    let operations: [(&'static str, Run); 10] = [
        ("save", |engine| {
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
    let mut recorded = vec![recorded_create()];
    for (operation, run) in operations {
        let directory = tempfile::tempdir().unwrap();
        let disk = Arc::new(Recording::default());
        let engine = create(&directory);
        save(&engine, "ada").unwrap();
        engine.add_slot(&WAYS[1]).unwrap();
        let start = Model::holding("store", &fs::read(at(&directory)).unwrap());
        let before = stored_at(&directory).unwrap();
        run(&open_with(&directory, disk.clone()));
        let (log, after) = (std::mem::take(&mut *disk.0.lock()), stored_at(&directory).unwrap());
        assert_ne!(before, after, "{operation}");
        recorded.push(Recorded { operation, start, log, before, after });
    }
    recorded
}

fn recorded_create() -> Recorded {
    let directory: TempDir = tempfile::tempdir().unwrap();
    let disk = Arc::new(Recording::default());
    create_with(&directory, disk.clone());
    let after = stored_at(&directory).unwrap();
    let log = std::mem::take(&mut *disk.0.lock());
    Recorded { operation: "create", start: Model::default(), log, before: None, after }
}

#[test]
fn power_cut_at_any_moment_leaves_before_or_after() {
    for Recorded { operation, start, log, before, after } in recordings() {
        assert!(matches!(log.last(), Some(Asked::SyncDirectory)), "{operation}: {log:?}");
        let states = cut_everywhere(&start, &log, &before, &after).unwrap_or_else(|bad| panic!("{operation}: {bad}"));
        assert!(states > 80, "{operation}: only {states} states were looked at");
        println!("{operation}: {states} states");
    }
}

/// The model notices what it is there to notice.
#[test]
fn without_either_sync_a_power_cut_does_harm() {
    for Recorded { operation, start, log, before, after } in recordings() {
        let without = |dropped: fn(&Asked) -> bool| {
            let log: Vec<_> = log.iter().filter(|asked| !dropped(asked)).cloned().collect();
            cut_everywhere(&start, &log, &before, &after)
        };
        let torn = without(|asked| matches!(asked, Asked::Sync(_)));
        assert!(torn.is_err(), "{operation} does not need the file to be synced: {torn:?}");
        let lost = without(|asked| matches!(asked, Asked::SyncDirectory)).unwrap_err();
        assert!(lost.starts_with(&format!("cut after {0} of {0}", log.len() - 1)), "{operation}: {lost}");
    }
}
