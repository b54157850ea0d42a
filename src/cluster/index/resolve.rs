//! From a pod to its workload: up the owners to the top one that scales.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::facts::{ControllerFacts, Labels, Origin, Owner, Phase, PodFacts, Template, WorkloadKey, group};
use super::{Index, ObjectKey, Uid};
use crate::units::Timestamp;

/// Owner references can be written by hand into a circle; no real chain is longer than this.
const HIGHEST: usize = 8;

/// Labels whose value names a pod that nothing controls, most telling first.
const NAMING_LABELS: [&str; 6] =
    ["app.kubernetes.io/instance", "app.kubernetes.io/name", "k8s-app", "app", "component", "run"];

/// What a pod's workload is.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// This, with these labels.
    Workload(WorkloadKey, Arc<Labels>),
    /// Its owner has not been told of yet.
    Pending,
    /// Its owner is of a kind that nothing is known of: ask, and put the answer into [`Index::custom`].
    Unknown(Arc<Owner>),
}

/// What was found out of an owner that is of no built-in kind.
#[derive(Clone, Debug)]
pub struct CustomOwner {
    /// It has /scale: a workload in its own right.
    pub scales: bool,
    /// Its labels and its own owner.
    pub facts: ControllerFacts,
    /// Which one, and a pod of it: to ask again.
    pub owner: (ObjectKey, Arc<Owner>),
    /// When that was asked for.
    pub asked: Timestamp,
}

/// A workload and its pods.
#[derive(Debug)]
pub struct WorkloadPods<'a> {
    /// Its labels.
    pub labels: Arc<Labels>,
    /// What its template asks for, where that is known.
    pub template: Option<Arc<Template>>,
    /// Its pods that have not ended, in the order of their names.
    pub pods: Vec<(&'a ObjectKey, &'a PodFacts)>,
}

/// All workloads that have pods.
#[derive(Debug, Default)]
pub struct Workloads<'a> {
    /// The workloads.
    pub workloads: HashMap<WorkloadKey, WorkloadPods<'a>>,
    /// Owners that have to be asked for, each with a pod of it.
    pub unknown: HashMap<Uid, (ObjectKey, Arc<Owner>)>,
    /// Namespaces with a pod whose workload is not known yet: what is missing there may only be unknown.
    pub unresolved: HashSet<Arc<str>>,
}

/// A workload, with what is known of it.
type Known<'a> = (&'a Arc<Owner>, Option<&'a ControllerFacts>);

