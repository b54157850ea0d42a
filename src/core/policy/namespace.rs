//! Bounds of a namespace on a pod: what its LimitRanges and ResourceQuotas would refuse is not asked for.
//!
//! (Kubernetes: plugin/pkg/admission/limitranger and pkg/quota/v1, which judge a pod as a whole, resizes included.)

use super::bound::{Amounts, Bound};
use super::limit_range;
use super::quota;
use super::reason::Resource;
use super::recommend::ContainerSize;
use crate::units::{Bytes, Cores};

/// Bounds of a namespace's LimitRanges and ResourceQuotas.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct NamespaceBounds {
    /// Bounds on each container.
    pub container: RangeBounds,
    /// Bounds on all containers of a pod together.
    pub pod: RangeBounds,
    /// What the quotas leave of requests.
    pub requests_left: Amounts,
    /// What the quotas leave of limits.
    pub limits_left: Amounts,
}

/// Bounds of LimitRanges.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct RangeBounds {
    /// No request or limit is below these.
    pub least: Amounts,
    /// No request or limit is above these.
    pub most: Amounts,
    /// How far a CPU limit may be above its request, in thousandths of the request.
    pub cpu_ratio: Option<u64>,
    /// The same for memory.
    pub memory_ratio: Option<u64>,
}

/// A container whose size must keep to the bounds of its namespace.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Bounded {
    /// The size that it has.
    pub now: ContainerSize,
    /// The size that is wanted, and after [`keep_to_namespace`] the size that is allowed.
    pub wanted: ContainerSize,
    /// Its CPU may be changed.
    pub cpu: bool,
    /// Its memory may be changed.
    pub memory: bool,
    /// No request is raised above these, for a ratio.
    pub most: Amounts,
}

/// A figure that the namespace bounds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Moved {
    /// Place of the container among those of its pod.
    pub container: usize,
    /// Which of its figures.
    pub resource: Resource,
    /// By what.
    pub bound: Bound,
}

/// Moves the sizes of a pod's containers to what the namespace allows when each of `replicas` pods grows alike; a
/// resource for which nothing is allowed stays as it is now. Answers what was moved.
pub fn keep_to_namespace(pod: &mut [Bounded], bounds: &NamespaceBounds, replicas: u32) -> Vec<Moved> {
    let mut moved = Vec::new();
    for cpu in [true, false] {
        let mut lines: Vec<Line> = pod.iter().map(|container| Line::of(container, cpu)).collect();
        let limits = Limits::of(bounds, cpu, replicas);
        limit_range::fit(&mut lines, &limits);
        quota::fit(&mut lines, &limits);
        limit_range::check(&mut lines, &limits);
        for (container, (bounded, line)) in pod.iter_mut().zip(&lines).enumerate() {
            moved.extend(line.write(bounded, container, cpu));
        }
    }
    moved
}

/// The bounds on one resource, in thousandths of a core or bytes.
pub(super) struct Limits {
    pub(super) container: Range,
    pub(super) pod: Range,
    /// What each pod may take more of requests and of limits.
    pub(super) left: [Option<u64>; 2],
}

/// The bounds of LimitRanges on one resource.
pub(super) struct Range {
    pub(super) least: Option<u64>,
    pub(super) most: Option<u64>,
    pub(super) ratio: Option<u64>,
}

impl Range {
    fn of(bounds: &RangeBounds, cpu: bool) -> Self {
        Self {
            least: amount(&bounds.least, cpu),
            most: amount(&bounds.most, cpu),
            ratio: if cpu { bounds.cpu_ratio } else { bounds.memory_ratio },
        }
    }
}

impl Limits {
    fn of(bounds: &NamespaceBounds, cpu: bool, replicas: u32) -> Self {
        let left = [&bounds.requests_left, &bounds.limits_left];
        Self {
            container: Range::of(&bounds.container, cpu),
            pod: Range::of(&bounds.pod, cpu),
            left: left.map(|left| amount(left, cpu).map(|left| left / u64::from(replicas.max(1)))),
        }
    }
}

fn amount(amounts: &Amounts, cpu: bool) -> Option<u64> {
    if cpu { amounts.cpu.map(Cores::to_milli) } else { amounts.memory.map(|memory| memory.0) }
}

/// Request and limit of one resource of one container, in thousandths of a core or bytes.
#[derive(Clone, Copy, Debug)]
pub(super) struct Line {
    now: [Option<u64>; 2],
    pub(super) request: Option<u64>,
    pub(super) limit: Option<u64>,
    pub(super) most: Option<u64>,
    /// The limit equals the request, and stays so.
    tied: bool,
    /// The limit that it has; the request has drawn it up, and would let it down again.
    drawn_from: Option<u64>,
    may_change: bool,
    moved: [Option<Bound>; 2],
}

