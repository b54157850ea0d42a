//! A small fleet made from a seed: the kinds of containers that clusters hold, with requests as people write them.
//!
//! For a first look without a cluster. The same seed and length give the same samples; nothing else enters.

pub(in crate::replay) mod chance;
mod fleet;
pub(in crate::replay) mod shapes;
#[cfg(test)]
mod tests;

use chance::Chance;
use shapes::Shape;

use super::trace::{Allocation, Allocations, Series};
use crate::units::{Bytes, Cores, MIB, Timestamp};

/// Monday, 1 June 2026, midnight UTC: a fixed start, as traces have weekdays but this room has no clock.
pub const START: Timestamp = Timestamp(1_780_272_000);
/// Seconds between two samples.
pub const STEP: i64 = 300;
/// The most days that are made.
pub const MAX_DAYS: u32 = 90;
const DAY: i64 = 86_400;
/// Traces are rounded so: 0.1 millicores and 64 KiB.
const CPU_GRAIN: f64 = 1e-4;
const MEMORY_GRAIN: f64 = 65_536.0;

/// What one container of the fleet is made from.
#[derive(Clone, Copy, Debug)]
struct Spec {
    name: &'static str,
    shape: Shape,
    /// Cores when it is busy.
    cpu: f64,
    /// Mebibytes when it is full.
    memory: f64,
    /// The request that its owner wrote: millicores and mebibytes.
    request: (u64, u64),
}

/// `days` of the fleet, at most [`MAX_DAYS`], a sample each 5 minutes; and what each container was given by its owner.
#[must_use]
pub fn fleet(seed: u64, days: u32) -> (Vec<Series>, Allocations) {
    let made = (0_u64..).zip(&fleet::SPECS).map(|(place, spec)| {
        // Each container has chances of its own, so that adding one leaves the others as they are.
        let mut chance = Chance::new(seed ^ place.wrapping_mul(0x2545_f491_4f6c_dd1d));
        container(spec, days.min(MAX_DAYS), &mut chance)
    });
    let given = fleet::SPECS.iter().map(|spec| (spec.name.to_owned(), allocation(spec)));
    (made.collect(), given.collect())
}

fn allocation(spec: &Spec) -> Allocation {
    let (milli, mib) = spec.request;
    Allocation { cpu: Some(Cores::from_milli(milli)), memory: Some(Bytes::from_mib(mib)) }
}

fn container(spec: &Spec, days: u32, chance: &mut Chance) -> Series {
    let mut series = Series::new(spec.name.to_owned());
    // No two clusters are alike: sizes vary a little with the seed.
    let (cpu, memory) = (spec.cpu * chance.between(0.92, 1.08), spec.memory * chance.between(0.96, 1.04));
    let mut course = shapes::Course::new(spec.shape, chance);
    for place in 0..i64::from(days) * DAY / STEP {
        let (cpu_share, memory_share) = course.at(place * STEP, chance);
        series.push(
            START.plus(place * STEP),
            Some(Cores(grain(cpu * cpu_share, CPU_GRAIN))),
            Some(Bytes::from_f64(grain(memory * memory_share * MIB as f64, MEMORY_GRAIN))),
        );
    }
    series
}

/// Rounded to a whole number of grains, at least one.
fn grain(value: f64, grain: f64) -> f64 {
    (value / grain).round().max(1.0) * grain
}
