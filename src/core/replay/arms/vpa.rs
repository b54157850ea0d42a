//! VPA 1.x as an arm: its recommender step by step, and the rule by which its updater applies a target.
//!
//! Facts from VPA 1.8.1's Go code, written anew; benches/peers runs that code itself and tests/replay_vpa_golden.rs holds this arm to it.

pub mod histogram;
pub mod recommender;
#[cfg(test)]
mod tests;
pub mod usage;

use recommender::{Estimate, bases, finish};
use usage::{Amount, DAY, Usage};

use crate::replay::arm::{Arm, Observation, Size};
use crate::units::{Bytes, Cores, Timestamp};

/// The least that is recommended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Floors {
    /// CPU in millicores.
    pub millicores: Amount,
    /// Memory in bytes.
    pub bytes: Amount,
}

impl Floors {
    /// VPA's defaults for a pod of one container: 25m, 250Mi.
    pub const DEFAULT: Self = Self { millicores: 25, bytes: 250 << 20 };
    /// As good as none: 1m, 1Mi.
    pub const OFF: Self = Self { millicores: 1, bytes: 1 << 20 };
}

/// A pod this old, in seconds, is updated for a smaller difference too.
const OLD: i64 = 12 * 3600;
/// That difference: of request and target, as share of the request, over both resources.
const DIFFERENCE: f64 = 0.1;

/// The arm.
#[derive(Clone, Debug)]
pub struct Vpa {
    floors: Floors,
    usage: Usage,
    first_sample: Option<Timestamp>,
    /// The memory percentiles, and the state of the histogram that they come from.
    memory_bases: (u64, [Amount; 3]),
    applied: Option<Applied>,
}

/// What was applied last, and when.
#[derive(Clone, Copy, Debug)]
struct Applied {
    cpu: Option<Amount>,
    memory: Option<Amount>,
    at: Timestamp,
}

impl Vpa {
    /// VPA with these floors.
    #[must_use]
    pub fn new(floors: Floors) -> Self {
        Self { floors, usage: Usage::default(), first_sample: None, memory_bases: (0, [0; 3]), applied: None }
    }

    fn learn(&mut self, seen: &Observation) {
        let at = seen.at.0;
        if let Some(cpu) = seen.cpu {
            self.usage.add_cpu(millicores(cpu), at);
        }
        // metrics-server drops a container whose memory reads 0, so VPA never learns of it.
        if let Some(memory) = seen.memory.filter(|memory| memory.0 > 0) {
            self.usage.add_memory(bytes(memory), at);
            if let Some(limit) = seen.oom {
                self.usage.add_oom(bytes(limit), at);
            }
        }
    }

    /// What VPA recommends for CPU and memory at `now`; nothing for what was never sampled.
    fn recommend(&mut self, now: Timestamp) -> (Option<Estimate>, Option<Estimate>) {
        let days = now.seconds_since(self.first_sample.unwrap_or(now)) as f64 / DAY as f64;
        let cpu = (!self.usage.cpu.is_empty())
            .then(|| finish(bases(&self.usage.cpu, 1000.0), days, self.floors.millicores));
        let memory = (!self.usage.memory.is_empty()).then(|| {
            if self.memory_bases.0 != self.usage.memory_changes {
                self.memory_bases = (self.usage.memory_changes, bases(&self.usage.memory, 1.0));
            }
            finish(self.memory_bases.1, days, self.floors.bytes)
        });
        (cpu, memory)
    }
}

/// Whether VPA's updater acts: a request is outside its bounds or missing, or differs from its target after an OOM kill, or by a tenth
/// after 12 hours.
fn should_update(
    applied: &Applied,
    cpu: Option<Estimate>,
    memory: Option<Estimate>,
    now: Timestamp,
    oom: bool,
) -> bool {
    let mut outside = false;
    let mut difference = 0.0;
    for (request, estimate) in [(applied.cpu, cpu), (applied.memory, memory)] {
        let Some(estimate) = estimate else { continue };
        outside |= request.is_none_or(|request| request < estimate.lower || request > estimate.upper);
        let request = request.unwrap_or_default().max(1) as f64;
        difference += (request - estimate.target as f64).abs() / request;
    }
    let old = now.seconds_since(applied.at) >= OLD;
    outside || (oom && difference > 0.0) || (old && difference >= DIFFERENCE)
}

impl Arm for Vpa {
    fn reset(&mut self) {
        self.usage.clear();
        self.first_sample = None;
        self.applied = None;
    }

    fn step(&mut self, seen: &Observation) -> Option<Size> {
        self.first_sample.get_or_insert(seen.at);
        self.learn(seen);
        if !seen.may_decide {
            return None;
        }
        let (cpu, memory) = self.recommend(seen.at);
        if let Some(applied) = &self.applied
            && !should_update(applied, cpu, memory, seen.at, seen.oom.is_some())
        {
            return None;
        }
        let applied = Applied { cpu: cpu.map(|e| e.target), memory: memory.map(|e| e.target), at: seen.at };
        self.applied = Some(applied);
        let memory = applied.memory.map(|bytes| Bytes(bytes.unsigned_abs()));
        Some(Size {
            cpu_request: applied.cpu.map(|milli| Cores::from_milli(milli.unsigned_abs())),
            memory_request: memory,
            memory_limit: memory,
        })
    }
}

/// Rounded up, as VPA reads the metrics API.
fn millicores(cpu: Cores) -> Amount {
    Amount::try_from(cpu.to_milli()).unwrap_or(usage::MAX_AMOUNT)
}

fn bytes(memory: Bytes) -> Amount {
    Amount::try_from(memory.0).unwrap_or(usage::MAX_AMOUNT)
}
