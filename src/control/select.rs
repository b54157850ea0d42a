//! Which policy speaks for which workload.
//!
//! Pure. The most specific policy wins: workloadRef before selector before namespace-wide before the cluster's; among
//! equals the oldest, and the others say so in their status.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::sync::Arc;

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{LabelSelector, ObjectMeta};
use kube::core::{Selector, SelectorExt};

use super::window;
use crate::api::{
    Actuation, Band, ContainerPolicy, History, Mode, Objective, PolicyReference, PolicyTarget,
    WorkloadReference,
};
use crate::cluster::Index;
use crate::cluster::index::{Labels, ObjectKey, Owner, Unreadable, WorkloadKey, group};

/// How specific a policy is; the higher the more.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Rank {
    Cluster,
    Namespace,
    Selector,
    Reference,
}

/// A policy by kind, namespace (empty for the cluster's) and name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct PolicyKey {
    /// It is a ClusterVerticalScalingPolicy.
    pub of_cluster: bool,
    /// Namespace and name.
    pub object: ObjectKey,
}

impl PolicyKey {
    /// Its kind.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        if self.of_cluster { "ClusterVerticalScalingPolicy" } else { "VerticalScalingPolicy" }
    }

    /// As a recommendation names it.
    #[must_use]
    pub fn reference(&self) -> PolicyReference {
        PolicyReference { kind: self.kind().to_owned(), name: self.object.name.to_string() }
    }
}

/// What a policy of either kind asks for.
#[derive(Clone, Debug)]
pub struct Policy {
    /// Which one it is.
    pub key: PolicyKey,
    /// Its unique id.
    pub uid: String,
    /// What it does with its recommendations.
    pub mode: Mode,
    /// What to weigh more.
    pub objective: Objective,
    /// Rules per container.
    pub containers: Vec<ContainerPolicy>,
    /// How far a request may be from its target.
    pub band: Band,
    /// How much of the past counts.
    pub history: History,
    /// How running pods are changed.
    pub actuation: Actuation,
    rank: Rank,
    created: i64,
    target: Target,
    namespaces: Option<Selector>,
}

/// Which workloads a policy is for.
#[derive(Clone, Debug, Default)]
struct Target {
    reference: Option<WorkloadReference>,
    labels: Option<Selector>,
    kinds: Vec<String>,
}

impl Policy {
    /// The rules for a container: its own, else those of "*".
    #[must_use]
    pub fn container(&self, name: &str) -> Option<&ContainerPolicy> {
        let named = |wanted: &str| self.containers.iter().find(|container| container.name == wanted);
        named(name).or_else(|| named("*"))
    }

    fn selects(&self, index: &Index, workload: &Candidate<'_>) -> bool {
        let Candidate { key: workload, labels, owners } = *workload;
        let place = if self.key.of_cluster {
            self.namespaces.as_ref().is_none_or(|s| index.namespace_matches(&workload.namespace, s))
        } else {
            self.key.object.namespace == workload.namespace
        };
        let reference = self.target.reference.as_ref().is_none_or(|wanted| {
            let is = |kind: &str, names: &[&str], api_version: &str| {
                wanted.kind == *kind
                    && names.contains(&wanted.name.as_str())
                    && group(&wanted.api_version) == group(api_version)
            };
            is(&workload.kind, &[&workload.name, workload.object()], &workload.api_version)
                || owners.iter().any(|owner| is(&owner.kind, &[&owner.name], &owner.api_version))
        });
        // What a Deployment or a CronJob has made counts as that, and not as a ReplicaSet or a Job.
        let is_made = |owner: &Owner| matches!(&*owner.kind, "ReplicaSet" | "Job");
        let has = |kind: &str| {
            let mut others = owners.iter().filter(|owner| !is_made(owner));
            kind == &*workload.kind || others.any(|owner| kind == &*owner.kind)
        };
        let kind = self.target.kinds.is_empty() || self.target.kinds.iter().any(|kind| has(kind));
        place && reference && kind && self.target.labels.as_ref().is_none_or(|s| s.matches(labels))
    }
}

/// A workload that policies may be for.
#[derive(Clone, Copy, Debug)]
pub struct Candidate<'a> {
    /// Which one.
    pub key: &'a WorkloadKey,
    /// Its labels.
    pub labels: &'a Labels,
    /// All owners of its pods, to the top: a policy that names one of them is for it.
    pub owners: &'a [Arc<Owner>],
}

