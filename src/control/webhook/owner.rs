//! Whom the objects belong to that the webhook writes for the whole cluster: a ClusterRole that was installed with it.
//! Kubernetes removes what is owned when the owner goes, so that nothing is asked about pods, and no pod is stamped,
//! after plumb was uninstalled.

use k8s_openapi::api::rbac::v1::ClusterRole;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::OwnerReference;
use kube::Api;
use kube::api::ObjectMeta;

use crate::cluster::error::Request;
use crate::cluster::{ClusterError, Connection};

const KIND: &str = "ClusterRole";

/// The owner, by name.
#[derive(Clone)]
pub struct Owner {
    connection: Connection,
    /// `None`: nobody owns what is written.
    name: Option<String>,
}

impl Owner {
    /// The ClusterRole of that name, or nobody.
    #[must_use]
    pub fn new(connection: &Connection, name: Option<&str>) -> Self {
        Self { connection: connection.clone(), name: name.map(str::to_owned) }
    }

    /// What an object lacks to be owned; `None` where it lacks nothing. `found`: the object as it is, where it is there.
    ///
    /// # Errors
    /// When the API server cannot be asked or refuses.
    pub(super) async fn missing(
        &self,
        found: Option<&ObjectMeta>,
    ) -> Result<Option<OwnerReference>, ClusterError> {
        let Some(name) = &self.name else { return Ok(None) };
        let owners = found.and_then(|found| found.owner_references.as_deref()).unwrap_or_default();
        if owners.iter().any(|owner| owner.kind == KIND && &owner.name == name) {
            return Ok(None);
        }
        let roles: Api<ClusterRole> = Api::all(self.connection.client.clone());
        let asked =
            Request { verb: "get", resource: "clusterroles.rbac.authorization.k8s.io", namespace: None };
        let role = self.connection.ask(asked, roles.get_metadata_opt(name)).await?;
        // One that is not there owns nothing: the object is written all the same.
        Ok(role.and_then(|role| role.metadata.uid).map(|uid| OwnerReference {
            api_version: "rbac.authorization.k8s.io/v1".to_owned(),
            kind: KIND.to_owned(),
            name: name.clone(),
            uid,
            ..OwnerReference::default()
        }))
    }
}
