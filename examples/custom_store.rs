//! An application's own `TokenStore`: a JSON file whose rows are sealed.
//!
//!     cargo run --example custom_store
//!
//! The rules of save and find come from `tokenkeep::matching`, and `tokenkeep::testing::conformance` checks the store
//! against them. A `tokenkeep::vault::Vault` unlocks the store like a keystore, seals its rows, and makes the blind
//! indexes that rows are found by. The JSON file shows no token, no user name and no id.
//!
//! It is a model for a store over a database or a cloud service. For a plain file, use `Keystore`, which is faster and
//! serves several processes at once: this store refuses the second one, by its lock file. A store for several processes
//! has to do two things more, which `tokenkeep::vault` explains:
//!
//! - Each transaction on rows begins with a comparison: if the stored key table is not `vault.bytes()`, it calls
//!   `reload`, or opens the vault again after a rekeying.
//! - A change of key slots replaces the stored key table by compare-and-swap, only if all of it is `change.replaced()`.
//!
//! Nothing authenticates `next_id` and `next_place`: somebody who can write the file can have an id or a place used
//! again.

use std::{
    collections::BTreeMap,
    error::Error,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Mutex, MutexGuard},
    time::SystemTime,
};

use data_encoding::HEXLOWER;
use serde_json::{Value, json};
use tokenkeep::{
    Origin, Passphrase, RecoveryKey, Result, Token, TokenId, TokenStore, Unlock, matching,
    vault::{BlindIndex, BlindIndexes, RowTable, SealedRow, Vault, VaultChange},
};

fn main() -> Result<(), Box<dyn Error>> {
    let directory = tempfile::tempdir()?;
    let path = directory.path().join("tokens.json");
    let unlock = Unlock::from(Passphrase::new("correct horse battery staple"));
    let store = JsonStore::open_or_create(&path, &unlock)?;
    tokenkeep::testing::conformance(&store);
    println!("the store keeps the contract of TokenStore");

    // Libraries that keep tokens take any store.
    let shared: Arc<dyn TokenStore> = Arc::new(store);
    shared.save_token(&Token::builder().user_name("ada").refresh_token("an-example").build())?;
    drop(shared);

    let store = JsonStore::open_or_create(&path, &unlock)?;
    println!("after reopening it holds {} token", store.get_tokens()?.len());
    println!("the file shows the token: {}", fs::read_to_string(&path)?.contains("an-example"));

    let key = RecoveryKey::generate()?;
    println!("keep this on paper: {}", key.expose_secret());
    store.add_slot(&key.clone().into())?;
    // The passphrase became known: its slot goes, and so does the store key that it opened.
    store.rekey(&key.clone().into())?;
    drop(store);
    let store = JsonStore::open_or_create(&path, &key.into())?;
    println!("after rekeying it holds {} token", store.get_tokens()?.len());
    Ok(())
}

struct JsonStore {
    path: PathBuf,
    contents: Mutex<Contents>,
    /// Locked while the store is open: two processes would undo each other's saves.
    _lock: File,
}

/// What the file holds.
#[derive(Clone)]
struct Contents {
    vault: Vault,
    table_id: [u8; 16],
    /// By their place, which is the order in which they came.
    rows: BTreeMap<u64, SealedRow>,
    next_place: u64,
    next_id: u64,
}

impl Contents {
    fn table(&self) -> RowTable<'static> {
        RowTable { id: self.table_id, namespace: "" }
    }

    fn put(&mut self, write: &matching::RowWrite<u64>) -> Result<()> {
        let place = write.place.unwrap_or(self.next_place);
        let row = self.vault.seal_row(self.table(), place, &write.token)?;
        let next = place.checked_add(1).ok_or_else(|| tokenkeep::Error::other("no place is left"))?;
        self.next_place = self.next_place.max(next);
        self.rows.insert(place, row);
        Ok(())
    }

    fn by_id(&mut self, id: &TokenId) -> Result<Option<(u64, Token)>> {
        Ok(matching::Rows::rows(self, matching::Criterion::Id(id))?.into_iter().next())
    }

    fn tokens(&self) -> Result<Vec<Token>> {
        self.rows.values().map(|row| self.vault.open_row(self.table(), row)).collect()
    }
}

impl matching::Rows for Contents {
    type Place = u64;

