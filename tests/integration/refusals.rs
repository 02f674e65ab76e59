//! Everything that cannot be opened or saved has an error of its own, with a message that names the file and says what
//! to do, and the disk stays as it was.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    time::Duration,
};

use crate::common::{Fixture, names_in, token, unlock};
use ring::digest::{SHA256, digest};
use tempfile::TempDir;
use tokenkeep::{
    Error, ErrorKind, FileFlaw, FileKind, Keystore, KeystoreOptions, Part, Passphrase, Token, TokenStore, Unlock,
    Unstorable, testing::derivations,
};

type Open = fn(&Path, &Unlock) -> tokenkeep::Result<Keystore>;
const OPEN: Open = |path, unlock| Keystore::open(path, unlock);
const CREATE: Open = |path, unlock| Keystore::create(path, unlock);
const OPEN_OR_CREATE: Open = |path, unlock| Keystore::open_or_create(path, unlock);

/// Everything in a directory, but the lock file, which writers leave there for good.
fn contents_of(directory: &Path) -> BTreeMap<String, Option<Vec<u8>>> {
    let names = names_in(directory).into_iter().filter(|name| !name.ends_with(".lock"));
    // A pipe would be waited for.
    let read = |path: PathBuf| if path.is_file() { fs::read(path).ok() } else { None };
    names.map(|name| (name.clone(), read(directory.join(name)))).collect()
}

/// Opens what was put at the path with each function that opens, expects the same error from all, no derived key but
/// those allowed, the path in the message, and the directory as it was. Returns the message.
#[track_caller]
fn assert_refused(path: &Path, derived: u64, expected: impl Fn(&Error) -> bool) -> String {
    let directory = path.parent().unwrap();
    let before = contents_of(directory);
    let mut messages = Vec::new();
    for open in [OPEN, OPEN_OR_CREATE] {
        let count = derivations();
        let error = open(path, &unlock()).map(|_| ()).expect_err("it opened");
        assert!(expected(&error), "{error:?}");
        assert_eq!(derivations() - count, derived, "derivations");
        messages.push(error.to_string());
    }
    assert_eq!(contents_of(directory), before, "the disk was changed");
    assert_eq!(messages[0], messages[1]);
    assert_names(&messages[0], path);
    let error = Keystore::create(path, &unlock()).map(|_| ()).expect_err("it was created again");
    assert!(matches!(error, Error::AlreadyExists { .. }), "{error:?}");
    assert_eq!(contents_of(directory), before, "the disk was changed");
    assert!(!directory.join("tokens.keep.lock").exists() || before.is_empty(), "a lock was taken for nothing");
    messages.remove(0)
}

#[track_caller]
fn assert_names(message: &str, path: &Path) {
    assert!(message.contains(&path.display().to_string()), "no {} in: {message}", path.display());
}

fn sound() -> Vec<u8> {
    let fixture = Fixture::new();
    fixture.store.save_token(&token().user_name("ada").refresh_token("r").build()).unwrap();
    fixture.store.compact().unwrap();
    fixture.bytes()
}

/// A directory with a file that only its owner may read and write.
fn file_of(bytes: &[u8]) -> (TempDir, PathBuf) {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    fs::write(&path, bytes).unwrap();
    crate::common::set_mode(&path, 0o600);
    (directory, path)
}

/// The file with bytes of its header changed, and the check over that.
fn with(mut file: Vec<u8>, at: usize, bytes: &[u8]) -> Vec<u8> {
    file[at..at + bytes.len()].copy_from_slice(bytes);
    // The check of the body header, and that of the key table, which has one slot.
    for (start, end) in [(0, 104), (TABLE, TABLE + 538)] {
        let check = digest(&SHA256, &file[start..end]);
        file[end..end + 32].copy_from_slice(check.as_ref());
    }
    file
}

/// Where the key table starts, and its first slot.
const TABLE: usize = 136;
const SLOT: usize = TABLE + 48;

