//! Constraints of a pod on the nodes that it may use, and their match against a node.
//!
//! (Kubernetes: component-helpers/scheduling/corev1/nodeaffinity, and the taint toleration plugin of the scheduler.)

use std::sync::Arc;

use k8s_openapi::api::core::v1::{
    Affinity, NodeSelectorRequirement, NodeSelectorTerm, PodAffinityTerm, Taint as RawTaint,
    Toleration as RawToleration,
};

use super::facts::{NodeFacts, Size};
use super::intern::Interner;
use super::quotas::PodScope;

/// Constraints on a pod's nodes, and what else of its template the scheduler and quotas tell pods apart by.
///
/// Interned: all pods of a template share one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Placement {
    /// Labels that a node must have, with their values.
    pub node_selector: Box<[(Arc<str>, Arc<str>)]>,
    /// Required node affinity: one of the terms must match. `None`: any node.
    pub required: Option<Box<[NodeTerm]>>,
    /// Taints that it tolerates.
    pub tolerations: Box<[Toleration]>,
    /// CPU and memory that its RuntimeClass takes beside its containers.
    pub overhead: Size,
    /// It never leaves its node: a DaemonSet or the kubelet has made it for that one.
    pub bound_to_node: bool,
    /// By what the scopes of quotas tell pods apart.
    pub scope: PodScope,
}

/// One term of a node affinity: all of its requirements must hold.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct NodeTerm(pub Box<[Requirement]>);

/// A requirement on a label or on the name of a node.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Requirement {
    /// The label's key; `None`: the name of the node.
    pub key: Option<Arc<str>>,
    /// How the value is compared.
    pub operator: Operator,
    /// With what.
    pub values: Box<[Arc<str>]>,
}

/// How a requirement compares a value.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Operator {
    /// Is one of the values.
    In,
    /// Is none of the values.
    NotIn,
    /// There is a value.
    Exists,
    /// There is no value.
    DoesNotExist,
    /// Is a greater number.
    Gt,
    /// Is a lesser number.
    Lt,
    /// Nothing that this program knows: matches no node.
    Unknown,
}

/// A taint that a pod tolerates. Empty key: all keys. Empty effect: all effects.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Toleration {
    key: Arc<str>,
    /// `None`: any value.
    value: Option<Arc<str>>,
    effect: Arc<str>,
}

/// A taint of a node that keeps pods away.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Taint {
    key: Arc<str>,
    value: Arc<str>,
    effect: Arc<str>,
}

/// Taints of this prefix tell of a node's condition, which passes.
const CONDITION: &str = "node.kubernetes.io/";

impl Taint {
    /// Reads the taints that keep pods away: those with effect PreferNoSchedule do not.
    pub(super) fn all(raw: &[RawTaint], names: &mut Interner<str>) -> Box<[Self]> {
        let keeps_away = raw.iter().filter(|taint| matches!(&*taint.effect, "NoSchedule" | "NoExecute"));
        let read = keeps_away.map(|taint| Self {
            key: names.text(&taint.key),
            value: names.text(taint.value.as_deref().unwrap_or_default()),
            effect: names.text(&taint.effect),
        });
        read.collect()
    }

    /// True where it tells of the node's condition or of a cordon, which pass.
    #[must_use]
    pub fn passes(&self) -> bool {
        self.key.starts_with(CONDITION)
    }
}

impl Toleration {
    fn read(raw: &RawToleration, names: &mut Interner<str>) -> Option<Self> {
        let value = match raw.operator.as_deref() {
            None | Some("" | "Equal") => Some(names.text(raw.value.as_deref().unwrap_or_default())),
            Some("Exists") => None,
            Some(_) => return None,
        };
        Some(Self {
            key: names.text(raw.key.as_deref().unwrap_or_default()),
            value,
            effect: names.text(raw.effect.as_deref().unwrap_or_default()),
        })
    }

