//! The tests of this crate, in one program, on a real SQLite.
#![cfg(feature = "sqlite")]

mod common;
#[path = "sqlite.rs"]
mod database;
#[path = "../../../../tests/common/traces.rs"]
#[allow(unreachable_pub, dead_code, reason = "other programs use it too")]
mod recorded;
#[path = "../../../../tests/common/steps.rs"]
#[allow(unreachable_pub, reason = "other programs use it too")]
mod steps;

#[path = "../../../../tests/reader/mod.rs"]
#[allow(unreachable_pub, reason = "other programs use it too")]
mod reader;

mod attacks;
mod contents;
mod contract;
mod document;
mod files;
mod import;
mod processes;
mod refusals;
mod sharing;
mod tables;
