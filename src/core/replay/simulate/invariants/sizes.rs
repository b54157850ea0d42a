//! Invariants of sizes: what plumb may set requests and limits to.

use super::{Invariant, Watch};
use crate::actuate::{Action, Deed};
use crate::policy::{CpuLimitRule, MemoryLimitRule};
use crate::replay::simulate::roles::Recommender;
use crate::replay::simulate::scene::Policy;
use crate::replay::simulate::size::{Size, mib};
use crate::replay::simulate::world::{Running, World};
use crate::units::{Bytes, Cores};

/// A memory limit stays above the last hour's peak by this share.
const MARGIN: f64 = 1.05;
/// Hours by which a series may be short of what its policy says and pass for learned.
const NEARLY: f32 = 0.5;

/// A container whose size plumb sets.
struct Setting<'a> {
    policy: &'a Policy,
    template: Size,
    before: Size,
    after: Size,
    /// Highest memory of the last hour.
    peak: u64,
    hours: f32,
    guaranteed: bool,
}

type Broken = (Invariant, String);

impl Watch {
    /// Checks the sizes that a resize asks for.
    pub(super) fn check_sizes(
        &mut self,
        world: &World<'_>,
        recommender: &Recommender,
        (load, id): (usize, u64),
        (action, sizes): (&Action, &[Size]),
    ) {
        let (Some(workload), Some(state)) = (world.scene.workloads.get(load), world.loads.get(load)) else {
            return;
        };
        let Some(pod) = world.pod(load, id) else { return };
        if matches!(action.deed, Deed::PutBack(_)) {
            return;
        }
        let parts = pod.containers.iter().zip(sizes).zip(&state.template).enumerate();
        for (number, ((container, after), template)) in parts {
            let setting = Setting {
                policy: &workload.policy,
                template: *template,
                before: container.asked,
                after: *after,
                peak: container.peak().max(container.memory),
                hours: recommender.hours(load, number),
                guaranteed: pod.guaranteed,
            };
            for (invariant, message) in setting.broken() {
                let message = format!("container {number}, {} -> {after}: {message}", container.asked);
                self.broke(world, invariant, (load, id), message);
            }
        }
    }

    /// Checks the sizes that admission gave to a new pod.
    pub(super) fn check_stamp(
        &mut self,
        world: &World<'_>,
        recommender: &Recommender,
        (load, id): (usize, u64),
    ) {
        let (Some(workload), Some(state)) = (world.scene.workloads.get(load), world.loads.get(load)) else {
            return;
        };
        let Some(pod) = world.pod(load, id).filter(|pod| pod.stamped) else { return };
        for (number, (container, template)) in pod.containers.iter().zip(&state.template).enumerate() {
            let fellows = state.pods.iter().filter_map(|pod| pod.containers.get(number));
            let setting = Setting {
                policy: &workload.policy,
                template: *template,
                before: *template,
                after: container.asked,
                peak: fellows.map(Running::peak).max().unwrap_or(0),
                hours: recommender.hours(load, number),
                guaranteed: pod.guaranteed,
            };
            for (invariant, message) in setting.broken() {
                let message = format!("container {number} is created with {}: {message}", container.asked);
                self.broke(world, invariant, (load, id), message);
            }
        }
    }
}