    fn tolerates(&self, taint: &Taint) -> bool {
        (self.effect.is_empty() || self.effect == taint.effect)
            && (self.key.is_empty() || self.key == taint.key)
            && self.value.as_ref().is_none_or(|value| *value == taint.value)
    }
}

impl NodeTerm {
    /// Reads a term. `by_name`: whether requirements on the node's name are kept, which a DaemonSet writes on each pod.
    fn read(raw: &NodeSelectorTerm, by_name: bool, names: &mut Interner<str>) -> Self {
        let labels = raw.match_expressions.iter().flatten().map(|raw| (true, raw));
        let fields = raw.match_fields.iter().flatten().map(|raw| (false, raw)).filter(|_| by_name);
        Self(labels.chain(fields).map(|(label, raw)| Requirement::read(raw, label, names)).collect())
    }

    fn matches(&self, name: &str, node: &NodeFacts) -> bool {
        !self.0.is_empty() && self.0.iter().all(|requirement| requirement.matches(name, node))
    }
}

impl Requirement {
    fn read(raw: &NodeSelectorRequirement, label: bool, names: &mut Interner<str>) -> Self {
        let operator = match &*raw.operator {
            "In" => Operator::In,
            "NotIn" => Operator::NotIn,
            "Exists" => Operator::Exists,
            "DoesNotExist" => Operator::DoesNotExist,
            "Gt" => Operator::Gt,
            "Lt" => Operator::Lt,
            _ => Operator::Unknown,
        };
        // The name is the one field that the API server takes.
        let known = label || &*raw.key == "metadata.name";
        Self {
            key: label.then(|| names.text(&raw.key)),
            operator: if known { operator } else { Operator::Unknown },
            values: raw.values.iter().flatten().map(|value| names.text(value)).collect(),
        }
    }

    fn matches(&self, name: &str, node: &NodeFacts) -> bool {
        let value = self.key.as_ref().map_or(Some(name), |key| node.label(key));
        let is_listed = || value.is_some_and(|value| self.values.iter().any(|listed| **listed == *value));
        let number = |text: Option<&str>| text.and_then(|text| text.parse::<i64>().ok());
        let (has, wanted) = (number(value), number(self.values.first().map(|value| &**value)));
        match self.operator {
            Operator::In => is_listed(),
            Operator::NotIn => !is_listed(),
            Operator::Exists => value.is_some(),
            Operator::DoesNotExist => value.is_none(),
            Operator::Gt => has.is_some() && wanted.is_some() && has > wanted,
            Operator::Lt => has.is_some() && wanted.is_some() && has < wanted,
            Operator::Unknown => false,
        }
    }
}

impl Placement {
    /// Reads the constraints of a pod. `made_for_node`: a DaemonSet or the kubelet has made it for its node.
    pub(super) fn read(spec: &super::LeanSpec, made_for_node: bool, names: &mut Interner<str>) -> Self {
        let affinity = spec.affinity.as_ref();
        let required = affinity.and_then(|affinity| affinity.node_affinity.as_ref());
        let required =
            required.and_then(|node| node.required_during_scheduling_ignored_during_execution.as_ref());
        let required = required.map(|required| {
            let terms = required.node_selector_terms.iter();
            terms.map(|term| NodeTerm::read(term, !made_for_node, names)).collect::<Box<[_]>>()
        });
        // A term that named only the node says nothing more.
        let required = required.filter(|terms| !made_for_node || terms.iter().all(|term| !term.0.is_empty()));
        let mut tolerations: Vec<_> =
            spec.tolerations.iter().filter_map(|raw| Toleration::read(raw, names)).collect();
        tolerations.dedup();
        let selector = spec.node_selector.iter().map(|(key, value)| (names.text(key), names.text(value)));
        let node_selector = selector.collect();
        Self {
            node_selector,
            required,
            tolerations: tolerations.into(),
            overhead: Size::of(&spec.overhead),
            bound_to_node: made_for_node,
            scope: PodScope {
                terminating: spec.active_deadline_seconds.is_some_and(|seconds| seconds >= 0),
                priority_class: spec.priority_class_name.as_deref().map(|name| names.text(name)),
                crosses_namespaces: affinity.is_some_and(crosses_namespaces),
            },
        }
    }

