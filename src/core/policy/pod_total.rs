//! What all containers of a pod may have together: a node's shape, and a LimitRange for pods.

use super::bound::{Amounts, Bound, Explained, lower_request, set};
use super::reason::Resource;
use super::recommend::ContainerSize;
use crate::units::Bytes;

/// Lowers the requests of a pod's containers, each in the same proportion, where their sum is more than `most`. No one
/// of them may be given more than that either.
pub(super) fn pod_total(pod: &mut [&mut Explained], most: &Amounts, bound: Bound) {
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

/// Lowers the requests of a pod's containers to what one of the nodes can give: the one that leaves most of them. Each
/// of `nodes` is the CPU and the memory of one node; no node is no bound. Answers the node.
pub(super) fn one_node(pod: &mut [&mut Explained], nodes: &[Amounts]) -> Option<Amounts> {
    let sum = |resource| pod.iter().filter_map(|found| request(found, resource)).sum::<f64>();
    let (cpu, memory) = (sum(Resource::Cpu), sum(Resource::Memory));
    let part =
        |has: Option<f64>, wanted: f64| has.filter(|has| *has < wanted).map_or(1.0, |has| has / wanted);
    let left =
        |node: &Amounts| part(node.cpu.map(|cpu| cpu.0), cpu) * part(node.memory.map(Bytes::as_f64), memory);
    let node = *nodes.iter().max_by(|a, b| left(a).total_cmp(&left(b)))?;
    pod_total(pod, &node, Bound::Node);
    Some(node)
}

/// Lowers the growth of a container's memory limit to what the node has: more than that no limit gives. What it has now
/// stays.
pub(super) fn node_limit(found: &mut Explained, current: &ContainerSize, node: &Amounts) {
    let (Some(limit), Some(most)) = (found.size.target.memory_limit, node.memory) else { return };
    let most = most.max(current.memory_limit.unwrap_or_default());
    if limit > most {
        set(found, Resource::MemoryLimit, most.as_f64(), Bound::Node);
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
