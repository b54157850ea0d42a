//! ResourceQuota: what a namespace has left for growth.

use super::bound::{Amounts, Bound, Explained, lower_request};
use super::pod_total::request;
use super::reason::Resource;
use super::recommend::ContainerSize;
use crate::units::Bytes;

/// Lowers the growth of a pod's containers, in the same proportion, to what the quota leaves when all replicas grow
/// alike. What shrinks makes room for what grows.
pub fn quota(pod: &mut [(&ContainerSize, &mut Explained)], replicas: u32, left: &Amounts) {
    let replicas = f64::from(replicas.max(1));
    if let Some(left) = left.cpu {
        fit(pod, Resource::Cpu, left.0 / replicas);
    }
    if let Some(left) = left.memory {
        fit(pod, Resource::Memory, left.as_f64() / replicas);
    }
}

fn fit(pod: &mut [(&ContainerSize, &mut Explained)], resource: Resource, left: f64) {
    let now = |current: &ContainerSize| match resource {
        Resource::Cpu => current.cpu_request.map_or(0.0, |cpu| cpu.0),
        _ => current.memory_request.map_or(0.0, Bytes::as_f64),
    };
    let (mut growth, mut shrink) = (0.0, 0.0);
    for (current, found) in pod.iter() {
        let change = request(found, resource).map_or(0.0, |wanted| wanted - now(current));
        growth += change.max(0.0);
        shrink += (-change).max(0.0);
    }
    if growth <= left + shrink || growth <= 0.0 {
        return;
    }
    let share = (left + shrink) / growth;
    for (current, found) in pod {
        let now = now(current);
        if let Some(wanted) = request(found, resource).filter(|wanted| *wanted > now) {
            lower_request(found, resource, now + (wanted - now) * share, Bound::Quota);
        }
    }
}
