//! What an application waits for, beside what the machine needs for the least that has to be done, in the same run:
//! `cargo bench`. The limits are the rows that start with `limit`. `benches/peers` has what people would pick instead.

#[path = "common/limits.rs"]
#[allow(dead_code, reason = "benches/peers uses more of it")]
mod limits;
#[path = "common/rows.rs"]
mod rows;

use std::{
    collections::HashMap,
    fs::{self, File},
    hint::black_box,
    path::PathBuf,
    thread,
    time::{Duration, Instant},
};

use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use rows::Row;
use tempfile::TempDir;
use tokenkeep::{Keystore, Passphrase, RecoveryKey, Token, TokenId, TokenStore, Unlock, testing};

const SIZES: [usize; 3] = [10, 1_000, 100_000];
const PASSPHRASE: &str = "correct horse battery staple";

/// A store that a recovery key opens: without a key derivation.
struct Fixture {
    directory: TempDir,
    path: PathBuf,
    unlock: Unlock,
    store: Keystore,
    size: usize,
}

impl Fixture {
    fn new(size: usize) -> Self {
        // On the disk that the project is on: other temporary directories may be in memory.
        let directory = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = directory.path().join("tokens.keep");
        let unlock = Unlock::from(RecoveryKey::generate().unwrap());
        let store = Keystore::create(&path, &unlock).unwrap();
        testing::fill(&store, Row::table(size).iter().map(Row::token).collect()).unwrap();
        Self { directory, path, unlock, store, size }
    }

    fn open(&self) -> Keystore {
        Keystore::open(&self.path, &self.unlock).unwrap()
    }

    /// Saves a row again, another one each round.
    fn save(&self, round: u64) {
        let row = Row::new(1 + round as usize % self.size);
        self.store.save_token(&row.refreshed(round).token()).unwrap();
    }
}

fn find(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("find");
    for size in SIZES {
        let fixture = Fixture::new(size);
        let Fixture { store, path, .. } = &fixture;
        let names: HashMap<String, Token> = store
            .get_tokens()
            .unwrap()
            .into_iter()
            .map(|token| (token.user_name().unwrap().to_owned(), token))
            .collect();
        let Row { id, user_name: name, client_id, client_secret, refresh_token, .. } = Row::new(size / 2);
        let by_user = Token::builder().user_name(&*name).build();
        let by_refresh =
            Token::builder().client_id(client_id).client_secret(client_secret).refresh_token(refresh_token).build();
        let absent = Token::builder().user_name("nobody").build();
        let id = TokenId::from(id);
        let snapshot = store.snapshot().unwrap();
        assert!(store.find_stored(&by_refresh).unwrap().is_some());

        let mut bench = |name: &str, run: &dyn Fn() -> bool| {
            group.bench_function(BenchmarkId::new(name, size), |bencher| bencher.iter(|| assert!(black_box(run()))));
        };
        bench("limit: stat", &|| fs::metadata(path).is_ok());
        bench("by id", &|| store.find_token_by_id(&id).unwrap().is_some());
        bench("by user", &|| store.find_stored(&by_user).unwrap().is_some());
        bench("by refresh token", &|| store.find_stored(&by_refresh).unwrap().is_some());
        bench("absent", &|| store.find_stored(&absent).unwrap().is_none());
        bench("limit: HashMap", &|| names.get(black_box(&name)).cloned().is_some());
        bench("snapshot, by user", &|| snapshot.find_stored(&by_user).unwrap().is_some());
        bench("snapshot, by id", &|| snapshot.find_token_by_id(&id).is_some());
    }
}

fn save(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("save");
    group.sample_size(10);
    for size in SIZES {
        let fixture = Fixture::new(size);
        let mut bytes = fs::read(&fixture.path).unwrap();
        let mut journal = File::create(fixture.directory.path().join("journal")).unwrap();
        let (mut round, record) = (0, limits::record());
        group.bench_function(BenchmarkId::new("limit: append", size), |bencher| {
            bencher.iter(|| limits::append(&mut journal, &record));
        });
        group.bench_function(BenchmarkId::new("save of a changed token", size), |bencher| {
            bencher.iter(|| {
                round += 1;
                fixture.save(round);
            });
        });
        group.bench_function(BenchmarkId::new("limit: replace, hash, encrypt", size), |bencher| {
            bencher.iter(|| {
                limits::seal(&mut bytes);
                limits::replace(fixture.directory.path(), &bytes);
            });
        });
        group.bench_function(BenchmarkId::new("compact", size), |bencher| {
            bencher.iter(|| fixture.store.compact().unwrap());
        });
    }
}

/// 500 first saves as one transaction, beside one first save. Each starts from a store without tokens.
fn transaction(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("transaction");
    group.sample_size(10);
    let fixture = Fixture::new(0);
    let store = fixture.open();
    let first = |n: u64| Token::builder().user_name(format!("new {n}")).access_token("a").build();
    group.bench_function("one first save", |bencher| {
        let empty = || store.delete_tokens().unwrap();
        bencher.iter_batched(empty, |_| store.save_token(&first(0)).unwrap(), BatchSize::PerIteration);
    });
    group.bench_function("500 first saves", |bencher| {
        let empty = || store.delete_tokens().unwrap();
        let saves =
            |_| store.transaction(|transaction| (0..500).try_for_each(|n| transaction.save_token(&first(n)).map(drop)));
        bencher.iter_batched(empty, |count| saves(count).unwrap(), BatchSize::PerIteration);
    });
}

/// The time that one save takes, when that many threads save with one handle.
fn threads(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("threads");
    group.sample_size(10);
    let fixture = Fixture::new(100);
    for threads in [1, 16] {
        group.bench_function(BenchmarkId::new("save, 100 tokens", threads), |bencher| {
            bencher.iter_custom(|saves| {
                let started = Instant::now();
                thread::scope(|scope| {
                    for thread in 0..threads {
                        let fixture = &fixture;
                        scope.spawn(move || {
                            (0..saves.div_ceil(threads)).for_each(|round| fixture.save(round * threads + thread));
                        });
                    }
                });
                started.elapsed()
            });
        });
    }
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    for size in SIZES {
        let fixture = Fixture::new(size);
        let mut bytes = fs::read(&fixture.path).unwrap();
        limits::seal(&mut bytes);
        limits::replace(fixture.directory.path(), &bytes);
        group.bench_function(BenchmarkId::new("limit: read, decrypt", size), |bencher| {
            bencher.iter(|| limits::read_and_decrypt(fixture.directory.path()));
        });
        group.bench_function(BenchmarkId::new("with a recovery key", size), |bencher| {
            bencher.iter_batched(|| (), |()| fixture.open(), BatchSize::PerIteration);
        });
    }

    let fixture = Fixture::new(100);
    let passphrase = Unlock::from(Passphrase::new(PASSPHRASE));
    fixture.store.add_slot(&passphrase).unwrap();
    group.bench_function("limit: Argon2id", |bencher| bencher.iter(|| limits::derive_key(PASSPHRASE)));
    group.bench_function("with a passphrase, 100 tokens", |bencher| {
        bencher.iter(|| Keystore::open(&fixture.path, &passphrase).unwrap());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    targets = find, save, transaction, threads, open
}
criterion_main!(benches);
