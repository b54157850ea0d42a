//! What a namespace allows: LimitRanges and ResourceQuotas. What they would refuse is never asked for.
//!
//! (Kubernetes: plugin/pkg/admission/limitranger and pkg/quota/v1, which judge the pod after us.)

use std::collections::BTreeMap;

use super::figures::{self, Figures};
use super::pod::{Kind, RawAmount};
use super::{Part, Reason};

/// What a namespace allows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Bounds {
    /// Of each container.
    pub container: Extent,
    /// Of a pod's containers together.
    pub pod: Extent,
    /// What the quotas have left.
    pub left: Left,
}

/// What one container, or one pod, may have of each resource.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Extent {
    /// Of CPU, in thousandths of a core.
    pub cpu: Range,
    /// Of memory, in bytes.
    pub memory: Range,
}

/// From where to where; `None`: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Range {
    /// No request or limit below this.
    pub least: Option<u64>,
    /// No request or limit above this; and there must be a limit.
    pub most: Option<u64>,
    /// The limit of what states none.
    pub default_limit: Option<u64>,
    /// How many thousandths of its request a limit may be; and both must be there.
    pub ratio: Option<u64>,
}

/// What quotas have left, in thousandths of a core and bytes; `None`: no quota.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Left {
    /// Of CPU requests.
    pub cpu_requests: Option<u64>,
    /// Of CPU limits.
    pub cpu_limits: Option<u64>,
    /// Of memory requests.
    pub memory_requests: Option<u64>,
    /// Of memory limits.
    pub memory_limits: Option<u64>,
    /// One of them is for all pods but those that ask for nothing.
    pub spares_best_effort: bool,
}

impl Left {
    /// What is left for the containers of a pod that takes so much beside them; `None` where that is no amount.
    pub(super) fn beside(&self, overhead: &BTreeMap<String, RawAmount>) -> Option<Self> {
        let cpu = figures::cpu(overhead)?.unwrap_or(0);
        let memory = figures::memory(overhead)?.unwrap_or(0);
        let less = |left: Option<u64>, taken: u64| left.map(|left| left.saturating_sub(taken));
        Some(Self {
            cpu_requests: less(self.cpu_requests, cpu),
            cpu_limits: less(self.cpu_limits, cpu),
            memory_requests: less(self.memory_requests, memory),
            memory_limits: less(self.memory_limits, memory),
            ..*self
        })
    }
}

impl Bounds {
    /// A container without a CPU limit would be given one, or refused.
    pub(super) fn needs_cpu_limit(&self) -> bool {
        self.container.cpu.needs_limit() || self.pod.cpu.needs_limit() || self.left.cpu_limits.is_some()
    }

    /// A container without a memory limit would be given one, or refused.
    pub(super) fn needs_memory_limit(&self) -> bool {
        let range = self.container.memory.needs_limit() || self.pod.memory.needs_limit();
        range || self.left.memory_limits.is_some()
    }
}

impl Range {
    fn needs_limit(&self) -> bool {
        self.most.is_some() || self.default_limit.is_some() || self.ratio.is_some()
    }

    /// Moved into the range; the most wins over the least.
    pub(super) fn clamp(&self, value: u64) -> u64 {
        value.max(self.least.unwrap_or(0)).min(self.most.unwrap_or(u64::MAX))
    }

    /// The highest limit that the request allows.
    pub(super) fn limit_over(&self, request: u64) -> u64 {
        let Some(ratio) = self.ratio else { return u64::MAX };
        u64::try_from(u128::from(request) * u128::from(ratio) / 1000).unwrap_or(u64::MAX)
    }

    /// The lowest request that the limit allows.
    pub(super) fn request_under(&self, limit: u64) -> u64 {
        let Some(ratio) = self.ratio.filter(|ratio| *ratio > 0) else { return 0 };
        u64::try_from((u128::from(limit) * 1000).div_ceil(u128::from(ratio))).unwrap_or(u64::MAX)
    }

    /// What a LimitRange would refuse. (limitranger's minConstraint, maxConstraint, limitRequestRatioConstraint.)
    fn refuses(&self, request: Option<u64>, limit: Option<u64>) -> bool {
        let either = || request.into_iter().chain(limit);
        let low = self.least.is_some_and(|least| request.is_none() || either().any(|value| value < least));
        let high = self.most.is_some_and(|most| limit.is_none() || either().any(|value| value > most));
        let far = self.ratio.is_some_and(|ratio| match (request, limit) {
            (Some(request), Some(limit)) => {
                u128::from(limit) * 1000 > u128::from(request) * u128::from(ratio)
            }
            _ => true,
        });
        low || high || far
    }
}