    fn origin(&self) -> Origin {
        self.vault.row_origin(self.table())
    }

    /// Opens the rows that have the value, and no others.
    fn rows(&mut self, criterion: matching::Criterion<'_>) -> Result<Vec<(u64, Token)>> {
        let index = self.vault.blind_index("", criterion.into())?;
        let found = self.rows.iter().filter(|(_, row)| row.columns.get(criterion) == Some(index));
        found.map(|(place, row)| Ok((*place, self.vault.open_row(self.table(), row)?))).collect()
    }
}

impl TokenStore for JsonStore {
    fn save_token(&self, token: &Token) -> Result<TokenId> {
        self.write(|contents| {
            let next_id = contents.next_id;
            let save = matching::save(contents, token, SystemTime::now(), || Ok(TokenId::from(next_id.to_string())))?;
            let id = save.token.id().cloned().ok_or_else(|| tokenkeep::Error::other("a row without an id"))?;
            // Whoever supplied it, a number that was an id is never chosen again.
            if let Ok(number) = id.as_str().parse::<u64>() {
                contents.next_id = next_id.max(number.saturating_add(1));
            }
            contents.put(&save)?;
            Ok(id)
        })
    }

    fn find_token(&self, query: &Token) -> Result<Option<Token>> {
        matching::find(&mut *self.lock()?, query)
    }

    fn find_token_by_id(&self, id: &TokenId) -> Result<Option<Token>> {
        Ok(self.lock()?.by_id(id)?.map(|(_, row)| row))
    }

    fn get_tokens(&self) -> Result<Vec<Token>> {
        self.lock()?.tokens()
    }

    fn delete_token(&self, id: &TokenId) -> Result<bool> {
        self.write(|contents| {
            let found = contents.by_id(id)?;
            Ok(found.and_then(|(place, _)| contents.rows.remove(&place)).is_some())
        })
    }

    fn delete_tokens(&self) -> Result<usize> {
        self.write(|contents| Ok(std::mem::take(&mut contents.rows).len()))
    }

    fn find_stored(&self, query: &Token) -> Result<Option<Token>> {
        matching::find_stored(&mut *self.lock()?, query)
    }

    fn replace_token(&self, token: &Token) -> Result<Token> {
        self.write(|contents| {
            let write = matching::replace(contents, token, SystemTime::now())?;
            contents.put(&write)?;
            Ok(write.token)
        })
    }

    fn delete_token_if(&self, id: &TokenId, revision: u64) -> Result<bool> {
        self.write(|contents| {
            let place = matching::delete_if(contents, id, revision)?;
            Ok(place.and_then(|place| contents.rows.remove(&place)).is_some())
        })
    }
}

impl JsonStore {
    fn open_or_create(path: &Path, unlock: &Unlock) -> Result<Self> {
        let lock = File::create(path.with_extension("lock")).map_err(tokenkeep::Error::other)?;
        lock.try_lock().map_err(tokenkeep::Error::other)?;
        let contents = match fs::read(path) {
            Ok(bytes) => {
                let value = serde_json::from_slice(&bytes).map_err(tokenkeep::Error::other)?;
                read_json(path, &value, unlock)?
            }
            Err(error) if error.kind() == io::ErrorKind::NotFound => create(path, unlock)?,
            Err(error) => return Err(tokenkeep::Error::other(error)),
        };
        Ok(Self { path: path.to_owned(), contents: Mutex::new(contents), _lock: lock })
    }

    fn add_slot(&self, unlock: &Unlock) -> Result<()> {
        let vault = self.lock()?.vault.clone();
        self.commit(vault.add_slot(unlock)?)
    }

    fn rekey(&self, kept: &Unlock) -> Result<()> {
        let vault = self.lock()?.vault.clone();
        self.commit(vault.rekey([kept])?)
    }

    /// What may block, for a key derivation, a keychain or a provider, is done without the lock: before and after.
    fn commit(&self, change: VaultChange) -> Result<()> {
        let stored = self.store(&change);
        finish(change, stored)
    }

