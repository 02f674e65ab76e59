//! Places that a file may be in: disks that are full or read-only, directories that cannot be written, mounts, odd
//! names. What needs a mount runs in a mount namespace of its own, what must not be root as another user; both as
//! another process.

use std::{
    env, fs,
    io::{ErrorKind, Write},
    os::unix::{ffi::OsStrExt, fs::PermissionsExt},
    path::Path,
    process::Command,
    thread,
};

use tokenkeep::{
    Error, KdfParams, Keystore, KeystoreOptions, Need, Passphrase, Refresh, Token, TokenStore, TokenStoreExt, Unlock,
    UnsafePermissions,
};

use crate::{
    common::{Fixture, names_in, set_mode, token, unlock},
    this_program_with, works,
};

pub(crate) const NOBODY: u32 = 65_534;
const AS_NOBODY: [&str; 6] = ["setpriv", "--reuid", "65534", "--regid", "65534", "--clear-groups"];

fn save(store: &Keystore, user: &str) -> tokenkeep::Result<()> {
    store.save_token(&token().user_name(user).access_token("a").build()).map(|_| ())
}

fn users(path: &Path) -> usize {
    Keystore::open(path, &unlock()).unwrap().get_tokens().unwrap().len()
}

#[track_caller]
fn assert_io(result: tokenkeep::Result<()>, kind: ErrorKind) {
    match result {
        Err(error) => {
            let message = error.to_string();
            match error {
                Error::Io { cause, path, .. } => {
                    assert_eq!(cause.kind(), kind, "{cause}");
                    let names = [path.display().to_string(), cause.to_string()];
                    assert!(names.iter().all(|name| message.contains(name)), "{message}");
                }
                other => panic!("expected {kind:?}, got {other:?}"),
            }
        }
        Ok(()) => panic!("expected {kind:?}"),
    }
}

fn mount(arguments: &[&str]) {
    assert!(Command::new("mount").args(arguments).status().unwrap().success(), "mount {arguments:?}");
}

