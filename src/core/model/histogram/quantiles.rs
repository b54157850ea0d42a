//! What a histogram is asked for most often: its quantiles.

use super::{Histogram, edge};
use crate::model::number;

/// Buckets that are passed over at once.
const RUN: usize = 16;

impl Histogram {
    /// The values below which the given shares (rising, 0..=1) of the samples lie, interpolated within the bucket;
    /// 0 where nothing was seen. `by_load` weighs each sample by its value, so that a percentile is one of the load
    /// served and not of time (Autopilot, section 3.2.2).
    #[must_use]
    pub fn quantiles<const N: usize>(&self, shares: [f32; N], by_load: bool) -> [f32; N] {
        if by_load {
            return self.quantiles_by_load(shares);
        }
        let total = self.total as f32;
        let (mut at, mut below) = (0, 0);
        shares.map(|share| {
            let wanted = share * total;
            (at, below) = self.reach(number::whole_above(wanted).max(1), at, below);
            let Some(&weight) = self.weights.get(at) else { return self.highest() };
            self.within(at, (wanted - below as f32) / f32::from(weight))
        })
    }

    /// The bucket in which the sum of the weights reaches `wanted`, and the sum below it; looks from the bucket `at` on,
    /// below which the sum is `below`. Sums are whole numbers here, and small enough to be exact as floats.
    fn reach(&self, wanted: u32, mut at: usize, mut below: u32) -> (usize, u32) {
        let rest = self.weights.get(at..).unwrap_or_default();
        let (runs, _) = rest.as_chunks::<RUN>();
        for run in runs {
            let sum: u32 = run.iter().map(|&weight| u32::from(weight)).sum();
            if below + sum >= wanted {
                break;
            }
            (at, below) = (at + RUN, below + sum);
        }
        for &weight in self.weights.get(at..).unwrap_or_default() {
            if below + u32::from(weight) >= wanted {
                break;
            }
            (at, below) = (at + 1, below + u32::from(weight));
        }
        (at, below)
    }

    /// A value within a bucket, a share of its width above its lower edge.
    fn within(&self, at: usize, share: f32) -> f32 {
        let code = self.first + at as u16;
        let (low, high) = (edge(code), edge(code + 1));
        low + (high - low) * share.clamp(0.0, 1.0)
    }

    fn quantiles_by_load<const N: usize>(&self, shares: [f32; N]) -> [f32; N] {
        let load = |at: usize, weight: u8| f32::from(weight) * edge(self.first + at as u16);
        let occupied = || self.weights.iter().enumerate().filter(|(_, weight)| **weight > 0);
        let total: f32 = occupied().map(|(at, &weight)| load(at, weight)).sum();
        shares.map(|share| {
            let mut below = 0.0;
            for (at, &weight) in occupied() {
                let (left, here) = (share * total - below, load(at, weight));
                if left <= here {
                    return self.within(at, left / here);
                }
                below += here;
            }
            // Rounding left a share open.
            self.highest()
        })
    }
}
