//! Workloads without pods: whether they are only at rest, scaled to zero or between their runs, or gone.

use std::sync::Arc;

use super::facts::{ControllerFacts, Labels, Owner, Uid, WorkloadKey, group};
use super::resolve::{CustomOwner, Way};
use super::{Index, is_known_by_its_runs};

/// What is known of a workload that has no pods.
#[derive(Debug)]
pub enum AtRest {
    /// It is there: its labels, and all owners above it.
    There(Arc<Labels>, Vec<Arc<Owner>>),
    /// It is gone.
    Gone,
    /// Nobody can say: it shows in its runs only, or we may not read it.
    Unseen,
    /// Its kind is not built in: this has to be asked for.
    Ask(Arc<Owner>),
}

impl Index {
    /// What is known of a workload that has no pods.
    #[must_use]
    pub fn at_rest(&self, workload: &WorkloadKey) -> AtRest {
        if is_known_by_its_runs(&workload.api_version, &workload.kind, &workload.name) {
            return AtRest::Unseen;
        }
        if self.table(group(&workload.api_version), &workload.kind).is_some() {
            return self.controller(workload).map_or(AtRest::Gone, |facts| self.there(workload, facts));
        }
        if group(&workload.api_version).is_empty() {
            // Pods and ReplicationControllers: nobody watches them without their pods.
            return AtRest::Gone;
        }
        match self.custom_by_name(workload) {
            Some(custom) if custom.gone => AtRest::Gone,
            Some(custom) if custom.facts.key.is_none() => AtRest::Unseen,
            Some(custom) => self.there(workload, &custom.facts),
            None => AtRest::Ask(Arc::new(Owner {
                api_version: Arc::clone(&workload.api_version),
                kind: Arc::clone(&workload.kind),
                name: workload.object().into(),
                // Which one had that name is not known; it is asked for by name alone.
                uid: Uid::from(workload.to_string().as_str()),
            })),
        }
    }

    fn there(&self, workload: &WorkloadKey, facts: &ControllerFacts) -> AtRest {
        let above = facts.owner.as_ref().map(|owner| self.climb(&workload.namespace, owner));
        let above = above.unwrap_or_default();
        let (mut labels, mut owners) = (Arc::clone(&facts.labels), Vec::new());
        above.add_to(&mut owners);
        Way::merge(&mut labels, above.labels_on_the_way());
        AtRest::There(labels, owners)
    }

    /// A workload of a built-in kind, where it exists, with pods or without.
    #[must_use]
    pub fn controller(&self, workload: &WorkloadKey) -> Option<&ControllerFacts> {
        let table = self.table(group(&workload.api_version), &workload.kind)?;
        let is_it = |facts: &ControllerFacts| {
            let key = facts.key.as_ref();
            key.is_some_and(|key| key.namespace == workload.namespace && *key.name == *workload.name)
        };
        table.iter().map(|(_, facts)| facts).find(|facts| is_it(facts))
    }

    /// What was asked for of a custom workload, by its name; of several the one that was asked for last.
    fn custom_by_name(&self, workload: &WorkloadKey) -> Option<&CustomOwner> {
        let found = self.custom.values().filter(|custom| {
            let (pod, owner) = &custom.owner;
            pod.namespace == workload.namespace
                && owner.kind == workload.kind
                && *owner.name == *workload.object()
                && owner.group() == group(&workload.api_version)
        });
        found.max_by_key(|custom| (custom.asked, custom.owner.1.uid))
    }
}