/// The job of the process that may mount: the tests below, each in a directory of its own.
pub(crate) fn work(place: &str, directory: &Path) {
    let path = directory.join("tokens.keep");
    let at = directory.to_str().unwrap();
    match place {
        "little memory" => {
            // The first slot is beyond this process, the second is not.
            assert_eq!(users(&path), 0);
            let refused = Keystore::open(&path, &Unlock::from(Passphrase::new("wrong"))).unwrap_err();
            assert!(matches!(refused, Error::KdfMemory { .. }), "it may have been the one: {refused:?}");
        }
        "no threads" => {
            assert!(thread::Builder::new().spawn(|| {}).is_err());
            let store = Keystore::create(&path, &unlock()).unwrap();
            for number in 0..8 {
                let long = "a".repeat(Token::MAX_FIELD_LEN);
                store.save_token(&token().user_name(format!("user {number}")).access_token(long).build()).unwrap();
                assert_eq!(users(&path), number + 1);
            }
            let links = fs::read_dir("/proc/self/fd").unwrap().filter_map(|fd| fs::read_link(fd.unwrap().path()).ok());
            let replaced: Vec<_> =
                links.filter(|file| file.to_string_lossy().ends_with("tokens.keep (deleted)")).collect();
            assert!(replaced.is_empty(), "{replaced:?}");
        }
        "full disk" => {
            mount(&["-t", "tmpfs", "-o", "size=64k,mode=700", "tmpfs", at]);
            let store = Keystore::create(&path, &unlock()).unwrap();
            save(&store, "ada").unwrap();
            // A file of more than one block, so that a part of it can fit.
            store.save_token(&token().user_name("lin").access_token("a".repeat(5000)).build()).unwrap();
            let filler = directory.join("filler");
            // To the last byte, so that what is left depends on nobody's block size.
            let _ = fs::write(&filler, vec![1; 1 << 20]);
            let before = fs::read(&path).unwrap();
            assert_io(store.check_writable(), ErrorKind::StorageFull);
            assert_eq!(store.status().unwrap().not_writable.unwrap().kind, tokenkeep::ErrorKind::System);
            let of_two_blocks = token().user_name("grace").access_token("a".repeat(5000)).build();
            let save_two_blocks = || store.save_token(&of_two_blocks).map(drop);
            assert_io(save_two_blocks(), ErrorKind::StorageFull);
            // With room for a part of a record, and of a new file.
            let file = fs::File::options().write(true).open(&filler).unwrap();
            file.set_len(file.metadata().unwrap().len() - 4096).unwrap();
            drop(file);
            assert_io(save_two_blocks(), ErrorKind::StorageFull);
            assert_io(store.backup_to(directory.join("backup.keep")), ErrorKind::StorageFull);
            assert_eq!(fs::read(&path).unwrap(), before);
            assert_eq!(names_in(directory), ["filler", "tokens.keep", "tokens.keep.lock"]);
            fs::remove_file(filler).unwrap();
            store.check_writable().unwrap();
            assert_eq!(store.status().unwrap().not_writable, None);
            save(&store, "grace").unwrap();
            assert_eq!(users(&path), 3);
        }
        "reserve of tmpfs" => {
            mount(&["-t", "tmpfs", "-o", "size=2m,mode=700", "tmpfs", at]);
            saves_go_on_in_the_reserve(directory);
        }
        "reserve of ext4" => {
            let image = directory.join("image");
            fs::File::create(&image).unwrap().set_len(16 << 20).unwrap();
            let made = Command::new("mkfs.ext4").args(["-q", "-m", "0"]).arg(&image).status().unwrap();
            assert!(made.success());
            let at = directory.join("ext4");
            fs::create_dir(&at).unwrap();
            mount(&["-o", "loop", image.to_str().unwrap(), at.to_str().unwrap()]);
            set_mode(&at, 0o700);
            saves_go_on_in_the_reserve(&at);
            assert!(Command::new("umount").arg(&at).status().unwrap().success());
        }
        "read-only mount" => {
            mount(&["-t", "tmpfs", "-o", "mode=700", "tmpfs", at]);
            let store = Keystore::create(&path, &unlock()).unwrap();
            save(&store, "ada").unwrap();
            // The handle that wrote has the file open for writing, which no system makes read-only under it.
            drop(store);
            let store = Keystore::open(&path, &unlock()).unwrap();
            mount(&["-o", "remount,ro", at]);
            assert_io(store.check_writable(), ErrorKind::ReadOnlyFilesystem);
            assert_io(save(&store, "grace"), ErrorKind::ReadOnlyFilesystem);
            assert_io(
                Keystore::create(directory.join("new.keep"), &unlock()).map(|_| ()),
                ErrorKind::ReadOnlyFilesystem,
            );
            assert_eq!((store.get_tokens().unwrap().len(), users(&path)), (1, 1));
            store.verify().unwrap();
        }
        "mounted file" => {
            let real = directory.join("real.keep");
            save(&Keystore::create(&real, &unlock()).unwrap(), "ada").unwrap();
            fs::write(&path, b"").unwrap();
            mount(&["--bind", real.to_str().unwrap(), path.to_str().unwrap()]);
            let store = Keystore::open(&path, &unlock()).unwrap();
            assert!(matches!(store.check_writable(), Err(Error::MountedFile { .. })));
            let error = save(&store, "grace").unwrap_err();
            assert!(error.to_string().contains("mount its directory instead"), "{error}");
            assert!(error.to_string().contains(path.to_str().unwrap()), "{error}");
            assert_eq!((store.get_tokens().unwrap().len(), users(&real)), (1, 1));
            assert_eq!(names_in(directory).iter().filter(|name| name.ends_with(".tmp")).count(), 0);
        }
        "directory that cannot be written" => {
            let store = Keystore::open(&path, &unlock()).unwrap();
            assert_io(store.check_writable(), ErrorKind::PermissionDenied);
            assert_io(save(&store, "grace"), ErrorKind::PermissionDenied);
            assert_io(Keystore::create(directory.join("new.keep"), &unlock()).map(|_| ()), ErrorKind::PermissionDenied);
            assert_eq!(store.get_tokens().unwrap().len(), 1);
        }
        "directory of another user" => {
            drop(Keystore::create(&path, &unlock()).unwrap());
            fs::write(directory.join("tokens.keep.0123456789abcdef.tmp"), b"").unwrap();
            let store = Keystore::open(&path, &unlock()).unwrap();
            save(&store, "ada").unwrap();
            store.compact().unwrap();
            assert_eq!(names_in(directory), ["tokens.keep", "tokens.keep.lock"]);
        }
        "file of root" => {
            for refused in [Keystore::open(&path, &unlock()).map(drop), Keystore::verify_file(&path).map(drop)] {
                let what = match refused.unwrap_err() {
                    Error::UnsafePermissions { path: named, what, .. } if named.ends_with("tokens.keep") => what,
                    other => panic!("expected UnsafePermissions, got {other:?}"),
                };
                assert!(matches!(what, UnsafePermissions::NotOurs { owner: 0, .. }), "{what:?}");
            }
            // A lock file that root has left beside a store of ours.
            let own = directory.join("own.keep");
            save(&Keystore::open(&own, &unlock()).unwrap(), "ada").unwrap_err();
            let refused = Keystore::open(&own, &unlock()).unwrap().check_writable().unwrap_err();
            assert!(refused.to_string().contains("own.keep.lock belongs to user 0"), "{refused}");
        }
        "readable file of root" => {
            assert_eq!(Keystore::open(&path, &unlock()).unwrap().get_tokens().unwrap().len(), 1);
        }
        "umask" => {
            save(&Keystore::create(&path, &unlock()).unwrap(), "ada").unwrap();
            save(&Keystore::open(&path, &unlock()).unwrap(), "grace").unwrap();
        }
        other => panic!("no such place: {other}"),
    }
}

