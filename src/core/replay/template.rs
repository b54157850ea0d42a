//! The sizes that people set before anything sized the container: what a pod's template states.
//!
//! Traces rarely say. Requests are those of the trace's table, else the first day's maximum and some room; the memory
//! limit is twice the request. People know their program: what its first day needs is known to them beforehand.

use super::trace::{Allocation, Series};
use crate::policy::ContainerSize;
use crate::units::{Bytes, Cores};

/// A request that people set leaves so much room above the first day's maximum.
const ROOM: f64 = 1.3;
/// A memory limit that people set is so many times the request.
const LIMIT: u64 = 2;
/// Seconds from a resource's first known sample that make its first day.
const DAY: i64 = 86_400;

/// The size that people gave to the container of `series`, of whose requests the trace's table says `given`. A resource
/// that is never seen and of which the table says nothing has no request. No CPU limit.
#[must_use]
pub fn template(series: &Series, given: &Allocation) -> ContainerSize {
    let cpu = given.cpu.or_else(|| {
        let max = first_day_max(series.samples().map(|(at, cpu, _)| (at, cpu)))?;
        Some(Cores(max * ROOM).ceil_milli())
    });
    let memory = given.memory.or_else(|| {
        Some(Bytes::from_f64(first_day_max(series.samples().map(|(at, _, memory)| (at, memory)))? * ROOM))
    });
    ContainerSize {
        cpu_request: cpu,
        cpu_limit: None,
        memory_request: memory,
        memory_limit: memory.map(|request| Bytes(request.0.saturating_mul(LIMIT))),
    }
}

/// The highest of the first day's known values; `None` where none is known.
fn first_day_max(samples: impl Iterator<Item = (i64, f64)>) -> Option<f64> {
    let mut known = samples.filter(|(_, value)| !value.is_nan());
    let (start, first) = known.next()?;
    let day = known.take_while(|(at, _)| at.saturating_sub(start) < DAY);
    Some(day.fold(first, |max, (_, value)| max.max(value)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::units::Timestamp;

    fn series() -> Series {
        let mut series = Series::new("c".to_owned());
        for (hour, memory) in [(0, None), (30, Some(100)), (40, Some(200)), (60, Some(900))] {
            series.push(Timestamp(hour * 3600), Some(Cores(0.5)), memory.map(Bytes));
        }
        series
    }

    #[test]
    fn the_first_day_is_that_of_each_resource() {
        let size = template(&series(), &Allocation::default());
        assert_eq!((size.cpu_request, size.cpu_limit), (Some(Cores(0.65)), None));
        assert_eq!((size.memory_request, size.memory_limit), (Some(Bytes(260)), Some(Bytes(520))));
    }

    #[test]
    fn the_table_wins_and_what_is_never_seen_is_not_set() {
        let given = Allocation { cpu: None, memory: Some(Bytes(1000)) };
        assert_eq!(template(&series(), &given).memory_limit, Some(Bytes(2000)));
        let empty = Series::new("c".to_owned());
        assert_eq!(template(&empty, &Allocation::default()), ContainerSize::default());
    }
}
