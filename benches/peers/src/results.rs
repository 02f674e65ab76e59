//! The file of results: what is measured once, and drawn and held against the targets from then on.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

/// In place of a contender: what tokenkeep took, as a multiple of what the limit took right before or after it.
pub const BESIDE: &str = "tokenkeep beside the limit";

/// One run on one machine.
#[derive(Serialize, Deserialize)]
pub struct Results {
    /// What a reader has to know of the machine, by name.
    pub machine: BTreeMap<String, String>,
    /// In the order in which they are shown.
    pub contenders: Vec<String>,
    pub figures: Vec<Figure>,
}

/// What one contender took for one work with that many tokens: nanoseconds for one operation, or bytes.
#[derive(Serialize, Deserialize, Clone)]
pub struct Figure {
    pub contender: String,
    pub work: String,
    pub size: usize,
    pub median: f64,
    pub p10: f64,
    pub p90: f64,
    pub samples: usize,
}

impl Results {
    pub fn figure(&self, contender: &str, work: &str, size: usize) -> Option<&Figure> {
        self.figures.iter().find(|figure| figure.contender == contender && figure.work == work && figure.size == size)
    }

    pub fn sizes(&self) -> BTreeSet<usize> {
        self.figures.iter().map(|figure| figure.size).collect()
    }
}
