//! What is measured beside tokenkeep, and tokenkeep.

pub mod json;
pub mod oo7;
pub mod redb;
pub mod sqlite;
pub mod tokenkeep;
