//! The last step of a recommendation: the containers of a pod within one node and within their namespace, together.

use super::bound::{Amounts, Bound, Explained, apply_moved};
use super::namespace::{Bounded, NamespaceBounds, keep_to_namespace};
use super::pod_total::{node_limit, one_node, pod_total};
use super::recommend::ContainerSize;

/// A container of a pod that must fit.
#[derive(Debug)]
pub struct Fitted<'a> {
    /// It runs to its end before the others start.
    pub init: bool,
    /// Requests and limits in force.
    pub current: &'a ContainerSize,
    /// The policy's maxAllowed.
    pub most: Amounts,
    /// Its recommendation, which is moved.
    pub found: &'a mut Explained,
}

/// Moves the sizes of a pod's containers to what one of the `nodes` can give, and to what the namespace allows when each
/// of `replicas` pods grows alike. Containers that run side by side count together. No node is no bound.
pub fn fit_pod(pod: Vec<Fitted<'_>>, nodes: &[Amounts], bounds: &NamespaceBounds, replicas: u32) {
    let (mut init, mut lasting): (Vec<_>, Vec<_>) = pod.into_iter().partition(|one| one.init);
    let mut found: Vec<_> = lasting.iter_mut().map(|one| &mut *one.found).collect();
    if let Some(node) = one_node(&mut found, nodes) {
        init.iter_mut().for_each(|one| pod_total(&mut [&mut *one.found], &node, Bound::Node));
        for one in init.iter_mut().chain(&mut lasting) {
            node_limit(one.found, one.current, &node);
        }
    }
    within_namespace(&mut lasting, bounds, replicas);
    // Init containers run before the others, and the rules for a container hold for them as well.
    let alone = NamespaceBounds { container: bounds.container, ..NamespaceBounds::default() };
    init.into_iter().for_each(|one| within_namespace(&mut [one], &alone, 1));
}

fn within_namespace(parts: &mut [Fitted<'_>], bounds: &NamespaceBounds, replicas: u32) {
    let bounded = |one: &Fitted<'_>| Bounded {
        now: *one.current,
        wanted: one.found.size.target,
        // A resource without bounds is one that is not sized.
        cpu: one.found.size.lower.cpu_request.is_some(),
        memory: one.found.size.lower.memory_request.is_some(),
        most: one.most,
    };
    let mut pod: Vec<_> = parts.iter().map(bounded).collect();
    let moved = keep_to_namespace(&mut pod, bounds, replicas);
    for (place, (one, allowed)) in parts.iter_mut().zip(&pod).enumerate() {
        let own = moved.iter().filter(|moved| moved.container == place);
        let own = own.map(|moved| (moved.resource, moved.bound));
        apply_moved(one.found, &allowed.wanted, &bounds.container.most, own);
    }
}
