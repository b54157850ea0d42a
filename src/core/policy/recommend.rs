//! The steps from a need to a recommendation, each leaving its reason.
//!
//! Order: need, least and most, limits, rounding. What the cluster adds (LimitRange, quota, node shape) comes between
//! the policy's own range and the rounding.

#[cfg(test)]
mod tests;

use super::bound::Amounts;
use super::limits::{LimitRules, whole_mib};
use super::reason::{Reason, Resource};
use super::round::{middle_bytes, middle_cores, round_up_bytes, round_up_cores};
use super::rules::{CpuLimitRule, MemoryLimitRule, Rules};
use crate::model::{Confidence, Estimate, HoldRule, LimitNeed, Need};
use crate::units::{Bytes, Cores};

/// Share of what people set that the request of a young series keeps.
const YOUNG_SHARE: f64 = 0.5;
/// Bounds that are wide for want of history move in steps of this share of the request.
const DOUBT_STEPS: f64 = 16.0;

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

/// The sizes of a container that a recommendation starts from.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Baseline {
    /// Requests and limits in force.
    pub current: ContainerSize,
    /// Requests and limits that people set: those of the workload's template. `None`: unknown.
    pub template: Option<ContainerSize>,
}

impl From<ContainerSize> for Baseline {
    /// The template is not known.
    fn from(current: ContainerSize) -> Self {
        Self { current, template: None }
    }
}

impl Baseline {
    /// The sizes that people set; those in force where that is not known.
    fn set(&self) -> &ContainerSize {
        self.template.as_ref().unwrap_or(&self.current)
    }

    /// The share of a request in [`set`](Self::set) that a young series keeps: all of it where nobody knows whether
    /// people or plumb itself set it, since half of a half is a quarter.
    fn young_share(&self) -> f64 {
        if self.template.is_some() { YOUNG_SHARE } else { 1.0 }
    }
}

/// The size recommended for one container, the bounds inside which it is left alone, and all else that decides when and
/// to what its pods are changed. Every figure is round enough to be written in a status and read back without loss.
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
    /// How limits follow requests.
    pub limits: LimitRules,
    /// The most that a request or limit may be.
    pub most: Amounts,
    /// The history is short: limits are not lowered, and memory limits are not added.
    pub young: bool,
    /// How much history stands behind it.
    pub confidence: Confidence,
}

impl Recommendation {
    /// Whether memory is at the most that it may have, so that more may be needed than is said.
    #[must_use]
    pub fn memory_is_capped(&self) -> bool {
        let told = self.target.memory_request.max(self.target.memory_limit);
        self.most.memory.is_some_and(|most| told >= Some(most))
    }
}

/// What `need` comes to under `rules` for a container with this `baseline`.
#[must_use]
pub fn recommend(need: &Estimate, rules: &Rules, baseline: &Baseline) -> Recommendation {
    steps(need, rules, baseline, &mut |_| ())
}

/// The same, with the chain of its reasons in the order of the steps.
#[must_use]
pub fn explain(need: &Estimate, rules: &Rules, baseline: &Baseline) -> (Recommendation, Vec<Reason>) {
    let mut reasons = Vec::new();
    let found = steps(need, rules, baseline, &mut |reason| reasons.push(reason));
    (found, reasons)
}

fn steps(
    need: &Estimate,
    rules: &Rules,
    baseline: &Baseline,
    because: &mut impl FnMut(Reason),
) -> Recommendation {
    because(Reason::Seen { samples: need.samples, hours: need.hours, confidence: need.confidence });
    let young = rules.is_young(need.hours);
    let mut found = Recommendation {
        target: baseline.current,
        lower: ContainerSize::default(),
        upper: ContainerSize::default(),
        cpu_hold: None,
        memory_hold: None,
        limits: rules.limits(baseline.template.as_ref()),
        most: rules.range.most(),
        young,
        confidence: need.confidence,
    };
    let lacks = young.then_some(rules.learn_hours - need.hours);
    if let Some(cpu) = &need.cpu {
        size_cpu(cpu, rules, baseline, lacks, &mut found, because);
    }
    if let Some(limit) = &need.limit {
        size_memory((need.memory.as_ref(), limit), rules, baseline, lacks, &mut found, because);
    }
    found
}

/// `value`, but not below `least` where the series is young: where it `lacks` so many hours.
fn keep_young(
    value: f64,
    least: Option<f64>,
    lacks: Option<f32>,
    resource: Resource,
    because: &mut impl FnMut(Reason),
) -> f64 {
    match (least, lacks) {
        (Some(least), Some(lacks)) if value < least => {
            because(Reason::Young { resource, from: value, value: least, lacks });
            least
        }
        _ => value,
    }
}

