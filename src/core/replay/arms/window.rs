//! Autopilot's moving window as an arm (Rzadca et al., EuroSys 2020, section 3.2).
//!
//! CPU: p95 of the load (each sample weighs its own usage), half-life 12 h. Memory: p98 of usage, half-life 48 h. Both + 12 %, then the maximum
//! of the last hour's answers. The paper says nothing of OOM kills in the window: as VPA, a kill is a sample of limit x 1.2, at
//! least 100 MiB more, and for a day nothing less is recommended.

use std::collections::VecDeque;

use super::vpa::histogram::{Buckets, Histogram};
use crate::replay::arm::{Arm, Observation, Size};
use crate::units::{Bytes, Cores};

const HOUR: i64 = 3600;
const MARGIN: f64 = 1.12;
const OOM_BUMP: f64 = 1.2;
const OOM_MIN_BUMP: f64 = 104_857_600.0;
/// For how long an OOM kill sets the least memory.
const OOM_MEMORY: i64 = 24 * HOUR;
/// Least recommendation: 1m and 1Mi.
const LEAST: (f64, f64) = (0.001, 1_048_576.0);

/// The arm.
#[derive(Clone, Debug)]
pub struct Window {
    cpu: Histogram,
    memory: Histogram,
    /// The last hour's answers.
    cpu_recent: RecentMax,
    memory_recent: RecentMax,
    /// Until when an OOM kill sets the least memory, and to what.
    after_oom: Option<(i64, f64)>,
}

impl Default for Window {
    fn default() -> Self {
        Self::new()
    }
}

impl Window {
    /// With the paper's settings.
    #[must_use]
    pub fn new() -> Self {
        // About 400 buckets of 3 %, as in the paper.
        let buckets = |first: f64| Buckets::exponential(first * 4e6, first, 1.03, 1e-9);
        Self {
            cpu: Histogram::new(buckets(0.003), 12 * HOUR),
            memory: Histogram::new(buckets(2e6), 48 * HOUR),
            cpu_recent: RecentMax::default(),
            memory_recent: RecentMax::default(),
            after_oom: None,
        }
    }

    fn learn(&mut self, seen: &Observation) {
        let at = seen.at.0;
        if let Some(cpu) = seen.cpu {
            self.cpu.add(cpu.0, cpu.0.max(1e-6), at);
        }
        if let Some(memory) = seen.memory {
            let mut bytes = memory.as_f64();
            if let Some(limit) = seen.oom {
                let limit = limit.as_f64();
                bytes = (limit * OOM_BUMP).max(limit + OOM_MIN_BUMP);
                // What an earlier kill taught holds on, if it was more.
                let before = self.after_oom.filter(|&(until, _)| at < until).map_or(0.0, |(_, least)| least);
                self.after_oom = Some((at.saturating_add(OOM_MEMORY), bytes.max(before)));
            }
            self.memory.add(bytes, 1.0, at);
        }
    }
}

impl Arm for Window {
    fn reset(&mut self) {
        self.cpu.clear();
        self.memory.clear();
        self.cpu_recent.0.clear();
        self.memory_recent.0.clear();
        self.after_oom = None;
    }

    fn step(&mut self, seen: &Observation) -> Option<Size> {
        self.learn(seen);
        if !seen.may_decide {
            return None;
        }
        let at = seen.at.0;
        let cpu = (!self.cpu.is_empty()).then(|| {
            let [p95] = self.cpu.percentiles([0.95]);
            Cores(self.cpu_recent.push(at, p95 * MARGIN).max(LEAST.0))
        });
        let memory = (!self.memory.is_empty()).then(|| {
            let [p98] = self.memory.percentiles([0.98]);
            let after_oom = self.after_oom.filter(|&(until, _)| at < until).map_or(0.0, |(_, least)| least);
            Bytes::from_f64(self.memory_recent.push(at, (p98 * MARGIN).max(after_oom)).max(LEAST.1))
        });
        Some(Size { cpu_request: cpu, memory_request: memory, memory_limit: memory })
    }
}

/// The largest of the last hour's values.
#[derive(Clone, Debug, Default)]
struct RecentMax(VecDeque<(i64, f64)>);

impl RecentMax {
    fn push(&mut self, at: i64, value: f64) -> f64 {
        while self.0.back().is_some_and(|&(_, last)| last <= value) {
            self.0.pop_back();
        }
        self.0.push_back((at, value));
        while self.0.front().is_some_and(|&(t, _)| at.saturating_sub(t) >= HOUR) {
            self.0.pop_front();
        }
        self.0.front().map_or(value, |&(_, max)| max)
    }
}
