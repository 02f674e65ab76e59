//! No memory that is given back holds a secret: every block that the library frees, or moves away from, is searched for
//! all of them, and so is what a process leaves when it dies.
//!
//! A test starts this program again, as that process; the job is in an environment variable.

mod allocator;
mod canaries;
#[path = "../common/mod.rs"]
mod common;
mod controls;
#[cfg(target_os = "linux")]
mod core_file;
mod failures;
#[cfg(feature = "keychain")]
mod keychain;
#[path = "../reader/mod.rs"]
#[allow(unreachable_pub, reason = "a test's module")]
mod reader;
mod scenarios;
mod stage;
#[path = "../common/trial.rs"]
mod trial;
mod vault;

use libtest_mimic::Arguments;
use trial::trial;

fn main() {
    #[cfg(target_os = "linux")]
    if let Ok(job) = std::env::var(common::JOB) {
        let words: Vec<_> = job.split('\n').collect();
        return match words[..] {
            ["core file", job] => core_file::work(job),
            _ => panic!("no such job: {words:?}"),
        };
    }
    allocator::use_it();
    canaries::prepare();
    #[cfg_attr(not(feature = "keychain"), expect(unused_mut, reason = "nothing is added"))]
    let mut trials = vec![
        trial("a_text_that_is_given_back_is_found", controls::freed),
        trial("a_buffer_that_grows_is_found", controls::grown),
        trial("a_part_of_a_text_is_found", controls::parts),
        trial("what_another_thread_gives_back_is_found", controls::another_thread),
        trial("a_key_that_is_computed_later_is_found", controls::computed_keys),
        trial("values_that_are_built_changed_and_compared_leave_nothing", scenarios::values),
        trial("a_store_in_memory_leaves_nothing", scenarios::in_memory),
        trial("creating_and_opening_leave_nothing", scenarios::creating_and_opening),
        trial("the_operations_leave_nothing", scenarios::operations),
        trial("namespaces_and_transactions_leave_nothing", scenarios::namespaces_and_transactions),
        trial("refreshes_leave_nothing", scenarios::refreshes),
        trial("much_that_is_saved_leaves_nothing", scenarios::much),
        trial("looking_at_all_of_the_file_leaves_nothing", scenarios::looking_at_the_file),
        trial("a_reload_leaves_nothing", scenarios::reloading),
        trial("several_threads_leave_nothing", scenarios::several_threads),
        trial("wrong_secrets_leave_nothing", failures::wrong_secrets),
        trial("changed_ways_leave_nothing", scenarios::changing_ways),
        trial("a_vault_leaves_nothing", vault::sealing_and_opening),
        trial("external_keys_leave_nothing", vault::external_keys),
        trial("a_body_that_is_refused_leaves_nothing", failures::refused_bodies),
        trial("a_save_that_fails_leaves_nothing", failures::failing_saves),
    ];
    #[cfg(feature = "keychain")]
    trials.extend([
        trial("a_keychain_leaves_nothing", keychain::working),
        trial("a_keychain_that_fails_leaves_nothing", keychain::failing),
    ]);
    #[cfg(target_os = "linux")]
    trials.extend([
        trial("core_file_of_an_open_store_has_its_secrets", core_file::open),
        trial("core_file_of_a_closed_store_has_no_secrets", core_file::closed),
    ]);
    // What is recorded is recorded of all threads.
    let arguments = Arguments { test_threads: Some(1), ..Arguments::from_args() };
    libtest_mimic::run(&arguments, trials).exit();
}
