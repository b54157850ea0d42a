//! The steps from a need to a recommendation, each leaving its reason.
//!
//! Order: need, least and most, limits, rounding. What the cluster adds (LimitRange, quota, node shape) comes between
//! the policy's own range and the rounding.

#[cfg(test)]
mod tests;

use super::reason::{Reason, Resource};
use super::round::{round_up_bytes, round_up_cores};
use super::rules::{CpuLimitRule, MemoryLimitRule, Rules};
use crate::model::{Confidence, Estimate, HoldRule, LimitNeed, Need};
use crate::units::{Bytes, Cores};

/// The requests and limits of one container. `None`: not set, or not known.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct ContainerSize {
    /// CPU request.
    pub cpu_request: Option<Cores>,
    /// CPU limit.
    pub cpu_limit: Option<Cores>,
    /// Memory request.
    pub memory_request: Option<Bytes>,
    /// Memory limit.
    pub memory_limit: Option<Bytes>,
}

/// What one container should be, the bounds inside which it is left alone, and why.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Recommendation {
    /// What it should be.
    pub target: ContainerSize,
    /// Requests below these are too small.
    pub lower: ContainerSize,
    /// Requests above these are too large.
    pub upper: ContainerSize,
    /// When a CPU request is worth a change.
    pub cpu_hold: Option<HoldRule>,
    /// When a memory request is worth a change.
    pub memory_hold: Option<HoldRule>,
    /// How much history stands behind it.
    pub confidence: Confidence,
}

/// What `need` comes to under `rules` for a container that is `current` now.
#[must_use]
pub fn recommend(need: &Estimate, rules: &Rules, current: &ContainerSize) -> Recommendation {
    steps(need, rules, current, &mut |_| ())
}

/// The same, with the chain of its reasons in the order of the steps.
#[must_use]
pub fn explain(need: &Estimate, rules: &Rules, current: &ContainerSize) -> (Recommendation, Vec<Reason>) {
    let mut reasons = Vec::new();
    let found = steps(need, rules, current, &mut |reason| reasons.push(reason));
    (found, reasons)
}

fn steps(
    need: &Estimate,
    rules: &Rules,
    current: &ContainerSize,
    because: &mut impl FnMut(Reason),
) -> Recommendation {
    because(Reason::Seen { samples: need.samples, hours: need.hours, confidence: need.confidence });
    let mut found = Recommendation {
        target: *current,
        lower: ContainerSize::default(),
        upper: ContainerSize::default(),
        cpu_hold: None,
        memory_hold: None,
        confidence: need.confidence,
    };
    if let Some(cpu) = &need.cpu {
        size_cpu(cpu, rules, current, &mut found, because);
    }
    if let Some(limit) = &need.limit {
        size_memory(need.memory.as_ref(), limit, rules, current, &mut found, because);
    }
    found
}

fn size_cpu(
    need: &Need,
    rules: &Rules,
    current: &ContainerSize,
    found: &mut Recommendation,
    because: &mut impl FnMut(Reason),
) {
    let resource = Resource::Cpu;
    let range = (rules.range.min_cpu.0, rules.range.max_cpu.map(|most| most.0));
    because(Reason::Body { resource, because: need.because, value: need.target });
    if need.because.damping > 1.0 {
        because(Reason::Damped { resource, factor: need.because.damping });
    }
    let wanted = within(need.target, range, resource, because);
    let request = round_up_cores(Cores(wanted));
    because(Reason::Rounded { resource, value: request.0 });
    found.target.cpu_request = Some(request);
    found.lower.cpu_request = Some(Cores(need.lower.max(range.0).min(request.0)));
    found.upper.cpu_request = Some(Cores(need.upper.max(request.0)));
    found.cpu_hold = Some(need.hold);
    found.target.cpu_limit = limit_cpu(request, rules.cpu_limit, current, because);
}

fn limit_cpu(
    request: Cores,
    rule: CpuLimitRule,
    current: &ContainerSize,
    because: &mut impl FnMut(Reason),
) -> Option<Cores> {
    let resource = Resource::CpuLimit;
    let limit = match (rule, current.cpu_limit) {
        (CpuLimitRule::Equal, _) => request,
        (CpuLimitRule::Remove, _) | (_, None) => return None,
        (CpuLimitRule::Keep, Some(limit)) if limit >= request => return Some(limit),
        (CpuLimitRule::Keep, Some(_)) => request,
        (CpuLimitRule::Ratio, Some(limit)) => {
            let ratio = current.cpu_request.filter(|request| request.0 > 0.0).map_or(1.0, |r| limit.0 / r.0);
            round_up_cores(Cores(request.0 * ratio.max(1.0)))
        }
    };
    let rule = match rule {
        CpuLimitRule::Equal => "equals the request",
        CpuLimitRule::Ratio => "keeps its ratio to the request",
        CpuLimitRule::Keep | CpuLimitRule::Remove => "raised to the request",
    };
    because(Reason::Tied { resource, rule, value: limit.0 });
    Some(limit)
}

