//! Pods that no node has room for, because of the size that they were given when they were created.

use super::facts::{Before, Container, Pod, SizesByName, Workload};
use super::guard::Degraded;
use super::pod::{PodState, Wish, has_room};
use super::reason::Hold;
use crate::policy::ContainerSize;
use crate::units::{Bytes, Timestamp};

/// A pod that has waited for a node for so long is stranded, in seconds: an autoscaler of nodes takes a minute or two.
const WAITS: i64 = 120;

/// The harm that is seen in stranded pods, in words.
pub(super) const UNSCHEDULABLE: &str = "no node has room for a new pod at the recommended size";

impl Degraded {
    /// True where new pods found no node at the recommended size.
    pub(super) fn is_of_size(&self) -> bool {
        self.evidence == UNSCHEDULABLE
    }
}

/// True where admission gave a pod more than its workload had before, and the scheduler finds no node for that, but has
/// one for what was before.
pub(super) fn is_stranded(workload: &Workload, pod: &Pod, before: Option<&Before>, now: Timestamp) -> bool {
    let waits = pod.created.is_some_and(|created| now.seconds_since(created) >= WAITS);
    if !pod.stamped || !pod.place.unschedulable || pod.running || !waits {
        return false;
    }
    // Where nothing was before, new pods are as their template says.
    let had = before.map_or(&workload.around.template, |before| &before.had);
    if had.is_empty() {
        return before.is_none();
    }
    has_more(pod, had) && has_room(workload, pod, |container| find(had, container).unwrap_or_default())
}

fn find(sizes: &SizesByName, container: &Container) -> Option<ContainerSize> {
    sizes.iter().find(|(name, _)| *name == container.name).map(|(_, size)| *size)
}

/// Of a container that was not there before, nobody knows that what its template asks for would fit.
fn has_more(pod: &Pod, had: &SizesByName) -> bool {
    pod.containers.iter().any(|container| {
        let Some(had) = find(had, container) else { return false };
        let asked = &container.asked;
        let cores = |size: &ContainerSize| size.cpu_request.map_or(0.0, |cpu| cpu.0);
        let bytes = |size: &ContainerSize| size.memory_request.map_or(0.0, Bytes::as_f64);
        cores(asked) > cores(&had) || bytes(asked) > bytes(&had)
    })
}

impl PodState {
    /// Answers the eviction of a stranded pod, whatever the method: it serves nobody where it is nowhere.
    pub(super) fn replace_stranded(
        &self,
        workload: &Workload,
        pod: &Pod,
        now: Timestamp,
    ) -> Result<Wish, Hold> {
        if pod.paused || workload.rules.paused {
            return Err(Hold::Paused);
        }
        if !pod.managed {
            return Err(Hold::Unmanaged);
        }
        // Its successor must not get the same size.
        if !workload.around.gives_previous || self.is_being_replaced(now) {
            return Err(Hold::NoRoom);
        }
        Ok(Wish::Evict { urgent: true })
    }
}
