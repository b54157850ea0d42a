//! Usage of one replica within the five minutes under way, so that each source of samples teaches the same.
//!
//! CPU enters a series as the mean of each five minutes on the clock, memory as the highest working set in them,
//! whatever window the source measures over. The prices were tuned on such samples (docs/decisions/0011-one-need.md). A
//! source that gives means of about five minutes anyway passes through.

#[cfg(test)]
mod tests;

use super::demand::INTERVAL;
use super::number;
use super::series::{Refused, Series};
use super::startup::STARTUP_SECONDS;
use super::tuning::Model;
use crate::units::{Bytes, Cores, MIB, Timestamp};

/// A sample stands for at most this many seconds before it: two scrapes at the usual interval of a minute, and some.
const LONGEST_STAND: i64 = 150;
/// Seconds that the first sample of a container stands for, where its window is not known.
const USUAL_WINDOW: i64 = 30;
/// A window of at least this many seconds is as good as five minutes.
const LONG_WINDOW: i64 = 200;
/// The longest window that is believed, in seconds.
const LONGEST_WINDOW: i64 = 3600;
/// Less than this many seconds of five minutes are no mean of them: they count with the next five minutes.
const LEAST_COVERED: f32 = 150.0;
/// The same of a replica that is gone and whose series knows nothing else, in hours of history.
const YOUNG_HOURS: f32 = 1.0;
/// How far above its limit or its node a sample may lie, as windows and clocks are not exact.
const SLACK: f64 = 1.5;
/// The same for the smallest limits: the scheduler's slices are longer than their quota.
const SLACK_CORES: f64 = 0.1;
/// A share of the CPU limit from which on usage may be held down by it.
const AT_LIMIT: f64 = 0.95;
/// The share of a window that usage at its CPU limit is taken to have been throttled for, where nobody knows: by how many
/// times five minutes before were so too. First so little that a need just above steady usage comes to rest, instead of
/// chasing a limit that follows it; then more, up to half as much again as was used.
const STALL_AT_LIMIT: [f32; 4] = [0.06, 0.12, 0.22, 0.34];

/// One sample of one replica, as a source tells it.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Usage {
    /// The end of the window of its CPU.
    pub at: Timestamp,
    /// Seconds of that window, where the source says so.
    pub window: Option<i64>,
    /// CPU, averaged over the window.
    pub cpu: Option<Cores>,
    /// Working set of the memory at the end of the window.
    pub memory: Option<Bytes>,
    /// The share of the window, 0 to 1, in which it would have used CPU and got none; `None` where the source does not
    /// know.
    pub stalled: Option<f32>,
    /// The share of the window, 0 to 1, in which it waited for memory; 0 where the source does not know.
    pub memory_stalled: f32,
    /// Seconds since the container started, where start-up is kept apart.
    pub age: Option<i64>,
    /// What its limits and its node can give.
    pub most: Most,
}

/// What a container can have at most; `None` where that is not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Most {
    /// Its CPU limit.
    pub cpu_limit: Option<Cores>,
    /// Its memory limit.
    pub memory_limit: Option<Bytes>,
    /// CPU of its node.
    pub node_cpu: Option<Cores>,
    /// Memory of its node.
    pub node_memory: Option<Bytes>,
}

/// The part of the five minutes under way that is known of one replica.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Replica {
    /// End of the newest sample; `i64::MIN` before the first.
    at: i64,
    /// Mean of the CPU that would have been used unthrottled, in cores.
    mean: f32,
    /// Seconds that it is known of.
    covered: f32,
    /// The highest working set, in mebibytes; 0 before the first.
    peak: f32,
    /// Some of the CPU was held down.
    stalled: bool,
    /// Some of it lay at the limit.
    at_limit: bool,
    /// How many times five minutes before this did so too, without a break.
    held: u8,
}

impl Default for Replica {
    fn default() -> Self {
        Self { at: i64::MIN, mean: 0.0, covered: 0.0, peak: 0.0, stalled: false, at_limit: false, held: 0 }
    }
}

/// Verdicts on the two halves of a sample; `None` where it had none.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Observed {
    /// On its CPU.
    pub cpu: Option<Result<(), Refused>>,
    /// On its memory.
    pub memory: Option<Result<(), Refused>>,
}

impl Most {
    /// Whether that much CPU cannot have been used.
    fn forbids_cpu(&self, cpu: Cores) -> bool {
        let above = |most: Cores, slack: f64| cpu.0 > most.0 * SLACK + slack;
        self.cpu_limit.is_some_and(|limit| above(limit, SLACK_CORES))
            || self.node_cpu.is_some_and(|node| above(node, 0.0))
    }

