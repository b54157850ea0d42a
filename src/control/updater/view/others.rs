//! What else sizes or counts the pods of workloads: autoscalers, by each of their owners.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::places::Places;
use crate::actuate::facts::Stalled;
use crate::actuate::rescale::Scaler;
use crate::api::HpaRule;
use crate::cluster::Index;
use crate::cluster::index::{Autoscaler, ObjectKey, Owner, Uid, WorkloadKey};
use crate::control::select::Policies;
use crate::control::updater::scaler;

/// An object by namespace, kind and name.
type Name<'a> = (&'a str, &'a str, &'a str);

/// What else sizes or counts pods, by what it targets.
pub(super) struct Others<'a> {
    autoscalers: HashMap<Name<'a>, Vec<(&'a ObjectKey, &'a Autoscaler)>>,
    /// Targets of VerticalPodAutoscalers that act.
    owned: HashSet<Name<'a>>,
    /// How watched pods wait for CPU.
    pub(super) stalled: &'a HashMap<Uid, Stalled>,
    /// The cluster's policies, which bound how fast pods are changed.
    pub(super) walls: Policies,
    pub(super) places: Places<'a>,
}

/// The HorizontalPodAutoscalers of one workload.
pub(super) struct Scaling<'a> {
    all: Vec<(&'a ObjectKey, &'a Autoscaler)>,
    rule: HpaRule,
}

impl<'a> Others<'a> {
    pub(super) fn of(index: &'a Index, stalled: &'a HashMap<Uid, Stalled>) -> Self {
        let mut autoscalers: HashMap<Name<'a>, Vec<_>> = HashMap::new();
        for (of, scaler) in index.autoscalers.iter() {
            autoscalers.entry((&of.namespace, &scaler.kind, &scaler.name)).or_default().push((of, scaler));
        }
        let acting = index.vertical_autoscalers.iter().filter(|(_, scaler)| scaler.acts);
        let owned = acting.map(|(of, scaler)| (&*of.namespace, &*scaler.kind, &*scaler.name)).collect();
        Self { autoscalers, owned, stalled, walls: Policies::of_cluster(index), places: Places::new(index) }
    }

    /// Whether a VerticalPodAutoscaler changes its pods, by whichever of their owners.
    pub(super) fn is_owned(&self, workload: &WorkloadKey, owners: &[Arc<Owner>]) -> bool {
        names(workload, owners).any(|name| self.owned.contains(&name))
    }

    /// What scales it, by whichever of its pods' owners.
    pub(super) fn scaling(
        &self,
        workload: &WorkloadKey,
        owners: &[Arc<Owner>],
        rule: HpaRule,
    ) -> Scaling<'a> {
        let mut all: Vec<_> = names(workload, owners)
            .filter_map(|name| self.autoscalers.get(&name))
            .flatten()
            .copied()
            .collect();
        all.sort_by_key(|(of, _)| *of);
        all.dedup_by_key(|(of, _)| *of);
        Scaling { all, rule }
    }
}

/// The workload's own name and those of all owners.
fn names<'n>(workload: &'n WorkloadKey, owners: &'n [Arc<Owner>]) -> impl Iterator<Item = Name<'n>> {
    let own = std::iter::once((&*workload.namespace, &*workload.kind, workload.object()));
    own.chain(owners.iter().map(|owner| (&*workload.namespace, &*owner.kind, &*owner.name)))
}

impl Scaling<'_> {
    /// Whether one keeps that resource as it is: of one container, or of the whole pod. Who controls an autoscaler puts its
    /// targets back, and so they are not moved.
    pub(super) fn holds(&self, memory: bool, container: Option<&str>) -> bool {
        let held = self.all.iter().filter(|(_, found)| self.rule == HpaRule::Hold || found.owned);
        let mut shares = held.flat_map(|(_, found)| &found.shares);
        shares.any(|share| share.memory == memory && share.container.as_deref() == container)
    }

    /// Those whose targets move with the requests.
    pub(super) fn moved(&self) -> Vec<Scaler> {
        let moved = self
            .all
            .iter()
            .filter(|(_, found)| self.rule != HpaRule::Hold && !found.owned && !found.shares.is_empty());
        moved.map(|(of, found)| scaler::scaler(of, found)).collect()
    }
}