/// What became of a policy.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Outcome {
    /// Generation that this is about.
    pub generation: Option<i64>,
    /// How many workloads it speaks for.
    pub workloads: u32,
    /// What of it cannot be honoured.
    pub invalid: Option<String>,
    /// It names one workload.
    pub names_one: Option<String>,
    /// A workload that an older policy of the same rank has, that policy, and how many there are.
    pub lost: Option<(String, String, u32)>,
    /// How many workloads a more specific policy has.
    pub narrower: u32,
}

/// The policy that speaks for a workload.
#[derive(Clone, Debug)]
pub struct Choice {
    /// It.
    pub policy: Arc<Policy>,
    /// The cluster's policy that would speak without it: its bounds are outer walls.
    pub walls: Option<Arc<Policy>>,
}

/// All policies that can be honoured, and what is wrong with the others.
#[derive(Debug, Default)]
pub struct Policies {
    /// Most specific first, then oldest first.
    ranked: Vec<Arc<Policy>>,
    /// What became of each.
    pub outcomes: BTreeMap<PolicyKey, Outcome>,
}

impl Policies {
    /// Reads the policies of the index.
    #[must_use]
    pub fn read(index: &Index) -> Self {
        let mut policies = Self::default();
        for (object, policy) in index.policies.iter() {
            let key = PolicyKey { of_cluster: false, object: object.clone() };
            let read = policy.as_ref().map(|policy| {
                let spec = &policy.spec;
                let common = (
                    spec.mode,
                    spec.objective,
                    &spec.containers,
                    &spec.band,
                    (&spec.history, &spec.actuation),
                );
                (&policy.metadata, common, spec.target.as_ref(), None)
            });
            policies.add(key.clone(), read);
            policies.note_windows(&key, policy.as_ref().map(|policy| &policy.spec.actuation).ok());
        }
        policies.read_of_cluster(index);
        policies
    }

    /// Reads the cluster's policies alone: the walls of what namespaces ask for.
    #[must_use]
    pub fn of_cluster(index: &Index) -> Self {
        let mut policies = Self::default();
        policies.read_of_cluster(index);
        policies
    }

    fn read_of_cluster(&mut self, index: &Index) {
        let policies = self;
        for (object, policy) in index.cluster_policies.iter() {
            let key = PolicyKey { of_cluster: true, object: object.clone() };
            let read = policy.as_ref().map(|policy| {
                let spec = &policy.spec;
                let common = (
                    spec.mode,
                    spec.objective,
                    &spec.containers,
                    &spec.band,
                    (&spec.history, &spec.actuation),
                );
                (&policy.metadata, common, spec.target.as_ref(), spec.namespace_selector.as_ref())
            });
            policies.add(key.clone(), read);
            policies.note_windows(&key, policy.as_ref().map(|policy| &policy.spec.actuation).ok());
        }
        let age = |policy: &Arc<Policy>| (policy.created, policy.key.clone());
        policies.ranked.sort_by_key(|policy| (Reverse(policy.rank), age(policy)));
    }

    /// Returns the cluster's policy whose bounds and pace are the walls of a namespace's policy for that workload.
    #[must_use]
    pub fn walls(&self, index: &Index, workload: &Candidate<'_>) -> Option<&Arc<Policy>> {
        let of_cluster = self.ranked.iter().filter(|policy| policy.rank == Rank::Cluster);
        of_cluster.into_iter().find(|policy| policy.selects(index, workload))
    }

    /// Whether that policy is there and can be honoured.
    #[must_use]
    pub fn stands(&self, policy: &PolicyReference, namespace: &str) -> bool {
        self.ranked.iter().map(|known| &known.key).any(|key| {
            key.kind() == policy.kind
                && *key.object.name == *policy.name
                && (key.of_cluster || &*key.object.namespace == namespace)
        })
    }

    fn add(&mut self, key: PolicyKey, read: Result<Parts<'_>, &Unreadable>) {
        let mut outcome = Outcome::default();
        match read {
            Err(unreadable) => {
                outcome.generation = unreadable.generation;
                outcome.invalid = Some(unreadable.error.clone());
            }
            Ok(parts) => {
                outcome.generation = parts.0.generation;
                match policy(&key, parts) {
                    Ok(policy) => {
                        let one = policy.target.reference.as_ref();
                        outcome.names_one = one.map(|one| format!("{} {}", one.kind, one.name));
                        self.ranked.push(Arc::new(policy));
                    }
                    Err(problem) => outcome.invalid = Some(problem),
                }
            }
        }
        self.outcomes.insert(key, outcome);
    }

    /// Windows that cannot be read keep pods as they are, and nothing else: what it recommends stands.
    fn note_windows(&mut self, key: &PolicyKey, actuation: Option<&Actuation>) {
        let problem = actuation.and_then(|actuation| window::check(&actuation.windows).err());
        if let (Some(problem), Some(outcome)) = (problem, self.outcomes.get_mut(key)) {
            outcome.invalid.get_or_insert(problem);
        }
    }

