//! Usage of a simulated container: a course for its workload, a share for each pod, and its own age.
//!
//! Nothing here depends on what plumb does, but for heaps that follow their limit.

use super::scene::{Container, Usage};
use super::size::mib;
use crate::replay::generate::chance::Chance;
use crate::replay::generate::shapes::{Course, Shape};
use crate::replay::trace::Series;
use crate::units::Bytes;

/// Seconds of one step of a course.
pub(super) const SLOT: i64 = 300;
/// Seconds in which a container fills its memory after its start.
const FILLS: f64 = 90.0;
/// Slots of a recorded container that are played, at most: a year.
const MOST_SLOTS: usize = 105_120;
/// Share of its memory that it holds from its start on.
const AT_START: f64 = 0.3;

/// Course of all replicas of one container.
#[derive(Clone, Debug)]
pub(super) struct Flow {
    course: Option<Course>,
    chance: Chance,
    /// Shares of busy CPU and of full memory in this slot.
    pub(super) shares: (f64, f64),
    /// The last slot of the burst that goes on.
    burst: i64,
    /// Shares of a recorded container, by slot.
    recorded: Vec<(f64, f64)>,
}

impl Flow {
    /// Starts the course of a container.
    pub(super) fn new(container: &Container, seed: u64, traces: &[Series]) -> Self {
        let mut chance = Chance::new(seed);
        let shape = match container.usage {
            Usage::Daily => Some(Shape::Daily),
            Usage::Batch => Some(Shape::Batch),
            Usage::Spiky => Some(Shape::Spiky),
            Usage::Jvm => Some(Shape::Jvm),
            Usage::Growing => Some(Shape::Growing),
            Usage::Caching => Some(Shape::Caching),
            Usage::Shift => Some(Shape::Shift),
            Usage::Idle => Some(Shape::Idle),
            Usage::Steady | Usage::Leak(_) | Usage::FollowsLimit(_) | Usage::Burst(_) | Usage::Trace(_) => {
                None
            }
        };
        let recorded = match container.usage {
            Usage::Trace(index) => traces.get(index as usize).map(|trace| shares(container, trace)),
            _ => None,
        };
        let course = shape.map(|shape| Course::new(shape, &mut chance));
        Self { course, chance, shares: (1.0, 1.0), burst: -1, recorded: recorded.unwrap_or_default() }
    }

    /// Moves on to the slot that begins `at` so many seconds after the start.
    pub(super) fn advance(&mut self, container: &Container, at: i64) {
        self.shares = match (&mut self.course, container.usage) {
            (Some(course), _) => course.at(at, &mut self.chance),
            (None, Usage::Burst(percent)) => {
                if self.chance.happens(1.0 / 36.0) {
                    self.burst = at;
                }
                if self.burst == at { (1.5, f64::from(percent) / 100.0) } else { (1.0, 1.0) }
            }
            (None, _) => {
                let slot = usize::try_from(at / SLOT).unwrap_or(0);
                let place = slot.checked_rem(self.recorded.len());
                place.and_then(|place| self.recorded.get(place)).copied().unwrap_or((1.0, 1.0))
            }
        };
    }
}

/// A recorded container by slot: its mean CPU and its highest memory; what is unknown is as it was before.
fn shares(container: &Container, trace: &Series) -> Vec<(f64, f64)> {
    let (busy, full) = (container.busy_milli.max(1) as f64 / 1000.0, mib(container.full_mib.max(1)) as f64);
    let mut slots: Vec<(f64, f64)> = Vec::new();
    let (mut last, mut in_slot) = ((1.0, 1.0), 0.0);
    for (at, cpu, memory) in trace.samples() {
        let slot = usize::try_from((at - trace.start().0) / SLOT).unwrap_or(0).min(MOST_SLOTS);
        while slots.len() <= slot {
            slots.push(last);
            in_slot = 0.0;
        }
        let cpu = if cpu.is_nan() { last.0 } else { cpu / busy };
        let memory = if memory.is_nan() { last.1 } else { memory / full };
        if let Some(share) = slots.last_mut() {
            let highest = if in_slot > 0.0 { share.1.max(memory) } else { memory };
            *share = ((share.0 * in_slot + cpu) / (in_slot + 1.0), highest);
            (last, in_slot) = (*share, in_slot + 1.0);
        }
    }
    slots
}

/// Noise of one pod in one slot, from -1 to 1, the same whatever else happens.
pub(super) fn noise(seed: u64, pod: u64, slot: u64) -> f64 {
    let mut z = seed ^ pod.wrapping_mul(0x9e37_79b9_7f4a_7c15) ^ slot.wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    let half = |bits: u64| (bits & 0xffff_ffff) as f64 / f64::from(u32::MAX);
    half(z) + half(z >> 32) - 1.0
}

/// Memory that a container wants at an age, in bytes; `started_with` is the limit in force at its start.
pub(super) fn memory(
    container: &Container,
    share: f64,
    noise: f64,
    age: i64,
    started_with: Option<u64>,
) -> u64 {
    let age = age.max(0) as f64;
    let full = mib(container.full_mib) as f64;
    let filled = AT_START + (1.0 - AT_START) * (age / FILLS).min(1.0);
    let wanted = match container.usage {
        Usage::Leak(per_hour) => full * filled + mib(u64::from(per_hour)) as f64 * age / 3600.0,
        Usage::FollowsLimit(percent) => {
            let heap = started_with.map_or(full, |limit| limit as f64 * f64::from(percent) / 100.0);
            heap * filled
        }
        _ => full * share * filled,
    };
    Bytes::from_f64(wanted * (1.0 + 0.03 * noise)).0
}

/// CPU that a container wants, in thousandths of a core.
pub(super) fn cpu(container: &Container, share: f64, noise: f64, starting: bool) -> f64 {
    let busy = container.busy_milli as f64;
    if starting { busy * 1.5 } else { (busy * share * (1.0 + 0.15 * noise)).max(0.5) }
}
