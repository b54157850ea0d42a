//! The last step before a resize is asked for: what the namespace would refuse of it, the API server would refuse whole.

use super::change::NewSize;
use super::facts::{Container, Pod, Workload};
use super::reason::Hold;
use super::step::Stepper;
use crate::policy::{self, Bounded, Class, NamespaceBounds};

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
