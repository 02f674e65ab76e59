//! Copies of a store that are both saved to, and put in each other's place.

use std::{fs, time::Duration};

use tempfile::TempDir;

use crate::{
    changes::Operation,
    engine::{
        Engine,
        tests::{at, commit, create, open, save, users},
    },
    error::{Error, Result},
    file::{Access, Os, StoreFile},
    format::{MAX_ANCESTORS, Parts},
};

/// A store, a handle on it, and a copy of its file in another directory.
struct Fork {
    directory: TempDir,
    engine: Engine,
    copy: TempDir,
}

impl Fork {
    fn new() -> Self {
        let (directory, copy) = (tempfile::tempdir().unwrap(), tempfile::tempdir().unwrap());
        let engine = create(&directory);
        save(&engine, "before").unwrap();
        fs::copy(at(&directory), at(&copy)).unwrap();
        Self { directory, engine, copy }
    }

    /// Saves so often to the copy.
    fn save_to_copy(&self, saves: usize) {
        let copy = open(&self.copy);
        (0..saves).for_each(|n| drop(save(&copy, &format!("copy {n}")).unwrap()));
    }

    /// Puts the copy in the place of the store, as a program that synchronizes files does.
    fn put_copy_in_place(&self) {
        let new = self.directory.path().join("new");
        fs::copy(at(&self.copy), &new).unwrap();
        fs::rename(new, at(&self.directory)).unwrap();
    }
}

#[track_caller]
fn assert_diverged<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::Diverged { .. })), "{result:?}");
}

#[test]
fn copy_with_a_longer_history_is_not_adopted() {
    for between in [1, 10, 63] {
        let fork = Fork::new();
        save(&fork.engine, "acknowledged").unwrap();
        // The handle's generation is the first after the fork, so the copy is `between` generations ahead of it.
        fork.save_to_copy(between + 1);
        fork.put_copy_in_place();
        let before = fs::read(at(&fork.directory)).unwrap();
        assert_diverged(users(&fork.engine));
        assert_diverged(save(&fork.engine, "lost"));
        assert_diverged(fork.engine.verify());
        assert_diverged(fork.engine.backup_to(&fork.directory.path().join("backup")));
        assert_eq!(fs::read(at(&fork.directory)).unwrap(), before, "{between}");
        assert_eq!(users(&open(&fork.directory)).unwrap().len(), between + 2);
    }
}

#[test]
fn copy_of_the_same_length_has_diverged() {
    let fork = Fork::new();
    save(&fork.engine, "acknowledged").unwrap();
    fork.save_to_copy(1);
    fork.put_copy_in_place();
    assert_diverged(save(&fork.engine, "lost"));
    assert_diverged(users(&fork.engine));
}

/// The fork was before the handle saved last, and the handle has saved more often than the copy.
#[test]
fn copy_with_a_shorter_history_is_an_older_state() {
    let fork = Fork::new();
    (0..3).for_each(|n| drop(save(&fork.engine, &format!("acknowledged {n}")).unwrap()));
    fork.save_to_copy(1);
    fork.put_copy_in_place();
    assert!(matches!(users(&fork.engine), Err(Error::RolledBack { .. })));
}

/// What the handle has is in the copy.
#[test]
fn copy_that_was_made_after_the_last_save_is_adopted() {
    for saves in [1, 63, 64, 70] {
        let fork = Fork::new();
        fork.save_to_copy(saves);
        fork.put_copy_in_place();
        assert_eq!(users(&fork.engine).unwrap().len(), saves + 1, "{saves}");
        save(&fork.engine, "after").unwrap();
    }
}

#[test]
fn handle_that_has_slept_through_many_saves_goes_on() {
    let directory = tempfile::tempdir().unwrap();
    let sleeping = create(&directory);
    let busy = open(&directory);
    (0..MAX_ANCESTORS + 10).for_each(|n| drop(save(&busy, &n.to_string()).unwrap()));
    save(&sleeping, "late").unwrap();
    assert_eq!(users(&busy).unwrap().len(), MAX_ANCESTORS + 11);
}

/// The limit that `docs/format.md` states.
#[test]
fn fork_that_is_older_than_the_list_is_not_noticed() {
    let fork = Fork::new();
    save(&fork.engine, "acknowledged").unwrap();
    fork.save_to_copy(MAX_ANCESTORS + 2);
    fork.put_copy_in_place();
    assert_eq!(users(&fork.engine).unwrap().len(), MAX_ANCESTORS + 3);
}

#[test]
fn list_of_ancestors_ends_with_the_replaced_state() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let mut marks = Vec::new();
    for n in 0..MAX_ANCESTORS + 2 {
        let mut file = fs::read(at(&directory)).unwrap();
        let tag = file[file.len() - 16..].to_vec();
        marks.push(Parts::parse(&mut file).unwrap().body_header.mark(&tag));
        save(&engine, &n.to_string()).unwrap();
    }
    for engine in [engine, open(&directory)] {
        let lineage = engine.state.read().lineage.clone();
        assert_eq!(lineage.ancestors, marks[marks.len() - MAX_ANCESTORS..]);
    }
}

/// A rekeying, a change of slots and a deletion are generations like a save.
#[test]
fn every_kind_of_commit_is_an_ancestor() {
    let fork = Fork::new();
    let file = StoreFile::existing(&at(&fork.copy), Access::Checked, 1 << 20, std::sync::Arc::new(Os)).unwrap();
    let other = Engine::open(file, &crate::engine::tests::unlock(), Duration::from_secs(5)).unwrap();
    save(&fork.engine, "acknowledged").unwrap();
    other.add_slot(&crate::unlock::RecoveryKey::generate().unwrap().into()).unwrap();
    commit(&other, Operation::DeleteAll).unwrap();
    fork.put_copy_in_place();
    assert_diverged(users(&fork.engine));
}
