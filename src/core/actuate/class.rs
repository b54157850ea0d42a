//! A running pod's quality of service class, which no resize may change.

use super::change::NewSize;
use super::facts::{Container, Pod, Workload};
use super::ranges::allows;
use super::reason::Hold;
use crate::policy::{Class, ContainerSize};
use crate::units::{Bytes, Cores, MIB};

/// The least step that parts a request from its limit, in thousandths of a core. Of memory it is a mebibyte.
const LEAST_MILLI: u64 = 1;

/// Keeps the class of a pod that is to be given these sizes.
///
/// Requests that happen to meet all limits, or that rule Equal ties to them, would make a Burstable pod Guaranteed, and
/// the API server would refuse each try for ever. The least step of one limit parts them, or of one request downwards
/// where nothing more is allowed; new pods are parted in the same way when they are created.
///
/// # Errors
/// [`Hold::QosClass`] where a Guaranteed pod would not stay so, or where nothing can be parted.
pub(super) fn keep(workload: &Workload, pod: &Pod, sizes: &mut Vec<NewSize>) -> Result<(), Hold> {
    let equal_after = pod.containers.iter().all(|container| {
        let new = sizes.iter().find(|size| size.container == container.name);
        is_equal(&new.map_or(container.asked, |size| size.to))
    });
    // Init containers, of which nothing is known here, can keep a pod Burstable.
    let equal_before = pod.containers.iter().all(|container| is_equal(&container.asked));
    match (pod.class, equal_after) {
        (Class::Guaranteed, false) => Err(Hold::QosClass),
        (Class::Burstable, true) if !equal_before => part(workload, pod, sizes),
        _ => Ok(()),
    }
}

fn is_equal(size: &ContainerSize) -> bool {
    size.cpu_limit.is_some()
        && size.memory_limit.is_some()
        && size.cpu_limit == size.cpu_request
        && size.memory_limit == size.memory_request
}

/// Parts one request from its limit: of CPU before memory, upwards before downwards. What would restart a container
/// comes after what would not.
fn part(workload: &Workload, pod: &Pod, sizes: &mut Vec<NewSize>) -> Result<(), Hold> {
    let mut ways: Vec<(u8, usize, ContainerSize)> = Vec::new();
    for (place, size) in sizes.iter().enumerate() {
        let container = pod.containers.iter().find(|container| container.name == size.container);
        let (Some(container), Some(advice)) = (container, workload.advice(&size.container)) else { continue };
        let (from, to) = (&size.from, &size.to);
        let most = advice.most.least(&workload.around.bounds.container.most);
        let cpu_restarts =
            container.cpu_restarts && (from.cpu_request, from.cpu_limit) == (to.cpu_request, to.cpu_limit);
        let memory_restarts = container.memory_restarts
            && (from.memory_request, from.memory_limit) == (to.memory_request, to.memory_limit);
        let cpu = to
            .cpu_limit
            .filter(|_| advice.target.cpu_request.is_some() && !is_held(workload, container, true));
        let memory = to
            .memory_limit
            .filter(|_| advice.target.memory_request.is_some() && !is_held(workload, container, false));
        if let Some(limit) = cpu {
            let (up, down) = (limit.to_milli() + LEAST_MILLI, limit.to_milli().saturating_sub(LEAST_MILLI));
            let (up, down) = (Cores::from_milli(up), Cores::from_milli(down));
            if most.cpu.is_none_or(|most| up.0 <= most.0) {
                ways.push((u8::from(cpu_restarts) * 4, place, ContainerSize { cpu_limit: Some(up), ..*to }));
            }
            if down.0 > 0.0 {
                let to = ContainerSize { cpu_request: Some(down), ..*to };
                ways.push((u8::from(cpu_restarts) * 4 + 2, place, to));
            }
        }
        if let Some(limit) = memory {
            let (up, down) = (Bytes(limit.0.saturating_add(MIB)), Bytes(limit.0.saturating_sub(MIB)));
            if most.memory.is_none_or(|most| up <= most) {
                let to = ContainerSize { memory_limit: Some(up), ..*to };
                ways.push((u8::from(memory_restarts) * 4 + 1, place, to));
            }
            if down.0 > 0 && advice.limits.shrink_memory {
                let to = ContainerSize { memory_request: Some(down), ..*to };
                ways.push((u8::from(memory_restarts) * 4 + 3, place, to));
            }
        }
    }
    ways.sort_by_key(|(rank, place, _)| (*rank, *place));
    // A ratio of the namespace may forbid to part what a bound of it has brought together.
    let parted = |(_, place, to): &(u8, usize, ContainerSize)| {
        let mut parted = sizes.clone();
        parted.get_mut(*place)?.to = *to;
        allows(workload, pod, &parted).then_some(parted)
    };
    *sizes = ways.iter().find_map(parted).ok_or(Hold::QosClass)?;
    // It may be what is there already.
    sizes.retain(|size| size.to != size.from);
    Ok(())
}

/// A resource of a container that others hold: more of it while it starts up, or a HorizontalPodAutoscaler.
fn is_held(workload: &Workload, container: &Container, cpu: bool) -> bool {
    if cpu {
        container.boost.is_some() || workload.scales_by_cpu(container)
    } else {
        workload.scales_by_memory(container)
    }
}
