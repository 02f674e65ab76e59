//! The tests of this crate on a real MariaDB, which the tests start.
#![cfg(feature = "mysql")]

#[path = "../servers/mysql.rs"]
mod database;
mod galera;
mod import;
#[path = "../servers/suite.rs"]
mod servers;
#[path = "../all/suite.rs"]
mod suite;
mod undone;

use servers::server;
use suite::{allocator, attacks, canaries, common, forked, processes, reader, recorded, stage, steps};
