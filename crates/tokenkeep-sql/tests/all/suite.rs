//! The tests that every database passes. Each test program has a module `database` that makes databases.

#[path = "../../../../tests/memory/allocator.rs"]
pub(crate) mod allocator;
#[path = "../../../../tests/memory/canaries.rs"]
pub(crate) mod canaries;
#[path = "../../../../tests/reader/mod.rs"]
#[allow(unreachable_pub, reason = "other programs use it too")]
pub(crate) mod reader;
#[path = "../../../../tests/common/traces.rs"]
#[allow(unreachable_pub, dead_code, reason = "other programs use it too")]
pub(crate) mod recorded;
#[path = "../../../../tests/memory/stage.rs"]
#[allow(dead_code, unexpected_cfgs, reason = "another program uses it too")]
pub(crate) mod stage;
#[path = "../../../../tests/common/steps.rs"]
#[allow(unreachable_pub, reason = "other programs use it too")]
pub(crate) mod steps;

pub(crate) mod attacks;
pub(crate) mod common;
mod contents;
mod contract;
#[cfg(unix)]
pub(crate) mod forked;
pub(crate) mod memory;
pub(crate) mod processes;
mod refusals;
mod sharing;
mod statements;
mod tables;
