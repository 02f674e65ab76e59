//! The tests that every server passes, and what starts one.

pub(crate) mod server;

mod encryption;
mod reaching;
mod restarts;