    /// Whether that much memory cannot have been used.
    fn forbids_memory(&self, memory: Bytes) -> bool {
        self.node_memory.is_some_and(|node| memory.as_f64() > node.as_f64() * SLACK)
    }

    /// Whether usage lies so near to the CPU limit that the limit may hold it down.
    fn is_at_limit(&self, cpu: Cores) -> bool {
        self.cpu_limit.is_some_and(|limit| limit.0 > 0.0 && cpu.0 >= limit.0 * AT_LIMIT)
    }
}

/// The end of the five minutes that a time lies in; a time on the boundary ends those before it.
fn end_of(at: i64) -> i64 {
    at.saturating_add(INTERVAL - 1).div_euclid(INTERVAL).saturating_mul(INTERVAL)
}

impl Replica {
    /// Whether something is known that has not been told to the series.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.covered > 0.0 || self.peak > 0.0
    }

    /// End of the newest sample; `None` before the first.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        (self.at != i64::MIN).then_some(Timestamp(self.at))
    }

    /// Since when a sample's CPU stands: the sample before it, or its own window where that is unknown or long ago.
    fn since(&self, at: i64, window: Option<i64>) -> i64 {
        if let Some(window) = window.filter(|window| *window >= LONG_WINDOW) {
            return at.saturating_sub(window.min(LONGEST_WINDOW)).max(self.at).min(at);
        }
        let near = self.at != i64::MIN && at.saturating_sub(self.at) <= LONGEST_STAND;
        let own = at.saturating_sub(window.unwrap_or(USUAL_WINDOW).clamp(1, LONGEST_STAND));
        if near { self.at.min(at) } else { own }
    }

    /// The share of a sample's window that it is taken to have been throttled for, where its source does not know.
    fn stall_at_limit(&mut self, usage: &Usage) -> f32 {
        if !usage.cpu.is_some_and(|cpu| usage.most.is_at_limit(cpu)) {
            return 0.0;
        }
        self.at_limit = true;
        let before = usize::from(self.held).min(STALL_AT_LIMIT.len() - 1);
        STALL_AT_LIMIT.get(before).copied().unwrap_or_default()
    }

    fn count(&mut self, cpu: f32, seconds: i64) {
        if seconds > 0 {
            let seconds = number::float(seconds);
            self.covered += seconds;
            self.mean += (cpu - self.mean) * (seconds / self.covered);
        }
    }

    /// Counts a mean of five minutes as theirs.
    fn fill(&mut self, cpu: f32) {
        (self.mean, self.covered) = (cpu, INTERVAL as f32);
    }
}

/// The CPU of one sample, checked.
#[derive(Clone, Copy)]
struct Cpu {
    /// What would have run unthrottled, in cores.
    demanded: f32,
    /// Since when it stands.
    since: i64,
    /// It is a mean of about five minutes.
    long: bool,
}

impl Series {
    /// Takes in one sample of one replica. The series learns from it when its five minutes are over; of the memory the
    /// tail learns at once, and growth of either need does not wait. Samples of one replica come in the order of time; one
    /// that is older than the newest counts for its memory only.
    pub fn observe(&mut self, replica: &mut Replica, usage: &Usage, model: &Model) -> Observed {
        let at = usage.at;
        let cpu = usage.cpu.map(|cpu| {
            let forbidden = usage.most.forbids_cpu(cpu);
            self.check_cpu(at, cpu, forbidden, model)
        });
        let memory = usage.memory.map(|memory| {
            let forbidden = usage.most.forbids_memory(memory);
            self.check_memory(at, memory, forbidden, model)
        });
        let observed = Observed { cpu: cpu.map(|v| v.map(drop)), memory: memory.map(|v| v.map(drop)) };
        let (cpu, memory) = (cpu.and_then(Result::ok), memory.and_then(Result::ok));
        if cpu.is_none() && memory.is_none() {
            return observed;
        }
        self.seen = self.seen.max(at.0);
        if let Some(memory) = memory {
            self.reach(memory, usage, model);
        }
        let end = end_of(at.0);
        // All of these five minutes, or of a longer window, if they began with it.
        let long = usage.window.map_or(0, |window| window.clamp(0, LONGEST_WINDOW));
        let starting = |age: i64| age.saturating_sub(long.max(at.0 - (end - INTERVAL))) < STARTUP_SECONDS;
        if usage.age.is_some_and(starting) {
            self.start_up(cpu, memory);
            replica.at = replica.at.max(at.0);
            return observed;
        }
        let count = u32::from(cpu.is_some()) + u32::from(memory.is_some());
        self.samples = self.samples.saturating_add(count);
        let cpu = cpu.map(|value| self.weigh(replica, value, usage));
        self.place(replica, cpu, memory, at.0, model);
        observed
    }

