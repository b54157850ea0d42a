//! One container series: all replicas of one container of one workload, pooled, across rollouts.

#[cfg(test)]
mod tests;

use super::bounds::Confidence;
use super::demand::Demand;
use super::startup::{STARTUP_SECONDS, Startup};
use super::tail::{Kill, Tail};
use super::tuning::Model;
use crate::units::{Bytes, Cores, MIB, Timestamp};

/// CPU above this is absurd, in cores.
const MOST_CORES: f64 = 100_000.0;
/// Memory above this is absurd, in mebibytes: 1 PiB.
const MOST_MIB: f64 = (1_u64 << 30) as f64;
/// A throttled sample is lifted to at most this many times what was measured.
const MOST_LIFT: f32 = 2.0;
/// What is hoped to run after an OOM kill, times the limit that was hit.
const BUMP: f32 = 1.5;
/// The same by at least this much, in mebibytes.
const LEAST_BUMP: f32 = 16.0;
/// A container that ran for this many seconds was measured many times.
const SETTLED_SECONDS: i64 = 600;

/// Why a sample was not taken in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refused {
    /// Not a number, infinite or negative.
    NotAnAmount,
    /// Larger than any machine.
    Absurd,
    /// Older than what the half-life leaves of it.
    TooOld,
    /// More than the container's limit or its node can give: a counter that went back, or a source's error.
    Impossible,
}

impl Refused {
    /// The reason as metrics and logs name it.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::NotAnAmount => "not an amount",
            Self::Absurd => "absurd",
            Self::TooOld => "too old",
            Self::Impossible => "more than limit or node can give",
        }
    }
}

/// The history of one container series, as far as its needs depend on it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Series {
    pub(crate) cpu: Demand,
    pub(crate) memory: Demand,
    pub(crate) tail: Tail,
    pub(crate) startup: Startup,
    /// Samples taken in, of both resources; saturates.
    pub(crate) samples: u32,
    /// Samples refused; saturates.
    pub(crate) refused: u32,
    /// CPU samples taken while throttled; saturates.
    pub(crate) throttled: u32,
    /// The newest sample of any replica, in seconds, while its five minutes are not over; 0 before the first.
    pub(crate) seen: i64,
}

/// A limit in mebibytes, as far as it is believed.
fn mib_of(limit: Bytes) -> f32 {
    (limit.as_f64() / MIB as f64).min(MOST_MIB) as f32
}

/// Whether a container ran for so long that its samples tell what it used.
fn is_settled(lived: Option<i64>) -> bool {
    lived.is_some_and(|lived| lived >= SETTLED_SECONDS)
}

/// CPU that would have run unthrottled, where it was throttled for a share (0..=1) of the time: at most twice what was
/// measured.
pub(super) fn lifted(value: f32, throttled: f32) -> f32 {
    if throttled > 0.0 { value * (1.0 / (1.0 - throttled.min(1.0)).max(1.0 / MOST_LIFT)) } else { value }
}

impl Series {
    /// Takes in CPU of one replica over about five minutes that ended at `at`; [`observe`](Self::observe) makes such means
    /// of shorter windows. `throttled` is the share (0..=1) of the window's
    /// scheduling periods in which it was throttled at its limit: such a sample is a lower bound of the demand, and
    /// counts as what would have run unthrottled, but at most twice what was measured. `age` is the time since the
    /// container started, in seconds, where known: start-up is kept apart.
    ///
    /// # Errors
    /// The sample is refused, and counted, where it cannot be.
    pub fn add_cpu(
        &mut self,
        at: Timestamp,
        cpu: Cores,
        throttled: f32,
        age: Option<i64>,
        model: &Model,
    ) -> Result<(), Refused> {
        let value = self.check_cpu(at, cpu, false, model)?;
        if age.is_some_and(|age| age < STARTUP_SECONDS) {
            self.startup.add_cpu(value);
            return Ok(());
        }
        self.throttled = self.throttled.saturating_add(u32::from(throttled > 0.0));
        self.samples = self.samples.saturating_add(1);
        self.cpu.add(lifted(value, throttled), at.0, &model.cpu);
        Ok(())
    }

    /// Takes in the highest memory working set of one replica in about five minutes that ended at `at`; `age` as for [`add_cpu`](Self::add_cpu). In start-up
    /// only the tail learns: it must hold then too.
    ///
    /// # Errors
    /// The sample is refused, and counted, where it cannot be.
    pub fn add_memory(
        &mut self,
        at: Timestamp,
        memory: Bytes,
        age: Option<i64>,
        model: &Model,
    ) -> Result<(), Refused> {
        let value = self.check_memory(at, memory, false, model)?;
        self.tail.add(value, at.0, model.peak_half_life);
        if age.is_some_and(|age| age < STARTUP_SECONDS) {
            self.startup.add_memory(value);
            return Ok(());
        }
        self.samples = self.samples.saturating_add(1);
        self.memory.add(value, at.0, &model.memory);
        Ok(())
    }

    /// Takes in an OOM kill at `limit`, whether or not samples exist. `kill` names it (of container id and restart
    /// count): the same one counts once. Returns whether it was new.
    pub fn add_oom(&mut self, at: Timestamp, limit: Bytes, kill: u64, model: &Model) -> bool {
        self.add_oom_after(at, limit, kill, None, model)
    }

    /// The same of a container that had run for `lived` seconds. Of one that ran for long its samples tell what it used:
    /// killed at a limit far above, its node had no more, and the kill teaches no larger limit.
    pub fn add_oom_after(
        &mut self,
        at: Timestamp,
        limit: Bytes,
        kill: u64,
        lived: Option<i64>,
        model: &Model,
    ) -> bool {
        let id = ((kill ^ (kill >> 32)) as u32).max(1);
        let mib = mib_of(limit);
        let bump = BUMP.max(1.0 + LEAST_BUMP / mib.max(1.0));
        let kill = Kill { id, limit: mib, bump, settled: is_settled(lived) };
        self.tail.kill(&kill, at.0, model.peak_half_life)
    }

