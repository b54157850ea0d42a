//! VPA's objects, from files or from the cluster.

use std::path::PathBuf;

use anyhow::{Context, anyhow};
use kube::api::{Api, ApiResource, DynamicObject, ListParams};
use kube::core::GroupVersionKind;
use serde_json::Value;

use super::super::input::text;
use crate::cluster::error::Request;
use crate::cluster::{ClusterError, Connection};
use crate::import::{Checkpoint, Object, Vpa, read};

/// More than the objects of ten thousand VPAs with their checkpoints.
const MAX_BYTES: u64 = 64 << 20;
/// How many objects the API server is asked for at once.
const PAGE: u32 = 500;

/// What there was.
#[derive(Debug, Default)]
pub(super) struct Found {
    pub(super) vpas: Vec<Vpa>,
    pub(super) checkpoints: Vec<Checkpoint>,
}

impl Found {
    fn add(&mut self, object: Object) {
        match object {
            Object::Vpa(vpa) => self.vpas.push(*vpa),
            Object::Checkpoint(checkpoint) => self.checkpoints.push(*checkpoint),
        }
    }
}

/// From files, of that namespace or of all.
pub(super) fn files(files: &[PathBuf], namespace: Option<&str>) -> anyhow::Result<Found> {
    let mut found = Found::default();
    for file in files {
        let text = text(file, MAX_BYTES).with_context(|| format!("cannot read {}", file.display()))?;
        let name = file.display();
        // What follows the first line is a picture of the file.
        let documents: Vec<Value> = serde_saphyr::from_multiple(&text)
            .map_err(|error| anyhow!("{name}: {}", error.to_string().lines().next().unwrap_or_default()))?;
        for document in documents {
            for object in read(document).map_err(|why| anyhow!("{name}: {why}"))? {
                found.add(object);
            }
        }
    }
    if let Some(namespace) = namespace {
        found.vpas.retain(|vpa| vpa.metadata.namespace.as_deref().is_none_or(|of| of == namespace));
        for vpa in &mut found.vpas {
            vpa.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
        }
        for checkpoint in &mut found.checkpoints {
            checkpoint.metadata.namespace.get_or_insert_with(|| namespace.to_owned());
        }
    }
    Ok(found)
}

/// From the cluster, of that namespace or of all.
pub(super) async fn cluster(
    connection: &Connection,
    namespace: Option<&str>,
    with_checkpoints: bool,
) -> anyhow::Result<Found> {
    let mut found = Found::default();
    let kinds = [
        ("VerticalPodAutoscaler", "verticalpodautoscalers.autoscaling.k8s.io", true),
        (
            "VerticalPodAutoscalerCheckpoint",
            "verticalpodautoscalercheckpoints.autoscaling.k8s.io",
            with_checkpoints,
        ),
    ];
    for (kind, resource, wanted) in kinds {
        if !wanted {
            continue;
        }
        for object in list(connection, namespace, kind, resource).await? {
            for object in read(serde_json::to_value(object)?).map_err(|why| anyhow!(why))? {
                found.add(object);
            }
        }
    }
    Ok(found)
}

async fn list(
    connection: &Connection,
    namespace: Option<&str>,
    kind: &'static str,
    resource: &'static str,
) -> anyhow::Result<Vec<DynamicObject>> {
    let resource_kind = ApiResource::from_gvk(&GroupVersionKind::gvk("autoscaling.k8s.io", "v1", kind));
    let client = connection.client.clone();
    let api: Api<DynamicObject> = match namespace {
        Some(namespace) => Api::namespaced_with(client, namespace, &resource_kind),
        None => Api::all_with(client, &resource_kind),
    };
    let mut found = Vec::new();
    let mut params = ListParams::default().limit(PAGE);
    loop {
        let asked = Request { verb: "list", resource, namespace: namespace.map(str::to_owned) };
        let page = match connection.ask(asked, api.list(&params)).await {
            Err(ClusterError::Status { code: 404, .. }) => anyhow::bail!(
                "this cluster does not know {kind}s: is VPA installed here? Its objects can be read from files too"
            ),
            other => other?,
        };
        found.extend(page.items.into_iter().map(|mut item| {
            // The items of a list do not say what they are.
            item.types.get_or_insert_with(|| kube::core::TypeMeta {
                api_version: "autoscaling.k8s.io/v1".to_owned(),
                kind: kind.to_owned(),
            });
            item
        }));
        match page.metadata.continue_.filter(|token| !token.is_empty()) {
            Some(token) => params.continue_token = Some(token),
            None => return Ok(found),
        }
    }
}
