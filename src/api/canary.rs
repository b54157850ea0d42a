//! What the updater keeps of the first pod that it changed of a workload, so that the next process goes on from there.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Time;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::schema::TimeSchema;
use super::{Given, PreviousSize};

/// What is known of the first pod that was changed.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Canary {
    /// The pod that is being watched before the others follow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub watched: Option<WatchedPod>,
    /// The harm that a change did last, until one has gone well.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub harm: Option<Harm>,
}

/// A pod that was changed first.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct WatchedPod {
    /// Its uid.
    #[schemars(length(min = 1, max = 63))]
    pub uid: String,
    /// Since when it is watched.
    #[schemars(with = "TimeSchema")]
    pub since: Time,
    /// By what means it was changed.
    pub by: ChangedBy,
    /// What its containers had before, and what was recommended then.
    #[serde(default)]
    pub containers: Vec<PreviousSize>,
    /// How often its containers had been restarted by then, the restarts by the change included.
    pub restarts: u32,
    /// Whether it was ready.
    pub ready: bool,
}

/// By what means a pod was changed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum ChangedBy {
    /// A resize; its containers run on.
    Resize,
    /// A resize that restarts containers.
    Restart,
    /// An eviction; another pod comes in its place.
    Eviction,
}

/// Harm that a change did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct Harm {
    /// What was seen.
    #[schemars(length(max = 512))]
    pub evidence: String,
    /// When.
    #[schemars(with = "TimeSchema")]
    pub at: Time,
    /// When a change is tried again.
    #[schemars(with = "TimeSchema")]
    pub until: Time,
    /// How often this has happened in a row.
    pub times: u32,
    /// Whether a container was OOM killed.
    #[serde(default)]
    pub oom_killed: bool,
    /// What new pods are given until then, where new pods showed the harm.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub new_pods: Option<Given>,
}
