//! Figures as a status shows them.

use crate::api::{
    Amount, BoostDuration, Confidence, ContainerKind, ContainerRecommendation, ResourceAmounts, ResourceName,
    Resources,
};
use crate::cluster::index::Shape;
use crate::model;
use crate::policy::Explained;
use crate::units::{Bytes, Cores};

/// The sum of what a pod's containers have, those that run to their end before the others start left out.
pub(super) fn total(
    containers: &[ContainerRecommendation],
    of: impl Fn(&ContainerRecommendation) -> &Resources,
) -> Resources {
    let lasting = || containers.iter().filter(|container| container.kind != ContainerKind::Init).map(&of);
    let sum = |of: fn(&Resources) -> &ResourceAmounts| ResourceAmounts {
        cpu: lasting()
            .filter_map(|resources| of(resources).cpu.as_ref())
            .map(|cpu| cpu.value().as_cores().to_milli())
            .reduce(u64::saturating_add)
            .map(|milli| Amount::from(Cores::from_milli(milli))),
        memory: lasting()
            .filter_map(|resources| of(resources).memory.as_ref()?.value().as_bytes())
            .reduce(|a, b| Bytes(a.0.saturating_add(b.0)))
            .map(Amount::from),
    };
    Resources { requests: sum(|resources| &resources.requests), limits: sum(|resources| &resources.limits) }
}

/// `500m → 180m`.
pub(super) fn change(from: Option<&Amount>, to: Option<&Amount>) -> Option<String> {
    match (from, to) {
        (None, None) => None,
        (Some(from), None) => Some(format!("{from} (no samples)")),
        (None, Some(to)) => Some(format!("none → {to}")),
        (Some(from), Some(to)) => Some(format!("{from} → {to}")),
    }
}

pub(super) fn confidence(of: model::Confidence) -> Confidence {
    match of {
        model::Confidence::Low => Confidence::Low,
        model::Confidence::Medium => Confidence::Medium,
        model::Confidence::High => Confidence::High,
    }
}

pub(super) fn days(hours: f32) -> u32 {
    // Not negative, and far below what an integer holds.
    (0..=3650).take_while(|days| *days as f32 * 24.0 <= hours).count().saturating_sub(1) as u32
}

/// The chain in words, with what the chain does not know.
pub(super) fn reasons(
    found: &Explained,
    kind: ContainerKind,
    (cpu, memory): (bool, bool),
    pod: &Shape,
    known: bool,
) -> Vec<String> {
    let mut words = Vec::new();
    if known {
        words.extend(found.reasons.iter().map(ToString::to_string));
    } else if kind == ContainerKind::Init {
        words.push("runs to its end before the others start: only its OOM kills are known".to_owned());
    } else {
        words.push("no usage was seen yet".to_owned());
    }
    match (cpu, memory) {
        (false, false) => words.push("the policy leaves this container alone".to_owned()),
        (false, true) => words.push("the policy does not size its CPU".to_owned()),
        (true, false) => words.push("the policy does not size its memory".to_owned()),
        (true, true) => {}
    }
    if !pod.pod.is_empty() {
        words.push("the pod also has resources as a whole, which are not sized".to_owned());
    }
    words
}

/// For how long a container has more while it starts up.
pub(super) fn how_long(duration: BoostDuration) -> String {
    match duration {
        BoostDuration::UntilReady => "until it is ready".to_owned(),
        BoostDuration::For(span) => format!("for {span}"),
    }
}

/// Says of each held resource that it stays.
pub(super) fn held(resources: &[ResourceName]) -> impl Iterator<Item = String> {
    resources.iter().map(|resource| {
        let name = match resource {
            ResourceName::Cpu => "CPU",
            ResourceName::Memory => "memory",
        };
        format!("{name} stays as it is: a HorizontalPodAutoscaler scales by it")
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn changes_and_days_in_words() {
        let amount = |milli| Amount::from(Cores::from_milli(milli));
        assert_eq!(change(Some(&amount(500)), Some(&amount(180))).unwrap(), "500m → 180m");
        assert_eq!(change(None, Some(&amount(180))).unwrap(), "none → 180m");
        assert_eq!(change(Some(&amount(2000)), None).unwrap(), "2 (no samples)");
        assert_eq!((days(0.0), days(23.9), days(24.0), days(50.0)), (0, 0, 1, 2));
    }
}
