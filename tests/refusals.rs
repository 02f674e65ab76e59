//! Whatever cannot be opened or saved has an error of its own, with a message that helps, and the disk stays as it was.

mod common;

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use common::{Fixture, names_in, token, unlock};
use ring::digest::{SHA256, digest};
use tempfile::TempDir;
use tokenkeep::{Error, Keystore, KeystoreOptions, Token, TokenStore, Unlock, Unstorable, testing::derivations};

type Open = fn(&Path, Unlock) -> tokenkeep::Result<Keystore>;
const OPEN: Open = |path, unlock| Keystore::open(path, unlock);
const CREATE: Open = |path, unlock| Keystore::create(path, unlock);
const OPEN_OR_CREATE: Open = |path, unlock| Keystore::open_or_create(path, unlock);

/// Everything in a folder, but the lock file, which writers leave there for good.
fn contents_of(folder: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let names = names_in(folder).into_iter().filter(|name| !name.ends_with(".lock"));
    // A pipe would be waited for.
    let read = |path: PathBuf| if path.is_file() { fs::read(path).ok() } else { None };
    names.map(|name| (name.clone(), read(folder.join(name)))).collect()
}

/// Opens what was put at the path in each way there is, expects one error of all, no derived key but those allowed, and
/// the folder as it was. Returns the message.
#[track_caller]
fn assert_refused(path: &Path, derived: u64, expected: impl Fn(&Error) -> bool) -> String {
    let folder = path.parent().unwrap();
    let before = contents_of(folder);
    let mut messages = Vec::new();
    for open in [OPEN, OPEN_OR_CREATE] {
        let count = derivations();
        let error = open(path, unlock()).map(|_| ()).expect_err("it opened");
        assert!(expected(&error), "{error:?}");
        assert_eq!(derivations() - count, derived, "derivations");
        messages.push(error.to_string());
    }
    assert_eq!(contents_of(folder), before, "the disk was changed");
    assert_eq!(messages[0], messages[1]);
    let error = Keystore::create(path, unlock()).map(|_| ()).expect_err("it was created anew");
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(contents_of(folder), before, "the disk was changed");
    assert!(!folder.join("tokens.keep.lock").exists() || before.is_empty(), "a lock was taken for nothing");
    messages.remove(0)
}

fn sound() -> Vec<u8> {
    let fixture = Fixture::new();
    fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    fixture.bytes()
}

/// A folder with a file that only its owner may read and write.
fn file_of(bytes: &[u8]) -> (TempDir, PathBuf) {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.keep");
    fs::write(&path, bytes).unwrap();
    common::set_mode(&path, 0o600);
    (folder, path)
}

/// The file with bytes of its header changed, and the check over that.
fn with(mut file: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    file[at..at + bytes.len()].copy_from_slice(bytes);
    let check = digest(&SHA256, &file[..272]);
    file[272..304].copy_from_slice(check.as_ref());
    file
}