#[test]
fn a_wrong_passphrase() {
    let (_directory, path) = file_of(&sound());
    let before = fs::read(&path).unwrap();
    let count = derivations();
    let error = Keystore::open(&path, &Unlock::from(Passphrase::new("wrong"))).unwrap_err();
    assert!(matches!(error, Error::WrongPassphrase { .. }));
    assert_eq!(derivations() - count, 1);
    assert_eq!(error.to_string(), format!("wrong passphrase for {}: try again", path.display()));
    assert!(matches!(
        KeystoreOptions::new().open_or_create(&path, &Unlock::from(Passphrase::new("wrong"))),
        Err(Error::WrongPassphrase { .. })
    ));
    assert_eq!(fs::read(&path).unwrap(), before);
    Keystore::open(&path, &unlock()).unwrap();
}

#[test]
fn an_empty_passphrase() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    let error = Keystore::create(&path, &Unlock::from(Passphrase::new(""))).unwrap_err();
    assert!(matches!(error, Error::EmptyPassphrase));
    assert!(names_in(directory.path()).is_empty());
}

#[test]
fn a_file_that_is_not_a_keystore() {
    let (_directory, path) = file_of(include_bytes!("../data/zoho_sdk_token_file.csv"));
    let message =
        assert_refused(&path, 0, |error| matches!(error, Error::BadFile { flaw: FileFlaw::NotAKeystore, .. }));
    assert!(message.contains("not a tokenkeep keystore"));
}

#[test]
fn an_empty_file() {
    let (_directory, path) = file_of(b"");
    let message = assert_refused(&path, 0, |error| matches!(error, Error::BadFile { flaw: FileFlaw::Empty, .. }));
    assert!(message.contains("restore it from a backup, or set it aside"));
}

#[test]
fn a_newer_version() {
    let mut file = sound();
    file[8..10].copy_from_slice(&2_u16.to_le_bytes());
    let (_directory, path) = file_of(&file);
    let message = assert_refused(&path, 0, |error| {
        matches!(error, Error::BadFile { flaw: FileFlaw::UnsupportedVersion { found: 2, .. }, .. })
    });
    assert!(message.contains("format version 2") && message.contains("update"));
}

#[test]
fn a_feature_that_is_not_known() {
    let (_directory, path) = file_of(&with(sound(), 24, &[4, 0, 0, 0]));
    assert_refused(&path, 0, |error| {
        matches!(error, Error::BadFile { flaw: FileFlaw::UnsupportedFeature { bits: 4, .. }, .. })
    });
}

#[test]
fn a_damaged_header() {
    let mut file = sound();
    file[200] ^= 1;
    let (_directory, path) = file_of(&file);
    let message =
        assert_refused(&path, 0, |error| matches!(error, Error::BadFile { flaw: FileFlaw::DamagedHeader, .. }));
    assert!(message.contains("restore"));
}

#[test]
fn a_damaged_body() {
    let mut file = sound();
    file[1000] ^= 1;
    let (_directory, path) = file_of(&file);
    let message = assert_refused(&path, 1, |error| matches!(error, Error::BadFile { flaw: FileFlaw::Tampered, .. }));
    assert!(message.contains("changed or damaged"));
}

#[test]
fn a_file_cut_short() {
    let file = sound();
    let (_directory, path) = file_of(&file[..file.len() - 1]);
    let message =
        assert_refused(&path, 0, |error| matches!(error, Error::BadFile { flaw: FileFlaw::Truncated { .. }, .. }));
    assert!(message.contains(&format!("{} of {} bytes", file.len() - 1, file.len())));
}

#[test]
fn a_file_with_something_after_it() {
    let (_directory, path) = file_of(&[sound(), vec![1; 8]].concat());
    assert_refused(&path, 1, |error| matches!(error, Error::BadFile { flaw: FileFlaw::Tampered, .. }));
}

/// 4 TiB of memory, more passes than are allowed, both products: nothing is derived.
#[test]
fn a_key_derivation_over_the_limit() {
    for (m_kib, t, p) in
        [(u32::MAX, 5, 1), (7168, u32::MAX, 1), (1 << 20, 3, 1), (7168, 5, 17), (7168, 1, 1), (0, 0, 0)]
    {
        let cost = [m_kib, t, p].map(u32::to_le_bytes).concat();
        let (_directory, path) = file_of(&with(sound(), SLOT + 4, &cost));
        let message =
            assert_refused(&path, 0, |error| matches!(error, Error::BadFile { flaw: FileFlaw::KdfLimit(_), .. }));
        assert!(message.contains("out of bounds") && message.contains("mum is "), "{message}");
    }
}

