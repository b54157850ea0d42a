//! What one set of sizes saves against another: cores, memory and money.

use serde::Serialize;

use crate::replay::outcome::{ArmOutcome, Outcome};
use crate::replay::score::Sums;
use crate::units::{GIB, Timestamp};

/// Hours in a month, as the clouds' price lists count: 365 x 24 / 12.
const MONTH_HOURS: f64 = 730.0;
/// A gap in the samples counts for at most this long, in seconds: as in the score.
const MAX_GAP: i64 = 3600;

/// What reserved resources cost, in dollars.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Prices {
    /// A core for an hour.
    pub core_hour: f64,
    /// A gibibyte of memory for an hour.
    pub gib_hour: f64,
}

impl Default for Prices {
    /// About what the large clouds take on demand.
    fn default() -> Self {
        Self { core_hour: 0.031, gib_hour: 0.004 }
    }
}

impl Prices {
    /// Dollars a month for so much, reserved all the time.
    #[must_use]
    pub fn monthly(&self, cores: f64, gib: f64) -> f64 {
        (cores * self.core_hour + gib * self.gib_hour) * MONTH_HOURS
    }
}

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
    /// At these prices.
    pub prices: Prices,
}

impl Saved {
    /// What the arm `after` reserved less than the arm `before`; `None` where the outcome has not both.
    #[must_use]
    pub fn between(outcome: &Outcome, before: &str, after: &str, prices: Prices) -> Option<Self> {
        let arm = |name: &str| outcome.arms.iter().find(|arm| arm.name == name);
        let (cores_before, gib_before) = reserved(outcome, arm(before)?);
        let (cores_after, gib_after) = reserved(outcome, arm(after)?);
        let dollars_per_month = prices.monthly(cores_before - cores_after, gib_before - gib_after);
        Some(Self { cores_before, cores_after, gib_before, gib_after, dollars_per_month, prices })
    }

    /// `$512`, or `-$12` where more was needed.
    #[must_use]
    pub fn dollars_text(&self) -> String {
        dollars(self.dollars_per_month)
    }
}

/// Whole dollars: `$11`, `-$1`.
fn dollars(amount: f64) -> String {
    let whole = amount.abs().round();
    if amount < 0.0 && whole > 0.0 { format!("-${whole:.0}") } else { format!("${whole:.0}") }
}

/// What a recommendation saves, in two figures, as its status says it: `$11/mo`, `-$1.20/mo`.
#[must_use]
pub fn monthly(amount: f64) -> String {
    let size = amount.abs();
    let sign = if amount <= -0.005 { "-" } else { "" };
    if size < 0.005 {
        "$0/mo".to_owned()
    } else if size < 9.995 {
        format!("{sign}${size:.2}/mo")
    } else {
        let step = 10_f64.powi(size.log10().floor() as i32 - 1);
        format!("{sign}${:.0}/mo", (size / step).round() * step)
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
