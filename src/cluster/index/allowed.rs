//! What a namespace allows: the bounds of its LimitRanges, and what its ResourceQuotas have left.

use super::facts::Size;

/// The bounds that a namespace's LimitRanges set, the narrowest of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Of a container: requests not below.
    pub container_min: Size,
    /// Of a container: limits, and requests, not above.
    pub container_max: Size,
    /// Of all containers of a pod together, not above.
    pub pod_max: Size,
    /// Of the same, not below.
    pub pod_min: Size,
    /// The limits of a container that states none.
    pub container_default: Size,
    /// How far above its request a container's limit may be.
    pub container_ratio: Ratio,
    /// The same of a pod.
    pub pod_ratio: Ratio,
}

/// A limit in thousandths of its request, at most; `None`: no bound.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Ratio {
    /// Of CPU.
    pub cpu: Option<u64>,
    /// Of memory.
    pub memory: Option<u64>,
}

/// What of a namespace's ResourceQuotas is left, the least of each.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Quota {
    /// Hard limit and what is used of it, of CPU requests, in thousandths of a core.
    pub cpu_requests: Option<(u64, u64)>,
    /// The same of memory requests, in bytes.
    pub memory_requests: Option<(u64, u64)>,
    /// The same of CPU limits, in thousandths of a core.
    pub cpu_limits: Option<(u64, u64)>,
    /// The same of memory limits, in bytes.
    pub memory_limits: Option<(u64, u64)>,
    /// One of them is for all pods but those of class BestEffort.
    pub spares_best_effort: bool,
}
