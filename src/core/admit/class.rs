//! A pod's quality of service class: what it is, and that stamping does not change it behind somebody's back.

use super::bounds::{Bounds, Extent, Range};
use super::figures::Figures;
use super::rules::Want;
use super::{Part, Reason};
use crate::policy::{Class, CpuLimitRule, MemoryLimitRule};
use crate::units::{Cores, MIB};

/// Parts one resource's request from its limit by the least step; `false` where it may not.
type Way = fn(&mut Figures, &Want, &Range, &Range) -> bool;

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
pub(super) fn keep(parts: &mut [Part<'_>], before: Class, bounds: &Bounds) -> Result<(), Reason> {
    let after = class(&parts.iter().map(|part| &part.new));
    match (before, after) {
        (Class::Burstable | Class::BestEffort, Class::Guaranteed) => leave_guaranteed(parts, bounds),
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
/// any more. The least step of one limit keeps them apart, or of one request downwards where no limit may be higher:
/// the order in which the updater parts those of a running pod.
fn leave_guaranteed(parts: &mut [Part<'_>], bounds: &Bounds) -> Result<(), Reason> {
    let ties_cpu = |want: &Want| want.cpu.is_none() || want.rules.cpu == CpuLimitRule::Equal;
    let mut wants = parts.iter().filter_map(|part| part.want);
    if wants.all(|want| ties_cpu(want) && want.rules.memory == MemoryLimitRule::Equal) {
        return Ok(());
    }
    let Extent { cpu, memory } = &bounds.container;
    let ways: [Way; 4] = [
        |new, want, cpu, _| raise(&mut new.cpu_limit, 1, want.most.cpu.map(Cores::to_milli), cpu),
        |new, want, _, memory| raise(&mut new.memory_limit, MIB, want.most.memory.map(|most| most.0), memory),
        |new, _, cpu, _| lower(&mut new.cpu_request, 1, cpu),
        |new, want, _, memory| want.rules.shrink_memory && lower(&mut new.memory_request, MIB, memory),
    ];
    for (way, part_by) in ways.into_iter().enumerate() {
        for part in parts.iter_mut() {
            let Some(want) = part.want else { continue };
            let may = if way % 2 == 0 {
                !ties_cpu(want)
            } else {
                want.memory.is_some() && want.rules.memory != MemoryLimitRule::Equal
            };
            if may && part_by(&mut part.new, want, cpu, memory) {
                return Ok(());
            }
        }
    }
    Err(Reason::Class)
}

fn raise(limit: &mut Option<u64>, step: u64, most: Option<u64>, range: &Range) -> bool {
    let raised = limit.map(|limit| limit.saturating_add(step));
    let allowed = raised.filter(|raised| most.into_iter().chain(range.most).all(|most| *raised <= most));
    *limit = allowed.or(*limit);
    allowed.is_some()
}

fn lower(request: &mut Option<u64>, step: u64, range: &Range) -> bool {
    let lowered = request.and_then(|request| request.checked_sub(step));
    let allowed = lowered.filter(|lowered| *lowered >= range.least.unwrap_or(0).max(1));
    *request = allowed.or(*request);
    allowed.is_some()
}
