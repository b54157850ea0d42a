//! The watched cluster as an index of facts: each event of a watch is folded in, and whole objects are forgotten.
//!
//! Holds some 0.3 kB a pod. Computes only: the time is an argument, and the watches are elsewhere ([`super::watch`]).

mod allowed;
mod facts;
mod fold;
mod intern;
mod kinds;
mod life;
mod namespaced;
mod placement;
mod quotas;
mod refused;
mod resolve;
mod rest;
mod rooms;
mod shortages;
mod sizings;
mod table;
#[cfg(test)]
mod tests;
mod written;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use kube::core::{Selector, SelectorExt};

use self::intern::Interner;
pub use allowed::{Limits, Quota, Ratio};
pub use facts::{
    Autoscaler, ContainerShape, ControllerFacts, Labels, MemoryEvent, MemoryShortage, NodeFacts, ObjectKey,
    Origin, Owner, Phase, PodFacts, Qos, Shape, Share, Size, Sizes, THRESHOLDS, Template, Uid,
    VerticalAutoscaler, WorkloadKey, group, stable_hash,
};
pub use fold::Fold;
pub use kinds::{Named, Pool, is_known_by_its_runs, is_known_kind, object_of, rolls_out_in_steps};
pub use life::{BackOffState, Boost, ContainerLife, Life, PAUSE, ResizeState, Touched};
pub use namespaced::NamespacedTable;
pub use placement::{NodeTerm, Operator, Placement, Requirement, Taint, Toleration};
pub use quotas::{PodScope, Scope, ScopedQuota};
pub use refused::RefusedPods;
pub use resolve::{CustomOwner, Resolution, WorkloadPods, Workloads};
pub use rest::{AtRest, Controllers};
pub use rooms::{Occupied, Room, needed_first, requests};
pub use sizings::{Aim, ContainerSizing, Sizing};
pub use table::Table;
pub use written::{
    ADVISED, Acted, Advice, NewPods, Previous, RolledBack, Written, sizes_of, spec_fingerprint,
    status_fingerprint,
};

use crate::api::{ClusterVerticalScalingPolicy, VerticalScalingPolicy};
use crate::cluster::pods::LeanSpec;
use crate::units::Timestamp;

/// How long an owner that is gone is remembered: its pods, and news of them, may come after it.
const REMEMBERED_SECONDS: i64 = 600;
/// How long an answer about an owner holds where there are no pods to need it; then its next pod has it asked for again.
const ANSWER_SECONDS: i64 = 3600;

/// A policy, or why it cannot be read.
pub type Readable<K> = Result<Arc<K>, Unreadable>;

/// An object that the API server holds and that is none.
#[derive(Clone, Debug, PartialEq)]
pub struct Unreadable {
    /// Why.
    pub error: String,
    /// Generation of its spec.
    pub generation: Option<i64>,
    /// Unique id.
    pub uid: Option<String>,
}

/// Everything that is known of the cluster.
#[derive(Clone, Debug, Default)]
pub struct Index {
    /// Pods by namespace and name.
    pub pods: Table<ObjectKey, PodFacts>,
    /// ReplicaSets by uid.
    pub replica_sets: Table<Uid, ControllerFacts>,
    /// Jobs by uid.
    pub jobs: Table<Uid, ControllerFacts>,
    /// Deployments by uid.
    pub deployments: Table<Uid, ControllerFacts>,
    /// StatefulSets by uid.
    pub stateful_sets: Table<Uid, ControllerFacts>,
    /// DaemonSets by uid.
    pub daemon_sets: Table<Uid, ControllerFacts>,
    /// CronJobs by uid.
    pub cron_jobs: Table<Uid, ControllerFacts>,
    /// What was asked for of owners of other kinds.
    pub custom: HashMap<Uid, CustomOwner>,
    /// Labels of namespaces.
    pub namespaces: Table<Arc<str>, Arc<Labels>>,
    /// Nodes by name.
    pub nodes: Table<Arc<str>, NodeFacts>,
    /// LimitRanges.
    pub limit_ranges: NamespacedTable<Limits>,
    /// ResourceQuotas.
    pub quotas: NamespacedTable<ScopedQuota>,
    /// Policies of namespaces.
    pub policies: Table<ObjectKey, Readable<VerticalScalingPolicy>>,
    /// Policies of the cluster, by name.
    pub cluster_policies: Table<ObjectKey, Readable<ClusterVerticalScalingPolicy>>,
    /// What scales workloads by the use of their requests.
    pub autoscalers: Table<ObjectKey, Autoscaler>,
    /// What sizes workloads beside us.
    pub vertical_autoscalers: Table<ObjectKey, VerticalAutoscaler>,
    /// New pods that were refused, by the event that tells it.
    pub refusals: Table<ObjectKey, RefusedPods>,
    /// The recommendations, as the API server holds them.
    pub recommendations: Table<ObjectKey, Written>,
    /// What the recommendations say of new pods, where nothing else of them is followed.
    pub sizings: Table<ObjectKey, Sizing>,
    departed: HashMap<Uid, ControllerFacts>,
    names: Interner<str>,
    owners: Interner<Owner>,
    pools: Interner<Pool>,
    shapes: Interner<Shape>,
    placements: Interner<Placement>,
    labels: Interner<Labels>,
    /// Nobody asks for the labels of what stands above pods.
    without_labels: bool,
}