fn size_cpu(
    need: &Need,
    rules: &Rules,
    baseline: &Baseline,
    lacks: Option<f32>,
    found: &mut Recommendation,
    because: &mut impl FnMut(Reason),
) {
    let resource = Resource::Cpu;
    let least = rules.range.min_cpu.ceil_milli();
    let range = (least.0, found.most.cpu.map(|most| most.0));
    because(Reason::Body { resource, because: need.because, value: need.target });
    if need.because.damping > 1.0 {
        because(Reason::Damped { resource, factor: need.because.damping });
    }
    let least = baseline.set().cpu_request;
    let least = least.map(|set| Cores(set.0 * baseline.young_share()).ceil_milli().0);
    let rounded = round_up_cores(Cores(within(need.target, range, resource, because)));
    because(Reason::Rounded { resource, value: rounded.0 });
    // Not rounded again: what is kept would else grow each time.
    let request = Cores(keep_young(rounded.0, least, lacks, resource, because));
    let request = found.most.cpu.map_or(request, |most| if request.0 > most.0 { most } else { request });
    found.target.cpu_request = Some(request);
    let hold = need.hold.rounded();
    let (low, high) = shares(need, &hold);
    let middle = middle_cores(request);
    found.lower.cpu_request = Some(Cores(whole_milli(middle * low).max(range.0).min(request.0)));
    found.upper.cpu_request = Some(Cores(whole_milli(middle * high).max(request.0)));
    found.cpu_hold = Some(hold);
    found.target.cpu_limit = limit_cpu(request, found, baseline, lacks, because);
}

fn limit_cpu(
    request: Cores,
    found: &Recommendation,
    baseline: &Baseline,
    lacks: Option<f32>,
    because: &mut impl FnMut(Reason),
) -> Option<Cores> {
    let resource = Resource::CpuLimit;
    let rule = found.limits.cpu;
    if rule == CpuLimitRule::Remove {
        return None;
    }
    let own = baseline.current.cpu_limit;
    let limit = found.limits.cpu_limit(request, &baseline.current, &found.most)?;
    let words = match rule {
        CpuLimitRule::Equal => "equals the request",
        CpuLimitRule::Ratio => "keeps its ratio to the request",
        CpuLimitRule::Keep | CpuLimitRule::Remove => "raised to the request",
    };
    if rule == CpuLimitRule::Ratio || rule == CpuLimitRule::Equal || own != Some(limit) {
        because(Reason::Tied { resource, rule: words, value: limit.0 });
    }
    Some(Cores(keep_young(limit.0, own.map(|own| own.0), lacks, resource, because)))
}

fn size_memory(
    (body, tail): (Option<&Need>, &LimitNeed),
    rules: &Rules,
    baseline: &Baseline,
    lacks: Option<f32>,
    found: &mut Recommendation,
    because: &mut impl FnMut(Reason),
) {
    let resource = Resource::Memory;
    let tied = rules.memory_limit == MemoryLimitRule::Equal;
    let range = (rules.range.min_memory.as_f64(), found.most.memory.map(Bytes::as_f64));
    let (target, (low, high)) = match body {
        Some(body) if !tied => {
            because(Reason::Body { resource, because: body.because, value: body.target });
            let hold = body.hold.rounded();
            found.memory_hold = Some(hold);
            (body.target, shares(body, &hold))
        }
        _ => {
            let target = if tied { tail.equal } else { tail.lesson };
            because(tail_reason(tail, resource, target));
            found.memory_hold = tail.equal_hold.map(HoldRule::rounded);
            (target, (1.0, 1.0 / (1.0 - f64::from(found.memory_hold.map_or(0.0, |hold| hold.shrink)))))
        }
    };
    let raised = raise_for_limit(target, tail, found, baseline, because);
    let rounded = round_up_bytes(Bytes::from_f64(within(raised, range, resource, because)));
    because(Reason::Rounded { resource, value: rounded.as_f64() });
    // What is kept is not rounded again: it would else grow each time.
    let least = young_request(tied, baseline).map(Bytes::as_f64);
    let wanted = keep_young(rounded.as_f64(), least, lacks, resource, because);
    let wanted = found.most.memory.map_or(wanted, |most| wanted.min(most.as_f64()));
    let request = Bytes::from_f64(keep_grown(
        wanted,
        baseline.current.memory_request,
        rules.shrink_memory,
        resource,
        because,
    ));
    found.target.memory_request = Some(request);
    let lower = Bytes::from_f64((middle_bytes(request) * low).floor());
    found.lower.memory_request = Some(lower.max(rules.range.min_memory).min(request));
    found.upper.memory_request = Some(Bytes::from_f64(middle_bytes(request) * high).max(request));
    found.target.memory_limit = limit_memory(request, tail, found, baseline, lacks, because);
}

