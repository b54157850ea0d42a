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
        reserved: [1.693, 1.950, 2.537, 2.137, 2.405, 1.308],
        changes: [0.151, 0.123, 0.090, 0.130, 0.117, 0.014],
        short: [
            [0.0475, 0.0274, 0.0247, 0.0212, 0.0152, 0.0140],
            [0.0372, 0.0195, 0.0171, 0.0143, 0.0099, 0.0090],
            [0.0254, 0.0114, 0.0096, 0.0077, 0.0047, 0.0042],
            [0.0228, 0.0089, 0.0074, 0.0058, 0.0035, 0.0031],
            [0.0192, 0.0071, 0.0058, 0.0045, 0.0027, 0.0024],
            [0.1270, 0.0970, 0.0908, 0.0815, 0.0629, 0.0595],
        ],
    };
    /// For memory, where own history speaks at once: usage differs more from one to another than over time.
    pub(super) const MEMORY: Self = Self {
        hours: 0.01,
        reserved: [2.237, 2.412, 2.775, 2.685, 1.518, 2.289],
        changes: [0.626, 0.620, 0.635, 0.606, 0.097, 0.134],
        short: [
            [0.0334, 0.0183, 0.0162, 0.0150, 0.0139, 0.0113],
            [0.0269, 0.0139, 0.0124, 0.0117, 0.0110, 0.0094],
            [0.0182, 0.0075, 0.0064, 0.0059, 0.0055, 0.0044],
            [0.0214, 0.0103, 0.0092, 0.0087, 0.0083, 0.0070],
            [0.0677, 0.0527, 0.0504, 0.0485, 0.0465, 0.0405],
            [0.0272, 0.0175, 0.0166, 0.0161, 0.0154, 0.0134],
        ],
    };

    /// The share of `hours` of own history that it weighs as much as: 1 with as much of it as its own hours say.
    pub(super) fn weight(&self, hours: f32) -> f32 {
        self.hours / (self.hours + hours).max(f32::MIN_POSITIVE)
    }
}
