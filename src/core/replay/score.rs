//! What decisions were worth: sums over time of what was requested, used, left over and missed.
//!
//! Sums add, so a fleet's score is that of its containers added up. Rules and words: docs/backtest.md.

use serde::{Deserialize, Serialize};

use super::arm::Size;
use super::engine::{Decision, InForce, Rules};
use super::trace::Series;
use crate::actuate::step::Pace;
use crate::units::{Bytes, Timestamp};

/// A gap in the samples counts for at most this long, in seconds.
const MAX_GAP: i64 = 3600;
const DAY: i64 = 86_400;

/// Sums over the scored time of one container or of many. Core-seconds and byte-seconds, each sample weighted by the time to the next.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Sums {
    /// CPU requested.
    pub cpu_requested: f64,
    /// CPU requested and not used.
    pub cpu_slack: f64,
    /// CPU used.
    pub cpu_used: f64,
    /// CPU used above the request.
    pub cpu_shortfall: f64,
    /// Memory requested.
    pub memory_requested: f64,
    /// Memory requested and not used.
    pub memory_slack: f64,
    /// Memory used, or wanted where it was above the limit.
    pub memory_used: f64,
    /// Memory used above the request.
    pub memory_exposure: f64,
    /// Memory allowed by the limit, while there is one.
    pub memory_limited: f64,
    /// Memory used, while there is a limit.
    pub memory_used_limited: f64,
    /// Samples above the memory limit.
    pub oom_kills: u64,
    /// Days, counted from each container's first sample, in which anything was scored.
    pub days: u64,
    /// Days with an OOM kill.
    pub oom_days: u64,
    /// Times that another CPU request came into force, the first included.
    pub cpu_changes: u64,
    /// Times that another memory request or limit came into force, the first included.
    pub memory_changes: u64,
    /// Changes of one of CPU request, memory request and memory limit, each counted by itself, the first left out.
    pub steps: u64,
    /// Those of them that went the other way than the one before, within a cooldown of it.
    pub swings: u64,
}

impl std::ops::AddAssign for Sums {
    fn add_assign(&mut self, other: Self) {
        self.cpu_requested += other.cpu_requested;
        self.cpu_slack += other.cpu_slack;
        self.cpu_used += other.cpu_used;
        self.cpu_shortfall += other.cpu_shortfall;
        self.memory_requested += other.memory_requested;
        self.memory_slack += other.memory_slack;
        self.memory_used += other.memory_used;
        self.memory_exposure += other.memory_exposure;
        self.memory_limited += other.memory_limited;
        self.memory_used_limited += other.memory_used_limited;
        self.oom_kills += other.oom_kills;
        self.days += other.days;
        self.oom_days += other.oom_days;
        self.cpu_changes += other.cpu_changes;
        self.memory_changes += other.memory_changes;
        self.steps += other.steps;
        self.swings += other.swings;
    }
}

/// Request and limit at a sample, as floats; `NAN` where nothing is in force, infinite where there is no limit.
#[derive(Clone, Copy)]
struct Now {
    cpu: f64,
    memory: f64,
    limit: f64,
}

impl Now {
    const NOTHING: Self = Self { cpu: f64::NAN, memory: f64::NAN, limit: f64::NAN };

    fn of(size: Option<&Size>) -> Self {
        size.map_or(Self::NOTHING, |size| Self {
            cpu: size.cpu_request.map_or(f64::NAN, |cpu| cpu.0),
            memory: size.memory_request.map_or(f64::NAN, Bytes::as_f64),
            limit: size.memory_limit.map_or(f64::INFINITY, Bytes::as_f64),
        })
    }
}

/// Scores the decisions that were made for one container.
#[must_use]
pub fn score(series: &Series, decisions: &[Decision], rules: &Rules) -> Sums {
    let mut sums = Sums::default();
    let mut in_force = InForce::new(decisions);
    let mut before = Now::NOTHING;
    let (mut day, mut killed_on) = (None, None);
    for (i, (at, cpu, memory)) in series.samples().enumerate() {
        let now = Now::of(in_force.at(at));
        let age = Timestamp(at).seconds_since(series.start());
        if age >= rules.warmup {
            let today = Some(age / DAY);
            sums.days += u64::from(day != today);
            day = today;
            let seconds =
                series.times().get(i + 1).map_or(0, |next| next.saturating_sub(at).min(MAX_GAP)) as f64;
            sums.add_cpu(cpu, now, before, seconds);
            if sums.add_memory(memory, now, before, seconds) {
                sums.oom_days += u64::from(killed_on != today);
                killed_on = today;
            }
        }
        before = now;
    }
    let scored = series.start().plus(rules.warmup);
    for of in [
        |size: &Size| size.cpu_request.map(|cpu| cpu.0),
        |size: &Size| size.memory_request.map(Bytes::as_f64),
        |size: &Size| size.memory_limit.map(Bytes::as_f64),
    ] {
        sums.add_steps(decisions, of, scored);
    }
    sums
}

// What was in force before and now are copies of decisions, equal or not; NAN, nothing in force, differs from all.
#[expect(clippy::float_cmp, reason = "compares copies, not results")]
impl Sums {
    fn add_cpu(&mut self, used: f64, now: Now, before: Now, seconds: f64) {
        if used.is_nan() || now.cpu.is_nan() {
            return;
        }
        self.cpu_requested += now.cpu * seconds;
        self.cpu_slack += (now.cpu - used).max(0.0) * seconds;
        self.cpu_used += used * seconds;
        self.cpu_shortfall += (used - now.cpu).max(0.0) * seconds;
        self.cpu_changes += u64::from(now.cpu != before.cpu);
    }