    /// True where selectors, required affinity and tolerations allow the node. `lasting`: whether only those taints
    /// count that do not pass.
    #[must_use]
    pub fn allows(&self, name: &str, node: &NodeFacts, lasting: bool) -> bool {
        let tolerated = |taint: &Taint| {
            lasting && taint.passes() || self.tolerations.iter().any(|own| own.tolerates(taint))
        };
        self.node_selector.iter().all(|(key, value)| node.label(key) == Some(value))
            && self.required.as_ref().is_none_or(|terms| terms.iter().any(|term| term.matches(name, node)))
            && node.taints.iter().all(tolerated)
    }
}

/// (Kubernetes: `usesCrossNamespacePodAffinity` of pkg/quota/v1/evaluator/core/pods.go.)
fn crosses_namespaces(affinity: &Affinity) -> bool {
    let crosses = |term: &PodAffinityTerm| {
        term.namespaces.as_ref().is_some_and(|names| !names.is_empty()) || term.namespace_selector.is_some()
    };
    let near = affinity.pod_affinity.iter();
    let near = near.map(|near| {
        (
            &near.required_during_scheduling_ignored_during_execution,
            &near.preferred_during_scheduling_ignored_during_execution,
        )
    });
    let apart = affinity.pod_anti_affinity.iter().map(|apart| {
        (
            &apart.required_during_scheduling_ignored_during_execution,
            &apart.preferred_during_scheduling_ignored_during_execution,
        )
    });
    near.chain(apart).any(|(required, preferred)| {
        let preferred = preferred.iter().flatten().map(|weighted| &weighted.pod_affinity_term);
        required.iter().flatten().chain(preferred).any(crosses)
    })
}

#[cfg(test)]
mod tests {
    use k8s_openapi::api::core::v1::Node;
    use serde_json::{Value, json};

    use crate::cluster::index::{Fold, Index, Room};
    use crate::cluster::pods::LeanPod;
    use crate::testing::{NOW, container, object, object_key, pod};
    use crate::units::Bytes;

    /// Two pools, of which one is tainted, and a node that is cordoned and greatest.
    fn pools() -> Index {
        let mut index = Index::default();
        for (name, pool, cpu, memory) in
            [("a1", "a", "4", "64Gi"), ("a2", "a", "8", "16Gi"), ("b1", "b", "32", "256Gi")]
        {
            let node = object("Node", name).label("pool", pool).label("generation", "7");
            let node = node.with("/status/allocatable", json!({"cpu": cpu, "memory": memory, "pods": "2"}));
            let taint = json!([{"key": "only", "value": "b", "effect": "NoSchedule"}]);
            let node = if pool == "b" { node.with("/spec/taints", taint) } else { node };
            index.apply(node.object::<Node>(), NOW);
        }
        let cordoned = object("Node", "c").with("/spec/unschedulable", true);
        let cordoned = cordoned.with("/status/allocatable", json!({"cpu": "64", "memory": "1Ti"}));
        index.apply(cordoned.object::<Node>(), NOW);
        index
    }

    fn rooms(index: &mut Index, spec: &Value) -> Vec<(u64, u64)> {
        let mut placed = pod("placed");
        for (field, value) in spec.as_object().unwrap() {
            placed = placed.with(&format!("/spec/{field}"), value.clone());
        }
        index.apply(placed.object::<LeanPod>(), NOW);
        let occupied = index.occupied();
        let shape = &index.pods.get(&object_key("placed")).unwrap().shape;
        let rooms = index.capacities(&shape.placement, &occupied);
        rooms.iter().map(|room| (room.milli_cpu / 1000, room.memory.0 >> 30)).collect()
    }

