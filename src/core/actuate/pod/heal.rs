//! Replacement of a pod that an OOM loop keeps down, where a resize in place does not end the loop.

use super::evict::replaceable;
use super::{EMERGENCY, PodState, Wish};
use crate::actuate::facts::{BackOff, Container, Method, Pod, Resize, Workload};
use crate::actuate::ranges::{of_init, successor};
use crate::actuate::reason::Hold;
use crate::actuate::updater::Settings;
use crate::units::{Bytes, Timestamp};

impl PodState {
    /// Answers what an OOM loop needs; `None` where a resize in place may do.
    ///
    /// What the kubelet starts again at once is resized when it runs. In the back-off a resize may never take effect (up
    /// to 1.36: kubernetes#138760) or only minutes later: then a new pod helps, as long as nobody is served by the old
    /// one. Where it may not be replaced, it is resized once its status says CrashLoopBackOff.
    pub(super) fn heal(
        &self,
        workload: &Workload,
        pod: &Pod,
        allowed: Result<(), Hold>,
        settings: &Settings,
        now: Timestamp,
    ) -> Option<Result<Option<Wish>, Hold>> {
        let down = || pod.all_containers().filter(|container| self.is_short(workload, container, now));
        let looping = || down().filter(|container| container.back_off != BackOff::None);
        if looping().next().is_none() {
            return down().next().map(|_| Err(Hold::Restarting));
        }
        if pod.ready {
            return None;
        }
        if looping().any(|container| workload.scales_by_memory(container)) {
            return Some(Err(Hold::HorizontalPodAutoscaler));
        }
        let hold = match self.may_heal(workload, pod, allowed, settings, now) {
            Ok(()) => return Some(Ok(Some(Wish::Evict { urgent: true }))),
            Err(hold) => hold,
        };
        let is_init = |container: &Container| pod.inits.iter().any(|init| init.name == container.name);
        let takes_effect = |container: &Container| {
            container.back_off == BackOff::Shown
                && !is_init(container)
                && !self.was_killed_again(container, now)
        };
        let in_place = matches!(workload.rules.method, Method::InPlace | Method::InPlaceOrEvict)
            && settings.resize_served
            && pod.running
            && pod.resize == Resize::None
            && looping().all(takes_effect);
        if in_place { None } else { Some(Err(hold)) }
    }

    /// A container is down after a recent OOM kill, and is to have more memory than is in force.
    fn is_short(&self, workload: &Workload, container: &Container, now: Timestamp) -> bool {
        let recent = container.oom_killed.is_some_and(|at| now.seconds_since(at) < EMERGENCY);
        let wanted = workload.advice(&container.name).and_then(|advice| advice.target.memory_limit);
        // What was asked for in place and is not in force counts as not given.
        let more = wanted > container.given.memory_limit || container.asked != container.given;
        recent && container.down && (more || self.was_killed_again(container, now))
    }

    fn may_heal(
        &self,
        workload: &Workload,
        pod: &Pod,
        allowed: Result<(), Hold>,
        settings: &Settings,
        now: Timestamp,
    ) -> Result<(), Hold> {
        match workload.rules.method {
            Method::OnCreate => return Err(Hold::OnCreateOnly),
            Method::InPlace => return Err(Hold::InPlaceOnly),
            // A DaemonSet makes the new one for the same node.
            Method::InPlaceOrEvict | Method::Evict => {}
        }
        replaceable(workload, pod, settings)?;
        if !self.gains(workload, pod, now) {
            return Err(Hold::NoGain);
        }
        if let Some((hold @ (Hold::DisruptionBudget | Hold::ApiServer | Hold::Forbidden), until)) =
            self.refused
            && now < until
        {
            return Err(hold);
        }
        allowed
    }

    /// The successor would have more memory, or get what this one was given and does not have; and no pod of the workload
    /// loops although it came up with as much.
    fn gains(&self, workload: &Workload, pod: &Pod, now: Timestamp) -> bool {
        let lasting = pod.containers.iter().zip(successor(workload, pod));
        let lasting = lasting.map(|(container, size)| (container, size.memory_limit));
        let inits = pod.inits.iter().map(|init| (init, of_init(workload, init)));
        lasting.chain(inits).any(|(container, limit)| {
            let more = limit > container.given.memory_limit || self.was_killed_again(container, now);
            self.is_short(workload, container, now)
                && more
                && !is_tried(workload, (pod, container), limit, now)
        })
    }

    /// A container was killed again a short time after its memory limit was raised in place: the raise may not be in
    /// force.
    fn was_killed_again(&self, container: &Container, now: Timestamp) -> bool {
        let Some(killed) = container.oom_killed else { return false };
        match self.raised.iter().find(|raise| raise.container == container.name) {
            Some(raise) => {
                let recent = now.seconds_since(raise.at) < EMERGENCY;
                recent && Some(killed) > raise.known && killed >= raise.at
            }
            // Whatever was changed then may have been that.
            None => self.inherited.is_some_and(|at| (1..EMERGENCY).contains(&killed.seconds_since(at))),
        }
    }
}

/// A pod of the workload came up with as much memory, and its container is killed all the same.
fn is_tried(
    workload: &Workload,
    (pod, container): (&Pod, &Container),
    limit: Option<Bytes>,
    now: Timestamp,
) -> bool {
    let of = |pod: &Pod| pod.all_containers().find(|other| other.name == container.name).cloned();
    let as_created = workload.staying().filter(|other| other.id != pod.id && other.resized.is_none());
    as_created.filter_map(of).any(|other| {
        let killed = other.oom_killed.is_some_and(|at| now.seconds_since(at) < EMERGENCY);
        killed && other.given.memory_limit >= limit
    })
}
