//! A pod's quality of service class is kept: an in-place resize may not change it.

use super::bound::Explained;
use super::limits::LimitRules;
use super::reason::{Reason, Resource};
use super::recommend::ContainerSize;
use super::rules::{CpuLimitRule, MemoryLimitRule, Rules};
use crate::units::Cores;

/// The classes of pods that Kubernetes knows.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Class {
    /// Requests equal limits, in every container.
    Guaranteed,
    /// In between.
    #[default]
    Burstable,
    /// Nothing is stated.
    BestEffort,
}

/// The rules for a container of a pod of that class, and the reason where they are others than the policy's.
///
/// In a Guaranteed pod limits equal requests. Only a limit that the policy wants removed is let go.
#[must_use]
pub fn keep_class(rules: &Rules, class: Class) -> (Rules, Option<Reason>) {
    let mut kept = *rules;
    if class == Class::Guaranteed {
        if rules.cpu_limit != CpuLimitRule::Remove {
            kept.cpu_limit = CpuLimitRule::Equal;
        }
        if rules.memory_limit != MemoryLimitRule::Remove {
            kept.memory_limit = MemoryLimitRule::Equal;
        }
    }
    let changed = kept.cpu_limit != rules.cpu_limit || kept.memory_limit != rules.memory_limit;
    (kept, changed.then_some(Reason::Guaranteed))
}

/// Rounds the CPU of a container of a Guaranteed pod up to whole cores where it has whole cores now: those may be its own
/// alone, and with a part of a core they would be shared. `most`: where whole cores would be more, it keeps what it has
/// been found to need. (Kubernetes: the static policy of the kubelet's CPU manager; the API does not say which nodes have
/// it.)
pub fn keep_whole_cores(found: &mut Explained, class: Class, current: &ContainerSize, most: Option<Cores>) {
    let is_whole = |cores: Cores| cores.0 >= 1.0 && cores.to_milli().is_multiple_of(1000);
    let Some(request) = found.size.target.cpu_request else { return };
    if class != Class::Guaranteed || !current.cpu_request.is_some_and(is_whole) || is_whole(request) {
        return;
    }
    let whole = Cores(request.0.ceil());
    if most.is_some_and(|most| whole.0 > most.0) {
        return;
    }
    let size = &mut found.size;
    if size.target.cpu_limit == Some(request) {
        size.target.cpu_limit = Some(whole);
    }
    size.target.cpu_request = Some(whole);
    size.upper.cpu_request = size.upper.cpu_request.map(|upper| Cores(upper.0.max(whole.0)));
    found.reasons.push(Reason::Tied {
        resource: Resource::Cpu,
        rule: "whole cores, as it has now",
        value: whole.0,
    });
}

/// The rules by which the limits of a pod of that class follow while it runs: the same change as [`keep_class`] makes.
#[must_use]
pub fn limits_of_class(rules: &LimitRules, class: Class) -> LimitRules {
    let mut kept = *rules;
    if class != Class::Guaranteed {
        return kept;
    }
    if rules.cpu != CpuLimitRule::Remove {
        (kept.cpu, kept.cpu_ratio) = (CpuLimitRule::Equal, None);
    }
    if rules.memory != MemoryLimitRule::Remove {
        (kept.memory, kept.memory_ratio) = (MemoryLimitRule::Equal, None);
    }
    kept
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Confidence;
    use crate::policy::Recommendation;

    #[test]
    fn who_has_whole_cores_keeps_whole_ones() {
        let cores = |cores: f64| ContainerSize {
            cpu_request: Some(Cores(cores)),
            cpu_limit: Some(Cores(cores)),
            ..ContainerSize::default()
        };
        let kept = |class: Class, has: f64, needs: f64, most: Option<f64>| {
            let size = Recommendation {
                target: cores(needs),
                lower: cores(needs),
                upper: cores(needs),
                cpu_hold: None,
                memory_hold: None,
                limits: LimitRules::default(),
                most: crate::policy::Amounts::default(),
                young: false,
                confidence: Confidence::High,
            };
            let mut found = Explained { size, reasons: Vec::new() };
            keep_whole_cores(&mut found, class, &cores(has), most.map(Cores));
            assert_eq!(found.size.target.cpu_limit, found.size.target.cpu_request);
            assert_eq!(
                found.reasons.len(),
                usize::from((found.size.target.cpu_request.unwrap().0 - needs).abs() > 0.0)
            );
            found.size.target.cpu_request.unwrap().0
        };
        let near = |found: f64, expected: f64| assert!((found - expected).abs() < 1e-9, "{found} {expected}");
        near(kept(Class::Guaranteed, 4.0, 1.2, None), 2.0);
        near(kept(Class::Guaranteed, 1.0, 0.1, Some(4.0)), 1.0);
        near(kept(Class::Guaranteed, 4.0, 3.0, None), 3.0);
        near(kept(Class::Guaranteed, 4.0, 1.2, Some(1.5)), 1.2);
        near(kept(Class::Guaranteed, 0.5, 1.2, None), 1.2);
        near(kept(Class::Burstable, 4.0, 1.2, None), 1.2);
    }

    #[test]
    fn limits_of_a_guaranteed_pod_equal_its_requests() {
        let rules = Rules::default();
        assert_eq!(keep_class(&rules, Class::Burstable), (rules, None));
        let (kept, reason) = keep_class(&rules, Class::Guaranteed);
        assert_eq!((kept.cpu_limit, kept.memory_limit), (CpuLimitRule::Equal, MemoryLimitRule::Equal));
        assert_eq!(reason, Some(Reason::Guaranteed));
        let removing = Rules { cpu_limit: CpuLimitRule::Remove, ..rules };
        assert_eq!(keep_class(&removing, Class::Guaranteed).0.cpu_limit, CpuLimitRule::Remove);
    }
}
