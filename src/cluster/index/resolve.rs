//! From a pod to its workload: up the owners to the top one that scales, or to what the pod or a run says that it is of.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use super::facts::{ControllerFacts, Labels, Origin, Owner, Phase, PodFacts, Template, WorkloadKey};
use super::kinds::{self, Pool, ROLE};
use super::{Index, ObjectKey, Table, Uid};
use crate::units::Timestamp;

/// Owner references can be written by hand into a circle; no real chain is longer than this.
const HIGHEST: usize = 8;

/// What a pod's workload is.
#[derive(Clone, Debug, PartialEq)]
pub enum Resolution {
    /// This.
    Workload(WorkloadKey),
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
    /// No object of that name is there.
    pub gone: bool,
    /// Its labels and its own owner; no key where we may not read it.
    pub facts: ControllerFacts,
    /// What it is one run of.
    pub template: Option<Arc<Pool>>,
    /// Which one, and a pod of it: to ask again.
    pub owner: (ObjectKey, Arc<Owner>),
    /// When that was asked for.
    pub asked: Timestamp,
}

/// A workload and its pods.
#[derive(Debug)]
pub struct WorkloadPods<'a> {
    /// Its labels, and below them those of all owners on the way to it.
    pub labels: Arc<Labels>,
    /// All owners of its pods, to the top.
    pub owners: Vec<Arc<Owner>>,
    /// What its template asks for, where that is known.
    pub template: Option<Arc<Template>>,
    /// Replicas that it asks for, where it does.
    pub replicas: Option<u32>,
    /// Its pods that have not ended, in the order of their names.
    pub pods: Vec<(&'a ObjectKey, &'a PodFacts)>,
    /// Those of `owners`: there may be as many as pods, runs of one template.
    known: HashSet<Uid>,
}

impl WorkloadPods<'_> {
    /// A workload of which no pod is there.
    #[must_use]
    pub fn none() -> Self {
        Self {
            labels: Arc::default(),
            owners: Vec::new(),
            template: None,
            replicas: None,
            pods: Vec::new(),
            known: HashSet::new(),
        }
    }

    fn add_owners(&mut self, way: &Way<'_>) {
        let mut new = way.owners();
        // What stands above an owner that is known is known as well.
        if let Some(first) = new.next().filter(|first| self.known.insert(first.uid)) {
            self.owners.push(Arc::clone(first));
            self.owners.extend(new.filter(|above| self.known.insert(above.uid)).cloned());
        }
    }
}

/// All workloads that have pods.
#[derive(Debug, Default)]
pub struct Workloads<'a> {
    /// The workloads.
    pub workloads: HashMap<WorkloadKey, WorkloadPods<'a>>,
    /// Workloads none of whose pods is left but one that has ended, was killed for its memory, and was made by a Job: of
    /// one that fails within seconds no other is ever seen.
    pub ended: HashMap<WorkloadKey, WorkloadPods<'a>>,
    /// Owners that have to be asked for, each with a pod of it.
    pub unknown: HashMap<Uid, (ObjectKey, Arc<Owner>)>,
    /// Namespaces with a pod whose workload is not known yet: what is missing there may only be unknown.
    pub unresolved: HashSet<Arc<str>>,
}

/// An owner on the way, with what is known of it.
type Known<'a> = (&'a Arc<Owner>, Option<&'a ControllerFacts>);

/// The way from a pod, or from a workload, up its owners.
#[derive(Default)]
pub(super) struct Way<'a> {
    /// All of them, from the pod's up.
    owners: Vec<Known<'a>>,
    /// The place of the top one that is a workload.
    workload: Option<usize>,
    /// What the top one is a run of.
    template: Option<&'a Pool>,
    /// Why it goes no further, though there may be more.
    end: Option<Resolution>,
}