impl Setting<'_> {
    fn broken(&self) -> Vec<Broken> {
        let mut broken = Vec::new();
        broken.extend(self.bounds());
        broken.extend(self.kept());
        broken.extend(self.ratio());
        broken.extend(self.peak());
        broken.extend(self.young());
        broken.extend(self.shrink());
        broken
    }

    fn bounds(&self) -> Option<Broken> {
        let (policy, before, after) = (self.policy, &self.before, &self.after);
        // A step towards a bound from far outside it may still be outside.
        let lowered = |before: Option<u64>, after: Option<u64>| after.filter(|_| after < before);
        let over = |before: Option<u64>, after: Option<u64>, most: Option<u64>| {
            after.filter(|_| after > before).zip(most).is_some_and(|(after, most)| after > most)
        };
        // A limit that is added comes down to its request, which a step may leave above the bound.
        let added = |request: Option<u64>, limit: Option<u64>| if limit.is_none() { request } else { limit };
        let cpu_limit = added(before.cpu, before.cpu_limit);
        let memory_limit = added(before.memory, before.memory_limit);
        let most_memory = policy.most_mib.map(mib);
        let message = if over(before.cpu, after.cpu, policy.most_milli)
            || over(cpu_limit, after.cpu_limit, policy.most_milli)
        {
            format!("maxAllowed is {}", Cores::from_milli(policy.most_milli.unwrap_or(0)))
        } else if over(before.memory, after.memory, most_memory)
            || over(memory_limit, after.memory_limit, most_memory)
        {
            format!("maxAllowed is {}", Bytes(most_memory.unwrap_or(0)))
        } else if lowered(before.cpu, after.cpu).is_some_and(|cpu| cpu < policy.least_milli)
            && policy.most_milli.is_none_or(|most| most >= policy.least_milli)
        {
            format!("minAllowed is {}", Cores::from_milli(policy.least_milli))
        } else if lowered(before.memory, after.memory).is_some_and(|memory| memory < mib(policy.least_mib)) {
            format!("minAllowed is {}", Bytes(mib(policy.least_mib)))
        } else {
            return None;
        };
        Some((Invariant::Bounds, message))
    }

    fn kept(&self) -> Option<Broken> {
        let (before, after) = (&self.before, &self.after);
        // The least step above the request keeps a pod from becoming Guaranteed.
        let stays = |old: Option<u64>, new: Option<u64>, request: Option<u64>, step: u64| {
            old == new || new > old && new <= request.map(|request| request + step)
        };
        let cpu = self.policy.cpu_limit == CpuLimitRule::Keep;
        let memory = self.policy.memory_limit == MemoryLimitRule::Keep;
        let broken = cpu && !stays(before.cpu_limit, after.cpu_limit, after.cpu, 1)
            || memory && !stays(before.memory_limit, after.memory_limit, after.memory, mib(1));
        (broken && !self.guaranteed).then(|| (Invariant::KeepLimit, "rule Keep keeps its limit".to_owned()))
    }

    fn ratio(&self) -> Option<Broken> {
        let (template, after) = (&self.template, &self.after);
        let off =
            |limit: Option<u64>, request: Option<u64>, old: Option<u64>, own: Option<u64>, step: f64| {
                let (Some(limit), Some(request), Some(old), Some(own)) = (limit, request, old, own) else {
                    return None;
                };
                let wanted = request as f64 * (old as f64 / own.max(1) as f64).max(1.0);
                ((limit as f64 - wanted).abs() > wanted * 0.03 + step).then_some(wanted)
            };
        // A limit that is too high comes down in steps, and in its first day or without shrink not at all.
        // One that is raised less than the ratio asks for stops at a LimitRange or a node.
        let comes_down = |limit: Option<u64>, before: Option<u64>, wanted: f64| {
            limit.is_some_and(|limit| {
                if limit as f64 > wanted { Some(limit) <= before } else { Some(limit) > before }
            })
        };
        let capped = |limit: Option<u64>, most: Option<u64>| most.is_some() && limit >= most;
        let policy = self.policy;
        let cpu = (policy.cpu_limit == CpuLimitRule::Ratio && self.before != self.after)
            .then(|| off(after.cpu_limit, after.cpu, template.cpu_limit, template.cpu, 2.0))
            .flatten()
            .filter(|wanted| !comes_down(after.cpu_limit, self.before.cpu_limit, *wanted))
            .filter(|_| !capped(after.cpu_limit, policy.most_milli));
        let memory = (policy.memory_limit == MemoryLimitRule::Ratio && self.before != self.after)
            .then(|| {
                off(after.memory_limit, after.memory, template.memory_limit, template.memory, mib(2) as f64)
            })
            .flatten()
            .filter(|wanted| !comes_down(after.memory_limit, self.before.memory_limit, *wanted))
            .filter(|_| !capped(after.memory_limit, policy.most_mib.map(mib)));
        if self.guaranteed || cpu.is_none() && memory.is_none() {
            return None;
        }
        Some((Invariant::TemplateRatio, format!("the template's ratio is that of {template}")))
    }

    fn peak(&self) -> Option<Broken> {
        let lowered = self.after.memory_limit.filter(|limit| Some(*limit) < self.before.memory_limit)?;
        let needed = self.peak as f64 * MARGIN;
        ((lowered as f64) < needed)
            .then(|| (Invariant::LimitBelowPeak, format!("the last hour's peak is {}", Bytes(self.peak))))
    }

    fn young(&self) -> Option<Broken> {
        if self.hours >= self.policy.learn_hours as f32 - NEARLY {
            return None;
        }
        let (before, after) = (&self.before, &self.after);
        let lower = |old: Option<u64>, new: Option<u64>| new.is_some() && new < old;
        let limit =
            lower(before.memory_limit, after.memory_limit) || lower(before.cpu_limit, after.cpu_limit);
        let halved = |own: Option<u64>, old: Option<u64>, new: Option<u64>, most: Option<u64>| {
            let most = most.unwrap_or(u64::MAX);
            lower(old, new) && new.zip(own).is_some_and(|(new, own)| new * 2 + 2 < own && new < most)
        };
        let request = halved(self.template.cpu, before.cpu, after.cpu, self.policy.most_milli)
            || halved(self.template.memory, before.memory, after.memory, self.policy.most_mib.map(mib));
        let what = match (limit, request) {
            (true, _) => "a limit is lowered",
            (_, true) => "a request is lowered below half of its template's",
            _ => return None,
        };
        let hours = self.hours;
        Some((Invariant::LoweredWhileYoung, format!("{what} with {hours:.1} hours of history")))
    }

    fn shrink(&self) -> Option<Broken> {
        let (before, after) = (&self.before, &self.after);
        let lower = |old: Option<u64>, new: Option<u64>| new.is_some() && new < old;
        let lowered = lower(before.memory, after.memory) || lower(before.memory_limit, after.memory_limit);
        (lowered && !self.policy.shrink)
            .then(|| (Invariant::LoweredWithoutShrink, "the policy's shrink is false".to_owned()))
    }
}
