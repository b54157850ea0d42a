//! What a user asks for: VerticalScalingPolicy for a namespace, ClusterVerticalScalingPolicy as the cluster's defaults.
//!
//! The comments on the fields are what `kubectl explain` prints: they speak to the person who writes a policy.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds::{MOST_HISTORY, span_rule};
use super::schema::{ConditionSchema, LabelSelectorSchema};
use super::{Actuation, Band, ContainerPolicy, Span};

/// What a VerticalScalingPolicy asks for. Every field has a default.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "plumb.dev",
    version = "v1alpha1",
    kind = "VerticalScalingPolicy",
    plural = "verticalscalingpolicies",
    shortname = "vsp",
    category = "plumb",
    namespaced,
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "Says which workloads of its namespace plumb sizes, how carefully, and whether it only recommends or also acts. An empty spec recommends for every workload of the namespace.",
    selectable = ".spec.mode",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Objective", type_ = "string", json_path = ".spec.objective"),
    printcolumn(name = "Workloads", type_ = "integer", json_path = ".status.workloads"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct VerticalScalingPolicySpec {
    /// Recommend only writes Recommendation objects. Auto also resizes pods, as `actuation` allows.
    #[serde(default)]
    pub mode: Mode,
    /// Which workloads this policy is for. Absent: every workload of the namespace. Where several policies select a
    /// workload the most specific one speaks: workloadRef before selector before none, a namespace's before the
    /// cluster's; among equals the oldest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub target: Option<PolicyTarget>,
    /// What to weigh more: unused resources, or the risk of too few. Economy: least unused resources, for what may run
    /// slower or be restarted at times. Balanced: in between. Critical: least risk of an OOM kill or of too little
    /// CPU, for what must not fail. Can be set per resource under `containers`.
    #[serde(default)]
    pub objective: Objective,
    /// Rules per container. The entry with the container's name holds, else the one named "*".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub containers: Vec<ContainerPolicy>,
    /// How far a request may be from its target before it is changed.
    #[serde(default)]
    pub band: Band,
    /// How running pods are changed. Only in mode Auto.
    #[serde(default)]
    pub actuation: Actuation,
    /// How much of the past counts.
    #[serde(default)]
    pub history: History,
}

/// What a ClusterVerticalScalingPolicy asks for. Every field has a default.
#[derive(CustomResource, KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "plumb.dev",
    version = "v1alpha1",
    kind = "ClusterVerticalScalingPolicy",
    plural = "clusterverticalscalingpolicies",
    shortname = "cvsp",
    category = "plumb",
    status = "PolicyStatus",
    derive = "PartialEq",
    doc = "The cluster's defaults: holds for the workloads that no VerticalScalingPolicy of their own namespace selects. Its minAllowed, maxAllowed and pace also bound what a namespace's policy may ask for: cooldown and minReplicas are at least as here, maxUnavailable and maxStepPercent at most, whatever its own mode.",
    selectable = ".spec.mode",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(name = "Objective", type_ = "string", json_path = ".spec.objective"),
    printcolumn(name = "Workloads", type_ = "integer", json_path = ".status.workloads"),
    printcolumn(
        name = "Ready",
        type_ = "string",
        json_path = ".status.conditions[?(@.type=='Ready')].status"
    ),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp")
)]
#[serde(rename_all = "camelCase")]
pub struct ClusterVerticalScalingPolicySpec {
    /// Recommend only writes Recommendation objects. Auto also resizes pods, as `actuation` allows.
    #[serde(default)]
    pub mode: Mode,
    /// Which namespaces this policy is for, by their labels. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<LabelSelectorSchema>")]
    pub namespace_selector: Option<LabelSelector>,
    /// Which workloads of those namespaces, by their labels and kinds. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.workloadRef)").message("target.workloadRef names one workload of one namespace: use a VerticalScalingPolicy there").field_path(".workloadRef"))]
    pub target: Option<PolicyTarget>,
    /// What to weigh more: unused resources, or the risk of too few. Economy: least unused resources, for what may run
    /// slower or be restarted at times. Balanced: in between. Critical: least risk of an OOM kill or of too little
    /// CPU, for what must not fail. Can be set per resource under `containers`.
    #[serde(default)]
    pub objective: Objective,
    /// Rules per container. The entry with the container's name holds, else the one named "*".
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["name".into()]))]
    pub containers: Vec<ContainerPolicy>,
    /// How far a request may be from its target before it is changed.
    #[serde(default)]
    pub band: Band,
    /// How running pods are changed. Only in mode Auto.
    #[serde(default)]
    pub actuation: Actuation,
    /// How much of the past counts.
    #[serde(default)]
    pub history: History,
}

