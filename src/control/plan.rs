//! What has to be written: from the index and the book to the writes that make the cluster say it.
//!
//! Pure but for the lock on the index that the caller holds.

#[cfg(test)]
mod tests;

use std::collections::{HashMap, HashSet};
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use k8s_openapi::jiff;

use super::book::{Book, SeriesKey};
use super::compose::{self, Common, Surroundings};
use super::naming;
use super::rules;
use super::select::{Candidate, Choice, Outcome, Policies, PolicyKey};
use crate::api::{PolicyStatus, RecommendationSpec, RecommendationStatus, WorkloadReference};
use crate::cluster::Index;
use crate::cluster::index::{
    AtRest, Autoscaler, Controllers, Limits, ObjectKey, Occupied, Owner, Placement, PodScope, Quota, Room,
    Uid, WorkloadKey, WorkloadPods, Workloads, Written, spec_fingerprint, status_fingerprint,
};
use crate::model::Prices;
use crate::units::{Bytes, Cores, Timestamp};

/// A recommendation to be written.
#[derive(Clone, Debug)]
pub struct Write {
    /// What it is about.
    pub spec: RecommendationSpec,
    /// What it says.
    pub status: RecommendationStatus,
    /// Uid of the policy that owns it.
    pub owner: String,
    /// [`spec_fingerprint`] and [`status_fingerprint`].
    pub fingerprints: (u64, u64),
    /// The object itself has to be written, not only its status.
    pub whole: bool,
}

/// All that has to be written.
#[derive(Debug, Default)]
pub struct Plan {
    /// Recommendations by namespace and name.
    pub writes: HashMap<ObjectKey, Write>,
    /// Recommendations that hold and stand already.
    pub standing: HashSet<ObjectKey>,
    /// Recommendations that nothing stands behind any more.
    pub removals: Vec<ObjectKey>,
    /// How each policy fares.
    pub policies: HashMap<PolicyKey, PolicyStatus>,
    /// Owners of pods that must be asked for.
    pub unknown: HashMap<Uid, (ObjectKey, Arc<Owner>)>,
    /// The workloads that have recommendations, by name.
    pub workloads: HashMap<WorkloadKey, ObjectKey>,
    /// What each container's requests should be.
    pub targets: Vec<(SeriesKey, Option<Cores>, Option<Bytes>)>,
}

/// The workloads that a policy speaks for, in the order of their names.
type Chosen<'a> = Vec<(WorkloadKey, WorkloadPods<'a>, Choice)>;

/// Chooses, estimates and composes, for all workloads.
pub fn plan(index: &Index, book: &mut Book, common: &Common<'_>) -> Plan {
    let Workloads { workloads, ended, unknown, unresolved } = index.workloads();
    let mut policies = Policies::read(index);
    let all = workloads.into_iter().chain(ended);
    let chosen = choose(index, &mut policies, all);
    book.refresh(&prices(&chosen), Some(crate::policy::Rules::default().prices()));
    let mut plan = Plan { unknown, ..Plan::default() };
    plan.compose(index, book, common, &chosen);
    plan.keep_and_remove(index, book, &unresolved, &mut policies);
    plan.policies = policies
        .outcomes
        .iter()
        .map(|(key, outcome)| (key.clone(), policy_status(outcome, conditions(index, key), common.now)))
        .collect();
    plan
}

/// The same for these workloads alone: what was learned of them cannot wait for all others. It removes nothing, and says
/// nothing of policies.
pub fn plan_some(index: &Index, book: &mut Book, common: &Common<'_>, some: &HashSet<WorkloadKey>) -> Plan {
    let namespaces: HashSet<&str> = some.iter().map(|key| &*key.namespace).collect();
    let Workloads { workloads, ended, .. } = index.workloads_in(|namespace| namespaces.contains(namespace));
    let asked = workloads.into_iter().chain(ended).filter(|(key, _)| some.contains(key));
    let chosen = choose(index, &mut Policies::read(index), asked);
    book.refresh(&prices(&chosen), None);
    let mut plan = Plan::default();
    plan.compose(index, book, common, &chosen);
    plan
}

fn choose<'a>(
    index: &Index,
    policies: &mut Policies,
    workloads: impl Iterator<Item = (WorkloadKey, WorkloadPods<'a>)>,
) -> Chosen<'a> {
    let mut chosen: Chosen<'a> = workloads
        .filter_map(|(key, workload)| {
            let candidate = Candidate { key: &key, labels: &workload.labels, owners: &workload.owners };
            let choice = policies.choose(index, &candidate)?;
            Some((key, workload, choice))
        })
        .collect();
    chosen.sort_by(|a, b| a.0.cmp(&b.0));
    chosen
}

