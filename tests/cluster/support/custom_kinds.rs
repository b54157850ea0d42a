//! Custom kinds that own pods, as their projects define them: group, version, plural and /scale are theirs, and of their
//! schemas that which plumb or Kubernetes reads. Their operators do not run: tests make what they would make.

use anyhow::{Context as _, Result};
use futures::future::try_join_all;
use kube::Api;
use kube::api::{ApiResource, DynamicObject};
use kube::core::GroupVersionKind;
use serde_json::{Value, json};

use super::cluster::Context;

/// Group, version, plural, kind, and of /scale the paths of wanted and present replicas.
type Definition =
    (&'static str, &'static str, &'static str, &'static str, Option<(&'static str, &'static str)>);

const DEFINITIONS: [Definition; 17] = [
    ("argoproj.io", "v1alpha1", "rollouts", "Rollout", Some((".spec.replicas", ".status.HPAReplicas"))),
    ("argoproj.io", "v1alpha1", "analysisruns", "AnalysisRun", None),
    ("argoproj.io", "v1alpha1", "workflows", "Workflow", None),
    ("argoproj.io", "v1alpha1", "cronworkflows", "CronWorkflow", None),
    (
        "leaderworkerset.x-k8s.io",
        "v1",
        "leaderworkersets",
        "LeaderWorkerSet",
        Some((".spec.replicas", ".status.replicas")),
    ),
    ("jobset.x-k8s.io", "v1alpha2", "jobsets", "JobSet", None),
    ("tekton.dev", "v1", "pipelineruns", "PipelineRun", None),
    ("tekton.dev", "v1", "taskruns", "TaskRun", None),
    ("sparkoperator.k8s.io", "v1beta2", "sparkapplications", "SparkApplication", None),
    ("sparkoperator.k8s.io", "v1beta2", "scheduledsparkapplications", "ScheduledSparkApplication", None),
    ("serving.knative.dev", "v1", "services", "Service", None),
    ("serving.knative.dev", "v1", "configurations", "Configuration", None),
    ("serving.knative.dev", "v1", "revisions", "Revision", None),
    ("keda.sh", "v1alpha1", "scaledobjects", "ScaledObject", None),
    ("keda.sh", "v1alpha1", "scaledjobs", "ScaledJob", None),
    ("postgresql.cnpg.io", "v1", "clusters", "Cluster", Some((".spec.instances", ".status.instances"))),
    // An operator that nobody has heard of, and for which nothing is granted.
    ("apps.example.test", "v1", "squads", "Squad", Some((".spec.replicas", ".status.replicas"))),
];

fn definition(&(group, version, plural, kind, scale): &Definition) -> Value {
    let open = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true});
    let replicas = json!({"type": "object", "x-kubernetes-preserve-unknown-fields": true,
                          "properties": {"replicas": {"type": "integer"}, "instances": {"type": "integer"}}});
    let schema = json!({"type": "object", "properties": {"spec": replicas, "status": open}});
    let mut subresources = json!({"status": {}});
    if let Some((wanted, present)) = scale {
        subresources["scale"] = json!({"specReplicasPath": wanted, "statusReplicasPath": present});
    }
    json!({"apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": {"name": format!("{plural}.{group}"),
                     // The API server asks for it of groups of this domain.
                     "annotations": {"api-approved.kubernetes.io": "unapproved, for a test"}},
        "spec": {"group": group, "scope": "Namespaced", "names": {"kind": kind, "plural": plural},
                 "versions": [{"name": version, "served": true, "storage": true, "subresources": subresources,
                               "schema": {"openAPIV3Schema": schema}}]}})
}

fn api_version(kind: &str) -> Result<String> {
    let built_in = match kind {
        "Deployment" | "StatefulSet" | "ReplicaSet" => Some("apps/v1"),
        "Job" => Some("batch/v1"),
        "Pod" => Some("v1"),
        _ => None,
    };
    if let Some(version) = built_in {
        return Ok(version.to_owned());
    }
    let found = DEFINITIONS.iter().find(|(.., known, _)| *known == kind).with_context(|| kind.to_owned())?;
    Ok(format!("{}/{}", found.0, found.1))
}

/// Defines all of them.
pub async fn define(context: &Context) -> Result<()> {
    for one in &DEFINITIONS {
        context.apply(&definition(one)).await?;
    }
    let plane = &context.cluster.plane;
    try_join_all(DEFINITIONS.iter().map(|(group, version, _, kind, _)| async move {
        plane.wait_served(&format!("{group}/{version}"), kind).await
    }))
    .await?;
    Ok(())
}

/// Makes an object under its owner, where it has one, and answers itself as an owner: a kind, a name and a uid.
pub async fn make(
    context: &Context,
    kind: &str,
    name: &str,
    owner: Option<&Value>,
    rest: Value,
) -> Result<Value> {
    let mut object = rest;
    let api_version = api_version(kind)?;
    (object["apiVersion"], object["kind"]) = (json!(api_version), json!(kind));
    object["metadata"]["name"] = json!(name);
    if let Some(owner) = owner {
        object["metadata"]["ownerReferences"] = json!([owner]);
    }
    context.apply(&object).await?;
    owner_of(context, kind, name).await
}

/// An object that is there, as an owner.
pub async fn owner_of(context: &Context, kind: &str, name: &str) -> Result<Value> {
    let api_version = api_version(kind)?;
    let (group, version) = api_version.split_once('/').unwrap_or(("", &api_version));
    let resource = match DEFINITIONS.iter().find(|(.., known, _)| *known == kind) {
        Some((_, _, plural, ..)) => {
            ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
        }
        None => ApiResource::from_gvk(&GroupVersionKind::gvk(group, version, kind)),
    };
    let api: Api<DynamicObject> = Api::namespaced_with(context.client(), &context.namespace, &resource);
    let uid = api.get_metadata(name).await?.metadata.uid;
    Ok(json!({"apiVersion": api_version, "kind": kind, "name": name, "uid": uid, "controller": true}))
}