#[test]
fn a_wrong_passphrase() {
    let (_folder, path) = file_of(&sound());
    let before = fs::read(&path).unwrap();
    let count = derivations();
    let error = Keystore::open(&path, Unlock::passphrase("wrong")).unwrap_err();
    assert!(matches!(error, Error::WrongPassphrase));
    assert_eq!(derivations() - count, 1);
    assert!(error.to_string().contains("wrong passphrase, or"), "a changed slot looks the same");
    assert!(matches!(
        KeystoreOptions::new().open_or_create(&path, Unlock::passphrase("wrong")),
        Err(Error::WrongPassphrase)
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
    Keystore::open(&path, unlock()).unwrap();
}

#[test]
fn an_empty_passphrase() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.keep");
    let error = Keystore::create(&path, Unlock::passphrase("")).unwrap_err();
    assert!(matches!(error, Error::EmptyPassphrase));
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn a_file_that_is_not_a_keystore() {
    let (_folder, path) = file_of(include_bytes!("data/zoho_sdk_token_file.csv"));
    let message = assert_refused(&path, 0, |error| matches!(error, Error::NotAKeystore));
    assert!(message.contains("not a tokenkeep keystore"));
}

#[test]
fn an_empty_file() {
    let (_folder, path) = file_of(b"");
    let message = assert_refused(&path, 0, |error| matches!(error, Error::EmptyFile));
    assert!(message.contains("restore it from a backup, or delete it"));
}

#[test]
fn a_newer_version() {
    let mut file = sound();
    file[8..10].copy_from_slice(&2_u16.to_le_bytes());
    let (_folder, path) = file_of(&file);
    let message = assert_refused(&path, 0, |error| matches!(error, Error::UnsupportedVersion { found: 2, .. }));
    assert!(message.contains("format version 2") && message.contains("update"));
}

#[test]
fn a_feature_that_is_not_known() {
    let (_folder, path) = file_of(&with(sound(), 24, &[4, 0, 0, 0]));
    assert_refused(&path, 0, |error| matches!(error, Error::UnsupportedFeature { bits: 4, .. }));
}

#[test]
fn a_damaged_header() {
    let mut file = sound();
    file[200] ^= 1;
    let (_folder, path) = file_of(&file);
    let message = assert_refused(&path, 0, |error| matches!(error, Error::DamagedHeader));
    assert!(message.contains("restore"));
}

#[test]
fn a_damaged_body() {
    let mut file = sound();
    file[400] ^= 1;
    let (_folder, path) = file_of(&file);
    let message = assert_refused(&path, 1, |error| matches!(error, Error::Tampered));
    assert!(message.contains("changed or damaged"));
}

#[test]
fn a_file_cut_short() {
    let file = sound();
    let (_folder, path) = file_of(&file[..file.len() - 1]);
    let message = assert_refused(&path, 0, |error| matches!(error, Error::Truncated { .. }));
    assert!(message.contains(&format!("{} of {} bytes", file.len() - 1, file.len())));
}

#[test]
fn a_file_with_something_after_it() {
    let (_folder, path) = file_of(&[sound(), vec![0]].concat());
    assert_refused(&path, 0, |error| matches!(error, Error::Malformed { .. }));
}

/// 4 TiB of memory, more passes than are allowed, both products: nothing is derived.
#[test]
fn a_key_derivation_over_the_limit() {
    for (m_kib, t, p) in
        [(u32::MAX, 5, 1), (7168, u32::MAX, 1), (1 << 20, 3, 1), (7168, 5, 17), (7168, 1, 1), (0, 0, 0)]
    {
        let cost = [m_kib, t, p].map(u32::to_le_bytes).concat();
        let (_folder, path) = file_of(&with(sound(), 132, &cost));
        let message = assert_refused(&path, 0, |error| matches!(error, Error::KdfLimit { .. }));
        assert!(message.contains("nearest accepted"), "{message}");
    }
}

#[test]
fn a_store_without_a_passphrase() {
    let keychain_slot = [&[2, 0, 0, 0][..], &[0; 12]].concat();
    let (_folder, path) = file_of(&with(sound(), 128, &keychain_slot));
    let message = assert_refused(&path, 0, |error| matches!(error, Error::NoSuchSlot { .. }));
    assert!(message.contains("passphrase"));
}

#[test]
fn a_file_over_the_limit() {
    let file = sound();
    let (_folder, path) = file_of(&file);
    let limit = u64::try_from(file.len()).unwrap();
    KeystoreOptions::new().max_file_len(limit).open(&path, unlock()).unwrap();
    let error = KeystoreOptions::new().max_file_len(limit - 1).open(&path, unlock()).unwrap_err();
    assert!(matches!(error, Error::TooLarge { what: "the file", .. }));
}

#[test]
fn a_missing_file() {
    let folder = tempfile::tempdir().unwrap();
    let error = Keystore::open(folder.path().join("tokens.keep"), unlock()).unwrap_err();
    assert!(matches!(&error, Error::NotFound { path, .. } if path.ends_with("tokens.keep")));
    assert!(error.to_string().contains("no keystore at"));
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn a_missing_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("missing").join("tokens.keep");
    for open in [OPEN, CREATE, OPEN_OR_CREATE] {
        let error = open(&path, unlock()).unwrap_err();
        assert!(matches!(&error, Error::MissingFolder { path, .. } if path.ends_with("missing")), "{error:?}");
        assert!(error.to_string().contains("create it first"));
    }
    assert!(names_in(folder.path()).is_empty());
}

#[test]
fn an_existing_file_given_to_create() {
    let (_folder, path) = file_of(&sound());
    let before = fs::read(&path).unwrap();
    let count = derivations();
    let error = Keystore::create(&path, unlock()).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }) && error.to_string().contains("exists already"));
    assert_eq!((fs::read(&path).unwrap(), derivations()), (before, count));
}

#[test]
fn a_folder() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.keep");
    fs::create_dir(&path).unwrap();
    let message = assert_refused(&path, 0, |error| matches!(error, Error::NotAFile { kind: "folder", .. }));
    assert!(message.contains("is a folder, not a file"));
    let fixture = Fixture::new();
    fs::remove_file(&fixture.path).unwrap();
    fs::create_dir(&fixture.path).unwrap();
    let saved = fixture.store.save_token(&token().access_token("a").build());
    assert!(matches!(saved, Err(Error::NotAFile { kind: "folder", .. })), "{saved:?}");
    for path in [Path::new("/"), Path::new("..")] {
        assert!(matches!(Keystore::create(path, unlock()), Err(Error::NotAFile { kind: "folder", .. })));
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_which_is_not_waited_for() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.keep");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let message = assert_refused(&path, 0, |error| matches!(error, Error::NotAFile { kind: "pipe", .. }));
    assert!(message.contains("is a pipe"));
}

