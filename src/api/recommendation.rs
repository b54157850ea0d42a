//! What plumb says of one workload: the Recommendation, one per workload, written by plumb alone.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::{Condition, Time};
use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::{ConditionSchema, TimeSchema};
use super::{
    Amount, BoostDuration, Canary, CpuLimitRule, MemoryLimitRule, Mode, ResourceAmounts, ResourceName,
    WorkloadReference,
};

/// What a Recommendation is about.
#[derive(CustomResource, KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[kube(
    group = "plumb.dev",
    version = "v1alpha1",
    kind = "Recommendation",
    shortname = "rec",
    category = "plumb",
    namespaced,
    status = "RecommendationStatus",
    derive = "PartialEq",
    doc = "What plumb says of one workload: the size that each of its containers needs, why, and what was done about it. Written by plumb; changes by hand are overwritten.",
    selectable = ".spec.mode",
    selectable = ".spec.workloadRef.kind",
    selectable = ".spec.workloadRef.name",
    printcolumn(name = "Mode", type_ = "string", json_path = ".spec.mode"),
    printcolumn(
        name = "CPU",
        type_ = "string",
        json_path = ".status.summary.cpu",
        description = "CPU request of a pod, now and as recommended"
    ),
    printcolumn(
        name = "Memory",
        type_ = "string",
        json_path = ".status.summary.memory",
        description = "memory request of a pod, now and as recommended"
    ),
    printcolumn(
        name = "OOMs",
        type_ = "integer",
        json_path = ".status.summary.oomKills",
        description = "OOM kills seen in the history window"
    ),
    printcolumn(
        name = "Saves",
        type_ = "string",
        json_path = ".status.summary.saves",
        description = "what all replicas together would save a month"
    ),
    printcolumn(name = "Confidence", type_ = "string", json_path = ".status.summary.confidence"),
    printcolumn(name = "State", type_ = "string", json_path = ".status.summary.state"),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp"),
    printcolumn(name = "Policy", type_ = "string", json_path = ".spec.policyRef.name", priority = "1"),
    printcolumn(name = "Replicas", type_ = "integer", json_path = ".status.replicas", priority = "1"),
    printcolumn(name = "Message", type_ = "string", json_path = ".status.summary.message", priority = "1"),
    printcolumn(name = "Kind", type_ = "string", json_path = ".spec.workloadRef.kind", priority = "1"),
    printcolumn(name = "Workload", type_ = "string", json_path = ".spec.workloadRef.name", priority = "1"),
    printcolumn(
        name = "API Version",
        type_ = "string",
        json_path = ".spec.workloadRef.apiVersion",
        priority = "1"
    ),
    printcolumn(
        name = "Workload Namespace",
        type_ = "string",
        json_path = ".metadata.namespace",
        priority = "1"
    ),
    printcolumn(
        name = "Rollback",
        type_ = "string",
        json_path = r".metadata.annotations.plumb\.dev/rollback",
        description = "until when somebody wants back what was before",
        priority = "1"
    ),
    printcolumn(
        name = "New Pods",
        type_ = "string",
        json_path = ".status.newPods.given",
        description = "what new pods are given: the target, what was before, or nothing",
        priority = "1"
    ),
    printcolumn(
        name = "Sizes",
        type_ = "string",
        json_path = ".status.sizes",
        description = "the target of each container",
        priority = "1"
    )
)]
#[serde(rename_all = "camelCase")]
pub struct RecommendationSpec {
    /// The workload.
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    pub workload_ref: WorkloadReference,
    /// The policy that speaks for it.
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    pub policy_ref: PolicyReference,
    /// That policy's mode.
    pub mode: Mode,
}

/// A policy by kind and name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct PolicyReference {
    /// VerticalScalingPolicy or ClusterVerticalScalingPolicy.
    #[schemars(length(min = 1, max = 63))]
    pub kind: String,
    /// Its name.
    #[schemars(length(min = 1, max = 253))]
    pub name: String,
}

/// What is known, recommended and done.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct RecommendationStatus {
    /// How many pods of the workload run.
    #[serde(default)]
    pub replicas: u32,
    /// The line that `kubectl get recommendations` prints.
    #[serde(default)]
    pub summary: Summary,
    /// Sum over the containers of one pod.
    #[serde(default)]
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    pub pod: Resources,
    /// The target of each container in one line, with how limits follow where that is not the usual way:
    /// `app cpu=180m memory=300Mi..400Mi; proxy cpu=20m memory=50Mi..64Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sizes: Option<String>,
    /// Per container.
    // One writer has all of them: of a list that is merged by name the API server would note the writer of each figure,
    // and such notes are longer than the figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub containers: Vec<ContainerRecommendation>,
    /// What the containers had before the updater gave them what was meant for them last: what `plumb rollback` puts
    /// back.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub previous: Vec<PreviousSize>,
    /// What new pods are given, as the updater says; without a word of it, the targets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_pods: Option<NewPods>,
    /// What the updater has seen of the first pod that it changed, for the process after this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(merge_strategy = MapMerge::Atomic)]
    pub canary: Option<Canary>,
    /// HistoryReady, Limited, Applied, Blocked, Degraded.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["type".into()]))]
    #[schemars(with = "Vec<ConditionSchema>")]
    pub conditions: Vec<Condition>,
}

/// One line for a person.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Summary {
    /// CPU request of a pod, now and as recommended: `500m → 180m`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<String>,
    /// Memory request of a pod, now and as recommended: `1Gi → 412Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<String>,
    /// OOM kills seen in the history window.
    #[serde(default)]
    pub oom_kills: u32,
    /// What all replicas together would save a month; below zero where more is needed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub saves: Option<String>,
    /// How sure the recommendation is.
    #[serde(default)]
    pub confidence: Confidence,
    /// Advised (mode Recommend), Learning, Waiting, Resizing, Applied, Healing, Blocked or Degraded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub state: Option<String>,
    /// Why it is in that state.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub message: Option<String>,
}

