//! What nodes and namespaces allow the pods of each workload, computed once for all that it bounds.

use std::collections::HashMap;
use std::sync::Arc;

use crate::actuate::facts::{Around, Place};
use crate::cluster::Index;
use crate::cluster::index::{
    Occupied, Placement, PodFacts, PodScope, Room, WorkloadKey, WorkloadPods, needed_first,
};
use crate::control::{compose, rules};
use crate::policy::{Amounts, NamespaceBounds};
use crate::units::Cores;

/// What is free on nodes, and what namespaces allow.
pub(super) struct Places<'a> {
    index: &'a Index,
    occupied: Occupied<'a>,
    free: HashMap<Arc<Placement>, Arc<[Amounts]>>,
    bounds: HashMap<(Arc<str>, PodScope), NamespaceBounds>,
}

impl<'a> Places<'a> {
    pub(super) fn new(index: &'a Index) -> Self {
        Self { index, occupied: index.occupied(), free: HashMap::new(), bounds: HashMap::new() }
    }

    /// What a workload's pods are allowed.
    pub(super) fn around(&mut self, key: &WorkloadKey, workload: &WorkloadPods<'_>) -> Around {
        let Some(shape) = compose::shape(workload) else { return Around::default() };
        let (index, placement) = (self.index, &shape.placement);
        let scope = (Arc::clone(&key.namespace), placement.scope.clone());
        let bounds = *self.bounds.entry(scope).or_insert_with(|| {
            let quota = index.quota(&key.namespace, &placement.scope);
            rules::namespace(&index.limits(&key.namespace), &quota)
        });
        let free = self.free.entry(Arc::clone(placement)).or_insert_with(|| {
            index.free(placement, &self.occupied).iter().map(|room| amounts(*room)).collect()
        });
        // Where no node is known none can be asked for.
        let free = Some(Arc::clone(free)).filter(|_| !index.nodes.is_empty());
        Around { bounds, free, ..Around::default() }
    }

    /// What of nodes a pod has and needs.
    pub(super) fn of(&self, pod: &PodFacts) -> Place {
        let overhead = pod.shape.placement.overhead;
        Place {
            home: self.index.free_at_home(pod, &self.occupied).map(amounts),
            first: amounts(needed_first(pod)),
            overhead: Amounts { cpu: overhead.cpu(), memory: overhead.memory },
            unschedulable: pod.life.unschedulable,
        }
    }
}

fn amounts(room: Room) -> Amounts {
    Amounts { cpu: Some(Cores::from_milli(room.milli_cpu)), memory: Some(room.memory) }
}
