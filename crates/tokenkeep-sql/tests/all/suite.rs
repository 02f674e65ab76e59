//! The tests that every database passes. Each test program has a module `database` that makes databases.

#[path = "../../../../tests/common/traces.rs"]
#[allow(unreachable_pub, dead_code, reason = "other programs use it too")]
pub(crate) mod recorded;
#[path = "../../../../tests/common/steps.rs"]
#[allow(unreachable_pub, reason = "other programs use it too")]
pub(crate) mod steps;

pub(crate) mod attacks;
pub(crate) mod common;
mod contents;
mod contract;
#[cfg(unix)]
mod forked;
pub(crate) mod processes;
mod refusals;
mod sharing;
mod statements;
mod tables;
