//! The tests that every server passes, and what starts one.

pub(crate) mod proxy;
pub(crate) mod server;

mod encryption;
mod reaching;
pub(crate) mod restarts;
mod shortage;
