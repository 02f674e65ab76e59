//! The tests of this crate, in one program, on a real SQLite.
#![cfg(feature = "sqlite")]

#[path = "sqlite.rs"]
mod database;

#[cfg(target_os = "linux")]
mod disks;
mod document;
mod files;
mod import;
mod layers;
#[path = "suite.rs"]
mod suite;

use suite::{allocator, attacks, canaries, common, memory, reader, recorded, stage, steps};