#[cfg(unix)]
#[test]
fn a_socket_and_a_device() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("tokens.keep");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_refused(&path, 0, |error| matches!(error, Error::NotAFile { kind: "socket", .. }));
    assert!(matches!(Keystore::open("/dev/null", unlock()), Err(Error::NotAFile { kind: "device", .. })));
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read() {
    let (_folder, path) = file_of(&sound());
    common::set_mode(&path, 0o644);
    let message = assert_refused(&path, 0, |error| matches!(error, Error::UnsafePermissions { .. }));
    assert!(message.contains("0644") && message.contains("make it 0600"));
    KeystoreOptions::new().without_permission_checks().open(&path, unlock()).unwrap();
}

#[cfg(unix)]
#[test]
fn an_open_store_whose_file_others_may_read_by_now() {
    let fixture = Fixture::new();
    common::set_mode(&fixture.path, 0o644);
    let before = fixture.bytes();
    assert!(matches!(fixture.store.get_tokens(), Err(Error::UnsafePermissions { .. })));
    let saved = fixture.store.save_token(&token().access_token("a").build());
    assert!(matches!(saved, Err(Error::UnsafePermissions { .. })));
    assert_eq!(fixture.bytes(), before);
}

#[cfg(unix)]
#[test]
fn a_folder_that_everybody_may_write_to() {
    let (folder, path) = file_of(&sound());
    common::set_mode(folder.path(), 0o777);
    let message = assert_refused_in_folder(&path);
    assert!(message.contains("0777") && message.contains("make it 0700"));
    // Nor may it have become one since the store was opened.
    common::set_mode(folder.path(), 0o700);
    let store = Keystore::open(&path, unlock()).unwrap();
    common::set_mode(folder.path(), 0o777);
    let saved = store.save_token(&token().access_token("a").build());
    assert!(matches!(saved, Err(Error::UnsafePermissions { .. })));
    // With the sticky bit, as /tmp has it, nobody can replace the files of others.
    common::set_mode(folder.path(), 0o1777);
    Keystore::open(&path, unlock()).unwrap();
}

#[cfg(unix)]
fn assert_refused_in_folder(path: &Path) -> String {
    let new = path.with_file_name("new.keep");
    let created = Keystore::create(&new, unlock()).unwrap_err();
    assert!(matches!(created, Error::UnsafePermissions { .. }) && !new.exists());
    let opened = Keystore::open(path, unlock()).unwrap_err();
    assert!(matches!(opened, Error::UnsafePermissions { .. }));
    opened.to_string()
}

#[cfg(unix)]
#[test]
fn a_file_with_two_names_is_read_and_not_written() {
    let fixture = Fixture::new();
    let id = fixture.store.save_token(&token().access_token("a").build()).unwrap();
    fs::hard_link(&fixture.path, fixture.path.with_file_name("other.keep")).unwrap();
    let before = fixture.bytes();
    assert!(fixture.open().find_token_by_id(&id).unwrap().is_some());
    let error = fixture.store.delete_token(&id).unwrap_err();
    assert!(matches!(error, Error::UnsafePermissions { .. }) && error.to_string().contains("2 names"), "{error}");
    assert_eq!(fixture.bytes(), before);
}