fn size_memory(
    body: Option<&Need>,
    tail: &LimitNeed,
    rules: &Rules,
    current: &ContainerSize,
    found: &mut Recommendation,
    because: &mut impl FnMut(Reason),
) {
    let resource = Resource::Memory;
    let tied = rules.memory_limit == MemoryLimitRule::Equal;
    let range = (rules.range.min_memory.as_f64(), rules.range.max_memory.map(Bytes::as_f64));
    let (target, bounds) = match body {
        Some(body) if !tied => {
            because(Reason::Body { resource, because: body.because, value: body.target });
            found.memory_hold = Some(body.hold);
            (body.target, (body.lower, body.upper))
        }
        _ => {
            let target = if tied { tail.equal } else { tail.lesson };
            because(tail_reason(tail, resource, target));
            found.memory_hold = tail.equal_hold;
            (target, (target, target / (1.0 - f64::from(tail.equal_hold.map_or(0.0, |hold| hold.shrink)))))
        }
    };
    let mut wanted = within(target, range, resource, because);
    if let Some(now) =
        current.memory_request.map(Bytes::as_f64).filter(|now| !rules.shrink_memory && *now > wanted)
    {
        because(Reason::NoShrink { resource, from: wanted, value: now });
        wanted = now;
    }
    let request = round_up_bytes(Bytes::from_f64(wanted));
    because(Reason::Rounded { resource, value: request.as_f64() });
    found.target.memory_request = Some(request);
    found.lower.memory_request = Some(Bytes::from_f64(bounds.0.max(range.0)).min(request));
    found.upper.memory_request = Some(Bytes::from_f64(bounds.1).max(request));
    found.target.memory_limit = limit_memory(request, tail, rules, current, because);
}

fn tail_reason(tail: &LimitNeed, resource: Resource, value: f64) -> Reason {
    if tail.lesson > tail.peak && value <= tail.lesson {
        return Reason::Killed { resource, kills: tail.kills, value };
    }
    Reason::Tail { resource, peak: tail.peak, deviation: tail.deviation, value }
}

fn limit_memory(
    request: Bytes,
    tail: &LimitNeed,
    rules: &Rules,
    current: &ContainerSize,
    because: &mut impl FnMut(Reason),
) -> Option<Bytes> {
    let resource = Resource::MemoryLimit;
    let (limit, rule) = match (rules.memory_limit, current.memory_limit) {
        (MemoryLimitRule::Remove, _) => return None,
        (MemoryLimitRule::Equal, _) => (request, "equals the request"),
        (_, None) if !rules.add_limit => return None,
        (MemoryLimitRule::Tail, _) => {
            because(tail_reason(tail, resource, tail.tail));
            let range = (request.as_f64(), rules.range.max_memory.map(Bytes::as_f64));
            let limit = within(tail.tail, range, resource, because);
            let limit = round_up_bytes(Bytes::from_f64(limit)).max(request);
            because(Reason::Rounded { resource, value: limit.as_f64() });
            return Some(limit);
        }
        (_, Some(limit)) if rules.memory_limit == MemoryLimitRule::Ratio => {
            let ratio = current
                .memory_request
                .filter(|now| now.0 > 0)
                .map_or(1.0, |now| limit.as_f64() / now.as_f64());
            let limit = Bytes::from_f64(request.as_f64() * ratio.max(1.0));
            (round_up_bytes(limit), "keeps its ratio to the request")
        }
        (_, Some(limit)) if limit >= request => return Some(limit),
        (_, Some(_)) => (request, "raised to the request"),
        (_, None) => return None,
    };
    because(Reason::Tied { resource, rule, value: limit.as_f64() });
    Some(limit)
}

/// `value` moved into the range, with the reason. The most wins over the least.
fn within(
    value: f64,
    (least, most): (f64, Option<f64>),
    resource: Resource,
    because: &mut impl FnMut(Reason),
) -> f64 {
    let mut moved = value;
    if moved < least {
        because(Reason::Raised { resource, from: moved, value: least });
        moved = least;
    }
    if let Some(most) = most.filter(|most| moved > *most) {
        because(Reason::Capped { resource, from: moved, value: most });
        moved = most;
    }
    moved
}
