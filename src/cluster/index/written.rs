//! What is kept of a Recommendation that is already there: enough to tell whether it has to be written again.

use k8s_openapi::apimachinery::pkg::apis::meta::v1::Condition;

use super::facts::hash;
use crate::api::{Recommendation, RecommendationSpec, RecommendationStatus, WorkloadReference};

/// The conditions that the recommender writes; those of the updater are its own.
const OURS: [&str; 2] = ["HistoryReady", "Limited"];

/// A recommendation, as the API server holds it.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Written {
    /// [`spec_fingerprint`] of what it is about; 0 where it cannot be read.
    pub spec: u64,
    /// [`status_fingerprint`] of what it says; 0 where it says nothing yet.
    pub status: u64,
    /// The workload that it is about; `None` where it cannot be read.
    pub workload: Option<WorkloadReference>,
    /// The recommender's conditions: when they last changed is kept.
    pub conditions: Vec<Condition>,
}

impl Written {
    pub(super) fn of(object: &Recommendation) -> Self {
        let owners = object.metadata.owner_references.as_deref().unwrap_or_default();
        let owner = owners.first().map_or("", |owner| owner.uid.as_str());
        let spec = spec_fingerprint(&object.spec, owner);
        let workload = Some(object.spec.workload_ref.clone());
        let Some(status) = &object.status else { return Self { spec, workload, ..Self::default() } };
        let conditions =
            status.conditions.iter().filter(|c| OURS.contains(&c.type_.as_str())).cloned().collect();
        Self { spec, status: status_fingerprint(status), workload, conditions }
    }
}

/// A number for what a recommendation is about, and the uid of the policy that owns it.
#[must_use]
pub fn spec_fingerprint(spec: &RecommendationSpec, owner: &str) -> u64 {
    digest(&(spec, owner))
}

/// A number for what the recommender says. Equal numbers: nothing has to be written. What others say in the same
/// status does not count, nor do reasons and counts of samples, which change with every sample: they follow when
/// something else changes.
#[must_use]
pub fn status_fingerprint(status: &RecommendationStatus) -> u64 {
    let mut status = status.clone();
    status.conditions.retain(|condition| OURS.contains(&condition.type_.as_str()));
    for container in &mut status.containers {
        container.reasons.clear();
        container.samples = 0;
    }
    status.conditions.sort_by(|a, b| a.type_.cmp(&b.type_));
    digest(&status)
}

fn digest(value: &impl serde::Serialize) -> u64 {
    // Types of our own always become JSON; if not, 0 means: write.
    serde_json::to_vec(value).map(|bytes| hash(&bytes)).unwrap_or_default()
}
