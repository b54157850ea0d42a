//! From the rules as a policy writes them to the rules as they are applied.
//!
//! Pure.

use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;

use super::select::{Choice, Policy};
use crate::actuate::facts::MaxUnavailable;
use crate::actuate::step::Pace;
use crate::api::{self, Amount, MOST_HISTORY, ResourceAmounts, ResourceName, Span};
use crate::cluster::index::{Limits, Qos, Quota, Ratio, Room, Size};
use crate::policy::{
    Amounts, Class, CpuLimitRule, LimitRules, MemoryLimitRule, NamespaceBounds, Objective, RangeBounds, Rules,
};
use crate::units::{Bytes, Cores};

/// The rules for one container.
#[derive(Clone, Debug)]
pub struct ContainerRules {
    /// How it is sized.
    pub rules: Rules,
    /// Whether its CPU is sized.
    pub cpu: bool,
    /// Whether its memory is.
    pub memory: bool,
    /// How many times its CPU it is given while it starts up, and for how long.
    pub boost: Option<(f64, api::BoostDuration)>,
}

/// The rules of the policy that was chosen, within the walls of the cluster's.
#[must_use]
pub fn rules(choice: &Choice, container: &str) -> ContainerRules {
    let mut found = own(&choice.policy, container);
    if let Some(walls) = &choice.walls {
        let outer = own(walls, container).rules.range;
        let stated = walls.container(container).and_then(|container| container.min_allowed.as_ref());
        let range = &mut found.rules.range;
        // A floor that nobody wrote down is no wall.
        if stated.is_some_and(|least| least.cpu.is_some()) && outer.min_cpu > range.min_cpu {
            range.min_cpu = outer.min_cpu;
        }
        if stated.is_some_and(|least| least.memory.is_some()) {
            range.min_memory = range.min_memory.max(outer.min_memory);
        }
        range.max_cpu = least(range.max_cpu, outer.max_cpu);
        range.max_memory = least(range.max_memory, outer.max_memory);
    }
    found
}

fn own(policy: &Policy, container: &str) -> ContainerRules {
    of_container(policy.objective, policy.container(container), policy.history.learn)
}

/// The pace that a policy states.
#[must_use]
pub fn pace(band: &api::Band, actuation: &api::Actuation) -> Pace {
    let usual = Pace::default();
    let least = amounts(band.min_change.as_ref());
    Pace {
        min_change: band.min_change_percent.map(|percent| percent as f32 / 100.0),
        min_cpu: least.cpu.unwrap_or(usual.min_cpu),
        min_memory: least.memory.unwrap_or(usual.min_memory),
        max_shrink: actuation.max_step_percent.shrink as f32 / 100.0,
        cooldown: i64::try_from(actuation.cooldown.seconds).unwrap_or(i64::MAX),
    }
}

/// What of a policy's pace a cluster's policy can bound.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct Tempo {
    /// Seconds after a change in which a pod is left alone.
    pub cooldown: i64,
    /// One change takes away at most this share.
    pub max_shrink: f32,
    /// With fewer pods than this none is evicted.
    pub min_replicas: usize,
    /// How many pods may be disrupted at once.
    pub max_unavailable: MaxUnavailable,
}

impl Tempo {
    /// Reads what a policy states.
    #[must_use]
    pub fn of(actuation: &api::Actuation) -> Self {
        Self {
            cooldown: i64::try_from(actuation.cooldown.seconds).unwrap_or(i64::MAX),
            max_shrink: actuation.max_step_percent.shrink as f32 / 100.0,
            min_replicas: usize::try_from(actuation.min_replicas).unwrap_or(usize::MAX),
            max_unavailable: max_unavailable(&actuation.max_unavailable),
        }
    }

    /// Slows a namespace's pace to the one of the cluster's policy, whatever the mode of that one.
    #[must_use]
    pub fn within(self, walls: &Policy) -> Self {
        let wall = Self::of(&walls.actuation);
        Self {
            cooldown: self.cooldown.max(wall.cooldown),
            max_shrink: self.max_shrink.min(wall.max_shrink),
            min_replicas: self.min_replicas.max(wall.min_replicas),
            max_unavailable: self.max_unavailable.within(wall.max_unavailable),
        }
    }
}

