//! When a pod gets a new one in its place: where it serves nobody as it is, or where nothing else gives it its size.

use super::{EMERGENCY, PodState, Wish};
use crate::actuate::Given;
use crate::actuate::facts::{Container, Method, Pod, Workload};
use crate::actuate::reason::Hold;
use crate::actuate::updater::Settings;
use crate::policy::Amounts;
use crate::units::{Bytes, Timestamp};

impl PodState {
    /// The OOM loop (kubernetes#138760): a container that is down stays under its pod's old limit whatever is asked of
    /// the kubelet, up to 1.36; and up to five minutes in later versions. Only a new pod helps, and nobody is served
    /// by the old one. The same where it was killed again after a rise in place.
    pub(super) fn heal(
        &self,
        workload: &Workload,
        pod: &Pod,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Result<Option<Wish>, Hold>> {
        let needs_more = |container: &Container| {
            let recent = container.oom_killed.is_some_and(|at| now.seconds_since(at) < EMERGENCY);
            let again = self.was_killed_again(container);
            let wanted = workload.advice(&container.name).and_then(|advice| advice.target.memory_limit);
            // What was asked for in place and is not in force counts as not given.
            let more = wanted > container.given.memory_limit || container.asked != container.given || again;
            recent && more && (container.down || again)
        };
        let mut needy = pod.containers.iter().filter(|container| needs_more(container)).peekable();
        needy.peek()?;
        let rules = &workload.rules;
        if needy.any(|container| workload.scales_by_memory(container)) {
            return Some(Err(Hold::HorizontalPodAutoscaler));
        }
        let again = pod.containers.iter().any(|container| self.was_killed_again(container));
        if rules.method == Method::InPlace && pod.running && !again {
            // Later versions than that give it what was asked for in place at its next start.
            return None;
        }
        Some(match rules.method {
            Method::OnCreate => Err(Hold::OnCreateOnly),
            Method::InPlace => Err(Hold::InPlaceOnly),
            // A DaemonSet makes the new one for the same node.
            Method::InPlaceOrEvict | Method::Evict => replaceable(workload, pod, settings)
                .and_then(|()| self.believed_refusal(now))
                .map(|()| Some(Wish::Evict { urgent: true })),
        })
    }

    fn believed_refusal(&self, now: Timestamp) -> Result<(), Hold> {
        match self.refused {
            Some((hold @ (Hold::DisruptionBudget | Hold::ApiServer | Hold::Forbidden), until))
                if now < until =>
            {
                Err(hold)
            }
            _ => Ok(()),
        }
    }

    /// A container was killed again although its memory limit was raised in place.
    fn was_killed_again(&self, container: &Container) -> bool {
        let Some(killed) = container.oom_killed else { return false };
        match self.raised.iter().find(|raise| raise.container == container.name) {
            Some(raise) => Some(killed) > raise.known && killed >= raise.at,
            // Whatever was changed then may have been that.
            None => self.inherited.is_some_and(|at| (1..EMERGENCY).contains(&killed.seconds_since(at))),
        }
    }

    /// To be evicted, or why not; `otherwise` where the policy does not allow it at all.
    pub(super) fn evict(
        &self,
        workload: &Workload,
        pod: &Pod,
        disruptable: Result<(), Hold>,
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
        if workload.staying().count() < workload.rules.min_replicas {
            return Err(Hold::MinReplicas);
        }
        disruptable?;
        Ok(Wish::Evict { urgent: false })
    }
}

/// Whether a new pod would come in its place, with its sizes.
fn replaceable(workload: &Workload, pod: &Pod, settings: &Settings) -> Result<(), Hold> {
    if !pod.managed {
        return Err(Hold::Unmanaged);
    }
    if pod.may_not_be_evicted {
        return Err(Hold::SafeToEvictFalse);
    }
    // What was before is what it has outgrown.
    if workload.around.gives != Given::Target {
        return Err(Hold::RolledBack);
    }
    if !admission_works(workload, settings) {
        return Err(Hold::AdmissionSilent);
    }
    if !has_room(workload, pod) {
        return Err(Hold::NoRoom);
    }
    Ok(())
}

/// Some node that the pod may use has room for its successor, what the pod itself takes of its own node counted as
/// free. Where nothing is known of nodes, they are believed to have.
fn has_room(workload: &Workload, pod: &Pod) -> bool {
    let Some(free) = &workload.around.free else { return true };
    let (mut cpu, mut memory) = (0.0, 0.0);
    for container in &pod.containers {
        let target = workload.advice(&container.name).map(|advice| advice.target).unwrap_or_default();
        cpu += target.cpu_request.or(container.asked.cpu_request).map_or(0.0, |cpu| cpu.0);
        memory += target.memory_request.or(container.asked.memory_request).map_or(0.0, Bytes::as_f64);
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
