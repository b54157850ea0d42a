//! What outside of the policy bounds a figure, and moving figures there.

use std::fmt;

use super::reason::{Reason, Resource};
use super::recommend::{Baseline, ContainerSize, Recommendation, explain};
use super::rules::Rules;
use crate::model::Estimate;
use crate::units::{Bytes, Cores};

/// An amount of CPU and one of memory; `None`: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Amounts {
    /// CPU.
    pub cpu: Option<Cores>,
    /// Memory.
    pub memory: Option<Bytes>,
}

/// A recommendation with the chain of its reasons, which further steps change and lengthen.
#[derive(Clone, Debug, PartialEq)]
pub struct Explained {
    /// The figures.
    pub size: Recommendation,
    /// Why, in the order of the steps.
    pub reasons: Vec<Reason>,
}

impl Amounts {
    /// The lesser of the two, of each resource.
    #[must_use]
    pub fn least(self, other: &Self) -> Self {
        let cpu = match (self.cpu, other.cpu) {
            (Some(a), Some(b)) => Some(if b.0 < a.0 { b } else { a }),
            (a, b) => a.or(b),
        };
        let memory = match (self.memory, other.memory) {
            (Some(a), Some(b)) => Some(a.min(b)),
            (a, b) => a.or(b),
        };
        Self { cpu, memory }
    }

    /// CPU rounded down to whole thousandths of a core.
    pub(super) fn whole(self) -> Self {
        let cpu = self.cpu.map(Cores::floor_milli);
        Self { cpu, ..self }
    }
}

impl Explained {
    /// What `need` comes to under `rules`, before the cluster has its say.
    #[must_use]
    pub fn new(need: &Estimate, rules: &Rules, baseline: &Baseline) -> Self {
        let (size, reasons) = explain(need, rules, baseline);
        Self { size, reasons }
    }
}

/// What outside of the policy bounds a figure.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Bound {
    /// A LimitRange's least for a container.
    LimitRangeMin,
    /// A LimitRange's most for a container.
    LimitRangeMax,
    /// A LimitRange's most for a pod.
    LimitRangePod,
    /// A LimitRange's least for a pod.
    LimitRangePodMin,
    /// How far a LimitRange allows a limit above its request.
    LimitRangeRatio,
    /// What the largest node can give to a pod.
    Node,
    /// What is left of a ResourceQuota.
    Quota,
}

impl Bound {
    /// One word for machines.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::LimitRangeMin
            | Self::LimitRangeMax
            | Self::LimitRangePod
            | Self::LimitRangePodMin
            | Self::LimitRangeRatio => "LimitRange",
            Self::Node => "LargestNode",
            Self::Quota => "ResourceQuota",
        }
    }
}

impl fmt::Display for Bound {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::LimitRangeMin => "the least that the namespace's LimitRange allows a container",
            Self::LimitRangeMax => "the most that the namespace's LimitRange allows a container",
            Self::LimitRangePod => "the pod's part of the most that the namespace's LimitRange allows a pod",
            Self::LimitRangePodMin => {
                "the pod's part of the least that the namespace's LimitRange allows a pod"
            }
            Self::LimitRangeRatio => "the ratio of limit to request that the namespace's LimitRange allows",
            Self::Node => "the pod's part of what the largest node that it may use can give",
            Self::Quota => "what the namespace's ResourceQuota leaves",
        })
    }
}

/// One figure of a recommendation, in cores or bytes.
fn figure(found: &Explained, resource: Resource) -> Option<f64> {
    match resource {
        Resource::Cpu => found.size.target.cpu_request.map(|cpu| cpu.0),
        Resource::CpuLimit => found.size.target.cpu_limit.map(|cpu| cpu.0),
        Resource::Memory => found.size.target.memory_request.map(Bytes::as_f64),
        Resource::MemoryLimit => found.size.target.memory_limit.map(Bytes::as_f64),
    }
}

/// Sets one figure, with the reason; the bounds of a request follow it. Down to whole thousandths of a core and bytes.
pub(super) fn set(found: &mut Explained, resource: Resource, value: f64, bound: Bound) {
    let Some(from) = figure(found, resource) else { return };
    let cpu = Cores(value).floor_milli();
    let memory = Bytes::from_f64(value.floor());
    let value = match resource {
        Resource::Cpu => {
            found.size.target.cpu_request = Some(cpu);
            found.size.lower.cpu_request = found.size.lower.cpu_request.map(|low| Cores(low.0.min(cpu.0)));
            found.size.upper.cpu_request = found.size.upper.cpu_request.map(|high| Cores(high.0.max(cpu.0)));
            cpu.0
        }
        Resource::CpuLimit => {
            found.size.target.cpu_limit = Some(cpu);
            cpu.0
        }
        Resource::Memory => {
            found.size.target.memory_request = Some(memory);
            found.size.lower.memory_request = found.size.lower.memory_request.map(|low| low.min(memory));
            found.size.upper.memory_request = found.size.upper.memory_request.map(|high| high.max(memory));
            memory.as_f64()
        }
        Resource::MemoryLimit => {
            found.size.target.memory_limit = Some(memory);
            memory.as_f64()
        }
    };
    found.reasons.push(Reason::Bound { resource, from, value, bound });
}

/// Writes back what the namespace allows, with a reason for each figure that it has moved; the bounds of a request
/// follow it. What is set later is bounded by the namespace's `most` as well.
pub(super) fn apply_moved(
    found: &mut Explained,
    allowed: &ContainerSize,
    most: &Amounts,
    moved: impl Iterator<Item = (Resource, Bound)>,
) {
    found.size.most = found.size.most.least(&most.whole());
    for (resource, bound) in moved {
        let value = match resource {
            Resource::Cpu => allowed.cpu_request.map(|cpu| cpu.0),
            Resource::CpuLimit => allowed.cpu_limit.map(|cpu| cpu.0),
            Resource::Memory => allowed.memory_request.map(Bytes::as_f64),
            Resource::MemoryLimit => allowed.memory_limit.map(Bytes::as_f64),
        };
        if let Some(value) = value {
            set(found, resource, value, bound);
        }
    }
}

/// Lowers a request, and a limit that equals it with it: what is tied stays tied.
pub(super) fn lower_request(found: &mut Explained, resource: Resource, value: f64, bound: Bound) {
    let limit = if resource == Resource::Cpu { Resource::CpuLimit } else { Resource::MemoryLimit };
    let tied = figure(found, limit).is_some() && figure(found, limit) == figure(found, resource);
    set(found, resource, value, bound);
    if tied {
        set(found, limit, value, bound);
    }
}
