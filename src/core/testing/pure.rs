//! Builders of what the pure rooms compute with: no Kubernetes object, so that both crates compile this file.

use crate::actuate::facts::{Container, Pod, PodId};
use crate::model::{Model, Series};
use crate::policy::ContainerSize;
use crate::units::{Bytes, Cores, Timestamp};

/// The time at which tests run: 2027-01-15T08:00:00Z.
pub const NOW: Timestamp = Timestamp(1_800_000_000);

/// A series of `count` samples of each resource, `step` seconds apart from `start` on.
///
/// # Panics
/// Panics if the series refuses a sample.
#[must_use]
pub fn series(start: Timestamp, step: i64, count: i64, sample: impl Fn(i64) -> (Cores, Bytes)) -> Series {
    let (mut series, model) = (Series::default(), Model::default());
    for number in 0..count {
        let at = start.plus(number * step);
        let (cpu, memory) = sample(number);
        series.add_cpu(at, cpu, 0.0, None, &model).unwrap();
        series.add_memory(at, memory, None, &model).unwrap();
    }
    series
}

/// Requests in millicores and MiB, a memory limit in MiB, and no CPU limit.
#[must_use]
pub fn size(milli: u64, mib: u64, limit_mib: u64) -> ContainerSize {
    ContainerSize {
        cpu_request: Some(Cores::from_milli(milli)),
        cpu_limit: None,
        memory_request: Some(Bytes::from_mib(mib)),
        memory_limit: Some(Bytes::from_mib(limit_mib)),
    }
}

/// A ready pod of one container, `app`: one day old, managed, and running with this size.
#[must_use]
pub fn pod(id: PodId, size: ContainerSize) -> Pod {
    let container = Container { name: "app".into(), given: size, asked: size, ..Container::default() };
    Pod {
        id,
        node: Some("node-1".into()),
        running: true,
        ready: true,
        managed: true,
        stamped: true,
        created: Some(NOW.plus(-86_400)),
        revision: Some("r1".into()),
        containers: vec![container],
        ..Pod::default()
    }
}
