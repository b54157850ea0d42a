//! Sizes of a new pod's container: the requests of the recommendation, and the limits that follow by [`LimitRules`] from
//! the pod's own ones.

use super::bounds::{Bounds, Range};
use super::figures::Figures;
use super::pod::Kind;
use crate::policy::{
    Amounts, Class, ContainerSize, CpuLimitRule, LimitRules, MemoryLimitRule, Recommendation,
    limits_of_class, tail_limit,
};
use crate::units::{Bytes, Cores};

/// Sizes that one container should have. `None`: the pod's own figure stays.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Want {
    /// Its kind.
    pub kind: Kind,
    /// CPU request, in thousandths of a core.
    pub cpu: Option<u64>,
    /// Memory request, in bytes.
    pub memory: Option<u64>,
    /// Memory limit that the tail of the usage needs, in bytes, without headroom.
    pub memory_limit: Option<u64>,
    /// How limits follow.
    pub rules: LimitRules,
    /// No request and no limit is raised above these.
    pub most: Amounts,
    /// The history is short: limits are neither lowered nor added, and requests keep half of what the pod states.
    pub young: bool,
    /// The sizes are those that pods had before: a memory limit is given as it was, without headroom.
    pub given_back: bool,
    /// More CPU while it starts up.
    pub boost: Option<Boost>,
}

/// More CPU for a container while it starts up.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Boost {
    /// CPU request until then, in thousandths of a core.
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
            most: advice.most,
            young: advice.young,
            given_back: false,
            boost: None,
        }
    }
}

/// A container of a new pod, and the rules that hold for it there.
struct Sizing<'a> {
    own: &'a Figures,
    size: ContainerSize,
    want: &'a Want,
    rules: LimitRules,
    /// The pod was given sizes before.
    again: bool,
}

/// The figures of a container of a pod that is to be of that class: in a Guaranteed one limits equal requests. `again`:
/// the pod was given sizes before.
pub(super) fn apply(own: &Figures, want: &Want, class: Class, bounds: &Bounds, again: bool) -> Figures {
    let mut rules = limits_of_class(&want.rules, class);
    // A LimitRange or a quota that asks for a limit would refuse a container without it.
    if rules.cpu == CpuLimitRule::Remove && bounds.needs_cpu_limit() {
        rules.cpu = CpuLimitRule::Keep;
    }
    if rules.memory == MemoryLimitRule::Remove && bounds.needs_memory_limit() {
        rules.memory = MemoryLimitRule::Keep;
    }
    let sizing = Sizing { own, size: own.into(), want, rules, again };
    let mut new = *own;
    if let Some(target) = want.cpu {
        let range = &bounds.container.cpu;
        let request = range.clamp(sizing.cpu_request(target));
        let limit = sizing.young_limit(own.cpu_limit, sizing.cpu_limit(request));
        let limit = limit.map(|limit| range.clamp(limit).max(request));
        (new.cpu_request, new.cpu_limit) =
            within_ratio(request, limit, range, rules.cpu == CpuLimitRule::Ratio);
    }
    if let Some(target) = want.memory {
        let range = &bounds.container.memory;
        let request = range.clamp(sizing.memory_request(target));
        let limit = sizing.young_limit(own.memory_limit, sizing.memory_limit(request));
        let limit = limit.map(|limit| range.clamp(limit).max(request));
        (new.memory_request, new.memory_limit) =
            within_ratio(request, limit, range, rules.memory == MemoryLimitRule::Ratio);
    }
    new
}

impl Sizing<'_> {
    fn cpu_request(&self, target: u64) -> u64 {
        let tied = self.own.cpu_limit.filter(|_| self.rules.cpu == CpuLimitRule::Equal);
        let request = target.max(self.young_request(self.own.cpu_request, tied));
        let request = self.want.most.cpu.map_or(request, |most| request.min(most.to_milli()));
        request.max(self.young_equal(self.own.cpu_request, tied))
    }

    fn cpu_limit(&self, request: u64) -> Option<u64> {
        if self.rules.cpu == CpuLimitRule::Remove {
            return None;
        }
        let limit = self.rules.cpu_limit(Cores::from_milli(request), &self.size, &self.want.most);
        limit.map(Cores::to_milli)
    }

    /// In the order of the recommendation's own steps: what may not shrink stays, also above maxAllowed.
    fn memory_request(&self, target: u64) -> u64 {
        let is_tied = self.rules.memory == MemoryLimitRule::Equal;
        // Tied, both follow the tail: also where the recommendation was made for pods in which they were not.
        let tail = self.want.memory_limit.filter(|_| is_tied).unwrap_or(0);
        let tied = self.own.memory_limit.filter(|_| is_tied);
        let request = target.max(tail).max(self.young_request(self.own.memory_request, tied));
        let request = self.want.most.memory.map_or(request, |most| request.min(most.0));
        let request = request.max(self.young_equal(self.own.memory_request, tied));
        self.own.memory_request.filter(|_| !self.rules.shrink_memory).map_or(request, |own| own.max(request))
    }

    fn memory_limit(&self, request: u64) -> Option<u64> {
        let own = self.own.memory_limit;
        let limit = match self.rules.memory {
            MemoryLimitRule::Remove => return None,
            MemoryLimitRule::Tail if own.is_none() && !self.rules.add_memory => return None,
            MemoryLimitRule::Tail => self.tail().or(own)?,
            _ => self.rules.memory_limit(Bytes(request), &self.size, &self.want.most)?.0,
        };
        Some(own.filter(|_| !self.rules.shrink_memory).map_or(limit, |own| own.max(limit)))
    }

    fn tail(&self) -> Option<u64> {
        let need = self.want.memory_limit?;
        Some(if self.want.given_back { need } else { tail_limit(Bytes(need), &self.want.most).0 })
    }

    /// The least request that a young series gives to a pod that states `request`, and, where the two are to be equal,
    /// `limit`: half of it the first time only, since half of a half is a quarter.
    fn young_request(&self, request: Option<u64>, limit: Option<u64>) -> u64 {
        if !self.want.young {
            return 0;
        }
        let whole = self.again || limit.is_some();
        limit.or(request).map_or(0, |stated| if whole { stated } else { stated.div_ceil(2) })
    }

    /// The request of a young series that equals its limit already: it stays with it, also above maxAllowed.
    fn young_equal(&self, request: Option<u64>, limit: Option<u64>) -> u64 {
        request.filter(|_| self.want.young && request == limit).unwrap_or(0)
    }

    /// The limit of a pod that states `own`: a young series neither lowers nor adds one.
    fn young_limit(&self, own: Option<u64>, limit: Option<u64>) -> Option<u64> {
        if !self.want.young {
            return limit;
        }
        own.map(|own| own.max(limit.unwrap_or(0)))
    }
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
