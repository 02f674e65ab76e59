//! tokenkeep, and the limits of the machine for what it does.

use std::{
    collections::HashMap,
    fs::{self, File},
    hint::black_box,
    iter,
    path::{Path, PathBuf},
};

use rustix::fs::FallocateFlags;
use tokenkeep::{Keystore, Passphrase, RecoveryKey, Snapshot, Token, TokenId, TokenStore, Unlock, testing};

use crate::{
    limits,
    peer::{By, Peer},
    rows::Row,
    worker::{Worker, Works, chosen, median, time, time_each},
};

const NAME: &str = "tokens.keep";
const JOURNAL: &str = "journal";
const RECOVERY_KEY: &str = "recovery-key";
const PASSPHRASE: &str = "correct horse battery staple";
const PAIRS: u32 = 6;
/// A journal of so many bytes is never too long.
const LEAST_JOURNAL: u64 = 1 << 20;
/// The limit of a file.
const LONGEST_FILE: u64 = 64 << 20;

pub struct Tokenkeep(Keystore);

pub enum Query {
    Id(TokenId),
    Token(Token),
}

impl Peer for Tokenkeep {
    type Query = Query;

    fn fill(directory: &Path, rows: Vec<Row>) {
        let key = RecoveryKey::generate().unwrap();
        fs::write(directory.join(RECOVERY_KEY), key.expose_secret()).unwrap();
        let store = Keystore::create(directory.join(NAME), &Unlock::from(key)).unwrap();
        testing::fill(&store, rows.iter().map(Row::token).collect()).unwrap();
    }

    fn open(directory: &Path) -> Self {
        let key: RecoveryKey = fs::read_to_string(directory.join(RECOVERY_KEY)).unwrap().parse().unwrap();
        Self(Keystore::open(directory.join(NAME), &Unlock::from(key)).unwrap())
    }

    fn query(&self, by: By, row: &Row) -> Query {
        query(by, row)
    }

    fn find(&self, query: &Query) -> bool {
        let found = match query {
            Query::Id(id) => self.0.find_token_by_id(id),
            Query::Token(token) => self.0.find_stored(token),
        };
        black_box(found.unwrap()).is_some()
    }

    fn save(&self, row: &Row) {
        self.0.save_token(&row.token()).unwrap();
    }

    fn delete(&self, row: &Row) {
        assert!(self.0.delete_token(&TokenId::from(&*row.id)).unwrap());
    }

    fn restore(&self, row: &Row) {
        self.0.save_token(&row.token().to_builder().id(&*row.id).build()).unwrap();
    }

    fn list(&self) -> usize {
        black_box(self.0.get_tokens().unwrap()).len()
    }
}

/// The length of a journal that counts as full: three quarters of the length at which a save replaces the file.
fn full_journal_len(body_end: u64) -> u64 {
    LEAST_JOURNAL.max(body_end).min(LONGEST_FILE - body_end) / 100 * 75
}

fn query(by: By, row: &Row) -> Query {
    match by {
        By::Id => Query::Id(TokenId::from(&*row.id)),
        By::User => Query::Token(Token::builder().user_name(&*row.user_name).build()),
        By::RefreshToken => Query::Token(
            Token::builder()
                .client_id(&*row.client_id)
                .client_secret(&*row.client_secret)
                .refresh_token(&*row.refresh_token)
                .build(),
        ),
    }
}

/// tokenkeep at work, with what it alone is asked for.
pub struct Ours(pub Worker<Tokenkeep>);

impl Works for Ours {
    fn work(&mut self, work: &str, count: usize, seed: u64) -> Option<f64> {
        let rows = chosen(self.0.size, seed).take(count).map(Row::new);
        Some(match work {
            "snapshot-user" => self.find_in_snapshot(rows.map(|row| query(By::User, &row))),
            "snapshot-id" => self.find_in_snapshot(rows.map(|row| query(By::Id, &row))),
            "open-passphrase" => time(count, self.opening_with_a_passphrase(count)),
            // Too little to be seen in two medians: each is held against one beside it, in both orders, several times.
            "beyond-argon2" => {
                let open = || time(1, self.opening_with_a_passphrase(1));
                let derive = || time(1, || _ = black_box(limits::derive_key(PASSPHRASE)));
                let beyond = (0..PAIRS).map(|pair| if pair % 2 == 0 { open() - derive() } else { -derive() + open() });
                beyond.sum::<f64>() / f64::from(PAIRS)
            }
            "open" => {
                self.0.store().0.compact().unwrap();
                return self.0.work(work, count, seed);
            }
            "open-full" => {
                self.fill_the_journal();
                return self.0.work("open", count, seed);
            }
            "find-after-save" => self.find_after_saves_of_another_handle(rows),
            _ => return self.0.work(work, count, seed),
        })
    }
}

impl Ours {
    /// What opens the store so many times, with the only slot that is a passphrase's.
    fn opening_with_a_passphrase(&self, count: usize) -> impl FnOnce() {
        let unlock = Unlock::from(Passphrase::new(PASSPHRASE));
        if self.0.store().0.slots().unwrap().len() == 1 {
            self.0.store().0.add_slot(&unlock).unwrap();
        }
        let path = self.0.directory.join(NAME);
        move || (0..count).for_each(|_| drop(Keystore::open(&path, &unlock).unwrap()))
    }

    /// Saves until the journal counts as full.
    fn fill_the_journal(&self) {
        let store = &self.0.store().0;
        let mut rows = chosen(self.0.size, 0).map(Row::new).zip(1..);
        loop {
            let status = store.status().unwrap();
            let body_end = status.file_len - status.journal.len;
            if status.journal.len > full_journal_len(body_end) {
                return;
            }
            // To ask takes longer than to save.
            for (row, round) in rows.by_ref().take(50) {
                store.save_token(&row.refreshed(round).token()).unwrap();
            }
        }
    }

