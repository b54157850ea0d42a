//! Owners of kinds that are not built in: whether they scale, and what they belong to themselves.

use std::sync::Arc;

use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use kube::{Api, discovery};

use super::error::Request;
use super::index::{CustomOwner, Index, ObjectKey, Owner};
use super::{ClusterError, Connection};
use crate::units::Timestamp;

/// How long an answer holds: labels change seldom, and each asks once per object.
pub const FRESH_SECONDS: i64 = 600;

/// What the API server says of an owner's kind and of the owner itself.
#[derive(Debug)]
pub struct Answer {
    scales: bool,
    metadata: Option<kube::api::ObjectMeta>,
}

/// Asks for one owner of a pod of that namespace.
///
/// A kind that is not served any more, and an owner that is gone, scale no more. An owner that we may not read still
/// is a workload where its kind scales: only its labels stay unknown.
///
/// # Errors
/// When the API server cannot be asked.
pub async fn ask(connection: &Connection, pod: &ObjectKey, owner: &Owner) -> Result<Answer, ClusterError> {
    let asked = |resource| Request { verb: "get", resource, namespace: Some(pod.namespace.to_string()) };
    let (group, version) = owner.api_version.split_once('/').unwrap_or(("", &owner.api_version));
    let kind = GroupVersionKind::gvk(group, version, &owner.kind);
    let found = connection
        .ask(asked("the kind of an owner"), discovery::pinned_kind(&connection.client, &kind))
        .await;
    let (resource, abilities) = match found {
        Ok(found) => found,
        Err(error) if is_absence(&error) => return Ok(Answer { scales: false, metadata: None }),
        Err(error) => return Err(error),
    };
    let scales = abilities.subresources.iter().any(|(subresource, _)| subresource.plural == "scale");
    let metadata = metadata(connection, pod, owner, &resource, asked("an owner")).await?;
    Ok(Answer { scales, metadata })
}

async fn metadata(
    connection: &Connection,
    pod: &ObjectKey,
    owner: &Owner,
    resource: &ApiResource,
    asked: Request,
) -> Result<Option<kube::api::ObjectMeta>, ClusterError> {
    let api: Api<DynamicObject> = Api::namespaced_with(connection.client.clone(), &pod.namespace, resource);
    match connection.ask(asked, api.get_metadata(&owner.name)).await {
        Ok(object) => Ok(Some(object.metadata)),
        Err(error @ ClusterError::Forbidden { .. }) => {
            tracing::debug!(owner = &*owner.name, kind = &*owner.kind, %error, "labels of an owner stay unknown");
            Ok(None)
        }
        Err(error) if is_absence(&error) => Ok(None),
        Err(error) => Err(error),
    }
}

fn is_absence(error: &ClusterError) -> bool {
    match error {
        ClusterError::Status { code, .. } => *code == 404,
        // Discovery names a kind that a group does not have by an error of its own.
        ClusterError::Other { .. } => true,
        _ => false,
    }
}

impl Index {
    /// Takes note of an answer.
    pub fn learn(&mut self, pod: &ObjectKey, owner: &Arc<Owner>, answer: &Answer, now: Timestamp) {
        let facts = answer.metadata.as_ref().map(|metadata| self.custom_facts(metadata)).unwrap_or_default();
        let known =
            CustomOwner { scales: answer.scales, facts, owner: (pod.clone(), Arc::clone(owner)), asked: now };
        self.custom.insert(owner.uid, known);
    }
}