    /// Writes the key table, and the rows that are sealed under its key, as one file. Fails as [`replace`] does.
    fn store(&self, change: &VaultChange) -> Result<Result<()>> {
        let mut contents = self.lock()?;
        if contents.vault.bytes() != change.replaced() {
            return Err(tokenkeep::Error::other("another thread has changed the key slots: try again"));
        }
        let mut changed = Contents { vault: change.vault().clone(), ..contents.clone() };
        // Only a rekeying exchanges the key that rows are sealed under.
        if changed.vault.key_id() != contents.vault.key_id() {
            for (place, token) in contents.rows.keys().zip(contents.tokens()?) {
                changed.rows.insert(*place, changed.vault.seal_row(changed.table(), *place, &token)?);
            }
        }
        let durable = replace(&self.path, &changed)?;
        *contents = changed;
        Ok(durable)
    }

    fn lock(&self) -> Result<MutexGuard<'_, Contents>> {
        self.contents.lock().map_err(|_| tokenkeep::Error::other("another thread panicked while it used the store"))
    }

    /// All or nothing: the change is made on a copy, which replaces the file before it replaces the contents in memory.
    /// If it is not known to be durable, it is made all the same, and the error says so.
    fn write<R>(&self, change: impl FnOnce(&mut Contents) -> Result<R>) -> Result<R> {
        let mut contents = self.lock()?;
        let mut changed = contents.clone();
        let result = change(&mut changed)?;
        let durable = replace(&self.path, &changed)?;
        *contents = changed;
        durable.map(|()| result)
    }
}

/// An error may leave a store, which is opened the next time.
fn create(path: &Path, unlock: &Unlock) -> Result<Contents> {
    let mut table_id = [0; 16];
    getrandom::fill(&mut table_id).map_err(tokenkeep::Error::other)?;
    let change = Vault::create(path, unlock)?;
    let vault = change.vault().clone();
    let contents = Contents { vault, table_id, rows: BTreeMap::new(), next_place: 0, next_id: 1 };
    let stored = replace(path, &contents);
    finish(change, stored)?;
    Ok(contents)
}

/// Ends a change of key slots by what became of its file.
fn finish(change: VaultChange, stored: Result<Result<()>>) -> Result<()> {
    match stored {
        Ok(Ok(())) => change.written().1,
        // A power cut decides which slots there are. All of them keep their keys: the change is only dropped.
        Ok(Err(durability_unknown)) => Err(durability_unknown),
        Err(not_written) => {
            change.discard();
            Err(not_written)
        }
    }
}

/// A file for its owner alone, with a random name, on the disk before it replaces the old one.
///
/// An error means that nothing was written. An error inside of `Ok` means that the file has the new contents, and that
/// a power cut may bring the old ones back. (On a network file system even a failed rename may have been done.)
fn replace(path: &Path, contents: &Contents) -> Result<Result<()>> {
    // The parent of a plain file name is empty.
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."));
    let write = || -> io::Result<Option<File>> {
        // Opened first, so that it cannot fail after the rename. Windows opens no directory this way, and syncs none.
        let opened = if cfg!(unix) { Some(File::open(directory)?) } else { None };
        let mut temporary = tempfile::NamedTempFile::new_in(directory)?;
        temporary.write_all(write_json(contents).to_string().as_bytes())?;
        temporary.as_file().sync_all()?;
        temporary.persist(path)?;
        Ok(opened)
    };
    let synced = match write().map_err(tokenkeep::Error::other)? {
        Some(directory) => directory.sync_all(),
        None => Ok(()),
    };
    Ok(synced
        .map_err(|cause| tokenkeep::Error::other(format!("the change was made, but a power cut may undo it: {cause}"))))
}

fn write_json(contents: &Contents) -> Value {
    let index = |index: &BlindIndex| HEXLOWER.encode(index);
    let rows = contents.rows.values().map(|SealedRow { place, revision, columns, bytes }| {
        let BlindIndexes { namespace, id, user_name, user_and_client, access_token, grant_token, refresh_token } =
            columns;
        json!({
            "place": place,
            "revision": revision,
            "namespace": index(namespace),
            "id": index(id),
            "user_name": user_name.as_ref().map(index),
            "user_and_client": user_and_client.as_ref().map(index),
            "access_token": access_token.as_ref().map(index),
            "grant_token": grant_token.as_ref().map(index),
            "refresh_token": refresh_token.as_ref().map(index),
            "sealed": HEXLOWER.encode(bytes),
        })
    });
    json!({
        "key_table": HEXLOWER.encode(contents.vault.bytes()),
        "table_id": HEXLOWER.encode(&contents.table_id),
        "next_place": contents.next_place,
        "next_id": contents.next_id,
        "rows": rows.collect::<Vec<_>>(),
    })
}