/// Where in the climb an owner stands.
enum Step<'a> {
    /// A workload, with what is known of it.
    Workload(Option<&'a ControllerFacts>),
    /// Nothing that scales, but it may have an owner that does.
    Between(&'a ControllerFacts),
    Pending,
    Unknown,
}

impl Index {
    /// The workload of a pod that was made by `origin`.
    #[must_use]
    pub fn resolve(&self, pod: &ObjectKey, origin: &Origin) -> Resolution {
        let owner = match origin {
            Origin::Owner(owner) => owner,
            Origin::Labels(labels) => return self.by_labels(pod, labels),
        };
        match self.climb(owner) {
            Ok(Some((top, facts))) => {
                let labels = facts.map(|facts| Arc::clone(&facts.labels)).unwrap_or_default();
                Resolution::Workload(key(pod, top), labels)
            }
            // Made by something that does not scale, such as a workflow: many short-lived owners, one template.
            Ok(None) => Resolution::Workload(key(pod, owner), Arc::default()),
            Err(unknown) => unknown,
        }
    }

    /// The top one of an owner and its own owners that scales, and what is known of it.
    fn climb<'a>(&'a self, owner: &'a Arc<Owner>) -> Result<Option<Known<'a>>, Resolution> {
        let mut found = None;
        let mut current = Some(owner);
        for _ in 0..HIGHEST {
            let Some(owner) = current else { break };
            let facts = match self.step(owner) {
                Step::Workload(facts) => {
                    found = Some((owner, facts));
                    facts
                }
                Step::Between(facts) => Some(facts),
                Step::Pending => return Err(Resolution::Pending),
                Step::Unknown => return Err(Resolution::Unknown(Arc::clone(owner))),
            };
            current = facts.and_then(|facts| facts.owner.as_ref());
        }
        Ok(found)
    }

    /// What the template asks for that a pod of that origin was made from.
    fn template_of(&self, origin: &Origin) -> Option<Arc<Template>> {
        let Ok(Some((_, facts))) = self.climb(origin.owner()?) else { return None };
        facts?.template.clone()
    }

    /// The labels of a workload of a built-in kind, where it exists, with pods or without.
    #[must_use]
    pub fn controller(&self, workload: &WorkloadKey) -> Option<&Arc<Labels>> {
        let table = match (group(&workload.api_version), &*workload.kind) {
            ("apps", "ReplicaSet") => &self.replica_sets,
            ("apps", "Deployment") => &self.deployments,
            ("apps", "StatefulSet") => &self.stateful_sets,
            ("apps", "DaemonSet") => &self.daemon_sets,
            ("batch", "Job") => &self.jobs,
            ("batch", "CronJob") => &self.cron_jobs,
            _ => return None,
        };
        let is_it = |key: &ObjectKey| key.namespace == workload.namespace && *key.name == *workload.name;
        let found = table.iter().find(|(_, facts)| facts.key.as_ref().is_some_and(is_it));
        found.map(|(_, facts)| &facts.labels)
    }

    fn step(&self, owner: &Owner) -> Step<'_> {
        let table = match (owner.group(), &*owner.kind) {
            ("apps", "ReplicaSet") => &self.replica_sets,
            ("apps", "Deployment") => &self.deployments,
            ("apps", "StatefulSet") => &self.stateful_sets,
            ("apps", "DaemonSet") => &self.daemon_sets,
            ("batch", "Job") => &self.jobs,
            ("batch", "CronJob") => &self.cron_jobs,
            ("", "ReplicationController") => return Step::Workload(None),
            _ => {
                return match self.custom.get(&owner.uid) {
                    Some(custom) if custom.scales => Step::Workload(Some(&custom.facts)),
                    Some(custom) => Step::Between(&custom.facts),
                    None => Step::Unknown,
                };
            }
        };
        match table.get(&owner.uid).or_else(|| self.departed.get(&owner.uid)) {
            Some(facts) => Step::Workload(Some(facts)),
            None => Step::Pending,
        }
    }

    /// Owners of pods whose answer is older than `before`, to be asked for again. Without pods an answer is forgotten
    /// instead.
    pub fn custom_before(&self, before: Timestamp) -> impl Iterator<Item = &(ObjectKey, Arc<Owner>)> {
        let old = self.custom.values().filter(move |custom| self.pods.synced() && custom.asked < before);
        old.map(|custom| &custom.owner)
    }

    /// A pod that nothing controls is pooled with those that its labels name alike, whatever its own name.
    fn by_labels(&self, pod: &ObjectKey, labels: &Arc<Labels>) -> Resolution {
        let named = NAMING_LABELS.iter().find_map(|label| labels.get(*label)).filter(|name| !name.is_empty());
        let name = named.map_or(&*pod.name, String::as_str);
        let key = WorkloadKey {
            namespace: Arc::clone(&pod.namespace),
            kind: Arc::from("Pod"),
            name: Arc::from(name),
            api_version: Arc::from("v1"),
        };
        Resolution::Workload(key, Arc::clone(labels))
    }

    /// All workloads that have pods.
    #[must_use]
    pub fn workloads(&self) -> Workloads<'_> {
        let mut found = Workloads::default();
        for (name, pod) in self.pods.iter() {
            if pod.phase == Phase::Ended {
                continue;
            }
            match self.resolve(name, &pod.origin) {
                Resolution::Workload(key, labels) => {
                    let workload = found.workloads.entry(key).or_insert_with(|| {
                        let template = self.template_of(&pod.origin);
                        WorkloadPods { labels, template, pods: Vec::new() }
                    });
                    workload.pods.push((name, pod));
                }
                Resolution::Unknown(owner) => {
                    found.unresolved.insert(Arc::clone(&name.namespace));
                    found.unknown.insert(owner.uid, (name.clone(), owner));
                }
                Resolution::Pending => drop(found.unresolved.insert(Arc::clone(&name.namespace))),
            }
        }
        for workload in found.workloads.values_mut() {
            workload.pods.sort_unstable_by(|a, b| a.0.cmp(b.0));
        }
        found
    }
}

fn key(pod: &ObjectKey, owner: &Owner) -> WorkloadKey {
    WorkloadKey {
        namespace: Arc::clone(&pod.namespace),
        kind: Arc::clone(&owner.kind),
        name: Arc::clone(&owner.name),
        api_version: Arc::clone(&owner.api_version),
    }
}