/// Runs the job behind a command such as `unshare`.
fn behind(command: &[&str], place: &str, directory: &Path) {
    if !works(command) {
        return;
    }
    // Where every user may run it.
    let program_directory = tempfile::tempdir().unwrap();
    set_mode(program_directory.path(), 0o755);
    let job = this_program_with(&["places", place, directory.to_str().unwrap()]);
    let program = program_directory.path().join("program");
    // By another process: a child of another test would have a copy that is open for writing here, and such a file
    // cannot be run.
    assert!(Command::new("cp").arg(job.get_program()).arg(&program).status().unwrap().success());
    let mut watched = Command::new(command[0]);
    watched.args(&command[1..]).arg(program).envs(job.get_envs().filter_map(|(name, value)| Some((name, value?))));
    assert!(watched.status().unwrap().success(), "{place}");
}

/// On a disk without a free block: saves, claims and refreshes succeed while there is a reserve, and then nothing is
/// lost.
fn saves_go_on_in_the_reserve(directory: &Path) {
    let path = directory.join("tokens.keep");
    let store = Keystore::create(&path, &unlock()).unwrap();
    let refresh = |user: &str| {
        let user = token().user_name(user).refresh_token("r0").build();
        store.save_token(&user)?;
        match store.begin_refresh(&user, Need::default())? {
            Refresh::Claimed(claim) => {
                claim.complete(token().access_token("a").refresh_token("r1").build()).unwrap();
                Ok(())
            }
            other => panic!("{other:?}"),
        }
    };
    // The first claim makes a directory.
    refresh("ada").unwrap();
    fill(&directory.join("filler"));
    let reserved = store.status().unwrap().reserved;
    assert!(reserved >= 128 * 1024, "{reserved}");
    let mut refreshed = 0;
    while store.status().unwrap().reserved >= 80 * 1024 {
        store.check_writable().unwrap();
        refresh(&refreshed.to_string()).unwrap();
        refreshed += 1;
        assert_eq!(users(&path), refreshed + 1);
    }
    assert!(refreshed > 5, "{refreshed}");
    assert_io(store.compact(), ErrorKind::StorageFull);
    let saved = save_until_full(&store);
    assert!(saved > 0, "what a claim leaves free for a refresh can be saved into");
    assert_io(refresh("lost"), ErrorKind::StorageFull);
    assert_eq!(store.get_tokens().unwrap(), Keystore::open(&path, &unlock()).unwrap().get_tokens().unwrap());
    assert_eq!(users(&path), refreshed + 1 + saved);
    store.verify().unwrap();
    assert!(!store.status().unwrap().journal.is_torn);
    fs::remove_file(directory.join("filler")).unwrap();
    store.compact().unwrap();
    refresh("again").unwrap();
}

/// How many saves there is room for.
fn save_until_full(store: &Keystore) -> usize {
    (0..1000).take_while(|n| save(store, &format!("new {n}")).is_ok()).count()
}

/// Takes all blocks of the disk.
fn fill(path: &Path) {
    let mut file = fs::File::create(path).unwrap();
    while file.write_all(&[1; 4096]).is_ok() {}
    let _ = file.sync_all();
}