impl Index {
    /// One copy of this text.
    pub fn name(&mut self, text: &str) -> Arc<str> {
        self.names.text(text)
    }

    /// Keeps no labels of what stands above pods: a new pod's recommendation is found without them, and no two
    /// workloads have the same.
    pub fn keep_no_labels(&mut self) {
        self.without_labels = true;
    }

    /// Forgets owners that have been gone for long, and what was asked for of custom kinds that nothing here is of any
    /// more; without pods nobody can say that, and an answer is forgotten when it is old.
    pub fn forget(&mut self, now: Timestamp) {
        let lately = |gone: Timestamp| now.seconds_since(gone) < REMEMBERED_SECONDS;
        self.departed.retain(|_, facts| facts.gone.is_some_and(lately));
        if self.custom.is_empty() {
            return;
        }
        if !self.pods.synced() {
            self.custom.retain(|_, custom| now.seconds_since(custom.asked) < ANSWER_SECONDS);
            return;
        }
        let owners = self.pods.iter().filter_map(|(_, pod)| pod.origin.owner());
        // What stands further up was asked for on the way, and is kept with what it stands above.
        let above = self.custom.values().filter_map(|custom| custom.facts.owner.as_ref());
        let tables =
            [&self.replica_sets, &self.stateful_sets, &self.deployments, &self.jobs, &self.daemon_sets];
        let built_in = tables.into_iter().flat_map(Table::iter).filter_map(|(_, facts)| facts.owner.as_ref());
        let used: HashSet<Uid> = owners.chain(above).chain(built_in).map(|owner| owner.uid).collect();
        // A workload without pods may only be at rest.
        let recommended = self.recommendations.iter().filter_map(|(name, written)| {
            let workload = written.workload.as_ref()?;
            Some((&*name.namespace, workload.kind.as_str(), object_of(&workload.name)))
        });
        let recommended: HashSet<_> = recommended.collect();
        self.custom.retain(|uid, custom| {
            let (pod, owner) = &custom.owner;
            used.contains(uid) || recommended.contains(&(&*pod.namespace, &*owner.kind, &*owner.name))
        });
    }

    /// The bounds that a namespace's LimitRanges set together: the narrowest.
    #[must_use]
    pub fn limits(&self, namespace: &str) -> Limits {
        self.limit_ranges.of(namespace).fold(Limits::default(), |sum, limits| Limits {
            container_min: merge(sum.container_min, limits.container_min, u64::max),
            container_max: merge(sum.container_max, limits.container_max, u64::min),
            pod_max: merge(sum.pod_max, limits.pod_max, u64::min),
            pod_min: merge(sum.pod_min, limits.pod_min, u64::max),
            container_default: merge(sum.container_default, limits.container_default, u64::min),
            container_ratio: narrower(sum.container_ratio, limits.container_ratio),
            pod_ratio: narrower(sum.pod_ratio, limits.pod_ratio),
        })
    }

    /// What of those of a namespace's ResourceQuotas that count such a pod binds first.
    #[must_use]
    pub fn quota(&self, namespace: &str, pod: &PodScope) -> Quota {
        let tighter = |a: Option<(u64, u64)>, b: Option<(u64, u64)>| match (a, b) {
            (Some(a), Some(b)) => {
                Some(if a.0.saturating_sub(a.1) <= b.0.saturating_sub(b.1) { a } else { b })
            }
            (a, b) => a.or(b),
        };
        let own = self.quotas.of(namespace).filter(|quota| quota.counts(pod)).map(|scoped| &scoped.quota);
        own.fold(Quota::default(), |sum, quota| Quota {
            cpu_requests: tighter(sum.cpu_requests, quota.cpu_requests),
            memory_requests: tighter(sum.memory_requests, quota.memory_requests),
            cpu_limits: tighter(sum.cpu_limits, quota.cpu_limits),
            memory_limits: tighter(sum.memory_limits, quota.memory_limits),
            spares_best_effort: sum.spares_best_effort || quota.spares_best_effort,
        })
    }

    /// True where the namespace's labels match; false where the namespace is not known.
    #[must_use]
    pub fn namespace_matches(&self, namespace: &str, selector: &Selector) -> bool {
        self.namespaces.get(namespace).is_some_and(|labels| selector.matches(labels))
    }
}

fn narrower(a: Ratio, b: Ratio) -> Ratio {
    let least = |a: Option<u64>, b: Option<u64>| a.into_iter().chain(b).min();
    Ratio { cpu: least(a.cpu, b.cpu), memory: least(a.memory, b.memory) }
}

fn merge(a: Size, b: Size, choose: fn(u64, u64) -> u64) -> Size {
    let either = |a: Option<u64>, b: Option<u64>| match (a, b) {
        (Some(a), Some(b)) => Some(choose(a, b)),
        (a, b) => a.or(b),
    };
    Size {
        milli_cpu: either(a.milli_cpu, b.milli_cpu),
        memory: either(a.memory.map(|m| m.0), b.memory.map(|m| m.0)).map(crate::units::Bytes),
    }
}
