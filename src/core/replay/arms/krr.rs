//! KRR's `simple` strategy as an arm: each day, the CPU p95 and the memory maximum of the last 14 days.
//!
//! Facts: robusta-dev/krr, `robusta_krr/strategies/simple.py`. CPU: request = p95, no limit. Memory: request = limit = max + 15 %, or an
//! OOM-killed limit of these 14 days + 25 % (its option `--use-oomkill-data`). KRR itself only scans when it is run: here each
//! day, and at once for memory after an OOM kill, which flatters it.

use std::collections::VecDeque;

use crate::replay::arm::{Arm, Observation, Size};
use crate::units::{Bytes, Cores};

/// The least that is recommended.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Floors {
    /// CPU in cores.
    pub cores: f64,
    /// Memory in bytes.
    pub bytes: f64,
}

impl Floors {
    /// KRR's defaults: 10m, 100 MB.
    pub const DEFAULT: Self = Self { cores: 0.01, bytes: 100e6 };
    /// As good as none: 1m, 1Mi.
    pub const OFF: Self = Self { cores: 0.001, bytes: 1_048_576.0 };
}

const DAY: i64 = 86_400;
/// How far back a scan reads.
const HISTORY: i64 = 14 * DAY;
const CPU_SHARE: f64 = 0.95;
const MEMORY_BUFFER: f64 = 1.15;
const OOM_BUFFER: f64 = 1.25;

/// The arm.
#[derive(Clone, Debug)]
pub struct Krr {
    floors: Floors,
    cpu: VecDeque<(i64, f64)>,
    memory: Maximum,
    oom: Maximum,
    last_scan: Option<i64>,
    cpu_request: Option<Cores>,
    memory_request: Option<Bytes>,
    scratch: Vec<f64>,
}

impl Krr {
    /// KRR with these floors.
    #[must_use]
    pub fn new(floors: Floors) -> Self {
        Self {
            floors,
            cpu: VecDeque::new(),
            memory: Maximum::default(),
            oom: Maximum::default(),
            last_scan: None,
            cpu_request: None,
            memory_request: None,
            scratch: Vec::new(),
        }
    }

    fn scan_cpu(&mut self) {
        self.scratch.clear();
        self.scratch.extend(self.cpu.iter().map(|&(_, cpu)| cpu));
        if let Some(p95) = percentile(&mut self.scratch, CPU_SHARE) {
            self.cpu_request = Some(Cores(p95.max(self.floors.cores)));
        }
    }

    fn scan_memory(&mut self) {
        if let Some(max) = self.memory.get() {
            let after_oom = self.oom.get().unwrap_or(0.0) * OOM_BUFFER;
            self.memory_request =
                Some(Bytes::from_f64((max * MEMORY_BUFFER).max(after_oom).max(self.floors.bytes)));
        }
    }
}

impl Arm for Krr {
    fn reset(&mut self) {
        *self = Self { scratch: std::mem::take(&mut self.scratch), ..Self::new(self.floors) };
    }

    fn step(&mut self, seen: &Observation) -> Option<Size> {
        let at = seen.at.0;
        if let Some(cpu) = seen.cpu {
            self.cpu.push_back((at, cpu.0));
        }
        if let Some(memory) = seen.memory {
            self.memory.push(at, memory.as_f64());
        }
        if let Some(limit) = seen.oom {
            self.oom.push(at, limit.as_f64());
        }
        if !seen.may_decide {
            return None;
        }
        let daily = self.last_scan.is_none_or(|last| at.saturating_sub(last) >= DAY);
        if !daily && seen.oom.is_none() {
            return None;
        }
        let oldest = at.saturating_sub(HISTORY);
        self.memory.forget_before(oldest);
        self.oom.forget_before(oldest);
        if daily {
            self.last_scan = Some(at);
            while self.cpu.front().is_some_and(|&(t, _)| t < oldest) {
                self.cpu.pop_front();
            }
            self.scan_cpu();
        }
        self.scan_memory();
        Some(Size {
            cpu_request: self.cpu_request,
            memory_request: self.memory_request,
            memory_limit: self.memory_request,
        })
    }
}

/// The largest of the values since some time: a queue of those that no later one exceeds.
#[derive(Clone, Debug, Default)]
struct Maximum(VecDeque<(i64, f64)>);

impl Maximum {
    fn push(&mut self, at: i64, value: f64) {
        while self.0.back().is_some_and(|&(_, last)| last <= value) {
            self.0.pop_back();
        }
        self.0.push_back((at, value));
    }

    fn forget_before(&mut self, oldest: i64) {
        while self.0.front().is_some_and(|&(at, _)| at < oldest) {
            self.0.pop_front();
        }
    }

    fn get(&self) -> Option<f64> {
        self.0.front().map(|&(_, value)| value)
    }
}

/// The exact percentile, interpolated between its two neighbours as Prometheus and numpy do; reorders `values`.
#[expect(clippy::cast_sign_loss, reason = "a share of a length is not negative")]
fn percentile(values: &mut [f64], share: f64) -> Option<f64> {
    let place = share * values.len().checked_sub(1)? as f64;
    let below = place.floor() as usize;
    let (_, &mut low, above) = values.select_nth_unstable_by(below, f64::total_cmp);
    let high = above.iter().copied().fold(f64::INFINITY, f64::min);
    Some(if high.is_finite() { low + (high - low) * (place - place.floor()) } else { low })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Timestamp;

    #[test]
    fn percentiles_interpolate() {
        assert_eq!(percentile(&mut [], 0.95), None);
        assert_eq!(percentile(&mut [3.0], 0.95), Some(3.0));
        // numpy.percentile([4, 1, 3, 2, 5], 95) is 4.8
        let p95 = percentile(&mut [4.0, 1.0, 3.0, 2.0, 5.0], 0.95).unwrap();
        assert!((p95 - 4.8).abs() < 1e-12);
    }

    fn see(at: i64, cpu: f64, memory: u64, oom: Option<u64>) -> Observation {
        Observation {
            at: Timestamp(at),
            cpu: Some(Cores(cpu)),
            memory: Some(Bytes(memory)),
            oom: oom.map(Bytes),
            may_decide: true,
        }
    }

    #[test]
    fn scans_daily_and_after_a_kill() {
        let mut krr = Krr::new(Floors::OFF);
        let first = krr.step(&see(0, 1.0, 100_000_000, None)).unwrap();
        assert_eq!(first.memory_request, Some(Bytes(115_000_000)));
        assert_eq!(krr.step(&see(300, 9.0, 100_000_000, None)), None);
        let killed = krr.step(&see(600, 9.0, 115_000_000, Some(115_000_000))).unwrap();
        assert_eq!(killed.memory_limit, Some(Bytes(143_750_000)));
        assert_eq!(killed.cpu_request, first.cpu_request, "CPU waits for the daily scan");
        assert!(krr.step(&see(DAY, 9.0, 1, None)).unwrap().cpu_request > first.cpu_request);
    }

    #[test]
    fn forgets_after_14_days() {
        let mut krr = Krr::new(Floors::OFF);
        krr.step(&see(0, 8.0, 1_000_000_000, Some(1_000_000_000)));
        let late = krr.step(&see(15 * DAY, 2.0, 10_000_000, None)).unwrap();
        assert_eq!(late.cpu_request, Some(Cores(2.0)));
        assert_eq!(late.memory_request, Some(Bytes(11_500_000)));
    }
}
