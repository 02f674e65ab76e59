//! Copies of a store that are both saved to, and put in each other's place.

use std::{fs, time::Duration};

use tempfile::TempDir;

use crate::{
    changes::Operation,
    engine::{
        Engine,
        next_state::NextState,
        tests::{at, commit, create, open, save, users},
    },
    error::{Error, Result},
    file::{Access, Os, StoreFile},
    format::MAX_ANCESTORS,
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
    fn save_to_copy(&self, saves: usize, by: Saved) {
        let copy = open(&self.copy);
        (0..saves).for_each(|n| by.save(&copy, &format!("copy {n}")));
    }

    /// Puts the copy in the place of the store, as a program that synchronizes files does.
    fn put_copy_in_place(&self) {
        let new = self.directory.path().join("new");
        fs::copy(at(&self.copy), &new).unwrap();
        fs::rename(new, at(&self.directory)).unwrap();
    }
}

/// How a save was written.
#[derive(Debug, Clone, Copy)]
enum Saved {
    Appended,
    /// The file was replaced after it.
    Compacted,
}

impl Saved {
    const BOTH: [Self; 2] = [Self::Appended, Self::Compacted];

    fn save(self, engine: &Engine, user: &str) {
        save(engine, user).unwrap();
        if let Self::Compacted = self {
            engine.compact().unwrap();
        }
    }
}

#[track_caller]
fn assert_diverged<T: std::fmt::Debug>(result: Result<T>) {
    assert!(matches!(result, Err(Error::Diverged { .. })), "{result:?}");
}

#[test]
fn copy_with_a_longer_history_is_not_adopted() {
    for (own, by) in Saved::BOTH.into_iter().flat_map(|own| Saved::BOTH.map(|by| (own, by))) {
        for between in [1, 10, 62] {
            let fork = Fork::new();
            own.save(&fork.engine, "acknowledged");
            fork.save_to_copy(between + 1, by);
            fork.put_copy_in_place();
            let before = fs::read(at(&fork.directory)).unwrap();
            // One generation that is replaced keeps the records of its copy: appended to, it is still the same one.
            if let (Saved::Compacted, Saved::Appended) = (own, by) {
                assert!(matches!(users(&fork.engine), Err(Error::RolledBack { .. })), "{between}");
                continue;
            }
            assert_diverged(users(&fork.engine));
            assert_diverged(save(&fork.engine, "lost"));
            assert_diverged(fork.engine.verify());
            assert_diverged(fork.engine.backup_to(&fork.directory.path().join("backup")));
            assert_eq!(fs::read(at(&fork.directory)).unwrap(), before, "{between}");
            assert_eq!(users(&open(&fork.directory)).unwrap().len(), between + 2);
        }
    }
}

#[test]
fn copy_of_the_same_length_has_diverged() {
    for by in Saved::BOTH {
        let fork = Fork::new();
        by.save(&fork.engine, "acknowledged");
        fork.save_to_copy(1, by);
        fork.put_copy_in_place();
        assert_diverged(save(&fork.engine, "lost"));
        assert_diverged(users(&fork.engine));
    }
}

/// The fork was before the handle saved last, and the handle has saved more often than the copy.
#[test]
fn copy_with_a_shorter_history_is_an_older_state() {
    for by in Saved::BOTH {
        let fork = Fork::new();
        (0..3).for_each(|n| by.save(&fork.engine, &format!("acknowledged {n}")));
        fork.save_to_copy(1, by);
        fork.put_copy_in_place();
        assert!(matches!(users(&fork.engine), Err(Error::RolledBack { .. })), "{by:?}");
    }
}

/// What the handle has is in the copy.
#[test]
fn copy_that_was_made_after_the_last_save_is_adopted() {
    for (by, saves) in Saved::BOTH.into_iter().flat_map(|by| [1, 63, 64, 70].map(|saves| (by, saves))) {
        let fork = Fork::new();
        fork.save_to_copy(saves, by);
        fork.put_copy_in_place();
        assert_eq!(users(&fork.engine).unwrap().len(), saves + 1, "{by:?}, {saves}");
        save(&fork.engine, "after").unwrap();
    }
}

