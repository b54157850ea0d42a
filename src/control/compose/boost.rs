//! More CPU for a new pod while it starts up: never more than maxAllowed, and together no more than a node holds.

use super::{Part, Surroundings, words};
use crate::api::{Amount, BoostedCpu, ContainerKind, ContainerRecommendation, ResourceName};
use crate::units::Cores;

/// Adds what the policy asks for of containers whose CPU is sized.
pub(super) fn boost(containers: &mut [ContainerRecommendation], parts: &[Part<'_>], around: &Surroundings) {
    let mut boosts: Vec<_> =
        containers.iter_mut().zip(parts).filter_map(|(of, part)| wanted(of, part)).collect();
    let memory = |part: &Part<'_>| part.found.size.target.memory_request.or(part.current.memory_request);
    let lasting = parts.iter().filter(|part| part.shape.kind != ContainerKind::Init);
    let memory = lasting.filter_map(memory).fold(0_u64, |sum, memory| sum.saturating_add(memory.0));
    // Of the nodes that hold the pod's memory.
    let nodes = around.nodes.iter().filter(|node| node.memory.0 == 0 || node.memory.0 >= memory);
    let cores = nodes.map(|node| Cores::from_milli(node.milli_cpu).0).filter(|cores| *cores > 0.0);
    if let Some(node) = cores.max_by(f64::total_cmp) {
        let target = |part: &Part<'_>| part.found.size.target.cpu_request.or(part.current.cpu_request);
        let lasting = parts.iter().filter(|part| part.shape.kind != ContainerKind::Init);
        let plain: f64 = lasting.filter_map(target).map(|cores| cores.0).sum();
        let more: f64 = boosts.iter().map(|boost| boost.boosted - boost.plain).sum();
        let room = (node - plain).max(0.0);
        if more > room {
            boosts
                .iter_mut()
                .for_each(|boost| boost.boosted = boost.plain + (boost.boosted - boost.plain) * room / more);
        }
    }
    for Boost { of, plain, boosted, duration } in boosts {
        let cpu = Cores(boosted).ceil_milli();
        if cpu.0 > plain {
            of.reasons.push(format!(
                "CPU request {cpu} for a new pod while it starts up ({})",
                words::how_long(duration)
            ));
            of.startup_boost = Some(BoostedCpu { cpu: Amount::from(cpu), duration });
        }
    }
}

struct Boost<'a> {
    of: &'a mut ContainerRecommendation,
    plain: f64,
    boosted: f64,
    duration: crate::api::BoostDuration,
}

fn wanted<'a>(of: &'a mut ContainerRecommendation, part: &Part<'_>) -> Option<Boost<'a>> {
    let (factor, duration) = part.rules.boost?;
    // An init container is over before its pod is ready, and cannot be resized.
    if part.shape.kind == ContainerKind::Init
        || of.lower.cpu.is_none()
        || of.held.contains(&ResourceName::Cpu)
    {
        return None;
    }
    let plain = of.target.requests.cpu.as_ref()?.value().as_cores().0;
    let most = part.rules.rules.range.max_cpu.map_or(f64::INFINITY, |most| most.0);
    Some(Boost { of, plain, boosted: (plain * factor).min(most), duration })
}