/// A store is not taken away from the user it belongs to by a program that runs as root.
#[cfg(unix)]
#[test]
fn a_file_of_another_user_is_read_and_not_written() {
    let fixture = Fixture::new();
    if std::os::unix::fs::chown(&fixture.path, Some(12_345), None).is_err() {
        assert!(std::env::var_os("CI").is_none(), "CI runs as root, and could not give a file away");
        eprintln!("SKIPPED: only root can give a file to another user");
        return;
    }
    // What that user lets others do is that user's business.
    common::set_mode(&fixture.path, 0o644);
    let before = fixture.bytes();
    let _ = fs::remove_file(fixture.path.with_file_name("tokens.keep.lock"));
    assert!(fixture.open().get_tokens().unwrap().is_empty());
    let error = fixture.store.save_token(&token().access_token("a").build()).unwrap_err();
    assert!(matches!(error, Error::UnsafePermissions { .. }) && error.to_string().contains("12345"), "{error}");
    assert_eq!(fixture.bytes(), before);
    assert_eq!(names_in(fixture.folder.path()), ["tokens.keep"], "not even a lock file of root's");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere() {
    let folder = tempfile::tempdir().unwrap();
    let (path, target) = (folder.path().join("tokens.keep"), folder.path().join("target"));
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let message = assert_refused(&path, 0, |error| matches!(error, Error::NotAFile { .. }));
    assert!(message.contains("a symbolic link that leads nowhere"));
    assert!(!target.exists());
}

#[track_caller]
fn assert_unsaved(fixture: &Fixture, token: &Token, expected: impl FnOnce(&Error) -> bool) {
    let before = fixture.bytes();
    let error = fixture.store.save_token(token).unwrap_err();
    assert!(expected(&error), "{error:?}");
    assert_eq!(fixture.bytes(), before);
}

#[test]
fn tokens_that_cannot_be_stored() {
    let fixture = Fixture::new();
    fixture.store.save_token(&token().user_name("ada").access_token("a").build()).unwrap();
    let grace = fixture.store.save_token(&token().user_name("grace").access_token("a").build()).unwrap();

    let field = token().access_token("x".repeat(65_537)).build();
    assert_unsaved(&fixture, &field, |error| {
        error.to_string() == "an access token of 65537 bytes is too large: at most 65536"
    });
    let whole = (0..5).fold(token().access_token("a"), |token, n| token.attribute(format!("{n}"), "x".repeat(65_000)));
    assert_unsaved(&fixture, &whole.build(), |error| matches!(error, Error::TooLarge { what: "a token", .. }));
    assert_unsaved(&fixture, &token().user_name("new").client_id("c").build(), |error| {
        error.to_string() == "the token cannot be stored: it has no grant, refresh or access token"
    });
    assert_unsaved(&fixture, &token().id(grace).user_name("ada").build(), |error| {
        matches!(error, Error::Unstorable { why: Unstorable::UserNameTaken, .. })
    });
}

#[test]
fn what_became_of_an_open_store_is_told_apart_and_never_written_over() {
    let save = |store: &Keystore| store.save_token(&token().user_name("ada").access_token("a").build()).map(|_| ());
    let other = sound();
    type Check = fn(&Error) -> bool;
    let cases: [(&[u8], Check); 5] = [
        (b"", |error| matches!(error, Error::EmptyFile)),
        (b"not a keystore", |error| matches!(error, Error::NotAKeystore)),
        (&other[..200], |error| matches!(error, Error::Truncated { .. })),
        (&other, |error| matches!(error, Error::Replaced)),
        (b"\x89TKP\r\n\x1a\n\x02\x00", |error| matches!(error, Error::UnsupportedVersion { found: 2, .. })),
    ];
    for (bytes, expected) in cases {
        let fixture = Fixture::new();
        fs::write(&fixture.path, bytes).unwrap();
        for error in [fixture.store.get_tokens().unwrap_err(), save(&fixture.store).unwrap_err()] {
            assert!(expected(&error), "{error:?}");
        }
        assert_eq!(fixture.bytes(), bytes);
    }

    let fixture = Fixture::new();
    fs::remove_file(&fixture.path).unwrap();
    assert!(matches!(fixture.store.get_tokens(), Err(Error::NotFound { .. })));
    assert!(matches!(save(&fixture.store), Err(Error::NotFound { .. })));
    assert!(!fixture.path.exists());
}

#[test]
fn an_older_state_put_back_is_noticed_until_the_store_is_opened_again() {
    let fixture = Fixture::new();
    let save = |user: &str| fixture.store.save_token(&token().user_name(user).access_token("a").build());
    save("ada").unwrap();
    let older = fixture.bytes();
    save("grace").unwrap();
    let newest = fixture.bytes();

    fs::write(&fixture.path, &older).unwrap();
    assert!(matches!(fixture.store.get_tokens(), Err(Error::RolledBack)));
    assert!(matches!(save("lin"), Err(Error::RolledBack)));
    assert_eq!(fixture.bytes(), older);
    fs::write(&fixture.path, newest).unwrap();
    assert!(matches!(fixture.store.get_tokens(), Err(Error::RolledBack)), "even if the right one comes back");
    assert!(matches!(fixture.store.verify(), Err(Error::RolledBack)));
    assert!(matches!(fixture.store.backup_to(fixture.folder.path().join("backup")), Err(Error::RolledBack)));
    assert_eq!(fixture.open().get_tokens().unwrap().len(), 2);
}

#[test]
fn another_history_of_the_same_length_is_noticed() {
    let fixture = Fixture::new();
    let common_past = fixture.bytes();
    let save = |store: &Keystore, user: &str| store.save_token(&token().user_name(user).access_token("a").build());
    save(&fixture.store, "ada").unwrap();
    // From a copy of the past, another present.
    fs::write(&fixture.path, common_past).unwrap();
    save(&fixture.open(), "grace").unwrap();
    assert!(matches!(fixture.store.get_tokens(), Err(Error::RolledBack)));
}
