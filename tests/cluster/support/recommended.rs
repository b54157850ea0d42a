//! Recommendations as plumb writes them, for tests of who acts on them.

use anyhow::Result;
use k8s_openapi::api::core::v1::Pod;
use kube::api::{Patch, PatchParams, PostParams};
use plumb::admit::{ANNOTATION, Stamp};
use plumb::api::{Recommendation, VerticalScalingPolicy};
use plumb::control::naming;
use plumb::testing;
use serde_json::{Value, json};

use super::Context;

/// A policy that acts.
pub async fn auto_policy(context: &Context, name: &str) -> Result<()> {
    let policy: VerticalScalingPolicy = testing::policy(name).auto().namespace(&context.namespace).object();
    context.api().create(&PostParams::default(), &policy).await?;
    Ok(())
}

/// One container's part: what it should have, and that both resources are sized.
pub fn container(name: &str, cpu: &str, memory: &str, memory_limit: &str) -> Value {
    let target = testing::recommended(name).target(cpu, memory, memory_limit);
    target.lower(cpu, memory).upper(cpu, memory).json()
}

/// What a workload's Recommendation is called.
pub fn name_of((api_version, kind, workload): (&str, &str, &str)) -> String {
    naming::name(&testing::workload(workload).kind(kind).api_version(api_version).key())
}

/// Writes a Recommendation for a workload, by policy `all`.
pub async fn recommend(
    context: &Context,
    name: &str,
    workload: (&str, &str, &str),
    mode: &str,
    containers: Value,
) -> Result<()> {
    recommend_by(context, "all", name, workload, mode, containers).await
}

/// The same by another policy.
pub async fn recommend_by(
    context: &Context,
    policy: &str,
    name: &str,
    (api_version, kind, workload): (&str, &str, &str),
    mode: &str,
    containers: Value,
) -> Result<()> {
    let object: Recommendation = testing::recommendation(workload)
        .named(name)
        .namespace(&context.namespace)
        .for_custom_workload(api_version, kind, workload)
        .by_policy(policy)
        .mode(mode)
        .object();
    let api = context.api::<Recommendation>();
    api.create(&PostParams::default(), &object).await?;
    let status = Patch::Merge(json!({"status": {"containers": containers}}));
    api.patch_status(name, &PatchParams::default(), &status).await?;
    Ok(())
}

/// Says in a Recommendation what new pods are given since it was made, as the updater does, and what pods had before.
pub async fn new_pods(context: &Context, name: &str, given: &str, previous: Value) -> Result<()> {
    let api = context.api::<Recommendation>();
    let since = api.get(name).await?.metadata.creation_timestamp;
    let status = json!({"status": {"newPods": {"given": given, "since": since}, "previous": previous}});
    api.patch_status(name, &PatchParams::default(), &Patch::Merge(status)).await?;
    Ok(())
}

/// What a pod says that it was given.
pub fn stamp(pod: &Pod) -> Option<Stamp> {
    Stamp::read(pod.metadata.annotations.as_ref()?.get(ANNOTATION)?)
}

/// Requests and limits of a pod's container, as they stand.
pub fn resources(pod: &Pod, container: &str) -> Value {
    let spec = pod.spec.clone().unwrap_or_default();
    let found =
        spec.init_containers.into_iter().flatten().chain(spec.containers).find(|c| c.name == container);
    json!(found.and_then(|container| container.resources))
}