/// Where on the way an owner stands.
enum Step<'a> {
    /// A workload, with what is known of it.
    Workload(Option<&'a ControllerFacts>),
    /// One run of this.
    Run(&'a Pool, &'a ControllerFacts),
    /// Nothing that scales, but it may have an owner that does.
    Between(&'a ControllerFacts),
    /// A pod that has made others.
    Pod(Option<&'a Arc<Owner>>),
    Pending,
    Unknown,
}

impl Index {
    /// The workload of a pod that was made by `origin`.
    #[must_use]
    pub fn resolve(&self, pod: &ObjectKey, origin: &Origin) -> Resolution {
        self.resolve_on(&self.way_from(&pod.namespace, origin), pod, origin)
    }

    fn resolve_on(&self, way: &Way<'_>, pod: &ObjectKey, origin: &Origin) -> Resolution {
        let says_all = origin.pool.as_ref().is_some_and(|pool| pool.labels.is_some());
        match &way.end {
            Some(end) if !says_all => end.clone(),
            _ => way.key(&pod.namespace, origin).map_or(Resolution::Pending, Resolution::Workload),
        }
    }

    /// Whether what made a pod makes another in its place when it is evicted: controllers that keep a number of pods, and
    /// custom kinds that scale. Jobs and what runs to its end count it as failed.
    #[must_use]
    pub fn replaces(&self, origin: &Origin) -> bool {
        let Some(owner) = origin.owner() else { return false };
        match (owner.group(), &*owner.kind) {
            ("apps", "ReplicaSet" | "StatefulSet" | "DaemonSet") | ("", "ReplicationController") => true,
            ("batch", _) => false,
            _ => self.custom.get(&owner.uid).is_some_and(|custom| custom.scales || kinds::is_workload(owner)),
        }
    }

    /// The workload that a new pod names itself, or that its owner is where nothing above it is one.
    #[must_use]
    pub fn named(pod: &ObjectKey, origin: &Origin) -> Option<WorkloadKey> {
        let direct =
            Way { owners: origin.owner.iter().map(|owner| (owner, None)).collect(), ..Way::default() };
        direct.key(&pod.namespace, origin)
    }

    fn way_from<'a>(&'a self, namespace: &Arc<str>, origin: &'a Origin) -> Way<'a> {
        origin.owner.as_ref().map(|owner| self.climb(namespace, owner)).unwrap_or_default()
    }

    pub(super) fn climb<'a>(&'a self, namespace: &Arc<str>, owner: &'a Arc<Owner>) -> Way<'a> {
        let mut way = Way::default();
        let mut current = Some(owner);
        while let Some(owner) = current.filter(|_| way.owners.len() < HIGHEST) {
            let step = self.step(namespace, owner);
            let facts = match step {
                Step::Workload(facts) => facts,
                Step::Run(_, facts) | Step::Between(facts) => Some(facts),
                Step::Pod(_) | Step::Pending | Step::Unknown => None,
            };
            let place = way.owners.len();
            // What is known already is there also where the rest is not.
            way.owners.push((owner, facts));
            match step {
                Step::Workload(_) if way.template.is_none() && way.takes(place) => way.workload = Some(place),
                Step::Run(template, _) => way.template = way.template.or(Some(template)),
                Step::Pending => way.end = Some(Resolution::Pending),
                Step::Unknown => way.end = Some(Resolution::Unknown(Arc::clone(owner))),
                Step::Workload(_) | Step::Between(_) | Step::Pod(_) => {}
            }
            current = match step {
                Step::Pod(above) => above,
                _ => facts.and_then(|facts| facts.owner.as_ref()),
            };
        }
        way
    }

    fn step<'a>(&'a self, namespace: &Arc<str>, owner: &Owner) -> Step<'a> {
        let Some(table) = self.table(owner.group(), &owner.kind) else {
            return match (owner.group(), &*owner.kind) {
                ("", "ReplicationController") => Step::Workload(None),
                ("", "Pod") => Step::Pod(self.owner_of(namespace, owner)),
                _ => match self.custom.get(&owner.uid) {
                    Some(CustomOwner { template: Some(template), facts, .. }) => Step::Run(template, facts),
                    Some(custom) if custom.scales || kinds::is_workload(owner) => {
                        Step::Workload(Some(&custom.facts))
                    }
                    Some(custom) => Step::Between(&custom.facts),
                    None => Step::Unknown,
                },
            };
        };
        match table.get(&owner.uid).or_else(|| self.departed.get(&owner.uid)) {
            Some(facts) => Step::Workload(Some(facts)),
            None => Step::Pending,
        }
    }

    /// What controls the pod that controls another.
    fn owner_of(&self, namespace: &Arc<str>, pod: &Owner) -> Option<&Arc<Owner>> {
        let key = ObjectKey { namespace: Arc::clone(namespace), name: (*pod.name).into() };
        self.pods.get(&key).filter(|known| known.uid == pod.uid)?.origin.owner()
    }

    pub(super) fn table(&self, group: &str, kind: &str) -> Option<&Table<Uid, ControllerFacts>> {
        Some(match (group, kind) {
            ("apps", "ReplicaSet") => &self.replica_sets,
            ("apps", "Deployment") => &self.deployments,
            ("apps", "StatefulSet") => &self.stateful_sets,
            ("apps", "DaemonSet") => &self.daemon_sets,
            ("batch", "Job") => &self.jobs,
            ("batch", "CronJob") => &self.cron_jobs,
            _ => return None,
        })
    }

    /// Owners of pods whose answer is older than `before`, to be asked for again. Without pods an answer is forgotten
    /// instead.
    pub fn custom_before(&self, before: Timestamp) -> impl Iterator<Item = &(ObjectKey, Arc<Owner>)> {
        let old = self.custom.values().filter(move |custom| self.pods.synced() && custom.asked < before);
        old.map(|custom| &custom.owner)
    }

    /// All workloads that have pods.
    #[must_use]
    pub fn workloads(&self) -> Workloads<'_> {
        self.workloads_in(|_| true)
    }

    /// Those of some namespaces.
    #[must_use]
    pub fn workloads_in(&self, wanted: impl Fn(&str) -> bool) -> Workloads<'_> {
        let mut found = Workloads::default();
        for (name, pod) in self.pods.iter().filter(|(name, _)| wanted(&name.namespace)) {
            let ended = pod.phase == Phase::Ended;
            let is_job = || pod.origin.owner().is_some_and(|owner| owner.group() == "batch");
            if ended && (pod.told.is_empty() || !is_job()) {
                continue;
            }
            let way = self.way_from(&name.namespace, &pod.origin);
            match self.resolve_on(&way, name, &pod.origin) {
                Resolution::Workload(key) if ended => {
                    let at = |(name, pod): (&ObjectKey, &PodFacts)| (pod.life.created, name.clone());
                    let newer = |last: &WorkloadPods<'_>| {
                        last.pods.first().is_none_or(|last| at((name, pod)) > at(*last))
                    };
                    if found.ended.get(&key).is_none_or(newer) {
                        let mut last = way.workload(&key, &pod.origin);
                        last.add_owners(&way);
                        last.pods.push((name, pod));
                        found.ended.insert(key, last);
                    }
                }
                Resolution::Workload(key) => {
                    let workload = found.workloads.entry(key);
                    let workload = workload.or_insert_with_key(|key| way.workload(key, &pod.origin));
                    workload.add_owners(&way);
                    workload.pods.push((name, pod));
                }
                Resolution::Unknown(_) | Resolution::Pending if ended => {}
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
        let Workloads { workloads, ended, .. } = &mut found;
        ended.retain(|key, _| !workloads.contains_key(key));
        found
    }
}

