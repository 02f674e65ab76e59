//! The revision that a token carries: what a save through one handle does about a change that another handle made.

use crate::common::{Fixture, token, unlock};
use tokenkeep::{Error, Keystore, MemoryStore, Token, TokenBuilder, TokenId, TokenStore};

fn ada() -> TokenBuilder {
    token().user_name("ada").client_id("c")
}

fn texts(token: &Token) -> (Option<&str>, Option<&str>) {
    (
        token.access_token().map(tokenkeep::Secret::expose_secret),
        token.refresh_token().map(tokenkeep::Secret::expose_secret),
    )
}

/// A keystore with one token, another handle on it, and the token as the first handle has read it.
fn read_before_a_change() -> (Fixture, Keystore, TokenId, Token) {
    let fixture = Fixture::new();
    let id = fixture.store.save_token(&ada().access_token("a1").refresh_token("r1").build()).unwrap();
    let other = fixture.open();
    let read = fixture.store.find_token_by_id(&id).unwrap().unwrap();
    assert_eq!(read.revision(), Some(1));
    (fixture, other, id, read)
}

#[test]
fn token_changed_by_another_handle_is_a_conflict() {
    let (fixture, other, id, read) = read_before_a_change();
    other.save_token(&ada().access_token("a2").refresh_token("r2").build()).unwrap();
    let before = fixture.bytes();
    let copy = read.to_builder().access_token("a3").build();
    for stale in [&read, &copy] {
        for refused in [
            fixture.store.save_token(stale).map(drop),
            fixture.store.replace_token(stale).map(drop),
            other.save_token(stale).map(drop),
            fixture.store.delete_token_if(&id, 1).map(drop),
        ] {
            assert!(matches!(refused, Err(Error::Conflict { current: 2, .. })), "{refused:?}");
        }
    }
    assert_eq!(fixture.bytes(), before);

    // Read again, it is saved; and without its revision the stale token is merged, as a caller may choose.
    let read_again = fixture.store.find_token_by_id(&id).unwrap().unwrap();
    fixture.store.save_token(&read_again.to_builder().access_token("a3").build()).unwrap();
    assert_eq!(texts(&other.find_token_by_id(&id).unwrap().unwrap()), (Some("a3"), Some("r2")));
    fixture.store.save_token(&copy.without_revision()).unwrap();
    let merged = other.find_token_by_id(&id).unwrap().unwrap();
    assert_eq!((texts(&merged), merged.revision()), ((Some("a3"), Some("r1")), Some(4)));
}

#[test]
fn token_deleted_by_another_handle_stays_deleted() {
    let (fixture, other, id, read) = read_before_a_change();
    assert!(other.delete_token(&id).unwrap());
    let before = fixture.bytes();
    for refused in [
        fixture.store.save_token(&read).map(drop),
        fixture.store.save_token(&read.to_builder().access_token("a2").build()).map(drop),
        fixture.store.replace_token(&read).map(drop),
        other.save_token(&read).map(drop),
    ] {
        assert!(matches!(refused, Err(Error::NoSuchToken)), "{refused:?}");
    }
    assert!(!fixture.store.delete_token_if(&id, 1).unwrap());
    assert_eq!(fixture.bytes(), before);
    assert!(fixture.store.get_tokens().unwrap().is_empty() && fixture.open().get_tokens().unwrap().is_empty());

    // Whoever wants the row back says so.
    assert_eq!(fixture.store.save_token(&read.without_revision()).unwrap(), id);
    assert_eq!(other.find_token_by_id(&id).unwrap().unwrap().revision(), Some(1));
}

/// A row of the same user and client that was added after the deletion is another row.
#[test]
fn deleted_token_is_not_merged_into_its_successor() {
    let (fixture, other, id, read) = read_before_a_change();
    other.delete_token(&id).unwrap();
    let successor = other.save_token(&ada().access_token("a2").build()).unwrap();
    assert_ne!(successor, id);
    assert!(matches!(fixture.store.save_token(&read), Err(Error::NoSuchToken)));
    assert_eq!(texts(&fixture.store.find_token_by_id(&successor).unwrap().unwrap()), (Some("a2"), None));
}

#[test]
fn revision_counts_in_a_store_that_is_opened_again() {
    let (fixture, other, id, read) = read_before_a_change();
    drop(other);
    let store = fixture.open();
    store.save_token(&read.to_builder().access_token("a2").build()).unwrap();
    assert_eq!(store.find_token_by_id(&id).unwrap().unwrap().revision(), Some(2));
    assert!(matches!(store.save_token(&read), Err(Error::Conflict { current: 2, .. })));
}

/// Each as an application holds it, so that a copy is one loop.
fn copy(from: &dyn TokenStore, to: &dyn TokenStore) -> tokenkeep::Result<()> {
    from.get_tokens()?.iter().try_for_each(|token| to.save_token(token).map(drop))
}