    /// Lets the tail learn of a working set.
    fn reach(&mut self, memory: f32, usage: &Usage, model: &Model) {
        self.tail.add(memory, usage.at.0, model.peak_half_life);
        if let Some(limit) = usage.most.memory_limit.filter(|limit| limit.0 > 0) {
            self.tail.ride(memory, limit.as_f64() as f32 / MIB as f32, usage.memory_stalled);
        }
    }

    fn weigh(&mut self, replica: &mut Replica, value: f32, usage: &Usage) -> Cpu {
        let stalled = usage.stalled.unwrap_or_else(|| replica.stall_at_limit(usage));
        if stalled > 0.0 {
            self.throttled = self.throttled.saturating_add(u32::from(!replica.stalled));
            replica.stalled = true;
        }
        let long = usage.window.is_some_and(|window| window >= LONG_WINDOW);
        let since = replica.since(usage.at.0, usage.window);
        Cpu { demanded: super::series::lifted(value, stalled), since, long }
    }

    /// Puts a sample into its five minutes, and closes those that are over.
    fn place(
        &mut self,
        replica: &mut Replica,
        cpu: Option<Cpu>,
        memory: Option<f32>,
        at: i64,
        model: &Model,
    ) {
        let end = end_of(at);
        let mut since = cpu.map_or(at, |cpu| cpu.since);
        let begin = end_of(since.saturating_add(1)).min(end);
        let mut slot = if replica.is_open() { end_of(replica.at).min(begin) } else { begin };
        while slot < end {
            if let Some(cpu) = cpu.filter(|_| slot >= begin) {
                if cpu.long && replica.covered < LEAST_COVERED {
                    replica.fill(cpu.demanded);
                } else if !cpu.long {
                    replica.count(cpu.demanded, slot - since);
                }
                since = slot;
            }
            self.close(replica, slot, LEAST_COVERED, model);
            slot = slot.saturating_add(INTERVAL).max(begin);
        }
        match cpu {
            Some(cpu) if cpu.long => replica.fill(cpu.demanded),
            Some(cpu) => replica.count(cpu.demanded, at - since),
            None => {}
        }
        replica.peak = replica.peak.max(memory.unwrap_or(0.0));
        replica.at = replica.at.max(at);
        if at == end {
            return self.close(replica, end, LEAST_COVERED, model);
        }
        if let Some(cpu) = cpu.filter(|_| replica.covered > 0.0) {
            // A mean that moves on with each sample bounds nothing.
            let rest = number::float(end - at);
            let least =
                if cpu.long { 0.0 } else { replica.mean * replica.covered / (replica.covered + rest) };
            self.cpu.foretell(end, least, replica.mean);
        }
        if replica.peak > 0.0 {
            self.memory.foretell(end, replica.peak, replica.peak);
        }
    }

    /// Tells the series what is known of the five minutes that end at `end`. CPU of less than `least` seconds waits.
    fn close(&mut self, replica: &mut Replica, end: i64, least: f32, model: &Model) {
        if replica.covered > 0.0 && replica.covered >= least {
            self.cpu.add(replica.mean, end, &model.cpu);
            let held = if replica.at_limit { replica.held.saturating_add(1) } else { 0 };
            *replica = Replica { held, at: replica.at, peak: replica.peak, ..Replica::default() };
        }
        if replica.peak > 0.0 {
            self.memory.add(replica.peak, end, &model.memory);
            replica.peak = 0.0;
        }
    }

    /// Tells the series what is left of a replica that says no more. Less than half of five minutes is no mean of them,
    /// but where it `ends` soon anyway, as Jobs do, or nothing else is known.
    pub fn finish(&mut self, replica: &mut Replica, ends: bool, model: &Model) {
        if replica.is_open() {
            let least = if ends || self.hours() < YOUNG_HOURS { 0.0 } else { LEAST_COVERED };
            self.close(replica, end_of(replica.at), least, model);
        }
        *replica = Replica { at: replica.at, ..Replica::default() };
    }
}
