//! What all containers of a pod may have together: a node's shape, and a LimitRange for pods.

use super::bound::{Amounts, Bound, Explained, lower_request};
use super::reason::Resource;
use crate::units::Bytes;

/// Lowers the requests of a pod's containers, each in the same proportion, where their sum is more than `most`. No one
/// of them may be given more than that either.
pub fn pod_total(pod: &mut [&mut Explained], most: &Amounts, bound: Bound) {
    for found in pod.iter_mut() {
        found.size.most = found.size.most.least(&most.whole());
    }
    if let Some(most) = most.cpu {
        fit(pod, Resource::Cpu, most.0, bound);
    }
    if let Some(most) = most.memory {
        fit(pod, Resource::Memory, most.as_f64(), bound);
    }
}

fn fit(pod: &mut [&mut Explained], resource: Resource, most: f64, bound: Bound) {
    let sum: f64 = pod.iter().filter_map(|found| request(found, resource)).sum();
    if sum <= most || sum <= 0.0 {
        return;
    }
    for found in pod {
        if let Some(value) = request(found, resource) {
            lower_request(found, resource, value * (most / sum), bound);
        }
    }
}

pub(super) fn request(found: &Explained, resource: Resource) -> Option<f64> {
    match resource {
        Resource::Cpu => found.size.target.cpu_request.map(|cpu| cpu.0),
        _ => found.size.target.memory_request.map(Bytes::as_f64),
    }
}
