//! Pods, with only those fields that plumb uses: a whole Pod takes 60 kB of memory, these a tenth.

use std::collections::BTreeMap;

use k8s_openapi::api::core::v1::{Affinity, Pod, Toleration};
use k8s_openapi::apimachinery::pkg::api::resource::Quantity as RawQuantity;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::ObjectMeta;
use kube::api::ListParams;
use kube::{Api, Resource};
use serde::{Deserialize, Serialize};

use super::Connection;
use super::error::{ClusterError, Request};
use crate::units::{Bytes, Cores, Quantity};

/// How many pods the server sends in one answer; bounds the memory that one takes on either side.
const PAGE: u32 = 500;

/// A pod as the API server sends it, read in part.
#[derive(Resource, Clone, Debug, Deserialize, Serialize)]
#[resource(inherit = Pod)]
#[serde(rename_all = "camelCase")]
pub struct LeanPod {
    /// Name, namespace, owners, labels; of managed fields when resizes were asked for.
    #[serde(deserialize_with = "super::slim::metadata")]
    pub metadata: ObjectMeta,
    /// What was asked for.
    #[serde(default)]
    pub spec: LeanSpec,
    /// What is.
    #[serde(default)]
    pub status: LeanStatus,
}

/// What was asked for.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanSpec {
    /// The containers.
    pub containers: Vec<LeanContainer>,
    /// What runs before them, or, with restart policy Always, beside them.
    pub init_containers: Vec<LeanContainer>,
    /// What the pod as a whole asks for.
    pub resources: LeanResources,
    /// The node that it was given.
    pub node_name: Option<String>,
    /// Labels that its node must have.
    pub node_selector: BTreeMap<String, String>,
    /// What else is asked of its node.
    pub affinity: Option<Affinity>,
    /// Which taints of nodes it tolerates.
    pub tolerations: Vec<Toleration>,
    /// What its RuntimeClass takes beside its containers.
    pub overhead: BTreeMap<String, RawQuantity>,
    /// Its priority class.
    pub priority_class_name: Option<String>,
    /// Whether the kubelet starts its containers again: Always where nothing is said.
    pub restart_policy: Option<String>,
    /// How long it may run.
    pub active_deadline_seconds: Option<i64>,
}

/// A container's name and size.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanContainer {
    /// Name, unique in the pod.
    pub name: String,
    /// What was asked for.
    pub resources: LeanResources,
    /// Always: an init container that is a sidecar.
    pub restart_policy: Option<String>,
    /// What a resize of each resource takes.
    pub resize_policy: Vec<LeanResizePolicy>,
}

/// What a resize of a resource takes.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanResizePolicy {
    /// cpu or memory.
    pub resource_name: String,
    /// NotRequired or RestartContainer.
    pub restart_policy: String,
}

/// Requests and limits, as text.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct LeanResources {
    /// What is reserved.
    pub requests: BTreeMap<String, RawQuantity>,
    /// What may not be passed.
    pub limits: BTreeMap<String, RawQuantity>,
}

/// What is.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanStatus {
    /// Pending, Running, Succeeded, Failed or Unknown.
    pub phase: String,
    /// Why it is in that phase, such as Evicted.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
    /// Guaranteed, Burstable or BestEffort.
    pub qos_class: Option<String>,
    /// When the kubelet took it, RFC 3339.
    pub start_time: Option<String>,
    /// The generation of the pod's metadata that the kubelet speaks of.
    pub observed_generation: Option<i64>,
    /// Ready, PodResizePending, PodResizeInProgress and others.
    pub conditions: Vec<LeanCondition>,
    /// How the containers fare.
    pub container_statuses: Vec<LeanContainerStatus>,
    /// How the init containers fare, sidecars among them.
    pub init_container_statuses: Vec<LeanContainerStatus>,
}

/// One thing that is so or is not.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanCondition {
    /// What.
    #[serde(rename = "type")]
    pub type_: String,
    /// True, False or Unknown.
    pub status: String,
    /// One word.
    pub reason: Option<String>,
    /// The same in words.
    pub message: Option<String>,
}

