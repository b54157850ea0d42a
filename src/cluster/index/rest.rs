//! Workloads without pods: whether they are only at rest, scaled to zero or between their runs, or gone.

use std::collections::HashMap;
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

/// Controllers by name, with pods or without. Made for one plan, as each of them may be asked for in it.
#[derive(Debug, Default)]
pub struct Controllers<'a> {
    /// Of built-in kinds, no two of which have the same name.
    built_in: HashMap<Named<'a>, &'a ControllerFacts>,
    /// Of other kinds, by group; of several of one name the one that was asked for last.
    custom: HashMap<(&'a str, Named<'a>), &'a CustomOwner>,
}

/// Kind, namespace and name.
type Named<'a> = (&'a str, &'a str, &'a str);

impl<'a> Controllers<'a> {
    /// A workload of a built-in kind, where it exists.
    #[must_use]
    pub fn built_in(&self, workload: &WorkloadKey) -> Option<&'a ControllerFacts> {
        self.built_in.get(&(&*workload.kind, &*workload.namespace, &*workload.name)).copied()
    }

    fn custom(&self, workload: &WorkloadKey) -> Option<&'a CustomOwner> {
        let named = (&*workload.kind, &*workload.namespace, workload.object());
        self.custom.get(&(group(&workload.api_version), named)).copied()
    }
}

impl Index {
    /// All controllers by name.
    #[must_use]
    pub fn controllers(&self) -> Controllers<'_> {
        let tables = [
            ("ReplicaSet", &self.replica_sets),
            ("Deployment", &self.deployments),
            ("StatefulSet", &self.stateful_sets),
            ("DaemonSet", &self.daemon_sets),
            ("Job", &self.jobs),
            ("CronJob", &self.cron_jobs),
        ];
        let built_in = tables.into_iter().flat_map(|(kind, table)| {
            table.iter().filter_map(move |(_, facts)| {
                let key = facts.key.as_ref()?;
                Some(((kind, &*key.namespace, &*key.name), facts))
            })
        });
        let mut found = Controllers { built_in: built_in.collect(), custom: HashMap::new() };
        for custom in self.custom.values() {
            let (pod, owner) = &custom.owner;
            let named = (&*owner.kind, &*pod.namespace, &*owner.name);
            let known = found.custom.entry((owner.group(), named)).or_insert(custom);
            if (custom.asked, owner.uid) > (known.asked, known.owner.1.uid) {
                *known = custom;
            }
        }
        found
    }

    /// What is known of a workload that has no pods.
    #[must_use]
    pub fn at_rest(&self, workload: &WorkloadKey, controllers: &Controllers<'_>) -> AtRest {
        if is_known_by_its_runs(&workload.api_version, &workload.kind, &workload.name) {
            return AtRest::Unseen;
        }
        if self.table(group(&workload.api_version), &workload.kind).is_some() {
            let known = controllers.built_in(workload);
            return known.map_or(AtRest::Gone, |facts| self.there(workload, facts));
        }
        if group(&workload.api_version).is_empty() {
            // Pods and ReplicationControllers: nobody watches them without their pods.
            return AtRest::Gone;
        }
        match controllers.custom(workload) {
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
        let mut labels = Arc::clone(&facts.labels);
        Way::merge(&mut labels, above.labels_on_the_way());
        AtRest::There(labels, above.owners().cloned().collect())
    }
}