    #[test]
    fn a_pod_can_have_what_a_node_gives_that_it_may_use() {
        let both = vec![(8, 16), (4, 64)];
        let term = |requirement: Value| {
            let terms = json!({"nodeSelectorTerms": [{"matchExpressions": [requirement]}]});
            json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
        };
        let name = json!({"key": "metadata.name", "operator": "In", "values": ["a1"]});
        let by_name = json!({"nodeSelectorTerms": [{"matchFields": [name]}]});
        let by_name = json!({"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": by_name}}});
        let tolerates = |toleration: Value| json!({"tolerations": [toleration]});
        let cases = [
            (json!({}), both.clone()),
            (json!({"nodeSelector": {"pool": "a"}}), both.clone()),
            (json!({"nodeSelector": {"pool": "b"}}), vec![]),
            (tolerates(json!({"operator": "Exists"})), vec![(32, 256)]),
            (tolerates(json!({"key": "only", "value": "b"})), vec![(32, 256)]),
            (tolerates(json!({"key": "only", "value": "b", "effect": "NoExecute"})), both.clone()),
            (tolerates(json!({"key": "only", "value": "a"})), both.clone()),
            (term(json!({"key": "pool", "operator": "In", "values": ["x", "a"]})), both.clone()),
            (term(json!({"key": "pool", "operator": "NotIn", "values": ["a"]})), vec![(64, 1024)]),
            (term(json!({"key": "generation", "operator": "Gt", "values": ["6"]})), both.clone()),
            (term(json!({"key": "generation", "operator": "Lt", "values": ["7"]})), vec![]),
            (term(json!({"key": "pool", "operator": "Near", "values": ["a"]})), vec![]),
            (by_name, vec![(4, 64)]),
        ];
        for (spec, expected) in cases {
            assert_eq!(rooms(&mut pools(), &spec), expected, "{spec}");
        }
    }

    #[test]
    fn what_daemon_sets_take_of_a_node_is_nobody_elses() {
        let mut index = pools();
        let agent = container("agent").requests("1", "8Gi");
        for node in ["a1", "a2", "b1"] {
            let name = json!({"key": "metadata.name", "operator": "In", "values": [node]});
            let terms = json!({"nodeSelectorTerms": [{"matchFields": [name]}]});
            let agent =
                pod(&format!("agent-{node}")).containers([agent.clone()]).with("/spec/nodeName", node);
            let agent = agent
                .controlled_by("DaemonSet", "agent", "agent")
                .with("/spec/affinity/nodeAffinity/requiredDuringSchedulingIgnoredDuringExecution", terms);
            index.apply(agent.object::<LeanPod>(), NOW);
        }
        assert_eq!(rooms(&mut index, &json!({})), [(7, 8), (3, 56)]);
        let shape = |name: &str| &index.pods.get(&object_key(name)).unwrap().shape;
        assert!(std::sync::Arc::ptr_eq(shape("agent-a1"), shape("agent-b1")), "one shape, whatever the node");
        let free = |index: &Index| {
            let placed = index.pods.get(&object_key("placed")).unwrap();
            let occupied = index.occupied();
            let free = index.free(&placed.shape.placement, &occupied).to_vec();
            (free, index.free_at_home(placed, &occupied))
        };
        let room = |cpu: u64, gib: u64| Room { milli_cpu: cpu * 1000, memory: Bytes(gib << 30) };
        assert_eq!(free(&index), (vec![room(7, 8), room(3, 56)], None));
        // A second pod on a2, which takes no third one: nothing is free there but to that pod's successor.
        let app = container("app").requests("2", "1Gi");
        let placed = pod("placed").containers([app]).with("/spec/nodeName", "a2");
        index.apply(placed.object::<LeanPod>(), NOW);
        assert_eq!(free(&index), (vec![room(3, 56)], Some(room(7, 8))));
    }
}