impl Plan {
    fn compose(&mut self, index: &Index, book: &Book, common: &Common<'_>, chosen: &Chosen<'_>) {
        let mut neighbourhood = Neighbourhood::new(index);
        for (key, workload, choice) in chosen {
            let name = naming::name(key).into_boxed_str();
            let name = ObjectKey { namespace: Arc::clone(&key.namespace), name };
            let around = neighbourhood.of(key, workload);
            let known = index.recommendations.get(&name);
            let before = known.map(|known| known.conditions.as_slice()).unwrap_or_default();
            let status = compose::status(key, workload, choice, book, &around, common, before);
            self.add(key, name, choice, status, known);
        }
    }

    fn add(
        &mut self,
        key: &WorkloadKey,
        name: ObjectKey,
        choice: &Choice,
        status: RecommendationStatus,
        known: Option<&Written>,
    ) {
        let spec = RecommendationSpec {
            workload_ref: WorkloadReference {
                api_version: key.api_version.to_string(),
                kind: key.kind.to_string(),
                name: key.name.to_string(),
            },
            policy_ref: choice.policy.key.reference(),
            mode: choice.policy.mode,
        };
        let owner = choice.policy.uid.clone();
        let fingerprints = (spec_fingerprint(&spec, &owner), status_fingerprint(&status));
        let whole = known.is_none_or(|known| known.spec != fingerprints.0);
        self.workloads.insert(key.clone(), name.clone());
        self.targets.extend(status.containers.iter().map(|container| {
            let requests = &container.target.requests;
            (
                SeriesKey { workload: key.clone(), container: container.name.as_str().into() },
                requests.cpu.as_ref().map(|cpu| cpu.value().as_cores()),
                requests.memory.as_ref().and_then(|memory| memory.value().as_bytes()),
            )
        }));
        if whole || known.is_none_or(|known| known.status != fingerprints.1) {
            self.writes.insert(name, Write { spec, status, owner, fingerprints, whole });
        } else {
            self.standing.insert(name);
        }
    }

    /// What no pod stands behind any more goes, but not where the workload is only at rest: scaled to zero, or between
    /// its runs; nor where a pod's workload is not known yet, which may be just this one.
    fn keep_and_remove(
        &mut self,
        index: &Index,
        book: &Book,
        unresolved: &HashSet<Arc<str>>,
        policies: &mut Policies,
    ) {
        let controllers = index.controllers();
        for (name, known) in index.recommendations.iter() {
            if self.writes.contains_key(name) || self.standing.contains(name) {
                continue;
            }
            let rests = known.workload.as_ref().is_some_and(|workload| {
                let key = WorkloadKey {
                    namespace: Arc::clone(&name.namespace),
                    kind: workload.kind.as_str().into(),
                    name: workload.name.as_str().into(),
                    api_version: workload.api_version.as_str().into(),
                };
                !self.workloads.contains_key(&key)
                    && naming::name(&key) == *name.name
                    && self.rests((index, &controllers), book, policies, &key, known)
            });
            if rests || unresolved.contains(&name.namespace) {
                self.standing.insert(name.clone());
            } else {
                self.removals.push(name.clone());
            }
        }
    }

    /// Whether a workload without pods is there all the same, and a policy speaks for it.
    fn rests(
        &mut self,
        (index, controllers): (&Index, &Controllers<'_>),
        book: &Book,
        policies: &mut Policies,
        key: &WorkloadKey,
        known: &Written,
    ) -> bool {
        match index.at_rest(key, controllers) {
            AtRest::There(labels, owners) => {
                policies.choose(index, &Candidate { key, labels: &labels, owners: &owners }).is_some()
            }
            AtRest::Gone => false,
            AtRest::Unseen => {
                let remembers = |name: &Arc<str>| {
                    let series = SeriesKey { workload: key.clone(), container: Arc::clone(name) };
                    book.known(&series).is_some()
                };
                let policy = known.policy.as_ref();
                policy.is_some_and(|policy| policies.stands(policy, &key.namespace))
                    && known.containers.iter().any(|advice| remembers(&advice.name))
            }
            AtRest::Ask(owner) => {
                let somewhere = ObjectKey { namespace: Arc::clone(&key.namespace), name: "".into() };
                self.unknown.insert(owner.uid, (somewhere, owner));
                true
            }
        }
    }
}

/// At which prices each container's series is to be estimated.
fn prices(chosen: &Chosen<'_>) -> HashMap<SeriesKey, Prices> {
    let mut prices = HashMap::new();
    for (key, workload, choice) in chosen {
        for (_, pod) in &workload.pods {
            for container in &pod.shape.containers {
                let series = SeriesKey { workload: key.clone(), container: Arc::clone(&container.name) };
                prices.entry(series).or_insert_with(|| rules::rules(choice, &container.name).rules.prices());
            }
        }
    }
    prices
}

/// What bounds workloads, each part computed once for all that it bounds.
struct Neighbourhood<'a> {
    index: &'a Index,
    occupied: Occupied<'a>,
    limits: HashMap<Arc<str>, Limits>,
    quotas: HashMap<(Arc<str>, PodScope), Quota>,
    nodes: HashMap<Arc<Placement>, Arc<[Room]>>,
    /// By namespace, kind and name of what is scaled.
    autoscalers: HashMap<(&'a str, &'a str, &'a str), Vec<&'a Autoscaler>>,
}

impl<'a> Neighbourhood<'a> {
    fn new(index: &'a Index) -> Self {
        let mut autoscalers: HashMap<_, Vec<_>> = HashMap::new();
        for (of, scaler) in index.autoscalers.iter() {
            autoscalers.entry((&*of.namespace, &*scaler.kind, &*scaler.name)).or_default().push(scaler);
        }
        Self {
            index,
            autoscalers,
            occupied: index.occupied(),
            limits: HashMap::new(),
            quotas: HashMap::new(),
            nodes: HashMap::new(),
        }
    }