/// How a container fares.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanContainerStatus {
    /// Name of the container.
    pub name: String,
    /// How often it was started again.
    pub restart_count: i32,
    /// What it does now.
    pub state: LeanState,
    /// How it ended before it was started again.
    pub last_state: LeanState,
    /// What the kubelet has given it.
    pub resources: LeanResources,
}

/// A container's state.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanState {
    /// It waits to be started.
    pub waiting: Option<LeanWaiting>,
    /// It runs.
    pub running: Option<LeanRunning>,
    /// Its end.
    pub terminated: Option<LeanTerminated>,
}

/// Why a container waits.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(default)]
pub struct LeanWaiting {
    /// Such as CrashLoopBackOff.
    pub reason: Option<String>,
}

/// Since when a container runs.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanRunning {
    /// When it was started, RFC 3339.
    pub started_at: Option<String>,
}

/// How a container ended.
#[derive(Clone, Debug, Default, Deserialize, Serialize)]
#[serde(rename_all = "camelCase", default)]
pub struct LeanTerminated {
    /// Such as OOMKilled.
    pub reason: Option<String>,
    /// When it began, RFC 3339.
    pub started_at: Option<String>,
    /// When it ended, RFC 3339.
    pub finished_at: Option<String>,
    /// Which container, unique on its node.
    #[serde(rename = "containerID")]
    pub container_id: Option<String>,
}

impl LeanPod {
    /// The containers whose usage lasts: the ordinary ones, and the init containers that are sidecars.
    pub fn lasting_containers(&self) -> impl Iterator<Item = &LeanContainer> {
        let sidecars =
            self.spec.init_containers.iter().filter(|c| c.restart_policy.as_deref() == Some("Always"));
        self.spec.containers.iter().chain(sidecars)
    }

    /// True where it has not ended.
    #[must_use]
    pub fn is_active(&self) -> bool {
        !matches!(self.status.phase.as_str(), "Succeeded" | "Failed")
    }
}

/// The CPU among requests or limits; `None` where none is stated, or what is stated is no quantity.
#[must_use]
pub fn cpu(resources: &BTreeMap<String, RawQuantity>) -> Option<Cores> {
    parse(resources, "cpu").filter(|q| !q.is_negative()).map(Quantity::as_cores)
}

/// The memory among requests or limits; `None` where none is stated, or what is stated is no quantity.
#[must_use]
pub fn memory(resources: &BTreeMap<String, RawQuantity>) -> Option<Bytes> {
    parse(resources, "memory").and_then(Quantity::as_bytes)
}

fn parse(resources: &BTreeMap<String, RawQuantity>, name: &str) -> Option<Quantity> {
    resources.get(name)?.0.parse().ok()
}

/// All pods that have not ended, of one namespace or of all, page by page.
///
/// # Errors
/// When the API server cannot be asked or refuses.
pub async fn list(
    connection: &Connection,
    namespace: Option<&str>,
    label_selector: Option<&str>,
) -> Result<Vec<LeanPod>, ClusterError> {
    let api: Api<LeanPod> = match namespace {
        Some(namespace) => Api::namespaced(connection.client.clone(), namespace),
        None => Api::all(connection.client.clone()),
    };
    let request = Request { verb: "list", resource: "pods", namespace: namespace.map(str::to_owned) };
    // Filtered by the server: a cluster can hold thousands of ended Job pods.
    let mut params = ListParams::default().limit(PAGE).fields("status.phase!=Succeeded,status.phase!=Failed");
    if let Some(selector) = label_selector {
        params = params.labels(selector);
    }
    let mut pods = Vec::new();
    loop {
        let page = connection.ask(request.clone(), api.list(&params)).await?;
        pods.extend(page.items.into_iter().map(forget_managed_fields));
        match page.metadata.continue_ {
            Some(token) if !token.is_empty() => params = params.continue_token(&token),
            _ => return Ok(pods),
        }
    }
}

/// Nobody reads these, and they are half of an object.
fn forget_managed_fields(mut pod: LeanPod) -> LeanPod {
    pod.metadata.managed_fields = None;
    pod.metadata.annotations = None;
    pod
}
