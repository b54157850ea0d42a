//! Replacement of a pod where nothing else gives it its size.

use super::{Allowed, PodState, Wish};
use crate::actuate::Given;
use crate::actuate::facts::{Container, Method, Pod, Workload};
use crate::actuate::ranges::successor;
use crate::actuate::reason::Hold;
use crate::actuate::updater::Settings;
use crate::policy::{Amounts, ContainerSize};
use crate::units::Bytes;

/// Share by which a figure of the successor differs where it is another one.
const ANOTHER: f64 = 0.02;

impl PodState {
    /// To be evicted, or why not; `otherwise` where the policy does not allow it at all.
    pub(super) fn evict(
        &self,
        workload: &Workload,
        pod: &Pod,
        allowed: Allowed,
        settings: &Settings,
        otherwise: Hold,
    ) -> Result<Wish, Hold> {
        match workload.rules.method {
            Method::InPlace
                if matches!(otherwise, Hold::NodeFull | Hold::NodeTooSmall | Hold::ResizeUnsupported) =>
            {
                return Err(otherwise);
            }
            Method::InPlace => return Err(Hold::InPlaceOnly),
            Method::OnCreate => return Err(Hold::OnCreateOnly),
            Method::InPlaceOrEvict | Method::Evict => {}
        }
        if workload.bound_to_nodes {
            return Err(Hold::BoundToNode);
        }
        replaceable(workload, pod, settings)?;
        if let Some((hold @ (Hold::DisruptionBudget | Hold::ApiServer | Hold::Forbidden), _)) = self.refused {
            return Err(hold);
        }
        if workload.wanted() < workload.rules.min_replicas {
            return Err(Hold::MinReplicas);
        }
        if !gives_another_size(workload, pod) {
            return Err(Hold::NoGain);
        }
        allowed.disrupt?;
        allowed.replace?;
        Ok(Wish::Evict { urgent: false })
    }
}

/// Whether a new pod would come in its place, with its sizes.
pub(super) fn replaceable(workload: &Workload, pod: &Pod, settings: &Settings) -> Result<(), Hold> {
    if !pod.managed {
        return Err(Hold::Unmanaged);
    }
    if pod.may_not_be_evicted {
        return Err(Hold::SafeToEvictFalse);
    }
    if workload.around.left_out {
        return Err(Hold::LeftOut);
    }
    // What was before is what it has outgrown.
    if workload.around.gives != Given::Target {
        return Err(Hold::RolledBack);
    }
    if !admission_works(workload, settings) {
        return Err(Hold::AdmissionSilent);
    }
    let target = |container: &Container| {
        workload.advice(&container.name).map(|advice| advice.target).unwrap_or_default()
    };
    if !has_room(workload, pod, target) {
        return Err(Hold::NoRoom);
    }
    Ok(())
}

/// True where a successor would come up with another size.
fn gives_another_size(workload: &Workload, pod: &Pod) -> bool {
    let figures = |size: &ContainerSize| {
        let (cores, bytes) =
            (|of: Option<crate::units::Cores>| of.map(|of| of.0), |of: Option<Bytes>| of.map(Bytes::as_f64));
        [cores(size.cpu_request), cores(size.cpu_limit), bytes(size.memory_request), bytes(size.memory_limit)]
    };
    let differs = |(old, new): (Option<f64>, Option<f64>)| match (old, new) {
        (Some(old), Some(new)) => (new - old).abs() > ANOTHER * old,
        (old, new) => old.is_some() != new.is_some(),
    };
    pod.containers
        .iter()
        .zip(successor(workload, pod))
        .any(|(container, size)| figures(&container.given).into_iter().zip(figures(&size)).any(differs))
}

/// Some node that the pod may use has room for a successor whose containers have such sizes, what the pod itself takes of
/// its own node counted as free. What no size says is as it is asked for now. Where nothing is known of nodes, they are
/// believed to have.
pub(in crate::actuate) fn has_room(
    workload: &Workload,
    pod: &Pod,
    size: impl Fn(&Container) -> ContainerSize,
) -> bool {
    let Some(free) = &workload.around.free else { return true };
    let (mut cpu, mut memory) = (0.0, 0.0);
    for container in &pod.containers {
        let size = size(container);
        cpu += size.cpu_request.or(container.asked.cpu_request).map_or(0.0, |cpu| cpu.0);
        memory += size.memory_request.or(container.asked.memory_request).map_or(0.0, Bytes::as_f64);
    }
    let cores = |of: &Amounts| of.cpu.map_or(0.0, |cpu| cpu.0);
    let bytes = |of: &Amounts| of.memory.map_or(0.0, Bytes::as_f64);
    let (first, overhead) = (&pod.place.first, &pod.place.overhead);
    cpu = f64::max(cpu, cores(first)) + cores(overhead);
    memory = f64::max(memory, bytes(first)) + bytes(overhead);
    // A float's rounding is no lack of room.
    let holds = |room: &Amounts| cores(room) + 1e-6 >= cpu && bytes(room) >= memory;
    free.iter().chain(&pod.place.home).any(holds)
}

/// The last pod that came up since new ones are given what is recommended has it; of a workload that has none such, what
/// is known of all workloads counts.
fn admission_works(workload: &Workload, settings: &Settings) -> bool {
    let since = workload.given_since;
    match workload.newest().filter(|pod| since.is_some() && pod.created > since) {
        Some(newest) => newest.stamped,
        None => settings.admission_answers,
    }
}
