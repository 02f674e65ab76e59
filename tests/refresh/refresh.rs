//! Refreshing one token from many threads, tasks and processes, at a server that accepts each refresh token once.
//!
//! The tests start this program again as the processes that they watch; the job is in an environment variable.

#[path = "../common/mod.rs"]
mod common;

#[cfg(target_os = "linux")]
mod asking;
#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod endpoint;
#[cfg(target_os = "linux")]
mod many;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod request;
#[cfg(target_os = "linux")]
mod stage;

use libtest_mimic::{Arguments, Trial};

fn main() {
    #[cfg(target_os = "linux")]
    if let Ok(job) = std::env::var(common::JOB) {
        let words: Vec<_> = job.split('\n').collect();
        return match words[..] {
            ["ask", trouble, number, directory, address, clock] => {
                asking::work(trouble, number, directory, address, clock);
            }
            ["full disk", directory] => many::work_on_full_disk(directory),
            _ => panic!("no such job: {words:?}"),
        };
    }
    #[cfg(target_os = "linux")]
    let trials = vec![
        trial("many_processes_refresh_once_for_each_expiry", many::expiring),
        trial("many_processes_refresh_once_for_each_rejection", many::rejected),
        trial("full_disk_loses_no_new_token", many::full_disk),
        trial("busy_server_is_left_alone_by_all_processes", many::busy),
        trial("sign_outs_and_new_sign_ins_win_over_refreshes", many::sign_outs),
    ];
    #[cfg(not(target_os = "linux"))]
    let trials: Vec<Trial> = {
        eprintln!("SKIPPED: processes are looked at in /proc, and disks mounted, on Linux");
        Vec::new()
    };
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

#[cfg(target_os = "linux")]
fn trial(name: &str, test: fn()) -> Trial {
    Trial::test(name, move || {
        test();
        Ok(())
    })
}
