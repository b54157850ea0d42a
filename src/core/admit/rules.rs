//! What is wanted of one container, and the limits that follow from it by the policy's rules.
//!
//! The requests come from the recommendation; limits follow from the pod's own ones, since a new pod's template may
//! say other than the pods that the recommendation was made from.

use super::bounds::{Bounds, Range};
use super::figures::Figures;
use super::pod::Kind;
use crate::policy::{Class, CpuLimitRule, LimitRules, MemoryLimitRule, Recommendation};
use crate::units::Cores;

/// What is wanted of one container. `None`: it stays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Want {
    /// Its kind.
    pub kind: Kind,
    /// CPU request, in thousandths of a core.
    pub cpu: Option<u64>,
    /// Memory request, in bytes.
    pub memory: Option<u64>,
    /// Memory limit that follows the tail of the usage, in bytes.
    pub memory_limit: Option<u64>,
    /// How limits follow.
    pub rules: LimitRules,
    /// The history is short: limits are neither lowered nor added, and requests keep half of what the pod states.
    pub young: bool,
    /// More CPU while it starts up.
    pub boost: Option<Boost>,
}

/// More CPU for a container while it starts up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Boost {
    /// What it then requests, in thousandths of a core.
    pub cpu: u64,
    /// For how many seconds after its start; `None`: until its pod is ready.
    pub seconds: Option<u64>,
}

impl Want {
    /// Reads the want of a container of that kind from its recommendation. Without a boost, which none holds.
    #[must_use]
    pub fn of(advice: &Recommendation, kind: Kind) -> Self {
        let target = &advice.target;
        Self {
            kind,
            cpu: target.cpu_request.map(Cores::to_milli).filter(|cpu| *cpu > 0),
            memory: target.memory_request.map(|memory| memory.0).filter(|memory| *memory > 0),
            memory_limit: target.memory_limit.map(|memory| memory.0),
            rules: advice.limits,
            young: advice.young,
            boost: None,
        }
    }

    /// True where its memory request and limit are to be the same.
    pub(super) fn ties_memory(&self, class: Class) -> bool {
        self.rules.memory == MemoryLimitRule::Equal || class == Class::Guaranteed
    }
}

/// The figures of a container of a pod that is to be of that class: in a Guaranteed one limits equal requests. `again`:
/// the pod was given sizes before.
pub(super) fn apply(own: &Figures, want: &Want, class: Class, bounds: &Bounds, again: bool) -> Figures {
    let mut want = *want;
    // What a LimitRange or a quota asks for cannot be left out.
    if want.rules.cpu == CpuLimitRule::Remove && bounds.needs_cpu_limit() {
        want.rules.cpu = CpuLimitRule::Keep;
    }
    if want.rules.memory == MemoryLimitRule::Remove && bounds.needs_memory_limit() {
        want.rules.memory = MemoryLimitRule::Keep;
    }
    let mut new = *own;
    if let Some(request) = want.cpu {
        let range = &bounds.container.cpu;
        let tied = want.rules.cpu == CpuLimitRule::Equal || class == Class::Guaranteed;
        let least = young_request(&want, again, own.cpu_request, own.cpu_limit.filter(|_| tied));
        let request = range.clamp(request.max(least));
        let limit = young_limit(&want, own.cpu_limit, cpu_limit(own, request, &want, class))
            .map(|limit| range.clamp(limit).max(request));
        let follows = want.rules.cpu == CpuLimitRule::Ratio;
        (new.cpu_request, new.cpu_limit) = within_ratio(request, limit, range, follows);
    }
    if let Some(request) = want.memory {
        let range = &bounds.container.memory;
        let tied = own.memory_limit.filter(|_| want.ties_memory(class));
        let least = young_request(&want, again, own.memory_request, tied);
        let request = range.clamp(memory_request(own, request, &want, class).max(least));
        let limit = young_limit(&want, own.memory_limit, memory_limit(own, request, &want, class))
            .map(|limit| range.clamp(limit).max(request));
        let follows = want.rules.memory == MemoryLimitRule::Ratio;
        (new.memory_request, new.memory_limit) = within_ratio(request, limit, range, follows);
    }
    new
}

