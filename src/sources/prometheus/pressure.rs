//! How pods waited for CPU at a time: two or three instant queries about a few pods by name.

use std::collections::BTreeMap;

use super::now::values;
use super::{Prometheus, PrometheusError};

/// A pod's namespace and name.
pub type PodName = (String, String);

/// The share of the time, 0 to 1, in which the worst container of each pod would have used CPU and got none: that of
/// the scheduling periods in which it was throttled, or that in which the kernel saw it wait, whichever is more;
/// between the last two scrapes, so many seconds ago. Pods that Prometheus did not know then are left out.
///
/// # Errors
/// When one of the questions is not answered, or by nothing that makes sense.
pub async fn read(
    prometheus: &Prometheus,
    pods: &[PodName],
    ago: i64,
) -> Result<BTreeMap<PodName, f32>, PrometheusError> {
    let queries = prometheus.queries_of(pods);
    let mut worst = BTreeMap::new();
    for (name, _) in values(prometheus, &queries, &queries.known(ago)).await? {
        worst.insert((name.namespace, name.pod), 0.0_f32);
    }
    worst.retain(|name, _| pods.contains(name));
    for query in [queries.throttled_at(ago), queries.starved_at(ago)] {
        for (name, share) in values(prometheus, &queries, &query).await? {
            if let Some(known) = worst.get_mut(&(name.namespace, name.pod)) {
                *known = known.max(share.clamp(0.0, 1.0) as f32);
            }
        }
    }
    Ok(worst)
}
