//! When a pod gets a new one in its place: where it serves nobody as it is, or where nothing else gives it its size.

use super::{EMERGENCY, PodState, Wish};
use crate::actuate::facts::{Container, Method, Pod, Workload};
use crate::actuate::reason::Hold;
use crate::actuate::updater::Settings;
use crate::units::Timestamp;

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
        let needs_more = pod.containers.iter().any(|container| {
            let recent = container.oom_killed.is_some_and(|at| now.seconds_since(at) < EMERGENCY);
            let again = self.was_killed_again(container);
            let wanted = workload.advice(&container.name).and_then(|advice| advice.target.memory_limit);
            // What was asked for in place and is not in force counts as not given.
            let more = wanted > container.given.memory_limit || container.asked != container.given || again;
            recent && more && (container.down || again)
        });
        if !needs_more {
            return None;
        }
        let rules = &workload.rules;
        if rules.memory_scaled {
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
    if !admission_works(workload, settings) {
        return Err(Hold::AdmissionSilent);
    }
    Ok(())
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
