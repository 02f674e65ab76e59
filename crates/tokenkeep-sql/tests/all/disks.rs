//! Disks that are full or read-only, in a mount namespace of the test's own.

use std::{
    env, fs,
    path::Path,
    process::{Command, Stdio},
};

use tokenkeep::{Need, Refresh, TokenStore, TokenStoreExt};
use tokenkeep_sql::{Problem, SqlStore};

use crate::{
    common::{JOB, paper, problem, token},
    database::url,
};

/// Whether this process may mount. If not, runs the test in another one that may.
fn may_mount(test: &str) -> bool {
    const MAY_MOUNT: &str = "may mount";
    if env::var(JOB).is_ok_and(|job| job == MAY_MOUNT) {
        return true;
    }
    let unshare = |program: &Path| {
        let mut command = Command::new("unshare");
        command.args(["--mount", "--propagation", "private"]).arg(program).stdout(Stdio::null());
        command
    };
    if !unshare(Path::new("true")).status().is_ok_and(|status| status.success()) {
        assert!(env::var_os("CI").is_none(), "CI may not mount");
        println!("NOT TESTED: no mount namespace can be made here");
        return false;
    }
    let ran = unshare(&env::current_exe().unwrap()).args(["--exact", test]).env(JOB, MAY_MOUNT).status().unwrap();
    assert!(ran.success());
    false
}

fn mount(arguments: &[&str], directory: &Path) {
    assert!(Command::new("mount").args(arguments).arg(directory).status().unwrap().success(), "mount {arguments:?}");
}

#[test]
fn full_disk_refuses_saves_and_keeps_the_rest() {
    if !may_mount("disks::full_disk_refuses_saves_and_keeps_the_rest") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    mount(&["-t", "tmpfs", "-o", "size=512k,mode=700", "tmpfs"], directory.path());
    let (url, ballast) = (url(&directory.path().join("tokens.db")), directory.path().join("ballast"));
    fs::write(&ballast, [0; 100_000]).unwrap();
    let store = SqlStore::create(&url, &paper()).unwrap();
    let row = |number: usize| token().user_name(number.to_string()).client_id("c").access_token("a").build();
    let mut saved = 0;
    let refused = loop {
        match store.save_token(&row(saved)) {
            Ok(_) => saved += 1,
            Err(error) => break error,
        }
    };
    assert_eq!(problem::<()>(Err(refused)), Problem::Full);
    assert_eq!(problem(store.save_token(&row(saved))), Problem::Full);
    assert!(saved > 1);
    let begun = store.begin_refresh(&row(0), Need::now());
    assert!(!matches!(begun, Ok(Refresh::Claimed(_))), "no claim without a save: {begun:?}");
    for store in [store.clone(), SqlStore::open(&url, &paper()).unwrap()] {
        assert_eq!(store.get_tokens().unwrap().len(), saved);
    }
    fs::remove_file(ballast).unwrap();
    store.save_token(&row(saved)).unwrap();
    drop(store);
    assert_eq!(SqlStore::open(&url, &paper()).unwrap().get_tokens().unwrap().len(), saved + 1);
}

#[test]
fn read_only_disk_is_read_or_refused_with_the_reason() {
    if !may_mount("disks::read_only_disk_is_read_or_refused_with_the_reason") {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    mount(&["-t", "tmpfs", "-o", "size=8m,mode=700", "tmpfs"], directory.path());
    let at = |name: &str| directory.path().join(name);
    let store = SqlStore::create(&url(&at("closed.db")), &paper()).unwrap();
    let ada = token().user_name("ada").client_id("c").refresh_token("r").build();
    let id = store.save_token(&ada).unwrap();
    // As if its writer had died.
    for end in ["", "-wal", "-shm"] {
        fs::copy(at(&format!("closed.db{end}")), at(&format!("open.db{end}"))).unwrap();
    }
    drop(store);
    mount(&["-o", "remount,ro"], directory.path());
    let store = SqlStore::open(&url(&at("open.db")), &paper()).unwrap();
    assert!(store.find_token_by_id(&id).unwrap().is_some());
    assert_eq!(problem(store.delete_token(&id)), Problem::ReadOnly);
    let begun = store.begin_refresh(&ada, Need::now());
    assert!(!matches!(begun, Ok(Refresh::Claimed(_))), "no claim without a save: {begun:?}");
    // SQLite needs files beside the database, and cannot make them here.
    assert_eq!(problem(SqlStore::open(&url(&at("closed.db")), &paper())), Problem::ReadOnly);
    assert_eq!(problem(SqlStore::create(&url(&at("new.db")), &paper())), Problem::ReadOnly);
}
