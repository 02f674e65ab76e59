//! The tests of this crate, in one program, on a real SQLite.
#![cfg(feature = "sqlite")]

#[path = "sqlite.rs"]
mod database;
#[path = "../../../../tests/reader/mod.rs"]
#[allow(unreachable_pub, reason = "other programs use it too")]
mod reader;

#[cfg(target_os = "linux")]
mod disks;
mod document;
mod files;
mod import;
#[path = "suite.rs"]
mod suite;

use suite::{attacks, common, recorded, steps};