    /// The policy that speaks for a workload, noted with each policy that selects it.
    pub fn choose(&mut self, index: &Index, workload: &Candidate<'_>) -> Option<Choice> {
        let selecting: Vec<_> =
            self.ranked.iter().filter(|policy| policy.selects(index, workload)).cloned().collect();
        let (winner, others) = selecting.split_first()?;
        if let Some(outcome) = self.outcomes.get_mut(&winner.key) {
            outcome.workloads += 1;
        }
        for other in others {
            let Some(outcome) = self.outcomes.get_mut(&other.key) else { continue };
            if other.rank == winner.rank {
                let lost = outcome.lost.get_or_insert_with(|| {
                    (
                        format!("{} {}", workload.key.kind, workload.key.name),
                        winner.key.object.name.to_string(),
                        0,
                    )
                });
                lost.2 += 1;
            } else {
                outcome.narrower += 1;
            }
        }
        let walls = others.iter().find(|other| other.rank == Rank::Cluster).cloned();
        let walls = walls.filter(|_| winner.rank != Rank::Cluster);
        Some(Choice { policy: Arc::clone(winner), walls })
    }
}

type Common<'a> = (Mode, Objective, &'a Vec<ContainerPolicy>, &'a Band, (&'a History, &'a Actuation));
type Parts<'a> = (&'a ObjectMeta, Common<'a>, Option<&'a PolicyTarget>, Option<&'a LabelSelector>);

