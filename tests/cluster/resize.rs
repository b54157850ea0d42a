//! A running pod is resized in place: the kernel's limits change and the container is not restarted. What the
//! server refuses is told apart.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use k8s_openapi::api::core::v1::{Pod, ResourceQuota};
use kube::api::PostParams;
use kube::{Api, Client, ResourceExt};
use plumb::cluster::pods::LeanPod;
use plumb::cluster::resize::{Amounts, ContainerResize, ResizeError, resize};
use plumb::units::{Bytes, Cores};
use serde_json::json;

use crate::support::{Context, Load, cgroups, paths, pods, wait_for};

/// One container's new sizes; the request is half of the limit.
pub fn to(millicores: u64, mib: u64) -> ContainerResize {
    ContainerResize {
        container: "load".to_owned(),
        sidecar: false,
        requests: Amounts {
            cpu: Some(Cores::from_milli(millicores / 2)),
            memory: Some(Bytes::from_mib(mib / 2)),
        },
        limits: Amounts { cpu: Some(Cores::from_milli(millicores)), memory: Some(Bytes::from_mib(mib)) },
    }
}

fn load() -> Load {
    Load::named("web").uses("memory", "20Mi").requests("50m", "32Mi").limits("100m", "64Mi")
}

cluster_test!(resize_in_place_keeps_the_container, [Node]);
async fn resize_in_place_keeps_the_container(context: Context) -> Result<()> {
    let pod = context.run_pod(&load()).await?;
    let (uid, id) = (pod.uid().context("no uid")?, pods::container_id(&pod)?);
    let before = cgroups::Limits { memory: Some(64 << 20), cpu: Some(100) };
    ensure!(cgroups::of_container(&id)? == before, "before: {:?}", cgroups::of_container(&id)?);

    let accepted = resize(&context.api::<LeanPod>(), "web", &uid, &[to(300, 128)]).await?;
    ensure!(accepted.metadata.generation == Some(2), "generation {:?}", accepted.metadata.generation);

    let after = cgroups::Limits { memory: Some(128 << 20), cpu: Some(300) };
    wait_for("the kernel to enforce the new limits", Duration::from_secs(60), || async {
        let (container, whole) = (cgroups::of_container(&id)?, cgroups::of_pod(&uid)?);
        ensure!(container == after && whole == after, "container {container:?}, pod {whole:?}");
        Ok(())
    })
    .await?;
    let pod = wait_for("the status to say so", Duration::from_secs(60), || async {
        let pod = context.api::<Pod>().get("web").await?;
        let resources = pods::container(&pod)?.resources.clone().context("no resources in the status")?;
        let limit = resources.limits.as_ref().and_then(|limits| limits.get("memory").cloned());
        ensure!(limit.as_ref().is_some_and(|limit| limit.0 == "128Mi"), "memory limit {limit:?}");
        Ok(pod)
    })
    .await?;
    let container = pods::container(&pod)?;
    ensure!(container.restart_count == 0, "{}", pods::describe(&pod));
    ensure!(pods::container_id(&pod)? == id, "it is another container");
    Ok(())
}