impl Line {
    fn of(container: &Bounded, cpu: bool) -> Self {
        let figures = |size: &ContainerSize| {
            if cpu {
                [size.cpu_request.map(Cores::to_milli), size.cpu_limit.map(Cores::to_milli)]
            } else {
                [size.memory_request.map(|memory| memory.0), size.memory_limit.map(|memory| memory.0)]
            }
        };
        let may_change = if cpu { container.cpu } else { container.memory };
        let now = figures(&container.now);
        let [request, limit] = if may_change { figures(&container.wanted) } else { now };
        let equal = request.is_some() && request == limit;
        let drawn_from = now[1].filter(|own| equal && now[0] < Some(*own) && limit > Some(*own));
        let tied = equal && drawn_from.is_none();
        let most = amount(&container.most, cpu);
        Self { now, request, limit, most, tied, drawn_from, may_change, moved: [None; 2] }
    }

    /// What it has now of request (0) or limit (1).
    pub(super) fn now(&self, figure: usize) -> u64 {
        self.now.get(figure).copied().flatten().unwrap_or(0)
    }

    /// How far the limit is above the request.
    pub(super) fn above(&self) -> u64 {
        self.limit.unwrap_or(0).saturating_sub(self.request.unwrap_or(0))
    }

    /// Sets the request, and a limit that is tied to it or would be below.
    pub(super) fn set_request(&mut self, value: u64, bound: Bound) {
        if !self.may_change || self.request.is_none() {
            return;
        }
        if self.request != Some(value) {
            (self.request, self.moved[0]) = (Some(value), Some(bound));
        }
        let Some(limit) = self.limit else { return };
        let follows = match self.drawn_from {
            Some(own) => own.max(value),
            None if self.tied => value,
            None => limit.max(value),
        };
        if limit != follows {
            (self.limit, self.moved[1]) = (Some(follows), Some(bound));
        }
    }

    /// Sets the limit, and a request that is tied to it or would be above.
    pub(super) fn set_limit(&mut self, value: u64, bound: Bound) {
        if !self.may_change || self.limit.is_none() {
            return;
        }
        if self.limit != Some(value) {
            (self.limit, self.moved[1]) = (Some(value), Some(bound));
        }
        if let Some(request) = self.request
            && request != value
            && (self.tied || request > value)
        {
            (self.request, self.moved[0]) = (Some(value), Some(bound));
        }
    }

    /// Goes back to what it has now.
    pub(super) fn stay(&mut self, bound: Bound) {
        let [request, limit] = self.now;
        if request != self.request {
            (self.request, self.moved[0]) = (request, Some(bound));
        }
        if limit != self.limit {
            (self.limit, self.moved[1]) = (limit, Some(bound));
        }
    }

    fn write(&self, container: &mut Bounded, place: usize, cpu: bool) -> impl Iterator<Item = Moved> {
        let size = &mut container.wanted;
        let [request, limit] = self.moved;
        let resources =
            if cpu { [Resource::Cpu, Resource::CpuLimit] } else { [Resource::Memory, Resource::MemoryLimit] };
        let cores = |milli: Option<u64>| milli.map(Cores::from_milli);
        if request.is_some() {
            if cpu {
                size.cpu_request = cores(self.request);
            } else {
                size.memory_request = self.request.map(Bytes);
            }
        }
        if limit.is_some() {
            if cpu {
                size.cpu_limit = cores(self.limit);
            } else {
                size.memory_limit = self.limit.map(Bytes);
            }
        }
        let both = resources.into_iter().zip([request, limit]);
        both.filter_map(move |(resource, bound)| Some(Moved { container: place, resource, bound: bound? }))
    }
}

/// `value * part / whole`, rounded down or up; 0 where the whole is.
pub(super) fn share(value: u64, part: u64, whole: u64, up: bool) -> u64 {
    let (product, whole) = (u128::from(value) * u128::from(part), u128::from(whole));
    if whole == 0 {
        return 0;
    }
    let quotient = if up { product.div_ceil(whole) } else { product / whole };
    u64::try_from(quotient).unwrap_or(u64::MAX)
}

/// The sum of one figure of all lines.
pub(super) fn sum(lines: &[Line], figure: impl Fn(&Line) -> Option<u64>) -> u64 {
    lines.iter().filter_map(figure).fold(0, u64::saturating_add)
}