/// The least request that a young series gives to a pod that states `request`, and, where the two are to be equal,
/// `limit`: half of it the first time only, since half of a half is a quarter.
fn young_request(want: &Want, again: bool, request: Option<u64>, limit: Option<u64>) -> u64 {
    if !want.young {
        return 0;
    }
    limit.or(request).map_or(0, |stated| if again || limit.is_some() { stated } else { stated.div_ceil(2) })
}

/// The limit of a pod that states `own`: a young series neither lowers nor adds one.
fn young_limit(want: &Want, own: Option<u64>, limit: Option<u64>) -> Option<u64> {
    if !want.young {
        return limit;
    }
    own.map(|own| own.max(limit.unwrap_or(0)))
}

/// Where a LimitRange finds the limit too far above its request: a limit that follows the request comes down to it;
/// any other draws the request up, as to lower it could kill.
fn within_ratio(
    request: u64,
    limit: Option<u64>,
    range: &Range,
    follows: bool,
) -> (Option<u64>, Option<u64>) {
    match limit {
        Some(limit) if follows => (Some(request), Some(limit.min(range.limit_over(request)).max(request))),
        Some(limit) => (Some(request.max(range.request_under(limit).min(limit))), Some(limit)),
        None => (Some(request), None),
    }
}

fn cpu_limit(own: &Figures, request: u64, want: &Want, class: Class) -> Option<u64> {
    if want.rules.cpu == CpuLimitRule::Equal || class == Class::Guaranteed {
        return Some(request);
    }
    let limit = own.cpu_limit?;
    match want.rules.cpu {
        CpuLimitRule::Remove => None,
        CpuLimitRule::Ratio => Some(scaled(limit, own.cpu_request, request)),
        CpuLimitRule::Keep | CpuLimitRule::Equal => Some(limit),
    }
}

fn memory_request(own: &Figures, request: u64, want: &Want, class: Class) -> u64 {
    // Tied, both follow the tail: also where the recommendation was made for pods in which they were not.
    let tail = want.memory_limit.filter(|_| want.ties_memory(class)).unwrap_or(0);
    let floor = own.memory_request.filter(|_| !want.rules.shrink_memory).unwrap_or(0);
    request.max(tail).max(floor)
}

fn memory_limit(own: &Figures, request: u64, want: &Want, class: Class) -> Option<u64> {
    if want.ties_memory(class) {
        return Some(request);
    }
    let limit = match (want.rules.memory, own.memory_limit) {
        (MemoryLimitRule::Tail, None) if want.rules.add_memory => want.memory_limit?,
        (MemoryLimitRule::Remove, _) | (_, None) => return None,
        (MemoryLimitRule::Tail, Some(own)) => want.memory_limit.unwrap_or(own),
        (MemoryLimitRule::Ratio, Some(limit)) => scaled(limit, own.memory_request, request),
        (MemoryLimitRule::Headroom(more), Some(_)) => request.saturating_add(more.0),
        (MemoryLimitRule::Keep | MemoryLimitRule::Equal, Some(own)) => own,
    };
    let floor = own.memory_limit.filter(|_| !want.rules.shrink_memory).unwrap_or(0);
    Some(limit.max(floor))
}

/// The limit that has to the new request the ratio that it had to the old one, rounded up.
pub(super) fn scaled(limit: u64, old: Option<u64>, new: u64) -> u64 {
    let Some(old) = old.filter(|old| *old > 0) else { return limit.max(new) };
    let exact = (u128::from(limit) * u128::from(new)).div_ceil(u128::from(old));
    u64::try_from(exact).unwrap_or(u64::MAX).max(new)
}