    /// What a find takes after another process has saved one token. The median: now and then a save replaces the file,
    /// and the next find reads all of it.
    fn find_after_saves_of_another_handle(&self, rows: impl Iterator<Item = Row>) -> f64 {
        let (store, other) = (self.0.store(), Tokenkeep::open(&self.0.directory));
        let times = rows.zip(1..).map(|(row, round)| {
            other.save(&row.refreshed(round));
            let query = query(By::Id, &row);
            time(1, || assert!(store.find(&query)))
        });
        median(times.collect())
    }

    fn find_in_snapshot(&self, queries: impl Iterator<Item = Query>) -> f64 {
        let snapshot: Snapshot = self.0.store().0.snapshot().unwrap();
        let find = |query: &Query| match query {
            Query::Id(id) => snapshot.find_token_by_id(id),
            Query::Token(token) => snapshot.find_stored(token).unwrap(),
        };
        time_each(queries, |query| assert!(black_box(find(query)).is_some()))
    }
}

/// The least that the machine needs for each work, over as many bytes as tokenkeep has for that many rows.
pub struct Limits {
    worker: Worker<Tokenkeep>,
    tokens: HashMap<String, Token>,
    bytes: Vec<u8>,
    /// What saves are appended to, with blocks reserved beyond its end.
    journal: Option<File>,
    record: Vec<u8>,
}

impl Limits {
    pub fn new(worker: Worker<Tokenkeep>) -> Self {
        Self { worker, tokens: HashMap::new(), bytes: Vec::new(), journal: None, record: limits::record() }
    }

    fn replace(&mut self) {
        limits::seal(&mut self.bytes);
        limits::replace(&self.worker.directory, &self.bytes);
    }

    /// The file that records are appended to, with blocks reserved for that many.
    fn journal(&mut self, count: usize) -> &mut File {
        let journal = self.journal.as_mut().expect("the work `start` comes first");
        let (len, room) = (journal.metadata().unwrap().len(), (count * limits::RECORD_LEN) as u64);
        rustix::fs::fallocate(&*journal, FallocateFlags::KEEP_SIZE, len, room).unwrap();
        journal.sync_all().unwrap();
        journal
    }

    fn append(&mut self, count: usize) -> f64 {
        let record = self.record.clone();
        let journal = self.journal(count);
        time(count, || (0..count).for_each(|_| limits::append(journal, &record)))
    }

    fn append_locked(&mut self, count: usize) -> f64 {
        let (mut record, path) = (self.record.clone(), self.worker.directory.join(JOURNAL));
        self.journal(count);
        time(count, || (0..count).for_each(|_| limits::append_locked(&path, &mut record)))
    }

    /// What it takes to read a record that was just appended.
    fn read_appended(&mut self, count: usize) -> f64 {
        let (record, path) = (self.record.clone(), self.worker.directory.join(JOURNAL));
        let journal = self.journal(count);
        let read = || {
            limits::append(journal, &record);
            time(1, || _ = black_box(limits::read_last_record(&path)))
        };
        median(iter::repeat_with(read).take(count).collect())
    }

    /// A file of as many bytes as tokenkeep has with a full journal.
    fn with_full_journal(&self) -> PathBuf {
        let path = self.worker.directory.join("full");
        if !path.exists() {
            let records = full_journal_len(self.bytes.len() as u64) as usize / limits::RECORD_LEN;
            fs::write(&path, [self.bytes.as_slice(), &self.record.repeat(records)].concat()).unwrap();
        }
        path
    }
}

impl Works for Limits {
    fn work(&mut self, work: &str, count: usize, seed: u64) -> Option<f64> {
        let directory = self.worker.directory.clone();
        let path = directory.join(NAME);
        Some(match work {
            "fill" => return self.worker.work(work, count, seed),
            "start" => time(1, || {
                let tokens = Row::table(self.worker.size).into_iter().map(|row| (row.user_name.clone(), row.token()));
                self.tokens = tokens.collect();
                self.bytes = fs::read(&path).unwrap();
                self.replace();
                let journal = directory.join(JOURNAL);
                fs::write(&journal, &self.bytes).unwrap();
                self.journal = Some(fs::OpenOptions::new().append(true).open(journal).unwrap());
            }),
            "find-id" | "find-user" | "find-refresh" | "absent-id" | "absent-user" | "absent-refresh" => {
                time(count, || (0..count).for_each(|_| _ = black_box(fs::metadata(&path).unwrap())))
            }
            "snapshot-id" | "snapshot-user" => {
                let names = chosen(self.worker.size, seed).take(count).map(|it| Row::new(it).user_name);
                time_each(names, |name| assert!(black_box(self.tokens.get(name).cloned()).is_some()))
            }
            "save" => self.append(count),
            "save-locked" => self.append_locked(count),
            "find-after-save" => self.read_appended(count),
            "delete" => time(count, || (0..count).for_each(|_| self.replace())),
            "open" => time(count, || (0..count).for_each(|_| _ = black_box(limits::read_and_decrypt(&directory)))),
            "open-full" => {
                let (full, body_len) = (self.with_full_journal(), self.bytes.len());
                let read = || _ = black_box(limits::read_and_decrypt_records(&full, body_len));
                time(count, || (0..count).for_each(|_| read()))
            }
            "open-passphrase" => time(count, || (0..count).for_each(|_| _ = black_box(limits::derive_key(PASSPHRASE)))),
            "own-bytes" => self.bytes.len() as f64,
            _ => return None,
        })
    }
}