#[test]
fn a_store_without_a_passphrase() {
    let keychain_slot = [&[2, 0, 0, 0][..], &[0; 12]].concat();
    let (_directory, path) = file_of(&with(sound(), SLOT, &keychain_slot));
    let message = assert_refused(&path, 0, |error| matches!(error, Error::NoSlotFor { .. }));
    assert!(message.contains("no key slot for this unlock method (passphrase)"), "{message}");
}

#[test]
fn a_file_over_the_limit() {
    let file = sound();
    let (_directory, path) = file_of(&file);
    let limit = u64::try_from(file.len()).unwrap();
    KeystoreOptions::new().max_file_len(limit).open(&path, &unlock()).unwrap();
    let error = KeystoreOptions::new().max_file_len(limit - 1).open(&path, &unlock()).unwrap_err();
    assert!(matches!(error, Error::FileTooLarge { .. }), "{error:?}");
    assert!(error.to_string().contains("raise max_file_len"), "{error}");
}

#[test]
fn a_missing_file() {
    let directory = tempfile::tempdir().unwrap();
    let error = Keystore::open(directory.path().join("tokens.keep"), &unlock()).unwrap_err();
    assert!(matches!(&error, Error::NotFound { path, .. } if path.ends_with("tokens.keep")));
    assert!(error.to_string().contains("no keystore at"));
    assert!(names_in(directory.path()).is_empty());
}

#[test]
fn missing_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("missing").join("tokens.keep");
    for open in [OPEN, CREATE, OPEN_OR_CREATE] {
        let error = open(&path, &unlock()).unwrap_err();
        assert!(matches!(&error, Error::MissingDirectory { path, .. } if path.ends_with("missing")), "{error:?}");
        assert!(error.to_string().contains("create it first"));
    }
    assert!(names_in(directory.path()).is_empty());
}

#[test]
fn an_existing_file_given_to_create() {
    let (_directory, path) = file_of(&sound());
    let before = fs::read(&path).unwrap();
    let count = derivations();
    let error = Keystore::create(&path, &unlock()).unwrap_err();
    assert!(matches!(error, Error::AlreadyExists { .. }) && error.to_string().contains("already exists: open it"));
    assert_eq!((fs::read(&path).unwrap(), derivations()), (before, count));
}

#[test]
fn a_directory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    fs::create_dir(&path).unwrap();
    let message = assert_refused(&path, 0, |error| matches!(error, Error::NotAFile { found: FileKind::Directory, .. }));
    assert!(message.contains("is a directory, not a file"));
    let fixture = Fixture::new();
    fs::remove_file(&fixture.path).unwrap();
    fs::create_dir(&fixture.path).unwrap();
    let saved = fixture.store.save_token(&token().access_token("a").build());
    assert!(matches!(saved, Err(Error::NotAFile { found: FileKind::Directory, .. })), "{saved:?}");
    for path in [Path::new("/"), Path::new("..")] {
        assert!(matches!(Keystore::create(path, &unlock()), Err(Error::NotAFile { found: FileKind::Directory, .. })));
    }
}

#[cfg(unix)]
#[test]
fn a_pipe_which_is_not_waited_for() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    assert!(std::process::Command::new("mkfifo").arg(&path).status().unwrap().success());
    let message = assert_refused(&path, 0, |error| matches!(error, Error::NotAFile { found: FileKind::Pipe, .. }));
    assert!(message.contains("is a pipe"));
}

#[cfg(unix)]
#[test]
fn a_socket_and_a_device() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    let _socket = std::os::unix::net::UnixListener::bind(&path).unwrap();
    assert_refused(&path, 0, |error| matches!(error, Error::NotAFile { found: FileKind::Socket, .. }));
    assert!(matches!(Keystore::open("/dev/null", &unlock()), Err(Error::NotAFile { found: FileKind::Device, .. })));
}

#[cfg(unix)]
#[test]
fn a_file_that_others_may_read() {
    let (_directory, path) = file_of(&sound());
    crate::common::set_mode(&path, 0o644);
    let message = assert_refused(&path, 0, |error| matches!(error, Error::UnsafePermissions { .. }));
    assert!(message.contains("0644") && message.contains("set its mode to 0600"));
    KeystoreOptions::new().without_permission_checks().open(&path, &unlock()).unwrap();
}

