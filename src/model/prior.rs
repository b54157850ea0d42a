//! What is assumed of a container before it has a history: that its candidates cost what they did for others.
//!
//! A young series has seen too little to tell candidates apart, and one that was never short says nothing of how
//! short it may be. So the costs of the average container stand beside its own, and fade as these grow (empirical
//! Bayes). The numbers are averages over the traces of docs/decisions/0002-estimate.md, each trace weighing the same:
//! `cargo run --release --example prior -- TRACE...` prints them. A change of the rules or margins makes them stale.

use super::tuning::{BASES, MARGINS};

/// The costs of the average container, each per unit of usage.
#[derive(Clone, Debug, PartialEq)]
pub struct Prior {
    /// Hours of history that it weighs as much as; 0 for none.
    pub hours: f32,
    /// What each rule reserves.
    pub reserved: [f32; BASES],
    /// What the changes of each rule cost, at a price of 1.
    pub changes: [f32; BASES],
    /// What each rule is short of, at each margin.
    pub short: [[f32; MARGINS]; BASES],
}

impl Prior {
    /// For CPU.
    pub(super) const CPU: Self = Self {
        hours: 2.3,
        reserved: [1.696, 1.953, 2.541, 2.141, 2.410, 1.310],
        changes: [0.152, 0.124, 0.090, 0.130, 0.118, 0.014],
        short: [
            [0.0472, 0.0271, 0.0244, 0.0209, 0.0162, 0.0146],
            [0.0369, 0.0192, 0.0169, 0.0141, 0.0105, 0.0094],
            [0.0252, 0.0111, 0.0094, 0.0075, 0.0051, 0.0044],
            [0.0226, 0.0088, 0.0073, 0.0056, 0.0038, 0.0032],
            [0.0191, 0.0069, 0.0057, 0.0044, 0.0030, 0.0025],
            [0.1264, 0.0964, 0.0902, 0.0809, 0.0657, 0.0612],
        ],
    };
    /// For memory, where own history speaks at once: usage differs more from one to another than over time.
    pub(super) const MEMORY: Self = Self {
        hours: 0.01,
        reserved: [2.547, 2.668, 3.008, 2.859, 1.564, 2.349],
        changes: [2.175, 1.877, 1.771, 1.504, 0.265, 0.339],
        short: [
            [0.0190, 0.0120, 0.0108, 0.0103, 0.0098, 0.0090],
            [0.0175, 0.0107, 0.0095, 0.0091, 0.0086, 0.0079],
            [0.0113, 0.0056, 0.0047, 0.0044, 0.0041, 0.0036],
            [0.0147, 0.0085, 0.0074, 0.0071, 0.0068, 0.0061],
            [0.0580, 0.0495, 0.0473, 0.0457, 0.0433, 0.0395],
            [0.0217, 0.0163, 0.0154, 0.0149, 0.0142, 0.0129],
        ],
    };

    /// The share of `hours` of own history that it weighs as much as: 1 with as much of it as its own hours say.
    pub(super) fn weight(&self, hours: f32) -> f32 {
        self.hours / (self.hours + hours).max(f32::MIN_POSITIVE)
    }
}
