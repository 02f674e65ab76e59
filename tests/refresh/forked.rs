//! A process that forks while it holds a claim.
//!
//! The standard library forks for `pre_exec`, and runs that function in the child, which is forked like any other until
//! it starts a program.

use std::{
    fs,
    os::unix::process::CommandExt,
    path::{Path, PathBuf},
    process::Command,
    sync::{Arc, Mutex},
    thread,
    time::{Duration, Instant},
};

use tokenkeep::{Claim, Error, Keystore, Need, Refreshed, TokenStore, TokenStoreExt};

use crate::{
    endpoint::Event,
    process::{Process, received, say},
    stage::{Stage, ada, assert_taken, claim, join, open},
};

/// What the child does with its copy of the claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Copy {
    Dropped,
    Kept,
}

/// The file in which the child says what it has seen, and the one whose removal ends it.
fn files(directory: &Path) -> [PathBuf; 2] {
    ["seen", "child"].map(|name| directory.join(name))
}

/// Forks; returns once the child has seen what it sees. The child lives until its file is removed.
fn fork(store: &Keystore, claim: &Arc<Mutex<Option<Claim>>>, copy: Copy, directory: &Path) {
    let [seen, alive] = files(directory);
    fs::write(&alive, "").unwrap();
    let (store, claim, path) = (store.clone(), claim.clone(), directory.to_owned());
    let in_child = {
        let seen = seen.clone();
        move || {
            let what = look_around(&store, &mut claim.lock().unwrap(), copy, &path);
            fs::write(seen.with_extension("new"), what)?;
            fs::rename(seen.with_extension("new"), &seen)?;
            let started = Instant::now();
            while alive.exists() && started.elapsed() < Duration::from_secs(60) {
                thread::sleep(Duration::from_millis(5));
            }
            Ok(())
        }
    };
    // It returns only when the child has started another program.
    thread::spawn(move || {
        let mut command = Command::new("true");
        // SAFETY: the other threads of this process hold no lock that the function takes: they sleep.
        unsafe { command.pre_exec(in_child) }.status()
    });
    let started = Instant::now();
    while !seen.exists() {
        assert!(started.elapsed() < Duration::from_secs(60), "the child says nothing");
        thread::sleep(Duration::from_millis(5));
    }
}

/// In the child: what it can do with the claim and the store of its parent, and with a store of its own.
fn look_around(store: &Keystore, claim: &mut Option<Claim>, copy: Copy, directory: &Path) -> String {
    let mut wrong = Vec::new();
    let mut expect = |what: &str, is_so: bool| wrong.extend((!is_so).then(|| what.to_owned()));
    let ended = claim.as_ref().unwrap().token().map(drop);
    expect("the claim cannot be used", matches!(ended, Err(Error::ClaimEnded)));
    let renewed = claim.as_mut().unwrap().renew();
    expect("the claim cannot be renewed", matches!(renewed, Err(Error::ClaimEnded)));
    let short = || Need::default().timeout(Duration::from_millis(100));
    let begun = store.begin_refresh(&ada(), short()).map(drop);
    expect("the parent's handle gives no claim", matches!(begun, Err(Error::Forked { .. })));
    let locked = store.lock_token(&"1".into()).map(drop);
    expect("the parent's handle locks nothing", matches!(locked, Err(Error::Forked { .. })));
    if copy == Copy::Dropped {
        drop(claim.take());
    }
    let begun = open(directory).begin_refresh(&ada(), short()).map(drop);
    expect("the claim of the parent counts", matches!(begun, Err(Error::Refreshing { .. })));
    wrong.join(", ")
}

/// The job of the process that forks.
pub(crate) fn work(copy: &str, directory: &str, address: &str) {
    let copy = if copy == "dropped" { Copy::Dropped } else { Copy::Kept };
    let (store, client) = join(directory, address);
    let claim = Arc::new(Mutex::new(Some(claim(&store, &ada(), Need::default()))));
    fork(&store, &claim, copy, directory.as_ref());
    say("forked");
    received();
    let claim = claim.lock().unwrap().take().unwrap();
    let answer = client.refresh(claim.token().unwrap());
    say("sent");
    if received().as_deref() == Some("give up") {
        drop(claim);
        say("given up");
        received();
        return;
    }
    assert!(matches!(claim.finish(answer).unwrap(), Refreshed::Fresh(_)));
    say("done");
    received();
}

fn forked(stage: &Stage, copy: &str) -> Process {
    stage.sign_in("ada");
    let [directory, address] = stage.words();
    let process = Process::start(&["fork", copy, &directory, &address]);
    process.expect("forked");
    let [seen, _] = files(stage.directory.path());
    assert_eq!(fs::read_to_string(seen).unwrap(), "");
    assert_taken(&stage.store, &ada());
    process
}

fn end_child(stage: &Stage) {
    let [_, alive] = files(stage.directory.path());
    fs::remove_file(alive).unwrap();
}

pub(crate) fn parent_keeps_its_claim() {
    for copy in ["dropped", "kept"] {
        let stage = Stage::new();
        let mut process = forked(&stage, copy);
        process.tell("go");
        process.expect("sent");
        assert_taken(&stage.store, &ada());
        process.tell("go");
        process.expect("done");
        assert_eq!(stage.refresh_token("ada"), stage.endpoint.valid_refresh_token());
        // The parent has finished, so the child keeps nobody out.
        stage.sign_in("ada");
        assert!(!claim(&stage.store, &ada(), Need::default()).was_left_unfinished());
        end_child(&stage);
        assert_eq!(stage.endpoint.count(Event::Arrived), 1);
    }
}

/// The lock file of such a claim stays.
pub(crate) fn parent_gives_its_claim_up() {
    let stage = Stage::new();
    let mut process = forked(&stage, "kept");
    process.tell("go");
    process.expect("sent");
    process.tell("give up");
    process.expect("given up");
    assert!(claim(&stage.store, &ada(), Need::default()).was_left_unfinished(), "the child keeps nobody out");
    end_child(&stage);
}

pub(crate) fn child_keeps_the_claim_of_a_killed_parent() {
    let stage = Stage::new();
    let mut process = forked(&stage, "kept");
    process.tell("go");
    process.expect("sent");
    process.kill();
    assert_taken(&stage.store, &ada());
    end_child(&stage);
    let need = Need::default().timeout(Duration::from_secs(20));
    assert!(claim(&stage.store, &ada(), need).was_left_unfinished());
}