#[cfg(unix)]
#[test]
fn an_open_store_whose_file_others_may_read_by_now() {
    let fixture = Fixture::new();
    crate::common::set_mode(&fixture.path, 0o644);
    let before = fixture.bytes();
    assert!(matches!(fixture.store.get_tokens(), Err(Error::UnsafePermissions { .. })));
    let saved = fixture.store.save_token(&token().access_token("a").build());
    assert!(matches!(saved, Err(Error::UnsafePermissions { .. })));
    assert_eq!(fixture.bytes(), before);
}

#[cfg(unix)]
#[test]
fn directory_that_everybody_may_write_to() {
    let (directory, path) = file_of(&sound());
    crate::common::set_mode(directory.path(), 0o777);
    let message = assert_refused_in_directory(&path);
    assert!(message.contains("0777") && message.contains("set its mode to 0700"));
    // Nor may it have become one since the store was opened.
    crate::common::set_mode(directory.path(), 0o700);
    let store = Keystore::open(&path, &unlock()).unwrap();
    crate::common::set_mode(directory.path(), 0o777);
    let saved = store.save_token(&token().access_token("a").build());
    assert!(matches!(saved, Err(Error::UnsafePermissions { .. })));
    // With the sticky bit, as /tmp has it, nobody can replace the files of others.
    crate::common::set_mode(directory.path(), 0o1777);
    Keystore::open(&path, &unlock()).unwrap();
}

#[cfg(unix)]
fn assert_refused_in_directory(path: &Path) -> String {
    let new = path.with_file_name("new.keep");
    let created = Keystore::create(&new, &unlock()).unwrap_err();
    assert!(matches!(created, Error::UnsafePermissions { .. }) && !new.exists());
    let opened = Keystore::open(path, &unlock()).unwrap_err();
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
    crate::common::set_mode(&fixture.path, 0o644);
    let before = fixture.bytes();
    let _ = fs::remove_file(fixture.path.with_file_name("tokens.keep.lock"));
    assert!(fixture.open().get_tokens().unwrap().is_empty());
    let error = fixture.store.save_token(&token().access_token("a").build()).unwrap_err();
    assert!(matches!(error, Error::UnsafePermissions { .. }) && error.to_string().contains("12345"), "{error}");
    assert_eq!(fixture.bytes(), before);
    assert_eq!(names_in(fixture.directory.path()), ["tokens.keep"], "not even a lock file of root's");
}

#[cfg(unix)]
#[test]
fn a_link_that_leads_nowhere() {
    let directory = tempfile::tempdir().unwrap();
    let (path, target) = (directory.path().join("tokens.keep"), directory.path().join("target"));
    std::os::unix::fs::symlink(&target, &path).unwrap();
    let message = assert_refused(&path, 0, |error| matches!(error, Error::NotAFile { .. }));
    assert!(message.contains("a symbolic link without a target"));
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
        error.to_string() == "an access token of 65537 bytes is too large: at most 65536 bytes are allowed"
    });
    let whole = (0..5).fold(token().access_token("a"), |token, n| token.attribute(format!("{n}"), "x".repeat(65_000)));
    assert_unsaved(&fixture, &whole.build(), |error| matches!(error, Error::TooLarge { part: Part::Token, .. }));
    assert_unsaved(&fixture, &token().user_name("new").client_id("c").build(), |error| {
        error.to_string() == "the token cannot be stored: it needs a grant, refresh or access token"
    });
    assert_unsaved(&fixture, &token().id(grace).user_name("ada").build(), |error| {
        matches!(error, Error::Unstorable { why: Unstorable::UserAndClientTaken, .. })
    });

    let of_client = |client: &str| token().user_name("lin").client_id(client).access_token("a").build();
    let of_first = fixture.store.save_token(&of_client("first")).unwrap();
    fixture.store.save_token(&of_client("second")).unwrap();
    let without_client = token().user_name("lin").access_token("b").build();
    assert_unsaved(&fixture, &without_client, |error| matches!(error, Error::Ambiguous { count: 2, .. }));
    let other_client = of_client("second").to_builder().id(of_first.clone()).build();
    assert_unsaved(&fixture, &other_client, |error| matches!(error, Error::OtherClient { id, .. } if *id == of_first));
}