    fn of(&mut self, key: &WorkloadKey, workload: &WorkloadPods<'_>) -> Surroundings {
        let (index, namespace) = (self.index, &key.namespace);
        let Some(shape) = compose::shape(workload) else { return Surroundings::default() };
        let placement = &shape.placement;
        let limits = *self.limits.entry(Arc::clone(namespace)).or_insert_with(|| index.limits(namespace));
        let scope = (Arc::clone(namespace), placement.scope.clone());
        let quota = *self.quotas.entry(scope).or_insert_with(|| index.quota(namespace, &placement.scope));
        let nodes = if &*key.kind == "DaemonSet" {
            index.capacity_of_all(workload, &self.occupied)
        } else {
            let nodes = self.nodes.entry(Arc::clone(placement));
            Arc::clone(nodes.or_insert_with(|| index.capacities(placement, &self.occupied)))
        };
        let own = (&*key.kind, key.object());
        let owners = workload.owners.iter().map(|owner| (&*owner.kind, &*owner.name));
        let names = std::iter::once(own).chain(owners);
        let found = names.filter_map(|(kind, name)| self.autoscalers.get(&(&**namespace, kind, name)));
        let autoscalers = found.flatten().copied().cloned().collect();
        Surroundings { limits, quota, nodes, autoscalers }
    }
}

fn conditions<'a>(index: &'a Index, key: &PolicyKey) -> &'a [Condition] {
    let status = if key.of_cluster {
        let policy = index.cluster_policies.get(&key.object).and_then(|policy| policy.as_ref().ok());
        policy.and_then(|policy| policy.status.as_ref())
    } else {
        let policy = index.policies.get(&key.object).and_then(|policy| policy.as_ref().ok());
        policy.and_then(|policy| policy.status.as_ref())
    };
    status.map(|status| status.conditions.as_slice()).unwrap_or_default()
}

/// How a policy fares, in words.
fn policy_status(outcome: &Outcome, before: &[Condition], now: Timestamp) -> PolicyStatus {
    let narrower = match outcome.narrower {
        0 => String::new(),
        count => format!("; a more specific policy speaks for {count} more"),
    };
    let (status, reason, message) = if let Some(problem) = &outcome.invalid {
        ("False", "Invalid", problem.clone())
    } else if let Some((workload, policy, count)) = &outcome.lost {
        let others = if *count > 1 { format!(" and {} more", count - 1) } else { String::new() };
        (
            "False",
            "Overlaps",
            format!("the older policy {policy} selects {workload}{others} just as specifically"),
        )
    } else if let (0, 0, Some(name)) = (outcome.workloads, outcome.narrower, &outcome.names_one) {
        ("False", "WorkloadNotFound", format!("no pod of {name} runs in this namespace"))
    } else if outcome.workloads == 0 {
        ("True", "NoWorkloads", format!("nothing that it selects runs{narrower}"))
    } else {
        ("True", "Honoured", format!("speaks for {}{narrower}", workloads(outcome.workloads)))
    };
    let made = Condition {
        type_: "Ready".to_owned(),
        status: status.to_owned(),
        reason: reason.to_owned(),
        message: message.chars().take(1024).collect(),
        last_transition_time: Time(jiff::Timestamp::UNIX_EPOCH),
        observed_generation: outcome.generation,
    };
    PolicyStatus {
        observed_generation: outcome.generation,
        workloads: outcome.workloads,
        conditions: vec![compose::dated(made, before, now)],
    }
}

/// How all policies fare while the cluster cannot be read.
pub fn blocked(index: &Index, why: &str, now: Timestamp) -> Plan {
    let outcomes = Policies::read(index).outcomes;
    let statuses = outcomes.into_iter().map(|(key, outcome)| {
        let mut status = policy_status(&outcome, &[], now);
        for made in &mut status.conditions {
            made.status = "False".to_owned();
            made.reason = "ClusterNotRead".to_owned();
            made.message = why.chars().take(1024).collect();
            *made = compose::dated(made.clone(), conditions(index, &key), now);
        }
        (key, status)
    });
    Plan { policies: statuses.collect(), ..Plan::default() }
}

fn workloads(count: u32) -> String {
    if count == 1 { "1 workload".to_owned() } else { format!("{count} workloads") }
}