/// What a policy does with its recommendations.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Mode {
    /// Only write them down.
    #[default]
    Recommend,
    /// Also act on them.
    Auto,
}

/// Which workloads a policy is for.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.workloadRef) && has(self.selector))").message("target.workloadRef and target.selector exclude each other").field_path(".selector"),
    validation = Rule::new("!(has(self.workloadRef) && has(self.kinds))").message("target.workloadRef and target.kinds exclude each other").field_path(".kinds")
)]
pub struct PolicyTarget {
    /// One workload by name, or another owner of its pods, such as what an operator makes a Deployment from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_ref: Option<WorkloadReference>,
    /// The workloads whose labels match: their own, and those of owners above them; not those of their pods.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<LabelSelectorSchema>")]
    pub selector: Option<LabelSelector>,
    /// The workloads of these kinds, or with owners of these kinds, such as Deployment or StatefulSet. Absent: all kinds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(min = 1, max = 32), inner(length(min = 1, max = 63)))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub kinds: Vec<String>,
}

/// The top controller of some pods: the object that a person wrote.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WorkloadReference {
    /// Group and version, such as apps/v1. The version does not matter for what is selected.
    #[schemars(length(min = 1, max = 317))]
    pub api_version: String,
    /// Kind, such as Deployment.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Name of the workload; after a colon the role of its pods, where pods of several roles are sized apart.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What to weigh more.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Objective {
    /// Least unused resources; for what can be restarted or may run slower at times.
    Economy,
    /// The default.
    #[default]
    Balanced,
    /// Least risk of an OOM kill or of too little CPU; for what must not fail.
    Critical,
}

/// How much of the past counts.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// What is older is not asked of Prometheus, and a workload without samples for this long is forgotten.
    /// At most 90d.
    #[serde(default = "fourteen_days")]
    #[x_kube(validation = Rule::new("self.matches('[1-9]')").message("history.window must be longer than 0"), validation = Rule::new(span_rule(MOST_HISTORY)).message("history.window must be at most 90d"))]
    pub window: Span,
    /// Until a container has this much history it is young: its limits are never lowered, and its requests shrink at most
    /// to half of what people set. Growth and answers to OOM kills wait for nothing. New pods are held to the same.
    /// With the past of a Prometheus it is over at once; 0s leaves it out. At most 90d.
    #[serde(default = "one_day")]
    #[x_kube(validation = Rule::new(span_rule(MOST_HISTORY)).message("history.learn must be at most 90d"))]
    pub learn: Span,
}

fn fourteen_days() -> Span {
    Span::days(14)
}

fn one_day() -> Span {
    Span::days(1)
}

impl Default for History {
    fn default() -> Self {
        Self { window: fourteen_days(), learn: one_day() }
    }
}

/// How a policy fares.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PolicyStatus {
    /// The generation of the spec that this status is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub observed_generation: Option<i64>,
    /// How many workloads it speaks for.
    #[serde(default)]
    pub workloads: u32,
    /// Ready: the policy is honoured as written, or why not.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(with = "Vec<ConditionSchema>")]
    pub conditions: Vec<Condition>,
}
