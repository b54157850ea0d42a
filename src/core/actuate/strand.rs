//! Pods that no node has room for, because of the size that they were given when they were created.

use super::facts::{Before, Pod, Workload};
use super::guard::Degraded;
use super::pod::{PodState, Wish};
use super::reason::Hold;
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

/// True where admission gave a pod more than its workload had before, and the scheduler finds no node for that.
pub(super) fn is_stranded(pod: &Pod, before: Option<&Before>, now: Timestamp) -> bool {
    let waits = pod.created.is_some_and(|created| now.seconds_since(created) >= WAITS);
    pod.stamped && pod.place.unschedulable && !pod.running && waits && has_more(pod, before)
}

/// Of a container that was not there before, nobody knows that what its template asks for would fit.
fn has_more(pod: &Pod, before: Option<&Before>) -> bool {
    pod.containers.iter().any(|container| {
        let had = before.and_then(|before| before.had.iter().find(|(name, _)| *name == container.name));
        let Some((_, had)) = had else { return before.is_none() };
        let asked = &container.asked;
        let cores = |size: &crate::policy::ContainerSize| size.cpu_request.map_or(0.0, |cpu| cpu.0);
        let bytes = |size: &crate::policy::ContainerSize| size.memory_request.map_or(0.0, Bytes::as_f64);
        cores(asked) > cores(had) || bytes(asked) > bytes(had)
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
