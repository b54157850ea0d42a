//! What `plumb demo` says of a replayed fleet: the table of recommendations, and what they would have saved.

use serde::Serialize;

use super::Table;
use super::prices::{Prices, dollars};
use crate::replay::arm::Size;
use crate::replay::outcome::{ArmOutcome, Outcome};
use crate::replay::score::score;
use crate::replay::trace::{Allocations, Series};
use crate::units::{Bytes, Cores, GIB, Timestamp};

const DAY: i64 = 86_400;

/// The replayed fleet and who is compared with whom.
pub struct Demo<'a> {
    /// The replay.
    pub outcome: &'a Outcome,
    /// The arm whose recommendations are shown.
    pub ours: &'a ArmOutcome,
    /// The arm that stands for what was requested before.
    pub before: &'a ArmOutcome,
    /// What the owners asked for.
    pub given: &'a Allocations,
    /// What it costs.
    pub prices: Prices,
}

/// A row of the table, as `kubectl get recommendations` would print it.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Row {
    /// Name of the Recommendation.
    pub name: String,
    /// CPU request in cores, before and now.
    pub cpu: [Option<Cores>; 2],
    /// Memory request in bytes, before and now.
    pub memory: [Option<Bytes>; 2],
    /// Memory limit in bytes, now.
    pub memory_limit: Option<Bytes>,
    /// OOM kills while it was sized.
    pub oom_kills: u64,
    /// Dollars a month saved; below zero where more is needed.
    pub saves: f64,
    /// Days of history.
    pub days: u64,
}

/// What all of it comes to: averages over the time in which it was sized.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Savings {
    /// Requested cores, before and as sized.
    pub cores: [f64; 2],
    /// Requested bytes, before and as sized.
    pub bytes: [f64; 2],
    /// Dollars a month saved.
    pub monthly: f64,
}

impl Demo<'_> {
    /// One row per container, in the trace's order.
    #[must_use]
    pub fn rows(&self) -> Vec<Row> {
        let containers =
            self.outcome.containers.iter().zip(&self.ours.containers).zip(&self.before.containers);
        containers
            .map(|((series, ours), before)| {
                let last = |decisions: &[crate::replay::engine::Decision]| decisions.last().map(|d| d.size);
                let (now, fixed) = (last(&ours.decisions), last(&before.decisions));
                let given = self.given.get(&series.id).copied().unwrap_or_default();
                let of = |size: Option<Size>, part: fn(Size) -> Option<Cores>| size.and_then(part);
                let cpu = [given.cpu.or(of(fixed, |s| s.cpu_request)), of(now, |s| s.cpu_request)];
                let memory = [
                    given.memory.or(fixed.and_then(|s| s.memory_request)),
                    now.and_then(|s| s.memory_request),
                ];
                let cost =
                    |i: usize| self.prices.monthly(cpu[i].unwrap_or_default(), memory[i].unwrap_or_default());
                Row {
                    name: series.id.clone(),
                    cpu,
                    memory,
                    memory_limit: now.and_then(|s| s.memory_limit),
                    oom_kills: ours.sums.oom_kills,
                    saves: if now.is_some() { cost(0) - cost(1) } else { 0.0 },
                    days: days(series),
                }
            })
            .collect()
    }

    /// What the fleet saved, on average over the time in which it was sized.
    #[must_use]
    pub fn savings(&self) -> Savings {
        let mut savings = Savings { cores: [0.0; 2], bytes: [0.0; 2], monthly: 0.0 };
        for (i, arm) in [self.before, self.ours].into_iter().enumerate() {
            for (series, container) in self.outcome.containers.iter().zip(&arm.containers) {
                let seconds = sized_seconds(series, self.outcome.rules.warmup);
                if seconds > 0.0 {
                    savings.cores[i] += container.sums.cpu_requested / seconds;
                    savings.bytes[i] += container.sums.memory_requested / seconds;
                }
            }
        }
        let cost = |i: usize| self.prices.monthly(Cores(savings.cores[i]), Bytes::from_f64(savings.bytes[i]));
        savings.monthly = cost(0) - cost(1);
        savings
    }

    /// How the arm fared up to `at`: one line.
    #[must_use]
    pub fn so_far(&self, arm: &ArmOutcome, at: Timestamp) -> String {
        let mut all = crate::replay::score::Sums::default();
        for (series, container) in self.outcome.containers.iter().zip(&arm.containers) {
            all += score(&series.until(at), &container.decisions, &self.outcome.rules);
        }
        let share = |part: f64, whole: f64| if whole > 0.0 { 100.0 * part / whole } else { 0.0 };
        format!(
            "{:<8} CPU slack {:>3.0}%  memory slack {:>3.0}%  OOM kills {:>4}  changes {:>6}",
            arm.name,
            share(all.cpu_slack, all.cpu_requested),
            share(all.memory_slack, all.memory_requested),
            all.oom_kills,
            all.cpu_changes + all.memory_changes,
        )
    }
}

/// How long a container was sized, in seconds, as the score counts it: gaps for at most an hour.
fn sized_seconds(series: &Series, warmup: i64) -> f64 {
    let from = series.start().plus(warmup);
    let pairs = series.times().windows(2).filter(|pair| pair[0] >= from.0);
    pairs.map(|pair| (pair[1] - pair[0]).min(3600) as f64).sum()
}

fn days(series: &Series) -> u64 {
    let last = series.times().last().copied().unwrap_or_default();
    u64::try_from(Timestamp(last).seconds_since(series.start()) / DAY).unwrap_or_default()
}

/// The table, as `kubectl get recommendations` would print it.
#[must_use]
pub fn table(rows: &[Row]) -> String {
    let mut table =
        Table::new(&["NAME", "MODE", "CPU", "MEMORY", "OOMS", "SAVES", "CONFIDENCE", "STATE", "AGE"]);
    for row in rows {
        let confidence = match row.days {
            0 => "low",
            1..=6 => "medium",
            _ => "high",
        };
        table.row([
            row.name.clone(),
            "Auto".to_owned(),
            change(row.cpu),
            change(row.memory),
            row.oom_kills.to_string(),
            dollars(row.saves),
            confidence.to_owned(),
            "Applied".to_owned(),
            format!("{}d", row.days),
        ]);
    }
    table.render()
}

fn change<T: ToString>([before, now]: [Option<T>; 2]) -> String {
    let text = |value: Option<T>| value.map_or_else(|| "-".to_owned(), |v| v.to_string());
    format!("{} → {}", text(before), text(now))
}

/// The savings in words.
#[must_use]
pub fn savings_text(savings: &Savings, prices: &Prices) -> String {
    let gib = |bytes: f64| bytes / GIB as f64;
    format!(
        "Requested on average: {:.1} → {:.1} cores, {:.1} → {:.1} GiB. That saves {} (at ${} a core-hour\nand ${} a GiB-hour).\n",
        savings.cores[0],
        savings.cores[1],
        gib(savings.bytes[0]),
        gib(savings.bytes[1]),
        dollars(savings.monthly).replace("/mo", " a month"),
        prices.core_hour,
        prices.gib_hour,
    )
}
