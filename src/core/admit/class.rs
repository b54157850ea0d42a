//! A pod's quality of service class: what it is, and that stamping does not change it behind somebody's back.

use super::figures::Figures;
use super::{Part, Reason};
use crate::policy::{Class, CpuLimitRule, MemoryLimitRule};
use crate::units::MIB;

/// The class of a pod with these containers, init containers among them.
/// (Kubernetes: pkg/apis/core/v1/helper/qos, `ComputePodQOS`.)
pub(super) fn class<'a>(containers: &(impl Iterator<Item = &'a Figures> + Clone)) -> Class {
    let stated = |figure: Option<u64>| figure.is_some_and(|figure| figure > 0);
    let states_something = |figures: &Figures| {
        [figures.cpu_request, figures.cpu_limit, figures.memory_request, figures.memory_limit]
            .into_iter()
            .any(stated)
    };
    let is_equal = |figures: &Figures| {
        stated(figures.cpu_limit)
            && stated(figures.memory_limit)
            && figures.cpu_request == figures.cpu_limit
            && figures.memory_request == figures.memory_limit
    };
    if !containers.clone().any(states_something) {
        Class::BestEffort
    } else if containers.clone().all(is_equal) {
        Class::Guaranteed
    } else {
        Class::Burstable
    }
}

/// Keeps the class, but for what the policy asks for: a removed limit ends Guaranteed, rule Equal in all makes it, and
/// a pod that asked for nothing asks for something from now on.
pub(super) fn keep(parts: &mut [Part<'_>], before: Class) -> Result<(), Reason> {
    let after = class(&parts.iter().map(|part| &part.new));
    match (before, after) {
        (Class::Burstable | Class::BestEffort, Class::Guaranteed) => leave_guaranteed(parts),
        (Class::Guaranteed, Class::Burstable | Class::BestEffort) if !removes(parts) => Err(Reason::Class),
        _ => Ok(()),
    }
}

/// A limit is to be removed, of any container: it ends Guaranteed for all of them.
pub(super) fn removes(parts: &[Part<'_>]) -> bool {
    let mut wants = parts.iter().filter_map(|part| part.want);
    wants.any(|want| {
        want.cpu.is_some() && want.rules.cpu == CpuLimitRule::Remove
            || want.memory.is_some() && want.rules.memory == MemoryLimitRule::Remove
    })
}

/// Requests that happen to meet their limits would make the pod Guaranteed, and a later resize could not part them
/// any more. The least step of one limit keeps them apart.
fn leave_guaranteed(parts: &mut [Part<'_>]) -> Result<(), Reason> {
    let mut asked = true;
    for part in parts.iter_mut() {
        let Some(want) = part.want else { continue };
        if want.cpu.is_some() && want.rules.cpu != CpuLimitRule::Equal {
            part.new.cpu_limit = part.new.cpu_limit.map(|limit| limit.saturating_add(1));
            return Ok(());
        }
        asked &= want.rules.memory == MemoryLimitRule::Equal;
    }
    for part in parts.iter_mut() {
        let Some(want) = part.want else { continue };
        if want.memory.is_some() && want.rules.memory != MemoryLimitRule::Equal {
            part.new.memory_limit = part.new.memory_limit.map(|limit| limit.saturating_add(MIB));
            return Ok(());
        }
    }
    if asked { Ok(()) } else { Err(Reason::Class) }
}