pub(crate) fn mounts() {
    for place in ["full disk", "reserve of tmpfs", "reserve of ext4", "read-only mount", "mounted file"] {
        let directory = tempfile::tempdir().unwrap();
        behind(&["unshare", "--mount", "--propagation", "private"], place, directory.path());
    }
}

pub(crate) fn unwritable_directory() {
    let fixture = Fixture::new();
    save(&fixture.store, "ada").unwrap();
    // Of a user whom permissions stop, which root is not.
    let mine = |path: &Path| std::os::unix::fs::chown(path, Some(NOBODY), Some(NOBODY)).is_ok();
    if !["", "tokens.keep", "tokens.keep.lock"].iter().all(|name| mine(&fixture.directory.path().join(name))) {
        assert!(env::var_os("CI").is_none(), "CI runs as root, and could not give a file away");
        eprintln!("SKIPPED: only root can give a directory to another user");
        return;
    }
    set_mode(fixture.directory.path(), 0o500);
    let before = fixture.bytes();
    behind(&AS_NOBODY, "directory that cannot be written", fixture.directory.path());
    assert_eq!((fixture.bytes(), names_in(fixture.directory.path()).len()), (before, 2));
}

/// What a first run under `sudo` leaves: the message names the owner.
pub(crate) fn files_of_root() {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o1777);
    for name in ["tokens.keep", "own.keep"] {
        save(&Keystore::create(directory.path().join(name), &unlock()).unwrap(), "ada").unwrap();
    }
    if let Err(error) = std::os::unix::fs::chown(directory.path().join("own.keep"), Some(NOBODY), Some(NOBODY)) {
        assert!(env::var_os("CI").is_none(), "CI runs as root: {error}");
        eprintln!("SKIPPED: only root can give a file to another user");
        return;
    }
    behind(&AS_NOBODY, "file of root", directory.path());
}

/// Only the owner of a file may open it so that its access time stays as it is.
pub(crate) fn readable_file_of_root() {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o1777);
    let path = directory.path().join("tokens.keep");
    save(&Keystore::create(&path, &unlock()).unwrap(), "ada").unwrap();
    set_mode(&path, 0o644);
    behind(&AS_NOBODY, "readable file of root", directory.path());
}

/// As under `sudo`: the user could open neither the file nor the lock file.
pub(crate) fn stores_of_root_in_directories_of_users() {
    let directory = tempfile::tempdir().unwrap();
    let (path, backup) = (directory.path().join("tokens.keep"), directory.path().join("backup.keep"));
    if let Err(error) = std::os::unix::fs::chown(directory.path(), Some(NOBODY), Some(NOBODY)) {
        assert!(env::var_os("CI").is_none(), "CI runs as root: {error}");
        eprintln!("SKIPPED: only root can give a directory to another user");
        return;
    }
    let is_refused = |refused: tokenkeep::Result<()>| match refused.unwrap_err() {
        Error::UnsafePermissions { path, what: UnsafePermissions::ForeignDirectory { owner: NOBODY, .. }, .. } => {
            assert_eq!(path, directory.path().canonicalize().unwrap());
        }
        other => panic!("expected ForeignDirectory, got {other:?}"),
    };
    is_refused(Keystore::create(&path, &unlock()).map(drop));
    is_refused(Keystore::open_or_create(&path, &unlock()).map(drop));
    assert_eq!(names_in(directory.path()), Vec::<String>::new());
    let anywhere = KeystoreOptions::new().in_directory_of_another_user();
    let store = anywhere.open_or_create(&path, &unlock()).unwrap();
    save(&store, "ada").unwrap();
    store.backup_to(&backup).unwrap();
    is_refused(Keystore::open(&path, &unlock()).unwrap().backup_to(directory.path().join("another.keep")));
}

pub(crate) fn foreign_directory() {
    let directory = tempfile::tempdir().unwrap();
    set_mode(directory.path(), 0o1777);
    behind(&AS_NOBODY, "directory of another user", directory.path());
}

fn assert_private(directory: &Path, when: &str) {
    for name in ["tokens.keep", "tokens.keep.lock"] {
        let mode = fs::metadata(directory.join(name)).unwrap().permissions().mode() & 0o7777;
        assert_eq!(mode, 0o600, "{name} with {when}");
    }
}

