//! Results as plots, as tables, and beside the targets.

mod insert;
mod numbers;
mod place;
mod plot;
mod tables;
mod targets;

pub use insert::insert_tables;
pub use plot::draw;
pub use tables::tables;
pub use targets::check;
