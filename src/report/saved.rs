//! What one set of sizes saves against another: cores, memory and money.

use serde::Serialize;

use super::prices::{Prices, dollars};
use crate::replay::outcome::{ArmOutcome, Outcome};
use crate::replay::score::Sums;
use crate::units::{Bytes, Cores, GIB, Timestamp};

/// A gap in the samples counts for at most this long, in seconds: as in the score.
const MAX_GAP: i64 = 3600;

/// What an arm reserved less than another, on average over the scored time.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Saved {
    /// Cores that the other reserved.
    pub cores_before: f64,
    /// Cores that this one reserved.
    pub cores_after: f64,
    /// GiB of memory that the other reserved.
    pub gib_before: f64,
    /// GiB of memory that this one reserved.
    pub gib_after: f64,
    /// Dollars a month; below zero where more was needed.
    pub dollars_per_month: f64,
    /// At this price of a core-hour.
    pub price_core_hour: f64,
    /// And this one of a GiB-hour.
    pub price_gib_hour: f64,
}

impl Saved {
    /// What the arm `after` reserved less than the arm `before`; `None` where the outcome has not both.
    #[must_use]
    pub fn between(outcome: &Outcome, before: &str, after: &str, prices: Prices) -> Option<Self> {
        let arm = |name: &str| outcome.arms.iter().find(|arm| arm.name == name);
        let (cores_before, gib_before) = reserved(outcome, arm(before)?);
        let (cores_after, gib_after) = reserved(outcome, arm(after)?);
        let cost = |cores, gib: f64| prices.monthly(Cores(cores), Bytes::from_f64(gib * GIB as f64));
        Some(Self {
            cores_before,
            cores_after,
            gib_before,
            gib_after,
            dollars_per_month: cost(cores_before, gib_before) - cost(cores_after, gib_after),
            price_core_hour: prices.core_hour,
            price_gib_hour: prices.gib_hour,
        })
    }

    /// `$510`, or `-$12` where more was needed.
    #[must_use]
    pub fn dollars_text(&self) -> String {
        dollars(self.dollars_per_month)
    }
}

/// Mean cores and GiB that an arm reserved for all containers together.
fn reserved(outcome: &Outcome, arm: &ArmOutcome) -> (f64, f64) {
    let mut all = (0.0, 0.0);
    for (series, container) in outcome.containers.iter().zip(&arm.containers) {
        let Sums { cpu_requested, memory_requested, .. } = container.sums;
        let seconds = |values: &[f64]| scored_seconds(series.times(), values, outcome.rules.warmup);
        let mean = |sum: f64, seconds: f64| if seconds > 0.0 { sum / seconds } else { 0.0 };
        all.0 += mean(cpu_requested, seconds(series.cpu()));
        all.1 += mean(memory_requested, seconds(series.memory())) / GIB as f64;
    }
    all
}

/// For how long a known value was scored.
fn scored_seconds(times: &[i64], values: &[f64], warmup: i64) -> f64 {
    let Some(&first) = times.first() else { return 0.0 };
    let scored = times.windows(2).zip(values).filter_map(|(pair, value)| {
        let is_scored = Timestamp(pair[0]).seconds_since(Timestamp(first)) >= warmup && !value.is_nan();
        is_scored.then(|| pair[1].saturating_sub(pair[0]).min(MAX_GAP) as f64)
    });
    scored.sum()
}

/// `500m → 180m`: what was asked for, and what is.
#[must_use]
pub fn change<T: std::fmt::Display>(before: Option<T>, after: Option<T>) -> String {
    let text = |value: Option<T>| value.map_or_else(|| "-".to_owned(), |value| value.to_string());
    format!("{} → {}", text(before), text(after))
}