/// `value`, or what is there now where that is more and memory may not shrink.
fn keep_grown(
    value: f64,
    now: Option<Bytes>,
    shrinks: bool,
    resource: Resource,
    because: &mut impl FnMut(Reason),
) -> f64 {
    match now.map(Bytes::as_f64).filter(|now| !shrinks && *now > value) {
        Some(now) => {
            because(Reason::NoShrink { resource, from: value, value: now });
            now
        }
        None => value,
    }
}

/// The least memory request of a young series. Tied, it is also the limit: that would fall with it.
fn young_request(tied: bool, baseline: &Baseline) -> Option<Bytes> {
    let set = baseline.set();
    if tied {
        return set.memory_limit.max(set.memory_request);
    }
    let share = baseline.young_share();
    set.memory_request.map(|set| if share < 1.0 { whole_mib(set.as_f64() * share) } else { set })
}

/// Where the limit follows the request, the request is raised so that the limit reaches what the tail needs: else a kill
/// would teach nothing.
fn raise_for_limit(
    target: f64,
    tail: &LimitNeed,
    found: &Recommendation,
    baseline: &Baseline,
    because: &mut impl FnMut(Reason),
) -> f64 {
    let resource = Resource::Memory;
    let least = found.limits.request_for_limit(Bytes::from_f64(tail.tail), baseline.set());
    match least.map(Bytes::as_f64) {
        Some(least) if least > target && found.limits.memory != MemoryLimitRule::Equal => {
            because(Reason::RaisedForLimit { resource, from: target, value: least, limit: tail.tail });
            least
        }
        _ => target,
    }
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
    found: &Recommendation,
    baseline: &Baseline,
    lacks: Option<f32>,
    because: &mut impl FnMut(Reason),
) -> Option<Bytes> {
    let resource = Resource::MemoryLimit;
    let rules = &found.limits;
    let own = baseline.current.memory_limit;
    if rules.memory == MemoryLimitRule::Remove || own.is_none() && lacks.is_some() {
        return None;
    }
    if rules.memory == MemoryLimitRule::Tail {
        if own.is_none() && !rules.add_memory {
            return None;
        }
        because(tail_reason(tail, resource, tail.tail));
        let range = (request.as_f64(), found.most.memory.map(Bytes::as_f64));
        let limit = within(tail.tail, range, resource, because);
        let rounded = round_up_bytes(Bytes::from_f64(limit));
        let limit = found.most.memory.map_or(rounded, |most| rounded.min(most)).max(request);
        because(Reason::Rounded { resource, value: limit.as_f64() });
        // What is kept is not rounded: the limit would else pass itself, and be raised, each time.
        let limit = keep_young(limit.as_f64(), own.map(Bytes::as_f64), lacks, resource, because);
        let limit = keep_grown(limit, own, rules.shrink_memory, resource, because);
        return Some(Bytes::from_f64(limit));
    }
    let limit = rules.memory_limit(request, &baseline.current, &found.most)?;
    let words = match rules.memory {
        MemoryLimitRule::Equal => "equals the request",
        MemoryLimitRule::Ratio => "keeps its ratio to the request",
        MemoryLimitRule::Headroom(_) => "the request and the policy's headroom",
        MemoryLimitRule::Tail | MemoryLimitRule::Keep | MemoryLimitRule::Remove => "raised to the request",
    };
    if rules.memory != MemoryLimitRule::Keep || own != Some(limit) {
        because(Reason::Tied { resource, rule: words, value: limit.as_f64() });
    }
    if rules.memory == MemoryLimitRule::Keep && limit.as_f64() < tail.lesson {
        because(Reason::KeptBelowNeed { resource, need: tail.lesson, value: limit.as_f64() });
    }
    let least = own.map(Bytes::as_f64).filter(|_| rules.memory != MemoryLimitRule::Equal);
    Some(Bytes::from_f64(keep_young(limit.as_f64(), least, lacks, resource, because)))
}

/// The bounds as shares of the request: what is worth a change, or, while there is little history, what the estimate is
/// unsure of, in steps, so that they are the same for a while.
fn shares(need: &Need, hold: &HoldRule) -> (f64, f64) {
    let narrow =
        (1.0 / (1.0 + f64::from(hold.grow)), 1.0 / (1.0 - f64::from(hold.shrink)).max(f64::MIN_POSITIVE));
    if need.target <= 0.0 {
        return narrow;
    }
    let (low, high) = (need.lower / need.target, need.upper / need.target);
    // The rule is rounded, so that even without doubt the two differ a little.
    let low = if low < narrow.0 * 0.98 { (low * DOUBT_STEPS).floor() / DOUBT_STEPS } else { narrow.0 };
    let high = if high > narrow.1 * 1.02 { (high * DOUBT_STEPS).ceil() / DOUBT_STEPS } else { narrow.1 };
    (low.min(narrow.0), high.max(narrow.1))
}

/// To whole thousandths of a core, so that nothing is lost in a status.
fn whole_milli(cores: f64) -> f64 {
    (cores * 1000.0).round() / 1000.0
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