/// How sure a recommendation is: by how much history it rests on.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Confidence {
    /// Less than a day; in the line of a workload also less than the policy's history.learn.
    #[default]
    Low,
    /// Some days.
    Medium,
    /// A week and more.
    High,
}

/// What a container runs with or should run with.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Resources {
    /// What is reserved for it.
    #[serde(default)]
    pub requests: ResourceAmounts,
    /// What it may not pass.
    #[serde(default)]
    pub limits: ResourceAmounts,
}

/// What a container had before.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreviousSize {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// What it had.
    #[serde(default)]
    pub resources: Resources,
    /// What was meant for it then; absent where nothing was.
    #[serde(default)]
    pub target: Resources,
}

/// What new pods are given at their creation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct NewPods {
    /// What it is.
    pub given: Given,
    /// Since when.
    #[schemars(with = "TimeSchema")]
    pub since: Time,
}

/// Which sizes a new pod is given.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum Given {
    /// The targets.
    #[default]
    Target,
    /// What pods had before the last change: somebody has rolled that back, or it did harm a short time ago.
    Previous,
    /// None: a VerticalPodAutoscaler sizes them, or new pods fail or are refused with any size but their template's.
    Nothing,
}

/// What kind of container it is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
pub enum ContainerKind {
    /// One of the pod's containers.
    #[default]
    Container,
    /// Runs to its end before the others start.
    Init,
    /// An init container that keeps running beside the others.
    Sidecar,
}

/// Rules by which the limits of a container follow its requests.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct LimitRules {
    /// What becomes of the CPU limit.
    #[serde(default)]
    pub cpu: CpuLimitRule,
    /// What becomes of the memory limit.
    #[serde(default)]
    pub memory: MemoryLimitRule,
    /// Amount by which the memory limit is above the request, by rule Headroom.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub headroom: Option<Amount>,
    /// CPU limit over CPU request of the workload's template, by rule Ratio; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu_ratio: Option<f64>,
    /// Memory limit over memory request of the workload's template, by rule Ratio; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory_ratio: Option<f64>,
    /// Whether a container without a memory limit is given one.
    #[serde(default)]
    pub add_memory: bool,
    /// Whether memory is never lowered.
    #[serde(default)]
    pub keep_memory: bool,
}

/// What a container is given while it starts up.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BoostedCpu {
    /// The CPU that a new pod requests for it.
    pub cpu: Amount,
    /// For how long.
    pub duration: BoostDuration,
}

/// When a change of a container's requests is worth making.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Hysteresis {
    /// Of the CPU request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cpu: Option<HysteresisRule>,
    /// Of the memory request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub memory: Option<HysteresisRule>,
}

/// When a change of one request is worth making.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct HysteresisRule {
    /// Least growth, as a share of the request.
    pub grow: f32,
    /// Least shrink, as a share of the request.
    pub shrink: f32,
    /// Price of a change, in seconds times cores or bytes: a shrink waits until what is idle comes to this.
    pub price: f32,
    /// Cost of a shortage as a multiple of the cost of the same amount idle, where growth waits too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub underrun: Option<f32>,
}

/// What plumb says of one container.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct ContainerRecommendation {
    /// Its name.
    #[schemars(length(min = 1, max = 63))]
    pub name: String,
    /// Its kind.
    #[serde(default)]
    pub kind: ContainerKind,
    /// What it runs with.
    #[serde(default)]
    pub current: Resources,
    /// What its workload's template asks for, where its pods run with something else. It is never changed.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub template: Option<Resources>,
    /// What it should run with.
    #[serde(default)]
    pub target: Resources,
    /// Limit rules of the policy: limits of a new pod follow from its own ones, those of a running one from its
    /// requests.
    #[serde(default)]
    pub limit_rules: LimitRules,
    /// Its pods are Guaranteed: while they run, limits equal requests, whatever limitRules say but Remove.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub guaranteed: bool,
    /// No request or limit is set above this: the least of what the policy, the namespace's LimitRanges and the largest
    /// node allow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub max_allowed: Option<ResourceAmounts>,
    /// Resources that a HorizontalPodAutoscaler scales by and that the policy holds: their requests and limits stay as
    /// they are, and in new pods as the template states them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 2))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub held: Vec<ResourceName>,
    /// True while the history is shorter than the policy's history.learn: limits are not lowered, and requests keep half
    /// of what people set.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub learning: bool,
    /// More CPU for a new pod while it starts up, as the policy says.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_boost: Option<BoostedCpu>,
    /// Requests below this are too small.
    #[serde(default)]
    pub lower: ResourceAmounts,
    /// Requests above this are too large.
    #[serde(default)]
    pub upper: ResourceAmounts,
    /// When a change of its requests is worth making.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hysteresis: Option<Hysteresis>,
    /// How sure the recommendation is.
    #[serde(default)]
    pub confidence: Confidence,
    /// How the target came about, step by step, with figures.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 32))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub reasons: Vec<String>,
    /// How many samples it rests on.
    #[serde(default)]
    pub samples: u64,
    /// How many days of history it rests on.
    #[serde(default)]
    pub days: u32,
    /// OOM kills seen in the history window.
    #[serde(default)]
    pub oom_kills: u32,
    /// When the last of them was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(with = "Option<TimeSchema>")]
    pub last_oom_kill: Option<Time>,
}
