//! Processes that wait for each other to save, on a disk that is slow to sync.

use std::{
    env,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use tokenkeep::{Keystore, TokenStore};

use crate::{
    common::{Fixture, token, unlock},
    this_program_with, works,
};

/// How many processes there are, how often each saves, and for how many milliseconds a file is synced. The variable has
/// the same three numbers, for `.ci/campaign waiting`.
const USUAL: [u64; 3] = [6, 3, 10];
const UNUSUAL: &str = "TOKENKEEP_WAITING";

/// One of the processes: it saves, and prints for how many milliseconds each save took.
pub(crate) fn work(worker: &str, path: &Path) {
    let store = Keystore::open(path, &unlock()).unwrap();
    for save in 0..numbers()[1] {
        let started = Instant::now();
        if let Err(error) = store.save_token(&token().user_name(format!("{worker}-{save}")).access_token("a").build()) {
            println!("{error}");
            std::process::exit(1);
        }
        println!("{}", started.elapsed().as_millis());
    }
}

fn numbers() -> [u64; 3] {
    let Ok(given) = env::var(UNUSUAL) else { return USUAL };
    let numbers: Vec<_> = given.split(' ').map(|number| number.parse().unwrap()).collect();
    numbers.try_into().unwrap()
}

pub(crate) fn slow_disk() {
    if !works(&["strace"]) {
        return;
    }
    let [processes, saves, milliseconds] = numbers();
    let fixture = Fixture::new();
    let started = Instant::now();
    let children: Vec<_> = (0..processes)
        .map(|worker| {
            let job = this_program_with(&["waiting", &worker.to_string(), fixture.path.to_str().unwrap()]);
            let delay = format!("inject=fsync:delay_exit={}", milliseconds * 1000);
            let mut watched = Command::new("strace");
            watched.args(["-f", "-o", "/dev/null", "-e", "trace=fsync", "-e", &delay]).arg(job.get_program());
            watched.envs(job.get_envs().filter_map(|(name, value)| Some((name, value?))));
            watched.stdout(Stdio::piped()).spawn().unwrap()
        })
        .collect();
    let printed: Vec<_> = children.into_iter().map(|child| child.wait_with_output().unwrap()).collect();
    let printed: Vec<_> = printed.iter().map(|output| String::from_utf8_lossy(&output.stdout)).collect();
    let lines: Vec<_> = printed.iter().flat_map(|printed| printed.lines()).collect();
    let failed: Vec<_> = lines.iter().filter(|line| line.parse::<u64>().is_err()).collect();
    let longest = lines.iter().filter_map(|line| line.parse().ok()).max().map(Duration::from_millis);
    println!(
        "{processes} processes with {saves} saves each, {milliseconds} ms for each sync: {} failed, the longest took \
         {:.1?}, all took {:.1?}",
        failed.len(),
        longest.unwrap_or_default(),
        started.elapsed()
    );
    assert!(failed.is_empty(), "{failed:?}");
    assert_eq!(fixture.store.get_tokens().unwrap().len() as u64, processes * saves);
}
