//! VPA's recommendation: percentiles, a margin, bounds that widen while history is short, and floors.

use super::histogram::Histogram;
use super::usage::{Amount, amount};

/// Percentiles of lower bound, target and upper bound, for both resources.
const SHARES: [f64; 3] = [0.5, 0.9, 0.95];
/// Added to every percentile.
const MARGIN: f64 = 0.15;

/// What VPA says of one resource, in millicores or bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Estimate {
    /// A request below it is raised.
    pub lower: Amount,
    /// The request that VPA sets.
    pub target: Amount,
    /// A request above it is cut.
    pub upper: Amount,
}

/// How much VPA trusts a history, in days of one sample a minute: from the first to the last sample (seconds), but no more
/// than the samples' number allows. `interval` is the day's length in seconds.
#[must_use]
pub fn confidence(first: i64, last: i64, samples: u64, interval: i64) -> f64 {
    let lifespan = last.saturating_sub(first) as f64 / interval as f64;
    lifespan.min(samples as f64 / (interval as f64 / 60.0))
}

/// `base` x (1 + `factor` / `confidence`)^`exponent`.
#[must_use]
pub fn scaled(base: Amount, confidence: f64, factor: f64, exponent: f64) -> Amount {
    amount(base as f64 * (1.0 + factor / confidence).powf(exponent))
}

/// `base` and so much of it on top.
#[must_use]
pub fn with_margin(base: Amount, margin: f64) -> Amount {
    base + amount(base as f64 * margin)
}

/// The estimate of one resource; `unit` amounts make one unit of the histogram (1000 millicores a core).
#[must_use]
pub fn estimate(histogram: &Histogram, unit: f64, confidence: f64, floor: Amount) -> Estimate {
    finish(bases(histogram, unit), confidence, floor)
}

/// The percentiles of lower bound, target and upper bound with their margin.
#[must_use]
pub fn bases(histogram: &Histogram, unit: f64) -> [Amount; 3] {
    histogram.percentiles(SHARES).map(|share| with_margin(amount(share * unit), MARGIN))
}

/// The estimate from [`bases`].
#[must_use]
pub fn finish([lower, target, upper]: [Amount; 3], confidence: f64, floor: Amount) -> Estimate {
    Estimate {
        lower: scaled(lower, confidence, 0.001, -2.0).max(floor),
        target: target.max(floor),
        upper: scaled(upper, confidence, 1.0, 1.0).max(floor),
    }
}
