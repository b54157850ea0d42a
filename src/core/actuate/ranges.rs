//! The last step before a resize is asked for: what the namespace would refuse of it, the API server would refuse whole.

use super::change::NewSize;
use super::facts::{Container, Pod, Workload};
use super::reason::Hold;
use super::step::Stepper;
use crate::policy::{self, Bounded, Class, ContainerSize, NamespaceBounds};
use crate::units::Bytes;

/// Moves the new sizes of a pod's containers to what its namespace allows; what nothing is left of is held.
pub(super) fn within_namespace(
    workload: &Workload,
    pod: &Pod,
    sizes: Vec<NewSize>,
    steppers: &mut [Stepper],
    held: &mut Option<Hold>,
) -> Vec<NewSize> {
    let bounds = &workload.around.bounds;
    if sizes.is_empty() || *bounds == NamespaceBounds::default() {
        return sizes;
    }
    let mut all = bounded(workload, pod, &sizes);
    let moved = policy::keep_to_namespace(&mut all, bounds, 1);
    if moved.is_empty() {
        return sizes;
    }
    let mut kept = Vec::new();
    for ((container, bounded), stepper) in pod.containers.iter().zip(&mut all).zip(steppers) {
        if pod.class == Class::Guaranteed {
            (bounded.wanted.cpu_limit, bounded.wanted.memory_limit) =
                (bounded.wanted.cpu_request, bounded.wanted.memory_request);
        }
        stepper.observe(bounded.wanted);
        kept.extend(NewSize::of(container, bounded.wanted));
    }
    if kept.is_empty() {
        *held = held.or(Some(Hold::AdmissionRefuses));
    }
    kept
}

/// Whether the namespace allows these new sizes of a pod as they are.
pub(super) fn allows(workload: &Workload, pod: &Pod, sizes: &[NewSize]) -> bool {
    policy::keep_to_namespace(&mut bounded(workload, pod, sizes), &workload.around.bounds, 1).is_empty()
}

/// Sizes that a new pod would be given in the place of this one, by its containers that keep running.
pub(super) fn successor(workload: &Workload, pod: &Pod) -> Vec<ContainerSize> {
    let mut all = bounded(workload, pod, &[]);
    for (bounded, container) in all.iter_mut().zip(&pod.containers) {
        bounded.wanted = target(workload, container);
    }
    policy::keep_to_namespace(&mut all, &workload.around.bounds, 1);
    all.into_iter().map(|bounded| bounded.wanted).collect()
}

/// The memory limit that an init container of a new pod would be given.
pub(super) fn of_init(workload: &Workload, container: &Container) -> Option<Bytes> {
    let most = workload.around.bounds.container.most.memory;
    let wanted = target(workload, container).memory_limit?;
    Some(most.map_or(wanted, |most| wanted.min(most)))
}

/// What is recommended, and of what nothing is, what it has.
fn target(workload: &Workload, container: &Container) -> ContainerSize {
    let target = workload.advice(&container.name).map(|advice| advice.target).unwrap_or_default();
    ContainerSize {
        cpu_request: target.cpu_request.or(container.asked.cpu_request),
        cpu_limit: target.cpu_limit.or(container.asked.cpu_limit),
        memory_request: target.memory_request.or(container.asked.memory_request),
        memory_limit: target.memory_limit.or(container.asked.memory_limit),
    }
}

fn bounded(workload: &Workload, pod: &Pod, sizes: &[NewSize]) -> Vec<Bounded> {
    let of = |container: &Container| {
        let new = sizes.iter().find(|size| size.container == container.name);
        let advice = workload.advice(&container.name);
        let target = advice.map(|advice| advice.target).unwrap_or_default();
        Bounded {
            now: container.asked,
            wanted: new.map_or(container.asked, |size| size.to),
            cpu: target.cpu_request.is_some(),
            memory: target.memory_request.is_some(),
            most: advice.map(|advice| advice.most).unwrap_or_default(),
        }
    };
    pod.containers.iter().map(of).collect()
}
