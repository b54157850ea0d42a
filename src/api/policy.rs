//! What a user asks for: VerticalScalingPolicy for a namespace, ClusterVerticalScalingPolicy as the cluster's defaults.
//!
//! The comments on the fields are what `kubectl explain` prints: they speak to the person who writes a policy.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, LabelSelector};
use k8s_openapi::apimachinery::pkg::util::intstr::IntOrString;
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Amount, ResourceAmounts, Span};

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
    /// What to weigh more: unused resources, or the risk of too few. Can be set per resource under `containers`.
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
    doc = "The cluster's defaults: holds for the workloads that no VerticalScalingPolicy of their own namespace selects. Its minAllowed, maxAllowed and pace also bound what a namespace's policy may ask for.",
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
    pub namespace_selector: Option<LabelSelector>,
    /// Which workloads of those namespaces, by their labels and kinds. Absent: all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("!has(self.workloadRef)").message("target.workloadRef names one workload of one namespace: use a VerticalScalingPolicy there").field_path(".workloadRef"))]
    pub target: Option<PolicyTarget>,
    /// What to weigh more: unused resources, or the risk of too few. Can be set per resource under `containers`.
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
    /// One workload by name.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub workload_ref: Option<WorkloadReference>,
    /// The workloads whose own labels match (not those of their pods).
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub selector: Option<LabelSelector>,
    /// The workloads of these kinds only, such as Deployment or StatefulSet. Absent: all kinds.
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
    /// Name of the workload.
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

/// A resource that can be controlled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum ResourceName {
    /// Processor time.
    Cpu,
    /// Memory.
    Memory,
}

/// Rules for one container, or for all that have none of their own.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!has(self.minAllowed) || !has(self.maxAllowed) || !has(self.minAllowed.cpu) || !has(self.maxAllowed.cpu) || quantity(string(self.minAllowed.cpu)).compareTo(quantity(string(self.maxAllowed.cpu))) <= 0").message("minAllowed.cpu must not be above maxAllowed.cpu").field_path(".minAllowed"),
    validation = Rule::new("!has(self.minAllowed) || !has(self.maxAllowed) || !has(self.minAllowed.memory) || !has(self.maxAllowed.memory) || quantity(string(self.minAllowed.memory)).compareTo(quantity(string(self.maxAllowed.memory))) <= 0").message("minAllowed.memory must not be above maxAllowed.memory").field_path(".minAllowed")
)]
pub struct ContainerPolicy {
    /// Name of the container, or "*" for every container without an entry of its own.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Which resources are sized. An empty list leaves the container alone.
    #[serde(default = "all_resources")]
    #[schemars(length(max = 2))]
    #[x_kube(merge_strategy = ListMerge::Set)]
    pub resources: Vec<ResourceName>,
    /// No request is set below this. Absent: 5m of CPU and 16Mi of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_allowed: Option<ResourceAmounts>,
    /// No request or limit is set above this. Absent: what the largest node can hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_allowed: Option<ResourceAmounts>,
    /// Rules for CPU.
    #[serde(default)]
    pub cpu: CpuPolicy,
    /// Rules for memory.
    #[serde(default)]
    pub memory: MemoryPolicy,
}

fn all_resources() -> Vec<ResourceName> {
    vec![ResourceName::Cpu, ResourceName::Memory]
}

/// How a container's CPU is sized.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.objective) && has(self.maxShortfallPercent))").message("cpu.objective and cpu.maxShortfallPercent exclude each other").field_path(".maxShortfallPercent")
)]
pub struct CpuPolicy {
    /// Instead of the policy's objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// Instead of an objective: how much of the CPU used may lie above the request, in percent of all that is used.
    /// Such use is not lost, but no longer guaranteed when the node is busy. Fractions are written like "0.2".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("quantity(string(self)).isGreaterThan(quantity('0')) && quantity(string(self)).compareTo(quantity('50')) <= 0").message("maxShortfallPercent must be above 0 and at most 50"))]
    pub max_shortfall_percent: Option<Amount>,
    /// What becomes of the CPU limit.
    #[serde(default)]
    pub limit: CpuLimitRule,
}

/// What becomes of a container's CPU limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum CpuLimitRule {
    /// It stays, and is raised only where the request would pass it.
    #[default]
    Keep,
    /// It keeps its ratio to the request.
    Ratio,
    /// It is left out of new pods. (Kubernetes cannot remove a limit from a running one.)
    Remove,
    /// It equals the request.
    Equal,
}

/// How a container's memory is sized.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
#[x_kube(
    validation = Rule::new("!(has(self.objective) && has(self.maxOomKillsPerYear))").message("memory.objective and memory.maxOomKillsPerYear exclude each other").field_path(".maxOomKillsPerYear"),
    validation = Rule::new("!self.addLimit || self.limit in ['Tail', 'Equal']").message("memory.addLimit needs memory.limit Tail or Equal, which say what the new limit is").field_path(".addLimit")
)]
pub struct MemoryPolicy {
    /// Instead of the policy's objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub objective: Option<Objective>,
    /// Instead of an objective: how many OOM kills of one container a year are acceptable. Fractions are written
    /// like "0.2".
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new("quantity(string(self)).isGreaterThan(quantity('0')) && quantity(string(self)).compareTo(quantity('365')) <= 0").message("maxOomKillsPerYear must be above 0 and at most 365"))]
    pub max_oom_kills_per_year: Option<Amount>,
    /// What becomes of the memory limit.
    #[serde(default)]
    pub limit: MemoryLimitRule,
    /// Whether a request or limit that is too large is lowered. False: it only ever grows.
    #[serde(default = "yes")]
    pub shrink: bool,
    /// Whether a container without a memory limit is given one, by limit rule Tail or Equal.
    #[serde(default)]
    pub add_limit: bool,
}