#[test]
fn copying_a_store_is_a_plain_loop() {
    let source = Fixture::new();
    for (user, client) in [("ada", "one"), ("ada", "two"), ("grace", "one")] {
        source.store.save_token(&token().user_name(user).client_id(client).refresh_token(user).build()).unwrap();
    }
    source.store.save_token(&token().access_token("of nobody").build()).unwrap();
    // Every row has another revision.
    for (n, row) in source.store.get_tokens().unwrap().iter().enumerate() {
        for round in 0..n {
            let changed = row.to_builder().access_token(format!("{n} {round}")).build();
            source.store.save_token(&changed.without_revision()).unwrap();
        }
    }
    let rows = source.store.get_tokens().unwrap();
    assert_eq!(rows.iter().map(Token::revision).collect::<Vec<_>>(), [Some(1), Some(2), Some(3), Some(4)]);

    let path = source.path.with_file_name("copy.keep");
    let (memory, keystore) = (MemoryStore::new(), Keystore::create(&path, &unlock()).unwrap());
    for (round, target) in [(1, &memory as &dyn TokenStore), (1, &keystore), (2, &memory), (2, &keystore)] {
        copy(&source.store, target).unwrap();
        let copied = target.get_tokens().unwrap();
        assert_eq!(copied.len(), rows.len());
        for (copied, row) in copied.iter().zip(&rows) {
            assert_eq!(copied.revision(), Some(round), "the copy counts its own saves");
            assert_eq!(copied.without_revision(), row.without_revision());
        }
    }
    // Back again, and from copy to copy.
    copy(&memory, &source.store).unwrap();
    copy(&memory, &keystore).unwrap();
    copy(&keystore, &memory).unwrap();
    assert_eq!(source.store.get_tokens().unwrap().len(), rows.len());
    // Within one store it is a save over each revision, once.
    let read = source.store.get_tokens().unwrap();
    copy(&source.store, &source.store).unwrap();
    assert!(matches!(source.store.save_token(&read[0]), Err(Error::Conflict { .. })));
}

/// Each of these rows would be merged into another one if the token were built from nothing.
#[test]
fn copying_keeps_rows_that_rules_would_merge() {
    let source = MemoryStore::new();
    let user = |access: &str| token().user_name("ada").access_token(access.to_owned());
    for row in [
        user("without a client"),
        user("of client c").client_id("c").refresh_token("r"),
        token().access_token("without a client"),
        token().client_id("c").refresh_token("r").grant_token("g"),
    ] {
        // By an id of its own: a save would merge it into the rows before.
        let unlike_any = source.get_tokens().unwrap().len().to_string();
        let id = source.save_token(&token().user_name(&unlike_any).access_token(unlike_any).build()).unwrap();
        source.replace_token(&row.id(id).build()).unwrap();
    }
    let rows = source.get_tokens().unwrap();
    let target = MemoryStore::new();
    for order in [[0, 1, 2, 3], [3, 2, 1, 0], [1, 0, 3, 2]] {
        target.delete_tokens().unwrap();
        for _ in 0..2 {
            for n in order {
                assert_eq!(target.save_token(&rows[n]).unwrap(), *rows[n].id().unwrap());
            }
            for row in &rows {
                let copied = target.find_token_by_id(row.id().unwrap()).unwrap().unwrap();
                assert_eq!(copied.without_revision(), row.without_revision());
            }
        }
        assert_eq!(target.get_tokens().unwrap().len(), rows.len());
    }
}

/// A backup is the same store, so a token read from it is as stale as any other.
#[test]
fn token_of_a_backup_is_stale_in_its_store() {
    let (fixture, _, id, _) = read_before_a_change();
    let path = fixture.path.with_file_name("backup.keep");
    fixture.store.backup_to(&path).unwrap();
    fixture.store.save_token(&ada().refresh_token("r2").build()).unwrap();
    let stale = Keystore::open(&path, &unlock()).unwrap().find_token_by_id(&id).unwrap().unwrap();
    assert!(matches!(fixture.store.save_token(&stale), Err(Error::Conflict { current: 2, .. })));
    fixture.store.save_token(&stale.without_revision()).unwrap();
    assert_eq!(texts(&fixture.store.find_token_by_id(&id).unwrap().unwrap()), (Some("a1"), Some("r1")));
}

#[test]
fn found_token_with_stale_fields_carries_no_revision() {
    let (fixture, other, id, read) = read_before_a_change();
    other.save_token(&ada().access_token("a2").refresh_token("r2").build()).unwrap();

    // The caller's own tokens are laid over what is stored.
    let found = fixture.store.find_token(&read.without_revision()).unwrap().unwrap();
    assert_eq!((texts(&found), found.revision()), ((Some("a1"), Some("r1")), None));
    assert_eq!((found.id(), found.created_at(), found.updated_at()), (Some(&id), None, None));

    // To save it is to merge it, as with a token that was built from nothing.
    let stale = fixture.store.find_token(&ada().access_token("a1").build()).unwrap().unwrap();
    assert_eq!((texts(&stale), stale.revision()), ((Some("a1"), Some("r2")), None));
    other.save_token(&ada().refresh_token("r3").redirect_url("u").build()).unwrap();
    fixture.store.save_token(&stale).unwrap();
    let merged = other.find_token_by_id(&id).unwrap().unwrap();
    assert_eq!((texts(&merged), merged.redirect_url()), ((Some("a1"), Some("r2")), Some("u")));

    // To replace with it is a decision: it takes the place of the row, and clears what it leaves unset.
    let replaced = fixture.store.replace_token(&found).unwrap();
    assert_eq!((texts(&replaced), replaced.redirect_url()), ((Some("a1"), Some("r1")), None));
    assert_eq!(other.find_token_by_id(&id).unwrap(), Some(replaced));
}

#[test]
fn token_found_unchanged_carries_its_revision() {
    let (fixture, other, id, read) = read_before_a_change();
    for query in [ada().build(), token().id(id).build(), ada().access_token("a1").build(), read.clone()] {
        let found = fixture.store.find_token(&query).unwrap().unwrap();
        assert_eq!((found.revision(), &found), (Some(1), &read));
    }
    let found = fixture.store.find_token(&ada().build()).unwrap().unwrap();
    other.save_token(&ada().access_token("a2").build()).unwrap();
    assert!(matches!(fixture.store.save_token(&found), Err(Error::Conflict { current: 2, .. })));
    assert!(matches!(fixture.store.replace_token(&found), Err(Error::Conflict { current: 2, .. })));
}
