//! What an application waits for, beside what the machine needs for the least that has to be done, in the same run:
//! `cargo bench`. The limits are the rows that start with `limit`.

use std::{
    collections::HashMap,
    fs::{self, File},
    hint::black_box,
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use argon2::{Algorithm, Argon2, Params, Version};
use criterion::{BatchSize, BenchmarkId, Criterion, criterion_group, criterion_main};
use ring::{
    aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey},
    digest::{SHA256, digest},
};
use tempfile::TempDir;
use tokenkeep::{KdfParams, Keystore, RecoveryKey, Token, TokenId, TokenStore, Unlock, testing};

const SIZES: [usize; 3] = [10, 1_000, 100_000];

/// A store that a recovery key opens: without a key derivation.
struct Fixture {
    folder: TempDir,
    path: PathBuf,
    unlock: Unlock,
    store: Keystore,
    size: usize,
}

impl Fixture {
    fn new(size: usize) -> Self {
        // On the disk that the project is on: other temporary folders may be in memory.
        let folder = TempDir::new_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
        let path = folder.path().join("tokens.keep");
        let unlock = Unlock::recovery_key(RecoveryKey::generate().unwrap());
        let store = Keystore::create(&path, unlock.clone()).unwrap();
        testing::fill(&store, (0..size).map(token).collect()).unwrap();
        Self { folder, path, unlock, store, size }
    }

    fn open(&self) -> Keystore {
        Keystore::open(&self.path, self.unlock.clone()).unwrap()
    }
}

/// Some 430 bytes in the file, as a token of a vendor's is.
fn token(number: usize) -> Token {
    let secret = |what: &str, len: usize| {
        let hash = digest(&SHA256, format!("{what} {number}").as_bytes());
        hash.as_ref().iter().cycle().take(len / 2).map(|byte| format!("{byte:02x}")).collect::<String>()
    };
    Token::builder()
        .user_name(format!("user{number}@example.com"))
        .client_id(format!("1000.{}", secret("client", 30)))
        .client_secret(secret("client secret", 42))
        .refresh_token(format!("1000.{}", secret("refresh", 64)))
        .access_token(format!("1000.{}", secret("access", 64)))
        .api_domain("https://www.example.com")
        .build()
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
        let stored = token(size / 2);
        let name = stored.user_name().unwrap();
        let by_user = Token::builder().user_name(name).build();
        let by_refresh = Token::builder()
            .client_id(stored.client_id().unwrap())
            .client_secret(stored.client_secret().unwrap().expose_secret())
            .refresh_token(stored.refresh_token().unwrap().expose_secret())
            .build();
        let absent = Token::builder().user_name("nobody").build();
        let id = TokenId::from((size / 2 + 1).to_string());
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
        bench("limit: HashMap", &|| names.get(black_box(name)).cloned().is_some());
        bench("snapshot, by user", &|| snapshot.find_stored(&by_user).is_some());
        bench("snapshot, by id", &|| snapshot.find_token_by_id(&id).is_some());
    }
}

fn save(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("save");
    group.sample_size(10);
    for size in SIZES {
        let fixture = Fixture::new(size);
        let bytes = fs::read(&fixture.path).unwrap();
        let mut round = 0;
        group.bench_function(BenchmarkId::new("limit: replace, hash, encrypt", size), |bencher| {
            bencher.iter(|| replace(fixture.folder.path(), sealed(bytes.clone())));
        });
        group.bench_function(BenchmarkId::new("save of a changed token", size), |bencher| {
            bencher.iter(|| {
                round += 1;
                let user = format!("user{}@example.com", round % fixture.size);
                let changed = Token::builder().user_name(user).access_token(format!("1000.{round:0>64}")).build();
                fixture.store.save_token(&changed).unwrap()
            });
        });
    }
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
                        let store = &fixture.store;
                        scope.spawn(move || {
                            for round in 0..saves.div_ceil(threads) {
                                let changed = Token::builder()
                                    .user_name(format!("user{thread}@example.com"))
                                    .access_token(format!("1000.{round:0>64}"))
                                    .build();
                                store.save_token(&changed).unwrap();
                            }
                        });
                    }
                });
                started.elapsed()
            });
        });
    }
}

/// Durably, and nothing else.
fn replace(folder: &Path, bytes: Vec<u8>) {
    let temporary = folder.join("limit.tmp");
    let mut file = File::create(&temporary).unwrap();
    file.write_all(&bytes).unwrap();
    file.sync_all().unwrap();
    fs::rename(temporary, folder.join("limit")).unwrap();
    File::open(folder).unwrap().sync_all().unwrap();
}

fn sealed(mut bytes: Vec<u8>) -> Vec<u8> {
    black_box(digest(&SHA256, &bytes));
    let tag = aead().seal_in_place_separate_tag(nonce(), Aad::empty(), &mut bytes).unwrap();
    bytes.extend_from_slice(tag.as_ref());
    bytes
}

fn aead() -> LessSafeKey {
    LessSafeKey::new(UnboundKey::new(&AES_256_GCM, &[7; 32]).unwrap())
}

fn nonce() -> Nonce {
    Nonce::assume_unique_for_key([0; 12])
}

fn open(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("open");
    group.sample_size(10);
    for size in SIZES {
        let fixture = Fixture::new(size);
        let limit = fixture.folder.path().join("limit");
        fs::write(&limit, sealed(fs::read(&fixture.path).unwrap())).unwrap();
        group.bench_function(BenchmarkId::new("limit: read, decrypt", size), |bencher| {
            bencher.iter(|| {
                let mut bytes = fs::read(&limit).unwrap();
                aead().open_in_place(nonce(), Aad::empty(), &mut bytes).unwrap().len()
            });
        });
        group.bench_function(BenchmarkId::new("with a recovery key", size), |bencher| {
            bencher.iter_batched(|| (), |()| fixture.open(), BatchSize::PerIteration);
        });
    }

    let fixture = Fixture::new(100);
    let passphrase = Unlock::passphrase("correct horse battery staple");
    fixture.store.add_slot(passphrase.clone()).unwrap();
    let cost = KdfParams::default();
    group.bench_function("limit: Argon2id", |bencher| {
        let params = Params::new(cost.memory_kib(), cost.passes(), cost.lanes(), Some(32)).unwrap();
        let argon2 = Argon2::new(Algorithm::Argon2id, Version::V0x13, params);
        let mut key = [0; 32];
        bencher.iter(|| argon2.hash_password_into(b"correct horse battery staple", &[1; 32], &mut key).unwrap());
    });
    group.bench_function("with a passphrase, 100 tokens", |bencher| {
        bencher.iter(|| Keystore::open(&fixture.path, passphrase.clone()).unwrap());
    });
}

criterion_group! {
    name = benches;
    config = Criterion::default().warm_up_time(Duration::from_millis(300)).measurement_time(Duration::from_secs(2));
    targets = find, save, threads, open
}
criterion_main!(benches);