fn max_unavailable(stated: &IntOrString) -> MaxUnavailable {
    match stated {
        IntOrString::Int(count) => MaxUnavailable::Count(usize::try_from(*count).unwrap_or(0)),
        IntOrString::String(text) => {
            let percent = text.trim_end_matches('%').parse().unwrap_or(0);
            MaxUnavailable::Percent(usize::min(percent, 100))
        }
    }
}

/// The rules of a policy with this objective and `history.learn` whose entry for the container is `stated`.
#[must_use]
pub fn of_container(
    objective: api::Objective,
    stated: Option<&api::ContainerPolicy>,
    learn: Span,
) -> ContainerRules {
    let objective = self::objective(objective);
    let mut rules = Rules {
        cpu_objective: objective,
        memory_objective: objective,
        learn_hours: learn.seconds.min(MOST_HISTORY.seconds) as f32 / 3600.0,
        ..Rules::default()
    };
    let Some(stated) = stated else {
        return ContainerRules { rules, cpu: true, memory: true, boost: None };
    };
    let least = amounts(stated.min_allowed.as_ref());
    let most = amounts(stated.max_allowed.as_ref());
    rules.range.min_cpu = least.cpu.unwrap_or(rules.range.min_cpu);
    rules.range.min_memory = least.memory.unwrap_or(rules.range.min_memory);
    rules.range.max_cpu = most.cpu;
    rules.range.max_memory = most.memory;
    rules.cpu_objective = stated.cpu.objective.map_or(objective, self::objective);
    rules.memory_objective = stated.memory.objective.map_or(objective, self::objective);
    rules.max_shortfall_percent = stated.cpu.max_shortfall_percent.as_ref().map(number);
    rules.max_oom_kills_per_year = stated.memory.max_oom_kills_per_year.as_ref().map(number);
    rules.cpu_limit = cpu_limit(stated.cpu.limit);
    rules.memory_limit = memory_limit(stated.memory.limit, stated.memory.headroom.as_ref().and_then(bytes));
    rules.add_limit = stated.memory.add_limit;
    rules.shrink_memory = stated.memory.shrink;
    let sized = |resource| stated.resources.contains(&resource);
    let boost = stated.startup_boost.as_ref().map(|boost| &boost.cpu);
    ContainerRules {
        rules,
        cpu: sized(ResourceName::Cpu),
        memory: sized(ResourceName::Memory),
        boost: boost.map(|cpu| (cpu.factor.value().as_cores().0, cpu.duration)),
    }
}

/// How limits follow, as a recommendation says it.
#[must_use]
pub fn limits(rules: &LimitRules) -> api::LimitRules {
    let (memory, headroom) = match rules.memory {
        MemoryLimitRule::Tail => (api::MemoryLimitRule::Tail, None),
        MemoryLimitRule::Equal => (api::MemoryLimitRule::Equal, None),
        MemoryLimitRule::Ratio => (api::MemoryLimitRule::Ratio, None),
        MemoryLimitRule::Headroom(more) => (api::MemoryLimitRule::Headroom, Some(more)),
        MemoryLimitRule::Keep => (api::MemoryLimitRule::Keep, None),
        MemoryLimitRule::Remove => (api::MemoryLimitRule::Remove, None),
    };
    api::LimitRules {
        cpu: match rules.cpu {
            CpuLimitRule::Keep => api::CpuLimitRule::Keep,
            CpuLimitRule::Ratio => api::CpuLimitRule::Ratio,
            CpuLimitRule::Remove => api::CpuLimitRule::Remove,
            CpuLimitRule::Equal => api::CpuLimitRule::Equal,
        },
        memory,
        headroom: headroom.map(Amount::from),
        cpu_ratio: rules.cpu_ratio,
        memory_ratio: rules.memory_ratio,
        add_memory: rules.add_memory,
        keep_memory: !rules.shrink_memory,
    }
}

/// Reads a ratio of limit to request; what is below 1 or no number counts as not known.
#[must_use]
pub fn ratio(written: Option<f64>) -> Option<f64> {
    written.filter(|ratio| ratio.is_finite() && *ratio >= 1.0)
}

/// Reads back what [`limits`] wrote.
#[must_use]
pub fn limit_rules(written: &api::LimitRules) -> LimitRules {
    LimitRules {
        cpu: cpu_limit(written.cpu),
        memory: memory_limit(written.memory, written.headroom.as_ref().and_then(bytes)),
        cpu_ratio: ratio(written.cpu_ratio),
        memory_ratio: ratio(written.memory_ratio),
        add_memory: written.add_memory,
        shrink_memory: !written.keep_memory,
    }
}

