//! Refreshing one token from many threads, tasks and processes, at a server that accepts each refresh token once.
//!
//! The tests start this program again as the processes that they watch; the job is in an environment variable.

#[path = "../common/mod.rs"]
mod common;

#[cfg(target_os = "linux")]
mod asking;
#[cfg(target_os = "linux")]
mod async_drop;
#[cfg(target_os = "linux")]
mod client;
#[cfg(target_os = "linux")]
mod clock;
#[cfg(target_os = "linux")]
mod endpoint;
#[cfg(target_os = "linux")]
mod forked;
#[cfg(target_os = "linux")]
mod killed;
#[cfg(target_os = "linux")]
mod many;
#[cfg(target_os = "linux")]
mod odd;
#[cfg(target_os = "linux")]
mod old_way;
#[cfg(target_os = "linux")]
mod process;
#[cfg(target_os = "linux")]
mod request;
#[cfg(target_os = "linux")]
mod stage;
#[cfg(target_os = "linux")]
#[path = "../common/trial.rs"]
mod trial;
#[cfg(target_os = "linux")]
mod waiting;

use libtest_mimic::Arguments;
#[cfg(target_os = "linux")]
use trial::trial;

fn main() {
    #[cfg(target_os = "linux")]
    if let Ok(job) = std::env::var(common::JOB) {
        let words: Vec<_> = job.split('\n').collect();
        return match words[..] {
            ["ask", trouble, number, directory, address, clock] => {
                asking::work(trouble, number, directory, address, clock);
            }
            ["full disk", directory] => many::work_on_full_disk(directory),
            ["race", way, directory, address] => old_way::work(way, directory, address),
            ["want both", own, other, timeout, directory, address] => {
                odd::want_both(own, other, timeout, directory, address);
            }
            ["be stopped", when, directory, address] => odd::be_stopped(when, directory, address),
            ["fork", copy, directory, address] => forked::work(copy, directory, address),
            ["be killed", when, directory, address] => killed::work(when, directory, address),
            ["wait", how, directory, address] => waiting::wait(how, directory, address),
            ["get", directory, address] => waiting::get(directory, address),
            ["hold", directory, address] => waiting::hold(directory, address),
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
        trial("two_processes_without_claims_lose_sign_ins", old_way::races),
        trial("refresh_in_a_refresh_of_another_token", odd::nested),
        trial("refresh_in_a_refresh_of_the_same_token_times_out", odd::nested_in_itself),
        trial("processes_that_want_each_others_tokens_all_end", odd::crosswise),
        trial("process_stopped_before_its_request_sends_none", odd::stopped_before_request),
        trial("process_stopped_after_its_request_saves_the_answer", odd::stopped_after_request),
        trial("fork_takes_no_claim_from_the_parent", forked::parent_keeps_its_claim),
        trial("fork_keeps_no_claim_that_the_parent_gives_up", forked::parent_gives_its_claim_up),
        trial("forked_child_keeps_the_claim_of_a_killed_parent", forked::child_keeps_the_claim_of_a_killed_parent),
        trial("process_killed_before_its_request_costs_no_sign_in", killed::before_request),
        trial("process_killed_before_its_save_costs_the_sign_in", killed::before_save),
        trial("caller_that_waits_for_a_killed_process_goes_on", killed::while_another_waits),
        trial("kills_at_random_cost_a_sign_in_only_after_the_answer", killed::at_random),
        trial("tasks_of_one_runtime_refresh_once", async_drop::tasks),
        trial("future_dropped_before_the_answer_gives_the_claim_up", async_drop::before_answer),
        trial("future_dropped_after_the_answer_is_saved", async_drop::after_answer),
        trial("future_dropped_while_it_waits_holds_nothing", async_drop::while_waiting),
        trial("runtime_of_one_thread_goes_on_while_a_task_waits", async_drop::one_thread),
        trial("waiting_costs_less_than_a_thousandth_of_a_processor", waiting::processor),
        trial("crowd_that_waits_for_a_killed_process_goes_on", waiting::crowd),
        trial("waiting_threads_go_on_after_the_commit", waiting::going_on),
    ];
    #[cfg(not(target_os = "linux"))]
    let trials = {
        eprintln!("SKIPPED: processes are looked at in /proc, and disks mounted, on Linux");
        Vec::new()
    };
    libtest_mimic::run(&Arguments::from_args(), trials).exit();
}