impl<'a> Way<'a> {
    /// Whether what stands there is a workload for what stands below it: a Job that something scalable has started, such
    /// as an analysis of a rollout, is none of its replicas.
    fn takes(&self, place: usize) -> bool {
        let Some(((above, _), below)) = self.owners.get(..=place).and_then(<[_]>::split_last) else {
            return false;
        };
        let is_job = |owner: &Owner| (owner.group(), &*owner.kind) == ("batch", "Job");
        !below.iter().any(|(below, _)| is_job(below)) || above.group() == "batch" || kinds::is_workload(above)
    }

    fn key(&self, namespace: &Arc<str>, origin: &Origin) -> Option<WorkloadKey> {
        let of = |api_version: &Arc<str>, kind: &Arc<str>, name: Arc<str>| WorkloadKey {
            namespace: Arc::clone(namespace),
            kind: Arc::clone(kind),
            name,
            api_version: Arc::clone(api_version),
        };
        if let Some(pool) = &origin.pool {
            return Some(of(&pool.api_version, &pool.kind, Arc::clone(&pool.name)));
        }
        let with_role = |name: &Arc<str>| match &origin.role {
            Some(role) => Arc::from(format!("{name}{ROLE}{role}")),
            None => Arc::clone(name),
        };
        if let Some(template) = self.template {
            return Some(of(&template.api_version, &template.kind, with_role(&template.name)));
        }
        // Made by something that does not scale, such as a workflow: many short-lived owners, one template.
        let (owner, _) = self.owners.get(self.workload.unwrap_or(0))?;
        Some(of(&owner.api_version, &owner.kind, with_role(&owner.name)))
    }