/// A CPU limit rule as it is applied.
#[must_use]
pub fn cpu_limit(rule: api::CpuLimitRule) -> CpuLimitRule {
    match rule {
        api::CpuLimitRule::Keep => CpuLimitRule::Keep,
        api::CpuLimitRule::Ratio => CpuLimitRule::Ratio,
        api::CpuLimitRule::Remove => CpuLimitRule::Remove,
        api::CpuLimitRule::Equal => CpuLimitRule::Equal,
    }
}

/// A memory limit rule as it is applied. Headroom of no amount, which the definition of a policy does not let pass, keeps
/// the limit.
#[must_use]
pub fn memory_limit(rule: api::MemoryLimitRule, headroom: Option<Bytes>) -> MemoryLimitRule {
    match rule {
        api::MemoryLimitRule::Tail => MemoryLimitRule::Tail,
        api::MemoryLimitRule::Equal => MemoryLimitRule::Equal,
        api::MemoryLimitRule::Ratio => MemoryLimitRule::Ratio,
        api::MemoryLimitRule::Headroom => headroom.map_or(MemoryLimitRule::Keep, MemoryLimitRule::Headroom),
        api::MemoryLimitRule::Keep => MemoryLimitRule::Keep,
        api::MemoryLimitRule::Remove => MemoryLimitRule::Remove,
    }
}

fn objective(objective: api::Objective) -> Objective {
    match objective {
        api::Objective::Economy => Objective::Economy,
        api::Objective::Balanced => Objective::Balanced,
        api::Objective::Critical => Objective::Critical,
    }
}

fn amounts(stated: Option<&ResourceAmounts>) -> Amounts {
    let Some(stated) = stated else { return Amounts::default() };
    Amounts {
        cpu: stated.cpu.as_ref().map(|cpu| cpu.value().as_cores()),
        memory: stated.memory.as_ref().and_then(bytes),
    }
}

fn bytes(amount: &Amount) -> Option<Bytes> {
    amount.value().as_bytes()
}

fn number(amount: &api::Amount) -> f32 {
    amount.value().as_cores().0 as f32
}

fn least<T: PartialOrd>(a: Option<T>, b: Option<T>) -> Option<T> {
    match (a, b) {
        (Some(a), Some(b)) => Some(if b < a { b } else { a }),
        (a, b) => a.or(b),
    }
}

/// As the policy's steps take it.
#[must_use]
pub fn bounds(size: Size) -> Amounts {
    Amounts { cpu: size.cpu(), memory: size.memory }
}

/// What a namespace's LimitRanges and ResourceQuotas allow, as the policy's steps take it.
#[must_use]
pub fn namespace(limits: &Limits, quota: &Quota) -> NamespaceBounds {
    let range = |least: Size, most: Size, ratio: Ratio| RangeBounds {
        least: bounds(least),
        most: bounds(most),
        cpu_ratio: ratio.cpu,
        memory_ratio: ratio.memory,
    };
    NamespaceBounds {
        container: range(limits.container_min, limits.container_max, limits.container_ratio),
        pod: range(limits.pod_min, limits.pod_max, limits.pod_ratio),
        requests_left: left(quota.cpu_requests, quota.memory_requests),
        limits_left: left(quota.cpu_limits, quota.memory_limits),
    }
}

/// As the policy's steps take it. A node that does not say what it has of something bounds nothing by it.
#[must_use]
pub fn node(room: &Room) -> Amounts {
    Amounts {
        cpu: Some(Cores::from_milli(room.milli_cpu)).filter(|cpu| cpu.0 > 0.0),
        memory: Some(room.memory).filter(|memory| memory.0 > 0),
    }
}

/// What is left of hard limits, given what is used of each.
fn left(cpu: Option<(u64, u64)>, memory: Option<(u64, u64)>) -> Amounts {
    Amounts {
        cpu: cpu.map(|(hard, used)| Cores::from_milli(hard.saturating_sub(used))),
        memory: memory.map(|(hard, used)| Bytes(hard.saturating_sub(used))),
    }
}

/// As the policy's steps take it.
#[must_use]
pub fn class(qos: Qos) -> Class {
    match qos {
        Qos::Guaranteed => Class::Guaranteed,
        Qos::Burstable => Class::Burstable,
        Qos::BestEffort => Class::BestEffort,
    }
}
