//! Several processes and one file, and what becomes of it when they are killed or the system fails them.
//!
//! The tests start this program again as the processes that they watch; the job is in an environment variable.

#[path = "../common/mod.rs"]
mod common;
#[cfg(target_os = "linux")]
mod crash;
#[cfg(target_os = "linux")]
mod hardening;
#[cfg(target_os = "linux")]
mod places;
#[cfg(target_os = "linux")]
mod torture;
#[cfg(target_os = "linux")]
mod torture_slots;
#[cfg(target_os = "linux")]
#[path = "../common/trial.rs"]
mod trial;
#[cfg(target_os = "linux")]
mod waiting;

use std::{env, process::Command};

use libtest_mimic::Arguments;
#[cfg(target_os = "linux")]
use trial::trial;

use common::{JOB, this_program_with};

fn main() {
    #[cfg(target_os = "linux")]
    if let Ok(job) = env::var(JOB) {
        let words: Vec<_> = job.split('\n').collect();
        return match words[..] {
            ["crash", operation, path] => crash::work(operation, path.as_ref()),
            // With these two around it, .ci/power-cut does the same on a disk that it stops.
            ["prepare", operation, path] => crash::prepare(operation, path.as_ref()),
            ["check", operation, path] => crash::check(operation, path.as_ref()),
            ["hardening", how] => hardening::work(how == "hardened"),
            ["places", place, directory] => places::work(place, directory.as_ref()),
            ["torture", worker, path] => {
                torture::work(worker.parse().unwrap(), path.as_ref(), torture::LockFiles::Left);
            }
            ["torture without locks", worker, path] => {
                torture::work(worker.parse().unwrap(), path.as_ref(), torture::LockFiles::Deleted);
            }
            ["waiting", worker, path] => waiting::work(worker, path.as_ref()),
            ["torture slots", worker, path] => torture_slots::work(worker.parse().unwrap(), path.as_ref()),
            _ => panic!("no such job: {words:?}"),
        };
    }
    #[cfg(target_os = "linux")]
    let trials = vec![
        trial("process_killed_at_any_call_leaves_before_or_after", crash::killed),
        trial("failing_call_leaves_before_or_after", crash::failing),
        trial("find_makes_one_system_call_and_in_a_snapshot_none", crash::finding),
        trial("full_and_read_only_disks_lose_nothing", places::mounts),
        trial("directory_that_cannot_be_written_is_read", places::unwritable_directory),
        trial("killed_writers_files_are_removed_in_other_users_directories", places::foreign_directory),
        trial("message_about_a_file_of_root_names_the_owner", places::files_of_root),
        trial("store_of_root_that_others_may_read_is_read", places::readable_file_of_root),
        trial("root_creates_no_store_in_a_directory_of_a_user_unasked", places::stores_of_root_in_directories_of_users),
        trial("whatever_the_umask_files_are_for_their_owner_alone", places::umasks),
        trial("default_access_control_list_opens_no_file", places::default_access_control_lists),
        trial("store_is_created_where_renameat2_is_refused", places::refused_renameat2),
        trial("a_passphrase_that_this_machine_cannot_derive_hides_no_other", places::little_memory),
        trial("where_the_system_has_no_thread_much_is_saved_without", places::no_threads),
        trial("long_names_and_names_that_are_not_utf_8", places::names),
        trial("a_hardened_process_leaves_no_core_file", hardening::core_file),
        trial("a_peer_cannot_look_into_a_hardened_process", hardening::peer),
        trial("processes_that_wait_for_a_slow_disk_all_save", waiting::slow_disk),
        trial("killed_and_restarted_processes_lose_nothing", torture::torture),
        trial("processes_whose_lock_files_are_deleted_lose_nothing", torture::torture_without_locks),
        trial("ways_and_tokens_that_are_changed_at_once_are_not_lost", torture_slots::torture),
    ];
    #[cfg(not(target_os = "linux"))]
    let trials = {
        eprintln!("SKIPPED: processes are watched with strace, on Linux");
        Vec::new()
    };
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Whether a program that a test needs works here. Where it does not the test says so; in CI that is a failure.
#[cfg(target_os = "linux")]
fn works(command: &[&str]) -> bool {
    let done = Command::new(command[0]).args(&command[1..]).arg("true").output();
    let works = done.is_ok_and(|done| done.status.success());
    if !works {
        assert!(env::var_os("CI").is_none(), "CI cannot run {command:?}");
        eprintln!("SKIPPED: cannot run {command:?}, which this test needs");
    }
    works
}