/// A policy ready to select, or what of it cannot be honoured.
fn policy(key: &PolicyKey, parts: Parts<'_>) -> Result<Policy, String> {
    let (metadata, (mode, objective, containers, band, (history, actuation)), target, namespaces) = parts;
    let selector = |field: &str, selector: Option<&LabelSelector>| {
        let converted = selector.cloned().map(Selector::try_from).transpose();
        converted.map_err(|error| format!("spec.{field}: {error}"))
    };
    let namespaces = selector("namespaceSelector", namespaces)?;
    let target = match target {
        None => Target::default(),
        Some(target) => Target {
            reference: target.workload_ref.clone(),
            labels: selector("target.selector", target.selector.as_ref())?,
            kinds: target.kinds.clone(),
        },
    };
    let rank = match (&target.reference, &target.labels) {
        _ if key.of_cluster => Rank::Cluster,
        (Some(_), _) => Rank::Reference,
        (None, Some(_)) => Rank::Selector,
        (None, None) => Rank::Namespace,
    };
    Ok(Policy {
        key: key.clone(),
        uid: metadata.uid.clone().unwrap_or_default(),
        mode,
        objective,
        containers: containers.clone(),
        band: band.clone(),
        history: history.clone(),
        actuation: actuation.clone(),
        rank,
        created: metadata.creation_timestamp.as_ref().map_or(i64::MAX, |time| time.0.as_second()),
        target,
        namespaces,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::needless_pass_by_value, reason = "a json! that is made for the call")]

    use k8s_openapi::api::core::v1::Namespace;
    use kube::core::DeserializeGuard;
    use serde_json::{Value, json};

    use super::*;
    use crate::api::{ClusterVerticalScalingPolicy, VerticalScalingPolicy};
    use crate::cluster::index::Fold;
    use crate::cluster::slim::Slim;
    use crate::testing::{self, NOW};

    fn policy(index: &mut Index, name: &str, day: u32, spec: Value) {
        let object =
            testing::policy(name).uid(name).created(&format!("2026-01-{day:02}T00:00:00Z")).spec(spec);
        index.apply(object.object::<DeserializeGuard<VerticalScalingPolicy>>(), NOW);
    }

    fn cluster_policy(index: &mut Index, name: &str, spec: Value) {
        let object = testing::cluster_policy(name).uid(name).created("2026-01-01T00:00:00Z").spec(spec);
        index.apply(object.object::<DeserializeGuard<ClusterVerticalScalingPolicy>>(), NOW);
    }

    fn web() -> (WorkloadKey, Labels) {
        (testing::workload("web").key(), [("tier".to_owned(), "back".to_owned())].into())
    }

    fn chosen(index: &Index) -> (Option<String>, Policies) {
        let mut policies = Policies::read(index);
        let (key, labels) = web();
        let choice = policies.choose(index, &Candidate { key: &key, labels: &labels, owners: &[] });
        (choice.map(|choice| choice.policy.key.object.name.to_string()), policies)
    }

    #[test]
    fn the_most_specific_policy_speaks() {
        let mut index = Index::default();
        assert_eq!(chosen(&index).0, None);
        cluster_policy(&mut index, "everywhere", json!({}));
        assert_eq!(chosen(&index).0.unwrap(), "everywhere");
        policy(&mut index, "namespace", 2, json!({}));
        assert_eq!(chosen(&index).0.unwrap(), "namespace");
        policy(&mut index, "labels", 3, json!({"target": {"selector": {"matchLabels": {"tier": "back"}}}}));
        assert_eq!(chosen(&index).0.unwrap(), "labels");
        // Another version of the same API is the same workload.
        let by_name =
            json!({"workloadRef": {"apiVersion": "apps/v1beta1", "kind": "Deployment", "name": "web"}});
        policy(&mut index, "reference", 4, json!({"target": by_name}));
        let (name, policies) = chosen(&index);
        assert_eq!(name.unwrap(), "reference");
        let sum = |count: fn(&Outcome) -> u32| policies.outcomes.values().map(count).sum::<u32>();
        assert_eq!((sum(|o| o.workloads), sum(|o| o.narrower)), (1, 3));
    }

    #[test]
    fn among_equals_the_oldest_speaks_and_the_other_says_so() {
        let mut index = Index::default();
        policy(&mut index, "younger", 3, json!({}));
        policy(&mut index, "older", 2, json!({}));
        let (name, policies) = chosen(&index);
        assert_eq!(name.unwrap(), "older");
        let lost = policies.outcomes.values().find_map(|outcome| outcome.lost.clone());
        assert_eq!(lost.unwrap(), ("Deployment web".to_owned(), "older".to_owned(), 1));
    }

    #[test]
    fn kinds_labels_and_namespaces_narrow() {
        let mut index = Index::default();
        policy(&mut index, "sets", 1, json!({"target": {"kinds": ["StatefulSet"]}}));
        policy(&mut index, "front", 1, json!({"target": {"selector": {"matchLabels": {"tier": "front"}}}}));
        assert_eq!(chosen(&index).0, None);
        cluster_policy(&mut index, "prod", json!({"namespaceSelector": {"matchLabels": {"stage": "prod"}}}));
        assert_eq!(chosen(&index).0, None, "the namespace is not known");
        let namespace = testing::object("Namespace", "shop").label("stage", "prod");
        index.apply(namespace.object::<Slim<Namespace>>(), NOW);
        assert_eq!(chosen(&index).0.unwrap(), "prod");
    }

    #[test]
    fn a_policy_that_cannot_be_honoured_disturbs_no_other() {
        let mut index = Index::default();
        policy(&mut index, "broken", 1, json!({"mode": "Guess"}));
        let odd = json!({"matchExpressions": [{"key": "a", "operator": "Near", "values": ["b"]}]});
        policy(&mut index, "odd", 1, json!({"target": {"selector": odd}}));
        policy(&mut index, "good", 2, json!({}));
        let (name, policies) = chosen(&index);
        assert_eq!(name.unwrap(), "good");
        let invalid: Vec<_> = policies.outcomes.values().filter_map(|o| o.invalid.clone()).collect();
        assert_eq!(invalid.len(), 2);
        assert!(invalid.iter().any(|text| text.contains("spec.target.selector")), "{invalid:?}");
    }

    #[test]
    fn windows_that_cannot_be_read_are_named_and_recommendations_stand() {
        let mut index = Index::default();
        let windows = json!([{"schedule": "0 2 * * *", "duration": "1h", "timeZone": "Mars/Base"}]);
        policy(&mut index, "odd", 1, json!({"actuation": {"windows": windows}}));
        let (name, policies) = chosen(&index);
        assert_eq!(name.unwrap(), "odd");
        let invalid = policies.outcomes.values().find_map(|outcome| outcome.invalid.clone()).unwrap();
        assert!(invalid.contains("spec.actuation.windows") && invalid.contains("Mars/Base"), "{invalid}");
    }

    #[test]
    fn a_namespaces_policy_stands_within_the_clusters_walls() {
        let mut index = Index::default();
        cluster_policy(&mut index, "walls", json!({}));
        policy(
            &mut index,
            "own",
            2,
            json!({"containers": [{"name": "app"}, {"name": "*", "resources": []}]}),
        );
        let mut policies = Policies::read(&index);
        let (key, labels) = web();
        let choice = policies.choose(&index, &Candidate { key: &key, labels: &labels, owners: &[] }).unwrap();
        assert_eq!(&*choice.walls.unwrap().key.object.name, "walls");
        assert_eq!(choice.policy.container("app").unwrap().resources.len(), 2);
        assert!(choice.policy.container("other").unwrap().resources.is_empty());
    }
}
