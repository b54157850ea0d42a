//! Which workload a pod belongs to: up its owner references to the top controller.

use std::collections::HashMap;

use k8s_openapi::api::apps::v1::ReplicaSet;
use k8s_openapi::api::batch::v1::Job;
use k8s_openapi::apimachinery::pkg::apis::meta::v1::{ObjectMeta, OwnerReference};
use kube::api::{ListParams, PartialObjectMeta};
use kube::{Api, Resource, ResourceExt};

use super::Connection;
use super::error::{ClusterError, Request};
use crate::api::WorkloadReference;

/// What stands between pods and their top controllers: who controls each ReplicaSet and Job, by uid.
#[derive(Debug, Default)]
pub struct Owners {
    controllers: HashMap<String, OwnerReference>,
}

impl Owners {
    /// Reads the ReplicaSets and Jobs of one namespace or of all (their metadata only).
    ///
    /// # Errors
    /// When the API server cannot be asked or refuses.
    pub async fn read(connection: &Connection, namespace: Option<&str>) -> Result<Self, ClusterError> {
        let mut owners = Self::default();
        owners.read_kind::<ReplicaSet>(connection, "replicasets.apps", namespace).await?;
        owners.read_kind::<Job>(connection, "jobs.batch", namespace).await?;
        Ok(owners)
    }

    async fn read_kind<K>(
        &mut self,
        connection: &Connection,
        resource: &'static str,
        namespace: Option<&str>,
    ) -> Result<(), ClusterError>
    where
        K: Resource<DynamicType = (), Scope = k8s_openapi::NamespaceResourceScope> + Clone + std::fmt::Debug,
    {
        let api: Api<PartialObjectMeta<K>> = match namespace {
            Some(namespace) => Api::namespaced(connection.client.clone(), namespace),
            None => Api::all(connection.client.clone()),
        };
        let request = Request { verb: "list", resource, namespace: namespace.map(str::to_owned) };
        let list = connection.ask(request, api.list_metadata(&ListParams::default())).await?;
        for object in list {
            self.insert(object.meta());
        }
        Ok(())
    }

    /// Learns who controls the object with this metadata.
    fn insert(&mut self, object: &ObjectMeta) {
        if let (Some(uid), Some(controller)) = (&object.uid, controller(object)) {
            self.controllers.insert(uid.clone(), controller.clone());
        }
    }

    /// The top controller of a pod. A pod that nothing controls is its own workload.
    #[must_use]
    pub fn workload(&self, pod: &impl ResourceExt<DynamicType = ()>) -> WorkloadReference {
        let Some(mut top) = controller(pod.meta()) else {
            return WorkloadReference {
                api_version: "v1".to_owned(),
                kind: "Pod".to_owned(),
                name: pod.name_any(),
            };
        };
        // Owner references can be written by hand into a circle; no real chain is longer than this.
        for _ in 0..8 {
            match self.controllers.get(&top.uid) {
                Some(above) => top = above,
                None => break,
            }
        }
        WorkloadReference {
            api_version: top.api_version.clone(),
            kind: top.kind.clone(),
            name: top.name.clone(),
        }
    }
}

fn controller(object: &ObjectMeta) -> Option<&OwnerReference> {
    object.owner_references.as_deref()?.iter().find(|owner| owner.controller == Some(true))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::cluster::pods::LeanPod;
    use crate::testing;

    fn owned(uid: &str, by: Option<(&str, &str, &str)>) -> LeanPod {
        let pod = testing::pod(&format!("name-of-{uid}")).uid(uid);
        match by {
            Some((kind, name, uid)) => pod.controlled_by(kind, name, uid).object(),
            None => pod.object(),
        }
    }

    #[test]
    fn up_to_the_top() {
        let mut owners = Owners::default();
        owners.insert(&owned("rs1", Some(("Deployment", "web", "d1"))).metadata);
        let found = owners.workload(&owned("p1", Some(("ReplicaSet", "web-7f", "rs1"))));
        assert_eq!((found.kind.as_str(), found.name.as_str()), ("Deployment", "web"));
        let found = owners.workload(&owned("p2", Some(("StatefulSet", "db", "s1"))));
        assert_eq!((found.kind.as_str(), found.name.as_str()), ("StatefulSet", "db"));
        let found = owners.workload(&owned("p3", None));
        assert_eq!((found.kind.as_str(), found.name.as_str()), ("Pod", "name-of-p3"));
    }

    #[test]
    fn a_circle_of_owners_ends() {
        let mut owners = Owners::default();
        owners.insert(&owned("a", Some(("ReplicaSet", "b", "b"))).metadata);
        owners.insert(&owned("b", Some(("ReplicaSet", "a", "a"))).metadata);
        assert_eq!(owners.workload(&owned("p", Some(("ReplicaSet", "a", "a")))).kind, "ReplicaSet");
    }
}