    /// The changes of one value from `since` on.
    fn add_steps(&mut self, decisions: &[Decision], of: fn(&Size) -> Option<f64>, since: Timestamp) {
        let cooldown = Pace::default().cooldown;
        let mut last: Option<(Timestamp, f64)> = None;
        for pair in decisions.windows(2) {
            let [before, after] = pair else { continue };
            let (Some(from), Some(to)) = (of(&before.size), of(&after.size)) else { continue };
            if from == to {
                continue;
            }
            let way = (to - from).signum();
            if after.at >= since {
                self.steps += 1;
                let swings =
                    last.is_some_and(|(at, other)| other != way && after.at.seconds_since(at) < cooldown);
                self.swings += u64::from(swings);
            }
            last = Some((after.at, way));
        }
    }

    /// Says whether it was an OOM kill.
    fn add_memory(&mut self, used: f64, now: Now, before: Now, seconds: f64) -> bool {
        if used.is_nan() || now.memory.is_nan() {
            return false;
        }
        self.memory_requested += now.memory * seconds;
        self.memory_slack += (now.memory - used).max(0.0) * seconds;
        self.memory_used += used * seconds;
        self.memory_exposure += (used - now.memory).max(0.0) * seconds;
        if now.limit.is_finite() {
            self.memory_limited += now.limit * seconds;
            self.memory_used_limited += used * seconds;
        }
        self.memory_changes += u64::from(now.memory != before.memory || now.limit != before.limit);
        let killed = used > now.limit;
        self.oom_kills += u64::from(killed);
        killed
    }
}

/// The score of an arm over a trace. Shares are 0..1 unless said; absent where nothing was scored.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Figures {
    /// Containers in the trace.
    pub containers: u64,
    /// Scored container-days.
    pub container_days: u64,
    /// Share of the requested CPU that was not used.
    pub cpu_slack: Option<f64>,
    /// Share of the used CPU that was above the request.
    pub cpu_shortfall: Option<f64>,
    /// Share of the requested memory that was not used.
    pub memory_slack: Option<f64>,
    /// Share of the used memory that was above the request.
    pub memory_exposure: Option<f64>,
    /// Memory limits over usage while there is a limit, 1 or more where they hold.
    pub limit_over_usage: Option<f64>,
    /// OOM kills.
    pub oom_kills: u64,
    /// Share of container-days without an OOM kill.
    pub oom_free_days: Option<f64>,
    /// Changes of the CPU request per container-day.
    pub cpu_changes_per_day: Option<f64>,
    /// Changes of memory request or limit per container-day.
    pub memory_changes_per_day: Option<f64>,
    /// Share of the changes that took back the one before, in whole or in part, within a cooldown of ten minutes.
    pub swings: Option<f64>,
    /// Mean over containers of each one's CPU slack.
    pub cpu_slack_mean: Option<f64>,
    /// Mean over containers of each one's CPU shortfall.
    pub cpu_shortfall_mean: Option<f64>,
    /// Mean over containers of each one's memory slack.
    pub memory_slack_mean: Option<f64>,
    /// Share of time in which a node packed with 20 containers lacks a tenth of its memory; absent below 20 containers.
    pub node_pressure: Option<f64>,
}

impl Figures {
    /// The figures of containers with these sums. `node_pressure` is left absent: it needs their course over time.
    #[must_use]
    pub fn of(containers: &[Sums]) -> Self {
        let mut all = Sums::default();
        for sums in containers {
            all += *sums;
        }
        let per_day = |n: u64| ratio(n as f64, all.days as f64);
        Self {
            containers: containers.len() as u64,
            container_days: all.days,
            cpu_slack: ratio(all.cpu_slack, all.cpu_requested),
            cpu_shortfall: ratio(all.cpu_shortfall, all.cpu_used),
            memory_slack: ratio(all.memory_slack, all.memory_requested),
            memory_exposure: ratio(all.memory_exposure, all.memory_used),
            limit_over_usage: ratio(all.memory_limited, all.memory_used_limited),
            oom_kills: all.oom_kills,
            oom_free_days: per_day(all.oom_days).map(|share| 1.0 - share),
            cpu_changes_per_day: per_day(all.cpu_changes),
            memory_changes_per_day: per_day(all.memory_changes),
            swings: ratio(all.swings as f64, all.steps as f64),
            cpu_slack_mean: mean(containers.iter().filter_map(|s| ratio(s.cpu_slack, s.cpu_requested))),
            cpu_shortfall_mean: mean(containers.iter().filter_map(|s| ratio(s.cpu_shortfall, s.cpu_used))),
            memory_slack_mean: mean(
                containers.iter().filter_map(|s| ratio(s.memory_slack, s.memory_requested)),
            ),
            node_pressure: None,
        }
    }
}

fn ratio(part: f64, whole: f64) -> Option<f64> {
    (whole > 0.0).then(|| part / whole)
}

fn mean(values: impl Iterator<Item = f64>) -> Option<f64> {
    let (sum, n) = values.fold((0.0, 0_u64), |(sum, n), value| (sum + value, n + 1));
    ratio(sum, n as f64)
}
