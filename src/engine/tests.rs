//! What the tests of the engine share.
//!
//! Tests that are for Unix only need what other systems lack: files with a stamp, directories that can be synced,
//! lock files that can be deleted while they are open, names that differ by case.

#[cfg(unix)]
mod commit;
mod damage;
mod group;
mod journal_damage;
#[cfg(unix)]
mod journal_faults;
mod lineage;
#[cfg(unix)]
mod power_cut;
mod sealing;
mod slots;
mod store;

use std::{fs, path::PathBuf, sync::Arc};

use tempfile::TempDir;

use super::*;
use crate::{
    Token,
    changes::{Change, Effect, Operation},
    error::FileFlaw,
    file::{Access, Disk, Os},
    id::TokenId,
    index::Index,
    kdf::KdfParams,
    unlock::Passphrase,
};

pub(super) fn passphrase() -> Passphrase {
    Passphrase::new("passphrase").kdf(KdfParams::MIN)
}

pub(super) fn unlock() -> Unlock {
    passphrase().into()
}

/// What is wrong with the file, which has to be the one at that path.
#[track_caller]
pub(super) fn flaw<T: std::fmt::Debug>(directory: &TempDir, result: Result<T>) -> FileFlaw {
    match result {
        Err(Error::BadFile { path, flaw }) => {
            assert_eq!(path, fs::canonicalize(at(directory)).unwrap());
            flaw
        }
        other => panic!("expected BadFile, got {other:?}"),
    }
}

/// No wait at all.
pub(super) fn now() -> Deadline {
    Deadline::after(Duration::ZERO, Path::new("store"))
}

pub(super) fn at(directory: &TempDir) -> PathBuf {
    directory.path().join("store")
}

pub(super) fn create_with(directory: &TempDir, disk: Arc<dyn Disk>) -> Engine {
    let file = StoreFile::new(&at(directory), Access::Checked, 1 << 20, disk).unwrap();
    Engine::create(file, &unlock(), Duration::from_secs(5)).unwrap()
}

pub(super) fn create(directory: &TempDir) -> Engine {
    create_with(directory, Arc::new(Os))
}

pub(super) fn open_with(directory: &TempDir, disk: Arc<dyn Disk>) -> Engine {
    let file = StoreFile::existing(&at(directory), Access::Checked, 1 << 20, disk).unwrap();
    Engine::open(file, &unlock(), Duration::from_secs(5)).unwrap()
}

pub(super) fn open(directory: &TempDir) -> Engine {
    open_with(directory, Arc::new(Os))
}

/// What a file with that key table holds, without a look at any slot.
pub(super) fn load(vault: &Vault, file: &mut [u8]) -> std::result::Result<(Journal, Namespaces), FileFlaw> {
    load_at(vault, file, AtDamage::Refuse)
}

pub(super) fn load_at(
    vault: &Vault,
    file: &mut [u8],
    at_damage: AtDamage,
) -> std::result::Result<(Journal, Namespaces), FileFlaw> {
    let Parts { body_header, table_bytes, header, body, journal: records, .. } = Parts::parse(file)?;
    assert_eq!(table_bytes, vault.bytes(), "the key table is another one");
    let body_tag = *body.last_chunk().unwrap();
    let contents = unseal(vault, &body_header, header, body).unwrap()?;
    let mut rows = Namespaces::new(origin_of(vault), contents.next_id, contents.tokens);
    let mut journal = Journal::new(&body_header, body_tag);
    journal.replay(records, vault, &body_header, &mut rows, at_damage).unwrap()?;
    Ok((journal, rows))
}

pub(super) fn save(engine: &Engine, user: &str) -> Result<TokenId> {
    let token = Token::builder().user_name(user).access_token("a").build();
    save_token(engine, &token)
}

/// Makes a change in the default namespace.
pub(super) fn commit(engine: &Engine, operation: Operation) -> Result<Effect> {
    engine.commit(Change { namespace: Arc::default(), operation })
}

pub(super) fn save_token(engine: &Engine, token: &Token) -> Result<TokenId> {
    commit(engine, Operation::Save(token.clone()))?.saved()
}

/// Whether there was a token of that id.
pub(super) fn delete(engine: &Engine, id: &str) -> Result<bool> {
    Ok(commit(engine, Operation::Delete(id.into()))?.deleted()? > 0)
}

pub(super) fn users(engine: &Engine) -> Result<Vec<String>> {
    let tokens = engine.read("", Index::tokens)?;
    Ok(tokens.iter().map(|token| token.user_name().unwrap().to_owned()).collect())
}
