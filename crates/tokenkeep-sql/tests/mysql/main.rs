//! The tests of this crate on a real MariaDB, which the tests start.
#![cfg(feature = "mysql")]

#[path = "../all/common.rs"]
mod common;
#[path = "../servers/mysql.rs"]
mod database;
#[path = "../../../../tests/common/traces.rs"]
#[allow(unreachable_pub, dead_code, reason = "other programs use it too")]
mod recorded;
#[path = "../servers/server.rs"]
mod server;
#[path = "../../../../tests/common/steps.rs"]
#[allow(unreachable_pub, reason = "other programs use it too")]
mod steps;

#[path = "../all/attacks.rs"]
mod attacks;
#[path = "../all/contents.rs"]
mod contents;
#[path = "../all/contract.rs"]
mod contract;
#[path = "../servers/encryption.rs"]
mod encryption;
mod galera;
mod import;
#[path = "../all/processes.rs"]
mod processes;
#[path = "../servers/reaching.rs"]
mod reaching;
#[path = "../all/refusals.rs"]
mod refusals;
#[path = "../servers/restarts.rs"]
mod restarts;
#[path = "../all/sharing.rs"]
mod sharing;
#[path = "../all/tables.rs"]
mod tables;