/// The copy replaces the file after it has appended records: it lists the tags of the last ones.
#[test]
fn replaced_file_tells_whose_records_it_had() {
    for (own, others) in [(1, 0), (1, 1), (1, 2), (1, 250), (3, 250), (2, 1)] {
        let fork = Fork::new();
        (0..own).for_each(|n| Saved::Appended.save(&fork.engine, &format!("acknowledged {n}")));
        fork.save_to_copy(others, Saved::Appended);
        open(&fork.copy).compact().unwrap();
        fork.put_copy_in_place();
        assert_diverged(users(&fork.engine));
    }
    for saves in [0, 1, 2, 250, 300] {
        let fork = Fork::new();
        fork.save_to_copy(saves, Saved::Appended);
        open(&fork.copy).compact().unwrap();
        fork.put_copy_in_place();
        assert_eq!(users(&fork.engine).unwrap().len(), saves + 1, "{saves}");
    }
}

/// Two replacements later, the number of records and the last tag are what is known of a state.
#[test]
fn older_ancestor_tells_by_its_last_record_only() {
    let fork = Fork::new();
    Saved::Appended.save(&fork.engine, "acknowledged");
    fork.save_to_copy(1, Saved::Compacted);
    fork.save_to_copy(1, Saved::Compacted);
    fork.put_copy_in_place();
    assert_diverged(users(&fork.engine));

    let fork = Fork::new();
    Saved::Appended.save(&fork.engine, "acknowledged");
    fork.save_to_copy(2, Saved::Appended);
    let copy = open(&fork.copy);
    (0..2).for_each(|_| copy.compact().unwrap());
    fork.put_copy_in_place();
    assert_eq!(users(&fork.engine).unwrap().len(), 3, "the list is too short to tell");
}

/// Its records cannot be compared any more, but its body can.
#[test]
fn ancestor_with_another_body_has_diverged() {
    let fork = Fork::new();
    fork.engine.compact().unwrap();
    save(&fork.engine, "acknowledged").unwrap();
    let copy = open(&fork.copy);
    copy.compact().unwrap();
    for n in 0..3 {
        save(&copy, &format!("copy {n}")).unwrap();
    }
    copy.compact().unwrap();
    copy.compact().unwrap();
    fork.put_copy_in_place();
    assert_diverged(users(&fork.engine));
}

#[test]
fn handle_that_has_slept_through_many_saves_goes_on() {
    for by in Saved::BOTH {
        let directory = tempfile::tempdir().unwrap();
        let sleeping = create(&directory);
        let busy = open(&directory);
        (0..MAX_ANCESTORS + 10).for_each(|n| by.save(&busy, &n.to_string()));
        save(&sleeping, "late").unwrap();
        assert_eq!(users(&busy).unwrap().len(), MAX_ANCESTORS + 11);
    }
}

/// The limit that `docs/format.md` states.
#[test]
fn fork_that_is_older_than_the_list_is_not_noticed() {
    let fork = Fork::new();
    save(&fork.engine, "acknowledged").unwrap();
    fork.save_to_copy(MAX_ANCESTORS + 2, Saved::Compacted);
    fork.put_copy_in_place();
    assert_eq!(users(&fork.engine).unwrap().len(), MAX_ANCESTORS + 3);
}

#[test]
fn list_of_ancestors_ends_with_the_replaced_state() {
    let directory = tempfile::tempdir().unwrap();
    let engine = create(&directory);
    let mut marks = Vec::new();
    for n in 0..MAX_ANCESTORS + 2 {
        marks.push(engine.state.read().lineage.mark);
        save(&engine, &n.to_string()).unwrap();
        marks.pop();
        marks.push(engine.state.read().lineage.mark);
        let computed = NextState::of(&engine.state.read(), &at(&directory)).unwrap().file_len();
        engine.compact().unwrap();
        assert_eq!(fs::metadata(at(&directory)).unwrap().len(), computed, "the length was computed before");
    }
    for engine in [engine, open(&directory)] {
        let lineage = engine.state.read().lineage.clone();
        assert_eq!(lineage.ancestors, marks[marks.len() - MAX_ANCESTORS..]);
    }
}

/// A change of slots and a deletion replace the file. A save appends to it.
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
