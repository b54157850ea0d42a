//! From a pod to what is recommended for it, and what its namespace allows: by the index alone.
//!
//! Pure but for the lock on the index that the caller holds.

use std::sync::Arc;

use crate::admit::{self, Advice, Boost, Bounds, Extent, Left, Pod, Range, Want};
use crate::api::{BoostDuration, ContainerKind, Given, Mode};
use crate::cluster::Index;
use crate::cluster::index::{
    Named, ObjectKey, Origin, Owner, PodScope, Ratio, Resolution, Size, Sizing, Uid, WorkloadKey,
};
use crate::control::{naming, rules};
use crate::policy::{Amounts, LimitRules};
use crate::units::Timestamp;

/// What the index says of a pod.
#[derive(Debug)]
pub enum Found<'a> {
    /// A recommendation, by its name.
    Recommendation(Box<str>, &'a Sizing),
    /// The pod's owner is so young that the index does not know it yet.
    Soon,
    /// The owner is of a kind that has to be asked for first.
    Ask(ObjectKey, Arc<Owner>),
    /// Nothing is to be done.
    Nothing(&'static str),
}

/// The recommendation for a pod of that namespace.
#[must_use]
pub fn find<'a>(index: &'a Index, namespace: &str, pod: &Pod, now: Timestamp) -> Found<'a> {
    let key = ObjectKey { namespace: namespace.into(), name: pod.metadata.name.as_str().into() };
    let controller = pod.metadata.owner_references.iter().find(|owner| owner.controller);
    let controller = controller.map(|owner| {
        Arc::new(Owner {
            api_version: owner.api_version.as_str().into(),
            kind: owner.kind.as_str().into(),
            name: owner.name.as_str().into(),
            uid: Uid::from(owner.uid.as_str()),
        })
    });
    let named = Named { name: &pod.metadata.name, labels: &pod.metadata.labels, node: None };
    // By labels workloads are chosen by policies, and here they are chosen already.
    let origin = Origin::of(controller, named, Arc::default);
    let resolution = index.resolve(&key, &origin);
    if let Resolution::Workload(workload) = &resolution {
        return written(index, workload, now);
    }
    // Whoever has recommended for what the pod names, or for its owner, has found it to be the workload.
    let named = Index::named(&key, &origin).map(|workload| written(index, &workload, now));
    match (named, resolution) {
        (Some(found @ Found::Recommendation(..)), _) => found,
        (_, Resolution::Unknown(owner)) => Found::Ask(key, owner),
        _ => Found::Soon,
    }
}

fn written<'a>(index: &'a Index, workload: &WorkloadKey, now: Timestamp) -> Found<'a> {
    if workload.name.is_empty() {
        return Found::Nothing("no_name");
    }
    let name = naming::name(workload).into_boxed_str();
    let key = ObjectKey { namespace: Arc::clone(&workload.namespace), name };
    match index.sizings.get(&key).filter(|known| known.is_about(workload)) {
        None => Found::Nothing("no_recommendation"),
        Some(known) => match known.mode {
            Mode::Recommend => Found::Nothing("mode_recommend"),
            Mode::Auto if known.given(now) == Given::Nothing => Found::Nothing("given_nothing"),
            Mode::Auto => Found::Recommendation(key.name, known),
        },
    }
}

/// What a recommendation says, as pods are admitted by it; what was before, while somebody wants that back.
#[must_use]
pub fn advice<'a>(name: &'a str, sizing: &'a Sizing, now: Timestamp) -> Advice<'a> {
    let wants = sizing.containers.iter().map(|advice| {
        let back = sizing.given_back(&advice.name, now);
        let (given_back, target) = (back.is_some(), back.unwrap_or(&advice.target));
        let cpu = target.cpu.filter(|_| advice.sizes_cpu);
        let memory = target.memory.filter(|_| advice.sizes_memory);
        let [cpu_ratio, memory_ratio] = advice.ratios().map(rules::ratio);
        let want = Want {
            kind: match advice.kind {
                ContainerKind::Container => admit::Kind::Container,
                ContainerKind::Init => admit::Kind::Init,
                ContainerKind::Sidecar => admit::Kind::Sidecar,
            },
            cpu: cpu.filter(|cpu| *cpu > 0),
            memory: memory.map(|memory| memory.0).filter(|memory| *memory > 0),
            memory_limit: target.memory_limit.filter(|_| memory.is_some()).map(|memory| memory.0),
            rules: LimitRules {
                cpu: rules::cpu_limit(advice.cpu_limit),
                memory: rules::memory_limit(advice.memory_limit, advice.headroom()),
                cpu_ratio,
                memory_ratio,
                add_memory: advice.add_memory,
                shrink_memory: !advice.keep_memory,
            },
            // What was before is given back whole.
            given_back,
            most: if given_back { Amounts::default() } else { rules::bounds(advice.most) },
            young: advice.learning && !given_back,
            // Who wants back what was before does not want it as a start only.
            boost: advice.boost().filter(|_| !given_back).map(|(cpu, duration)| Boost {
                cpu,
                seconds: match duration {
                    BoostDuration::UntilReady => None,
                    BoostDuration::For(span) => Some(span.seconds),
                },
            }),
        };
        (&*advice.name, want)
    });
    Advice { recommendation: name, wants: wants.collect() }
}

/// What a namespace allows such a pod.
#[must_use]
pub fn bounds(index: &Index, namespace: &str, pod: &Pod) -> Bounds {
    let spec = &pod.spec;
    let scope = PodScope {
        terminating: spec.active_deadline_seconds.is_some_and(|seconds| seconds >= 0),
        priority_class: Some(&spec.priority_class_name)
            .filter(|name| !name.is_empty())
            .map(|name| name.as_str().into()),
        crosses_namespaces: spec.affinity.crosses_namespaces(),
    };
    let (limits, quota) = (index.limits(namespace), index.quota(namespace, &scope));
    let left = |pair: Option<(u64, u64)>| pair.map(|(hard, used)| hard.saturating_sub(used));
    Bounds {
        container: extent(
            limits.container_min,
            limits.container_max,
            limits.container_default,
            limits.container_ratio,
        ),
        pod: extent(limits.pod_min, limits.pod_max, Size::default(), limits.pod_ratio),
        left: Left {
            cpu_requests: left(quota.cpu_requests),
            cpu_limits: left(quota.cpu_limits),
            memory_requests: left(quota.memory_requests),
            memory_limits: left(quota.memory_limits),
            spares_best_effort: quota.spares_best_effort,
        },
    }
}

fn extent(least: Size, most: Size, default: Size, ratio: Ratio) -> Extent {
    let bytes = |size: Size| size.memory.map(|memory| memory.0);
    Extent {
        cpu: Range {
            least: least.milli_cpu,
            most: most.milli_cpu,
            default_limit: default.milli_cpu,
            ratio: ratio.cpu,
        },
        memory: Range {
            least: bytes(least),
            most: bytes(most),
            default_limit: bytes(default),
            ratio: ratio.memory,
        },
    }
}
