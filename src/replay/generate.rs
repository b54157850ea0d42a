//! A small fleet made up for `plumb demo`: what clusters hold, from the same seed always the same.
//!
//! Nothing of it was measured anywhere. The requests are of the kind that people write: mostly round and several times
//! too large, sometimes too small.

mod shape;

use super::trace::{Allocation, Allocations, Series};
use crate::units::{Bytes, Cores, MIB, Timestamp};
use shape::{Chance, Shape};

/// 2026-01-05 00:00 UTC, a Monday: so that weekends fall where they should.
const START: i64 = 1_767_571_200;
const DAY: i64 = 86_400;
/// Distance of the samples, in seconds.
pub const STEP: i64 = 300;

/// One made-up workload: its name as a Recommendation's, its shape and size, and what its owner asked for.
struct Workload {
    name: &'static str,
    shape: Shape,
    /// Multiplies the shape's usual CPU and memory.
    scale: (f64, f64),
    /// Requested millicores and mebibytes.
    request: (u64, u64),
}

const fn workload(name: &'static str, shape: Shape, scale: (f64, f64), request: (u64, u64)) -> Workload {
    Workload { name, shape, scale, request }
}

const FLEET: [Workload; 22] = [
    workload("deployment-web", Shape::DailyWeb, (1.0, 1.0), (1000, 1024)),
    workload("deployment-checkout", Shape::DailyWeb, (0.6, 1.4), (1000, 1024)),
    workload("deployment-search", Shape::DailyWeb, (2.5, 4.0), (4000, 2048)),
    workload("deployment-api", Shape::DailyWeb, (1.6, 0.8), (2000, 512)),
    workload("deployment-orders", Shape::Jvm, (1.0, 1.0), (2000, 2048)),
    workload("deployment-billing", Shape::Jvm, (0.5, 0.8), (1000, 2048)),
    workload("deployment-invoices", Shape::Jvm, (0.7, 1.3), (1000, 896)),
    workload("cronjob-report", Shape::NightlyBatch, (1.0, 1.0), (2000, 2048)),
    workload("cronjob-backup", Shape::NightlyBatch, (0.4, 0.5), (1000, 1024)),
    workload("deployment-thumbnails", Shape::Spiky, (1.0, 1.0), (1000, 512)),
    workload("deployment-webhooks", Shape::Spiky, (0.4, 0.6), (500, 256)),
    workload("deployment-mailer", Shape::Spiky, (0.3, 0.5), (500, 128)),
    workload("deployment-leak", Shape::Leaking, (1.0, 1.0), (250, 512)),
    workload("deployment-sync", Shape::Leaking, (0.5, 0.5), (250, 1024)),
    workload("daemonset-agent", Shape::Idle, (1.0, 1.0), (100, 128)),
    workload("deployment-admin", Shape::Idle, (0.5, 2.0), (250, 256)),
    workload("deployment-docs", Shape::Idle, (0.4, 1.2), (100, 128)),
    workload("deployment-signup", Shape::Growing, (1.0, 1.0), (1000, 1024)),
    workload("statefulset-metrics", Shape::Growing, (0.7, 2.0), (1000, 2048)),
    workload("deployment-worker", Shape::Restarting, (1.0, 1.0), (500, 1024)),
    workload("statefulset-cache", Shape::Cache, (1.0, 1.0), (1000, 4096)),
    workload("deployment-pricing", Shape::LevelShift, (1.0, 1.0), (1000, 512)),
];

/// Usage of the made-up fleet over `days` days, and what its owners had asked for.
#[must_use]
pub fn fleet(seed: u64, days: u32) -> (Vec<Series>, Allocations) {
    let mut series = Vec::with_capacity(FLEET.len());
    let mut given = Allocations::new();
    for (workload, index) in FLEET.iter().zip(0..) {
        series.push(usage(workload, Chance::new(seed, index), days));
        let (milli, mib) = workload.request;
        let allocation =
            Allocation { cpu: Some(Cores::from_milli(milli)), memory: Some(Bytes::from_mib(mib)) };
        given.insert(workload.name.to_owned(), allocation);
    }
    (series, given)
}

fn usage(workload: &Workload, mut chance: Chance, days: u32) -> Series {
    let mut series = Series::new(workload.name.to_owned());
    let mut course = workload.shape.begin(&mut chance);
    for step in 0..i64::from(days) * (DAY / STEP) {
        let seconds = step * STEP;
        let (cpu, mib) = course.next(seconds, &mut chance);
        let cpu = Cores((cpu * workload.scale.0).max(0.0005));
        // In pages of 4 KiB, as a kernel counts.
        let pages = (mib * workload.scale.1).max(1.0) * MIB as f64 / 4096.0;
        let memory = Bytes::from_f64(pages.round() * 4096.0);
        series.push(Timestamp(START + seconds), Some(cpu), Some(memory));
    }
    series
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_same_seed_makes_the_same_fleet() {
        assert_eq!(fleet(1, 3), fleet(1, 3));
        assert_ne!(fleet(1, 3), fleet(2, 3));
    }

    #[test]
    fn a_longer_fleet_begins_as_a_shorter_one() {
        let (short, _) = fleet(7, 2);
        let (long, _) = fleet(7, 4);
        for (short, long) in short.iter().zip(&long) {
            assert_eq!(short, &long.until(Timestamp(START + 2 * DAY - 1)));
        }
    }

    #[test]
    fn usage_is_of_a_size_that_containers_have() {
        let (series, given) = fleet(1, 14);
        assert_eq!((series.len(), given.len()), (FLEET.len(), FLEET.len()));
        for series in series {
            assert_eq!(series.len(), 14 * 288);
            for (_, cpu, memory) in series.samples() {
                assert!((0.0005..8.0).contains(&cpu), "{}: {cpu} cores", series.id);
                assert!((1e6..8e9).contains(&memory), "{}: {memory} bytes", series.id);
            }
        }
    }

    #[test]
    fn some_owners_ask_for_too_little_and_most_for_too_much() {
        let (series, given) = fleet(1, 14);
        let max = |values: &[f64]| values.iter().copied().fold(0.0, f64::max);
        let short = series.iter().filter(|s| max(s.memory()) > given[&s.id].memory.unwrap().as_f64()).count();
        let ample = series.iter().filter(|s| max(s.cpu()) * 1.5 < given[&s.id].cpu.unwrap().0).count();
        assert!((2..=8).contains(&short) && ample >= 8, "{short} too small, {ample} ample");
    }
}
