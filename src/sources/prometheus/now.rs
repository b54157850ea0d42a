//! What containers use now, by their newest scrapes: one instant query for each figure, over all containers at once.
//!
//! The questions are asked at the server's own time: a clock that is wrong here does not ask for another past.

use std::collections::BTreeMap;

use super::{Prometheus, PrometheusError, Queries};
use crate::sources::{ContainerName, Sample};
use crate::units::{Bytes, Cores, Timestamp};

/// One reading. CPU is that between the last two scrapes.
#[derive(Clone, Debug, Default)]
pub struct Usage {
    /// By container, in the order of their names.
    pub containers: BTreeMap<ContainerName, Sample>,
    /// OOM kills that each container's cgroup counts, where there were any.
    pub oom_kills: BTreeMap<ContainerName, u32>,
}

/// Reads what all containers use now.
///
/// # Errors
/// When one of the questions is not answered, or by nothing that makes sense.
pub async fn read(prometheus: &Prometheus, queries: &Queries) -> Result<Usage, PrometheusError> {
    let mut usage = Usage::default();
    let bare = |at| Sample { at, window: None, cpu: None, memory: None, stalled: None, memory_stalled: 0.0 };
    for (name, at) in values(prometheus, queries, &queries.scraped_at()).await? {
        #[expect(clippy::cast_possible_truncation, reason = "a time in seconds; the cast saturates")]
        usage.containers.insert(name, bare(Timestamp(at as i64)));
    }
    let mut put = |list: Vec<(ContainerName, f64)>, set: fn(&mut Sample, f64)| {
        for (name, value) in list {
            if let Some(sample) = usage.containers.get_mut(&name) {
                set(sample, value);
            }
        }
    };
    put(values(prometheus, queries, &queries.cpu_now()).await?, |sample, v| sample.cpu = Some(Cores(v)));
    put(values(prometheus, queries, &queries.memory(0)).await?, |sample, v| {
        sample.memory = Some(Bytes::from_f64(v));
    });
    for query in [queries.throttled_at(0), queries.starved_at(0)] {
        put(values(prometheus, queries, &query).await?, |sample, v| {
            sample.stalled = Some(sample.stalled.unwrap_or(0.0).max(v.clamp(0.0, 1.0) as f32));
        });
    }
    put(values(prometheus, queries, &queries.memory_starved_at(0)).await?, |sample, v| {
        sample.memory_stalled = v.clamp(0.0, 1.0) as f32;
    });
    for (name, count) in values(prometheus, queries, &queries.oom_total()).await? {
        #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
        usage.oom_kills.insert(name, count as u32);
    }
    Ok(usage)
}

/// The values that are no less than 0, by container.
pub(super) async fn values(
    prometheus: &Prometheus,
    queries: &Queries,
    query: &str,
) -> Result<Vec<(ContainerName, f64)>, PrometheusError> {
    let answer = prometheus.now(query).await?;
    let named = answer.into_iter().filter_map(|series| {
        let value = series.points().next().map(|(_, value)| value).filter(|value| *value >= 0.0)?;
        Some((series.container(&queries.usage)?, value))
    });
    Ok(named.collect())
}