fn yes() -> bool {
    true
}

impl Default for MemoryPolicy {
    fn default() -> Self {
        Self {
            objective: None,
            max_oom_kills_per_year: None,
            limit: MemoryLimitRule::Tail,
            shrink: true,
            add_limit: false,
        }
    }
}

/// What becomes of a container's memory limit.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum MemoryLimitRule {
    /// It follows the tail of the usage: what the container may need at its worst. (Equal where the pod is
    /// Guaranteed, so that its QoS class stays.)
    #[default]
    Tail,
    /// It equals the request, and both follow the tail.
    Equal,
    /// It keeps its ratio to the request.
    Ratio,
    /// It stays, and is raised only where the request would pass it.
    Keep,
    /// It is left out of new pods. (Kubernetes cannot remove a limit from a running one.)
    Remove,
}

/// How far a request may be from its target before it is changed: past both the percentage and the amount.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Band {
    /// In percent of the running request.
    #[serde(default = "ten_percent")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_change_percent: u32,
    /// As an amount. Absent entries: 10m of CPU, 16Mi of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub min_change: Option<ResourceAmounts>,
}

fn ten_percent() -> u32 {
    10
}

impl Default for Band {
    fn default() -> Self {
        Self { min_change_percent: ten_percent(), min_change: None }
    }
}

/// How running pods are changed: by which means, at which pace, when, and watched for how long.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Actuation {
    /// By which means a running pod gets its new size.
    #[serde(default)]
    pub method: Method,
    /// With fewer running replicas than this a pod is resized in place only, never evicted.
    #[serde(default = "two")]
    #[schemars(range(min = 0, max = 100_000))]
    pub min_replicas: u32,
    /// How many pods of a workload may be disrupted at once, as a number or in percent of its replicas.
    #[serde(default = "quarter")]
    #[schemars(schema_with = "int_or_percent")]
    #[x_kube(validation = Rule::new("type(self) == int ? self >= 0 : self.matches('^(100|[0-9]{1,2})%$')").message("maxUnavailable must be a whole number that is not negative, or a percentage from 0% to 100%"))]
    pub max_unavailable: IntOrString,
    /// How far one change may go.
    #[serde(default)]
    pub max_step_percent: MaxStepPercent,
    /// How long a pod is left alone after a change. An OOM kill ends it.
    #[serde(default = "ten_minutes")]
    pub cooldown: Span,
    /// When pods may be changed. Absent: always. An OOM kill is answered at any time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub windows: Vec<Window>,
    /// What is watched after the first pod of a workload was changed, before the others follow.
    #[serde(default)]
    pub guard: Guard,
}

fn two() -> u32 {
    2
}

fn quarter() -> IntOrString {
    IntOrString::String("25%".to_owned())
}

fn ten_minutes() -> Span {
    Span::minutes(10)
}

fn int_or_percent(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
    schemars::json_schema!({"x-kubernetes-int-or-string": true, "maxLength": 4})
}

impl Default for Actuation {
    fn default() -> Self {
        Self {
            method: Method::default(),
            min_replicas: two(),
            max_unavailable: quarter(),
            max_step_percent: MaxStepPercent::default(),
            cooldown: ten_minutes(),
            windows: Vec::new(),
            guard: Guard::default(),
        }
    }
}

/// By which means a pod gets its new size.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Method {
    /// By an in-place resize; what cannot be resized is left and named.
    InPlace,
    /// By an in-place resize, and where that cannot be, by eviction.
    #[default]
    InPlaceOrEvict,
    /// By eviction.
    Evict,
    /// Only when it is created.
    OnCreate,
}

/// How far one change may go.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct MaxStepPercent {
    /// How much of a request or limit one change may take away, in percent. Growth is not stepped.
    #[serde(default = "thirty")]
    #[schemars(range(min = 1, max = 100))]
    pub shrink: u32,
}

fn thirty() -> u32 {
    30
}

impl Default for MaxStepPercent {
    fn default() -> Self {
        Self { shrink: thirty() }
    }
}

/// A span of time that comes back, in which pods may be changed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Window {
    /// When it begins, as five cron fields: minute, hour, day of month, month, day of week.
    #[schemars(length(min = 9, max = 128))]
    #[x_kube(validation = Rule::new("self.matches('^[^ ]+( [^ ]+){4}$')").message("windows.schedule must have five fields: minute, hour, day of month, month, day of week"))]
    pub schedule: String,
    /// How long it lasts.
    pub duration: Span,
    /// A time zone of the IANA database, such as Europe/Berlin.
    #[serde(default = "utc")]
    #[schemars(length(min = 1, max = 64))]
    pub time_zone: String,
}

fn utc() -> String {
    "UTC".to_owned()
}

/// What is watched after the first pod of a workload was changed.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Guard {
    /// For how long that pod is watched for OOM kills, restarts, readiness and throttling. Harm is rolled back; else
    /// the workload's other pods follow.
    #[serde(default = "five_minutes")]
    pub observe: Span,
}

fn five_minutes() -> Span {
    Span::minutes(5)
}

impl Default for Guard {
    fn default() -> Self {
        Self { observe: five_minutes() }
    }
}

/// How much of the past counts.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct History {
    /// What is older is not asked of Prometheus, and a workload without samples for this long is forgotten.
    #[serde(default = "fourteen_days")]
    pub window: Span,
}

fn fourteen_days() -> Span {
    Span::days(14)
}

impl Default for History {
    fn default() -> Self {
        Self { window: fourteen_days() }
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
    pub conditions: Vec<Condition>,
}