/// One of the four figures of a container.
type Of = fn(&Figures) -> Option<u64>;

/// What the scheduler and the quotas count of a pod: what runs side by side, or, where that is more, an init container
/// with the sidecars that were started before it. (Kubernetes: pkg/api/v1/resource, `PodRequests`.)
fn total(parts: &[Part<'_>], figure: impl Fn(&Part<'_>) -> Option<u64>) -> u64 {
    let (mut sidecars, mut init, mut containers) = (0_u64, 0_u64, 0_u64);
    for part in parts {
        let value = figure(part).unwrap_or(0);
        match part.kind {
            Kind::Sidecar => {
                sidecars = sidecars.saturating_add(value);
                init = init.max(sidecars);
            }
            Kind::Init => init = init.max(sidecars.saturating_add(value)),
            Kind::Container => containers = containers.saturating_add(value),
        }
    }
    init.max(sidecars.saturating_add(containers))
}

/// Where a quota has no room for the growth of a resource, what would grow keeps what it has of it.
pub(super) fn hold_growth(parts: &mut [Part<'_>], left: &Left) -> Result<(), Reason> {
    let cpu: [(Option<u64>, Of); 2] =
        [(left.cpu_requests, |f| f.cpu_request), (left.cpu_limits, |f| f.cpu_limit)];
    if cpu.iter().any(|(left, of)| is_short(parts, *left, *of)) {
        for part in parts.iter_mut().filter(|part| grows(part, &cpu)) {
            (part.new.cpu_request, part.new.cpu_limit) = (part.own.cpu_request, part.own.cpu_limit);
        }
    }
    let memory: [(Option<u64>, Of); 2] =
        [(left.memory_requests, |f| f.memory_request), (left.memory_limits, |f| f.memory_limit)];
    if memory.iter().any(|(left, of)| is_short(parts, *left, *of)) {
        for part in parts.iter_mut().filter(|part| grows(part, &memory)) {
            (part.new.memory_request, part.new.memory_limit) =
                (part.own.memory_request, part.own.memory_limit);
        }
    }
    let mut all = cpu.into_iter().chain(memory);
    if all.any(|(left, of)| is_short(parts, left, of)) { Err(Reason::Quota) } else { Ok(()) }
}

/// Whether the quotas have room for it.
pub(super) fn has_room(parts: &[Part<'_>], left: &Left) -> bool {
    !is_short(parts, left.cpu_requests, |f| f.cpu_request)
        && !is_short(parts, left.cpu_limits, |f| f.cpu_limit)
}

/// More than is left, and more than the pod would take without us.
fn is_short(parts: &[Part<'_>], left: Option<u64>, of: Of) -> bool {
    let Some(left) = left else { return false };
    let new = total(parts, |part| of(&part.new));
    new > left && new > total(parts, |part| of(&part.own))
}

fn grows(part: &Part<'_>, figures: &[(Option<u64>, Of); 2]) -> bool {
    figures.iter().any(|(_, of)| of(&part.new).unwrap_or(0) > of(&part.own).unwrap_or(0))
}

/// What a LimitRange would refuse, or Kubernetes itself, is refused here first.
pub(super) fn check(parts: &[Part<'_>], bounds: &Bounds) -> Result<(), Reason> {
    let crossed = |request: Option<u64>, limit: Option<u64>| {
        limit.is_some_and(|limit| request.is_none_or(|request| request > limit))
    };
    for part in parts {
        let (Some(want), new) = (part.want, &part.new) else { continue };
        let cpu = bounds.container.cpu.refuses(new.cpu_request, new.cpu_limit);
        let memory = bounds.container.memory.refuses(new.memory_request, new.memory_limit);
        let cpu = cpu || crossed(new.cpu_request, new.cpu_limit);
        let memory = memory || crossed(new.memory_request, new.memory_limit);
        if want.cpu.is_some() && cpu || want.memory.is_some() && memory {
            return Err(Reason::LimitRange);
        }
    }
    let sum = |of: Of| Some(total(parts, |part| of(&part.new))).filter(|sum| *sum > 0);
    let cpu = bounds.pod.cpu.refuses(sum(|f| f.cpu_request), sum(|f| f.cpu_limit));
    let memory = bounds.pod.memory.refuses(sum(|f| f.memory_request), sum(|f| f.memory_limit));
    if cpu || memory { Err(Reason::LimitRange) } else { Ok(()) }
}