fn read_json(path: &Path, value: &Value, unlock: &Unlock) -> Result<Contents> {
    let foreign = || tokenkeep::Error::other("the file is not one of this store's");
    let key_table = bytes_of(&value["key_table"]).ok_or_else(foreign)?;
    let vault = Vault::open(path, &key_table, unlock)?;
    let read = || {
        let rows = value["rows"].as_array()?.iter().map(|row| row_of(row).map(|row| (row.place, row)));
        Some(Contents {
            vault,
            table_id: bytes_of(&value["table_id"])?.try_into().ok()?,
            rows: rows.collect::<Option<_>>()?,
            next_place: value["next_place"].as_u64()?,
            next_id: value["next_id"].as_u64()?,
        })
    };
    read().ok_or_else(foreign)
}

fn row_of(value: &Value) -> Option<SealedRow> {
    let index = |name: &str| -> Option<BlindIndex> { bytes_of(&value[name])?.try_into().ok() };
    let columns = BlindIndexes {
        namespace: index("namespace")?,
        id: index("id")?,
        user_name: index("user_name"),
        user_and_client: index("user_and_client"),
        access_token: index("access_token"),
        grant_token: index("grant_token"),
        refresh_token: index("refresh_token"),
    };
    let (place, revision) = (value["place"].as_u64()?, value["revision"].as_u64()?);
    Some(SealedRow { place, revision, columns, bytes: bytes_of(&value["sealed"])? })
}

fn bytes_of(hexadecimal: &Value) -> Option<Vec<u8>> {
    HEXLOWER.decode(hexadecimal.as_str()?.as_bytes()).ok()
}

#[cfg(test)]
mod tests {
    use std::{
        env,
        ffi::OsStr,
        process::Command,
        sync::atomic::{AtomicUsize, Ordering},
    };

    use tokenkeep::{External, ExternalError, ExternalKey, ExternalSlot, KdfParams};

    use super::*;

    fn unlock() -> Unlock {
        Passphrase::new("correct horse").kdf(KdfParams::MIN).into()
    }

    fn token() -> Token {
        let token = Token::builder().user_name("canary-user").client_id("canary-client").client_secret("canary-1");
        let token = token.refresh_token("canary-2").access_token("canary-3").attribute("canary-4", "canary-5");
        token.id("canary-id").build()
    }

