//! The tests of the public API that need neither processes of their own nor a component of the system, in one program.

#[path = "../common/mod.rs"]
mod common;
#[path = "../common/external.rs"]
#[allow(unreachable_pub, reason = "other programs use it too")]
mod external;
#[path = "../reader/mod.rs"]
#[allow(unreachable_pub, reason = "other programs use it too")]
mod reader;
#[path = "../common/traces.rs"]
#[allow(unreachable_pub, reason = "other programs use it too")]
mod recorded;
#[path = "../common/steps.rs"]
#[allow(unreachable_pub, reason = "other programs use it too")]
mod steps;

mod care;
mod conformance;
mod format;
mod import;
mod layers;
mod model;
mod namespaces;
mod refresh_keystore;
mod refresh_model;
mod refusals;
mod revisions;
mod secrets;
mod sharing;
mod slots;
mod slots_model;
mod token_locks;
mod traces;
mod transactions;
mod two_providers;
mod vectors;
