//! How a policy wants containers sized: per container and resource, and how far from its target a request may be.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::bounds::{amounts_rule, headroom_rule};
use super::{Amount, BoostDuration, Objective, ResourceAmounts};

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
    #[x_kube(validation = Rule::new(amounts_rule()).message("minAllowed must be at most 10k of CPU and 1Pi of memory"))]
    pub min_allowed: Option<ResourceAmounts>,
    /// No request or limit is set above this. Absent: what the largest node that its pods may use can
    /// hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(amounts_rule()).message("maxAllowed must be at most 10k of CPU and 1Pi of memory"))]
    pub max_allowed: Option<ResourceAmounts>,
    /// Rules for CPU.
    #[serde(default)]
    pub cpu: CpuPolicy,
    /// Rules for memory.
    #[serde(default)]
    pub memory: MemoryPolicy,
    /// More for a new pod while it starts up, given when it is created and taken back in place. Only in mode Auto, and
    /// only what is sized.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub startup_boost: Option<StartupBoost>,
}

/// More of a resource while a container starts up.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct StartupBoost {
    /// More CPU.
    pub cpu: CpuBoost,
}

/// More CPU while a container starts up.
#[derive(KubeSchema, Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct CpuBoost {
    /// How many times the CPU target it requests; at most maxAllowed, and what a node holds. Its limit follows by
    /// cpu.limit. A container whose resizePolicy restarts it for CPU gets none, as it could not be taken back. Fractions
    /// are written like "1.5".
    #[x_kube(validation = Rule::new("quantity(string(self)).isGreaterThan(quantity('1')) && quantity(string(self)).compareTo(quantity('100')) <= 0").message("startupBoost.cpu.factor must be above 1 and at most 100"))]
    pub factor: Amount,
    /// For how long: so long after the container started, or untilReady: until its pod is ready.
    #[serde(default)]
    #[x_kube(validation = Rule::new("self == 'untilReady' || self.matches('[1-9]')").message("startupBoost.cpu.duration must be longer than 0, or untilReady"))]
    #[x_kube(validation = Rule::new("self == 'untilReady' || (!self.contains('d') && duration(self) <= duration('1h'))").message("startupBoost.cpu.duration must be at most 1h: what a container needs for longer belongs to its request"))]
    pub duration: BoostDuration,
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
    /// What becomes of the CPU limit. Keep: it stays, and is raised only where the request would pass it. Ratio: it
    /// keeps its ratio to the request. Remove: it is left out of new pods (Kubernetes cannot remove it from a running
    /// one). Equal: it equals the request.
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
    validation = Rule::new("!self.addLimit || self.limit in ['Tail', 'Equal']").message("memory.addLimit needs memory.limit Tail or Equal, which say what the new limit is").field_path(".addLimit"),
    validation = Rule::new("has(self.headroom) == (self.limit == 'Headroom')").message("memory.headroom belongs to memory.limit Headroom, and that needs it").field_path(".headroom")
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
    /// What becomes of the memory limit. Tail: it follows what the container may need at its worst, and the request
    /// what it needs usually; but Equal where the pod is Guaranteed, so that its QoS class stays. Equal: it equals the
    /// request, and both follow the worst. Ratio: it keeps its ratio to the request. Keep: it stays, and is raised
    /// only where the request would pass it. Headroom: it is the request and as much more as `headroom` says. Remove: it is
    /// left out of new pods (Kubernetes cannot remove it from a running one).
    #[serde(default)]
    pub limit: MemoryLimitRule,
    /// Amount by which the limit is above the request, by limit rule Headroom: `256Mi`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(headroom_rule()).message("memory.headroom must be above 0 and at most 1Pi"))]
    pub headroom: Option<Amount>,
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
            headroom: None,
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
    /// It is the request and as much more as the policy's `headroom` says.
    Headroom,
    /// It stays, and is raised only where the request would pass it.
    Keep,
    /// It is left out of new pods. (Kubernetes cannot remove a limit from a running one.)
    Remove,
}

/// How far a request may be from its target before it is changed: past both the percentage and the amount.
#[derive(KubeSchema, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Band {
    /// In percent of the running request. Absent: each change is weighed, what it costs against what it saves; small
    /// ones wait long, large ones are made soon.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[schemars(range(min = 0, max = 1000))]
    pub min_change_percent: Option<u32>,
    /// As an amount. Absent entries: 10m of CPU, 16Mi of memory.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    #[x_kube(validation = Rule::new(amounts_rule()).message("minChange must be at most 10k of CPU and 1Pi of memory"))]
    pub min_change: Option<ResourceAmounts>,
}
