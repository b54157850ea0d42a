//! Packs as ConfigMaps of one namespace.

use std::collections::BTreeMap;

use k8s_openapi::ByteString;
use k8s_openapi::api::core::v1::ConfigMap;
use kube::api::{DeleteParams, ListParams, ObjectMeta, Patch, PatchParams};
use kube::{Api, ResourceExt};
use serde_json::json;

use super::Stored;
use crate::cluster::error::Request;
use crate::cluster::{ClusterError, Connection};

/// Says what is a checkpoint: `pack`, or why it was set aside.
const LABEL: &str = "plumb.dev/checkpoint";
const PACK: &str = "pack";
const FIELD: &str = "pack";
const MANAGER: &str = "plumb-checkpoint";
/// A ConfigMap of a pack may be 1.2 MB of JSON.
const PAGE: u32 = 4;

#[derive(Clone)]
pub(super) struct ConfigMaps {
    connection: Connection,
    api: Api<ConfigMap>,
    namespace: String,
}

impl ConfigMaps {
    pub(super) fn new(connection: &Connection, namespace: &str) -> Self {
        Self {
            connection: connection.clone(),
            api: Api::namespaced(connection.client.clone(), namespace),
            namespace: namespace.to_owned(),
        }
    }

    pub(super) fn place(&self, name: &str) -> String {
        format!("ConfigMap {}/{name}", self.namespace)
    }

    fn request(&self, verb: &'static str) -> Request {
        Request { verb, resource: "configmaps", namespace: Some(self.namespace.clone()) }
    }

    pub(super) async fn list(&self) -> Result<Vec<Stored>, ClusterError> {
        let mut found = Vec::new();
        let mut params = ListParams::default().labels(LABEL).limit(PAGE);
        loop {
            let page = self.connection.ask(self.request("list"), self.api.list(&params)).await?;
            for map in page.items {
                let aside = map.labels().get(LABEL).is_none_or(|label| label != PACK);
                let name = map.name_any();
                let bytes = map.binary_data.and_then(|mut data| data.remove(FIELD)).map(|bytes| bytes.0);
                found.push(Stored { name, bytes: bytes.unwrap_or_default(), aside });
            }
            match page.metadata.continue_ {
                Some(token) if !token.is_empty() => params = params.continue_token(&token),
                _ => return Ok(found),
            }
        }
    }

    pub(super) async fn write(&self, name: &str, bytes: &[u8]) -> Result<(), ClusterError> {
        let map = ConfigMap {
            metadata: ObjectMeta {
                name: Some(name.to_owned()),
                labels: Some(BTreeMap::from([(LABEL.to_owned(), PACK.to_owned())])),
                ..ObjectMeta::default()
            },
            binary_data: Some(BTreeMap::from([(FIELD.to_owned(), ByteString(bytes.to_vec()))])),
            ..ConfigMap::default()
        };
        let params = PatchParams::apply(MANAGER).force();
        let patch = Patch::Apply(&map);
        self.connection.ask(self.request("patch"), self.api.patch(name, &params, &patch)).await.map(drop)
    }

    pub(super) async fn remove(&self, name: &str) -> Result<(), ClusterError> {
        let params = DeleteParams::default();
        match self.connection.ask(self.request("delete"), self.api.delete(name, &params)).await {
            Ok(_) | Err(ClusterError::Status { code: 404, .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Only its label changes: what is in it stays for whoever can read it.
    pub(super) async fn set_aside(&self, name: &str, why: &'static str) -> Result<String, ClusterError> {
        let patch = Patch::Merge(json!({"metadata": {"labels": {LABEL: why}}}));
        let params = PatchParams::default();
        self.connection.ask(self.request("patch"), self.api.patch(name, &params, &patch)).await?;
        Ok(format!("{} with the label {LABEL}={why}", self.place(name)))
    }
}
