//! How a limit follows its request: one rule for recommendations, running pods and replay.
//!
//! A rule speaks of the container that it is applied to: Keep keeps that container's own limit, whatever other pods of
//! the workload have. Ratio is the exception: it is the template's ratio, since the ratio of what runs changes with each
//! change that is made by it.

use super::bound::Amounts;
use super::recommend::ContainerSize;
use super::rules::{CpuLimitRule, MemoryLimitRule};
use crate::units::{Bytes, Cores, MIB};

/// The memory limit of rule Tail is above its need by one part in this, so that a slowly rising need does not change it
/// each time. Whole numbers, as the admission policy counts the same.
const TAIL_HEADROOM: u64 = 10;

/// How the limits of one container follow, with the figures that the rules need.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct LimitRules {
    /// Rule for the CPU limit.
    pub cpu: CpuLimitRule,
    /// Rule for the memory limit.
    pub memory: MemoryLimitRule,
    /// CPU limit over CPU request as the template states them, at least 1; `None`: unknown, or one of them is not set.
    pub cpu_ratio: Option<f64>,
    /// The same of memory.
    pub memory_ratio: Option<f64>,
    /// Whether a container without a memory limit gets one.
    pub add_memory: bool,
    /// Whether memory requests and limits may be lowered.
    pub shrink_memory: bool,
}

impl Default for LimitRules {
    /// Those of a policy that says nothing.
    fn default() -> Self {
        Self {
            cpu: CpuLimitRule::default(),
            memory: MemoryLimitRule::default(),
            cpu_ratio: None,
            memory_ratio: None,
            add_memory: false,
            shrink_memory: true,
        }
    }
}

impl LimitRules {
    /// The CPU limit that belongs to `request` for a container that has `own`; `None`: no limit. Never below the request,
    /// and not above `most` unless the request is.
    #[must_use]
    pub fn cpu_limit(&self, request: Cores, own: &ContainerSize, most: &Amounts) -> Option<Cores> {
        let limit = match (self.cpu, own.cpu_limit) {
            (CpuLimitRule::Equal, _) => return Some(request),
            // Kubernetes removes no limit from a running container; admission removes it from new ones.
            (_, None) => return None,
            (CpuLimitRule::Keep | CpuLimitRule::Remove, Some(limit)) => {
                return Some(at_least(limit, request));
            }
            (CpuLimitRule::Ratio, Some(limit)) => match self.cpu_ratio {
                Some(ratio) => Cores(request.0 * ratio).ceil_milli(),
                None => match own.cpu_request.filter(|had| had.0 > 0.0 && *had != request) {
                    Some(had) => Cores(request.0 * (limit.0 / had.0).max(1.0)).ceil_milli(),
                    None => limit,
                },
            },
        };
        let limit = most.cpu.map_or(limit, |most| if limit.0 > most.0 { most } else { limit });
        Some(at_least(limit, request))
    }

    /// The memory limit that belongs to `request` for a container that has `own`, where the rule ties the two or keeps
    /// what is there; `None`: no limit. Rule Tail follows the usage, which is not known here: it keeps what is there.
    #[must_use]
    pub fn memory_limit(&self, request: Bytes, own: &ContainerSize, most: &Amounts) -> Option<Bytes> {
        let limit = match (self.memory, own.memory_limit) {
            (MemoryLimitRule::Equal, _) => return Some(request),
            (_, None) => return None,
            (MemoryLimitRule::Tail | MemoryLimitRule::Keep | MemoryLimitRule::Remove, Some(limit)) => {
                return Some(limit.max(request));
            }
            (MemoryLimitRule::Headroom(more), Some(_)) => Bytes(request.0.saturating_add(more.0)),
            (MemoryLimitRule::Ratio, Some(limit)) => match self.memory_ratio {
                Some(ratio) => whole_mib(request.as_f64() * ratio),
                None => match own.memory_request.filter(|had| had.0 > 0 && *had != request) {
                    Some(had) => whole_mib(request.as_f64() * (limit.as_f64() / had.as_f64()).max(1.0)),
                    None => limit,
                },
            },
        };
        Some(limit.min(most.memory.unwrap_or(limit)).max(request))
    }

    /// The least memory request whose limit, by this rule, is at least `need`; `None` where no request of a container
    /// that has `own` moves its limit.
    #[must_use]
    pub fn request_for_limit(&self, need: Bytes, own: &ContainerSize) -> Option<Bytes> {
        let limit = own.memory_limit?;
        match self.memory {
            MemoryLimitRule::Tail | MemoryLimitRule::Keep | MemoryLimitRule::Remove => None,
            MemoryLimitRule::Equal => Some(need),
            MemoryLimitRule::Headroom(more) => Some(Bytes(need.0.saturating_sub(more.0))),
            MemoryLimitRule::Ratio => {
                let had = own.memory_request.filter(|had| had.0 > 0);
                let own_ratio = had.map_or(1.0, |had| limit.as_f64() / had.as_f64());
                Some(Bytes::from_f64(need.as_f64() / self.memory_ratio.unwrap_or(own_ratio).max(1.0)))
            }
        }
    }
}

/// The memory limit that rule Tail gives to a container which needs `need` where it is set anew: with headroom, in whole
/// mebibytes, and not above `most` unless the need is.
#[must_use]
pub fn tail_limit(need: Bytes, most: &Amounts) -> Bytes {
    let roomy = next_mib(need.0.saturating_add(need.0.div_ceil(TAIL_HEADROOM)));
    most.memory.map_or(roomy, |most| roomy.min(most.max(need)))
}

