//! A pod's quality of service class is kept: an in-place resize may not change it.

use super::limits::LimitRules;
use super::reason::Reason;
use super::rules::{CpuLimitRule, MemoryLimitRule, Rules};

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
