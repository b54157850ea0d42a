//! Invariants of new pods: that they are created, that they come up, and that a rollout that is stuck gets its growth.

use super::{Invariant, Watch};
use crate::actuate::WorkloadPlan;
use crate::actuate::facts::{Method, Pod as SeenPod, Workload as Seen};
use crate::actuate::reason::Hold;
use crate::replay::simulate::faults::Now;
use crate::replay::simulate::rules::{self, Refusal};
use crate::replay::simulate::scene::{Kind, Workload};
use crate::replay::simulate::world::{Pod, World};

/// Seconds within which refused pods are created as their template says.
const CREATED: i64 = 900;
/// Seconds within which a pod boots that would boot with what its template says.
const BOOTED: i64 = 1800;
/// Seconds within which a rollout gets its growth.
const UNSTUCK: i64 = 1800;
/// A request that is short of what is recommended by this share is too small.
const SHORT: f64 = 1.15;

impl Watch {
    /// A pod was refused at its creation.
    pub(in crate::replay::simulate) fn not_created(
        &mut self,
        world: &World<'_>,
        (load, stamped): (usize, bool),
        refusal: Refusal,
        going: &Now,
    ) {
        if stamped && refusal == Refusal::LimitRange {
            let message = format!("a pod with plumb's sizes is refused: {refusal}");
            self.broke(world, Invariant::BlockedCreation, (load, 0), message);
        }
        let (Some(past), Some(state)) = (self.loads.get_mut(load), world.loads.get(load)) else { return };
        let own = state.template.iter().all(|size| world.policy_admits(load, size));
        if !stamped || refusal != Refusal::Policy || going.any || !own {
            past.refused = None;
            return;
        }
        let since = world.now - *past.refused.get_or_insert(world.now);
        if since > CREATED {
            let message = format!("pods with plumb's sizes have been refused for {since} s: {refusal}");
            self.broke(world, Invariant::BlockedCreation, (load, 0), message);
        }
    }

    /// Looks for new pods that do not boot, and would with what their template says.
    pub(super) fn look_for_boots(&mut self, world: &World<'_>, going: &Now) {
        for (load, workload) in world.scene.workloads.iter().enumerate() {
            let Some(state) = world.loads.get(load) else { continue };
            let percent = |pod: &Pod| state.percents.get(pod.revision as usize).copied().unwrap_or(100);
            let fails = |pod: &&Pod| {
                let parts = pod.containers.iter().zip(&workload.containers).zip(&state.template);
                let mut parts = parts.map(|((container, spec), own)| {
                    let boots = |size| rules::boots(size, spec, percent(pod));
                    (container.restarts > 0 && !boots(&container.given), boots(own))
                });
                pod.stamped && pod.stays() && !pod.ready && pod.resized.is_none() && {
                    let all: Vec<_> = parts.by_ref().collect();
                    all.iter().any(|(fails, _)| *fails) && all.iter().all(|(_, own)| *own)
                }
            };
            let failing = state.pods.iter().find(fails).map(|pod| pod.id);
            let Some(past) = self.loads.get_mut(load) else { continue };
            let Some(pod) = failing.filter(|_| !going.any && is_replaced(workload)) else {
                past.failing = None;
                continue;
            };
            let since = world.now - *past.failing.get_or_insert(world.now);
            if since > BOOTED {
                let message = format!("new pods have not come up with plumb's sizes for {since} s");
                self.broke(world, Invariant::Boots, (load, pod), message);
            }
        }
    }

    /// Looks for a pod that a rollout waits for, and that is held though it should have more.
    pub(super) fn look_for_growth(&mut self, world: &World<'_>, seen: &Seen, said: &WorkloadPlan) {
        let load = seen.key.parse().unwrap_or(usize::MAX);
        let Some(past) = self.loads.get_mut(load) else { return };
        let lacks = |pod: &&SeenPod| {
            let mut containers = pod.containers.iter();
            !pod.ready
                && pod.running
                && pod.resize == crate::actuate::facts::Resize::None
                && containers.any(|container| {
                    let wants = seen.advice(&container.name).and_then(|advice| advice.target.cpu_request);
                    wants.zip(container.asked.cpu_request).is_some_and(|(wants, has)| wants.0 > has.0 * SHORT)
                })
        };
        let waits =
            |hold: &Hold| matches!(hold, Hold::Rollout | Hold::Cooldown | Hold::Canary | Hold::RateLimit);
        let in_place = matches!(seen.rules.method, Method::InPlace | Method::InPlaceOrEvict);
        let stuck =
            seen.is_rolling_out() && in_place && !seen.rules.cpu_scaled && said.held.keys().all(waits);
        let Some(pod) = seen.staying().find(lacks).filter(|_| stuck) else {
            past.stuck = None;
            return;
        };
        let since = world.now - *past.stuck.get_or_insert(world.now);
        if since > UNSTUCK {
            let message = format!("a pod of a rollout has been without its growth for {since} s");
            let id = u64::try_from(pod.id).unwrap_or(0);
            self.broke(world, Invariant::StuckRollout, (load, id), message);
        }
    }
}

/// A controller makes another pod in the place of one that is evicted, and nobody forbids that.
fn is_replaced(workload: &Workload) -> bool {
    matches!(workload.kind, Kind::Deployment | Kind::StatefulSet | Kind::DaemonSet)
        && workload.min_available.is_none()
        && workload.policy.acts
}
