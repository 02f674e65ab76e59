//! Stores whose key is in a keychain: one that tests can break, and a real Secret Service in a session of its own.
//!
//! Tests start this program again, as the processes that are stopped and inside such a session; the job is in an
//! environment variable.

#[path = "../common/mod.rs"]
mod common;
mod credentials;
mod faults;
#[cfg(target_os = "linux")]
mod secret_service;
#[path = "../common/trial.rs"]
mod trial;

use std::{env, path::Path};

use libtest_mimic::Arguments;

use common::{JOB, this_program_with};
use trial::trial;

const SERVICE: &str = "com.example.tokenkeep-test";

fn main() {
    if let Ok(job) = env::var(JOB) {
        let words: Vec<_> = job.split('\n').collect();
        return match words[..] {
            ["fault", operation, at, directory] => faults::work(operation, at.parse().unwrap(), directory.as_ref()),
            #[cfg(target_os = "linux")]
            ["secret service", job, ref arguments @ ..] => secret_service::work(job, arguments),
            #[cfg(target_os = "linux")]
            ["secret service at", path] => secret_service::at_another_bus(path.as_ref()),
            _ => panic!("no such job: {words:?}"),
        };
    }
    #[cfg_attr(not(target_os = "linux"), expect(unused_mut, reason = "nothing is added"))]
    let mut trials = vec![
        trial("faulty_keychain_locks_nobody_out", faults::every_fault_at_every_question),
        trial("keychain_errors_are_distinguished_and_not_passed_on", faults::kinds_of_failure),
        trial("keychain_entry_with_a_wrong_key_is_not_replaced", faults::wrong_keys),
        trial("forgetful_keychain_is_noticed_before_a_file_needs_it", faults::forgetful),
        trial("one_deadline_holds_for_all_slots", faults::one_deadline_for_all_slots),
        trial("failed_create_leaves_no_key_and_no_lock_file", faults::failed_create),
        trial("failed_change_of_slots_leaves_no_key", faults::failed_change_of_slots),
        trial("one_file_has_a_slot_for_the_keychain_of_each_machine", faults::several_machines),
        trial("a_bad_entry_keeps_nobody_from_the_next_slot", faults::one_bad_entry),
        trial("stores_and_services_in_one_keychain_do_not_meet", faults::several_stores_and_services),
        trial("a_race_to_make_a_store_leaves_one_key", faults::lost_races),
        trial("a_store_goes_from_a_passphrase_to_the_keychain_and_back", faults::there_and_back),
        trial("the_sample_file_of_a_keychain_opens", faults::the_sample_file),
    ];
    #[cfg(target_os = "linux")]
    trials.extend([
        trial("secret_service_has_the_documented_entry", secret_service::entry_is_as_documented),
        trial("faults_of_a_secret_service_are_distinguished_in_time", secret_service::failures_are_distinguished),
        trial("copies_of_an_entry_lock_nobody_out", secret_service::copies_lock_nobody_out),
        trial("secret_service_that_dies_or_refuses_is_unavailable", secret_service::deaths_are_no_timeouts),
        trial("a_secret_service_that_was_restarted_is_found_again", secret_service::restarted_daemon_is_found),
        trial("a_keychain_answers_inside_and_outside_of_runtimes", secret_service::works_in_and_out_of_runtimes),
    ]);
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// The store's id, as the header shows it.
fn store_id_of(path: &Path) -> String {
    std::fs::read(path).unwrap()[152..168].iter().map(|byte| format!("{byte:02x}")).collect()
}
