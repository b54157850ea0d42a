//! Chance that a seed repeats.

use std::f64::consts::TAU;

/// SplitMix64 (Steele, Lea, Flood, OOPSLA 2014) and what the shapes draw from it.
#[derive(Clone, Debug)]
pub(in crate::replay) struct Chance(u64);

impl Chance {
    pub(in crate::replay) fn new(seed: u64) -> Self {
        let mut chance = Self(seed);
        // Neighbouring seeds begin apart.
        chance.0 = chance.next();
        chance
    }

    pub(in crate::replay) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let z = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// From 0 to below 1, uniform.
    pub(in crate::replay) fn share(&mut self) -> f64 {
        (self.next() >> 11) as f64 / (1_u64 << 53) as f64
    }

    pub(in crate::replay) fn between(&mut self, low: f64, high: f64) -> f64 {
        low + (high - low) * self.share()
    }

    /// True with this probability.
    pub(in crate::replay) fn happens(&mut self, probability: f64) -> bool {
        self.share() < probability
    }

    /// Normal, mean 0, deviation 1, cut at 3 (Box and Muller, 1958).
    pub(in crate::replay) fn normal(&mut self) -> f64 {
        let radius = (-2.0 * (1.0 - self.share()).ln()).sqrt();
        (radius * (TAU * self.share()).cos()).clamp(-3.0, 3.0)
    }

    /// Heavy-tailed, from `least` to `most` (Pareto, shape 1.5).
    pub(in crate::replay) fn heavy(&mut self, least: f64, most: f64) -> f64 {
        (least / (1.0 - self.share()).powf(1.0 / 1.5)).min(most)
    }
}
