//! The providers of `examples/tpm` and `examples/external_program`, with the components that they are for: a simulated
//! TPM (swtpm) with tpm2-tools, and age.
//!
//! Tests start this program again, as the process that uses the TPM; the job is in an environment variable.

#[cfg(target_os = "linux")]
#[path = "../../examples/child.rs"]
mod child;
#[cfg(target_os = "linux")]
#[path = "../common/mod.rs"]
mod common;
#[cfg(target_os = "linux")]
mod programs;
#[cfg(target_os = "linux")]
mod tpm;
#[cfg(target_os = "linux")]
#[path = "../common/trial.rs"]
mod trial;

use libtest_mimic::Arguments;
#[cfg(target_os = "linux")]
use trial::trial;

fn main() {
    #[cfg(target_os = "linux")]
    if let Ok(job) = std::env::var(common::JOB) {
        let words: Vec<_> = job.split('\n').collect();
        return match words[..] {
            ["tpm", ref words @ ..] => tpm::work(words),
            ["program", ref words @ ..] => programs::work(words),
            _ => panic!("no such job: {words:?}"),
        };
    }
    #[cfg(target_os = "linux")]
    let trials = vec![
        trial("tpm_opens_the_store_in_another_process_after_a_restart", tpm::restarted),
        trial("a_tpm_that_does_not_know_the_key_says_so", tpm::unknown_keys),
        trial("one_file_has_a_slot_for_each_of_two_tpms", tpm::two_tpms),
        trial("stores_in_a_row_leave_nothing_in_the_tpm", tpm::stores_in_a_row),
        trial("hostile_data_is_refused_before_a_tpm_sees_it", tpm::malformed_data),
        trial("what_another_slot_has_in_a_tpm_opens_nothing", tpm::data_of_others),
        trial("the_key_for_a_tpm_is_in_no_argument_and_no_file", tpm::traced),
        trial("a_tpm_that_hangs_is_given_up_and_no_command_is_left", tpm::hanging),
        trial("age_keeps_the_key_of_a_store", programs::age),
        trial("one_file_has_a_slot_for_each_of_two_identities", programs::two_identities),
        trial("age_recipient_is_enough_to_replace_the_store", programs::recipients),
        trial("a_program_that_hangs_is_killed_with_what_it_started", programs::hanging),
        trial("faults_of_a_program_are_distinguished", programs::failures),
        trial("a_program_that_writes_before_it_reads_blocks_nobody", programs::reading_late),
        trial("program_is_given_store_and_slot", programs::names),
    ];
    #[cfg(not(target_os = "linux"))]
    let trials = {
        eprintln!("SKIPPED: processes are looked at in /proc, on Linux");
        Vec::new()
    };
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}

/// Whether all these programs are here. Where one is missing the test says so; in CI that is a failure.
#[cfg(target_os = "linux")]
fn has(needed: &[&str]) -> bool {
    let paths = std::env::var_os("PATH").unwrap_or_default();
    let is_here = |name: &&&str| std::env::split_paths(&paths).any(|path| path.join(name).is_file());
    let missing: Vec<_> = needed.iter().filter(|name| !is_here(name)).collect();
    if !missing.is_empty() {
        assert!(std::env::var_os("CI").is_none(), "{missing:?} missing");
        eprintln!("SKIPPED: {missing:?} missing, which this test needs");
    }
    missing.is_empty()
}

#[cfg(target_os = "linux")]
fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