    /// Whether an OOM kill would teach no larger limit.
    #[must_use]
    pub fn is_of_node(&self, limit: Bytes, lived: Option<i64>) -> bool {
        self.tail.is_of_node(mib_of(limit), is_settled(lived))
    }

    /// Checks CPU, in cores. `forbidden`: neither limit nor node can have given it.
    pub(super) fn check_cpu(
        &mut self,
        at: Timestamp,
        cpu: Cores,
        forbidden: bool,
        model: &Model,
    ) -> Result<f32, Refused> {
        let value = self.checked(cpu.0, MOST_CORES, at, self.cpu.last, model.cpu.half_life)?;
        if forbidden { Err(self.refuse_impossible()) } else { Ok(value) }
    }

    /// Checks memory, in mebibytes, likewise.
    pub(super) fn check_memory(
        &mut self,
        at: Timestamp,
        memory: Bytes,
        forbidden: bool,
        model: &Model,
    ) -> Result<f32, Refused> {
        let mib = memory.as_f64() / MIB as f64;
        let value = self.checked(mib, MOST_MIB, at, self.memory.last, model.memory.half_life)?;
        if forbidden { Err(self.refuse_impossible()) } else { Ok(value) }
    }

    #[cold]
    fn refuse_impossible(&mut self) -> Refused {
        self.refused = self.refused.saturating_add(1);
        Refused::Impossible
    }

    /// Takes in usage of a start-up, in cores and mebibytes.
    pub(super) fn start_up(&mut self, cpu: Option<f32>, memory: Option<f32>) {
        cpu.into_iter().for_each(|cpu| self.startup.add_cpu(cpu));
        memory.into_iter().for_each(|memory| self.startup.add_memory(memory));
    }

    /// Checks an amount and turns it into the working type.
    fn checked(
        &mut self,
        value: f64,
        most: f64,
        at: Timestamp,
        last: i64,
        half_life: i64,
    ) -> Result<f32, Refused> {
        let in_time = at.0 >= last || last.saturating_sub(at.0) <= half_life;
        if in_time && (0.0..=most).contains(&value) {
            return Ok(value as f32);
        }
        Err(self.refuse(value, most))
    }

    /// Counts an amount that is not taken in, and says why.
    #[cold]
    fn refuse(&mut self, value: f64, most: f64) -> Refused {
        self.refused = self.refused.saturating_add(1);
        if !value.is_finite() || value < 0.0 {
            Refused::NotAnAmount
        } else if value > most {
            Refused::Absurd
        } else {
            Refused::TooOld
        }
    }

    /// The newest sample, also of five minutes that are not over; `None` before the first.
    #[must_use]
    pub fn newest(&self) -> Option<Timestamp> {
        let seen = if self.seen > 0 { Some(Timestamp(self.seen)) } else { None };
        self.learned_to().max(seen)
    }

    /// The newest sample or OOM kill, where it is not known better to the end of its six hours: what is not a full five
    /// minutes yet is known of the memory's tail alone after a restart. `None` before the first.
    pub(crate) fn heard_of(&self) -> Option<Timestamp> {
        let slot = self.tail.slot;
        let tail = (slot > 0).then(|| Timestamp(slot.saturating_add(1).saturating_mul(super::tail::SLOT)));
        self.newest().max(tail)
    }

    /// The end of the newest five minutes that it has learned from; `None` before the first.
    #[must_use]
    pub fn learned_to(&self) -> Option<Timestamp> {
        let newest = self.cpu.last.max(self.memory.last);
        (newest != i64::MIN).then_some(Timestamp(newest))
    }

    /// How much history stands behind the estimate: of the resource that has more.
    #[must_use]
    pub fn confidence(&self) -> Confidence {
        Confidence::of(self.hours(), self.samples)
    }

    /// Hours of history, gaps not counted.
    #[must_use]
    pub fn hours(&self) -> f32 {
        self.cpu.hours.max(self.memory.hours)
    }

    /// Samples taken in, of both resources, start-up not counted.
    #[must_use]
    pub fn samples(&self) -> u32 {
        self.samples
    }

    /// Samples refused.
    #[must_use]
    pub fn refused(&self) -> u32 {
        self.refused
    }

    /// CPU samples taken while throttled.
    #[must_use]
    pub fn throttled(&self) -> u32 {
        self.throttled
    }

    /// OOM kills taken in, ever.
    #[must_use]
    pub fn kills(&self) -> u32 {
        self.tail.kills.as_ref().map_or(0, |kills| kills.count)
    }

    /// What start-ups used.
    #[must_use]
    pub fn startup(&self) -> &Startup {
        &self.startup
    }

    /// The tail of the memory.
    #[must_use]
    pub fn tail(&self) -> &Tail {
        &self.tail
    }

    /// The need for CPU: histogram and recent maxima.
    #[must_use]
    pub fn cpu(&self) -> &Demand {
        &self.cpu
    }

    /// The need for memory: histogram and recent maxima.
    #[must_use]
    pub fn memory(&self) -> &Demand {
        &self.memory
    }

    /// Bytes that the series takes, heap included.
    #[must_use]
    pub fn size_bytes(&self) -> usize {
        let kills = self.tail.kills.as_ref().map_or(0, |kills| size_of_val(&**kills));
        size_of::<Self>() + self.cpu.histogram.heap_bytes() + self.memory.histogram.heap_bytes() + kills
    }
}