/// As a user whom permissions stop, which root is not.
pub(crate) fn umasks() {
    for umask in ["000", "077", "777", "400", "277"] {
        let directory = tempfile::tempdir().unwrap();
        set_mode(directory.path(), 0o1777);
        let command = format!("umask {umask}; exec {} \"$0\"", AS_NOBODY.join(" "));
        if !works(&AS_NOBODY) {
            return;
        }
        behind(&["sh", "-c", &command], "umask", directory.path());
        assert_private(directory.path(), umask);
    }
}

/// Such a list takes the place of the umask.
pub(crate) fn default_access_control_lists() {
    for list in ["u::---,g::rwx,o::rwx", "u::rwx,g::rwx,o::rwx,u:1234:rwx,m::rwx"] {
        let directory = tempfile::tempdir().unwrap();
        set_mode(directory.path(), 0o1777);
        if !works(&["setfacl", "--version"]) || !works(&AS_NOBODY) {
            return;
        }
        let set = Command::new("setfacl").args(["-d", "-m", list]).arg(directory.path()).status().unwrap();
        assert!(set.success(), "the file system has no access control lists");
        behind(&AS_NOBODY, "umask", directory.path());
        assert_private(directory.path(), list);
    }
}

/// What a kernel, a file system or a container may answer.
pub(crate) fn refused_renameat2() {
    if !works(&["strace"]) {
        return;
    }
    for error in ["EPERM", "EINVAL", "ENOSYS"] {
        let directory = tempfile::tempdir().unwrap();
        let inject = format!("inject=renameat2:error={error}");
        behind(&["strace", "-f", "-o", "/dev/null", "-e", &inject], "umask", directory.path());
        assert_eq!(users(&directory.path().join("tokens.keep")), 2);
    }
}

pub(crate) fn names() {
    let directory = tempfile::tempdir().unwrap();
    // A name has at most 255 bytes, and the temporary file's has 21 more than the store's.
    let longest = directory.path().join("n".repeat(255 - 21));
    save(&Keystore::create(&longest, &unlock()).unwrap(), "ada").unwrap();
    assert_eq!(users(&longest), 1);
    for len in [235, 251, 255, 256] {
        let directory = tempfile::tempdir().unwrap();
        let created = Keystore::create(directory.path().join("n".repeat(len)), &unlock()).map(|_| ());
        assert!(matches!(created, Err(Error::Io { .. })), "{len}: {created:?}");
        assert_eq!(names_in(directory.path()), Vec::<String>::new());
    }

    let path = directory.path().join(std::ffi::OsStr::from_bytes(b"not \xff UTF-8.keep"));
    drop(Keystore::create(&path, &unlock()).unwrap());
    let store = Keystore::open(&path, &unlock()).unwrap();
    let mut stray = path.clone().into_os_string();
    stray.push(".0123456789abcdef.tmp");
    fs::write(&stray, b"").unwrap();
    save(&store, "ada").unwrap();
    store.compact().unwrap();
    assert!(!Path::new(&stray).exists());
    assert_eq!(users(&path), 1);
    assert!(store.status().unwrap().to_string().contains("UTF-8.keep"));
    let missing = path.with_file_name(std::ffi::OsStr::from_bytes(b"no\xff"));
    assert!(matches!(Keystore::open(missing, &unlock()), Err(Error::NotFound { .. })));
}

/// A thread's stack would be larger than any memory.
pub(crate) fn no_threads() {
    let directory = tempfile::tempdir().unwrap();
    let mut job = this_program_with(&["places", "no threads", directory.path().to_str().unwrap()]);
    let done = job.env("RUST_MIN_STACK", (1_u64 << 60).to_string()).output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}

/// A passphrase that was set on a larger machine is no obstacle to another one.
pub(crate) fn little_memory() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("tokens.keep");
    let costly = KdfParams::new(512 * 1024, 1, 1).unwrap();
    Keystore::create(&path, &Unlock::from(Passphrase::new("costly").kdf(costly))).unwrap().add_slot(&unlock()).unwrap();
    let job = this_program_with(&["places", "little memory", directory.path().to_str().unwrap()]);
    let mut limited = Command::new("sh");
    limited.args(["-c", "ulimit -v 400000 && exec \"$0\""]).arg(job.get_program());
    limited.envs(job.get_envs().filter_map(|(name, value)| Some((name, value?))));
    let done = limited.output().unwrap();
    assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
}