#[test]
fn replaced_file_of_an_open_store_is_never_overwritten() {
    let save = |store: &Keystore| store.save_token(&token().user_name("ada").access_token("a").build()).map(|_| ());
    let other = sound();
    type Check = fn(&Error) -> bool;
    let cases: [(&[u8], Check); 5] = [
        (b"", |error| matches!(error, Error::BadFile { flaw: FileFlaw::Empty, .. })),
        (b"not a keystore", |error| matches!(error, Error::BadFile { flaw: FileFlaw::NotAKeystore, .. })),
        (&other[..200], |error| matches!(error, Error::BadFile { flaw: FileFlaw::Truncated { .. }, .. })),
        (&other, |error| matches!(error, Error::Replaced { .. })),
        (b"\x89TKP\r\n\x1a\n\x02\x00", |error| {
            matches!(error, Error::BadFile { flaw: FileFlaw::UnsupportedVersion { found: 2, .. }, .. })
        }),
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
fn older_file_put_back_is_noticed_until_reopened() {
    // Of the same generation, with fewer records; and of an earlier one.
    for is_replaced in [false, true] {
        let fixture = Fixture::new();
        let save = |user: &str| fixture.store.save_token(&token().user_name(user).access_token("a").build());
        save("ada").unwrap();
        let older = fixture.bytes();
        save("grace").unwrap();
        if is_replaced {
            fixture.store.compact().unwrap();
        }
        let newest = fixture.bytes();

        fs::write(&fixture.path, &older).unwrap();
        assert!(matches!(fixture.store.get_tokens(), Err(Error::RolledBack { .. })));
        assert!(matches!(save("lin"), Err(Error::RolledBack { .. })));
        assert_eq!(fixture.bytes(), older);
        fs::write(&fixture.path, newest).unwrap();
        assert!(
            matches!(fixture.store.get_tokens(), Err(Error::RolledBack { .. })),
            "even if the right one comes back"
        );
        assert!(matches!(fixture.store.verify(), Err(Error::RolledBack { .. })));
        let backup = fixture.directory.path().join("backup");
        assert!(matches!(fixture.store.backup_to(backup), Err(Error::RolledBack { .. })));
        assert_eq!(fixture.open().get_tokens().unwrap().len(), 2);
    }
}

#[test]
fn another_history_of_any_length_is_noticed() {
    for saves in [1, 2, 11, 64] {
        let fixture = Fixture::new();
        let common_past = fixture.bytes();
        let save = |store: &Keystore, user: &str| store.save_token(&token().user_name(user).access_token("a").build());
        save(&fixture.store, "ada").unwrap();
        // From a copy of the past, another present.
        fs::write(&fixture.path, common_past).unwrap();
        let copy = fixture.open();
        (0..saves).for_each(|n| drop(save(&copy, &format!("grace {n}")).unwrap()));
        let file = fixture.bytes();
        assert!(matches!(fixture.store.get_tokens(), Err(Error::Diverged { .. })), "{saves}");
        assert!(matches!(save(&fixture.store, "lin"), Err(Error::Diverged { .. })), "{saves}");
        assert_eq!(fixture.bytes(), file, "{saves}");
        assert_eq!(fixture.open().get_tokens().unwrap().len(), saves);
    }
}

/// A keystore with a token, and how one call fails on it. Returns the error, and the path that its message has to name.
type Failure = fn(&Fixture) -> (Error, PathBuf);

fn save(fixture: &Fixture) -> Error {
    fixture.store.save_token(&token().user_name("grace").access_token("a").build()).unwrap_err()
}

fn opened(fixture: &Fixture) -> Error {
    Keystore::open(&fixture.path, &unlock()).unwrap_err()
}

/// What opening a file of those bytes in the keystore's place ends in.
fn opened_with(fixture: &Fixture, bytes: &[u8]) -> (Error, PathBuf) {
    fs::write(&fixture.path, bytes).unwrap();
    (opened(fixture), fixture.path.clone())
}

const FAILURES: &[(&str, Failure)] = &[
    ("no file to open", |fixture| {
        let path = fixture.path.with_file_name("missing.keep");
        (Keystore::open(&path, &unlock()).unwrap_err(), path)
    }),
    ("file deleted while it was open", |fixture| {
        fs::remove_file(&fixture.path).unwrap();
        (fixture.store.get_tokens().unwrap_err(), fixture.path.clone())
    }),
    ("directory is missing", |fixture| {
        let directory = fixture.path.with_file_name("missing");
        (Keystore::create(directory.join("new.keep"), &unlock()).unwrap_err(), directory)
    }),
    ("directory of a backup is missing", |fixture| {
        let directory = fixture.path.with_file_name("missing");
        (fixture.store.backup_to(directory.join("backup.keep")).unwrap_err(), directory)
    }),
    ("file to create exists", |fixture| {
        (Keystore::create(&fixture.path, &unlock()).unwrap_err(), fixture.path.clone())
    }),
    ("backup exists", |fixture| (fixture.store.backup_to(&fixture.path).unwrap_err(), fixture.path.clone())),
    ("directory in the place of the file", |fixture| {
        let directory = fixture.directory.path().to_owned();
        (Keystore::open(&directory, &unlock()).unwrap_err(), directory)
    }),
    ("empty file", |fixture| opened_with(fixture, b"")),
    ("not a keystore", |fixture| opened_with(fixture, b"not a keystore")),
    ("newer version", |fixture| opened_with(fixture, &with(fixture.bytes(), 8, &[2, 0]))),
    ("unknown feature", |fixture| opened_with(fixture, &with(fixture.bytes(), 24, &[4, 0, 0, 0]))),
    ("cost out of bounds", |fixture| opened_with(fixture, &with(fixture.bytes(), SLOT + 4, &[0; 4]))),
    ("damaged header", |fixture| opened_with(fixture, &[&fixture.bytes()[..200], &[0; 4000]].concat())),
    ("file cut short", |fixture| opened_with(fixture, &fixture.bytes()[..1000])),
    ("something after the end", |fixture| opened_with(fixture, &[fixture.bytes(), vec![1; 8]].concat())),
    ("damaged body", |fixture| {
        let mut bytes = fixture.bytes();
        bytes[1000] ^= 1;
        opened_with(fixture, &bytes)
    }),
    ("damaged body of an open store", |fixture| {
        let mut bytes = fixture.bytes();
        bytes[1000] ^= 1;
        fs::write(&fixture.path, &bytes).unwrap();
        (fixture.store.verify().unwrap_err(), fixture.path.clone())
    }),
    ("file over the limit", |fixture| {
        let options = KeystoreOptions::new().max_file_len(1000);
        (options.open(&fixture.path, &unlock()).unwrap_err(), fixture.path.clone())
    }),
    ("save over the limit", |fixture| {
        let options = KeystoreOptions::new().max_file_len(fixture.bytes().len().try_into().unwrap());
        let store = options.open(&fixture.path, &unlock()).unwrap();
        let large = token().user_name("grace").access_token("a".repeat(9000)).build();
        (store.save_token(&large).unwrap_err(), fixture.path.clone())
    }),
    ("wrong passphrase", |fixture| {
        let wrong = crate::common::cheap("wrong").into();
        (Keystore::open(&fixture.path, &wrong).unwrap_err(), fixture.path.clone())
    }),
    ("wrong current passphrase", |fixture| {
        let changed = fixture.store.change_passphrase(&crate::common::cheap("wrong"), &crate::common::cheap("new"));
        (changed.unwrap_err(), fixture.path.clone())
    }),
    ("wrong recovery key", |fixture| {
        fixture.store.add_slot(&crate::common::unlock_with_paper(crate::common::PAPER)).unwrap();
        let wrong = crate::common::unlock_with_paper(crate::common::OTHER_PAPER);
        (Keystore::open(&fixture.path, &wrong).unwrap_err(), fixture.path.clone())
    }),
    ("no key slot for the unlock method", |fixture| {
        let paper = crate::common::unlock_with_paper(crate::common::PAPER);
        (Keystore::open(&fixture.path, &paper).unwrap_err(), fixture.path.clone())
    }),
    ("none of several unlock methods", |fixture| {
        let (paper, wrong) =
            (crate::common::unlock_with_paper(crate::common::PAPER), Unlock::from(crate::common::cheap("wrong")));
        (Keystore::open_any(&fixture.path, [&paper, &wrong]).unwrap_err(), fixture.path.clone())
    }),
    ("no unlock method at all", |fixture| (Keystore::open_any(&fixture.path, []).unwrap_err(), fixture.path.clone())),
    ("another writer has the lock", |fixture| {
        let lock = fs::File::open(fixture.path.with_file_name("tokens.keep.lock")).unwrap();
        lock.lock().unwrap();
        let options = KeystoreOptions::new().lock_timeout(Duration::ZERO);
        let store = options.open(&fixture.path, &unlock()).unwrap();
        (store.delete_tokens().unwrap_err(), fixture.path.clone())
    }),
    ("another keystore at the path", |fixture| {
        fs::write(&fixture.path, sound()).unwrap();
        (save(fixture), fixture.path.clone())
    }),
    ("given a new key", |fixture| {
        fixture.open().rekey([&unlock()]).unwrap();
        (save(fixture), fixture.path.clone())
    }),
    ("an older copy was put back", |fixture| {
        let older = fixture.bytes();
        fixture.store.delete_tokens().unwrap();
        fs::write(&fixture.path, older).unwrap();
        (save(fixture), fixture.path.clone())
    }),
    #[cfg(unix)]
    ("others may read the file", |fixture| {
        crate::common::set_mode(&fixture.path, 0o640);
        (opened(fixture), fixture.path.clone())
    }),
    #[cfg(unix)]
    ("others may write to the directory", |fixture| {
        crate::common::set_mode(fixture.directory.path(), 0o777);
        (opened(fixture), fixture.directory.path().to_owned())
    }),
    #[cfg(unix)]
    ("file with two names", |fixture| {
        fs::hard_link(&fixture.path, fixture.path.with_file_name("other.keep")).unwrap();
        (save(fixture), fixture.path.clone())
    }),
    ("lock that cannot be opened", |fixture| {
        let lock = fixture.path.with_file_name("tokens.keep.lock");
        fs::remove_file(&lock).unwrap();
        fs::create_dir(&lock).unwrap();
        (save(fixture), lock)
    }),
    #[cfg(unix)]
    ("name that is too long", |fixture| {
        let path = fixture.path.with_file_name("x".repeat(300));
        (Keystore::open(&path, &unlock()).unwrap_err(), path)
    }),
    #[cfg(unix)]
    ("path below a file", |fixture| {
        let path = fixture.path.join("new.keep");
        (Keystore::open(&path, &unlock()).unwrap_err(), path)
    }),
];

#[test]
fn each_error_about_a_file_names_its_path() {
    let mut variants = BTreeSet::new();
    for (name, fail) in FAILURES {
        let fixture = Fixture::new();
        fixture.store.save_token(&token().user_name("ada").access_token("a").build()).unwrap();
        let (error, path) = fail(&fixture);
        let message = error.to_string();
        assert!(message.contains(&path.display().to_string()), "{name}: {message}");
        if let Error::Io { cause, .. } = &error {
            assert!(message.contains(&cause.to_string()) && cause.raw_os_error().is_some(), "{name}: {message}");
        }
        assert!(!message.contains("folder"), "{name}: {message}");
        variants.insert(format!("{error:?}").split(' ').next().unwrap().to_owned());
    }
    // The other variants with a path (MountedFile, ChangedMeanwhile, Forked, DurabilityUnknown) need more than a call.
    let expected = [
        "AlreadyExists",
        "BadFile",
        "Busy",
        "FileTooLarge",
        "Io",
        "MissingDirectory",
        "NoSlotFor",
        "NoneOpened",
        "NotAFile",
        "NotFound",
        "Rekeyed",
        "Replaced",
        "RolledBack",
        #[cfg(unix)]
        "UnsafePermissions",
        "WrongPassphrase",
        "WrongRecoveryKey",
    ];
    assert_eq!(variants.iter().map(String::as_str).collect::<Vec<_>>(), expected);
}

/// One line each, as a person reads them.
#[cfg(target_os = "linux")]
#[test]
fn io_errors_say_what_failed_and_why() {
    let fixture = Fixture::new();
    let lock = fixture.path.with_file_name("tokens.keep.lock");
    let _ = fs::remove_file(&lock);
    fs::create_dir(&lock).unwrap();
    assert_eq!(save(&fixture).to_string(), format!("could not open {}: Is a directory (os error 21)", lock.display()));
    let long = fixture.path.with_file_name("x".repeat(300));
    let refused = Keystore::open(&long, &unlock()).unwrap_err();
    let expected = format!("could not resolve the path {}: File name too long (os error 36)", long.display());
    assert_eq!(refused.to_string(), expected);
}

#[test]
fn an_empty_path_has_an_error_of_its_own() {
    let fixture = Fixture::new();
    let count = derivations();
    let of_store = [OPEN, CREATE, OPEN_OR_CREATE].map(|open| open(Path::new(""), &unlock()).map(drop));
    let others = [
        Keystore::open_any("", [&unlock()]).map(drop),
        Keystore::verify_file("").map(drop),
        fixture.store.backup_to(""),
    ];
    for refused in of_store.into_iter().chain(others) {
        let error = refused.unwrap_err();
        assert!(matches!(error, Error::EmptyPath), "{error:?}");
        assert_eq!(error.to_string(), "the path of the keystore is empty: give the path of a file");
    }
    assert_eq!(derivations(), count);
}

/// A store of such a name would be taken for a file beside another store: its neighbour removes it or locks it.
#[test]
fn names_of_files_beside_a_store_are_refused() {
    let fixture = Fixture::new();
    let directory = fixture.directory.path();
    let before = contents_of(directory);
    let names = ["tokens.keep.lock", "new.LOCK", "new.queue", "new.claims", "tokens.keep.0123456789abcdef.tmp"];
    for name in names {
        let path = directory.join(name);
        let refused = [
            Keystore::create(&path, &unlock()).map(drop),
            Keystore::open_or_create(&path, &unlock()).map(drop),
            fixture.store.backup_to(&path),
        ];
        for refused in refused {
            let error = refused.expect_err(name);
            assert!(matches!(error, Error::ReservedName { .. } | Error::AlreadyExists { .. }), "{name}: {error:?}");
            assert_names(&error.to_string(), &path);
        }
        if !path.exists() {
            fs::copy(&fixture.path, &path).unwrap();
            let refused = Keystore::open(&path, &unlock()).map(drop);
            assert!(matches!(refused, Err(Error::ReservedName { .. })), "{name}: {refused:?}");
            fs::remove_file(&path).unwrap();
        }
    }
    assert_eq!(contents_of(directory), before);
}

/// A user who cannot open the store starts over, and the old file stays for a repair.
#[test]
fn file_that_cannot_be_opened_is_set_aside() {
    for (n, content) in [&b" "[..], &[0; 4096], b"{\"tokens\": []}", b"\xEF\xBB\xBFtokens", b""].into_iter().enumerate()
    {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("tokens.keep");
        fs::write(&path, content).unwrap();
        crate::common::set_mode(&path, 0o600);
        for number in 1..=2 {
            let error = Keystore::open_or_create(&path, &unlock()).unwrap_err();
            assert_eq!(error.kind(), ErrorKind::Damaged, "{n}: {error}");
            assert!(error.to_string().contains("Keystore::set_aside"), "{error}");
            let aside = Keystore::set_aside(&path).unwrap();
            assert!(aside.ends_with(format!("tokens.keep.aside-{number}")), "{}", aside.display());
            assert_eq!(fs::read(&aside).unwrap(), content);
            assert!(!path.exists());
            let store = Keystore::create(&path, &unlock()).unwrap();
            store.save_token(&token().user_name("ada").access_token("a").build()).unwrap();
            fs::write(&path, content).unwrap();
        }
    }
    let fixture = Fixture::new();
    let aside = Keystore::set_aside(&fixture.path).unwrap();
    assert!(matches!(fixture.store.get_tokens(), Err(Error::NotFound { .. })));
    assert!(Keystore::open(&aside, &unlock()).is_ok());
    assert!(matches!(Keystore::set_aside(&fixture.path), Err(Error::NotFound { .. })));
    fs::create_dir(&fixture.path).unwrap();
    assert!(matches!(Keystore::set_aside(&fixture.path), Err(Error::NotAFile { .. })));
}