fn at_least(limit: Cores, request: Cores) -> Cores {
    Cores(limit.0.max(request.0))
}

/// Rounded up to whole mebibytes, as people read a limit.
#[must_use]
pub fn whole_mib(bytes: f64) -> Bytes {
    next_mib(Bytes::from_f64(bytes).0)
}

fn next_mib(bytes: u64) -> Bytes {
    Bytes(bytes.checked_next_multiple_of(MIB).unwrap_or(bytes))
}

/// Limit over request, at least 1; `None` where one of them is not set.
#[must_use]
pub(super) fn ratio(limit: f64, request: f64) -> Option<f64> {
    (request > 0.0 && limit > 0.0).then(|| (limit / request).max(1.0)).filter(|ratio| ratio.is_finite())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn own(request: u64, limit: u64) -> ContainerSize {
        ContainerSize {
            cpu_request: Some(Cores::from_milli(request)),
            cpu_limit: Some(Cores::from_milli(limit)),
            memory_request: Some(Bytes::from_mib(request)),
            memory_limit: Some(Bytes::from_mib(limit)),
        }
    }

    const NO_BOUND: Amounts = Amounts { cpu: None, memory: None };

    #[test]
    fn the_ratio_is_the_templates_whatever_runs() {
        let rules = LimitRules {
            cpu: CpuLimitRule::Ratio,
            memory: MemoryLimitRule::Ratio,
            cpu_ratio: Some(2.0),
            memory_ratio: Some(2.0),
            ..LimitRules::default()
        };
        let mut runs = own(195, 390);
        // Applied to what it made itself a thousand times, a limit stays twice its request.
        for _ in 0..1000 {
            runs.cpu_limit = rules.cpu_limit(Cores::from_milli(195), &runs, &NO_BOUND);
            runs.memory_limit = rules.memory_limit(Bytes::from_mib(195), &runs, &NO_BOUND);
        }
        assert_eq!(runs, own(195, 390));
        let odd = own(100, 900);
        assert_eq!(rules.cpu_limit(Cores::from_milli(100), &odd, &NO_BOUND), Some(Cores::from_milli(200)));
    }

    #[test]
    fn an_unknown_ratio_changes_only_with_the_request() {
        let rules =
            LimitRules { cpu: CpuLimitRule::Ratio, memory: MemoryLimitRule::Ratio, ..LimitRules::default() };
        let runs = own(200, 300);
        assert_eq!(rules.cpu_limit(Cores::from_milli(200), &runs, &NO_BOUND), Some(Cores::from_milli(300)));
        assert_eq!(rules.memory_limit(Bytes::from_mib(200), &runs, &NO_BOUND), Some(Bytes::from_mib(300)));
        assert_eq!(rules.cpu_limit(Cores::from_milli(400), &runs, &NO_BOUND), Some(Cores::from_milli(600)));
        assert_eq!(rules.memory_limit(Bytes::from_mib(400), &runs, &NO_BOUND), Some(Bytes::from_mib(600)));
    }

    #[test]
    fn no_rule_passes_the_most_or_falls_below_the_request() {
        let most = Amounts { cpu: Some(Cores(0.5)), memory: Some(Bytes::from_mib(500)) };
        let memory = [
            MemoryLimitRule::Ratio,
            MemoryLimitRule::Equal,
            MemoryLimitRule::Headroom(Bytes::from_mib(256)),
            MemoryLimitRule::Headroom(Bytes(u64::MAX)),
        ];
        for rule in memory {
            let rules = LimitRules { memory: rule, memory_ratio: Some(3.0), ..LimitRules::default() };
            let limit = rules.memory_limit(Bytes::from_mib(400), &own(200, 300), &most).unwrap();
            assert!((400..=500).contains(&(limit.0 / MIB)), "{rule:?} {limit}");
        }
        let rules = LimitRules { cpu: CpuLimitRule::Ratio, cpu_ratio: Some(3.0), ..LimitRules::default() };
        assert_eq!(rules.cpu_limit(Cores(0.4), &own(200, 300), &most), Some(Cores(0.5)));
        assert_eq!(rules.cpu_limit(Cores(0.6), &own(200, 300), &most), Some(Cores(0.6)));
    }

    #[test]
    fn keep_keeps_the_containers_own_and_headroom_is_added() {
        let keep = LimitRules { memory: MemoryLimitRule::Keep, ..LimitRules::default() };
        assert_eq!(keep.cpu_limit(Cores(0.1), &own(200, 4000), &NO_BOUND), Some(Cores(4.0)));
        assert_eq!(
            keep.memory_limit(Bytes::from_mib(100), &own(1, 900), &NO_BOUND),
            Some(Bytes::from_mib(900))
        );
        assert_eq!(keep.request_for_limit(Bytes::from_mib(2000), &own(1, 900)), None);
        let more =
            LimitRules { memory: MemoryLimitRule::Headroom(Bytes::from_mib(256)), ..LimitRules::default() };
        assert_eq!(
            more.memory_limit(Bytes::from_mib(100), &own(1, 2), &NO_BOUND),
            Some(Bytes::from_mib(356))
        );
        assert_eq!(more.request_for_limit(Bytes::from_mib(356), &own(1, 2)), Some(Bytes::from_mib(100)));
    }
}
