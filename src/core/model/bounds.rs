//! How sure an estimate is: the binomial confidence interval of a quantile, and the words for it.

use std::sync::LazyLock;

use statrs::distribution::{Beta, ContinuousCDF};

/// Chance that the interval misses on either side.
const TAIL: f64 = 0.05;
/// Shares for which intervals are kept, rising.
const SHARES: [f64; 7] = [0.5, 0.7, 0.8, 0.9, 0.95, 0.98, 0.995];
/// Intervals are kept for 1, 2, 4 … 2^14 samples.
const POWERS: usize = 15;

static TABLE: LazyLock<[[(f32, f32); POWERS]; SHARES.len()]> = LazyLock::new(|| {
    SHARES.map(|share| {
        std::array::from_fn(|power| {
            let (low, high) = quantile_interval(1 << power, share);
            (low as f32, high as f32)
        })
    })
});

/// The shares of `samples` between which the `share` quantile of the underlying distribution lies with 90 %
/// confidence: the interval of Clopper and Pearson ("The use of confidence or fiducial limits", Biometrika 1934).
/// (0, 1) where nothing is known.
#[must_use]
pub fn quantile_interval(samples: u32, share: f64) -> (f64, f64) {
    let n = f64::from(samples);
    let hits = (n * share).round();
    let edge = |a: f64, b: f64, at: f64| Beta::new(a, b).map(|beta| beta.inverse_cdf(at)).ok();
    let low = if hits > 0.0 { edge(hits, n - hits + 1.0, TAIL) } else { None };
    let high = if hits < n { edge(hits + 1.0, n - hits, 1.0 - TAIL) } else { None };
    (low.unwrap_or(0.0).clamp(0.0, 1.0), high.unwrap_or(1.0).clamp(0.0, 1.0))
}

/// The same from a table: for the next lower power of two samples and the nearest share below.
pub(crate) fn interval(samples: f32, share: f32) -> (f32, f32) {
    let column = SHARES.iter().rposition(|s| *s <= f64::from(share)).unwrap_or(0);
    let samples = super::number::index(samples).max(1);
    let power = (usize::BITS - 1 - samples.leading_zeros()) as usize;
    let (low, high) =
        TABLE.get(column).and_then(|row| row.get(power.min(POWERS - 1))).copied().unwrap_or((0.0, 1.0));
    // Moved to the share that was asked for.
    let off = share - SHARES.get(column).map_or(share, |s| *s as f32);
    ((low + off).clamp(0.0, 1.0), (high + off).clamp(0.0, 1.0))
}

/// How much history stands behind an estimate.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Confidence {
    /// Less than a day, or fewer than 30 samples.
    Low,
    /// A day or more.
    Medium,
    /// A week or more.
    High,
}

impl Confidence {
    /// Of that much history.
    #[must_use]
    pub fn of(hours: f32, samples: u32) -> Self {
        if hours < 23.5 || samples < 30 {
            Self::Low
        } else if hours < 7.0 * 24.0 - 0.5 {
            Self::Medium
        } else {
            Self::High
        }
    }

    /// `low`, `medium` or `high`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Low => "low",
            Self::Medium => "medium",
            Self::High => "high",
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_interval_of_clopper_and_pearson() {
        // 90 of 100 at 90 % confidence: 0.8363 to 0.9443 (binom.test(90, 100, conf.level = 0.9) in R).
        let (low, high) = quantile_interval(100, 0.9);
        assert!((low - 0.8363).abs() < 1e-3 && (high - 0.9443).abs() < 1e-3, "{low} {high}");
        assert_eq!(quantile_interval(0, 0.9), (0.0, 1.0));
        assert!((quantile_interval(10, 1.0).1 - 1.0).abs() < 1e-12);
    }

    #[test]
    fn more_samples_narrow_it() {
        let widths: Vec<f32> = [1.0, 10.0, 100.0, 1e3, 1e5]
            .iter()
            .map(|&n| interval(n, 0.9))
            .map(|(low, high)| high - low)
            .collect();
        assert!(widths.windows(2).all(|w| w[1] <= w[0]), "{widths:?}");
        let (low, high) = interval(1000.0, 0.92);
        assert!(low < 0.92 && high > 0.92);
    }
}