    #[test]
    fn store_keeps_the_contract_and_its_tokens() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.json");
        tokenkeep::testing::conformance(&JsonStore::open_or_create(&path, &unlock()).unwrap());
        let store = JsonStore::open_or_create(&path, &unlock()).unwrap();
        store.save_token(&token()).unwrap();
        let tokens = store.get_tokens().unwrap();
        drop(store);
        assert_eq!(JsonStore::open_or_create(&path, &unlock()).unwrap().get_tokens().unwrap(), tokens);
    }

    #[test]
    fn file_shows_nothing_of_a_token() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.json");
        let store = JsonStore::open_or_create(&path, &unlock()).unwrap();
        store.save_token(&token()).unwrap();
        let text = fs::read_to_string(&path).unwrap();
        let hexadecimal = HEXLOWER.encode(b"canary");
        assert!(text.contains("sealed") && !text.contains("canary") && !text.contains(&hexadecimal));
    }

    #[test]
    fn rekeyed_store_opens_with_the_kept_secret_only() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.json");
        let store = JsonStore::open_or_create(&path, &unlock()).unwrap();
        let id = store.save_token(&token()).unwrap();
        let key = Unlock::from(RecoveryKey::generate().unwrap());
        store.add_slot(&key).unwrap();
        store.rekey(&key).unwrap();
        assert_eq!(store.find_token_by_id(&id).unwrap().unwrap().user_name(), Some("canary-user"));
        drop(store);
        assert!(JsonStore::open_or_create(&path, &unlock()).is_err());
        assert_eq!(JsonStore::open_or_create(&path, &key).unwrap().get_tokens().unwrap().len(), 1);
    }

    /// Rows are exchanged by somebody who can write the file.
    #[test]
    fn rows_that_were_swapped_are_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.json");
        let store = JsonStore::open_or_create(&path, &unlock()).unwrap();
        for user in ["ada", "grace"] {
            store.save_token(&Token::builder().user_name(user).access_token("a").build()).unwrap();
        }
        drop(store);
        let mut value: Value = serde_json::from_slice(&fs::read(&path).unwrap()).unwrap();
        let (one, other) = (value["rows"][0]["sealed"].take(), value["rows"][1]["sealed"].take());
        (value["rows"][0]["sealed"], value["rows"][1]["sealed"]) = (other, one);
        fs::write(&path, value.to_string()).unwrap();
        let tampered = JsonStore::open_or_create(&path, &unlock()).unwrap().get_tokens();
        assert!(matches!(tampered, Err(tokenkeep::Error::BadRow { .. })), "{tampered:?}");
    }

    #[test]
    fn each_table_has_an_id_of_its_own() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.json");
        let id = || {
            let contents = JsonStore::open_or_create(&path, &unlock()).unwrap().lock().unwrap().clone();
            assert_ne!(contents.table_id, contents.vault.store_id());
            contents.table_id
        };
        let first = id();
        assert_eq!(id(), first);
        fs::remove_file(&path).unwrap();
        assert_ne!(id(), first);
    }

    #[test]
    fn only_a_rekeying_seals_rows_again() {
        let directory = tempfile::tempdir().unwrap();
        let store = JsonStore::open_or_create(&directory.path().join("tokens.json"), &unlock()).unwrap();
        store.save_token(&token()).unwrap();
        let rows = || store.lock().unwrap().rows.clone();
        let (before, key) = (rows(), Unlock::from(RecoveryKey::generate().unwrap()));
        store.add_slot(&key).unwrap();
        assert_eq!(rows(), before);
        store.rekey(&key).unwrap();
        assert_ne!(rows(), before);
    }

    /// Keeps its keys in the clear, and counts what it is asked to forget.
    #[derive(Clone, Default)]
    struct Counting(Arc<AtomicUsize>);

    impl Counting {
        fn unlock(&self) -> Unlock {
            External::new(self.clone()).into()
        }

        fn forgotten(&self) -> usize {
            self.0.load(Ordering::SeqCst)
        }
    }

    impl ExternalKey for Counting {
        fn provider(&self) -> &str {
            "counting"
        }

        fn create(&self, _: &ExternalSlot, key: &mut [u8; 32]) -> Result<Vec<u8>, ExternalError> {
            Ok(key.to_vec())
        }

        fn open(&self, _: &ExternalSlot, data: &[u8], key: &mut [u8; 32]) -> Result<(), ExternalError> {
            *key = data.try_into().map_err(|_| ExternalError::new("no key"))?;
            Ok(())
        }

        fn forget(&self, _: &ExternalSlot, _: &[u8]) -> Result<(), ExternalError> {
            self.0.fetch_add(1, Ordering::SeqCst);
            Ok(())
        }
    }

    #[test]
    fn failed_change_is_not_in_memory_and_its_keys_are_forgotten() {
        let parent = tempfile::tempdir().unwrap();
        let [directory, away] = ["store", "away"].map(|name| parent.path().join(name));
        fs::create_dir(&directory).unwrap();
        let path = directory.join("tokens.json");
        let (store, counting) = (JsonStore::open_or_create(&path, &unlock()).unwrap(), Counting::default());
        fs::rename(&directory, &away).unwrap();
        assert!(store.save_token(&token()).is_err());
        assert!(store.add_slot(&counting.unlock()).is_err());
        assert_eq!(counting.forgotten(), 1);
        assert!(store.get_tokens().unwrap().is_empty());
        fs::rename(&away, &directory).unwrap();
        store.save_token(&token()).unwrap();
        drop(store);
        let store = JsonStore::open_or_create(&path, &unlock()).unwrap();
        assert_eq!((store.get_tokens().unwrap().len(), store.lock().unwrap().vault.slots().len()), (1, 1));
        assert!(JsonStore::open_or_create(&directory.join("none").join("tokens.json"), &unlock()).is_err());
    }

    #[test]
    fn change_of_another_thread_is_not_undone() {
        let directory = tempfile::tempdir().unwrap();
        let store = JsonStore::open_or_create(&directory.path().join("tokens.json"), &unlock()).unwrap();
        let counting = Counting::default();
        let late = store.lock().unwrap().vault.add_slot(&counting.unlock()).unwrap();
        store.add_slot(&Unlock::from(RecoveryKey::generate().unwrap())).unwrap();
        assert!(store.commit(late).is_err());
        assert_eq!((counting.forgotten(), store.lock().unwrap().vault.slots().len()), (1, 2));
    }

    const DIRECTORY: &str = "CUSTOM_STORE_TEST_DIRECTORY";

    /// Runs one of these tests again in a process of its own, by the words before it, in that directory.
    fn run_again(words: &[&str], test: &str, directory: &Path) {
        let program = env::current_exe().unwrap();
        let mut words = words.iter().map(OsStr::new).chain([program.as_os_str()]);
        let mut command = Command::new(words.next().unwrap());
        command.args(words).args(["--exact", test]).env(DIRECTORY, directory).current_dir(directory);
        let done = command.output().unwrap();
        let printed = String::from_utf8_lossy(&done.stdout);
        assert!(done.status.success() && printed.contains("1 passed"), "{printed}");
    }

    #[test]
    fn file_in_the_current_directory_is_written() {
        // In a process of its own, whose current directory is changed.
        if env::var_os(DIRECTORY).is_none() {
            let directory = tempfile::tempdir().unwrap();
            return run_again(&[], "tests::file_in_the_current_directory_is_written", directory.path());
        }
        let store = JsonStore::open_or_create(Path::new("tokens.json"), &unlock()).unwrap();
        store.save_token(&token()).unwrap();
        store.add_slot(&Unlock::from(RecoveryKey::generate().unwrap())).unwrap();
        drop(store);
        let store = JsonStore::open_or_create(Path::new("./tokens.json"), &unlock()).unwrap();
        assert_eq!(store.get_tokens().unwrap().len(), 1);
    }

    #[cfg(target_os = "linux")]
    #[test]
    fn unsynced_change_is_in_memory_and_no_key_is_forgotten() {
        // In a process of its own, whose every second sync fails: the first is the file's, the second the directory's.
        let Some(directory) = env::var_os(DIRECTORY) else {
            if Command::new("strace").arg("-V").output().is_err() {
                assert!(env::var_os("CI").is_none(), "strace is missing");
                return eprintln!("SKIPPED: strace is missing, which this test needs");
            }
            let test = "tests::unsynced_change_is_in_memory_and_no_key_is_forgotten";
            let directory = tempfile::tempdir().unwrap();
            let strace = ["strace", "-f", "-o", "/dev/null", "-e", "inject=fsync:error=EIO:when=2+2"];
            return run_again(&strace, test, directory.path());
        };
        #[track_caller]
        fn assert_perhaps<R>(result: Result<R>) {
            let said = result.err().expect("the directory cannot be synced").to_string();
            assert!(said.contains("a power cut may undo it"), "{said}");
        }

        let path = Path::new(&directory).join("tokens.json");
        let counting = Counting::default();
        assert_perhaps(JsonStore::open_or_create(&path, &counting.unlock()));
        let store = JsonStore::open_or_create(&path, &counting.unlock()).unwrap();
        assert_perhaps(store.save_token(&token()));
        let tokens = store.get_tokens().unwrap();
        assert_eq!(tokens.len(), 1);
        assert_perhaps(store.add_slot(&unlock()));
        // The slot of the provider goes. Its key may be needed after a power cut.
        assert_perhaps(store.rekey(&unlock()));
        assert_eq!((store.get_tokens().unwrap(), counting.forgotten()), (tokens.clone(), 0));
        drop(store);
        let store = JsonStore::open_or_create(&path, &unlock()).unwrap();
        assert_eq!(store.get_tokens().unwrap(), tokens);
        drop(store);
        let gone = JsonStore::open_or_create(&path, &counting.unlock()).err();
        assert!(matches!(gone, Some(tokenkeep::Error::NoSlotFor { .. })), "{gone:?}");
    }

    #[test]
    fn second_process_is_refused() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.json");
        let _open = JsonStore::open_or_create(&path, &unlock()).unwrap();
        assert!(JsonStore::open_or_create(&path, &unlock()).is_err());
    }
}