    /// What the template asks for that the pod was made from.
    fn replicas(&self) -> Option<u32> {
        self.owners.iter().find_map(|(_, facts)| facts.and_then(|facts| facts.replicas))
    }

    fn pod_template(&self) -> Option<Arc<Template>> {
        self.owners.iter().find_map(|(_, facts)| facts.and_then(|facts| facts.template.clone()))
    }

    /// The labels of the workload, and below them those of all that is on the way.
    fn labels(&self, workload: &WorkloadKey, origin: &Origin) -> Arc<Labels> {
        if let Some(labels) = origin.pool.as_ref().and_then(|pool| pool.labels.clone()) {
            return labels;
        }
        let is_it =
            |(owner, _): &&Known<'_>| owner.kind == workload.kind && *owner.name == *workload.object();
        let own = self.owners.iter().find(is_it).and_then(|(_, facts)| *facts);
        let mut labels = own.map(|facts| Arc::clone(&facts.labels)).unwrap_or_default();
        Self::merge(&mut labels, self.labels_on_the_way());
        labels
    }

    /// The labels of all owners, the pod's first. Those of ReplicaSets and Jobs that something else has made are its
    /// pods', not its own.
    pub(super) fn labels_on_the_way(&self) -> impl Iterator<Item = &Arc<Labels>> {
        let is_made = |(owner, facts): &&Known<'_>| {
            matches!((owner.group(), &*owner.kind), ("apps", "ReplicaSet") | ("batch", "Job"))
                && facts.is_some_and(|facts| facts.owner.is_some())
        };
        self.owners
            .iter()
            .filter(move |known| !is_made(known))
            .filter_map(|(_, facts)| Some(&(*facts)?.labels))
    }

    /// Adds labels that are not there yet.
    pub(super) fn merge<'l>(labels: &mut Arc<Labels>, more: impl Iterator<Item = &'l Arc<Labels>>) {
        for more in more.filter(|more| !more.is_empty()) {
            if labels.is_empty() {
                *labels = Arc::clone(more);
            } else if !Arc::ptr_eq(labels, more) {
                let labels = Arc::make_mut(labels);
                for (name, value) in &**more {
                    labels.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
        }
    }

    /// All owners, from the pod's up.
    pub(super) fn owners(&self) -> impl Iterator<Item = &Arc<Owner>> {
        self.owners.iter().map(|(owner, _)| *owner)
    }

    fn workload(&self, key: &WorkloadKey, origin: &Origin) -> WorkloadPods<'a> {
        WorkloadPods {
            labels: self.labels(key, origin),
            template: self.pod_template(),
            replicas: self.replicas(),
            ..WorkloadPods::none()
        }
    }
}
