//! The tests of this crate on a real PostgreSQL, which the tests start.
#![cfg(feature = "postgres")]

#[path = "../servers/postgres.rs"]
mod database;
mod schemas;
#[path = "../servers/suite.rs"]
mod servers;
mod standby;
#[path = "../all/suite.rs"]
mod suite;

use servers::server;
use suite::{allocator, attacks, canaries, common, forked, processes, reader, recorded, stage, steps};
