//! One container's recommendation as a status says it, and read back: what recommender, updater and webhook agree on.
//!
//! All that decides when and to what a pod is changed goes through here without loss; nobody guesses any of it from
//! figures. Pure.

#[cfg(test)]
mod tests;

use super::rules::{self, ContainerRules};
use crate::api::{self, Amount, ContainerRecommendation, Hysteresis, ResourceAmounts, Resources};
use crate::cluster::index::{Advice, Size};
use crate::model;
use crate::policy::{self, Amounts, Class, ContainerSize, LimitRules, Recommendation};

/// Writes the part of a container's status that decides. What is not sized stays as it is `current`; what nothing is
/// known of is left out. `limits` are the policy's rules, of which a Guaranteed pod has others while it runs.
#[must_use]
pub fn write(
    found: &Recommendation,
    sized: &ContainerRules,
    limits: &LimitRules,
    guaranteed: bool,
    current: &ContainerSize,
) -> ContainerRecommendation {
    let (cpu, memory) = (found.lower.cpu_request.is_some(), found.lower.memory_request.is_some());
    let of = |known: bool, sized: bool| if sized { known.then_some(&found.target) } else { Some(current) };
    let (of_cpu, of_memory) = (of(cpu, sized.cpu), of(memory, sized.memory));
    let target = ContainerSize {
        cpu_request: of_cpu.and_then(|size| size.cpu_request),
        cpu_limit: of_cpu.and_then(|size| size.cpu_limit),
        memory_request: of_memory.and_then(|size| size.memory_request),
        memory_limit: of_memory.and_then(|size| size.memory_limit),
    };
    let (cpu_hold, memory_hold) = (found.cpu_hold.map(hysteresis), found.memory_hold.map(hysteresis));
    let most = amounts(found.most.cpu, found.most.memory);
    ContainerRecommendation {
        target: resources(&target),
        limit_rules: rules::limits(limits),
        guaranteed,
        max_allowed: (most != ResourceAmounts::default()).then_some(most),
        learning: found.young,
        lower: amounts(found.lower.cpu_request, found.lower.memory_request),
        upper: amounts(found.upper.cpu_request, found.upper.memory_request),
        hysteresis: (cpu_hold.is_some() || memory_hold.is_some())
            .then_some(Hysteresis { cpu: cpu_hold, memory: memory_hold }),
        confidence: match found.confidence {
            model::Confidence::Low => api::Confidence::Low,
            model::Confidence::Medium => api::Confidence::Medium,
            model::Confidence::High => api::Confidence::High,
        },
        ..ContainerRecommendation::default()
    }
}

/// Reads what [`write`](fn@write) wrote. A resource without bounds is one that is not sized: nothing is said of it. A status of a
/// plumb that said less is read as under a policy that says nothing.
#[must_use]
pub fn read(advice: &Advice) -> Recommendation {
    let (cpu, memory) = (advice.lower.milli_cpu.is_some(), advice.lower.memory.is_some());
    let request = |size: &Size| ContainerSize {
        cpu_request: size.cpu().filter(|_| cpu),
        memory_request: size.memory.filter(|_| memory),
        ..ContainerSize::default()
    };
    let (requests, limits) = (&advice.target.requests, &advice.target.limits);
    let rules = advice.limit_rules.as_deref().map(rules::limit_rules).unwrap_or_default();
    let class = if advice.guaranteed { Class::Guaranteed } else { Class::Burstable };
    Recommendation {
        target: ContainerSize {
            cpu_limit: limits.cpu().filter(|_| cpu),
            memory_limit: limits.memory.filter(|_| memory),
            ..request(requests)
        },
        lower: request(&advice.lower),
        upper: request(&advice.upper),
        cpu_hold: advice.cpu_hysteresis.and_then(hold_rule).filter(|_| cpu),
        memory_hold: advice.memory_hysteresis.and_then(hold_rule).filter(|_| memory),
        limits: policy::limits_of_class(&rules, class),
        most: Amounts { cpu: advice.most.cpu(), memory: advice.most.memory },
        young: advice.learning,
        confidence: match advice.confidence {
            api::Confidence::Low => model::Confidence::Low,
            api::Confidence::Medium => model::Confidence::Medium,
            api::Confidence::High => model::Confidence::High,
        },
    }
}

/// A size as a status writes it.
#[must_use]
pub fn resources(size: &ContainerSize) -> Resources {
    Resources {
        requests: amounts(size.cpu_request, size.memory_request),
        limits: amounts(size.cpu_limit, size.memory_limit),
    }
}

fn amounts(cpu: Option<crate::units::Cores>, memory: Option<crate::units::Bytes>) -> ResourceAmounts {
    ResourceAmounts { cpu: cpu.map(Amount::from), memory: memory.map(Amount::from) }
}

fn hysteresis(rule: model::HoldRule) -> api::HysteresisRule {
    let model::HoldRule { grow, shrink, price, underrun } = rule;
    api::HysteresisRule { grow, shrink, price, underrun }
}

/// `None` where a figure of it is none: then it is as if nothing were said.
fn hold_rule(written: api::HysteresisRule) -> Option<model::HoldRule> {
    let api::HysteresisRule { grow, shrink, price, underrun } = written;
    let is_amount = |value: f32| value.is_finite() && value >= 0.0;
    let sound = is_amount(grow) && is_amount(shrink) && is_amount(price) && underrun.is_none_or(is_amount);
    sound.then_some(model::HoldRule { grow, shrink, price, underrun })
}
