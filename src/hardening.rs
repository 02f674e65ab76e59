//! What keeps a process's memory from others, for the application to ask for.

use std::io;

use rustix::process::{Resource, Rlimit, setrlimit};

/// Keeps the memory of this process out of core files and, on Linux, away from other processes of the same user: no
/// debugger can attach and `/proc` does not show its memory or environment, but to root. To be called at the start of
/// `main`, before there is a secret in memory.
///
/// It is up to the application, not done by opening a store, for it concerns all of the process and cannot be undone by
/// a user who wants a core file: crash reporters that look at the process get nothing, and without root a program that
/// reads its own `/proc/self/mem`, `maps` or `environ` is refused. A process that is started by this one can be
/// attached to again, and has no core file. It costs two calls to the system.
///
/// Linux: `PR_SET_DUMPABLE` and `RLIMIT_CORE`, both zero. Other Unix: `RLIMIT_CORE` only. On Windows there is no such
/// function: `SECURITY.md` says what there is to do by hand, and what neither keeps from being read (swap, hibernation,
/// root).
///
/// # Errors
///
/// The system's, if it refuses; nothing is known to.
///
/// ```
/// fn main() -> std::io::Result<()> {
///     tokenkeep::harden_process()?;
///     // … open the store …
///     Ok(())
/// }
/// ```
pub fn harden_process() -> io::Result<()> {
    // Held by `a_peer_cannot_look_into_a_hardened_process`.
    #[cfg(any(target_os = "linux", target_os = "android"))]
    rustix::process::set_dumpable_behavior(rustix::process::DumpableBehavior::NotDumpable)?;
    // Held by `a_hardened_process_leaves_no_core_file`.
    setrlimit(Resource::Core, Rlimit { current: Some(0), maximum: Some(0) })?;
    Ok(())
}
