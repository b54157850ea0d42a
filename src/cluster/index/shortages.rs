//! OOM kills and evictions for memory, read from a pod's status.

use std::sync::Arc;

use super::facts::{MemoryShortage, Sizes, stable_hash};
use crate::cluster::pods::{LeanContainerStatus, LeanPod, LeanResources, LeanTerminated};
use crate::units::{Bytes, Quantity, Timestamp};

/// One kill or eviction that a pod's status tells of.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Shortage {
    /// Tells this one from every other of the same pod.
    pub(super) key: u64,
    pub(super) container: Arc<str>,
    /// When, where the status says so.
    pub(super) at: Option<Timestamp>,
    pub(super) what: MemoryShortage,
}

/// All that the status tells of. A status keeps a container's current and last end only, and tells of each many times.
pub(super) fn shortages(pod: &LeanPod) -> Vec<Shortage> {
    let mut found = Vec::new();
    let statuses = pod.status.container_statuses.iter().chain(&pod.status.init_container_statuses);
    for status in statuses {
        // What ended before the last start is the container before this one.
        let ends = [(&status.state, 0), (&status.last_state, 1)];
        for (state, before) in ends {
            let Some(end) = state.terminated.as_ref() else { continue };
            if end.reason.as_deref() == Some("OOMKilled") {
                found.push(kill(pod, status, end, before));
            }
        }
    }
    found.extend(evictions(pod));
    found
}

fn kill(pod: &LeanPod, status: &LeanContainerStatus, end: &LeanTerminated, before: i32) -> Shortage {
    // An id is unique; where there is none, the number of the start is.
    let id = end.container_id.as_deref().filter(|id| !id.is_empty());
    let start = if id.is_some() { 0 } else { status.restart_count.saturating_sub(before) };
    let none = LeanResources::default();
    let containers = pod.spec.containers.iter().chain(&pod.spec.init_containers);
    let spec = containers.filter(|c| c.name == status.name).map(|c| &c.resources).next().unwrap_or(&none);
    let own = Sizes::given(spec, &status.resources).limits.memory;
    let limit = own.or_else(|| Sizes::of(&pod.spec.resources).limits.memory);
    let at = |time: &Option<String>| time.as_deref().and_then(timestamp);
    let (began, ended) = (at(&end.started_at), at(&end.finished_at));
    let lived = began.and_then(|began| Some(ended?.seconds_since(began))).filter(|lived| *lived >= 0);
    Shortage {
        key: stable_hash(format!("{}/{}/{start}", status.name, id.unwrap_or_default()).bytes()),
        container: Arc::from(status.name.as_str()),
        at: ended,
        what: MemoryShortage::OomKilled { limit, lived },
    }
}

/// The kubelet's message, since Kubernetes 1.10: "The node was low on resource: memory. Threshold quantity: 100Mi,
/// available: 96152Ki. Container load was using 512Mi, request is 32Mi, has larger consumption of memory."
fn evictions(pod: &LeanPod) -> Vec<Shortage> {
    let message = pod.status.message.as_deref().unwrap_or_default();
    if pod.status.reason.as_deref() != Some("Evicted") || !message.contains("low on resource: memory") {
        return Vec::new();
    }
    let mut named: Vec<_> = message.split("Container ").skip(1).filter_map(parse_usage).collect();
    if let ([], [only]) = (named.as_slice(), pod.spec.containers.as_slice()) {
        named.push((only.name.as_str(), None));
    }
    let evicted = |(container, usage): (&str, Option<Bytes>)| Shortage {
        key: stable_hash(format!("{container}/evicted").bytes()),
        container: Arc::from(container),
        at: None,
        what: MemoryShortage::Evicted { usage },
    };
    // A container that kept to its request is named too where the kubelet lists all; it is not to blame.
    named.into_iter().map(evicted).collect()
}

/// "load was using 512Mi, request is 32Mi, ..." as container and usage.
fn parse_usage(text: &str) -> Option<(&str, Option<Bytes>)> {
    let (container, rest) = text.split_once(" was using ")?;
    let usage = rest.split([',', ' ']).next()?.parse().ok().and_then(Quantity::as_bytes);
    Some((container, usage))
}

/// RFC 3339, as Kubernetes writes times.
pub(super) fn timestamp(text: &str) -> Option<Timestamp> {
    chrono::DateTime::parse_from_rfc3339(text).ok().map(|time| Timestamp(time.timestamp()))
}
