#![doc = include_str!("../README.md")]
#![forbid(unsafe_code)]
// A panic where an error belongs takes the application down with it, and a library has nothing to print. Tests may.
#![cfg_attr(
    not(test),
    warn(
        clippy::arithmetic_side_effects,
        clippy::as_conversions,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::print_stderr,
        clippy::print_stdout,
        clippy::unwrap_used
    )
)]
// Without a database there is nothing to open. Each database uses a part of what they have in common: dead code is
// looked for in the build with everything.
#![cfg_attr(not(any(feature = "sqlite", feature = "__server")), allow(unused_imports))]
#![cfg_attr(
    not(all(feature = "sqlite", feature = "mysql", feature = "postgres", feature = "import")),
    allow(dead_code)
)]

// The layers, from the top down (checked by `cargo test -p tokenkeep-sql --test all layers`):
//
//     store, options, namespace, transaction, slots, version, import    what applications use
//     lease, writer, rows                  the rules, over rows that are sealed
//     shared                               which vault, which connection
//     schema, cells, tables, pool, inside  statements, values and connections
//     location, engine, server, error      the database, and where it is; only `engine` knows the drivers

mod cells;
mod engine;
mod error;
#[cfg(feature = "import")]
mod import;
mod inside;
mod lease;
mod location;
mod namespace;
mod options;
mod pool;
mod rows;
mod schema;
#[cfg(feature = "__server")]
mod server;
mod shared;
mod slots;
mod store;
mod tables;
mod transaction;
mod version;
mod writer;

pub use error::{DatabaseError, Problem};
pub use location::Database;
pub use namespace::SqlNamespace;
pub use options::SqlOptions;
pub use store::SqlStore;
pub use transaction::SqlTransaction;
pub use version::Version;