cluster_test!(resize_refusals_are_told_apart, [Node]);
async fn resize_refusals_are_told_apart(context: Context) -> Result<()> {
    let pod = context.run_pod(&load()).await?;
    let uid = pod.uid().context("no uid")?;
    let client = context.client();

    match attempt(&client, &context, "absent", &uid, to(100, 64)).await? {
        ResizeError::NotFound { .. } => {}
        other => bail!("a pod that is gone: {other:?}"),
    }
    match attempt(&client, &context, "web", "00000000-0000-0000-0000-000000000000", to(200, 64)).await? {
        ResizeError::UidChanged { .. } => {}
        other => bail!("another pod of that name: {other:?}"),
    }
    match attempt(&client, &context, "web", &uid, to(100_000, 64)).await? {
        ResizeError::NodeTooSmall { message, .. } => ensure!(message.contains("cpu"), "{message}"),
        other => bail!("more than the node has: {other:?}"),
    }
    let mut crossed = to(100, 64);
    crossed.limits.memory = Some(Bytes::from_mib(16));
    match attempt(&client, &context, "web", &uid, crossed).await? {
        ResizeError::Invalid { message, .. } => ensure!(message.contains("memory limit"), "{message}"),
        other => bail!("a limit below its request: {other:?}"),
    }
    let mut guaranteed = to(100, 64);
    guaranteed.requests = guaranteed.limits;
    match attempt(&client, &context, "web", &uid, guaranteed).await? {
        ResizeError::Invalid { message, .. } => ensure!(message.contains("QOS"), "{message}"),
        other => bail!("another quality of service: {other:?}"),
    }
    let quota = json!({"apiVersion": "v1", "kind": "ResourceQuota", "metadata": {"name": "small"},
                       "spec": {"hard": {"limits.memory": "80Mi"}}});
    context.apply(&quota).await?;
    // Until what is used now has been counted, nothing is refused.
    wait_for("the quota to be counted", Duration::from_secs(60), || async {
        let quota = context.api::<ResourceQuota>().get("small").await?;
        let used = quota.status.and_then(|status| status.used).unwrap_or_default();
        ensure!(used.contains_key("limits.memory"), "used: {used:?}");
        Ok(())
    })
    .await?;
    // What admits goes by a watch of its own.
    let large = Load::named("large").limits("100m", "96Mi").json();
    let large: Pod = serde_json::from_value(large)?;
    wait_for("the quota to be kept to", Duration::from_secs(60), || async {
        let params = PostParams { dry_run: true, field_manager: None };
        let refused = context.api::<Pod>().create(&params, &large).await.err().context("it is not")?;
        ensure!(refused.to_string().contains("exceeded quota"), "{refused}");
        Ok(())
    })
    .await?;
    let refused = attempt(&client, &context, "web", &uid, to(100, 96)).await?;
    match refused {
        ResizeError::Refused { message, .. } => ensure!(message.contains("exceeded quota"), "{message}"),
        other => bail!("more than the quota: {other:?}"),
    }
    let pod = context.api::<Pod>().get("web").await?;
    ensure!(pod.metadata.generation == Some(1), "a refused resize has changed the pod");
    Ok(())
}

cluster_test!(resize_right_is_needed, [Node]);
async fn resize_right_is_needed(context: Context) -> Result<()> {
    let pod = context.run_pod(&load()).await?;
    let uid = pod.uid().context("no uid")?;
    let reads = json!([{"apiGroups": [""], "resources": ["pods"], "verbs": ["get", "list"]}]);
    let reader = context.account("reader", false, reads).await?;
    match attempt(&reader.client, &context, "web", &uid, to(120, 72)).await? {
        ResizeError::Denied { message, .. } => ensure!(message.contains("pods/resize"), "{message}"),
        other => bail!("without the right: {other:?}"),
    }
    let resizes = json!([{"apiGroups": [""], "resources": ["pods/resize"], "verbs": ["patch"]}]);
    let resizer = context.account("resizer", false, resizes).await?;
    let pods: Api<LeanPod> = Api::namespaced(resizer.client, &context.namespace);
    resize(&pods, "web", &uid, &[to(120, 72)]).await?;
    Ok(())
}

/// A resize that shall fail: why it did.
async fn attempt(
    client: &Client,
    context: &Context,
    pod: &str,
    uid: &str,
    sizes: ContainerResize,
) -> Result<ResizeError> {
    let pods: Api<LeanPod> = Api::namespaced(client.clone(), &context.namespace);
    match resize(&pods, pod, uid, &[sizes]).await {
        Ok(_) => bail!("Kubernetes {} accepts it", paths::kubernetes()),
        Err(error) => Ok(error),
    }
}
