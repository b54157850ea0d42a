//! Rules of API server, scheduler and kubelet that the world applies, as pure functions of sizes.
//!
//! tests/cluster/conformance_*.rs asks the real ones the same questions and compares the answers.

use std::fmt;

use super::scene::{Container, Namespace, Part};
use super::size::{Size, mib};
use crate::policy::Class;

/// Seconds of the first back-off, and of the longest.
const BACK_OFF: (i64, i64) = (10, 300);
/// A container that has run for so long starts its back-off anew, in seconds.
const FORGIVEN: i64 = 600;

/// Why a request was refused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Refusal {
    /// The pod is gone.
    Gone,
    /// A request or limit would be removed, or a limit be below its request.
    Invalid,
    /// The QoS class would change.
    QosClass,
    /// The node can never hold it.
    NodeTooSmall,
    /// A LimitRange forbids it.
    LimitRange,
    /// A ResourceQuota has no room.
    Quota,
    /// A ValidatingAdmissionPolicy denies it.
    Policy,
    /// A PodDisruptionBudget allows none.
    Budget,
}

impl fmt::Display for Refusal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(match self {
            Self::Gone => "the pod is gone",
            Self::Invalid => "invalid size",
            Self::QosClass => "the QoS class would change",
            Self::NodeTooSmall => "the node is too small",
            Self::LimitRange => "the LimitRange forbids it",
            Self::Quota => "the quota has no room",
            Self::Policy => "a policy of the cluster denies it",
            Self::Budget => "the PodDisruptionBudget allows none",
        })
    }
}

/// QoS class of a pod by the sizes of all its containers, init containers among them.
#[must_use]
pub fn class(sizes: &[Size]) -> Class {
    let is_nothing = |size: &Size| {
        [size.cpu, size.cpu_limit, size.memory, size.memory_limit].iter().all(|of| of.unwrap_or(0) == 0)
    };
    if sizes.iter().all(is_nothing) {
        Class::BestEffort
    } else if sizes.iter().all(Size::is_equal) {
        Class::Guaranteed
    } else {
        Class::Burstable
    }
}

/// Returns why a resize is no valid one, whatever node, LimitRange and quota say; `None`: it is.
#[must_use]
pub fn invalid(before: &[Size], after: &[Size]) -> Option<Refusal> {
    let lacks = |(new, old): (&Size, &Size)| new.lacks_request_of(old) || new.lacks_limit_of(old);
    if after.iter().any(Size::is_upside_down) || after.iter().zip(before).any(lacks) {
        return Some(Refusal::Invalid);
    }
    (class(before) != class(after)).then_some(Refusal::QosClass)
}

/// Returns whether the LimitRange of a namespace allows the size of a container.
#[must_use]
pub fn in_range(size: &Size, namespace: &Namespace) -> bool {
    let most = |figures: [Option<u64>; 2], most: Option<u64>| {
        most.is_none_or(|most| figures.iter().flatten().all(|figure| *figure <= most))
    };
    let least = namespace.least_mib.map_or(0, mib);
    let above = [size.memory, size.memory_limit].iter().flatten().all(|figure| *figure >= least);
    let ratio = namespace.ratio.is_none_or(|ratio| match (size.memory, size.memory_limit) {
        (Some(request), Some(limit)) => limit <= request.saturating_mul(ratio),
        (None, None) => true,
        _ => false,
    });
    above
        && ratio
        && most([size.memory, size.memory_limit], namespace.most_mib.map(mib))
        && most([size.cpu, size.cpu_limit], namespace.most_milli)
}

/// Returns whether a container comes up with this size, where its revision needs so many percent of the first one.
#[must_use]
pub fn boots(size: &Size, spec: &Container, percent: u32) -> bool {
    let enough = |has: Option<u64>, needs: u64| has.unwrap_or(u64::MAX) >= needs * u64::from(percent) / 100;
    enough(size.cpu, spec.boot_milli) && enough(size.memory_limit, mib(spec.boot_mib))
}

/// Amount of one resource that scheduler and quota count for a pod: what containers and sidecars have together, or, where
/// that is more, what an init container has with the sidecars before it.
pub fn held(parts: impl IntoIterator<Item = (Part, u64)>) -> u64 {
    let (mut beside, mut main, mut most) = (0_u64, 0_u64, 0_u64);
    for (part, amount) in parts {
        match part {
            Part::Init => most = most.max(beside.saturating_add(amount)),
            Part::Sidecar => beside = beside.saturating_add(amount),
            Part::Main => main = main.saturating_add(amount),
        }
    }
    most.max(beside.saturating_add(main))
}

/// Seconds that a container waits after a kill, and those that will be due at the next one: by what is due now (0 before
/// the first kill) and how long it ran, in seconds. The first restart is at once.
#[must_use]
pub fn back_off(due: i64, ran: i64) -> (i64, i64) {
    let wait = if ran > FORGIVEN { 0 } else { due };
    (wait, if wait == 0 { BACK_OFF.0 } else { (wait * 2).min(BACK_OFF.1) })
}

/// Returns whether a PodDisruptionBudget of so many pods at least lets a pod be evicted: of a pod that has not started
/// it always does.
#[must_use]
pub fn may_evict(healthy: u64, least: u64, started: bool, ready: bool) -> bool {
    !started || healthy >= least.saturating_add(u64::from(ready))
}
