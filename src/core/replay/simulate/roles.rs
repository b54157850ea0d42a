//! Roles of plumb in the simulation: every call into the model, the policy, the planner and admission is made here.
//!
//! Each role sees the world as it does live: by samples, by facts of pods, and by new pods.

mod admission;
mod facts;
mod recommender;

pub(super) use admission::admitted;
pub(super) use facts::{Around, answers, workload};
pub(super) use recommender::{Advice, Recommender};

use super::scene::{Policy, Workload};
use super::size::{Size, mib};
use super::world::World;
use crate::actuate::NewSize;
use crate::actuate::step::Pace;
use crate::policy::{Amounts, ContainerSize, NamespaceBounds, Range, RangeBounds, Rules};
use crate::replay::generate::START;
use crate::units::{Bytes, Cores, Timestamp};

/// Simulated seconds as a point in time.
pub(super) fn time(at: i64) -> Timestamp {
    START.plus(at)
}

/// A size as the planner takes it.
pub(super) fn container_size(size: &Size) -> ContainerSize {
    ContainerSize {
        cpu_request: size.cpu.map(Cores::from_milli),
        cpu_limit: size.cpu_limit.map(Cores::from_milli),
        memory_request: size.memory.map(Bytes),
        memory_limit: size.memory_limit.map(Bytes),
    }
}

/// A size as the API server takes it.
pub(super) fn size(size: &ContainerSize) -> Size {
    Size {
        cpu: size.cpu_request.map(Cores::to_milli),
        cpu_limit: size.cpu_limit.map(Cores::to_milli),
        memory: size.memory_request.map(|bytes| bytes.0),
        memory_limit: size.memory_limit.map(|bytes| bytes.0),
    }
}

/// The size that a change wants, merged into what is asked, as a strategic merge patch is.
pub(super) fn merged(asked: &Size, new: &NewSize) -> Size {
    let to = size(&new.to);
    Size {
        cpu: to.cpu.or(asked.cpu),
        cpu_limit: to.cpu_limit.or(asked.cpu_limit),
        memory: to.memory.or(asked.memory),
        memory_limit: to.memory_limit.or(asked.memory_limit),
    }
}

/// The rules of a policy for each of its containers.
pub(super) fn rules(policy: &Policy) -> Rules {
    Rules {
        cpu_objective: policy.objective,
        memory_objective: policy.objective,
        max_shortfall_percent: None,
        max_oom_kills_per_year: None,
        range: Range {
            min_cpu: Cores::from_milli(policy.least_milli),
            max_cpu: policy.most_milli.map(Cores::from_milli),
            min_memory: Bytes(mib(policy.least_mib)),
            max_memory: policy.most_mib.map(|most| Bytes(mib(most))),
        },
        cpu_limit: policy.cpu_limit,
        memory_limit: policy.memory_limit,
        add_limit: policy.add_limit,
        shrink_memory: policy.shrink,
        learn_hours: policy.learn_hours as f32,
    }
}

/// The pace of a policy.
pub(super) fn pace(policy: &Policy) -> Pace {
    Pace {
        min_change: policy.min_change.map(|percent| percent as f32 / 100.0),
        max_shrink: policy.max_shrink as f32 / 100.0,
        cooldown: i64::from(policy.cooldown),
        ..Pace::default()
    }
}

/// What a workload's namespace allows its pods.
pub(super) fn namespace(world: &World<'_>, workload: &Workload) -> NamespaceBounds {
    let Some(stated) = world.scene.namespaces.get(workload.namespace) else {
        return NamespaceBounds::default();
    };
    let (used, hard) = (world.used(workload.namespace), world.hard(workload.namespace));
    let left = |which: usize| Some(hard.get(which).copied().flatten()?.saturating_sub(*used.get(which)?));
    NamespaceBounds {
        container: RangeBounds {
            least: Amounts { cpu: None, memory: stated.least_mib.map(|least| Bytes(mib(least))) },
            most: Amounts {
                cpu: stated.most_milli.map(Cores::from_milli),
                memory: stated.most_mib.map(|most| Bytes(mib(most))),
            },
            cpu_ratio: None,
            memory_ratio: stated.ratio.map(|ratio| ratio * 1000),
        },
        pod: RangeBounds::default(),
        requests_left: Amounts { cpu: left(0).map(Cores::from_milli), memory: left(1).map(Bytes) },
        limits_left: Amounts { cpu: None, memory: left(2).map(Bytes) },
    }
}
